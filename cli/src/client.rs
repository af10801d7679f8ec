//! A typed client of one node's HTTP API.
//!
//! One request, one function; cheap to clone and to share. It retries nothing but the event stream, keeps no state and judges nothing: what can be
//! proved is checked in [`crate::verify`], and nonces are [`crate::wallet`]'s matter. Called by the commands of `watt` and by `testnet`.

mod error;
mod events;

use std::{fmt::Write as _, sync::Arc, time::Duration};

use chain::{
    api::{
        AccountView, BlockReceipts, BlockView, CommittedTransaction, CondominiumView, ConnectorView, GroupView, Health, MAX_PAGE, Page,
        Problem, ProvenReceipt, ProvenState, QueueTicket, QuoteView, ReadingView, RedemptionView, RoleView, SessionView, Status, Submitted,
        TariffView, TransactionView,
    },
    certificate::ValidatorSet,
    id::{Address, CondominiumId, ConnectorId, Height, SessionId, TariffId, TxId},
    params::Params,
    quantity::WattHours,
    time::Timestamp,
};
use contracts::genesis::Genesis;
use futures::{Stream, StreamExt};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde::de::DeserializeOwned;

pub use self::{
    error::ClientError,
    events::{EventFilter, EventId, EventStream, NodeEvent},
};

/// Where a node listens unless told otherwise.
pub const DEFAULT_NODE: &str = "http://127.0.0.1:8420";

/// How long a commit is waited for unless the caller says otherwise.
pub const COMMIT_TIMEOUT: Duration = Duration::from_secs(30);

/// The most that one answer may measure, in bytes; streams apart.
pub const MAX_ANSWER_BYTES: usize = 32 << 20;

/// The most pages that a whole list is read from.
pub const MAX_PAGES: usize = 1_000;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// A client of one node; a clone shares its connections.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    base: Arc<str>,
}

/// Which sessions to list.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct SessionFilter {
    /// Only this account's.
    pub account: Option<Address>,
    /// Only those at this connector.
    pub connector: Option<ConnectorId>,
    /// Only those in this state; all where there is none.
    pub state: Option<SessionStateFilter>,
}

/// Open or settled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SessionStateFilter {
    /// In the state.
    Open,
    /// Over.
    Settled,
}

/// What to ask a price for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct QuoteQuery {
    /// Where.
    pub connector: ConnectorId,
    /// How much; all that the duration allows where there is none.
    pub energy: Option<WattHours>,
    /// How long; the longest that the chain allows where there is none.
    pub max_duration: Option<chain::time::Duration>,
    /// From when; now where there is none.
    pub at: Option<Timestamp>,
}

impl Client {
    /// A client of the node at `url`, such as `http://127.0.0.1:8420`; nothing is sent yet.
    ///
    /// # Errors
    /// [`ClientError::Address`] for anything but an `http://` address of a host.
    pub fn new(url: &str) -> Result<Self, ClientError> {
        let bad = |reason: &str| ClientError::Address { url: url.to_owned(), reason: reason.to_owned() };
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
            .user_agent(concat!("watt/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| bad(&error.to_string()))?;
        Ok(Self { http, base: url.trim_end_matches('/').into() })
    }

    /// The node's address, as it was given.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.base
    }

    /// `GET /status`.
    ///
    /// # Errors
    /// [`ClientError`]; so for every request below.
    pub async fn status(&self) -> Result<Status, ClientError> {
        self.get("/status").await
    }

    /// `GET /health`.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn health(&self) -> Result<Health, ClientError> {
        self.get("/health").await
    }

    /// `GET /genesis`: the document whose hash is the chain id.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn genesis(&self) -> Result<Genesis, ClientError> {
        self.get("/genesis").await
    }

    /// `GET /params`.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn params(&self) -> Result<Params, ClientError> {
        self.get("/params").await
    }

    /// `GET /validators`: those who decide the next height.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn validators(&self) -> Result<ValidatorSet, ClientError> {
        self.get("/validators").await
    }

    /// `GET /accounts/{address}`.
    ///
    /// # Errors
    /// [`ClientError`]; [`ClientError::is_code`] `unknown_account` where it is not registered.
    pub async fn account(&self, address: Address) -> Result<AccountView, ClientError> {
        self.get(&format!("/accounts/{address}")).await
    }

    /// One page of an account's transactions, newest first.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn account_transactions(
        &self,
        address: Address,
        limit: u32,
        cursor: Option<&str>,
    ) -> Result<Page<TransactionView>, ClientError> {
        self.get(&page(format!("/accounts/{address}/transactions"), limit, cursor)).await
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
            chain::receipt::Outcome::Rejected(rejection) => {
                Err(ClientError::Rejected { id: submitted.id, height: committed.height, rejection })
            }
        }
    }

    /// `GET /transactions/{id}`.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn transaction(&self, id: TxId) -> Result<TransactionView, ClientError> {
        self.get(&format!("/transactions/{id}")).await
    }

    /// `GET /receipts/{id}`: a transaction's receipt and what proves it.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn receipt(&self, id: TxId) -> Result<ProvenReceipt, ClientError> {
        self.get(&format!("/receipts/{id}")).await
    }

    /// `GET /quote`.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn quote(&self, query: QuoteQuery) -> Result<QuoteView, ClientError> {
        let mut path = format!("/quote?connector={}", query.connector);
        parameter(&mut path, "energy_wh", query.energy.map(WattHours::get));
        parameter(&mut path, "max_duration_ms", query.max_duration.map(chain::time::Duration::ms));
        parameter(&mut path, "at", query.at.map(Timestamp::ms));
        self.get(&path).await
    }

    /// `GET /sessions/{id}`.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn session(&self, id: SessionId) -> Result<SessionView, ClientError> {
        self.get(&format!("/sessions/{id}")).await
    }

    /// One page of sessions, newest first.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn sessions(&self, filter: SessionFilter, limit: u32, cursor: Option<&str>) -> Result<Page<SessionView>, ClientError> {
        let mut path = page("/sessions".to_owned(), limit, cursor);
        parameter(&mut path, "account", filter.account);
        parameter(&mut path, "connector", filter.connector);
        let state = match filter.state {
            None => "all",
            Some(SessionStateFilter::Open) => "open",
            Some(SessionStateFilter::Settled) => "settled",
        };
        parameter(&mut path, "state", Some(state));
        self.get(&path).await
    }

    /// `GET /sessions/{id}/receipt`: a settled session's bill and what proves it; [`crate::verify::receipt`] checks it.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn session_receipt(&self, id: SessionId) -> Result<ProvenReceipt, ClientError> {
        self.get(&format!("/sessions/{id}/receipt")).await
    }

    /// All readings of a session, in order.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn readings(&self, id: SessionId) -> Result<Vec<ReadingView>, ClientError> {
        let mut readings: Vec<ReadingView> = self.list(&format!("/sessions/{id}/readings")).await?;
        // Pages come newest first; a refused reading keeps its place among those of its block.
        readings.sort_by_key(|reading| (reading.height, reading.at, reading.sequence));
        Ok(readings)
    }

    /// All tariffs, the versions in force or to come.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn tariffs(&self) -> Result<Vec<TariffView>, ClientError> {
        self.list("/tariffs").await
    }

    /// All versions of a tariff.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn tariff_versions(&self, id: TariffId) -> Result<Vec<TariffView>, ClientError> {
        self.list(&format!("/tariffs/{id}")).await
    }

    /// All connectors.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn connectors(&self) -> Result<Vec<ConnectorView>, ClientError> {
        self.list("/connectors").await
    }

    /// `GET /connectors/{id}`.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn connector(&self, id: ConnectorId) -> Result<ConnectorView, ClientError> {
        self.get(&format!("/connectors/{id}")).await
    }

    /// All groups.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn groups(&self) -> Result<Vec<GroupView>, ClientError> {
        self.list("/groups").await
    }

    /// All condominiums with their sums.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn condominiums(&self) -> Result<Vec<CondominiumView>, ClientError> {
        self.list("/condominiums").await
    }

    /// All role grants of a condominium.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn roles(&self, condominium: CondominiumId) -> Result<Vec<RoleView>, ClientError> {
        // Bounded by the chain, so the node gives all of them at once.
        let page: Page<RoleView> = self.get(&format!("/roles?condominium={condominium}")).await?;
        Ok(page.items)
    }

    /// All who wait, and why.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn queue(&self) -> Result<Vec<QueueTicket>, ClientError> {
        self.list("/queue").await
    }

    /// Pending redemptions, of one account or of all.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn redemptions(&self, account: Option<Address>) -> Result<Vec<RedemptionView>, ClientError> {
        let mut path = "/redemptions".to_owned();
        parameter(&mut path, "account", account);
        // The node gives the first of them and no cursor; the others come up as these are answered.
        let page: Page<RedemptionView> = self.get(&path).await?;
        Ok(page.items)
    }

    /// One page of blocks, newest first, those below `before` where it is given.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn blocks(&self, before: Option<Height>, limit: u32) -> Result<Page<BlockView>, ClientError> {
        let mut path = page("/blocks".to_owned(), limit, None);
        parameter(&mut path, "before", before);
        self.get(&path).await
    }

    /// The block of a height, or of a hash: whatever `name` is.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn block(&self, name: impl std::fmt::Display) -> Result<BlockView, ClientError> {
        self.get(&format!("/blocks/{name}")).await
    }

    /// `GET /blocks/{height}/receipts`.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn block_receipts(&self, height: Height) -> Result<BlockReceipts, ClientError> {
        self.get(&format!("/blocks/{height}/receipts")).await
    }

    /// `GET /blocks/{height}/bytes`: the encoded block.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn block_bytes(&self, height: Height) -> Result<Vec<u8>, ClientError> {
        let path = format!("/blocks/{height}/bytes");
        let response = self.send(self.request(Method::GET, &path).timeout(REQUEST_TIMEOUT)).await?;
        self.body(&path, response).await
    }

    /// `GET /state?key=`: a value of the newest state, or its absence, and what proves it; [`crate::verify::state`] checks it.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn state(&self, key: &chain::record::Key) -> Result<ProvenState, ClientError> {
        self.get(&format!("/state?key={}", hex::encode(key.bytes()))).await
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

    /// Sends, and turns every answer but a success into its problem.
    async fn send(&self, request: RequestBuilder) -> Result<Response, ClientError> {
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
                reason: format!("HTTP {status} without a problem document: is this a Commonwatt node?"),
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
