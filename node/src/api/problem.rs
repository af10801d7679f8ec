//! Problem documents (RFC 9457): the only place that turns a failure into an HTTP answer.
//!
//! What this machine fails at is logged and answered as `internal`, without its words: they would tell a stranger about the machine.

use axum::{
    Json,
    extract::rejection::BytesRejection,
    http::{HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use chain::{
    api::Problem,
    code::{Code, Rejection},
    id::TxId,
};
use contracts::failure::{Failure, Fault};

use crate::app::{StoreError, SubmitError};

/// A refusal on its way out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ApiProblem(Box<Problem>);

impl ApiProblem {
    fn new(status: StatusCode, code: &str, title: &str, detail: impl Into<String>) -> Self {
        Self(Box::new(Problem {
            kind: format!("urn:commonwatt:problem:{code}"),
            title: title.to_owned(),
            status: status.as_u16(),
            detail: detail.into(),
            code: code.to_owned(),
            expected: None,
            found: None,
            transaction: None,
        }))
    }

    /// 404.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", "there is no such thing", detail)
    }

    /// 400.
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", "the request cannot be understood", detail)
    }

    /// 405.
    pub fn wrong_method(method: &Method, path: &str) -> Self {
        let detail = format!("{path} does not take {method}: see the header Allow for what it takes");
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "wrong_method", "the method does not fit", detail)
    }

    /// 415.
    pub fn wrong_content_type(expected: &str, found: &str) -> Self {
        let detail = format!("expected a body of type {expected}, found {found:?}");
        let mut problem = Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "wrong_content_type", "the body is of another type", detail);
        problem.0.expected = Some(expected.to_owned());
        problem.0.found = Some(found.to_owned());
        problem
    }

    /// 503, with `Retry-After: 1`.
    pub fn unavailable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "the node cannot take this now", detail)
    }

    /// 500; `cause` goes to the log alone.
    pub fn internal(cause: &str) -> Self {
        tracing::error!(cause, "a request failed for a reason of this machine");
        let detail = "this node has a problem of its own: its operator finds it in the log; another node can answer";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the node failed", detail)
    }

    /// A refusal by the chain's rules.
    pub fn rejected(rejection: &Rejection) -> Self {
        let code = rejection.code;
        let mut problem = Self::new(status_of(code), code.slug(), code.text(), rejection.to_string());
        problem.0.expected = rejection.expected.map(|value| value.to_string());
        problem.0.found = rejection.found.map(|value| value.to_string());
        problem
    }

    /// The same code as 404: what was asked about is not there.
    pub fn with_status_not_found(mut self, detail: String) -> Self {
        self.0.status = StatusCode::NOT_FOUND.as_u16();
        self.0.detail = detail;
        self
    }

    /// 504: it may still be committed.
    fn pending(id: TxId) -> Self {
        let detail = format!("transaction {id} waits for a block and may still be committed: ask for it, or send the same bytes again");
        let mut problem = Self::new(StatusCode::GATEWAY_TIMEOUT, "timeout", "the transaction is not committed yet", detail);
        problem.0.transaction = Some(id);
        problem
    }
}

/// Codes that a client acts on by their status alone, by what it does: send other bytes, sign with another key, ask for the nonce, wait.
const STATUSES: [(Code, StatusCode); 7] = [
    (Code::Malformed, StatusCode::BAD_REQUEST),
    (Code::TooLarge, StatusCode::PAYLOAD_TOO_LARGE),
    (Code::BadSignature, StatusCode::UNAUTHORIZED),
    (Code::UnknownSigner, StatusCode::UNAUTHORIZED),
    (Code::NotAllowed, StatusCode::FORBIDDEN),
    (Code::WrongNonce, StatusCode::CONFLICT),
    (Code::TooManyFromSigner, StatusCode::TOO_MANY_REQUESTS),
];

/// The status of a refusal; 422 for everything that the ledger itself forbids.
fn status_of(code: Code) -> StatusCode {
    STATUSES.iter().find(|(of, _)| *of == code).map_or(StatusCode::UNPROCESSABLE_ENTITY, |(_, status)| *status)
}

impl IntoResponse for ApiProblem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(&*self.0)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

impl From<SubmitError> for ApiProblem {
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::Rejected(rejection) => Self::rejected(&rejection),
            SubmitError::PoolFull => Self::unavailable(error.to_string()),
            SubmitError::StillPending(id) => Self::pending(id),
            SubmitError::Fault(cause) => Self::internal(&cause),
            SubmitError::Closed => Self::unavailable("the node is stopping: try again when it is back"),
        }
    }
}

impl From<StoreError> for ApiProblem {
    fn from(error: StoreError) -> Self {
        Self::internal(&error.to_string())
    }
}

impl From<Fault> for ApiProblem {
    fn from(fault: Fault) -> Self {
        Self::internal(&fault.to_string())
    }
}

impl From<Failure> for ApiProblem {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Reject(rejection) => Self::rejected(&rejection),
            Failure::Fault(fault) => fault.into(),
        }
    }
}

impl From<BytesRejection> for ApiProblem {
    fn from(rejection: BytesRejection) -> Self {
        if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
            let limit = chain::transaction::MAX_TRANSACTION_BYTES;
            let mut problem = Self::rejected(&Rejection::new(Code::TooLarge));
            problem.0.expected = Some(limit.to_string());
            problem.0.detail = format!("the body exceeds {limit} bytes: split the call into several");
            return problem;
        }
        Self::bad_request("the body did not arrive whole: send it again")
    }
}
