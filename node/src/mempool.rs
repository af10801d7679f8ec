//! The pool: verified transactions that wait for a block, in order of arrival.
//!
//! It keeps order and limits and decides nothing about validity: whoever inserts has tried the transaction before. It is lost with the process; nobody was
//! promised more. Owned by the application's thread, called by nobody else.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chain::{
    code::{Code, Rejection},
    id::{Address, TxId},
    state::Writes,
    time::Timestamp,
};
use contracts::execute::VerifiedTransaction;

/// What the pool may hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Transactions.
    pub count: usize,
    /// Their bytes together.
    pub bytes: usize,
    /// Transactions of one resident's key.
    pub per_resident: usize,
    /// Transactions of one key with a role.
    pub per_role: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { count: 16_384, bytes: 32 << 20, per_resident: 64, per_role: 4_096 }
    }
}

/// Why there is no room.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NoRoom {
    /// The whole pool is full.
    Full,
    /// The signer has as many in it as he may.
    Signer {
        /// How many that are.
        limit: usize,
    },
}

/// The pool.
#[derive(Debug)]
pub struct Mempool {
    limits: Limits,
    by_arrival: BTreeMap<u64, VerifiedTransaction>,
    by_id: HashMap<TxId, u64>,
    /// By the digest of the whole bytes, signature included: an id says nothing about the signature.
    by_bytes: HashMap<[u8; 32], u64>,
    signers: HashMap<Address, Signer>,
    bytes: usize,
    next_arrival: u64,
}

#[derive(Debug, Default)]
struct Signer {
    arrivals: BTreeSet<u64>,
    /// What its transactions here would change; nothing where that is not known for the present state.
    writes: Option<Writes>,
}

/// Whether a signer acts for one resident or holds a role.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Share {
    /// A resident's.
    Resident,
    /// A role's.
    Role,
}

impl Mempool {
    /// An empty pool.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            by_arrival: BTreeMap::new(),
            by_id: HashMap::new(),
            by_bytes: HashMap::new(),
            signers: HashMap::new(),
            bytes: 0,
            next_arrival: 0,
        }
    }

    /// The number of transactions.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_arrival.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_arrival.is_empty()
    }

    /// Their bytes together.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether a transaction is here.
    #[must_use]
    pub fn contains(&self, id: TxId) -> bool {
        self.by_id.contains_key(&id)
    }

    /// A transaction that is here.
    #[must_use]
    pub fn get(&self, id: TxId) -> Option<&VerifiedTransaction> {
        self.by_arrival.get(self.by_id.get(&id)?)
    }

    /// The transaction of exactly these bytes, so that its signature is not checked again.
    #[must_use]
    pub fn verified(&self, bytes: &[u8]) -> Option<&VerifiedTransaction> {
        let arrival = self.by_bytes.get(blake3::hash(bytes).as_bytes())?;
        self.by_arrival.get(arrival)
    }

    /// Whether one more transaction fits.
    ///
    /// # Errors
    /// [`NoRoom`].
    pub fn room_for(&self, transaction: &VerifiedTransaction, share: Share) -> Result<(), NoRoom> {
        let bytes = self.bytes.saturating_add(transaction.get().bytes().len());
        if self.by_arrival.len() >= self.limits.count || bytes > self.limits.bytes {
            return Err(NoRoom::Full);
        }
        let limit = match share {
            Share::Resident => self.limits.per_resident,
            Share::Role => self.limits.per_role,
        };
        let signer = self.signers.get(&transaction.get().body().signer);
        if signer.is_some_and(|signer| signer.arrivals.len() >= limit) {
            return Err(NoRoom::Signer { limit });
        }
        Ok(())
    }

    /// A signer's transactions here, in order of arrival, which is that of their nonces.
    pub fn of_signer(&self, signer: &Address) -> impl Iterator<Item = &VerifiedTransaction> {
        let arrivals = self.signers.get(signer).into_iter().flat_map(|signer| &signer.arrivals);
        arrivals.filter_map(|arrival| self.by_arrival.get(arrival))
    }

    /// What a signer's transactions here would change, taken out to be extended; nothing where it has none or it is not known for the present state.
    pub fn take_writes(&mut self, signer: &Address) -> Option<Writes> {
        self.signers.get_mut(signer).and_then(|signer| signer.writes.take())
    }

    /// Puts back what [`Mempool::take_writes`] gave, where the transaction was not inserted.
    pub fn put_writes(&mut self, signer: &Address, writes: Writes) {
        if let Some(signer) = self.signers.get_mut(signer) {
            signer.writes = Some(writes);
        }
    }

    /// Takes a transaction that fits and was tried; `writes` are those of all the signer's transactions with it.
    pub fn insert(&mut self, transaction: VerifiedTransaction, writes: Writes) {
        let arrival = self.next_arrival;
        self.next_arrival = arrival.saturating_add(1);
        let bytes = transaction.get().bytes();
        self.bytes = self.bytes.saturating_add(bytes.len());
        self.by_id.insert(transaction.get().id(), arrival);
        self.by_bytes.insert(*blake3::hash(bytes).as_bytes(), arrival);
        let signer = self.signers.entry(transaction.get().body().signer).or_default();
        signer.arrivals.insert(arrival);
        signer.writes = Some(writes);
        self.by_arrival.insert(arrival, transaction);
    }

    /// The oldest transactions, of `limit` bytes together at most.
    #[must_use]
    pub fn candidates(&self, limit: usize) -> Vec<VerifiedTransaction> {
        let mut bytes = 0_usize;
        let within = self.by_arrival.values().take_while(|transaction| {
            bytes = bytes.saturating_add(transaction.get().bytes().len());
            bytes <= limit
        });
        within.cloned().collect()
    }

    /// Removes one transaction; nothing where it is not here.
    pub fn remove(&mut self, id: TxId) {
        let Some(arrival) = self.by_id.remove(&id) else { return };
        let Some(transaction) = self.by_arrival.remove(&arrival) else { return };
        let bytes = transaction.get().bytes();
        self.bytes = self.bytes.saturating_sub(bytes.len());
        self.by_bytes.remove(blake3::hash(bytes).as_bytes());
        let address = transaction.get().body().signer;
        if let Some(signer) = self.signers.get_mut(&address) {
            signer.arrivals.remove(&arrival);
            signer.writes = None;
            if signer.arrivals.is_empty() {
                self.signers.remove(&address);
            }
        }
    }

    /// After a block: forgets what was tried on the state before it, and removes what can enter no later block, with the reason.
    /// `nonce_of` gives a signer's committed nonce.
    pub fn after_block<E>(
        &mut self,
        now: Timestamp,
        nonce_of: impl Fn(&Address) -> Result<Option<u64>, E>,
    ) -> Result<Vec<(TxId, Rejection)>, E> {
        let mut dead = Vec::new();
        for (address, signer) in &mut self.signers {
            signer.writes = None;
            // A newcomer, whose first transaction registers him, has no nonce yet.
            let mut expected = nonce_of(address)?.unwrap_or(0);
            for arrival in &signer.arrivals {
                let Some(transaction) = self.by_arrival.get(arrival) else { continue };
                let body = transaction.get().body();
                if body.valid_until < now {
                    dead.push((transaction.get().id(), Rejection::of(Code::Expired, now.ms(), body.valid_until.ms())));
                } else if body.nonce == expected {
                    expected = expected.saturating_add(1);
                } else {
                    dead.push((transaction.get().id(), Rejection::of(Code::WrongNonce, expected, body.nonce)));
                }
            }
        }
        for (id, _) in &dead {
            self.remove(*id);
        }
        Ok(dead)
    }
}
