//! `ResumeCharge`: gives a paused session a current again.

use chain::{
    code::{Code, Rejection},
    id::SessionId,
    quantity::Currents,
    record::{Role, SessionState},
};
use serde::{Deserialize, Serialize};

use crate::{call::Action, context::CallContext, failure::Failure, ledger::Ledger, roles, sessions};

/// Gives a paused session a current again.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ResumeCharge {
    /// Which.
    pub session: SessionId,
    /// How much, per phase: none or at least the minimum.
    pub current: Currents,
}

impl Action for ResumeCharge {
    fn name(&self) -> &'static str {
        "resume_charge"
    }

    fn check(&self) -> Result<(), Rejection> {
        if self.current.is_zero() { Err(Code::ZeroValue.into()) } else { Ok(()) }
    }

    fn apply(&self, context: &CallContext<'_>, ledger: &mut Ledger<'_>) -> Result<(), Failure> {
        let session = sessions::existing(ledger, self.session)?;
        roles::require(ledger, context, session.connector.condominium, Role::Scheduler)?;
        let connector = sessions::connector_of(ledger, &session)?;
        sessions::switched(&connector)?;
        if session.state != SessionState::Paused {
            return Err(Code::WrongSessionState.into());
        }
        sessions::check_current(&context.block.params, &connector, self.current)?;
        sessions::hold_current(ledger, &session, self.current)?;

        // every check is done: from here on only writes
        sessions::write_charging(ledger, context, self.session, session, self.current)?;
        Ok(())
    }
}
