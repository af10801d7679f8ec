//! `GrantRole`: gives a role in a condominium from a height on.

use chain::code::{Code, Rejection};
use chain::{
    id::{Address, CondominiumId, Height},
    record::Role,
};
use serde::{Deserialize, Serialize};

use crate::{call::Action, context::CallContext, failure::Failure, ledger::Ledger};

/// Gives a role in a condominium from a height on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct GrantRole {
    /// Where.
    pub condominium: CondominiumId,
    /// Which.
    pub role: Role,
    /// To whom.
    pub account: Address,
    /// The first height at which it holds; after the block's own, and after the notice period where one applies.
    pub from: Height,
    /// The first height at which it is over.
    pub until: Option<Height>,
}

impl Action for GrantRole {
    fn name(&self) -> &'static str {
        "grant_role"
    }

    fn check(&self) -> Result<(), Rejection> {
        Ok(())
    }

    fn apply(&self, _context: &CallContext<'_>, _ledger: &mut Ledger<'_>) -> Result<(), Failure> {
        Err(Code::NotActive.into())
    }
}
