//! The application: the single writer of the chain, on a thread of its own.
//!
//! It owns the store, the pool, the state and the tree; builds, judges and commits blocks; and is asked through two doors: consensus through [`port`],
//! everyone else through [`AppHandle`]. It names neither the consensus engine nor HTTP, and holds no rule of the ledger: those are `contracts`'.

mod handle;
pub mod port;

pub use self::handle::{
    Accepted, AppHandle, Committed, EVENT_CAPACITY, Included, Interest, Pending, QUESTION_CAPACITY, Standing, SubmitError, Subscription,
    SubscriptionError,
};
pub use crate::store::{Location, PAGE_MAX, Page, Snapshot, StoreError, StoredTip};
