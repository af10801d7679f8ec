//! Why a command failed, and the exit code that says so.

use std::io;

use crate::{
    checkpoints::CheckpointError, client::ClientError, keystore::KeystoreError, phrase::PhraseError, proof::ProofError, verify::VerifyError,
};

/// Why a command has no result.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// Arguments that do not go together.
    #[error("{0}")]
    Usage(String),
    /// Something that was claimed is not so.
    #[error("verification failed: {0}")]
    Verification(String),
    /// The owner said no.
    #[error("nothing was signed")]
    Declined,
    /// The node, the way to it, or the chain.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A wallet's file.
    #[error(transparent)]
    Keystore(#[from] KeystoreError),
    /// Words that are no phrase.
    #[error(transparent)]
    Phrase(#[from] PhraseError),
    /// Input, output, terminal.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Anything else, said in full.
    #[error("{0}")]
    Failed(String),
}

impl From<VerifyError> for CommandError {
    fn from(error: VerifyError) -> Self {
        Self::Verification(error.to_string())
    }
}

impl From<ProofError> for CommandError {
    fn from(error: ProofError) -> Self {
        Self::Verification(error.to_string())
    }
}

impl From<CheckpointError> for CommandError {
    fn from(error: CheckpointError) -> Self {
        match error {
            CheckpointError::Contradicts { .. } => Self::Verification(error.to_string()),
            CheckpointError::Io { .. } | CheckpointError::Format { .. } => Self::Failed(error.to_string()),
        }
    }
}

impl CommandError {
    /// 1 failed, 2 usage, 3 verification failed, 4 not reachable, 5 rejected by the chain.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::Verification(_) => 3,
            Self::Client(error) => match error {
                ClientError::Address { .. } => 2,
                ClientError::Unreachable { .. } => 4,
                ClientError::Rejected { .. } => 5,
                // A node that is there and cannot serve is, to whoever asks, away.
                ClientError::Problem(_) if error.is_code("unavailable") => 4,
                // `GET` of an account that is not there answers with a ledger's code too, and is no rejection: nothing was asked of the chain.
                ClientError::Problem(problem) if problem.status != 404 && error.code().is_some() => 5,
                ClientError::Problem(_) | ClientError::Pending { .. } | ClientError::Answer { .. } | ClientError::Transaction(_) => 1,
            },
            Self::Declined | Self::Keystore(_) | Self::Phrase(_) | Self::Io(_) | Self::Failed(_) => 1,
        }
    }
}
