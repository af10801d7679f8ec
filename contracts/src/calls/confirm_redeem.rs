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
