//! The gateway's memory of a unit: what it has seen, so that nothing counts twice and nothing missing goes unnoticed.
//!
//! Pure: the gateway keeps [`Seen`] per device in its own store, together with the samples, and writes both before it answers. Then a crash on either side,
//! or a lost answer, is repaired by the unit sending the same samples under its next counter.

use crate::config::ConfigRequest;
use crate::error::ProtocolError;
use crate::readings::Readings;
use crate::types::{Head, Presented};

/// What the gateway has seen of a device; all zero for a new one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Seen {
    /// The highest boot number.
    pub boot: u32,
    /// The highest counter of that boot.
    pub counter: u32,
    /// The highest sample number of that boot.
    pub sample: u32,
    /// The highest tap number of that boot.
    pub tap: u16,
}

/// What is new in readings.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Admission {
    /// To be stored with the new samples, before the answer; its `sample` is the answer's `stored_sample`.
    pub seen: Seen,
    /// So many samples from the start of the message are already stored.
    pub duplicates: usize,
    /// So many samples before the first new one never arrived.
    pub missing: u32,
    /// A card that was not in an earlier message. A repeated one gets the same outcome in the answer and has no further effect.
    pub new_card: Option<Presented>,
}

impl Seen {
    /// Admits a configuration request: what to store, or [`ProtocolError::OldBoot`], [`ProtocolError::OldCounter`].
    pub fn admit_config(&self, request: &ConfigRequest) -> Result<Self, ProtocolError> {
        self.admit(&request.head)
    }

    /// Admits readings: what is new in them, or [`ProtocolError::OldBoot`], [`ProtocolError::OldCounter`].
    pub fn admit_readings(&self, readings: &Readings<'_>) -> Result<Admission, ProtocolError> {
        let mut seen = self.admit(&readings.head)?;
        let next = seen.sample.saturating_add(1);
        let (mut duplicates, mut missing) = (0, 0);
        if let Some((first, last)) = readings.numbers() {
            let known = usize::try_from(next.saturating_sub(first)).unwrap_or(usize::MAX);
            duplicates = known.min(readings.len());
            missing = first.saturating_sub(next);
            seen.sample = seen.sample.max(last);
        }
        let new_card = readings.presented.filter(|presented| presented.tap > seen.tap);
        if let Some(presented) = &new_card {
            seen.tap = presented.tap;
        }
        Ok(Admission { seen, duplicates, missing, new_card })
    }

    fn admit(&self, head: &Head) -> Result<Self, ProtocolError> {
        if head.boot < self.boot {
            return Err(ProtocolError::OldBoot);
        }
        if head.boot > self.boot {
            return Ok(Self { boot: head.boot, counter: head.counter, sample: 0, tap: 0 });
        }
        if head.counter <= self.counter {
            return Err(ProtocolError::OldCounter);
        }
        Ok(Self { counter: head.counter, ..*self })
    }
}
