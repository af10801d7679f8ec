//! The writer's loop: answers consensus and submitters one after the other, and wakes consensus when there is something to decide.
//!
//! What it does with proposals and commits is in `judge`, with submissions in `submission`. A fault ends the loop and with it the process: a node that
//! cannot trust its disk or its code must not vote.

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;
use chain::{
    hash::Hash32,
    id::{Address, Height, TxId},
    params::Params,
    record::Key,
    state::MemoryState,
    time::{Duration, Timestamp},
    tree::Tree,
};
use contracts::{execute::Parent, failure::Fault, ledger::Ledger, sessions};
use tokio::{
    sync::{broadcast, mpsc, oneshot, watch},
    time::Instant,
};
use tracing::{error, info};

use super::{
    AppConfig,
    gossip::Outbox,
    handle::{Committed, Included, Pending, Question, SubmitError},
    judge::Candidate,
    port::{Answer, AppError, Request, Requests, Tip},
};
use crate::{
    clock::{Clock, Sleep, Work},
    mempool::Mempool,
    store::{Opened, Store, StoreError},
};

/// How far a first proposal's time may be ahead of this machine's clock.
pub(super) const AHEAD: Duration = Duration::from_secs(2);

/// How far it may be behind.
pub const BEHIND: Duration = Duration::from_secs(10);

/// A jump of the clock past the newest block that somebody must confirm.
pub const LARGEST_JUMP: Duration = Duration::from_hours(1);

/// Why the loop ended; the process must end too.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(super) enum WriterFault {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Execution.
    #[error(transparent)]
    Ledger(#[from] Fault),
    /// A promise between this thread and consensus is broken.
    #[error("{0}")]
    Broken(String),
}

/// The single writer.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) config: AppConfig,
    pub(super) store: Store,
    pub(super) state: MemoryState,
    pub(super) tree: Tree,
    pub(super) parent: Parent,
    pub(super) params: Params,
    pub(super) next_due: Option<Timestamp>,
    pub(super) pool: Mempool,
    /// Submitters that wait for a receipt.
    pub(super) waiting: HashMap<TxId, Vec<oneshot::Sender<Result<Included, SubmitError>>>>,
    /// Proposals for the next height, by header hash.
    pub(super) candidates: HashMap<Hash32, Candidate>,
    /// The proposers of blocks in a row that were decided although their time was refused here.
    pub(super) off_clock: Vec<Address>,
    /// What goes to other nodes.
    pub(super) outbox: Outbox,
    pub(super) events: broadcast::Sender<Arc<Committed>>,
    pending: watch::Sender<Pending>,
    /// Consensus, when it has nothing to decide.
    waiter: Option<Answer<()>>,
    pub(super) last_commit: Instant,
    /// This machine's clock when it was last looked at, beside a clock that cannot be set.
    seen: (Timestamp, Instant),
}

impl Writer {
    pub(super) fn new(
        config: AppConfig,
        opened: Opened,
        events: broadcast::Sender<Arc<Committed>>,
        pending: watch::Sender<Pending>,
    ) -> Result<Self, WriterFault> {
        let Opened { store, state, tree, parent, undecided, rebuilt: _ } = opened;
        let params = params_of(&state)?;
        let next_due = sessions::next_due(&state)?;
        let seen = (config.clock.now(), Instant::now());
        let pool = Mempool::new(config.limits);
        let candidates = undecided.into_iter().map(|undecided| (undecided.hash, Candidate::stored(undecided))).collect();
        let writer = Self {
            config,
            store,
            state,
            tree,
            parent,
            params,
            next_due,
            pool,
            waiting: HashMap::new(),
            candidates,
            off_clock: Vec::new(),
            outbox: Outbox::new(),
            events,
            pending,
            waiter: None,
            last_commit: Instant::now(),
            seen,
        };
        writer.show_pending();
        Ok(writer)
    }

    pub(super) async fn run(
        mut self,
        mut requests: Requests,
        mut questions: mpsc::Receiver<Question>,
        mut stop: oneshot::Receiver<()>,
    ) -> Result<(), WriterFault> {
        let result = self.answer_all(&mut requests, &mut questions, &mut stop).await;
        if let Err(fault) = &result {
            error!(%fault, "this node stops: it cannot go on safely");
        }
        result
    }

    async fn answer_all(
        &mut self,
        requests: &mut Requests,
        questions: &mut mpsc::Receiver<Question>,
        stop: &mut oneshot::Receiver<()>,
    ) -> Result<(), WriterFault> {
        let clock = self.clock().clone();
        // At work from waking until the next timer is armed, so that a stepped clock sees no gap.
        let mut work = Some(clock.work());
        let mut held_back = false;
        loop {
            let (mut due, resend) = (self.due_timer(), self.resend_at());
            // While a height is under way, nothing can be woken: a heartbeat in the past would be ready at every turn.
            let heartbeat = self.waiter.as_ref().and(self.heartbeat());
            drop(work.take());
            // Consensus first: what waits for it can share its block only once the one before is through.
            let wake = tokio::select! {
                biased;
                _ = &mut *stop => Wake::Stop,
                request = requests.questions.recv() => request.map_or(Wake::Stop, |request| Wake::Request(Box::new(request))),
                question = questions.recv() => question.map_or(Wake::Stop, Wake::Question),
                Some(transactions) = requests.offers.recv() => Wake::Offer(transactions),
                woken = sleep(&mut due) => Wake::Timer(woken),
                () = clock.released(), if held_back => Wake::Released,
                () = tokio::time::sleep_until(heartbeat.unwrap_or_else(far_away)), if heartbeat.is_some() => Wake::Heartbeat,
                () = tokio::time::sleep_until(resend.unwrap_or_else(far_away)), if resend.is_some() => Wake::Resend,
            };
            work = Some(clock.work());
            drop(due);
            match wake {
                Wake::Stop => return Ok(()),
                Wake::Request(request) => self.request(*request)?,
                Wake::Question(question) => self.question(question)?,
                Wake::Offer(transactions) => self.offered(transactions)?,
                Wake::Timer(woken) => drop(woken),
                Wake::Resend => self.resend(),
                Wake::Heartbeat | Wake::Released => {}
            }
            self.send_transactions();
            held_back = self.wake_consensus();
            self.show_pending();
        }
    }

    pub(super) const fn clock(&self) -> &Clock {
        &self.config.clock
    }

    pub(super) fn tip(&self) -> Tip {
        Tip { height: self.parent.height, hash: self.parent.hash, timestamp: self.parent.timestamp }
    }

    fn request(&mut self, request: Request) -> Result<(), WriterFault> {
        match request {
            Request::Tip { answer } => give(answer, Ok(self.tip())),
            Request::Validators { height, answer } => give(answer, self.validators(height)),
            Request::Propose { height, round, answer } => give(answer, self.propose(height, round)),
            Request::StoredProposals { height, round, answer } => give(answer, Ok(self.stored_proposals(height, round))),
            Request::Validate { proposal, origin, answer } => give(answer, self.validate(&proposal, origin)),
            Request::Undecided { hash, answer } => give(answer, self.undecided(&hash)),
            Request::Commit { certificate, answer } => give(answer, self.commit(&certificate)),
            Request::Decided { from, to, answer } => give(answer, self.decided(from, to)),
            Request::Outgoing { answer } => {
                self.outgoing(answer);
                Ok(())
            }
            // The height that it waited to begin has begun.
            Request::Begun => {
                self.waiter = None;
                Ok(())
            }
            Request::WaitForWork { answer } => {
                self.waiter = Some(answer);
                Ok(())
            }
        }
    }

    /// Whether the next height should start.
    fn has_work(&self) -> bool {
        let now = self.clock().now();
        let due = self.next_due.is_some_and(|due| due <= self.parent.timestamp || due.saturating_add(self.params.drift) <= now);
        let silent = self.heartbeat().is_some_and(|at| at <= Instant::now());
        !self.pool.is_empty() || due || silent
    }

    /// Lets consensus begin the next height if there is work for it; gives whether blocks are held back, so that their release must be awaited. The clock is
    /// asked once: a release between two looks would be missed for ever.
    fn wake_consensus(&mut self) -> bool {
        // A dropped question means that nobody waits any more.
        self.waiter = self.waiter.take().filter(|waiter| !waiter.is_closed());
        let holding = self.clock().is_holding();
        if !holding
            && self.has_work()
            && let Some(waiter) = self.waiter.take()
        {
            // The other side may have given up in this very moment; it will ask again.
            let _ = waiter.send(Ok(()));
        }
        holding
    }

    /// Sleeps until deadlines have been due for the drift: readings from before them are in by then. Only while consensus waits.
    fn due_timer(&self) -> Option<Sleep> {
        self.waiter.as_ref()?;
        self.next_due.map(|due| self.clock().sleep_until(due.saturating_add(self.params.drift)))
    }

    fn heartbeat(&self) -> Option<Instant> {
        if self.params.heartbeat.is_zero() || self.clock().is_stepped() {
            return None;
        }
        self.last_commit.checked_add(std::time::Duration::from_millis(self.params.heartbeat.ms()))
    }

    pub(super) fn show_pending(&self) {
        let pending = Pending {
            pooled: self.pool.len(),
            pooled_bytes: self.pool.bytes(),
            in_consensus: self.waiter.is_none(),
            next_due: self.next_due,
        };
        if self.pending.send_replace(pending) != pending {
            self.clock().touch();
        }
    }

    /// The present by this machine's clock.
    ///
    /// # Errors
    /// Where the clock jumped further than time can have passed, or back behind the newest block: somebody must look at it and start the node again. A little
    /// behind is allowed: blocks then follow each other by a millisecond until the clock has caught up.
    pub(super) fn present(&mut self) -> Result<Timestamp, WriterFault> {
        let now = self.clock().now();
        if self.clock().is_stepped() {
            return Ok(now);
        }
        let (before, then) = self.seen;
        let passed = Duration::from_ms(u64::try_from(then.elapsed().as_millis()).unwrap_or(u64::MAX));
        let latest = before.saturating_add(passed).saturating_add(LARGEST_JUMP);
        if now > latest {
            return Err(WriterFault::Broken(format!(
                "the clock jumped from {before} to {now} while {} s passed: set it right; or, if it is right now, start again with --confirm-clock",
                passed.ms() / 1_000
            )));
        }
        let newest = self.parent.timestamp;
        if self.parent.height > Height(0) && now < newest.saturating_sub(BEHIND) {
            return Err(WriterFault::Broken(behind(now, newest)));
        }
        self.seen = (now, Instant::now());
        Ok(now)
    }

    /// Takes over what a committed block changed.
    pub(super) fn advance(&mut self, executed: contracts::execute::Executed) -> Result<(), WriterFault> {
        self.state.apply(&executed.changes);
        self.tree = executed.tree;
        self.parent = executed.next;
        self.params = params_of(&self.state)?;
        self.next_due = sessions::next_due(&self.state)?;
        self.candidates.clear();
        self.outbox.after_block();
        self.last_commit = Instant::now();
        info!(height = %self.parent.height, receipts = executed.receipts.len(), pooled = self.pool.len(), "block committed");
        Ok(())
    }
}

enum Wake {
    Stop,
    Request(Box<Request>),
    Question(Question),
    Offer(Vec<Bytes>),
    Timer(Work),
    Heartbeat,
    Resend,
    Released,
}

async fn sleep(due: &mut Option<Sleep>) -> Work {
    match due {
        Some(due) => due.await,
        None => std::future::pending().await,
    }
}

/// What to do about a clock that is before the newest block.
pub fn behind(now: Timestamp, newest: Timestamp) -> String {
    format!(
        "this machine's clock shows {now}, before the newest block of {newest}: set it right and start again. If it is right now, it was ahead when that block was \
         made, and blocks' times only go forward: wait until that time has passed, then start again"
    )
}

/// A point in time that is never reached.
fn far_away() -> Instant {
    let now = Instant::now();
    now.checked_add(std::time::Duration::from_secs(86_400)).unwrap_or(now)
}

/// Gives an answer to consensus; a fault goes to both.
fn give<T>(answer: Answer<T>, result: Result<T, WriterFault>) -> Result<(), WriterFault> {
    match result {
        Ok(value) => {
            // A question that was withdrawn needs no answer.
            let _ = answer.send(Ok(value));
            Ok(())
        }
        Err(fault) => {
            let _ = answer.send(Err(AppError::Fault(fault.to_string())));
            Err(fault)
        }
    }
}

fn params_of(state: &MemoryState) -> Result<Params, Fault> {
    Ledger::new(state).get(&Key::Params)?.ok_or_else(|| Fault("the state has no parameters".to_owned()))
}
