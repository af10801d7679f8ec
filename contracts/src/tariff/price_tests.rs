//! Tests of [`super`]: the rules by hand, and the split against a reference that asks every minute, with another implementation of time zones.

use chain::tariff::{DayOfWeek, PriceComponent, TariffElement, TariffRestrictions};
use jiff::tz::TimeZone;
use rand::{Rng, SeedableRng, rngs::StdRng};

use super::{
    super::{LAST_INSTANT, MAX_INTERVAL, Zone},
    *,
};

const OSLO: &str = "CET-1CEST,M3.5.0,M10.5.0/3";

fn element(dimension: TariffDimension, micro: u64, start: Option<u16>, end: Option<u16>, days: &[DayOfWeek]) -> TariffElement {
    TariffElement {
        price_components: vec![PriceComponent { dimension, price: Amount::from_micro(micro) }],
        restrictions: TariffRestrictions { start_time: start, end_time: end, day_of_week: days.to_vec(), ..TariffRestrictions::default() },
    }
}

fn energy(micro: u64, start: Option<u16>, end: Option<u16>, days: &[DayOfWeek]) -> TariffElement {
    element(TariffDimension::Energy, micro, start, end, days)
}

fn tariff(elements: Vec<TariffElement>) -> Tariff {
    Tariff {
        time_zone: OSLO.to_owned(),
        elements,
        min_price: None,
        max_price: None,
        vat_basis_points: 2_500,
        parking_grace: Duration::ZERO,
    }
}

/// 0.15 from 22:00 to 07:00, 0.25 otherwise.
fn night_and_day() -> Tariff {
    tariff(vec![energy(150_000, Some(22 * 60), Some(7 * 60), &[]), energy(250_000, None, None, &[])])
}

/// A time that does not count.
const NOTHING: Counted<'_> = Counted { granted: &[], idle_since: None, until: LAST_INSTANT };

fn within(tariff: &Tariff, interval: &Interval, budget: Cost) -> u64 {
    energy_within(tariff, interval, &NOTHING, &CostByComponent::default(), budget).unwrap().get()
}

fn edge_after(tariff: &Tariff, after: Timestamp) -> Option<Timestamp> {
    next_edge(tariff, after, after).unwrap()
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_ms(seconds * 1000)
}

fn price(tariff: &Tariff, seconds: u64) -> u64 {
    price_at(tariff, TariffDimension::Energy, at(seconds), 0).unwrap().micro()
}

fn cost_of(parts: &[(u64, u64)]) -> Cost {
    parts.iter().fold(Cost::ZERO, |sum, (wh, micro)| {
        sum.checked_add(Cost::of_energy(WattHours::new(*wh), Amount::from_micro(*micro)).unwrap()).unwrap()
    })
}

// 2019-01-15 was a Tuesday; 21:00 UTC is 22:00 in Oslo.
const TUESDAY_22: u64 = 1_547_586_000;

#[test]
fn a_span_that_wraps_holds_on_both_sides_of_midnight() {
    let tariff = night_and_day();
    assert_eq!(
        [TUESDAY_22 - 1, TUESDAY_22, TUESDAY_22 + 9 * 3600 - 1, TUESDAY_22 + 9 * 3600].map(|s| price(&tariff, s)),
        [250_000, 150_000, 150_000, 250_000]
    );
    assert_eq!(edge_after(&tariff, at(TUESDAY_22 - 1)), Some(at(TUESDAY_22)));
    assert_eq!(edge_after(&tariff, at(TUESDAY_22)), Some(at(TUESDAY_22 + 9 * 3600)));
}

#[test]
fn an_interval_over_edges_is_split_in_proportion_to_time_with_the_floor_to_the_earlier_part() {
    let tariff = night_and_day();
    // Half an hour of day, nine hours of night, an hour of day: ⌊1000·0.5/10.5⌋ = 47, ⌊953·9/10⌋ = 857, the rest 96.
    let interval = Interval::first(at(TUESDAY_22 - 1800), at(TUESDAY_22 + 36_000), WattHours::new(1000));
    assert_eq!(energy_cost(&tariff, &interval).unwrap(), cost_of(&[(47, 250_000), (857, 150_000), (96, 250_000)]));
    let within = |parts: &[(u64, u64)], more: u128| within(&tariff, &interval, Cost::from_parts(cost_of(parts).parts() + more));
    assert_eq!(within(&[], 0), 0);
    assert_eq!(within(&[(46, 250_000)], 1), 46);
    assert_eq!(within(&[(47, 250_000)], 0), 47);
    assert_eq!(within(&[(47, 250_000), (100, 150_000)], 1), 147);
    assert_eq!(within(&[(47, 250_000), (857, 150_000), (96, 250_000)], 0), 1000);
    assert_eq!(within(&[(47, 250_000), (857, 150_000), (95, 250_000)], 0), 999);
    assert_eq!(within(&[(9999, 250_000)], 0), 1000);
}

#[test]
fn an_interval_without_length_has_the_price_of_its_instant() {
    let interval = Interval::first(at(TUESDAY_22), at(TUESDAY_22), WattHours::new(7));
    assert_eq!(energy_cost(&night_and_day(), &interval).unwrap(), cost_of(&[(7, 150_000)]));
}

#[test]
fn without_a_matching_element_a_dimension_is_free() {
    use DayOfWeek::{Saturday, Sunday};
    let tariff = tariff(vec![
        energy(100_000, Some(8 * 60), Some(12 * 60), &[]),
        energy(200_000, None, None, &[Saturday, Sunday]),
        element(TariffDimension::Flat, 500_000, None, Some(12 * 60), &[]),
    ]);
    let midnight = TUESDAY_22 + 2 * 3600;
    let days = |days: u64, hours: u64| midnight + (days * 24 + hours) * 3600;
    assert_eq!(
        [days(0, 7), days(0, 8), days(0, 12), days(3, 0), days(3, 8), days(4, 23), days(5, 0)].map(|s| price(&tariff, s)),
        [0, 100_000, 0, 200_000, 100_000, 200_000, 0]
    );
    let flat = |s| flat_cost(&tariff, at(s)).unwrap().floor().unwrap().micro();
    assert_eq!((flat(days(0, 11)), flat(days(0, 12))), (500_000, 0));
    // Midnight to Wednesday is an edge of FLAT alone.
    assert_eq!(edge_after(&tariff, at(days(0, 12))), Some(at(days(1, 0))));
}

#[test]
fn the_end_0_is_the_end_of_the_day_and_an_end_at_the_start_is_the_whole_day() {
    use DayOfWeek::{Tuesday, Wednesday};
    let midnight = TUESDAY_22 + 2 * 3600;
    let evening = tariff(vec![energy(1, Some(22 * 60), Some(0), &[Tuesday])]);
    assert_eq!([TUESDAY_22 - 1, TUESDAY_22, midnight - 1, midnight].map(|s| price(&evening, s)), [0, 1, 1, 0]);
    // A span that wraps: the part after midnight belongs to the day that it lies on.
    let night = tariff(vec![energy(1, Some(22 * 60), Some(60), &[Wednesday])]);
    let probes = [TUESDAY_22, midnight, midnight + 3600, midnight + 22 * 3600, midnight + 24 * 3600];
    assert_eq!(probes.map(|s| price(&night, s)), [0, 1, 0, 1, 0]);
    let whole = tariff(vec![energy(1, Some(60), Some(60), &[]), energy(2, None, None, &[])]);
    assert_eq!(probes.map(|s| price(&whole, s)), [1; 5]);
    assert_eq!(edge_after(&whole, at(midnight)), None);
}

#[test]
fn on_the_nights_of_a_changed_clock_the_wall_decides() {
    // 02:30 does not exist on 2020-03-29: the span from then begins at the jump, 01:00 UTC.
    let from_half_past_two = tariff(vec![energy(1, Some(150), Some(240), &[])]);
    let jump = 1_585_443_600;
    assert_eq!([jump - 1, jump, jump + 3_599, jump + 3_600].map(|s| price(&from_half_past_two, s)), [0, 1, 1, 0]);
    assert_eq!(edge_after(&from_half_past_two, at(jump - 7_200)), Some(at(jump)));
    // 02:30 comes twice on 2020-10-25: the span begins twice, and ends at the change in between.
    let back = 1_603_587_600;
    let edges = [back - 1_800, back, back + 1_800, back + 7_200];
    assert_eq!(edges.map(|s| price(&from_half_past_two, s)), [1, 0, 1, 0]);
    let mut after = at(back - 7_200);
    for edge in edges {
        after = edge_after(&from_half_past_two, after).unwrap();
        assert_eq!(after, at(edge));
    }
}

#[test]
fn a_price_that_never_changes_has_no_edge_and_a_rare_one_is_found() {
    let all_week = [
        DayOfWeek::Monday,
        DayOfWeek::Tuesday,
        DayOfWeek::Wednesday,
        DayOfWeek::Thursday,
        DayOfWeek::Friday,
        DayOfWeek::Saturday,
        DayOfWeek::Sunday,
    ];
    let halves = tariff(vec![energy(1, Some(0), Some(1439), &all_week), energy(2, None, None, &[])]);
    assert_eq!(edge_after(&halves, at(TUESDAY_22)), Some(at(TUESDAY_22 + 119 * 60)));
    let same = tariff(vec![energy(1, None, None, &all_week), energy(1, Some(5), Some(9), &[])]);
    assert_eq!(edge_after(&same, at(TUESDAY_22)), None);
    assert_eq!(edge_after(&tariff(vec![]), at(TUESDAY_22)), None);
    // Two elements of one price are two elements.
    let twins = tariff(vec![energy(1, Some(60), Some(120), &[DayOfWeek::Monday]), energy(1, None, None, &[])]);
    assert_eq!(edge_after(&twins, at(TUESDAY_22)), Some(at(TUESDAY_22 + 3 * 3600 + 5 * 86_400)));
}

#[test]
fn durations_and_what_may_depend_on_energy_or_power_have_edges_too() {
    let within = |restrictions| TariffElement { restrictions, ..energy(1, None, None, &[]) };
    let hours = |least, most: Option<u64>| TariffRestrictions {
        min_duration: Some(Duration::from_hours(least)),
        max_duration: most.map(Duration::from_hours),
        ..TariffRestrictions::default()
    };
    let by_duration = tariff(vec![within(hours(1, Some(1_000))), energy(2, None, None, &[])]);
    let begun = at(TUESDAY_22);
    let edges = [0, 1, 999, 1_000].map(|hour| next_edge(&by_duration, begun, begun.saturating_add(Duration::from_hours(hour))).unwrap());
    let after = |hour| Some(begun.saturating_add(Duration::from_hours(hour)));
    assert_eq!(edges, [after(1), after(1_000), after(1_000), None]);
    // An element that may hold by its energy, from eight to nine in the evening.
    let dear = TariffRestrictions {
        min_energy: Some(WattHours::new(5_000)),
        start_time: Some(1_200),
        end_time: Some(1_260),
        ..TariffRestrictions::default()
    };
    let by_energy = tariff(vec![within(dear), energy(2, None, None, &[])]);
    assert_eq!(edge_after(&by_energy, begun), Some(at(TUESDAY_22 + 22 * 3600)));
    let powers = |least, most| TariffRestrictions { min_power: least, max_power: most, ..TariffRestrictions::default() };
    let watts = |watts| Some(chain::quantity::Watts::new(watts));
    let by_power = tariff(vec![within(powers(watts(0), watts(11_000))), within(powers(watts(3_700), watts(11_000)))]);
    assert_eq!(power_edges(&by_power), [3_700, 11_000]);
    assert_eq!(power_edges(&night_and_day()), Vec::<u64>::new());
}

#[test]
fn refuses_intervals_that_run_backwards_too_long_or_too_late() {
    let tariff = night_and_day();
    let refused =
        |from, to| energy_cost(&tariff, &Interval::first(Timestamp::from_ms(from), Timestamp::from_ms(to), WattHours::new(1))).unwrap_err();
    assert_eq!(refused(8, 7), Rejection::of(Code::InvalidRange, 8, 7));
    assert_eq!(refused(5, 6 + MAX_INTERVAL.ms()), Rejection::of(Code::OverLimit, MAX_INTERVAL.ms(), MAX_INTERVAL.ms() + 1));
    let end = LAST_INSTANT.ms();
    assert_eq!(refused(end, end + 1), Rejection::of(Code::OverLimit, end, end + 1));
    let zoneless = Tariff { time_zone: "Europe/Oslo".to_owned(), ..night_and_day() };
    let interval = Interval::first(at(0), at(1), WattHours::new(1));
    assert_eq!(energy_cost(&zoneless, &interval), Err(Rejection::new(Code::InvalidTariff)));
}

#[test]
fn the_longest_interval_with_the_most_edges_and_all_energy_there_is_stays_in_range() {
    let elements = (0..32).map(|n| energy(1_000_000_000 - u64::from(n), Some(n * 45), Some(n * 45 + 20), &[])).collect();
    let tariff = tariff(elements);
    let interval = Interval::first(at(TUESDAY_22), at(TUESDAY_22).saturating_add(MAX_INTERVAL), WattHours::MAX);
    let cost = energy_cost(&tariff, &interval).unwrap();
    assert!(cost < Cost::of_energy(WattHours::MAX, Amount::from_micro(1_000_000_000)).unwrap());
    assert_eq!(within(&tariff, &interval, cost), u64::MAX);
}

/// The element that matches in each minute of a week from Monday, written out minute by minute.
fn week(elements: &[TariffElement], dimension: TariffDimension) -> Vec<Option<usize>> {
    let mut table = vec![None; 7 * 1440];
    for (number, element) in elements.iter().enumerate().rev().filter(|(_, element)| element.price_components[0].dimension == dimension) {
        let restrictions = &element.restrictions;
        let start = restrictions.start_time.unwrap_or(0);
        let end = match restrictions.end_time {
            None | Some(0) => 1440,
            Some(end) => end,
        };
        let minutes: Vec<u16> = if start < end { (start..end).collect() } else { (0..end).chain(start..1440).collect() };
        for day in 0..7_u16 {
            let listed = restrictions.day_of_week.iter().any(|listed| *listed as u16 == day);
            if listed || restrictions.day_of_week.is_empty() {
                for minute in &minutes {
                    table[usize::from(day * 1440 + minute)] = Some(number);
                }
            }
        }
    }
    table
}

struct Reference {
    table: Vec<Option<usize>>,
    zone: TimeZone,
    prices: Vec<u128>,
}

impl Reference {
    fn at(&self, ms: u64) -> Option<usize> {
        let local = self.zone.to_datetime(jiff::Timestamp::from_millisecond(i64::try_from(ms).unwrap()).unwrap());
        let day = usize::try_from(local.weekday().to_monday_zero_offset()).unwrap();
        self.table[day * 1440 + usize::try_from(i32::from(local.hour()) * 60 + i32::from(local.minute())).unwrap()]
    }

    /// Wh and micro-tokens per kWh of each part, earliest first.
    fn parts(&self, from: u64, to: u64, wh: u128) -> Vec<(u128, u128)> {
        let edge = (from / 60_000 + 1..).map(|minute| minute * 60_000).take_while(|at| *at < to).find(|at| self.at(*at) != self.at(from));
        let price = self.at(from).map_or(0, |number| self.prices[number]);
        match edge {
            None => vec![(wh, price)],
            Some(edge) => {
                let early = wh * u128::from(edge - from) / u128::from(to - from);
                let mut parts = vec![(early, price)];
                parts.extend(self.parts(edge, to, wh - early));
                parts
            }
        }
    }
}

fn random_elements(rng: &mut StdRng) -> Vec<TariffElement> {
    let minute = |rng: &mut StdRng| match rng.random_range(0..4) {
        0 => None,
        1 => Some([0, 60, 120, 150, 180][rng.random_range(0..5)]),
        _ => Some(rng.random_range(0..1440)),
    };
    let all = [
        DayOfWeek::Monday,
        DayOfWeek::Tuesday,
        DayOfWeek::Wednesday,
        DayOfWeek::Thursday,
        DayOfWeek::Friday,
        DayOfWeek::Saturday,
        DayOfWeek::Sunday,
    ];
    (0..rng.random_range(1..6))
        .map(|_| {
            let days: Vec<_> = if rng.random() { vec![] } else { all.into_iter().filter(|_| rng.random()).collect() };
            let dimension = if rng.random_range(0..4) == 0 { TariffDimension::Flat } else { TariffDimension::Energy };
            element(dimension, rng.random_range(0..1_000_000), minute(rng), minute(rng), &days)
        })
        .collect()
}

#[test]
fn costs_and_edges_are_those_of_a_reference_that_asks_every_minute() {
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let mut split = 0;
    for _ in 0..400 {
        let rule = [OSLO, "EST5EDT,M3.2.0,M11.1.0", "AEST-10AEDT,M10.1.0,M4.1.0/3", "<+0545>-5:45", "CST5CDT,M3.2.0/0,M11.1.0/1"]
            [rng.random_range(0..5)];
        let tariff = Tariff { time_zone: rule.to_owned(), ..tariff(random_elements(&mut rng)) };
        let reference = |dimension| Reference {
            table: week(&tariff.elements, dimension),
            zone: TimeZone::posix(rule).unwrap(),
            prices: tariff.elements.iter().map(|element| element.price_components[0].price.micro().into()).collect(),
        };
        let (by_energy, by_flat) = (reference(TariffDimension::Energy), reference(TariffDimension::Flat));
        // Half of them around a change of the clock.
        let mut from = rng.random_range(1_500_000_000_000..2_500_000_000_000_u64);
        let change = Zone::parse(rule).unwrap().period(Timestamp::from_ms(from)).unwrap().until();
        if let Some(change) = change.filter(|_| rng.random()) {
            from = change.ms() - rng.random_range(0..20_000_000);
        }
        let spans = [0, 59_999, rng.random_range(0..4_000_000), rng.random_range(0..300_000_000), rng.random_range(0..300_000_000)];
        let to = from + spans[rng.random_range(0..5)];
        let wh = [1, 2, 100, rng.random_range(0..1_000_000)][rng.random_range(0..4)];
        let interval = Interval::first(Timestamp::from_ms(from), Timestamp::from_ms(to), WattHours::new(wh));

        let parts = by_energy.parts(from, to, wh.into());
        split += usize::from(parts.len() > 1);
        let expected: u128 = parts.iter().map(|(wh, price)| wh * price * 36_000_000).sum();
        assert_eq!(energy_cost(&tariff, &interval).unwrap().parts(), expected, "{tariff:?} {interval:?}");

        let budget = if expected == 0 { 0 } else { rng.random_range(0..=expected + 5) };
        let mut watt_hours = parts.iter().flat_map(|(wh, price)| (0..*wh).map(move |_| price * 36_000_000));
        let mut spent = 0;
        let paid = watt_hours.by_ref().take_while(|cost| {
            spent += cost;
            spent <= budget
        });
        let paid = u64::try_from(paid.count()).unwrap();
        assert_eq!(within(&tariff, &interval, Cost::from_parts(budget)), paid, "{budget} {tariff:?} {interval:?}");

        let both = |ms| (by_energy.at(ms), by_flat.at(ms));
        let minutes = (from / 60_000 + 1..).map(|minute| minute * 60_000).take(9 * 1440);
        let edge = minutes.into_iter().find(|at| both(*at) != both(from));
        assert_eq!(edge_after(&tariff, interval.from).map(Timestamp::ms), edge, "{tariff:?} {interval:?}");
    }
    println!("{split} intervals were split");
    assert!(split > 50);
}
