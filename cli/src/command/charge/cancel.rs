//! `watt charge cancel`.

use ::chain::id::SessionId;
use clap::Args;
use contracts::call::{Call, CancelSession};

use crate::{
    command::{CommandError, Context},
    render::Facts,
};

/// Give up a charge that still waits; everything comes back
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  watt charge cancel 5f0c...\n  watt charge cancel 5f0c... --yes")]
pub struct Cancel {
    /// The session's id, 64 hexadecimal digits
    #[arg(value_name = "SESSION")]
    session: SessionId,
}

impl Cancel {
    pub(super) async fn run(self, context: &Context) -> Result<(), CommandError> {
        let status = context.status().await?;
        let done = context.submit(&status, Call::CancelSession(CancelSession { session: self.session })).await?;
        context.put_done(&done, Facts::new().with("cancelled", self.session.to_string()))
    }
}
