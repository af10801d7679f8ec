//! Keyed BLAKE3 over at most one chunk, and the two keys of a device.
//!
//! A chunk is 1,024 bytes, so the tree of BLAKE3 never appears and the code stays small enough for the unit (the BLAKE3 paper, section 2.4, gives
//! the compression function; a keyed single chunk is all that is here). It does not hash without a key and does not extend its output.
//! Called by `wire` for every message and by whoever provisions a device.

use core::fmt;
use core::hint::black_box;

use crate::error::ProtocolError;

/// The longest message, tag included, and the longest input of [`keyed_hash`], in bytes: one BLAKE3 chunk.
pub const MAX_MESSAGE_LEN: usize = 1024;
/// The length of a tag in bytes: the first half of a keyed BLAKE3 hash.
pub const TAG_LEN: usize = 16;

const UP_LABEL: &[u8] = b"commonwatt unit v1 up";
const DOWN_LABEL: &[u8] = b"commonwatt unit v1 down";

const BLOCK_LEN: usize = 64;
const CHUNK_START: u32 = 1;
const CHUNK_END: u32 = 2;
const ROOT: u32 = 8;
const KEYED_HASH: u32 = 16;
const IV: [u32; 4] = [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a];

/// The two message keys of a device, derived from its one secret.
///
/// `up` authenticates what the unit sends, `down` what the gateway answers; neither reveals the other or the device key.
#[derive(Clone)]
pub struct Keys {
    pub(crate) up: [u8; 32],
    pub(crate) down: [u8; 32],
}

impl Keys {
    /// Derives both keys: `keyed_hash(device_key, "commonwatt unit v1 up")` and the same with `down`.
    #[must_use]
    pub fn derive(device_key: &[u8; 32]) -> Self {
        let half = |label: &[u8]| {
            let mut mac = Mac::new(device_key);
            mac.update(label);
            mac.root()
        };
        Self { up: half(UP_LABEL), down: half(DOWN_LABEL) }
    }
}

impl fmt::Debug for Keys {
    /// Shows no key bytes: errors and logs may hold this.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys(..)")
    }
}

/// Keyed BLAKE3 of up to 1,024 bytes: 32 bytes, or [`ProtocolError::TooLong`].
pub fn keyed_hash(key: &[u8; 32], input: &[u8]) -> Result<[u8; 32], ProtocolError> {
    let mut mac = Mac::new(key);
    mac.update(input);
    mac.finish()
}

/// A keyed BLAKE3 hash in the making, for input that comes in pieces; about 100 bytes.
#[derive(Clone)]
pub struct Mac {
    chaining: [u32; 8],
    block: [u8; BLOCK_LEN],
    filled: usize,
    taken: usize,
    first: bool,
}

impl Mac {
    /// Starts a hash under a key.
    #[must_use]
    pub fn new(key: &[u8; 32]) -> Self {
        let mut chaining = [0; 8];
        load(&mut chaining, key);
        Self { chaining, block: [0; BLOCK_LEN], filled: 0, taken: 0, first: true }
    }

    /// Adds input; more than 1,024 bytes in all make [`Mac::finish`] fail.
    pub fn update(&mut self, mut input: &[u8]) {
        self.taken = self.taken.saturating_add(input.len());
        while !input.is_empty() {
            // A full block waits until more input shows that it is not the last one.
            if self.filled == BLOCK_LEN {
                let flags = self.start_flag() | KEYED_HASH;
                compress(&mut self.chaining, &self.block, BLOCK_LEN, flags);
                self.first = false;
                self.block = [0; BLOCK_LEN];
                self.filled = 0;
            }
            let room = self.block.get_mut(self.filled..).unwrap_or_default();
            let count = room.len().min(input.len());
            let (now, later) = input.split_at_checked(count).unwrap_or_default();
            for (to, from) in room.iter_mut().zip(now) {
                *to = *from;
            }
            self.filled = self.filled.saturating_add(count);
            input = later;
        }
    }

    /// The 32-byte hash, or [`ProtocolError::TooLong`] when more than 1,024 bytes went in.
    pub fn finish(self) -> Result<[u8; 32], ProtocolError> {
        if self.taken > MAX_MESSAGE_LEN {
            return Err(ProtocolError::TooLong);
        }
        Ok(self.root())
    }

    /// The tag of the input: the first 16 bytes of the hash.
    pub(crate) fn tag(self) -> Result<[u8; TAG_LEN], ProtocolError> {
        let hash = self.finish()?;
        hash.first_chunk().copied().ok_or(ProtocolError::Length)
    }

    fn start_flag(&self) -> u32 {
        if self.first { CHUNK_START } else { 0 }
    }

    fn root(mut self) -> [u8; 32] {
        let flags = self.start_flag() | CHUNK_END | ROOT | KEYED_HASH;
        compress(&mut self.chaining, &self.block, self.filled, flags);
        let mut out = [0; 32];
        for (to, word) in out.as_chunks_mut::<4>().0.iter_mut().zip(self.chaining) {
            *to = word.to_le_bytes();
        }
        out
    }
}

impl fmt::Debug for Mac {
    /// Shows no state: it starts out as the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mac(..)")
    }
}

/// Whether two tags are equal, in a time that does not depend on where they differ.
pub(crate) fn same_tag(left: &[u8; TAG_LEN], right: &[u8; TAG_LEN]) -> bool {
    let mut difference = 0;
    for (a, b) in left.iter().zip(right) {
        difference |= a ^ b;
    }
    // Without the barrier the compiler may leave the loop at the first difference.
    black_box(difference) == 0
}

fn load(words: &mut [u32], bytes: &[u8]) {
    for (word, four) in words.iter_mut().zip(bytes.as_chunks::<4>().0) {
        *word = u32::from_le_bytes(*four);
    }
}

/// The BLAKE3 compression of one block into the chaining value; the chunk counter is always 0 here.
fn compress(chaining: &mut [u32; 8], block: &[u8; BLOCK_LEN], length: usize, flags: u32) {
    let mut m = [0; 16];
    load(&mut m, block);
    let [c0, c1, c2, c3, c4, c5, c6, c7] = *chaining;
    let [i0, i1, i2, i3] = IV;
    let length = u32::try_from(length).unwrap_or_default();
    let mut s = [c0, c1, c2, c3, c4, c5, c6, c7, i0, i1, i2, i3, 0, 0, length, flags];
    for _ in 0..7 {
        round(&mut s, &m);
        m = [m[2], m[6], m[3], m[10], m[7], m[0], m[4], m[13], m[1], m[11], m[12], m[5], m[9], m[14], m[15], m[8]];
    }
    let (low, high) = s.split_at(8);
    for (word, (a, b)) in chaining.iter_mut().zip(low.iter().zip(high)) {
        *word = a ^ b;
    }
}

/// One round: the columns, then the diagonals.
fn round(s: &mut [u32; 16], m: &[u32; 16]) {
    [s[0], s[4], s[8], s[12]] = mix([s[0], s[4], s[8], s[12]], m[0], m[1]);
    [s[1], s[5], s[9], s[13]] = mix([s[1], s[5], s[9], s[13]], m[2], m[3]);
    [s[2], s[6], s[10], s[14]] = mix([s[2], s[6], s[10], s[14]], m[4], m[5]);
    [s[3], s[7], s[11], s[15]] = mix([s[3], s[7], s[11], s[15]], m[6], m[7]);
    [s[0], s[5], s[10], s[15]] = mix([s[0], s[5], s[10], s[15]], m[8], m[9]);
    [s[1], s[6], s[11], s[12]] = mix([s[1], s[6], s[11], s[12]], m[10], m[11]);
    [s[2], s[7], s[8], s[13]] = mix([s[2], s[7], s[8], s[13]], m[12], m[13]);
    [s[3], s[4], s[9], s[14]] = mix([s[3], s[4], s[9], s[14]], m[14], m[15]);
}

fn mix([mut a, mut b, mut c, mut d]: [u32; 4], x: u32, y: u32) -> [u32; 4] {
    a = a.wrapping_add(b).wrapping_add(x);
    d = (d ^ a).rotate_right(16);
    c = c.wrapping_add(d);
    b = (b ^ c).rotate_right(12);
    a = a.wrapping_add(b).wrapping_add(y);
    d = (d ^ a).rotate_right(8);
    c = c.wrapping_add(d);
    b = (b ^ c).rotate_right(7);
    [a, b, c, d]
}
