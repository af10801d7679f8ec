//! The golden vectors of `chain/vectors`: values, hashes, signatures, certificates and proofs that an independent program made from the description of the
//! formats. Every good one must come out of our code byte for byte, every bad one must be refused for the reason that it names.

mod reading;

use std::fmt::Debug;

use chain::{
    block::{Block, Header},
    certificate::{CertificateError, CommitCertificate, ProposalBody, ValidatorSet, ValidatorSetError, VoteBody},
    code::Code,
    codec,
    crypto::{self, Domain, Signature},
    export::{End, Framing, FramingError, Record, Samples, StatePage, frame, preamble, sample_leaf},
    hash::{Context, Hash32},
    history::{History, HistoryPath, NodePosition},
    id::{Address, CardId, ChainId, CondominiumId, ConnectorId, GroupId, Height, RedemptionId, SessionId, TariffId},
    merkle::{self, Path, ProofError},
    params::Params,
    quantity::{Amount, Cost, Currents},
    receipt::{Receipt, receipts_root},
    record::{
        Account, AskedStart, Card, Clearing, ClearingHead, Condominium, Connector, Group, Key, Mandate, MandateDay, MandateUse, Meter,
        MeterProposal, Payment, Redemption, Roaming, Role, RoleGrant, Session, SessionTimes, Signer, Suspension, TariffHead, TariffVersion,
    },
    state::ReadFault,
    time::Timestamp,
    tree::{StateProof, Tree},
};
use ed25519_dalek::SigningKey;
use reading::{LIMIT, bad, bytes, file, good, hash, hashes, list, number, text};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

/// What a type's vectors say beside bytes and JSON.
trait Known: Serialize + DeserializeOwned + PartialEq + Debug {
    fn more(&self, _vector: &Value) {}
}

macro_rules! known {
    ($($kind:ty),* $(,)?) => { $(impl Known for $kind {})* };
}
known!(
    bool,
    u8,
    u32,
    u64,
    Option<u32>,
    String,
    Vec<u32>,
    Vec<u8>,
    Cost,
    Amount,
    Currents,
    Code,
    ConnectorId,
    Address,
    CommitCertificate,
    End,
    StatePage
);
known!(Path, History, HistoryPath, StateProof);

impl Known for Receipt {
    fn more(&self, vector: &Value) {
        assert_eq!(self.leaf(), hash(vector, "hash"));
    }
}

impl Known for Header {
    fn more(&self, vector: &Value) {
        assert_eq!(self.hash(), hash(vector, "hash"));
    }
}

impl Known for Block {
    fn more(&self, vector: &Value) {
        assert_eq!(self.header.hash(), hash(vector, "hash"));
        assert_eq!(chain::block::transactions_root(&self.transactions), hash(vector, "root"));
        assert_eq!(self.header.transactions_root, hash(vector, "root"));
        assert_eq!(Self::decode(&bytes(vector, "bytes")).as_ref(), Ok(self));
    }
}

impl Known for ValidatorSet {
    fn more(&self, vector: &Value) {
        assert_eq!(self.hash(), hash(vector, "hash"));
    }
}

impl Known for VoteBody {
    fn more(&self, vector: &Value) {
        signed(&self.bytes(), vector);
    }
}

impl Known for ProposalBody {
    fn more(&self, vector: &Value) {
        signed(&self.bytes(), vector);
    }
}

impl Known for Samples {
    fn more(&self, vector: &Value) {
        assert_eq!(self.root(), hash(vector, "root"));
        let leaves: Vec<_> = self.samples.iter().map(|sample| sample_leaf(&self.salt, sample).to_string()).collect();
        assert_eq!(vector["leaves"], serde_json::json!(leaves));
    }
}

fn signed(message: &[u8], vector: &Value) {
    assert_eq!(message, bytes(vector, "bytes"));
    assert_eq!(crypto::verify(&address(vector, "signer"), domain(vector), message, &signature(vector)), Ok(()));
}

fn address(vector: &Value, name: &str) -> Address {
    Address(hash(vector, name).0)
}

fn signature(vector: &Value) -> Signature {
    Signature(bytes(vector, "signature").try_into().expect("64 bytes"))
}

fn domain(vector: &Value) -> Domain {
    match text(vector, "domain") {
        "tx" => Domain::Transaction,
        "vote" => Domain::Vote,
        "proposal" => Domain::Proposal,
        "invite" => Domain::Invite,
        other => panic!("no domain {other}"),
    }
}

/// Reads a good value, or refuses a bad one.
fn check<T: Known>(vector: &Value) {
    if vector.get("error").is_some() {
        bad::<T>(vector);
    } else {
        good::<T>(vector).more(vector);
    }
}

#[test]
fn values_have_the_bytes_and_the_json_of_the_vectors_and_spoilt_bytes_are_refused() {
    let file = file("values.json");
    for vector in list(&file, "good").iter().chain(list(&file, "bad")) {
        match text(vector, "type") {
            "bool" => check::<bool>(vector),
            "u8" => check::<u8>(vector),
            "u32" => check::<u32>(vector),
            "u64" => check::<u64>(vector),
            "Option<u32>" => check::<Option<u32>>(vector),
            "String" => check::<String>(vector),
            "Vec<u32>" => check::<Vec<u32>>(vector),
            "Vec<u8>" => check::<Vec<u8>>(vector),
            "Cost" => check::<Cost>(vector),
            "Amount" => check::<Amount>(vector),
            "Currents" => check::<Currents>(vector),
            "Code" => check::<Code>(vector),
            "ConnectorId" => check::<ConnectorId>(vector),
            "Address" => check::<Address>(vector),
            "Receipt" => check::<Receipt>(vector),
            "Header" => check::<Header>(vector),
            "Block" => check::<Block>(vector),
            "ValidatorSet" => check::<ValidatorSet>(vector),
            "VoteBody" => check::<VoteBody>(vector),
            "ProposalBody" => check::<ProposalBody>(vector),
            "CommitCertificate" => check::<CommitCertificate>(vector),
            "Path" => check::<Path>(vector),
            "History" => check::<History>(vector),
            "HistoryPath" => check::<HistoryPath>(vector),
            "StateProof" => check::<StateProof>(vector),
            "Samples" => check::<Samples>(vector),
            "StatePage" => check::<StatePage>(vector),
            "End" => check::<End>(vector),
            other => panic!("no type {other}"),
        }
    }
    for vector in list(&file, "receipt_roots") {
        let decode =
            |receipt: &Value| codec::decode(&hex::decode(receipt.as_str().expect("text")).expect("digits"), LIMIT).expect("a receipt");
        let receipts: Vec<Receipt> = list(vector, "receipts").iter().map(decode).collect();
        assert_eq!(receipts.len() as u64, number(vector, "count"));
        assert_eq!(receipts_root(&receipts), hash(vector, "root"), "{}", text(vector, "name"));
    }
}

#[test]
fn every_code_of_ours_is_in_the_vectors() {
    let file = file("values.json");
    let mut codes: Vec<Code> = list(&file, "good").iter().filter(|vector| vector["type"] == "Code").map(good).collect();
    codes.sort_unstable();
    assert_eq!(codes, Code::ALL);
}

/// The id that a key's vector names, part by part.
struct Parts<'v>(&'v [Value]);

impl Parts<'_> {
    fn next(&mut self) -> &Value {
        let (first, rest) = self.0.split_first().expect("a part is missing");
        self.0 = rest;
        first
    }

    fn u64(&mut self) -> u64 {
        self.next().as_u64().expect("a number")
    }

    fn u32(&mut self) -> u32 {
        u32::try_from(self.u64()).expect("32 bits")
    }

    fn condominium(&mut self) -> CondominiumId {
        CondominiumId(self.u32())
    }

    fn hash(&mut self) -> Hash32 {
        Hash32::from_hex(self.next().as_str().expect("text")).expect("a digest")
    }

    fn address(&mut self) -> Address {
        Address(self.hash().0)
    }

    fn role(&mut self) -> Role {
        serde_json::from_value(self.next().clone()).expect("a role")
    }

    fn key(&mut self, table: &str) -> Key {
        match table {
            "account" => Key::Account(self.address()),
            "signer" => Key::Signer(self.address()),
            "condominium" => Key::Condominium(self.condominium()),
            "role" => Key::Role(self.condominium(), self.role(), self.address()),
            "group" => Key::Group(GroupId::new(self.condominium(), self.u32())),
            "connector" => Key::Connector(ConnectorId::new(self.condominium(), self.u32())),
            "tariff_head" => Key::TariffHead(TariffId::new(self.condominium(), self.u32())),
            "tariff_version" => Key::TariffVersion(TariffId::new(self.condominium(), self.u32()), self.u32()),
            "session" => Key::Session(SessionId(self.hash())),
            "queue" => Key::Queue(GroupId::new(self.condominium(), self.u32()), Height(self.u64()), self.u32()),
            "due" => Key::Due(Timestamp::from_ms(self.u64()), SessionId(self.hash())),
            "redemption" => Key::Redemption(RedemptionId(self.hash())),
            "position" => Key::Position(self.condominium(), self.condominium()),
            "invite" => Key::Invite(self.address(), self.u64()),
            "params" => Key::Params,
            "validators" => Key::Validators,
            "pending_position" => Key::PendingPosition(self.condominium(), self.condominium()),
            "session_times" => Key::SessionTimes(SessionId(self.hash())),
            "roaming" => Key::Roaming(self.condominium(), self.condominium()),
            "clearing_head" => Key::ClearingHead,
            "clearing" => Key::Clearing(self.u32()),
            "payment" => Key::Payment(self.condominium(), self.condominium(), self.u32()),
            "mandate" => Key::Mandate(self.address(), self.condominium()),
            "card" => Key::Card(self.condominium(), CardId(self.hash())),
            "mandate_day" => Key::MandateDay(self.address(), self.condominium()),
            "mandate_use" => Key::MandateUse(SessionId(self.hash())),
            "asked_start" => Key::AskedStart(ConnectorId::new(self.condominium(), self.u32())),
            "meter_proposal" => Key::MeterProposal(ConnectorId::new(self.condominium(), self.u32())),
            "meter" => Key::Meter(ConnectorId::new(self.condominium(), self.u32())),
            "suspension" => Key::Suspension(self.condominium(), self.address()),
            other => panic!("no table {other}"),
        }
    }
}

fn record(table: &str, vector: &Value) {
    fn either<T: Serialize + DeserializeOwned + PartialEq + Debug>(vector: &Value) {
        if vector.get("error").is_some() { bad::<T>(vector) } else { drop(good::<T>(vector)) }
    }
    match table {
        "account" => either::<Account>(vector),
        "signer" => either::<Signer>(vector),
        "condominium" => either::<Condominium>(vector),
        "role" => either::<RoleGrant>(vector),
        "group" => either::<Group>(vector),
        "connector" => either::<Connector>(vector),
        "tariff_head" => either::<TariffHead>(vector),
        "tariff_version" => either::<TariffVersion>(vector),
        "session" => either::<Session>(vector),
        "queue" => either::<SessionId>(vector),
        "due" => either::<()>(vector),
        "redemption" => either::<Redemption>(vector),
        "position" | "pending_position" => either::<Amount>(vector),
        "invite" => either::<Timestamp>(vector),
        "params" => either::<Params>(vector),
        "validators" => either::<ValidatorSet>(vector),
        "session_times" => either::<SessionTimes>(vector),
        "roaming" => either::<Roaming>(vector),
        "clearing_head" => either::<ClearingHead>(vector),
        "clearing" => either::<Clearing>(vector),
        "payment" => either::<Payment>(vector),
        "mandate" => either::<Mandate>(vector),
        "card" => either::<Card>(vector),
        "mandate_day" => either::<MandateDay>(vector),
        "mandate_use" => either::<MandateUse>(vector),
        "asked_start" => either::<AskedStart>(vector),
        "meter_proposal" => either::<MeterProposal>(vector),
        "meter" => either::<Meter>(vector),
        "suspension" => either::<Suspension>(vector),
        other => panic!("no table {other}"),
    }
}

#[test]
fn records_and_their_keys_are_those_of_the_vectors() {
    let file = file("records.json");
    for vector in list(&file, "good") {
        let table = text(vector, "table");
        let mut parts = Parts(vector["parts"].as_array().expect("parts"));
        assert_eq!(hex::encode(parts.key(table).bytes()), text(vector, "key"), "{}", text(vector, "name"));
        assert!(parts.0.is_empty());
        record(table, vector);
    }
    for vector in list(&file, "bad") {
        record(text(vector, "table"), vector);
    }
}

#[test]
fn certificates_hold_or_fail_as_the_vectors_say() {
    let file = file("certificates.json");
    let chain_id = ChainId(hash(&file, "chain_id"));
    let set: ValidatorSet = codec::decode(&bytes(&file, "validators"), LIMIT).expect("a set");
    for vector in list(&file, "certificates") {
        let certificate: CommitCertificate = good(vector);
        let verdict = match certificate.verify(chain_id, &set) {
            Ok(()) => None,
            Err(CertificateError::Stranger(_)) => Some("stranger"),
            Err(CertificateError::Order(_)) => Some("order"),
            Err(CertificateError::Signature(_)) => Some("signature"),
            Err(CertificateError::Quorum { .. }) => Some("quorum"),
        };
        assert_eq!(verdict, vector["error"].as_str(), "{}", text(vector, "name"));
    }
    for vector in list(&file, "sets") {
        let members = serde_json::from_value(vector["json"].clone()).expect("validators");
        let verdict = match ValidatorSet::new(members) {
            Ok(set) => panic!("{}: {set:?}", text(vector, "name")),
            Err(ValidatorSetError::Count(_)) => "count",
            Err(ValidatorSetError::Power) => "power",
            Err(ValidatorSetError::Twice(_)) => "twice",
        };
        assert_eq!(verdict, text(vector, "error"), "{}", text(vector, "name"));
    }
}

#[test]
fn addresses_hashes_and_signatures_are_those_of_the_vectors() {
    let file = file("keys.json");
    for vector in list(&file, "addresses") {
        let (address, shown) = (address(vector, "bytes"), text(vector, "text"));
        assert_eq!(address.to_string(), shown);
        assert_eq!(shown.parse(), Ok(address));
        if !vector["seed"].is_null() {
            assert_eq!(crypto::address_of(&SigningKey::from_bytes(&hash(vector, "seed").0)), address);
        }
    }
    for vector in list(&file, "bad_addresses") {
        let wrong: Result<Address, _> = text(vector, "text").parse();
        assert!(wrong.is_err(), "{}: {wrong:?}", text(vector, "name"));
    }
    for vector in list(&file, "signatures") {
        let verdict = crypto::verify(&address(vector, "signer"), domain(vector), &bytes(vector, "message"), &signature(vector));
        assert_eq!(verdict.is_ok(), vector["valid"] == true, "{}", text(vector, "name"));
    }
    let contexts = [
        Context::TransactionId,
        Context::Header,
        Context::Genesis,
        Context::ValidatorSet,
        Context::TransactionLeaf,
        Context::ReceiptLeaf,
        Context::SampleLeaf,
        Context::MerkleNode,
        Context::MerkleRoot,
        Context::HistoryNode,
        Context::HistoryRoot,
        Context::StateKey,
        Context::StateValue,
        Context::StateLeaf,
        Context::StateNode,
        Context::Card,
    ];
    for vector in list(&file, "hashes") {
        let context = contexts.into_iter().find(|context| context.text() == text(vector, "context")).expect("a context");
        let message = bytes(vector, "message");
        let (left, right) = message.split_at(message.len() / 3);
        assert_eq!(context.hash(&[left, right]), hash(vector, "hash"), "{}", context.text());
    }
}

fn proof_error(verdict: Result<(), ProofError>) -> Option<&'static str> {
    verdict.err().map(|error| match error {
        ProofError::IndexOutOfRange { .. } => "index_out_of_range",
        ProofError::SiblingCount { .. } => "sibling_count",
        ProofError::PeakCount { .. } => "peak_count",
        ProofError::WrongKind { .. } => "wrong_kind",
        ProofError::LeafElsewhere { .. } => "leaf_elsewhere",
        ProofError::RootMismatch { .. } => "root_mismatch",
    })
}

#[test]
fn merkle_roots_and_paths_are_those_of_the_vectors() {
    let file = file("merkle.json");
    let lists: Vec<Vec<Hash32>> = list(&file, "lists").iter().map(|vector| hashes(vector, "leaves")).collect();
    for (vector, leaves) in list(&file, "lists").iter().zip(&lists) {
        assert_eq!(merkle::root(leaves), hash(vector, "root"), "{}", text(vector, "name"));
    }
    for vector in list(&file, "good").iter().chain(list(&file, "bad")) {
        let path: Path = good(vector);
        let verdict = proof_error(path.verify(hash(vector, "leaf"), hash(vector, "root")));
        assert_eq!(verdict, vector["error"].as_str(), "{}", text(vector, "name"));
    }
    for vector in list(&file, "good") {
        let path: Path = good(vector);
        let leaves = lists.iter().find(|leaves| leaves.len() as u64 == path.count).expect("the list");
        assert_eq!(merkle::prove(leaves, path.index), Some(path), "{}", text(vector, "name"));
    }
}

#[test]
fn history_roots_and_paths_are_those_of_the_vectors() {
    let file = file("history.json");
    for vector in list(&file, "states") {
        let mut history = History::new();
        let mut nodes = std::collections::BTreeMap::new();
        for leaf in hashes(vector, "leaves") {
            nodes.extend(history.append(leaf));
        }
        assert_eq!(history, good(vector));
        assert_eq!(history.root(), hash(vector, "root"), "{}", text(vector, "name"));
        let node_at =
            |position: NodePosition| nodes.get(&position).copied().ok_or_else(|| ReadFault(format!("{position:?} was not handed out")));
        for proven in list(&file, "good") {
            let path: HistoryPath = good(proven);
            if path.count == history.count() {
                assert_eq!(chain::history::prove(path.count, path.index, &node_at), Ok(Some(path)), "{}", text(proven, "name"));
            }
        }
    }
    for vector in list(&file, "good").iter().chain(list(&file, "bad")) {
        let path: HistoryPath = good(vector);
        let verdict = proof_error(path.verify(hash(vector, "leaf"), hash(vector, "root")));
        assert_eq!(verdict, vector["error"].as_str(), "{}", text(vector, "name"));
    }
}

#[test]
fn state_roots_and_proofs_are_those_of_the_vectors() {
    let file = file("state.json");
    let mut trees = std::collections::BTreeMap::new();
    for vector in list(&file, "states") {
        let entry = |pair: &Value, place: usize| hex::decode(pair[place].as_str().expect("text")).expect("digits");
        let tree = Tree::build(list(vector, "entries").iter().map(|pair| (entry(pair, 0), entry(pair, 1))));
        assert_eq!(tree.root(), hash(vector, "root"), "{}", text(vector, "name"));
        trees.insert(tree.len(), tree);
    }
    for vector in list(&file, "good").iter().chain(list(&file, "bad")) {
        let proof: StateProof = good(vector);
        let (key, value) = (bytes(vector, "key"), vector["value"].as_str().map(|digits| hex::decode(digits).expect("digits")));
        let verdict = proof_error(proof.verify(hash(vector, "root"), &key, value.as_deref()));
        assert_eq!(verdict, vector["error"].as_str(), "{}", text(vector, "name"));
        if verdict.is_none() {
            assert_eq!(trees[&number(vector, "state")].prove(&key), proof, "{}", text(vector, "name"));
        }
    }
}

fn records_of(file: &[u8], step: usize) -> (Vec<Record>, Option<&'static str>) {
    let mut framing = Framing::new();
    let mut records = Vec::new();
    let mut read = || {
        for piece in file.chunks(step) {
            framing.push(piece);
            while let Some(record) = framing.next_record()? {
                records.push(record);
            }
        }
        framing.finish()
    };
    let error = read().err().map(|error| match error {
        FramingError::Preamble => "preamble",
        FramingError::Kind { .. } => "kind",
        FramingError::Length { .. } => "length",
        FramingError::Truncated { .. } => "truncated",
        FramingError::Codec(_) => "codec",
    });
    (records, error)
}

#[test]
fn export_streams_are_cut_as_the_vectors_say() {
    let file = file("export.json");
    for vector in list(&file, "files") {
        let stream = bytes(vector, "bytes");
        for step in [1, 13, stream.len()] {
            let (records, error) = records_of(&stream, step);
            assert_eq!(error, vector["error"].as_str(), "{}", text(vector, "name"));
            let seen: Vec<_> = records
                .iter()
                .map(|record| {
                    let Record { kind, offset, payload, intact } = record;
                    serde_json::json!({ "kind": kind.to_string(), "offset": offset, "payload": hex::encode(payload), "intact": intact })
                })
                .collect();
            assert_eq!(vector["records"], Value::Array(seen), "{}", text(vector, "name"));
            if error.is_none() && records.iter().all(|record| record.intact) {
                let mut again = preamble();
                records.iter().for_each(|record| again.extend(frame(record.kind, &record.payload).expect("short")));
                assert_eq!(again, stream);
            }
        }
    }
}
