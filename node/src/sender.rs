//! Signs the calls of a key with a role and brings them into blocks, many at a time.
//!
//! One round at a time for each key: all of its transactions are submitted one after the other, so that they share a block, and the round is over when the last
//! is in one. The next round numbers from what chain and pool then say, so a gap in the nonces cannot last. It decides nothing and remembers nothing: whoever
//! called asks the chain what is still missing. The gateway and the scheduler call it, each with keys of its own.
//!
//! # Which key
//! Before every round the state is asked who holds the role: the next key of the ring signs as soon as it can do as much as the one in use; a suspended gateway's
//! key, which can end and settle what runs, where the other can do nothing. So a manager exchanges a role's
//! key without a pause and without a restart: grant the role to the next key, then revoke it from the old one. Nothing else is bound to a key: sessions, units,
//! cards and samples are the condominium's and the gateway's database's. What was decided and is not on the chain goes out under the new key, whose nonces
//! begin at its own 0; what both have submitted is taken once.

use std::collections::VecDeque;

use bytes::Bytes;
use chain::{
    code::{Code, Rejection},
    crypto::address_of,
    id::{Address, CondominiumId, Height},
    record::{Condominium, Key, Role},
    time::Duration,
};
use contracts::{
    call::{Body, Call, Transaction},
    ledger::{Ledger, condominiums_in},
    roles,
};
use ed25519_dalek::SigningKey;

use crate::{
    app::{AppHandle, SubmitError},
    clock::Clock,
    keys::KeyRing,
};

/// How long a transaction may wait for a block, in ledger time.
const VALIDITY: Duration = Duration::from_mins(10);

/// How long to wait for a block before asking again, in real time.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(10);

/// How often one call is numbered anew before it is left to the next round.
const MAX_RENUMBERINGS: u32 = 3;

/// The most condominiums that are asked whether a key holds its role there.
const MAX_CONDOMINIUMS: u32 = 4_096;

/// Keys with a role, and the door to the chain.
#[derive(Clone)]
pub struct Sender {
    app: AppHandle,
    clock: Clock,
    role: Role,
    keys: KeyRing,
}

impl std::fmt::Debug for Sender {
    /// Without the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sender").field("role", &self.role).finish_non_exhaustive()
    }
}

/// What a key can do in its role.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Power {
    /// It does not hold the role.
    Nothing,
    /// It is suspended: it can end and settle what runs.
    Ending,
    /// Everything.
    All,
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
    /// A sender for a role, with its keys.
    #[must_use]
    pub const fn new(app: AppHandle, clock: Clock, role: Role, keys: KeyRing) -> Self {
        Self { app, clock, role, keys }
    }

    /// The account whose key holds the role now.
    #[must_use]
    pub fn address(&self) -> Address {
        address_of(self.key())
    }

    /// The accounts of all its keys.
    pub fn addresses(&self) -> impl Iterator<Item = Address> {
        let next = self.keys.next().ok().flatten();
        [Some(self.keys.current()), next].into_iter().flatten().map(address_of)
    }

    /// The key that can do most now: the next one as soon as it can do as much as the one in use, and anything at all.
    fn key(&self) -> &SigningKey {
        let next = self.keys.next().unwrap_or_else(|error| {
            tracing::warn!(%error, "the next key of a role cannot be read: the one in use goes on");
            None
        });
        let current = self.keys.current();
        let Some(next) = next else { return current };
        match (self.power(&address_of(next)), self.power(&address_of(current))) {
            (Ok(Power::Nothing), Ok(_)) => current,
            (Ok(power), Ok(other)) if power >= other => next,
            (Ok(_), Ok(_)) => current,
            (Err(error), _) | (_, Err(error)) => {
                tracing::warn!(%error, "who holds the role cannot be read: the key in use goes on");
                current
            }
        }
    }

    /// What an account can do in the role in the next block, wherever it can do most.
    fn power(&self, account: &Address) -> Result<Power, String> {
        let snapshot = self.app.snapshot().map_err(|error| error.to_string())?;
        let (ledger, height) = (Ledger::new(&snapshot), snapshot.tip().height.next());
        let table = [Key::Condominium(CondominiumId(0)).table()];
        let failed = |fault: contracts::failure::Fault| fault.to_string();
        let mut most = Power::Nothing;
        for (key, _) in ledger.scan::<Condominium>(&table, MAX_CONDOMINIUMS).map_err(failed)? {
            let [condominium] = condominiums_in(&key).map_err(failed)?;
            if !roles::holds(&ledger, height, condominium, self.role, account).map_err(failed)? {
                continue;
            }
            let suspended = self.role == Role::Gateway && roles::suspension(&ledger, condominium, account).map_err(failed)?.is_some();
            most = most.max(if suspended { Power::Ending } else { Power::All });
        }
        Ok(most)
    }

    /// Submits calls in this order and waits until those that were taken are in blocks.
    ///
    /// # Errors
    /// [`SendError`]; some of the calls may have been submitted then.
    pub async fn send(&self, calls: Vec<Call>) -> Result<Round, SendError> {
        let mut round = Round::default();
        let mut waiting = VecDeque::from(calls);
        let key = self.key();
        let signer = address_of(key);
        let mut nonce = self.next_nonce(signer).await?;
        let mut last: Option<Bytes> = None;
        let mut renumberings = 0;
        let together = self.clock.hold_blocks();
        while let Some(call) = waiting.pop_front() {
            let bytes = self.sign(key, nonce, call.clone())?;
            match self.app.submit(bytes.clone()).await {
                Ok(_) => {
                    last = Some(bytes);
                    nonce = nonce.saturating_add(1);
                    renumberings = 0;
                }
                Err(SubmitError::Rejected(Rejection { code: Code::WrongNonce, .. })) if renumberings < MAX_RENUMBERINGS => {
                    renumberings += 1;
                    nonce = self.next_nonce(signer).await?;
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
            round.height = self.wait(signer, bytes).await?;
        }
        Ok(round)
    }

    /// Waits for the last transaction of a round: with it all earlier ones are in blocks. Nothing where it will never be in one.
    async fn wait(&self, signer: Address, bytes: Bytes) -> Result<Option<Height>, SendError> {
        loop {
            match self.app.submit_and_wait(bytes.clone(), PATIENCE).await {
                Ok(included) => return Ok(Some(included.location.height)),
                Err(SubmitError::StillPending(_) | SubmitError::PoolFull) => {
                    tracing::warn!(%signer, "a transaction waits for a block");
                }
                Err(SubmitError::Rejected(rejection)) => {
                    tracing::warn!(%signer, %rejection, "a transaction did not enter a block");
                    return Ok(None);
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    async fn next_nonce(&self, signer: Address) -> Result<u64, SendError> {
        self.app.next_nonce(signer).await?.ok_or(SendError::Unregistered(signer))
    }

    fn sign(&self, key: &SigningKey, nonce: u64, call: Call) -> Result<Bytes, SendError> {
        let body = Body {
            chain_id: self.app.chain_id(),
            account: address_of(key),
            signer: address_of(key),
            nonce,
            valid_until: self.clock.now().saturating_add(VALIDITY),
            call,
        };
        let transaction = Transaction::sign(body, key).map_err(|error| SendError::Fault(error.to_string()))?;
        Ok(Bytes::copy_from_slice(transaction.bytes()))
    }
}
