//! What nodes send each other and write into their logs of consensus.

use std::{
    collections::BTreeSet,
    sync::{Arc, OnceLock},
};

use ::chain::{
    certificate::{Validator, ValidatorSet},
    crypto::address_of,
    hash::Hash32,
    id::{ChainId, Height},
};
use ::consensus::{
    codec::{Door, ListedWire, Wire, WireError},
    context::{Context, Part},
    signing::Signatures,
};
use arc_malachitebft_app_channel::app::{
    consensus::{LivenessMsg, ProposedValue, SignedConsensusMsg},
    streaming::StreamMessage,
    types::{
        codec::Codec,
        core::{PolkaCertificate, ValidatorProof},
        sync::{Request, Response, Status},
    },
};
use bytes::Bytes;
use ed25519_dalek::SigningKey;

use super::{Read, Verdict, never, refused, same};

/// A message: what is read is written as it was.
fn reread<T>(bytes: &[u8]) -> Verdict
where
    Wire: Codec<T, Error = WireError>,
{
    reread_by::<T, _>(&Wire, bytes)
}

fn reread_by<T, W: Codec<T, Error = WireError>>(wire: &W, bytes: &[u8]) -> Verdict {
    match wire.decode(Bytes::copy_from_slice(bytes)) {
        Ok(message) => {
            same("written again", &wire.encode(&message).map_err(never("what was read is not written"))?[..], bytes)?;
            Ok(Read::Accepted)
        }
        Err(error) => failed(&error),
    }
}

fn failed(error: &WireError) -> Verdict {
    match error {
        WireError::Codec(_) => refused("codec", error),
        WireError::Content(_) => refused("content", error),
    }
}

pub(super) fn consensus(bytes: &[u8]) -> Verdict {
    reread::<SignedConsensusMsg<Context>>(bytes)
}

pub(super) fn liveness(bytes: &[u8]) -> Verdict {
    reread::<LivenessMsg<Context>>(bytes)
}

pub(super) fn polka(bytes: &[u8]) -> Verdict {
    reread::<PolkaCertificate<Context>>(bytes)
}

pub(super) fn proposed(bytes: &[u8]) -> Verdict {
    reread::<ProposedValue<Context>>(bytes)
}

pub(super) fn part(bytes: &[u8]) -> Verdict {
    reread::<Part>(bytes)
}

pub(super) fn stream(bytes: &[u8]) -> Verdict {
    reread::<StreamMessage<Part>>(bytes)
}

pub(super) fn validator_proof(bytes: &[u8]) -> Verdict {
    reread::<ValidatorProof<Context>>(bytes)
}

pub(super) fn status(bytes: &[u8]) -> Verdict {
    reread::<Status<Context>>(bytes)
}

/// The chain and the keys of the corpus' requests.
pub(crate) const CHAIN: ChainId = ChainId(Hash32([7; 32]));

/// A node's key of this number.
pub(crate) fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

/// The codec of node 1, which knows node 2.
///
/// # Errors
/// Never for these keys.
pub(crate) fn listed(own: u8, other: u8) -> Result<ListedWire, String> {
    let name = ::consensus::peer_id(&key(other)).map_err(never("a key without a name"))?;
    let member = Validator { address: address_of(&key(own)), power: 1 };
    let members = ValidatorSet::new(vec![member]).map_err(never("no set of validators"))?;
    let door = Door::new(Signatures::new(CHAIN), Height(5), (&members).into());
    Ok(ListedWire::new(CHAIN, key(own), BTreeSet::from([name]), Arc::new(door)))
}

/// A request is written by its asker and read by somebody else, so only whether it is read is looked at: a changed one never is.
pub(super) fn request(bytes: &[u8]) -> Verdict {
    static READER: OnceLock<Result<ListedWire, String>> = OnceLock::new();
    let reader = READER.get_or_init(|| listed(1, 2)).as_ref().map_err(Clone::clone)?;
    match Codec::<Request<Context>>::decode(reader, Bytes::copy_from_slice(bytes)) {
        Ok(request) => {
            let asker = listed(2, 1)?;
            same("written again", &asker.encode(&request).map_err(never("not written"))?[..], bytes)?;
            Ok(Read::Accepted)
        }
        Err(error) => failed(&error),
    }
}

/// The engine keeps signatures in any order, the chain in ascending: written again it may be another text, which is read as the same and stays.
pub(super) fn response(bytes: &[u8]) -> Verdict {
    let read = |bytes: &[u8]| Codec::<Response<Context>>::decode(&Wire, Bytes::copy_from_slice(bytes));
    match read(bytes) {
        Ok(response) => {
            let written = Wire.encode(&response).map_err(never("not written"))?;
            let again = read(&written).map_err(never("what was written is not read"))?;
            same("written twice", &Wire.encode(&again).map_err(never("not written"))?[..], &written[..])?;
            Ok(Read::Accepted)
        }
        Err(error) => failed(&error),
    }
}
