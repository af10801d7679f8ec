//! Sessions, the queue and readings.
//!
//! Called through [`super`], which says what holds for all of them.

use serde::{Deserialize, Serialize};

use crate::{
    code::Code,
    hash::Hash32,
    id::{ConnectorId, GroupId, Height, SessionId, TxId},
    quantity::{Amount, WattHours},
    receipt::{SessionReceipt, SkipReason},
    record::Session,
    time::Timestamp,
};

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
