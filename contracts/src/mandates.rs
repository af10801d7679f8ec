//! What accounts let gateways start in their names: how much of a mandate a day's sessions use, and which prices a tariff may reach under it.
//!
//! Granting, binding and opening are calls of their own. Settling comes here through [`crate::sessions`], to give back what a session did not cost.

use chain::{
    code::{Code, Rejection},
    id::{Address, CondominiumId, SessionId},
    quantity::Amount,
    record::{Key, MandateDay, MandateTerms, MandateUse, Session},
    tariff::{Tariff, TariffDimension},
    time::{Duration, Timestamp},
};

use crate::{failure::Fault, ledger::Ledger};

/// The longest that a mandate may hold: 366 days.
pub const MAX_VALIDITY: Duration = Duration::from_hours(366 * 24);

/// The most connectors that a mandate may name.
pub const MAX_NAMED_CONNECTORS: usize = 64;

/// The most cards that are bound in a condominium.
pub const MAX_CARDS: u32 = 4_096;

const MS_PER_DAY: u64 = 24 * 3_600_000;

/// The UTC day of an instant, in days since the epoch.
#[must_use]
pub const fn day_of(at: Timestamp) -> u64 {
    match at.ms().checked_div(MS_PER_DAY) {
        Some(day) => day,
        None => 0,
    }
}

/// What the sessions of a day use of an account's mandate for a condominium.
///
/// # Errors
/// [`Fault`] where this machine cannot say.
pub fn used_on(ledger: &Ledger<'_>, account: Address, condominium: CondominiumId, day: u64) -> Result<Amount, Fault> {
    let used: Option<MandateDay> = ledger.get(&Key::MandateDay(account, condominium))?;
    Ok(used.filter(|used| used.day == day).map_or(Amount::ZERO, |used| used.used))
}

/// Whether no element of a tariff has a higher price than a mandate accepts: a queue may move a charge into any of them.
///
/// # Errors
/// [`Code::MandatePrice`] with the accepted price and the tariff's, per kWh first, then per hour.
pub fn check_prices(terms: &MandateTerms, tariff: &Tariff) -> Result<(), Rejection> {
    let dearest = |dimensions: &[TariffDimension]| {
        let components = tariff.elements.iter().flat_map(|element| &element.price_components);
        components.filter(|component| dimensions.contains(&component.dimension)).map(|component| component.price).max().unwrap_or_default()
    };
    for (accepted, found) in [
        (terms.max_price_per_kwh, dearest(&[TariffDimension::Energy])),
        (terms.max_price_per_hour, dearest(&[TariffDimension::Time, TariffDimension::ParkingTime])),
    ] {
        if found > accepted {
            return Err(Rejection::of(Code::MandatePrice, accepted.micro(), found.micro()));
        }
    }
    Ok(())
}

/// Whether a session may lock `amount` under terms of which `used` is used today; gives what is used with it.
///
/// # Errors
/// [`Code::MandateSession`] and [`Code::MandateDay`], each with the limit and what would be counted.
pub(crate) fn count(terms: &MandateTerms, used: Amount, amount: Amount) -> Result<Amount, Rejection> {
    if amount > terms.max_per_session {
        return Err(Rejection::of(Code::MandateSession, terms.max_per_session.micro(), amount.micro()));
    }
    let used = Amount::from_micro(used.micro().saturating_add(amount.micro()));
    if used > terms.max_per_day {
        return Err(Rejection::of(Code::MandateDay, terms.max_per_day.micro(), used.micro()));
    }
    Ok(used)
}

/// A session is settled: where it was opened under a mandate, what it did not cost may be used again on the day of its opening.
pub(crate) fn settled(ledger: &mut Ledger<'_>, id: SessionId, session: &Session, paid: Amount) -> Result<(), Fault> {
    let key = Key::MandateUse(id);
    let Some(counted) = ledger.get::<MandateUse>(&key)? else { return Ok(()) };
    ledger.delete(&key);
    let key = Key::MandateDay(session.account, session.connector.condominium);
    let Some(today) = ledger.get::<MandateDay>(&key)?.filter(|today| today.day == counted.day) else { return Ok(()) };
    // What its owner has added to it was never counted.
    let used = today.used.saturating_sub(counted.amount.saturating_sub(paid));
    ledger.put(&key, &MandateDay { used, ..today })
}
