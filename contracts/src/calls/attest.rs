//! `Attest`: reports meter readings of many sessions; each is accepted or refused by itself.

use chain::{
    code::{Code, Rejection},
    hash::Hash32,
    id::SessionId,
    quantity::{WattHours, Watts},
    receipt::Event,
    record::{Key, Role},
    time::Timestamp,
};
use serde::{Deserialize, Serialize};

use super::replace_meter::can_be_shown;
use crate::{
    call::Action,
    context::CallContext,
    failure::Failure,
    ledger::Ledger,
    roles,
    sessions::{
        self, End,
        meter::{self, Accepted, Outcome},
        times,
    },
};

/// Reports meter readings of many sessions; each is accepted or refused by itself.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Attest {
    /// In order; those of one session in order of sequence.
    pub readings: Vec<Reading>,
}

/// A meter's state at one instant, attested by a gateway.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Reading {
    /// Of which session.
    pub session: SessionId,
    /// The session's readings are numbered from 1; a number is used up by acceptance only.
    #[serde(with = "chain::quantity::decimal")]
    pub sequence: u64,
    /// When the meter was read.
    pub at: Timestamp,
    /// The cumulative register.
    pub register_wh: WattHours,
    /// The power then.
    pub power_w: Watts,
    /// What the gateway saw besides.
    pub flags: ReadingFlags,
    /// The root over the raw samples since the previous accepted reading.
    pub samples_root: Hash32,
    /// The number of its leaves; end samples are leaves with a flag and are not counted.
    pub sample_count: u32,
}

/// What a gateway saw beside the numbers; unknown bits are refused.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct ReadingFlags(pub u32);

impl ReadingFlags {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// The vehicle takes no more: no power with the plug in, or tapered.
    pub const VEHICLE_FULL: Self = Self(1);
    /// The vehicle left: the plug is gone, or the power dropped.
    pub const VEHICLE_REMOVED: Self = Self(2);

    /// Whether all bits of `other` are set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether no unknown bit is set.
    #[must_use]
    pub const fn is_known(self) -> bool {
        self.0 & !(Self::VEHICLE_FULL.0 | Self::VEHICLE_REMOVED.0) == 0
    }
}

/// The most readings in one call.
pub const MAX_READINGS: u32 = 256;

impl Action for Attest {
    fn name(&self) -> &'static str {
        "attest"
    }

    fn check(&self) -> Result<(), Rejection> {
        if self.readings.is_empty() {
            return Err(Code::ZeroValue.into());
        }
        let readings_len = u64::try_from(self.readings.len()).unwrap_or(u64::MAX);
        if readings_len > MAX_READINGS.into() {
            return Err(Rejection::of(Code::TooMany, MAX_READINGS.into(), readings_len));
        }
        Ok(())
    }

    /// Never refused as a whole: each reading has an outcome of its own, also where none is the account's to send.
    fn apply(&self, context: &CallContext<'_>, ledger: &mut Ledger<'_>) -> Result<(), Failure> {
        for reading in &self.readings {
            match take(context, ledger, reading) {
                Ok(()) => {}
                Err(Failure::Reject(Rejection { code, .. })) => {
                    ledger.emit(Event::ReadingHandled { session: reading.session, sequence: reading.sequence, refused: Some(code) });
                }
                Err(Failure::Fault(fault)) => return Err(fault.into()),
            }
        }
        Ok(())
    }
}

/// Takes one reading, or refuses it without having written anything.
fn take(context: &CallContext<'_>, ledger: &mut Ledger<'_>, reading: &Reading) -> Result<(), Failure> {
    let id = reading.session;
    let session = sessions::existing(ledger, id)?;
    let connector_id = session.connector;
    if !roles::holds(ledger, context.block.height, connector_id.condominium, Role::Gateway, &context.account)? {
        return Err(Code::ReadingNotYours.into());
    }
    if roles::suspension(ledger, connector_id.condominium, &context.account)?.is_some() {
        return Err(Code::RoleSuspended.into());
    }
    let connector = sessions::connector_of(ledger, &session)?;
    let version = sessions::tariff_of(ledger, &session)?;
    let times = times::of(ledger, id, &version.tariff)?;
    let is_first = session.meter.is_none();
    let accepted = meter::accept(session, connector, times, &version.tariff, reading, context.block)?;
    if is_first && !can_be_shown(ledger, connector_id, reading.register_wh)? {
        return Err(Code::ReadingImpossible.into());
    }
    let Accepted { session, connector, times, unassigned, outcome } = accepted;

    // every check is done: from here on only writes
    ledger.put(&Key::Session(id), &session)?;
    ledger.put(&Key::Connector(connector_id), &connector)?;
    if let Some(times) = times {
        ledger.put(&Key::SessionTimes(id), &times)?;
    }
    ledger.emit(Event::ReadingHandled { session: id, sequence: reading.sequence, refused: None });
    if !unassigned.is_zero() {
        ledger.emit(Event::EnergyUnassigned { connector: connector_id, energy: unassigned });
    }
    match outcome {
        Outcome::Ends(reason) => sessions::end(ledger, context.block, id, session, End { reason, at: reading.at }),
        Outcome::Idle => sessions::idle(ledger, id, session, reading.at),
        Outcome::GoesOn => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use chain::{
        code::{Code, Rejection},
        hash::Hash32,
        id::SessionId,
        quantity::{Amount, Cost, Currents, WattHours},
        receipt::{Event, PauseReason},
        record::{Connector, EndReason, Key, MeterState, SessionState},
        time::{Duration, Timestamp},
    };

    use super::{Attest, MAX_READINGS, Reading, ReadingFlags};
    use crate::{
        call::{OpenSession, PauseCharge, SettleSession, StopSession},
        testing::{
            AWAY_STAFF, Fixture, GARAGE, GATEWAY, METER_ONLY, NEIGHBOUR, RESIDENT, SCHEDULER, SIXTEEN, connector, opening, outcomes,
            reading, tokens,
        },
    };

    /// The one outcome of the one reading.
    fn sends(fixture: &mut Fixture, reading: Reading) -> Option<Code> {
        outcomes(&fixture.applies(GATEWAY, &Attest { readings: vec![reading] }))[0]
    }

    fn later(fixture: &Fixture, ms: u64) -> Timestamp {
        fixture.now.saturating_add(Duration::from_ms(ms))
    }

    fn earlier(fixture: &Fixture, ms: u64) -> Timestamp {
        fixture.now.saturating_sub(Duration::from_ms(ms))
    }

    #[test]
    fn the_first_reading_sets_the_start_and_each_moves_meter_and_cost() {
        let mut fixture = Fixture::new();
        let id = fixture.charges(1);
        assert_eq!(fixture.reads(id, 1, 1_000), None);
        assert_eq!(fixture.session(id).cost.total(), Some(Cost::ZERO));
        fixture.wait(Duration::from_mins(15));
        let next = reading(id, 2, fixture.now, 5_001);
        let events = fixture.applies(GATEWAY, &Attest { readings: vec![next] });
        assert_eq!(events, [Event::ReadingHandled { session: id, sequence: 2, refused: None }]);
        let expected = MeterState {
            start: WattHours::new(1_000),
            sequence: 2,
            at: fixture.now,
            register: WattHours::new(5_001),
            power: next.power_w,
            samples: 120,
        };
        let session = fixture.session(id);
        assert_eq!(session.meter, Some(expected));
        assert_eq!(session.cost.total(), Cost::of_energy(WattHours::new(4_001), Amount::from_micro(250_000)));
        assert_eq!(session.state, SessionState::Charging);
        assert_eq!(fixture.connector(connector(1)).last_register, WattHours::new(5_001));
    }

    #[test]
    fn one_bad_reading_does_not_drop_the_others() {
        let mut fixture = Fixture::new();
        let good = fixture.charges(1);
        let waiting = fixture.opens(NEIGHBOUR, &opening(connector(2)));
        let unknown = SessionId(Hash32::ZERO);
        let at = fixture.now;
        let readings = vec![
            reading(unknown, 1, at, 1_000),
            reading(good, 1, at, 1_000),
            reading(waiting, 1, at, 1_000),
            reading(good, 3, at, 1_010),
            reading(good, 2, at, 1_020),
            reading(good, 2, at, 1_020),
        ];
        let outcome = |session, sequence, refused| Event::ReadingHandled { session, sequence, refused };
        let expected = [
            outcome(unknown, 1, Some(Code::UnknownSession)),
            outcome(good, 1, None),
            outcome(waiting, 1, Some(Code::ReadingNotMetering)),
            outcome(good, 3, Some(Code::ReadingGap)),
            outcome(good, 2, None),
            outcome(good, 2, Some(Code::ReadingReplay)),
        ];
        assert_eq!(fixture.applies(GATEWAY, &Attest { readings }), expected);
    }

    #[test]
    fn whoever_is_no_gateway_there_is_refused_reading_by_reading() {
        let mut fixture = Fixture::new();
        let id = fixture.charges(1);
        let before = fixture.session(id);
        for account in [RESIDENT, SCHEDULER, AWAY_STAFF] {
            let events = fixture.applies(account, &Attest { readings: vec![reading(id, 1, fixture.now, 1_000)] });
            assert_eq!(outcomes(&events), [Some(Code::ReadingNotYours)]);
        }
        assert_eq!(fixture.session(id), before);
    }

    #[test]
    fn takes_one_to_two_hundred_and_fifty_six_readings() {
        let mut fixture = Fixture::new();
        assert_eq!(fixture.rejects(GATEWAY, &Attest { readings: Vec::new() }), Code::ZeroValue.into());
        let any = reading(SessionId(Hash32::ZERO), 1, fixture.now, 0);
        let refused = fixture.rejects(GATEWAY, &Attest { readings: vec![any; 257] });
        assert_eq!(refused, Rejection::of(Code::TooMany, MAX_READINGS.into(), 257));
        assert_eq!(fixture.applies(GATEWAY, &Attest { readings: vec![any; 256] }).len(), 256);
    }

    #[test]
    fn unknown_flags_and_sequence_zero_are_refused() {
        let mut fixture = Fixture::new();
        let id = fixture.charges(1);
        let strange = Reading { flags: ReadingFlags(4), ..reading(id, 1, fixture.now, 1_000) };
        assert_eq!(sends(&mut fixture, strange), Some(Code::NotActive));
        assert_eq!(fixture.reads(id, 0, 1_000), Some(Code::ReadingReplay));
        assert_eq!(fixture.reads(id, 2, 1_000), Some(Code::ReadingGap));
        let last = reading(id, u64::MAX, fixture.now, 1_000);
        assert_eq!(sends(&mut fixture, last), Some(Code::ReadingGap));
    }

    #[test]
    fn times_run_from_the_grant_less_the_drift_to_the_block_plus_the_drift() {
        let mut fixture = Fixture::new();
        let id = fixture.charges(1);
        let drift_ms = fixture.params.drift.ms();
        let too_early = reading(id, 1, earlier(&fixture, drift_ms + 1), 1_000);
        assert_eq!(sends(&mut fixture, too_early), Some(Code::ReadingBeforeGrant));
        let too_late = reading(id, 1, later(&fixture, drift_ms + 1), 1_000);
        assert_eq!(sends(&mut fixture, too_late), Some(Code::ReadingAhead));
        let early = reading(id, 1, earlier(&fixture, drift_ms), 1_000);
        assert_eq!(sends(&mut fixture, early), None);
        // Before the grant, nothing but the constant can have flowed.
        let still_early = reading(id, 2, earlier(&fixture, drift_ms), 1_051);
        assert_eq!(sends(&mut fixture, still_early), Some(Code::ReadingImpossible));
        let backwards = reading(id, 2, earlier(&fixture, drift_ms + 1), 1_000);
        assert_eq!(sends(&mut fixture, backwards), Some(Code::ReadingBackwards));
        let ahead = reading(id, 2, later(&fixture, drift_ms), 1_000);
        assert_eq!(sends(&mut fixture, ahead), None);
        let same_instant = Reading { sequence: 3, ..ahead };
        assert_eq!(sends(&mut fixture, same_instant), None);
    }

    #[test]
    fn registers_never_fall_not_even_below_the_connectors_last() {
        let mut fixture = Fixture::new();
        let id = fixture.charges(1);
        assert_eq!(fixture.reads(id, 1, 999), Some(Code::ReadingFalling));
        assert_eq!(fixture.reads(id, 1, 1_000), None);
        fixture.wait(Duration::from_mins(1));
        assert_eq!(fixture.reads(id, 2, 1_200), None);
        assert_eq!(fixture.reads(id, 3, 1_199), Some(Code::ReadingFalling));
        assert_eq!(fixture.reads(id, 3, 1_200), None);
    }

    #[test]
    fn energy_that_flowed_while_no_session_was_open_is_nobodys() {
        let mut fixture = Fixture::new();
        let id = fixture.charges(1);
        let events = fixture.applies(GATEWAY, &Attest { readings: vec![reading(id, 1, fixture.now, 1_300)] });
        assert_eq!(events[1..], [Event::EnergyUnassigned { connector: connector(1), energy: WattHours::new(300) }]);
        let row = fixture.connector(connector(1));
        assert_eq!((row.unassigned, row.last_register), (WattHours::new(300), WattHours::new(1_300)));
        assert_eq!(fixture.session(id).cost.total(), Some(Cost::ZERO));
        fixture.reads(id, 2, 1_310);
        assert_eq!(fixture.connector(connector(1)).unassigned, WattHours::new(300));
    }

    #[test]
    fn more_energy_than_electricity_could_have_brought_is_refused() {
        let mut fixture = Fixture::new();
        let id = fixture.charges(1);
        assert_eq!(fixture.reads(id, 1, 1_000), None);
        assert_eq!(fixture.reads(id, 2, 1_000 + 51), Some(Code::ReadingImpossible));
        assert_eq!(fixture.reads(id, 2, 1_000 + 50), None);
        // 3 × 32 A × 253 V × 1.05 = 25 502.4 W: 25 502 Wh in an hour, and 50 Wh once.
        fixture.wait(Duration::from_hours(1));
        assert_eq!(fixture.reads(id, 3, 1_000 + 25_553), Some(Code::ReadingImpossible));
        assert_eq!(fixture.reads(id, 3, 1_000 + 25_552), None);
        // The constant is not given again, and two hours bring 51 004.8 Wh + 50 Wh.
        fixture.wait(Duration::from_hours(1));
        assert_eq!(fixture.reads(id, 4, 1_000 + 51_055), Some(Code::ReadingImpossible));
        assert_eq!(fixture.reads(id, 4, 1_000 + 51_054), None);
        assert_eq!(fixture.reads(id, 5, u64::MAX), Some(Code::ReadingImpossible));
    }

    #[test]
    fn the_bound_counts_rated_phases_and_is_not_reset_by_a_pause() {
        let mut fixture = Fixture::new();
        let single = Connector { rated: Currents::from_ma([16_000, 0, 0]), ..fixture.connector(connector(1)) };
        fixture.put(&Key::Connector(connector(1)), &single);
        let id = fixture.opens(RESIDENT, &opening(connector(1)));
        fixture.grants(id, SIXTEEN);
        assert_eq!(fixture.reads(id, 1, 1_000), None);
        fixture.wait(Duration::from_mins(30));
        fixture.applies(SCHEDULER, &PauseCharge { session: id, reason: PauseReason::Manual });
        fixture.wait(Duration::from_mins(30));
        // 16 A × 253 V × 1.05 = 4 250.4 W for an hour, and 50 Wh.
        assert_eq!(fixture.reads(id, 2, 1_000 + 4_301), Some(Code::ReadingImpossible));
        assert_eq!(fixture.reads(id, 2, 1_000 + 4_300), None);
        assert_eq!(fixture.session(id).state, SessionState::Paused);
    }

    #[test]
    fn a_session_that_is_over_takes_readings_up_to_the_lease_and_keeps_its_reason() {
        let mut fixture = Fixture::new();
        let id = fixture.charges(1);
        assert_eq!(fixture.reads(id, 1, 1_000), None);
        fixture.wait(Duration::from_mins(10));
        fixture.applies(RESIDENT, &StopSession { session: id });
        let stopping = fixture.session(id);
        let lease_ms = fixture.params.lease.ms();
        let last = later(&fixture, lease_ms);
        fixture.wait(Duration::from_mins(30));
        let after = reading(id, 2, Timestamp::from_ms(last.ms() + 1), 1_500);
        assert_eq!(sends(&mut fixture, after), Some(Code::ReadingAfterStop));
        let flags = ReadingFlags(ReadingFlags::VEHICLE_FULL.0 | ReadingFlags::VEHICLE_REMOVED.0);
        assert_eq!(sends(&mut fixture, Reading { at: last, flags, ..after }), None);
        let session = fixture.session(id);
        assert_eq!((session.state, session.due), (stopping.state, stopping.due));
        assert_eq!(session.cost.total(), Cost::of_energy(WattHours::new(500), Amount::from_micro(250_000)));
    }

    #[test]
    fn a_vehicle_that_is_full_or_leaves_ends_its_session_at_the_readings_time() {
        let both = ReadingFlags(ReadingFlags::VEHICLE_FULL.0 | ReadingFlags::VEHICLE_REMOVED.0);
        for (flags, reason) in [
            (ReadingFlags::VEHICLE_FULL, EndReason::VehicleFull),
            (ReadingFlags::VEHICLE_REMOVED, EndReason::VehicleRemoved),
            (both, EndReason::VehicleFull),
        ] {
            let mut fixture = Fixture::new();
            let id = fixture.charges(1);
            fixture.wait(Duration::from_mins(10));
            let at = earlier(&fixture, 7_000);
            let events = fixture.applies(GATEWAY, &Attest { readings: vec![Reading { flags, ..reading(id, 1, at, 1_000) }] });
            let settle_by = fixture.now.saturating_add(fixture.params.settle_grace);
            assert_eq!(events[1..], [Event::SessionStopping { session: id, reason, settle_by }]);
            let session = fixture.session(id);
            assert_eq!((session.state, session.due), (SessionState::Stopping { reason, at }, settle_by));
            assert_eq!(fixture.group(GARAGE).granted, Currents::ZERO);
        }
    }

    #[test]
    fn a_meter_without_a_switch_is_read_like_any_other() {
        let mut fixture = Fixture::new();
        let id = fixture.opens(RESIDENT, &opening(METER_ONLY));
        assert_eq!(fixture.reads(id, 1, 1_000), None);
        fixture.wait(Duration::from_hours(1));
        let flags = ReadingFlags::VEHICLE_REMOVED;
        let last = Reading { flags, ..reading(id, 2, fixture.now, 3_000) };
        assert_eq!(sends(&mut fixture, last), None);
        let bill = crate::testing::bill(&fixture.applies(GATEWAY, &SettleSession { session: id }));
        assert_eq!((bill.paid, bill.reason), (Amount::from_micro(500_000), EndReason::VehicleRemoved));
    }

    #[test]
    fn a_cost_that_reaches_the_escrow_ends_the_session_by_money() {
        let mut fixture = Fixture::new();
        let id = fixture.charges(1);
        assert_eq!(fixture.reads(id, 1, 1_000), None);
        fixture.wait(Duration::from_hours(2));
        assert_eq!(fixture.reads(id, 2, 1_000 + 39_999), None);
        assert_eq!(fixture.session(id).state, SessionState::Charging);
        let full = Reading { flags: ReadingFlags::VEHICLE_FULL, ..reading(id, 3, fixture.now, 1_000 + 40_000) };
        assert_eq!(sends(&mut fixture, full), None);
        let session = fixture.session(id);
        assert_eq!(session.state, SessionState::Stopping { reason: EndReason::Money, at: fixture.now });
        assert_eq!(session.billed_at_limit, None);
        let bill = crate::testing::bill(&fixture.applies(GATEWAY, &SettleSession { session: id }));
        assert_eq!((bill.paid, bill.refund, bill.overdrawn), (tokens(10), Amount::ZERO, None));
    }

    #[test]
    fn a_cost_that_equals_the_escrow_ends_the_session_and_one_watt_hour_less_does_not() {
        let mut fixture = Fixture::new();
        let id = fixture.charges(3);
        assert_eq!(fixture.reads(id, 1, 1_000), None);
        fixture.wait(Duration::from_hours(2));
        // 1 once and 0.30 for each of 30 kWh are the 10 of the escrow, to the last part of a micro-token.
        assert_eq!(fixture.reads(id, 2, 30_999), None);
        assert_eq!(fixture.session(id).state, SessionState::Charging);
        let settle_by = fixture.now.saturating_add(fixture.params.settle_grace);
        let events = fixture.applies(GATEWAY, &Attest { readings: vec![reading(id, 3, fixture.now, 31_000)] });
        assert_eq!(events[1..], [Event::SessionStopping { session: id, reason: EndReason::Money, settle_by }]);
        assert_eq!(fixture.session(id).cost.total(), Cost::from_amount(tokens(10)));
        assert_eq!(fixture.group(GARAGE).granted, Currents::ZERO);
        let bill = crate::testing::bill(&fixture.applies(GATEWAY, &SettleSession { session: id }));
        assert_eq!((bill.paid, bill.refund, bill.overdrawn), (tokens(10), Amount::ZERO, None));
        assert_eq!(bill.energy_billed, bill.energy);
    }

    #[test]
    fn a_cost_beyond_all_amounts_is_still_bounded_by_the_escrow() {
        let mut fixture = Fixture::new();
        let tariff = crate::testing::simple_tariff(Amount::MAX, Amount::ZERO);
        fixture.put_tariff(crate::testing::PLAIN, 1, Timestamp::from_ms(0), tariff);
        let id = fixture.opens(RESIDENT, &OpenSession { max_spend: tokens(1), ..opening(connector(1)) });
        fixture.grants(id, SIXTEEN);
        assert_eq!(fixture.reads(id, 1, 1_000), None);
        fixture.wait(Duration::from_hours(9));
        // The exact cost goes on beyond what an amount can hold.
        assert_eq!(fixture.reads(id, 2, 101_000), None);
        let bill = crate::testing::bill(&fixture.applies(GATEWAY, &SettleSession { session: id }));
        assert_eq!((bill.paid, bill.reason), (tokens(1), EndReason::Money));
        assert_eq!((bill.energy, bill.energy_billed), (WattHours::new(100_000), WattHours::ZERO));
    }
}
