//! The storm: deals faults one after the other, starts dead nodes again, and measures whether the federation goes on, stands still safely and resumes.
//!
//! It owns the processes while it blows. A node that ends by itself and says with its exit code that it may be started again (its own watchdog, say) is started
//! again like one that was killed; one that ends otherwise ends the storm. Called by `chaos`.

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
    faults::{Deck, Fault, Left, Targets},
    life::PATIENCE,
};
use crate::{federation::Node, report::rounded};

/// The longest fault, and the longest time between two.
const LONGEST_FAULT: Duration = Duration::from_secs(5);
const LONGEST_GAP: Duration = Duration::from_secs(2);

/// How long three of four may take to show that they go on. The turn of the missing one is given up after about a second, and people want something several
/// times a second: two blocks take a second or two. The rest is for a machine with much else to do; at load 20, and with a small share of it, they took three
/// minutes.
const MUST_GO_ON: Duration = PATIENCE;

/// How many blocks show it: one may have been under way.
const GOING_ON: u64 = 2;

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
    /// How long after its beginning the three that were left were seen to have decided two more blocks, s; none where they were not, or too few were left.
    pub went_on_after_s: Option<f64>,
    /// How long after its end every node had a newer block than any had by then, s.
    pub resumed_s: f64,
    /// Whether those that were left could decide nothing.
    pub no_quorum: bool,
    /// Whether one node was missing, and the others could decide.
    pub one_missing: bool,
    /// How many blocks were decided while it lasted after a look to which all that were left had answered: without a quorum at most the one under way.
    pub blocks_after_first_look: u64,
}

impl Trial {
    /// What is wrong, if something is.
    #[must_use]
    pub fn fault(&self) -> Option<String> {
        let Self { kind, nodes, blocks_after_first_look: found, .. } = self;
        if self.no_quorum && *found > 1 {
            return Some(format!("{found} blocks were decided without a quorum during {kind} of nodes {nodes:?}"));
        }
        let stood_still = self.one_missing && self.went_on_after_s.is_none();
        let limit = MUST_GO_ON.as_secs();
        stood_still.then(|| format!("the others did not decide {GOING_ON} blocks in {limit} s of {kind} of nodes {nodes:?}"))
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

/// What is seen of the blocks while a fault lasts.
#[derive(Debug)]
struct Watch {
    leaves: Left,
    /// Who cannot answer.
    mute: Vec<usize>,
    /// The newest block in the first look to which all others answered: what was decided before the fault is among its blocks.
    first: Option<Height>,
    /// The newest block of any look.
    newest: Height,
    went_on_after: Option<Duration>,
}

impl Watch {
    fn new(fault: &Fault) -> Self {
        let mute = if fault.kind.silences() { fault.nodes.clone() } else { Vec::new() };
        Self { leaves: fault.kind.leaves(), mute, first: None, newest: Height(0), went_on_after: None }
    }

    /// A look at every node, so long after the fault had begun.
    fn look(&mut self, heights: &[Option<Height>], after: Duration) {
        self.newest = heights.iter().flatten().copied().fold(self.newest, Height::max);
        let all = heights.iter().enumerate().all(|(node, height)| height.is_some() || self.mute.contains(&node));
        if all && self.first.is_none() {
            self.first = Some(self.newest);
        }
        if self.leaves == Left::Quorum && self.went_on_after.is_none() && self.decided() >= GOING_ON {
            self.went_on_after = Some(after);
        }
    }

    /// How many blocks were decided after the first look.
    fn decided(&self) -> u64 {
        self.first.map_or(0, |first| self.newest.0.saturating_sub(first.0))
    }

    /// Whether the fault has lasted long enough to be judged.
    fn is_content(&self) -> bool {
        match self.leaves {
            Left::Quorum => self.went_on_after.is_some(),
            Left::All | Left::TooFew => true,
        }
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
    /// The newest block of any node so far.
    seen: Height,
}

impl Storm {
    /// A storm over these nodes that has not begun.
    #[must_use]
    pub fn new(seed: u64, nodes: Vec<Node>, clients: Vec<Client>, targets: Targets, lasts: Duration) -> Self {
        // A short storm has short faults, so that it sees every kind.
        let longest = LONGEST_FAULT.min(lasts / 12);
        let deck = Deck::new(seed, nodes.len(), longest);
        Self { deck, nodes, clients, targets, started: Instant::now(), trials: Vec::new(), ended_by_itself: 0, seen: Height(0) }
    }

    /// Blows until then; people must charge meanwhile, or nothing would show that the federation goes on.
    ///
    /// # Errors
    /// Where the federation does not come through: a node that cannot or must not be started again, no new block in time.
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
        let down: BTreeSet<usize> = if fault.kind.kills() { fault.nodes.iter().copied().collect() } else { BTreeSet::new() };
        let Self { targets, nodes, ended_by_itself, clients, .. } = self;
        targets.begin(fault).await?;
        let begun = Instant::now();
        let mut watch = Watch::new(fault);
        {
            let (mut lasting, mut is_over) = (std::pin::pin!(targets.last(fault)), false);
            while !(is_over && (watch.is_content() || begun.elapsed() > MUST_GO_ON)) {
                tokio::select! {
                    () = &mut lasting, if !is_over => is_over = true,
                    () = tokio::time::sleep(LOOK) => {
                        *ended_by_itself += start_again(nodes, &down).await?;
                        watch.look(&heights_of(clients).await, begun.elapsed());
                    }
                }
            }
        }
        let lasted_s = begun.elapsed().as_secs_f64();
        // Before it ends: what is decided because it ended is not counted.
        watch.look(&heights_of(clients).await, begun.elapsed());
        targets.end(fault).await?;
        let during = watch.newest.max(before);
        self.seen = during;
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
            went_on_after_s: watch.went_on_after.map(|after| rounded(after.as_secs_f64())),
            resumed_s: rounded(resumed_s),
            blocks_after_first_look: watch.decided(),
            no_quorum: fault.kind.leaves() == Left::TooFew,
            one_missing: fault.kind.leaves() == Left::Quorum,
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
    /// Where a node does not start, or must not be started.
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

    /// The nodes with the cables that they are still at, what was tried, and how often nodes ended by themselves.
    #[must_use]
    pub fn over(self) -> (Vec<Node>, Targets, Vec<Trial>, u32) {
        (self.nodes, self.targets, self.trials, self.ended_by_itself)
    }

    /// The newest block that was ever seen: on a slow machine it may be that nobody answers in time.
    async fn newest(&mut self) -> Height {
        let heights = heights_of(&self.clients).await;
        self.seen = heights.into_iter().flatten().fold(self.seen, Height::max);
        self.seen
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

/// Every node's newest block, where it says so soon.
async fn heights_of(clients: &[Client]) -> Vec<Option<Height>> {
    let height = async |client: &Client| tokio::time::timeout(ANSWER, client.status()).await.ok()?.ok().map(|status| status.height);
    futures::future::join_all(clients.iter().map(height)).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chaos::faults::Kind;

    fn watch(kind: Kind) -> Watch {
        Watch::new(&Fault { kind, nodes: vec![1], lasts: Duration::from_secs(1), delay: Duration::ZERO })
    }

    fn heights(heights: [u64; 4]) -> [Option<Height>; 4] {
        heights.map(|height| (height > 0).then_some(Height(height)))
    }

    fn trial(kind: Kind, watch: &Watch) -> Trial {
        Trial {
            at_s: 1.0,
            kind: kind.name(),
            nodes: vec![1],
            lasted_s: 3.0,
            height_before: 7,
            blocks_during: 9,
            went_on_after_s: watch.went_on_after.map(|after| after.as_secs_f64()),
            resumed_s: 0.4,
            no_quorum: kind.leaves() == Left::TooFew,
            one_missing: kind.leaves() == Left::Quorum,
            blocks_after_first_look: watch.decided(),
        }
    }

    #[test]
    fn three_of_four_must_go_on_while_one_is_missing() {
        for kind in [Kind::KillOne, Kind::PauseOne, Kind::CutOff, Kind::Unplug] {
            let mut watch = watch(kind);
            watch.look(&heights([5, 5, 7, 7]), Duration::from_millis(200));
            watch.look(&heights([8, 5, 8, 8]), Duration::from_millis(400));
            assert!(!watch.is_content(), "{}: the eighth may have been under way", kind.name());
            let fault = trial(kind, &watch).fault();
            assert_eq!(fault, Some(format!("the others did not decide 2 blocks in 600 s of {} of nodes [1]", kind.name())));
            watch.look(&heights([8, 5, 9, 0]), Duration::from_secs(4));
            assert!(watch.is_content());
            assert_eq!((watch.went_on_after, trial(kind, &watch).fault()), (Some(Duration::from_secs(4)), None));
        }
    }

    #[test]
    fn two_of_four_must_decide_no_more_than_what_was_under_way() {
        for kind in [Kind::KillTwo, Kind::PauseTwo, Kind::Split] {
            let mut watch = watch(kind);
            assert!(watch.is_content());
            watch.look(&heights([7, 7, 7, 8]), Duration::from_millis(200));
            watch.look(&heights([9, 7, 9, 9]), Duration::from_millis(400));
            assert_eq!(trial(kind, &watch).fault(), None, "{}: one was under way", kind.name());
            watch.look(&heights([0, 7, 10, 9]), Duration::from_millis(600));
            let fault = trial(kind, &watch).fault();
            assert_eq!(fault, Some(format!("2 blocks were decided without a quorum during {} of nodes [1]", kind.name())));
        }
    }

    /// A slow machine: a node that had decided before the fault said so late, and its blocks were taken for new ones.
    #[test]
    fn what_a_node_decided_before_it_answered_for_the_first_time_counts_for_nothing() {
        let mut watch = watch(Kind::PauseTwo);
        watch.look(&heights([0, 0, 7, 7]), Duration::from_millis(200));
        assert_eq!(watch.first, None, "the first has not answered");
        watch.look(&heights([9, 0, 7, 8]), Duration::from_millis(900));
        assert_eq!((watch.first, watch.decided()), (Some(Height(9)), 0));
        assert_eq!(trial(Kind::BusyDisk, &watch).fault(), None, "a disk may be busy for that long");
    }
}
