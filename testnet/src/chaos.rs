//! `watt-testnet chaos`: four condominiums under charging load, and everything that can befall their nodes, on the machine's clock.
//!
//! Real `wattd` processes with cables of ours between them, or each on a machine of its own in the kernel's eyes, are killed, stopped, slowed and cut off, one
//! fault after the other, drawn from a seed; residents and units go on as they would. At the end all must agree: one state on all nodes, every token where it
//! belongs, every session billed once and by what its car drew. Time, and with it what exactly happens, is the machine's: a seed repeats the faults, not every
//! interleaving. Called by the program.
//!
//! - `faults`: what befalls; `storm`: when, and whether the federation comes through; `life`: residents and units; `purse`: their wallets; `verdict`: what must
//!   be true afterwards.

pub mod faults;
pub mod life;
pub mod purse;
pub mod storm;
pub mod verdict;

use std::{
    path::PathBuf,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use chain::{
    hash::Hash32,
    id::CondominiumId,
    params::Params,
    quantity::Amount,
    time::{Duration as Span, Timestamp},
};
use cli::client::Client;
use contracts::call::{Call, PutTariff, SellTokens};
use ed25519_dalek::SigningKey;
use futures::{FutureExt as _, StreamExt as _, stream::FuturesUnordered};
use serde::Serialize;
use tokio::{
    sync::{Mutex, watch},
    task::JoinSet,
};

use self::{
    faults::Targets,
    life::{MAX_DURATION, PATIENCE, Resident, Spot, Tally},
    purse::{Fortune, Purse, machine_ms},
    storm::{Storm, Trial},
    verdict::{Evidence, Holder, Tale},
};
use crate::{
    federation::{self, GatewayPlan, Node, Place as Folder, Plan, Policy, Staff, Time, wattd_beside_us},
    link::Links,
    provision::{self, Buyer, Site},
    report::{self, Audit, NodeLine, rounded},
    resident::{Lines, seeded_key},
    unit::{self, SimUnit},
};

/// The condominiums.
const SITES: [&str; 4] = ["north", "east", "south", "west"];

/// Residents of each, with a connector each.
const RESIDENTS: usize = 3;

/// How many of a condominium's cars may draw all that they can at once.
const PLACES: u32 = 2;

/// What everyone buys.
const BOUGHT: Amount = Amount::from_micro(1_000_000_000);

/// Tokens per kWh, at all times.
const PRICE_PER_KWH: Amount = Amount::from_micro(250_000);

/// How long current may flow without an answer: longer than the longest fault.
const LEASE_S: u16 = 20;

/// From a stop to the settlement that the chain makes by itself, without what the gateway has yet to say: longer than anything may take.
const SETTLE_GRACE: Span = Span::from_mins(15);

/// From a tariff's publication to its coming into force: the first that suffices, because it must be in a block by then.
const TARIFF_LEADS: [Span; 3] = [Span::from_secs(10), Span::from_secs(30), Span::from_secs(90)];

/// How often a line says how it goes.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// How long the nodes may take until they answer.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// What to do.
#[derive(Clone, Debug)]
pub struct Options {
    /// What faults and days are drawn from.
    pub seed: u64,
    /// For how long nodes are disturbed.
    pub lasts: Duration,
    /// Where the report goes.
    pub json: Option<PathBuf>,
    /// Where the chains are kept.
    pub data: Option<PathBuf>,
    /// Whether each node is on a machine of its own, as the kernel sees it, instead of behind relays.
    pub machines: bool,
}

/// What `--json` writes.
#[derive(Clone, Debug, Serialize)]
pub struct ChaosReport {
    /// What faults and days were drawn from.
    pub seed: u64,
    /// What joined the nodes: `relays` or `machines`.
    pub cables: &'static str,
    /// In what faults of cables were others than described, because the kernel cannot make those; empty where in nothing.
    pub differences: Vec<String>,
    /// From the first fault to the last settlement, s.
    pub seconds: f64,
    /// Every fault, and how the federation came through.
    pub trials: Vec<Trial>,
    /// Sessions opened and settled.
    pub sessions: u64,
    /// Of those, at another condominium's connector.
    pub away: u64,
    /// What their cars drew, and what their bills say, Wh.
    pub energy_drawn_wh: u64,
    pub energy_settled_wh: u64,
    /// Locked, paid and given back, micro-tokens.
    pub escrowed: u64,
    pub paid: u64,
    pub refunded: u64,
    /// Posts of units that were answered, and that were not.
    pub posts: u64,
    pub unanswered: u64,
    /// How often `wattd` was started again; and how often it had ended by itself.
    pub restarts: u32,
    pub ended_by_itself: u32,
    /// Which node it was then, its exit code, and the last line of its log; the codes are those that allow a restart, or the run had failed.
    pub ends: Vec<String>,
    /// Every node at the end.
    pub nodes: Vec<NodeLine>,
    /// What the audit of the whole chain found.
    pub audit: Audit,
    /// What is not true; empty where all is.
    pub failures: Vec<String>,
}

/// Runs the storm; gives what is wrong, in words.
///
/// # Errors
/// Where the federation cannot be founded, or anything is lost.
pub async fn run(options: &Options) -> anyhow::Result<Vec<String>> {
    report::writable(options.json.as_deref())?;
    let folder = Folder::new(options.data.as_deref())?;
    println!("chaos seed {}: {} condominiums with {RESIDENTS} residents each, {} s", options.seed, SITES.len(), options.lasts.as_secs());
    let sites: Vec<_> = SITES.iter().map(|name| site(name)).collect();
    let mountings = provision::mountings(&sites, options.seed);
    let plans: Vec<_> = sites.iter().zip(&mountings).map(|(site, mountings)| plan(site, mountings)).collect();
    let links = cables(options.machines).await?;
    let nodes = federation::found(folder.path(), wattd_beside_us()?, &plans, Some(&links)).await?;
    for node in &nodes {
        eprintln!("wattd: {}  pid {}  data {}", node.api_url(), node.pid().unwrap_or(0), node.dir().display());
    }
    let clients = nodes.iter().map(|node| Client::new(&node.api_url())).collect::<Result<Vec<_>, _>>()?;
    until_ready(&clients, &nodes).await?;

    let chain_id = nodes[0].chain_id()?;
    let http = unit::shared_http();
    let (mut spots, mut residents) = (Vec::new(), Vec::new());
    for (home, (mountings, node)) in mountings.iter().zip(&nodes).enumerate() {
        for mounting in mountings {
            let unit = Mutex::new(SimUnit::new(mounting, http.clone(), node.gateway_url())?);
            spots.push(Spot { site: home, connector: mounting.connector, unit });
            let number = residents.len();
            let key = SigningKey::from_bytes(&seeded_key(options.seed, "resident", number as u64));
            let seed = options.seed.wrapping_mul(1_000).wrapping_add(number as u64);
            residents.push(Resident { number, home, purse: Purse::new(key, chain_id, clients[home].clone()), seed });
        }
    }
    set_up(&nodes, &clients, &sites, &mountings, &residents, options.seed).await?;
    for spot in &spots {
        spot.unit.lock().await.configure(machine_ms()).await.context("a unit asks for its configuration")?;
    }
    let addresses: Vec<_> = residents.iter().map(|resident| resident.purse.address()).collect();

    let started = Instant::now();
    let until = started + options.lasts;
    let tally = Tally::default();
    let (enough, is_enough) = watch::channel(false);
    let mut lives: FuturesUnordered<_> =
        residents.into_iter().map(|resident| resident.live(&spots, is_enough.clone(), &tally).boxed_local()).collect();
    let processes = nodes.iter().map(Node::process).collect();
    let targets = Targets { processes, links, disk: folder.path().to_owned() };
    let mut storm = Storm::new(options.seed, nodes, clients, targets, options.lasts);
    let (mut stays, mut failures) = (Vec::new(), Vec::new());
    let mut told = tokio::time::interval(TELL_EVERY);
    told.tick().await;
    {
        let mut blowing = std::pin::pin!(storm.blow(until));
        loop {
            tokio::select! {
                blown = &mut blowing => break blown?,
                // Nobody ends before it is enough, unless something is lost.
                Some(lived) = lives.next() => end_of(lived, &mut stays, &mut failures),
                _ = told.tick() => tell(started, &tally),
            }
        }
    }
    enough.send_replace(true);
    {
        let mut minding = std::pin::pin!(storm.mind(2 * PATIENCE));
        while !lives.is_empty() {
            tokio::select! {
                minded = &mut minding => {
                    minded?;
                    anyhow::bail!("{} residents do not come to an end", lives.len());
                }
                Some(lived) = lives.next() => end_of(lived, &mut stays, &mut failures),
                _ = told.tick() => tell(started, &tally),
            }
        }
    }
    let seconds = rounded(started.elapsed().as_secs_f64());
    storm.agree().await?;

    // Machines are there as long as their cables.
    let (nodes, targets, trials, ended_by_itself) = storm.over();
    let mut lines = Lines::new(nodes)?;
    eprintln!("the storm is over; auditing");
    let findings = report::find(&mut lines, |_| {}).await?;
    let tale = Tale::read(&mut lines, findings.nodes[0].0).await?;
    let mut holders = Vec::new();
    for address in addresses {
        let account = lines.ask(0, "an account", async |client| client.account(address).await).await?.account;
        holders.push(Holder { address, bought: BOUGHT.micro(), balance: account.balance.micro(), held: account.held.micro() });
    }
    let evidence = Evidence { stays: &stays, tale: &tale, findings: &findings, holders: &holders };
    failures.extend(evidence.faults());
    failures.extend(trials.iter().filter_map(Trial::fault));
    let sum = |of: fn(&life::Stay) -> u64| stays.iter().map(of).sum::<u64>();
    let report = ChaosReport {
        seed: options.seed,
        cables: targets.links.name(),
        differences: targets.links.differences(),
        seconds,
        trials,
        sessions: stays.len() as u64,
        away: stays.iter().filter(|stay| stay.home != stay.site).count() as u64,
        energy_drawn_wh: sum(|stay| stay.drawn_wh),
        energy_settled_wh: sum(|stay| stay.receipt.energy.get()),
        escrowed: sum(|stay| stay.escrow.micro()),
        paid: sum(|stay| stay.receipt.paid.micro()),
        refunded: sum(|stay| stay.receipt.refund.micro()),
        posts: tally.posts.load(Ordering::Relaxed),
        unanswered: tally.unanswered.load(Ordering::Relaxed),
        restarts: lines.restarts(),
        ended_by_itself,
        ends: lines.each.iter().flat_map(|line| line.node.ends().to_vec()).collect(),
        nodes: SITES.iter().zip(&findings.nodes).map(node_line).collect(),
        audit: findings.audit.clone(),
        failures: failures.clone(),
    };
    summary(&report);
    if let Some(path) = &options.json {
        report::write(&report, path).with_context(|| format!("writing {}", path.display()))?;
    }
    lines.stop().await?;
    drop(targets);
    Ok(failures)
}

/// What joins the nodes, and a word where that is not what it is by default.
async fn cables(machines: bool) -> anyhow::Result<Links> {
    if !machines {
        return Ok(Links::new(SITES.len()).await?);
    }
    let links = Links::machines(SITES.len()).await?;
    for node in (0..SITES.len()).filter_map(|node| links.machine(node)) {
        eprintln!("machine: namespace {}  {} among nodes, {} for people", node.namespace, node.between_nodes, node.for_people);
    }
    for difference in links.differences() {
        println!("differs    {difference}");
    }
    Ok(links)
}

/// What a resident came home with; what he lost is a failure, and the others go on.
fn end_of(lived: anyhow::Result<Vec<life::Stay>>, stays: &mut Vec<life::Stay>, failures: &mut Vec<String>) {
    match lived {
        Ok(lived) => stays.extend(lived),
        Err(error) => {
            eprintln!("{error:#}");
            failures.push(format!("{error:#}"));
        }
    }
}

fn node_line((site, (height, state_root)): (&&str, &(chain::id::Height, String))) -> NodeLine {
    NodeLine { site: (*site).to_owned(), height: height.0, state_root: state_root.clone() }
}

fn site(name: &str) -> Site {
    Site {
        name: name.to_owned(),
        residents: (1..=RESIDENTS).map(|number| Buyer { name: format!("{name}-{number}"), amount: BOUGHT }).collect(),
        limit_ma: PLACES * provision::RATED_MA,
        policy: Policy::Fcfs,
        tariff: provision::one_price(PRICE_PER_KWH),
    }
}

fn plan(site: &Site, mountings: &[crate::unit::Mounting]) -> Plan {
    Plan {
        name: site.name.clone(),
        params: Params { settle_grace: SETTLE_GRACE, ..provision::test_params(MAX_DURATION, Span::from_mins(1)) },
        time: Time::Real,
        staff: Staff::Node {
            policy: site.policy,
            gateway: GatewayPlan { lease_s: LEASE_S, transmit_period_s: 1, sample_period_s: 5, attest_every_s: 5 },
        },
        units: mountings.iter().map(provision::unit_line).collect(),
    }
}

/// Tariffs, groups, connectors and tokens, by each condominium's own officers at its own node.
async fn set_up(
    nodes: &[Node],
    clients: &[Client],
    sites: &[Site],
    mountings: &[Vec<crate::unit::Mounting>],
    residents: &[Resident],
    seed: u64,
) -> anyhow::Result<()> {
    let chain_id = nodes[0].chain_id()?;
    let mut selling = JoinSet::new();
    for (home, (node, client)) in nodes.iter().zip(clients).enumerate() {
        let condominium = condominium(home)?;
        let mut treasurer = Purse::new(node.key("treasurer")?, chain_id, client.clone());
        let sales = residents.iter().filter(|resident| resident.home == home).zip(1..).map(|(resident, sale)| {
            let payment = Hash32(seeded_key(seed, "payment", resident.number as u64));
            Call::SellTokens(SellTokens { condominium, account: resident.purse.address(), amount: BOUGHT, sale, payment })
        });
        let sales: Vec<_> = sales.collect();
        selling.spawn(async move { all(&mut treasurer, sales).await });
    }
    while let Some(done) = selling.join_next().await {
        done.context("selling tokens")??;
    }
    // Only now: the first block waits until nodes have found each other.
    let mut founding = JoinSet::new();
    for (home, ((node, client), (site, mountings))) in nodes.iter().zip(clients).zip(sites.iter().zip(mountings)).enumerate() {
        let manager = Purse::new(node.key("manager")?, chain_id, client.clone());
        let connectors = mountings.iter().map(|mounting| mounting.connector);
        let calls = provision::set_up(condominium(home)?, connectors, site.limit_ma, site.tariff.clone(), Timestamp::default());
        founding.spawn(open(manager, calls));
    }
    let mut valid_from = Timestamp::default();
    while let Some(done) = founding.join_next().await {
        valid_from = valid_from.max(done.context("setting up")??);
    }
    let wait_ms = valid_from.ms().saturating_sub(machine_ms());
    tokio::time::sleep(Duration::from_millis(wait_ms + 50)).await;
    Ok(())
}

/// The condominium of a node, by its number from 0.
fn condominium(home: usize) -> anyhow::Result<CondominiumId> {
    Ok(CondominiumId(provision::CONDOMINIUM.0 + u32::try_from(home)?))
}

/// Sets a garage up; gives from when on its tariff holds.
async fn open(mut manager: Purse, calls: Vec<Call>) -> anyhow::Result<Timestamp> {
    let mut holds_from = Timestamp::default();
    for call in calls {
        if let Call::PutTariff(tariff) = call {
            holds_from = publish(&mut manager, tariff).await?;
        } else {
            all(&mut manager, vec![call]).await?;
        }
    }
    Ok(holds_from)
}

/// Publishes a tariff for as soon as possible, and again for later where the machine is so slow that its block came too late; gives from when on it holds.
async fn publish(manager: &mut Purse, mut tariff: PutTariff) -> anyhow::Result<Timestamp> {
    let mut last = None;
    for lead in TARIFF_LEADS {
        tariff.valid_from = Timestamp::from_ms(machine_ms()).saturating_add(lead);
        let transaction = manager.sign(Call::PutTariff(tariff.clone()))?;
        match manager.bring(&transaction, PATIENCE).await? {
            Fortune::Applied(_) => return Ok(tariff.valid_from),
            unwanted @ (Fortune::Rejected(..) | Fortune::Refused(_)) => last = Some(unwanted),
        }
    }
    anyhow::bail!("put_tariff: {last:?}")
}

async fn all(officer: &mut Purse, calls: Vec<Call>) -> anyhow::Result<()> {
    for call in calls {
        let transaction = officer.sign(call)?;
        match officer.bring(&transaction, PATIENCE).await? {
            Fortune::Applied(_) => {}
            unwanted @ (Fortune::Rejected(..) | Fortune::Refused(_)) => {
                anyhow::bail!("{}: {unwanted:?}", transaction.body().call.action().name());
            }
        }
    }
    Ok(())
}

async fn until_ready(clients: &[Client], nodes: &[Node]) -> anyhow::Result<()> {
    let until = Instant::now() + START_TIMEOUT;
    for (client, node) in clients.iter().zip(nodes) {
        while !client.health().await.is_ok_and(|health| health.ready) {
            anyhow::ensure!(Instant::now() < until, "wattd does not become ready; the end of its log:\n{}", node.log_end());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    Ok(())
}

fn tell(started: Instant, tally: &Tally) {
    let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    eprintln!(
        "{:>4} s: {} sessions opened, {} settled; {} posts of units answered, {} not",
        started.elapsed().as_secs(),
        count(&tally.opened),
        count(&tally.settled),
        count(&tally.posts),
        count(&tally.unanswered)
    );
}

fn summary(report: &ChaosReport) {
    println!();
    println!("{:>6}  {:13} {:10} {:>6} {:>13} {:>13}  went on", "at s", "fault", "nodes", "for s", "blocks before", "during");
    for trial in &report.trials {
        println!("{trial}");
    }
    let tokens = |micro: u64| Amount::from_micro(micro).to_string();
    println!();
    println!("sessions   {} settled, {} of them away from home", report.sessions, report.away);
    println!("energy     {} Wh drawn, {} settled", report.energy_drawn_wh, report.energy_settled_wh);
    println!("tokens     {} escrowed = {} paid + {} refunded", tokens(report.escrowed), tokens(report.paid), tokens(report.refunded));
    let roots: Vec<_> = report.nodes.iter().map(|node| format!("{} {} {}", node.site, node.height, &node.state_root[..8])).collect();
    println!("nodes      {}", roots.join(", "));
    println!("units      {} posts answered, {} not", report.posts, report.unanswered);
    println!(
        "chain      {} blocks, {} transactions; audit {} in {} s; wattd started again {} times, {} of them after it had ended by itself",
        report.audit.blocks,
        report.audit.transactions,
        if report.audit.ok { "passed" } else { "FAILED" },
        report.audit.seconds,
        report.restarts,
        report.ended_by_itself
    );
    for end in &report.ends {
        println!("ended      {end}");
    }
    for difference in &report.differences {
        println!("differs    {difference}");
    }
    let by = if report.cables == "machines" { " on machines" } else { "" };
    println!("took       {} s; chaos seed {}{by}; {} checks missed", report.seconds, report.seed, report.failures.len());
}
