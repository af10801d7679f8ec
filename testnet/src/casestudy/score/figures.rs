//! The figures of Table 2 and Figs. 19–25, reckoned from a chain's history, each beside the paper's and with the tolerance that an honest reading allows.
//!
//! Martins et al. 2019, section 5. A row is within its tolerance or it misses; rows without a tolerance are told and not judged. Deviations are of a sample
//! (n − 1). Where the paper is not of one mind, [`rows`] says what is taken. It reads a [`History`] and, for one row, a count that no chain has: raw samples in
//! the gateway's own store. Called by [`super::super`].

use std::collections::{BTreeMap, BTreeSet};

use chain::{id::ConnectorId, record::Control};
use jiff::{
    Timestamp,
    civil::Date,
    tz::{TimeZone, TimeZoneDatabase},
};
use serde::Serialize;

use super::history::{Charge, History};

/// The driver of Figs. 21 and 22, by the number of his connector: the first point with a switch, the paper's Sensor 1.
pub const ONE_DRIVER: u32 = 2;

/// From so many hours on a charge is in Fig. 19.
pub const LONGER_THAN: f64 = 3.0;

/// Gaps shorter than so many hours are the paper's 64 %.
pub const SHORT_GAP: f64 = 20.0;

/// How long a place may be free before the next in the queue has it, ms: the grant follows the settlement in the same instant of simulated time.
const PROMPT_MS: u64 = 60_000;

/// How far from the newest bill a waiting charge's start may lie, ms, before the chain's own times count as those of a wait.
const WAITED_MS: u64 = 1_000;

/// A figure beside the paper's.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Row {
    /// Where it is in the paper.
    pub source: &'static str,
    /// What it is.
    pub figure: &'static str,
    /// What the paper says.
    pub paper: &'static str,
    /// What is allowed, in words.
    pub tolerance: &'static str,
    /// What the chain says, in words.
    pub found: String,
    /// The same as a number, in the unit of the row; none where it is a date.
    pub value: Option<f64>,
    /// The least and the most that is allowed; none where the row is not judged by numbers.
    pub allowed: Option<(f64, f64)>,
    /// Whether it is within that; none where the row is not judged.
    pub within: Option<bool>,
}

/// How many decimals a number is shown with.
struct Shown(usize, &'static str);

/// Each figure.
///
/// `stored_samples`: what the gateway counts in its store; none where nobody asked it, and then that row is not judged.
#[must_use]
pub fn rows(history: &History, stored_samples: Option<u64>) -> Vec<Row> {
    let charges = &history.charges;
    let hours: f64 = charges.iter().map(Charge::hours).sum();
    let kwh: f64 = charges.iter().map(Charge::kwh).sum();
    let samples: u64 = charges.iter().map(|charge| charge.bill.samples).sum();
    let drawing: u64 = charges.iter().map(|charge| charge.samples_drawing).sum();
    let above: Vec<&Charge> = charges.iter().filter(|charge| charge.hours() > LONGER_THAN).collect();
    let one: Vec<&Charge> = charges.iter().filter(|charge| charge.bill.connector.number == ONE_DRIVER).collect();
    let gaps = gaps(charges);
    let short = gaps.iter().filter(|gap| **gap < SHORT_GAP).count();
    let queue = queue(history);
    let of = |values: &[&Charge], figure: fn(&Charge) -> f64| values.iter().map(|charge| figure(charge)).collect::<Vec<_>>();
    let (one_hours, one_kwh) = (of(&one, Charge::hours), of(&one, Charge::kwh));
    let all_kw: Vec<f64> = charges.iter().map(Charge::kw).collect();
    let within = |most: f64, figure: fn(&Charge) -> f64| charges.iter().filter(|charge| figure(charge) <= most).count() as f64;

    let mut rows = vec![
        day("first charge", charges.iter().map(Charge::starts_ms).min(), "20 January 2019", jiff::civil::date(2019, 1, 20)),
        day("last charge", charges.iter().map(Charge::starts_ms).max(), "12 May 2019", jiff::civil::date(2019, 5, 12)),
    ];
    let mut stored = judged(
        "Table 2",
        "data samples",
        "450,000 (an estimate)",
        "±10 %",
        stored_samples.unwrap_or(0) as f64,
        (405_000.0, 495_000.0),
        &Shown(0, ""),
    );
    if stored_samples.is_none() {
        stored = told("Table 2", "data samples", "450,000 (an estimate)", "not in an export: the gateway counts them".to_owned(), None);
    }
    rows.push(stored);
    rows.extend([
        judged("Table 2", "charging samples", "63,000", "−1 %, +2 %", samples as f64, (62_370.0, 64_260.0), &Shown(0, "")),
        told("Table 2", "of these, above 100 W", "", thousands(drawing), Some(drawing as f64)),
        judged("Table 2", "charging events", "300", "exact", charges.len() as f64, (300.0, 300.0), &Shown(0, "")),
        judged("Table 2", "charging time", "1,060 h", "±1 %", hours, around(1_060.0, 10.6), &Shown(1, " h")),
        judged("Table 2", "energy", "2,450 kWh", "±1 %", kwh, around(2_450.0, 24.5), &Shown(1, " kWh")),
        judged("Table 2", "mean power", "2.31 kW", "±1 %", ratio(kwh, hours), around(2.31, 0.0231), &Shown(3, " kW")),
        share_of_period("sensor-hours of charging in 2,688 h", hours),
        share_of_period("hours in which any car charged", hours_with_any(charges)),
        judged("Fig. 19", "mean power above 3 h", "2.3 kW", "±0.05 kW", mean(&of(&above, Charge::kw)), around(2.3, 0.05), &Shown(3, " kW")),
        judged("Fig. 19", "correlation of duration and power", "−0.30", "±0.07", correlation(&above), around(-0.30, 0.07), &Shown(3, "")),
        judged("Fig. 19", "spread of the charges' power", "", "at least 0.05 kW", deviation(&all_kw), (0.05, 0.2), &Shown(3, " kW")),
        judged("Fig. 20", "most cars at once", "2", "never more", most_at_once(charges) as f64, (0.0, 2.0), &Shown(0, "")),
        judged("Fig. 20", "charges out of turn", "0", "none", queue.out_of_turn as f64, (0.0, 0.0), &Shown(0, "")),
        judged("Fig. 21", "one driver's duration, mean", "5.12 h", "±0.05", mean(&one_hours), around(5.12, 0.05), &Shown(3, " h")),
        judged(
            "Fig. 21",
            "one driver's duration, deviation",
            "2.03 h",
            "±0.05",
            deviation(&one_hours),
            around(2.03, 0.05),
            &Shown(3, " h"),
        ),
        judged("Fig. 21", "his shortest charge", "1 h", "at least", least(&one_hours), (1.0, 9.0), &Shown(2, " h")),
        judged("Fig. 21", "his longest charge", "9 h", "at most", most(&one_hours), (1.0, 9.0), &Shown(2, " h")),
        judged("Fig. 21", "his charges", "", "60 to 100", one.len() as f64, (60.0, 100.0), &Shown(0, "")),
        judged("Fig. 22", "one driver's energy, mean", "11.67 kWh", "±0.1", mean(&one_kwh), around(11.67, 0.1), &Shown(3, " kWh")),
        judged("Fig. 22", "one driver's energy, deviation", "4.58 kWh", "±0.1", deviation(&one_kwh), around(4.58, 0.1), &Shown(3, " kWh")),
        judged("Fig. 22", "his least energy", "2 kWh", "at least", least(&one_kwh), (2.0, 22.0), &Shown(2, " kWh")),
        judged("Fig. 22", "his most energy", "22 kWh", "at most", most(&one_kwh), (2.0, 22.0), &Shown(2, " kWh")),
        judged("Fig. 23", "cars that had to wait", "1", "at least", queue.waited as f64, (1.0, 300.0), &Shown(0, "")),
        judged("Fig. 23", "of these, begun without a place", "0", "none", queue.without_a_place as f64, (0.0, 0.0), &Shown(0, "")),
        judged("Fig. 24", "charges of at most 6 h", "268 (89.3 %)", "±1", within(6.0, Charge::hours), around(268.0, 1.0), &Shown(0, "")),
        judged("Fig. 24", "charges of at most 15 kWh", "277 (92.3 %)", "±1", within(15.0, Charge::kwh), around(277.0, 1.0), &Shown(0, "")),
        judged(
            "Fig. 25",
            "gaps under 20 h",
            "64 %",
            "±1 point",
            100.0 * ratio(short as f64, gaps.len() as f64),
            around(64.0, 1.0),
            &Shown(2, " %"),
        ),
        judged("chain", "bills that differ from their samples", "", "none", different(charges) as f64, (0.0, 0.0), &Shown(0, "")),
    ]);
    rows
}

/// The hours from the end of a charge to the start of the same driver's next.
#[must_use]
pub fn gaps(charges: &[Charge]) -> Vec<f64> {
    let mut ended_ms = BTreeMap::new();
    let mut gaps = Vec::new();
    for charge in charges {
        if let Some(before_ms) = ended_ms.insert(charge.bill.account, charge.ends_ms()) {
            gaps.push(charge.starts_ms().saturating_sub(before_ms) as f64 / 3_600_000.0);
        }
    }
    gaps
}

/// The time zone of the case study.
#[must_use]
pub fn lisbon() -> TimeZone {
    TimeZoneDatabase::bundled().get("Europe/Lisbon").expect("the time-zone rules are compiled in and hold Europe/Lisbon")
}

/// The local time of an instant in ms.
#[must_use]
pub fn local(at_ms: u64) -> jiff::Zoned {
    let at = i64::try_from(at_ms).ok().and_then(|at_ms| Timestamp::from_millisecond(at_ms).ok());
    at.unwrap_or_default().to_zoned(lisbon())
}

/// Instants at which more or fewer cars draw, in order: at which so many do.
#[must_use]
pub fn at_once(charges: &[Charge]) -> Vec<(u64, usize)> {
    let mut changes: Vec<(u64, bool)> = Vec::new();
    for (from_ms, until_ms) in charges.iter().flat_map(|charge| &charge.drew) {
        changes.extend([(*from_ms, true), (*until_ms, false)]);
    }
    // Whoever ends at an instant has ended before another begins at it.
    changes.sort_unstable();
    let mut now: usize = 0;
    let step = |(at_ms, begins): (u64, bool)| {
        now = if begins { now + 1 } else { now.saturating_sub(1) };
        (at_ms, now)
    };
    changes.into_iter().map(step).collect()
}

/// What the queue of the points with a switch did.
struct Queue {
    waited: usize,
    /// Of these, such that no other had just given its place up.
    without_a_place: usize,
    /// Granted before somebody who had come earlier, or beside another.
    out_of_turn: usize,
}

fn queue(history: &History) -> Queue {
    let switched: BTreeSet<ConnectorId> =
        history.connectors.iter().filter(|(_, control)| **control == Control::Switched).map(|(id, _)| *id).collect();
    let mut charges: Vec<&Charge> = history.charges.iter().filter(|charge| switched.contains(&charge.bill.connector)).collect();
    charges.sort_by_key(|charge| (charge.bill.opened_at, charge.bill.connector));
    let mut queue = Queue { waited: 0, without_a_place: 0, out_of_turn: 0 };
    for (place, charge) in charges.iter().enumerate() {
        let Some(granted_ms) = charge.granted_ms() else {
            queue.out_of_turn += 1;
            continue;
        };
        let earlier = || charges.iter().take(place).rev().take(20);
        let beside = earlier()
            .any(|other| other.granted_ms().is_none_or(|other_ms| other_ms > granted_ms) || other.bill.settled_at.ms() > granted_ms);
        queue.out_of_turn += usize::from(beside);
        if granted_ms > charge.bill.opened_at.ms() + WAITED_MS {
            queue.waited += 1;
            let freed = earlier().any(|other| (other.ends_ms()..=other.ends_ms() + PROMPT_MS).contains(&charge.starts_ms()));
            queue.without_a_place += usize::from(!freed);
        }
    }
    queue
}

fn different(charges: &[Charge]) -> usize {
    charges
        .iter()
        .filter(|charge| charge.bill.energy.get() != charge.register_wh || charge.bill.energy_billed != charge.bill.energy)
        .count()
}

fn most_at_once(charges: &[Charge]) -> usize {
    at_once(charges).into_iter().map(|(_, count)| count).max().unwrap_or(0)
}

fn hours_with_any(charges: &[Charge]) -> f64 {
    let steps = at_once(charges);
    let busy = steps.iter().zip(steps.iter().skip(1)).filter(|((_, count), _)| *count > 0);
    busy.map(|((from_ms, _), (until_ms, _))| until_ms - from_ms).sum::<u64>() as f64 / 3_600_000.0
}

fn judged(
    source: &'static str,
    figure: &'static str,
    paper: &'static str,
    tolerance: &'static str,
    value: f64,
    allowed: (f64, f64),
    shown: &Shown,
) -> Row {
    let Shown(decimals, unit) = *shown;
    let number = if decimals == 0 && value.is_finite() { thousands(whole(value)) } else { format!("{value:.decimals$}") };
    let within = (allowed.0..=allowed.1).contains(&value);
    let found = format!("{number}{unit}").replace('-', "−");
    Row { source, figure, paper, tolerance, found, value: value.is_finite().then_some(value), allowed: Some(allowed), within: Some(within) }
}

fn told(source: &'static str, figure: &'static str, paper: &'static str, found: String, value: Option<f64>) -> Row {
    Row { source, figure, paper, tolerance: "", found, value, allowed: None, within: None }
}

fn share_of_period(figure: &'static str, hours: f64) -> Row {
    let share = 100.0 * hours / 2_688.0;
    told("Table 2", figure, "~40 %", format!("{share:.1} %"), Some(share))
}

/// The day on which something was; the rows' own numbers have no place for it.
fn day(figure: &'static str, at_ms: Option<u64>, paper: &'static str, target: Date) -> Row {
    let found = at_ms.map(|at_ms| local(at_ms).date());
    let text = found.map_or_else(|| "none".to_owned(), |date| date.to_string());
    Row {
        source: "Table 2",
        figure,
        paper,
        tolerance: "local date",
        found: text,
        value: None,
        allowed: None,
        within: Some(found == Some(target)),
    }
}

const fn around(target: f64, tolerance: f64) -> (f64, f64) {
    (target - tolerance, target + tolerance)
}

fn ratio(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { f64::NAN }
}

/// The arithmetic mean; not a number of nothing.
#[must_use]
pub fn mean(values: &[f64]) -> f64 {
    ratio(values.iter().sum(), values.len() as f64)
}

fn deviation(values: &[f64]) -> f64 {
    let mean = mean(values);
    ratio(values.iter().map(|value| (value - mean).powi(2)).sum(), values.len() as f64 - 1.0).sqrt()
}

fn least(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::NAN, f64::min)
}

fn most(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::NAN, f64::max)
}

/// Pearson's coefficient of duration and mean power.
#[must_use]
pub fn correlation(charges: &[&Charge]) -> f64 {
    let (hours, kw): (Vec<f64>, Vec<f64>) = charges.iter().map(|charge| (charge.hours(), charge.kw())).unzip();
    let (mean_hours, mean_kw) = (mean(&hours), mean(&kw));
    let products: f64 = hours.iter().zip(&kw).map(|(hours, kw)| (hours - mean_hours) * (kw - mean_kw)).sum();
    ratio(products, (hours.len() as f64 - 1.0) * deviation(&hours) * deviation(&kw))
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count, which is small and not negative")]
fn whole(value: f64) -> u64 {
    value.round() as u64
}

/// Digits in groups of three.
#[must_use]
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
