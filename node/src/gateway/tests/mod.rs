//! The gateway's desk between the firmware's own unit and the contracts' own rules, with crashes wherever they can happen.
//!
//! No node, network or clock: blocks are made of what the desk wants submitted, messages are made by `firmware_core::Unit`. A crash throws away everything but
//! the two disks: the gateway's database and the chain's state.
//!
//! This file is that small world; its stories are in `billing`, `cards`, `door`, `ends`, `exchange`, `faults`, `limits`, `losses`, `messages`, `neighbour`, `parking` and `points`.

mod billing;
mod cards;
mod door;
mod ends;
mod exchange;
mod faults;
mod limits;
mod losses;
mod messages;
mod neighbour;
mod parking;
mod points;

use std::{collections::BTreeMap, sync::Arc};

use chain::{
    export::KeptSamples,
    hash::Hash32,
    id::{Address, ChainId, CondominiumId, ConnectorId, GroupId, Height, SessionId, TariffId, TxId},
    params::Params,
    quantity::{Amount, Currents, WattHours},
    receipt::{Cause, Event, Outcome, Receipt, SessionReceipt},
    record::{
        Account, Condominium, Connector, Control, Group, Key, Meter, PlugSignal, Role, RoleGrant, Service, Session, Signer, SignerScope,
        Suspension, TariffHead, TariffVersion,
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
use firmware_core::{Capabilities, CardOutcome, DeviceId, Flags, Identity, Keys, ProtocolError, Relay, Sample, SensorId, Unit, counter_ms};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

use super::{
    counters::Counters,
    desk::Desk,
    estimate::Past,
    store::{Create, Store, Write},
    units::KnownUnit,
};
use crate::config::GatewayConfig;

const HOME: CondominiumId = CondominiumId(1);
const PLACE: ConnectorId = ConnectorId::new(HOME, 1);
/// A second place beside the first.
const NEXT: ConnectorId = ConnectorId::new(HOME, 2);
const RESIDENT: Address = Address([1; 32]);
const GATEWAY: Address = Address([2; 32]);
const SCHEDULER: Address = Address([3; 32]);
const REVENUE: Address = Address([4; 32]);
const MANAGER: Address = Address([5; 32]);
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
    counters: Arc<Counters>,
    settings: GatewayConfig,
    known: KnownUnit,
    unit: Unit,
    /// What the meter has counted, in W·ms.
    watt_ms: u128,
    car_ma: [u32; 3],
    plugged: bool,
    /// There is no relay between car and mains.
    unswitched: bool,
    /// The meter counts no more.
    frozen: bool,
    temperature_dc: i16,
    crashes: bool,
    /// An older transaction takes the place of the next round's first one, and the owner stops this session before the others are carried out.
    overtaken: Option<SessionId>,
    /// Accepted readings of the sessions at [`PLACE`].
    accepted: BTreeMap<u64, Reading>,
    /// Every reading that was signed.
    signed: Vec<Reading>,
    /// The bill of the session at [`PLACE`].
    bill: Option<SessionReceipt>,
    /// Sessions and bills of [`NEXT`], and units that serve it.
    elsewhere: BTreeMap<SessionId, Option<SessionReceipt>>,
    others: Vec<KnownUnit>,
    /// What the last answer said of a card.
    card: CardOutcome,
    /// What everybody has charged before.
    past: Vec<Past>,
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
        for (address, balance) in [(RESIDENT, 100_000_000), (GATEWAY, 0), (SCHEDULER, 0), (REVENUE, 0), (MANAGER, 0)] {
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
        for (role, address) in [(Role::Gateway, GATEWAY), (Role::Scheduler, SCHEDULER), (Role::Manager, MANAGER)] {
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
        for place in [PLACE, NEXT] {
            put(Key::Connector(place), chain::codec::encode(&connector).unwrap());
        }
        let tariff_id = TariffId::new(HOME, 1);
        put(Key::TariffHead(tariff_id), chain::codec::encode(&TariffHead { latest: 1 }).unwrap());
        let version = TariffVersion { valid_from: Timestamp::from_ms(0), tariff: tariff() };
        put(Key::TariffVersion(tariff_id, 1), chain::codec::encode(&version).unwrap());

        let key = [7; 32];
        let (device, sensor) = (DeviceId(9), SensorId::new(3).unwrap());
        let identity = Identity { device, sensor, capabilities: Capabilities::PLUG_SIGNAL | Capabilities::CARD_READER, firmware: 1 };
        let mut world = Self {
            rng: StdRng::seed_from_u64(seed),
            folder: tempfile::tempdir().unwrap(),
            state,
            height: Height(0),
            now_ms: START_MS,
            desk: None,
            store: None,
            counters: Arc::default(),
            settings: GatewayConfig::default(),
            known: KnownUnit { device, sensor, connector: PLACE, keys: Keys::derive(&key) },
            unit: Unit::new(identity, &key, 1).unwrap(),
            // Not a whole number of Wh, and other sessions were there before.
            watt_ms: 5_000 * 3_600_000 + 1_234_567,
            car_ma: [0; 3],
            plugged: false,
            unswitched: false,
            frozen: false,
            temperature_dc: 200,
            crashes: false,
            overtaken: None,
            accepted: BTreeMap::new(),
            signed: Vec::new(),
            bill: None,
            elsewhere: BTreeMap::new(),
            others: Vec::new(),
            card: CardOutcome::None,
            past: Vec::new(),
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
        let store = Arc::new(Store::open(&self.folder.path().join("gateway"), Create::IfMissing).unwrap());
        let (settings, counters) = (self.settings.clone(), Arc::clone(&self.counters));
        let mut desk = Desk::new(settings, Params::default(), GATEWAY, Arc::clone(&store), counters);
        desk.load_cards().unwrap();
        let mut write = Write::default();
        for unit in [&self.known].into_iter().chain(&self.others) {
            desk.add_unit(unit).unwrap();
            let sight = desk.look(&self.state, unit.connector).unwrap();
            desk.update(unit.connector, sight, self.now(), &mut write).unwrap();
        }
        let stopped = Desk::stopped_sessions(&self.state).unwrap();
        desk.survey(&self.state, self.height, &stopped).unwrap();
        store.write(write).unwrap();
        desk.resume_flows(self.now());
        (self.desk, self.store) = (Some(desk), Some(store));
        self.decide_starts();
    }

    fn decide_starts(&mut self) {
        let (state, past, now) = (self.state.clone(), self.past.clone(), self.now());
        self.desk().decide_starts(&state, &|_| Ok(past.clone()), now).unwrap();
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
                self.signed.extend(&attest.readings);
                for reading in &attest.readings {
                    let taken = Event::ReadingHandled { session: reading.session, sequence: reading.sequence, refused: None };
                    if events.contains(&taken) && !self.elsewhere.contains_key(&reading.session) {
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
                let place = self.elsewhere.get_mut(&bill.session).unwrap_or(&mut self.bill);
                assert!(place.replace(*bill).is_none(), "settled twice");
            }
        }
        self.maybe_crash();
        self.learn(&receipts);
        receipts
    }

    /// What the desk makes of a block's receipts.
    fn learn(&mut self, receipts: &[Receipt]) {
        let (state, now) = (self.state.clone(), self.now());
        let desk = self.desk.as_mut().unwrap();
        let mut write = Write::default();
        let news = desk.news(receipts, now);
        for id in news.connectors.clone() {
            let sight = desk.look(&state, id).unwrap();
            desk.update(id, sight, now, &mut write).unwrap();
        }
        if news.site {
            desk.survey(&state, self.height, &news.stopped).unwrap();
        }
        desk.apply(&news, now, &mut write).unwrap();
        self.store.as_ref().unwrap().write(write).unwrap();
    }

    /// Somebody proves that the gateway's key has contradicted itself.
    fn suspend(&mut self, session: SessionId) {
        self.height = self.height.next();
        let evidence = TxId(Hash32([0xee; 32]));
        let suspension = Suspension { since: self.height, session, sequence: 1, evidence, lifted_at: None };
        self.state.put(Key::Suspension(HOME, GATEWAY).bytes(), chain::codec::encode(&suspension).unwrap());
        let event = Event::RoleSuspended { condominium: HOME, account: GATEWAY, session, sequence: 1 };
        self.learn(&[Receipt { cause: Cause::Transaction(evidence), outcome: Outcome::Applied, events: vec![event] }]);
        self.deliver();
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
            let mut calls: Vec<_> = calls.into_iter().map(|call| (GATEWAY, call)).collect();
            if let Some(session) = self.overtaken.take() {
                calls[0] = (RESIDENT, Call::StopSession(StopSession { session }));
            }
            let receipts = self.block(calls);
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
            temperature_dc: Some(self.temperature_dc),
            flags: self.unit.lease().flags() | if self.plugged { Flags::PLUG_PRESENT } else { Flags::NONE } | also,
        };
        self.unit.push(&sample).unwrap();
    }

    fn flowing(&self) -> [u32; 3] {
        let may_flow = self.unswitched || self.unit.lease().relay() == Relay::Closed;
        if may_flow && self.plugged { self.car_ma } else { [0; 3] }
    }

    /// Posts what waits; answers may be lost and the process may die before or after its write. Gives whether the relay changed.
    fn post(&mut self) {
        for _ in 0..20 {
            let mut body = vec![0; 1_024];
            let length = self.unit.readings_request(counter_ms(self.now_ms), &mut body).unwrap();
            let (known, now) = (self.known.clone(), self.now());
            let mut write = Write::default();
            let answer = self.desk().readings(&known, &body[..length], now, &mut write).unwrap();
            self.desk().drop_old(PLACE, now, &mut write).unwrap();
            self.decide_starts();
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
            self.card = self.unit.readings_answer(counter_ms(self.now_ms), &answer).unwrap().card;
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
            let counted = if self.frozen { [0; 3] } else { flowing };
            self.watt_ms += counted.iter().map(|ma| u128::from(*ma) * 230).sum::<u128>();
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

    fn open(&mut self, connector: ConnectorId, max_spend: u64) -> SessionId {
        let open = OpenSession {
            connector,
            tariff_version: 1,
            max_spend: Amount::from_micro(max_spend),
            max_duration: Duration::from_hours(72),
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
        let session = opened.unwrap_or_else(|| panic!("{receipts:?}"));
        if connector != PLACE {
            self.elsewhere.insert(session, None);
        }
        session
    }

    fn stop(&mut self, session: SessionId) {
        self.block(vec![(RESIDENT, Call::StopSession(StopSession { session }))]);
        self.deliver();
    }

    fn session(&self, id: SessionId) -> Option<Session> {
        Ledger::new(&self.state).session(id).unwrap()
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
        let session = self.open(PLACE, max_spend);
        self.grant(session, [32_000; 3]);
        self.car_ma = car_ma;
        self.post();
        assert_eq!(self.unit.lease().relay(), Relay::Closed);
        session
    }

    /// The connector's register at a sample.
    fn register_of(&self, sample: &Sample) -> u64 {
        let meter: Option<Meter> = Ledger::new(&self.state).get(&Key::Meter(PLACE)).unwrap();
        match meter {
            Some(meter) if sample.at_ms >= meter.since.ms() => meter.register(WattHours::new(sample.register_wh)).unwrap().get(),
            Some(_) | None => sample.register_wh,
        }
    }

    /// Every accepted reading can be proven by its samples, and the counts are those of the bill.
    fn check_proofs(&self, session: SessionId, bill: &SessionReceipt) {
        assert_eq!(self.accepted.len() as u64, bill.readings);
        let mut samples = 0;
        let mut next = None;
        for (sequence, reading) in &self.accepted {
            let kept = self.store.as_ref().unwrap().samples_of(session, *sequence).unwrap();
            let KeptSamples::Here(proof) = kept else { panic!("{kept:?}") };
            assert_eq!(proof.root(), reading.samples_root, "reading {sequence}");
            samples += u64::from(reading.sample_count);
            let last = proof.samples.last().map(|bytes| super::sample::RawSample::decode(bytes).unwrap());
            if let Some(last) = last {
                assert_eq!(self.register_of(&last.sample), reading.register_wh.get());
                let first = super::sample::RawSample::decode(&proof.samples[0]).unwrap();
                assert!(next.is_none_or(|next| first.number == next), "no sample is left out");
                next = Some(last.number + 1);
            }
        }
        assert_eq!(samples, bill.samples);
    }
}
