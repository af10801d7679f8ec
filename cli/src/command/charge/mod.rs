//! `watt charge`: from a price to a bill.

mod cancel;
mod confirm;
mod quote;
mod start;
mod stop;
mod topup;
mod watch;

use clap::Subcommand;

use super::{CommandError, Context};

/// Start, watch and stop charges.
#[derive(Subcommand, Debug)]
#[command(
    after_help = "Examples:\n  watt charge quote 1-17 --energy 10\n  watt charge start 1-17 --energy 10 --watch\n  watt charge stop 5f0c9a"
)]
pub enum Charge {
    /// Show what a charge costs, before anything is locked
    Quote(quote::Quote),
    /// Start a charge: lock the most that it may cost
    Start(start::Start),
    /// Lock more for a charge that is open
    Topup(topup::Topup),
    /// Follow a charge to its bill
    Watch(watch::Watch),
    /// Stop a charge; what is not used comes back
    Stop(stop::Stop),
    /// Confirm a charge that your card has asked for, or show what waits for you
    Confirm(confirm::Confirm),
    /// Give up a charge that still waits; everything comes back
    Cancel(cancel::Cancel),
}

impl Charge {
    pub(super) async fn run(self, context: &Context) -> Result<(), CommandError> {
        match self {
            Self::Quote(command) => command.run(context).await,
            Self::Start(command) => command.run(context).await,
            Self::Topup(command) => command.run(context).await,
            Self::Watch(command) => command.run(context).await,
            Self::Stop(command) => command.run(context).await,
            Self::Confirm(command) => command.run(context).await,
            Self::Cancel(command) => command.run(context).await,
        }
    }
}
