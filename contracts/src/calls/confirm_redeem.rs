//! `ConfirmRedeem`: answers a redemption: the tokens are gone because the money was paid, or they go back.

use chain::code::{Code, Rejection};
use chain::{hash::Hash32, id::RedemptionId};
use serde::{Deserialize, Serialize};

use crate::{call::Action, context::CallContext, failure::Failure, ledger::Ledger};

/// Answers a redemption: the tokens are gone because the money was paid, or they go back.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ConfirmRedeem {
    /// Which request.
    pub redemption: RedemptionId,
    /// What became of it.
    pub answer: RedeemAnswer,
}

/// What a treasurer did about a redemption.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RedeemAnswer {
    /// The money was paid.
    Paid {
        /// A salted commitment to the payment's reference.
        payment: Hash32,
    },
    /// It was not; the tokens go back to their holder.
    Refused,
}

impl Action for ConfirmRedeem {
    fn name(&self) -> &'static str {
        "confirm_redeem"
    }

    fn check(&self) -> Result<(), Rejection> {
        Ok(())
    }

    fn apply(&self, _context: &CallContext<'_>, _ledger: &mut Ledger<'_>) -> Result<(), Failure> {
        Err(Code::NotActive.into())
    }
}
