//! Validators, their votes, and the certificate that more than two thirds of their power agreed on a block.
//!
//! Which block to vote for is consensus' matter; here is only what a vote signs and when a certificate holds, so that an auditor needs no node.
//! Called by `node`'s consensus, by the store and by auditors.

use serde::{Deserialize, Serialize};

use crate::{
    codec,
    crypto::{self, Domain, Signature},
    hash::{Context, Hash32},
    id::{Address, ChainId, Height},
};

/// The most validators that a set may have.
pub const MAX_VALIDATORS: usize = 256;

/// A node that votes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Validator {
    /// Its consensus key.
    pub address: Address,
    /// Its weight in votes; at least 1.
    #[serde(with = "crate::quantity::decimal")]
    #[cfg_attr(feature = "openapi", schema(value_type = crate::openapi::Decimal))]
    pub power: u64,
}

/// The validators that decide a height, in ascending order of address.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ValidatorSet(Vec<Validator>);

/// Validators that make no set.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ValidatorSetError {
    /// None, or more than [`MAX_VALIDATORS`].
    #[error("a validator set has 1 to {MAX_VALIDATORS} members, found {0}")]
    Count(usize),
    /// One without weight, or weights beyond the range.
    #[error("every validator has a power of at least 1 and the sum fits 63 bits")]
    Power,
    /// One that is named twice.
    #[error("validator {0} is named twice")]
    Twice(Address),
}

impl ValidatorSet {
    /// The set of these validators, in whatever order they come.
    ///
    /// # Errors
    /// [`ValidatorSetError`].
    pub fn new(mut validators: Vec<Validator>) -> Result<Self, ValidatorSetError> {
        if validators.is_empty() || validators.len() > MAX_VALIDATORS {
            return Err(ValidatorSetError::Count(validators.len()));
        }
        validators.sort_by_key(|validator| validator.address);
        let mut previous = None;
        let mut total: u64 = 0;
        for validator in &validators {
            if previous == Some(validator.address) {
                return Err(ValidatorSetError::Twice(validator.address));
            }
            previous = Some(validator.address);
            total =
                total.checked_add(validator.power).filter(|sum| validator.power > 0 && *sum < 1 << 63).ok_or(ValidatorSetError::Power)?;
        }
        Ok(Self(validators))
    }

    /// The members in ascending order of address.
    #[must_use]
    pub fn members(&self) -> &[Validator] {
        &self.0
    }

    /// The member of this address.
    #[must_use]
    pub fn get(&self, address: &Address) -> Option<&Validator> {
        self.0.binary_search_by_key(address, |validator| validator.address).ok().and_then(|index| self.0.get(index))
    }

    /// The weight of all together.
    #[must_use]
    pub fn total_power(&self) -> u64 {
        self.0.iter().fold(0, |sum, validator| sum.saturating_add(validator.power))
    }

    /// Validators of equal weight that may fail without a halt: the largest f with n ≥ 3f + 1.
    #[must_use]
    pub fn faults_tolerated(&self) -> usize {
        self.0.len().saturating_sub(1).checked_div(3).unwrap_or(0)
    }

    /// The digest that a header names.
    #[must_use]
    pub fn hash(&self) -> Hash32 {
        // Our own types always encode; an empty digest would match no header.
        codec::encode(self).map_or(Hash32::ZERO, |bytes| Context::ValidatorSet.hash(&[&bytes]))
    }
}

/// The two votes of a round.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum VoteKind {
    /// The block was seen and found good.
    Prevote,
    /// Two thirds saw it.
    Precommit,
}

/// What a vote signs, behind [`Domain::Vote`]; vote extensions are not part of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct VoteBody {
    /// The chain that it is for.
    pub chain_id: ChainId,
    /// Which of the two votes.
    pub kind: VoteKind,
    /// The height voted on.
    pub height: Height,
    /// The round, from 0.
    pub round: u32,
    /// The header hash, or nothing: no block in this round.
    pub block: Option<Hash32>,
    /// Who votes.
    pub validator: Address,
}

impl VoteBody {
    /// The bytes to sign.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        codec::encode(self).unwrap_or_default()
    }
}

/// What a proposal signs, behind [`Domain::Proposal`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ProposalBody {
    /// The chain that it is for.
    pub chain_id: ChainId,
    /// The height proposed for.
    pub height: Height,
    /// The round, from 0.
    pub round: u32,
    /// The round in which two thirds prevoted this block, where it is proposed again.
    pub valid_round: Option<u32>,
    /// The header hash.
    pub block: Hash32,
    /// Who proposes.
    pub proposer: Address,
}

impl ProposalBody {
    /// The bytes to sign.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        codec::encode(self).unwrap_or_default()
    }
}

/// One validator's precommit in a certificate.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CommitSignature {
    /// Who voted.
    pub validator: Address,
    /// Over the [`VoteBody`] of the certificate's height, round and block.
    pub signature: Signature,
}

/// Proof that more than two thirds of the power precommitted a block in one round.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CommitCertificate {
    /// The block's height.
    pub height: Height,
    /// The round of the precommits.
    pub round: u32,
    /// The block's header hash.
    pub block: Hash32,
    /// The precommits, in ascending order of validator.
    pub signatures: Vec<CommitSignature>,
}

/// Why a certificate does not hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CertificateError {
    /// A signature of somebody outside the set.
    #[error("{0} is no validator of this height")]
    Stranger(Address),
    /// Signatures out of order, or one validator twice.
    #[error("the signatures are not in ascending order of validator at {0}")]
    Order(Address),
    /// A signature that does not match; one is enough to refuse, even where a quorum remains.
    #[error("the signature of validator {0} does not match")]
    Signature(Address),
    /// Two thirds or less of the power.
    #[error("signatures of power {found} do not exceed two thirds of {total}")]
    Quorum {
        /// The power that signed.
        found: u64,
        /// The power of the set.
        total: u64,
    },
}

impl CommitCertificate {
    /// Whether the certificate holds: every signature good, of a member, in order, and more than two thirds of the power.
    ///
    /// # Errors
    /// The first [`CertificateError`].
    pub fn verify(&self, chain_id: ChainId, set: &ValidatorSet) -> Result<(), CertificateError> {
        let mut previous = None;
        let mut found: u64 = 0;
        for commit in &self.signatures {
            let validator = set.get(&commit.validator).ok_or(CertificateError::Stranger(commit.validator))?;
            if previous.is_some_and(|earlier| earlier >= commit.validator) {
                return Err(CertificateError::Order(commit.validator));
            }
            previous = Some(commit.validator);
            let vote = VoteBody {
                chain_id,
                kind: VoteKind::Precommit,
                height: self.height,
                round: self.round,
                block: Some(self.block),
                validator: commit.validator,
            };
            crypto::verify(&commit.validator, Domain::Vote, &vote.bytes(), &commit.signature)
                .map_err(|_| CertificateError::Signature(commit.validator))?;
            found = found.saturating_add(validator.power);
        }
        let total = set.total_power();
        if u128::from(found).saturating_mul(3) > u128::from(total).saturating_mul(2) {
            Ok(())
        } else {
            Err(CertificateError::Quorum { found, total })
        }
    }
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::SigningKey;

    use super::*;

    fn keys(count: u8) -> Vec<SigningKey> {
        let mut keys: Vec<_> = (1..=count).map(|seed| SigningKey::from_bytes(&[seed; 32])).collect();
        keys.sort_by_key(crypto::address_of);
        keys
    }

    fn certificate(keys: &[SigningKey], chain_id: ChainId) -> CommitCertificate {
        let block = Hash32([5; 32]);
        let signatures = keys
            .iter()
            .map(|key| {
                let validator = crypto::address_of(key);
                let vote = VoteBody { chain_id, kind: VoteKind::Precommit, height: Height(3), round: 1, block: Some(block), validator };
                CommitSignature { validator, signature: crypto::sign(key, Domain::Vote, &vote.bytes()) }
            })
            .collect();
        CommitCertificate { height: Height(3), round: 1, block, signatures }
    }

    #[test]
    fn needs_more_than_two_thirds_and_no_bad_signature_beside_them() {
        let chain_id = ChainId(Hash32([1; 32]));
        let keys = keys(4);
        let members = keys.iter().map(|key| Validator { address: crypto::address_of(key), power: 1 }).collect();
        let set = ValidatorSet::new(members).expect("four members");
        assert_eq!(set.faults_tolerated(), 1);
        assert_eq!(certificate(&keys[..3], chain_id).verify(chain_id, &set), Ok(()));
        assert_eq!(certificate(&keys[..2], chain_id).verify(chain_id, &set), Err(CertificateError::Quorum { found: 2, total: 4 }));

        let mut one_bad = certificate(&keys, chain_id);
        one_bad.signatures[3].signature.0[0] ^= 1;
        let bad = one_bad.signatures[3].validator;
        assert_eq!(one_bad.verify(chain_id, &set), Err(CertificateError::Signature(bad)));

        let mut twice = certificate(&keys[..3], chain_id);
        twice.signatures[2] = twice.signatures[1];
        assert!(matches!(twice.verify(chain_id, &set), Err(CertificateError::Order(_))));
        assert!(certificate(&keys, chain_id).verify(ChainId(Hash32([2; 32])), &set).is_err());
    }
}
