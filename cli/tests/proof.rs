//! A proof file says one thing, and only as long as nobody touches it: of a session that the ledger itself has billed, under four validators.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

mod fake;
mod federation;

use std::path::Path;

use chain::{
    block::Block,
    certificate::CommitCertificate,
    codec,
    crypto::address_of,
    export::{Framing, RecordKind, StatePage},
    hash::Hash32,
    history::{self, History, NodePosition},
    id::{Address, ChainId, Height, SessionId},
    merkle,
    receipt::{Cause, Event, Receipt},
    record::{Account, Key, TariffVersion},
    state::Change,
    transaction,
    tree::Tree,
    verify::{AccountProof, Anchor, Checkpoint, EarlierHeader, ProvenTariff, ProvenTransaction, SessionProof, Step, Trust, VerifyError},
};
use cli::proof::{Claim, Fact, ProofError, ProofFile};
use contracts::genesis::Genesis;
use ed25519_dalek::SigningKey;
use fake::{Fake, Home};
use federation::evening_of;

const LIMIT: usize = 32 << 20;

/// What a node keeps of the evening.
struct Kept {
    genesis: Genesis,
    session: SessionId,
    blocks: Vec<Block>,
    certificates: Vec<CommitCertificate>,
    receipts: Vec<Vec<Receipt>>,
    state: StatePage,
    tree: Tree,
    nodes: Vec<(NodePosition, Hash32)>,
}

impl Kept {
    fn new(network: &str) -> Self {
        let (file, _, session) = evening_of(network, 4);
        let mut framing = Framing::new();
        framing.push(&file);
        let (mut genesis, mut blocks, mut certificates, mut receipts, mut state) = (None, Vec::new(), Vec::new(), Vec::new(), Vec::new());
        while let Some(record) = framing.next_record().unwrap() {
            let payload = record.payload.as_slice();
            match record.kind {
                RecordKind::Genesis => genesis = Some(codec::decode(payload, LIMIT).unwrap()),
                RecordKind::Block => blocks.push(codec::decode(payload, LIMIT).unwrap()),
                RecordKind::Certificate => certificates.push(codec::decode(payload, LIMIT).unwrap()),
                RecordKind::Receipts => receipts.push(codec::decode(payload, LIMIT).unwrap()),
                RecordKind::State => state = codec::decode(payload, LIMIT).unwrap(),
                RecordKind::Samples | RecordKind::End => {}
            }
        }
        let mut history = History::new();
        let nodes = blocks.iter().flat_map(|block: &Block| history.append(block.header.hash())).collect();
        let changes: Vec<Change> = state.iter().cloned().map(|(key, value)| (key, Some(value))).collect();
        let tree = Tree::new().updated(&changes);
        Self { genesis: genesis.unwrap(), session, blocks, certificates, receipts, state, tree, nodes }
    }

    fn anchor(&self, earlier: impl IntoIterator<Item = usize>) -> Anchor {
        let last = self.blocks.len();
        let node_at = |position| Ok(self.nodes.iter().find(|(known, _)| *known == position).unwrap().1);
        let path = |height: usize| history::prove(last as u64 - 1, height as u64 - 1, &node_at).unwrap().unwrap();
        Anchor {
            header: self.blocks[last - 1].header,
            certificate: self.certificates[last - 1].clone(),
            changes: Vec::new(),
            earlier: earlier
                .into_iter()
                .map(|height| EarlierHeader { header: self.blocks[height - 1].header, path: path(height) })
                .collect(),
        }
    }

    fn session(&self) -> ProofFile {
        let mut steps = Vec::new();
        for (block, receipts) in self.blocks.iter().zip(&self.receipts) {
            let leaves: Vec<_> = receipts.iter().map(Receipt::leaf).collect();
            let transactions: Vec<_> = block.transactions.iter().map(|bytes| transaction::leaf(bytes)).collect();
            for (index, receipt) in receipts.iter().enumerate() {
                if !receipt.events.iter().any(|event| event.session() == Some(self.session)) {
                    continue;
                }
                let path = |leaves: &[Hash32]| merkle::prove(leaves, index as u64).unwrap();
                let transaction = matches!(receipt.cause, Cause::Transaction(_))
                    .then(|| ProvenTransaction { bytes: block.transactions[index].clone(), path: path(&transactions) });
                steps.push(Step { height: block.header.height, receipt: receipt.clone(), path: path(&leaves), transaction });
            }
        }
        let bill = self.receipts.iter().flatten().flat_map(|receipt| &receipt.events).find_map(Event::bill).unwrap();
        let key = Key::TariffVersion(bill.tariff, bill.tariff_version).bytes();
        let value = &self.state.iter().find(|(known, _)| *known == key).unwrap().1;
        let record: TariffVersion = codec::decode(value, LIMIT).unwrap();
        let tariff = ProvenTariff { id: bill.tariff, version: bill.tariff_version, record, proof: self.tree.prove(&key) };
        let proof = SessionProof { session: self.session, steps, tariff, anchor: self.anchor(2..self.blocks.len()) };
        ProofFile::new(Claim::Session(Box::new(proof)), self.genesis.clone())
    }

    fn account(&self, address: Address) -> ProofFile {
        let key = Key::Account(address).bytes();
        let account: Option<Account> =
            self.state.iter().find(|(known, _)| *known == key).map(|(_, value)| codec::decode(value, LIMIT).unwrap());
        let proof = AccountProof { address, account, proof: self.tree.prove(&key), anchor: self.anchor([3]) };
        ProofFile::new(Claim::Account(Box::new(proof)), self.genesis.clone())
    }

    fn genesis_trust(&self) -> Trust {
        Trust::Genesis(self.genesis.chain_id())
    }

    fn checkpoint(&self, height: usize) -> Checkpoint {
        Checkpoint::of(&self.blocks[height - 1].header)
    }
}

fn resident() -> Address {
    address_of(&SigningKey::from_bytes(&[3; 32]))
}

fn holds(text: &[u8], trust: Trust) -> bool {
    ProofFile::read(text).and_then(|file| file.check(trust).map(|_| ())).is_ok()
}

#[test]
fn a_bill_is_proved_and_computed_again_from_what_the_file_holds() {
    let chain = Kept::new("proved");
    let text = chain.session().text().unwrap();
    let file = ProofFile::read(&text).unwrap();
    let checked = file.check(chain.genesis_trust()).unwrap();
    let Fact::Bill(bill, height) = checked.fact else { panic!("{:?}", checked.fact) };
    assert_eq!((bill.session, bill.energy.get(), height), (chain.session, 3_680, Height(5)));
    let proved = checked.verdict.proved.join("\n");
    assert!(proved.contains("3 of 4 validators") && proved.contains("2 readings"), "{proved}");
    assert!(checked.verdict.relied_on.iter().any(|line| line.contains("retired included")), "{:?}", checked.verdict);
    let since = file.check(Trust::Checkpoint(chain.checkpoint(3))).unwrap();
    assert!(since.verdict.relied_on.iter().any(|line| line.contains("after block 3")), "{:?}", since.verdict);
    let own = file.check(Trust::Checkpoint(checked.anchor)).unwrap();
    assert!(own.verdict.relied_on.iter().any(|line| line.contains("no key at all")), "{:?}", own.verdict);
}

#[test]
fn a_bill_that_does_not_follow_from_the_readings_is_refused_although_every_path_holds() {
    let chain = Kept::new("proved");
    let without = |index: usize| {
        let mut file = chain.session();
        let Claim::Session(proof) = &mut file.claim else { unreachable!("it is a session's") };
        proof.steps.remove(index);
        file.check(chain.genesis_trust()).map(|_| ()).unwrap_err()
    };
    // The opening, the grant, the first reading, the last one.
    for (index, told) in [(0, "never opened"), (1, "grant"), (2, "expected 0, found"), (3, "")] {
        let error = without(index);
        assert!(matches!(&error, ProofError::Bill(_)) && error.to_string().contains(told), "without step {index}: {error}");
    }
    assert!(matches!(without(4), ProofError::Verify(VerifyError::Settlements { found: 0, .. })));
}

#[test]
fn a_flipped_bit_at_any_byte_of_a_file_is_refused() {
    let chain = Kept::new("proved");
    for file in [chain.account(resident()), chain.account(Address([77; 32])), chain.session()] {
        let text = file.text().unwrap();
        let trust = chain.genesis_trust();
        assert!(holds(&text, trust));
        for position in 0..text.len() {
            // In turn at another bit; and at the one that tells small letters from capitals.
            for bit in [position % 8, 5] {
                let mut wrong = text.clone();
                wrong[position] ^= 1 << bit;
                let near = String::from_utf8_lossy(&wrong[position.saturating_sub(40)..(position + 20).min(text.len())]).into_owned();
                assert!(!holds(&wrong, trust), "byte {position}, bit {bit} of {}: …{near}…", text.len());
            }
        }
    }
}

#[test]
fn a_file_says_a_thing_in_one_way_but_for_spaces() {
    let chain = Kept::new("proved");
    let text = String::from_utf8(chain.account(resident()).text().unwrap()).unwrap();
    let trust = chain.genesis_trust();
    let narrow: String = text.split('\n').map(str::trim_start).collect();
    assert!(holds(narrow.as_bytes(), trust));
    let (balance, digits) = ("\"balance\": \"", chain.genesis.chain_id().to_string());
    assert!(text.contains(balance));
    for (what, changed) in [
        ("a field added", text.replacen("\"version\": 1", "\"version\": 1, \"note\": 1", 1)),
        ("a field twice", text.replacen("\"version\": 1", "\"version\": 1, \"version\": 1", 1)),
        ("digits in capitals", text.replacen(&digits, &digits.to_uppercase(), 1)),
        ("an escape", text.replacen("commonwatt proof", "commonwatt\\u0020proof", 1)),
        ("a leading zero", text.replacen(balance, "\"balance\": \"0", 1)),
        ("something behind it", format!("{text}{{}}")),
        ("another version", text.replacen("\"version\": 1", "\"version\": 2", 1)),
    ] {
        assert_ne!(changed, text, "{what}");
        assert!(!holds(changed.as_bytes(), trust), "{what}");
    }
    assert!(matches!(ProofFile::read(b"{}"), Err(ProofError::Format(_))));
}

#[test]
fn a_file_of_one_federation_proves_nothing_to_whoever_knows_another() {
    let (here, there) = (Kept::new("here"), Kept::new("there"));
    assert_ne!(here.genesis.chain_id(), there.genesis.chain_id());
    for file in [here.session(), here.account(resident())] {
        let error = file.check(there.genesis_trust()).unwrap_err();
        assert!(matches!(error, ProofError::Verify(VerifyError::OtherGenesis { .. })), "{error}");
        let error = file.check(Trust::Checkpoint(there.checkpoint(5))).unwrap_err();
        assert!(matches!(error, ProofError::Verify(VerifyError::Contradicts { .. })), "{error}");
        // The same people, keys and doings; the other document put in its place.
        let grafted = ProofFile { genesis: there.genesis.clone(), ..file };
        let error = grafted.check(there.genesis_trust()).unwrap_err();
        assert!(matches!(error, ProofError::Verify(VerifyError::OtherChain { .. })), "{error}");
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

const NOBODY: &str = "http://127.0.0.1:1";

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_is_kept_as_a_file_and_checked_offline_against_what_the_wallet_has_seen() {
    let (home, chain) = (Home::new(), Kept::new("proved"));
    let folder = tempfile::tempdir().unwrap();
    let (receipt, balance) = (folder.path().join("receipt.json"), folder.path().join("balance.json"));
    let path_of = |path: &Path| path.to_str().unwrap().to_owned();
    let (Claim::Session(session), Claim::Account(account)) = (chain.session().claim, chain.account(resident()).claim) else {
        unreachable!()
    };
    let fake = Fake::default();
    fake.json("/genesis", &chain.genesis)
        .json(&format!("/sessions/{}/proof", chain.session), &session)
        .json(&format!("/accounts/{}/proof", resident()), &account);
    let url = fake.listen().await;

    let id = chain.session.to_string();
    let output = home.watt(&url, &["session", "receipt", &id, "--proof", &path_of(&receipt)]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let told = text(&output.stdout);
    assert!(told.contains("2 readings") && told.contains("what this node says") && told.contains("written to"), "{told}");
    // A file that is there stays, and nobody is asked for another.
    let asked = fake.asked().len();
    let again = home.watt(&url, &["session", "receipt", &id, "--proof", &path_of(&receipt)]);
    assert_eq!((again.status.code(), fake.asked().len()), (Some(1), asked), "{}", text(&again.stdout));
    assert!(text(&again.stderr).contains("already") && !text(&again.stderr).contains("os error"), "{}", text(&again.stderr));
    // The wallet remembers: it now asks for its checkpoint. On stdout stands the proof alone.
    let again = home.watt(&url, &["session", "receipt", &id, "--proof", "-"]);
    assert_eq!(again.stdout, std::fs::read(&receipt).unwrap(), "{}", text(&again.stderr));
    assert!(text(&again.stderr).contains("newest block that this wallet has seen"), "{}", text(&again.stderr));
    assert!(fake.asked().last().unwrap().path.ends_with("/proof?checkpoint=5"), "{:?}", fake.asked().last());
    let output = home.watt(&url, &["wallet", "balance", &resident().to_string(), "--proof", &path_of(&balance)]);
    assert!(output.status.success(), "{}", text(&output.stderr));

    let verify = |arguments: &[&str]| home.watt(NOBODY, &[&["audit", "verify"], arguments].concat());
    for file in [&receipt, &balance] {
        let output = verify(&[&path_of(file)]);
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert!(text(&output.stdout).contains("newest block that this wallet has seen"), "{}", text(&output.stdout));
    }
    let genesis = chain.genesis.chain_id().to_string();
    let json = verify(&[&path_of(&receipt), "--genesis", &genesis, "--output", "json"]);
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!((json["verified"].as_bool(), json["bill"]["energy"].as_str()), (Some(true), Some("3680")), "{json}");
    let code = |arguments: &[&str]| verify(arguments).status.code();
    assert_eq!(code(&[&path_of(&receipt), "--checkpoint", &chain.checkpoint(5).to_string()]), Some(0));
    assert_eq!(code(&[&path_of(&receipt), "--checkpoint", &chain.checkpoint(3).to_string()]), Some(0));
    let wrong = Checkpoint { height: Height(5), hash: chain.checkpoint(4).hash };
    assert_eq!(code(&[&path_of(&receipt), "--checkpoint", &wrong.to_string()]), Some(3));
    assert_eq!(code(&[&path_of(&receipt), "--genesis", &ChainId(Hash32([1; 32])).to_string()]), Some(3));
    // Whoever had mistyped a hash was told of two histories, and to tell the operators.
    let slip = |mut hash: Hash32| {
        hash.0[8] ^= 1;
        hash
    };
    let block = Checkpoint { height: Height(5), hash: slip(chain.checkpoint(5).hash) }.to_string();
    for trust in [["--checkpoint", &block], ["--genesis", &slip(chain.genesis.chain_id().0).to_string()]] {
        let output = verify(&[&path_of(&receipt), trust[0], trust[1]]);
        let told = text(&output.stderr);
        let compares = told.contains("differs at character 18 alone: compare") && told.find("Only where they agree") > told.find("compare");
        assert!(output.status.code() == Some(3) && compares, "{told}");
    }
    assert_eq!(code(&[&path_of(&folder.path().join("none.json"))]), Some(1));
    assert_eq!(code(&[&path_of(&receipt), "--checkpoint", "5"]), Some(2));
    // Another machine's wallet knows nothing of the chain, and says so.
    let stranger = Home::new().watt(NOBODY, &["audit", "verify", &path_of(&receipt)]);
    assert_eq!(stranger.status.code(), Some(2), "{}", text(&stranger.stdout));
    assert!(text(&stranger.stderr).contains("--genesis HASH"), "{}", text(&stranger.stderr));

    let forged = std::fs::read_to_string(&receipt).unwrap().replacen("3680", "3681", 1);
    let forged = home.file("forged.json", &forged);
    let output = verify(&[forged.to_str().unwrap()]);
    assert_eq!((output.status.code(), output.stdout.is_empty()), (Some(3), true), "{}", text(&output.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_with_another_history_than_the_wallet_has_seen_is_not_believed() {
    let (home, chain) = (Home::new(), Kept::new("proved"));
    let Claim::Account(account) = chain.account(resident()).claim else { unreachable!() };
    let fake = Fake::default();
    fake.json("/genesis", &chain.genesis).json(&format!("/accounts/{}/proof", resident()), &account);
    let ask = |home: &Home, url: &str, path: &str| home.watt(url, &["wallet", "balance", &resident().to_string(), "--proof", path]);
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    assert!(ask(&home, &fake.listen().await, &file("true.json")).status.success());
    // Four keys that leaked sign another block 5.
    let other = Kept::new("proved");
    let mut forked = other.anchor([]);
    forked.header.timestamp = forked.header.timestamp.saturating_add(chain::time::Duration::from_ms(1));
    let (chain_id, height, block) = (forked.header.chain_id, forked.header.height, forked.header.hash());
    forked.certificate.block = block;
    for commit in &mut forked.certificate.signatures {
        let key =
            [1, 11, 12, 13].map(|seed| SigningKey::from_bytes(&[seed; 32])).into_iter().find(|key| address_of(key) == commit.validator);
        let vote = chain::certificate::VoteBody {
            chain_id,
            kind: chain::certificate::VoteKind::Precommit,
            height,
            round: 0,
            block: Some(block),
            validator: commit.validator,
        };
        commit.signature = chain::crypto::sign(&key.unwrap(), chain::crypto::Domain::Vote, &vote.bytes());
    }
    let forged = AccountProof { anchor: forked, ..*account };
    assert!(ProofFile::new(Claim::Account(Box::new(forged.clone())), chain.genesis.clone()).check(chain.genesis_trust()).is_ok());
    let fork = Fake::default();
    fork.json("/genesis", &chain.genesis).json(&format!("/accounts/{}/proof", resident()), &forged);
    let output = ask(&home, &fork.listen().await, &file("forged.json"));
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stdout));
    assert!(text(&output.stderr).contains("two histories"), "{}", text(&output.stderr));
    assert!(!folder.path().join("forged.json").exists());
}

/// A checkpoint whose header is not in the file was told as a proof that fails.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_does_not_reach_a_checkpoint_is_no_lie_and_another_is_made_that_does() {
    let (home, chain) = (Home::new(), Kept::new("proved"));
    let folder = tempfile::tempdir().unwrap();
    let path_of = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let before = chain.checkpoint(2);
    let file = chain.account(resident());
    let made = home.file("made.json", &String::from_utf8(file.text().unwrap()).unwrap());
    let verify = |checkpoint: Checkpoint, more: &[&str]| {
        let checkpoint = checkpoint.to_string();
        home.watt(NOBODY, &[&["audit", "verify", made.to_str().unwrap(), "--checkpoint", &checkpoint], more].concat())
    };
    let after = Checkpoint { height: Height(6), ..before };
    for (checkpoint, has) in [(before, "does not have the header of block 2"), (after, "ends with block 5")] {
        let output = verify(checkpoint, &[]);
        let told = text(&output.stderr);
        assert_eq!((output.status.code(), output.stdout.is_empty()), (Some(6), true), "{told}");
        let remake = format!("watt wallet balance {} --proof FILE --checkpoint {checkpoint}", resident());
        assert!(told.contains("does not reach your checkpoint") && told.contains(has) && told.contains(&remake), "{told}");
        assert!(!told.contains("verification failed"), "{told}");
    }
    let json: serde_json::Value = serde_json::from_slice(&verify(before, &["--output", "json"]).stdout).unwrap();
    assert_eq!((json["error"]["code"].as_str(), json["error"]["exit_code"].as_u64()), (Some("checkpoint_not_reached"), Some(6)), "{json}");
    assert_eq!(json["verified"], serde_json::Value::Null);
    // One that contradicts the file is a lie of somebody's, and said to be.
    let lie = Checkpoint { hash: chain.checkpoint(2).hash, ..chain.checkpoint(3) };
    let output = verify(lie, &["--output", "json"]);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), json["verified"].as_bool()), (Some(3), Some(false)), "{json}");

    let Claim::Account(account) = file.claim else { unreachable!() };
    let reaching = AccountProof { anchor: chain.anchor([2, 3]), ..(*account).clone() };
    let fake = Fake::default();
    fake.json("/genesis", &chain.genesis).json(&format!("/accounts/{}/proof", resident()), &reaching);
    let url = fake.listen().await;
    let (address, checkpoint) = (resident().to_string(), before.to_string());
    let output = home.watt(&url, &["wallet", "balance", &address, "--proof", &path_of("new.json"), "--checkpoint", &checkpoint]);
    assert!(output.status.success() && text(&output.stdout).contains("the one that was given"), "{}", text(&output.stderr));
    assert!(fake.asked().last().unwrap().path.ends_with("/proof?checkpoint=2"), "{:?}", fake.asked().last());
    let output = home.watt(NOBODY, &["audit", "verify", &path_of("new.json"), "--checkpoint", &checkpoint]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let lie = lie.to_string();
    let output = home.watt(&url, &["wallet", "balance", &address, "--proof", &path_of("lie.json"), "--checkpoint", &lie]);
    assert_eq!((output.status.code(), folder.path().join("lie.json").exists()), (Some(3), false), "{}", text(&output.stdout));
    assert_eq!(home.watt(&url, &["wallet", "balance", &address, "--checkpoint", &checkpoint]).status.code(), Some(2));
}
