//! A chain with one session, made by the ledger itself and kept as an export: the same in every run.
#![allow(dead_code, reason = "each test file uses a part of it")]

pub mod pair;
pub mod weeks;

use chain::{
    certificate::{CommitCertificate, CommitSignature, VoteBody, VoteKind},
    crypto::{self, Domain},
    export::{self, End, RecordKind, Samples, frame_value, preamble},
    genesis_kind::NetworkKind,
    hash::Hash32,
    id::{Address, CondominiumId, ConnectorId, GroupId, SessionId, TariffId},
    params::Params,
    quantity::{Amount, Currents, WattHours, Watts},
    receipt::Receipt,
    record::{Control, PlugSignal, Role, Service},
    state::{MemoryState, StateRead},
    tariff::{PriceComponent, Tariff, TariffDimension, TariffElement, TariffRestrictions},
    time::{Duration, Timestamp},
    tree::Tree,
};
use contracts::{
    call::{
        Attest, Body, Call, GrantCharge, OpenSession, Priority, PutConnector, PutGroup, PutTariff, Reading, ReadingFlags, SellTokens,
        SettleSession, Transaction, Transfer,
    },
    execute::{Parent, VerifiedTransaction, build},
    genesis::{GENESIS_VERSION, Genesis, GenesisAccount, GenesisCondominium, GenesisRole, GenesisValidator},
};
use ed25519_dalek::SigningKey;

const HERE: CondominiumId = CondominiumId(1);
const START: u64 = 1_700_000_000_000;

/// A chain, kept as an export.
struct Federation {
    /// In order of address; all but the last of several sign.
    validators: Vec<SigningKey>,
    staff: SigningKey,
    resident: SigningKey,
    nonces: std::collections::BTreeMap<Address, u64>,
    genesis: Genesis,
    state: MemoryState,
    tree: Tree,
    parent: Parent,
    file: Vec<u8>,
    end: End,
    /// For each height: where its records begin (block, certificate, receipts).
    places: Vec<[usize; 3]>,
}

impl Federation {
    fn new(network: &str, validators: u8) -> Self {
        Self::with(network, validators, |_| ())
    }

    /// With more in its genesis document.
    fn with(network: &str, validators: u8, more: impl FnOnce(&mut Genesis)) -> Self {
        let [staff, resident] = [2, 3].map(|seed| SigningKey::from_bytes(&[seed; 32]));
        let seeds = [1].into_iter().chain(11..).take(validators.into());
        let mut validators: Vec<_> = seeds.map(|seed| SigningKey::from_bytes(&[seed; 32])).collect();
        validators.sort_by_key(crypto::address_of);
        let member = |(network_key, key): (u8, &SigningKey)| GenesisValidator {
            address: crypto::address_of(key),
            power: 1,
            condominium: HERE,
            network_key: Hash32([network_key; 32]),
        };
        let account = |key: &SigningKey| GenesisAccount { address: crypto::address_of(key), home: HERE, credit_limit: Amount::ZERO };
        let roles = [Role::Manager, Role::Treasurer, Role::Gateway, Role::Scheduler];
        let mut genesis = Genesis {
            version: GENESIS_VERSION,
            network: network.to_owned(),
            kind: NetworkKind::Test,
            timestamp: Timestamp::from_ms(START),
            currency: "EUR".to_owned(),
            params: Params::default(),
            condominiums: vec![GenesisCondominium {
                id: HERE,
                name: "HERE".to_owned(),
                revenue: crypto::address_of(&staff),
                mint_cap_per_day: Amount::from_micro(1_000_000_000),
                position_limit: Amount::ZERO,
                roles: roles.map(|role| GenesisRole { role, account: crypto::address_of(&staff) }).to_vec(),
            }],
            accounts: vec![account(&staff), account(&resident)],
            validators: (9..).zip(&validators).map(member).collect(),
        };
        more(&mut genesis);
        let mut state = MemoryState::new();
        let changes = genesis.state().expect("a good document");
        state.apply(&changes);
        let mut file = preamble();
        file.extend(frame_value(RecordKind::Genesis, &genesis).expect("frames"));
        Self {
            parent: Parent::genesis(&genesis).expect("a set"),
            tree: Tree::new().updated(&changes),
            nonces: std::collections::BTreeMap::new(),
            end: End::default(),
            places: Vec::new(),
            validators,
            staff,
            resident,
            genesis,
            state,
            file,
        }
    }

    fn signed(&mut self, key: &SigningKey, call: Call) -> VerifiedTransaction {
        let address = crypto::address_of(key);
        let nonce = self.nonces.entry(address).or_default();
        let body = Body {
            chain_id: self.parent.chain_id,
            account: address,
            signer: address,
            nonce: *nonce,
            valid_until: self.parent.timestamp.saturating_add(Duration::from_hours(20)),
            call,
        };
        *nonce += 1;
        VerifiedTransaction::verify(Transaction::sign(body, key).expect("small")).expect("signed")
    }

    fn block(&mut self, at: u64, transactions: &[VerifiedTransaction], samples: &[Samples]) -> Vec<Receipt> {
        let proposer = crypto::address_of(&self.validators[0]);
        let built = build(&self.state, &self.tree, &self.parent, Timestamp::from_ms(START + at), proposer, transactions).expect("no fault");
        assert!(built.refused.is_empty(), "{:?}", built.refused);
        let (height, block) = (built.block.header.height, built.block.header.hash());
        let commit = |key: &SigningKey| {
            let (chain_id, validator) = (self.parent.chain_id, crypto::address_of(key));
            let vote = VoteBody { chain_id, kind: VoteKind::Precommit, height, round: 0, block: Some(block), validator };
            CommitSignature { validator, signature: crypto::sign(key, Domain::Vote, &vote.bytes()) }
        };
        let quorum = self.validators.len() * 2 / 3 + 1;
        let signatures = self.validators[..quorum].iter().map(commit).collect();
        let certificate = CommitCertificate { height, round: 0, block, signatures };
        let mut places = [self.file.len(); 3];
        self.file.extend(frame_value(RecordKind::Block, &built.block).expect("frames"));
        places[1] = self.file.len();
        self.file.extend(frame_value(RecordKind::Certificate, &certificate).expect("frames"));
        places[2] = self.file.len();
        self.file.extend(frame_value(RecordKind::Receipts, &built.executed.receipts).expect("frames"));
        self.places.push(places);
        for found in samples {
            self.file.extend(frame_value(RecordKind::Samples, found).expect("frames"));
            self.end.samples += 1;
        }
        self.end.blocks += 1;
        self.end.transactions += transactions.len() as u64;
        self.state.apply(&built.executed.changes);
        self.tree = built.executed.tree;
        self.parent = built.executed.next;
        built.executed.receipts
    }

    /// Block 1: a group, tariff 1 and connector 1 under it, and so many tokens for the resident.
    fn set_up(&mut self, document: Tariff, tokens: u64) {
        let setup = [
            Call::PutGroup(PutGroup { group: GroupId::new(HERE, 1), parent: None, limit: Currents::from_ma([32_000; 3]) }),
            Call::PutTariff(PutTariff {
                tariff: TariffId::new(HERE, 1),
                version: 1,
                valid_from: Timestamp::from_ms(START + 1_000),
                document,
            }),
            put_connector(1),
            Call::SellTokens(SellTokens {
                condominium: HERE,
                account: crypto::address_of(&self.resident),
                amount: Amount::from_micro(tokens * 1_000_000),
                sale: 1,
                payment: Hash32([5; 32]),
            }),
        ];
        let staff = self.staff.clone();
        let setup: Vec<_> = setup.into_iter().map(|call| self.signed(&staff, call)).collect();
        self.block(1_000, &setup, &[]);
    }

    fn finish(mut self) -> (Vec<u8>, Vec<[usize; 3]>) {
        let page: export::StatePage = self.state.iter().map(|(key, value)| (key.to_vec(), value.to_vec())).collect();
        self.end.state_keys = page.len() as u64;
        self.file.extend(frame_value(RecordKind::State, &page).expect("frames"));
        self.file.extend(frame_value(RecordKind::End, &self.end).expect("frames"));
        assert!(self.state.get(&[15]).expect("in memory").is_some() && self.genesis.check().is_ok());
        (self.file, self.places)
    }
}

/// Connector 1 under a tariff.
fn put_connector(tariff: u32) -> Call {
    Call::PutConnector(PutConnector {
        connector: ConnectorId::new(HERE, 1),
        group: 1,
        control: Control::Switched,
        plug_signal: PlugSignal::Reported,
        rated: Currents::from_ma([16_000, 0, 0]),
        tariff,
        service: Service::InService,
    })
}

/// [`evening_of`] one validator.
pub fn evening() -> (Vec<u8>, Vec<[usize; 3]>, SessionId) {
    evening_of("audited", 1)
}

/// An evening: tokens are sold, a connector is set up, one session is charged and settled, and some tokens change hands.
pub fn evening_of(network: &str, validators: u8) -> (Vec<u8>, Vec<[usize; 3]>, SessionId) {
    let mut chain = Federation::new(network, validators);
    let (staff, resident) = (chain.staff.clone(), chain.resident.clone());
    let connector = ConnectorId::new(HERE, 1);
    let price = |price: u64, restrictions| TariffElement {
        price_components: vec![PriceComponent { dimension: TariffDimension::Energy, price: Amount::from_micro(price) }],
        restrictions,
    };
    let night = TariffRestrictions { start_time: Some(22 * 60), end_time: Some(7 * 60), ..TariffRestrictions::default() };
    let document = Tariff {
        time_zone: "CET-1CEST,M3.5.0,M10.5.0/3".to_owned(),
        elements: vec![price(150_000, night), price(250_000, TariffRestrictions::default())],
        min_price: None,
        max_price: None,
        vat_basis_points: 2_500,
        parking_grace: Duration::ZERO,
    };
    chain.set_up(document, 50);

    let open = Call::OpenSession(OpenSession {
        connector,
        tariff_version: 1,
        max_spend: Amount::from_micro(5_000_000),
        max_duration: Duration::from_hours(8),
        energy_target: None,
        state_of_charge: None,
        depart_by: None,
        window: None,
        priority: Priority::None,
    });
    let open = chain.signed(&resident, open);
    let session = SessionId(open.get().id().0);
    chain.block(2_000, &[open], &[]);
    let grant = Call::GrantCharge(GrantCharge { session, current: Currents::from_ma([16_000, 0, 0]), skipped: Vec::new() });
    let grant = chain.signed(&staff, grant);
    chain.block(3_000, &[grant], &[]);

    let samples = Samples { session, sequence: 2, salt: Hash32([7; 32]), samples: vec![vec![1, 2, 3], vec![4, 5], vec![6]] };
    let reading = |sequence, minutes: u64, register, flags, samples_root, sample_count| Reading {
        session,
        sequence,
        at: Timestamp::from_ms(START + 3_000 + minutes * 60_000),
        register_wh: WattHours::new(register),
        power_w: Watts::new(3_680),
        flags,
        samples_root,
        sample_count,
    };
    let first = Call::Attest(Attest { readings: vec![reading(1, 0, 1_000, ReadingFlags::NONE, Hash32::ZERO, 0)] });
    let first = chain.signed(&staff, first);
    chain.block(4_000, &[first], &[]);
    let last = Call::Attest(Attest { readings: vec![reading(2, 60, 4_680, ReadingFlags::VEHICLE_FULL, samples.root(), 3)] });
    let settle = Call::SettleSession(SettleSession { session });
    let pay = Call::Transfer(Transfer { to: crypto::address_of(&staff), amount: Amount::from_micro(1_000_000) });
    let last = [chain.signed(&staff, last), chain.signed(&staff, settle), chain.signed(&resident, pay)];
    chain.block(3_700_000, &last, &[samples]);
    let (file, places) = chain.finish();
    (file, places, session)
}
