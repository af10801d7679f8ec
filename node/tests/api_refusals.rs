//! What the API says when it refuses, and lists that are long: as whole requests to the router, and as bytes on a socket.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

mod http;
mod solo;

use std::{collections::BTreeMap, time::Duration as Real};

use axum::{
    body::Body,
    http::{Method, StatusCode},
};
use bytes::Bytes;
use chain::{
    api::{Problem, QuoteView, RedemptionView, RoleView, SessionView, TransactionView, Unit},
    codec,
    crypto::address_of,
    hash::{Context, Hash32},
    id::{ConnectorId, SessionId, TxId},
    quantity::{Amount, Currents, WattHours, Watts},
    receipt::PauseReason,
    record::Role,
    time::Duration,
};
use contracts::call::{
    Attest, Body as Signed, Call, GrantCharge, GrantRole, OpenSession, PauseCharge, Priority, Reading, ReadingFlags, RequestRedeem,
    StopSession,
};
use ed25519_dalek::SigningKey;
use http::{Api, Events, driver, get, neighbour, post, request};
use node::keys::KeyName;
use solo::{HOME, NOON, commit, resident};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// A client that had one byte wrong was told "the bytes are no transaction of this protocol", and nothing else.
#[tokio::test]
async fn a_refused_transaction_is_told_by_its_field_and_its_numbers_by_their_unit() {
    let api = Api::start();
    let deciding = api.decides();
    for (nonce, buyer) in (0..).zip([driver(), neighbour()]) {
        commit(&api.app, api.solo.sell(nonce, nonce + 1, address_of(&buyer), 20)).await.unwrap();
    }
    for bytes in api.solo.furnish() {
        commit(&api.app, bytes).await.unwrap();
    }

    // The tariff is announced and not in force yet: price and opening say from when it is.
    let from = NOON.saturating_add(Duration::from_secs(1));
    let early = api.problem("a quote too early", get("/quote?connector=1-1")).await;
    assert_eq!((early.status, early.code.as_str(), early.unit), (404, "unknown_tariff", Some(Unit::UnixMilliseconds)));
    assert_eq!(early.expected, Some(from.ms().to_string()));
    assert!(early.detail.contains("version 1 is from 2026-01-05T12:00:01Z on"), "{}", early.detail);
    let early = api.problem("a session too early", post("", api.open_on(&driver(), 0, 1, 1))).await;
    assert_eq!((early.status, early.code.as_str(), early.field.as_deref()), (422, "unknown_tariff", Some("call.tariff_version")));
    assert!(early.detail.contains("2026-01-05T12:00:01Z"), "{}", early.detail);
    assert_eq!(api.get::<QuoteView>(&format!("/quote?connector=1-1&at={}", from.ms())).await.tariff_version, 1);
    api.clock.set(NOON.saturating_add(Duration::from_secs(2))).unwrap();

    let good = api.transfer(&driver(), 0, 1);
    let cut = |length: usize| good.slice(..length);
    let with = |place: usize, value: u8| {
        let mut bytes = good.to_vec();
        bytes[place] = value;
        Bytes::from(bytes)
    };
    for (name, bytes, field, offset) in [
        ("nothing", Bytes::new(), "signature", Some(0)),
        ("a signature alone", cut(64), "chain_id", Some(64)),
        ("half an account", cut(110), "account", Some(110)),
        ("no whole nonce", cut(165), "nonce", Some(160)),
        ("a kind of call that there is not", with(176, 99), "call kind", Some(176)),
        ("a call that ends early", cut(good.len() - 1), "call", Some(212)),
        ("a byte more", [&good[..], &[0]].concat().into(), "body", None),
    ] {
        let problem = api.problem(name, post("", bytes)).await;
        assert_eq!((problem.status, problem.code.as_str()), (400, "malformed"), "{name}");
        assert_eq!((problem.field.as_deref(), problem.offset), (Some(field), offset), "{name}: {}", problem.detail);
        assert!(problem.detail.contains("build the transaction"), "{name} has no next step: {}", problem.detail);
    }

    let open = |max_spend: u64, hours: u64| {
        let call = OpenSession { max_spend: Amount::from_micro(max_spend), max_duration: Duration::from_hours(hours), ..opening(1) };
        post("", api.solo.sign(&driver(), 0, Call::OpenSession(call)))
    };
    for (name, request, code, field, words) in [
        (
            "too much",
            post("", api.transfer(&driver(), 0, 20_000_001)),
            "insufficient_funds",
            "call.amount",
            "expected 20.000001 tokens, found 20 tokens",
        ),
        ("nothing", post("", api.transfer(&driver(), 0, 0)), "zero_value", "call.amount", "give a value greater than zero"),
        ("too high an escrow", open(u64::MAX, 1), "over_limit", "call.max_spend", "18446744073709.551615 tokens"),
        ("too long", open(1, 10_000), "over_limit", "call.max_duration", "found 416 d 16 h"),
        ("another nonce", post("", api.transfer(&driver(), 7, 1)), "wrong_nonce", "nonce", "expected 0, found 7"),
        ("too long a quote", get("/quote?connector=1-1&max_duration_ms=36000000000"), "over_limit", "max_duration_ms", "found 416 d 16 h"),
        ("too large a quote", get("/quote?connector=1-1&energy_wh=1000001"), "over_limit", "energy_wh", "found 1000.001 kWh"),
        ("a quote of nothing", get("/quote?connector=1-1&energy_wh=0"), "zero_value", "energy_wh", "greater than zero"),
    ] {
        let problem = api.problem(name, request).await;
        assert_eq!((problem.code.as_str(), problem.field.as_deref()), (code, Some(field)), "{name}: {}", problem.detail);
        assert!(problem.detail.contains(words), "{name}: {}", problem.detail);
    }

    // Media types have no case, and may have parameters.
    for kind in ["Application/OCTET-Stream", "application/octet-stream; charset=binary", "application/octet-stream ;x=\"a;b\""] {
        let sent = request(Method::POST, "/transactions?wait=committed", &[("content-type", kind.as_bytes())], good.clone());
        assert_eq!(api.ask(sent).await.0, StatusCode::OK, "{kind}");
    }
    for kind in ["application/octet", "text/plain; a=application/octet-stream", ";application/octet-stream"] {
        let sent = request(Method::POST, "/transactions", &[("content-type", kind.as_bytes())], good.clone());
        assert_eq!(api.problem(kind, sent).await.code, "wrong_content_type");
    }
    api.stop().await;
    deciding.await.unwrap();
}

fn opening(connector: u32) -> OpenSession {
    OpenSession {
        connector: ConnectorId::new(HOME, connector),
        tariff_version: 1,
        max_spend: Amount::from_micro(1_000_000),
        max_duration: Duration::from_hours(2),
        energy_target: None,
        state_of_charge: None,
        depart_by: None,
        window: None,
        priority: Priority::None,
    }
}

/// `GET /queue?x=%` was answered as if nothing had been asked.
#[tokio::test]
async fn every_route_refuses_parameters_that_it_does_not_take_and_names_those_that_it_does() {
    let api = Api::start();
    let id = Hash32([7; 32]);
    let account = address_of(&driver());
    let page = "limit and cursor";
    let routes: [(String, &str); 36] = [
        (format!("/transactions/{id}"), "none"),
        (format!("/receipts/{id}"), "none"),
        (format!("/accounts/{account}"), "none"),
        (format!("/accounts/{account}/transactions"), page),
        ("/redemptions".into(), "account, limit and cursor"),
        ("/roles".into(), "condominium, limit and cursor"),
        ("/sessions".into(), "account, connector, state, limit and cursor"),
        (format!("/sessions/{id}"), "none"),
        (format!("/sessions/{id}/receipt"), "none"),
        (format!("/sessions/{id}/readings"), page),
        (format!("/sessions/{id}/readings/1/samples"), "none"),
        ("/queue".into(), "session, limit and cursor"),
        ("/quote".into(), "connector, energy_wh, max_duration_ms and at"),
        ("/tariffs".into(), page),
        ("/tariffs/1-1".into(), page),
        ("/connectors".into(), page),
        ("/connectors/1-1".into(), "none"),
        ("/groups".into(), page),
        ("/condominiums".into(), page),
        ("/totals".into(), page),
        ("/positions".into(), page),
        ("/payments".into(), page),
        ("/clearings".into(), page),
        ("/clearings/next".into(), "none"),
        ("/blocks".into(), "before, limit and cursor"),
        ("/blocks/1".into(), "none"),
        ("/blocks/1/receipts".into(), "none"),
        ("/blocks/1/bytes".into(), "none"),
        ("/state".into(), "key"),
        ("/status".into(), "none"),
        ("/genesis".into(), "none"),
        ("/params".into(), "none"),
        ("/validators".into(), "none"),
        ("/health".into(), "none"),
        ("/events".into(), "account, session and from"),
        ("/export".into(), "from"),
    ];
    for (route, accepted) in &routes {
        let problem = api.problem(route, get(&format!("{route}?what=1"))).await;
        assert_eq!((problem.status, problem.code.as_str(), problem.field.as_deref()), (400, "bad_request", Some("what")), "{route}");
        assert!(problem.detail.contains(&format!("this route takes {accepted}")), "{route}: {}", problem.detail);
        for broken in ["x=%", "limit=%4", "limit=%zz", "limit=%ff", "%=1"] {
            let problem = api.problem(route, get(&format!("{route}?{broken}"))).await;
            assert_eq!((problem.status, problem.field.as_deref()), (400, Some("query")), "{route}?{broken}: {}", problem.detail);
        }
    }
    let metrics = request(Method::GET, "/metrics", &[], Body::empty());
    assert_eq!(api.ask(metrics).await.0, StatusCode::OK);
    for (query, field, words) in [
        ("/blocks?limit=x", "limit", "expected a whole number"),
        ("/blocks?limit=1&limit=2", "limit", "given twice"),
        ("/blocks?limit=501", "limit", "expected 1 to 500"),
        ("/sessions?state=closed", "state", "settled"),
        ("/quote", "connector", "add connector="),
        ("/blocks?cursor=x", "cursor", "leave it out"),
        ("/connectors?cursor=x", "cursor", "leave it out"),
        ("/accounts/watt1x", "account", "copy it whole"),
    ] {
        let problem = api.problem(query, get(query)).await;
        assert_eq!((problem.code.as_str(), problem.field.as_deref()), ("bad_request", Some(field)), "{query}: {}", problem.detail);
        assert!(problem.detail.contains(words), "{query}: {}", problem.detail);
    }
    api.stop().await;
}

/// The answer to bytes on a connection of their own: its head and its problem.
async fn on_the_wire(address: std::net::SocketAddr, pieces: &[&[u8]]) -> (String, Problem) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    for piece in pieces {
        // The server may have answered and stopped listening by the time that everything is sent.
        if stream.write_all(piece).await.is_err() {
            break;
        }
    }
    let mut bytes = Vec::new();
    let read = tokio::time::timeout(solo::WAIT, async {
        loop {
            if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
                return;
            }
            let text = String::from_utf8_lossy(&bytes);
            let length = text.lines().find_map(|line| line.strip_prefix("content-length: ")?.trim().parse::<usize>().ok());
            if let (Some((_, body)), Some(length)) = (text.split_once("\r\n\r\n"), length)
                && body.len() >= length
            {
                return;
            }
        }
    });
    read.await.expect("an answer in time");
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no whole answer: {text:?}"));
    assert!(head.contains("content-type: application/problem+json"), "{text}");
    let problem: Problem = serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {text}"));
    assert!(head.starts_with(&format!("HTTP/1.1 {} ", problem.status)), "{head}");
    assert!(!problem.detail.is_empty() && problem.kind.ends_with(&problem.code), "{problem:?}");
    (head.to_owned(), problem)
}

/// A head that the HTTP library itself refuses came back as a bare status line.
#[tokio::test]
async fn every_refusal_on_the_wire_carries_its_problem() {
    let api = Api::start_with(http::open().with_body_timeout(Real::from_millis(200)));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = api.router.clone();
    let bounds = node::api::Bounds::of(&node::config::ApiConfig::default());
    let serving = tokio::spawn(node::api::Door::new("API", listener, bounds).serve(router));

    let head = |line: &str, fields: &str| format!("{line} HTTP/1.1\r\nhost: a\r\n{fields}\r\n").into_bytes();
    let post = |length: usize| {
        head("POST /api/v1/transactions", &format!("content-type: application/octet-stream\r\ncontent-length: {length}\r\n"))
    };
    let field = |bytes: usize| format!("x: {}\r\n", "y".repeat(bytes));
    let many: String = (0..200).map(|number| format!("x-{number}: y\r\n")).collect();
    let path = |bytes: usize| format!("GET /api/v1/{}", "z".repeat(bytes));
    let cases: [(&str, Vec<Vec<u8>>, u16, &str); 12] = [
        ("unknown path", vec![head("GET /nothing", "")], 404, "not_found"),
        ("unknown path in the API", vec![head("GET /api/v1/nothing", "")], 404, "not_found"),
        ("wrong method", vec![head("DELETE /api/v1/blocks", "")], 405, "wrong_method"),
        ("a body that stops", vec![post(100), b"few".to_vec()], 408, "too_slow"),
        ("a body too large", vec![post(1 << 20), vec![0; 1 << 20]], 413, "too_large"),
        ("a path too long for us", vec![head(&path(5_000), "")], 414, "uri_too_long"),
        ("a path too long for HTTP", vec![head(&path(70_000), "")], 414, "uri_too_long"),
        ("fields too large for us", vec![head("GET /health", &field(20_000))], 431, "headers_too_large"),
        ("fields too large for HTTP", vec![head("GET /health", &field(600_000))], 431, "headers_too_large"),
        ("too many fields", vec![head("GET /health", &many)], 431, "headers_too_large"),
        ("no HTTP", vec![b"HELLO\r\n\r\n".to_vec()], 400, "bad_request"),
        ("no type", vec![head("POST /api/v1/transactions", "content-length: 0\r\n")], 415, "wrong_content_type"),
    ];
    for (name, pieces, status, code) in cases {
        let pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
        let (head, problem) = on_the_wire(address, &pieces).await;
        assert_eq!((problem.status, problem.code.as_str()), (status, code), "{name}: {}", problem.detail);
        assert_eq!(status == 405, head.contains("\r\nallow: GET"), "{name}: {head}");
    }
    serving.abort();
    let _ = serving.await;
    api.stop().await;
}

/// `/roles` gave all at once and `/redemptions` the first ten thousand, without a word that there are more.
#[tokio::test]
async fn roles_and_redemptions_come_in_pages_and_each_exactly_once() {
    let api = Api::start();
    let deciding = api.decides();
    let manager = api.solo.key(KeyName::Manager);
    let mut roles: Vec<RoleView> = api.walk("/roles?condominium=1", 500).await;
    let first = roles.len();
    for (nonce, number) in (0..).zip(1_u8..=5) {
        let key = resident(number);
        commit(&api.app, api.solo.sell(nonce, nonce + 1, address_of(&key), 20)).await.unwrap();
        let height = api.app.handle.tip().height.next().next();
        let call = GrantRole { condominium: HOME, role: Role::Auditor, account: address_of(&key), from: height, until: None };
        commit(&api.app, api.solo.sign(&manager, nonce, Call::GrantRole(call))).await.unwrap();
    }
    let mut redemptions = Vec::new();
    for nonce in 0..3 {
        for number in 1_u8..=5 {
            let call = RequestRedeem { amount: Amount::from_micro(1 + nonce), payee: Hash32::ZERO };
            redemptions.push(commit(&api.app, api.solo.sign(&resident(number), nonce, Call::RequestRedeem(call))).await.unwrap().id.0);
        }
    }
    redemptions.sort();
    roles = api.walk("/roles?condominium=1", 500).await;
    assert_eq!(roles.len(), first + 5);
    for limit in [1, 2, 4, 7, 500] {
        assert_eq!(api.walk::<RoleView>("/roles?condominium=1", limit).await, roles);
        let all: Vec<RedemptionView> = api.walk("/redemptions", limit).await;
        assert_eq!(all.iter().map(|view| view.id.0).collect::<Vec<_>>(), redemptions);
        let one = address_of(&resident(3));
        let own: Vec<RedemptionView> = api.walk(&format!("/redemptions?account={one}"), limit).await;
        assert!(own.len() == 3 && own.iter().all(|view| view.redemption.account == one), "{own:?}");
    }
    api.stop().await;
    deciding.await.unwrap();
}

/// Whoever followed his account heard of his session's beginning and end, and of nothing between.
#[tokio::test]
async fn the_events_of_an_account_are_those_of_its_sessions_too() {
    let api = Api::start();
    let deciding = api.decides();
    api.furnish(2).await;
    let (scheduler, gateway) = (api.solo.key(KeyName::Scheduler), api.solo.key(KeyName::Gateway));
    let own = SessionId(commit(&api.app, api.open_on(&driver(), 0, 1, 1)).await.unwrap().id.0);
    let other = SessionId(commit(&api.app, api.open_on(&neighbour(), 0, 2, 1)).await.unwrap().id.0);
    let mut live = Events::open(&api, &format!("?account={}", address_of(&driver())), None).await;
    let current = Currents::from_ma([6_000; 3]);
    for (nonce, session) in (0..).zip([own, other]) {
        let call = GrantCharge { session, current, skipped: Vec::new() };
        commit(&api.app, api.solo.sign(&scheduler, nonce, Call::GrantCharge(call))).await.unwrap();
    }
    let at = api.app.handle.snapshot().unwrap().session(own).unwrap().unwrap().first_granted_at.unwrap();
    let reading = |session| Reading {
        session,
        sequence: 1,
        at,
        register_wh: WattHours::new(5),
        power_w: Watts::new(0),
        flags: ReadingFlags::NONE,
        samples_root: Hash32::ZERO,
        sample_count: 0,
    };
    // One transaction for both sessions: each owner hears of his own reading.
    commit(&api.app, api.solo.sign(&gateway, 0, Call::Attest(Attest { readings: vec![reading(other), reading(own)] }))).await.unwrap();
    for (nonce, session) in (2..).zip([other, own]) {
        let call = PauseCharge { session, reason: PauseReason::Manual };
        commit(&api.app, api.solo.sign(&scheduler, nonce, Call::PauseCharge(call))).await.unwrap();
    }
    commit(&api.app, api.solo.sign(&neighbour(), 1, Call::StopSession(StopSession { session: other }))).await.unwrap();
    commit(&api.app, api.solo.sign(&driver(), 1, Call::StopSession(StopSession { session: own }))).await.unwrap();
    let expected = ["session_granted", "reading_handled", "session_paused", "session_stopping"];
    // A stream that is taken up later tells the same as one that was there.
    let mut later = Events::open(&api, &format!("?account={}&from=1", address_of(&driver())), None).await;
    for name in ["account_registered", "tokens_sold", "session_opened"] {
        assert_eq!(later.next().await.1, name);
    }
    for name in expected {
        let (id, heard, streamed) = live.next().await;
        assert_eq!(heard, name, "{id}");
        assert!(serde_json::to_string(&streamed.event).unwrap().contains(&own.to_string()), "{id}");
        assert_eq!(later.next().await.0, id);
    }
    drop((live, later));
    api.stop().await;
    deciding.await.unwrap();
}

/// The help named sessions by their first digits, and no command took them.
#[tokio::test]
async fn a_session_is_named_by_its_first_digits_where_no_other_begins_so() {
    let api = Api::start();
    let deciding = api.decides();
    api.furnish(2).await;
    // Two openings whose ids begin with the same six digits, as chance brings them in a long chain.
    let chain_id = api.solo.genesis.chain_id();
    let call =
        |connector, more: u64| Call::OpenSession(OpenSession { max_spend: Amount::from_micro(1_000_000 + more), ..opening(connector) });
    let begins = |key: &SigningKey, connector: u32, more: u64| -> String {
        let account = address_of(key);
        let valid_until = NOON.saturating_add(Duration::from_hours(1));
        let body = Signed { chain_id, account, signer: account, nonce: 0, valid_until, call: call(connector, more) };
        Context::TransactionId.hash(&[&codec::encode(&body).unwrap()]).to_string()[..6].to_owned()
    };
    let known: BTreeMap<String, u64> = (0..4_000).map(|more| (begins(&driver(), 1, more), more)).collect();
    let (one, two) = (0..4_000_000)
        .find_map(|more| known.get(&begins(&neighbour(), 2, more)).map(|other| (*other, more)))
        .expect("two that begin alike");
    let mut ids = Vec::new();
    for (key, connector, more) in [(driver(), 1, one), (neighbour(), 2, two)] {
        ids.push(commit(&api.app, api.solo.sign(&key, 0, call(connector, more))).await.unwrap().id);
    }
    let digits = ids[0].to_string()[..6].to_owned();
    assert!(ids[1].to_string().starts_with(&digits) && ids[0] != ids[1]);
    for path in [format!("/sessions/{digits}"), format!("/sessions/{digits}/readings"), format!("/transactions/{digits}")] {
        let problem = api.problem(&path, get(&path)).await;
        assert_eq!((problem.status, problem.code.as_str()), (409, "ambiguous"), "{path}");
        assert!(ids.iter().all(|id| problem.detail.contains(&id.to_string())), "{}", problem.detail);
    }
    let [one, two] = [ids[0].to_string(), ids[1].to_string()];
    let same = one.bytes().zip(two.bytes()).take_while(|(one, two)| one == two).count();
    for id in ids {
        let text = id.to_string();
        for name in [text[..=same].to_owned(), text[..=same].to_uppercase(), text[..63].to_owned()] {
            let SessionView::Open { id: found, .. } = api.get(&format!("/sessions/{name}")).await else { panic!("it is open") };
            assert_eq!(TxId(found.0), id, "{name}");
            assert_eq!(api.get::<TransactionView>(&format!("/transactions/{name}")).await.id, id);
        }
    }
    // A transfer is a transaction and no session.
    let transfer = commit(&api.app, api.transfer(&driver(), 1, 1)).await.unwrap().id.to_string();
    let problem = api.problem("a transfer", get(&format!("/sessions/{}", &transfer[..12]))).await;
    assert_eq!((problem.status, problem.code.as_str()), (404, "not_found"));
    api.stop().await;
    deciding.await.unwrap();
}
