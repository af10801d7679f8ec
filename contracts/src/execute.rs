//! What a block does: its transactions in order, then the sessions whose deadline has come.
//!
//! Two entrances to one engine. [`build`] makes a block from candidates and leaves out what may not stand in one; [`execute`] carries out a block that
//! somebody made and compares every root that its header names. Both work on an overlay over the committed state: nothing is changed until the caller
//! writes [`Executed::changes`]. Signatures are checked before ([`VerifiedTransaction`]), so that a node may do it on all cores and once.
//!
//! A transaction that breaks a rule about transactions (chain, expiry, nonce, signer, share of the block) makes the block invalid. One whose call breaks a
//! rule of the ledger stands in the block with a rejection in its receipt: its nonce is used and nothing else is changed.

use std::collections::BTreeMap;

use chain::{
    block::{Block, HEADER_VERSION, Header, transactions_root},
    certificate::ValidatorSet,
    code::{Code, Rejection},
    crypto::BadSignature,
    hash::Hash32,
    history::History,
    id::{Address, ChainId, Height},
    params::Params,
    receipt::{Cause, Outcome, Receipt, receipts_root},
    record::{Key, Role, Signer},
    state::{Change, StateRead},
    time::Timestamp,
    transaction::MAX_VALIDITY,
    tree::Tree,
};

use crate::{
    call::{Call, Transaction},
    calls::register_account,
    context::{BlockContext, CallContext},
    failure::{Failure, Fault},
    ledger::Ledger,
    roles, sessions,
};

/// The bytes of a block without its transactions: header and count.
const EMPTY_BLOCK_BYTES: usize = 4 + 32 + 8 + 32 + 32 + 8 + 32 * 5 + 8;

/// The bytes that a transaction adds to a block beside its own.
const TRANSACTION_FRAME_BYTES: usize = 8;

/// A transaction whose signature was checked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VerifiedTransaction(Transaction);

impl VerifiedTransaction {
    /// Checks the signature.
    ///
    /// # Errors
    /// [`BadSignature`].
    pub fn verify(transaction: Transaction) -> Result<Self, BadSignature> {
        transaction.verify()?;
        Ok(Self(transaction))
    }

    /// The transaction.
    #[must_use]
    pub const fn get(&self) -> &Transaction {
        &self.0
    }
}

/// What the next block builds on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Parent {
    /// The chain.
    pub chain_id: ChainId,
    /// The height of the newest block; 0 before the first.
    pub height: Height,
    /// Its header's hash; the chain id's before the first.
    pub hash: Hash32,
    /// Its time; genesis' before the first.
    pub timestamp: Timestamp,
    /// The mountain range over the header hashes of heights 1 to `height`.
    pub history: History,
    /// Who decides the next height.
    pub validators: ValidatorSet,
}

impl Parent {
    /// What the first block builds on.
    ///
    /// # Errors
    /// As [`crate::genesis::Genesis::validator_set`].
    pub fn genesis(genesis: &crate::genesis::Genesis) -> Result<Self, chain::certificate::ValidatorSetError> {
        let chain_id = genesis.chain_id();
        Ok(Self {
            chain_id,
            height: Height(0),
            hash: chain_id.0,
            timestamp: genesis.timestamp,
            history: History::new(),
            validators: genesis.validator_set()?,
        })
    }
}

/// What a block does; the caller makes it durable.
#[derive(Clone, Debug)]
pub struct Executed {
    /// One for each transaction, then one for each deadline.
    pub receipts: Vec<Receipt>,
    /// What changes in the state, in order of key.
    pub changes: Vec<Change>,
    /// The state's tree after the block.
    pub tree: Tree,
    /// What the block after this one builds on.
    pub next: Parent,
}

/// A block made by [`build`].
#[derive(Clone, Debug)]
pub struct Built {
    /// The block.
    pub block: Block,
    /// What it does.
    pub executed: Executed,
    /// Candidates that may not stand in it, by position, and why.
    pub refused: Vec<(usize, Rejection)>,
    /// Candidates that found no room, by position: they wait for the next block.
    pub left: Vec<usize>,
}

/// Why a block is not valid.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum InvalidBlock {
    /// A header field other than what the chain demands.
    #[error("{field}: expected {expected}, found {found}")]
    Field {
        /// Which.
        field: HeaderField,
        /// What it must be.
        expected: Hash32,
        /// What it is.
        found: Hash32,
    },
    /// A number in the header other than what the chain demands.
    #[error("{field}: expected {expected}, found {found}")]
    Number {
        /// Which.
        field: HeaderField,
        /// What it must be, or exceed.
        expected: u64,
        /// What it is.
        found: u64,
    },
    /// The proposer does not decide this height.
    #[error("proposer {0} is no validator of this height")]
    Proposer(Address),
    /// More bytes than the parameters allow.
    #[error("the block has {found} bytes, at most {limit} are allowed")]
    TooLarge {
        /// How many.
        found: usize,
        /// The most.
        limit: usize,
    },
    /// The given transactions are not the block's.
    #[error("transaction {0} is not the one that the block carries")]
    OtherTransaction(usize),
    /// A transaction that may not stand in the block.
    #[error("transaction {index}: {rejection}")]
    Transaction {
        /// Its place.
        index: usize,
        /// Why.
        rejection: Rejection,
    },
}

/// A field of the header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HeaderField {
    /// `version`.
    Version,
    /// `chain_id`.
    ChainId,
    /// `height`.
    Height,
    /// `parent`.
    Parent,
    /// `history_root`.
    HistoryRoot,
    /// `timestamp`.
    Timestamp,
    /// `transactions_root`.
    TransactionsRoot,
    /// `receipts_root`.
    ReceiptsRoot,
    /// `state_root`.
    StateRoot,
    /// `next_validators`.
    NextValidators,
}

impl std::fmt::Display for HeaderField {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Version => "version",
            Self::ChainId => "chain id",
            Self::Height => "height",
            Self::Parent => "parent",
            Self::HistoryRoot => "history root",
            Self::Timestamp => "timestamp",
            Self::TransactionsRoot => "transactions root",
            Self::ReceiptsRoot => "receipts root",
            Self::StateRoot => "state root",
            Self::NextValidators => "next validators",
        })
    }
}

/// Why a block was not executed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BlockError {
    /// The block's fault: the same on every node.
    #[error(transparent)]
    Invalid(InvalidBlock),
    /// This machine's.
    #[error(transparent)]
    Fault(Fault),
}

impl From<Fault> for BlockError {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<InvalidBlock> for BlockError {
    fn from(invalid: InvalidBlock) -> Self {
        Self::Invalid(invalid)
    }
}

/// The context of the block after `parent` at `timestamp`.
///
/// # Errors
/// [`Fault`] where the state has no parameters.
pub fn context(state: &dyn StateRead, parent: &Parent, timestamp: Timestamp) -> Result<BlockContext, Fault> {
    let params: Params = Ledger::new(state).get(&Key::Params)?.ok_or_else(|| Fault("the state has no parameters".to_owned()))?;
    Ok(BlockContext { chain_id: parent.chain_id, height: parent.height.next(), timestamp, params })
}

/// Makes a block of the candidates, in their order, as many as fit.
///
/// # Errors
/// [`Fault`] only: candidates that break a rule are left out and named.
pub fn build(
    state: &dyn StateRead,
    tree: &Tree,
    parent: &Parent,
    timestamp: Timestamp,
    proposer: Address,
    candidates: &[VerifiedTransaction],
) -> Result<Built, Fault> {
    let block = context(state, parent, timestamp)?;
    let mut engine = Engine::new(state, block);
    let limit = usize::try_from(block.params.max_block_bytes).unwrap_or(usize::MAX);
    let mut size = EMPTY_BLOCK_BYTES;
    let (mut transactions, mut refused, mut left) = (Vec::new(), Vec::new(), Vec::new());
    for (position, candidate) in candidates.iter().enumerate() {
        let bytes = candidate.get().bytes();
        let with_it = size.saturating_add(bytes.len()).saturating_add(TRANSACTION_FRAME_BYTES);
        if with_it > limit {
            left.push(position);
            continue;
        }
        match engine.transaction(candidate) {
            Ok(()) => {
                size = with_it;
                transactions.push(bytes.to_vec());
            }
            Err(Failure::Reject(rejection)) => refused.push((position, rejection)),
            Err(Failure::Fault(fault)) => return Err(fault),
        }
    }
    let (receipts, changes, next_validators) = engine.finish()?;
    let tree = tree.updated(&changes);
    let header = Header {
        version: HEADER_VERSION,
        chain_id: parent.chain_id,
        height: block.height,
        parent: parent.hash,
        history_root: parent.history.root(),
        timestamp,
        proposer,
        transactions_root: transactions_root(&transactions),
        receipts_root: receipts_root(&receipts),
        state_root: tree.root(),
        next_validators: next_validators.hash(),
    };
    let next = successor(parent, &header, next_validators);
    Ok(Built { block: Block { header, transactions }, executed: Executed { receipts, changes, tree, next }, refused, left })
}

/// Carries out a block and compares everything that its header names with what came out.
///
/// `transactions` are the block's own, decoded and with good signatures, in order. The wall clock is the caller's matter.
///
/// # Errors
/// [`BlockError::Invalid`] names the first thing that is not as it must be.
pub fn execute(
    state: &dyn StateRead,
    tree: &Tree,
    parent: &Parent,
    block: &Block,
    transactions: &[VerifiedTransaction],
) -> Result<Executed, BlockError> {
    let header = &block.header;
    check_links(parent, header)?;
    let context = context(state, parent, header.timestamp)?;
    check_body(&context, block, transactions)?;

    let mut engine = Engine::new(state, context);
    for (index, transaction) in transactions.iter().enumerate() {
        engine.transaction(transaction).map_err(|failure| match failure {
            Failure::Reject(rejection) => BlockError::Invalid(InvalidBlock::Transaction { index, rejection }),
            Failure::Fault(fault) => BlockError::Fault(fault),
        })?;
    }
    let (receipts, changes, next_validators) = engine.finish()?;
    same(HeaderField::ReceiptsRoot, receipts_root(&receipts), header.receipts_root)?;
    let tree = tree.updated(&changes);
    same(HeaderField::StateRoot, tree.root(), header.state_root)?;
    same(HeaderField::NextValidators, next_validators.hash(), header.next_validators)?;
    let next = successor(parent, header, next_validators);
    Ok(Executed { receipts, changes, tree, next })
}

/// What the next block would make of a transaction on `state`, which may be an overlay with the signer's earlier ones ([`Overlay::resume`]); gives what it
/// would change.
///
/// # Errors
/// [`Failure::Reject`] with the code that the transaction would get; [`Failure::Fault`] for this machine's trouble.
///
/// [`Overlay::resume`]: chain::state::Overlay::resume
pub fn rehearse(state: &dyn StateRead, block: &BlockContext, transaction: &VerifiedTransaction) -> Result<Vec<Change>, Failure> {
    let mut engine = Engine::new(state, *block);
    engine.transaction(transaction)?;
    match engine.receipts.last().map(|receipt| receipt.outcome) {
        Some(Outcome::Rejected(rejection)) => Err(rejection.into()),
        Some(Outcome::Applied) | None => Ok(engine.ledger.into_changes()),
    }
}

/// What the next block would make of a transaction, after the signer's earlier ones.
///
/// `earlier` are the signer's transactions that wait for a block already, in order of nonce.
///
/// # Errors
/// [`Failure::Reject`] with the code that the transaction would get; [`Failure::Fault`] for this machine's trouble.
pub fn dry_run(
    state: &dyn StateRead,
    block: &BlockContext,
    earlier: &[VerifiedTransaction],
    transaction: &VerifiedTransaction,
) -> Result<(), Failure> {
    let mut engine = Engine::new(state, *block);
    for before in earlier {
        // One that fails now fails in the block too, or waits for its turn there: either way it is not this transaction's matter.
        if let Err(Failure::Fault(fault)) = engine.transaction(before) {
            return Err(fault.into());
        }
        engine.share.clear();
    }
    engine.transaction(transaction)?;
    match engine.receipts.last().map(|receipt| receipt.outcome) {
        Some(Outcome::Rejected(rejection)) => Err(rejection.into()),
        Some(Outcome::Applied) | None => Ok(()),
    }
}

fn check_links(parent: &Parent, header: &Header) -> Result<(), InvalidBlock> {
    number(HeaderField::Version, u64::from(HEADER_VERSION), u64::from(header.version))?;
    same(HeaderField::ChainId, parent.chain_id.0, header.chain_id.0)?;
    number(HeaderField::Height, parent.height.next().0, header.height.0)?;
    same(HeaderField::Parent, parent.hash, header.parent)?;
    same(HeaderField::HistoryRoot, parent.history.root(), header.history_root)?;
    if header.timestamp <= parent.timestamp {
        return Err(InvalidBlock::Number { field: HeaderField::Timestamp, expected: parent.timestamp.ms(), found: header.timestamp.ms() });
    }
    match parent.validators.get(&header.proposer) {
        Some(_) => Ok(()),
        None => Err(InvalidBlock::Proposer(header.proposer)),
    }
}

fn check_body(context: &BlockContext, block: &Block, transactions: &[VerifiedTransaction]) -> Result<(), InvalidBlock> {
    let limit = usize::try_from(context.params.max_block_bytes).unwrap_or(usize::MAX);
    let found = block
        .transactions
        .iter()
        .fold(EMPTY_BLOCK_BYTES, |size, bytes| size.saturating_add(bytes.len()).saturating_add(TRANSACTION_FRAME_BYTES));
    if found > limit {
        return Err(InvalidBlock::TooLarge { found, limit });
    }
    number_of_transactions(block, transactions)?;
    for (index, (carried, given)) in block.transactions.iter().zip(transactions).enumerate() {
        if carried != given.get().bytes() {
            return Err(InvalidBlock::OtherTransaction(index));
        }
    }
    same(HeaderField::TransactionsRoot, transactions_root(&block.transactions), block.header.transactions_root)
}

const fn number_of_transactions(block: &Block, transactions: &[VerifiedTransaction]) -> Result<(), InvalidBlock> {
    if block.transactions.len() == transactions.len() { Ok(()) } else { Err(InvalidBlock::OtherTransaction(transactions.len())) }
}

fn same(field: HeaderField, expected: Hash32, found: Hash32) -> Result<(), InvalidBlock> {
    if expected == found { Ok(()) } else { Err(InvalidBlock::Field { field, expected, found }) }
}

const fn number(field: HeaderField, expected: u64, found: u64) -> Result<(), InvalidBlock> {
    if expected == found { Ok(()) } else { Err(InvalidBlock::Number { field, expected, found }) }
}

fn successor(parent: &Parent, header: &Header, validators: ValidatorSet) -> Parent {
    let hash = header.hash();
    let mut history = parent.history.clone();
    // The nodes that this adds are derivable from the headers; the store keeps its own.
    history.append(hash);
    Parent { chain_id: parent.chain_id, height: header.height, hash, timestamp: header.timestamp, history, validators }
}

/// One block in the making.
struct Engine<'a> {
    ledger: Ledger<'a>,
    block: BlockContext,
    receipts: Vec<Receipt>,
    /// Transactions so far, by signer.
    share: BTreeMap<Address, u32>,
}

impl<'a> Engine<'a> {
    fn new(state: &'a dyn StateRead, block: BlockContext) -> Self {
        Self { ledger: Ledger::new(state), block, receipts: Vec::new(), share: BTreeMap::new() }
    }

    /// Carries out one transaction and adds its receipt; a rejection here means that it may not stand in the block, and nothing was changed.
    fn transaction(&mut self, verified: &VerifiedTransaction) -> Result<(), Failure> {
        let transaction = verified.get();
        let body = transaction.body();
        let signer = self.admit(transaction)?;
        let count = self.share.entry(body.signer).or_default();
        *count = count.saturating_add(1);

        let index = u32::try_from(self.receipts.len()).map_err(|_| Fault("more than 2^32 receipts".to_owned()))?;
        let id = transaction.id();
        let context = CallContext { block: &self.block, index, tx_id: id, account: body.account, signer: body.signer };
        if let Some(signer) = signer {
            self.ledger.put(&Key::Signer(body.signer), &Signer { nonce: signer.nonce.saturating_add(1), ..signer })?;
        }
        let savepoint = self.ledger.savepoint();
        let action = body.call.action();
        let result = action.check().map_err(Failure::from).and_then(|()| action.apply(&context, &mut self.ledger));
        let outcome = match result {
            Ok(()) => Outcome::Applied,
            Err(Failure::Reject(rejection)) => {
                self.ledger.rollback(savepoint);
                Outcome::Rejected(rejection)
            }
            Err(failure @ Failure::Fault(_)) => return Err(failure),
        };
        if signer.is_none() {
            self.count_first(&body.signer)?;
        }
        self.receipts.push(Receipt { cause: Cause::Transaction(id), outcome, events: self.ledger.take_events() });
        Ok(())
    }

    /// Whether a transaction may stand in the block; gives the signer's record, or nothing where this transaction registers him.
    fn admit(&self, transaction: &Transaction) -> Result<Option<Signer>, Failure> {
        let body = transaction.body();
        let now = self.block.timestamp;
        if body.chain_id != self.block.chain_id {
            return Err(Code::WrongChain.into());
        }
        if body.valid_until < now {
            return Err(Rejection::of(Code::Expired, now.ms(), body.valid_until.ms()).into());
        }
        let latest = now.saturating_add(MAX_VALIDITY);
        if body.valid_until > latest {
            return Err(Rejection::of(Code::ValidTooLong, latest.ms(), body.valid_until.ms()).into());
        }
        let signer: Option<Signer> = self.ledger.get(&Key::Signer(body.signer))?;
        match signer {
            Some(signer) if signer.account != body.account => return Err(Code::UnknownSigner.into()),
            Some(signer) if signer.nonce != body.nonce => return Err(Rejection::of(Code::WrongNonce, signer.nonce, body.nonce).into()),
            Some(_) => {}
            None => self.admit_newcomer(transaction)?,
        }
        let used = self.share.get(&body.signer).copied().unwrap_or_default();
        if used >= self.block.params.resident_txs_per_block {
            let limit =
                if self.has_role(&body.account)? { self.block.params.role_txs_per_block } else { self.block.params.resident_txs_per_block };
            if used >= limit {
                return Err(Rejection::of(Code::TooManyFromSigner, u64::from(limit), u64::from(used)).into());
            }
        }
        Ok(signer)
    }

    /// An unregistered key may send one thing: its own registration with a good invite. Anything else would be free spam.
    fn admit_newcomer(&self, transaction: &Transaction) -> Result<(), Failure> {
        let body = transaction.body();
        let Call::RegisterAccount(call) = &body.call else { return Err(Code::UnknownSigner.into()) };
        let itself = call.account == body.account && body.account == body.signer && body.nonce == 0;
        let (Some(invite), true) = (&call.invite, itself) else { return Err(Code::UnknownSigner.into()) };
        match register_account::check_invite(&self.ledger, &self.block, &call.account, call.condominium, invite) {
            Ok(()) => Ok(()),
            Err(Failure::Reject(_)) => Err(Code::UnknownSigner.into()),
            Err(Failure::Fault(fault)) => Err(fault.into()),
        }
    }

    /// A newcomer's registration was his transaction number 0.
    fn count_first(&mut self, address: &Address) -> Result<(), Fault> {
        if let Some(signer) = self.ledger.get::<Signer>(&Key::Signer(*address))? {
            self.ledger.put(&Key::Signer(*address), &Signer { nonce: 1, ..signer })?;
        }
        Ok(())
    }

    /// Whether an account holds a role at home; keys with a role send for many.
    fn has_role(&self, account: &Address) -> Result<bool, Fault> {
        let Some(record) = self.ledger.account(account)? else { return Ok(false) };
        for role in Role::ALL {
            if roles::holds(&self.ledger, self.block.height, record.home, role, account)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Works off what is due and gives receipts, changes and the next height's validators.
    fn finish(mut self) -> Result<(Vec<Receipt>, Vec<Change>, ValidatorSet), Fault> {
        let due = sessions::run_due(&mut self.ledger, &self.block)?;
        self.receipts.extend(due);
        let validators = self.ledger.get(&Key::Validators)?.ok_or_else(|| Fault("the state has no validators".to_owned()))?;
        Ok((self.receipts, self.ledger.into_changes(), validators))
    }
}
