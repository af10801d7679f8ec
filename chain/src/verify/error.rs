//! Why a proof does not hold.

use crate::{
    certificate::{CertificateError, ValidatorSetError},
    hash::Hash32,
    id::{ChainId, Height, SessionId},
    merkle::ProofError,
};

/// The first thing that does not fit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum VerifyError {
    /// Another chain than the one that is trusted.
    #[error("it is of the chain with genesis {found}, expected {expected}")]
    OtherGenesis {
        /// The trusted genesis hash.
        expected: ChainId,
        /// The hash of the genesis document that came with the proof.
        found: ChainId,
    },
    /// A header of another chain than its genesis document.
    #[error("header {height} is of chain {found}, expected {expected}")]
    OtherChain {
        /// Whose header.
        height: Height,
        /// The chain of the genesis document.
        expected: ChainId,
        /// The header's.
        found: ChainId,
    },
    /// A header of a version that this program cannot judge.
    #[error("header {height} has version {found}, this program knows version {known}: use a newer one", known = crate::block::HEADER_VERSION)]
    HeaderVersion {
        /// Whose header.
        height: Height,
        /// Its version.
        found: u32,
    },
    /// More than a proof may hold.
    #[error("{what}: at most {limit}, found {found}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// The most.
        limit: usize,
        /// How many.
        found: usize,
    },
    /// A certificate of another block than the header beside it.
    #[error("the certificate beside header {header_height} ({header}) is of block {height} ({block})")]
    CertificateOfOther {
        /// The certificate's height.
        height: Height,
        /// The certificate's block.
        block: Hash32,
        /// The header's height.
        header_height: Height,
        /// The header's hash.
        header: Hash32,
    },
    /// A certificate that does not hold.
    #[error("the certificate of block {height} does not hold: {error}")]
    Certificate {
        /// Whose.
        height: Height,
        /// Why not.
        error: CertificateError,
    },
    /// Heights that do not ascend.
    #[error("{what} are in ascending order of height, before {before}; {height} is not")]
    Order {
        /// Of what.
        what: &'static str,
        /// The height that it must be below.
        before: Height,
        /// The one that is out of order.
        height: Height,
    },
    /// Validators that make no set.
    #[error("the validators after block {height} make no set: {error}")]
    SetForm {
        /// Whose header names them.
        height: Height,
        /// What is wrong with them.
        error: ValidatorSetError,
    },
    /// Validators listed in another order than a set's.
    #[error("the validators after block {0} are not in ascending order of address")]
    SetOrder(Height),
    /// Another set than the header commits to.
    #[error("header {height} names the next validators {expected}, those of the proof are {found}")]
    NextValidators {
        /// Whose header.
        height: Height,
        /// What it names.
        expected: Hash32,
        /// The hash of those in the proof.
        found: Hash32,
    },
    /// A change that leaves the set as it is.
    #[error("block {0} changes nothing of the validator set")]
    NoChange(Height),
    /// An earlier header that is not in the anchor's history.
    #[error("header {height} does not stand in the history of block {anchor}: {error}")]
    History {
        /// Whose header.
        height: Height,
        /// The anchor.
        anchor: Height,
        /// What is wrong with its path.
        error: ProofError,
    },
    /// A history path of another place than the header's.
    #[error("the history path of header {height} is that of place {index} of {count}")]
    HistoryPlace {
        /// Whose header.
        height: Height,
        /// The path's index.
        index: u64,
        /// The path's count.
        count: u64,
    },
    /// A chain in which the checkpoint does not stand.
    #[error("block {height} is {found}, the checkpoint says {expected}: two histories of one chain, tell the operators")]
    Contradicts {
        /// The checkpoint's height.
        height: Height,
        /// Its hash.
        expected: Hash32,
        /// The hash of the proof's header of that height.
        found: Hash32,
    },
    /// A checkpoint that the proof says nothing of.
    #[error(
        "the proof hangs on block {anchor} and does not have the header of block {checkpoint}, the checkpoint: have one made that reaches it"
    )]
    NotReached {
        /// The anchor's height.
        anchor: Height,
        /// The checkpoint's.
        checkpoint: Height,
    },
    /// Validators who do not follow from the checkpoint.
    #[error("the header of the checkpoint at {height} names the next validators {expected}, the proof goes on with {found}")]
    CheckpointValidators {
        /// The checkpoint's height.
        height: Height,
        /// What its header names.
        expected: Hash32,
        /// What the proof goes on with.
        found: Hash32,
    },
    /// A receipt or transaction of a block whose header is not in the proof.
    #[error("the proof has no header {0}")]
    NoHeader(Height),
    /// A receipt that does not stand in its block.
    #[error("a receipt does not stand in block {height}: {error}")]
    ReceiptPath {
        /// Which block.
        height: Height,
        /// What is wrong with its path.
        error: ProofError,
    },
    /// A transaction that does not stand in its block.
    #[error("a transaction does not stand in block {height}: {error}")]
    TransactionPath {
        /// Which block.
        height: Height,
        /// What is wrong with its path.
        error: ProofError,
    },
    /// A transaction beside a receipt that is not its.
    #[error("receipt {index} of block {height} is not that of the transaction beside it")]
    OtherTransaction {
        /// Which block.
        height: Height,
        /// The receipt's place.
        index: u64,
    },
    /// A receipt that does not concern the session.
    #[error("receipt {index} of block {height} is not about session {session}")]
    OtherSession {
        /// The session.
        session: SessionId,
        /// Which block.
        height: Height,
        /// The receipt's place.
        index: u64,
    },
    /// Receipts out of order.
    #[error("receipts are in the order in which they happened; receipt {index} of block {height} is not")]
    StepOrder {
        /// Which block.
        height: Height,
        /// The receipt's place.
        index: u64,
    },
    /// No bill, or several.
    #[error("a session is settled once, the proof has {found} settlements of session {session}")]
    Settlements {
        /// The session.
        session: SessionId,
        /// How many.
        found: usize,
    },
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
    /// Another tariff than the bill's.
    #[error("the tariff beside the bill is not the one that it names")]
    OtherTariff,
    /// A value, or its absence, that does not follow from the state root.
    #[error("the {what} is not what the state after block {height} has: {error}")]
    State {
        /// Of what.
        what: &'static str,
        /// The anchor.
        height: Height,
        /// What is wrong with its path.
        error: ProofError,
    },
    /// A value without an encoding; never for what was decoded.
    #[error("a value cannot be encoded")]
    Unencodable,
}
