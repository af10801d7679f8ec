//! Proof files: a session's receipt, or an account's balance, with all that proves it, in a form that people can read and keep for years.
//!
//! A file is checked on the machine of whoever holds it, and no node is asked: what it claims by [`chain::verify`], and a bill a second time from its
//! readings and its tariff. [`ProofFile::read`] takes one text for one proof: spaces and line ends apart, what is not written as this program would write it is refused,
//! so that nothing can be added, doubled or spelt otherwise. It trusts nothing and decides nothing about trust: the caller says what he knows. Called by the commands.

mod words;

use chain::{
    certificate::ValidatorSetError,
    id::{ChainId, Height},
    receipt::{Receipt, SessionReceipt},
    record::Account,
    verify::{AccountProof, Anchor, Beginning, Checkpoint, SessionProof, Trust, Trusted, VerifyError},
};
use contracts::{call::Transaction, execute::VerifiedTransaction, genesis::Genesis};
use serde::{Deserialize, Serialize};

use crate::{audit::bill_of_session, verify::Verdict};

/// What a file says that it is.
pub const FORMAT: &str = "commonwatt proof";

/// The version of the format that this program writes and reads.
pub const VERSION: u32 = 1;

/// The most that a file may measure, in bytes.
pub const MAX_FILE_BYTES: u64 = 64 << 20;

/// What a proof file holds.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProofFile {
    /// [`FORMAT`].
    pub format: String,
    /// [`VERSION`].
    pub version: u32,
    /// What is claimed, with what proves it.
    pub claim: Claim,
    /// The document whose hash is the chain's id; it names the first validators.
    pub genesis: Genesis,
}

/// What is claimed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Claim {
    /// A settled session and its bill.
    Session(Box<SessionProof>),
    /// An account's record, or that there is none.
    Account(Box<AccountProof>),
}

/// Why a file proves nothing.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ProofError {
    /// Longer than any proof.
    #[error("a proof file has at most {MAX_FILE_BYTES} bytes, found {0}")]
    Length(u64),
    /// No proof file.
    #[error("it is no proof file of version {VERSION}: {0}")]
    Format(String),
    /// Written in another way than the one.
    #[error("it is not written as a proof is: something was added, left out or spelt otherwise at {0:?}")]
    OtherText(String),
    /// A genesis document without a validator set.
    #[error("the genesis document: {0}")]
    Genesis(#[from] ValidatorSetError),
    /// What it claims does not hold.
    #[error(transparent)]
    Verify(#[from] VerifyError),
    /// A transaction that is none, or was not signed by its signer.
    #[error("the transaction of block {height}: {reason}")]
    Transaction {
        /// Its block.
        height: Height,
        /// What is wrong.
        reason: String,
    },
    /// A bill that is not what readings and tariff come to.
    #[error("the bill does not follow from the readings and the tariff: {0}")]
    Bill(String),
}

/// What holds, and why.
#[derive(Clone, Debug)]
pub struct Checked<'a> {
    /// The fact.
    pub fact: Fact<'a>,
    /// The block that everything hangs on.
    pub anchor: Checkpoint,
    /// In words.
    pub verdict: Verdict,
}

/// A fact that was proved.
#[derive(Clone, Copy, Debug)]
pub enum Fact<'a> {
    /// A session's bill and the height of its block.
    Bill(&'a SessionReceipt, Height),
    /// An account's record after the anchor, if it has one.
    Account(&'a AccountProof, Option<&'a Account>),
}

impl ProofFile {
    /// A file of this claim.
    #[must_use]
    pub fn new(claim: Claim, genesis: Genesis) -> Self {
        Self { format: FORMAT.to_owned(), version: VERSION, claim, genesis }
    }

    /// Reads a file's text; nothing in it is checked yet.
    ///
    /// # Errors
    /// [`ProofError::Length`], [`ProofError::Format`] or [`ProofError::OtherText`].
    pub fn read(text: &[u8]) -> Result<Self, ProofError> {
        if text.len() as u64 > MAX_FILE_BYTES {
            return Err(ProofError::Length(text.len() as u64));
        }
        let format = |error: serde_json::Error| ProofError::Format(error.to_string());
        let file: Self = serde_json::from_slice(text).map_err(format)?;
        if file.format != FORMAT || file.version != VERSION {
            return Err(ProofError::Format(format!("found {:?} of version {}", file.format, file.version)));
        }
        let written = serde_json::to_vec(&file).map_err(format)?;
        let found = without_spaces(text);
        match found.iter().zip(&written).position(|(found, written)| found != written) {
            None if found.len() == written.len() => Ok(file),
            place => {
                let near = place.unwrap_or(written.len().min(found.len())).saturating_sub(24);
                let near: Vec<u8> = found.iter().skip(near).take(48).copied().collect();
                Err(ProofError::OtherText(String::from_utf8_lossy(&near).into_owned()))
            }
        }
    }

    /// The file's text.
    ///
    /// # Errors
    /// [`ProofError::Format`], [`ProofError::Length`]; never for what a node answered within its bounds.
    pub fn text(&self) -> Result<Vec<u8>, ProofError> {
        let mut text = serde_json::to_vec_pretty(self).map_err(|error| ProofError::Format(error.to_string()))?;
        text.push(b'\n');
        if text.len() as u64 > MAX_FILE_BYTES { Err(ProofError::Length(text.len() as u64)) } else { Ok(text) }
    }

    /// The chain that it says it is of.
    #[must_use]
    pub fn chain_id(&self) -> ChainId {
        self.genesis.chain_id()
    }

    /// What the claim hangs on.
    #[must_use]
    pub const fn anchor(&self) -> &Anchor {
        match &self.claim {
            Claim::Session(proof) => &proof.anchor,
            Claim::Account(proof) => &proof.anchor,
        }
    }

    /// Whether it has the header of this height, so that a checkpoint there can be compared with it.
    #[must_use]
    pub fn reaches(&self, height: Height) -> bool {
        let anchor = self.anchor();
        anchor.header.height == height || anchor.earlier.iter().any(|earlier| earlier.header.height == height)
    }

    /// Checks everything in it against what is trusted.
    ///
    /// # Errors
    /// The first [`ProofError`].
    pub fn check(&self, trust: Trust) -> Result<Checked<'_>, ProofError> {
        let beginning = Beginning { chain_id: self.chain_id(), validators: self.genesis.validator_set()? };
        let (fact, anchor, verdict) = match &self.claim {
            Claim::Session(proof) => {
                let verified = proof.verify(&beginning, trust)?;
                let again = bill_again(proof, &verified.trusted, verified.bill)?;
                let verdict = words::session(proof, &verified, &again);
                (Fact::Bill(verified.bill, verified.settled_in), verified.trusted.anchor(), verdict)
            }
            Claim::Account(proof) => {
                let verified = proof.verify(&beginning, trust)?;
                let verdict = words::account(proof, &verified, &self.genesis.currency);
                (Fact::Account(proof, verified.account), verified.trusted.anchor(), verdict)
            }
        };
        Ok(Checked { fact, anchor: Checkpoint::of(anchor), verdict })
    }
}

/// What a bill was computed from.
#[derive(Clone, Copy, Debug)]
struct Again {
    readings: u64,
}

/// Computes the bill a second time, from what was signed.
fn bill_again(proof: &SessionProof, trusted: &Trusted<'_>, bill: &SessionReceipt) -> Result<Again, ProofError> {
    let mut steps = Vec::with_capacity(proof.steps.len());
    for step in &proof.steps {
        let height = step.height;
        let wrong = |reason: String| ProofError::Transaction { height, reason };
        let decode = |bytes: &Vec<u8>| {
            let transaction = Transaction::decode(bytes).map_err(|error| wrong(error.to_string()))?;
            VerifiedTransaction::verify(transaction).map_err(|error| wrong(error.to_string()))
        };
        let transaction = step.transaction.as_ref().map(|transaction| decode(&transaction.bytes)).transpose()?;
        let at = trusted.header(height).ok_or(VerifyError::NoHeader(height))?.timestamp;
        // Other sessions are billed in the same receipt; their stories are not here.
        let mut receipt: Receipt = step.receipt.clone();
        receipt.events.retain(|event| event.bill().is_none_or(|bill| bill.session == proof.session));
        steps.push((at, transaction, receipt));
    }
    bill_of_session(bill, &proof.tariff.record.tariff, &steps).map_err(ProofError::Bill)?;
    Ok(Again { readings: bill.readings })
}

/// JSON without the spaces and line ends between its parts.
fn without_spaces(text: &[u8]) -> Vec<u8> {
    let mut found = Vec::with_capacity(text.len());
    let (mut inside, mut escaped) = (false, false);
    for byte in text.iter().copied() {
        if inside {
            (inside, escaped) = (escaped || byte != b'"', !escaped && byte == b'\\');
        } else if matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
            continue;
        } else {
            inside = byte == b'"';
        }
        found.push(byte);
    }
    found
}
