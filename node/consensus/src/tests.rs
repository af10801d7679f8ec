//! Consensus against an application in memory, which answers the port's questions from a thread of its own and outlives any number of crashes.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use chain::{
    certificate::{CommitCertificate, Validator, ValidatorSet},
    codec,
    crypto::address_of,
    hash::Hash32,
    id::{Address, ChainId, Height},
    time::Timestamp,
};
use ed25519_dalek::SigningKey;
use rand::{Rng, SeedableRng, rngs::StdRng};
use tempfile::TempDir;
use tokio::{runtime::Runtime, sync::watch};

use super::{
    ConsensusConfig, ConsensusError, ConsensusHandle, Life, LostLog, StartError, Voting, examine_log, metrics_text, peer_id, start,
};
use crate::port::{Answer, AppError, BlockProposal, ConsensusPort, Origin, Proposed, Request, Requests, StoredProposal, Tip};

pub(crate) const CHAIN: ChainId = ChainId(Hash32([9; 32]));
/// Long enough for any machine; nothing is judged by it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// A block of the application in memory: height, round, what somebody wrote into it.
type TestBlock = (Height, u32, u64);

/// What survives a crash.
#[derive(Default)]
struct Disk {
    decided: BTreeMap<u64, (Bytes, CommitCertificate)>,
    undecided: Vec<(StoredProposal, Bytes)>,
    proposed: BTreeMap<(u64, u32), Hash32>,
    /// Counted, so that two blocks built for one height differ.
    built: u64,
    /// Blocks that somebody still wants.
    wanted: u64,
    /// From which committed height on every commit fails.
    broken_from: Option<u64>,
    /// Kept, so that the question stays open.
    outgoing: Option<Answer<Vec<Bytes>>>,
}

pub(crate) struct FakeApp {
    disk: Mutex<Disk>,
    members: ValidatorSet,
    address: Address,
    height: watch::Sender<u64>,
}

fn hash(bytes: &[u8]) -> Hash32 {
    Hash32(*blake3::hash(bytes).as_bytes())
}

impl FakeApp {
    pub(crate) fn new(members: &[SigningKey], own: &SigningKey) -> Arc<Self> {
        let members = members.iter().map(|key| Validator { address: address_of(key), power: 1 }).collect();
        let members = ValidatorSet::new(members).unwrap();
        Arc::new(Self { disk: Mutex::default(), members, address: address_of(own), height: watch::channel(0).0 })
    }

    /// A port and a thread that answers it, until consensus has dropped the port.
    pub(crate) fn serve(self: &Arc<Self>) -> ConsensusPort {
        let (port, requests) = ConsensusPort::channel();
        let app = Arc::clone(self);
        thread::spawn(move || app.answer_all(requests));
        port
    }

    /// Asks for `count` more blocks.
    fn want(&self, count: u64) {
        self.disk.lock().unwrap().wanted += count;
        self.height.send_modify(|_| {});
    }

    fn answer_all(&self, mut requests: Requests) {
        let mut waiting: Option<Answer<()>> = None;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        loop {
            if waiting.is_some() && self.disk.lock().unwrap().wanted > 0 {
                let _ = waiting.take().unwrap().send(Ok(()));
            }
            let next = runtime.block_on(async { tokio::time::timeout(Duration::from_millis(2), requests.questions.recv()).await });
            match next {
                Err(_) => {}
                Ok(None) => return,
                Ok(Some(Request::WaitForWork { answer })) => waiting = Some(answer),
                Ok(Some(request)) => self.answer(request),
            }
        }
    }

    fn tip(disk: &Disk) -> Tip {
        disk.decided.last_key_value().map_or(
            Tip { height: Height(0), hash: CHAIN.0, timestamp: Timestamp::from_ms(0) },
            |(height, (_, certificate))| Tip { height: Height(*height), hash: certificate.block, timestamp: Timestamp::from_ms(*height) },
        )
    }

    fn answer(&self, request: Request) {
        let mut disk = self.disk.lock().unwrap();
        match request {
            Request::Tip { answer } => drop(answer.send(Ok(Self::tip(&disk)))),
            Request::Validators { answer, .. } => drop(answer.send(Ok(self.members.clone()))),
            Request::Propose { height, round, answer } => {
                let known = disk.proposed.get(&(height.0, round)).copied();
                let known =
                    known.and_then(|hash| disk.undecided.iter().find(|(stored, _)| stored.hash == hash).map(|(_, bytes)| bytes.clone()));
                let bytes = known.unwrap_or_else(|| {
                    disk.built += 1;
                    let block: TestBlock = (height, round, disk.built);
                    let bytes = Bytes::from(codec::encode(&block).unwrap());
                    disk.proposed.insert((height.0, round), hash(&bytes));
                    let stored = StoredProposal { height, round, proposer: self.address, hash: hash(&bytes), valid: true };
                    disk.undecided.push((stored, bytes.clone()));
                    bytes
                });
                drop(answer.send(Ok(Proposed { hash: hash(&bytes), bytes })));
            }
            Request::StoredProposals { height, round, answer } => {
                let stored =
                    disk.undecided.iter().map(|(stored, _)| *stored).filter(|stored| stored.height == height && stored.round == round);
                drop(answer.send(Ok(stored.collect())));
            }
            Request::Validate { proposal, origin, answer } => {
                let BlockProposal { height, round, proposer, bytes, .. } = proposal;
                let block: Result<TestBlock, _> = codec::decode(&bytes, 100);
                let valid = block.is_ok_and(|(named, _, _)| named == height)
                    && (origin == Origin::Synced || height.0 == Self::tip(&disk).height.0 + 1);
                let stored = StoredProposal { height, round, proposer, hash: hash(&bytes), valid };
                disk.undecided.push((stored, bytes));
                drop(answer.send(Ok(Some(stored))));
            }
            Request::Undecided { hash, answer } => {
                let found = disk.undecided.iter().find(|(stored, _)| stored.hash == hash).map(|(stored, bytes)| {
                    let StoredProposal { height, round, proposer, .. } = *stored;
                    BlockProposal { height, round, proposer, bytes: bytes.clone(), signature: None }
                });
                drop(answer.send(Ok(found)));
            }
            Request::Commit { certificate, answer } => drop(answer.send(self.commit(&mut disk, certificate))),
            Request::Decided { from, to, answer } => {
                drop(answer.send(Ok(disk.decided.range(from.0..=to.0).map(|(_, decided)| decided.clone()).collect())));
            }
            Request::Begun => {}
            // Nobody submits anything here.
            Request::Outgoing { answer } => disk.outgoing = Some(answer),
            Request::WaitForWork { .. } => unreachable!("answered by the loop"),
        }
    }

    fn commit(&self, disk: &mut Disk, certificate: CommitCertificate) -> Result<Tip, AppError> {
        if disk.broken_from.is_some_and(|height| certificate.height.0 >= height) {
            return Err(AppError::Fault("the disk is full".to_owned()));
        }
        let tip = Self::tip(disk);
        if certificate.height <= tip.height {
            return Ok(tip);
        }
        assert_eq!(certificate.height, tip.height.next(), "a gap");
        assert_eq!(certificate.verify(CHAIN, &self.members), Ok(()));
        let found = disk.undecided.iter().find(|(stored, _)| stored.hash == certificate.block).map(|(_, bytes)| bytes.clone());
        let bytes = found.ok_or_else(|| AppError::Fault("the decided block is unknown".to_owned()))?;
        let height = certificate.height;
        disk.decided.insert(height.0, (bytes, certificate));
        disk.undecided.retain(|(stored, _)| stored.height > height);
        disk.proposed.retain(|(built, _), _| *built > height.0);
        disk.wanted = disk.wanted.saturating_sub(1);
        self.height.send_replace(height.0);
        Ok(Self::tip(disk))
    }

    /// How many blocks it was asked to judge.
    pub(crate) fn judged(&self) -> usize {
        self.disk.lock().unwrap().undecided.len()
    }

    fn committed(&self) -> u64 {
        *self.height.borrow()
    }

    async fn reach(&self, height: u64) {
        let mut seen = self.height.subscribe();
        let waited = tokio::time::timeout(PATIENCE, seen.wait_for(|reached| *reached >= height)).await;
        assert!(waited.is_ok(), "height {height} was not reached, only {}", self.committed());
    }
}

pub(crate) fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

pub(crate) fn config(directory: &Path, seed: u8) -> ConsensusConfig {
    ConsensusConfig {
        directory: directory.join("consensus"),
        listen: "/ip4/127.0.0.1/tcp/0".to_owned(),
        peers: Vec::new(),
        moniker: format!("test-{seed}"),
        chain_id: CHAIN,
        validator_key: Some(key(seed)),
        network_key: key(seed + 100),
        lost_log: LostLog::Refuse,
        voting: Voting::AtOnce,
        block_time: super::BlockTime::Machine,
    }
}

fn alone(directory: &TempDir, seed: u8) -> (Arc<FakeApp>, ConsensusConfig) {
    (FakeApp::new(&[key(seed)], &key(seed)), config(directory.path(), seed))
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

async fn stop(mut handle: ConsensusHandle) {
    handle.stop();
    handle.ended().await.unwrap();
}

#[test]
fn a_validator_alone_commits_is_silent_without_work_and_wakes_at_once() {
    let directory = TempDir::new().unwrap();
    let (app, config) = alone(&directory, 1);
    let runtime = runtime();
    runtime.block_on(async {
        let handle = start(config, app.serve()).await.unwrap();
        // The height at which a process begins is decided even without work.
        app.reach(1).await;
        let begun = Instant::now();
        app.want(300);
        app.reach(301).await;
        println!("{:.0} heights a second", 300.0 / begun.elapsed().as_secs_f64());

        tokio::time::sleep(Duration::from_millis(500)).await;
        assert_eq!(app.committed(), 301, "an idle chain makes no blocks");
        for wake in 1..=5 {
            let asked = Instant::now();
            app.want(1);
            app.reach(301 + wake).await;
            println!("idle to committed in {:?}", asked.elapsed());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(app.committed(), 306);
        stop(handle).await;
    });
    let disk = app.disk.lock().unwrap();
    assert_eq!(disk.decided.len(), 306);
    assert!(
        disk.decided
            .values()
            .all(|(block, certificate)| certificate.block == hash(block) && certificate.verify(CHAIN, &app.members).is_ok())
    );
    assert!(metrics_text().contains("malachitebft") && !metrics_text().contains("# EOF"));
}

/// Starts as soon as the log's thread of a life before, which outlives its runtime here, lets go of the file; it may only be about to open it.
async fn start_after_a_crash(config: &ConsensusConfig, app: &Arc<FakeApp>) -> ConsensusHandle {
    let begun = tokio::time::Instant::now();
    loop {
        match start(config.clone(), app.serve()).await {
            Ok(handle) => return handle,
            Err(error) if error.to_string().contains("already locked") && begun.elapsed() < PATIENCE => {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn goes_on_from_its_log_after_a_crash_at_any_point() {
    let seed: u64 = rand::rng().random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let directory = TempDir::new().unwrap();
    let (app, config) = alone(&directory, 2);
    for _ in 0..25 {
        // Dropping a runtime ends every task where it is, as the end of a process would; the application's memory plays the disk.
        let runtime = runtime();
        let before = app.committed();
        let handle = runtime.block_on(async {
            app.want(1_000_000);
            let handle = start_after_a_crash(&config, &app).await;
            app.reach(before + random.random_range(0..4)).await;
            tokio::time::sleep(Duration::from_micros(random.random_range(0..6000))).await;
            handle
        });
        runtime.shutdown_background();
        drop(handle);
        // A process takes its threads with it; here the log's thread ends when it notices.
        let log = std::fs::File::open(config.directory.join("wal")).unwrap();
        log.lock().unwrap();
    }
    let runtime = runtime();
    runtime.block_on(async {
        let handle = start_after_a_crash(&config, &app).await;
        app.reach(app.committed() + 5).await;
        stop(handle).await;
    });
    assert!(app.committed() > 25);
}

#[test]
fn a_commit_that_fails_ends_consensus_and_commits_nothing_more() {
    let directory = TempDir::new().unwrap();
    let (app, config) = alone(&directory, 3);
    app.disk.lock().unwrap().broken_from = Some(4);
    app.want(10);
    runtime().block_on(async {
        let mut handle = start(config.clone(), app.serve()).await.unwrap();
        let ended = tokio::time::timeout(PATIENCE, handle.ended()).await.unwrap();
        assert!(matches!(ended, Err(ConsensusError::App(AppError::Fault(ref message))) if message == "the disk is full"), "{ended:?}");
    });
    assert_eq!(app.committed(), 3);
    // Once the disk has room again, the log still knows the block that was decided.
    app.disk.lock().unwrap().broken_from = None;
    runtime().block_on(async {
        let handle = start(config, app.serve()).await.unwrap();
        app.reach(6).await;
        stop(handle).await;
    });
}

#[test]
fn refuses_a_damaged_log_and_a_database_older_than_its_log() {
    let directory = TempDir::new().unwrap();
    let (app, config) = alone(&directory, 4);
    app.disk.lock().unwrap().broken_from = Some(3);
    app.want(10);
    runtime().block_on(async {
        let mut handle = start(config.clone(), app.serve()).await.unwrap();
        assert!(handle.ended().await.is_err());
    });
    let log = config.directory.join("wal");
    let whole = std::fs::read(&log).unwrap();

    // Head, an entry's length, its bytes: every byte matters but the flag that the engine does not read, and none is passed over in silence.
    for place in (0..whole.len()).step_by(3) {
        let mut damaged = whole.clone();
        damaged[place] ^= 0x40;
        std::fs::write(&log, &damaged).unwrap();
        let refused = runtime().block_on(examine_log(&config, Height(2))).unwrap_err();
        assert!(matches!(refused, StartError::LogDamaged { .. } | StartError::DatabaseBehindLog { .. }), "byte {place}: {refused}");
    }
    let refused = runtime().block_on(start(config.clone(), app.serve())).unwrap_err();
    assert!(matches!(refused, StartError::LogDamaged { .. } | StartError::DatabaseBehindLog { .. }), "{refused}");
    for short in [0, 5] {
        std::fs::write(&log, &whole[..short]).unwrap();
        let refused = runtime().block_on(start(config.clone(), app.serve())).unwrap_err();
        assert!(matches!(refused, StartError::LogDamaged { .. }), "{refused}");
    }
    std::fs::remove_file(&log).unwrap();
    let refused = runtime().block_on(start(config.clone(), app.serve())).unwrap_err();
    assert!(matches!(refused, StartError::LogMissing { tip: Height(2), .. }), "{refused}");

    std::fs::write(&log, &whole).unwrap();
    let older = FakeApp::new(&[key(4)], &key(4));
    let refused = runtime().block_on(start(config.clone(), older.serve())).unwrap_err();
    assert!(matches!(refused, StartError::DatabaseBehindLog { log: Height(3), tip: Height(0) }), "{refused}");

    // The explicit way on keeps the damaged log beside the new one.
    std::fs::write(&log, &whole[..5]).unwrap();
    app.disk.lock().unwrap().broken_from = None;
    let config = ConsensusConfig { lost_log: LostLog::BeginNew, ..config };
    runtime().block_on(async {
        let handle = start(config, app.serve()).await.unwrap();
        app.reach(5).await;
        stop(handle).await;
    });
    assert_eq!(std::fs::read(log.with_extension("damaged-1")).unwrap(), &whole[..5]);
}

/// The alarm was only ever seen silent.
#[test]
fn a_log_that_fails_under_the_engine_raises_the_alarm_among_the_measurements() {
    let directory = TempDir::new().unwrap();
    let (app, config) = alone(&directory, 6);
    app.disk.lock().unwrap().broken_from = Some(2);
    app.want(10);
    runtime().block_on(async {
        let mut handle = start(config.clone(), app.serve()).await.unwrap();
        assert!(handle.ended().await.is_err());
    });
    let alarms = || -> Vec<String> {
        let text = metrics_text();
        let ours =
            text.lines().filter(|line| line.starts_with("malachitebft_core_consensus_node_safety_failure{") && line.contains("test-6"));
        ours.map(|line| line.rsplit(' ').next().unwrap().to_owned()).collect()
    };
    runtime().block_on(async {
        let Life { mut engine, events, driver, .. } = Life::begin(&config, &app.serve()).await.unwrap();
        assert_eq!(alarms(), ["0", "0"], "one of each engine that this process had");
        // It was examined and found whole; now the disk gives another first entry. What is behind a good one could be decided before the damage is seen.
        let log = config.directory.join("wal");
        let mut bytes = std::fs::read(&log).unwrap();
        bytes[12 + 13] ^= 0x40;
        std::fs::write(&log, bytes).unwrap();
        let (_stop, stopped) = watch::channel(false);
        let ended = tokio::time::timeout(PATIENCE, driver.run(&mut engine, events, stopped)).await.unwrap();
        assert!(matches!(ended, Err(ConsensusError::LogDamaged(_))), "{ended:?}");
        // The engine says it first, and then raises the alarm.
        let raised = async {
            while !alarms().contains(&"1".to_owned()) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        assert!(tokio::time::timeout(PATIENCE, raised).await.is_ok(), "{}", metrics_text());
        engine.stop().await;
    });
}

#[test]
fn refuses_addresses_that_it_cannot_use() {
    let directory = TempDir::new().unwrap();
    let (app, config) = alone(&directory, 5);
    for listen in
        ["", "127.0.0.1:8422", "/ip4/127.0.0.1/udp/8422/quic-v1", "/ip4/1.2.3/tcp/1", "/dns4/localhost/tcp/1", "/ip4/127.0.0.1/tcp/65536"]
    {
        let config = ConsensusConfig { listen: listen.to_owned(), ..config.clone() };
        let refused = runtime().block_on(start(config, app.serve())).unwrap_err();
        assert!(matches!(refused, StartError::Listen { .. }), "{refused}");
    }
    let config = ConsensusConfig { peers: vec!["/ip4/127.0.0.1/tcp/1".to_owned()], ..config };
    let refused = runtime().block_on(start(config, app.serve())).unwrap_err();
    assert!(matches!(refused, StartError::Peer { .. }), "{refused}");
    assert!(peer_id(&key(1)).unwrap().starts_with("12D3KooW"));
}
