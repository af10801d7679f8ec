//! What energy and a session cost under a tariff: which element matches when, where the price changes, and how an interval is split there.
//!
//! It knows ENERGY and FLAT and the restrictions by time of day and day of week; [`super::validate`] keeps everything else out of the state. It reads no
//! state and rounds no money: costs are exact. Called by the handlers of sessions, by quotes, by the gateway (when to read) and by audits.
//!
//! # Which price holds at an instant
//! 1. The instant's **local wall time** decides alone: day of the week and minute of the day, by the tariff's zone ([`super::zone`]).
//! 2. A restriction by time has a start `s` (0 where it is missing) and an end `e` (1440 where it is missing or 0). With `s < e` it holds in the minutes
//!    `s ≤ m < e`; otherwise it wraps past midnight and holds where `s ≤ m` or `m < e`. So `s = e` is the whole day.
//! 3. A restriction by day holds on the listed days, judged by the local day of the instant itself: the part after midnight of a span that wraps belongs to
//!    the new day. An empty list is every day.
//! 4. Of the elements that have a component of the dimension, the first whose restrictions all hold gives its price. If none does, the dimension is free.
//!
//! Hence on the night when the clock is set forward, a span that begins in the hour that does not exist begins at the jump; when it is set back, a wall time
//! that comes twice has the same price twice.
//!
//! # Edges
//! An **edge** of a dimension is an instant at which the matching element is another one (or none, or one instead of none) than in the millisecond before.
//! A boundary at which the same element goes on matching is no edge; two elements with equal prices make one.
//!
//! # How an interval is billed
//! `energy_cost` of the energy `E` that was metered from `from` to `to`, with the edges `e₁ < e₂ < … < eₙ` of ENERGY that lie strictly between them:
//! ```text
//! t = from; rest = E; cost = 0
//! for e in e₁ … eₙ:
//!     part = ⌊rest · (e − t) / (to − t)⌋        earlier part: the floor
//!     cost += part · price(t)
//!     rest −= part; t = e                       later part: the rest
//! cost += rest · price(t)
//! ```
//! Times are in milliseconds, `price(t)` is that of the element which matches at `t`, per kWh, and costs are exact (`Cost`). With `from = to` there are no
//! edges and all energy has the price of that instant. `energy_within` fills the same parts in order, whole watt-hours, until the budget is spent.

use chain::{
    code::{Code, Rejection},
    quantity::{Amount, Cost, WattHours},
    tariff::{Tariff, TariffDimension, TariffRestrictions},
    time::{Duration, Timestamp},
};

use super::zone::{LAST_INSTANT, LocalTime, Period, Zone, next_time_edge};

/// The longest interval that is billed in one piece: bounds the number of edges, of which a day has at most 66.
pub const MAX_INTERVAL: Duration = Duration::from_hours(400 * 24);

/// How far [`next_edge`] looks. Rules know at most six changes of the clock in this time, so a whole week of wall time lies undisturbed in it: a price that
/// does not change within it never changes.
const EDGE_HORIZON: Duration = Duration::from_hours(60 * 24);

/// Energy that was metered between two readings.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Interval {
    /// The earlier reading's time.
    pub from: Timestamp,
    /// The later one's.
    pub to: Timestamp,
    /// The difference of their registers.
    pub energy: WattHours,
}

/// The exact cost of an interval's energy, split at edges as the module's documentation says.
///
/// # Errors
/// [`Code::InvalidRange`] where it ends before it begins; [`Code::OverLimit`] beyond [`MAX_INTERVAL`] or [`LAST_INSTANT`]; [`Code::InvalidTariff`] where
/// the zone is no rule; [`Code::Overflow`] only for a tariff that [`super::validate`] refuses.
pub fn energy_cost(tariff: &Tariff, interval: &Interval) -> Result<Cost, Rejection> {
    let mut cost = Cost::ZERO;
    each_part(tariff, interval, |energy, price| {
        cost = cost.checked_add(Cost::of_energy(energy, price)?)?;
        Some(Flow::Continue)
    })?;
    Ok(cost)
}

/// The most whole watt-hours of an interval, taken from its beginning, whose cost is within the budget; all of them where the interval costs no more.
///
/// # Errors
/// As [`energy_cost`].
pub fn energy_within(tariff: &Tariff, interval: &Interval, budget: Cost) -> Result<WattHours, Rejection> {
    let (mut left, mut within) = (budget, WattHours::ZERO);
    each_part(tariff, interval, |energy, price| {
        let cost = Cost::of_energy(energy, price)?;
        if let Some(rest) = left.checked_sub(cost) {
            (left, within) = (rest, within.checked_add(energy)?);
            return Some(Flow::Continue);
        }
        // The price is not zero, since the part costs more than is left; the floor stays unspent.
        let per_watt_hour = Cost::of_energy(WattHours::new(1), price)?;
        let affordable = left.parts().checked_div(per_watt_hour.parts())?;
        within = within.checked_add(WattHours::new(u64::try_from(affordable).ok()?))?;
        Some(Flow::Stop)
    })?;
    Ok(within)
}

/// What a session costs once, if it begins at an instant.
///
/// # Errors
/// [`Code::OverLimit`] after [`LAST_INSTANT`]; [`Code::InvalidTariff`] where the zone is no rule.
pub fn flat_cost(tariff: &Tariff, at: Timestamp) -> Result<Cost, Rejection> {
    Cost::from_amount(price_at(tariff, TariffDimension::Flat, at)?).ok_or(Rejection::new(Code::Overflow))
}

/// The price of a dimension at an instant; zero where no element matches.
///
/// # Errors
/// As [`flat_cost`].
pub fn price_at(tariff: &Tariff, dimension: TariffDimension, at: Timestamp) -> Result<Amount, Rejection> {
    let schedule = Schedule::new(tariff, dimension)?;
    Ok(schedule.walk(at)?.price())
}

/// The first instant after `after` that is an edge of ENERGY or of FLAT; `None` where no price ever changes again (or only after [`LAST_INSTANT`]).
///
/// # Errors
/// As [`flat_cost`].
pub fn next_edge(tariff: &Tariff, after: Timestamp) -> Result<Option<Timestamp>, Rejection> {
    let horizon = after.saturating_add(EDGE_HORIZON);
    let mut next = None;
    for dimension in [TariffDimension::Energy, TariffDimension::Flat] {
        let schedule = Schedule::new(tariff, dimension)?;
        if let Some(edge) = schedule.walk(after)?.next_edge(next.unwrap_or(horizon)) {
            next = Some(edge);
        }
    }
    Ok(next)
}

/// Whether to go on with the next part.
enum Flow {
    Continue,
    Stop,
}

/// Gives each part of an interval, in order of time: its energy and its price per kWh.
fn each_part(tariff: &Tariff, interval: &Interval, mut handle: impl FnMut(WattHours, Amount) -> Option<Flow>) -> Result<(), Rejection> {
    let Interval { from, to, energy } = *interval;
    if to < from {
        return Err(Rejection::of(Code::InvalidRange, from.ms(), to.ms()));
    }
    if to.since(from) > MAX_INTERVAL {
        return Err(Rejection::of(Code::OverLimit, MAX_INTERVAL.ms(), to.since(from).ms()));
    }
    if to > LAST_INSTANT {
        return Err(Rejection::of(Code::OverLimit, LAST_INSTANT.ms(), to.ms()));
    }
    let overflow = Rejection::new(Code::Overflow);
    let schedule = Schedule::new(tariff, TariffDimension::Energy)?;
    let mut walk = schedule.walk(from)?;
    let (mut begin, mut rest, mut price) = (from, energy, walk.price());
    while let Some(edge) = walk.next_edge(to) {
        // The floor goes to the earlier part, the remainder stays in the rest and so goes to the later ones.
        let share = u128::from(rest.get()).checked_mul(u128::from(edge.since(begin).ms())).ok_or(overflow)?;
        let part = share.checked_div(u128::from(to.since(begin).ms())).ok_or(overflow)?;
        let part = WattHours::new(u64::try_from(part).map_err(|_| overflow)?);
        if let Flow::Stop = handle(part, price).ok_or(overflow)? {
            return Ok(());
        }
        rest = rest.checked_sub(part).ok_or(overflow)?;
        (begin, price) = (edge, walk.price());
    }
    handle(rest, price).map(|_| ()).ok_or(overflow)
}

/// The elements of one dimension that can ever match, in order, and the minutes of the day at which the match may change.
pub(super) struct Schedule {
    zone: Zone,
    rungs: Vec<Rung>,
    minutes: Vec<u16>,
}

struct Rung {
    price: Amount,
    /// Minutes of the day; `start >= end` wraps.
    start: u16,
    end: u16,
    /// Bit n: the n-th day after Monday.
    days: u8,
}

const MINUTES_OF_DAY: u16 = 1440;
const ALL_DAYS: u8 = 0x7f;

impl Rung {
    fn new(price: Amount, restrictions: &TariffRestrictions) -> Self {
        let days = match restrictions.day_of_week.as_slice() {
            [] => ALL_DAYS,
            listed => listed.iter().fold(0, |days, day| days | day_bit(*day)),
        };
        let end = restrictions.end_time.filter(|end| *end != 0).unwrap_or(MINUTES_OF_DAY);
        Self { price, start: restrictions.start_time.unwrap_or(0), end, days }
    }

    fn matches(&self, days: u8, minute: u16) -> bool {
        let in_span =
            if self.start < self.end { self.start <= minute && minute < self.end } else { self.start <= minute || minute < self.end };
        in_span && self.days & days != 0
    }

    /// Whether it always matches, so that nothing below it ever does.
    fn is_unrestricted(&self) -> bool {
        self.days == ALL_DAYS && (self.start == self.end || (self.start == 0 && self.end == MINUTES_OF_DAY))
    }
}

const fn day_bit(day: chain::tariff::DayOfWeek) -> u8 {
    use chain::tariff::DayOfWeek;
    match day {
        DayOfWeek::Monday => 1,
        DayOfWeek::Tuesday => 2,
        DayOfWeek::Wednesday => 4,
        DayOfWeek::Thursday => 8,
        DayOfWeek::Friday => 16,
        DayOfWeek::Saturday => 32,
        DayOfWeek::Sunday => 64,
    }
}

impl Schedule {
    pub(super) fn new(tariff: &Tariff, dimension: TariffDimension) -> Result<Self, Rejection> {
        let zone = Zone::parse(&tariff.time_zone)?;
        let mut rungs = Vec::new();
        for element in &tariff.elements {
            let Some(component) = element.price_components.iter().find(|component| component.dimension == dimension) else { continue };
            let rung = Rung::new(component.price, &element.restrictions);
            let last = rung.is_unrestricted();
            rungs.push(rung);
            if last {
                break;
            }
        }
        let mut minutes: Vec<u16> = Vec::new();
        for rung in &rungs {
            if !rung.is_unrestricted() {
                // Midnight too: a listed day begins there.
                minutes.extend([0, rung.start, rung.end].iter().filter(|minute| **minute < MINUTES_OF_DAY));
            }
        }
        minutes.sort_unstable();
        minutes.dedup();
        Ok(Self { zone, rungs, minutes })
    }

    pub(super) fn walk(&self, from: Timestamp) -> Result<Walk<'_>, Rejection> {
        let period = self.zone.period(from)?;
        Ok(Walk { schedule: self, at: from, rung: self.rung(&period.local(from)), period })
    }

    /// The highest price that any wall time of any day has.
    pub(super) fn dearest(&self) -> Amount {
        let mut dearest = Amount::ZERO;
        let minutes: &[u16] = if self.minutes.is_empty() { &[0] } else { &self.minutes };
        for day in 0..7_u8 {
            for minute in minutes {
                let rung = self.rungs.iter().find(|rung| rung.matches(1 << day, *minute));
                dearest = dearest.max(rung.map_or(Amount::ZERO, |rung| rung.price));
            }
        }
        dearest
    }

    fn rung(&self, local: &LocalTime) -> Option<usize> {
        let day = day_bit(local.day_of_week);
        self.rungs.iter().position(|rung| rung.matches(day, local.minute_of_day))
    }
}

/// A place in time, going forward from edge to edge.
pub(super) struct Walk<'s> {
    schedule: &'s Schedule,
    at: Timestamp,
    rung: Option<usize>,
    period: Period,
}

impl Walk<'_> {
    /// The price at this place.
    pub(super) fn price(&self) -> Amount {
        self.rung.and_then(|rung| self.schedule.rungs.get(rung)).map_or(Amount::ZERO, |rung| rung.price)
    }

    /// Goes to the next edge before `before`; where there is none it stays where it is or at the last boundary, with the same price.
    pub(super) fn next_edge(&mut self, before: Timestamp) -> Option<Timestamp> {
        if self.schedule.minutes.is_empty() {
            return None;
        }
        loop {
            let next = next_time_edge(&self.period, self.at, &self.schedule.minutes).filter(|next| *next < before)?;
            self.at = next;
            if self.period.until().is_some_and(|until| until <= next) {
                self.period = self.schedule.zone.period(next).ok()?;
            }
            let rung = self.schedule.rung(&self.period.local(next));
            if rung != self.rung {
                self.rung = rung;
                return Some(next);
            }
        }
    }
}

#[cfg(test)]
#[path = "price_tests.rs"]
mod tests;
