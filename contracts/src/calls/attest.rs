//! `Attest`: reports meter readings of many sessions; each is accepted or refused by itself.

use chain::code::{Code, Rejection};
use chain::{
    hash::Hash32,
    id::SessionId,
    quantity::{WattHours, Watts},
    time::Timestamp,
};
use serde::{Deserialize, Serialize};

use crate::{call::Action, context::CallContext, failure::Failure, ledger::Ledger};

/// Reports meter readings of many sessions; each is accepted or refused by itself.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Attest {
    /// In order; those of one session in order of sequence.
    pub readings: Vec<Reading>,
}

/// A meter's state at one instant, attested by a gateway.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Reading {
    /// Of which session.
    pub session: SessionId,
    /// The session's readings are numbered from 1; a number is used up by acceptance only.
    pub sequence: u64,
    /// When the meter was read.
    pub at: Timestamp,
    /// The cumulative register.
    pub register_wh: WattHours,
    /// The power then.
    pub power_w: Watts,
    /// What the gateway saw besides.
    pub flags: ReadingFlags,
    /// The root over the raw samples since the previous accepted reading.
    pub samples_root: Hash32,
    /// The number of its leaves; end samples are leaves with a flag and are not counted.
    pub sample_count: u32,
}

/// What a gateway saw beside the numbers; unknown bits are refused.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct ReadingFlags(pub u32);

impl ReadingFlags {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// The vehicle takes no more: no power with the plug in, or tapered.
    pub const VEHICLE_FULL: Self = Self(1);
    /// The vehicle left: the plug is gone, or the power dropped.
    pub const VEHICLE_REMOVED: Self = Self(2);

    /// Whether all bits of `other` are set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether no unknown bit is set.
    #[must_use]
    pub const fn is_known(self) -> bool {
        self.0 & !(Self::VEHICLE_FULL.0 | Self::VEHICLE_REMOVED.0) == 0
    }
}

impl Action for Attest {
    fn name(&self) -> &'static str {
        "attest"
    }

    fn check(&self) -> Result<(), Rejection> {
        Ok(())
    }

    fn apply(&self, _context: &CallContext<'_>, _ledger: &mut Ledger<'_>) -> Result<(), Failure> {
        Err(Code::NotActive.into())
    }
}
