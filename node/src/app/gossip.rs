//! Transactions between nodes: what was submitted here goes to the others, and what they send is tried like any submission.
//!
//! Nothing is sent on: the network itself forwards. A transaction that stays uncommitted is sent again now and then, for nodes that were away or had no room.
//! Nobody is answered: a transaction that is refused here may still be good elsewhere. Part of the application's thread.

use std::collections::{HashSet, VecDeque};

use bytes::Bytes;
use consensus::{
    codec::{MAX_GOSSIP_BYTES, MAX_GOSSIP_TRANSACTIONS},
    port::Answer,
};
use contracts::{call::Transaction, execute::VerifiedTransaction};
use tokio::time::{Duration, Instant};
use tracing::debug;

use super::writer::{Writer, WriterFault};

/// Transactions that may wait to be sent; where there are more, the rest is sent when it is sent again.
const OUTBOX_MAX: usize = 8_192;

/// How long a transaction stays uncommitted before it is sent again.
const RESEND: Duration = Duration::from_secs(5);

/// Refused transactions that are remembered until the next block, so that they are not tried again.
const REFUSED_MAX: usize = 4_096;

/// What goes to the others.
#[derive(Debug)]
pub(super) struct Outbox {
    waiting: VecDeque<Bytes>,
    /// Consensus, which sends.
    asked: Option<Answer<Vec<Bytes>>>,
    /// Whether consensus has ever asked: a node alone sends to nobody.
    used: bool,
    sent: Instant,
    /// By the digest of the whole bytes.
    refused: HashSet<[u8; 32]>,
}

impl Outbox {
    pub(super) fn new() -> Self {
        Self { waiting: VecDeque::new(), asked: None, used: false, sent: Instant::now(), refused: HashSet::new() }
    }

    /// A transaction that was submitted here.
    pub(super) fn put(&mut self, bytes: Bytes) {
        if self.used && self.waiting.len() < OUTBOX_MAX {
            self.waiting.push_back(bytes);
        }
    }

    /// A block was committed: what was refused before may be good now.
    pub(super) fn after_block(&mut self) {
        self.refused.clear();
    }

    fn send(&mut self) {
        self.asked = self.asked.take().filter(|asked| !asked.is_closed());
        if self.waiting.is_empty() {
            return;
        }
        let Some(asked) = self.asked.take() else { return };
        let mut bytes = 0_usize;
        let fits = |transaction: &&Bytes| {
            bytes = bytes.saturating_add(transaction.len());
            bytes <= MAX_GOSSIP_BYTES
        };
        let count = self.waiting.iter().take(MAX_GOSSIP_TRANSACTIONS).take_while(fits).count();
        self.sent = Instant::now();
        // Where nobody listens any more, they are sent again.
        let _ = asked.send(Ok(self.waiting.drain(..count).collect()));
    }
}

impl Writer {
    /// Consensus asks for what shall be sent.
    pub(super) fn outgoing(&mut self, asked: Answer<Vec<Bytes>>) {
        self.outbox.used = true;
        self.outbox.asked = Some(asked);
    }

    /// A transaction was pooled: the first of those that wait for a block begins the time after which all are sent again.
    pub(super) fn pooled(&mut self) {
        if self.pool.len() == 1 {
            self.outbox.sent = Instant::now();
        }
    }

    /// Hands over what waits, if somebody sends.
    pub(super) fn send_transactions(&mut self) {
        self.outbox.send();
    }

    /// When pooled transactions are to be sent again.
    pub(super) fn resend_at(&self) -> Option<Instant> {
        let idle = self.outbox.used && self.outbox.waiting.is_empty() && !self.pool.is_empty();
        idle.then(|| self.outbox.sent.max(self.last_commit) + RESEND)
    }

    /// Sends the oldest pooled transactions again.
    pub(super) fn resend(&mut self) {
        self.outbox.sent = Instant::now();
        let oldest = self.pool.candidates(MAX_GOSSIP_BYTES).into_iter().take(MAX_GOSSIP_TRANSACTIONS);
        self.outbox.waiting.extend(oldest.map(|transaction| Bytes::copy_from_slice(transaction.get().bytes())));
        debug!(transactions = self.outbox.waiting.len(), "transactions are sent again");
    }

    /// Tries transactions that another node sent.
    pub(super) fn offered(&mut self, transactions: Vec<Bytes>) -> Result<(), WriterFault> {
        for bytes in transactions {
            let digest = *blake3::hash(&bytes).as_bytes();
            if self.pool.verified(&bytes).is_some() || self.outbox.refused.contains(&digest) {
                continue;
            }
            let good = Transaction::decode(&bytes).ok().filter(|transaction| transaction.body().chain_id == self.config.chain_id);
            let taken = match good.and_then(|transaction| VerifiedTransaction::verify(transaction).ok()) {
                Some(transaction) => {
                    let taken = self.submit(transaction)?.is_ok();
                    self.pooled();
                    taken
                }
                None => false,
            };
            if !taken && self.outbox.refused.len() < REFUSED_MAX {
                self.outbox.refused.insert(digest);
            }
        }
        Ok(())
    }
}
