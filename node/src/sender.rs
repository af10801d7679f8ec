//! Signs the calls of a key with a role and brings them into blocks, many at a time.
//!
//! One round at a time for each key: all of its transactions are submitted one after the other, so that they share a block, and the round is over when the last
//! is in one. The next round numbers from what chain and pool then say, so a gap in the nonces cannot last. It decides nothing and remembers nothing: whoever
//! called asks the chain what is still missing. The gateway and the scheduler call it, each with a key of its own.

use std::collections::VecDeque;

use bytes::Bytes;
use chain::{
    code::{Code, Rejection},
    crypto::address_of,
    id::{Address, Height},
    time::Duration,
};
use contracts::call::{Body, Call, Transaction};
use ed25519_dalek::SigningKey;

use crate::{
    app::{AppHandle, SubmitError},
    clock::Clock,
};

/// How long a transaction may wait for a block, in ledger time.
const VALIDITY: Duration = Duration::from_mins(10);

/// How long to wait for a block before asking again, in real time.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(10);

/// How often one call is numbered anew before it is left to the next round.
const MAX_RENUMBERINGS: u32 = 3;

/// A key with a role, and the door to the chain.
#[derive(Clone)]
pub struct Sender {
    app: AppHandle,
    clock: Clock,
    key: SigningKey,
    address: Address,
}

impl std::fmt::Debug for Sender {
    /// Without the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sender").field("address", &self.address).finish_non_exhaustive()
    }
}

/// What became of a round.
#[derive(Default, Debug)]
pub struct Round {
    /// The block of the last call that entered one.
    pub height: Option<Height>,
    /// Calls that the chain would refuse, and why; they entered no block.
    pub refused: Vec<(Call, Rejection)>,
    /// Calls that found no room; what they were for is to be asked again.
    pub left: usize,
}

/// Why a round cannot be made.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SendError {
    /// The account is not on the chain.
    #[error("account {0} is not registered: a manager has to register it and grant it its role")]
    Unregistered(Address),
    /// This machine's own trouble.
    #[error("{0}")]
    Fault(String),
    /// The node is stopping.
    #[error("the node is stopping")]
    Closed,
}

impl From<SubmitError> for SendError {
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::Closed => Self::Closed,
            SubmitError::Rejected(_) | SubmitError::PoolFull | SubmitError::StillPending(_) | SubmitError::Fault(_) => {
                Self::Fault(error.to_string())
            }
        }
    }
}

impl Sender {
    /// A sender for the account of `key`.
    #[must_use]
    pub fn new(app: AppHandle, clock: Clock, key: SigningKey) -> Self {
        let address = address_of(&key);
        Self { app, clock, key, address }
    }

    /// The account.
    #[must_use]
    pub const fn address(&self) -> Address {
        self.address
    }

    /// Submits calls in this order and waits until those that were taken are in blocks.
    ///
    /// # Errors
    /// [`SendError`]; some of the calls may have been submitted then.
    pub async fn send(&self, calls: Vec<Call>) -> Result<Round, SendError> {
        let mut round = Round::default();
        let mut waiting = VecDeque::from(calls);
        let mut nonce = self.next_nonce().await?;
        let mut last: Option<Bytes> = None;
        let mut renumberings = 0;
        let together = self.clock.hold_blocks();
        while let Some(call) = waiting.pop_front() {
            let bytes = self.sign(nonce, call.clone())?;
            match self.app.submit(bytes.clone()).await {
                Ok(_) => {
                    last = Some(bytes);
                    nonce = nonce.saturating_add(1);
                    renumberings = 0;
                }
                Err(SubmitError::Rejected(Rejection { code: Code::WrongNonce, .. })) if renumberings < MAX_RENUMBERINGS => {
                    renumberings += 1;
                    nonce = self.next_nonce().await?;
                    waiting.push_front(call);
                }
                Err(SubmitError::Rejected(Rejection { code: Code::WrongNonce | Code::TooManyFromSigner, .. }) | SubmitError::PoolFull) => {
                    round.left = waiting.len().saturating_add(1);
                    break;
                }
                Err(SubmitError::Rejected(rejection)) => round.refused.push((call, rejection)),
                Err(error) => return Err(error.into()),
            }
        }
        drop(together);
        if let Some(bytes) = last {
            round.height = self.wait(bytes).await?;
        }
        Ok(round)
    }

    /// Waits for the last transaction of a round: with it all earlier ones are in blocks. Nothing where it will never be in one.
    async fn wait(&self, bytes: Bytes) -> Result<Option<Height>, SendError> {
        loop {
            match self.app.submit_and_wait(bytes.clone(), PATIENCE).await {
                Ok(included) => return Ok(Some(included.location.height)),
                Err(SubmitError::StillPending(_) | SubmitError::PoolFull) => {
                    tracing::warn!(signer = %self.address, "a transaction waits for a block");
                }
                Err(SubmitError::Rejected(rejection)) => {
                    tracing::warn!(signer = %self.address, %rejection, "a transaction did not enter a block");
                    return Ok(None);
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    async fn next_nonce(&self) -> Result<u64, SendError> {
        self.app.next_nonce(self.address).await?.ok_or(SendError::Unregistered(self.address))
    }

    fn sign(&self, nonce: u64, call: Call) -> Result<Bytes, SendError> {
        let body = Body {
            chain_id: self.app.chain_id(),
            account: self.address,
            signer: self.address,
            nonce,
            valid_until: self.clock.now().saturating_add(VALIDITY),
            call,
        };
        let transaction = Transaction::sign(body, &self.key).map_err(|error| SendError::Fault(error.to_string()))?;
        Ok(Bytes::copy_from_slice(transaction.bytes()))
    }
}
