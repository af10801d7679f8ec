//! Problem documents (RFC 9457): the only place that turns a failure into an HTTP answer.
//!
//! What this machine fails at is logged and answered as `internal`, without its words: they would tell a stranger about the machine.

use axum::{
    Json,
    extract::rejection::{BytesRejection, JsonRejection},
    http::{HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use chain::{
    api::{Problem, Unit},
    code::{Code, Rejection},
    id::TxId,
    transaction::{MAX_TRANSACTION_BYTES, TransactionError},
    words::in_words,
};
use contracts::{
    call::Call,
    failure::{Failure, Fault},
    reason,
};

use super::accept::PROBLEM;
use crate::app::{StoreError, SubmitError};

/// A refusal on its way out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ApiProblem(Box<Problem>, Option<u64>);

impl ApiProblem {
    fn new(status: StatusCode, code: &str, title: &str, detail: impl Into<String>) -> Self {
        Self(Box::new(Problem::new(status.as_u16(), code, title, detail)), None)
    }

    /// What it says, for an answer that has begun.
    pub const fn document(&self) -> &Problem {
        &self.0
    }

    /// Names what is wrong.
    pub fn about(mut self, field: &str) -> Self {
        self.0.field = Some(field.to_owned());
        self
    }

    /// 404.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", "there is no such thing", detail)
    }

    /// 400.
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", "the request cannot be understood", detail)
    }

    /// 409: what was named fits several things.
    pub fn ambiguous(field: &str, detail: String) -> Self {
        Self::new(StatusCode::CONFLICT, "ambiguous", "the beginning of an id fits several", detail).about(field)
    }

    /// 408, of a body.
    pub fn slow_body(patience: std::time::Duration) -> Self {
        let detail = format!("body: it did not arrive within {} ms: send it again at once, as one piece", patience.as_millis());
        Self::too_slow(detail).about("body")
    }

    fn too_slow(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, "too_slow", "the request did not arrive in time", detail)
    }

    /// 414.
    pub fn uri_too_long(limit: usize) -> Self {
        let detail = format!("path and query have at most {limit} bytes: ask for less at once, with limit= and cursor=");
        Self::new(StatusCode::URI_TOO_LONG, "uri_too_long", "the address is too long", detail).about("path")
    }

    /// 431.
    pub fn headers_too_large(limit: usize) -> Self {
        let detail = format!("the header fields of a request have at most {limit} bytes together: send fewer or shorter ones");
        Self::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "headers_too_large", "the header fields are too large", detail)
            .about("headers")
    }

    /// What is said where the library that reads requests refuses one before it reaches a route.
    pub fn unreadable_head(status: StatusCode) -> Option<Vec<u8>> {
        let problem = match status {
            StatusCode::BAD_REQUEST => Self::bad_request("the head of the request is no HTTP/1.1: see RFC 9112").about("head"),
            StatusCode::URI_TOO_LONG => Self::uri_too_long(super::MAX_URI_BYTES),
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => Self::headers_too_large(super::MAX_HEADER_BYTES),
            _ => return None,
        };
        serde_json::to_vec(&*problem.0).ok()
    }

    /// 401: nobody has signed in, or not any more.
    pub fn sign_in_needed(detail: impl Into<String>) -> Self {
        let detail =
            format!("{}: sign in with POST /api/v1/challenges and POST /api/v1/tokens, or print a token with `watt token`", detail.into());
        Self::new(StatusCode::UNAUTHORIZED, "sign_in_needed", "this is shown to those alone whom it concerns", detail)
    }

    /// 401: an answer to a challenge that is none.
    pub fn sign_in_refused(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "sign_in_refused", "the challenge is not answered", detail)
    }

    /// 403.
    pub fn may_not_read(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "may_not_read", "this reader may not see it", detail)
    }

    /// 406.
    pub fn not_acceptable(offered: &[&str]) -> Self {
        let detail = format!("Accept: expected a range that takes {}: send */*, or leave it out", offered.join(" or "));
        let mut problem =
            Self::new(StatusCode::NOT_ACCEPTABLE, "not_acceptable", "the client takes nothing that this route answers", detail)
                .about("Accept");
        problem.0.expected = Some(offered.join(", "));
        problem
    }

    /// 429, with `Retry-After`.
    pub fn too_many_requests(wait: std::time::Duration) -> Self {
        let seconds = wait.as_secs().saturating_add(1);
        let detail =
            format!("more requests than this node takes from one client (api.requests_per_s, api.request_burst): try again in {seconds} s");
        let mut problem = Self::new(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", "too many requests", detail);
        problem.1 = Some(seconds);
        problem
    }

    /// 429, with `Retry-After`: of what takes long, as much is under way as may be; `held` says of what, and how much.
    pub fn too_many_at_once(held: &str, wait: std::time::Duration) -> Self {
        let seconds = wait.as_secs().max(1);
        let detail = format!("{held}, or try again in {seconds} s");
        let mut problem = Self::new(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", "too many requests", detail);
        problem.1 = Some(seconds);
        problem
    }

    /// 410.
    pub fn gone(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::GONE, "gone", "it was here and is no more", detail)
    }

    /// 405.
    pub fn wrong_method(method: &Method, path: &str) -> Self {
        let detail = format!("{path} does not take {method}: see the header Allow for what it takes");
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "wrong_method", "the method does not fit", detail)
    }

    /// 415.
    pub fn wrong_content_type(expected: &str, found: &str) -> Self {
        let detail = format!("Content-Type: expected {expected}, found {found:?}: send the body as it is, under that type");
        let mut problem = Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "wrong_content_type", "the body is of another type", detail)
            .about("Content-Type");
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

    /// A refusal by the chain's rules, of something that is no call.
    pub fn rejected(rejection: &Rejection) -> Self {
        Self::told(rejection, None, None, (rejection.code.text(), rejection.code.advice()))
    }

    /// A refusal of one parameter of a question by the chain's rules.
    pub fn rejected_parameter(field: &str, unit: Option<Unit>, rejection: &Rejection) -> Self {
        Self::told(rejection, Some(field), unit, (rejection.code.text(), rejection.code.advice()))
    }

    /// A refusal of a call, with its field and its numbers in words.
    pub fn rejected_call(call: &Call, rejection: &Rejection) -> Self {
        let code = rejection.code;
        let words = reason::words(call, rejection).unwrap_or((code.text(), code.advice()));
        Self::told(rejection, reason::field(call, rejection), reason::unit(call, rejection), words)
    }

    /// A body that is no transaction: which part, and what was expected there.
    pub fn malformed(error: &TransactionError) -> Self {
        let code = Code::Malformed;
        let place = error.place();
        let told = match (error, place) {
            (TransactionError::Length(found), _) => {
                format!("body: expected 65 to {MAX_TRANSACTION_BYTES} bytes (a signature of 64, then what it signs), found {found}")
            }
            (TransactionError::Body(error), Some((at, field))) => format!("{field}, at byte {at} of the body: {error}"),
            (TransactionError::Body(error), None) => format!("body: {error}"),
        };
        let mut problem =
            Self::new(status_of(code), code.slug(), code.text(), format!("{told}. {}: {}", sentence(code.text()), code.advice()));
        problem.0.offset = place.and_then(|(at, _)| u32::try_from(at).ok());
        problem.about(place.map_or("body", |(_, field)| field))
    }

    fn told(rejection: &Rejection, field: Option<&str>, unit: Option<Unit>, (text, advice): (&str, &str)) -> Self {
        let code = rejection.code;
        let words = |number: u64| unit.map_or_else(|| number.to_string(), |unit| in_words(unit, number));
        let mut detail = field.map(|field| format!("{field}: ")).unwrap_or_default();
        detail.push_str(text);
        if let Some(expected) = rejection.expected {
            detail = format!("{detail}; expected {}", words(expected));
        }
        if let Some(found) = rejection.found {
            detail = format!("{detail}, found {}", words(found));
        }
        let mut problem = Self::new(status_of(code), code.slug(), code.text(), format!("{detail}: {advice}"));
        problem.0.expected = rejection.expected.map(|value| value.to_string());
        problem.0.found = rejection.found.map(|value| value.to_string());
        problem.0.unit = unit.filter(|_| rejection.expected.is_some() || rejection.found.is_some());
        problem.0.field = field.map(str::to_owned);
        problem
    }

    /// The same problem under another status.
    pub fn with_status(mut self, status: StatusCode) -> Self {
        self.0.status = status.as_u16();
        self
    }

    /// The same problem in other words.
    pub fn with_detail(mut self, detail: String) -> Self {
        self.0.detail = detail;
        self
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

/// With a capital at its beginning.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| format!("{}{}", first.to_uppercase(), letters.as_str())).unwrap_or_default()
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
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM));
        if matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(self.1.unwrap_or(1)));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"commonwatt\""));
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

impl From<JsonRejection> for ApiProblem {
    fn from(rejection: JsonRejection) -> Self {
        let status = rejection.status();
        if status == StatusCode::UNSUPPORTED_MEDIA_TYPE {
            return Self::wrong_content_type("application/json", "another or none");
        }
        if status == StatusCode::PAYLOAD_TOO_LARGE {
            let code = Code::TooLarge;
            return Self::new(status, code.slug(), "the body is too large", "body: it is longer than this route takes").about("body");
        }
        // JSON whose values are not what their names promise is understood, and still no request: 422. What is no JSON at all is 400.
        let kept = if status == StatusCode::UNPROCESSABLE_ENTITY { status } else { StatusCode::BAD_REQUEST };
        Self::bad_request(format!("body: {}", rejection.body_text())).about("body").with_status(kept)
    }
}

impl From<BytesRejection> for ApiProblem {
    fn from(rejection: BytesRejection) -> Self {
        if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
            let mut problem = Self::rejected_parameter("body", Some(Unit::Bytes), &Rejection::new(Code::TooLarge));
            problem.0.expected = Some(MAX_TRANSACTION_BYTES.to_string());
            problem.0.unit = Some(Unit::Bytes);
            problem.0.detail = format!("body: it exceeds {MAX_TRANSACTION_BYTES} bytes: {}", Code::TooLarge.advice());
            return problem;
        }
        Self::bad_request("body: it did not arrive whole: send it again").about("body")
    }
}
