//! Proofs that a key has a certain value under a state root, or none, and the hashes of which the tree is made.
//!
//! A proof is checked without a tree and without a state: by wallets, auditors and whoever holds a header. It does not say which header a root is of.
//!
//! # Format
//! The way down from the root along the key's path ends after `siblings.len()` bits at what `end` says; `siblings` are the nodes beside it, from the end
//! upwards, so that the last is a child of the root. At bit `d` of the path the way is the right child where the bit is 1.
//! - `Value`: the key's own leaf; the verifier makes it from key and value.
//! - `Nothing`: a subtree without a leaf, 32 zero bytes.
//! - `OtherLeaf`: the leaf of another key, alone in the subtree in which the key's would be: its path has the same first `siblings.len()` bits.
//!
//! On the wire ([`crate::codec`]): `end` as tag u32 (0 `Value`, 1 `Nothing`, 2 `OtherLeaf`, which is followed by `path` and `value`, 32 bytes each), then the
//! number of siblings as u64, then 32 bytes each; integers little endian.

use serde::{Deserialize, Serialize};

use crate::hash::{Context, Hash32};
use crate::merkle::{ProofError, at_most, expect_root};

/// The number of bits of a path, so that no branch is deeper and no proof has more siblings.
pub const MAX_DEPTH: usize = 256;

/// What one key has under a state root.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StateProof {
    /// What stands at the end of the way.
    pub end: ProofEnd,
    /// The nodes beside the way, from the end upwards; at most [`MAX_DEPTH`].
    #[serde(deserialize_with = "at_most::<MAX_DEPTH, _>")]
    pub siblings: Vec<Hash32>,
}

/// What stands where the way along a key's path ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum ProofEnd {
    /// The key's own leaf: the key has a value.
    Value,
    /// No leaf: the key has no value.
    Nothing,
    /// Another key's leaf: the key has no value.
    OtherLeaf {
        /// The other key's path.
        path: Hash32,
        /// The digest of the other key's value.
        value: Hash32,
    },
}

impl StateProof {
    /// Checks that under `root` the key has this value, or, for `None`, that it has none.
    ///
    /// # Errors
    /// [`ProofError::SiblingCount`], [`ProofError::WrongKind`], [`ProofError::LeafElsewhere`] or [`ProofError::RootMismatch`].
    pub fn verify(&self, root: Hash32, key: &[u8], value: Option<&[u8]>) -> Result<(), ProofError> {
        let depth = self.siblings.len();
        if depth > MAX_DEPTH {
            return Err(ProofError::SiblingCount { expected: MAX_DEPTH, found: depth });
        }
        let own = path_of(key);
        let mut node = match (self.end, value) {
            (ProofEnd::Value, Some(value)) => leaf_hash(&own, &value_digest(value)),
            (ProofEnd::Nothing, None) => Hash32::ZERO,
            (ProofEnd::OtherLeaf { path, value }, None) => {
                let together = (0..depth).all(|d| bit(&path, d) == bit(&own, d));
                if path == own || !together {
                    return Err(ProofError::LeafElsewhere { path });
                }
                leaf_hash(&path, &value)
            }
            (ProofEnd::Value | ProofEnd::Nothing | ProofEnd::OtherLeaf { .. }, value) => {
                return Err(ProofError::WrongKind { value_claimed: value.is_some() });
            }
        };
        for (d, sibling) in (0..depth).rev().zip(&self.siblings) {
            node = if bit(&own, d) { join(sibling, &node) } else { join(&node, sibling) };
        }
        expect_root(root, node)
    }
}

/// Bit `d` of a path, from the most significant bit of the first byte; false past the end.
pub(super) fn bit(path: &Hash32, d: usize) -> bool {
    path.0.get(d >> 3).is_some_and(|byte| (byte << (d & 7)) & 0x80 != 0)
}

pub(super) fn path_of(key: &[u8]) -> Hash32 {
    Context::StateKey.hash(&[key])
}

/// The digest of a value, as a leaf holds it.
#[must_use]
pub fn value_digest(value: &[u8]) -> Hash32 {
    Context::StateValue.hash(&[value])
}

pub(super) fn leaf_hash(path: &Hash32, value: &Hash32) -> Hash32 {
    Context::StateLeaf.hash(&[path.as_bytes(), value.as_bytes()])
}

pub(super) fn join(left: &Hash32, right: &Hash32) -> Hash32 {
    Context::StateNode.hash(&[left.as_bytes(), right.as_bytes()])
}
