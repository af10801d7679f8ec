//! How votes, proposals and block parts are signed and verified: the chain's own bytes and domains, which name the chain, and `verify_strict`.
//!
//! Vote extensions are never signed and never accepted. Keys are read elsewhere. Called by the engine, and by `driver` for block parts.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use arc_malachitebft_app_channel::{
    Signer, Verifier,
    app::consensus::SignedConsensusMsg,
    app::types::core::{NilOrVal, Round, SignedMessage, ValidatorProof, VoteExtensionScope, VoteType},
};
use arc_malachitebft_signing::{Error, VerificationResult};
use async_trait::async_trait;
use chain::{
    certificate::{CommitCertificate, ProposalBody, VoteBody, VoteKind},
    codec,
    crypto::{self, Domain, Signature},
    hash::Hash32,
    id::{self, ChainId},
};
use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};
use serde::Serialize;

use super::context::{Address, BlockPart, Context, Proposal, Vote};

/// Verifies what validators of one chain sign.
#[derive(Clone, Copy, Debug)]
pub struct Signatures {
    chain_id: ChainId,
}

/// Heights of which is remembered what was signed.
const REMEMBERED_HEIGHTS: usize = 128;

/// The precommits of one process by height: round and block.
type Precommits = BTreeMap<u64, BTreeSet<(u32, Hash32)>>;

/// Signs for one validator of one chain; clones remember together what they signed.
#[derive(Clone)]
pub struct Keys {
    signed: Arc<Mutex<Precommits>>,
    key: SigningKey,
    address: Address,
    signatures: Signatures,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("address", &self.address).finish_non_exhaustive()
    }
}

/// What a block part signs.
#[derive(Serialize)]
struct PartBody {
    chain_id: ChainId,
    height: id::Height,
    round: u32,
    proposer: id::Address,
    /// The plain BLAKE3 digest of the block's bytes: they are not parsed before the signature has been verified.
    bytes: [u8; 32],
}

impl Signatures {
    pub fn new(chain_id: ChainId) -> Self {
        Self { chain_id }
    }

    /// The bytes of a vote, or `None` for one without a round, which nobody casts.
    fn vote(self, vote: &Vote) -> Option<Vec<u8>> {
        let body = VoteBody {
            chain_id: self.chain_id,
            kind: match vote.kind {
                VoteType::Prevote => VoteKind::Prevote,
                VoteType::Precommit => VoteKind::Precommit,
            },
            height: vote.height.into(),
            round: vote.round.as_u32()?,
            block: match vote.value {
                NilOrVal::Nil => None,
                NilOrVal::Val(hash) => Some(hash.0),
            },
            validator: vote.voter.0,
        };
        Some(body.bytes())
    }

    fn proposal(self, proposal: &Proposal) -> Option<Vec<u8>> {
        let body = ProposalBody {
            chain_id: self.chain_id,
            height: proposal.height.into(),
            round: proposal.round.as_u32()?,
            valid_round: match proposal.pol_round {
                Round::Nil => None,
                Round::Some(round) => Some(round),
            },
            block: proposal.value.0,
            proposer: proposal.proposer.0,
        };
        Some(body.bytes())
    }

    fn part(self, part: &BlockPart) -> Vec<u8> {
        let body = PartBody {
            chain_id: self.chain_id,
            height: part.height.into(),
            round: part.round,
            proposer: part.proposer.0,
            bytes: *blake3::hash(&part.bytes).as_bytes(),
        };
        codec::encode(&body).unwrap_or_default()
    }

    /// Whether a validator has signed the vote or the proposal that names him.
    pub(crate) fn verify_message(self, message: &SignedConsensusMsg<Context>) -> bool {
        match message {
            SignedConsensusMsg::Vote(signed) => {
                let vote = &signed.message;
                self.vote(vote).is_some_and(|bytes| crypto::verify(&vote.voter.0, Domain::Vote, &bytes, &signed.signature).is_ok())
            }
            SignedConsensusMsg::Proposal(signed) => {
                let proposal = &signed.message;
                let bytes = self.proposal(proposal);
                bytes.is_some_and(|bytes| crypto::verify(&proposal.proposer.0, Domain::Proposal, &bytes, &signed.signature).is_ok())
            }
        }
    }

    pub(crate) const fn chain_id(self) -> ChainId {
        self.chain_id
    }

    /// Whether the proposer that a part names has signed it; whether its round is his turn is for the caller to ask.
    pub fn verify_part(self, part: &BlockPart) -> bool {
        crypto::verify(&part.proposer.0, Domain::BlockPart, &self.part(part), &part.signature).is_ok()
    }
}

impl Keys {
    pub fn new(chain_id: ChainId, key: SigningKey) -> Self {
        Self { signed: Arc::default(), address: Address(crypto::address_of(&key)), key, signatures: Signatures::new(chain_id) }
    }

    /// The validator that these keys sign for.
    pub fn address(&self) -> Address {
        self.address
    }

    /// Takes a vote for one of this process's own that an earlier one left in the log.
    pub(crate) fn recall(&self, vote: &Vote) {
        self.remember(vote);
    }

    fn remember(&self, vote: &Vote) {
        let (VoteType::Precommit, NilOrVal::Val(block), Some(round)) = (vote.kind, vote.value, vote.round.as_u32()) else { return };
        let mut signed = self.signed.lock().unwrap_or_else(PoisonError::into_inner);
        signed.entry(vote.height.0).or_default().insert((round, block.0));
        while signed.len() > REMEMBERED_HEIGHTS {
            signed.pop_first();
        }
    }

    /// Whether a certificate holds a precommit of this validator that neither this process nor a clone of these keys has signed or been told of. Meant for
    /// certificates of recent heights that began in the life of this process, and of the one of which its log says what was signed before.
    #[must_use]
    pub fn signed_elsewhere(&self, certificate: &CommitCertificate) -> bool {
        let own = certificate.signatures.iter().any(|commit| commit.validator == self.address.0);
        let signed = self.signed.lock().unwrap_or_else(PoisonError::into_inner);
        own && !signed.get(&certificate.height.0).is_some_and(|votes| votes.contains(&(certificate.round, certificate.block)))
    }

    /// Puts this validator's name as the proposer, and signature, on a part.
    pub fn sign_part(&self, part: &mut BlockPart) {
        part.proposer = self.address;
        part.signature = crypto::sign(&self.key, Domain::BlockPart, &self.signatures.part(part));
    }

    /// The proof that this validator's key vouches for a peer of the network. Its bytes are the engine's and name no chain: they bind two keys, no vote.
    pub fn proof(&self, peer_id: Vec<u8>) -> ValidatorProof<Context> {
        let public_key = self.address.0.as_bytes().to_vec();
        let bytes = ValidatorProof::<Context>::signing_bytes(&public_key, &peer_id);
        let signature = Signature(self.key.sign(&bytes).to_bytes());
        ValidatorProof::new(public_key, peer_id, signature)
    }
}

fn verdict(signer: &Address, domain: Domain, bytes: Option<Vec<u8>>, signature: &Signature) -> VerificationResult {
    VerificationResult::from_bool(bytes.is_some_and(|bytes| crypto::verify(&signer.0, domain, &bytes, signature).is_ok()))
}

#[async_trait]
impl Verifier<Context> for Signatures {
    async fn verify_signed_vote(&self, vote: &Vote, signature: &Signature, key: &Address) -> Result<VerificationResult, Error> {
        Ok(verdict(key, Domain::Vote, self.vote(vote), signature))
    }

    async fn verify_signed_proposal(&self, proposal: &Proposal, signature: &Signature, key: &Address) -> Result<VerificationResult, Error> {
        Ok(verdict(key, Domain::Proposal, self.proposal(proposal), signature))
    }

    async fn verify_signed_vote_extension(
        &self,
        _: &VoteExtensionScope<Context>,
        (): &(),
        _: &Signature,
        _: &Address,
    ) -> Result<VerificationResult, Error> {
        Ok(VerificationResult::Invalid)
    }

    async fn verify_validator_proof(&self, proof: &ValidatorProof<Context>) -> Result<VerificationResult, Error> {
        let signature = ed25519_dalek::Signature::from_bytes(&proof.signature.0);
        let good =
            VerifyingKey::try_from(proof.public_key.as_slice()).is_ok_and(|key| key.verify_strict(&proof.preimage(), &signature).is_ok());
        Ok(VerificationResult::from_bool(good))
    }
}

#[async_trait]
impl Signer<Context> for Keys {
    async fn sign_vote(&self, vote: Vote) -> Result<SignedMessage<Context, Vote>, Error> {
        let bytes = self.signatures.vote(&vote).ok_or_else(|| Error::from_source("a vote without a round"))?;
        self.remember(&vote);
        Ok(SignedMessage::new(vote, crypto::sign(&self.key, Domain::Vote, &bytes)))
    }

    async fn sign_proposal(&self, proposal: Proposal) -> Result<SignedMessage<Context, Proposal>, Error> {
        let bytes = self.signatures.proposal(&proposal).ok_or_else(|| Error::from_source("a proposal without a round"))?;
        Ok(SignedMessage::new(proposal, crypto::sign(&self.key, Domain::Proposal, &bytes)))
    }

    async fn sign_vote_extension(&self, _: VoteExtensionScope<Context>, (): ()) -> Result<SignedMessage<Context, ()>, Error> {
        Err(Error::from_source("this chain has no vote extensions"))
    }

    async fn sign_validator_proof(&self, _: Vec<u8>, peer_id: Vec<u8>) -> Result<ValidatorProof<Context>, Error> {
        Ok(self.proof(peer_id))
    }
}
