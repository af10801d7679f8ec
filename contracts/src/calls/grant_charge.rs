//! `GrantCharge`: gives a waiting session its first current, or a charging one another.

use std::collections::BTreeSet;

use chain::{
    code::{Code, Rejection},
    id::SessionId,
    quantity::Currents,
    receipt::{Event, SkipReason},
    record::{Connector, Role, Session, SessionState},
};
use serde::{Deserialize, Serialize};

use crate::{call::Action, context::CallContext, failure::Failure, ledger::Ledger, roles, sessions};

/// Gives a waiting session its first current, or a charging one another.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct GrantCharge {
    /// Which.
    pub session: SessionId,
    /// How much, per phase: none or at least the minimum.
    pub current: Currents,
    /// Sessions of the same group that wait longer and are passed over, each with its reason.
    pub skipped: Vec<Skipped>,
}

/// A session that is passed over, and why.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Skipped {
    /// Which.
    pub session: SessionId,
    /// Why.
    pub reason: SkipReason,
}

/// The most sessions that one grant may pass over.
pub const MAX_SKIPPED: u32 = 64;

impl Action for GrantCharge {
    fn name(&self) -> &'static str {
        "grant_charge"
    }

    fn check(&self) -> Result<(), Rejection> {
        let skipped_len = u64::try_from(self.skipped.len()).unwrap_or(u64::MAX);
        if skipped_len > MAX_SKIPPED.into() {
            return Err(Rejection::of(Code::TooMany, MAX_SKIPPED.into(), skipped_len));
        }
        if self.current.is_zero() { Err(Code::ZeroValue.into()) } else { Ok(()) }
    }

    fn apply(&self, context: &CallContext<'_>, ledger: &mut Ledger<'_>) -> Result<(), Failure> {
        let mut session = sessions::existing(ledger, self.session)?;
        roles::require(ledger, context, session.connector.condominium, Role::Scheduler)?;
        let connector = sessions::connector_of(ledger, &session)?;
        sessions::switched(&connector)?;
        let first = match session.state {
            SessionState::Queued => true,
            SessionState::Charging => false,
            SessionState::Paused | SessionState::Idle | SessionState::Stopping { .. } => return Err(Code::WrongSessionState.into()),
        };
        sessions::check_current(&context.block.params, &connector, self.current)?;
        if first {
            self.check_skipped(ledger, &session, &connector)?;
        } else if !self.skipped.is_empty() {
            return Err(Code::InvalidSkip.into());
        }
        sessions::hold_current(ledger, &session, self.current)?;

        // every check is done: from here on only writes
        for Skipped { session, reason } in &self.skipped {
            ledger.emit(Event::SessionSkipped { session: *session, reason: *reason });
        }
        if first {
            let now = context.block.timestamp;
            let due = now.saturating_add(session.max_duration);
            ledger.delete(&sessions::queue_key(&session, &connector));
            session.first_granted_at = Some(now);
            sessions::move_due(ledger, self.session, &mut session, due)?;
        }
        sessions::write_charging(ledger, context, self.session, session, self.current)?;
        Ok(())
    }
}

impl GrantCharge {
    /// Every session that waits longer in the same group is named, once, and nobody else.
    fn check_skipped(&self, ledger: &Ledger<'_>, session: &Session, connector: &Connector) -> Result<(), Failure> {
        let own = sessions::queue_key(session, connector).bytes();
        let mut group = own.clone();
        group.truncate(own.len().saturating_sub(QUEUE_PLACE_BYTES));
        // One more than can be named: whoever has that many ahead of him cannot be granted out of turn.
        let waiting = ledger.scan::<SessionId>(&group, MAX_SKIPPED.saturating_add(1))?;
        let ahead: BTreeSet<SessionId> = waiting.into_iter().take_while(|(key, _)| *key < own).map(|(_, id)| id).collect();
        let named: BTreeSet<SessionId> = self.skipped.iter().map(|skipped| skipped.session).collect();
        if named.len() != self.skipped.len() || !named.is_subset(&ahead) {
            return Err(Code::InvalidSkip.into());
        }
        if named != ahead {
            let count = |set: &BTreeSet<SessionId>| u64::try_from(set.len()).unwrap_or(u64::MAX);
            return Err(Rejection::of(Code::SkipWithoutReason, count(&ahead), count(&named)).into());
        }
        Ok(())
    }
}

/// A place in a group's queue, at the end of its key: height and index.
const QUEUE_PLACE_BYTES: usize = 12;
