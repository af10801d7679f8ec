//! What accounts let gateways start in their names: how much of a mandate a day's sessions use, and which prices a tariff may reach under it.
//!
//! Granting, binding and opening are calls of their own. Settling comes here through [`crate::sessions`], to give back what a session did not cost.

use chain::{
    code::{Code, Rejection},
    id::{Address, CondominiumId, SessionId},
    quantity::Amount,
    record::{Card, Hints, Key, Mandate, MandateDay, MandateTerms, MandateUse, Session},
    tariff::{Tariff, TariffDimension},
    time::{Duration, Timestamp},
};

use crate::{
    call::OpenSessionByMandate,
    context::CallContext,
    failure::{Failure, Fault},
    ledger::Ledger,
    sessions::{
        self,
        opening::{self, Opening},
    },
    tariff,
};

/// The longest that a mandate may hold: 366 days.
pub const MAX_VALIDITY: Duration = Duration::from_hours(366 * 24);

/// The most connectors that a mandate may name.
pub const MAX_NAMED_CONNECTORS: usize = 64;

/// The most cards that are bound in a condominium.
pub const MAX_CARDS: u32 = 4_096;

/// How long a start waits for its confirmation.
pub const CONFIRM_WITHIN: Duration = Duration::from_mins(10);

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

/// What a start under a mandate is checked to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Start {
    /// Who pays.
    pub account: Address,
    /// The day that it counts for.
    day: u64,
    /// What that day uses with it.
    used: Amount,
}

/// Whether a card may start a session under its account's mandate.
///
/// # Errors
/// In this order: [`Code::UnknownCard`], [`Code::NoMandate`], [`Code::MandateExpired`], [`Code::MandateConnector`], [`Code::MandateSession`],
/// [`Code::MandateDay`], [`Code::UnknownConnector`], [`Code::UnknownTariff`], [`Code::MandatePrice`].
pub(crate) fn check_start(ledger: &Ledger<'_>, context: &CallContext<'_>, call: &OpenSessionByMandate) -> Result<Start, Failure> {
    let now = context.block.timestamp;
    let site = call.connector.condominium;
    let Card { account, .. } = ledger.get(&Key::Card(site, call.card))?.ok_or(Code::UnknownCard)?;
    let mandate: Mandate = ledger.get(&Key::Mandate(account, site))?.ok_or(Code::NoMandate)?;
    if mandate.terms.expires <= now {
        return Err(Rejection::of(Code::MandateExpired, mandate.terms.expires.ms(), now.ms()).into());
    }
    if !mandate.terms.connectors.is_empty() && !mandate.terms.connectors.contains(&call.connector.number) {
        return Err(Code::MandateConnector.into());
    }
    let day = day_of(now);
    let used = count(&mandate.terms, used_on(ledger, account, site, day)?, call.max_spend)?;
    let connector = ledger.connector(call.connector)?.ok_or(Code::UnknownConnector)?;
    let (_, version) = tariff::in_force(ledger, sessions::tariff_at(site, &connector), now)?.ok_or(Code::UnknownTariff)?;
    check_prices(&mandate.terms, &version.tariff)?;
    Ok(Start { account, day, used })
}

/// Opens a session that was checked, and counts it for its day.
///
/// # Errors
/// Those of every opening; nothing is written then.
pub(crate) fn open(
    ledger: &mut Ledger<'_>,
    context: &CallContext<'_>,
    call: &OpenSessionByMandate,
    start: &Start,
) -> Result<SessionId, Failure> {
    let OpenSessionByMandate { card, connector, tariff_version, max_spend, max_duration, energy_target } = *call;
    let Start { account, day, used } = *start;
    let hints = Hints { energy_target, ..Hints::default() };
    let id = opening::open(ledger, context, &Opening { account, connector, tariff_version, max_spend, max_duration, hints })?;
    ledger.put(&Key::MandateUse(id), &MandateUse { card, day, amount: max_spend })?;
    ledger.put(&Key::MandateDay(account, connector.condominium), &MandateDay { day, used })?;
    Ok(id)
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
