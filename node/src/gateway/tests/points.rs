//! Points without a switch: power starts a charge under the mandate that is bound to the point, and what no session bills is shown to be nobody's.

use chain::{
    card_order::{CardAction, CardOrder},
    id::{CardId, SessionId},
    quantity::{Amount, Currents},
    record::{Connector, Control, EndReason, Group, Key, PlugSignal},
};
use contracts::{
    call::{BindCard, Call, RevokeMandate},
    ledger::Ledger,
};
use firmware_core::Flags;

use super::{
    HOME, MANAGER, PLACE, RESIDENT, World,
    cards::{CHAIN, KEY},
};

/// 3.68 kW.
const CAR: [u32; 3] = [16_000, 0, 0];

fn world(seed: u64) -> World {
    let mut world = World::new(seed, PlugSignal::None);
    let connector: Connector = Ledger::new(&world.state).connector(PLACE).unwrap().unwrap();
    let connector = Connector { control: Control::MeterOnly, rated: Currents::from_ma(CAR), ..connector };
    let group: Group = Ledger::new(&world.state).group(chain::id::GroupId::new(HOME, 1)).unwrap().unwrap();
    let group = Group { reserved: connector.rated, ..group };
    world.state.put(Key::Connector(PLACE).bytes(), chain::codec::encode(&connector).unwrap());
    world.state.put(Key::Group(chain::id::GroupId::new(HOME, 1)).bytes(), chain::codec::encode(&group).unwrap());
    world.unswitched = true;
    // The meter has counted before, as meters have.
    world.restart();
    world.sample(Flags::NONE);
    world.post();
    world
}

impl World {
    fn bind_point(&mut self) {
        let card = CardId::commit_point(&KEY, PLACE);
        let order = CardOrder { chain_id: CHAIN, signer: MANAGER, at: self.now(), condominium: HOME, card, action: CardAction::Keep(KEY) };
        assert_eq!(self.follow(&order), Ok(true));
        self.block(vec![(MANAGER, Call::BindCard(BindCard { condominium: HOME, card, account: Some(RESIDENT) }))]);
    }

    /// The car draws so much from now on; its unit says so.
    fn draw(&mut self, car_ma: [u32; 3]) {
        (self.plugged, self.car_ma) = (true, car_ma);
        self.sample(Flags::NONE);
        self.post();
    }

    fn point(&self) -> Connector {
        Ledger::new(&self.state).connector(PLACE).unwrap().unwrap()
    }

    fn opened(&self) -> SessionId {
        self.open_session().expect("a session is open")
    }
}

#[test]
fn power_opens_a_session_under_the_bound_mandate_and_its_absence_ends_it() {
    for round in 0..6 {
        let seed: u64 = rand::random();
        println!("seed {seed}");
        let mut world = world(seed);
        world.bind_point();
        world.mandate(|_| {});
        let before = world.register_wh();
        world.crashes = round > 0;
        world.run(300);
        assert_eq!(world.open_session(), None, "nothing flows");
        world.draw(CAR);
        // A gateway that is killed between the power and the chain asks again when it starts: the next message may be an hour away.
        let id = world.opened();
        assert_eq!(world.session(id).unwrap().account, RESIDENT);
        let start = world.register_wh();
        world.run(1_800);
        assert!(world.bill.is_none());
        world.draw([0; 3]);
        world.run(60);
        let bill = world.bill.expect("settled");
        assert_eq!((bill.session, bill.reason), (id, EndReason::VehicleRemoved));
        assert_eq!(bill.energy.get(), world.register_wh() - start);
        assert!(bill.energy.get() >= 1_830 && bill.refund > Amount::ZERO, "{bill:?}");
        world.check_proofs(id, &bill);
        // What the meter had counted before it was mounted here was nobody's either: it is recorded with the first reading.
        assert_eq!(world.point().unassigned.get(), start);
        assert!(round > 0 || start == before);
    }
}

#[test]
fn a_start_that_died_with_its_gateway_is_made_up_for_unless_the_unit_is_silent_since() {
    for (silent_s, opens) in [(0, true), (60, true), (3_600, false)] {
        let mut world = world(7);
        world.draw(CAR);
        assert_eq!(world.open_session(), None, "nobody pays yet");
        world.bind_point();
        world.mandate(|_| {});
        world.now_ms += silent_s * 1_000;
        world.restart();
        world.deliver();
        assert_eq!(world.open_session().is_some(), opens, "{silent_s} s");
    }
}

#[test]
fn what_flows_without_a_mandate_is_told_while_it_flows_and_when_it_stops() {
    for crashes in [false, true] {
        let seed: u64 = rand::random();
        println!("seed {seed}");
        let mut world = world(seed);
        world.crashes = crashes;
        world.draw(CAR);
        world.run(2_400);
        let told = world.point();
        assert!(told.unassigned.get() > 0, "every quarter of an hour");
        world.draw([0; 3]);
        world.run(120);
        let point = world.point();
        assert_eq!((point.unassigned.get(), point.last_register.get()), (world.register_wh(), world.register_wh()));
        let height = world.height;
        world.draw([0; 3]);
        let now = world.now();
        assert!(world.desk().round(now).is_empty(), "told once");
        assert_eq!(world.height, height);
        assert_eq!(Ledger::new(&world.state).account(&RESIDENT).unwrap().unwrap().balance.micro(), 100_000_000);
    }
}

/// The gateway of a site that loses power every quarter of an hour came back each time after the edge at which it would have told, and told nothing for hours.
#[test]
fn what_flows_is_told_by_a_gateway_that_is_killed_at_every_edge_too() {
    let mut world = world(7);
    world.draw(CAR);
    // Half a minute before the edge.
    world.run(900 - (world.now_ms / 1_000 + 30) % 900);
    for _ in 0..4 {
        world.restart();
        world.run(900);
    }
    let (told, shown) = (world.point().unassigned.get(), world.register_wh());
    // All but the last stretch, which began after the last start.
    assert!(told >= shown / 2, "{told} of {shown} Wh");
}

#[test]
fn a_spent_escrow_is_not_followed_by_another_until_the_next_vehicle() {
    let mut world = world(3);
    world.bind_point();
    // 1 kWh.
    world.mandate(|terms| terms.max_per_session = Amount::from_micro(250_000));
    let before = world.register_wh();
    world.draw(CAR);
    world.run(3_600);
    let bill = world.bill.take().expect("settled");
    assert_eq!((bill.reason, bill.paid.micro()), (EndReason::Money, 250_000));
    assert!((1_000..1_070).contains(&bill.energy.get()), "{:?}", bill.energy);
    world.restart();
    world.run(3_600);
    assert_eq!(world.open_session(), None, "nobody has agreed to more");
    world.draw([0; 3]);
    let point = world.point();
    assert_eq!(point.unassigned.get() + bill.energy.get(), world.register_wh(), "the meter's own beginning included: {before}");

    world.accepted.clear();
    world.draw(CAR);
    assert_ne!(world.opened(), bill.session, "the next vehicle");
}

#[test]
fn who_stops_it_is_obeyed_and_a_mandate_that_comes_later_bills_from_then_on() {
    let mut world = world(4);
    world.draw(CAR);
    world.run(600);
    assert_eq!(world.open_session(), None);
    world.bind_point();
    world.mandate(|_| {});
    world.run(60);
    let id = world.opened();
    let start = world.register_wh();
    world.run(600);
    world.stop(id);
    let bill = world.bill.take().expect("there is no relay to wait for");
    assert_eq!((bill.reason, bill.session), (EndReason::StoppedByResident, id));
    assert_eq!(bill.energy.get(), world.register_wh() - start);
    world.run(1_800);
    assert_eq!(world.open_session(), None);
    world.draw([0; 3]);
    assert_eq!(world.point().unassigned.get(), world.register_wh() - bill.energy.get());
}

#[test]
fn a_chargers_own_few_watts_start_nothing_and_a_break_within_patience_ends_nothing() {
    let mut world = world(5);
    world.settings.full_after_s = 180;
    world.restart();
    world.bind_point();
    world.mandate(|_| {});
    // 92 W.
    world.draw([400, 0, 0]);
    world.run(3_600);
    assert_eq!(world.open_session(), None);
    assert!(world.point().unassigned.get() > 50, "it is shown all the same");
    world.draw(CAR);
    let id = world.opened();
    world.run(600);
    world.draw([400, 0, 0]);
    world.run(120);
    assert_eq!(world.opened(), id);
    world.draw(CAR);
    world.run(600);
    assert_eq!(world.opened(), id);
    world.draw([0; 3]);
    world.run(240);
    let bill = world.bill.expect("settled");
    assert_eq!((bill.session, bill.reason), (id, EndReason::VehicleRemoved));
}

#[test]
fn a_start_that_needs_a_confirmation_is_asked_for_once_for_each_flow() {
    let mut world = world(6);
    world.bind_point();
    world.mandate(|terms| terms.confirm_from = 0);
    world.draw(CAR);
    let asked = |world: &World| Ledger::new(&world.state).get::<chain::record::AskedStart>(&Key::AskedStart(PLACE)).unwrap();
    let first = asked(&world).expect("the owner is asked");
    world.run(1_800);
    assert_eq!((world.open_session(), asked(&world)), (None, Some(first)));
    world.draw([0; 3]);
    world.block(vec![(RESIDENT, Call::RevokeMandate(RevokeMandate { condominium: HOME }))]);
    world.draw(CAR);
    world.run(120);
    assert_eq!(world.open_session(), None);
}
