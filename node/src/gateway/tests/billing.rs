//! What is billed: every watt-hour once, and never past the escrow by more than one.

use std::collections::BTreeMap;

use chain::record::{EndReason, PlugSignal};
use contracts::call::Reading;
use firmware_core::{Flags, Relay};
use rand::Rng as _;

use super::{DAY_PRICE, NIGHT_MS, NIGHT_PRICE, World};

#[test]
fn every_watt_hour_is_billed_once_whatever_dies_and_whenever() {
    for round in 0..4 {
        let seed: u64 = rand::random();
        println!("seed {seed}");
        let mut world = World::new(seed, PlugSignal::Reported);
        world.crashes = round > 0;
        let session = world.begin(50_000_000, [16_000, 16_000, 0]);
        let start = world.register_wh();
        let seconds = world.rng.random_range(600..3_600);
        world.run(seconds);
        world.run(60 - (world.now_ms / 1_000) % 60);
        // Full, with the plug in.
        world.car_ma = [0; 3];
        world.sample(Flags::END);
        world.post();
        let bill = world.bill.expect("settled in the instant in which it is full");
        assert_eq!(bill.reason, EndReason::VehicleFull);
        assert_eq!(bill.energy.get(), world.register_wh() - start, "no Wh is lost and none counted twice");
        let day: u64 = energy_before(&world.accepted, NIGHT_MS, start);
        let expected = day * DAY_PRICE + (bill.energy.get() - day) * NIGHT_PRICE;
        assert_eq!(bill.paid.micro(), expected / 1_000, "the reading at the edge makes the bill exact");
        world.check_proofs(session, &bill);
        assert_ne!(world.unit.lease().relay(), Relay::Closed);
    }
}

#[test]
fn a_session_without_money_stops_within_a_watt_hour() {
    let mut world = World::new(1, PlugSignal::Reported);
    // 0.5 tokens at 0.25 per kWh: 2 kWh.
    let session = world.begin(500_000, [32_000; 3]);
    world.run(3_600);
    let bill = world.bill.expect("settled");
    assert_eq!(bill.reason, EndReason::Money);
    assert_eq!(bill.paid.micro(), 500_000);
    assert!((2_000..=2_010).contains(&bill.energy.get()), "{} Wh", bill.energy.get());
    world.check_proofs(session, &bill);
}

/// A cost that equals the escrow to the last part spends it: one more watt-hour would be nobody's.
#[test]
fn a_session_whose_cost_equals_its_escrow_stops_there() {
    let mut rich = World::new(1, PlugSignal::Reported);
    rich.begin(50_000_000, [32_000; 3]);
    let start = rich.register_wh();
    rich.run(600);
    let energy = rich.register_wh() - start;
    let escrow = energy * DAY_PRICE / 1_000;

    let mut world = World::new(1, PlugSignal::Reported);
    world.begin(escrow, [32_000; 3]);
    world.run(3_600);
    let bill = world.bill.expect("settled");
    assert_eq!((bill.reason, bill.energy.get(), bill.paid.micro()), (EndReason::Money, energy, escrow));
}

/// The energy until the last reading at or before `edge_ms`.
fn energy_before(accepted: &BTreeMap<u64, Reading>, edge_ms: u64, start: u64) -> u64 {
    accepted
        .values()
        .filter(|reading| reading.at.ms() <= edge_ms)
        .map(|reading| reading.register_wh.get() - start)
        .max()
        .unwrap_or_default()
}
