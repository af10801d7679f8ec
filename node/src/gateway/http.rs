//! The unit protocol over HTTP: `GET /unit/v1/config` and `POST /unit/v1/readings`, with binary bodies.
//!
//! It bounds, finds the unit's key, checks the message and hands it to the gateway's loop, which checks it again against what it has seen; refusals are the
//! protocol's, as problem documents. It decides nothing about charging. `lib.rs` mounts the router.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use axum::{
    Json, Router,
    body::{Body, Bytes, to_bytes},
    extract::{RawQuery, Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use chain::api::Problem;
use firmware_core::{CONFIG_REQUEST_LEN, ConfigRequest, Head, MAX_MESSAGE_LEN, ProtocolError, Readings, decode_hex, device_of};
use tokio::sync::{mpsc, oneshot};

use super::{
    counters::Counters,
    pace::{Pace, Refused},
    units::{KnownUnit, LiveRegistry},
};
use crate::clock::{Clock, Work};

/// Messages of units that may wait for the gateway's loop; more are refused with 503.
pub(super) const ASK_CAPACITY: usize = 1_024;

/// How long a body may take to arrive.
pub(super) const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// The type of every message.
const MESSAGE_TYPE: &str = "application/octet-stream";

/// A unit's message for the gateway's loop.
#[derive(Debug)]
pub(super) struct Ask {
    /// Who sends it; the tag was right.
    pub unit: Arc<KnownUnit>,
    /// What.
    pub question: Question,
    /// Where the answer goes, once everything is durable.
    pub answer: oneshot::Sender<Result<Vec<u8>, ProtocolError>>,
    /// Keeps a stepped clock still until all consequences are under way.
    pub work: Work,
}

/// What a unit sends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Question {
    /// `GET /unit/v1/config`.
    Config([u8; CONFIG_REQUEST_LEN]),
    /// `POST /unit/v1/readings`.
    Readings(Bytes),
}

/// What the handlers share.
#[derive(Clone, Debug)]
pub(super) struct Door {
    /// The units and their keys.
    pub units: Arc<Mutex<LiveRegistry>>,
    /// How often each may ask.
    pub pace: Arc<Mutex<Pace>>,
    /// The way to the loop.
    pub asks: mpsc::Sender<Ask>,
    /// The node's clock.
    pub clock: Clock,
    /// For the operator.
    pub counters: Arc<Counters>,
}

/// Why a message gets no answer of the protocol.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Refusal {
    /// By the protocol itself.
    Protocol(ProtocolError),
    /// More often than a unit may send; room again after that.
    TooOften(Duration),
    /// The body is said to be of another type.
    ContentType(String),
    /// A query with something else than the message.
    Query(String),
    /// The body does not arrive.
    Slow,
    /// There is nothing at this path.
    Path(String),
    /// The path takes another method.
    Method(String),
}

impl From<ProtocolError> for Refusal {
    fn from(error: ProtocolError) -> Self {
        Self::Protocol(error)
    }
}

/// The router of the unit protocol, and of what else is asked at the units' door.
pub(super) fn units(door: Door, others: Router) -> Router {
    Router::new()
        .route("/unit/v1/config", get(config))
        .route("/unit/v1/readings", post(readings))
        .with_state(door)
        .merge(others)
        .fallback(async |request: Request| Refusal::Path(request.uri().path().to_owned()))
        .method_not_allowed_fallback(async |request: Request| Refusal::Method(request.method().to_string()))
}

async fn config(State(door): State<Door>, RawQuery(query): RawQuery) -> Response {
    let work = door.clock.work();
    let asked = async {
        let message = decode_hex::<CONFIG_REQUEST_LEN>(message_of(query.as_deref())?)?;
        let unit = door.unit(&message)?;
        let head = ConfigRequest::parse(&message, &unit.keys)?.head;
        door.ask(unit, &head, Question::Config(message), work).await
    };
    respond(asked.await)
}

async fn readings(State(door): State<Door>, headers: HeaderMap, body: Body) -> Response {
    let work = door.clock.work();
    let asked = async {
        check_type(&headers)?;
        let body = tokio::time::timeout(BODY_TIMEOUT, to_bytes(body, MAX_MESSAGE_LEN)).await.map_err(|_| Refusal::Slow)?;
        let body = body.map_err(|_| ProtocolError::TooLong)?;
        let unit = door.unit(&body)?;
        let head = Readings::parse(&body, &unit.keys)?.head;
        door.ask(unit, &head, Question::Readings(body), work).await
    };
    respond(asked.await)
}

/// The digits of `m`, which must be all there is.
fn message_of(query: Option<&str>) -> Result<&str, Refusal> {
    let mut message = None;
    for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=') {
            Some(("m", digits)) if message.is_none() => message = Some(digits),
            _ => {
                let name: String = pair.split('=').next().unwrap_or_default().chars().take(40).collect();
                return Err(Refusal::Query(name));
            }
        }
    }
    Ok(message.ok_or(ProtocolError::Encoding)?)
}

/// Media types are compared without regard to case, parameters apart.
fn check_type(headers: &HeaderMap) -> Result<(), Refusal> {
    let found = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = found.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case(MESSAGE_TYPE) { Ok(()) } else { Err(Refusal::ContentType(found.to_owned())) }
}

impl Door {
    fn unit(&self, message: &[u8]) -> Result<Arc<KnownUnit>, ProtocolError> {
        let device = device_of(message)?;
        let mut units = self.units.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(unit) = units.current().get(device) {
            return Ok(unit);
        }
        // It may have been added since the list was read.
        units.refresh();
        units.current().get(device).ok_or(ProtocolError::UnknownDevice)
    }

    async fn ask(&self, unit: Arc<KnownUnit>, head: &Head, question: Question, work: Work) -> Result<Vec<u8>, Refusal> {
        let mut turn = self.turn(head)?;
        let (answer, reply) = oneshot::channel();
        self.asks.try_send(Ask { unit, question, answer, work }).map_err(|_| ProtocolError::Unavailable)?;
        let answer = reply.await.map_err(|_| ProtocolError::Unavailable)?;
        turn.admitted = answer.is_ok();
        Ok(answer?)
    }

    fn turn(&self, head: &Head) -> Result<Turn, Refusal> {
        let begun = self.pace.lock().unwrap_or_else(PoisonError::into_inner).begin(head, Instant::now());
        match begun {
            Ok(()) => Ok(Turn { pace: Arc::clone(&self.pace), head: *head, admitted: false }),
            Err(Refused::Old(error)) => Err(error.into()),
            Err(Refused::TooMany(after)) => {
                self.counters.throttled.inc();
                tracing::debug!(device = %head.device, "a unit sends more often than it may");
                Err(Refusal::TooOften(after))
            }
        }
    }
}

/// A message that counts among those of its unit that wait; also where the unit hangs up.
struct Turn {
    pace: Arc<Mutex<Pace>>,
    head: Head,
    admitted: bool,
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner).end(&self.head, self.admitted);
    }
}

fn respond(answer: Result<Vec<u8>, Refusal>) -> Response {
    match answer {
        Ok(bytes) => ([(header::CONTENT_TYPE, MESSAGE_TYPE)], bytes).into_response(),
        Err(refusal) => refusal.into_response(),
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = |error: ProtocolError| StatusCode::from_u16(error.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let too_many = ProtocolError::TooManyRequests;
        let (status, code, detail) = match &self {
            Self::Protocol(error) => (status(*error), error.name(), error.to_string()),
            Self::TooOften(_) => (status(too_many), too_many.name(), too_many.to_string()),
            Self::ContentType(found) => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "wrong_content_type",
                format!("expected a body of type {MESSAGE_TYPE}, found {found:?}"),
            ),
            Self::Slow => (StatusCode::REQUEST_TIMEOUT, "too_slow", format!("the body did not arrive within {} s", BODY_TIMEOUT.as_secs())),
            Self::Path(path) => (StatusCode::NOT_FOUND, "not_found", format!("there is nothing at {path:.80}")),
            Self::Method(method) => {
                (StatusCode::METHOD_NOT_ALLOWED, "wrong_method", format!("this path does not take {method:.40}: see the header Allow"))
            }
            Self::Query(name) => {
                (StatusCode::BAD_REQUEST, "bad_request", format!("expected the parameter m and nothing else, found {name:?}"))
            }
        };
        let problem = Problem::new(status.as_u16(), code, "the gateway does not take this message", detail);
        let mut response = (status, Json(problem)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Self::TooOften(after) = self {
            // Rounded up: earlier would be too early.
            headers.insert(header::RETRY_AFTER, HeaderValue::from(after.as_millis().div_ceil(1_000).clamp(1, 3_600) as u64));
        }
        response
    }
}
