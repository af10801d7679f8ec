//! Everything that can be wrong with a message, under numbers that never change.
//!
//! The gateway puts the number into its answer's text body and maps it to an HTTP status here, so that both ends agree. Called by every module.

use core::fmt;

/// Why a message was refused or could not be made; the discriminant is the stable code of `docs/unit-protocol.md`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum ProtocolError {
    /// The message is longer than 1,024 bytes.
    TooLong = 1,
    /// The length is not the one that this kind of message has.
    Length = 2,
    /// The first byte is not a version that this end speaks.
    Version = 3,
    /// The second byte is not the kind of message expected here.
    Kind = 4,
    /// A reserved bit or a padding byte is not zero.
    Reserved = 5,
    /// A field lies outside its range.
    OutOfRange = 6,
    /// The query is not lower-case hexadecimal of the right length.
    Encoding = 7,
    /// A sample is older than the one before it.
    Order = 8,
    /// The tag does not fit the message under this device's key.
    BadTag = 9,
    /// The boot number is lower than one already seen.
    OldBoot = 10,
    /// The counter is not higher than the last one seen of this boot.
    OldCounter = 11,
    /// The gateway has no unit of this device number.
    UnknownDevice = 12,
    /// The device is known under another sensor number: its switches were changed.
    SensorMismatch = 13,
    /// The unit sends more often than the gateway allows.
    TooManyRequests = 14,
    /// The gateway cannot answer now.
    Unavailable = 15,
    /// The answer is genuine but belongs to another request.
    NotOurRequest = 16,
    /// The caller's buffer is too small for the message.
    BufferTooSmall = 17,
    /// The counter or the sample numbers of this boot are used up; a new boot number is needed.
    Exhausted = 18,
}

impl ProtocolError {
    /// Every error, in the order of the codes.
    pub const ALL: [Self; 18] = [
        Self::TooLong,
        Self::Length,
        Self::Version,
        Self::Kind,
        Self::Reserved,
        Self::OutOfRange,
        Self::Encoding,
        Self::Order,
        Self::BadTag,
        Self::OldBoot,
        Self::OldCounter,
        Self::UnknownDevice,
        Self::SensorMismatch,
        Self::TooManyRequests,
        Self::Unavailable,
        Self::NotOurRequest,
        Self::BufferTooSmall,
        Self::Exhausted,
    ];

    /// The stable number, as in the text body of an error answer.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The HTTP status with which a gateway answers; 500 for what only a unit or a caller can cause.
    #[must_use]
    pub const fn http_status(self) -> u16 {
        match self {
            Self::TooLong => 413,
            Self::Length | Self::Version | Self::Kind | Self::Reserved | Self::OutOfRange | Self::Encoding | Self::Order => 400,
            Self::BadTag => 401,
            Self::OldBoot | Self::OldCounter => 409,
            Self::UnknownDevice | Self::SensorMismatch => 404,
            Self::TooManyRequests => 429,
            Self::Unavailable => 503,
            Self::NotOurRequest | Self::BufferTooSmall | Self::Exhausted => 500,
        }
    }

    /// The name in lower case, as in the text body of an error answer.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::TooLong => "too_long",
            Self::Length => "length",
            Self::Version => "version",
            Self::Kind => "kind",
            Self::Reserved => "reserved",
            Self::OutOfRange => "out_of_range",
            Self::Encoding => "encoding",
            Self::Order => "order",
            Self::BadTag => "bad_tag",
            Self::OldBoot => "old_boot",
            Self::OldCounter => "old_counter",
            Self::UnknownDevice => "unknown_device",
            Self::SensorMismatch => "sensor_mismatch",
            Self::TooManyRequests => "too_many_requests",
            Self::Unavailable => "unavailable",
            Self::NotOurRequest => "not_our_request",
            Self::BufferTooSmall => "buffer_too_small",
            Self::Exhausted => "exhausted",
        }
    }
}

impl fmt::Display for ProtocolError {
    /// `9 bad_tag`: the whole text body of an error answer.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code(), self.name())
    }
}

impl core::error::Error for ProtocolError {}
