//! `watt wallet balance`.

use std::path::PathBuf;

use ::chain::{
    id::{Address, ChainId},
    verify::Checkpoint,
};
use clap::Args;

use crate::{
    command::{CommandError, Context, chain::put_account, file::Target, proof::Ground},
    proof::Claim,
};

/// Show what can be spent, what is locked and what is owed
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  watt wallet balance\n  watt wallet balance --wallet holiday\n  watt wallet balance watt1... --output json\n  watt wallet balance --proof balance.json    a file that shows it to others: `watt audit verify`"
)]
pub struct Balance {
    /// Another account than the wallet's
    #[arg(value_name = "ADDRESS")]
    address: Option<Address>,
    /// Write a new file (or "-", stdout) that proves the balance to whoever checks it with `watt audit verify`
    #[arg(long, value_name = "FILE")]
    proof: Option<PathBuf>,
    /// The chain that it must be of: the hash of its genesis document
    #[arg(long, value_name = "HASH", requires = "proof", visible_alias = "chain-id")]
    genesis: Option<ChainId>,
    /// A block that the proof must reach: its height and the hash of its header
    #[arg(long, value_name = "HEIGHT:HASH", requires = "proof")]
    checkpoint: Option<Checkpoint>,
}

impl Balance {
    pub(super) async fn run(self, context: &Context) -> Result<(), CommandError> {
        let address = context.account(self.address)?;
        let Some(path) = self.proof else { return put_account(context, address).await };
        let target = Target::of(path, context.options().output)?;
        let ground = Ground::of(context, self.genesis, self.checkpoint).await?;
        let answer = context.client().account_proof(address, ground.checkpoint()).await;
        ground.keep(context, &target, answer.map(|proof| Claim::Account(Box::new(proof))))
    }
}
