//! `watt wallet send`.

use ::chain::{id::Address, quantity::Amount};
use clap::Args;
use contracts::call::{Call, Transfer};

use crate::{
    command::{CommandError, Context},
    quantity::{parse_tokens, tokens},
    render::Facts,
};

/// Send tokens to another account
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  watt wallet send watt1... 12.5\n  watt wallet send watt1... 3 --wallet holiday --yes")]
pub struct Send {
    /// Who gets them: a registered account
    #[arg(value_name = "ADDRESS")]
    to: Address,
    /// How many tokens
    #[arg(value_name = "TOKENS", value_parser = parse_tokens)]
    amount: Amount,
}

impl Send {
    pub(super) async fn run(self, context: &Context) -> Result<(), CommandError> {
        let status = context.status().await?;
        let done = context.submit(&status, Call::Transfer(Transfer { to: self.to, amount: self.amount })).await?;
        context.put_done(&done, Facts::new().with("sent", tokens(self.amount, &done.currency)).with("to", self.to.to_string()))
    }
}
