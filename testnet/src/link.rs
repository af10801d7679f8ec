//! The cables between nodes of one machine, which can be slow, dead or pulled.
//!
//! The one place that knows what a cable is. By default cables are relays of this program (`relays`), the same for everybody; on demand each node is a machine of
//! its own in the kernel's eyes, and the kernel is what fails (`namespaces`, by the commands of `wiring`). Both directions of a pair are disturbed alike.
//! Called by `chaos` and `replay`; nodes are led through it by `federation`.

mod namespaces;
mod relays;
mod wiring;

use std::{io, net::SocketAddr, time::Duration};

pub use self::wiring::Machine;
use self::{namespaces::Network, relays::Relays};

/// What a cable is like.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cable {
    /// It carries everything at once.
    Sound,
    /// It carries everything so much later.
    Slow(Duration),
    /// It carries nothing for now; nobody is told.
    Dead,
    /// It is pulled: its connections are broken, and there are no new ones.
    Pulled,
}

/// Why there are no cables, or why one does not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The relays' ports.
    #[error("cables between the nodes: {0}")]
    Relays(#[source] io::Error),
    /// This user or this system cannot have namespaces.
    #[error(
        "--machines needs root (CAP_SYS_ADMIN and CAP_NET_ADMIN), Linux, and the programs ip, tc and ss of iproute2: {0}; without --machines the nodes are \
         joined by relays, which need nothing"
    )]
    NoMachines(String),
    /// A command of iproute2 was refused.
    #[error("{command}: {told}")]
    Command { command: String, told: String },
    /// Every network that may be used is routed somewhere.
    #[error("every network of {} is in use on this machine (ip route show table all)", wiring::RANGE)]
    NoNetwork,
    /// No slow cable can be made.
    #[error("the kernel has neither netem nor tbf, one of which makes a cable slow (modprobe sch_netem)")]
    NoSlowness,
}

/// The cables of a federation.
#[derive(Debug)]
pub struct Links(Lines);

#[derive(Debug)]
enum Lines {
    Relays(Relays),
    Machines(Network),
}

impl Links {
    /// Relays between so many nodes; all sound, and leading nowhere yet.
    ///
    /// # Errors
    /// [`LinkError::Relays`].
    pub async fn new(nodes: usize) -> Result<Self, LinkError> {
        Ok(Self(Lines::Relays(Relays::new(nodes).await.map_err(LinkError::Relays)?)))
    }

    /// A network namespace for each of so many nodes, joined by a switch; they go with this. What a killed run left is removed before.
    ///
    /// # Errors
    /// [`LinkError`].
    pub async fn machines(nodes: usize) -> Result<Self, LinkError> {
        Ok(Self(Lines::Machines(Network::open(nodes).await?)))
    }

    /// What cables are made of, for reports; the names never change.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match &self.0 {
            Lines::Relays(_) => "relays",
            Lines::Machines(_) => "machines",
        }
    }

    /// In what these cables do not do what [`Cable`] says, because the kernel cannot.
    #[must_use]
    pub fn differences(&self) -> Vec<String> {
        match &self.0 {
            Lines::Relays(_) => Vec::new(),
            Lines::Machines(network) => network.differences(),
        }
    }

    /// The machine that a node is to be started on, where it has one of its own.
    #[must_use]
    pub fn machine(&self, node: usize) -> Option<Machine> {
        match &self.0 {
            Lines::Relays(_) => None,
            Lines::Machines(network) => Some(network.machine(node)),
        }
    }

    /// Says where each node listens.
    pub fn lead_to(&self, nodes: &[SocketAddr]) {
        match &self.0 {
            Lines::Relays(relays) => relays.lead_to(nodes),
            Lines::Machines(_) => {}
        }
    }

    /// Where a node reaches another, if not where that one listens.
    #[must_use]
    pub fn door(&self, from: usize, to: usize) -> Option<SocketAddr> {
        match &self.0 {
            Lines::Relays(relays) => relays.door(from, to),
            Lines::Machines(_) => None,
        }
    }

    /// Makes the cables between these nodes and all others like this, in both directions. One change at a time: callers wait.
    ///
    /// # Errors
    /// [`LinkError::Command`].
    pub async fn around(&self, nodes: &[usize], cable: Cable) -> Result<(), LinkError> {
        self.make(cable, |one, other| nodes.contains(&one) != nodes.contains(&other)).await
    }

    /// Makes all cables like this; as [`Links::around`].
    ///
    /// # Errors
    /// [`LinkError::Command`].
    pub async fn all(&self, cable: Cable) -> Result<(), LinkError> {
        self.make(cable, |_, _| true).await
    }

    async fn make(&self, cable: Cable, which: impl Fn(usize, usize) -> bool) -> Result<(), LinkError> {
        match &self.0 {
            Lines::Relays(relays) => {
                relays.make(cable, which);
                Ok(())
            }
            Lines::Machines(network) => network.make(cable, which).await,
        }
    }
}
