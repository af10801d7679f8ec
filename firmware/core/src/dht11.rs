//! The DHT11: temperature and humidity over one wire.
//!
//! The host holds the line low for 18 ms, then the sensor sends forty bits, each a low of 50 µs and a high of 26–28 µs (0) or 70 µs (1), the last eight a sum (Aosong,
//! DHT11 data sheet). The 18 ms are waited for elsewhere; the 5 ms of the answer are spent here, with interrupts on: a bit that one of them spoils fails the sum,
//! and the reading is tried again with the next. A pin is embedded-hal's, driven as an open drain. Called by boards.

use core::convert::Infallible;

use embedded_hal::delay::DelayNs;
use embedded_hal::digital::{InputPin, OutputPin};

use crate::clock::has_passed;

/// Readings are taken so often, in ms; the sensor bears one a second.
const EVERY_MS: u32 = 10_000;
/// The host's low in ms.
const WAKE_MS: u32 = 20;
/// After the rise of a bit, when a 0 has fallen and a 1 has not, with room for an interrupt on either side.
const DECIDE_US: u32 = 35;
/// So many failures in a row mean that there is no sensor.
const FAILURES: u8 = 3;

/// A pin that is either pulled low or let go.
pub trait OpenDrain: InputPin<Error = Infallible> + OutputPin<Error = Infallible> {}

impl<P: InputPin<Error = Infallible> + OutputPin<Error = Infallible>> OpenDrain for P {}

/// What the sensor says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Climate {
    /// Temperature in 0.1 °C.
    pub temperature_dc: i16,
    /// Relative humidity in percent.
    pub humidity: u8,
}

/// The sensor on its pin.
#[derive(Debug)]
pub struct Dht11<P, D> {
    pin: P,
    delay: D,
    waking: bool,
    since_ms: u32,
    failures: u8,
}

impl<P: OpenDrain, D: DelayNs> Dht11<P, D> {
    /// A sensor that is read for the first time after ten seconds.
    pub const fn new(pin: P, delay: D) -> Self {
        Self { pin, delay, waking: false, since_ms: 0, failures: 0 }
    }

    /// To be called every few ms: a reading, or that there has been none for three attempts; nothing most of the time.
    pub fn poll(&mut self, now_ms: u32) -> Option<Option<Climate>> {
        if !self.waking {
            if has_passed(now_ms, &self.since_ms, EVERY_MS) {
                let Ok(()) = self.pin.set_low();
                self.waking = true;
                self.since_ms = now_ms;
            }
            return None;
        }
        if !has_passed(now_ms, &self.since_ms, WAKE_MS) {
            return None;
        }
        self.waking = false;
        let Ok(()) = self.pin.set_high();
        match self.read().as_ref().and_then(decode) {
            Some(climate) => {
                self.failures = 0;
                Some(Some(climate))
            }
            None => {
                self.failures = self.failures.saturating_add(1);
                (self.failures >= FAILURES).then_some(None)
            }
        }
    }

    fn read(&mut self) -> Option<[u8; 5]> {
        // The line rises, the sensor answers with 80 µs low and 80 µs high, then the first bit's low begins.
        self.wait_for(false)?;
        self.wait_for(true)?;
        self.wait_for(false)?;
        let mut bytes = [0; 5];
        for byte in &mut bytes {
            for _ in 0..8_u8 {
                self.wait_for(true)?;
                self.delay.delay_us(DECIDE_US);
                *byte <<= 1;
                if self.level() {
                    *byte |= 1;
                    self.wait_for(false)?;
                }
            }
        }
        Some(bytes)
    }

    /// Waits for a level, at most a quarter of a ms.
    #[cfg_attr(target_arch = "avr", inline(never))]
    fn wait_for(&mut self, level: bool) -> Option<()> {
        for _ in 0..120_u8 {
            if self.level() == level {
                return Some(());
            }
            self.delay.delay_us(1);
        }
        None
    }

    fn level(&mut self) -> bool {
        let Ok(level) = self.pin.is_high();
        level
    }
}

/// Checks the sum and reads the values; degrees below zero have the highest bit of the tenths set.
fn decode(bytes: &[u8; 5]) -> Option<Climate> {
    let [humidity, humidity_tenths, degrees, tenths, sum] = *bytes;
    let expected = humidity.wrapping_add(humidity_tenths).wrapping_add(degrees).wrapping_add(tenths);
    // All zero is a line that is held low.
    if sum != expected || *bytes == [0; 5] {
        return None;
    }
    let size = i16::from(degrees).saturating_mul(10).saturating_add(i16::from(tenths & 0x7f));
    Some(Climate { temperature_dc: if tenths & 0x80 == 0 { size } else { size.saturating_neg() }, humidity })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_degrees_above_and_below_zero_and_refuses_a_wrong_sum_and_a_dead_line() {
        assert_eq!(decode(&[40, 0, 23, 4, 67]), Some(Climate { temperature_dc: 234, humidity: 40 }));
        assert_eq!(decode(&[40, 0, 5, 0x81, 174]), Some(Climate { temperature_dc: -51, humidity: 40 }));
        assert_eq!(decode(&[40, 0, 23, 4, 68]), None);
        assert_eq!(decode(&[0; 5]), None);
    }
}
