//! What blocks mean for the desk: which connectors to look at again, what the chain says of them, which readings it refused.
//!
//! Called by the loop after every commit, with the state of that block.

use std::{collections::BTreeMap, sync::Arc};

use chain::{
    code::Code,
    id::{CardId, ConnectorId, GroupId, Height, SessionId, TariffId},
    receipt::{Event, Receipt},
    record::{Connector, EndReason, Key, MandateUse, Meter, MeterProposal, Session, SessionState, SessionTimes, TariffVersion},
    state::StateRead,
    tariff::Tariff,
    time::Timestamp,
};
use contracts::{failure::Fault as LedgerFault, ledger::Ledger, roles, tariff::counts_time};

use super::{Desk, DeskError, books, books::Where};
use crate::gateway::{
    meter::{Metering, Present, Remedy},
    store::{Ending, Write},
};

/// The most tariff versions that are remembered; they are read again afterwards.
const TARIFFS_KEPT: usize = 256;

/// What the chain says of a connector.
#[derive(Debug)]
pub(in crate::gateway) struct Sight {
    connector: Option<Connector>,
    session: Option<(SessionId, Session, Arc<Tariff>)>,
    /// When it held a grant, where its tariff counts time.
    times: Option<SessionTimes>,
    /// The card that has started it.
    card: Option<CardId>,
    /// Its meter, where that is not the first.
    meter: Option<Meter>,
    /// Another meter that a manager speaks of.
    proposal: Option<MeterProposal>,
    /// Our key is suspended there, and no other of ours can do more.
    suspended: bool,
}

/// What a block means for us.
#[derive(Default, Debug)]
pub(in crate::gateway) struct News {
    /// Connectors to look at again.
    pub connectors: Vec<ConnectorId>,
    /// Currents, groups or sessions of the site have changed: it is to be [surveyed](Desk::survey).
    pub site: bool,
    /// Sessions that are over, of connectors that we may have no unit for.
    pub stopped: Vec<SessionId>,
    /// Sessions whose limit has changed.
    limits: Vec<SessionId>,
    /// Starts that their accounts are asked to confirm, and by which card.
    asked: Vec<(ConnectorId, CardId)>,
    /// Readings that were refused.
    refused: Vec<(SessionId, u64, Code)>,
    /// Sessions that are settled.
    settled: Vec<SessionId>,
    /// The block's time.
    at: Timestamp,
}

impl Desk {
    /// What of a block concerns us.
    pub fn news(&self, receipts: &[Receipt], at: Timestamp) -> News {
        let mut news = News { at, ..News::default() };
        for event in receipts.iter().flat_map(|receipt| &receipt.events) {
            match event {
                Event::SessionOpened { connector, .. } => news.connectors.push(*connector),
                Event::MeterProposed { connector, .. } => news.connectors.push(*connector),
                Event::ConnectorPut { connector } | Event::FaultReported { connector, .. } | Event::MeterReplaced { connector, .. } => {
                    news.site = true;
                    news.connectors.push(*connector);
                }
                Event::SessionGranted { session, .. } | Event::SessionPaused { session, .. } => {
                    news.site = true;
                    news.limits.push(*session);
                    news.connectors.extend(self.sessions.get(session));
                }
                Event::SessionToppedUp { session, .. } => news.connectors.extend(self.sessions.get(session)),
                Event::SessionIdle { session, .. } => {
                    news.site = true;
                    news.connectors.extend(self.sessions.get(session));
                }
                Event::SessionStopping { session, .. } => {
                    news.site = true;
                    match self.sessions.get(session) {
                        Some(connector) => news.connectors.push(*connector),
                        None => news.stopped.push(*session),
                    }
                }
                Event::ReadingHandled { session, sequence, refused } => {
                    news.connectors.extend(self.sessions.get(session));
                    news.refused.extend(refused.map(|code| (*session, *sequence, code)));
                }
                Event::SessionSettled(receipt) => {
                    news.site = true;
                    news.settled.push(receipt.session);
                    news.connectors.push(receipt.connector);
                }
                Event::GroupPut { .. } => news.site = true,
                Event::RoleSuspended { condominium, .. } => {
                    // Whether it is ours, and the one in use, is to be seen there.
                    news.connectors.extend(self.places.keys().filter(|id| id.condominium == *condominium));
                }
                Event::EnergyUnassigned { connector, energy } => {
                    news.connectors.push(*connector);
                    if self.places.contains_key(connector) {
                        self.counters.unassigned.inc_by(energy.get());
                    }
                }
                Event::AccountRegistered { .. }
                | Event::TokensSold { .. }
                | Event::RedemptionRequested { .. }
                | Event::RedemptionPaid { .. }
                | Event::RedemptionRefused { .. }
                | Event::Transferred { .. }
                | Event::RoleGranted { .. }
                | Event::RoleRevoked { .. }
                | Event::TariffPut { .. }
                | Event::SessionSkipped { .. }
                | Event::PositionPosted { .. }
                | Event::PositionsCleared { .. }
                | Event::RoamingClosed { .. }
                | Event::PaymentDue { .. }
                | Event::PaymentReported { .. }
                | Event::PaymentReceived { .. }
                | Event::PaymentMissing { .. }
                | Event::PositionLimitSet { .. }
                | Event::MandateGranted { .. }
                | Event::MandateRevoked { .. }
                | Event::CardBound { .. }
                | Event::CardReleased { .. }
                | Event::SuspensionLifted { .. }
                | Event::SessionMandated { .. }
                | Event::StartConfirmed { .. } => {}
                Event::StartAsked { connector, card, .. } => news.asked.push((*connector, *card)),
            }
        }
        news.connectors.sort_unstable();
        news.connectors.dedup();
        news.connectors.retain(|id| self.places.contains_key(id));
        news
    }

    /// Reads the groups above our connectors, and which of these sessions, which are over, nobody but us can settle.
    pub fn survey(&mut self, state: &dyn StateRead, height: Height, stopped: &[SessionId]) -> Result<(), DeskError> {
        let ledger = Ledger::new(state);
        let mut groups = BTreeMap::new();
        for (id, place) in &self.places {
            let mut next = place.connector.map(|connector| GroupId::new(id.condominium, connector.group));
            while let Some(group_id) = next.filter(|group_id| !groups.contains_key(group_id)) {
                let Some(group) = ledger.group(group_id)? else { break };
                groups.insert(group_id, group);
                next = group.parent.map(|number| GroupId::new(id.condominium, number));
            }
        }
        self.groups = groups;
        for id in stopped {
            if let Some(session) = ledger.session(*id)? {
                self.consider(&ledger, height, *id, &session)?;
            }
        }
        Ok(())
    }

    /// What the newest state says of a connector.
    pub fn look(&mut self, state: &dyn StateRead, id: ConnectorId) -> Result<Sight, DeskError> {
        let ledger = Ledger::new(state);
        let connector = ledger.connector(id)?;
        let (meter, proposal) = (ledger.get(&Key::Meter(id))?, ledger.get(&Key::MeterProposal(id))?);
        let open = connector.and_then(|connector| connector.session);
        let session = open.map(|open| ledger.session(open)).transpose()?.flatten();
        let Some((open, session)) = open.zip(session) else {
            return Ok(Sight { connector, session: None, times: None, card: None, meter, proposal, suspended: false });
        };
        let tariff = self.tariff(&ledger, session.tariff, session.tariff_version)?;
        let times = if counts_time(&tariff) { ledger.get(&Key::SessionTimes(open))? } else { None };
        let card = ledger.get::<MandateUse>(&Key::MandateUse(open))?.map(|counted| counted.card);
        let suspended = roles::suspension(&ledger, id.condominium, &self.account)?.is_some();
        Ok(Sight { connector, session: Some((open, session, tariff)), times, card, meter, proposal, suspended })
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
        place.idle_on_chain(sight.connector.as_ref());
        let known = sight.connector.as_ref().and_then(|connector| place.known(connector, sight.meter.is_none()));
        place.exchange.is(sight.meter, sight.proposal, known);
        // A fault that the chain knows by now is not reported again.
        place.fault = place.fault.filter(|(fault, _)| sight.connector.is_none_or(|connector| connector.fault != Some(*fault)));
        let known = place.open.as_ref().map(|open| open.id);
        let before = place.memory;
        if let Some((_, Session { state: SessionState::Stopping { reason, .. }, .. }, _)) = &sight.session {
            place.memory.flow.ended(*reason);
        }
        let Some((session_id, session, tariff)) = sight.session else {
            // A session that ends by our own word may be settled in the same block, or while this process was down: its book says why it ended.
            let book = match place.open.take() {
                Some(open) => Some(open.book),
                None => self.store.book(id)?,
            };
            if let Some(book) = book {
                self.sessions.remove(&book.session);
                write.close(id);
                if let Some(reason) = decided_end(book.ending) {
                    place.memory.flow.ended(reason);
                }
            }
            if place.memory != before {
                write.point(id, &place.memory);
            }
            self.show(id);
            return Ok(());
        };
        if place.memory != before {
            write.point(id, &place.memory);
        }
        if let Some(start) = &mut place.start {
            start.session_opened(sight.card);
        }
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
                None => books::book_of(&self.store, id, session_id, &session, place.next_index(), write)?,
            };
            let mut metering = Metering::new(session_id, session.clone(), tariff, book);
            metering.meter = sight.meter;
            let next_index = place.next_index();
            if let Some(connector) = &place.connector {
                let at = Where { connector, exchange: &mut place.exchange, next_index };
                books::resume(&self.store, id, at, &mut metering, &present)?;
            }
            place.open = Some(metering);
        } else if let Some(open) = &place.open {
            before = Some(open.book.clone());
        }
        let (Some(open), Some(connector)) = (&mut place.open, &place.connector) else { return Ok(()) };
        open.meter = sight.meter;
        let stops = sight.suspended && session.state != SessionState::Queued && open.minds_suspension();
        if stops {
            tracing::warn!(connector = %id, session = %session_id, "the gateway's key is suspended: what runs is stopped, and billed up to the last accepted reading");
            open.suspend(now);
        }
        open.on_chain(session, sight.times, &place.held, &mut out);
        if stops {
            books::rewind(&self.store, open, write)?;
        }
        if let Some(newest) = place.newest.as_ref().filter(|(_, raw)| !place.exchange.is_under_way(connector, raw)) {
            open.begin(connector, newest, &present, &mut out);
        }
        if let Some((fault, at)) = place.fault.take() {
            open.fail(fault, at);
        }
        books::record(id, open, before.as_ref(), &out, write);
        self.show(id);
        Ok(())
    }

    /// Takes in the rest of a block, after every connector that it names was [updated](Desk::update).
    pub fn apply(&mut self, news: &News, now: Timestamp, write: &mut Write) -> Result<(), DeskError> {
        let present = Present { now, settings: &self.settings, params: &self.params };
        for session in &news.settled {
            self.unserved.is_settled(session);
        }
        for (id, card) in &news.asked {
            if let Some(start) = self.places.get_mut(id).and_then(|place| place.start.as_mut()) {
                start.asked(*card);
            }
        }
        for session in &news.limits {
            if let Some(open) = self.sessions.get(session).and_then(|id| self.places.get_mut(id)).and_then(|place| place.open.as_mut()) {
                open.limit_changed(news.at);
            }
        }
        for (session, sequence, code) in &news.refused {
            let Some(id) = self.sessions.get(session).copied() else { continue };
            let Some(place) = self.places.get_mut(&id) else { continue };
            let next_index = place.next_index();
            let (Some(open), Some(connector)) = (place.open.as_mut().filter(|open| open.id == *session), &place.connector) else {
                continue;
            };
            tracing::warn!(%session, sequence, %code, "the chain refused a reading");
            let before = open.book.clone();
            let mut out = Vec::new();
            let remedy = open.on_refused(*sequence, *code, &present);
            if remedy != Remedy::Wait {
                let refused = self.store.reading(*session, *sequence)?;
                let next_leaf = books::rewind(&self.store, open, write)?;
                match remedy {
                    Remedy::Salvage => {
                        // The newest sample behind the refused reading is what the chain does not take.
                        let end = refused.map_or(next_leaf, |decided| decided.end_leaf.saturating_sub(1));
                        let samples = books::samples_between(&self.store, id, next_leaf, end)?;
                        open.salvage(connector, &samples, &present, &mut out);
                    }
                    Remedy::DecideAnew | Remedy::Wait => {
                        let at = Where { connector, exchange: &mut place.exchange, next_index };
                        books::resume(&self.store, id, at, open, &present)?;
                    }
                }
            }
            books::record(id, open, Some(&before), &out, write);
        }
        Ok(())
    }
}

/// Why a session ended, where the gateway had decided that it should and the vehicle did not.
const fn decided_end(ending: Ending) -> Option<EndReason> {
    match ending {
        Ending::Money => Some(EndReason::Money),
        Ending::Fault(fault, _) => Some(EndReason::Anomaly(fault)),
        Ending::None | Ending::Vehicle => None,
    }
}
