//! `StopSession`: ends a session: its owner may, and a manager of the condominium.

use chain::{
    code::{Code, Rejection},
    id::SessionId,
    record::{EndReason, Role, SessionState},
};
use serde::{Deserialize, Serialize};

use crate::{
    call::Action,
    context::CallContext,
    failure::Failure,
    ledger::Ledger,
    roles,
    sessions::{self, End},
};

/// Ends a session: its owner may, and a manager of the condominium.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct StopSession {
    /// Which.
    pub session: SessionId,
}

impl Action for StopSession {
    fn name(&self) -> &'static str {
        "stop_session"
    }

    fn check(&self) -> Result<(), Rejection> {
        Ok(())
    }

    fn apply(&self, context: &CallContext<'_>, ledger: &mut Ledger<'_>) -> Result<(), Failure> {
        let session = sessions::existing(ledger, self.session)?;
        let reason = if context.account == session.account {
            EndReason::StoppedByResident
        } else {
            roles::require(ledger, context, session.connector.condominium, Role::Manager)?;
            EndReason::StoppedByManager
        };
        match session.state {
            SessionState::Queued | SessionState::Charging | SessionState::Paused | SessionState::Idle => {}
            SessionState::Stopping { .. } => return Err(Code::WrongSessionState.into()),
        }

        // every check is done: from here on only writes
        sessions::end(ledger, context.block, self.session, session, End { reason, at: context.block.timestamp })
    }
}

#[cfg(test)]
mod tests {
    use chain::{
        code::Code,
        hash::Hash32,
        id::SessionId,
        quantity::Currents,
        receipt::{Event, PauseReason, Settler},
        record::{EndReason, SessionState},
        time::Duration,
    };

    use super::StopSession;
    use crate::{
        call::PauseCharge,
        testing::{
            AWAY_STAFF, Fixture, GARAGE, GATEWAY, MANAGER, NEIGHBOUR, RESIDENT, SCHEDULER, TREASURER, bill, connector, opening, tokens,
        },
    };

    #[test]
    fn gives_the_current_back_and_waits_for_the_last_readings() {
        let mut fixture = Fixture::new();
        let session = fixture.charges(1);
        fixture.wait(Duration::from_mins(30));
        let settle_by = fixture.now.saturating_add(fixture.params.settle_grace);
        let event = Event::SessionStopping { session, reason: EndReason::StoppedByResident, settle_by };
        assert_eq!(fixture.applies(RESIDENT, &StopSession { session }), [event]);
        let record = fixture.session(session);
        assert_eq!(record.state, SessionState::Stopping { reason: EndReason::StoppedByResident, at: fixture.now });
        assert_eq!(record.due, settle_by);
        assert_eq!(fixture.group(GARAGE).granted, Currents::ZERO);
        assert_eq!(fixture.account(RESIDENT).held, tokens(10));
        for account in [RESIDENT, MANAGER] {
            assert_eq!(fixture.rejects(account, &StopSession { session }), Code::WrongSessionState.into());
        }
    }

    #[test]
    fn a_paused_session_stops_too_and_a_manager_may_stop_any() {
        let mut fixture = Fixture::new();
        let session = fixture.charges(1);
        fixture.applies(SCHEDULER, &PauseCharge { session, reason: PauseReason::Manual });
        fixture.applies(MANAGER, &StopSession { session });
        let stopping = SessionState::Stopping { reason: EndReason::StoppedByManager, at: fixture.now };
        assert_eq!(fixture.session(session).state, stopping);
    }

    #[test]
    fn a_waiting_session_is_settled_at_once() {
        for (account, reason) in [(RESIDENT, EndReason::StoppedByResident), (MANAGER, EndReason::StoppedByManager)] {
            let mut fixture = Fixture::new();
            let session = fixture.opens(RESIDENT, &opening(connector(1)));
            let bill = bill(&fixture.applies(account, &StopSession { session }));
            assert_eq!((bill.reason, bill.settled_by, bill.refund), (reason, Settler::Chain, tokens(10)));
        }
    }

    #[test]
    fn refuses_anybody_else() {
        let mut fixture = Fixture::new();
        let session = fixture.charges(1);
        for account in [NEIGHBOUR, TREASURER, GATEWAY, SCHEDULER, AWAY_STAFF] {
            assert_eq!(fixture.rejects(account, &StopSession { session }), Code::NotAllowed.into());
        }
        assert_eq!(fixture.rejects(RESIDENT, &StopSession { session: SessionId(Hash32::ZERO) }), Code::UnknownSession.into());
    }
}
