//! `watt clearing`: what condominiums owe one another for charging away from home, and how they pay it.

mod names;
mod payment;
mod period;
mod position;

use clap::Subcommand;

use super::{CommandError, Context};

/// See and settle what condominiums owe one another for charging away from home.
#[derive(Subcommand, Debug)]
#[command(after_help = "Examples:
  watt clearing positions                      who owes whom now, and how much more is allowed
  watt clearing show                           the period that runs: what was charged where, who would pay whom
  watt clearing close --condominium 1          end the period (treasurer)
  watt clearing show 3 --condominium 1         a condominium's statement of clearing 3
  watt clearing report 3 --from 1 --to 2       the money was sent (treasurer of 1)
  watt clearing confirm 3 --from 1 --to 2      the money has arrived (treasurer of 2)")]
pub enum Clearing {
    /// Show who owes whom now, and how much is allowed
    Positions(position::Positions),
    /// Say how much any other condominium may owe one (treasurer)
    Limit(position::Limit),
    /// List the periods that have ended
    List(period::List),
    /// Show a period: what was charged where, and who pays whom
    Show(period::Show),
    /// End the period: what is owed is netted and becomes payments (treasurer)
    Close(period::Close),
    /// List the payments that are not confirmed
    Payments(payment::Payments),
    /// Say that a payment was sent (treasurer of who pays)
    Report(payment::Report),
    /// Confirm that a payment has arrived (treasurer of who is paid)
    Confirm(payment::Confirm),
    /// Say that a payment has not arrived (treasurer of who is paid)
    Missing(payment::Missing),
}

impl Clearing {
    pub(super) async fn run(self, context: &Context) -> Result<(), CommandError> {
        match self {
            Self::Positions(command) => command.run(context).await,
            Self::Limit(command) => command.run(context).await,
            Self::List(command) => command.run(context).await,
            Self::Show(command) => command.run(context).await,
            Self::Close(command) => command.run(context).await,
            Self::Payments(command) => command.run(context).await,
            Self::Report(command) => command.run(context).await,
            Self::Confirm(command) => command.run(context).await,
            Self::Missing(command) => command.run(context).await,
        }
    }
}
