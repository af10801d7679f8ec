//! What carrying out a block costs: a thousand transfers, and one instant in which a hundred cars begin and end their charge.
//!
//! Run with `cargo bench --profile dev -p contracts --bench execute_block`. The state is in memory, so no disk is measured; the throughput is in transactions.
//! `execute` takes transactions whose signatures are checked already, as a node's does; the check of a whole block on one core is measured apart, and so are
//! the parts of an execution that make the roots, and each kind of call.

use std::{hint::black_box, time::Duration};

use chain::{
    block::transactions_root,
    crypto::address_of,
    hash::Hash32,
    id::{Address, CondominiumId, ConnectorId, GroupId, SessionId, TariffId},
    params::Params,
    quantity::{Amount, Currents, WattHours, Watts},
    receipt::{Event, Outcome, receipts_root},
    record::{Control, PlugSignal, Role, Service},
    state::MemoryState,
    tariff::{PriceComponent, Tariff, TariffDimension, TariffElement, TariffRestrictions},
    time::{Duration as Span, Timestamp},
    tree::Tree,
};
use contracts::{
    call::{
        Attest, Body, Call, GrantCharge, OpenSession, Priority, PutConnector, PutGroup, PutTariff, Reading, ReadingFlags, SellTokens,
        SettleSession, Transaction, Transfer,
    },
    execute::{self, Built, Parent, VerifiedTransaction},
    genesis::{GENESIS_VERSION, Genesis, GenesisAccount, GenesisCondominium, GenesisRole, GenesisValidator, NetworkKind},
};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ed25519_dalek::SigningKey;

const HOME: CondominiumId = CondominiumId(1);

/// Residents, each with a connector: as many sessions in one instant.
const RESIDENTS: u32 = 100;

/// Transfers of each resident: together a thousand, within the share of a block that a resident has.
const TRANSFERS_EACH: u32 = 10;

/// Monday 2026-01-05, 12:00 UTC.
const NOON_MS: u64 = 1_767_614_400_000;

/// 32 A on three phases.
const RATED: Currents = Currents::from_ma([32_000; 3]);

/// Who acts. The numbers of residents begin at 0, those of staff are above all of them.
#[derive(Clone, Copy)]
struct Actor(u32);

const MANAGER: Actor = Actor(1_000_000);
const TREASURER: Actor = Actor(1_000_001);
const GATEWAY: Actor = Actor(1_000_002);
const SCHEDULER: Actor = Actor(1_000_003);
const REVENUE: Actor = Actor(1_000_004);
const VALIDATOR: Actor = Actor(1_000_005);

impl Actor {
    fn key(self) -> SigningKey {
        let mut seed = [1; 32];
        seed[..4].copy_from_slice(&self.0.to_le_bytes());
        SigningKey::from_bytes(&seed)
    }

    fn address(self) -> Address {
        address_of(&self.key())
    }
}

fn genesis() -> Genesis {
    let staff = [(MANAGER, Role::Manager), (TREASURER, Role::Treasurer), (GATEWAY, Role::Gateway), (SCHEDULER, Role::Scheduler)];
    let account = |actor: Actor| GenesisAccount { address: actor.address(), home: HOME, credit_limit: Amount::ZERO };
    Genesis {
        version: GENESIS_VERSION,
        network: "bench".to_owned(),
        kind: NetworkKind::Test,
        timestamp: Timestamp::from_ms(NOON_MS),
        currency: "EUR".to_owned(),
        params: Params::default(),
        condominiums: vec![GenesisCondominium {
            id: HOME,
            name: "bench".to_owned(),
            revenue: REVENUE.address(),
            mint_cap_per_day: Amount::from_micro(1_000_000_000_000),
            position_limit: Amount::ZERO,
            roles: staff.map(|(actor, role)| GenesisRole { role, account: actor.address() }).to_vec(),
        }],
        accounts: staff.iter().map(|(actor, _)| account(*actor)).chain([account(REVENUE)]).collect(),
        validators: vec![GenesisValidator { address: VALIDATOR.address(), power: 1, condominium: HOME, network_key: Hash32([5; 32]) }],
    }
}

/// 0.25 by day and 0.15 by night, as a building would have it.
fn tariff() -> Tariff {
    let element = |price, restrictions| TariffElement {
        price_components: vec![PriceComponent { dimension: TariffDimension::Energy, price: Amount::from_micro(price) }],
        restrictions,
    };
    let night = TariffRestrictions { start_time: Some(22 * 60), end_time: Some(7 * 60), ..TariffRestrictions::default() };
    Tariff {
        time_zone: "CET-1CEST,M3.5.0,M10.5.0/3".to_owned(),
        elements: vec![element(150_000, night), element(250_000, TariffRestrictions::default())],
        min_price: None,
        max_price: None,
        vat_basis_points: 0,
        parking_grace: Span::ZERO,
    }
}

/// A building with its residents, tokens, connectors and tariff, after its first block.
struct Building {
    state: MemoryState,
    tree: Tree,
    parent: Parent,
    /// The time of the next block.
    now: Timestamp,
}

impl Building {
    fn new() -> Self {
        let genesis = genesis();
        let mut state = MemoryState::new();
        state.apply(&genesis.state().expect("a genesis of ours"));
        let tree = Tree::build(state.iter());
        let parent = Parent::genesis(&genesis).expect("a genesis of ours");
        let mut building = Self { state, tree, parent, now: Timestamp::from_ms(NOON_MS + 1_000) };
        building.commit(&building.equipment());
        building
    }

    /// Goes on to a second later, after a block of these.
    fn commit(&mut self, transactions: &[VerifiedTransaction]) {
        let Built { executed, .. } = self.block(transactions);
        self.state.apply(&executed.changes);
        self.tree = executed.tree;
        self.parent = executed.next;
        self.now = self.now.saturating_add(Span::from_secs(1));
    }

    fn sign(&self, actor: Actor, nonce: u32, call: Call) -> VerifiedTransaction {
        let account = actor.address();
        let valid_until = self.now.saturating_add(Span::from_hours(1));
        let body = Body { chain_id: self.parent.chain_id, account, signer: account, nonce: nonce.into(), valid_until, call };
        VerifiedTransaction::verify(Transaction::sign(body, &actor.key()).expect("small")).expect("signed just now")
    }

    /// A block of these, all of which must take effect: what is rejected would be measured as too cheap.
    fn block(&self, transactions: &[VerifiedTransaction]) -> Built {
        let built = execute::build(&self.state, &self.tree, &self.parent, self.now, VALIDATOR.address(), transactions)
            .expect("memory does not fail");
        assert!(built.refused.is_empty() && built.left.is_empty(), "refused {:?}, left {:?}", built.refused, built.left);
        for receipt in &built.executed.receipts {
            assert_eq!(receipt.outcome, Outcome::Applied, "{:?}", receipt.cause);
        }
        built
    }

    fn equipment(&self) -> Vec<VerifiedTransaction> {
        let all = Currents::from_ma([32_000 * RESIDENTS; 3]);
        let tariff = PutTariff { tariff: TariffId::new(HOME, 1), version: 1, valid_from: self.now, document: tariff() };
        let mut calls = vec![
            Call::PutGroup(PutGroup { group: GroupId::new(HOME, 1), parent: None, limit: all }),
            Call::PutGroup(PutGroup { group: GroupId::new(HOME, 2), parent: Some(1), limit: all }),
            Call::PutTariff(tariff),
        ];
        calls.extend((0..RESIDENTS).map(|number| {
            Call::PutConnector(PutConnector {
                connector: ConnectorId::new(HOME, number),
                group: 2,
                control: Control::Switched,
                plug_signal: PlugSignal::Reported,
                rated: RATED,
                tariff: 1,
                service: Service::InService,
            })
        }));
        let manager = (0..).zip(calls).map(|(nonce, call)| self.sign(MANAGER, nonce, call));
        let sales = (0..RESIDENTS).map(|number| {
            let sale = SellTokens {
                condominium: HOME,
                account: Actor(number).address(),
                amount: Amount::from_micro(100_000_000),
                sale: u64::from(number) + 1,
                payment: Hash32([8; 32]),
            };
            self.sign(TREASURER, number, Call::SellTokens(sale))
        });
        manager.chain(sales).collect()
    }

    /// Everybody pays his neighbour, in turns.
    fn transfers(&self) -> Vec<VerifiedTransaction> {
        let turns = (0..TRANSFERS_EACH).flat_map(|nonce| (0..RESIDENTS).map(move |number| (nonce, number)));
        turns
            .map(|(nonce, number)| {
                let to = Actor((number + 1) % RESIDENTS).address();
                self.sign(Actor(number), nonce, Call::Transfer(Transfer { to, amount: Amount::from_micro(1_000) }))
            })
            .collect()
    }

    /// All open, all are granted, all are read twice in one attestation and are full, all settle.
    fn sessions(&self) -> Vec<VerifiedTransaction> {
        let opens: Vec<_> = (0..RESIDENTS).map(|number| self.sign(Actor(number), 0, Call::OpenSession(opening(number)))).collect();
        // A session is named by the transaction that opened it.
        let sessions: Vec<_> = opens.iter().map(|open| SessionId(open.get().id().0)).collect();
        let grants = (0..).zip(&sessions).map(|(nonce, session)| {
            self.sign(SCHEDULER, nonce, Call::GrantCharge(GrantCharge { session: *session, current: RATED, skipped: Vec::new() }))
        });
        let first = |session| Reading {
            session,
            sequence: 1,
            at: self.now,
            register_wh: WattHours::new(1_000),
            power_w: Watts::new(22_080),
            flags: ReadingFlags::NONE,
            samples_root: Hash32([6; 32]),
            sample_count: 1,
        };
        // Three seconds of full power, which a meter may be ahead of its block.
        let last = |session| Reading {
            sequence: 2,
            at: self.now.saturating_add(Span::from_secs(3)),
            register_wh: WattHours::new(1_018),
            flags: ReadingFlags::VEHICLE_FULL,
            ..first(session)
        };
        let readings = sessions.iter().flat_map(|session| [first(*session), last(*session)]).collect();
        let attest = self.sign(GATEWAY, 0, Call::Attest(Attest { readings }));
        let settlements = (1..)
            .zip(&sessions)
            .map(|(nonce, session)| self.sign(GATEWAY, nonce, Call::SettleSession(SettleSession { session: *session })));
        opens.iter().cloned().chain(grants).chain([attest]).chain(settlements).collect()
    }
}

fn opening(number: u32) -> OpenSession {
    OpenSession {
        connector: ConnectorId::new(HOME, number),
        tariff_version: 1,
        max_spend: Amount::from_micro(10_000_000),
        max_duration: Span::from_hours(10),
        energy_target: None,
        state_of_charge: None,
        depart_by: None,
        window: None,
        priority: Priority::None,
    }
}

fn measure(c: &mut Criterion, name: &str, building: &Building, transactions: &[VerifiedTransaction]) {
    let Building { state, tree, parent, .. } = building;
    let built = building.block(transactions);
    let events = || built.executed.receipts.iter().flat_map(|receipt| &receipt.events);
    let refused = events().filter(|event| matches!(event, Event::ReadingHandled { refused: Some(_), .. })).count();
    assert_eq!(refused, 0, "a refused reading costs less than an accepted one");
    println!(
        "{name}: {} transactions in {} bytes, {} events, {} keys change",
        transactions.len(),
        built.block.encode().expect("a block of ours").len(),
        events().count(),
        built.executed.changes.len()
    );
    let mut group = c.benchmark_group(name);
    group.throughput(Throughput::Elements(u64::try_from(transactions.len()).expect("a length fits in 64 bits")));
    group.bench_function("decode and verify each", |b| {
        b.iter(|| {
            let each = black_box(&built.block).transactions.iter();
            each.map(|bytes| VerifiedTransaction::verify(Transaction::decode(bytes).expect("signed above")).expect("signed above"))
                .collect::<Vec<_>>()
        });
    });
    group.bench_function("execute_block", |b| {
        b.iter(|| execute::execute(state, tree, parent, black_box(&built.block), transactions).expect("built above"));
    });
    group.bench_function("execute_block, of which transactions root", |b| {
        b.iter(|| transactions_root(black_box(&built.block.transactions)));
    });
    group.bench_function("execute_block, of which receipts root", |b| b.iter(|| receipts_root(black_box(&built.executed.receipts))));
    group.bench_function("execute_block, of which state tree", |b| b.iter(|| tree.updated(black_box(&built.executed.changes)).root()));
    group.finish();
}

fn execute_block(c: &mut Criterion) {
    let building = Building::new();
    measure(c, &format!("{} transfers", TRANSFERS_EACH * RESIDENTS), &building, &building.transfers());
    let all = building.sessions();
    measure(c, &format!("{RESIDENTS} sessions in one instant"), &building, &all);
    each_kind(c, building, &all);
}

/// The same sessions in four blocks, one for each kind of call: what each kind takes of the whole.
fn each_kind(c: &mut Criterion, mut building: Building, mut rest: &[VerifiedTransaction]) {
    let sessions = usize::try_from(RESIDENTS).expect("a hundred");
    let mut group = c.benchmark_group(format!("{RESIDENTS} sessions, block by block"));
    for (name, count) in [("opens", sessions), ("grants", sessions), ("one attestation", 1), ("settlements", sessions)] {
        let (transactions, later) = rest.split_at(count);
        rest = later;
        let Building { state, tree, parent, .. } = &building;
        let built = building.block(transactions);
        group.throughput(Throughput::Elements(u64::try_from(count).expect("a length fits in 64 bits")));
        group.bench_function(name, |b| {
            b.iter(|| execute::execute(state, tree, parent, black_box(&built.block), transactions).expect("built above"));
        });
        building.commit(transactions);
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1)).sample_size(20);
    targets = execute_block
}
criterion_main!(benches);
