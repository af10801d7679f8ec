//! What a seed means: how many validators of which weight, who of them lies, and which faults happen when.
//!
//! A plan is drawn before anything runs, so that tests can take a seed's plan and change it. Everything smaller (the delay of each message, what a liar does
//! in which round) is drawn while it runs, from the same seed.

use crate::{adversary::Lie, rng::Rng};

/// One second of virtual time, which is counted in microseconds.
pub const SECOND: u64 = 1_000_000;

/// The virtual time after the last fault within which everything must be decided, on every node.
pub const PROGRESS_LIMIT: u64 = 120 * SECOND;

/// Validators are split into two groups that do not hear each other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Partition {
    /// When it begins, in microseconds.
    pub from: u64,
    /// When it ends.
    pub to: u64,
    /// The nodes on one side, as bits.
    pub side: u64,
}

/// A process that dies and is started again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Crash {
    /// Which node.
    pub node: usize,
    /// From when on, in microseconds.
    pub at: u64,
    /// It dies after this many more steps (effects of the engine, answers of the application), somewhere between two of them.
    pub steps: u64,
    /// How long it stays down.
    pub down: u64,
}

/// A defect of our own making, to see that the simulator notices it. Each replaces one check by its absence, in the simulator's own code.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sabotage {
    /// Nodes vote for every proposed block that is one, whatever its roots.
    VoteForAnything,
    /// Nodes take a block with a known transaction and another signature for good: verified by id.
    VerifyById,
    /// A crash loses the whole log of consensus.
    LoseLog,
    /// The log is not synced before a vote is sent.
    NeverSync,
    /// Signatures of votes and proposals are not checked.
    TrustVotes,
    /// Certificates are not checked.
    TrustCertificates,
}

/// Everything about a run that is known before it starts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Plan {
    /// The seed.
    pub seed: u64,
    /// The weight of each validator.
    pub powers: Vec<u64>,
    /// Validators who lie; together less than a third of the weight.
    pub liars: Vec<usize>,
    /// Whether one more node follows the chain without a vote.
    pub observer: bool,
    /// How often a message is lost, in percent.
    pub loss: u64,
    /// How often it arrives twice.
    pub duplication: u64,
    /// How often it is delayed much longer than others, so that many overtake it.
    pub straggling: u64,
    /// The longest ordinary delay of a message, in microseconds.
    pub delay: u64,
    /// The longest that each node's application takes for an answer, in microseconds.
    pub slowness: Vec<u64>,
    /// How far each node's clock is ahead of the true time, in milliseconds.
    pub skew_ms: Vec<i64>,
    /// When each node is started for the first time.
    pub start: Vec<u64>,
    /// Partitions.
    pub partitions: Vec<Partition>,
    /// Crashes.
    pub crashes: Vec<Crash>,
    /// When the last fault ends; liars go on.
    pub calm: u64,
    /// Transactions that each client wants committed.
    pub transactions: u64,
    /// The lie that liars tell in every block of theirs in which it can be told, in place of whatever else they would do with it; drawn where there is none.
    pub lie: Option<Lie>,
    /// What is broken on purpose.
    pub sabotage: Option<Sabotage>,
}

impl Plan {
    /// The plan of a seed.
    #[must_use]
    pub fn of(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let count = *rng.pick(&[4, 4, 4, 4, 1, 3, 5, 7]);
        let weighted = rng.chance(30);
        let powers: Vec<u64> = (0..count).map(|_| if weighted { rng.between(1, 4) } else { 1 }).collect();
        let liars = if rng.chance(70) { liars(&mut rng, &powers) } else { Vec::new() };
        let observer = rng.chance(25);
        let nodes = count + usize::from(observer);
        let calm = rng.between(8, 30) * SECOND;
        let mut plan = Self {
            seed,
            liars,
            observer,
            loss: *rng.pick(&[0, 0, 2, 5, 10, 20]),
            duplication: *rng.pick(&[0, 0, 3, 10]),
            straggling: *rng.pick(&[0, 2, 5]),
            delay: *rng.pick(&[5_000, 20_000, 60_000, 200_000, 600_000]),
            slowness: (0..nodes).map(|_| *rng.pick(&[500, 500, 2_000, 2_000, 50_000, 400_000])).collect(),
            skew_ms: (0..nodes).map(|_| i64::try_from(rng.below(1_600)).unwrap_or(0) - 800).collect(),
            start: (0..nodes).map(|_| if rng.chance(12) { rng.below(calm) } else { 0 }).collect(),
            partitions: Vec::new(),
            crashes: Vec::new(),
            calm,
            transactions: rng.between(3, 8),
            lie: None,
            sabotage: None,
            powers,
        };
        if count > 1 {
            for _ in 0..*rng.pick(&[0, 0, 1, 2, 3]) {
                let from = rng.below(calm);
                let to = (from + rng.between(SECOND / 2, 8 * SECOND)).min(calm);
                plan.partitions.push(Partition { from, to, side: rng.below(1 << nodes) });
            }
        }
        for _ in 0..*rng.pick(&[0, 1, 2, 4, 8]) {
            let (node, at) = (rng.index(nodes), rng.below(calm));
            let down = rng.between(50_000, 6 * SECOND).min(calm - at);
            plan.crashes.push(Crash { node, at, steps: rng.below(60), down });
        }
        plan
    }

    /// How many nodes run, the observer counted.
    #[must_use]
    pub fn nodes(&self) -> usize {
        self.powers.len() + usize::from(self.observer)
    }
}

/// As many as may lie without a third of the weight, or one fewer.
fn liars(rng: &mut Rng, powers: &[u64]) -> Vec<usize> {
    let total: u64 = powers.iter().sum();
    let mut order: Vec<usize> = (0..powers.len()).collect();
    for place in (1..order.len()).rev() {
        order.swap(place, rng.index(place + 1));
    }
    let (mut chosen, mut weight) = (Vec::new(), 0);
    for index in order {
        if (weight + powers[index]) * 3 < total {
            weight += powers[index];
            chosen.push(index);
        }
    }
    chosen.sort_unstable();
    chosen
}
