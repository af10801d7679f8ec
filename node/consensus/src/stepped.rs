//! The answers to the engine's questions one at a time, for whoever drives the engine's state machine without actors, network and clock.
//!
//! The same code answers as in a running node ([`super::start`]); only who asks, when and by which clock, and when an idle height goes on is the caller's. Called by
//! the simulator.

use std::{collections::HashSet, fmt, sync::Arc};

use arc_malachitebft_app_channel::{
    AppMsg, NetworkMsg,
    app::{consensus::SignedConsensusMsg, types::PeerId},
};
use tokio::{sync::mpsc, time::Instant};

use super::{
    ConsensusError,
    codec::Door,
    context::Context,
    driver::Driver,
    signing::{Keys, Signatures},
};
use crate::port::ConsensusPort;

/// Answers the engine's questions out of an application.
pub struct Answers(Driver);

impl fmt::Debug for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answers").finish_non_exhaustive()
    }
}

impl Answers {
    /// Begins on the application's last committed block; what is to be sent goes to `network`, whose receiver must keep up, and comes from the nodes `known`. How
    /// much these may send is a matter of `now`, which never goes back.
    ///
    /// # Errors
    /// [`ConsensusError::App`].
    pub async fn begin(
        port: ConsensusPort,
        network: mpsc::Sender<NetworkMsg<Context>>,
        keys: Keys,
        signatures: Signatures,
        known: HashSet<PeerId>,
        now: impl Fn() -> Instant + Send + Sync + 'static,
    ) -> Result<Self, ConsensusError> {
        let tip = port.tip().await?;
        let validators = port.validators(tip.height.next()).await?;
        let door = Arc::new(Door::new(signatures, tip.height, (&validators).into()));
        let driver = Driver::new(port, network, Some(keys), signatures, (tip, validators), Some(known), door);
        Ok(Self(driver.timed_by(Box::new(now))))
    }

    /// Answers one question; only the question what to do after a height is answered later, by [`Self::go_on`].
    ///
    /// # Errors
    /// [`ConsensusError`]: the node must end and must not vote again in this height.
    pub async fn answer(&mut self, question: AppMsg<Context>) -> Result<(), ConsensusError> {
        self.0.answer(question).await
    }

    /// Whether a vote or a proposal of another node is let in.
    #[must_use]
    pub fn admits(&self, message: &SignedConsensusMsg<Context>) -> bool {
        self.0.admits(message)
    }

    /// Whether a height has ended and the engine waits for a word to go on.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.0.is_idle()
    }

    /// Tells the engine to begin the next height, if it waits.
    pub fn go_on(&mut self) {
        self.0.go_on();
    }
}
