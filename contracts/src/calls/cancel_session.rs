//! `CancelSession`: gives up a session that still waits; everything is refunded.

use chain::{
    code::{Code, Rejection},
    id::SessionId,
    record::{EndReason, SessionState},
};
use serde::{Deserialize, Serialize};

use crate::{
    call::Action,
    context::CallContext,
    failure::Failure,
    ledger::Ledger,
    sessions::{self, End},
};

/// Gives up a session that still waits; everything is refunded.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CancelSession {
    /// Which.
    pub session: SessionId,
}

impl Action for CancelSession {
    fn name(&self) -> &'static str {
        "cancel_session"
    }

    fn check(&self) -> Result<(), Rejection> {
        Ok(())
    }

    fn apply(&self, context: &CallContext<'_>, ledger: &mut Ledger<'_>) -> Result<(), Failure> {
        let session = sessions::existing(ledger, self.session)?;
        sessions::require_owner(context, &session)?;
        if session.state != SessionState::Queued {
            return Err(Code::WrongSessionState.into());
        }

        // every check is done: from here on only writes
        sessions::end(ledger, context.block, self.session, session, End { reason: EndReason::Cancelled, at: context.block.timestamp })
    }
}

#[cfg(test)]
mod tests {
    use chain::{
        code::Code,
        hash::Hash32,
        id::SessionId,
        quantity::{Amount, WattHours},
        receipt::Settler,
        record::EndReason,
    };

    use super::CancelSession;
    use crate::testing::{BALANCE, Fixture, GATEWAY, MANAGER, NEIGHBOUR, RESIDENT, THREE_PHASE, bill, connector, opening, tokens};

    #[test]
    fn refunds_everything_at_once_and_frees_the_connector() {
        let mut fixture = Fixture::new();
        let session = fixture.opens(RESIDENT, &opening(connector(1)));
        fixture.wait(chain::time::Duration::from_mins(5));
        let bill = bill(&fixture.applies(RESIDENT, &CancelSession { session }));
        assert_eq!((bill.reason, bill.settled_by), (EndReason::Cancelled, Settler::Chain));
        assert_eq!((bill.ended_at, bill.settled_at), (fixture.now, fixture.now));
        assert_eq!((bill.paid, bill.refund, bill.escrow), (Amount::ZERO, tokens(10), tokens(10)));
        assert_eq!((bill.energy, bill.energy_billed, bill.readings), (WattHours::ZERO, WattHours::ZERO, 0));
        assert_eq!((bill.first_granted_at, bill.overdrawn), (None, None));
        let account = fixture.account(RESIDENT);
        assert_eq!((account.balance, account.held), (BALANCE, Amount::ZERO));
        assert_eq!(fixture.connector(connector(1)).session, None);
        assert_eq!(fixture.rejects(RESIDENT, &CancelSession { session }), Code::UnknownSession.into());
    }

    #[test]
    fn refuses_anybody_but_the_owner_and_anything_but_waiting() {
        let mut fixture = Fixture::new();
        let session = fixture.opens(RESIDENT, &opening(connector(1)));
        for other in [NEIGHBOUR, MANAGER, GATEWAY] {
            assert_eq!(fixture.rejects(other, &CancelSession { session }), Code::NotAllowed.into());
        }
        assert_eq!(fixture.rejects(RESIDENT, &CancelSession { session: SessionId(Hash32::ZERO) }), Code::UnknownSession.into());
        fixture.grants(session, THREE_PHASE);
        assert_eq!(fixture.rejects(RESIDENT, &CancelSession { session }), Code::WrongSessionState.into());
    }
}
