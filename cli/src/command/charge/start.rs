//! `watt charge start`.

use ::chain::{
    id::{ConnectorId, SessionId},
    quantity::Amount,
};
use clap::Args;
use contracts::call::{Call, OpenSession, Priority};

use super::{
    quote::{Need, quote_facts},
    watch::{check_output, follow},
};
use crate::{
    client::QuoteQuery,
    command::{CommandError, Context},
    quantity::{Instant, parse_instant, parse_tokens, tokens},
    render::Facts,
};

/// Start a charge: lock the most that it may cost
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  watt charge start 1-17 --energy 10
  watt charge start 1-17 --energy 10 --duration 8h --depart 07:30 --watch
  watt charge start 1-17 --max-spend 5 --yes

Locked is the most that the energy can cost within the duration, or --max-spend; what is not used comes back with the bill. The energy is a wish that ends nothing;
money, time and the vehicle do.")]
pub struct Start {
    /// Where, as condominium and number
    #[arg(value_name = "CONNECTOR")]
    connector: ConnectorId,
    #[command(flatten)]
    need: Need,
    /// Lock this instead: the charge ends when it is spent
    #[arg(long, value_name = "TOKENS", value_parser = parse_tokens)]
    max_spend: Option<Amount>,
    /// The version of the tariff that you were shown [default: the one that the quote names]
    #[arg(long, value_name = "N")]
    tariff_version: Option<u32>,
    /// When you leave: 07:30, +8h or 2026-11-23T07:30
    #[arg(long, value_name = "TIME", value_parser = parse_instant)]
    depart: Option<Instant>,
    /// How full the battery is now
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(0..=100))]
    state_of_charge: Option<u8>,
    /// Follow it to its bill
    #[arg(long)]
    watch: bool,
}

impl Start {
    pub(super) async fn run(self, context: &Context) -> Result<(), CommandError> {
        if self.watch {
            check_output(context)?;
        }
        let status = context.status().await?;
        let (tariff_version, max_spend) = if context.is_offline() {
            self.tariff_version.zip(self.max_spend).ok_or_else(|| {
                CommandError::Usage(
                    "without a node there is no quote: give --tariff-version and --max-spend, as `watt charge quote` showed them"
                        .to_owned(),
                )
            })?
        } else {
            let query =
                QuoteQuery { connector: self.connector, energy: self.need.energy, max_duration: Some(self.need.duration), at: None };
            let quote = context.client().quote(query).await?;
            tell!("{}", quote_facts(&quote, self.need.energy, &status.currency).text());
            let max_spend = self.max_spend.unwrap_or(quote.maximum);
            if max_spend < quote.expected && self.need.energy.is_some() {
                tell!("note: {} may not be enough for the energy you need\n", tokens(max_spend, &status.currency));
            }
            (self.tariff_version.unwrap_or(quote.tariff_version), max_spend)
        };
        let call = OpenSession {
            connector: self.connector,
            tariff_version,
            max_spend,
            max_duration: self.need.duration,
            energy_target: self.need.energy,
            state_of_charge: self.state_of_charge,
            depart_by: self.depart.map(|at| at.resolve(status.now)),
            window: None,
            priority: Priority::None,
        };
        let done = context.submit(&status, Call::OpenSession(call)).await?;
        let session = SessionId(done.id.0);
        context.put_done(
            &done,
            Facts::new()
                .with("session", session.to_string())
                .with("connector", self.connector.to_string())
                .with("locked", tokens(max_spend, &status.currency)),
        )?;
        if self.watch {
            return follow(context, session).await;
        }
        // So much of the id that no other session of a condominium begins so.
        let name: String = session.to_string().chars().take(12).collect();
        let wallet = context.options().wallet.as_deref().map(|wallet| format!(" --wallet {wallet}")).unwrap_or_default();
        tell!(
            "\nit waits until the scheduler gives it current; why, and about when, you see as you follow it\nfollow it with: watt charge watch {name}{wallet}\nstop it with:   watt charge stop {name}{wallet}"
        );
        Ok(())
    }
}
