//! Cards at the reader: charges that they start within a mandate, refusals that are said at once, and keys that are destroyed.

use chain::{
    card_order::{CardAction, CardOrder},
    hash::Hash32,
    id::{Address, CardId, ChainId, SessionId},
    quantity::{Amount, WattHours},
    record::{AskedStart, EndReason, Key, MandateTerms, PlugSignal},
    time::{Duration, Timestamp},
};
use contracts::{
    call::{BindCard, Call, ConfirmStart, GrantMandate, OpenSessionByMandate, RevokeMandate},
    ledger::Ledger,
};
use firmware_core::{Card, CardOutcome, Flags, Relay, counter_ms};

use super::{GATEWAY, HOME, MANAGER, PLACE, RESIDENT, World, Write};
use crate::gateway::{
    cards::{Asked, Refusal},
    estimate::Past,
};

pub(super) const CHAIN: ChainId = ChainId(Hash32([9; 32]));
pub(super) const KEY: Hash32 = Hash32([0x6b; 32]);
const UID: [u8; 7] = [4, 0xa2, 0x24, 0x6f, 0x11, 0x22, 0x33];

fn card() -> CardId {
    CardId::commit(&KEY, &UID)
}

fn terms(world: &World) -> MandateTerms {
    MandateTerms {
        max_per_session: Amount::from_micro(5_000_000),
        max_per_day: Amount::from_micro(8_000_000),
        max_price_per_kwh: Amount::from_micro(250_000),
        max_price_per_hour: Amount::ZERO,
        expires: world.now().saturating_add(Duration::from_hours(24)),
        connectors: Vec::new(),
        confirm_from: 1_000,
    }
}

/// A mandate that does not fit, and why.
type Case = (&'static str, fn(&mut MandateTerms));

impl World {
    fn order(&self, signer: Address, action: CardAction) -> CardOrder {
        CardOrder { chain_id: CHAIN, signer, at: self.now(), condominium: HOME, card: card(), action }
    }

    pub(super) fn follow(&mut self, order: &CardOrder) -> Result<bool, Refusal> {
        let (state, height, now) = (self.state.clone(), self.height, self.now());
        let ledger = Ledger::new(&state);
        let mut write = Write::default();
        let followed = self.desk().cards.follow(order, &Asked { chain_id: CHAIN, ledger: &ledger, height, now }, &mut write);
        self.store.as_ref().unwrap().write(write).unwrap();
        followed.unwrap()
    }

    fn bind(&mut self) {
        assert_eq!(self.follow(&self.order(MANAGER, CardAction::Keep(KEY))), Ok(true));
        self.block(vec![(MANAGER, Call::BindCard(BindCard { condominium: HOME, card: card(), account: Some(RESIDENT) }))]);
    }

    pub(super) fn mandate(&mut self, change: impl FnOnce(&mut MandateTerms)) {
        let mut terms = terms(self);
        change(&mut terms);
        self.block(vec![(RESIDENT, Call::GrantMandate(GrantMandate { condominium: HOME, terms }))]);
    }

    /// Shows a card and asks until there is an answer.
    fn show(&mut self, uid: &[u8]) -> CardOutcome {
        self.unit.present_card(counter_ms(self.now_ms), Card::new(uid).unwrap()).unwrap();
        for _ in 0..3 {
            self.post();
            if self.card != CardOutcome::Pending {
                return self.card;
            }
        }
        CardOutcome::Pending
    }

    pub(super) fn open_session(&self) -> Option<SessionId> {
        Ledger::new(&self.state).connector(PLACE).unwrap().unwrap().session
    }
}

#[test]
fn a_card_starts_a_charge_within_its_mandate_and_the_rest_comes_back() {
    for round in 0..4 {
        let seed: u64 = rand::random();
        println!("seed {seed}");
        let mut world = World::new(seed, PlugSignal::Reported);
        world.bind();
        world.mandate(|_| {});
        world.plugged = true;
        world.sample(Flags::NONE);
        world.post();
        world.past = vec![Past::of(8_000, Duration::from_hours(3)); 3];
        assert_eq!(world.show(&UID), CardOutcome::Accepted);
        let id = world.open_session().expect("opened");
        let session = world.session(id).unwrap();
        // 10 kWh at 0.25 and one micro-token, for four and a half hours.
        assert_eq!((session.account, session.escrow.micro()), (RESIDENT, 2_500_001));
        assert_eq!((session.max_duration, session.hints.energy_target), (Duration::from_mins(270), Some(WattHours::new(8_000))));
        world.crashes = round > 0;
        world.grant(id, [32_000; 3]);
        world.car_ma = [16_000; 3];
        world.post();
        assert_eq!(world.unit.lease().relay(), Relay::Closed);
        world.run(1_200);
        world.plugged = false;
        world.sample(Flags::NONE);
        world.post();
        let bill = world.bill.expect("settled");
        assert_eq!(bill.reason, EndReason::VehicleRemoved);
        assert!(bill.paid > Amount::ZERO && bill.refund > Amount::ZERO);
        assert_eq!(Ledger::new(&world.state).account(&RESIDENT).unwrap().unwrap().held, Amount::ZERO);
    }
}

#[test]
fn without_a_history_the_mandate_alone_bounds_what_is_locked() {
    let mut world = World::new(1, PlugSignal::Reported);
    world.bind();
    world.mandate(|_| {});
    assert_eq!(world.show(&UID), CardOutcome::Accepted);
    let session = world.session(world.open_session().unwrap()).unwrap();
    assert_eq!((session.escrow.micro(), session.hints.energy_target), (5_000_000, None));
    // What the day has left is locked where it is less.
    world.stop(world.open_session().unwrap());
    assert!(world.bill.take().is_some_and(|bill| bill.paid.is_zero()));
    world.mandate(|terms| terms.max_per_day = Amount::from_micro(3_000_000));
    assert_eq!(world.show(&UID), CardOutcome::Accepted);
    assert_eq!(world.session(world.open_session().unwrap()).unwrap().escrow.micro(), 3_000_000);
}

#[test]
fn what_may_not_start_is_refused_at_once_and_nothing_is_submitted() {
    let mut world = World::new(2, PlugSignal::Reported);
    let refuses = |world: &mut World, why: &str| {
        let height = world.height;
        assert_eq!(world.show(&UID), CardOutcome::Refused, "{why}");
        assert_eq!(world.height, height, "{why}: nothing was submitted");
    };
    refuses(&mut world, "nobody knows the card");
    world.bind();
    refuses(&mut world, "no mandate");
    let cases: [Case; 3] = [
        ("another connector", |terms| terms.connectors = vec![2]),
        ("too dear", |terms| terms.max_price_per_kwh = Amount::from_micro(249_999)),
        ("over", |terms| terms.expires = Timestamp::from_ms(super::START_MS + 1_000)),
    ];
    for (why, change) in cases {
        world.mandate(change);
        if why == "over" {
            world.now_ms += 1_000;
        }
        refuses(&mut world, why);
    }
    world.mandate(|_| {});
    assert_eq!(world.show(&[1, 2, 3, 4]), CardOutcome::Refused, "another card");
    world.open(PLACE, 1_000_000);
    refuses(&mut world, "somebody charges already");
}

#[test]
fn a_tap_starts_one_charge_however_often_it_is_sent() {
    let mut world = World::new(3, PlugSignal::Reported);
    world.bind();
    world.mandate(|_| {});
    assert_eq!(world.show(&UID), CardOutcome::Accepted);
    let first = world.open_session().unwrap();
    world.stop(first);
    assert!(world.bill.take().is_some());
    world.post();
    assert_eq!(world.open_session(), None, "the tap is used up");
    world.restart();
    world.post();
    assert_eq!(world.open_session(), None);
    assert_eq!(world.show(&UID), CardOutcome::Accepted, "another tap is another charge");
    assert_ne!(world.open_session(), Some(first));
}

#[test]
fn a_mandate_that_ends_between_the_tap_and_the_block_starts_nothing() {
    let mut world = World::new(4, PlugSignal::Reported);
    world.bind();
    world.mandate(|_| {});
    world.unit.present_card(counter_ms(world.now_ms), Card::new(&UID).unwrap()).unwrap();
    let mut body = vec![0; 1_024];
    let length = world.unit.readings_request(counter_ms(world.now_ms), &mut body).unwrap();
    let (known, now, state) = (world.known.clone(), world.now(), world.state.clone());
    world.desk().readings(&known, &body[..length], now, &mut Write::default()).unwrap();
    world.desk().decide_starts(&state, &|_| Ok(Vec::new()), now).unwrap();
    world.block(vec![(RESIDENT, Call::RevokeMandate(RevokeMandate { condominium: HOME }))]);
    let round = world.desk().round(now);
    let [call] = round.as_slice() else { panic!("{round:?}") };
    let receipts = world.block(vec![(GATEWAY, call.clone())]);
    assert!(matches!(receipts[0].outcome, chain::receipt::Outcome::Rejected(_)));
    world.desk().on_refused(call, &chain::code::Code::NoMandate.into(), now);
    assert_eq!(world.desk().round(now), []);
}

/// Thirty evenings, the newest first, before the day on which the world begins.
fn evenings(world: &World) -> Vec<Past> {
    let hour = Duration::from_hours(1).ms();
    let midnight = world.now_ms - world.now_ms % (24 * hour);
    let charge = |day: u64| {
        let opened = midnight - day * 24 * hour + 18 * hour + (day % 5) * 600_000;
        let ended_at = Timestamp::from_ms(opened + 3 * hour);
        Past { opened_at: Timestamp::from_ms(opened), ended_at, ..Past::of(8_000, Duration::from_hours(3)) }
    };
    (1..=30).map(charge).collect()
}

impl World {
    /// What the gateway asked the resident to confirm at [`PLACE`].
    fn asked(&self) -> Option<OpenSessionByMandate> {
        let asked: Option<AskedStart> = Ledger::new(&self.state).get(&Key::AskedStart(PLACE)).unwrap();
        asked.map(|asked| {
            let AskedStart { card, tariff_version, max_spend, max_duration, energy_target, .. } = asked;
            OpenSessionByMandate { card, connector: PLACE, tariff_version, max_spend, max_duration, energy_target }
        })
    }

    /// Goes on to this hour of the day, UTC, as the tariff has it.
    fn go_to_hour(&mut self, hour: u64) {
        let hour_ms = Duration::from_hours(1).ms();
        self.now_ms = self.now_ms - self.now_ms % (24 * hour_ms) + (24 + hour) * hour_ms;
    }
}

#[test]
fn an_unusual_start_waits_for_its_owner_and_a_usual_one_does_not() {
    for hour in [18, 3] {
        let mut world = World::new(6, PlugSignal::Reported);
        world.go_to_hour(hour);
        world.past = evenings(&world);
        world.bind();
        world.mandate(|_| {});
        let outcome = world.show(&UID);
        if hour == 18 {
            assert_eq!((outcome, world.asked()), (CardOutcome::Accepted, None));
            continue;
        }
        assert_eq!((outcome, world.open_session()), (CardOutcome::Pending, None));
        let start = world.asked().expect("the resident is asked");
        // The estimate is that of any start.
        assert_eq!((start.max_spend.micro(), start.energy_target), (2_500_001, Some(WattHours::new(8_000))));
        let height = world.height;
        world.post();
        assert_eq!(world.height, height, "asked once");
        world.block(vec![(RESIDENT, Call::ConfirmStart(ConfirmStart { start }))]);
        world.post();
        assert_eq!(world.card, CardOutcome::Accepted);
        let session = world.session(world.open_session().expect("opened")).unwrap();
        assert_eq!((session.account, session.escrow), (RESIDENT, start.max_spend));
    }
}

#[test]
fn what_is_not_confirmed_in_time_starts_nothing_and_a_late_answer_still_charges() {
    let mut world = World::new(7, PlugSignal::Reported);
    world.bind();
    // Every start, with no history at all.
    world.mandate(|terms| terms.confirm_from = 0);
    assert_eq!(world.show(&UID), CardOutcome::Pending);
    let start = world.asked().expect("the resident is asked");
    // The unit gives up after a minute, the chain after ten; a gateway that has died in between knows nothing of it.
    world.now_ms += 61_000;
    world.post();
    assert_ne!(world.card, CardOutcome::Accepted);
    assert_eq!(world.open_session(), None);
    world.restart();
    world.block(vec![(RESIDENT, Call::ConfirmStart(ConfirmStart { start }))]);
    assert!(world.open_session().is_some());
    // And where nobody answers, a new tap asks anew.
    world.stop(world.open_session().unwrap());
    assert!(world.bill.take().is_some());
    assert_eq!(world.show(&UID), CardOutcome::Pending);
    world.now_ms += 660_000;
    let late = world.asked().expect("asked anew");
    let receipts = world.block(vec![(RESIDENT, Call::ConfirmStart(ConfirmStart { start: late }))]);
    assert!(matches!(receipts[0].outcome, chain::receipt::Outcome::Rejected(_)));
}

#[test]
fn an_erased_key_never_comes_back() {
    let mut world = World::new(5, PlugSignal::Reported);
    world.bind();
    world.mandate(|_| {});
    world.restart();
    assert_eq!(world.follow(&world.order(MANAGER, CardAction::Keep(KEY))), Ok(true), "the same again");
    let other = world.order(MANAGER, CardAction::Keep(Hash32([1; 32])));
    assert_eq!(world.follow(&other), Err(Refusal::Contradiction));
    assert_eq!(world.follow(&world.order(RESIDENT, CardAction::Keep(KEY))), Err(Refusal::NotAllowed));
    assert_eq!(world.follow(&world.order(GATEWAY, CardAction::Erase)), Err(Refusal::NotAllowed));
    let order = world.order(MANAGER, CardAction::Erase);
    let elsewhere = CardOrder { chain_id: ChainId(Hash32::ZERO), ..order };
    assert_eq!(world.follow(&elsewhere), Err(Refusal::WrongChain));
    for at_ms in [world.now_ms - 300_001, world.now_ms + 300_001] {
        assert_eq!(world.follow(&CardOrder { at: Timestamp::from_ms(at_ms), ..order }), Err(Refusal::Expired));
    }
    assert_eq!(world.follow(&world.order(RESIDENT, CardAction::Erase)), Ok(false), "its owner may");
    assert_eq!(world.show(&UID), CardOutcome::Refused);
    world.restart();
    assert_eq!(world.show(&UID), CardOutcome::Refused);
    assert_eq!(world.follow(&world.order(MANAGER, CardAction::Keep(KEY))), Err(Refusal::Erased));
    assert_eq!(world.follow(&world.order(MANAGER, CardAction::Erase)), Ok(false));
}
