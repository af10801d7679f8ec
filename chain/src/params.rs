//! The federation's parameters: part of the state, given in genesis, changed by governance alone.
//!
//! Called by `contracts`; the node reads them to plan ahead (deadlines, limits).

use serde::{Deserialize, Serialize};

use crate::{
    quantity::{Amount, Milliamperes},
    time::Duration,
};

/// Limits and periods that every node applies alike.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Params {
    /// The most that an encoded block may measure, in bytes.
    pub max_block_bytes: u32,
    /// Transactions of one resident's key in one block.
    pub resident_txs_per_block: u32,
    /// Transactions of one key with a role in one block.
    pub role_txs_per_block: u32,
    /// Due sessions that one block works on; the rest waits for the next.
    pub due_per_block: u32,
    /// How far a reading may be ahead of its block.
    pub drift: Duration,
    /// From a stop to the settlement that the chain makes by itself.
    pub settle_grace: Duration,
    /// The longest time that a unit goes on after a stop; readings up to it are accepted.
    pub lease: Duration,
    /// The longest time in the queue.
    pub queue_deadline: Duration,
    /// The longest that a session may ask for.
    pub max_duration: Duration,
    /// The most that one session may lock.
    pub max_spend: Amount,
    /// The least current that a vehicle accepts (IEC 61851: 6 A).
    pub min_current: Milliamperes,
    /// Heights between a notice and its effect.
    #[serde(with = "crate::quantity::decimal")]
    #[cfg_attr(feature = "openapi", schema(value_type = crate::openapi::Decimal))]
    pub notice_heights: u64,
    /// The longest silence of an idle federation; zero: no heartbeat.
    pub heartbeat: Duration,
}

impl Default for Params {
    /// What a federation starts with unless its genesis says otherwise.
    fn default() -> Self {
        Self {
            max_block_bytes: 256 << 10,
            resident_txs_per_block: 16,
            role_txs_per_block: 512,
            due_per_block: 1_000,
            drift: Duration::from_secs(10),
            settle_grace: Duration::from_hours(1),
            lease: Duration::from_mins(5),
            queue_deadline: Duration::from_hours(24),
            max_duration: Duration::from_hours(72),
            max_spend: Amount::from_micro(1_000_000_000),
            min_current: Milliamperes::new(6_000),
            notice_heights: 1_000,
            heartbeat: Duration::from_mins(10),
        }
    }
}
