//! The wire format: bincode with fixed-width little-endian integers, enum tags of four bytes and lengths of eight.
//!
//! The only file that names the crate, because the crate itself neither limits an encoding nor refuses trailing bytes. A value decodes only if its
//! bytes are within the limit, are used up, and are exactly what the value encodes to: so one value has one encoding and a hash of bytes identifies a value.
//! Called by everything that reads or writes wire bytes, state values and files.

use std::fmt;

use bincode::{de::read::Reader, error::DecodeError};
use serde::{Serialize, de::DeserializeOwned};

/// Bytes that are no value of the expected type.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CodecError {
    /// Longer than the caller allows; nothing was read.
    #[error("{found} bytes exceed the limit of {limit}")]
    TooLong {
        /// The bytes given.
        found: usize,
        /// The most that are allowed.
        limit: usize,
    },
    /// Not an encoding of the type.
    #[error("not an encoding of this type, {0}")]
    Malformed(Misfit),
    /// The value ends before the bytes do.
    #[error("{0} bytes follow the value")]
    Trailing(usize),
    /// A second encoding of a value, which is not accepted.
    #[error("the value has another encoding, and only that one is valid")]
    NotCanonical,
    /// The value cannot be encoded.
    #[error("cannot be encoded: {0}")]
    Unencodable(String),
}

/// Where bytes stop being an encoding of the expected type, and why.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Misfit {
    /// The first byte of the piece that does not fit, from 0.
    pub at: usize,
    /// What is wrong with it.
    pub reason: String,
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at byte {}: {}", self.at, self.reason)
    }
}

/// The most that any single encoding may measure, in bytes; callers give tighter limits.
pub const MAX_ENCODING_BYTES: usize = 64 << 20;

fn configuration() -> impl bincode::config::Config {
    bincode::config::legacy().with_limit::<MAX_ENCODING_BYTES>()
}

/// The bytes of a value.
///
/// # Errors
/// [`CodecError::Unencodable`] for a type that the format does not know (a sequence of unknown length); never for our wire types.
pub fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, CodecError> {
    bincode::serde::encode_to_vec(value, configuration()).map_err(|error| CodecError::Unencodable(error.to_string()))
}

/// The value of all of `bytes`, at most `limit` of them.
///
/// # Errors
/// Any [`CodecError`] but `Unencodable`.
pub fn decode<T: DeserializeOwned + Serialize>(bytes: &[u8], limit: usize) -> Result<T, CodecError> {
    if bytes.len() > limit {
        return Err(CodecError::TooLong { found: bytes.len(), limit });
    }
    let (value, read) = bincode::serde::decode_from_slice::<T, _>(bytes, configuration())
        .map_err(|error| CodecError::Malformed(misfit::<T>(bytes).unwrap_or_else(|| Misfit { at: 0, reason: reason_of(&error) })))?;
    match bytes.len().checked_sub(read) {
        Some(0) => {}
        Some(trailing) => return Err(CodecError::Trailing(trailing)),
        None => return Err(CodecError::Malformed(Misfit { at: bytes.len(), reason: "it was read past the end".to_owned() })),
    }
    if encode(&value)? == bytes { Ok(value) } else { Err(CodecError::NotCanonical) }
}

/// Reads again what did not decode, piece by piece, to say where: only those who sent wrong bytes pay for it.
fn misfit<T: DeserializeOwned>(bytes: &[u8]) -> Option<Misfit> {
    let mut pieces = Pieces { rest: bytes, read: 0, last: 0 };
    let error = bincode::serde::decode_from_reader::<T, _, _>(&mut pieces, configuration()).err()?;
    // A piece that is not there begins where the bytes end; one that was read and is wrong is the last one.
    let at = if matches!(error, DecodeError::UnexpectedEnd { .. }) { pieces.read } else { pieces.last };
    Some(Misfit { at, reason: reason_of(&error) })
}

fn reason_of(error: &DecodeError) -> String {
    if let DecodeError::UnexpectedEnd { additional } = error {
        return format!("the bytes end here, at least {additional} more are expected");
    }
    if let DecodeError::InvalidBooleanValue(found) = error {
        return format!("expected 0 or 1, found {found}");
    }
    if let DecodeError::UnexpectedVariant { found, .. } = error {
        return format!("there is no kind {found}");
    }
    if let DecodeError::OtherString(reason) = error {
        return reason.clone();
    }
    if let DecodeError::Other(reason) = error {
        return (*reason).to_owned();
    }
    if matches!(error, DecodeError::LimitExceeded) {
        return "a length promises more than there can be".to_owned();
    }
    if matches!(error, DecodeError::Utf8 { .. }) { "the text is no UTF-8".to_owned() } else { error.to_string() }
}

/// Bytes that count how many were taken, and where the last piece began.
struct Pieces<'a> {
    rest: &'a [u8],
    read: usize,
    last: usize,
}

impl Reader for Pieces<'_> {
    fn read(&mut self, piece: &mut [u8]) -> Result<(), DecodeError> {
        let Some((taken, rest)) = self.rest.split_at_checked(piece.len()) else {
            return Err(DecodeError::UnexpectedEnd { additional: piece.len().saturating_sub(self.rest.len()) });
        };
        piece.copy_from_slice(taken);
        self.rest = rest;
        self.last = self.read;
        self.read = self.read.saturating_add(taken.len());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_trailing_bytes_and_long_input() {
        let bytes = encode(&(7_u32, "a")).expect("encodes");
        assert_eq!(bytes, [7, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, b'a']);
        let mut longer = bytes.clone();
        longer.push(0);
        assert_eq!(decode::<(u32, String)>(&longer, 100), Err(CodecError::Trailing(1)));
        assert_eq!(decode::<(u32, String)>(&bytes, 12), Err(CodecError::TooLong { found: 13, limit: 12 }));
        assert_eq!(decode::<(u32, String)>(&bytes, 13), Ok((7, "a".to_owned())));
    }

    #[test]
    fn a_length_that_promises_more_than_there_is_allocates_nothing() {
        let mut bytes = vec![0xff_u8; 8];
        bytes.push(1);
        assert!(matches!(decode::<Vec<u8>>(&bytes, 100), Err(CodecError::Malformed(_))));
    }

    #[test]
    fn bytes_that_do_not_fit_are_told_by_their_place() {
        let bytes = encode(&(7_u32, true, Some(9_u64))).expect("encodes");
        let place = |bytes: &[u8]| match decode::<(u32, bool, Option<u64>)>(bytes, 100) {
            Err(CodecError::Malformed(misfit)) => (misfit.at, misfit.reason),
            other => panic!("{other:?}"),
        };
        for (changed, reason) in [(4, "expected 0 or 1, found 3"), (5, "")] {
            let mut wrong = bytes.clone();
            wrong[changed] = 3;
            let (at, found) = place(&wrong);
            assert!(at == changed && found.contains(reason), "{changed}: {at} {found}");
        }
        assert_eq!(place(&bytes[..10]), (6, "the bytes end here, at least 4 more are expected".to_owned()));
        assert_eq!(place(&[]).0, 0);
    }
}
