//! The gateway's own database: what units have said and what the gateway has decided, apart from the chain's.
//!
//! Every decision is here, synced, before anybody acts on it, so that a process killed at any moment goes on exactly where it was. Samples are kept as they
//! came; readings name the range of samples behind them. It decides nothing. Called by the gateway's desk and by those who serve sample proofs.

use std::path::{Path, PathBuf};

use chain::{
    codec,
    export::Samples,
    hash::Hash32,
    id::{ConnectorId, SessionId},
    quantity::{Cost, WattHours},
    time::Timestamp,
};
use contracts::call::Reading;
use firmware_core::{DeviceId, Seen};
use rocksdb::{
    ColumnFamily, ColumnFamilyDescriptor, DB, DBCompressionType, DBRecoveryMode, Direction, IteratorMode, Options, WriteBatch, WriteOptions,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::sample::{RawSample, SAMPLE_BYTES};

/// The version of this layout; another one is refused.
const SCHEMA_VERSION: u32 = 1;

/// The most that one record may measure, in bytes.
const MAX_RECORD_BYTES: usize = 64 << 10;

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
}

impl Table {
    const ALL: [Self; 6] = [Self::Meta, Self::Units, Self::Samples, Self::Books, Self::Salts, Self::Readings];

    const fn name(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::Units => "units",
            Self::Samples => "samples",
            Self::Books => "books",
            Self::Salts => "salts",
            Self::Readings => "readings",
        }
    }
}

/// Why the gateway's database does not answer; the gateway stops.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the gateway's database in {path}: {message}")]
pub struct StoreError {
    /// Where.
    pub path: PathBuf,
    /// RocksDB's words, or what is wrong with a record.
    pub message: String,
}

/// A session's metering, as far as it is decided.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Book {
    /// Of which session.
    pub session: SessionId,
    /// The salt of its samples' leaves.
    pub salt: Hash32,
    /// The sequence number of the last decided reading; 0 before the first.
    pub decided: u64,
    /// The first decided register.
    pub start: Option<WattHours>,
    /// The time and register of the last decided reading.
    pub last: Option<(Timestamp, WattHours)>,
    /// The exact cost up to it, as the chain will bill it.
    pub cost: Cost,
    /// The index of the first sample that is in no reading yet.
    pub next_leaf: u64,
    /// What is known of the vehicle.
    pub vehicle: Vehicle,
    /// Why no more current may flow, if that is decided.
    pub ending: Ending,
    /// Whether nothing is left to be metered.
    pub finished: bool,
    /// Whether the meter can no longer be believed: nothing more is attested.
    pub frozen: bool,
}

/// What is known of a vehicle since its session began.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct Vehicle {
    /// A plug was seen.
    pub plugged: bool,
    /// It has drawn power.
    pub charged: bool,
    /// The most power that it drew, in W.
    pub peak_w: u16,
    /// The power that it drew last, if it was not zero, in W.
    pub last_w: u16,
    /// Since when it takes nothing although it could.
    pub zero_since: Option<Timestamp>,
}

/// Why the gateway lets no more current flow.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub enum Ending {
    /// It does.
    #[default]
    None,
    /// The vehicle is full or gone; a reading says so.
    Vehicle,
    /// The escrow is spent; a reading shows it.
    Money,
    /// Something is wrong, since then; to be reported.
    Fault(chain::record::Fault, Timestamp),
}

impl Book {
    /// The book of a session of which nothing is metered yet.
    #[must_use]
    pub fn new(session: SessionId, salt: Hash32, next_leaf: u64) -> Self {
        Self {
            session,
            salt,
            decided: 0,
            start: None,
            last: None,
            cost: Cost::ZERO,
            next_leaf,
            vehicle: Vehicle::default(),
            ending: Ending::None,
            finished: false,
            frozen: false,
        }
    }
}

/// A reading that was decided, and what it rests on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DecidedReading {
    /// What is attested.
    pub reading: Reading,
    /// The index of the first sample behind it.
    pub first_leaf: u64,
    /// The index after the last one.
    pub end_leaf: u64,
    /// The session's exact cost with it.
    pub cost: Cost,
}

/// What was seen of a unit, and when it was last heard.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
struct UnitRow {
    boot: u32,
    counter: u32,
    sample: u32,
    tap: u16,
    heard_at: Timestamp,
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

    /// What was seen of a unit at an instant.
    pub fn seen(&mut self, device: DeviceId, seen: &Seen, heard_at: Timestamp) {
        let Seen { boot, counter, sample, tap } = *seen;
        self.put(Table::Units, device.0.to_be_bytes().to_vec(), &UnitRow { boot, counter, sample, tap, heard_at });
    }

    /// Samples of a connector, the first of them with this index.
    pub fn samples(&mut self, connector: ConnectorId, first: u64, samples: &[RawSample]) {
        let mut bytes = Vec::with_capacity(samples.len().saturating_mul(SAMPLE_BYTES));
        for sample in samples {
            bytes.extend_from_slice(&sample.encode());
        }
        self.puts.push((Table::Samples, sample_key(connector, first), Some(bytes)));
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
type Message = (u64, Box<[u8]>);

/// The database.
#[derive(Debug)]
pub struct Store {
    db: DB,
    path: PathBuf,
}

impl Store {
    /// Opens the database in `path`, or makes one. RocksDB's lock keeps a second process out.
    ///
    /// # Errors
    /// [`StoreError`], also for another schema version.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let failed = |message: String| StoreError { path: path.to_owned(), message };
        let mut options = Options::default();
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        // A record torn by a crash was never acknowledged; a changed byte elsewhere in the log is damage: opening past it would forget counters, and with
        // them which messages were seen before.
        options.set_wal_recovery_mode(DBRecoveryMode::TolerateCorruptedTailRecords);
        options.set_paranoid_checks(true);
        options.set_keep_log_file_num(2);
        options.set_max_total_wal_size(32 << 20);
        let tables = Table::ALL.map(|table| {
            let mut options = Options::default();
            options.set_compression_type(DBCompressionType::Lz4);
            ColumnFamilyDescriptor::new(table.name(), options)
        });
        let db = DB::open_cf_descriptors(&options, path, tables).map_err(|error| {
            failed(format!("{}; restore the directory from a backup, or, once no session is open, move it away", error.into_string()))
        })?;
        let store = Self { db, path: path.to_owned() };
        match store.get::<u32>(Table::Meta, b"schema")? {
            Some(SCHEMA_VERSION) => {}
            Some(found) => {
                return Err(store.failed(format!(
                    "schema {found}, this program needs {SCHEMA_VERSION}: run the version that wrote it, or move the directory away once no session is open"
                )));
            }
            None => {
                let mut write = Write::default();
                write.put(Table::Meta, b"schema".to_vec(), &SCHEMA_VERSION);
                store.write(write)?;
            }
        }
        Ok(store)
    }

    /// Makes changes durable: they are on the disk when this returns.
    ///
    /// # Errors
    /// [`StoreError`]; none of the changes is made then.
    pub fn write(&self, write: Write) -> Result<(), StoreError> {
        let mut batch = WriteBatch::default();
        for (table, key, value) in write.puts {
            match value {
                Some(value) => batch.put_cf(self.family(table), key, value),
                None => batch.delete_cf(self.family(table), key),
            }
        }
        let mut options = WriteOptions::default();
        options.set_sync(true);
        self.db.write_opt(batch, &options).map_err(|error| self.failed(error.into_string()))
    }

    /// What was seen of a unit, and when it was last heard.
    ///
    /// # Errors
    /// [`StoreError`], here and below.
    pub fn unit(&self, device: DeviceId) -> Result<Option<(Seen, Timestamp)>, StoreError> {
        let row = self.get::<UnitRow>(Table::Units, &device.0.to_be_bytes())?;
        Ok(row.map(|UnitRow { boot, counter, sample, tap, heard_at }| (Seen { boot, counter, sample, tap }, heard_at)))
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
            let (key, bytes) = row.map_err(|error| self.failed(error.into_string()))?;
            let Some(first) = index_of(connector, &key).filter(|first| *first < to) else { break };
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
        match self.db.iterator_cf(self.family(Table::Samples), mode).next() {
            Some(Ok((key, bytes))) => Ok(index_of(connector, &key).map(|first| (first, bytes))),
            Some(Err(error)) => Err(self.failed(error.into_string())),
            None => Ok(None),
        }
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

    /// The raw samples behind a decided reading; nothing where there is none.
    pub fn samples_of(&self, session: SessionId, sequence: u64) -> Result<Option<Samples>, StoreError> {
        let Some((connector, salt)) = self.salt(session)? else { return Ok(None) };
        let Some(decided) = self.reading(session, sequence)? else { return Ok(None) };
        let samples = self.samples(connector, decided.first_leaf, decided.end_leaf)?;
        Ok(Some(Samples { session, sequence, salt, samples: samples.iter().map(|raw| raw.encode().to_vec()).collect() }))
    }

    fn get<T: DeserializeOwned + Serialize>(&self, table: Table, key: &[u8]) -> Result<Option<T>, StoreError> {
        let bytes = self.db.get_cf(self.family(table), key).map_err(|error| self.failed(error.into_string()))?;
        let decode = |bytes: Vec<u8>| {
            let damaged = |error| self.failed(format!("{} {}: {error}: restore it from a backup", table.name(), hex::encode(key)));
            codec::decode(&bytes, MAX_RECORD_BYTES).map_err(damaged)
        };
        bytes.map(decode).transpose()
    }

    fn family(&self, table: Table) -> &ColumnFamily {
        self.db.cf_handle(table.name()).expect("every table was opened with the database")
    }

    fn failed(&self, message: String) -> StoreError {
        StoreError { path: self.path.clone(), message }
    }
}

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

#[cfg(test)]
mod tests {
    use chain::id::CondominiumId;
    use firmware_core::Sample;

    use super::*;

    #[test]
    fn samples_are_found_by_range_whatever_messages_they_came_in_and_survive_a_reopening() {
        let folder = tempfile::tempdir().unwrap();
        let connector = ConnectorId::new(CondominiumId(1), 7);
        let other = ConnectorId::new(CondominiumId(1), 8);
        let raw = |number: u32| RawSample {
            device: DeviceId(1),
            boot: 1,
            number,
            sample: Sample { at_ms: u64::from(number), ..Sample::default() },
        };
        let all: Vec<_> = (0..20).map(raw).collect();
        {
            let store = Store::open(folder.path()).unwrap();
            for (first, end) in [(0_usize, 3), (3, 4), (4, 14), (14, 20)] {
                let mut write = Write::default();
                write.samples(connector, first as u64, &all[first..end]);
                write.samples(other, first as u64, &all[..1]);
                store.write(write).unwrap();
            }
        }
        let store = Store::open(folder.path()).unwrap();
        for from in 0..20 {
            for to in from..=20 {
                assert_eq!(store.samples(connector, from as u64, to as u64).unwrap(), all[from..to], "{from}..{to}");
            }
        }
        assert_eq!(store.newest_sample(connector).unwrap(), Some((19, all[19])));
        assert_eq!(store.newest_sample(ConnectorId::new(CondominiumId(1), 9)).unwrap(), None);
        assert_eq!(store.newest_sample(ConnectorId::new(CondominiumId(1), 1)).unwrap(), None);
    }
}
