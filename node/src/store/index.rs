//! The indexes: where transactions, blocks and sessions are to be found. All of them follow from blocks and receipts and can be made again.
//!
//! Entries are only ever added, so that each family is known by the XOR of its entries' digests: kept with every block, compared with the entries at start.
//! Execution reads none of them. Called by `store` alone.

use std::collections::BTreeMap;

use chain::{
    block::Block,
    hash::Hash32,
    id::{Address, ConnectorId, Height, TxId},
    receipt::{Cause, Event, Receipt},
};
use contracts::call::Transaction;
use serde::{Deserialize, Serialize};

use super::db::{Batch, Database, Family, StoreError, View, Walk, digest};

/// A kind of index; its number is the first byte of its keys.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Index {
    /// Transaction id → place.
    Transaction,
    /// Header hash → height.
    BlockHash,
    /// Account, place → nothing: receipts that concern an account.
    AccountHistory,
    /// Account, place of the opening → session.
    AccountSession,
    /// Connector, place of the opening → session.
    ConnectorSession,
    /// Session → place of the receipt that settled it.
    Settlement,
    /// Session, place → nothing: receipts that name a session.
    SessionHistory,
}

impl Index {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Transaction,
        Self::BlockHash,
        Self::AccountHistory,
        Self::AccountSession,
        Self::ConnectorSession,
        Self::Settlement,
        Self::SessionHistory,
    ];

    /// The first byte of its keys.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Transaction => 1,
            Self::BlockHash => 2,
            Self::AccountHistory => 3,
            Self::AccountSession => 4,
            Self::ConnectorSession => 5,
            Self::Settlement => 6,
            Self::SessionHistory => 7,
        }
    }

    /// For people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Transaction => "transactions by id",
            Self::BlockHash => "blocks by hash",
            Self::AccountHistory => "receipts by account",
            Self::AccountSession => "sessions by account",
            Self::ConnectorSession => "sessions by connector",
            Self::Settlement => "settlements by session",
            Self::SessionHistory => "receipts by session",
        }
    }

    fn of_key(key: &[u8]) -> Option<Self> {
        let number = key.first()?;
        Self::ALL.into_iter().find(|index| index.number() == *number)
    }

    /// A key of this index.
    #[must_use]
    pub fn key(self, parts: &[&[u8]]) -> Vec<u8> {
        let mut key = vec![self.number()];
        parts.iter().for_each(|part| key.extend_from_slice(part));
        key
    }
}

/// A receipt's place in the chain; a transaction's receipt has its transaction's index, those of due sessions follow.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Location {
    /// The block.
    pub height: Height,
    /// The place among its receipts, from 0.
    pub index: u32,
}

impl Location {
    /// Twelve bytes that sort as places do.
    #[must_use]
    pub fn bytes(self) -> [u8; 12] {
        let mut bytes = [0; 12];
        let parts = self.height.0.to_be_bytes().into_iter().chain(self.index.to_be_bytes());
        bytes.iter_mut().zip(parts).for_each(|(place, byte)| *place = byte);
        bytes
    }

    /// The place of [`Location::bytes`].
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (height, index) = bytes.split_at_checked(8)?;
        let height = Height(u64::from_be_bytes(height.try_into().ok()?));
        Some(Self { height, index: u32::from_be_bytes(index.try_into().ok()?) })
    }
}

/// A connector as bytes that sort as connectors do.
#[must_use]
pub fn connector_bytes(id: ConnectorId) -> [u8; 8] {
    let joined = (u64::from(id.condominium.0) << 32) | u64::from(id.number);
    joined.to_be_bytes()
}

/// What all entries of each index come to.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Digests(Vec<Sum>);

/// The number of some entries and the XOR of their digests.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Sum {
    count: u64,
    xor: Hash32,
}

impl Sum {
    /// Adds an entry.
    pub fn add(&mut self, family: Family, key: &[u8], value: &[u8]) {
        self.count = self.count.wrapping_add(1);
        self.xor.0.iter_mut().zip(digest(family, key, value).0).for_each(|(own, other)| *own ^= other);
    }
}

impl Digests {
    /// Of empty indexes.
    #[must_use]
    pub fn new() -> Self {
        Self(vec![Sum::default(); Index::ALL.len()])
    }

    fn add(&mut self, index: Index, key: &[u8], value: &[u8]) {
        let place = Index::ALL.iter().position(|other| *other == index);
        if let Some(sum) = place.and_then(|place| self.0.get_mut(place)) {
            sum.add(Family::Index, key, value);
        }
    }

    fn get(&self, index: Index) -> Option<&Sum> {
        let place = Index::ALL.iter().position(|other| *other == index)?;
        self.0.get(place)
    }

    fn set(&mut self, index: Index, sum: Sum) {
        let place = Index::ALL.iter().position(|other| *other == index);
        if let Some(own) = place.and_then(|place| self.0.get_mut(place)) {
            *own = sum;
        }
    }
}

/// The entries of one block, by key.
#[must_use]
pub fn entries(hash: Hash32, block: &Block, accounts: &[Address], receipts: &[Receipt]) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut entries = BTreeMap::new();
    let height = block.header.height;
    entries.insert(Index::BlockHash.key(&[&hash.0]), height.0.to_be_bytes().to_vec());
    for (index, receipt) in (0_u32..).zip(receipts) {
        let location = Location { height, index };
        let place = location.bytes();
        let mut concerned = |account: Address| {
            entries.insert(Index::AccountHistory.key(&[&account.0, &place]), Vec::new());
        };
        if let Some(account) = accounts.get(index as usize) {
            concerned(*account);
        }
        for event in &receipt.events {
            event.accounts().for_each(&mut concerned);
        }
        match receipt.cause {
            Cause::Transaction(id) => {
                entries.insert(Index::Transaction.key(&[&id.0.0]), place.to_vec());
            }
            Cause::Due(_) => {}
        }
        for event in &receipt.events {
            if let Some(session) = event.session() {
                entries.insert(Index::SessionHistory.key(&[&session.0.0, &place]), Vec::new());
            }
            if let Event::SessionOpened { session, account, connector, .. } = event {
                let session = session.0.0.to_vec();
                entries.insert(Index::AccountSession.key(&[&account.0, &place]), session.clone());
                entries.insert(Index::ConnectorSession.key(&[&connector_bytes(*connector), &place]), session);
            }
            if let Some(bill) = event.bill() {
                entries.insert(Index::Settlement.key(&[&bill.session.0.0]), place.to_vec());
            }
        }
    }
    entries
}

/// The accounts of a block's transactions, in order; a transaction that does not decode, which no committed block has, ends the list.
#[must_use]
pub fn accounts_in(block: &Block) -> Vec<Address> {
    block.transactions.iter().map_while(|bytes| Transaction::decode(bytes).ok()).map(|transaction| transaction.body().account).collect()
}

/// Adds a block's entries to a batch and to the digests.
///
/// # Errors
/// [`StoreError`] where a column family is missing.
pub fn add(batch: &mut Batch<'_>, digests: &mut Digests, entries: &BTreeMap<Vec<u8>, Vec<u8>>, only: &[Index]) -> Result<(), StoreError> {
    for (key, value) in entries {
        if let Some(index) = Index::of_key(key).filter(|index| only.contains(index)) {
            batch.put(Family::Index, key, value)?;
            digests.add(index, key, value);
        }
    }
    Ok(())
}

/// Compares all entries with the digests and names the indexes that differ.
///
/// # Errors
/// [`StoreError`] where RocksDB itself finds damage.
pub fn find_wrong(database: &Database, view: &View<'_>, expected: &Digests) -> Result<Vec<Index>, StoreError> {
    let mut found = Digests::new();
    let mut wrong = Vec::new();
    database.each(view, Family::Index, &[], |key, value| {
        match (Index::of_key(key), value) {
            (Some(index), Ok(value)) => found.add(index, key, &value),
            (Some(index), Err(_)) => wrong.push(index),
            // A stranger's key belongs to no index: all are made again, which removes it.
            (None, _) => wrong.extend(Index::ALL),
        }
        Ok::<_, StoreError>(Walk::On)
    })?;
    wrong.extend(Index::ALL.into_iter().filter(|index| found.get(*index) != expected.get(*index)));
    wrong.sort();
    wrong.dedup();
    Ok(wrong)
}

/// Entries of this many bytes are written at once while an index is made again.
const REBUILD_BATCH_BYTES: usize = 4 << 20;

/// Makes these indexes again; `block_at` gives every block with its hash and receipts. Should this process die meanwhile, the digests do not match and the
/// next start begins anew.
///
/// # Errors
/// [`StoreError`].
pub fn rebuild(
    database: &Database,
    wrong: &[Index],
    digests: &mut Digests,
    tip: Height,
    block_at: &dyn Fn(Height) -> Result<(Hash32, Block, Vec<Receipt>), StoreError>,
) -> Result<(), StoreError> {
    let mut batch = database.batch();
    if wrong.len() == Index::ALL.len() {
        batch.delete_range(Family::Index, &[], &[0xff; 64])?;
    }
    for index in wrong {
        batch.delete_range(Family::Index, &[index.number()], &[index.number().saturating_add(1)])?;
        digests.set(*index, Sum::default());
    }
    for height in 1..=tip.0 {
        let (hash, block, receipts) = block_at(Height(height))?;
        add(&mut batch, digests, &entries(hash, &block, &accounts_in(&block), &receipts), wrong)?;
        if batch.size() > REBUILD_BATCH_BYTES {
            database.write(std::mem::replace(&mut batch, database.batch()))?;
        }
    }
    batch.write(Family::Meta, super::META_INDEX, digests)?;
    database.write(batch)
}

/// The key under which a transaction's place is found.
#[must_use]
pub fn transaction_key(id: TxId) -> Vec<u8> {
    Index::Transaction.key(&[&id.0.0])
}
