//! How the interval between two readings is split where another element of a dimension begins to hold.
//!
//! It knows edges and shares, no prices and no sums; [`super::price`] makes costs of its parts. It reads no state.
//!
//! # The line
//! Between two readings energy is taken to flow evenly: the interval is a straight line from (its beginning, what was metered before) to (its end, what is metered
//! then). Each dimension has edges of its own on it: points at which the element that holds is another one (or none, or one instead of none) than just before. A
//! boundary at which the same element goes on holding is no edge; two elements with equal prices make one. A **time edge** is an instant (a wall time, a day, a
//! duration); an **energy edge** a number of watt-hours.
//! ```text
//! (t, e) = the beginning; (T, E) = the end
//! while there is an edge between:
//!     the first one, at the instant x:        part = ⌊(E − e) · (x − t) / (T − t)⌋ Wh,  to (x, e + part)       the earlier part has the floor,
//!     or at the energy k:                     part = ⌊(T − t) · (k − e) / (E − e)⌋ ms,  to (t + part, k)       the later one the rest
//! and what is left to the end
//! ```
//! Energy edges split the energy exactly and the time by the floor, time edges the other way round. Where both lie in one point, both take effect there.
//! An interval without length has no time edges.

use chain::{
    code::{Code, Rejection},
    quantity::{Amount, WattHours},
    time::{Duration, Timestamp},
};

use super::{
    schedule::{Known, Power, Schedule},
    zone::{LAST_INSTANT, LocalTime, Period, Zone, next_time_edge},
};

/// The longest interval that is billed in one piece: bounds the number of edges, of which a day has at most 66.
pub const MAX_INTERVAL: Duration = Duration::from_hours(400 * 24);

/// What was metered between two readings of a session, or over a time that somebody thinks of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Interval {
    /// The earlier reading's time.
    pub from: Timestamp,
    /// The later one's.
    pub to: Timestamp,
    /// The difference of their registers.
    pub energy: WattHours,
    /// What the session had metered before.
    pub energy_before: WattHours,
    /// When the session began: the block time of its first grant.
    pub begun: Timestamp,
}

impl Interval {
    /// The first interval of a session, from its first grant on.
    #[must_use]
    pub const fn first(from: Timestamp, to: Timestamp, energy: WattHours) -> Self {
        Self { from, to, energy, energy_before: WattHours::ZERO, begun: from }
    }

    pub(super) fn length(&self) -> Duration {
        self.to.since(self.from)
    }

    fn check(&self) -> Result<(), Rejection> {
        if self.to < self.from {
            return Err(Rejection::of(Code::InvalidRange, self.from.ms(), self.to.ms()));
        }
        if self.length() > MAX_INTERVAL {
            return Err(Rejection::of(Code::OverLimit, MAX_INTERVAL.ms(), self.length().ms()));
        }
        if self.to > LAST_INSTANT {
            return Err(Rejection::of(Code::OverLimit, LAST_INSTANT.ms(), self.to.ms()));
        }
        Ok(())
    }
}

/// A piece of an interval in which one element holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Part {
    pub from: Timestamp,
    pub to: Timestamp,
    pub energy: WattHours,
    pub price: Amount,
}

/// A point of the line, in milliseconds and in watt-hours of the session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Point {
    at: u64,
    energy: u64,
}

/// The parts of an interval under one dimension, in order, at least one.
///
/// # Errors
/// [`Code::InvalidRange`] where it ends before it begins; [`Code::OverLimit`] beyond [`MAX_INTERVAL`] or [`LAST_INSTANT`]; [`Code::Overflow`] where its energy
/// leaves the range.
pub(super) fn parts(schedule: &Schedule, interval: &Interval) -> Result<Vec<Part>, Rejection> {
    interval.check()?;
    let overflow = Rejection::new(Code::Overflow);
    let last = interval.energy_before.checked_add(interval.energy).ok_or(overflow)?;
    let end = Point { at: interval.to.ms(), energy: last.get() };
    let mut line = Line {
        schedule,
        clock: WallClock::new(schedule.zone, interval.from)?,
        begun: interval.begun.ms(),
        power: Power { energy: interval.energy.get(), time_ms: interval.length().ms() },
        begin: Point { at: interval.from.ms(), energy: interval.energy_before.get() },
        end,
    };
    let (mut seen, mut rung) = (line.begin, line.matching(line.begin)?);
    let mut parts = Vec::new();
    while let Some(next) = line.next(seen).ok_or(overflow)? {
        let matching = line.matching(next)?;
        if matching != rung {
            parts.push(line.part_to(next, schedule.price(rung)).ok_or(overflow)?);
            (line.begin, rung) = (next, matching);
        }
        seen = next;
    }
    parts.push(line.part_to(end, schedule.price(rung)).ok_or(overflow)?);
    Ok(parts)
}

/// What of an interval is not split yet.
struct Line<'s> {
    schedule: &'s Schedule,
    clock: WallClock,
    begun: u64,
    power: Power,
    begin: Point,
    end: Point,
}

impl Line<'_> {
    fn matching(&mut self, point: Point) -> Result<Option<usize>, Rejection> {
        let duration = Some(point.at.saturating_sub(self.begun));
        let known = Known { duration, energy: Some(point.energy), power: Some(self.power) };
        Ok(self.schedule.matching(&self.clock.local(Timestamp::from_ms(point.at))?, &known))
    }

    /// The first boundary behind `seen`; nothing where the line ends before. Gives `None` only where a number leaves the range.
    fn next(&self, seen: Point) -> Option<Option<Point>> {
        let instant = self.next_instant(seen).filter(|at| *at < self.end.at);
        let energy =
            self.schedule.energies().iter().copied().find(|energy| *energy > seen.energy).filter(|energy| *energy < self.end.energy);
        let by_time = match instant {
            Some(at) => {
                let part = share(self.energy_left()?, at.checked_sub(self.begin.at)?, self.time_left()?)?;
                Some(Point { at, energy: self.begin.energy.checked_add(part)? })
            }
            None => None,
        };
        let by_energy = match energy {
            // At or before that instant: its energy, not rounded, is at least the floor.
            Some(energy) if by_time.is_none_or(|point| energy <= point.energy) => {
                let part = share(self.time_left()?, energy.checked_sub(self.begin.energy)?, self.energy_left()?)?;
                Some(Point { at: self.begin.at.checked_add(part)?, energy })
            }
            Some(_) | None => None,
        };
        Some(by_energy.or(by_time))
    }

    fn next_instant(&self, seen: Point) -> Option<u64> {
        let since = seen.at.saturating_sub(self.begun);
        // Before the grant there is no duration yet, and at the grant it is zero.
        let by_duration = self.schedule.durations().iter().find(|duration| **duration > since || seen.at < self.begun);
        let by_duration = by_duration.and_then(|duration| self.begun.checked_add(*duration));
        let by_wall = self.clock.next_edge(Timestamp::from_ms(seen.at), self.schedule.minutes()).map(Timestamp::ms);
        [by_duration, by_wall].into_iter().flatten().min()
    }

    fn energy_left(&self) -> Option<u64> {
        self.end.energy.checked_sub(self.begin.energy)
    }

    fn time_left(&self) -> Option<u64> {
        self.end.at.checked_sub(self.begin.at)
    }

    fn part_to(&self, point: Point, price: Amount) -> Option<Part> {
        Some(Part {
            from: Timestamp::from_ms(self.begin.at),
            to: Timestamp::from_ms(point.at),
            energy: WattHours::new(point.energy.checked_sub(self.begin.energy)?),
            price,
        })
    }
}

/// ⌊all · part / whole⌋: the floor is the earlier part's, the rest stays for the later ones.
pub(super) fn share(all: u64, part: u64, whole: u64) -> Option<u64> {
    u64::try_from(u128::from(all).checked_mul(u128::from(part))?.checked_div(u128::from(whole))?).ok()
}

/// A clock on the wall that goes forward, so that a change of its offset is looked up once.
pub(super) struct WallClock {
    zone: Zone,
    period: Period,
}

impl WallClock {
    pub fn new(zone: Zone, from: Timestamp) -> Result<Self, Rejection> {
        Ok(Self { zone, period: zone.period(from)? })
    }

    /// What it shows; `at` is not earlier than what was asked before.
    pub fn local(&mut self, at: Timestamp) -> Result<LocalTime, Rejection> {
        if self.period.until().is_some_and(|until| until <= at) {
            self.period = self.zone.period(at)?;
        }
        Ok(self.period.local(at))
    }

    /// The first instant after the one that was asked for last at which it shows one of `minutes`, or is changed; nothing where there are none.
    pub fn next_edge(&self, after: Timestamp, minutes: &[u16]) -> Option<Timestamp> {
        if minutes.is_empty() { None } else { next_time_edge(&self.period, after, minutes) }
    }
}
