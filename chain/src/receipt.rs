//! Receipts: what a block did, in order, provable under the header's receipts root.
//!
//! Receipts are never edited. A settled session lives on only in the receipt of its settlement. Called by `contracts`, which writes them, and by everyone
//! who asks what happened.

mod bill;
mod event;

pub use self::bill::{Overdrawn, SessionReceipt, Settler};
pub use self::event::{Event, PauseReason, SkipReason};

use serde::{Deserialize, Serialize};

use crate::{
    code::Rejection,
    codec,
    hash::{Context, Hash32},
    id::{SessionId, TxId},
    merkle,
};

/// What one transaction, or one deadline, did.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Receipt {
    /// What caused it.
    pub cause: Cause,
    /// Whether it took effect.
    pub outcome: Outcome,
    /// What happened, in order; empty where it was rejected.
    pub events: Vec<Event>,
}

impl Receipt {
    /// The leaf of the receipts root.
    #[must_use]
    pub fn leaf(&self) -> Hash32 {
        codec::encode(self).map_or(Hash32::ZERO, |bytes| Context::ReceiptLeaf.hash(&[&bytes]))
    }

    /// The bill of a session, if it was settled here; a block that settles several sessions may bill them in one receipt.
    #[must_use]
    pub fn bill_of(&self, session: SessionId) -> Option<&SessionReceipt> {
        self.events.iter().filter_map(Event::bill).find(|bill| bill.session == session)
    }
}

/// The root over receipts, in order.
#[must_use]
pub fn receipts_root(receipts: &[Receipt]) -> Hash32 {
    let leaves: Vec<_> = receipts.iter().map(Receipt::leaf).collect();
    merkle::root(&leaves)
}

/// What caused a receipt.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// A transaction of the block; receipts of transactions come first, in the same order.
    Transaction(TxId),
    /// A session whose deadline had come; after the transactions, in order of (due time, session).
    Due(SessionId),
}

/// Whether a transaction took effect.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It did.
    Applied,
    /// It did not; only the signer's nonce moved.
    Rejected(Rejection),
}
