//! Keyed BLAKE3 of one chunk against the reference crate.

use firmware_core::{MAX_MESSAGE_LEN, Mac, ProtocolError, decode_hex, encode_hex, keyed_hash};
use rand::{Rng, SeedableRng, rngs::StdRng};

#[test]
fn agrees_with_the_reference_at_every_length() {
    let seed = rand::random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    for length in 0..=MAX_MESSAGE_LEN {
        let key: [u8; 32] = random.random();
        let mut input = vec![0; length];
        random.fill(&mut input[..]);
        let expected = *blake3::keyed_hash(&key, &input).as_bytes();
        assert_eq!(keyed_hash(&key, &input), Ok(expected), "{length} bytes");

        let mut pieces = Mac::new(&key);
        let mut rest = &input[..];
        while !rest.is_empty() {
            let (piece, later) = rest.split_at(random.random_range(0..=rest.len().min(200)));
            pieces.update(piece);
            rest = later;
        }
        assert_eq!(pieces.finish(), Ok(expected), "{length} bytes in pieces");
    }
}

#[test]
fn refuses_more_than_a_chunk() {
    let long = [0; MAX_MESSAGE_LEN + 1];
    assert_eq!(keyed_hash(&[7; 32], &long), Err(ProtocolError::TooLong));
    let mut pieces = Mac::new(&[7; 32]);
    for _ in 0..3 {
        pieces.update(&long[..500]);
    }
    assert_eq!(pieces.finish(), Err(ProtocolError::TooLong));
}

#[test]
fn hexadecimal_is_lower_case_and_exact() {
    let mut room = [0; 8];
    assert_eq!(encode_hex(&[0x00, 0x9a, 0xbf, 0xff], &mut room), Ok("009abfff"));
    assert_eq!(decode_hex::<4>("009abfff"), Ok([0x00, 0x9a, 0xbf, 0xff]));
    for text in ["009abff", "009abfff0", "009ABFFF", "009abffg", "+09abfff", "009abf\u{e9}", ""] {
        assert_eq!(decode_hex::<4>(text), Err(ProtocolError::Encoding), "{text}");
    }
    assert_eq!(encode_hex(&[1; 5], &mut room), Err(ProtocolError::BufferTooSmall));
}

#[test]
fn keys_never_show_in_debug_output() {
    let keys = firmware_core::Keys::derive(&[7; 32]);
    assert_eq!(format!("{keys:?}"), "Keys(..)");
    assert_eq!(format!("{:?}", Mac::new(&[7; 32])), "Mac(..)");
}
