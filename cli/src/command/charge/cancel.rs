//! `watt charge cancel`.

use clap::Args;
use contracts::call::{Call, CancelSession};

use crate::{
    command::{CommandError, Context},
    named::Named,
    render::Facts,
};

/// Give up a charge that still waits; everything comes back
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  watt charge cancel 5f0c9a\n  watt charge cancel 5f0c9a --yes")]
pub struct Cancel {
    /// The session's id, or its first 6 digits or more
    #[arg(value_name = "SESSION")]
    session: Named,
}

impl Cancel {
    pub(super) async fn run(self, context: &Context) -> Result<(), CommandError> {
        let status = context.status().await?;
        let session = context.session(&self.session).await?;
        let done = context.submit(&status, Call::CancelSession(CancelSession { session })).await?;
        context.put_done(&done, Facts::new().with("cancelled", session.to_string()))
    }
}
