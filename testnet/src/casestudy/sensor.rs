//! The paper's sensor: a clamp on one phase, one sample a minute whether a car draws or not, no signal from the plug, and a relay where it has one.
//!
//! It speaks only the unit protocol, through `firmware_core::Unit`, and learns from nothing else what may flow. Between two instants of the simulated world power
//! is constant, so samples of the minutes in between are made when they are asked for; nothing is posted twice. At Sensor 0 there is no relay: a car draws
//! from the moment in which it is plugged in. It decides nothing and knows no chain. Called by [`super::world`].

use firmware_core::{Capabilities, Flags, Relay, Sample, counter_ms};

use super::draw::{VOLTS, Visit};
use crate::unit::{Line, Mounting, UnitError};

/// Between two samples, ms.
const MINUTE_MS: u64 = 60_000;

/// mW·ms in a watt-hour.
const MILLIWATT_MS_PER_WH: u64 = 3_600_000_000;

/// What stands between a car and the grid.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Switch {
    /// A relay, which obeys a lease.
    Relay,
    /// Nothing: the paper's "always on".
    None,
}

/// A sensor, and the car at it if there is one.
#[derive(Debug)]
pub struct Sensor {
    switch: Switch,
    line: Line,
    /// What was drawn by cars that have left, Wh.
    left_wh: u64,
    car: Option<Car>,
    /// The last whole minute of which there is a sample, ms.
    sampled_ms: u64,
    /// The last instant that the lease was told of, ms.
    ticked_ms: u64,
}

/// A car at its plug.
#[derive(Clone, Copy, Debug)]
struct Car {
    current_ma: u32,
    energy_wh: u64,
    /// What it drew before `since_ms`, mW·ms.
    drew: u64,
    /// Since when it draws, if it does.
    since_ms: Option<u64>,
}

impl Car {
    fn drawn(&self, now_ms: u64) -> u64 {
        let power_mw = u64::from(self.current_ma) * VOLTS;
        let now = self.since_ms.map_or(0, |since_ms| power_mw * now_ms.saturating_sub(since_ms));
        (self.drew + now).min(self.energy_wh * MILLIWATT_MS_PER_WH)
    }

    fn full_ms(&self) -> Option<u64> {
        let missing = (self.energy_wh * MILLIWATT_MS_PER_WH).saturating_sub(self.drew);
        Some(self.since_ms? + missing.div_ceil(u64::from(self.current_ma) * VOLTS))
    }
}

impl Sensor {
    /// A sensor that was just switched on at this instant; its first sample is that of the next whole minute.
    ///
    /// # Errors
    /// [`UnitError::Protocol`].
    pub fn new(mounting: &Mounting, switch: Switch, http: reqwest::Client, base: String, now_ms: u64) -> Result<Self, UnitError> {
        let line = Line::new(mounting, 1, Capabilities::NONE, http, base)?;
        Ok(Self { switch, line, left_wh: 0, car: None, sampled_ms: now_ms, ticked_ms: now_ms })
    }

    /// How many samples the gateway has said to have stored.
    #[must_use]
    pub fn stored(&self) -> u64 {
        self.line.stored()
    }

    /// How many posts were answered.
    #[must_use]
    pub const fn posts(&self) -> u64 {
        self.line.posts()
    }

    /// Whether it has a relay.
    #[must_use]
    pub const fn switch(&self) -> Switch {
        self.switch
    }

    /// When the car will have all, while it draws.
    #[must_use]
    pub fn full_ms(&self) -> Option<u64> {
        self.car.as_ref()?.full_ms()
    }

    /// Whether a car is there that has not all yet.
    #[must_use]
    pub const fn is_taken(&self) -> bool {
        self.car.is_some()
    }

    /// Whether current may flow through its relay.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.line.is_closed()
    }

    /// When its relay will open by itself if nobody answers before, while a car draws through it.
    #[must_use]
    pub fn lease_end_ms(&self) -> Option<u64> {
        let car = self.car.filter(|_| self.is_closed())?;
        let left_ms = self.line.unit.lease().ends_in_ms(counter_ms(self.ticked_ms), [car.current_ma, 0, 0]);
        Some(self.ticked_ms + u64::from(left_ms))
    }

    /// Asks for the configuration, as every unit does when it starts.
    ///
    /// # Errors
    /// [`UnitError`].
    pub async fn configure(&mut self, now_ms: u64) -> Result<(), UnitError> {
        self.line.configure(now_ms).await
    }

    /// Takes the samples of the minutes up to now.
    ///
    /// # Errors
    /// [`UnitError::Protocol`].
    pub fn advance(&mut self, now_ms: u64) -> Result<(), UnitError> {
        let flowed_ma = self.current_ma(now_ms.saturating_sub(1));
        // One ms short, so that a lease that ends with this very instant can be renewed in it.
        self.ticked_ms = self.ticked_ms.max(now_ms.saturating_sub(1));
        let relay = self.line.unit.tick(counter_ms(self.ticked_ms), [flowed_ma, 0, 0]);
        loop {
            let at_ms = (self.sampled_ms / MINUTE_MS + 1) * MINUTE_MS;
            // The moment in which a car has all has a sample of its own.
            if at_ms > now_ms || (at_ms == now_ms && self.full_ms() == Some(now_ms)) {
                break;
            }
            self.sampled_ms = at_ms;
            self.sample(at_ms, Flags::NONE)?;
        }
        if self.switch == Switch::Relay && relay != Relay::Closed {
            self.flow(now_ms, false)?;
        }
        Ok(())
    }

    /// A car comes. Where there is no switch it draws at once, and a sample says so.
    ///
    /// # Errors
    /// [`UnitError::Protocol`].
    pub fn plug_in(&mut self, visit: &Visit, now_ms: u64) -> Result<(), UnitError> {
        self.car = Some(Car { current_ma: visit.current_ma, energy_wh: visit.energy_wh, drew: 0, since_ms: None });
        match self.switch {
            Switch::Relay => Ok(()),
            Switch::None => self.flow(now_ms, true).map(drop),
        }
    }

    /// The car has all that it wants at this instant, as [`Sensor::full_ms`] said: its current ends, and a sample says so.
    ///
    /// # Errors
    /// [`UnitError::Protocol`].
    pub fn is_full(&mut self, now_ms: u64) -> Result<(), UnitError> {
        let Some(car) = self.car.take() else { return Ok(()) };
        self.left_wh += car.drawn(now_ms) / MILLIWATT_MS_PER_WH;
        self.sampled_ms = self.sampled_ms.max(now_ms);
        self.sample(now_ms, Flags::END)
    }

    /// Sends what waits and takes in the answer; gives whether current began or ended with it, so that there is something to post at once.
    ///
    /// # Errors
    /// [`UnitError`]; after a transient one the same call may be repeated: what was stored is not stored twice.
    pub async fn post(&mut self, now_ms: u64) -> Result<bool, UnitError> {
        let was_closed = self.is_closed();
        let answer = self.line.post(now_ms).await?;
        self.ticked_ms = self.ticked_ms.max(now_ms);
        if answer.reload_config {
            self.configure(now_ms).await?;
        }
        if self.switch == Switch::None {
            return Ok(false);
        }
        let is_closed = self.is_closed();
        if self.car.is_some() {
            return self.flow(now_ms, is_closed);
        }
        if was_closed && !is_closed {
            // The relay opens behind a car that has all.
            self.sample(now_ms, Flags::END)?;
        }
        Ok(was_closed && !is_closed)
    }

    /// Lets the car draw from now on, or no longer; a change of which a sample is taken. Gives whether it was one.
    fn flow(&mut self, now_ms: u64, flows: bool) -> Result<bool, UnitError> {
        let Some(car) = &mut self.car else { return Ok(false) };
        if car.since_ms.is_some() == flows {
            return Ok(false);
        }
        car.drew = car.drawn(now_ms);
        car.since_ms = flows.then_some(now_ms);
        self.sample(now_ms, if flows { Flags::NONE } else { Flags::END })?;
        Ok(true)
    }

    fn current_ma(&self, at_ms: u64) -> u32 {
        self.car.filter(|car| car.full_ms().is_some_and(|full_ms| at_ms < full_ms)).map_or(0, |car| car.current_ma)
    }

    fn register_wh(&self, at_ms: u64) -> u64 {
        self.left_wh + self.car.map_or(0, |car| car.drawn(at_ms) / MILLIWATT_MS_PER_WH)
    }

    fn sample(&mut self, at_ms: u64, also: Flags) -> Result<(), UnitError> {
        let synchronised = self.line.unit.stamp(counter_ms(at_ms)).is_some_and(|stamp| stamp.synchronised);
        let current_ma = self.current_ma(at_ms);
        let power_w = u64::from(current_ma) * VOLTS / 1_000;
        let sample = Sample {
            at_ms,
            register_wh: self.register_wh(at_ms),
            power_w: u16::try_from(power_w).unwrap_or(u16::MAX),
            current_ma: [u16::try_from(current_ma).unwrap_or(u16::MAX), 0, 0],
            temperature_dc: None,
            flags: self.line.unit.lease().flags() | Flags::TIME_SYNCHRONISED.only_if(synchronised) | also,
        };
        self.line.push(&sample)
    }
}
