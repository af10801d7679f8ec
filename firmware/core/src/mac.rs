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

/// What both labels begin with; then come `up` and `down`.
const LABEL: &[u8] = b"commonwatt unit v1 ";

const BLOCK_LEN: usize = 64;
/// The same, and how much may come before the last block, in the widths that the unit counts with.
const BLOCK_FULL: u8 = 64;
const MAX_BEFORE: u16 = 960;
const _: () = assert!(BLOCK_LEN == 64 && MAX_MESSAGE_LEN == 960 + BLOCK_LEN, "the same lengths");
const CHUNK_START: u8 = 1;
const CHUNK_END: u8 = 2;
const ROOT: u8 = 8;
const KEYED_HASH: u8 = 16;
/// Which word of a block comes to each place in the next round.
static ORDER: [u8; 16] = [2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8];
// Statics, here and above: a constant would be built on the stack word by word.
static IV: [u32; 4] = [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a];

/// The two message keys of a device, derived from its one secret.
///
/// `up` authenticates what the unit sends, `down` what the gateway answers; neither reveals the other or the device key.
#[derive(Clone)]
pub struct Keys {
    pub(crate) up: [u8; 32],
    pub(crate) down: [u8; 32],
}

impl Keys {
    /// Stands for keys that are not derived yet; nothing is ever sent under it.
    pub(crate) const NONE: Self = Self { up: [0; 32], down: [0; 32] };

    /// Derives both keys: `keyed_hash(device_key, "commonwatt unit v1 up")` and the same with `down`.
    #[must_use]
    pub fn derive(device_key: &[u8; 32]) -> Self {
        let mut keys = Self::NONE;
        keys.set(device_key);
        keys
    }

    /// As [`Keys::derive`], in place.
    pub(crate) fn set(&mut self, device_key: &[u8; 32]) {
        derive(device_key, b"up", &mut self.up);
        derive(device_key, b"down", &mut self.down);
    }
}

fn derive(device_key: &[u8; 32], direction: &[u8], key: &mut [u8; 32]) {
    let mut mac = Mac::new(device_key);
    mac.update(LABEL);
    mac.update(direction);
    mac.root(key);
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
    // Not `finish`, which would take a copy of it.
    mac.first_bytes()
}

/// A keyed BLAKE3 hash in the making, for input that comes in pieces; about 100 bytes.
#[derive(Clone)]
pub struct Mac {
    chaining: [u32; 8],
    block: [u8; BLOCK_LEN],
    filled: u8,
    /// How many bytes are in blocks that are compressed.
    taken: u16,
}

impl Mac {
    /// Starts a hash under a key.
    #[must_use]
    pub fn new(key: &[u8; 32]) -> Self {
        let mut chaining = [0; 8];
        load(&mut chaining, key);
        Self { chaining, block: [0; BLOCK_LEN], filled: 0, taken: 0 }
    }

    /// Adds input; more than 1,024 bytes in all make [`Mac::finish`] fail.
    #[cfg_attr(target_arch = "avr", inline(never))]
    pub fn update(&mut self, input: &[u8]) {
        for byte in input {
            // A full block waits until more input shows that it is not the last one.
            if self.filled == BLOCK_FULL {
                let flags = self.start_flag() | KEYED_HASH;
                self.taken = self.taken.saturating_add(BLOCK_FULL.into());
                compress(&mut self.chaining, &mut self.block, BLOCK_FULL, flags);
                self.block = [0; BLOCK_LEN];
                self.filled = 0;
            }
            if let Some(room) = self.block.get_mut(usize::from(self.filled)) {
                *room = *byte;
            }
            self.filled = self.filled.wrapping_add(1);
        }
    }

    /// The 32-byte hash, or [`ProtocolError::TooLong`] when more than 1,024 bytes went in.
    pub fn finish(mut self) -> Result<[u8; 32], ProtocolError> {
        self.first_bytes()
    }

    /// The tag of the input: the first 16 bytes of the hash. Nothing more goes in afterwards.
    pub(crate) fn tag(&mut self) -> Result<[u8; TAG_LEN], ProtocolError> {
        self.first_bytes()
    }

    fn first_bytes<const N: usize>(&mut self) -> Result<[u8; N], ProtocolError> {
        // What is still in the block fills it at most.
        if self.taken > MAX_BEFORE {
            return Err(ProtocolError::TooLong);
        }
        let mut hash = [0; N];
        self.root(&mut hash);
        Ok(hash)
    }

    fn start_flag(&self) -> u8 {
        if self.taken == 0 { CHUNK_START } else { 0 }
    }

    /// Writes as much of the hash as there is room for, up to 32 bytes.
    #[cfg_attr(target_arch = "avr", inline(never))]
    fn root(&mut self, out: &mut [u8]) {
        let flags = self.start_flag() | CHUNK_END | ROOT | KEYED_HASH;
        compress(&mut self.chaining, &mut self.block, self.filled, flags);
        for (to, word) in out.as_chunks_mut::<4>().0.iter_mut().zip(&self.chaining) {
            *to = word.to_le_bytes();
        }
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

/// The BLAKE3 compression of one block into the chaining value; the chunk counter is always 0 here. The block's words are in another order afterwards.
///
/// Written with loops where the words could be named one by one: that would be faster on a large machine and three times as long in the unit's flash.
#[cfg_attr(target_arch = "avr", inline(never))]
fn compress(chaining: &mut [u32; 8], block: &mut [u8; BLOCK_LEN], length: u8, flags: u8) {
    let mut s = [0; 16];
    if let Some((low, high)) = s.split_first_chunk_mut() {
        *low = *chaining;
        if let Some(four) = high.first_chunk_mut() {
            *four = IV;
        }
    }
    let [.., bytes, mode] = &mut s;
    *bytes = length.into();
    *mode = flags.into();
    for _ in 0..7_u8 {
        // The columns, then the diagonals.
        let mut place = 0_usize;
        for words in block.as_chunks::<8>().0 {
            if let [a, b, c, d] = s.as_chunks_mut::<4>().0 {
                let turn = place >> 2;
                let at = |row: usize| place.wrapping_add(if turn == 0 { 0 } else { row }) & 3;
                if let (Some(a), Some(b), Some(c), Some(d)) = (a.get_mut(at(0)), b.get_mut(at(1)), c.get_mut(at(2)), d.get_mut(at(3))) {
                    mix(a, b, c, d, words);
                }
            }
            place = place.wrapping_add(1);
        }
        permute(block);
    }
    let (low, high) = s.split_at(8);
    for (word, (a, b)) in chaining.iter_mut().zip(low.iter().zip(high)) {
        *word = a ^ b;
    }
}

/// Brings the words into the order of the next round, where they are: [`ORDER`] is two rings of eight places, which begin at 0 and at 1.
#[cfg_attr(target_arch = "avr", inline(never))]
fn permute(block: &mut [u8; BLOCK_LEN]) {
    let words = block.as_chunks_mut::<4>().0;
    for start in 0..2_usize {
        let first = words.get(start).copied().unwrap_or_default();
        let mut place = start;
        for _ in 0..7_u8 {
            let from = usize::from(ORDER.get(place).copied().unwrap_or_default());
            let word = words.get(from).copied().unwrap_or_default();
            if let Some(to) = words.get_mut(place) {
                *to = word;
            }
            place = from;
        }
        if let Some(to) = words.get_mut(place) {
            *to = first;
        }
    }
}

/// Mixes a column of the state, or a diagonal, with two words of the block.
#[cfg_attr(target_arch = "avr", inline(never))]
fn mix(a: &mut u32, b: &mut u32, c: &mut u32, d: &mut u32, words: &[u8; 8]) {
    let [x @ .., _, _, _, _] = *words;
    let [_, _, _, _, y @ ..] = *words;
    *a = a.wrapping_add(*b).wrapping_add(u32::from_le_bytes(x));
    *d = (*d ^ *a).rotate_right(16);
    *c = c.wrapping_add(*d);
    *b = (*b ^ *c).rotate_right(12);
    *a = a.wrapping_add(*b).wrapping_add(u32::from_le_bytes(y));
    *d = (*d ^ *a).rotate_right(8);
    *c = c.wrapping_add(*d);
    *b = (*b ^ *c).rotate_right(7);
}
