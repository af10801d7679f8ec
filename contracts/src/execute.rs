//! What a block does: its transactions in order, then the sessions whose deadline has come.
//!
//! Two entrances to one engine. [`build`] makes a block from candidates and leaves out what may not stand in one; [`execute`] carries out a block that
//! somebody made and compares every root that its header names. Both work on an overlay over the committed state: nothing is changed until the caller
//! writes [`Executed::changes`]. Signatures are checked before ([`VerifiedTransaction`]), so that a node may do it on all cores and once.
//!
//! A transaction that breaks a rule about transactions (chain, expiry, nonce, signer, share of the block) makes the block invalid. One whose call breaks a
//! rule of the ledger stands in the block with a rejection in its receipt: its nonce is used and nothing else is changed.

use chain::{
    block::{Block, HEADER_VERSION, Header, transactions_root},
    certificate::ValidatorSet,
    code::Rejection,
    crypto::BadSignature,
    hash::Hash32,
    history::History,
    id::{Address, ChainId, Height},
    params::Params,
    receipt::{Receipt, receipts_root},
    record::Key,
    state::{Change, StateRead},
    time::Timestamp,
    tree::Tree,
};

pub use self::invalid::{BlockError, HeaderField, InvalidBlock};
use self::{
    engine::Engine,
    invalid::{number, same},
};
use crate::{
    call::Transaction,
    context::BlockContext,
    failure::{Failure, Fault},
    ledger::Ledger,
};

mod engine;
mod invalid;
#[cfg(test)]
mod tests;

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

/// A transaction that its signer wants to see tried: signed for that alone, so that it is none that a block could carry.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rehearsal(VerifiedTransaction);

impl Rehearsal {
    /// Checks the signature, which is of another domain than a transaction's.
    ///
    /// # Errors
    /// [`BadSignature`].
    pub fn verify(transaction: Transaction) -> Result<Self, BadSignature> {
        transaction.verify_rehearsal()?;
        Ok(Self(VerifiedTransaction(transaction)))
    }

    /// What would be carried out.
    #[must_use]
    pub const fn get(&self) -> &Transaction {
        self.0.get()
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
    Engine::new(state, *block).rehearse(transaction)
}

/// As [`rehearse`], for whoever only asks: gives the receipt that it would get.
///
/// # Errors
/// As [`rehearse`].
pub fn try_out(state: &dyn StateRead, block: &BlockContext, rehearsal: &Rehearsal) -> Result<Receipt, Failure> {
    Engine::new(state, *block).try_out(&rehearsal.0)
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
        engine.forget_shares();
    }
    engine.rehearse(transaction).map(|_| ())
}

/// Whether a header follows the parent's: version, chain, height, hashes, a later time, a validator as its proposer. It costs nothing, so a block that fails is
/// refused before its signatures are verified.
///
/// # Errors
/// [`InvalidBlock`] with the first field that is another.
pub fn check_links(parent: &Parent, header: &Header) -> Result<(), InvalidBlock> {
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

fn successor(parent: &Parent, header: &Header, validators: ValidatorSet) -> Parent {
    let hash = header.hash();
    let mut history = parent.history.clone();
    // The nodes that this adds are derivable from the headers; the store keeps its own.
    history.append(hash);
    Parent { chain_id: parent.chain_id, height: header.height, hash, timestamp: header.timestamp, history, validators }
}
