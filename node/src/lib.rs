//! The node of Commonwatt: the single writer of the chain, storage, consensus, and the doors to the world.
//!
//! Inside: `api`, `gateway` and `scheduler` hold an [`app::AppHandle`] and nothing else of the chain; `consensus` asks `app` through its port; `app` alone
//! writes the `store`. `clock`, `keys` and `telemetry` are leaves. Every task is started here, in [`run`], and ends with it.

pub mod api;
pub mod app;
pub mod clock;
pub mod config;
pub mod data_dir;
pub mod doctor;
pub mod export;
mod files;
pub mod gateway;
pub mod init;
pub mod keys;
pub mod listen;
mod mempool;
pub mod scheduler;
mod seal;
pub mod sender;
mod standing;
pub mod stepped;
pub mod store;
pub mod telemetry;

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, OnceLock},
};

use chain::{
    crypto::address_of,
    export::KeptSamples,
    genesis_kind::NetworkKind,
    hash::Hash32,
    id::{CondominiumId, Height},
    record::Role,
};
use consensus::{BlockTime, ConsensusConfig, ConsensusError, Ended, LostLog, StartError, Voting};
use contracts::genesis::Genesis;
use futures::StreamExt as _;
use tokio::{
    sync::{oneshot, watch},
    task::JoinHandle,
};
use tracing::{info, warn};

use crate::{
    app::{App, AppConfig, LARGEST_JUMP, Limits},
    clock::Clock,
    config::{ApiConfig, Config, ConfigError},
    data_dir::{DataDir, DataDirError},
    keys::{KeyError, KeyName, KeyRing},
    listen::{Addresses, Claim, ListenError},
    sender::Sender,
    standing::Standing,
    stepped::{SteppedClock, SteppedError},
    store::{Opened, Store, StoreError},
};

/// Which program this is: the version, and after the plus a number made of the sources that decide what a node does, the same for whoever builds them.
pub const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "+", env!("COMMONWATT_BUILD"));

/// How a node is run.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// Its data directory.
    pub data: DataDir,
    /// The socket of whoever moves the clock; test federations only.
    pub clock_socket: Option<PathBuf>,
    /// Whether the operator has confirmed this machine's clock.
    pub clock_confirmed: ClockConfirmed,
    /// What is done where the log of consensus is missing or damaged.
    pub lost_log: LostLog,
    /// From when on a validator votes.
    pub voting: Voting,
    /// The way on where the gateway's database is missing.
    pub missing_gateway_database: gateway::MissingDatabase,
}

/// Whether somebody has looked at this machine's clock.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ClockConfirmed {
    /// Nobody: a large jump since the newest block is refused.
    #[default]
    No,
    /// The operator.
    ByOperator,
}

/// Why a node did not start, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The data directory.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The stepped clock.
    #[error(transparent)]
    Stepped(#[from] SteppedError),
    /// A key that genesis does not know.
    #[error(
        "the validator key of this directory, {address}, is not among the validators of its genesis document, of chain {chain_id}. Before a key is touched compare \
         that chain's id with the other operators' (GET /api/v1/status): if theirs is another, genesis.json is wrong: put the federation's back; if it is the same, the \
         key is another's: restore keys/validator.key"
    )]
    NotAValidator {
        /// The key's.
        address: String,
        /// The genesis document's.
        chain_id: String,
    },
    /// A network key that genesis does not bind to the validator.
    #[error(
        "the network key of this directory, {0}, is not the one that its genesis document names beside its validator key: one of the two files is another's: \
         restore keys/network.key and keys/validator.key"
    )]
    OtherNetworkKey(String),
    /// A validator alone that shall watch the others.
    #[error(
        "--rejoin is for a validator among others: this chain has one validator, and nothing is decided without it. Where its log of consensus is lost, make \
         sure that no copy of this node runs anywhere, then start with --new-consensus-log"
    )]
    NobodyToWatch,
    /// A directory of an observer that holds a vote.
    #[error("config.toml says observer = true, but there is a validator's key in {0}: an observer has no vote. Take one of them away")]
    ObserverWithVote(String),
    /// A stepped clock on a chain that is meant.
    #[error("--clock is for test federations: the genesis document of this chain says live")]
    LiveChain,
    /// The machine's clock is far from the newest block.
    #[error("{0}")]
    Clock(String),
    /// An address is taken, or not this machine's.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// Consensus did not start.
    #[error(transparent)]
    ConsensusStart(#[from] StartError),
    /// Consensus ended.
    #[error(transparent)]
    Consensus(#[from] ConsensusError),
    /// The export.
    #[error(transparent)]
    Export(#[from] export::ExportError),
    /// The gateway did not start, or its database cannot be read.
    #[error(transparent)]
    Gateway(#[from] gateway::GatewayError),
    /// A part of the node failed; it stopped before it could do harm.
    #[error("{part} stopped: {message}")]
    Stopped {
        /// Which.
        part: &'static str,
        /// Why.
        message: String,
    },
}

impl NodeError {
    /// Whether what is stored is damaged, missing or older than it was: starting again changes nothing, somebody must restore it.
    #[must_use]
    pub const fn is_damage(&self) -> bool {
        match self {
            Self::Store(error) => error.is_damage(),
            Self::Export(error) => error.is_damage(),
            Self::ConsensusStart(error) => error.is_damage(),
            Self::Gateway(error) => error.is_damage(),
            Self::Consensus(error) => {
                matches!(error, ConsensusError::LogDamaged(_) | ConsensusError::KeyUsedElsewhere { .. } | ConsensusError::Disagrees { .. })
            }
            Self::DataDir(error) => error.is_damage(),
            Self::Config(_)
            | Self::Key(_)
            | Self::Stepped(_)
            | Self::NotAValidator { .. }
            | Self::OtherNetworkKey(_)
            | Self::ObserverWithVote(_)
            | Self::NobodyToWatch
            | Self::LiveChain
            | Self::Clock(_)
            | Self::Listen(_)
            | Self::Stopped { .. } => false,
        }
    }
}

/// Runs a node until `shutdown` resolves, or until a validator that watches has seen enough and is to be started again.
///
/// # Errors
/// [`NodeError`]: it did not start, or a part of it failed.
pub async fn run(options: RunOptions, shutdown: impl Future<Output = ()>) -> Result<Ended, NodeError> {
    let data = &options.data;
    let _lock = data.lock()?;
    let genesis = data.genesis()?;
    let config = Config::read(&data.config_file())?;
    let network_key = keys::read(&KeyName::Network.file(data.path()))?;
    // Where the directory's own chain is another, it is not the key that is wrong.
    let validator = read_validator(&config, data, &genesis, &network_key).map_err(|error| wrong_chain(data, &genesis).unwrap_or(error))?;
    let proposer = validator.as_ref().map(address_of);

    let alone = genesis.validators.len() == 1 && validator.is_some();
    if alone && options.voting == Voting::AfterWatching {
        return Err(NodeError::NobodyToWatch);
    }

    let chain_id = genesis.chain_id();
    let consensus_config = ConsensusConfig {
        directory: data.wal(),
        listen: config.network.listen.clone(),
        peers: config.network.peers.clone(),
        moniker: config.moniker.clone(),
        chain_id,
        validator_key: validator,
        network_key: network_key.clone(),
        lost_log: options.lost_log,
        voting: options.voting,
        block_time: if options.clock_socket.is_some() { BlockTime::Stepped } else { BlockTime::Machine },
    };
    let claims = claim_addresses(&config, &consensus_config)?;
    info!(%chain_id, network = genesis.network, moniker = config.moniker, "opening the database");
    let opened = Store::open(&data.database(), &genesis)?;
    let (tip, newest) = (opened.parent.height, opened.parent.timestamp);
    let voting = consensus::examine_log(&consensus_config, tip).await?;
    if alone && voting == Voting::AfterWatching {
        return Err(NodeError::NobodyToWatch);
    }
    let stepped = connect_clock(&options, genesis.kind, chain_id, tip).await?;
    let clock = stepped.as_ref().map_or_else(Clock::real, SteppedClock::clock);
    require_plausible(&clock, &opened, options.clock_confirmed, alone)?;

    say_who_is_there(&config, &genesis, &network_key);
    let standing = Standing::of(&genesis, &network_key, proposer.is_some() && voting == Voting::AtOnce);

    let fault = |part| move |message| NodeError::Stopped { part, message };
    let app_config = AppConfig { chain_id, proposer, clock: clock.clone(), limits: Limits::default() };
    let App { handle, port, mut ended, stop } = app::start(app_config, opened).map_err(fault(APPLICATION))?;
    let result = async {
        // Nobody moves the time before everybody is there.
        let starting = clock.work();
        let (clock_ended, stepping) = serve_clock(stepped, &handle);
        let (parts_stop, parts_stopping) = watch::channel(false);
        let condominium = genesis.validators.iter().find(|member| Some(member.address) == proposer).map(|member| member.condominium);
        let parts = Parts { options: &options, config: &config, condominium, watches: voting == Voting::AfterWatching };
        let roles = start_roles(&parts, claims.gateway, &handle, &clock, &parts_stopping)?;
        let peers = Arc::new(OnceLock::new());
        let api = serve_api(
            claims.api,
            (&config.api, Hash32(address_of(&network_key).0)),
            &handle,
            clock,
            genesis,
            (roles.queue, roles.samples, roles.metrics, roles.monitor),
            (Arc::clone(&peers), standing),
        )?;
        // Nobody may have taken it while the database was read.
        listen::require_free(NETWORK_LISTEN, claims.network)?;
        let mut consensus = consensus::start(consensus_config, port).await?;
        let _ = peers.set(consensus.peers());
        drop(starting);
        info!(height = %tip, %newest, "ready");

        let result = tokio::select! {
            () = shutdown => {
                info!("stopping");
                Ok(Ended::Stopped)
            }
            failed = roles.failed => Err(failed),
            result = clock_ended => Err(result.map_or(NodeError::Stepped(SteppedError::Closed), NodeError::Stepped)),
            result = end_of(&mut ended, &mut consensus) => result,
        };
        if let Some(stepping) = stepping {
            stepping.abort();
        }
        api.abort();
        // Gateway and scheduler stop before the application that they submit to.
        parts_stop.send_replace(true);
        for task in roles.tasks {
            let _ = tokio::time::timeout(PARTS_TIME, task).await;
        }
        // Consensus before it too: it finishes the height under way. Where it has ended itself there is nothing to wait for.
        let consensus_ended =
            matches!(&result, Ok(Ended::Watched(_)) | Err(NodeError::Consensus(_) | NodeError::Stopped { part: CONSENSUS, .. }));
        if consensus_ended {
            return result;
        }
        consensus.stop();
        let last_words = consensus.ended().await;
        result.and(last_words.map_err(NodeError::Consensus))
    }
    .await;
    drop(stop);
    // The application's thread closes the database, also where the rest did not even start: a process that ended under it would crash after its last words.
    if !matches!(&result, Err(NodeError::Stopped { part: APPLICATION, .. })) {
        let _ = tokio::time::timeout(CLOSING_TIME, ended).await;
    }
    result
}

/// The key that votes, where this node has a vote.
fn read_validator(
    config: &Config,
    data: &DataDir,
    genesis: &Genesis,
    network_key: &ed25519_dalek::SigningKey,
) -> Result<Option<ed25519_dalek::SigningKey>, NodeError> {
    let file = KeyName::Validator.file(data.path());
    if config.observer {
        return if file.exists() { Err(NodeError::ObserverWithVote(file.display().to_string())) } else { Ok(None) };
    }
    let validator = keys::read(&file)?;
    let address = address_of(&validator);
    let Some(member) = genesis.validators.iter().find(|member| member.address == address) else {
        return Err(NodeError::NotAValidator { address: address.to_string(), chain_id: genesis.chain_id().to_string() });
    };
    if member.network_key.0 != address_of(network_key).0 {
        return Err(NodeError::OtherNetworkKey(address_of(network_key).to_string()));
    }
    Ok(Some(validator))
}

/// That the database here is of another chain than the genesis document; nothing where there is none, or none that can be read.
fn wrong_chain(data: &DataDir, genesis: &Genesis) -> Option<NodeError> {
    let folder = data.database();
    let found = folder.is_dir().then(|| store::Reader::open(&folder).ok()?.chain_id().ok()).flatten()?;
    let expected = genesis.chain_id();
    (found != expected).then(|| StoreError::WrongChain { found: found.to_string(), expected: expected.to_string() }.into())
}

/// What an operator should know about the federation before it runs.
fn say_who_is_there(config: &Config, genesis: &Genesis, network_key: &ed25519_dalek::SigningKey) {
    if config.observer {
        info!("this node is an observer: it follows and checks the chain without a vote");
    }
    let validators = genesis.validators.len();
    if genesis.validator_set().is_ok_and(|set| set.faults_tolerated() == 0) {
        warn!(validators, "fewer than four validators: no fault is tolerated, the chain stands still while one of them is down");
    }
    let own = consensus::peer_id(network_key).unwrap_or_default();
    let named: Vec<String> = config.network.peers.iter().filter_map(|peer| consensus::peer_id_in(peer).ok()).collect();
    for member in genesis.validators.iter().filter(|_| !config.observer) {
        let Ok(id) = consensus::peer_id_of(&member.network_key.0) else { continue };
        if id != own && !named.contains(&id) {
            warn!(condominium = %member.condominium, peer = id, "a validator whom network.peers in config.toml does not name: this node refuses to speak to it");
        }
    }
}

/// What this node listens on.
struct Claims {
    api: Claim,
    /// Where this node runs a gateway.
    gateway: Option<Claim>,
    /// Tried, and bound by consensus.
    network: SocketAddr,
}

const NETWORK_LISTEN: &str = "network.listen";

fn claim_addresses(config: &Config, consensus: &ConsensusConfig) -> Result<Claims, NodeError> {
    let mut addresses = Addresses::default();
    let network = consensus::listen_address(consensus)?;
    drop(addresses.claim(NETWORK_LISTEN, network)?);
    let api = addresses.claim("api.listen", config.api.listen)?;
    let gateway = config.gateway.enabled.then(|| addresses.claim("gateway.listen", config.gateway.listen)).transpose()?;
    Ok(Claims { api, gateway, network })
}

/// The application as a part of the node, in messages.
const APPLICATION: &str = "application";

/// Consensus as a part of the node, in messages.
const CONSENSUS: &str = "consensus";

/// How long gateway and scheduler may each take to stop: a part that waits for a disk that hangs never does.
const PARTS_TIME: std::time::Duration = std::time::Duration::from_secs(15);

/// How long the database may take to close before the process ends without it, which costs nothing but the log's replay.
const CLOSING_TIME: std::time::Duration = std::time::Duration::from_secs(5);

/// Resolves when the application or consensus ends, which neither does by itself unless something failed or watching is over.
async fn end_of(app: &mut oneshot::Receiver<Result<(), String>>, consensus: &mut consensus::ConsensusHandle) -> Result<Ended, NodeError> {
    let stopped = |message| Err(NodeError::Stopped { part: APPLICATION, message });
    tokio::select! {
        biased;
        result = app => match result {
            Ok(Ok(())) => stopped("it ended unasked".to_owned()),
            Ok(Err(message)) => stopped(message),
            Err(_) => stopped("its thread ended without a word".to_owned()),
        },
        result = consensus.ended() => match result {
            Ok(Ended::Watched(height)) => Ok(Ended::Watched(height)),
            Ok(Ended::Stopped) => Err(NodeError::Stopped { part: CONSENSUS, message: "it ended unasked".to_owned() }),
            Err(error) => Err(NodeError::Consensus(error)),
        },
    }
}

/// Writes the chain of a node that does not run; see [`export::write`].
///
/// # Errors
/// [`NodeError`]: the node runs, or its data cannot be read.
pub fn export_stopped(
    data: &DataDir,
    out: &mut dyn std::io::Write,
    progress: impl FnMut(Height, Height),
) -> Result<export::Written, NodeError> {
    let _lock = data.lock()?;
    let genesis = data.genesis()?;
    let reader = store::Reader::open(&data.database())?;
    let samples = gateway::stored_samples(data.path()).map_err(gateway::GatewayError::Store)?;
    Ok(export::write(&reader, &genesis, &*samples, out, progress)?)
}

/// Those who act for the condominium: the gateway and the scheduler, as far as this node runs them.
struct Roles {
    queue: watch::Receiver<Vec<chain::api::QueueTicket>>,
    samples: api::SamplesOf,
    /// What the gateway counts.
    metrics: gateway::MetricsText,
    /// What its meters show.
    monitor: api::MonitorOf,
    /// Resolves when one of them cannot go on.
    failed: std::pin::Pin<Box<dyn Future<Output = NodeError> + Send>>,
    tasks: Vec<JoinHandle<()>>,
}

/// What gateway and scheduler are started by.
struct Parts<'a> {
    options: &'a RunOptions,
    config: &'a Config,
    /// The one whose validator this node is.
    condominium: Option<CondominiumId>,
    /// It fetches what it may have forgotten, and does not vote yet.
    watches: bool,
}

/// Starts gateway and scheduler, each with a key of its own, until `stop` becomes true; neither where the node watches: who acts on a state that is long past would
/// switch relays by it, and a gateway would take the empty chain of a new disk for a new chain, and its lost database for one that never was.
fn start_roles(
    &Parts { options, config, condominium, watches }: &Parts<'_>,
    door: Option<Claim>,
    handle: &app::AppHandle,
    clock: &Clock,
    stop: &watch::Receiver<bool>,
) -> Result<Roles, NodeError> {
    let data = &options.data;
    let (failures, mut failed) = tokio::sync::mpsc::channel::<NodeError>(2);
    let stopped = |part| move |message| NodeError::Stopped { part, message };
    let mut tasks = Vec::new();
    let warn_without_role = |role, keys: KeyRing| {
        let file = keys.file().to_owned();
        tokio::spawn(Sender::new(handle.clone(), clock.clone(), role, keys, condominium).warn_without_role(file, stop.clone()))
    };
    let (_, mut queue) = watch::channel(Vec::new());
    let door = door.filter(|_| !watches);
    if watches && (config.scheduler.enabled || config.gateway.enabled) {
        info!("gateway and scheduler wait until this node votes again: no lease is given meanwhile");
    }
    if config.scheduler.enabled && !watches {
        let policy = scheduler::plan::Policy::named(&config.scheduler.policy, config.scheduler.places)
            .map_err(|error| stopped("scheduler")(error.to_string()))?;
        let keys = KeyRing::open(KeyName::Scheduler, data.path())?;
        tasks.push(warn_without_role(Role::Scheduler, keys.clone()));
        let scheduler = scheduler::start(policy, (keys, condominium), handle.clone(), clock.clone(), stop.clone());
        queue = scheduler.board;
        tasks.push(watch_over(scheduler.task, stopped("scheduler"), failures.clone()));
    }
    let mut samples: api::SamplesOf = Arc::new(|_, _| Ok(KeptSamples::Unknown));
    let mut metrics: gateway::MetricsText = Arc::new(String::new);
    let mut monitor: api::MonitorOf = Arc::new(|| Ok(Vec::new()));
    if let Some(door) = door {
        let keys = KeyRing::open(KeyName::Gateway, data.path())?;
        tasks.push(warn_without_role(Role::Gateway, keys.clone()));
        let start = gateway::Start {
            data_dir: data.path(),
            settings: config.gateway.clone(),
            keys,
            condominium,
            missing: options.missing_gateway_database,
        };
        let gateway = gateway::start(start, handle.clone(), clock.clone(), stop.clone())?;
        samples = gateway.samples;
        monitor = gateway.monitor;
        tasks.push(watch_over(gateway.task, stopped("gateway"), failures.clone()));
        let address = config.gateway.listen;
        let door = api::Door::new("units", door.listen()?, api::Bounds::UNITS);
        let (counted, refused) = (gateway.metrics, door.refused());
        metrics = Arc::new(move || counted() + &refused_text(refused.get()));
        info!(%address, "the units' door listens");
        let mut stop = stop.clone();
        tasks.push(tokio::spawn(async move {
            let stopping = async move { drop(stop.wait_for(|stop| *stop).await) };
            tokio::select! {
                () = door.serve(gateway.units) => {}
                () = stopping => {}
            }
        }));
    }
    let failed = Box::pin(async move {
        match failed.recv().await {
            Some(error) => error,
            None => std::future::pending().await,
        }
    });
    Ok(Roles { queue, samples, metrics, monitor, failed, tasks })
}

/// Passes on why a part ended, unless it was told to.
fn watch_over<E: std::fmt::Display + Send + 'static>(
    task: JoinHandle<Result<(), E>>,
    stopped: impl FnOnce(String) -> NodeError + Send + 'static,
    failures: tokio::sync::mpsc::Sender<NodeError>,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        let message = match task.await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        let _ = failures.send(stopped(message)).await;
    })
}

/// What scheduler and gateway have to show.
type Shown = (watch::Receiver<Vec<chain::api::QueueTicket>>, api::SamplesOf, gateway::MetricsText, api::MonitorOf);

/// Answers HTTP in a task of its own.
fn serve_api(
    claim: Claim,
    (settings, node): (&ApiConfig, Hash32),
    handle: &app::AppHandle,
    clock: Clock,
    genesis: Genesis,
    (queue, samples, metrics, monitor): Shown,
    (peers, standing): (Arc<OnceLock<watch::Receiver<Vec<consensus::Peer>>>>, Standing),
) -> Result<JoinHandle<()>, NodeError> {
    let address = claim.address();
    let door = api::Door::new("API", claim.listen()?, api::Bounds::of(settings));
    let (reader, document, raw) = (handle.reader(), genesis.clone(), Arc::clone(&samples));
    let export: api::ExportFrom = Arc::new(move |_| {
        let raw = Arc::clone(&raw);
        export::stream(reader.clone(), document.clone(), move |session, sequence| raw(session, sequence)).boxed()
    });
    let state = api::ApiState {
        app: handle.clone(),
        clock,
        genesis: Arc::new(genesis),
        queue,
        samples,
        monitor,
        export,
        consensus_metrics: Arc::new(move || {
            let seen = |peers: &[consensus::Peer]| consensus::peer_metrics_text(peers) + &standing.metrics_text(peers);
            let peers = peers.get().map(|peers| seen(&peers.borrow())).unwrap_or_default();
            metrics() + &peers + &consensus::metrics_text()
        }),
        metrics: Arc::default(),
        shared: Arc::new(api::Shared::new(settings, node)),
    };
    info!(%address, "the API listens");
    let door = door.counted_by(state.metrics.refused_connections());
    Ok(tokio::spawn(door.serve(api::router(state))))
}

/// What the units' door has refused, in Prometheus' text form.
fn refused_text(refused: u64) -> String {
    const NAME: &str = "commonwatt_gateway_connections_refused";
    format!(
        "# HELP {NAME} Connections that were closed at once because there were too many.\n# TYPE {NAME} counter\n{NAME}_total {refused}\n"
    )
}

async fn connect_clock(
    options: &RunOptions,
    kind: NetworkKind,
    chain_id: chain::id::ChainId,
    tip: Height,
) -> Result<Option<SteppedClock>, NodeError> {
    let Some(socket) = &options.clock_socket else { return Ok(None) };
    match kind {
        NetworkKind::Live => Err(NodeError::LiveChain),
        NetworkKind::Test => Ok(Some(SteppedClock::connect(socket, chain_id, tip).await?)),
    }
}

/// Obeys the stepped clock's socket in a task of its own; without one the receiver never resolves.
fn serve_clock(
    stepped: Option<SteppedClock>,
    handle: &app::AppHandle,
) -> (impl Future<Output = Option<SteppedError>> + use<>, Option<tokio::task::JoinHandle<()>>) {
    let (sender, receiver) = oneshot::channel();
    let handle = handle.clone();
    let task = stepped.map(|stepped| {
        tokio::spawn(async move {
            let ended = stepped.serve(handle).await.err();
            let _ = sender.send(ended);
        })
    });
    let stepped = task.is_some();
    let ended = async move { if stepped { receiver.await.ok().flatten() } else { std::future::pending().await } };
    (ended, task)
}

/// A node alone has nobody to ask for the time: after a long silence, or before its own newest block, somebody must look at the clock.
/// Among others their blocks will tell.
fn require_plausible(clock: &Clock, opened: &Opened, confirmed: ClockConfirmed, alone: bool) -> Result<(), NodeError> {
    let (now, newest) = (clock.now(), opened.parent.timestamp);
    if clock.is_stepped() || opened.parent.height == Height(0) {
        return Ok(());
    }
    if now < newest.saturating_sub(app::BEHIND) {
        return Err(NodeError::Clock(app::behind(now, newest)));
    }
    if now <= newest.saturating_add(LARGEST_JUMP) || !alone {
        return Ok(());
    }
    match confirmed {
        ClockConfirmed::ByOperator => {
            warn!(%now, %newest, "more than an hour has passed since the newest block: the operator has confirmed the clock");
            Ok(())
        }
        ClockConfirmed::No => Err(NodeError::Clock(format!(
            "this machine's clock shows {now}, more than an hour after the newest block, {height} of {newest}. Where the node ran since then, an older copy of its data directory was put back: restore the newest one, or \
             everything since is lost. Where it stood still and the clock is right, start again with --confirm-clock",
            height = opened.parent.height,
        ))),
    }
}
