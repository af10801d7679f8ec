//! `Transfer`: gives tokens to another registered account.

use chain::{
    code::{Code, Rejection},
    id::Address,
    quantity::Amount,
    receipt::Event,
    record::{Account, Key},
};
use serde::{Deserialize, Serialize};

use crate::{
    call::Action,
    context::CallContext,
    failure::Failure,
    ledger::Ledger,
    money::{check_position, post_position, registered},
};

/// Gives tokens to another registered account.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Transfer {
    /// Payee.
    pub to: Address,
    /// How many tokens.
    pub amount: Amount,
}

impl Action for Transfer {
    fn name(&self) -> &'static str {
        "transfer"
    }

    /// [`Code::ZeroValue`].
    fn check(&self) -> Result<(), Rejection> {
        if self.amount.is_zero() {
            return Err(Code::ZeroValue.into());
        }
        Ok(())
    }

    /// Draws no credit: what is given away must be there.
    fn apply(&self, context: &CallContext<'_>, ledger: &mut Ledger<'_>) -> Result<(), Failure> {
        let from = registered(ledger, &context.account)?;
        if self.to == context.account {
            return Err(Code::SelfTransfer.into());
        }
        let to = registered(ledger, &self.to)?;
        let payer_balance = from
            .balance
            .checked_sub(self.amount)
            .ok_or_else(|| Rejection::of(Code::InsufficientFunds, self.amount.micro(), from.balance.micro()))?;
        check_position(ledger, from.home, to.home, self.amount)?;
        let payee_balance = to.balance.checked_add(self.amount).ok_or(Code::Overflow)?;

        // every check is done: from here on only writes
        ledger.put(&Key::Account(context.account), &Account { balance: payer_balance, ..from })?;
        ledger.put(&Key::Account(self.to), &Account { balance: payee_balance, ..to })?;
        ledger.emit(Event::Transferred { from: context.account, to: self.to, amount: self.amount });
        post_position(ledger, from.home, to.home, self.amount)
    }
}
