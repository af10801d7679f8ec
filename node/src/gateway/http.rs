//! The unit protocol over HTTP: `GET /unit/v1/config` and `POST /unit/v1/readings`, with binary bodies.
//!
//! It bounds, finds the unit's key, checks the message and hands it to the gateway's loop, which checks it again against what it has seen; refusals are the
//! protocol's. It decides nothing about charging. `lib.rs` mounts the router.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Json, Router,
    body::{Body, Bytes, to_bytes},
    extract::{Path, Query, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use chain::id::SessionId;
use firmware_core::{CONFIG_REQUEST_LEN, ConfigRequest, MAX_MESSAGE_LEN, ProtocolError, Readings, decode_hex, device_of};
use tokio::sync::{mpsc, oneshot};

use super::{
    sample::SampleProof,
    store::{Store, StoreError},
    units::{KnownUnit, LiveRegistry},
};
use crate::clock::{Clock, Work};

/// Messages of units that may wait for the gateway's loop; more are refused with 503.
pub(super) const ASK_CAPACITY: usize = 1_024;

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
    /// The way to the loop.
    pub asks: mpsc::Sender<Ask>,
    /// The node's clock.
    pub clock: Clock,
}

/// The router of the unit protocol.
pub(super) fn units(door: Door) -> Router {
    Router::new().route("/unit/v1/config", get(config)).route("/unit/v1/readings", post(readings)).with_state(door)
}

async fn config(State(door): State<Door>, Query(query): Query<BTreeMap<String, String>>) -> Response {
    let work = door.clock.work();
    let asked = async {
        let text = query.get("m").ok_or(ProtocolError::Encoding)?;
        let message = decode_hex::<CONFIG_REQUEST_LEN>(text)?;
        let unit = door.unit(&message)?;
        ConfigRequest::parse(&message, &unit.keys)?;
        door.ask(unit, Question::Config(message), work).await
    };
    respond(asked.await)
}

async fn readings(State(door): State<Door>, body: Body) -> Response {
    let work = door.clock.work();
    let asked = async {
        let body = to_bytes(body, MAX_MESSAGE_LEN).await.map_err(|_| ProtocolError::TooLong)?;
        let unit = door.unit(&body)?;
        Readings::parse(&body, &unit.keys)?;
        door.ask(unit, Question::Readings(body), work).await
    };
    respond(asked.await)
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

    async fn ask(&self, unit: Arc<KnownUnit>, question: Question, work: Work) -> Result<Vec<u8>, ProtocolError> {
        let (answer, reply) = oneshot::channel();
        self.asks.try_send(Ask { unit, question, answer, work }).map_err(|_| ProtocolError::Unavailable)?;
        reply.await.map_err(|_| ProtocolError::Unavailable)?
    }
}

fn respond(answer: Result<Vec<u8>, ProtocolError>) -> Response {
    match answer {
        Ok(bytes) => ([(header::CONTENT_TYPE, "application/octet-stream")], bytes).into_response(),
        Err(error) => {
            let status = StatusCode::from_u16(error.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            (status, [(header::CONTENT_TYPE, "text/plain; charset=utf-8")], error.to_string()).into_response()
        }
    }
}

/// The router of sample proofs, `GET /api/v1/sessions/{id}/readings/{sequence}/samples`.
pub(super) fn samples(store: Arc<Store>) -> Router {
    Router::new().route("/api/v1/sessions/{id}/readings/{sequence}/samples", get(proof)).with_state(store)
}

async fn proof(State(store): State<Arc<Store>>, Path((session, sequence)): Path<(String, String)>) -> Response {
    let parsed = session.parse::<SessionId>().ok().zip(sequence.parse::<u64>().ok());
    let Some((session, sequence)) = parsed else {
        return problem(StatusCode::BAD_REQUEST, "bad_request", "expected a session's 64 hexadecimal digits and a reading's number");
    };
    let found = tokio::task::spawn_blocking(move || sample_proof(&store, session, sequence)).await;
    match found {
        Ok(Ok(Some(proof))) => Json(proof).into_response(),
        Ok(Ok(None)) => problem(StatusCode::NOT_FOUND, "not_found", "this node's gateway has no such reading"),
        Ok(Err(error)) => {
            tracing::error!(%error, "samples cannot be read");
            problem(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the samples cannot be read")
        }
        Err(_) => problem(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the samples cannot be read"),
    }
}

/// The samples behind a decided reading; nothing where there is none.
pub(super) fn sample_proof(store: &Store, session: SessionId, sequence: u64) -> Result<Option<SampleProof>, StoreError> {
    let Some((connector, salt)) = store.salt(session)? else { return Ok(None) };
    let Some(decided) = store.reading(session, sequence)? else { return Ok(None) };
    let samples = store.samples(connector, decided.first_leaf, decided.end_leaf)?;
    Ok(Some(SampleProof::new(&salt, &samples)))
}

fn problem(status: StatusCode, code: &str, detail: &str) -> Response {
    let problem = chain::api::Problem {
        kind: format!("urn:commonwatt:problem:{code}"),
        title: status.canonical_reason().unwrap_or_default().to_owned(),
        status: status.as_u16(),
        detail: detail.to_owned(),
        code: code.to_owned(),
        expected: None,
        found: None,
        transaction: None,
    };
    (status, [(header::CONTENT_TYPE, "application/problem+json")], serde_json::to_string(&problem).unwrap_or_default()).into_response()
}
