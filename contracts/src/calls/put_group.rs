//! `PutGroup`: makes or changes a group of connectors under one limit of current.
//!
//! Checked in this order: the parent is not the group itself (`GroupCycle`); a manager of the condominium (`UnknownCondominium`, `NotAllowed`); the parent is
//! there (`UnknownGroup`) and not below the group (`GroupCycle`); no group becomes deeper than [`MAX_DEPTH`] (`GroupDepth`); at most [`MAX_GROUPS`] (`TooMany`); the limit is not below what is
//! reserved in the group (`GroupLimit`); a group that moves fits with all that is granted and reserved in it, as it is before this call, into each group that
//! was not above it before, from the nearest upwards (`GroupLimit`). Then sessions that hold a current in it or below it are paused, the newest grant first,
//! each in its turn whatever its phases, until what is granted and reserved fits the limit.

use chain::{
    code::{Code, Rejection},
    id::{CondominiumId, GroupId, Height, SessionId},
    quantity::Currents,
    receipt::{Event, PauseReason},
    record::{Connector, Group, Key, Role, SessionState},
};
use serde::{Deserialize, Serialize};

use super::put_connector::MAX_CONNECTORS;
use crate::{
    call::Action,
    context::{BlockContext, CallContext},
    failure::{Failure, Fault},
    groups::{self, MAX_DEPTH, MAX_GROUPS},
    ledger::Ledger,
    roles, sessions,
};

/// Makes or changes a group of connectors under one limit of current.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PutGroup {
    /// Which.
    pub group: GroupId,
    /// The group above it, by number.
    pub parent: Option<u32>,
    /// The most current, per phase; zero where a phase is not connected.
    pub limit: Currents,
}

impl Action for PutGroup {
    fn name(&self) -> &'static str {
        "put_group"
    }

    fn check(&self) -> Result<(), Rejection> {
        if self.parent == Some(self.group.number) {
            return Err(Code::GroupCycle.into());
        }
        Ok(())
    }

    fn apply(&self, context: &CallContext<'_>, ledger: &mut Ledger<'_>) -> Result<(), Failure> {
        let GroupId { condominium, number } = self.group;
        roles::require(ledger, context, condominium, Role::Manager)?;
        let existing = ledger.group(self.group)?;
        let new_above = groups::path(ledger, condominium, self.parent)?;
        if new_above.iter().any(|(above, _)| *above == number) {
            return Err(Code::GroupCycle.into());
        }
        let all = groups::all(ledger, condominium)?;
        let levels_below = groups::below(&all, number).into_iter().map(|(_, depth)| depth).max().unwrap_or_default();
        let depth = (new_above.len() as u64).saturating_add(1).saturating_add(levels_below.into());
        if depth > u64::from(MAX_DEPTH) {
            return Err(Rejection::of(Code::GroupDepth, MAX_DEPTH.into(), depth).into());
        }
        if existing.is_none() && all.len() as u64 >= u64::from(MAX_GROUPS) {
            return Err(Rejection::of(Code::TooMany, MAX_GROUPS.into(), u64::from(MAX_GROUPS).saturating_add(1)).into());
        }
        let (granted, reserved) = existing.map_or((Currents::ZERO, Currents::ZERO), |group| (group.granted, group.reserved));
        let group = Group { parent: self.parent, limit: self.limit, granted, reserved };
        // What cannot be switched off must fit; what can is paused below.
        groups::check_limit(&Group { granted: Currents::ZERO, ..group }, [true; 3])?;
        let old_above = groups::path(ledger, condominium, existing.and_then(|group| group.parent))?;
        let moved = moved_sums(&group, &old_above, &new_above)?;
        // Every check is done: from here on only writes.
        for (above, record) in &moved {
            ledger.put(&Key::Group(GroupId::new(condominium, *above)), record)?;
        }
        ledger.put(&Key::Group(self.group), &group)?;
        ledger.emit(Event::GroupPut { group: self.group, limit: self.limit });
        pause_until_it_fits(ledger, context.block, self.group)
    }
}

/// The groups that gain or lose `group`'s sums as it moves, with their new sums. Those above it before and after keep theirs.
///
/// The sums are those before any pause that a lower limit in the same call brings: what must leave first is paused by a call of its own.
fn moved_sums(group: &Group, old_above: &[(u32, Group)], new_above: &[(u32, Group)]) -> Result<Vec<(u32, Group)>, Failure> {
    let without = |groups: &[(u32, Group)], number: u32| groups.iter().all(|(other, _)| *other != number);
    let mut moved = Vec::new();
    for (number, above) in new_above.iter().filter(|(number, _)| without(old_above, *number)) {
        let gains = Group {
            granted: groups::replaced(above.granted, Currents::ZERO, group.granted)?,
            reserved: groups::replaced(above.reserved, Currents::ZERO, group.reserved)?,
            ..*above
        };
        groups::check_limit(&gains, [true; 3])?;
        moved.push((*number, gains));
    }
    for (number, above) in old_above.iter().filter(|(number, _)| without(new_above, *number)) {
        let loses = Group {
            granted: groups::replaced(above.granted, group.granted, Currents::ZERO)?,
            reserved: groups::replaced(above.reserved, group.reserved, Currents::ZERO)?,
            ..*above
        };
        moved.push((*number, loses));
    }
    Ok(moved)
}

/// Pauses until the sums fit. A session on other phases than those over the limit is not passed by: the order is all that anyone need know.
fn pause_until_it_fits(ledger: &mut Ledger<'_>, block: &BlockContext, id: GroupId) -> Result<(), Failure> {
    if fits(ledger, id)? {
        return Ok(());
    }
    for (_, _, session) in charging_newest_first(ledger, id)? {
        sessions::pause(ledger, block, session, PauseReason::GroupLimit)?;
        if fits(ledger, id)? {
            return Ok(());
        }
    }
    Err(Fault(format!("group {id} is over its limit although nothing charges in it")).into())
}

fn fits(ledger: &Ledger<'_>, id: GroupId) -> Result<bool, Fault> {
    let group = ledger.group(id)?.ok_or_else(|| Fault(format!("group {id} is missing")))?;
    Ok(groups::check_limit(&group, [true; 3]).is_ok())
}

/// Sessions that hold a current in a group or below it, by height and index of their newest grant, descending.
fn charging_newest_first(ledger: &Ledger<'_>, id: GroupId) -> Result<Vec<(Height, u32, SessionId)>, Failure> {
    let inside = groups::subtree(ledger, id)?;
    let mut found = Vec::new();
    for connector in connectors(ledger, id.condominium)? {
        let Some(session) = connector.session.filter(|_| inside.contains(&connector.group)) else { continue };
        let record = ledger.session(session)?.ok_or_else(|| Fault(format!("session {session} of a connector is missing")))?;
        // Points without a switch charge too, but hold no grant.
        if record.state == SessionState::Charging && !record.granted.is_zero() {
            found.push((record.granted_height, record.granted_index, session));
        }
    }
    found.sort_unstable_by(|one, other| other.cmp(one));
    Ok(found)
}

fn connectors(ledger: &Ledger<'_>, condominium: CondominiumId) -> Result<Vec<Connector>, Fault> {
    let mut prefix = Key::Connector(chain::id::ConnectorId::new(condominium, 0)).bytes();
    prefix.truncate(prefix.len().saturating_sub(4));
    Ok(ledger.scan(&prefix, MAX_CONNECTORS)?.into_iter().map(|(_, connector)| connector).collect())
}

#[cfg(test)]
mod tests {
    use chain::{
        hash::Hash32,
        quantity::Amount,
        record::{Control, CostByComponent, Hints, PlugSignal, Service, Session},
        time::Duration,
    };
    use rand::{Rng, SeedableRng, rngs::StdRng};

    use super::*;
    use crate::calls::put_connector::PutConnector;
    use crate::testing::{
        AWAY, BUILDING, Fixture, GARAGE, HOME, MANAGER, METER_ONLY, NEIGHBOUR, NOON, PLAIN, RESIDENT, SCHEDULER, connector, opening,
    };

    fn id(number: u32) -> GroupId {
        GroupId::new(HOME, number)
    }

    fn put(number: u32, parent: Option<u32>, ma: u32) -> PutGroup {
        PutGroup { group: id(number), parent, limit: Currents::from_ma([ma; 3]) }
    }

    fn sums(fixture: &Fixture, number: u32) -> ([u32; 3], [u32; 3]) {
        let group = fixture.group(number);
        (group.granted.ma(), group.reserved.ma())
    }

    /// A session of nobody's money that charges on a connector with a current, granted at a height.
    fn charge(fixture: &mut Fixture, number: u32, ma: [u32; 3], height: u64) -> SessionId {
        let session_id = SessionId(Hash32([u8::try_from(number).unwrap(); 32]));
        let granted = Currents::from_ma(ma);
        let session = Session {
            account: RESIDENT,
            connector: connector(number),
            tariff: PLAIN,
            tariff_version: 1,
            opened_at: NOON,
            opened_height: Height(0),
            opened_index: number,
            escrow: Amount::ZERO,
            max_duration: Duration::from_hours(1),
            hints: Hints::default(),
            state: SessionState::Charging,
            due: NOON.saturating_add(Duration::from_hours(1)),
            first_granted_at: Some(NOON),
            granted,
            granted_height: Height(height),
            granted_index: 0,
            meter: None,
            cost: CostByComponent::default(),
            billed_at_limit: None,
        };
        let claimed = Connector { session: Some(session_id), ..fixture.connector(connector(number)) };
        fixture.put(&Key::Session(session_id), &session);
        fixture.put(&Key::Due(session.due, session_id), &());
        fixture.put(&Key::Connector(connector(number)), &claimed);
        let state = fixture.state.clone();
        let mut ledger = Ledger::new(&state);
        let occupied = groups::occupy(&mut ledger, HOME, claimed.group, Currents::ZERO, granted);
        fixture.state.apply(&ledger.into_changes());
        occupied.unwrap();
        fixture.assert_sums();
        session_id
    }

    fn paused(events: &[Event]) -> Vec<SessionId> {
        let mut paused = Vec::new();
        for event in events {
            if let Event::SessionPaused { session, reason } = event {
                assert_eq!(*reason, PauseReason::GroupLimit);
                paused.push(*session);
            }
        }
        paused
    }

    #[test]
    fn a_new_group_has_its_limit_and_empty_sums() {
        let mut fixture = Fixture::new();
        let call = put(9, Some(GARAGE), 20_000);
        assert_eq!(fixture.applies(MANAGER, &call), [Event::GroupPut { group: id(9), limit: call.limit }]);
        let empty = Group { parent: Some(GARAGE), limit: call.limit, granted: Currents::ZERO, reserved: Currents::ZERO };
        assert_eq!(fixture.group(9), empty);
        let ledger = Ledger::new(&fixture.state);
        assert_eq!(groups::subtree(&ledger, id(BUILDING)), Ok(vec![BUILDING, GARAGE, 9]));
        assert_eq!(groups::subtree(&ledger, id(GARAGE)), Ok(vec![GARAGE, 9]));
        assert_eq!(groups::subtree(&ledger, id(77)), Err(Code::UnknownGroup.into()));
    }

    #[test]
    fn a_limit_below_what_is_granted_pauses_the_newest_grants_until_it_fits() {
        let mut fixture = Fixture::new();
        let oldest = charge(&mut fixture, 3, [10_000; 3], 4);
        let newest = charge(&mut fixture, 1, [6_000, 0, 0], 9);
        let middle = charge(&mut fixture, 2, [16_000; 3], 6);
        assert_eq!(sums(&fixture, BUILDING), ([32_000, 26_000, 26_000], [10_000, 0, 0]));
        // The limits exactly met pause nobody.
        assert_eq!(paused(&fixture.applies(MANAGER, &put(GARAGE, Some(BUILDING), 32_000))), []);
        // The newest is first, although its phase alone would fit.
        let limit = Currents::from_ma([32_000, 25_999, 32_000]);
        let events = fixture.applies(MANAGER, &PutGroup { limit, ..put(GARAGE, Some(BUILDING), 0) });
        assert_eq!(paused(&events), [newest, middle]);
        assert_eq!(sums(&fixture, GARAGE), ([10_000; 3], [0; 3]));
        assert_eq!(sums(&fixture, BUILDING), ([10_000; 3], [10_000, 0, 0]));
        assert_eq!(fixture.session(oldest).state, SessionState::Charging);
        let rested = fixture.session(newest);
        assert_eq!((rested.state, rested.granted), (SessionState::Paused, Currents::ZERO));
        // From above too, where the reservation counts.
        assert_eq!(paused(&fixture.applies(MANAGER, &put(BUILDING, None, 19_999))), [oldest]);
        assert_eq!(sums(&fixture, BUILDING), ([0; 3], [10_000, 0, 0]));
    }

    #[test]
    fn a_point_without_a_switch_is_never_paused_however_new_its_session() {
        let mut fixture = Fixture::new();
        let switched = charge(&mut fixture, 1, [16_000; 3], 0);
        let metered = fixture.opens(NEIGHBOUR, &opening(METER_ONLY));
        assert!(fixture.session(metered).granted_height > fixture.session(switched).granted_height);
        assert_eq!(paused(&fixture.applies(MANAGER, &put(BUILDING, None, 10_000))), [switched]);
        assert_eq!(fixture.session(metered).state, SessionState::Charging);
    }

    #[test]
    fn of_two_grants_in_one_block_the_later_one_is_paused() {
        let mut fixture = Fixture::new();
        // Sessions are named by their connectors here: the name must not decide.
        let (first, second) = (charge(&mut fixture, 2, [16_000; 3], 5), charge(&mut fixture, 1, [16_000; 3], 5));
        fixture.put(&Key::Session(second), &Session { granted_index: 1, ..fixture.session(second) });
        assert_eq!(paused(&fixture.applies(MANAGER, &put(GARAGE, Some(BUILDING), 16_000))), [second]);
        assert_eq!(fixture.session(first).state, SessionState::Charging);
    }

    #[test]
    fn a_limit_below_what_is_reserved_is_rejected() {
        let mut fixture = Fixture::new();
        assert_eq!(fixture.rejects(MANAGER, &put(BUILDING, None, 9_999)), Rejection::of(Code::GroupLimit, 9_999, 10_000));
        fixture.applies(MANAGER, &put(BUILDING, None, 10_000));
    }

    #[test]
    fn a_group_takes_its_sums_along_where_they_fit() {
        let mut fixture = Fixture::new();
        charge(&mut fixture, 1, [20_000; 3], 1);
        let meter_only = Connector { group: GARAGE, control: Control::MeterOnly, ..fixture.connector(connector(5)) };
        fixture.put(&Key::Connector(connector(5)), &meter_only);
        let state = fixture.state.clone();
        let mut ledger = Ledger::new(&state);
        let point = groups::Reservation { group: GARAGE, current: Currents::from_ma([0, 0, 7_000]) };
        groups::reserve(&mut ledger, HOME, None, Some(point)).unwrap();
        fixture.state.apply(&ledger.into_changes());

        fixture.applies(MANAGER, &put(8, None, 26_999));
        fixture.applies(MANAGER, &put(9, Some(BUILDING), 19_999));
        assert_eq!(fixture.rejects(MANAGER, &put(GARAGE, Some(8), 40_000)), Rejection::of(Code::GroupLimit, 26_999, 27_000));
        assert_eq!(fixture.rejects(MANAGER, &put(GARAGE, Some(9), 40_000)), Rejection::of(Code::GroupLimit, 19_999, 20_000));
        // A lower limit in the same call does not make room above: sums are those before its pauses.
        assert_eq!(fixture.rejects(MANAGER, &put(GARAGE, Some(9), 7_000)), Rejection::of(Code::GroupLimit, 19_999, 20_000));
        fixture.applies(MANAGER, &put(8, None, 27_000));
        fixture.applies(MANAGER, &put(GARAGE, Some(8), 40_000));
        assert_eq!(sums(&fixture, 8), ([20_000; 3], [0, 0, 7_000]));
        assert_eq!(sums(&fixture, GARAGE), sums(&fixture, 8));
        assert_eq!(sums(&fixture, BUILDING), ([0; 3], [10_000, 0, 0]));
        // To the top, and below a group that keeps BUILDING above it.
        fixture.applies(MANAGER, &put(GARAGE, None, 40_000));
        assert_eq!(sums(&fixture, 8), ([0; 3], [0; 3]));
        fixture.applies(MANAGER, &put(GARAGE, Some(BUILDING), 40_000));
        fixture.applies(MANAGER, &put(9, Some(BUILDING), 27_000));
        fixture.applies(MANAGER, &put(GARAGE, Some(9), 40_000));
        assert_eq!(sums(&fixture, 9), ([20_000; 3], [0, 0, 7_000]));
        assert_eq!(sums(&fixture, BUILDING), ([20_000; 3], [10_000, 0, 7_000]));
    }

    #[test]
    fn rejects_a_group_above_itself() {
        let mut fixture = Fixture::new();
        assert_eq!(fixture.rejects(MANAGER, &put(GARAGE, Some(GARAGE), 1)), Rejection::new(Code::GroupCycle));
        assert_eq!(fixture.rejects(MANAGER, &put(BUILDING, Some(GARAGE), 80_000)), Rejection::new(Code::GroupCycle));
        // Also one that is not there yet, and before anybody is asked who he is.
        assert_eq!(fixture.rejects(SCHEDULER, &put(9, Some(9), 1)), Rejection::new(Code::GroupCycle));
    }

    #[test]
    fn rejects_a_ninth_level_also_below_a_group_that_moves() {
        let mut fixture = Fixture::new();
        for number in 11..=18 {
            fixture.applies(MANAGER, &put(number, (number > 11).then_some(number - 1), 1));
        }
        assert_eq!(fixture.rejects(MANAGER, &put(19, Some(18), 1)), Rejection::of(Code::GroupDepth, 8, 9));
        assert_eq!(fixture.rejects(MANAGER, &put(11, Some(GARAGE), 1)), Rejection::of(Code::GroupDepth, 8, 10));
        fixture.applies(MANAGER, &put(13, Some(GARAGE), 1));
        let ledger = Ledger::new(&fixture.state);
        assert_eq!(groups::subtree(&ledger, id(BUILDING)), Ok(vec![BUILDING, GARAGE, 13, 14, 15, 16, 17, 18]));
    }

    #[test]
    fn rejects_one_group_too_many() {
        let mut fixture = Fixture::new();
        for number in 3..=256 {
            fixture.applies(MANAGER, &put(number, Some(BUILDING), 1));
        }
        assert_eq!(fixture.rejects(MANAGER, &put(1_000, None, 1)), Rejection::of(Code::TooMany, 256, 257));
        fixture.applies(MANAGER, &put(256, None, 1));
    }

    #[test]
    fn rejects_an_unknown_parent_or_condominium_and_who_is_no_manager() {
        let mut fixture = Fixture::new();
        assert_eq!(fixture.rejects(MANAGER, &put(9, Some(77), 1)), Rejection::new(Code::UnknownGroup));
        assert_eq!(fixture.rejects(SCHEDULER, &put(9, None, 1)), Rejection::new(Code::NotAllowed));
        let away = PutGroup { group: GroupId::new(AWAY, 9), ..put(9, None, 1) };
        assert_eq!(fixture.rejects(MANAGER, &away), Rejection::new(Code::NotAllowed));
        let nowhere = PutGroup { group: GroupId::new(CondominiumId(9), 9), ..put(9, None, 1) };
        assert_eq!(fixture.rejects(MANAGER, &nowhere), Rejection::new(Code::UnknownCondominium));
    }

    #[test]
    fn a_current_is_counted_in_its_group_and_all_above_and_refused_where_one_is_full() {
        let fixture = Fixture::new();
        let mut ledger = Ledger::new(&fixture.state);
        let ma = Currents::from_ma;
        let refused = |limit, found| Err(Failure::Reject(Rejection::of(Code::GroupLimit, limit, found)));
        let occupy = |ledger: &mut Ledger<'_>, group, old, new| groups::occupy(ledger, HOME, group, ma(old), ma(new));
        assert_eq!(occupy(&mut ledger, GARAGE, [0; 3], [40_000, 40_001, 40_002]), refused(40_000, 40_001));
        occupy(&mut ledger, GARAGE, [0; 3], [40_000, 40_000, 0]).unwrap();
        assert_eq!(occupy(&mut ledger, BUILDING, [0; 3], [30_001, 0, 0]), refused(80_000, 80_001));
        occupy(&mut ledger, BUILDING, [0; 3], [30_000, 0, 0]).unwrap();
        assert_eq!(occupy(&mut ledger, GARAGE, [0; 3], [0, 0, 40_001]), refused(40_000, 40_001));
        occupy(&mut ledger, GARAGE, [40_000, 40_000, 0], [1, 0, 40_000]).unwrap();
        assert_eq!(ledger.group(id(BUILDING)).unwrap().unwrap().granted, ma([30_001, 0, 40_000]));
        assert_eq!(ledger.group(id(GARAGE)).unwrap().unwrap().granted, ma([1, 0, 40_000]));
        assert_eq!(occupy(&mut ledger, 77, [0; 3], [1; 3]), Err(Code::UnknownGroup.into()));
        assert!(matches!(occupy(&mut ledger, GARAGE, [2, 0, 0], [0; 3]), Err(Failure::Fault(_))));
        assert_eq!(occupy(&mut ledger, GARAGE, [0; 3], [u32::MAX; 3]), Err(Code::Overflow.into()));
    }

    #[test]
    fn a_phase_that_does_not_grow_is_not_checked() {
        let mut fixture = Fixture::new();
        // Over its limit, as no call leaves a group: giving back must succeed even then.
        let over = Group { granted: Currents::from_ma([30_000; 3]), limit: Currents::from_ma([20_000; 3]), ..fixture.group(GARAGE) };
        fixture.put(&Key::Group(id(GARAGE)), &over);
        fixture.put(&Key::Group(id(BUILDING)), &Group { granted: over.granted, ..fixture.group(BUILDING) });
        let replaces = |old, new| {
            let mut ledger = Ledger::new(&fixture.state);
            groups::occupy(&mut ledger, HOME, GARAGE, Currents::from_ma(old), Currents::from_ma(new))
        };
        let same = [10_000, 10_000, 10_000];
        assert_eq!(replaces(same, same), Ok(()));
        assert_eq!(replaces(same, [9_999; 3]), Ok(()));
        for (new, found) in [([10_001, 0, 0], 30_001), ([0, 10_001, 0], 30_001), ([0, 0, 10_002], 30_002)] {
            assert_eq!(replaces(same, new), Err(Rejection::of(Code::GroupLimit, 20_000, found).into()));
        }
    }

    /// What the connectors and sessions of HOME add up to in each group, walking down from the top.
    fn added_up(fixture: &Fixture, number: u32) -> (u64, u64) {
        let ledger = Ledger::new(&fixture.state);
        let (mut granted, mut reserved) = (0, 0);
        for connector in connectors(&ledger, HOME).unwrap().into_iter().filter(|connector| connector.group == number) {
            match connector.control {
                Control::MeterOnly => reserved += connector.rated.total_ma(),
                Control::Switched => {
                    granted += connector.session.map_or(0, |open| fixture.session(open).granted.total_ma());
                }
            }
        }
        for (child, _) in groups::all(&ledger, HOME).unwrap().into_iter().filter(|(_, group)| group.parent == Some(number)) {
            let (more_granted, more_reserved) = added_up(fixture, child);
            granted += more_granted;
            reserved += more_reserved;
        }
        (granted, reserved)
    }

    #[test]
    fn sums_of_groups_are_those_of_their_connectors_and_sessions_after_random_changes() {
        let seed: u64 = rand::random();
        println!("seed {seed}");
        let mut rng = StdRng::seed_from_u64(seed);
        let (mut applied, mut refused, mut pauses) = (0, 0, 0);
        for _ in 0..20 {
            let mut fixture = Fixture::new();
            for _ in 0..100 {
                let group = rng.random_range(1..7);
                let number = rng.random_range(1..12);
                let result = match rng.random_range(0..3) {
                    0 => {
                        let limit = Currents::from_ma([rng.random_range(0..100_000), rng.random_range(20_000..100_000), 60_000]);
                        let parent = rng.random::<bool>().then(|| rng.random_range(1..7));
                        fixture.run(MANAGER, &PutGroup { group: id(group), parent, limit })
                    }
                    1 => {
                        let control = if rng.random() { Control::MeterOnly } else { Control::Switched };
                        let rated = Currents::from_ma([rng.random_range(6_000..20_000), 6_000, 0]);
                        fixture.run(
                            MANAGER,
                            &PutConnector {
                                connector: connector(number),
                                group,
                                control,
                                plug_signal: PlugSignal::None,
                                rated,
                                tariff: PLAIN.number,
                                service: Service::InService,
                            },
                        )
                    }
                    _ => {
                        let at: Option<Connector> = fixture.get(&Key::Connector(connector(number)));
                        let granted = [rng.random_range(6_000..16_000), rng.random_range(0..16_000), 0];
                        let room = at.filter(|at| at.session.is_none() && at.control == Control::Switched).is_some_and(|at| {
                            groups::occupy(&mut Ledger::new(&fixture.state), HOME, at.group, Currents::ZERO, Currents::from_ma(granted))
                                .is_ok()
                        });
                        if room {
                            let height = fixture.height.0;
                            charge(&mut fixture, number, granted, height);
                            fixture.height = fixture.height.next();
                        }
                        continue;
                    }
                };
                match result {
                    Ok(events) => {
                        applied += 1;
                        pauses += events.iter().filter(|event| matches!(event, Event::SessionPaused { .. })).count();
                    }
                    Err(Failure::Reject(_)) => refused += 1,
                    Err(Failure::Fault(fault)) => panic!("{fault}"),
                }
                for (number, group) in groups::all(&Ledger::new(&fixture.state), HOME).unwrap() {
                    assert_eq!((group.granted.total_ma(), group.reserved.total_ma()), added_up(&fixture, number), "group {number}");
                }
            }
        }
        println!("{applied} applied, {refused} refused, {pauses} paused");
        assert!(applied > 100 && refused > 100 && pauses > 0);
    }
}
