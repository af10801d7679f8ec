//! The unit protocol over HTTP: `GET /unit/v1/config` and `POST /unit/v1/readings`, with binary bodies.
//!
//! It bounds, finds the unit's key, checks the message and hands it to the gateway's loop, which checks it again against what it has seen; refusals are the
//! protocol's. It decides nothing about charging. `lib.rs` mounts the router.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::{Query, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use firmware_core::{CONFIG_REQUEST_LEN, ConfigRequest, MAX_MESSAGE_LEN, ProtocolError, Readings, decode_hex, device_of};
use tokio::sync::{mpsc, oneshot};

use super::units::{KnownUnit, LiveRegistry};
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
