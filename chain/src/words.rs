//! Numbers of the ledger as people write them, for texts that leave the machine: tokens, kWh, amperes, UTC times.
//!
//! Writing never rounds. A program that knows its reader's time zone writes times itself. Called by the API and by the clients.

use crate::{api::Unit, quantity::Amount, time::Timestamp};

/// A number with its unit: `12.5 tokens`, `7.5 kWh`, `16 A`, `1 h 30 min`, `2026-11-22T16:05:03Z`.
#[must_use]
pub fn in_words(unit: Unit, number: u64) -> String {
    match unit {
        Unit::MicroTokens => format!("{} tokens", trimmed(&Amount::from_micro(number).to_string())),
        Unit::WattHours => format!("{} kWh", thousandths(number)),
        Unit::Milliamperes => format!("{} A", thousandths(number)),
        Unit::Milliseconds => span(number),
        Unit::UnixMilliseconds => utc(Timestamp::from_ms(number)),
        Unit::Percent => format!("{number} %"),
        Unit::Bytes => format!("{number} bytes"),
        Unit::Height => format!("height {number}"),
        Unit::Count => number.to_string(),
    }
}

/// Whether a character is none that is seen, but one that acts on the text around it: controls, changes of direction, separators of lines, and those without width
/// that make two names look alike. A name has none of them, and what shows a text leaves them out.
#[must_use]
pub fn steers(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{ad}'
                | '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

/// A point in time in UTC to the second, or to the millisecond where it is not whole: `2026-11-22T16:05:03Z`.
#[must_use]
pub fn utc(at: Timestamp) -> String {
    let ms = at.ms();
    let (days, in_day) = (ms / 86_400_000, ms % 86_400_000);
    let (year, month, day) = date(days);
    let (hours, minutes, seconds, rest) = (in_day / 3_600_000, in_day / 60_000 % 60, in_day / 1000 % 60, in_day % 1000);
    let fraction = if rest == 0 { String::new() } else { format!(".{rest:03}") };
    format!("{year:04}-{month:02}-{day:02}T{hours:02}:{minutes:02}:{seconds:02}{fraction}Z")
}

/// The Gregorian date so many days after 1970-01-01.
fn date(days: u64) -> (u64, u64, u64) {
    // Counted from 1 March of the year 0, so that the leap day is a year's last; 146,097 days are 400 years.
    let days = days.saturating_add(719_468);
    let (era, in_era) = (days / 146_097, days % 146_097);
    let leaps = (in_era / 1_460).saturating_add(in_era / 146_096).saturating_sub(in_era / 36_524);
    let year = in_era.saturating_sub(leaps) / 365;
    let in_year = in_era.saturating_sub(year.saturating_mul(365).saturating_add(year / 4).saturating_sub(year / 100));
    let march_month = in_year.saturating_mul(5).saturating_add(2) / 153;
    let day = in_year.saturating_sub(march_month.saturating_mul(153).saturating_add(2) / 5).saturating_add(1);
    let (month, later) = if march_month < 10 { (march_month.saturating_add(3), 0) } else { (march_month.saturating_sub(9), 1) };
    (era.saturating_mul(400).saturating_add(year).saturating_add(later), month, day)
}

/// A duration in all the units that it has: `2 d`, `1 h 30 min`, `20 ms`.
fn span(ms: u64) -> String {
    let units = [(ms / 86_400_000, "d"), (ms / 3_600_000 % 24, "h"), (ms / 60_000 % 60, "min"), (ms / 1000 % 60, "s"), (ms % 1000, "ms")];
    let shown: Vec<String> = units.iter().filter(|(number, _)| *number > 0).map(|(number, unit)| format!("{number} {unit}")).collect();
    if shown.is_empty() { "0 s".to_owned() } else { shown.join(" ") }
}

fn thousandths(number: u64) -> String {
    trimmed(&format!("{}.{:03}", number / 1000, number % 1000))
}

/// A decimal number without needless zeros.
fn trimmed(text: &str) -> String {
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_in_whole_and_with_their_unit() {
        let cases = [
            (Unit::MicroTokens, 12_500_000, "12.5 tokens"),
            (Unit::MicroTokens, 20_000_000, "20 tokens"),
            (Unit::MicroTokens, 0, "0 tokens"),
            (Unit::MicroTokens, 1, "0.000001 tokens"),
            (Unit::WattHours, 1_000_000, "1000 kWh"),
            (Unit::WattHours, 7_005, "7.005 kWh"),
            (Unit::Milliamperes, 5_999, "5.999 A"),
            (Unit::Milliseconds, 86_400_001, "1 d 1 ms"),
            (Unit::Milliseconds, 5_400_000, "1 h 30 min"),
            (Unit::Milliseconds, 0, "0 s"),
            (Unit::Height, 7, "height 7"),
        ];
        for (unit, number, text) in cases {
            assert_eq!(in_words(unit, number), text);
        }
    }

    #[test]
    fn dates_are_right_at_the_edges_of_the_calendar() {
        let cases = [
            (0, "1970-01-01T00:00:00Z"),
            (68_169_599_999, "1972-02-28T23:59:59.999Z"),
            (68_169_600_000, "1972-02-29T00:00:00Z"),
            (951_782_400_000, "2000-02-29T00:00:00Z"),
            (951_868_800_000, "2000-03-01T00:00:00Z"),
            (1_735_689_599_000, "2024-12-31T23:59:59Z"),
            (1_795_415_400_000, "2026-11-23T06:30:00Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00Z"),
        ];
        for (ms, text) in cases {
            assert_eq!(utc(Timestamp::from_ms(ms)), text);
        }
        // A day after every day: no date is left out or given twice.
        let mut before = date(0);
        for days in 1..200_000 {
            let (year, month, day) = date(days);
            let follows = if day > 1 { (year, month, day - 1) == before } else { before.2 >= 28 && (year, month) > (before.0, before.1) };
            assert!(follows, "{days}: {before:?} {year}-{month}-{day}");
            before = (year, month, day);
        }
        assert!(utc(Timestamp::from_ms(u64::MAX)).ends_with('Z'));
    }
}
