//! Who holds which role, and when: the questions that calls ask before they do what only a role may.
//!
//! Granting and revoking are calls of their own. Nothing here writes.

use chain::{
    code::Code,
    id::{Address, CondominiumId, Height},
    record::{Key, Role, RoleGrant, Session, Suspension},
};

use crate::{
    context::CallContext,
    failure::{Failure, Fault},
    ledger::Ledger,
};

/// The most grants of one role that a condominium keeps, ended ones included.
pub const MAX_GRANTS_PER_ROLE: u32 = 4_096;

/// Goes on only where the acting account holds the role at the block's height.
///
/// # Errors
/// [`Code::UnknownCondominium`], then [`Code::NotAllowed`].
pub fn require(ledger: &Ledger<'_>, context: &CallContext<'_>, condominium: CondominiumId, role: Role) -> Result<(), Failure> {
    require_any(ledger, context, condominium, &[role])
}

/// Goes on only where the acting account holds at least one of the roles at the block's height.
///
/// # Errors
/// [`Code::UnknownCondominium`], then [`Code::NotAllowed`].
pub fn require_any(ledger: &Ledger<'_>, context: &CallContext<'_>, condominium: CondominiumId, roles: &[Role]) -> Result<(), Failure> {
    if !ledger.has(&Key::Condominium(condominium))? {
        return Err(Code::UnknownCondominium.into());
    }
    if !holds_any(ledger, context.block.height, condominium, roles, &context.account)? {
        return Err(Code::NotAllowed.into());
    }
    Ok(())
}

/// Whether an account holds at least one of the roles at a height.
///
/// # Errors
/// [`Fault`] where this machine cannot say.
pub fn holds_any(
    ledger: &Ledger<'_>,
    height: Height,
    condominium: CondominiumId,
    roles: &[Role],
    account: &Address,
) -> Result<bool, Fault> {
    for role in roles {
        if holds(ledger, height, condominium, *role, account)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether an account holds a role at a height.
///
/// # Errors
/// [`Fault`] where this machine cannot say.
pub fn holds(ledger: &Ledger<'_>, height: Height, condominium: CondominiumId, role: Role, account: &Address) -> Result<bool, Fault> {
    let grant: Option<RoleGrant> = ledger.get(&Key::Role(condominium, role, *account))?;
    Ok(grant.is_some_and(|grant| grant.holds_at(height)))
}

/// The suspension of a gateway's key in a condominium that is in force, if one is.
///
/// # Errors
/// [`Fault`] where this machine cannot say.
pub fn suspension(ledger: &Ledger<'_>, condominium: CondominiumId, account: &Address) -> Result<Option<Suspension>, Fault> {
    let suspension: Option<Suspension> = ledger.get(&Key::Suspension(condominium, *account))?;
    Ok(suspension.filter(|suspension| suspension.lifted_at.is_none()))
}

/// Whether an account is a gateway at a height, and not suspended.
///
/// # Errors
/// [`Fault`] where this machine cannot say.
pub fn is_trusted_gateway(ledger: &Ledger<'_>, height: Height, condominium: CondominiumId, account: &Address) -> Result<bool, Fault> {
    Ok(holds(ledger, height, condominium, Role::Gateway, account)? && suspension(ledger, condominium, account)?.is_none())
}

/// Goes on only for a gateway that is not suspended.
///
/// # Errors
/// As [`require`], then [`Code::RoleSuspended`].
pub fn require_trusted_gateway(ledger: &Ledger<'_>, context: &CallContext<'_>, condominium: CondominiumId) -> Result<(), Failure> {
    require(ledger, context, condominium, Role::Gateway)?;
    if suspension(ledger, condominium, &context.account)?.is_some() {
        return Err(Code::RoleSuspended.into());
    }
    Ok(())
}

/// Goes on only for a gateway that may end and settle a session: a suspended one only where the session was open already, or has no reading.
///
/// What was never metered costs nothing, so no word of the key's counts; and where this key is the condominium's only one nobody else would end it.
///
/// # Errors
/// As [`require`], then [`Code::RoleSuspended`].
pub fn require_gateway_of(
    ledger: &Ledger<'_>,
    context: &CallContext<'_>,
    condominium: CondominiumId,
    session: Option<&Session>,
) -> Result<(), Failure> {
    require(ledger, context, condominium, Role::Gateway)?;
    let Some(suspension) = suspension(ledger, condominium, &context.account)? else { return Ok(()) };
    if session.is_some_and(|session| session.opened_height <= suspension.since || session.meter.is_none()) {
        Ok(())
    } else {
        Err(Code::RoleSuspended.into())
    }
}

/// Every grant of a role in a condominium, in order of address: pending, in force and ended; at most [`MAX_GRANTS_PER_ROLE`].
///
/// # Errors
/// [`Fault`] where this machine cannot say.
pub fn grants(ledger: &Ledger<'_>, condominium: CondominiumId, role: Role) -> Result<Vec<(Address, RoleGrant)>, Fault> {
    let mut prefix = Key::Role(condominium, role, Address([0; 32])).bytes();
    prefix.truncate(prefix.len().saturating_sub(ADDRESS_BYTES));
    let rows = ledger.scan(&prefix, MAX_GRANTS_PER_ROLE)?;
    rows.into_iter().map(|(key, grant)| Ok((address_at_end(&key)?, grant))).collect()
}

/// Managers who hold their role at a height and whose grant has no end: the ones that a condominium can rely on.
///
/// A manager with an end does not count, because he leaves without anybody's doing.
///
/// # Errors
/// [`Fault`] where this machine cannot say.
pub fn standing_managers(ledger: &Ledger<'_>, condominium: CondominiumId, height: Height) -> Result<Vec<Address>, Fault> {
    let managers = grants(ledger, condominium, Role::Manager)?;
    Ok(managers.into_iter().filter(|(_, grant)| grant.until.is_none() && grant.holds_at(height)).map(|(address, _)| address).collect())
}

const ADDRESS_BYTES: usize = 32;

/// The address that a key ends with.
fn address_at_end(key: &[u8]) -> Result<Address, Fault> {
    key.last_chunk().copied().map(Address).ok_or_else(|| Fault("a key of the state is too short".to_owned()))
}
