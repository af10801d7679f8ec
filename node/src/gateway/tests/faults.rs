//! What is wrong with unit or meter, and that nobody loses by it.

use chain::{
    quantity::Currents,
    record::{EndReason, Fault, PlugSignal, SessionState},
};
use contracts::sessions::most_energy;
use firmware_core::Flags;

use super::World;

#[test]
fn a_welded_relay_ends_the_session_and_a_silent_unit_is_reported() {
    let mut world = World::new(5, PlugSignal::Reported);
    world.begin(50_000_000, [16_000; 3]);
    world.run(120);
    world.sample(Flags::WELDED_RELAY);
    world.post();
    world.run(600);
    assert_eq!(world.bill.expect("settled").reason, EndReason::Anomaly(Fault::WeldedRelay));

    let mut world = World::new(6, PlugSignal::Reported);
    let session = world.begin(50_000_000, [16_000; 3]);
    world.run(120);
    world.now_ms += 3 * 150_000;
    world.tick();
    let state = world.session(session).unwrap().state;
    assert!(matches!(state, SessionState::Stopping { reason: EndReason::Anomaly(Fault::UnitLost), .. }), "{state:?}");
    world.now_ms += 400_000;
    world.tick();
    world.tick();
    assert_eq!(world.bill.expect("settled").reason, EndReason::Anomaly(Fault::UnitLost));
}

/// A tester let a register fall between two attestations. The good samples since the last one had been acknowledged to the unit, and were never billed.
#[test]
fn energy_that_was_metered_before_a_register_fell_or_jumped_is_attested_and_billed() {
    for jump_wh in [-2_000_i64, 100_000] {
        for crashes in [false, true] {
            let seed: u64 = rand::random();
            println!("seed {seed}");
            let mut world = World::new(seed, PlugSignal::Reported);
            world.crashes = crashes;
            let session = world.begin(50_000_000, [16_000; 3]);
            let start = world.register_wh();
            world.run(420);
            let good = world.register_wh();
            let attested = world.accepted.values().map(|reading| reading.register_wh.get()).max();
            assert!(attested.is_some_and(|attested| attested < good), "not everything is attested yet");
            world.watt_ms = world.watt_ms.checked_add_signed(i128::from(jump_wh) * 3_600_000).unwrap();
            world.now_ms += 30_000;
            world.sample(Flags::NONE);
            world.post();
            let bill = world.bill.expect("a meter that cannot be believed has nothing more to say");
            assert_eq!(bill.reason, EndReason::Anomaly(Fault::MeterFault));
            assert_eq!(bill.energy.get(), good - start, "up to the last good point, and not a Wh further");
            world.check_proofs(session, &bill);
        }
    }
}

/// A jump that is within the clocks' difference for the gateway and beyond it for the chain: the reading was refused, and with it went everything since the one
/// before.
#[test]
fn a_reading_that_the_chain_does_not_believe_does_not_take_the_good_ones_before_it_along() {
    let mut world = World::new(21, PlugSignal::Reported);
    let session = world.begin(50_000_000, [16_000; 3]);
    let start = world.register_wh();
    let granted_at = world.session(session).unwrap().first_granted_at.unwrap();
    // One minute before the quarter of an hour at which a reading is due.
    world.run(840);
    let good = world.register_wh();
    world.now_ms += 60_000;
    let most = most_energy(Currents::from_ma([32_000; 3]), world.now().since(granted_at)).unwrap();
    world.watt_ms = u128::from(start + most.get() + 20) * 3_600_000;
    world.sample(Flags::NONE);
    world.post();
    let bill = world.bill.expect("settled");
    assert_eq!(bill.reason, EndReason::Anomaly(Fault::MeterFault));
    assert_eq!(bill.energy.get(), good - start);
    world.check_proofs(session, &bill);
}
