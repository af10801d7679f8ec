//! How often a unit may ask: so many messages a second on the average with room for bursts, and few at once.
//!
//! On real time, whatever the node's clock shows: it protects this machine. Only messages with a good tag count, and one that was answered before is refused
//! before it counts, so that nobody who merely listens can use up a unit's share. Called by the door of the units.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use firmware_core::{DeviceId, Head, ProtocolError};

use crate::config::GatewayConfig;

/// Messages of one unit that may wait for an answer together: a unit sends one at a time, and may have given up on the one before.
const MOST_WAITING: u32 = 4;

/// Why a message is not looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Refused {
    /// It was answered before.
    Old(ProtocolError),
    /// Too many: room again after that.
    TooMany(Duration),
}

/// The paces of all units.
#[derive(Debug)]
pub(super) struct Pace {
    /// Messages a second; 0: any number.
    rate: u32,
    burst: u32,
    units: BTreeMap<DeviceId, Unit>,
}

#[derive(Clone, Copy, Debug)]
struct Unit {
    /// Boot and counter of the newest message that was admitted.
    newest: (u32, u32),
    /// Messages that it may send now, in thousandths.
    left: u64,
    at: Instant,
    waiting: u32,
}

impl Pace {
    /// The pace that the operator chose.
    pub fn new(settings: &GatewayConfig) -> Self {
        Self { rate: settings.unit_messages_per_s.into(), burst: settings.unit_burst, units: BTreeMap::new() }
    }

    /// Lets a message with a good tag pass, or not. One that passes must be [ended](Pace::end).
    ///
    /// # Errors
    /// [`Refused`].
    pub fn begin(&mut self, head: &Head, now: Instant) -> Result<(), Refused> {
        let full = u64::from(self.burst) * 1_000;
        let unit = self.units.entry(head.device).or_insert(Unit { newest: (0, 0), left: full, at: now, waiting: 0 });
        if head.boot < unit.newest.0 {
            return Err(Refused::Old(ProtocolError::OldBoot));
        }
        if (head.boot, head.counter) <= unit.newest {
            return Err(Refused::Old(ProtocolError::OldCounter));
        }
        if unit.waiting >= MOST_WAITING {
            return Err(Refused::TooMany(Duration::from_secs(1)));
        }
        if self.rate > 0 {
            let passed_ms = u64::try_from(now.saturating_duration_since(unit.at).as_millis()).unwrap_or(u64::MAX);
            unit.left = unit.left.saturating_add(passed_ms.saturating_mul(self.rate.into())).min(full);
            unit.at += Duration::from_millis(passed_ms);
            let Some(left) = unit.left.checked_sub(1_000) else {
                let lacking_ms = (1_000 - unit.left).div_ceil(self.rate.into());
                return Err(Refused::TooMany(Duration::from_millis(lacking_ms)));
            };
            unit.left = left;
        }
        unit.waiting += 1;
        Ok(())
    }

    /// A message that passed is done with; `admitted`: the gateway has taken it, so that it can never be taken again.
    pub fn end(&mut self, head: &Head, admitted: bool) {
        if let Some(unit) = self.units.get_mut(&head.device) {
            unit.waiting = unit.waiting.saturating_sub(1);
            if admitted {
                unit.newest = unit.newest.max((head.boot, head.counter));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(counter: u32) -> Head {
        Head { device: DeviceId(7), boot: 1, counter }
    }

    fn pace(rate: u16, burst: u32) -> Pace {
        Pace::new(&GatewayConfig { unit_messages_per_s: rate, unit_burst: burst, ..GatewayConfig::default() })
    }

    #[test]
    fn a_unit_has_its_burst_and_then_its_rate_and_others_are_not_held_up_by_it() {
        let (mut pace, start) = (pace(2, 3), Instant::now());
        let mut ask = |counter, ms| {
            let outcome = pace.begin(&head(counter), start + Duration::from_millis(ms));
            if outcome.is_ok() {
                pace.end(&head(counter), true);
            }
            outcome
        };
        for counter in 1..=3 {
            assert_eq!(ask(counter, 0), Ok(()));
        }
        assert_eq!(ask(4, 0), Err(Refused::TooMany(Duration::from_millis(500))));
        assert_eq!(ask(4, 499), Err(Refused::TooMany(Duration::from_millis(1))));
        assert_eq!(ask(4, 500), Ok(()));
        assert_eq!(ask(5, 500), Err(Refused::TooMany(Duration::from_millis(500))));
        let other = Head { device: DeviceId(8), ..head(1) };
        assert_eq!(pace.begin(&other, start), Ok(()));
    }

    #[test]
    fn a_message_that_was_taken_before_uses_nothing_up() {
        let (mut pace, now) = (pace(1, 2), Instant::now());
        pace.begin(&head(5), now).unwrap();
        pace.end(&head(5), true);
        for _ in 0..100 {
            assert_eq!(pace.begin(&head(5), now), Err(Refused::Old(ProtocolError::OldCounter)));
        }
        assert_eq!(pace.begin(&Head { boot: 0, ..head(9) }, now), Err(Refused::Old(ProtocolError::OldBoot)));
        assert_eq!(pace.begin(&head(6), now), Ok(()));
    }

    #[test]
    fn few_messages_of_a_unit_wait_together_whatever_the_rate() {
        let (mut pace, now) = (pace(0, 0), Instant::now());
        for counter in 1..=MOST_WAITING {
            assert_eq!(pace.begin(&head(counter), now), Ok(()));
        }
        assert!(matches!(pace.begin(&head(9), now), Err(Refused::TooMany(_))));
        pace.end(&head(1), false);
        assert_eq!(pace.begin(&head(9), now), Ok(()));
    }
}
