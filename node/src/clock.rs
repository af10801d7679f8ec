//! The node's only notion of time: the machine's clock, or in a test federation one that is stepped from outside.
//!
//! Ledger time only: block timestamps, deadlines, leases, expiries. Timeouts of consensus, watchdogs and rate limits are real time and do not come here.
//! Besides telling and awaiting time it knows whether anybody still has something to do in the present instant ([`Clock::is_quiet`]), because a stepped clock
//! may move only when nobody has. A leaf: everyone may import it, it imports nothing of the node.

use std::{
    collections::BTreeSet,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::{SystemTime, UNIX_EPOCH},
};

use chain::time::{Duration, Timestamp};
use tokio::sync::{Notify, watch};

/// A real sleep is cut into pieces of this length, so that a corrected machine clock is noticed.
const LONGEST_NAP: std::time::Duration = std::time::Duration::from_secs(10);

/// A clock; clones show the same time.
#[derive(Clone, Debug)]
pub struct Clock(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    source: Source,
    agenda: Mutex<Agenda>,
    changed: Notify,
    /// How many hold blocks back.
    holding: watch::Sender<u32>,
}

/// Where the time comes from.
enum Source {
    /// It is given from outside.
    Stepped(watch::Sender<Timestamp>),
    /// It passes by itself.
    Read(Box<dyn Fn() -> Timestamp + Send + Sync>),
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Stepped(_) => "Stepped",
            Self::Read(_) => "Read",
        })
    }
}

#[derive(Debug, Default)]
struct Agenda {
    timers: BTreeSet<(Timestamp, u64)>,
    next_timer: u64,
    at_work: u64,
}

/// What a clock still waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Left {
    /// How many have something to do in the present instant.
    pub at_work: u64,
    /// The earliest time that anybody sleeps until.
    pub next_timer: Option<Timestamp>,
}

/// A stepped clock asked to go back.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ClockError {
    /// Time only goes forward.
    #[error("the clock is at {now} and cannot go back to {to}")]
    Backwards {
        /// What it shows.
        now: Timestamp,
        /// What was asked.
        to: Timestamp,
    },
    /// The machine's clock is not ours to set.
    #[error("the clock is the machine's: it is not stepped")]
    NotStepped,
}

impl Clock {
    /// The machine's clock.
    #[must_use]
    pub fn real() -> Self {
        Self::reading(machine_time)
    }

    /// A clock that nobody steps and that shows what `read` says: for a node the machine's time, for a test one that jumps as a machine's may.
    #[must_use]
    pub fn reading(read: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self::of(Source::Read(Box::new(read)))
    }

    /// A clock that stands at `at` until it is [set](Clock::set).
    #[must_use]
    pub fn stepped(at: Timestamp) -> Self {
        let (stepped, _) = watch::channel(at);
        Self::of(Source::Stepped(stepped))
    }

    fn of(source: Source) -> Self {
        Self(Arc::new(Inner { source, agenda: Mutex::default(), changed: Notify::new(), holding: watch::Sender::new(0) }))
    }

    fn stepping(&self) -> Option<&watch::Sender<Timestamp>> {
        match &self.0.source {
            Source::Stepped(stepped) => Some(stepped),
            Source::Read(_) => None,
        }
    }

    /// Whether time is given from outside.
    #[must_use]
    pub fn is_stepped(&self) -> bool {
        self.stepping().is_some()
    }

    /// The present.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        match &self.0.source {
            Source::Stepped(stepped) => *stepped.borrow(),
            Source::Read(read) => read(),
        }
    }

    /// Moves a stepped clock on; to the same instant is allowed and changes nothing.
    ///
    /// # Errors
    /// [`ClockError`].
    pub fn set(&self, to: Timestamp) -> Result<(), ClockError> {
        let stepped = self.stepping().ok_or(ClockError::NotStepped)?;
        let now = *stepped.borrow();
        if to < now {
            return Err(ClockError::Backwards { now, to });
        }
        stepped.send_replace(to);
        Ok(())
    }

    /// Resolves at `at`, at once where that is past, with a [`Work`] that the sleeper keeps until it has done what it woke for.
    /// The timer counts from this call on, not from the first poll. Cancel-safe.
    pub fn sleep_until(&self, at: Timestamp) -> Sleep {
        let mut agenda = self.agenda();
        let number = agenda.next_timer;
        agenda.next_timer = number.wrapping_add(1);
        agenda.timers.insert((at, number));
        drop(agenda);
        let clock = self.clone();
        let wait = Box::pin(async move { clock.reach(at).await });
        Sleep { clock: self.clone(), timer: (at, number), wait }
    }

    /// Resolves after `span`; see [`Clock::sleep_until`].
    pub fn sleep(&self, span: Duration) -> Sleep {
        self.sleep_until(self.now().saturating_add(span))
    }

    async fn reach(&self, at: Timestamp) {
        if let Some(stepped) = self.stepping() {
            // The sender lives as long as this clock, so the wait ends only at the time.
            let _ = stepped.subscribe().wait_for(|now| *now >= at).await;
            return;
        }
        loop {
            let left = at.since(self.now());
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(left.ms()).min(LONGEST_NAP)).await;
        }
    }

    /// Says that somebody has something to do in the present instant, until the answer is dropped: a message being handled, a submission under way.
    #[must_use]
    pub fn work(&self) -> Work {
        let mut agenda = self.agenda();
        agenda.at_work = agenda.at_work.saturating_add(1);
        Work(self.clone())
    }

    /// Whether nobody is at work and no timer has come.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        let now = self.now();
        let agenda = self.agenda();
        agenda.at_work == 0 && agenda.timers.first().is_none_or(|(at, _)| *at > now)
    }

    /// What keeps the present instant from ending, for whoever has waited long for it.
    #[must_use]
    pub fn left(&self) -> Left {
        let agenda = self.agenda();
        Left { at_work: agenda.at_work, next_timer: agenda.timers.first().map(|(at, _)| *at) }
    }

    /// The earliest time that anybody sleeps until.
    #[must_use]
    pub fn next_timer(&self) -> Option<Timestamp> {
        self.agenda().timers.first().map(|(at, _)| *at)
    }

    /// Resolves when somebody may have become quiet since the last call; may resolve without reason.
    pub async fn changed(&self) {
        self.0.changed.notified().await;
    }

    /// Makes [`Clock::changed`] resolve: something that quietness depends on is different.
    pub fn touch(&self) {
        self.0.changed.notify_one();
    }

    /// Holds new blocks back for as long as the answer lives: somebody is still bringing what belongs to the present instant, and all of it can share a block.
    /// Only for a stepped clock, on which that takes no time; elsewhere nothing is held.
    #[must_use]
    pub fn hold_blocks(&self) -> Option<HeldBlocks> {
        self.is_stepped().then(|| {
            self.0.holding.send_modify(|holders| *holders = holders.saturating_add(1));
            HeldBlocks(self.clone())
        })
    }

    /// Whether blocks are held back.
    #[must_use]
    pub fn is_holding(&self) -> bool {
        *self.0.holding.borrow() > 0
    }

    /// Resolves when blocks are not held back. Cancel-safe.
    pub async fn released(&self) {
        // The sender lives as long as this clock.
        let _ = self.0.holding.subscribe().wait_for(|holders| *holders == 0).await;
    }

    fn agenda(&self) -> MutexGuard<'_, Agenda> {
        // Every change of it is a single step, so a panic elsewhere leaves it whole.
        self.0.agenda.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn machine_time() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_ms(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// No new block begins while it lives; see [`Clock::hold_blocks`].
#[derive(Debug)]
pub struct HeldBlocks(Clock);

impl Drop for HeldBlocks {
    fn drop(&mut self) {
        self.0.0.holding.send_modify(|holders| *holders = holders.saturating_sub(1));
        self.0.touch();
    }
}

/// Something to do in the present instant, for as long as it lives.
#[derive(Debug)]
pub struct Work(Clock);

impl Drop for Work {
    fn drop(&mut self) {
        let mut agenda = self.0.agenda();
        agenda.at_work = agenda.at_work.saturating_sub(1);
        drop(agenda);
        self.0.touch();
    }
}

/// A sleep on a clock; see [`Clock::sleep_until`].
#[must_use = "a sleep that is not awaited only keeps the clock from being quiet"]
pub struct Sleep {
    clock: Clock,
    timer: (Timestamp, u64),
    wait: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Future for Sleep {
    type Output = Work;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Work> {
        match self.wait.as_mut().poll(context) {
            // At work before the timer is struck off, so that there is no quiet moment between.
            Poll::Ready(()) => Poll::Ready(self.clock.work()),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.clock.agenda().timers.remove(&self.timer);
        self.clock.touch();
    }
}

impl std::fmt::Debug for Sleep {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sleep").field("until", &self.timer.0).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_held_until_the_last_holder_lets_go_and_never_on_a_real_clock() {
        let clock = Clock::stepped(Timestamp::from_ms(10));
        let (one, other) = (clock.hold_blocks(), clock.hold_blocks());
        drop(one);
        assert!(clock.is_holding());
        drop(other);
        assert!(!clock.is_holding());
        assert!(Clock::real().hold_blocks().is_none());
    }

    #[tokio::test]
    async fn a_stepped_clock_is_quiet_only_when_sleepers_have_done_what_they_woke_for() {
        let clock = Clock::stepped(Timestamp::from_ms(10));
        let sleep = clock.sleep_until(Timestamp::from_ms(20));
        assert!(clock.is_quiet());
        assert_eq!(clock.next_timer(), Some(Timestamp::from_ms(20)));
        clock.set(Timestamp::from_ms(20)).unwrap();
        assert!(!clock.is_quiet(), "the sleeper has not even woken");
        let work = sleep.await;
        assert_eq!(clock.next_timer(), None);
        assert!(!clock.is_quiet(), "it is still at work");
        drop(work);
        assert!(clock.is_quiet());
        let back = clock.set(Timestamp::from_ms(19));
        assert_eq!(back, Err(ClockError::Backwards { now: Timestamp::from_ms(20), to: Timestamp::from_ms(19) }));
    }
}
