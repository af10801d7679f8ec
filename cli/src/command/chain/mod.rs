//! `watt chain`: what the node says of the chain, decoded here.

mod account;
mod block;
mod prepare;
mod status;
mod submit;
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
    /// Write what a wallet without a node needs to sign a transaction
    Prepare(prepare::Prepare),
    /// Submit a transaction that was signed without a node
    Submit(submit::Submit),
    /// Show a transaction that was signed without a node, on this machine alone
    Decode(submit::Decode),
}

impl Chain {
    pub(super) async fn run(self, context: &Context) -> Result<(), CommandError> {
        match self {
            Self::Status(command) => command.run(context).await,
            Self::Block(command) => command.run(context).await,
            Self::Tx(command) => command.run(context).await,
            Self::Account(command) => command.run(context).await,
            Self::Prepare(command) => command.run(context).await,
            Self::Submit(command) => command.run(context).await,
            Self::Decode(command) => command.run(context),
        }
    }
}
