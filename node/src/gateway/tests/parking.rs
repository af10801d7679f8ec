//! Tariffs that count more than energy: a full vehicle that stays, and powers that pass an edge.

use chain::{
    quantity::{Amount, Watts},
    record::{EndReason, Key, PlugSignal, SessionState, TariffVersion},
    tariff::{PriceComponent, Tariff, TariffDimension, TariffElement, TariffRestrictions},
    time::{Duration, Timestamp},
};
use contracts::call::ReadingFlags;
use firmware_core::{Flags, Relay};

use super::{HOME, World, tariff};

const GRACE_MS: u64 = 600_000;
/// Micro-tokens per hour.
const PARKING_PRICE: u64 = 6_000_000;

fn price(dimension: TariffDimension, micro: u64) -> PriceComponent {
    PriceComponent { dimension, price: Amount::from_micro(micro) }
}

/// A world whose one tariff version has these elements.
fn world(seed: u64, elements: Vec<TariffElement>) -> World {
    let mut world = World::new(seed, PlugSignal::Reported);
    let document = Tariff { elements, parking_grace: Duration::from_ms(GRACE_MS), ..tariff() };
    let version = TariffVersion { valid_from: Timestamp::from_ms(0), tariff: document };
    let key = Key::TariffVersion(chain::id::TariffId::new(HOME, 1), 1);
    world.state.put(key.bytes(), chain::codec::encode(&version).unwrap());
    world.restart();
    world.configure();
    world
}

fn with_parking() -> Vec<TariffElement> {
    let price_components = vec![price(TariffDimension::Energy, 250_000), price(TariffDimension::ParkingTime, PARKING_PRICE)];
    vec![TariffElement { price_components, restrictions: TariffRestrictions::default() }]
}

#[test]
fn a_full_vehicle_that_stays_parks_until_its_plug_is_gone() {
    for round in 0..4 {
        let seed: u64 = rand::random();
        println!("seed {seed}");
        let mut world = world(seed, with_parking());
        world.crashes = round > 0;
        let session = world.begin(50_000_000, [16_000, 0, 0]);
        let start = world.register_wh();
        world.run(1_800);
        world.car_ma = [0; 3];
        world.sample(Flags::END);
        world.post();
        assert!(world.bill.is_none(), "it stays");
        assert_eq!(world.session(session).unwrap().state, SessionState::Idle);
        assert_ne!(world.unit.lease().relay(), Relay::Closed);
        let full_at = world.accepted.values().find(|reading| reading.flags == ReadingFlags::VEHICLE_FULL).unwrap().at.ms();
        world.run(1_800);
        world.plugged = false;
        world.sample(Flags::NONE);
        world.post();
        let bill = world.bill.expect("settled in the instant in which the plug is gone");
        assert_eq!(bill.reason, EndReason::VehicleFull);
        let parked_ms = bill.ended_at.ms() - full_at - GRACE_MS;
        assert!(parked_ms >= 1_199_000, "{parked_ms} ms");
        assert_eq!(bill.cost.parking_time.parts(), u128::from(parked_ms) * u128::from(PARKING_PRICE) * 10_000);
        assert_eq!(bill.energy.get(), world.register_wh() - start);
        world.check_proofs(session, &bill);
    }
}

#[test]
fn parking_ends_by_money_where_nobody_unplugs() {
    let mut world = world(41, with_parking());
    world.begin(600_000, [16_000, 0, 0]);
    world.run(60);
    world.car_ma = [0; 3];
    world.sample(Flags::END);
    world.post();
    assert!(world.bill.is_none());
    // A tenth of a token a minute, from the eleventh minute on.
    world.run(1_800);
    let bill = world.bill.expect("settled");
    assert_eq!((bill.reason, bill.paid), (EndReason::Money, Amount::from_micro(600_000)));
    assert!(bill.overdrawn.is_none_or(|over| over.amount.micro() <= 100_000), "{bill:?}");
}

#[test]
fn a_vehicle_that_took_nothing_any_more_and_left_was_full_and_parks_no_minute() {
    let mut world = world(42, with_parking());
    world.settings.full_after_s = 3_600;
    world.restart();
    world.begin(50_000_000, [16_000, 0, 0]);
    world.run(600);
    world.car_ma = [0; 3];
    world.run(1_200);
    assert!(world.bill.is_none(), "it may begin again");
    world.plugged = false;
    world.sample(Flags::END);
    world.post();
    let bill = world.bill.expect("settled");
    assert_eq!((bill.reason, bill.cost.parking_time.parts()), (EndReason::VehicleFull, 0));
}

#[test]
fn energy_is_billed_by_the_power_that_it_came_with() {
    let below = TariffRestrictions { max_power: Some(Watts::new(5_000)), ..TariffRestrictions::default() };
    let mut world = world(
        43,
        vec![
            TariffElement { price_components: vec![price(TariffDimension::Energy, 200_000)], restrictions: below },
            TariffElement { price_components: vec![price(TariffDimension::Energy, 500_000)], restrictions: TariffRestrictions::default() },
        ],
    );
    let session = world.begin(50_000_000, [16_000, 0, 0]);
    let start = world.register_wh();
    world.run(600);
    let slow = world.register_wh() - start;
    world.car_ma = [16_000; 3];
    world.run(600);
    world.plugged = false;
    world.sample(Flags::END);
    world.post();
    let bill = world.bill.expect("settled");
    assert_eq!(bill.paid.micro(), slow * 200 + (bill.energy.get() - slow) * 500);
    world.check_proofs(session, &bill);
}
