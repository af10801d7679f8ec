//! `watt wallet receive`.

use clap::Args;
use serde::Serialize;

use crate::{
    command::{CommandError, Context},
    render::Facts,
};

/// Show the address to be paid at
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  watt wallet receive\n  watt wallet receive --wallet holiday --output json")]
pub struct Receive {}

#[derive(Serialize)]
struct Receivable {
    address: ::chain::id::Address,
    registered: Option<bool>,
}

impl Receive {
    pub(super) async fn run(self, context: &Context) -> Result<(), CommandError> {
        let address = context.entry()?.address;
        // The address is worth showing without a node, and without asking for the passphrase that a node may want before it says anything of an account.
        let options = context.options();
        let is_at_hand = options.passphrase_file.is_some() || options.passphrase_fd.is_some();
        let client = if is_at_hand { context.client().clone() } else { context.client().as_stranger() };
        let registered = match client.account(address).await {
            Ok(_) => Some(true),
            Err(error) if error.is_code("unknown_account") => Some(false),
            Err(error) if error.is_code("sign_in_needed") => None,
            Err(error) => {
                tell!("warning: {error}");
                None
            }
        };
        let note = match registered {
            Some(true) => "registered: anyone can send to it",
            Some(false) => "not registered yet: buy tokens from your condominium, or accept an invite, before others can send to it",
            None => "not asked whether it is registered: `watt wallet balance` does",
        };
        context.put(&Receivable { address, registered }, || Facts::new().with("address", address.to_string()).with("account", note).text())
    }
}
