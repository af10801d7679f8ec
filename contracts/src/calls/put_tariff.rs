//! `PutTariff`: adds a version of a tariff; versions are never changed.

use chain::code::{Code, Rejection};
use chain::{id::TariffId, tariff::Tariff, time::Timestamp};
use serde::{Deserialize, Serialize};

use crate::{call::Action, context::CallContext, failure::Failure, ledger::Ledger};

/// Adds a version of a tariff; versions are never changed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PutTariff {
    /// Which.
    pub tariff: TariffId,
    /// The latest version plus one; the first is 1.
    pub version: u32,
    /// The block time from which sessions open under it; not before the block's, nor before the latest version's.
    pub valid_from: Timestamp,
    /// The document.
    pub document: Tariff,
}

impl Action for PutTariff {
    fn name(&self) -> &'static str {
        "put_tariff"
    }

    fn check(&self) -> Result<(), Rejection> {
        Ok(())
    }

    fn apply(&self, _context: &CallContext<'_>, _ledger: &mut Ledger<'_>) -> Result<(), Failure> {
        Err(Code::NotActive.into())
    }
}
