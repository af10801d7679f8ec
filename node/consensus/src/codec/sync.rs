//! Committed blocks for a peer that is behind: who has how many, what is given (`listed` has what is asked for); and certificates between the engine's form and the chain's.

use arc_malachitebft_app_channel::app::types::{
    PeerId,
    codec::{Codec, HasEncodedLen},
    core::{self as engine, Round, VoteExtensions},
    sync::{RawDecidedValue, Response, Status},
};
use arc_malachitebft_sync::ValueResponse;
use bytes::Bytes;
use chain::{
    block::Block,
    certificate::{CommitCertificate, CommitSignature},
    hash::Hash32,
};
use serde::{Deserialize, Serialize};

use super::{
    super::context::{Address, BlockHash, Context, Height},
    Blob, MAX_MESSAGE_BYTES, MAX_RESPONSE_BYTES, Wire, WireError, decode, encode,
};

#[derive(Serialize, Deserialize)]
struct WireStatus {
    peer_id: Blob,
    tip: Height,
    oldest: Height,
}

impl Codec<Status<Context>> for Wire {
    type Error = WireError;

    fn encode(&self, status: &Status<Context>) -> Result<Bytes, WireError> {
        encode(&WireStatus { peer_id: Blob(status.peer_id.to_bytes().into()), tip: status.tip_height, oldest: status.history_min_height })
    }

    fn decode(&self, bytes: Bytes) -> Result<Status<Context>, WireError> {
        let wire: WireStatus = decode(&bytes, MAX_MESSAGE_BYTES)?;
        let peer_id = PeerId::from_bytes(&wire.peer_id.0).map_err(|_| WireError::Content("not a peer's id"))?;
        Ok(Status { peer_id, tip_height: wire.tip, history_min_height: wire.oldest })
    }
}

#[derive(Serialize, Deserialize)]
struct WireDecided {
    block: Blob,
    certificate: CommitCertificate,
}

impl Codec<Response<Context>> for Wire {
    type Error = WireError;

    fn encode(&self, response: &Response<Context>) -> Result<Bytes, WireError> {
        let Response::ValueResponse(response) = response;
        let blocks = response
            .values
            .iter()
            .map(|value| {
                let certificate = certificate_to_chain(&value.certificate.trim_vote_extensions())?;
                Ok(WireDecided { block: Blob(value.value_bytes.clone()), certificate })
            })
            .collect::<Result<Vec<_>, WireError>>()?;
        encode(&(response.start_height, blocks))
    }

    fn decode(&self, bytes: Bytes) -> Result<Response<Context>, WireError> {
        let (start, blocks): (Height, Vec<WireDecided>) = decode(&bytes, MAX_RESPONSE_BYTES)?;
        // Checked here, where the engine still knows whom to blame: whatever comes through is the block that its certificate names.
        let is_named =
            |decided: &WireDecided| Block::decode(&decided.block.0).is_ok_and(|block| block.header.hash() == decided.certificate.block);
        if !blocks.iter().all(is_named) {
            return Err(WireError::Content("a block that its certificate does not name"));
        }
        let values = blocks.into_iter().map(|decided| raw_decided(decided.block.0, &decided.certificate)).collect();
        Ok(Response::ValueResponse(ValueResponse::new(start, values)))
    }
}

impl HasEncodedLen<Response<Context>> for Wire {
    fn encoded_len(&self, response: &Response<Context>) -> Result<usize, WireError> {
        Ok(self.encode(response)?.len())
    }
}

/// A committed block as the engine hands it to a peer.
pub fn raw_decided(block: Bytes, certificate: &CommitCertificate) -> RawDecidedValue<Context> {
    let certificate = engine::CommitCertificate {
        height: certificate.height.into(),
        round: Round::new(certificate.round),
        value_id: BlockHash(certificate.block),
        commit_signatures: certificate
            .signatures
            .iter()
            .map(|commit| engine::CommitSignature::new(Address(commit.validator), commit.signature))
            .collect(),
    };
    let extended = engine::ExtendedCommitCertificate::from_commit_certificate_and_extensions(certificate, VoteExtensions::default());
    RawDecidedValue::new(block, extended)
}

/// The chain's own certificate: the signatures in ascending order of validator, each once.
///
/// # Errors
/// A certificate without a round, which the engine never makes.
pub fn certificate_to_chain(certificate: &engine::CommitCertificate<Context>) -> Result<CommitCertificate, WireError> {
    let mut signatures: Vec<_> = certificate
        .commit_signatures
        .iter()
        .map(|commit| CommitSignature { validator: commit.address.0, signature: commit.signature })
        .collect();
    signatures.sort_by_key(|commit| commit.validator);
    signatures.dedup_by_key(|commit| commit.validator);
    let round = certificate.round.as_u32().ok_or(WireError::Content("a certificate without a round"))?;
    let block: Hash32 = certificate.value_id.0;
    Ok(CommitCertificate { height: certificate.height.into(), round, block, signatures })
}
