//! What can go wrong between a client and a node, in words that say what to do.

use std::error::Error;

use chain::{
    api::Problem,
    code::{Code, Rejection},
    id::{Height, TxId},
    transaction::TransactionError,
};

use crate::{
    refusal::{self, Reason},
    render::without_number,
};

/// Why a request has no result.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The node's address is none.
    #[error("{url:?} is no address of a node, such as http://127.0.0.1:8420: {reason}")]
    Address {
        /// What was given.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// No connection, or one that broke: whether the node acted is not known.
    #[error("the node at {url} cannot be reached: {reason}. Is wattd running there? Name another node with --node or WATT_NODE")]
    Unreachable {
        /// Where.
        url: String,
        /// Why.
        reason: String,
    },
    /// The node refuses, or something is not there.
    #[error("{}", refusal::problem(.0))]
    Problem(Box<Problem>),
    /// The transaction is in a block, which rejected it: the nonce is used, nothing else changed.
    #[error("the chain rejected transaction {id} in block {height}: {}", refusal::rejection(rejection, **reason))]
    Rejected {
        /// Which.
        id: TxId,
        /// In which block.
        height: Height,
        /// Why.
        rejection: Rejection,
        /// What its numbers are.
        reason: Box<Reason>,
    },
    /// The transaction is pooled, and no block took it in time; it may still be committed.
    #[error("transaction {id} still waits for a block: ask again with `watt chain tx {id}`, and do not send another in its place")]
    Pending {
        /// Which.
        id: TxId,
    },
    /// An answer that this program does not understand.
    #[error("the node's answer to {path} is not understood: {reason}. Node and program may be of different versions")]
    Answer {
        /// Asked for.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A question that only a node could answer, while none is asked.
    #[error(
        "only a node can answer this ({path}), and --offline asks none: give whole ids and what is left to the node otherwise, such as --condominium"
    )]
    Offline {
        /// What was to be asked.
        path: String,
    },
    /// The node shows this to readers alone whom it knows, and there is no key to show it.
    #[error("the node shows this only to those whom it concerns, and wants a signature of a wallet: {cause}")]
    SignIn {
        /// Why there is no key, as whoever was asked for it said.
        cause: Box<dyn Error + Send + Sync>,
    },
    /// A transaction that cannot be made.
    #[error("the transaction cannot be made: {0}")]
    Transaction(#[from] TransactionError),
}

impl ClientError {
    pub(super) fn unreachable(url: &str, error: &reqwest::Error) -> Self {
        // The outer error repeats the address; the innermost says what happened.
        let mut innermost: &dyn Error = error;
        while let Some(source) = innermost.source() {
            innermost = source;
        }
        let told = without_number(&innermost.to_string());
        let reason = if error.is_timeout() {
            "no answer in time".to_owned()
        } else if error.is_connect() {
            told
        } else {
            format!("it ended the connection ({told}), as a node does that stops, or that one address has too many connections to")
        };
        Self::Unreachable { url: url.to_owned(), reason }
    }

    /// The problem, where the node answered with one.
    #[must_use]
    pub fn problem(&self) -> Option<&Problem> {
        match self {
            Self::Problem(problem) => Some(problem),
            Self::Address { .. }
            | Self::Unreachable { .. }
            | Self::Rejected { .. }
            | Self::Pending { .. }
            | Self::Answer { .. }
            | Self::Offline { .. }
            | Self::SignIn { .. }
            | Self::Transaction(_) => None,
        }
    }

    /// The ledger's code, whether the node refused at submission or the block rejected.
    #[must_use]
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Problem(problem) => Code::ALL.iter().copied().find(|code| code.slug() == problem.code),
            Self::Rejected { rejection, .. } => Some(rejection.code),
            Self::Address { .. }
            | Self::Unreachable { .. }
            | Self::Pending { .. }
            | Self::Answer { .. }
            | Self::Offline { .. }
            | Self::SignIn { .. }
            | Self::Transaction(_) => None,
        }
    }

    /// Whether it is this code, the ledger's or the API's own.
    #[must_use]
    pub fn is_code(&self, slug: &str) -> bool {
        self.code().map(Code::slug).or(self.problem().map(|problem| problem.code.as_str())) == Some(slug)
    }

    /// Whether the same request may succeed later: the node is away, or its pool is full.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unreachable { .. }) || self.is_code("unavailable")
    }
}
