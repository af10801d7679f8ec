//! `SellTokens`: mints tokens that a resident has paid for outside the chain; a first sale registers the account.

use chain::code::{Code, Rejection};
use chain::{
    hash::Hash32,
    id::{Address, CondominiumId},
    quantity::Amount,
};
use serde::{Deserialize, Serialize};

use crate::{call::Action, context::CallContext, failure::Failure, ledger::Ledger};

/// Mints tokens that a resident has paid for outside the chain; a first sale registers the account.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SellTokens {
    /// Who sells: the buyer's home.
    pub condominium: CondominiumId,
    /// Who buys.
    pub account: Address,
    /// How many tokens.
    pub amount: Amount,
    /// The condominium's next sale number: a sale that is sent twice is booked once.
    pub sale: u64,
    /// A salted commitment to the payment's reference.
    pub payment: Hash32,
}

impl Action for SellTokens {
    fn name(&self) -> &'static str {
        "sell_tokens"
    }

    fn check(&self) -> Result<(), Rejection> {
        Ok(())
    }

    fn apply(&self, _context: &CallContext<'_>, _ledger: &mut Ledger<'_>) -> Result<(), Failure> {
        Err(Code::NotActive.into())
    }
}
