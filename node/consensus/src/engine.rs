//! Starting and stopping the consensus engine: its configuration, its network, and its write-ahead log, which is examined before anybody may vote.
//!
//! What is proposed, validated and committed is `driver`'s matter. Called by `mod` only.

use std::{
    collections::HashSet,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use arc_malachitebft_app_channel::{
    self as channel, Channels, ConsensusContext, EngineHandle, NetworkContext, NetworkIdentity, RequestContext, SyncContext, WalContext,
    app::{
        config::{
            ConsensusConfig as EngineConsensus, GossipSubConfig, NodeConfig, P2pConfig, PubSubProtocol, ValuePayload, ValueSyncConfig,
        },
        types::{PeerId, codec::Codec as _},
    },
};
use chain::crypto;
use ed25519_dalek::SigningKey;
use libp2p::{Multiaddr, identity::Keypair, multiaddr::Protocol};
use tokio::time::timeout;
use tracing::{info, warn};

use super::{
    ConsensusConfig, StartError,
    codec::{Door, EARLY_MESSAGES, ListedWire, MAX_PART_BYTES, MAX_RESPONSE_BLOCKS, MAX_RESPONSE_BYTES, Wire},
    context::{Address, Context},
    log,
    signing::{Keys, Signatures},
};

/// How long a stopping engine may take to end its tasks.
const STOP_LIMIT: Duration = Duration::from_secs(3);
/// Connections from one address, of the 80 that the engine takes in all; several nodes may share one.
const MAX_CONNECTIONS_PER_IP: usize = 16;
/// The same where this node listens to its own machine alone, as all nodes of a federation on one machine do.
const MAX_CONNECTIONS_OF_THIS_MACHINE: usize = 100;
/// How often peers are told our height.
const STATUS_INTERVAL: Duration = Duration::from_secs(1);
/// Requests to the engine that may wait.
const REQUEST_CAPACITY: usize = 16;

/// A running engine and what is needed to end it.
pub(super) struct Engine {
    pub(super) channels: Channels<Context>,
    pub(super) handle: EngineHandle,
    log: PathBuf,
}

/// The engine's settings; the trait is how it reads them.
struct Settings {
    moniker: String,
    consensus: EngineConsensus,
    sync: ValueSyncConfig,
}

impl NodeConfig for Settings {
    fn moniker(&self) -> &str {
        &self.moniker
    }

    fn consensus(&self) -> &EngineConsensus {
        &self.consensus
    }

    fn consensus_mut(&mut self) -> &mut EngineConsensus {
        &mut self.consensus
    }

    fn value_sync(&self) -> &ValueSyncConfig {
        &self.sync
    }

    fn value_sync_mut(&mut self) -> &mut ValueSyncConfig {
        &mut self.sync
    }
}

/// The network's key pair of a secret key.
fn keypair(key: &SigningKey) -> Result<Keypair, StartError> {
    Keypair::ed25519_from_bytes(&mut key.to_bytes()).map_err(|error| StartError::NetworkKey(error.to_string()))
}

/// The name in the network of whoever holds this key, as the last part of a peer's multiaddress (`/p2p/<id>`).
pub(super) fn peer_id(key: &SigningKey) -> Result<String, StartError> {
    Ok(keypair(key)?.public().to_peer_id().to_string())
}

/// The name in the network of whoever holds the secret key of this public one.
pub(super) fn peer_id_of(public: &[u8; 32]) -> Result<String, StartError> {
    let key = libp2p::identity::ed25519::PublicKey::try_from_bytes(public).map_err(|error| StartError::NetworkKey(error.to_string()))?;
    Ok(libp2p::identity::PublicKey::from(key).to_peer_id().to_string())
}

/// The name at the end of a peer's multiaddress.
pub(super) fn peer_id_in(text: &str) -> Result<String, StartError> {
    let bad = || StartError::Peer { address: text.to_owned() };
    let address = peer_address(text)?;
    let mut names = address.iter().filter_map(|part| if let Protocol::P2p(id) = part { Some(id) } else { None });
    names.next().map(|id| id.to_string()).ok_or_else(bad)
}

/// The names of all peers.
pub(super) fn peer_ids(peers: &[String]) -> Result<HashSet<PeerId>, StartError> {
    let read = |peer: &String| {
        let bad = || StartError::Peer { address: peer.clone() };
        peer_id_in(peer)?.parse::<PeerId>().map_err(|_| bad())
    };
    peers.iter().map(read).collect()
}

/// The port of a multiaddress `/ip4/<address>/tcp/<port>`, or with `ip6`, `dns4`, `dns6`, `dns`.
pub(super) fn port_in(text: &str) -> Result<u16, StartError> {
    let bad = || StartError::Address { address: text.to_owned() };
    let parts: Vec<&str> = text.split('/').collect();
    let ["", kind, host, "tcp", port] = parts.as_slice() else { return Err(bad()) };
    let known = match *kind {
        "ip4" | "ip6" => listen_address(text).is_ok(),
        "dns" | "dns4" | "dns6" => !host.is_empty(),
        _ => false,
    };
    let port: u16 = port.parse().map_err(|_| bad())?;
    if known && port != 0 && text.parse::<Multiaddr>().is_ok() { Ok(port) } else { Err(bad()) }
}

/// The address of a multiaddress `/ip4/<address>/tcp/<port>`, or with `ip6`.
///
/// # Errors
/// [`StartError::Listen`]: names are not listened on, and the engine would panic on a transport that it does not know or speak QUIC if asked to.
pub(super) fn listen_address(text: &str) -> Result<SocketAddr, StartError> {
    let bad = || StartError::Listen { address: text.to_owned() };
    let parts: Vec<&str> = text.split('/').collect();
    let (ip, port) = match parts.as_slice() {
        ["", "ip4", ip, "tcp", port] => (IpAddr::V4(ip.parse().map_err(|_| bad())?), port),
        ["", "ip6", ip, "tcp", port] => (IpAddr::V6(ip.parse().map_err(|_| bad())?), port),
        _ => return Err(bad()),
    };
    Ok(SocketAddr::new(ip, port.parse().map_err(|_| bad())?))
}

fn listen_multiaddress(text: &str) -> Result<Multiaddr, StartError> {
    listen_address(text)?;
    text.parse().map_err(|_| StartError::Listen { address: text.to_owned() })
}

fn peer_address(text: &str) -> Result<Multiaddr, StartError> {
    let bad = || StartError::Peer { address: text.to_owned() };
    if !text.contains("/tcp/") || !text.contains("/p2p/") {
        return Err(bad());
    }
    text.parse().map_err(|_| bad())
}

fn settings(config: &ConsensusConfig, validators: usize) -> Result<Settings, StartError> {
    let mut p2p = P2pConfig {
        listen_addr: listen_multiaddress(&config.listen)?,
        persistent_peers: config.peers.iter().map(|peer| peer_address(peer)).collect::<Result<_, _>>()?,
        persistent_peers_only: true,
        // Meshes can degrade after restarts; explicit peers always get every message.
        protocol: PubSubProtocol::GossipSub(GossipSubConfig::new(6, 12, 4, 2, false, true, true)),
        ..P2pConfig::default()
    };
    p2p.pubsub_max_size.0 = MAX_PART_BYTES as u64 + 1024;
    p2p.rpc_max_size.0 = MAX_RESPONSE_BYTES as u64 + 1024;
    // Nodes of another chain have no protocol in common with us.
    p2p.protocol_names.consensus = format!("/commonwatt/{}/consensus/1", config.chain_id);
    p2p.protocol_names.sync = format!("/commonwatt/{}/sync/1", config.chain_id);
    p2p.discovery.enabled = false;
    let is_local = listen_address(&config.listen)?.ip().is_loopback();
    p2p.discovery.max_connections_per_ip = if is_local { MAX_CONNECTIONS_OF_THIS_MACHINE } else { MAX_CONNECTIONS_PER_IP };
    let mut sync = ValueSyncConfig {
        status_update_interval: STATUS_INTERVAL,
        batch_size: usize::try_from(MAX_RESPONSE_BLOCKS).unwrap_or(usize::MAX),
        // Reading blocks for a peer that is behind must not keep this node from deciding new ones.
        max_inbound_requests_per_window: 200,
        max_concurrent_inbound_requests: 4,
        ..ValueSyncConfig::default()
    };
    sync.max_response_size.0 = MAX_RESPONSE_BYTES as u64;
    let default = EngineConsensus::default();
    // Whatever one of them sends early, there is room for the others'.
    let queue_per_height_capacity = default.queue_per_height_capacity.max(validators.saturating_mul(EARLY_MESSAGES as usize + 16));
    let consensus = EngineConsensus { p2p, value_payload: ValuePayload::ProposalAndParts, queue_per_height_capacity, ..default };
    Ok(Settings { moniker: config.moniker.clone(), consensus, sync })
}

/// Starts the engine, whose log somebody has examined; it votes from the moment that its first question is answered.
///
/// # Errors
/// [`StartError`]: nothing runs then.
pub(super) async fn start(config: &ConsensusConfig, keys: Option<Keys>, validators: usize, door: Arc<Door>) -> Result<Engine, StartError> {
    let settings = settings(config, validators)?;
    std::fs::create_dir_all(&config.directory)
        .map_err(|error| StartError::Directory { path: config.directory.clone(), message: error.to_string() })?;
    let log = log::path_in(&config.directory);
    let listed = config.peers.iter().map(|peer| peer_id_in(peer)).collect::<Result<_, _>>()?;
    let wire = ListedWire::new(config.chain_id, config.network_key.clone(), listed, door);
    let keypair = keypair(&config.network_key)?;
    let verifier = Box::new(Signatures::new(config.chain_id));
    let (identity, voting) = match keys {
        Some(keys) => {
            let proof = Wire.encode(&keys.proof(keypair.public().to_peer_id().to_bytes()));
            let proof = proof.map_err(|error| StartError::Engine(error.to_string()))?;
            let address = keys.address();
            let identity = NetworkIdentity::new_validator(config.moniker.clone(), keypair, address.to_string(), proof);
            (identity, ConsensusContext::new_validator(address, verifier, Box::new(keys)))
        }
        None => {
            // The engine wants a name for everybody; nobody votes under this one.
            let address = Address(crypto::address_of(&config.network_key));
            (NetworkIdentity::new(config.moniker.clone(), keypair, None), ConsensusContext::new_full_node(address, verifier))
        }
    };
    let (channels, handle) = channel::start_engine(
        Context,
        settings,
        WalContext::new(log.clone(), Wire),
        NetworkContext::new(identity, wire.clone()),
        voting,
        SyncContext::new(wire),
        RequestContext::new(REQUEST_CAPACITY),
    )
    .await
    .map_err(|error| StartError::Engine(format!("{error:#}")))?;
    Ok(Engine { channels, handle, log })
}

impl Engine {
    /// Ends the engine's tasks within a bounded time and waits until its log is closed. Everything that was voted on is in the log already: the engine
    /// flushes before it sends.
    pub(super) async fn stop(self) {
        let Self { channels, handle, log } = self;
        // A task that has ended must not be awaited again.
        if !handle.handle.is_finished() {
            let stopped = handle.actor.stop_and_wait(Some("the node stops".to_owned()), Some(STOP_LIMIT)).await;
            if stopped.is_err() || timeout(STOP_LIMIT, handle.handle).await.is_err() {
                warn!("the consensus engine did not stop in time; its log is complete all the same");
                return;
            }
        }
        drop(channels);
        match log::open(&log).await {
            Ok(_) => info!("consensus has stopped and closed its log"),
            Err(error) => warn!(%error, "the log of consensus is still held"),
        }
    }
}
