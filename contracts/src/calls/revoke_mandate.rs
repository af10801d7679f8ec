//! `RevokeMandate`: an account takes its mandate back. Sessions that run go on; nothing more starts in its name.

use chain::{
    code::{Code, Rejection},
    id::CondominiumId,
    receipt::Event,
    record::Key,
};
use serde::{Deserialize, Serialize};

use crate::{call::Action, context::CallContext, failure::Failure, ledger::Ledger};

/// Takes the account's mandate for a condominium back.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RevokeMandate {
    /// Where.
    pub condominium: CondominiumId,
}

impl Action for RevokeMandate {
    fn name(&self) -> &'static str {
        "revoke_mandate"
    }

    fn check(&self) -> Result<(), Rejection> {
        Ok(())
    }

    fn apply(&self, context: &CallContext<'_>, ledger: &mut Ledger<'_>) -> Result<(), Failure> {
        let key = Key::Mandate(context.account, self.condominium);
        if !ledger.has(&key)? {
            return Err(Code::NoMandate.into());
        }

        // every check is done: from here on only writes
        ledger.delete(&key);
        ledger.emit(Event::MandateRevoked { account: context.account, condominium: self.condominium });
        Ok(())
    }
}
