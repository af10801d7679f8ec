//! What an operator asks a node: is it well, what does it follow, what does it count.

use std::time::Duration;

use axum::{
    Json,
    body::Body,
    extract::{Request, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use chain::{
    api::{Health, Status},
    certificate::ValidatorSet,
    id::Height,
    params::Params,
    record::Key,
};
use contracts::genesis::Genesis;
use futures::StreamExt as _;
use serde::Deserialize;

use super::{
    ApiState, EXPORTS_PER_CLIENT, MAX_EXPORTS, client_of,
    problem::ApiProblem,
    query::{Asked, Kind, Nothing, Parameter, Parameters},
    readers::Reader,
    seats::Full,
};

/// `GET /status`.
pub async fn status(State(state): State<ApiState>, _: Asked<Nothing>) -> Result<Json<Status>, ApiProblem> {
    let snapshot = state.app.snapshot()?;
    let tip = snapshot.tip();
    let validators = next_validators(&state)?;
    Ok(Json(Status {
        version: crate::VERSION.to_owned(),
        network: state.genesis.network.clone(),
        kind: state.genesis.kind,
        chain_id: state.app.chain_id(),
        currency: state.genesis.currency.clone(),
        height: tip.height,
        hash: tip.hash,
        timestamp: tip.timestamp,
        now: state.clock.now(),
        state_root: snapshot.state_root(),
        faults_tolerated: u32::try_from(validators.faults_tolerated()).unwrap_or(u32::MAX),
        validators,
        pending: u32::try_from(state.app.pending().pooled).unwrap_or(u32::MAX),
    }))
}

fn next_validators(state: &ApiState) -> Result<ValidatorSet, ApiProblem> {
    let found = state.app.snapshot()?.record(&Key::Validators)?;
    found.ok_or_else(|| ApiProblem::internal("the state has no validators"))
}

/// `GET /genesis`.
pub async fn genesis(State(state): State<ApiState>, _: Asked<Nothing>) -> Json<Genesis> {
    Json((*state.genesis).clone())
}

/// `GET /params`.
pub async fn params(State(state): State<ApiState>, _: Asked<Nothing>) -> Result<Json<Params>, ApiProblem> {
    Ok(Json(state.app.snapshot()?.params()?))
}

/// `GET /validators`.
pub async fn validators(State(state): State<ApiState>, _: Asked<Nothing>) -> Result<Json<ValidatorSet>, ApiProblem> {
    next_validators(&state).map(Json)
}

/// `GET /health`: 200 where the node follows the chain, 503 where it does not.
pub async fn health(State(state): State<ApiState>, _: Asked<Nothing>) -> Response {
    let (height, problems) = match state.app.snapshot() {
        Ok(snapshot) => (snapshot.tip().height, Vec::new()),
        Err(error) => {
            tracing::error!(%error, "the database does not answer");
            (Height(0), vec!["the database does not answer: see the node's log".to_owned()])
        }
    };
    let ready = problems.is_empty();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Health { ready, height, problems })).into_response()
}

/// `GET /metrics`, Prometheus text.
pub async fn metrics(State(state): State<ApiState>, _: Asked<Nothing>) -> Result<Response, ApiProblem> {
    let own = state.metrics.text(&state).map_err(|error| ApiProblem::internal(&error))?;
    let text = format!("{own}{}", (state.consensus_metrics)());
    Ok(([(header::CONTENT_TYPE, super::metrics::TEXT)], text).into_response())
}

/// `?from=HEIGHT`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportQuery {
    from: Option<u64>,
}

impl Parameters for ExportQuery {
    const TAKEN: &'static [Parameter] = &[Parameter::new("from", Kind::Number(1, 1), "An export begins at height 1.")];
}

/// How soon to ask again for an export.
const EXPORT_WAIT: Duration = Duration::from_secs(10);

/// `GET /export`.
pub async fn export(
    State(state): State<ApiState>,
    reader: Reader,
    Asked(query): Asked<ExportQuery>,
    request: Request,
) -> Result<Response, ApiProblem> {
    reader.sight(&state.app.snapshot()?)?.require_everything("the whole chain")?;
    let from = query.from.unwrap_or(1);
    if from != 1 {
        return Err(ApiProblem::bad_request(format!("from: an export begins at height 1, found {from}: leave it out")).about("from"));
    }
    let seat = state.shared.exports.take(client_of(&request)).map_err(|full| {
        let held = match full {
            Full::All => format!("{MAX_EXPORTS} exports are under way, as many as this node makes at once: ask another node"),
            Full::Own => format!("{EXPORTS_PER_CLIENT} exports are under way to this client, as many as one may have: finish one"),
        };
        ApiProblem::too_many_at_once(&held, EXPORT_WAIT)
    })?;
    // Taken until the client has everything or hangs up.
    let stream = (state.export)(Height(from)).inspect(move |_| _ = &seat);
    Ok(([(header::CONTENT_TYPE, super::routes::OCTETS)], Body::from_stream(stream)).into_response())
}
