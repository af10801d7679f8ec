//! `watt node`: a node as it says it is. It judges nothing: that is `watt doctor`. Nobody has to sign in for it.

use ::chain::{
    api::Health,
    hash::Hash32,
    id::{CondominiumId, Height},
    time::Timestamp,
};
use clap::{Args, Subcommand};
use serde::Serialize;

use super::{CommandError, Context};
use crate::{
    csv::{self, Csv},
    quantity::time,
    render::{Facts, Rows},
};

/// Show a node: its height, whether it keeps up, its vote and its peers
#[derive(Subcommand, Debug)]
#[command(after_help = "Examples:\n  watt node status\n  watt --node http://10.0.0.5:8420 node peers")]
pub enum Node {
    /// Show what the node is to the chain, and how far it has come
    Status(Status),
    /// List the nodes of its configuration, and whether it is connected to them
    Peers(Peers),
}

/// Show what the node is to the chain, and how far it has come
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  watt node status
  watt --node http://10.0.0.5:8420 node status --output json

Under READY stands why a node does not keep up, watches, or waits for others without whom the chain stands still. What it says of itself is not proved: `watt doctor --other` compares nodes.")]
pub struct Status {}

/// List the nodes of its configuration, and whether it is connected to them
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  watt node peers\n  watt node peers --output csv")]
pub struct Peers {}

/// What a node is to the chain.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum Vote {
    /// It votes for this condominium.
    Validator { condominium: CondominiumId },
    /// It is the validator of this condominium, and does not vote yet: it was started with `--rejoin`.
    Watching { condominium: CondominiumId },
    /// It follows.
    Observer,
}

#[derive(Serialize)]
struct Answer {
    version: String,
    /// The key by which the network knows it.
    node: Hash32,
    vote: Vote,
    height: Height,
    timestamp: Timestamp,
    now: Timestamp,
    pending: u32,
    health: Option<Health>,
    peers_connected: usize,
    peers: usize,
    /// Validators that it is connected to, with itself where it votes; absent where it does not say.
    validators_connected: Option<u64>,
    /// Validators without which nothing is decided.
    validators_needed: Option<u64>,
}

impl Answer {
    /// Why a node that is well in itself does not take part all the same.
    fn waits(&self) -> Option<String> {
        let too_few = || {
            let (connected, needed) = (self.validators_connected?, self.validators_needed?);
            (connected < needed).then(|| format!("the chain waits: it needs {needed} validators that vote, and this node sees {connected}"))
        };
        match self.vote {
            Vote::Validator { .. } => too_few(),
            Vote::Watching { .. } => too_few().or_else(|| {
                Some("it watches: it follows, and votes once the others have decided a block that began after its start".to_owned())
            }),
            // An observer is listed by those who chose to: through one of them it follows all.
            Vote::Observer => (self.peers > 0 && self.peers_connected == 0)
                .then(|| "nobody speaks to it, so it follows nothing: one operator at least must list it in his network.peers".to_owned()),
        }
    }
}

/// A node of the node's configuration.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
struct Peer {
    address: String,
    connected: bool,
}

impl Node {
    pub(super) async fn run(self, context: &Context) -> Result<(), CommandError> {
        context.require_neither_dry_nor_offline()?;
        match self {
            Self::Status(Status {}) => status(context).await,
            Self::Peers(Peers {}) => peers(context).await,
        }
    }
}

async fn status(context: &Context) -> Result<(), CommandError> {
    let client = context.stranger()?;
    let status = client.status().await?;
    let genesis = client.genesis().await?;
    // The challenge for readers names the node's own key, by which genesis knows the validators.
    let node = client.challenge().await?.node;
    let metrics = client.metrics().await?;
    let votes = gauge(&metrics, "commonwatt_votes") != Some(0);
    let vote = match genesis.validators.iter().find(|member| member.network_key == node) {
        Some(member) if votes => Vote::Validator { condominium: member.condominium },
        Some(member) => Vote::Watching { condominium: member.condominium },
        None => Vote::Observer,
    };
    // A node that is not ready answers with a problem; the rest is worth showing all the same.
    let health = client.health().await.ok();
    let peers = peers_in(&metrics);
    let answer = Answer {
        version: status.version,
        node,
        vote,
        height: status.height,
        timestamp: status.timestamp,
        now: status.now,
        pending: status.pending,
        health,
        peers_connected: peers.iter().filter(|peer| peer.connected).count(),
        peers: peers.len(),
        validators_connected: gauge(&metrics, "commonwatt_validators_connected"),
        validators_needed: gauge(&metrics, "commonwatt_validators_needed"),
    };
    context.put(&answer, || {
        let vote = match answer.vote {
            Vote::Validator { condominium } => format!("validator of condominium {condominium}"),
            Vote::Watching { condominium } => format!("watching: the validator of condominium {condominium}, which does not vote yet"),
            Vote::Observer => "observer: it follows without a vote".to_owned(),
        };
        let ready = match &answer.health {
            Some(health) if health.ready => answer.waits().map_or_else(|| "yes".to_owned(), |why| format!("no: {why}")),
            Some(health) => format!("no: {}", health.problems.join("; ")),
            None => "no".to_owned(),
        };
        Facts::new()
            .with("node", format!("{} version {}", client.url(), answer.version))
            .with("role", vote)
            .with("height", answer.height.to_string())
            .with("block time", time(answer.timestamp))
            .with("node's clock", time(answer.now))
            .with("ready", ready)
            .with("connected", format!("{} of {} nodes", answer.peers_connected, answer.peers))
            .with("waiting", format!("{} transactions", answer.pending))
            .text()
    })
}

async fn peers(context: &Context) -> Result<(), CommandError> {
    let peers = peers_in(&context.stranger()?.metrics().await?);
    context.put_list(
        &peers,
        || {
            let mut rows = Rows::new(&["PEER", "CONNECTED"], "Its configuration names no other node.");
            for peer in &peers {
                rows.push([peer.address.as_str(), if peer.connected { "yes" } else { "no" }]);
            }
            rows.text()
        },
        || {
            let mut csv = Csv::new(&["peer", "connected"]);
            for peer in &peers {
                csv.push([csv::text(&peer.address), csv::yes(peer.connected)]);
            }
            csv
        },
    )
}

/// A plain number among what a node counts.
fn gauge(metrics: &str, name: &str) -> Option<u64> {
    metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
}

/// The peers among what a node counts.
fn peers_in(metrics: &str) -> Vec<Peer> {
    let lines = metrics.lines().filter_map(|line| line.strip_prefix("commonwatt_peer_connected{address=\"")?.split_once("\"} "));
    lines.map(|(address, value)| Peer { address: address.to_owned(), connected: value.trim() == "1" }).collect()
}
