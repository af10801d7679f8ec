//! The gateway: it connects charging units, keeps their raw samples, and turns what they say into signed transactions.
//!
//! Units come over HTTP ([`docs/unit-protocol.md`](../../../docs/unit-protocol.md)); their keys are in `units.json`. What a unit says is judged by one loop that
//! owns a database of its own: every decision is durable before it acts. Relays close only by committed grants, with the rest of the escrow as a lease; they
//! open at once by the gateway's own judgement. It has no back door: it submits like everyone, with a key that holds the role `Gateway`.
//!
//! A card at a unit's reader starts a charge where its owner has granted a mandate (`cards`, `estimate`), or asks its account where that looks unusual (`habit`); the ledger holds the gateway to the mandate.
//! At a point without a switch the first power does (`flow`). It knows no other part of the node but the application's handle. Started by `lib.rs`, which mounts its routers.
//!
//! It holds the limits of groups by itself too (`limits`): what the chain has taken back may still flow for the length of a lease.
//!
//! What its meters show, what it found wrong (`monitor`) and what drivers are likely to need (`estimate`) is there to be looked at (`board`).
//!
//! Inside: [`units`] who, `http` the wire, `pace` how often, `run` the loop, `desk` all connectors, `meter` one session, `held` the leases of a unit, `limits`
//! the rule for groups, [`sample`] what is provable, `store` the disk, `counters` for the operator.

mod board;
mod cards;
mod counters;
mod desk;
mod estimate;
mod flow;
mod habit;
mod held;
mod http;
mod limits;
mod meter;
mod monitor;
mod pace;
mod run;
pub mod sample;
mod store;
#[cfg(test)]
mod tests;
pub mod units;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use axum::Router;
use chain::{
    api::MonitorView,
    export::KeptSamples,
    id::{CondominiumId, ConnectorId, SessionId},
    record::{Key, Role, Signer},
    time::Timestamp,
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
};

use self::store::Create;
pub use self::{
    store::StoreError,
    units::{UNITS_FILE, UnitsError},
};
use crate::{
    app::{AppHandle, Interest},
    clock::Clock,
    config::{BadSetting, GatewayConfig},
    keys::KeyRing,
    sender::Sender,
};

/// The folder of the gateway's database in the node's data directory.
pub const FOLDER: &str = "gateway";

/// Why the gateway does not start, or stops.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// Its own database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The list of units.
    #[error(transparent)]
    Units(#[from] UnitsError),
    /// A setting.
    #[error(transparent)]
    Setting(#[from] BadSetting),
    /// The database is gone although this gateway's key has worked before.
    #[error(
        "gateway_database_missing: the gateway's key has signed {transactions} transactions of this chain, but there is no gateway database in {path}. Restore \
         it from a backup. If it is lost for good, start once with --new-gateway-database: open sessions go on from their last accepted reading; raw samples from \
         before can no longer be shown, and a message of a unit that somebody recorded before could be accepted once more"
    )]
    DatabaseMissing {
        /// Where it should be.
        path: PathBuf,
        /// How often its key has signed.
        transactions: u64,
    },
    /// The node's state or this process.
    #[error("the gateway cannot go on: {0}")]
    State(String),
}

impl GatewayError {
    /// Whether what is stored is damaged or missing: starting again changes nothing, somebody must restore it.
    #[must_use]
    pub const fn is_damage(&self) -> bool {
        match self {
            Self::Store(StoreError::Missing { .. } | StoreError::Damaged { .. } | StoreError::WentBack { .. })
            | Self::DatabaseMissing { .. } => true,
            Self::Store(StoreError::Database { is_corrupt, .. }) => *is_corrupt,
            Self::Store(StoreError::Schema { .. } | StoreError::Barred { .. }) | Self::Units(_) | Self::Setting(_) | Self::State(_) => {
                false
            }
        }
    }
}

/// What to do where the gateway's database is missing although its key has signed transactions of this chain.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum MissingDatabase {
    /// Not to start: somebody may find it.
    #[default]
    Refuse,
    /// To begin with a new one, as the operator has said.
    BeginAnew,
}

/// The raw samples behind a session's reading, as far as this gateway has them. The error is for people.
pub type SamplesOf = Arc<dyn Fn(SessionId, u64) -> Result<KeptSamples, String> + Send + Sync>;

/// What the gateway's units and meters show now, connector by connector. The error is for people.
pub type MonitorOf = Arc<dyn Fn() -> Result<Vec<MonitorView>, String> + Send + Sync>;

/// What the gateway counts, in Prometheus' text form.
pub type MetricsText = Arc<dyn Fn() -> String + Send + Sync>;

/// A running gateway.
pub struct Gateway {
    /// `/unit/v1/…`, for the units, and `/gateway/v1/…`, for managers.
    pub units: Router,
    /// The raw samples behind readings, for whoever checks an attestation.
    pub samples: SamplesOf,
    /// What it counts, for `/metrics`.
    pub metrics: MetricsText,
    /// What its meters show now.
    pub monitor: MonitorOf,
    /// Ends after `stop`, or with the error for which the node must stop.
    pub task: JoinHandle<Result<(), GatewayError>>,
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gateway").finish_non_exhaustive()
    }
}

/// The samples that the gateway of a node that does not run has kept in `data_dir`.
///
/// # Errors
/// [`StoreError`].
pub fn stored_samples(data_dir: &Path) -> Result<SamplesOf, StoreError> {
    let folder = data_dir.join(FOLDER);
    match store::Store::open(&folder, Create::Never) {
        Ok(store) => Ok(samples_of(Arc::new(store))),
        Err(StoreError::Missing { .. }) => Ok(Arc::new(|_, _| Ok(KeptSamples::Unknown))),
        Err(error) => Err(error),
    }
}

/// The database of a gateway that does not run, as a doctor sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Examined {
    /// Its records, each with a seal that matches.
    pub records: u64,
    /// When the unit of each connector was last heard; nothing where it never was.
    pub heard: Vec<(ConnectorId, Option<Timestamp>)>,
}

/// Reads all of the database of a gateway that does not run.
///
/// # Errors
/// [`GatewayError::Store`] with what is damaged, [`GatewayError::Units`].
pub fn examine(data_dir: &Path) -> Result<Examined, GatewayError> {
    let store = store::Store::open(&data_dir.join(FOLDER), Create::Never)?;
    let records = store.check_seals()?;
    let mut heard = Vec::new();
    for unit in units::Registry::load(data_dir)?.iter() {
        heard.push((unit.connector, store.unit(unit.device)?.map(|memory| memory.heard_at)));
    }
    Ok(Examined { records, heard })
}

fn samples_of(store: Arc<store::Store>) -> SamplesOf {
    Arc::new(move |session, sequence| store.samples_of(session, sequence).map_err(|error| error.to_string()))
}

/// What a gateway is started with.
#[derive(Debug)]
pub struct Start<'a> {
    /// The node's data directory.
    pub data_dir: &'a Path,
    /// What the operator chose.
    pub settings: GatewayConfig,
    /// The keys that it signs with.
    pub keys: KeyRing,
    /// The condominium whose validator this node is, if it is one.
    pub condominium: Option<CondominiumId>,
    /// The way on where its database is missing.
    pub missing: MissingDatabase,
}

/// Starts a gateway until `stop` becomes true.
///
/// # Errors
/// [`GatewayError`].
pub fn start(start: Start<'_>, app: AppHandle, clock: Clock, stop: watch::Receiver<bool>) -> Result<Gateway, GatewayError> {
    let Start { data_dir, settings, keys, condominium, missing } = start;
    settings.check()?;
    let starting = Some(clock.work());
    let registry = units::LiveRegistry::open(data_dir)?;
    let sender = Sender::new(app.clone(), clock.clone(), Role::Gateway, keys, condominium);
    // Before the state is read, so that no commit is missed between.
    let commits = app.subscribe(None, Interest::Acts);
    let state = |error: &dyn std::fmt::Display| GatewayError::State(error.to_string());
    let snapshot = app.snapshot().map_err(|error| state(&error))?;
    let params = snapshot.params().map_err(|error| state(&error))?;
    let mut transactions = 0_u64;
    for account in sender.addresses() {
        let signer: Option<Signer> = snapshot.record(&Key::Signer(account)).map_err(|error| state(&error))?;
        transactions = transactions.saturating_add(signer.map_or(0, |signer| signer.nonce));
    }
    drop(snapshot);
    let (store, is_lost) = open_store(&data_dir.join(FOLDER), transactions, missing)?;
    let (records, unread) = store.check_at_start()?;
    tracing::debug!(records, ?unread, "the gateway's database was read");
    let (store, counters) = (Arc::new(store), Arc::new(counters::Counters::default()));
    let pace = pace::Pace::new(&settings);
    let mut desk = desk::Desk::new(settings, params, sender.address(), Arc::clone(&store), Arc::clone(&counters));
    desk.load_cards().map_err(|error| state(&error))?;
    let mut write = store::Write::default();
    for unit in registry.current().iter() {
        desk.add_unit(unit).map_err(|error| state(&error))?;
        if is_lost {
            desk.suppose_lease(unit, clock.now(), &mut write);
        }
    }
    store.write(write)?;
    let monitor = board::monitor(desk.board(), app.clone(), clock.clone());
    let (asks, receiver) = mpsc::channel(http::ASK_CAPACITY);
    let (orders, ordered) = mpsc::channel(cards::ORDER_CAPACITY);
    let order_clock = clock.clone();
    let door = http::Door {
        units: Arc::new(Mutex::new(registry)),
        pace: Arc::new(Mutex::new(pace)),
        asks,
        clock: clock.clone(),
        counters: Arc::clone(&counters),
    };
    tracing::info!(account = %sender.address(), connectors = desk.connectors().len(), "gateway started");
    let gateway = run::Loop { app, clock, desk, store: Arc::clone(&store), sender, asks: receiver, orders: ordered, commits, starting };
    let metrics = Arc::new(move || counters.text());
    let units = http::units(door, cards::route(cards::OrderDoor { orders, clock: order_clock }));
    Ok(Gateway { units, samples: samples_of(store), metrics, monitor, task: tokio::spawn(gateway.run(stop)) })
}

/// Opens the database; tells whether one is lost and a new one was made in its place.
fn open_store(folder: &Path, transactions: u64, missing: MissingDatabase) -> Result<(store::Store, bool), GatewayError> {
    if transactions == 0 {
        return Ok((store::Store::open(folder, Create::IfMissing)?, false));
    }
    match (store::Store::open(folder, Create::Never), missing) {
        (Ok(store), _) => Ok((store, false)),
        (Err(StoreError::Missing { path }), MissingDatabase::Refuse) => Err(GatewayError::DatabaseMissing { path, transactions }),
        (Err(StoreError::Missing { path }), MissingDatabase::BeginAnew) => {
            tracing::warn!(path = %path.display(), transactions, "the gateway begins with a new database, as its operator has said");
            Ok((store::Store::open(folder, Create::IfMissing)?, true))
        }
        (Err(error), _) => Err(error.into()),
    }
}
