//! The audit: a whole chain carried out again from its export, trusting nothing in it.
//!
//! From the genesis document on, every signature, certificate, link, root and receipt is checked, every block is executed anew, tokens are counted after
//! each, every bill is computed a second time from its tariff and its readings ([`bills`]), and raw samples are held against the roots that the chain
//! accepted. What the verdict rests on is the genesis document's hash: compare the chain id with one that you know. Signatures are checked on all cores.
//! No input or output but the reader that is given. Called by `watt audit` and by the test federation's reports.

mod bills;
mod locate;
mod node;

use std::{collections::BTreeMap, io::Read, time::Instant};

use anyhow::Context as _;
use chain::{
    block::Block,
    certificate::{CertificateError, CommitCertificate, ValidatorSet},
    codec,
    export::{End, Framing, FramingError, MAX_PAYLOAD_BYTES, Record, RecordKind, Samples, StatePage},
    hash::Hash32,
    id::{ChainId, Height, SessionId, TxId},
    quantity::{Amount, WattHours},
    receipt::{Outcome, Receipt, SessionReceipt},
    state::{MemoryState, StateRead as _},
    tree::Tree,
};
use contracts::{
    audit::{CondominiumTotals, conservation},
    call::Transaction,
    execute::{Parent, VerifiedTransaction, execute},
    genesis::Genesis,
};

pub use self::node::{NodeAuditError, replay_node};

/// Blocks whose signatures are checked together; bounds the memory that reading ahead takes.
const BATCH_BLOCKS: usize = 256;

/// Bytes of one batch after which no further block is added.
const BATCH_BYTES: usize = 32 << 20;

/// Accounts up to which all tokens are counted after every block; above, after every [`COUNT_EVERY`]-th and the last.
const COUNT_ALWAYS_BELOW: usize = 512;

/// See [`COUNT_ALWAYS_BELOW`].
const COUNT_EVERY: u64 = 128;

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
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{}{field}{}: {problem}", place(*.height, *.offset), transaction_text(.transaction.as_ref()))]
pub struct AuditFailure {
    /// The block; nothing where the byte lies in the framing or in genesis.
    pub height: Option<Height>,
    /// Where the record begins in the stream.
    pub offset: u64,
    /// Which part: a header's field, a certificate's signature, a transaction, a receipt, a checksum …
    pub field: String,
    /// The transaction that it lies in or is about: its index and, where it is known, its id.
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

/// Carries out everything that the stream contains and compares it with what the stream says.
///
/// # Errors
/// [`AuditError::Failed`] names the first thing that is not true and where it is.
pub fn replay(mut source: impl Read, mut progress: impl FnMut(Progress)) -> Result<AuditReport, AuditError> {
    let started = Instant::now();
    let mut reader = Records { source: &mut source, framing: Framing::new(), bytes: 0, ended: false };
    let first = reader.next()?.ok_or_else(|| framing_failure(&FramingError::Truncated { offset: 0 }))?;
    let mut auditor = Auditor::begin(&first)?;
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
        let verified = verify_batch(&batch);
        for (entry, transactions) in batch.iter().zip(verified) {
            auditor.block(entry, transactions)?;
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

/// Reads records, with little more than one in memory.
struct Records<'a> {
    source: &'a mut dyn Read,
    framing: Framing,
    bytes: u64,
    ended: bool,
}

impl Records<'_> {
    fn next(&mut self) -> Result<Option<Record>, AuditError> {
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
struct Entry {
    height: Height,
    block: Record,
    certificate: Record,
    receipts: Record,
    samples: Vec<Record>,
}

impl Entry {
    fn read(block: Record, reader: &mut Records<'_>, height: Height) -> Result<(Self, Option<Record>), AuditError> {
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

    fn bytes(&self) -> usize {
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
type VerifiedBlock = Result<(Block, Vec<VerifiedTransaction>), locate::BadBlock>;

/// Decodes blocks and checks their transactions' signatures, on all cores.
fn verify_batch(batch: &[Entry]) -> Vec<VerifiedBlock> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let share = batch.len().div_ceil(cores).max(1);
    std::thread::scope(|scope| {
        let workers: Vec<_> =
            batch.chunks(share).map(|part| scope.spawn(move || part.iter().map(verify_block).collect::<Vec<_>>())).collect();
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

struct Auditor {
    state: MemoryState,
    tree: Tree,
    parent: Parent,
    bills: bills::Bills,
    report: AuditReport,
    accounts: usize,
    /// The key of the state up to which the stream's copy was compared, and how many keys that were.
    compared: (Vec<u8>, u64),
}

impl Auditor {
    fn begin(record: &Record) -> Result<Self, AuditError> {
        let fail =
            |problem: String| AuditFailure { height: None, offset: record.offset, field: "genesis".to_owned(), transaction: None, problem };
        if record.kind != RecordKind::Genesis {
            return Err(fail(format!("expected the genesis document, found a record of kind {}", record.kind)).into());
        }
        if !record.intact {
            return Err(fail("the record's checksum does not match its bytes".to_owned()).into());
        }
        let genesis: Genesis = codec::decode(&record.payload, MAX_PAYLOAD_BYTES).map_err(|error| fail(error.to_string()))?;
        let changes = genesis.state().map_err(|error| fail(error.to_string()))?;
        let parent = Parent::genesis(&genesis).map_err(|error| fail(error.to_string()))?;
        let mut state = MemoryState::new();
        state.apply(&changes);
        let tree = Tree::new().updated(&changes);
        let report = AuditReport {
            chain_id: parent.chain_id,
            network: genesis.network.clone(),
            blocks: 0,
            transactions: 0,
            rejected: 0,
            signatures: 0,
            samples: 0,
            samples_missing: 0,
            bills: Vec::new(),
            open_sessions: 0,
            state_root: tree.root(),
            totals: Vec::new(),
            seconds: 0.0,
        };
        Ok(Self {
            state,
            tree,
            parent,
            bills: bills::Bills::default(),
            report,
            accounts: genesis.accounts.len(),
            compared: (Vec::new(), 0),
        })
    }

    /// The height of the record that stands `ahead` blocks after the newest one carried out.
    fn expected_height(&self, ahead: usize) -> Height {
        Height(self.parent.height.0.saturating_add(1).saturating_add(ahead as u64))
    }

    fn block(&mut self, entry: &Entry, verified: VerifiedBlock) -> Result<(), AuditError> {
        let height = entry.height;
        let receipts: Result<Vec<Receipt>, _> = codec::decode(&entry.receipts.payload, MAX_PAYLOAD_BYTES);
        let certificate: Result<CommitCertificate, _> = codec::decode(&entry.certificate.payload, MAX_PAYLOAD_BYTES);
        let known = locate::Known { parent: &self.parent, state: &self.state, tree: &self.tree, height, offset: entry.block.offset };
        let (block, transactions) = match verified {
            Ok(good) => good,
            Err(bad) => return Err(known.explain_bad_block(bad, receipts.as_deref().unwrap_or_default()).into()),
        };
        let fail = |record: &Record, field: &str, transaction, problem: String| AuditFailure {
            height: Some(height),
            offset: record.offset,
            field: field.to_owned(),
            transaction,
            problem,
        };
        let certificate = certificate.map_err(|error| fail(&entry.certificate, "certificate", None, error.to_string()))?;

        // The header first: only where it is the certified one does it say what else must be true.
        let hash = block.header.hash();
        if hash != certificate.block || certificate.height != height {
            return Err(known.explain_header(&block, &transactions, &certificate, entry.certificate.offset).into());
        }
        let executed = execute(&self.state, &self.tree, &self.parent, &block, &transactions)
            .map_err(|error| known.explain_execution(&error, &block, receipts.as_deref().unwrap_or_default()))?;
        check_certificate(&certificate, self.parent.chain_id, &self.parent.validators)
            .map_err(|(field, problem)| fail(&entry.certificate, &field, None, problem))?;

        let receipts = receipts.map_err(|error| fail(&entry.receipts, "receipts", None, error.to_string()))?;
        if let Some((index, problem)) = locate::first_difference(&receipts, &executed.receipts) {
            let about = executed.receipts.get(index).and_then(locate::transaction_of).map(|id| (index, Some(id)));
            return Err(fail(&entry.receipts, &format!("receipt {index}"), about, problem).into());
        }
        for record in [&entry.block, &entry.certificate, &entry.receipts] {
            if !record.intact {
                let problem = format!("the checksum of the {} record does not match its bytes", record.kind);
                return Err(
                    AuditFailure { height: None, offset: record.offset, field: FRAMING.to_owned(), transaction: None, problem }.into()
                );
            }
        }

        self.bills.follow(&transactions, &executed.receipts).map_err(|wrong| {
            let transaction = wrong.index.map(|index| (index, executed.receipts.get(index).and_then(locate::transaction_of)));
            fail(&entry.receipts, &wrong.field, transaction, wrong.problem)
        })?;
        self.check_samples(entry)?;

        self.state.apply(&executed.changes);
        self.tree = executed.tree;
        self.parent = executed.next;
        self.report.blocks += 1;
        self.report.transactions += transactions.len() as u64;
        self.report.signatures += transactions.len() as u64 + certificate.signatures.len() as u64;
        self.report.rejected += executed.receipts.iter().filter(|receipt| matches!(receipt.outcome, Outcome::Rejected(_))).count() as u64;
        self.accounts += locate::registrations(&executed.receipts);
        if self.accounts <= COUNT_ALWAYS_BELOW || height.0.is_multiple_of(COUNT_EVERY) {
            self.count(Some(height), entry.block.offset)?;
        }
        Ok(())
    }

    fn check_samples(&mut self, entry: &Entry) -> Result<(), AuditFailure> {
        for record in &entry.samples {
            let fail = |field: String, problem: String| AuditFailure {
                height: Some(entry.height),
                offset: record.offset,
                field,
                transaction: None,
                problem,
            };
            let samples: Samples =
                codec::decode(&record.payload, MAX_PAYLOAD_BYTES).map_err(|error| fail("samples".to_owned(), error.to_string()))?;
            let field = format!("samples of reading {} of session {}", samples.sequence, samples.session);
            let (root, index) = self
                .bills
                .take_samples_root(samples.session, samples.sequence)
                .ok_or_else(|| fail(field.clone(), "no reading accepted so far names them".to_owned()))?;
            if samples.root() != root {
                let mut failure = fail(field, format!("expected the root {root}, found {}", samples.root()));
                failure.transaction = Some((index, None));
                return Err(failure);
            }
            if !record.intact {
                let problem = "the checksum of the samples record does not match its bytes".to_owned();
                return Err(AuditFailure { height: None, offset: record.offset, field: FRAMING.to_owned(), transaction: None, problem });
            }
            self.report.samples += 1;
        }
        self.report.samples_missing += self.bills.forget_samples_roots();
        Ok(())
    }

    /// Compares a part of the stream's copy of the state with the state that execution gave.
    fn state_page(&mut self, record: &Record) -> Result<(), AuditFailure> {
        let height = self.parent.height;
        let fail = |field: String, problem: String| AuditFailure {
            height: Some(height),
            offset: record.offset,
            field,
            transaction: None,
            problem,
        };
        let page: StatePage =
            codec::decode(&record.payload, MAX_PAYLOAD_BYTES).map_err(|error| fail("state".to_owned(), error.to_string()))?;
        for (key, value) in page {
            let range = self.state.scan(&self.compared.0, &[u8::MAX], 1).map_err(|fault| fail("state".to_owned(), fault.to_string()))?;
            match range.into_iter().next() {
                Some((expected, honest)) if expected == key => {
                    if honest != value {
                        let problem = format!("execution gives {}, the database has {}", hex::encode(honest), hex::encode(value));
                        return Err(fail(locate::key_text(&key), problem));
                    }
                }
                Some((expected, _)) if expected < key => {
                    return Err(fail(locate::key_text(&expected), "the database does not have it".to_owned()));
                }
                Some(_) | None => return Err(fail(locate::key_text(&key), "the database has it, execution does not".to_owned())),
            }
            self.compared.0 = key;
            // The next key is the first that sorts after this one.
            self.compared.0.push(0);
            self.compared.1 += 1;
        }
        if !record.intact {
            let problem = "the checksum of the state record does not match its bytes".to_owned();
            return Err(AuditFailure { height: None, offset: record.offset, field: FRAMING.to_owned(), transaction: None, problem });
        }
        Ok(())
    }

    fn count(&mut self, height: Option<Height>, offset: u64) -> Result<(), AuditError> {
        let totals = conservation(&self.state).map_err(|fault| AuditError::Machine(fault.to_string()))?;
        if let Some(wrong) = totals.iter().find(|totals| !totals.holds()) {
            let problem = format!("tokens of condominium {} appeared or vanished: {wrong:?}", wrong.condominium);
            return Err(AuditFailure { height, offset, field: "conservation".to_owned(), transaction: None, problem }.into());
        }
        let positions = totals.iter().try_fold((0_u128, 0_u128), |(to, by), totals| {
            Some((to.checked_add(u128::from(totals.owed_to.micro()))?, by.checked_add(u128::from(totals.owed_by.micro()))?))
        });
        if positions.is_none_or(|(owed_to, owed_by)| owed_to != owed_by) {
            let problem = "the positions between condominiums do not sum to zero".to_owned();
            return Err(AuditFailure { height, offset, field: "positions".to_owned(), transaction: None, problem }.into());
        }
        self.report.totals = totals;
        Ok(())
    }

    fn end(mut self, record: &Record, started: Instant) -> Result<AuditReport, AuditError> {
        let fail =
            |problem: String| AuditFailure { height: None, offset: record.offset, field: "end".to_owned(), transaction: None, problem };
        let end: End = codec::decode(&record.payload, MAX_PAYLOAD_BYTES).map_err(|error| fail(error.to_string()))?;
        let found = End {
            blocks: self.report.blocks,
            transactions: self.report.transactions,
            samples: self.report.samples,
            state_keys: self.compared.1,
        };
        if self.compared.1 != self.state.len() as u64 {
            return Err(
                fail(format!("the stream's copy of the state has {} keys, execution gives {}", self.compared.1, self.state.len())).into()
            );
        }
        if end != found {
            return Err(fail(format!("it promises {end:?}, but the stream has {found:?}")).into());
        }
        if !record.intact {
            return Err(fail("the record's checksum does not match its bytes".to_owned()).into());
        }
        self.count(None, record.offset)?;
        self.report.state_root = self.tree.root();
        self.report.open_sessions = self.bills.open();
        self.report.bills = std::mem::take(&mut self.bills.settled);
        self.report.seconds = started.elapsed().as_secs_f64();
        Ok(self.report)
    }
}

fn check_certificate(certificate: &CommitCertificate, chain_id: ChainId, validators: &ValidatorSet) -> Result<(), (String, String)> {
    certificate.verify(chain_id, validators).map_err(|error| {
        let field = match error {
            CertificateError::Stranger(validator) | CertificateError::Order(validator) => format!("certificate, validator {validator}"),
            CertificateError::Signature(validator) => format!("certificate, round or signature of validator {validator}"),
            CertificateError::Quorum { .. } => "certificate".to_owned(),
        };
        (field, error.to_string())
    })
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
