//! Why a block is not carried out: what breaks a rule of the chain, the same on every node, apart from what is wrong with this machine.
//!
//! It compares and judges nothing but single values. [`super::execute`] alone makes these.

use chain::{code::Rejection, hash::Hash32, id::Address};

use crate::failure::Fault;

/// Why a block is not valid.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum InvalidBlock {
    /// A header field other than what the chain demands.
    #[error("{field}: expected {expected}, found {found}")]
    Field {
        /// Which.
        field: HeaderField,
        /// What it must be.
        expected: Hash32,
        /// What it is.
        found: Hash32,
    },
    /// A number in the header other than what the chain demands.
    #[error("{field}: expected {expected}, found {found}")]
    Number {
        /// Which.
        field: HeaderField,
        /// What it must be, or exceed.
        expected: u64,
        /// What it is.
        found: u64,
    },
    /// The proposer does not decide this height.
    #[error("proposer {0} is no validator of this height")]
    Proposer(Address),
    /// More bytes than the parameters allow.
    #[error("the block has {found} bytes, at most {limit} are allowed")]
    TooLarge {
        /// How many.
        found: usize,
        /// The most.
        limit: usize,
    },
    /// The given transactions are not the block's.
    #[error("transaction {0} is not the one that the block carries")]
    OtherTransaction(usize),
    /// A transaction that may not stand in the block.
    #[error("transaction {index}: {rejection}")]
    Transaction {
        /// Its place.
        index: usize,
        /// Why.
        rejection: Rejection,
    },
}

/// A field of the header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HeaderField {
    /// `version`.
    Version,
    /// `chain_id`.
    ChainId,
    /// `height`.
    Height,
    /// `parent`.
    Parent,
    /// `history_root`.
    HistoryRoot,
    /// `timestamp`.
    Timestamp,
    /// `transactions_root`.
    TransactionsRoot,
    /// `receipts_root`.
    ReceiptsRoot,
    /// `state_root`.
    StateRoot,
    /// `next_validators`.
    NextValidators,
}

impl std::fmt::Display for HeaderField {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Version => "version",
            Self::ChainId => "chain id",
            Self::Height => "height",
            Self::Parent => "parent",
            Self::HistoryRoot => "history root",
            Self::Timestamp => "timestamp",
            Self::TransactionsRoot => "transactions root",
            Self::ReceiptsRoot => "receipts root",
            Self::StateRoot => "state root",
            Self::NextValidators => "next validators",
        })
    }
}

/// Why a block was not executed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BlockError {
    /// The block's fault: the same on every node.
    #[error(transparent)]
    Invalid(InvalidBlock),
    /// This machine's.
    #[error(transparent)]
    Fault(Fault),
}

impl From<Fault> for BlockError {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<InvalidBlock> for BlockError {
    fn from(invalid: InvalidBlock) -> Self {
        Self::Invalid(invalid)
    }
}

/// Goes on only where a field is as the chain demands.
pub(super) fn same(field: HeaderField, expected: Hash32, found: Hash32) -> Result<(), InvalidBlock> {
    if expected == found { Ok(()) } else { Err(InvalidBlock::Field { field, expected, found }) }
}

/// Goes on only where a number is as the chain demands.
pub(super) const fn number(field: HeaderField, expected: u64, found: u64) -> Result<(), InvalidBlock> {
    if expected == found { Ok(()) } else { Err(InvalidBlock::Number { field, expected, found }) }
}
