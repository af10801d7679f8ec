//! `watt charge stop`.

use clap::Args;
use contracts::call::{Call, StopSession};

use super::watch::{check_output, follow};
use crate::{
    command::{CommandError, Context},
    named::Named,
    render::Facts,
};

/// Stop a charge; what is not used comes back
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  watt charge stop 5f0c9a\n  watt charge stop 5f0c9a --yes --watch")]
pub struct Stop {
    /// The session's id, or its first 6 digits or more
    #[arg(value_name = "SESSION")]
    session: Named,
    /// Wait for the bill
    #[arg(long)]
    watch: bool,
}

impl Stop {
    pub(super) async fn run(self, context: &Context) -> Result<(), CommandError> {
        if self.watch {
            check_output(context)?;
        }
        let status = context.status().await?;
        let session = context.session(&self.session).await?;
        let done = context.submit(&status, Call::StopSession(StopSession { session })).await?;
        context.put_done(&done, Facts::new().with("stopped", session.to_string()))?;
        if self.watch {
            return follow(context, session).await;
        }
        tell!("\nthe gateway reads the meter once more and settles it; see the bill with: watt session show {session}");
        Ok(())
    }
}
