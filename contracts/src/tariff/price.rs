//! What a session costs under a tariff: the exact cost of an interval by dimension, what of it an escrow pays for, the least and the highest price of a
//! session, and where a price may change.
//!
//! It reads no state and rounds no money. Called by the handlers of sessions, by quotes, by the gateway (when to read) and by audits: all reckon alike.
//!
//! # How an interval is billed
//! [`super::schedule`] says which element holds when, [`super::line`] how the interval is split, dimension by dimension. Then
//! - **ENERGY**: each part's watt-hours at its price per kWh.
//! - **TIME**: the milliseconds of each part that lie in a span in which the session held a grant, before it was full or over, at its price per hour.
//! - **PARKING_TIME**: the milliseconds of each part from the tariff's grace after the session was full until it was over, at its price per hour.
//! - **FLAT**: once per session, with the first energy, at the price of the first grant's instant ([`flat_cost`]).
//!
//! Neither TIME nor PARKING_TIME counts beyond the duration that the session asked for, even where a block that ends it comes late.
//!
//! # The least and the highest price
//! The sum of all dimensions is raised to the tariff's least price, as soon as the session has metered energy or costs anything, and lowered to its highest.
//! What comes of it is what an escrow must pay ([`due`]).

use chain::{
    code::{Code, Rejection},
    quantity::{Amount, Cost, WattHours},
    record::{CostByComponent, GrantSpan},
    tariff::{Tariff, TariffDimension},
    time::{Duration, Timestamp},
};

use super::{
    line::{Interval, Part, WallClock, parts, share},
    schedule::{Known, Power, Schedule},
};

/// How far [`next_edge`] looks. Rules know at most six changes of the clock in this time, so a whole week of wall time lies undisturbed in it: a price that
/// does not change within it changes by its duration alone, or never.
const EDGE_HORIZON: Duration = Duration::from_hours(60 * 24);

/// Which time of a session counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Counted<'a> {
    /// When it held a grant; ascending, and no two at once.
    pub granted: &'a [GrantSpan],
    /// Since when it is full with the plug in, if it is.
    pub idle_since: Option<Timestamp>,
    /// From here on nothing counts: it is over, or its longest duration has passed.
    pub until: Timestamp,
}

/// The exact cost of an interval by dimension; FLAT is not in it.
///
/// # Errors
/// [`Code::InvalidRange`] where it ends before it begins; [`Code::OverLimit`] beyond [`super::MAX_INTERVAL`] or [`super::LAST_INSTANT`];
/// [`Code::InvalidTariff`] where the zone is no rule; [`Code::Overflow`] where the energy leaves the range, else only for a tariff that [`super::validate`]
/// refuses.
pub fn interval_cost(tariff: &Tariff, interval: &Interval, counted: &Counted<'_>) -> Result<CostByComponent, Rejection> {
    Ok(CostByComponent {
        energy: energy_cost(tariff, interval)?,
        time: sum_of_time(&charging_spans(tariff, interval, counted)?)?,
        parking_time: sum_of_time(&parking_spans(tariff, interval, counted)?)?,
        flat: Cost::ZERO,
    })
}

/// The exact cost of an interval's energy.
///
/// # Errors
/// As [`interval_cost`].
pub fn energy_cost(tariff: &Tariff, interval: &Interval) -> Result<Cost, Rejection> {
    sum_of_energy(&energy_parts(tariff, interval)?, interval.energy)
}

/// The most whole watt-hours of an interval, taken from its beginning with the time that passed until then, that are paid for: with them the session is
/// [`due`] no more than `payable`. `spent` is its cost before the interval, with FLAT where the interval makes it due. All of them where the interval is due no
/// more; none where even the beginning is due more.
///
/// # Errors
/// As [`interval_cost`].
pub fn energy_within(
    tariff: &Tariff,
    interval: &Interval,
    counted: &Counted<'_>,
    spent: &CostByComponent,
    payable: Cost,
) -> Result<WattHours, Rejection> {
    let overflow = Rejection::new(Code::Overflow);
    let energy = energy_parts(tariff, interval)?;
    let charging = charging_spans(tariff, interval, counted)?;
    let parking = parking_spans(tariff, interval, counted)?;
    let is_paid = |watt_hours: u64| -> Result<bool, Rejection> {
        let passed = match interval.energy.get() {
            0 => interval.length().ms(),
            all => share(interval.length().ms(), watt_hours, all).ok_or(overflow)?,
        };
        let until = interval.from.saturating_add(Duration::from_ms(passed));
        let cost = CostByComponent {
            energy: spent.energy.checked_add(sum_of_energy(&energy, WattHours::new(watt_hours))?).ok_or(overflow)?,
            time: spent.time.checked_add(sum_of_time(&cut(&charging, until))?).ok_or(overflow)?,
            parking_time: spent.parking_time.checked_add(sum_of_time(&cut(&parking, until))?).ok_or(overflow)?,
            flat: spent.flat,
        };
        let metered = interval.energy_before.checked_add(interval.energy).ok_or(overflow)?;
        Ok(due(tariff, &cost, metered).ok_or(overflow)? <= payable)
    };
    if is_paid(interval.energy.get())? {
        return Ok(interval.energy);
    }
    // What is due never falls with the energy, so the last watt-hour that is paid for is found by halving.
    let (mut paid, mut unpaid) = (0, interval.energy.get());
    while let Some(gap) = unpaid.checked_sub(paid).filter(|gap| *gap > 1) {
        let middle = paid.saturating_add(gap / 2);
        if is_paid(middle)? { paid = middle } else { unpaid = middle }
    }
    Ok(WattHours::new(paid))
}

/// What an escrow must pay for a session of this cost and energy, exact: the sum of its dimensions within the tariff's least and highest price. Nothing for a
/// session that has metered nothing and costs nothing. `None` above the range.
#[must_use]
pub fn due(tariff: &Tariff, cost: &CostByComponent, energy: WattHours) -> Option<Cost> {
    let sum = cost.total()?;
    if energy.is_zero() && sum == Cost::ZERO {
        return Some(Cost::ZERO);
    }
    let bound = |price: Option<Amount>| price.map_or(Some(None), |price| Cost::from_amount(price).map(Some));
    let at_least = bound(tariff.min_price)?.map_or(sum, |least| sum.max(least));
    Some(bound(tariff.max_price)?.map_or(at_least, |most| at_least.min(most)))
}

/// Whether money ends a session: what is due has reached its escrow, and the tariff's highest price is not within the escrow already.
#[must_use]
pub fn is_spent(tariff: &Tariff, due: Cost, escrow: Amount) -> bool {
    let covered = tariff.max_price.is_some_and(|most| most <= escrow);
    !covered && Cost::from_amount(escrow).is_some_and(|escrow| due >= escrow)
}

/// What a session costs once, if it begins at an instant.
///
/// # Errors
/// [`Code::OverLimit`] after [`super::LAST_INSTANT`]; [`Code::InvalidTariff`] where the zone is no rule.
pub fn flat_cost(tariff: &Tariff, at: Timestamp) -> Result<Cost, Rejection> {
    Cost::from_amount(price_at(tariff, TariffDimension::Flat, at, 0)?).ok_or(Rejection::new(Code::Overflow))
}

/// The price of a dimension for a session that begins at an instant and takes so much power; zero where no element holds.
///
/// # Errors
/// As [`flat_cost`].
pub fn price_at(tariff: &Tariff, dimension: TariffDimension, at: Timestamp, watts: u64) -> Result<Amount, Rejection> {
    let schedule = Schedule::new(tariff, dimension)?;
    let local = schedule.zone.local(at)?;
    let known = Known { duration: Some(0), energy: Some(0), power: Some(Power::of_watts(watts)) };
    Ok(schedule.price(schedule.matching(&local, &known)))
}

/// Whether a tariff has a price of a dimension, for whatever restrictions.
#[must_use]
pub fn has(tariff: &Tariff, dimension: TariffDimension) -> bool {
    tariff.elements.iter().flat_map(|element| &element.price_components).any(|component| component.dimension == dimension)
}

/// Whether a tariff has a price for any time, so that [`chain::record::SessionTimes`] are kept.
#[must_use]
pub fn counts_time(tariff: &Tariff) -> bool {
    has(tariff, TariffDimension::Time) || has(tariff, TariffDimension::ParkingTime)
}

/// The first instant after `after` at which a price may change for a session that began at `begun`: another element of some dimension holds, or may hold,
/// depending on its energy and power. `None` where none ever does again (or only after [`super::LAST_INSTANT`]).
///
/// # Errors
/// As [`flat_cost`].
pub fn next_edge(tariff: &Tariff, begun: Timestamp, after: Timestamp) -> Result<Option<Timestamp>, Rejection> {
    let mut next: Option<Timestamp> = None;
    for dimension in [TariffDimension::Energy, TariffDimension::Time, TariffDimension::ParkingTime, TariffDimension::Flat] {
        let schedule = Schedule::new(tariff, dimension)?;
        // FLAT is judged at the beginning alone; to whoever looks at a price list its changes matter all the same.
        let mut clock = WallClock::new(schedule.zone, after)?;
        let known = |at: Timestamp| Known { duration: Some(at.since(begun).ms()), energy: None, power: None };
        let last_duration = schedule.durations().last().map_or(begun, |last| begun.saturating_add(Duration::from_ms(*last)));
        let horizon = next.unwrap_or_else(|| after.max(last_duration).saturating_add(EDGE_HORIZON));
        let possible = schedule.possible(&clock.local(after)?, &known(after));
        let mut at = after;
        loop {
            let by_duration =
                schedule.durations().iter().map(|span| begun.saturating_add(Duration::from_ms(*span))).find(|edge| *edge > at);
            let by_wall = clock.next_edge(at, schedule.minutes());
            let Some(edge) = [by_duration, by_wall].into_iter().flatten().min().filter(|edge| *edge < horizon) else { break };
            let Ok(local) = clock.local(edge) else { break };
            if schedule.possible(&local, &known(edge)) != possible {
                next = Some(edge);
                break;
            }
            at = edge;
        }
    }
    Ok(next)
}

/// The powers at which another element may hold, in watts, ascending: a good gateway reads when one is crossed.
#[must_use]
pub fn power_edges(tariff: &Tariff) -> Vec<u64> {
    let restrictions = tariff.elements.iter().map(|element| &element.restrictions);
    let mut edges: Vec<u64> = restrictions
        .flat_map(|when| [when.min_power, when.max_power])
        .flatten()
        .map(|power| power.get().into())
        .filter(|watts| *watts > 0)
        .collect();
    edges.sort_unstable();
    edges.dedup();
    edges
}

/// Time at one price.
#[derive(Clone, Copy, Debug)]
struct Timed {
    from: Timestamp,
    to: Timestamp,
    per_hour: Amount,
}

fn energy_parts(tariff: &Tariff, interval: &Interval) -> Result<Vec<Part>, Rejection> {
    parts(&Schedule::new(tariff, TariffDimension::Energy)?, interval)
}

/// When TIME runs in an interval.
fn charging_spans(tariff: &Tariff, interval: &Interval, counted: &Counted<'_>) -> Result<Vec<Timed>, Rejection> {
    if !has(tariff, TariffDimension::Time) {
        return Ok(Vec::new());
    }
    let until = counted.idle_since.map_or(counted.until, |full| full.min(counted.until));
    let parts = parts(&Schedule::new(tariff, TariffDimension::Time)?, interval)?;
    let in_grant = |part: &Part| {
        let part = *part;
        counted.granted.iter().filter_map(move |grant| overlap(&part, grant.from, grant.until.map_or(until, |end| end.min(until))))
    };
    Ok(parts.iter().flat_map(in_grant).collect())
}

/// When PARKING_TIME runs in an interval.
fn parking_spans(tariff: &Tariff, interval: &Interval, counted: &Counted<'_>) -> Result<Vec<Timed>, Rejection> {
    let Some(full) = counted.idle_since.filter(|_| has(tariff, TariffDimension::ParkingTime)) else { return Ok(Vec::new()) };
    let from = full.saturating_add(tariff.parking_grace);
    let parts = parts(&Schedule::new(tariff, TariffDimension::ParkingTime)?, interval)?;
    Ok(parts.iter().filter_map(|part| overlap(part, from, counted.until)).collect())
}

fn overlap(part: &Part, from: Timestamp, until: Timestamp) -> Option<Timed> {
    let (from, to) = (part.from.max(from), part.to.min(until));
    (from < to).then_some(Timed { from, to, per_hour: part.price })
}

/// What of spans lies before an instant.
fn cut(spans: &[Timed], until: Timestamp) -> Vec<Timed> {
    spans.iter().map(|span| Timed { to: span.to.min(until).max(span.from), ..*span }).collect()
}

fn sum_of_time(spans: &[Timed]) -> Result<Cost, Rejection> {
    let costs = spans.iter().map(|span| Cost::of_time(span.to.since(span.from), span.per_hour));
    sum(costs)
}

/// What the first so many watt-hours cost.
fn sum_of_energy(parts: &[Part], energy: WattHours) -> Result<Cost, Rejection> {
    let mut left = energy;
    let costs = parts.iter().map(|part| {
        let taken = part.energy.min(left);
        left = left.saturating_sub(taken);
        Cost::of_energy(taken, part.price)
    });
    sum(costs)
}

fn sum(costs: impl Iterator<Item = Option<Cost>>) -> Result<Cost, Rejection> {
    let mut sum = Some(Cost::ZERO);
    for cost in costs {
        sum = sum.zip(cost).and_then(|(sum, cost)| sum.checked_add(cost));
    }
    sum.ok_or(Rejection::new(Code::Overflow))
}

#[cfg(test)]
#[path = "price_tests.rs"]
mod tests;
