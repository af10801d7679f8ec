//! Checks what a node says against what only the validators could have signed.
//!
//! It proves one receipt or one value; that the chain as a whole keeps its rules is the audit's matter. The verdict names what it relied on. Called by the
//! commands and by whoever holds a receipt.

use chain::{
    api::{ProvenReceipt, ProvenState},
    block::Header,
    certificate::{CertificateError, CommitCertificate, ValidatorSet},
    hash::Hash32,
    id::{ChainId, Height, SessionId},
    merkle::ProofError,
    receipt::SessionReceipt,
    record::Key,
};
use serde::Serialize;

/// What was shown, and on what it rests.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Verdict {
    /// What holds, whoever said it.
    pub proved: Vec<String>,
    /// What it holds under.
    pub relied_on: Vec<String>,
}

/// Why a proof does not hold.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum VerifyError {
    /// Of another chain.
    #[error("the header is of chain {found}, expected {expected}")]
    Chain {
        /// The chain that it must be of.
        expected: ChainId,
        /// The chain that it is of.
        found: ChainId,
    },
    /// A certificate of something else.
    #[error("the certificate is of block {height} {block}, not of this header ({header})")]
    OtherBlock {
        /// The certificate's height.
        height: Height,
        /// The certificate's block.
        block: Hash32,
        /// The header's hash.
        header: Hash32,
    },
    /// A certificate that does not hold.
    #[error("the certificate does not hold: {0}")]
    Certificate(#[from] CertificateError),
    /// Validators other than those trusted.
    #[error("the proof names other validators than those of the trusted source")]
    Validators,
    /// A path that leads elsewhere.
    #[error("the path does not lead from what is claimed to the header: {0}")]
    Path(#[from] ProofError),
    /// A receipt of something else.
    #[error("the receipt is not the settlement of session {0}")]
    OtherSession(SessionId),
    /// A bill whose parts are not the whole.
    #[error("the bill does not add up: {escrow} locked, {paid} paid and {refund} refunded (micro-tokens)")]
    Bill {
        /// Locked.
        escrow: u64,
        /// Paid.
        paid: u64,
        /// Refunded.
        refund: u64,
    },
    /// A key or value that is no hexadecimal text, or another key's.
    #[error("the state proof is of another key or not readable")]
    Key,
}

/// Checks that a receipt stands in a block that the validators of the chain decided; `trusted` are those of the genesis document whose hash is the
/// chain id.
///
/// # Errors
/// The first [`VerifyError`].
pub fn receipt(proven: &ProvenReceipt, chain_id: ChainId, trusted: &ValidatorSet) -> Result<Verdict, VerifyError> {
    let mut verdict = header(&proven.header, &proven.certificate, &proven.validators, chain_id, trusted)?;
    proven.path.verify(proven.receipt.leaf(), proven.header.receipts_root)?;
    verdict.proved.push(format!("the receipt is number {} of the {} of that block, unchanged", proven.path.index, proven.path.count));
    Ok(verdict)
}

/// Checks that a receipt is the settlement of a session, that it adds up, and that it stands in a block that the validators decided.
///
/// # Errors
/// The first [`VerifyError`].
pub fn session_receipt(
    proven: &ProvenReceipt,
    session: SessionId,
    chain_id: ChainId,
    trusted: &ValidatorSet,
) -> Result<(SessionReceipt, Verdict), VerifyError> {
    let mut verdict = receipt(proven, chain_id, trusted)?;
    let bill = proven.receipt.bill_of(session).copied().ok_or(VerifyError::OtherSession(session))?;
    if bill.paid.checked_add(bill.refund) != Some(bill.escrow) {
        return Err(VerifyError::Bill { escrow: bill.escrow.micro(), paid: bill.paid.micro(), refund: bill.refund.micro() });
    }
    verdict
        .proved
        .push(format!("it is the settlement of session {session}, and what was paid and what was refunded make up what was locked"));
    verdict
        .relied_on
        .push("the validators having applied the rules of billing: `watt audit` recomputes the bill from its readings".to_owned());
    Ok((bill, verdict))
}

/// Checks that a key has the value, or none, in the state after a block that the validators decided; gives the value's bytes.
///
/// # Errors
/// The first [`VerifyError`].
pub fn state(
    proven: &ProvenState,
    key: &Key,
    chain_id: ChainId,
    trusted: &ValidatorSet,
) -> Result<(Option<Vec<u8>>, Verdict), VerifyError> {
    let mut verdict = header(&proven.header, &proven.certificate, &proven.validators, chain_id, trusted)?;
    let bytes = key.bytes();
    if hex::decode(&proven.key).ok().as_ref() != Some(&bytes) {
        return Err(VerifyError::Key);
    }
    let value = proven.value.as_ref().map(hex::decode).transpose().map_err(|_| VerifyError::Key)?;
    proven.proof.verify(proven.header.state_root, &bytes, value.as_deref())?;
    let claim = if value.is_some() { "has this value" } else { "has no value" };
    verdict.proved.push(format!("the key {claim} in the state after that block"));
    Ok((value, verdict))
}

fn header(
    header: &Header,
    certificate: &CommitCertificate,
    validators: &ValidatorSet,
    chain_id: ChainId,
    trusted: &ValidatorSet,
) -> Result<Verdict, VerifyError> {
    if header.chain_id != chain_id {
        return Err(VerifyError::Chain { expected: chain_id, found: header.chain_id });
    }
    if certificate.height != header.height || certificate.block != header.hash() {
        return Err(VerifyError::OtherBlock { height: certificate.height, block: certificate.block, header: header.hash() });
    }
    // What comes with the proof is never what it is checked by: anyone can name himself a validator.
    if validators != trusted {
        return Err(VerifyError::Validators);
    }
    certificate.verify(chain_id, trusted)?;
    let signed = certificate.signatures.len();
    let members = trusted.members().len();
    Ok(Verdict {
        proved: vec![format!(
            "{signed} of {members} validators, more than two thirds of the power, signed block {} of chain {chain_id}",
            header.height
        )],
        relied_on: vec![
            "the validators named by the genesis document, whose hash is the chain id, keeping their keys to themselves".to_owned(),
        ],
    })
}
