//! Blocks: a header that fixes everything, and the transactions.
//!
//! A header is executed before it is proposed: it names the state after its own transactions. Whether a block is valid is `contracts`' matter.
//! Called by `contracts`, the node and auditors.

use serde::{Deserialize, Serialize};

use crate::{
    codec::{self, CodecError},
    hash::{Context, Hash32},
    id::{Address, ChainId, Height},
    merkle,
    time::Timestamp,
    transaction,
};

/// The version of header that this code writes.
pub const HEADER_VERSION: u32 = 1;

/// The most that an encoded block may measure, in bytes; a parameter may set less.
pub const MAX_BLOCK_BYTES: usize = 4 << 20;

/// What a certificate signs, by its hash.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Header {
    /// [`HEADER_VERSION`].
    pub version: u32,
    /// The chain.
    pub chain_id: ChainId,
    /// The parent's plus one; the first block has 1.
    pub height: Height,
    /// The hash of the header before; of the first block, the chain id's bytes.
    pub parent: Hash32,
    /// The root of the mountain range over all earlier header hashes.
    pub history_root: Hash32,
    /// Later than the parent's.
    pub timestamp: Timestamp,
    /// The validator that made the block.
    pub proposer: Address,
    /// The root over the transactions' leaves, in order.
    pub transactions_root: Hash32,
    /// The root over the receipts' leaves, in order.
    pub receipts_root: Hash32,
    /// The state after this block.
    pub state_root: Hash32,
    /// The hash of the validator set of the next height.
    pub next_validators: Hash32,
}

impl Header {
    /// The block's identity.
    #[must_use]
    pub fn hash(&self) -> Hash32 {
        codec::encode(self).map_or(Hash32::ZERO, |bytes| Context::Header.hash(&[&bytes]))
    }
}

/// A header and its transactions' bytes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Block {
    /// The header.
    pub header: Header,
    /// Each as signed and sent, in order of execution.
    pub transactions: Vec<Vec<u8>>,
}

impl Block {
    /// Reads a block; all of `bytes` must be used.
    ///
    /// # Errors
    /// [`CodecError`]; nothing but the form is checked.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        codec::decode(bytes, MAX_BLOCK_BYTES)
    }

    /// The bytes that travel and are stored.
    ///
    /// # Errors
    /// None for a block that was decoded or built by us.
    pub fn encode(&self) -> Result<Vec<u8>, CodecError> {
        codec::encode(self)
    }
}

/// The root over transactions' bytes.
#[must_use]
pub fn transactions_root(transactions: &[Vec<u8>]) -> Hash32 {
    let leaves: Vec<_> = transactions.iter().map(|bytes| transaction::leaf(bytes)).collect();
    merkle::root(&leaves)
}
