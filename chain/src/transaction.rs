//! A transaction: what an account asks the chain to do, signed, and the only bytes of it that travel and are stored.
//!
//! `bytes = signature (64) ‖ body`, `body = encode({ chain_id, account, signer, nonce, valid_until, call })`, the signature over a domain and the body's
//! bytes. Bytes are signed, not structures: nothing ever re-serialises a body to check it. What the calls mean is `contracts`' matter.
//! Called by wallets, by the node at submission and by block execution.

use ed25519_dalek::SigningKey;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::DeserializeOwned, de::Error as _};

use crate::{
    codec::{self, CodecError},
    crypto::{self, BadSignature, Domain, Signature},
    hash::{Context, Hash32},
    id::{Address, ChainId, TxId},
    time::{Duration, Timestamp},
};

/// The most that one transaction may measure, in bytes, signature included.
pub const MAX_TRANSACTION_BYTES: usize = 64 << 10;

/// How far ahead of the block a transaction's expiry may lie: an account pruned after long idleness is safe from replays.
pub const MAX_VALIDITY: Duration = Duration::from_hours(24);

/// A whole transaction, signature and body, as one call shows another: hexadecimal digits in JSON, bytes with their length on the wire.
#[derive(Clone, PartialEq, Eq)]
pub struct SignedBytes(pub Vec<u8>);

impl std::fmt::Debug for SignedBytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&hex::encode(&self.0))
    }
}

impl Serialize for SignedBytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() { serializer.serialize_str(&hex::encode(&self.0)) } else { self.0.serialize(serializer) }
    }
}

impl<'de> Deserialize<'de> for SignedBytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
            hex::decode(text.as_ref()).map(Self).map_err(D::Error::custom)
        } else {
            Vec::deserialize(deserializer).map(Self)
        }
    }
}

/// The signed part of a transaction.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Body<C> {
    /// The chain that it is for.
    pub chain_id: ChainId,
    /// The account that acts.
    pub account: Address,
    /// The key that signs: the account's own, or one registered for it.
    pub signer: Address,
    /// The signer's count of transactions so far, from 0.
    #[serde(with = "crate::quantity::decimal")]
    pub nonce: u64,
    /// The last block time at which it may enter a block; at most 24 h after that block's.
    pub valid_until: Timestamp,
    /// What is asked.
    pub call: C,
}

/// A decoded transaction beside the bytes that it came from; whether the signature is good is not known until [`Transaction::verify`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Transaction<C> {
    body: Body<C>,
    signature: Signature,
    bytes: Vec<u8>,
}

/// Bytes that are no transaction.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TransactionError {
    /// Fewer bytes than a signature, or more than the limit.
    #[error("a transaction has 65 to {MAX_TRANSACTION_BYTES} bytes, found {0}")]
    Length(usize),
    /// The body is no encoding of one.
    #[error("the body does not decode: {0}")]
    Body(CodecError),
}

pub(crate) const SIGNATURE_BYTES: usize = 64;

/// The fields before the call's own, each with the byte of the transaction at which it ends: they have fixed widths.
const FIELD_ENDS: [(&str, usize); 7] =
    [("signature", 64), ("chain_id", 96), ("account", 128), ("signer", 160), ("nonce", 168), ("valid_until", 176), ("call kind", 180)];

impl TransactionError {
    /// Where the bytes stop being a transaction: the byte, counted from the transaction's first, and the field that it lies in. Nothing where the whole
    /// is too long, or the value has another encoding.
    #[must_use]
    pub fn place(&self) -> Option<(usize, &'static str)> {
        let at = match self {
            Self::Length(found) if *found > MAX_TRANSACTION_BYTES => return None,
            Self::Length(found) => *found,
            Self::Body(CodecError::Malformed(misfit)) => misfit.at.saturating_add(SIGNATURE_BYTES),
            Self::Body(CodecError::TooLong { .. } | CodecError::Trailing(_) | CodecError::NotCanonical | CodecError::Unencodable(_)) => {
                return None;
            }
        };
        let field = FIELD_ENDS.iter().find(|(_, end)| at < *end).map_or("call", |(name, _)| name);
        Some((at, field))
    }
}

impl<C: Serialize + DeserializeOwned> Transaction<C> {
    /// Signs a body.
    ///
    /// # Errors
    /// Where the encoding would exceed [`MAX_TRANSACTION_BYTES`].
    pub fn sign(body: Body<C>, key: &SigningKey) -> Result<Self, TransactionError> {
        let encoded = codec::encode(&body).map_err(TransactionError::Body)?;
        let signature = crypto::sign(key, Domain::Transaction, &encoded);
        Self::assemble(body, signature, &encoded)
    }

    /// Signs a body to have it rehearsed: the signature is of another domain, so that nobody can make a transaction of it.
    ///
    /// # Errors
    /// As [`Transaction::sign`].
    pub fn sign_rehearsal(body: Body<C>, key: &SigningKey) -> Result<Self, TransactionError> {
        let encoded = codec::encode(&body).map_err(TransactionError::Body)?;
        let signature = crypto::sign(key, Domain::Rehearsal, &encoded);
        Self::assemble(body, signature, &encoded)
    }

    /// Puts a signature made elsewhere to a body.
    fn assemble(body: Body<C>, signature: Signature, encoded: &[u8]) -> Result<Self, TransactionError> {
        let bytes = [signature.0.as_slice(), encoded].concat();
        if bytes.len() > MAX_TRANSACTION_BYTES {
            return Err(TransactionError::Length(bytes.len()));
        }
        Ok(Self { body, signature, bytes })
    }

    /// Reads a transaction; all of `bytes` must be used.
    ///
    /// # Errors
    /// [`TransactionError`]; the signature is not checked here.
    pub fn decode(bytes: &[u8]) -> Result<Self, TransactionError> {
        let wrong_length = || TransactionError::Length(bytes.len());
        if bytes.len() > MAX_TRANSACTION_BYTES {
            return Err(wrong_length());
        }
        let (signature, encoded) = bytes.split_at_checked(SIGNATURE_BYTES).ok_or_else(wrong_length)?;
        if encoded.is_empty() {
            return Err(wrong_length());
        }
        let signature = Signature(signature.try_into().map_err(|_| wrong_length())?);
        let body = codec::decode(encoded, MAX_TRANSACTION_BYTES).map_err(TransactionError::Body)?;
        Ok(Self { body, signature, bytes: bytes.to_vec() })
    }
}

impl<C> Transaction<C> {
    /// What was signed, decoded.
    pub const fn body(&self) -> &Body<C> {
        &self.body
    }

    /// The bytes that travel and are stored.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The signed bytes.
    #[must_use]
    pub fn body_bytes(&self) -> &[u8] {
        self.bytes.get(SIGNATURE_BYTES..).unwrap_or_default()
    }

    /// The id, over the body alone: who signs twice has one transaction, whatever its signature.
    #[must_use]
    pub fn id(&self) -> TxId {
        TxId(Context::TransactionId.hash(&[self.body_bytes()]))
    }

    /// The leaf of the block's transactions root, over signature and body.
    #[must_use]
    pub fn leaf(&self) -> Hash32 {
        leaf(&self.bytes)
    }

    /// Whether the signer signed the body.
    ///
    /// # Errors
    /// [`BadSignature`].
    pub fn verify(&self) -> Result<(), BadSignature> {
        crypto::verify(&self.body.signer, Domain::Transaction, self.body_bytes(), &self.signature)
    }

    /// Whether the signer asked to have the body rehearsed; see [`Transaction::sign_rehearsal`].
    ///
    /// # Errors
    /// [`BadSignature`], for a signed transaction too.
    pub fn verify_rehearsal(&self) -> Result<(), BadSignature> {
        crypto::verify(&self.body.signer, Domain::Rehearsal, self.body_bytes(), &self.signature)
    }
}

/// The leaf of a transaction's bytes in the transactions root; it covers the signature, so that a block fixes the signatures that it carries.
#[must_use]
pub fn leaf(bytes: &[u8]) -> Hash32 {
    Context::TransactionLeaf.hash(&[bytes])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Transaction<u32> {
        let key = SigningKey::from_bytes(&[3; 32]);
        let address = crypto::address_of(&key);
        let body = Body {
            chain_id: ChainId(Hash32([9; 32])),
            account: address,
            signer: address,
            nonce: 4,
            valid_until: Timestamp::from_ms(1_000),
            call: 77,
        };
        Transaction::sign(body, &key).expect("small")
    }

    #[test]
    fn every_changed_bit_is_refused() {
        let good = example();
        assert_eq!(Transaction::<u32>::decode(good.bytes()).expect("decodes").verify(), Ok(()));
        for bit in 0..good.bytes().len() * 8 {
            let mut bytes = good.bytes().to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let verdict = Transaction::<u32>::decode(&bytes).map(|wrong| wrong.verify());
            assert_ne!(verdict, Ok(Ok(())), "bit {bit}");
        }
    }

    #[test]
    fn refuses_bytes_that_follow_or_are_missing() {
        let good = example().bytes().to_vec();
        let longer = [good.as_slice(), &[0]].concat();
        assert_eq!(Transaction::<u32>::decode(&longer), Err(TransactionError::Body(CodecError::Trailing(1))));
        for (bytes, field) in [(3, "signature"), (64, "chain_id"), (100, "account"), (130, "signer"), (167, "nonce"), (175, "valid_until")]
        {
            let place = Transaction::<u32>::decode(&good[..bytes]).err().and_then(|error| error.place());
            assert!(place.is_some_and(|(at, found)| at <= bytes && found == field), "{bytes}: {place:?}");
        }
        assert_eq!(Transaction::<u32>::decode(&good[..64]), Err(TransactionError::Length(64)));
        assert_eq!(
            Transaction::<u32>::decode(&vec![0; MAX_TRANSACTION_BYTES + 1]),
            Err(TransactionError::Length(MAX_TRANSACTION_BYTES + 1))
        );
    }
}
