//! The verbs of Commonwatt: every call of the ledger, the execution of blocks, genesis and tariffs.
//!
//! Pure: state, block context and call give new state and events, or a rejection. No input or output, no clock, no randomness, no threads, and nothing here
//! can panic. `node` executes blocks with it, clients quote and audit with it. It imports `chain` alone.
#![cfg_attr(
    not(test),
    deny(clippy::arithmetic_side_effects, clippy::indexing_slicing, clippy::expect_used, clippy::panic, clippy::float_arithmetic)
)]

pub mod audit;
pub mod call;
mod calls;
pub mod clearing;
pub mod context;
pub mod execute;
pub mod failure;
pub mod genesis;
pub mod groups;
pub mod ledger;
pub mod mandates;
pub mod money;
pub mod pattern;
pub mod reason;
pub mod roles;
pub mod sessions;
pub mod tariff;
#[cfg(test)]
mod testing;
