//! What is wrong with unit or meter, and that nobody loses by it.

use chain::{
    api::{MonitorView, RelayView},
    hash::Hash32,
    id::{Address, TxId},
    quantity::Currents,
    receipt::PauseReason,
    record::{EndReason, Fault, Key, PlugSignal, SessionState, Suspension},
};
use contracts::{
    call::{Call, PauseCharge},
    ledger::Ledger,
    sessions::most_energy,
};
use firmware_core::{Flags, Relay};

use super::{GATEWAY, HOME, PLACE, SCHEDULER, World};

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

/// A reading that the chain refused was signed all the same. What was salvaged had its number, its time and a lower register: evidence against an honest gateway.
#[test]
fn what_is_signed_after_a_refusal_does_not_contradict_what_was_refused() {
    let mut world = World::new(22, PlugSignal::Reported);
    let session = world.begin(50_000_000, [16_000; 3]);
    let start = world.register_wh();
    let granted_at = world.session(session).unwrap().first_granted_at.unwrap();
    // The unit's clock is ahead: both samples seem to be of the future, and count as taken when they come.
    world.run(840);
    let good = world.register_wh();
    world.now_ms += 57_000;
    for jump in [false, true] {
        if jump {
            world.now_ms += 3_000;
            let most = most_energy(Currents::from_ma([32_000; 3]), world.now().since(granted_at)).unwrap();
            world.watt_ms = u128::from(start + most.get() + 20) * 3_600_000;
        }
        world.now_ms += 5_000;
        world.sample(Flags::NONE);
        world.now_ms -= 5_000;
        world.post();
    }
    let bill = world.bill.expect("settled");
    assert_eq!((bill.reason, bill.energy.get()), (EndReason::Anomaly(Fault::MeterFault), good - start));
    world.check_proofs(session, &bill);
    assert!(world.signed.len() > world.accepted.len(), "one was refused");
    for (one, other) in world.signed.iter().flat_map(|one| world.signed.iter().map(move |other| (one, other))) {
        let both_true = one.register_wh == other.register_wh || one.at.cmp(&other.at) == one.register_wh.cmp(&other.register_wh);
        assert!(one.sequence != other.sequence || both_true, "{one:?} {other:?}");
    }
}

/// A suspension was acted on at the next reading that was refused: until then everybody charged on, and nobody was ever billed for it.
#[test]
fn a_suspension_stops_what_runs_from_its_block_on() {
    for paused in [false, true] {
        let mut world = World::new(23, PlugSignal::Reported);
        let session = world.begin(50_000_000, [16_000; 3]);
        let start = world.register_wh();
        world.run(1_000);
        if paused {
            world.block(vec![(SCHEDULER, Call::PauseCharge(PauseCharge { session, reason: PauseReason::Manual }))]);
        }
        let attested = Ledger::new(&world.state).connector(PLACE).unwrap().unwrap().last_register.get();
        assert!(attested < world.register_wh(), "not everything is attested yet");
        world.suspend(session);
        let bill = world.bill.expect("settled in the next round");
        assert_eq!((bill.reason, bill.energy.get()), (EndReason::Anomaly(Fault::MeterFault), attested - start));
        world.sample(Flags::NONE);
        world.post();
        assert_ne!(world.unit.lease().relay(), Relay::Closed);
    }
}

/// A reading that a suspended key had signed once froze the session, although the gateway's next key was trusted.
#[test]
fn a_reading_of_a_suspended_key_is_sent_again_by_the_next() {
    let mut world = World::new(24, PlugSignal::Reported);
    let session = world.begin(50_000_000, [16_000; 3]);
    let start = world.register_wh();
    world.run(600);
    let key = Key::Suspension(HOME, GATEWAY).bytes();
    let suspension = Suspension { since: world.height, session, sequence: 1, evidence: TxId(Hash32([0xee; 32])), lifted_at: None };
    world.state.put(key.clone(), chain::codec::encode(&suspension).unwrap());
    world.desk().set_account(Address([9; 32]));
    world.run(600);
    assert!(world.signed.len() > world.accepted.len(), "a reading was refused");
    // What the next key signs is taken.
    let lifted = Suspension { lifted_at: Some(world.now()), ..suspension };
    world.state.put(key, chain::codec::encode(&lifted).unwrap());
    world.run(600);
    world.stop(session);
    world.run(300);
    let bill = world.bill.expect("settled");
    assert_eq!((bill.reason, bill.energy.get()), (EndReason::StoppedByResident, world.register_wh() - start));
}

/// What the board shows of the world's place.
fn shown(world: &mut World) -> MonitorView {
    let board = world.desk().board();
    let rows = board.lock().unwrap();
    rows.get(&PLACE).unwrap().clone()
}

#[test]
fn a_meter_that_stands_still_ends_the_session_and_closes_the_connector() {
    let mut world = World::new(41, PlugSignal::Reported);
    let session = world.begin(50_000_000, [16_000, 0, 0]);
    world.run(600);
    let good = world.register_wh();
    world.frozen = true;
    world.run(900);
    let bill = world.bill.expect("settled");
    assert_eq!(bill.reason, EndReason::Anomaly(Fault::MeterFault));
    assert_ne!(world.unit.lease().relay(), Relay::Closed);
    let ledger = Ledger::new(&world.state);
    assert_eq!(ledger.connector(PLACE).unwrap().unwrap().fault, Some(Fault::MeterFault));
    assert!(bill.energy.get() <= good, "what it counted is billed");
    let row = shown(&mut world);
    assert_eq!(row.found.iter().map(|found| (found.fault, found.session)).collect::<Vec<_>>(), [(Fault::MeterFault, Some(session))]);
}

#[test]
fn heat_and_an_endless_charge_end_the_session_and_leave_the_connector_open() {
    for fault in [Fault::OverTemperature, Fault::OverTime] {
        let mut world = World::new(42, PlugSignal::Reported);
        world.settings.over_time_h = 1;
        world.restart();
        let session = world.begin(50_000_000, [16_000, 0, 0]);
        world.run(1_800);
        assert!(world.bill.is_none());
        let row = shown(&mut world);
        let sample = row.sample.expect("sampled");
        assert_eq!(
            (row.session, sample.power_w.get(), sample.temperature_dc, sample.relay),
            (Some(session), 3_680, Some(200), RelayView::Closed)
        );
        if fault == Fault::OverTemperature {
            world.temperature_dc = 610;
            world.run(120);
        } else {
            world.run(2_400);
        }
        let bill = world.bill.expect("settled");
        assert_eq!(bill.reason, EndReason::Anomaly(fault));
        assert_eq!(Ledger::new(&world.state).connector(PLACE).unwrap().unwrap().fault, None);
        assert_eq!(shown(&mut world).found[0].fault, fault);
    }
}

/// Nobody had a session, and current flowed all the same.
#[test]
fn a_relay_that_is_welded_without_a_session_closes_its_connector_and_what_flows_is_nobodys() {
    let mut world = World::new(43, PlugSignal::Reported);
    world.sample(Flags::NONE);
    world.post();
    (world.unswitched, world.plugged, world.car_ma) = (true, true, [16_000, 0, 0]);
    let before = world.register_wh();
    world.run(1_800);
    let connector = Ledger::new(&world.state).connector(PLACE).unwrap().unwrap();
    assert_eq!(connector.fault, Some(Fault::WeldedRelay));
    assert!(connector.unassigned.get() > before, "and it is told while it flows");
    assert_eq!(shown(&mut world).found[0].fault, Fault::WeldedRelay);
}
