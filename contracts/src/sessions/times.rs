//! When open sessions held a grant and since when they are full: kept only for those whose tariff has a price for time.
//!
//! It counts nothing: [`crate::tariff::interval_cost`] does, at the next reading. The calls of sessions come here through [`super`].
//!
//! Between two readings at most [`MAX_SPANS`] spans are remembered; where somebody pauses and resumes more often than that, the oldest are forgotten, and TIME
//! does not count in them.

use chain::{
    id::SessionId,
    record::{GrantSpan, Key, SessionTimes},
    tariff::Tariff,
    time::Timestamp,
};

use crate::{failure::Fault, ledger::Ledger, tariff};

/// The most spans of a session between two readings.
pub const MAX_SPANS: usize = 16;

/// Begins to keep the times of a session that opens, where its tariff needs them.
pub(crate) fn open(ledger: &mut Ledger<'_>, id: SessionId, tariff: &Tariff) -> Result<(), Fault> {
    if tariff::counts_time(tariff) { ledger.put(&Key::SessionTimes(id), &SessionTimes::default()) } else { Ok(()) }
}

/// A session that held no grant holds one.
pub(crate) fn granted(ledger: &mut Ledger<'_>, id: SessionId, from: Timestamp) -> Result<(), Fault> {
    change(ledger, id, |times| {
        if times.granted.len() >= MAX_SPANS {
            times.granted.remove(0);
        }
        times.granted.push(GrantSpan { from, until: None });
    })
}

/// A session that held a grant holds none.
pub(crate) fn paused(ledger: &mut Ledger<'_>, id: SessionId, until: Timestamp) -> Result<(), Fault> {
    change(ledger, id, |times| {
        if let Some(span) = times.granted.last_mut() {
            span.until = Some(until);
        }
    })
}

/// What a reading of `at` has billed is no longer needed.
pub(crate) fn billed(times: &mut SessionTimes, at: Timestamp) {
    times.granted.retain(|span| span.until.is_none_or(|until| until > at));
}

/// The times of an open session; none where its tariff does not need them.
pub(crate) fn of(ledger: &Ledger<'_>, id: SessionId, tariff: &Tariff) -> Result<Option<SessionTimes>, Fault> {
    if tariff::counts_time(tariff) { ledger.get(&Key::SessionTimes(id)) } else { Ok(None) }
}

/// Forgets a session that is settled.
pub(crate) fn forget(ledger: &mut Ledger<'_>, id: SessionId) {
    ledger.delete(&Key::SessionTimes(id));
}

fn change(ledger: &mut Ledger<'_>, id: SessionId, change: impl FnOnce(&mut SessionTimes)) -> Result<(), Fault> {
    let key = Key::SessionTimes(id);
    let Some(mut times) = ledger.get::<SessionTimes>(&key)? else { return Ok(()) };
    change(&mut times);
    ledger.put(&key, &times)
}

#[cfg(test)]
mod tests {
    use chain::{
        code::{Code, Rejection},
        quantity::{Amount, Cost, Currents},
        receipt::{Event, PauseReason},
        record::{Connector, CostByComponent, EndReason, GrantSpan, Key, PlugSignal, SessionState, SessionTimes},
        tariff::{PriceComponent, Tariff, TariffDimension, TariffElement, TariffRestrictions},
        time::{Duration, Timestamp},
    };

    use super::MAX_SPANS;
    use crate::{
        call::{
            Attest, OpenSession, PauseCharge, PutConnector, PutTariff, Reading, ReadingFlags, ResumeCharge, SettleSession, StopSession,
        },
        testing::{
            Fixture, GARAGE, GATEWAY, MANAGER, METER_ONLY, NOON, PLAIN, RESIDENT, SCHEDULER, SIXTEEN, bill, connector, opening, reading,
            tokens,
        },
    };

    /// 0.25 per kWh, 1 per hour of charging, 6 per hour parked from ten minutes after the vehicle is full.
    fn every_dimension() -> Tariff {
        let price = |dimension, micro| PriceComponent { dimension, price: Amount::from_micro(micro) };
        Tariff {
            time_zone: "UTC0".to_owned(),
            elements: vec![TariffElement {
                price_components: vec![
                    price(TariffDimension::Energy, 250_000),
                    price(TariffDimension::Time, 1_000_000),
                    price(TariffDimension::ParkingTime, 6_000_000),
                ],
                restrictions: TariffRestrictions::default(),
            }],
            min_price: None,
            max_price: None,
            vat_basis_points: 0,
            parking_grace: Duration::from_mins(10),
        }
    }

    fn fixture() -> Fixture {
        let mut fixture = Fixture::new();
        fixture.put_tariff(PLAIN, 1, Timestamp::from_ms(0), every_dimension());
        fixture
    }

    fn attests(fixture: &mut Fixture, session: chain::id::SessionId, sequence: u64, register: u64, flags: ReadingFlags) -> Vec<Event> {
        let reading = Reading { flags, ..reading(session, sequence, fixture.now, register) };
        fixture.applies(GATEWAY, &Attest { readings: vec![reading] })
    }

    fn costs(fixture: &Fixture, session: chain::id::SessionId) -> [u64; 3] {
        let CostByComponent { energy, time, parking_time, flat } = fixture.session(session).cost;
        assert_eq!(flat, Cost::ZERO);
        [energy, time, parking_time].map(|cost| cost.floor().unwrap().micro())
    }

    fn times(fixture: &Fixture, session: chain::id::SessionId) -> Option<SessionTimes> {
        fixture.get(&Key::SessionTimes(session))
    }

    #[test]
    fn time_counts_while_a_grant_holds_and_no_longer_than_the_session() {
        let mut fixture = fixture();
        let id = fixture.charges(1);
        let span = |from, until| GrantSpan { from, until };
        assert_eq!(times(&fixture, id), Some(SessionTimes { granted: vec![span(NOON, None)], idle_since: None }));
        assert_eq!(fixture.reads(id, 1, 1_000), None);
        fixture.wait(Duration::from_mins(30));
        fixture.applies(SCHEDULER, &PauseCharge { session: id, reason: PauseReason::Manual });
        let paused_at = fixture.now;
        assert_eq!(times(&fixture, id).unwrap().granted, [span(NOON, Some(paused_at))]);
        fixture.wait(Duration::from_mins(30));
        fixture.applies(SCHEDULER, &ResumeCharge { session: id, current: SIXTEEN });
        fixture.wait(Duration::from_mins(15));
        assert_eq!(fixture.reads(id, 2, 5_000), None);
        assert_eq!(costs(&fixture, id), [1_000_000, 750_000, 0]);
        let resumed_at = paused_at.saturating_add(Duration::from_mins(30));
        assert_eq!(times(&fixture, id).unwrap().granted, [span(resumed_at, None)]);
        fixture.wait(Duration::from_mins(15));
        fixture.applies(RESIDENT, &StopSession { session: id });
        fixture.wait(Duration::from_mins(2));
        assert_eq!(fixture.reads(id, 3, 5_000), None);
        assert_eq!(costs(&fixture, id), [1_000_000, 1_000_000, 0]);
        assert_eq!(bill(&fixture.applies(GATEWAY, &SettleSession { session: id })).paid, tokens(2));
        assert_eq!(times(&fixture, id), None);
    }

    #[test]
    fn a_meter_without_a_switch_counts_time_from_its_opening() {
        let mut fixture = fixture();
        let id = fixture.opens(RESIDENT, &opening(METER_ONLY));
        assert_eq!(fixture.reads(id, 1, 1_000), None);
        fixture.wait(Duration::from_hours(1));
        assert_eq!(fixture.reads(id, 2, 1_000), None);
        assert_eq!(costs(&fixture, id), [0, 1_000_000, 0]);
    }

    #[test]
    fn a_deadline_that_is_met_late_makes_no_time_dearer() {
        let mut fixture = fixture();
        let id = fixture.opens(RESIDENT, &OpenSession { max_duration: Duration::from_hours(1), ..opening(connector(1)) });
        fixture.grants(id, SIXTEEN);
        assert_eq!(fixture.reads(id, 1, 1_000), None);
        fixture.wait(Duration::from_hours(3));
        assert_eq!(fixture.meets_deadlines().len(), 1);
        assert_eq!(fixture.reads(id, 2, 1_000), None);
        assert_eq!(costs(&fixture, id), [0, 1_000_000, 0]);
    }

    #[test]
    fn sixteen_spans_are_remembered_between_two_readings() {
        let mut fixture = fixture();
        let id = fixture.charges(1);
        assert_eq!(fixture.reads(id, 1, 1_000), None);
        for _ in 0..MAX_SPANS {
            fixture.wait(Duration::from_mins(6));
            fixture.applies(SCHEDULER, &PauseCharge { session: id, reason: PauseReason::Manual });
            fixture.applies(SCHEDULER, &ResumeCharge { session: id, current: SIXTEEN });
        }
        assert_eq!(times(&fixture, id).unwrap().granted.len(), MAX_SPANS);
        fixture.wait(Duration::from_mins(6));
        assert_eq!(fixture.reads(id, 2, 1_000), None);
        // Seventeen spans of six minutes: the first is forgotten.
        assert_eq!(costs(&fixture, id), [0, 1_600_000, 0]);
        assert_eq!(times(&fixture, id).unwrap().granted.len(), 1);
    }

    #[test]
    fn a_full_vehicle_that_stays_gives_back_its_current_and_parks_after_the_grace() {
        let mut fixture = fixture();
        let id = fixture.charges(1);
        assert_eq!(fixture.reads(id, 1, 1_000), None);
        fixture.wait(Duration::from_hours(1));
        let full_at = fixture.now;
        let events = attests(&mut fixture, id, 2, 5_000, ReadingFlags::VEHICLE_FULL);
        assert_eq!(events[1..], [Event::SessionIdle { session: id, since: full_at }]);
        let session = fixture.session(id);
        assert_eq!((session.state, session.granted), (SessionState::Idle, Currents::ZERO));
        assert_eq!(session.due, NOON.saturating_add(Duration::from_hours(10)));
        assert_eq!(fixture.group(GARAGE).granted, Currents::ZERO);
        assert_eq!(times(&fixture, id).unwrap().idle_since, Some(full_at));
        fixture.wait(Duration::from_mins(10));
        assert_eq!(attests(&mut fixture, id, 3, 5_000, ReadingFlags::VEHICLE_FULL).len(), 1);
        assert_eq!(costs(&fixture, id), [1_000_000, 1_000_000, 0]);
        fixture.wait(Duration::from_mins(20));
        let events = attests(&mut fixture, id, 4, 5_000, ReadingFlags::VEHICLE_REMOVED);
        let settle_by = fixture.now.saturating_add(fixture.params.settle_grace);
        assert_eq!(events[1..], [Event::SessionStopping { session: id, reason: EndReason::VehicleFull, settle_by }]);
        let bill = bill(&fixture.applies(GATEWAY, &SettleSession { session: id }));
        assert_eq!((bill.paid, bill.reason), (tokens(4), EndReason::VehicleFull));
    }

    #[test]
    fn full_ends_a_session_where_the_vehicle_left_too_or_the_plug_is_not_reported() {
        let both = ReadingFlags(ReadingFlags::VEHICLE_FULL.0 | ReadingFlags::VEHICLE_REMOVED.0);
        for (signal, flags) in [(PlugSignal::Reported, both), (PlugSignal::None, ReadingFlags::VEHICLE_FULL)] {
            let mut fixture = fixture();
            fixture.put(&Key::Connector(connector(1)), &Connector { plug_signal: signal, ..fixture.connector(connector(1)) });
            let id = fixture.charges(1);
            attests(&mut fixture, id, 1, 1_000, flags);
            let expected = SessionState::Stopping { reason: EndReason::VehicleFull, at: fixture.now };
            assert_eq!(fixture.session(id).state, expected);
        }
    }

    #[test]
    fn a_highest_price_within_the_escrow_is_never_ended_by_money() {
        for (highest, expected) in [(9_999_999, None), (10_000_000, None), (10_000_001, Some(EndReason::Money))] {
            let mut fixture = fixture();
            let tariff = Tariff { max_price: Some(Amount::from_micro(highest)), ..every_dimension() };
            fixture.put_tariff(PLAIN, 1, Timestamp::from_ms(0), tariff);
            let id = fixture.charges(1);
            assert_eq!(fixture.reads(id, 1, 1_000), None);
            fixture.wait(Duration::from_hours(3));
            assert_eq!(fixture.reads(id, 2, 1_000 + 60_000), None);
            let reason = if let SessionState::Stopping { reason, .. } = fixture.session(id).state { Some(reason) } else { None };
            assert_eq!(reason, expected);
        }
    }

    #[test]
    fn a_price_for_parking_is_accepted_only_where_every_plug_is_reported() {
        let mut fixture = Fixture::new();
        let put = PutTariff { tariff: PLAIN, version: 2, valid_from: fixture.now, document: every_dimension() };
        let blind = |number| Rejection { code: Code::PlugNotReported, expected: None, found: Some(number) };
        // Connector 4, the meter alone, has this tariff.
        assert_eq!(fixture.rejects(MANAGER, &put), blind(4));
        let meter = fixture.connector(METER_ONLY);
        fixture.put(&Key::Connector(METER_ONLY), &Connector { plug_signal: PlugSignal::Reported, ..meter });
        let announced = PutTariff { valid_from: fixture.now.saturating_add(Duration::from_hours(1)), ..put };
        fixture.applies(MANAGER, &announced);
        let connector = PutConnector {
            connector: connector(1),
            group: GARAGE,
            control: chain::record::Control::Switched,
            plug_signal: PlugSignal::None,
            rated: crate::testing::THREE_PHASE,
            tariff: PLAIN.number,
            service: chain::record::Service::InService,
        };
        assert_eq!(fixture.rejects(MANAGER, &connector), blind(2));
        let without = Tariff { parking_grace: Duration::ZERO, ..crate::testing::simple_tariff(Amount::from_micro(1), Amount::ZERO) };
        let third = PutTariff { version: 3, document: without, ..announced };
        fixture.applies(MANAGER, &third);
        // The second version still comes first, for no time at all: what was announced counts until another is in force.
        assert_eq!(fixture.rejects(MANAGER, &connector), blind(2));
        fixture.wait(Duration::from_hours(1));
        fixture.applies(MANAGER, &connector);
    }
}
