//! What the node keeps: blocks, certificates, receipts, state, history, indexes and undecided proposals, in RocksDB.
//!
//! One writer ([`Store`], owned by the application's thread) and any number of readers ([`Snapshot`]). A block enters in one synced batch with everything
//! that belongs to it, so that a crash leaves either all of it or nothing. No rule of the ledger is here, and nothing here executes.
//! The gateway's samples are in a database of their own. Called by `app`; everybody else reads through the snapshots that `app` gives.

mod check;
mod db;
mod files;
mod history;
mod index;
mod snapshot;

use std::{
    fs, io,
    path::Path,
    sync::{Arc, RwLock},
};

use chain::{
    block::{Block, Header},
    certificate::{CommitCertificate, ValidatorSet},
    crypto::Signature,
    hash::Hash32,
    history::{History, NodePosition},
    id::{Address, ChainId, Height},
    receipt::Receipt,
    state::{Change, MemoryState},
    time::Timestamp,
    tree::Tree,
};
use contracts::{
    execute::{Executed, Parent},
    genesis::Genesis,
};
use serde::{Deserialize, Serialize};

pub use self::{
    db::StoreError,
    index::Location,
    snapshot::{PAGE_MAX, Page, Snapshot},
};
use self::{
    db::{Create, Database, Family, Walk, height_key},
    index::Digests,
};

/// The layout of the database that this program writes and reads.
pub const SCHEMA_VERSION: u32 = 1;

const META_SCHEMA: &[u8] = b"schema";
const META_CHAIN: &[u8] = b"chain";
const META_TIP: &[u8] = b"tip";
pub(crate) const META_INDEX: &[u8] = b"index";
const META_GENESIS_TIME: &[u8] = b"genesis time";
const META_VALIDATORS: &[u8] = b"validators ";
const META_FIRST_VALIDATORS: &[u8] = b"first validators";

/// The last committed block; genesis is height 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct StoredTip {
    /// Its height.
    pub height: Height,
    /// Its header's hash; of genesis, the chain id's bytes.
    pub hash: Hash32,
    /// Its timestamp.
    pub timestamp: Timestamp,
}

/// What readers need of the newest block beside the database.
#[derive(Clone, Debug)]
pub struct Present {
    /// The last committed block.
    pub tip: StoredTip,
    /// Its header; nothing before the first block.
    pub header: Option<Header>,
    /// The tree of its state.
    pub tree: Tree,
}

/// A stored proposal: a block that may be voted for.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Undecided {
    /// The height that it is for.
    pub height: Height,
    /// The round that it was proposed in.
    pub round: u32,
    /// Who proposed it.
    pub proposer: Address,
    /// Its header's hash.
    pub hash: Hash32,
    /// The proposer's signature of the block as it was sent; none where it is this node's own or came by synchronisation.
    pub signature: Option<Signature>,
    /// The encoded block.
    pub bytes: Vec<u8>,
}

/// Where readers find database and present; cheap to clone.
#[derive(Clone, Debug)]
pub struct Reader {
    database: Arc<Database>,
    present: Arc<RwLock<Arc<Present>>>,
}

/// The single writer.
#[derive(Debug)]
pub struct Store {
    reader: Reader,
    digests: Digests,
}

/// What was found at start.
#[derive(Debug)]
pub struct Opened {
    /// The writer.
    pub store: Store,
    /// The whole state, which execution reads.
    pub state: MemoryState,
    /// Its tree, compared with the newest header.
    pub tree: Tree,
    /// What the next block builds on.
    pub parent: Parent,
    /// Proposals for the next height.
    pub undecided: Vec<Undecided>,
    /// What was wrong and has been made again: indexes and entries of the history, by name.
    pub rebuilt: Vec<String>,
}

impl Store {
    /// Opens the database in `path`, or makes it from genesis where there is none, and checks everything in it.
    ///
    /// # Errors
    /// [`StoreError`]: another schema or chain, a damaged file, a changed or missing value (named). Wrong indexes are made again and named.
    pub fn open(path: &Path, genesis: &Genesis) -> Result<Opened, StoreError> {
        if files::is_empty(path)? {
            make(path, genesis)?;
        }
        let database = Database::open(path, Create::Never)?;
        check_schema(&database)?;
        let expected = genesis.chain_id();
        let found: ChainId = required(&database, &database.view(), META_CHAIN)?;
        if found != expected {
            return Err(StoreError::WrongChain { found: found.to_string(), expected: expected.to_string() });
        }
        check::open_checked(database, genesis)
    }

    /// For readers, on any thread.
    #[must_use]
    pub fn reader(&self) -> Reader {
        self.reader.clone()
    }

    /// Makes a proposal durable.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn put_undecided(&self, undecided: &Undecided) -> Result<(), StoreError> {
        let database = &self.reader.database;
        let mut batch = database.batch();
        batch.write(Family::Undecided, &undecided_key(undecided.height, undecided.round, &undecided.hash), undecided)?;
        database.write(batch)
    }

    /// The bytes of a proposal that was made durable and not forgotten since.
    ///
    /// # Errors
    /// [`StoreError`]; one that is not there is missing.
    pub fn undecided_bytes(&self, height: Height, round: u32, hash: &Hash32) -> Result<Vec<u8>, StoreError> {
        let (database, key) = (&self.reader.database, undecided_key(height, round, hash));
        let found: Option<Undecided> = database.read(&database.view(), Family::Undecided, &key)?;
        found.map(|undecided| undecided.bytes).ok_or_else(|| StoreError::Missing { what: Family::Undecided.describe(&key) })
    }

    /// Makes a decided block durable with everything that follows from it, forgets the proposals up to its height, and shows it to readers.
    ///
    /// # Errors
    /// [`StoreError`]; then nothing is changed on disk, and the process must end.
    pub fn commit(&mut self, committed: &Commit<'_>) -> Result<(), StoreError> {
        let Commit { hash, block, bytes, accounts, certificate, executed, parent_history } = committed;
        let database = &self.reader.database;
        let height = block.header.height;
        let mut batch = database.batch();
        batch.put(Family::Blocks, &height_key(height), bytes)?;
        batch.write(Family::Certificates, &height_key(height), *certificate)?;
        batch.write(Family::Receipts, &height_key(height), &executed.receipts)?;
        for (key, value) in &executed.changes {
            match value {
                Some(value) => batch.put(Family::State, key, value)?,
                None => batch.delete(Family::State, key)?,
            }
        }
        let mut history = (*parent_history).clone();
        for (position, node) in history.append(*hash) {
            batch.write(Family::History, &node_key(position), &node)?;
        }
        let mut digests = self.digests.clone();
        let entries = index::entries(*hash, block, accounts, &executed.receipts);
        index::add(&mut batch, &mut digests, &entries, &index::Index::ALL)?;
        batch.write(Family::Meta, META_INDEX, &digests)?;
        batch.write(Family::Meta, &validators_key(&block.header.next_validators), &executed.next.validators)?;
        let tip = StoredTip { height, hash: *hash, timestamp: block.header.timestamp };
        batch.write(Family::Meta, META_TIP, &tip)?;
        forget_undecided(database, &mut batch, height)?;
        database.write(batch)?;
        self.digests = digests;
        self.reader.show(Present { tip, header: Some(block.header), tree: executed.tree.clone() });
        Ok(())
    }
}

/// A decided block and what it does.
#[derive(Debug)]
pub struct Commit<'a> {
    /// The header's hash.
    pub hash: Hash32,
    /// The block.
    pub block: &'a Block,
    /// Its encoding.
    pub bytes: &'a [u8],
    /// The accounts of its transactions, in order.
    pub accounts: &'a [Address],
    /// Who decided it.
    pub certificate: &'a CommitCertificate,
    /// What it does.
    pub executed: &'a Executed,
    /// The history before it.
    pub parent_history: &'a History,
}

impl Reader {
    /// Opens a database that no node is using, for reading alone and without the checks of a start: who reads finds the damage.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let database = Database::open(path, Create::Never)?;
        check_schema(&database)?;
        let view = database.view();
        let tip: StoredTip = required(&database, &view, META_TIP)?;
        drop(view);
        Ok(Self::new(database, Present { tip, header: None, tree: Tree::new() }))
    }

    /// The chain whose database it is.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn chain_id(&self) -> Result<ChainId, StoreError> {
        required(&self.database, &self.database.view(), META_CHAIN)
    }

    fn new(database: Database, present: Present) -> Self {
        Self { database: Arc::new(database), present: Arc::new(RwLock::new(Arc::new(present))) }
    }

    /// What is newest.
    #[must_use]
    pub fn present(&self) -> Arc<Present> {
        // A poisoned lock still holds a whole value: it is only ever replaced.
        Arc::clone(&self.present.read().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    fn show(&self, present: Present) {
        *self.present.write().unwrap_or_else(std::sync::PoisonError::into_inner) = Arc::new(present);
    }

    /// A consistent view of the newest block and everything before it; it holds old values back from compaction, so drop it soon.
    ///
    /// # Errors
    /// [`StoreError`] where the database fails.
    pub fn snapshot(&self) -> Result<Snapshot<'_>, StoreError> {
        loop {
            let present = self.present();
            let view = self.database.view();
            let tip: StoredTip = required(&self.database, &view, META_TIP)?;
            if tip == present.tip {
                return Ok(Snapshot::new(&self.database, view, present));
            }
            // A block is written and not shown yet, or was shown since: a matter of microseconds.
            std::thread::yield_now();
        }
    }
}

fn check_schema(database: &Database) -> Result<(), StoreError> {
    let view = database.view();
    match database.get_raw(&view, Family::Meta, META_SCHEMA)? {
        None => Ok(()),
        Some(found) => {
            // The number is readable even where its checksum is another version's.
            let found: u32 = db::decode(Family::Meta, META_SCHEMA, &db::strip_seal(found)).unwrap_or(0);
            if found == SCHEMA_VERSION {
                return Ok(());
            }
            Err(StoreError::Schema { path: database.path().display().to_string(), found: found.to_string(), expected: SCHEMA_VERSION })
        }
    }
}

/// Makes the database beside its place and moves it there when the first state is in it: a process that ends before leaves nothing that looks like one.
fn make(path: &Path, genesis: &Genesis) -> Result<(), StoreError> {
    let unfinished = path.with_extension("unfinished");
    let failed = |error: io::Error| StoreError::Database { path: path.display().to_string(), message: error.to_string() };
    match fs::remove_dir_all(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        Ok(()) | Err(_) => {}
    }
    let database = Database::open(&unfinished, Create::IfMissing)?;
    begin(&database, genesis)?;
    // Closed before it is moved.
    drop(database);
    fs::rename(&unfinished, path).map_err(failed)?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::File::open(parent).and_then(|parent| parent.sync_all()).map_err(failed)
}

/// Writes the first state.
fn begin(database: &Database, genesis: &Genesis) -> Result<(), StoreError> {
    let chain_id = genesis.chain_id();
    let changes = genesis.state().map_err(|error| StoreError::Place(format!("the genesis document: {error}")))?;
    let validators = genesis.validator_set().map_err(|error| StoreError::Place(format!("the genesis document: {error}")))?;
    let mut batch = database.batch();
    batch.write(Family::Meta, META_SCHEMA, &SCHEMA_VERSION)?;
    batch.write(Family::Meta, META_CHAIN, &chain_id)?;
    batch.write(Family::Meta, META_GENESIS_TIME, &genesis.timestamp)?;
    batch.write(Family::Meta, META_INDEX, &Digests::new())?;
    batch.write(Family::Meta, META_TIP, &StoredTip { height: Height(0), hash: chain_id.0, timestamp: genesis.timestamp })?;
    batch.write(Family::Meta, &validators_key(&validators.hash()), &validators)?;
    batch.write(Family::Meta, META_FIRST_VALIDATORS, &validators.hash())?;
    for (key, value) in &changes {
        if let Some(value) = value {
            batch.put(Family::State, key, value)?;
        }
    }
    database.write(batch)
}

fn required<T: Serialize + serde::de::DeserializeOwned>(database: &Database, view: &db::View<'_>, key: &[u8]) -> Result<T, StoreError> {
    database.read(view, Family::Meta, key)?.ok_or_else(|| StoreError::Missing { what: Family::Meta.describe(key) })
}

/// Deletes a height's proposals one by one; there are none of earlier heights. A deleted range from the first key on, one a block, would nest in all later ones, and
/// RocksDB's memory for nested ranges grows with the square of their number: 530 MB at the start of a node with 2,800 blocks.
fn forget_undecided(database: &Database, batch: &mut db::Batch<'_>, height: Height) -> Result<(), StoreError> {
    let last = height_key(height);
    // One that cannot be read is forgotten like any other.
    database.each(&database.view(), Family::Undecided, &last, |key, _| {
        if !key.starts_with(&last) {
            return Ok(Walk::Stop);
        }
        batch.delete(Family::Undecided, key)?;
        Ok::<_, StoreError>(Walk::On)
    })
}

fn undecided_key(height: Height, round: u32, hash: &Hash32) -> Vec<u8> {
    [height.0.to_be_bytes().as_slice(), &round.to_be_bytes(), &hash.0].concat()
}

fn node_key(position: NodePosition) -> [u8; 9] {
    let mut key = [0; 9];
    let bytes = [position.height].into_iter().chain(position.index.to_be_bytes());
    key.iter_mut().zip(bytes).for_each(|(place, byte)| *place = byte);
    key
}

fn validators_key(hash: &Hash32) -> Vec<u8> {
    [META_VALIDATORS, &hash.0].concat()
}
