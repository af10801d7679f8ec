//! The relay's dead-man switch: closed only while a lease holds, and open by itself in every other case.
//!
//! A pure state machine over a millisecond counter that may roll over (u32, every 49.7 days). It opens when the time is up, when the charge (mA·s summed over
//! the phases) is used up, when a phase stays above its limit, and when it is told to; it starts open. It does not decide how soon a relay may close again
//! and does not replace the circuit breaker: a short circuit is over before it is asked. Called by [`crate::Unit`] and by tests.

use crate::clock::has_passed;
use crate::division::{add, divide, is_less, multiply};
use crate::error::ProtocolError;
use crate::types::Flags;
use crate::wire::within;

/// The longest lease in seconds.
pub const MAX_LEASE_S: u16 = 3600;
/// A current of a phase up to this, in mA, counts as none: a clamp's noise must not trip a phase whose limit is 0 or pass for a welded relay.
pub const NOISE_MA: u32 = 500;
/// Current must flow for so many ms through an open relay before it counts as welded: meters average and lag.
const WELDED_AFTER_MS: u32 = 3000;

/// Permission to keep the relay closed: time, charge and current, whichever ends first.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Grant {
    seconds: u16,
    milliampere_seconds: u32,
    limit_ma: [u16; 3],
}

impl Grant {
    /// A lease for 1 to 3,600 s, at least 1 mA·s, and a limit per phase in mA of which at least one is not 0; else [`ProtocolError::OutOfRange`].
    pub fn new(seconds: u16, milliampere_seconds: u32, limit_ma: [u16; 3]) -> Result<Self, ProtocolError> {
        within(seconds, 1, MAX_LEASE_S)?;
        within(milliampere_seconds, 1, u32::MAX)?;
        if limit_ma == [0; 3] {
            return Err(ProtocolError::OutOfRange);
        }
        Ok(Self { seconds, milliampere_seconds, limit_ma })
    }

    /// How long the relay may stay closed, in seconds, from the moment the request left the unit.
    #[must_use]
    pub const fn seconds(&self) -> u16 {
        self.seconds
    }

    /// How much may flow from that moment on, in mA·s summed over the phases.
    #[must_use]
    pub const fn milliampere_seconds(&self) -> u32 {
        self.milliampere_seconds
    }

    /// The highest current per phase in mA.
    #[must_use]
    pub const fn limit_ma(&self) -> [u16; 3] {
        self.limit_ma
    }

    /// The same lease with no phase above `rated_ma`.
    #[must_use]
    pub fn capped(self, rated_ma: u16) -> Self {
        Self { limit_ma: self.limit_ma.map(|limit| limit.min(rated_ma)), ..self }
    }

    pub(crate) fn parts(&self) -> (u16, u32, [u16; 3]) {
        (self.seconds, self.milliampere_seconds, self.limit_ma)
    }
}

/// Where the relay belongs.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Relay {
    /// Open, and why.
    Open(Cause),
    /// Closed, under a lease.
    Closed,
}

/// Why the relay is open.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Cause {
    /// The unit has started and has no lease yet.
    Started,
    /// The gateway answered without a lease.
    NoLease,
    /// The lease's time is up.
    Expired,
    /// The lease's charge is used up.
    UsedUp,
    /// A phase stayed above its limit longer than the grace.
    OverCurrent,
    /// An answer had a wrong tag or belonged to another request.
    BadAnswer,
    /// The gateway does not know this unit or its key.
    Refused,
    /// The board reported a fault and has not withdrawn it.
    Blocked,
}

#[derive(Clone, Copy, Debug)]
struct Running {
    start_ms: u32,
    duration_ms: u32,
    /// What will have flowed when the charge is used up; see [`Lease::flowed`].
    until: u64,
    limit_ma: [u16; 3],
    /// For how long a phase has been above its limit: 1 more than the ms, 0 while none is. No option, nor a truth value: with one, a lease that does not run would
    /// not be all zeros.
    over_ms: u32,
}

/// The relay's lease. The board sets the relay to what [`Lease::tick`] returns, at least once a second.
#[derive(Clone, Debug)]
pub struct Lease {
    running: Option<Running>,
    cause: Cause,
    blocked: bool,
    grace_ms: u16,
    ticked_ms: Option<u32>,
    /// What has flowed since the start, in mA·ms; a century of 200 A fits.
    flowed: u64,
    /// When the request left, and what had flowed until then.
    asked: Option<(u32, u64)>,
    leaking_since_ms: Option<u32>,
    welded: bool,
}

impl Default for Lease {
    fn default() -> Self {
        Self::new(0)
    }
}

impl Lease {
    /// An open relay; a phase may stay above its limit for `grace_ms`.
    #[must_use]
    pub const fn new(grace_ms: u16) -> Self {
        Self {
            running: None,
            cause: Cause::Started,
            blocked: false,
            grace_ms,
            ticked_ms: None,
            flowed: 0,
            asked: None,
            leaking_since_ms: None,
            welded: false,
        }
    }

    /// Changes how long a phase may stay above its limit.
    pub const fn set_grace_ms(&mut self, grace_ms: u16) {
        self.grace_ms = grace_ms;
    }

    /// Notes that a request leaves now: the lease in its answer counts from here, so that an answer held back on its way grants nothing more.
    pub const fn asked(&mut self, now_ms: u32) {
        self.asked = Some((now_ms, self.flowed));
    }

    /// Puts this lease in the place of the one before; it counts from the last [`Lease::asked`], or from now without one.
    pub fn grant(&mut self, now_ms: u32, grant: Grant) -> Relay {
        self.grant_capped(now_ms, &grant, u16::MAX)
    }

    /// The same with no phase above `rated_ma`.
    pub(crate) fn grant_capped(&mut self, now_ms: u32, grant: &Grant, rated_ma: u16) -> Relay {
        let (start_ms, mut until) = self.asked.take().unwrap_or((now_ms, self.flowed));
        if self.blocked {
            return self.relay();
        }
        // At most an hour.
        let duration_ms = u32::from(grant.seconds).wrapping_mul(1000);
        add(multiply(grant.milliampere_seconds, 1000), &mut until);
        if has_passed(now_ms, &start_ms, duration_ms) {
            return self.open(Cause::Expired);
        }
        if !is_less(&self.flowed, &until) {
            return self.open(Cause::UsedUp);
        }
        // A limit that is still broken keeps its clock: a new lease must not restart the grace.
        let over_ms = self.running.as_ref().map_or(0, |running| running.over_ms);
        let limit_ma = grant.limit_ma.map(|limit| limit.min(rated_ma));
        self.running = Some(Running { start_ms, duration_ms, until, limit_ma, over_ms });
        self.relay()
    }

    /// Ends the lease now.
    pub const fn open(&mut self, cause: Cause) -> Relay {
        self.running = None;
        self.cause = cause;
        self.relay()
    }

    /// Opens the relay and ignores every lease until [`Lease::unblock`]: the board is too hot, its meter is dead, its relay welded.
    pub const fn block(&mut self) -> Relay {
        self.blocked = true;
        self.open(Cause::Blocked)
    }

    /// Lets the next lease close the relay again.
    pub const fn unblock(&mut self) {
        self.blocked = false;
    }

    /// Accounts for the time since the last tick, in which `current_ma` flowed on average per phase, and says where the relay belongs.
    ///
    /// A clock that jumps back looks like a very long time: the relay opens.
    #[cfg_attr(target_arch = "avr", inline(never))]
    pub fn tick(&mut self, now_ms: u32, current_ma: [u32; 3]) -> Relay {
        let last_ms = self.ticked_ms.replace(now_ms).unwrap_or(now_ms);
        let elapsed_ms = now_ms.wrapping_sub(last_ms);
        add(multiply(total(current_ma), elapsed_ms), &mut self.flowed);
        let Some(running) = &mut self.running else {
            self.watch_open_relay(now_ms, current_ma);
            return self.relay();
        };
        self.leaking_since_ms = None;
        self.welded = false;
        let over = running.limit_ma.iter().zip(current_ma).any(|(limit, ma)| ma > u32::from(*limit).max(NOISE_MA));
        running.over_ms = match (over, running.over_ms) {
            (false, _) => 0,
            (true, 0) => 1,
            (true, since) => since.saturating_add(elapsed_ms),
        };
        if has_passed(now_ms, &running.start_ms, running.duration_ms) {
            return self.open(Cause::Expired);
        }
        if !is_less(&self.flowed, &running.until) {
            return self.open(Cause::UsedUp);
        }
        if running.over_ms > u32::from(self.grace_ms) {
            return self.open(Cause::OverCurrent);
        }
        Relay::Closed
    }

    /// Where the relay belongs, as of the last call.
    #[must_use]
    pub const fn relay(&self) -> Relay {
        match self.running {
            Some(_) => Relay::Closed,
            None => Relay::Open(self.cause),
        }
    }

    /// How much of the lease's time is left, in ms; 0 with an open relay.
    #[must_use]
    pub fn left_ms(&self, now_ms: u32) -> u32 {
        self.running.as_ref().map_or(0, |running| running.duration_ms.saturating_sub(now_ms.wrapping_sub(running.start_ms)))
    }

    /// In how many ms the lease ends if `current_ma` goes on flowing, from the last [`Lease::tick`] at `now_ms`; 0 with an open relay.
    ///
    /// For a simulator that steps from event to event; the grace of a broken limit is not part of it.
    #[must_use]
    pub fn ends_in_ms(&self, now_ms: u32, current_ma: [u32; 3]) -> u32 {
        let Some(running) = &self.running else {
            return 0;
        };
        let by_time = self.left_ms(now_ms);
        let total = total(current_ma);
        // Rounded up: at that tick the charge is used up, not one tick later.
        if total == 0 {
            return by_time;
        }
        let by_charge = divide(running.until.saturating_sub(self.flowed).saturating_add(u64::from(total).saturating_sub(1)), total).0;
        by_time.min(u32::try_from(by_charge).unwrap_or(u32::MAX))
    }

    /// What a sample reports of the relay: closed, over-current, welded.
    #[must_use]
    #[cfg_attr(target_arch = "avr", inline(never))]
    pub fn flags(&self) -> Flags {
        let over = match &self.running {
            Some(running) => running.over_ms > 0,
            None => self.cause == Cause::OverCurrent,
        };
        Flags::RELAY_CLOSED.only_if(self.running.is_some()) | Flags::OVER_CURRENT.only_if(over) | Flags::WELDED_RELAY.only_if(self.welded)
    }

    fn watch_open_relay(&mut self, now_ms: u32, current_ma: [u32; 3]) {
        if current_ma.iter().all(|ma| *ma <= NOISE_MA) {
            self.leaking_since_ms = None;
            self.welded = false;
            return;
        }
        let since = *self.leaking_since_ms.get_or_insert(now_ms);
        self.welded = has_passed(now_ms, &since, WELDED_AFTER_MS);
    }
}

fn total(current_ma: [u32; 3]) -> u32 {
    current_ma.iter().fold(0, |sum: u32, ma| sum.saturating_add(*ma))
}
