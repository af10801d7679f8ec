//! `RevokeRole`: ends a role at a height.

use chain::{
    code::{Code, Rejection},
    id::{Address, CondominiumId, Height},
    receipt::Event,
    record::{Key, Role, RoleGrant},
};
use serde::{Deserialize, Serialize};

use crate::{call::Action, context::CallContext, failure::Failure, ledger::Ledger, roles};

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

    fn apply(&self, context: &CallContext<'_>, ledger: &mut Ledger<'_>) -> Result<(), Failure> {
        roles::require(ledger, context, self.condominium, Role::Manager)?;
        let key = Key::Role(self.condominium, self.role, self.account);
        let grant: RoleGrant = ledger.get(&key)?.ok_or(Code::RoleNotGranted)?;
        let earliest = context.block.height.next();
        if self.until < earliest {
            return Err(Rejection::of(Code::NoticeTooShort, earliest.0, self.until.0).into());
        }
        // A grant that is over by then stays as it is: a revocation never lengthens it.
        if grant.until.is_some_and(|end| end <= self.until) {
            return Err(Code::RoleNotGranted.into());
        }
        if self.role == Role::Manager {
            let standing = roles::standing_managers(ledger, self.condominium, self.until)?;
            if !standing.iter().any(|manager| *manager != self.account) {
                return Err(Code::LastManager.into());
            }
        }

        // every check is done: from here on only writes
        if self.until <= grant.from {
            ledger.delete(&key);
        } else {
            ledger.put(&key, &RoleGrant { until: Some(self.until), ..grant })?;
        }
        let Self { condominium, role, account, until } = *self;
        ledger.emit(Event::RoleRevoked { condominium, role, account, until });
        Ok(())
    }
}
