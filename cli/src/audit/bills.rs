//! Every bill computed a second time: from the tariff as it was put on the chain and the readings as they were signed.
//!
//! The handlers that made the bill are not asked: this follows the transactions and their outcomes alone, keeps a session's readings and when it held a grant, and
//! sums them up when the session is settled. Prices come from `contracts::tariff`, which is the one definition of what a kWh or an hour costs. Called by the audit.

use std::collections::BTreeMap;

use super::difference;
use chain::{
    hash::Hash32,
    id::{ConnectorId, SessionId, TariffId},
    quantity::{Amount, COST_UNIT, Cost, WattHours},
    receipt::{Event, Outcome, Overdrawn, Receipt, SessionReceipt},
    record::{CostByComponent, GrantSpan},
    tariff::Tariff,
    time::{Duration, Timestamp},
};
use contracts::{
    call::{Call, ConfirmStart, OpenSession, OpenSessionByMandate, Reading},
    execute::VerifiedTransaction,
    sessions::MAX_GRANT_SPANS,
    tariff::{Counted, Interval, due, energy_within, flat_cost, interval_cost},
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
    max_duration: Duration,
    /// The block time of the first grant.
    begun: Option<Timestamp>,
    /// When it held a grant, as far as that is not billed yet.
    granted: Vec<GrantSpan>,
    idle_since: Option<Timestamp>,
    is_over: bool,
    readings: Vec<Taken>,
}

/// An accepted reading, and what was known when it was accepted.
#[derive(Debug)]
struct Taken {
    at: Timestamp,
    register: WattHours,
    granted: Vec<GrantSpan>,
    idle_since: Option<Timestamp>,
    is_over: bool,
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

/// Computes one session's bill a second time: from its tariff and, in order, the receipts that name it, each with the time of its block and the transaction that caused
/// it. Of what other sessions did, nothing is needed.
///
/// # Errors
/// What is missing or comes out otherwise, in words.
pub fn bill_of_session(
    bill: &SessionReceipt,
    tariff: &Tariff,
    steps: &[(Timestamp, Option<VerifiedTransaction>, Receipt)],
) -> Result<(), String> {
    let mut bills = Bills::default();
    bills.tariffs.insert((bill.tariff, bill.tariff_version), tariff.clone());
    bills.connector_tariffs.insert(bill.connector, bill.tariff);
    for (at, transaction, receipt) in steps {
        let (transactions, receipts) = (transaction.as_slice(), std::slice::from_ref(receipt));
        bills.follow(*at, transactions, receipts).map_err(|WrongBill { field, problem, .. }| format!("{field}: {problem}"))?;
    }
    if bills.settled.as_slice() == [*bill] { Ok(()) } else { Err("its opening is missing".to_owned()) }
}

impl Bills {
    /// Sessions that are not settled yet.
    pub fn open(&self) -> u64 {
        self.sessions.len() as u64
    }

    /// Takes in a block: its time, its transactions and, in the same order, their receipts, then those of deadlines.
    pub fn follow(&mut self, at: Timestamp, transactions: &[VerifiedTransaction], receipts: &[Receipt]) -> Result<(), WrongBill> {
        for (index, receipt) in receipts.iter().enumerate() {
            if receipt.outcome != Outcome::Applied {
                continue;
            }
            let mut readings: &[Reading] = &[];
            if let Some(transaction) = transactions.get(index) {
                let call = &transaction.get().body().call;
                self.call(call, receipt);
                if let Call::Attest(attest) = call {
                    readings = &attest.readings;
                }
            }
            for event in &receipt.events {
                if let (Event::ReadingHandled { refused, .. }, Some((reading, rest))) = (event, readings.split_first()) {
                    readings = rest;
                    if refused.is_none() {
                        self.reading(index, reading);
                    }
                }
                self.event(index, at, event)?;
            }
        }
        Ok(())
    }

    fn call(&mut self, call: &Call, receipt: &Receipt) {
        match call {
            Call::PutTariff(put) => {
                self.tariffs.insert((put.tariff, put.version), put.document.clone());
            }
            Call::PutConnector(put) => {
                self.connector_tariffs.insert(put.connector, TariffId::new(put.connector.condominium, put.tariff));
            }
            Call::OpenSession(OpenSession { connector, tariff_version, max_duration, .. })
            | Call::OpenSessionByMandate(OpenSessionByMandate { connector, tariff_version, max_duration, .. })
            | Call::ConfirmStart(ConfirmStart { start: OpenSessionByMandate { connector, tariff_version, max_duration, .. } }) => {
                for event in &receipt.events {
                    if let (Event::SessionOpened { session, escrow, .. }, Some(tariff)) = (event, self.connector_tariffs.get(connector)) {
                        let followed = Followed {
                            tariff: *tariff,
                            tariff_version: *tariff_version,
                            escrow: *escrow,
                            max_duration: *max_duration,
                            begun: None,
                            granted: Vec::new(),
                            idle_since: None,
                            is_over: false,
                            readings: Vec::new(),
                        };
                        self.sessions.insert(*session, followed);
                    }
                }
            }
            Call::Attest(_)
            | Call::AttestUnassigned(_)
            | Call::RegisterAccount(_)
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
            | Call::SettleSession(_)
            | Call::ClearPositions(_)
            | Call::ReportPayment(_)
            | Call::AnswerPayment(_)
            | Call::SetPositionLimit(_)
            | Call::GrantMandate(_)
            | Call::RevokeMandate(_)
            | Call::BindCard(_)
            | Call::ReplaceMeter(_)
            | Call::ProveEquivocation(_)
            | Call::LiftSuspension(_)
            | Call::AskStart(_) => {}
        }
    }

    fn reading(&mut self, index: usize, reading: &Reading) {
        let Some(session) = self.sessions.get_mut(&reading.session) else { return };
        session.readings.push(Taken {
            at: reading.at,
            register: reading.register_wh,
            granted: session.granted.clone(),
            idle_since: session.idle_since,
            is_over: session.is_over,
        });
        session.granted.retain(|span| span.until.is_none_or(|until| until > reading.at));
        if reading.samples_root != Hash32::ZERO {
            self.samples_roots.insert((reading.session, reading.sequence), (reading.samples_root, index));
        }
    }

    fn event(&mut self, index: usize, now: Timestamp, event: &Event) -> Result<(), WrongBill> {
        let wrong = |field: &str, problem: String| WrongBill { index: Some(index), field: field.to_owned(), problem };
        match event {
            Event::SessionGranted { session, .. } => {
                if let Some(session) = self.sessions.get_mut(session) {
                    session.grant(now);
                }
            }
            Event::SessionPaused { session, .. } => {
                if let Some(span) = self.sessions.get_mut(session).and_then(|session| session.granted.last_mut()) {
                    span.until = Some(now);
                }
            }
            Event::SessionIdle { session, since } => {
                if let Some(session) = self.sessions.get_mut(session) {
                    if session.readings.last().is_none_or(|reading| reading.at != *since) {
                        return Err(wrong("since", "a session is full at a time that is not its reading's".to_owned()));
                    }
                    session.idle_since = Some(*since);
                }
            }
            Event::SessionStopping { session, .. } => {
                if let Some(session) = self.sessions.get_mut(session) {
                    session.is_over = true;
                }
            }
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
            | Event::SessionSkipped { .. }
            | Event::ReadingHandled { .. }
            | Event::EnergyUnassigned { .. }
            | Event::FaultReported { .. }
            | Event::PositionPosted { .. }
            | Event::PositionsCleared { .. }
            | Event::RoamingClosed { .. }
            | Event::PaymentDue { .. }
            | Event::PaymentReported { .. }
            | Event::PaymentReceived { .. }
            | Event::PaymentMissing { .. }
            | Event::PositionLimitSet { .. } => {}
            Event::MandateGranted { .. }
            | Event::MandateRevoked { .. }
            | Event::CardBound { .. }
            | Event::CardReleased { .. }
            | Event::SessionMandated { .. }
            | Event::StartAsked { .. }
            | Event::MeterProposed { .. }
            | Event::MeterReplaced { .. }
            | Event::RoleSuspended { .. }
            | Event::SuspensionLifted { .. }
            | Event::StartConfirmed { .. } => {}
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
    /// It holds a grant from now on; a change of one that it holds is no news.
    fn grant(&mut self, now: Timestamp) {
        self.begun.get_or_insert(now);
        if self.granted.last().is_none_or(|span| span.until.is_some()) {
            // The ledger remembers so many between two readings.
            let forgotten = self.granted.len().saturating_add(1).saturating_sub(MAX_GRANT_SPANS);
            self.granted.drain(..forgotten);
            self.granted.push(GrantSpan { from: now, until: None });
        }
    }

    /// The bill as it follows from tariff and readings; what only the chain can know (times, reason) is taken from `bill`.
    fn bill(&self, tariff: &Tariff, bill: &SessionReceipt) -> Result<SessionReceipt, String> {
        const RANGE: &str = "the cost exceeds the range";
        let text = |rejection: chain::code::Rejection| rejection.to_string();
        let add = |one: Cost, other: Cost| one.checked_add(other).ok_or(RANGE);
        // The last micro-token is paid for to its end: a bill is rounded down.
        let payable = Cost::from_amount(self.escrow).map(Cost::parts).and_then(|parts| parts.checked_add(COST_UNIT)?.checked_sub(1));
        let payable = payable.map(Cost::from_parts).ok_or("the escrow exceeds the range")?;
        let start = self.readings.first().map_or(WattHours::ZERO, |reading| reading.register);
        let (mut cost, mut billed_at_limit) = (CostByComponent::default(), None);
        let mut previous = self.readings.first().map(|reading| (reading.at, reading.register));
        for reading in &self.readings {
            let begun = self.begun.ok_or("readings without a grant")?;
            let (from, register) = previous.unwrap_or((reading.at, reading.register));
            let energy = reading.register.checked_sub(register).ok_or("a register falls")?;
            let energy_before = register.checked_sub(start).ok_or("a register falls")?;
            let interval = Interval { from, to: reading.at, energy, energy_before, begun };
            let longest = begun.saturating_add(self.max_duration);
            let until = if reading.is_over { longest.min(bill.ended_at) } else { longest };
            let counted = Counted { granted: &reading.granted, idle_since: reading.idle_since, until };
            let mut spent = cost;
            if energy_before.is_zero() && !energy.is_zero() {
                spent.flat = add(spent.flat, flat_cost(tariff, begun).map_err(text)?)?;
            }
            let added = interval_cost(tariff, &interval, &counted).map_err(text)?;
            cost = CostByComponent {
                energy: add(spent.energy, added.energy)?,
                time: add(spent.time, added.time)?,
                parking_time: add(spent.parking_time, added.parking_time)?,
                flat: spent.flat,
            };
            let metered = energy_before.checked_add(energy).ok_or(RANGE)?;
            if billed_at_limit.is_none() && due(tariff, &cost, metered).ok_or(RANGE)? > payable {
                let within = energy_within(tariff, &interval, &counted, &spent, payable).map_err(text)?;
                billed_at_limit = energy_before.checked_add(within);
            }
            previous = Some((reading.at, reading.register));
        }
        let energy = self.readings.last().map_or(WattHours::ZERO, |reading| reading.register.saturating_sub(start));
        let owed = due(tariff, &cost, energy).and_then(Cost::floor).ok_or(RANGE)?;
        let paid = owed.min(self.escrow);
        let over = owed.saturating_sub(self.escrow);
        let energy_billed = billed_at_limit.unwrap_or(energy);
        let overdrawn = (!over.is_zero()).then(|| Overdrawn { energy: energy.saturating_sub(energy_billed), amount: over });
        Ok(SessionReceipt {
            tariff: self.tariff,
            tariff_version: self.tariff_version,
            first_granted_at: self.begun,
            energy,
            energy_billed,
            cost,
            escrow: self.escrow,
            paid,
            refund: self.escrow.saturating_sub(paid),
            overdrawn,
            readings: self.readings.len() as u64,
            ..*bill
        })
    }
}
