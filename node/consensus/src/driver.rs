//! The loop between engine and application: every message of the engine is answered by asking the application's port.
//!
//! Messages are answered one after the other. The engine waits for most answers anyway, and the order is what makes "durable before voted on" easy to see.
//! Idle: a decided block is committed at once, but the engine is told to go on only when there is work. Nothing is decided here about blocks or votes.
//! Called by `mod`.

use std::{collections::VecDeque, future, pin::Pin, time::Duration};

use arc_malachitebft_app_channel::{
    AppMsg, NetworkMsg, Reply,
    app::engine::util::events::Event,
    app::events::RxEvent,
    app::{
        consensus::{ProposedValue, VoteExtensionError},
        engine::host::{Next, SyncedValueOutcome},
        streaming::{StreamContent, StreamId, StreamMessage},
        types::{
            LocallyProposedValue,
            core::{self as engine, HeightParams, LinearTimeouts, Round, Validity},
            sync::RawDecidedValue,
        },
    },
};
use bytes::Bytes;
use chain::{certificate::CommitCertificate, crypto::Signature, id};
use tokio::{
    sync::{broadcast::error::RecvError, mpsc, watch},
    task::JoinError,
    time::{Instant, sleep_until},
};
use tracing::{debug, error, info, warn};

use super::{
    ConsensusError,
    codec::{MAX_RESPONSE_BLOCKS, MAX_RESPONSE_BYTES, certificate_to_chain, raw_decided},
    context::{Address, Again, BlockHash, BlockPart, Context, Height, Part, ValidatorSet},
    engine::Engine,
    signing::{Keys, Signatures},
};
use crate::port::{AppError, ConsensusPort, Origin, StoredProposal, Tip};

/// How long a height under way may take to end before a stopping node leaves it to its log.
const FINISH_LIMIT: Duration = Duration::from_secs(2);
/// How long the engine may take until it listens. It says nothing where it cannot (the port is taken): it only never becomes ready.
const READY_LIMIT: Duration = Duration::from_secs(20);
/// Blocks of heights after the next one that are kept until their parents are committed.
const MAX_EARLY_PARTS: usize = 16;
/// Their bytes together.
const MAX_EARLY_BYTES: usize = 16 << 20;
/// How far ahead of the next height they may be; whoever is further behind catches up by synchronisation.
const EARLY_HEIGHTS: u64 = 2;

/// What the loop knows.
pub(super) struct Driver {
    port: ConsensusPort,
    network: mpsc::Sender<NetworkMsg<Context>>,
    /// None for an observer.
    keys: Option<Keys>,
    signatures: Signatures,
    /// Whether anybody else is in the network: a validator alone sends its blocks to nobody.
    peers: bool,
    tip: Tip,
    /// Who decides the height after the tip.
    validators: ValidatorSet,
    /// The height at which this process began: only there can proposals be known from before a restart.
    first: id::Height,
    early: VecDeque<BlockPart>,
    /// The engine's question what to do next, unanswered while there is no work.
    idle: Option<Reply<Next<Context>>>,
    streams: u64,
}

type Work = Pin<Box<dyn Future<Output = Result<(), AppError>> + Send>>;

/// What ended the loop's wait.
enum Woken {
    Stop,
    Message(Option<Box<AppMsg<Context>>>),
    Event(Result<Event<Context>, RecvError>),
    Work(Result<(), AppError>),
    Ended(Result<(), JoinError>),
    NeverReady,
    NotFinished,
}

impl Driver {
    pub(super) fn new(
        port: ConsensusPort,
        network: mpsc::Sender<NetworkMsg<Context>>,
        keys: Option<Keys>,
        signatures: Signatures,
        start: (Tip, ValidatorSet),
        peers: bool,
    ) -> Self {
        let (tip, validators) = start;
        Self {
            port,
            network,
            keys,
            signatures,
            peers,
            tip,
            validators,
            first: tip.height.next(),
            early: VecDeque::new(),
            idle: None,
            streams: 0,
        }
    }

    /// Answers the engine until `stop` is set: then the height under way is finished, if that is soon.
    ///
    /// # Errors
    /// [`ConsensusError`]: the process must exit. It must not go on voting, and no height may be restarted.
    pub(super) async fn run(
        mut self,
        engine: &mut Engine,
        mut events: RxEvent<Context>,
        mut stop: watch::Receiver<bool>,
    ) -> Result<(), ConsensusError> {
        let ready_by = Instant::now() + READY_LIMIT;
        let mut ready = false;
        let mut stopping: Option<Instant> = None;
        let mut work: Option<Work> = None;
        loop {
            if stopping.is_some() && (self.idle.is_some() || !ready) {
                return Ok(());
            }
            if self.idle.is_some() && work.is_none() {
                let port = self.port.clone();
                work = Some(Box::pin(async move { port.wait_for_work().await }));
            }
            // A vote or a tip of a later height will be one more branch here that calls `go_on`.
            let woken = tokio::select! {
                biased;
                () = stopped(&mut stop), if stopping.is_none() => Woken::Stop,
                message = engine.channels.consensus.recv() => Woken::Message(message.map(Box::new)),
                event = events.recv() => Woken::Event(event),
                result = wait(&mut work), if work.is_some() => Woken::Work(result),
                result = &mut engine.handle.handle => Woken::Ended(result),
                () = sleep_until(ready_by), if !ready => Woken::NeverReady,
                () = until(stopping), if stopping.is_some() => Woken::NotFinished,
            };
            match woken {
                Woken::Stop => stopping = Some(Instant::now() + FINISH_LIMIT),
                Woken::Message(Some(message)) => {
                    ready = true;
                    self.answer(*message).await?;
                }
                Woken::Message(None) => return Err(gone(&mut events)),
                Woken::Event(Ok(event)) => watch_for_damage(&event)?,
                Woken::Event(Err(RecvError::Lagged(missed))) => debug!(missed, "events of the engine were missed"),
                Woken::Event(Err(RecvError::Closed)) => return Err(gone(&mut events)),
                Woken::Work(result) => {
                    work = None;
                    result?;
                    self.go_on();
                }
                Woken::Ended(result) => {
                    let why = result.err().map_or_else(|| "one of its tasks failed".to_owned(), |error| error.to_string());
                    return Err(ConsensusError::EngineEnded(why));
                }
                Woken::NeverReady => return Err(ConsensusError::NotListening),
                Woken::NotFinished => {
                    info!("a height is under way; its votes are in the log");
                    return Ok(());
                }
            }
        }
    }

    /// Whether the engine waits for a word to begin the height after the tip.
    pub(super) const fn is_idle(&self) -> bool {
        self.idle.is_some()
    }

    /// Tells the waiting engine to begin the height after the tip.
    pub(super) fn go_on(&mut self) {
        if let Some(reply) = self.idle.take() {
            let (height, parameters) = self.next_height();
            send(reply, Next::Start(height, parameters));
        }
    }

    fn next_height(&self) -> (Height, HeightParams<Context>) {
        let timeouts = timeouts(self.validators.len());
        (self.tip.height.next().into(), HeightParams::new(self.validators.clone(), timeouts, None))
    }

    pub(super) async fn answer(&mut self, message: AppMsg<Context>) -> Result<(), ConsensusError> {
        match message {
            AppMsg::ConsensusReady { reply } => {
                let (height, parameters) = self.next_height();
                info!(%height, validators = self.validators.len(), "consensus is ready");
                send(reply, (height, parameters));
            }
            AppMsg::StartedRound { height, round, proposer, reply_value, .. } => {
                debug!(%height, %round, %proposer, "round started");
                let known = self.known_proposals(height, round).await?;
                send(reply_value, known);
            }
            AppMsg::GetValue { height, round, reply, .. } => self.propose(height, round, reply).await?,
            AppMsg::ReceivedProposalPart { part, reply, .. } => {
                let value = match part.content.into_data() {
                    Some(Part::Block(part)) => self.receive(part).await?,
                    None => None,
                };
                send(reply, value);
            }
            AppMsg::Decided { certificate, reply, .. } => {
                self.commit(&certificate).await?;
                send(reply, ());
            }
            AppMsg::Finalized { certificate, evidence, reply, .. } => {
                if !evidence.is_empty() {
                    error!(height = %certificate.height, ?evidence, "a validator signed twice in one round");
                }
                self.commit(&certificate).await?;
                self.idle = Some(reply);
            }
            AppMsg::ProcessSyncedValue { height, round, proposer, value_bytes, reply } => {
                let proposal = self.validate(height, round_number(round), proposer, value_bytes, Origin::Synced).await?;
                if proposal.validity == Validity::Invalid {
                    error!(%height, "a block that peers certified breaks our rules: this node and the others disagree");
                }
                send(reply, SyncedValueOutcome::Verdict(proposal));
            }
            AppMsg::GetDecidedValues { range, reply } => send(reply, self.decided(*range.start(), *range.end()).await?),
            AppMsg::GetHistoryMinHeight { reply } => send(reply, <Height as engine::Height>::INITIAL),
            AppMsg::RestreamProposal { height, round, address, value_id, .. } => {
                if let Some(bytes) = self.port.undecided(value_id.0).await? {
                    self.publish(height, round, address, Again::Restreamed, bytes).await?;
                }
            }
            // Extensions are off at every height, so these two are never asked; if they were, none exists and none is good.
            AppMsg::ExtendVote { reply, .. } => send(reply, None),
            AppMsg::VerifyVoteExtensions { extensions, reply, .. } => {
                let refused = |(address, ())| (address, Err(VoteExtensionError::InvalidVoteExtension));
                send(reply, extensions.into_iter().map(refused).collect());
            }
        }
        Ok(())
    }

    /// Proposals of this height that arrived too early, or before this process began.
    async fn known_proposals(&mut self, height: Height, round: Round) -> Result<Vec<ProposedValue<Context>>, ConsensusError> {
        let mut known = Vec::new();
        if id::Height::from(height) == self.first {
            let stored = self.port.stored_proposals(height.into(), round_number(round)).await?;
            known.extend(stored.iter().map(proposed_value));
        }
        if !self.early.is_empty() {
            let (due, later) = std::mem::take(&mut self.early).into_iter().partition(|part| part.height <= height);
            self.early = later;
            let due: VecDeque<BlockPart> = due;
            for part in due {
                known.extend(self.receive(part).await?);
            }
        }
        Ok(known)
    }

    async fn propose(&mut self, height: Height, round: Round, reply: Reply<LocallyProposedValue<Context>>) -> Result<(), ConsensusError> {
        let block = self.port.propose(height.into(), round_number(round)).await?;
        send(reply, LocallyProposedValue::new(height, round, BlockHash(block.hash)));
        let Some(proposer) = self.keys.as_ref().map(Keys::address) else { return Ok(()) };
        self.publish(height, round, proposer, Again::First, block.bytes).await
    }

    /// Sends a block to those who vote on it.
    async fn publish(&mut self, height: Height, round: Round, proposer: Address, again: Again, bytes: Bytes) -> Result<(), ConsensusError> {
        let Some(keys) = self.keys.as_ref().filter(|_| self.peers) else { return Ok(()) };
        let mut part =
            BlockPart { height, round: round_number(round), proposer, sender: keys.address(), again, bytes, signature: Signature([0; 64]) };
        keys.sign_part(&mut part);
        self.streams = self.streams.wrapping_add(1);
        let stream = StreamId::new(Bytes::copy_from_slice(&self.streams.to_le_bytes()));
        let message = StreamMessage::new(stream, 0, StreamContent::Data(Part::Block(part)));
        let sent = self.network.send(NetworkMsg::PublishProposalPart(message)).await;
        sent.map_err(|_| ConsensusError::EngineEnded("its network has stopped".to_owned()))
    }

    /// Judges a block that a validator sent, or keeps it until its parent is committed.
    async fn receive(&mut self, part: BlockPart) -> Result<Option<ProposedValue<Context>>, ConsensusError> {
        let next = Height::from(self.tip.height.next());
        if part.height < next || part.height.0 > next.0.saturating_add(EARLY_HEIGHTS) {
            return Ok(None);
        }
        if !self.validators.contains(&part.sender) || !self.signatures.verify_part(&part) {
            warn!(height = %part.height, sender = %part.sender, "a block part that no validator signed");
            return Ok(None);
        }
        if part.height > next {
            let bytes: usize = self.early.iter().map(|kept| kept.bytes.len()).sum();
            if self.early.len() < MAX_EARLY_PARTS && bytes.saturating_add(part.bytes.len()) <= MAX_EARLY_BYTES {
                self.early.push_back(part);
            }
            return Ok(None);
        }
        let origin = match part.again {
            Again::First => Origin::Proposed,
            Again::Restreamed => Origin::Restreamed,
        };
        self.validate(part.height, part.round, part.proposer, part.bytes, origin).await.map(Some)
    }

    async fn validate(
        &self,
        height: Height,
        round: u32,
        proposer: Address,
        bytes: Bytes,
        origin: Origin,
    ) -> Result<ProposedValue<Context>, ConsensusError> {
        let stored = self.port.validate(height.into(), round, proposer.0, bytes, origin).await?;
        Ok(proposed_value(&stored))
    }

    /// Commits a decided block and learns who decides the next; a height already committed is left alone.
    async fn commit(&mut self, certificate: &engine::CommitCertificate<Context>) -> Result<(), ConsensusError> {
        if id::Height::from(certificate.height) <= self.tip.height {
            return Ok(());
        }
        let certificate = certificate_to_chain(certificate).map_err(|error| ConsensusError::Certificate(error.to_string()))?;
        let tip = self.port.commit(certificate).await?;
        self.validators = (&self.port.validators(tip.height.next()).await?).into();
        self.tip = tip;
        Ok(())
    }

    /// Committed blocks for a peer that is behind: at most what one answer may hold.
    async fn decided(&self, from: Height, to: Height) -> Result<Vec<RawDecidedValue<Context>>, ConsensusError> {
        let last = to.0.min(from.0.saturating_add(MAX_RESPONSE_BLOCKS - 1)).min(self.tip.height.0);
        if from.0 == 0 || from.0 > last {
            return Ok(Vec::new());
        }
        let mut room = MAX_RESPONSE_BYTES - 1024;
        let fits = |(block, certificate): &(Bytes, CommitCertificate)| {
            let size = block.len() + 128 + certificate.signatures.len() * 96;
            let fits = size <= room;
            room = room.saturating_sub(size);
            fits
        };
        let blocks = self.port.decided(from.into(), id::Height(last)).await?;
        Ok(blocks.into_iter().take_while(fits).map(|(block, certificate)| raw_decided(block, &certificate)).collect())
    }
}

/// How long a round waits. Nobody else can be late for a validator alone, so it waits for itself: an expired round would only cost an empty one.
fn timeouts(validators: usize) -> LinearTimeouts {
    let (propose, vote) = if validators == 1 { (30_000, 30_000) } else { (1000, 500) };
    LinearTimeouts {
        propose: Duration::from_millis(propose),
        propose_delta: Duration::from_millis(500),
        prevote: Duration::from_millis(vote),
        prevote_delta: Duration::from_millis(250),
        precommit: Duration::from_millis(vote),
        precommit_delta: Duration::from_millis(250),
        rebroadcast: Duration::from_millis(1500),
        max_timeout: Duration::from_secs(30),
    }
}

/// The engine numbers rounds from 0; it never asks about "no round".
fn round_number(round: Round) -> u32 {
    round.as_u32().unwrap_or(0)
}

fn proposed_value(stored: &StoredProposal) -> ProposedValue<Context> {
    ProposedValue {
        height: stored.height.into(),
        round: Round::new(stored.round),
        valid_round: Round::Nil,
        proposer: Address(stored.proposer),
        value: BlockHash(stored.hash),
        validity: Validity::from_bool(stored.valid),
    }
}

/// Answers the engine. It may have stopped meanwhile, which the loop learns by itself.
fn send<T>(reply: Reply<T>, answer: T) {
    let _ = reply.send(answer);
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    // A dropped sender means the same as a stop: whoever started us has gone.
    let _ = stop.wait_for(|stop| *stop).await;
}

async fn wait(work: &mut Option<Work>) -> Result<(), AppError> {
    match work {
        Some(work) => work.await,
        None => future::pending().await,
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => future::pending().await,
    }
}

/// The engine reports a damaged log by an event and then hangs, for ever, so that nobody restarts it in a loop and signs twice.
fn watch_for_damage(event: &Event<Context>) -> Result<(), ConsensusError> {
    match event {
        Event::WalCorrupted(error) => Err(ConsensusError::LogDamaged(error.to_string())),
        Event::WalReplayError(error) => Err(ConsensusError::LogDamaged(error.to_string())),
        Event::WalResetError(error) => Err(ConsensusError::LogDamaged(error.to_string())),
        Event::StartedHeight(..)
        | Event::StartedRound(..)
        | Event::Published(..)
        | Event::Received(..)
        | Event::ProposedValue(..)
        | Event::ReceivedProposedValue(..)
        | Event::Decided { .. }
        | Event::Finalized { .. }
        | Event::RepublishVote(..)
        | Event::RebroadcastRoundCertificate(..)
        | Event::SkipRoundCertificate(..)
        | Event::PolkaCertificate(..)
        | Event::WalReplayBegin(..)
        | Event::WalReplayEntry(..)
        | Event::WalReplayDone(..) => Ok(()),
    }
}

/// Why the channel closed: the reason may stand in an event that came before.
fn gone(events: &mut RxEvent<Context>) -> ConsensusError {
    while let Ok(event) = events.try_recv() {
        if let Err(error) = watch_for_damage(&event) {
            return error;
        }
    }
    if super::metrics::safety_failure() {
        return ConsensusError::LogDamaged("the engine stopped because it could not write its log".to_owned());
    }
    ConsensusError::EngineEnded("it closed its channel".to_owned())
}
