//! Reading an export: its records one after the other, gathered by height, and the signatures of many blocks checked at once.
//!
//! What a record says is not judged here but for its form. Called by the audit.

use std::io::Read;

use chain::{
    block::Block,
    certificate::{CertificateError, CommitCertificate, ValidatorSet},
    codec::{self, CodecError},
    export::{Framing, FramingError, MAX_PAYLOAD_BYTES, Record, RecordKind},
    id::{ChainId, Height},
};
use contracts::{call::Transaction, execute::VerifiedTransaction};

use super::{AuditError, AuditFailure, FRAMING, framing_failure, locate};

/// Reads records, with little more than one in memory.
pub struct Records<'a> {
    source: &'a mut dyn Read,
    framing: Framing,
    /// Bytes read so far.
    pub bytes: u64,
    ended: bool,
}

impl<'a> Records<'a> {
    pub fn new(source: &'a mut dyn Read) -> Self {
        Self { source, framing: Framing::new(), bytes: 0, ended: false }
    }

    /// The next record; nothing at the end of a whole stream.
    pub fn next(&mut self) -> Result<Option<Record>, AuditError> {
        let mut buffer = vec![0; 256 << 10];
        loop {
            if let Some(record) = self.framing.next_record().map_err(|error| framing_failure(&error))? {
                return Ok(Some(record));
            }
            if self.ended {
                self.framing.finish().map_err(|error| framing_failure(&error))?;
                return Ok(None);
            }
            match self.source.read(&mut buffer) {
                Ok(0) => self.ended = true,
                Ok(count) => {
                    self.bytes += count as u64;
                    self.framing.push(buffer.get(..count).unwrap_or_default());
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// The records of one height.
pub struct Entry {
    pub height: Height,
    pub block: Record,
    pub certificate: Record,
    pub receipts: Record,
    pub samples: Vec<Record>,
}

impl Entry {
    /// The records that belong to a block, and the one after them.
    pub fn read(block: Record, reader: &mut Records<'_>, height: Height) -> Result<(Self, Option<Record>), AuditError> {
        let block = expect_kind(block, RecordKind::Block, height)?;
        let truncated = |reader: &Records<'_>| framing_failure(&FramingError::Truncated { offset: reader.bytes });
        let certificate = reader.next()?.ok_or_else(|| truncated(reader))?;
        let certificate = expect_kind(certificate, RecordKind::Certificate, height)?;
        let receipts = reader.next()?.ok_or_else(|| truncated(reader))?;
        let receipts = expect_kind(receipts, RecordKind::Receipts, height)?;
        let mut samples = Vec::new();
        let following = loop {
            match reader.next()? {
                Some(record) if record.kind == RecordKind::Samples => samples.push(record),
                other => break other,
            }
        };
        Ok((Self { height, block, certificate, receipts, samples }, following))
    }

    /// Bytes that it takes.
    pub fn bytes(&self) -> usize {
        let samples: usize = self.samples.iter().map(|record| record.payload.len()).sum();
        self.block.payload.len() + self.certificate.payload.len() + self.receipts.payload.len() + samples
    }
}

fn expect_kind(record: Record, kind: RecordKind, height: Height) -> Result<Record, AuditFailure> {
    if record.kind == kind {
        return Ok(record);
    }
    let problem = format!("expected the {kind} of height {height}, found a record of kind {}", record.kind);
    Err(AuditFailure { height: None, offset: record.offset, field: FRAMING.to_owned(), transaction: None, problem })
}

/// A block's transactions with their signatures checked, or the index of the first that is none.
pub type VerifiedBlock = Result<(Block, Vec<VerifiedTransaction>), locate::BadBlock>;

/// A height whose signatures were checked.
pub struct Verified {
    /// Its block.
    pub block: VerifiedBlock,
    /// Its certificate, where it is one, and whether it holds under the validators that were assumed.
    pub certificate: Result<(CommitCertificate, Result<(), CertificateError>), CodecError>,
}

/// Decodes blocks and certificates and checks all their signatures, on all cores; certificates under `validators`, who decided all of the batch unless the
/// set changes in it.
pub fn verify_batch(batch: &[Entry], chain_id: ChainId, validators: &ValidatorSet) -> Vec<Verified> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let share = batch.len().div_ceil(cores).max(1);
    let verify = |entry: &Entry| {
        let certificate = codec::decode::<CommitCertificate>(&entry.certificate.payload, MAX_PAYLOAD_BYTES);
        let certificate = certificate.map(|certificate| {
            let holds = certificate.verify(chain_id, validators);
            (certificate, holds)
        });
        Verified { block: verify_block(entry), certificate }
    };
    let verify = &verify;
    std::thread::scope(|scope| {
        let workers: Vec<_> = batch.chunks(share).map(|part| scope.spawn(move || part.iter().map(verify).collect::<Vec<_>>())).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap_or_default()).collect()
    })
}

fn verify_block(entry: &Entry) -> VerifiedBlock {
    let block = Block::decode(&entry.block.payload).map_err(|error| locate::BadBlock::Undecodable(error.to_string()))?;
    let mut verified = Vec::with_capacity(block.transactions.len());
    for (index, bytes) in block.transactions.iter().enumerate() {
        let bad = |problem: String| locate::BadBlock::Transaction { index, problem };
        let transaction = Transaction::decode(bytes).map_err(|error| bad(error.to_string()))?;
        verified.push(VerifiedTransaction::verify(transaction).map_err(|error| bad(error.to_string()))?);
    }
    Ok((block, verified))
}
