//! The HTTP API as a client meets it: whole requests to the router, without a socket, over a chain of one validator.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

mod http;
mod solo;

use std::collections::BTreeSet;

use axum::{
    body::{Body, to_bytes},
    http::{Method, Request, StatusCode, header},
};
use bytes::Bytes;
use chain::{
    api::{
        AccountView, AmountByComponent, BlockReceipts, BlockView, ClearingView, CondominiumView, ConnectorView, Health, Page, PaymentState,
        PaymentView, PositionView, Problem, ProvenReceipt, ProvenState, QuoteView, ReadingView, RoamingView, SessionView, StatementView,
        Status, TransactionView,
    },
    block::Block,
    crypto::address_of,
    hash::Hash32,
    id::{Address, ConnectorId, Height, SessionId, TariffId, TxId},
    quantity::{Amount, Currents, WattHours},
    record::{Key, Roaming},
    time::Duration,
    verify::{AccountProof, Beginning, Checkpoint, SessionProof, Trust},
};
use contracts::{
    call::{AnswerPayment, Call, ClearPositions, PaymentAnswer, ReportPayment, StopSession, Transfer},
    ledger::Ledger,
    tariff::{QuoteRequest, in_force, quote},
};
use ed25519_dalek::SigningKey;
use http::{Api, Events, driver, get, neighbour, post, request};
use node::keys::KeyName;
use solo::{AWAY, HOME, NOON, Solo, away_staff, commit, resident};
use tower::ServiceExt as _;

#[tokio::test]
async fn a_transaction_waits_is_committed_and_its_receipt_verifies_without_the_node() {
    let api = Api::start();
    let treasurer = address_of(&api.solo.key(KeyName::Treasurer));
    let bytes = api.solo.sell(0, 1, address_of(&driver()), 20);
    let (status, submitted) = api.submit("", bytes.clone()).await;
    assert_eq!((status, &submitted.committed), (StatusCode::ACCEPTED, &None));
    let path = format!("/transactions/{}", submitted.id);
    let waiting = TransactionView { id: submitted.id, bytes: hex::encode(&bytes), committed: None };
    assert_eq!(api.get::<TransactionView>(&path).await, waiting);
    assert_eq!(api.get::<AccountView>(&format!("/accounts/{treasurer}")).await.next_nonce, 1);
    assert_eq!(api.problem("no receipt yet", get(&format!("/receipts/{}", submitted.id))).await.code, "not_found");
    assert_eq!(api.problem("nothing is certified", get("/state?key=01")).await.code, "unavailable");

    // Consensus stands still: the client is told that it waits, and it is committed later all the same.
    let problem = api.problem("standing still", post("?wait=committed&timeout_ms=1", bytes.clone())).await;
    assert_eq!((problem.status, problem.code.as_str(), problem.transaction), (504, "timeout", Some(submitted.id)));
    assert_eq!(api.get::<Status>("/status").await.pending, 1);
    api.solo.decide(&api.app.port).await;
    let view: TransactionView = api.get(&path).await;
    let committed = view.committed.unwrap();
    assert_eq!((view.bytes, committed.height, committed.index), (hex::encode(&bytes), Height(1), 0));
    let deciding = api.decides();
    for query in ["", "?wait=committed"] {
        let (status, again) = api.submit(query, bytes.clone()).await;
        assert_eq!((status, again.committed), (StatusCode::OK, Some(committed.clone())), "{query:?}");
    }
    let (status, second) = api.submit("?wait=committed&timeout_ms=50000", api.transfer(&driver(), 0, 7)).await;
    assert_eq!((status, second.committed.as_ref().map(|one| one.height)), (StatusCode::OK, Some(Height(2))));

    for (id, expected) in [(submitted.id, &committed), (second.id, &second.committed.unwrap())] {
        let proven: ProvenReceipt = api.get(&format!("/receipts/{id}")).await;
        assert_eq!((&proven.receipt, proven.header.height), (&expected.receipt, expected.height));
        api.verifies(&proven.header, &proven.certificate, &proven.validators);
        proven.path.verify(proven.receipt.leaf(), proven.header.receipts_root).unwrap();
        let mut forged = proven.receipt.clone();
        forged.events.pop();
        assert!(proven.path.verify(forged.leaf(), proven.header.receipts_root).is_err());
        let height = proven.header.height;
        let block: BlockView = api.get(&format!("/blocks/{}", proven.header.hash())).await;
        assert_eq!((&block.transactions, block.header), (&vec![id], proven.header));
        assert_eq!(api.get::<BlockView>(&format!("/blocks/{height}")).await, block);
        let (_, _, raw) = api.ask(get(&format!("/blocks/{height}/bytes"))).await;
        assert_eq!(Block::decode(&raw).unwrap().header.hash(), block.hash);
        assert_eq!(api.get::<BlockReceipts>(&format!("/blocks/{height}/receipts")).await.receipts, [proven.receipt]);
    }
    api.stop().await;
    deciding.await.unwrap();
}

#[tokio::test]
async fn whatever_is_wrong_gets_its_problem_and_changes_nothing() {
    let api = Api::start();
    let deciding = api.decides();
    api.furnish(2).await;
    commit(&api.app, api.open_on(&driver(), 0, 1, 1)).await.unwrap();
    let before: Status = api.get("/status").await;

    let good = api.transfer(&driver(), 1, 1);
    let changed = |place: usize| {
        let mut bytes = good.to_vec();
        bytes[place] ^= 1;
        Bytes::from(bytes)
    };
    let late = api.solo.sign_until(&driver(), 1, NOON, Call::StopSession(StopSession { session: SessionId(Hash32::ZERO) }));
    let sent = |bytes: Bytes| post("", bytes);
    let nobody = address_of(&resident(9));
    let id = TxId(Hash32([7; 32]));
    let octets: &[(&str, &[u8])] = &[("content-type", b"application/octet-stream")];
    let events = |last: &[u8]| request(Method::GET, "/events", &[("last-event-id", last)], Body::empty());
    let mut cases: Vec<(String, Request<Body>, u16, &str)> = vec![
        ("no bytes".into(), sent(Bytes::new()), 400, "malformed"),
        ("few bytes".into(), sent(good.slice(..70)), 400, "malformed"),
        ("a byte less".into(), sent(good.slice(..good.len() - 1)), 400, "malformed"),
        ("a byte more".into(), sent([&good[..], &[0]].concat().into()), 400, "malformed"),
        ("rubbish".into(), sent(vec![0xff; 300].into()), 400, "malformed"),
        ("a large body".into(), sent(vec![0; 1 << 20].into()), 413, "too_large"),
        ("a forged signature".into(), sent(changed(5)), 401, "bad_signature"),
        ("another chain".into(), sent(changed(64)), 422, "wrong_chain"),
        ("a used nonce".into(), sent(api.transfer(&driver(), 0, 1)), 409, "wrong_nonce"),
        ("a nonce too far".into(), sent(api.transfer(&driver(), 2, 1)), 409, "wrong_nonce"),
        ("expired".into(), sent(late), 422, "expired"),
        ("a stranger".into(), sent(api.transfer(&resident(9), 0, 1)), 401, "unknown_signer"),
        ("too little money".into(), sent(api.transfer(&driver(), 1, 19_000_001)), 422, "insufficient_funds"),
        ("nothing to transfer".into(), sent(api.transfer(&driver(), 1, 0)), 422, "zero_value"),
        ("a busy connector".into(), sent(api.open_on(&neighbour(), 0, 1, 1)), 422, "connector_busy"),
        ("a stale tariff".into(), sent(api.open_on(&neighbour(), 0, 2, 2)), 422, "stale_tariff"),
        ("no such connector".into(), sent(api.open_on(&neighbour(), 0, 9, 1)), 422, "unknown_connector"),
        ("refused while waiting".into(), post("?wait=committed", api.transfer(&driver(), 9, 1)), 409, "wrong_nonce"),
        ("no type".into(), request(Method::POST, "/transactions", &[], good.clone()), 415, "wrong_content_type"),
        (
            "JSON".into(),
            request(Method::POST, "/transactions", &[("content-type", b"application/json")], good.clone()),
            415,
            "wrong_content_type",
        ),
        (
            "a type in other words".into(),
            request(Method::POST, "/transactions", &[("content-type", b"\xff")], good.clone()),
            415,
            "wrong_content_type",
        ),
        ("nobody's account".into(), get(&format!("/accounts/{nobody}")), 404, "unknown_account"),
        ("no such connector shown".into(), get("/connectors/1-9"), 404, "unknown_connector"),
        ("no quote".into(), get("/quote?connector=1-9"), 404, "unknown_connector"),
        ("too long a quote".into(), get("/quote?connector=1-1&max_duration_ms=18446744073709551615"), 422, "over_limit"),
        ("too large a quote".into(), get("/quote?connector=1-1&energy_wh=1000001"), 422, "over_limit"),
        ("a quote of nothing".into(), get("/quote?connector=1-1&energy_wh=0"), 422, "zero_value"),
        ("a quote before the tariff".into(), get("/quote?connector=1-1&at=0"), 404, "unknown_tariff"),
        ("POST to a list".into(), request(Method::POST, "/blocks", octets, good.clone()), 405, "wrong_method"),
        ("DELETE".into(), request(Method::DELETE, &format!("/transactions/{id}"), &[], Body::empty()), 405, "wrong_method"),
        ("GET of the door".into(), get("/transactions"), 405, "wrong_method"),
    ];
    let unknown = [
        "/",
        "/nothing",
        "/accounts",
        "/blocks/1/2",
        "/status/",
        "/blocks/0",
        "/blocks/9999",
        "/blocks/18446744073709551615",
        "/tariffs/1-9",
        "/roles?condominium=9",
        &format!("/blocks/{}", Hash32([7; 32])),
        &format!("/transactions/{id}"),
        &format!("/receipts/{id}"),
        &format!("/sessions/{id}"),
        &format!("/sessions/{id}/receipt"),
        &format!("/sessions/{id}/readings"),
        &format!("/sessions/{id}/readings/0/samples"),
    ]
    .map(str::to_owned);
    cases.extend(unknown.iter().map(|path| (path.clone(), get(path), 404, "not_found")));
    let account = address_of(&driver());
    let bad = [
        "/accounts/watt1x",
        "/accounts/%ff",
        "/accounts/%00",
        "/transactions/12",
        "/transactions/zz",
        "/receipts/0x00",
        "/sessions/1",
        "/blocks/-1",
        "/blocks/+1",
        "/blocks/abc",
        "/connectors/1",
        "/connectors/1-2-3",
        "/connectors/1--2",
        "/tariffs/x",
        "/state",
        "/state?key=",
        "/state?key=0",
        "/state?key=zz",
        &format!("/state?key={}", "00".repeat(129)),
        "/blocks?limit=0",
        "/blocks?limit=501",
        "/blocks?limit=-1",
        "/blocks?before=x",
        "/blocks?cursor=x",
        "/blocks?after=1",
        "/sessions?limit=0",
        "/sessions?limit=501",
        "/sessions?cursor=x",
        "/sessions?cursor=0",
        "/sessions?cursor=01",
        "/sessions?state=closed",
        "/sessions?state=open&stat=1",
        "/sessions?account=1",
        "/sessions?connector=x",
        "/connectors?cursor=x",
        "/connectors?cursor=05",
        "/connectors?limit=0",
        "/groups?limit=501",
        "/groups?cursor=zz",
        "/tariffs?cursor=1-1",
        "/roles",
        "/roles?condominium=x",
        "/redemptions?account=x",
        &format!("/sessions?account={account}&cursor=09"),
        &format!("/accounts/{account}/transactions?cursor=1"),
        &format!("/accounts/{account}/transactions?cursor=1-2-3"),
        &format!("/accounts/{account}/transactions?cursor=-1-2"),
        &format!("/accounts/{account}/transactions?cursor=%2B1-2"),
        &format!("/accounts/{account}/transactions?limit=0"),
        "/quote",
        "/quote?connector=1-1&energy_wh=-1",
        "/quote?connector=1-1&energy=1",
        "/quote?connector=1-1&connector=1-2",
        "/events?account=x",
        "/events?session=1",
        "/events?since=1",
        "/events?from=x",
        "/export?from=2",
        "/export?from=x",
    ]
    .map(str::to_owned);
    cases.extend(bad.iter().map(|path| (path.clone(), get(path), 400, "bad_request")));
    for query in
        ["?wait=committed&timeout_ms=0", "?wait=committed&timeout_ms=50001", "?wait=seen", "?wait=", "?timeout_ms=5", "?wiat=committed"]
    {
        cases.push((query.to_owned(), post(query, good.clone()), 400, "bad_request"));
    }
    for last in
        [&b""[..], b"1", b"1-2", b"1-2-3-4", b"1-2-x", b"-1-2-3", b"1-4294967296-0", b"18446744073709551616-0-0", b"\xff-0-0", b"+1-0-0"]
    {
        cases.push((format!("Last-Event-ID {last:?}"), events(last), 400, "bad_request"));
    }

    let mut wrong = Vec::new();
    for (name, request, status, code) in cases {
        let response = api.router.clone().oneshot(request).await.unwrap();
        let found = response.status().as_u16();
        if found < 400 {
            wrong.push(format!("{name}: expected {status} {code}, found {found}"));
            continue;
        }
        let kind = response.headers().get(header::CONTENT_TYPE).cloned();
        assert_eq!(status == 405, response.headers().contains_key(header::ALLOW), "{name}");
        let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        match serde_json::from_slice::<Problem>(&body) {
            Ok(problem) if kind.is_some_and(|kind| kind == "application/problem+json") => {
                assert_eq!(problem.status, found, "{name}");
                if (found, problem.code.as_str()) != (status, code) {
                    wrong.push(format!("{name}: expected {status} {code}, found {found} {}", problem.code));
                }
            }
            _ => wrong.push(format!("{name}: no problem document: {}", String::from_utf8_lossy(&body))),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(api.get::<Status>("/status").await, before, "none of them changed anything");
    let stale = api.problem("a stale tariff", sent(api.open_on(&neighbour(), 0, 2, 2))).await;
    assert_eq!((stale.expected.as_deref(), stale.found.as_deref()), (Some("1"), Some("2")));

    // The one that all of them were made of is good.
    let (status, _) = api.submit("?wait=committed", good).await;
    assert_eq!(status, StatusCode::OK);
    api.stop().await;
    deciding.await.unwrap();
}

#[tokio::test]
async fn pages_give_everything_exactly_once() {
    let api = Api::start();
    let deciding = api.decides();
    api.furnish(5).await;
    let mut opened = Vec::new();
    for round in 0..4 {
        let id = commit(&api.app, api.open_on(&driver(), 2 * round, 1, 1)).await.unwrap().id;
        opened.push(SessionId(id.0));
        commit(&api.app, api.solo.sign(&driver(), 2 * round + 1, Call::StopSession(StopSession { session: SessionId(id.0) })))
            .await
            .unwrap();
    }
    for (nonce, connector) in (0..).zip(1..=5) {
        let id = commit(&api.app, api.open_on(&neighbour(), nonce, connector, 1)).await.unwrap().id;
        opened.push(SessionId(id.0));
    }
    let tip = api.app.handle.tip().height.0;
    let (driver, neighbour) = (address_of(&driver()), address_of(&neighbour()));
    for limit in [1, 2, 3, 4, 5, 500] {
        let heights: Vec<u64> = api.walk::<BlockView>("/blocks", limit).await.iter().map(|block| block.header.height.0).collect();
        assert_eq!(heights, (1..=tip).rev().collect::<Vec<_>>());
        let heights: Vec<u64> = api.walk::<BlockView>("/blocks?before=4", limit).await.iter().map(|block| block.header.height.0).collect();
        assert_eq!(heights, [3, 2, 1]);
        let connectors: Vec<_> = api.walk::<ConnectorView>("/connectors", limit).await.iter().map(|view| view.id.to_string()).collect();
        assert_eq!(connectors, ["1-1", "1-2", "1-3", "1-4", "1-5"]);
        // The sale that registered it, four sessions opened and four stopped; newest first.
        let transactions: Vec<TransactionView> = api.walk(&format!("/accounts/{driver}/transactions"), limit).await;
        let places: Vec<_> = transactions.iter().map(|view| view.committed.as_ref().map(|one| (one.height, one.index))).collect();
        assert!(places.is_sorted_by(|one, next| one > next), "{places:?}");
        assert_eq!(transactions.len(), 9);
        let ids = |views: Vec<SessionView>| views.iter().map(session_id).collect::<Vec<_>>();
        let newest_first = |of: &[SessionId]| of.iter().rev().copied().collect::<Vec<_>>();
        assert_eq!(ids(api.walk(&format!("/sessions?account={driver}"), limit).await), newest_first(&opened[..4]));
        assert_eq!(ids(api.walk(&format!("/sessions?account={neighbour}"), limit).await), newest_first(&opened[4..]));
        assert_eq!(ids(api.walk("/sessions?connector=1-1", limit).await), newest_first(&opened[..5]));
        assert_eq!(ids(api.walk("/sessions?connector=1-1&state=settled", limit).await), newest_first(&opened[..4]));
        assert_eq!(ids(api.walk("/sessions?connector=1-1&state=open", limit).await), opened[4..5]);
        assert_eq!(ids(api.walk(&format!("/sessions?connector=1-1&account={neighbour}"), limit).await), opened[4..5]);
        assert_eq!(ids(api.walk("/sessions?state=all", limit).await), newest_first(&opened));
        assert_eq!(ids(api.walk("/sessions?state=settled", limit).await), newest_first(&opened[..4]));
        let open = ids(api.walk("/sessions", limit).await);
        assert_eq!(open.len(), 5);
        assert_eq!(open.into_iter().collect::<BTreeSet<_>>(), opened[4..].iter().copied().collect());
    }
    let empty: Page<BlockView> = api.get("/blocks?before=0").await;
    assert_eq!(empty, Page { items: Vec::new(), next: None });
    for id in &opened {
        assert_eq!(session_id(&api.get(&format!("/sessions/{id}")).await), *id);
        assert_eq!(api.get::<Page<ReadingView>>(&format!("/sessions/{id}/readings")).await.items, []);
    }
    let proven: ProvenReceipt = api.get(&format!("/sessions/{}/receipt", opened[0])).await;
    api.verifies(&proven.header, &proven.certificate, &proven.validators);
    proven.path.verify(proven.receipt.leaf(), proven.header.receipts_root).unwrap();
    let open = api.problem("still open", get(&format!("/sessions/{}/receipt", opened[4]))).await;
    assert_eq!((open.status, open.code.as_str()), (404, "not_found"));

    let known: BlockView = api.get("/blocks/3").await;
    let proof: SessionProof = api.get(&format!("/sessions/{}/proof?checkpoint=3", opened[0])).await;
    let beginning = Beginning { chain_id: api.app.handle.chain_id(), validators: proven.validators.clone() };
    for trust in [Trust::Genesis(beginning.chain_id), Trust::Checkpoint(Checkpoint { height: Height(3), hash: known.hash })] {
        let verified = proof.verify(&beginning, trust).unwrap();
        assert_eq!((Some(verified.bill), verified.settled_in), (proven.receipt.bill_of(opened[0]), proven.header.height));
    }
    let open = api.problem("still open", get(&format!("/sessions/{}/proof", opened[4]))).await;
    assert_eq!((open.status, open.code.as_str()), (404, "not_found"));
    let ahead = api.problem("a block that is not there", get(&format!("/sessions/{}/proof?checkpoint=1000", opened[0]))).await;
    assert_eq!((ahead.status, ahead.field.as_deref()), (404, Some("checkpoint")));
    api.stop().await;
    deciding.await.unwrap();
}

fn session_id(view: &SessionView) -> SessionId {
    match view {
        SessionView::Open { id, .. } | SessionView::Settled { id, .. } => *id,
    }
}

#[tokio::test]
async fn the_stream_of_events_loses_and_repeats_nothing_wherever_it_is_taken_up_again() {
    let api = Api::start();
    let deciding = api.decides();
    let mut live = Events::open(&api, "", None).await;
    api.furnish(2).await;
    let session = SessionId(commit(&api.app, api.open_on(&driver(), 0, 1, 1)).await.unwrap().id.0);
    let other = SessionId(commit(&api.app, api.open_on(&neighbour(), 0, 2, 1)).await.unwrap().id.0);
    for (key, session) in [(driver(), session), (neighbour(), other)] {
        commit(&api.app, api.solo.sign(&key, 1, Call::StopSession(StopSession { session }))).await.unwrap();
    }

    // What the chain holds, in its own order.
    let mut expected = Vec::new();
    let tip = api.app.handle.tip().height;
    for height in (1..=tip.0).map(Height) {
        let receipts: BlockReceipts = api.get(&format!("/blocks/{height}/receipts")).await;
        for (index, receipt) in receipts.receipts.iter().enumerate() {
            expected.extend((0..receipt.events.len()).map(|event| format!("{height}-{index}-{event}")));
        }
    }
    assert!(expected.len() > 8, "{expected:?}");
    assert_eq!(live.ids(expected.len()).await, expected);
    assert_eq!(Events::open(&api, "?from=1", None).await.ids(expected.len()).await, expected);

    let mut resumed = Vec::new();
    for (place, last) in expected.iter().enumerate() {
        let mut stream = Events::open(&api, "", Some(last)).await;
        assert_eq!(stream.ids(expected.len() - place - 1).await, expected[place + 1..], "after {last}");
        resumed.push(stream);
    }
    let mut of_session = Events::open(&api, &format!("?session={session}&from=1"), None).await;
    let mut of_account = Events::open(&api, &format!("?account={}&from=1", address_of(&driver())), None).await;
    let (first, name, event) = of_session.next().await;
    assert_eq!((name.as_str(), event.height), ("session_opened", Height(7)), "{first}");
    let (settled, name, _) = of_session.next().await;
    assert_eq!((name.as_str(), expected.contains(&settled)), ("session_settled", true));
    let names: Vec<String> =
        [of_account.next().await.1, of_account.next().await.1, of_account.next().await.1, of_account.next().await.1].into();
    assert_eq!(names, ["account_registered", "tokens_sold", "session_opened", "session_settled"]);

    // The next event is the next commit's, on every stream that it concerns and on no other.
    commit(&api.app, api.transfer(&driver(), 2, 5)).await.unwrap();
    for stream in resumed.iter_mut().chain([&mut live, &mut of_account]) {
        let (id, name, event) = stream.next().await;
        assert_eq!((id, name.as_str(), event.height), (format!("{}-0-0", tip.next()), "transferred", tip.next()));
    }
    commit(&api.app, api.solo.sell(2, 3, address_of(&neighbour()), 1)).await.unwrap();
    let reopened = commit(&api.app, api.open_on(&driver(), 3, 1, 1)).await.unwrap();
    assert_eq!(of_account.next().await.2.height, reopened.location.height, "the neighbour's purchase is not the driver's");
    let text = String::from_utf8(api.ask(get("/metrics")).await.2.to_vec()).unwrap();
    assert!(text.contains(&format!("commonwatt_event_streams {}", expected.len() + 3)), "{text}");
    drop((live, resumed, of_session, of_account));
    let text = String::from_utf8(api.ask(get("/metrics")).await.2.to_vec()).unwrap();
    assert!(text.contains("commonwatt_event_streams 0"), "{text}");
    api.stop().await;
    deciding.await.unwrap();
}

#[tokio::test]
async fn values_prices_and_sums_are_those_of_the_ledger_and_provable() {
    let api = Api::start();
    let deciding = api.decides();
    api.furnish(2).await;
    let holder = address_of(&driver());
    for (address, stands) in [(holder, true), (Address([9; 32]), false)] {
        let key = Key::Account(address).bytes();
        let proven: ProvenState = api.get(&format!("/state?key={}", hex::encode(&key).to_uppercase())).await;
        assert_eq!((proven.key, proven.value.is_some()), (hex::encode(&key), stands));
        api.verifies(&proven.header, &proven.certificate, &proven.validators);
        let value = proven.value.map(|value| hex::decode(value).unwrap());
        proven.proof.verify(proven.header.state_root, &key, value.as_deref()).unwrap();
        let opposite = value.as_ref().map_or(Some(&[1_u8][..]), |_| None);
        assert!(proven.proof.verify(proven.header.state_root, &key, opposite).is_err());
        let proof: AccountProof = api.get(&format!("/accounts/{address}/proof?checkpoint={}", proven.header.height)).await;
        let beginning = Beginning { chain_id: api.app.handle.chain_id(), validators: proven.validators };
        let verified = proof.verify(&beginning, Trust::Checkpoint(Checkpoint::of(&proven.header))).unwrap();
        assert_eq!(verified.account.is_some(), stands);
    }

    let at = api.clock.now();
    for (asked, energy, hours) in [("", None, None), ("&energy_wh=10000&max_duration_ms=28800000", Some(10_000), Some(8))] {
        let view: QuoteView = api.get(&format!("/quote?connector=1-2{asked}")).await;
        let snapshot = api.app.handle.snapshot().unwrap();
        let max_duration = hours.map_or(snapshot.params().unwrap().max_duration, Duration::from_hours);
        let tariff = TariffId::new(HOME, 1);
        let (tariff_version, version) = in_force(&Ledger::new(&snapshot), tariff, at).unwrap().unwrap();
        let asked = QuoteRequest { from: at, rated: Currents::from_ma([16_000; 3]), energy: energy.map(WattHours::new), max_duration };
        let found = quote(&version.tariff, &asked).unwrap();
        let expected = QuoteView {
            connector: ConnectorId::new(HOME, 2),
            tariff,
            tariff_version,
            price_per_kwh: found.price_per_kwh,
            price_per_hour: Amount::ZERO,
            price_per_hour_parked: Amount::ZERO,
            parking_grace: Duration::ZERO,
            flat: found.price_per_session,
            min_price: None,
            max_price: None,
            expected: found.expected,
            expected_parts: AmountByComponent { energy: found.expected, ..AmountByComponent::default() },
            expected_energy: found.expected_energy,
            expected_duration: found.expected_duration,
            maximum: found.maximum,
            maximum_parts: view.maximum_parts,
            maximum_energy: found.maximum_energy,
            max_duration,
            next_change: found.next_change,
        };
        assert_eq!(view, expected);
        assert_eq!(view.price_per_kwh, Amount::from_micro(250_000));
    }

    let sums: Page<CondominiumView> = api.get("/totals").await;
    assert_eq!(sums.items.iter().map(|view| (view.balance, view.conserved)).collect::<Vec<_>>(), [(Amount::from_micro(40_000_000), true)]);
    let status: Status = api.get("/status").await;
    let tip = api.app.handle.tip();
    assert_eq!((status.height, status.hash, status.now, status.pending), (tip.height, tip.hash, at, 0));
    assert_eq!(status.chain_id, api.solo.genesis.chain_id());
    assert_eq!(api.get::<contracts::genesis::Genesis>("/genesis").await, api.solo.genesis);
    // Numbers of 64 bits are decimal strings: a browser's numbers lose digits.
    let raw: serde_json::Value = api.get("/validators").await;
    assert_eq!(raw[0]["power"], "1");
    let raw: serde_json::Value = api.get(&format!("/accounts/{holder}")).await;
    assert_eq!((&raw["next_nonce"], &raw["account"]["balance"]), (&"0".into(), &"20000000".into()));
    for path in ["/health", "/status"] {
        assert_eq!(api.ask(get(path)).await.0, StatusCode::OK);
    }
    let health: Health = api.get("/health").await;
    assert_eq!(health, Health { ready: true, height: tip.height, problems: Vec::new() });
    let (status, kind, text) = api.ask(get("/metrics")).await;
    assert_eq!((status, kind.as_str()), (StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8"));
    let text = String::from_utf8(text.to_vec()).unwrap();
    for line in [&format!("commonwatt_height {}", tip.height), "commonwatt_mempool_transactions 0", "of_consensus 1"] {
        assert!(text.lines().any(|found| found == line), "{line} in {text}");
    }
    assert!(text.contains(r#"route="/api/v1/quote",status="200""#), "{text}");
    api.stop().await;
    deciding.await.unwrap();
}

#[tokio::test]
async fn a_period_of_charging_away_from_home_is_shown_cleared_and_paid() {
    let api = Api::start_on(Solo::federation(), http::open());
    let deciding = api.decides();
    let amount = Amount::from_micro(5_000_000);
    let send = |key: &SigningKey, nonce, call| commit(&api.app, api.solo.sign(key, nonce, call));
    let treasurer = api.solo.key(KeyName::Treasurer);
    commit(&api.app, api.solo.sell(0, 1, address_of(&driver()), 20)).await.unwrap();
    send(&driver(), 0, Call::Transfer(Transfer { to: address_of(&away_staff()), amount })).await.unwrap();

    let position = PositionView {
        debtor: HOME,
        creditor: AWAY,
        owed: amount,
        pending: Amount::ZERO,
        unpaid: Amount::ZERO,
        limit: Amount::from_micro(30_000_000),
    };
    assert_eq!(api.get::<Page<PositionView>>("/positions").await.items, [position]);
    let roaming =
        vec![RoamingView { home: HOME, host: AWAY, roaming: Roaming { transfers: 1, transferred: amount, ..Roaming::default() } }];
    let payment = PaymentView { clearing: 1, debtor: HOME, creditor: AWAY, amount, state: PaymentState::Expected };
    let running = StatementView { number: 1, from: None, until: None, roaming, payments: vec![payment] };
    assert_eq!(api.get::<StatementView>("/clearings/next").await, running);
    assert_eq!(api.get::<Page<ClearingView>>("/clearings").await.items, []);

    send(&treasurer, 1, Call::ClearPositions(ClearPositions { condominium: HOME })).await.unwrap();
    let cleared = PositionView { owed: Amount::ZERO, unpaid: amount, ..position };
    assert_eq!(api.get::<Page<PositionView>>("/positions").await.items, [cleared]);
    let list = api.get::<Page<ClearingView>>("/clearings").await.items;
    assert_eq!((list.len(), list[0].number, list[0].clearing.height), (1, 1, Height(3)));
    let until = Some(list[0].clearing.until);
    let statement = |state| StatementView { until, payments: vec![PaymentView { state, ..payment }], ..running.clone() };
    assert_eq!(api.get::<StatementView>("/clearings/1").await, statement(PaymentState::Due));
    let next = StatementView { number: 2, from: until, until: None, roaming: Vec::new(), payments: Vec::new() };
    assert_eq!(api.get::<StatementView>("/clearings/next").await, next);

    let report = ReportPayment { clearing: 1, debtor: HOME, creditor: AWAY, payment: Hash32::ZERO };
    send(&treasurer, 2, Call::ReportPayment(report)).await.unwrap();
    let unpaid = api.get::<Page<PaymentView>>("/payments").await.items;
    assert!(matches!(unpaid[..], [PaymentView { clearing: 1, debtor: HOME, creditor: AWAY, state: PaymentState::Reported { .. }, .. }]));
    assert_eq!(api.get::<StatementView>("/clearings/1").await, statement(unpaid[0].state));
    let answer = AnswerPayment { clearing: 1, debtor: HOME, creditor: AWAY, answer: PaymentAnswer::Received };
    send(&away_staff(), 0, Call::AnswerPayment(answer)).await.unwrap();
    assert_eq!(api.get::<StatementView>("/clearings/1").await, statement(PaymentState::Received));
    assert_eq!(api.get::<Page<PaymentView>>("/payments").await.items, []);
    assert_eq!(api.get::<Page<PositionView>>("/positions").await.items, []);
    let sums = api.get::<Page<CondominiumView>>("/totals").await.items;
    assert!(sums.iter().all(|view| view.conserved && view.owed_by.is_zero()));

    assert_eq!(api.problem("no such clearing", get("/clearings/2")).await.code, "not_found");
    assert_eq!(api.problem("no number", get("/clearings/first")).await.code, "bad_request");
    api.stop().await;
    deciding.await.unwrap();
}
