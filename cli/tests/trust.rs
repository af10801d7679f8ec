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
    record::{Role, RoleGrant, Suspension},
};
use contracts::call::{Attest, Body, Call, GrantRole, Reading, ReadingFlags, RegisterAccount, RevokeRole, Transaction};
use ed25519_dalek::SigningKey;

use crate::fake::{Fake, Home, NOW, account, chain_id, condominium, status};

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

/// A node on which `admin role rotate` finds these grants of the gateway's role; every call is applied.
fn gateway(account: Address, grant: RoleGrant, suspension: Option<Suspension>) -> RoleView {
    RoleView { condominium: HOME, role: Role::Gateway, account, grant, suspension }
}

fn node_with(home: &Home, grants: &[(Address, RoleGrant)]) -> Fake {
    node_of(home, grants.iter().map(|(account, grant)| gateway(*account, *grant, None)).collect())
}

fn node_of(home: &Home, items: Vec<RoleView>) -> Fake {
    let fake = Fake::default();
    fake.json("/status", &status()).json(&format!("/accounts/{}", home.address()), &account(home.address(), 3));
    fake.json("/roles", &Page { items, next: None });
    let receipt = Receipt { cause: Cause::Transaction(TxId(Hash32::ZERO)), outcome: Outcome::Applied, events: Vec::new() };
    let committed = Some(CommittedTransaction { height: Height(8), index: 0, timestamp: NOW, receipt });
    fake.json("/transactions", &Submitted { id: TxId(Hash32::ZERO), committed });
    fake
}

fn rotation(role: &str, from: Address, to: Address, more: &[&str]) -> Vec<String> {
    let (from, to) = (from.to_string(), to.to_string());
    let fixed = ["admin", "role", "rotate", role, "--from", &from, "--to", &to, "--condominium", "1", "--yes"];
    fixed.iter().chain(more).map(|&word| word.to_owned()).collect()
}

fn submitted(fake: &Fake) -> Vec<Call> {
    let posts = fake.asked().into_iter().filter(|asked| asked.method == "POST");
    posts.map(|post| Transaction::decode(&post.body).unwrap().body().call.clone()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_registers_grants_and_only_then_revokes() {
    let home = Home::new();
    let (old, new) = (Address([8; 32]), address_of(&SigningKey::from_bytes(&[41; 32])));
    let fake = node_with(&home, &[(old, RoleGrant { from: Height(0), until: None })]);
    fake.problem(&format!("/accounts/{new}"), 404, "unknown_account");
    let url = fake.listen().await;
    let rotate = |role| home.watt(&url, &rotation(role, old, new, &[]).iter().map(String::as_str).collect::<Vec<_>>());
    let refused = rotate("scheduler");
    assert!(refused.status.code() == Some(1) && said(&refused).contains("is no scheduler"), "{}", said(&refused));
    let done = rotate("gateway");
    assert_eq!(done.status.code(), Some(0), "{}", said(&done));
    let (role, from) = (Role::Gateway, Height(9));
    let expected = [
        Call::RegisterAccount(RegisterAccount { account: new, condominium: HOME, invite: None }),
        Call::GrantRole(GrantRole { condominium: HOME, role, account: new, from, until: None }),
        Call::RevokeRole(RevokeRole { condominium: HOME, role, account: old, until: from }),
    ];
    assert_eq!(submitted(&fake), expected);
}

/// `wattd key next` prints a rotation without a condominium, and a federation of several refused it.
#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_finds_the_only_condominium_where_the_old_key_has_the_role() {
    let home = Home::new();
    let (old, new) = (Address([8; 32]), address_of(&SigningKey::from_bytes(&[41; 32])));
    let (for_good, there) = (RoleGrant { from: Height(0), until: None }, CondominiumId(2));
    let here = gateway(old, for_good, None);
    for (held, expected) in [(vec![here], 0), (vec![here, RoleView { condominium: there, ..here }], 2)] {
        let fake = node_of(&home, held);
        fake.json("/condominiums", &Page { items: vec![condominium(HOME, "HERE"), condominium(there, "THERE")], next: None });
        fake.json(&format!("/accounts/{new}"), &account(new, 0));
        let (from, to) = (old.to_string(), new.to_string());
        let done = home.watt(&fake.listen().await, &["admin", "role", "rotate", "gateway", "--from", &from, "--to", &to, "--yes"]);
        assert_eq!(done.status.code(), Some(expected), "{}", said(&done));
        assert!(expected == 0 || said(&done).contains("1 (HERE), 2 (THERE)"), "{}", said(&done));
        let granted = GrantRole { condominium: HOME, role: Role::Gateway, account: new, from: Height(9), until: None };
        assert_eq!(submitted(&fake).first(), (expected == 0).then_some(&Call::GrantRole(granted)));
    }
}

/// A rotation at a height to come, broken off after its grant, was refused as granted already when it was called again; and one to a key whose grant had an
/// end took the role from the only key that would have held it after that.
#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_that_was_broken_off_is_called_again_and_never_leaves_nobody() {
    let home = Home::new();
    let (old, new) = (Address([8; 32]), address_of(&SigningKey::from_bytes(&[41; 32])));
    let grant = |from, until: Option<u64>| RoleGrant { from: Height(from), until: until.map(Height) };
    let granted =
        |from| Call::GrantRole(GrantRole { condominium: HOME, role: Role::Gateway, account: new, from: Height(from), until: None });
    let revoked = |until| Call::RevokeRole(RevokeRole { condominium: HOME, role: Role::Gateway, account: old, until: Height(until) });
    /// What the old key has, what the new one; `--at`; what is submitted, or what the refusal says.
    type Case<'a> = (RoleGrant, Option<RoleGrant>, &'a [&'a str], Result<Vec<Call>, &'a str>);
    // The newest height is 7.
    let prolong = format!("watt admin role grant gateway {new} --condominium 1 --from 50");
    let cases: [Case<'_>; 10] = [
        (grant(0, None), None, &["--at", "60"], Ok(vec![granted(60), revoked(60)])),
        (grant(0, None), Some(grant(60, None)), &["--at", "60"], Ok(vec![revoked(60)])),
        (grant(0, None), Some(grant(60, None)), &[], Ok(vec![revoked(60)])),
        (grant(0, None), Some(grant(60, None)), &["--at", "70"], Ok(vec![revoked(70)])),
        (grant(0, None), Some(grant(3, None)), &["--at", "5"], Ok(vec![revoked(9)])),
        (grant(0, Some(60)), Some(grant(60, None)), &["--at", "60"], Ok(vec![])),
        (grant(0, None), Some(grant(2, Some(8))), &[], Ok(vec![granted(9), revoked(9)])),
        (grant(0, None), Some(grant(2, Some(50))), &[], Err(&prolong)),
        (grant(0, Some(40)), None, &["--at", "60"], Err("give --at 40 or less")),
        (grant(0, Some(40)), Some(grant(60, None)), &["--at", "60"], Err("revoke what")),
    ];
    for (number, (of_old, of_new, more, expected)) in cases.into_iter().enumerate() {
        let held: Vec<_> = [(old, of_old)].into_iter().chain(of_new.map(|grant| (new, grant))).collect();
        let fake = node_with(&home, &held);
        fake.json(&format!("/accounts/{new}"), &account(new, 0));
        let url = fake.listen().await;
        let output = home.watt(&url, &rotation("gateway", old, new, more).iter().map(String::as_str).collect::<Vec<_>>());
        match expected {
            Ok(calls) => {
                assert_eq!(output.status.code(), Some(0), "{number}: {}", said(&output));
                assert_eq!(submitted(&fake), calls, "{number}");
            }
            Err(what_to_do) => {
                assert!(output.status.code() == Some(1) && said(&output).contains(what_to_do), "{number}: {}", said(&output));
                assert_eq!(submitted(&fake), [], "{number}");
            }
        }
    }
}

/// A key that was suspended and exchanged stays suspended: a rotation back to it left nobody who could attest, and reported success.
#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_to_a_suspended_key_is_refused_with_what_to_do() {
    let home = Home::new();
    let (old, new) = (Address([8; 32]), address_of(&SigningKey::from_bytes(&[41; 32])));
    let standing = RoleGrant { from: Height(0), until: None };
    let ended = RoleGrant { from: Height(0), until: Some(Height(5)) };
    let suspension =
        Suspension { since: Height(4), session: SessionId(Hash32::ZERO), sequence: 1, evidence: TxId(Hash32::ZERO), lifted_at: None };
    let fake = node_of(&home, vec![gateway(old, standing, None), gateway(new, ended, Some(suspension))]);
    let url = fake.listen().await;
    let output = home.watt(&url, &rotation("gateway", old, new, &[]).iter().map(String::as_str).collect::<Vec<_>>());
    assert!(output.status.code() == Some(1) && said(&output).contains("watt admin role lift"), "{}", said(&output));
    assert_eq!(submitted(&fake), []);
}
