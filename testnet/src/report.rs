//! What a run came to: numbers for a file, sums for people, and whether they are right.
//!
//! Every number comes from the chain (receipts, totals, the audit of its export) or from the cars; nothing is carried over from what was planned. Called by
//! `demo` and `replay`.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufReader, BufWriter, Write as _},
    path::Path,
    time::Instant,
};

use chain::{
    api::CondominiumView,
    id::Height,
    quantity::Amount,
    receipt::SessionReceipt,
    record::{EndReason, Fault},
};
use cli::{
    audit::{self, AuditReport, Progress},
    client::Client,
    render::io_words,
};
use futures::StreamExt as _;
use serde::Serialize;
use tempfile::TempDir;

use crate::{
    car::Car,
    drive::Garage,
    resident::{AskError, Lines},
};

/// How often the export is asked for again when the node died in between.
const MAX_EXPORTS: u32 = 20;

/// What `--json` writes: numbers and booleans, energies in Wh, money in micro-tokens, times in seconds.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Rows of the chosen sites that were considered.
    pub rows: u64,
    /// Those that were replayed.
    pub usable: u64,
    /// The others, by reason.
    pub skipped: BTreeMap<&'static str, u64>,
    /// Sessions with a bill on the chain.
    pub sessions_settled: u64,
    /// Sessions that waited for their first grant beyond the instant of their coming, or never got one.
    pub sessions_queued: u64,
    /// Sessions whose car could not have finished in its time, even if it had never waited.
    pub sessions_too_short: u64,
    /// What the file says was charged.
    pub energy_source_wh: u64,
    /// What the cars drew.
    pub energy_drawn_wh: u64,
    /// What the bills say.
    pub energy_settled_wh: u64,
    /// Money, in micro-tokens.
    pub micro_tokens: Money,
    /// Whether no token appeared or vanished.
    pub conservation_ok: bool,
    /// What the audit of the whole chain found.
    pub audit: Audit,
    /// Sessions by the reason of their end.
    pub settle_reasons: BTreeMap<String, u64>,
    /// How often `wattd` died and was started again.
    pub restarts: u32,
    /// Committed blocks.
    pub height: u64,
    /// Of those, blocks that founded the garage: before anybody came.
    pub founding_blocks: u64,
    /// Posts of units that were answered.
    pub unit_posts: u64,
    /// Samples that units took.
    pub unit_samples: u64,
    /// The state after the last block.
    pub state_root: String,
    /// Every node at the end: equal height, equal root.
    pub nodes: Vec<NodeLine>,
    /// What others owe each condominium less what it owes them, micro-tokens; for charging away from home.
    pub positions: BTreeMap<String, i64>,
    /// What the faults were drawn from that nodes were disturbed by, if they were.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chaos_seed: Option<u64>,
    /// Those faults, by kind.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub faults: BTreeMap<&'static str, u64>,
    /// From the start of the replay to here, the founding of the garage and the audit included.
    pub wall_seconds: f64,
    /// Every session, in the order of its coming.
    pub per_session: Vec<SessionLine>,
}

/// A node at the end.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct NodeLine {
    /// Whose it is.
    pub site: String,
    /// Its newest block.
    pub height: u64,
    /// The state after it.
    pub state_root: String,
}

/// Sums over all sessions, in micro-tokens.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug, Serialize)]
pub struct Money {
    /// Tokens sold to residents.
    pub sold: u64,
    /// Locked by sessions.
    pub escrowed: u64,
    /// Of that, paid.
    pub paid: u64,
    /// Of that, given back.
    pub refunded: u64,
    /// Still locked.
    pub held_at_end: u64,
}

/// What the audit found.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Audit {
    /// Whether everything is true.
    pub ok: bool,
    /// Blocks carried out again.
    pub blocks: u64,
    /// Transactions carried out again.
    pub transactions: u64,
    /// How long it took.
    pub seconds: f64,
    /// What is not true, where something is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

/// One session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SessionLine {
    /// Its name in the file.
    pub session_id: String,
    /// The condominium that sold its owner his tokens.
    pub home: String,
    /// The condominium whose connector was used.
    pub charged_at: String,
    /// What the file says, Wh.
    pub source_wh: u64,
    /// What its car drew, Wh.
    pub drawn_wh: u64,
    /// What its bill says, Wh.
    pub settled_wh: u64,
    /// Micro-tokens.
    pub paid: u64,
    /// Micro-tokens.
    pub refunded: u64,
    /// Why it ended.
    pub reason: String,
}

/// What is read from the node at the end.
#[derive(Clone, Debug)]
pub struct Findings {
    /// Money by condominium.
    pub totals: Vec<CondominiumView>,
    /// The audit.
    pub audit: Audit,
    /// Every node's newest block and the state after it.
    pub nodes: Vec<(Height, String)>,
}

/// Reads totals and audits the whole chain through the API.
///
/// # Errors
/// [`AskError`] where the node cannot be asked; a chain that is not true is a finding.
pub async fn find(lines: &mut Lines, progress: impl FnMut(Progress) + Send + 'static) -> Result<Findings, AskError> {
    let folder = TempDir::with_prefix("watt-audit-").map_err(|error| machine("a temporary folder", error))?;
    find_in(lines, &folder.path().join("chain.export"), progress).await
}

/// As [`find`]; the export that was audited is left in this file.
///
/// # Errors
/// As [`find`].
pub async fn find_in(lines: &mut Lines, path: &Path, mut progress: impl FnMut(Progress) + Send + 'static) -> Result<Findings, AskError> {
    let totals = lines.ask(0, "the totals", async |client: &Client| client.condominiums().await).await?;
    let mut nodes = Vec::new();
    for node in 0..lines.each.len() {
        let status = lines.ask(node, "the status", async |client: &Client| client.status().await).await?;
        nodes.push((status.height, status.state_root.to_string()));
    }
    let state_root = nodes[0].1.clone();
    let started = Instant::now();
    export(lines, path).await?;
    // The document that this run founded, not the one that the export begins with.
    let chain_id = lines.each[0].node.chain_id()?;
    let path = path.to_owned();
    let audited = tokio::task::spawn_blocking(move || {
        let file = File::open(&path)?;
        Ok::<_, audit::AuditError>(audit::replay(BufReader::with_capacity(1 << 20, file), Some(chain_id), &mut progress))
    });
    let audited = audited.await.map_err(|error| machine("the audit", io::Error::other(error)))?;
    let seconds = rounded(started.elapsed().as_secs_f64());
    let audit = match audited.and_then(|report| report) {
        Ok(report) => agreed(&report, &totals, &state_root, seconds),
        Err(error) => Audit { ok: false, blocks: 0, transactions: 0, seconds, failure: Some(error.to_string()) },
    };
    Ok(Findings { totals, audit, nodes })
}

/// An audit that found nothing wrong still has to speak of the chain that the node shows.
fn agreed(report: &AuditReport, totals: &[CondominiumView], state_root: &str, seconds: f64) -> Audit {
    let same_root = report.state_root.to_string() == state_root;
    let same_totals = report.totals.len() == totals.len()
        && report
            .totals
            .iter()
            .zip(totals)
            .all(|(found, shown)| found.holds() && (found.balance, found.held, found.debt) == (shown.balance, shown.held, shown.debt));
    let failure = match (same_root, same_totals) {
        (true, true) => None,
        (false, _) => Some("the export leads to another state than the node shows".to_owned()),
        (true, false) => Some("the export leads to other totals than the node shows".to_owned()),
    };
    Audit { ok: failure.is_none(), blocks: report.blocks, transactions: report.transactions, seconds, failure }
}

/// Writes the export of the whole chain to a file.
async fn export(lines: &mut Lines, path: &Path) -> Result<(), AskError> {
    for _ in 0..MAX_EXPORTS {
        let mut stream = lines.ask(0, "the export", async |client: &Client| client.export(Height(1)).await).await?;
        let file = File::create(path).map_err(|error| machine("the export's file", error))?;
        let mut file = BufWriter::with_capacity(1 << 20, file);
        let broken = loop {
            match stream.next().await {
                None => break false,
                Some(Ok(bytes)) => file.write_all(&bytes).map_err(|error| machine("the export's file", error))?,
                Some(Err(_)) => break true,
            }
        };
        file.flush().map_err(|error| machine("the export's file", error))?;
        if !broken {
            return Ok(());
        }
        lines.recover(0).await?;
    }
    Err(AskError::Deaf { what: "the export breaks off".to_owned() })
}

fn machine(what: &str, error: io::Error) -> AskError {
    AskError::Federation(crate::federation::FederationError::Io { what: what.to_owned(), error })
}

/// Puts together what the garage and the chain say.
#[must_use]
pub fn report(garage: &Garage, findings: &Findings, started: Instant) -> Report {
    let mut report = Report {
        rows: garage.visits.len() as u64,
        usable: garage.visits.len() as u64,
        skipped: BTreeMap::new(),
        sessions_settled: 0,
        sessions_queued: 0,
        sessions_too_short: 0,
        energy_source_wh: 0,
        energy_drawn_wh: 0,
        energy_settled_wh: 0,
        micro_tokens: Money::default(),
        conservation_ok: false,
        audit: findings.audit.clone(),
        settle_reasons: BTreeMap::new(),
        restarts: garage.lines.restarts(),
        height: findings.nodes[0].0.0,
        founding_blocks: garage.founded.0,
        unit_posts: 0,
        unit_samples: 0,
        state_root: findings.nodes[0].1.clone(),
        nodes: nodes(garage, findings),
        positions: positions(garage, findings),
        chaos_seed: None,
        faults: BTreeMap::new(),
        wall_seconds: rounded(started.elapsed().as_secs_f64()),
        per_session: Vec::new(),
    };
    for (visit, fate) in garage.visits.iter().zip(&garage.fates) {
        let source = &visit.source;
        report.energy_source_wh += source.energy_wh;
        report.energy_drawn_wh += fate.drawn_wh;
        report.sessions_queued += u64::from(fate.waited);
        report.sessions_too_short += u64::from(!Car::new(source).can_finish());
        let mut line = SessionLine {
            session_id: source.session_id.clone(),
            home: garage.sites[garage.people[visit.person].home].clone(),
            charged_at: garage.sites[garage.places[visit.connector].site].clone(),
            source_wh: source.energy_wh,
            drawn_wh: fate.drawn_wh,
            settled_wh: 0,
            paid: 0,
            refunded: 0,
            reason: "open".to_owned(),
        };
        if let Some(receipt) = &fate.receipt {
            line = with_bill(line, receipt);
            report.sessions_settled += 1;
            report.energy_settled_wh += line.settled_wh;
            report.micro_tokens.escrowed += receipt.escrow.micro();
            report.micro_tokens.paid += line.paid;
            report.micro_tokens.refunded += line.refunded;
            *report.settle_reasons.entry(line.reason.clone()).or_default() += 1;
        }
        report.per_session.push(line);
    }
    for place in &garage.places {
        let (posts, samples) = place.unit.counts();
        report.unit_posts += posts;
        report.unit_samples += samples;
    }
    let sum = |of: fn(&CondominiumView) -> Amount| findings.totals.iter().map(|view| of(view).micro()).sum::<u64>();
    report.micro_tokens.sold = sum(|view| view.condominium.minted);
    report.micro_tokens.held_at_end = sum(|view| view.held);
    report.conservation_ok = findings.totals.iter().all(|view| view.conserved)
        && sum(|view| view.owed_to) == sum(|view| view.owed_by)
        // Nobody here redeems or has credit: every token sold is somebody's.
        && sum(|view| view.balance) + report.micro_tokens.held_at_end == report.micro_tokens.sold;
    report
}

fn nodes(garage: &Garage, findings: &Findings) -> Vec<NodeLine> {
    let line = |(site, (height, state_root)): (&String, &(Height, String))| NodeLine {
        site: site.clone(),
        height: height.0,
        state_root: state_root.clone(),
    };
    garage.sites.iter().zip(&findings.nodes).map(line).collect()
}

/// By the chain's own totals; it numbers condominiums in the order of the sites.
fn positions(garage: &Garage, findings: &Findings) -> BTreeMap<String, i64> {
    let net = |view: &CondominiumView| signed(view.owed_to.micro()) - signed(view.owed_by.micro());
    garage.sites.iter().zip(&findings.totals).map(|(site, view)| (site.clone(), net(view))).collect()
}

/// Money of a test federation is far below half the range.
fn signed(micro: u64) -> i64 {
    i64::try_from(micro).unwrap_or(i64::MAX)
}

impl Report {
    /// Sessions away from home.
    #[must_use]
    pub fn away(&self) -> usize {
        self.per_session.iter().filter(|line| line.home != line.charged_at).count()
    }

    /// Positions as the bills of sessions away from home add up to.
    fn positions_by_bills(&self) -> BTreeMap<String, i64> {
        let mut positions: BTreeMap<String, i64> = self.positions.keys().map(|site| (site.clone(), 0)).collect();
        for line in &self.per_session {
            // At home both are one, and nothing is owed.
            *positions.entry(line.charged_at.clone()).or_default() += signed(line.paid);
            *positions.entry(line.home.clone()).or_default() -= signed(line.paid);
        }
        positions
    }
}

fn with_bill(line: SessionLine, receipt: &SessionReceipt) -> SessionLine {
    SessionLine {
        settled_wh: receipt.energy.get(),
        paid: receipt.paid.micro(),
        refunded: receipt.refund.micro(),
        reason: reason(receipt.reason),
        ..line
    }
}

/// What must hold of every run, in words; empty where all of it does.
#[must_use]
pub fn faults(report: &Report) -> Vec<String> {
    let Report { micro_tokens: money, .. } = report;
    let unequal = report.per_session.iter().filter(|line| line.drawn_wh != line.settled_wh).count();
    let unbalanced = money.escrowed != money.paid + money.refunded;
    let one = report.nodes.iter().all(|node| (node.height, &node.state_root) == (report.height, &report.state_root));
    let positions = report.positions_by_bills();
    let rules = [
        (!one, "the nodes end in different blocks or states".to_owned()),
        (report.positions.values().sum::<i64>() != 0, "the positions between condominiums do not sum to zero".to_owned()),
        (report.positions != positions, format!("the positions are {:?}, the bills add up to {positions:?}", report.positions)),
        (!report.conservation_ok, "tokens appeared or vanished".to_owned()),
        (!report.audit.ok, format!("the audit failed: {}", report.audit.failure.as_deref().unwrap_or("unknown"))),
        (report.sessions_settled != report.usable, format!("{} of {} sessions are settled", report.sessions_settled, report.usable)),
        (unequal > 0, format!("{unequal} bills differ from what the cars drew")),
        (unbalanced, format!("escrowed {} but paid {} and refunded {}", money.escrowed, money.paid, money.refunded)),
        (money.held_at_end != 0, format!("{} micro-tokens are still held", money.held_at_end)),
    ];
    rules.into_iter().filter(|(broken, _)| *broken).map(|(_, rule)| rule).collect()
}

/// Why a session ended, as reports name it.
#[must_use]
pub fn reason(reason: EndReason) -> String {
    let name = match reason {
        EndReason::Money => "money",
        EndReason::Time => "time",
        EndReason::VehicleRemoved => "vehicle_removed",
        EndReason::VehicleFull => "vehicle_full",
        EndReason::StoppedByResident => "stopped_by_resident",
        EndReason::StoppedByManager => "stopped_by_manager",
        EndReason::Anomaly(Fault::OverCurrent) => "anomaly_over_current",
        EndReason::Anomaly(Fault::OverTemperature) => "anomaly_over_temperature",
        EndReason::Anomaly(Fault::OverTime) => "anomaly_over_time",
        EndReason::Anomaly(Fault::MeterFault) => "anomaly_meter_fault",
        EndReason::Anomaly(Fault::WeldedRelay) => "anomaly_welded_relay",
        EndReason::Anomaly(Fault::UnitLost) => "anomaly_unit_lost",
        EndReason::GatewayLost => "gateway_lost",
        EndReason::NeverStarted => "never_started",
        EndReason::Cancelled => "cancelled",
    };
    name.to_owned()
}

/// Whether a report can be written to this file, asked before the work that it is about. What is there stays as it is, and what is not is not there afterwards.
///
/// # Errors
/// The file's name, and why not.
pub fn writable(path: Option<&Path>) -> anyhow::Result<()> {
    let Some(path) = path else { return Ok(()) };
    anyhow::ensure!(!path.is_dir(), "--json {}: it is a folder, not a file", path.display());
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let (file, shown) = (path.display(), folder.display());
    anyhow::ensure!(folder.exists(), "--json {file}: there is no folder {shown}: make it (mkdir -p {shown}), or name another file");
    anyhow::ensure!(folder.is_dir(), "--json {file}: {shown} is a file, not a folder: name another file");
    let is_new = !path.exists();
    let opened = std::fs::OpenOptions::new().append(true).create(true).open(path);
    opened.map_err(|error| anyhow::anyhow!("--json {file} cannot be written: {}", io_words(&error)))?;
    if is_new {
        std::fs::remove_file(path)?;
    }
    Ok(())
}

/// Writes a report as JSON.
///
/// # Errors
/// The file's.
pub fn write(report: &impl Serialize, path: &Path) -> io::Result<()> {
    let mut text = serde_json::to_vec_pretty(report)?;
    text.push(b'\n');
    std::fs::write(path, text)
}

/// Seconds with three decimals.
#[must_use]
pub fn rounded(seconds: f64) -> f64 {
    (seconds * 1_000.0).round() / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A report into a folder that was not there ended with "No such file or directory (os error 2)".
    #[test]
    fn a_report_that_cannot_be_written_is_refused_before_the_work_and_says_what_to_do() {
        let folder = TempDir::new().expect("a folder");
        let told = |path: &Path| writable(Some(path)).expect_err("refused").to_string();
        let missing = told(&folder.path().join("out/report.json"));
        assert!(missing.contains("mkdir -p") && missing.contains("out") && !missing.contains("os error"), "{missing}");
        assert!(!folder.path().join("out").exists(), "nothing is made");
        std::fs::write(folder.path().join("file"), "").expect("writes");
        let below = told(&folder.path().join("file/report.json"));
        assert!(below.contains("is a file, not a folder"), "{below}");
        assert!(told(folder.path()).contains("a folder, not a file"));
        writable(Some(&folder.path().join("report.json"))).expect("can be written");
        assert!(!folder.path().join("report.json").exists());
    }
}
