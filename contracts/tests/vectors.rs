//! The golden vectors of `contracts/vectors`: calls, transactions, genesis documents, the rules step by step and a whole short chain, made by an independent
//! program from the description of formats and rules. Ours must agree to the byte.

use std::{collections::BTreeMap, fmt::Debug};

use chain::{
    block::Block,
    certificate::CommitCertificate,
    code::Rejection,
    codec::{self, CodecError},
    crypto,
    export::{End, Framing, RecordKind, StatePage},
    hash::Hash32,
    history::History,
    id::{Address, ChainId, Height, SessionId, TxId},
    params::Params,
    quantity::Amount,
    receipt::{Event, Outcome, Receipt},
    record::{
        Account, AskedStart, Card, Clearing, ClearingHead, Condominium, Connector, Group, Key, Mandate, MandateDay, MandateUse, Meter,
        MeterProposal, Payment, Redemption, Roaming, RoleGrant, Session, SessionTimes, Signer, Suspension, TariffHead, TariffVersion,
    },
    state::{Change, MemoryState},
    time::Timestamp,
    transaction::TransactionError,
    tree::Tree,
};
use contracts::{
    call::{Body, Call, Transaction},
    context::{BlockContext, CallContext},
    execute::{self, BlockError, Executed, InvalidBlock, Parent, VerifiedTransaction},
    failure::Failure,
    genesis::{Genesis, GenesisError},
    ledger::Ledger,
};
use ed25519_dalek::SigningKey;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

const LIMIT: usize = 1 << 20;

fn file(name: &str) -> Value {
    let path = format!("vectors/{name}");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn list<'v>(value: &'v Value, name: &str) -> &'v [Value] {
    value[name].as_array().unwrap_or_else(|| panic!("no list {name}"))
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value[name].as_str().unwrap_or_else(|| panic!("no text {name} in {value}"))
}

fn bytes(value: &Value, name: &str) -> Vec<u8> {
    hex::decode(text(value, name)).expect("hexadecimal digits")
}

fn hash(value: &Value, name: &str) -> Hash32 {
    Hash32(bytes(value, name).try_into().expect("32 bytes"))
}

fn number(value: &Value, name: &str) -> u64 {
    value[name].as_u64().unwrap_or_else(|| panic!("no number {name} in {value}"))
}

fn parse<T: DeserializeOwned>(value: &Value) -> T {
    serde_json::from_value(value.clone()).unwrap_or_else(|error| panic!("{error}: {value}"))
}

fn json<T: Serialize>(value: &T) -> Value {
    serde_json::to_value(value).expect("has JSON")
}

/// What the value's bytes and JSON say must be one value, and that value must give the same bytes and JSON.
fn good<T: Serialize + DeserializeOwned + PartialEq + Debug>(vector: &Value) -> T {
    let name = text(vector, "name");
    let encoded = bytes(vector, "bytes");
    let value: T = codec::decode(&encoded, LIMIT).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!(codec::encode(&value).as_ref(), Ok(&encoded), "{name}");
    assert_eq!(json(&value), vector["json"], "{name}");
    assert_eq!(parse::<T>(&vector["json"]), value, "{name}");
    value
}

fn codec_kind(error: &CodecError) -> &'static str {
    match error {
        CodecError::TooLong { .. } => "too_long",
        CodecError::Malformed(_) => "malformed",
        CodecError::Trailing(_) => "trailing",
        CodecError::NotCanonical => "not_canonical",
        CodecError::Unencodable(_) => "unencodable",
    }
}

fn bad<T: Serialize + DeserializeOwned + PartialEq + Debug>(vector: &Value) {
    match codec::decode::<T>(&bytes(vector, "bytes"), LIMIT) {
        Ok(value) => panic!("{}: {value:?}", text(vector, "name")),
        Err(error) => assert_eq!(codec_kind(&error), text(vector, "error"), "{}", text(vector, "name")),
    }
}

#[test]
fn calls_and_transactions_are_those_of_the_vectors() {
    let file = file("calls.json");
    let mut kinds = BTreeMap::new();
    for vector in list(&file, "good") {
        let name = text(vector, "name");
        let body: Body = good(vector);
        *kinds.entry(body.call.action().name()).or_insert(0) += 1;
        assert_eq!(codec::encode(&body.call), Ok(bytes(vector, "call")), "{name}");
        assert_eq!(codec::decode::<Call>(&bytes(vector, "call"), LIMIT).as_ref(), Ok(&body.call), "{name}");

        let sent = bytes(vector, "transaction");
        let transaction = Transaction::decode(&sent).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(transaction.verify(), Ok(()), "{name}");
        assert_eq!((transaction.body(), transaction.bytes(), transaction.body_bytes()), (&body, sent.as_slice(), &sent[64..]), "{name}");
        assert_eq!(transaction.id(), TxId(hash(vector, "id")), "{name}");
        assert_eq!(transaction.leaf(), hash(vector, "leaf"), "{name}");
        let key = SigningKey::from_bytes(&hash(vector, "seed").0);
        assert_eq!(crypto::address_of(&key), body.signer, "{name}");
        assert_eq!(Transaction::sign(body, &key).as_ref(), Ok(&transaction), "{name}");
    }
    assert_eq!(kinds.len(), 34);
    assert!(kinds.values().all(|count| *count >= 2), "{kinds:?}");
    for vector in list(&file, "bad_calls") {
        bad::<Call>(vector);
    }
    for vector in list(&file, "bad") {
        let verdict = match Transaction::decode(&bytes(vector, "bytes")) {
            Ok(transaction) => transaction.verify().map_or("bad_signature", |()| "accepted"),
            Err(TransactionError::Length(_)) => "length",
            Err(TransactionError::Body(error)) => codec_kind(&error),
        };
        assert_eq!(verdict, text(vector, "error"), "{}", text(vector, "name"));
    }
}

#[test]
fn genesis_documents_give_the_chain_id_and_the_first_state_of_the_vectors() {
    let file = file("genesis.json");
    for vector in list(&file, "good") {
        let name = text(vector, "name");
        let genesis: Genesis = good(vector);
        assert_eq!(genesis.chain_id(), ChainId(hash(vector, "chain_id")), "{name}");
        assert_eq!(genesis.validator_set().expect("a set").hash(), hash(vector, "validators_hash"), "{name}");
        let changes = genesis.state().unwrap_or_else(|error| panic!("{name}: {error}"));
        let rows: Vec<_> =
            changes.iter().map(|(key, value)| json!([hex::encode(key), hex::encode(value.as_ref().expect("a value"))])).collect();
        assert_eq!(vector["state"], json!(rows), "{name}");
        assert_eq!(Tree::new().updated(&changes).root(), hash(vector, "state_root"), "{name}");
        let mut more = vector["json"].clone();
        more["colour"] = json!("red");
        assert!(serde_json::from_value::<Genesis>(more).is_err(), "{name} with an unknown field");
    }
    for vector in list(&file, "refused") {
        let genesis: Genesis = good(vector);
        let verdict = match genesis.check() {
            Ok(()) => "accepted",
            Err(GenesisError::Version { .. }) => "version",
            Err(GenesisError::Name(_)) => "name",
            Err(GenesisError::Currency(_)) => "currency",
            Err(GenesisError::Count { .. }) => "count",
            Err(GenesisError::Order(_)) => "order",
            Err(GenesisError::AccountTwice(_)) => "account_twice",
            Err(GenesisError::UnknownCondominium(_)) => "unknown_condominium",
            Err(GenesisError::UnknownAccount(_)) => "unknown_account",
            Err(GenesisError::Credit { .. }) => "credit",
            Err(GenesisError::NoManager(_)) => "no_manager",
            Err(GenesisError::Validators(_)) => "validators",
            Err(GenesisError::SharedKey(_)) => "shared_key",
            Err(GenesisError::Parameter(_)) => "parameter",
            Err(GenesisError::Fault(fault)) => panic!("{fault}"),
        };
        assert_eq!(verdict, text(vector, "error"), "{}", text(vector, "name"));
        assert!(genesis.state().is_err(), "{}", text(vector, "name"));
    }
    for vector in list(&file, "bad") {
        bad::<Genesis>(vector);
    }
}

/// The bytes of a record that the vectors show as JSON.
fn encoded(table: &str, record: &Value) -> Vec<u8> {
    fn of<T: Serialize + DeserializeOwned>(record: &Value) -> Vec<u8> {
        codec::encode(&parse::<T>(record)).expect("a record has an encoding")
    }
    match table {
        "account" => of::<Account>(record),
        "signer" => of::<Signer>(record),
        "condominium" => of::<Condominium>(record),
        "role" => of::<RoleGrant>(record),
        "group" => of::<Group>(record),
        "connector" => of::<Connector>(record),
        "tariff_head" => of::<TariffHead>(record),
        "tariff_version" => of::<TariffVersion>(record),
        "session" => of::<Session>(record),
        "queue" => of::<SessionId>(record),
        "due" => of::<()>(record),
        "redemption" => of::<Redemption>(record),
        "position" | "pending_position" => of::<Amount>(record),
        "invite" => of::<Timestamp>(record),
        "params" => of::<Params>(record),
        "validators" => of::<chain::certificate::ValidatorSet>(record),
        "session_times" => of::<SessionTimes>(record),
        "roaming" => of::<Roaming>(record),
        "clearing_head" => of::<ClearingHead>(record),
        "clearing" => of::<Clearing>(record),
        "payment" => of::<Payment>(record),
        "mandate" => of::<Mandate>(record),
        "card" => of::<Card>(record),
        "mandate_day" => of::<MandateDay>(record),
        "mandate_use" => of::<MandateUse>(record),
        "asked_start" => of::<AskedStart>(record),
        "meter_proposal" => of::<MeterProposal>(record),
        "meter" => of::<Meter>(record),
        "suspension" => of::<Suspension>(record),
        other => panic!("no table {other}"),
    }
}

/// The record of a key, for people who look at a difference.
fn shown(key: &[u8], value: &[u8]) -> Value {
    fn of<T: Serialize + DeserializeOwned>(value: &[u8]) -> Value {
        json(&codec::decode::<T>(value, LIMIT).expect("a record"))
    }
    match key.first() {
        Some(1) => of::<Account>(value),
        Some(3) => of::<Condominium>(value),
        Some(4) => of::<RoleGrant>(value),
        Some(5) => of::<Group>(value),
        Some(6) => of::<Connector>(value),
        Some(9) => of::<Session>(value),
        _ => json!(hex::encode(value)),
    }
}

fn put_all(state: &mut MemoryState, entries: &[Value]) {
    for entry in entries {
        let key = bytes(entry, "key");
        if entry["gone"] == true {
            state.delete(&key);
        } else {
            state.put(key, encoded(text(entry, "table"), &entry["record"]));
        }
    }
}

fn root(state: &MemoryState) -> Hash32 {
    Tree::build(state.iter()).root()
}

fn assert_same(name: &str, found: &MemoryState, expected: &MemoryState) {
    let rows =
        |state: &MemoryState| -> BTreeMap<Vec<u8>, Vec<u8>> { state.iter().map(|(key, value)| (key.to_vec(), value.to_vec())).collect() };
    let (found, expected) = (rows(found), rows(expected));
    for key in found.keys().chain(expected.keys()) {
        let show = |rows: &BTreeMap<Vec<u8>, Vec<u8>>| rows.get(key).map(|value| shown(key, value));
        assert_eq!(show(&found), show(&expected), "{name}: key {}", hex::encode(key));
    }
    assert_eq!(found, expected, "{name}");
}

/// Carries out one call as a block would: everything that a refused call wrote is dropped.
fn carry_out(state: &MemoryState, block: &BlockContext, transaction: &Value, call: &Call) -> (Outcome, Vec<Event>, Vec<Change>) {
    let context = CallContext {
        block,
        index: parse(&transaction["index"]),
        tx_id: TxId(hash(transaction, "id")),
        account: parse::<Address>(&transaction["account"]),
        signer: parse::<Address>(&transaction["signer"]),
    };
    let mut ledger = Ledger::new(state);
    let action = call.action();
    let rejected = |rejection: Rejection| (Outcome::Rejected(rejection), Vec::new(), Vec::new());
    match action.check().map_err(Failure::from).and_then(|()| action.apply(&context, &mut ledger)) {
        Ok(()) => {
            let events = ledger.take_events();
            (Outcome::Applied, events, ledger.into_changes())
        }
        Err(Failure::Reject(rejection)) => rejected(rejection),
        Err(Failure::Fault(fault)) => panic!("{fault}"),
    }
}

/// A block without transactions: what is due, and nothing else.
fn empty_block(state: &MemoryState, block: &BlockContext) -> (Vec<Receipt>, Vec<Change>, Hash32) {
    let validators = Ledger::new(state).get(&Key::Validators).expect("memory does not fail").expect("the state has validators");
    let parent = Parent {
        chain_id: block.chain_id,
        height: Height(block.height.0 - 1),
        hash: block.chain_id.0,
        timestamp: Timestamp::from_ms(block.timestamp.ms() - 1),
        history: History::new(),
        validators,
    };
    let proposer = parent.validators.members()[0].address;
    let built = execute::build(state, &Tree::build(state.iter()), &parent, block.timestamp, proposer, &[]).expect("a block");
    (built.executed.receipts, built.executed.changes, built.block.header.state_root)
}

#[test]
fn every_rule_has_the_outcome_the_events_and_the_records_of_the_vectors() {
    let file = file("rules.json");
    let mut base = MemoryState::new();
    put_all(&mut base, list(&file, "base"));
    assert_eq!(root(&base), hash(&file, "root"));
    let mut count = BTreeMap::<String, (u32, u32)>::new();
    for vector in list(&file, "steps") {
        let name = text(vector, "name");
        let mut before = base.clone();
        put_all(&mut before, list(vector, "pre"));
        let mut expected = before.clone();
        put_all(&mut expected, list(vector, "changes"));
        let block = BlockContext {
            chain_id: ChainId(hash(&file, "chain_id")),
            height: Height(number(&vector["block"], "height")),
            timestamp: Timestamp::from_ms(number(&vector["block"], "timestamp")),
            params: Ledger::new(&before).get(&Key::Params).expect("memory does not fail").expect("the state has parameters"),
        };
        let mut after = before.clone();
        if vector["call"].is_null() {
            let (receipts, changes, state_root) = empty_block(&before, &block);
            assert_eq!(json(&receipts), vector["receipts"], "{name}");
            after.apply(&changes);
            assert_eq!(state_root, hash(vector, "root"), "{name}");
            count.entry("due".to_owned()).or_default().0 += 1;
        } else {
            let call: Call = parse(&vector["call"]);
            assert_eq!(json(&call), vector["call"], "{name}");
            let (outcome, events, changes) = carry_out(&before, &block, &vector["transaction"], &call);
            assert_eq!(json(&outcome), vector["outcome"], "{name}");
            assert_eq!(json(&events), vector["events"], "{name}");
            after.apply(&changes);
            let (applied, rejected) = count.entry(call.action().name().to_owned()).or_default();
            *(if outcome == Outcome::Applied { applied } else { rejected }) += 1;
        }
        assert_same(name, &after, &expected);
        assert_eq!(root(&after), hash(vector, "root"), "{name}");
    }
    println!("applied and rejected, by call: {count:#?}");
    assert_eq!(count.len(), 35);
    assert!(count.iter().all(|(call, (applied, rejected))| *applied >= 1 && (*rejected >= 1 || call == "due")), "{count:?}");
}

fn verified(block: &Block) -> Vec<VerifiedTransaction> {
    let verify =
        |bytes: &Vec<u8>| VerifiedTransaction::verify(Transaction::decode(bytes).expect("a transaction")).expect("a good signature");
    block.transactions.iter().map(verify).collect()
}

/// A state with what the next block builds on.
#[derive(Clone)]
struct Tip {
    state: MemoryState,
    tree: Tree,
    parent: Parent,
}

impl Tip {
    fn genesis(genesis: &Genesis) -> Self {
        let mut state = MemoryState::new();
        state.apply(&genesis.state().expect("a beginning"));
        Self { tree: Tree::build(state.iter()), state, parent: Parent::genesis(genesis).expect("validators") }
    }

    fn execute(&self, block: &Block) -> Result<Executed, BlockError> {
        execute::execute(&self.state, &self.tree, &self.parent, block, &verified(block))
    }

    fn after(&self, executed: Executed) -> Self {
        let mut state = self.state.clone();
        state.apply(&executed.changes);
        Self { state, tree: executed.tree, parent: executed.next }
    }
}

#[test]
fn a_whole_chain_is_that_of_the_vectors() {
    let file = file("chain.json");
    let genesis: Genesis = parse(&file["genesis"]);
    assert_eq!(genesis.chain_id(), ChainId(hash(&file, "chain_id")));
    let mut tip = Tip::genesis(&genesis);
    assert_eq!(tip.tree.root(), hash(&file, "state_root"));
    for vector in list(&file, "blocks") {
        let name = text(vector, "name");
        let block = Block::decode(&bytes(vector, "bytes")).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(block.encode(), Ok(bytes(vector, "bytes")), "{name}");
        let header = block.header;
        let built =
            execute::build(&tip.state, &tip.tree, &tip.parent, header.timestamp, header.proposer, &verified(&block)).expect("no fault");
        assert_eq!((built.refused, built.left), (Vec::new(), Vec::new()), "{name}");
        assert_eq!(json(&built.executed.receipts), vector["receipts"], "{name}");
        assert_eq!(built.block, block, "{name}");

        let certificate: CommitCertificate = codec::decode(&bytes(vector, "certificate"), LIMIT).expect("a certificate");
        assert_eq!(certificate.verify(tip.parent.chain_id, &tip.parent.validators), Ok(()), "{name}");
        let executed = tip.execute(&block).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(json(&executed.receipts), vector["receipts"], "{name}");
        tip = tip.after(executed);
        assert_eq!((tip.parent.hash, header.hash()), (hash(vector, "hash"), hash(vector, "hash")), "{name}");
        assert_eq!((certificate.block, certificate.height), (header.hash(), header.height), "{name}");
        assert_eq!(tip.parent.history.root(), hash(vector, "history_root"), "{name}");
        assert_eq!(root(&tip.state), header.state_root, "{name}");
    }
    for vector in list(&file, "refused") {
        let block = Block::decode(&bytes(vector, "bytes")).expect("a block");
        let verdict = tip.execute(&block).err().map(|error| match error {
            BlockError::Invalid(InvalidBlock::Transaction { index, rejection }) => format!("transaction {index}: {}", rejection.code),
            BlockError::Invalid(invalid) => invalid.to_string(),
            BlockError::Fault(fault) => panic!("{fault}"),
        });
        assert_eq!(verdict.as_deref(), vector["error"].as_str(), "{}", text(vector, "name"));
    }
}

#[test]
fn the_export_of_that_chain_holds_what_it_was_made_of() {
    let file = file("chain.json");
    let mut framing = Framing::new();
    framing.push(&bytes(&file, "export"));
    let mut records = Vec::new();
    while let Some(record) = framing.next_record().expect("well formed") {
        assert!(record.intact);
        records.push((record.kind, record.payload));
    }
    assert_eq!(framing.finish(), Ok(()));
    let mut expected = vec![(RecordKind::Genesis, codec::encode(&parse::<Genesis>(&file["genesis"])).expect("encodes"))];
    for vector in list(&file, "blocks") {
        expected.push((RecordKind::Block, bytes(vector, "bytes")));
        expected.push((RecordKind::Certificate, bytes(vector, "certificate")));
        expected.push((RecordKind::Receipts, codec::encode(&parse::<Vec<Receipt>>(&vector["receipts"])).expect("encodes")));
    }
    let transactions =
        list(&file, "blocks").iter().map(|vector| Block::decode(&bytes(vector, "bytes")).expect("a block").transactions.len() as u64).sum();
    let last: Block = Block::decode(&bytes(list(&file, "blocks").last().expect("a block"), "bytes")).expect("a block");
    let (_, page) = records.get(records.len() - 2).expect("the state");
    let rows: StatePage = codec::decode(page, LIMIT).expect("keys and values");
    assert_eq!(Tree::build(rows.iter().map(|(key, value)| (key, value))).root(), last.header.state_root);
    assert!(rows.is_sorted());
    expected.push((RecordKind::State, page.clone()));
    let end = End { blocks: list(&file, "blocks").len() as u64, transactions, samples: 0, state_keys: rows.len() as u64 };
    expected.push((RecordKind::End, codec::encode(&end).expect("encodes")));
    assert_eq!(records, expected);
}
