//! `watt-testnet replay`: recorded sessions, carried out by simulated cars, units and residents on a real node, and compared with the record.
//!
//! What a row is worth is decided by [`crate::rows`], how a car draws by [`crate::car`], how the node is driven by [`crate::drive`]. Here is only what a replay
//! adds: who buys how much, how strong the garage is, and what must be equal at the end. Called by the program.

use std::{
    collections::HashMap,
    io::IsTerminal as _,
    path::PathBuf,
    time::{Duration as RealDuration, Instant},
};

use anyhow::Context as _;
use chain::{quantity::Amount, time::Duration};
use indicatif::{ProgressBar, ProgressStyle};

use crate::{
    drive::Happening,
    federation::{Place as Folder, Policy},
    provision::{self, Buyer, RATED_MA, Site},
    report::{self, Report},
    rows::{self, Filter, Reason, SourceSession},
    world::{Escrow, Visit},
};

/// What every session asks for, and the longest wait in the queue.
pub const MAX_DURATION: Duration = Duration::from_hours(30 * 24);

/// The period of posts and attestations.
const EVERY: Duration = Duration::from_hours(1);

/// What a resident has beyond one escrow and all that he will pay, tokens: for quotes that change with the tariff, there are none, and for rounding.
const SPARE: u64 = 10_000_000;

/// The dearest price, micro-tokens per kWh.
const DEAREST_PER_KWH: u64 = 250_000;

/// What can be metered at most on a connector in [`MAX_DURATION`], Wh: rated current, 253 V, 5 % and 50 Wh.
const METERABLE_WH: u64 = 3 * 32 * 253 * 720 * 105 / 100 + 50;

/// The most connectors that the ledger allows a condominium.
const MAX_CONNECTORS: usize = 4_096;

/// What to replay.
#[derive(Clone, Debug)]
pub struct Options {
    /// The file of sessions.
    pub file: PathBuf,
    /// Which rows.
    pub filter: Filter,
    /// The garage's limit as a share of what all connectors are rated for.
    pub group_limit: Fraction,
    /// Where the report goes.
    pub json: Option<PathBuf>,
    /// Where the chain is kept.
    pub data: Option<PathBuf>,
}

/// A share, in millionths: a decimal text says exactly what it says.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Fraction(u64);

impl Fraction {
    /// All of it.
    pub const ONE: Self = Self(MILLION);

    /// Of the sum of these connectors, in whole amperes per phase, rounded down; mA.
    #[must_use]
    pub fn of_connectors_ma(self, connectors: usize) -> u32 {
        let rated_a = u128::from(RATED_MA / 1_000) * connectors as u128;
        let whole_a = u128::from(self.0) * rated_a / u128::from(MILLION);
        u32::try_from(whole_a * 1_000).unwrap_or(u32::MAX)
    }
}

const MILLION: u64 = 1_000_000;

impl std::str::FromStr for Fraction {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("expected a share above 0 and up to 1 with at most six decimals, such as 0.1, found {text:?}");
        let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
        if decimals.len() > 6 || !whole.bytes().chain(decimals.bytes()).all(|byte| byte.is_ascii_digit()) || whole.len() > 1 {
            return Err(wrong());
        }
        let digits = format!("{whole}{decimals:0<6}");
        let millionths: u64 = digits.parse().map_err(|_| wrong())?;
        if millionths == 0 || millionths > MILLION { Err(wrong()) } else { Ok(Self(millionths)) }
    }
}

impl std::fmt::Display for Fraction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{:06}", self.0 / MILLION, self.0 % MILLION)
    }
}

/// Replays and reports; gives what is wrong, in words.
///
/// # Errors
/// Where the file cannot be used or the federation cannot go on.
pub async fn run(options: &Options) -> anyhow::Result<Vec<String>> {
    let started = Instant::now();
    let rows = rows::read(&options.file, &options.filter)?;
    eprintln!("{}: {} rows, {} usable{}", options.file.display(), rows.rows, rows.usable.len(), skipped_text(&rows.skipped));
    anyhow::ensure!(!rows.usable.is_empty(), "no session of this file can be replayed");
    let folder = Folder::new(options.data.as_deref())?;
    let site = site(&rows.usable, options.group_limit)?;
    eprintln!("{} connectors under {} A per phase; founding the garage", site.residents.len(), site.limit_ma / 1_000);
    let mut garage = provision::found(&folder, site).await?;
    eprintln!("wattd: {}  pid {}  data {}", garage.line.node.api_url(), pid(garage.line.node.pid()), garage.line.node.dir().display());

    let bar = progress_bar(garage.visits.len() as u64);
    let mut settled = 0;
    let mut told = Instant::now();
    garage
        .run(&mut |garage, happening| match happening {
            Happening::Settled { .. } => {
                settled += 1;
                bar.set_position(settled);
            }
            Happening::Moment => {
                bar.set_message(crate::view::date_time(garage.now_ms));
                if bar.is_hidden() && told.elapsed() >= RealDuration::from_secs(10) {
                    told = Instant::now();
                    let (height, at) = (garage.height, crate::view::date_time(garage.now_ms));
                    eprintln!("{at}: {settled} of {} sessions settled, block {height}", garage.visits.len());
                }
            }
            Happening::Opened { .. }
            | Happening::Granted { .. }
            | Happening::Paused { .. }
            | Happening::Stopping { .. }
            | Happening::Left { .. } => {}
        })
        .await?;
    bar.finish_and_clear();

    eprintln!("auditing {} blocks", garage.height);
    let findings = report::find(&mut garage.line, |_| {}).await?;
    let mut report = report::report(&garage, &findings, started);
    report.rows = rows.rows;
    report.skipped = rows.skipped.iter().map(|(reason, count)| (reason.name(), *count)).collect();
    let mut faults = report::faults(&report);
    faults.extend(unfinished(&garage.visits, &report, options.group_limit));
    summary(&report);
    if let Some(path) = &options.json {
        report::write(&report, path).with_context(|| format!("writing {}", path.display()))?;
    }
    garage.line.node.stop().await?;
    Ok(faults)
}

/// The garage of a file's users.
fn site(usable: &[SourceSession], group_limit: Fraction) -> anyhow::Result<Site> {
    let mut users: HashMap<&str, usize> = HashMap::new();
    let mut needs: Vec<(String, u64)> = Vec::new();
    let mut visits = Vec::new();
    for session in usable {
        let connector = *users.entry(session.user.as_str()).or_insert_with(|| {
            needs.push((session.user.clone(), 0));
            needs.len() - 1
        });
        needs[connector].1 += session.energy_wh;
        visits.push(Visit { source: session.clone(), connector, escrow: Escrow::Maximum, stop_at_ms: None });
    }
    anyhow::ensure!(
        needs.len() <= MAX_CONNECTORS,
        "{} users: a condominium has at most {MAX_CONNECTORS} connectors; choose fewer sites",
        needs.len()
    );
    let limit_ma = group_limit.of_connectors_ma(needs.len());
    anyhow::ensure!(limit_ma >= 6_000, "a limit of {} A is too little for any car: at least 6 A", limit_ma / 1_000);
    let escrow = METERABLE_WH * DEAREST_PER_KWH / 1_000;
    let buyer = |(name, energy_wh): (String, u64)| Buyer {
        name,
        amount: Amount::from_micro(escrow + energy_wh.saturating_mul(DEAREST_PER_KWH) / 1_000 + SPARE),
    };
    let opens_at_ms = usable.iter().map(|session| session.plug_in_ms).min().unwrap_or_default();
    Ok(Site {
        name: site_name(usable),
        residents: needs.into_iter().map(buyer).collect(),
        limit_ma,
        policy: Policy::Fcfs,
        tariff: provision::day_and_night(),
        opens_at_ms,
        max_duration: MAX_DURATION,
        post_every: EVERY,
        visits,
        seed: 0,
    })
}

/// A name of at most 32 bytes that needs no quoting in a configuration.
fn site_name(usable: &[SourceSession]) -> String {
    let first = usable.first().map_or("", |session| session.site.as_str());
    let one = usable.iter().all(|session| session.site == first);
    let plain =
        !first.is_empty() && first.len() <= 32 && first.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    if one && plain { first.to_owned() } else { "replay".to_owned() }
}

/// Sessions that should have got all of their energy and did not: nobody waits where the limit is what all connectors are rated for.
fn unfinished(visits: &[Visit], report: &Report, group_limit: Fraction) -> Vec<String> {
    if group_limit < Fraction::ONE {
        return Vec::new();
    }
    let could = visits.iter().filter(|visit| crate::car::Car::new(&visit.source).can_finish());
    let by_name: HashMap<&str, u64> = report.per_session.iter().map(|line| (line.session_id.as_str(), line.settled_wh)).collect();
    let short = could.filter(|visit| by_name.get(visit.source.session_id.as_str()) != Some(&visit.source.energy_wh)).count();
    if short == 0 { Vec::new() } else { vec![format!("{short} sessions could have got all of their energy and did not")] }
}

fn progress_bar(sessions: u64) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(sessions);
    let style = ProgressStyle::with_template("{bar:32} {pos}/{len} sessions  {msg}  {elapsed}");
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn summary(report: &Report) {
    let tokens = |micro: u64| Amount::from_micro(micro).to_string();
    let Report { micro_tokens: money, .. } = report;
    println!("sessions   {} settled of {} usable; {} had to wait", report.sessions_settled, report.usable, report.sessions_queued);
    println!(
        "energy     {} Wh in the file, {} drawn, {} settled; {} cars had too little time at their rate",
        report.energy_source_wh, report.energy_drawn_wh, report.energy_settled_wh, report.sessions_too_short
    );
    println!(
        "tokens     {} sold; {} escrowed = {} paid + {} refunded; {} held",
        tokens(money.sold),
        tokens(money.escrowed),
        tokens(money.paid),
        tokens(money.refunded),
        tokens(money.held_at_end)
    );
    let reasons: Vec<_> = report.settle_reasons.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
    println!("reasons    {}", reasons.join(", "));
    println!(
        "chain      {} blocks, {} transactions; conservation {}; audit {} in {} s; wattd restarted {} times",
        report.audit.blocks,
        report.audit.transactions,
        if report.conservation_ok { "holds" } else { "BROKEN" },
        if report.audit.ok { "passed" } else { "FAILED" },
        report.audit.seconds,
        report.restarts
    );
    println!("took       {} s; {} posts of units, {} samples", report.wall_seconds, report.unit_posts, report.unit_samples);
}

fn skipped_text(skipped: &std::collections::BTreeMap<Reason, u64>) -> String {
    let some: Vec<_> = skipped.iter().filter(|(_, count)| **count > 0).map(|(reason, count)| format!("{reason} {count}")).collect();
    if some.is_empty() { String::new() } else { format!("; left out: {}", some.join(", ")) }
}

fn pid(pid: Option<u32>) -> String {
    pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_what_its_decimals_say_and_rounds_down_to_amperes() {
        let share = |text: &str| text.parse::<Fraction>();
        assert_eq!(share("1"), Ok(Fraction::ONE));
        assert_eq!(share("1.0"), Ok(Fraction::ONE));
        assert_eq!(share("0.1").unwrap().of_connectors_ma(23), 73_000);
        assert_eq!(share(".5").unwrap().of_connectors_ma(3), 48_000);
        assert_eq!(share("0.07").unwrap().of_connectors_ma(100), 224_000, "exact, not a float's 223");
        for wrong in ["0", "0.0", "1.1", "2", "-0.5", "a", "", "0.0000001", "1e-1", "0,1"] {
            assert!(share(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn everyone_has_the_dearest_month_and_all_that_he_will_draw() {
        let session = |user: &str, wh: u64, at: u64| SourceSession {
            site: "TRO".to_owned(),
            user: user.to_owned(),
            session_id: format!("{user}{at}"),
            plug_in_ms: at,
            plug_out_ms: at + 3_600_000,
            energy_wh: wh,
        };
        let site = site(&[session("a", 1_000, 5), session("b", 7, 6), session("a", 3_000, 10_000_000)], Fraction::ONE).unwrap();
        assert_eq!((site.residents.len(), site.limit_ma, site.name.as_str()), (2, 64_000, "TRO"));
        assert_eq!(METERABLE_WH, 18_361_778);
        let a = 18_361_778 * 250 + 4_000 * 250 + SPARE;
        assert_eq!(site.residents[0].amount, Amount::from_micro(a));
        assert_eq!(site.visits.iter().map(|visit| visit.connector).collect::<Vec<_>>(), [0, 1, 0]);
    }
}
