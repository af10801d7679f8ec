//! How long each charge takes and with how much power: 300 of them for three drivers, whose sums, means, deviations and correlation are the paper's.
//!
//! Everybody's length is drawn first, then everybody's power with noise of its own; what is left free (the mean of the powers, and how much they fall with the
//! length) is found by halving. Nothing here knows days. Called by [`super::visits`].

use rand::{Rng as _, rngs::StdRng, seq::SliceRandom as _};

use super::{CARS, CHARGES, ONE_DRIVER, Shape, UNSWITCHED, VOLTS};

/// All charges together: hours and kWh (Table 2).
const HOURS: f64 = 1_060.0;
const KWH: f64 = 2_450.0;

/// The one driver of Figs. 21 and 22: hours and kWh of a charge, mean and deviation.
const ONE_HOURS: (f64, f64) = (5.12, 2.03);
const ONE_KWH: (f64, f64) = (11.67, 4.58);

/// The shortest and the longest of his charges, h.
const ONE_RANGE: (f64, f64) = (1.03, 8.95);

/// His charges: as many as leave room for the others' (Fig. 24 has only 32 above six hours).
const ONE_COUNT: std::ops::RangeInclusive<usize> = 64..=76;

/// Fig. 24: charges of more than [`LONG`] hours, and of more than [`MUCH`] kWh.
const LONG_COUNT: usize = CHARGES - (117 + 82 + 69);
const MUCH_COUNT: usize = CHARGES - (108 + 93 + 76);
const LONG: f64 = 6.0;
const MUCH: f64 = 15.0;

/// Fig. 19: the correlation of length and power, of charges above so many hours.
const CORRELATION: f64 = -0.30;
const CORRELATED_FROM: f64 = 3.0;

/// The power of a charge, kW.
const POWER: (f64, f64) = (2.1, 2.5);

/// A charge's own deviation in power: the sum of two even draws up to this, kW.
const NOISE: f64 = 0.085;

/// How far lengths stay from the edge at six hours, h: the chain counts to the second.
const CLEAR: f64 = 0.03;

/// The longest charge of the others that is not above six hours.
const OTHERS_LONGEST: f64 = 5.9;

/// A length and a power.
#[derive(Clone, Copy, Debug)]
struct Charge {
    hours: f64,
    kw: f64,
}

/// What each driver charges, in the order of his charges; nothing where this draw does not fit.
pub(super) fn draw(random: &mut StdRng) -> Option<[Vec<Shape>; CARS]> {
    let one_count = random.random_range(ONE_COUNT);
    let one = one_driver(random, one_count)?;
    let others = others(random, &one)?;
    is_the_papers(&one, &others).then_some(())?;
    let mut shapes = [const { Vec::new() }; CARS];
    shapes[ONE_DRIVER] = one.iter().map(Charge::shape).collect();
    let (mut long, mut rest): (Vec<_>, Vec<_>) = others.into_iter().partition(|charge| charge.hours > LONG);
    rest.shuffle(random);
    // The point without a switch is opened by a mandate, whose bounds follow from its owner's past: his are the more even ones.
    let half = (CHARGES - one_count) / 2;
    let unswitched = random.random_range(half - 5..=half + 5);
    long.extend(rest.split_off(unswitched));
    for (driver, charges) in [(UNSWITCHED, &rest), (CARS - 1, &long)] {
        shapes[driver] = charges.iter().map(Charge::shape).collect();
    }
    for shapes in &mut shapes {
        shapes.shuffle(random);
    }
    (0..100)
        .any(|_| {
            shapes[UNSWITCHED].shuffle(random);
            follows_from_the_past(&shapes[UNSWITCHED])
        })
        .then_some(shapes)
}

impl Charge {
    fn kwh(&self) -> f64 {
        self.hours * self.kw
    }

    /// In whole mA and Wh, as a meter has them.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small and positive: kW and kWh of one car")]
    fn shape(&self) -> Shape {
        let current_ma = (self.kw * 1e6 / VOLTS as f64).round() as u32;
        Shape { current_ma, energy_wh: (self.kwh() * 1e3).round() as u64 }
    }
}

/// The charges of the one driver whose distributions the paper shows.
fn one_driver(random: &mut StdRng, count: usize) -> Option<Vec<Charge>> {
    let (mean, deviation) = (ONE_HOURS.0 + random.random_range(-0.01..0.01), ONE_HOURS.1 + random.random_range(-0.01..0.01));
    let mut hours: Vec<f64> = (0..count).map(|_| ONE_RANGE.0 + (ONE_RANGE.1 - ONE_RANGE.0) * domed(random)).collect();
    fit(&mut hours, (mean, deviation), ONE_RANGE)?;
    let noise = noise(random, count);
    let with_slope = |slope: f64| -> Vec<Charge> {
        let raw: Vec<f64> = hours.iter().zip(&noise).map(|(hours, noise)| slope * (hours - mean) + noise).collect();
        let surplus: f64 = hours.iter().zip(&raw).map(|(hours, raw)| hours * raw).sum();
        let level = (ONE_KWH.0 * count as f64 - surplus) / hours.iter().sum::<f64>();
        hours.iter().zip(raw).map(|(hours, raw)| Charge { hours: *hours, kw: level + raw }).collect()
    };
    let spread = |slope: f64| deviation_of(with_slope(slope).iter().map(Charge::kwh)) - ONE_KWH.1;
    Some(with_slope(halve(spread, (-0.08, 0.08))?))
}

/// The charges of the other two, so that all together are what the paper's table says.
fn others(random: &mut StdRng, one: &[Charge]) -> Option<Vec<Charge>> {
    let count = CHARGES - one.len();
    let long = LONG_COUNT.checked_sub(one.iter().filter(|charge| charge.hours > LONG).count())?;
    let much = MUCH_COUNT.checked_sub(one.iter().filter(|charge| charge.kwh() > MUCH).count())?;
    let between = long.checked_sub(much)?;
    let mut hours: Vec<f64> = (0..much).map(|_| random.random_range(7.0..8.4)).collect();
    hours.extend((0..between).map(|_| random.random_range(LONG + CLEAR..6.25)));
    let left = HOURS + random.random_range(-2.0..2.0) - sum(one.iter().map(|charge| charge.hours)) - sum(hours.iter().copied());
    hours.extend(short(random, count - long, left)?);

    let noise = noise(random, count);
    let kwh = KWH + random.random_range(-4.0..4.0) - sum(one.iter().map(Charge::kwh));
    let total = sum(hours.iter().copied());
    let with_slope = |slope: f64| -> Vec<Charge> {
        let raw: Vec<f64> = hours.iter().zip(&noise).map(|(hours, noise)| slope * hours + noise).collect();
        let level = (kwh - sum(hours.iter().zip(&raw).map(|(hours, raw)| hours * raw))) / total;
        hours.iter().zip(raw).map(|(hours, raw)| Charge { hours: *hours, kw: (level + raw).clamp(POWER.0, POWER.1) }).collect()
    };
    let aim = CORRELATION + random.random_range(-0.03..0.03);
    let miss = |slope: f64| correlation(one.iter().chain(&with_slope(slope)).filter(|charge| charge.hours > CORRELATED_FROM)) - aim;
    Some(with_slope(halve(miss, (-0.12, 0.12))?))
}

/// So many charges of at most six hours, that many hours together: many short ones, few long ones.
fn short(random: &mut StdRng, count: usize, total: f64) -> Option<Vec<f64>> {
    const SHORTEST: f64 = 0.45;
    let raw: Vec<f64> = (0..count).map(|_| random.random_range(0.0..1.0_f64)).collect();
    // A higher power makes them shorter; where it is 1 they are even.
    let with_power = |power: f64| raw.iter().map(move |raw| SHORTEST + (OTHERS_LONGEST - SHORTEST) * raw.powf(power));
    let power = halve(|power| sum(with_power(power)) - total, (0.4, 4.0))?;
    Some(with_power(power).collect())
}

/// Whether the whole is within the paper's figures; narrower than these are told, because a meter and a clock round.
fn is_the_papers(one: &[Charge], others: &[Charge]) -> bool {
    let all = || one.iter().chain(others);
    let near = |found: f64, target: f64, tolerance: f64| (found - target).abs() <= tolerance;
    let hours = sum(all().map(|charge| charge.hours));
    let kwh = sum(all().map(Charge::kwh));
    let above = || all().filter(|charge| charge.hours > CORRELATED_FROM);
    near(hours, HOURS, 4.0)
        && near(kwh, KWH, 10.0)
        && near(kwh / hours, KWH / HOURS, 0.012)
        && all().all(|charge| (POWER.0..=POWER.1).contains(&charge.kw) && (charge.hours - LONG).abs() >= CLEAR / 2.0)
        && one.iter().all(|charge| (2.05..=21.9).contains(&charge.kwh()))
        && near(mean_of(one.iter().map(Charge::kwh)), ONE_KWH.0, 0.05)
        && near(deviation_of(one.iter().map(Charge::kwh)), ONE_KWH.1, 0.05)
        && all().filter(|charge| charge.hours > LONG).count() == LONG_COUNT
        && all().filter(|charge| charge.kwh() > MUCH).count() == MUCH_COUNT
        && deviation_of(all().map(|charge| charge.kw)) >= 0.055
        && near(mean_of(above().map(|charge| charge.kw)), 2.3, 0.03)
        && near(correlation(above()), CORRELATION, 0.05)
}

/// Whether no charge is far beyond those before it, by which the gateway bounds what a mandate locks and for how long.
fn follows_from_the_past(charges: &[Shape]) -> bool {
    charges.iter().enumerate().skip(3).all(|(place, charge)| {
        let past = &charges[place.saturating_sub(20)..place];
        let most_wh = past.iter().map(|past| past.energy_wh).max().unwrap_or_default();
        let longest_ms = past.iter().map(|past| past.draws_for_ms()).max().unwrap_or_default();
        charge.energy_wh * 100 <= most_wh * 118 && charge.draws_for_ms() * 100 <= longest_ms * 140
    })
}

/// Between 0 and 1, with a broad dome about the middle: a beta distribution with the mean and deviation of the one driver's hours on their range.
fn domed(random: &mut StdRng) -> f64 {
    let height = |x: f64| x.powf(0.483) * (1.0 - x).powf(0.396);
    let peak = height(0.483 / (0.483 + 0.396));
    loop {
        let x: f64 = random.random_range(0.0..1.0);
        if random.random_range(0.0..peak) < height(x) {
            return x;
        }
    }
}

fn noise(random: &mut StdRng, count: usize) -> Vec<f64> {
    (0..count).map(|_| random.random_range(-NOISE..NOISE) + random.random_range(-NOISE..NOISE)).collect()
}

/// Moves and stretches values until they have this mean and deviation within this range; nothing where they never have.
fn fit(values: &mut [f64], (mean, deviation): (f64, f64), (least, most): (f64, f64)) -> Option<()> {
    for _ in 0..200 {
        let (found_mean, found_deviation) = (mean_of(values.iter().copied()), deviation_of(values.iter().copied()));
        if (found_mean - mean).abs() < 0.002 && (found_deviation - deviation).abs() < 0.002 {
            return Some(());
        }
        for value in values.iter_mut() {
            *value = (mean + (*value - found_mean) * deviation / found_deviation).clamp(least, most);
        }
    }
    None
}

/// Where a rising or falling function is zero within a range; nothing where it is not.
fn halve(function: impl Fn(f64) -> f64, (mut low, mut high): (f64, f64)) -> Option<f64> {
    let at_low = function(low);
    if at_low * function(high) > 0.0 {
        return None;
    }
    for _ in 0..50 {
        let middle = (low + high) / 2.0;
        if function(middle) * at_low > 0.0 { low = middle } else { high = middle }
    }
    Some((low + high) / 2.0)
}

fn sum(values: impl Iterator<Item = f64>) -> f64 {
    values.sum()
}

fn mean_of(values: impl Iterator<Item = f64>) -> f64 {
    let (count, sum) = values.fold((0.0, 0.0), |(count, sum), value| (count + 1.0, sum + value));
    sum / count
}

fn deviation_of(values: impl Iterator<Item = f64> + Clone) -> f64 {
    let mean = mean_of(values.clone());
    let (count, squares) = values.fold((0.0, 0.0), |(count, sum), value| (count + 1.0, sum + (value - mean) * (value - mean)));
    (squares / (count - 1.0_f64)).sqrt()
}

/// Pearson's coefficient of hours and power.
fn correlation<'a>(charges: impl Iterator<Item = &'a Charge>) -> f64 {
    let pairs: Vec<_> = charges.map(|charge| (charge.hours, charge.kw)).collect();
    let (mean_x, mean_y) = (mean_of(pairs.iter().map(|pair| pair.0)), mean_of(pairs.iter().map(|pair| pair.1)));
    let (mut xy, mut xx, mut yy) = (0.0, 0.0, 0.0);
    for (x, y) in pairs {
        xy += (x - mean_x) * (y - mean_y);
        xx += (x - mean_x) * (x - mean_x);
        yy += (y - mean_y) * (y - mean_y);
    }
    xy / (xx * yy).sqrt()
}
