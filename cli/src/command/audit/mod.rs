//! `watt audit`: check a whole chain without trusting whoever keeps it.

mod replay;

use clap::Subcommand;

use crate::command::{CommandError, Context};

/// The commands of an auditor.
#[derive(Subcommand, Debug)]
#[command(after_help = "Example:\n  watt audit replay chain.export")]
pub enum Audit {
    /// Carry out the whole chain again and compare every step
    Replay(replay::Replay),
}

impl Audit {
    pub(super) async fn run(self, context: &Context) -> Result<(), CommandError> {
        match self {
            Self::Replay(command) => command.run(context).await,
        }
    }
}
