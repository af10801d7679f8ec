//! Whether application and engine still answer: a disk that hangs stops both without a word, and the tips of the others with them.
//!
//! Time is counted in waits of some seconds: a process that was itself suspended has not been kept waiting. What follows is for `driver` to do.

use std::{pin::pin, time::Duration};

use arc_malachitebft_app_channel::AppMsg;
use tokio::time::{Interval, MissedTickBehavior, interval, timeout};

use crate::{ConsensusError, context::Context, others::STANDSTILL_LIMIT};

const WAIT: Duration = Duration::from_secs(5);
const WAITS: u64 = STANDSTILL_LIMIT.as_secs() / WAIT.as_secs();

/// Waits for what takes a moment unless a disk hangs.
///
/// # Errors
/// [`ConsensusError::Silent`], or what came instead.
pub(super) async fn in_time<T>(work: impl Future<Output = Result<T, ConsensusError>>) -> Result<T, ConsensusError> {
    let mut work = pin!(work);
    for _ in 0..WAITS {
        if let Ok(result) = timeout(WAIT, &mut work).await {
            return result;
        }
    }
    Err(ConsensusError::Silent)
}

/// Whether a message shows that the part of the engine lives that decides: synchronisation asks by itself, every second, whatever has become of that.
pub(super) fn is_of_consensus(message: &AppMsg<Context>) -> bool {
    !matches!(message, AppMsg::GetDecidedValues { .. } | AppMsg::GetHistoryMinHeight { .. })
}

/// How long the engine has said nothing.
#[derive(Debug)]
pub(super) struct Silence {
    looks: Interval,
    unheard: u64,
}

impl Silence {
    pub(super) fn begin() -> Self {
        let mut looks = interval(WAIT);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { looks, unheard: 0 }
    }

    /// Resolves when it is time for [`Self::lasts`]. Cancel-safe.
    pub(super) async fn look(&mut self) {
        self.looks.tick().await;
    }

    /// The engine has said something.
    pub(super) fn broken(&mut self) {
        self.unheard = 0;
    }

    /// Counts a look, and gives whether the engine has been silent too long. A validator with a height under way repeats its votes every other second, whoever
    /// else is there; nothing is `expected` of one that waits for work, nor of an observer.
    pub(super) fn lasts(&mut self, expected: bool) -> bool {
        self.unheard = if expected { self.unheard.saturating_add(1) } else { 0 };
        self.unheard > WAITS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_is_silent_after_a_minute_without_a_word_that_was_expected() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let mut silence = Silence::begin();
            assert!((0..WAITS * 3).all(|_| !silence.lasts(false)), "nothing is expected while idle");
            assert!((0..WAITS).all(|_| !silence.lasts(true)));
            silence.broken();
            assert!((0..WAITS).all(|_| !silence.lasts(true)) && silence.lasts(true));
        });
    }
}
