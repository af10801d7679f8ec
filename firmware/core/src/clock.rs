//! Universal time for a unit that has only a millisecond counter: every answer sets it, nothing else does.
//!
//! It never runs backwards, because samples may not; when it is ahead it stands still until the time has caught up. It does not measure its own drift.
//! Called by [`crate::Unit`].

use crate::division::{add, is_less};

/// For how long after an answer the unit's clock counts as synchronised.
const VALID_MS: u32 = 24 * 60 * 60 * 1000;

/// What a unit's millisecond counter would say at a time of a 64-bit clock: for simulated units, whose boards have no counter of their own.
#[must_use]
pub const fn counter_ms(time_ms: u64) -> u32 {
    (time_ms & 0xffff_ffff) as u32
}

/// Whether so many ms have gone by since then. One function for all who ask, by reference: on an ATmega the comparison itself is as long as all of this call.
#[cfg_attr(target_arch = "avr", inline(never))]
pub(crate) fn has_passed(now_ms: u32, since_ms: &u32, limit_ms: u32) -> bool {
    now_ms.wrapping_sub(*since_ms) >= limit_ms
}

/// A time for a sample.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stamp {
    /// Ms since the Unix epoch, UTC.
    pub at_ms: u64,
    /// Whether an answer had set the clock within the last 24 hours.
    pub synchronised: bool,
}

/// Universal time, once an answer has said it.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    known: Option<Known>,
    /// The latest time ever given out.
    given_ms: u64,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    counter_ms: u32,
    utc_ms: u64,
    /// Time since an answer set the clock.
    age_ms: u32,
}

impl Clock {
    /// A clock that knows nothing yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { known: None, given_ms: 0 }
    }

    /// Takes over the gateway's time from an authenticated answer that has just arrived.
    #[cfg_attr(target_arch = "avr", inline(never))]
    pub const fn set(&mut self, counter_ms: u32, utc_ms: u64) {
        self.known = Some(Known { counter_ms, utc_ms, age_ms: 0 });
    }

    /// The time for a sample taken now; `None` before the first answer. To be called at least every 49 days.
    pub fn stamp(&mut self, counter_ms: u32) -> Option<Stamp> {
        let known = self.known.as_mut()?;
        let elapsed_ms = counter_ms.wrapping_sub(known.counter_ms);
        known.counter_ms = counter_ms;
        // Times have 48 bits.
        add(elapsed_ms.into(), &mut known.utc_ms);
        known.age_ms = known.age_ms.saturating_add(elapsed_ms);
        if is_less(&self.given_ms, &known.utc_ms) {
            self.given_ms = known.utc_ms;
        }
        Some(Stamp { at_ms: self.given_ms, synchronised: known.age_ms < VALID_MS })
    }
}
