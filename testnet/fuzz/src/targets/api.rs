//! The HTTP API of a node of one validator with a little chain, in this process.
//!
//! Inputs are written like requests: a line with method and path, header lines, an empty line, the body.

use std::cell::OnceCell;

use ::chain::{api::Problem, crypto::address_of, id::SessionId};
use axum::{
    body::{Body, to_bytes},
    http::{Request, StatusCode, header},
};
use tower::ServiceExt as _;

use super::{Read, Verdict, never};
use crate::http::{Api, driver, neighbour};

/// The node; one for each thread, because it lives on that thread's runtime.
struct Node {
    runtime: tokio::runtime::Runtime,
    api: Api,
    /// A session that is over.
    settled: SessionId,
}

thread_local! {
    static NODE: OnceCell<Node> = const { OnceCell::new() };
}

fn found() -> Node {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime starts");
    let (api, settled) = runtime.block_on(async {
        let api = Api::start();
        drop(api.decides());
        let (_, settled) = api.live().await;
        (api, settled)
    });
    Node { runtime, api, settled }
}

/// Requests that are read, for the corpus: with the ids of this chain.
pub(crate) fn examples() -> Vec<(String, Vec<u8>)> {
    let id = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    let address = address_of(&driver());
    let paths = [
        "/status",
        "/health",
        "/genesis",
        "/params",
        "/validators",
        "/blocks?limit=3",
        "/blocks/1",
        "/blocks/1/receipts",
        "/blocks/1/bytes",
        "/sessions?limit=2&state=open",
        "/sessions/ID",
        "/sessions/ID/receipt",
        "/sessions/ID/proof?from=1",
        "/sessions/ID/readings",
        "/sessions/ID/readings/1/samples",
        "/accounts/ADDRESS",
        "/accounts/ADDRESS/transactions?limit=1&cursor=3-0",
        "/accounts/ADDRESS/proof",
        "/accounts/ADDRESS/mandates",
        "/accounts/ADDRESS/starts",
        "/cards?condominium=1",
        "/redemptions",
        "/roles?condominium=1",
        "/queue",
        "/quote?connector=1-1&energy_wh=10000&max_duration_ms=3600000",
        "/tariffs",
        "/tariffs/1-1",
        "/connectors",
        "/connectors/1-1",
        "/groups",
        "/condominiums",
        "/totals",
        "/positions",
        "/payments",
        "/clearings",
        "/clearings/1",
        "/state?key=0f",
        "/transactions/ID",
        "/receipts/ID",
        "/nothing",
    ];
    let mut found: Vec<(String, Vec<u8>)> = paths
        .iter()
        .enumerate()
        .map(|(number, path)| {
            let path = path.replace("ADDRESS", &address.to_string()).replace("ID", id);
            (format!("get-{number:02}"), format!("GET /api/v1{path}\naccept: application/json\n\n").into_bytes())
        })
        .collect();
    let mut posted = b"POST /api/v1/transactions?wait=committed&timeout_ms=20\ncontent-type: application/octet-stream\n\n".to_vec();
    posted.extend([7; 200]);
    found.push(("post".to_owned(), posted));
    let json = "content-type: application/json\naccept: application/json\n\n";
    found.push(("challenge".to_owned(), format!("POST /api/v1/challenges\n{json}{{}}").into_bytes()));
    let zeros = "00".repeat(32);
    let token = format!(
        "{{\"account\": \"{address}\", \"challenge\": {{\"chain_id\": \"{zeros}\", \"node\": \"{zeros}\", \"nonce\": \"{zeros}\", \"expires_at\": \"1767614460000\", \"seal\": \"{zeros}\"}}, \
         \"signature\": \"{zeros}{zeros}\"}}"
    );
    found.push(("token".to_owned(), format!("POST /api/v1/tokens\n{json}{token}").into_bytes()));
    found.push(("metrics".to_owned(), b"GET /metrics\n\n".to_vec()));
    found.push(("events".to_owned(), b"GET /api/v1/events?account=x\nlast-event-id: 3-0-1\n\n".to_vec()));
    let to_neighbour = address_of(&neighbour());
    found.push(("head".to_owned(), format!("HEAD /api/v1/accounts/{to_neighbour}\nauthorization: Bearer x\n\n").into_bytes()));
    found
}

/// What the node answers, for the corpus of the client's reading: the name of what it is, then the document.
pub(crate) fn answers() -> Result<Vec<(String, Vec<u8>)>, String> {
    let address = address_of(&driver());
    NODE.with(|node| {
        let Node { runtime, api, settled } = node.get_or_init(found);
        let get = |path: &str| runtime.block_on(async { api.ask(crate::http::get(path)).await.2.to_vec() });
        let sessions: serde_json::Value = serde_json::from_slice(&get("/sessions?limit=1")).map_err(never("no list"))?;
        let session =
            sessions["items"][0]["id"].as_str().or_else(|| sessions["items"][0]["open"]["id"].as_str()).unwrap_or_default().to_owned();
        let asked = [
            ("status", "/status".to_owned()),
            ("problem", "/blocks/99".to_owned()),
            ("account", format!("/accounts/{address}")),
            ("sessions", "/sessions?limit=2&state=all".to_owned()),
            ("session", format!("/sessions/{session}")),
            ("proven", format!("/receipts/{session}")),
            ("transaction", format!("/transactions/{session}")),
            ("queue", "/queue".to_owned()),
            ("quote", "/quote?connector=1-1&energy_wh=10000&max_duration_ms=3600000".to_owned()),
            ("tariff", "/tariffs/1-1".to_owned()),
            ("connector", "/connectors/1-1".to_owned()),
            ("groups", "/groups".to_owned()),
            ("condominiums", "/condominiums".to_owned()),
            ("block", "/blocks/2".to_owned()),
            ("receipts", "/blocks/2/receipts".to_owned()),
            ("state", "/state?key=0f".to_owned()),
            ("mandates", format!("/accounts/{address}/mandates")),
            ("readings", format!("/sessions/{settled}/readings")),
            ("statement", "/clearings/next".to_owned()),
            ("roles", "/roles?condominium=1".to_owned()),
            ("cards", "/cards".to_owned()),
            ("redemptions", "/redemptions".to_owned()),
            ("health", "/health".to_owned()),
            ("params", "/params".to_owned()),
            ("validators", "/validators".to_owned()),
        ];
        Ok(asked.into_iter().map(|(name, path)| (name.to_owned(), [name.as_bytes(), b"\n", &get(&path)].concat())).collect())
    })
}

/// A piece of the node's stream of events, for the corpus.
pub(crate) fn event() -> Result<Vec<u8>, String> {
    NODE.with(|node| {
        let Node { runtime, api, .. } = node.get_or_init(found);
        runtime.block_on(async {
            let mut events = crate::http::Events::open(api, "", Some("0-0-0")).await;
            let (id, name, event) = events.next().await;
            let data = serde_json::to_string(&event).map_err(never("no JSON"))?;
            Ok(format!("id: {id}\nevent: {name}\ndata: {data}\n\n").into_bytes())
        })
    })
}

/// Every request has an answer: what was asked for, or a problem document with its code; never a failure of the node's own.
pub(super) fn request(input: &[u8]) -> Verdict {
    let Some(request) = parse(input) else { return Ok(Read::Refused("no request")) };
    NODE.with(|node| {
        let Node { runtime, api, .. } = node.get_or_init(found);
        runtime.block_on(async {
            let response = api.router.clone().oneshot(request).await.map_err(never("no answer"))?;
            let status = response.status();
            let kind = response.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default().to_owned();
            if kind == "text/event-stream" {
                return Ok(Read::Accepted);
            }
            let body = to_bytes(response.into_body(), 16 << 20).await.map_err(never("no body"))?;
            if status.is_success() {
                return Ok(Read::Accepted);
            }
            if status == StatusCode::INTERNAL_SERVER_ERROR {
                return Err(format!("{status}: {}", String::from_utf8_lossy(&body)));
            }
            if kind != "application/problem+json" || body.is_empty() {
                return if body.is_empty() && kind == "application/problem+json" {
                    // An answer to HEAD.
                    Ok(Read::Refused("problem"))
                } else {
                    Err(format!("{status} is no problem document but {kind:?}: {}", String::from_utf8_lossy(&body)))
                };
            }
            let problem: Problem = serde_json::from_slice(&body).map_err(never("no problem document"))?;
            let good = problem.status == status.as_u16()
                && problem.kind == format!("urn:commonwatt:problem:{}", problem.code)
                && !problem.code.is_empty()
                && !problem.title.is_empty()
                && !problem.detail.is_empty();
            if !good {
                return Err(format!("{status}: {problem:?}"));
            }
            Ok(Read::Refused(match status.as_u16() {
                400 => "400",
                401 | 403 => "401 or 403",
                404 => "404",
                405 => "405",
                413..=415 => "413 to 415",
                429 => "429",
                503 => "503",
                _ => "another problem",
            }))
        })
    })
}

fn parse(input: &[u8]) -> Option<Request<Body>> {
    let mut rest = input;
    let mut line = || {
        let end = rest.iter().position(|byte| *byte == b'\n')?;
        let (line, after) = rest.split_at(end);
        rest = &after[1..];
        Some(line)
    };
    let first = line()?;
    let space = first.iter().position(|byte| *byte == b' ')?;
    let mut request = Request::builder().method(&first[..space]).uri(&first[space + 1..]);
    while let Some(field) = line() {
        if field.is_empty() {
            break;
        }
        let colon = field.iter().position(|byte| *byte == b':')?;
        request = request.header(&field[..colon], field[colon + 1..].trim_ascii());
    }
    let body = rest.to_vec();
    request.body(Body::from(body)).ok()
}
