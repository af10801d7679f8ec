//! `PauseCharge`: takes the current from a charging session for a while.

use chain::{code::Rejection, id::SessionId, receipt::PauseReason, record::Role};
use serde::{Deserialize, Serialize};

use crate::{call::Action, context::CallContext, failure::Failure, ledger::Ledger, roles, sessions};

/// Takes the current from a charging session for a while.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PauseCharge {
    /// Which.
    pub session: SessionId,
    /// Why.
    pub reason: PauseReason,
}

impl Action for PauseCharge {
    fn name(&self) -> &'static str {
        "pause_charge"
    }

    fn check(&self) -> Result<(), Rejection> {
        Ok(())
    }

    fn apply(&self, context: &CallContext<'_>, ledger: &mut Ledger<'_>) -> Result<(), Failure> {
        let session = sessions::existing(ledger, self.session)?;
        roles::require(ledger, context, session.connector.condominium, Role::Scheduler)?;
        sessions::pause(ledger, self.session, self.reason)
    }
}
