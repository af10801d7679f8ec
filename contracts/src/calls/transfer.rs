//! `Transfer`: gives tokens to another registered account.

use chain::code::{Code, Rejection};
use chain::{id::Address, quantity::Amount};
use serde::{Deserialize, Serialize};

use crate::{call::Action, context::CallContext, failure::Failure, ledger::Ledger};

/// Gives tokens to another registered account.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Transfer {
    /// Payee.
    pub to: Address,
    /// How many tokens.
    pub amount: Amount,
}

impl Action for Transfer {
    fn name(&self) -> &'static str {
        "transfer"
    }

    fn check(&self) -> Result<(), Rejection> {
        Ok(())
    }

    fn apply(&self, _context: &CallContext<'_>, _ledger: &mut Ledger<'_>) -> Result<(), Failure> {
        Err(Code::NotActive.into())
    }
}
