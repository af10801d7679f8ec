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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{BALANCE, Fixture, NOON, RESIDENT, STRANGER, tokens};

    fn request(amount: Amount) -> RequestRedeem {
        RequestRedeem { amount, payee: Hash32([5; 32]) }
    }

    #[test]
    fn locks_the_tokens_under_the_id_of_the_request() {
        let mut chain = Fixture::new();
        let redemption = RedemptionId(chain.next_tx().0);
        let events = chain.applies(RESIDENT, &request(tokens(40)));
        assert_eq!(events, [Event::RedemptionRequested { redemption, account: RESIDENT, amount: tokens(40) }]);
        let account = chain.account(RESIDENT);
        assert_eq!((account.balance, account.held), (tokens(60), tokens(40)));
        let record = Redemption { account: RESIDENT, amount: tokens(40), requested_at: NOON, payee: Hash32([5; 32]) };
        assert_eq!(chain.get(&Key::Redemption(redemption)), Some(record));
    }

    #[test]
    fn refuses_nothing_strangers_and_more_than_the_balance_whatever_the_credit() {
        let mut chain = Fixture::new();
        let account = chain.account(RESIDENT);
        chain.put(&Key::Account(RESIDENT), &Account { credit_limit: tokens(50), ..account });
        assert_eq!(chain.rejects(RESIDENT, &request(Amount::ZERO)), Code::ZeroValue.into());
        assert_eq!(chain.rejects(STRANGER, &request(tokens(1))), Code::UnknownAccount.into());
        let short = Rejection::of(Code::InsufficientFunds, tokens(101).micro(), BALANCE.micro());
        assert_eq!(chain.rejects(RESIDENT, &request(tokens(101))), short);
        chain.put(&Key::Account(RESIDENT), &Account { held: Amount::MAX, ..account });
        assert_eq!(chain.rejects(RESIDENT, &request(tokens(1))), Code::Overflow.into());
    }
}
