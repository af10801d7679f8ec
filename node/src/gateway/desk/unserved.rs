//! Sessions that are over at connectors for which nobody has a unit: nothing was metered, and nobody would settle them before the chain does by itself.
//!
//! Only where that is certain: no reading was ever accepted, this gateway is the only one of the condominium, it has no unit there, and the longest lease that
//! anybody could have given has ended. The desk settles them then, at nothing.

use std::collections::BTreeMap;

use chain::{
    hash::Hash32,
    id::{Address, CondominiumId, ConnectorId, Height, SessionId},
    record::{Key, Role, RoleGrant, Session, SessionState},
    state::StateRead,
    time::{Duration, Timestamp},
};
use contracts::ledger::Ledger;

use super::{Desk, DeskError};
use crate::gateway::meter::LAST_WORD;

/// The most sessions that are looked through at the start; the chain settles what is beyond.
const MAX_SESSIONS: u32 = 100_000;

/// The most keys with the gateway's role that are looked at.
const MAX_GATEWAYS: u32 = 64;

/// Sessions without a unit, and when they can be settled.
#[derive(Default, Debug)]
pub(super) struct Unserved {
    sessions: BTreeMap<SessionId, (ConnectorId, Timestamp)>,
}

impl Unserved {
    /// A unit has come to a connector: its sessions are metered from now on.
    pub fn is_served(&mut self, connector: ConnectorId) {
        self.sessions.retain(|_, (at, _)| *at != connector);
    }

    /// A session is settled.
    pub fn is_settled(&mut self, session: &SessionId) {
        self.sessions.remove(session);
    }

    /// A session is not to be settled before that.
    pub fn wait(&mut self, session: &SessionId, until: Timestamp) {
        if let Some((_, at)) = self.sessions.get_mut(session) {
            *at = until;
        }
    }

    /// Those that can be settled.
    pub fn due(&self, now: Timestamp) -> impl Iterator<Item = SessionId> {
        self.sessions.iter().filter(move |(_, (_, at))| *at <= now).map(|(id, _)| *id)
    }

    /// When the next one can be.
    pub fn next_timer(&self, now: Timestamp) -> Option<Timestamp> {
        self.sessions.values().map(|(_, at)| *at).filter(|at| *at > now).min()
    }
}

impl Desk {
    /// The sessions of the state that are over.
    pub fn stopped_sessions(state: &dyn StateRead) -> Result<Vec<SessionId>, DeskError> {
        let mut prefix = Key::Session(SessionId(Hash32::ZERO)).bytes();
        prefix.truncate(1);
        let rows = Ledger::new(state).scan::<Session>(&prefix, MAX_SESSIONS)?;
        let id = |key: &[u8]| key.get(1..).and_then(|bytes| <[u8; 32]>::try_from(bytes).ok()).map(|bytes| SessionId(Hash32(bytes)));
        let stopped = |session: &Session| matches!(session.state, SessionState::Stopping { .. });
        Ok(rows.iter().filter(|(_, session)| stopped(session)).filter_map(|(key, _)| id(key)).collect())
    }

    /// Minds a session where it is certain that nobody else will settle it: see the head of this file.
    pub(super) fn consider(&mut self, ledger: &Ledger<'_>, height: Height, id: SessionId, session: &Session) -> Result<(), DeskError> {
        let SessionState::Stopping { at, .. } = session.state else { return Ok(()) };
        if session.meter.is_some() || self.places.contains_key(&session.connector) {
            return Ok(());
        }
        if only_gateway(ledger, session.connector.condominium, height)? != Some(self.account) {
            return Ok(());
        }
        let wait = self.params.lease.ms().saturating_add(LAST_WORD.ms());
        let settle_at = at.saturating_add(Duration::from_ms(wait));
        tracing::warn!(session = %id, connector = %session.connector, %settle_at, "a session is over where this gateway has no unit: it will be settled at nothing");
        self.unserved.sessions.insert(id, (session.connector, settle_at));
        Ok(())
    }
}

/// The one account that holds the gateway's role in a condominium at a height; nothing where it is none or several.
fn only_gateway(ledger: &Ledger<'_>, condominium: CondominiumId, height: Height) -> Result<Option<Address>, DeskError> {
    let mut prefix = Key::Role(condominium, Role::Gateway, Address([0; 32])).bytes();
    let address_at = prefix.len().saturating_sub(32);
    prefix.truncate(address_at);
    let rows = ledger.scan::<RoleGrant>(&prefix, MAX_GATEWAYS)?;
    // A role that begins or ends later counts: its holder may have units.
    let holds = |grant: &RoleGrant| grant.until.is_none_or(|until| height < until);
    let address = |key: &[u8]| key.get(address_at..).and_then(|bytes| <[u8; 32]>::try_from(bytes).ok()).map(Address);
    let mut holders = rows.iter().filter(|(_, grant)| holds(grant)).filter_map(|(key, _)| address(key));
    Ok(holders.next().filter(|_| holders.next().is_none()))
}
