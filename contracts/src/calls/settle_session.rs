//! `SettleSession`: pays for a session that is over and refunds the rest, in one step.

use chain::{
    code::{Code, Rejection},
    id::SessionId,
    receipt::Settler,
    record::{Role, SessionState},
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

/// Pays for a session that is over and refunds the rest, in one step.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SettleSession {
    /// Which.
    pub session: SessionId,
}

impl Action for SettleSession {
    fn name(&self) -> &'static str {
        "settle_session"
    }

    fn check(&self) -> Result<(), Rejection> {
        Ok(())
    }

    fn apply(&self, context: &CallContext<'_>, ledger: &mut Ledger<'_>) -> Result<(), Failure> {
        let session = sessions::existing(ledger, self.session)?;
        roles::require(ledger, context, session.connector.condominium, Role::Gateway)?;
        match session.state {
            SessionState::Stopping { reason, at } => {
                sessions::settle(ledger, context.block, self.session, &session, End { reason, at }, Settler::Gateway)
            }
            SessionState::Queued | SessionState::Charging | SessionState::Paused | SessionState::Idle => {
                Err(Code::WrongSessionState.into())
            }
        }
    }
}
