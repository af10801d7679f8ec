//! Vectors from their files: the JSON taken apart, and good and bad encodings held against our code.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::fmt::Debug;

use chain::{
    codec::{self, CodecError},
    hash::Hash32,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

/// How much is read of a vector that names no limit, in bytes.
pub const LIMIT: usize = 1 << 20;

pub fn file(name: &str) -> Value {
    let path = format!("vectors/{name}");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"))
}

pub fn list<'v>(value: &'v Value, name: &str) -> &'v [Value] {
    let list = value[name].as_array().unwrap_or_else(|| panic!("no list {name}"));
    assert!(!list.is_empty() || value.get("name").is_some(), "{name} is empty");
    list
}

pub fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value[name].as_str().unwrap_or_else(|| panic!("no text {name} in {value}"))
}

pub fn bytes(value: &Value, name: &str) -> Vec<u8> {
    hex::decode(text(value, name)).expect("hexadecimal digits")
}

pub fn hash(value: &Value, name: &str) -> Hash32 {
    Hash32(bytes(value, name).try_into().expect("32 bytes"))
}

pub fn number(value: &Value, name: &str) -> u64 {
    value[name].as_u64().unwrap_or_else(|| panic!("no number {name} in {value}"))
}

pub fn hashes(value: &Value, name: &str) -> Vec<Hash32> {
    list(value, name).iter().map(|digest| Hash32::from_hex(digest.as_str().expect("text")).expect("a digest")).collect()
}

/// How much the reader of this vector allows.
fn limit(vector: &Value) -> usize {
    vector["limit"].as_u64().map_or(LIMIT, |limit| usize::try_from(limit).expect("small"))
}

/// What the value's bytes and JSON say must be one value, and that value must give the same bytes and JSON.
pub fn good<T: Serialize + DeserializeOwned + PartialEq + Debug>(vector: &Value) -> T {
    let name = text(vector, "name");
    let encoded = bytes(vector, "bytes");
    let value: T = codec::decode(&encoded, limit(vector)).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!(codec::encode(&value).as_ref(), Ok(&encoded), "{name}");
    assert_eq!(serde_json::to_value(&value).expect("has JSON"), vector["json"], "{name}");
    let from_json: T = serde_json::from_value(vector["json"].clone()).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!(from_json, value, "{name}");
    value
}

/// What must be refused for the reason that the vector names.
pub fn bad<T: Serialize + DeserializeOwned + PartialEq + Debug>(vector: &Value) {
    let kind = match codec::decode::<T>(&bytes(vector, "bytes"), limit(vector)) {
        Ok(value) => panic!("{}: {value:?}", text(vector, "name")),
        Err(CodecError::TooLong { .. }) => "too_long",
        Err(CodecError::Malformed(_)) => "malformed",
        Err(CodecError::Trailing(_)) => "trailing",
        Err(CodecError::NotCanonical) => "not_canonical",
        Err(CodecError::Unencodable(_)) => "unencodable",
    };
    assert_eq!(kind, text(vector, "error"), "{}", text(vector, "name"));
}
