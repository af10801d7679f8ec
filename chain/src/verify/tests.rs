//! Proofs over small chains made here: true ones hold, and whatever is changed in them is refused.

use ed25519_dalek::SigningKey;
use serde_json::Value;

use super::*;
use crate::{
    block::{HEADER_VERSION, Header, transactions_root},
    certificate::{CertificateError, CommitCertificate, CommitSignature, Validator, ValidatorSet, VoteBody, VoteKind},
    codec,
    crypto::{self, Domain},
    hash::{Context, Hash32},
    history::{self, History, NodePosition},
    id::{Address, ChainId, CondominiumId, ConnectorId, Height, SessionId, TariffId, TxId},
    merkle::{self, ProofError},
    quantity::{Amount, WattHours},
    receipt::{Cause, Event, Outcome, Receipt, SessionReceipt, Settler, receipts_root},
    record::{Account, CostByComponent, EndReason, Key, TariffVersion},
    state::Change,
    tariff::Tariff,
    time::{Duration, Timestamp},
    tree::Tree,
};

/// Keys of a validator set, each with its power.
type Keys = Vec<(SigningKey, u64)>;

fn keys(seeds: &[(u8, u64)]) -> Keys {
    let mut keys: Vec<_> = seeds.iter().map(|(seed, power)| (SigningKey::from_bytes(&[*seed; 32]), *power)).collect();
    keys.sort_by_key(|(key, _)| crypto::address_of(key));
    keys
}

fn equal(seeds: &[u8]) -> Keys {
    keys(&seeds.iter().map(|seed| (*seed, 1)).collect::<Vec<_>>())
}

fn set_of(keys: &Keys) -> ValidatorSet {
    ValidatorSet::new(keys.iter().map(|(key, power)| Validator { address: crypto::address_of(key), power: *power }).collect()).unwrap()
}

fn sign(header: &Header, signers: &[(SigningKey, u64)]) -> CommitCertificate {
    let (height, round, block) = (header.height, 3, header.hash());
    let commit = |key: &SigningKey| {
        let validator = crypto::address_of(key);
        let vote = VoteBody { chain_id: header.chain_id, kind: VoteKind::Precommit, height, round, block: Some(block), validator };
        CommitSignature { validator, signature: crypto::sign(key, Domain::Vote, &vote.bytes()) }
    };
    CommitCertificate { height, round, block, signatures: signers.iter().map(|(key, _)| commit(key)).collect() }
}

/// A height's place in a list.
fn place(height: u64) -> usize {
    usize::try_from(height).unwrap() - 1
}

/// A chain: for each height the validators who decide it; the last entry follows the last block.
struct Made {
    chain_id: ChainId,
    sets: Vec<Keys>,
    headers: Vec<Header>,
    receipts: Vec<Vec<Receipt>>,
    transactions: Vec<Vec<Vec<u8>>>,
    history: Vec<(NodePosition, Hash32)>,
    tree: Tree,
}

const SESSION: SessionId = SessionId(Hash32([0x5e; 32]));
const ANA: Address = Address([0xaa; 32]);
const NOBODY: Address = Address([0xbb; 32]);

fn account() -> Account {
    let zero = Amount::ZERO;
    Account { home: CondominiumId(1), balance: Amount::from_micro(7_240_000), held: zero, debt: zero, credit_limit: zero }
}

fn tariff() -> TariffVersion {
    let document = Tariff {
        time_zone: "UTC0".to_owned(),
        elements: Vec::new(),
        min_price: None,
        max_price: None,
        vat_basis_points: 2_500,
        parking_grace: Duration::ZERO,
    };
    TariffVersion { valid_from: Timestamp::from_ms(5), tariff: document }
}

fn bill() -> SessionReceipt {
    SessionReceipt {
        session: SESSION,
        account: ANA,
        connector: ConnectorId::new(CondominiumId(1), 17),
        tariff: TariffId::new(CondominiumId(1), 2),
        tariff_version: 3,
        opened_at: Timestamp::from_ms(1_000),
        first_granted_at: None,
        ended_at: Timestamp::from_ms(3_000),
        settled_at: Timestamp::from_ms(4_000),
        reason: EndReason::VehicleFull,
        settled_by: Settler::Gateway,
        energy: WattHours::new(11_040),
        energy_billed: WattHours::new(11_040),
        cost: CostByComponent::default(),
        escrow: Amount::from_micro(10_000_000),
        paid: Amount::from_micro(2_760_000),
        refund: Amount::from_micro(7_240_000),
        overdrawn: None,
        readings: 2,
        samples: 60,
    }
}

/// The bytes of transaction `index` of block `height`, and their id; what they say is nobody's matter here.
fn transaction(height: u64, index: u64) -> (Vec<u8>, TxId) {
    let body = [height.to_le_bytes(), index.to_le_bytes()].concat();
    ([vec![9; 64], body.clone()].concat(), TxId(Context::TransactionId.hash(&[&body])))
}

/// A chain of so many validator sets; the session opens in its third block, is heard of in the fourth and settled in the sixth.
fn made(network: u8, sets: Vec<Keys>) -> Made {
    let chain_id = ChainId(Context::Genesis.hash(&[&[network]]));
    let record = |value: Vec<u8>| Some(value);
    let mut changes: Vec<Change> = vec![
        (Key::Account(ANA).bytes(), record(codec::encode(&account()).unwrap())),
        (Key::TariffVersion(bill().tariff, 3).bytes(), record(codec::encode(&tariff()).unwrap())),
    ];
    changes.extend((0..20_u8).map(|n| (vec![99, n], record(vec![n]))));
    changes.sort();
    let tree = Tree::new().updated(&changes);
    let mut made = Made { chain_id, headers: Vec::new(), receipts: Vec::new(), transactions: Vec::new(), history: Vec::new(), tree, sets };
    let mut history = History::new();
    for height in 1..made.sets.len() as u64 {
        let mut receipts: Vec<Receipt> = (0..3)
            .map(|index| Receipt { cause: Cause::Transaction(transaction(height, index).1), outcome: Outcome::Applied, events: Vec::new() })
            .collect();
        let event = |receipts: &mut Vec<Receipt>, index: usize, event| receipts[index].events.push(event);
        match height {
            3 => event(
                &mut receipts,
                1,
                Event::SessionOpened { session: SESSION, account: ANA, connector: bill().connector, escrow: bill().escrow },
            ),
            4 => event(&mut receipts, 0, Event::ReadingHandled { session: SESSION, sequence: 1, refused: None }),
            6 => event(&mut receipts, 2, Event::SessionSettled(bill())),
            _ => {}
        }
        if height == 5 {
            let events = vec![Event::SessionStopping { session: SESSION, reason: EndReason::Time, settle_by: Timestamp::from_ms(9) }];
            receipts.push(Receipt { cause: Cause::Due(SESSION), outcome: Outcome::Applied, events });
        }
        let transactions: Vec<_> = (0..3).map(|index| transaction(height, index).0).collect();
        let header = Header {
            version: HEADER_VERSION,
            chain_id,
            height: Height(height),
            parent: made.headers.last().map_or(chain_id.0, Header::hash),
            history_root: history.root(),
            timestamp: Timestamp::from_ms(height * 1_000),
            proposer: set_of(&made.sets[place(height)]).members()[0].address,
            transactions_root: transactions_root(&transactions),
            receipts_root: receipts_root(&receipts),
            state_root: made.tree.root(),
            next_validators: set_of(&made.sets[place(height) + 1]).hash(),
        };
        made.history.extend(history.append(header.hash()));
        made.headers.push(header);
        made.receipts.push(receipts);
        made.transactions.push(transactions);
    }
    made
}

impl Made {
    fn header(&self, height: u64) -> Header {
        self.headers[place(height)]
    }

    fn beginning(&self) -> Beginning {
        Beginning { chain_id: self.chain_id, validators: set_of(&self.sets[0]) }
    }

    fn signed(&self, height: u64) -> CommitCertificate {
        sign(&self.header(height), &self.sets[place(height)])
    }

    fn earlier(&self, height: u64, anchor: u64) -> EarlierHeader {
        let node_at = |position| Ok(self.history.iter().find(|(known, _)| *known == position).unwrap().1);
        EarlierHeader { header: self.header(height), path: history::prove(anchor - 1, height - 1, &node_at).unwrap().unwrap() }
    }

    fn anchor(&self, height: u64, earlier: &[u64]) -> Anchor {
        let changed = (1..height).filter(|at| set_of(&self.sets[place(*at) + 1]) != set_of(&self.sets[place(*at)]));
        let change = |at: u64| SetChange { header: self.header(at), certificate: self.signed(at), next: set_of(&self.sets[place(at) + 1]) };
        Anchor {
            header: self.header(height),
            certificate: self.signed(height),
            changes: changed.map(change).collect(),
            earlier: earlier.iter().map(|at| self.earlier(*at, height)).collect(),
        }
    }

    fn checkpoint(&self, height: u64) -> Checkpoint {
        Checkpoint::of(&self.header(height))
    }

    fn step(&self, height: u64, index: usize) -> Step {
        let leaves: Vec<_> = self.receipts[place(height)].iter().map(Receipt::leaf).collect();
        let transactions = &self.transactions[place(height)];
        let leaves_of: Vec<_> = transactions.iter().map(|bytes| crate::transaction::leaf(bytes)).collect();
        let path = merkle::prove(&leaves_of, index as u64);
        let transaction = transactions.get(index).cloned().zip(path).map(|(bytes, path)| ProvenTransaction { bytes, path });
        let receipt = self.receipts[place(height)][index].clone();
        Step { height: Height(height), receipt, path: merkle::prove(&leaves, index as u64).unwrap(), transaction }
    }

    fn session(&self) -> SessionProof {
        let key = Key::TariffVersion(bill().tariff, 3).bytes();
        SessionProof {
            session: SESSION,
            steps: vec![self.step(3, 1), self.step(4, 0), self.step(5, 3), self.step(6, 2)],
            tariff: ProvenTariff { id: bill().tariff, version: 3, record: tariff(), proof: self.tree.prove(&key) },
            anchor: self.anchor(8, &[2, 3, 4, 5, 6, 7]),
        }
    }

    fn account(&self, address: Address) -> AccountProof {
        let account = (address == ANA).then(account);
        AccountProof { address, account, proof: self.tree.prove(&Key::Account(address).bytes()), anchor: self.anchor(9, &[3]) }
    }
}

/// One validator, then four, then another four, then three others.
fn changing(network: u8) -> Made {
    let sets =
        [&[1][..], &[1], &[1, 2, 3, 4], &[1, 2, 3, 4], &[1, 2, 3, 4], &[5, 2, 3, 4], &[5, 2, 3, 4], &[5, 6, 7], &[5, 6, 7], &[5, 6, 7]];
    made(network, sets.map(equal).to_vec())
}

#[test]
fn a_session_and_an_account_are_proved_through_every_change_of_validators() {
    let chain = changing(1);
    let (beginning, genesis) = (chain.beginning(), Trust::Genesis(chain.chain_id));
    let proof = chain.session();
    let verified = proof.verify(&beginning, genesis).unwrap();
    assert_eq!((*verified.bill, verified.settled_in), (bill(), Height(6)));
    assert_eq!(verified.trusted.rests_on(), RestsOn::Genesis(chain.chain_id));
    assert_eq!((verified.trusted.sets(), verified.trusted.signatures()), (4, (3, 3)));
    assert_eq!(verified.trusted.header(Height(4)), Some(&chain.header(4)));
    assert_eq!(verified.trusted.header(Height(1)), None);
    assert_eq!(chain.account(ANA).verify(&beginning, genesis).unwrap().account, Some(&account()));
    assert_eq!(chain.account(NOBODY).verify(&beginning, genesis).unwrap().account, None);
}

#[test]
fn an_account_is_neither_denied_nor_invented() {
    let chain = changing(1);
    let genesis = Trust::Genesis(chain.chain_id);
    let denied = AccountProof { account: None, ..chain.account(ANA) };
    let invented = AccountProof { account: Some(account()), ..chain.account(NOBODY) };
    for (proof, claimed) in [(denied, false), (invented, true)] {
        let error = proof.verify(&chain.beginning(), genesis).unwrap_err();
        assert_eq!(
            error,
            VerifyError::State { what: "account", height: Height(9), error: ProofError::WrongKind { value_claimed: claimed } }
        );
    }
    let another = AccountProof { proof: chain.account(NOBODY).proof, account: None, ..chain.account(ANA) };
    assert!(matches!(another.verify(&chain.beginning(), genesis), Err(VerifyError::State { .. })));
}

#[test]
fn exactly_two_thirds_are_refused_and_just_over_is_accepted() {
    for (powers, signers, holds) in [
        (&[1, 1, 1, 1][..], 3, true),
        (&[1, 1, 1, 1], 2, false),
        (&[1, 1, 1], 2, false),
        (&[1, 1, 1], 3, true),
        (&[200, 100], 1, false),
        (&[201, 100], 1, true),
        (&[1], 0, false),
    ] {
        let seeds: Vec<_> = (1..).zip(powers.iter().copied()).collect();
        let mut keys = keys(&seeds);
        let chain = made(1, vec![keys.clone(), keys.clone()]);
        // The strongest sign; certificates are in order of address.
        keys.sort_by_key(|(_, power)| std::cmp::Reverse(*power));
        keys.truncate(signers);
        keys.sort_by_key(|(key, _)| crypto::address_of(key));
        let found = keys.iter().map(|(_, power)| power).sum();
        let anchor = Anchor { certificate: sign(&chain.header(1), &keys), ..chain.anchor(1, &[]) };
        let outcome = anchor.verify(&chain.beginning(), Trust::Genesis(chain.chain_id)).map(|trusted| trusted.signatures().0);
        let total = powers.iter().sum();
        let quorum = VerifyError::Certificate { height: Height(1), error: CertificateError::Quorum { found, total } };
        assert_eq!(outcome, if holds { Ok(signers) } else { Err(quorum) }, "{powers:?}, {signers} sign");
    }
}

#[test]
fn the_chain_of_validator_sets_has_no_gap_no_stranger_and_no_other_order() {
    let chain = changing(1);
    let verify = |anchor: &Anchor| anchor.verify(&chain.beginning(), Trust::Genesis(chain.chain_id)).map(|_| ()).unwrap_err();
    let anchor = chain.anchor(9, &[]);
    assert_eq!(anchor.changes.len(), 3);

    let mut skipped = anchor.clone();
    skipped.changes.remove(1);
    assert!(matches!(verify(&skipped), VerifyError::Certificate { height: Height(7), error: CertificateError::Stranger(_) }));
    let mut swapped = anchor.clone();
    swapped.changes.swap(1, 2);
    assert!(matches!(verify(&swapped), VerifyError::Certificate { height: Height(7), .. }));
    let mut twice = anchor.clone();
    twice.changes.push(twice.changes[2].clone());
    assert!(matches!(verify(&twice), VerifyError::Order { height: Height(7), .. }));

    let mut other_set = anchor.clone();
    other_set.changes[0].next = set_of(&equal(&[1, 2, 3, 5]));
    assert!(matches!(verify(&other_set), VerifyError::NextValidators { height: Height(2), .. }));
    let mut idle = anchor.clone();
    idle.changes.insert(1, SetChange { header: chain.header(3), certificate: chain.signed(3), next: set_of(&chain.sets[3]) });
    assert_eq!(verify(&idle), VerifyError::NoChange(Height(3)));
    let mut late = chain.anchor(7, &[]);
    late.changes.push(anchor.changes[2].clone());
    assert!(matches!(verify(&late), VerifyError::Order { height: Height(7), before: Height(7), .. }));

    // Those who were removed sign on: what a retired quorum could do.
    let old = Anchor { certificate: sign(&chain.header(9), &chain.sets[0]), ..anchor.clone() };
    assert!(matches!(verify(&old), VerifyError::Certificate { height: Height(9), error: CertificateError::Stranger(_) }));
    let unsorted = |set: &ValidatorSet| {
        let mut members = serde_json::to_value(set).unwrap();
        members.as_array_mut().unwrap().reverse();
        serde_json::from_value(members).unwrap()
    };
    let mut disordered = anchor;
    disordered.changes[0].next = unsorted(&disordered.changes[0].next);
    assert_eq!(verify(&disordered), VerifyError::SetOrder(Height(2)));
}

#[test]
fn a_retired_quorum_deceives_whoever_knows_only_genesis_and_nobody_with_a_later_checkpoint() {
    let chain = changing(1);
    // The first validator goes on alone, as if it had never been joined by others.
    let forged = made(1, vec![equal(&[1]); 10]);
    let anchor = forged.anchor(9, &[2]);
    assert!(anchor.verify(&chain.beginning(), Trust::Genesis(chain.chain_id)).is_ok());
    let error = anchor.verify(&chain.beginning(), Trust::Checkpoint(chain.checkpoint(2))).unwrap_err();
    assert!(matches!(error, VerifyError::Contradicts { height: Height(2), .. }), "{error}");
    // The true header in its history is of no help: the validators after it are others.
    let mut grafted = chain.anchor(9, &[2]);
    grafted.changes.clear();
    grafted.certificate = sign(&grafted.header, &chain.sets[0]);
    let error = grafted.verify(&chain.beginning(), Trust::Checkpoint(chain.checkpoint(2))).unwrap_err();
    assert!(matches!(error, VerifyError::CheckpointValidators { height: Height(2), .. }), "{error}");
}

#[test]
fn a_checkpoint_is_the_anchor_or_before_it_and_says_what_is_relied_on() {
    let chain = changing(1);
    let anchor = chain.anchor(9, &[1, 2, 4, 6, 7, 8]);
    let rests = |at| {
        let trusted = anchor.verify(&chain.beginning(), Trust::Checkpoint(chain.checkpoint(at)));
        trusted.map(|trusted| (trusted.rests_on(), trusted.sets()))
    };
    assert_eq!(rests(9), Ok((RestsOn::Checkpoint(chain.checkpoint(9)), 0)));
    for (at, sets) in [(8, 1), (7, 1), (6, 2), (4, 3), (2, 3), (1, 4)] {
        assert_eq!(rests(at), Ok((RestsOn::Since(chain.checkpoint(at)), sets)), "checkpoint {at}");
    }
    assert_eq!(rests(3), Err(VerifyError::NotReached { anchor: Height(9), checkpoint: Height(3) }));
    let wrong = Checkpoint { height: Height(8), hash: chain.header(7).hash() };
    let error = anchor.verify(&chain.beginning(), Trust::Checkpoint(wrong)).unwrap_err();
    assert_eq!(error, VerifyError::Contradicts { height: Height(8), expected: wrong.hash, found: chain.header(8).hash() });
    assert_eq!("8:".parse::<Checkpoint>().ok(), None);
    assert_eq!(wrong.to_string().parse(), Ok(wrong));
}

#[test]
fn nothing_of_one_federation_holds_against_the_genesis_of_another() {
    let (here, there) = (changing(1), changing(2));
    let (proof, genesis) = (here.session(), Trust::Genesis(there.chain_id));
    let expected = VerifyError::OtherGenesis { expected: there.chain_id, found: here.chain_id };
    assert_eq!(proof.verify(&here.beginning(), genesis).unwrap_err(), expected);
    // With the other document beside it, the headers give it away, although the validators' keys are the same.
    let error = proof.verify(&there.beginning(), genesis).unwrap_err();
    assert!(matches!(error, VerifyError::OtherChain { found, .. } if found == here.chain_id), "{error}");
    let error = proof.verify(&there.beginning(), Trust::Checkpoint(there.checkpoint(9))).unwrap_err();
    assert!(matches!(error, VerifyError::OtherChain { .. }), "{error}");
}

#[test]
fn steps_belong_to_the_session_and_stand_in_order_beside_their_own_transactions() {
    let chain = changing(1);
    let verify = |proof: &SessionProof| proof.verify(&chain.beginning(), Trust::Genesis(chain.chain_id)).map(|_| ()).unwrap_err();
    let proof = chain.session();
    let with = |change: &dyn Fn(&mut SessionProof)| {
        let mut changed = proof.clone();
        change(&mut changed);
        verify(&changed)
    };
    assert!(matches!(with(&|proof| proof.steps.swap(0, 1)), VerifyError::StepOrder { height: Height(3), index: 1 }));
    assert!(matches!(with(&|proof| proof.steps.insert(1, proof.steps[0].clone())), VerifyError::StepOrder { .. }));
    assert!(matches!(
        with(&|proof| proof.steps.insert(1, chain.step(3, 2))),
        VerifyError::OtherSession { height: Height(3), index: 2, .. }
    ));
    assert!(matches!(with(&|proof| drop(proof.anchor.earlier.remove(2))), VerifyError::NoHeader(Height(4))));
    assert_eq!(with(&|proof| drop(proof.steps.pop())), VerifyError::Settlements { session: SESSION, found: 0 });
    assert!(matches!(with(&|proof| proof.steps[0].transaction = None), VerifyError::OtherTransaction { height: Height(3), index: 1 }));
    let elsewhere = with(&|proof| proof.steps[0].transaction = chain.step(3, 2).transaction);
    assert!(matches!(elsewhere, VerifyError::OtherTransaction { height: Height(3), index: 1 }), "{elsewhere}");
    let invented = with(&|proof| proof.steps[2].transaction = chain.step(5, 0).transaction);
    assert!(matches!(invented, VerifyError::OtherTransaction { height: Height(5), .. }), "{invented}");
    assert_eq!(with(&|proof| proof.tariff.version = 4), VerifyError::OtherTariff);
    let cheaper = with(&|proof| proof.tariff.record.tariff.vat_basis_points = 0);
    assert!(matches!(cheaper, VerifyError::State { what: "tariff", .. }), "{cheaper}");
    let moved = with(&|proof| proof.anchor.earlier[0].path.index = 2);
    assert!(matches!(moved, VerifyError::HistoryPlace { height: Height(2), index: 2, count: 7 }), "{moved}");
}

/// Every place of a document at which something stands, as a JSON pointer.
fn places(value: &Value, at: String, found: &mut Vec<String>) {
    match value {
        Value::Array(items) => items.iter().enumerate().for_each(|(index, item)| places(item, format!("{at}/{index}"), found)),
        Value::Object(fields) => fields.iter().for_each(|(name, item)| places(item, format!("{at}/{name}"), found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => found.push(at),
    }
}

/// What a leaf may be with one bit changed: of a text every character once, in turn at another bit.
fn flipped(leaf: &Value) -> Vec<Value> {
    match leaf {
        Value::String(text) => (0..text.len())
            .filter_map(|place| {
                let mut bytes = text.clone().into_bytes();
                bytes[place] ^= 1 << (place % 4);
                String::from_utf8(bytes).ok().map(Value::String)
            })
            .collect(),
        Value::Number(number) => (0..16).map(|bit| Value::from(number.as_u64().unwrap() ^ (1 << bit))).collect(),
        Value::Null => vec![Value::from("0"), Value::from(0)],
        Value::Bool(_) | Value::Array(_) | Value::Object(_) => panic!("{leaf}"),
    }
}

/// Holds a proof's JSON, changed at every place, against `holds`; gives how many changes were tried.
fn every_change_is_refused(proof: &Value, holds: &dyn Fn(Value) -> bool) -> usize {
    assert!(holds(proof.clone()));
    let (mut found, mut tried) = (Vec::new(), 0);
    places(proof, String::new(), &mut found);
    for place in found {
        for change in flipped(proof.pointer(&place).unwrap()) {
            let mut changed = proof.clone();
            *changed.pointer_mut(&place).unwrap() = change.clone();
            tried += 1;
            assert!(!holds(changed), "{place}: {change} is accepted");
        }
    }
    // What is left out or added is missed as well.
    let lists =
        ["/anchor/certificate/signatures", "/anchor/changes", "/proof/siblings", "/tariff/proof/siblings", "/anchor/earlier/0/path/peaks"];
    for list in lists {
        let mut changed = proof.clone();
        let Some(items) = changed.pointer_mut(list).and_then(Value::as_array_mut) else { continue };
        if items.pop().is_none() {
            continue;
        }
        assert!(!holds(changed), "{list} without its last is accepted");
    }
    tried
}

#[test]
fn a_changed_bit_at_any_place_of_a_proof_is_refused_from_genesis_and_from_a_checkpoint() {
    let chain = changing(1);
    let beginning = chain.beginning();
    for trust in [Trust::Genesis(chain.chain_id), Trust::Checkpoint(chain.checkpoint(7))] {
        let session = serde_json::to_value(chain.session()).unwrap();
        let tried = every_change_is_refused(&session, &|value| {
            serde_json::from_value::<SessionProof>(value).is_ok_and(|proof| proof.verify(&beginning, trust).is_ok())
        });
        assert!(tried > 10_000, "{tried}");
    }
    for address in [ANA, NOBODY] {
        let account = serde_json::to_value(chain.account(address)).unwrap();
        let holds = |value| {
            let proof = serde_json::from_value::<AccountProof>(value);
            proof.is_ok_and(|proof| proof.verify(&beginning, Trust::Genesis(chain.chain_id)).is_ok())
        };
        every_change_is_refused(&account, &holds);
    }
}
