//! Blocks that break a rule, each one rule and all others kept as well as possible, and blocks that break none but should not be there.

use bytes::Bytes;
use chain::{
    block::{Block, transactions_root},
    hash::Hash32,
    id::{GroupId, Height},
    params::Params,
    quantity::{Amount, Currents},
    record::{Key, Signer},
    state::MemoryState,
    time::{Duration, Timestamp},
};
use consensus::signing::Keys;
use contracts::{
    call::{Body, Call, PutGroup, Transaction, Transfer},
    execute::{self, VerifiedTransaction},
    ledger::Ledger,
};

use crate::{
    federation::{Holder, SITES},
    rng::Rng,
    shared::Shared,
};

/// The rule that a block breaks.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Lie {
    /// Another version of the format.
    Version,
    /// Another chain's name.
    ChainId,
    /// The height after the next.
    Height,
    /// Another parent.
    Parent,
    /// Another root of the history of headers.
    HistoryRoot,
    /// Another root of the transactions.
    TransactionsRoot,
    /// Another root of the receipts.
    ReceiptsRoot,
    /// Another root of the state.
    StateRoot,
    /// Other validators for the next height.
    NextValidators,
    /// Another validator's name as proposer.
    OtherProposer,
    /// A known transaction's body with another signature.
    KnownBody,
    /// A resident's payment that the resident did not sign; everything else is right.
    Forged,
    /// The same transactions in another order.
    Reordered,
    /// A transaction that was committed before.
    Repeated,
    /// A transaction taken out, its receipts kept.
    Missing,
    /// The parent's own time.
    NotLater,
    /// A time that is yet to come.
    Future,
    /// A time after the parent's that has long passed.
    Past,
    /// More bytes than a block may have.
    Oversized,
    /// Bytes that are no block.
    Garbage,
    /// A block, and a byte after it.
    Trailing,
}

impl Lie {
    /// Every one.
    pub const ALL: [Self; 21] = [
        Self::Version,
        Self::ChainId,
        Self::Height,
        Self::Parent,
        Self::HistoryRoot,
        Self::TransactionsRoot,
        Self::ReceiptsRoot,
        Self::StateRoot,
        Self::NextValidators,
        Self::OtherProposer,
        Self::KnownBody,
        Self::Forged,
        Self::Reordered,
        Self::Repeated,
        Self::Missing,
        Self::NotLater,
        Self::Future,
        Self::Past,
        Self::Oversized,
        Self::Garbage,
        Self::Trailing,
    ];

    /// What it is counted as in [`crate::Stats::counts`].
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Version => "lies: version",
            Self::ChainId => "lies: chain id",
            Self::Height => "lies: height",
            Self::Parent => "lies: parent",
            Self::HistoryRoot => "lies: history root",
            Self::TransactionsRoot => "lies: transactions root",
            Self::ReceiptsRoot => "lies: receipts root",
            Self::StateRoot => "lies: state root",
            Self::NextValidators => "lies: next validators",
            Self::OtherProposer => "lies: another's name as proposer",
            Self::KnownBody => "lies: a known body with another signature",
            Self::Forged => "lies: a forged payment",
            Self::Reordered => "lies: transactions reordered",
            Self::Repeated => "lies: a transaction repeated",
            Self::Missing => "lies: a transaction taken out",
            Self::NotLater => "lies: time not after the parent's",
            Self::Future => "lies: time in the future",
            Self::Past => "lies: time in the past",
            Self::Oversized => "lies: oversized",
            Self::Garbage => "lies: bytes that are no block",
            Self::Trailing => "lies: a block and a byte more",
        }
    }
}

/// A block that breaks a rule.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) lie: Lie,
    pub(super) bytes: Bytes,
    pub(super) hash: Hash32,
}

/// A block that breaks one rule, made of one that breaks none; nothing where this rule cannot be broken now.
pub(super) fn tell(lie: Lie, shared: &Shared, rng: &mut Rng, keys: &Keys, honest: &Block) -> Option<Told> {
    let mut block = honest.clone();
    let header = &mut block.header;
    let twisted = |hash: Hash32| Hash32(*blake3::hash(&hash.0).as_bytes());
    let present = shared.true_time();
    match lie {
        Lie::Version => header.version += 1,
        Lie::ChainId => header.chain_id.0 = twisted(header.chain_id.0),
        Lie::Height => header.height = Height(header.height.0 + 1),
        Lie::Parent => header.parent = twisted(header.parent),
        Lie::HistoryRoot => header.history_root = twisted(header.history_root),
        Lie::TransactionsRoot => header.transactions_root = twisted(header.transactions_root),
        Lie::ReceiptsRoot => header.receipts_root = twisted(header.receipts_root),
        Lie::StateRoot => header.state_root = twisted(header.state_root),
        Lie::NextValidators => header.next_validators = twisted(header.next_validators),
        Lie::OtherProposer => {
            let others: Vec<_> = shared.addresses.iter().filter(|address| **address != keys.address().0).collect();
            header.proposer = **rng.pick(&others);
        }
        Lie::KnownBody => {
            let place = rng.index(block.transactions.len());
            block.transactions.get_mut(place)?[5] ^= 1;
            block.header.transactions_root = transactions_root(&block.transactions);
        }
        Lie::Forged => {
            block = forged(shared, keys)?;
        }
        Lie::Reordered => {
            if block.transactions.len() < 2 {
                return None;
            }
            block.transactions.reverse();
            block.header.transactions_root = transactions_root(&block.transactions);
        }
        Lie::Repeated => {
            let old = shared.oracle.chain.iter().rev().find_map(|(_, block)| block.transactions.first())?;
            block.transactions.push(old.clone());
            block.header.transactions_root = transactions_root(&block.transactions);
        }
        Lie::Missing => {
            block.transactions.pop()?;
            block.header.transactions_root = transactions_root(&block.transactions);
        }
        Lie::NotLater => block.header.timestamp = shared.oracle.parent.timestamp,
        Lie::Future => {
            let ahead = Duration::from_ms(rng.between(6_000, 7_200_000));
            block = build(shared, keys, &shared.oracle.state, present.saturating_add(ahead), &[])?;
        }
        Lie::Past => {
            let parent = shared.oracle.parent.timestamp;
            if parent.saturating_add(Duration::from_secs(13)) > present {
                return None;
            }
            block = build(shared, keys, &shared.oracle.state, parent.saturating_add(Duration::from_ms(1)), &[])?;
        }
        Lie::Oversized => block = oversized(shared, keys, present)?,
        Lie::Garbage => {
            let bytes: Vec<u8> = (0..rng.between(0, 200)).map(|_| rng.next().to_le_bytes()[0]).collect();
            return Some(unreadable(lie, bytes));
        }
        Lie::Trailing => {
            let mut bytes = block.encode().ok()?;
            bytes.push(0);
            return Some(unreadable(lie, bytes));
        }
    }
    let bytes = block.encode().ok()?.into();
    Some(Told { lie, bytes, hash: block.header.hash() })
}

/// What is no block has no header hash; nodes name it by the digest of its bytes.
fn unreadable(lie: Lie, bytes: Vec<u8>) -> Told {
    let hash = Hash32(*blake3::hash(&bytes).as_bytes());
    Told { lie, bytes: bytes.into(), hash }
}

/// Another block in order for the same height.
pub(super) fn another(shared: &Shared, keys: &Keys, honest: &Block) -> Option<(Bytes, Hash32)> {
    if honest.header.height != shared.oracle.parent.height.next() {
        return None;
    }
    fresh(shared, keys, honest.header.timestamp.saturating_add(Duration::from_ms(1)))
}

/// The same header over other transactions.
pub(super) fn other_body(bytes: &Bytes, rng: &mut Rng) -> Option<Bytes> {
    let mut block = Block::decode(bytes).ok()?;
    let place = rng.index(block.transactions.len());
    match block.transactions.get_mut(place) {
        Some(transaction) => {
            let byte = rng.index(transaction.len());
            *transaction.get_mut(byte)? ^= 1;
        }
        None => block.transactions.push(vec![0; 80]),
    }
    Some(block.encode().ok()?.into())
}

/// An empty block in order for the next height.
pub(super) fn fresh(shared: &Shared, keys: &Keys, timestamp: Timestamp) -> Option<(Bytes, Hash32)> {
    let block = build(shared, keys, &shared.oracle.state, timestamp, &[])?;
    Some((block.encode().ok()?.into(), block.header.hash()))
}

fn build(shared: &Shared, keys: &Keys, state: &MemoryState, timestamp: Timestamp, transactions: &[VerifiedTransaction]) -> Option<Block> {
    let oracle = &shared.oracle;
    let timestamp = timestamp.max(oracle.parent.timestamp.saturating_add(Duration::from_ms(1)));
    execute::build(state, &oracle.tree, &oracle.parent, timestamp, keys.address().0, transactions).ok().map(|built| built.block)
}

/// A block with a payment whose roots are all right, but the payer's signature is the liar's.
fn forged(shared: &Shared, keys: &Keys) -> Option<Block> {
    let [payer, payee] = [Holder::Resident(SITES[0], 0), Holder::Resident(SITES[1], 0)];
    let call = Call::Transfer(Transfer { to: payee.address(), amount: Amount::from_micro(1) });
    let transaction = signed(shared, payer, 0, call)?;
    let mut block = build(shared, keys, &shared.oracle.state, shared.true_time(), &[transaction])?;
    let forged = block.transactions.first_mut()?;
    forged[..64].copy_from_slice(&[9; 64]);
    block.header.transactions_root = transactions_root(&block.transactions);
    Some(block)
}

/// A block that is in order but for its size: the accomplice signs what it is filled with.
fn oversized(shared: &Shared, keys: &Keys, timestamp: Timestamp) -> Option<Block> {
    let oracle = &shared.oracle;
    let params: Params = Ledger::new(&oracle.state).get(&Key::Params).ok()??;
    let mut unlimited = oracle.state.clone();
    let larger = Params { max_block_bytes: u32::MAX, role_txs_per_block: u32::MAX, ..params };
    unlimited.put(Key::Params.bytes(), chain::codec::encode(&larger).ok()?);
    let mut transactions = Vec::new();
    let mut bytes = 0;
    while bytes <= params.max_block_bytes as usize {
        let group = GroupId::new(SITES[1], 1 + u32::try_from(transactions.len()).ok()?);
        let call = Call::PutGroup(PutGroup { group, parent: None, limit: Currents::from_ma([16_000; 3]) });
        let transaction = signed(shared, Holder::Accomplice, transactions.len() as u64, call)?;
        bytes += transaction.get().bytes().len();
        transactions.push(transaction);
    }
    // The parameters in the tree are the real ones, so that every root is right.
    build(shared, keys, &unlimited, timestamp, &transactions)
}

fn signed(shared: &Shared, holder: Holder, ahead: u64, call: Call) -> Option<VerifiedTransaction> {
    let address = holder.address();
    let signer: Option<Signer> = Ledger::new(&shared.oracle.state).get(&Key::Signer(address)).ok()?;
    let nonce = signer.map_or(0, |signer| signer.nonce) + ahead;
    let valid_until = shared.true_time().saturating_add(Duration::from_hours(1));
    let body = Body { chain_id: shared.oracle.parent.chain_id, account: address, signer: address, nonce, valid_until, call };
    VerifiedTransaction::verify(Transaction::sign(body, &holder.key()).ok()?).ok()
}
