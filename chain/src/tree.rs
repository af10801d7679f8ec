//! The state tree: a compact binary trie over hashed keys, whose root commits to every key and value of the state.
//!
//! It holds digests only; values live in the node's database. The tree is kept in memory, rebuilt from the state at start and never stored.
//! It is persistent: [`Tree::updated`] makes a new tree that shares all it did not change, so that the tree of a speculative block costs only its own
//! changes and is dropped without a trace. The node makes one for each block it executes, rebuilds it at start and proves from it; wallets and auditors
//! need only [`StateProof`].
//!
//! # Hashing
//! `H(context, bytes)` is BLAKE3 `derive_key` with the context string of [`crate::hash::Context::text`]; digests enter as their 32 bytes, `‖` joins bytes.
//! ```text
//! path of a key     H(StateKey, key): 256 bits, the most significant bit of the first byte first: bit d is (path[d / 8] >> (7 − d % 8)) & 1
//! value digest      H(StateValue, value)
//! leaf              H(StateLeaf, path ‖ value digest)
//! node(d, leaves)   of the leaves that share the first d bits of their paths:
//!                     none → 32 zero bytes
//!                     one  → that leaf
//!                     else → H(StateNode, node(d + 1, those with bit d = 0) ‖ node(d + 1, those with bit d = 1))
//! root              node(0, all leaves)
//! ```
//! So the root depends on the content alone, never on the order in which it came about. An empty value is a value.
//!
//! # Cost
//! Measured on one of two busy cores with keys of 40 and values of 80 bytes (`benches/tree.rs`, optimisation level 2): a million keys take 274 bytes each
//! and 1.25 s to build. A batch of 1,000 changes takes 1.4 µs a key among 10,000 keys and 5 µs among a million, where memory is slower than hashing.
//! A proof among a million keys has about 20 siblings.

mod proof;

use std::sync::Arc;

pub use self::proof::{MAX_DEPTH, ProofEnd, StateProof, value_digest};
use self::proof::{bit, join, leaf_hash, path_of};
use crate::hash::Hash32;
use crate::state::Change;

/// The tree of one state. A clone shares everything; no clone sees changes made to another.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    top: Link,
}

/// A subtree.
#[derive(Clone, Debug, Default)]
enum Link {
    #[default]
    Empty,
    Leaf(Arc<Leaf>),
    Inner(Arc<Inner>),
}

#[derive(Debug)]
struct Leaf {
    path: Hash32,
    value: Hash32,
    hash: Hash32,
}

/// At least two leaves lie below it, perhaps all on one side.
#[derive(Debug)]
struct Inner {
    hash: Hash32,
    len: u64,
    left: Link,
    right: Link,
}

/// What is to stand at a path: the digest of a value, or nothing.
#[derive(Debug)]
struct Target {
    path: Hash32,
    value: Option<Hash32>,
}

impl Tree {
    /// The tree of the empty state; its root is [`Hash32::ZERO`].
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The tree of a whole state, in any order; where a key comes twice, the later value counts.
    pub fn build<K: AsRef<[u8]>, V: AsRef<[u8]>>(state: impl IntoIterator<Item = (K, V)>) -> Self {
        let mut builder = TreeBuilder::new();
        for (key, value) in state {
            builder.insert(key.as_ref(), value.as_ref());
        }
        builder.finish()
    }

    /// The tree after these changes; `self` stays as it is. Each node is hashed once, and none where a change leaves the value as it was.
    /// The order does not matter, but that the last change of a key counts.
    #[must_use]
    pub fn updated(&self, changes: &[Change]) -> Self {
        let targets = changes.iter().map(|(key, value)| Target { path: path_of(key), value: value.as_deref().map(value_digest) });
        Self { top: self.top.updated(0, &in_order(targets.collect())) }
    }

    /// The root: 32 zero bytes for the empty state.
    #[must_use]
    pub fn root(&self) -> Hash32 {
        self.top.hash()
    }

    /// The number of keys.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.top.len()
    }

    /// Whether there is no key.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The digest of the key's value as [`value_digest`] makes it, or `None` where it has none: what a value read from a database must have.
    #[must_use]
    pub fn get_digest(&self, key: &[u8]) -> Option<Hash32> {
        let path = path_of(key);
        match self.descend(&path, |_| ()) {
            Link::Leaf(leaf) if leaf.path == path => Some(leaf.value),
            Link::Leaf(_) | Link::Inner(_) | Link::Empty => None,
        }
    }

    /// The proof of what the key has under [`Tree::root`]: its value, or none.
    #[must_use]
    pub fn prove(&self, key: &[u8]) -> StateProof {
        let path = path_of(key);
        let mut siblings = Vec::new();
        let end = match self.descend(&path, |sibling| siblings.push(sibling.hash())) {
            Link::Leaf(leaf) if leaf.path == path => ProofEnd::Value,
            Link::Leaf(leaf) => ProofEnd::OtherLeaf { path: leaf.path, value: leaf.value },
            Link::Inner(_) | Link::Empty => ProofEnd::Nothing,
        };
        siblings.reverse();
        StateProof { end, siblings }
    }

    /// Follows a path down to where no inner node is, showing the sibling of each node passed.
    fn descend(&self, path: &Hash32, mut pass: impl FnMut(&Link)) -> &Link {
        let (mut link, mut depth) = (&self.top, 0_usize);
        while let Link::Inner(inner) = link {
            let (next, sibling) = if bit(path, depth) { (&inner.right, &inner.left) } else { (&inner.left, &inner.right) };
            pass(sibling);
            link = next;
            depth = depth.saturating_add(1);
        }
        link
    }
}

/// Collects a state key by key, for sources that can fail between two keys; [`Tree::build`] where they cannot.
#[derive(Debug, Default)]
pub struct TreeBuilder {
    targets: Vec<Target>,
}

impl TreeBuilder {
    /// No keys yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes one key; 65 bytes of it are kept until [`TreeBuilder::finish`]. Where a key comes twice, the later value counts.
    pub fn insert(&mut self, key: &[u8], value: &[u8]) {
        self.targets.push(Target { path: path_of(key), value: Some(value_digest(value)) });
    }

    /// The tree of what was collected.
    #[must_use]
    pub fn finish(self) -> Tree {
        Tree { top: Link::Empty.updated(0, &in_order(self.targets)) }
    }
}

/// Sorts by path, which is the order of the tree from left to right, and keeps the last of each.
fn in_order(mut targets: Vec<Target>) -> Vec<Target> {
    // `dedup` keeps the first: reversed, the last comes first, and the stable sort leaves it there.
    targets.reverse();
    targets.sort_by_key(|target| target.path);
    targets.dedup_by(|later, first| later.path == first.path);
    targets
}

impl Link {
    /// This subtree, `depth` bits below the top, after the changes below it, which are in order. Descends at most [`MAX_DEPTH`] times.
    fn updated(&self, depth: usize, targets: &[Target]) -> Self {
        match self {
            _ if targets.is_empty() => self.clone(),
            Self::Empty => Self::of_leaves(depth, &leaves_of(targets)),
            Self::Leaf(old) => Self::of_leaves(depth, &leaves_with(old, targets)),
            Self::Inner(inner) => {
                let (to_left, to_right) = split(targets, depth, |target| &target.path);
                let below = depth.saturating_add(1);
                let left = inner.left.updated(below, to_left);
                let right = inner.right.updated(below, to_right);
                if left.is_same(&inner.left) && right.is_same(&inner.right) { self.clone() } else { Self::over(left, right) }
            }
        }
    }

    /// The subtree of these leaves, which are in order and of different paths. Descends at most [`MAX_DEPTH`] times.
    fn of_leaves(depth: usize, leaves: &[Arc<Leaf>]) -> Self {
        match leaves {
            [] => Self::Empty,
            [one] => Self::Leaf(Arc::clone(one)),
            // Never reached, because two different paths differ in one of the bits; it bounds the descent all the same.
            [first, ..] if depth >= MAX_DEPTH => Self::Leaf(Arc::clone(first)),
            [_, ..] => {
                let (to_left, to_right) = split(leaves, depth, |leaf| &leaf.path);
                let below = depth.saturating_add(1);
                Self::over(Self::of_leaves(below, to_left), Self::of_leaves(below, to_right))
            }
        }
    }

    /// The subtree over two subtrees: a single leaf comes up unchanged.
    fn over(left: Self, right: Self) -> Self {
        match (left, right) {
            (Self::Empty, Self::Empty) => Self::Empty,
            (Self::Leaf(leaf), Self::Empty) | (Self::Empty, Self::Leaf(leaf)) => Self::Leaf(leaf),
            (left @ Self::Inner(_), right) | (left, right @ Self::Inner(_)) | (left @ Self::Leaf(_), right @ Self::Leaf(_)) => {
                let hash = join(&left.hash(), &right.hash());
                let len = left.len().saturating_add(right.len());
                Self::Inner(Arc::new(Inner { hash, len, left, right }))
            }
        }
    }

    fn hash(&self) -> Hash32 {
        match self {
            Self::Empty => Hash32::ZERO,
            Self::Leaf(leaf) => leaf.hash,
            Self::Inner(inner) => inner.hash,
        }
    }

    fn len(&self) -> u64 {
        match self {
            Self::Empty => 0,
            Self::Leaf(_) => 1,
            Self::Inner(inner) => inner.len,
        }
    }

    /// Whether it is the very same subtree, not only an equal one.
    fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Empty, Self::Empty) => true,
            (Self::Leaf(a), Self::Leaf(b)) => Arc::ptr_eq(a, b),
            (Self::Inner(a), Self::Inner(b)) => Arc::ptr_eq(a, b),
            (Self::Empty | Self::Leaf(_) | Self::Inner(_), _) => false,
        }
    }
}

impl Target {
    fn leaf(&self) -> Option<Arc<Leaf>> {
        let (path, value) = (self.path, self.value?);
        Some(Arc::new(Leaf { path, value, hash: leaf_hash(&path, &value) }))
    }
}

fn leaves_of(targets: &[Target]) -> Vec<Arc<Leaf>> {
    targets.iter().filter_map(Target::leaf).collect()
}

/// The leaves of the targets and the one that is there, in order; a target of the same path replaces it, or keeps it where the value is the same.
fn leaves_with(old: &Arc<Leaf>, targets: &[Target]) -> Vec<Arc<Leaf>> {
    let (before, from) = targets.split_at(targets.partition_point(|target| target.path < old.path));
    let mut leaves = leaves_of(before);
    match from.split_first() {
        Some((own, after)) if own.path == old.path => {
            leaves.extend(if own.value == Some(old.value) { Some(Arc::clone(old)) } else { own.leaf() });
            leaves.extend(after.iter().filter_map(Target::leaf));
        }
        Some(_) | None => {
            leaves.push(Arc::clone(old));
            leaves.extend(from.iter().filter_map(Target::leaf));
        }
    }
    leaves
}

/// Parts what is in order and shares the first `depth` bits by the next bit.
fn split<T>(all: &[T], depth: usize, path: impl Fn(&T) -> &Hash32) -> (&[T], &[T]) {
    all.split_at(all.partition_point(|one| !bit(path(one), depth)))
}

#[cfg(test)]
mod tests;
