//! What is only tried, and what is signed without a node and carried to one.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

mod fake;

use std::{os::unix::fs::PermissionsExt as _, process::Output};

use chain::{
    api::{CommittedTransaction, CondominiumView, Page, Rehearsed, Submitted, Unit},
    hash::Hash32,
    id::{Address, CondominiumId, Height, TxId},
    quantity::Amount,
    receipt::{Cause, Event, Outcome, Receipt},
    record::Condominium,
    time::Duration,
};
use contracts::call::{Call, Transaction};

use crate::fake::{Fake, Home, NOW, account, chain_id, status};

const NOBODY: &str = "http://127.0.0.1:1";

fn told(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}

fn receipt(event: Event) -> Receipt {
    Receipt { cause: Cause::Transaction(TxId(Hash32::ZERO)), outcome: Outcome::Applied, events: vec![event] }
}

fn condominium(id: u32, name: &str) -> CondominiumView {
    let condominium = Condominium {
        name: name.to_owned(),
        revenue: Address([1; 32]),
        next_sale: 1,
        mint_cap_per_day: Amount::MAX,
        mint_day: 0,
        minted_today: Amount::ZERO,
        minted: Amount::ZERO,
        redeemed: Amount::ZERO,
        position_limit: Amount::ZERO,
    };
    let zero = Amount::ZERO;
    CondominiumView {
        id: CondominiumId(id),
        condominium,
        balance: zero,
        held: zero,
        debt: zero,
        owed_to: zero,
        owed_by: zero,
        conserved: true,
    }
}

fn node(home: &Home) -> Fake {
    let fake = Fake::default();
    fake.json("/status", &status()).json(&format!("/accounts/{}", home.address()), &account(home.address(), 3));
    fake.json("/condominiums", &Page { items: vec![condominium(1, "TRO")], next: None });
    fake
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_tried_is_signed_for_nothing_else_and_leaves_no_trace() {
    let home = Home::new();
    let to = Address([8; 32]);
    let name = to.to_string();
    let fake = node(&home);
    let sent = Event::Transferred { from: home.address(), to, amount: Amount::from_micro(12_500_000) };
    fake.json("/rehearsals", &Rehearsed { height: Height(8), timestamp: NOW, receipt: receipt(sent) });
    let url = fake.listen().await;
    let (code, out, err) = told(&home.watt(&url, &["wallet", "send", &name, "12.5", "--dry-run"]));
    assert_eq!(code, 0, "{err}");
    for words in ["Send 12.50 EUR", "no: this was a rehearsal", "in block", "none"] {
        assert!(out.contains(words), "{words}: {out}");
    }
    let (code, out, _) = told(&home.watt(&url, &["wallet", "send", &name, "12.5", "--dry-run", "--output", "json"]));
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, json["dry_run"].as_bool(), json["submitted"].as_bool()), (0, Some(true), Some(false)), "{json}");
    assert_eq!(json["would"]["height"].as_str(), Some("8"), "{json}");
    // A reference is read, and nothing of it is kept.
    let (code, _, err) = told(&home.watt(&url, &["wallet", "redeem", "2", "--no-reference", "--dry-run"]));
    assert_eq!(code, 0, "{err}");
    assert!(!home.path("commitments.jsonl").exists());
    let (posts, bodies): (Vec<_>, Vec<_>) =
        fake.asked().into_iter().filter(|asked| asked.method == "POST").map(|asked| (asked.path, asked.body)).unzip();
    assert!(posts.len() == 3 && posts.iter().all(|path| path.ends_with("/rehearsals")), "{posts:?}");
    for body in bodies {
        let asked = Transaction::decode(&body).unwrap();
        assert!(asked.verify_rehearsal().is_ok() && asked.verify().is_err(), "nobody can submit it");
    }

    let fake = node(&home);
    fake.refusal("/rehearsals", 422, "insufficient_funds", Unit::MicroTokens, [19_000_001, 19_000_000]);
    let (code, out, err) = told(&home.watt(&fake.listen().await, &["wallet", "send", &name, "19.000001", "--dry-run"]));
    assert_eq!((code, out.is_empty()), (5, true), "{err}");
    assert!(err.contains("needs 19.000001 tokens"), "{err}");

    for arguments in [&["wallet", "new", "--dry-run"][..], &["wallet", "send", &name, "1", "--dry-run", "--offline", "--nonce", "1"]] {
        let (code, _, err) = told(&home.watt(NOBODY, arguments));
        assert_eq!(code, 2, "{arguments:?}: {err}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_is_signed_without_a_node_and_carried_to_one() {
    let home = Home::new();
    let to = Address([8; 32]).to_string();
    let path = |name: &str| home.path(name).to_str().unwrap().to_owned();
    let (prepared, file) = (path("prepared.json"), path("transfer.json"));
    let fake = node(&home);
    fake.problem("/transactions/none", 404, "not_found");
    let url = fake.listen().await;
    let (code, out, err) = told(&home.watt(&url, &["chain", "prepare", &prepared]));
    assert_eq!(code, 0, "{err}");
    assert!(out.contains(&chain_id().to_string()) && out.contains("next number"), "{out}");

    // Nobody is asked: there is nobody. The condominium's name comes from the file.
    let sign = |arguments: &[&str]| told(&home.watt(NOBODY, &[arguments, &["--offline", "--prepared", &prepared]].concat()));
    let (code, _, err) = sign(&["mandate", "revoke"]);
    assert_eq!(code, 2, "there is no terminal to confirm at");
    assert!(err.contains("1 (TRO)") && err.contains("Let your cards start no more charges"), "{err}");
    let (code, out, err) = sign(&["wallet", "send", &to, "12.5", "--yes", "--out", &file]);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("written to") && out.contains("--nonce 4") && out.contains("or never"), "{out}");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(std::fs::read_to_string(&file).unwrap().contains("Send 12.50 EUR"), "people can read it");
    let (code, _, err) = sign(&["wallet", "send", &to, "12.5", "--yes", "--out", &file]);
    assert!(code == 1 && err.contains("already"), "{err}");
    assert_eq!(fake.asked().iter().filter(|asked| asked.method == "POST").count(), 0);

    let (code, out, err) = told(&home.watt(NOBODY, &["chain", "decode", &file]));
    assert_eq!(code, 0, "{err}");
    assert!(out.contains(&to) && out.contains("the signer's"), "{out}");

    let applied = Receipt { cause: Cause::Transaction(TxId(Hash32::ZERO)), outcome: Outcome::Applied, events: Vec::new() };
    let committed = CommittedTransaction { height: Height(8), index: 0, timestamp: NOW, receipt: applied };
    fake.json("/transactions", &Submitted { id: TxId(Hash32::ZERO), committed: Some(committed) });
    let (code, _, err) = told(&home.watt(&url, &["chain", "submit", &file]));
    assert!(code == 2 && err.contains("Send 12.50 EUR"), "it is shown and asked about: {err}");
    let (code, _, err) = told(&home.watt(&url, &["chain", "submit", &file, "--dry-run"]));
    assert_eq!(code, 0, "{err}");
    let (code, _, err) = told(&home.watt(&url, &["chain", "submit", &file, "--yes"]));
    assert_eq!(code, 0, "{err}");
    let posts: Vec<_> = fake.asked().into_iter().filter(|asked| asked.method == "POST").collect();
    assert_eq!(posts.len(), 1);
    let transaction = Transaction::decode(&posts[0].body).unwrap();
    transaction.verify().unwrap();
    let body = transaction.body();
    assert_eq!((body.chain_id, body.account, body.nonce), (chain_id(), home.address(), 3));
    assert!(matches!(&body.call, Call::Transfer(call) if call.amount == Amount::from_micro(12_500_000)));
    let left = body.valid_until.since(NOW);
    assert!(left > Duration::from_hours(23) && left < Duration::from_hours(24), "{left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_the_chain_would_not_take_is_refused_with_what_to_do() {
    let home = Home::new();
    let to = Address([8; 32]).to_string();
    let chain = chain_id().to_string();
    let make = |name: &str, nonce: &str, until: &str, chain: &str| {
        let file = home.path(name).to_str().unwrap().to_owned();
        let arguments = [
            "wallet",
            "send",
            &to,
            "1",
            "--yes",
            "--offline",
            "--on-chain",
            chain,
            "--nonce",
            nonce,
            "--valid-until",
            until,
            "--out",
            &file,
        ];
        let (code, _, err) = told(&home.watt(NOBODY, &arguments));
        assert_eq!(code, 0, "{err}");
        file
    };
    // The node's clock shows 2020-09-13T12:26:40Z.
    let cases = [
        (make("good", "3", "2020-09-13T20:00:00Z", &chain), 0, ""),
        (make("expired", "3", "2020-09-13T12:00:00Z", &chain), 5, "sign it anew"),
        (make("early", "3", "2020-09-15T12:00:00Z", &chain), 5, "wait"),
        (make("used", "2", "2020-09-13T20:00:00Z", &chain), 5, "another transaction had that number"),
        (make("ahead", "5", "2020-09-13T20:00:00Z", &chain), 5, "submit those between first"),
        (make("other", "3", "2020-09-13T20:00:00Z", &"7".repeat(64)), 5, "it is for chain 7777"),
    ];
    let url = node(&home).listen().await;
    for (file, expected, words) in &cases {
        let (code, _, err) = told(&home.watt(&url, &["chain", "submit", file, "--dry-run"]));
        assert!(code == *expected && err.contains(words), "{file}: {code} {err}");
    }
    let changed = std::fs::read_to_string(&cases[0].0).unwrap().replace("\"bytes\": \"", "\"bytes\": \"00");
    let file = home.file("changed", &changed);
    let (code, _, err) = told(&home.watt(&url, &["chain", "submit", file.to_str().unwrap(), "--yes"]));
    assert_eq!(code, 3, "{err}");

    let id = "5".repeat(64);
    let without = ["--offline", "--on-chain", &chain, "--nonce", "0", "--yes", "--out", "-"];
    for (arguments, expected, words) in [
        (&["charge", "stop", "5f0c9a"][..], 2, "whole ids"),
        (&["charge", "stop", &id], 0, ""),
        (&["charge", "start", "1-17", "--energy", "10"], 2, "--tariff-version and --max-spend"),
        (&["charge", "start", "1-17", "--tariff-version", "2", "--max-spend", "3"], 0, ""),
        (&["admin", "role", "grant", "auditor", &to, "--condominium", "1"], 2, "--from"),
        (&["admin", "role", "grant", "auditor", &to, "--condominium", "1", "--from", "900"], 0, ""),
        (&["admin", "group", "put", "1-1", "--limit", "63"], 0, ""),
        (&["chain", "status"], 2, "--offline asks none"),
    ] {
        let (code, out, err) = told(&home.watt(NOBODY, &[arguments, &without].concat()));
        assert!(code == expected && err.contains(words), "{arguments:?}: {code} {err}");
        assert_eq!(out.contains("commonwatt transaction"), expected == 0, "{out}");
    }
    for missing in [&["--offline"][..], &["--offline", "--on-chain", &chain], &["--nonce", "3"], &["--out", "x"]] {
        let (code, _, err) = told(&home.watt(NOBODY, &[&["wallet", "send", &to, "1", "--yes"], missing].concat()));
        assert_eq!(code, 2, "{missing:?}: {err}");
    }
}

/// `watt wallet list --offline` and others asked for a prepared file, of which they have no use.
#[test]
fn what_asks_nothing_of_a_node_works_without_one_and_needs_nothing_in_its_place() {
    let home = Home::new();
    let (to, chain) = (Address([8; 32]).to_string(), chain_id().to_string());
    let offline = |arguments: &[&str]| told(&home.watt(NOBODY, &[arguments, &["--offline"]].concat()));
    let file = home.path("transfer.json").to_str().unwrap().to_owned();
    let (code, _, err) = offline(&["wallet", "send", &to, "1", "--yes", "--on-chain", &chain, "--nonce", "0", "--out", &file]);
    assert_eq!(code, 0, "{err}");

    let (code, out, err) = offline(&["chain", "decode", &file]);
    assert!(code == 0 && out.contains(&to), "{err}");
    let (code, out, err) = offline(&["wallet", "list"]);
    assert!(code == 0 && out.contains(&home.address().to_string()), "{err}");
    // The file is something else, and that is all that is wrong.
    for arguments in [["audit", "verify", &file], ["audit", "replay", &file]] {
        let (code, _, err) = offline(&arguments);
        assert!(matches!(code, 1 | 3) && !err.contains("--prepared"), "{arguments:?}: {code} {err}");
    }
    // What makes a transaction still says what it lacks, and what makes none and changes something is refused as such.
    for (arguments, words) in [
        (&["wallet", "send", &to, "1", "--yes"][..], "the chain is not known"),
        (&["wallet", "send", &to, "1", "--yes", "--on-chain", &chain], "the number of the next transaction is not known"),
        (&["chain", "status"], "only a node can answer this"),
        (&["wallet", "new"], "--offline is for commands that submit a transaction"),
        (&["node", "status"], "--offline is for commands that submit a transaction"),
    ] {
        let (code, _, err) = offline(arguments);
        assert!(code == 2 && err.contains(words), "{arguments:?}: {code} {err}");
    }
}
