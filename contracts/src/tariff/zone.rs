//! Local time by a POSIX TZ rule, such as `CET-1CEST,M3.5.0,M10.5.0/3`.
//!
//! The rule is part of a tariff's version, so that no node needs a time-zone database and two nodes never differ. It knows one rule for all years, which is
//! what the law says today: a change of the law is a new version of the tariff. How a rule is written is in [`rule`]. Nothing here knows prices. Called by
//! [`super::price`] and by whoever shows local times of a tariff.
//!
//! # Meaning
//! At an instant daylight time holds if the latest start at or before it is not earlier than the latest end at or before it. (So where both coincide, as in
//! `XXX3EDT4,0/0,J365/23`, daylight time holds for good.) Instants lie between 1970 and the end of the year 9999, UTC; later ones are refused.

use chain::{
    code::{Code, Rejection},
    tariff::DayOfWeek,
    time::Timestamp,
};

use self::{
    calendar::{day_of_week, days_in, days_to_year, is_leap, year_of},
    rule::Parser,
};

mod calendar;
mod rule;
#[cfg(test)]
mod tests;

/// The most that a rule may measure, in bytes.
pub const MAX_ZONE_BYTES: usize = 64;

/// The last instant that has a local time: 9999-12-31T23:59:59.999 UTC.
pub const LAST_INSTANT: Timestamp = Timestamp::from_ms(253_402_300_799_999);

const DAY_SECONDS: i64 = 86_400;
const HOUR_SECONDS: i64 = 3_600;

/// A parsed rule.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Zone {
    /// Seconds that standard time is ahead of UTC.
    standard: i64,
    daylight: Option<Daylight>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Daylight {
    /// Seconds that daylight time is ahead of UTC.
    ahead: i64,
    start: Change,
    end: Change,
}

/// A day of every year and a time on it, in seconds after that day's midnight.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Change {
    day: Day,
    time: i64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Day {
    /// `Mm.w.d`.
    Weekday { month: u8, week: i64, weekday: i64 },
    /// `Jn`.
    Julian(i64),
    /// `n`.
    Ordinal(i64),
}

/// What a clock on the wall shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LocalTime {
    /// Local days since 1970-01-01.
    pub day: i64,
    /// The day of the week.
    pub day_of_week: DayOfWeek,
    /// Whole minutes since local midnight, 0..1440.
    pub minute_of_day: u16,
    /// Whole seconds since local midnight, 0..86400.
    pub second_of_day: u32,
    /// Seconds that the clock is ahead of UTC.
    pub ahead_of_utc: i32,
}

/// A stretch of time in which the clock is ahead of UTC by one amount.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Period {
    /// Seconds ahead of UTC.
    ahead: i64,
    /// UTC seconds of the next start or end of daylight time; `None` where there is none.
    until: Option<i64>,
}

impl Period {
    /// The instant before which it holds; `None` where it holds for good.
    #[must_use]
    pub fn until(&self) -> Option<Timestamp> {
        self.until.and_then(|seconds| u64::try_from(seconds).ok()).map(|seconds| Timestamp::from_ms(seconds.saturating_mul(1000)))
    }

    /// The local time of an instant in this period.
    #[must_use]
    pub fn local(&self, at: Timestamp) -> LocalTime {
        let local = utc_seconds(at).saturating_add(self.ahead);
        let second = local.rem_euclid(DAY_SECONDS);
        let day = local.div_euclid(DAY_SECONDS);
        LocalTime {
            day,
            day_of_week: day_of_week(day),
            minute_of_day: u16::try_from(second / 60).unwrap_or_default(),
            second_of_day: u32::try_from(second).unwrap_or_default(),
            ahead_of_utc: i32::try_from(self.ahead).unwrap_or_default(),
        }
    }
}

impl Zone {
    /// Reads a rule.
    ///
    /// # Errors
    /// [`Code::InvalidTariff`]; with the limit and the length where it is too long.
    pub fn parse(rule: &str) -> Result<Self, Rejection> {
        if rule.len() > MAX_ZONE_BYTES {
            return Err(Rejection::of(Code::InvalidTariff, MAX_ZONE_BYTES as u64, rule.len() as u64));
        }
        Parser::read(rule).ok_or(Rejection::new(Code::InvalidTariff))
    }

    /// What a clock on the wall shows at an instant.
    ///
    /// # Errors
    /// [`Code::OverLimit`] after [`LAST_INSTANT`].
    pub fn local(&self, at: Timestamp) -> Result<LocalTime, Rejection> {
        Ok(self.period(at)?.local(at))
    }

    /// The period of constant offset that an instant lies in. It may end at an instant after which the offset is the same.
    ///
    /// # Errors
    /// [`Code::OverLimit`] after [`LAST_INSTANT`].
    pub fn period(&self, at: Timestamp) -> Result<Period, Rejection> {
        if at > LAST_INSTANT {
            return Err(Rejection::of(Code::OverLimit, LAST_INSTANT.ms(), at.ms()));
        }
        let Some(daylight) = &self.daylight else { return Ok(Period { ahead: self.standard, until: None }) };
        let now = utc_seconds(at);
        let year = year_of(now.div_euclid(DAY_SECONDS));
        let (mut last_start, mut last_end, mut until) = (i64::MIN, i64::MIN, None::<i64>);
        // A rule's time moves a change by at most a week into a neighbouring year, so the latest and the next of each kind are among these years.
        for year in year.saturating_sub(2)..=year.saturating_add(2) {
            let start = daylight.start.in_year(year, self.standard);
            let end = daylight.end.in_year(year, daylight.ahead);
            for (change, last) in [(start, &mut last_start), (end, &mut last_end)] {
                if change <= now {
                    *last = change.max(*last);
                } else {
                    until = Some(until.map_or(change, |until| until.min(change)));
                }
            }
        }
        let ahead = if last_start >= last_end { daylight.ahead } else { self.standard };
        Ok(Period { ahead, until })
    }

    /// The first instant after `after` at which the local time of day becomes one of `minutes` (ascending, each below 1440), or at which the clock is
    /// changed: between two such instants a clock on the wall shows no other of these minutes. `None` where there is none by [`LAST_INSTANT`].
    ///
    /// # Errors
    /// [`Code::OverLimit`] where `after` is after [`LAST_INSTANT`].
    pub fn next_time_edge(&self, after: Timestamp, minutes: &[u16]) -> Result<Option<Timestamp>, Rejection> {
        Ok(next_time_edge(&self.period(after)?, after, minutes))
    }

    /// The first instant after `after` at which a new local day begins. Where midnight is skipped, the day begins when the clock is set forward.
    ///
    /// # Errors
    /// [`Code::OverLimit`] where `after` or the midnight is after [`LAST_INSTANT`].
    pub fn next_local_midnight(&self, after: Timestamp) -> Result<Timestamp, Rejection> {
        let day = self.local(after)?.day;
        let mut at = after;
        // An edge is a midnight or one of at most a few changes of the clock before it; a clock that is set back past midnight shows the old day again.
        for _ in 0..16 {
            at = self.next_time_edge(at, &[0])?.ok_or(Rejection::of(Code::OverLimit, LAST_INSTANT.ms(), after.ms()))?;
            if self.local(at)?.day != day {
                return Ok(at);
            }
        }
        Err(Rejection::new(Code::InvalidTariff))
    }
}

/// [`Zone::next_time_edge`] where the period of `after` is known.
pub(super) fn next_time_edge(period: &Period, after: Timestamp, minutes: &[u16]) -> Option<Timestamp> {
    let local = period.local(after);
    let wanted = |minute: &u16| u32::from(*minute).saturating_mul(60);
    let ahead_s = match minutes.iter().map(wanted).find(|second| *second > local.second_of_day) {
        Some(second) => Some(second.saturating_sub(local.second_of_day)),
        None => minutes.first().map(|first| wanted(first).saturating_add(86_400).saturating_sub(local.second_of_day)),
    };
    let whole_second = after.ms() / 1000;
    let by_minute = ahead_s.map(|ahead| Timestamp::from_ms(whole_second.saturating_add(u64::from(ahead)).saturating_mul(1000)));
    let next = match (by_minute, period.until()) {
        (Some(minute), Some(change)) => minute.min(change),
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => return None,
    };
    (next <= LAST_INSTANT).then_some(next)
}

impl Change {
    /// Its instant in UTC seconds, given how far the clock is ahead of UTC until then.
    fn in_year(&self, year: i64, ahead: i64) -> i64 {
        let new_year = days_to_year(year);
        let day = match self.day {
            Day::Julian(day) => {
                let after_february = i64::from(is_leap(year) && day >= 60);
                new_year.saturating_add(day).saturating_sub(1).saturating_add(after_february)
            }
            Day::Ordinal(day) => new_year.saturating_add(day),
            Day::Weekday { month, week, weekday } => {
                let before: i64 = (1..month).map(|earlier| days_in(earlier, year)).sum();
                let first = new_year.saturating_add(before);
                // 1970-01-01 was a Thursday, number 4 where Sunday is 0.
                let first_weekday = first.saturating_add(4).rem_euclid(7);
                let to_first = weekday.saturating_sub(first_weekday).rem_euclid(7);
                let in_month = to_first.saturating_add(week.saturating_sub(1).saturating_mul(7));
                // Week 5 means the last such day, which may be in the fourth week.
                let in_month = if in_month >= days_in(month, year) { in_month.saturating_sub(7) } else { in_month };
                first.saturating_add(in_month)
            }
        };
        day.saturating_mul(DAY_SECONDS).saturating_add(self.time).saturating_sub(ahead)
    }
}

/// Below 2^38 up to [`LAST_INSTANT`]: no saturating operation of this file saturates.
fn utc_seconds(at: Timestamp) -> i64 {
    i64::try_from(at.ms() / 1000).unwrap_or(i64::MAX)
}
