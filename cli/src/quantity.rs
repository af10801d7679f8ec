//! What people type and read: tokens, kWh, amperes, durations and local times, to and from the ledger's whole numbers.
//!
//! Reading is strict and says what was expected; writing never rounds. Local means the zone of this machine (`TZ`), or of nobody: UTC. Called by the
//! commands and by [`crate::describe`].

use chain::{
    hash::Hash32,
    quantity::{Amount, Currents, WattHours},
    time::{Duration, Timestamp},
};
use jiff::{Zoned, tz::TimeZone};

/// Reads tokens, such as `12.5`.
///
/// # Errors
/// What was expected.
pub fn parse_tokens(text: &str) -> Result<Amount, String> {
    not_below_zero(text, "amounts are")?;
    Amount::parse_tokens(text).ok_or_else(|| "expected tokens such as 12 or 12.5, with a point and at most six decimals".to_owned())
}

/// Refuses a minus, which no quantity here has.
fn not_below_zero(text: &str, what: &str) -> Result<(), String> {
    if text.trim_start().starts_with(['-', '\u{2212}']) { Err(format!("{what} positive: leave out the minus")) } else { Ok(()) }
}

/// Reads an energy in kWh, such as `7.5`, to the Wh.
///
/// # Errors
/// What was expected.
pub fn parse_kwh(text: &str) -> Result<WattHours, String> {
    not_below_zero(text, "energies are")?;
    let bare = text.strip_suffix("kWh").unwrap_or(text).trim_end();
    thousandths(bare)
        .map(WattHours::new)
        .ok_or_else(|| "expected kWh such as 10 or 7.5, with a point and at most three decimals".to_owned())
}

/// Reads currents in amperes: `16` for three phases alike, or `16,0,0` for L1, L2 and L3.
///
/// # Errors
/// What was expected.
pub fn parse_currents(text: &str) -> Result<Currents, String> {
    not_below_zero(text, "currents are")?;
    let expected = || "expected amperes such as 16 for three phases alike, or 32,0,0 for L1,L2,L3, with at most three decimals".to_owned();
    let phases: Vec<u32> = text
        .split(',')
        .map(|phase| thousandths(phase.trim().trim_end_matches('A').trim_end()).and_then(|ma| u32::try_from(ma).ok()))
        .collect::<Option<_>>()
        .ok_or_else(expected)?;
    match phases.as_slice() {
        [all] => Ok(Currents::from_ma([*all; 3])),
        [l1, l2, l3] => Ok(Currents::from_ma([*l1, *l2, *l3])),
        _ => Err(expected()),
    }
}

/// Reads a duration such as `8h`, `90m`, `1h30m`, `2d` or `45s`.
///
/// # Errors
/// What was expected.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let parse = || {
        let mut rest = text;
        let mut total: u64 = 0;
        while !rest.is_empty() {
            let digits = rest.find(|character: char| !character.is_ascii_digit()).filter(|digits| *digits > 0)?;
            let (number, after) = rest.split_at_checked(digits)?;
            let unit = after.chars().next()?;
            let unit_ms = match unit {
                'd' => 86_400_000,
                'h' => 3_600_000,
                'm' => 60_000,
                's' => 1_000,
                _ => return None,
            };
            total = total.checked_add(number.parse::<u64>().ok()?.checked_mul(unit_ms)?)?;
            rest = after.strip_prefix(unit)?;
        }
        (total > 0).then_some(Duration::from_ms(total))
    };
    parse().ok_or_else(|| "expected a duration such as 8h, 90m, 1h30m, 2d or 45s".to_owned())
}

/// A point in time as it is typed: absolute, or relative to the node's clock, which only the caller knows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Instant {
    /// This one.
    At(Timestamp),
    /// So long after now.
    In(Duration),
    /// The next time that local clocks show this, in minutes after midnight.
    Clock(u16),
}

impl Instant {
    /// The point in time, seen from `now`.
    #[must_use]
    pub fn resolve(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(at) => at,
            Self::In(span) => now.saturating_add(span),
            Self::Clock(minutes) => next_clock(now, minutes).unwrap_or(now),
        }
    }
}

/// Reads `07:30` (the next time it is that), `+8h` (from now), or ISO 8601 with or without a zone (`2026-11-23T07:30`, local, or `…+01:00`, or `…Z`).
///
/// # Errors
/// What was expected.
pub fn parse_instant(text: &str) -> Result<Instant, String> {
    if let Some(span) = text.strip_prefix('+') {
        return parse_duration(span).map(Instant::In);
    }
    if let Ok(minutes) = parse_clock(text) {
        return Ok(Instant::Clock(minutes));
    }
    let absolute = text.parse::<jiff::Timestamp>().ok().or_else(|| {
        let local = text.parse::<jiff::civil::DateTime>().ok()?;
        local.to_zoned(TimeZone::system()).ok().map(|zoned| zoned.timestamp())
    });
    absolute
        .and_then(|at| u64::try_from(at.as_millisecond()).ok())
        .map(|ms| Instant::At(Timestamp::from_ms(ms)))
        .ok_or_else(|| "expected a time such as 07:30, +8h, 2026-11-23T07:30 (local) or 2026-11-23T06:30:00Z".to_owned())
}

/// Reads a time of day such as `22:00`, in minutes after midnight.
///
/// # Errors
/// What was expected.
pub fn parse_clock(text: &str) -> Result<u16, String> {
    let parse = || {
        let (hours, minutes) = text.split_once(':')?;
        let digits =
            |part: &str| (part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit())).then(|| part.parse::<u16>().ok()).flatten();
        let (hours, minutes) = (digits(hours)?, digits(minutes)?);
        (hours < 24 && minutes < 60).then(|| hours.saturating_mul(60).saturating_add(minutes))
    };
    parse().ok_or_else(|| "expected a time of day such as 22:00".to_owned())
}

/// Reads 64 hexadecimal digits.
///
/// # Errors
/// What was expected.
pub fn parse_hash(text: &str) -> Result<Hash32, String> {
    Hash32::from_hex(text).ok_or_else(|| format!("expected 64 hexadecimal digits, found {} characters", text.chars().count()))
}

/// So many of what is named: `1 session`, `2 sessions`.
#[must_use]
pub fn count(number: u64, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

/// Tokens with their currency, at least two decimals and no needless zero: `12.50 EUR`.
#[must_use]
pub fn tokens(amount: Amount, currency: &str) -> String {
    let text = amount.to_string();
    let trimmed = text.trim_end_matches('0');
    let decimals = trimmed.split_once('.').map_or(0, |(_, decimals)| decimals.len());
    let padding = "0".repeat(2_usize.saturating_sub(decimals));
    format!("{trimmed}{padding} {currency}")
}

/// Energy in kWh to the Wh: `7.500 kWh`.
#[must_use]
pub fn kwh(energy: WattHours) -> String {
    format!("{}.{:03} kWh", energy.get() / 1000, energy.get() % 1000)
}

/// Currents in amperes: `3 x 16 A`, `32/0/0 A` where the phases differ, `0 A` for none.
#[must_use]
pub fn amperes(currents: Currents) -> String {
    let one = |ma: u32| match ma % 1000 {
        0 => (ma / 1000).to_string(),
        rest => format!("{}.{}", ma / 1000, format!("{rest:03}").trim_end_matches('0')),
    };
    let [l1, l2, l3] = currents.ma();
    if currents.is_zero() {
        return "0 A".to_owned();
    }
    if l1 == l2 && l2 == l3 { format!("3 x {} A", one(l1)) } else { format!("{}/{}/{} A", one(l1), one(l2), one(l3)) }
}

/// A duration in at most two units: `1 h 30 min`.
#[must_use]
pub fn duration(span: Duration) -> String {
    let seconds = span.ms() / 1000;
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    let units = [(days, "d"), (hours, "h"), (minutes, "min"), (seconds % 60, "s")];
    let shown: Vec<String> = units
        .iter()
        .skip_while(|(number, _)| *number == 0)
        .take(2)
        .filter(|(number, _)| *number > 0)
        .map(|(number, unit)| format!("{number} {unit}"))
        .collect();
    if shown.is_empty() { format!("{} ms", span.ms()) } else { shown.join(" ") }
}

/// A point in time, local: `2026-11-22T17:05:03+01:00`, which can be typed again.
#[must_use]
pub fn time(at: Timestamp) -> String {
    zoned(at).map_or_else(|| format!("{} ms after 1970", at.ms()), |zoned| zoned.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string())
}

/// A time of day from minutes after midnight.
#[must_use]
pub fn clock(minutes: u16) -> String {
    format!("{:02}:{:02}", minutes / 60, minutes % 60)
}

fn zoned(at: Timestamp) -> Option<Zoned> {
    let at = jiff::Timestamp::from_millisecond(i64::try_from(at.ms()).ok()?).ok()?;
    Some(at.to_zoned(TimeZone::system()))
}

fn next_clock(now: Timestamp, minutes: u16) -> Option<Timestamp> {
    let now = zoned(now)?;
    let time = jiff::civil::time(i8::try_from(minutes / 60).ok()?, i8::try_from(minutes % 60).ok()?, 0, 0);
    let today = now.date().to_datetime(time).to_zoned(TimeZone::system()).ok()?;
    let next = if today > now { today } else { now.date().tomorrow().ok()?.to_datetime(time).to_zoned(TimeZone::system()).ok()? };
    u64::try_from(next.timestamp().as_millisecond()).ok().map(Timestamp::from_ms)
}

/// A decimal number in thousandths; at most three decimals.
fn thousandths(text: &str) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || fraction.len() > 3 {
        return None;
    }
    let fraction: u64 = format!("{fraction:0<3}").parse().ok()?;
    whole.parse::<u64>().ok()?.checked_mul(1000)?.checked_add(fraction)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_is_what_is_meant_or_it_is_refused() {
        assert_eq!(parse_tokens("12.5"), Ok(Amount::from_micro(12_500_000)));
        assert_eq!(parse_kwh("7.5"), Ok(WattHours::new(7_500)));
        assert_eq!(parse_kwh("10kWh"), Ok(WattHours::new(10_000)));
        assert_eq!(parse_currents("16"), Ok(Currents::from_ma([16_000; 3])));
        assert_eq!(parse_currents("32,0,6.5"), Ok(Currents::from_ma([32_000, 0, 6_500])));
        assert_eq!(parse_duration("8h"), Ok(Duration::from_hours(8)));
        assert_eq!(parse_duration("1h30m"), Ok(Duration::from_mins(90)));
        assert_eq!(parse_clock("22:05"), Ok(1_325));
        assert_eq!(parse_instant("2026-11-23T06:30:00Z"), Ok(Instant::At(Timestamp::from_ms(1_795_415_400_000))));
        assert_eq!(parse_instant("+90m").map(|at| at.resolve(Timestamp::from_ms(5))), Ok(Timestamp::from_ms(5_400_005)));
        for wrong in ["", "-1", "1,5", "1.", ".5", "1e3", "0x10", " 1"] {
            assert!(parse_tokens(wrong).is_err(), "{wrong:?} tokens");
            assert!(parse_kwh(wrong).is_err(), "{wrong:?} kWh");
            assert!(parse_duration(wrong).is_err(), "{wrong:?} duration");
            assert!(parse_instant(wrong).is_err(), "{wrong:?} instant");
        }
        assert!(parse_currents("16,16").is_err());
        assert!(parse_kwh("1.2345").is_err(), "less than a Wh is not silently dropped");
        assert!(parse_duration("0h").is_err());
        assert!(parse_duration("99999999999999999999h").is_err());
        assert!(parse_clock("24:00").is_err());
    }

    #[test]
    fn what_is_shown_can_be_typed_again() {
        assert_eq!(tokens(Amount::from_micro(12_500_000), "EUR"), "12.50 EUR");
        assert_eq!(tokens(Amount::from_micro(3), "EUR"), "0.000003 EUR");
        assert_eq!(tokens(Amount::from_micro(100_000_000), "EUR"), "100.00 EUR");
        assert_eq!(kwh(WattHours::new(7_005)), "7.005 kWh");
        assert_eq!(amperes(Currents::from_ma([16_000; 3])), "3 x 16 A");
        assert_eq!(amperes(Currents::from_ma([6_500, 0, 0])), "6.5/0/0 A");
        assert_eq!(amperes(Currents::ZERO), "0 A");
        assert_eq!(duration(Duration::from_mins(90)), "1 h 30 min");
        assert_eq!(duration(Duration::from_hours(48)), "2 d");
        assert_eq!(duration(Duration::from_ms(20)), "20 ms");
        let at = Timestamp::from_ms(1_795_415_400_000);
        assert_eq!(parse_instant(&time(at)), Ok(Instant::At(at)), "{}", time(at));
    }

    #[test]
    fn a_time_of_day_is_the_next_one() {
        let now = Timestamp::from_ms(1_795_415_400_000);
        for minutes in [0, 1, 7 * 60, 1_439] {
            let next = Instant::Clock(minutes).resolve(now);
            let ahead = next.since(now);
            assert!(ahead > Duration::ZERO && ahead <= Duration::from_hours(25), "{minutes}: {ahead:?}");
        }
    }
}
