//! The header that a proof hangs on, and how it follows from what the verifier trusts.

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::{MAX_CHANGES, MAX_EARLIER, VerifyError};
use crate::{
    block::{HEADER_VERSION, Header},
    certificate::{CommitCertificate, ValidatorSet},
    hash::Hash32,
    history::HistoryPath,
    id::{ChainId, Height},
    quantity::parse_decimal,
};

/// A block that is known to be the chain's: what a wallet keeps of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    /// The block's height.
    pub height: Height,
    /// The hash of its header.
    pub hash: Hash32,
}

impl Checkpoint {
    /// Of a header.
    #[must_use]
    pub fn of(header: &Header) -> Self {
        Self { height: header.height, hash: header.hash() }
    }
}

/// `HEIGHT:HASH`.
impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.height, self.hash)
    }
}

impl FromStr for Checkpoint {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const FORM: &str = "expected HEIGHT:HASH, a number and 64 hexadecimal digits";
        let (height, hash) = text.split_once(':').ok_or(FORM)?;
        let height = parse_decimal(height).filter(|height| *height > 0).map(Height).ok_or(FORM)?;
        Ok(Self { height, hash: Hash32::from_hex(hash).ok_or(FORM)? })
    }
}

/// How a chain begins. Whoever calls makes both from one genesis document (`contracts::genesis`): its hash, and the validators that it names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Beginning {
    /// The document's hash.
    pub chain_id: ChainId,
    /// The validators of the first block.
    pub validators: ValidatorSet,
}

/// What the verifier knows already.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trust {
    /// The hash of the genesis document. A quorum of keys that has retired and leaked could deceive.
    Genesis(ChainId),
    /// A block of the chain: keys that retired before it cannot deceive any more.
    Checkpoint(Checkpoint),
}

/// A block that changed who decides the next ones.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct SetChange {
    /// The header; it names the hash of `next`.
    pub header: Header,
    /// By the validators up to this block.
    pub certificate: CommitCertificate,
    /// The validators from the next block on.
    pub next: ValidatorSet,
}

/// A header before the anchor.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct EarlierHeader {
    /// The header.
    pub header: Header,
    /// Its path to the anchor's history root.
    pub path: HistoryPath,
}

/// The header that a proof hangs on, with all that shows that it is the chain's.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Anchor {
    /// The header.
    pub header: Header,
    /// By the validators after all of `changes`.
    pub certificate: CommitCertificate,
    /// Every change of the validator set since genesis, in order of height; at most [`MAX_CHANGES`].
    pub changes: Vec<SetChange>,
    /// Headers that the proof needs or that a verifier may know, in order of height; at most [`MAX_EARLIER`].
    pub earlier: Vec<EarlierHeader>,
}

/// What an anchor rests on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RestsOn {
    /// On every validator set since genesis: valid only if no quorum of keys, retired ones included, has leaked.
    Genesis(ChainId),
    /// On the checkpoint alone: the anchor is the block that the verifier knows.
    Checkpoint(Checkpoint),
    /// On the checkpoint, and on the validators after it.
    Since(Checkpoint),
}

/// An anchor that holds.
#[derive(Clone, Debug)]
pub struct Trusted<'a> {
    anchor: &'a Header,
    headers: BTreeMap<Height, &'a Header>,
    rests_on: RestsOn,
    sets: usize,
    signed: usize,
    members: usize,
}

impl<'a> Trusted<'a> {
    /// The anchor.
    #[must_use]
    pub const fn anchor(&self) -> &'a Header {
        self.anchor
    }

    /// The header of this height, where the proof has it.
    #[must_use]
    pub fn header(&self, height: Height) -> Option<&'a Header> {
        self.headers.get(&height).copied()
    }

    /// What the verdict rests on.
    #[must_use]
    pub const fn rests_on(&self) -> RestsOn {
        self.rests_on
    }

    /// How many validator sets, one after the other, the verdict relies on; none where the anchor is the checkpoint.
    #[must_use]
    pub const fn sets(&self) -> usize {
        self.sets
    }

    /// How many of how many validators signed the anchor.
    #[must_use]
    pub const fn signatures(&self) -> (usize, usize) {
        (self.signed, self.members)
    }
}

impl Anchor {
    /// Checks the anchor, every change of validators and every earlier header, and that they follow from what is trusted.
    ///
    /// # Errors
    /// The first [`VerifyError`].
    pub fn verify(&self, beginning: &Beginning, trust: Trust) -> Result<Trusted<'_>, VerifyError> {
        if let Trust::Genesis(expected) = trust
            && expected != beginning.chain_id
        {
            return Err(VerifyError::OtherGenesis { expected, found: beginning.chain_id });
        }
        limit("changes of the validator set", MAX_CHANGES, self.changes.len())?;
        limit("earlier headers", MAX_EARLIER, self.earlier.len())?;
        let chain_id = beginning.chain_id;

        let mut set = &beginning.validators;
        let mut last = Height(0);
        for change in &self.changes {
            ascending("changes of the validator set", &mut last, change.header.height, self.header.height)?;
            certified(&change.header, &change.certificate, chain_id, set)?;
            set = change.next_after(set)?;
        }
        if self.header.height <= last {
            return Err(VerifyError::Order { what: "blocks", before: Height(u64::MAX), height: self.header.height });
        }
        certified(&self.header, &self.certificate, chain_id, set)?;

        let headers = self.headers(chain_id)?;
        let (rests_on, sets) = match trust {
            Trust::Genesis(genesis) => (RestsOn::Genesis(genesis), self.changes.len().saturating_add(1)),
            Trust::Checkpoint(checkpoint) => self.since(checkpoint, &headers, beginning)?,
        };
        let (signed, members) = (self.certificate.signatures.len(), set.members().len());
        Ok(Trusted { anchor: &self.header, headers, rests_on, sets, signed, members })
    }

    /// Every header of the proof, each in its place of the chain.
    fn headers(&self, chain_id: ChainId) -> Result<BTreeMap<Height, &Header>, VerifyError> {
        let anchor = self.header.height;
        let before = anchor.0.checked_sub(1).filter(|before| *before < u64::MAX);
        let mut headers = BTreeMap::from([(anchor, &self.header)]);
        let mut last = Height(0);
        for EarlierHeader { header, path } in &self.earlier {
            let height = header.height;
            ascending("earlier headers", &mut last, height, anchor)?;
            of_chain(header, chain_id)?;
            if height.0.checked_sub(1) != Some(path.index) || before != Some(path.count) {
                return Err(VerifyError::HistoryPlace { height, index: path.index, count: path.count });
            }
            path.verify(header.hash(), self.header.history_root).map_err(|error| VerifyError::History { height, anchor, error })?;
            headers.insert(height, header);
        }
        // What a change says of its own height must be what the rest says.
        for SetChange { header, .. } in &self.changes {
            if let Some(known) = headers.get(&header.height).filter(|known| **known != header) {
                return Err(VerifyError::Contradicts { height: header.height, expected: known.hash(), found: header.hash() });
            }
        }
        Ok(headers)
    }

    /// That the chain goes on from the checkpoint, and with which validators.
    fn since(
        &self,
        checkpoint: Checkpoint,
        headers: &BTreeMap<Height, &Header>,
        beginning: &Beginning,
    ) -> Result<(RestsOn, usize), VerifyError> {
        let Checkpoint { height, hash: expected } = checkpoint;
        let known = headers.get(&height).ok_or(VerifyError::NotReached { anchor: self.header.height, checkpoint: height })?;
        let found = known.hash();
        if found != expected {
            return Err(VerifyError::Contradicts { height, expected, found });
        }
        if height == self.header.height {
            return Ok((RestsOn::Checkpoint(checkpoint), 0));
        }
        // Those who decide the block after the checkpoint must be those whom its header names.
        let until = self.changes.iter().take_while(|change| change.header.height <= height).count();
        let set = until.checked_sub(1).and_then(|last| self.changes.get(last)).map_or(&beginning.validators, |change| &change.next);
        let (expected, found) = (known.next_validators, set.hash());
        if expected != found {
            return Err(VerifyError::CheckpointValidators { height, expected, found });
        }
        Ok((RestsOn::Since(checkpoint), self.changes.len().saturating_sub(until).saturating_add(1)))
    }
}

impl SetChange {
    /// The set that follows, if it is one, is the one that the header names, and is another than `before`.
    fn next_after<'a>(&'a self, before: &ValidatorSet) -> Result<&'a ValidatorSet, VerifyError> {
        let height = self.header.height;
        let sorted = ValidatorSet::new(self.next.members().to_vec()).map_err(|error| VerifyError::SetForm { height, error })?;
        if sorted != self.next {
            return Err(VerifyError::SetOrder(height));
        }
        let (expected, found) = (self.header.next_validators, sorted.hash());
        if expected != found {
            return Err(VerifyError::NextValidators { height, expected, found });
        }
        if self.next == *before { Err(VerifyError::NoChange(height)) } else { Ok(&self.next) }
    }
}

pub(super) const fn limit(what: &'static str, limit: usize, found: usize) -> Result<(), VerifyError> {
    if found > limit { Err(VerifyError::TooMany { what, limit, found }) } else { Ok(()) }
}

/// `height` comes after `last` and before `before`; it is the last from now on.
fn ascending(what: &'static str, last: &mut Height, height: Height, before: Height) -> Result<(), VerifyError> {
    if height <= *last || height >= before {
        return Err(VerifyError::Order { what, before, height });
    }
    *last = height;
    Ok(())
}

fn of_chain(header: &Header, expected: ChainId) -> Result<(), VerifyError> {
    let Header { height, version, chain_id: found, .. } = *header;
    if version != HEADER_VERSION {
        return Err(VerifyError::HeaderVersion { height, found: version });
    }
    if found == expected { Ok(()) } else { Err(VerifyError::OtherChain { height, expected, found }) }
}

fn certified(header: &Header, certificate: &CommitCertificate, chain_id: ChainId, set: &ValidatorSet) -> Result<(), VerifyError> {
    of_chain(header, chain_id)?;
    let hash = header.hash();
    if certificate.height != header.height || certificate.block != hash {
        let CommitCertificate { height, block, .. } = *certificate;
        return Err(VerifyError::CertificateOfOther { height, block, header_height: header.height, header: hash });
    }
    certificate.verify(chain_id, set).map_err(|error| VerifyError::Certificate { height: header.height, error })
}
