//! How a charge ends, by vehicle, owner and time.

use chain::{
    id::{Address, Height},
    params::Params,
    receipt::Settler,
    record::{EndReason, Key, PlugSignal, Role, RoleGrant},
};
use firmware_core::{Flags, Relay};

use super::{HOME, NEXT, PLACE, World};

#[test]
fn a_plug_that_goes_before_the_vehicle_is_full_means_removed() {
    let mut world = World::new(2, PlugSignal::Reported);
    world.begin(50_000_000, [10_000, 0, 0]);
    world.run(600);
    world.plugged = false;
    world.sample(Flags::END);
    world.post();
    assert_eq!(world.bill.expect("settled").reason, EndReason::VehicleRemoved);
}

#[test]
fn without_a_plug_signal_a_drop_means_removed_and_a_taper_full() {
    for (last_ma, reason) in [(16_000, EndReason::VehicleRemoved), (6_000, EndReason::VehicleFull)] {
        let mut world = World::new(3, PlugSignal::None);
        world.begin(50_000_000, [16_000, 0, 0]);
        world.run(600);
        world.car_ma = [last_ma, 0, 0];
        world.run(120);
        world.car_ma = [0; 3];
        world.run(60);
        assert_eq!(world.bill.expect("settled").reason, reason);
    }
}

#[test]
fn a_stop_opens_the_relay_at_the_next_word_and_bills_until_then() {
    let mut world = World::new(4, PlugSignal::Reported);
    let session = world.begin(50_000_000, [16_000; 3]);
    let start = world.register_wh();
    world.run(630);
    world.stop(session);
    assert!(world.bill.is_none(), "the relay is still closed");
    world.run(60);
    let bill = world.bill.expect("settled");
    assert_eq!(bill.reason, EndReason::StoppedByResident);
    assert_eq!(bill.energy.get(), world.register_wh() - start);
    assert_ne!(world.unit.lease().relay(), Relay::Closed);
}

/// A tester let a session be granted at a connector whose unit never asked, and stopped it: the money came back an hour later.
#[test]
fn a_session_whose_unit_never_asked_is_settled_at_nothing_as_soon_as_it_is_stopped() {
    let mut world = World::new(31, PlugSignal::Reported);
    let session = world.open(PLACE, 50_000_000);
    world.grant(session, [32_000; 3]);
    world.stop(session);
    let bill = world.bill.expect("no lease was ever given");
    assert_eq!((bill.energy.get(), bill.paid.micro(), bill.reason), (0, 0, EndReason::StoppedByResident));
}

#[test]
fn a_session_where_there_is_no_unit_is_settled_once_no_lease_of_anybody_can_be_left() {
    let mut world = World::new(32, PlugSignal::Reported);
    let session = world.open(NEXT, 50_000_000);
    world.grant(session, [32_000; 3]);
    world.stop(session);
    let lease_ms = Params::default().lease.ms();
    world.now_ms += lease_ms + 29_000;
    world.tick();
    assert_eq!(world.elsewhere[&session], None, "a lease that was given before this gateway knew anything may not be over");
    world.restart();
    world.now_ms += 1_000;
    world.tick();
    let bill = world.elsewhere[&session].expect("settled");
    assert_eq!((bill.paid.micro(), bill.settled_by), (0, Settler::Gateway));
}

#[test]
fn a_session_that_another_gateway_may_serve_is_left_to_it_and_to_the_chain() {
    let mut world = World::new(33, PlugSignal::Reported);
    let other = Key::Role(HOME, Role::Gateway, Address([9; 32]));
    world.state.put(other.bytes(), chain::codec::encode(&RoleGrant { from: Height(0), until: None }).unwrap());
    let session = world.open(NEXT, 50_000_000);
    world.grant(session, [32_000; 3]);
    world.stop(session);
    world.now_ms += 1_800_000;
    world.tick();
    assert_eq!(world.elsewhere[&session], None);
    world.now_ms += 1_800_000;
    world.tick();
    assert_eq!(world.elsewhere[&session].expect("by the chain").settled_by, Settler::Chain);
}

/// In a storm a gateway was killed after it had sent a reading, and its next process sent the last one under the same number, and the settlement behind it. The old
/// transaction came into a block, the last reading never did, and the settlement billed nothing of 22 Wh.
#[test]
fn a_settlement_never_overtakes_the_last_reading() {
    let mut world = World::new(34, PlugSignal::Reported);
    let session = world.begin(50_000_000, [10_000, 0, 0]);
    world.run(600);
    world.plugged = false;
    world.sample(Flags::END);
    world.overtaken = Some(session);
    world.post();
    assert_eq!(world.overtaken, None);
    let bill = world.bill.expect("settled");
    assert_eq!(bill.energy.get(), world.register_wh() - world.accepted[&1].register_wh.get());
    assert!(bill.energy.get() > 300, "{bill:?}");
}
