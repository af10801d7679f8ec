//! A validator who lies: it runs the same code as an honest one, and this changes what it sends.
//!
//! It knows its own key, the accomplice's, every proposal that it has seen and the chain's present state, and it may tell everybody something else. It cannot
//! sign for others, though it tries. Liars know of each other's lies. Called by `shared` for every message of a liar.

mod lies;

use std::collections::BTreeMap;

use arc_malachitebft_app_channel::app::{
    consensus::{LivenessMsg, SignedConsensusMsg},
    streaming::{StreamContent, StreamId, StreamMessage},
    types::{
        core::{NilOrVal, Round, SignedProposal, SignedVote},
        sync::{Response, Status},
    },
};
use arc_malachitebft_signing::Signer as _;
use bytes::Bytes;
use chain::{
    block::Block,
    certificate::{CommitCertificate, CommitSignature},
    crypto::Signature,
    hash::Hash32,
};
use consensus::{
    codec::raw_decided,
    context::{Address, BlockHash, BlockPart, Context, Height, Part, Proposal, Vote},
    signing::Keys,
};
use futures::executor::block_on;

pub use self::lies::Lie;
use crate::{message::Message, oracle::round_number, plan::Sabotage, rng::Rng, shared::Shared};

/// What a liar does with a round in which it proposes.
#[derive(Clone, Debug)]
enum Tactic {
    /// As it should be.
    Honest,
    /// Nothing is sent.
    Silent,
    /// The proposal is sent without the block.
    NoBlock,
    /// The block is sent without the proposal.
    NoProposal,
    /// A block that breaks a rule.
    Lie(Hash32),
    /// Two blocks, both in order: those whose bit is set hear of the other.
    Two { other: Hash32, side: u64, forge: bool },
}

#[derive(Debug)]
pub(crate) struct Adversary {
    keys: Keys,
    rng: Rng,
    tactics: BTreeMap<(u64, u32), Tactic>,
}

/// A message for each of its receivers.
type Sent = Vec<(usize, Message)>;

impl Adversary {
    pub(crate) const fn new(keys: Keys, rng: Rng) -> Self {
        Self { keys, rng, tactics: BTreeMap::new() }
    }

    /// What is sent instead of an honest message.
    pub(crate) fn twist(&mut self, shared: &mut Shared, from: usize, to: &[usize], message: Message) -> Sent {
        match message {
            Message::Part(stream) => self.part(shared, to, stream),
            Message::Consensus(SignedConsensusMsg::Proposal(signed)) => self.proposal(shared, to, &signed),
            Message::Consensus(SignedConsensusMsg::Vote(signed)) => self.vote(shared, to, &signed),
            Message::Liveness(message) => self.liveness(shared, to, message),
            Message::Status(status) => self.status(shared, to, status),
            Message::Response(number, response) => {
                let response = self.response(shared, from, response);
                all(to, &Message::Response(number, response))
            }
            Message::Request(..) | Message::Refused(_) => all(to, &message),
        }
    }

    /// Its own first sending of a block decides what it does in that round.
    fn part(&mut self, shared: &mut Shared, to: &[usize], stream: StreamMessage<Part>) -> Sent {
        let StreamContent::Data(Part::Block(part)) = &stream.content else { return all(to, &Message::Part(stream)) };
        if part.proposer != self.keys.address() || self.tactics.contains_key(&(part.height.0, part.round)) {
            return self.other_body(shared, to, part, &stream, 50);
        }
        let slot = (part.height.0, part.round);
        let Ok(block) = Block::decode(&part.bytes) else { return Vec::new() };
        if shared.plan.lie.is_some() {
            return self.lie(shared, to, part, &block, &stream);
        }
        match self.rng.below(100) {
            0..25 => {
                self.tactics.insert(slot, Tactic::Honest);
                all(to, &Message::Part(stream))
            }
            25..32 => {
                shared.count("lies: silence");
                self.tactics.insert(slot, Tactic::Silent);
                Vec::new()
            }
            32..37 => {
                shared.count("lies: a proposal without its block");
                self.tactics.insert(slot, Tactic::NoBlock);
                Vec::new()
            }
            37..41 => {
                shared.count("lies: a block without its proposal");
                self.tactics.insert(slot, Tactic::NoProposal);
                all(to, &Message::Part(stream))
            }
            41..50 => {
                self.tactics.insert(slot, Tactic::Honest);
                self.other_body(shared, to, part, &stream, 100)
            }
            50..56 => {
                self.tactics.insert(slot, Tactic::Honest);
                self.starve(shared, to, part, &stream)
            }
            56..68 => self.two_blocks(shared, to, part, &block, &stream),
            _ => self.lie(shared, to, part, &block, &stream),
        }
    }

    fn lie(&mut self, shared: &mut Shared, to: &[usize], part: &BlockPart, block: &Block, stream: &StreamMessage<Part>) -> Sent {
        let slot = (part.height.0, part.round);
        // Where signatures are cached by id, that is the lie to tell.
        let by_id = shared.plan.sabotage == Some(Sabotage::VerifyById);
        let set = shared.plan.lie.or(by_id.then_some(Lie::KnownBody));
        let kind = set.unwrap_or_else(|| *self.rng.pick(&Lie::ALL));
        let Some(lies::Told { lie, bytes, hash }) = lies::tell(kind, shared, &mut self.rng, &self.keys, block) else {
            self.tactics.insert(slot, Tactic::Honest);
            return all(to, &Message::Part(stream.clone()));
        };
        shared.count(lie.name());
        shared.tell(|| format!("a liar proposes at height {} in round {}: {}", part.height, part.round, lie.name()));
        shared.oracle.lies.insert(hash, lie);
        shared.oracle.lies_in.insert(slot, hash);
        self.tactics.insert(slot, Tactic::Lie(hash));
        all(to, &self.block(part, bytes, stream))
    }

    /// The block, and before or after it for some its header with another body.
    fn other_body(&mut self, shared: &mut Shared, to: &[usize], part: &BlockPart, stream: &StreamMessage<Part>, percent: u64) -> Sent {
        let honest = Message::Part(stream.clone());
        let Some(bytes) = lies::other_body(&part.bytes, &mut self.rng).filter(|_| self.rng.chance(percent)) else {
            return all(to, &honest);
        };
        shared.count("lies: another body under the same header");
        let other = self.block(part, bytes, stream);
        let mut sent = Vec::new();
        for node in to {
            match self.rng.below(3) {
                0 => sent.push((*node, honest.clone())),
                1 => sent.extend([(*node, honest.clone()), (*node, other.clone())]),
                _ => sent.push((*node, other.clone())),
            }
        }
        sent
    }

    /// The block for all but one, who gets what is no block and would take the places of this round; then perhaps silence, so that the block must come from others.
    fn starve(&mut self, shared: &mut Shared, to: &[usize], part: &BlockPart, stream: &StreamMessage<Part>) -> Sent {
        shared.count("lies: what is no block in place of one");
        let victim = to.get(self.rng.index(to.len())).copied();
        let mut sent = Vec::new();
        for node in to {
            if Some(*node) == victim {
                for _ in 0..3 {
                    let bytes = Bytes::from(self.rng.next().to_le_bytes().to_vec());
                    sent.push((*node, self.block(part, bytes, stream)));
                }
            } else {
                sent.push((*node, Message::Part(stream.clone())));
            }
        }
        sent
    }

    fn two_blocks(&mut self, shared: &mut Shared, to: &[usize], part: &BlockPart, block: &Block, stream: &StreamMessage<Part>) -> Sent {
        let slot = (part.height.0, part.round);
        let Some((bytes, other)) = lies::another(shared, &self.keys, block) else {
            self.tactics.insert(slot, Tactic::Honest);
            return all(to, &Message::Part(stream.clone()));
        };
        shared.count("lies: two blocks in one round");
        shared.tell(|| format!("a liar proposes two blocks at height {} in round {}", part.height, part.round));
        let (side, forge) = (self.rng.next(), self.rng.chance(30));
        self.tactics.insert(slot, Tactic::Two { other, side, forge });
        let second = self.block(part, bytes, stream);
        let first = Message::Part(stream.clone());
        let both = self.rng.chance(50);
        let mut sent = Vec::new();
        for node in to {
            let other_side = side >> node & 1 == 1;
            if both || !other_side {
                sent.push((*node, first.clone()));
            }
            if both || other_side {
                sent.push((*node, second.clone()));
            }
        }
        sent
    }

    fn block(&self, part: &BlockPart, bytes: Bytes, stream: &StreamMessage<Part>) -> Message {
        let proposer = part.proposer;
        let mut part = BlockPart { bytes, ..part.clone() };
        // In another's name where the part is another's.
        self.keys.sign_part(&mut part);
        part.proposer = proposer;
        Message::Part(StreamMessage::new(stream.stream_id.clone(), stream.sequence, StreamContent::Data(Part::Block(part))))
    }

    fn proposal(&mut self, shared: &mut Shared, to: &[usize], signed: &SignedProposal<Context>) -> Sent {
        let proposal = &signed.message;
        let honest = Message::Consensus(SignedConsensusMsg::Proposal(signed.clone()));
        match self.tactics.get(&(proposal.height.0, round_number(proposal.round))).cloned() {
            None | Some(Tactic::Honest | Tactic::NoBlock) => all(to, &honest),
            Some(Tactic::Silent | Tactic::NoProposal) => Vec::new(),
            Some(Tactic::Lie(hash)) => all(to, &self.propose(proposal, hash)),
            Some(Tactic::Two { other, side, .. }) => {
                shared.count("lies: two proposals in one round");
                let second = self.propose(proposal, other);
                to.iter().map(|node| (*node, if side >> node & 1 == 1 { second.clone() } else { honest.clone() })).collect()
            }
        }
    }

    fn propose(&self, proposal: &Proposal, hash: Hash32) -> Message {
        let proposal = Proposal { value: BlockHash(hash), pol_round: Round::Nil, ..proposal.clone() };
        let signed = block_on(self.keys.sign_proposal(proposal)).expect("a proposal of a round can be signed");
        Message::Consensus(SignedConsensusMsg::Proposal(signed))
    }

    fn vote(&mut self, shared: &mut Shared, to: &[usize], signed: &SignedVote<Context>) -> Sent {
        let vote = &signed.message;
        let slot = (vote.height.0, round_number(vote.round));
        let honest = Message::Consensus(SignedConsensusMsg::Vote(signed.clone()));
        let tactic = self.tactics.get(&slot).cloned();
        let others_lie = shared.oracle.lies_in.get(&slot).copied();
        match (tactic, others_lie) {
            (Some(Tactic::Lie(hash)), _) => all(to, &self.cast(vote, Some(hash))),
            (Some(Tactic::Two { other, side, forge }), _) => {
                shared.count("lies: two votes in one round");
                let mut sent = Vec::new();
                for node in to {
                    let value = if side >> node & 1 == 1 { Some(other) } else { value_of(vote) };
                    sent.push((*node, self.cast(vote, value)));
                    if forge {
                        shared.count("lies: votes in others' names");
                        let names = shared.addresses.clone();
                        sent.extend(names.into_iter().map(|name| (*node, self.forge(vote, value, Address(name)))));
                    }
                }
                sent
            }
            (_, Some(hash)) if self.rng.chance(60) => all(to, &self.cast(vote, Some(hash))),
            _ => match self.rng.below(100) {
                0..70 => all(to, &honest),
                70..78 => {
                    shared.count("lies: votes held back");
                    Vec::new()
                }
                78..90 => {
                    shared.count("lies: two votes in one round");
                    let nil = self.cast(vote, None);
                    let made_up = Hash32(*blake3::hash(&self.rng.next().to_le_bytes()).as_bytes());
                    let made_up = self.cast(vote, Some(made_up));
                    to.iter().map(|node| (*node, self.rng.pick(&[honest.clone(), nil.clone(), made_up.clone()]).clone())).collect()
                }
                90..95 => {
                    shared.count("lies: votes in others' names");
                    let name = Address(*self.rng.pick(&shared.addresses));
                    let forged = self.forge(vote, None, name);
                    all(to, &forged).into_iter().chain(all(to, &honest)).collect()
                }
                95 => {
                    shared.count("lies: floods of votes of the next height");
                    let next = |round| Vote { height: Height(vote.height.0 + 1), round: Round::new(round), ..vote.clone() };
                    let flood: Vec<_> = (0..600).map(|round| self.cast(&next(round), None)).collect();
                    all(to, &honest).into_iter().chain(flood.iter().flat_map(|vote| all(to, vote))).collect()
                }
                96..98 => {
                    shared.count("lies: blocks in rounds that are others'");
                    self.junk(vote).iter().flat_map(|junk| all(to, junk)).chain(all(to, &honest)).collect()
                }
                _ => {
                    shared.count("lies: votes of rounds to come");
                    let ahead = Vote { round: Round::new(round_number(vote.round) + 1 + self.round_ahead()), ..vote.clone() };
                    let early = self.cast(&ahead, None);
                    all(to, &early).into_iter().chain(all(to, &honest)).collect()
                }
            },
        }
    }

    /// Blocks that would take the places of this round and the next, in the liar's name and in everybody's.
    fn junk(&mut self, vote: &Vote) -> Vec<Message> {
        let mut junk = Vec::new();
        for ahead in 0..2 {
            let round = round_number(vote.round) + ahead;
            for _ in 0..3 {
                let bytes = Bytes::from(self.rng.next().to_le_bytes().to_vec());
                let mut part =
                    BlockPart { height: vote.height, round, proposer: self.keys.address(), bytes, signature: Signature([0; 64]) };
                self.keys.sign_part(&mut part);
                let stream = StreamId::new(Bytes::from(self.rng.next().to_le_bytes().to_vec()));
                junk.push(Message::Part(StreamMessage::new(stream, 0, StreamContent::Data(Part::Block(part)))));
            }
        }
        junk
    }

    fn round_ahead(&mut self) -> u32 {
        u32::try_from(self.rng.below(15)).unwrap_or(0)
    }

    fn cast(&self, vote: &Vote, value: Option<Hash32>) -> Message {
        let vote = Vote { value: value.map_or(NilOrVal::Nil, |hash| NilOrVal::Val(BlockHash(hash))), ..vote.clone() };
        let signed = block_on(self.keys.sign_vote(vote)).expect("a vote of a round can be signed");
        Message::Consensus(SignedConsensusMsg::Vote(signed))
    }

    /// A vote that names another voter, with this one's signature.
    fn forge(&self, vote: &Vote, value: Option<Hash32>, voter: Address) -> Message {
        let vote = Vote { voter, value: value.map_or(NilOrVal::Nil, |hash| NilOrVal::Val(BlockHash(hash))), ..vote.clone() };
        let signed = block_on(self.keys.sign_vote(vote)).expect("a vote of a round can be signed");
        Message::Consensus(SignedConsensusMsg::Vote(signed))
    }

    fn liveness(&mut self, shared: &mut Shared, to: &[usize], message: LivenessMsg<Context>) -> Sent {
        if !self.rng.chance(30) {
            return all(to, &Message::Liveness(message));
        }
        match message {
            LivenessMsg::Vote(signed) => self.vote(shared, to, &signed),
            LivenessMsg::PolkaCertificate(mut certificate) => {
                shared.count("lies: certificates with a wrong signature");
                if let Some(signed) = certificate.polka_signatures.first_mut() {
                    signed.signature.0[7] ^= 1;
                }
                all(to, &Message::Liveness(LivenessMsg::PolkaCertificate(certificate)))
            }
            LivenessMsg::SkipRoundCertificate(mut certificate) => {
                shared.count("lies: certificates with a wrong signature");
                if let Some(signed) = certificate.round_signatures.first_mut() {
                    signed.signature.0[7] ^= 1;
                }
                all(to, &Message::Liveness(LivenessMsg::SkipRoundCertificate(certificate)))
            }
        }
    }

    /// It says to have more than there is; after the faults no more, because it would never be silent.
    fn status(&mut self, shared: &mut Shared, to: &[usize], status: Status<Context>) -> Sent {
        if shared.now >= shared.plan.calm || !self.rng.chance(20) {
            return all(to, &Message::Status(status));
        }
        shared.count("lies: blocks that nobody has");
        let tip_height = Height(shared.oracle.height() + 1 + self.rng.below(3));
        all(to, &Message::Status(Status { tip_height, ..status }))
    }

    fn response(&mut self, shared: &mut Shared, from: usize, response: Response<Context>) -> Response<Context> {
        let Response::ValueResponse(mut response) = response;
        if response.values.is_empty() && response.start_height.0 == shared.oracle.height() + 1 {
            shared.count("lies: a block that nobody decided");
            response.values = self.invented(shared, from).into_iter().collect();
            return Response::ValueResponse(response);
        }
        if response.values.is_empty() || !self.rng.chance(50) {
            return Response::ValueResponse(response);
        }
        let place = self.rng.index(response.values.len());
        let value = &mut response.values[place];
        match self.rng.below(4) {
            0 => {
                shared.count("lies: fetched blocks with a changed byte");
                let mut bytes = value.value_bytes.to_vec();
                let byte = self.rng.index(bytes.len());
                bytes[byte] ^= 1;
                let other_body = lies::other_body(&value.value_bytes, &mut self.rng).filter(|_| self.rng.chance(50));
                value.value_bytes = other_body.unwrap_or_else(|| bytes.into());
            }
            1 => {
                shared.count("lies: certificates with a wrong signature");
                if let Some(signed) = value.certificate.commit_signatures.first_mut() {
                    signed.signature.0[7] ^= 1;
                }
            }
            2 => {
                shared.count("lies: certificates without enough votes");
                value.certificate.commit_signatures.truncate(1);
            }
            _ => {
                shared.count("lies: fetched blocks in another order");
                response.values.reverse();
            }
        }
        Response::ValueResponse(response)
    }

    /// A block in order for the next height, with a certificate in everybody's name.
    fn invented(&self, shared: &Shared, from: usize) -> Option<arc_malachitebft_app_channel::app::types::sync::RawDecidedValue<Context>> {
        let (bytes, block) = lies::fresh(shared, &self.keys, shared.clock(from))?;
        let height = shared.oracle.parent.height.next();
        let signatures = shared.oracle.parent.validators.members().iter();
        let signatures = signatures.map(|member| CommitSignature { validator: member.address, signature: Signature([3; 64]) }).collect();
        Some(raw_decided(bytes, &CommitCertificate { height, round: 0, block, signatures }))
    }
}

fn all(to: &[usize], message: &Message) -> Sent {
    to.iter().map(|node| (*node, message.clone())).collect()
}

const fn value_of(vote: &Vote) -> Option<Hash32> {
    match vote.value {
        NilOrVal::Nil => None,
        NilOrVal::Val(hash) => Some(hash.0),
    }
}
