//! The nouns of Commonwatt: amounts, ids, time, codec, transactions, blocks, receipts, certificates, state and proofs.
//!
//! Pure: no input or output, no clock, no randomness, no threads, and nothing here can panic. What calls do to the state is `contracts`; who runs it is
//! `node`. Everything in the workspace may import this crate; it imports nothing of ours.
#![cfg_attr(
    not(test),
    deny(clippy::arithmetic_side_effects, clippy::indexing_slicing, clippy::expect_used, clippy::panic, clippy::float_arithmetic)
)]

pub mod api;
pub mod block;
pub mod card_order;
pub mod certificate;
pub mod code;
pub mod codec;
pub mod crypto;
pub mod diagnosis;
pub mod export;
pub mod genesis_kind;
pub mod hash;
pub mod history;
pub mod id;
pub mod merkle;
#[cfg(feature = "openapi")]
pub mod openapi;
pub mod params;
pub mod quantity;
pub mod receipt;
pub mod record;
pub mod sign_in;
pub mod state;
pub mod tariff;
pub mod time;
pub mod transaction;
pub mod tree;
pub mod verify;
pub mod words;
