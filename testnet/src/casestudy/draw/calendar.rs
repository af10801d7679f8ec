//! When each charge happens: gaps between them, hours of the day that people like, and a place that two of the three share.
//!
//! Two switched points share one place, first come first served, so who comes while the other charges waits until that ends; the third charges when it likes.
//! Most gaps are under twenty hours (Fig. 25); how long the others are follows from what is left of the 3.5 months. The third driver, who never waits, has
//! exactly as many short gaps as the other two have left over. Called by [`super::visits`].

use rand::{Rng as _, rngs::StdRng};

use super::{BEGINS_MS, CARS, CHARGES, ENDS_MS, ONE_DRIVER, Shape, UNSWITCHED, Visit};

const HOUR_MS: u64 = 3_600_000;
const MINUTE_MS: u64 = 60_000;

/// Gaps under this are the paper's 64 %, ms.
const SHORT_GAP_MS: u64 = 20 * HOUR_MS;

/// How near to that no gap of the third driver may be, ms.
const CLEAR_MS: u64 = 5 * MINUTE_MS;

/// How many of the 297 gaps are short.
const SHORT_GAPS: std::ops::RangeInclusive<usize> = 190..=191;

/// The share of short gaps of the one driver, and of the second at a switch.
const SHARES: (f64, f64) = (0.45, 0.70);

/// A short gap, h; the mean of these, h, as far as the rest is reckoned from it.
const SHORT_HOURS: (f64, f64) = (4.0, 18.6);
const SHORT_MEAN: f64 = 11.3;

/// The least that is aimed at for a long gap, h.
const LONG_LEAST: f64 = 21.0;

/// How gladly people plug in, by local hour.
const LIKED: [f64; 24] =
    [0.5, 0.2, 0.1, 0.1, 0.1, 0.1, 0.2, 0.4, 0.6, 0.5, 0.4, 0.4, 0.7, 0.8, 0.6, 0.5, 0.6, 0.9, 1.3, 1.5, 1.5, 1.3, 1.0, 0.8];

/// When summer time begins in Lisbon, ms: 2019-03-31 01:00 UTC.
const SUMMER_MS: u64 = 1_553_994_000_000;

/// The first local day's end, and the last one's beginning, ms.
const FIRST_DAY_ENDS_MS: u64 = BEGINS_MS + 12 * HOUR_MS;
const LAST_DAY_BEGINS_MS: u64 = ENDS_MS - 12 * HOUR_MS;

/// What a driver still has before him.
struct Lane<'a> {
    sensor: usize,
    shapes: &'a [Shape],
    next: usize,
    /// When his next charge wants to begin, ms.
    comes_ms: u64,
    /// Gaps that are still to be drawn, by kind; the last of them closes the calendar.
    short: usize,
    long: usize,
    /// When his last charge is to begin, ms.
    last_comes_ms: u64,
}

/// All visits, or nothing where they do not fit.
pub(super) fn draw(random: &mut StdRng, shapes: &[Vec<Shape>; CARS]) -> Option<Vec<Visit>> {
    let (first, last) = (random.random_range(0..CARS), random.random_range(0..CARS));
    let mut firsts_ms = [0; CARS];
    let mut lasts_ms = [0; CARS];
    for sensor in 0..CARS {
        let after = if sensor == first { random.random_range(1.0..10.0) } else { random.random_range(6.0..40.0) };
        let before = if sensor == last { 1.5 } else { random.random_range(18.0..60.0) };
        firsts_ms[sensor] = BEGINS_MS + liked(random, (after, after + 2.0), BEGINS_MS);
        lasts_ms[sensor] = whole_minute(ENDS_MS - ms(before) - shapes[sensor].last()?.draws_for_ms());
    }
    let lane = |sensor: usize, short: usize| Lane {
        sensor,
        shapes: &shapes[sensor],
        next: 0,
        comes_ms: firsts_ms[sensor],
        short,
        long: shapes[sensor].len() - 1 - short.min(shapes[sensor].len() - 1),
        last_comes_ms: lasts_ms[sensor],
    };
    let second = CARS - 1;
    let mut visits = share_a_place(
        random,
        [lane(ONE_DRIVER, share(shapes[ONE_DRIVER].len(), SHARES.0)), lane(second, share(shapes[second].len(), SHARES.1))],
    )?;
    let short = random.random_range(SHORT_GAPS).checked_sub(short_gaps(&visits))?;
    (short + 2 < shapes[UNSWITCHED].len()).then_some(())?;
    let mut alone = lane(UNSWITCHED, short);
    while let Some(shape) = alone.shapes.get(alone.next) {
        let visit = visit(&alone, *shape, alone.comes_ms);
        alone.after(random, visit.ends_ms())?;
        visits.push(visit);
    }
    fits(&visits).then_some(visits)
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of some hundred")]
fn share(charges: usize, share: f64) -> usize {
    ((charges - 1) as f64 * share).round() as usize
}

/// Two drivers, of whom only one may charge at a time.
fn share_a_place(random: &mut StdRng, mut lanes: [Lane<'_>; 2]) -> Option<Vec<Visit>> {
    let mut visits = Vec::new();
    let mut free_ms = 0;
    while let Some(lane) = lanes.iter_mut().filter(|lane| lane.next < lane.shapes.len()).min_by_key(|lane| lane.comes_ms) {
        let visit = visit(lane, lane.shapes[lane.next], lane.comes_ms.max(free_ms));
        free_ms = visit.ends_ms();
        lane.after(random, free_ms)?;
        visits.push(visit);
    }
    Some(visits)
}

const fn visit(lane: &Lane<'_>, shape: Shape, starts_ms: u64) -> Visit {
    Visit { sensor: lane.sensor, comes_ms: lane.comes_ms, current_ma: shape.current_ma, energy_wh: shape.energy_wh, starts_ms }
}

impl Lane<'_> {
    /// A charge has ended: draws when the next one wants to begin, if there is one.
    fn after(&mut self, random: &mut StdRng, ended_ms: u64) -> Option<()> {
        self.next += 1;
        let gaps = self.shapes.len().checked_sub(self.next).filter(|gaps| *gaps > 0);
        let Some(gaps) = gaps else { return Some(()) };
        if gaps == 1 {
            self.comes_ms = self.last_comes_ms;
            return (self.comes_ms >= ended_ms + SHORT_GAP_MS + CLEAR_MS).then_some(());
        }
        let still_ms: u64 = self.shapes[self.next..self.shapes.len() - 1].iter().map(|shape| shape.draws_for_ms()).sum();
        let left = hours(self.last_comes_ms.checked_sub(ended_ms + still_ms)?);
        // The last gap is a long one.
        let is_short = random.random_range(0..gaps - 1) < self.short;
        let gap_ms = if is_short {
            self.short -= 1;
            liked(random, SHORT_HOURS, ended_ms)
        } else {
            let mean = (left - self.short as f64 * SHORT_MEAN) / self.long as f64;
            self.long -= 1;
            let most = 2.0 * mean - LONG_LEAST;
            if most < LONG_LEAST + 1.0 {
                return None;
            }
            liked(random, (LONG_LEAST, most), ended_ms)
        };
        self.comes_ms = whole_minute(ended_ms + gap_ms);
        Some(())
    }
}

/// A gap in this range of hours after which somebody would like to plug in.
fn liked(random: &mut StdRng, (least, most): (f64, f64), ended_ms: u64) -> u64 {
    let candidates: [u64; 5] = std::array::from_fn(|_| ms(random.random_range(least..most)));
    let weights = candidates.map(|gap_ms| LIKED[local_hour(ended_ms + gap_ms)]);
    let mut at = random.random_range(0.0..weights.iter().sum());
    for (gap_ms, weight) in candidates.into_iter().zip(weights) {
        if at < weight {
            return gap_ms;
        }
        at -= weight;
    }
    candidates[0]
}

fn fits(visits: &[Visit]) -> bool {
    let first_ms = visits.iter().map(|visit| visit.starts_ms).min().unwrap_or_default();
    let last_ms = visits.iter().map(|visit| visit.starts_ms).max().unwrap_or_default();
    let ended_ms = visits.iter().map(Visit::ends_ms).max().unwrap_or_default();
    let short = short_gaps(visits);
    visits.len() == CHARGES
        && (BEGINS_MS..FIRST_DAY_ENDS_MS).contains(&first_ms)
        && (LAST_DAY_BEGINS_MS..ENDS_MS).contains(&last_ms)
        && ended_ms < ENDS_MS
        && SHORT_GAPS.contains(&short)
        && visits.iter().filter(|visit| visit.starts_ms > visit.comes_ms).count() >= 10
}

/// How many gaps between a driver's charges are short.
fn short_gaps(visits: &[Visit]) -> usize {
    let mut ended_ms = [None::<u64>; CARS];
    let mut short = 0;
    for visit in visits {
        let before = ended_ms[visit.sensor].replace(visit.ends_ms());
        short += usize::from(before.is_some_and(|ended_ms| visit.starts_ms.saturating_sub(ended_ms) < SHORT_GAP_MS));
    }
    short
}

/// The hour of the day in Lisbon.
fn local_hour(at_ms: u64) -> usize {
    let summer_ms = if at_ms >= SUMMER_MS { HOUR_MS } else { 0 };
    usize::try_from((at_ms + summer_ms) / HOUR_MS % 24).unwrap_or_default()
}

const fn whole_minute(at_ms: u64) -> u64 {
    at_ms / MINUTE_MS * MINUTE_MS
}

fn hours(ms: u64) -> f64 {
    ms as f64 / HOUR_MS as f64
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "some days in ms, never negative")]
fn ms(hours: f64) -> u64 {
    (hours * HOUR_MS as f64) as u64 / MINUTE_MS * MINUTE_MS
}
