//! Meters that are exchanged: nothing is lost, nothing appears, and the gateway agrees to what its unit bears out, and to nothing else.

use chain::{
    code::Code,
    quantity::WattHours,
    receipt::Event,
    record::{Connector, EndReason, Fault, Key, Meter, MeterProposal, PlugSignal},
};
use contracts::{
    call::{Attest, Call, ReplaceMeter},
    ledger::Ledger,
};
use firmware_core::Flags;

use super::{MANAGER, PLACE, World};

impl World {
    fn exchange(&mut self, last: u64, first: u64) {
        let call = ReplaceMeter { connector: PLACE, last: WattHours::new(last), first: WattHours::new(first) };
        let receipts = self.block(vec![(MANAGER, Call::ReplaceMeter(call))]);
        assert!(matches!(receipts[0].events.as_slice(), [Event::MeterProposed { .. }]), "{receipts:?}");
        self.deliver();
    }

    fn shows(&mut self, register_wh: u64) {
        self.watt_ms = u128::from(register_wh) * 3_600_000;
    }

    fn report(&mut self) {
        self.now_ms += 60_000;
        self.sample(Flags::NONE);
        self.post();
        self.tick();
    }

    /// The chain refuses the gateway's word of an exchange, for now.
    fn hold_exchange(&mut self, last: u64, first: u64) {
        let call = ReplaceMeter { connector: PLACE, last: WattHours::new(last), first: WattHours::new(first) };
        let now = self.now();
        self.desk().on_refused(&Call::ReplaceMeter(call), &Code::NotAllowed.into(), now);
    }

    fn meter(&self) -> Option<Meter> {
        Ledger::new(&self.state).get(&Key::Meter(PLACE)).unwrap()
    }

    fn connector(&self) -> Connector {
        Ledger::new(&self.state).connector(PLACE).unwrap().unwrap()
    }
}

#[test]
fn a_charge_goes_on_over_an_exchange_and_pays_for_every_watt_hour_once() {
    for round in 0..3 {
        let seed: u64 = rand::random();
        println!("seed {seed}");
        let mut world = World::new(seed, PlugSignal::Reported);
        world.crashes = round > 0;
        let session = world.begin(50_000_000, [16_000; 3]);
        let start = world.register_wh();
        // Up to a quarter of an hour: what was metered is attested then.
        world.run(900);
        let last = world.register_wh();
        assert_eq!(world.connector().last_register.get(), last, "the old meter's end is attested");
        world.exchange(last, 7);
        assert_eq!(world.meter(), None, "the gateway has not seen the new meter");
        world.shows(7);
        world.report();
        let meter = world.meter().expect("both have said the same");
        assert_eq!((meter.exchanges, meter.first.get(), meter.base.get()), (1, 7, last));
        world.run(600);
        world.car_ma = [0; 3];
        world.sample(Flags::END);
        world.post();
        let bill = world.bill.expect("settled in the instant in which it is full");
        assert_eq!(bill.reason, EndReason::VehicleFull, "no fault was found");
        assert_eq!(bill.energy.get(), last - start + world.register_wh() - 7);
        assert_eq!(world.session(session), None);
        assert_eq!(world.connector().last_register.get(), last + world.register_wh() - 7);
        // The new meter's first sample was behind no reading: the ranges of all later ones were wrong by one, and an honest gateway failed the audit.
        world.check_proofs(session, &bill);
    }
}

#[test]
fn a_fall_that_nobody_spoke_of_ends_the_session_and_the_exchange_opens_the_connector_again() {
    let mut world = World::new(31, PlugSignal::Reported);
    world.begin(50_000_000, [16_000; 3]);
    let start = world.register_wh();
    world.run(420);
    let last = world.register_wh();
    world.shows(3);
    world.report();
    let bill = world.bill.expect("settled");
    assert_eq!((bill.reason, bill.energy.get()), (EndReason::Anomaly(Fault::MeterFault), last - start));
    assert_eq!(world.connector().fault, Some(Fault::MeterFault));
    world.exchange(last, 0);
    assert_eq!(world.meter(), None, "nothing was heard of the unit since");
    world.report();
    assert_eq!(world.meter().map(|meter| meter.base.get()), Some(last));
    assert_eq!(world.connector().fault, None, "its meter is gone");
    // What the new meter has counted before a session opens is nobody's.
    world.bill = None;
    world.accepted.clear();
    world.begin(50_000_000, [16_000; 3]);
    assert_eq!(world.connector().last_register.get(), last + world.register_wh());
    assert_eq!(world.connector().unassigned.get(), start + 3);
}

/// A manager alone could have an exchange carried out that never was, by saying a little more of the old meter's end than it showed, by waiting for a restart, or
/// by saying the same again: the gateway took his word for what the old meter can have shown.
#[test]
fn the_gateway_does_not_agree_to_what_its_unit_does_not_bear_out() {
    for restarts in [false, true] {
        let mut world = World::new(32, PlugSignal::Reported);
        world.sample(Flags::NONE);
        world.post();
        let shown = world.register_wh();
        // The meter is the old one still, though more or as much is said of its end; or it cannot have come so far; or the new one shows less than it began with.
        for (last, first, now_shows) in [(shown, 0, shown), (shown + 100, 0, shown), (shown + 500_000, 0, 20), (shown, shown + 50, 20)] {
            world.exchange(last, first);
            world.shows(now_shows);
            if restarts {
                world.restart();
            }
            world.report();
            assert_eq!(world.meter(), None, "{last} {first} {now_shows}");
            world.shows(shown);
            world.report();
        }
        let last = world.connector().last_register.get().max(shown);
        world.exchange(last, 10);
        world.shows(20);
        if restarts {
            world.restart();
        }
        world.report();
        assert_eq!(world.meter().map(|meter| (meter.first.get(), meter.exchanges)), Some((10, 1)));
        let waits: Option<MeterProposal> = Ledger::new(&world.state).get(&Key::MeterProposal(PLACE)).unwrap();
        assert_eq!(waits, None);
        // Said again, it is no other exchange.
        world.exchange(last, 10);
        if restarts {
            world.restart();
        }
        world.report();
        assert_eq!(world.meter().map(|meter| meter.exchanges), Some(1));
    }
}

/// The first session after an exchange began with the sample that had made the gateway agree, which is older than the exchange and counts as the old meter's
/// end: its resident paid for what the new meter had counted before it came.
#[test]
fn what_the_new_meter_had_counted_before_the_exchange_is_nobodys_to_pay() {
    let mut world = World::new(33, PlugSignal::Reported);
    world.sample(Flags::NONE);
    world.post();
    let last = world.register_wh();
    world.exchange(last, 7);
    world.shows(300);
    world.plugged = true;
    world.now_ms += 60_000;
    world.hold_exchange(last, 7);
    world.sample(Flags::NONE);
    world.post();
    assert_eq!(world.meter(), None, "its block comes later than the sample");
    world.now_ms += 6_000;
    world.tick();
    assert!(world.meter().is_some_and(|meter| meter.since == world.now()));
    let session = world.open(PLACE, 50_000_000);
    world.grant(session, [32_000; 3]);
    world.car_ma = [16_000; 3];
    world.now_ms += 1_000;
    world.sample(Flags::NONE);
    world.post();
    world.run(600);
    let end = world.register_wh();
    world.car_ma = [0; 3];
    world.sample(Flags::END);
    world.post();
    let bill = world.bill.expect("settled");
    assert!(end > 300, "it charges");
    assert_eq!(bill.energy.get(), end - 300);
    assert_eq!(world.connector().unassigned.get(), last + 293);
    world.check_proofs(session, &bill);
}

/// The process died between the new meter's first sample and the block of the exchange. Started again it took what that sample showed for the old meter's: the
/// next one was lower, and the resident paid for energy that had never flowed.
#[test]
fn a_sample_of_the_new_meter_counts_for_nothing_after_a_restart_either() {
    for silence_ms in [60_000, 180_000] {
        let mut world = World::new(34, PlugSignal::Reported);
        let session = world.begin(50_000_000, [16_000; 3]);
        let start = world.register_wh();
        world.run(900);
        let last = world.register_wh();
        assert_eq!(world.connector().last_register.get(), last);
        world.exchange(last, last + 500);
        world.shows(last + 503);
        // Long enough for the old meter to have come as far.
        world.now_ms += silence_ms;
        world.hold_exchange(last, last + 500);
        world.sample(Flags::NONE);
        world.post();
        assert_eq!(world.meter(), None, "its block comes later than the sample");
        world.restart();
        world.now_ms += 6_000;
        world.tick();
        assert_eq!(world.meter().map(|meter| meter.base.get()), Some(last));
        world.run(300);
        world.car_ma = [0; 3];
        world.sample(Flags::END);
        world.post();
        let bill = world.bill.expect("settled");
        assert_eq!(bill.reason, EndReason::VehicleFull, "no fault was found");
        assert_eq!(bill.energy.get(), last - start + world.register_wh() - last - 500);
        world.check_proofs(session, &bill);
    }
}

/// The manager typed a few watt-hours too many: the chain cannot carry that out while the session is open. The gateway passed over all that the new meter showed, and
/// gave leases meanwhile, until the word lapsed after a day; that energy was billed to nobody.
#[test]
fn an_exchange_that_the_chain_cannot_carry_out_ends_the_session() {
    let mut world = World::new(36, PlugSignal::Reported);
    world.sample(Flags::NONE);
    world.post();
    let last = world.register_wh() + 4;
    world.exchange(last, 0);
    world.begin(50_000_000, [0; 3]);
    world.shows(2);
    world.now_ms += 60_000;
    world.hold_exchange(last, 0);
    world.sample(Flags::NONE);
    world.post();
    assert!(world.bill.is_none(), "it may be the new meter");
    let call = ReplaceMeter { connector: PLACE, last: WattHours::new(last), first: WattHours::ZERO };
    let now = world.now();
    world.desk().on_refused(&Call::ReplaceMeter(call), &Code::MeterRegister.into(), now);
    world.report();
    let bill = world.bill.expect("settled");
    assert_eq!((bill.reason, bill.energy), (EndReason::Anomaly(Fault::MeterFault), WattHours::ZERO));
    // Now it can be carried out.
    world.report();
    assert_eq!(world.meter().map(|meter| meter.base.get()), Some(last));
}

/// Readings of the old meter rested after a refusal, and the exchange was submitted before them.
#[test]
fn an_exchange_waits_until_the_chain_has_what_the_old_meter_has_shown() {
    let mut world = World::new(35, PlugSignal::Reported);
    world.begin(50_000_000, [0; 3]);
    world.run(840);
    let last = world.register_wh();
    world.exchange(last, 7);
    world.now_ms += 60_000;
    let (now, refused) = (world.now(), Attest { readings: world.accepted.values().copied().collect() });
    world.desk().on_refused(&Call::Attest(refused), &Code::NotAllowed.into(), now);
    let attested = world.accepted.len();
    world.sample(Flags::NONE);
    world.post();
    world.shows(7);
    world.now_ms += 1_000;
    world.sample(Flags::NONE);
    world.post();
    assert_eq!((world.meter(), world.accepted.len()), (None, attested), "both wait");
    world.now_ms += 6_000;
    world.tick();
    assert!(world.meter().is_some() && world.accepted.len() > attested);
}
