//! `AnswerPayment`: the creditor's treasurer says whether the money of a payment has arrived.
//!
//! Checked in this order: the payment is there (`UnknownPayment`); a treasurer of the creditor (`NotAllowed`); it was reported (`PaymentNotReported`), by somebody
//! else (`NotAllowed`); where the money has arrived, what was redeemed and sold can still be counted (`Overflow`).
//!
//! Money that has arrived takes its tokens along: the debtor has paid them out, as in a redemption, and the creditor now holds the money behind them, as after a
//! sale. So the sums of both condominiums hold as they did while the one owed the other.

use chain::{
    code::{Code, Rejection},
    id::CondominiumId,
    receipt::Event,
    record::{Condominium, Key, Payment, Role},
};
use serde::{Deserialize, Serialize};

use crate::{call::Action, context::CallContext, failure::Failure, ledger::Ledger, roles};

/// Says what became of the money of a payment.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AnswerPayment {
    /// After which clearing.
    pub clearing: u32,
    /// Who pays.
    pub debtor: CondominiumId,
    /// Whom.
    pub creditor: CondominiumId,
    /// What became of it.
    pub answer: PaymentAnswer,
}

/// What a creditor's treasurer found on the account.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PaymentAnswer {
    /// The money: nothing is owed any more.
    Received,
    /// No money: it is owed as before, and may be reported again.
    Missing,
}

impl Action for AnswerPayment {
    fn name(&self) -> &'static str {
        "answer_payment"
    }

    fn check(&self) -> Result<(), Rejection> {
        Ok(())
    }

    fn apply(&self, context: &CallContext<'_>, ledger: &mut Ledger<'_>) -> Result<(), Failure> {
        let Self { clearing, debtor, creditor, answer } = *self;
        let key = Key::Payment(debtor, creditor, clearing);
        let payment: Payment = ledger.get(&key)?.ok_or(Code::UnknownPayment)?;
        let amount = payment.amount;
        roles::require(ledger, context, creditor, Role::Treasurer)?;
        let report = payment.report.ok_or(Code::PaymentNotReported)?;
        // One person who serves both would confirm his own word.
        if report.treasurer == context.account {
            return Err(Code::NotAllowed.into());
        }
        match answer {
            PaymentAnswer::Received => {
                let payer = ledger.condominium(debtor)?.ok_or(Code::UnknownCondominium)?;
                let payee = ledger.condominium(creditor)?.ok_or(Code::UnknownCondominium)?;
                let redeemed = payer.redeemed.checked_add(amount).ok_or(Code::Overflow)?;
                let minted = payee.minted.checked_add(amount).ok_or(Code::Overflow)?;

                // every check is done: from here on only writes
                ledger.put(&Key::Condominium(debtor), &Condominium { redeemed, ..payer })?;
                ledger.put(&Key::Condominium(creditor), &Condominium { minted, ..payee })?;
                ledger.delete(&key);
                ledger.emit(Event::PaymentReceived { clearing, debtor, creditor, amount });
            }
            PaymentAnswer::Missing => {
                // every check is done: from here on only writes
                ledger.put(&key, &Payment { report: None, ..payment })?;
                ledger.emit(Event::PaymentMissing { clearing, debtor, creditor, amount });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use chain::{hash::Hash32, id::Height, quantity::Amount, record::RoleGrant};

    use super::*;
    use crate::{
        audit::conservation,
        call::{ClearPositions, ReportPayment, Transfer},
        testing::{AWAY, AWAY_STAFF, Fixture, HOME, MANAGER, RESIDENT, TREASURER, VISITOR, tokens},
    };

    const RECEIVED: AnswerPayment = AnswerPayment { clearing: 1, debtor: HOME, creditor: AWAY, answer: PaymentAnswer::Received };
    const REPORT: ReportPayment = ReportPayment { clearing: 1, debtor: HOME, creditor: AWAY, payment: Hash32([7; 32]) };

    /// [`HOME`] has to pay five tokens to [`AWAY`].
    fn due() -> Fixture {
        let mut chain = Fixture::new();
        chain.applies(RESIDENT, &Transfer { to: VISITOR, amount: tokens(5) });
        chain.applies(TREASURER, &ClearPositions { condominium: HOME });
        chain
    }

    fn treasury(chain: &Fixture, id: CondominiumId) -> (Amount, Amount) {
        let record = chain.get::<Condominium>(&Key::Condominium(id)).unwrap();
        (record.minted, record.redeemed)
    }

    #[test]
    fn money_that_arrived_takes_its_tokens_along_and_nothing_is_owed_any_more() {
        let mut chain = due();
        assert!(conservation(&chain.state).unwrap().iter().all(crate::audit::CondominiumTotals::holds));
        assert_eq!(conservation(&chain.state).unwrap()[0].owed_by, tokens(5));
        chain.applies(TREASURER, &REPORT);
        assert_eq!(conservation(&chain.state).unwrap()[0].owed_by, tokens(5), "a word is no money");
        let events = chain.applies(AWAY_STAFF, &RECEIVED);
        assert_eq!(events, [Event::PaymentReceived { clearing: 1, debtor: HOME, creditor: AWAY, amount: tokens(5) }]);
        assert_eq!((treasury(&chain, HOME), treasury(&chain, AWAY)), ((tokens(200), tokens(5)), (tokens(105), Amount::ZERO)));
        let totals = conservation(&chain.state).unwrap();
        assert!(totals.iter().all(|one| one.holds() && one.owed_by.is_zero() && one.owed_to.is_zero()));
        assert_eq!(chain.rejects(AWAY_STAFF, &RECEIVED), Code::UnknownPayment.into());
    }

    #[test]
    fn money_that_is_missing_is_owed_as_before_and_can_be_reported_again() {
        let mut chain = due();
        chain.applies(TREASURER, &REPORT);
        let events = chain.applies(AWAY_STAFF, &AnswerPayment { answer: PaymentAnswer::Missing, ..RECEIVED });
        assert_eq!(events, [Event::PaymentMissing { clearing: 1, debtor: HOME, creditor: AWAY, amount: tokens(5) }]);
        assert_eq!(treasury(&chain, AWAY), (tokens(100), Amount::ZERO));
        assert_eq!(chain.rejects(AWAY_STAFF, &RECEIVED), Code::PaymentNotReported.into());
        chain.applies(TREASURER, &REPORT);
        chain.applies(AWAY_STAFF, &RECEIVED);
    }

    #[test]
    fn is_for_a_treasurer_of_the_creditor_who_did_not_report_it_himself() {
        let mut chain = due();
        assert_eq!(chain.rejects(AWAY_STAFF, &RECEIVED), Code::PaymentNotReported.into());
        chain.put(&Key::Role(HOME, Role::Treasurer, AWAY_STAFF), &RoleGrant { from: Height(0), until: None });
        chain.put(&Key::Role(AWAY, Role::Treasurer, MANAGER), &RoleGrant { from: Height(0), until: None });
        chain.applies(AWAY_STAFF, &REPORT);
        for other in [RESIDENT, TREASURER, AWAY_STAFF] {
            assert_eq!(chain.rejects(other, &RECEIVED), Code::NotAllowed.into());
        }
        assert_eq!(chain.rejects(AWAY_STAFF, &AnswerPayment { clearing: 2, ..RECEIVED }), Code::UnknownPayment.into());
        chain.applies(MANAGER, &RECEIVED);
    }

    #[test]
    fn what_cannot_be_counted_any_more_is_refused() {
        for id in [HOME, AWAY] {
            let mut chain = due();
            chain.applies(TREASURER, &REPORT);
            let record = chain.get::<Condominium>(&Key::Condominium(id)).unwrap();
            let full =
                if id == HOME { Condominium { redeemed: Amount::MAX, ..record } } else { Condominium { minted: Amount::MAX, ..record } };
            chain.put(&Key::Condominium(id), &full);
            assert_eq!(chain.rejects(AWAY_STAFF, &RECEIVED), Code::Overflow.into());
        }
    }
}
