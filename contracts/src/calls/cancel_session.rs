//! `CancelSession`: gives up a session that still waits; everything is refunded.

use chain::code::{Code, Rejection};
use chain::id::SessionId;
use serde::{Deserialize, Serialize};

use crate::{call::Action, context::CallContext, failure::Failure, ledger::Ledger};

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

    fn apply(&self, _context: &CallContext<'_>, _ledger: &mut Ledger<'_>) -> Result<(), Failure> {
        Err(Code::NotActive.into())
    }
}
