//! `RevokeRole`: ends a role at a height.

use chain::code::{Code, Rejection};
use chain::{
    id::{Address, CondominiumId, Height},
    record::Role,
};
use serde::{Deserialize, Serialize};

use crate::{call::Action, context::CallContext, failure::Failure, ledger::Ledger};

/// Ends a role at a height.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RevokeRole {
    /// Where.
    pub condominium: CondominiumId,
    /// Which.
    pub role: Role,
    /// Whose.
    pub account: Address,
    /// The first height without it; after the block's own.
    pub until: Height,
}

impl Action for RevokeRole {
    fn name(&self) -> &'static str {
        "revoke_role"
    }

    fn check(&self) -> Result<(), Rejection> {
        Ok(())
    }

    fn apply(&self, _context: &CallContext<'_>, _ledger: &mut Ledger<'_>) -> Result<(), Failure> {
        Err(Code::NotActive.into())
    }
}
