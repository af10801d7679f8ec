//! `ConfirmRedeem`: answers a redemption: the tokens are gone because the money was paid, or they go back.

use chain::{
    code::{Code, Rejection},
    hash::Hash32,
    id::RedemptionId,
    receipt::Event,
    record::{Account, Condominium, Key, Redemption, Role},
};
use serde::{Deserialize, Serialize};

use crate::{
    call::Action,
    context::CallContext,
    failure::{Failure, Fault},
    ledger::Ledger,
    roles,
};

/// Answers a redemption: the tokens are gone because the money was paid, or they go back.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ConfirmRedeem {
    /// Which request.
    pub redemption: RedemptionId,
    /// What became of it.
    pub answer: RedeemAnswer,
}

/// What a treasurer did about a redemption.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RedeemAnswer {
    /// The money was paid.
    Paid {
        /// A salted commitment to the payment's reference.
        payment: Hash32,
    },
    /// It was not; the tokens go back to their holder.
    Refused,
}

impl Action for ConfirmRedeem {
    fn name(&self) -> &'static str {
        "confirm_redeem"
    }

    fn check(&self) -> Result<(), Rejection> {
        Ok(())
    }

    fn apply(&self, context: &CallContext<'_>, ledger: &mut Ledger<'_>) -> Result<(), Failure> {
        let key = Key::Redemption(self.redemption);
        let Redemption { account: holder, amount, .. } = ledger.get(&key)?.ok_or(Code::UnknownRedemption)?;
        let account = ledger.account(&holder)?.ok_or_else(|| Fault(format!("the account {holder} of a redemption is gone")))?;
        roles::require(ledger, context, account.home, Role::Treasurer)?;
        let held =
            account.held.checked_sub(amount).ok_or_else(|| Fault(format!("less is held than the redemption {}", self.redemption)))?;

        match self.answer {
            RedeemAnswer::Paid { payment: _ } => {
                let home = ledger.condominium(account.home)?.ok_or(Code::UnknownCondominium)?;
                let redeemed = home.redeemed.checked_add(amount).ok_or(Code::Overflow)?;

                // every check is done: from here on only writes
                ledger.put(&Key::Account(holder), &Account { held, ..account })?;
                ledger.put(&Key::Condominium(account.home), &Condominium { redeemed, ..home })?;
                ledger.emit(Event::RedemptionPaid { redemption: self.redemption, account: holder, amount });
            }
            RedeemAnswer::Refused => {
                // To the balance, not to a debt: it was taken from the balance, and a refusal must leave the holder as he was.
                let balance = account.balance.checked_add(amount).ok_or(Code::Overflow)?;

                // every check is done: from here on only writes
                ledger.put(&Key::Account(holder), &Account { balance, held, ..account })?;
                ledger.emit(Event::RedemptionRefused { redemption: self.redemption, account: holder, amount });
            }
        }
        ledger.delete(&key);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use chain::quantity::Amount;

    use super::*;
    use crate::{
        call::RequestRedeem,
        testing::{AWAY_STAFF, Fixture, HOME, MANAGER, RESIDENT, TREASURER, tokens},
    };

    const PAID: RedeemAnswer = RedeemAnswer::Paid { payment: Hash32([6; 32]) };

    /// Half of the resident's balance is to be redeemed.
    fn requested(chain: &mut Fixture) -> RedemptionId {
        let redemption = RedemptionId(chain.next_tx().0);
        chain.applies(RESIDENT, &RequestRedeem { amount: tokens(50), payee: Hash32([5; 32]) });
        redemption
    }

    #[test]
    fn burns_what_was_paid_out() {
        let mut chain = Fixture::new();
        let redemption = requested(&mut chain);
        let events = chain.applies(TREASURER, &ConfirmRedeem { redemption, answer: PAID });
        assert_eq!(events, [Event::RedemptionPaid { redemption, account: RESIDENT, amount: tokens(50) }]);
        let account = chain.account(RESIDENT);
        assert_eq!((account.balance, account.held), (tokens(50), Amount::ZERO));
        assert_eq!(chain.get::<Condominium>(&Key::Condominium(HOME)).unwrap().redeemed, tokens(50));
        assert_eq!(chain.rejects(TREASURER, &ConfirmRedeem { redemption, answer: PAID }), Code::UnknownRedemption.into());
    }

    #[test]
    fn gives_back_what_was_refused_to_the_balance_even_of_a_debtor() {
        let mut chain = Fixture::new();
        let account = chain.account(RESIDENT);
        chain.put(&Key::Account(RESIDENT), &Account { balance: tokens(110), debt: tokens(10), ..account });
        let redemption = requested(&mut chain);
        let events = chain.applies(TREASURER, &ConfirmRedeem { redemption, answer: RedeemAnswer::Refused });
        assert_eq!(events, [Event::RedemptionRefused { redemption, account: RESIDENT, amount: tokens(50) }]);
        assert_eq!(chain.account(RESIDENT), Account { balance: tokens(110), debt: tokens(10), ..account });
        assert_eq!(chain.get::<Condominium>(&Key::Condominium(HOME)).unwrap().redeemed, Amount::ZERO);
        assert_eq!(chain.get::<Redemption>(&Key::Redemption(redemption)), None);
    }

    #[test]
    fn is_for_a_treasurer_of_the_holders_home_alone() {
        let mut chain = Fixture::new();
        let redemption = requested(&mut chain);
        for other in [RESIDENT, MANAGER, AWAY_STAFF] {
            assert_eq!(chain.rejects(other, &ConfirmRedeem { redemption, answer: PAID }), Code::NotAllowed.into());
        }
        let unknown = RedemptionId(Hash32([9; 32]));
        assert_eq!(chain.rejects(RESIDENT, &ConfirmRedeem { redemption: unknown, answer: PAID }), Code::UnknownRedemption.into());
    }
}
