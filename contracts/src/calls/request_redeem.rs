//! `RequestRedeem`: locks tokens that their holder wants paid out by his home condominium.

use chain::code::{Code, Rejection};
use chain::{hash::Hash32, quantity::Amount};
use serde::{Deserialize, Serialize};

use crate::{call::Action, context::CallContext, failure::Failure, ledger::Ledger};

/// Locks tokens that their holder wants paid out by his home condominium.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RequestRedeem {
    /// How many tokens.
    pub amount: Amount,
    /// A salted commitment to where the money shall go.
    pub payee: Hash32,
}

impl Action for RequestRedeem {
    fn name(&self) -> &'static str {
        "request_redeem"
    }

    fn check(&self) -> Result<(), Rejection> {
        Ok(())
    }

    fn apply(&self, _context: &CallContext<'_>, _ledger: &mut Ledger<'_>) -> Result<(), Failure> {
        Err(Code::NotActive.into())
    }
}
