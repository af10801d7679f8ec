//! The paper's sensor: a clamp on one phase, one sample a minute whether a car draws or not, no signal from the plug, and a relay where it has one.
//!
//! It speaks only the unit protocol, through `firmware_core::Unit`, and learns from nothing else what may flow. Between two instants of the simulated world power
//! is constant, so samples of the minutes in between are made when they are asked for; nothing is posted twice. At Sensor 0 there is no relay: a car draws
//! from the moment in which it is plugged in. It decides nothing and knows no chain. Called by [`super::world`].

use std::time::Duration;

use firmware_core::{
    CONFIG_PATH, CONFIG_QUERY, CONFIG_REQUEST_LEN, Capabilities, DeviceId, Flags, Identity, MAX_MESSAGE_LEN, Next, READINGS_PATH, Relay,
    Sample, Unit, counter_ms, encode_hex,
};
use reqwest::StatusCode;

use super::draw::{VOLTS, Visit};
use crate::unit::{Mounting, UnitError};

/// How long a sensor waits for a whole answer, real time.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// The version that the simulated firmware says it is.
const FIRMWARE: u16 = 1;

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
    device: DeviceId,
    switch: Switch,
    unit: Unit,
    http: reqwest::Client,
    base: String,
    boot: u32,
    /// What was drawn by cars that have left, Wh.
    left_wh: u64,
    car: Option<Car>,
    /// The last whole minute of which there is a sample, ms.
    sampled_ms: u64,
    /// The last instant that the lease was told of, ms.
    ticked_ms: u64,
    /// Samples that earlier boots have brought into the gateway's store, and the newest number of this one that is there.
    stored: (u64, u32),
    posts: u64,
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
        let Mounting { device, sensor, key, connector: _ } = mounting;
        let identity = Identity { device: *device, sensor: *sensor, capabilities: Capabilities::NONE, firmware: FIRMWARE };
        let unit = Unit::new(identity, key, 1).map_err(|error| UnitError::Protocol { device: *device, error })?;
        Ok(Self {
            device: *device,
            switch,
            unit,
            http,
            base,
            boot: 1,
            left_wh: 0,
            car: None,
            sampled_ms: now_ms,
            ticked_ms: now_ms,
            stored: (0, 0),
            posts: 0,
        })
    }

    /// How many samples the gateway has said to have stored.
    #[must_use]
    pub fn stored(&self) -> u64 {
        self.stored.0 + u64::from(self.stored.1)
    }

    /// How many posts were answered.
    #[must_use]
    pub const fn posts(&self) -> u64 {
        self.posts
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
        self.unit.lease().relay() == Relay::Closed
    }

    /// When its relay will open by itself if nobody answers before, while a car draws through it.
    #[must_use]
    pub fn lease_end_ms(&self) -> Option<u64> {
        let car = self.car.filter(|_| self.is_closed())?;
        let left_ms = self.unit.lease().ends_in_ms(counter_ms(self.ticked_ms), [car.current_ma, 0, 0]);
        Some(self.ticked_ms + u64::from(left_ms))
    }

    /// Asks for the configuration, as every unit does when it starts.
    ///
    /// # Errors
    /// [`UnitError`].
    pub async fn configure(&mut self, now_ms: u64) -> Result<(), UnitError> {
        let message = self.unit.config_request().map_err(|error| self.protocol(error))?;
        let mut digits = [0; 2 * CONFIG_REQUEST_LEN];
        let query = encode_hex(&message, &mut digits).map_err(|error| self.protocol(error))?;
        let url = format!("{}{CONFIG_PATH}?{CONFIG_QUERY}={query}", self.base);
        let body = self.exchange(self.http.get(url)).await?;
        self.unit.config_answer(counter_ms(now_ms), &body).map_err(|error| self.protocol(error))
    }

    /// Takes the samples of the minutes up to now.
    ///
    /// # Errors
    /// [`UnitError::Protocol`].
    pub fn advance(&mut self, now_ms: u64) -> Result<(), UnitError> {
        let flowed_ma = self.current_ma(now_ms.saturating_sub(1));
        // One ms short, so that a lease that ends with this very instant can be renewed in it.
        self.ticked_ms = self.ticked_ms.max(now_ms.saturating_sub(1));
        let relay = self.unit.tick(counter_ms(self.ticked_ms), [flowed_ma, 0, 0]);
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
        let mut body = vec![0; MAX_MESSAGE_LEN];
        let length = self.unit.readings_request(counter_ms(now_ms), &mut body).map_err(|error| self.protocol(error))?;
        body.truncate(length);
        let url = format!("{}{READINGS_PATH}", self.base);
        let request = self.http.post(url).header(reqwest::header::CONTENT_TYPE, "application/octet-stream").body(body);
        let answer = match self.exchange(request).await {
            Ok(answer) => answer,
            Err(error) => {
                self.after_refusal(&error)?;
                return Err(error);
            }
        };
        let answer = self.unit.readings_answer(counter_ms(now_ms), &answer).map_err(|error| self.protocol(error))?;
        self.posts += 1;
        self.ticked_ms = self.ticked_ms.max(now_ms);
        self.stored.1 = answer.stored_sample;
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
        let synchronised = self.unit.stamp(counter_ms(at_ms)).is_some_and(|stamp| stamp.synchronised);
        let current_ma = self.current_ma(at_ms);
        let power_w = u64::from(current_ma) * VOLTS / 1_000;
        let sample = Sample {
            at_ms,
            register_wh: self.register_wh(at_ms),
            power_w: u16::try_from(power_w).unwrap_or(u16::MAX),
            current_ma: [u16::try_from(current_ma).unwrap_or(u16::MAX), 0, 0],
            temperature_dc: None,
            flags: self.unit.lease().flags() | Flags::TIME_SYNCHRONISED.only_if(synchronised) | also,
        };
        self.unit.push(&sample).map_err(|error| self.protocol(error))?;
        Ok(())
    }

    /// Does what the protocol says after a refusal; its pauses are the caller's matter, because the world's clock stands still meanwhile.
    fn after_refusal(&mut self, error: &UnitError) -> Result<(), UnitError> {
        let status = match error {
            UnitError::NoAnswer(_) | UnitError::Protocol { .. } => None,
            UnitError::Refused { status, .. } => Some(*status),
        };
        match self.unit.refused(status) {
            Next::Retry { .. } | Next::AskConfig { .. } => Ok(()),
            Next::NewBoot { .. } => {
                self.boot += 1;
                self.stored = (self.stored(), 0);
                self.unit.restart(self.boot).map_err(|error| self.protocol(error))
            }
        }
    }

    async fn exchange(&self, request: reqwest::RequestBuilder) -> Result<Vec<u8>, UnitError> {
        let response = request.timeout(ANSWER_TIMEOUT).send().await.map_err(UnitError::NoAnswer)?;
        let status = response.status();
        let body = response.bytes().await.map_err(UnitError::NoAnswer)?;
        if status != StatusCode::OK {
            let text = String::from_utf8_lossy(&body).chars().filter(|c| !c.is_control()).take(80).collect();
            return Err(UnitError::Refused { device: self.device, status: status.as_u16(), text });
        }
        Ok(body.to_vec())
    }

    const fn protocol(&self, error: firmware_core::ProtocolError) -> UnitError {
        UnitError::Protocol { device: self.device, error }
    }
}
