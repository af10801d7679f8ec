//! One open session as the gateway meters it: which samples become readings, when the charge is over, and what the unit may still let through.
//!
//! A state machine without clock, disk or network: it is told what the chain says, what the unit says and what time it is, and it decides. Whoever calls it
//! (the desk) writes the decisions to disk before acting on them. Decisions are idempotent by (session, sequence): after a restart those that the chain does
//! not have are sent again, and nothing is counted twice.
//!
//! # When a reading is decided
//! - at the first grant, from the newest sample: the relay was open until then, so its register still holds;
//! - at an edge of the tariff, as near to it as samples are on both sides, also where the power passes one;
//! - at every multiple of the period, and whenever so much of the escrow was spent;
//! - after a pause, a resumption or a change of the limit;
//! - at the end, and at the last point that can be believed where the meter fails.
//!
//! Inside: this file follows the meter from sample to reading; `cost` bills as the chain will, `ends` says when a charge is over, `faults` what is wrong,
//! `lease` what may still flow, `delivery` brings readings to the chain and deals with refusals.

mod cost;
mod delivery;
mod ends;
mod faults;
mod lease;

use std::{collections::VecDeque, sync::Arc};

use chain::{
    hash::Hash32,
    id::SessionId,
    merkle,
    params::Params,
    quantity::{WattHours, Watts},
    record::{Connector, Control, Meter, Session, SessionState, SessionTimes},
    tariff::{Tariff, TariffDimension},
    time::{Duration, Timestamp},
};
use contracts::{
    call::{Reading, ReadingFlags},
    tariff,
};
use firmware_core::Flags;

pub(super) use self::{
    delivery::Remedy,
    ends::{LAST_WORD, draws},
    faults::{flagged_fault, over},
};
use super::{
    held::{self, Held},
    sample::RawSample,
    store::{Book, DecidedReading, Ending},
};
use crate::config::GatewayConfig;

/// The most samples behind one reading: bounds what is hashed at once.
pub(super) const MAX_LEAVES: usize = 4_096;

/// What holds for all sessions at this moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Present<'a> {
    /// The time.
    pub now: Timestamp,
    /// What the operator chose.
    pub settings: &'a GatewayConfig,
    /// What the federation chose.
    pub params: &'a Params,
}

impl Present<'_> {
    /// The lease that units get.
    pub fn lease(&self) -> Duration {
        Duration::from_secs(self.settings.lease_s.into()).min(self.params.lease)
    }
}

/// A sample with its index among those of its connector.
pub(super) type Indexed = (u64, RawSample);

/// An open session.
#[derive(Clone, Debug)]
pub(super) struct Metering {
    /// Which.
    pub id: SessionId,
    /// What the chain says of it.
    pub session: Session,
    /// What bills it.
    pub tariff: Arc<Tariff>,
    /// The connector's meter, where that is not its first.
    pub meter: Option<Meter>,
    /// When it held a grant and since when it is full, as the chain says; none where its tariff does not count time.
    times: Option<SessionTimes>,
    /// The time of a decided reading that says full with the plug in, where parking is counted.
    full_at: Option<Timestamp>,
    /// The powers at which the tariff's prices may change, and how many of them the newest sample has reached.
    power_edges: Vec<u64>,
    power_class: usize,
    /// What is decided; the disk has the same.
    pub book: Book,
    /// The leaves since the last decided reading.
    leaves: Vec<Hash32>,
    /// How many of them count.
    counted: u32,
    /// The newest metered point, if it is after the last decided reading.
    newest: Option<Point>,
    /// Decided readings that the chain does not have yet, in order.
    outbox: VecDeque<Reading>,
    /// What was said under numbers that are decided anew: nothing that is said later may contradict it.
    withdrawn: VecDeque<Reading>,
    /// The first edge of the tariff after the last decided reading; computed when it is needed.
    edge: Option<Option<Timestamp>>,
    /// A limit has changed then, and no reading was decided since.
    changed_at: Option<Timestamp>,
    /// Nothing of it is sent before this.
    pub wait_until: Option<Timestamp>,
}

/// A point of the meter that counts.
#[derive(Clone, Copy, Debug)]
struct Point {
    at: Timestamp,
    register: WattHours,
    power_w: u16,
}

impl Metering {
    /// A session that the chain has open, with its book from the disk or a new one.
    pub fn new(id: SessionId, session: Session, tariff: Arc<Tariff>, book: Book) -> Self {
        Self {
            id,
            session,
            meter: None,
            times: None,
            full_at: None,
            power_edges: tariff::power_edges(&tariff),
            power_class: 0,
            tariff,
            book,
            leaves: Vec::new(),
            counted: 0,
            newest: None,
            outbox: VecDeque::new(),
            withdrawn: VecDeque::new(),
            edge: None,
            changed_at: None,
            wait_until: None,
        }
    }

    /// After a restart: the samples since the last decided reading, and the decided readings that the chain does not have. What a sample shows counts as it
    /// did when it came: not where it is another meter's, nor where it cannot be believed.
    pub fn resume(
        &mut self,
        connector: &Connector,
        samples: &[Indexed],
        mut is_other_meter: impl FnMut(&RawSample) -> bool,
        undelivered: impl IntoIterator<Item = Reading>,
        present: &Present<'_>,
    ) {
        self.leaves.clear();
        self.counted = 0;
        self.newest = None;
        for (_, raw) in samples {
            self.add_leaf(raw);
            let Some((last_at, _)) = self.book.last.filter(|_| !is_other_meter(raw)) else { continue };
            let (register, at) = (self.register_of(raw), self.time_of(raw, last_at, present));
            if self.doubt(connector, register, at, present.params.drift).is_none() {
                self.newest = Some(Point { at, register, power_w: raw.sample.power_w });
            }
        }
        self.outbox = undelivered.into_iter().collect();
        let parks = tariff::has(&self.tariff, TariffDimension::ParkingTime);
        self.full_at = self.outbox.iter().find(|reading| parks && reading.flags == ReadingFlags::VEHICLE_FULL).map(|reading| reading.at);
    }

    /// What the chain says now. Drops what it has, and finishes a session that it has stopped where nothing can have flowed since the newest sample.
    pub fn on_chain(&mut self, session: Session, times: Option<SessionTimes>, held: &Held, out: &mut Vec<DecidedReading>) {
        self.session = session;
        self.times = times;
        let accepted = self.accepted();
        while self.outbox.front().is_some_and(|reading| reading.sequence <= accepted) {
            self.outbox.pop_front();
        }
        let runs = matches!(self.session.state, SessionState::Charging | SessionState::Paused);
        if runs && self.outbox.is_empty() && matches!(self.book.ending, Ending::Money | Ending::Vehicle) {
            // The chain sees no end in what we attested (a top-up, for instance): go on.
            self.book.ending = Ending::None;
            self.book.finished = false;
        }
        if self.is_stopping() && (held.is_surely_open() || self.book.frozen) {
            self.finish(out);
        }
    }

    /// The limit was changed, or taken away, in the block of this time.
    pub fn limit_changed(&mut self, at: Timestamp) {
        if self.has_begun() {
            self.changed_at = Some(at);
        }
    }

    /// Begins to meter at the newest sample where the first grant allows it: see the head of this file.
    pub fn begin(&mut self, connector: &Connector, (index, raw): &Indexed, present: &Present<'_>, out: &mut Vec<DecidedReading>) {
        let Some(granted_at) = self.session.first_granted_at.filter(|_| !self.has_begun() && !self.book.frozen) else { return };
        // What the new meter had counted by then is in no sample from before the exchange: it would be billed with the next one.
        if self.meter.is_some_and(|meter| Timestamp::from_ms(raw.sample.at_ms) < meter.since) {
            return;
        }
        let sampled_at = Timestamp::from_ms(raw.sample.at_ms).min(present.now);
        let fresh = sampled_at.saturating_add(present.params.drift) >= granted_at;
        let was_open = connector.control == Control::Switched && !raw.sample.flags.has(Flags::RELAY_CLOSED);
        if !fresh && !was_open {
            return;
        }
        let at = if was_open { sampled_at.max(granted_at) } else { sampled_at };
        let register = self.register_of(raw);
        if let Some(doubt) = self.doubt(connector, register, at, present.params.drift) {
            return self.disbelieve(doubt, register, present, out);
        }
        self.leaves.clear();
        self.counted = 0;
        self.book.next_leaf = *index;
        self.add_leaf(raw);
        self.book.vehicle.plugged = raw.sample.flags.has(Flags::PLUG_PRESENT);
        if connector.control == Control::MeterOnly && draws(connector, &raw.sample, present.settings) {
            // Nothing was granted to it: it draws already.
            self.book.vehicle.charged = true;
            (self.book.vehicle.last_w, self.book.vehicle.peak_w) = (raw.sample.power_w, raw.sample.power_w);
        }
        self.newest = Some(Point { at, register, power_w: raw.sample.power_w });
        self.read(ReadingFlags::NONE, out);
    }

    /// Takes in new samples of the unit, oldest first; `held` is what it may let through, and learns from them.
    pub fn take(
        &mut self,
        connector: &Connector,
        samples: &[Indexed],
        held: &mut Held,
        present: &Present<'_>,
        out: &mut Vec<DecidedReading>,
    ) {
        let Some((_, last)) = samples.last() else { return };
        let tight = self.has_begun() && self.is_spent_at(self.point(last));
        for (place, indexed) in samples.iter().enumerate() {
            let (_, raw) = indexed;
            if let Some(fault) = faults::fault_in(connector, raw, held) {
                self.fail(fault, Timestamp::from_ms(raw.sample.at_ms).min(present.now));
            }
            if !self.has_begun() {
                self.begin(connector, indexed, present, out);
                continue;
            }
            if self.book.finished || self.book.frozen {
                self.pass_over(std::slice::from_ref(indexed), out);
                continue;
            }
            let is_last = place.saturating_add(1) == samples.len();
            self.meter(connector, raw, Pace { tight, is_last, open: !held::is_closed(connector, &raw.sample) }, present, out);
        }
        held.see(connector, &last.sample);
        if self.is_stopping() && (held.is_surely_open() || self.book.frozen) {
            self.finish(out);
        }
    }

    /// Samples that say nothing about the session's energy, such as those of a meter that is not agreed upon: they are stored between others that do, so they
    /// are behind the next reading like those, or its root would cover other samples than it says.
    pub fn pass_over(&mut self, samples: &[Indexed], out: &mut Vec<DecidedReading>) {
        for (index, raw) in samples {
            if !self.has_begun() || self.book.frozen {
                return;
            }
            if self.leaves.len() >= MAX_LEAVES {
                self.read_rest(out);
                // Where there is nothing to read yet, so many are in no reading at all.
                self.leaves.clear();
                self.counted = 0;
                self.book.next_leaf = *index;
            }
            self.add_leaf(raw);
        }
    }

    fn meter(&mut self, connector: &Connector, raw: &RawSample, pace: Pace, present: &Present<'_>, out: &mut Vec<DecidedReading>) {
        let Some((last_at, _)) = self.book.last else { return };
        let register = self.register_of(raw);
        let at = self.time_of(raw, last_at, present);
        if self.is_too_late(at, present) {
            // The chain takes nothing later: what came before is the end.
            return self.finish(out);
        }
        if let Some(doubt) = self.doubt(connector, register, at, present.params.drift) {
            return self.disbelieve(doubt, register, present, out);
        }
        let edge = self.edge();
        let class = self.power_edges.iter().filter(|watts| u64::from(raw.sample.power_w) >= **watts).count();
        let passes = std::mem::replace(&mut self.power_class, class) != class;
        if (edge.is_some_and(|edge| at > edge) || passes) && self.newest.is_some() {
            self.read(ReadingFlags::NONE, out);
        }
        self.add_leaf(raw);
        let point = Point { at, register, power_w: raw.sample.power_w };
        self.newest = Some(point);

        let flags = self.vehicle_end(connector, raw, at, present);
        if flags != ReadingFlags::NONE {
            self.read(flags, out);
            self.book.ending = Ending::Vehicle;
            if self.parks(connector) && flags == ReadingFlags::VEHICLE_FULL {
                // It stays: parking counts until the plug is gone.
                self.full_at = Some(at);
            } else {
                self.book.finished = true;
            }
            return;
        }
        let spent = pace.tight && self.is_spent_at(Some(point));
        if spent && (self.book.ending == Ending::None || self.is_parked()) {
            self.book.ending = Ending::Money;
        }
        if matches!(self.book.ending, Ending::Money) && (spent || pace.open) {
            self.read(ReadingFlags::NONE, out);
            self.book.finished = pace.open;
            return;
        }
        let due = edge.is_some_and(|edge| at >= edge)
            || periods(at, present) > periods(last_at, present)
            || self.leaves.len() >= MAX_LEAVES
            || self.changed_at.is_some_and(|changed_at| at >= changed_at || pace.is_last)
            || (pace.is_last && self.share_is_spent(point, present));
        if due {
            self.read(ReadingFlags::NONE, out);
        }
    }

    /// When a sample counts as taken: never before the one before it nor after the present.
    fn time_of(&self, raw: &RawSample, last_at: Timestamp, present: &Present<'_>) -> Timestamp {
        Timestamp::from_ms(raw.sample.at_ms).min(present.now.max(last_at)).max(self.newest.map_or(last_at, |point| point.at))
    }

    /// Whether the first reading is decided.
    pub const fn has_begun(&self) -> bool {
        self.book.last.is_some()
    }

    const fn is_stopping(&self) -> bool {
        matches!(self.session.state, SessionState::Stopping { .. })
    }

    fn add_leaf(&mut self, raw: &RawSample) {
        self.leaves.push(raw.leaf(&self.book.salt));
        self.counted = self.counted.saturating_add(u32::from(raw.is_counted()));
    }

    fn point(&self, raw: &RawSample) -> Option<Point> {
        let (at, register) = self.book.last?;
        let register = self.register_of(raw).max(register);
        Some(Point { at: Timestamp::from_ms(raw.sample.at_ms).max(at), register, power_w: raw.sample.power_w })
    }

    /// The connector's register at a sample. What came before the exchange of its meter was attested before it, or the chain would not have taken it: it adds
    /// nothing. Nothing, so that it cannot be believed, where the meter shows less than at its beginning.
    pub(super) fn register_of(&self, raw: &RawSample) -> WattHours {
        let shown = WattHours::new(raw.sample.register_wh);
        match &self.meter {
            None => shown,
            Some(meter) if Timestamp::from_ms(raw.sample.at_ms) < meter.since => meter.base,
            Some(meter) => meter.register(shown).unwrap_or(WattHours::ZERO),
        }
    }

    /// Decides a reading at the newest point.
    fn read(&mut self, flags: ReadingFlags, out: &mut Vec<DecidedReading>) {
        let Some(point) = self.newest.and_then(|point| self.without_contradiction(point)) else { return };
        let cost = self.cost_at(Some(point)).unwrap_or(self.book.cost);
        let leaves = u64::try_from(self.leaves.len()).unwrap_or(u64::MAX);
        let reading = Reading {
            session: self.id,
            sequence: self.book.decided.saturating_add(1),
            at: point.at,
            register_wh: point.register,
            power_w: Watts::new(point.power_w.into()),
            flags,
            samples_root: merkle::root(&self.leaves),
            sample_count: self.counted,
        };
        let first_leaf = self.book.next_leaf;
        let end_leaf = first_leaf.saturating_add(leaves);
        out.push(DecidedReading { reading, first_leaf, end_leaf, cost });
        self.outbox.push_back(reading);
        self.book.decided = reading.sequence;
        self.book.start.get_or_insert(point.register);
        self.book.last = Some((point.at, point.register));
        self.book.cost = cost;
        self.book.next_leaf = end_leaf;
        self.leaves.clear();
        self.counted = 0;
        self.newest = None;
        self.edge = None;
        self.changed_at = None;
    }

    /// Decides a reading of whatever was metered since the last one.
    fn read_rest(&mut self, out: &mut Vec<DecidedReading>) {
        let moved = self.newest.zip(self.book.last).is_some_and(|(point, (at, register))| point.at > at || point.register > register);
        if moved && !self.book.frozen {
            self.read(ReadingFlags::NONE, out);
        }
    }
}

/// How a sample stands among those of its message.
#[derive(Clone, Copy, Debug)]
struct Pace {
    /// The message spends the escrow: each sample is looked at for itself.
    tight: bool,
    /// It is the newest.
    is_last: bool,
    /// The relay was open in it.
    open: bool,
}

/// How many whole periods have passed since the epoch.
pub(super) fn periods(at: Timestamp, present: &Present<'_>) -> u64 {
    at.ms() / Duration::from_secs(present.settings.attest_every_s.into()).ms().max(1)
}
