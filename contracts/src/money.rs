//! Moving tokens: between an account's balance, what it holds and its credit, from one account to another, and between homes.
//!
//! Nothing here asks who may do it, and nothing here makes or burns a token: sales and redemptions do that in their own calls. Transfers, sessions and
//! the chain's own settlements call it. Every function keeps, for each condominium,
//! `Σ balance + Σ held = minted − redeemed + Σ debt + net position` ([`crate::audit::conservation`]).
//!
//! # Why money that is locked always comes back
//! A settlement must not fail for want of room in a number. Sales keep all that was ever sold below [`MAX_SUPPLY`], so that balances, holds and positions
//! cannot leave their range even if as much again is drawn on credit. A settlement that does not fit is therefore a broken promise of the state, a
//! [`Fault`], and never a rejection.

use chain::{
    code::{Code, Rejection},
    id::{Address, CondominiumId},
    quantity::Amount,
    receipt::Event,
    record::{Account, Key},
};

use crate::{
    clearing,
    failure::{Failure, Fault},
    ledger::Ledger,
};

/// The most that all condominiums together may ever have sold: a quarter of the range of [`Amount`], 4.6 · 10¹² tokens.
pub const MAX_SUPPLY: Amount = Amount::from_micro(1 << 62);

/// What becomes of an escrow; see [`settle`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settlement {
    /// Whose escrow it is.
    pub payer: Address,
    /// What was locked for it.
    pub escrow: Amount,
    /// What it cost: at most the escrow.
    pub paid: Amount,
    /// Who is paid.
    pub payee: Address,
}

/// The account of an address.
///
/// # Errors
/// [`Code::UnknownAccount`].
pub fn registered(ledger: &Ledger<'_>, address: &Address) -> Result<Account, Failure> {
    ledger.account(address)?.ok_or_else(|| Code::UnknownAccount.into())
}

/// Locks an amount: first from the balance, then on credit, up to the account's limit of debt.
///
/// # Errors
/// [`Code::UnknownAccount`]; [`Code::InsufficientFunds`] with the amount as expected and balance plus free credit as found; [`Code::Overflow`] where the
/// account holds more than can be counted.
pub fn lock(ledger: &mut Ledger<'_>, address: &Address, amount: Amount) -> Result<(), Failure> {
    let mut account = registered(ledger, address)?;
    let from_balance = account.balance.min(amount);
    let on_credit = amount.saturating_sub(from_balance);
    let free_credit = account.credit_limit.saturating_sub(account.debt);
    if on_credit > free_credit {
        let available = account.balance.micro().saturating_add(free_credit.micro());
        return Err(Rejection::of(Code::InsufficientFunds, amount.micro(), available).into());
    }
    account.balance = account.balance.saturating_sub(from_balance);
    account.debt = account.debt.checked_add(on_credit).ok_or(Code::Overflow)?;
    account.held = account.held.checked_add(amount).ok_or(Code::Overflow)?;

    // every check is done: from here on only writes
    ledger.put(&Key::Account(*address), &account)?;
    Ok(())
}

/// Frees an escrow: the payee gets what was paid, the payer the rest, which reduces his debt first; a payment between homes is posted as a position.
///
/// Limits of positions are not asked here but when the money is locked ([`check_position`]): a condominium's limit must not keep a resident from his refund.
///
/// # Errors
/// [`Fault`] where less is held than the escrow, more is paid than it, or an account is gone: the state has broken its promise. Never a rejection.
pub fn settle(ledger: &mut Ledger<'_>, settlement: &Settlement) -> Result<(), Failure> {
    let Settlement { payer, escrow, paid, payee } = *settlement;
    let refund = escrow.checked_sub(paid).ok_or_else(|| Fault(format!("{paid} are to be paid of an escrow of {escrow}")))?;
    let from = released(existing(ledger, &payer)?, escrow, refund)?;
    // The payer may be the payee: then what he is paid comes on top of his refund.
    let to = if payee == payer { from } else { existing(ledger, &payee)? };
    let balance = to.balance.checked_add(paid).ok_or_else(|| out_of_range("a balance"))?;

    // every check is done: from here on only writes
    ledger.put(&Key::Account(payer), &from)?;
    ledger.put(&Key::Account(payee), &Account { balance, ..to })?;
    post_position(ledger, from.home, to.home, paid)
}

/// Gives a held amount back without a payment; it reduces the account's debt first, then raises its balance.
///
/// # Errors
/// [`Fault`] where less is held, or the account is gone.
pub fn unlock(ledger: &mut Ledger<'_>, address: &Address, amount: Amount) -> Result<(), Failure> {
    let account = released(existing(ledger, address)?, amount, amount)?;
    ledger.put(&Key::Account(*address), &account)?;
    Ok(())
}

/// The account after it was given an amount: its debt first, then its balance; and the part that paid back debt.
///
/// `None` where the balance would leave its range.
#[must_use]
pub fn credited(account: Account, amount: Amount) -> Option<(Account, Amount)> {
    let to_debt = account.debt.min(amount);
    let debt = account.debt.checked_sub(to_debt)?;
    let balance = account.balance.checked_add(amount.checked_sub(to_debt)?)?;
    Some((Account { balance, debt, ..account }, to_debt))
}

/// Whether a condominium may come to owe another so much more: after netting, and on top of unconfirmed payments and of all that open sessions may yet post, at
/// most what the creditor allows. So escrows that were each within the limit cannot pass it together when they are settled.
///
/// Nothing to ask where both are one, or where the posting only reduces what the creditor owes.
///
/// # Errors
/// [`Code::PositionLimit`] with the limit as expected and the debt after the posting as found; [`Code::UnknownCondominium`] for the creditor.
pub fn check_position(ledger: &Ledger<'_>, debtor: CondominiumId, creditor: CondominiumId, amount: Amount) -> Result<(), Failure> {
    if debtor == creditor {
        return Ok(());
    }
    // No limit may be so high that a settlement on top of it cannot be counted.
    let limit = ledger.condominium(creditor)?.ok_or(Code::UnknownCondominium)?.position_limit.min(MAX_SUPPLY);
    let (owed, owing) = (position(ledger, debtor, creditor)?, position(ledger, creditor, debtor)?);
    let (pending, unpaid) = (pending_position(ledger, debtor, creditor)?, clearing::unpaid(ledger, debtor, creditor)?);
    let coming = Amount::from_micro(amount.micro().saturating_add(pending.micro()));
    let Some(more) = coming.checked_sub(owing).filter(|more| !more.is_zero()) else {
        return Ok(());
    };
    let after = owed.micro().saturating_add(more.micro()).saturating_add(unpaid.micro());
    if after > limit.micro() {
        return Err(Rejection::of(Code::PositionLimit, limit.micro(), after).into());
    }
    Ok(())
}

/// The most that one condominium may owe another as a position: the creditor's limit, less what open sessions may yet post and what is not paid.
///
/// # Errors
/// [`Fault`] where the creditor is gone.
pub(crate) fn room(ledger: &Ledger<'_>, debtor: CondominiumId, creditor: CondominiumId) -> Result<Amount, Fault> {
    let condominium = ledger.condominium(creditor)?.ok_or_else(|| Fault(format!("the condominium {creditor} is gone")))?;
    let (pending, unpaid) = (pending_position(ledger, debtor, creditor)?, clearing::unpaid(ledger, debtor, creditor)?);
    Ok(condominium.position_limit.min(MAX_SUPPLY).saturating_sub(pending).saturating_sub(unpaid))
}

/// Keeps room in a position for an escrow that was just locked across homes; nothing where both are one.
///
/// # Errors
/// [`Code::Overflow`] where the sum cannot be counted, which [`check_position`] prevents.
pub fn expect_position(ledger: &mut Ledger<'_>, debtor: CondominiumId, creditor: CondominiumId, escrow: Amount) -> Result<(), Failure> {
    if debtor == creditor {
        return Ok(());
    }
    let pending = pending_position(ledger, debtor, creditor)?.checked_add(escrow).ok_or(Code::Overflow)?;
    Ok(put_pending(ledger, debtor, creditor, pending)?)
}

/// Gives that room back when the escrow is settled; what was paid is posted by [`settle`].
///
/// # Errors
/// [`Fault`] where less room is kept than the escrow.
pub fn release_position(ledger: &mut Ledger<'_>, debtor: CondominiumId, creditor: CondominiumId, escrow: Amount) -> Result<(), Fault> {
    if debtor == creditor {
        return Ok(());
    }
    let pending = pending_position(ledger, debtor, creditor)?;
    let rest = pending.checked_sub(escrow).ok_or_else(|| Fault(format!("{pending} are pending where {escrow} should be")))?;
    put_pending(ledger, debtor, creditor, rest)
}

fn pending_position(ledger: &Ledger<'_>, debtor: CondominiumId, creditor: CondominiumId) -> Result<Amount, Fault> {
    Ok(ledger.get(&Key::PendingPosition(debtor, creditor))?.unwrap_or_default())
}

fn put_pending(ledger: &mut Ledger<'_>, debtor: CondominiumId, creditor: CondominiumId, pending: Amount) -> Result<(), Fault> {
    let key = Key::PendingPosition(debtor, creditor);
    if pending.is_zero() {
        ledger.delete(&key);
        Ok(())
    } else {
        ledger.put(&key, &pending)
    }
}

/// Lets a condominium owe another so much more, net of what the other owes it; nothing where both are one or the amount is zero.
///
/// # Errors
/// [`Fault`] where the position cannot be counted, which [`check_position`] prevents.
pub fn post_position(ledger: &mut Ledger<'_>, debtor: CondominiumId, creditor: CondominiumId, amount: Amount) -> Result<(), Failure> {
    if debtor == creditor || amount.is_zero() {
        return Ok(());
    }
    let (owed, owing) = (position(ledger, debtor, creditor)?, position(ledger, creditor, debtor)?);
    let owed = owed.checked_add(amount.saturating_sub(owing)).ok_or_else(|| out_of_range("a position"))?;
    put_position(ledger, debtor, creditor, owed)?;
    put_position(ledger, creditor, debtor, owing.saturating_sub(amount))?;
    ledger.emit(Event::PositionPosted { debtor, creditor, amount });
    Ok(())
}

/// What one condominium owes another; of a pair at most one owes.
fn position(ledger: &Ledger<'_>, debtor: CondominiumId, creditor: CondominiumId) -> Result<Amount, Fault> {
    Ok(ledger.get(&Key::Position(debtor, creditor))?.unwrap_or_default())
}

/// Keeps a position only where there is one.
fn put_position(ledger: &mut Ledger<'_>, debtor: CondominiumId, creditor: CondominiumId, owed: Amount) -> Result<(), Fault> {
    let key = Key::Position(debtor, creditor);
    if owed.is_zero() {
        ledger.delete(&key);
        Ok(())
    } else {
        ledger.put(&key, &owed)
    }
}

/// The account without a hold, and with what comes back of it.
fn released(account: Account, hold: Amount, refund: Amount) -> Result<Account, Fault> {
    let held = account.held.checked_sub(hold).ok_or_else(|| Fault(format!("{} are held where {hold} should be", account.held)))?;
    let (account, _) = credited(Account { held, ..account }, refund).ok_or_else(|| out_of_range("a balance"))?;
    Ok(account)
}

/// An account that an open hold or a condominium's record names, and that is therefore there.
fn existing(ledger: &Ledger<'_>, address: &Address) -> Result<Account, Fault> {
    ledger.account(address)?.ok_or_else(|| Fault(format!("the account {address} is gone")))
}

fn out_of_range(what: &str) -> Fault {
    Fault(format!("{what} leaves the range of amounts"))
}

#[cfg(test)]
mod tests;
