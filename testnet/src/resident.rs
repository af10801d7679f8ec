//! A simulated resident, and the staff of a condominium: a wallet that signs calls and remembers what is not yet committed.
//!
//! Everything goes through `cli`'s wallet and client, as it would for a person. A transaction that was accepted and is in no block when the node dies is sent
//! again, byte for byte: then it is booked once, whatever happened to the first sending. Called by [`crate::drive`] and [`crate::provision`].

use std::collections::BTreeMap;

use chain::{
    id::{ChainId, TxId},
    time::{Duration, Timestamp},
};
use cli::{
    client::{Client, ClientError},
    wallet::Wallet,
};
use contracts::call::{Call, Transaction};
use ed25519_dalek::SigningKey;

use crate::federation::{FederationError, Node, Recovered};

/// How long a transaction stays good, in the federation's time.
const VALIDITY: Duration = Duration::from_hours(2);

/// How often a request is repeated before its failure is believed; a node may be killed that often, and start in between.
const MAX_ATTEMPTS: u32 = 3_000;

/// Why something could not be asked or done.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// The node's processes.
    #[error(transparent)]
    Federation(#[from] FederationError),
    /// The node refuses, or cannot be understood.
    #[error("{what}: {error}")]
    Refused { what: String, error: ClientError },
    /// It never answers.
    #[error("the node does not answer: {what}")]
    Deaf { what: String },
}

/// A resident's or an officer's wallet.
#[derive(Debug)]
pub struct Resident {
    wallet: Wallet,
}

/// A key that depends on nothing but a seed and a number: the same run has the same addresses.
#[must_use]
pub fn seeded_key(seed: u64, purpose: &str, number: u64) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key("commonwatt 2026 testnet key");
    hasher.update(&seed.to_le_bytes());
    hasher.update(&number.to_le_bytes());
    hasher.update(purpose.as_bytes());
    *hasher.finalize().as_bytes()
}

impl Resident {
    /// The resident of a key that has signed nothing yet.
    #[must_use]
    pub fn new(key: &[u8; 32], chain_id: ChainId) -> Self {
        Self::with_key(SigningKey::from_bytes(key), chain_id)
    }

    /// As [`Resident::new`].
    #[must_use]
    pub fn with_key(key: SigningKey, chain_id: ChainId) -> Self {
        Self { wallet: Wallet::with_nonce(key, chain_id, 0) }
    }

    /// The address.
    #[must_use]
    pub const fn address(&self) -> chain::id::Address {
        self.wallet.address()
    }

    /// The wallet.
    #[must_use]
    pub const fn wallet(&self) -> &Wallet {
        &self.wallet
    }

    /// Signs the next call.
    ///
    /// # Errors
    /// [`AskError::Refused`] for a call that is too large.
    pub fn sign(&self, call: Call, now_ms: u64) -> Result<Transaction, AskError> {
        let what = || call.action().name().to_owned();
        let valid_until = Timestamp::from_ms(now_ms).saturating_add(VALIDITY);
        let refused = |error: ClientError| AskError::Refused { what: what(), error };
        let signed = self.wallet.sign(call.clone(), valid_until).map_err(|error| refused(error.into()))?;
        signed.ok_or_else(|| AskError::Deaf { what: what() })
    }
}

/// What was accepted and not yet seen in a block, in the order of sending.
#[derive(Debug, Default)]
pub struct Outstanding {
    transactions: BTreeMap<u64, Transaction>,
    by_id: std::collections::HashMap<TxId, u64>,
    next: u64,
}

impl Outstanding {
    /// Whether everything is committed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.transactions.is_empty()
    }

    /// Takes note that a transaction is in a block; gives it if it was one of ours.
    pub fn committed(&mut self, id: &TxId) -> Option<Transaction> {
        let number = self.by_id.remove(id)?;
        self.transactions.remove(&number)
    }

    fn add(&mut self, transaction: Transaction) {
        self.by_id.insert(transaction.id(), self.next);
        self.transactions.insert(self.next, transaction);
        self.next += 1;
    }
}

/// One node, its client, and what residents have sent to it.
#[derive(Debug)]
pub struct Line {
    /// The process.
    pub node: Node,
    /// The client of its API.
    pub client: Client,
    /// What is under way.
    pub outstanding: Outstanding,
}

impl Line {
    /// A line to a node.
    ///
    /// # Errors
    /// [`AskError::Refused`] for an address that is none.
    pub fn new(node: Node) -> Result<Self, AskError> {
        let client = Client::new(&node.api_url()).map_err(|error| AskError::Refused { what: "the node's address".to_owned(), error })?;
        Ok(Self { node, client, outstanding: Outstanding::default() })
    }

    /// Starts the node again if it is dead, and sends again what it has lost with its pool.
    ///
    /// # Errors
    /// [`AskError`].
    pub async fn recover(&mut self) -> Result<(), AskError> {
        match self.node.recover().await? {
            Recovered::WasAlive => Ok(()),
            Recovered::Restarted => self.send_again().await,
        }
    }

    /// Offers everything that is not yet seen in a block once more; what is committed already is answered as such.
    ///
    /// # Errors
    /// [`AskError`].
    pub async fn send_again(&mut self) -> Result<(), AskError> {
        let all: Vec<Transaction> = self.outstanding.transactions.values().cloned().collect();
        for transaction in all {
            // Whoever recovers is not recovered again: the node's next death is noticed by the next request.
            for _ in 0..MAX_ATTEMPTS {
                match self.client.submit(transaction.bytes()).await {
                    Ok(_) => break,
                    Err(error) if error.is_transient() => {
                        self.node.recover().await?;
                    }
                    Err(error) => return Err(refused(&transaction, error)),
                }
            }
        }
        Ok(())
    }

    /// Offers a transaction until the node has it in its pool.
    ///
    /// # Errors
    /// [`AskError::Refused`] where the node refuses it.
    pub async fn submit(&mut self, transaction: &Transaction) -> Result<(), AskError> {
        for _ in 0..MAX_ATTEMPTS {
            match self.client.submit(transaction.bytes()).await {
                Ok(_) => {
                    self.outstanding.add(transaction.clone());
                    return Ok(());
                }
                Err(error) if error.is_transient() => self.recover().await?,
                Err(error) => return Err(refused(transaction, error)),
            }
        }
        Err(AskError::Deaf { what: transaction.body().call.action().name().to_owned() })
    }

    /// Asks until there is an answer.
    ///
    /// # Errors
    /// [`AskError`].
    pub async fn ask<T>(&mut self, what: &str, question: impl AsyncFn(&Client) -> Result<T, ClientError>) -> Result<T, AskError> {
        for _ in 0..MAX_ATTEMPTS {
            match question(&self.client).await {
                Ok(answer) => return Ok(answer),
                Err(error) if error.is_transient() => self.recover().await?,
                Err(error) => return Err(AskError::Refused { what: what.to_owned(), error }),
            }
        }
        Err(AskError::Deaf { what: what.to_owned() })
    }
}

fn refused(transaction: &Transaction, error: ClientError) -> AskError {
    AskError::Refused { what: transaction.body().call.action().name().to_owned(), error }
}
