//! Federations of real nodes on one machine, and what goes into them: recorded sessions and simulated cars.
//!
//! It runs nodes as processes and talks to them like everyone else; it holds no handle into one. The binary
//! `watt-testnet` calls it.

pub mod car;
pub mod casestudy;
pub mod chaos;
pub mod clock;
pub mod demo;
pub mod drive;
pub mod federation;
pub mod idle;
pub mod link;
pub mod load;
pub mod pattern;
pub mod provision;
pub mod replay;
pub mod report;
pub mod resident;
pub mod roam;
pub mod rows;
pub mod sync;
pub mod unit;
pub mod unit_command;
pub mod view;
pub mod world;
