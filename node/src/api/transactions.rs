//! Submitting transactions, and what became of them.

use std::time::Duration;

use axum::{
    Json,
    extract::{State, rejection::BytesRejection},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use chain::{
    api::{CommittedTransaction, ProvenReceipt, Submitted, TransactionView},
    id::TxId,
};
use serde::Deserialize;

use super::{
    ApiState,
    problem::ApiProblem,
    query::{Asked, Path, parse},
};
use crate::app::{Included, Location, Snapshot, Standing};

const TRANSACTION_TYPE: &str = "application/octet-stream";

/// How long `?wait=committed` waits where nobody says, and at most; in milliseconds.
const DEFAULT_WAIT_MS: u64 = 10_000;
const MAX_WAIT_MS: u64 = 50_000;

/// `?wait=committed&timeout_ms=`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubmitQuery {
    wait: Option<WaitFor>,
    timeout_ms: Option<u64>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum WaitFor {
    Committed,
}

/// `POST /transactions`.
pub async fn submit(
    State(state): State<ApiState>,
    Asked(query): Asked<SubmitQuery>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, ApiProblem> {
    let found = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if found != TRANSACTION_TYPE {
        return Err(ApiProblem::wrong_content_type(TRANSACTION_TYPE, found));
    }
    if query.wait.is_none() && query.timeout_ms.is_some() {
        return Err(ApiProblem::bad_request("timeout_ms: is for wait=committed alone, which was not asked for"));
    }
    let bytes = body?;
    if query.wait.is_none() {
        let accepted = state.app.submit(bytes).await.inspect_err(|error| state.metrics.count_submission(Err(error)))?;
        state.metrics.count_submission(Ok(()));
        return match accepted.standing {
            Standing::Pooled | Standing::AlreadyPooled => {
                Ok((StatusCode::ACCEPTED, Json(Submitted { id: accepted.id, committed: None })).into_response())
            }
            Standing::Committed(location) => {
                let committed = committed_at(&state.app.snapshot()?, location)?;
                Ok(Json(Submitted { id: accepted.id, committed: Some(committed) }).into_response())
            }
        };
    }
    let wait = query.timeout_ms.unwrap_or(DEFAULT_WAIT_MS);
    if !(1..=MAX_WAIT_MS).contains(&wait) {
        return Err(ApiProblem::bad_request(format!("timeout_ms: expected 1 to {MAX_WAIT_MS}, found {wait}")));
    }
    let included = state
        .app
        .submit_and_wait(bytes, Duration::from_millis(wait))
        .await
        .inspect_err(|error| state.metrics.count_submission(Err(error)))?;
    state.metrics.count_submission(Ok(()));
    let Included { id, location, receipt } = included;
    let timestamp = header_at(&state.app.snapshot()?, location)?.timestamp;
    let committed = CommittedTransaction { height: location.height, index: location.index, timestamp, receipt };
    Ok(Json(Submitted { id, committed: Some(committed) }).into_response())
}

/// `GET /transactions/{id}`: committed ones, and those that wait in this node's pool.
pub async fn show(State(state): State<ApiState>, Path(id): Path<String>) -> Result<Json<TransactionView>, ApiProblem> {
    let id: TxId = parse(&id, "transaction")?;
    // The pool first: what leaves it between the two questions is in a block by the second.
    let pooled = state.app.pooled(id).await?;
    let snapshot = state.app.snapshot()?;
    match (snapshot.transaction(id)?, pooled) {
        (Some(location), _) => view(&snapshot, id, location).map(Json),
        (None, Some(bytes)) => Ok(Json(TransactionView { id, bytes: hex::encode(bytes), committed: None })),
        (None, None) => Err(nowhere(id)),
    }
}

/// `GET /receipts/{id}`.
pub async fn receipt(State(state): State<ApiState>, Path(id): Path<String>) -> Result<Json<ProvenReceipt>, ApiProblem> {
    let id: TxId = parse(&id, "transaction")?;
    let snapshot = state.app.snapshot()?;
    let location = location_of(&snapshot, id)?;
    proven(&snapshot, location).map(Json)
}

fn location_of(snapshot: &Snapshot<'_>, id: TxId) -> Result<Location, ApiProblem> {
    snapshot.transaction(id)?.ok_or_else(|| nowhere(id))
}

fn nowhere(id: TxId) -> ApiProblem {
    ApiProblem::not_found(format!("transaction {id} is in no block: it may still wait for one, or have been refused"))
}

fn header_at(snapshot: &Snapshot<'_>, location: Location) -> Result<chain::block::Header, ApiProblem> {
    snapshot.header(location.height)?.ok_or_else(|| ApiProblem::internal("an indexed block is missing"))
}

/// What a committed transaction did.
pub fn committed_at(snapshot: &Snapshot<'_>, location: Location) -> Result<CommittedTransaction, ApiProblem> {
    let (receipt, _) = snapshot.receipt(location)?.ok_or_else(|| ApiProblem::internal("an indexed receipt is missing"))?;
    let timestamp = header_at(snapshot, location)?.timestamp;
    Ok(CommittedTransaction { height: location.height, index: location.index, timestamp, receipt })
}

/// A committed transaction with its bytes.
pub fn view(snapshot: &Snapshot<'_>, id: TxId, location: Location) -> Result<TransactionView, ApiProblem> {
    let (bytes, _) = snapshot.transaction_at(location)?.ok_or_else(|| ApiProblem::internal("an indexed transaction is missing"))?;
    Ok(TransactionView { id, bytes: hex::encode(bytes), committed: Some(committed_at(snapshot, location)?) })
}

/// A receipt with everything that proves it.
pub fn proven(snapshot: &Snapshot<'_>, location: Location) -> Result<ProvenReceipt, ApiProblem> {
    let missing = || ApiProblem::internal("an indexed receipt is missing");
    let (receipt, path) = snapshot.receipt(location)?.ok_or_else(missing)?;
    let certificate = snapshot.certificate(location.height)?.ok_or_else(missing)?;
    let validators = snapshot.validators(location.height)?.ok_or_else(missing)?;
    Ok(ProvenReceipt { receipt, path, header: header_at(snapshot, location)?, certificate, validators })
}
