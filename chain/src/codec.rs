//! The wire format: bincode with fixed-width little-endian integers, enum tags of four bytes and lengths of eight.
//!
//! The only file that names the crate, because the crate itself neither limits an encoding nor refuses trailing bytes. A value decodes only if its
//! bytes are within the limit, are used up, and are exactly what the value encodes to: so one value has one encoding and a hash of bytes identifies a value.
//! Called by everything that reads or writes wire bytes, state values and files.

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
    #[error("not an encoding of this type: {0}")]
    Malformed(String),
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
    let (value, read) =
        bincode::serde::decode_from_slice::<T, _>(bytes, configuration()).map_err(|error| CodecError::Malformed(error.to_string()))?;
    match bytes.len().checked_sub(read) {
        Some(0) => {}
        Some(trailing) => return Err(CodecError::Trailing(trailing)),
        None => return Err(CodecError::Malformed("read past the end".to_owned())),
    }
    if encode(&value)? == bytes { Ok(value) } else { Err(CodecError::NotCanonical) }
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
}
