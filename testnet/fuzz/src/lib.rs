//! Mutated inputs for everything that reads bytes from somewhere else, and what must hold whatever they are.
//!
//! [`targets::TARGETS`] lists the decoders; a new decoder of outside bytes belongs there. Each target begins from good inputs (`corpus/`, made by our own
//! encoders, see [`corpus`]), which [`mutate`](mod@mutate) changes; [`run`](mod@run) goes through them and names the input that something was wrong with. A test tool: nothing imports it.
//! Called by `watt-fuzz` for as long as somebody likes, and by this crate's test.

pub mod corpus;
pub mod mutate;
pub mod random;
pub mod run;
pub mod targets;

// A node's application and its API inside this process, and a chain made by the ledger: the same that the tests of those crates use.
#[allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::wildcard_enum_match_arm,
    missing_debug_implementations,
    reason = "a panic is how a test fails"
)]
#[path = "../../../cli/tests/federation/mod.rs"]
mod federation;
#[allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::wildcard_enum_match_arm,
    missing_debug_implementations,
    reason = "a panic is how a test fails"
)]
#[path = "../../../node/tests/http/mod.rs"]
mod http;
#[allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::wildcard_enum_match_arm,
    missing_debug_implementations,
    reason = "a panic is how a test fails"
)]
#[path = "../../../node/tests/solo/mod.rs"]
mod solo;
