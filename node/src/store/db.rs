//! RocksDB as this node uses it: a few column families whose values each end in a checksum over family, key and value.
//!
//! The checksum finds a value that was rewritten behind our back or moved to another key; RocksDB's own checksums find damaged files. Neither proves that a
//! value is right: the roots in the headers do. Only `store` calls this, and nothing here knows what a value means.

use std::path::{Path, PathBuf};

use chain::{
    codec::{self, CodecError},
    hash::Hash32,
    id::Height,
    state::ReadFault,
};
use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamily, ColumnFamilyDescriptor, DB, DBCompressionType, DBRecoveryMode, Direction, IteratorMode,
    Options, ReadOptions, SnapshotWithThreadMode, WriteBatch, WriteOptions,
};
use serde::{Serialize, de::DeserializeOwned};

use super::files;
use crate::seal;

/// What a stored record of the node may measure at most, in bytes.
pub const MAX_VALUE_BYTES: usize = 16 << 20;

/// What all families together keep of the files in memory, indexes and filters of files among it; the system keeps the rest, as long as it has room.
const CACHE_BYTES: usize = 8 << 20;

/// What all families together keep in memory before it is written to files. It is what a node that has committed for a while holds beside its state.
const WRITE_BUFFER_BYTES: usize = 8 << 20;

/// In what pieces a family takes memory for what is not written to files yet. RocksDB's own measure, a megabyte, would fill the common limit with empty pieces.
const WRITE_PIECE_BYTES: usize = 64 << 10;

/// A family of keys; each is a RocksDB column family.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Family {
    /// Height → block.
    Blocks,
    /// Height → commit certificate.
    Certificates,
    /// Height → receipts.
    Receipts,
    /// State key → record.
    State,
    /// Node of the history → digest.
    History,
    /// What can be derived from blocks and receipts.
    Index,
    /// Proposals that are not decided.
    Undecided,
    /// Schema, chain id, tip, validator sets, digests of the indexes.
    Meta,
}

impl Family {
    /// All of them.
    pub const ALL: [Self; 8] =
        [Self::Blocks, Self::Certificates, Self::Receipts, Self::State, Self::History, Self::Index, Self::Undecided, Self::Meta];

    /// The column family's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Blocks => "blocks",
            Self::Certificates => "certificates",
            Self::Receipts => "receipts",
            Self::State => "state",
            Self::History => "history",
            Self::Index => "index",
            Self::Undecided => "undecided",
            Self::Meta => "meta",
        }
    }

    /// The key in words, for people who must find it.
    #[must_use]
    pub fn describe(self, key: &[u8]) -> String {
        match self {
            Self::Blocks | Self::Certificates | Self::Receipts => match <[u8; 8]>::try_from(key) {
                Ok(bytes) => format!("{} of height {}", self.name(), u64::from_be_bytes(bytes)),
                Err(_) => format!("{} key {}", self.name(), hex::encode(key)),
            },
            Self::Meta => match key.strip_prefix(super::META_VALIDATORS) {
                Some(hash) => format!("validator set {}", hex::encode(hash)),
                None if key.is_ascii() => format!("meta key {}", key.escape_ascii()),
                None => format!("meta key {}", hex::encode(key)),
            },
            Self::State | Self::History | Self::Index | Self::Undecided => format!("{} key {}", self.name(), hex::encode(key)),
        }
    }
}

/// What somebody does whose database is damaged.
const WAY_ON: &str = "restore or resync (put the whole data directory back from a backup and start with --rejoin; or, with other nodes, move db/ away, keep all the \
                      rest, keys/ above all, and start with --rejoin)";

/// Why the database does not answer; every one stops the node.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum StoreError {
    /// A value whose checksum does not match, or whose bytes are no such record.
    #[error("{what} was changed or damaged ({why}): {WAY_ON}")]
    Damaged {
        /// Family and key.
        what: String,
        /// What is wrong.
        why: String,
    },
    /// A value that must be there is not.
    #[error("{what} is missing: {WAY_ON}")]
    Missing {
        /// Family and key.
        what: String,
    },
    /// RocksDB found one of its files damaged or missing, or cannot read it.
    #[error("damaged file {file}: {message}: {WAY_ON}")]
    Corrupt {
        /// The file, as exactly as it is known.
        file: String,
        /// RocksDB's words.
        message: String,
    },
    /// Written by another version of this program.
    #[error(
        "the database in {path} has schema {found}, this program needs {expected}: run the version that wrote it; or, with other nodes, move db/ away, keep all the \
         rest, keys/ above all, and start with --rejoin"
    )]
    Schema {
        /// Where.
        path: String,
        /// What the database says.
        found: String,
        /// What this program writes.
        expected: u32,
    },
    /// Of another chain than the genesis document.
    #[error(
        "the database belongs to chain {found}, genesis.json to {expected}. Ask another node which is right (GET /api/v1/status): if it is {found}, put the federation's \
         genesis.json back, which was exchanged or changed; if it is {expected}, this is another chain's database: move db/ and wal/ away, keep keys/, and start with \
         --rejoin"
    )]
    WrongChain {
        /// The database's.
        found: String,
        /// The genesis document's.
        expected: String,
    },
    /// There is a database where none may be, or none where one must be.
    #[error("{0}")]
    Place(String),
    /// There is no room for what must be written.
    #[error(
        "the database in {path} cannot be written: {message}. The disk is full, or a limit of this process is reached: make room and start again; nothing that was \
         committed is lost"
    )]
    Full {
        /// Where.
        path: String,
        /// RocksDB's words.
        message: String,
    },
    /// The disk is read-only, or the files are another user's: nothing is damaged.
    #[error(
        "the database in {path} cannot be used: {message}. The disk is read-only, or the files belong to another user than the one that runs this node: make it \
         writable and start again; nothing that was committed is lost. A disk that has become read-only by itself is failing: look at the system's log and at your \
         backups first"
    )]
    Barred {
        /// Where.
        path: String,
        /// RocksDB's words.
        message: String,
    },
    /// Any other failure of RocksDB or the disk.
    #[error("the database in {path} failed: {message}")]
    Database {
        /// Where.
        path: String,
        /// RocksDB's words.
        message: String,
    },
}

impl StoreError {
    /// Whether what is stored is damaged or missing, so that starting again changes nothing.
    #[must_use]
    pub const fn is_damage(&self) -> bool {
        match self {
            Self::Damaged { .. } | Self::Missing { .. } | Self::Corrupt { .. } => true,
            Self::Schema { .. }
            | Self::WrongChain { .. }
            | Self::Place(_)
            | Self::Full { .. }
            | Self::Barred { .. }
            | Self::Database { .. } => false,
        }
    }
}

impl From<StoreError> for ReadFault {
    fn from(error: StoreError) -> Self {
        Self(error.to_string())
    }
}

/// The open database.
#[derive(Debug)]
pub struct Database {
    db: DB,
    path: PathBuf,
}

/// A consistent view of all families.
pub type View<'a> = SnapshotWithThreadMode<'a, DB>;

/// Whether a database may be made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Create {
    /// It is made where there is none.
    IfMissing,
    /// It must be there.
    Never,
}

impl Database {
    /// Opens the database in `path`. One is made only where there is nothing at all: RocksDB itself would make a new one over the remains of another.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`], [`StoreError::Database`].
    pub fn open(path: &Path, create: Create) -> Result<Self, StoreError> {
        let empty = files::is_empty(path)?;
        let make = create == Create::IfMissing && empty;
        let mut options = Options::default();
        options.create_if_missing(make);
        options.create_missing_column_families(make);
        // A record torn by a crash was never acknowledged; a changed byte elsewhere in the log is damage, and must not silently cost the blocks after it.
        options.set_wal_recovery_mode(DBRecoveryMode::TolerateCorruptedTailRecords);
        options.set_paranoid_checks(true);
        options.set_max_total_wal_size(64 << 20);
        options.set_keep_log_file_num(4);
        options.set_max_open_files(256);
        options.set_db_write_buffer_size(WRITE_BUFFER_BYTES);
        let mut tables = BlockBasedOptions::default();
        tables.set_block_cache(&Cache::new_lru_cache(CACHE_BYTES));
        tables.set_cache_index_and_filter_blocks(true);
        let families = Family::ALL.iter().map(|family| {
            let mut options = Options::default();
            options.set_compression_type(DBCompressionType::Lz4);
            options.set_write_buffer_size(WRITE_BUFFER_BYTES);
            options.set_arena_block_size(WRITE_PIECE_BYTES);
            options.set_block_based_table_factory(&tables);
            ColumnFamilyDescriptor::new(family.name(), options)
        });
        let db = DB::open_cf_descriptors(&options, path, families).map_err(|error| files::explain(path, &error))?;
        Ok(Self { db, path: path.to_owned() })
    }

    fn family(&self, family: Family) -> Result<&ColumnFamily, StoreError> {
        self.db.cf_handle(family.name()).ok_or_else(|| StoreError::Missing { what: format!("column family {}", family.name()) })
    }

    fn explain(&self, error: &rocksdb::Error) -> StoreError {
        files::explain(&self.path, error)
    }

    /// A consistent view of the present.
    pub fn view(&self) -> View<'_> {
        self.db.snapshot()
    }

    /// One value, its checksum checked and cut off.
    pub fn get(&self, view: &View<'_>, family: Family, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        match self.get_raw(view, family, key)? {
            Some(sealed) => unseal(family, key, sealed).map(Some),
            None => Ok(None),
        }
    }

    /// One value as it is stored, checksum and all: for those who must hand on even what is damaged.
    pub fn get_raw(&self, view: &View<'_>, family: Family, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        view.get_cf(self.family(family)?, key).map_err(|error| self.explain(&error))
    }

    /// One value, decoded.
    pub fn read<T: DeserializeOwned + Serialize>(&self, view: &View<'_>, family: Family, key: &[u8]) -> Result<Option<T>, StoreError> {
        match self.get(view, family, key)? {
            Some(bytes) => decode(family, key, &bytes).map(Some),
            None => Ok(None),
        }
    }

    /// Shows the keys and unsealed values of a family from `from` on, in order, to `each` until it says stop.
    pub fn each<E: From<StoreError>>(
        &self,
        view: &View<'_>,
        family: Family,
        from: &[u8],
        mut each: impl FnMut(&[u8], Result<Vec<u8>, StoreError>) -> Result<Walk, E>,
    ) -> Result<(), E> {
        let options = walk_options();
        let rows = view.iterator_cf_opt(self.family(family)?, options, IteratorMode::From(from, Direction::Forward));
        for row in rows {
            let (key, sealed) = row.map_err(|error| self.explain(&error))?;
            if each(&key, unseal(family, &key, sealed.into_vec()))? == Walk::Stop {
                break;
            }
        }
        Ok(())
    }

    /// The same, downwards from `from`, itself included where it is there.
    pub fn each_down<E: From<StoreError>>(
        &self,
        view: &View<'_>,
        family: Family,
        from: &[u8],
        mut each: impl FnMut(&[u8], Result<Vec<u8>, StoreError>) -> Result<Walk, E>,
    ) -> Result<(), E> {
        let options = walk_options();
        let rows = view.iterator_cf_opt(self.family(family)?, options, IteratorMode::From(from, Direction::Reverse));
        for row in rows {
            let (key, sealed) = row.map_err(|error| self.explain(&error))?;
            if each(&key, unseal(family, &key, sealed.into_vec()))? == Walk::Stop {
                break;
            }
        }
        Ok(())
    }

    /// Makes all of a batch's changes at once; they are on the disk when it returns.
    pub fn write(&self, batch: Batch<'_>) -> Result<(), StoreError> {
        let mut options = WriteOptions::default();
        options.set_sync(true);
        self.db.write_opt(batch.batch, &options).map_err(|error| self.explain(&error))
    }

    /// A batch without changes.
    pub fn batch(&self) -> Batch<'_> {
        Batch { database: self, batch: WriteBatch::default() }
    }

    /// Where the database is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Whoever walks reads most values once, and would drive out of memory what is read often.
fn walk_options() -> ReadOptions {
    let mut options = ReadOptions::default();
    options.fill_cache(false);
    options
}

/// Whether a walk over keys goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Walk {
    /// It does.
    On,
    /// It does not.
    Stop,
}

/// Changes that are made together or not at all.
pub struct Batch<'a> {
    database: &'a Database,
    batch: WriteBatch,
}

impl Batch<'_> {
    /// Sets a value, with its checksum.
    pub fn put(&mut self, family: Family, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        self.batch.put_cf(self.database.family(family)?, key, seal::sealed(family as u8, key, value));
        Ok(())
    }

    /// Sets a value to a record's encoding.
    pub fn write<T: Serialize>(&mut self, family: Family, key: &[u8], record: &T) -> Result<(), StoreError> {
        let bytes = codec::encode(record).map_err(|error| damaged(family, key, &error))?;
        self.put(family, key, &bytes)
    }

    /// Deletes a value, if there is one.
    pub fn delete(&mut self, family: Family, key: &[u8]) -> Result<(), StoreError> {
        self.batch.delete_cf(self.database.family(family)?, key);
        Ok(())
    }

    /// Deletes all keys with `from <= key < to`.
    pub fn delete_range(&mut self, family: Family, from: &[u8], to: &[u8]) -> Result<(), StoreError> {
        self.batch.delete_range_cf(self.database.family(family)?, from, to);
        Ok(())
    }

    /// Bytes collected so far.
    pub fn size(&self) -> usize {
        self.batch.size_in_bytes()
    }
}

impl std::fmt::Debug for Batch<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Batch").field("changes", &self.batch.len()).finish_non_exhaustive()
    }
}

/// A key that sorts by height.
pub fn height_key(height: Height) -> [u8; 8] {
    height.0.to_be_bytes()
}

/// The digest behind a value's checksum.
pub fn digest(family: Family, key: &[u8], value: &[u8]) -> Hash32 {
    seal::digest(family as u8, key, value)
}

fn unseal(family: Family, key: &[u8], sealed: Vec<u8>) -> Result<Vec<u8>, StoreError> {
    let wrong = || StoreError::Damaged { what: family.describe(key), why: "its checksum does not match".to_owned() };
    seal::unsealed(family as u8, key, sealed).ok_or_else(wrong)
}

/// The stored bytes without their checksum, whether it matches or not.
pub fn strip_seal(mut sealed: Vec<u8>) -> Vec<u8> {
    sealed.truncate(sealed.len().saturating_sub(seal::SEAL_BYTES));
    sealed
}

/// A record from its bytes.
pub fn decode<T: DeserializeOwned + Serialize>(family: Family, key: &[u8], bytes: &[u8]) -> Result<T, StoreError> {
    codec::decode(bytes, MAX_VALUE_BYTES).map_err(|error| damaged(family, key, &error))
}

fn damaged(family: Family, key: &[u8], error: &CodecError) -> StoreError {
    StoreError::Damaged { what: family.describe(key), why: error.to_string() }
}
