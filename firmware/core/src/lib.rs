//! The unit protocol: what a charging unit in the garage and the gateway say to each other, and when the unit may keep its relay closed.
//!
//! The specification is `docs/unit-protocol.md`; this crate is both ends of it. It is `no_std`, needs no allocator and no other crate, and fits an
//! ATmega328P: messages are at most one BLAKE3 chunk (1,024 bytes) and can be sent piece by piece without a second buffer.
//! It deliberately does no I/O, reads no clock and keeps nothing on disk: the caller moves the bytes, says what time it is and stores
//! [`Seen`] (gateway) or the boot number (unit).
//!
//! The unit's board and the simulated units of the test federation call [`Unit`]; the gateway calls [`Readings`], [`ConfigRequest`], their answers and [`Seen`].
//!
//! ```
//! # fn main() -> Result<(), firmware_core::ProtocolError> {
//! use firmware_core::*;
//!
//! let device_key = [7; 32];
//! let identity = Identity {
//!     device: DeviceId(0x00c0_ffee),
//!     sensor: SensorId::new(37)?,
//!     capabilities: Capabilities::PLUG_SIGNAL,
//!     firmware: 1,
//! };
//! let mut unit: Unit = Unit::new(identity, &device_key, 1)?;
//! let mut now_ms = 5_000; // the unit's counter
//!
//! // Unit: GET /unit/v1/config?m=…
//! let mut digits = [0; 2 * CONFIG_REQUEST_LEN];
//! let message = unit.config_request()?;
//! let query = encode_hex(&message, &mut digits)?;
//!
//! // Gateway: find the key, authenticate, admit, store what was seen, answer.
//! let message = decode_hex::<CONFIG_REQUEST_LEN>(query)?;
//! assert_eq!(device_of(&message)?, DeviceId(0x00c0_ffee));
//! let keys = Keys::derive(&device_key);
//! let request = ConfigRequest::parse(&message, &keys)?;
//! let mut seen = Seen::default().admit_config(&request)?;
//! let config = Config {
//!     server_time_ms: 1_763_821_800_000,
//!     transmit_period_s: 60,
//!     sample_period_s: 60,
//!     mains_v: 230,
//!     phases: 3,
//!     rated_ma: 32_000,
//!     over_limit_grace_ms: 5_000,
//!     network: Network::Dynamic,
//!     server: Host::STAY,
//! };
//! let body = config.seal(&request.head, &keys)?;
//!
//! // Unit: now it knows the time and may sample.
//! unit.config_answer(now_ms, &body)?;
//! now_ms += 60_000;
//! let stamp = unit.stamp(now_ms).ok_or(ProtocolError::Unavailable)?;
//! unit.push(&Sample {
//!     at_ms: stamp.at_ms,
//!     register_wh: 123_456,
//!     temperature_dc: Some(253),
//!     flags: unit.lease().flags()
//!         | Flags::PLUG_PRESENT.only_if(true)
//!         | Flags::TIME_SYNCHRONISED.only_if(stamp.synchronised),
//!     ..Sample::default()
//! })?;
//! let mut body = [0; MAX_MESSAGE_LEN];
//! unit.tick(now_ms, [0, 0, 0]);
//! let length = unit.readings_request(now_ms, &mut body)?;
//!
//! // Gateway: POST /unit/v1/readings
//! let readings = Readings::parse(&body[..length], &keys)?;
//! let admission = seen.admit_readings(&readings)?;
//! for (number, sample) in readings.samples().skip(admission.duplicates) {
//!     assert_eq!((number, sample.register_wh), (1, 123_456));
//!     assert_eq!(readings.plug(&sample), Some(true));
//! }
//! seen = admission.seen; // stored together with the samples, before the answer
//! let answer = ReadingsAnswer {
//!     server_time_ms: 1_763_821_860_000,
//!     stored_sample: seen.sample,
//!     card: CardOutcome::None,
//!     reload_config: false,
//!     lease: Some(Grant::new(150, 2_400_000, [16_000, 0, 0])?),
//! };
//! let body = answer.seal(&readings.head, &keys)?;
//!
//! // Unit: the relay closes, and opens by itself 150 s after the request left.
//! unit.readings_answer(now_ms, &body)?;
//! assert_eq!(unit.tick(now_ms + 149_999, [16_000, 0, 0]), Relay::Closed);
//! assert_eq!(unit.tick(now_ms + 150_000, [16_000, 0, 0]), Relay::Open(Cause::Expired));
//! # Ok(())
//! # }
//! ```
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::arithmetic_side_effects,
        clippy::indexing_slicing,
        clippy::expect_used,
        clippy::panic,
        clippy::unreachable,
        clippy::float_arithmetic
    )
)]
#![warn(missing_docs)]

mod board;
mod clock;
mod config;
mod debounce;
mod dht11;
mod division;
mod error;
mod hex;
mod http;
mod journal;
mod lease;
mod line;
mod mac;
mod memory;
mod meter;
mod modem;
mod pn532;
mod queue;
mod readings;
mod server;
mod station;
mod text;
mod types;
mod unit;
#[cfg(test)]
mod vector_tests;
mod wire;

pub use board::{Adc, Eeprom, Hardware, Millis, Serial};
pub use clock::{Clock, Stamp, counter_ms};
pub use config::{CONFIG_ANSWER_LEN, CONFIG_REQUEST_LEN, Config, ConfigRequest, Host, Network};
pub use debounce::Debounced;
pub use dht11::{Climate, Dht11, OpenDrain};
pub use error::ProtocolError;
pub use hex::{decode_hex, encode_hex};
pub use http::{Progress, Response};
pub use journal::{Journal, Record, SLOTS, WornOut};
pub use lease::{Cause, Grant, Lease, MAX_LEASE_S, NOISE_MA, Relay};
pub use mac::{Keys, MAX_MESSAGE_LEN, Mac, TAG_LEN, keyed_hash};
pub use memory::{MEMORY_LEN, PROVISION_LEN, Parts, Provision};
pub use meter::{Calibration, MIDDLE, Measured, Meter, SAMPLE_RATE_HZ, TOP, WINDOW_SAMPLES, Window, ZERO_BELOW_MA};
pub use modem::{Action, Command, Modem};
pub use pn532::{Pn532, ReaderError};
pub use queue::{MAX_SAMPLES, Queue};
pub use readings::{CardOutcome, READINGS_ANSWER_LEN, READINGS_MIN_LEN, Readings, ReadingsAnswer, Samples};
pub use server::{Admission, Seen};
pub use station::{JOURNAL_EVERY_MS, StartError, Station};
pub use text::Text;
pub use types::{Capabilities, Card, DeviceId, Flags, Head, MAX_TIME_MS, Presented, Sample, SensorId};
pub use unit::{Identity, Next, Unit};
pub use wire::device_of;

/// Where a unit asks for its configuration (GET); the request travels in [`CONFIG_QUERY`].
pub const CONFIG_PATH: &str = "/unit/v1/config";
/// The query parameter that carries a [`ConfigRequest`] in lower-case hexadecimal.
pub const CONFIG_QUERY: &str = "m";
/// Where a unit posts its readings.
pub const READINGS_PATH: &str = "/unit/v1/readings";
