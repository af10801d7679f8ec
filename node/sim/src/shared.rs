//! What all nodes share and no node would have: the virtual clock, the queue of what happens next, the network with its faults, the judge of the run.
//!
//! Everything that happens is put into one digest, the trace, by which two runs of a seed are compared. Called by `node`, `clients` and `world`.

use std::collections::{BTreeMap, HashSet};

use arc_malachitebft_app_channel::app::types::{PeerId, core::Timeout};
use chain::{
    hash::Hash32,
    id::Address,
    time::{Duration, Timestamp},
};

use crate::{
    Failure, Stats,
    adversary::Adversary,
    federation::NOON,
    message::{Letter, Message},
    oracle::Oracle,
    plan::{Plan, SECOND},
    rng::Rng,
};

/// Something that happens at a time.
#[derive(Debug)]
pub(crate) enum Event {
    /// A node's process starts.
    Start { node: usize },
    /// A node dies after this many steps, and is started again after a while.
    Crash { node: usize, steps: u64, down: u64 },
    /// A message arrives.
    Arrival { to: usize, from: usize, letter: Letter },
    /// A timeout of the engine.
    Timer { node: usize, life: u64, timeout: Timeout, number: u64 },
    /// The application answers its next question.
    Answer { node: usize, life: u64 },
    /// An idle node is told to go on.
    Wake { node: usize, life: u64 },
    /// The second in which a node says how high it is and looks for work.
    Tick { node: usize, life: u64 },
    /// An answer of synchronisation should have come.
    Overdue { node: usize, life: u64, number: u64 },
    /// A client looks after its transactions.
    Client { client: usize },
}

/// What all nodes share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) plan: Plan,
    /// Virtual microseconds since the beginning.
    pub(crate) now: u64,
    pub(crate) rng: Rng,
    pub(crate) stats: Stats,
    pub(crate) oracle: Oracle,
    pub(crate) adversaries: Vec<Option<Adversary>>,
    pub(crate) failure: Option<Failure>,
    pub(crate) verbose: bool,
    queue: BTreeMap<(u64, u64), Event>,
    sequence: u64,
    trace: blake3::Hasher,
    peers: Vec<PeerId>,
    pub(crate) addresses: Vec<Address>,
}

impl Shared {
    pub(crate) fn new(
        plan: Plan,
        rng: Rng,
        oracle: Oracle,
        adversaries: Vec<Option<Adversary>>,
        addresses: Vec<Address>,
        verbose: bool,
    ) -> Self {
        Self {
            plan,
            now: 0,
            rng,
            stats: Stats::default(),
            oracle,
            adversaries,
            failure: None,
            verbose,
            queue: BTreeMap::new(),
            sequence: 0,
            trace: blake3::Hasher::new(),
            peers: addresses.iter().map(peer_id).collect(),
            addresses,
        }
    }

    /// Lets something happen at a time.
    pub(crate) fn at(&mut self, time: u64, event: Event) {
        self.sequence += 1;
        self.queue.insert((time.max(self.now), self.sequence), event);
    }

    /// The next thing that happens; the clock shows its time.
    pub(crate) fn next(&mut self) -> Option<Event> {
        let ((time, _), event) = self.queue.pop_first()?;
        self.now = time;
        Some(event)
    }

    pub(crate) fn count(&mut self, what: &'static str) {
        self.stats.count(what, 1);
    }

    /// Adds to the trace.
    pub(crate) fn trace(&mut self, what: &str, numbers: &[u64], bytes: &[u8]) {
        self.trace.update(what.as_bytes());
        self.trace.update(&self.now.to_le_bytes());
        for number in numbers {
            self.trace.update(&number.to_le_bytes());
        }
        self.trace.update(&(bytes.len() as u64).to_le_bytes());
        self.trace.update(bytes);
    }

    pub(crate) fn trace_digest(&self) -> Hash32 {
        Hash32(*self.trace.finalize().as_bytes())
    }

    /// Tells a person what happens, where one listens.
    pub(crate) fn tell(&self, line: impl FnOnce() -> String) {
        if self.verbose {
            let (seconds, rest) = (self.now / SECOND, self.now % SECOND);
            eprintln!("{seconds:>4}.{rest:06} {}", line());
        }
    }

    /// Keeps the first failure; the run ends with it.
    pub(crate) fn fail(&mut self, failure: Failure) {
        self.tell(|| format!("FAILURE: {failure}"));
        self.failure.get_or_insert(failure);
    }

    /// Keeps the failure of a check.
    pub(crate) fn require(&mut self, result: Result<(), Failure>) {
        if let Err(failure) = result {
            self.fail(failure);
        }
    }

    pub(crate) fn is_honest(&self, node: usize) -> bool {
        !self.plan.liars.contains(&node)
    }

    /// The nodes of everybody's configuration.
    pub(crate) fn known(&self) -> HashSet<PeerId> {
        self.peers.iter().copied().collect()
    }

    pub(crate) fn peer(&self, node: usize) -> PeerId {
        self.peers[node]
    }

    /// Whether evidence of two signatures accuses an honest node.
    pub(crate) fn accused(&self, accused: &Address) -> Result<(), Failure> {
        match self.addresses.iter().position(|address| address == accused) {
            Some(node) if self.is_honest(node) => Err(Failure::Slander { node }),
            Some(_) | None => Ok(()),
        }
    }

    /// The time that a clock shows which is right.
    pub(crate) const fn true_time(&self) -> Timestamp {
        NOON.saturating_add(Duration::from_ms(1_000 + self.now / 1_000))
    }

    /// The time that a node's clock shows.
    pub(crate) fn clock(&self, node: usize) -> Timestamp {
        let true_time = self.true_time();
        let skew = self.plan.skew_ms.get(node).copied().unwrap_or(0);
        let span = Duration::from_ms(skew.unsigned_abs());
        if skew < 0 { true_time.saturating_sub(span) } else { true_time.saturating_add(span) }
    }

    /// Sends to everybody else; a liar changes what it sends.
    pub(crate) fn publish(&mut self, from: usize, message: Message) {
        let everybody: Vec<usize> = (0..self.plan.nodes()).filter(|node| *node != from).collect();
        for (to, message) in self.twisted(from, &everybody, message) {
            self.post(from, to, &message);
        }
    }

    /// Sends to one node.
    pub(crate) fn send(&mut self, from: usize, to: usize, message: Message) {
        for (to, message) in self.twisted(from, &[to], message) {
            self.post(from, to, &message);
        }
    }

    fn twisted(&mut self, from: usize, to: &[usize], message: Message) -> Vec<(usize, Message)> {
        match self.adversaries[from].take() {
            Some(mut adversary) => {
                let sent = adversary.twist(self, from, to, message);
                self.adversaries[from] = Some(adversary);
                sent
            }
            None => to.iter().map(|to| (*to, message.clone())).collect(),
        }
    }

    /// Puts a message on its way, or not.
    fn post(&mut self, from: usize, to: usize, message: &Message) {
        let letter = match message.seal() {
            Ok(letter) => letter,
            // The codec's limits hold for liars too: such a message never leaves.
            Err(_) => return self.count("messages that the codec refused"),
        };
        self.stats.messages += 1;
        let now = self.now;
        let apart =
            self.plan.partitions.iter().any(|one| (one.from..one.to).contains(&now) && (one.side >> from ^ one.side >> to) & 1 == 1);
        if apart {
            return self.count("messages held by a partition");
        }
        let faulty = now < self.plan.calm;
        if faulty && self.rng.chance(self.plan.loss) {
            return self.count("messages lost");
        }
        let copies = 1 + u64::from(faulty && self.rng.chance(self.plan.duplication));
        for copy in 0..copies {
            if copy > 0 {
                self.count("messages duplicated");
            }
            let longest = if faulty { self.plan.delay } else { self.plan.delay.min(50_000) };
            let mut delay = self.rng.between(500, longest);
            if faulty && self.rng.chance(self.plan.straggling) {
                self.count("messages overtaken");
                delay += self.rng.below(5 * SECOND);
            }
            self.at(now + delay, Event::Arrival { to, from, letter: letter.clone() });
        }
    }
}

/// A peer's id as libp2p makes it of an ed25519 key.
fn peer_id(address: &Address) -> PeerId {
    let mut bytes = vec![0, 36, 8, 1, 18, 32];
    bytes.extend_from_slice(address.as_bytes());
    PeerId::from_bytes(&bytes).expect("an identity multihash of an ed25519 key is a peer's id")
}
