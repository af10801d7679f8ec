//! `watt mandate`: what a resident's cards may start without asking him.

use ::chain::{
    api::Unit,
    id::Address,
    quantity::Amount,
    record::{Mandate as Record, MandateTerms},
    time::Duration,
    words::in_words,
};
use clap::{Args, Subcommand};
use contracts::{
    call::{Call, GrantMandate, RevokeMandate},
    pattern::HIGHEST,
};

use super::{CommandError, Context};
use crate::{
    csv::{self, Csv},
    quantity::{parse_duration, parse_tokens, time, tokens},
    render::{Facts, Rows},
};

/// Let cards start charges in your name, within limits that you sign once.
#[derive(Subcommand, Debug)]
#[command(after_help = "Examples:
  watt mandate grant --session 10 --day 20 --per-kwh 0.30
  watt mandate list
  watt mandate revoke

A manager binds the card (`watt admin card bind`); the mandate says what it may start. What a charge does not cost comes back, as always.")]
pub enum Mandate {
    /// Grant a mandate, or replace the one that you granted
    Grant(Grant),
    /// Take a mandate back; charges that run go on
    Revoke(Revoke),
    /// List the mandates of an account, and what was used of them today
    List(List),
}

/// Grant a mandate, or replace the one that you granted
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  watt mandate grant --session 10 --day 20 --per-kwh 0.30
  watt mandate grant --session 10 --day 20 --per-kwh 0.30 --per-hour 1 --valid 90d --connector 17 --connector 18

--day is at least --session.

A tariff counts as dear as its dearest hour: a charge that waits may come into it.

How unusual a start looks is told from hour, type of day and the time since your last charge: 950 is more unusual than 95 % of your last 60, 0 is every start. It is
a signal and no proof; until ten of your charges are known there is none. docs/mandates.md says how well it tells people apart.")]
pub struct Grant {
    /// The most tokens that one charge may lock
    #[arg(long, value_name = "TOKENS", value_parser = parse_tokens)]
    session: Amount,
    /// The most tokens that the charges of one day (UTC) may cost together
    #[arg(long, value_name = "TOKENS", value_parser = parse_tokens)]
    day: Amount,
    /// The highest price per kWh that you accept
    #[arg(long, value_name = "TOKENS", value_parser = parse_tokens)]
    per_kwh: Amount,
    /// The highest price per hour, charging or parked, that you accept
    #[arg(long, value_name = "TOKENS", value_parser = parse_tokens, default_value = "0")]
    per_hour: Amount,
    /// How long it is good, at most 366 days
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "365d")]
    valid: Duration,
    /// From which score on, 0 to 1000, a start that is unusual for you needs your confirmation (`watt charge confirm`); `never` for none
    #[arg(long, value_name = "SCORE", value_parser = parse_score, default_value = "950")]
    confirm_from: u16,
    /// Only at this connector, by number; may be given several times [default: all of the condominium]
    #[arg(long = "connector", value_name = "NUMBER")]
    connectors: Vec<u32>,
    /// Where [default: the only one]
    #[arg(long, value_name = "NUMBER")]
    condominium: Option<u32>,
}

/// A score, or `never`.
fn parse_score(text: &str) -> Result<u16, String> {
    match text.parse() {
        Ok(score) if score <= HIGHEST => Ok(score),
        _ if text == "never" => Ok(u16::MAX),
        _ => Err(format!("expected 0 to {HIGHEST}, or never")),
    }
}

/// Take a mandate back; charges that run go on
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  watt mandate revoke\n  watt mandate revoke --condominium 2")]
pub struct Revoke {
    /// Where [default: the only one]
    #[arg(long, value_name = "NUMBER")]
    condominium: Option<u32>,
}

/// List the mandates of an account, and what was used of them today
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  watt mandate list\n  watt mandate list watt1...")]
pub struct List {
    /// The account [default: the wallet's]
    #[arg(value_name = "ADDRESS")]
    account: Option<Address>,
}

impl Mandate {
    pub(super) async fn run(self, context: &Context) -> Result<(), CommandError> {
        match self {
            Self::Grant(command) => command.run(context).await,
            Self::Revoke(command) => command.run(context).await,
            Self::List(command) => command.run(context).await,
        }
    }
}

impl Grant {
    async fn run(self, context: &Context) -> Result<(), CommandError> {
        // The chain would take it, and the limit of a charge would mean nothing.
        if self.day < self.session {
            let [session, day] = [self.session, self.day].map(|amount| in_words(Unit::MicroTokens, amount.micro()));
            return Err(CommandError::Usage(format!(
                "a charge may lock {session} by --session, and all charges of a day {day} by --day: no charge could ever lock more than {day}. Give --day at least {session}, or --session at most {day}"
            )));
        }
        let condominium = context.condominium(self.condominium).await?;
        let status = context.status().await?;
        // The newest block may be ahead of the clock; an end counted from the earlier of both is never too far.
        let expires = status.now.min(status.timestamp).saturating_add(self.valid);
        let terms = MandateTerms {
            max_per_session: self.session,
            max_per_day: self.day,
            max_price_per_kwh: self.per_kwh,
            max_price_per_hour: self.per_hour,
            expires,
            connectors: self.connectors,
            confirm_from: self.confirm_from,
        };
        let done = context.submit(&status, Call::GrantMandate(GrantMandate { condominium, terms })).await?;
        let facts = Facts::new().with("mandate for", format!("condominium {condominium}")).with("good until", time(expires));
        context.put_done(&done, facts)
    }
}

impl Revoke {
    async fn run(self, context: &Context) -> Result<(), CommandError> {
        let condominium = context.condominium(self.condominium).await?;
        let status = context.status().await?;
        let done = context.submit(&status, Call::RevokeMandate(RevokeMandate { condominium })).await?;
        context.put_done(&done, Facts::new().with("mandate taken back", format!("condominium {condominium}")))
    }
}

impl List {
    async fn run(self, context: &Context) -> Result<(), CommandError> {
        let account = context.account(self.account)?;
        let currency = context.status().await?.currency;
        let mandates = context.client().mandates(account).await?;
        context.put_list(
            &mandates,
            || {
                let columns =
                    ["CONDOMINIUM", "A SESSION", "A DAY", "USED TODAY", "PER KWH", "PER HOUR", "UNTIL", "CONNECTORS", "ASKS FROM"];
                let mut rows = Rows::new(&columns, "There is no mandate: cards start nothing.");
                for view in &mandates {
                    let Record { terms, .. } = &view.mandate;
                    let money = |amount| tokens(amount, &currency);
                    let numbers: Vec<String> = terms.connectors.iter().map(u32::to_string).collect();
                    rows.push([
                        view.condominium.to_string(),
                        money(terms.max_per_session),
                        money(terms.max_per_day),
                        money(view.used_today),
                        money(terms.max_price_per_kwh),
                        money(terms.max_price_per_hour),
                        time(terms.expires),
                        if numbers.is_empty() { "all".to_owned() } else { numbers.join(", ") },
                        if terms.confirm_from > HIGHEST { "never".to_owned() } else { terms.confirm_from.to_string() },
                    ]);
                }
                rows.text()
            },
            || {
                let mut csv = Csv::new(&[
                    "condominium",
                    "max_per_session_micro",
                    "max_per_day_micro",
                    "used_today_micro",
                    "max_per_kwh_micro",
                    "max_per_hour_micro",
                    "expires",
                    "connectors",
                    "confirm_from",
                ]);
                for view in &mandates {
                    let Record { terms, .. } = &view.mandate;
                    let numbers: Vec<String> = terms.connectors.iter().map(u32::to_string).collect();
                    csv.push([
                        csv::number(view.condominium.0),
                        csv::micro(terms.max_per_session),
                        csv::micro(terms.max_per_day),
                        csv::micro(view.used_today),
                        csv::micro(terms.max_price_per_kwh),
                        csv::micro(terms.max_price_per_hour),
                        csv::at(terms.expires),
                        csv::text(numbers.join(" ")),
                        if terms.confirm_from > HIGHEST { csv::text("never") } else { csv::number(terms.confirm_from) },
                    ]);
                }
                csv
            },
        )
    }
}
