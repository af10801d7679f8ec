//! When an idle engine is told to go on because of others: a verified vote or proposal of a later height, or a verified tip.
//!
//! The wait of a moment lets transactions that are on their way arrive first, so that the block that follows has them. One validator's votes alone may wake the
//! others only so often: whoever signs without a reason gets a few empty blocks and then none. Called by `driver`, which verifies before it asks.

use std::time::Duration;

use chain::id::Address;
use tokio::time::Instant;

use crate::limits::{Limits, Rate};

/// How long what belongs into the next block has to arrive.
const MOMENT: Duration = Duration::from_millis(30);

/// How often the votes of one validator may wake an idle node. What is due by the ledger and what was submitted wakes every node by itself, so that votes
/// alone are seldom needed; each that needs them costs an empty block.
const VOTES: Rate = Rate { burst: 20, per_minute: 2 };

/// What wakes an idle node.
#[derive(Debug)]
pub(crate) struct Wakes {
    at: Option<Instant>,
    voters: Limits<Address>,
}

impl Wakes {
    pub(crate) fn new() -> Self {
        Self { at: None, voters: Limits::new(VOTES) }
    }

    /// When the engine shall go on.
    pub(crate) const fn at(&self) -> Option<Instant> {
        self.at
    }

    /// Somebody is verifiably further: go on in a moment.
    pub(crate) fn soon(&mut self, now: Instant) {
        self.at.get_or_insert(now + MOMENT);
    }

    /// Whether a vote or a proposal of this validator may wake the node.
    pub(crate) fn allows(&mut self, voter: Address, now: Instant) -> bool {
        self.at.is_none() && self.voters.take(voter, 1, now)
    }

    /// The engine goes on.
    pub(crate) fn done(&mut self) {
        self.at = None;
    }
}
