//! A resident's wallet in bad times: it brings one call at a time into a block, whatever happens to the node that it speaks to.
//!
//! The same bytes are offered again until they are in a block or refused for good, so nothing is booked twice. It decides nothing. Called by [`super::life`]
//! and for the officers' calls at the beginning.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use chain::{
    api::CommittedTransaction,
    code::Rejection,
    id::{Address, ChainId, TxId},
    receipt::Outcome,
    time::{Duration as Span, Timestamp},
};
use cli::{
    client::{Client, ClientError},
    wallet::Wallet,
};
use contracts::call::{Call, Transaction};
use ed25519_dalek::SigningKey;

/// How long a transaction stays good.
const VALIDITY: Span = Span::from_hours(1);

/// How long a block is waited for in one request.
const WAIT: Duration = Duration::from_secs(2);

/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(150);

/// How often a refusal is doubted: the node may be behind.
const MAX_DOUBTS: u32 = 40;

/// What became of a call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fortune {
    /// It is in a block and did what it says.
    Applied(TxId),
    /// It is in a block, which rejected it.
    Rejected(TxId, Rejection),
    /// The node refuses it, and no block has it.
    Refused(String),
}

/// A wallet that nobody else uses.
#[derive(Debug)]
pub struct Purse {
    wallet: Wallet,
    client: Client,
    nonce: u64,
}

impl Purse {
    /// The purse of a key that has signed nothing yet, at a node.
    #[must_use]
    pub fn new(key: SigningKey, chain_id: ChainId, client: Client) -> Self {
        Self { wallet: Wallet::with_nonce(key, chain_id, 0), client, nonce: 0 }
    }

    /// The address.
    #[must_use]
    pub const fn address(&self) -> Address {
        self.wallet.address()
    }

    /// The node that it speaks to.
    #[must_use]
    pub const fn client(&self) -> &Client {
        &self.client
    }

    /// Signs a call with the next nonce; the nonce counts once the call is in a block.
    ///
    /// # Errors
    /// For a call that is too large.
    pub fn sign(&self, call: Call) -> anyhow::Result<Transaction> {
        let valid_until = Timestamp::from_ms(machine_ms()).saturating_add(VALIDITY);
        Ok(self.wallet.sign_body(self.wallet.body(call, self.nonce, valid_until))?)
    }

    /// Offers a signed transaction until it is in a block or refused for good, at most for `patience`.
    ///
    /// # Errors
    /// Where it is neither in time.
    pub async fn bring(&mut self, transaction: &Transaction, patience: Duration) -> anyhow::Result<Fortune> {
        let (id, what) = (transaction.id(), transaction.body().call.action().name());
        let until = Instant::now() + patience;
        let mut doubts = 0;
        loop {
            let refusal = match self.client.submit_and_wait_for(transaction.bytes(), WAIT).await {
                Ok(_) => return Ok(self.settled(Fortune::Applied(id))),
                Err(ClientError::Rejected { rejection, .. }) => return Ok(self.settled(Fortune::Rejected(id, rejection))),
                Err(error) => error,
            };
            // It may be in a block all the same: an answer was lost, or another node had it.
            if let Some(CommittedTransaction { receipt, .. }) = self.committed(id).await {
                return Ok(self.settled(match receipt.outcome {
                    Outcome::Applied => Fortune::Applied(id),
                    Outcome::Rejected(rejection) => Fortune::Rejected(id, rejection),
                }));
            }
            if let Some(problem) = refusal.problem().filter(|_| !refusal.is_transient() && !refusal.is_code("timeout")) {
                doubts += 1;
                if doubts > MAX_DOUBTS {
                    return Ok(Fortune::Refused(format!("{}: {}", problem.code, problem.detail)));
                }
            }
            anyhow::ensure!(
                Instant::now() < until,
                "{what} of {} came into no block within {} s: {refusal}",
                self.address(),
                patience.as_secs()
            );
            tokio::time::sleep(PAUSE).await;
        }
    }

    fn settled(&mut self, fortune: Fortune) -> Fortune {
        self.nonce += 1;
        fortune
    }

    async fn committed(&self, id: TxId) -> Option<CommittedTransaction> {
        let view = self.client.transaction(id).await.ok()?;
        view.committed
    }
}

/// The machine's time, ms since the epoch.
#[must_use]
pub fn machine_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
