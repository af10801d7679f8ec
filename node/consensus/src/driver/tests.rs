//! The loop's answers to single questions, with an application in memory and nobody else in the network.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_malachitebft_app_channel::{
    AppMsg, NetworkMsg,
    app::{
        consensus::{ProposedValue, Role},
        streaming::{StreamContent, StreamId, StreamMessage},
        types::core::{self as engine, Context as _, Round, Validator as _, VoteExtensions},
    },
};
use bytes::Bytes;
use chain::{
    certificate::{CommitCertificate, CommitSignature, VoteBody, VoteKind},
    codec,
    crypto::{self, Domain, Signature},
    hash::Hash32,
    id,
};
use tempfile::TempDir;
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, timeout},
};

use super::{Driver, Now};
use crate::{
    ConsensusConfig, ConsensusError, Life,
    codec::Door,
    context::{Address, BlockHash, BlockPart, Context, Height, Part, ValidatorSet},
    others::STANDSTILL_LIMIT,
    signing::{Keys, Signatures},
    tests::{CHAIN, FakeApp, PATIENCE, config, key},
};

/// A driver's time, which passes when a test says so.
#[derive(Clone, Default)]
struct Time(Arc<AtomicU64>);

impl Time {
    fn now(&self) -> Now {
        let (begun, passed) = (Instant::now(), self.clone());
        Box::new(move || begun + Duration::from_secs(passed.0.load(Ordering::Relaxed)))
    }

    fn pass(&self, time: Duration) {
        self.0.fetch_add(time.as_secs(), Ordering::Relaxed);
    }
}

/// Three of the four validators' word that a block was decided in round 0.
fn certificate(height: u64, block: Hash32) -> CommitCertificate {
    let height = id::Height(height);
    let commit = |seed| {
        let (key, kind) = (key(seed), VoteKind::Precommit);
        let validator = crypto::address_of(&key);
        let vote = VoteBody { chain_id: CHAIN, kind, height, round: 0, block: Some(block), validator };
        CommitSignature { validator, signature: crypto::sign(&key, Domain::Vote, &vote.bytes()) }
    };
    let mut signatures: Vec<_> = (2..=4).map(commit).collect();
    signatures.sort_by_key(|commit| commit.validator);
    CommitCertificate { height, round: 0, block, signatures }
}

struct Bench {
    app: Arc<FakeApp>,
    driver: Driver,
    validators: ValidatorSet,
    time: Time,
    /// Kept, so that the driver can send.
    _network: mpsc::Receiver<NetworkMsg<Context>>,
}

impl Bench {
    /// Validator 1 of four, at height 0.
    async fn new() -> Self {
        let app = FakeApp::new(&[1, 2, 3, 4].map(key), &key(1));
        let port = app.serve();
        let (tip, members) = (port.tip().await.unwrap(), port.validators(id::Height(1)).await.unwrap());
        let validators = ValidatorSet::from(&members);
        let signatures = Signatures::new(CHAIN);
        let door = Arc::new(Door::new(signatures, tip.height, validators.clone()));
        let known: HashSet<_> = (102..105).map(|seed| crate::peer_id(&key(seed)).unwrap().parse().unwrap()).collect();
        let (network, kept) = mpsc::channel(64);
        let driver = Driver::new(port, network, Some(Keys::new(CHAIN, key(1))), signatures, (tip, members), Some(known), door);
        let time = Time::default();
        Self { app, driver: driver.timed_by(time.now()), validators, time, _network: kept }
    }

    /// A block of height 1 that the proposer of a round signed, with a content of its own.
    fn block(&self, round: u32, content: u64) -> BlockPart {
        let turn = *Context.select_proposer(&self.validators, Height(1), Round::new(round)).address();
        let mut keys = (1..=4).map(|seed| Keys::new(CHAIN, key(seed)));
        let bytes = Bytes::from(codec::encode(&(id::Height(1), round, content)).unwrap());
        let mut part =
            BlockPart { height: Height(1), round, proposer: Address(id::Address([0; 32])), bytes, signature: Signature([0; 64]) };
        keys.find(|keys| keys.address() == turn).unwrap().sign_part(&mut part);
        part
    }

    /// A node brings a block of its own.
    async fn receive(&mut self, from: u8, part: BlockPart) -> Option<ProposedValue<Context>> {
        self.bring(from, Part::Block(part)).await
    }

    /// A node brings a part of its own.
    async fn bring(&mut self, from: u8, part: Part) -> Option<ProposedValue<Context>> {
        let (reply, answer) = oneshot::channel();
        let from = crate::peer_id(&key(from)).unwrap().parse().unwrap();
        let stream = StreamId::new(Bytes::from_static(b"1"));
        let part = StreamMessage::new(stream, 0, StreamContent::Data(part));
        let question = AppMsg::ReceivedProposalPart { from, published_by: Some(from), part, reply };
        self.driver.answer(question).await.unwrap();
        answer.await.unwrap()
    }

    async fn begin(&mut self, round: u32) -> Vec<ProposedValue<Context>> {
        let (reply, answer) = oneshot::channel();
        let (height, round) = (Height(1), Round::new(round));
        let proposer = *Context.select_proposer(&self.validators, height, round).address();
        let question = AppMsg::StartedRound { height, round, proposer, role: Role::Validator, reply_value: reply };
        self.driver.answer(question).await.unwrap();
        answer.await.unwrap()
    }

    /// The engine has decided a block.
    async fn decide(&mut self, certificate: CommitCertificate) {
        let (reply, answer) = oneshot::channel();
        let commit = |commit: CommitSignature| engine::CommitSignature::new(Address(commit.validator), commit.signature);
        let certificate = engine::CommitCertificate {
            height: certificate.height.into(),
            round: Round::new(certificate.round),
            value_id: BlockHash(certificate.block),
            commit_signatures: certificate.signatures.into_iter().map(commit).collect(),
        };
        let extensions = VoteExtensions::default();
        self.driver.answer(AppMsg::Decided { certificate, extensions, reply }).await.unwrap();
        answer.await.unwrap();
    }
}

/// A liar proposed a block in round 0 that he had signed for a later turn of his: two nodes locked it while it was young, and the third refused it as too old in
/// every round up to that one.
#[tokio::test]
async fn a_block_of_a_round_to_come_is_judged_when_that_round_begins() {
    let mut bench = Bench::new().await;
    assert!(bench.begin(0).await.is_empty());
    let (present, later) = (bench.block(0, 1), bench.block(3, 2));
    assert!(bench.receive(102, later.clone()).await.is_none());
    assert_eq!(bench.app.judged(), 0);
    let value = bench.receive(103, present).await.expect("a block of the round under way");
    assert!(value.validity.is_valid());
    assert!(bench.begin(1).await.is_empty() && bench.begin(2).await.is_empty());
    let offered: Vec<_> = bench.begin(3).await.iter().map(|value| value.value.0).collect();
    assert_eq!((offered, bench.app.judged()), (vec![Hash32(*blake3::hash(&later.bytes).as_bytes())], 2));
}

#[tokio::test]
async fn what_breaks_a_rule_is_not_offered_again_and_what_a_stranger_brings_is_not_looked_at() {
    let mut bench = Bench::new().await;
    bench.begin(0).await;
    let mut bad = bench.block(0, 1);
    bad.bytes = codec::encode(&(id::Height(9), 0_u32, 1_u64)).unwrap().into();
    let turn = bad.proposer;
    (1..=4).map(|seed| Keys::new(CHAIN, key(seed))).find(|keys| keys.address() == turn).unwrap().sign_part(&mut bad);
    let value = bench.receive(102, bad).await.expect("a verdict");
    assert!(!value.validity.is_valid());
    assert!(bench.begin(0).await.is_empty(), "the engine keeps few values of a round");

    let good = bench.block(0, 2);
    assert!(bench.receive(66, good.clone()).await.is_none(), "a node that is not configured");
    assert_eq!(bench.app.judged(), 1);
    assert!(bench.receive(104, good).await.is_some());
}

/// That a minute is too long was tested, and not that anybody asks.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_minute_behind_a_proved_tip_without_a_commit_ends_the_loop() {
    let directory = TempDir::new().unwrap();
    let app = FakeApp::new(&[1, 2, 3, 4].map(key), &key(1));
    let peer = format!("/ip4/127.0.0.1/tcp/1/p2p/{}", crate::peer_id(&key(102)).unwrap());
    let config = ConsensusConfig { peers: vec![peer], ..config(directory.path(), 1) };
    let Life { mut engine, events, driver, .. } = Life::begin(&config, &app.serve()).await.unwrap();
    let time = Time::default();
    let mut driver = driver.timed_by(time.now());
    // It also has the loop look around soon, by the machine's time.
    assert!(driver.learn(&certificate(2, Hash32([2; 32]))).unwrap());
    time.pass(STANDSTILL_LIMIT);
    let (_stop, stopped) = watch::channel(false);
    let ended = timeout(PATIENCE, driver.run(&mut engine, events, stopped)).await.unwrap();
    assert!(matches!(ended, Err(ConsensusError::StandsStill { tip: id::Height(0), others: id::Height(2) })), "{ended:?}");
    engine.stop().await;
}

#[tokio::test]
async fn a_commit_begins_the_minute_anew_and_reaching_the_others_ends_it() {
    let mut bench = Bench::new().await;
    bench.begin(0).await;
    let forged = CommitCertificate { height: id::Height(9), ..certificate(2, Hash32([2; 32])) };
    bench.bring(102, Part::Tip(forged)).await;
    bench.time.pass(STANDSTILL_LIMIT * 2);
    bench.driver.look_around().await.unwrap();

    bench.bring(102, Part::Tip(certificate(2, Hash32([2; 32])))).await;
    bench.time.pass(STANDSTILL_LIMIT - Duration::from_secs(1));
    bench.driver.look_around().await.unwrap();
    let block = bench.block(0, 1);
    let value = bench.receive(103, block).await.expect("a block of the round under way");
    bench.decide(certificate(1, value.value.0)).await;
    bench.time.pass(STANDSTILL_LIMIT / 2);
    bench.driver.look_around().await.unwrap();
    bench.time.pass(STANDSTILL_LIMIT / 2);
    let ended = bench.driver.look_around().await;
    assert!(matches!(ended, Err(ConsensusError::StandsStill { tip: id::Height(1), others: id::Height(2) })), "{ended:?}");

    let mut bench = Bench::new().await;
    bench.begin(0).await;
    let block = bench.block(0, 1);
    let value = bench.receive(103, block).await.expect("a block of the round under way");
    bench.bring(102, Part::Tip(certificate(1, value.value.0))).await;
    bench.decide(certificate(1, value.value.0)).await;
    bench.time.pass(STANDSTILL_LIMIT * 2);
    bench.driver.look_around().await.unwrap();
}
