//! The codec of the network: as the log's, but that a request for blocks names its sender and is signed with the key of its connections, and is read only from nodes of the configuration.
//!
//! The engine ends the connection of a node that is not configured only after that node has introduced itself, and does not say whose request it passes on;
//! between the two a stranger could fetch blocks. Nobody can hear and repeat a request, because connections are encrypted. Called by the engine.

use std::{collections::BTreeSet, fmt, sync::Arc};

use arc_malachitebft_app_channel::app::types::{
    codec::{Codec, HasEncodedLen},
    sync::{Request, Response},
};
use arc_malachitebft_sync::ValueRequest;
use bytes::Bytes;
use chain::{
    crypto::{self, Domain, Signature},
    id::{Address, ChainId},
};
use ed25519_dalek::SigningKey;
use serde::{Deserialize, Serialize};

use super::{
    super::context::{Context, Height},
    MAX_MESSAGE_BYTES, Wire, WireError, decode, encode,
};

/// [`Wire`], but for requests for blocks.
#[derive(Clone)]
pub struct ListedWire {
    chain_id: ChainId,
    key: SigningKey,
    listed: Arc<BTreeSet<String>>,
}

impl ListedWire {
    /// `key` is that of this node's connections; `listed` are the network names of the nodes that may ask.
    #[must_use]
    pub fn new(chain_id: ChainId, key: SigningKey, listed: BTreeSet<String>) -> Self {
        Self { chain_id, key, listed: Arc::new(listed) }
    }

    fn signed_bytes(&self, from: Height, to: Height) -> Result<Bytes, WireError> {
        encode(&(self.chain_id, from, to))
    }
}

impl fmt::Debug for ListedWire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ListedWire").field("listed", &self.listed).finish_non_exhaustive()
    }
}

#[derive(Serialize, Deserialize)]
struct WireRequest {
    from: Height,
    to: Height,
    sender: Address,
    signature: Signature,
}

impl Codec<Request<Context>> for ListedWire {
    type Error = WireError;

    fn encode(&self, request: &Request<Context>) -> Result<Bytes, WireError> {
        let Request::ValueRequest(request) = request;
        let (from, to) = (*request.range.start(), *request.range.end());
        let signature = crypto::sign(&self.key, Domain::SyncRequest, &self.signed_bytes(from, to)?);
        encode(&WireRequest { from, to, sender: crypto::address_of(&self.key), signature })
    }

    fn decode(&self, bytes: Bytes) -> Result<Request<Context>, WireError> {
        let WireRequest { from, to, sender, signature } = decode(&bytes, MAX_MESSAGE_BYTES)?;
        let name = crate::peer_id_of(&sender.0).map_err(|_| WireError::Content("a request by no key"))?;
        if !self.listed.contains(&name) {
            return Err(WireError::Content("a request by a node that is not configured here"));
        }
        crypto::verify(&sender, Domain::SyncRequest, &self.signed_bytes(from, to)?, &signature)
            .map_err(|_| WireError::Content("a request whose signature does not hold"))?;
        Ok(Request::ValueRequest(ValueRequest::new(from..=to)))
    }
}

impl<T> Codec<T> for ListedWire
where
    Wire: Codec<T, Error = WireError>,
{
    type Error = WireError;

    fn encode(&self, message: &T) -> Result<Bytes, WireError> {
        Wire.encode(message)
    }

    fn decode(&self, bytes: Bytes) -> Result<T, WireError> {
        Wire.decode(bytes)
    }
}

impl HasEncodedLen<Response<Context>> for ListedWire {
    fn encoded_len(&self, response: &Response<Context>) -> Result<usize, WireError> {
        Wire.encoded_len(response)
    }
}

#[cfg(test)]
mod tests {
    use chain::hash::Hash32;

    use super::*;

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_bytes(&[seed; 32])
    }

    fn wire(own: u8, chain: u8, listed: &[u8]) -> ListedWire {
        let listed = listed.iter().map(|seed| crate::peer_id(&key(*seed)).unwrap()).collect();
        ListedWire::new(ChainId(Hash32([chain; 32])), key(own), listed)
    }

    #[test]
    fn blocks_are_given_to_listed_nodes_of_this_chain_alone() {
        let request = Request::ValueRequest(ValueRequest::new(Height(3)..=Height(9)));
        let asked = wire(1, 7, &[2]);
        let bytes = |asking: &ListedWire| asking.encode(&request).unwrap();
        let read = |bytes: Bytes| Codec::<Request<Context>>::decode(&asked, bytes).map_err(|error| error.to_string());
        let good = bytes(&wire(2, 7, &[1]));
        let Request::ValueRequest(given) = read(good.clone()).unwrap();
        assert_eq!(given.range, Height(3)..=Height(9));
        assert!(read(bytes(&wire(3, 7, &[1]))).unwrap_err().contains("not configured"));
        assert!(read(bytes(&wire(2, 8, &[1]))).unwrap_err().contains("signature"));
        for at in 0..good.len() {
            let mut bad = good.to_vec();
            bad[at] ^= 1;
            assert!(read(bad.into()).is_err(), "byte {at} changed");
        }
    }
}
