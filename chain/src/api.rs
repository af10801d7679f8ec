//! What the HTTP API says: the JSON of `/api/v1`, shared by the server and every client so that neither guesses.
//!
//! JSON is for people and programs, never hashed. 64-bit quantities are decimal strings, hashes lower-case hexadecimal, addresses bech32m. Lists come in
//! pages: at most [`MAX_PAGE`] items and a cursor for the next. Called by `node::api` and by the clients.

mod accounts;
mod blocks;
mod clearing;
mod monitor;
mod sessions;
mod sites;

pub use self::accounts::{AccountView, AskedStartView, CardOrderDone, CardView, MandateView, RedemptionView, RoleView};
pub use self::blocks::{
    BlockReceipts, BlockView, CommittedTransaction, ProvenReceipt, ProvenState, Rehearsed, StreamedEvent, Submitted, TransactionView,
};
pub use self::clearing::{ClearingView, CondominiumView, PaymentState, PaymentView, PositionView, RoamingView, StatementView};
pub use self::monitor::{EstimateView, FoundView, MonitorView, RelayView, SampleView};
pub use self::sessions::{QueueTicket, ReadingView, SessionView};
pub use self::sites::{AmountByComponent, ConnectorView, GroupView, MAX_QUOTE_ENERGY, QuoteView, TariffView};

use serde::{Deserialize, Serialize};

use crate::{
    certificate::ValidatorSet,
    genesis_kind::NetworkKind,
    hash::Hash32,
    id::{ChainId, Height, TxId},
    time::Timestamp,
};

/// The most items of one page.
pub const MAX_PAGE: u32 = 500;

/// A problem (RFC 9457), sent as `application/problem+json`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Problem {
    /// `urn:commonwatt:problem:` and the code.
    #[serde(rename = "type")]
    pub kind: String,
    /// What is wrong, in a few words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What was expected, what was found, and what to do.
    pub detail: String,
    /// The stable name: the slug of a rejection's code, or one of the API's own (`ambiguous`, `bad_request`, `gone`, `internal`, `not_found`,
    /// `timeout`, `too_large`, `too_slow`, `unavailable`, `uri_too_long`, `headers_too_large`, `wrong_content_type`, `wrong_method`, `not_acceptable`,
    /// `too_many_requests`, `sign_in_needed`, `sign_in_refused`, `may_not_read`).
    pub code: String,
    /// What is wrong by name: a query parameter, a part of the path, a header, or a field of the transaction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// The byte of the body at which it stops being a transaction, from 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<u32>,
    /// The rejection's expected value, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<String>,
    /// The value found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found: Option<String>,
    /// What `expected` and `found` count, where they are numbers of the ledger.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<Unit>,
    /// The transaction that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transaction: Option<TxId>,
}

impl Problem {
    /// Makes a problem of a status, a stable name, a title in a few words and a detail, about nothing in particular yet.
    pub fn new(status: u16, code: &str, title: &str, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("urn:commonwatt:problem:{code}"),
            title: title.to_owned(),
            status,
            detail: detail.into(),
            code: code.to_owned(),
            field: None,
            offset: None,
            expected: None,
            found: None,
            unit: None,
            transaction: None,
        }
    }
}

/// What the numbers of a refusal count.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Micro-tokens.
    MicroTokens,
    /// Wh.
    WattHours,
    /// mA.
    Milliamperes,
    /// A span of time in ms.
    Milliseconds,
    /// A point in time in ms since 1970, UTC.
    UnixMilliseconds,
    /// Percent.
    Percent,
    /// Bytes.
    Bytes,
    /// A place in the chain.
    Height,
    /// A plain number: a nonce, a version, how many there are.
    Count,
}

/// A page of a list.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// What to ask with for the next page; absent on the last.
    pub next: Option<String>,
}

/// `GET /status`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Status {
    /// The program's version.
    pub version: String,
    /// The network's name.
    pub network: String,
    /// Whether it is played or meant.
    pub kind: NetworkKind,
    /// The chain's id.
    pub chain_id: ChainId,
    /// What a token stands for.
    pub currency: String,
    /// The newest block.
    pub height: Height,
    /// Its header's hash.
    pub hash: Hash32,
    /// Its time.
    pub timestamp: Timestamp,
    /// The node's clock: real, or stepped in a test federation.
    pub now: Timestamp,
    /// The state after it.
    pub state_root: Hash32,
    /// Who decides the next height.
    pub validators: ValidatorSet,
    /// Validators of equal weight that may fail without a halt.
    pub faults_tolerated: u32,
    /// Transactions that wait for a block.
    pub pending: u32,
}

/// `GET /health`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Health {
    /// Whether the node follows the chain and takes transactions.
    pub ready: bool,
    /// The newest block.
    pub height: Height,
    /// What is wrong, in words; empty where nothing is.
    pub problems: Vec<String>,
}
