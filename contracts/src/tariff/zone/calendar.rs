//! The Gregorian calendar: years, months and days of the week of days since 1970-01-01.
//!
//! It knows no clock and no zone. [`super::Zone`] alone calls it, for years from 1966 to 10001: the saturating operations here and there never saturate.

use chain::tariff::DayOfWeek;

pub(super) fn is_leap(year: i64) -> bool {
    year.rem_euclid(4) == 0 && (year.rem_euclid(100) != 0 || year.rem_euclid(400) == 0)
}

pub(super) fn days_in(month: u8, year: i64) -> i64 {
    match month {
        2 => 28_i64.saturating_add(i64::from(is_leap(year))),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 to the first of January of a year, in the Gregorian calendar.
pub(super) fn days_to_year(year: i64) -> i64 {
    let past = year.saturating_sub(1);
    let leap_days = past.div_euclid(4).saturating_sub(past.div_euclid(100)).saturating_add(past.div_euclid(400));
    past.saturating_mul(365).saturating_add(leap_days).saturating_sub(719_162)
}

/// The Gregorian year of a day since 1970-01-01.
pub(super) fn year_of(day: i64) -> i64 {
    // 146 097 days are 400 years; the estimate is at most one year off.
    let estimate = day.saturating_mul(400).div_euclid(146_097).saturating_add(1970);
    if days_to_year(estimate) > day {
        estimate.saturating_sub(1)
    } else if days_to_year(estimate.saturating_add(1)) <= day {
        estimate.saturating_add(1)
    } else {
        estimate
    }
}

pub(super) fn day_of_week(day: i64) -> DayOfWeek {
    match day.rem_euclid(7) {
        0 => DayOfWeek::Thursday,
        1 => DayOfWeek::Friday,
        2 => DayOfWeek::Saturday,
        3 => DayOfWeek::Sunday,
        4 => DayOfWeek::Monday,
        5 => DayOfWeek::Tuesday,
        _ => DayOfWeek::Wednesday,
    }
}
