//! The units' door over HTTP, with a loop behind it that admits whatever it is asked.

use std::sync::{Arc, Mutex};

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{Request, StatusCode, header},
};
use chain::api::Problem;
use firmware_core::{CONFIG_REQUEST_LEN, Capabilities, DeviceId, Identity, SensorId, Unit, encode_hex};
use tokio::sync::mpsc;
use tower::ServiceExt as _;

use super::{Counters, GatewayConfig, PLACE};
use crate::{
    clock::Clock,
    gateway::{
        cards,
        http::{self, Ask, Door},
        pace::Pace,
        units::{self, LiveRegistry},
    },
};

struct Gate {
    router: Router,
    unit: Unit,
    counters: Arc<Counters>,
    _folder: tempfile::TempDir,
}

impl Gate {
    fn new(settings: &GatewayConfig) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let sensor = SensorId::new(3).unwrap();
        let entry = units::add(folder.path(), PLACE, None, sensor).unwrap();
        let key: [u8; 32] = hex::decode(entry.key.reveal()).unwrap().try_into().unwrap();
        let identity = Identity { device: DeviceId(1), sensor, capabilities: Capabilities::PLUG_SIGNAL, firmware: 1 };
        let (asks, mut waiting) = mpsc::channel::<Ask>(http::ASK_CAPACITY);
        tokio::spawn(async move {
            while let Some(ask) = waiting.recv().await {
                let _ = ask.answer.send(Ok(vec![1, 2, 3]));
            }
        });
        let counters = Arc::new(Counters::default());
        let door = Door {
            units: Arc::new(Mutex::new(LiveRegistry::open(folder.path()).unwrap())),
            pace: Arc::new(Mutex::new(Pace::new(settings))),
            asks,
            clock: Clock::real(),
            counters: Arc::clone(&counters),
        };
        let cards = cards::route(cards::OrderDoor { orders: mpsc::channel(cards::ORDER_CAPACITY).0, clock: Clock::real() });
        Self { router: http::units(door, cards), unit: Unit::new(identity, &key, 1).unwrap(), counters, _folder: folder }
    }

    fn body(&mut self) -> Vec<u8> {
        let mut body = vec![0; 1_024];
        let length = self.unit.readings_request(0, &mut body).unwrap();
        body.truncate(length);
        body
    }

    /// Status, `Retry-After` and problem code of an answer; no code where it is a message.
    async fn ask(&self, request: Request<Body>) -> (StatusCode, Option<u64>, String) {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        let body = to_bytes(response.into_body(), 4_096).await.unwrap();
        let after = headers.get(header::RETRY_AFTER).map(|value| value.to_str().unwrap().parse().unwrap());
        if status == StatusCode::OK {
            assert_eq!((headers[header::CONTENT_TYPE].to_str().unwrap(), &body[..]), ("application/octet-stream", [1, 2, 3].as_slice()));
            return (status, after, String::new());
        }
        assert_eq!(headers[header::CONTENT_TYPE], "application/problem+json");
        let problem: Problem = serde_json::from_slice(&body).unwrap();
        assert_eq!(problem.status, status.as_u16());
        assert_eq!(problem.kind, format!("urn:commonwatt:problem:{}", problem.code));
        (status, after, problem.code)
    }
}

fn post(kind: Option<&str>, body: Vec<u8>) -> Request<Body> {
    let request = Request::builder().method("POST").uri("/unit/v1/readings");
    let request = if let Some(kind) = kind { request.header("content-type", kind) } else { request };
    request.body(body.into()).unwrap()
}

fn get(query: &str) -> Request<Body> {
    Request::builder().uri(format!("/unit/v1/config{query}")).body(Body::empty()).unwrap()
}

#[tokio::test]
async fn readings_are_taken_as_what_they_are_and_the_query_holds_the_message_alone() {
    let mut gate = Gate::new(&GatewayConfig::default());
    for kind in [None, Some(""), Some("application/json"), Some("text/plain; application/octet-stream"), Some("application/octet-streams")]
    {
        let body = gate.body();
        let answer = gate.ask(post(kind, body)).await;
        assert_eq!(answer, (StatusCode::UNSUPPORTED_MEDIA_TYPE, None, "wrong_content_type".to_owned()), "{kind:?}");
    }
    for kind in ["application/octet-stream", "Application/Octet-Stream", "application/octet-stream; charset=binary"] {
        let body = gate.body();
        assert_eq!(gate.ask(post(Some(kind), body)).await.0, StatusCode::OK, "{kind}");
    }
    let message = gate.unit.config_request().unwrap();
    let mut digits = [0; 2 * CONFIG_REQUEST_LEN];
    let digits = encode_hex(&message, &mut digits).unwrap();
    for query in [format!("?m={digits}&x=1"), format!("?m={digits}&m={digits}"), format!("?{digits}"), format!("?M={digits}")] {
        let answer = gate.ask(get(&query)).await;
        assert_eq!(answer, (StatusCode::BAD_REQUEST, None, "bad_request".to_owned()), "{query}");
    }
    for query in ["", "?m=", "?m=00FF"] {
        assert_eq!(gate.ask(get(query)).await, (StatusCode::BAD_REQUEST, None, "encoding".to_owned()), "{query}");
    }
    assert_eq!(gate.ask(get(&format!("?m={digits}"))).await.0, StatusCode::OK);
    let elsewhere = Request::builder().uri("/unit/v2/config").body(Body::empty()).unwrap();
    assert_eq!(gate.ask(elsewhere).await, (StatusCode::NOT_FOUND, None, "not_found".to_owned()));
    for (method, path) in [("POST", "/unit/v1/config"), ("GET", "/gateway/v1/cards")] {
        let asked = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
        assert_eq!(gate.ask(asked).await, (StatusCode::METHOD_NOT_ALLOWED, None, "wrong_method".to_owned()), "{path}");
    }
}

#[tokio::test]
async fn a_unit_that_sends_too_often_is_told_when_to_come_again_and_nobody_else_can_spend_its_messages() {
    let mut gate = Gate::new(&GatewayConfig { unit_messages_per_s: 1, unit_burst: 3, ..GatewayConfig::default() });
    let kind = Some("application/octet-stream");
    let first = gate.body();
    assert_eq!(gate.ask(post(kind, first.clone())).await.0, StatusCode::OK);
    let mut tampered = first.clone();
    tampered[20] ^= 1;
    for _ in 0..10 {
        assert_eq!(gate.ask(post(kind, first.clone())).await, (StatusCode::CONFLICT, None, "old_counter".to_owned()));
        assert_eq!(gate.ask(post(kind, tampered.clone())).await.0, StatusCode::UNAUTHORIZED);
    }
    // At least the two that are left pass; where the machine is slow a few more.
    for sent in 0.. {
        let body = gate.body();
        let answer = gate.ask(post(kind, body)).await;
        if answer.0 != StatusCode::OK {
            assert_eq!(answer, (StatusCode::TOO_MANY_REQUESTS, Some(1), "too_many_requests".to_owned()));
            assert!(sent >= 2, "{sent} messages passed");
            break;
        }
        assert!(sent < 1_000, "a unit may send without end");
    }
    assert_eq!(gate.counters.throttled.get(), 1);
    assert!(gate.counters.text().contains("commonwatt_gateway_messages_throttled_total 1"), "{}", gate.counters.text());
}
