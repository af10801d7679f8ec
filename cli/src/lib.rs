//! The hand of residents, managers, operators and auditors: the typed client of a node's API, the wallet, and the commands of `watt`.
//!
//! It knows nothing of how a node works inside: everything passes through `/api/v1`, and what can be checked here is not believed. Called by the
//! program `watt` and, for its client and its wallet, by `testnet`.

pub mod audit;
pub mod checkpoints;
pub mod client;
pub mod command;
pub mod csv;
pub mod describe;
pub mod keystore;
pub mod named;
pub mod phrase;
pub mod profile;
pub mod proof;
pub mod quantity;
pub mod refusal;
pub mod render;
pub mod transaction_file;
pub mod verify;
pub mod wallet;
