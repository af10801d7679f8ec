//! What condominiums owe one another, the periods in which they came to, and what they have to pay.
//!
//! Sums of condominiums alone: nothing here names a person.

use std::collections::BTreeMap;

use axum::{Json, extract::State};
use chain::{
    api::{ClearingView, Page, PaymentState, PaymentView, PositionView, RoamingView, StatementView},
    id::CondominiumId,
    quantity::Amount,
    receipt::Event,
    record::{Clearing, ClearingHead, Key, Payment, Roaming},
};
use contracts::{
    clearing::due_now,
    ledger::{Ledger, condominiums_in},
};

use super::{
    ApiState,
    problem::ApiProblem,
    query::{Asked, Nothing, PageQuery, Path, page_of_keys},
};
use crate::app::{Location, Snapshot};

/// Who owes, and whom.
type Pair = (CondominiumId, CondominiumId);

const ANYBODY: CondominiumId = CondominiumId(0);
const POSITIONS: [u8; 1] = [Key::Position(ANYBODY, ANYBODY).table()];
const PENDING: [u8; 1] = [Key::PendingPosition(ANYBODY, ANYBODY).table()];
const ROAMING: [u8; 1] = [Key::Roaming(ANYBODY, ANYBODY).table()];
const CLEARINGS: [u8; 1] = [Key::Clearing(0).table()];
const PAYMENTS: [u8; 1] = [Key::Payment(ANYBODY, ANYBODY, 0).table()];

/// The most pairs of condominiums, and the most payments, that are looked at for one answer: all pairs of 64.
const MAX_PAIRS: u32 = 64 * 63;

/// What a pair's position consists of.
#[derive(Clone, Copy, Default)]
struct Sums {
    owed: Amount,
    pending: Amount,
    unpaid: Amount,
}

/// `GET /positions`
pub async fn positions(State(state): State<ApiState>, Asked(query): Asked<PageQuery>) -> Result<Json<Page<PositionView>>, ApiProblem> {
    let snapshot = state.app.snapshot()?;
    let mut pairs: BTreeMap<Pair, Sums> = BTreeMap::new();
    for (key, owed) in snapshot.records(&POSITIONS, None, MAX_PAIRS)? {
        pairs.entry(pair(&key)?).or_default().owed = owed;
    }
    for (key, pending) in snapshot.records(&PENDING, None, MAX_PAIRS)? {
        pairs.entry(pair(&key)?).or_default().pending = pending;
    }
    for (key, payment) in snapshot.records::<Payment>(&PAYMENTS, None, MAX_PAIRS)? {
        let sums = pairs.entry(pair(&key)?).or_default();
        sums.unpaid = sums.unpaid.checked_add(payment.amount).unwrap_or(Amount::MAX);
    }
    let mut views = Vec::new();
    for ((debtor, creditor), Sums { owed, pending, unpaid }) in pairs {
        let Some(condominium) = snapshot.condominium(creditor)? else { continue };
        views.push(PositionView { debtor, creditor, owed, pending, unpaid, limit: condominium.position_limit });
    }
    Ok(Json(query.of("positions", views, |view| [view.debtor.0.to_be_bytes(), view.creditor.0.to_be_bytes()].concat())?))
}

/// `GET /payments`: those that are not confirmed.
pub async fn payments(State(state): State<ApiState>, Asked(query): Asked<PageQuery>) -> Result<Json<Page<PaymentView>>, ApiProblem> {
    let limit = query.limit()?;
    let rows = state.app.snapshot()?.records::<Payment>(&PAYMENTS, query.key(&PAYMENTS)?.as_deref(), limit.saturating_add(1))?;
    Ok(Json(page_of_keys(&PAYMENTS, rows, limit, |key, payment| {
        let (debtor, creditor) = pair(key).ok()?;
        let clearing = number(key.get(9..)?)?;
        Some(PaymentView { clearing, debtor, creditor, amount: payment.amount, state: state_of(Some(&payment)) })
    })))
}

/// `GET /clearings`
pub async fn list(State(state): State<ApiState>, Asked(query): Asked<PageQuery>) -> Result<Json<Page<ClearingView>>, ApiProblem> {
    let limit = query.limit()?;
    let rows = state.app.snapshot()?.records::<Clearing>(&CLEARINGS, query.key(&CLEARINGS)?.as_deref(), limit.saturating_add(1))?;
    Ok(Json(page_of_keys(&CLEARINGS, rows, limit, |key, clearing| Some(ClearingView { number: number(key.get(1..)?)?, clearing }))))
}

/// `GET /clearings/{number}` and `GET /clearings/next`
pub async fn show(
    State(state): State<ApiState>,
    Path(name): Path<String>,
    Asked(Nothing {}): Asked<Nothing>,
) -> Result<Json<StatementView>, ApiProblem> {
    let snapshot = state.app.snapshot()?;
    if name == "next" {
        return running(&snapshot).map(Json);
    }
    let number: u32 = name
        .parse()
        .map_err(|_| ApiProblem::bad_request(format!("a clearing has a whole number, or is \"next\": found {name:?}")).about("number"))?;
    let clearing = snapshot.record::<Clearing>(&Key::Clearing(number))?;
    let clearing = clearing.ok_or_else(|| {
        ApiProblem::not_found(format!("there was no clearing {number}: /clearings lists them, /clearings/next is the period that runs"))
    })?;
    let (receipt, _) = snapshot
        .receipt(Location { height: clearing.height, index: clearing.index })?
        .ok_or_else(|| ApiProblem::internal(&format!("the receipt of clearing {number} is missing")))?;
    let (mut roaming, mut payments) = (Vec::new(), Vec::new());
    for event in &receipt.events {
        if let Event::RoamingClosed { clearing: _, home, host, roaming: closed } = event {
            roaming.push(RoamingView { home: *home, host: *host, roaming: *closed });
        }
        if let Event::PaymentDue { clearing, debtor, creditor, amount } = event {
            let payment = snapshot.record::<Payment>(&Key::Payment(*debtor, *creditor, *clearing))?;
            let state = state_of(payment.as_ref());
            payments.push(PaymentView { clearing: *clearing, debtor: *debtor, creditor: *creditor, amount: *amount, state });
        }
    }
    Ok(Json(StatementView { number, from: clearing.from, until: Some(clearing.until), roaming, payments }))
}

/// The period that runs.
fn running(snapshot: &Snapshot<'_>) -> Result<StatementView, ApiProblem> {
    let latest = snapshot.record::<ClearingHead>(&Key::ClearingHead)?.map_or(0, |head| head.latest);
    let before = snapshot.record::<Clearing>(&Key::Clearing(latest))?;
    let clearing = latest.saturating_add(1);
    let mut roaming = Vec::new();
    for (key, row) in snapshot.records::<Roaming>(&ROAMING, None, contracts::clearing::MAX_ROWS)? {
        let (home, host) = pair(&key)?;
        roaming.push(RoamingView { home, host, roaming: row });
    }
    let due = due_now(&Ledger::new(snapshot)).map_err(|fault| ApiProblem::internal(&fault.to_string()))?;
    let expected = |((debtor, creditor), amount)| PaymentView { clearing, debtor, creditor, amount, state: PaymentState::Expected };
    let payments = due.into_iter().map(expected).collect();
    Ok(StatementView { number: clearing, from: before.map(|clearing| clearing.until), until: None, roaming, payments })
}

/// A payment is taken out of the state when it is confirmed.
fn state_of(payment: Option<&Payment>) -> PaymentState {
    match payment {
        None => PaymentState::Received,
        Some(Payment { report: None, .. }) => PaymentState::Due,
        Some(Payment { report: Some(report), .. }) => PaymentState::Reported { at: report.at },
    }
}

fn pair(key: &[u8]) -> Result<Pair, ApiProblem> {
    let [one, other] = condominiums_in(key).map_err(|fault| ApiProblem::internal(&fault.to_string()))?;
    Ok((one, other))
}

fn number(bytes: &[u8]) -> Option<u32> {
    bytes.first_chunk().copied().map(u32::from_be_bytes)
}
