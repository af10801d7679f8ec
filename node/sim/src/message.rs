//! What nodes say to each other, as the bytes of the real codec: a message that the codec cannot carry does not arrive here either.
//!
//! Votes, proposals and blocks travel as on the network. Status and answers of synchronisation use the same encodings; how requests are written and numbered
//! is the simulator's, because here nobody is a stranger. Called by `node` and `world`.

use arc_malachitebft_app_channel::app::{
    consensus::{Input, LivenessMsg, SignedConsensusMsg},
    streaming::StreamMessage,
    types::{
        codec::Codec,
        sync::{Request, Response, Status},
    },
};
use arc_malachitebft_sync::ValueRequest;
use bytes::Bytes;
use consensus::{
    codec::{Wire, WireError},
    context::{Context, Height, Part},
};

/// A message between nodes.
#[derive(Clone, Debug)]
pub(crate) enum Message {
    Consensus(SignedConsensusMsg<Context>),
    Liveness(LivenessMsg<Context>),
    Part(StreamMessage<Part>),
    Status(Status<Context>),
    Request(u64, Request<Context>),
    Response(u64, Response<Context>),
    /// An answer that the codec refuses, as a liar's: the engine asks somebody else.
    Refused(u64),
}

/// A message on its way.
#[derive(Clone, Debug)]
pub(crate) struct Letter {
    kind: u8,
    number: u64,
    pub(crate) bytes: Bytes,
}

impl Message {
    pub(crate) fn seal(&self) -> Result<Letter, WireError> {
        let (kind, number, bytes) = match self {
            Self::Consensus(message) => (0, 0, Wire.encode(message)?),
            Self::Liveness(message) => (1, 0, Wire.encode(message)?),
            Self::Part(message) => (2, 0, Wire.encode(message)?),
            Self::Status(status) => (3, 0, Wire.encode(status)?),
            Self::Request(number, Request::ValueRequest(request)) => {
                (4, *number, [request.range.start().0.to_be_bytes(), request.range.end().0.to_be_bytes()].concat().into())
            }
            Self::Response(number, response) => (5, *number, Wire.encode(response)?),
            Self::Refused(_) => return Err(WireError::Content("nobody sends what is refused")),
        };
        Ok(Letter { kind, number, bytes })
    }
}

impl Letter {
    pub(crate) const fn kind(&self) -> u8 {
        self.kind
    }

    pub(crate) fn open(self) -> Result<Message, WireError> {
        let Self { kind, number, bytes } = self;
        Ok(match kind {
            0 => Message::Consensus(Wire.decode(bytes)?),
            1 => Message::Liveness(Wire.decode(bytes)?),
            2 => Message::Part(Wire.decode(bytes)?),
            3 => Message::Status(Wire.decode(bytes)?),
            4 => {
                let (from, to) = bytes.split_first_chunk().ok_or(WireError::Content("a request without heights"))?;
                let to = to.try_into().map_err(|_| WireError::Content("a request without its last height"))?;
                let heights = Height(u64::from_be_bytes(*from))..=Height(u64::from_be_bytes(to));
                Message::Request(number, Request::ValueRequest(ValueRequest::new(heights)))
            }
            _ => match Wire.decode(bytes) {
                Ok(response) => Message::Response(number, response),
                Err(WireError::Content(_)) => Message::Refused(number),
                Err(error) => return Err(error),
            },
        })
    }
}

/// What the engine is told of a consensus message.
pub(crate) fn consensus_input(message: SignedConsensusMsg<Context>) -> Input<Context> {
    match message {
        SignedConsensusMsg::Vote(vote) => Input::Vote(vote),
        SignedConsensusMsg::Proposal(proposal) => Input::Proposal(proposal),
    }
}

/// What the engine is told of a message for progress.
pub(crate) fn liveness_input(message: LivenessMsg<Context>) -> Input<Context> {
    match message {
        LivenessMsg::Vote(vote) => Input::Vote(vote),
        LivenessMsg::PolkaCertificate(certificate) => Input::PolkaCertificate(certificate),
        LivenessMsg::SkipRoundCertificate(certificate) => Input::RoundCertificate(certificate),
    }
}
