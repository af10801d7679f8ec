//! A simulated car: how fast a recorded session draws its energy from what it is granted.
//!
//! A pure state machine in integers: it is told grants and instants, and says power, currents, the meter register
//! and when it will be full. It has no clock, no connector and no wallet, knows nothing of queues, and never asks
//! for more than its rate. The units of `replay` own one each.

use crate::rows::{STRONGEST_W, SourceSession};

/// The voltage of every phase, V.
pub const PHASE_VOLTS: u32 = 230;

/// The least current at which a car charges, mA (IEC 61851): a phase with less draws nothing.
pub const MIN_CURRENT_MA: u32 = 6_000;

/// The pace of meter samples, ms: one at every whole minute of the clock.
pub const SAMPLE_EVERY_MS: u64 = 60_000;

/// One watt-hour in watt-milliseconds.
const WATT_MS_PER_WH: u128 = 3_600_000;

/// The connections with which a car charges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rate {
    /// 16 A on L1.
    OnePhase16A,
    /// 32 A on L1.
    OnePhase32A,
    /// 16 A on three phases.
    ThreePhase16A,
    /// 32 A on three phases.
    ThreePhase32A,
}

impl Rate {
    /// Every rate, weakest first.
    pub const ALL: [Self; 4] = [Self::OnePhase16A, Self::OnePhase32A, Self::ThreePhase16A, Self::ThreePhase32A];

    /// The power at full grant, W: 3,680, 7,360, 11,040 or 22,080.
    #[must_use]
    pub fn power_w(self) -> u32 {
        power_w(self.currents_ma())
    }

    /// What it draws from each phase at full grant, mA.
    #[must_use]
    pub const fn currents_ma(self) -> [u32; 3] {
        match self {
            Self::OnePhase16A => [16_000, 0, 0],
            Self::OnePhase32A => [32_000, 0, 0],
            Self::ThreePhase16A => [16_000; 3],
            Self::ThreePhase32A => [32_000; 3],
        }
    }

    /// The weakest rate that brings a session's energy within 90 % of its connection time, or the strongest.
    #[must_use]
    pub fn of(session: &SourceSession) -> Self {
        let needed = u128::from(session.energy_wh) * WATT_MS_PER_WH * 10;
        let connected_ms = u128::from(session.plug_out_ms.saturating_sub(session.plug_in_ms));
        Self::ALL.into_iter().find(|rate| needed <= u128::from(rate.power_w()) * connected_ms * 9).unwrap_or(Self::ThreePhase32A)
    }
}

/// A plugged-in car.
///
/// Time only goes forward: an instant before the last grant is taken as that of the last grant, and from the
/// plug-out on nothing is drawn any more.
#[derive(Clone, Debug)]
pub struct Car {
    rate: Rate,
    energy_wh: u64,
    plug_in_ms: u64,
    plug_out_ms: u64,
    granted: bool,
    /// Drawn since `since_ms`, mA, unless the car has become full since.
    drawing_ma: [u32; 3],
    since_ms: u64,
    /// What was drawn before `since_ms`, in W·ms, never rounded.
    watt_ms: u128,
    /// When it became full, if that was before `since_ms`.
    full_ms: Option<u64>,
}

impl Car {
    /// The car of a recorded session, plugged in and granted nothing.
    #[must_use]
    pub fn new(session: &SourceSession) -> Self {
        Self::with_rate(session, Rate::of(session))
    }

    /// A car of this rate that is there as long as the session and wants its energy, granted nothing.
    #[must_use]
    pub const fn with_rate(session: &SourceSession, rate: Rate) -> Self {
        Self {
            rate,
            energy_wh: session.energy_wh,
            plug_in_ms: session.plug_in_ms,
            plug_out_ms: session.plug_out_ms,
            granted: false,
            drawing_ma: [0; 3],
            since_ms: session.plug_in_ms,
            watt_ms: 0,
            full_ms: None,
        }
    }

    /// The rate it charges with.
    #[must_use]
    pub const fn rate(&self) -> Rate {
        self.rate
    }

    /// What it would draw from each phase if granted everything, mA.
    #[must_use]
    pub const fn wanted_currents(&self) -> [u32; 3] {
        self.rate.currents_ma()
    }

    /// Whether its rate, granted in full from the plug-in on, brings all of its energy by the plug-out.
    #[must_use]
    pub fn can_finish(&self) -> bool {
        let connected_ms = u128::from(self.plug_out_ms.saturating_sub(self.plug_in_ms));
        u128::from(self.rate.power_w()) * connected_ms >= self.needed_watt_ms()
    }

    /// Gives it this much of each phase from `now_ms` on, mA; zeros pause it.
    ///
    /// From each phase it draws the lesser of what it wants and what it is granted, and nothing below
    /// [`MIN_CURRENT_MA`].
    pub fn set_grant(&mut self, now_ms: u64, granted_ma: [u32; 3]) {
        let now_ms = self.clamp(now_ms);
        self.full_ms = self.full_at().filter(|full_ms| *full_ms <= now_ms);
        self.watt_ms = self.drawn_watt_ms(now_ms);
        self.since_ms = now_ms;
        self.granted |= granted_ma != [0; 3];
        self.drawing_ma = std::array::from_fn(|phase| {
            let current_ma = self.wanted_currents()[phase].min(granted_ma[phase]);
            if current_ma < MIN_CURRENT_MA { 0 } else { current_ma }
        });
    }

    /// The meter register, Wh since the plug-in: min(energy, ⌊Σ Wᵢ·msᵢ / 3,600,000⌋), divided once.
    #[must_use]
    pub fn register_wh(&self, now_ms: u64) -> u64 {
        let drawn_wh = self.drawn_watt_ms(self.clamp(now_ms)) / WATT_MS_PER_WH;
        u64::try_from(drawn_wh).map_or(self.energy_wh, |wh| wh.min(self.energy_wh))
    }

    /// The power from `now_ms` on, W; whole, as the meter reports it.
    #[must_use]
    pub fn power_w(&self, now_ms: u64) -> u32 {
        power_w(self.currents_ma(now_ms))
    }

    /// The current from `now_ms` on, mA per phase.
    #[must_use]
    pub fn currents_ma(&self, now_ms: u64) -> [u32; 3] {
        if now_ms >= self.plug_out_ms || self.is_full(now_ms) { [0; 3] } else { self.drawing_ma }
    }

    /// Whether it has all of its energy at `now_ms`; at the plug-out too.
    #[must_use]
    pub fn is_full(&self, now_ms: u64) -> bool {
        self.full_at().is_some_and(|full_ms| full_ms <= self.clamp(now_ms))
    }

    /// The first ms at which the register reaches the energy, past or to come, under the present grant; none if that
    /// would be after the plug-out.
    #[must_use]
    pub fn full_at(&self) -> Option<u64> {
        if self.full_ms.is_some() {
            return self.full_ms;
        }
        let missing = self.needed_watt_ms().saturating_sub(self.watt_ms);
        let power_w = u128::from(power_w(self.drawing_ma));
        if power_w == 0 && missing > 0 {
            return None;
        }
        let after_ms = u64::try_from(missing.div_ceil(power_w.max(1))).ok()?;
        let full_ms = self.since_ms.checked_add(after_ms)?;
        (full_ms <= self.plug_out_ms).then_some(full_ms)
    }

    /// When its unit takes the next sample after `now_ms`: at the whole minutes once something was granted, and at
    /// the instant of full or plug-out, which is the last.
    #[must_use]
    pub fn next_sample_at(&self, now_ms: u64) -> Option<u64> {
        let last_ms = self.full_at().unwrap_or(self.plug_out_ms);
        if !self.granted || now_ms >= last_ms {
            return None;
        }
        let minute_ms = (now_ms / SAMPLE_EVERY_MS + 1).saturating_mul(SAMPLE_EVERY_MS);
        Some(minute_ms.min(last_ms))
    }

    const fn needed_watt_ms(&self) -> u128 {
        self.energy_wh as u128 * WATT_MS_PER_WH
    }

    /// What was drawn up to an instant within the connection; past full it grows on, and the register does not.
    fn drawn_watt_ms(&self, now_ms: u64) -> u128 {
        self.watt_ms + u128::from(power_w(self.drawing_ma)) * u128::from(now_ms.saturating_sub(self.since_ms))
    }

    /// An instant between the last grant and the plug-out.
    fn clamp(&self, now_ms: u64) -> u64 {
        now_ms.min(self.plug_out_ms).max(self.since_ms)
    }
}

/// The power of three phase currents, W, rounded down: only grants that are not whole multiples of 100 mA round.
fn power_w(currents_ma: [u32; 3]) -> u32 {
    let sum_ma: u64 = currents_ma.into_iter().map(u64::from).sum();
    u32::try_from(sum_ma * u64::from(PHASE_VOLTS) / 1_000).unwrap_or(u32::MAX)
}

// The strongest rate is what the rows are judged by.
const _: () = assert!(STRONGEST_W == 3 * 32 * PHASE_VOLTS as u64);
