//! The golden vectors of proofs: chains with changing validators that an independent program made and signed. Good ones hold, and each of the others is refused
//! for the reason that it names.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

mod reading;

use std::collections::BTreeSet;

use chain::{
    certificate::ValidatorSet,
    id::ChainId,
    verify::{AccountProof, Beginning, Checkpoint, SessionProof, Trust, VerifyError},
};
use reading::{file, hash, list, text};
use serde_json::Value;

fn trust(vector: &Value) -> Trust {
    let trust = &vector["trust"];
    match trust["checkpoint"].as_str() {
        Some(checkpoint) => Trust::Checkpoint(checkpoint.parse::<Checkpoint>().unwrap()),
        None => Trust::Genesis(ChainId(hash(trust, "genesis"))),
    }
}

fn beginning(vector: &Value) -> Beginning {
    let validators: ValidatorSet = serde_json::from_value(vector["validators"].clone()).unwrap();
    Beginning { chain_id: ChainId(hash(vector, "chain_id")), validators }
}

/// A proof with other values at some places.
fn changed(base: &Value, changes: &[Value]) -> Value {
    let mut proof = base.clone();
    for change in changes {
        let place = change[0].as_str().unwrap();
        *proof.pointer_mut(place).unwrap_or_else(|| panic!("nothing at {place}")) = change[1].clone();
    }
    proof
}

/// The names of an error and of the one in it: `State`, `State:RootMismatch`.
fn names(error: &VerifyError) -> [String; 2] {
    let shown = format!("{error:?}");
    let name = |text: &str| text.chars().take_while(char::is_ascii_alphanumeric).collect::<String>();
    let outer = name(&shown);
    let inner = shown.split_once("error: ").map_or_else(String::new, |(_, inner)| name(inner));
    [outer.clone(), format!("{outer}:{inner}")]
}

#[test]
fn proofs_of_an_independent_program_hold_and_spoilt_ones_are_refused_for_the_reason_that_is_named() {
    let file = file("verify.json");
    let mut reasons = BTreeSet::new();
    for vector in list(&file, "cases") {
        let (name, beginning, trust) = (text(vector, "name"), beginning(vector), trust(vector));
        let base = &file["bases"][text(vector, "base")];
        let proof = changed(&base["proof"], list(vector, "changes"));
        let outcome = match text(base, "kind") {
            "session" => {
                let whole = proof.clone();
                let proof: SessionProof = serde_json::from_value(proof).unwrap_or_else(|error| panic!("{name}: {error}"));
                assert_eq!(serde_json::to_value(&proof).unwrap(), whole, "{name}");
                proof.verify(&beginning, trust).map(|_| ())
            }
            "account" => {
                let whole = proof.clone();
                let proof: AccountProof = serde_json::from_value(proof).unwrap_or_else(|error| panic!("{name}: {error}"));
                assert_eq!(serde_json::to_value(&proof).unwrap(), whole, "{name}");
                proof.verify(&beginning, trust).map(|_| ())
            }
            other => panic!("{name}: {other}"),
        };
        match (vector["error"].as_str(), outcome) {
            (None, outcome) => assert_eq!(outcome, Ok(()), "{name}"),
            (Some(expected), Ok(())) => panic!("{name}: accepted, {expected} expected"),
            (Some(expected), Err(error)) => {
                let names = names(&error);
                assert!(names.iter().any(|name| name == expected), "{name}: {expected} expected, found {names:?}: {error}");
                reasons.insert(names[0].clone());
            }
        }
    }
    assert!(reasons.len() > 20, "{reasons:?}");
}
