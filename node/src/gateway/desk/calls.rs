//! What is to be submitted: everything that is decided and that the chain does not have.

use chain::{
    code::{Code, Rejection},
    id::SessionId,
    time::{Duration, Timestamp},
};
use contracts::call::{Attest, Call, Reading, ReplaceMeter, ReportFault, SettleSession};

use super::Desk;

/// The most readings of one attestation; the chain allows no more.
const READINGS_PER_ATTEST: usize = 256;

/// The most attestations of one round.
const ATTESTS_PER_ROUND: usize = 4;

/// The most settlements and reports of one round.
const OTHERS_PER_ROUND: usize = 256;

/// How long a session rests after the chain refused what was submitted for it.
const REFUSED_PAUSE: Duration = Duration::from_secs(5);

impl Desk {
    /// Everything that is decided and that the chain does not have: one attestation for many sessions, then faults, then settlements, then what cards start.
    ///
    /// A session is settled once its last reading is on the chain and not in the same round: a transaction that an earlier process signed may still be on its way
    /// under the attestation's number and take its place, and the settlement behind it would bill what the chain had before.
    pub fn round(&self, now: Timestamp) -> Vec<Call> {
        let mut readings: Vec<Reading> = Vec::new();
        let (mut faults, mut settlements, mut exchanges) = (Vec::new(), Vec::new(), Vec::new());
        let most = READINGS_PER_ATTEST.saturating_mul(ATTESTS_PER_ROUND);
        for (id, place) in &self.places {
            // The chain takes no exchange while it lacks what the old meter has shown.
            let is_told = place.open.as_ref().is_none_or(|open| open.undelivered_len() == 0);
            let newest = place.newest.as_ref().map(|(_, raw)| raw).filter(|_| is_told);
            if let Some((last, first)) =
                place.connector.as_ref().zip(newest).and_then(|(known, raw)| place.exchange.agreed(known, raw, now))
            {
                exchanges.push(Call::ReplaceMeter(ReplaceMeter { connector: *id, last, first }));
            }
            let Some(open) = &place.open else {
                if let Some((fault, at)) = place.fault {
                    faults.push(Call::ReportFault(ReportFault { connector: *id, session: None, fault, at }));
                }
                faults.extend(place.unassigned(*id).map(Call::AttestUnassigned));
                continue;
            };
            if open.wait_until.is_some_and(|at| at > now) {
                continue;
            }
            let room = most.saturating_sub(readings.len());
            readings.extend(open.undelivered(room).copied());
            if let Some((fault, at)) = open.fault_to_report() {
                faults.push(Call::ReportFault(ReportFault { connector: *id, session: Some(open.id), fault, at }));
            }
            if open.wants_settlement() {
                settlements.push(Call::SettleSession(SettleSession { session: open.id }));
            }
        }
        let starts = self.starts(now);
        settlements.extend(self.unserved.due(now).map(|session| Call::SettleSession(SettleSession { session })));
        let mut calls: Vec<Call> =
            readings.chunks(READINGS_PER_ATTEST).map(|readings| Call::Attest(Attest { readings: readings.to_vec() })).collect();
        calls.extend(faults.into_iter().chain(exchanges).chain(settlements).chain(starts).take(OTHERS_PER_ROUND));
        calls
    }

    /// The chain would refuse a call: what it is about rests a while.
    pub fn on_refused(&mut self, call: &Call, rejection: &Rejection, now: Timestamp) {
        tracing::warn!(call = call.action().name(), %rejection, "a call of the gateway was refused");
        let until = Some(now.saturating_add(REFUSED_PAUSE));
        let rest = |desk: &mut Self, session: &SessionId| {
            if let Some(open) = desk.sessions.get(session).and_then(|id| desk.places.get_mut(id)).and_then(|place| place.open.as_mut()) {
                open.wait_until = until;
            }
        };
        if let Call::Attest(attest) = call {
            for reading in &attest.readings {
                rest(self, &reading.session);
            }
        }
        if let Call::SettleSession(settle) = call {
            rest(self, &settle.session);
            self.unserved.wait(&settle.session, now.saturating_add(REFUSED_PAUSE));
        }
        if let Call::AttestUnassigned(told) = call
            && let Some(place) = self.places.get_mut(&told.connector)
        {
            place.unassigned_refused();
        }
        if let Call::ReplaceMeter(exchange) = call
            && let Some(place) = self.places.get_mut(&exchange.connector)
        {
            place.exchange.wait(now.saturating_add(REFUSED_PAUSE));
            if let Some(connector) = place.connector.filter(|_| rejection.code == Code::MeterRegister) {
                place.exchange.cannot_be(&connector);
            }
        }
        if let Call::OpenSessionByMandate(opening) = call {
            self.start_refused(opening);
        }
        if let Call::AskStart(asking) = call {
            self.start_refused(&asking.start);
        }
        if let Call::ReportFault(report) = call {
            if let Some(session) = &report.session {
                rest(self, session);
            } else if let Some(place) = self.places.get_mut(&report.connector) {
                place.fault = None;
            }
        }
    }
}
