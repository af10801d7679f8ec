//! `SellTokens`: mints tokens that a resident has paid for outside the chain; a first sale registers the account.

use chain::{
    code::{Code, Rejection},
    hash::Hash32,
    id::{Address, CondominiumId},
    quantity::Amount,
    receipt::Event,
    record::{Account, Condominium, Key, Role},
};
use serde::{Deserialize, Serialize};

use super::register_account::{check_free, empty_account, register};
use crate::{
    call::Action,
    context::CallContext,
    failure::Failure,
    ledger::Ledger,
    money::{MAX_SUPPLY, credited},
    roles,
};

/// Mints tokens that a resident has paid for outside the chain; a first sale registers the account.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SellTokens {
    /// Who sells: the buyer's home.
    pub condominium: CondominiumId,
    /// Who buys.
    pub account: Address,
    /// How many tokens.
    pub amount: Amount,
    /// The condominium's next sale number: a sale that is sent twice is booked once.
    #[serde(with = "chain::quantity::decimal")]
    pub sale: u64,
    /// A salted commitment to the payment's reference.
    pub payment: Hash32,
}

const MS_PER_DAY: u64 = 86_400_000;

impl Action for SellTokens {
    fn name(&self) -> &'static str {
        "sell_tokens"
    }

    /// [`Code::ZeroValue`].
    fn check(&self) -> Result<(), Rejection> {
        if self.amount.is_zero() {
            return Err(Code::ZeroValue.into());
        }
        Ok(())
    }

    fn apply(&self, context: &CallContext<'_>, ledger: &mut Ledger<'_>) -> Result<(), Failure> {
        roles::require(ledger, context, self.condominium, Role::Treasurer)?;
        let seller = ledger.condominium(self.condominium)?.ok_or(Code::UnknownCondominium)?;
        let known = ledger.account(&self.account)?;
        match known {
            Some(Account { home, .. }) if home != self.condominium => {
                return Err(Rejection::of(Code::NotHome, self.condominium.0.into(), home.0.into()).into());
            }
            Some(_) => {}
            None => check_free(ledger, &self.account)?,
        }
        if self.sale != seller.next_sale {
            return Err(Rejection::of(Code::WrongSaleNumber, seller.next_sale, self.sale).into());
        }
        let mint_day = context.block.timestamp.ms().checked_div(MS_PER_DAY).ok_or(Code::Overflow)?;
        let before_today = if seller.mint_day == mint_day { seller.minted_today } else { Amount::ZERO };
        let minted_today = within_cap(before_today, self.amount, seller.mint_cap_per_day)?;
        if supply(ledger)?.checked_add(self.amount).is_none_or(|supply| supply > MAX_SUPPLY) {
            return Err(Code::Overflow.into());
        }
        let minted = seller.minted.checked_add(self.amount).ok_or(Code::Overflow)?;
        let next_sale = seller.next_sale.checked_add(1).ok_or(Code::Overflow)?;
        let buyer = known.unwrap_or_else(|| empty_account(self.condominium));
        let (buyer, to_debt) = credited(buyer, self.amount).ok_or(Code::Overflow)?;

        // every check is done: from here on only writes
        if known.is_none() {
            register(ledger, &self.account, self.condominium)?;
        }
        ledger.put(&Key::Account(self.account), &buyer)?;
        ledger.put(&Key::Condominium(self.condominium), &Condominium { minted, next_sale, mint_day, minted_today, ..seller })?;
        let Self { condominium, account, amount, sale, payment: _ } = *self;
        ledger.emit(Event::TokensSold { condominium, account, amount, to_debt, sale });
        Ok(())
    }
}

/// What is sold in one day after another sale.
fn within_cap(before: Amount, amount: Amount, cap: Amount) -> Result<Amount, Rejection> {
    match before.checked_add(amount) {
        Some(after) if after <= cap => Ok(after),
        Some(_) | None => Err(Rejection::of(Code::MintCapExceeded, cap.micro(), before.micro().saturating_add(amount.micro()))),
    }
}

/// The most condominiums that are counted when the supply is bounded; a federation has a handful.
const MAX_CONDOMINIUMS: u32 = 65_536;

/// All that was ever sold. What was redeemed is not taken off, so that the bound needs no thought about where the rest is.
fn supply(ledger: &Ledger<'_>) -> Result<Amount, Failure> {
    let mut prefix = Key::Condominium(CondominiumId(0)).bytes();
    prefix.truncate(1);
    let all: Vec<(_, Condominium)> = ledger.scan(&prefix, MAX_CONDOMINIUMS)?;
    Amount::sum(all.iter().map(|(_, condominium)| condominium.minted)).ok_or_else(|| Code::Overflow.into())
}

#[cfg(test)]
mod tests {
    use chain::{
        record::{Signer, SignerScope},
        time::Duration,
    };

    use super::*;
    use crate::testing::{AWAY, AWAY_STAFF, BALANCE, Fixture, HOME, MANAGER, NEIGHBOUR, RESIDENT, STRANGER, TREASURER, VISITOR, tokens};

    fn sale(sale: u64, account: Address, amount: Amount) -> SellTokens {
        SellTokens { condominium: HOME, account, amount, sale, payment: Hash32([8; 32]) }
    }

    fn home(chain: &Fixture) -> Condominium {
        chain.get(&Key::Condominium(HOME)).unwrap()
    }

    #[test]
    fn mints_for_a_resident_and_counts_it() {
        let mut chain = Fixture::new();
        let minted = home(&chain).minted;
        let events = chain.applies(TREASURER, &sale(1, RESIDENT, tokens(5)));
        let sold = Event::TokensSold { condominium: HOME, account: RESIDENT, amount: tokens(5), to_debt: Amount::ZERO, sale: 1 };
        assert_eq!(events, [sold]);
        assert_eq!(chain.account(RESIDENT).balance, tokens(105));
        let after = home(&chain);
        assert_eq!((after.minted, after.next_sale, after.minted_today), (minted.checked_add(tokens(5)).unwrap(), 2, tokens(5)));
    }

    #[test]
    fn the_first_sale_registers_the_buyer_with_his_own_key() {
        let mut chain = Fixture::new();
        let events = chain.applies(TREASURER, &sale(1, STRANGER, tokens(5)));
        assert_eq!(events.first(), Some(&Event::AccountRegistered { account: STRANGER, home: HOME }));
        assert!(matches!(events.last(), Some(Event::TokensSold { .. })) && events.len() == 2);
        assert_eq!(chain.account(STRANGER), Account { balance: tokens(5), ..empty_account(HOME) });
        let signer = Signer { account: STRANGER, scope: SignerScope::Owner, nonce: 0 };
        assert_eq!(chain.get(&Key::Signer(STRANGER)), Some(signer));
    }

    #[test]
    fn pays_back_debt_before_it_raises_the_balance() {
        let mut chain = Fixture::new();
        let account = chain.account(RESIDENT);
        let debt = tokens(10);
        chain.put(&Key::Account(RESIDENT), &Account { balance: BALANCE.checked_add(debt).unwrap(), debt, ..account });
        let to_debt = |events: &[Event]| match events {
            [Event::TokensSold { to_debt, .. }] => *to_debt,
            _ => panic!("{events:?}"),
        };
        assert_eq!(to_debt(&chain.applies(TREASURER, &sale(1, RESIDENT, tokens(4)))), tokens(4));
        assert_eq!((chain.account(RESIDENT).debt, chain.account(RESIDENT).balance), (tokens(6), tokens(110)));
        assert_eq!(to_debt(&chain.applies(TREASURER, &sale(2, RESIDENT, tokens(9)))), tokens(6));
        assert_eq!((chain.account(RESIDENT).debt, chain.account(RESIDENT).balance), (Amount::ZERO, tokens(113)));
    }

    #[test]
    fn the_cap_is_for_one_day_of_utc() {
        let mut chain = Fixture::new();
        chain.applies(TREASURER, &sale(1, RESIDENT, tokens(999)));
        let beyond = Rejection::of(Code::MintCapExceeded, tokens(1_000).micro(), tokens(1_001).micro());
        assert_eq!(chain.rejects(TREASURER, &sale(2, NEIGHBOUR, tokens(2))), beyond);
        chain.applies(TREASURER, &sale(2, NEIGHBOUR, tokens(1)));
        chain.wait(Duration::from_ms(12 * 3_600_000 - 1));
        let beyond = Rejection::of(Code::MintCapExceeded, tokens(1_000).micro(), tokens(1_000).micro() + 1);
        assert_eq!(chain.rejects(TREASURER, &sale(3, RESIDENT, Amount::from_micro(1))), beyond);
        chain.wait(Duration::from_ms(1));
        chain.applies(TREASURER, &sale(3, RESIDENT, tokens(1_000)));
        assert_eq!(home(&chain).minted_today, tokens(1_000));
    }

    #[test]
    fn refuses_what_the_ledger_forbids_in_the_order_of_its_checks() {
        let mut chain = Fixture::new();
        assert_eq!(chain.rejects(TREASURER, &sale(9, VISITOR, Amount::ZERO)), Code::ZeroValue.into());
        let nowhere = SellTokens { condominium: CondominiumId(9), ..sale(9, VISITOR, tokens(1)) };
        assert_eq!(chain.rejects(TREASURER, &nowhere), Code::UnknownCondominium.into());
        for other in [RESIDENT, MANAGER, AWAY_STAFF] {
            assert_eq!(chain.rejects(other, &sale(9, VISITOR, tokens(1))), Code::NotAllowed.into());
        }
        let away = Rejection::of(Code::NotHome, HOME.0.into(), AWAY.0.into());
        assert_eq!(chain.rejects(TREASURER, &sale(9, VISITOR, tokens(1))), away);
        for wrong in [0, 2] {
            let number = Rejection::of(Code::WrongSaleNumber, 1, wrong);
            assert_eq!(chain.rejects(TREASURER, &sale(wrong, RESIDENT, tokens(2_000))), number);
        }
        let whole = Rejection::of(Code::MintCapExceeded, tokens(1_000).micro(), u64::MAX);
        assert_eq!(chain.rejects(TREASURER, &sale(1, RESIDENT, Amount::MAX)), whole);
    }

    #[test]
    fn a_key_that_signs_for_another_account_never_becomes_one() {
        let mut chain = Fixture::new();
        chain.put(&Key::Signer(STRANGER), &Signer { account: RESIDENT, scope: SignerScope::Owner, nonce: 3 });
        assert_eq!(chain.rejects(TREASURER, &sale(1, STRANGER, tokens(1))), Code::AccountExists.into());
    }

    #[test]
    fn all_condominiums_together_stay_within_the_supply() {
        let mut chain = Fixture::new();
        let sold = home(&chain).minted.checked_add(BALANCE).unwrap();
        chain.put(&Key::Condominium(HOME), &Condominium { mint_cap_per_day: Amount::MAX, ..home(&chain) });
        let rest = MAX_SUPPLY.checked_sub(sold).unwrap();
        let beyond = rest.checked_add(Amount::from_micro(1)).unwrap();
        assert_eq!(chain.rejects(TREASURER, &sale(1, RESIDENT, beyond)), Code::Overflow.into());
        chain.applies(TREASURER, &sale(1, RESIDENT, rest));
    }
}
