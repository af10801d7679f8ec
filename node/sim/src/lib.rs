//! A federation in one process: our application and our answers to the consensus engine, over the engine's own state machine, with a virtual clock, a network that
//! loses, repeats, delays and cuts, machines that die between any two steps, and validators who lie.
//!
//! One seed is one history, to the byte: [`run`] gives a digest of everything that happened, and a failure is found again by its seed. What must hold is checked
//! while it runs: nobody decides otherwise than others, nobody honest signs twice, no block is decided that breaks a rule, every state is the same, no money
//! appears or vanishes, what was accepted is committed once, and when the faults are over everything is decided in time.
//!
//! Not simulated: the engine's actors and its network (the order of their effects is repeated in `node::effects`, from the sources of release 0.8.2), the layout of
//! the log's file, and the loop that waits (gossip of transactions and tips, timers). Those are tested with real processes.
//! A crate of its own and no feature of the node, so that the node is compiled once for its program and for this. Called by `watt-sim` and by its tests.

mod adversary;
mod clients;
mod federation;
mod log;
mod message;
mod node;
mod oracle;
mod plan;
mod rng;
mod shared;
mod sync;
mod world;

use std::{collections::BTreeMap, panic::AssertUnwindSafe};

use chain::{hash::Hash32, id::TxId};

pub use self::adversary::Lie;
pub use self::plan::{Crash, PROGRESS_LIMIT, Partition, Plan, SECOND, Sabotage};
use self::world::World;

/// What must never happen, and did.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Failure {
    /// Two blocks of one height.
    #[error("node {node} decides {decided} at height {height}, others {before}")]
    Disagreement {
        /// Which node.
        node: usize,
        /// The height.
        height: u64,
        /// What it decides.
        decided: Hash32,
        /// What was decided before.
        before: Hash32,
    },
    /// An honest node has signed two different things.
    #[error("honest node {node} has signed two {what}s at height {height} in round {round}")]
    DoubleSign {
        /// Which node.
        node: usize,
        /// Of what.
        what: &'static str,
        /// The height.
        height: u64,
        /// The round.
        round: i64,
    },
    /// A decided block breaks a rule.
    #[error("node {node} decides a block that breaks a rule at height {height}: {why}")]
    InvalidBlock {
        /// Which node.
        node: usize,
        /// The height.
        height: u64,
        /// Which rule.
        why: String,
    },
    /// A node decides a block that it does not have.
    #[error("node {node} decides a block at height {height} that it has not stored")]
    NotStored {
        /// Which node.
        node: usize,
        /// The height.
        height: u64,
    },
    /// A node's database is not what was decided.
    #[error("node {node} has committed another block or state at height {height} than was decided")]
    OtherState {
        /// Which node.
        node: usize,
        /// The height.
        height: u64,
    },
    /// An honest node is said to have lied.
    #[error("there is evidence against node {node}, which is honest")]
    Slander {
        /// Which node.
        node: usize,
    },
    /// An honest node ends by itself.
    #[error("node {node} stops: {error}")]
    Stopped {
        /// Which node.
        node: usize,
        /// Its last words.
        error: String,
    },
    /// A message that was encoded does not decode.
    #[error("a message of node {node} does not decode: {error}")]
    Codec {
        /// Which node.
        node: usize,
        /// Why.
        error: String,
    },
    /// What was accepted is not committed, or more than once.
    #[error("transaction {id} was accepted and is committed {times} times")]
    NotOnce {
        /// Which.
        id: TxId,
        /// How often.
        times: usize,
    },
    /// No progress.
    #[error("{seconds} s after the last fault {waiting} transactions wait, the nodes are at heights {heights:?}")]
    Stalled {
        /// The limit.
        seconds: u64,
        /// Transactions of clients.
        waiting: usize,
        /// Each node's height.
        heights: Vec<u64>,
    },
    /// Our code or the engine's panicked.
    #[error("a panic: {message}")]
    Panic {
        /// What it said.
        message: String,
    },
    /// The temporary directory.
    #[error("this machine: {message}")]
    Machine {
        /// What it said.
        message: String,
    },
}

/// What was done, counted.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Stats {
    /// Blocks decided.
    pub blocks: u64,
    /// Transactions of clients committed.
    pub transactions: u64,
    /// Messages sent.
    pub messages: u64,
    /// Virtual microseconds from the last fault until everything was quiet for three seconds.
    pub settled_after: u64,
    /// Everything else, by name.
    pub counts: BTreeMap<&'static str, u64>,
}

impl Stats {
    fn count(&mut self, what: &'static str, times: u64) {
        *self.counts.entry(what).or_default() += times;
    }

    /// Adds another run's.
    pub fn add(&mut self, other: &Self) {
        self.blocks += other.blocks;
        self.transactions += other.transactions;
        self.messages += other.messages;
        self.settled_after = self.settled_after.max(other.settled_after);
        for (what, times) in &other.counts {
            self.count(what, *times);
        }
    }
}

/// How a run ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// A digest of everything that happened, in order.
    pub trace: Hash32,
    /// Heights decided.
    pub heights: u64,
    /// What was done.
    pub stats: Stats,
    /// The first failure, if there was one.
    pub failure: Option<Failure>,
}

/// Carries out a plan; `verbose` tells on standard error what happens.
#[must_use]
pub fn run(plan: &Plan, verbose: bool) -> Outcome {
    let ended = |failure| Outcome { seed: plan.seed, trace: Hash32::ZERO, heights: 0, stats: Stats::default(), failure: Some(failure) };
    let run = AssertUnwindSafe(|| World::new(plan.clone(), verbose).map(World::run));
    match std::panic::catch_unwind(run) {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(error)) => ended(Failure::Machine { message: error.to_string() }),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            ended(Failure::Panic { message: text.unwrap_or_else(|| "without words".to_owned()) })
        }
    }
}
