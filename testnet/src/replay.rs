//! `watt-testnet replay`: recorded sessions, carried out by simulated cars, units and residents on real nodes, and compared with the record.
//!
//! What a row is worth is decided by [`crate::rows`], how a car draws by [`crate::car`], who charges away from home by [`crate::roam`], how nodes are driven by
//! [`crate::drive`]. Here is only what a replay adds: who buys how much, how strong the garages are, and what must be equal at the end. Several sites are
//! several condominiums with a node each; without a choice of sites all rows are one condominium's. Called by the program.

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
    chaos::faults::{Disturbance, Targets},
    drive::{Garage, Happening},
    federation::{Place as Folder, Policy},
    link::Links,
    provision::{self, Buyer, Opening, RATED_MA, Site},
    report::{self, Report},
    roam::roam,
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
    /// Each garage's limit as a share of what all its connectors are rated for.
    pub group_limit: Fraction,
    /// Which share of sessions happens away from home, where a connector is free.
    pub roaming: Option<Fraction>,
    /// What those are drawn from.
    pub seed: u64,
    /// What disturbs the nodes meanwhile, if anything does: what faults are drawn from.
    pub chaos: Option<u64>,
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

    /// A share that may be nothing.
    ///
    /// # Errors
    /// As its parsing, but for 0.
    pub fn or_none(text: &str) -> Result<Self, String> {
        let zero = text.contains('0') && text.bytes().all(|byte| byte == b'0' || byte == b'.') && text.matches('.').count() < 2;
        if zero { Ok(Self(0)) } else { text.parse() }
    }

    /// Whether an even draw from all numbers falls into this share.
    #[must_use]
    pub const fn holds(self, drawn: u64) -> bool {
        drawn % MILLION < self.0
    }

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
    report::writable(options.json.as_deref())?;
    let started = Instant::now();
    let sites = &options.filter.sites;
    if let Some(twice) =
        sites.iter().enumerate().find_map(|(place, site)| sites.iter().take(place).any(|other| other == site).then_some(site))
    {
        anyhow::bail!("--site {twice} is named twice: each site is one condominium with one node");
    }
    let rows = rows::read(&options.file, &options.filter)?;
    eprintln!("{}: {} rows, {} usable{}", options.file.display(), rows.rows, rows.usable.len(), skipped_text(&rows.skipped));
    anyhow::ensure!(!rows.usable.is_empty(), "no session of this file can be replayed");
    let folder = Folder::new(options.data.as_deref())?;
    let mut opening = opening(&rows.usable, &options.filter.sites, options.group_limit)?;
    let nodes = opening.sites.len();
    if let Some(share) = options.roaming {
        anyhow::ensure!(nodes > 1, "charging away from home needs several condominiums: give --site more than once");
        let site_of: Vec<_> =
            opening.sites.iter().enumerate().flat_map(|(site, garage)| garage.residents.iter().map(move |_| site)).collect();
        let moved = roam(&mut opening.visits, &site_of, share, options.seed);
        eprintln!("{moved} of {} sessions happen away from home; seed {}", opening.visits.len(), options.seed);
    }
    for site in &opening.sites {
        anyhow::ensure!(
            !site.residents.is_empty(),
            "no session of {} is among these: give a higher --limit, or leave the site out",
            site.name
        );
        eprintln!("{}: {} connectors under {} A per phase", site.name, site.residents.len(), site.limit_ma / 1_000);
    }
    let links = match options.chaos {
        Some(_) => Some(Links::new(nodes).await.context("cables between the nodes")?),
        None => None,
    };
    let mut garage = provision::found(&folder, opening, links.as_ref()).await?;
    for line in &garage.lines.each {
        eprintln!("wattd: {}  pid {}  data {}", line.node.api_url(), pid(line.node.pid()), line.node.dir().display());
    }
    let disturbance = links.zip(options.chaos).map(|(links, seed)| {
        eprintln!("disturbing the nodes; chaos seed {seed}");
        let processes = garage.lines.each.iter().map(|line| line.node.process()).collect();
        Disturbance::start(seed, Targets { processes, links, disk: folder.path().to_owned() })
    });

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

    let disturbed = match disturbance {
        Some(disturbance) => disturbance.stop().await,
        None => std::collections::BTreeMap::new(),
    };
    let mut report = conclude(&mut garage, started).await?;
    report.rows = rows.rows;
    report.skipped = rows.skipped.iter().map(|(reason, count)| (reason.name(), *count)).collect();
    report.chaos_seed = options.chaos;
    report.faults = disturbed;
    let mut faults = report::faults(&report);
    faults.extend(unfinished(&garage.visits, &report, options.group_limit));
    summary(&report);
    if let Some(path) = &options.json {
        report::write(&report, path).with_context(|| format!("writing {}", path.display()))?;
    }
    garage.lines.stop().await?;
    Ok(faults)
}

/// Lets all nodes come to one block, and audits it.
async fn conclude(garage: &mut Garage, started: Instant) -> anyhow::Result<Report> {
    garage.lines.advance(garage.now_ms).await?;
    eprintln!("auditing {} blocks", garage.height);
    let findings = report::find(&mut garage.lines, |_| {}).await?;
    Ok(report::report(garage, &findings, started))
}

/// The garages of a file's users: one for each site where several were chosen, one for all otherwise.
fn opening(usable: &[SourceSession], sites: &[String], group_limit: Fraction) -> anyhow::Result<Opening> {
    let mut names: Vec<&str> = Vec::new();
    for site in sites {
        if !names.contains(&site.as_str()) {
            names.push(site);
        }
    }
    if names.len() < 2 {
        names.clear();
    }
    // Each user is somebody in each site in which he is recorded.
    let site_of = |session: &SourceSession| names.iter().position(|name| *name == session.site).unwrap_or(0);
    let mut needs: Vec<Vec<(String, u64)>> = vec![Vec::new(); names.len().max(1)];
    let mut users: HashMap<(usize, &str), usize> = HashMap::new();
    for session in usable {
        let site = site_of(session);
        let place = *users.entry((site, session.user.as_str())).or_insert_with(|| {
            needs[site].push((session.user.clone(), 0));
            needs[site].len() - 1
        });
        needs[site][place].1 += session.energy_wh;
    }
    // Numbered through all sites, in their order.
    let first: Vec<usize> = needs.iter().scan(0, |sum, needs| Some(std::mem::replace(sum, *sum + needs.len()))).collect();
    let visits = usable.iter().map(|session| {
        let site = site_of(session);
        let connector = first[site] + users[&(site, session.user.as_str())];
        Visit { source: session.clone(), connector, person: connector, escrow: Escrow::Maximum, stop_at_ms: None }
    });
    let visits = visits.collect();
    let mut garages = Vec::new();
    for (number, needs) in needs.into_iter().enumerate() {
        let name = match names.get(number) {
            None => site_name(usable.iter().map(|session| session.site.as_str()), "replay"),
            Some(name) => site_name([*name].into_iter(), &format!("site-{}", number + 1)),
        };
        garages.push(site(name, needs, group_limit)?);
    }
    let opens_at_ms = usable.iter().map(|session| session.plug_in_ms).min().unwrap_or_default();
    Ok(Opening { sites: garages, opens_at_ms, max_duration: MAX_DURATION, post_every: EVERY, visits, seed: 0 })
}

/// The garage of users and what each will charge.
fn site(name: String, needs: Vec<(String, u64)>, group_limit: Fraction) -> anyhow::Result<Site> {
    anyhow::ensure!(
        needs.len() <= MAX_CONNECTORS,
        "{} users: a condominium has at most {MAX_CONNECTORS} connectors; choose fewer sites",
        needs.len()
    );
    // A site of which the limit took no session still has a node, and a group that could hold a car.
    let limit_ma = group_limit.of_connectors_ma(needs.len().max(1));
    anyhow::ensure!(limit_ma >= 6_000, "a limit of {} A is too little for any car: at least 6 A", limit_ma / 1_000);
    let escrow = METERABLE_WH * DEAREST_PER_KWH / 1_000;
    let buyer = |(name, energy_wh): (String, u64)| Buyer {
        name,
        amount: Amount::from_micro(escrow + energy_wh.saturating_mul(DEAREST_PER_KWH) / 1_000 + SPARE),
    };
    let residents = needs.into_iter().map(buyer).collect();
    Ok(Site { name, residents, limit_ma, policy: Policy::Fcfs, tariff: provision::day_and_night() })
}

/// A name of at most 32 bytes that needs no quoting in a configuration: the sites' own where they are one.
fn site_name<'a>(mut sites: impl Iterator<Item = &'a str>, otherwise: &str) -> String {
    let first = sites.next().unwrap_or_default();
    let plain =
        !first.is_empty() && first.len() <= 32 && first.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    if plain && sites.all(|site| site == first) { first.to_owned() } else { otherwise.to_owned() }
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
    if report.nodes.len() > 1 {
        let roots: Vec<_> = report.nodes.iter().map(|node| format!("{} {} {}", node.site, node.height, &node.state_root[..8])).collect();
        println!("nodes      {}", roots.join(", "));
        let positions: Vec<_> = report.positions.iter().map(|(site, micro)| format!("{site} {}", signed(*micro))).collect();
        println!("positions  {} after {} sessions away from home", positions.join(", "), report.away());
    }
    if let Some(seed) = report.chaos_seed {
        let faults: Vec<_> = report.faults.iter().map(|(name, count)| format!("{name} {count}")).collect();
        println!("chaos      seed {seed}: {}", faults.join(", "));
    }
    println!("took       {} s; {} posts of units, {} samples", report.wall_seconds, report.unit_posts, report.unit_samples);
}

/// Tokens with a sign.
fn signed(micro: i64) -> String {
    let amount = Amount::from_micro(micro.unsigned_abs());
    if micro < 0 { format!("-{amount}") } else { amount.to_string() }
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
        assert_eq!(["0", "0.0", ".5"].map(Fraction::or_none), [Ok(Fraction(0)), Ok(Fraction(0)), Ok(Fraction(500_000))]);
        assert!(["", ".", "-0", "0.0.0", "2"].into_iter().all(|text| Fraction::or_none(text).is_err()));
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
        let all = [session("a", 1_000, 5), session("b", 7, 6), session("a", 3_000, 10_000_000)];
        let opening = opening(&all, &[], Fraction::ONE).unwrap();
        let site = &opening.sites[0];
        assert_eq!((site.residents.len(), site.limit_ma, site.name.as_str()), (2, 64_000, "TRO"));
        assert_eq!(METERABLE_WH, 18_361_778);
        let a = 18_361_778 * 250 + 4_000 * 250 + SPARE;
        assert_eq!(site.residents[0].amount, Amount::from_micro(a));
        assert_eq!(opening.visits.iter().map(|visit| visit.connector).collect::<Vec<_>>(), [0, 1, 0]);
    }

    #[test]
    fn several_sites_are_several_condominiums_in_the_order_of_the_choice() {
        let session = |site: &str, user: &str, at: u64| SourceSession {
            site: site.to_owned(),
            user: user.to_owned(),
            session_id: format!("{site}{user}{at}"),
            plug_in_ms: at,
            plug_out_ms: at + 3_600_000,
            energy_wh: 1_000,
        };
        let all = [session("B", "x", 1), session("A", "x", 2), session("A", "y", 3), session("B", "z", 4)];
        let names = |text: &[&str]| text.iter().map(ToString::to_string).collect::<Vec<_>>();
        let opening = opening(&all, &names(&["A", "B", "A", "C"]), Fraction::ONE).unwrap();
        let sizes: Vec<_> = opening.sites.iter().map(|site| (site.name.as_str(), site.residents.len())).collect();
        assert_eq!(sizes, [("A", 2), ("B", 2), ("C", 0)], "a site without a session has its node all the same");
        assert_eq!(opening.visits.iter().map(|visit| visit.connector).collect::<Vec<_>>(), [2, 0, 1, 3]);
    }
}
