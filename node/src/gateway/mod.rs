//! The gateway: it connects charging units, keeps their raw samples, and turns what they say into signed transactions.
//!
//! Units come over HTTP ([`docs/unit-protocol.md`](../../../docs/unit-protocol.md)); their keys are in `units.json`. What a unit says is judged by one loop that
//! owns a database of its own: every decision is durable before it acts. Relays close only by committed grants, with the rest of the escrow as a lease; they
//! open at once by the gateway's own judgement. It has no back door: it submits like everyone, with a key that holds the role `Gateway`.
//!
//! It starts no session: cards are answered politely with "refused", because nobody has mandated it. It knows no other part of the node but the application's
//! handle. Started by `lib.rs`, which mounts its routers.
//!
//! Inside: [`units`] who, `http` the wire, `run` the loop, `desk` all connectors, `meter` one session, [`sample`] what is provable, `store` the disk.

mod desk;
mod http;
mod meter;
mod run;
pub mod sample;
mod store;
#[cfg(test)]
mod tests;
pub mod units;

use std::{
    path::Path,
    sync::{Arc, Mutex},
};

use axum::Router;
use chain::{export::Samples, id::SessionId};
use ed25519_dalek::SigningKey;
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
};

pub use self::{
    store::StoreError,
    units::{UNITS_FILE, UnitsError},
};
use crate::{
    app::{AppHandle, Interest},
    clock::Clock,
    config::{BadSetting, GatewayConfig},
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
    /// The node's state or this process.
    #[error("the gateway cannot go on: {0}")]
    State(String),
}

/// The raw samples behind a session's reading; nothing where this gateway has none. The error is for people.
pub type SamplesOf = Arc<dyn Fn(SessionId, u64) -> Result<Option<Samples>, String> + Send + Sync>;

/// A running gateway.
pub struct Gateway {
    /// `/unit/v1/…`, for the units.
    pub units: Router,
    /// The raw samples behind readings, for whoever checks an attestation.
    pub samples: SamplesOf,
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
    if !folder.exists() {
        return Ok(Arc::new(|_, _| Ok(None)));
    }
    Ok(samples_of(Arc::new(store::Store::open(&folder)?)))
}

fn samples_of(store: Arc<store::Store>) -> SamplesOf {
    Arc::new(move |session, sequence| store.samples_of(session, sequence).map_err(|error| error.to_string()))
}

/// Starts the gateway of the node whose data is in `data_dir`, signing with `key`, until `stop` becomes true.
///
/// # Errors
/// [`GatewayError`].
pub fn start(
    data_dir: &Path,
    settings: GatewayConfig,
    key: SigningKey,
    app: AppHandle,
    clock: Clock,
    stop: watch::Receiver<bool>,
) -> Result<Gateway, GatewayError> {
    settings.check()?;
    let starting = Some(clock.work());
    let registry = units::LiveRegistry::open(data_dir)?;
    let store = Arc::new(store::Store::open(&data_dir.join(FOLDER))?);
    // Before the state is read, so that no commit is missed between.
    let commits = app.subscribe(None, Interest::Acts);
    let params = app.snapshot().and_then(|snapshot| snapshot.params()).map_err(|error| GatewayError::State(error.to_string()))?;
    let mut desk = desk::Desk::new(settings, params, Arc::clone(&store));
    for unit in registry.current().iter() {
        desk.add_unit(unit).map_err(|error| GatewayError::State(error.to_string()))?;
    }
    let (asks, receiver) = mpsc::channel(http::ASK_CAPACITY);
    let door = http::Door { units: Arc::new(Mutex::new(registry)), asks, clock: clock.clone() };
    let sender = Sender::new(app.clone(), clock.clone(), key);
    tracing::info!(account = %sender.address(), connectors = desk.connectors().len(), "gateway started");
    let gateway = run::Loop { app, clock, desk, store: Arc::clone(&store), sender, asks: receiver, commits, starting };
    Ok(Gateway { units: http::units(door), samples: samples_of(store), task: tokio::spawn(gateway.run(stop)) })
}
