//! The whole document, from the descriptions of all routes.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use serde_json::{Map, Value, json};

use super::operation::{Access, Operation, Schemas, about};

/// What any route may answer besides its own.
const COMMON: [(StatusCode, &str); 9] = [
    (StatusCode::BAD_REQUEST, "The request cannot be understood: `field` says which part of it."),
    (StatusCode::NOT_FOUND, "There is no such thing."),
    (StatusCode::NOT_ACCEPTABLE, "`Accept` names nothing that this route can answer."),
    (StatusCode::URI_TOO_LONG, "Path and query are too long."),
    (StatusCode::UNPROCESSABLE_ENTITY, "Understood, and refused by the ledger's rules: `code` names the rule."),
    (StatusCode::TOO_MANY_REQUESTS, "Too many requests: come again after `Retry-After` seconds."),
    (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "The header fields are too large."),
    (StatusCode::INTERNAL_SERVER_ERROR, "The node failed: its log says why."),
    (StatusCode::SERVICE_UNAVAILABLE, "The node cannot take this now: come again after `Retry-After` seconds."),
];

const INTRODUCTION: &str = "The node of a condominium: it reads committed state, takes signed transactions and streams committed events; it signs nothing.\n\n\
     64-bit numbers are decimal strings, hashes and ids 64 hexadecimal digits in lower case, addresses `watt1…`, connectors, groups and tariffs \
     `CONDOMINIUM-NUMBER`. Amounts are micro-tokens, energy Wh, currents mA, times ms since 1970 in UTC. A list is a page: the next is asked for with \
     `cursor` = `next`, and `null` ends the list. Every refusal is a problem document (RFC 9457) with a stable `code`.";

const SIGNING_IN: &str =
    "A token from `POST /tokens`: `watt token` prints one. It is good for a quarter of an hour, at the node that gave it.";

/// The document; `signs_in` where reading needs a token.
pub fn document(operations: &[Operation], signs_in: bool) -> Value {
    let mut paths: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    let mut schemas = Schemas::new();
    let mut topics = Vec::new();
    for operation in operations {
        let mut value = operation.value(&COMMON);
        if signs_in && matches!(operation.access(), Access::Reader(_)) {
            value["security"] = json!([{ "token": [] }]);
        }
        paths.entry(operation.path()).or_default().insert(operation.method().as_str().to_ascii_lowercase(), value);
        schemas.extend(operation.schemas().clone());
        if !topics.contains(&operation.topic()) {
            topics.push(operation.topic());
        }
    }
    schemas.extend(about("", "").mentions::<chain::api::Problem>().schemas().clone());
    for schema in schemas.values_mut() {
        plain(schema);
    }
    let tags: Vec<Value> = topics.into_iter().map(|name| json!({ "name": name })).collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Commonwatt",
            "version": env!("CARGO_PKG_VERSION"),
            "description": INTRODUCTION,
            "license": { "name": "MIT OR Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "tags": tags,
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer", "description": SIGNING_IN } },
        },
    })
}

/// Takes the marks of our own source's documentation out of descriptions: here its links lead nowhere.
fn plain(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                match member {
                    Value::String(text) if name == "description" => *text = text.replace("[`", "`").replace("`]", "`"),
                    Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {}
                    Value::Array(_) | Value::Object(_) => plain(member),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(plain),
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
