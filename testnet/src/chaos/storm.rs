//! The storm: deals faults one after the other, starts dead nodes again, and measures whether the federation goes on, stands still safely and resumes.
//!
//! It owns the processes while it blows. A node that ends by itself (its own watchdog, say) is started again like one that was killed. Called by `chaos`.

use std::{
    collections::BTreeSet,
    fmt,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use chain::id::Height;
use cli::client::Client;
use serde::Serialize;

use super::{
    faults::{Deck, Fault, Kind, Targets},
    life::PATIENCE,
};
use crate::{federation::Node, report::rounded};

/// The longest fault, and the longest time between two.
const LONGEST_FAULT: Duration = Duration::from_secs(5);
const LONGEST_GAP: Duration = Duration::from_secs(2);

/// How often nodes are looked at.
const LOOK: Duration = Duration::from_millis(200);

/// How long a node may take to say its height.
const ANSWER: Duration = Duration::from_millis(500);

/// A fault and what came of it.
#[derive(Clone, Debug, Serialize)]
pub struct Trial {
    /// When it began, s.
    pub at_s: f64,
    /// What.
    pub kind: &'static str,
    /// Whom.
    pub nodes: Vec<usize>,
    /// For how long, s.
    pub lasted_s: f64,
    /// The newest block of any node when it began.
    pub height_before: u64,
    /// How many blocks were decided while it lasted.
    pub blocks_during: u64,
    /// How long after its end every node had a newer block than any had by then, s.
    pub resumed_s: f64,
    /// Whether those that were left could decide nothing.
    pub no_quorum: bool,
    /// How many blocks were decided after the first look while it lasted: without a quorum at most the one under way.
    pub blocks_after_first_look: u64,
}

impl Trial {
    /// What is wrong, if something is.
    #[must_use]
    pub fn fault(&self) -> Option<String> {
        let found = self.blocks_after_first_look;
        let safe = !self.no_quorum || found <= 1;
        (!safe).then(|| format!("{found} blocks were decided without a quorum during {} of nodes {:?}", self.kind, self.nodes))
    }
}

impl fmt::Display for Trial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nodes: Vec<_> = self.nodes.iter().map(ToString::to_string).collect();
        let nodes = if nodes.is_empty() { "all".to_owned() } else { nodes.join(" ") };
        let Self { at_s, kind, lasted_s, height_before, blocks_during, resumed_s, .. } = self;
        let what = if self.no_quorum { "stood still, " } else { "" };
        write!(
            f,
            "{at_s:>6.1}  {kind:13} {nodes:10} {lasted_s:>6.1} {height_before:>13} {blocks_during:>13}  {what}all on after {resumed_s:.1} s"
        )
    }
}

/// The storm.
#[derive(Debug)]
pub struct Storm {
    deck: Deck,
    nodes: Vec<Node>,
    clients: Vec<Client>,
    targets: Targets,
    started: Instant,
    trials: Vec<Trial>,
    ended_by_itself: u32,
}

impl Storm {
    /// A storm over these nodes that has not begun.
    #[must_use]
    pub fn new(seed: u64, nodes: Vec<Node>, clients: Vec<Client>, targets: Targets, lasts: Duration) -> Self {
        // A short storm has short faults, so that it sees every kind.
        let longest = LONGEST_FAULT.min(lasts / 12);
        let deck = Deck::new(seed, nodes.len(), longest);
        Self { deck, nodes, clients, targets, started: Instant::now(), trials: Vec::new(), ended_by_itself: 0 }
    }

    /// Blows until then; people must charge meanwhile, or nothing would show that the federation goes on.
    ///
    /// # Errors
    /// Where the federation does not come through: a node that cannot be started again, no new block in time.
    pub async fn blow(&mut self, until: Instant) -> anyhow::Result<()> {
        while Instant::now() < until {
            let gap = self.deck.gap(LONGEST_GAP);
            self.mind(gap).await?;
            let fault = self.deck.deal();
            let trial = self.suffer(&fault).await.with_context(|| format!("after {fault:?}"))?;
            eprintln!("{trial}");
            self.trials.push(trial);
        }
        Ok(())
    }

    async fn suffer(&mut self, fault: &Fault) -> anyhow::Result<Trial> {
        let at_s = self.started.elapsed().as_secs_f64();
        let before = self.newest().await;
        let begun = Instant::now();
        let down: BTreeSet<usize> = if fault.kind.kills() { fault.nodes.iter().copied().collect() } else { BTreeSet::new() };
        // The targets are lent to the fault while the nodes are minded beside it.
        let Self { targets, nodes, ended_by_itself, clients, .. } = self;
        let (mut first_look, mut during) = (None, before);
        let suffering = async {
            targets.suffer(fault, std::future::pending()).await;
        };
        let minding = async {
            loop {
                tokio::time::sleep(LOOK).await;
                match start_again(nodes, &down).await {
                    Ok(started) => *ended_by_itself += started,
                    Err(error) => return error,
                }
                during = during.max(newest_of(clients).await);
                first_look.get_or_insert(during);
            }
        };
        tokio::select! {
            () = suffering => {}
            error = minding => return Err(error),
        }
        let lasted_s = begun.elapsed().as_secs_f64();
        let during = during.max(self.newest().await);
        for node in &down {
            self.nodes[*node].start_again().await?;
        }
        let resumed_s = self.all_beyond(during).await?;
        Ok(Trial {
            at_s: rounded(at_s),
            kind: fault.kind.name(),
            nodes: fault.nodes.clone(),
            lasted_s: rounded(lasted_s),
            height_before: before.0,
            blocks_during: during.0.saturating_sub(before.0),
            resumed_s: rounded(resumed_s),
            blocks_after_first_look: during.0.saturating_sub(first_look.unwrap_or(during).0),
            no_quorum: matches!(fault.kind, Kind::KillTwo | Kind::PauseTwo | Kind::Split),
        })
    }

    /// Waits until every node has a newer block than this; people charge, so there is always something to decide.
    async fn all_beyond(&mut self, height: Height) -> anyhow::Result<f64> {
        let since = Instant::now();
        loop {
            self.ended_by_itself += start_again(&mut self.nodes, &BTreeSet::new()).await?;
            let heights = heights_of(&self.clients).await;
            if heights.iter().all(|found| found.is_some_and(|found| found > height)) {
                return Ok(since.elapsed().as_secs_f64());
            }
            if since.elapsed() > PATIENCE {
                let log = self.nodes.first().map(Node::log_end).unwrap_or_default();
                anyhow::bail!("not every node went on from block {height} within {} s: {heights:?}\n{log}", PATIENCE.as_secs());
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Starts again what ended by itself, for so long.
    ///
    /// # Errors
    /// Where a node does not start.
    pub async fn mind(&mut self, lasts: Duration) -> anyhow::Result<()> {
        let until = Instant::now() + lasts;
        loop {
            self.ended_by_itself += start_again(&mut self.nodes, &BTreeSet::new()).await?;
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            tokio::time::sleep(left.min(LOOK)).await;
        }
    }

    /// Waits until all nodes are at one block with nothing left to do.
    ///
    /// # Errors
    /// Where they are not in time.
    pub async fn agree(&mut self) -> anyhow::Result<()> {
        let since = Instant::now();
        let mut seen = Vec::new();
        loop {
            self.ended_by_itself += start_again(&mut self.nodes, &BTreeSet::new()).await?;
            let heights = heights_of(&self.clients).await;
            let one = heights.iter().all(|height| height.is_some() && *height == heights[0]);
            // Twice the same: nothing is under way.
            if one && heights == seen {
                return Ok(());
            }
            seen = heights;
            anyhow::ensure!(since.elapsed() < PATIENCE, "the nodes did not come to one block within {} s: {seen:?}", PATIENCE.as_secs());
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
    }

    /// The nodes, what was tried, and how often nodes ended by themselves.
    #[must_use]
    pub fn over(self) -> (Vec<Node>, Vec<Trial>, u32) {
        (self.nodes, self.trials, self.ended_by_itself)
    }

    async fn newest(&self) -> Height {
        newest_of(&self.clients).await
    }
}

/// Starts nodes again that have ended, but for those that shall be down; gives how many.
async fn start_again(nodes: &mut [Node], down: &BTreeSet<usize>) -> anyhow::Result<u32> {
    let mut started = 0;
    for (number, node) in nodes.iter_mut().enumerate() {
        if !down.contains(&number) && node.start_again().await? {
            started += 1;
        }
    }
    Ok(started)
}

async fn newest_of(clients: &[Client]) -> Height {
    heights_of(clients).await.into_iter().flatten().max().unwrap_or(Height(0))
}

/// Every node's newest block, where it says so soon.
async fn heights_of(clients: &[Client]) -> Vec<Option<Height>> {
    let height = async |client: &Client| tokio::time::timeout(ANSWER, client.status()).await.ok()?.ok().map(|status| status.height);
    futures::future::join_all(clients.iter().map(height)).await
}
