//! Keys that are exchanged and keys that contradict themselves, as a manager and an auditor type it.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

mod fake;

use std::{path::Path, process::Output};

use chain::{
    api::{CommittedTransaction, Page, RoleView, Submitted},
    crypto::address_of,
    hash::Hash32,
    id::{Address, CondominiumId, Height, SessionId, TxId},
    quantity::{WattHours, Watts},
    receipt::{Cause, Outcome, Receipt},
    record::{Role, RoleGrant},
};
use contracts::call::{Attest, Body, Call, GrantRole, Reading, ReadingFlags, RegisterAccount, RevokeRole, Transaction};
use ed25519_dalek::SigningKey;

use crate::fake::{Fake, Home, NOW, account, chain_id, status};

const HOME: CondominiumId = CondominiumId(1);

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn attestation(folder: &Path, name: &str, register_wh: u64) -> String {
    let key = SigningKey::from_bytes(&[40; 32]);
    let reading = Reading {
        session: SessionId(Hash32([5; 32])),
        sequence: 4,
        at: NOW,
        register_wh: WattHours::new(register_wh),
        power_w: Watts::ZERO,
        flags: ReadingFlags::NONE,
        samples_root: Hash32::ZERO,
        sample_count: 0,
    };
    let account = address_of(&key);
    let call = Call::Attest(Attest { readings: vec![reading] });
    let body = Body { chain_id: chain_id(), account, signer: account, nonce: register_wh, valid_until: NOW, call };
    let path = folder.join(name);
    std::fs::write(&path, format!("{}\n", hex::encode(Transaction::sign(body, &key).unwrap().bytes()))).unwrap();
    path.display().to_string()
}

#[test]
fn two_attestations_are_held_against_each_other_without_a_node() {
    let home = Home::new();
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (attestation(folder.path(), "one", 1_000), attestation(folder.path(), "other", 1_001));
    let nobody = "http://127.0.0.1:1";
    let found = home.watt(nobody, &["audit", "evidence", "check", &one, &other]);
    assert_eq!(found.status.code(), Some(0), "{}", said(&found));
    let text = String::from_utf8_lossy(&found.stdout).into_owned();
    assert!(text.contains(&address_of(&SigningKey::from_bytes(&[40; 32])).to_string()), "{text}");
    assert_eq!(home.watt(nobody, &["audit", "evidence", "check", &one, &one]).status.code(), Some(3));
    let spoilt = folder.path().join("spoilt");
    let text = std::fs::read_to_string(&one).unwrap().replacen('1', "2", 1);
    std::fs::write(&spoilt, text).unwrap();
    let refused = home.watt(nobody, &["audit", "evidence", "check", &one, &spoilt.display().to_string()]);
    assert_eq!(refused.status.code(), Some(1), "{}", said(&refused));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_registers_grants_and_only_then_revokes() {
    let home = Home::new();
    let (old, new) = (Address([8; 32]), address_of(&SigningKey::from_bytes(&[41; 32])));
    let fake = Fake::default();
    fake.json("/status", &status()).json(&format!("/accounts/{}", home.address()), &account(home.address(), 3));
    fake.problem(&format!("/accounts/{new}"), 404, "unknown_account");
    let grant = RoleGrant { from: Height(0), until: None };
    let held = RoleView { condominium: HOME, role: Role::Gateway, account: old, grant, suspension: None };
    fake.json("/roles", &Page { items: vec![held], next: None });
    let receipt = Receipt { cause: Cause::Transaction(TxId(Hash32::ZERO)), outcome: Outcome::Applied, events: Vec::new() };
    let committed = Some(CommittedTransaction { height: Height(8), index: 0, timestamp: NOW, receipt });
    fake.json("/transactions", &Submitted { id: TxId(Hash32::ZERO), committed });
    let url = fake.listen().await;
    let (from, to) = (old.to_string(), new.to_string());
    let rotate = |role| ["admin", "role", "rotate", role, "--from", &from, "--to", &to, "--condominium", "1", "--yes"].map(str::to_owned);
    let nobodys = rotate("scheduler");
    let refused = home.watt(&url, &nobodys.each_ref().map(String::as_str));
    assert!(refused.status.code() == Some(1) && said(&refused).contains("is no scheduler"), "{}", said(&refused));
    let gateways = rotate("gateway");
    let done = home.watt(&url, &gateways.each_ref().map(String::as_str));
    assert_eq!(done.status.code(), Some(0), "{}", said(&done));
    let posts = fake.asked().into_iter().filter(|asked| asked.method == "POST");
    let calls: Vec<Call> = posts.map(|post| Transaction::decode(&post.body).unwrap().body().call.clone()).collect();
    let (role, from) = (Role::Gateway, Height(9));
    let expected = [
        Call::RegisterAccount(RegisterAccount { account: new, condominium: HOME, invite: None }),
        Call::GrantRole(GrantRole { condominium: HOME, role, account: new, from, until: None }),
        Call::RevokeRole(RevokeRole { condominium: HOME, role, account: old, until: from }),
    ];
    assert_eq!(calls, expected);
}
