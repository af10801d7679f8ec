//! `watt-testnet casestudy`: the paper's three and a half months with three cars, drawn from a seed, carried out on a real node, and set beside its figures.
//!
//! [`draw`] makes up who charges when; [`world`] carries it out with [`sensor`]s in a [`garage`] on the stepped clock; then the chain is exported and audited,
//! and [`score`], which knows nothing of the rest, reckons every figure of Martins et al. 2019 (section 5) from the export. Here are only the order of these
//! and what is printed. Called by the program.

pub mod draw;
pub mod garage;
mod page;
pub mod score;
pub mod sensor;
pub mod world;

use std::{
    collections::BTreeMap,
    io::IsTerminal as _,
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::Context as _;
use cli::render::io_words;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use self::{
    score::{
        figures::{self, Row},
        history::{self, Charge, History},
        pictures,
    },
    world::World,
};
use crate::{
    chaos::faults::{Disturbance, Targets},
    federation::Place as Folder,
    link::Links,
    report::{self, Audit},
    view::date_time,
};

/// The export, in the folder of a chain that is kept.
const EXPORT_FILE: &str = "casestudy.export";

/// What to do.
#[derive(Clone, Debug)]
pub struct Options {
    /// What the months are drawn from.
    pub seed: u64,
    /// What disturbs the node meanwhile, if anything does: what faults are drawn from.
    pub chaos: Option<u64>,
    /// An export that is there already: only scored, nothing is run.
    pub score: Option<PathBuf>,
    /// Where the figures go.
    pub json: Option<PathBuf>,
    /// Where the pictures go.
    pub pictures: Option<PathBuf>,
    /// Where the chain and its export are kept.
    pub data: Option<PathBuf>,
}

/// What `--json` writes.
#[derive(Debug, Serialize)]
struct Report {
    /// What the months were drawn from; none where an export was brought.
    seed: Option<u64>,
    /// Whether every figure is within its tolerance, and nothing else is wrong.
    ok: bool,
    /// Every figure beside the paper's.
    figures: Vec<Row>,
    /// What is wrong, in words.
    wrong: Vec<String>,
    /// Every charge, as the chain has it.
    charges: Vec<Line>,
    /// What running it came to; none where an export was brought.
    #[serde(skip_serializing_if = "Option::is_none")]
    run: Option<Run>,
}

/// A charge in the report: times in ms since 1970, energy in Wh, money in micro-tokens.
#[derive(Debug, Serialize)]
struct Line {
    session: String,
    connector: String,
    opened_ms: u64,
    started_ms: u64,
    ended_ms: u64,
    charged_seconds: f64,
    energy_wh: u64,
    mean_w: f64,
    samples: u64,
    reason: String,
    paid: u64,
}

/// What running it came to.
#[derive(Debug, Serialize)]
struct Run {
    /// Samples of which the gateway told their sensors that they are stored.
    stored_samples: u64,
    /// Posts of sensors that were answered.
    posts: u64,
    /// Committed blocks.
    height: u64,
    /// How often the node died and was started again.
    restarts: u32,
    /// What the audit of the whole chain found.
    audit: Audit,
    /// What the node was disturbed by, by kind.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    faults: BTreeMap<&'static str, u64>,
    /// From the start to here.
    wall_seconds: f64,
}

/// Runs and scores; gives what is wrong, in words.
///
/// # Errors
/// Where the node cannot go on, or a file cannot be read or written.
pub async fn run(options: &Options) -> anyhow::Result<Vec<String>> {
    report::writable(options.json.as_deref())?;
    if let Some(folder) = &options.pictures {
        std::fs::create_dir_all(folder).map_err(|error| anyhow::anyhow!("--pictures {}: {}", folder.display(), io_words(&error)))?;
    }
    if let Some(export) = &options.score {
        return conclude(options, None, &history::read(export)?);
    }
    let started = Instant::now();
    let folder = Folder::new(options.data.as_deref())?;
    let (mut run, export) = carry_out(options, &folder).await?;
    let history = history::read(&export)?;
    run.wall_seconds = report::rounded(started.elapsed().as_secs_f64());
    conclude(options, Some(run), &history)
}

/// Runs the months on a node, and gives the audited export beside what it came to.
async fn carry_out(options: &Options, folder: &Folder) -> anyhow::Result<(Run, PathBuf)> {
    let visits = draw::visits(options.seed)?;
    eprintln!("seed {}: {} charges of {} cars", options.seed, visits.len(), draw::CARS);
    let links = match options.chaos {
        Some(_) => Some(Links::new(1).await.context("cables of the node")?),
        None => None,
    };
    let founded = garage::found(folder, options.seed, draw::BEGINS_MS, links.as_ref()).await?;
    let node = &founded.lines.each[0].node;
    eprintln!("wattd: {}  data {}", node.api_url(), node.dir().display());
    let disturbance = links.zip(options.chaos).map(|(links, seed)| {
        eprintln!("disturbing the node; chaos seed {seed}");
        Disturbance::start(seed, Targets { processes: vec![node.process()], links, disk: folder.path().to_owned() })
    });
    let mut world = World::new(founded, &visits);
    let bar = progress_bar(visits.len() as u64);
    while world.step().await? {
        bar.set_position(world.settled);
        bar.set_message(date_time(world.now_ms));
    }
    bar.finish_and_clear();
    let faults = match disturbance {
        Some(disturbance) => disturbance.stop().await,
        None => BTreeMap::new(),
    };
    world.lines.advance(world.now_ms).await?;
    let export = folder.path().join(EXPORT_FILE);
    let findings = report::find_in(&mut world.lines, &export, |_| {}).await?;
    let run = Run {
        stored_samples: world.sensors.iter().map(sensor::Sensor::stored).sum(),
        posts: world.sensors.iter().map(sensor::Sensor::posts).sum(),
        height: findings.nodes.first().map_or(0, |(height, _)| height.0),
        restarts: world.lines.restarts(),
        audit: findings.audit,
        faults,
        wall_seconds: 0.0,
    };
    world.lines.stop().await?;
    Ok((run, export))
}

/// Scores a history, prints the table and writes what was asked for; gives what is wrong.
fn conclude(options: &Options, run: Option<Run>, history: &History) -> anyhow::Result<Vec<String>> {
    let rows = figures::rows(history, run.as_ref().map(|run| run.stored_samples));
    println!("{}", page::table(&rows));
    let missed = rows.iter().filter(|row| row.within == Some(false));
    let mut wrong: Vec<String> =
        missed.map(|row| format!("{}, {}: {} against {} ({})", row.source, row.figure, row.found, row.paper, row.tolerance)).collect();
    if let Some(Run { audit, height, restarts, wall_seconds, posts, .. }) = &run {
        let audited = if audit.ok { "passed" } else { "FAILED" };
        println!("chain      {height} blocks; audit {audited} in {} s; wattd restarted {restarts} times", audit.seconds);
        println!("took       {wall_seconds} s; {posts} posts of sensors");
        if !audit.ok {
            wrong.push(format!("the audit failed: {}", audit.failure.as_deref().unwrap_or("unknown")));
        }
    }
    if let Some(folder) = &options.pictures {
        pictures::draw(history, folder).with_context(|| format!("drawing into {}", folder.display()))?;
        eprintln!("pictures in {}", folder.display());
    }
    if let Some(path) = &options.json {
        let seed = run.is_some().then_some(options.seed);
        let charges = history.charges.iter().map(line).collect();
        let report = Report { seed, ok: wrong.is_empty(), figures: rows, wrong: wrong.clone(), charges, run };
        report::write(&report, path).map_err(|error| anyhow::anyhow!("--json {}: {}", path.display(), io_words(&error)))?;
    }
    Ok(wrong)
}

fn line(charge: &Charge) -> Line {
    Line {
        session: charge.bill.session.to_string(),
        connector: charge.bill.connector.to_string(),
        opened_ms: charge.bill.opened_at.ms(),
        started_ms: charge.starts_ms(),
        ended_ms: charge.ends_ms(),
        charged_seconds: report::rounded(charge.hours() * 3_600.0),
        energy_wh: charge.bill.energy.get(),
        mean_w: report::rounded(charge.kw() * 1_000.0),
        samples: charge.bill.samples,
        reason: report::reason(charge.bill.reason),
        paid: charge.bill.paid.micro(),
    }
}

fn progress_bar(sessions: u64) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(sessions);
    let style = ProgressStyle::with_template("{bar:32} {pos}/{len} charges  {msg}  {elapsed}");
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// Where the export of a chain that is kept in this folder is.
#[must_use]
pub fn export_in(data: &Path) -> PathBuf {
    data.join(EXPORT_FILE)
}
