//! The golden vectors of `contracts/vectors`: calls, transactions, genesis documents, the rules step by step and a whole short chain, made by an independent
//! program from the description of formats and rules. Ours must agree to the byte.

use std::{collections::BTreeMap, fmt::Debug};

use chain::{
    code::Rejection,
    codec::{self, CodecError},
    crypto,
    hash::Hash32,
    history::History,
    id::{Address, ChainId, Height, SessionId, TxId},
    params::Params,
    quantity::Amount,
    receipt::{Event, Outcome, Receipt},
    record::{Account, Condominium, Connector, Group, Key, Redemption, RoleGrant, Session, Signer, TariffHead, TariffVersion},
    state::{Change, MemoryState},
    time::Timestamp,
    transaction::TransactionError,
    tree::Tree,
};
use contracts::{
    call::{Body, Call, Transaction},
    context::{BlockContext, CallContext},
    execute::{self, Parent},
    failure::Failure,
    genesis::{Genesis, GenesisError},
    ledger::Ledger,
};
use ed25519_dalek::SigningKey;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

const LIMIT: usize = 1 << 20;

fn file(name: &str) -> Value {
    let path = format!("{}/vectors/{name}", env!("CARGO_MANIFEST_DIR"));
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
    assert_eq!(kinds.len(), 20);
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
    assert_eq!(count.len(), 21);
    assert!(count.iter().all(|(call, (applied, rejected))| *applied >= 1 && (*rejected >= 1 || call == "due")), "{count:?}");
}
