//! A client of the HTTP API inside the test's process: whole requests to the router over a chain of one validator, and streams as a browser reads them.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::sync::Arc;

use axum::{
    Router,
    body::{Body, BodyDataStream, to_bytes},
    http::{Method, Request, StatusCode, header},
};
use bytes::Bytes;
use chain::{
    api::{Page, Problem, QueueTicket, StreamedEvent, Submitted},
    block::Header,
    certificate::{CommitCertificate, ValidatorSet},
    crypto::address_of,
    export::KeptSamples,
    hash::Hash32,
    id::{CardId, ConnectorId, GroupId, SessionId},
    quantity::{Amount, Currents, WattHours, Watts},
    record::{Control, MandateTerms, PlugSignal, Service},
    sign_in::{Challenge, Token},
    time::Duration,
};
use contracts::call::{
    Attest, BindCard, Call, GrantCharge, GrantMandate, OpenSession, Priority, PutConnector, Reading, ReadingFlags, RequestRedeem,
    SettleSession, StopSession, Transfer,
};
use ed25519_dalek::SigningKey;
use futures::StreamExt as _;
use node::{
    api::{ApiState, Metrics, Shared},
    app::{App, Limits},
    clock::Clock,
    config::{ApiConfig, Reads},
    keys::KeyName,
};
use serde::de::DeserializeOwned;
use tokio::{sync::watch, task::JoinHandle};
use tower::ServiceExt as _;

use crate::solo::{HOME, NOON, Solo, WAIT, commit, resident, stop};

/// A node with an API, and nobody who decides until [`Api::decides`].
pub struct Api {
    pub solo: Solo,
    pub app: App,
    pub clock: Clock,
    pub router: Router,
    pub queue: watch::Sender<Vec<QueueTicket>>,
}

/// Status, content type and body of an answer.
pub type Answer = (StatusCode, String, Bytes);

impl Api {
    pub fn start() -> Self {
        Self::start_with(open())
    }

    pub fn start_with(shared: Shared) -> Self {
        Self::start_on(Solo::found(), shared)
    }

    pub fn start_on(solo: Solo, shared: Shared) -> Self {
        let clock = Clock::stepped(NOON);
        let app = solo.start_with(clock.clone(), Limits::default());
        let (sender, queue) = watch::channel(Vec::new());
        let router = node::api::router(ApiState {
            app: app.handle.clone(),
            clock: clock.clone(),
            genesis: Arc::new(solo.genesis.clone()),
            queue,
            samples: Arc::new(|_, _| Ok(KeptSamples::Unknown)),
            monitor: Arc::new(|| Ok(Vec::new())),
            export: Arc::new(|_| Box::pin(futures::stream::empty())),
            consensus_metrics: Arc::new(|| "of_consensus 1\n".to_owned()),
            metrics: Arc::new(Metrics::default()),
            shared: Arc::new(shared),
        });
        Self { solo, app, clock, router, queue: sender }
    }

    pub fn decides(&self) -> JoinHandle<()> {
        self.solo.decide_on(&self.app.port)
    }

    pub async fn stop(self) {
        drop(self.router);
        stop(self.app).await;
    }

    pub async fn ask(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let kind = response.headers().get(header::CONTENT_TYPE).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default();
        (response.status(), kind, to_bytes(response.into_body(), 64 << 20).await.unwrap())
    }

    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> T {
        let (status, kind, body) = self.ask(get(path)).await;
        let text = String::from_utf8_lossy(&body);
        assert_eq!((status, kind.as_str()), (StatusCode::OK, "application/json"), "{path}: {text}");
        serde_json::from_slice(&body).unwrap_or_else(|error| panic!("{path}: {error}: {text}"))
    }

    /// The problem that a request gets; its status stands in the document too.
    pub async fn problem(&self, name: &str, request: Request<Body>) -> Problem {
        let (status, kind, body) = self.ask(request).await;
        assert_eq!(kind, "application/problem+json", "{name}: {status}: {}", String::from_utf8_lossy(&body));
        let problem: Problem = serde_json::from_slice(&body).unwrap();
        assert_eq!(problem.status, status.as_u16(), "{name}");
        assert_eq!(problem.kind, format!("urn:commonwatt:problem:{}", problem.code), "{name}");
        assert!(!problem.title.is_empty() && !problem.detail.is_empty(), "{name}");
        problem
    }

    /// Signs in and gives the token.
    pub async fn sign_in(&self, key: &SigningKey) -> String {
        let (status, _, body) = self.ask(request(Method::POST, "/challenges", &[], Body::empty())).await;
        assert_eq!(status, StatusCode::OK);
        let challenge: Challenge = serde_json::from_slice(&body).unwrap();
        let answer = serde_json::to_vec(&challenge.answer(key).unwrap()).unwrap();
        let (status, _, body) = self.ask(request(Method::POST, "/tokens", &[("content-type", b"application/json")], answer)).await;
        assert_eq!(status, StatusCode::OK, "{}", String::from_utf8_lossy(&body));
        serde_json::from_slice::<Token>(&body).unwrap().token
    }

    pub async fn submit(&self, query: &str, bytes: Bytes) -> (StatusCode, Submitted) {
        let (status, _, body) = self.ask(post(query, bytes)).await;
        (status, serde_json::from_slice(&body).unwrap_or_else(|_| panic!("{status}: {}", String::from_utf8_lossy(&body))))
    }

    /// Everything of a list, page by page, with the size of each page.
    pub async fn walk<T: DeserializeOwned>(&self, path: &str, limit: usize) -> Vec<T> {
        let mut items = Vec::new();
        let mut cursor = String::new();
        let joint = if path.contains('?') { '&' } else { '?' };
        for _ in 0..1_000 {
            let page: Page<T> = self.get(&format!("{path}{joint}limit={limit}{cursor}")).await;
            assert!(page.items.len() <= limit, "{path}");
            items.extend(page.items);
            let Some(next) = page.next else { return items };
            cursor = format!("&cursor={next}");
        }
        panic!("{path} does not end");
    }

    /// A group, a tariff, connectors 1 to `connectors`, and two residents with tokens, in `connectors` + 4 blocks.
    pub async fn furnish(&self, connectors: u32) {
        for (nonce, buyer) in (0..).zip([driver(), neighbour()]) {
            commit(&self.app, self.solo.sell(nonce, nonce + 1, address_of(&buyer), 20)).await.unwrap();
        }
        for bytes in self.solo.furnish() {
            commit(&self.app, bytes).await.unwrap();
        }
        let manager = self.solo.key(KeyName::Manager);
        for number in 2..=connectors {
            let call = PutConnector {
                connector: ConnectorId::new(HOME, number),
                group: 1,
                control: Control::Switched,
                plug_signal: PlugSignal::Reported,
                rated: Currents::from_ma([16_000; 3]),
                tariff: 1,
                service: Service::InService,
            };
            commit(&self.app, self.solo.sign(&manager, u64::from(number) + 1, Call::PutConnector(call))).await.unwrap();
        }
        self.clock.set(NOON.saturating_add(Duration::from_secs(2))).unwrap();
    }

    /// A garage in which something of everything has happened; gives an open and a settled session.
    pub async fn live(&self) -> (SessionId, SessionId) {
        let api = self;
        api.furnish(2).await;
        let [manager, scheduler, gateway] = [KeyName::Manager, KeyName::Scheduler, KeyName::Gateway].map(|name| api.solo.key(name));
        let terms = MandateTerms {
            max_per_session: Amount::from_micro(1_000_000),
            max_per_day: Amount::from_micro(2_000_000),
            max_price_per_kwh: Amount::from_micro(500_000),
            max_price_per_hour: Amount::ZERO,
            expires: NOON.saturating_add(Duration::from_hours(24)),
            connectors: Vec::new(),
            confirm_from: 1_000,
        };
        let mut calls = vec![(driver(), 0, Call::GrantMandate(GrantMandate { condominium: HOME, terms }))];
        calls.push((driver(), 1, Call::RequestRedeem(RequestRedeem { amount: Amount::from_micro(1), payee: Hash32::ZERO })));
        let card = CardId(Hash32([5; 32]));
        calls.push((manager, 4, Call::BindCard(BindCard { condominium: HOME, account: Some(address_of(&driver())), card })));
        for (key, nonce, call) in calls {
            commit(&api.app, api.solo.sign(&key, nonce, call)).await.unwrap();
        }
        let settled = SessionId(commit(&api.app, api.open_on(&driver(), 2, 1, 1)).await.unwrap().id.0);
        let open = SessionId(commit(&api.app, api.open_on(&neighbour(), 0, 2, 1)).await.unwrap().id.0);
        let current = Currents::from_ma([6_000; 3]);
        commit(&api.app, api.solo.sign(&scheduler, 0, Call::GrantCharge(GrantCharge { session: settled, current, skipped: Vec::new() })))
            .await
            .unwrap();
        let at = api.app.handle.snapshot().unwrap().session(settled).unwrap().unwrap().first_granted_at.unwrap();
        let reading = Reading {
            session: settled,
            sequence: 1,
            at,
            register_wh: WattHours::new(5),
            power_w: Watts::new(0),
            flags: ReadingFlags::NONE,
            samples_root: Hash32::ZERO,
            sample_count: 0,
        };
        commit(&api.app, api.solo.sign(&gateway, 0, Call::Attest(Attest { readings: vec![reading] }))).await.unwrap();
        commit(&api.app, api.solo.sign(&driver(), 3, Call::StopSession(StopSession { session: settled }))).await.unwrap();
        let settle = SettleSession { session: settled };
        commit(&api.app, api.solo.sign(&gateway, 1, Call::SettleSession(settle))).await.unwrap();
        let ticket = QueueTicket {
            session: open,
            connector: ConnectorId::new(HOME, 2),
            group: GroupId::new(HOME, 1),
            position: 1,
            since: NOON,
            reason: "1 of 1 places is busy".to_owned(),
            skipped: None,
            expected_at: Some(NOON),
        };
        api.queue.send_replace(vec![ticket]);
        (open, settled)
    }

    pub fn open_on(&self, key: &SigningKey, nonce: u64, connector: u32, tariff_version: u32) -> Bytes {
        let call = OpenSession {
            connector: ConnectorId::new(HOME, connector),
            tariff_version,
            max_spend: Amount::from_micro(1_000_000),
            max_duration: Duration::from_hours(2),
            energy_target: None,
            state_of_charge: None,
            depart_by: None,
            window: None,
            priority: Priority::None,
        };
        self.solo.sign(key, nonce, Call::OpenSession(call))
    }

    pub fn transfer(&self, key: &SigningKey, nonce: u64, amount: u64) -> Bytes {
        let to = address_of(&self.solo.key(KeyName::Revenue));
        self.solo.sign(key, nonce, Call::Transfer(Transfer { to, amount: Amount::from_micro(amount) }))
    }

    pub fn verifies(&self, header: &Header, certificate: &CommitCertificate, validators: &ValidatorSet) {
        assert_eq!((certificate.height, certificate.block), (header.height, header.hash()));
        assert_eq!(*validators, self.solo.genesis.validator_set().unwrap());
        certificate.verify(self.solo.genesis.chain_id(), validators).unwrap();
    }
}

/// The bounds of a node that shows everybody everything.
pub fn open() -> Shared {
    // How often one may ask is a matter of tests of its own.
    let without_limits = ApiConfig { requests_per_s: u32::MAX, request_burst: u32::MAX, ..ApiConfig::default() };
    Shared::new(&ApiConfig { reads: Reads::Everybody, ..without_limits }, Hash32::ZERO)
}

pub fn driver() -> SigningKey {
    resident(1)
}

pub fn neighbour() -> SigningKey {
    resident(2)
}

pub fn request(method: Method, path: &str, headers: &[(&str, &[u8])], body: impl Into<Body>) -> Request<Body> {
    let path = if path == "/metrics" || path == "/health" { path.to_owned() } else { format!("/api/v1{path}") };
    let begun = Request::builder().method(method).uri(path);
    headers.iter().fold(begun, |request, (name, value)| request.header(*name, *value)).body(body.into()).unwrap()
}

pub fn get(path: &str) -> Request<Body> {
    request(Method::GET, path, &[], Body::empty())
}

/// The same question of somebody who has signed in.
pub fn get_as(token: &str, path: &str) -> Request<Body> {
    request(Method::GET, path, &[("authorization", format!("Bearer {token}").as_bytes())], Body::empty())
}

pub fn post(query: &str, bytes: Bytes) -> Request<Body> {
    request(Method::POST, &format!("/transactions{query}"), &[("content-type", b"application/octet-stream")], bytes)
}

/// A stream of events as a browser reads it.
pub struct Events {
    body: BodyDataStream,
    buffer: String,
}

impl Events {
    pub async fn open(api: &Api, query: &str, last: Option<&str>) -> Self {
        let headers: Vec<(&str, &[u8])> = last.iter().map(|last| ("last-event-id", last.as_bytes())).collect();
        Self::open_with(api, query, &headers).await
    }

    pub async fn open_with(api: &Api, query: &str, headers: &[(&str, &[u8])]) -> Self {
        let response = api.router.clone().oneshot(request(Method::GET, &format!("/events{query}"), headers, Body::empty())).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        Self::of(response)
    }

    pub fn of(response: axum::response::Response) -> Self {
        assert_eq!(response.headers()[header::CONTENT_TYPE], "text/event-stream");
        Self { body: response.into_body().into_data_stream(), buffer: String::new() }
    }

    /// Id, name and data of the next event.
    pub async fn next(&mut self) -> (String, String, StreamedEvent) {
        loop {
            if let Some((one, rest)) = self.buffer.split_once("\n\n") {
                let field = |name: &str| one.lines().find_map(|line| line.strip_prefix(name)).map(|text| text.trim_start().to_owned());
                let found = field("id:").zip(field("event:")).zip(field("data:"));
                self.buffer = rest.to_owned();
                // A ping is a comment alone.
                let Some(((id, name), data)) = found else { continue };
                return (id, name, serde_json::from_str(&data).unwrap());
            }
            let piece =
                tokio::time::timeout(WAIT, self.body.next()).await.expect("an event in time").expect("a stream that lives").unwrap();
            self.buffer.push_str(std::str::from_utf8(&piece).unwrap());
        }
    }

    /// The rest of a stream that ends, as it was sent.
    pub async fn rest(mut self) -> String {
        while let Some(piece) = tokio::time::timeout(WAIT, self.body.next()).await.expect("an end in time") {
            self.buffer.push_str(std::str::from_utf8(&piece.unwrap()).unwrap());
        }
        self.buffer
    }

    pub async fn ids(&mut self, count: usize) -> Vec<String> {
        let mut ids = Vec::with_capacity(count);
        while ids.len() < count {
            ids.push(self.next().await.0);
        }
        ids
    }
}
