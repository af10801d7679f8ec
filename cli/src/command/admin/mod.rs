//! `watt admin`: what managers and treasurers of a condominium do, with a wallet that holds the role.

mod card;
mod connector;
mod group;
mod meter;
mod monitor;
mod redeem;
pub(super) mod resident;
mod role;
mod sell;
mod tariff;

use clap::Subcommand;

pub use self::{resident::InviteText, tariff::read_tariff};
use super::{CommandError, Context};

/// Run a condominium: tokens, groups, connectors, meters, tariffs, roles, residents, cards.
#[derive(Subcommand, Debug)]
#[command(after_help = "Examples:
  watt admin sell watt1... 50 --wallet treasurer
  watt admin connector put 1-17 --group 1 --rated 32 --tariff 1 --wallet manager
  watt admin role list

The chain decides: the wallet's account must hold the role, Manager or Treasurer, that a call needs.")]
pub enum Admin {
    /// Sell tokens that a resident has paid for (treasurer)
    Sell(sell::Sell),
    /// List redemptions; confirm or refuse one (treasurer)
    #[command(subcommand)]
    Redeem(redeem::Redeem),
    /// List groups; make or change one (manager)
    #[command(subcommand)]
    Group(group::Group),
    /// List connectors; make or change one (manager)
    #[command(subcommand)]
    Connector(connector::Connector),
    /// List meters; exchange one (manager)
    #[command(subcommand)]
    Meter(meter::Meter),
    /// List tariffs; add a version (manager)
    #[command(subcommand)]
    Tariff(tariff::Tariff),
    /// List roles; grant, revoke or rotate one, lift a suspension (manager)
    #[command(subcommand)]
    Role(role::Role),
    /// Register a resident or write an invite (manager or treasurer)
    #[command(subcommand)]
    Resident(resident::Resident),
    /// List cards; bind or erase one (manager)
    #[command(subcommand)]
    Card(card::Card),
    /// Show what the node's gateway sees at its connectors, and what is wrong
    Monitor(monitor::Monitor),
}

impl Admin {
    pub(super) async fn run(self, context: &Context) -> Result<(), CommandError> {
        match self {
            Self::Sell(command) => command.run(context).await,
            Self::Redeem(command) => command.run(context).await,
            Self::Group(command) => command.run(context).await,
            Self::Connector(command) => command.run(context).await,
            Self::Meter(command) => command.run(context).await,
            Self::Tariff(command) => command.run(context).await,
            Self::Role(command) => command.run(context).await,
            Self::Resident(command) => command.run(context).await,
            Self::Card(command) => command.run(context).await,
            Self::Monitor(command) => command.run(context).await,
        }
    }
}
