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
const CHUNK_START: u32 = 1;
const CHUNK_END: u32 = 2;
const ROOT: u32 = 8;
const KEYED_HASH: u32 = 16;
/// How the words of a block change their places from round to round.
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
    #[cfg_attr(target_arch = "avr", inline(never))]
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
    pub fn finish(mut self) -> Result<[u8; 32], ProtocolError> {
        if self.taken > MAX_MESSAGE_LEN {
            return Err(ProtocolError::TooLong);
        }
        let mut hash = [0; 32];
        self.root(&mut hash);
        Ok(hash)
    }

    /// The tag of the input: the first 16 bytes of the hash. Nothing more goes in afterwards.
    pub(crate) fn tag(&mut self) -> Result<[u8; TAG_LEN], ProtocolError> {
        if self.taken > MAX_MESSAGE_LEN {
            return Err(ProtocolError::TooLong);
        }
        let mut tag = [0; TAG_LEN];
        self.root(&mut tag);
        Ok(tag)
    }

    fn start_flag(&self) -> u32 {
        if self.first { CHUNK_START } else { 0 }
    }

    /// Writes as much of the hash as there is room for, up to 32 bytes.
    #[cfg_attr(target_arch = "avr", inline(never))]
    fn root(&mut self, out: &mut [u8]) {
        let flags = self.start_flag() | CHUNK_END | ROOT | KEYED_HASH;
        compress(&mut self.chaining, &self.block, self.filled, flags);
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

/// The BLAKE3 compression of one block into the chaining value; the chunk counter is always 0 here.
///
/// Written with loops where the words could be named one by one: that would be faster on a large machine and three times as long in the unit's flash.
#[cfg_attr(target_arch = "avr", inline(never))]
fn compress(chaining: &mut [u32; 8], block: &[u8; BLOCK_LEN], length: usize, flags: u32) {
    let mut s = [0; 16];
    for (to, from) in s.iter_mut().zip(chaining.iter()) {
        *to = *from;
    }
    for (to, from) in s.iter_mut().skip(8).zip(&IV) {
        *to = *from;
    }
    let [.., bytes, mode] = &mut s;
    *bytes = u32::try_from(length).unwrap_or_default();
    *mode = flags;
    for round in 0..7_u8 {
        for step in 0..8_u8 {
            // The columns, then the diagonals.
            let turn = if step < 4 { 0 } else { 1 };
            let first = step << 1;
            mix(&mut s, step & 3, turn, [word(block, first, round), word(block, first | 1, round)]);
        }
    }
    let (low, high) = s.split_at(8);
    for (word, (a, b)) in chaining.iter_mut().zip(low.iter().zip(high)) {
        *word = a ^ b;
    }
}

/// The word of the block that stands at a place in a round: the places change by [`ORDER`] from each round to the next. Followed from the start each time, which
/// costs less than a table of where they are.
fn word(block: &[u8; BLOCK_LEN], place: u8, round: u8) -> u32 {
    let mut number = place;
    for _ in 0..round {
        number = ORDER.get(usize::from(number)).copied().unwrap_or_default();
    }
    block.as_chunks::<4>().0.get(usize::from(number)).map_or(0, |four| u32::from_le_bytes(*four))
}

/// Mixes a column of the state (`turn` 0) or a diagonal (1) with two words of the block.
#[cfg_attr(target_arch = "avr", inline(never))]
fn mix(s: &mut [u32; 16], column: u8, turn: u8, [x, y]: [u32; 2]) {
    let mut words = [0_u32; 4];
    let mut shift = column;
    for (row, word) in s.as_chunks::<4>().0.iter().zip(&mut words) {
        *word = row.get(usize::from(shift & 3)).copied().unwrap_or_default();
        shift = shift.wrapping_add(turn);
    }
    let [mut a, mut b, mut c, mut d] = words;
    a = a.wrapping_add(b).wrapping_add(x);
    d = (d ^ a).rotate_right(16);
    c = c.wrapping_add(d);
    b = (b ^ c).rotate_right(12);
    a = a.wrapping_add(b).wrapping_add(y);
    d = (d ^ a).rotate_right(8);
    c = c.wrapping_add(d);
    b = (b ^ c).rotate_right(7);
    shift = column;
    for (row, word) in s.as_chunks_mut::<4>().0.iter_mut().zip([a, b, c, d]) {
        if let Some(place) = row.get_mut(usize::from(shift & 3)) {
            *place = word;
        }
        shift = shift.wrapping_add(turn);
    }
}
