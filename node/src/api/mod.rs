//! The HTTP API under `/api/v1`, `/health` and `/metrics`.
//!
//! It reads committed state, hands in signed transactions and streams committed events; it signs nothing, decides nothing and keeps nothing. Every refusal is
//! a problem document (RFC 9457) with a stable code, made in [`problem`] alone. Bodies, pages, waiting times, streams and requests at once are bounded.
//! Started by `lib.rs`; it knows the chain through [`crate::app::AppHandle`] and what gateway and scheduler show through the channels that it is given.

mod accept;
mod accounts;
mod blocks;
mod clearing;
mod door;
mod events;
mod mandates;
mod metrics;
mod monitor;
mod openapi;
mod operations;
mod pace;
mod problem;
mod proofs;
mod query;
mod readers;
mod routes;
mod seats;
mod sessions;
mod sites;
mod transactions;

use std::{
    net::{IpAddr, Ipv4Addr},
    pin::Pin,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::{
    Extension, Router,
    extract::{ConnectInfo, MatchedPath, Request, State},
    http::{HeaderValue, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use chain::{
    api::{CondominiumView, MonitorView, QueueTicket},
    export::KeptSamples,
    hash::Hash32,
    id::{Height, SessionId},
};
use contracts::genesis::Genesis;
use futures::Stream;
use tokio::sync::{Semaphore, watch};
use tower_http::catch_panic::CatchPanicLayer;

use self::problem::ApiProblem;
pub use self::{
    door::{Bounds, Door},
    metrics::Metrics,
};
use crate::{app::AppHandle, clock::Clock, config::ApiConfig};

/// Requests that are answered at once; further ones are told to come again.
pub const MAX_REQUESTS: usize = 2_048;

/// Event streams at once.
pub const MAX_STREAMS: u32 = 256;

/// Exports at once.
pub const MAX_EXPORTS: u32 = 4;

/// Exports at once to one client.
pub const EXPORTS_PER_CLIENT: u32 = 2;

/// The longest that a request may take, streams and exports apart.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a body may take to arrive.
pub const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// The longest path and query, in bytes.
pub const MAX_URI_BYTES: usize = 4 << 10;

/// The most that the header fields of a request may measure together, in bytes.
pub const MAX_HEADER_BYTES: usize = 16 << 10;

/// Raw samples behind a reading, from the gateway's own store; nothing where they are not kept or erased.
pub type SamplesOf = Arc<dyn Fn(SessionId, u64) -> Result<KeptSamples, String> + Send + Sync>;

/// What the node's gateway sees at its connectors. The error is for this node's operator.
pub type MonitorOf = Arc<dyn Fn() -> Result<Vec<MonitorView>, String> + Send + Sync>;

/// The chain from a height on as an export stream, piece by piece.
pub type ExportFrom = Arc<dyn Fn(Height) -> Pin<Box<dyn Stream<Item = Result<Bytes, std::io::Error>> + Send>> + Send + Sync>;

/// What the API answers from.
#[derive(Clone)]
pub struct ApiState {
    /// The chain.
    pub app: AppHandle,
    /// The node's time.
    pub clock: Clock,
    /// The document that the chain began with.
    pub genesis: Arc<Genesis>,
    /// Who waits and why, from the scheduler.
    pub queue: watch::Receiver<Vec<QueueTicket>>,
    /// Raw samples, from the gateway.
    pub samples: SamplesOf,
    /// What its meters show, from the gateway.
    pub monitor: MonitorOf,
    /// The export, from `export`.
    pub export: ExportFrom,
    /// Prometheus text of the consensus library, which keeps its own registry.
    pub consensus_metrics: Arc<dyn Fn() -> String + Send + Sync>,
    /// What the API counts.
    pub metrics: Arc<Metrics>,
    /// Bounds and caches.
    pub shared: Arc<Shared>,
}

impl std::fmt::Debug for ApiState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApiState").finish_non_exhaustive()
    }
}

/// What all requests share.
#[derive(Debug)]
pub struct Shared {
    requests: Semaphore,
    streams: Arc<seats::Seats>,
    exports: Arc<seats::Seats>,
    pace: pace::Pace,
    readers: readers::Readers,
    body_timeout: Duration,
    /// The sums of each condominium at a height: they take a walk over all accounts.
    totals: Mutex<Option<(Height, Vec<CondominiumView>)>>,
    /// The blocks up to a height that changed the validators: they take a walk over all headers.
    set_changes: Mutex<(Height, Vec<Height>)>,
}

impl Shared {
    /// As an operator set it; `node` is the public key by which the network knows this node.
    #[must_use]
    pub fn new(settings: &ApiConfig, node: Hash32) -> Self {
        Self {
            requests: Semaphore::new(MAX_REQUESTS),
            streams: seats::Seats::new(MAX_STREAMS, settings.streams_per_client),
            exports: seats::Seats::new(MAX_EXPORTS, EXPORTS_PER_CLIENT),
            pace: pace::Pace::new(settings.requests_per_s, settings.request_burst),
            readers: readers::Readers::new(settings, node),
            body_timeout: BODY_TIMEOUT,
            totals: Mutex::new(None),
            set_changes: Mutex::new((Height(0), Vec::new())),
        }
    }

    /// The same with another patience for bodies than [`BODY_TIMEOUT`].
    #[must_use]
    pub const fn with_body_timeout(mut self, body_timeout: Duration) -> Self {
        self.body_timeout = body_timeout;
        self
    }

    /// The same with another life of tokens than a quarter of an hour, for tests of what happens at its end.
    #[must_use]
    pub fn with_token_life(mut self, life: chain::time::Duration) -> Self {
        self.readers = self.readers.with_token_life(life);
        self
    }
}

/// All routes of the API.
pub fn router(state: ApiState) -> Router {
    let (routes, operations) = routes::routes().into_parts();
    let description = openapi::Description::new(operations, state.shared.readers.sign_in());
    routes
        .merge(openapi::swagger::pages())
        .fallback(unknown_route)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn_with_state(state.clone(), admit))
        .layer(middleware::from_fn_with_state(state.clone(), observe))
        .layer(Extension(description))
        .layer(CatchPanicLayer::custom(|_| ApiProblem::internal("a handler failed").into_response()))
        .with_state(state)
}

async fn unknown_route(request: Request) -> ApiProblem {
    ApiProblem::not_found(format!("there is nothing at {}: the API begins at /api/v1/status", request.uri().path())).about("path")
}

async fn wrong_method(request: Request) -> ApiProblem {
    ApiProblem::wrong_method(request.method(), request.uri().path())
}

async fn limit_time(request: Request, next: Next) -> Response {
    match tokio::time::timeout(REQUEST_TIMEOUT, next.run(request)).await {
        Ok(response) => response,
        Err(_) => ApiProblem::unavailable("the request took too long: try again").into_response(),
    }
}

/// What is wrong with the size of a request's head.
fn too_large(request: &Request) -> Option<ApiProblem> {
    let uri = request.uri().path().len().saturating_add(request.uri().query().map_or(0, str::len));
    if uri > MAX_URI_BYTES {
        return Some(ApiProblem::uri_too_long(MAX_URI_BYTES));
    }
    let fields =
        request.headers().iter().fold(0_usize, |sum, (name, value)| sum.saturating_add(name.as_str().len()).saturating_add(value.len()));
    (fields > MAX_HEADER_BYTES).then(|| ApiProblem::headers_too_large(MAX_HEADER_BYTES))
}

/// Who asks, by network address.
fn client_of(request: &Request) -> pace::Client {
    let from = request.extensions().get::<ConnectInfo<door::Asker>>();
    pace::Client::at(from.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |ConnectInfo(door::Asker(address))| address.ip()))
}

/// Lets a request pass that its client may make now, that a reader may make at all, and whose answer the client takes.
async fn admit(
    State(state): State<ApiState>,
    Extension(description): Extension<openapi::Description>,
    request: Request,
    next: Next,
) -> Response {
    match refused(&state.shared, &description, &request) {
        Some(problem) => problem.into_response(),
        None => next.run(request).await,
    }
}

fn refused(shared: &Shared, description: &openapi::Description, request: &Request) -> Option<ApiProblem> {
    let now = Instant::now();
    if let Err(wait) = shared.pace.count(client_of(request), now) {
        return Some(ApiProblem::too_many_requests(wait));
    }
    let path = request.extensions().get::<MatchedPath>()?;
    let operation = description.operation(request.method(), path.as_str())?;
    if !accept::takes(request.headers(), operation.produces()) {
        return Some(ApiProblem::not_acceptable(&operation.produces().collect::<Vec<_>>()));
    }
    let reader = match shared.readers.of(request.headers()) {
        Ok(reader) => reader,
        // Where anybody may ask, a token that has run out does no harm.
        Err(_) if operation.access() == openapi::Access::Everybody || !shared.readers.sign_in() => None,
        Err(problem) => return Some(problem),
    };
    if let Some(account) = reader
        && let Err(wait) = shared.pace.count(pace::Client::Account(account), now)
    {
        return Some(ApiProblem::too_many_requests(wait));
    }
    let stranger = reader.is_none() && shared.readers.sign_in() && operation.access() != openapi::Access::Everybody;
    stranger.then(|| ApiProblem::sign_in_needed("this node shows what names people to those alone whom it concerns"))
}

/// Bounds the requests at once, counts them, and says that answers are not to be kept or guessed at.
async fn observe(State(state): State<ApiState>, request: Request, next: Next) -> Response {
    if let Some(problem) = too_large(&request) {
        return problem.into_response();
    }
    let Ok(_permit) = state.shared.requests.try_acquire() else {
        return ApiProblem::unavailable("too many requests at once: try again in a second").into_response();
    };
    let route = request.extensions().get::<MatchedPath>().map_or_else(|| "other".to_owned(), |path| path.as_str().to_owned());
    let mut response = next.run(request).await;
    state.metrics.count_request(&route, response.status().as_u16());
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
