//! A key in memory that signs calls and counts their nonces.
//!
//! It keeps no file (that is [`crate::keystore`]) and asks nobody (that is the confirm screen of the commands). Called by the commands and, by the
//! hundreds, by `testnet`: share it as `Arc<Wallet>`.

use std::sync::{Mutex, MutexGuard, PoisonError};

use chain::{
    api::CommittedTransaction,
    crypto,
    id::{Address, ChainId, TxId},
    time::{Duration, Timestamp},
    transaction::TransactionError,
};
use contracts::call::{Body, Call, Transaction};
use ed25519_dalek::SigningKey;
use tokio::sync::Semaphore;

use crate::client::{Client, ClientError};

/// How long a transaction stays good unless said otherwise.
pub const VALIDITY: Duration = Duration::from_hours(1);

/// An account's own key on one chain, with the nonce of its next transaction.
pub struct Wallet {
    key: SigningKey,
    address: Address,
    chain_id: ChainId,
    next_nonce: Mutex<Option<u64>>,
    /// One submission at a time: the node takes a signer's transactions in order of nonce only. A permit, not a lock, because it is held across awaits.
    turn: Semaphore,
}

impl std::fmt::Debug for Wallet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wallet").field("address", &self.address).field("chain_id", &self.chain_id).finish_non_exhaustive()
    }
}

impl Wallet {
    /// The wallet of a key; its nonce is asked for before the first submission.
    #[must_use]
    pub fn new(key: SigningKey, chain_id: ChainId) -> Self {
        let address = crypto::address_of(&key);
        Self { key, address, chain_id, next_nonce: Mutex::new(None), turn: Semaphore::new(1) }
    }

    /// The wallet of a key whose next nonce is known, such as 0 for a new account.
    #[must_use]
    pub fn with_nonce(key: SigningKey, chain_id: ChainId, next_nonce: u64) -> Self {
        let wallet = Self::new(key, chain_id);
        *wallet.nonce() = Some(next_nonce);
        wallet
    }

    /// Its address.
    #[must_use]
    pub const fn address(&self) -> Address {
        self.address
    }

    /// The chain that it signs for.
    #[must_use]
    pub const fn chain_id(&self) -> ChainId {
        self.chain_id
    }

    /// The key, for what is not a transaction, such as an invite.
    #[must_use]
    pub const fn key(&self) -> &SigningKey {
        &self.key
    }

    /// What a call with this nonce signs; nothing is signed or counted yet.
    #[must_use]
    pub const fn body(&self, call: Call, nonce: u64, valid_until: Timestamp) -> Body {
        Body { chain_id: self.chain_id, account: self.address, signer: self.address, nonce, valid_until, call }
    }

    /// Signs a body of this wallet.
    ///
    /// # Errors
    /// [`TransactionError`] for a call that is too large.
    pub fn sign_body(&self, body: Body) -> Result<Transaction, TransactionError> {
        Transaction::sign(body, &self.key)
    }

    /// Signs a call with the next nonce and counts it: for whoever sends the bytes himself, in order. `None` while the nonce is not known
    /// ([`Wallet::resync`]).
    ///
    /// # Errors
    /// [`TransactionError`] for a call that is too large; the nonce is not counted.
    pub fn sign(&self, call: Call, valid_until: Timestamp) -> Result<Option<Transaction>, TransactionError> {
        let mut next = self.nonce();
        let Some(nonce) = *next else {
            return Ok(None);
        };
        let transaction = self.sign_body(self.body(call, nonce, valid_until))?;
        *next = nonce.checked_add(1);
        Ok(Some(transaction))
    }

    /// Asks the node for the next nonce, pooled transactions counted; 0 for an account that is not registered.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn resync(&self, client: &Client) -> Result<u64, ClientError> {
        let nonce = match client.account(self.address).await {
            Ok(view) => view.next_nonce,
            Err(error) if error.is_code("unknown_account") => 0,
            Err(error) => return Err(error),
        };
        *self.nonce() = Some(nonce);
        Ok(nonce)
    }

    /// Signs a call and submits it; it is pooled, not yet committed. Submissions of one wallet go one after the other. A wrong nonce is asked for
    /// again once.
    ///
    /// # Errors
    /// [`ClientError`]. After [`ClientError::Unreachable`] it is not known whether the transaction arrived.
    pub async fn submit(&self, client: &Client, call: Call, valid_until: Timestamp) -> Result<TxId, ClientError> {
        let _turn = self.turn.acquire().await;
        match self.attempt(client, call.clone(), valid_until).await {
            Err(error) if error.is_code("wrong_nonce") => {
                self.resync(client).await?;
                self.attempt(client, call, valid_until).await
            }
            outcome => outcome,
        }
    }

    /// Signs a call, submits it and waits for its block; meanwhile the wallet submits nothing else.
    ///
    /// # Errors
    /// As [`Wallet::submit`]; [`ClientError::Rejected`] where the block rejected it, [`ClientError::Pending`] where no block took it in time.
    pub async fn submit_and_wait(
        &self,
        client: &Client,
        call: Call,
        valid_until: Timestamp,
    ) -> Result<(TxId, CommittedTransaction), ClientError> {
        let _turn = self.turn.acquire().await;
        match self.attempt_and_wait(client, call.clone(), valid_until).await {
            // Only a refusal at submission: a wrong nonce never enters a block.
            Err(error) if error.is_code("wrong_nonce") => {
                self.resync(client).await?;
                self.attempt_and_wait(client, call, valid_until).await
            }
            outcome => outcome,
        }
    }

    async fn attempt(&self, client: &Client, call: Call, valid_until: Timestamp) -> Result<TxId, ClientError> {
        let transaction = self.next_transaction(client, call, valid_until).await?;
        let outcome = client.submit(transaction.bytes()).await;
        self.count(&transaction, outcome.as_ref().err());
        outcome
    }

    async fn attempt_and_wait(
        &self,
        client: &Client,
        call: Call,
        valid_until: Timestamp,
    ) -> Result<(TxId, CommittedTransaction), ClientError> {
        let transaction = self.next_transaction(client, call, valid_until).await?;
        let outcome = client.submit_and_wait(transaction.bytes()).await;
        self.count(&transaction, outcome.as_ref().err());
        outcome.map(|committed| (transaction.id(), committed))
    }

    async fn next_transaction(&self, client: &Client, call: Call, valid_until: Timestamp) -> Result<Transaction, ClientError> {
        let known = *self.nonce();
        let nonce = match known {
            Some(nonce) => nonce,
            None => self.resync(client).await?,
        };
        Ok(self.sign_body(self.body(call, nonce, valid_until))?)
    }

    /// What the nonce is after an attempt: used, unused, or not known.
    fn count(&self, transaction: &Transaction, error: Option<&ClientError>) {
        let nonce = transaction.body().nonce;
        *self.nonce() = match error {
            None | Some(ClientError::Rejected { .. } | ClientError::Pending { .. }) => nonce.checked_add(1),
            Some(
                ClientError::Problem(_)
                | ClientError::Address { .. }
                | ClientError::Offline { .. }
                | ClientError::SignIn { .. }
                | ClientError::Transaction(_),
            ) => Some(nonce),
            Some(ClientError::Unreachable { .. } | ClientError::Answer { .. }) => None,
        };
    }

    /// The number is whole whatever happened to another thread that held it.
    fn nonce(&self) -> MutexGuard<'_, Option<u64>> {
        self.next_nonce.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
