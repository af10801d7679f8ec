//! The nouns of the protocol: who speaks, what was measured, which card was shown.
//!
//! Values that a message could not carry cannot be built. Nothing here knows bytes but the card's own; `wire`, `config` and `readings` do.

use core::fmt;
use core::ops::BitOr;

use crate::error::ProtocolError;

/// The latest time that a message can carry, in ms since the Unix epoch: 48 bits, the year 10889.
pub const MAX_TIME_MS: u64 = (1 << 48) - 1;

/// The number of a device: printed on it, and the name under which the gateway keeps its key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct DeviceId(pub u32);

impl fmt::Display for DeviceId {
    /// Eight lower-case hexadecimal digits, as on the label.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

/// The place in the garage, from the unit's six switches: 0 to 63.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SensorId(u8);

impl SensorId {
    /// The highest number that six switches can say.
    pub const MAX: u8 = 63;
    /// No switch is on.
    pub const FIRST: Self = Self(0);

    /// A place from the switches; above 63 is [`ProtocolError::OutOfRange`].
    pub const fn new(number: u8) -> Result<Self, ProtocolError> {
        if number > Self::MAX {
            return Err(ProtocolError::OutOfRange);
        }
        Ok(Self(number))
    }

    /// The number, 0 to 63.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }
}

/// What every message says first: whose exchange this is. An answer repeats its request's head.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Head {
    /// The device whose keys authenticate the message.
    pub device: DeviceId,
    /// How often the unit has started; from 1, never used twice.
    pub boot: u32,
    /// The request's number within this boot; from 1, never used twice.
    pub counter: u32,
}

/// What a unit is built with; the same in every message of a unit.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Capabilities(u8);

impl Capabilities {
    /// Neither of the following.
    pub const NONE: Self = Self(0);
    /// The unit sees whether a plug is in; without it [`Flags::PLUG_PRESENT`] means nothing.
    pub const PLUG_SIGNAL: Self = Self(1);
    /// The unit has a card reader.
    pub const CARD_READER: Self = Self(2);

    /// The bits as on the wire; unknown ones are [`ProtocolError::Reserved`].
    pub const fn from_bits(bits: u8) -> Result<Self, ProtocolError> {
        if bits & !3 != 0 {
            return Err(ProtocolError::Reserved);
        }
        Ok(Self(bits))
    }

    /// The bits as on the wire.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Whether every capability of `other` is here.
    #[must_use]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl BitOr for Capabilities {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// The state of the unit at a sample. All eight bits are in use.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Flags(u8);

impl Flags {
    /// Nothing to report.
    pub const NONE: Self = Self(0);
    /// The relay was closed.
    pub const RELAY_CLOSED: Self = Self(1);
    /// A plug was in; only with [`Capabilities::PLUG_SIGNAL`].
    pub const PLUG_PRESENT: Self = Self(2);
    /// The meter did not answer or contradicted itself; register and power repeat the last good values.
    pub const METER_FAULT: Self = Self(4);
    /// The relay opened, or would have, because a phase stayed above its limit.
    pub const OVER_CURRENT: Self = Self(8);
    /// The unit is too hot; its relay is open.
    pub const OVER_TEMPERATURE: Self = Self(16);
    /// Current flows although the relay is open.
    pub const WELDED_RELAY: Self = Self(32);
    /// The unit's clock had been set from an answer within the 24 hours before the sample.
    pub const TIME_SYNCHRONISED: Self = Self(64);
    /// The sample marks an end (relay opened, plug gone, car full) rather than a period.
    pub const END: Self = Self(128);

    /// The bits as on the wire.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Self {
        Self(bits)
    }

    /// The bits as on the wire.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Whether every flag of `other` is set.
    #[must_use]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// These flags but those.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// These flags if `condition` holds, else none.
    #[must_use]
    pub const fn only_if(self, condition: bool) -> Self {
        if condition { self } else { Self::NONE }
    }
}

impl BitOr for Flags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// One measurement. Power and currents stop at 65,535 (three phases of 65 A bring less): a unit reports what is above as 65,535.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Sample {
    /// When, in ms since the Unix epoch, UTC; at most [`MAX_TIME_MS`].
    pub at_ms: u64,
    /// The meter's cumulative register in Wh; it never falls.
    pub register_wh: u64,
    /// Power at that moment in W.
    pub power_w: u16,
    /// Current per phase in mA, RMS; a phase that is not connected is 0.
    pub current_ma: [u16; 3],
    /// Temperature inside the unit in tenths of a degree Celsius, if it has a sensor; `i16::MIN` is kept for "none".
    pub temperature_dc: Option<i16>,
    /// The unit's state.
    pub flags: Flags,
}

/// The identifier that a card shows, 1 to 10 bytes (ISO 14443 has 4, 7 and 10).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Card {
    /// The length, and the identifier padded with zeros: as on the wire.
    bytes: [u8; 11],
}

impl Card {
    /// The longest identifier in bytes.
    pub const MAX_LEN: usize = 10;

    /// A card from its identifier; empty or more than 10 bytes is [`ProtocolError::OutOfRange`].
    pub fn new(uid: &[u8]) -> Result<Self, ProtocolError> {
        let length = u8::try_from(uid.len()).map_err(|_| ProtocolError::OutOfRange)?;
        if length == 0 || uid.len() > Self::MAX_LEN {
            return Err(ProtocolError::OutOfRange);
        }
        let mut bytes = [length; 11];
        for (place, room) in bytes.iter_mut().skip(1).enumerate() {
            *room = uid.get(place).copied().unwrap_or_default();
        }
        Ok(Self { bytes })
    }

    /// The identifier's bytes.
    #[must_use]
    pub fn uid(&self) -> &[u8] {
        let [length, uid @ ..] = &self.bytes;
        uid.get(..usize::from(*length)).unwrap_or_default()
    }

    pub(crate) const fn padded(&self) -> &[u8; 11] {
        &self.bytes
    }
}

impl fmt::Debug for Card {
    /// Shows only the length: the identifier points at a person.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Card({} bytes)", self.uid().len())
    }
}

/// A card held to the unit: one tap, however often the message is sent again.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Presented {
    /// The tap's number within this boot; from 1, rising.
    pub tap: u16,
    /// The card.
    pub card: Card,
}
