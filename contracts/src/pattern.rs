//! How unusual a charge is for the account that it is started for, told from that account's own charges before.
//!
//! A signal and no proof, in whole numbers: each past charge is held against all others, the charge that is asked about too, and the score is how many of the
//! past ones fit their neighbours better. So a score needs no unit and no training, and of an account that goes on as before about one start in ten
//! reaches 900. Nothing on the chain calls it and no call is refused by it. The gateway does, where a card starts a charge, and who measures it.

use chain::{quantity::WattHours, tariff::DayOfWeek, time::Duration};

use crate::tariff::LocalTime;

/// The past charges that are looked at, the newest.
pub const CHARGES: usize = 60;

/// Fewer past charges than this say nothing.
pub const ENOUGH: usize = 10;

/// The score of a charge that fits worse than every past one.
pub const HIGHEST: u16 = 1_000;

/// Weights are in parts of this.
const ONE: u64 = 1 << 30;

/// At so many minutes apart two starts are half as close as at the same time of day.
const HOUR_SCALE: u64 = 60;

/// What a workday tells of a weekend, in tenths.
const OTHER_DAY_TENTHS: u64 = 7;

/// Logarithms are in parts of an octave.
const OCTAVE: u64 = 256;

const MINUTES_PER_DAY: u64 = 1_440;

const MS_PER_MINUTE: u64 = 60_000;

/// What kind of day.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DayType {
    /// Monday to Friday.
    Workday,
    /// Saturday and Sunday.
    Weekend,
}

/// What a charge brought.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Brought {
    /// Energy.
    pub energy: WattHours,
    /// How long it took.
    pub duration: Duration,
}

/// A charge as the pattern sees it. What is not known is left out of the comparison.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Usage {
    /// Local minutes since midnight at its start, 0..1440.
    pub minute_of_day: u16,
    /// The local day of its start.
    pub day: DayType,
    /// From the end of the account's charge before to its start; unknown for the first.
    pub gap: Option<Duration>,
    /// Known after its end.
    pub brought: Option<Brought>,
}

impl Usage {
    /// A charge that starts now.
    #[must_use]
    pub const fn starting(local: &LocalTime, gap: Option<Duration>) -> Self {
        let day = match local.day_of_week {
            DayOfWeek::Monday | DayOfWeek::Tuesday | DayOfWeek::Wednesday | DayOfWeek::Thursday | DayOfWeek::Friday => DayType::Workday,
            DayOfWeek::Saturday | DayOfWeek::Sunday => DayType::Weekend,
        };
        Self { minute_of_day: local.minute_of_day, day, gap, brought: None }
    }

    const fn tells(&self, signals: Signals) -> bool {
        match signals {
            Signals::Time => true,
            Signals::Start => self.gap.is_some(),
            Signals::Whole => self.gap.is_some() && self.brought.is_some(),
        }
    }
}

/// What charges are compared by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Signals {
    /// Time of day and type of day.
    Time,
    /// And the gap before it: all that is known at a start.
    Start,
    /// And what it brought: all that is known after its end.
    Whole,
}

/// The past charges of an account, each held against all others.
#[derive(Clone, Debug)]
pub struct Pattern {
    signals: Signals,
    past: Vec<Usage>,
    /// Of each, how close all others are together.
    sums: Vec<u64>,
}

impl Pattern {
    /// Compares the newest [`CHARGES`] of `past`, newest first, that say enough; `None` where that are fewer than [`ENOUGH`].
    #[must_use]
    pub fn new(past: &[Usage], signals: Signals) -> Option<Self> {
        let past: Vec<Usage> = past.iter().take(CHARGES).filter(|usage| usage.tells(signals)).copied().collect();
        if past.len() < ENOUGH {
            return None;
        }
        let mut sums = Vec::with_capacity(past.len());
        for (at, usage) in past.iter().enumerate() {
            let others = past.iter().enumerate().filter(|(other, _)| *other != at);
            sums.push(others.fold(0_u64, |sum, (_, other)| sum.saturating_add(closeness(usage, other, signals))));
        }
        Some(Self { signals, past, sums })
    }

    /// How unusual a charge is: the share of the past ones that are more usual, in thousandths, rounded down. `None` where the charge does not say what the
    /// comparison is by.
    #[must_use]
    pub fn score(&self, asked: &Usage) -> Option<u16> {
        if !asked.tells(self.signals) {
            return None;
        }
        let count = u64::try_from(self.past.len()).ok()?;
        let sum = self.past.iter().fold(0_u64, |sum, usage| sum.saturating_add(closeness(asked, usage, self.signals)));
        // Means over as many as there are: a past charge has one neighbour less.
        let own = sum.saturating_mul(count.saturating_sub(1));
        let better = self.sums.iter().filter(|sum| sum.saturating_mul(count) > own).count();
        let share = u64::try_from(better).ok()?.saturating_mul(u64::from(HIGHEST)).checked_div(count)?;
        u16::try_from(share).ok()
    }
}

/// How close two charges are in all that counts; at most [`ONE`].
fn closeness(one: &Usage, other: &Usage, signals: Signals) -> u64 {
    let minutes = u64::from(one.minute_of_day.abs_diff(other.minute_of_day));
    let mut weight = near(minutes.min(MINUTES_PER_DAY.saturating_sub(minutes)), HOUR_SCALE);
    if one.day != other.day {
        weight = weight.saturating_mul(OTHER_DAY_TENTHS).checked_div(10).unwrap_or_default();
    }
    if signals != Signals::Time
        && let (Some(one), Some(other)) = (one.gap, other.gap)
    {
        weight = times(weight, near(spread(one).abs_diff(spread(other)), OCTAVE));
    }
    if signals == Signals::Whole
        && let (Some(one), Some(other)) = (one.brought, other.brought)
    {
        let [one_wh, other_wh] = [one, other].map(|brought| octaves(brought.energy.get().saturating_add(500)));
        weight = times(weight, near(one_wh.abs_diff(other_wh), OCTAVE.div_euclid(2)));
        weight = times(weight, near(spread(one.duration).abs_diff(spread(other.duration)), OCTAVE));
    }
    weight
}

/// `ONE / (1 + (distance / scale)²)`: far apart is never quite nothing, so that what is further is still less.
fn near(distance: u64, scale: u64) -> u64 {
    let [distance, scale] = [distance, scale].map(|length| length.saturating_mul(length));
    ONE.saturating_mul(scale).checked_div(scale.saturating_add(distance)).unwrap_or_default()
}

fn times(one: u64, other: u64) -> u64 {
    one.saturating_mul(other).checked_div(ONE).unwrap_or_default()
}

/// A length of time as a logarithm; half an hour more or less does not matter where it is short.
fn spread(duration: Duration) -> u64 {
    octaves(duration.ms().checked_div(MS_PER_MINUTE).unwrap_or_default().saturating_add(30))
}

/// The binary logarithm in parts of an octave, straight between powers of two. Of 0 it is that of 1.
fn octaves(value: u64) -> u64 {
    let whole = value.max(1).ilog2();
    let part = u128::from(value.max(1)).saturating_mul(u128::from(OCTAVE)).checked_shr(whole).unwrap_or_default();
    let part = u64::try_from(part).unwrap_or_default().saturating_sub(OCTAVE);
    u64::from(whole).saturating_mul(OCTAVE).saturating_add(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By all that `asked` says.
    fn score(past: &[Usage], asked: &Usage) -> Option<u16> {
        let signals = match (asked.gap, asked.brought) {
            (None, _) => Signals::Time,
            (Some(_), None) => Signals::Start,
            (Some(_), Some(_)) => Signals::Whole,
        };
        Pattern::new(past, signals)?.score(asked)
    }

    fn usage(hour: u16, day: DayType, gap_hours: u64, kwh: u64) -> Usage {
        Usage {
            minute_of_day: hour * 60,
            day,
            gap: Some(Duration::from_hours(gap_hours)),
            brought: Some(Brought { energy: WattHours::new(kwh * 1_000), duration: Duration::from_hours(kwh / 2) }),
        }
    }

    fn start(hour: u16, day: DayType, gap_hours: u64) -> Usage {
        Usage { brought: None, ..usage(hour, day, gap_hours, 0) }
    }

    /// Workdays between 17:00 and 19:00, a day apart, 10 or 12 kWh.
    fn commuter() -> Vec<Usage> {
        (0..20_u16).map(|at| usage(17 + at % 3, DayType::Workday, 20 + u64::from(at % 5), 10 + 2 * u64::from(at % 2))).collect()
    }

    #[test]
    fn little_known_says_nothing() {
        let past = commuter();
        assert_eq!(score(&past[..9], &start(3, DayType::Weekend, 1)), None);
        assert_eq!(score(&past[..10], &start(3, DayType::Weekend, 1)), Some(HIGHEST));
        // The first charge of all has no gap, so it says nothing of one.
        let mut first = past.clone();
        first.truncate(10);
        first[9].gap = None;
        assert_eq!(score(&first, &start(18, DayType::Workday, 22)), None);
        assert!(score(&first, &Usage { gap: None, ..start(18, DayType::Workday, 22) }).is_some());
    }

    #[test]
    fn what_is_done_every_day_is_usual_and_each_thing_that_differs_is_seen() {
        let past = commuter();
        let usual = score(&past, &start(18, DayType::Workday, 22)).unwrap();
        assert!(usual < 200, "{usual}");
        for unusual in [start(3, DayType::Workday, 22), start(18, DayType::Weekend, 22), start(18, DayType::Workday, 2)] {
            let found = score(&past, &unusual).unwrap();
            assert!(found > 900, "{unusual:?}: {found}");
        }
        let full = Usage { brought: Some(Brought { energy: WattHours::new(60_000), duration: Duration::from_hours(12) }), ..past[0] };
        assert_eq!(score(&past, &full), Some(HIGHEST));
        assert!(score(&past, &past[0]).unwrap() < 700);
    }

    #[test]
    fn midnight_divides_no_habit() {
        let past: Vec<Usage> = (0..12).map(|at| usage([23, 0][at % 2], DayType::Workday, 20, 10)).collect();
        let before = Usage { minute_of_day: 23 * 60 + 30, ..start(0, DayType::Workday, 20) };
        assert_eq!(score(&past, &before), Some(0));
    }

    #[test]
    fn somebody_who_goes_on_as_before_reaches_a_score_as_rarely_as_it_says() {
        use rand::{Rng, SeedableRng, rngs::StdRng};
        let seed: u64 = rand::random();
        println!("seed {seed}");
        let mut rng = StdRng::seed_from_u64(seed);
        let mut draw = || start(rng.random_range(12..24), DayType::Workday, rng.random_range(1..60));
        let mut reached = 0;
        for _ in 0..400 {
            let past: Vec<Usage> = (0..CHARGES).map(|_| draw()).collect();
            reached += u32::from(score(&past, &draw()).unwrap() >= 900);
        }
        // One in ten of 400 is 40, with a deviation of 6.
        assert!((10..=75).contains(&reached), "{reached} of 400");
    }

    #[test]
    fn only_the_newest_charges_count_and_no_value_is_too_large() {
        let mut past = commuter().repeat(3);
        past.truncate(CHARGES);
        let night = usage(3, DayType::Weekend, 500, 70);
        past.extend(vec![night; 200]);
        assert_eq!(score(&past, &night), Some(HIGHEST));
        let huge = Usage {
            minute_of_day: u16::MAX,
            day: DayType::Weekend,
            gap: Some(Duration::from_ms(u64::MAX)),
            brought: Some(Brought { energy: WattHours::MAX, duration: Duration::from_ms(u64::MAX) }),
        };
        assert_eq!(score(&past, &huge), Some(HIGHEST));
        assert_eq!(score(&[huge; 20], &huge), Some(0));
    }

    #[test]
    fn logarithms_are_exact_at_powers_of_two_and_straight_between() {
        assert_eq!([0, 1, 2, 3, 4, 6, 1 << 40].map(octaves), [0, 0, 256, 384, 512, 640, 40 * 256]);
        assert_eq!(octaves(u64::MAX), 64 * 256 - 1);
    }
}
