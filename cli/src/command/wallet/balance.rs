//! `watt wallet balance`.

use ::chain::id::Address;
use clap::Args;

use crate::command::{CommandError, Context, chain::put_account};

/// Show what can be spent, what is locked and what is owed
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  watt wallet balance\n  watt wallet balance --wallet holiday\n  watt wallet balance watt1... --output json"
)]
pub struct Balance {
    /// Another account than the wallet's
    #[arg(value_name = "ADDRESS")]
    address: Option<Address>,
}

impl Balance {
    pub(super) async fn run(self, context: &Context) -> Result<(), CommandError> {
        put_account(context, context.account(self.address)?).await
    }
}
