//! `AttestUnassigned`: a gateway says what a connector's meter shows although no session is open there; what flowed since is nobody's to pay.
//!
//! It is for energy that no session will bill: at a meter without a switch whose driver has no mandate, whose start was refused or whose escrow is spent, and at a
//! relay that is welded. No money moves: the condominium bears it and everybody can see how much it is. What is still not said when the next session begins
//! is recorded by that session's first reading. The register is not held against what electricity can bring, because the last one has no time: nobody pays
//! for what it shows, and a register that is wrong is mended by who replaces the meter. So it is never more than such an exchange can name ([`can_be_shown`]).

use chain::{
    code::{Code, Rejection},
    id::ConnectorId,
    quantity::WattHours,
    receipt::Event,
    record::{Connector, Key},
    time::Timestamp,
};
use serde::{Deserialize, Serialize};

use super::replace_meter::{MAX_SHOWN, can_be_shown};
use crate::{call::Action, context::CallContext, failure::Failure, ledger::Ledger, roles};

/// Records energy that flowed at a connector where no session is open.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AttestUnassigned {
    /// Where.
    pub connector: ConnectorId,
    /// When the meter was read.
    pub at: Timestamp,
    /// The cumulative register.
    pub register_wh: WattHours,
}

impl Action for AttestUnassigned {
    fn name(&self) -> &'static str {
        "attest_unassigned"
    }

    fn check(&self) -> Result<(), Rejection> {
        Ok(())
    }

    fn apply(&self, context: &CallContext<'_>, ledger: &mut Ledger<'_>) -> Result<(), Failure> {
        let connector = ledger.connector(self.connector)?.ok_or(Code::UnknownConnector)?;
        roles::require_trusted_gateway(ledger, context, self.connector.condominium)?;
        if connector.session.is_some() {
            // Its readings say what its meter shows.
            return Err(Code::ConnectorBusy.into());
        }
        if self.at > context.block.timestamp.saturating_add(context.block.params.drift) {
            return Err(Code::ReadingAhead.into());
        }
        if self.register_wh < connector.last_register {
            return Err(Code::ReadingFalling.into());
        }
        if !can_be_shown(ledger, self.connector, self.register_wh)? {
            return Err(Rejection::of(Code::OverLimit, MAX_SHOWN.get(), self.register_wh.get()).into());
        }
        let energy = self.register_wh.saturating_sub(connector.last_register);
        if energy.is_zero() {
            return Err(Code::ZeroValue.into());
        }
        let unassigned = connector.unassigned.checked_add(energy).ok_or(Code::Overflow)?;

        // every check is done: from here on only writes
        ledger.put(&Key::Connector(self.connector), &Connector { last_register: self.register_wh, unassigned, ..connector })?;
        ledger.emit(Event::EnergyUnassigned { connector: self.connector, energy });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use chain::time::Duration;

    use super::*;
    use crate::{
        call::{CancelSession, ReplaceMeter, SettleSession, StopSession},
        testing::{AWAY_STAFF, Fixture, GATEWAY, MANAGER, METER_ONLY, RESIDENT, SCHEDULER, bill, connector, opening},
    };

    fn shows(fixture: &Fixture, place: ConnectorId, wh: u64) -> AttestUnassigned {
        AttestUnassigned { connector: place, at: fixture.now, register_wh: WattHours::new(wh) }
    }

    #[test]
    fn what_flows_without_a_session_is_counted_for_nobody_and_moves_no_money() {
        let mut fixture = Fixture::new();
        let before = fixture.account(RESIDENT);
        for (wh, energy) in [(1_300, 300), (2_000, 700)] {
            let call = shows(&fixture, METER_ONLY, wh);
            let expected = Event::EnergyUnassigned { connector: METER_ONLY, energy: WattHours::new(energy) };
            assert_eq!(fixture.applies(GATEWAY, &call), [expected]);
        }
        let row = fixture.connector(METER_ONLY);
        assert_eq!((row.unassigned, row.last_register), (WattHours::new(1_000), WattHours::new(2_000)));
        assert_eq!(fixture.account(RESIDENT), before);
        // The next session begins where the meter stands: nothing of it is billed, and nothing is counted twice.
        let id = fixture.opens(RESIDENT, &opening(METER_ONLY));
        fixture.reads(id, 1, 2_000);
        fixture.wait(Duration::from_mins(10));
        fixture.reads(id, 2, 2_100);
        fixture.applies(RESIDENT, &StopSession { session: id });
        let events = fixture.applies(GATEWAY, &SettleSession { session: id });
        assert_eq!(bill(&events).energy, WattHours::new(100));
        assert_eq!(fixture.connector(METER_ONLY).unassigned, WattHours::new(1_000));
        let call = shows(&fixture, METER_ONLY, 2_250);
        fixture.applies(GATEWAY, &call);
        assert_eq!(fixture.connector(METER_ONLY).unassigned, WattHours::new(1_150));
    }

    #[test]
    fn where_a_session_is_open_its_readings_speak() {
        let mut fixture = Fixture::new();
        let id = fixture.opens(RESIDENT, &opening(connector(1)));
        let call = shows(&fixture, connector(1), 1_300);
        assert_eq!(fixture.rejects(GATEWAY, &call), Code::ConnectorBusy.into());
        fixture.applies(RESIDENT, &CancelSession { session: id });
        fixture.applies(GATEWAY, &call);
    }

    #[test]
    fn refuses_others_the_future_and_what_no_meter_shows() {
        let mut fixture = Fixture::new();
        let call = shows(&fixture, METER_ONLY, 1_300);
        for account in [RESIDENT, MANAGER, SCHEDULER, AWAY_STAFF] {
            assert_eq!(fixture.rejects(account, &call), Code::NotAllowed.into());
        }
        let nowhere = AttestUnassigned { connector: connector(99), ..call };
        assert_eq!(fixture.rejects(GATEWAY, &nowhere), Code::UnknownConnector.into());
        let drift = fixture.params.drift;
        let early = AttestUnassigned { at: fixture.now.saturating_add(Duration::from_ms(drift.ms() + 1)), ..call };
        assert_eq!(fixture.rejects(GATEWAY, &early), Code::ReadingAhead.into());
        for (wh, code) in [(999, Code::ReadingFalling), (1_000, Code::ZeroValue)] {
            let call = shows(&fixture, METER_ONLY, wh);
            assert_eq!(fixture.rejects(GATEWAY, &call), code.into());
        }
        // As far as a meter can be exchanged, and no further.
        let most = MAX_SHOWN.get();
        for wh in [most + 1, u64::MAX] {
            let call = shows(&fixture, METER_ONLY, wh);
            assert_eq!(fixture.rejects(GATEWAY, &call), Rejection::of(Code::OverLimit, most, wh));
        }
        let call = shows(&fixture, METER_ONLY, most);
        fixture.applies(GATEWAY, &AttestUnassigned { at: fixture.now.saturating_add(drift), ..call });
        assert_eq!(fixture.connector(METER_ONLY).unassigned, WattHours::new(most - 1_000));
    }

    /// One message of one unit with the highest register that there is once made a connector useless for ever: no exchange could name that number.
    #[test]
    fn whatever_a_meter_has_shown_it_can_be_exchanged_and_the_next_may_count_as_far() {
        let mut fixture = Fixture::new();
        for register in [MAX_SHOWN.get(), 2 * MAX_SHOWN.get()] {
            let call = shows(&fixture, METER_ONLY, register);
            fixture.applies(GATEWAY, &call);
            let exchange = ReplaceMeter { connector: METER_ONLY, last: MAX_SHOWN, first: WattHours::ZERO };
            fixture.applies(MANAGER, &exchange);
            fixture.applies(GATEWAY, &exchange);
            assert_eq!(fixture.connector(METER_ONLY).last_register.get(), register);
        }
        let id = fixture.opens(RESIDENT, &opening(METER_ONLY));
        let most = 3 * MAX_SHOWN.get();
        assert_eq!(fixture.reads(id, 1, most + 1), Some(Code::ReadingImpossible));
        assert_eq!(fixture.reads(id, 1, most), None);
    }
}
