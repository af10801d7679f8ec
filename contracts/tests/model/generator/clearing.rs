//! What treasurers might send about debts between condominiums.

use chain::{
    hash::Hash32,
    id::{Address, CondominiumId},
    quantity::Amount,
    record::Role,
};
use contracts::call::{AnswerPayment, Call, ClearPositions, PaymentAnswer, ReportPayment, SetPositionLimit};
use rand::{Rng, seq::IndexedRandom};

use super::{Generator, SITES, TOKEN};
use crate::ledger::Model;

impl Generator {
    pub(super) fn clear(&mut self, model: &Model) -> (Address, Call) {
        let site = self.site();
        let sender = self.staff(model, site, Role::Treasurer);
        let call = Call::ClearPositions(ClearPositions { condominium: CondominiumId(site) });
        // A second one at once has nothing left to do.
        if self.one_in(3) {
            self.ahead = vec![(sender, call.clone())];
        }
        (sender, call)
    }

    /// From, to and clearing of a payment that somebody might mean.
    fn payment(&mut self, model: &Model, is_reported: bool) -> (u32, u32, u32) {
        let fitting: Vec<_> = model.owing.iter().filter(|(_, owing)| owing.report.is_some() == is_reported).map(|(key, _)| *key).collect();
        let all: Vec<_> = model.owing.keys().copied().collect();
        let any = self.one_in(5);
        let chosen = fitting.choose(&mut self.rng).copied().filter(|_| !any).or_else(|| all.choose(&mut self.rng).copied());
        let (from, to, clearing) = chosen.unwrap_or((1, 2, 1));
        if self.one_in(12) { (to, from, clearing) } else { (from, to, clearing) }
    }

    pub(super) fn report(&mut self, model: &Model) -> (Address, Call) {
        let (from, to, clearing) = self.payment(model, false);
        let sender = self.staff(model, from, Role::Treasurer);
        let payment = Hash32(self.rng.random());
        (sender, Call::ReportPayment(ReportPayment { clearing, debtor: CondominiumId(from), creditor: CondominiumId(to), payment }))
    }

    pub(super) fn confirm(&mut self, model: &Model) -> (Address, Call) {
        let (from, to, clearing) = self.payment(model, true);
        let sender = self.staff(model, to, Role::Treasurer);
        let answer = if self.one_in(4) { PaymentAnswer::Missing } else { PaymentAnswer::Received };
        (sender, Call::AnswerPayment(AnswerPayment { clearing, debtor: CondominiumId(from), creditor: CondominiumId(to), answer }))
    }

    pub(super) fn limit(&mut self, model: &Model) -> (Address, Call) {
        let site = self.pick(&SITES);
        let sender = self.staff(model, site, Role::Treasurer);
        let limit = match self.rng.random_range(0..8) {
            0 => Amount::ZERO,
            1 => Amount::MAX,
            _ => self.amount(60 * TOKEN),
        };
        (sender, Call::SetPositionLimit(SetPositionLimit { condominium: CondominiumId(site), limit }))
    }
}
