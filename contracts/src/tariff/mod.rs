//! Tariffs: which documents are valid, which version is in force, what a session costs under one, and what a charge will cost.
//!
//! Semantics and names are OCPI 2.3's (`mod_tariffs`): ENERGY, TIME, PARKING_TIME and FLAT under all restrictions that the document has, with a least and a
//! highest price; steps are of one unit and prices include tax. Nothing here writes the state. Called by handlers, block execution, the gateway, the API,
//! clients and audits, which therefore all show and bill the same prices.

mod line;
mod price;
mod quote;
mod schedule;
mod validate;
#[cfg(test)]
mod vector_tests;
mod zone;

use chain::{
    id::TariffId,
    record::{Key, TariffHead, TariffVersion},
    tariff::TariffDimension,
    time::Timestamp,
};

pub use self::{
    line::{Interval, MAX_INTERVAL},
    price::{
        Counted, counts_time, due, energy_cost, energy_within, flat_cost, has, interval_cost, is_spent, next_edge, power_edges, price_at,
    },
    quote::{Quote, QuoteRequest, quote},
    validate::{Flaw, MAX_COMPONENTS, MAX_ELEMENTS, MAX_GRACE, MAX_PRICE, MAX_VAT_BASIS_POINTS, find_flaw, validate},
    zone::{LAST_INSTANT, LocalTime, MAX_ZONE_BYTES, Period, Zone},
};
use crate::{failure::Fault, ledger::Ledger};

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

/// The first version, from the one in force at `now` on, that has a price for PARKING_TIME; `None` where none has, or the tariff is unknown.
///
/// # Errors
/// [`Fault`] where the disk fails or a version is missing.
pub(crate) fn parking_version(ledger: &Ledger<'_>, tariff: TariffId, now: Timestamp) -> Result<Option<u32>, Fault> {
    let Some(head) = ledger.get::<TariffHead>(&Key::TariffHead(tariff))? else { return Ok(None) };
    let first = in_force(ledger, tariff, now)?.map_or(1, |(number, _)| number);
    for number in first..=head.latest {
        let found = version(ledger, tariff, number)?.ok_or_else(|| Fault(format!("version {number} of tariff {tariff} is missing")))?;
        if has(&found.tariff, TariffDimension::ParkingTime) {
            return Ok(Some(number));
        }
    }
    Ok(None)
}
