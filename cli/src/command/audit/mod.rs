//! `watt audit`: check a whole chain, or one proof, without trusting whoever keeps it.

mod evidence;
mod replay;
mod verify;

use clap::Subcommand;

use crate::command::{CommandError, Context};

/// The commands of an auditor.
#[derive(Subcommand, Debug)]
#[command(after_help = "Examples:\n  watt audit replay chain.export\n  watt audit verify receipt.json")]
pub enum Audit {
    /// Carry out the whole chain again and compare every step
    Replay(replay::Replay),
    /// Check a proof file on this machine alone
    Verify(verify::Verify),
    /// Show and submit evidence against gateways
    #[command(subcommand)]
    Evidence(evidence::Evidence),
}

impl Audit {
    pub(super) async fn run(self, context: &Context) -> Result<(), CommandError> {
        match self {
            Self::Replay(command) => command.run(context).await,
            Self::Verify(command) => command.run(context),
            Self::Evidence(command) => command.run(context).await,
        }
    }
}
