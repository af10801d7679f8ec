//! One open session as the gateway meters it: which samples become readings, when the charge is over, and what the unit may still let through.
//!
//! A state machine without clock, disk or network: it is told what the chain says, what the unit says and what time it is, and it decides. Whoever calls it
//! (the desk) writes the decisions to disk before acting on them. Decisions are idempotent by (session, sequence): after a restart those that the chain does
//! not have are sent again, and nothing is counted twice.
//!
//! # When a reading is decided
//! - at the first grant, from the newest sample: the relay was open until then, so its register still holds;
//! - at an edge of the tariff, as near to it as samples are on both sides;
//! - at every multiple of the period, and whenever so much of the escrow was spent;
//! - after a pause, a resumption or a change of the limit;
//! - at the end.
//!
//! # When a charge is over
//! A vehicle is **full** when it takes no power although it could and its plug is in; it is **removed** when the plug goes before that. Where the plug is not
//! reported, power that falls to nothing from more than half of its peak means removed, from less (a taper) full. **Money**: the cost has reached the escrow.
//! **Time** and **stop** come from the chain. **Anomaly**: what the unit flags, currents above what it was allowed, a falling register, silence.

use std::{collections::VecDeque, sync::Arc};

use chain::{
    code::Code,
    hash::Hash32,
    id::SessionId,
    merkle,
    params::Params,
    quantity::{Cost, WattHours, Watts},
    record::{Connector, Control, Fault, PlugSignal, Session, SessionState},
    tariff::Tariff,
    time::{Duration, Timestamp},
};
use contracts::{
    call::{Reading, ReadingFlags},
    tariff::{self, Interval},
};
use firmware_core::{Flags, Grant, NOISE_MA};

use super::{
    sample::RawSample,
    store::{Book, DecidedReading, Ending},
};
use crate::config::GatewayConfig;

/// The most samples behind one reading: bounds what is hashed at once.
pub(super) const MAX_LEAVES: usize = 4_096;

/// How much longer than a lease the gateway waits for a unit's last word after a stop.
const LAST_WORD: Duration = Duration::from_secs(30);

/// How much more than its limit a unit may report before that is an anomaly: a tenth, for meters differ.
const OVER_LIMIT_TENTHS: u64 = 11;

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
    /// The first edge of the tariff after the last decided reading; computed when it is needed.
    edge: Option<Option<Timestamp>>,
    /// A limit has changed then, and no reading was decided since.
    changed_at: Option<Timestamp>,
    /// The limits of the newest two leases that were given: a vehicle may take a moment to follow the newest.
    leased: [Option<[u16; 3]>; 2],
    /// The relay was open in the newest sample and no lease was given since.
    surely_open: bool,
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
            tariff,
            book,
            leaves: Vec::new(),
            counted: 0,
            newest: None,
            outbox: VecDeque::new(),
            edge: None,
            changed_at: None,
            leased: [None; 2],
            surely_open: false,
            wait_until: None,
        }
    }

    /// After a restart: the samples since the last decided reading, and the decided readings that the chain does not have.
    pub fn resume(&mut self, samples: &[Indexed], undelivered: impl IntoIterator<Item = Reading>) {
        self.leaves.clear();
        self.counted = 0;
        self.newest = None;
        for (_, raw) in samples {
            self.add_leaf(raw);
            self.newest = self.point(raw);
        }
        self.outbox = undelivered.into_iter().collect();
        // Whatever lease the unit holds is not remembered: its relay may be closed.
        self.surely_open = false;
    }

    /// What the chain says now. Drops what it has, and finishes a session that it has stopped where nothing is left to wait for.
    pub fn on_chain(&mut self, session: Session, out: &mut Vec<DecidedReading>) {
        self.session = session;
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
        if self.is_stopping() && (self.surely_open || !self.has_begun()) {
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
    pub fn begin(&mut self, connector: &Connector, (index, raw): &Indexed, present: &Present<'_>, out: &mut Vec<DecidedReading>) -> bool {
        let Some(granted_at) = self.session.first_granted_at.filter(|_| !self.has_begun() && !self.book.frozen) else { return false };
        let sampled_at = Timestamp::from_ms(raw.sample.at_ms).min(present.now);
        let fresh = sampled_at.saturating_add(present.params.drift) >= granted_at;
        let was_open = connector.control == Control::Switched && !raw.sample.flags.has(Flags::RELAY_CLOSED);
        if !fresh && !was_open {
            return false;
        }
        let at = if was_open { sampled_at.max(granted_at) } else { sampled_at };
        self.leaves.clear();
        self.counted = 0;
        self.book.next_leaf = *index;
        self.add_leaf(raw);
        self.book.vehicle.plugged = raw.sample.flags.has(Flags::PLUG_PRESENT);
        self.newest = Some(Point { at, register: WattHours::new(raw.sample.register_wh), power_w: raw.sample.power_w });
        self.read(ReadingFlags::NONE, out);
        true
    }

    /// Takes in new samples of the unit, oldest first.
    pub fn take(&mut self, connector: &Connector, samples: &[Indexed], present: &Present<'_>, out: &mut Vec<DecidedReading>) {
        let Some((_, last)) = samples.last() else { return };
        let tight = self.has_begun() && self.cost_at(self.point(last)).is_none_or(|cost| self.is_spent(cost));
        for (place, indexed) in samples.iter().enumerate() {
            let (_, raw) = indexed;
            self.surely_open = !raw.sample.flags.has(Flags::RELAY_CLOSED);
            if let Some(fault) = self.fault_in(connector, raw) {
                self.fail(fault, Timestamp::from_ms(raw.sample.at_ms).min(present.now));
            }
            if !self.has_begun() {
                self.begin(connector, indexed, present, out);
                continue;
            }
            if self.book.finished || self.book.frozen {
                continue;
            }
            let is_last = place.saturating_add(1) == samples.len();
            self.meter(connector, raw, present, tight, is_last, out);
        }
        if self.is_stopping() && self.surely_open {
            self.finish(out);
        }
    }

    fn meter(
        &mut self,
        connector: &Connector,
        raw: &RawSample,
        present: &Present<'_>,
        tight: bool,
        is_last: bool,
        out: &mut Vec<DecidedReading>,
    ) {
        let Some((last_at, last_register)) = self.book.last else { return };
        let register = WattHours::new(raw.sample.register_wh);
        let known = self.newest.map_or(last_register, |point| point.register);
        if register < known {
            self.fail(Fault::MeterFault, present.now);
            self.book.frozen = true;
            return;
        }
        let at = Timestamp::from_ms(raw.sample.at_ms).min(present.now.max(last_at)).max(self.newest.map_or(last_at, |point| point.at));
        if let SessionState::Stopping { at: stopped_at, .. } = self.session.state
            && at > stopped_at.saturating_add(present.params.lease)
        {
            // The chain takes nothing later: what came before is the end.
            return self.finish(out);
        }
        let edge = self.edge();
        if edge.is_some_and(|edge| at > edge) && self.newest.is_some() {
            self.read(ReadingFlags::NONE, out);
        }
        self.add_leaf(raw);
        let point = Point { at, register, power_w: raw.sample.power_w };
        self.newest = Some(point);

        let flags = self.vehicle_end(connector, raw, at, present);
        if flags != ReadingFlags::NONE {
            self.read(flags, out);
            self.book.ending = Ending::Vehicle;
            self.book.finished = true;
            return;
        }
        let spent = tight && self.cost_at(Some(point)).is_none_or(|cost| self.is_spent(cost));
        if spent && self.book.ending == Ending::None {
            self.book.ending = Ending::Money;
        }
        if matches!(self.book.ending, Ending::Money) && (spent || self.surely_open) {
            self.read(ReadingFlags::NONE, out);
            self.book.finished = self.surely_open;
            return;
        }
        let due = edge.is_some_and(|edge| at >= edge)
            || periods(at, present) > periods(last_at, present)
            || self.leaves.len() >= MAX_LEAVES
            || self.changed_at.is_some_and(|changed_at| at >= changed_at || is_last)
            || (is_last && self.share_is_spent(point, present));
        if due {
            self.read(ReadingFlags::NONE, out);
        }
    }

    /// Whether the vehicle is full or gone, as flags of the reading that says so.
    fn vehicle_end(&mut self, connector: &Connector, raw: &RawSample, at: Timestamp, present: &Present<'_>) -> ReadingFlags {
        let charging = self.session.state == SessionState::Charging;
        if !charging && self.session.state != SessionState::Paused {
            return ReadingFlags::NONE;
        }
        let sample = &raw.sample;
        let could = charging && (connector.control == Control::MeterOnly || sample.flags.has(Flags::RELAY_CLOSED));
        let begun_at = self.session.first_granted_at.unwrap_or(at);
        let plug = sample.flags.has(Flags::PLUG_PRESENT);
        let vehicle = &mut self.book.vehicle;
        vehicle.charged |= sample.power_w > 0 || self.book.start.is_some_and(|start| sample.register_wh > start.get());
        let (last_w, peak_w) = (vehicle.last_w, vehicle.peak_w.max(sample.power_w));
        vehicle.peak_w = peak_w;
        if sample.power_w > 0 {
            vehicle.last_w = sample.power_w;
            vehicle.zero_since = None;
        }
        let signalled = connector.plug_signal == PlugSignal::Reported;
        if signalled && !plug {
            if !vehicle.plugged {
                let patience = Duration::from_secs(present.settings.unplugged_after_s.into());
                let never_came = !patience.is_zero() && at.since(begun_at) >= patience;
                return if never_came { ReadingFlags::VEHICLE_REMOVED } else { ReadingFlags::NONE };
            }
            // It took nothing with the plug in and then left: it was full.
            return if vehicle.zero_since.is_some() { ReadingFlags::VEHICLE_FULL } else { ReadingFlags::VEHICLE_REMOVED };
        }
        vehicle.plugged |= plug;
        if sample.power_w > 0 || !vehicle.charged || !could {
            if !could {
                vehicle.zero_since = None;
            }
            return ReadingFlags::NONE;
        }
        let since = *vehicle.zero_since.get_or_insert(at);
        if at.since(since) < Duration::from_secs(present.settings.full_after_s.into()) {
            return ReadingFlags::NONE;
        }
        let tapered = u32::from(last_w) * 2 <= u32::from(peak_w);
        if signalled || tapered { ReadingFlags::VEHICLE_FULL } else { ReadingFlags::VEHICLE_REMOVED }
    }

    /// What is wrong by this sample.
    fn fault_in(&self, connector: &Connector, raw: &RawSample) -> Option<Fault> {
        let flags = raw.sample.flags;
        if let Some(fault) = flagged_fault(flags) {
            return Some(fault);
        }
        let rated = connector.rated.ma();
        let leased = |phase: usize| self.leased.iter().flatten().map(|limit| u32::from(limit[phase])).max();
        let obeys = flags.has(Flags::RELAY_CLOSED) && connector.control == Control::Switched;
        let limits: [u32; 3] = std::array::from_fn(|phase| leased(phase).filter(|_| obeys).unwrap_or(u32::MAX).min(rated[phase]));
        let over = |(current_ma, limit_ma): (&u16, &u32)| {
            u64::from(*current_ma) * 10 > u64::from(*limit_ma) * OVER_LIMIT_TENTHS + u64::from(NOISE_MA) * 10
        };
        raw.sample.current_ma.iter().zip(&limits).any(over).then_some(Fault::OverCurrent)
    }

    /// Lets no more current flow because something is wrong, and has it reported.
    pub fn fail(&mut self, fault: Fault, at: Timestamp) {
        if !matches!(self.book.ending, Ending::Fault(..)) && !self.book.finished {
            self.book.ending = Ending::Fault(fault, at);
        }
    }

    /// The last reading of a session that the chain has stopped: what was metered until the relay opened.
    fn finish(&mut self, out: &mut Vec<DecidedReading>) {
        if self.book.finished {
            return;
        }
        let moved = self.newest.zip(self.book.last).is_some_and(|(point, (at, register))| point.at > at || point.register > register);
        if moved && !self.book.frozen {
            self.read(ReadingFlags::NONE, out);
        }
        self.book.finished = true;
    }

    /// What time has decided: a unit that is silent, a last word that did not come.
    pub fn tick(&mut self, heard_at: Option<Timestamp>, present: &Present<'_>, out: &mut Vec<DecidedReading>) {
        if self.silent_from(heard_at, present).is_some_and(|at| at <= present.now) {
            self.fail(Fault::UnitLost, present.now);
        }
        if self.last_word_by(present).is_some_and(|at| at <= present.now) {
            self.finish(out);
        }
        if self.wait_until.is_some_and(|at| at <= present.now) {
            self.wait_until = None;
        }
    }

    /// When [`Metering::tick`] has something to do next.
    pub fn next_timer(&self, heard_at: Option<Timestamp>, present: &Present<'_>) -> Option<Timestamp> {
        let timers = [self.silent_from(heard_at, present), self.last_word_by(present), self.wait_until];
        timers.into_iter().flatten().min()
    }

    fn silent_from(&self, heard_at: Option<Timestamp>, present: &Present<'_>) -> Option<Timestamp> {
        let leases = present.settings.lost_after_leases;
        if leases == 0 || self.session.state != SessionState::Charging || self.book.ending != Ending::None || self.book.finished {
            return None;
        }
        let since = heard_at.max(self.session.first_granted_at)?;
        Some(since.saturating_add(Duration::from_ms(present.lease().ms().saturating_mul(leases.into()))))
    }

    fn last_word_by(&self, present: &Present<'_>) -> Option<Timestamp> {
        match self.session.state {
            SessionState::Stopping { at, .. } if !self.book.finished => {
                Some(at.saturating_add(present.params.lease).saturating_add(LAST_WORD))
            }
            SessionState::Stopping { .. } | SessionState::Queued | SessionState::Charging | SessionState::Paused | SessionState::Idle => {
                None
            }
        }
    }

    /// What the unit may let through from now on; nothing: its relay opens.
    pub fn lease(&mut self, connector: &Connector, present: &Present<'_>) -> Option<Grant> {
        let grant = self.computed_lease(connector, present);
        self.leased = [self.leased[1], grant.map(|grant| grant.limit_ma())];
        self.surely_open &= grant.is_none();
        grant
    }

    fn computed_lease(&self, connector: &Connector, present: &Present<'_>) -> Option<Grant> {
        let free = self.session.state == SessionState::Charging
            && self.has_begun()
            && self.book.ending == Ending::None
            && !self.book.finished
            && !self.book.frozen
            && connector.control == Control::Switched;
        if !free {
            return None;
        }
        let limit_ma = self.session.granted.ma().map(|ma| u16::try_from(ma).unwrap_or(u16::MAX));
        let total_ma: u64 = limit_ma.iter().map(|ma| u64::from(*ma)).sum();
        // The chain ends the session when its time is over; the relay need not wait for that.
        let left = present.lease().min(self.session.due.since(present.now));
        let seconds = left.ms().div_ceil(1_000).clamp(1, present.settings.lease_s.into());
        let all = total_ma.saturating_mul(seconds);
        let paid_for = self.charge_left(present, seconds, all)?;
        let amount = u32::try_from(all.min(paid_for)).unwrap_or(u32::MAX);
        Grant::new(u16::try_from(seconds).ok()?, amount, limit_ma).ok()
    }

    /// The charge in mA·s that the rest of the escrow pays for: at least one Wh past it while anything is left, so that the meter can show that it is spent.
    fn charge_left(&self, present: &Present<'_>, seconds: u64, most_mas: u64) -> Option<u64> {
        let volts = u64::from(present.settings.mains_v);
        let most = WattHours::new(most_mas.saturating_mul(volts).div_ceil(MAS_VOLTS_PER_WH));
        let spent = self.cost_at(self.newest)?;
        let flat = if self.flat_is_due(self.newest) { Cost::ZERO } else { self.flat()? };
        let budget = Cost::from_amount(self.session.escrow)?.checked_sub(spent)?.checked_sub(flat).unwrap_or(Cost::ZERO);
        let interval = Interval { from: present.now, to: present.now.saturating_add(Duration::from_secs(seconds)), energy: most };
        let affordable = tariff::energy_within(&self.tariff, &interval, budget).ok()?;
        if affordable >= most {
            return Some(most_mas);
        }
        let wh = affordable.get().saturating_add(1);
        Some(wh.saturating_mul(MAS_VOLTS_PER_WH).div_ceil(volts))
    }

    /// Readings that are to be sent, at most so many.
    pub fn undelivered(&self, most: usize) -> impl Iterator<Item = &Reading> {
        self.outbox.iter().take(most)
    }

    /// How many readings wait to be sent.
    pub fn undelivered_len(&self) -> usize {
        self.outbox.len()
    }

    /// What is to be reported, once the chain does not know that the session is over.
    pub fn fault_to_report(&self) -> Option<(Fault, Timestamp)> {
        match self.book.ending {
            Ending::Fault(fault, at) if !self.is_stopping() && self.session.state != SessionState::Queued => Some((fault, at)),
            Ending::Fault(..) | Ending::None | Ending::Vehicle | Ending::Money => None,
        }
    }

    /// Whether the session can be settled once all of its readings are delivered.
    pub fn wants_settlement(&self) -> bool {
        let will_stop = !self.outbox.is_empty() && matches!(self.book.ending, Ending::Money | Ending::Vehicle);
        self.book.finished && (self.is_stopping() || will_stop)
    }

    /// What to do about a reading that the chain refused; `true`: the book has to go back to what the chain has ([`Metering::rewind`]).
    pub fn on_refused(&mut self, sequence: u64, code: Code, present: &Present<'_>) -> bool {
        if sequence <= self.accepted() || self.outbox.front().is_none_or(|reading| sequence < reading.sequence) {
            return false;
        }
        if code == Code::ReadingReplay || code == Code::ReadingGap {
            // Its turn comes again, in order.
            return false;
        }
        if code == Code::ReadingAhead {
            self.wait_until = Some(present.now.saturating_add(Duration::from_secs(1)));
            return false;
        }
        if code == Code::ReadingNotYours {
            self.wait_until = Some(present.now.saturating_add(Duration::from_mins(1)));
            return false;
        }
        if code == Code::ReadingFalling || code == Code::ReadingImpossible {
            self.book.ending = Ending::Fault(Fault::MeterFault, present.now);
            self.book.frozen = true;
        } else if code == Code::ReadingAfterStop {
            self.book.frozen = true;
        } else {
            self.wait_until = Some(present.now.saturating_add(Duration::from_mins(1)));
        }
        true
    }

    /// Goes back to what the chain has accepted; `accepted` and `first` are the decided readings of that number and of number 1, where there are any.
    /// The caller gives the samples since by [`Metering::resume`].
    pub fn rewind(&mut self, accepted: Option<&DecidedReading>, first: Option<&DecidedReading>) {
        let book = &mut self.book;
        book.decided = accepted.map_or(0, |decided| decided.reading.sequence);
        book.start = accepted.and(first).map(|decided| decided.reading.register_wh);
        book.last = accepted.map(|decided| (decided.reading.at, decided.reading.register_wh));
        book.cost = accepted.map_or(Cost::ZERO, |decided| decided.cost);
        if let Some(decided) = accepted {
            book.next_leaf = decided.end_leaf;
        }
        if matches!(book.ending, Ending::Vehicle | Ending::Money) {
            book.ending = Ending::None;
        }
        // A frozen meter has nothing more to say.
        book.finished = book.frozen;
        self.edge = None;
        self.outbox.clear();
    }

    /// The number of the last reading that the chain has.
    pub fn accepted(&self) -> u64 {
        self.session.meter.map_or(0, |meter| meter.sequence)
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
        let register = WattHours::new(raw.sample.register_wh).max(register);
        Some(Point { at: Timestamp::from_ms(raw.sample.at_ms).max(at), register, power_w: raw.sample.power_w })
    }

    /// Decides a reading at the newest point.
    fn read(&mut self, flags: ReadingFlags, out: &mut Vec<DecidedReading>) {
        let Some(point) = self.newest else { return };
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

    /// The exact cost at a point after the last decided reading, as the chain will reckon it; nothing where it cannot be.
    fn cost_at(&self, point: Option<Point>) -> Option<Cost> {
        let (Some(point), Some((at, register))) = (point, self.book.last) else { return Some(self.book.cost) };
        let energy = point.register.saturating_sub(register);
        if energy.is_zero() {
            return Some(self.book.cost);
        }
        let interval = Interval { from: at, to: point.at, energy };
        let mut cost = self.book.cost.checked_add(tariff::energy_cost(&self.tariff, &interval).ok()?)?;
        if self.book.start == Some(register) {
            cost = cost.checked_add(self.flat()?)?;
        }
        Some(cost)
    }

    fn flat(&self) -> Option<Cost> {
        tariff::flat_cost(&self.tariff, self.session.first_granted_at?).ok()
    }

    /// Whether the flat price is in the cost at this point.
    fn flat_is_due(&self, point: Option<Point>) -> bool {
        let register = point.map(|point| point.register).or(self.book.last.map(|(_, register)| register));
        register.zip(self.book.start).is_some_and(|(register, start)| register > start)
    }

    fn is_spent(&self, cost: Cost) -> bool {
        Cost::from_amount(self.session.escrow).is_some_and(|escrow| cost >= escrow)
    }

    fn share_is_spent(&self, point: Point, present: &Present<'_>) -> bool {
        let percent = u128::from(present.settings.attest_escrow_percent);
        if percent == 0 {
            return false;
        }
        let since = self.cost_at(Some(point)).and_then(|cost| cost.checked_sub(self.book.cost));
        let escrow = Cost::from_amount(self.session.escrow);
        since.zip(escrow).is_some_and(|(since, escrow)| since.parts().saturating_mul(100) >= escrow.parts().saturating_mul(percent))
    }

    fn edge(&mut self) -> Option<Timestamp> {
        let (at, _) = self.book.last?;
        *self.edge.get_or_insert_with(|| tariff::next_edge(&self.tariff, at).ok().flatten())
    }
}

/// mA · s · V in a watt-hour.
const MAS_VOLTS_PER_WH: u64 = 3_600_000;

/// How many whole periods have passed since the epoch.
fn periods(at: Timestamp, present: &Present<'_>) -> u64 {
    at.ms() / Duration::from_secs(present.settings.attest_every_s.into()).ms().max(1)
}

/// What a unit says is wrong with it.
pub(super) fn flagged_fault(flags: Flags) -> Option<Fault> {
    [
        (Flags::WELDED_RELAY, Fault::WeldedRelay),
        (Flags::METER_FAULT, Fault::MeterFault),
        (Flags::OVER_TEMPERATURE, Fault::OverTemperature),
        (Flags::OVER_CURRENT, Fault::OverCurrent),
    ]
    .into_iter()
    .find(|(flag, _)| flags.has(*flag))
    .map(|(_, fault)| fault)
}
