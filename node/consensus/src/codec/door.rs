//! What the network's codec lets in of votes, proposals and tips, before the engine keeps it.
//!
//! The engine stores votes and proposals of later heights before it looks at who signed them, and refuses what comes when a height's store is full; and it
//! prefers to fetch blocks from whoever says that he has most. So here: a vote has to be a validator's, of a height to come each has a share, and nobody is
//! further than somebody has proved. Kept up to date by `driver`, asked by `listed`.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use arc_malachitebft_app_channel::app::consensus::SignedConsensusMsg;
use chain::id;

use crate::{
    context::{Address, Context, Height, ValidatorSet},
    signing::Signatures,
};

/// Votes and proposals of one validator that are let in of heights after the one under way, until another is.
pub const EARLY_MESSAGES: u32 = 100;

/// What is known of the chain where messages come in.
#[derive(Debug)]
pub struct Door {
    signatures: Signatures,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    members: ValidatorSet,
    /// The highest block that is committed here, or that somebody has proved to be committed.
    proved: u64,
    /// The height whose votes the engine counts and does not store.
    under_way: u64,
    early: BTreeMap<Address, u32>,
}

impl Door {
    /// The door of a node whose last block is `tip`.
    #[must_use]
    pub fn new(signatures: Signatures, tip: id::Height, members: ValidatorSet) -> Self {
        let state = State { members, proved: tip.0, under_way: tip.0, early: BTreeMap::new() };
        Self { signatures, state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A poisoned lock still holds a whole state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A height has begun.
    pub fn begin(&self, height: id::Height) {
        let mut state = self.state();
        if height.0 != state.under_way {
            state.under_way = height.0;
            state.early.clear();
        }
    }

    /// A block was committed here, and these decide the next.
    pub fn committed(&self, tip: id::Height, members: ValidatorSet) {
        self.prove(tip);
        self.state().members = members;
    }

    /// Somebody has proved that a block of this height is committed.
    pub fn prove(&self, height: id::Height) {
        let mut state = self.state();
        state.proved = state.proved.max(height.0);
    }

    /// Whether a vote or a proposal is a validator's own, and not one too many of heights to come.
    pub fn admits(&self, message: &SignedConsensusMsg<Context>) -> bool {
        let (sender, height) = match message {
            SignedConsensusMsg::Vote(signed) => (signed.message.voter, signed.message.height),
            SignedConsensusMsg::Proposal(signed) => (signed.message.proposer, signed.message.height),
        };
        if !self.state().members.contains(&sender) || !self.signatures.verify_message(message) {
            return false;
        }
        let mut state = self.state();
        if height.0 <= state.under_way {
            return true;
        }
        let sent = state.early.entry(sender).or_default();
        *sent = sent.saturating_add(1);
        *sent <= EARLY_MESSAGES
    }

    /// How far a node that says so is taken to be: no further than somebody has proved.
    pub fn believed(&self, told: Height) -> Height {
        Height(told.0.min(self.state().proved))
    }
}
