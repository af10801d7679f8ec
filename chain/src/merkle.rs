//! The ordered Merkle tree over a list of digests, and the paths that prove one of them.
//!
//! A header carries such a root for its transactions and one for its receipts; an attestation carries one for its raw samples.
//! Leaves are digests that the caller has already made in a leaf context ([`Context::TransactionLeaf`], [`Context::ReceiptLeaf`],
//! [`Context::SampleLeaf`]): nothing here knows what they are digests of. The block builder, the gateway and everyone who verifies a receipt call it.
//!
//! # Hashing
//! `H(context, bytes)` is BLAKE3 `derive_key` with the context string of [`Context::text`]; digests enter as their 32 bytes, `‖` joins bytes.
//! ```text
//! level 0       the leaves, in the order of the list
//! level k + 1   H(MerkleNode, level_k[2i] ‖ level_k[2i + 1]) for each pair from the left;
//!               where a level has an odd number of nodes, the last one goes up unchanged
//! top           the one node of the last level; for an empty list 32 zero bytes; for one leaf that leaf
//! root          H(MerkleRoot, count ‖ top), count = number of leaves as u64, little endian, 8 bytes
//! ```
//! The tree is the one of RFC 9162 (each node's left subtree is the largest power of two smaller than its leaves), made from below.
//! The count in the root fixes the shape, so that no list can pass for another, and no inner node for a leaf.
//!
//! # Path
//! `index` and `count` fix at which levels the leaf's node has a sibling; `siblings` are exactly these, from the leaf upwards; a level at which the node
//! goes up unchanged has none. On the way up the node is the right one of its pair where its position (`index >> level`) is odd.
//! On the wire ([`crate::codec`]): `index`, `count`, number of siblings (each u64, little endian), then 32 bytes for each sibling.

use serde::{Deserialize, Deserializer, Serialize};

use crate::hash::{Context, Hash32};

/// The most siblings that a path may hold: a list of 2⁶⁴ leaves has no more levels.
pub const MAX_SIBLINGS: usize = 64;

/// Why a proof does not show what it is said to show.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ProofError {
    /// The list has no leaf of this index.
    #[error("leaf {index} of a list of {count} leaves")]
    IndexOutOfRange {
        /// The index that the path names.
        index: u64,
        /// The number of leaves that the path names.
        count: u64,
    },
    /// Siblings are missing or superfluous.
    #[error("{expected} siblings expected, found {found}")]
    SiblingCount {
        /// How many the shape of the tree asks for (for a state proof: the most there can be).
        expected: usize,
        /// How many the path holds.
        found: usize,
    },
    /// Peaks of a history are missing or superfluous.
    #[error("{expected} peaks expected, found {found}")]
    PeakCount {
        /// How many the number of leaves asks for.
        expected: usize,
        /// How many the path holds.
        found: usize,
    },
    /// The proof is of a value where none is claimed, or the other way round.
    #[error("the proof is of another kind than the claim (a value: {value_claimed})")]
    WrongKind {
        /// Whether the claim is that the key has a value.
        value_claimed: bool,
    },
    /// The leaf that is said to take the key's place is the key's own, or lies elsewhere.
    #[error("the leaf {path} does not exclude the key")]
    LeafElsewhere {
        /// The path of that leaf.
        path: Hash32,
    },
    /// The hashes lead to another root: the leaf, a sibling or the root is not the right one.
    #[error("root {expected} expected, the proof leads to {found}")]
    RootMismatch {
        /// The root that was to be reached.
        expected: Hash32,
        /// The root that the proof leads to.
        found: Hash32,
    },
}

/// The way from one leaf to the root of an ordered list.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Path {
    /// The leaf's place in the list, from 0.
    #[serde(with = "crate::quantity::decimal")]
    #[cfg_attr(feature = "openapi", schema(value_type = crate::openapi::Decimal))]
    pub index: u64,
    /// The number of leaves in the list.
    #[serde(with = "crate::quantity::decimal")]
    #[cfg_attr(feature = "openapi", schema(value_type = crate::openapi::Decimal))]
    pub count: u64,
    /// The sibling at each level that has one, from the leaf upwards; at most [`MAX_SIBLINGS`].
    #[serde(deserialize_with = "at_most::<MAX_SIBLINGS, _>")]
    pub siblings: Vec<Hash32>,
}

impl Path {
    /// The root that this path leads to from `leaf`; `None` where the path does not fit its own index and count.
    #[must_use]
    pub fn root(&self, leaf: Hash32) -> Option<Hash32> {
        self.climb(leaf).ok()
    }

    /// Checks that `leaf` stands at `index` of the list of `count` leaves that `root` commits to.
    ///
    /// # Errors
    /// [`ProofError::IndexOutOfRange`], [`ProofError::SiblingCount`] or [`ProofError::RootMismatch`].
    pub fn verify(&self, leaf: Hash32, root: Hash32) -> Result<(), ProofError> {
        expect_root(root, self.climb(leaf)?)
    }

    fn climb(&self, leaf: Hash32) -> Result<Hash32, ProofError> {
        let Self { index, count, .. } = *self;
        let mut last = count.checked_sub(1).filter(|last| index <= *last).ok_or(ProofError::IndexOutOfRange { index, count })?;
        let expected = sibling_count(index, count);
        if self.siblings.len() != expected {
            return Err(ProofError::SiblingCount { expected, found: self.siblings.len() });
        }
        let mut siblings = self.siblings.iter();
        let mut node = leaf;
        let mut place = index;
        while last > 0 {
            if has_sibling(place, last) {
                // Present, because they were counted by the same rule.
                let Some(sibling) = siblings.next() else {
                    break;
                };
                node = if place & 1 == 1 { join(sibling, &node) } else { join(&node, sibling) };
            }
            place >>= 1;
            last >>= 1;
        }
        Ok(root_of(count, node))
    }
}

/// The root of the list of these leaves; see the module for the hashing.
#[must_use]
pub fn root(leaves: &[Hash32]) -> Hash32 {
    let mut level = leaves.to_vec();
    while level.len() > 1 {
        level = above(&level);
    }
    root_of(leaves.len() as u64, level.first().copied().unwrap_or_default())
}

/// The path of the leaf at `index`; `None` where there is no such leaf. Hashes the whole list once.
#[must_use]
pub fn prove(leaves: &[Hash32], index: u64) -> Option<Path> {
    let mut place = usize::try_from(index).ok().filter(|place| *place < leaves.len())?;
    let mut siblings = Vec::new();
    let mut level = leaves.to_vec();
    while level.len() > 1 {
        siblings.extend(level.get(place ^ 1).copied());
        level = above(&level);
        place >>= 1;
    }
    Some(Path { index, count: leaves.len() as u64, siblings })
}

fn above(level: &[Hash32]) -> Vec<Hash32> {
    level
        .chunks(2)
        .filter_map(|pair| match pair {
            [left, right] => Some(join(left, right)),
            [odd, ..] => Some(*odd),
            [] => None,
        })
        .collect()
}

fn join(left: &Hash32, right: &Hash32) -> Hash32 {
    Context::MerkleNode.hash(&[left.as_bytes(), right.as_bytes()])
}

fn root_of(count: u64, top: Hash32) -> Hash32 {
    Context::MerkleRoot.hash(&[&count.to_le_bytes(), top.as_bytes()])
}

/// At a level whose last place is `last`, only the last node of an odd number has no sibling.
const fn has_sibling(place: u64, last: u64) -> bool {
    place & 1 == 1 || place < last
}

fn sibling_count(index: u64, count: u64) -> usize {
    let last = count.saturating_sub(1);
    (0..u64::BITS).filter(|level| last >> level > 0 && has_sibling(index >> level, last >> level)).count()
}

/// Compares the root that a proof leads to with the one it must lead to.
pub(crate) fn expect_root(expected: Hash32, found: Hash32) -> Result<(), ProofError> {
    if found == expected { Ok(()) } else { Err(ProofError::RootMismatch { expected, found }) }
}

/// Reads a list of digests and refuses the first one past `MAX`, so that no announced length makes anyone allocate or read without end.
pub(crate) fn at_most<'de, const MAX: usize, D: Deserializer<'de>>(input: D) -> Result<Vec<Hash32>, D::Error> {
    struct Digests<const MAX: usize>;

    impl<'de, const MAX: usize> serde::de::Visitor<'de> for Digests<MAX> {
        type Value = Vec<Hash32>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(f, "at most {MAX} digests")
        }

        fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
            let mut digests = Vec::new();
            while let Some(digest) = seq.next_element()? {
                if digests.len() >= MAX {
                    return Err(serde::de::Error::invalid_length(digests.len().saturating_add(1), &self));
                }
                digests.push(digest);
            }
            Ok(digests)
        }
    }

    input.deserialize_seq(Digests::<MAX>)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{decode, encode};

    fn leaf(n: u64) -> Hash32 {
        Context::ReceiptLeaf.hash(&[&n.to_le_bytes()])
    }

    fn leaves(count: u64) -> Vec<Hash32> {
        (0..count).map(leaf).collect()
    }

    /// The definition of RFC 9162, from above: shares no code and no direction with the module's.
    fn model_top(leaves: &[Hash32]) -> Hash32 {
        match leaves.len() {
            0 => Hash32::ZERO,
            1 => leaves[0],
            n => {
                let split = n.next_power_of_two() / 2;
                let (left, right) = (model_top(&leaves[..split]), model_top(&leaves[split..]));
                Hash32(blake3::derive_key("commonwatt 2026 merkle node", &[left.0, right.0].concat()))
            }
        }
    }

    fn model_root(leaves: &[Hash32]) -> Hash32 {
        let mut bytes = (leaves.len() as u64).to_le_bytes().to_vec();
        bytes.extend(model_top(leaves).0);
        Hash32(blake3::derive_key("commonwatt 2026 merkle root", &bytes))
    }

    #[test]
    fn agrees_with_the_definition_from_above_and_proves_every_leaf() {
        for count in 0..70 {
            let list = leaves(count);
            let expected = model_root(&list);
            assert_eq!(root(&list), expected, "{count} leaves");
            assert_eq!(prove(&list, count), None);
            for index in 0..count {
                let path = prove(&list, index).unwrap();
                assert_eq!(path.verify(leaf(index), expected), Ok(()), "{index} of {count}");
                assert_eq!(path.root(leaf(index)), Some(expected));
            }
        }
    }

    #[test]
    fn lists_that_differ_in_length_order_or_content_have_different_roots() {
        let mut roots: Vec<_> = (0..40).map(|count| root(&leaves(count))).collect();
        roots.push(root(&[leaf(1), leaf(0)]));
        roots.push(root(&[leaf(0), leaf(0)]));
        roots.push(root(&[Hash32::ZERO]));
        // The two inner nodes of four leaves, offered as a list of two.
        roots.push(root(&[join(&leaf(0), &leaf(1)), join(&leaf(2), &leaf(3))]));
        let all = roots.len();
        roots.sort();
        roots.dedup();
        assert_eq!(roots.len(), all);
    }

    #[test]
    fn fails_on_every_changed_bit_and_on_missing_or_superfluous_siblings() {
        for (index, count) in [(0, 1), (0, 2), (4, 5), (6, 7), (5, 7), (9, 11), (16, 17)] {
            let list = leaves(count);
            let (top, path) = (root(&list), prove(&list, index).unwrap());
            for bit in 0..256 {
                assert!(path.verify(flip(leaf(index), bit), top).is_err());
                assert!(path.verify(leaf(index), flip(top, bit)).is_err());
                for place in 0..path.siblings.len() {
                    let mut changed = path.clone();
                    changed.siblings[place] = flip(changed.siblings[place], bit);
                    assert!(matches!(changed.verify(leaf(index), top), Err(ProofError::RootMismatch { .. })));
                }
            }
            for bit in 0..64 {
                let moved = Path { index: index ^ (1 << bit), ..path.clone() };
                assert!(moved.verify(leaf(index), top).is_err());
                let resized = Path { count: count ^ (1 << bit), ..path.clone() };
                assert!(resized.verify(leaf(index), top).is_err());
            }
            let expected = path.siblings.len();
            let mut longer = path.clone();
            longer.siblings.push(Hash32::ZERO);
            assert_eq!(longer.verify(leaf(index), top), Err(ProofError::SiblingCount { expected, found: expected + 1 }));
            assert_eq!(longer.root(leaf(index)), None);
            let mut shorter = path.clone();
            if shorter.siblings.pop().is_some() {
                assert_eq!(shorter.verify(leaf(index), top), Err(ProofError::SiblingCount { expected, found: expected - 1 }));
            }
        }
    }

    #[test]
    fn a_path_into_the_largest_list_has_as_many_siblings_as_there_are_levels() {
        let path = |siblings| Path { index: 0, count: u64::MAX, siblings: vec![leaf(9); siblings] };
        assert!(path(MAX_SIBLINGS).root(leaf(0)).is_some());
        assert!(path(MAX_SIBLINGS - 1).root(leaf(0)).is_none());
        let none = Path { index: 0, count: 0, siblings: vec![] };
        assert_eq!(none.verify(leaf(0), Hash32::ZERO), Err(ProofError::IndexOutOfRange { index: 0, count: 0 }));
    }

    #[test]
    fn a_path_travels_as_documented_and_an_announced_length_allocates_nothing() {
        let path = prove(&leaves(3), 1).unwrap();
        let mut bytes = [1_u64, 3, 2].map(u64::to_le_bytes).concat();
        bytes.extend([leaf(0).0, leaf(2).0].concat());
        assert_eq!(encode(&path).unwrap(), bytes);
        assert_eq!(decode::<Path>(&bytes, bytes.len()).unwrap(), path);
        for cut in 0..bytes.len() {
            assert!(decode::<Path>(&bytes[..cut], bytes.len()).is_err());
        }
        bytes[16..24].copy_from_slice(&u64::MAX.to_le_bytes());
        assert!(decode::<Path>(&bytes, bytes.len()).is_err());
    }

    #[test]
    fn refuses_to_read_more_siblings_than_any_path_has() {
        let text = |siblings| serde_json::to_string(&Path { index: 1, count: 2, siblings: vec![leaf(0); siblings] }).unwrap();
        assert_eq!(serde_json::from_str::<Path>(&text(MAX_SIBLINGS)).unwrap().siblings.len(), MAX_SIBLINGS);
        let error = serde_json::from_str::<Path>(&text(MAX_SIBLINGS + 1)).unwrap_err();
        assert!(error.to_string().contains("at most 64 digests"), "{error}");
    }

    fn flip(digest: Hash32, bit: usize) -> Hash32 {
        let mut bytes = digest.0;
        bytes[bit / 8] ^= 1 << (bit % 8);
        Hash32(bytes)
    }
}
