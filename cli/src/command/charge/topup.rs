//! `watt charge topup`.

use ::chain::{id::SessionId, quantity::Amount};
use clap::Args;
use contracts::call::{Call, TopUpSession};

use crate::{
    command::{CommandError, Context},
    quantity::{parse_tokens, tokens},
    render::Facts,
};

/// Lock more for a charge that is open
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  watt charge topup 5f0c... 2.5\n  watt charge topup 5f0c... 2.5 --yes")]
pub struct Topup {
    /// The session's id, 64 hexadecimal digits
    #[arg(value_name = "SESSION")]
    session: SessionId,
    /// How many tokens more
    #[arg(value_name = "TOKENS", value_parser = parse_tokens)]
    amount: Amount,
}

impl Topup {
    pub(super) async fn run(self, context: &Context) -> Result<(), CommandError> {
        let status = context.status().await?;
        let done = context.submit(&status, Call::TopUpSession(TopUpSession { session: self.session, amount: self.amount })).await?;
        context.put_done(
            &done,
            Facts::new().with("session", self.session.to_string()).with("locked more", tokens(self.amount, &done.currency)),
        )
    }
}
