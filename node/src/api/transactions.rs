//! Submitting transactions, and what became of them.

use std::time::Duration;

use axum::{
    Json,
    extract::{FromRequest as _, Request, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use chain::{
    api::{CommittedTransaction, ProvenReceipt, Rehearsed, Submitted, TransactionView},
    code::{Code, Rejection},
    hash::Hash32,
    id::{TariffId, TxId},
};
use contracts::call::{Call, Transaction};
use serde::Deserialize;

use super::{
    ApiState,
    problem::ApiProblem,
    query::{Asked, Kind, Nothing, Parameter, Parameters, Path},
    readers::{Reader, Sight},
    routes::OCTETS,
    sites,
};
use crate::app::{Included, Location, Snapshot, Standing, SubmitError};

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

impl Parameters for SubmitQuery {
    const TAKEN: &'static [Parameter] = &[
        Parameter::new("wait", Kind::OneOf(&["committed"]), "Answer once it is in a block."),
        Parameter::new("timeout_ms", Kind::Number(1, MAX_WAIT_MS), "How long to wait, with `wait` alone; 10000 where it is left out."),
    ];
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum WaitFor {
    Committed,
}

/// `POST /transactions`.
pub async fn submit(State(state): State<ApiState>, Asked(query): Asked<SubmitQuery>, request: Request) -> Result<Response, ApiProblem> {
    expect_transaction(request.headers())?;
    if query.wait.is_none() && query.timeout_ms.is_some() {
        return Err(ApiProblem::bad_request("timeout_ms: it is for wait=committed alone: add that, or leave it out").about("timeout_ms"));
    }
    let bytes = body_of(&state, request).await?;
    if query.wait.is_none() {
        let submitted = state.app.submit(bytes.clone()).await.inspect_err(|error| state.metrics.count_submission(Err(error)));
        let accepted = submitted.map_err(|error| refusal(&state, &bytes, error))?;
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
        return Err(ApiProblem::bad_request(format!("timeout_ms: expected 1 to {MAX_WAIT_MS}, found {wait}")).about("timeout_ms"));
    }
    let included = state
        .app
        .submit_and_wait(bytes.clone(), Duration::from_millis(wait))
        .await
        .inspect_err(|error| state.metrics.count_submission(Err(error)))
        .map_err(|error| refusal(&state, &bytes, error))?;
    state.metrics.count_submission(Ok(()));
    let Included { id, location, receipt } = included;
    let timestamp = header_at(&state.app.snapshot()?, location)?.timestamp;
    let committed = CommittedTransaction { height: location.height, index: location.index, timestamp, receipt };
    Ok(Json(Submitted { id, committed: Some(committed) }).into_response())
}

/// `POST /rehearsals`: a transaction's bytes, signed to be tried; nothing is pooled.
pub async fn rehearse(State(state): State<ApiState>, _: Asked<Nothing>, request: Request) -> Result<Json<Rehearsed>, ApiProblem> {
    expect_transaction(request.headers())?;
    let bytes = body_of(&state, request).await?;
    state.app.rehearse(&bytes).await.map(Json).map_err(|error| refusal(&state, &bytes, error))
}

/// The body, unless it takes too long to arrive.
async fn body_of(state: &ApiState, request: Request) -> Result<Bytes, ApiProblem> {
    let patience = state.shared.body_timeout;
    let body = tokio::time::timeout(patience, Bytes::from_request(request, &()));
    Ok(body.await.map_err(|_| ApiProblem::slow_body(patience))??)
}

/// Whether the body is said to be a transaction's bytes: types are compared without regard to case, and may have parameters (RFC 9110, section 8.3.1).
fn expect_transaction(headers: &HeaderMap) -> Result<(), ApiProblem> {
    let found = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = found.split(';').next().unwrap_or_default().trim_matches([' ', '\t']);
    if media_type.eq_ignore_ascii_case(OCTETS) { Ok(()) } else { Err(ApiProblem::wrong_content_type(OCTETS, found)) }
}

/// Why a transaction was not taken, with the part of it that is wrong.
fn refusal(state: &ApiState, bytes: &[u8], error: SubmitError) -> ApiProblem {
    let SubmitError::Rejected(rejection) = error else { return error.into() };
    match Transaction::decode(bytes) {
        Err(_) if rejection.code == Code::TooLarge => ApiProblem::rejected(&rejection),
        Err(error) => ApiProblem::malformed(&error),
        Ok(transaction) => rejected(state, &transaction.body().call, &rejection),
    }
}

fn rejected(state: &ApiState, call: &Call, rejection: &Rejection) -> ApiProblem {
    let problem = ApiProblem::rejected_call(call, rejection);
    let Call::OpenSession(open) = call else { return problem };
    if rejection.code != Code::UnknownTariff {
        return problem;
    }
    // From when the connector's tariff is in force is not in the rejection; where it cannot be found out, the rejection alone is the answer.
    let Ok(snapshot) = state.app.snapshot() else { return problem };
    let Ok(Some(connector)) = snapshot.connector(open.connector) else { return problem };
    let at = state.clock.now().max(snapshot.tip().timestamp);
    let tariff = TariffId::new(open.connector.condominium, connector.tariff);
    sites::not_in_force(&snapshot, tariff, at).map_or(problem, |told| told.about("call.tariff_version"))
}

/// The fewest hexadecimal digits that name a transaction by its beginning.
const MIN_PREFIX_DIGITS: usize = 6;

/// The most transactions of one beginning that are looked at.
const MAX_CANDIDATES: usize = 64;

/// The id that `text` names: all its digits, or so many of the first that no other transaction for which `fits` holds begins with them.
pub fn named(snapshot: &Snapshot<'_>, what: &str, text: &str, fits: impl Fn(TxId) -> Result<bool, ApiProblem>) -> Result<TxId, ApiProblem> {
    if let Some(id) = Hash32::from_hex(text) {
        return Ok(TxId(id));
    }
    let is_prefix = (MIN_PREFIX_DIGITS..64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !is_prefix {
        let detail = format!("{what} {text:?}: expected its 64 hexadecimal digits, or at least the first {MIN_PREFIX_DIGITS} of them");
        return Err(ApiProblem::bad_request(detail).about(what));
    }
    let mut found = Vec::new();
    for id in snapshot.transactions_beginning(&text.to_ascii_lowercase(), MAX_CANDIDATES)? {
        if fits(id)? {
            found.push(id);
        }
    }
    match found.as_slice() {
        [only] => Ok(*only),
        [] => Err(ApiProblem::not_found(format!("no {what} of this chain begins with {text}: compare its first digits")).about(what)),
        several => {
            let list: Vec<String> = several.iter().map(ToString::to_string).collect();
            Err(ApiProblem::ambiguous(what, format!("{what} {text} may be any of {}: give more digits", list.join(", "))))
        }
    }
}

/// `GET /transactions/{id}`: committed ones, and those that wait in this node's pool.
pub async fn show(
    State(state): State<ApiState>,
    reader: Reader,
    Path(id): Path<String>,
    _: Asked<Nothing>,
) -> Result<Json<TransactionView>, ApiProblem> {
    let id = named(&state.app.snapshot()?, "transaction", &id, |_| Ok(true))?;
    // The pool first: what leaves it between the two questions is in a block by the second.
    let pooled = state.app.pooled(id).await?;
    let snapshot = state.app.snapshot()?;
    let sight = reader.sight(&snapshot)?;
    match (snapshot.transaction(id)?, pooled) {
        (Some(location), _) => {
            require_transaction(&snapshot, &sight, location)?;
            view(&snapshot, id, location).map(Json)
        }
        (None, Some(bytes)) => {
            require_signed(&snapshot, &sight, &bytes)?;
            Ok(Json(TransactionView { id, bytes: hex::encode(bytes), committed: None }))
        }
        (None, None) => Err(nowhere(id)),
    }
}

/// `GET /receipts/{id}`.
pub async fn receipt(
    State(state): State<ApiState>,
    reader: Reader,
    Path(id): Path<String>,
    _: Asked<Nothing>,
) -> Result<Json<ProvenReceipt>, ApiProblem> {
    let snapshot = state.app.snapshot()?;
    let id = named(&snapshot, "transaction", &id, |_| Ok(true))?;
    let location = location_of(&snapshot, id)?;
    require_transaction(&snapshot, &reader.sight(&snapshot)?, location)?;
    proven(&snapshot, location).map(Json)
}

/// Requires that a reader may see a transaction: its account's, and of those who follow that.
fn require_transaction(snapshot: &Snapshot<'_>, sight: &Sight, location: Location) -> Result<(), ApiProblem> {
    if sight.is_everything() {
        return Ok(());
    }
    let (bytes, _) = snapshot.transaction_at(location)?.ok_or_else(|| ApiProblem::internal("an indexed transaction is missing"))?;
    require_signed(snapshot, sight, &bytes)
}

fn require_signed(snapshot: &Snapshot<'_>, sight: &Sight, bytes: &[u8]) -> Result<(), ApiProblem> {
    let transaction = Transaction::decode(bytes).map_err(|error| ApiProblem::internal(&error.to_string()))?;
    sight.require_account(snapshot, &transaction.body().account)
}

fn location_of(snapshot: &Snapshot<'_>, id: TxId) -> Result<Location, ApiProblem> {
    snapshot.transaction(id)?.ok_or_else(|| nowhere(id))
}

fn nowhere(id: TxId) -> ApiProblem {
    ApiProblem::not_found(format!("transaction {id} is in no block: it may still wait for one, or have been refused")).about("transaction")
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
