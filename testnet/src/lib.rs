//! Federations of real nodes on one machine, and what goes into them: recorded sessions and simulated cars.
//!
//! It runs nodes as processes and talks to them like everyone else; it holds no handle into one. The binary
//! `watt-testnet` calls it.

pub mod car;
pub mod rows;
