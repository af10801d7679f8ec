//! Places that are few, in all and for each client: connections, event streams, exports.
//!
//! Nobody waits for one: it is given or refused, and free again once it is dropped. Called by the doors and by the routes whose answers are long.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use super::pace::Client;

/// Places of one kind.
#[derive(Debug)]
pub struct Seats {
    all: u32,
    per_client: u32,
    taken: Mutex<BTreeMap<Client, u32>>,
}

/// Why there is no place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Full {
    /// All are taken.
    All,
    /// This client has as many as one may have.
    Own,
}

/// A place that is taken.
#[derive(Debug)]
pub struct Seat(Arc<Seats>, Client);

impl Seats {
    /// So many in all, and for each client; at least one.
    pub fn new(all: u32, per_client: u32) -> Arc<Self> {
        Arc::new(Self { all: all.max(1), per_client: per_client.max(1), taken: Mutex::default() })
    }

    /// Takes a place.
    ///
    /// # Errors
    /// [`Full`].
    pub fn take(self: &Arc<Self>, client: Client) -> Result<Seat, Full> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let own = taken.get(&client).copied().unwrap_or_default();
        if own >= self.per_client {
            return Err(Full::Own);
        }
        if taken.values().sum::<u32>() >= self.all {
            return Err(Full::All);
        }
        taken.insert(client, own + 1);
        drop(taken);
        Ok(Seat(Arc::clone(self), client))
    }

    /// How many are taken.
    pub fn taken(&self) -> u64 {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).values().copied().map(u64::from).sum()
    }

    /// How many one client may have.
    pub const fn per_client(&self) -> u32 {
        self.per_client
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.0.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = taken.get_mut(&self.1) {
            *own -= 1;
        }
        taken.retain(|_, own| *own > 0);
    }
}
