//! How much somebody may ask of this node in a span of time: a store of permits that fills at a steady rate.
//!
//! By the driver's time and not the ledger's, because it bounds work. Called by `driver` and `wake`.

use std::{collections::HashMap, hash::Hash, time::Duration};

use tokio::time::Instant;

/// Keys that are remembered at most; beyond it those whose stores are full again are forgotten, and where there are none, all.
const MAX_KEYS: usize = 256;

/// A store's size and how fast it fills.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate {
    /// Permits in a full store.
    pub(crate) burst: u64,
    /// Permits that come back in a minute.
    pub(crate) per_minute: u64,
}

/// One store of permits for each key.
#[derive(Debug)]
pub(crate) struct Limits<K> {
    rate: Rate,
    /// What was taken and has not come back, when that was so.
    taken: HashMap<K, (u64, Instant)>,
}

impl<K: Eq + Hash> Limits<K> {
    pub(crate) fn new(rate: Rate) -> Self {
        Self { rate, taken: HashMap::new() }
    }

    /// Whether a key's store holds a permit.
    pub(crate) fn holds(&self, key: &K, now: Instant) -> bool {
        let taken = self.taken.get(key);
        taken.is_none_or(|(taken, then)| left(*taken, now.saturating_duration_since(*then), self.rate) < self.rate.burst)
    }

    /// Takes permits out of a key's store, or none where it holds too few.
    pub(crate) fn take(&mut self, key: K, permits: u64, now: Instant) -> bool {
        if self.taken.len() >= MAX_KEYS {
            let rate = self.rate;
            self.taken.retain(|_, (taken, then)| left(*taken, now.saturating_duration_since(*then), rate) > 0);
            if self.taken.len() >= MAX_KEYS {
                self.taken.clear();
            }
        }
        let (taken, then) = self.taken.entry(key).or_insert((0, now));
        let missing = left(*taken, now.saturating_duration_since(*then), self.rate);
        let asked = missing.saturating_add(permits);
        if asked > self.rate.burst {
            return false;
        }
        (*taken, *then) = (asked, now);
        true
    }
}

/// What of `taken` is still missing after some time.
fn left(taken: u64, passed: Duration, rate: Rate) -> u64 {
    let back = passed.as_millis().saturating_mul(u128::from(rate.per_minute)) / 60_000;
    taken.saturating_sub(u64::try_from(back).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_empties_at_once_and_fills_with_time_for_each_key_apart() {
        let mut limits = Limits::new(Rate { burst: 10, per_minute: 300 });
        let begin = Instant::now();
        assert!(limits.take("one", 10, begin) && !limits.take("one", 1, begin));
        assert!(!limits.holds(&"one", begin) && limits.holds(&"other", begin) && limits.holds(&"one", begin + Duration::from_secs(1)));
        assert!(limits.take("other", 10, begin));
        assert!(!limits.take("one", 6, begin + Duration::from_secs(1)));
        assert!(limits.take("one", 5, begin + Duration::from_secs(1)));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut limits = Limits::new(Rate { burst: 1, per_minute: 60 });
        let begin = Instant::now();
        for key in 0..10_000_u64 {
            limits.take(key, 1, begin);
        }
        assert!(limits.taken.len() <= MAX_KEYS);
    }
}
