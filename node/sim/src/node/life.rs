//! A living node: its application's thread, the questions that wait for it, and what follows from each thing that happens.

use std::{
    collections::{HashMap, VecDeque},
    ops::RangeInclusive,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_malachitebft_app_channel::{
    AppMsg, NetworkMsg,
    app::{
        consensus::{Error, Input, Params, ProposedValue, SignedConsensusMsg, State, process},
        engine::host::{Next, SyncedValueOutcome},
        metrics::Metrics,
        streaming::StreamMessage,
        types::{
            LocallyProposedValue, PeerId, ValuePayload,
            core::{HeightParams, LinearTimeouts, Round, Timeout, Validity, ValueOrigin, ValueResponse},
            sync::{RawDecidedValue, Response},
        },
    },
};
use arc_malachitebft_sync::ValueResponse as Blocks;
use bytes::Bytes;
use chain::{hash::Hash32, time::Timestamp};
use consensus::{
    context::{Address, BlockHash, Context, Height, Part},
    stepped::Answers,
};
use contracts::genesis::Genesis;
use futures::executor::block_on;
use node::{
    app::{self, Accepted, App, AppConfig, Limits, SubmitError},
    clock::Clock,
    store::Store,
};
use tokio::{
    sync::{
        mpsc,
        oneshot::{self, error::TryRecvError},
    },
    time::Instant,
};

use super::{Hands, Node};
use crate::{
    Failure,
    adversary::Lie,
    message::Message,
    plan::{SECOND, Sabotage},
    shared::{Event, Shared},
    sync::Sync,
};

/// Messages that one answer of the application may send.
const OUTGOING: usize = 4_096;
/// Later heights for which the engine keeps inputs, and how many for each: its own defaults.
const QUEUE_HEIGHTS: usize = 10;
const QUEUE_PER_HEIGHT: usize = 500;
/// From hearing that others go on to going on, so that what they decide on arrives first; microseconds.
const WAKE_DELAY: u64 = 30_000;
/// How often repeated votes of one validator may wake a node, as in the running node's loop; a liar would never let it rest.
const WAKES_BY_ONE_APART: u64 = 30 * SECOND;

/// A question to the application.
type Question = AppMsg<Context>;

/// Something for the engine.
#[derive(Debug)]
pub(super) enum Mail {
    Input(Input<Context>),
    Begin(Height, HeightParams<Context>),
}

/// An answer that may come later.
#[derive(Debug)]
pub(super) enum Awaited {
    Value(oneshot::Receiver<LocallyProposedValue<Context>>),
    Part(oneshot::Receiver<Option<ProposedValue<Context>>>),
    Decided(oneshot::Receiver<()>),
    Next(oneshot::Receiver<Next<Context>>),
    Synced { reply: oneshot::Receiver<SyncedValueOutcome<Context>>, height: Height, round: Round, id: BlockHash },
    Blocks { reply: oneshot::Receiver<Vec<RawDecidedValue<Context>>>, to: usize, number: u64, from: Height },
    Nothing,
}

/// A living node.
pub(crate) struct Life {
    app: App,
    /// What its clock shows, in milliseconds.
    clock: Arc<AtomicU64>,
    answers: Answers,
    outgoing: mpsc::Receiver<NetworkMsg<Context>>,
    engine: Option<Box<State<Context>>>,
    metrics: Metrics,
    pub(super) timeouts: LinearTimeouts,
    pub(super) timers: HashMap<Timeout, u64>,
    pub(super) timer_numbers: u64,
    /// Whether the log is being replayed: nothing is written to it then.
    pub(super) replaying: bool,
    /// Whether it has a vote in the height under way.
    pub(super) votes: bool,
    mail: VecDeque<Mail>,
    pub(super) questions: VecDeque<(Question, Awaited)>,
    awaited: Vec<Awaited>,
    answering: bool,
    waking: bool,
    /// When repeated votes of a validator last woke it.
    woken_by: HashMap<Address, u64>,
    pub(super) sync: Sync,
    pub(super) fuse: Option<u64>,
    pub(super) dead: bool,
}

impl std::fmt::Debug for Life {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Life").field("dead", &self.dead).finish_non_exhaustive()
    }
}

impl Life {
    pub(super) fn begin(node: &Node, shared: &Shared, genesis: &Genesis) -> Result<Self, String> {
        let opened = Store::open(&node.directory, genesis).map_err(|error| error.to_string())?;
        let clock = Arc::new(AtomicU64::new(shared.clock(node.index).ms()));
        let read = Arc::clone(&clock);
        // Not a stepped clock, which is trusted more than a machine's.
        let reading = Clock::reading(move || Timestamp::from_ms(read.load(Ordering::Relaxed)));
        let proposer = (node.index < shared.plan.powers.len()).then_some(node.address);
        let config = AppConfig { chain_id: genesis.chain_id(), proposer, clock: reading, limits: Limits::default() };
        let app = app::start(config, opened)?;
        let (network, outgoing) = mpsc::channel(OUTGOING);
        let (begun, read) = (Instant::now(), Arc::clone(&clock));
        let begun_ms = read.load(Ordering::Relaxed);
        // Only how far apart two moments are counts, so that no machine's clock has a say.
        let now = move || begun + Duration::from_millis(read.load(Ordering::Relaxed).saturating_sub(begun_ms));
        let answers = block_on(Answers::begin(app.port.clone(), network, node.keys.clone(), node.signatures, shared.known(), now));
        let answers = answers.map_err(|error| error.to_string())?;
        Ok(Self {
            app,
            clock,
            answers,
            outgoing,
            engine: None,
            metrics: Metrics::new(),
            timeouts: LinearTimeouts::default(),
            timers: HashMap::new(),
            timer_numbers: 0,
            replaying: false,
            votes: false,
            mail: VecDeque::new(),
            questions: VecDeque::new(),
            awaited: Vec::new(),
            answering: false,
            waking: false,
            woken_by: HashMap::new(),
            sync: Sync::default(),
            fuse: None,
            dead: false,
        })
    }

    /// Ends the application's thread and waits until its database is closed.
    pub(super) fn end(self) {
        let Self { app: App { handle, port, ended, stop }, answers, engine, .. } = self;
        drop((handle, port, stop, answers, engine));
        // Where it ended by itself, that was told before.
        let _ = block_on(ended);
    }

    pub(super) fn set_clock(&self, now: Timestamp) {
        self.clock.store(now.ms(), Ordering::Relaxed);
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_ms(self.clock.load(Ordering::Relaxed))
    }

    /// The height of the newest committed block.
    pub(crate) fn tip(&self) -> u64 {
        self.app.handle.tip().height.0
    }

    /// Height, header hash and state root of the newest committed block.
    pub(crate) fn newest(&self) -> Result<(u64, Hash32, Hash32), String> {
        let snapshot = self.app.handle.snapshot().map_err(|error| error.to_string())?;
        Ok((snapshot.tip().height.0, snapshot.tip().hash, snapshot.state_root()))
    }

    /// Whether nothing waits here: no transaction, no height under way. What a liar goes on sending does not count.
    pub(crate) fn is_quiet(&self) -> bool {
        self.answers.is_idle() && self.app.handle.pending().pooled == 0
    }

    pub(super) fn submit(&self, bytes: Bytes) -> Result<Accepted, SubmitError> {
        block_on(self.app.handle.submit(bytes))
    }

    /// The bytes of a block that was judged here.
    pub(super) fn stored(&self, id: BlockHash) -> Option<Bytes> {
        block_on(self.app.port.undecided(id.0)).ok().flatten().map(|block| block.bytes)
    }

    /// Whether the application would begin a height of its own accord.
    fn has_work(&self) -> bool {
        let (pending, tip) = (self.app.handle.pending(), self.app.handle.tip());
        let due = pending.next_due.is_some_and(|due| due <= tip.timestamp || due.saturating_add(crate::federation::DRIFT) <= self.now());
        pending.pooled > 0 || due
    }
}

impl Hands<'_> {
    /// The first question of all, whose answer is the height to begin with.
    pub(super) fn get_ready(&mut self) {
        let (reply, mut answer) = oneshot::channel();
        self.put(AppMsg::ConsensusReady { reply }, Awaited::Nothing);
        if let Ok((height, params)) = answer.try_recv() {
            self.life.mail.push_back(Mail::Begin(height, params));
        }
    }

    /// Everything that follows from what has happened, until nothing is left to do in this moment.
    pub(super) fn run(&mut self) {
        loop {
            while !self.has_ended() {
                match self.life.mail.pop_front() {
                    Some(Mail::Input(input)) => self.process(input),
                    Some(Mail::Begin(height, params)) => self.begin_height(height, params),
                    None if self.hand_over() => {}
                    None => break,
                }
            }
            if self.has_ended() {
                return;
            }
            self.let_answer();
            self.catch_up();
            if !self.life.answers.is_idle() {
                return;
            }
            if !self.life.has_work() {
                if self.life.sync.is_behind(self.life.tip()) {
                    self.wake_soon();
                }
                return;
            }
            self.go_on();
        }
    }

    fn has_ended(&self) -> bool {
        self.life.dead || self.shared.failure.is_some()
    }

    /// The application takes a while for its next answer.
    fn let_answer(&mut self) {
        if self.life.questions.is_empty() || self.life.answering {
            return;
        }
        self.life.answering = true;
        let slowness = self.shared.plan.slowness[self.index];
        let longest = if self.shared.now < self.shared.plan.calm { slowness } else { slowness.min(5_000) };
        let delay = self.shared.rng.between(50, longest);
        self.shared.at(self.shared.now + delay, Event::Answer { node: self.index, life: self.number });
    }

    /// Gives the engine a block that it lacks, if one was fetched.
    fn hand_over(&mut self) -> bool {
        let Some(engine) = &self.life.engine else { return false };
        if engine.driver.step_is_commit() {
            return false;
        }
        let Some((from, value)) = self.life.sync.take(engine.height().0) else { return false };
        let response = ValueResponse::new(self.shared.peer(from), value.value_bytes, value.certificate);
        self.input(Input::SyncValueResponse(response));
        true
    }

    pub(super) fn input(&mut self, input: Input<Context>) {
        self.life.mail.push_back(Mail::Input(input));
    }

    pub(super) fn timer(&mut self, timeout: Timeout, number: u64) {
        if self.life.timers.get(&timeout) == Some(&number) {
            self.life.timers.remove(&timeout);
            self.input(Input::TimeoutElapsed(timeout));
        }
    }

    fn process(&mut self, input: Input<Context>) {
        let Some(mut engine) = self.life.engine.take() else { return };
        let metrics = self.life.metrics.clone();
        let result: Result<(), Error<Context>> = process!(
            input: input,
            state: engine.as_mut(),
            metrics: &metrics,
            with: effect => self.effect(effect)
        );
        self.life.engine = Some(engine);
        if let Err(error) = result
            && !self.life.dead
        {
            self.stopped(error.to_string());
        }
    }

    /// The node has ended by itself, which none may.
    pub(super) fn stopped(&mut self, error: String) {
        self.life.dead = true;
        if self.shared.is_honest(self.index) {
            self.shared.fail(Failure::Stopped { node: self.index, error });
        }
    }

    fn begin_height(&mut self, height: Height, params: HeightParams<Context>) {
        let HeightParams { validator_set, timeouts, target_time, vote_extension_policy } = params;
        let address = Address(self.address);
        self.life.votes = validator_set.contains(&address);
        if self.life.engine.is_none() {
            let params =
                Params { address, threshold_params: Default::default(), value_payload: ValuePayload::ProposalAndParts, enabled: true };
            let engine = State::new(Context, height, validator_set.clone(), params, QUEUE_HEIGHTS, QUEUE_PER_HEIGHT);
            self.life.engine = Some(Box::new(engine));
        }
        let entries = if self.life.votes {
            match self.log.begin(height.0) {
                Ok(entries) => entries,
                Err(error) => return self.stopped(format!("an entry of the log does not decode: {error}")),
            }
        } else {
            self.log.reset(height.0);
            Vec::new()
        };
        self.life.timeouts = timeouts;
        self.process(Input::StartHeight(height, validator_set, false, target_time, vote_extension_policy));
        if entries.is_empty() {
            return;
        }
        self.shared.stats.count("entries of the log replayed", entries.len() as u64);
        if let Some(engine) = &mut self.life.engine {
            engine.record_recovered_own_precommit_extensions(entries.iter());
            engine.index_wal_entries(entries.iter());
        }
        self.life.replaying = true;
        for entry in entries {
            self.process(entry);
        }
        self.life.replaying = false;
        if let Some(engine) = &mut self.life.engine {
            engine.reset_entries_index();
        }
    }

    /// Lets an idle engine begin the next height.
    pub(super) fn go_on(&mut self) {
        self.life.waking = false;
        self.life.answers.go_on();
        self.collect();
    }

    fn wake_soon(&mut self) {
        if !self.life.waking {
            self.life.waking = true;
            self.shared.at(self.shared.now + WAKE_DELAY, Event::Wake { node: self.index, life: self.number });
        }
    }

    /// Whether a vote or a proposal is let in, as the network's codec does it.
    pub(super) fn admits(&mut self, message: &SignedConsensusMsg<Context>) -> bool {
        let admits = self.life.answers.admits(message);
        if !admits {
            self.shared.count("votes and proposals not let in");
        }
        admits || self.trusts(Sabotage::TrustVotes)
    }

    /// A vote or a proposal of a height that this node has not begun, from a validator: the others have something to decide.
    pub(super) fn hear(&mut self, message: &SignedConsensusMsg<Context>) {
        if self.life.answers.is_idle() && message.height().0 > self.life.tip() && self.is_signed(message) {
            self.wake_soon();
        }
    }

    /// A vote that was said before, which the engine tells of like one that is new: where the first was lost, this is what wakes an idle node.
    pub(super) fn hear_again(&mut self, message: &SignedConsensusMsg<Context>) {
        let SignedConsensusMsg::Vote(vote) = message else { return };
        let now = self.shared.now;
        let last = self.life.woken_by.get(&vote.message.voter).copied();
        if last.is_none_or(|last| now >= last + WAKES_BY_ONE_APART) && !self.life.waking {
            self.hear(message);
            if self.life.waking {
                self.life.woken_by.insert(vote.message.voter, now);
            }
        }
    }

    /// Puts a question into the queue of the application.
    pub(super) fn ask(&mut self, question: Question, awaited: Awaited) {
        self.life.questions.push_back((question, awaited));
    }

    pub(super) fn ask_part(&mut self, from: PeerId, part: StreamMessage<Part>) {
        let (reply, answer) = oneshot::channel();
        self.ask(AppMsg::ReceivedProposalPart { from, published_by: Some(from), part, reply }, Awaited::Part(answer));
    }

    pub(super) fn ask_blocks(&mut self, to: usize, number: u64, range: &RangeInclusive<Height>) {
        let (reply, answer) = oneshot::channel();
        let awaited = Awaited::Blocks { reply: answer, to, number, from: *range.start() };
        self.ask(AppMsg::GetDecidedValues { range: range.clone(), reply }, awaited);
    }

    pub(super) fn answer_next(&mut self) {
        self.life.answering = false;
        if let Some((question, awaited)) = self.life.questions.pop_front() {
            self.put(question, awaited);
        }
    }

    /// Has a question answered now.
    pub(super) fn put(&mut self, question: Question, awaited: Awaited) {
        if self.burn() {
            return;
        }
        if let Err(error) = block_on(self.life.answers.answer(question)) {
            return self.stopped(error.to_string());
        }
        if self.burn() {
            return;
        }
        while let Ok(NetworkMsg::PublishProposalPart(part)) = self.life.outgoing.try_recv() {
            self.shared.publish(self.index, Message::Part(part));
        }
        self.life.awaited.push(awaited);
        self.collect();
    }

    /// Takes in the answers that have come.
    fn collect(&mut self) {
        for awaited in std::mem::take(&mut self.life.awaited) {
            if let Some(still) = self.take_in(awaited) {
                self.life.awaited.push(still);
            }
        }
    }

    /// Takes in one answer; gives it back where it has not come.
    fn take_in(&mut self, awaited: Awaited) -> Option<Awaited> {
        match awaited {
            Awaited::Value(mut reply) => match reply.try_recv() {
                Ok(value) => self.input(Input::Propose(value)),
                Err(TryRecvError::Empty) => return Some(Awaited::Value(reply)),
                Err(TryRecvError::Closed) => {}
            },
            Awaited::Part(mut reply) => match reply.try_recv() {
                Ok(Some(value)) => {
                    let value = self.judged(value);
                    self.input(Input::ProposedValue(value, ValueOrigin::Consensus));
                }
                Err(TryRecvError::Empty) => return Some(Awaited::Part(reply)),
                Ok(None) | Err(TryRecvError::Closed) => {}
            },
            Awaited::Decided(mut reply) => match reply.try_recv() {
                Ok(()) => self.committed(),
                Err(TryRecvError::Empty) => return Some(Awaited::Decided(reply)),
                Err(TryRecvError::Closed) => {}
            },
            Awaited::Next(mut reply) => match reply.try_recv() {
                Ok(Next::Start(height, params)) => self.life.mail.push_back(Mail::Begin(height, params)),
                Ok(Next::Restart(height, _)) => self.stopped(format!("height {height} is to be restarted")),
                Err(TryRecvError::Empty) => return Some(Awaited::Next(reply)),
                Err(TryRecvError::Closed) => {}
            },
            Awaited::Synced { mut reply, height, round, id } => match reply.try_recv() {
                Ok(SyncedValueOutcome::Verdict(value)) if value.value == id => {
                    self.shared.count("blocks fetched from others");
                    self.input(Input::ProposedValue(ProposedValue { round, ..value }, ValueOrigin::Sync));
                }
                Err(TryRecvError::Empty) => return Some(Awaited::Synced { reply, height, round, id }),
                Ok(_) | Err(TryRecvError::Closed) => self.life.sync.refused(height.0),
            },
            Awaited::Blocks { mut reply, to, number, from } => match reply.try_recv() {
                Ok(values) => {
                    let response = Response::ValueResponse(Blocks::new(from, values));
                    self.shared.send(self.index, to, Message::Response(number, response));
                }
                Err(TryRecvError::Empty) => return Some(Awaited::Blocks { reply, to, number, from }),
                Err(TryRecvError::Closed) => {}
            },
            Awaited::Nothing => {}
        }
        None
    }

    /// What is made of the application's verdict: something else only where the simulator is broken on purpose.
    fn judged(&mut self, value: ProposedValue<Context>) -> ProposedValue<Context> {
        let lie = self.shared.oracle.lies.get(&value.value.0).copied();
        if lie.is_some() && value.validity.is_invalid() {
            self.shared.count("lies seen through");
        }
        let wrong = match self.shared.plan.sabotage {
            Some(Sabotage::VoteForAnything) => lie.is_some(),
            Some(Sabotage::VerifyById) => lie == Some(Lie::KnownBody),
            Some(Sabotage::LoseLog | Sabotage::NeverSync | Sabotage::TrustVotes | Sabotage::TrustCertificates) | None => false,
        };
        if wrong { ProposedValue { validity: Validity::Valid, ..value } } else { value }
    }

    /// A block is durable here.
    fn committed(&mut self) {
        let index = self.index;
        match self.life.newest() {
            Ok((height, hash, root)) => {
                self.shared.trace("commit", &[index as u64, height], &hash.0);
                let other_root = height == self.shared.oracle.height() && root != self.shared.oracle.tree.root();
                if self.shared.oracle.hash_at(height) != Some(hash) || other_root {
                    self.shared.fail(Failure::OtherState { node: index, height });
                }
            }
            Err(error) => self.stopped(error),
        }
        self.announce();
    }
}
