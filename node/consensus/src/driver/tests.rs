//! The loop's answers to single questions, with an application in memory and nobody else in the network.

use std::{collections::HashSet, sync::Arc};

use arc_malachitebft_app_channel::{
    AppMsg,
    app::{
        consensus::{ProposedValue, Role},
        streaming::{StreamContent, StreamId, StreamMessage},
        types::core::{Context as _, Round, Validator as _},
    },
};
use bytes::Bytes;
use chain::{codec, crypto::Signature, hash::Hash32, id};
use tokio::sync::{mpsc, oneshot};

use super::Driver;
use crate::{
    codec::Door,
    context::{Address, BlockPart, Context, Height, Part, ValidatorSet},
    signing::{Keys, Signatures},
    tests::{CHAIN, FakeApp, key},
};

struct Bench {
    app: Arc<FakeApp>,
    driver: Driver,
    validators: ValidatorSet,
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
        let (network, _) = mpsc::channel(64);
        let driver = Driver::new(port, network, Some(Keys::new(CHAIN, key(1))), signatures, (tip, members), Some(known), door);
        Self { app, driver, validators }
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

    /// A node brings a part of its own.
    async fn receive(&mut self, from: u8, part: BlockPart) -> Option<ProposedValue<Context>> {
        let (reply, answer) = oneshot::channel();
        let from = crate::peer_id(&key(from)).unwrap().parse().unwrap();
        let stream = StreamId::new(Bytes::from_static(b"1"));
        let part = StreamMessage::new(stream, 0, StreamContent::Data(Part::Block(part)));
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
