//! `StopSession`: ends a session: its owner may, and a manager of the condominium.

use chain::code::{Code, Rejection};
use chain::id::SessionId;
use serde::{Deserialize, Serialize};

use crate::{call::Action, context::CallContext, failure::Failure, ledger::Ledger};

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

    fn apply(&self, _context: &CallContext<'_>, _ledger: &mut Ledger<'_>) -> Result<(), Failure> {
        Err(Code::NotActive.into())
    }
}
