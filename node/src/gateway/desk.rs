//! Everything the gateway knows and decides, connector by connector; the disk always has it before anybody acts on it.
//!
//! No clock, network or task: it is told what units and chain say and what time it is, fills a [`Write`] with what must become durable, and says which calls are
//! to be submitted. Called by the gateway's loop alone, which writes before it answers or submits.

use std::{collections::BTreeMap, sync::Arc};

use chain::{
    code::Rejection,
    hash::Hash32,
    id::{ConnectorId, SessionId, TariffId},
    params::Params,
    receipt::{Event, Receipt},
    record::{Connector, Fault, Key, Session, TariffVersion},
    state::StateRead,
    tariff::Tariff,
    time::{Duration, Timestamp},
};
use contracts::{
    call::{Attest, Call, Reading, ReportFault, SettleSession},
    failure::Fault as LedgerFault,
    ledger::Ledger,
};
use firmware_core::{CardOutcome, Config, ConfigRequest, DeviceId, Host, Network, ProtocolError, Readings, ReadingsAnswer, Seen};

use super::{
    meter::{Indexed, MAX_LEAVES, Metering, Present, flagged_fault},
    sample::RawSample,
    store::{Book, DecidedReading, Store, StoreError, Write},
    units::KnownUnit,
};
use crate::config::GatewayConfig;

/// The most readings of one attestation; the chain allows no more.
const READINGS_PER_ATTEST: usize = 256;

/// The most attestations of one round.
const ATTESTS_PER_ROUND: usize = 4;

/// The most settlements and reports of one round.
const OTHERS_PER_ROUND: usize = 256;

/// The most tariff versions that are remembered; they are read again afterwards.
const TARIFFS_KEPT: usize = 256;

/// How long a session rests after the chain refused what was submitted for it.
const REFUSED_PAUSE: Duration = Duration::from_secs(5);

/// Why the gateway cannot go on.
#[derive(Debug, thiserror::Error)]
pub(super) enum DeskError {
    /// Its own database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The chain's state.
    #[error("the state cannot be read: {0}")]
    State(LedgerFault),
}

impl From<LedgerFault> for DeskError {
    fn from(fault: LedgerFault) -> Self {
        Self::State(fault)
    }
}

/// A connector that one of our units serves.
#[derive(Debug)]
struct Place {
    connector: Option<Connector>,
    open: Option<Metering>,
    newest: Option<Indexed>,
    heard_at: Option<Timestamp>,
    /// A fault that was seen while no session was open, and since when.
    fault: Option<(Fault, Timestamp)>,
}

impl Place {
    fn next_index(&self) -> u64 {
        self.newest.map_or(0, |(index, _)| index.saturating_add(1))
    }
}

/// What the chain says of a connector.
#[derive(Debug)]
pub(super) struct Sight {
    connector: Option<Connector>,
    session: Option<(SessionId, Session, Arc<Tariff>)>,
}

/// What a block means for us.
#[derive(Default, Debug)]
pub(super) struct News {
    /// Connectors to look at again.
    pub connectors: Vec<ConnectorId>,
    /// Sessions whose limit has changed.
    limits: Vec<SessionId>,
    /// Readings that were refused.
    refused: Vec<(SessionId, u64, chain::code::Code)>,
    /// The block's time.
    at: Timestamp,
}

/// The gateway's knowledge.
#[derive(Debug)]
pub(super) struct Desk {
    settings: GatewayConfig,
    params: Params,
    store: Arc<Store>,
    places: BTreeMap<ConnectorId, Place>,
    sessions: BTreeMap<SessionId, ConnectorId>,
    units: BTreeMap<DeviceId, Seen>,
    tariffs: BTreeMap<(TariffId, u32), Arc<Tariff>>,
}

impl Desk {
    /// An empty desk over a database.
    pub fn new(settings: GatewayConfig, params: Params, store: Arc<Store>) -> Self {
        Self {
            settings,
            params,
            store,
            places: BTreeMap::new(),
            sessions: BTreeMap::new(),
            units: BTreeMap::new(),
            tariffs: BTreeMap::new(),
        }
    }

    /// Whether a unit was [added](Desk::add_unit).
    pub fn knows(&self, unit: &KnownUnit) -> bool {
        self.units.contains_key(&unit.device) && self.places.contains_key(&unit.connector)
    }

    /// Takes a unit into account, with what is known of it from before; its connector is to be [looked at](Desk::look) next.
    pub fn add_unit(&mut self, unit: &KnownUnit) -> Result<(), DeskError> {
        let (seen, heard_at) = self.store.unit(unit.device)?.map_or((Seen::default(), None), |(seen, at)| (seen, Some(at)));
        self.units.insert(unit.device, seen);
        if !self.places.contains_key(&unit.connector) {
            let newest = self.store.newest_sample(unit.connector)?;
            self.places.insert(unit.connector, Place { connector: None, open: None, newest, heard_at, fault: None });
        }
        Ok(())
    }

    /// Connectors with a unit.
    pub fn connectors(&self) -> Vec<ConnectorId> {
        self.places.keys().copied().collect()
    }

    /// The federation's parameters have changed.
    pub fn set_params(&mut self, params: Params) {
        self.params = params;
    }

    /// What of a block concerns us.
    pub fn news(&self, receipts: &[Receipt], at: Timestamp) -> News {
        let mut news = News { at, ..News::default() };
        for event in receipts.iter().flat_map(|receipt| &receipt.events) {
            match event {
                Event::SessionOpened { connector, .. } | Event::ConnectorPut { connector } | Event::FaultReported { connector, .. } => {
                    news.connectors.push(*connector);
                }
                Event::SessionGranted { session, .. } | Event::SessionPaused { session, .. } => {
                    news.limits.push(*session);
                    news.connectors.extend(self.sessions.get(session));
                }
                Event::SessionToppedUp { session, .. } | Event::SessionStopping { session, .. } => {
                    news.connectors.extend(self.sessions.get(session));
                }
                Event::ReadingHandled { session, sequence, refused } => {
                    news.connectors.extend(self.sessions.get(session));
                    news.refused.extend(refused.map(|code| (*session, *sequence, code)));
                }
                Event::SessionSettled(receipt) => news.connectors.push(receipt.connector),
                Event::AccountRegistered { .. }
                | Event::TokensSold { .. }
                | Event::RedemptionRequested { .. }
                | Event::RedemptionPaid { .. }
                | Event::RedemptionRefused { .. }
                | Event::Transferred { .. }
                | Event::RoleGranted { .. }
                | Event::RoleRevoked { .. }
                | Event::GroupPut { .. }
                | Event::TariffPut { .. }
                | Event::SessionSkipped { .. }
                | Event::EnergyUnassigned { .. }
                | Event::PositionPosted { .. } => {}
            }
        }
        news.connectors.sort_unstable();
        news.connectors.dedup();
        news.connectors.retain(|id| self.places.contains_key(id));
        news
    }

    /// What the newest state says of a connector.
    pub fn look(&mut self, state: &dyn StateRead, id: ConnectorId) -> Result<Sight, DeskError> {
        let ledger = Ledger::new(state);
        let connector = ledger.connector(id)?;
        let Some(open) = connector.and_then(|connector| connector.session) else { return Ok(Sight { connector, session: None }) };
        let Some(session) = ledger.session(open)? else { return Ok(Sight { connector, session: None }) };
        let tariff = self.tariff(&ledger, session.tariff, session.tariff_version)?;
        Ok(Sight { connector, session: Some((open, session, tariff)) })
    }

    fn tariff(&mut self, ledger: &Ledger<'_>, id: TariffId, version: u32) -> Result<Arc<Tariff>, DeskError> {
        if let Some(tariff) = self.tariffs.get(&(id, version)) {
            return Ok(Arc::clone(tariff));
        }
        let missing = || LedgerFault(format!("version {version} of tariff {id} of an open session is missing"));
        let record: TariffVersion = ledger.get(&Key::TariffVersion(id, version))?.ok_or_else(missing)?;
        if self.tariffs.len() >= TARIFFS_KEPT {
            self.tariffs.clear();
        }
        let tariff = Arc::new(record.tariff);
        self.tariffs.insert((id, version), Arc::clone(&tariff));
        Ok(tariff)
    }

    /// Takes in what the chain says of a connector now.
    pub fn update(&mut self, id: ConnectorId, sight: Sight, now: Timestamp, write: &mut Write) -> Result<(), DeskError> {
        let present = Present { now, settings: &self.settings, params: &self.params };
        let Some(place) = self.places.get_mut(&id) else { return Ok(()) };
        place.connector = sight.connector;
        // A fault that the chain knows by now is not reported again.
        place.fault = place.fault.filter(|(fault, _)| sight.connector.is_none_or(|connector| connector.fault != Some(*fault)));
        let known = place.open.as_ref().map(|open| open.id);
        let Some((session_id, session, tariff)) = sight.session else {
            if let Some(settled) = known {
                self.sessions.remove(&settled);
                write.close(id);
            }
            place.open = None;
            return Ok(());
        };
        let mut out = Vec::new();
        let mut before = None;
        if known != Some(session_id) {
            if let Some(settled) = known {
                self.sessions.remove(&settled);
            }
            self.sessions.insert(session_id, id);
            let book = match self.store.book(id)?.filter(|book| book.session == session_id) {
                Some(book) => {
                    before = Some(book.clone());
                    book
                }
                None => book_of(&self.store, id, session_id, &session, place.next_index(), write)?,
            };
            let mut metering = Metering::new(session_id, session.clone(), tariff, book);
            resume(&self.store, id, place.next_index(), &mut metering)?;
            place.open = Some(metering);
        } else if let Some(open) = &place.open {
            before = Some(open.book.clone());
        }
        let (Some(open), Some(connector)) = (&mut place.open, &place.connector) else { return Ok(()) };
        open.on_chain(session, &mut out);
        if let Some(newest) = &place.newest {
            open.begin(connector, newest, &present, &mut out);
        }
        if let Some((fault, at)) = place.fault.take() {
            open.fail(fault, at);
        }
        record(id, open, before.as_ref(), &out, write);
        Ok(())
    }

    /// Takes in the rest of a block, after every connector that it names was [updated](Desk::update).
    pub fn apply(&mut self, news: &News, now: Timestamp, write: &mut Write) -> Result<(), DeskError> {
        let present = Present { now, settings: &self.settings, params: &self.params };
        for session in &news.limits {
            if let Some(open) = self.sessions.get(session).and_then(|id| self.places.get_mut(id)).and_then(|place| place.open.as_mut()) {
                open.limit_changed(news.at);
            }
        }
        for (session, sequence, code) in &news.refused {
            let Some(id) = self.sessions.get(session).copied() else { continue };
            let Some(place) = self.places.get_mut(&id) else { continue };
            let next_index = place.next_index();
            let Some(open) = place.open.as_mut().filter(|open| open.id == *session) else { continue };
            tracing::warn!(%session, sequence, %code, "the chain refused a reading");
            let before = open.book.clone();
            if open.on_refused(*sequence, *code, &present) {
                let accepted = open.accepted();
                let (last, first) = (self.store.reading(*session, accepted)?, self.store.reading(*session, 1)?);
                for dropped in accepted.saturating_add(1)..=before.decided {
                    write.drop_reading(*session, dropped);
                }
                open.rewind(last.as_ref(), first.as_ref());
                resume(&self.store, id, next_index, open)?;
            }
            record(id, open, Some(&before), &[], write);
        }
        Ok(())
    }

    /// Judges a message with readings; gives the answer to send once everything is written.
    pub fn readings(&mut self, unit: &KnownUnit, body: &[u8], now: Timestamp, write: &mut Write) -> Result<Vec<u8>, ProtocolError> {
        let readings = Readings::parse(body, &unit.keys)?;
        if readings.sensor != unit.sensor {
            return Err(ProtocolError::SensorMismatch);
        }
        let seen = self.units.get(&unit.device).copied().unwrap_or_default();
        let admission = seen.admit_readings(&readings)?;
        let present = Present { now, settings: &self.settings, params: &self.params };
        let place = self.places.get_mut(&unit.connector).ok_or(ProtocolError::Unavailable)?;
        if admission.missing > 0 {
            tracing::warn!(device = %unit.device, missing = admission.missing, "samples of a unit were lost; the register carries the energy on");
        }
        let first = place.next_index();
        let head = readings.head;
        let raw = |(number, sample)| RawSample { device: head.device, boot: head.boot, number, sample };
        let fresh: Vec<RawSample> = readings.samples().skip(admission.duplicates).map(raw).collect();
        let indexed: Vec<Indexed> = (first..).zip(fresh.iter().copied()).collect();
        if !fresh.is_empty() {
            write.samples(unit.connector, first, &fresh);
            place.newest = indexed.last().copied();
        }
        place.heard_at = Some(now);
        write.seen(unit.device, &admission.seen, now);
        self.units.insert(unit.device, admission.seen);

        let mut lease = None;
        match (&mut place.open, &place.connector) {
            (Some(open), Some(connector)) => {
                let before = open.book.clone();
                let mut out = Vec::new();
                open.take(connector, &indexed, &present, &mut out);
                lease = open.lease(connector, &present);
                record(unit.connector, open, Some(&before), &out, write);
            }
            (None, Some(connector)) => {
                let flagged = indexed.last().and_then(|(_, raw)| flagged_fault(raw.sample.flags));
                place.fault = flagged.filter(|fault| fault.blocks_connector() && connector.fault != Some(*fault)).map(|fault| (fault, now));
            }
            (_, None) => {}
        }
        // Starting a session by card needs a mandate of its owner, and there is none.
        let card = if readings.presented.is_some() { CardOutcome::Refused } else { CardOutcome::None };
        let answer = ReadingsAnswer { server_time_ms: now.ms(), stored_sample: admission.seen.sample, card, reload_config: false, lease };
        Ok(answer.seal(&head, &unit.keys)?.to_vec())
    }

    /// Judges a request for the configuration; gives the answer to send once everything is written.
    pub fn config(&mut self, unit: &KnownUnit, message: &[u8], now: Timestamp, write: &mut Write) -> Result<Vec<u8>, ProtocolError> {
        let request = ConfigRequest::parse(message, &unit.keys)?;
        if request.sensor != unit.sensor {
            return Err(ProtocolError::SensorMismatch);
        }
        let seen = self.units.get(&unit.device).copied().unwrap_or_default().admit_config(&request)?;
        let place = self.places.get_mut(&unit.connector).ok_or(ProtocolError::Unavailable)?;
        // A unit whose connector the chain does not have can do nothing yet.
        let connector = place.connector.ok_or(ProtocolError::Unavailable)?;
        place.heard_at = Some(now);
        write.seen(unit.device, &seen, now);
        self.units.insert(unit.device, seen);
        let rated = connector.rated.ma();
        let phases = rated.iter().filter(|ma| **ma > 0).count();
        let most = rated.iter().copied().max().unwrap_or_default();
        let config = Config {
            server_time_ms: now.ms(),
            transmit_period_s: self.settings.transmit_period_s,
            sample_period_s: self.settings.sample_period_s,
            mains_v: self.settings.mains_v,
            phases: u8::try_from(phases).unwrap_or(3).max(1),
            rated_ma: u16::try_from(most).unwrap_or(u16::MAX).max(1_000),
            over_limit_grace_ms: self.settings.over_limit_grace_ms,
            network: Network::Dynamic,
            server: Host::new(&self.settings.server)?,
        };
        Ok(config.seal(&request.head, &unit.keys)?.to_vec())
    }

    /// Does what time asks for.
    pub fn tick(&mut self, now: Timestamp, write: &mut Write) {
        let present = Present { now, settings: &self.settings, params: &self.params };
        for (id, place) in &mut self.places {
            let Some(open) = &mut place.open else { continue };
            if open.next_timer(place.heard_at, &present).is_none_or(|at| at > now) {
                continue;
            }
            let before = open.book.clone();
            let mut out = Vec::new();
            open.tick(place.heard_at, &present, &mut out);
            record(*id, open, Some(&before), &out, write);
        }
    }

    /// When [`Desk::tick`] has something to do next.
    pub fn next_timer(&self, now: Timestamp) -> Option<Timestamp> {
        let present = Present { now, settings: &self.settings, params: &self.params };
        self.places.values().filter_map(|place| place.open.as_ref()?.next_timer(place.heard_at, &present)).min()
    }

    /// Everything that is decided and that the chain does not have: one attestation for many sessions, then faults, then settlements, so that a last reading and
    /// its settlement share a block.
    pub fn round(&self, now: Timestamp) -> Vec<Call> {
        let mut readings: Vec<Reading> = Vec::new();
        let (mut faults, mut settlements) = (Vec::new(), Vec::new());
        let most = READINGS_PER_ATTEST.saturating_mul(ATTESTS_PER_ROUND);
        for (id, place) in &self.places {
            let Some(open) = &place.open else {
                if let Some((fault, at)) = place.fault {
                    faults.push(Call::ReportFault(ReportFault { connector: *id, session: None, fault, at }));
                }
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
            if open.wants_settlement() && open.undelivered_len() <= room {
                settlements.push(Call::SettleSession(SettleSession { session: open.id }));
            }
        }
        let mut calls: Vec<Call> =
            readings.chunks(READINGS_PER_ATTEST).map(|readings| Call::Attest(Attest { readings: readings.to_vec() })).collect();
        calls.extend(faults.into_iter().chain(settlements).take(OTHERS_PER_ROUND));
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

/// Puts decisions into the write that must be durable before anybody acts on them.
fn record(id: ConnectorId, open: &Metering, before: Option<&Book>, out: &[DecidedReading], write: &mut Write) {
    for decided in out {
        write.reading(decided);
    }
    if before != Some(&open.book) {
        write.book(id, &open.book);
    }
}

/// Gives a session what the disk has beyond its book: samples of no reading yet, and readings that the chain does not have.
/// The book of a session that has none here: an empty one where the session is new. Where this database has forgotten it, or the chain has taken a block
/// back, the book is made again from the readings that are still here and, beyond them, from what the chain has accepted: a number, a salt or a reading that
/// was ever used is never used for anything else, and metering goes on where it was.
fn book_of(
    store: &Store,
    id: ConnectorId,
    session_id: SessionId,
    session: &Session,
    next_index: u64,
    write: &mut Write,
) -> Result<Book, DeskError> {
    let salt = match store.salt(session_id)? {
        Some((_, salt)) => salt,
        None => {
            let salt = Hash32(rand::random());
            write.salt(session_id, id, &salt);
            salt
        }
    };
    let mut book = Book::new(session_id, salt, next_index);
    while let Some(decided) = store.reading(session_id, book.decided.saturating_add(1))? {
        book.decided = decided.reading.sequence;
        book.start = book.start.or(Some(decided.reading.register_wh));
        book.last = Some((decided.reading.at, decided.reading.register_wh));
        book.cost = decided.cost;
        book.next_leaf = decided.end_leaf;
    }
    if let Some(meter) = session.meter.filter(|meter| meter.sequence > book.decided) {
        tracing::warn!(session = %session_id, "raw samples of an open session are lost: metering goes on from the chain's last reading");
        book.decided = meter.sequence;
        book.start = Some(meter.start);
        book.last = Some((meter.at, meter.register));
        // The chain's sum is within the range, or it would not have accepted the reading.
        book.cost = session.cost.total().unwrap_or_default();
        book.next_leaf = next_index;
    }
    Ok(book)
}

fn resume(store: &Store, id: ConnectorId, next_index: u64, open: &mut Metering) -> Result<(), DeskError> {
    let from = open.book.next_leaf;
    let waiting = if open.has_begun() { next_index.saturating_sub(from).min(MAX_LEAVES as u64) } else { 0 };
    let samples = store.samples(id, from, from.saturating_add(waiting))?;
    let indexed: Vec<Indexed> = (from..).zip(samples).collect();
    let mut undelivered = Vec::new();
    for sequence in open.accepted().saturating_add(1)..=open.book.decided {
        undelivered.extend(store.reading(open.id, sequence)?.map(|decided| decided.reading));
    }
    open.resume(&indexed, undelivered);
    Ok(())
}
