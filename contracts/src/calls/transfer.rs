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
    clearing::count_transfer,
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
        count_transfer(ledger, from.home, to.home, self.amount)?;
        post_position(ledger, from.home, to.home, self.amount)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{AWAY, AWAY_STAFF, BALANCE, Fixture, HOME, NEIGHBOUR, POSITION_LIMIT, RESIDENT, STRANGER, VISITOR, tokens};

    fn transfer(to: Address, amount: Amount) -> Transfer {
        Transfer { to, amount }
    }

    #[test]
    fn gives_tokens_to_a_neighbour_without_a_position() {
        let mut chain = Fixture::new();
        let events = chain.applies(RESIDENT, &transfer(NEIGHBOUR, BALANCE));
        assert_eq!(events, [Event::Transferred { from: RESIDENT, to: NEIGHBOUR, amount: BALANCE }]);
        assert_eq!(chain.account(RESIDENT).balance, Amount::ZERO);
        assert_eq!(chain.account(NEIGHBOUR).balance, tokens(200));
    }

    #[test]
    fn posts_a_position_between_homes_and_nets_what_comes_back() {
        let mut chain = Fixture::new();
        let posted = |debtor, creditor, amount| Event::PositionPosted { debtor, creditor, amount };
        let owed = |chain: &Fixture| {
            let position = |debtor, creditor| chain.get::<Amount>(&Key::Position(debtor, creditor));
            (position(HOME, AWAY), position(AWAY, HOME))
        };
        let events = chain.applies(RESIDENT, &transfer(VISITOR, tokens(30)));
        assert_eq!(events, [Event::Transferred { from: RESIDENT, to: VISITOR, amount: tokens(30) }, posted(HOME, AWAY, tokens(30))]);
        assert_eq!(owed(&chain), (Some(tokens(30)), None));
        chain.applies(VISITOR, &transfer(RESIDENT, tokens(10)));
        assert_eq!(owed(&chain), (Some(tokens(20)), None));
        let events = chain.applies(VISITOR, &transfer(RESIDENT, tokens(25)));
        assert_eq!(events[1], posted(AWAY, HOME, tokens(25)));
        assert_eq!(owed(&chain), (None, Some(tokens(5))));
        chain.applies(RESIDENT, &transfer(VISITOR, tokens(5)));
        assert_eq!(owed(&chain), (None, None));
    }

    #[test]
    fn refuses_what_the_ledger_forbids_in_the_order_of_its_checks() {
        let mut chain = Fixture::new();
        let over = tokens(101);
        assert_eq!(chain.rejects(RESIDENT, &transfer(RESIDENT, Amount::ZERO)), Code::ZeroValue.into());
        assert_eq!(chain.rejects(STRANGER, &transfer(RESIDENT, over)), Code::UnknownAccount.into());
        assert_eq!(chain.rejects(RESIDENT, &transfer(RESIDENT, over)), Code::SelfTransfer.into());
        assert_eq!(chain.rejects(RESIDENT, &transfer(STRANGER, over)), Code::UnknownAccount.into());
        let short = Rejection::of(Code::InsufficientFunds, over.micro(), BALANCE.micro());
        assert_eq!(chain.rejects(RESIDENT, &transfer(VISITOR, over)), short);
        let beyond = Amount::from_micro(POSITION_LIMIT.micro() + 1);
        let limit = Rejection::of(Code::PositionLimit, POSITION_LIMIT.micro(), beyond.micro());
        assert_eq!(chain.rejects(RESIDENT, &transfer(VISITOR, beyond)), limit);

        // What the creditor owes counts against it, and what is owed already counts on top.
        chain.applies(VISITOR, &transfer(RESIDENT, tokens(10)));
        chain.applies(RESIDENT, &transfer(VISITOR, tokens(40)));
        let limit = Rejection::of(Code::PositionLimit, POSITION_LIMIT.micro(), POSITION_LIMIT.micro() + 1);
        assert_eq!(chain.rejects(RESIDENT, &transfer(VISITOR, Amount::from_micro(1))), limit);
    }

    #[test]
    fn draws_no_credit() {
        let mut chain = Fixture::new();
        let account = chain.account(RESIDENT);
        chain.put(&Key::Account(RESIDENT), &Account { credit_limit: tokens(50), ..account });
        let short = Rejection::of(Code::InsufficientFunds, BALANCE.micro() + 1, BALANCE.micro());
        assert_eq!(chain.rejects(RESIDENT, &transfer(NEIGHBOUR, Amount::from_micro(BALANCE.micro() + 1))), short);
    }

    #[test]
    fn refuses_a_balance_that_cannot_be_counted() {
        let mut chain = Fixture::new();
        let account = chain.account(AWAY_STAFF);
        chain.put(&Key::Account(AWAY_STAFF), &Account { balance: Amount::MAX, ..account });
        assert_eq!(chain.rejects(RESIDENT, &transfer(AWAY_STAFF, Amount::from_micro(1))), Code::Overflow.into());
    }
}
