//! The audit: a whole chain carried out again from its export, trusting nothing in it.
//!
//! From the genesis document on, every signature, certificate, link, root and receipt is checked, every block is executed anew, tokens are counted after
//! each, every bill is computed a second time from its tariff and its readings ([`bills`]), and raw samples are held against the roots that the chain
//! accepted. What the verdict rests on is the genesis document's hash: say which chain you expect, or compare the chain id with one that you know. Signatures are checked on all cores.
//! No input or output but the reader that is given. Called by `watt audit` and by the test federation's reports.

mod auditor;
mod bills;
mod difference;
mod locate;
mod node;
mod stream;
mod tables;

use std::{collections::BTreeMap, io::Read, time::Instant};

use anyhow::Context as _;
use chain::{
    export::{FramingError, RecordKind},
    hash::Hash32,
    id::{ChainId, Height, SessionId, TxId},
    quantity::{Amount, WattHours},
    receipt::SessionReceipt,
};
use contracts::audit::CondominiumTotals;
use serde::{Serialize, Serializer};

use self::{
    auditor::Auditor,
    stream::{Entry, Records, verify_batch},
};
pub use self::{
    bills::bill_of_session,
    node::{NodeAuditError, replay_node},
    tables::{RowCounts, TableFormat, Tables},
};

/// Blocks whose signatures are checked together; bounds the memory that reading ahead takes.
const BATCH_BLOCKS: usize = 256;

/// Bytes of one batch after which no further block is added.
const BATCH_BYTES: usize = 32 << 20;

/// What an audit found where nothing was wrong.
#[derive(Clone, Debug)]
pub struct AuditReport {
    /// The chain's id: compare it with one that you know.
    pub chain_id: ChainId,
    /// Its name.
    pub network: String,
    /// Blocks carried out.
    pub blocks: u64,
    /// Transactions carried out.
    pub transactions: u64,
    /// Of which the ledger rejected, in their receipts.
    pub rejected: u64,
    /// Signatures checked, those of certificates included.
    pub signatures: u64,
    /// Records of raw samples held against their roots.
    pub samples: u64,
    /// Readings that name raw samples which the export does not contain, because they were erased or are not kept any more.
    pub samples_missing: u64,
    /// The bills, each computed twice.
    pub bills: Vec<SessionReceipt>,
    /// Sessions that are still open.
    pub open_sessions: u64,
    /// The state after the last block.
    pub state_root: Hash32,
    /// The tokens of each condominium at the end.
    pub totals: Vec<CondominiumTotals>,
    /// How long it took.
    pub seconds: f64,
}

/// Where a stream stopped being true.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error, Serialize)]
#[error("{}{field}{}: {problem}", place(*.height, *.offset), transaction_text(.transaction.as_ref()))]
pub struct AuditFailure {
    /// The block; nothing where the byte lies in the framing or in genesis.
    pub height: Option<Height>,
    /// Where the record begins in the stream.
    #[serde(with = "chain::quantity::decimal")]
    pub offset: u64,
    /// Which part: a header's field, a certificate's signature, a transaction, a receipt, a checksum …
    pub field: String,
    /// The transaction that it lies in or is about: its index and, where it is known, its id.
    #[serde(serialize_with = "place_of_transaction")]
    pub transaction: Option<(usize, Option<TxId>)>,
    /// What was expected and found.
    pub problem: String,
}

impl AuditFailure {
    /// Whether the stream ended early and nothing else is known to be wrong.
    #[must_use]
    pub fn is_cut_off(&self) -> bool {
        self.field == FRAMING && self.problem.starts_with(CUT_OFF)
    }
}

/// `{"index": 0, "id": "…"}`.
fn place_of_transaction<S: Serializer>(transaction: &Option<(usize, Option<TxId>)>, serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Place {
        index: usize,
        id: Option<TxId>,
    }
    transaction.map(|(index, id)| Place { index, id }).serialize(serializer)
}

/// The part that is named where a byte lies between the records.
const FRAMING: &str = "framing";

/// How the problem of a stream that ends early begins.
const CUT_OFF: &str = "the file ends early";

fn place(height: Option<Height>, offset: u64) -> String {
    height.map_or_else(|| format!("at byte {offset}: "), |height| format!("height {height} (record at byte {offset}): "))
}

fn transaction_text(transaction: Option<&(usize, Option<TxId>)>) -> String {
    match transaction {
        Some((index, Some(id))) => format!(" of transaction {index} ({id})"),
        Some((index, None)) => format!(" of transaction {index}"),
        None => String::new(),
    }
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The stream is not true.
    #[error("verification failed: {0}")]
    Failed(#[from] AuditFailure),
    /// The stream could not be read.
    #[error("cannot read the export: {0}")]
    Read(#[from] std::io::Error),
    /// This machine could not go on.
    #[error("{0}")]
    Machine(String),
}

/// How far an audit is.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Progress {
    /// Bytes read.
    pub bytes: u64,
    /// Blocks carried out.
    pub blocks: u64,
    /// Transactions carried out.
    pub transactions: u64,
}

/// Carries out everything that the stream contains and compares it with what the stream says. It must be of the chain `expected`, if one is: without, the
/// verdict is about whatever chain the stream begins.
///
/// # Errors
/// [`AuditError::Failed`] names the first thing that is not true and where it is.
pub fn replay(source: impl Read, expected: Option<ChainId>, progress: impl FnMut(Progress)) -> Result<AuditReport, AuditError> {
    replay_into(source, expected, None, progress)
}

/// [`replay`] that writes what it finds true into tables as well; they are the caller's to finish, or to drop where the audit fails.
///
/// # Errors
/// As [`replay`].
pub fn replay_into(
    mut source: impl Read,
    expected: Option<ChainId>,
    tables: Option<&mut Tables>,
    mut progress: impl FnMut(Progress),
) -> Result<AuditReport, AuditError> {
    let started = Instant::now();
    let mut reader = Records::new(&mut source);
    let first = reader.next()?.ok_or_else(|| framing_failure(&FramingError::Truncated { offset: 0 }))?;
    let mut auditor = Auditor::begin(&first, expected, tables)?;
    let mut pending = reader.next()?;
    let end = loop {
        let mut batch = Vec::new();
        let mut batch_bytes = 0;
        while let Some(record) = pending.take() {
            if matches!(record.kind, RecordKind::State | RecordKind::End) {
                pending = Some(record);
                break;
            }
            let (entry, following) = Entry::read(record, &mut reader, auditor.expected_height(batch.len()))?;
            pending = following;
            batch_bytes += entry.bytes();
            batch.push(entry);
            if batch.len() >= BATCH_BLOCKS || batch_bytes >= BATCH_BYTES {
                break;
            }
        }
        let validators = auditor.validators().clone();
        let verified = verify_batch(&batch, auditor.report.chain_id, &validators);
        for (entry, verified) in batch.iter().zip(verified) {
            auditor.block(entry, verified, &validators)?;
        }
        progress(Progress { bytes: reader.bytes, blocks: auditor.report.blocks, transactions: auditor.report.transactions });
        match pending.take() {
            Some(record) if record.kind == RecordKind::End => break record,
            Some(record) if record.kind == RecordKind::State => {
                auditor.state_page(&record)?;
                pending = reader.next()?;
            }
            Some(record) => pending = Some(record),
            None => return Err(framing_failure(&FramingError::Truncated { offset: reader.bytes }).into()),
        }
    };
    if let Some(record) = reader.next()? {
        let problem = format!("a record of kind {} follows the last one", record.kind);
        return Err(AuditFailure { height: None, offset: record.offset, field: FRAMING.to_owned(), transaction: None, problem }.into());
    }
    auditor.end(&end, started)
}

fn framing_failure(error: &FramingError) -> AuditFailure {
    AuditFailure { height: None, offset: error.offset(), field: FRAMING.to_owned(), transaction: None, problem: error.to_string() }
}

/// What all bills of an audit come to.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct BillTotals {
    /// Bills.
    pub sessions: u64,
    /// Metered.
    pub energy: WattHours,
    /// Locked.
    pub escrowed: Amount,
    /// Paid.
    pub paid: Amount,
    /// Refunded.
    pub refunded: Amount,
}

impl AuditReport {
    /// The sums over all bills.
    ///
    /// # Errors
    /// Where a sum exceeds the range, which no chain within its supply reaches.
    pub fn bill_totals(&self) -> anyhow::Result<BillTotals> {
        let mut totals = BillTotals::default();
        for bill in &self.bills {
            totals.sessions += 1;
            totals.energy = totals.energy.checked_add(bill.energy).context("energy exceeds the range")?;
            totals.escrowed = totals.escrowed.checked_add(bill.escrow).context("escrow exceeds the range")?;
            totals.paid = totals.paid.checked_add(bill.paid).context("payments exceed the range")?;
            totals.refunded = totals.refunded.checked_add(bill.refund).context("refunds exceed the range")?;
        }
        Ok(totals)
    }

    /// The bills by session.
    #[must_use]
    pub fn by_session(&self) -> BTreeMap<SessionId, &SessionReceipt> {
        self.bills.iter().map(|bill| (bill.session, bill)).collect()
    }
}
