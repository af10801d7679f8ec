//! Everything the gateway knows and decides, connector by connector; the disk always has it before anybody acts on it.
//!
//! No clock, network or task: it is told what units and chain say and what time it is, fills a [`Write`] with what must become durable, and says which calls are
//! to be submitted. Called by the gateway's loop alone, which writes before it answers or submits.
//!
//! Inside: this file is what is known; `blocks` takes in what the chain says, `units` answers messages, `starts` opens charges for cards, `share` gives leases their limits, `unassigned` tells what flows without a session, `books` makes and repeats what
//! the disk has, `calls` says what is to be submitted, `exchange` minds meters that are exchanged, `unserved` minds sessions where no unit is, `old` drops samples.

mod blocks;
mod books;
mod calls;
mod exchange;
mod old;
mod share;
mod starts;
mod unassigned;
mod units;
mod unserved;

use std::{collections::BTreeMap, sync::Arc};

use chain::{
    api::{FoundView, MonitorView},
    id::{Address, ConnectorId, GroupId, SessionId, TariffId},
    params::Params,
    record::{Connector, Control, Fault, Group},
    tariff::Tariff,
    time::Timestamp,
};
use contracts::failure::Fault as LedgerFault;
use firmware_core::{DeviceId, Seen};

use self::{exchange::Exchange, old::Old, starts::Start, unassigned::Idle, unserved::Unserved};
use super::{
    board::{self, Board},
    cards::Cards,
    counters::Counters,
    held::Held,
    meter::{Indexed, Metering, Present},
    monitor::Monitor,
    store::{PointMemory, Store, StoreError, UnitMemory, Write},
    units::KnownUnit,
};
use crate::config::GatewayConfig;

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
    /// What its unit may still let through.
    held: Held,
    /// What flowed beyond that in the newest sample, per phase in mA, and until when it counts.
    excess: Option<([u32; 3], Timestamp)>,
    /// A fault that was seen while no session was open, and since when.
    fault: Option<(Fault, Timestamp)>,
    /// Current flows although nobody was granted any.
    draws_unbidden: bool,
    /// A group's limit holds its lease below its grant.
    is_lowered: bool,
    /// Samples that may be too old to keep.
    old: Old,
    /// The last card that was shown here, or the last power at a point without a switch.
    start: Option<Start>,
    /// What its meter shows, and showed first, beside all sessions; the disk has the same.
    memory: PointMemory,
    /// What the chain is to be told of that.
    idle: Idle,
    /// What its samples show to be wrong.
    monitor: Monitor,
    /// What was found, the newest first.
    found: Vec<FoundView>,
    /// Its meter is not the first, or is about to be another.
    exchange: Exchange,
}

impl Place {
    fn next_index(&self) -> u64 {
        self.newest.map_or(0, |(index, _)| index.saturating_add(1))
    }

    /// Whether it is a point without a switch at which no session is open.
    fn is_unclaimed(&self) -> bool {
        let without = |connector: &Connector| connector.control == Control::MeterOnly && connector.session.is_none();
        self.open.is_none() && self.connector.as_ref().is_some_and(without)
    }
}

/// The gateway's knowledge.
#[derive(Debug)]
pub(super) struct Desk {
    settings: GatewayConfig,
    params: Params,
    account: Address,
    store: Arc<Store>,
    counters: Arc<Counters>,
    board: Board,
    places: BTreeMap<ConnectorId, Place>,
    sessions: BTreeMap<SessionId, ConnectorId>,
    units: BTreeMap<DeviceId, Seen>,
    tariffs: BTreeMap<(TariffId, u32), Arc<Tariff>>,
    /// The groups above our connectors.
    groups: BTreeMap<GroupId, Group>,
    unserved: Unserved,
    /// The keys of cards' bindings.
    pub cards: Cards,
}

impl Desk {
    /// An empty desk over a database, for the gateway whose key is that of `account`.
    pub fn new(settings: GatewayConfig, params: Params, account: Address, store: Arc<Store>, counters: Arc<Counters>) -> Self {
        Self {
            settings,
            params,
            account,
            store,
            counters,
            board: Board::default(),
            places: BTreeMap::new(),
            sessions: BTreeMap::new(),
            units: BTreeMap::new(),
            tariffs: BTreeMap::new(),
            groups: BTreeMap::new(),
            unserved: Unserved::default(),
            cards: Cards::default(),
        }
    }

    /// Takes in the keys of cards that the database has.
    pub fn load_cards(&mut self) -> Result<(), DeskError> {
        self.cards = Cards::of(&self.store)?;
        Ok(())
    }

    /// Whether a unit was [added](Desk::add_unit).
    pub fn knows(&self, unit: &KnownUnit) -> bool {
        self.units.contains_key(&unit.device) && self.places.contains_key(&unit.connector)
    }

    /// Takes a unit into account, with what is known of it from before; its connector is to be [looked at](Desk::look) next.
    pub fn add_unit(&mut self, unit: &KnownUnit) -> Result<(), DeskError> {
        let of_unit = self.store.unit(unit.device)?;
        let heard_at = of_unit.as_ref().map(|memory| memory.heard_at);
        self.counters.heard(unit.connector, heard_at);
        let UnitMemory { seen, held, .. } = of_unit.unwrap_or_default();
        self.units.insert(unit.device, seen);
        if !self.places.contains_key(&unit.connector) {
            let newest = self.store.newest_sample(unit.connector)?;
            let old = Old::of(&self.store, unit.connector)?;
            let memory = self.store.point(unit.connector)?;
            let place = Place {
                connector: None,
                open: None,
                newest,
                heard_at,
                held,
                excess: None,
                fault: None,
                draws_unbidden: false,
                is_lowered: false,
                old,
                start: None,
                memory,
                idle: Idle::at_start(),
                monitor: newest.map_or_else(Monitor::default, |(_, raw)| Monitor::after(&raw.sample)),
                found: Vec::new(),
                exchange: Exchange::default(),
            };
            self.places.insert(unit.connector, place);
            self.unserved.is_served(unit.connector);
        }
        Ok(())
    }

    /// The database that knew this unit's leases is lost: it may hold one.
    pub fn suppose_lease(&mut self, unit: &KnownUnit, now: Timestamp, write: &mut Write) {
        let Some(place) = self.places.get_mut(&unit.connector) else { return };
        place.held.suppose();
        let seen = self.units.get(&unit.device).copied().unwrap_or_default();
        write.unit(unit.device, &UnitMemory { seen, heard_at: now, held: place.held.clone() });
    }

    /// Where what the connectors show is to be seen.
    pub fn board(&self) -> Board {
        Arc::clone(&self.board)
    }

    /// Shows what a connector is like now.
    fn show(&mut self, id: ConnectorId) {
        let Some(place) = self.places.get_mut(&id) else { return };
        if let Some((open, (fault, at))) = place.open.as_ref().and_then(|open| Some((open, open.fault()?))) {
            board::note(&mut place.found, FoundView { fault, at, session: Some(open.id) });
        }
        let sample = place.connector.zip(place.newest).map(|(connector, (_, raw))| board::sample_view(&connector, &raw.sample));
        let session = place.open.as_ref().map(|open| open.id);
        let row = MonitorView { connector: id, session, heard_at: place.heard_at, sample, found: place.found.clone(), estimate: None };
        board::put(&self.board, row);
    }

    /// Connectors with a unit.
    pub fn connectors(&self) -> Vec<ConnectorId> {
        self.places.keys().copied().collect()
    }

    /// The key in use may be another now.
    pub fn set_account(&mut self, account: Address) {
        if self.account != account {
            tracing::info!(before = %self.account, %account, "the gateway signs with another key, which has its role now");
            self.account = account;
        }
    }

    /// The federation's parameters have changed.
    pub fn set_params(&mut self, params: Params) {
        self.params = params;
    }

    /// Does what time asks for.
    pub fn tick(&mut self, now: Timestamp, write: &mut Write) {
        let present = Present { now, settings: &self.settings, params: &self.params };
        let mut changed = Vec::new();
        for (id, place) in &mut self.places {
            let Some(open) = &mut place.open else { continue };
            if open.next_timer(place.heard_at, &present).is_none_or(|at| at > now) {
                continue;
            }
            let before = open.book.clone();
            let mut out = Vec::new();
            open.tick(place.heard_at, &present, &mut out);
            books::record(*id, open, Some(&before), &out, write);
            changed.push(*id);
        }
        for id in changed {
            self.show(id);
        }
    }

    /// When [`Desk::tick`] or [`Desk::round`] has something to do next.
    pub fn next_timer(&self, now: Timestamp) -> Option<Timestamp> {
        let present = Present { now, settings: &self.settings, params: &self.params };
        let places = self.places.values().filter_map(|place| place.open.as_ref()?.next_timer(place.heard_at, &present));
        places.chain(self.unserved.next_timer(now)).min()
    }
}
