//! The unit protocol: what a charging unit in the garage and the gateway say to each other, and when the unit may keep its relay closed.
//!
//! The specification is `docs/unit-protocol.md`; this crate is both ends of it. It is `no_std`, needs no allocator and no other crate, and fits an
//! ATmega328P: messages are at most one BLAKE3 chunk (1,024 bytes) and can be sent piece by piece without a second buffer.
//! It deliberately does no I/O, reads no clock and keeps nothing on disk: the caller moves the bytes, says what time it is and stores
//! [`Seen`] (gateway) or the boot number (unit).
//!
//! The unit's board and the simulated units of the test federation call [`Unit`]; the gateway calls [`Readings`], [`ConfigRequest`], their answers and [`Seen`].
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

mod clock;
mod config;
mod error;
mod hex;
mod lease;
mod mac;
mod queue;
mod readings;
mod server;
mod types;
mod unit;
#[cfg(test)]
mod vector_tests;
mod wire;

pub use clock::{Clock, Stamp, counter_ms};
pub use config::{CONFIG_ANSWER_LEN, CONFIG_REQUEST_LEN, Config, ConfigRequest, Host, Network};
pub use error::ProtocolError;
pub use hex::{decode_hex, encode_hex};
pub use lease::{Cause, Grant, Lease, MAX_LEASE_S, NOISE_MA, Relay};
pub use mac::{Keys, MAX_MESSAGE_LEN, Mac, TAG_LEN, keyed_hash};
pub use queue::{MAX_SAMPLES, Queue};
pub use readings::{CardOutcome, READINGS_ANSWER_LEN, READINGS_MIN_LEN, Readings, ReadingsAnswer, Samples};
pub use server::{Admission, Seen};
pub use types::{Capabilities, Card, DeviceId, Flags, Head, MAX_TIME_MS, Presented, Sample, SensorId};
pub use unit::{Identity, Next, Unit};
pub use wire::device_of;

/// Where a unit asks for its configuration (GET); the request travels in [`CONFIG_QUERY`].
pub const CONFIG_PATH: &str = "/unit/v1/config";
/// The query parameter that carries a [`ConfigRequest`] in lower-case hexadecimal.
pub const CONFIG_QUERY: &str = "m";
/// Where a unit posts its readings.
pub const READINGS_PATH: &str = "/unit/v1/readings";
