//! The node of Commonwatt: the single writer of the chain, storage, consensus, and the doors to the world.
//!
//! Inside: `api`, `gateway` and `scheduler` hold an [`app::AppHandle`] and nothing else of the chain; `consensus` asks `app` through its port; `app` alone
//! writes the `store`. `clock`, `keys` and `telemetry` are leaves.

pub mod app;
pub mod clock;
mod mempool;
pub mod store;
