//! Which of the configured nodes this one is connected to, told when it changes: a node that hears nobody says so, and what to look at.
//!
//! The network dials by itself and says little about why it fails, so the address is tried once more and the usual causes are named. It decides nothing. Called by
//! `lib`.

use std::{collections::BTreeMap, time::Duration};

use arc_malachitebft_app_channel::{ConsensusRequestError, NetworkRequest};
use tokio::{
    net::TcpStream,
    sync::{mpsc, watch},
    time::{Instant, sleep, timeout},
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

/// How long an address may take to answer when it is tried.
const ANSWER_LIMIT: Duration = Duration::from_secs(3);

/// How long a node has been as it is.
struct Seen {
    connected: bool,
    since: Instant,
    told: Option<Instant>,
}

/// How this node is named.
struct Own {
    peer: String,
    chain: String,
}

/// Looks at the network until it ends; `peer` is this node's name, for the others' configuration.
pub(super) async fn watch(requests: mpsc::Sender<NetworkRequest>, peers: watch::Sender<Vec<Peer>>, peer: String, chain: String) {
    let begin = Instant::now();
    let own = Own { peer, chain };
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
        let mut missed = Vec::new();
        peers.send_if_modified(|peers| {
            let mut changed = false;
            for peer in peers {
                let moniker = connected.get(&peer.id).cloned();
                let Some(seen) = seen.get_mut(&peer.id) else { continue };
                if moniker.is_some() != seen.connected {
                    *seen = Seen { connected: moniker.is_some(), since: now, told: None };
                }
                match &moniker {
                    Some(moniker) if seen.told.is_none() => {
                        info!(moniker, address = peer.address, "connected to a node of the federation");
                        seen.told = Some(now);
                    }
                    None if seen.is_missed(now) => {
                        missed.push(peer.address.clone());
                        seen.told = Some(now);
                    }
                    Some(_) | None => {}
                }
                changed |= peer.moniker != moniker;
                peer.connected = moniker.is_some();
                peer.moniker = moniker;
            }
            changed
        });
        tell_missed(missed, connected.is_empty(), &own).await;
    }
}

impl Seen {
    /// Whether it is to be told that this node is away.
    fn is_missed(&self, now: Instant) -> bool {
        now.duration_since(self.since) >= PATIENCE && self.told.is_none_or(|told| now.duration_since(told) >= AGAIN)
    }
}

/// Says why nodes may be away, by whether anything answers where they should be.
async fn tell_missed(missed: Vec<String>, alone: bool, Own { peer, chain }: &Own) {
    let (mut answered, mut silent) = (Vec::new(), Vec::new());
    for address in missed {
        match try_address(&address).await {
            Ok(()) => answered.push(address),
            Err(why) => silent.push((address, why)),
        }
    }
    for (address, why) in &silent {
        warn!(
            address,
            why,
            "no connection to this node, and nothing answers there: does it run, and are its host and port in network.peers right (network.listen on its side)?"
        );
    }
    if alone && silent.is_empty() && answered.len() > 1 {
        warn!(
            addresses = ?answered, chain, own = peer,
            "all nodes of network.peers answer, and none speaks with this one. They speak of another chain: compare genesis.json and the chain's id with theirs (this \
             node's is above; theirs stands in their logs and in GET /api/v1/status). Or none of them has this node (own=…) in its network.peers"
        );
        return;
    }
    for address in answered {
        warn!(
            address,
            chain,
            own = peer,
            "something answers there and does not speak with this node. Either its chain is another: compare genesis.json and the chain's id (this node's is \
             chain=…). Or it has not this node (own=…) in its own network.peers. Or the end of its address in network.peers here (/p2p/…) is not its name"
        );
    }
}

/// Whether anything takes connections at a peer's multiaddress.
async fn try_address(address: &str) -> Result<(), String> {
    let parts: Vec<&str> = address.split('/').collect();
    let ["", _, host, "tcp", port, ..] = parts.as_slice() else { return Err("it is no address of a host and a port".to_owned()) };
    let port: u16 = port.parse().map_err(|_| format!("{port} is no port"))?;
    match timeout(ANSWER_LIMIT, TcpStream::connect((*host, port))).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer within {} s", ANSWER_LIMIT.as_secs())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_is_tried_by_name_and_by_number() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        for host in ["ip4/127.0.0.1", "dns4/localhost"] {
            assert_eq!(try_address(&format!("/{host}/tcp/{port}/p2p/12D3KooW")).await, Ok(()));
        }
        drop(listener);
        assert!(try_address(&format!("/ip4/127.0.0.1/tcp/{port}/p2p/12D3KooW")).await.is_err());
    }
}
