//! What the node's gateway sees at its connectors.

use axum::{Json, extract::State};
use chain::api::{MonitorView, Page};

use super::{
    ApiState,
    problem::ApiProblem,
    query::{Asked, PageQuery},
    readers::Reader,
};

/// `GET /monitor`: connectors in order; none where this node runs no gateway.
///
/// Of a condominium for its staff, and of the connector of his session for whoever charges.
pub async fn list(
    State(state): State<ApiState>,
    reader: Reader,
    Asked(query): Asked<PageQuery>,
) -> Result<Json<Page<MonitorView>>, ApiProblem> {
    let monitor = std::sync::Arc::clone(&state.monitor);
    // Estimates read the charges of whoever charges: not on the threads that answer everybody else.
    let seen = tokio::task::spawn_blocking(move || monitor()).await.map_err(|error| ApiProblem::internal(&error.to_string()))?;
    let snapshot = state.app.snapshot()?;
    let sight = reader.sight(&snapshot)?;
    let mut shown = Vec::new();
    for view in seen.map_err(|error| ApiProblem::internal(&error))? {
        let session = view.session.map(|id| snapshot.session(id)).transpose()?.flatten();
        if sight.takes_in(view.connector.condominium) || session.is_some_and(|session| sight.is_own(&session.account)) {
            shown.push(view);
        }
    }
    let key = |view: &MonitorView| [view.connector.condominium.0.to_be_bytes(), view.connector.number.to_be_bytes()].concat();
    Ok(Json(query.of("monitor", shown, key)?))
}
