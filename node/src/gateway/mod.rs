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
mod settings;
mod store;
#[cfg(test)]
mod tests;
pub mod units;

use std::{
    path::Path,
    sync::{Arc, Mutex},
};

use axum::Router;
use ed25519_dalek::SigningKey;
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
};

pub use self::{
    settings::{BadSetting, Settings},
    store::StoreError,
    units::{UNITS_FILE, UnitsError},
};
use crate::{
    app::{AppHandle, Interest},
    clock::Clock,
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

/// A running gateway.
#[derive(Debug)]
pub struct Gateway {
    /// `/unit/v1/…`, for the units.
    pub units: Router,
    /// `/api/v1/sessions/{id}/readings/{sequence}/samples`, for whoever checks an attestation.
    pub samples: Router,
    /// Ends after `stop`, or with the error for which the node must stop.
    pub task: JoinHandle<Result<(), GatewayError>>,
}

/// Starts the gateway of the node whose data is in `data_dir`, signing with `key`, until `stop` becomes true.
///
/// # Errors
/// [`GatewayError`].
pub fn start(
    data_dir: &Path,
    settings: Settings,
    key: SigningKey,
    app: AppHandle,
    clock: Clock,
    stop: watch::Receiver<bool>,
) -> Result<Gateway, GatewayError> {
    settings.check()?;
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
    let gateway = run::Loop { app, clock, desk, store: Arc::clone(&store), sender, asks: receiver, commits };
    Ok(Gateway { units: http::units(door), samples: http::samples(store), task: tokio::spawn(gateway.run(stop)) })
}
