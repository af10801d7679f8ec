//! Where two records differ, in words: the first field that is not the same, with what it should be and what it is.
//!
//! Records are compared in the form that people know from the API. Called only where an audit has failed.

use std::{collections::BTreeSet, fmt};

use chain::{
    certificate::ValidatorSet,
    codec,
    id::SessionId,
    params::Params,
    quantity::Amount,
    record::{Account, Condominium, Connector, Group, Redemption, RoleGrant, Session, Signer, TariffHead, TariffVersion},
    time::Timestamp,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

/// What is shown of a value at most, in characters.
const SHOWN_MAX: usize = 160;

/// The longest record of the state that is taken apart, in bytes.
const MAX_RECORD_BYTES: usize = 1 << 20;

/// A field that is not what it should be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Difference {
    /// The way to the field, from the outside; empty where the whole is one value.
    pub field: String,
    /// What it should be.
    pub expected: String,
    /// What it is.
    pub found: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { field, expected, found } = self;
        if !field.is_empty() {
            write!(f, "{field}: ")?;
        }
        write!(f, "expected {expected}, found {found}")
    }
}

/// The first difference of two records; of records that are the same, or have no form for people, that they are.
pub fn between<T: Serialize>(expected: &T, found: &T) -> Difference {
    let value = |record: &T| serde_json::to_value(record).unwrap_or(Value::Null);
    walk(String::new(), &value(expected), &value(found)).unwrap_or_else(|| Difference {
        field: String::new(),
        expected: "what execution gives".to_owned(),
        found: "other bytes of the same meaning".to_owned(),
    })
}

/// The first difference of two encoded records under a key of the state.
pub fn in_state(key: &[u8], expected: &[u8], found: &[u8]) -> Difference {
    // The numbers are those of the state's tables.
    match key.first() {
        Some(1) => records::<Account>(expected, found),
        Some(2) => records::<Signer>(expected, found),
        Some(3) => records::<Condominium>(expected, found),
        Some(4) => records::<RoleGrant>(expected, found),
        Some(5) => records::<Group>(expected, found),
        Some(6) => records::<Connector>(expected, found),
        Some(7) => records::<TariffHead>(expected, found),
        Some(8) => records::<TariffVersion>(expected, found),
        Some(9) => records::<Session>(expected, found),
        Some(10) => records::<SessionId>(expected, found),
        Some(12) => records::<Redemption>(expected, found),
        Some(13 | 17) => records::<Amount>(expected, found),
        Some(14) => records::<Timestamp>(expected, found),
        Some(15) => records::<Params>(expected, found),
        Some(16) => records::<ValidatorSet>(expected, found),
        Some(_) | None => bytes(expected, found),
    }
}

fn records<T: DeserializeOwned + Serialize>(expected: &[u8], found: &[u8]) -> Difference {
    let decoded = |bytes: &[u8]| codec::decode::<T>(bytes, MAX_RECORD_BYTES);
    match (decoded(expected), decoded(found)) {
        (Ok(expected), Ok(found)) => between(&expected, &found),
        (Err(_), _) | (_, Err(_)) => bytes(expected, found),
    }
}

fn bytes(expected: &[u8], found: &[u8]) -> Difference {
    let show = |bytes: &[u8]| if bytes.is_empty() { "no bytes".to_owned() } else { format!("the bytes {}", cut(hex::encode(bytes))) };
    Difference { field: String::new(), expected: show(expected), found: show(found) }
}

fn walk(field: String, expected: &Value, found: &Value) -> Option<Difference> {
    if expected == found {
        return None;
    }
    let inside = |name: &str| if field.is_empty() { name.to_owned() } else { format!("{field}, {name}") };
    match (expected, found) {
        (Value::Object(one), Value::Object(other)) if !is_other_variant(one, other) => {
            let names: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
            let value = |of: &serde_json::Map<String, Value>, name: &str| of.get(name).cloned().unwrap_or(Value::Null);
            names.into_iter().find_map(|name| walk(inside(&words(name)), &value(one, name), &value(other, name)))
        }
        (Value::Array(one), Value::Array(other)) => {
            let pairs = one.iter().zip(other).zip(1..);
            let first = pairs.into_iter().find_map(|((one, other), number)| walk(inside(&format!("entry {number}")), one, other));
            first.or_else(|| Some(Difference { field, expected: entries(one.len()), found: entries(other.len()) }))
        }
        _ => Some(Difference { field, expected: show(expected), found: show(found) }),
    }
}

/// Two objects with one member each of different names: two kinds of one thing, of which only the names say something.
fn is_other_variant(one: &serde_json::Map<String, Value>, other: &serde_json::Map<String, Value>) -> bool {
    one.len() == 1 && other.len() == 1 && one.keys().ne(other.keys())
}

fn show(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::Number(number) => number.to_string(),
        Value::String(text) if text.is_empty() => "an empty text".to_owned(),
        Value::String(text) => cut(text.clone()),
        Value::Array(values) => entries(values.len()),
        Value::Object(members) => cut(members.keys().map(|name| words(name)).collect::<Vec<_>>().join(" and ")),
    }
}

fn entries(count: usize) -> String {
    match count {
        1 => "1 entry".to_owned(),
        count => format!("{count} entries"),
    }
}

fn words(name: &str) -> String {
    name.replace('_', " ")
}

fn cut(text: String) -> String {
    if text.chars().count() <= SHOWN_MAX { text } else { text.chars().take(SHOWN_MAX).chain(['…']).collect() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_first_difference_is_told_with_the_way_to_it() {
        let cases = [
            (json!({"a": 1, "b_c": [{"d": "5"}]}), json!({"a": 1, "b_c": [{"d": "6"}]}), "b c, entry 1, d: expected 5, found 6"),
            (json!({"a": null}), json!({"a": {"paid_out": 1, "x": 2}}), "a: expected nothing, found paid out and x"),
            (json!([{"opened": {"a": 1}}]), json!([{"settled": {"a": 1}}]), "entry 1: expected opened, found settled"),
            (json!(["a"]), json!(["a", "b"]), "expected 1 entry, found 2 entries"),
            (json!(true), json!(false), "expected yes, found no"),
            (json!(1), json!(1), "expected what execution gives, found other bytes of the same meaning"),
        ];
        for (expected, found, text) in cases {
            assert_eq!(between(&expected, &found).to_string(), text);
        }
        let amount = |micro| codec::encode(&Amount::from_micro(micro)).expect("encodes");
        assert_eq!(in_state(&[13], &amount(5), &amount(6)).to_string(), "expected 5, found 6");
        assert_eq!(in_state(&[11], &[], &[6]).to_string(), "expected no bytes, found the bytes 06");
    }
}
