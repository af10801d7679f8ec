//! `ResumeCharge`: gives a paused session a current again.

use chain::{
    code::{Code, Rejection},
    id::SessionId,
    quantity::Currents,
    record::{Role, SessionState},
};
use serde::{Deserialize, Serialize};

use crate::{call::Action, context::CallContext, failure::Failure, ledger::Ledger, roles, sessions};

/// Gives a paused session a current again.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ResumeCharge {
    /// Which.
    pub session: SessionId,
    /// How much, per phase: none or at least the minimum.
    pub current: Currents,
}

impl Action for ResumeCharge {
    fn name(&self) -> &'static str {
        "resume_charge"
    }

    fn check(&self) -> Result<(), Rejection> {
        if self.current.is_zero() { Err(Code::ZeroValue.into()) } else { Ok(()) }
    }

    fn apply(&self, context: &CallContext<'_>, ledger: &mut Ledger<'_>) -> Result<(), Failure> {
        let session = sessions::existing(ledger, self.session)?;
        roles::require(ledger, context, session.connector.condominium, Role::Scheduler)?;
        let connector = sessions::connector_of(ledger, &session)?;
        sessions::switched(&connector)?;
        if session.state != SessionState::Paused {
            return Err(Code::WrongSessionState.into());
        }
        sessions::check_current(&context.block.params, &connector, self.current)?;
        sessions::hold_current(ledger, &session, self.current)?;

        // every check is done: from here on only writes
        sessions::write_charging(ledger, context, self.session, session, self.current)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use chain::{
        code::{Code, Rejection},
        hash::Hash32,
        id::SessionId,
        quantity::Currents,
        receipt::{Event, PauseReason},
        record::SessionState,
        time::Duration,
    };

    use super::ResumeCharge;
    use crate::{
        call::PauseCharge,
        testing::{
            Fixture, GARAGE, GATEWAY, MANAGER, METER_ONLY, NEIGHBOUR, RESIDENT, SCHEDULER, SIXTEEN, THREE_PHASE, connector, opening,
        },
    };

    fn resume(session: SessionId, current: Currents) -> ResumeCharge {
        ResumeCharge { session, current }
    }

    #[test]
    fn gives_a_current_again_without_a_new_start() {
        let mut fixture = Fixture::new();
        let session = fixture.charges(1);
        let before = fixture.session(session);
        fixture.applies(SCHEDULER, &PauseCharge { session, reason: PauseReason::Manual });
        fixture.wait(Duration::from_mins(10));
        let height = fixture.height;
        let events = fixture.applies(SCHEDULER, &resume(session, SIXTEEN));
        assert_eq!(events, [Event::SessionGranted { session, current: SIXTEEN }]);
        let mut expected = before;
        (expected.granted, expected.granted_height) = (SIXTEEN, height);
        assert_eq!(fixture.session(session), expected);
        assert_eq!(fixture.session(session).state, SessionState::Charging);
        assert_eq!(fixture.group(GARAGE).granted, SIXTEEN);
    }

    #[test]
    fn refuses_what_a_grant_refuses_and_what_is_not_paused() {
        let mut fixture = Fixture::new();
        let session = fixture.charges(1);
        assert_eq!(fixture.rejects(SCHEDULER, &resume(session, SIXTEEN)), Code::WrongSessionState.into());
        fixture.applies(SCHEDULER, &PauseCharge { session, reason: PauseReason::Manual });
        for account in [RESIDENT, MANAGER, GATEWAY] {
            assert_eq!(fixture.rejects(account, &resume(session, SIXTEEN)), Code::NotAllowed.into());
        }
        let other = fixture.opens(NEIGHBOUR, &opening(connector(2)));
        fixture.grants(other, THREE_PHASE);
        let mut refused = |ma| fixture.rejects(SCHEDULER, &resume(session, Currents::from_ma(ma)));
        assert_eq!(refused([0, 0, 0]), Code::ZeroValue.into());
        assert_eq!(refused([1, 0, 0]), Rejection::of(Code::BelowMinimumCurrent, 6_000, 1));
        assert_eq!(refused([0, 0, 32_001]), Rejection::of(Code::ConnectorRating, 32_000, 32_001));
        assert_eq!(refused([0, 0, 9_000]), Rejection::of(Code::GroupLimit, 40_000, 41_000));
        assert_eq!(fixture.rejects(SCHEDULER, &resume(SessionId(Hash32::ZERO), SIXTEEN)), Code::UnknownSession.into());
        let metered = fixture.opens(NEIGHBOUR, &opening(METER_ONLY));
        assert_eq!(fixture.rejects(SCHEDULER, &resume(metered, SIXTEEN)), Code::MeterOnly.into());
    }
}
