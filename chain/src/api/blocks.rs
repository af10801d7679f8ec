//! Transactions on their way into blocks, blocks, and what proves what is in them.
//!
//! Called through [`super`], which says what holds for all of them.

use serde::{Deserialize, Serialize};

use crate::{
    block::Header,
    certificate::{CommitCertificate, ValidatorSet},
    hash::Hash32,
    id::{Height, TxId},
    merkle::Path,
    receipt::{Event, Receipt},
    time::Timestamp,
    tree::StateProof,
};

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
