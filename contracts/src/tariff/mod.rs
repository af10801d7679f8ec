//! Tariffs: which documents are valid, which version is in force, what energy costs under one, and what a charge will cost.
//!
//! Semantics and names are OCPI 2.3's (`mod_tariffs`). Built so far: ENERGY and FLAT, restricted by time of day and day of week; a document that says more is
//! refused as not active. Nothing here writes the state. Called by handlers, block execution, the gateway, the API, clients and audits, which therefore
//! all show and bill the same prices.

mod price;
mod quote;
mod zone;

use chain::{
    code::{Code, Rejection},
    id::TariffId,
    quantity::Amount,
    record::{Key, TariffHead, TariffVersion},
    tariff::{Tariff, TariffDimension, TariffRestrictions},
    time::Timestamp,
};

pub use self::{
    price::{Interval, MAX_INTERVAL, energy_cost, energy_within, flat_cost, next_edge, price_at},
    quote::{Quote, QuoteRequest, quote},
    zone::{LAST_INSTANT, LocalTime, MAX_ZONE_BYTES, Period, Zone},
};
use crate::{failure::Fault, ledger::Ledger};

/// The most elements of a tariff.
pub const MAX_ELEMENTS: usize = 32;

/// The most price components of an element: one of each dimension.
pub const MAX_COMPONENTS: usize = 4;

/// The highest price: 1 000 tokens per kWh or per session. With it the exact cost of `u64::MAX` Wh is below 2^120, so no sum overflows.
pub const MAX_PRICE: Amount = Amount::from_micro(1_000_000_000);

/// The highest tax rate: all of the price.
pub const MAX_VAT_BASIS_POINTS: u32 = 10_000;

const MINUTES_OF_DAY: u16 = 1440;

/// Whether a document is a tariff that this version of the protocol can bill.
///
/// # Errors
/// In this order: [`Code::InvalidTariff`] for a zone that is no rule and for a tax above [`MAX_VAT_BASIS_POINTS`]; [`Code::NotActive`] for a minimum or
/// maximum price or a parking grace; [`Code::InvalidTariff`] without elements, [`Code::TooMany`] above [`MAX_ELEMENTS`]; then for each element in order
/// [`Code::InvalidTariff`] without components, [`Code::TooMany`] above [`MAX_COMPONENTS`]; for each component [`Code::NotActive`] for TIME and PARKING_TIME,
/// [`Code::InvalidTariff`] for a second one of a dimension or a price above [`MAX_PRICE`]; [`Code::NotActive`] for a restriction by energy, power or
/// duration; [`Code::InvalidTariff`] for a time of 1440 or more and for days that do not ascend. Numbers give the bound and what was found.
pub fn validate(tariff: &Tariff) -> Result<(), Rejection> {
    Zone::parse(&tariff.time_zone)?;
    if tariff.vat_basis_points > MAX_VAT_BASIS_POINTS {
        return Err(Rejection::of(Code::InvalidTariff, MAX_VAT_BASIS_POINTS.into(), tariff.vat_basis_points.into()));
    }
    if tariff.min_price.is_some() || tariff.max_price.is_some() || !tariff.parking_grace.is_zero() {
        return Err(Code::NotActive.into());
    }
    check_count(tariff.elements.len(), MAX_ELEMENTS)?;
    for element in &tariff.elements {
        check_count(element.price_components.len(), MAX_COMPONENTS)?;
        let mut seen: Vec<TariffDimension> = Vec::new();
        for component in &element.price_components {
            match component.dimension {
                TariffDimension::Energy | TariffDimension::Flat => {}
                TariffDimension::Time | TariffDimension::ParkingTime => return Err(Code::NotActive.into()),
            }
            if seen.contains(&component.dimension) {
                return Err(Code::InvalidTariff.into());
            }
            seen.push(component.dimension);
            if component.price > MAX_PRICE {
                return Err(Rejection::of(Code::InvalidTariff, MAX_PRICE.micro(), component.price.micro()));
            }
        }
        check_restrictions(&element.restrictions)?;
    }
    Ok(())
}

fn check_count(found: usize, most: usize) -> Result<(), Rejection> {
    if found == 0 {
        return Err(Rejection::of(Code::InvalidTariff, 1, 0));
    }
    if found > most {
        return Err(Rejection::of(Code::TooMany, most as u64, found as u64));
    }
    Ok(())
}

fn check_restrictions(restrictions: &TariffRestrictions) -> Result<(), Rejection> {
    let TariffRestrictions { start_time, end_time, day_of_week, min_energy, max_energy, min_power, max_power, min_duration, max_duration } =
        restrictions;
    let energy = min_energy.is_some() || max_energy.is_some();
    let power = min_power.is_some() || max_power.is_some();
    let duration = min_duration.is_some() || max_duration.is_some();
    if energy || power || duration {
        return Err(Code::NotActive.into());
    }
    for minute in [start_time, end_time].into_iter().flatten() {
        if *minute >= MINUTES_OF_DAY {
            return Err(Rejection::of(Code::InvalidTariff, u64::from(MINUTES_OF_DAY.saturating_sub(1)), u64::from(*minute)));
        }
    }
    // Strictly ascending: each day once, in the order of the week, so that one set of days has one encoding.
    if !day_of_week.iter().zip(day_of_week.iter().skip(1)).all(|(day, next)| day < next) {
        return Err(Code::InvalidTariff.into());
    }
    Ok(())
}

/// The version in force at an instant that is not before the present block: the highest whose `valid_from` is not later. `None` where the tariff is
/// unknown or not yet in force.
///
/// A committed state can be asked through [`Ledger::new`]. It reads at most one version more than are announced for later than `at`.
///
/// # Errors
/// [`Fault`] where the disk fails or a version is missing.
pub fn in_force(ledger: &Ledger<'_>, tariff: TariffId, at: Timestamp) -> Result<Option<(u32, TariffVersion)>, Fault> {
    let Some(head) = ledger.get::<TariffHead>(&Key::TariffHead(tariff))? else { return Ok(None) };
    for number in (1..=head.latest).rev() {
        let version = version(ledger, tariff, number)?.ok_or_else(|| Fault(format!("version {number} of tariff {tariff} is missing")))?;
        if version.valid_from <= at {
            return Ok(Some((number, version)));
        }
    }
    Ok(None)
}

/// One version of a tariff, in force or not.
///
/// # Errors
/// [`Fault`] where the disk fails.
pub fn version(ledger: &Ledger<'_>, tariff: TariffId, number: u32) -> Result<Option<TariffVersion>, Fault> {
    ledger.get(&Key::TariffVersion(tariff, number))
}

#[cfg(test)]
mod tests {
    use chain::{
        quantity::{WattHours, Watts},
        tariff::{DayOfWeek, PriceComponent, TariffElement},
        time::Duration,
    };

    use super::*;

    fn component(dimension: TariffDimension, micro: u64) -> PriceComponent {
        PriceComponent { dimension, price: Amount::from_micro(micro) }
    }

    fn element() -> TariffElement {
        TariffElement {
            price_components: vec![component(TariffDimension::Energy, MAX_PRICE.micro()), component(TariffDimension::Flat, 0)],
            restrictions: TariffRestrictions {
                start_time: Some(1439),
                end_time: Some(0),
                day_of_week: vec![DayOfWeek::Monday, DayOfWeek::Sunday],
                ..TariffRestrictions::default()
            },
        }
    }

    fn largest() -> Tariff {
        Tariff {
            time_zone: "CET-1CEST,M3.5.0,M10.5.0/3".to_owned(),
            elements: vec![element(); MAX_ELEMENTS],
            min_price: None,
            max_price: None,
            vat_basis_points: MAX_VAT_BASIS_POINTS,
            parking_grace: Duration::ZERO,
        }
    }

    fn refused(change: impl FnOnce(&mut Tariff)) -> Rejection {
        let mut tariff = largest();
        change(&mut tariff);
        validate(&tariff).unwrap_err()
    }

    fn refused_by(change: impl FnOnce(&mut TariffRestrictions)) -> Rejection {
        refused(|tariff| change(&mut tariff.elements[31].restrictions))
    }

    #[test]
    fn the_largest_tariff_is_valid_and_fits_a_record() {
        validate(&largest()).unwrap();
        let longest = Tariff {
            elements: vec![TariffElement { price_components: vec![component(TariffDimension::Flat, 1); 4], ..element() }; 32],
            ..largest()
        };
        assert!(chain::codec::encode(&longest).unwrap().len() < crate::ledger::MAX_RECORD_BYTES);
    }

    #[test]
    fn rejects_documents_that_break_a_rule_with_bound_and_finding() {
        let invalid = |expected, found| Rejection::of(Code::InvalidTariff, expected, found);
        let plainly_invalid = Rejection::new(Code::InvalidTariff);
        assert_eq!(refused(|tariff| tariff.time_zone = "Europe/Oslo".to_owned()), plainly_invalid);
        assert_eq!(refused(|tariff| tariff.time_zone = "A".repeat(65)), invalid(64, 65));
        assert_eq!(refused(|tariff| tariff.vat_basis_points += 1), invalid(10_000, 10_001));
        assert_eq!(refused(|tariff| tariff.elements.clear()), invalid(1, 0));
        assert_eq!(refused(|tariff| tariff.elements.push(element())), Rejection::of(Code::TooMany, 32, 33));
        assert_eq!(refused(|tariff| tariff.elements[31].price_components.clear()), invalid(1, 0));
        let five = vec![component(TariffDimension::Energy, 1); 5];
        assert_eq!(refused(|tariff| tariff.elements[31].price_components = five), Rejection::of(Code::TooMany, 4, 5));
        let twice = vec![component(TariffDimension::Flat, 1); 2];
        assert_eq!(refused(|tariff| tariff.elements[31].price_components = twice), plainly_invalid);
        let dear = vec![component(TariffDimension::Energy, 1_000_000_001)];
        assert_eq!(refused(|tariff| tariff.elements[31].price_components = dear), invalid(1_000_000_000, 1_000_000_001));
        assert_eq!(refused_by(|restrictions| restrictions.start_time = Some(1440)), invalid(1439, 1440));
        assert_eq!(refused_by(|restrictions| restrictions.end_time = Some(1440)), invalid(1439, 1440));
        let twice = vec![DayOfWeek::Monday, DayOfWeek::Monday];
        assert_eq!(refused_by(|restrictions| restrictions.day_of_week = twice), plainly_invalid);
        let unsorted = vec![DayOfWeek::Tuesday, DayOfWeek::Monday];
        assert_eq!(refused_by(|restrictions| restrictions.day_of_week = unsorted), plainly_invalid);
    }

    #[test]
    fn rejects_kinds_that_are_not_active() {
        let not_active = Rejection::new(Code::NotActive);
        assert_eq!(refused(|tariff| tariff.min_price = Some(Amount::ZERO)), not_active);
        assert_eq!(refused(|tariff| tariff.max_price = Some(Amount::ZERO)), not_active);
        assert_eq!(refused(|tariff| tariff.parking_grace = Duration::from_ms(1)), not_active);
        for dimension in [TariffDimension::Time, TariffDimension::ParkingTime] {
            assert_eq!(refused(|tariff| tariff.elements[31].price_components[1] = component(dimension, 1)), not_active);
        }
        assert_eq!(refused_by(|restrictions| restrictions.min_energy = Some(WattHours::ZERO)), not_active);
        assert_eq!(refused_by(|restrictions| restrictions.max_energy = Some(WattHours::ZERO)), not_active);
        assert_eq!(refused_by(|restrictions| restrictions.min_power = Some(Watts::ZERO)), not_active);
        assert_eq!(refused_by(|restrictions| restrictions.max_power = Some(Watts::ZERO)), not_active);
        assert_eq!(refused_by(|restrictions| restrictions.min_duration = Some(Duration::ZERO)), not_active);
        assert_eq!(refused_by(|restrictions| restrictions.max_duration = Some(Duration::ZERO)), not_active);
    }
}
