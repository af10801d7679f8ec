//! `watt wallet`: keys on this machine and the tokens on the chain.

mod accept;
mod balance;
mod import;
mod list;
mod new;
mod receive;
mod recover;
mod redeem;
mod send;
mod show;

use clap::Subcommand;

use super::{CommandError, Context};

/// Make, recover and use wallets.
#[derive(Subcommand, Debug)]
#[command(after_help = "Examples:\n  watt wallet new\n  watt wallet balance\n  watt wallet send watt1... 12.5")]
pub enum Wallet {
    /// Make a new wallet and show its words once
    New(new::New),
    /// Make a wallet from its words
    Recover(recover::Recover),
    /// Make a wallet from a bare key, such as one that `wattd init` made
    Import(import::Import),
    /// List the wallets of this machine
    List(list::List),
    /// Show a wallet's address, or its words
    Show(show::Show),
    /// Show what can be spent, what is locked and what is owed
    Balance(balance::Balance),
    /// Send tokens to another account
    Send(send::Send),
    /// Show the address to be paid at
    Receive(receive::Receive),
    /// Ask for tokens to be paid out in money
    Redeem(redeem::Redeem),
    /// Register the wallet's account with an invite
    Accept(accept::Accept),
}

impl Wallet {
    pub(super) async fn run(self, context: &Context) -> Result<(), CommandError> {
        match self {
            Self::New(command) => command.run(context),
            Self::Recover(command) => command.run(context),
            Self::Import(command) => command.run(context),
            Self::List(command) => command.run(context),
            Self::Show(command) => command.run(context),
            Self::Balance(command) => command.run(context).await,
            Self::Send(command) => command.run(context).await,
            Self::Receive(command) => command.run(context).await,
            Self::Redeem(command) => command.run(context).await,
            Self::Accept(command) => command.run(context).await,
        }
    }
}
