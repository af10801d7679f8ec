//! `watt chain`: what the node says of the chain, decoded here.

mod account;
mod block;
mod status;
mod tx;

use clap::Subcommand;

pub(super) use self::account::put_account;
use super::{CommandError, Context};

/// Look at the chain.
#[derive(Subcommand, Debug)]
#[command(after_help = "Examples:\n  watt chain status\n  watt chain block 17\n  watt chain tx 5f0c9a")]
pub enum Chain {
    /// Show the network, its newest block and its validators
    Status(status::Status),
    /// Show a block, or list the newest
    Block(block::Block),
    /// Show a transaction in words, and prove that it is in its block
    Tx(tx::Tx),
    /// Show an account, its roles and its transactions
    Account(account::Account),
}

impl Chain {
    pub(super) async fn run(self, context: &Context) -> Result<(), CommandError> {
        match self {
            Self::Status(command) => command.run(context).await,
            Self::Block(command) => command.run(context).await,
            Self::Tx(command) => command.run(context).await,
            Self::Account(command) => command.run(context).await,
        }
    }
}
