//! The door through which consensus reaches the application's own thread: typed questions over one bounded channel, each with its answer.
//!
//! Execution never runs on the consensus loop: whoever holds the [`Requests`] end answers in its own time, in order. Nothing here decides anything, keeps
//! state or names the consensus engine. Called by `consensus` (asks) and by the application's thread (answers).

use bytes::Bytes;
use chain::{
    certificate::{CommitCertificate, ValidatorSet},
    crypto::Signature,
    hash::Hash32,
    id::{Address, Height},
    time::Timestamp,
};
use tokio::sync::{
    mpsc::{self, error::TrySendError},
    oneshot,
};

/// Questions that may wait for the application's thread; a full channel makes consensus wait, which is right: it has nothing else to do meanwhile.
pub const PORT_CAPACITY: usize = 64;

/// Messages with transactions of other nodes that may wait.
pub const OFFER_CAPACITY: usize = 16;

/// The last committed block; genesis is height 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tip {
    /// Its height.
    pub height: Height,
    /// Its header's hash; of genesis, the chain id's bytes.
    pub hash: Hash32,
    /// Its timestamp.
    pub timestamp: Timestamp,
}

/// How a block reached us, which decides whether its timestamp is held against the wall clock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Origin {
    /// Proposed in the round that is under way: the clock is checked.
    Proposed,
    /// Of an earlier round, or of a height that others have decided: it may be old, but not of the future.
    Late,
    /// Certified by more than two thirds already: the clock is not checked.
    Synced,
}

/// A proposal whose bytes the application has stored durably.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StoredProposal {
    /// The height that it is for.
    pub height: Height,
    /// The round that it was proposed in.
    pub round: u32,
    /// Who proposed it.
    pub proposer: Address,
    /// Its header's hash.
    pub hash: Hash32,
    /// Whether its execution gave the roots that it names, and every rule holds.
    pub valid: bool,
}

/// A block as somebody proposed it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BlockProposal {
    /// The height that it is for.
    pub height: Height,
    /// The round that it was proposed in.
    pub round: u32,
    /// Whose turn that round was.
    pub proposer: Address,
    /// The encoded block, unchecked.
    pub bytes: Bytes,
    /// The proposer's, with which the block can be sent on; none of a block of our own, which can be signed again, and of one that came by synchronisation.
    pub signature: Option<Signature>,
}

/// A block of our own to propose.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Proposed {
    /// Its header's hash.
    pub hash: Hash32,
    /// The encoded block.
    pub bytes: Bytes,
}

/// Why the application gave no answer.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AppError {
    /// This machine's disk or a bug: the process must exit, never vote, never restart the height.
    #[error("{0}")]
    Fault(String),
    /// The application's thread has ended.
    #[error("the application's thread has ended")]
    Closed,
}

/// The answer to a question.
pub type Answer<T> = oneshot::Sender<Result<T, AppError>>;

/// A question of consensus to the application; see the method of the same name on [`ConsensusPort`].
#[derive(Debug)]
pub enum Request {
    /// See [`ConsensusPort::tip`].
    Tip {
        /// Where the answer goes.
        answer: Answer<Tip>,
    },
    /// See [`ConsensusPort::validators`].
    Validators {
        /// The height to be decided.
        height: Height,
        /// Where the answer goes.
        answer: Answer<ValidatorSet>,
    },
    /// See [`ConsensusPort::propose`].
    Propose {
        /// The height to propose for.
        height: Height,
        /// The round to propose in.
        round: u32,
        /// Where the answer goes.
        answer: Answer<Proposed>,
    },
    /// See [`ConsensusPort::stored_proposals`].
    StoredProposals {
        /// The height asked for.
        height: Height,
        /// The round asked for.
        round: u32,
        /// Where the answer goes.
        answer: Answer<Vec<StoredProposal>>,
    },
    /// See [`ConsensusPort::validate`].
    Validate {
        /// The block.
        proposal: BlockProposal,
        /// How it reached us.
        origin: Origin,
        /// Where the answer goes.
        answer: Answer<Option<StoredProposal>>,
    },
    /// See [`ConsensusPort::undecided`].
    Undecided {
        /// The header hash asked for.
        hash: Hash32,
        /// Where the answer goes.
        answer: Answer<Option<BlockProposal>>,
    },
    /// See [`ConsensusPort::commit`].
    Commit {
        /// The proof that the block was decided.
        certificate: CommitCertificate,
        /// Where the answer goes.
        answer: Answer<Tip>,
    },
    /// See [`ConsensusPort::decided`].
    Decided {
        /// The first height.
        from: Height,
        /// The last height.
        to: Height,
        /// Where the answer goes.
        answer: Answer<Vec<(Bytes, CommitCertificate)>>,
    },
    /// See [`ConsensusPort::outgoing`]. The answer may be given long after later questions.
    Outgoing {
        /// Where the answer goes.
        answer: Answer<Vec<Bytes>>,
    },
    /// See [`ConsensusPort::begun`].
    Begun,
    /// See [`ConsensusPort::wait_for_work`]. The answer may be given long after later questions; a dropped receiver means that nobody waits any more.
    WaitForWork {
        /// Where the answer goes.
        answer: Answer<()>,
    },
}

/// The receiving end, held by the application's thread.
#[derive(Debug)]
pub struct Requests {
    /// What consensus waits for.
    pub questions: mpsc::Receiver<Request>,
    /// See [`ConsensusPort::offer`]: looked at only when no question waits, so that a flood of transactions delays no block.
    pub offers: mpsc::Receiver<Vec<Bytes>>,
}

/// Asks the application; cheap to clone. Every method answers [`AppError::Closed`] once the application's thread has ended.
#[derive(Clone, Debug)]
pub struct ConsensusPort {
    requests: mpsc::Sender<Request>,
    offers: mpsc::Sender<Vec<Bytes>>,
}

impl ConsensusPort {
    /// A port and the end where its questions arrive.
    #[must_use]
    pub fn channel() -> (Self, Requests) {
        let (requests, questions) = mpsc::channel(PORT_CAPACITY);
        let (sender, offers) = mpsc::channel(OFFER_CAPACITY);
        (Self { requests, offers: sender }, Requests { questions, offers })
    }

    /// The last committed block.
    ///
    /// # Errors
    /// [`AppError`].
    pub async fn tip(&self) -> Result<Tip, AppError> {
        self.ask(|answer| Request::Tip { answer }).await
    }

    /// The set that decides `height`; known for committed heights and the one after the tip.
    ///
    /// # Errors
    /// [`AppError`].
    pub async fn validators(&self, height: Height) -> Result<ValidatorSet, AppError> {
        self.ask(|answer| Request::Validators { height, answer }).await
    }

    /// A block for this height and round: the one built before for the same, otherwise built, executed and stored durably before the answer.
    ///
    /// # Errors
    /// [`AppError`].
    pub async fn propose(&self, height: Height, round: u32) -> Result<Proposed, AppError> {
        self.ask(|answer| Request::Propose { height, round, answer }).await
    }

    /// The undecided proposals of this height and round that are known from before a restart.
    ///
    /// # Errors
    /// [`AppError`].
    pub async fn stored_proposals(&self, height: Height, round: u32) -> Result<Vec<StoredProposal>, AppError> {
        self.ask(|answer| Request::StoredProposals { height, round, answer }).await
    }

    /// Judges a block; one that is valid is durable before the answer. Nothing where the bytes are no block, or not the body that their header names.
    ///
    /// # Errors
    /// [`AppError`]; an invalid block is an answer, not an error.
    pub async fn validate(&self, proposal: BlockProposal, origin: Origin) -> Result<Option<StoredProposal>, AppError> {
        self.ask(|answer| Request::Validate { proposal, origin, answer }).await
    }

    /// A valid, undecided block as it was first proposed.
    ///
    /// # Errors
    /// [`AppError`].
    pub async fn undecided(&self, hash: Hash32) -> Result<Option<BlockProposal>, AppError> {
        self.ask(|answer| Request::Undecided { hash, answer }).await
    }

    /// Commits the block that the certificate names; durable when it answers. A block already committed is answered with the tip.
    ///
    /// # Errors
    /// [`AppError`]: a decided block that cannot be committed is a fault of this machine.
    pub async fn commit(&self, certificate: CommitCertificate) -> Result<Tip, AppError> {
        self.ask(|answer| Request::Commit { certificate, answer }).await
    }

    /// Committed blocks with their certificates, from the first height on without a gap; it may answer fewer than asked for.
    ///
    /// # Errors
    /// [`AppError`].
    pub async fn decided(&self, from: Height, to: Height) -> Result<Vec<(Bytes, CommitCertificate)>, AppError> {
        self.ask(|answer| Request::Decided { from, to, answer }).await
    }

    /// Resolves when the next height should start: a pooled transaction, due work, a heartbeat or a backlog. Dropping the future withdraws the question.
    ///
    /// # Errors
    /// [`AppError`].
    pub async fn wait_for_work(&self) -> Result<(), AppError> {
        self.ask(|answer| Request::WaitForWork { answer }).await
    }

    /// Hands over transactions that another node sent; the application checks them and takes what is good. Gives whether it had room to listen: what it has
    /// not is lost here, and is sent again by whoever has it while it is not committed.
    ///
    /// # Errors
    /// [`AppError::Closed`].
    pub fn offer(&self, transactions: Vec<Bytes>) -> Result<bool, AppError> {
        told(self.offers.try_send(transactions))
    }

    /// Resolves with transactions that were submitted here and that the others should have, in order and at most as many as one message may carry.
    /// Cancelling it may lose them until they are sent again.
    ///
    /// # Errors
    /// [`AppError`].
    pub async fn outgoing(&self) -> Result<Vec<Bytes>, AppError> {
        self.ask(|answer| Request::Outgoing { answer }).await
    }

    /// Tells that the next height has begun although the application has not asked for it.
    ///
    /// # Errors
    /// [`AppError::Closed`].
    pub fn begun(&self) -> Result<(), AppError> {
        told(self.requests.try_send(Request::Begun)).map(|_| ())
    }

    async fn ask<T>(&self, question: impl FnOnce(Answer<T>) -> Request) -> Result<T, AppError> {
        let (answer, reply) = oneshot::channel();
        self.requests.send(question(answer)).await.map_err(|_| AppError::Closed)?;
        reply.await.map_err(|_| AppError::Closed)?
    }
}

/// Whether there was room for what was sent.
fn told<T>(sent: Result<(), TrySendError<T>>) -> Result<bool, AppError> {
    match sent {
        Ok(()) => Ok(true),
        Err(TrySendError::Full(_)) => Ok(false),
        Err(TrySendError::Closed(_)) => Err(AppError::Closed),
    }
}
