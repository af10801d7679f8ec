//! `watt-testnet idle`: what nodes cost that nobody asks for anything, and how soon they decide when somebody does.
//!
//! The nodes are those of as many condominiums, with gateways and schedulers as `wattd` sets them, without units. They decide a block each, are left alone for
//! as long as was asked, and then carry out one sale of tokens after the other, at each node in turn. While they are alone their processes are looked at from
//! outside, and no node is asked anything. All nodes are on this machine. Called by the program.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use chain::{hash::Hash32, id::CondominiumId, params::Params, quantity::Amount, time::Duration as Span};
use cli::{client::Client, wallet::Wallet};
use contracts::call::{Call, SellTokens};
use ed25519_dalek::SigningKey;
use serde::Serialize;

use crate::{
    federation::{self, GatewayPlan, Node, Place as Folder, Plan, Policy, Staff, Time, wattd_beside_us},
    load::{percentile, present_memory_mb, until_one, until_ready, valid_until},
    provision::{self, CONDOMINIUM},
    report::{self, rounded},
    resident::seeded_key,
    sync::processor_seconds,
};

/// What is expected: less of a core and less memory for each node, and the median of the commits sooner.
const CPU_PERCENT: f64 = 1.0;
const MEMORY_MB: f64 = 60.0;
const COMMIT_MS: f64 = 100.0;

/// Sales after the silence, and between two of them: long enough for nodes to come to rest.
const SALES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(200);

/// From the last block before the silence to its beginning.
const SETTLE: Duration = Duration::from_secs(3);

/// Between two looks at the processes, and between two words of how it goes.
const LOOK: Duration = Duration::from_secs(2);
const TELL_EVERY: Duration = Duration::from_secs(30);

/// What is left alone, and for how long.
#[derive(Clone, Debug)]
pub struct Options {
    /// How many decide.
    pub validators: u32,
    /// For how long.
    pub silence: Duration,
    /// Where the numbers go.
    pub json: Option<PathBuf>,
}

/// What `--json` writes.
#[derive(Clone, Debug, Serialize)]
pub struct IdleReport {
    /// Validators.
    pub validators: u32,
    /// How long they were left alone, s.
    pub seconds: f64,
    /// Blocks decided meanwhile; and how many the federation's heartbeat allows in that time.
    pub blocks: u64,
    pub blocks_allowed: u64,
    /// Every node.
    pub nodes: Vec<IdleNode>,
    /// Of the sales after the silence, the first's time from its signature to the answer that a durable block has it, ms.
    pub first_ms: f64,
    /// The same of all of them: the least, half of them, and the most.
    pub min_ms: f64,
    pub median_ms: f64,
    pub max_ms: f64,
    /// Each, in their order, the first at the first node, the second at the next.
    pub commits_ms: Vec<f64>,
    /// Which expectations were missed; empty where none was.
    pub missed: Vec<String>,
}

/// What a node took while it was left alone.
#[derive(Clone, Debug, Serialize)]
pub struct IdleNode {
    /// Its directory.
    pub name: String,
    /// Processor time, in per cent of one core.
    pub cpu_percent: f64,
    /// The most memory that any look found, MB of a million bytes.
    pub rss_mb: f64,
}

/// Leaves nodes alone, and wakes them; gives which expectations were missed, in words.
///
/// # Errors
/// Where the nodes cannot be founded, end, or do not answer.
pub async fn run(options: &Options) -> anyhow::Result<Vec<String>> {
    report::writable(options.json.as_deref())?;
    let folder = Folder::new(None)?;
    let heartbeat = Params::default().heartbeat;
    let plans: Vec<_> = (1..=options.validators).map(|number| plan(number, heartbeat)).collect();
    let mut nodes = federation::found(folder.path(), wattd_beside_us()?, &plans, None).await?;
    let mut tills = Vec::new();
    for (number, node) in (0..).zip(&nodes) {
        let client = Client::new(&node.api_url())?;
        until_ready(&client, node).await?;
        eprintln!("wattd: {}  pid {}", node.api_url(), node.pid().unwrap_or(0));
        tills.push(Till::new(number, node, client)?);
    }
    let clients: Vec<_> = tills.iter().map(|till| till.client.clone()).collect();
    // What comes first waits until nodes have found each other.
    for till in &mut tills {
        till.sell().await?;
    }
    until_one(&clients).await?;
    let decided = Instant::now();
    tokio::time::sleep(SETTLE).await;

    let before = clients[0].status().await?.height;
    let (seconds, lines) = leave_alone(&mut nodes, options.silence).await?;
    let heights = futures::future::try_join_all(clients.iter().map(Client::status)).await?;
    let newest = heights.iter().map(|status| status.height).max().context("there are nodes")?;
    let blocks = newest.0.saturating_sub(before.0);
    let since_ms = u64::try_from(decided.elapsed().as_millis()).unwrap_or(u64::MAX);

    eprintln!("waking them");
    let mut commits_ms = Vec::new();
    for number in 0..SALES as usize {
        let till = number % tills.len();
        commits_ms.push(rounded(tills[till].sell().await?.as_secs_f64() * 1_000.0));
        tokio::time::sleep(PAUSE).await;
    }
    let mut sorted = commits_ms.clone();
    sorted.sort_by(f64::total_cmp);
    let mut report = IdleReport {
        validators: options.validators,
        seconds: rounded(seconds),
        blocks,
        blocks_allowed: since_ms.checked_div(heartbeat.ms()).unwrap_or_default(),
        nodes: lines,
        first_ms: commits_ms.first().copied().unwrap_or_default(),
        min_ms: percentile(&sorted, 0.0),
        median_ms: percentile(&sorted, 0.5),
        max_ms: percentile(&sorted, 1.0),
        commits_ms,
        missed: Vec::new(),
    };
    report.missed = missed(&report);
    summary(&report);
    if let Some(path) = &options.json {
        report::write(&report, path).with_context(|| format!("writing {}", path.display()))?;
    }
    futures::future::try_join_all(nodes.into_iter().map(Node::stop)).await?;
    Ok(report.missed)
}

/// A condominium whose node works as `wattd` sets it.
fn plan(number: u32, heartbeat: Span) -> Plan {
    Plan {
        name: format!("idle-{number}"),
        params: Params { heartbeat, ..provision::test_params(Span::from_hours(24), Span::from_mins(5)) },
        time: Time::Real,
        staff: Staff::Node {
            policy: Policy::Fcfs,
            gateway: GatewayPlan { lease_s: 150, transmit_period_s: 60, sample_period_s: 60, attest_every_s: 15 * 60 },
        },
        units: Vec::new(),
    }
}

/// A condominium's treasurer at his own node, and somebody who buys a token again and again.
#[derive(Debug)]
struct Till {
    client: Client,
    treasurer: Wallet,
    condominium: CondominiumId,
    sales: u64,
}

impl Till {
    fn new(number: u32, node: &Node, client: Client) -> anyhow::Result<Self> {
        let treasurer = Wallet::with_nonce(node.key("treasurer")?, node.chain_id()?, 0);
        Ok(Self { client, treasurer, condominium: CondominiumId(CONDOMINIUM.0 + number), sales: 0 })
    }

    /// Sells a token; gives how long that took until it was in a block.
    async fn sell(&mut self) -> anyhow::Result<Duration> {
        self.sales += 1;
        let number = u64::from(self.condominium.0);
        let buyer = SigningKey::from_bytes(&seeded_key(0, "resident", number));
        let call = Call::SellTokens(SellTokens {
            condominium: self.condominium,
            account: chain::crypto::address_of(&buyer),
            amount: Amount::from_micro(1_000_000),
            sale: self.sales,
            payment: Hash32(seeded_key(self.sales, "payment", number)),
        });
        let began = Instant::now();
        self.treasurer.submit_and_wait(&self.client, call, valid_until()).await.context("selling a token")?;
        Ok(began.elapsed())
    }
}

/// Looks at the processes from outside for so long; gives for how long it was, s, and what each took.
async fn leave_alone(nodes: &mut [Node], silence: Duration) -> anyhow::Result<(f64, Vec<IdleNode>)> {
    let used: Vec<_> = nodes.iter().map(|node| processor_seconds(node.pid())).collect();
    let began = Instant::now();
    let mut told = began;
    let mut memory = vec![0.0_f64; nodes.len()];
    loop {
        for (node, most) in nodes.iter_mut().zip(&mut memory) {
            anyhow::ensure!(!node.start_again().await?, "{} ended while it was left alone: {:?}", node.dir().display(), node.ends());
            *most = most.max(present_memory_mb(node.pid()));
        }
        let seconds = began.elapsed().as_secs_f64();
        let left = silence.saturating_sub(began.elapsed());
        let line = |((node, used), most): ((&Node, &f64), &f64)| IdleNode {
            name: node.dir().file_name().unwrap_or_default().to_string_lossy().into_owned(),
            cpu_percent: rounded((processor_seconds(node.pid()) - used) / seconds.max(f64::EPSILON) * 100.0),
            rss_mb: *most,
        };
        let lines: Vec<_> = nodes.iter().zip(&used).zip(&memory).map(line).collect();
        if left.is_zero() {
            return Ok((seconds, lines));
        }
        if told.elapsed() >= TELL_EVERY {
            told = Instant::now();
            let (cpu, rss) = worst(&lines);
            eprintln!("{:>4} s of {} s: at most {cpu} % of a core and {rss} MB", began.elapsed().as_secs(), silence.as_secs());
        }
        tokio::time::sleep(left.min(LOOK)).await;
    }
}

/// The most processor time and memory of any node.
fn worst(lines: &[IdleNode]) -> (f64, f64) {
    lines.iter().fold((0.0, 0.0), |(cpu, rss), line| (line.cpu_percent.max(cpu), line.rss_mb.max(rss)))
}

fn missed(report: &IdleReport) -> Vec<String> {
    let mut missed = Vec::new();
    let IdleReport { blocks, blocks_allowed, median_ms, .. } = report;
    if blocks > blocks_allowed {
        missed.push(format!("{blocks} blocks were decided in silence, and the heartbeat allows {blocks_allowed}"));
    }
    for IdleNode { name, cpu_percent, rss_mb } in &report.nodes {
        if *cpu_percent >= CPU_PERCENT {
            missed.push(format!("{name} took {cpu_percent} % of a core, and less than {CPU_PERCENT} % is expected"));
        }
        if *rss_mb >= MEMORY_MB {
            missed.push(format!("{name} held {rss_mb} MB, and less than {MEMORY_MB} MB is expected"));
        }
    }
    if *median_ms >= COMMIT_MS {
        missed.push(format!("half of the commits took {median_ms} ms or more, and less than {COMMIT_MS} ms is expected"));
    }
    missed
}

fn summary(report: &IdleReport) {
    println!("{:10} {:>9} {:>8}", "node", "% of core", "MB");
    for IdleNode { name, cpu_percent, rss_mb } in &report.nodes {
        println!("{name:10} {cpu_percent:>9} {rss_mb:>8}");
    }
    println!("silence    {} s, {} blocks; the heartbeat allows {}", report.seconds, report.blocks, report.blocks_allowed);
    println!(
        "commits    first {} ms; of {SALES} least {}, median {}, most {} ms",
        report.first_ms, report.min_ms, report.median_ms, report.max_ms
    );
    println!("missed     {}", report.missed.len());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_expectation_that_is_missed_is_named() {
        let node = |cpu_percent, rss_mb| IdleNode { name: "node-1".to_owned(), cpu_percent, rss_mb };
        let report = |blocks, node, median_ms| IdleReport {
            validators: 1,
            seconds: 600.0,
            blocks,
            blocks_allowed: 1,
            nodes: vec![node],
            first_ms: 300.0,
            min_ms: 2.0,
            median_ms,
            max_ms: 300.0,
            commits_ms: Vec::new(),
            missed: Vec::new(),
        };
        assert_eq!(missed(&report(1, node(0.99, 59.9), 99.9)), Vec::<String>::new());
        let all = missed(&report(2, node(1.0, 60.0), 100.0));
        let words = ["2 blocks", "node-1 took 1 %", "node-1 held 60 MB", "took 100 ms"];
        assert!(all.len() == 4 && all.iter().zip(words).all(|(told, words)| told.contains(words)), "{all:?}");
    }
}
