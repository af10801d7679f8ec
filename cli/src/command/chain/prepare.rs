//! `watt chain prepare`.

use std::path::PathBuf;

use ::chain::id::Address;
use clap::Args;

use crate::{
    command::{
        CommandError, Context,
        file::Target,
        present::{Named, Prepared},
    },
    quantity::time,
    render::Facts,
};

/// Write what a wallet without a node needs to sign a transaction
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  watt chain prepare prepared.json watt1...
  watt wallet send watt1... 12.5 --offline --prepared prepared.json    on the machine that has the wallet
  watt chain submit transfer-3.watt.json                               back where the node is

The file names the chain, the account's next number and the condominiums; nothing in it is secret. What it prepares for is one transaction: for a second one, add --nonce
with the next number.")]
pub struct Prepare {
    /// The new file, or "-", stdout
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The account that will sign [default: the wallet's]
    #[arg(value_name = "ADDRESS")]
    account: Option<Address>,
}

impl Prepare {
    pub(super) async fn run(self, context: &Context) -> Result<(), CommandError> {
        context.require_neither_dry_nor_offline()?;
        let target = Target::of(self.file, context.options().output)?;
        let account = context.account(self.account)?;
        let status = context.client().status().await?;
        let next_nonce = match context.client().account(account).await {
            Ok(view) => view.next_nonce,
            // Its first transaction can only be its own registration.
            Err(error) if error.is_code("unknown_account") => 0,
            Err(error) => return Err(error.into()),
        };
        let known = context.client().condominiums().await?;
        let condominiums = known.into_iter().map(|view| Named { id: view.id, name: view.condominium.name }).collect();
        let prepared = Prepared::new(status, account, next_nonce, condominiums);
        let mut text = serde_json::to_vec_pretty(&prepared).map_err(|error| CommandError::Failed(error.to_string()))?;
        text.push(b'\n');
        target.write(&text)?;
        let Target::New(path) = &target else { return Ok(()) };
        context.put(&prepared, || {
            Facts::new()
                .with("written to", path.display().to_string())
                .with("for account", account.to_string())
                .with("on chain", format!("{} ({})", prepared.chain.chain_id, prepared.network))
                .with("next number", next_nonce.to_string())
                .with("expires at the latest", format!("{}, unless --valid-until says otherwise", time(prepared.chain.latest_expiry())))
                .text()
        })
    }
}
