//! What energy costs, minute by minute: the second opinion on tariffs.
//!
//! It knows four zones by heart instead of a grammar of rules, walks every minute instead of looking for edges, and keeps a bill as a list of watt-hours and
//! prices. Called by the model, and held against the code under test directly, around the nights when clocks change.

use chain::{
    quantity::{Cost, WattHours},
    tariff::{DayOfWeek, Tariff, TariffDimension, TariffRestrictions},
    time::Timestamp,
};
use contracts::tariff::{self, Interval};
use rand::Rng;

use super::generator::Generator;

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

/// Energy at one price: watt-hours and micro-tokens per kWh.
pub type Piece = (u64, u64);

/// What pieces cost, in [`PARTS`].
pub fn parts_of(pieces: &[Piece]) -> u128 {
    pieces.iter().map(|(wh, per_kwh)| u128::from(*wh) * u128::from(*per_kwh) * PARTS / 1_000).sum()
}

/// Cuts the energy of an interval at every minute in which another element begins to match: the floor to the earlier part, the rest to the later.
pub fn cut(tariff: &Tariff, from: u64, to: u64, wh: u64) -> Vec<Piece> {
    let clock = Clock::new(&tariff.time_zone, from);
    let mut pieces = Vec::new();
    let (mut begin, mut rest) = (from, wh);
    let mut element = matching(tariff, TariffDimension::Energy, clock.at(from));
    let mut minute = from / 60_000 + 1;
    while minute * 60_000 < to {
        let next = matching(tariff, TariffDimension::Energy, clock.at(minute * 60_000));
        if next != element {
            let edge = minute * 60_000;
            let part = u128::from(rest) * u128::from(edge - begin) / u128::from(to - begin);
            let part = u64::try_from(part).expect("a part is not more than the whole");
            pieces.push((part, price(tariff, TariffDimension::Energy, element)));
            rest -= part;
            begin = edge;
            element = next;
        }
        minute += 1;
    }
    pieces.push((rest, price(tariff, TariffDimension::Energy, element)));
    pieces
}

/// The price per session at an instant, in micro-tokens.
pub fn flat(tariff: &Tariff, at: u64) -> u64 {
    let clock = Clock::new(&tariff.time_zone, at);
    price(tariff, TariffDimension::Flat, matching(tariff, TariffDimension::Flat, clock.at(at)))
}

/// The most whole watt-hours, from the first on, that an escrow pays for beside the price per session.
pub fn paid_energy(pieces: &[Piece], flat: u64, escrow: u64) -> u64 {
    // The bill is rounded down, so the escrow stretches to one part below the next micro-token.
    // One that does not even pay for the session pays for no energy.
    let Some(mut budget) = (u128::from(escrow) * PARTS + PARTS - 1).checked_sub(u128::from(flat) * PARTS) else { return 0 };
    let mut paid = 0;
    for piece in pieces {
        let whole = parts_of(&[*piece]);
        if whole > budget {
            let one = parts_of(&[(1, piece.1)]);
            return paid + u64::try_from(budget / one).expect("less than the piece");
        }
        budget -= whole;
        paid += piece.0;
    }
    paid
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
fn matching(tariff: &Tariff, dimension: TariffDimension, wall: WallTime) -> Option<usize> {
    tariff.elements.iter().position(|element| {
        element.price_components.iter().any(|component| component.dimension == dimension) && holds(&element.restrictions, wall)
    })
}

fn price(tariff: &Tariff, dimension: TariffDimension, element: Option<usize>) -> u64 {
    let Some(element) = element else { return 0 };
    let component = tariff.elements[element].price_components.iter().find(|component| component.dimension == dimension);
    component.expect("it matched by this component").price.micro()
}

fn holds(restrictions: &TariffRestrictions, (day, minute): WallTime) -> bool {
    let on_day = restrictions.day_of_week.is_empty() || restrictions.day_of_week.iter().any(|listed| number(*listed) == day);
    let start = restrictions.start_time.unwrap_or(0);
    // Minutes that the span is long, counted from its start around the clock; none means all day.
    let length = (restrictions.end_time.unwrap_or(0) + 1440 - start) % 1440;
    let into = (minute + 1440 - start) % 1440;
    on_day && (length == 0 || into < length)
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

#[test]
fn a_bill_is_the_same_minute_by_minute_also_when_the_clocks_change() {
    // Documents that people might write, on the weekends when Oslo's and New York's clocks change.
    let changes = [1_774_746_000_000, 1_792_890_000_000, 1_772_953_200_000, 1_793_512_800_000];
    let mut generator = Generator::new(0);
    for _ in 0..2_000 {
        let tariff = generator.document();
        let rng = &mut generator.rng;
        let from = changes[rng.random_range(0..4)] - rng.random_range(0..30 * 3_600_000);
        let to = from + rng.random_range(0..60 * 3_600_000);
        let wh = rng.random_range(0..1_000_000);
        let interval = Interval { from: Timestamp::from_ms(from), to: Timestamp::from_ms(to), energy: WattHours::new(wh) };
        let pieces = cut(&tariff, from, to, wh);
        let asked = || format!("{wh} Wh from {from} to {to} under {tariff:?}");
        assert_eq!(tariff::energy_cost(&tariff, &interval).map(Cost::parts), Ok(parts_of(&pieces)), "{}", asked());
        let escrow = rng.random_range(0..400_000_000);
        let budget = Cost::from_parts(u128::from(escrow) * PARTS + PARTS - 1);
        let within = tariff::energy_within(&tariff, &interval, budget).map(WattHours::get);
        assert_eq!(within, Ok(paid_energy(&pieces, 0, escrow).min(wh)), "{}", asked());
        let once = tariff::flat_cost(&tariff, interval.from).map(Cost::parts);
        assert_eq!(once, Ok(u128::from(flat(&tariff, from)) * PARTS), "{}", asked());
    }
}
