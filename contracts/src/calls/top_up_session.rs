//! `TopUpSession`: locks more for a session that is open.

use chain::code::{Code, Rejection};
use chain::{id::SessionId, quantity::Amount};
use serde::{Deserialize, Serialize};

use crate::{call::Action, context::CallContext, failure::Failure, ledger::Ledger};

/// Locks more for a session that is open.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TopUpSession {
    /// Which.
    pub session: SessionId,
    /// How many tokens more.
    pub amount: Amount,
}

impl Action for TopUpSession {
    fn name(&self) -> &'static str {
        "top_up_session"
    }

    fn check(&self) -> Result<(), Rejection> {
        Ok(())
    }

    fn apply(&self, _context: &CallContext<'_>, _ledger: &mut Ledger<'_>) -> Result<(), Failure> {
        Err(Code::NotActive.into())
    }
}
