//! How a POSIX TZ rule is written.
//!
//! # Grammar
//! `std offset [dst [offset] , start [/time] , end [/time]]`, at most [`super::MAX_ZONE_BYTES`] bytes, nothing before or after.
//! - A name is three or more ASCII letters, or three or more ASCII letters, digits, `+` and `-` in angle brackets. Names have no meaning here.
//! - An offset is `[+|-]h[h][:mm[:ss]]`, at most 24:59:59, **positive to the west** of Greenwich. Without one, daylight time is an hour ahead of standard.
//! - `start` and `end` are `Mm.w.d` (month 1–12, week 1–5 where 5 is the last, day 0–6 from Sunday), `Jn` (day 1–365, 29 February is never counted) or `n`
//!   (day 0–365, 29 February is counted). A daylight name without both is refused: POSIX leaves its meaning open.
//! - `time` is `[+|-]h[h[h]][:mm[:ss]]`, −167:59:59 to 167:59:59, 02:00:00 where it is missing; that of `start` is standard time, that of `end` daylight time.
//!
//! What a rule means is not decided here. [`Zone::parse`] alone calls it.

use super::{Change, Day, Daylight, HOUR_SECONDS, Zone};

/// What of a rule is still to be read. A method that gives `None` has met something that the grammar does not allow.
pub(super) struct Parser<'a> {
    rest: &'a [u8],
}

impl<'a> Parser<'a> {
    /// Reads a rule, all of it.
    pub(super) fn read(rule: &'a str) -> Option<Zone> {
        let mut parser = Self { rest: rule.as_bytes() };
        parser.zone().filter(|_| parser.rest.is_empty())
    }

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
