//! `PutGroup`: makes or changes a group of connectors under one limit of current.

use chain::code::{Code, Rejection};
use chain::{id::GroupId, quantity::Currents};
use serde::{Deserialize, Serialize};

use crate::{call::Action, context::CallContext, failure::Failure, ledger::Ledger};

/// Makes or changes a group of connectors under one limit of current.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PutGroup {
    /// Which.
    pub group: GroupId,
    /// The group above it, by number.
    pub parent: Option<u32>,
    /// The most current, per phase; zero where a phase is not connected.
    pub limit: Currents,
}

impl Action for PutGroup {
    fn name(&self) -> &'static str {
        "put_group"
    }

    fn check(&self) -> Result<(), Rejection> {
        Ok(())
    }

    fn apply(&self, _context: &CallContext<'_>, _ledger: &mut Ledger<'_>) -> Result<(), Failure> {
        Err(Code::NotActive.into())
    }
}
