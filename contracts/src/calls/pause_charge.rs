//! `PauseCharge`: takes the current from a charging session for a while.

use chain::{code::Rejection, id::SessionId, receipt::PauseReason, record::Role};
use serde::{Deserialize, Serialize};

use crate::{call::Action, context::CallContext, failure::Failure, ledger::Ledger, roles, sessions};

/// Takes the current from a charging session for a while.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PauseCharge {
    /// Which.
    pub session: SessionId,
    /// Why.
    pub reason: PauseReason,
}

impl Action for PauseCharge {
    fn name(&self) -> &'static str {
        "pause_charge"
    }

    fn check(&self) -> Result<(), Rejection> {
        Ok(())
    }

    fn apply(&self, context: &CallContext<'_>, ledger: &mut Ledger<'_>) -> Result<(), Failure> {
        let session = sessions::existing(ledger, self.session)?;
        roles::require(ledger, context, session.connector.condominium, Role::Scheduler)?;
        sessions::pause(ledger, context.block, self.session, self.reason)
    }
}

#[cfg(test)]
mod tests {
    use chain::{
        code::Code,
        hash::Hash32,
        id::SessionId,
        quantity::Currents,
        receipt::{Event, PauseReason},
        record::SessionState,
        time::Duration,
    };

    use super::PauseCharge;
    use crate::testing::{BUILDING, Fixture, GARAGE, GATEWAY, MANAGER, METER_ONLY, NEIGHBOUR, RESIDENT, SCHEDULER, connector, opening};

    fn pause(session: SessionId) -> PauseCharge {
        PauseCharge { session, reason: PauseReason::LaterDeparture }
    }

    #[test]
    fn gives_the_current_back_while_the_duration_goes_on() {
        let mut fixture = Fixture::new();
        let session = fixture.charges(1);
        let before = fixture.session(session);
        fixture.wait(Duration::from_mins(1));
        let events = fixture.applies(SCHEDULER, &pause(session));
        assert_eq!(events, [Event::SessionPaused { session, reason: PauseReason::LaterDeparture }]);
        let mut expected = before;
        (expected.state, expected.granted) = (SessionState::Paused, Currents::ZERO);
        assert_eq!(fixture.session(session), expected);
        assert_eq!(fixture.group(GARAGE).granted, Currents::ZERO);
        assert_eq!(fixture.group(BUILDING).granted, Currents::ZERO);
    }

    #[test]
    fn refuses_others_what_does_not_charge_and_points_without_a_switch() {
        let mut fixture = Fixture::new();
        let session = fixture.opens(RESIDENT, &opening(connector(1)));
        assert_eq!(fixture.rejects(SCHEDULER, &pause(session)), Code::WrongSessionState.into());
        fixture.grants(session, crate::testing::THREE_PHASE);
        for account in [RESIDENT, MANAGER, GATEWAY] {
            assert_eq!(fixture.rejects(account, &pause(session)), Code::NotAllowed.into());
        }
        fixture.applies(SCHEDULER, &pause(session));
        assert_eq!(fixture.rejects(SCHEDULER, &pause(session)), Code::WrongSessionState.into());
        let metered = fixture.opens(NEIGHBOUR, &opening(METER_ONLY));
        assert_eq!(fixture.rejects(SCHEDULER, &pause(metered)), Code::MeterOnly.into());
        assert_eq!(fixture.rejects(SCHEDULER, &pause(SessionId(Hash32::ZERO))), Code::UnknownSession.into());
    }
}
