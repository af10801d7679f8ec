//! The model's clearing: what is counted of charging away from home, the netting of positions, and payments between condominiums.

use std::collections::BTreeMap;

use chain::{
    code::Code,
    hash::Hash32,
    id::{Address, CondominiumId, Height},
    quantity::{Amount, WattHours},
    receipt::Event,
    record::{Clearing, ClearingHead, Key, Payment, PaymentReport, Roaming, Role},
    time::Timestamp,
};
use contracts::call::{AnswerPayment, ClearPositions, PaymentAnswer, ReportPayment, SetPositionLimit};

use super::{
    ledger::{Model, Ruling, Sender, no},
    records::Rows,
};

/// What residents of one home did where another is paid: sessions, their Wh and their price, transfers and their sum.
pub type Abroad = [u64; 5];

/// A payment that is not confirmed.
#[derive(Clone, Copy, Debug)]
pub struct Owing {
    pub amount: u64,
    pub report: Option<(Address, u64, Hash32)>,
}

/// A period that has ended: its beginning, its end, and where the clearing stands in the chain.
#[derive(Clone, Copy, Debug)]
pub struct Period {
    pub from: Option<u64>,
    pub until: u64,
    pub place: (u64, u32),
}

impl Model {
    pub fn count_abroad(&mut self, home: u32, host: u32, more: Abroad) {
        if home != host && more != [0; 5] {
            let counted = self.abroad.entry((home, host)).or_default();
            *counted = std::array::from_fn(|place| counted[place] + more[place]);
        }
    }

    /// What one condominium has to pay another and has not been confirmed.
    pub fn unpaid(&self, debtor: u32, creditor: u32) -> u64 {
        self.owing.iter().filter(|((from, to, _), _)| (*from, *to) == (debtor, creditor)).map(|(_, owing)| owing.amount).sum()
    }

    /// Who would have to pay whom. One after the other everybody steps out of the middle between each of his debtors and each of his creditors.
    fn netted(&self) -> BTreeMap<(u32, u32), u64> {
        let sites: Vec<u32> = self.treasuries.keys().copied().collect();
        let mut debt: BTreeMap<(u32, u32), i128> = BTreeMap::new();
        for one in &sites {
            for other in &sites {
                debt.insert((*one, *other), if one == other { 0 } else { self.owes(*one, *other) });
            }
        }
        for middle in &sites {
            for debtor in &sites {
                for creditor in &sites {
                    let through = debt[&(*debtor, *middle)].min(debt[&(*middle, *creditor)]);
                    if through <= 0 {
                        continue;
                    }
                    let direct = debt[&(*debtor, *creditor)];
                    let limit = i128::from(self.treasuries[creditor].position_limit).min(1 << 62);
                    let allowed = limit - i128::from(self.pending(*debtor, *creditor)) - i128::from(self.unpaid(*debtor, *creditor));
                    // The debt between the two may rise to what is allowed; where it is higher, or the other way round, to no more than nothing.
                    let top = if direct < 0 { allowed.max(0) } else { allowed.max(direct) };
                    let moved = through.min(top - direct);
                    for (from, to, change) in [(debtor, middle, -moved), (middle, creditor, -moved), (debtor, creditor, moved)] {
                        *debt.get_mut(&(*from, *to)).expect("all pairs") += change;
                        *debt.get_mut(&(*to, *from)).expect("all pairs") -= change;
                    }
                }
            }
        }
        debt.into_iter().filter(|(_, owed)| *owed > 0).map(|(pair, owed)| (pair, u64::try_from(owed).expect("an amount"))).collect()
    }

    pub fn clear_positions(&mut self, sender: &Sender, call: &ClearPositions) -> Ruling<Vec<Event>> {
        self.only(call.condominium.0, Role::Treasurer, sender)?;
        if self.abroad.is_empty() && self.positions.values().all(|owed| *owed == 0) {
            return no(Code::NothingToClear);
        }
        let due = self.netted();
        let (from, until) = (self.periods.last().map(|period| period.until), self.now);
        self.periods.push(Period { from, until, place: self.place() });
        let clearing = u32::try_from(self.periods.len()).expect("few");
        let mut events = vec![Event::PositionsCleared {
            clearing,
            condominium: call.condominium,
            from: from.map(Timestamp::from_ms),
            until: Timestamp::from_ms(until),
        }];
        for ((home, host), counted) in std::mem::take(&mut self.abroad) {
            let (home, host) = (CondominiumId(home), CondominiumId(host));
            events.push(Event::RoamingClosed { clearing, home, host, roaming: roaming(counted) });
        }
        self.positions.clear();
        for ((debtor, creditor), amount) in due {
            if self.owing.keys().filter(|(from, to, _)| (*from, *to) == (debtor, creditor)).count() >= 24 {
                self.post(debtor, creditor, amount);
                continue;
            }
            self.owing.insert((debtor, creditor, clearing), Owing { amount, report: None });
            let (debtor, creditor) = (CondominiumId(debtor), CondominiumId(creditor));
            events.push(Event::PaymentDue { clearing, debtor, creditor, amount: Amount::from_micro(amount) });
        }
        Ok(events)
    }

    pub fn report_payment(&mut self, sender: &Sender, call: &ReportPayment) -> Ruling<Vec<Event>> {
        let key = (call.debtor.0, call.creditor.0, call.clearing);
        let owing = *self.owing.get(&key).ok_or(Code::UnknownPayment)?;
        self.only(call.debtor.0, Role::Treasurer, sender)?;
        if owing.report.is_some() {
            return no(Code::PaymentReported);
        }
        self.owing.insert(key, Owing { report: Some((sender.account, self.now, call.payment)), ..owing });
        let ReportPayment { clearing, debtor, creditor, payment: _ } = *call;
        Ok(vec![Event::PaymentReported { clearing, debtor, creditor, amount: Amount::from_micro(owing.amount) }])
    }

    pub fn answer_payment(&mut self, sender: &Sender, call: &AnswerPayment) -> Ruling<Vec<Event>> {
        let AnswerPayment { clearing, debtor, creditor, answer } = *call;
        let key = (debtor.0, creditor.0, clearing);
        let owing = *self.owing.get(&key).ok_or(Code::UnknownPayment)?;
        self.only(creditor.0, Role::Treasurer, sender)?;
        match owing.report {
            None => return no(Code::PaymentNotReported),
            Some((treasurer, ..)) if treasurer == sender.account => return no(Code::NotAllowed),
            Some(_) => {}
        }
        let amount = Amount::from_micro(owing.amount);
        Ok(vec![match answer {
            PaymentAnswer::Received => {
                self.owing.remove(&key);
                self.treasuries.get_mut(&debtor.0).expect("a site").redeemed += owing.amount;
                self.treasuries.get_mut(&creditor.0).expect("a site").minted += owing.amount;
                Event::PaymentReceived { clearing, debtor, creditor, amount }
            }
            PaymentAnswer::Missing => {
                self.owing.insert(key, Owing { report: None, ..owing });
                Event::PaymentMissing { clearing, debtor, creditor, amount }
            }
        }])
    }

    pub fn set_position_limit(&mut self, sender: &Sender, call: &SetPositionLimit) -> Ruling<Vec<Event>> {
        let SetPositionLimit { condominium, limit } = *call;
        self.only(condominium.0, Role::Treasurer, sender)?;
        self.treasuries.get_mut(&condominium.0).expect("asked above").position_limit = limit.micro();
        Ok(vec![Event::PositionLimitSet { condominium, limit }])
    }

    pub(super) fn clearing_records(&self, rows: &mut Rows) {
        for ((home, host), counted) in &self.abroad {
            rows.put(&Key::Roaming(CondominiumId(*home), CondominiumId(*host)), &roaming(*counted));
        }
        for (number, period) in (1..).zip(&self.periods) {
            let record = Clearing {
                from: period.from.map(Timestamp::from_ms),
                until: Timestamp::from_ms(period.until),
                height: Height(period.place.0),
                index: period.place.1,
            };
            rows.put(&Key::Clearing(number), &record);
        }
        if !self.periods.is_empty() {
            rows.put(&Key::ClearingHead, &ClearingHead { latest: u32::try_from(self.periods.len()).expect("few") });
        }
        for ((debtor, creditor, clearing), owing) in &self.owing {
            let report = owing.report.map(|(treasurer, at, payment)| PaymentReport { treasurer, at: Timestamp::from_ms(at), payment });
            let record = Payment { amount: Amount::from_micro(owing.amount), report };
            rows.put(&Key::Payment(CondominiumId(*debtor), CondominiumId(*creditor), *clearing), &record);
        }
    }
}

fn roaming([sessions, energy, charged, transfers, transferred]: Abroad) -> Roaming {
    let (charged, transferred) = (Amount::from_micro(charged), Amount::from_micro(transferred));
    Roaming { sessions, energy: WattHours::new(energy), charged, transfers, transferred }
}
