//! What the usage pattern tells residents apart by, measured on recorded sessions.
//!
//! Every session of a resident with enough before it is scored against his own past, and so is every start of another resident of the same site that falls
//! between his last session and this one: that is the impostor, who holds the resident's card and charges his own car as he is used to. Nothing is drawn, so a
//! file has one result. It starts no node. The binary calls it.

use std::{collections::BTreeMap, path::PathBuf};

use chain::{
    quantity::WattHours,
    time::{Duration, Timestamp},
};
use cli::render::io_words;
use contracts::{
    pattern::{Brought, CHARGES, ENOUGH, HIGHEST, Pattern, Signals, Usage},
    tariff::Zone,
};
use serde::Serialize;

use crate::{
    report,
    rows::{self, Filter, SourceSession},
};

/// The zone of the files, as a tariff would say it.
const ZONE: &str = "CET-1CEST,M3.5.0,M10.5.0/3";

/// Thresholds for which the report says how often who is asked.
pub const THRESHOLDS: [u16; 4] = [800, 900, 950, HIGHEST];

/// What is measured, and how.
const MEASURED: [(&str, Signals); 3] = [
    ("hour and day type", Signals::Time),
    ("with the gap, at a start", Signals::Start),
    ("with energy and duration, after the end", Signals::Whole),
];

/// What to measure.
#[derive(Clone, Debug)]
pub struct Options {
    /// The sessions.
    pub file: PathBuf,
    /// Which of them.
    pub filter: Filter,
    /// Where the report goes.
    pub json: Option<PathBuf>,
}

/// What `--json` writes. Rates are shares of 1.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Rows of the chosen sites.
    pub rows: u64,
    /// Those that are used.
    pub usable: u64,
    /// Who charged.
    pub residents: u64,
    /// Sessions with too few before them to be scored.
    pub too_early: u64,
    /// By what is compared, in the order of what is known when.
    pub measured: Vec<Measured>,
}

/// What one comparison can tell.
#[derive(Clone, Debug, Serialize)]
pub struct Measured {
    /// By what.
    pub by: &'static str,
    /// Residents' own sessions that were scored.
    pub own: u64,
    /// Others' that were scored in their place.
    pub impostors: u64,
    /// Where as many owners are suspected as impostors are not.
    pub equal_error_rate: f64,
    /// The score from which on a start is suspected there, in thousandths.
    pub equal_error_score: u16,
    /// The same by site.
    pub equal_error_rate_by_site: BTreeMap<String, f64>,
    /// What thresholds do.
    pub thresholds: Vec<Asked>,
}

/// What a threshold does.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Asked {
    /// A start is suspected from this score on.
    pub score: u16,
    /// The share of residents' own sessions that are.
    pub own: f64,
    /// The share of impostors' that are.
    pub impostors: f64,
}

/// How often each score was given.
#[derive(Clone, Debug)]
struct Scores([u64; HIGHEST as usize + 1]);

impl Default for Scores {
    fn default() -> Self {
        Self([0; HIGHEST as usize + 1])
    }
}

impl Scores {
    fn add(&mut self, score: Option<u16>) {
        if let Some(count) = score.and_then(|score| self.0.get_mut(usize::from(score))) {
            *count += 1;
        }
    }

    fn sum(&self) -> u64 {
        self.0.iter().sum()
    }

    fn from(&self, score: u16) -> f64 {
        share(self.0.iter().skip(usize::from(score)).sum(), self.sum())
    }

    fn merge(&mut self, other: &Self) {
        for (own, other) in self.0.iter_mut().zip(&other.0) {
            *own += other;
        }
    }
}

/// A resident's own, and others' in his place.
#[derive(Clone, Default, Debug)]
struct Both {
    own: Scores,
    impostors: Scores,
}

impl Both {
    /// The rate, and the score that it is at: where the two errors differ least, their mean.
    fn equal_error(&self) -> (f64, u16) {
        let errors = (0..=HIGHEST).map(|score| (self.own.from(score), 1.0 - self.impostors.from(score), score));
        let least = errors.min_by(|one, other| (one.0 - one.1).abs().total_cmp(&(other.0 - other.1).abs()));
        least.map_or((0.0, 0), |(suspected, missed, score)| (f64::midpoint(suspected, missed), score))
    }
}

/// Measures, prints and writes; gives what is wrong, in words.
///
/// # Errors
/// Where the file cannot be used, says too little, or the report cannot be written.
pub fn run(options: &Options) -> anyhow::Result<Vec<String>> {
    report::writable(options.json.as_deref())?;
    let rows = rows::read(&options.file, &options.filter)?;
    let report = measure(&rows)?;
    print(&report);
    if let Some(path) = &options.json {
        report::write(&report, path).map_err(|error| anyhow::anyhow!("--json {}: {}", path.display(), io_words(&error)))?;
    }
    Ok(Vec::new())
}

/// Scores all sessions.
///
/// # Errors
/// Where nothing can be compared.
pub fn measure(rows: &rows::Rows) -> anyhow::Result<Report> {
    let zone = Zone::parse(ZONE).map_err(|rejection| anyhow::anyhow!("{rejection}"))?;
    let mut residents: BTreeMap<(&str, &str), Vec<&SourceSession>> = BTreeMap::new();
    for session in &rows.usable {
        residents.entry((&session.site, &session.user)).or_default().push(session);
    }
    let mut by_site: BTreeMap<&str, [Both; MEASURED.len()]> = BTreeMap::new();
    let mut too_early = 0;
    for ((site, user), own) in &residents {
        let others: Vec<&SourceSession> = rows.usable.iter().filter(|session| session.site == *site && session.user != *user).collect();
        let scores = by_site.entry(site).or_default();
        too_early += compare(own, &others, &zone, scores)?;
    }
    let mut measured = Vec::new();
    for (at, (by, _)) in MEASURED.iter().enumerate() {
        let mut all = Both::default();
        let mut rates = BTreeMap::new();
        for (site, scores) in &by_site {
            all.own.merge(&scores[at].own);
            all.impostors.merge(&scores[at].impostors);
            if scores[at].own.sum() > 0 && scores[at].impostors.sum() > 0 {
                rates.insert((*site).to_owned(), scores[at].equal_error().0);
            }
        }
        let (own, impostors) = (all.own.sum(), all.impostors.sum());
        anyhow::ensure!(own > 0 && impostors > 0, "too few sessions: nobody has more than {ENOUGH} with another resident's between them");
        let (equal_error_rate, equal_error_score) = all.equal_error();
        let thresholds = THRESHOLDS.map(|score| Asked { score, own: all.own.from(score), impostors: all.impostors.from(score) });
        measured.push(Measured {
            by,
            own,
            impostors,
            equal_error_rate,
            equal_error_score,
            equal_error_rate_by_site: rates,
            thresholds: thresholds.to_vec(),
        });
    }
    Ok(Report { rows: rows.rows, usable: rows.usable.len() as u64, residents: residents.len() as u64, too_early, measured })
}

/// Scores one resident's sessions, which are in order of time, and in his place those of others; gives how many were too early.
fn compare(own: &[&SourceSession], others: &[&SourceSession], zone: &Zone, scores: &mut [Both; MEASURED.len()]) -> anyhow::Result<u64> {
    let mut past: Vec<Usage> = Vec::new();
    let mut last_end = None;
    let mut too_early = 0;
    let mut next_other = 0;
    for session in own {
        let usage = usage_of(session, last_end, zone)?;
        // Newest first.
        let newest: Vec<Usage> = past.iter().rev().take(CHARGES).copied().collect();
        let patterns = MEASURED.map(|(_, signals)| Pattern::new(&newest, signals));
        // Whose start falls before the resident's last end was charging beside him.
        while others.get(next_other).is_some_and(|other| last_end.is_some_and(|end| other.plug_in_ms < end)) {
            next_other += 1;
        }
        let from = next_other;
        while others.get(next_other).is_some_and(|other| other.plug_in_ms < session.plug_in_ms) {
            next_other += 1;
        }
        for (pattern, both) in patterns.iter().zip(scores.iter_mut()) {
            let Some(pattern) = pattern else { continue };
            both.own.add(pattern.score(&usage));
            for other in &others[from..next_other] {
                both.impostors.add(pattern.score(&usage_of(other, last_end, zone)?));
            }
        }
        too_early += u64::from(patterns.iter().any(Option::is_none));
        past.push(usage);
        last_end = Some(session.plug_out_ms);
    }
    Ok(too_early)
}

/// A session, as it would look in the place of one whose charge before ended at `last_end`.
fn usage_of(session: &SourceSession, last_end: Option<u64>, zone: &Zone) -> anyhow::Result<Usage> {
    let local = zone.local(Timestamp::from_ms(session.plug_in_ms)).map_err(|rejection| anyhow::anyhow!("{rejection}"))?;
    let gap = last_end.map(|end| Duration::from_ms(session.plug_in_ms.saturating_sub(end)));
    let duration = Duration::from_ms(session.plug_out_ms.saturating_sub(session.plug_in_ms));
    Ok(Usage { brought: Some(Brought { energy: WattHours::new(session.energy_wh), duration }), ..Usage::starting(&local, gap) })
}

#[expect(clippy::cast_precision_loss, reason = "counts of rows, of which a file has at most a million, and their pairs are far below 2^53")]
fn share(part: u64, of: u64) -> f64 {
    if of == 0 { 0.0 } else { part as f64 / of as f64 }
}

fn print(report: &Report) {
    println!(
        "{} rows, {} usable, {} residents; {} sessions have fewer than {ENOUGH} before them that could be compared",
        report.rows, report.usable, report.residents, report.too_early
    );
    for measured in &report.measured {
        println!();
        println!("{}: {} sessions of residents, {} of others in their place", measured.by, measured.own, measured.impostors);
        let sites: Vec<String> =
            measured.equal_error_rate_by_site.iter().map(|(site, rate)| format!("{site} {:.1} %", 100.0 * rate)).collect();
        println!(
            "  equal error rate {:.1} % at a score of {} ({})",
            100.0 * measured.equal_error_rate,
            measured.equal_error_score,
            sites.join(", ")
        );
        for Asked { score, own, impostors } in &measured.thresholds {
            println!("  from {score:>4}: asks {:>5.1} % of residents and {:>5.1} % of others", 100.0 * own, 100.0 * impostors);
        }
    }
    println!();
    println!("A signal, not a proof: at an equal error rate of 50 % it would tell nothing.");
}
