//! Signs the calls of a key with a role and brings them into blocks, many at a time.
//!
//! One round at a time for each key: all of its transactions are submitted one after the other, so that they share a block, and the round is over when the last
//! is in one. The next round numbers from what chain and pool then say, so a gap in the nonces cannot last. It decides nothing and remembers nothing: whoever
//! called asks the chain what is still missing. The gateway and the scheduler call it, each with keys of its own.
//!
//! # Which key
//! Before every round the state is asked who holds the role: a newer key of the ring signs as soon as it can do as much as those before it; a suspended gateway's
//! key, which can end and settle what runs, where the others can do nothing. So a manager exchanges a role's key without a pause and without a restart: grant the
//! role to the next key, then revoke it from the old one. Nothing else is bound to a key: sessions, units, cards and samples are the condominium's and the
//! gateway's database's. What was decided and is not on the chain goes out under the new key, whose nonces begin at its own 0; what several have submitted is
//! taken once.
//!
//! What counts is what a key can do in the condominium whose validator this node is, and in that where its oldest key is at home, in this order: another one's
//! manager, who can grant his role to any key, neither switches the node over nor keeps it from switching. Only where no key can do anything there are all
//! condominiums asked, for a node that serves one which is neither.

use std::{collections::VecDeque, path::PathBuf};

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
    failure::Fault,
    ledger::{Ledger, condominiums_in},
    roles,
};
use ed25519_dalek::SigningKey;
use tokio::sync::watch;

use crate::{
    app::{AppHandle, SubmitError},
    clock::Clock,
    keys::KeyRing,
};

/// How long a transaction may wait for a block, in ledger time.
const VALIDITY: Duration = Duration::from_mins(10);

/// How long to wait for a block before asking again, in real time.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(10);

/// How long until a key without its role is told of again, in real time.
const BETWEEN_WARNINGS: std::time::Duration = std::time::Duration::from_secs(3_600);

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
    /// The condominium whose validator this node is, if it is one.
    condominium: Option<CondominiumId>,
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

/// What is asked about keys: the role, and the state in the next block.
struct Present<'a> {
    ledger: &'a Ledger<'a>,
    height: Height,
    role: Role,
}

impl Present<'_> {
    /// Which of the accounts, the oldest first, can do most: the newest of them; the first where none can do anything.
    fn strongest(&self, accounts: &[Address], own: Option<CondominiumId>) -> Result<usize, Fault> {
        let oldest = accounts.first().map(|account| self.ledger.account(account)).transpose()?.flatten();
        let served: Vec<CondominiumId> = own.into_iter().chain(oldest.map(|account| account.home)).collect();
        let strength = |account: &Address| served.iter().map(|condominium| self.power(*condominium, account)).collect();
        if let Some(chosen) = newest_of_the_strongest(accounts, strength)? {
            return Ok(chosen);
        }
        let table = [Key::Condominium(CondominiumId(0)).table()];
        let rows = self.ledger.scan::<Condominium>(&table, MAX_CONDOMINIUMS)?;
        let all: Vec<[CondominiumId; 1]> = rows.iter().map(|(key, _)| condominiums_in(key)).collect::<Result<_, Fault>>()?;
        let most = |account: &Address| -> Result<Vec<Power>, Fault> {
            let powers: Vec<Power> = all.iter().map(|[condominium]| self.power(*condominium, account)).collect::<Result<_, Fault>>()?;
            Ok(powers.into_iter().max().into_iter().collect())
        };
        Ok(newest_of_the_strongest(accounts, most)?.unwrap_or_default())
    }

    /// Whether one of the accounts can do anything in any condominium.
    fn anywhere(&self, accounts: &[Address]) -> Result<bool, Fault> {
        let table = [Key::Condominium(CondominiumId(0)).table()];
        for (key, _) in self.ledger.scan::<Condominium>(&table, MAX_CONDOMINIUMS)? {
            let [condominium] = condominiums_in(&key)?;
            for account in accounts {
                if self.power(condominium, account)? != Power::Nothing {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// What an account can do in the role in a condominium.
    fn power(&self, condominium: CondominiumId, account: &Address) -> Result<Power, Fault> {
        if !roles::holds(self.ledger, self.height, condominium, self.role, account)? {
            return Ok(Power::Nothing);
        }
        let suspended = self.role == Role::Gateway && roles::suspension(self.ledger, condominium, account)?.is_some();
        Ok(if suspended { Power::Ending } else { Power::All })
    }
}

/// The last of those with the greatest strength; nothing where all can do nothing.
fn newest_of_the_strongest(accounts: &[Address], strength: impl Fn(&Address) -> Result<Vec<Power>, Fault>) -> Result<Option<usize>, Fault> {
    let mut best: Option<(usize, Vec<Power>)> = None;
    for (place, account) in accounts.iter().enumerate() {
        let powers = strength(account)?;
        let can_do_something = powers.iter().any(|power| *power != Power::Nothing);
        if can_do_something && best.as_ref().is_none_or(|(_, other)| powers >= *other) {
            best = Some((place, powers));
        }
    }
    Ok(best.map(|(place, _)| place))
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
    /// A sender for a role, with its keys; `condominium` is the one whose validator this node is, if it is one.
    #[must_use]
    pub const fn new(app: AppHandle, clock: Clock, role: Role, keys: KeyRing, condominium: Option<CondominiumId>) -> Self {
        Self { app, clock, role, keys, condominium }
    }

    /// The account whose key holds the role now.
    #[must_use]
    pub fn address(&self) -> Address {
        address_of(&self.key())
    }

    /// The accounts of all its keys.
    pub fn addresses(&self) -> impl Iterator<Item = Address> {
        self.keys.keys().into_iter().map(|key| address_of(&key))
    }

    /// The key that can do most now, and of several the newest.
    fn key(&self) -> SigningKey {
        let mut keys = self.keys.keys();
        let accounts: Vec<Address> = keys.iter().map(address_of).collect();
        let chosen = self.choose(&accounts).unwrap_or_else(|error| {
            tracing::warn!(%error, "who holds the role cannot be read: the oldest key goes on");
            0
        });
        keys.swap_remove(chosen)
    }

    fn choose(&self, accounts: &[Address]) -> Result<usize, String> {
        // Nothing is to be chosen, most of the time.
        if accounts.len() == 1 {
            return Ok(0);
        }
        let snapshot = self.app.snapshot().map_err(|error| error.to_string())?;
        let present = Present { ledger: &Ledger::new(&snapshot), height: snapshot.tip().height.next(), role: self.role };
        present.strongest(accounts, self.condominium).map_err(|fault| fault.to_string())
    }

    /// Warns at once, and every hour until `stop` becomes true, where none of its keys holds the role: whatever they sign is refused then.
    pub async fn warn_without_role(self, file: PathBuf, mut stop: watch::Receiver<bool>) {
        let mut hourly = tokio::time::interval(BETWEEN_WARNINGS);
        loop {
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return,
                _ = hourly.tick() => {}
            }
            let accounts: Vec<Address> = self.addresses().collect();
            let Ok(snapshot) = self.app.snapshot() else { continue };
            let height = snapshot.tip().height;
            let present = Present { ledger: &Ledger::new(&snapshot), height: height.next(), role: self.role };
            if let (Ok(false), Some(account)) = (present.anywhere(&accounts), accounts.last()) {
                tracing::warn!(
                    role = ?self.role, %account, %height, file = %file.display(),
                    "the key does not hold its role, as far as this node has the chain: what it signs is refused. Have a manager grant the role (watt admin role \
                     grant), or restore the key that holds it"
                );
            }
        }
    }

    /// Submits calls in this order and waits until those that were taken are in blocks.
    ///
    /// # Errors
    /// [`SendError`]; some of the calls may have been submitted then.
    pub async fn send(&self, calls: Vec<Call>) -> Result<Round, SendError> {
        let mut round = Round::default();
        let mut waiting = VecDeque::from(calls);
        let key = self.key();
        let signer = address_of(&key);
        let mut nonce = self.next_nonce(signer).await?;
        let mut last: Option<Bytes> = None;
        let mut renumberings = 0;
        let together = self.clock.hold_blocks();
        while let Some(call) = waiting.pop_front() {
            let bytes = self.sign(&key, nonce, call.clone())?;
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

#[cfg(test)]
mod tests {
    use chain::{
        codec::encode,
        hash::Hash32,
        id::{SessionId, TxId},
        quantity::Amount,
        record::{Account, RoleGrant, Suspension},
        state::MemoryState,
    };

    use super::*;

    const OURS: CondominiumId = CondominiumId(1);
    const THEIRS: CondominiumId = CondominiumId(2);
    const OLD: Address = Address([1; 32]);
    const NEW: Address = Address([2; 32]);

    /// A federation of two, and two keys of one machine.
    struct Federation(MemoryState);

    impl Federation {
        fn new() -> Self {
            let mut state = MemoryState::new();
            for id in [OURS, THEIRS] {
                let condominium = Condominium {
                    name: format!("C{id}"),
                    revenue: Address([9; 32]),
                    mint_cap_per_day: Amount::MAX,
                    position_limit: Amount::MAX,
                    minted: Amount::ZERO,
                    redeemed: Amount::ZERO,
                    next_sale: 1,
                    mint_day: 0,
                    minted_today: Amount::ZERO,
                };
                state.put(Key::Condominium(id).bytes(), encode(&condominium).unwrap());
            }
            Self(state)
        }

        fn home(mut self, account: Address, home: CondominiumId) -> Self {
            let zero = Amount::ZERO;
            let record = Account { home, balance: zero, held: zero, debt: zero, credit_limit: zero };
            self.0.put(Key::Account(account).bytes(), encode(&record).unwrap());
            self
        }

        fn grant(mut self, id: CondominiumId, account: Address, from: u64, until: Option<u64>) -> Self {
            let grant = RoleGrant { from: Height(from), until: until.map(Height) };
            self.0.put(Key::Role(id, Role::Gateway, account).bytes(), encode(&grant).unwrap());
            self
        }

        fn suspend(mut self, id: CondominiumId, account: Address) -> Self {
            let (session, evidence) = (SessionId(Hash32::ZERO), TxId(Hash32::ZERO));
            let record = Suspension { since: Height(0), session, sequence: 1, evidence, lifted_at: None };
            self.0.put(Key::Suspension(id, account).bytes(), encode(&record).unwrap());
            self
        }

        /// Who signs at a height, with the old key first.
        fn signer(&self, height: u64, own: Option<CondominiumId>) -> Address {
            let keys = [OLD, NEW];
            let present = Present { ledger: &Ledger::new(&self.0), height: Height(height), role: Role::Gateway };
            keys[present.strongest(&keys, own).unwrap()]
        }
    }

    #[test]
    fn the_next_key_signs_from_the_height_at_which_it_can_do_as_much_and_a_suspended_one_only_where_no_other_can() {
        let rotated = Federation::new().home(OLD, OURS).grant(OURS, OLD, 0, Some(20)).grant(OURS, NEW, 10, None);
        assert_eq!([9, 10, 20].map(|height| rotated.signer(height, Some(OURS))), [OLD, NEW, NEW]);
        assert_eq!(Federation::new().signer(1, Some(OURS)), OLD, "nobody has the role");
        let suspended = rotated.suspend(OURS, NEW);
        assert_eq!([10, 20].map(|height| suspended.signer(height, Some(OURS))), [OLD, NEW]);
    }

    /// Another condominium's manager made a gateway go dark by granting his role to its next key, which had none at home yet.
    #[test]
    fn another_condominium_neither_switches_a_node_to_its_next_key_nor_keeps_it_at_its_old_one() {
        let ours = || Federation::new().home(OLD, OURS).grant(OURS, OLD, 0, Some(20)).grant(OURS, NEW, 10, None);
        for own in [Some(OURS), None] {
            let lured = ours().grant(THEIRS, NEW, 0, None);
            assert_eq!([9, 10, 20].map(|height| lured.signer(height, own)), [OLD, NEW, NEW], "{own:?}");
            let pinned = ours().grant(THEIRS, OLD, 0, None);
            assert_eq!([9, 10, 20].map(|height| pinned.signer(height, own)), [OLD, NEW, NEW], "{own:?}");
        }
        // The key in use was registered there before it was at home, and has their role.
        let claimed = ours().home(OLD, THEIRS).grant(THEIRS, OLD, 0, None);
        assert_eq!(claimed.signer(20, Some(OURS)), NEW, "a validator's own condominium comes first");
    }

    #[test]
    fn a_node_that_serves_a_condominium_which_is_not_its_own_follows_that_one() {
        let hosted = Federation::new().home(OLD, THEIRS).grant(THEIRS, OLD, 0, Some(20)).grant(THEIRS, NEW, 10, None);
        assert_eq!([9, 10, 20].map(|height| hosted.signer(height, Some(OURS))), [OLD, NEW, NEW]);
        let unregistered = Federation::new().grant(THEIRS, NEW, 10, None);
        assert_eq!([9, 10].map(|height| unregistered.signer(height, Some(OURS))), [OLD, NEW]);
    }
}
