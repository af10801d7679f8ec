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
