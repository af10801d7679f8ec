//! `ReportPayment`: a treasurer says that his condominium has sent the money of a payment.
//!
//! Checked in this order: the payment is there (`UnknownPayment`); a treasurer of the debtor (`NotAllowed`); it was not reported before (`PaymentReported`).

use chain::{
    code::{Code, Rejection},
    hash::Hash32,
    id::CondominiumId,
    receipt::Event,
    record::{Key, Payment, PaymentReport, Role},
};
use serde::{Deserialize, Serialize};

use crate::{call::Action, context::CallContext, failure::Failure, ledger::Ledger, roles};

/// Says that the money of a payment was sent; the creditor's treasurer answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ReportPayment {
    /// After which clearing.
    pub clearing: u32,
    /// Who pays.
    pub debtor: CondominiumId,
    /// Whom.
    pub creditor: CondominiumId,
    /// A salted commitment to the payment's reference.
    pub payment: Hash32,
}

impl Action for ReportPayment {
    fn name(&self) -> &'static str {
        "report_payment"
    }

    fn check(&self) -> Result<(), Rejection> {
        Ok(())
    }

    fn apply(&self, context: &CallContext<'_>, ledger: &mut Ledger<'_>) -> Result<(), Failure> {
        let Self { clearing, debtor, creditor, payment: commitment } = *self;
        let key = Key::Payment(debtor, creditor, clearing);
        let payment: Payment = ledger.get(&key)?.ok_or(Code::UnknownPayment)?;
        roles::require(ledger, context, debtor, Role::Treasurer)?;
        if payment.report.is_some() {
            return Err(Code::PaymentReported.into());
        }

        // every check is done: from here on only writes
        let report = PaymentReport { treasurer: context.account, at: context.block.timestamp, payment: commitment };
        ledger.put(&key, &Payment { report: Some(report), ..payment })?;
        ledger.emit(Event::PaymentReported { clearing, debtor, creditor, amount: payment.amount });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        call::{ClearPositions, Transfer},
        testing::{AWAY, AWAY_STAFF, Fixture, HOME, MANAGER, RESIDENT, TREASURER, VISITOR, tokens},
    };

    #[test]
    fn a_treasurer_of_the_debtor_reports_a_payment_once() {
        let mut chain = Fixture::new();
        chain.applies(RESIDENT, &Transfer { to: VISITOR, amount: tokens(5) });
        chain.applies(TREASURER, &ClearPositions { condominium: HOME });
        let report = ReportPayment { clearing: 1, debtor: HOME, creditor: AWAY, payment: Hash32([7; 32]) };
        for other in [RESIDENT, MANAGER, AWAY_STAFF] {
            assert_eq!(chain.rejects(other, &report), Code::NotAllowed.into());
        }
        for unknown in [
            ReportPayment { clearing: 2, ..report },
            ReportPayment { creditor: CondominiumId(3), ..report },
            ReportPayment { debtor: AWAY, creditor: HOME, ..report },
        ] {
            assert_eq!(chain.rejects(RESIDENT, &unknown), Code::UnknownPayment.into());
        }
        let events = chain.applies(TREASURER, &report);
        assert_eq!(events, [Event::PaymentReported { clearing: 1, debtor: HOME, creditor: AWAY, amount: tokens(5) }]);
        let said = PaymentReport { treasurer: TREASURER, at: chain.now, payment: Hash32([7; 32]) };
        assert_eq!(chain.get(&Key::Payment(HOME, AWAY, 1)), Some(Payment { amount: tokens(5), report: Some(said) }));
        assert_eq!(chain.rejects(TREASURER, &report), Code::PaymentReported.into());
    }
}
