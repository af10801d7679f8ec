//! What the node's gateway sees at its connectors.

use axum::{Json, extract::State};
use chain::api::{MonitorView, Page};

use super::{
    ApiState,
    problem::ApiProblem,
    query::{Asked, PageQuery},
};

/// `GET /monitor`: connectors in order; none where this node runs no gateway.
pub async fn list(State(state): State<ApiState>, Asked(query): Asked<PageQuery>) -> Result<Json<Page<MonitorView>>, ApiProblem> {
    let monitor = std::sync::Arc::clone(&state.monitor);
    // Estimates read the charges of whoever charges: not on the threads that answer everybody else.
    let seen = tokio::task::spawn_blocking(move || monitor()).await.map_err(|error| ApiProblem::internal(&error.to_string()))?;
    Ok(Json(query.of(seen.map_err(|error| ApiProblem::internal(&error))?)?))
}
