//! The bytes of everything that the engine sends or writes to its log, in the chain's one format and each with a limit of its own.
//!
//! Nothing is judged here but the form. The log and the network use the same encodings; both are private to one release, so a change of them is no change
//! of the chain. Called by the engine; the conversion of certificates also by `driver`.
//!
//! Votes, proposals and polkas are here; `parts` has blocks on their way to voters, `sync` committed ones, `listed` what the network's codec does besides, by what `door` knows.

mod door;
mod listed;
mod parts;
mod sync;

use arc_malachitebft_app_channel::app::{
    consensus::{LivenessMsg, ProposedValue, SignedConsensusMsg},
    types::{
        codec::Codec,
        core::{
            NilOrVal, PolkaCertificate, PolkaSignature, Round, RoundCertificate, RoundCertificateType, RoundSignature, SignedProposal,
            SignedVote, Validity, VoteType,
        },
    },
};
use bytes::Bytes;
use chain::{
    block::MAX_BLOCK_BYTES,
    certificate::MAX_VALIDATORS,
    codec::{self, CodecError},
    crypto::Signature,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

pub use self::{
    door::{Door, EARLY_MESSAGES},
    listed::ListedWire,
    sync::{certificate_to_chain, raw_decided},
};
use super::context::{Address, BlockHash, Context, Height, Proposal, Vote};

/// The most that a vote, a proposal, a proof, a status or a request may measure, in bytes.
pub const MAX_MESSAGE_BYTES: usize = 1024;
/// The most that a certificate may measure: every validator's address, signature and vote.
pub const MAX_CERTIFICATE_BYTES: usize = 512 + MAX_VALIDATORS * 160;
/// The most that a proposed block with what surrounds it may measure.
pub const MAX_PART_BYTES: usize = MAX_BLOCK_BYTES + 1024;
/// The most transactions that one message may carry.
pub const MAX_GOSSIP_TRANSACTIONS: usize = 512;
/// Their bytes together.
pub const MAX_GOSSIP_BYTES: usize = 256 << 10;
/// The most that an answer with committed blocks may measure: one block of the largest size always fits.
pub const MAX_RESPONSE_BYTES: usize = 2 * MAX_BLOCK_BYTES;
/// The most blocks that one answer may hold.
pub const MAX_RESPONSE_BLOCKS: u64 = 50;

/// Bytes that are no message, or a message that has no bytes.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// Not in the chain's format, or over the limit.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// In the format, but with an impossible content.
    #[error("{0}")]
    Content(&'static str),
}

/// The codec that the engine is started with.
#[derive(Clone, Copy, Debug)]
pub struct Wire;

fn encode<T: Serialize>(value: &T) -> Result<Bytes, WireError> {
    Ok(codec::encode(value)?.into())
}

fn decode<T: DeserializeOwned + Serialize>(bytes: &[u8], limit: usize) -> Result<T, WireError> {
    Ok(codec::decode(bytes, limit)?)
}

/// Raw bytes, which serde would otherwise write and read one by one.
struct Blob(Bytes);

impl Serialize for Blob {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Blob;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("bytes")
            }

            fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<Blob, E> {
                Ok(Blob(Bytes::copy_from_slice(bytes)))
            }

            fn visit_byte_buf<E: serde::de::Error>(self, bytes: Vec<u8>) -> Result<Blob, E> {
                Ok(Blob(bytes.into()))
            }
        }
        deserializer.deserialize_byte_buf(Visitor)
    }
}

#[derive(Serialize, Deserialize)]
struct WireVote {
    precommit: bool,
    height: Height,
    round: Option<u32>,
    value: Option<BlockHash>,
    voter: Address,
    signature: Signature,
}

fn round(round: Option<u32>) -> Round {
    round.map_or(Round::Nil, Round::new)
}

fn nil_or(value: Option<BlockHash>) -> NilOrVal<BlockHash> {
    value.map_or(NilOrVal::Nil, NilOrVal::Val)
}

fn or_nil(value: &NilOrVal<BlockHash>) -> Option<BlockHash> {
    match value {
        NilOrVal::Nil => None,
        NilOrVal::Val(value) => Some(*value),
    }
}

fn vote_type(precommit: bool) -> VoteType {
    if precommit { VoteType::Precommit } else { VoteType::Prevote }
}

impl From<&SignedVote<Context>> for WireVote {
    fn from(signed: &SignedVote<Context>) -> Self {
        let vote = &signed.message;
        Self {
            precommit: vote.kind == VoteType::Precommit,
            height: vote.height,
            round: vote.round.as_u32(),
            value: or_nil(&vote.value),
            voter: vote.voter,
            signature: signed.signature,
        }
    }
}

impl From<WireVote> for SignedVote<Context> {
    fn from(wire: WireVote) -> Self {
        let vote = Vote {
            kind: vote_type(wire.precommit),
            height: wire.height,
            round: round(wire.round),
            value: nil_or(wire.value),
            voter: wire.voter,
            extension: None,
        };
        Self::new(vote, wire.signature)
    }
}

#[derive(Serialize, Deserialize)]
struct WireProposal {
    height: Height,
    round: Option<u32>,
    value: BlockHash,
    pol_round: Option<u32>,
    proposer: Address,
    signature: Signature,
}

#[derive(Serialize, Deserialize)]
enum WireConsensus {
    Vote(WireVote),
    Proposal(WireProposal),
}

impl Codec<SignedConsensusMsg<Context>> for Wire {
    type Error = WireError;

    fn encode(&self, message: &SignedConsensusMsg<Context>) -> Result<Bytes, WireError> {
        encode(&match message {
            SignedConsensusMsg::Vote(vote) => WireConsensus::Vote(vote.into()),
            SignedConsensusMsg::Proposal(signed) => WireConsensus::Proposal(WireProposal {
                height: signed.message.height,
                round: signed.message.round.as_u32(),
                value: signed.message.value,
                pol_round: signed.message.pol_round.as_u32(),
                proposer: signed.message.proposer,
                signature: signed.signature,
            }),
        })
    }

    fn decode(&self, bytes: Bytes) -> Result<SignedConsensusMsg<Context>, WireError> {
        Ok(match decode(&bytes, MAX_MESSAGE_BYTES)? {
            WireConsensus::Vote(vote) => SignedConsensusMsg::Vote(vote.into()),
            WireConsensus::Proposal(wire) => {
                let proposal = Proposal {
                    height: wire.height,
                    round: round(wire.round),
                    value: wire.value,
                    pol_round: round(wire.pol_round),
                    proposer: wire.proposer,
                };
                SignedConsensusMsg::Proposal(SignedProposal::new(proposal, wire.signature))
            }
        })
    }
}

#[derive(Serialize, Deserialize)]
struct WirePolka {
    height: Height,
    round: Option<u32>,
    value: BlockHash,
    signatures: Vec<(Address, Signature)>,
}

impl From<&PolkaCertificate<Context>> for WirePolka {
    fn from(certificate: &PolkaCertificate<Context>) -> Self {
        Self {
            height: certificate.height,
            round: certificate.round.as_u32(),
            value: certificate.value_id,
            signatures: certificate.polka_signatures.iter().map(|signed| (signed.address, signed.signature)).collect(),
        }
    }
}

impl From<WirePolka> for PolkaCertificate<Context> {
    fn from(wire: WirePolka) -> Self {
        Self {
            height: wire.height,
            round: round(wire.round),
            value_id: wire.value,
            polka_signatures: wire.signatures.into_iter().map(|(address, signature)| PolkaSignature::new(address, signature)).collect(),
        }
    }
}

impl Codec<PolkaCertificate<Context>> for Wire {
    type Error = WireError;

    fn encode(&self, certificate: &PolkaCertificate<Context>) -> Result<Bytes, WireError> {
        encode(&WirePolka::from(certificate))
    }

    fn decode(&self, bytes: Bytes) -> Result<PolkaCertificate<Context>, WireError> {
        decode::<WirePolka>(&bytes, MAX_CERTIFICATE_BYTES).map(PolkaCertificate::from)
    }
}

#[derive(Serialize, Deserialize)]
struct WireRoundSignature {
    precommit: bool,
    value: Option<BlockHash>,
    address: Address,
    signature: Signature,
}

#[derive(Serialize, Deserialize)]
struct WireRound {
    height: Height,
    round: Option<u32>,
    skip: bool,
    signatures: Vec<WireRoundSignature>,
}

#[derive(Serialize, Deserialize)]
enum WireLiveness {
    Vote(WireVote),
    Polka(WirePolka),
    Round(WireRound),
}

impl Codec<LivenessMsg<Context>> for Wire {
    type Error = WireError;

    fn encode(&self, message: &LivenessMsg<Context>) -> Result<Bytes, WireError> {
        encode(&match message {
            LivenessMsg::Vote(vote) => WireLiveness::Vote(vote.into()),
            LivenessMsg::PolkaCertificate(certificate) => WireLiveness::Polka(certificate.into()),
            LivenessMsg::SkipRoundCertificate(certificate) => WireLiveness::Round(WireRound {
                height: certificate.height,
                round: certificate.round.as_u32(),
                skip: certificate.cert_type == RoundCertificateType::Skip,
                signatures: certificate
                    .round_signatures
                    .iter()
                    .map(|signed| WireRoundSignature {
                        precommit: signed.vote_type == VoteType::Precommit,
                        value: or_nil(&signed.value_id),
                        address: signed.address,
                        signature: signed.signature,
                    })
                    .collect(),
            }),
        })
    }

    fn decode(&self, bytes: Bytes) -> Result<LivenessMsg<Context>, WireError> {
        Ok(match decode(&bytes, MAX_CERTIFICATE_BYTES)? {
            WireLiveness::Vote(vote) => LivenessMsg::Vote(vote.into()),
            WireLiveness::Polka(polka) => LivenessMsg::PolkaCertificate(polka.into()),
            WireLiveness::Round(wire) => LivenessMsg::SkipRoundCertificate(RoundCertificate {
                height: wire.height,
                round: round(wire.round),
                cert_type: if wire.skip { RoundCertificateType::Skip } else { RoundCertificateType::Precommit },
                round_signatures: wire
                    .signatures
                    .into_iter()
                    .map(|signed| RoundSignature::new(vote_type(signed.precommit), nil_or(signed.value), signed.address, signed.signature))
                    .collect(),
            }),
        })
    }
}

#[derive(Serialize, Deserialize)]
struct WireProposed {
    height: Height,
    round: Option<u32>,
    valid_round: Option<u32>,
    proposer: Address,
    value: BlockHash,
    valid: bool,
}

impl Codec<ProposedValue<Context>> for Wire {
    type Error = WireError;

    fn encode(&self, proposed: &ProposedValue<Context>) -> Result<Bytes, WireError> {
        encode(&WireProposed {
            height: proposed.height,
            round: proposed.round.as_u32(),
            valid_round: proposed.valid_round.as_u32(),
            proposer: proposed.proposer,
            value: proposed.value,
            valid: proposed.validity.is_valid(),
        })
    }

    fn decode(&self, bytes: Bytes) -> Result<ProposedValue<Context>, WireError> {
        let wire: WireProposed = decode(&bytes, MAX_MESSAGE_BYTES)?;
        Ok(ProposedValue {
            height: wire.height,
            round: round(wire.round),
            valid_round: round(wire.valid_round),
            proposer: wire.proposer,
            value: wire.value,
            validity: Validity::from_bool(wire.valid),
        })
    }
}
