//! `watt charge stop`.

use ::chain::id::SessionId;
use clap::Args;
use contracts::call::{Call, StopSession};

use super::watch::follow;
use crate::{
    command::{CommandError, Context},
    render::Facts,
};

/// Stop a charge; what is not used comes back
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  watt charge stop 5f0c...\n  watt charge stop 5f0c... --yes --watch")]
pub struct Stop {
    /// The session's id, 64 hexadecimal digits
    #[arg(value_name = "SESSION")]
    session: SessionId,
    /// Wait for the bill
    #[arg(long)]
    watch: bool,
}

impl Stop {
    pub(super) async fn run(self, context: &Context) -> Result<(), CommandError> {
        let status = context.status().await?;
        let done = context.submit(&status, Call::StopSession(StopSession { session: self.session })).await?;
        context.put_done(&done, Facts::new().with("stopped", self.session.to_string()))?;
        if self.watch { follow(context, self.session).await } else { Ok(()) }
    }
}
