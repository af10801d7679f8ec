//! Local time by a POSIX TZ rule, such as `CET-1CEST,M3.5.0,M10.5.0/3`.
//!
//! The rule is part of a tariff's version, so that no node needs a time-zone database and two nodes never differ. It knows one rule for all years, which is
//! what the law says today: a change of the law is a new version of the tariff. Nothing here knows prices. Called by [`super::price`] and by whoever shows
//! local times of a tariff.
//!
//! # Grammar
//! `std offset [dst [offset] , start [/time] , end [/time]]`, at most [`MAX_ZONE_BYTES`] bytes, nothing before or after.
//! - A name is three or more ASCII letters, or three or more ASCII letters, digits, `+` and `-` in angle brackets. Names have no meaning here.
//! - An offset is `[+|-]h[h][:mm[:ss]]`, at most 24:59:59, **positive to the west** of Greenwich. Without one, daylight time is an hour ahead of standard.
//! - `start` and `end` are `Mm.w.d` (month 1–12, week 1–5 where 5 is the last, day 0–6 from Sunday), `Jn` (day 1–365, 29 February is never counted) or `n`
//!   (day 0–365, 29 February is counted). A daylight name without both is refused: POSIX leaves its meaning open.
//! - `time` is `[+|-]h[h[h]][:mm[:ss]]`, −167:59:59 to 167:59:59, 02:00:00 where it is missing; that of `start` is standard time, that of `end` daylight time.
//!
//! # Meaning
//! At an instant daylight time holds if the latest start at or before it is not earlier than the latest end at or before it. (So where both coincide, as in
//! `XXX3EDT4,0/0,J365/23`, daylight time holds for good.) Instants lie between 1970 and the end of the year 9999, UTC; later ones are refused.

use chain::{
    code::{Code, Rejection},
    tariff::DayOfWeek,
    time::Timestamp,
};

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
        let mut parser = Parser { rest: rule.as_bytes() };
        parser.zone().filter(|_| parser.rest.is_empty()).ok_or(Rejection::new(Code::InvalidTariff))
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

// Years are 1966 to 10001 and seconds below 2^40 here: the saturating operations below and above never saturate.

fn utc_seconds(at: Timestamp) -> i64 {
    i64::try_from(at.ms() / 1000).unwrap_or(i64::MAX)
}

fn is_leap(year: i64) -> bool {
    year.rem_euclid(4) == 0 && (year.rem_euclid(100) != 0 || year.rem_euclid(400) == 0)
}

fn days_in(month: u8, year: i64) -> i64 {
    match month {
        2 => 28_i64.saturating_add(i64::from(is_leap(year))),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 to the first of January of a year, in the Gregorian calendar.
fn days_to_year(year: i64) -> i64 {
    let past = year.saturating_sub(1);
    let leap_days = past.div_euclid(4).saturating_sub(past.div_euclid(100)).saturating_add(past.div_euclid(400));
    past.saturating_mul(365).saturating_add(leap_days).saturating_sub(719_162)
}

/// The Gregorian year of a day since 1970-01-01.
fn year_of(day: i64) -> i64 {
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

fn day_of_week(day: i64) -> DayOfWeek {
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

/// What of a rule is still to be read. A method that gives `None` has met something that the grammar does not allow.
struct Parser<'a> {
    rest: &'a [u8],
}

impl Parser<'_> {
    fn zone(&mut self) -> Option<Zone> {
        self.name()?;
        let standard = self.offset()?;
        if self.rest.is_empty() {
            return Some(Zone { standard, daylight: None });
        }
        self.name()?;
        let ahead = match self.rest.first()? {
            b',' => standard.checked_add(HOUR_SECONDS)?,
            _ => self.offset()?,
        };
        let start = self.change()?;
        let end = self.change()?;
        Some(Zone { standard, daylight: Some(Daylight { ahead, start, end }) })
    }

    fn next_if(&mut self, wanted: impl Fn(u8) -> bool) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        if !wanted(*first) {
            return None;
        }
        self.rest = rest;
        Some(*first)
    }

    fn skip(&mut self, byte: u8) -> bool {
        self.next_if(|found| found == byte).is_some()
    }

    fn count_while(&mut self, wanted: impl Fn(u8) -> bool) -> usize {
        let mut count = 0_usize;
        while self.next_if(&wanted).is_some() {
            count = count.saturating_add(1);
        }
        count
    }

    fn name(&mut self) -> Option<()> {
        let length = if self.skip(b'<') {
            let length = self.count_while(|byte| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'-');
            self.skip(b'>').then_some(length)?
        } else {
            self.count_while(|byte| byte.is_ascii_alphabetic())
        };
        (length >= 3).then_some(())
    }

    /// Seconds ahead of UTC, the opposite of what is written.
    fn offset(&mut self) -> Option<i64> {
        self.time(2, 24)?.checked_neg()
    }

    fn change(&mut self) -> Option<Change> {
        if !self.skip(b',') {
            return None;
        }
        let day = if self.skip(b'M') {
            let month = u8::try_from(self.number(2, 1, 12)?).ok()?;
            let week = self.skip(b'.').then(|| self.number(1, 1, 5))??;
            let weekday = self.skip(b'.').then(|| self.number(1, 0, 6))??;
            Day::Weekday { month, week, weekday }
        } else if self.skip(b'J') {
            Day::Julian(self.number(3, 1, 365)?)
        } else {
            Day::Ordinal(self.number(3, 0, 365)?)
        };
        let time = if self.skip(b'/') { self.time(3, 167)? } else { HOUR_SECONDS.checked_mul(2)? };
        Some(Change { day, time })
    }

    /// `[+|-]h[:mm[:ss]]` in seconds.
    fn time(&mut self, hour_digits: usize, most_hours: i64) -> Option<i64> {
        let negative = !self.skip(b'+') && self.skip(b'-');
        let mut seconds = self.number(hour_digits, 0, most_hours)?.checked_mul(HOUR_SECONDS)?;
        for unit in [60, 1] {
            if !self.skip(b':') {
                break;
            }
            let before = self.rest.len();
            let value = self.number(2, 0, 59)?;
            if before.checked_sub(self.rest.len())? != 2 {
                return None;
            }
            seconds = seconds.checked_add(value.checked_mul(unit)?)?;
        }
        if negative { seconds.checked_neg() } else { Some(seconds) }
    }

    /// One to `digits` decimal digits with a value from `least` to `most`.
    fn number(&mut self, digits: usize, least: i64, most: i64) -> Option<i64> {
        let mut value: Option<i64> = None;
        for _ in 0..digits {
            let Some(digit) = self.next_if(|byte| byte.is_ascii_digit()) else { break };
            let digit = i64::from(digit.checked_sub(b'0')?);
            value = Some(value.unwrap_or(0).checked_mul(10)?.checked_add(digit)?);
        }
        value.filter(|value| (least..=most).contains(value))
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;
    use rand::{Rng, SeedableRng, rngs::StdRng};

    use super::*;

    const OSLO: &str = "CET-1CEST,M3.5.0,M10.5.0/3";

    fn ahead(rule: &str, seconds: u64) -> i32 {
        Zone::parse(rule).unwrap().local(Timestamp::from_ms(seconds * 1000)).unwrap().ahead_of_utc
    }

    #[test]
    fn known_changes_of_the_clock_are_met_to_the_second() {
        // (rule, last second before, ahead before, ahead after), from the published dates of these zones.
        let changes = [
            (OSLO, 1_585_443_599, 3_600, 7_200),                                  // 2020-03-29 01:00 UTC
            (OSLO, 1_603_587_599, 7_200, 3_600),                                  // 2020-10-25 01:00 UTC
            ("EST5EDT,M3.2.0,M11.1.0", 1_583_650_799, -18_000, -14_400),          // 2020-03-08 07:00 UTC
            ("EST5EDT,M3.2.0,M11.1.0", 1_604_210_399, -14_400, -18_000),          // 2020-11-01 06:00 UTC
            ("AEST-10AEDT,M10.1.0,M4.1.0/3", 1_586_015_999, 39_600, 36_000),      // 2020-04-04 16:00 UTC
            ("AEST-10AEDT,M10.1.0,M4.1.0/3", 1_601_740_799, 36_000, 39_600),      // 2020-10-03 16:00 UTC
            ("<-03>3<-02>,M3.5.0/-2,M10.5.0/-1", 1_711_846_799, -10_800, -7_200), // 2024-03-31 01:00 UTC
        ];
        for (rule, last, before, after) in changes {
            assert_eq!((ahead(rule, last), ahead(rule, last + 1)), (before, after), "{rule} at {last}");
        }
        assert_eq!(ahead("<+03>-3", 1_600_000_000), 10_800);
        assert_eq!(ahead("<+0545>-5:45", 0), 20_700);
        assert_eq!(ahead("XXX3EDT4,0/0,J365/23", 1_577_847_600), -14_400, "daylight time for good");
    }

    #[test]
    fn refuses_what_is_no_rule() {
        let long = format!("<{}>0", "A".repeat(62));
        for rule in [
            "",
            "CET",
            "CE-1",
            "CET-1CEST",
            "CET-1CEST,M3.5.0",
            "CET-1CEST,M3.5.0,M10.5.0/3 ",
            " CET-1",
            "CET-25",
            "CET-1:60",
            "CET-1:5",
            "CET-",
            "<CET-1",
            "<C>-1",
            "CET-1CEST,M13.5.0,M10.5.0",
            "CET-1CEST,M3.0.0,M10.5.0",
            "CET-1CEST,M3.6.0,M10.5.0",
            "CET-1CEST,M3.5.7,M10.5.0",
            "CET-1CEST,J0,J365",
            "CET-1CEST,J366,J365",
            "CET-1CEST,366,1",
            "CET-1CEST,M3.5.0/168,M10.5.0",
            "CET-1CEST,M3.5.0,M10.5.0/-168",
            "CET-001",
            "C3T-1",
            "CET-1CEST,M3.5.0;M10.5.0",
            "Europe/Oslo",
            "CÉT-1",
        ] {
            assert_eq!(Zone::parse(rule), Err(Rejection::new(Code::InvalidTariff)), "{rule:?}");
        }
        assert_eq!(Zone::parse(&long), Err(Rejection::of(Code::InvalidTariff, 64, 65)));
        assert!(Zone::parse("CET-24:59:59CEST-23,M3.5.0/-167:59:59,J365/167").is_ok());
    }

    #[test]
    fn local_time_reaches_to_the_end_of_the_year_9999_and_no_further() {
        let zone = Zone::parse(OSLO).unwrap();
        let last = zone.local(LAST_INSTANT).unwrap();
        assert_eq!((last.day_of_week, last.minute_of_day, last.second_of_day), (DayOfWeek::Saturday, 59, 3_599));
        let beyond = LAST_INSTANT.ms() + 1;
        let refused = Rejection::of(Code::OverLimit, LAST_INSTANT.ms(), beyond);
        assert_eq!(zone.local(Timestamp::from_ms(beyond)), Err(refused));
        assert_eq!(zone.local(Timestamp::from_ms(u64::MAX)), Err(Rejection::of(Code::OverLimit, LAST_INSTANT.ms(), u64::MAX)));
        let first = Zone::parse("EST5").unwrap().local(Timestamp::from_ms(0)).unwrap();
        assert_eq!((first.day, first.day_of_week, first.minute_of_day), (-1, DayOfWeek::Wednesday, 19 * 60));
    }

    #[test]
    fn every_day_of_twelve_thousand_years_has_its_year() {
        let mut day = days_to_year(-1_000);
        for year in -1_000..11_000 {
            let length = if is_leap(year) { 366 } else { 365 };
            assert_eq!(days_to_year(year), day);
            assert_eq!((year_of(day), year_of(day + 1), year_of(day + length - 1)), (year, year, year));
            day += length;
        }
    }

    #[test]
    fn days_begin_at_midnight_or_when_the_clock_skips_it() {
        let zone = Zone::parse(OSLO).unwrap();
        // 2020-03-28 12:00 UTC: the next local midnight is 23:00 UTC, the one after it 22:00 UTC because an hour is skipped.
        let first = zone.next_local_midnight(Timestamp::from_ms(1_585_396_800_000)).unwrap();
        assert_eq!(first.ms(), 1_585_436_400_000);
        assert_eq!(zone.next_local_midnight(first).unwrap().ms(), 1_585_519_200_000);
        // Cuba sets the clock forward at midnight: 2024-03-10 05:00 UTC shows 01:00 of the new day.
        let cuba = Zone::parse("CST5CDT,M3.2.0/0,M11.1.0/1").unwrap();
        let begins = cuba.next_local_midnight(Timestamp::from_ms(1_710_046_800_000 - 1)).unwrap();
        assert_eq!((begins.ms(), cuba.local(begins).unwrap().minute_of_day), (1_710_046_800_000, 60));
    }

    /// Compares the local time at an instant with what another implementation says.
    fn assert_like(zone: &Zone, reference: &TimeZone, rule: &str, at: u64) {
        let ours = zone.local(Timestamp::from_ms(at)).unwrap();
        let theirs = reference.to_datetime(jiff::Timestamp::from_millisecond(i64::try_from(at).unwrap()).unwrap());
        let seconds = (i64::from(theirs.hour()) * 60 + i64::from(theirs.minute())) * 60 + i64::from(theirs.second());
        let days = jiff::civil::date(1970, 1, 1).until(theirs.date()).unwrap().get_days();
        let weekday = theirs.weekday().to_monday_zero_offset();
        assert_eq!((ours.day, i64::from(ours.second_of_day)), (i64::from(days), seconds), "{rule} at {at}");
        assert_eq!((ours.day_of_week as i8, i64::from(ours.minute_of_day)), (weekday, seconds / 60), "{rule} at {at}");
    }

    /// Asks around every change of the clock that we see in the year after `from`.
    fn assert_changes_like(zone: &Zone, reference: &TimeZone, rule: &str, from: u64) {
        let mut at = Timestamp::from_ms(from);
        for _ in 0..4 {
            let Some(change) = zone.period(at).unwrap().until().filter(|change| *change <= LAST_INSTANT) else { return };
            assert_like(zone, reference, rule, change.ms() - 1);
            assert_like(zone, reference, rule, change.ms());
            at = change;
        }
    }

    #[test]
    fn local_times_are_those_of_the_time_zone_database_as_far_as_its_rules_hold() {
        let seed: u64 = rand::random();
        println!("seed {seed}");
        let mut rng = StdRng::seed_from_u64(seed);
        for (name, rule) in [
            ("Europe/Oslo", OSLO),
            ("Europe/Lisbon", "WET0WEST,M3.5.0/1,M10.5.0"),
            ("America/New_York", "EST5EDT,M3.2.0,M11.1.0"),
            ("Australia/Sydney", "AEST-10AEDT,M10.1.0,M4.1.0/3"),
            ("America/Sao_Paulo", "<-03>3"),
        ] {
            let (zone, reference) = (Zone::parse(rule).unwrap(), TimeZone::get(name).unwrap());
            for _ in 0..2_000 {
                // From 2020 to 2090: these rules have held all the time, Sao Paulo's since 2019.
                let at = rng.random_range(1_577_836_800_000..3_786_912_000_000);
                assert_like(&zone, &reference, rule, at);
            }
            assert_changes_like(&zone, &reference, rule, rng.random_range(1_577_836_800_000..3_786_912_000_000));
        }
    }

    fn random_time(rng: &mut StdRng, hours: i64) -> String {
        let hour = rng.random_range(-hours..=hours);
        match rng.random_range(0..3) {
            0 => format!("{hour}"),
            1 => format!("{hour:+}:{:02}", rng.random_range(0..60)),
            _ => format!("{hour}:{:02}:{:02}", rng.random_range(0..60), rng.random_range(0..60)),
        }
    }

    /// A day of one of the two halves of a year, away from their ends: a change of the clock a week off stays in its year and before the other.
    fn random_day(rng: &mut StdRng, half: u32) -> String {
        let day = half * 180 + rng.random_range(20..150);
        let weekday = format!("M{}.{}.{}", half * 6 + rng.random_range(2..5_u32), rng.random_range(1..=5), rng.random_range(0..=6));
        let time = if rng.random() { format!("/{}", random_time(rng, 167)) } else { String::new() };
        match rng.random_range(0..3) {
            0 => format!("J{day}{time}"),
            1 => format!("{day}{time}"),
            _ => format!("{weekday}{time}"),
        }
    }

    #[test]
    fn random_rules_mean_what_another_implementation_says() {
        let seed: u64 = rand::random();
        println!("seed {seed}");
        let mut rng = StdRng::seed_from_u64(seed);
        for _ in 0..1_000 {
            let half = rng.random_range(0..2);
            let (start, end) = (random_day(&mut rng, half), random_day(&mut rng, 1 - half));
            let offset = random_time(&mut rng, 13);
            let daylight = if rng.random() { random_time(&mut rng, 13) } else { String::new() };
            let rule = format!("<+A1>{offset}DST{daylight},{start},{end}");
            let zone = Zone::parse(&rule).unwrap_or_else(|refused| panic!("{rule}: {refused}"));
            let reference = TimeZone::posix(&rule).unwrap_or_else(|error| panic!("{rule}: {error}"));
            for _ in 0..20 {
                assert_like(&zone, &reference, &rule, rng.random_range(0..=253_300_000_000_000));
            }
            assert_changes_like(&zone, &reference, &rule, rng.random_range(0..=253_300_000_000_000));
        }
    }
}
