//! The gateway's own database: what units have said and what the gateway has decided, apart from the chain's.
//!
//! Every decision is here, synced, before anybody acts on it, so that a process killed at any moment goes on exactly where it was. Samples are kept as they
//! came, until they are older than the operator wants and their session is settled; readings name the range of samples behind them. Every value ends in a seal
//! over table, key and value, so that one that was changed behind our back is named and not believed. It decides nothing. Called by the gateway's desk and by
//! those who serve sample proofs.

mod mark;
mod records;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use chain::{
    codec,
    export::{KeptSamples, Samples},
    hash::Hash32,
    id::{CardId, ConnectorId, SessionId},
    time::Timestamp,
};
use firmware_core::DeviceId;
use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamily, ColumnFamilyDescriptor, DB, DBCompressionType, DBRecoveryMode, Direction, IteratorMode,
    Options, WriteBatch, WriteOptions,
};
use serde::{Serialize, de::DeserializeOwned};

pub use self::records::{Book, DecidedReading, Ending, PointMemory, UnitMemory};
use self::{
    mark::{Mark, MarkError},
    records::UnitRow,
};
use super::{
    cards::CardRow,
    sample::{RawSample, SAMPLE_BYTES},
};
use crate::seal;

/// The version of this layout; another one is refused.
const SCHEMA_VERSION: u32 = 2;

/// The most that one record may measure, in bytes.
const MAX_RECORD_BYTES: usize = 64 << 10;

/// What all tables together keep of their files in memory, and before it is written to files.
const CACHE_BYTES: usize = 2 << 20;
const WRITE_BUFFER_BYTES: usize = 4 << 20;

/// In what pieces a table takes memory for what is not written yet: eight of RocksDB's own measure, a megabyte, would be more than all may have.
const WRITE_PIECE_BYTES: usize = 64 << 10;

/// The largest table that every start reads as a whole, in bytes of its files: the samples of years would keep a start waiting for minutes.
const LARGEST_READ_AT_START: u64 = 64 << 20;

/// What RocksDB keeps in every database that is one.
const MARK_OF_A_DATABASE: &str = "CURRENT";

/// A table; each is a RocksDB column family.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Table {
    /// Schema version.
    Meta,
    /// Device → what was seen of it.
    Units,
    /// Connector and index of the first → samples of one message, one after the other.
    Samples,
    /// Connector → the book of its open session.
    Books,
    /// Session → connector and salt; kept after the settlement.
    Salts,
    /// Session and sequence → the decided reading.
    Readings,
    /// Connector → the index of the first sample that is kept.
    Kept,
    /// Card's binding → its key, or that it was erased.
    Cards,
    /// Connector → what its meter shows beside all sessions.
    Points,
}

impl Table {
    const ALL: [Self; 9] =
        [Self::Meta, Self::Units, Self::Samples, Self::Books, Self::Salts, Self::Readings, Self::Kept, Self::Cards, Self::Points];

    const fn name(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::Units => "units",
            Self::Samples => "samples",
            Self::Books => "books",
            Self::Salts => "salts",
            Self::Readings => "readings",
            Self::Kept => "kept",
            Self::Cards => "cards",
            Self::Points => "points",
        }
    }
}

/// Why the gateway's database does not answer; the gateway stops.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum StoreError {
    /// There is none where one must be.
    #[error("there is no gateway database in {path}")]
    Missing {
        /// Where it should be.
        path: PathBuf,
    },
    /// A value whose seal does not match, or whose bytes are no such record.
    #[error(
        "the gateway's database in {path}: {what} was changed or damaged ({why}): restore the directory from a backup, or move it away and start with \
         --new-gateway-database"
    )]
    Damaged {
        /// Where.
        path: PathBuf,
        /// Table and key.
        what: String,
        /// What is wrong.
        why: String,
    },
    /// Its newest part is gone.
    #[error(
        "the gateway's database in {path} is older than it was: it ends at write {found}, and write {expected} was on the disk. A *.log file in it was deleted or cut \
         short, or older files were put over newer ones. Restore the directory, as a whole, from a backup; or move it away and start with \
         --new-gateway-database: open sessions go on from their last accepted reading, and a message of a unit that somebody recorded could be accepted once more"
    )]
    WentBack {
        /// Where.
        path: PathBuf,
        /// Its newest write.
        found: u64,
        /// The newest that was acknowledged.
        expected: u64,
    },
    /// Written by another version of this program.
    #[error(
        "the gateway's database in {path} has schema {found}, this program needs {SCHEMA_VERSION}: run the version that wrote it, or, once no session is open, \
         move the directory away and start with --new-gateway-database"
    )]
    Schema {
        /// Where.
        path: PathBuf,
        /// What the database says.
        found: String,
    },
    /// The disk is full or read-only, or the files are another user's: nothing is damaged, and nothing must be moved away.
    #[error(
        "the gateway's database in {path} cannot be used: {message}. Nothing in it is damaged: make room and start again, or, where the disk is read-only or another \
         user's, make it writable and start again; nothing that was committed is lost, and nothing that was acknowledged to a unit"
    )]
    Barred {
        /// Where.
        path: PathBuf,
        /// RocksDB's words.
        message: String,
    },
    /// Damaged files, or any other failure of RocksDB or the disk.
    #[error(
        "the gateway's database in {path}: {message}: restore the directory from a backup, or move it away and start with --new-gateway-database"
    )]
    Database {
        /// Where.
        path: PathBuf,
        /// RocksDB's words.
        message: String,
        /// Whether it found a damaged file.
        is_corrupt: bool,
    },
}

/// Whether a database may be made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Create {
    /// It is made where there is none.
    IfMissing,
    /// It must be there.
    Never,
}

/// Changes that become durable together.
#[derive(Default, Debug)]
pub struct Write {
    puts: Vec<(Table, Vec<u8>, Option<Vec<u8>>)>,
}

impl Write {
    /// Whether there is nothing to write.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.puts.is_empty()
    }

    /// What is remembered of a unit.
    pub fn unit(&mut self, device: DeviceId, memory: &UnitMemory) {
        self.put(Table::Units, device.0.to_be_bytes().to_vec(), &UnitRow::from(memory));
    }

    /// Samples of a connector, the first of them with this index.
    pub fn samples(&mut self, connector: ConnectorId, first: u64, samples: &[RawSample]) {
        let mut bytes = Vec::with_capacity(samples.len().saturating_mul(SAMPLE_BYTES));
        for sample in samples {
            bytes.extend_from_slice(&sample.encode());
        }
        self.puts.push((Table::Samples, sample_key(connector, first), Some(bytes)));
    }

    /// Drops the samples of one message, the first of them with this index.
    pub fn drop_samples(&mut self, connector: ConnectorId, first: u64) {
        self.puts.push((Table::Samples, sample_key(connector, first), None));
    }

    /// Samples of a connector are kept from this index on.
    pub fn kept_from(&mut self, connector: ConnectorId, index: u64) {
        self.put(Table::Kept, connector_key(connector), &index);
    }

    /// The book of a connector's open session.
    pub fn book(&mut self, connector: ConnectorId, book: &Book) {
        self.put(Table::Books, connector_key(connector), book);
    }

    /// The session of this connector is settled; its samples stay provable.
    pub fn close(&mut self, connector: ConnectorId) {
        self.puts.push((Table::Books, connector_key(connector), None));
    }

    /// A session's salt.
    pub fn salt(&mut self, session: SessionId, connector: ConnectorId, salt: &Hash32) {
        self.put(Table::Salts, session.0.0.to_vec(), &(connector, *salt));
    }

    /// A decided reading; a later decision under the same number replaces one that the chain refused.
    pub fn reading(&mut self, decided: &DecidedReading) {
        self.put(Table::Readings, reading_key(decided.reading.session, decided.reading.sequence), decided);
    }

    /// What is kept of a card's binding.
    pub fn card(&mut self, card: CardId, row: &CardRow) {
        self.put(Table::Cards, card.0.0.to_vec(), row);
    }

    /// What a connector's meter shows beside all sessions.
    pub fn point(&mut self, connector: ConnectorId, memory: &PointMemory) {
        self.put(Table::Points, connector_key(connector), memory);
    }

    /// Takes a decided reading back.
    pub fn drop_reading(&mut self, session: SessionId, sequence: u64) {
        self.puts.push((Table::Readings, reading_key(session, sequence), None));
    }

    fn put<T: Serialize>(&mut self, table: Table, key: Vec<u8>, record: &T) {
        let bytes = codec::encode(record).expect("our own records have fixed shapes and always encode");
        self.puts.push((table, key, Some(bytes)));
    }
}

/// The samples of one message, one after the other, and the index of the first.
type Message = (u64, Vec<u8>);

/// An old message that may be dropped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OldMessage {
    /// The index of its first sample.
    pub first: u64,
    /// The index after its last one.
    pub end: u64,
    /// When the last one was taken.
    pub taken_at: Timestamp,
}

/// The database.
#[derive(Debug)]
pub struct Store {
    db: DB,
    path: PathBuf,
    /// How far it was written.
    mark: Mark,
}

impl Store {
    /// Opens the database in `path`, or makes one where that is allowed. RocksDB's lock keeps a second process out.
    ///
    /// # Errors
    /// [`StoreError`], also for another schema version.
    pub fn open(path: &Path, create: Create) -> Result<Self, StoreError> {
        let new = !path.join(MARK_OF_A_DATABASE).exists();
        if new && create == Create::Never {
            return Err(StoreError::Missing { path: path.to_owned() });
        }
        if new {
            mark::remove(path).map_err(|error| mark_failure(path, error.into()))?;
        }
        let mut options = Options::default();
        options.create_if_missing(create == Create::IfMissing);
        options.create_missing_column_families(true);
        // A record torn by a crash was never acknowledged; a changed byte elsewhere in the log is damage: opening past it would forget counters, and with
        // them which messages were seen before.
        options.set_wal_recovery_mode(DBRecoveryMode::TolerateCorruptedTailRecords);
        options.set_paranoid_checks(true);
        options.set_keep_log_file_num(2);
        options.set_max_total_wal_size(32 << 20);
        options.set_db_write_buffer_size(WRITE_BUFFER_BYTES);
        let mut tables = BlockBasedOptions::default();
        tables.set_block_cache(&Cache::new_lru_cache(CACHE_BYTES));
        tables.set_cache_index_and_filter_blocks(true);
        let tables = Table::ALL.map(|table| {
            let mut options = Options::default();
            options.set_compression_type(DBCompressionType::Lz4);
            options.set_block_based_table_factory(&tables);
            options.set_arena_block_size(WRITE_PIECE_BYTES);
            ColumnFamilyDescriptor::new(table.name(), options)
        });
        let db = DB::open_cf_descriptors(&options, path, tables).map_err(|error| failure(path, &error))?;
        let newest = db.latest_sequence_number();
        let (mark, expected) = Mark::open(path, newest).map_err(|error| mark_failure(path, error))?;
        if newest < expected {
            return Err(StoreError::WentBack { path: path.to_owned(), found: newest, expected });
        }
        let store = Self { db, path: path.to_owned(), mark };
        store.check_schema()?;
        Ok(store)
    }

    fn check_schema(&self) -> Result<(), StoreError> {
        let schema = |found: String| StoreError::Schema { path: self.path.clone(), found };
        let stored = self.db.get_cf(self.family(Table::Meta), SCHEMA_KEY).map_err(|error| self.failed(&error))?;
        match stored {
            // The layout before had no seals: its record is the number alone.
            Some(bytes) if bytes.len() <= seal::SEAL_BYTES => Err(schema("1".to_owned())),
            Some(_) => match self.get::<u32>(Table::Meta, SCHEMA_KEY)? {
                Some(found) if found != SCHEMA_VERSION => Err(schema(found.to_string())),
                Some(_) | None => Ok(()),
            },
            None => {
                let mut write = Write::default();
                write.put(Table::Meta, SCHEMA_KEY.to_vec(), &SCHEMA_VERSION);
                self.write(write)
            }
        }
    }

    /// Makes changes durable: they are on the disk when this returns.
    ///
    /// # Errors
    /// [`StoreError`]; nobody may act on the changes then, whether they are made or not.
    pub fn write(&self, write: Write) -> Result<(), StoreError> {
        let mut batch = WriteBatch::default();
        for (table, key, value) in write.puts {
            match value {
                Some(value) => batch.put_cf(self.family(table), &key, seal::sealed(table as u8, &key, &value)),
                None => batch.delete_cf(self.family(table), key),
            }
        }
        let mut options = WriteOptions::default();
        options.set_sync(true);
        self.db.write_opt(batch, &options).map_err(|error| self.failed(&error))?;
        // Another write may come between: then the mark is lower than it could be, and never higher.
        self.mark.set(self.db.latest_sequence_number()).map_err(|error| mark_failure(&self.path, error.into()))
    }

    /// What is remembered of a unit.
    ///
    /// # Errors
    /// [`StoreError`], here and below.
    pub fn unit(&self, device: DeviceId) -> Result<Option<UnitMemory>, StoreError> {
        Ok(self.get::<UnitRow>(Table::Units, &device.0.to_be_bytes())?.map(UnitMemory::from))
    }

    /// What a connector's meter has shown beside all sessions; nothing where it was never seen.
    pub fn point(&self, connector: ConnectorId) -> Result<PointMemory, StoreError> {
        Ok(self.get(Table::Points, &connector_key(connector))?.unwrap_or_default())
    }

    /// Reads everything and compares every seal; gives how many records there are.
    pub fn check_seals(&self) -> Result<u64, StoreError> {
        self.check(&Table::ALL)
    }

    /// The same for every table but those whose files are too large for a start; gives how many records were read, and the names of the tables that were not.
    pub fn check_at_start(&self) -> Result<(u64, Vec<&'static str>), StoreError> {
        let size = |table: &Table| {
            let size = self.db.property_int_value_cf(self.family(*table), rocksdb::properties::TOTAL_SST_FILES_SIZE);
            size.map(Option::unwrap_or_default).map_err(|error| self.failed(&error))
        };
        let (mut small, mut large) = (Vec::new(), Vec::new());
        for table in Table::ALL {
            if size(&table)? > LARGEST_READ_AT_START {
                large.push(table.name());
            } else {
                small.push(table);
            }
        }
        Ok((self.check(&small)?, large))
    }

    fn check(&self, tables: &[Table]) -> Result<u64, StoreError> {
        let mut records = 0_u64;
        for table in tables.iter().copied() {
            for entry in self.db.iterator_cf(self.family(table), IteratorMode::Start) {
                let (key, sealed) = entry.map_err(|error| self.failed(&error))?;
                self.unsealed(table, &key, sealed.into_vec())?;
                records = records.saturating_add(1);
            }
        }
        Ok(records)
    }

    /// The newest sample of a connector with its index.
    pub fn newest_sample(&self, connector: ConnectorId) -> Result<Option<(u64, RawSample)>, StoreError> {
        let Some((first, bytes)) = self.message_before(connector, u64::MAX)? else { return Ok(None) };
        let chunks = bytes.chunks_exact(SAMPLE_BYTES);
        let last = u64::try_from(chunks.len()).unwrap_or(u64::MAX).saturating_sub(1);
        let Some(raw) = bytes.chunks_exact(SAMPLE_BYTES).next_back().and_then(RawSample::decode) else { return Ok(None) };
        Ok(Some((first.saturating_add(last), raw)))
    }

    /// The samples of a connector with indexes from `from` to before `to`.
    pub fn samples(&self, connector: ConnectorId, from: u64, to: u64) -> Result<Vec<RawSample>, StoreError> {
        let mut found = Vec::new();
        if from >= to {
            return Ok(found);
        }
        // The message that holds `from` may begin before it.
        let start = self.message_before(connector, from)?.map_or(from, |(first, _)| first);
        let mode = IteratorMode::From(&sample_key(connector, start), Direction::Forward);
        for row in self.db.iterator_cf(self.family(Table::Samples), mode) {
            let (key, sealed) = row.map_err(|error| self.failed(&error))?;
            let Some(first) = index_of(connector, &key).filter(|first| *first < to) else { break };
            let bytes = self.unsealed(Table::Samples, &key, sealed.into_vec())?;
            for (index, chunk) in (first..).zip(bytes.chunks_exact(SAMPLE_BYTES)) {
                if (from..to).contains(&index) {
                    found.extend(RawSample::decode(chunk));
                }
            }
        }
        Ok(found)
    }

    /// The last message whose first sample has an index of at most `index`.
    fn message_before(&self, connector: ConnectorId, index: u64) -> Result<Option<Message>, StoreError> {
        let mode = IteratorMode::From(&sample_key(connector, index), Direction::Reverse);
        self.message(connector, mode)
    }

    fn message(&self, connector: ConnectorId, mode: IteratorMode<'_>) -> Result<Option<Message>, StoreError> {
        let Some(row) = self.db.iterator_cf(self.family(Table::Samples), mode).next() else { return Ok(None) };
        let (key, sealed) = row.map_err(|error| self.failed(&error))?;
        let Some(first) = index_of(connector, &key) else { return Ok(None) };
        Ok(Some((first, self.unsealed(Table::Samples, &key, sealed.into_vec())?)))
    }

    /// The first message of a connector that begins at an index or after it.
    pub fn old_message(&self, connector: ConnectorId, from: u64) -> Result<Option<OldMessage>, StoreError> {
        let mode = IteratorMode::From(&sample_key(connector, from), Direction::Forward);
        let Some((first, bytes)) = self.message(connector, mode)? else { return Ok(None) };
        let count = u64::try_from(bytes.len() / SAMPLE_BYTES).unwrap_or(u64::MAX);
        let last = bytes.chunks_exact(SAMPLE_BYTES).next_back().and_then(RawSample::decode);
        let taken_at = Timestamp::from_ms(last.map_or(0, |raw| raw.sample.at_ms));
        Ok(Some(OldMessage { first, end: first.saturating_add(count), taken_at }))
    }

    /// The index of the first sample of a connector that is kept.
    pub fn kept_from(&self, connector: ConnectorId) -> Result<u64, StoreError> {
        Ok(self.get(Table::Kept, &connector_key(connector))?.unwrap_or_default())
    }

    /// The book of a connector's open session.
    pub fn book(&self, connector: ConnectorId) -> Result<Option<Book>, StoreError> {
        self.get(Table::Books, &connector_key(connector))
    }

    /// A session's connector and salt.
    pub fn salt(&self, session: SessionId) -> Result<Option<(ConnectorId, Hash32)>, StoreError> {
        self.get(Table::Salts, &session.0.0)
    }

    /// A decided reading.
    pub fn reading(&self, session: SessionId, sequence: u64) -> Result<Option<DecidedReading>, StoreError> {
        self.get(Table::Readings, &reading_key(session, sequence))
    }

    /// Everything that is kept of cards' bindings.
    pub fn cards(&self) -> Result<BTreeMap<CardId, CardRow>, StoreError> {
        let mut found = BTreeMap::new();
        for row in self.db.iterator_cf(self.family(Table::Cards), IteratorMode::Start) {
            let (key, sealed) = row.map_err(|error| self.failed(&error))?;
            let bytes = self.unsealed(Table::Cards, &key, sealed.into_vec())?;
            let kept = codec::decode(&bytes, MAX_RECORD_BYTES).map_err(|error| self.damaged(Table::Cards, &key, error.to_string()))?;
            if let Ok(card) = <[u8; 32]>::try_from(&*key) {
                found.insert(CardId(Hash32(card)), kept);
            }
        }
        Ok(found)
    }

    /// The raw samples behind a decided reading.
    pub fn samples_of(&self, session: SessionId, sequence: u64) -> Result<KeptSamples, StoreError> {
        let Some((connector, salt)) = self.salt(session)? else { return Ok(KeptSamples::Unknown) };
        let Some(decided) = self.reading(session, sequence)? else { return Ok(KeptSamples::Unknown) };
        // Asked before and after: a message may be dropped meanwhile.
        let pruned = || Ok::<_, StoreError>(decided.first_leaf < self.kept_from(connector)?.min(decided.end_leaf));
        if pruned()? {
            return Ok(KeptSamples::Pruned);
        }
        let samples = self.samples(connector, decided.first_leaf, decided.end_leaf)?;
        if pruned()? {
            return Ok(KeptSamples::Pruned);
        }
        Ok(KeptSamples::Here(Samples { session, sequence, salt, samples: samples.iter().map(|raw| raw.encode().to_vec()).collect() }))
    }

    fn get<T: DeserializeOwned + Serialize>(&self, table: Table, key: &[u8]) -> Result<Option<T>, StoreError> {
        let Some(sealed) = self.db.get_cf(self.family(table), key).map_err(|error| self.failed(&error))? else { return Ok(None) };
        let bytes = self.unsealed(table, key, sealed)?;
        codec::decode(&bytes, MAX_RECORD_BYTES).map(Some).map_err(|error| self.damaged(table, key, error.to_string()))
    }

    fn unsealed(&self, table: Table, key: &[u8], sealed: Vec<u8>) -> Result<Vec<u8>, StoreError> {
        seal::unsealed(table as u8, key, sealed).ok_or_else(|| self.damaged(table, key, "its checksum does not match".to_owned()))
    }

    fn family(&self, table: Table) -> &ColumnFamily {
        self.db.cf_handle(table.name()).expect("every table was opened with the database")
    }

    fn damaged(&self, table: Table, key: &[u8], why: String) -> StoreError {
        StoreError::Damaged { path: self.path.clone(), what: format!("{} {}", table.name(), hex::encode(key)), why }
    }

    fn failed(&self, error: &rocksdb::Error) -> StoreError {
        failure(&self.path, error)
    }
}

fn mark_failure(path: &Path, error: MarkError) -> StoreError {
    let path = path.to_owned();
    match error {
        MarkError::Damaged => {
            StoreError::Damaged { path, what: format!("the file {}", mark::FILE), why: "its checksum does not match".to_owned() }
        }
        MarkError::Io(error) => {
            let message = format!("{}: {error}", mark::FILE);
            if BARRED.iter().any(|words| message.contains(words)) {
                StoreError::Barred { path, message }
            } else {
                StoreError::Database { path, message, is_corrupt: false }
            }
        }
    }
}

fn failure(path: &Path, error: &rocksdb::Error) -> StoreError {
    let (path, message) = (path.to_owned(), error.to_string());
    if error.kind() == rocksdb::ErrorKind::IOError && BARRED.iter().any(|words| message.contains(words)) {
        return StoreError::Barred { path, message };
    }
    StoreError::Database { path, message, is_corrupt: error.kind() == rocksdb::ErrorKind::Corruption }
}

/// What the system says where a disk has no room or lets nobody write, whatever the files hold.
const BARRED: [&str; 6] =
    ["No space left", "Disk quota", "File too large", "Read-only file system", "Permission denied", "Operation not permitted"];

/// Where the schema version is.
const SCHEMA_KEY: &[u8] = b"schema";

fn connector_key(id: ConnectorId) -> Vec<u8> {
    [id.condominium.0.to_be_bytes(), id.number.to_be_bytes()].concat()
}

fn sample_key(connector: ConnectorId, index: u64) -> Vec<u8> {
    let mut key = connector_key(connector);
    key.extend(index.to_be_bytes());
    key
}

/// The index in a sample's key, if it is one of this connector.
fn index_of(connector: ConnectorId, key: &[u8]) -> Option<u64> {
    let rest = key.strip_prefix(connector_key(connector).as_slice())?;
    rest.try_into().ok().map(u64::from_be_bytes)
}

fn reading_key(session: SessionId, sequence: u64) -> Vec<u8> {
    let mut key = session.0.0.to_vec();
    key.extend(sequence.to_be_bytes());
    key
}
