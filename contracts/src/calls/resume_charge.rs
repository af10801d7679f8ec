//! `ResumeCharge`: gives a paused session a current again.

use chain::code::{Code, Rejection};
use chain::{id::SessionId, quantity::Currents};
use serde::{Deserialize, Serialize};

use crate::{call::Action, context::CallContext, failure::Failure, ledger::Ledger};

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
        Ok(())
    }

    fn apply(&self, _context: &CallContext<'_>, _ledger: &mut Ledger<'_>) -> Result<(), Failure> {
        Err(Code::NotActive.into())
    }
}
