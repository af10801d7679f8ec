//! Reads the charges of an export: bills from receipts, and what flowed when from the raw samples behind the attested readings.
//!
//! One charge is one settled session. When it drew, and for how long, is told by its samples: between two of them power was what the first one says. Whether
//! samples, receipts and blocks are true is the audit's matter (`cli::audit`), and what they mean [`super::figures`]'. Called by [`super::super`].

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use chain::{
    block::Block,
    codec::{self, CodecError},
    export::{Framing, FramingError, MAX_PAYLOAD_BYTES, Record, RecordKind, Samples},
    id::{ConnectorId, SessionId},
    receipt::{Event, Receipt, SessionReceipt},
    record::Control,
    transaction::TransactionError,
};
use contracts::call::{Call, Transaction};

/// A car draws where its power is above this, W.
pub const DRAWS_ABOVE_W: u16 = 100;

/// What is read of a file at once, bytes.
const READ_AT_ONCE: usize = 256 << 10;

/// The flag of a sample that marks a moment and not a period (`docs/unit-protocol.md`).
const END_FLAG: u8 = 1 << 7;

/// Why there is no history.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The file.
    #[error("{}: {}", path.display(), cli::render::io_words(error))]
    File { path: PathBuf, error: io::Error },
    /// It is no export.
    #[error(transparent)]
    Framing(#[from] FramingError),
    /// A record whose checksum is wrong.
    #[error("the record of kind {kind} at offset {offset} is damaged")]
    Damaged { kind: RecordKind, offset: u64 },
    /// A record that cannot be read.
    #[error("the record at offset {offset}: {error}")]
    Record { offset: u64, error: CodecError },
    /// A block with something that is no transaction.
    #[error("a transaction of the block at offset {offset}: {error}")]
    Transaction { offset: u64, error: TransactionError },
    /// Bytes that are no sample.
    #[error("a sample of session {session} has {bytes} bytes, which no sample has")]
    Sample { session: SessionId, bytes: usize },
}

/// A charge, as the chain has it; times in ms.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Charge {
    /// Its bill.
    pub bill: SessionReceipt,
    /// When power was above [`DRAWS_ABOVE_W`], in order and apart.
    pub drew: Vec<(u64, u64)>,
    /// Samples of a period in which power was above that.
    pub samples_drawing: u64,
    /// What the register grew by from the first sample to the last, Wh.
    pub register_wh: u64,
}

/// All charges, in the order in which they began to draw.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct History {
    /// The charges.
    pub charges: Vec<Charge>,
    /// Every connector that was ever made, and whether it has a switch.
    pub connectors: BTreeMap<ConnectorId, Control>,
}

impl Charge {
    /// When it began to draw; where it never did, when it was opened.
    #[must_use]
    pub fn starts_ms(&self) -> u64 {
        self.drew.first().map_or(self.bill.opened_at.ms(), |(from_ms, _)| *from_ms)
    }

    /// When it last drew.
    #[must_use]
    pub fn ends_ms(&self) -> u64 {
        self.drew.last().map_or(self.bill.ended_at.ms(), |(_, until_ms)| *until_ms)
    }

    /// For how long it drew, h.
    #[must_use]
    pub fn hours(&self) -> f64 {
        self.drew.iter().map(|(from_ms, until_ms)| until_ms - from_ms).sum::<u64>() as f64 / 3_600_000.0
    }

    /// What it was billed, kWh.
    #[must_use]
    pub fn kwh(&self) -> f64 {
        self.bill.energy.get() as f64 / 1_000.0
    }

    /// Its mean power while it drew, kW; 0 where it never did.
    #[must_use]
    pub fn kw(&self) -> f64 {
        let hours = self.hours();
        if hours > 0.0 { self.kwh() / hours } else { 0.0 }
    }

    /// The block time of its first grant, where it had one.
    #[must_use]
    pub fn granted_ms(&self) -> Option<u64> {
        self.bill.first_granted_at.map(|at| at.ms())
    }
}

/// Reads the export at a path.
///
/// # Errors
/// [`HistoryError`].
pub fn read(path: &Path) -> Result<History, HistoryError> {
    let failed = |error| HistoryError::File { path: path.to_owned(), error };
    let mut file = File::open(path).map_err(failed)?;
    let mut buffer = vec![0; READ_AT_ONCE];
    let (mut framing, mut reader) = (Framing::new(), Reader::default());
    loop {
        let count = match file.read(&mut buffer) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(failed(error)),
        };
        if count == 0 {
            framing.finish()?;
            return reader.history();
        }
        framing.push(buffer.get(..count).unwrap_or_default());
        while let Some(record) = framing.next_record()? {
            reader.take(&record)?;
        }
    }
}

#[derive(Default)]
struct Reader {
    bills: Vec<SessionReceipt>,
    samples: HashMap<SessionId, BTreeMap<u64, Vec<Vec<u8>>>>,
    connectors: BTreeMap<ConnectorId, Control>,
}

impl Reader {
    fn take(&mut self, record: &Record) -> Result<(), HistoryError> {
        let Record { kind, offset, payload, intact } = record;
        if !intact {
            return Err(HistoryError::Damaged { kind: *kind, offset: *offset });
        }
        let unread = |error| HistoryError::Record { offset: *offset, error };
        match kind {
            RecordKind::Block => {
                for bytes in Block::decode(payload).map_err(unread)?.transactions {
                    let transaction = Transaction::decode(&bytes).map_err(|error| HistoryError::Transaction { offset: *offset, error })?;
                    if let Call::PutConnector(put) = &transaction.body().call {
                        self.connectors.insert(put.connector, put.control);
                    }
                }
            }
            RecordKind::Receipts => {
                let receipts: Vec<Receipt> = codec::decode(payload, MAX_PAYLOAD_BYTES).map_err(unread)?;
                self.bills.extend(receipts.iter().flat_map(|receipt| &receipt.events).filter_map(Event::bill));
            }
            RecordKind::Samples => {
                let Samples { session, sequence, samples, .. } = codec::decode(payload, MAX_PAYLOAD_BYTES).map_err(unread)?;
                self.samples.entry(session).or_default().insert(sequence, samples);
            }
            RecordKind::Genesis | RecordKind::Certificate | RecordKind::State | RecordKind::End => {}
        }
        Ok(())
    }

    fn history(mut self) -> Result<History, HistoryError> {
        let mut seen = BTreeSet::new();
        let mut charges = Vec::new();
        for bill in self.bills {
            if !seen.insert(bill.session) {
                continue;
            }
            let mut samples = Vec::new();
            for bytes in self.samples.remove(&bill.session).unwrap_or_default().into_values().flatten() {
                samples.push(Sample::decode(&bytes).ok_or(HistoryError::Sample { session: bill.session, bytes: bytes.len() })?);
            }
            charges.push(charge(bill, &samples));
        }
        charges.sort_by_key(|charge| (charge.starts_ms(), charge.bill.connector));
        Ok(History { charges, connectors: self.connectors })
    }
}

fn charge(bill: SessionReceipt, samples: &[Sample]) -> Charge {
    let mut drew: Vec<(u64, u64)> = Vec::new();
    for (sample, next) in samples.iter().zip(samples.iter().skip(1)) {
        if sample.power_w <= DRAWS_ABOVE_W || next.at_ms <= sample.at_ms {
            continue;
        }
        match drew.last_mut() {
            Some((_, until_ms)) if *until_ms == sample.at_ms => *until_ms = next.at_ms,
            Some(_) | None => drew.push((sample.at_ms, next.at_ms)),
        }
    }
    let samples_drawing = samples.iter().filter(|sample| sample.power_w > DRAWS_ABOVE_W && !sample.is_end).count();
    let register_wh = samples.first().zip(samples.last()).map_or(0, |(first, last)| last.register_wh.saturating_sub(first.register_wh));
    Charge { bill, drew, samples_drawing: samples_drawing as u64, register_wh }
}

/// What is read of a raw sample.
struct Sample {
    at_ms: u64,
    register_wh: u64,
    power_w: u16,
    is_end: bool,
}

impl Sample {
    /// The bytes as a gateway keeps them: 39, little endian; time, register, power, three currents, temperature, flags, and where it comes from.
    fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; 39] = bytes.try_into().ok()?;
        let (at_ms, rest) = bytes.split_first_chunk::<8>()?;
        let (register_wh, rest) = rest.split_first_chunk::<8>()?;
        let (power_w, rest) = rest.split_first_chunk::<2>()?;
        let flags = rest.get(8)?;
        Some(Self {
            at_ms: u64::from_le_bytes(*at_ms),
            register_wh: u64::from_le_bytes(*register_wh),
            power_w: u16::from_le_bytes(*power_w),
            is_end: flags & END_FLAG != 0,
        })
    }
}
