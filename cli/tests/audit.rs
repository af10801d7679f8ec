//! An audit believes a true chain and nothing else: each flipped byte of an export is found and named.

use chain::{
    certificate::{CommitCertificate, CommitSignature, VoteBody, VoteKind},
    crypto::{self, Domain},
    export::{self, End, RecordKind, Samples, frame_value, preamble},
    genesis_kind::NetworkKind,
    hash::Hash32,
    id::{Address, ChainId, CondominiumId, ConnectorId, GroupId, Height, SessionId, TariffId},
    params::Params,
    quantity::{Amount, Currents, WattHours, Watts},
    record::{Control, PlugSignal, Role, Service},
    state::{MemoryState, StateRead},
    tariff::{PriceComponent, Tariff, TariffDimension, TariffElement, TariffRestrictions},
    time::{Duration, Timestamp},
    tree::Tree,
};
use cli::audit::{AuditError, AuditFailure, AuditReport, replay};
use contracts::{
    call::{
        Attest, Body, Call, GrantCharge, OpenSession, Priority, PutConnector, PutGroup, PutTariff, Reading, ReadingFlags, SellTokens,
        SettleSession, Transaction, Transfer,
    },
    execute::{Parent, VerifiedTransaction, build},
    genesis::{GENESIS_VERSION, Genesis, GenesisAccount, GenesisCondominium, GenesisRole, GenesisValidator},
};
use ed25519_dalek::SigningKey;
use rand::{Rng, SeedableRng, rngs::StdRng};

const HERE: CondominiumId = CondominiumId(1);
const START: u64 = 1_700_000_000_000;

/// A chain with one validator, kept as an export.
struct Federation {
    validator: SigningKey,
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
    fn new() -> Self {
        let [validator, staff, resident] = [1, 2, 3].map(|seed| SigningKey::from_bytes(&[seed; 32]));
        let account = |key: &SigningKey| GenesisAccount { address: crypto::address_of(key), home: HERE, credit_limit: Amount::ZERO };
        let roles = [Role::Manager, Role::Treasurer, Role::Gateway, Role::Scheduler];
        let genesis = Genesis {
            version: GENESIS_VERSION,
            network: "audited".to_owned(),
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
            validators: vec![GenesisValidator {
                address: crypto::address_of(&validator),
                power: 1,
                condominium: HERE,
                network_key: Hash32([9; 32]),
            }],
        };
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
            validator,
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

    fn block(&mut self, at: u64, transactions: &[VerifiedTransaction], samples: &[Samples]) {
        let proposer = crypto::address_of(&self.validator);
        let built = build(&self.state, &self.tree, &self.parent, Timestamp::from_ms(START + at), proposer, transactions).expect("no fault");
        assert!(built.refused.is_empty(), "{:?}", built.refused);
        let block = built.block.header.hash();
        let vote = VoteBody {
            chain_id: self.parent.chain_id,
            kind: VoteKind::Precommit,
            height: built.block.header.height,
            round: 0,
            block: Some(block),
            validator: proposer,
        };
        let signature = crypto::sign(&self.validator, Domain::Vote, &vote.bytes());
        let certificate = CommitCertificate {
            height: vote.height,
            round: 0,
            block,
            signatures: vec![CommitSignature { validator: proposer, signature }],
        };
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

/// An evening: tokens are sold, a connector is set up, one session is charged and settled, and some tokens change hands.
fn evening() -> (Vec<u8>, Vec<[usize; 3]>, SessionId) {
    let mut chain = Federation::new();
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
    let setup = [
        Call::PutGroup(PutGroup { group: GroupId::new(HERE, 1), parent: None, limit: Currents::from_ma([32_000; 3]) }),
        Call::PutTariff(PutTariff { tariff: TariffId::new(HERE, 1), version: 1, valid_from: Timestamp::from_ms(START + 1_000), document }),
        Call::PutConnector(PutConnector {
            connector,
            group: 1,
            control: Control::Switched,
            plug_signal: PlugSignal::Reported,
            rated: Currents::from_ma([16_000, 0, 0]),
            tariff: 1,
            service: Service::InService,
        }),
        Call::SellTokens(SellTokens {
            condominium: HERE,
            account: crypto::address_of(&resident),
            amount: Amount::from_micro(50_000_000),
            sale: 1,
            payment: Hash32([5; 32]),
        }),
    ];
    let setup: Vec<_> = setup.into_iter().map(|call| chain.signed(&staff, call)).collect();
    chain.block(1_000, &setup, &[]);

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

fn audit(file: &[u8]) -> Result<AuditReport, AuditFailure> {
    replay(file, None, |_| ()).map_err(|error| match error {
        AuditError::Failed(failure) => failure,
        AuditError::Read(error) => panic!("{error}"),
        AuditError::Machine(error) => panic!("{error}"),
    })
}

#[test]
fn a_true_chain_passes_and_every_bill_is_computed_again() {
    let (file, _, session) = evening();
    let report = audit(&file).expect("a true chain");
    assert_eq!((report.blocks, report.transactions, report.rejected, report.samples, report.open_sessions), (5, 10, 0, 1, 0));
    let bills = report.by_session();
    let bill = bills.get(&session).expect("settled");
    assert_eq!(bill.energy, WattHours::new(3_680));
    assert_eq!(bill.paid.checked_add(bill.refund), Some(bill.escrow));
    assert!(report.totals.iter().all(contracts::audit::CondominiumTotals::holds));
}

#[test]
fn every_flipped_byte_is_found_and_placed() {
    let (file, places, _) = evening();
    let seed: u64 = 20_261_122;
    println!("seed {seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    for position in 0..file.len() {
        let mut wrong = file.clone();
        wrong[position] ^= 1 << rng.random_range(0..8);
        let failure = audit(&wrong).expect_err("a changed byte");
        let height = places.iter().rposition(|[block, ..]| *block <= position).map(|index| Height(index as u64 + 1));
        assert!(!failure.field.is_empty() && !failure.problem.is_empty(), "byte {position}: {failure}");
        assert!(!["{", "}", "Some(", "None", "\\\""].iter().any(|code| failure.problem.contains(code)), "byte {position}: {failure}");
        match failure.height {
            // A byte of the state's copy lies behind the last block and is told with its height.
            Some(named) => assert_eq!(Some(named), height, "byte {position}: {failure}"),
            None => {
                let begin = places.iter().flatten().copied().filter(|begin| *begin <= position).max().unwrap_or(0) as u64;
                assert!(failure.offset >= begin || failure.field == "framing", "byte {position}: {failure}");
            }
        }
    }
}

#[test]
fn a_flipped_byte_inside_a_transaction_names_the_transaction() {
    let (file, places, _) = evening();
    // The last block: record head (5), header, number of transactions, then length and bytes of the first.
    let header = 4 + 32 + 8 + 32 + 32 + 8 + 32 * 5;
    let first = places[4][0] + 5 + header + 8 + 8;
    for position in [first, first + 63, first + 64, first + 150, first + 250] {
        let mut wrong = file.clone();
        wrong[position] ^= 4;
        let failure = audit(&wrong).expect_err("a changed byte");
        assert_eq!((failure.height, failure.transaction.map(|(index, _)| index)), (Some(Height(5)), Some(0)), "byte {position}: {failure}");
        assert!(failure.transaction.is_some_and(|(_, id)| id.is_some()), "{failure}");
    }
    let fields =
        [("version", 0), ("chain id", 4), ("height", 36), ("parent", 44), ("history root", 76), ("timestamp", 108), ("proposer", 116)];
    let roots = [("transactions root", 148), ("receipts root", 180), ("state root", 212), ("next validators", 244)];
    for (field, offset) in fields.into_iter().chain(roots) {
        let mut wrong = file.clone();
        wrong[places[2][0] + 5 + offset] ^= 1;
        let failure = audit(&wrong).expect_err("a changed byte");
        assert_eq!((failure.height, failure.field.as_str()), (Some(Height(3)), format!("header, {field}").as_str()), "{failure}");
    }
}

#[test]
fn only_the_chain_that_was_asked_for_passes() {
    let (file, _, _) = evening();
    let own = audit(&file).expect("a true chain").chain_id;
    assert!(replay(file.as_slice(), Some(own), |_| ()).is_ok());
    let other = ChainId(Hash32([1; 32]));
    let Err(AuditError::Failed(failure)) = replay(file.as_slice(), Some(other), |_| ()) else { panic!("another chain passed") };
    assert_eq!((failure.height, failure.field.as_str()), (None, "genesis"));
    assert!(failure.problem.contains(&format!("expected {other}, found {own}")), "{failure}");
}

#[test]
fn what_differs_is_told_in_words_with_what_was_expected_and_found() {
    let (file, places, _) = evening();
    // The last block's receipts: the last byte before the record's checksum belongs to the transfer's event, or to what it says.
    let mut words = std::collections::BTreeSet::new();
    for place in places[4][2] + 5..places[4][2] + 400 {
        let mut wrong = file.clone();
        wrong[place] ^= 1;
        let failure = audit(&wrong).expect_err("a changed byte");
        if failure.field.starts_with("receipt ") {
            assert!(failure.problem.contains("expected ") && failure.problem.contains(", found "), "{failure}");
            words.insert(failure.problem.split(": expected").next().unwrap_or_default().to_owned());
        }
    }
    let seen = words.iter().filter(|field| field.contains("events, entry 1, ")).count();
    assert!(seen > 3, "{words:?}");
}

#[test]
fn whole_blocks_cannot_be_left_out_swapped_or_cut_off() {
    let (file, places, _) = evening();
    let record = |height: usize| places[height - 1][0]..places[height][0];
    let without = [&file[..record(3).start], &file[record(3).end..]].concat();
    assert_eq!(audit(&without).expect_err("a gap").field, "header, height");
    let swapped = [&file[..record(2).start], &file[record(3)], &file[record(2)], &file[record(3).end..]].concat();
    assert!(audit(&swapped).is_err());
    let cut = &file[..places[4][0]];
    assert_eq!(audit(cut).expect_err("cut off").field, "framing");
    let longer = [file.as_slice(), &[0]].concat();
    assert!(audit(&longer).is_err());
}
