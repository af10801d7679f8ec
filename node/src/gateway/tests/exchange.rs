//! Meters that are exchanged: nothing is lost, nothing appears, and the gateway agrees to what its unit bears out, and to nothing else.

use chain::{
    quantity::WattHours,
    receipt::Event,
    record::{Connector, EndReason, Fault, Key, Meter, MeterProposal, PlugSignal},
};
use contracts::{
    call::{Call, ReplaceMeter},
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

#[test]
fn the_gateway_does_not_agree_to_what_its_unit_does_not_bear_out() {
    let mut world = World::new(32, PlugSignal::Reported);
    world.sample(Flags::NONE);
    world.post();
    let shown = world.register_wh();
    // The meter is the old one still; or it cannot have come so far; or the new one shows less than it began with.
    for (last, first, now_shows) in [(shown, 0, shown), (shown + 500_000, 0, 20), (shown, 50, 20)] {
        world.exchange(last, first);
        world.shows(now_shows);
        world.report();
        assert_eq!(world.meter(), None, "{last} {first} {now_shows}");
        world.shows(shown);
        world.report();
    }
    world.exchange(shown, 10);
    world.shows(20);
    world.report();
    assert_eq!(world.meter().map(|meter| meter.first.get()), Some(10));
    let waits: Option<MeterProposal> = Ledger::new(&world.state).get(&Key::MeterProposal(PLACE)).unwrap();
    assert_eq!(waits, None);
}
