//! What goes to the other nodes and comes from them: blocks, transactions, tips, and the votes that wake an idle node.
//!
//! Everything that arrives is checked for who signed it before it costs anything, and whoever sends what proves nothing is not listened to for a while.

use arc_malachitebft_app_channel::{
    NetworkMsg,
    app::{
        consensus::{ProposedValue, SignedConsensusMsg},
        streaming::{StreamContent, StreamId, StreamMessage},
        types::{
            PeerId,
            core::{Context as _, Round, Validator as _},
        },
    },
};
use bytes::Bytes;
use chain::{certificate::CommitCertificate, crypto::Signature, id};
use tracing::{debug, warn};

use super::{Driver, proposed_value};
use crate::{
    ConsensusError,
    context::{Address, BlockPart, Context, Height, Part},
    others::Source,
    port::{BlockProposal, Origin},
};

impl Driver {
    pub(super) fn is_behind(&self) -> bool {
        self.others.as_ref().is_some_and(|others| others.is_ahead_of(self.tip.height))
    }

    /// Whether a vote or a proposal is let in: the network's codec has asked already where there is one.
    pub(crate) fn admits(&self, message: &SignedConsensusMsg<Context>) -> bool {
        self.door.admits(message)
    }

    /// A vote or a proposal came in, which nobody has verified yet. Where it is good and of a height to come, an idle node goes on soon.
    pub(super) fn hear(&mut self, message: &SignedConsensusMsg<Context>) {
        let sender = match message {
            SignedConsensusMsg::Vote(signed) => signed.message.voter,
            SignedConsensusMsg::Proposal(signed) => signed.message.proposer,
        };
        let now = (self.now)();
        let Some(others) = self.others.as_mut().filter(|_| self.idle.is_some()) else { return };
        let height = message.height().0;
        // Whoever is further away is caught up with, not voted with.
        if height > self.tip.height.0
            && height <= self.tip.height.0.saturating_add(2)
            && self.validators.contains(&sender)
            && others.wakes.at().is_none()
            && self.signatures.verify_message(message)
            && others.wakes.allows(sender.0, now)
        {
            debug!(height = %message.height(), %sender, "woken by a vote or a proposal");
            others.wakes.soon(now);
        }
    }

    /// Does what is due by the driver's time: tells the tip, looks whether this node stands still, and gives whether an idle engine shall go on.
    pub(super) async fn look_around(&mut self) -> Result<bool, ConsensusError> {
        let now = (self.now)();
        let Some(others) = &mut self.others else { return Ok(false) };
        if others.stands_still(now) {
            return Err(ConsensusError::StandsStill { tip: self.tip.height, others: others.highest() });
        }
        let wakes = others.wakes.at().is_some_and(|at| at <= now);
        if wakes {
            others.wakes.done();
        }
        if others.tip_is_due(now) && self.tip.height > id::Height(0) {
            if self.proof.is_none() {
                let stored = self.port.decided(self.tip.height, self.tip.height).await?;
                self.proof = stored.into_iter().next().map(|(_, certificate)| certificate);
            }
            if let Some(certificate) = self.proof.clone() {
                self.send(Part::Tip(certificate)).await?;
            }
        }
        Ok(wakes)
    }

    /// A part that a peer brought: a block to judge, transactions for the pool, or how far somebody is.
    pub(super) async fn receive_part(
        &mut self,
        neighbour: PeerId,
        author: Option<PeerId>,
        part: Part,
    ) -> Result<Option<ProposedValue<Context>>, ConsensusError> {
        let now = (self.now)();
        // Whoever is not configured and does not introduce himself is not disconnected by the engine.
        if self.others.as_ref().is_some_and(|others| !others.knows(neighbour)) {
            return Ok(None);
        }
        let source = self.others.as_ref().and_then(|others| others.source(neighbour, author));
        if let Some(others) = &mut self.others
            && !others.hears(source, now)
        {
            return Ok(None);
        }
        match part {
            Part::Block(part) => return self.receive(part, source).await,
            Part::Transactions(transactions) => {
                let bytes = transactions.iter().map(Bytes::len).sum();
                let takes = self.others.as_mut().is_none_or(|others| others.takes_transactions(source, transactions.len(), bytes, now));
                if !takes || !self.port.offer(transactions)? {
                    debug!(?source, "transactions of a peer were dropped: too many for the moment");
                }
            }
            Part::Tip(certificate) => {
                if !self.learn(&certificate)? {
                    self.blame(source, "a tip that proves nothing");
                }
            }
        }
        Ok(None)
    }

    /// Takes note of a proved tip; gives whether it was one, or nothing new.
    pub(super) fn learn(&mut self, certificate: &CommitCertificate) -> Result<bool, ConsensusError> {
        let now = (self.now)();
        let Some(others) = self.others.as_mut().filter(|others| others.is_news(certificate.height, self.tip.height)) else {
            return Ok(true);
        };
        if certificate.verify(self.signatures.chain_id(), &self.members).is_err() {
            return Ok(false);
        }
        debug!(height = %certificate.height, own = %self.tip.height, "others are further");
        others.learn(certificate.height, now);
        self.door.prove(certificate.height);
        self.require_own(certificate)?;
        Ok(true)
    }

    pub(super) fn blame(&mut self, source: Source, what: &str) {
        let now = (self.now)();
        let Some(others) = &mut self.others else { return };
        if others.blame(source, now) {
            warn!(?source, what, "a peer sends too much that proves nothing; of its messages, one a second is looked at");
        } else {
            debug!(?source, what, "a message proved nothing");
        }
    }

    /// Nobody else may sign with our key: not a second process, and not this one in a life that an older copy of its disk has forgotten.
    pub(super) fn require_own(&self, certificate: &CommitCertificate) -> Result<(), ConsensusError> {
        let guarded = self.guards_key.is_some_and(|from| certificate.height >= from);
        let Some(keys) = self.keys.as_ref().filter(|_| guarded) else { return Ok(()) };
        if keys.signed_elsewhere(certificate) {
            return Err(ConsensusError::KeyUsedElsewhere { height: certificate.height, tip: self.tip.height });
        }
        Ok(())
    }

    /// Sends a block to those who vote on it: one of our own, or another's as he signed it.
    pub(super) async fn publish(&mut self, block: BlockProposal) -> Result<(), ConsensusError> {
        let Some(keys) = self.keys.as_ref().filter(|_| self.others.is_some()) else { return Ok(()) };
        let BlockProposal { height, round, proposer, bytes, signature } = block;
        let mut part = BlockPart { height: height.into(), round, proposer: Address(proposer), bytes, signature: Signature([0; 64]) };
        match signature {
            Some(signature) => part.signature = signature,
            None if part.proposer == keys.address() => keys.sign_part(&mut part),
            // It came by synchronisation, so nobody asks for it to be proposed.
            None => return Ok(()),
        }
        self.send(Part::Block(part)).await
    }

    pub(super) async fn send(&mut self, part: Part) -> Result<(), ConsensusError> {
        self.streams = self.streams.wrapping_add(1);
        let stream = StreamId::new(Bytes::copy_from_slice(&self.streams.to_le_bytes()));
        let message = StreamMessage::new(stream, 0, StreamContent::Data(part));
        let sent = self.network.send(NetworkMsg::PublishProposalPart(message)).await;
        sent.map_err(|_| ConsensusError::EngineEnded("its network has stopped".to_owned()))
    }

    /// Judges a block that the proposer of its round sent, or keeps it until its height and its round have begun.
    pub(super) async fn receive(&mut self, part: BlockPart, source: Source) -> Result<Option<ProposedValue<Context>>, ConsensusError> {
        if !self.parts.wants(&part) {
            return Ok(None);
        }
        // Who decides the heights after the next is not known before it is committed: their parts are looked at again then.
        let is_next = part.height == Height::from(self.tip.height.next());
        let turn = self.turn(&part);
        let may = if is_next { part.proposer == turn } else { self.validators.contains(&part.proposer) };
        if !may || !self.signatures.verify_part(&part) {
            self.blame(source, "a block part that no proposer signed");
            return Ok(None);
        }
        if self.parts.is_early(&part) {
            if !self.parts.keep(source, part) {
                self.blame(source, "a block of a height or a round to come, beyond its proposer's share");
            }
            return Ok(None);
        }
        self.judge(source, part).await
    }

    /// Who may propose in the round of a block of the next height.
    fn turn(&self, part: &BlockPart) -> Address {
        *Context.select_proposer(&self.validators, part.height, Round::new(part.round)).address()
    }

    /// Judges a block of the next height whose signature has been verified.
    pub(super) async fn judge(&mut self, source: Source, part: BlockPart) -> Result<Option<ProposedValue<Context>>, ConsensusError> {
        if part.proposer != self.turn(&part) {
            return Ok(None);
        }
        if !self.parts.takes(source, &part) {
            self.blame(source, "a block more than a round has, or once more");
            return Ok(None);
        }
        // Where others have decided this height already, it is no longer a question of the clock.
        let origin = if part.round < self.parts.round() || self.is_behind() { Origin::Late } else { Origin::Proposed };
        let BlockPart { height, round, proposer, bytes, signature } = part;
        let block = BlockProposal { height: height.into(), round, proposer: proposer.0, bytes, signature: Some(signature) };
        let stored = self.port.validate(block, origin).await?;
        if stored.is_none() {
            self.blame(source, "what its proposer signed is no block of his");
        }
        Ok(stored.as_ref().map(proposed_value))
    }
}
