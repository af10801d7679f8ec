//! From converter counts to current and energy, in fixed point.
//!
//! The interrupt adds up counts and their squares ([`Window::add`]); the main loop takes a window whenever one is full and makes an RMS value and energy of it.
//! Windows add, so one that nobody took in time is not lost, only longer. The voltage is not measured: it is the one of the configuration, so energy is apparent
//! energy at that voltage. It knows no phase angle, no phase but one, and no calendar. Called by [`crate::Station`] and by boards.

use crate::division::{add, divide, multiply};

/// How often the board samples, per second.
pub const SAMPLE_RATE_HZ: u16 = 4000;
/// How many samples make a window: half a second, 22 to 33 periods of 45 to 65 Hz.
pub const WINDOW_SAMPLES: u16 = SAMPLE_RATE_HZ / 2;
/// The converter's middle, which the sensor's bias sits at.
pub const MIDDLE: i16 = 512;
/// The converter's highest count.
pub const TOP: i16 = 1023;
/// A current below this, in mA, is noise and counts as none.
pub const ZERO_BELOW_MA: u32 = 150;

/// Four samples a ms.
const SAMPLES_PER_MS_BITS: u32 = 2;
const _: () = assert!(SAMPLE_RATE_HZ == 1000 << SAMPLES_PER_MS_BITS, "energy is counted in ms");
/// µJ in a watt-hour.
const UJ_PER_WH: u32 = 3_600_000_000;
/// How far the bias may lie from the middle, in counts; further away the sensor is not connected.
const BIAS_TOLERANCE: u32 = 64;
/// One sample in so many may touch an end of the converter's range.
const CLIPPED_SHARE: u32 = 100;
/// The most noise that is learned as such, in counts² · 2¹²: a current through a welded relay must not be taken for noise.
const MAX_FLOOR: u16 = 2 << FRACTION;
/// The bits of a mean square behind the point.
const FRACTION: u32 = 12;

/// Sums over samples of the current sensor, counted from [`MIDDLE`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Window {
    /// How many samples.
    pub samples: u16,
    /// Their sum.
    pub sum: i32,
    /// The sum of their squares.
    pub squares: u32,
    /// How many of them were at an end of the converter's range.
    pub clipped: u16,
}

impl Window {
    /// Takes another window in. Eight of the largest fit, four seconds; a main loop that is away for two is started again by the watchdog.
    pub const fn join(&mut self, other: &Self) {
        self.samples = self.samples.wrapping_add(other.samples);
        self.sum = self.sum.wrapping_add(other.sum);
        self.squares = self.squares.wrapping_add(other.squares);
        self.clipped = self.clipped.wrapping_add(other.clipped);
    }

    /// Adds one sample as the converter gives it, 0 to [`TOP`]. For tests and simulations: a board's interrupt has its own few instructions.
    pub fn add(&mut self, count: i16) {
        let value = i32::from(count.saturating_sub(MIDDLE));
        self.samples = self.samples.saturating_add(1);
        self.sum = self.sum.saturating_add(value);
        self.squares = self.squares.saturating_add(value.saturating_mul(value).unsigned_abs());
        self.clipped = self.clipped.saturating_add(u16::from(count <= 0 || count >= TOP));
    }
}

/// How a sensor's counts are read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Calibration {
    /// µA of the conductor for each count of the converter.
    pub microamps_per_count: u32,
    /// The mean square of the noise, in counts² · 2⁸, until it is learned with an open relay.
    pub floor: u16,
}

impl Calibration {
    /// SCT-013-000 (2000:1) with 33 Ω at 5 V.
    pub const SCT_013: Self = Self { microamps_per_count: 295_928, floor: 0 };
    /// ACS712 30 A (66 mV/A) at 5 V: reads 20 A RMS, whose peaks are 28 A.
    pub const ACS712_30A: Self = Self { microamps_per_count: 73_982, floor: 0 };
    /// ACS712 20 A (100 mV/A) at 5 V: ±20 A are its peaks, 14 A RMS.
    pub const ACS712_20A: Self = Self { microamps_per_count: 48_828, floor: 0 };
}

/// What a window says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Measured {
    /// The current, RMS, in mA.
    Current(u32),
    /// The sensor's bias is off or its range is left: nothing can be said, and nothing was counted.
    Fault,
}

/// The meter: cumulative energy, and the noise it has learned.
#[derive(Clone, Copy, Debug)]
pub struct Meter {
    microamps_per_count: u32,
    /// Counts² · 2¹².
    floor: u16,
    energy_uj: u64,
    /// What did not fill a ms yet: mW · samples, less than those of a ms.
    rest: u8,
}

impl Meter {
    /// A meter that nothing can be measured with until [`Meter::start`].
    #[must_use]
    pub const fn new() -> Self {
        Self { microamps_per_count: 0, floor: 0, energy_uj: 0, rest: 0 }
    }

    /// Begins with what an earlier start had counted, in µJ.
    pub fn start(&mut self, calibration: &Calibration, energy_uj: u64) {
        self.microamps_per_count = calibration.microamps_per_count;
        self.floor = calibration.floor.saturating_mul(16);
        self.energy_uj = energy_uj;
        self.rest = 0;
    }

    /// The cumulative energy in µJ; it never falls and is never rounded.
    #[must_use]
    pub const fn energy_uj(&self) -> u64 {
        self.energy_uj
    }

    /// The register in whole Wh, rounded down; the rest is counted on.
    #[must_use]
    pub fn register_wh(&self) -> u64 {
        divide(self.energy_uj, UJ_PER_WH).0
    }

    /// Counts a window at this voltage.
    pub fn take(&mut self, window: &Window, mains_v: u16) -> Measured {
        let Some(square) = mean_square(window) else { return Measured::Fault };
        let (counts, bits) = root(square.saturating_sub(self.floor.into()));
        let (nearest, _) = divide((multiply(counts.into(), self.microamps_per_count) >> bits).wrapping_add(500), 1000);
        let current_ma = u32::try_from(nearest).unwrap_or(u32::MAX);
        if current_ma < ZERO_BELOW_MA {
            return Measured::Current(0);
        }
        // 20 + 9 + 16 bits; and what a hundred chargers draw in a century fits 64.
        let milliwatts = current_ma.wrapping_mul(u32::from(mains_v));
        let total = multiply(milliwatts, window.samples.into()).wrapping_add(u64::from(self.rest));
        add(total >> SAMPLES_PER_MS_BITS, &mut self.energy_uj);
        let [low, ..] = total.to_le_bytes();
        self.rest = low & ((1 << SAMPLES_PER_MS_BITS) - 1);
        Measured::Current(current_ma)
    }

    /// Learns the noise from a window in which nothing flowed, because the relay is open; what is too strong for noise is not learned.
    pub fn learn_noise(&mut self, window: &Window) {
        let Some(square) = mean_square(window).and_then(|square| u16::try_from(square).ok()).filter(|square| *square <= MAX_FLOOR) else {
            return;
        };
        // The first one is believed, or its noise would be counted as a current until a mean has come near it; and so is a calmer one, because a bias that still
        // settles, or a window in which the relay has just opened, is no noise.
        if self.floor == 0 || square < self.floor {
            self.floor = square;
        }
        // A running mean over sixteen windows.
        self.floor = self.floor.wrapping_sub(self.floor >> 4).wrapping_add(square >> 4);
    }
}

impl Default for Meter {
    fn default() -> Self {
        Self::new()
    }
}

/// The variance of a window in counts² · 2¹²; nothing where the sensor is not there or beyond its range.
#[cfg_attr(target_arch = "avr", inline(never))]
fn mean_square(window: &Window) -> Option<u32> {
    let n = u32::from(window.samples);
    let sum = window.sum.unsigned_abs();
    // Samples have sixteen bits, the tolerance has seven.
    if n == 0 || sum > n.wrapping_mul(BIAS_TOLERANCE) || u32::from(window.clipped).wrapping_mul(CLIPPED_SHARE) > n {
        return None;
    }
    // Var = Σx²/n − (Σx/n)²; the mean in counts · 2⁶, which is below 2¹³.
    let (square, _) = divide(u64::from(window.squares) << FRACTION, n);
    let (mean, _) = divide(u64::from(sum) << (FRACTION / 2), n);
    let mean = u32::try_from(mean).ok()?;
    Some(u32::try_from(square).ok()?.saturating_sub(mean.wrapping_mul(mean)))
}

/// The root of a mean square: sixteen digits of it, and how many of them are behind the point; bit by bit, because the library's own brings a table, which
/// would cost the unit's memory.
fn root(square: u32) -> (u16, u32) {
    if square == 0 {
        return (0, 0);
    }
    let (mut square, mut bits) = (square, FRACTION / 2);
    while square < 1 << 30 {
        square <<= 2;
        bits = bits.wrapping_add(1);
    }
    let (mut rest, mut result) = (square, 0_u32);
    let mut bit = 1_u32 << 30;
    while bit != 0 {
        let trial = result.wrapping_add(bit);
        result >>= 1;
        if rest >= trial {
            rest = rest.wrapping_sub(trial);
            result = result.wrapping_add(bit);
        }
        bit >>= 2;
    }
    (u16::try_from(result).unwrap_or(u16::MAX), bits)
}
