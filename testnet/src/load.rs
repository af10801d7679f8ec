//! `watt-testnet load`: how many whole sessions one validator or several carry in a second, on the real clock.
//!
//! All of it happens in the first condominium; further validators are nodes of further ones, on this machine too, and clients and keys are spread over all
//! nodes. Each client is a resident with a connector of his own. Again and again he locks one token and opens a session (and waits for its block), and waits until the
//! chain has paid and refunded it. In between, a scheduler's key grants, and a gateway's key attests two readings and settles, as soon as they see the block
//! before: three heights a session, four calls.
//!
//! # What is measured and what is not
//! The chain: submission over HTTP, signatures, pool, consensus with a durable block, execution, proofs' roots, receipts and the event stream. The node's own
//! gateway and scheduler are off, and there are no units: their keys are held here, in [`LANES`] lanes, because one key's transactions go in order of nonce.
//! Readings are made up (40 Wh at once, within the 50 Wh that the ledger allows for a meter's slack). The load is made on the same machine and takes its share
//! of the processor. Called by the program.

mod lanes;

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration as RealDuration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::Context as _;
use chain::{
    hash::Hash32,
    id::{ConnectorId, GroupId, SessionId, TariffId},
    quantity::{Amount, Currents, WattHours},
    record::Role,
    time::{Duration, Timestamp},
};
use cli::{client::Client, wallet::Wallet};
use contracts::{
    call::{Call, OpenSession, Priority, PutGroup, PutTariff, SellTokens},
    genesis::GenesisRole,
};
use ed25519_dalek::SigningKey;
use serde::Serialize;
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinSet,
};

use self::lanes::{LanePosts, follow, grant_all, lane_of, settle_all};
use crate::{
    federation::{self, Node, Place as Folder, Plan, Staff, Time, wattd_beside_us},
    provision::{self, CONDOMINIUM},
    report::{self, rounded},
    resident::seeded_key,
    view::tokens,
};

/// Scheduler's and gateway's keys, each pair with a share of the connectors.
pub const LANES: usize = 4;

/// What a session locks.
const ESCROW: Amount = Amount::from_micro(1_000_000);

/// What everyone buys: enough for every session of the longest run, since what is paid for one is a hundredth of a token.
const BOUGHT: Amount = Amount::from_micro(400_000_000);

/// Tokens per kWh, at all times.
const PRICE_PER_KWH: Amount = Amount::from_micro(250_000);

/// What a session charges.
const ENERGY: WattHours = WattHours::new(40);

/// What a session is granted, mA: the least that a car takes.
const GRANT_MA: u32 = 6_000;

/// From the tariff's publication to its coming into force: longer than a block takes, on a machine with much else to do too.
const TARIFF_LEAD: Duration = Duration::from_secs(5);

/// How long a transaction stays good.
const VALIDITY: Duration = Duration::from_mins(10);

/// How long a client waits for a settlement before something is wrong.
const PATIENCE: RealDuration = RealDuration::from_secs(60);

/// How long the node may take until it answers.
const START_TIMEOUT: RealDuration = RealDuration::from_secs(60);

/// Opened and granted sessions that wait in a lane.
const LANE_CAPACITY: usize = 4_096;

/// What to do.
#[derive(Clone, Debug)]
pub struct Options {
    /// How many decide.
    pub validators: u32,
    /// Residents at once.
    pub clients: u32,
    /// For how long.
    pub seconds: u64,
    /// Where the numbers go.
    pub json: Option<PathBuf>,
    /// Where the chain is kept.
    pub data: Option<PathBuf>,
}

/// What `--json` writes.
#[derive(Clone, Debug, Serialize)]
pub struct LoadReport {
    /// Validators.
    pub validators: u32,
    /// Residents at once.
    pub clients: u32,
    /// How long sessions were opened, s, until the last of them was settled.
    pub seconds: f64,
    /// Sessions settled.
    pub sessions: u64,
    /// A second.
    pub sessions_per_second: f64,
    /// Transactions committed, a second.
    pub tx_per_second: f64,
    /// Blocks, a second.
    pub heights_per_second: f64,
    /// Half of the sessions took no longer than this from the opening's signature to the settlement's block, ms.
    pub p50_ms: f64,
    /// 99 of 100 took no longer, ms.
    pub p99_ms: f64,
    /// Half of the openings were committed within this, ms: from the signature to the answer that a durable block has it.
    pub open_p50_ms: f64,
    /// 99 of 100 were.
    pub open_p99_ms: f64,
    /// The most memory that a `wattd` had, MB.
    pub rss_mb: f64,
    /// What `wattd`'s data directory grew by, a session.
    pub bytes_per_session: u64,
    /// Whether the totals at the end are what the sessions add up to.
    pub conservation_ok: bool,
}

/// Runs the load; gives what is wrong, in words.
///
/// # Errors
/// Where the node cannot be founded or stops answering.
pub async fn run(options: &Options) -> anyhow::Result<Vec<String>> {
    report::writable(options.json.as_deref())?;
    let folder = Folder::new(options.data.as_deref())?;
    let lanes: Vec<_> = (0..LANES as u64).map(|lane| (key("scheduler", lane), key("gateway", lane))).collect();
    let role = |role: Role, key: &SigningKey| GenesisRole { role, account: chain::crypto::address_of(key) };
    let roles = lanes.iter().flat_map(|(scheduler, gateway)| [role(Role::Scheduler, scheduler), role(Role::Gateway, gateway)]).collect();
    let day = Duration::from_hours(24);
    let plan = |number: u32, staff: Staff| Plan {
        name: if number == 0 { "load".to_owned() } else { format!("load-{number}") },
        params: provision::test_params(day, Duration::from_mins(5)),
        time: Time::Real,
        staff,
        units: Vec::new(),
    };
    let others = (1..options.validators).map(|number| plan(number, Staff::Ours(Vec::new())));
    let plans: Vec<_> = std::iter::once(plan(0, Staff::Ours(roles))).chain(others).collect();
    let nodes = federation::found(folder.path(), wattd_beside_us()?, &plans, None).await?;
    let node = &nodes[0];
    let chain_id = node.chain_id()?;
    let clients = nodes.iter().map(|node| Client::new(&node.api_url())).collect::<Result<Vec<_>, _>>()?;
    for (client, node) in clients.iter().zip(&nodes) {
        until_ready(client, node).await?;
    }
    let client = &clients[0];
    let residents: Vec<_> =
        (0..options.clients.into()).map(|number| Arc::new(Wallet::with_nonce(key("resident", number), chain_id, 0))).collect();
    for node in &nodes {
        eprintln!("wattd: {}  pid {}", node.api_url(), node.pid().unwrap_or(0));
    }
    eprintln!("setting up {} residents", residents.len());
    set_up(client, node, &residents).await?;

    let bytes_before = bytes_under(node.dir());
    let height_before = client.status().await?.height;
    let counted = Arc::new(AtomicU64::new(0));
    let mut tasks = JoinSet::new();
    // A lane, and everyone whose connector is in it, keeps to one node: another may be a block behind.
    let node_of = |lane: usize| lane % clients.len();
    let mut posts: Vec<Vec<Option<LanePosts>>> = clients.iter().map(|_| (0..LANES).map(|_| None).collect()).collect();
    for (lane, (scheduler, gateway)) in lanes.into_iter().enumerate() {
        let client = &clients[node_of(lane)];
        let (opened, to_grant) = mpsc::channel(LANE_CAPACITY);
        let (granted, to_settle) = mpsc::channel(LANE_CAPACITY);
        let (scheduler, gateway) = (Wallet::with_nonce(scheduler, chain_id, 0), Wallet::with_nonce(gateway, chain_id, 0));
        tasks.spawn(grant_all(client.clone(), scheduler, to_grant, Arc::clone(&counted)));
        tasks.spawn(settle_all(client.clone(), gateway, to_settle, Arc::clone(&counted)));
        posts[node_of(lane)][lane] = Some(LanePosts { opened, granted });
    }
    let mut waiters = Vec::new();
    for (client, posts) in clients.iter().zip(posts) {
        let (waiter, to_wait) = mpsc::channel(LANE_CAPACITY);
        tasks.spawn(follow(client.clone(), posts, to_wait));
        waiters.push(waiter);
    }
    // The stream has to stand before the first session opens.
    tokio::time::sleep(RealDuration::from_millis(300)).await;

    let started = Instant::now();
    let until = started + RealDuration::from_secs(options.seconds);
    let mut lives = JoinSet::new();
    for (number, wallet) in (1_u32..).zip(residents) {
        let connector = ConnectorId::new(CONDOMINIUM, number);
        let node = node_of(lane_of(connector));
        lives.spawn(live(clients[node].clone(), wallet, connector, until, waiters[node].clone(), Arc::clone(&counted)));
    }
    drop(waiters);
    let mut cycles = Vec::new();
    loop {
        tokio::select! {
            Some(ended) = lives.join_next() => cycles.extend(ended.context("a client")??),
            Some(ended) = tasks.join_next() => {
                ended.context("a lane")??;
                anyhow::bail!("a lane ended before the clients");
            }
            else => break,
        }
        if lives.is_empty() {
            break;
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    tasks.abort_all();

    until_one(&clients).await?;
    let heights = client.status().await?.height.0.saturating_sub(height_before.0);
    let totals = client.condominiums().await?;
    let sessions = cycles.len() as u64;
    let paid = sessions.saturating_mul(paid_for_one());
    let revenue = client.account(chain::crypto::address_of(&node.key("revenue")?)).await?.account.balance.micro();
    let conservation_ok = totals.iter().all(|view| view.conserved && view.held.is_zero()) && revenue == paid;
    let rss_mb = nodes.iter().map(|node| most_memory_mb(node.pid())).fold(0.0, f64::max);
    let transactions = counted.load(Ordering::Relaxed);
    let grown = bytes_under(node.dir()).saturating_sub(bytes_before);
    let per_second = |count: u64| rounded(count as f64 / seconds);
    let millis = |of: fn(&Cycle) -> RealDuration, share: f64| {
        let mut all: Vec<f64> = cycles.iter().map(|cycle| of(cycle).as_secs_f64() * 1_000.0).collect();
        all.sort_by(f64::total_cmp);
        rounded(percentile(&all, share))
    };
    let report = LoadReport {
        validators: options.validators,
        clients: options.clients,
        seconds: rounded(seconds),
        sessions,
        sessions_per_second: per_second(sessions),
        tx_per_second: per_second(transactions),
        heights_per_second: per_second(heights),
        p50_ms: millis(|cycle| cycle.whole, 0.5),
        p99_ms: millis(|cycle| cycle.whole, 0.99),
        open_p50_ms: millis(|cycle| cycle.open, 0.5),
        open_p99_ms: millis(|cycle| cycle.open, 0.99),
        rss_mb,
        bytes_per_session: grown.checked_div(sessions).unwrap_or_default(),
        conservation_ok,
    };
    summary(&report);
    if let Some(path) = &options.json {
        report::write(&report, path).with_context(|| format!("writing {}", path.display()))?;
    }
    futures::future::try_join_all(nodes.into_iter().map(Node::stop)).await?;
    let faults = [
        (!conservation_ok, format!("the totals are not those of {sessions} sessions of {} each", tokens(paid_for_one()))),
        (sessions == 0, "no session was settled".to_owned()),
    ];
    Ok(faults.into_iter().filter(|(broken, _)| *broken).map(|(_, fault)| fault).collect())
}

/// How long a session took.
#[derive(Clone, Copy, Debug)]
struct Cycle {
    open: RealDuration,
    whole: RealDuration,
}

type Waiter = (SessionId, oneshot::Sender<()>);

/// One resident: opens, waits until it is settled, again and again.
async fn live(
    client: Client,
    wallet: Arc<Wallet>,
    connector: ConnectorId,
    until: Instant,
    waiters: mpsc::Sender<Waiter>,
    counted: Arc<AtomicU64>,
) -> anyhow::Result<Vec<Cycle>> {
    let mut cycles = Vec::new();
    while Instant::now() < until {
        let began = Instant::now();
        let call = Call::OpenSession(OpenSession {
            connector,
            tariff_version: 1,
            max_spend: ESCROW,
            max_duration: Duration::from_hours(1),
            energy_target: None,
            state_of_charge: None,
            depart_by: None,
            window: None,
            priority: Priority::None,
        });
        let transaction = wallet.sign(call, valid_until())?.context("a wallet without a nonce")?;
        let (settled, wait) = oneshot::channel();
        waiters.send((SessionId(transaction.id().0), settled)).await.context("nobody follows the chain")?;
        client.submit_and_wait(transaction.bytes()).await?;
        let open = began.elapsed();
        tokio::time::timeout(PATIENCE, wait).await.context("a session was not settled in time")?.context("nobody follows the chain")?;
        counted.fetch_add(1, Ordering::Relaxed);
        cycles.push(Cycle { open, whole: began.elapsed() });
    }
    Ok(cycles)
}

/// What a session costs: its energy at the flat price of the load's tariff.
const fn paid_for_one() -> u64 {
    ENERGY.get() * PRICE_PER_KWH.micro() / 1_000
}

/// Tariff, groups, connectors, and tokens for everyone.
async fn set_up(client: &Client, node: &Node, residents: &[Arc<Wallet>]) -> anyhow::Result<()> {
    let chain_id = node.chain_id()?;
    let manager = Wallet::with_nonce(node.key("manager")?, chain_id, 0);
    let treasurer = Wallet::with_nonce(node.key("treasurer")?, chain_id, 0);
    let numbers = || 1..=u32::try_from(residents.len()).unwrap_or(u32::MAX);
    let limit = Currents::from_ma([GRANT_MA * numbers().end(); 3]);
    let group = |lane| Call::PutGroup(PutGroup { group: GroupId::new(CONDOMINIUM, group_of(lane)), parent: None, limit });
    // Before the tariff says when it begins: the first block waits until nodes have found each other.
    all_committed(client, &manager, (0..LANES).map(group).collect()).await?;
    let valid_from = Timestamp::from_ms(machine_ms()).saturating_add(TARIFF_LEAD);
    let tariff = provision::one_price(PRICE_PER_KWH);
    let mut calls = vec![Call::PutTariff(PutTariff { tariff: TariffId::new(CONDOMINIUM, 1), version: 1, valid_from, document: tariff })];
    calls.extend(numbers().map(|number| {
        let connector = ConnectorId::new(CONDOMINIUM, number);
        Call::PutConnector(provision::connector(connector, group_of(lane_of(connector))))
    }));
    all_committed(client, &manager, calls).await?;
    let sales = residents.iter().zip(1..).map(|(wallet, sale)| {
        let payment = Hash32(seeded_key(0, "payment", sale));
        Call::SellTokens(SellTokens { condominium: CONDOMINIUM, account: wallet.address(), amount: BOUGHT, sale, payment })
    });
    all_committed(client, &treasurer, sales.collect()).await?;
    let wait_ms = valid_from.ms().saturating_sub(machine_ms());
    tokio::time::sleep(RealDuration::from_millis(wait_ms + 50)).await;
    Ok(())
}

fn group_of(lane: usize) -> u32 {
    u32::try_from(lane).unwrap_or(u32::MAX).saturating_add(1)
}

/// Sends calls of one key in order; when the last one is in a block, all are.
async fn all_committed(client: &Client, wallet: &Wallet, calls: Vec<Call>) -> anyhow::Result<()> {
    let mut calls = calls.into_iter().peekable();
    while let Some(call) = calls.next() {
        let what = call.action().name();
        let sent = if calls.peek().is_some() {
            wallet.submit(client, call, valid_until()).await.map(|_| ())
        } else {
            wallet.submit_and_wait(client, call, valid_until()).await.map(|_| ())
        };
        sent.with_context(|| what.to_owned())?;
    }
    Ok(())
}

pub(crate) async fn until_ready(client: &Client, node: &Node) -> anyhow::Result<()> {
    let until = Instant::now() + START_TIMEOUT;
    while !client.health().await.is_ok_and(|health| health.ready) {
        anyhow::ensure!(Instant::now() < until, "wattd does not become ready; the end of its log:\n{}", node.log_end());
        tokio::time::sleep(RealDuration::from_millis(50)).await;
    }
    Ok(())
}

/// Waits until all nodes are at one block: who saw the last settlement may be a block ahead of the node that is asked for the totals.
pub(crate) async fn until_one(clients: &[Client]) -> anyhow::Result<()> {
    let until = Instant::now() + PATIENCE;
    while clients.len() > 1 {
        let heights = futures::future::try_join_all(clients.iter().map(Client::status)).await?;
        if heights.iter().all(|status| status.height == heights[0].height && status.pending == 0) {
            break;
        }
        anyhow::ensure!(Instant::now() < until, "the nodes do not come to one block");
        tokio::time::sleep(RealDuration::from_millis(20)).await;
    }
    Ok(())
}

fn key(purpose: &str, number: u64) -> SigningKey {
    SigningKey::from_bytes(&seeded_key(0, purpose, number))
}

pub(crate) fn valid_until() -> Timestamp {
    Timestamp::from_ms(machine_ms()).saturating_add(VALIDITY)
}

fn machine_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// The value below which this share of sorted values lies; 0 where there are none.
pub(crate) fn percentile(sorted: &[f64], share: f64) -> f64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of a length is no larger than it and not negative"
    )]
    let place = ((sorted.len() as f64 * share).ceil() as usize).saturating_sub(1);
    sorted.get(place).copied().unwrap_or_default()
}

/// The most memory that a process had, MB of a million bytes; 0 where the system does not say.
pub(crate) fn most_memory_mb(pid: Option<u32>) -> f64 {
    memory_mb(pid, "VmHWM:")
}

/// The memory that a process has now, likewise.
pub(crate) fn present_memory_mb(pid: Option<u32>) -> f64 {
    memory_mb(pid, "VmRSS:")
}

fn memory_mb(pid: Option<u32>, field: &str) -> f64 {
    let text = pid.and_then(|pid| std::fs::read_to_string(format!("/proc/{pid}/status")).ok()).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(field));
    let kib: f64 = line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse().ok()).unwrap_or_default();
    rounded(kib * 1_024.0 / 1_000_000.0)
}

/// The sizes of all files under a folder; what disappears meanwhile counts nothing.
fn bytes_under(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let size = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => bytes_under(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    };
    entries.flatten().map(size).sum()
}

fn summary(report: &LoadReport) {
    println!(
        "{} validators, {} clients, {} s, {} sessions settled, tokens conserved: {}",
        report.validators, report.clients, report.seconds, report.sessions, report.conservation_ok
    );
    println!("sessions/s     {:>10}", report.sessions_per_second);
    println!("transactions/s {:>10}", report.tx_per_second);
    println!("heights/s      {:>10}", report.heights_per_second);
    println!("p50 / p99      {:>10} / {} ms a session", report.p50_ms, report.p99_ms);
    println!("finality       {:>10} / {} ms an opening", report.open_p50_ms, report.open_p99_ms);
    println!("memory         {:>10} MB", report.rss_mb);
    println!("disk           {:>10} bytes a session", report.bytes_per_session);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_a_value_that_was_measured() {
        let values: Vec<f64> = (1..=100_u32).map(f64::from).collect();
        assert!((percentile(&values, 0.5) - 50.0).abs() < f64::EPSILON);
        assert!((percentile(&values, 0.99) - 99.0).abs() < f64::EPSILON);
        assert!((percentile(&[7.0], 0.99) - 7.0).abs() < f64::EPSILON);
        assert!(percentile(&[], 0.5).abs() < f64::EPSILON);
    }
}
