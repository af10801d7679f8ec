//! Rules against published dates, against another implementation, and against what is no rule.

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
