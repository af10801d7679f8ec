//! The limits of groups, held by the gateway itself while the chain's word has not reached every unit.

use chain::{id::GroupId, quantity::Currents, receipt::PauseReason, record::PlugSignal, time::Duration};
use contracts::call::{Call, PauseCharge, PutGroup};
use firmware_core::Relay;

use super::{HOME, MANAGER, NEXT, SCHEDULER, World, neighbour::Neighbour};

/// A unit was cut off; its session was paused and its current granted to the next one, and for the rest of the lease both drew.
#[test]
fn a_lease_that_may_still_be_held_holds_the_next_one_down_until_it_is_over() {
    let mut world = World::new(11, PlugSignal::Reported);
    let mut next = Neighbour::new(&mut world);
    let first = world.begin(50_000_000, [16_000; 3]);
    next.post(&mut world, 0);
    let second = world.open(NEXT, 50_000_000);
    world.block(vec![(SCHEDULER, Call::PauseCharge(PauseCharge { session: first, reason: PauseReason::Manual }))]);
    world.grant(second, [32_000; 3]);
    assert_eq!(next.post(&mut world, 0), Some([8_000; 3]), "40 A of the group without the 32 A that may still flow");
    assert_eq!(world.counters.lowered.get(), 1);
    world.restart();
    assert_eq!(next.post(&mut world, 8_000), Some([8_000; 3]), "a lease outlives the gateway's process");
    world.now_ms += 140_000;
    assert_eq!(next.post(&mut world, 8_000), Some([8_000; 3]));
    world.now_ms += Duration::from_secs(11).ms();
    assert_eq!(next.post(&mut world, 8_000), Some([32_000; 3]));
}

#[test]
fn a_unit_that_says_that_its_relay_is_open_frees_its_current_at_once() {
    let mut world = World::new(12, PlugSignal::Reported);
    let mut next = Neighbour::new(&mut world);
    let first = world.begin(50_000_000, [16_000; 3]);
    next.post(&mut world, 0);
    let second = world.open(NEXT, 50_000_000);
    world.block(vec![(SCHEDULER, Call::PauseCharge(PauseCharge { session: first, reason: PauseReason::Manual }))]);
    world.grant(second, [32_000; 3]);
    world.post();
    assert_ne!(world.unit.lease().relay(), Relay::Closed);
    assert_eq!(next.post(&mut world, 0), Some([32_000; 3]));
}

#[test]
fn a_lowered_group_is_not_exceeded_by_a_renewal_while_another_unit_has_not_heard_of_it() {
    let mut world = World::new(13, PlugSignal::Reported);
    let mut next = Neighbour::new(&mut world);
    let first = world.begin(50_000_000, [16_000; 3]);
    world.grant(first, [16_000; 3]);
    world.run(240);
    next.post(&mut world, 0);
    let second = world.open(NEXT, 50_000_000);
    world.grant(second, [16_000; 3]);
    assert_eq!(next.post(&mut world, 0), Some([16_000; 3]));
    let lower = PutGroup { group: GroupId::new(HOME, 1), parent: None, limit: Currents::from_ma([20_000; 3]) };
    world.block(vec![(MANAGER, Call::PutGroup(lower))]);
    world.post();
    assert_ne!(world.unit.lease().relay(), Relay::Closed, "the chain paused the newer one, whose unit does not know yet");
    assert_eq!(next.post(&mut world, 16_000), None);
    next.post(&mut world, 0);
    world.post();
    assert_eq!(world.unit.lease().relay(), Relay::Closed);
}

/// A tester let current flow at a connector without a session; nobody was told.
#[test]
fn current_that_nobody_was_granted_is_counted_once_and_against_its_group() {
    let mut world = World::new(14, PlugSignal::Reported);
    let mut next = Neighbour::new(&mut world);
    let first = world.begin(50_000_000, [16_000; 3]);
    assert_eq!(world.counters.unbidden.get(), 0);
    next.post(&mut world, 10_000);
    next.post(&mut world, 10_000);
    assert_eq!(world.counters.unbidden.get(), 1, "once for each time that it begins");
    world.post();
    assert_eq!(world.counters.lowered.get(), 1, "40 A without the 10 A that flow beside leave 30 A of the 32 A that were granted");
    next.post(&mut world, 0);
    next.post(&mut world, 10_000);
    assert_eq!(world.counters.unbidden.get(), 2);
    assert!(world.session(first).is_some());
}
