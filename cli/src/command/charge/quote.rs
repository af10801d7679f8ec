//! `watt charge quote`.

use ::chain::{
    api::{AmountByComponent, MAX_QUOTE_ENERGY, QuoteView},
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
    /// How long it may take, from the first grant of current on, such as 8h or 90m
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
    let prices = [
        (quote.price_per_kwh, "per kWh"),
        (quote.price_per_hour, "per hour of charging"),
        (quote.price_per_hour_parked, "per hour parked full"),
        (quote.flat, "once"),
    ];
    let prices: Vec<String> = prices
        .iter()
        .filter(|(price, _)| !price.is_zero())
        .map(|(price, unit)| match *unit {
            "per hour parked full" if !quote.parking_grace.is_zero() => {
                format!("{} {unit} from {} on", money(*price), duration(quote.parking_grace))
            }
            unit => format!("{} {unit}", money(*price)),
        })
        .collect();
    let prices = if prices.is_empty() { "free of charge".to_owned() } else { prices.join(" + ") };
    let expected = format!("{} for {} in {}", money(quote.expected), kwh(quote.expected_energy), duration(quote.expected_duration));
    Facts::new()
        .with("connector", quote.connector.to_string())
        .with("tariff", format!("{} version {}", quote.tariff, quote.tariff_version))
        .with("price now", prices)
        .with_some("price may change", quote.next_change.map(time))
        .with_some("at least", quote.min_price.map(|least| format!("{}, once anything was used", money(least))))
        .with_some("never more than", quote.max_price.map(money))
        .with_some("energy", energy.map(kwh))
        .with("expected", expected)
        .with_some("", parts_text(&quote.expected_parts, currency))
        .with("at most", format!("{} within {}", money(quote.maximum), duration(quote.max_duration)))
        .with_some("", parts_text(&quote.maximum_parts, currency))
}

/// What of an amount is for what, where it is for more than one thing.
fn parts_text(parts: &AmountByComponent, currency: &str) -> Option<String> {
    let named = [("energy", parts.energy), ("charging time", parts.time), ("parking", parts.parking_time), ("once", parts.flat)];
    let shown: Vec<String> = named
        .iter()
        .filter(|(_, amount)| !amount.is_zero())
        .map(|(name, amount)| format!("{name} {}", tokens(*amount, currency)))
        .collect();
    (shown.len() > 1).then(|| shown.join(" + "))
}
