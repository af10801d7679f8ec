//! What a simulated unit has between its car and the gateway: the protocol's own state machine, and plain HTTP.
//!
//! It counts boots, and does what the protocol says after a refusal. When to ask and to post, and what a sample says, is the unit's matter; it knows no car
//! and no clock. Called by [`super::SimUnit`] and by the case study's sensor.

use std::time::Duration;

use firmware_core::{
    CONFIG_PATH, CONFIG_QUERY, CONFIG_REQUEST_LEN, Capabilities, DeviceId, Identity, MAX_MESSAGE_LEN, Next, ProtocolError, READINGS_PATH,
    ReadingsAnswer, Relay, Sample, Unit, counter_ms, encode_hex,
};
use reqwest::StatusCode;

use super::{Mounting, UnitError};

/// How long a unit waits for a whole answer, real time.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a connection rests before another is opened: less than the gateway lets it, which would cut it off under a message.
const REST: Duration = Duration::from_secs(5);

/// The version that the simulated firmware says it is.
const FIRMWARE: u16 = 1;

/// What the units of a process share, so that connections are kept.
#[must_use]
pub fn shared_http() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().pool_idle_timeout(REST).build().expect("a client without TLS needs nothing from the system")
}

/// A unit's protocol, and its way to the gateway.
#[derive(Debug)]
pub(crate) struct Line {
    /// Where the protocol stands; requests and their answers pass through the line, so that a refusal has its consequences.
    pub unit: Unit,
    device: DeviceId,
    http: reqwest::Client,
    base: String,
    boot: u32,
    posts: u64,
    /// Samples that earlier boots have brought into the gateway's store, and the newest number of this one that is there.
    stored: (u64, u32),
}

impl Line {
    /// The line of a unit that has just been switched on for the `boot`-th time. `http` is [`shared_http`]; `base` is the gateway's URL.
    ///
    /// # Errors
    /// [`UnitError::Protocol`].
    pub fn new(mounting: &Mounting, boot: u32, capabilities: Capabilities, http: reqwest::Client, base: String) -> Result<Self, UnitError> {
        let Mounting { device, sensor, key, connector: _ } = *mounting;
        let identity = Identity { device, sensor, capabilities, firmware: FIRMWARE };
        let unit = Unit::new(identity, &key, boot).map_err(|error| UnitError::Protocol { device, error })?;
        Ok(Self { unit, device, http, base, boot, posts: 0, stored: (0, 0) })
    }

    /// How often it was switched on, restarts that the protocol asks for among them.
    pub const fn boot(&self) -> u32 {
        self.boot
    }

    /// How many posts were answered.
    pub const fn posts(&self) -> u64 {
        self.posts
    }

    /// How many samples the gateway has said to have stored.
    pub fn stored(&self) -> u64 {
        self.stored.0 + u64::from(self.stored.1)
    }

    /// Whether the lease lets current flow.
    pub fn is_closed(&self) -> bool {
        self.unit.lease().relay() == Relay::Closed
    }

    /// Keeps a sample until the gateway has stored it.
    ///
    /// # Errors
    /// [`UnitError::Protocol`].
    pub fn push(&mut self, sample: &Sample) -> Result<(), UnitError> {
        self.unit.push(sample).map(drop).map_err(|error| self.protocol(error))
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

    /// Sends what waits and takes in the answer, whose lease counts from this instant on.
    ///
    /// # Errors
    /// [`UnitError`]; after a transient one the same call may be repeated: what was stored is not stored twice.
    pub async fn post(&mut self, now_ms: u64) -> Result<ReadingsAnswer, UnitError> {
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
        self.stored.1 = answer.stored_sample;
        Ok(answer)
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

    /// An error of the protocol, with whose it is.
    pub const fn protocol(&self, error: ProtocolError) -> UnitError {
        UnitError::Protocol { device: self.device, error }
    }
}
