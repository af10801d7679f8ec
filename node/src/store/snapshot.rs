//! Reading: typed questions to one consistent moment of the database, and proofs of the answers.
//!
//! A snapshot belongs to the block that was newest when it was taken. It decides nothing about who may read what; the API does.
//! Called by everything that reads: API, gateway, scheduler, export, and the application itself.

use std::{cell::RefCell, sync::Arc};

use chain::{
    block::{Block, Header},
    certificate::{CommitCertificate, ValidatorSet},
    hash::Hash32,
    history::{self, HistoryPath, NodePosition},
    id::{Address, CondominiumId, ConnectorId, GroupId, Height, SessionId, TariffId, TxId},
    merkle,
    params::Params,
    receipt::Receipt,
    record::{Account, Condominium, Connector, Group, Key, Session, Signer, TariffHead, TariffVersion},
    state::{KeyValue, ReadFault, StateRead},
    transaction,
    tree::StateProof,
};
use serde::{Serialize, de::DeserializeOwned};

use super::{
    Present, StoredTip,
    db::{self, Database, Family, StoreError, View, Walk, height_key},
    index::{Index, Location, connector_bytes},
    node_key, validators_key,
};

/// The most entries that one page of a listing holds.
pub const PAGE_MAX: u32 = 1_000;

/// A part of a listing, newest first.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Page<T> {
    /// The entries, each with its place in the chain.
    pub entries: Vec<(Location, T)>,
    /// Where the next page begins; nothing where this one ends the list.
    pub next: Option<Location>,
}

/// One moment of the database.
pub struct Snapshot<'a> {
    database: &'a Database,
    view: View<'a>,
    present: Arc<Present>,
}

impl<'a> Snapshot<'a> {
    pub(super) const fn new(database: &'a Database, view: View<'a>, present: Arc<Present>) -> Self {
        Self { database, view, present }
    }

    /// The newest block.
    #[must_use]
    pub fn tip(&self) -> StoredTip {
        self.present.tip
    }

    /// The newest block's header; nothing before the first block.
    #[must_use]
    pub fn tip_header(&self) -> Option<&Header> {
        self.present.header.as_ref()
    }

    /// The state's root after the newest block.
    #[must_use]
    pub fn state_root(&self) -> Hash32 {
        self.present.tree.root()
    }

    /// The proof of what `key` has under [`Snapshot::state_root`], a value or none.
    #[must_use]
    pub fn prove_state(&self, key: &Key) -> StateProof {
        self.present.tree.prove(&key.bytes())
    }

    /// The proof of what the key of these bytes has under [`Snapshot::state_root`], a value or none.
    #[must_use]
    pub fn prove_bytes(&self, key: &[u8]) -> StateProof {
        self.present.tree.prove(key)
    }

    // The state.

    /// The record of a key.
    ///
    /// # Errors
    /// [`StoreError`], here and below: the database failed, or the value is damaged.
    pub fn record<T: DeserializeOwned + Serialize>(&self, key: &Key) -> Result<Option<T>, StoreError> {
        self.database.read(&self.view, Family::State, &key.bytes())
    }

    /// The encoded record of a key, as a state proof shows it.
    pub fn record_bytes(&self, key: &Key) -> Result<Option<Vec<u8>>, StoreError> {
        self.database.get(&self.view, Family::State, &key.bytes())
    }

    /// Records whose keys begin with `prefix`, in order of key, at most `limit`, beginning after the key `after`.
    pub fn records<T: DeserializeOwned + Serialize>(
        &self,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: u32,
    ) -> Result<Vec<(Vec<u8>, T)>, StoreError> {
        let mut found = Vec::new();
        self.database.each(&self.view, Family::State, after.unwrap_or(prefix), |key, value| {
            if !key.starts_with(prefix) || found.len() >= limit as usize {
                return Ok(Walk::Stop);
            }
            if after != Some(key) {
                found.push((key.to_vec(), db::decode(Family::State, key, &value?)?));
            }
            Ok::<_, StoreError>(Walk::On)
        })?;
        Ok(found)
    }

    /// An account.
    pub fn account(&self, address: &Address) -> Result<Option<Account>, StoreError> {
        self.record(&Key::Account(*address))
    }

    /// A signer: its nonce is that of its next transaction, those in the pool not counted.
    pub fn signer(&self, address: &Address) -> Result<Option<Signer>, StoreError> {
        self.record(&Key::Signer(*address))
    }

    /// A condominium.
    pub fn condominium(&self, id: CondominiumId) -> Result<Option<Condominium>, StoreError> {
        self.record(&Key::Condominium(id))
    }

    /// A group.
    pub fn group(&self, id: GroupId) -> Result<Option<Group>, StoreError> {
        self.record(&Key::Group(id))
    }

    /// A connector.
    pub fn connector(&self, id: ConnectorId) -> Result<Option<Connector>, StoreError> {
        self.record(&Key::Connector(id))
    }

    /// A tariff's newest version number.
    pub fn tariff_head(&self, id: TariffId) -> Result<Option<TariffHead>, StoreError> {
        self.record(&Key::TariffHead(id))
    }

    /// A tariff's version.
    pub fn tariff_version(&self, id: TariffId, version: u32) -> Result<Option<TariffVersion>, StoreError> {
        self.record(&Key::TariffVersion(id, version))
    }

    /// An open session.
    pub fn session(&self, id: SessionId) -> Result<Option<Session>, StoreError> {
        self.record(&Key::Session(id))
    }

    /// The parameters.
    pub fn params(&self) -> Result<Params, StoreError> {
        self.record(&Key::Params)?.ok_or_else(|| StoreError::Missing { what: Family::State.describe(&Key::Params.bytes()) })
    }

    // Blocks.

    /// A block.
    pub fn block(&self, height: Height) -> Result<Option<Block>, StoreError> {
        self.database.read(&self.view, Family::Blocks, &height_key(height))
    }

    /// A block's encoding.
    pub fn block_bytes(&self, height: Height) -> Result<Option<Vec<u8>>, StoreError> {
        self.database.get(&self.view, Family::Blocks, &height_key(height))
    }

    /// A block's header.
    pub fn header(&self, height: Height) -> Result<Option<Header>, StoreError> {
        match self.present.header {
            Some(header) if header.height == height => Ok(Some(header)),
            Some(_) | None => Ok(self.block(height)?.map(|block| block.header)),
        }
    }

    /// A block's certificate.
    pub fn certificate(&self, height: Height) -> Result<Option<CommitCertificate>, StoreError> {
        self.database.read(&self.view, Family::Certificates, &height_key(height))
    }

    /// A block's receipts.
    pub fn receipts(&self, height: Height) -> Result<Option<Vec<Receipt>>, StoreError> {
        self.database.read(&self.view, Family::Receipts, &height_key(height))
    }

    /// Block, certificate and receipts of a height as they are stored, whether their checksums match or not: an audit shall see what is there.
    pub fn as_stored(&self, height: Height) -> Result<[Option<Vec<u8>>; 3], StoreError> {
        let raw = |family| Ok::<_, StoreError>(self.database.get_raw(&self.view, family, &height_key(height))?.map(db::strip_seal));
        Ok([raw(Family::Blocks)?, raw(Family::Certificates)?, raw(Family::Receipts)?])
    }

    /// The state as it is stored, key by key in order, whether the checksums match or not, to `each`.
    pub fn each_state_as_stored(&self, each: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), StoreError> {
        self.database.each(&self.view, Family::State, &[], |key, _| {
            if let Some(raw) = self.database.get_raw(&self.view, Family::State, key)? {
                each(key, &db::strip_seal(raw));
            }
            Ok::<_, StoreError>(Walk::On)
        })
    }

    /// The height of the block with this header hash.
    pub fn height_of(&self, hash: &Hash32) -> Result<Option<Height>, StoreError> {
        let key = Index::BlockHash.key(&[&hash.0]);
        let value = self.database.get(&self.view, Family::Index, &key)?;
        Ok(value.and_then(|bytes| Some(Height(u64::from_be_bytes(bytes.try_into().ok()?)))))
    }

    /// The validators that decide `height`: of committed heights and of the next one.
    pub fn validators(&self, height: Height) -> Result<Option<ValidatorSet>, StoreError> {
        if height == Height(0) || height > self.tip().height.next() {
            return Ok(None);
        }
        if height == Height(1) {
            // No header comes before the first block: its set is the one that genesis put.
            let set: Option<Hash32> = self.database.read(&self.view, Family::Meta, super::META_FIRST_VALIDATORS)?;
            return set.map_or(Ok(None), |hash| self.validator_set(&hash));
        }
        match self.header(Height(height.0.saturating_sub(1)))? {
            Some(before) => self.validator_set(&before.next_validators),
            None => Ok(None),
        }
    }

    fn validator_set(&self, hash: &Hash32) -> Result<Option<ValidatorSet>, StoreError> {
        self.database.read(&self.view, Family::Meta, &validators_key(hash))
    }

    /// The path of a committed header to the history root in the newest header; nothing for the newest itself, which is its own proof.
    pub fn prove_header(&self, height: Height) -> Result<Option<HistoryPath>, StoreError> {
        let count = self.tip().height.0.saturating_sub(1);
        let Some(place) = height.0.checked_sub(1) else { return Ok(None) };
        with_nodes(self.database, &self.view, |node_at| history::prove(count, place, node_at))
    }

    /// The heights after `after` whose headers name other validators than those who decided them, in order. Where the set has ever changed, every header
    /// after `after` is read: whoever asks again goes on where he was.
    pub fn validator_changes(&self, after: Height) -> Result<Vec<Height>, StoreError> {
        let mut kept = 0_usize;
        self.database.each(&self.view, Family::Meta, super::META_VALIDATORS, |key, _| {
            if !key.starts_with(super::META_VALIDATORS) || kept > 1 {
                return Ok(Walk::Stop);
            }
            kept = kept.saturating_add(1);
            Ok::<_, StoreError>(Walk::On)
        })?;
        let mut found = Vec::new();
        // Each set is kept under its hash: of one that never changed there is one.
        let (Some(first), true) = (self.validators(after.next())?, kept > 1) else { return Ok(found) };
        let (mut height, mut current) = (after, first.hash());
        self.database.each(&self.view, Family::Blocks, &height_key(after.next()), |_, block| {
            height = height.next();
            let header = super::history::header_of(height, &block?)?;
            if header.next_validators != current {
                current = header.next_validators;
                found.push(height);
            }
            Ok::<_, StoreError>(Walk::On)
        })?;
        Ok(found)
    }

    // Transactions and receipts.

    /// Where a transaction is.
    pub fn transaction(&self, id: TxId) -> Result<Option<Location>, StoreError> {
        self.location(&super::index::transaction_key(id))
    }

    /// The ids of committed transactions that begin with these hexadecimal digits (lower case), in order, at most `limit`.
    pub fn transactions_beginning(&self, digits: &str, limit: usize) -> Result<Vec<TxId>, StoreError> {
        // The whole bytes of the digits; half a byte more is compared in the text.
        let whole = hex::decode(digits.get(..digits.len() & !1).unwrap_or_default()).unwrap_or_default();
        let prefix = Index::Transaction.key(&[&whole]);
        let mut found = Vec::new();
        self.database.each(&self.view, Family::Index, &prefix, |key, _| {
            if !key.starts_with(&prefix) || found.len() >= limit {
                return Ok(Walk::Stop);
            }
            let id = key.get(1..).and_then(session_id).map(|id| TxId(id.0));
            found.extend(id.filter(|id| id.to_string().starts_with(digits)));
            Ok::<_, StoreError>(Walk::On)
        })?;
        Ok(found)
    }

    /// A receipt with the path to its header's receipts root.
    pub fn receipt(&self, location: Location) -> Result<Option<(Receipt, merkle::Path)>, StoreError> {
        let Some(receipts) = self.receipts(location.height)? else { return Ok(None) };
        let leaves: Vec<_> = receipts.iter().map(Receipt::leaf).collect();
        let path = merkle::prove(&leaves, u64::from(location.index));
        Ok(receipts.into_iter().nth(location.index as usize).zip(path))
    }

    /// A transaction's bytes with the path to its header's transactions root.
    pub fn transaction_at(&self, location: Location) -> Result<Option<(Vec<u8>, merkle::Path)>, StoreError> {
        let Some(block) = self.block(location.height)? else { return Ok(None) };
        let leaves: Vec<_> = block.transactions.iter().map(|bytes| transaction::leaf(bytes)).collect();
        let path = merkle::prove(&leaves, u64::from(location.index));
        Ok(block.transactions.into_iter().nth(location.index as usize).zip(path))
    }

    /// Where receipts concern an account, newest first, at most `limit` (and [`PAGE_MAX`]), from `from` on downwards.
    pub fn account_history(&self, account: &Address, from: Option<Location>, limit: u32) -> Result<Page<()>, StoreError> {
        self.page(Index::AccountHistory.key(&[&account.0]), from, limit, |_| Some(()))
    }

    /// The sessions that an account opened, settled ones included, newest first.
    pub fn account_sessions(&self, account: &Address, from: Option<Location>, limit: u32) -> Result<Page<SessionId>, StoreError> {
        self.page(Index::AccountSession.key(&[&account.0]), from, limit, session_id)
    }

    /// The sessions that were opened on a connector, settled ones included, newest first.
    pub fn connector_sessions(&self, connector: ConnectorId, from: Option<Location>, limit: u32) -> Result<Page<SessionId>, StoreError> {
        self.page(Index::ConnectorSession.key(&[&connector_bytes(connector)]), from, limit, session_id)
    }

    /// Where receipts name a session, newest first.
    pub fn session_history(&self, session: SessionId, from: Option<Location>, limit: u32) -> Result<Page<()>, StoreError> {
        self.page(Index::SessionHistory.key(&[&session.0.0]), from, limit, |_| Some(()))
    }

    /// Where a session was settled; nothing while it is open. Where it was opened is its transaction's place: session and transaction share the id.
    pub fn settlement(&self, session: SessionId) -> Result<Option<Location>, StoreError> {
        self.location(&Index::Settlement.key(&[&session.0.0]))
    }

    fn location(&self, key: &[u8]) -> Result<Option<Location>, StoreError> {
        let value = self.database.get(&self.view, Family::Index, key)?;
        Ok(value.and_then(|bytes| Location::from_bytes(&bytes)))
    }

    fn page<T>(
        &self,
        prefix: Vec<u8>,
        from: Option<Location>,
        limit: u32,
        read: impl Fn(&[u8]) -> Option<T>,
    ) -> Result<Page<T>, StoreError> {
        let limit = limit.clamp(1, PAGE_MAX) as usize;
        let last = Location { height: Height(u64::MAX), index: u32::MAX };
        let start = [prefix.as_slice(), &from.unwrap_or(last).bytes()].concat();
        let mut page = Page { entries: Vec::new(), next: None };
        self.database.each_down(&self.view, Family::Index, &start, |key, value| {
            let Some(location) = key.strip_prefix(prefix.as_slice()).and_then(Location::from_bytes) else { return Ok(Walk::Stop) };
            if page.entries.len() >= limit {
                page.next = Some(location);
                return Ok(Walk::Stop);
            }
            if let Some(entry) = read(&value?) {
                page.entries.push((location, entry));
            }
            Ok::<_, StoreError>(Walk::On)
        })?;
        Ok(page)
    }
}

fn session_id(bytes: &[u8]) -> Option<SessionId> {
    Some(SessionId(Hash32(bytes.try_into().ok()?)))
}

/// Lets `ask` read nodes of the history, and gives its answer or what the database said when it failed.
pub(super) fn with_nodes<T>(
    database: &Database,
    view: &View<'_>,
    ask: impl FnOnce(&dyn Fn(NodePosition) -> Result<Hash32, ReadFault>) -> Result<T, ReadFault>,
) -> Result<T, StoreError> {
    let failed = RefCell::new(None);
    let node_at = |position| {
        let key = node_key(position);
        let node = database.read(view, Family::History, &key);
        let node = node.and_then(|node| node.ok_or_else(|| StoreError::Missing { what: Family::History.describe(&key) }));
        node.map_err(|error| {
            let fault = ReadFault(error.to_string());
            failed.replace(Some(error));
            fault
        })
    };
    let answer = ask(&node_at);
    let failed = failed.take();
    answer.map_err(|fault| failed.unwrap_or_else(|| StoreError::Damaged { what: "the history of headers".to_owned(), why: fault.0 }))
}

/// The state at this moment, for the pure functions of `contracts`.
impl StateRead for Snapshot<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, ReadFault> {
        Ok(self.database.get(&self.view, Family::State, key)?)
    }

    fn scan(&self, from: &[u8], to: &[u8], limit: u32) -> Result<Vec<KeyValue>, ReadFault> {
        let mut found = Vec::new();
        self.database.each(&self.view, Family::State, from, |key, value| {
            if key >= to || found.len() >= limit as usize {
                return Ok(Walk::Stop);
            }
            found.push((key.to_vec(), value?));
            Ok::<_, StoreError>(Walk::On)
        })?;
        Ok(found)
    }
}

impl std::fmt::Debug for Snapshot<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Snapshot").field("tip", &self.present.tip).finish_non_exhaustive()
    }
}
