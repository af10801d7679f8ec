//! The gateway's desk between the firmware's own unit and the contracts' own rules, with crashes wherever they can happen.
//!
//! No node, network or clock: blocks are made of what the desk wants submitted, messages are made by `firmware_core::Unit`. A crash throws away everything but
//! the two disks: the gateway's database and the chain's state.

use std::{collections::BTreeMap, sync::Arc};

use chain::{
    hash::Hash32,
    id::{Address, ChainId, CondominiumId, ConnectorId, GroupId, Height, SessionId, TariffId, TxId},
    params::Params,
    quantity::{Amount, Currents, WattHours},
    receipt::{Cause, Event, Outcome, Receipt, SessionReceipt},
    record::{
        Account, Condominium, Connector, Control, EndReason, Fault, Group, Key, PlugSignal, Role, RoleGrant, Service, SessionState, Signer,
        SignerScope, TariffHead, TariffVersion,
    },
    state::MemoryState,
    tariff::{PriceComponent, Tariff, TariffDimension, TariffElement, TariffRestrictions},
    time::{Duration, Timestamp},
};
use contracts::{
    call::{Call, GrantCharge, OpenSession, Priority, Reading, StopSession},
    context::{BlockContext, CallContext},
    ledger::Ledger,
    sessions,
};
use firmware_core::{Capabilities, DeviceId, Flags, Identity, Keys, ProtocolError, Relay, Sample, SensorId, Unit, counter_ms};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

use super::{
    desk::Desk,
    store::{Store, Write},
    units::KnownUnit,
};
use crate::config::GatewayConfig;

const HOME: CondominiumId = CondominiumId(1);
const PLACE: ConnectorId = ConnectorId::new(HOME, 1);
const RESIDENT: Address = Address([1; 32]);
const GATEWAY: Address = Address([2; 32]);
const SCHEDULER: Address = Address([3; 32]);
const REVENUE: Address = Address([4; 32]);
/// Monday 2026-01-05, 20:30 UTC; the night price begins half an hour later.
const START_MS: u64 = 1_767_645_000_000;
const NIGHT_MS: u64 = START_MS + 1_800_000;
const DAY_PRICE: u64 = 250_000;
const NIGHT_PRICE: u64 = 150_000;

struct World {
    rng: StdRng,
    folder: tempfile::TempDir,
    state: MemoryState,
    height: Height,
    now_ms: u64,
    /// Gone during a restart only.
    desk: Option<Desk>,
    store: Option<Arc<Store>>,
    known: KnownUnit,
    unit: Unit,
    /// What the meter has counted, in W·ms.
    watt_ms: u128,
    car_ma: [u32; 3],
    plugged: bool,
    crashes: bool,
    accepted: BTreeMap<u64, Reading>,
    bill: Option<SessionReceipt>,
}

fn tariff() -> Tariff {
    let price = |price| vec![PriceComponent { dimension: TariffDimension::Energy, price: Amount::from_micro(price) }];
    let night = TariffRestrictions { start_time: Some(21 * 60), end_time: Some(7 * 60), ..TariffRestrictions::default() };
    Tariff {
        time_zone: "UTC0".to_owned(),
        elements: vec![
            TariffElement { price_components: price(NIGHT_PRICE), restrictions: night },
            TariffElement { price_components: price(DAY_PRICE), restrictions: TariffRestrictions::default() },
        ],
        min_price: None,
        max_price: None,
        vat_basis_points: 0,
        parking_grace: Duration::ZERO,
    }
}

impl World {
    fn new(seed: u64, plug_signal: PlugSignal) -> Self {
        let mut state = MemoryState::new();
        let mut put = |key: Key, bytes: Vec<u8>| state.put(key.bytes(), bytes);
        put(Key::Params, chain::codec::encode(&Params::default()).unwrap());
        let condominium = Condominium {
            name: "TRO".to_owned(),
            revenue: REVENUE,
            mint_cap_per_day: Amount::MAX,
            position_limit: Amount::MAX,
            minted: Amount::from_micro(100_000_000),
            redeemed: Amount::ZERO,
            next_sale: 2,
            mint_day: 0,
            minted_today: Amount::ZERO,
        };
        put(Key::Condominium(HOME), chain::codec::encode(&condominium).unwrap());
        for (address, balance) in [(RESIDENT, 100_000_000), (GATEWAY, 0), (SCHEDULER, 0), (REVENUE, 0)] {
            let account = Account {
                home: HOME,
                balance: Amount::from_micro(balance),
                held: Amount::ZERO,
                debt: Amount::ZERO,
                credit_limit: Amount::ZERO,
            };
            put(Key::Account(address), chain::codec::encode(&account).unwrap());
            let signer = Signer { account: address, scope: SignerScope::Owner, nonce: 0 };
            put(Key::Signer(address), chain::codec::encode(&signer).unwrap());
        }
        for (role, address) in [(Role::Gateway, GATEWAY), (Role::Scheduler, SCHEDULER)] {
            put(Key::Role(HOME, role, address), chain::codec::encode(&RoleGrant { from: Height(0), until: None }).unwrap());
        }
        let group = Group { parent: None, limit: Currents::from_ma([40_000; 3]), granted: Currents::ZERO, reserved: Currents::ZERO };
        put(Key::Group(GroupId::new(HOME, 1)), chain::codec::encode(&group).unwrap());
        let connector = Connector {
            group: 1,
            control: Control::Switched,
            plug_signal,
            rated: Currents::from_ma([32_000; 3]),
            tariff: 1,
            service: Service::InService,
            fault: None,
            session: None,
            last_register: WattHours::ZERO,
            unassigned: WattHours::ZERO,
        };
        put(Key::Connector(PLACE), chain::codec::encode(&connector).unwrap());
        let tariff_id = TariffId::new(HOME, 1);
        put(Key::TariffHead(tariff_id), chain::codec::encode(&TariffHead { latest: 1 }).unwrap());
        let version = TariffVersion { valid_from: Timestamp::from_ms(0), tariff: tariff() };
        put(Key::TariffVersion(tariff_id, 1), chain::codec::encode(&version).unwrap());

        let key = [7; 32];
        let (device, sensor) = (DeviceId(9), SensorId::new(3).unwrap());
        let identity = Identity { device, sensor, capabilities: Capabilities::PLUG_SIGNAL, firmware: 1 };
        let mut world = Self {
            rng: StdRng::seed_from_u64(seed),
            folder: tempfile::tempdir().unwrap(),
            state,
            height: Height(0),
            now_ms: START_MS,
            desk: None,
            store: None,
            known: KnownUnit { device, sensor, connector: PLACE, keys: Keys::derive(&key) },
            unit: Unit::new(identity, &key, 1).unwrap(),
            // Not a whole number of Wh, and other sessions were there before.
            watt_ms: 5_000 * 3_600_000 + 1_234_567,
            car_ma: [0; 3],
            plugged: false,
            crashes: false,
            accepted: BTreeMap::new(),
            bill: None,
        };
        world.restart();
        world.configure();
        world
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_ms(self.now_ms)
    }

    fn register_wh(&self) -> u64 {
        u64::try_from(self.watt_ms / 3_600_000).unwrap()
    }

    /// What a killed process finds when it is started again.
    fn restart(&mut self) {
        self.desk = None;
        self.store = None;
        let store = Arc::new(Store::open(&self.folder.path().join("gateway")).unwrap());
        let mut desk = Desk::new(GatewayConfig::default(), Params::default(), Arc::clone(&store));
        desk.add_unit(&self.known).unwrap();
        let mut write = Write::default();
        let sight = desk.look(&self.state, PLACE).unwrap();
        desk.update(PLACE, sight, self.now(), &mut write).unwrap();
        store.write(write).unwrap();
        (self.desk, self.store) = (Some(desk), Some(store));
    }

    fn maybe_crash(&mut self) {
        if self.crashes && self.rng.random_bool(0.05) {
            self.restart();
        }
    }

    fn desk(&mut self) -> &mut Desk {
        self.desk.as_mut().unwrap()
    }

    fn configure(&mut self) {
        let message = self.unit.config_request().unwrap();
        let (known, now) = (self.known.clone(), self.now());
        let mut write = Write::default();
        let answer = self.desk().config(&known, &message, now, &mut write).unwrap();
        self.store.as_ref().unwrap().write(write).unwrap();
        self.unit.config_answer(counter_ms(self.now_ms), &answer).unwrap();
    }

    /// A block of these calls, and what the desk makes of it.
    fn block(&mut self, calls: Vec<(Address, Call)>) -> Vec<Receipt> {
        self.height = self.height.next();
        let block = BlockContext {
            chain_id: ChainId(Hash32([9; 32])),
            height: self.height,
            timestamp: Timestamp::from_ms(self.now_ms),
            params: Params::default(),
        };
        let mut receipts = Vec::new();
        let state = self.state.clone();
        let mut ledger = Ledger::new(&state);
        for (index, (account, call)) in (0_u32..).zip(calls) {
            let tx_id = TxId(Hash32(std::array::from_fn(|place| u8::try_from((self.height.0 >> (8 * (place % 8))) & 0xff).unwrap())));
            let context = CallContext { block: &block, index, tx_id, account, signer: account };
            let savepoint = ledger.savepoint();
            let outcome = match call
                .action()
                .check()
                .map_err(contracts::failure::Failure::from)
                .and_then(|()| call.action().apply(&context, &mut ledger))
            {
                Ok(()) => Outcome::Applied,
                Err(contracts::failure::Failure::Reject(rejection)) => {
                    ledger.rollback(savepoint);
                    Outcome::Rejected(rejection)
                }
                Err(contracts::failure::Failure::Fault(fault)) => panic!("{fault}"),
            };
            let events = ledger.take_events();
            if let Call::Attest(attest) = &call {
                for reading in &attest.readings {
                    let taken = Event::ReadingHandled { session: reading.session, sequence: reading.sequence, refused: None };
                    if events.contains(&taken) {
                        assert!(self.accepted.insert(reading.sequence, *reading).is_none(), "accepted twice");
                    }
                }
            }
            receipts.push(Receipt { cause: Cause::Transaction(tx_id), outcome, events });
        }
        receipts.extend(sessions::run_due(&mut ledger, &block).unwrap());
        let changes = ledger.into_changes();
        self.state.apply(&changes);
        for event in receipts.iter().flat_map(|receipt| &receipt.events) {
            if let Event::SessionSettled(bill) = event {
                assert!(self.bill.replace(*bill).is_none(), "settled twice");
            }
        }
        self.maybe_crash();
        let (state, now) = (self.state.clone(), self.now());
        let desk = self.desk.as_mut().unwrap();
        let mut write = Write::default();
        let news = desk.news(&receipts, block.timestamp);
        for id in news.connectors.clone() {
            let sight = desk.look(&state, id).unwrap();
            desk.update(id, sight, now, &mut write).unwrap();
        }
        desk.apply(&news, now, &mut write).unwrap();
        self.store.as_ref().unwrap().write(write).unwrap();
        receipts
    }

    /// Blocks until the gateway has nothing more to submit.
    fn deliver(&mut self) {
        for _ in 0..50 {
            self.maybe_crash();
            let now = self.now();
            let calls = self.desk().round(now);
            if calls.is_empty() {
                return;
            }
            let receipts = self.block(calls.into_iter().map(|call| (GATEWAY, call)).collect());
            for receipt in &receipts {
                assert_eq!(receipt.outcome, Outcome::Applied, "{receipts:?}");
            }
        }
        panic!("the gateway never comes to rest");
    }

    fn sample(&mut self, also: Flags) {
        let flowing = self.flowing();
        let power_w: u32 = flowing.iter().map(|ma| ma * 230 / 1_000).sum();
        let sample = Sample {
            at_ms: self.now_ms,
            register_wh: self.register_wh(),
            power_w: u16::try_from(power_w).unwrap(),
            current_ma: flowing.map(|ma| u16::try_from(ma).unwrap()),
            temperature_dc: Some(200),
            flags: self.unit.lease().flags() | if self.plugged { Flags::PLUG_PRESENT } else { Flags::NONE } | also,
        };
        self.unit.push(&sample).unwrap();
    }

    fn flowing(&self) -> [u32; 3] {
        let limit = self.unit.lease().relay() == Relay::Closed;
        if limit && self.plugged { self.car_ma } else { [0; 3] }
    }

    /// Posts what waits; answers may be lost and the process may die before or after its write. Gives whether the relay changed.
    fn post(&mut self) {
        for _ in 0..20 {
            let mut body = vec![0; 1_024];
            let length = self.unit.readings_request(counter_ms(self.now_ms), &mut body).unwrap();
            let (known, now) = (self.known.clone(), self.now());
            let mut write = Write::default();
            let answer = self.desk().readings(&known, &body[..length], now, &mut write).unwrap();
            if self.crashes && self.rng.random_bool(0.05) {
                // Killed before the write: the unit has no answer.
                self.restart();
                self.unit.refused(None);
                continue;
            }
            self.store.as_ref().unwrap().write(write).unwrap();
            if self.crashes && self.rng.random_bool(0.05) {
                self.restart();
                self.unit.refused(None);
                continue;
            }
            // The same message again is a replay.
            let mut dropped = Write::default();
            assert_eq!(self.desk().readings(&known, &body[..length], now, &mut dropped), Err(ProtocolError::OldCounter));
            let before = self.unit.lease().relay() == Relay::Closed;
            self.unit.readings_answer(counter_ms(self.now_ms), &answer).unwrap();
            self.deliver();
            let after = self.unit.lease().relay() == Relay::Closed;
            if before && !after {
                self.sample(Flags::END);
                continue;
            }
            return;
        }
        panic!("the unit never comes to rest");
    }

    fn run(&mut self, seconds: u64) {
        for _ in 0..seconds {
            let flowing = self.flowing();
            self.now_ms += 1_000;
            self.watt_ms += flowing.iter().map(|ma| u128::from(*ma) * 230).sum::<u128>();
            let before = self.unit.lease().relay() == Relay::Closed;
            let after = self.unit.tick(counter_ms(self.now_ms), flowing) == Relay::Closed;
            if before != after {
                self.sample(Flags::END);
                self.post();
            } else if self.now_ms.is_multiple_of(60_000) {
                self.sample(Flags::NONE);
                self.post();
                self.tick();
            }
            if self.bill.is_some() {
                return;
            }
        }
    }

    fn tick(&mut self) {
        let now = self.now();
        let mut write = Write::default();
        self.desk().tick(now, &mut write);
        self.store.as_ref().unwrap().write(write).unwrap();
        self.deliver();
        self.block(Vec::new());
    }

    fn open(&mut self, max_spend: u64) -> SessionId {
        let open = OpenSession {
            connector: PLACE,
            tariff_version: 1,
            max_spend: Amount::from_micro(max_spend),
            max_duration: Duration::from_hours(10),
            energy_target: None,
            state_of_charge: None,
            depart_by: None,
            window: None,
            priority: Priority::None,
        };
        let receipts = self.block(vec![(RESIDENT, Call::OpenSession(open))]);
        let opened = receipts
            .iter()
            .flat_map(|receipt| &receipt.events)
            .find_map(|event| if let Event::SessionOpened { session, .. } = event { Some(*session) } else { None });
        opened.unwrap_or_else(|| panic!("{receipts:?}"))
    }

    fn grant(&mut self, session: SessionId, current_ma: [u32; 3]) {
        let call = GrantCharge { session, current: Currents::from_ma(current_ma), skipped: Vec::new() };
        let receipts = self.block(vec![(SCHEDULER, Call::GrantCharge(call))]);
        assert_eq!(receipts[0].outcome, Outcome::Applied);
        self.deliver();
    }

    /// A car comes, its session is opened and granted, and it draws `car_ma`.
    fn begin(&mut self, max_spend: u64, car_ma: [u32; 3]) -> SessionId {
        self.plugged = true;
        self.sample(Flags::NONE);
        self.post();
        let session = self.open(max_spend);
        self.grant(session, [32_000; 3]);
        self.car_ma = car_ma;
        self.post();
        assert_eq!(self.unit.lease().relay(), Relay::Closed);
        session
    }

    /// Every accepted reading can be proven by its samples, and the counts are those of the bill.
    fn check_proofs(&self, session: SessionId, bill: &SessionReceipt) {
        assert_eq!(self.accepted.len() as u64, bill.readings);
        let mut samples = 0;
        let mut next = None;
        for (sequence, reading) in &self.accepted {
            let proof = self.store.as_ref().unwrap().samples_of(session, *sequence).unwrap().unwrap();
            assert_eq!(proof.root(), reading.samples_root, "reading {sequence}");
            samples += u64::from(reading.sample_count);
            let last = proof.samples.last().map(|bytes| super::sample::RawSample::decode(bytes).unwrap());
            if let Some(last) = last {
                assert_eq!(last.sample.register_wh, reading.register_wh.get());
                let first = super::sample::RawSample::decode(&proof.samples[0]).unwrap();
                assert!(next.is_none_or(|next| first.number == next), "no sample is left out");
                next = Some(last.number + 1);
            }
        }
        assert_eq!(samples, bill.samples);
    }
}

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

/// The energy until the last reading at or before `edge_ms`.
fn energy_before(accepted: &BTreeMap<u64, Reading>, edge_ms: u64, start: u64) -> u64 {
    accepted
        .values()
        .filter(|reading| reading.at.ms() <= edge_ms)
        .map(|reading| reading.register_wh.get() - start)
        .max()
        .unwrap_or_default()
}

/// A tester removed the gateway's folder in the middle of a charge. The gateway began again at reading 1, the chain refused that as accepted already, and
/// the car charged for nothing.
#[test]
fn goes_on_from_the_chain_where_its_own_database_is_lost() {
    let mut world = World::new(7, PlugSignal::Reported);
    world.begin(50_000_000, [16_000, 0, 0]);
    world.run(2_400);
    let readings = world.accepted.len();
    assert!(readings > 1, "some were accepted before the loss");
    (world.desk, world.store) = (None, None);
    std::fs::remove_dir_all(world.folder.path().join("gateway")).unwrap();
    world.restart();
    world.configure();
    world.run(2_400);
    world.plugged = false;
    world.sample(Flags::END);
    world.post();
    let bill = world.bill.expect("settled");
    let first = world.accepted[&1].register_wh.get();
    assert_eq!(bill.energy.get(), world.register_wh() - first, "every Wh is billed, those around the loss too");
    assert!(world.accepted.len() > readings);
}

/// A database of the chain that had lost its last block showed a settled session as open again. The gateway, which had closed its book, drew a new salt and
/// wrote over the first reading: its samples could no longer be proven.
#[test]
fn a_session_that_opens_again_keeps_its_readings_and_their_salt() {
    let mut world = World::new(8, PlugSignal::Reported);
    let session = world.begin(50_000_000, [16_000, 0, 0]);
    world.run(1_200);
    let before = world.state.clone();
    world.plugged = false;
    world.sample(Flags::END);
    world.post();
    let bill = world.bill.expect("settled");
    world.check_proofs(session, &bill);
    let after = std::mem::replace(&mut world.state, before);
    world.restart();
    world.state = after;
    world.restart();
    world.check_proofs(session, &bill);
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
    world.block(vec![(RESIDENT, Call::StopSession(StopSession { session }))]);
    world.deliver();
    assert!(world.bill.is_none(), "the relay is still closed");
    world.run(60);
    let bill = world.bill.expect("settled");
    assert_eq!(bill.reason, EndReason::StoppedByResident);
    assert_eq!(bill.energy.get(), world.register_wh() - start);
    assert_ne!(world.unit.lease().relay(), Relay::Closed);
}

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
    let state = Ledger::new(&world.state).session(session).unwrap().unwrap().state;
    assert!(matches!(state, SessionState::Stopping { reason: EndReason::Anomaly(Fault::UnitLost), .. }), "{state:?}");
    world.now_ms += 400_000;
    world.tick();
    world.tick();
    assert_eq!(world.bill.expect("settled").reason, EndReason::Anomaly(Fault::UnitLost));
}

#[test]
fn tampered_foreign_and_old_messages_change_nothing() {
    let mut world = World::new(7, PlugSignal::Reported);
    world.begin(50_000_000, [16_000; 3]);
    world.sample(Flags::NONE);
    let mut body = vec![0; 1_024];
    let length = world.unit.readings_request(counter_ms(world.now_ms), &mut body).unwrap();
    body.truncate(length);
    let (known, now) = (world.known.clone(), world.now());
    let mut write = Write::default();
    for place in 0..body.len() {
        let mut changed = body.clone();
        changed[place] ^= 1;
        assert!(world.desk().readings(&known, &changed, now, &mut write).is_err(), "byte {place}");
    }
    let other = KnownUnit { keys: Keys::derive(&[8; 32]), ..known.clone() };
    assert_eq!(world.desk().readings(&other, &body, now, &mut write), Err(ProtocolError::BadTag));
    let moved = KnownUnit { sensor: SensorId::new(4).unwrap(), ..known.clone() };
    assert_eq!(world.desk().readings(&moved, &body, now, &mut write), Err(ProtocolError::SensorMismatch));
    assert!(write.is_empty());
    world.desk().readings(&known, &body, now, &mut write).unwrap();
    world.store.as_ref().unwrap().write(write).unwrap();
    world.restart();
    let again = world.desk().readings(&known, &body, now, &mut Write::default());
    assert_eq!(again, Err(ProtocolError::OldCounter), "a replay is refused across a restart");
}
