//! Consensus: agreement of the validators on each next block, by Malachite (Tendermint) over libp2p, behind an interface that names neither.
//!
//! This crate is the only place that names the engine. It asks the application through [`ConsensusPort`] for blocks, judgements and commits, and decides nothing
//! about them itself. It never restarts a height and never goes on after a fault: a restart may sign twice, and a validator that signed twice is lost.
//!
//! - `port`: the questions to the application. `context`: the engine's types over those of `chain`; the order of proposers.
//! - `signing`: what is signed, by which domain; `codec`: the bytes of messages and of the write-ahead log.
//! - `engine`: start, stop, network; `log`: examination of the write-ahead log; `driver`: the loop of questions and answers; `stepped`: its
//!   answers one at a time; `watching`: a validator that must not vote yet; `others`, `wake`, `limits`: how far the others are, when they wake this node, how much they may send.
//!
//! Idle is silent: after a commit the engine is told to go on only when the application has work. With one to three validators no fault is tolerated.
//! A crate of its own, so that the engine's generic code is compiled when this changes and not with every edit of the node. `context`, `codec` and `signing` are
//! public for whoever drives the engine's state machine without a network. Called by the node's `lib.rs`, which stops consensus before the application.

pub mod codec;
pub mod context;
mod driver;
mod engine;
mod limits;
mod log;
mod metrics;
mod others;
mod peers;
pub mod port;
pub mod signing;
pub mod stepped;
#[cfg(test)]
mod tests;
mod wake;
mod watching;

use std::{
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use arc_malachitebft_app_channel::app::events::RxEvent;
use chain::{
    hash::Hash32,
    id::{ChainId, Height},
};
use ed25519_dalek::SigningKey;
use tokio::{
    sync::watch,
    task::{JoinError, JoinHandle},
};
use tracing::info;

pub use self::peers::{Peer, metrics_text as peer_metrics_text};
use self::{
    codec::Door,
    driver::Driver,
    signing::{Keys, Signatures},
    watching::Marks,
};
use crate::port::{AppError, ConsensusPort};

/// What the log leaves out unless it is asked for: the engine's network repeats every failed attempt to dial and, for a validator alone, every message that nobody
/// is there to hear, which [`peers`] tells once; and nodes that always send to each other are warned of being asked to.
pub const LOG_EXCEPTIONS: &str = "arc_malachitebft_network=off,libp2p_gossipsub=error";

/// The beginnings of the engine's and its network's log targets, which say some things about a peer again and again.
pub const LOG_REPEATING: &[&str] = &["arc_malachitebft", "libp2p"];

/// With what consensus is started.
#[derive(Clone)]
pub struct ConsensusConfig {
    /// Its own directory, for the write-ahead log; made where it is missing.
    pub directory: PathBuf,
    /// The multiaddress to listen on, `/ip4/<address>/tcp/<port>`; port 0 takes any.
    pub listen: String,
    /// The multiaddresses of the other nodes, each ending in `/p2p/<id>`; nobody else is spoken to.
    pub peers: Vec<String>,
    /// A name for people, in logs, towards peers and as a label of measurements.
    pub moniker: String,
    /// The chain, which every vote names.
    pub chain_id: ChainId,
    /// The key that votes; none for an observer, who follows without a vote. Used by two processes at once it destroys the validator.
    pub validator_key: Option<SigningKey>,
    /// The key of the network's connections.
    pub network_key: SigningKey,
    /// What is done where the log of a chain that has blocks is missing or damaged.
    pub lost_log: LostLog,
    /// From when on it votes.
    pub voting: Voting,
    /// What blocks' times are.
    pub block_time: BlockTime,
}

/// What blocks' times are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum BlockTime {
    /// Those of machines' clocks, within seconds.
    #[default]
    Machine,
    /// Those of a test federation's clock, which somebody moves.
    Stepped,
}

/// From when on a validator votes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Voting {
    /// From the start: its log says what it has voted for.
    #[default]
    AtOnce,
    /// After a height has been decided without it that began after its start, and in a process of its own: for a validator whose disk was replaced or restored,
    /// because what it has voted for before may be forgotten. A log that is missing, damaged or too new for the database is no reason to refuse the start then.
    AfterWatching,
}

/// How consensus ended without a failure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ended {
    /// It was told to.
    Stopped,
    /// A validator that watched may vote: this height began after its start. The process is to be started again; an engine votes from its start or never.
    Watched(Height),
}

/// What is done where the log of consensus is missing or damaged although there are blocks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum LostLog {
    /// Nothing is started: what this validator voted for may be forgotten, and another vote could contradict it.
    #[default]
    Refuse,
    /// The operator has made sure that no vote is out that could be contradicted; a damaged log is set aside.
    BeginNew,
}

impl fmt::Debug for ConsensusConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConsensusConfig")
            .field("directory", &self.directory)
            .field("listen", &self.listen)
            .field("peers", &self.peers)
            .field("moniker", &self.moniker)
            .field("chain_id", &self.chain_id)
            .finish_non_exhaustive()
    }
}

/// Why consensus did not start; nothing was voted on.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address to listen on.
    #[error("cannot listen on {address:?} (network.listen in config.toml): expected a multiaddress such as /ip4/127.0.0.1/tcp/8422")]
    Listen {
        /// As configured.
        address: String,
    },
    /// An address where others shall reach a node.
    #[error("{address:?} is no address of a node: expected a multiaddress such as /ip4/192.0.2.7/tcp/8422 or /dns4/node.example/tcp/8422")]
    Address {
        /// As given.
        address: String,
    },
    /// A peer's address.
    #[error("{address:?} is no peer: expected a multiaddress such as /ip4/192.0.2.7/tcp/8422/p2p/12D3KooW…")]
    Peer {
        /// As configured.
        address: String,
    },
    /// The network's key.
    #[error("the network key cannot be used: {0}")]
    NetworkKey(String),
    /// The directory.
    #[error("cannot use the directory of consensus {}: {message}", path.display())]
    Directory {
        /// Where.
        path: PathBuf,
        /// What the system said.
        message: String,
    },
    /// The log cannot be opened.
    #[error("cannot open the log of consensus {} (does another process use it?): {message}", path.display())]
    LogUnreadable {
        /// Where.
        path: PathBuf,
        /// What the system said.
        message: String,
    },
    /// The log is damaged.
    #[error(
        "the log of consensus {} is damaged in {place}: {message}. A vote of this validator may be missing from it, and voting again could contradict it: \
         restore it; or, with other validators, start with --rejoin; alone, make sure that no copy of this node runs anywhere, then start with \
         --new-consensus-log",
        path.display()
    )]
    LogDamaged {
        /// Where.
        path: PathBuf,
        /// Its head, or which entry, from 0.
        place: String,
        /// What is wrong with it.
        message: String,
    },
    /// There are blocks and no log.
    #[error(
        "the log of consensus {} is missing, but the chain is at height {tip}. What this validator has voted for since may be forgotten with it, and voting \
         again could contradict it: restore the log; or, with other validators, start with --rejoin; alone, make sure that no copy of this node runs \
         anywhere, then start with --new-consensus-log",
        path.display()
    )]
    LogMissing {
        /// Where it should be.
        path: PathBuf,
        /// The database's last block.
        tip: Height,
    },
    /// The database is older than the log.
    #[error(
        "the log of consensus is at height {log}, but the database ends at {tip}: an older copy of the database was restored, or one of its files (db/*.log, \
         db/MANIFEST-*) is missing or cut short. Restore the newest database, or resync: with other validators, keep everything, keys/ above all, and start with \
         --rejoin"
    )]
    DatabaseBehindLog {
        /// The log's height.
        log: Height,
        /// The database's last block.
        tip: Height,
    },
    /// The application did not answer.
    #[error(transparent)]
    App(#[from] AppError),
    /// The engine did not start.
    #[error("the consensus engine did not start: {0}")]
    Engine(String),
}

impl StartError {
    /// Whether the log or the database is damaged, missing or old.
    #[must_use]
    pub const fn is_damage(&self) -> bool {
        match self {
            Self::LogDamaged { .. } | Self::LogMissing { .. } | Self::DatabaseBehindLog { .. } => true,
            Self::Listen { .. }
            | Self::Address { .. }
            | Self::Peer { .. }
            | Self::NetworkKey(_)
            | Self::Directory { .. }
            | Self::LogUnreadable { .. }
            | Self::App(_)
            | Self::Engine(_) => false,
        }
    }
}

/// Why consensus ended; the process must exit with a failure, and whoever supervises it must not restart it blindly on [`ConsensusError::LogDamaged`].
#[derive(Debug, thiserror::Error)]
pub enum ConsensusError {
    /// The application failed or ended.
    #[error(transparent)]
    App(#[from] AppError),
    /// The engine ended by itself.
    #[error("the consensus engine ended: {0}")]
    EngineEnded(String),
    /// The engine never listened.
    #[error("consensus cannot listen on its address: is the port in use?")]
    NotListening,
    /// The log is damaged, or contradicts what this node would do now.
    #[error("the log of consensus is damaged or cannot be written: {0}. This validator stops so that it signs nothing twice")]
    LogDamaged(String),
    /// The disk takes nothing more for the log; what is in it is whole.
    #[error(
        "the log of consensus cannot be written: {0}. This validator stops so that it signs nothing twice: make room and start again, or, where the disk is \
         read-only or another user's, make it writable and start again; nothing that was committed is lost"
    )]
    LogUnwritable(std::io::Error),
    /// The others go on and this node does not.
    #[error(
        "this node has committed nothing for a minute after {tip} although the others are at {others}: it ends so that its supervisor starts it anew. \
         Where that does not help, look at its network and its disk"
    )]
    StandsStill {
        /// This node's last block.
        tip: Height,
        /// The highest block that somebody proved.
        others: Height,
    },
    /// The application or the engine does not answer.
    #[error(
        "this node has waited for a minute for its own database or its log of consensus: its disk hangs or is far too slow. It ends so that its supervisor starts \
         it anew; look at the disk. Nothing that was committed is lost"
    )]
    Silent,
    /// A certificate with a vote of ours that is not ours.
    #[error(
        "the validator key of this node has signed block {height}, and this node, at {tip}, knows nothing of it. Either the same key runs in a second process or \
         directory: stop that one. Or this node's disk was lost, or an older copy of it restored. In any case start this node with --rejoin then, so that it votes \
         again only in heights of which nothing can be forgotten"
    )]
    KeyUsedElsewhere {
        /// The block.
        height: Height,
        /// This node's last block.
        tip: Height,
    },
    /// What is to be known at the next start cannot be noted.
    #[error("the marks beside the log of consensus cannot be changed: {0}")]
    Mark(StartError),
    /// The others decided what this node's rules forbid.
    #[error(
        "the others have decided block {height} ({block}), and it breaks the rules of this node: its program is of another version than theirs, or its data are \
         damaged, or more than a third of the validators lie. It stops, and starting it again does not help: compare `wattd --version` with the other \
         operators, and see \"A node disagrees\" in docs/operate.md"
    )]
    Disagrees {
        /// The height.
        height: Height,
        /// The block.
        block: Hash32,
    },
    /// A certificate that has no form in the chain.
    #[error("the engine decided with a certificate that the chain does not know: {0}")]
    Certificate(String),
    /// The task that answers the engine failed.
    #[error("the task of consensus failed: {0}")]
    Task(#[from] JoinError),
}

/// Running consensus.
#[derive(Debug)]
pub struct ConsensusHandle {
    stop: watch::Sender<bool>,
    task: JoinHandle<Result<Ended, ConsensusError>>,
    peers: watch::Receiver<Vec<Peer>>,
    /// The application ends when nobody can ask it any more, which must not be before somebody has learnt why consensus ended.
    _port: ConsensusPort,
}

impl ConsensusHandle {
    /// Asks consensus to end: it finishes the height under way (at most 2 s) and closes its log (at most 11 s in all). [`Self::ended`] tells when.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// The nodes of the configuration and whether this one is connected to them; looked at every few seconds.
    #[must_use]
    pub fn peers(&self) -> watch::Receiver<Vec<Peer>> {
        self.peers.clone()
    }

    /// Resolves when consensus has ended: without an error after [`Self::stop`], or when watching is over. Cancel-safe; must not be called again after it has
    /// resolved.
    ///
    /// # Errors
    /// [`ConsensusError`]: exit the process.
    pub async fn ended(&mut self) -> Result<Ended, ConsensusError> {
        (&mut self.task).await?
    }
}

/// The address that consensus will listen on.
///
/// # Errors
/// [`StartError::Listen`].
pub fn listen_address(config: &ConsensusConfig) -> Result<SocketAddr, StartError> {
    engine::listen_address(&config.listen)
}

/// Examines the log against the newest block `tip` before anything is started, and gives from when on this validator votes, whatever was asked for: one that was
/// interrupted while it watched goes on watching. [`start`] does so again.
///
/// # Errors
/// [`StartError`].
pub async fn examine_log(config: &ConsensusConfig, tip: Height) -> Result<Voting, StartError> {
    watching::settle(config, tip).await
}

/// Looks at the log against the newest block `tip` and changes nothing; gives whether the next start will watch before it votes.
///
/// # Errors
/// [`StartError`]: the next start would refuse, unless it is told what to do.
pub async fn look_at_log(directory: &Path, tip: Height) -> Result<bool, StartError> {
    watching::look(directory, tip).await
}

/// Starts consensus on the application's last committed block. Needs a tokio runtime with time and input/output.
///
/// # Errors
/// [`StartError`]: nothing runs then.
pub async fn start(config: ConsensusConfig, port: ConsensusPort) -> Result<ConsensusHandle, StartError> {
    let own = peer_id(&config.network_key)?;
    let named = config.peers.iter().map(|peer| Ok(Peer { id: peer_id_in(peer)?, address: peer.clone(), connected: false, moniker: None }));
    let (peers, connected) = watch::channel(named.collect::<Result<Vec<_>, StartError>>()?);
    let life = Life::begin(&config, &port).await?;
    let marks = Marks::in_directory(&config.directory);
    let (stop, stopped) = watch::channel(false);
    let kept = port.clone();
    let task = tokio::spawn(async move {
        let requests = life.engine.channels.net_requests.clone();
        let looking = tokio::spawn(peers::watch(requests, peers, own, config.chain_id.to_string()));
        let ended = life.run(stopped).await;
        looking.abort();
        match ended {
            Ok(Ended::Watched(height)) => marks.end(height).map_err(ConsensusError::Mark)?,
            // Whatever was watched before, somebody has signed since: the next --rejoin is meant.
            Err(ConsensusError::KeyUsedElsewhere { .. }) => marks.remove().map_err(ConsensusError::Mark)?,
            Ok(Ended::Stopped) | Err(_) => {}
        }
        ended
    });
    Ok(ConsensusHandle { stop, task, peers: connected, _port: kept })
}

/// One life of the engine.
struct Life {
    engine: engine::Engine,
    events: RxEvent<context::Context>,
    driver: Driver,
    /// Where the log is.
    directory: PathBuf,
}

impl Life {
    async fn begin(config: &ConsensusConfig, port: &ConsensusPort) -> Result<Self, StartError> {
        let tip = port.tip().await?;
        let validators = port.validators(tip.height.next()).await?;
        let voting = watching::settle(config, tip.height).await?;
        let votes = config.validator_key.clone().filter(|_| voting == Voting::AtOnce);
        let keys = votes.map(|key| Keys::new(config.chain_id, key));
        if let Some(keys) = &keys {
            let signed = log::own_precommits(&log::path_in(&config.directory), keys.address()).await?;
            signed.iter().for_each(|vote| keys.recall(vote));
        }
        let signatures = Signatures::new(config.chain_id);
        let door = Arc::new(Door::new(signatures, tip.height, (&validators).into()));
        let engine = engine::start(config, keys.clone(), validators.members().len(), door.clone()).await?;
        // Subscribed before the engine's first question is answered, so that no word about its log is missed.
        let events = engine.channels.events.subscribe();
        info!(height = %tip.height, peers = config.peers.len(), listen = config.listen, votes = keys.is_some(), "consensus starts");
        let network = engine.channels.network.clone();
        let others = if config.peers.is_empty() { None } else { Some(engine::peer_ids(&config.peers)?) };
        let driver = Driver::new(port.clone(), network, keys, signatures, (tip, validators), others, door).guard_key(config.lost_log);
        let driver = match voting {
            Voting::AtOnce => driver,
            Voting::AfterWatching => {
                info!(
                    "this validator watches, because what it has voted for may be forgotten: when the others have decided a block that began more than 12 s after \
                     this start, it ends with exit code 75 and votes when it is started again"
                );
                driver.watch_first(config.block_time)
            }
        };
        Ok(Self { engine, events, driver, directory: config.directory.clone() })
    }

    async fn run(mut self, stopped: watch::Receiver<bool>) -> Result<Ended, ConsensusError> {
        let result = self.driver.run(&mut self.engine, self.events, stopped).await;
        self.engine.stop().await;
        match result {
            // The engine tells a disk that is full in the same way as one that lies.
            Err(error @ ConsensusError::LogDamaged(_)) => Err(log::barred(&self.directory).map_or(error, ConsensusError::LogUnwritable)),
            result => result,
        }
    }
}

/// The name in the network of whoever holds this key, for the `/p2p/<id>` at the end of a peer's multiaddress.
///
/// # Errors
/// [`StartError::NetworkKey`].
pub fn peer_id(network_key: &SigningKey) -> Result<String, StartError> {
    engine::peer_id(network_key)
}

/// As [`peer_id`], from the public key.
///
/// # Errors
/// [`StartError::NetworkKey`].
pub fn peer_id_of(network_public_key: &[u8; 32]) -> Result<String, StartError> {
    engine::peer_id_of(network_public_key)
}

/// The `<id>` of a peer's multiaddress.
///
/// # Errors
/// [`StartError::Peer`].
pub fn peer_id_in(peer: &str) -> Result<String, StartError> {
    engine::peer_id_in(peer)
}

/// The port of a node's multiaddress, without `/p2p/`, at which others shall reach it.
///
/// # Errors
/// [`StartError::Address`].
pub fn port_in(address: &str) -> Result<u16, StartError> {
    engine::port_in(address)
}

/// The socket address of a multiaddress that names no host.
///
/// # Errors
/// [`StartError::Listen`].
pub fn listen_address_in(address: &str) -> Result<SocketAddr, StartError> {
    engine::listen_address(address)
}

/// The engine's measurements in the text format of Prometheus, without the closing `# EOF` line.
#[must_use]
pub fn metrics_text() -> String {
    metrics::text()
}
