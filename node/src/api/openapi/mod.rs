//! What the API says of itself: an OpenAPI 3.1 document, made from the same lines that make the router.
//!
//! A route is added to [`Routes`] together with its [`Operation`], so none can be served without standing in the document. The schemas are derived from the
//! JSON types; here is only what no type says: what a route is for, what it takes, and who may ask. Called by the router.

mod document;
mod operation;
pub mod swagger;

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Extension, Json, Router,
    extract::DefaultBodyLimit,
    handler::Handler,
    http::Method,
    routing::{get, post},
};
use serde_json::Value;

use self::document::document;
pub use self::operation::{Access, Operation, Part, about};
use super::{
    ApiState,
    problem::ApiProblem,
    query::{Asked, Nothing},
};

/// Routes with their descriptions.
#[derive(Debug, Default)]
pub struct Routes {
    router: Router<ApiState>,
    operations: Vec<Operation>,
}

impl Routes {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A route that reads.
    pub fn get<H: Handler<T, ApiState>, T: 'static>(mut self, path: &'static str, handler: H, operation: Operation) -> Self {
        self.router = self.router.route(path, get(handler));
        self.operations.push(operation.at(Method::GET, path));
        self
    }

    /// A route that takes a body of at most `limit` bytes.
    pub fn post<H: Handler<T, ApiState>, T: 'static>(mut self, path: &'static str, limit: usize, handler: H, operation: Operation) -> Self {
        self.router = self.router.route(path, post(handler).layer(DefaultBodyLimit::max(limit)));
        self.operations.push(operation.at(Method::POST, path));
        self
    }

    /// The same routes below a prefix.
    pub fn below(self, prefix: &'static str) -> Self {
        let operations = self.operations.into_iter().map(|operation| operation.below(prefix)).collect();
        Self { router: Router::new().nest(prefix, self.router), operations }
    }

    /// These and others.
    pub fn and(mut self, others: Self) -> Self {
        self.operations.extend(others.operations);
        Self { router: self.router.merge(others.router), operations: self.operations }
    }

    /// The same routes with something around each.
    pub fn with(self, layer: impl FnOnce(Router<ApiState>) -> Router<ApiState>) -> Self {
        Self { router: layer(self.router), operations: self.operations }
    }

    /// Router and descriptions.
    pub fn into_parts(self) -> (Router<ApiState>, Vec<Operation>) {
        (self.router, self.operations)
    }
}

/// What the middleware and the document know of all routes.
#[derive(Clone, Debug)]
pub struct Description {
    document: Arc<Value>,
    operations: Arc<BTreeMap<(String, String), Operation>>,
}

impl Description {
    /// Of these routes; `signs_in` where reading what names people needs a token.
    pub fn new(operations: Vec<Operation>, signs_in: bool) -> Self {
        let document = Arc::new(document(&operations, signs_in));
        let named = operations.into_iter().map(|operation| ((operation.path().to_owned(), operation.method().to_string()), operation));
        Self { document, operations: Arc::new(named.collect()) }
    }

    /// The route that a request was matched to; `HEAD` is `GET` without the body.
    pub fn operation(&self, method: &Method, path: &str) -> Option<&Operation> {
        let method = if method == Method::HEAD { &Method::GET } else { method };
        self.operations.get(&(path.to_owned(), method.to_string()))
    }
}

/// `GET /openapi.json`.
pub async fn show(Extension(description): Extension<Description>, _: Asked<Nothing>) -> Result<Json<Value>, ApiProblem> {
    Ok(Json((*description.document).clone()))
}
