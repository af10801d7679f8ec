//! Every bill computed a second time: from the tariff as it was put on the chain and the readings as they were signed.
//!
//! The handlers that made the bill are not asked: this follows the transactions and their outcomes alone, keeps a session's readings, and sums them up when
//! the session is settled. Prices come from `contracts::tariff`, which is the one definition of what a kWh costs. Called by the audit.

use std::collections::BTreeMap;

use super::difference;
use chain::{
    hash::Hash32,
    id::{ConnectorId, SessionId, TariffId},
    quantity::{Amount, Cost, WattHours},
    receipt::{Event, Outcome, Receipt, SessionReceipt},
    record::CostByComponent,
    tariff::Tariff,
    time::Timestamp,
};
use contracts::{
    call::{Call, Reading},
    execute::VerifiedTransaction,
    tariff::{Interval, energy_cost, energy_within, flat_cost},
};

/// What must be remembered of a chain to check its bills.
#[derive(Debug, Default)]
pub struct Bills {
    tariffs: BTreeMap<(TariffId, u32), Tariff>,
    connector_tariffs: BTreeMap<ConnectorId, TariffId>,
    sessions: BTreeMap<SessionId, Followed>,
    /// Roots that readings of the block at hand name, with the index of their transaction.
    samples_roots: BTreeMap<(SessionId, u64), (Hash32, usize)>,
    /// Bills that were found right, in order of settlement.
    pub settled: Vec<SessionReceipt>,
}

#[derive(Debug)]
struct Followed {
    tariff: TariffId,
    tariff_version: u32,
    escrow: Amount,
    readings: Vec<(Timestamp, WattHours)>,
}

/// A bill, or an outcome, that does not follow from what was signed.
#[derive(Debug)]
pub struct WrongBill {
    /// The receipt's index, where it is of one.
    pub index: Option<usize>,
    /// Which figure.
    pub field: String,
    /// What was expected and found.
    pub problem: String,
}

impl Bills {
    /// Sessions that are not settled yet.
    pub fn open(&self) -> u64 {
        self.sessions.len() as u64
    }

    /// Takes in a block: its transactions and, in the same order, their receipts, then those of deadlines.
    pub fn follow(&mut self, transactions: &[VerifiedTransaction], receipts: &[Receipt]) -> Result<(), WrongBill> {
        for (index, receipt) in receipts.iter().enumerate() {
            if receipt.outcome != Outcome::Applied {
                continue;
            }
            if let Some(transaction) = transactions.get(index) {
                self.call(index, &transaction.get().body().call, receipt);
            }
            for event in &receipt.events {
                self.event(index, event)?;
            }
        }
        Ok(())
    }

    fn call(&mut self, index: usize, call: &Call, receipt: &Receipt) {
        match call {
            Call::PutTariff(put) => {
                self.tariffs.insert((put.tariff, put.version), put.document.clone());
            }
            Call::PutConnector(put) => {
                self.connector_tariffs.insert(put.connector, TariffId::new(put.connector.condominium, put.tariff));
            }
            Call::OpenSession(open) => {
                for event in &receipt.events {
                    if let (Event::SessionOpened { session, escrow, .. }, Some(tariff)) =
                        (event, self.connector_tariffs.get(&open.connector))
                    {
                        let followed =
                            Followed { tariff: *tariff, tariff_version: open.tariff_version, escrow: *escrow, readings: Vec::new() };
                        self.sessions.insert(*session, followed);
                    }
                }
            }
            Call::Attest(attest) => self.readings(index, &attest.readings, receipt),
            Call::RegisterAccount(_)
            | Call::SellTokens(_)
            | Call::RequestRedeem(_)
            | Call::ConfirmRedeem(_)
            | Call::Transfer(_)
            | Call::GrantRole(_)
            | Call::RevokeRole(_)
            | Call::PutGroup(_)
            | Call::TopUpSession(_)
            | Call::CancelSession(_)
            | Call::StopSession(_)
            | Call::GrantCharge(_)
            | Call::PauseCharge(_)
            | Call::ResumeCharge(_)
            | Call::ReportFault(_)
            | Call::SettleSession(_) => {}
        }
    }

    fn readings(&mut self, index: usize, readings: &[Reading], receipt: &Receipt) {
        let outcomes = receipt
            .events
            .iter()
            .filter_map(|event| if let Event::ReadingHandled { refused, .. } = event { Some(refused.is_none()) } else { None });
        for (reading, accepted) in readings.iter().zip(outcomes) {
            let Some(session) = self.sessions.get_mut(&reading.session).filter(|_| accepted) else { continue };
            session.readings.push((reading.at, reading.register_wh));
            if reading.samples_root != Hash32::ZERO {
                self.samples_roots.insert((reading.session, reading.sequence), (reading.samples_root, index));
            }
        }
    }

    fn event(&mut self, index: usize, event: &Event) -> Result<(), WrongBill> {
        let wrong = |field: &str, problem: String| WrongBill { index: Some(index), field: field.to_owned(), problem };
        match event {
            Event::SessionToppedUp { session, amount, .. } => {
                if let Some(session) = self.sessions.get_mut(session) {
                    session.escrow = session.escrow.checked_add(*amount).ok_or_else(|| wrong("escrow", "exceeds the range".to_owned()))?;
                }
            }
            Event::SessionSettled(bill) => {
                let session = self
                    .sessions
                    .remove(&bill.session)
                    .ok_or_else(|| wrong("session", format!("session {} was never opened, or settled before", bill.session)))?;
                let tariff = self.tariffs.get(&(session.tariff, session.tariff_version)).ok_or_else(|| {
                    wrong("tariff", format!("version {} of tariff {} was never put", session.tariff_version, session.tariff))
                })?;
                let expected = session.bill(tariff, bill).map_err(|problem| wrong("bill", problem))?;
                if expected != *bill {
                    let difference = difference::between(&expected, bill);
                    let field = format!("bill of session {}, {}", bill.session, difference.field);
                    return Err(wrong(&field, format!("expected {}, found {}", difference.expected, difference.found)));
                }
                self.settled.push(*bill);
            }
            Event::AccountRegistered { .. }
            | Event::TokensSold { .. }
            | Event::RedemptionRequested { .. }
            | Event::RedemptionPaid { .. }
            | Event::RedemptionRefused { .. }
            | Event::Transferred { .. }
            | Event::RoleGranted { .. }
            | Event::RoleRevoked { .. }
            | Event::GroupPut { .. }
            | Event::ConnectorPut { .. }
            | Event::TariffPut { .. }
            | Event::SessionOpened { .. }
            | Event::SessionGranted { .. }
            | Event::SessionSkipped { .. }
            | Event::SessionPaused { .. }
            | Event::ReadingHandled { .. }
            | Event::EnergyUnassigned { .. }
            | Event::FaultReported { .. }
            | Event::SessionStopping { .. }
            | Event::PositionPosted { .. } => {}
        }
        Ok(())
    }

    /// The root that an accepted reading of this block named, and the index of its transaction.
    pub fn take_samples_root(&mut self, session: SessionId, sequence: u64) -> Option<(Hash32, usize)> {
        self.samples_roots.remove(&(session, sequence))
    }

    /// Ends a block; how many roots stay without their samples.
    pub fn forget_samples_roots(&mut self) -> u64 {
        let missing = self.samples_roots.len() as u64;
        self.samples_roots.clear();
        missing
    }
}

impl Followed {
    /// The bill as it follows from tariff and readings; what only the chain can know (times, reason) is taken from `bill`.
    fn bill(&self, tariff: &Tariff, bill: &SessionReceipt) -> Result<SessionReceipt, String> {
        let text = |rejection: chain::code::Rejection| rejection.to_string();
        let limit = Cost::from_amount(self.escrow).ok_or("the escrow exceeds the range")?;
        let mut cost = CostByComponent::default();
        let mut billed_at_limit = None;
        let first = self.readings.first().map(|(_, register)| *register);
        let mut previous = self.readings.first().copied();
        for (at, register) in &self.readings {
            let (before_at, before_register) = previous.unwrap_or((*at, *register));
            let energy = register.checked_sub(before_register).ok_or("a register falls")?;
            let before = cost.total().ok_or("the cost exceeds the range")?;
            let charged_before = before_register.saturating_sub(first.unwrap_or_default());
            if cost.flat == Cost::ZERO && Some(*register) > first && Some(before_register) == first {
                let begun = bill.first_granted_at.ok_or("energy without a grant")?;
                cost.flat = flat_cost(tariff, begun).map_err(text)?;
            }
            let interval = Interval { from: before_at, to: *at, energy };
            let with_flat = cost.total().ok_or("the cost exceeds the range")?;
            cost.energy = cost.energy.checked_add(energy_cost(tariff, &interval).map_err(text)?).ok_or("the cost exceeds the range")?;
            let after = cost.total().ok_or("the cost exceeds the range")?;
            if billed_at_limit.is_none() && before <= limit && after > limit {
                let rest = limit.checked_sub(with_flat).unwrap_or(Cost::ZERO);
                let within = if with_flat > limit { WattHours::ZERO } else { energy_within(tariff, &interval, rest).map_err(text)? };
                billed_at_limit = charged_before.checked_add(within);
            }
            previous = Some((*at, *register));
        }
        let energy = match (self.readings.first(), self.readings.last()) {
            (Some((_, start)), Some((_, end))) => end.checked_sub(*start).ok_or("a register falls")?,
            _ => WattHours::ZERO,
        };
        let due = cost.total().and_then(Cost::floor).ok_or("the cost exceeds the range")?;
        let paid = due.min(self.escrow);
        Ok(SessionReceipt {
            tariff: self.tariff,
            tariff_version: self.tariff_version,
            energy,
            energy_billed: billed_at_limit.unwrap_or(energy),
            cost,
            escrow: self.escrow,
            paid,
            refund: self.escrow.saturating_sub(paid),
            readings: self.readings.len() as u64,
            ..*bill
        })
    }
}
