//! A typed client of one node's HTTP API.
//!
//! One request, one function; cheap to clone and to share. It retries nothing but the event stream, and what needs a reader who has signed in; it keeps
//! nothing but the token that it is given then, and judges nothing: what can be
//! proved is checked in [`crate::verify`], and nonces are [`crate::wallet`]'s matter. Called by the commands of `watt` and by `testnet`.

mod error;
mod events;
mod reader;
mod reads;

use std::{fmt::Write as _, sync::Arc, time::Duration};

use chain::{
    api::{CardOrderDone, CommittedTransaction, MAX_PAGE, Page, Problem, Rehearsed, Submitted},
    id::{Height, TxId},
};
use futures::{Stream, StreamExt};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde::de::DeserializeOwned;

use self::reader::Reader;
pub use self::{
    error::ClientError,
    events::{EventFilter, EventId, EventStream, Frame, FrameParser, NodeEvent},
    reads::{QuoteQuery, SessionFilter, SessionStateFilter},
};
use crate::refusal::Reason;

/// Where a node listens unless told otherwise.
pub const DEFAULT_NODE: &str = "http://127.0.0.1:8420";

/// How long a commit is waited for unless the caller says otherwise.
pub const COMMIT_TIMEOUT: Duration = Duration::from_secs(30);

/// The most that one answer may measure, in bytes; streams apart.
pub const MAX_ANSWER_BYTES: usize = 32 << 20;

/// The most pages that a whole list is read from.
pub const MAX_PAGES: usize = 1_000;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a connection rests before another is opened: less than the node lets it, which would cut it off under a request.
const REST: Duration = Duration::from_secs(5);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// A client of one node; a clone shares its connections.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    base: Arc<str>,
    reach: Reach,
    reader: Option<Arc<Reader>>,
}

/// Whether a client may ask anybody.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Reach {
    Node,
    Nobody,
}

impl Client {
    /// A client that asks nobody: every question ends in [`ClientError::Offline`].
    ///
    /// # Errors
    /// [`ClientError::Address`] where this machine cannot make a client at all.
    pub fn offline() -> Result<Self, ClientError> {
        Ok(Self { reach: Reach::Nobody, ..Self::new(DEFAULT_NODE)? })
    }

    /// A client of the node at `url`, such as `http://127.0.0.1:8420`; nothing is sent yet.
    ///
    /// # Errors
    /// [`ClientError::Address`] for anything but an `http://` address of a host.
    pub fn new(url: &str) -> Result<Self, ClientError> {
        let bad = |reason: &str| ClientError::Address { url: url.to_owned(), reason: reason.to_owned() };
        if !url.contains("://") && reqwest::Url::parse(&format!("http://{url}")).is_ok_and(|whole| whole.has_host()) {
            return Err(bad(&format!("the scheme is missing: write http://{url}")));
        }
        let parsed = reqwest::Url::parse(url).map_err(|error| bad(&error.to_string()))?;
        match parsed.scheme() {
            "http" if parsed.has_host() => {}
            "https" => {
                return Err(bad(
                    "this program speaks plain HTTP to a node on its own machine or network: use a tunnel (ssh -L 8420:127.0.0.1:8420 HOST) for one that is elsewhere",
                ));
            }
            _ => return Err(bad("it does not begin with http://HOST")),
        }
        // A node is on this machine or reached through a tunnel: a proxy meant for the web must not see its traffic.
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(REST)
            .user_agent(concat!("watt/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| bad(&error.to_string()))?;
        Ok(Self { http, base: url.trim_end_matches('/').into(), reach: Reach::Node, reader: None })
    }

    /// The node's address, as it was given.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.base
    }

    /// Has a gateway follow an order about a card, given as [`chain::card_order::CardOrder::sign`] makes it.
    ///
    /// # Errors
    /// [`ClientError::Problem`] where the gateway refuses it.
    pub async fn card_order(&self, order: &[u8]) -> Result<CardOrderDone, ClientError> {
        let path = "/gateway/v1/cards";
        let request = self
            .http
            .post(format!("{}{path}", self.base))
            .header(reqwest::header::CONTENT_TYPE, "application/octet-stream")
            .timeout(REQUEST_TIMEOUT)
            .body(order.to_vec());
        let response = self.send(request).await?;
        self.json(path, response).await
    }

    /// Asks what a transaction would do in the next block. The bytes are those of [`chain::transaction::Transaction::sign_rehearsal`], which nobody can submit.
    ///
    /// # Errors
    /// [`ClientError::Problem`] with the ledger's code where the chain would refuse it.
    pub async fn rehearse(&self, bytes: &[u8]) -> Result<Rehearsed, ClientError> {
        self.post("/rehearsals", bytes, REQUEST_TIMEOUT).await
    }

    /// Submits a transaction's bytes; it is pooled, not yet committed.
    ///
    /// # Errors
    /// [`ClientError::Problem`] where the node refuses it.
    pub async fn submit(&self, bytes: &[u8]) -> Result<TxId, ClientError> {
        let submitted: Submitted = self.post("/transactions", bytes, REQUEST_TIMEOUT).await?;
        Ok(submitted.id)
    }

    /// Submits a transaction's bytes and waits for its block, at most [`COMMIT_TIMEOUT`].
    ///
    /// # Errors
    /// As [`Client::submit`]; [`ClientError::Rejected`] where the block rejected it, [`ClientError::Pending`] where no block took it in time.
    pub async fn submit_and_wait(&self, bytes: &[u8]) -> Result<CommittedTransaction, ClientError> {
        self.submit_and_wait_for(bytes, COMMIT_TIMEOUT).await
    }

    /// [`Client::submit_and_wait`] with another patience.
    ///
    /// # Errors
    /// As [`Client::submit_and_wait`].
    pub async fn submit_and_wait_for(&self, bytes: &[u8], patience: Duration) -> Result<CommittedTransaction, ClientError> {
        let path = format!("/transactions?wait=committed&timeout_ms={}", patience.as_millis());
        let submitted: Submitted = self.post(&path, bytes, patience.saturating_add(REQUEST_TIMEOUT)).await?;
        let committed = submitted.committed.ok_or(ClientError::Pending { id: submitted.id })?;
        match committed.receipt.outcome {
            chain::receipt::Outcome::Applied => Ok(committed),
            chain::receipt::Outcome::Rejected(rejection) => Err(ClientError::Rejected {
                id: submitted.id,
                height: committed.height,
                rejection,
                reason: Box::new(Reason::of(bytes, &rejection)),
            }),
        }
    }

    /// `GET /export`: the stream of blocks, certificates, receipts and samples from a height on, in pieces as they come.
    ///
    /// # Errors
    /// [`ClientError`], for each piece too.
    pub async fn export(&self, from: Height) -> Result<impl Stream<Item = Result<Vec<u8>, ClientError>> + Unpin + use<>, ClientError> {
        let response = self.send(self.request(Method::GET, &format!("/export?from={from}"))).await?;
        let base = Arc::clone(&self.base);
        Ok(response
            .bytes_stream()
            .map(move |piece| piece.map(|bytes| bytes.to_vec()).map_err(|error| ClientError::unreachable(&base, &error))))
    }

    /// What happens from now on, or after `last` where it is given; it reconnects by itself.
    #[must_use]
    pub fn events(&self, filter: EventFilter, last: Option<EventId>) -> EventStream {
        EventStream::new(self.clone(), filter, last)
    }

    /// Reads every page of a list.
    async fn list<T: DeserializeOwned>(&self, path: &str) -> Result<Vec<T>, ClientError> {
        let mut items = Vec::new();
        let mut cursor = None;
        for _ in 0..MAX_PAGES {
            let found: Page<T> = self.get(&page(path.to_owned(), MAX_PAGE, cursor.as_deref())).await?;
            items.extend(found.items);
            match found.next {
                Some(next) => cursor = Some(next),
                None => return Ok(items),
            }
        }
        Err(ClientError::Answer { path: path.to_owned(), reason: format!("the list has more than {MAX_PAGES} pages: narrow the question") })
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        let response = self.send(self.request(Method::GET, path).timeout(REQUEST_TIMEOUT)).await?;
        self.json(path, response).await
    }

    async fn post<T: DeserializeOwned>(&self, path: &str, bytes: &[u8], patience: Duration) -> Result<T, ClientError> {
        let request = self
            .request(Method::POST, path)
            .header(reqwest::header::CONTENT_TYPE, "application/octet-stream")
            .timeout(patience)
            .body(bytes.to_vec());
        let response = self.send(request).await?;
        self.json(path, response).await
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}/api/v1{path}", self.base))
    }

    /// Sends, signs in and sends again where the node wants to know who reads, and turns every answer but a success into its problem.
    async fn send(&self, request: RequestBuilder) -> Result<Response, ClientError> {
        let Some(reader) = &self.reader else { return self.send_once(request).await };
        let again = request.try_clone();
        let known = reader.token().await;
        match (self.send_once(known.bearing(request)).await, again) {
            (Err(error), Some(request)) if error.is_code("sign_in_needed") => {
                let token = reader.renewed(self, &known).await?;
                self.send_once(token.bearing(request)).await
            }
            (answer, _) => answer,
        }
    }

    async fn send_once(&self, request: RequestBuilder) -> Result<Response, ClientError> {
        if self.reach == Reach::Nobody {
            let path = request.build().map(|request| request.url().path().to_owned()).unwrap_or_default();
            return Err(ClientError::Offline { path });
        }
        let response = request.send().await.map_err(|error| ClientError::unreachable(&self.base, &error))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let path = response.url().path().to_owned();
        let body = self.body(&path, response).await?;
        let Ok(problem) = serde_json::from_slice::<Problem>(&body) else {
            return Err(ClientError::Answer {
                path,
                reason: format!("HTTP {status} without a problem document, as no node's API answers (the one for units has another port)"),
            });
        };
        if status == StatusCode::GATEWAY_TIMEOUT
            && let Some(id) = problem.transaction
        {
            return Err(ClientError::Pending { id });
        }
        Err(ClientError::Problem(Box::new(problem)))
    }

    async fn json<T: DeserializeOwned>(&self, path: &str, response: Response) -> Result<T, ClientError> {
        let body = self.body(path, response).await?;
        serde_json::from_slice(&body).map_err(|error| ClientError::Answer { path: path.to_owned(), reason: error.to_string() })
    }

    async fn body(&self, path: &str, response: Response) -> Result<Vec<u8>, ClientError> {
        let mut body = Vec::new();
        let mut pieces = response.bytes_stream();
        while let Some(piece) = pieces.next().await {
            let piece = piece.map_err(|error| ClientError::unreachable(&self.base, &error))?;
            if body.len().saturating_add(piece.len()) > MAX_ANSWER_BYTES {
                return Err(ClientError::Answer { path: path.to_owned(), reason: format!("it exceeds {MAX_ANSWER_BYTES} bytes") });
            }
            body.extend_from_slice(&piece);
        }
        Ok(body)
    }
}

/// Adds `limit` and `cursor` to a path.
fn page(mut path: String, limit: u32, cursor: Option<&str>) -> String {
    parameter(&mut path, "limit", Some(limit));
    // Cursors come from the node and may hold any character.
    let escaped = cursor.map(|text| {
        text.bytes().fold(String::new(), |mut escaped, byte| {
            if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
                escaped.push(char::from(byte));
            } else {
                // Writing to a string cannot fail.
                let _ = write!(escaped, "%{byte:02X}");
            }
            escaped
        })
    });
    parameter(&mut path, "cursor", escaped);
    path
}

/// Adds a query parameter where it has a value; values here need no escaping.
fn parameter(path: &mut String, name: &str, value: Option<impl std::fmt::Display>) {
    if let Some(value) = value {
        let separator = if path.contains('?') { '&' } else { '?' };
        // Writing to a string cannot fail.
        let _ = write!(path, "{separator}{name}={value}");
    }
}
