//! Tests of [`super`]: the rules by hand, and the split against a reference that asks every second and shares no code.

use chain::tariff::{DayOfWeek, PriceComponent, TariffElement};

use super::*;

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

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_ms(seconds * 1000)
}

fn price(tariff: &Tariff, seconds: u64) -> u64 {
    price_at(tariff, TariffDimension::Energy, at(seconds)).unwrap().micro()
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
    assert_eq!(next_edge(&tariff, at(TUESDAY_22 - 1)).unwrap(), Some(at(TUESDAY_22)));
    assert_eq!(next_edge(&tariff, at(TUESDAY_22)).unwrap(), Some(at(TUESDAY_22 + 9 * 3600)));
}

#[test]
fn an_interval_over_edges_is_split_in_proportion_to_time_with_the_floor_to_the_earlier_part() {
    let tariff = night_and_day();
    // Half an hour of day, nine hours of night, an hour of day: ⌊1000·0.5/10.5⌋ = 47, ⌊953·9/10⌋ = 857, the rest 96.
    let interval = Interval { from: at(TUESDAY_22 - 1800), to: at(TUESDAY_22 + 36_000), energy: WattHours::new(1000) };
    assert_eq!(energy_cost(&tariff, &interval).unwrap(), cost_of(&[(47, 250_000), (857, 150_000), (96, 250_000)]));
    let within = |parts: &[(u64, u64)], parts_more: u128| {
        energy_within(&tariff, &interval, Cost::from_parts(cost_of(parts).parts() + parts_more)).unwrap().get()
    };
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
    let interval = Interval { from: at(TUESDAY_22), to: at(TUESDAY_22), energy: WattHours::new(7) };
    assert_eq!(energy_cost(&night_and_day(), &interval).unwrap(), cost_of(&[(7, 150_000)]));
}
