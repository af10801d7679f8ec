//! Lower-case hexadecimal, for the one message that travels in a URL (a GET has no body).
//!
//! It accepts nothing but pairs of `0-9a-f`. Called by the unit's HTTP client and by the gateway's router.

use crate::error::ProtocolError;

/// Writes two lower-case digits per byte and returns the text, or [`ProtocolError::BufferTooSmall`].
pub fn encode_hex<'a>(bytes: &[u8], out: &'a mut [u8]) -> Result<&'a str, ProtocolError> {
    let length = bytes.len().saturating_mul(2);
    let out = out.get_mut(..length).ok_or(ProtocolError::BufferTooSmall)?;
    for (pair, byte) in out.as_chunks_mut::<2>().0.iter_mut().zip(bytes) {
        *pair = [digit(byte >> 4), digit(byte & 15)];
    }
    core::str::from_utf8(out).map_err(|_| ProtocolError::Encoding)
}

/// Reads exactly `N` bytes from `2 * N` lower-case digits, or fails with [`ProtocolError::Encoding`].
pub fn decode_hex<const N: usize>(text: &str) -> Result<[u8; N], ProtocolError> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if pairs.len() != N || !rest.is_empty() {
        return Err(ProtocolError::Encoding);
    }
    let mut out = [0; N];
    for (byte, [high, low]) in out.iter_mut().zip(pairs) {
        *byte = (nibble(*high)? << 4) | nibble(*low)?;
    }
    Ok(out)
}

/// The digit of a value below 16.
pub(crate) fn digit(nibble: u8) -> u8 {
    let first = if nibble < 10 { b'0' } else { b'a' - 10 };
    first.wrapping_add(nibble)
}

fn nibble(digit: u8) -> Result<u8, ProtocolError> {
    match digit {
        b'0'..=b'9' => Ok(digit.wrapping_sub(b'0')),
        b'a'..=b'f' => Ok(digit.wrapping_sub(b'a' - 10)),
        _ => Err(ProtocolError::Encoding),
    }
}
