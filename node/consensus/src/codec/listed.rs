//! The codec of the network: as the log's, and it lets in less.
//!
//! The engine ends the connection of a node that is not configured only after that node has introduced itself, and does not say whose request it passes on;
//! between the two, or if it never does, a stranger could fetch blocks, claim to have some, and fill the engine's stores with votes. So a request for blocks
//! names its sender and is signed with the key of its connections, and is read only from nodes of the configuration; a status only from them too; and votes and
//! proposals where `door` admits them. Nobody can hear and repeat a request, because connections are encrypted. Called by the engine.

use std::{collections::BTreeSet, fmt, sync::Arc};

use arc_malachitebft_app_channel::app::{
    consensus::{LivenessMsg, SignedConsensusMsg},
    streaming::StreamMessage,
    types::{
        codec::{Codec, HasEncodedLen},
        core::ValidatorProof,
        sync::{Request, Response, Status},
    },
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
    super::context::{Context, Height, Part},
    MAX_MESSAGE_BYTES, Wire, WireError, decode,
    door::Door,
    encode,
};

/// [`Wire`], but for requests for blocks and for what is not let in.
#[derive(Clone)]
pub struct ListedWire {
    chain_id: ChainId,
    key: SigningKey,
    listed: Arc<BTreeSet<String>>,
    door: Arc<Door>,
}

impl ListedWire {
    /// `key` is that of this node's connections; `listed` are the network names of the nodes that may ask.
    #[must_use]
    pub fn new(chain_id: ChainId, key: SigningKey, listed: BTreeSet<String>, door: Arc<Door>) -> Self {
        Self { chain_id, key, listed: Arc::new(listed), door }
    }

    fn admit(&self, message: &SignedConsensusMsg<Context>) -> Result<(), WireError> {
        if self.door.admits(message) {
            Ok(())
        } else {
            Err(WireError::Content("a vote that is no validator's, or one too many of heights to come"))
        }
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

impl Codec<Status<Context>> for ListedWire {
    type Error = WireError;

    fn encode(&self, status: &Status<Context>) -> Result<Bytes, WireError> {
        Wire.encode(status)
    }

    fn decode(&self, bytes: Bytes) -> Result<Status<Context>, WireError> {
        // The engine has its sender's name from the connection and compares it.
        let status: Status<Context> = Wire.decode(bytes)?;
        if !self.listed.contains(&status.peer_id.to_string()) {
            return Err(WireError::Content("a status of a node that is not configured here"));
        }
        Ok(Status { tip_height: self.door.believed(status.tip_height), ..status })
    }
}

impl Codec<SignedConsensusMsg<Context>> for ListedWire {
    type Error = WireError;

    fn encode(&self, message: &SignedConsensusMsg<Context>) -> Result<Bytes, WireError> {
        Wire.encode(message)
    }

    fn decode(&self, bytes: Bytes) -> Result<SignedConsensusMsg<Context>, WireError> {
        let message = Wire.decode(bytes)?;
        self.admit(&message)?;
        Ok(message)
    }
}

impl Codec<LivenessMsg<Context>> for ListedWire {
    type Error = WireError;

    fn encode(&self, message: &LivenessMsg<Context>) -> Result<Bytes, WireError> {
        Wire.encode(message)
    }

    fn decode(&self, bytes: Bytes) -> Result<LivenessMsg<Context>, WireError> {
        let message = Wire.decode(bytes)?;
        // The engine verifies the certificates itself, and stores none.
        if let LivenessMsg::Vote(vote) = &message {
            self.admit(&SignedConsensusMsg::Vote(vote.clone()))?;
        }
        Ok(message)
    }
}

/// As [`Wire`].
macro_rules! as_wire {
    ($($message:ty),+) => {$(
        impl Codec<$message> for ListedWire {
            type Error = WireError;

            fn encode(&self, message: &$message) -> Result<Bytes, WireError> {
                Wire.encode(message)
            }

            fn decode(&self, bytes: Bytes) -> Result<$message, WireError> {
                Wire.decode(bytes)
            }
        }
    )+};
}

as_wire!(Part, StreamMessage<Part>, ValidatorProof<Context>, Response<Context>);

impl HasEncodedLen<Response<Context>> for ListedWire {
    fn encoded_len(&self, response: &Response<Context>) -> Result<usize, WireError> {
        Wire.encoded_len(response)
    }
}

#[cfg(test)]
mod tests {
    use arc_malachitebft_app_channel::{
        Signer as _,
        app::types::core::{NilOrVal, Round, VoteType},
    };
    use chain::{
        certificate::{self, Validator},
        hash::Hash32,
        id,
    };

    use super::{super::door::EARLY_MESSAGES, *};
    use crate::{
        context::{Address, Vote},
        signing::{Keys, Signatures},
    };

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_bytes(&[seed; 32])
    }

    fn wire(own: u8, chain: u8, listed: &[u8]) -> ListedWire {
        let listed = listed.iter().map(|seed| crate::peer_id(&key(*seed)).unwrap()).collect();
        let chain_id = ChainId(Hash32([chain; 32]));
        let members = [2, 3].map(|seed| Validator { address: crypto::address_of(&key(seed)), power: 1 });
        let members = certificate::ValidatorSet::new(members.to_vec()).unwrap();
        let door = Door::new(Signatures::new(chain_id), id::Height(5), (&members).into());
        ListedWire::new(chain_id, key(own), listed, Arc::new(door))
    }

    fn vote(height: u64, round: u32, voter: u8) -> Vote {
        let (kind, value) = (VoteType::Prevote, NilOrVal::Nil);
        Vote {
            kind,
            height: Height(height),
            round: Round::new(round),
            value,
            voter: Address(crypto::address_of(&key(voter))),
            extension: None,
        }
    }

    async fn signed(vote: Vote, chain: u8, by: u8) -> SignedConsensusMsg<Context> {
        let keys = Keys::new(ChainId(Hash32([chain; 32])), key(by));
        SignedConsensusMsg::Vote(keys.sign_vote(vote).await.unwrap())
    }

    /// Five hundred unsigned votes for the next height filled the engine's store for it, and the first proposal of that height was refused.
    #[tokio::test]
    async fn votes_are_let_in_that_a_validator_signed_and_few_of_heights_to_come() {
        let wire = wire(1, 7, &[2]);
        let read =
            |message: &SignedConsensusMsg<Context>| Codec::<SignedConsensusMsg<Context>>::decode(&wire, Wire.encode(message).unwrap());
        assert!(read(&signed(vote(6, 0, 2), 7, 2).await).is_ok());
        assert!(read(&signed(vote(6, 0, 4), 7, 4).await).is_err(), "no validator");
        assert!(read(&signed(vote(6, 0, 2), 7, 4).await).is_err(), "another's key");
        assert!(read(&signed(vote(6, 0, 2), 8, 2).await).is_err(), "another chain's");
        let SignedConsensusMsg::Vote(late) = signed(vote(7, 0, 4), 7, 4).await else { unreachable!("a vote") };
        let live = |message: LivenessMsg<Context>| Codec::<LivenessMsg<Context>>::decode(&wire, Wire.encode(&message).unwrap());
        assert!(live(LivenessMsg::Vote(late)).is_err(), "nor as a repetition");

        let mut taken = 0;
        for round in 1..500 {
            taken += u32::from(read(&signed(vote(6 + u64::from(round % 5), round, 2), 7, 2).await).is_ok());
        }
        assert_eq!(taken + 1, EARLY_MESSAGES);
        assert!(read(&signed(vote(6, 0, 3), 7, 3).await).is_ok(), "the other has his own share");
        assert!(read(&signed(vote(5, 900, 2), 7, 2).await).is_ok(), "a height that the engine does not store");
        wire.door.begin(id::Height(6));
        for round in 0..500 {
            assert!(read(&signed(vote(6, round, 2), 7, 2).await).is_ok(), "the height under way may take as long as it likes");
        }
        assert!(read(&signed(vote(7, 0, 2), 7, 2).await).is_ok());
    }

    /// One who said that he had everything was asked first, for ever, and gave a block every ten seconds.
    #[test]
    fn nobody_is_further_than_somebody_has_proved() {
        let wire = wire(1, 7, &[2]);
        let told = |from: u8, tip: u64| {
            let peer_id = crate::peer_id(&key(from)).unwrap().parse().unwrap();
            let status = Status { peer_id, tip_height: Height(tip), history_min_height: Height(1) };
            Codec::<Status<Context>>::decode(&wire, Wire.encode(&status).unwrap()).map(|status| status.tip_height.0)
        };
        assert!(told(3, 4).is_err(), "not configured");
        assert_eq!((told(2, 4).unwrap(), told(2, u64::MAX).unwrap()), (4, 5));
        wire.door.prove(id::Height(70));
        assert_eq!((told(2, 69).unwrap(), told(2, u64::MAX).unwrap()), (69, 70));
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
