//! `watt-testnet sync`: how fast a node with an empty disk fetches a chain from the others.
//!
//! The chain is one of several nodes that `replay`, `load` or `chaos` have kept with `--data`; it is copied and not changed. The last node loses its database and
//! its log of consensus, and is started with `--rejoin` once the others run, as after a dead disk. It fetches every block, checks its certificate and carries it out;
//! a node that was away for a while does the same from where it stopped. All nodes are on this machine. Called by the program.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use chain::id::Height;
use cli::client::Client;
use serde::Serialize;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::{
    federation::wattd_beside_us,
    load::most_memory_mb,
    report::{self, rounded},
};

/// Between two looks at a node's height.
const LOOK: Duration = Duration::from_millis(20);

/// How long nodes may take to start, and how long a chain may stand still while it is fetched.
const PATIENCE: Duration = Duration::from_secs(120);

/// Blocks that are asked for at once when transactions are counted.
const PAGE: u32 = 100;

/// What is fetched.
#[derive(Clone, Debug)]
pub struct Options {
    /// The folder with the nodes' directories, `node-0` and so on.
    pub chain: PathBuf,
    /// Where the numbers go.
    pub json: Option<PathBuf>,
}

/// What `--json` writes.
#[derive(Clone, Debug, Serialize)]
pub struct SyncReport {
    /// Nodes of the chain.
    pub nodes: usize,
    /// Blocks fetched.
    pub blocks: u64,
    /// Transactions in them.
    pub transactions: u64,
    /// From the start of the process to its first block, s.
    pub first_block_seconds: f64,
    /// From its first block to the others' newest, s.
    pub seconds: f64,
    /// Blocks a second, from the first on.
    pub blocks_per_second: f64,
    /// Transactions a second, likewise.
    pub tx_per_second: f64,
    /// Processor time that the process took for all of it, its start included, s: where other work is done on the machine, a better measure than the time.
    pub cpu_seconds: f64,
    /// The most memory that the process had, MB.
    pub rss_mb: f64,
    /// Whether the block that it came to is the others'.
    pub same_root: bool,
}

/// Fetches the chain; gives what is wrong, in words.
///
/// # Errors
/// Where there is no such chain, or nodes do not start or stand still.
pub async fn run(options: &Options) -> anyhow::Result<Vec<String>> {
    report::writable(options.json.as_deref())?;
    let kept: Vec<_> = (0..).map(|number| options.chain.join(format!("node-{number}"))).take_while(|dir| dir.is_dir()).collect();
    anyhow::ensure!(
        kept.len() >= 2,
        "{} holds {} nodes, at least 2 are needed: make a chain with watt-testnet replay --site A --site B … --data DIR, or load --validators 4 --data DIR",
        options.chain.display(),
        kept.len()
    );
    let folder = TempDir::with_prefix("watt-testnet-").context("a temporary folder")?;
    let mut nodes = Vec::new();
    for (number, from) in kept.iter().enumerate() {
        let dir = folder.path().join(format!("node-{number}"));
        copy(from, &dir).with_context(|| format!("copying {}", from.display()))?;
        nodes.push(Fetched { client: Client::new(&format!("http://{}", api_address(&dir)?))?, dir });
    }
    let (fetching, others) = nodes.split_last().context("there are nodes")?;
    for name in ["db", "wal", "gateway"] {
        match fs::remove_dir_all(fetching.dir.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error).context("emptying the last node"),
            Ok(()) | Err(_) => {}
        }
    }
    let program = wattd_beside_us()?;
    let mut running = others.iter().map(|node| node.start(&program, &[])).collect::<Result<Vec<_>, _>>()?;
    let target = settled(others, &mut running).await?;

    let mut process = fetching.start(&program, &["--rejoin"])?;
    let started = Instant::now();
    let (mut height, mut moved, mut first) = (Height(0), started, None);
    while height < target {
        tokio::time::sleep(LOOK).await;
        let found = fetching.client.status().await.map_or(Height(0), |status| status.height);
        let now = Instant::now();
        if found > height {
            first = first.or(Some((found, now)));
            (height, moved) = (found, now);
        }
        anyhow::ensure!(moved.elapsed() < PATIENCE, "it stands still at {height}: {}", fetching.log_end());
        anyhow::ensure!(process.try_wait()?.is_none(), "it ended at {height}: {}", fetching.log_end());
    }
    let (first_height, first_at) = first.context("a block was fetched")?;
    let seconds = moved.duration_since(first_at).as_secs_f64();
    let (cpu_seconds, rss_mb) = (rounded(processor_seconds(process.id())), most_memory_mb(process.id()));
    let root = |node: &Fetched| {
        let client = node.client.clone();
        async move { client.block(target).await.map(|block| block.header.state_root) }
    };
    let same_root = root(fetching).await? == root(&others[0]).await?;
    let transactions = transactions(&fetching.client, first_height, target).await?;
    let blocks = target.0.saturating_sub(first_height.0);
    let per_second = |count: u64| rounded(count as f64 / seconds.max(0.001));
    let report = SyncReport {
        nodes: nodes.len(),
        blocks,
        transactions,
        first_block_seconds: rounded(first_at.duration_since(started).as_secs_f64()),
        seconds: rounded(seconds),
        blocks_per_second: per_second(blocks),
        tx_per_second: per_second(transactions),
        cpu_seconds,
        rss_mb,
        same_root,
    };
    println!("{} nodes, block {target} reached, its state root that of the others: {same_root}", report.nodes);
    println!("blocks         {:>10} in {} s, after {} s to the first", report.blocks, report.seconds, report.first_block_seconds);
    println!("blocks/s       {:>10}", report.blocks_per_second);
    println!("transactions/s {:>10}", report.tx_per_second);
    println!("processor      {:>10} s", report.cpu_seconds);
    println!("memory         {:>10} MB", report.rss_mb);
    if let Some(path) = &options.json {
        report::write(&report, path).with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(if same_root { Vec::new() } else { vec![format!("the state at {target} is not that of the others")] })
}

/// A node whose directory is a copy.
struct Fetched {
    dir: PathBuf,
    client: Client,
}

impl Fetched {
    fn start(&self, program: &Path, arguments: &[&str]) -> anyhow::Result<Child> {
        let log = File::create(self.log()).context("a log")?;
        let mut command = Command::new(program);
        command.arg("run").arg("--data").arg(&self.dir).args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        command.kill_on_drop(true).spawn().with_context(|| program.display().to_string())
    }

    fn log(&self) -> PathBuf {
        self.dir.join("wattd.log")
    }

    fn log_end(&self) -> String {
        let text = fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(5)..].join("\n")
    }
}

/// Waits until all have the same block, and for a moment longer, and gives its height: a start may decide one.
async fn settled(nodes: &[Fetched], running: &mut [Child]) -> anyhow::Result<Height> {
    let begin = Instant::now();
    let mut same: Option<(Height, Instant)> = None;
    loop {
        tokio::time::sleep(LOOK * 10).await;
        for (node, process) in nodes.iter().zip(running.iter_mut()) {
            anyhow::ensure!(process.try_wait()?.is_none(), "wattd ended: {}", node.log_end());
            anyhow::ensure!(begin.elapsed() < PATIENCE, "the nodes do not come to one block: {}", node.log_end());
        }
        let heights = futures::future::join_all(nodes.iter().map(|node| node.client.status())).await;
        let heights: Vec<_> = heights.into_iter().filter_map(Result::ok).map(|status| status.height).collect();
        let Some(height) =
            heights.first().copied().filter(|first| heights.len() == nodes.len() && heights.iter().all(|height| height == first))
        else {
            same = None;
            continue;
        };
        match same {
            Some((before, since)) if before == height && since.elapsed() >= Duration::from_secs(3) => return Ok(height),
            Some((before, _)) if before == height => {}
            Some(_) | None => same = Some((height, Instant::now())),
        }
    }
}

/// The transactions in blocks after `from`, up to `to`.
async fn transactions(client: &Client, from: Height, to: Height) -> anyhow::Result<u64> {
    let (mut count, mut before) = (0, to.next());
    loop {
        let page = client.blocks(Some(before), PAGE).await?;
        let wanted = page.items.iter().filter(|block| block.header.height > from);
        count += wanted.map(|block| block.transactions.len() as u64).sum::<u64>();
        match page.items.last() {
            Some(last) if last.header.height > from => before = last.header.height,
            Some(_) | None => return Ok(count),
        }
    }
}

/// The processor time that a process has taken, in Linux's hundredths of a second; 0 where the system does not say.
pub(crate) fn processor_seconds(pid: Option<u32>) -> f64 {
    let text = pid.and_then(|pid| fs::read_to_string(format!("/proc/{pid}/stat")).ok()).unwrap_or_default();
    // Behind the name, which may hold anything: fields 14 and 15 of all, user and system.
    let behind = text.rsplit_once(") ").map_or("", |(_, behind)| behind);
    let ticks: u32 = behind.split(' ').skip(11).take(2).filter_map(|ticks| ticks.parse::<u32>().ok()).sum();
    f64::from(ticks) / 100.0
}

/// Where the API of a node listens, as its configuration says.
fn api_address(dir: &Path) -> anyhow::Result<String> {
    let path = dir.join("config.toml");
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let section = text.split("[api]").nth(1).unwrap_or_default();
    let line = section.lines().take_while(|line| !line.starts_with('[')).find_map(|line| line.strip_prefix("listen = "));
    line.map(|value| value.trim_matches('"').to_owned()).with_context(|| format!("{} says not where the API listens", path.display()))
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let path = entry?.path();
        let target = to.join(path.file_name().unwrap_or_default());
        if path.is_dir() {
            copy(&path, &target)?;
        } else {
            fs::copy(&path, &target)?;
        }
    }
    Ok(())
}
