//! `PauseCharge`: takes the current from a charging session for a while.

use chain::code::{Code, Rejection};
use chain::{id::SessionId, receipt::PauseReason};
use serde::{Deserialize, Serialize};

use crate::{call::Action, context::CallContext, failure::Failure, ledger::Ledger};

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

    fn apply(&self, _context: &CallContext<'_>, _ledger: &mut Ledger<'_>) -> Result<(), Failure> {
        Err(Code::NotActive.into())
    }
}
