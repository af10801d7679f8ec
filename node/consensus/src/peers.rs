//! Which of the configured nodes this one is connected to, told when it changes: a node that hears nobody says so, and what to look at.
//!
//! The network dials by itself and says little about why it fails, so the usual causes are named. It decides nothing. Called by `lib`.

use std::{collections::BTreeMap, time::Duration};

use arc_malachitebft_app_channel::{ConsensusRequestError, NetworkRequest};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep},
};
use tracing::{info, warn};

/// How often the network is looked at.
const LOOK: Duration = Duration::from_secs(2);

/// How long a node may be away before it is told.
const PATIENCE: Duration = Duration::from_secs(15);

/// How often a node that stays away is told again.
const AGAIN: Duration = Duration::from_secs(600);

/// A node of the configuration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Peer {
    /// Its name in the network.
    pub id: String,
    /// Its multiaddress, as configured.
    pub address: String,
    /// Whether this node is connected to it.
    pub connected: bool,
    /// The name for people that it gives itself, while it is connected.
    pub moniker: Option<String>,
}

/// The peers in the text format of Prometheus.
#[must_use]
pub fn metrics_text(peers: &[Peer]) -> String {
    let head = "# HELP commonwatt_peer_connected Whether this node is connected to a node of its configuration\n# TYPE commonwatt_peer_connected gauge\n";
    let line = |peer: &Peer| format!("commonwatt_peer_connected{{address={:?}}} {}\n", peer.address, u8::from(peer.connected));
    peers.iter().fold(if peers.is_empty() { String::new() } else { head.to_owned() }, |text, peer| text + &line(peer))
}

/// How long a node has been as it is.
struct Seen {
    connected: bool,
    since: Instant,
    told: Option<Instant>,
}

/// Looks at the network until it ends; `own` is this node's name, for the others' configuration.
pub(super) async fn watch(requests: mpsc::Sender<NetworkRequest>, peers: watch::Sender<Vec<Peer>>, own: String, chain: String) {
    let begin = Instant::now();
    let fresh = || Seen { connected: false, since: begin, told: None };
    let mut seen: BTreeMap<String, Seen> = peers.borrow().iter().map(|peer| (peer.id.clone(), fresh())).collect();
    loop {
        sleep(LOOK).await;
        let dump = match NetworkRequest::dump_state(&requests).await {
            Ok(Some(dump)) => dump,
            Ok(None) | Err(ConsensusRequestError::Full) => continue,
            Err(ConsensusRequestError::Closed | ConsensusRequestError::Recv) => return,
        };
        let connected: BTreeMap<String, String> = dump.peers.into_iter().map(|(id, peer)| (id.to_string(), peer.moniker)).collect();
        let now = Instant::now();
        peers.send_if_modified(|peers| {
            let mut changed = false;
            for peer in peers {
                let moniker = connected.get(&peer.id).cloned();
                let Some(seen) = seen.get_mut(&peer.id) else { continue };
                if moniker.is_some() != seen.connected {
                    *seen = Seen { connected: moniker.is_some(), since: now, told: None };
                }
                tell(peer, seen, moniker.as_deref(), now, (&own, &chain));
                changed |= peer.moniker != moniker;
                peer.connected = moniker.is_some();
                peer.moniker = moniker;
            }
            changed
        });
    }
}

fn tell(peer: &Peer, seen: &mut Seen, moniker: Option<&str>, now: Instant, (own, chain): (&str, &str)) {
    match moniker {
        Some(moniker) if seen.told.is_none() => {
            info!(moniker, address = peer.address, "connected to a node of the federation");
            seen.told = Some(now);
        }
        None if now.duration_since(seen.since) >= PATIENCE && seen.told.is_none_or(|told| now.duration_since(told) >= AGAIN) => {
            warn!(
                address = peer.address,
                "no connection to this node: does it run, is the address in network.peers right up to its end (/p2p/…), has it this node ({own}) in its own \
                 network.peers, and has it the same genesis document (chain {chain})?"
            );
            seen.told = Some(now);
        }
        Some(_) | None => {}
    }
}
