//! The current that a car draws and what the sensor makes of it.

use std::f64::consts::{SQRT_2, TAU};

/// The voltage that energy is reckoned with, RMS.
pub const VOLTS: f64 = 230.0;

/// A current as a function of time.
#[derive(Clone, Debug)]
pub struct Wave {
    /// RMS of the whole, A.
    pub amperes: f64,
    /// The mains' frequency.
    pub hertz: f64,
    /// Multiples of the frequency and how strong they are against the fundamental.
    pub harmonics: Vec<(f64, f64)>,
}

impl Wave {
    /// A sine.
    #[must_use]
    pub fn sine(amperes: f64) -> Self {
        Self { amperes, hertz: 50.0, harmonics: Vec::new() }
    }

    /// The current at a time in s, A.
    #[must_use]
    pub fn at(&self, seconds: f64) -> f64 {
        let size = self.harmonics.iter().fold(1.0, |sum, (_, part)| sum + part * part).sqrt();
        let phase = TAU * self.hertz * seconds;
        let shape = self.harmonics.iter().fold(phase.sin(), |sum, (order, part)| sum + part * (order * phase + order).sin());
        SQRT_2 * self.amperes / size * shape
    }

    /// The voltage at a time, in phase with the fundamental, V.
    #[must_use]
    pub fn voltage_at(&self, seconds: f64) -> f64 {
        SQRT_2 * VOLTS * (TAU * self.hertz * seconds).sin()
    }
}

/// A current sensor at the converter.
#[derive(Clone, Debug)]
pub struct Sensor {
    /// Volts at the converter for each ampere.
    pub volts_per_ampere: f64,
    /// Volts without current.
    pub bias: f64,
    /// White noise at the converter, RMS, V.
    pub noise: f64,
    random: u64,
}

impl Sensor {
    /// SCT-013-000, 2000:1, 33 Ω; noise of half a count.
    #[must_use]
    pub fn sct_013() -> Self {
        Self { volts_per_ampere: 33.0 / 2000.0, bias: 2.5, noise: 0.0025, random: 0x9e37_79b9_7f4a_7c15 }
    }

    /// ACS712 30 A: 66 mV/A.
    #[must_use]
    pub fn acs712_30a() -> Self {
        Self { volts_per_ampere: 0.066, ..Self::sct_013() }
    }

    /// ACS712 20 A: 100 mV/A.
    #[must_use]
    pub fn acs712_20a() -> Self {
        Self { volts_per_ampere: 0.1, ..Self::sct_013() }
    }

    /// The converter's count, 0 to 1023, at 5 V.
    pub fn count(&mut self, amperes: f64) -> u32 {
        let volts = self.bias + amperes * self.volts_per_ampere + self.noise * self.gauss();
        (volts * 1024.0 / 5.0).floor().clamp(0.0, 1023.0) as u32
    }

    /// About normally distributed, variance 1: the sum of twelve uniform numbers.
    fn gauss(&mut self) -> f64 {
        (0..12).fold(-6.0, |sum, _| {
            self.random ^= self.random << 13;
            self.random ^= self.random >> 7;
            self.random ^= self.random << 17;
            sum + (self.random >> 11) as f64 / (1_u64 << 53) as f64
        })
    }
}

/// The voltage in mV that simavr converts into this count: it rounds `mV · 1023 / 5000` down, where the data sheet has 1024.
#[must_use]
pub fn millivolts_for(count: u32) -> u32 {
    (count * 5000).div_ceil(1023)
}
