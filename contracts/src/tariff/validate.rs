//! Which documents are tariffs that can be billed.
//!
//! It judges a document alone: connectors and versions are `PutTariff`'s matter. Called by that handler and by clients, who tell people the very place.
//!
//! # The rules, in the order in which they are judged
//! 1. `time_zone` is a rule ([`super::zone`]); `vat_basis_points` is at most [`MAX_VAT_BASIS_POINTS`].
//! 2. `min_price` and `max_price` are at most [`MAX_PRICE`], the first not above the second; `parking_grace` is at most [`MAX_GRACE`].
//! 3. One to [`MAX_ELEMENTS`] elements; each has one to [`MAX_COMPONENTS`] price components, one of a dimension, none above [`MAX_PRICE`].
//! 4. Times of day are below 1440 minutes, days ascend; of energy, power and duration the most is above the least (zero where there is none): anything else would
//!    never hold.
//! 5. FLAT is due once, by what holds when a session begins: where it is priced there is no bound of power, and no least energy or duration above zero.

use chain::{
    code::{Code, Rejection},
    quantity::Amount,
    tariff::{Tariff, TariffDimension, TariffElement, TariffRestrictions},
    time::Duration,
};

use super::zone::Zone;

/// The most elements of a tariff.
pub const MAX_ELEMENTS: usize = 32;

/// The most price components of an element: one of each dimension.
pub const MAX_COMPONENTS: usize = 4;

/// The highest price: 1 000 tokens per kWh, per hour or per session, and the highest bound of a session's price. With it the exact cost of `u64::MAX` Wh is
/// below 2^120, so no sum overflows.
pub const MAX_PRICE: Amount = Amount::from_micro(1_000_000_000);

/// The highest tax rate: all of the price.
pub const MAX_VAT_BASIS_POINTS: u32 = 10_000;

/// The longest grace before parking is counted: a week.
pub const MAX_GRACE: Duration = Duration::from_hours(7 * 24);

const MINUTES_OF_DAY: u16 = 1440;

/// What is wrong with a document, and where.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Flaw {
    /// The element, counted from 1; `None` where it is the document's.
    pub element: Option<usize>,
    /// The field, by its name in the document.
    pub field: &'static str,
    /// What is wrong with it, in lower case.
    pub problem: &'static str,
    /// What the chain says to it: its numbers are the bound and what was found.
    pub rejection: Rejection,
}

impl std::fmt::Display for Flaw {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(element) = self.element {
            write!(f, "element {element}, ")?;
        }
        write!(f, "{}: {}", self.field, self.problem)?;
        match (self.rejection.expected, self.rejection.found) {
            (Some(expected), Some(found)) => write!(f, " (expected {expected}, found {found})"),
            (Some(_) | None, None) | (None, Some(_)) => Ok(()),
        }
    }
}

/// Whether a document is a tariff that can be billed: the first rule of this module that it breaks.
///
/// # Errors
/// [`Code::TooMany`] for a list that is too long, else [`Code::InvalidTariff`]; numbers give the bound and what was found.
pub fn validate(tariff: &Tariff) -> Result<(), Rejection> {
    find_flaw(tariff).map_err(|flaw| flaw.rejection)
}

/// As [`validate`], with the place and in words.
///
/// # Errors
/// The [`Flaw`].
pub fn find_flaw(tariff: &Tariff) -> Result<(), Flaw> {
    let flaw = |field, problem, rejection| Flaw { element: None, field, problem, rejection };
    Zone::parse(&tariff.time_zone)
        .map_err(|rejection| flaw("time_zone", "no POSIX TZ rule such as CET-1CEST,M3.5.0,M10.5.0/3", rejection))?;
    let most = |field, bound: u64, found: u64| {
        if found > bound { Err(flaw(field, "above the highest value that is allowed", invalid(bound, found))) } else { Ok(()) }
    };
    most("vat_basis_points", MAX_VAT_BASIS_POINTS.into(), tariff.vat_basis_points.into())?;
    for (field, price) in [("min_price", tariff.min_price), ("max_price", tariff.max_price)] {
        most(field, MAX_PRICE.micro(), price.map_or(0, Amount::micro))?;
    }
    if let (Some(least), Some(highest)) = (tariff.min_price, tariff.max_price)
        && least > highest
    {
        return Err(flaw("max_price", "below the least price", invalid(least.micro(), highest.micro())));
    }
    most("parking_grace", MAX_GRACE.ms(), tariff.parking_grace.ms())?;
    check_count(tariff.elements.len(), MAX_ELEMENTS).map_err(|(problem, rejection)| flaw("elements", problem, rejection))?;
    for (number, element) in (1_usize..).zip(&tariff.elements) {
        check_element(element).map_err(|(field, problem, rejection)| Flaw { element: Some(number), field, problem, rejection })?;
    }
    Ok(())
}

const fn invalid(expected: u64, found: u64) -> Rejection {
    Rejection::of(Code::InvalidTariff, expected, found)
}

type Wrong = (&'static str, &'static str, Rejection);

fn check_count(found: usize, most: usize) -> Result<(), (&'static str, Rejection)> {
    if found == 0 {
        return Err(("empty", invalid(1, 0)));
    }
    if found > most {
        return Err(("too many entries", Rejection::of(Code::TooMany, most as u64, found as u64)));
    }
    Ok(())
}

fn check_element(element: &TariffElement) -> Result<(), Wrong> {
    const COMPONENTS: &str = "price_components";
    check_count(element.price_components.len(), MAX_COMPONENTS).map_err(|(problem, rejection)| (COMPONENTS, problem, rejection))?;
    let mut seen: Vec<TariffDimension> = Vec::new();
    for component in &element.price_components {
        if seen.contains(&component.dimension) {
            return Err((COMPONENTS, "two prices of one dimension", Code::InvalidTariff.into()));
        }
        seen.push(component.dimension);
        if component.price > MAX_PRICE {
            let rejection = invalid(MAX_PRICE.micro(), component.price.micro());
            return Err((COMPONENTS, "a price above the highest that is allowed, in micro-tokens", rejection));
        }
    }
    check_restrictions(&element.restrictions)?;
    if seen.contains(&TariffDimension::Flat) { check_flat(&element.restrictions) } else { Ok(()) }
}

fn check_restrictions(restrictions: &TariffRestrictions) -> Result<(), Wrong> {
    let TariffRestrictions { start_time, end_time, day_of_week, min_energy, max_energy, min_power, max_power, min_duration, max_duration } =
        restrictions;
    for (field, minute) in [("start_time", start_time), ("end_time", end_time)] {
        if let Some(minute) = minute.filter(|minute| *minute >= MINUTES_OF_DAY) {
            let rejection = invalid(u64::from(MINUTES_OF_DAY.saturating_sub(1)), u64::from(minute));
            return Err((field, "no minute of the day", rejection));
        }
    }
    // Strictly ascending: each day once, in the order of the week, so that one set of days has one encoding.
    if !day_of_week.iter().zip(day_of_week.iter().skip(1)).all(|(day, next)| day < next) {
        return Err(("day_of_week", "days twice or not in the order of the week", Code::InvalidTariff.into()));
    }
    let bounds: [(&'static str, Option<u64>, Option<u64>); 3] = [
        ("max_energy", min_energy.map(|energy| energy.get()), max_energy.map(|energy| energy.get())),
        ("max_power", min_power.map(|power| power.get().into()), max_power.map(|power| power.get().into())),
        ("max_duration", min_duration.map(|span| span.ms()), max_duration.map(|span| span.ms())),
    ];
    for (field, least, below) in bounds {
        let least = least.unwrap_or(0);
        if let Some(below) = below.filter(|below| *below <= least) {
            return Err((field, "not above the least, so that the element would never hold", invalid(least.saturating_add(1), below)));
        }
    }
    Ok(())
}

/// FLAT is judged at the first grant, where nothing was metered and no time has passed, and where there is no power yet.
fn check_flat(restrictions: &TariffRestrictions) -> Result<(), Wrong> {
    const PROBLEM: &str = "FLAT is due by what holds when a session begins, and this does not hold, or is not known, then";
    let never = [
        ("min_energy", restrictions.min_energy.is_some_and(|energy| !energy.is_zero())),
        ("min_duration", restrictions.min_duration.is_some_and(|span| !span.is_zero())),
        ("min_power", restrictions.min_power.is_some()),
        ("max_power", restrictions.max_power.is_some()),
    ];
    match never.into_iter().find(|(_, wrong)| *wrong) {
        Some((field, _)) => Err((field, PROBLEM, Code::InvalidTariff.into())),
        None => Ok(()),
    }
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
            min_price: Some(MAX_PRICE),
            max_price: Some(MAX_PRICE),
            vat_basis_points: MAX_VAT_BASIS_POINTS,
            parking_grace: MAX_GRACE,
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
    fn rejects_what_would_never_hold_or_is_out_of_range() {
        let invalid = |expected, found| Rejection::of(Code::InvalidTariff, expected, found);
        let wh = |wh| Some(WattHours::new(wh));
        assert_eq!(refused(|tariff| tariff.min_price = Some(Amount::from_micro(1_000_000_001))), invalid(1_000_000_000, 1_000_000_001));
        assert_eq!(refused(|tariff| tariff.max_price = Some(Amount::from_micro(1_000_000_001))), invalid(1_000_000_000, 1_000_000_001));
        assert_eq!(refused(|tariff| tariff.max_price = Some(Amount::from_micro(999_999_999))), invalid(1_000_000_000, 999_999_999));
        let week = MAX_GRACE.ms();
        assert_eq!(refused(|tariff| tariff.parking_grace = Duration::from_ms(week + 1)), invalid(week, week + 1));
        assert_eq!(refused_by(|when| when.max_energy = wh(0)), invalid(1, 0));
        assert_eq!(refused_by(|when| (when.min_energy, when.max_energy) = (wh(5), wh(5))), invalid(6, 5));
        assert_eq!(refused_by(|when| (when.min_power, when.max_power) = (Some(Watts::new(2)), Some(Watts::new(1)))), invalid(3, 1));
        assert_eq!(refused_by(|when| when.max_duration = Some(Duration::ZERO)), invalid(1, 0));
    }

    #[test]
    fn a_price_per_session_asks_for_nothing_that_is_not_known_when_a_session_begins() {
        let plainly_invalid = Rejection::new(Code::InvalidTariff);
        assert_eq!(refused_by(|when| when.max_power = Some(Watts::new(1))), plainly_invalid);
        assert_eq!(refused_by(|when| when.min_power = Some(Watts::ZERO)), plainly_invalid);
        assert_eq!(refused_by(|when| when.min_energy = Some(WattHours::new(1))), plainly_invalid);
        assert_eq!(refused_by(|when| when.min_duration = Some(Duration::from_ms(1))), plainly_invalid);
        let mut held = largest();
        let when = &mut held.elements[31].restrictions;
        (when.min_energy, when.max_energy) = (Some(WattHours::ZERO), Some(WattHours::new(1)));
        (when.min_duration, when.max_duration) = (Some(Duration::ZERO), Some(Duration::from_ms(1)));
        validate(&held).unwrap();
        // Without FLAT all of them are for the others.
        held.elements[31].price_components = vec![component(TariffDimension::ParkingTime, 1), component(TariffDimension::Time, 1)];
        let when = &mut held.elements[31].restrictions;
        (when.min_energy, when.max_energy) = (Some(WattHours::new(1)), None);
        (when.min_power, when.max_power) = (Some(Watts::new(1)), Some(Watts::new(2)));
        validate(&held).unwrap();
    }

    #[test]
    fn a_flaw_names_its_element_and_field() {
        let mut tariff = largest();
        tariff.elements[1].restrictions.end_time = Some(1440);
        let text = find_flaw(&tariff).unwrap_err().to_string();
        assert_eq!(text, "element 2, end_time: no minute of the day (expected 1439, found 1440)");
        tariff.time_zone = "Europe/Oslo".to_owned();
        assert_eq!(find_flaw(&tariff).unwrap_err().to_string(), "time_zone: no POSIX TZ rule such as CET-1CEST,M3.5.0,M10.5.0/3");
    }
}
