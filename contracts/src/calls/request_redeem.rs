//! `RequestRedeem`: locks tokens that their holder wants paid out by his home condominium.

use chain::{
    code::{Code, Rejection},
    hash::Hash32,
    id::RedemptionId,
    quantity::Amount,
    receipt::Event,
    record::{Account, Key, Redemption},
};
use serde::{Deserialize, Serialize};

use crate::{call::Action, context::CallContext, failure::Failure, ledger::Ledger, money::registered};

/// Locks tokens that their holder wants paid out by his home condominium; the redemption's id is that of this transaction.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RequestRedeem {
    /// How many tokens.
    pub amount: Amount,
    /// A salted commitment to where the money shall go.
    pub payee: Hash32,
}

impl Action for RequestRedeem {
    fn name(&self) -> &'static str {
        "request_redeem"
    }

    /// [`Code::ZeroValue`].
    fn check(&self) -> Result<(), Rejection> {
        if self.amount.is_zero() {
            return Err(Code::ZeroValue.into());
        }
        Ok(())
    }

    /// Draws no credit: nobody is paid out what he owes.
    fn apply(&self, context: &CallContext<'_>, ledger: &mut Ledger<'_>) -> Result<(), Failure> {
        let account = registered(ledger, &context.account)?;
        let balance = account
            .balance
            .checked_sub(self.amount)
            .ok_or_else(|| Rejection::of(Code::InsufficientFunds, self.amount.micro(), account.balance.micro()))?;
        let held = account.held.checked_add(self.amount).ok_or(Code::Overflow)?;
        let redemption = RedemptionId(context.tx_id.0);

        // every check is done: from here on only writes
        ledger.put(&Key::Account(context.account), &Account { balance, held, ..account })?;
        let record = Redemption { account: context.account, amount: self.amount, requested_at: context.block.timestamp, payee: self.payee };
        ledger.put(&Key::Redemption(redemption), &record)?;
        ledger.emit(Event::RedemptionRequested { redemption, account: context.account, amount: self.amount });
        Ok(())
    }
}
