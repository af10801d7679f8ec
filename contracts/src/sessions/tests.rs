//! Whole lives of sessions: what is paid, refunded and recorded when things do not go as planned.

use chain::{
    code::Code,
    id::SessionId,
    quantity::{Amount, Cost, Currents, WattHours},
    receipt::{Cause, Event, Outcome, Overdrawn, PauseReason, SessionReceipt, Settler},
    record::{EndReason, SessionState},
    time::{Duration, Timestamp},
};

use crate::{
    call::{Attest, OpenSession, PauseCharge, Reading, ReadingFlags, SettleSession, StopSession, TopUpSession},
    sessions,
    testing::{
        BALANCE, Fixture, GARAGE, GATEWAY, METER_ONLY, NEIGHBOUR, NOON, PLAIN, RESIDENT, REVENUE, SCHEDULER, THREE_PHASE, VISITOR, bill,
        connector, opening, outcomes, reading, simple_tariff, tokens,
    },
};

/// Meets the deadlines of a block that has exactly one.
fn meets_one_deadline(fixture: &mut Fixture, session: SessionId) -> Vec<Event> {
    let receipts = fixture.meets_deadlines();
    assert_eq!(receipts.len(), 1);
    assert_eq!((receipts[0].cause, receipts[0].outcome), (Cause::Due(session), Outcome::Applied));
    receipts[0].events.clone()
}

fn settles(fixture: &mut Fixture, session: SessionId) -> SessionReceipt {
    bill(&fixture.applies(GATEWAY, &SettleSession { session }))
}

#[test]
fn refunds_when_the_gateway_dies() {
    let mut fixture = Fixture::new();
    let session = fixture.charges(1);
    fixture.reads(session, 1, 1_000);
    fixture.wait(Duration::from_hours(1));
    fixture.reads(session, 2, 9_000);
    // From here on nobody is heard of. The duration passes …
    let deadline = NOON.saturating_add(Duration::from_hours(10));
    assert_eq!(sessions::next_due(&fixture.state), Ok(Some(deadline)));
    fixture.now = Timestamp::from_ms(deadline.ms() - 1);
    assert_eq!(fixture.meets_deadlines(), []);
    fixture.now = deadline;
    let settle_by = deadline.saturating_add(fixture.params.settle_grace);
    let stopping = Event::SessionStopping { session, reason: EndReason::Time, settle_by };
    assert_eq!(meets_one_deadline(&mut fixture, session), [stopping]);
    assert_eq!(fixture.session(session).state, SessionState::Stopping { reason: EndReason::Time, at: deadline });
    assert_eq!(fixture.group(GARAGE).granted, Currents::ZERO);
    // … then the grace, and the chain settles from the last accepted reading.
    assert_eq!(sessions::next_due(&fixture.state), Ok(Some(settle_by)));
    fixture.now = settle_by;
    let bill = bill(&meets_one_deadline(&mut fixture, session));
    assert_eq!((bill.reason, bill.settled_by), (EndReason::GatewayLost, Settler::Chain));
    assert_eq!((bill.ended_at, bill.settled_at), (deadline, settle_by));
    assert_eq!((bill.energy, bill.paid, bill.refund), (WattHours::new(8_000), tokens(2), tokens(8)));
    assert_eq!(fixture.account(RESIDENT).balance, tokens(98));
    assert_eq!(fixture.account(REVENUE).balance, tokens(2));
    assert_eq!(fixture.connector(connector(1)).session, None);
    assert_eq!(sessions::next_due(&fixture.state), Ok(None));
}

#[test]
fn a_session_that_was_stopped_keeps_its_reason_when_the_chain_settles_it() {
    let mut fixture = Fixture::new();
    let session = fixture.charges(1);
    fixture.applies(RESIDENT, &StopSession { session });
    fixture.wait(fixture.params.settle_grace);
    let bill = bill(&meets_one_deadline(&mut fixture, session));
    assert_eq!((bill.reason, bill.settled_by, bill.refund), (EndReason::StoppedByResident, Settler::Chain, tokens(10)));
}

#[test]
fn refunds_when_no_grant_comes() {
    let mut fixture = Fixture::new();
    let session = fixture.opens(RESIDENT, &opening(connector(1)));
    fixture.wait(fixture.params.queue_deadline);
    let bill = bill(&meets_one_deadline(&mut fixture, session));
    assert_eq!((bill.reason, bill.settled_by, bill.paid), (EndReason::NeverStarted, Settler::Chain, Amount::ZERO));
    assert_eq!(fixture.account(RESIDENT).balance, BALANCE);
}

#[test]
fn a_chain_that_stood_still_loses_nobodys_money() {
    let mut fixture = Fixture::new();
    let session = fixture.charges(1);
    fixture.reads(session, 1, 1_000);
    // The duration was over fifteen hours ago when the next block comes: it stops the session and does not settle it.
    fixture.wait(Duration::from_hours(25));
    let stopped_at = fixture.now;
    meets_one_deadline(&mut fixture, session);
    fixture.wait(Duration::from_mins(59));
    let metered = [reading(session, 2, NOON.saturating_add(Duration::from_hours(4)), 9_000), reading(session, 3, stopped_at, 21_000)];
    assert_eq!(outcomes(&fixture.applies(GATEWAY, &Attest { readings: metered.to_vec() })), [None, None]);
    let bill = settles(&mut fixture, session);
    assert_eq!((bill.reason, bill.settled_by), (EndReason::Time, Settler::Gateway));
    assert_eq!((bill.energy, bill.paid), (WattHours::new(20_000), tokens(5)));
}

#[test]
fn the_duration_goes_on_in_a_pause_and_at_a_meter_without_a_switch() {
    let mut fixture = Fixture::new();
    let paused = fixture.charges(1);
    fixture.applies(SCHEDULER, &PauseCharge { session: paused, reason: PauseReason::Manual });
    let metered = fixture.opens(NEIGHBOUR, &opening(METER_ONLY));
    fixture.wait(Duration::from_hours(10));
    assert_eq!(fixture.meets_deadlines().len(), 2);
    for id in [paused, metered] {
        assert_eq!(fixture.session(id).state, SessionState::Stopping { reason: EndReason::Time, at: fixture.now });
    }
    fixture.wait(fixture.params.settle_grace);
    assert_eq!(fixture.meets_deadlines().len(), 2);
    assert_eq!(fixture.account(NEIGHBOUR).held, Amount::ZERO);
}

#[test]
fn deadlines_are_met_in_order_and_at_most_so_many_in_a_block() {
    let mut fixture = Fixture::new();
    fixture.params.due_per_block = 2;
    let hours = |hours, number| OpenSession { max_duration: Duration::from_hours(hours), ..opening(connector(number)) };
    let last = fixture.opens(RESIDENT, &hours(3, 1));
    let mut first = [fixture.opens(NEIGHBOUR, &hours(1, 2)), fixture.opens(VISITOR, &hours(1, 3))];
    for (id, ma) in [(last, 6_000), (first[0], 7_000), (first[1], 8_000)] {
        fixture.grants(id, Currents::from_ma([ma; 3]));
    }
    fixture.wait(Duration::from_hours(3));
    first.sort();
    let causes = |fixture: &mut Fixture| fixture.meets_deadlines().iter().map(|receipt| receipt.cause).collect::<Vec<_>>();
    assert_eq!(causes(&mut fixture), first.map(Cause::Due));
    assert_eq!(causes(&mut fixture), [Cause::Due(last)]);
    assert_eq!(causes(&mut fixture), []);
}

#[test]
fn a_grace_of_nothing_settles_in_the_next_block_and_not_twice_in_one() {
    let mut fixture = Fixture::new();
    fixture.params.settle_grace = Duration::ZERO;
    let session = fixture.charges(1);
    fixture.wait(Duration::from_hours(10));
    assert!(matches!(meets_one_deadline(&mut fixture, session)[..], [Event::SessionStopping { .. }]));
    assert_eq!(bill(&meets_one_deadline(&mut fixture, session)).reason, EndReason::GatewayLost);
}

#[test]
fn bills_by_the_version_that_the_owner_was_shown() {
    let mut fixture = Fixture::new();
    let session = fixture.opens(RESIDENT, &opening(connector(1)));
    let dearer = simple_tariff(tokens(1), tokens(5));
    fixture.put_tariff(PLAIN, 2, NOON.saturating_add(Duration::from_mins(1)), dearer);
    fixture.wait(Duration::from_mins(2));
    fixture.grants(session, THREE_PHASE);
    fixture.reads(session, 1, 1_000);
    fixture.wait(Duration::from_hours(1));
    fixture.reads(session, 2, 5_000);
    fixture.applies(RESIDENT, &StopSession { session });
    let bill = settles(&mut fixture, session);
    assert_eq!((bill.tariff_version, bill.paid), (1, tokens(1)));

    let second = fixture.opens(RESIDENT, &OpenSession { tariff_version: 2, ..opening(connector(1)) });
    fixture.grants(second, THREE_PHASE);
    fixture.reads(second, 1, 5_000);
    fixture.wait(Duration::from_hours(1));
    fixture.reads(second, 2, 8_000);
    fixture.applies(RESIDENT, &StopSession { session: second });
    let bill = settles(&mut fixture, second);
    assert_eq!((bill.tariff_version, bill.paid), (2, tokens(8)));
}

#[test]
fn flat_is_due_once_and_only_where_energy_flowed() {
    let mut fixture = Fixture::new();
    let session = fixture.charges(3);
    for sequence in 1..=3 {
        fixture.reads(session, sequence, 1_000);
    }
    assert_eq!(fixture.session(session).cost.total(), Some(Cost::ZERO));
    fixture.wait(Duration::from_hours(1));
    fixture.reads(session, 4, 1_001);
    fixture.reads(session, 5, 1_001);
    fixture.reads(session, 6, 1_010);
    assert_eq!(Some(fixture.session(session).cost.flat), Cost::from_amount(tokens(1)));
    fixture.applies(RESIDENT, &StopSession { session });
    assert_eq!(settles(&mut fixture, session).paid, Amount::from_micro(1_003_000));

    let idle = fixture.charges(3);
    fixture.reads(idle, 1, 1_010);
    fixture.applies(RESIDENT, &StopSession { session: idle });
    assert_eq!(settles(&mut fixture, idle).paid, Amount::ZERO);
}

#[test]
fn energy_past_the_escrow_is_recorded_in_full_and_borne_by_the_condominium() {
    let mut fixture = Fixture::new();
    let session = fixture.charges(3);
    fixture.reads(session, 1, 1_000);
    fixture.wait(Duration::from_hours(2));
    // 1 once and 9 for 30 kWh are all of the escrow; 33 kWh were drawn.
    fixture.reads(session, 2, 34_000);
    let stopping = SessionState::Stopping { reason: EndReason::Money, at: fixture.now };
    assert_eq!(fixture.session(session).state, stopping);
    assert_eq!(fixture.session(session).billed_at_limit, Some(WattHours::new(30_000)));
    fixture.wait(Duration::from_mins(1));
    let last = Reading { flags: ReadingFlags::VEHICLE_REMOVED, ..reading(session, 3, fixture.now, 34_100) };
    assert_eq!(outcomes(&fixture.applies(GATEWAY, &Attest { readings: vec![last] })), [None]);
    let bill = settles(&mut fixture, session);
    assert_eq!((bill.reason, bill.escrow, bill.paid, bill.refund), (EndReason::Money, tokens(10), tokens(10), Amount::ZERO));
    assert_eq!((bill.energy, bill.energy_billed), (WattHours::new(33_100), WattHours::new(30_000)));
    let overdrawn = Overdrawn { energy: WattHours::new(3_100), amount: Amount::from_micro(930_000) };
    assert_eq!(bill.overdrawn, Some(overdrawn));
    assert_eq!(fixture.connector(connector(3)).last_register, WattHours::new(34_100));
}

#[test]
fn a_session_that_was_stopped_for_another_reason_can_still_be_overdrawn() {
    let mut fixture = Fixture::new();
    let session = fixture.charges(1);
    fixture.reads(session, 1, 1_000);
    fixture.wait(Duration::from_hours(2));
    fixture.applies(RESIDENT, &StopSession { session });
    fixture.reads(session, 2, 42_000);
    let bill = settles(&mut fixture, session);
    assert_eq!((bill.reason, bill.paid, bill.energy_billed), (EndReason::StoppedByResident, tokens(10), WattHours::new(40_000)));
    let overdrawn = Overdrawn { energy: WattHours::new(1_000), amount: Amount::from_micro(250_000) };
    assert_eq!(bill.overdrawn, Some(overdrawn));
}

#[test]
fn what_is_billed_does_not_depend_on_how_readings_cut_the_time() {
    // 250.5 micro-tokens a Wh: an escrow of 1 002 pays for 4 Wh exactly, one of 1 252 for 5 Wh, whose cost of 1 252.5 rounds down to it.
    let odd = simple_tariff(Amount::from_micro(250_500), Amount::ZERO);
    for (escrow, billed) in [(1_001, 3), (1_002, 4), (1_003, 4), (1_252, 5), (1_253, 5), (1_752, 6), (1_753, 7), (1_754, 7)] {
        for step in [1, 2, 3, 7] {
            let mut fixture = Fixture::new();
            fixture.put_tariff(PLAIN, 1, Timestamp::from_ms(0), odd.clone());
            let call = OpenSession { max_spend: Amount::from_micro(escrow), ..opening(connector(1)) };
            let session = fixture.opens(RESIDENT, &call);
            fixture.grants(session, THREE_PHASE);
            fixture.reads(session, 1, 1_000);
            let registers = (1..7).filter(|wh| wh % step == 0).chain([7]);
            for (sequence, wh) in (2..).zip(registers) {
                assert_eq!(fixture.reads(session, sequence, 1_000 + wh), None);
            }
            if fixture.session(session).state == SessionState::Charging {
                fixture.applies(RESIDENT, &StopSession { session });
            }
            let bill = settles(&mut fixture, session);
            assert_eq!(bill.energy_billed, WattHours::new(billed), "escrow {escrow} in steps of {step}");
            // All seven cost 1 753.5, rounded down once.
            let over = 1_753_u64.saturating_sub(escrow);
            assert_eq!(bill.overdrawn.map(|overdrawn| overdrawn.amount.micro()), (over > 0).then_some(over));
            assert_eq!(bill.paid.micro(), escrow.min(1_753));
        }
    }
}

#[test]
fn an_escrow_below_the_price_per_session_pays_for_no_energy_also_where_energy_is_free() {
    // Free energy was paid for as far as the reading that passed the escrow went, so that the same charge was billed differently when it was read more often.
    for cut in [None, Some(1_500)] {
        let mut fixture = Fixture::new();
        fixture.put_tariff(PLAIN, 1, Timestamp::from_ms(0), simple_tariff(Amount::ZERO, tokens(2)));
        let session = fixture.opens(RESIDENT, &OpenSession { max_spend: tokens(1), ..opening(connector(1)) });
        fixture.grants(session, THREE_PHASE);
        fixture.reads(session, 1, 1_000);
        fixture.wait(Duration::from_hours(1));
        for (sequence, register) in (2..).zip(cut.into_iter().chain([3_000])) {
            assert_eq!(fixture.reads(session, sequence, register), None);
        }
        let bill = settles(&mut fixture, session);
        assert_eq!((bill.reason, bill.energy, bill.energy_billed), (EndReason::Money, WattHours::new(2_000), WattHours::ZERO));
        assert_eq!(bill.overdrawn, Some(Overdrawn { energy: WattHours::new(2_000), amount: tokens(1) }));
    }
}

#[test]
fn a_top_up_in_time_keeps_the_session_charging() {
    let mut fixture = Fixture::new();
    let session = fixture.charges(1);
    fixture.reads(session, 1, 1_000);
    fixture.wait(Duration::from_hours(2));
    fixture.applies(RESIDENT, &TopUpSession { session, amount: tokens(2) });
    fixture.reads(session, 2, 43_000);
    assert_eq!(fixture.session(session).state, SessionState::Charging);
    fixture.applies(RESIDENT, &StopSession { session });
    let bill = settles(&mut fixture, session);
    assert_eq!((bill.escrow, bill.paid, bill.overdrawn), (tokens(12), Amount::from_micro(10_500_000), None));
}

#[test]
fn the_next_session_of_a_connector_goes_on_where_the_last_one_ended() {
    let mut fixture = Fixture::new();
    let session = fixture.charges(1);
    fixture.reads(session, 1, 1_000);
    fixture.wait(Duration::from_mins(30));
    fixture.reads(session, 2, 3_000);
    fixture.applies(RESIDENT, &StopSession { session });
    settles(&mut fixture, session);
    let next = fixture.charges(1);
    assert_eq!(fixture.reads(next, 1, 2_999), Some(Code::ReadingFalling));
    assert_eq!(fixture.reads(next, 1, 3_004), None);
    assert_eq!(fixture.connector(connector(1)).unassigned, WattHours::new(4));
    fixture.applies(RESIDENT, &StopSession { session: next });
    assert_eq!(settles(&mut fixture, next).energy, WattHours::ZERO);
}

#[test]
fn a_tariff_that_is_unknown_to_the_state_stops_the_node_and_refuses_nothing() {
    let mut fixture = Fixture::new();
    let session = fixture.charges(1);
    fixture.state.delete(&chain::record::Key::TariffVersion(PLAIN, 1).bytes());
    let call = Attest { readings: vec![reading(session, 1, fixture.now, 1_000)] };
    assert!(matches!(fixture.run(GATEWAY, &call), Err(crate::failure::Failure::Fault(_))));
}
