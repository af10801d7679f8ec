//! The history: a Merkle mountain range over the hashes of all block headers, and the paths that prove one of them.
//!
//! Each header carries the root over all headers before it, so that one certified header proves every earlier one in a few hundred bytes.
//! A history can only grow. [`History`] keeps the peaks; the inner nodes that a path needs are handed out as they arise, for the node's database to
//! keep. Nothing here stores or reads one. Block execution appends, the node's API proves, wallets and auditors verify.
//!
//! # Hashing
//! Leaf `i` is the hash of the header at its place in the chain (digests enter as their 32 bytes, `H` and `‖` as in [`crate::merkle`]).
//! ```text
//! node (0, i)   leaf i itself
//! node (h, i)   H(HistoryNode, node(h − 1, 2i) ‖ node(h − 1, 2i + 1)); it covers the leaves from i · 2^h to (i + 1) · 2^h − 1 and exists once these do
//! peaks         of n leaves: for each bit h that is set in n, from the highest: node (h, (n >> h) − 1). They cover all leaves from left to right
//! root          H(HistoryRoot, n ‖ peaks): n as u64, little endian, 8 bytes; the peaks one after the other, highest first; for n = 0 no peak
//! ```
//!
//! # Path
//! `siblings` lead from the leaf up to its peak: at level `k` the node's position is `index >> k`, and it is the right one of its pair where that is odd.
//! `peaks` are all the others, highest first. Both numbers follow from `index` and `count`; any other number is refused.
//! On the wire ([`crate::codec`]): `index`, `count`, number of siblings, siblings, number of peaks, peaks; numbers as u64, little endian, digests as 32 bytes.
//! A [`History`]: `count`, number of peaks, peaks.

use serde::{Deserialize, Serialize};

use crate::hash::{Context, Hash32};
use crate::merkle::{ProofError, at_most, expect_root};
use crate::state::ReadFault;

/// The most leaves of a history; at a block per nanosecond it would be reached after 292 years.
pub const MAX_LEAVES: u64 = i64::MAX.unsigned_abs();

/// The most peaks, and the most siblings below one: one for each bit of [`MAX_LEAVES`].
pub const MAX_PEAKS: usize = 63;

/// Which node of the mountain range: the one that covers the leaves from `index` · 2^`height` on. It never changes once it exists.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct NodePosition {
    /// 0 for a leaf.
    pub height: u8,
    /// The place among the nodes of this height, from 0.
    pub index: u64,
}

/// The number of leaves and the peaks over them: all that appending and the root need.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(try_from = "Stored")]
pub struct History {
    #[serde(with = "crate::quantity::decimal")]
    count: u64,
    /// Highest first; as many as `count` has bits set.
    peaks: Vec<Hash32>,
}

/// What was read, before it is known to be a history.
#[derive(Deserialize)]
struct Stored {
    #[serde(with = "crate::quantity::decimal")]
    count: u64,
    #[serde(deserialize_with = "at_most::<MAX_PEAKS, _>")]
    peaks: Vec<Hash32>,
}

impl TryFrom<Stored> for History {
    type Error = ProofError;

    fn try_from(stored: Stored) -> Result<Self, ProofError> {
        let Stored { count, peaks } = stored;
        if count > MAX_LEAVES {
            return Err(ProofError::IndexOutOfRange { index: count, count: MAX_LEAVES });
        }
        expect_peaks(count.count_ones() as usize, peaks.len())?;
        Ok(Self { count, peaks })
    }
}

impl History {
    /// The history before the first header.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The history of the first `count` headers, from the nodes that [`History::append`] handed out.
    ///
    /// # Errors
    /// [`ReadFault`] from `node_at`, which is asked only for nodes that exist, or where `count` is over [`MAX_LEAVES`].
    pub fn load(count: u64, node_at: &dyn Fn(NodePosition) -> Result<Hash32, ReadFault>) -> Result<Self, ReadFault> {
        if count > MAX_LEAVES {
            return Err(ReadFault(format!("a history of {count} headers")));
        }
        let peaks = peak_positions(count).map(node_at).collect::<Result<_, _>>()?;
        Ok(Self { count, peaks })
    }

    /// The number of headers, which is the index of the next one.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// The peaks, highest first.
    #[must_use]
    pub fn peaks(&self) -> &[Hash32] {
        &self.peaks
    }

    /// Appends a header's hash and returns the nodes that exist from now on: the leaf first, then the inner nodes that it completes, from below.
    /// They are what [`prove`] asks for; each is returned once in the history's life. On average there are two.
    ///
    /// A history of [`MAX_LEAVES`] stays as it is and returns none.
    pub fn append(&mut self, leaf: Hash32) -> Vec<(NodePosition, Hash32)> {
        let mut position = NodePosition { height: 0, index: self.count };
        let Some(count) = self.count.checked_add(1).filter(|count| *count <= MAX_LEAVES) else {
            return Vec::new();
        };
        let mut node = leaf;
        let mut new = vec![(position, node)];
        // A node at an odd place completes a pair with the last peak, which then is of the same height.
        while position.index & 1 == 1 {
            let Some(left) = self.peaks.pop() else { break };
            node = join(&left, &node);
            position = position.parent();
            new.push((position, node));
        }
        self.peaks.push(node);
        self.count = count;
        new
    }

    /// The root over the headers appended so far; see the module for the hashing.
    #[must_use]
    pub fn root(&self) -> Hash32 {
        root_of(self.count, &self.peaks)
    }
}

/// The way from one header to the root of a history.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HistoryPath {
    /// The header's place in the history, from 0.
    #[serde(with = "crate::quantity::decimal")]
    #[cfg_attr(feature = "openapi", schema(value_type = crate::openapi::Decimal))]
    pub index: u64,
    /// The number of headers in the history that the root is of.
    #[serde(with = "crate::quantity::decimal")]
    #[cfg_attr(feature = "openapi", schema(value_type = crate::openapi::Decimal))]
    pub count: u64,
    /// The siblings from the header up to its peak; at most [`MAX_PEAKS`].
    #[serde(deserialize_with = "at_most::<MAX_PEAKS, _>")]
    pub siblings: Vec<Hash32>,
    /// The other peaks, highest first; at most [`MAX_PEAKS`].
    #[serde(deserialize_with = "at_most::<MAX_PEAKS, _>")]
    pub peaks: Vec<Hash32>,
}

impl HistoryPath {
    /// The root that this path leads to from the header's hash; `None` where the path does not fit its own index and count.
    #[must_use]
    pub fn root(&self, leaf: Hash32) -> Option<Hash32> {
        self.climb(leaf).ok()
    }

    /// Checks that the header with hash `leaf` is at `index` of the `count` headers that `root` commits to.
    ///
    /// # Errors
    /// [`ProofError::IndexOutOfRange`], [`ProofError::SiblingCount`], [`ProofError::PeakCount`] or [`ProofError::RootMismatch`].
    pub fn verify(&self, leaf: Hash32, root: Hash32) -> Result<(), ProofError> {
        expect_root(root, self.climb(leaf)?)
    }

    fn climb(&self, leaf: Hash32) -> Result<Hash32, ProofError> {
        let Self { index, count, .. } = *self;
        let out_of_range = ProofError::IndexOutOfRange { index, count };
        let own = peak_above(index, count).ok_or(out_of_range)?;
        let (expected, found) = (usize::from(own.height), self.siblings.len());
        if found != expected {
            return Err(ProofError::SiblingCount { expected, found });
        }
        let others = (count.count_ones() as usize).saturating_sub(1);
        expect_peaks(others, self.peaks.len())?;

        let mut position = NodePosition { height: 0, index };
        let mut node = leaf;
        for sibling in &self.siblings {
            node = if position.index & 1 == 1 { join(sibling, &node) } else { join(&node, sibling) };
            position = position.parent();
        }
        let mut others = self.peaks.iter().copied();
        let peaks = peak_positions(count).filter_map(|peak| if peak == own { Some(node) } else { others.next() });
        Ok(root_of(count, &peaks.collect::<Vec<_>>()))
    }
}

/// The path of header `index` in the history of the first `count` headers, or `None` where there is no such header.
/// Reads at most 62 + 62 nodes; `count` may be any number up to the present one, because a node never changes.
///
/// # Errors
/// [`ReadFault`] from `node_at`, which is asked only for nodes that [`History::append`] has handed out by the time there are `count` headers.
pub fn prove(
    count: u64,
    index: u64,
    node_at: &dyn Fn(NodePosition) -> Result<Hash32, ReadFault>,
) -> Result<Option<HistoryPath>, ReadFault> {
    let Some(own) = peak_above(index, count) else {
        return Ok(None);
    };
    let siblings = (0..own.height).map(|height| node_at(NodePosition { height, index: (index >> height) ^ 1 }));
    let siblings = siblings.collect::<Result<_, _>>()?;
    let peaks = peak_positions(count).filter(|peak| *peak != own).map(node_at).collect::<Result<_, _>>()?;
    Ok(Some(HistoryPath { index, count, siblings, peaks }))
}

impl NodePosition {
    const fn parent(self) -> Self {
        Self { height: self.height.saturating_add(1), index: self.index >> 1 }
    }
}

/// The peaks over `count` leaves, highest first.
fn peak_positions(count: u64) -> impl Iterator<Item = NodePosition> {
    (0..=63_u8).rev().filter_map(move |height| {
        let end = count >> height;
        (end & 1 == 1).then(|| NodePosition { height, index: end.saturating_sub(1) })
    })
}

/// The peak over one leaf; `None` where there is no such leaf, or more leaves than a history may have.
fn peak_above(index: u64, count: u64) -> Option<NodePosition> {
    let within = index < count && count <= MAX_LEAVES;
    peak_positions(count).find(|peak| within && index >> peak.height == peak.index)
}

fn join(left: &Hash32, right: &Hash32) -> Hash32 {
    Context::HistoryNode.hash(&[left.as_bytes(), right.as_bytes()])
}

fn root_of(count: u64, peaks: &[Hash32]) -> Hash32 {
    let count = count.to_le_bytes();
    let mut parts: Vec<&[u8]> = vec![&count];
    parts.extend(peaks.iter().map(|peak| peak.as_bytes().as_slice()));
    Context::HistoryRoot.hash(&parts)
}

const fn expect_peaks(expected: usize, found: usize) -> Result<(), ProofError> {
    if found == expected { Ok(()) } else { Err(ProofError::PeakCount { expected, found }) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::codec::{decode, encode};

    fn leaf(n: u64) -> Hash32 {
        Context::Header.hash(&[&n.to_le_bytes()])
    }

    fn derive(context: &str, bytes: &[u8]) -> Hash32 {
        Hash32(blake3::derive_key(context, bytes))
    }

    /// From above and from the leaves alone: cut off the largest power of two as often as there are leaves.
    fn model_root(leaves: &[Hash32]) -> Hash32 {
        fn full(leaves: &[Hash32]) -> Hash32 {
            match leaves {
                [one] => *one,
                _ => {
                    let (left, right) = leaves.split_at(leaves.len() / 2);
                    derive("commonwatt 2026 history node", &[full(left).0, full(right).0].concat())
                }
            }
        }
        let mut bytes = (leaves.len() as u64).to_le_bytes().to_vec();
        let mut rest = leaves;
        while !rest.is_empty() {
            let (peak, after) = rest.split_at(1 << rest.len().ilog2());
            bytes.extend(full(peak).0);
            rest = after;
        }
        derive("commonwatt 2026 history root", &bytes)
    }

    /// A history of `count` headers with every node that it handed out.
    fn built(count: u64) -> (History, BTreeMap<NodePosition, Hash32>) {
        let (mut history, mut nodes) = (History::new(), BTreeMap::new());
        for n in 0..count {
            for (position, node) in history.append(leaf(n)) {
                assert_eq!(nodes.insert(position, node), None, "{position:?} handed out twice");
            }
        }
        (history, nodes)
    }

    #[test]
    fn agrees_with_the_definition_and_proves_every_header_of_every_earlier_length() {
        let (_, nodes) = built(70);
        let node_at = |position| Ok(nodes[&position]);
        let leaves: Vec<_> = (0..70).map(leaf).collect();
        let mut history = History::new();
        for count in 0..=70_u64 {
            let root = model_root(&leaves[..usize::try_from(count).unwrap()]);
            assert_eq!(history.root(), root, "{count} headers");
            assert_eq!(History::load(count, &node_at).unwrap(), history);
            assert_eq!(prove(count, count, &node_at).unwrap(), None);
            for index in 0..count {
                let path = prove(count, index, &node_at).unwrap().unwrap();
                assert_eq!(path.verify(leaf(index), root), Ok(()), "{index} of {count}");
                assert_eq!(path.root(leaf(index)), Some(root));
            }
            history.append(leaf(count));
        }
    }

    #[test]
    fn fails_on_every_changed_bit_and_on_missing_or_superfluous_nodes() {
        for (index, count) in [(0, 1), (0, 2), (1, 3), (2, 3), (4, 7), (9, 21), (63, 64)] {
            let (history, nodes) = built(count);
            let path = prove(count, index, &|position| Ok(nodes[&position])).unwrap().unwrap();
            let (root, own) = (history.root(), leaf(index));
            for bit in 0..256 {
                assert!(path.verify(flip(own, bit), root).is_err());
                assert!(path.verify(own, flip(root, bit)).is_err());
                for place in 0..path.siblings.len() {
                    let mut changed = path.clone();
                    changed.siblings[place] = flip(changed.siblings[place], bit);
                    assert!(matches!(changed.verify(own, root), Err(ProofError::RootMismatch { .. })));
                }
                for place in 0..path.peaks.len() {
                    let mut changed = path.clone();
                    changed.peaks[place] = flip(changed.peaks[place], bit);
                    assert!(matches!(changed.verify(own, root), Err(ProofError::RootMismatch { .. })));
                }
            }
            for bit in 0..64 {
                let moved = HistoryPath { index: index ^ (1 << bit), ..path.clone() };
                assert!(moved.verify(own, root).is_err());
                let resized = HistoryPath { count: count ^ (1 << bit), ..path.clone() };
                assert!(resized.verify(own, root).is_err());
            }
            let mut longer = path.clone();
            longer.siblings.push(Hash32::ZERO);
            let expected = path.siblings.len();
            let error = ProofError::SiblingCount { expected, found: expected + 1 };
            assert_eq!(longer.verify(own, root), Err(error));
            let mut more = path.clone();
            more.peaks.push(Hash32::ZERO);
            let expected = path.peaks.len();
            let error = ProofError::PeakCount { expected, found: expected + 1 };
            assert_eq!(more.verify(own, root), Err(error));
            let mut fewer = path.clone();
            if fewer.peaks.pop().is_some() {
                let error = ProofError::PeakCount { expected, found: expected - 1 };
                assert_eq!(fewer.verify(own, root), Err(error));
            }
            let mut shorter = path;
            let expected = shorter.siblings.len();
            if shorter.siblings.pop().is_some() {
                let error = ProofError::SiblingCount { expected, found: expected - 1 };
                assert_eq!(shorter.verify(own, root), Err(error));
            }
        }
    }

    #[test]
    fn a_stored_history_whose_peaks_do_not_fit_its_count_is_not_read() {
        let (history, _) = built(6);
        let text = serde_json::to_string(&history).unwrap();
        assert_eq!(serde_json::from_str::<History>(&text).unwrap(), history);
        let error = serde_json::from_str::<History>(&text.replace("\"count\":\"6\"", "\"count\":\"7\"")).unwrap_err();
        assert!(error.to_string().contains("3 peaks expected, found 2"), "{error}");
        let too_long = Stored { count: MAX_LEAVES + 1, peaks: vec![leaf(0)] };
        let error = ProofError::IndexOutOfRange { index: MAX_LEAVES + 1, count: MAX_LEAVES };
        assert_eq!(History::try_from(too_long), Err(error));
    }

    #[test]
    fn a_path_and_a_history_travel_as_documented() {
        let (history, nodes) = built(6);
        let at = |height, index| nodes[&NodePosition { height, index }].0;
        let path = prove(6, 3, &|position| Ok(nodes[&position])).unwrap().unwrap();
        let mut bytes = [3_u64, 6, 2].map(u64::to_le_bytes).concat();
        bytes.extend([at(0, 2), at(1, 0)].concat());
        bytes.extend(1_u64.to_le_bytes());
        bytes.extend(at(1, 2));
        assert_eq!(encode(&path).unwrap(), bytes);
        assert_eq!(decode::<HistoryPath>(&bytes, bytes.len()).unwrap(), path);
        let mut bytes = [6_u64, 2].map(u64::to_le_bytes).concat();
        bytes.extend([at(2, 0), at(1, 2)].concat());
        assert_eq!(encode(&history).unwrap(), bytes);
        assert_eq!(decode::<History>(&bytes, bytes.len()).unwrap(), history);
        bytes[0] = 7;
        assert!(decode::<History>(&bytes, bytes.len()).is_err());
    }

    #[test]
    fn the_longest_history_stays_as_it_is() {
        let peaks = vec![leaf(1); MAX_PEAKS];
        let mut full = History { count: MAX_LEAVES, peaks };
        let before = full.clone();
        assert_eq!(full.append(leaf(2)), vec![]);
        assert_eq!(full, before);
        let path = |count, siblings, peaks| HistoryPath { index: 0, count, siblings: vec![leaf(0); siblings], peaks: vec![leaf(0); peaks] };
        assert!(path(MAX_LEAVES, 62, 62).root(leaf(0)).is_some());
        assert_eq!(path(MAX_LEAVES + 1, 63, 0).root(leaf(0)), None);
        assert!(History::load(MAX_LEAVES, &|_| Ok(leaf(0))).is_ok());
        assert!(History::load(MAX_LEAVES + 1, &|_| Ok(leaf(0))).is_err());
    }

    #[test]
    fn a_fault_of_the_store_is_passed_on() {
        let broken = |_| Err(ReadFault("checksum".into()));
        assert_eq!(prove(3, 0, &broken), Err(ReadFault("checksum".into())));
        assert_eq!(History::load(3, &broken), Err(ReadFault("checksum".into())));
    }

    fn flip(digest: Hash32, bit: usize) -> Hash32 {
        let mut bytes = digest.0;
        bytes[bit / 8] ^= 1 << (bit % 8);
        Hash32(bytes)
    }
}
