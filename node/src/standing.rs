//! What this node is to the chain right now, as metrics: whether it votes, and how many validators it sees beside those that the chain needs.
//!
//! It judges nothing: `watt node status` puts it into words. Called by `lib`, which hands the text to the API.

use contracts::genesis::Genesis;
use ed25519_dalek::SigningKey;

/// What stays the same while the node runs.
#[derive(Clone, Debug)]
pub struct Standing {
    votes: bool,
    /// The names in the network of the validators other than this node.
    others: Vec<String>,
    /// Validators of equal weight without which nothing is decided.
    needed: usize,
}

impl Standing {
    /// Of the node with this network key; `votes` where it is a validator that does not watch.
    #[must_use]
    pub fn of(genesis: &Genesis, network_key: &SigningKey, votes: bool) -> Self {
        let own = consensus::peer_id(network_key).unwrap_or_default();
        let ids = genesis.validators.iter().filter_map(|member| consensus::peer_id_of(&member.network_key.0).ok());
        let tolerated = genesis.validator_set().map_or(0, |set| set.faults_tolerated());
        Self { votes, others: ids.filter(|id| *id != own).collect(), needed: genesis.validators.len().saturating_sub(tolerated) }
    }

    /// In the text format of Prometheus; `peers` are the nodes of the configuration.
    #[must_use]
    pub fn metrics_text(&self, peers: &[consensus::Peer]) -> String {
        let connected = peers.iter().filter(|peer| peer.connected && self.others.contains(&peer.id)).count();
        let seen = connected.saturating_add(usize::from(self.votes));
        let gauge = |name, help, value| format!("# HELP {name} {help}\n# TYPE {name} gauge\n{name} {value}\n");
        gauge(
            "commonwatt_votes",
            "Whether this node votes: an observer does not, and a validator that watches does not yet",
            usize::from(self.votes),
        ) + &gauge("commonwatt_validators_connected", "Validators that this node is connected to, with itself where it votes", seen)
            + &gauge("commonwatt_validators_needed", "Validators of equal weight that must vote for anything to be decided", self.needed)
    }
}
