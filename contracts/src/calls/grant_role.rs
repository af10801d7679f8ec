//! `GrantRole`: gives a role in a condominium from a height on.

use chain::{
    code::{Code, Rejection},
    id::{Address, CondominiumId, Height},
    receipt::Event,
    record::{Key, Role, RoleGrant},
};
use serde::{Deserialize, Serialize};

use crate::{
    call::Action,
    context::CallContext,
    failure::Failure,
    ledger::Ledger,
    money::registered,
    roles::{self, MAX_GRANTS_PER_ROLE},
};

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

    /// [`Code::InvalidRange`].
    fn check(&self) -> Result<(), Rejection> {
        match self.until {
            Some(until) if until <= self.from => Err(Rejection::of(Code::InvalidRange, self.from.0, until.0)),
            Some(_) | None => Ok(()),
        }
    }

    fn apply(&self, context: &CallContext<'_>, ledger: &mut Ledger<'_>) -> Result<(), Failure> {
        let height = context.block.height;
        roles::require(ledger, context, self.condominium, Role::Manager)?;
        registered(ledger, &self.account)?;
        let key = Key::Role(self.condominium, self.role, self.account);
        let begin = match ledger.get::<RoleGrant>(&key)? {
            // One that follows without a gap continues it, so that the term at hand is not lost.
            Some(RoleGrant { from, until: Some(until) }) if until == self.from && until > height => from,
            Some(RoleGrant { until: Some(until), .. }) if until <= height => self.from,
            Some(_) => return Err(Code::RoleAlreadyGranted.into()),
            None => {
                let kept = roles::grants(ledger, self.condominium, self.role)?.len();
                if kept >= MAX_GRANTS_PER_ROLE as usize {
                    let limit = u64::from(MAX_GRANTS_PER_ROLE);
                    return Err(Rejection::of(Code::TooMany, limit, limit.saturating_add(1)).into());
                }
                self.from
            }
        };
        let earliest = self.earliest(context, ledger)?;
        if self.from < earliest {
            return Err(Rejection::of(Code::NoticeTooShort, earliest.0, self.from.0).into());
        }

        // every check is done: from here on only writes
        ledger.put(&key, &RoleGrant { from: begin, until: self.until })?;
        let Self { condominium, role, account, from, until } = *self;
        ledger.emit(Event::RoleGranted { condominium, role, account, from, until });
        Ok(())
    }
}

impl GrantRole {
    /// The first height at which the grant may begin: the next one, or, for a treasurer where managers share their power, after the notice period.
    fn earliest(&self, context: &CallContext<'_>, ledger: &Ledger<'_>) -> Result<Height, Failure> {
        let height = context.block.height;
        match self.role {
            Role::Treasurer if roles::standing_managers(ledger, self.condominium, height)?.len() > 1 => {
                Ok(Height(height.0.saturating_add(context.block.params.notice_heights)).max(height.next()))
            }
            Role::Treasurer | Role::Manager | Role::Gateway | Role::Scheduler | Role::Auditor => Ok(height.next()),
        }
    }
}
