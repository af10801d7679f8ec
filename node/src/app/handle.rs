//! What the rest of the node may do with the chain: submit transactions, read, and follow commits. Nothing else.
//!
//! Decoding and signatures are done here, on the caller's thread; rules that need the state are the application thread's. API, gateway, scheduler and export
//! hold an [`AppHandle`]; nobody but `lib.rs` makes one.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use chain::{
    api::Rehearsed,
    block::Block,
    code::{Code, Rejection},
    hash::Hash32,
    id::{Address, ChainId, Height, TxId},
    receipt::Receipt,
    time::Timestamp,
    transaction::{MAX_TRANSACTION_BYTES, TransactionError},
};
use contracts::{
    call::Transaction,
    execute::{Rehearsal, VerifiedTransaction},
};
use tokio::sync::{broadcast, mpsc, oneshot, watch};

use crate::{
    clock::Clock,
    store::{Location, Reader, Snapshot, StoreError, StoredTip},
};

/// Submissions that may wait for the application's thread; a full channel makes submitters wait.
pub const QUESTION_CAPACITY: usize = 1_024;

/// Commits that a subscriber may be behind before it reads the rest from the database.
pub const EVENT_CAPACITY: usize = 256;

/// The door to the chain; cheap to clone.
#[derive(Clone, Debug)]
pub struct AppHandle {
    chain_id: ChainId,
    questions: mpsc::Sender<Question>,
    reader: Reader,
    events: broadcast::Sender<Arc<Committed>>,
    pending: watch::Receiver<Pending>,
    actors: Arc<Actors>,
}

/// What the application's thread is asked besides consensus' questions.
#[derive(Debug)]
pub(super) enum Question {
    /// A transaction with a good signature for this chain.
    Submit {
        transaction: Box<VerifiedTransaction>,
        answer: oneshot::Sender<Result<Accepted, SubmitError>>,
        /// Where its receipt goes, if anybody waits for it.
        included: Option<oneshot::Sender<Result<Included, SubmitError>>>,
    },
    /// What a transaction would do in the next block.
    Rehearse { rehearsal: Box<Rehearsal>, answer: oneshot::Sender<Result<Rehearsed, SubmitError>> },
    /// The nonce that a signer's next transaction must have, the pool included.
    NextNonce { signer: Address, answer: oneshot::Sender<Result<Option<u64>, SubmitError>> },
    /// A transaction in the pool.
    Pooled { id: TxId, answer: oneshot::Sender<Option<Bytes>> },
}

/// A transaction that the node has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Accepted {
    /// Its id.
    pub id: TxId,
    /// Where it is.
    pub standing: Standing,
}

/// Where a transaction is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// Taken into the pool now.
    Pooled,
    /// In the pool since an earlier submission.
    AlreadyPooled,
    /// In a block since an earlier submission.
    Committed(Location),
}

/// A committed transaction.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Included {
    /// Its id.
    pub id: TxId,
    /// Its place.
    pub location: Location,
    /// What it did.
    pub receipt: Receipt,
}

/// Why a transaction was not taken, or is not known to be committed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SubmitError {
    /// The chain would refuse it; the same code on every node.
    #[error("{0}")]
    Rejected(Rejection),
    /// The pool has no room: try again after the next block.
    #[error("the pool is full: try again after the next block")]
    PoolFull,
    /// Not committed in time; it is still in the pool and may be committed later.
    #[error("transaction {0} is not committed yet: it is still in the pool")]
    StillPending(TxId),
    /// This machine's own trouble.
    #[error("this node cannot answer: {0}")]
    Fault(String),
    /// The node is stopping.
    #[error("the node is stopping")]
    Closed,
}

impl From<Rejection> for SubmitError {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected(rejection)
    }
}

impl From<Code> for SubmitError {
    fn from(code: Code) -> Self {
        Self::Rejected(Rejection::new(code))
    }
}

impl From<StoreError> for SubmitError {
    fn from(error: StoreError) -> Self {
        Self::Fault(error.to_string())
    }
}

/// A block that was made durable.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Committed {
    /// Its header's hash.
    pub hash: Hash32,
    /// Header and transactions.
    pub block: Block,
    /// One for each transaction, then one for each deadline.
    pub receipts: Vec<Receipt>,
}

impl Committed {
    /// Its height.
    #[must_use]
    pub const fn height(&self) -> Height {
        self.block.header.height
    }

    /// Its receipts with their places.
    pub fn located(&self) -> impl Iterator<Item = (Location, &Receipt)> {
        let height = self.height();
        (0_u32..).zip(&self.receipts).map(move |(index, receipt)| (Location { height, index }, receipt))
    }
}

/// What waits to be done.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Pending {
    /// Transactions in the pool.
    pub pooled: usize,
    /// Their bytes.
    pub pooled_bytes: usize,
    /// Whether consensus is deciding a height.
    pub in_consensus: bool,
    /// The earliest deadline in the state.
    pub next_due: Option<Timestamp>,
}

/// What a subscriber is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Interest {
    /// It acts on commits; a stepped clock waits for it. It asks for the next one only when it has done everything for the one before.
    Acts,
    /// It only shows them; nobody waits for it.
    Watches,
}

impl AppHandle {
    pub(super) const fn new(
        chain_id: ChainId,
        questions: mpsc::Sender<Question>,
        reader: Reader,
        events: broadcast::Sender<Arc<Committed>>,
        pending: watch::Receiver<Pending>,
        actors: Arc<Actors>,
    ) -> Self {
        Self { chain_id, questions, reader, events, pending, actors }
    }

    /// The chain.
    #[must_use]
    pub const fn chain_id(&self) -> ChainId {
        self.chain_id
    }

    /// Offers a signed transaction (its bytes, at most [`MAX_TRANSACTION_BYTES`]) for the next block. Offering it again gives the same answer.
    ///
    /// # Errors
    /// [`SubmitError::Rejected`] with the code that the chain would give; others for this node's own limits and troubles.
    pub async fn submit(&self, bytes: Bytes) -> Result<Accepted, SubmitError> {
        let transaction = self.verified(&bytes)?;
        self.offer(transaction, None).await
    }

    /// Offers a transaction and waits for its receipt, at most `timeout` (real time).
    ///
    /// # Errors
    /// As [`AppHandle::submit`], and [`SubmitError::StillPending`] after `timeout`. A receipt that says "rejected" is an answer, not an error.
    pub async fn submit_and_wait(&self, bytes: Bytes, timeout: std::time::Duration) -> Result<Included, SubmitError> {
        let transaction = self.verified(&bytes)?;
        let id = transaction.get().id();
        let (sender, included) = oneshot::channel();
        let accepted = self.offer(transaction, Some(sender)).await?;
        if let Standing::Committed(location) = accepted.standing {
            return self.included(id, location);
        }
        match tokio::time::timeout(timeout, included).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(SubmitError::Closed),
            Err(_) => Err(SubmitError::StillPending(id)),
        }
    }

    /// What a transaction would do in the next block, after those of its signer that wait for one; nothing is pooled. Its signature says that it is meant so
    /// ([`Rehearsal`]).
    ///
    /// # Errors
    /// As [`AppHandle::submit`].
    pub async fn rehearse(&self, bytes: &[u8]) -> Result<Rehearsed, SubmitError> {
        let rehearsal = Rehearsal::verify(self.decoded(bytes)?).map_err(|_| SubmitError::from(Code::BadSignature))?;
        let (answer, reply) = oneshot::channel();
        self.questions.send(Question::Rehearse { rehearsal: Box::new(rehearsal), answer }).await.map_err(|_| SubmitError::Closed)?;
        reply.await.map_err(|_| SubmitError::Closed)?
    }

    /// The nonce that the signer's next transaction must have, those in the pool counted; nothing for an unknown signer.
    ///
    /// # Errors
    /// [`SubmitError::Fault`] or [`SubmitError::Closed`].
    pub async fn next_nonce(&self, signer: Address) -> Result<Option<u64>, SubmitError> {
        let (answer, reply) = oneshot::channel();
        self.questions.send(Question::NextNonce { signer, answer }).await.map_err(|_| SubmitError::Closed)?;
        reply.await.map_err(|_| SubmitError::Closed)?
    }

    /// The bytes of a transaction that waits in the pool.
    ///
    /// # Errors
    /// [`SubmitError::Closed`].
    pub async fn pooled(&self, id: TxId) -> Result<Option<Bytes>, SubmitError> {
        let (answer, reply) = oneshot::channel();
        self.questions.send(Question::Pooled { id, answer }).await.map_err(|_| SubmitError::Closed)?;
        reply.await.map_err(|_| SubmitError::Closed)
    }

    /// A consistent view of the newest committed block. It holds old values back from compaction: do not keep it across an await.
    ///
    /// # Errors
    /// [`StoreError`] where the database fails.
    pub fn snapshot(&self) -> Result<Snapshot<'_>, StoreError> {
        self.reader.snapshot()
    }

    /// The newest committed block; genesis is height 0.
    #[must_use]
    pub fn tip(&self) -> StoredTip {
        self.reader.present().tip
    }

    /// Where the export reads the chain from, in as many views as it needs.
    #[must_use]
    pub fn reader(&self) -> Reader {
        self.reader.clone()
    }

    /// Every commit from height `from` on, in order and without a gap; from the next one on where none is given.
    #[must_use]
    pub fn subscribe(&self, from: Option<Height>, interest: Interest) -> Subscription {
        let receiver = self.events.subscribe();
        let tip = self.reader.present().tip.height;
        let next = from.unwrap_or_else(|| tip.next()).max(Height(1));
        let actor = match interest {
            Interest::Acts => Some(Actor::new(&self.actors, next)),
            Interest::Watches => None,
        };
        Subscription { reader: self.reader.clone(), receiver, next, stored_to: tip, actor }
    }

    /// What waits to be done here.
    #[must_use]
    pub fn pending(&self) -> Pending {
        *self.pending.borrow()
    }

    /// Whether nothing is pooled or in consensus and everyone who acts on commits has acted on the newest; the clock knows of the rest.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        let pending = self.pending();
        pending.pooled == 0 && !pending.in_consensus && self.actors.are_past(self.reader.present().tip.height)
    }

    /// What is pooled or in consensus, the newest block, and for which block each of those who act on commits waits: for whoever has waited long for quietness.
    #[must_use]
    pub fn left(&self) -> (Pending, Height, Vec<Height>) {
        (self.pending(), self.reader.present().tip.height, self.actors.lock().values().copied().collect())
    }

    fn verified(&self, bytes: &[u8]) -> Result<VerifiedTransaction, SubmitError> {
        VerifiedTransaction::verify(self.decoded(bytes)?).map_err(|_| Code::BadSignature.into())
    }

    fn decoded(&self, bytes: &[u8]) -> Result<Transaction, SubmitError> {
        let transaction = Transaction::decode(bytes).map_err(|error| match error {
            TransactionError::Length(found) if found > MAX_TRANSACTION_BYTES => {
                SubmitError::Rejected(Rejection::of(Code::TooLarge, MAX_TRANSACTION_BYTES as u64, found as u64))
            }
            TransactionError::Length(_) | TransactionError::Body(_) => Code::Malformed.into(),
        })?;
        // Before the signature: it costs nothing.
        if transaction.body().chain_id != self.chain_id {
            return Err(Code::WrongChain.into());
        }
        Ok(transaction)
    }

    async fn offer(
        &self,
        transaction: VerifiedTransaction,
        included: Option<oneshot::Sender<Result<Included, SubmitError>>>,
    ) -> Result<Accepted, SubmitError> {
        let (answer, reply) = oneshot::channel();
        let question = Question::Submit { transaction: Box::new(transaction), answer, included };
        self.questions.send(question).await.map_err(|_| SubmitError::Closed)?;
        reply.await.map_err(|_| SubmitError::Closed)?
    }

    fn included(&self, id: TxId, location: Location) -> Result<Included, SubmitError> {
        let found = self.snapshot()?.receipt(location)?;
        let (receipt, _) = found.ok_or_else(|| SubmitError::Fault(format!("the receipt of transaction {id} is missing")))?;
        Ok(Included { id, location, receipt })
    }
}

/// Commits in order, without a gap.
#[derive(Debug)]
pub struct Subscription {
    reader: Reader,
    receiver: broadcast::Receiver<Arc<Committed>>,
    next: Height,
    /// Heights up to this one are read from the database.
    stored_to: Height,
    actor: Option<Actor>,
}

/// Why no commit comes any more.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SubscriptionError {
    /// The node is stopping.
    #[error("the node is stopping")]
    Closed,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Subscription {
    /// The next commit. Cancel-safe. A subscriber that fell behind reads what it missed from the database.
    ///
    /// # Errors
    /// [`SubscriptionError`].
    pub async fn next(&mut self) -> Result<Arc<Committed>, SubscriptionError> {
        if let Some(actor) = &self.actor {
            actor.waits_for(self.next);
        }
        loop {
            if self.next <= self.stored_to {
                let committed = read_committed(&self.reader, self.next)?;
                self.next = self.next.next();
                return Ok(Arc::new(committed));
            }
            match self.receiver.recv().await {
                Ok(committed) if committed.height() < self.next => {}
                Ok(committed) if committed.height() == self.next => {
                    self.next = self.next.next();
                    return Ok(committed);
                }
                Ok(committed) => self.stored_to = committed.height(),
                Err(broadcast::error::RecvError::Lagged(_)) => self.stored_to = self.reader.present().tip.height,
                Err(broadcast::error::RecvError::Closed) => return Err(SubscriptionError::Closed),
            }
        }
    }
}

fn read_committed(reader: &Reader, height: Height) -> Result<Committed, StoreError> {
    let snapshot = reader.snapshot()?;
    let missing = |what: &str| StoreError::Missing { what: format!("{what} of height {height}") };
    let block = snapshot.block(height)?.ok_or_else(|| missing("the block"))?;
    let receipts = snapshot.receipts(height)?.ok_or_else(|| missing("receipts"))?;
    Ok(Committed { hash: block.header.hash(), block, receipts })
}

/// The subscribers that act, each with the height that it waits for.
#[derive(Debug)]
pub(super) struct Actors {
    waits_for: Mutex<BTreeMap<u64, Height>>,
    clock: Clock,
}

impl Actors {
    pub(super) const fn new(clock: Clock) -> Self {
        Self { waits_for: Mutex::new(BTreeMap::new()), clock }
    }

    fn are_past(&self, tip: Height) -> bool {
        self.lock().values().all(|height| *height > tip)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Height>> {
        self.waits_for.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
struct Actor {
    actors: Arc<Actors>,
    number: u64,
}

impl Actor {
    fn new(actors: &Arc<Actors>, next: Height) -> Self {
        let mut all = actors.lock();
        let number = all.last_key_value().map_or(0, |(last, _)| last.wrapping_add(1));
        all.insert(number, next);
        drop(all);
        Self { actors: Arc::clone(actors), number }
    }

    fn waits_for(&self, height: Height) {
        self.actors.lock().insert(self.number, height);
        self.actors.clock.touch();
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        self.actors.lock().remove(&self.number);
        self.actors.clock.touch();
    }
}
