//! `watt charge topup`.

use ::chain::quantity::Amount;
use clap::Args;
use contracts::call::{Call, TopUpSession};

use crate::{
    command::{CommandError, Context},
    named::Named,
    quantity::{parse_tokens, tokens},
    render::Facts,
};

/// Lock more for a charge that is open
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  watt charge topup 5f0c9a 2.5\n  watt charge topup 5f0c9a 2.5 --yes")]
pub struct Topup {
    /// The session's id, or its first 6 digits or more
    #[arg(value_name = "SESSION")]
    session: Named,
    /// How many tokens more
    #[arg(value_name = "TOKENS", value_parser = parse_tokens)]
    amount: Amount,
}

impl Topup {
    pub(super) async fn run(self, context: &Context) -> Result<(), CommandError> {
        let status = context.status().await?;
        let session = context.session(&self.session).await?;
        let done = context.submit(&status, Call::TopUpSession(TopUpSession { session, amount: self.amount })).await?;
        context.put_done(&done, Facts::new().with("session", session.to_string()).with("locked more", tokens(self.amount, &done.currency)))
    }
}
