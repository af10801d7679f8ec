//! The two ways in which an operation does not succeed: the rules refuse it, or this machine cannot carry it out.

use chain::{
    code::{Code, Rejection},
    codec::CodecError,
    state::ReadFault,
};

/// This machine's disk failed, or its state breaks a promise that the ledger keeps: stop, never vote, never turn it into a rejection.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("this machine cannot go on: {0}")]
pub struct Fault(pub String);

/// Why an operation did not succeed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Failure {
    /// The same on every node; goes into the receipt.
    #[error(transparent)]
    Reject(Rejection),
    /// This machine's alone.
    #[error(transparent)]
    Fault(Fault),
}

impl From<Rejection> for Failure {
    fn from(rejection: Rejection) -> Self {
        Self::Reject(rejection)
    }
}

impl From<Code> for Failure {
    fn from(code: Code) -> Self {
        Self::Reject(Rejection::new(code))
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<ReadFault> for Fault {
    fn from(fault: ReadFault) -> Self {
        Self(fault.0)
    }
}

impl From<CodecError> for Fault {
    fn from(error: CodecError) -> Self {
        Self(format!("a record of the state: {error}"))
    }
}

impl From<ReadFault> for Failure {
    fn from(fault: ReadFault) -> Self {
        Self::Fault(fault.into())
    }
}
