//! What condominiums owe one another.

use std::collections::BTreeMap;

use axum::{Json, extract::State};
use chain::{
    api::{Page, PositionView},
    id::CondominiumId,
    quantity::Amount,
    record::Key,
};

use super::{
    ApiState,
    problem::ApiProblem,
    query::{Asked, PageQuery, key_local},
};
use crate::app::Snapshot;

/// Who owes, and whom.
type Pair = (CondominiumId, CondominiumId);

/// The most pairs of condominiums that are looked at for one answer: all of 64.
const MAX_PAIRS: u32 = 64 * 63;

/// `GET /positions`
pub async fn positions(State(state): State<ApiState>, Asked(query): Asked<PageQuery>) -> Result<Json<Page<PositionView>>, ApiProblem> {
    let snapshot = state.app.snapshot()?;
    let mut pairs: BTreeMap<Pair, (Amount, Amount)> = BTreeMap::new();
    for (pair, owed) in amounts(&snapshot, Key::Position(CondominiumId(0), CondominiumId(0)).table())? {
        pairs.entry(pair).or_default().0 = owed;
    }
    for (pair, pending) in amounts(&snapshot, Key::PendingPosition(CondominiumId(0), CondominiumId(0)).table())? {
        pairs.entry(pair).or_default().1 = pending;
    }
    let mut views = Vec::new();
    for ((debtor, creditor), (owed, pending)) in pairs {
        let Some(condominium) = snapshot.condominium(creditor)? else { continue };
        views.push(PositionView { debtor, creditor, owed, pending, limit: condominium.position_limit });
    }
    Ok(Json(query.of(views)?))
}

/// The records of a table whose keys are two condominiums.
fn amounts(snapshot: &Snapshot<'_>, table: u8) -> Result<Vec<(Pair, Amount)>, ApiProblem> {
    let rows = snapshot.records::<Amount>(&[table], None, MAX_PAIRS)?;
    let pair = |key: &[u8]| key_local(key).map(|(debtor, creditor)| (debtor, CondominiumId(creditor)));
    Ok(rows.into_iter().filter_map(|(key, amount)| Some((pair(&key)?, amount))).collect())
}
