//! The elements of a tariff that price one dimension: which of them holds under which circumstances, and where that may change.
//!
//! It splits no interval and sums nothing up: [`super::line`] and [`super::quote`] do. It reads no state.
//!
//! # When an element holds
//! All of its restrictions must.
//! 1. By time of day and day of the week the instant's **local wall time** decides alone, by the tariff's zone ([`super::zone`]). A start `s` (0 where it is
//!    missing) and an end `e` (1440 where it is missing or 0): with `s < e` it holds in the minutes `s ≤ m < e`; otherwise it wraps past midnight and holds where
//!    `s ≤ m` or `m < e`. So `s = e` is the whole day. A day is the local day of the instant itself: the part after midnight of a span that wraps belongs to the
//!    new day. No day is every day.
//! 2. By energy: what the session has metered before the watt-hour or the millisecond at hand, from the least on and below the most.
//! 3. By duration: the time since the session's first grant, from the least on and below the most; none before the grant.
//! 4. By power: the energy of the whole interval between two readings over its time, from the least on and below the most. Energy in no time has more power than
//!    any bound.
//!
//! Of the elements that have a component of the dimension, the first that holds gives its price. If none does, the dimension is free. Hence on the night when the
//! clock is set forward, a span that begins in the hour that does not exist begins at the jump; when it is set back, a wall time that comes twice has the same
//! price twice.

use chain::{
    code::Rejection,
    quantity::Amount,
    tariff::{DayOfWeek, Tariff, TariffDimension, TariffRestrictions},
};

use super::zone::{LocalTime, Zone};

/// What is known of a point at which elements are judged; what is not may be anything.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Known {
    /// Milliseconds since the first grant.
    pub duration: Option<u64>,
    /// Watt-hours that were metered before.
    pub energy: Option<u64>,
    /// The power of the interval.
    pub power: Option<Power>,
}

/// Energy over time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Power {
    /// Watt-hours.
    pub energy: u64,
    /// In so many milliseconds.
    pub time_ms: u64,
}

impl Power {
    /// So many watts.
    pub const fn of_watts(watts: u64) -> Self {
        Self { energy: watts, time_ms: MS_PER_HOUR }
    }

    /// Whether it is at least so many watts, compared exactly.
    fn reaches(self, watts: u64) -> bool {
        // Both products are below 2^128: no factor is over 64 bits.
        u128::from(self.energy).saturating_mul(MS_PER_HOUR.into()) >= u128::from(watts).saturating_mul(self.time_ms.into())
    }
}

const MS_PER_HOUR: u64 = 3_600_000;

/// From the least on, and below the other, where there is one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Bounds {
    least: u64,
    below: Option<u64>,
}

impl Bounds {
    fn new(least: Option<u64>, below: Option<u64>) -> Self {
        Self { least: least.unwrap_or(0), below }
    }

    const fn is_open(self) -> bool {
        self.least == 0 && self.below.is_none()
    }

    fn holds(self, value: u64) -> bool {
        self.least <= value && self.below.is_none_or(|below| value < below)
    }

    fn edges(self) -> impl Iterator<Item = u64> {
        [Some(self.least).filter(|least| *least > 0), self.below].into_iter().flatten()
    }
}

/// Whether an element holds, as far as that is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Holds {
    Yes,
    Perhaps,
    No,
}

/// An element that prices the dimension.
#[derive(Debug)]
pub(super) struct Rung {
    /// Its price of the dimension.
    pub price: Amount,
    /// Minutes of the day; `start >= end` wraps.
    start: u16,
    end: u16,
    /// Bit n: the n-th day after Monday.
    days: u8,
    energy: Bounds,
    duration: Bounds,
    power: Bounds,
}

const MINUTES_OF_DAY: u16 = 1440;
const ALL_DAYS: u8 = 0x7f;

impl Rung {
    fn new(price: Amount, restrictions: &TariffRestrictions) -> Self {
        let TariffRestrictions {
            start_time,
            end_time,
            day_of_week,
            min_energy,
            max_energy,
            min_power,
            max_power,
            min_duration,
            max_duration,
        } = restrictions;
        let days = match day_of_week.as_slice() {
            [] => ALL_DAYS,
            listed => listed.iter().fold(0, |days, day| days | day_bit(*day)),
        };
        let end = end_time.filter(|end| *end != 0).unwrap_or(MINUTES_OF_DAY);
        Self {
            price,
            start: start_time.unwrap_or(0),
            end,
            days,
            energy: Bounds::new(min_energy.map(|energy| energy.get()), max_energy.map(|energy| energy.get())),
            duration: Bounds::new(min_duration.map(|span| span.ms()), max_duration.map(|span| span.ms())),
            power: Bounds::new(min_power.map(|power| power.get().into()), max_power.map(|power| power.get().into())),
        }
    }

    fn holds_at(&self, days: u8, minute: u16) -> bool {
        let in_span =
            if self.start < self.end { self.start <= minute && minute < self.end } else { self.start <= minute || minute < self.end };
        in_span && self.days & days != 0
    }

    /// Whether the time of day and the day do not matter.
    fn is_timeless(&self) -> bool {
        self.days == ALL_DAYS && (self.start == self.end || (self.start == 0 && self.end == MINUTES_OF_DAY))
    }

    /// Whether it always holds, so that nothing below it ever does.
    fn is_unrestricted(&self) -> bool {
        self.is_timeless() && self.energy.is_open() && self.duration.is_open() && self.power.is_open()
    }

    fn judge(&self, days: u8, minute: u16, known: &Known) -> Holds {
        let by_power = |power: Power| power.reaches(self.power.least) && self.power.below.is_none_or(|below| !power.reaches(below));
        let conditions = [
            (self.energy.is_open(), known.energy.map(|energy| self.energy.holds(energy))),
            (self.duration.is_open(), known.duration.map(|duration| self.duration.holds(duration))),
            (self.power.is_open(), known.power.map(by_power)),
        ];
        if !self.holds_at(days, minute) || conditions.contains(&(false, Some(false))) {
            Holds::No
        } else if conditions.contains(&(false, None)) {
            Holds::Perhaps
        } else {
            Holds::Yes
        }
    }
}

const fn day_bit(day: DayOfWeek) -> u8 {
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

/// The elements of one dimension that can ever hold, in order, and where that may change.
#[derive(Debug)]
pub(super) struct Schedule {
    pub zone: Zone,
    rungs: Vec<Rung>,
    /// Minutes of the day, ascending.
    minutes: Vec<u16>,
    /// Milliseconds since the first grant, ascending.
    durations: Vec<u64>,
    /// Watt-hours of the session, ascending.
    energies: Vec<u64>,
}

impl Schedule {
    pub fn new(tariff: &Tariff, dimension: TariffDimension) -> Result<Self, Rejection> {
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
        Ok(Self::of(zone, rungs))
    }

    fn of(zone: Zone, rungs: Vec<Rung>) -> Self {
        let mut minutes: Vec<u16> = Vec::new();
        for rung in rungs.iter().filter(|rung| !rung.is_timeless()) {
            // Midnight too: a listed day begins there.
            minutes.extend([0, rung.start, rung.end].iter().filter(|minute| **minute < MINUTES_OF_DAY));
        }
        minutes.sort_unstable();
        minutes.dedup();
        let durations = ascending(rungs.iter().flat_map(|rung| rung.duration.edges()));
        let energies = ascending(rungs.iter().flat_map(|rung| rung.energy.edges()));
        Self { zone, rungs, minutes, durations, energies }
    }

    /// Without the elements that need more energy, or a longer duration, than there will be.
    pub fn within(mut self, most_energy: u64, below_duration_ms: u64) -> Self {
        self.rungs.retain(|rung| rung.energy.least <= most_energy && rung.duration.least < below_duration_ms);
        Self::of(self.zone, self.rungs)
    }

    /// Minutes of the day at which another element may hold, ascending; none where the time of day and the day never matter.
    pub fn minutes(&self) -> &[u16] {
        &self.minutes
    }

    /// Durations at which another element may hold, in milliseconds since the first grant, ascending.
    pub fn durations(&self) -> &[u64] {
        &self.durations
    }

    /// Energies of the session at which another element may hold, in watt-hours, ascending.
    pub fn energies(&self) -> &[u64] {
        &self.energies
    }

    /// The element that holds, where all that matters is known; the first that may, where it is not.
    pub fn matching(&self, local: &LocalTime, known: &Known) -> Option<usize> {
        self.rungs.iter().position(|rung| rung.judge(day_bit(local.day_of_week), local.minute_of_day, known) != Holds::No)
    }

    /// All elements that may hold, in order; none below one that does.
    pub fn possible(&self, local: &LocalTime, known: &Known) -> Vec<usize> {
        self.candidates(day_bit(local.day_of_week), local.minute_of_day, known).map(|(place, _)| place).collect()
    }

    /// The price of an element; nothing where none holds.
    pub fn price(&self, rung: Option<usize>) -> Amount {
        rung.and_then(|rung| self.rungs.get(rung)).map_or(Amount::ZERO, |rung| rung.price)
    }

    /// The highest price that any wall time of any day may have.
    pub fn dearest(&self, known: &Known) -> Amount {
        let minutes: &[u16] = if self.minutes.is_empty() { &[0] } else { &self.minutes };
        let days = if self.minutes.is_empty() { 1 } else { 7_u8 };
        let times = (0..days).flat_map(|day| minutes.iter().map(move |minute| (1_u8 << day, *minute)));
        times.flat_map(|(day, minute)| self.candidates(day, minute, known)).map(|(_, rung)| rung.price).max().unwrap_or(Amount::ZERO)
    }

    fn candidates(&self, day: u8, minute: u16, known: &Known) -> impl Iterator<Item = (usize, &Rung)> {
        let mut certain = false;
        let judged = self.rungs.iter().enumerate().map(move |(place, rung)| (place, rung, rung.judge(day, minute, known)));
        judged
            .filter(|(_, _, holds)| *holds != Holds::No)
            .take_while(move |(_, _, holds)| !std::mem::replace(&mut certain, *holds == Holds::Yes))
            .map(|(place, rung, _)| (place, rung))
    }
}

fn ascending(values: impl Iterator<Item = u64>) -> Vec<u64> {
    let mut values: Vec<u64> = values.collect();
    values.sort_unstable();
    values.dedup();
    values
}
