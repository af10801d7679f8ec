//! The types that the consensus engine asks for, as thin wrappers around those of `chain`.
//!
//! The engine is generic over heights, addresses, votes and so on; this file says which of ours they are and how the proposer of a round is chosen.
//! It does not sign, verify, encode or talk to the application: see `signing`, `codec` and `driver`. Called by every other file of this folder and by the engine.

use std::{fmt, sync::Arc};

use arc_malachitebft_app_channel::app::types::core::{self as engine, NilOrVal, Round, SignedExtension, VoteType, VotingPower};
use bytes::Bytes;
use chain::{
    certificate::{self, CommitCertificate},
    crypto::Signature,
    hash::Hash32,
    id,
};
use ed25519_dalek::SigningKey;
use serde::{Deserialize, Serialize};

/// The set of types with which the engine runs.
#[derive(Clone, Copy, Debug)]
pub struct Context;

/// A block height. The engine starts the chain at 1; 0 is the genesis, which nobody votes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Height(pub u64);

impl From<id::Height> for Height {
    fn from(height: id::Height) -> Self {
        Self(height.0)
    }
}

impl From<Height> for id::Height {
    fn from(height: Height) -> Self {
        Self(height.0)
    }
}

impl fmt::Display for Height {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl engine::Height for Height {
    const ZERO: Self = Self(0);
    const INITIAL: Self = Self(1);

    /// Stops at the last height that exists: 2^64 blocks are out of reach, and a panic in the engine would be worse.
    fn increment_by(&self, n: u64) -> Self {
        Self(self.0.saturating_add(n))
    }

    fn decrement_by(&self, n: u64) -> Option<Self> {
        self.0.checked_sub(n).map(Self)
    }

    fn as_u64(&self) -> u64 {
        self.0
    }
}

/// A validator's address: its ed25519 public key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Address(pub id::Address);

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl engine::Address for Address {}

/// What is voted on: the hash of a block's header. The block itself travels as a proposal part.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct BlockHash(pub Hash32);

impl fmt::Display for BlockHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for BlockHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl engine::Value for BlockHash {
    type Id = Self;

    fn id(&self) -> Self {
        *self
    }
}

/// Plain ed25519: a public key is an address. Signatures are made and verified in `signing`, strictly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ed25519;

/// Bytes of the wrong length for a signature or a key.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("expected {expected} bytes, found {found}")]
pub struct WrongLength {
    expected: usize,
    found: usize,
}

fn exactly<const N: usize>(bytes: &[u8]) -> Result<[u8; N], WrongLength> {
    bytes.try_into().map_err(|_| WrongLength { expected: N, found: bytes.len() })
}

impl engine::SigningScheme for Ed25519 {
    type DecodingError = WrongLength;
    type Signature = Signature;
    type PublicKey = Address;
    type PrivateKey = SigningKey;

    fn decode_signature(bytes: &[u8]) -> Result<Signature, WrongLength> {
        exactly(bytes).map(Signature)
    }

    fn encode_signature(signature: &Signature) -> Vec<u8> {
        signature.0.to_vec()
    }

    fn decode_public_key(bytes: &[u8]) -> Result<Address, WrongLength> {
        exactly(bytes).map(|bytes| Address(id::Address(bytes)))
    }

    fn encode_public_key(key: &Address) -> Vec<u8> {
        key.0.as_bytes().to_vec()
    }
}

/// One validator of a height.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Validator {
    address: Address,
    power: VotingPower,
}

impl engine::Validator<Context> for Validator {
    fn address(&self) -> &Address {
        &self.address
    }

    fn public_key(&self) -> &Address {
        &self.address
    }

    fn voting_power(&self) -> VotingPower {
        self.power
    }
}

/// The validators of a height in ascending order of address; cheap to clone, because the engine does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidatorSet(Arc<[Validator]>);

impl From<&certificate::ValidatorSet> for ValidatorSet {
    fn from(set: &certificate::ValidatorSet) -> Self {
        Self(set.members().iter().map(|member| Validator { address: Address(member.address), power: member.power }).collect())
    }
}

impl ValidatorSet {
    /// Whether this address is one of them.
    pub fn contains(&self, address: &Address) -> bool {
        self.0.iter().any(|validator| validator.address == *address)
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

impl engine::ValidatorSet<Context> for ValidatorSet {
    fn count(&self) -> usize {
        self.0.len()
    }

    fn total_voting_power(&self) -> VotingPower {
        self.0.iter().fold(0, |sum, validator| sum.saturating_add(validator.power))
    }

    fn get_by_address(&self, address: &Address) -> Option<&Validator> {
        self.0.iter().find(|validator| validator.address == *address)
    }

    fn get_by_index(&self, index: usize) -> Option<&Validator> {
        self.0.get(index)
    }
}

/// What travels beside votes and proposals, each whole in one part.
///
/// The engine carries parts at any time, also between heights, so that transactions and tips need no network of their own. Positions are wire tags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// A proposed block.
    Block(BlockPart),
    /// Transactions that were submitted to a node, in order. Each proves itself by its signature, so this needs none.
    Transactions(Vec<Bytes>),
    /// The sender's last committed block, for those who missed it. It proves itself.
    Tip(CommitCertificate),
}

/// A block on its way to those who shall vote on it, signed by the validator whose turn its round is.
///
/// The engine authenticates no parts. Without the proposer's signature any peer could make everybody execute blocks that nobody proposed, and fill the two places
/// that the engine keeps for the values of a round. Whoever proposes or precommits a block of an earlier round sends its part on as it is: the engine pairs a
/// block with the proposals of all rounds that name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockPart {
    pub height: Height,
    /// The round in which the block was first proposed.
    pub round: u32,
    /// Who proposed it there.
    pub proposer: Address,
    pub bytes: Bytes,
    /// The proposer's.
    pub signature: Signature,
}

impl engine::ProposalPart<Context> for Part {
    fn is_first(&self) -> bool {
        true
    }

    fn is_last(&self) -> bool {
        true
    }
}

/// A proposal: the block's hash, and the round in which it already had more than two thirds of the prevotes, if any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    pub height: Height,
    pub round: Round,
    pub value: BlockHash,
    pub pol_round: Round,
    pub proposer: Address,
}

impl engine::Proposal<Context> for Proposal {
    fn height(&self) -> Height {
        self.height
    }

    fn round(&self) -> Round {
        self.round
    }

    fn value(&self) -> &BlockHash {
        &self.value
    }

    fn take_value(self) -> BlockHash {
        self.value
    }

    fn pol_round(&self) -> Round {
        self.pol_round
    }

    fn validator_address(&self) -> &Address {
        &self.proposer
    }
}

/// A vote. Extensions are never used (their policy is off at every height), so they neither travel nor are signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vote {
    pub kind: VoteType,
    pub height: Height,
    pub round: Round,
    pub value: NilOrVal<BlockHash>,
    pub voter: Address,
    pub extension: Option<SignedExtension<Context>>,
}

impl engine::Vote<Context> for Vote {
    fn height(&self) -> Height {
        self.height
    }

    fn round(&self) -> Round {
        self.round
    }

    fn value(&self) -> &NilOrVal<BlockHash> {
        &self.value
    }

    fn take_value(self) -> NilOrVal<BlockHash> {
        self.value
    }

    fn vote_type(&self) -> VoteType {
        self.kind
    }

    fn validator_address(&self) -> &Address {
        &self.voter
    }

    fn extension(&self) -> Option<&SignedExtension<Context>> {
        self.extension.as_ref()
    }

    fn take_extension(&mut self) -> Option<SignedExtension<Context>> {
        self.extension.take()
    }

    fn extend(self, extension: SignedExtension<Context>) -> Self {
        Self { extension: Some(extension), ..self }
    }
}

impl engine::Context for Context {
    type Address = Address;
    type Height = Height;
    type ProposalPart = Part;
    type Proposal = Proposal;
    type Validator = Validator;
    type ValidatorSet = ValidatorSet;
    type Timeouts = engine::LinearTimeouts;
    type Value = BlockHash;
    type Vote = Vote;
    type Extension = ();
    type SigningScheme = Ed25519;

    /// Round robin over the set, one further per height and per round.
    ///
    /// # Panics
    /// On an empty set, which the engine refuses before it asks.
    fn select_proposer<'a>(&self, set: &'a ValidatorSet, height: Height, round: Round) -> &'a Validator {
        let turn = u128::from(height.0) + u128::from(round.as_u32().unwrap_or(0));
        let count = set.0.len().max(1) as u128;
        let index = usize::try_from(turn % count).unwrap_or(0);
        &set.0[index]
    }

    fn new_proposal(&self, height: Height, round: Round, value: BlockHash, pol_round: Round, proposer: Address) -> Proposal {
        Proposal { height, round, value, pol_round, proposer }
    }

    fn new_prevote(&self, height: Height, round: Round, value: NilOrVal<BlockHash>, voter: Address) -> Vote {
        Vote { kind: VoteType::Prevote, height, round, value, voter, extension: None }
    }

    fn new_precommit(&self, height: Height, round: Round, value: NilOrVal<BlockHash>, voter: Address) -> Vote {
        Vote { kind: VoteType::Precommit, height, round, value, voter, extension: None }
    }
}
