//! `ClearPositions`: ends a period of charging away from home: what condominiums owe one another is netted and becomes payments.
//!
//! Checked in this order: a treasurer of the condominium (`UnknownCondominium`, `NotAllowed`); anything has moved between condominiums (`NothingToClear`).

use chain::{code::Rejection, id::CondominiumId, record::Role};
use serde::{Deserialize, Serialize};

use crate::{call::Action, clearing, context::CallContext, failure::Failure, ledger::Ledger, roles};

/// Ends a period of charging away from home, for all condominiums at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ClearPositions {
    /// Whose treasurer asks for it.
    pub condominium: CondominiumId,
}

impl Action for ClearPositions {
    fn name(&self) -> &'static str {
        "clear_positions"
    }

    fn check(&self) -> Result<(), Rejection> {
        Ok(())
    }

    fn apply(&self, context: &CallContext<'_>, ledger: &mut Ledger<'_>) -> Result<(), Failure> {
        roles::require(ledger, context, self.condominium, Role::Treasurer)?;
        clearing::clear(context, ledger, self.condominium)
    }
}
