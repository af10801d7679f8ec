//! `GET /unit/v1/config`: the unit says who and where it is; the gateway says how to measure, where to send and what time it is.
//!
//! It carries no lease: a relay closes only on an answer to readings. The unit asks at every start and when an answer tells it to.

use crate::error::ProtocolError;
use crate::mac::{Keys, Mac, TAG_LEN};
use crate::types::{Capabilities, Head, SensorId};
use crate::wire::{Buffer, Fields, HEAD_LEN, Kind, Out, checked_time, open, within};

/// The length of a [`ConfigRequest`] in bytes; twice as many digits in the URL.
pub const CONFIG_REQUEST_LEN: usize = HEAD_LEN + 4 + TAG_LEN;
/// The length of a [`Config`] answer in bytes.
pub const CONFIG_ANSWER_LEN: usize = HEAD_LEN + 26 + Host::MAX_LEN + TAG_LEN;
/// Where the fields of an answer begin that are kept, and how many bytes they are.
const KEPT_AT: usize = HEAD_LEN + 6;
pub(crate) const KEPT_LEN: usize = 20 + Host::MAX_LEN;

/// A unit's question for its configuration.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ConfigRequest {
    /// Whose exchange this is.
    pub head: Head,
    /// The place, from the switches.
    pub sensor: SensorId,
    /// What the unit is built with.
    pub capabilities: Capabilities,
    /// The version of its firmware.
    pub firmware: u16,
}

impl ConfigRequest {
    /// The authenticated message (unit).
    pub fn seal(&self, keys: &Keys) -> Result<[u8; CONFIG_REQUEST_LEN], ProtocolError> {
        let mut message = [0; CONFIG_REQUEST_LEN];
        let mut buffer = Buffer::new(&mut message);
        self.write(keys, &mut |bytes| buffer.put(bytes))?;
        buffer.finish()?;
        Ok(message)
    }

    /// The same piece by piece.
    #[cfg_attr(target_arch = "avr", inline(never))]
    pub(crate) fn write(&self, keys: &Keys, sink: &mut dyn FnMut(&[u8])) -> Result<(), ProtocolError> {
        let mut mac = Mac::new(&keys.up);
        let mut out = Out::start(Kind::ConfigRequest, &self.head, &mut mac, sink)?;
        out.u8(self.sensor.get());
        out.u8(self.capabilities.bits());
        out.u16(self.firmware);
        out.finish()
    }

    /// Reads and authenticates a message (gateway); whether its counter is new is for [`crate::Seen`].
    #[cfg_attr(target_arch = "avr", inline(never))]
    pub fn parse(message: &[u8], keys: &Keys) -> Result<Self, ProtocolError> {
        let kind = Kind::ConfigRequest;
        let (head, mut fields) = open(message, kind, &keys.up, CONFIG_REQUEST_LEN, 0)?;
        Ok(Self { head, sensor: SensorId::new(fields.u8())?, capabilities: Capabilities::from_bits(fields.u8())?, firmware: fields.u16() })
    }
}

/// What the gateway wants a unit to do, in answer to a [`ConfigRequest`]. Ranges are checked when it is sealed and when it is parsed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Config {
    /// The gateway's time at the answer, in ms since the Unix epoch, UTC.
    pub server_time_ms: u64,
    /// Readings are posted every so many seconds, 1 to 3,600.
    pub transmit_period_s: u16,
    /// A sample is stored every so many seconds, 1 to 3,600.
    pub sample_period_s: u16,
    /// The mains voltage that a unit without voltage sensor reckons with, in V, 100 to 260.
    pub mains_v: u16,
    /// How many phases are connected, 1 to 3.
    pub phases: u8,
    /// The rated current of the place per phase in mA; a unit never allows more, whatever a lease says. At least 1,000.
    pub rated_ma: u16,
    /// A phase may stay above its limit for so many ms before the relay opens, at most 10,000.
    pub over_limit_grace_ms: u16,
    /// The unit's address.
    pub network: Network,
    /// Where to send from now on; empty: stay.
    pub server: Host,
}

impl Config {
    /// No configuration.
    pub(crate) const BLANK: Self = Self {
        server_time_ms: 0,
        transmit_period_s: 0,
        sample_period_s: 0,
        mains_v: 0,
        phases: 0,
        rated_ma: 0,
        over_limit_grace_ms: 0,
        network: Network::Dynamic,
        server: Host::STAY,
    };

    /// The authenticated answer to the request with this head (gateway).
    pub fn seal(&self, request: &Head, keys: &Keys) -> Result<[u8; CONFIG_ANSWER_LEN], ProtocolError> {
        let mut message = [0; CONFIG_ANSWER_LEN];
        let mut buffer = Buffer::new(&mut message);
        self.write(request, keys, &mut |bytes| buffer.put(bytes))?;
        buffer.finish()?;
        Ok(message)
    }

    /// The same piece by piece, for where there is no room for it; nothing is written where a field is out of range.
    pub fn write(&self, request: &Head, keys: &Keys, sink: &mut dyn FnMut(&[u8])) -> Result<(), ProtocolError> {
        self.check()?;
        let mut mac = Mac::new(&keys.down);
        let mut out = Out::start(Kind::ConfigAnswer, request, &mut mac, sink)?;
        out.time(self.server_time_ms);
        out.u16(self.transmit_period_s);
        out.u16(self.sample_period_s);
        out.u16(self.mains_v);
        out.u8(self.phases);
        out.u16(self.rated_ma);
        out.u16(self.over_limit_grace_ms);
        let (address, prefix, router) = self.network.parts();
        out.put(&address);
        out.put(&router);
        out.u8(prefix);
        out.put(&self.server.bytes);
        out.finish()
    }

    /// Reads and authenticates an answer (unit) and says which request it answers.
    #[cfg_attr(target_arch = "avr", inline(never))]
    pub fn parse(message: &[u8], keys: &Keys) -> Result<(Head, Self), ProtocolError> {
        let kind = Kind::ConfigAnswer;
        let (head, mut fields) = open(message, kind, &keys.down, CONFIG_ANSWER_LEN, 0)?;
        let mut config = Self { server_time_ms: fields.time(), ..Self::BLANK };
        config.read(&mut fields)?;
        Ok((head, config))
    }

    /// Takes over the fields after the time, which are also what a unit keeps: see [`Config::kept`]. After an error it is not to be used.
    #[cfg_attr(target_arch = "avr", inline(never))]
    pub(crate) fn read(&mut self, fields: &mut Fields<'_>) -> Result<(), ProtocolError> {
        self.transmit_period_s = fields.u16();
        self.sample_period_s = fields.u16();
        self.mains_v = fields.u16();
        self.phases = fields.u8();
        self.rated_ma = fields.u16();
        self.over_limit_grace_ms = fields.u16();
        let address = fields.array();
        let router = fields.array();
        self.network = Network::from_parts(address, fields.u8(), router)?;
        for byte in &mut self.server.bytes {
            *byte = fields.u8();
        }
        self.server.check_bytes()?;
        self.check()
    }

    /// The part of an answer that a unit keeps: all fields but the time, as they are on the wire. Empty where there is no answer.
    pub(crate) fn kept(answer: &[u8]) -> &[u8] {
        answer.get(KEPT_AT..KEPT_AT + KEPT_LEN).unwrap_or_default()
    }

    pub(crate) fn check(&self) -> Result<(), ProtocolError> {
        checked_time(self.server_time_ms)?;
        within(self.transmit_period_s, 1, 3600)?;
        within(self.sample_period_s, 1, 3600)?;
        within(self.mains_v, 100, 260)?;
        within(self.phases, 1, 3)?;
        within(self.rated_ma, 1000, u16::MAX)?;
        within(self.over_limit_grace_ms, 0, 10_000)?;
        self.network.check()
    }
}

/// How the unit gets its IPv4 address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Network {
    /// From the network (DHCP). All nine bytes are zero on the wire.
    Dynamic,
    /// As given here.
    Static {
        /// The unit's address; not 0.0.0.0.
        address: [u8; 4],
        /// The length of the network prefix in bits, 1 to 30.
        prefix: u8,
        /// The router's address; 0.0.0.0 where there is none.
        router: [u8; 4],
    },
}

impl Network {
    pub(crate) fn parts(&self) -> ([u8; 4], u8, [u8; 4]) {
        match *self {
            Self::Dynamic => ([0; 4], 0, [0; 4]),
            Self::Static { address, prefix, router } => (address, prefix, router),
        }
    }

    fn from_parts(address: [u8; 4], prefix: u8, router: [u8; 4]) -> Result<Self, ProtocolError> {
        if (address, prefix, router) == ([0; 4], 0, [0; 4]) {
            return Ok(Self::Dynamic);
        }
        let network = Self::Static { address, prefix, router };
        network.check()?;
        Ok(network)
    }

    fn check(&self) -> Result<(), ProtocolError> {
        match self {
            Self::Dynamic => Ok(()),
            Self::Static { address, prefix, .. } => {
                if *address == [0; 4] {
                    return Err(ProtocolError::OutOfRange);
                }
                within(*prefix, 1, 30)
            }
        }
    }
}

/// Where to send: a name or an IPv4 address, with `:port` where it is not 80. At most 48 characters of `A-Z a-z 0-9 . - :`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Host {
    bytes: [u8; Self::MAX_LEN],
}

impl Host {
    /// The longest host in bytes.
    pub const MAX_LEN: usize = 48;
    /// No host: the unit goes on with the one it has.
    pub const STAY: Self = Self { bytes: [0; Self::MAX_LEN] };

    /// A host from text; too long or another character is [`ProtocolError::OutOfRange`].
    pub fn new(text: &str) -> Result<Self, ProtocolError> {
        let mut host = Self::STAY;
        let room = host.bytes.get_mut(..text.len()).ok_or(ProtocolError::OutOfRange)?;
        room.copy_from_slice(text.as_bytes());
        if !text.bytes().all(is_host_byte) {
            return Err(ProtocolError::OutOfRange);
        }
        Ok(host)
    }

    /// The text; empty for [`Host::STAY`].
    #[must_use]
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(self.used().0).unwrap_or_default()
    }

    /// Whether this is [`Host::STAY`].
    #[must_use]
    pub const fn is_stay(&self) -> bool {
        let [first, ..] = self.bytes;
        first == 0
    }

    /// The text's bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.used().0
    }

    fn check_bytes(&self) -> Result<(), ProtocolError> {
        let (text, padding) = self.used();
        if !text.iter().copied().all(is_host_byte) {
            return Err(ProtocolError::OutOfRange);
        }
        if padding.iter().any(|byte| *byte != 0) {
            return Err(ProtocolError::Reserved);
        }
        Ok(())
    }

    fn used(&self) -> (&[u8], &[u8]) {
        let length = self.bytes.iter().take_while(|byte| **byte != 0).count();
        self.bytes.split_at_checked(length).unwrap_or_default()
    }
}

fn is_host_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b':')
}
