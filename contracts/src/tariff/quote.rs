//! What a charge will cost, before anything is locked.
//!
//! Pure: the API, the command line, the web and replays show the same numbers. It knows no queue and no account. The bill itself is made from readings by
//! [`super::price`].

use chain::{
    code::{Code, Rejection},
    quantity::{Amount, Cost, Currents, WattHours},
    record::{CostByComponent, GrantSpan},
    tariff::{Tariff, TariffDimension},
    time::{Duration, Timestamp},
};
use serde::{Deserialize, Serialize};

use super::{
    line::Interval,
    price::{Counted, due, flat_cost, interval_cost, next_edge, price_at},
    schedule::{Known, Power, Schedule},
};

/// The voltage that an expected cost is reckoned with, in volts.
const NOMINAL_VOLTS: u128 = 230;

/// The highest voltage of a European network (EN 50160: 230 V + 10 %), as in the ledger's bound on readings, in volts.
const HIGHEST_VOLTS: u128 = 253;

/// Watt-hours that the ledger's bound on readings adds once per session.
const METER_SLACK_WH: u128 = 50;

/// Milliamperes times volts times milliseconds in a watt-hour.
const MICROJOULES_PER_WH: u128 = 3_600_000_000;

/// A charge that somebody thinks of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct QuoteRequest {
    /// When it begins; the present, for a person who asks.
    pub from: Timestamp,
    /// What the connector is rated for.
    pub rated: Currents,
    /// The energy that the vehicle needs, where it is known.
    pub energy: Option<WattHours>,
    /// How long it may take, counted from the first grant.
    pub max_duration: Duration,
}

/// What it will cost. Tax is included everywhere.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Quote {
    /// Per kWh at the beginning and the connector's rated power, in micro-tokens.
    pub price_per_kwh: Amount,
    /// Per hour of charging at the beginning, in micro-tokens.
    pub price_per_hour: Amount,
    /// Per hour parked full, at the beginning's time of day, in micro-tokens.
    pub price_per_hour_parked: Amount,
    /// Per session at the beginning, in micro-tokens.
    pub price_per_session: Amount,
    /// When one of them may change next; `None` where they never do.
    pub next_change: Option<Timestamp>,
    /// The cost if current flows from the beginning, without a pause, at the rated current and 230 V, until the energy or the time is reached, and the vehicle
    /// leaves then; rounded down as a bill is, within the tariff's least and highest price.
    pub expected: Amount,
    /// The exact cost behind `expected`, by dimension, before the least and the highest price.
    pub expected_cost: CostByComponent,
    /// The energy behind `expected`.
    pub expected_energy: WattHours,
    /// How long it takes.
    pub expected_duration: Duration,
    /// What to lock so that money never ends the session: no bill for this energy and time is more, and a session ends once its escrow is spent.
    pub maximum: Amount,
    /// The dearest cost by dimension, before the least and the highest price. Time is either charged or parked: what is dearer counts.
    pub maximum_cost: CostByComponent,
    /// The energy behind `maximum`.
    pub maximum_energy: WattHours,
}

/// The price, the expected and the maximum cost of a charge.
///
/// The maximum takes the energy asked for, or, where less, all that the ledger would accept from a meter in the time (rated current × 253 V × 1.05 + 50 Wh), at
/// the dearest price that the tariff has on any day at any hour and any power, tier by tier of energy; of all the time, the dearest price per hour charged or
/// parked, tier by tier of duration; and the dearest price per session: a queue may move the charge into dearer hours.
///
/// # Errors
/// [`Code::ZeroValue`] for a current, energy or duration of zero; [`Code::OverLimit`] beyond [`super::MAX_INTERVAL`] or [`super::LAST_INSTANT`];
/// [`Code::InvalidTariff`] where the zone is no rule; [`Code::Overflow`] where a cost leaves the range of amounts.
pub fn quote(tariff: &Tariff, request: &QuoteRequest) -> Result<Quote, Rejection> {
    let QuoteRequest { from, rated, energy, max_duration } = *request;
    if rated.is_zero() || max_duration.is_zero() || energy.is_some_and(WattHours::is_zero) {
        return Err(Code::ZeroValue.into());
    }
    if max_duration > super::MAX_INTERVAL {
        return Err(Rejection::of(Code::OverLimit, super::MAX_INTERVAL.ms(), max_duration.ms()));
    }
    let overflow = Rejection::new(Code::Overflow);
    let wanted = energy.unwrap_or(WattHours::MAX);
    let (expected_energy, expected_duration) = expected_charge(rated, wanted, max_duration).ok_or(overflow)?;
    let until = from.checked_add(expected_duration).ok_or(overflow)?;
    let counted = Counted { granted: &[GrantSpan { from, until: None }], idle_since: None, until };
    let expected_cost = CostByComponent {
        flat: flat_cost(tariff, from)?,
        ..interval_cost(tariff, &Interval::first(from, until, expected_energy), &counted)?
    };
    let maximum_energy = wanted.min(meterable(rated, max_duration).ok_or(overflow)?);
    let maximum_cost = dearest_cost(tariff, maximum_energy, max_duration)?;
    let dearest = due(tariff, &maximum_cost, maximum_energy).and_then(Cost::floor).ok_or(overflow)?;
    let watts = rated_watts(rated).ok_or(overflow)?;
    Ok(Quote {
        price_per_kwh: price_at(tariff, TariffDimension::Energy, from, watts)?,
        price_per_hour: price_at(tariff, TariffDimension::Time, from, watts)?,
        price_per_hour_parked: price_at(tariff, TariffDimension::ParkingTime, from, 0)?,
        price_per_session: price_at(tariff, TariffDimension::Flat, from, 0)?,
        next_change: next_edge(tariff, from, from)?,
        expected: due(tariff, &expected_cost, expected_energy).and_then(Cost::floor).ok_or(overflow)?,
        expected_cost,
        expected_energy,
        expected_duration,
        maximum: covering(tariff, dearest).ok_or(overflow)?,
        maximum_cost,
        maximum_energy,
    })
}

/// The least escrow that no bill up to `dearest` spends: the next micro-token, unless the tariff's highest price is reached anyway.
fn covering(tariff: &Tariff, dearest: Amount) -> Option<Amount> {
    match tariff.max_price {
        Some(most) if most <= dearest => Some(most),
        Some(_) | None => dearest.checked_add(Amount::from_micro(1)),
    }
}

/// The most that so much energy and time can cost, whenever and however they come.
fn dearest_cost(tariff: &Tariff, energy: WattHours, duration: Duration) -> Result<CostByComponent, Rejection> {
    let overflow = Rejection::new(Code::Overflow);
    let reachable = |dimension, below_ms| Schedule::new(tariff, dimension).map(|schedule| schedule.within(energy.get(), below_ms));
    // Where the block that ends a session comes late, energy flows beyond the duration; time does not count there.
    let by_energy = reachable(TariffDimension::Energy, u64::MAX)?;
    let mut cost = CostByComponent::default();
    for (from, to) in tiers(by_energy.energies(), energy.get()) {
        let price = by_energy.dearest(&Known { duration: None, energy: Some(from), power: None });
        let tier = Cost::of_energy(WattHours::new(to.saturating_sub(from)), price);
        cost.energy = tier.and_then(|tier| cost.energy.checked_add(tier)).ok_or(overflow)?;
    }
    let (charging, parking) = (reachable(TariffDimension::Time, duration.ms())?, reachable(TariffDimension::ParkingTime, duration.ms())?);
    let mut edges: Vec<u64> = charging.durations().iter().chain(parking.durations()).copied().collect();
    // Nothing is parked before the grace is over.
    edges.push(tariff.parking_grace.ms());
    edges.sort_unstable();
    for (from, to) in tiers(&edges, duration.ms()) {
        let known = Known { duration: Some(from), energy: None, power: None };
        let parked = if from < tariff.parking_grace.ms() { Amount::ZERO } else { parking.dearest(&known) };
        let charged = charging.dearest(&known);
        let tier = Cost::of_time(Duration::from_ms(to.saturating_sub(from)), charged.max(parked)).ok_or(overflow)?;
        let sum = if parked > charged { &mut cost.parking_time } else { &mut cost.time };
        *sum = sum.checked_add(tier).ok_or(overflow)?;
    }
    let at_start = Known { duration: Some(0), energy: Some(0), power: Some(Power::of_watts(0)) };
    let flat = Schedule::new(tariff, TariffDimension::Flat)?.dearest(&at_start);
    cost.flat = Cost::from_amount(flat).ok_or(overflow)?;
    Ok(cost)
}

/// The stretches between edges, from zero to `end`.
fn tiers(edges: &[u64], end: u64) -> impl Iterator<Item = (u64, u64)> {
    let inside = edges.iter().copied().filter(move |edge| *edge < end);
    let begins = std::iter::once(0).chain(inside.clone());
    begins.zip(inside.chain(std::iter::once(end)))
}

fn rated_watts(rated: Currents) -> Option<u64> {
    u64::try_from(u128::from(rated.total_ma()).checked_mul(NOMINAL_VOLTS)?.checked_div(1_000)?).ok()
}

/// The energy of a charge at rated current and nominal voltage, rounded down, and how long it takes, rounded up.
fn expected_charge(rated: Currents, wanted: WattHours, max_duration: Duration) -> Option<(WattHours, Duration)> {
    let milliwatts = u128::from(rated.total_ma()).checked_mul(NOMINAL_VOLTS)?;
    let most = milliwatts.checked_mul(max_duration.ms().into())?.checked_div(MICROJOULES_PER_WH)?;
    let wanted_wh = u128::from(wanted.get());
    if most < wanted_wh {
        return Some((WattHours::new(u64::try_from(most).ok()?), max_duration));
    }
    let lasts = wanted_wh.checked_mul(MICROJOULES_PER_WH)?.div_ceil(milliwatts.max(1));
    Some((wanted, Duration::from_ms(u64::try_from(lasts).ok()?).min(max_duration)))
}

/// The most that the ledger accepts from a meter in this time, rounded up.
fn meterable(rated: Currents, duration: Duration) -> Option<WattHours> {
    let microjoules = u128::from(rated.total_ma()).checked_mul(HIGHEST_VOLTS)?.checked_mul(duration.ms().into())?;
    let with_margin = microjoules.checked_mul(105)?.div_ceil(MICROJOULES_PER_WH.checked_mul(100)?);
    u64::try_from(with_margin.checked_add(METER_SLACK_WH)?).ok().map(WattHours::new)
}

#[cfg(test)]
mod tests {
    use chain::tariff::{PriceComponent, TariffElement, TariffRestrictions};
    use rand::{Rng, SeedableRng, rngs::StdRng};

    use super::*;
    use crate::tariff::energy_cost;

    /// 0.15 per kWh and 0.50 once from 22:00 to 07:00 UTC, 0.25 and nothing by day.
    fn tariff() -> Tariff {
        let price = |dimension, micro| PriceComponent { dimension, price: Amount::from_micro(micro) };
        let night = TariffRestrictions { start_time: Some(1_320), end_time: Some(420), ..TariffRestrictions::default() };
        Tariff {
            time_zone: "UTC0".to_owned(),
            elements: vec![
                TariffElement {
                    price_components: vec![price(TariffDimension::Energy, 150_000), price(TariffDimension::Flat, 500_000)],
                    restrictions: night,
                },
                TariffElement {
                    price_components: vec![price(TariffDimension::Energy, 250_000)],
                    restrictions: TariffRestrictions::default(),
                },
            ],
            min_price: None,
            max_price: None,
            vat_basis_points: 0,
            parking_grace: Duration::ZERO,
        }
    }

    const MIDNIGHT: Timestamp = Timestamp::from_ms(1_600_041_600_000);

    fn request() -> QuoteRequest {
        QuoteRequest { from: MIDNIGHT, rated: Currents::from_ma([16_000; 3]), energy: None, max_duration: Duration::from_hours(10) }
    }

    #[test]
    fn a_quote_names_the_price_now_what_is_likely_and_what_it_can_cost_at_most() {
        // 11 040 W from midnight: 7 h by night, 3 h by day.
        let quoted = quote(&tariff(), &request()).unwrap();
        assert_eq!((quoted.price_per_kwh.micro(), quoted.price_per_session.micro()), (150_000, 500_000));
        assert_eq!(quoted.next_change, Some(MIDNIGHT.saturating_add(Duration::from_hours(7))));
        assert_eq!((quoted.expected_energy.get(), quoted.expected.micro()), (110_400, 11_592_000 + 8_280_000 + 500_000));
        // ⌈48 A · 253 V · 10 h · 1.05⌉ + 50 Wh, by day, and the dearest start; one micro-token more is not reached.
        assert_eq!((quoted.maximum_energy.get(), quoted.maximum.micro()), (127_562, 31_890_500 + 500_000 + 1));
        // Where the energy is known, it alone is reckoned with, and the time only where it is too short.
        let asked = quote(&tariff(), &QuoteRequest { energy: Some(WattHours::new(22_081)), ..request() }).unwrap();
        assert_eq!((asked.expected_energy.get(), asked.expected.micro()), (22_081, 3_312_150 + 500_000));
        assert_eq!((asked.maximum_energy.get(), asked.maximum.micro()), (22_081, 5_520_250 + 500_000 + 1));
        let short = QuoteRequest { energy: Some(WattHours::new(22_081)), max_duration: Duration::from_hours(1), ..request() };
        let short = quote(&tariff(), &short).unwrap();
        assert_eq!((short.expected_energy.get(), short.maximum_energy.get()), (11_040, 12_802));
    }

    #[test]
    fn a_maximum_goes_tier_by_tier_and_counts_an_hour_once() {
        let element = |components: &[(TariffDimension, u64)], restrictions| TariffElement {
            price_components: components
                .iter()
                .map(|(dimension, micro)| PriceComponent { dimension: *dimension, price: Amount::from_micro(*micro) })
                .collect(),
            restrictions,
        };
        let first_ten = TariffRestrictions { max_energy: Some(WattHours::new(10_000)), ..TariffRestrictions::default() };
        let first_hour = TariffRestrictions { max_duration: Some(Duration::from_hours(1)), ..TariffRestrictions::default() };
        let (per_kwh, per_hour, parked) = (TariffDimension::Energy, TariffDimension::Time, TariffDimension::ParkingTime);
        let tariff = Tariff {
            elements: vec![
                element(&[(per_kwh, 100_000)], first_ten),
                element(&[(per_hour, 0)], first_hour),
                element(&[(per_kwh, 300_000), (per_hour, 500_000), (parked, 2_000_000)], TariffRestrictions::default()),
            ],
            parking_grace: Duration::from_hours(2),
            ..tariff()
        };
        let asked = QuoteRequest { energy: Some(WattHours::new(22_080)), max_duration: Duration::from_hours(5), ..request() };
        let quoted = quote(&tariff, &asked).unwrap();
        // Two hours of charging, the first one free; the vehicle leaves then.
        assert_eq!(quoted.expected_duration, Duration::from_hours(2));
        let micro = |cost: Cost| cost.floor().unwrap().micro();
        assert_eq!(micro(quoted.expected_cost.energy), 1_000_000 + 3_624_000);
        assert_eq!((micro(quoted.expected_cost.time), micro(quoted.expected_cost.parking_time)), (500_000, 0));
        // An hour free, one charged before anything can be parked beyond the grace, three parked.
        assert_eq!(micro(quoted.maximum_cost.energy), 1_000_000 + 3_624_000);
        assert_eq!((micro(quoted.maximum_cost.time), micro(quoted.maximum_cost.parking_time)), (500_000, 6_000_000));
        assert_eq!(quoted.maximum.micro(), 4_624_000 + 6_500_000 + 1);
        assert_eq!((quoted.price_per_hour.micro(), quoted.price_per_hour_parked.micro()), (0, 2_000_000));
        assert_eq!(quoted.next_change, Some(MIDNIGHT.saturating_add(Duration::from_hours(1))));
        // The bounds: a highest price needs no micro-token more.
        let bounded = |least, most| quote(&Tariff { min_price: least, max_price: most, ..tariff.clone() }, &asked).unwrap();
        let amount = |micro| Some(Amount::from_micro(micro));
        assert_eq!(bounded(None, amount(7_000_000)).maximum.micro(), 7_000_000);
        assert_eq!(bounded(None, amount(7_000_000)).expected.micro(), 5_124_000);
        assert_eq!(bounded(None, amount(11_124_001)).maximum.micro(), 11_124_001);
        assert_eq!(bounded(amount(20_000_000), None).expected.micro(), 20_000_000);
        assert_eq!(bounded(amount(20_000_000), None).maximum.micro(), 20_000_001);
    }

    #[test]
    fn rejects_zeros_and_what_is_too_long_or_too_dear() {
        let refused = |request: QuoteRequest| quote(&tariff(), &request).unwrap_err();
        assert_eq!(refused(QuoteRequest { rated: Currents::ZERO, ..request() }), Rejection::new(Code::ZeroValue));
        assert_eq!(refused(QuoteRequest { energy: Some(WattHours::ZERO), ..request() }), Rejection::new(Code::ZeroValue));
        assert_eq!(refused(QuoteRequest { max_duration: Duration::ZERO, ..request() }), Rejection::new(Code::ZeroValue));
        let most = super::super::MAX_INTERVAL;
        let longer = Duration::from_ms(most.ms() + 1);
        assert_eq!(refused(QuoteRequest { max_duration: longer, ..request() }), Rejection::of(Code::OverLimit, most.ms(), longer.ms()));
        quote(&tariff(), &QuoteRequest { max_duration: most, rated: Currents::from_ma([u32::MAX; 3]), ..request() }).unwrap();
    }

    #[test]
    fn no_bill_within_the_asked_energy_or_the_meters_bound_reaches_the_maximum() {
        let seed: u64 = rand::random();
        println!("seed {seed}");
        let mut rng = StdRng::seed_from_u64(seed);
        for _ in 0..2_000 {
            let request = QuoteRequest {
                from: Timestamp::from_ms(rng.random_range(0..4_000_000_000_000)),
                rated: Currents::from_ma([rng.random_range(6_000..64_000), 0, rng.random_range(0..64_000)]),
                energy: rng.random::<bool>().then(|| WattHours::new(rng.random_range(1..100_000))),
                max_duration: Duration::from_ms(rng.random_range(1..300_000_000)),
            };
            let quoted = quote(&tariff(), &request).unwrap();
            assert!(quoted.expected <= quoted.maximum && quoted.expected_energy <= quoted.maximum_energy, "{request:?} {quoted:?}");
            // Granted after a wait, metered up to the bound over any time.
            let from = request.from.saturating_add(Duration::from_ms(rng.random_range(0..100_000_000)));
            let to = from.saturating_add(Duration::from_ms(rng.random_range(0..=request.max_duration.ms())));
            let metered = energy_cost(&tariff(), &Interval::first(from, to, quoted.maximum_energy)).unwrap();
            let bill = metered.checked_add(flat_cost(&tariff(), from).unwrap()).unwrap();
            assert!(bill < Cost::from_amount(quoted.maximum).unwrap(), "{request:?} {quoted:?}");
        }
    }
}
