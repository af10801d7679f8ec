//! `watt charge quote`.

use ::chain::{
    api::{MAX_QUOTE_ENERGY, QuoteView},
    id::ConnectorId,
    quantity::WattHours,
    time::Duration,
};
use clap::Args;

use crate::{
    client::QuoteQuery,
    command::{CommandError, Context},
    quantity::{Instant, duration, kwh, parse_duration, parse_instant, parse_kwh, time, tokens},
    render::Facts,
};

/// Show what a charge costs, before anything is locked
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  watt charge quote 1-17 --energy 10\n  watt charge quote 1-17 --energy 7.5 --duration 8h --at 22:00")]
pub struct Quote {
    /// Where, as condominium and number
    #[arg(value_name = "CONNECTOR")]
    connector: ConnectorId,
    #[command(flatten)]
    need: Need,
    /// From when: 22:00, +2h or 2026-11-23T22:00 [default: now]
    #[arg(long, value_name = "TIME", value_parser = parse_instant)]
    at: Option<Instant>,
}

/// How much and how long.
#[derive(Args, Clone, Copy, Debug)]
pub struct Need {
    /// How many kWh [default: all that the duration allows]
    #[arg(long, value_name = "KWH", value_parser = parse_need)]
    pub energy: Option<WattHours>,
    /// How long it may take, from the first current on, such as 8h or 90m
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "12h")]
    pub duration: Duration,
}

fn parse_need(text: &str) -> Result<WattHours, String> {
    let energy = parse_kwh(text)?;
    if energy.is_zero() || energy > MAX_QUOTE_ENERGY {
        return Err(format!("expected more than 0 and at most {}", kwh(MAX_QUOTE_ENERGY)));
    }
    Ok(energy)
}

impl Quote {
    pub(super) async fn run(self, context: &Context) -> Result<(), CommandError> {
        let status = context.status().await?;
        let at = self.at.map(|at| at.resolve(status.now));
        let query = QuoteQuery { connector: self.connector, energy: self.need.energy, max_duration: Some(self.need.duration), at };
        let quote = context.client().quote(query).await?;
        context.put(&quote, || quote_facts(&quote, self.need.energy, &status.currency).text())
    }
}

/// A quote in words.
pub(super) fn quote_facts(quote: &QuoteView, energy: Option<WattHours>, currency: &str) -> Facts {
    let money = |amount| tokens(amount, currency);
    let facts = Facts::new()
        .with("connector", quote.connector.to_string())
        .with("tariff", format!("{} version {}", quote.tariff, quote.tariff_version))
        .with("price now", format!("{} per kWh", money(quote.price_per_kwh)))
        .with_some("price changes", quote.next_change.map(time));
    let facts = if quote.flat.is_zero() { facts } else { facts.with("once", money(quote.flat)) };
    facts
        .with_some("energy", energy.map(kwh))
        .with("expected", money(quote.expected))
        .with("at most", format!("{} within {}", money(quote.maximum), duration(quote.max_duration)))
}
