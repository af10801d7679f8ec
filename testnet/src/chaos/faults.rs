//! What befalls nodes: deaths, pauses, bad cables, a busy disk; drawn from a seed, begun and ended.
//!
//! A deck deals every kind once before it deals any again, so that short runs have seen them all. It starts no process again and judges nothing. Called by
//! `chaos`, and by `replay` for a disturbance beside its stepped clock.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Write as _},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rand::{Rng as _, SeedableRng as _, rngs::StdRng, seq::SliceRandom as _};
use tokio::{sync::watch, task::JoinHandle};

use crate::{
    federation::{Process, Signal},
    link::{Cable, LinkError, Links},
};

/// What a busy disk writes at once, bytes.
const WRITTEN_AT_ONCE: usize = 4 << 20;

/// The longest pause between two faults of a [`Disturbance`], and the longest fault, ms: most of the time goes by undisturbed, or long runs would only recover.
const LONGEST_GAP_MS: u64 = 10_000;
const LONGEST_FAULT_MS: u64 = 1_500;

/// The longest pause before the first of them, ms.
const FIRST_GAP_MS: u64 = 500;

/// Whom a fault leaves, of four nodes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Left {
    /// Every one, if slower.
    All,
    /// Three, who can decide.
    Quorum,
    /// Too few to decide anything.
    TooFew,
}

/// A kind of fault.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Kind {
    /// One node is killed.
    KillOne,
    /// Two nodes are killed at once: of four, those left cannot decide.
    KillTwo,
    /// One node stands still.
    PauseOne,
    /// Two nodes stand still.
    PauseTwo,
    /// Everything between nodes comes later.
    SlowNetwork,
    /// Nothing reaches or leaves one node, and nobody is told.
    CutOff,
    /// One node's connections are broken, and it gets no new ones.
    Unplug,
    /// One half of the nodes hears nothing of the other.
    Split,
    /// All connections are broken once: what was under way is lost.
    Flicker,
    /// Somebody else keeps the disk busy with writes that must be durable.
    BusyDisk,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 10] = [
        Self::KillOne,
        Self::KillTwo,
        Self::PauseOne,
        Self::PauseTwo,
        Self::SlowNetwork,
        Self::CutOff,
        Self::Unplug,
        Self::Split,
        Self::Flicker,
        Self::BusyDisk,
    ];

    /// The name in reports; it never changes.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::KillOne => "kill_one",
            Self::KillTwo => "kill_two",
            Self::PauseOne => "pause_one",
            Self::PauseTwo => "pause_two",
            Self::SlowNetwork => "slow_network",
            Self::CutOff => "cut_off",
            Self::Unplug => "unplug",
            Self::Split => "split",
            Self::Flicker => "flicker",
            Self::BusyDisk => "busy_disk",
        }
    }

    /// How many nodes it befalls of so many.
    const fn nodes(self, of: usize) -> usize {
        match self {
            Self::KillOne | Self::PauseOne | Self::CutOff | Self::Unplug => 1,
            Self::KillTwo | Self::PauseTwo => 2,
            Self::Split => of / 2,
            Self::SlowNetwork | Self::Flicker | Self::BusyDisk => 0,
        }
    }

    /// Whom it leaves, of four.
    #[must_use]
    pub const fn leaves(self) -> Left {
        match self {
            Self::KillOne | Self::PauseOne | Self::CutOff | Self::Unplug => Left::Quorum,
            Self::KillTwo | Self::PauseTwo | Self::Split => Left::TooFew,
            Self::SlowNetwork | Self::Flicker | Self::BusyDisk => Left::All,
        }
    }

    /// Whether those whom it befalls cannot answer while it lasts.
    #[must_use]
    pub const fn silences(self) -> bool {
        match self {
            Self::KillOne | Self::KillTwo | Self::PauseOne | Self::PauseTwo => true,
            Self::SlowNetwork | Self::CutOff | Self::Unplug | Self::Split | Self::Flicker | Self::BusyDisk => false,
        }
    }

    /// Whether nodes die of it, so that somebody has to start them again.
    #[must_use]
    pub const fn kills(self) -> bool {
        match self {
            Self::KillOne | Self::KillTwo => true,
            Self::PauseOne
            | Self::PauseTwo
            | Self::SlowNetwork
            | Self::CutOff
            | Self::Unplug
            | Self::Split
            | Self::Flicker
            | Self::BusyDisk => false,
        }
    }
}

/// Something that befalls nodes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fault {
    /// What.
    pub kind: Kind,
    /// Whom; none where it befalls all alike.
    pub nodes: Vec<usize>,
    /// For how long.
    pub lasts: Duration,
    /// How much later everything comes, where the network is slow.
    pub delay: Duration,
}

/// Deals faults for so many nodes.
#[derive(Debug)]
pub struct Deck {
    random: StdRng,
    nodes: usize,
    /// The longest fault, ms.
    longest_ms: u64,
    left: Vec<Kind>,
}

impl Deck {
    /// The deck of a seed; the same seed deals the same faults.
    #[must_use]
    pub fn new(seed: u64, nodes: usize, longest: Duration) -> Self {
        let longest_ms = u64::try_from(longest.as_millis()).unwrap_or(u64::MAX).max(2);
        Self { random: StdRng::seed_from_u64(seed), nodes, longest_ms, left: Vec::new() }
    }

    /// The next fault.
    pub fn deal(&mut self) -> Fault {
        let kind = match self.left.pop() {
            Some(kind) => kind,
            None => {
                self.left = Kind::ALL.to_vec();
                self.left.shuffle(&mut self.random);
                self.left.pop().expect("there are kinds")
            }
        };
        let mut all: Vec<_> = (0..self.nodes).collect();
        all.shuffle(&mut self.random);
        all.truncate(kind.nodes(self.nodes));
        all.sort_unstable();
        let lasts = Duration::from_millis(self.random.random_range(self.longest_ms / 4..=self.longest_ms));
        let delay = Duration::from_millis(self.random.random_range(20..150));
        Fault { kind, nodes: all, lasts, delay }
    }

    /// How long to leave nodes alone, at most so long.
    pub fn gap(&mut self, longest: Duration) -> Duration {
        longest.mul_f64(self.random.random_range(0.1..1.0))
    }
}

/// What faults befall.
#[derive(Debug)]
pub struct Targets {
    /// The nodes' processes.
    pub processes: Vec<Process>,
    /// Their cables.
    pub links: Links,
    /// A folder on the disk that the nodes use.
    pub disk: PathBuf,
}

impl Targets {
    /// Lets a fault begin, last and end; whoever dies of it is only killed. Cut short when `enough` resolves, and ended all the same.
    ///
    /// # Errors
    /// [`LinkError`]: cables that are not what they should be; relays never are.
    pub async fn suffer(&self, fault: &Fault, enough: impl Future<Output = ()>) -> Result<(), LinkError> {
        self.begin(fault).await?;
        tokio::select! {
            () = self.last(fault) => {}
            () = enough => {}
        }
        self.end(fault).await
    }

    /// The time for which a fault lasts once it has begun.
    pub(super) async fn last(&self, fault: &Fault) {
        match fault.kind {
            Kind::Flicker => {}
            Kind::BusyDisk => self.keep_disk_busy(fault.lasts).await,
            Kind::KillOne
            | Kind::KillTwo
            | Kind::PauseOne
            | Kind::PauseTwo
            | Kind::SlowNetwork
            | Kind::CutOff
            | Kind::Unplug
            | Kind::Split => tokio::time::sleep(fault.lasts).await,
        }
    }

    /// Begins a fault, which goes on until [`Targets::end`].
    ///
    /// # Errors
    /// As [`Targets::suffer`].
    pub(super) async fn begin(&self, fault: &Fault) -> Result<(), LinkError> {
        let signal = async |signal: Signal| {
            for node in &fault.nodes {
                self.processes[*node].send(signal).await;
            }
            Ok(())
        };
        match fault.kind {
            Kind::KillOne | Kind::KillTwo => signal(Signal::Kill).await,
            Kind::PauseOne | Kind::PauseTwo => signal(Signal::Stop).await,
            Kind::SlowNetwork => self.links.all(Cable::Slow(fault.delay)).await,
            Kind::CutOff | Kind::Split => self.links.around(&fault.nodes, Cable::Dead).await,
            Kind::Unplug => self.links.around(&fault.nodes, Cable::Pulled).await,
            Kind::Flicker => self.links.all(Cable::Pulled).await,
            Kind::BusyDisk => Ok(()),
        }
    }

    /// Ends a fault; who is dead stays so.
    ///
    /// # Errors
    /// As [`Targets::suffer`].
    pub(super) async fn end(&self, fault: &Fault) -> Result<(), LinkError> {
        match fault.kind {
            Kind::KillOne | Kind::KillTwo | Kind::BusyDisk => Ok(()),
            Kind::PauseOne | Kind::PauseTwo => {
                for node in &fault.nodes {
                    self.processes[*node].send(Signal::Continue).await;
                }
                Ok(())
            }
            Kind::SlowNetwork | Kind::CutOff | Kind::Unplug | Kind::Split | Kind::Flicker => self.links.all(Cable::Sound).await,
        }
    }

    /// Writes as fast as it can, each write durable.
    async fn keep_disk_busy(&self, lasts: Duration) {
        let (path, until) = (self.disk.join("busy"), Instant::now() + lasts);
        let busy = tokio::task::spawn_blocking(move || write_until(&path, until));
        // A disk that is full is busy enough.
        let _ = busy.await;
    }
}

fn write_until(path: &Path, until: Instant) -> io::Result<()> {
    let bytes = vec![0x5a; WRITTEN_AT_ONCE];
    while Instant::now() < until {
        let mut file = File::create(path)?;
        file.write_all(&bytes)?;
        file.sync_data()?;
    }
    std::fs::remove_file(path)
}

/// Faults beside whatever else is done, one after the other, until it is stopped.
#[derive(Debug)]
pub struct Disturbance {
    stop: watch::Sender<bool>,
    task: JoinHandle<BTreeMap<&'static str, u64>>,
}

impl Disturbance {
    /// Begins; whoever owns the processes starts those again that die.
    #[must_use]
    pub fn start(seed: u64, targets: Targets) -> Self {
        let (stop, mut stopped) = watch::channel(false);
        let task = tokio::spawn(async move {
            let mut deck = Deck::new(seed, targets.processes.len(), Duration::from_millis(LONGEST_FAULT_MS));
            let mut counts = BTreeMap::new();
            // The first comes soon, so that a short run is disturbed too.
            let mut longest_gap_ms = FIRST_GAP_MS;
            loop {
                let gap = deck.gap(Duration::from_millis(longest_gap_ms));
                longest_gap_ms = LONGEST_GAP_MS;
                let enough = tokio::time::timeout(gap, stopped.wait_for(|stop| *stop)).await.is_ok();
                if enough {
                    return counts;
                }
                let fault = deck.deal();
                tracing::info!(?fault, "disturbing");
                let suffered = targets.suffer(&fault, async { drop(stopped.wait_for(|stop| *stop).await) }).await;
                if let Err(error) = suffered {
                    tracing::error!(%error, "cables cannot be disturbed any more");
                    return counts;
                }
                *counts.entry(fault.kind.name()).or_default() += 1;
            }
        });
        Self { stop, task }
    }

    /// Ends the fault under way and gives how many of each kind there were.
    pub async fn stop(self) -> BTreeMap<&'static str, u64> {
        self.stop.send_replace(true);
        self.task.await.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_deals_the_same_faults_and_every_kind_before_any_comes_again() {
        let deal = |seed| {
            let mut deck = Deck::new(seed, 4, Duration::from_secs(2));
            (0..20).map(|_| deck.deal()).collect::<Vec<_>>()
        };
        assert_eq!(deal(7), deal(7));
        assert_ne!(deal(7), deal(8));
        for round in deal(7).chunks(Kind::ALL.len()) {
            let mut kinds: Vec<_> = round.iter().map(|fault| fault.kind).collect();
            kinds.sort_unstable();
            assert_eq!(kinds, Kind::ALL);
            for fault in round {
                assert_eq!(fault.nodes.len(), fault.kind.nodes(4), "{fault:?}");
                assert!(fault.nodes.iter().all(|node| *node < 4) && fault.lasts <= Duration::from_secs(2), "{fault:?}");
                assert!(fault.lasts >= Duration::from_millis(500), "{fault:?}");
            }
        }
    }
}
