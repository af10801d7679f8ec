//! The OpenAPI document against the API that it speaks of: neither has a route that the other has not, and real answers are what their schemas say.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

mod http;
mod schema;
mod solo;

use std::{collections::BTreeSet, fs, path::Path};

use axum::{
    body::Body,
    http::{Method, Request, StatusCode, header},
};
use chain::crypto::address_of;
use http::{Api, driver};
use serde_json::Value;

const HOW: &str = "a route is added in node/src/api/routes.rs, with its description; what it answers derives utoipa::ToSchema beside its Serialize \
     (chain/src/openapi.rs says how), and its parameters stand in Parameters::TAKEN of its query";

fn ask(method: &str, path: &str) -> Request<Body> {
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    Request::builder().method(method).uri(path).header(header::ACCEPT, "*/*").body(Body::empty()).unwrap()
}

async fn document(api: &Api) -> Value {
    let (status, kind, body) = api.ask(ask("GET", "/api/v1/openapi.json")).await;
    assert_eq!((status, kind.as_str()), (StatusCode::OK, "application/json"));
    serde_json::from_slice(&body).unwrap()
}

#[tokio::test]
async fn every_route_stands_in_the_document_and_everything_in_the_document_is_a_route() {
    // No route is made but together with its description; pages for people are no part of the API.
    let mut folders = vec![Path::new("src/api").to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") && !path.starts_with("src/api/openapi") {
                let text = fs::read_to_string(&path).unwrap();
                assert!(!text.contains(".route("), "{}: {HOW}", path.display());
            }
        }
    }
    let api = Api::start();
    let document = document(&api).await;
    let methods = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"];
    let mut ids = BTreeSet::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        let concrete = path.replace("{address}", &address_of(&driver()).to_string()).replace("{sequence}", "1").replace("{number}", "1");
        let concrete = concrete.replace("{id}", &"7".repeat(64)).replace("{name}", "1");
        assert!(!concrete.contains('{'), "{path}: teach this test what its parts look like");
        for method in methods {
            // A stream of events would not end.
            let concrete = if concrete.ends_with("/events") && method == "GET" { format!("{concrete}?from=x") } else { concrete.clone() };
            let (status, _, body) = api.ask(ask(method, &concrete)).await;
            let text = String::from_utf8_lossy(&body);
            let described = operations.get(method.to_ascii_lowercase());
            assert_eq!(described.is_none(), status == StatusCode::METHOD_NOT_ALLOWED, "{method} {path}: {HOW}: {text}");
            assert!(!text.contains("there is nothing at"), "{method} {path} is described and not served: {text}");
            if let Some(operation) = described {
                assert!(ids.insert(operation["operationId"].as_str().unwrap().to_owned()), "{method} {path}: its name is another's");
                for part in path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')) {
                    let parameters = operation["parameters"].as_array().unwrap();
                    assert!(
                        parameters.iter().any(|one| one["name"] == part && one["in"] == "path"),
                        "{method} {path} does not describe {part}"
                    );
                }
            }
        }
    }
    assert!(ids.len() > 40, "{ids:?}");
    api.stop().await;
}

#[tokio::test]
async fn real_answers_are_what_their_schemas_say() {
    let api = Api::start();
    let deciding = api.decides();
    let (open, settled) = api.live().await;
    let document = document(&api).await;
    let account = address_of(&driver());
    let transaction = format!("{settled}");
    let v1 = |path: &str| format!("/api/v1{path}");
    let asked = [
        (v1("/transactions/{id}"), vec![transaction.clone()]),
        (v1("/receipts/{id}"), vec![transaction.clone()]),
        (v1("/sessions/{id}"), vec![open.to_string(), settled.to_string()]),
        (v1("/sessions/{id}/receipt"), vec![transaction.clone()]),
        (v1("/sessions/{id}/proof"), vec![transaction.clone()]),
        (v1("/sessions/{id}/readings"), vec![transaction.clone()]),
        (v1("/tariffs/{id}"), vec!["1-1".to_owned()]),
        (v1("/connectors/{id}"), vec!["1-1".to_owned()]),
    ];
    // What stands in the document and has nothing to show here: raw samples are a gateway's, the rest is no JSON.
    let apart =
        [v1("/sessions/{id}/readings/{sequence}/samples"), v1("/blocks/{name}/bytes"), v1("/events"), v1("/export"), "/metrics".to_owned()];
    let mut empty = BTreeSet::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        let Some(operation) = operations.get("get").filter(|_| !apart.contains(path)) else { continue };
        let ids = asked.iter().find(|(known, _)| known == path).map_or_else(|| vec![String::new()], |(_, ids)| ids.clone());
        for id in ids {
            let path =
                path.replace("{address}", &account.to_string()).replace("{number}", "next").replace("{name}", "3").replace("{id}", &id);
            let query = match path.as_str() {
                "/api/v1/roles" => "?condominium=1",
                "/api/v1/quote" => "?connector=1-1&energy_wh=1000",
                "/api/v1/state" => "?key=10",
                "/api/v1/sessions" => "?state=all",
                _ => "",
            };
            let (status, kind, body) = api.ask(ask("GET", &format!("{path}{query}"))).await;
            let text = String::from_utf8_lossy(&body);
            assert_eq!((status, kind.as_str()), (StatusCode::OK, "application/json"), "{path}: say in this test what to ask: {text}");
            let value: Value = serde_json::from_slice(&body).unwrap();
            let wanted = &operation["responses"]["200"]["content"]["application/json"]["schema"];
            schema::check(&document, wanted, &value, &path).unwrap_or_else(|error| panic!("{error}\n{HOW}"));
            if value.get("items").is_some_and(|items| items.as_array().unwrap().is_empty()) {
                empty.insert(path);
            }
        }
    }
    // Charging away from home needs two condominiums, an unusual start a gateway that asks.
    let may_be_empty =
        ["/api/v1/positions", "/api/v1/payments", "/api/v1/clearings", "/api/v1/monitor", &format!("/api/v1/accounts/{account}/starts")];
    assert!(empty.iter().all(|path| may_be_empty.contains(&path.as_str())), "nothing was compared with the schema of {empty:?}");

    // A refusal is what its own schema says, too.
    let (status, kind, body) = api.ask(ask("GET", "/api/v1/blocks/99")).await;
    assert_eq!((status, kind.as_str()), (StatusCode::NOT_FOUND, "application/problem+json"));
    let problem: Value = serde_json::from_slice(&body).unwrap();
    schema::check(&document, &document["components"]["schemas"]["Problem"], &problem, "problem").unwrap();
    // And every event that the stream has told so far.
    let mut stream = http::Events::open(&api, "?from=1", None).await;
    for _ in 0..12 {
        let (id, _, event) = stream.next().await;
        let value = serde_json::to_value(&event).unwrap();
        schema::check(&document, &document["components"]["schemas"]["StreamedEvent"], &value, &id).unwrap();
    }
    drop(stream);
    api.stop().await;
    deciding.await.unwrap();
}

#[tokio::test]
async fn the_page_for_people_asks_this_node_alone() {
    let api = Api::start();
    for path in ["/docs", "/docs/", "/docs/start.js", "/docs/swagger-ui-bundle.js", "/docs/swagger-ui.css", "/docs/LICENSE", "/docs/NOTICE"]
    {
        use tower::ServiceExt as _;
        let answer = api.router.clone().oneshot(ask("GET", path)).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        let policy = answer.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
        for rule in ["default-src 'none'", "script-src 'self';", "style-src 'self';", "connect-src 'self';", "frame-ancestors 'none'"] {
            assert!(policy.contains(rule), "{path}: {policy}");
        }
        assert_eq!(answer.headers()[header::X_CONTENT_TYPE_OPTIONS], "nosniff", "{path}");
    }
    let (_, _, page) = api.ask(ask("GET", "/docs")).await;
    let page = String::from_utf8(page.to_vec()).unwrap();
    assert!(!page.contains("http"), "the page names another place: {page}");
    api.stop().await;
}
