//! `watt token`.

use clap::Args;

use super::{CommandError, Context};

/// Sign in to the node with the acting wallet and print a token, for programs that read its API
///
/// The node lets whoever bears the token read what the wallet may read, for a quarter of an hour. It signs nothing.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  curl -H \"Authorization: Bearer $(watt token)\" http://127.0.0.1:8420/api/v1/queue
  watt --wallet auditor token --output json")]
pub struct Token {}

impl Token {
    pub(super) async fn run(self, context: &Context) -> Result<(), CommandError> {
        let key = context.unlock(&context.entry()?)?.key();
        let token = context.client().sign_in(&key).await?;
        context.put(&token, || token.token.clone())
    }
}
