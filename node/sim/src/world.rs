//! One run: starts the nodes, lets things happen in the order of their virtual times, and judges the end.
//!
//! The run ends with the first failure, or when the faults are over and everything that was accepted is committed on every node; being late with that is a failure
//! too. Called by `lib`.

use chain::id::Address;
use consensus::signing::{Keys, Signatures};
use contracts::genesis::Genesis;

use crate::{
    Failure, Outcome,
    adversary::Adversary,
    clients::{self, Client},
    federation::{self, Holder},
    message::Message,
    node::Node,
    oracle::Oracle,
    plan::{PROGRESS_LIMIT, Plan, SECOND},
    rng::Rng,
    shared::{Event, Shared},
};

/// Events of one run; a run that has more is stuck in one moment.
const EVENTS_MAX: u64 = 3_000_000;
/// How long everything must be quiet at the end, so that what should not happen has time to.
const QUIET: u64 = 3 * SECOND;

#[derive(Debug)]
pub(crate) struct World {
    shared: Shared,
    genesis: Genesis,
    nodes: Vec<Node>,
    clients: Vec<Client>,
    // Removed last.
    _directory: tempfile::TempDir,
}

impl World {
    pub(crate) fn new(plan: Plan, verbose: bool) -> std::io::Result<Self> {
        let mut rng = Rng::new(plan.seed ^ 0x636f_6d6d_6f6e);
        let genesis = federation::genesis(&plan.powers);
        let chain_id = genesis.chain_id();
        let directory = directory()?;
        let mut nodes = Vec::new();
        let mut adversaries = Vec::new();
        for (index, number) in (0..plan.nodes()).zip(0_u8..) {
            // The observer comes last, with a key that is in no set.
            let keys = Keys::new(chain_id, Holder::Validator(number).key());
            adversaries.push(plan.liars.contains(&index).then(|| Adversary::new(keys.clone(), rng.fork())));
            nodes.push(Node::new(index, keys, Signatures::new(chain_id), directory.path().join(format!("{index}"))));
        }
        let clients = clients::all(chain_id, plan.transactions, &mut rng);
        let addresses: Vec<Address> = nodes.iter().map(|node| node.address).collect();
        let shared = Shared::new(plan, rng, Oracle::new(&genesis), adversaries, addresses, verbose);
        Ok(Self { shared, genesis, nodes, clients, _directory: directory })
    }

    pub(crate) fn run(mut self) -> Outcome {
        self.begin();
        let mut quiet_since = None;
        let mut events = 0_u64;
        while self.shared.failure.is_none() {
            let Some(event) = self.shared.next() else { break };
            events += 1;
            self.happen(event);
            let now = self.shared.now;
            if now < self.shared.plan.calm {
                continue;
            }
            if !self.is_settled() {
                quiet_since = None;
            } else if now >= *quiet_since.get_or_insert(now) + QUIET {
                break;
            }
            if now > self.shared.plan.calm + PROGRESS_LIMIT || events > EVENTS_MAX {
                let failure = self.stalled();
                self.shared.fail(failure);
            }
        }
        if self.shared.failure.is_none() {
            let verdict = self.judge();
            self.shared.require(verdict);
        }
        for node in &mut self.nodes {
            node.end();
        }
        let Self { shared, .. } = self;
        let trace = shared.trace_digest();
        let Shared { plan, now, mut stats, failure, oracle, .. } = shared;
        stats.settled_after = now.saturating_sub(plan.calm);
        Outcome { seed: plan.seed, trace, heights: oracle.height(), stats, failure }
    }

    fn begin(&mut self) {
        for (node, at) in self.shared.plan.start.clone().into_iter().enumerate() {
            if at > 0 {
                self.shared.count("late starts");
            }
            self.shared.at(at, Event::Start { node });
        }
        for crash in self.shared.plan.crashes.clone() {
            self.shared.at(crash.at, Event::Crash { node: crash.node, steps: crash.steps, down: crash.down });
        }
        self.shared.stats.count("partitions", self.shared.plan.partitions.len() as u64);
        for client in 0..self.clients.len() {
            let at = self.shared.rng.below(2 * SECOND);
            self.shared.at(at, Event::Client { client });
        }
    }

    fn happen(&mut self, event: Event) {
        let (shared, nodes) = (&mut self.shared, &mut self.nodes);
        let touched = match event {
            Event::Start { node } => {
                nodes[node].start(shared, &self.genesis);
                node
            }
            Event::Crash { node, steps, down } => {
                nodes[node].light_fuse(steps, down);
                node
            }
            Event::Arrival { to, from, letter } => {
                shared.trace("arrival", &[to as u64, from as u64, u64::from(letter.kind())], &letter.bytes);
                match letter.open() {
                    Ok(Message::Refused(_)) if shared.is_honest(from) => {
                        shared.fail(Failure::Codec { node: from, error: "an honest answer is refused".to_owned() });
                    }
                    Ok(message) => nodes[to].receive(shared, from, message),
                    Err(error) => shared.fail(Failure::Codec { node: from, error: error.to_string() }),
                }
                to
            }
            Event::Timer { node, life, timeout, number } => {
                nodes[node].timer(shared, life, timeout, number);
                node
            }
            Event::Answer { node, life } => {
                nodes[node].answer(shared, life);
                node
            }
            Event::Wake { node, life } => {
                nodes[node].wake(shared, life);
                node
            }
            Event::Tick { node, life } => {
                nodes[node].tick(shared, life);
                node
            }
            Event::Overdue { node, life, number } => {
                nodes[node].overdue(shared, life, number);
                node
            }
            Event::Client { client } => {
                if let Some(after) = self.clients[client].look(shared, nodes) {
                    shared.at(shared.now + after, Event::Client { client });
                }
                0
            }
        };
        // A client may have touched any node.
        for node in nodes.iter_mut().filter(|node| node.index == touched || node.is_dying()) {
            if let Some(down) = node.bury(shared) {
                shared.at(shared.now + down, Event::Start { node: node.index });
            }
        }
    }

    /// Whether nothing is left to do on any honest node and for any client.
    fn is_settled(&self) -> bool {
        let height = self.shared.oracle.height();
        // An observer begins the next height when it starts, and waits there: it has no vote that would wake anybody.
        let watches = |node: &Node| node.index >= self.shared.plan.powers.len();
        self.clients.iter().all(Client::is_done)
            && self.honest().all(|node| node.life.as_ref().is_some_and(|life| life.tip() == height && (life.is_quiet() || watches(node))))
    }

    /// A liar whose log shows that it voted twice does not start again, which is right and its own fault.
    fn honest(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|node| self.shared.is_honest(node.index))
    }

    fn stalled(&self) -> Failure {
        let waiting = self.clients.iter().map(Client::waiting).sum();
        let heights = self.nodes.iter().map(Node::tip).collect();
        Failure::Stalled { seconds: PROGRESS_LIMIT / SECOND, waiting, heights }
    }

    fn judge(&mut self) -> Result<(), Failure> {
        let oracle = &self.shared.oracle;
        for node in self.honest() {
            let stopped = |error| Failure::Stopped { node: node.index, error };
            let (height, hash, root) = node.life.as_ref().ok_or_else(|| stopped("it is down".to_owned()))?.newest().map_err(stopped)?;
            if Some(hash) != oracle.hash_at(height) || root != oracle.tree.root() {
                return Err(Failure::OtherState { node: node.index, height });
            }
        }
        for id in self.clients.iter().flat_map(|client| &client.accepted) {
            match oracle.committed.get(id).map(Vec::len) {
                Some(1) => {}
                times => return Err(Failure::NotOnce { id: *id, times: times.unwrap_or(0) }),
            }
        }
        Ok(())
    }
}

/// Where the nodes' databases are kept: in memory where there is such a place, because every block is synced many times and no machine loses its power here.
fn directory() -> std::io::Result<tempfile::TempDir> {
    match std::env::var_os("TMPDIR") {
        Some(_) => tempfile::tempdir(),
        None => tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()),
    }
}
