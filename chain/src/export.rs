//! The export stream: a whole chain in one file, from which anyone can repeat every step of it.
//!
//! ```text
//! file    = magic ("CWEXPORT") ‖ version (u32 LE, 1) ‖ record*
//! record  = kind (u8) ‖ length (u32 LE) ‖ payload (length bytes) ‖ checksum (32 bytes)
//! checksum = BLAKE3 derive_key("commonwatt 2026 export record") over kind ‖ length ‖ payload
//! order   = genesis, then for each height from 1: block, certificate, receipts, samples*; then state*, in order of key; at last end
//! ```
//! Payloads are encodings of [`crate::codec`]: the genesis document, [`crate::block::Block`], [`crate::certificate::CommitCertificate`], the list of
//! receipts, [`Samples`], a list of keys and values ([`StatePage`]), [`End`]. The checksum finds a flipped byte; what the byte was part of is found by checking the record's meaning, which is the
//! auditor's matter. No input or output here: [`Framing`] takes bytes as they come. Written by `node::export`, read by `cli::audit`.

use serde::{Deserialize, Serialize};

use crate::{
    codec::{self, CodecError},
    hash::{Context, Hash32},
    id::SessionId,
    merkle,
};

/// How a file begins.
pub const MAGIC: &[u8; 8] = b"CWEXPORT";

/// The version of the format, after the magic.
pub const VERSION: u32 = 1;

/// The length of magic and version.
pub const PREAMBLE_BYTES: usize = 12;

/// The most that a payload may measure, in bytes.
pub const MAX_PAYLOAD_BYTES: usize = 32 << 20;

/// The most raw samples behind one reading.
pub const MAX_SAMPLES: usize = 100_000;

const FRAME_HEAD_BYTES: usize = 5;
const CHECKSUM_BYTES: usize = 32;

/// What a record holds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum RecordKind {
    /// The genesis document.
    Genesis,
    /// A block.
    Block,
    /// The certificate of the block before it.
    Certificate,
    /// The receipts of the block before it.
    Receipts,
    /// Raw samples behind a reading that the block before it accepted.
    Samples,
    /// Keys and values of the state after the last block.
    State,
    /// The last record.
    End,
}

impl RecordKind {
    /// The first byte of a record.
    #[must_use]
    pub const fn tag(self) -> u8 {
        match self {
            Self::Genesis => 1,
            Self::Block => 2,
            Self::Certificate => 3,
            Self::Receipts => 4,
            Self::Samples => 5,
            Self::State => 6,
            Self::End => 7,
        }
    }

    const fn from_tag(tag: u8) -> Option<Self> {
        match tag {
            1 => Some(Self::Genesis),
            2 => Some(Self::Block),
            3 => Some(Self::Certificate),
            4 => Some(Self::Receipts),
            5 => Some(Self::Samples),
            6 => Some(Self::State),
            7 => Some(Self::End),
            _ => None,
        }
    }
}

impl std::fmt::Display for RecordKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Genesis => "genesis",
            Self::Block => "block",
            Self::Certificate => "certificate",
            Self::Receipts => "receipts",
            Self::Samples => "samples",
            Self::State => "state",
            Self::End => "end",
        })
    }
}

/// Raw samples behind one accepted reading, with the salt that their leaves were made with.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Samples {
    /// Of which session.
    pub session: SessionId,
    /// Of which reading.
    #[serde(with = "crate::quantity::decimal")]
    pub sequence: u64,
    /// The session's salt; destroying it erases the link between samples and chain.
    pub salt: Hash32,
    /// Each as the gateway encoded it, in order.
    pub samples: Vec<Vec<u8>>,
}

impl Samples {
    /// The root that the reading must name.
    #[must_use]
    pub fn root(&self) -> Hash32 {
        let leaves: Vec<_> = self.samples.iter().map(|sample| sample_leaf(&self.salt, sample)).collect();
        merkle::root(&leaves)
    }
}

/// What a gateway has of the raw samples behind a reading.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum KeptSamples {
    /// All of them.
    Here(Samples),
    /// It had them and has dropped them, because they were older than it was told to keep.
    Pruned,
    /// It knows of no such reading.
    Unknown,
}

/// A part of the state: keys with their values, in order of key.
pub type StatePage = Vec<(Vec<u8>, Vec<u8>)>;

/// The size of a page after which the next begins, in bytes of keys and values.
pub const MAX_STATE_BYTES: usize = 1 << 20;

/// The leaf of a raw sample: its session's salt and its encoding.
#[must_use]
pub fn sample_leaf(salt: &Hash32, sample: &[u8]) -> Hash32 {
    Context::SampleLeaf.hash(&[salt.as_bytes(), sample])
}

/// What a complete file says of itself.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct End {
    /// How many blocks.
    #[serde(with = "crate::quantity::decimal")]
    pub blocks: u64,
    /// How many transactions in them.
    #[serde(with = "crate::quantity::decimal")]
    pub transactions: u64,
    /// How many records of samples.
    #[serde(with = "crate::quantity::decimal")]
    pub samples: u64,
    /// How many keys of the state.
    #[serde(with = "crate::quantity::decimal")]
    pub state_keys: u64,
}

/// A record as it was framed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// What it holds.
    pub kind: RecordKind,
    /// Where its first byte is in the file.
    pub offset: u64,
    /// The encoding.
    pub payload: Vec<u8>,
    /// Whether the checksum is that of what was read.
    pub intact: bool,
}

/// Bytes that are no export stream.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FramingError {
    /// The file begins otherwise.
    #[error("the file does not begin like an export of version {VERSION}")]
    Preamble,
    /// A record that is none.
    #[error("no kind of record has the tag {tag} (offset {offset})")]
    Kind {
        /// The tag.
        tag: u8,
        /// Where.
        offset: u64,
    },
    /// A record longer than any may be.
    #[error("a record of {found} bytes exceeds {MAX_PAYLOAD_BYTES} (offset {offset})")]
    Length {
        /// The length.
        found: u64,
        /// Where.
        offset: u64,
    },
    /// The file ends inside a record or before the last one.
    #[error("the file ends early (offset {offset})")]
    Truncated {
        /// Where the unfinished record begins.
        offset: u64,
    },
    /// The value cannot be framed.
    #[error(transparent)]
    Codec(#[from] CodecError),
}

impl FramingError {
    /// Where in the file.
    #[must_use]
    pub const fn offset(&self) -> u64 {
        match self {
            Self::Preamble | Self::Codec(_) => 0,
            Self::Kind { offset, .. } | Self::Length { offset, .. } | Self::Truncated { offset } => *offset,
        }
    }
}

/// The first bytes of a file.
#[must_use]
pub fn preamble() -> Vec<u8> {
    [MAGIC.as_slice(), &VERSION.to_le_bytes()].concat()
}

/// A record around an encoded payload.
///
/// # Errors
/// [`FramingError::Length`] above [`MAX_PAYLOAD_BYTES`].
pub fn frame(kind: RecordKind, payload: &[u8]) -> Result<Vec<u8>, FramingError> {
    let length = u32::try_from(payload.len()).ok().filter(|_| payload.len() <= MAX_PAYLOAD_BYTES);
    let length = length.ok_or(FramingError::Length { found: payload.len() as u64, offset: 0 })?;
    let mut record = vec![kind.tag()];
    record.extend(length.to_le_bytes());
    record.extend(payload);
    let checksum = checksum(&record);
    record.extend(checksum.0);
    Ok(record)
}

/// A record around a value.
///
/// # Errors
/// As [`frame`], and where the value has no encoding.
pub fn frame_value<T: Serialize>(kind: RecordKind, value: &T) -> Result<Vec<u8>, FramingError> {
    frame(kind, &codec::encode(value)?)
}

fn checksum(framed: &[u8]) -> Hash32 {
    Hash32(blake3::derive_key("commonwatt 2026 export record", framed))
}

/// Cuts a stream of bytes into records.
#[derive(Debug, Default)]
pub struct Framing {
    buffer: Vec<u8>,
    /// What of the buffer was handed out already.
    start: usize,
    /// The file's offset of the buffer's start.
    offset: u64,
    preamble_seen: bool,
}

impl Framing {
    /// At the beginning of a file.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds bytes that follow those given before.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole record, or nothing until more bytes are there.
    ///
    /// # Errors
    /// [`FramingError`]; a wrong checksum is none, see [`Record::intact`].
    pub fn next_record(&mut self) -> Result<Option<Record>, FramingError> {
        if !self.preamble_seen {
            let Some(begin) = self.rest().get(..PREAMBLE_BYTES) else { return Ok(None) };
            if begin != preamble() {
                return Err(FramingError::Preamble);
            }
            self.preamble_seen = true;
            self.consume(PREAMBLE_BYTES);
        }
        let offset = self.offset;
        let rest = self.rest();
        let Some((tag, after_tag)) = rest.split_first() else { return Ok(None) };
        let kind = RecordKind::from_tag(*tag).ok_or(FramingError::Kind { tag: *tag, offset })?;
        let Some((length, _)) = after_tag.split_first_chunk::<4>() else { return Ok(None) };
        let length = u64::from(u32::from_le_bytes(*length));
        let payload_bytes = usize::try_from(length).ok().filter(|bytes| *bytes <= MAX_PAYLOAD_BYTES);
        let payload_bytes = payload_bytes.ok_or(FramingError::Length { found: length, offset })?;
        let framed_bytes = FRAME_HEAD_BYTES.saturating_add(payload_bytes);
        let total = framed_bytes.saturating_add(CHECKSUM_BYTES);
        let (Some(framed), Some(found)) = (rest.get(..framed_bytes), rest.get(framed_bytes..total)) else { return Ok(None) };
        let intact = checksum(framed).as_bytes() == found;
        let payload = framed.get(FRAME_HEAD_BYTES..).unwrap_or_default().to_vec();
        self.consume(total);
        Ok(Some(Record { kind, offset, payload, intact }))
    }

    /// Whether nothing is left of what was given.
    ///
    /// # Errors
    /// [`FramingError::Truncated`] where a record is unfinished.
    pub fn finish(&self) -> Result<(), FramingError> {
        if self.preamble_seen && self.rest().is_empty() { Ok(()) } else { Err(FramingError::Truncated { offset: self.offset }) }
    }

    fn rest(&self) -> &[u8] {
        self.buffer.get(self.start..).unwrap_or_default()
    }

    fn consume(&mut self, bytes: usize) {
        self.start = self.start.saturating_add(bytes);
        self.offset = self.offset.saturating_add(bytes as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(file: &[u8], step: usize) -> Result<Vec<Record>, FramingError> {
        let mut framing = Framing::new();
        let mut records = Vec::new();
        for piece in file.chunks(step) {
            framing.push(piece);
            while let Some(record) = framing.next_record()? {
                records.push(record);
            }
        }
        framing.finish()?;
        Ok(records)
    }

    #[test]
    fn cuts_the_same_records_however_the_bytes_arrive_and_finds_every_flipped_byte() {
        let end = End { blocks: 3, transactions: 5, samples: 0, state_keys: 9 };
        let mut file = preamble();
        file.extend(frame(RecordKind::Genesis, b"genesis").expect("short"));
        file.extend(frame_value(RecordKind::End, &end).expect("short"));
        let whole = records(&file, file.len()).expect("well formed");
        assert_eq!(whole.len(), 2);
        assert_eq!(whole[1].offset, 12 + 5 + 7 + 32);
        for step in [1, 2, 7, 40] {
            assert_eq!(records(&file, step).as_ref(), Ok(&whole));
        }
        for position in 0..file.len() {
            let mut wrong = file.clone();
            wrong[position] ^= 0x20;
            let noticed = match records(&wrong, 64) {
                Err(_) => true,
                Ok(read) => read.iter().any(|record| !record.intact),
            };
            assert!(noticed, "byte {position}");
        }
        assert_eq!(records(&file[..file.len() - 1], 64), Err(FramingError::Truncated { offset: whole[1].offset }));
    }
}
