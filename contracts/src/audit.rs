//! What the state promises about money as a whole, recomputed from every record.
//!
//! It changes nothing and no call asks it: tests after every block, the API for totals, and whoever audits a chain.

use std::collections::BTreeMap;

use chain::{
    codec,
    id::{Address, CondominiumId},
    quantity::Amount,
    record::{Account, Condominium, Key, Payment},
    state::{StateRead, prefix_end},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    failure::Fault,
    ledger::{MAX_RECORD_BYTES, condominiums_in},
};

/// The money of one condominium: of all accounts that are at home there, and of its treasury.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CondominiumTotals {
    /// Whose.
    pub condominium: CondominiumId,
    /// Spendable, over its accounts.
    pub balance: Amount,
    /// Locked, over its accounts.
    pub held: Amount,
    /// Sold since genesis, and taken over with money from others.
    pub minted: Amount,
    /// Redeemed since genesis, and handed on with money to others.
    pub redeemed: Amount,
    /// Credit drawn and not paid back, over its accounts.
    pub debt: Amount,
    /// What other condominiums owe it: positions and payments that are not confirmed.
    pub owed_to: Amount,
    /// What it owes others, alike.
    pub owed_by: Amount,
}

impl CondominiumTotals {
    /// Conservation: `balance + held = minted − redeemed + debt + (owed_to − owed_by)`.
    #[must_use]
    pub fn holds(&self) -> bool {
        let sum = |amounts: &[Amount]| amounts.iter().fold(0_u128, |sum, amount| sum.saturating_add(amount.micro().into()));
        sum(&[self.balance, self.held, self.redeemed, self.owed_by]) == sum(&[self.minted, self.debt, self.owed_to])
    }
}

/// The totals of every condominium, in order of number. What positions and payments add to one they take from another, so that they sum to zero by their form.
///
/// # Errors
/// [`Fault`] where this machine cannot read, where a record names a condominium that is not there, where two condominiums owe each other at once, or where
/// a total cannot be counted.
pub fn conservation(state: &dyn StateRead) -> Result<Vec<CondominiumTotals>, Fault> {
    let mut totals = BTreeMap::new();
    each(state, CONDOMINIUMS, |key, treasury: Condominium| {
        let [condominium] = condominiums_in(key)?;
        let (minted, redeemed) = (treasury.minted, treasury.redeemed);
        let (balance, held, debt, owed_to, owed_by) = Default::default();
        totals.insert(condominium, CondominiumTotals { condominium, balance, held, minted, redeemed, debt, owed_to, owed_by });
        Ok(())
    })?;
    each(state, ACCOUNTS, |_, account: Account| {
        let home = totals.get_mut(&account.home).ok_or_else(|| unknown(account.home))?;
        add(&mut home.balance, account.balance)?;
        add(&mut home.held, account.held)?;
        add(&mut home.debt, account.debt)
    })?;
    each(state, POSITIONS, |key, amount: Amount| {
        let [debtor, creditor] = condominiums_in(key)?;
        if state.get(&Key::Position(creditor, debtor).bytes())?.is_some() {
            return Err(Fault(format!("the condominiums {debtor} and {creditor} owe each other")));
        }
        owe(&mut totals, debtor, creditor, amount)
    })?;
    each(state, PAYMENTS, |key, payment: Payment| {
        let [debtor, creditor] = condominiums_in(key)?;
        owe(&mut totals, debtor, creditor, payment.amount)
    })?;
    Ok(totals.into_values().collect())
}

const CONDOMINIUMS: u8 = Key::Condominium(CondominiumId(0)).table();
const ACCOUNTS: u8 = Key::Account(Address([0; 32])).table();
const POSITIONS: u8 = Key::Position(CondominiumId(0), CondominiumId(0)).table();
const PAYMENTS: u8 = Key::Payment(CondominiumId(0), CondominiumId(0), 0).table();

/// Adds to what one owes and to what the other is owed.
fn owe(
    totals: &mut BTreeMap<CondominiumId, CondominiumTotals>,
    debtor: CondominiumId,
    creditor: CondominiumId,
    amount: Amount,
) -> Result<(), Fault> {
    add(&mut totals.get_mut(&debtor).ok_or_else(|| unknown(debtor))?.owed_by, amount)?;
    add(&mut totals.get_mut(&creditor).ok_or_else(|| unknown(creditor))?.owed_to, amount)
}

/// Records read at once.
const PAGE: u32 = 1_024;

/// Gives every record of a table to `visit`, in order of key.
fn each<T, F>(state: &dyn StateRead, table: u8, mut visit: F) -> Result<(), Fault>
where
    T: DeserializeOwned + Serialize,
    F: FnMut(&[u8], T) -> Result<(), Fault>,
{
    let mut from = vec![table];
    let Some(end) = prefix_end(&from) else { return Ok(()) };
    loop {
        let page = state.scan(&from, &end, PAGE)?;
        for (key, bytes) in &page {
            visit(key, codec::decode(bytes, MAX_RECORD_BYTES)?)?;
        }
        let Some((last, _)) = page.last() else { return Ok(()) };
        from.clone_from(last);
        from.push(0);
    }
}

fn add(total: &mut Amount, amount: Amount) -> Result<(), Fault> {
    *total = total.checked_add(amount).ok_or_else(|| Fault("a total leaves the range of amounts".to_owned()))?;
    Ok(())
}

fn unknown(condominium: CondominiumId) -> Fault {
    Fault(format!("a record names the condominium {condominium}, which is not there"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{AWAY, BALANCE, Fixture, HOME, RESIDENT, tokens};

    #[test]
    fn adds_up_what_every_account_has_and_what_condominiums_owe() {
        let mut chain = Fixture::new();
        let account = chain.account(RESIDENT);
        let changed = Account { balance: tokens(80), held: tokens(25), debt: tokens(10), ..account };
        chain.put(&Key::Account(RESIDENT), &changed);
        chain.put(&Key::Position(HOME, AWAY), &tokens(5));
        let totals = conservation(&chain.state).unwrap();
        let expected = CondominiumTotals {
            condominium: HOME,
            balance: tokens(180),
            held: tokens(25),
            minted: tokens(200),
            redeemed: tokens(0),
            debt: tokens(10),
            owed_to: tokens(0),
            owed_by: tokens(5),
        };
        assert_eq!(totals[0], expected);
        assert!(totals[0].holds());
        assert_eq!((totals[1].condominium, totals[1].owed_to, totals[1].balance), (AWAY, tokens(5), BALANCE));
        assert!(!totals[1].holds(), "nobody there has the five tokens");
    }

    #[test]
    fn one_micro_token_too_many_or_too_few_shows_in_every_sum() {
        let exact = conservation(&Fixture::new().state).unwrap()[0];
        assert!(exact.holds());
        let one = |amount: Amount| amount.checked_add(Amount::from_micro(1)).unwrap();
        let wrong = [
            CondominiumTotals { balance: one(exact.balance), ..exact },
            CondominiumTotals { held: one(exact.held), ..exact },
            CondominiumTotals { minted: one(exact.minted), ..exact },
            CondominiumTotals { redeemed: one(exact.redeemed), ..exact },
            CondominiumTotals { debt: one(exact.debt), ..exact },
            CondominiumTotals { owed_to: one(exact.owed_to), ..exact },
            CondominiumTotals { owed_by: one(exact.owed_by), ..exact },
        ];
        for wrong in wrong {
            assert!(!wrong.holds(), "{wrong:?}");
        }
        let redeemed_elsewhere = CondominiumTotals { redeemed: Amount::MAX, owed_to: Amount::MAX, ..exact };
        assert!(redeemed_elsewhere.holds(), "more may be redeemed than was sold here");
    }

    #[test]
    fn records_that_contradict_one_another_are_faults() {
        let chain = Fixture::new();
        let mut both = chain.state.clone();
        for key in [Key::Position(HOME, AWAY), Key::Position(AWAY, HOME)] {
            both.put(key.bytes(), codec::encode(&tokens(1)).unwrap());
        }
        assert!(conservation(&both).is_err());
        let mut homeless = chain.state.clone();
        homeless.delete(&Key::Condominium(AWAY).bytes());
        assert!(conservation(&homeless).is_err());
    }

    #[test]
    fn counts_more_accounts_than_one_page_has() {
        let mut chain = Fixture::new();
        let before = conservation(&chain.state).unwrap()[0].balance;
        let account = chain.account(RESIDENT);
        for number in 0..2_500_u32 {
            let mut address = [0xdd; 32];
            address[..4].copy_from_slice(&number.to_be_bytes());
            chain.put(&Key::Account(Address(address)), &Account { balance: tokens(1), ..account });
        }
        let after = conservation(&chain.state).unwrap()[0].balance;
        assert_eq!(after.checked_sub(before), Some(tokens(2_500)));
    }
}
