//! The application: the single writer of the chain, on a thread of its own.
//!
//! It owns the store, the pool, the state and the tree; builds, judges and commits blocks; and is asked through two doors: consensus through [`port`],
//! everyone else through [`AppHandle`]. It names neither the consensus engine nor HTTP, and holds no rule of the ledger: those are `contracts`'.

mod gossip;
mod handle;
mod judge;
mod submission;
mod writer;

use std::{sync::Arc, thread};

use chain::id::{Address, ChainId};
use tokio::sync::{broadcast, mpsc, oneshot, watch};

pub use self::handle::{
    Accepted, AppHandle, Committed, EVENT_CAPACITY, Included, Interest, Pending, QUESTION_CAPACITY, Standing, SubmitError, Subscription,
    SubscriptionError,
};
pub use self::writer::{BEHIND, LARGEST_JUMP, behind};
use self::{handle::Actors, writer::Writer};
pub use crate::mempool::Limits;
pub use crate::store::{Location, PAGE_MAX, Page as Listed, Snapshot, StoreError, StoredTip};
use crate::{clock::Clock, store::Opened};
pub use consensus::port;
use consensus::port::ConsensusPort;

/// What the application is started with.
#[derive(Debug)]
pub struct AppConfig {
    /// The chain.
    pub chain_id: ChainId,
    /// The validator that blocks built here name as their proposer; none where this node has no vote.
    pub proposer: Option<Address>,
    /// The ledger's time.
    pub clock: Clock,
    /// What the pool may hold.
    pub limits: Limits,
}

/// A running application.
#[derive(Debug)]
pub struct App {
    /// The door for everyone but consensus.
    pub handle: AppHandle,
    /// The door for consensus.
    pub port: ConsensusPort,
    /// Resolves when the thread has ended: with a reason where this machine failed.
    pub ended: oneshot::Receiver<Result<(), String>>,
    /// Dropped or sent to, it ends the thread after the question at hand.
    pub stop: oneshot::Sender<()>,
}

/// Starts the application's thread on what the store was found to hold.
///
/// # Errors
/// Where the machine gives no thread, or the state cannot be read.
pub fn start(config: AppConfig, opened: Opened) -> Result<App, String> {
    let (port, requests) = ConsensusPort::channel();
    let (questions, asked) = mpsc::channel(QUESTION_CAPACITY);
    let (events, _) = broadcast::channel(EVENT_CAPACITY);
    let (pending_sender, pending) = watch::channel(Pending { in_consensus: true, ..Pending::default() });
    let actors = Arc::new(Actors::new(config.clock.clone()));
    let handle = AppHandle::new(config.chain_id, questions, opened.store.reader(), events.clone(), pending, actors);
    let (stop, stopped) = oneshot::channel();
    let (end, ended) = oneshot::channel();
    let writer = Writer::new(config, opened, events, pending_sender).map_err(|fault| fault.to_string())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().map_err(|error| error.to_string())?;
    thread::Builder::new()
        .name("app".to_owned())
        .spawn(move || {
            let result = runtime.block_on(writer.run(requests, asked, stopped));
            // Nobody listens any more where the process is ending anyway.
            let _ = end.send(result.map_err(|fault| fault.to_string()));
        })
        .map_err(|error| error.to_string())?;
    Ok(App { handle, port, ended, stop })
}
