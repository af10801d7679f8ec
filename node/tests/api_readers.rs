//! Who may read what, how fast, and in which form: whole requests to the router of a node that shows what names people to those alone whom it concerns.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

mod http;
mod solo;

use axum::{
    body::Body,
    http::{Method, StatusCode, header},
};
use chain::{
    api::{ConnectorView, Page, QueueTicket, SessionView},
    crypto::address_of,
    hash::Hash32,
    record::Role,
    sign_in::Challenge,
};
use contracts::call::{Call, GrantRole, RevokeRole};
use ed25519_dalek::SigningKey;
use http::{Api, Events, driver, get, get_as, neighbour, request};
use node::{api::Shared, config::ApiConfig, keys::KeyName};
use serde_json::Value;
use solo::{HOME, commit, resident};
use tower::ServiceExt as _;

fn guarded() -> Shared {
    Shared::new(&ApiConfig::default(), Hash32([9; 32]))
}

async fn status_of(api: &Api, token: Option<&str>, path: &str) -> u16 {
    let asked = token.map_or_else(|| get(path), |token| get_as(token, path));
    api.ask(asked).await.0.as_u16()
}

async fn read<T: serde::de::DeserializeOwned>(api: &Api, token: &str, path: &str) -> T {
    let (status, _, body) = api.ask(get_as(token, path)).await;
    assert_eq!(status, StatusCode::OK, "{path}: {}", String::from_utf8_lossy(&body));
    serde_json::from_slice(&body).unwrap()
}

#[tokio::test]
async fn a_stranger_sees_what_names_nobody_and_is_asked_to_sign_in_for_the_rest() {
    let api = Api::start_with(guarded());
    let deciding = api.decides();
    let (open, settled) = api.live().await;
    let (_, _, document) = api.ask(get("/openapi.json")).await;
    let document: Value = serde_json::from_slice(&document).unwrap();
    let account = address_of(&driver());
    let (mut shut, ticket) = (0, format!("?session={open}"));
    for (path, operations) in document["paths"].as_object().unwrap() {
        let Some(operation) = operations.get("get") else { continue };
        let asked = path.replace("{address}", &account.to_string()).replace("{sequence}", "1").replace("{number}", "next");
        let id = if path.contains("tariffs") || path.contains("connectors") { "1-1".to_owned() } else { settled.to_string() };
        let asked = asked.replace("{id}", &id).replace("{name}", "3");
        let query = match asked.as_str() {
            "/api/v1/quote" => "?connector=1-1",
            "/api/v1/state" => "?key=10",
            "/api/v1/roles" => "?condominium=1",
            "/api/v1/queue" => ticket.as_str(),
            _ => "",
        };
        let answer =
            api.router.clone().oneshot(axum::http::Request::get(format!("{asked}{query}")).body(Body::empty()).unwrap()).await.unwrap();
        let expected = if operation.get("security").is_some() { StatusCode::UNAUTHORIZED } else { StatusCode::OK };
        assert_eq!(answer.status(), expected, "{asked}");
        if expected == StatusCode::UNAUTHORIZED {
            assert!(answer.headers().contains_key(header::WWW_AUTHENTICATE), "{asked}");
            shut += 1;
        }
        let bad = axum::http::Request::get(format!("{asked}{query}")).header("authorization", "Bearer 00").body(Body::empty()).unwrap();
        let status = api.router.clone().oneshot(bad).await.unwrap().status();
        assert!(status == expected || status == StatusCode::UNAUTHORIZED, "{asked}: {status}");
    }
    assert!(shut > 15, "{shut} routes are shut");
    // His own ticket by the session's id, and no whole queue; no session beside a busy connector; no value that names somebody.
    let (_, _, body) = api.ask(get(&format!("/queue?session={open}"))).await;
    assert_eq!(serde_json::from_slice::<Page<QueueTicket>>(&body).unwrap().items.len(), 1);
    assert_eq!(status_of(&api, None, "/queue").await, 401);
    let (_, _, body) = api.ask(get("/connectors/1-2")).await;
    let connector: ConnectorView = serde_json::from_slice(&body).unwrap();
    assert_eq!((connector.free, connector.connector.session), (false, None));
    assert_eq!(status_of(&api, None, &format!("/state?key=01{}", hex::encode(account.0))).await, 401);
    assert_eq!(status_of(&api, None, &format!("/state?key=09{open}")).await, 401);
    let problem = api.problem("no token", get("/sessions")).await;
    assert_eq!(problem.code, "sign_in_needed");
    api.stop().await;
    deciding.await.unwrap();
}

#[tokio::test]
async fn a_resident_reads_his_own_a_manager_his_condominium_and_an_auditor_everything_for_as_long_as_he_is_one() {
    let api = Api::start_with(guarded());
    let deciding = api.decides();
    let (open, settled) = api.live().await;
    let manager = api.solo.key(KeyName::Manager);
    let token = |key: SigningKey| {
        let api = &api;
        async move { api.sign_in(&key).await }
    };
    let (his, hers, staff) = (token(driver()).await, token(neighbour()).await, token(manager.clone()).await);
    let (driver, neighbour) = (address_of(&driver()), address_of(&neighbour()));
    let own = [
        format!("/accounts/{driver}"),
        format!("/sessions/{settled}"),
        format!("/receipts/{settled}"),
        format!("/sessions/{settled}/readings"),
    ];
    for path in own.iter().chain(&[format!("/sessions/{settled}/proof"), format!("/state?key=01{}", hex::encode(driver.0))]) {
        assert_eq!(status_of(&api, Some(&his), path).await, 200, "{path}");
        assert_eq!(status_of(&api, Some(&hers), path).await, 403, "{path}");
        assert_eq!(status_of(&api, Some(&staff), path).await, 200, "{path}");
    }
    let ids = |page: Page<SessionView>| -> Vec<String> {
        let id = |view: &SessionView| match view {
            SessionView::Open { id, .. } | SessionView::Settled { id, .. } => id.to_string(),
        };
        page.items.iter().map(id).collect()
    };
    assert_eq!(ids(read(&api, &his, "/sessions?state=all").await), [settled.to_string()]);
    assert_eq!(ids(read(&api, &hers, "/sessions").await), [open.to_string()]);
    assert_eq!(ids(read(&api, &staff, "/sessions?state=all").await), [open.to_string(), settled.to_string()]);
    assert_eq!(read::<Page<QueueTicket>>(&api, &his, "/queue").await.items.len(), 0);
    assert_eq!(read::<Page<QueueTicket>>(&api, &hers, "/queue").await.items.len(), 1);
    assert_eq!(read::<Page<Value>>(&api, &hers, "/redemptions").await.items.len(), 0);
    assert_eq!(read::<Page<Value>>(&api, &staff, "/redemptions").await.items.len(), 1);
    assert_eq!(read::<Page<Value>>(&api, &hers, "/cards").await.items.len(), 0);
    assert_eq!(read::<Page<Value>>(&api, &his, "/cards").await.items.len(), 1);
    assert_eq!(status_of(&api, Some(&hers), &format!("/sessions?account={driver}")).await, 403);
    assert_eq!(status_of(&api, Some(&hers), "/sessions?connector=1-1").await, 403);

    let whole = ["/export", "/blocks/3/receipts", "/blocks/3/bytes", &format!("/state?key=09{open}")].map(str::to_owned);
    for path in &whole {
        for reader in [&his, &hers, &staff] {
            assert_eq!(status_of(&api, Some(reader), path).await, 403, "{path}");
        }
    }
    let from = api.app.handle.tip().height.next().next();
    let grant = GrantRole { condominium: HOME, role: Role::Auditor, account: neighbour, from, until: None };
    commit(&api.app, api.solo.sign(&manager, 5, Call::GrantRole(grant))).await.unwrap();
    for path in &whole {
        assert_eq!(status_of(&api, Some(&hers), path).await, 200, "{path}: the same token, another role");
    }
    // Everything is told to her, and to him what concerns him or nobody.
    let bearer = |token: &str| format!("Bearer {token}").into_bytes();
    let mut all = Events::open_with(&api, "?from=1", &[("authorization", &bearer(&hers))]).await;
    let mut some = Events::open_with(&api, "?from=1", &[("authorization", &bearer(&his))]).await;
    let mut heard = Vec::new();
    for _ in 0..13 {
        heard.push(all.next().await.1);
    }
    assert_eq!(heard.iter().filter(|name| *name == "account_registered").count(), 2);
    assert_eq!(heard.iter().filter(|name| *name == "session_opened").count(), 2);
    let mut told = Vec::new();
    while told.last().is_none_or(|name| name != "session_settled") {
        told.push(some.next().await.1);
    }
    assert_eq!(told.iter().filter(|name| *name == "account_registered").count(), 1);
    assert_eq!(told.iter().filter(|name| *name == "session_opened").count(), 1);
    assert!(told.iter().any(|name| name == "group_put"), "{told:?}");

    let until = api.app.handle.tip().height.next().next();
    let revoke = RevokeRole { condominium: HOME, role: Role::Auditor, account: neighbour, until };
    commit(&api.app, api.solo.sign(&manager, 6, Call::RevokeRole(revoke))).await.unwrap();
    assert_eq!(status_of(&api, Some(&hers), "/export").await, 403, "the role is over");
    drop((all, some));
    api.stop().await;
    deciding.await.unwrap();
}

/// A stream was asked for the token when it began and never again: a key that was taken back an hour ago went on hearing of its condominium.
#[tokio::test]
async fn a_stream_ends_with_its_readers_token_and_goes_on_after_the_last_event_once_he_has_signed_in_again() {
    let api = Api::start_with(guarded().with_token_life(chain::time::Duration::from_ms(700)));
    let deciding = api.decides();
    api.furnish(1).await;
    let bearer = async || {
        // A slow machine may need a token's whole life to use it.
        loop {
            let token = api.sign_in(&driver()).await;
            if status_of(&api, Some(&token), "/sessions").await == 200 {
                return format!("Bearer {token}").into_bytes();
            }
        }
    };
    let (mut ids, mut names, mut streams) = (Vec::<String>::new(), Vec::new(), 0);
    while names.iter().filter(|name| *name == "tokens_sold").count() < 2 {
        let token = bearer().await;
        let mut headers: Vec<(&str, &[u8])> = vec![("authorization", &token)];
        headers.extend(ids.last().map(|id| ("last-event-id", id.as_bytes())));
        let response = api.router.clone().oneshot(request(Method::GET, "/events?from=1", &headers, Body::empty())).await.unwrap();
        if response.status() == StatusCode::UNAUTHORIZED {
            continue;
        }
        let text = Events::of(response).rest().await;
        let end = text.trim_end().rsplit("\n\n").next().unwrap();
        let data = end.strip_prefix("event: sign_in_needed\ndata: ").unwrap_or_else(|| panic!("{text}"));
        let problem: chain::api::Problem = serde_json::from_str(data).unwrap();
        assert_eq!((problem.status, problem.code.as_str()), (401, "sign_in_needed"));
        assert_eq!(status_of(&api, Some(std::str::from_utf8(&token[7..]).unwrap()), "/sessions").await, 401);
        let fields = |name: &str| text.lines().filter_map(|line| line.strip_prefix(name)).map(str::to_owned).collect::<Vec<_>>();
        ids.extend(fields("id: "));
        names.extend(fields("event: "));
        if streams == 0 {
            commit(&api.app, api.solo.sell(2, 3, address_of(&driver()), 5)).await.unwrap();
        }
        streams += 1;
    }
    assert!(streams > 1, "one token, one stream");
    let unique: std::collections::BTreeSet<_> = ids.iter().collect();
    assert_eq!(unique.len(), ids.len(), "told twice: {ids:?}");
    api.stop().await;
    deciding.await.unwrap();
}

#[tokio::test]
async fn a_challenge_is_answered_once_by_an_account_of_the_chain() {
    let api = Api::start_with(guarded());
    let deciding = api.decides();
    commit(&api.app, api.solo.sell(0, 1, address_of(&driver()), 20)).await.unwrap();
    let challenge = async || -> Challenge {
        let (_, _, body) = api.ask(request(Method::POST, "/challenges", &[], Body::empty())).await;
        serde_json::from_slice(&body).unwrap()
    };
    let answer = |json: Vec<u8>| request(Method::POST, "/tokens", &[("content-type", b"application/json")], json);
    let signed = |challenge: Challenge, key: &SigningKey| serde_json::to_vec(&challenge.answer(key).unwrap()).unwrap();
    let asked = challenge().await;
    assert_eq!(api.ask(answer(signed(asked, &driver()))).await.0, StatusCode::OK);
    assert_eq!(api.problem("twice", answer(signed(asked, &driver()))).await.code, "sign_in_refused");
    let problem = api.problem("a stranger to the chain", answer(signed(challenge().await, &resident(9)))).await;
    assert_eq!((problem.status, problem.code.as_str()), (404, "unknown_account"));
    for (name, asked) in [
        ("another seal", Challenge { seal: Hash32::ZERO, ..challenge().await }),
        ("another node", Challenge { node: Hash32([8; 32]), ..challenge().await }),
        ("a later end", Challenge { expires_at: chain::time::Timestamp::from_ms(u64::MAX), ..challenge().await }),
    ] {
        let problem = api.problem(name, answer(signed(asked, &driver()))).await;
        assert_eq!((problem.status, problem.code.as_str()), (401, "sign_in_refused"), "{name}");
    }
    for (name, bytes, status) in
        [("no JSON", b"{".to_vec(), 400), ("other JSON", b"{}".to_vec(), 422), ("too much", vec![b' '; 5_000], 413)]
    {
        assert_eq!(api.problem(name, answer(bytes)).await.status, status, "{name}");
    }
    assert_eq!(api.problem("no type", request(Method::POST, "/tokens", &[], "{}")).await.code, "wrong_content_type");
    api.stop().await;
    deciding.await.unwrap();
}

#[tokio::test]
async fn a_client_that_asks_too_fast_or_for_another_form_is_told_so() {
    let settings = ApiConfig { requests_per_s: 1, request_burst: 5, ..ApiConfig::default() };
    let api = Api::start_with(Shared::new(&settings, Hash32::ZERO));
    let picky = |accept: &str, path: &str| request(Method::GET, path, &[("accept", accept.as_bytes())], Body::empty());
    let problem = api.problem("no such form", picky("text/html", "/status")).await;
    assert_eq!((problem.status, problem.code.as_str(), problem.field.as_deref()), (406, "not_acceptable", Some("Accept")));
    assert_eq!(api.problem("no JSON of numbers", picky("application/json", "/health?x")).await.status, 400);
    assert_eq!(api.ask(picky("application/json;q=0.5, */*;q=0.1", "/status")).await.0, StatusCode::OK);
    let head = request(Method::HEAD, "/status", &[], Body::empty());
    let (status, kind, body) = api.ask(head).await;
    assert_eq!((status, kind.as_str(), body.len()), (StatusCode::OK, "application/json", 0));
    assert_eq!(api.problem("POST to a list", request(Method::POST, "/blocks", &[], Body::empty())).await.code, "wrong_method");
    let answer = api.router.clone().oneshot(get("/status")).await.unwrap();
    assert_eq!(answer.status(), StatusCode::TOO_MANY_REQUESTS);
    let wait: u64 = answer.headers()[header::RETRY_AFTER].to_str().unwrap().parse().unwrap();
    assert!((1..=2).contains(&wait), "{wait}");
    assert_eq!(answer.headers()[header::CONTENT_TYPE], "application/problem+json");
    api.stop().await;
}

#[tokio::test]
async fn one_client_cannot_take_all_streams() {
    let settings = ApiConfig { streams_per_client: 2, reads: node::config::Reads::Everybody, ..ApiConfig::default() };
    let api = Api::start_with(Shared::new(&settings, Hash32::ZERO));
    let streams = [Events::open(&api, "", None).await, Events::open(&api, "", None).await];
    let problem = api.problem("a third", get("/events")).await;
    assert_eq!((problem.status, problem.code.as_str()), (429, "too_many_requests"));
    assert!(problem.detail.contains("api.streams_per_client"), "{}", problem.detail);
    drop(streams);
    drop(Events::open(&api, "", None).await);
    api.stop().await;
}

/// Each export that nobody read kept megabytes.
#[tokio::test]
async fn exports_at_once_are_few_and_one_that_is_let_go_makes_room() {
    let settings = ApiConfig { reads: node::config::Reads::Everybody, ..ApiConfig::default() };
    let api = Api::start_with(Shared::new(&settings, Hash32::ZERO));
    let mut under_way = Vec::new();
    for _ in 0..node::api::EXPORTS_PER_CLIENT {
        let answer = api.router.clone().oneshot(get("/export")).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        under_way.push(answer);
    }
    let refused = api.router.clone().oneshot(get("/export")).await.unwrap();
    assert_eq!(
        (refused.status(), &refused.headers()[header::RETRY_AFTER]),
        (StatusCode::TOO_MANY_REQUESTS, &header::HeaderValue::from(10))
    );
    let problem = api.problem("one too many", get("/export")).await;
    assert_eq!(problem.code, "too_many_requests");
    assert!(problem.detail.contains("exports are under way to this client"), "{}", problem.detail);
    assert_eq!(api.ask(get("/status")).await.0, StatusCode::OK);
    under_way.pop();
    assert_eq!(api.ask(get("/export")).await.0, StatusCode::OK);
    drop(under_way);
    api.stop().await;
}
