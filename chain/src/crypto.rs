//! Signatures: ed25519 over bytes that begin with a domain, checked by one rule everywhere, `verify_strict`.
//!
//! `verify_batch` accepts signatures that `verify_strict` refuses, so it is never used: nodes that differed would split the chain. No key is made or kept
//! here; secret keys live with wallets and nodes. Called by transactions, votes, invites and their signers.

use std::fmt;

use ed25519_dalek::{Signature as DalekSignature, Signer as _, SigningKey, VerifyingKey};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::id::Address;

/// What a signature is for; the text goes before the signed bytes, so that none can be used for another purpose.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Domain {
    /// A transaction's body.
    Transaction,
    /// A consensus vote.
    Vote,
    /// A consensus proposal.
    Proposal,
    /// An invite to register an account.
    Invite,
    /// A block on its way to those who vote on it.
    BlockPart,
    /// A node's request for committed blocks.
    SyncRequest,
    /// An order to a gateway about a card.
    CardOrder,
    /// A transaction's body that is to be tried and never carried out.
    Rehearsal,
    /// An answer to a node that lets only those read whom it knows.
    Read,
}

impl Domain {
    /// The prefix; fixed for ever.
    #[must_use]
    pub const fn prefix(self) -> &'static [u8] {
        match self {
            Self::Transaction => b"commonwatt/tx/v1\0",
            Self::Vote => b"commonwatt/vote/v1\0",
            Self::Proposal => b"commonwatt/proposal/v1\0",
            Self::Invite => b"commonwatt/invite/v1\0",
            Self::BlockPart => b"commonwatt/part/v1\0",
            Self::SyncRequest => b"commonwatt/sync/v1\0",
            Self::CardOrder => b"commonwatt/card/v1\0",
            Self::Rehearsal => b"commonwatt/rehearsal/v1\0",
            Self::Read => b"commonwatt/read/v1\0",
        }
    }

    fn message(self, bytes: &[u8]) -> Vec<u8> {
        let mut message = self.prefix().to_vec();
        message.extend_from_slice(bytes);
        message
    }
}

/// An ed25519 signature: 64 bytes, hexadecimal digits in JSON.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Signature(pub [u8; 64]);

/// A signature that does not belong to this signer and these bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the signature does not match the signer and the signed bytes")]
pub struct BadSignature;

/// Signs `bytes` for one purpose.
#[must_use]
pub fn sign(key: &SigningKey, domain: Domain, bytes: &[u8]) -> Signature {
    Signature(key.sign(&domain.message(bytes)).to_bytes())
}

/// Whether `signer` signed `bytes` for this purpose.
///
/// # Errors
/// [`BadSignature`] also where the address is no point of the curve.
pub fn verify(signer: &Address, domain: Domain, bytes: &[u8], signature: &Signature) -> Result<(), BadSignature> {
    let key = VerifyingKey::from_bytes(signer.as_bytes()).map_err(|_| BadSignature)?;
    key.verify_strict(&domain.message(bytes), &DalekSignature::from_bytes(&signature.0)).map_err(|_| BadSignature)
}

/// The address of a secret key.
#[must_use]
pub fn address_of(key: &SigningKey) -> Address {
    Address(key.verifying_key().to_bytes())
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl Serialize for Signature {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.serialize_str(&hex::encode(self.0))
        } else {
            // serde knows arrays up to 32 elements; two halves have the same bytes as one array of 64.
            let (low, high) = self.0.split_at(32);
            let low: [u8; 32] = low.try_into().map_err(serde::ser::Error::custom)?;
            let high: [u8; 32] = high.try_into().map_err(serde::ser::Error::custom)?;
            (low, high).serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for Signature {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut bytes = [0_u8; 64];
        if deserializer.is_human_readable() {
            let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
            hex::decode_to_slice(text.as_ref(), &mut bytes).map_err(D::Error::custom)?;
        } else {
            let (low, high) = <([u8; 32], [u8; 32])>::deserialize(deserializer)?;
            for (place, byte) in bytes.iter_mut().zip(low.into_iter().chain(high)) {
                *place = byte;
            }
        }
        Ok(Self(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_good_for_one_signer_one_purpose_and_the_same_bytes() {
        let key = SigningKey::from_bytes(&[1; 32]);
        let signature = sign(&key, Domain::Transaction, b"body");
        let signer = address_of(&key);
        assert_eq!(verify(&signer, Domain::Transaction, b"body", &signature), Ok(()));
        assert_eq!(verify(&signer, Domain::Vote, b"body", &signature), Err(BadSignature));
        assert_eq!(verify(&signer, Domain::Transaction, b"b0dy", &signature), Err(BadSignature));
        assert_eq!(verify(&address_of(&SigningKey::from_bytes(&[2; 32])), Domain::Transaction, b"body", &signature), Err(BadSignature));
    }

    #[test]
    fn refuses_a_key_of_small_order_that_a_lax_check_accepts() {
        // The identity point with R = identity and s = 0 passes the cofactored equation for every message.
        let mut identity = [0_u8; 32];
        identity[0] = 1;
        let mut forged = [0_u8; 64];
        forged[0] = 1;
        assert_eq!(verify(&Address(identity), Domain::Transaction, b"anything", &Signature(forged)), Err(BadSignature));
    }
}
