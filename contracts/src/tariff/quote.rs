//! What a charge will cost, before anything is locked.
//!
//! Pure: the API, the command line, the web and replays show the same numbers. It knows no queue and no account. The bill itself is made from readings by
//! [`super::price`].

use chain::{
    code::{Code, Rejection},
    quantity::{Amount, Cost, Currents, WattHours},
    record::CostByComponent,
    tariff::{Tariff, TariffDimension},
    time::{Duration, Timestamp},
};
use serde::{Deserialize, Serialize};

use super::price::{Interval, Schedule, energy_cost, flat_cost, next_edge, price_at};

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
    /// Per kWh at the beginning, in micro-tokens.
    pub price_per_kwh: Amount,
    /// Per session at the beginning, in micro-tokens.
    pub price_per_session: Amount,
    /// When one of the two changes next; `None` where they never do.
    pub next_change: Option<Timestamp>,
    /// The cost if current flows from the beginning, without a pause, at the rated current and 230 V, until the energy or the time is reached; rounded down
    /// as a bill is.
    pub expected: Amount,
    /// The exact cost behind `expected`, by dimension.
    pub expected_cost: CostByComponent,
    /// The energy behind `expected`.
    pub expected_energy: WattHours,
    /// What no bill for this energy and time exceeds, rounded up: as an escrow it never ends the session.
    pub maximum: Amount,
    /// The energy behind `maximum`.
    pub maximum_energy: WattHours,
}

/// The price, the expected and the maximum cost of a charge.
///
/// The maximum takes the energy asked for, or, where less, all that the ledger would accept from a meter in the time (rated current × 253 V × 1.05 + 50 Wh),
/// at the dearest price that the tariff has on any day at any hour, and the dearest price per session: a queue may move the charge into dearer hours.
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
    let (expected_energy, lasts) = expected_charge(rated, wanted, max_duration).ok_or(overflow)?;
    let until = from.checked_add(lasts).ok_or(overflow)?;
    let expected_cost = CostByComponent {
        energy: energy_cost(tariff, &Interval { from, to: until, energy: expected_energy })?,
        flat: flat_cost(tariff, from)?,
        ..CostByComponent::default()
    };
    let maximum_energy = wanted.min(meterable(rated, max_duration).ok_or(overflow)?);
    let dearest = |dimension| Schedule::new(tariff, dimension).map(|schedule| schedule.dearest());
    let maximum = Cost::of_energy(maximum_energy, dearest(TariffDimension::Energy)?).ok_or(overflow)?;
    let flat = Cost::from_amount(dearest(TariffDimension::Flat)?).ok_or(overflow)?;
    Ok(Quote {
        price_per_kwh: price_at(tariff, TariffDimension::Energy, from)?,
        price_per_session: price_at(tariff, TariffDimension::Flat, from)?,
        next_change: next_edge(tariff, from)?,
        expected: expected_cost.total().and_then(Cost::floor).ok_or(overflow)?,
        expected_cost,
        expected_energy,
        maximum: maximum.checked_add(flat).and_then(Cost::ceil).ok_or(overflow)?,
        maximum_energy,
    })
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
