//! The light client: what a block did, or what an account holds, shown to somebody who keeps no chain.
//!
//! A proof hangs on one header, the [`Anchor`]. Everything else is reached from it: earlier headers by their paths to its history root, receipts and
//! transactions by their paths to those headers' roots, values by their paths to its own state root. The anchor itself holds in two steps: its certificate,
//! by the validators who follow from genesis through every change of the set ([`SetChange`]); and the one fact that the verifier brings ([`Trust`]), the
//! hash of a genesis document or a checkpoint. [`RestsOn`] says what the verdict rests on.
//!
//! Everything in a proof is checked, needed or not, so that no changed bit goes unnoticed. No input or output, no clock; whether the rules of the ledger were kept
//! is not asked here: a bill is computed again by `contracts` and the clients. `node::api` puts proofs together, wallets and auditors check them.

mod anchor;
mod claim;
mod error;
#[cfg(test)]
mod tests;

pub use self::{
    anchor::{Anchor, Beginning, Checkpoint, EarlierHeader, RestsOn, SetChange, Trust, Trusted},
    claim::{AccountProof, ProvenTariff, ProvenTransaction, SessionProof, Step, VerifiedAccount, VerifiedSession},
    error::VerifyError,
};

/// The most changes of the validator set in one proof.
pub const MAX_CHANGES: usize = 10_000;

/// The most earlier headers in one proof.
pub const MAX_EARLIER: usize = 10_000;

/// The most receipts in one proof.
pub const MAX_STEPS: usize = 10_000;
