//! `GrantCharge`: gives a waiting session its first current, or a charging one another.

use chain::code::{Code, Rejection};
use chain::{id::SessionId, quantity::Currents, receipt::SkipReason};
use serde::{Deserialize, Serialize};

use crate::{call::Action, context::CallContext, failure::Failure, ledger::Ledger};

/// Gives a waiting session its first current, or a charging one another.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct GrantCharge {
    /// Which.
    pub session: SessionId,
    /// How much, per phase: none or at least the minimum.
    pub current: Currents,
    /// Sessions of the same group that wait longer and are passed over, each with its reason.
    pub skipped: Vec<Skipped>,
}

/// A session that is passed over, and why.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Skipped {
    /// Which.
    pub session: SessionId,
    /// Why.
    pub reason: SkipReason,
}

impl Action for GrantCharge {
    fn name(&self) -> &'static str {
        "grant_charge"
    }

    fn check(&self) -> Result<(), Rejection> {
        Ok(())
    }

    fn apply(&self, _context: &CallContext<'_>, _ledger: &mut Ledger<'_>) -> Result<(), Failure> {
        Err(Code::NotActive.into())
    }
}
