//! `watt session`: charging sessions, their readings and their proven receipts.

mod list;
mod readings;
mod receipt;
mod show;

use clap::Subcommand;

pub(super) use self::{
    receipt::validators_of,
    show::{bill_facts, state_text, unplaced, view_facts},
};
use super::{CommandError, Context};

/// Look at charging sessions and check their receipts.
#[derive(Subcommand, Debug)]
#[command(after_help = "Examples:\n  watt session list\n  watt session show 5f0c9a\n  watt session receipt 5f0c9a")]
pub enum Session {
    /// List sessions, newest first
    List(list::List),
    /// Show a session: where it stands, or its bill
    Show(show::Show),
    /// Fetch a settled session's receipt, check its proof and say what it shows
    Receipt(receipt::Receipt),
    /// List the meter readings that were attested
    Readings(readings::Readings),
}

impl Session {
    pub(super) async fn run(self, context: &Context) -> Result<(), CommandError> {
        match self {
            Self::List(command) => command.run(context).await,
            Self::Show(command) => command.run(context).await,
            Self::Receipt(command) => command.run(context).await,
            Self::Readings(command) => command.run(context).await,
        }
    }
}
