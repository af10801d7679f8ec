//! Proposed blocks, transactions and tips on their way, and what a validator shows of itself when it connects.

use arc_malachitebft_app_channel::app::{
    streaming::{StreamContent, StreamId, StreamMessage},
    types::{codec::Codec, core::ValidatorProof},
};
use bytes::Bytes;
use chain::{
    certificate::{CommitCertificate, MAX_VALIDATORS},
    crypto::Signature,
};
use serde::{Deserialize, Serialize};

use super::{
    super::context::{Address, BlockPart, Context, Height, Part},
    Blob, MAX_GOSSIP_BYTES, MAX_GOSSIP_TRANSACTIONS, MAX_MESSAGE_BYTES, MAX_PART_BYTES, Wire, WireError, decode, encode,
};

/// The most that a stream's name may measure.
const MAX_STREAM_ID_BYTES: usize = 64;

#[derive(Serialize, Deserialize)]
struct WireBlockPart {
    height: Height,
    round: u32,
    proposer: Address,
    bytes: Blob,
    signature: Signature,
}

/// Positions are wire tags: further kinds of part append.
#[derive(Serialize, Deserialize)]
enum WirePart {
    Block(WireBlockPart),
    Transactions(Vec<Blob>),
    Tip(CommitCertificate),
}

impl From<&Part> for WirePart {
    fn from(part: &Part) -> Self {
        match part {
            Part::Block(part) => Self::Block(WireBlockPart {
                height: part.height,
                round: part.round,
                proposer: part.proposer,
                bytes: Blob(part.bytes.clone()),
                signature: part.signature,
            }),
            Part::Transactions(transactions) => Self::Transactions(transactions.iter().cloned().map(Blob).collect()),
            Part::Tip(certificate) => Self::Tip(certificate.clone()),
        }
    }
}

impl TryFrom<WirePart> for Part {
    type Error = WireError;

    fn try_from(wire: WirePart) -> Result<Self, WireError> {
        Ok(match wire {
            WirePart::Block(wire) => Self::Block(BlockPart {
                height: wire.height,
                round: wire.round,
                proposer: wire.proposer,
                bytes: wire.bytes.0,
                signature: wire.signature,
            }),
            WirePart::Transactions(transactions) => {
                let bytes = transactions.iter().fold(0_usize, |sum, transaction| sum.saturating_add(transaction.0.len()));
                if transactions.len() > MAX_GOSSIP_TRANSACTIONS || bytes > MAX_GOSSIP_BYTES {
                    return Err(WireError::Content("too many transactions in one message"));
                }
                Self::Transactions(transactions.into_iter().map(|transaction| transaction.0).collect())
            }
            WirePart::Tip(certificate) if certificate.signatures.len() > MAX_VALIDATORS => {
                return Err(WireError::Content("a certificate with more signatures than there are validators"));
            }
            WirePart::Tip(certificate) => Self::Tip(certificate),
        })
    }
}

impl Codec<Part> for Wire {
    type Error = WireError;

    fn encode(&self, part: &Part) -> Result<Bytes, WireError> {
        encode(&WirePart::from(part))
    }

    fn decode(&self, bytes: Bytes) -> Result<Part, WireError> {
        decode::<WirePart>(&bytes, MAX_PART_BYTES)?.try_into()
    }
}

#[derive(Serialize, Deserialize)]
struct WireStream {
    id: Blob,
    sequence: u64,
    part: Option<WirePart>,
}

impl Codec<StreamMessage<Part>> for Wire {
    type Error = WireError;

    fn encode(&self, message: &StreamMessage<Part>) -> Result<Bytes, WireError> {
        let part = match &message.content {
            StreamContent::Data(part) => Some(part.into()),
            StreamContent::Fin => None,
        };
        encode(&WireStream { id: Blob(message.stream_id.to_bytes()), sequence: message.sequence, part })
    }

    fn decode(&self, bytes: Bytes) -> Result<StreamMessage<Part>, WireError> {
        let wire: WireStream = decode(&bytes, MAX_PART_BYTES)?;
        if wire.id.0.len() > MAX_STREAM_ID_BYTES {
            return Err(WireError::Content("a stream's name is too long"));
        }
        let content = match wire.part {
            Some(part) => StreamContent::Data(part.try_into()?),
            None => StreamContent::Fin,
        };
        Ok(StreamMessage::new(StreamId::new(wire.id.0), wire.sequence, content))
    }
}

#[derive(Serialize, Deserialize)]
struct WireProof {
    public_key: [u8; 32],
    peer_id: Blob,
    signature: Signature,
}

impl Codec<ValidatorProof<Context>> for Wire {
    type Error = WireError;

    fn encode(&self, proof: &ValidatorProof<Context>) -> Result<Bytes, WireError> {
        let public_key = proof.public_key.as_slice().try_into().map_err(|_| WireError::Content("a public key has 32 bytes"))?;
        encode(&WireProof { public_key, peer_id: Blob(proof.peer_id.clone().into()), signature: proof.signature })
    }

    fn decode(&self, bytes: Bytes) -> Result<ValidatorProof<Context>, WireError> {
        let wire: WireProof = decode(&bytes, MAX_MESSAGE_BYTES)?;
        Ok(ValidatorProof::new(wire.public_key.to_vec(), wire.peer_id.0.to_vec(), wire.signature))
    }
}
