//! Why a command failed, and the exit code that says so.

use std::io;

use ::chain::{api::Problem, code::Code};
use serde::Serialize;

use crate::{
    audit::AuditFailure, checkpoints::CheckpointError, client::ClientError, keystore::KeystoreError, phrase::PhraseError,
    profile::ProfileError, proof::ProofError, render, verify::VerifyError,
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
    /// A chain that is not true, with the place.
    #[error("verification failed: {0}")]
    Audit(Box<AuditFailure>),
    /// A proof that says nothing of the block that is trusted: neither proved nor refuted.
    #[error("{0}")]
    NotReached(String),
    /// The owner said no.
    #[error("nothing was signed or sent")]
    Declined,
    /// The node, the way to it, or the chain.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A wallet's file.
    #[error(transparent)]
    Keystore(#[from] KeystoreError),
    /// A profile.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// Words that are no phrase.
    #[error(transparent)]
    Phrase(#[from] PhraseError),
    /// Input, output, terminal.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The chain would refuse it, as this program could tell by itself.
    #[error("{text} ({})", code.slug())]
    Refused {
        /// As the chain would.
        code: Code,
        /// What is wrong and what to do.
        text: String,
    },
    /// What a doctor has found, and told already.
    #[error("{wrong} wrong")]
    Unhealthy {
        /// How many things.
        wrong: usize,
    },
    /// No failure: what was asked for was done without submitting anything, and nothing that follows a submission has a place (`--dry-run`, `--offline`).
    #[error("nothing was submitted, as asked")]
    EndsHere,
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
    /// 1 failed, 2 usage, 3 verification failed, 4 not reachable, 5 rejected by the chain, 6 the proof does not reach the checkpoint: docs/cli.md says where the
    /// lines are. What the arguments alone show to be wrong is usage; what a node or a file shows is not.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::EndsHere => 0,
            Self::Refused { .. } => 5,
            Self::Usage(_) => 2,
            Self::Verification(_) | Self::Audit(_) => 3,
            Self::NotReached(_) => 6,
            Self::Client(error) => match error {
                ClientError::Address { .. } | ClientError::Offline { .. } => 2,
                ClientError::Unreachable { .. } => 4,
                ClientError::Rejected { .. } => 5,
                // A node that is there and cannot serve is, to whoever asks, away.
                ClientError::Problem(_) if error.is_code("unavailable") => 4,
                // As where a command finds by itself that several are meant.
                ClientError::Problem(_) if error.is_code("ambiguous") => 2,
                // `GET` of an account that is not there answers with a ledger's code too, and is no rejection: nothing was asked of the chain.
                ClientError::Problem(problem) if problem.status != 404 && error.code().is_some() => 5,
                // A wrong passphrase is one, whatever it was asked for.
                ClientError::SignIn { cause } => cause.downcast_ref().map_or(1, Self::exit_code),
                ClientError::Problem(_) | ClientError::Pending { .. } | ClientError::Answer { .. } | ClientError::Transaction(_) => 1,
            },
            Self::Unhealthy { .. }
            | Self::Declined
            | Self::Keystore(_)
            | Self::Profile(_)
            | Self::Phrase(_)
            | Self::Io(_)
            | Self::Failed(_) => 1,
        }
    }

    /// A stable name for programs: the node's or the ledger's own code where there is one.
    #[must_use]
    pub fn code(&self) -> &str {
        match self {
            Self::EndsHere => "ok",
            Self::Unhealthy { .. } => "unhealthy",
            Self::Refused { code, .. } => code.slug(),
            Self::Usage(_) => "usage",
            Self::Verification(_) | Self::Audit(_) => "verification_failed",
            Self::NotReached(_) => "checkpoint_not_reached",
            Self::Declined => "declined",
            Self::Client(error) => match error {
                ClientError::Address { .. } | ClientError::Offline { .. } => "usage",
                ClientError::Unreachable { .. } => "unreachable",
                ClientError::Problem(problem) => &problem.code,
                ClientError::Rejected { rejection, .. } => rejection.code.slug(),
                ClientError::Pending { .. } => "pending",
                ClientError::Answer { .. } => "bad_answer",
                ClientError::SignIn { cause } => cause.downcast_ref().map_or("sign_in_needed", Self::code),
                ClientError::Transaction(_) => "bad_transaction",
            },
            Self::Keystore(_) => "wallet",
            Self::Profile(_) => "profile",
            Self::Phrase(_) => "phrase",
            Self::Io(_) => "io",
            Self::Failed(_) => "failed",
        }
    }

    /// What a program is told with `--output json`.
    #[must_use]
    pub fn answer(&self) -> FailureAnswer<'_> {
        let verified = matches!(self, Self::Verification(_) | Self::Audit(_)).then_some(false);
        let problem = if let Self::Client(error) = self { error.problem() } else { None };
        let audit = if let Self::Audit(failure) = self { Some(&**failure) } else { None };
        let message = render::clean(&self.to_string());
        FailureAnswer { verified, error: Failure { code: self.code(), exit_code: self.exit_code(), message, problem, audit } }
    }
}

/// A failure as JSON.
#[derive(Debug, Serialize)]
pub struct FailureAnswer<'a> {
    /// `false` where something that was claimed is not so; absent where nothing was found out.
    #[serde(skip_serializing_if = "Option::is_none")]
    verified: Option<bool>,
    error: Failure<'a>,
}

#[derive(Debug, Serialize)]
struct Failure<'a> {
    code: &'a str,
    exit_code: u8,
    /// For people; may change.
    message: String,
    /// The node's answer, where it refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<&'a Problem>,
    /// Where a chain stopped being true.
    #[serde(skip_serializing_if = "Option::is_none")]
    audit: Option<&'a AuditFailure>,
}

/// What [`FailureAnswer`] says of arguments that were not understood.
#[must_use]
pub fn usage_answer(message: &str) -> FailureAnswer<'static> {
    let message = render::clean_lines(message.trim());
    FailureAnswer { verified: None, error: Failure { code: "usage", exit_code: 2, message, problem: None, audit: None } }
}
