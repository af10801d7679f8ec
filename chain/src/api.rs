//! What the HTTP API says: the JSON of `/api/v1`, shared by the server and every client so that neither guesses.
//!
//! JSON is for people and programs, never hashed. 64-bit quantities are decimal strings, hashes lower-case hexadecimal, addresses bech32m. Lists come in
//! pages: at most [`MAX_PAGE`] items and a cursor for the next. Called by `node::api` and by the clients.

use serde::{Deserialize, Serialize};

use crate::{
    block::Header,
    certificate::{CommitCertificate, ValidatorSet},
    code::Code,
    genesis_kind::NetworkKind,
    hash::Hash32,
    id::{Address, CardId, ChainId, CondominiumId, ConnectorId, GroupId, Height, RedemptionId, SessionId, TariffId, TxId},
    merkle::Path,
    quantity::{Amount, Currents, WattHours, Watts},
    receipt::{Event, Receipt, SessionReceipt, SkipReason},
    record::{
        Account, AskedStart, Card, Clearing, Condominium, Connector, Fault, Group, Mandate, Meter, MeterProposal, Redemption, Roaming,
        Role, RoleGrant, Session, Suspension,
    },
    tariff::Tariff,
    time::{Duration, Timestamp},
    tree::StateProof,
};

/// The most items of one page.
pub const MAX_PAGE: u32 = 500;

/// The most energy that a quote may be asked for: more than any vehicle holds.
pub const MAX_QUOTE_ENERGY: WattHours = WattHours::new(1_000_000);

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
    /// The stable name: a [`Code`]'s slug, or one of the API's own (`ambiguous`, `bad_request`, `gone`, `internal`, `not_found`, `timeout`, `too_large`, `too_slow`,
    /// `unavailable`, `uri_too_long`, `headers_too_large`, `wrong_content_type`, `wrong_method`, `not_acceptable`, `too_many_requests`, `sign_in_needed`,
    /// `sign_in_refused`, `may_not_read`).
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

/// `POST /transactions`: 202 with `committed: null`, or 200.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Submitted {
    /// The transaction's id.
    pub id: TxId,
    /// Where it stands and what it did; `null` while it waits.
    pub committed: Option<CommittedTransaction>,
}

/// `POST /rehearsals`: what a transaction would do in the next block. Nothing was pooled and nothing is changed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Rehearsed {
    /// The block that it would be in.
    pub height: Height,
    /// That block's time, as far as it can be known.
    pub timestamp: Timestamp,
    /// What it would do.
    pub receipt: Receipt,
}

/// A transaction in a block.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CommittedTransaction {
    /// The block.
    pub height: Height,
    /// Its place in it.
    pub index: u32,
    /// The block's time.
    pub timestamp: Timestamp,
    /// What it did.
    pub receipt: Receipt,
}

/// `GET /transactions/{id}`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TransactionView {
    /// Its id.
    pub id: TxId,
    /// The signed bytes, in hexadecimal digits: any client decodes them with `contracts::call`.
    pub bytes: String,
    /// Its block; `null` while it waits.
    pub committed: Option<CommittedTransaction>,
}

/// `GET /accounts/{address}`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AccountView {
    /// Its address.
    pub address: Address,
    /// Its record.
    pub account: Account,
    /// What it can lock: balance and undrawn credit.
    pub available: Amount,
    /// The nonce of its key's next transaction, those that wait for a block counted.
    #[serde(with = "crate::quantity::decimal")]
    #[cfg_attr(feature = "openapi", schema(value_type = crate::openapi::Decimal))]
    pub next_nonce: u64,
    /// Its roles, those that begin or end later too.
    pub roles: Vec<RoleView>,
}

/// A role of an account.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RoleView {
    /// Where.
    pub condominium: CondominiumId,
    /// Which.
    pub role: Role,
    /// Whose.
    pub account: Address,
    /// When.
    pub grant: RoleGrant,
    /// A gateway's suspension, in force or lifted, where there ever was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspension: Option<Suspension>,
}

/// `GET /sessions/{id}` and the items of `GET /sessions`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum SessionView {
    /// It is in the state.
    Open {
        /// Its id.
        id: SessionId,
        /// Its record.
        session: Session,
        /// The cost so far, rounded up, at most the escrow.
        cost_so_far: Amount,
        /// Energy so far.
        energy: WattHours,
        /// Where it waits, if it does.
        queue: Option<QueueTicket>,
    },
    /// It is over.
    Settled {
        /// Its id.
        id: SessionId,
        /// The block of its settlement.
        height: Height,
        /// The receipt's place in it.
        index: u32,
        /// Its bill.
        receipt: SessionReceipt,
    },
}

/// A place in the queue, and why: the items of `GET /queue`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct QueueTicket {
    /// Who waits.
    pub session: SessionId,
    /// Where.
    pub connector: ConnectorId,
    /// In which group.
    pub group: GroupId,
    /// The place, from 1.
    pub position: u32,
    /// Since when.
    pub since: Timestamp,
    /// Why, in words.
    pub reason: String,
    /// Why it was last passed over, if it was.
    pub skipped: Option<SkipReason>,
    /// About when it may start, where that can be said.
    pub expected_at: Option<Timestamp>,
}

/// What a connector's unit and meter show now: one item of `GET /monitor`. A node says it of the units of its own gateway.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MonitorView {
    /// Which.
    pub connector: ConnectorId,
    /// The session that is open there.
    pub session: Option<SessionId>,
    /// When its unit was last heard.
    pub heard_at: Option<Timestamp>,
    /// Its newest sample.
    pub sample: Option<SampleView>,
    /// What was found wrong since the gateway was started, the newest first, the last few.
    pub found: Vec<FoundView>,
    /// What the driver is likely to need, where enough is known of him.
    pub estimate: Option<EstimateView>,
}

/// A sample as it came from a unit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SampleView {
    /// When it was taken.
    pub at: Timestamp,
    /// What flowed, in W.
    pub power_w: Watts,
    /// What flowed on each phase, in mA.
    pub current: Currents,
    /// The cumulative register.
    pub register: WattHours,
    /// Inside the unit, in tenths of a degree Celsius, where it has a sensor.
    pub temperature_dc: Option<i16>,
    /// Whether current can flow.
    pub relay: RelayView,
}

/// A relay as its unit says.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum RelayView {
    /// There is none: a meter alone.
    None,
    /// No current flows.
    Open,
    /// It does, if a vehicle takes it.
    Closed,
}

/// Something that was found wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FoundView {
    /// What.
    pub fault: Fault,
    /// When.
    pub at: Timestamp,
    /// The session that it ended, if one was open.
    pub session: Option<SessionId>,
}

/// What a driver's own charges before say about this one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EstimateView {
    /// How many charges it is made from.
    pub charges: u32,
    /// The middle of what they brought.
    pub energy: WattHours,
    /// When he may leave: a quarter of his charges were over sooner. Nothing once that has passed: he is not late because an estimate was wrong.
    pub leaves_at: Option<Timestamp>,
}

/// `GET /quote?connector=1-17&energy_wh=10000&max_duration_ms=28800000`: before anything is locked.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct QuoteView {
    /// Where.
    pub connector: ConnectorId,
    /// The tariff.
    pub tariff: TariffId,
    /// The version in force, to be named when the session is opened.
    pub tariff_version: u32,
    /// The price of a kWh now, at the connector's rated power.
    pub price_per_kwh: Amount,
    /// The price of an hour of charging now.
    pub price_per_hour: Amount,
    /// The price of an hour in which a full vehicle stays plugged in, at this time of day.
    pub price_per_hour_parked: Amount,
    /// How long it may stay before that price runs.
    pub parking_grace: Duration,
    /// What it costs once, whatever is charged.
    pub flat: Amount,
    /// The least that a session costs, once it has used anything.
    pub min_price: Option<Amount>,
    /// The most that a session costs.
    pub max_price: Option<Amount>,
    /// What the energy asked for costs, starting now at the connector's rated current and 230 V, if the vehicle leaves when it has it.
    pub expected: Amount,
    /// What of it is for what, before the least and the highest price; rounded down.
    pub expected_parts: AmountByComponent,
    /// The energy behind it.
    pub expected_energy: WattHours,
    /// How long it takes.
    pub expected_duration: Duration,
    /// The most that it can cost within the duration: what to escrow so that money does not end it.
    pub maximum: Amount,
    /// What of it is for what, before the least and the highest price; rounded up.
    pub maximum_parts: AmountByComponent,
    /// The energy behind it.
    pub maximum_energy: WattHours,
    /// The longest duration that the quote covers.
    pub max_duration: Duration,
    /// When a price may change next.
    pub next_change: Option<Timestamp>,
}

/// Whole micro-tokens by dimension of the tariff.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AmountByComponent {
    /// ENERGY.
    pub energy: Amount,
    /// TIME.
    pub time: Amount,
    /// PARKING_TIME.
    pub parking_time: Amount,
    /// FLAT.
    pub flat: Amount,
}

/// The items of `GET /tariffs`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TariffView {
    /// Which.
    pub id: TariffId,
    /// Its version.
    pub version: u32,
    /// From when.
    pub valid_from: Timestamp,
    /// Whether it is the one in force.
    pub in_force: bool,
    /// The document.
    pub tariff: Tariff,
}

/// The items of `GET /connectors`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ConnectorView {
    /// Which.
    pub id: ConnectorId,
    /// Its record.
    pub connector: Connector,
    /// Whether a session may open now.
    pub free: bool,
    /// Its meter, where that is not its first: what the meter shows is not the register.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub meter: Option<Meter>,
    /// An exchange of its meter that one side has signed, lapsed or not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub meter_proposal: Option<MeterProposal>,
}

/// The items of `GET /groups`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct GroupView {
    /// Which.
    pub id: GroupId,
    /// Its record.
    pub group: Group,
    /// What can still be granted.
    pub free: Currents,
}

/// The items of `GET /condominiums`, and of `GET /totals`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CondominiumView {
    /// Which.
    pub id: CondominiumId,
    /// Its record.
    pub condominium: Condominium,
    /// Σ balance of accounts at home there.
    pub balance: Amount,
    /// Σ held.
    pub held: Amount,
    /// Σ debt.
    pub debt: Amount,
    /// What other condominiums owe it.
    pub owed_to: Amount,
    /// What it owes others.
    pub owed_by: Amount,
    /// Whether Σ balance + Σ held = minted − redeemed + Σ debt + net position.
    pub conserved: bool,
}

/// The items of `GET /positions`: what one condominium owes another, or may yet come to owe it; of a pair at most one direction is owed.
///
/// Over all condominiums these debts sum to zero by their form: `owed_to` and `owed_by` of [`CondominiumView`] are their sums.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PositionView {
    /// Who owes.
    pub debtor: CondominiumId,
    /// Whom.
    pub creditor: CondominiumId,
    /// What it owes for what its accounts spent there, net of what the creditor owes it.
    pub owed: Amount,
    /// What open sessions may add: the sum of their escrows.
    pub pending: Amount,
    /// What it has to pay after clearings and the creditor's treasurer has not confirmed; not in `owed`.
    pub unpaid: Amount,
    /// The most that the creditor lets the debtor owe, pending and unpaid included.
    pub limit: Amount,
}

/// The items of `GET /clearings`, in order of number.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ClearingView {
    /// Which, from 1.
    pub number: u32,
    /// Its record.
    pub clearing: Clearing,
}

/// `GET /clearings/{number}`: what was charged away from home in a period, and who has to pay whom for it.
///
/// `GET /clearings/next` is the period that runs; its payments are what they would be if it ended now.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StatementView {
    /// Which, from 1.
    pub number: u32,
    /// The period's beginning; `None` where it is the chain's.
    pub from: Option<Timestamp>,
    /// Its end; `None` while it runs.
    pub until: Option<Timestamp>,
    /// What accounts of one home did where another is paid.
    pub roaming: Vec<RoamingView>,
    /// Who has to pay whom.
    pub payments: Vec<PaymentView>,
}

/// What accounts of one home did where another home is paid.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RoamingView {
    /// Whose accounts.
    pub home: CondominiumId,
    /// Who was paid.
    pub host: CondominiumId,
    /// What they did.
    pub roaming: Roaming,
}

/// The items of `GET /payments`: what one condominium has to pay another after a clearing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PaymentView {
    /// After which clearing.
    pub clearing: u32,
    /// Who pays.
    pub debtor: CondominiumId,
    /// Whom.
    pub creditor: CondominiumId,
    /// How much.
    pub amount: Amount,
    /// How far it is.
    pub state: PaymentState,
}

/// How far a payment between condominiums is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum PaymentState {
    /// The period still runs.
    Expected,
    /// To be paid.
    Due,
    /// Sent, as the debtor's treasurer says.
    Reported {
        /// The block time of his word.
        at: Timestamp,
    },
    /// Confirmed by the creditor's treasurer.
    Received,
}

/// The items of `GET /redemptions`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RedemptionView {
    /// Which.
    pub id: RedemptionId,
    /// Its record.
    pub redemption: Redemption,
}

/// The items of `GET /blocks`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BlockView {
    /// The header's hash.
    pub hash: Hash32,
    /// The header.
    pub header: Header,
    /// Its transactions' ids, in order.
    pub transactions: Vec<TxId>,
    /// The round in which it was decided.
    pub round: u32,
}

/// `GET /blocks/{height}/receipts`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BlockReceipts {
    /// The block.
    pub height: Height,
    /// Its receipts, in order.
    pub receipts: Vec<Receipt>,
}

/// `GET /receipts/{transaction}` and `GET /sessions/{id}/receipt`: a receipt, and what proves it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ProvenReceipt {
    /// The receipt.
    pub receipt: Receipt,
    /// Its path to the header's receipts root.
    pub path: Path,
    /// The header.
    pub header: Header,
    /// The certificate of the header.
    pub certificate: CommitCertificate,
    /// The validators whose signatures the certificate carries.
    pub validators: ValidatorSet,
}

/// `GET /state?key=HEX`: a value of the newest state, or its absence, and what proves it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ProvenState {
    /// The key, in hexadecimal digits.
    pub key: String,
    /// The value, in hexadecimal digits, if there is one.
    pub value: Option<String>,
    /// Its path to the header's state root.
    pub proof: StateProof,
    /// The header.
    pub header: Header,
    /// The certificate of the header.
    pub certificate: CommitCertificate,
    /// The validators whose signatures the certificate carries.
    pub validators: ValidatorSet,
}

/// The items of `GET /sessions/{id}/readings`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ReadingView {
    /// The reading's number.
    #[serde(with = "crate::quantity::decimal")]
    #[cfg_attr(feature = "openapi", schema(value_type = crate::openapi::Decimal))]
    pub sequence: u64,
    /// When the meter was read.
    pub at: Timestamp,
    /// The register.
    pub register_wh: WattHours,
    /// The power, in W.
    pub power_w: u32,
    /// The flags.
    pub flags: u32,
    /// The root over the raw samples.
    pub samples_root: Hash32,
    /// Their number.
    pub sample_count: u32,
    /// The transaction that attested it.
    pub transaction: TxId,
    /// Its block.
    pub height: Height,
    /// Why it was refused, if it was.
    pub refused: Option<Code>,
}

/// The data of a server-sent event; its id is `HEIGHT-INDEX-N`, its name the event's.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StreamedEvent {
    /// The block.
    pub height: Height,
    /// The block's time.
    pub timestamp: Timestamp,
    /// The receipt's place in the block.
    pub index: u32,
    /// What happened.
    pub event: Event,
}

/// One of `GET /accounts/{address}/mandates`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MandateView {
    /// Whose.
    pub account: Address,
    /// Where cards may start charges in its name.
    pub condominium: CondominiumId,
    /// The mandate.
    pub mandate: Mandate,
    /// What sessions of the present UTC day use of it.
    pub used_today: Amount,
}

/// One of `GET /accounts/{address}/starts`: a start by a card that the account may confirm.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AskedStartView {
    /// Where the card was shown.
    pub connector: ConnectorId,
    /// What it asks for.
    pub start: AskedStart,
}

/// One of `GET /cards`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CardView {
    /// Where it is bound.
    pub condominium: CondominiumId,
    /// The commitment to the card.
    pub id: CardId,
    /// Whose, and since when.
    pub card: Card,
}

/// The answer to an order about a card.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CardOrderDone {
    /// The card's binding.
    pub card: CardId,
    /// Whether the gateway has the key of it now.
    pub kept: bool,
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
