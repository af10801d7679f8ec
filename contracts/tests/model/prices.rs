//! What a session costs, asked again and again: the second opinion on tariffs.
//!
//! It knows four zones by heart instead of a grammar of rules; it asks at every minute, at every ten seconds since the grant and at every watt-hour which element
//! holds, instead of asking the tariff where something may change; and it keeps a bill as a list of pieces. Called by the model, and held against the code under
//! test directly in [`super::bills`].

use chain::tariff::{DayOfWeek, Tariff, TariffDimension, TariffRestrictions};

/// Central European time, as in Oslo.
pub const OSLO: &str = "CET-1CEST,M3.5.0,M10.5.0/3";
/// Eastern time of North America.
pub const NEW_YORK: &str = "EST5EDT,M3.2.0,M11.1.0";
/// Nepal: not a whole number of hours.
pub const KATHMANDU: &str = "<+0545>-5:45";
/// No local time at all.
pub const UTC: &str = "UTC0";

/// All zones that the model knows.
pub const ZONES: [&str; 4] = [OSLO, NEW_YORK, KATHMANDU, UTC];

/// Exact parts of a micro-token.
pub const PARTS: u128 = 36_000_000_000;

/// What lies between two readings, times in milliseconds since the epoch.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    pub from: u64,
    pub to: u64,
    /// Metered in it.
    pub wh: u64,
    /// Metered before it.
    pub before: u64,
    /// The first grant.
    pub begun: u64,
}

/// A piece of a run in which one element holds.
#[derive(Clone, Copy, Debug)]
pub struct Piece {
    pub from: u64,
    pub to: u64,
    pub wh: u64,
    /// Micro-tokens per kWh or hour.
    pub price: u64,
}

impl Piece {
    fn energy_parts(&self, wh: u64) -> u128 {
        u128::from(wh) * u128::from(self.price) * (PARTS / 1_000)
    }

    /// What its time from `begin` to `end` costs, as far as it lies in it.
    fn time_parts(&self, begin: u64, end: u64) -> u128 {
        let ms = self.to.min(end).saturating_sub(self.from.max(begin));
        u128::from(ms) * u128::from(self.price) * (PARTS / 3_600_000)
    }
}

/// When TIME and PARKING_TIME run.
#[derive(Clone, Debug)]
pub struct Spans {
    /// Spans with a grant; the last may still go on.
    pub granted: Vec<(u64, Option<u64>)>,
    /// Full with the plug in, from then on.
    pub full_at: Option<u64>,
    /// Nothing counts any more.
    pub over_at: u64,
}

/// The cost of a session by dimension, in [`PARTS`].
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Costs {
    pub energy: u128,
    pub time: u128,
    pub parking: u128,
    pub flat: u128,
}

/// A run with its pieces of every dimension.
#[derive(Clone, Debug)]
pub struct Billed {
    run: Run,
    energy: Vec<Piece>,
    charging: Vec<Piece>,
    parking: Vec<Piece>,
    spans: Spans,
    grace: u64,
}

impl Billed {
    pub fn new(tariff: &Tariff, run: Run, spans: &Spans) -> Self {
        Self {
            run,
            energy: cut(tariff, TariffDimension::Energy, run),
            charging: cut(tariff, TariffDimension::Time, run),
            parking: cut(tariff, TariffDimension::ParkingTime, run),
            spans: spans.clone(),
            grace: tariff.parking_grace.ms(),
        }
    }

    /// What it adds to a session's cost.
    pub fn costs(&self) -> Costs {
        let energy = self.energy.iter().map(|piece| piece.energy_parts(piece.wh)).sum();
        let (time, parking) = self.time_until(self.run.to);
        Costs { energy, time, parking, flat: 0 }
    }

    fn time_until(&self, until: u64) -> (u128, u128) {
        let over = self.spans.over_at.min(until);
        let end = over.min(self.spans.full_at.unwrap_or(u64::MAX));
        let spans = || self.spans.granted.iter().map(|(begin, paused)| (*begin, paused.unwrap_or(u64::MAX).min(end)));
        let time = self.charging.iter().flat_map(|piece| spans().map(|(begin, end)| piece.time_parts(begin, end))).sum();
        let parked = |piece: &Piece| self.spans.full_at.map_or(0, |full| piece.time_parts(full + self.grace, over));
        (time, self.parking.iter().map(parked).sum())
    }

    /// The most watt-hours of it, from the first on and with the time that passes until then, that leave a session due no more than `limit`.
    pub fn paid_energy(&self, tariff: &Tariff, before: Costs, limit: u128) -> u64 {
        let mut by_wh = self.energy.iter().flat_map(|piece| (0..piece.wh).map(|_| piece.energy_parts(1)));
        let (mut costs, mut paid) = (before, 0);
        for wh in 1..=self.run.wh {
            costs.energy += by_wh.next().expect("each watt-hour lies in a piece");
            let until = self.run.from
                + u64::try_from(u128::from(self.run.to - self.run.from) * u128::from(wh) / u128::from(self.run.wh)).expect("less");
            let (time, parking) = self.time_until(until);
            let total = Costs { time: before.time + time, parking: before.parking + parking, ..costs };
            if due(tariff, total, 1) > limit {
                break;
            }
            paid = wh;
        }
        paid
    }
}

/// What must be paid for costs, with the least and the highest price.
pub fn due(tariff: &Tariff, costs: Costs, metered: u64) -> u128 {
    let sum = costs.energy + costs.time + costs.parking + costs.flat;
    if metered == 0 && sum == 0 {
        return 0;
    }
    let least = tariff.min_price.map_or(0, |price| u128::from(price.micro()) * PARTS);
    let most = tariff.max_price.map_or(u128::MAX, |price| u128::from(price.micro()) * PARTS);
    sum.max(least).min(most)
}

/// Cuts a run where another element begins to hold: at an instant the floor of the energy goes to the earlier piece, at a watt-hour the floor of the time.
pub fn cut(tariff: &Tariff, dimension: TariffDimension, run: Run) -> Vec<Piece> {
    let clock = Clock::new(&tariff.time_zone, run.from);
    let limits = || tariff.elements.iter().map(|element| &element.restrictions);
    let by_energy = limits().any(|by| by.min_energy.is_some() || by.max_energy.is_some());
    let by_duration = limits().any(|by| by.min_duration.is_some() || by.max_duration.is_some());
    let last = run.before + run.wh;
    let holding = |(at, metered): (u64, u64)| {
        let seen = Seen { wall: clock.at(at), since: at.saturating_sub(run.begun), metered, wh: run.wh, ms: run.to - run.from };
        matching(tariff, dimension, &seen)
    };
    let mut pieces = Vec::new();
    let (mut at, mut metered) = (run.from, run.before);
    let mut element = holding((at, metered));
    'pieces: loop {
        let (whole_ms, whole_wh) = (run.to - at, last - metered);
        let (mut minute, mut ten, mut wh) = (at / 60_000 + 1, at.saturating_sub(run.begun) / 10_000, 1);
        loop {
            while run.begun + ten * 10_000 <= at {
                ten += 1;
            }
            let instant = if by_duration { (minute * 60_000).min(run.begun + ten * 10_000) } else { minute * 60_000 };
            let instant = Some(instant).filter(|instant| *instant < run.to);
            let energy = Some(wh).filter(|wh| by_energy && *wh < whole_wh);
            let energy_first = match (instant, energy) {
                (None, None) => break 'pieces,
                (None, Some(_)) => true,
                (Some(_), None) => false,
                // Compared as fractions of what is left.
                (Some(instant), Some(wh)) => u128::from(wh) * u128::from(whole_ms) <= u128::from(instant - at) * u128::from(whole_wh),
            };
            let point = if energy_first {
                let ms = u128::from(whole_ms) * u128::from(wh) / u128::from(whole_wh);
                (at + u64::try_from(ms).expect("a part of the whole"), metered + wh)
            } else {
                let instant = instant.expect("an instant comes first");
                let wh = u128::from(whole_wh) * u128::from(instant - at) / u128::from(whole_ms);
                (instant, metered + u64::try_from(wh).expect("a part of the whole"))
            };
            let next = holding(point);
            if next != element {
                pieces.push(Piece { from: at, to: point.0, wh: point.1 - metered, price: price(tariff, dimension, element) });
                ((at, metered), element) = (point, next);
                continue 'pieces;
            }
            if energy_first {
                wh += 1;
            } else if instant == Some(minute * 60_000) {
                minute += 1;
                ten += u64::from(instant == Some(run.begun + ten * 10_000));
            } else {
                ten += 1;
            }
        }
    }
    pieces.push(Piece { from: at, to: run.to, wh: last - metered, price: price(tariff, dimension, element) });
    pieces
}

/// Whether any element has a price of a dimension.
pub fn has(tariff: &Tariff, dimension: TariffDimension) -> bool {
    tariff.elements.iter().any(|element| element.price_components.iter().any(|component| component.dimension == dimension))
}

/// The price per session at an instant, in micro-tokens.
pub fn flat(tariff: &Tariff, at: u64) -> u64 {
    let clock = Clock::new(&tariff.time_zone, at);
    let seen = Seen { wall: clock.at(at), since: 0, metered: 0, wh: 0, ms: 1 };
    price(tariff, TariffDimension::Flat, matching(tariff, TariffDimension::Flat, &seen))
}

/// What an element is judged by.
struct Seen {
    wall: WallTime,
    /// Milliseconds since the grant.
    since: u64,
    /// Watt-hours before.
    metered: u64,
    /// Of the whole run, for its power.
    wh: u64,
    ms: u64,
}

/// Day of the week from Monday = 0, and minute of the day.
type WallTime = (u8, u16);

/// A zone in the years around an instant.
struct Clock {
    standard: i64,
    /// UTC minute and minutes ahead of UTC from then on, in order.
    changes: Vec<(i64, i64)>,
}

impl Clock {
    fn new(zone: &str, around: u64) -> Self {
        let year = year_of(around);
        let mut changes = Vec::new();
        let standard = match zone {
            OSLO => 60,
            NEW_YORK => -300,
            KATHMANDU => 345,
            UTC => 0,
            other => panic!("the model does not know the zone {other}"),
        };
        for year in [year - 1, year, year + 1] {
            if zone == OSLO {
                changes.push((last_sunday(year, 3) * 1440 + 60, 120));
                changes.push((last_sunday(year, 10) * 1440 + 60, 60));
            }
            if zone == NEW_YORK {
                changes.push(((first_sunday(year, 3) + 7) * 1440 + 7 * 60, -240));
                changes.push((first_sunday(year, 11) * 1440 + 6 * 60, -300));
            }
        }
        Self { standard, changes }
    }

    fn at(&self, ms: u64) -> WallTime {
        let minute = i64::try_from(ms / 60_000).expect("a time of this age");
        let ahead = self.changes.iter().rev().find(|(from, _)| *from <= minute).map_or(self.standard, |(_, ahead)| *ahead);
        let local = minute + ahead;
        // 1970-01-01 was a Thursday.
        let day = (local.div_euclid(1440) + 3).rem_euclid(7);
        (u8::try_from(day).expect("below seven"), u16::try_from(local.rem_euclid(1440)).expect("below 1440"))
    }
}

const fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn year_of(ms: u64) -> i64 {
    let mut day = i64::try_from(ms / 86_400_000).expect("a time of this age");
    let mut year = 1970;
    loop {
        let length = if is_leap(year) { 366 } else { 365 };
        if day < length {
            return year;
        }
        day -= length;
        year += 1;
    }
}

/// Days from 1970 to the first of a month.
fn first_of(year: i64, month: usize) -> i64 {
    let years: i64 = (1970..year).map(|year| if is_leap(year) { 366 } else { 365 }).sum();
    let february = if is_leap(year) { 29 } else { 28 };
    let lengths = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    years + lengths[..month - 1].iter().sum::<i64>()
}

fn first_sunday(year: i64, month: usize) -> i64 {
    let first = first_of(year, month);
    (first..first + 7).find(|day| (day + 3).rem_euclid(7) == 6).expect("a week has a Sunday")
}

fn last_sunday(year: i64, month: usize) -> i64 {
    let end = first_of(year, month + 1);
    (end - 7..end).find(|day| (day + 3).rem_euclid(7) == 6).expect("a week has a Sunday")
}

/// The first element that prices the dimension and whose restrictions hold.
fn matching(tariff: &Tariff, dimension: TariffDimension, seen: &Seen) -> Option<usize> {
    tariff.elements.iter().position(|element| {
        element.price_components.iter().any(|component| component.dimension == dimension) && holds(&element.restrictions, seen)
    })
}

fn price(tariff: &Tariff, dimension: TariffDimension, element: Option<usize>) -> u64 {
    let Some(element) = element else { return 0 };
    let component = tariff.elements[element].price_components.iter().find(|component| component.dimension == dimension);
    component.expect("it matched by this component").price.micro()
}

fn holds(by: &TariffRestrictions, seen: &Seen) -> bool {
    let (day, minute) = seen.wall;
    let on_day = by.day_of_week.is_empty() || by.day_of_week.iter().any(|listed| number(*listed) == day);
    let start = by.start_time.unwrap_or(0);
    // Minutes that the span is long, counted from its start around the clock; none means all day.
    let length = (by.end_time.unwrap_or(0) + 1440 - start) % 1440;
    let into = (minute + 1440 - start) % 1440;
    // Watt-hours times milliseconds in an hour against watts times milliseconds: an infinite power is above every bound.
    let work = u128::from(seen.wh) * 3_600_000;
    let reaches = |watts: u32| work >= u128::from(watts) * u128::from(seen.ms);
    on_day
        && (length == 0 || into < length)
        && by.min_energy.is_none_or(|least| seen.metered >= least.get())
        && by.max_energy.is_none_or(|most| seen.metered < most.get())
        && by.min_duration.is_none_or(|least| seen.since >= least.ms())
        && by.max_duration.is_none_or(|most| seen.since < most.ms())
        && by.min_power.is_none_or(|least| reaches(least.get()))
        && by.max_power.is_none_or(|most| !reaches(most.get()))
}

const fn number(day: DayOfWeek) -> u8 {
    match day {
        DayOfWeek::Monday => 0,
        DayOfWeek::Tuesday => 1,
        DayOfWeek::Wednesday => 2,
        DayOfWeek::Thursday => 3,
        DayOfWeek::Friday => 4,
        DayOfWeek::Saturday => 5,
        DayOfWeek::Sunday => 6,
    }
}
