//! The auditor: carries out one block after the other on a state of its own and compares everything that the stream says.
//!
//! Which part of a block is wrong, once one is, `locate` finds; bills are `bills`' matter. Called by the audit.

use std::time::Instant;

use chain::{
    certificate::{CertificateError, ValidatorSet},
    codec,
    export::{End, MAX_PAYLOAD_BYTES, Record, RecordKind, Samples, StatePage},
    id::{ChainId, CondominiumId, Height},
    receipt::{Outcome, Receipt},
    record::{Condominium, Key},
    state::{MemoryState, StateRead as _},
    tree::Tree,
};
use contracts::{
    audit::conservation,
    execute::{Parent, execute},
    genesis::Genesis,
};

use super::{
    AuditError, AuditFailure, AuditReport, FRAMING, Tables, bills, difference, locate,
    stream::{Entry, Verified},
};

/// Accounts up to which all tokens are counted after every block; above, after every [`COUNT_EVERY`]-th and the last.
const COUNT_ALWAYS_BELOW: usize = 512;

/// See [`COUNT_ALWAYS_BELOW`].
const COUNT_EVERY: u64 = 128;

/// What is known of the chain up to a height.
pub struct Auditor<'t> {
    state: MemoryState,
    tree: Tree,
    parent: Parent,
    bills: bills::Bills,
    /// What was found so far.
    pub report: AuditReport,
    accounts: usize,
    /// The key of the state up to which the stream's copy was compared, and how many keys that were.
    compared: (Vec<u8>, u64),
    /// Where what was found true is written, if anywhere.
    tables: Option<&'t mut Tables>,
}

impl<'t> Auditor<'t> {
    /// Begins with the genesis document, of the chain that is expected where one is.
    pub fn begin(record: &Record, expected: Option<ChainId>, mut tables: Option<&'t mut Tables>) -> Result<Self, AuditError> {
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
        if let Some(expected) = expected.filter(|expected| *expected != parent.chain_id) {
            return Err(fail(format!("its hash is the chain's id: expected {expected}, found {}", parent.chain_id)).into());
        }
        if let Some(tables) = &mut tables {
            tables.begin(&genesis, &parent.validators);
        }
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
            tables,
        })
    }

    /// The height of the record that stands `ahead` blocks after the newest one carried out.
    pub fn expected_height(&self, ahead: usize) -> Height {
        Height(self.parent.height.0.saturating_add(1).saturating_add(ahead as u64))
    }

    /// Who decides the next block.
    pub const fn validators(&self) -> &ValidatorSet {
        &self.parent.validators
    }

    /// Carries out a block, whose certificate was checked under the validators that are `assumed`.
    pub fn block(&mut self, entry: &Entry, verified: Verified, assumed: &ValidatorSet) -> Result<(), AuditError> {
        let height = entry.height;
        let receipts: Result<Vec<Receipt>, _> = codec::decode(&entry.receipts.payload, MAX_PAYLOAD_BYTES);
        let known = locate::Known { parent: &self.parent, state: &self.state, tree: &self.tree, height, offset: entry.block.offset };
        let (block, transactions) = match verified.block {
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
        let (certificate, mut holds) =
            verified.certificate.map_err(|error| fail(&entry.certificate, "certificate", None, error.to_string()))?;
        if *assumed != self.parent.validators {
            holds = certificate.verify(self.parent.chain_id, &self.parent.validators);
        }

        // The header first: only where it is the certified one does it say what else must be true.
        let hash = block.header.hash();
        if hash != certificate.block || certificate.height != height {
            return Err(known.explain_header(&block, &transactions, &certificate, entry.certificate.offset).into());
        }
        let executed = execute(&self.state, &self.tree, &self.parent, &block, &transactions)
            .map_err(|error| known.explain_execution(&error, &block, receipts.as_deref().unwrap_or_default()))?;
        holds.map_err(|error| fail(&entry.certificate, &certificate_field(error), None, error.to_string()))?;

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

        self.bills.follow(block.header.timestamp, &transactions, &executed.receipts).map_err(|wrong| {
            let transaction = wrong.index.map(|index| (index, executed.receipts.get(index).and_then(locate::transaction_of)));
            fail(&entry.receipts, &wrong.field, transaction, wrong.problem)
        })?;
        self.check_samples(entry)?;

        self.state.apply(&executed.changes);
        self.tree = executed.tree;
        self.parent = executed.next;
        if let Some(tables) = &mut self.tables {
            tables.block(&block.header, &executed.receipts, &self.state, &self.parent.validators);
        }
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
    pub fn state_page(&mut self, record: &Record) -> Result<(), AuditFailure> {
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
                        return Err(fail(locate::key_text(&key), difference::in_state(&key, &honest, &value).to_string()));
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

    /// A condominium's name and number.
    fn named(&self, id: CondominiumId) -> String {
        let value = self.state.get(&Key::Condominium(id).bytes()).ok().flatten();
        let record = value.and_then(|value| codec::decode::<Condominium>(&value, MAX_PAYLOAD_BYTES).ok());
        record.map_or_else(|| format!("condominium {id}"), |record| format!("condominium {} ({id})", record.name))
    }

    fn count(&mut self, height: Option<Height>, offset: u64) -> Result<(), AuditError> {
        let totals = conservation(&self.state).map_err(|fault| AuditError::Machine(fault.to_string()))?;
        if let Some(wrong) = totals.iter().find(|totals| !totals.holds()) {
            let problem = format!(
                "tokens of {} appeared or vanished: expected balance + held = minted − redeemed + debt + owed to it − owed by it, found \
                 {} + {} against {} − {} + {} + {} − {}",
                self.named(wrong.condominium),
                wrong.balance,
                wrong.held,
                wrong.minted,
                wrong.redeemed,
                wrong.debt,
                wrong.owed_to,
                wrong.owed_by
            );
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

    /// Ends with what the stream says of itself.
    pub fn end(mut self, record: &Record, started: Instant) -> Result<AuditReport, AuditError> {
        let fail =
            |problem: String| AuditFailure { height: None, offset: record.offset, field: "end".to_owned(), transaction: None, problem };
        let end: End = codec::decode(&record.payload, MAX_PAYLOAD_BYTES).map_err(|error| fail(error.to_string()))?;
        let found = End {
            blocks: self.report.blocks,
            transactions: self.report.transactions,
            samples: self.report.samples,
            state_keys: self.compared.1,
        };
        let honest = self.state.len();
        if self.compared.1 != honest as u64 {
            return Err(fail(format!("keys in the stream's copy of the state: expected {honest}, found {}", self.compared.1)).into());
        }
        if end != found {
            return Err(fail(format!("what the stream says of itself, {}", difference::between(&found, &end))).into());
        }
        if !record.intact {
            return Err(fail("the record's checksum does not match its bytes".to_owned()).into());
        }
        self.count(None, record.offset)?;
        if let Some(tables) = &mut self.tables {
            tables.end(&self.state, (self.parent.timestamp, self.parent.height));
        }
        self.report.state_root = self.tree.root();
        self.report.open_sessions = self.bills.open();
        self.report.bills = std::mem::take(&mut self.bills.settled);
        self.report.seconds = started.elapsed().as_secs_f64();
        Ok(self.report)
    }
}

/// The part of a certificate that an error is about.
fn certificate_field(error: CertificateError) -> String {
    match error {
        CertificateError::Stranger(validator) | CertificateError::Order(validator) => format!("certificate, validator {validator}"),
        CertificateError::Signature(validator) => format!("certificate, round or signature of validator {validator}"),
        CertificateError::Quorum { .. } => "certificate".to_owned(),
    }
}
