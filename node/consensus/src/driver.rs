//! The loop between engine and application: every message of the engine is answered by asking the application's port.
//!
//! Messages are answered one after the other. The engine waits for most answers anyway, and the order is what makes "durable before voted on" easy to see.
//! Idle: a decided block is committed at once, but the engine is told to go on only when there is work, or when others verifiably go on (`wake`, `others`).
//! Nothing is decided here about blocks or votes. Called by `lib` and `stepped`.

mod parts;
mod silence;
#[cfg(test)]
mod tests;
mod traffic;

use std::{collections::HashSet, future, pin::Pin, sync::Arc, time::Duration};

use arc_malachitebft_app_channel::{
    AppMsg, NetworkMsg, Reply,
    app::engine::util::events::Event,
    app::events::RxEvent,
    app::{
        consensus::{ProposedValue, VoteExtensionError},
        engine::host::{Next, SyncedValueOutcome},
        types::{
            LocallyProposedValue, PeerId,
            core::{self as engine, HeightParams, LinearTimeouts, Round, Validity},
            sync::RawDecidedValue,
        },
    },
};
use bytes::Bytes;
use chain::{
    certificate::{self, CommitCertificate},
    id,
};
use tokio::{
    sync::{broadcast::error::RecvError, mpsc, watch},
    task::JoinError,
    time::{Instant, sleep_until},
};
use tracing::{debug, error, info};

use self::{
    parts::Parts,
    silence::{Silence, in_time, is_of_consensus},
};
use super::{
    BlockTime, ConsensusError, Ended, LostLog,
    codec::{Door, MAX_RESPONSE_BLOCKS, MAX_RESPONSE_BYTES, certificate_to_chain, raw_decided},
    context::{Address, BlockHash, Context, Height, Part, ValidatorSet},
    engine::Engine,
    others::Others,
    signing::{Keys, Signatures},
    watching::Watching,
};
use crate::port::{AppError, BlockProposal, ConsensusPort, Origin, StoredProposal, Tip};

/// How long a height under way may take to end before a stopping node leaves it to its log.
const FINISH_LIMIT: Duration = Duration::from_secs(2);
/// How long the engine may take until it listens. It says nothing where it cannot (the port is taken): it only never becomes ready.
const READY_LIMIT: Duration = Duration::from_secs(20);

/// Tells the time to which the driver holds the others: the machine's in a running node, a virtual one where somebody steps the driver.
pub(super) type Now = Box<dyn Fn() -> Instant + Send + Sync>;

/// What the loop knows.
pub(super) struct Driver {
    port: ConsensusPort,
    now: Now,
    network: mpsc::Sender<NetworkMsg<Context>>,
    /// None for an observer.
    keys: Option<Keys>,
    signatures: Signatures,
    /// The others in the network, if there are any: a validator alone sends its blocks to nobody.
    others: Option<Others>,
    door: Arc<Door>,
    tip: Tip,
    /// Who decides the height after the tip.
    validators: ValidatorSet,
    /// The same in the chain's form.
    members: certificate::ValidatorSet,
    /// What proves the tip, once this process has committed or looked for it.
    proof: Option<CommitCertificate>,
    /// From which height on a certificate with a precommit of ours that we have not signed ends the process; nothing: none does.
    guards_key: Option<id::Height>,
    watching: Option<Watching>,
    parts: Parts,
    /// The engine's question what to do next, unanswered while there is no work.
    idle: Option<Reply<Next<Context>>>,
    streams: u64,
}

/// A question that the application answers when it has something.
type Question<T> = Pin<Box<dyn Future<Output = Result<T, AppError>> + Send>>;

/// What ended the loop's wait.
enum Woken {
    Stop,
    Message(Option<Box<AppMsg<Context>>>),
    Event(Result<Event<Context>, RecvError>),
    Work(Result<(), AppError>),
    Outgoing(Result<Vec<Bytes>, AppError>),
    Time,
    Look,
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
        start: (Tip, certificate::ValidatorSet),
        others: Option<HashSet<PeerId>>,
        door: Arc<Door>,
    ) -> Self {
        let (tip, members) = start;
        Self {
            port,
            now: Box::new(Instant::now),
            network,
            keys,
            signatures,
            others: others.map(|known| Others::new(known, Instant::now())),
            door,
            tip,
            validators: (&members).into(),
            members,
            proof: None,
            guards_key: None,
            watching: None,
            parts: Parts::new(tip.height.next()),
            idle: None,
            streams: 0,
        }
    }

    /// The same by another clock, which must not be before this moment.
    pub(super) fn timed_by(mut self, now: Now) -> Self {
        self.now = now;
        self
    }

    /// Ends the process where a certificate shows that somebody else signs with our key. The keys must be clones of those that the engine signs with, and know
    /// what an earlier process signed in the height under way, unless the log that would say so is lost.
    pub(super) fn guard_key(mut self, log: LostLog) -> Self {
        let under_way = self.tip.height.next();
        self.guards_key = Some(match log {
            LostLog::Refuse => under_way,
            LostLog::BeginNew => under_way.next(),
        });
        self
    }

    /// Ends with [`Ended::Watched`] once a height was decided that began after this process did.
    pub(super) fn watch_first(mut self, time: BlockTime) -> Self {
        self.watching = Some(Watching::begin(time, self.tip.height, (self.now)()));
        self
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
    ) -> Result<Ended, ConsensusError> {
        let ready_by = Instant::now() + READY_LIMIT;
        let mut ready = false;
        let mut stopping: Option<Instant> = None;
        let mut work: Option<Question<()>> = None;
        let mut outgoing: Option<Question<Vec<Bytes>>> = None;
        let mut silence = Silence::begin();
        loop {
            if stopping.is_some() && (self.idle.is_some() || !ready) {
                return Ok(Ended::Stopped);
            }
            let highest = self.others.as_ref().map_or(id::Height(0), Others::highest);
            if self.idle.is_some() && self.watching.as_ref().is_some_and(|watching| watching.is_over(self.tip.height, highest)) {
                return Ok(Ended::Watched(self.tip.height));
            }
            if self.idle.is_some() && work.is_none() {
                let port = self.port.clone();
                work = Some(Box::pin(async move { port.wait_for_work().await }));
            }
            if self.idle.is_some() && self.is_behind() {
                work = None;
                self.go_on_with_others()?;
            }
            if self.others.is_some() && outgoing.is_none() {
                let port = self.port.clone();
                outgoing = Some(Box::pin(async move { port.outgoing().await }));
            }
            let timer = self.others.as_ref().map(Others::next);
            let woken = tokio::select! {
                biased;
                () = stopped(&mut stop), if stopping.is_none() => Woken::Stop,
                message = engine.channels.consensus.recv() => Woken::Message(message.map(Box::new)),
                event = events.recv() => Woken::Event(event),
                result = wait(&mut work), if work.is_some() => Woken::Work(result),
                result = wait(&mut outgoing), if outgoing.is_some() => Woken::Outgoing(result),
                () = until(timer), if timer.is_some() => Woken::Time,
                result = &mut engine.handle.handle => Woken::Ended(result),
                () = sleep_until(ready_by), if !ready => Woken::NeverReady,
                () = until(stopping), if stopping.is_some() => Woken::NotFinished,
                () = silence.look() => Woken::Look,
            };
            if matches!(&woken, Woken::Event(_)) || matches!(&woken, Woken::Message(Some(message)) if is_of_consensus(message)) {
                silence.broken();
            }
            match woken {
                Woken::Stop => stopping = Some(Instant::now() + FINISH_LIMIT),
                Woken::Message(Some(message)) => {
                    ready = true;
                    in_time(self.answer(*message)).await?;
                }
                Woken::Message(None) => return Err(gone(&mut events)),
                Woken::Event(Ok(event)) => {
                    watch_for_damage(&event)?;
                    if let Event::Received(message) = &event {
                        self.hear(message);
                    }
                }
                Woken::Event(Err(RecvError::Lagged(missed))) => debug!(missed, "events of the engine were missed"),
                Woken::Event(Err(RecvError::Closed)) => return Err(gone(&mut events)),
                Woken::Work(result) => {
                    work = None;
                    result?;
                    self.go_on();
                }
                Woken::Outgoing(result) => {
                    outgoing = None;
                    self.send(Part::Transactions(result?)).await?;
                }
                Woken::Time => {
                    if in_time(self.look_around()).await? {
                        work = None;
                        self.go_on_with_others()?;
                    }
                }
                Woken::Look => {
                    if silence.lasts(ready && self.keys.is_some() && self.idle.is_none()) {
                        return Err(ConsensusError::Silent);
                    }
                }
                Woken::Ended(result) => {
                    let why = result.err().map_or_else(|| "one of its tasks failed".to_owned(), |error| error.to_string());
                    return Err(ConsensusError::EngineEnded(why));
                }
                Woken::NeverReady => return Err(ConsensusError::NotListening),
                Woken::NotFinished => {
                    info!("a height is under way; its votes are in the log");
                    return Ok(Ended::Stopped);
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
        if let Some(others) = &mut self.others {
            others.wakes.done();
        }
        if let Some(reply) = self.idle.take() {
            let (height, parameters) = self.next_height();
            send(reply, Next::Start(height, parameters));
        }
    }

    /// As [`Self::go_on`], and the application is told, which has not asked for it.
    fn go_on_with_others(&mut self) -> Result<(), ConsensusError> {
        if self.idle.is_some() {
            self.port.begun()?;
        }
        self.go_on();
        Ok(())
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
                self.door.begin(height.into());
                self.parts.begin(height.into(), round_number(round));
                let known = self.known_proposals(height, round).await?;
                send(reply_value, known);
            }
            AppMsg::GetValue { height, round, reply, .. } => self.propose(height, round, reply).await?,
            AppMsg::ReceivedProposalPart { from, published_by, part, reply } => {
                let value = match part.content.into_data() {
                    Some(part) => self.receive_part(from, published_by, part).await?,
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
                // The engine has verified the certificate, and the codec that it names this block.
                let round = round_number(round);
                let block = BlockProposal { height: height.into(), round, proposer: proposer.0, bytes: value_bytes, signature: None };
                match self.port.validate(block, Origin::Synced).await? {
                    // One of a height that was committed meanwhile no longer fits anywhere, which the engine knows.
                    Some(stored) if !stored.valid && stored.height == self.tip.height.next() => {
                        return Err(ConsensusError::Disagrees { height: stored.height, block: stored.hash });
                    }
                    Some(stored) => send(reply, SyncedValueOutcome::Verdict(proposed_value(&stored))),
                    None => send(reply, SyncedValueOutcome::PeerFault),
                }
            }
            AppMsg::GetDecidedValues { range, reply } => send(reply, self.decided(*range.start(), *range.end()).await?),
            AppMsg::GetHistoryMinHeight { reply } => send(reply, <Height as engine::Height>::INITIAL),
            AppMsg::RestreamProposal { value_id, .. } => {
                if let Some(block) = self.port.undecided(value_id.0).await? {
                    self.publish(block).await?;
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

    /// Proposals of this height that arrived before the round or before this process began.
    async fn known_proposals(&mut self, height: Height, round: Round) -> Result<Vec<ProposedValue<Context>>, ConsensusError> {
        // Those that were judged while the engine waited may have found its queue full.
        let stored = self.port.stored_proposals(height.into(), round_number(round)).await?;
        let mut known: Vec<_> = stored.iter().filter(|stored| stored.valid).map(proposed_value).collect();
        for (source, part) in self.parts.due() {
            known.extend(self.judge(source, part).await?);
        }
        Ok(known)
    }

    async fn propose(&mut self, height: Height, round: Round, reply: Reply<LocallyProposedValue<Context>>) -> Result<(), ConsensusError> {
        let block = self.port.propose(height.into(), round_number(round)).await?;
        send(reply, LocallyProposedValue::new(height, round, BlockHash(block.hash)));
        let Some(proposer) = self.keys.as_ref().map(Keys::address) else { return Ok(()) };
        let (height, round) = (height.into(), round_number(round));
        self.publish(BlockProposal { height, round, proposer: proposer.0, bytes: block.bytes, signature: None }).await
    }

    /// Commits a decided block and learns who decides the next; a height already committed is left alone.
    async fn commit(&mut self, certificate: &engine::CommitCertificate<Context>) -> Result<(), ConsensusError> {
        if id::Height::from(certificate.height) <= self.tip.height {
            return Ok(());
        }
        let certificate = certificate_to_chain(certificate).map_err(|error| ConsensusError::Certificate(error.to_string()))?;
        self.require_own(&certificate)?;
        let tip = self.port.commit(certificate.clone()).await?;
        self.members = self.port.validators(tip.height.next()).await?;
        self.validators = (&self.members).into();
        self.tip = tip;
        self.parts.committed(tip.height);
        self.door.committed(tip.height, self.validators.clone());
        self.proof = Some(certificate);
        let now = (self.now)();
        if let Some(others) = &mut self.others {
            others.committed(tip.height, now);
        }
        let highest = self.others.as_ref().map_or(id::Height(0), Others::highest);
        if let Some(watching) = &mut self.watching {
            watching.committed(&tip, highest, now);
        }
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
        max_timeout: Duration::from_secs(if validators == 1 { 30 } else { 10 }),
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

async fn wait<T>(question: &mut Option<Question<T>>) -> Result<T, AppError> {
    match question {
        Some(question) => question.await,
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
