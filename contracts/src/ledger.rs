//! The state as calls see it: typed records over an overlay, and the events of the call at hand.
//!
//! It decides nothing: no rule of the ledger is here. Handlers and block execution are its only callers; the bytes below it are `chain::state`'s.

use chain::{
    codec,
    id::{Address, CondominiumId, ConnectorId, GroupId, SessionId},
    receipt::Event,
    record::{Account, Condominium, Connector, Group, Key, Session},
    state::{Checkpoint, Overlay, StateRead, prefix_end},
};
use serde::{Serialize, de::DeserializeOwned};

use crate::failure::Fault;

/// The most that one record may measure, in bytes.
pub const MAX_RECORD_BYTES: usize = 64 << 10;

/// Typed access to an overlay, collecting events.
#[derive(Debug)]
pub struct Ledger<'a> {
    overlay: Overlay<'a>,
    events: Vec<Event>,
}

/// A place to return to; see [`Ledger::rollback`].
#[derive(Debug)]
pub struct Savepoint {
    overlay: Checkpoint,
    events: usize,
}

impl<'a> Ledger<'a> {
    /// A ledger over a committed state, without changes.
    #[must_use]
    pub fn new(base: &'a dyn StateRead) -> Self {
        Self { overlay: Overlay::new(base), events: Vec::new() }
    }

    /// The record of a key, where there is one.
    ///
    /// # Errors
    /// [`Fault`] where the disk fails or the bytes are no such record.
    pub fn get<T: DeserializeOwned + Serialize>(&self, key: &Key) -> Result<Option<T>, Fault> {
        match self.overlay.get(&key.bytes())? {
            Some(bytes) => Ok(Some(codec::decode(&bytes, MAX_RECORD_BYTES)?)),
            None => Ok(None),
        }
    }

    /// Whether a key has a record.
    ///
    /// # Errors
    /// [`Fault`] where the disk fails.
    pub fn has(&self, key: &Key) -> Result<bool, Fault> {
        Ok(self.overlay.get(&key.bytes())?.is_some())
    }

    /// Sets the record of a key.
    ///
    /// # Errors
    /// [`Fault`] where the record has no encoding, which our own types always have.
    pub fn put<T: Serialize>(&mut self, key: &Key, record: &T) -> Result<(), Fault> {
        self.overlay.put(key.bytes(), codec::encode(record)?);
        Ok(())
    }

    /// Removes the record of a key, if there is one.
    pub fn delete(&mut self, key: &Key) {
        self.overlay.delete(key.bytes());
    }

    /// Records whose keys begin with `prefix` (a key's bytes, cut), in order of key, at most `limit`.
    ///
    /// # Errors
    /// [`Fault`] where the disk fails or the bytes are no such record.
    pub fn scan<T: DeserializeOwned + Serialize>(&self, prefix: &[u8], limit: u32) -> Result<Vec<(Vec<u8>, T)>, Fault> {
        let Some(end) = prefix_end(prefix) else { return Ok(Vec::new()) };
        self.range(prefix, &end, limit)
    }

    /// Records in the half-open range of keys from `from` to `to`, in order of key, at most `limit`.
    ///
    /// # Errors
    /// [`Fault`] where the disk fails or the bytes are no such record.
    pub fn range<T: DeserializeOwned + Serialize>(&self, from: &[u8], to: &[u8], limit: u32) -> Result<Vec<(Vec<u8>, T)>, Fault> {
        let rows = self.overlay.scan(from, to, limit)?;
        rows.into_iter().map(|(key, bytes)| Ok((key, codec::decode(&bytes, MAX_RECORD_BYTES)?))).collect()
    }

    /// Keys in the half-open range from `from` to `to`, in order, at most `limit`.
    ///
    /// # Errors
    /// [`Fault`] where the disk fails.
    pub fn keys(&self, from: &[u8], to: &[u8], limit: u32) -> Result<Vec<Vec<u8>>, Fault> {
        Ok(self.overlay.scan(from, to, limit)?.into_iter().map(|(key, _)| key).collect())
    }

    /// An account that must be registered for the call to go on, or `None`.
    ///
    /// # Errors
    /// [`Fault`], as [`Ledger::get`].
    pub fn account(&self, address: &Address) -> Result<Option<Account>, Fault> {
        self.get(&Key::Account(*address))
    }

    /// A condominium.
    ///
    /// # Errors
    /// [`Fault`], as [`Ledger::get`].
    pub fn condominium(&self, id: CondominiumId) -> Result<Option<Condominium>, Fault> {
        self.get(&Key::Condominium(id))
    }

    /// A group.
    ///
    /// # Errors
    /// [`Fault`], as [`Ledger::get`].
    pub fn group(&self, id: GroupId) -> Result<Option<Group>, Fault> {
        self.get(&Key::Group(id))
    }

    /// A connector.
    ///
    /// # Errors
    /// [`Fault`], as [`Ledger::get`].
    pub fn connector(&self, id: ConnectorId) -> Result<Option<Connector>, Fault> {
        self.get(&Key::Connector(id))
    }

    /// An open session.
    ///
    /// # Errors
    /// [`Fault`], as [`Ledger::get`].
    pub fn session(&self, id: SessionId) -> Result<Option<Session>, Fault> {
        self.get(&Key::Session(id))
    }

    /// Adds an event to the receipt of the call at hand.
    pub fn emit(&mut self, event: Event) {
        self.events.push(event);
    }

    /// The events since the last call of this, which begins a new receipt.
    pub fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// Marks the present state.
    #[must_use]
    pub const fn savepoint(&self) -> Savepoint {
        Savepoint { overlay: self.overlay.checkpoint(), events: self.events.len() }
    }

    /// Undoes everything since the savepoint, events included.
    pub fn rollback(&mut self, savepoint: Savepoint) {
        self.overlay.rollback(savepoint.overlay);
        self.events.truncate(savepoint.events);
    }

    /// All changes, by key.
    #[must_use]
    pub fn into_changes(self) -> Vec<chain::state::Change> {
        self.overlay.into_changes()
    }
}

/// The condominiums that a key begins with, behind its table.
///
/// # Errors
/// [`Fault`] for a key that is too short.
pub fn condominiums_in<const N: usize>(key: &[u8]) -> Result<[CondominiumId; N], Fault> {
    let mut ids = [CondominiumId(0); N];
    let mut rest = key.get(1..).unwrap_or_default();
    for id in &mut ids {
        let (number, tail) = rest.split_first_chunk().ok_or_else(|| Fault("a key of the state is too short".to_owned()))?;
        *id = CondominiumId(u32::from_be_bytes(*number));
        rest = tail;
    }
    Ok(ids)
}

#[cfg(test)]
mod tests {
    use chain::state::MemoryState;

    use super::*;
    use crate::testing::{HOME, RESIDENT, REVENUE};

    #[test]
    fn a_rollback_undoes_writes_and_events_since_the_savepoint_and_nothing_before() {
        let base = MemoryState::new();
        let mut ledger = Ledger::new(&base);
        let registered = |account| Event::AccountRegistered { account, home: HOME };
        ledger.put(&Key::Invite(RESIDENT, 1), &7_u64).unwrap();
        ledger.emit(registered(RESIDENT));
        let savepoint = ledger.savepoint();
        ledger.put(&Key::Invite(RESIDENT, 1), &8_u64).unwrap();
        ledger.put(&Key::Invite(RESIDENT, 2), &9_u64).unwrap();
        ledger.emit(registered(REVENUE));
        ledger.rollback(savepoint);
        assert_eq!(ledger.get::<u64>(&Key::Invite(RESIDENT, 1)), Ok(Some(7)));
        assert_eq!(ledger.has(&Key::Invite(RESIDENT, 2)), Ok(false));
        let savepoint = ledger.savepoint();
        ledger.delete(&Key::Invite(RESIDENT, 1));
        ledger.rollback(savepoint);
        assert_eq!(ledger.take_events(), [registered(RESIDENT)]);
        assert_eq!(ledger.take_events(), []);
        assert_eq!(ledger.into_changes().len(), 1);
    }
}
