//! Dropping raw samples that are older than the operator keeps them: a few with each message of a unit, so that it never takes long.
//!
//! Never those of a session that is not settled, and never a connector's newest message, which says where its numbers go on.

use chain::{
    id::ConnectorId,
    time::{Duration, Timestamp},
};

use super::{Desk, DeskError};
use crate::gateway::store::{Store, Write};

/// The most messages that are dropped at once.
const MESSAGES_PER_STEP: usize = 16;

/// How far dropping has come at a connector.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Old {
    /// The index of the first sample that is kept.
    kept_from: u64,
    /// Nothing is old before that.
    look_at: Timestamp,
}

impl Old {
    pub fn of(store: &Store, connector: ConnectorId) -> Result<Self, DeskError> {
        Ok(Self { kept_from: store.kept_from(connector)?, look_at: Timestamp::default() })
    }
}

impl Desk {
    /// Drops a few old samples of a connector, if it has any.
    pub fn drop_old(&mut self, id: ConnectorId, now: Timestamp, write: &mut Write) -> Result<(), DeskError> {
        let keep = Duration::from_hours(24 * u64::from(self.settings.keep_samples_days));
        let Some(place) = self.places.get_mut(&id).filter(|place| !keep.is_zero() && place.old.look_at <= now) else { return Ok(()) };
        let mut end = place.newest.map_or(0, |(index, _)| index);
        if let Some(open) = &place.open {
            let first = self.store.reading(open.id, 1)?.map_or(open.book.next_leaf, |decided| decided.first_leaf);
            end = end.min(first);
        }
        let before = place.old.kept_from;
        for _ in 0..MESSAGES_PER_STEP {
            let message = self.store.old_message(id, place.old.kept_from)?.filter(|message| message.end <= end);
            let Some(message) = message else {
                place.old.look_at = now.saturating_add(Duration::from_hours(1));
                break;
            };
            let old_at = message.taken_at.saturating_add(keep);
            if old_at >= now {
                place.old.look_at = old_at;
                break;
            }
            write.drop_samples(id, message.first);
            place.old.kept_from = message.end;
            self.counters.dropped.inc_by(message.end.saturating_sub(message.first));
        }
        if place.old.kept_from > before {
            write.kept_from(id, place.old.kept_from);
        }
        Ok(())
    }
}
