//! `SettleSession`: pays for a session that is over and refunds the rest, in one step.

use chain::code::{Code, Rejection};
use chain::id::SessionId;
use serde::{Deserialize, Serialize};

use crate::{call::Action, context::CallContext, failure::Failure, ledger::Ledger};

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

    fn apply(&self, _context: &CallContext<'_>, _ledger: &mut Ledger<'_>) -> Result<(), Failure> {
        Err(Code::NotActive.into())
    }
}
