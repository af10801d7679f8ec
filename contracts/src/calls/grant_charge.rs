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
        // Only the places before its own: whoever is first reads none. One more than can be named, because whoever has that many ahead of him cannot be
        // granted out of turn.
        let waiting = ledger.range::<SessionId>(&group, &own, MAX_SKIPPED.saturating_add(1))?;
        let ahead: BTreeSet<SessionId> = waiting.into_iter().map(|(_, id)| id).collect();
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

#[cfg(test)]
mod tests {
    use chain::{
        code::{Code, Rejection},
        hash::Hash32,
        id::{GroupId, Height, SessionId},
        quantity::Currents,
        receipt::{Event, PauseReason, SkipReason},
        record::{Connector, Key, SessionState},
        time::Duration,
    };

    use super::{GrantCharge, MAX_SKIPPED, Skipped};
    use crate::{
        call::{PauseCharge, StopSession},
        testing::{
            AWAY_STAFF, BUILDING, Fixture, GARAGE, GATEWAY, HOME, INDEX, MANAGER, METER_ONLY, NEIGHBOUR, RESIDENT, SCHEDULER, SIXTEEN,
            THREE_PHASE, VISITOR, connector, opening,
        },
    };

    fn grant(session: SessionId, current: Currents) -> GrantCharge {
        GrantCharge { session, current, skipped: Vec::new() }
    }

    fn skip(session: SessionId) -> Skipped {
        Skipped { session, reason: SkipReason::NotEnoughCurrent }
    }

    #[test]
    fn the_first_grant_starts_the_duration_and_leaves_the_queue() {
        let mut fixture = Fixture::new();
        let id = fixture.opens(RESIDENT, &opening(connector(1)));
        fixture.wait(Duration::from_hours(3));
        let height = fixture.height;
        assert_eq!(fixture.applies(SCHEDULER, &grant(id, THREE_PHASE)), [Event::SessionGranted { session: id, current: THREE_PHASE }]);
        let session = fixture.session(id);
        assert_eq!(session.state, SessionState::Charging);
        assert_eq!(session.first_granted_at, Some(fixture.now));
        assert_eq!(session.due, fixture.now.saturating_add(session.max_duration));
        assert_eq!((session.granted, session.granted_height, session.granted_index), (THREE_PHASE, height, INDEX));
        assert_eq!(fixture.group(GARAGE).granted, THREE_PHASE);
        assert_eq!(fixture.group(BUILDING).granted, THREE_PHASE);
    }

    #[test]
    fn a_later_grant_changes_the_current_and_nothing_else() {
        let mut fixture = Fixture::new();
        let id = fixture.charges(1);
        let before = fixture.session(id);
        fixture.wait(Duration::from_mins(1));
        fixture.index = INDEX + 4;
        let height = fixture.height;
        assert_eq!(fixture.applies(SCHEDULER, &grant(id, SIXTEEN)), [Event::SessionGranted { session: id, current: SIXTEEN }]);
        let mut expected = before;
        (expected.granted, expected.granted_height, expected.granted_index) = (SIXTEEN, height, INDEX + 4);
        assert_eq!(fixture.session(id), expected);
        assert_eq!(fixture.group(BUILDING).granted, SIXTEEN);
    }

    #[test]
    fn only_schedulers_of_the_condominium_grant() {
        let mut fixture = Fixture::new();
        let id = fixture.opens(RESIDENT, &opening(connector(1)));
        for account in [RESIDENT, MANAGER, GATEWAY, AWAY_STAFF] {
            assert_eq!(fixture.rejects(account, &grant(id, SIXTEEN)), Code::NotAllowed.into());
        }
        let unknown = SessionId(Hash32::ZERO);
        assert_eq!(fixture.rejects(SCHEDULER, &grant(unknown, SIXTEEN)), Code::UnknownSession.into());
    }

    #[test]
    fn refuses_paused_and_stopping_sessions_and_points_without_a_switch() {
        let mut fixture = Fixture::new();
        let id = fixture.charges(1);
        fixture.applies(SCHEDULER, &PauseCharge { session: id, reason: PauseReason::Manual });
        assert_eq!(fixture.rejects(SCHEDULER, &grant(id, SIXTEEN)), Code::WrongSessionState.into());
        fixture.applies(RESIDENT, &StopSession { session: id });
        assert_eq!(fixture.rejects(SCHEDULER, &grant(id, SIXTEEN)), Code::WrongSessionState.into());
        let metered = fixture.opens(NEIGHBOUR, &opening(METER_ONLY));
        assert_eq!(fixture.rejects(SCHEDULER, &grant(metered, SIXTEEN)), Code::MeterOnly.into());
    }

    #[test]
    fn a_current_is_none_or_between_the_minimum_and_the_rating_on_each_phase() {
        let mut fixture = Fixture::new();
        let single = Connector { rated: Currents::from_ma([0, 16_000, 0]), ..fixture.connector(connector(1)) };
        fixture.put(&Key::Connector(connector(1)), &single);
        let id = fixture.opens(RESIDENT, &opening(connector(1)));
        let mut refused = |ma| fixture.rejects(SCHEDULER, &grant(id, Currents::from_ma(ma)));
        assert_eq!(refused([0, 0, 0]), Code::ZeroValue.into());
        assert_eq!(refused([0, 5_999, 0]), Rejection::of(Code::BelowMinimumCurrent, 6_000, 5_999));
        assert_eq!(refused([0, 16_001, 0]), Rejection::of(Code::ConnectorRating, 16_000, 16_001));
        assert_eq!(refused([6_000, 16_000, 0]), Rejection::of(Code::ConnectorRating, 0, 6_000));
        fixture.grants(id, Currents::from_ma([0, 6_000, 0]));
        fixture.grants(id, Currents::from_ma([0, 16_000, 0]));
    }

    #[test]
    fn no_grant_passes_the_limit_of_a_group_or_of_one_above() {
        let mut fixture = Fixture::new();
        fixture.charges(1);
        let id = fixture.opens(NEIGHBOUR, &opening(connector(2)));
        let (over, room) = (Currents::from_ma([8_000, 8_001, 8_001]), Currents::from_ma([8_000; 3]));
        assert_eq!(fixture.rejects(SCHEDULER, &grant(id, over)), Rejection::of(Code::GroupLimit, 40_000, 40_001));
        assert_eq!(fixture.session(id).state, SessionState::Queued);
        fixture.grants(id, room);

        // 10 A on L1 are reserved in the building for the meter without a switch.
        let mut building = fixture.group(BUILDING);
        building.limit = Currents::from_ma([55_999, 80_000, 80_000]);
        fixture.put(&Key::Group(GroupId::new(HOME, BUILDING)), &building);
        let upstairs = Connector { group: BUILDING, ..fixture.connector(connector(3)) };
        fixture.put(&Key::Connector(connector(3)), &upstairs);
        let id = fixture.opens(VISITOR, &opening(connector(3)));
        let refused = fixture.rejects(SCHEDULER, &grant(id, Currents::from_ma([6_000, 0, 0])));
        assert_eq!(refused, Rejection::of(Code::GroupLimit, 55_999, 56_000));
        fixture.grants(id, Currents::from_ma([0, 32_000, 32_000]));
    }

    #[test]
    fn whoever_waits_longer_in_the_same_group_is_named_with_a_reason() {
        let mut fixture = Fixture::new();
        let first = fixture.opens(RESIDENT, &opening(connector(1)));
        let second = fixture.opens(NEIGHBOUR, &opening(connector(2)));
        let third = fixture.opens(VISITOR, &opening(connector(3)));
        let elsewhere = fixture.opens(RESIDENT, &opening(METER_ONLY));
        let call = |skipped| GrantCharge { session: third, current: SIXTEEN, skipped };

        assert_eq!(fixture.rejects(SCHEDULER, &call(Vec::new())), Rejection::of(Code::SkipWithoutReason, 2, 0));
        assert_eq!(fixture.rejects(SCHEDULER, &call(vec![skip(second)])), Rejection::of(Code::SkipWithoutReason, 2, 1));
        for wrong in [third, elsewhere, SessionId(Hash32::ZERO)] {
            let skipped = vec![skip(first), skip(second), skip(wrong)];
            assert_eq!(fixture.rejects(SCHEDULER, &call(skipped)), Code::InvalidSkip.into());
        }
        let twice = vec![skip(first), skip(second), skip(first)];
        assert_eq!(fixture.rejects(SCHEDULER, &call(twice)), Code::InvalidSkip.into());
        let behind = GrantCharge { session: first, current: SIXTEEN, skipped: vec![skip(second)] };
        assert_eq!(fixture.rejects(SCHEDULER, &behind), Code::InvalidSkip.into());

        let skipped = vec![Skipped { session: second, reason: SkipReason::UnitLost }, skip(first)];
        let events = fixture.applies(SCHEDULER, &call(skipped));
        let expected = [
            Event::SessionSkipped { session: second, reason: SkipReason::UnitLost },
            Event::SessionSkipped { session: first, reason: SkipReason::NotEnoughCurrent },
            Event::SessionGranted { session: third, current: SIXTEEN },
        ];
        assert_eq!(events, expected);
        // One that charges passes over nobody.
        let change = GrantCharge { session: third, current: THREE_PHASE, skipped: vec![skip(first)] };
        assert_eq!(fixture.rejects(SCHEDULER, &change), Code::InvalidSkip.into());
        fixture.grants(first, Currents::from_ma([0, 6_000, 0]));
        fixture.grants(second, Currents::from_ma([0, 6_000, 0]));
    }

    #[test]
    fn whoever_is_first_passes_over_nobody_however_many_wait_behind() {
        let mut fixture = Fixture::new();
        let plain = fixture.connector(connector(1));
        let mut waiting = Vec::new();
        for number in 100..170 {
            fixture.put(&Key::Connector(connector(number)), &plain);
            let little = crate::call::OpenSession { max_spend: crate::testing::tokens(1), ..opening(connector(number)) };
            waiting.push(fixture.opens(RESIDENT, &little));
        }
        // The neighbouring queues, of a group before and of one after, do not count.
        for (number, group) in [(200, BUILDING), (201, GARAGE + 1)] {
            fixture.put(&Key::Group(GroupId::new(HOME, GARAGE + 1)), &fixture.group(BUILDING));
            fixture.put(&Key::Connector(connector(number)), &Connector { group, ..plain });
            fixture.opens(NEIGHBOUR, &opening(connector(number)));
        }
        fixture.applies(SCHEDULER, &grant(waiting[0], Currents::from_ma([6_000, 0, 0])));
        // Its place is free: the second is the first now.
        fixture.applies(SCHEDULER, &grant(waiting[1], Currents::from_ma([6_000, 0, 0])));
        let late = GrantCharge { skipped: vec![skip(waiting[2])], ..grant(waiting[3], Currents::from_ma([6_000, 0, 0])) };
        fixture.applies(SCHEDULER, &late);
    }

    #[test]
    fn whoever_opened_later_in_the_same_block_waits_behind() {
        let mut fixture = Fixture::new();
        let block = fixture.height;
        fixture.index = 5;
        let later = fixture.opens(RESIDENT, &opening(connector(1)));
        (fixture.height, fixture.index) = (block, 4);
        let earlier = fixture.opens(NEIGHBOUR, &opening(connector(2)));
        assert_eq!(fixture.rejects(SCHEDULER, &grant(later, SIXTEEN)), Rejection::of(Code::SkipWithoutReason, 1, 0));
        fixture.grants(earlier, Currents::from_ma([6_000, 0, 0]));
        fixture.grants(later, SIXTEEN);
    }

    #[test]
    fn at_most_sixty_four_are_passed_over() {
        let mut fixture = Fixture::new();
        let mut waiting = Vec::new();
        let plain = fixture.connector(connector(1));
        for number in 100..166 {
            fixture.put(&Key::Connector(connector(number)), &plain);
            let little = crate::call::OpenSession { max_spend: crate::testing::tokens(1), ..opening(connector(number)) };
            waiting.push(fixture.opens(RESIDENT, &little));
        }
        let call = |session: SessionId, count: usize| GrantCharge {
            session,
            current: SIXTEEN,
            skipped: waiting[..count].iter().copied().map(skip).collect(),
        };
        assert_eq!(fixture.rejects(SCHEDULER, &call(waiting[65], 65)), Rejection::of(Code::TooMany, MAX_SKIPPED.into(), 65));
        assert_eq!(fixture.rejects(SCHEDULER, &call(waiting[65], 64)), Rejection::of(Code::SkipWithoutReason, 65, 64));
        fixture.applies(SCHEDULER, &call(waiting[64], 64));
        assert!(fixture.height > Height(66));
    }
}
