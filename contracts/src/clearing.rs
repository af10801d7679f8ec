//! Charging away from home: what is counted of it, and how a period of it becomes payments between condominiums.
//!
//! Nothing here asks who may do it, and no token moves: positions are posted by [`crate::money`], and what is paid is the calls' matter. Called by settlements,
//! transfers and the calls of treasurers; the API asks it what a clearing would give now.
//!
//! # From positions to payments
//! A clearing takes all positions, nets them multilaterally ([`net`]) and turns what is left into payments. Every condominium's net position stays as it was, so
//! conservation holds without a token being moved; positions begin at zero again. A payment that is not confirmed counts against its creditor's limit as a
//! position does.

use std::collections::{BTreeMap, BTreeSet};

use chain::{
    code::Code,
    id::CondominiumId,
    quantity::{Amount, WattHours},
    receipt::Event,
    record::{Clearing, ClearingHead, Key, Payment, Roaming},
};

use crate::{
    context::CallContext,
    failure::{Failure, Fault},
    ledger::{Ledger, condominiums_in},
    money,
};

/// The most condominiums whose positions one clearing takes, those of the lowest numbers first; the rest waits for the next.
pub const MAX_MEMBERS: usize = 64;

/// The most positions that one clearing looks at.
const MAX_POSITIONS: u32 = 4_096;

/// The most rows of roaming that one clearing closes; the rest waits for the next.
pub const MAX_ROWS: u32 = 1_024;

/// The most payments that one condominium may owe another; beyond them a clearing leaves what is owed as a position.
pub const MAX_UNPAID: u32 = 24;

/// What the first owes the second.
pub type Debts = BTreeMap<(CondominiumId, CondominiumId), Amount>;

/// Counts a settled session of an account that is at home elsewhere; nothing where it moved neither money nor energy.
///
/// # Errors
/// [`Fault`] where this machine cannot read.
pub(crate) fn count_session(
    ledger: &mut Ledger<'_>,
    home: CondominiumId,
    host: CondominiumId,
    energy: WattHours,
    charged: Amount,
) -> Result<(), Fault> {
    if energy.is_zero() && charged.is_zero() {
        return Ok(());
    }
    count(ledger, home, host, |roaming| Roaming {
        sessions: roaming.sessions.saturating_add(1),
        energy: roaming.energy.checked_add(energy).unwrap_or(WattHours::MAX),
        charged: plus(roaming.charged, charged),
        ..roaming
    })
}

/// Counts a transfer to an account that is at home elsewhere.
///
/// # Errors
/// [`Fault`] where this machine cannot read.
pub(crate) fn count_transfer(ledger: &mut Ledger<'_>, home: CondominiumId, host: CondominiumId, amount: Amount) -> Result<(), Fault> {
    count(ledger, home, host, |roaming| Roaming {
        transfers: roaming.transfers.saturating_add(1),
        transferred: plus(roaming.transferred, amount),
        ..roaming
    })
}

/// A count must never keep money from moving: it stops at the end of its range instead.
fn count(ledger: &mut Ledger<'_>, home: CondominiumId, host: CondominiumId, more: impl FnOnce(Roaming) -> Roaming) -> Result<(), Fault> {
    if home == host {
        return Ok(());
    }
    let key = Key::Roaming(home, host);
    let roaming = ledger.get(&key)?.unwrap_or_default();
    ledger.put(&key, &more(roaming))
}

/// The payments of one condominium to another that are not confirmed, added up.
///
/// # Errors
/// [`Fault`] where this machine cannot read.
pub fn unpaid(ledger: &Ledger<'_>, debtor: CondominiumId, creditor: CondominiumId) -> Result<Amount, Fault> {
    Ok(payments(ledger, debtor, creditor)?.iter().fold(Amount::ZERO, |sum, payment| plus(sum, payment.amount)))
}

fn payments(ledger: &Ledger<'_>, debtor: CondominiumId, creditor: CondominiumId) -> Result<Vec<Payment>, Fault> {
    let mut prefix = Key::Payment(debtor, creditor, 0).bytes();
    prefix.truncate(prefix.len().saturating_sub(CLEARING_BYTES));
    Ok(ledger.scan::<Payment>(&prefix, MAX_UNPAID)?.into_iter().map(|(_, payment)| payment).collect())
}

/// The bytes of a clearing's number at the end of a key.
const CLEARING_BYTES: usize = 4;

/// Ends a period: nets the positions, turns them into payments and closes what was counted.
///
/// # Errors
/// [`Code::NothingToClear`]; [`Code::Overflow`] after 2^32 − 1 clearings.
pub(crate) fn clear(context: &CallContext<'_>, ledger: &mut Ledger<'_>, condominium: CondominiumId) -> Result<(), Failure> {
    let positions = positions(ledger)?;
    let rows = ledger.scan::<Roaming>(&[Key::Roaming(condominium, condominium).table()], MAX_ROWS)?;
    if positions.is_empty() && rows.is_empty() {
        return Err(Code::NothingToClear.into());
    }
    let latest = ledger.get::<ClearingHead>(&Key::ClearingHead)?.map_or(0, |head| head.latest);
    let from = match latest {
        0 => None,
        number => ledger.get::<Clearing>(&Key::Clearing(number))?.map(|clearing| clearing.until),
    };
    let clearing = latest.checked_add(1).ok_or(Code::Overflow)?;
    let debts = netted(ledger, &positions)?;
    let mut roaming = Vec::with_capacity(rows.len());
    for (key, row) in rows {
        let [home, host] = condominiums_in(&key)?;
        roaming.push((home, host, row));
    }

    // every check is done: from here on only writes
    let until = context.block.timestamp;
    ledger.put(&Key::Clearing(clearing), &Clearing { from, until, height: context.block.height, index: context.index })?;
    ledger.put(&Key::ClearingHead, &ClearingHead { latest: clearing })?;
    ledger.emit(Event::PositionsCleared { clearing, condominium, from, until });
    for (home, host, roaming) in roaming {
        ledger.delete(&Key::Roaming(home, host));
        ledger.emit(Event::RoamingClosed { clearing, home, host, roaming });
    }
    for (debtor, creditor) in positions.keys() {
        ledger.delete(&Key::Position(*debtor, *creditor));
    }
    for ((debtor, creditor), amount) in debts {
        if payments(ledger, debtor, creditor)?.len() >= MAX_UNPAID as usize {
            ledger.put(&Key::Position(debtor, creditor), &amount)?;
        } else {
            ledger.put(&Key::Payment(debtor, creditor, clearing), &Payment { amount, report: None })?;
            ledger.emit(Event::PaymentDue { clearing, debtor, creditor, amount });
        }
    }
    Ok(())
}

/// What would have to be paid if a period ended now.
///
/// # Errors
/// [`Fault`] where this machine cannot read.
pub fn due_now(ledger: &Ledger<'_>) -> Result<Debts, Fault> {
    netted(ledger, &positions(ledger)?)
}

/// The positions that one clearing takes.
fn positions(ledger: &Ledger<'_>) -> Result<Debts, Fault> {
    let mut debts = Debts::new();
    for (key, owed) in ledger.scan::<Amount>(&[Key::Position(CondominiumId(0), CondominiumId(0)).table()], MAX_POSITIONS)? {
        let [debtor, creditor] = condominiums_in(&key)?;
        debts.insert((debtor, creditor), owed);
    }
    let members: BTreeSet<CondominiumId> = members(&debts).into_iter().take(MAX_MEMBERS).collect();
    debts.retain(|(debtor, creditor), _| members.contains(debtor) && members.contains(creditor));
    Ok(debts)
}

fn netted(ledger: &Ledger<'_>, positions: &Debts) -> Result<Debts, Fault> {
    net(positions.clone(), |debtor, creditor| money::room(ledger, debtor, creditor))
}

fn members(debts: &Debts) -> BTreeSet<CondominiumId> {
    debts.keys().flat_map(|(debtor, creditor)| [*debtor, *creditor]).collect()
}

/// Nets debts multilaterally: whoever owes and is owed steps out of the middle, and his debtor owes his creditor instead, so far as `room` says that the
/// creditor lets that debtor owe him. What anybody owes or is owed on balance does not change; no debt grows beyond its room, and all debts together never grow.
///
/// With room enough everybody either owes or is owed in the end. Of a pair at most one may owe. The result does not depend on anything but its arguments: the
/// lowest numbers step first.
///
/// # Errors
/// Those of `room`.
pub fn net<E>(mut debts: Debts, mut room: impl FnMut(CondominiumId, CondominiumId) -> Result<Amount, E>) -> Result<Debts, E> {
    let members = members(&debts);
    for middle in &members {
        for debtor in &members {
            for creditor in &members {
                let through = owed(&debts, debtor, middle).min(owed(&debts, middle, creditor));
                if through.is_zero() {
                    continue;
                }
                // What the creditor owes the debtor is taken off first, and needs no room.
                let back = owed(&debts, creditor, debtor);
                let free = room(*debtor, *creditor)?.saturating_sub(owed(&debts, debtor, creditor));
                let moved = through.min(plus(back, free));
                let off = back.min(moved);
                for (from, to, less) in [(debtor, middle, moved), (middle, creditor, moved), (creditor, debtor, off)] {
                    let rest = owed(&debts, from, to).saturating_sub(less);
                    put(&mut debts, from, to, rest);
                }
                let more = plus(owed(&debts, debtor, creditor), moved.saturating_sub(off));
                put(&mut debts, debtor, creditor, more);
            }
        }
    }
    Ok(debts)
}

fn owed(debts: &Debts, debtor: &CondominiumId, creditor: &CondominiumId) -> Amount {
    debts.get(&(*debtor, *creditor)).copied().unwrap_or_default()
}

fn put(debts: &mut Debts, debtor: &CondominiumId, creditor: &CondominiumId, amount: Amount) {
    if amount.is_zero() {
        debts.remove(&(*debtor, *creditor));
    } else {
        debts.insert((*debtor, *creditor), amount);
    }
}

fn plus(one: Amount, other: Amount) -> Amount {
    one.checked_add(other).unwrap_or(Amount::MAX)
}

#[cfg(test)]
mod tests;
