//! A 32-byte BLAKE3 digest and the contexts that keep one use of it apart from another.
//!
//! Every hash that the chain compares is made here with a context of its own, so that bytes hashed for one purpose can never pass for another.
//! Called by every module of `chain`; nothing here reads state.

use std::fmt;
use std::sync::OnceLock;

use blake3::hazmat::{ContextKey, HasherExt, hash_derive_key_context};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// A BLAKE3 digest: 32 bytes, written as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Hash32(pub [u8; 32]);

impl Hash32 {
    /// Thirty-two zero bytes: the root of an empty tree and the parent of the first block.
    pub const ZERO: Self = Self([0; 32]);

    /// Reads 64 hexadecimal digits; `None` where there are fewer, more or other characters.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Self> {
        let mut bytes = [0_u8; 32];
        hex::decode_to_slice(text, &mut bytes).ok()?;
        Some(Self(bytes))
    }

    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Hash32 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Hash32 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

/// Hexadecimal digits in JSON, 32 bytes on the wire.
impl Serialize for Hash32 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() { serializer.collect_str(self) } else { self.0.serialize(serializer) }
    }
}

impl<'de> Deserialize<'de> for Hash32 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
            Self::from_hex(&text).ok_or_else(|| D::Error::custom("expected 64 hexadecimal digits"))
        } else {
            <[u8; 32]>::deserialize(deserializer).map(Self)
        }
    }
}

/// What a digest is of; each has a derivation context of its own (BLAKE3 `derive_key`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Context {
    /// A transaction's id, over its body.
    TransactionId,
    /// A block header's hash, over its encoding.
    Header,
    /// The genesis document's hash, which is the chain id.
    Genesis,
    /// A validator set's hash.
    ValidatorSet,
    /// A leaf of an ordered Merkle tree of transactions (signature and body).
    TransactionLeaf,
    /// A leaf of an ordered Merkle tree of receipts.
    ReceiptLeaf,
    /// A leaf of the ordered Merkle tree of raw meter samples (salt and sample).
    SampleLeaf,
    /// An inner node of any ordered Merkle tree.
    MerkleNode,
    /// The root of an ordered Merkle tree: leaf count and top node.
    MerkleRoot,
    /// An inner node of the history's mountain range.
    HistoryNode,
    /// The root of the history's mountain range: leaf count and peaks.
    HistoryRoot,
    /// The path of a key in the state tree.
    StateKey,
    /// A value in the state tree.
    StateValue,
    /// A leaf of the state tree (path and value digest).
    StateLeaf,
    /// An inner node of the state tree.
    StateNode,
    /// A card's binding, over its key and the card's identifier.
    Card,
}

impl Context {
    /// The context string; fixed for ever, because every stored hash depends on it.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::TransactionId => "commonwatt 2026 transaction id",
            Self::Header => "commonwatt 2026 header",
            Self::Genesis => "commonwatt 2026 genesis",
            Self::ValidatorSet => "commonwatt 2026 validator set",
            Self::TransactionLeaf => "commonwatt 2026 transaction leaf",
            Self::ReceiptLeaf => "commonwatt 2026 receipt leaf",
            Self::SampleLeaf => "commonwatt 2026 sample leaf",
            Self::MerkleNode => "commonwatt 2026 merkle node",
            Self::MerkleRoot => "commonwatt 2026 merkle root",
            Self::HistoryNode => "commonwatt 2026 history node",
            Self::HistoryRoot => "commonwatt 2026 history root",
            Self::StateKey => "commonwatt 2026 state key",
            Self::StateValue => "commonwatt 2026 state value",
            Self::StateLeaf => "commonwatt 2026 state leaf",
            Self::StateNode => "commonwatt 2026 state node",
            Self::Card => "commonwatt 2026 card",
        }
    }

    /// The digest of the parts, one after the other, in this context.
    #[must_use]
    pub fn hash(self, parts: &[&[u8]]) -> Hash32 {
        let mut hasher = blake3::Hasher::new_from_context_key(&self.key());
        for part in parts {
            hasher.update(part);
        }
        Hash32(*hasher.finalize().as_bytes())
    }

    /// The key that BLAKE3 derives from the context string: made once, because it would otherwise be almost half the cost of hashing a tree's node.
    fn key(self) -> ContextKey {
        static KEYS: [OnceLock<ContextKey>; Context::COUNT] = [const { OnceLock::new() }; Context::COUNT];
        let derive = || hash_derive_key_context(self.text());
        KEYS.get(self as usize).map_or_else(derive, |slot| *slot.get_or_init(derive))
    }

    /// How many contexts there are. A context past this number would only be slower.
    const COUNT: usize = Self::Card as usize + 1;
}
