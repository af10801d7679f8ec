//! `watt clearing list`, `show` and `close`.

use ::chain::{
    api::{PaymentView, StatementView},
    id::CondominiumId,
    quantity::Amount,
    receipt::Event,
};
use clap::Args;
use contracts::call::{Call, ClearPositions};

use super::{names::Names, payment};
use crate::{
    command::{CommandError, Context},
    csv::{self, Csv},
    describe,
    quantity::{count, kwh, time, tokens},
    render::{Facts, Rows},
};

/// List the periods that have ended
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  watt clearing list\n  watt clearing list --output json")]
pub struct List {}

/// Show a period: what was charged where, and who pays whom
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  watt clearing show
  watt clearing show 3
  watt clearing show 3 --condominium 1 --output json

Without a number it is the period that runs; its payments are what they would be if it ended now. The figures are sums of condominiums: they name nobody.")]
pub struct Show {
    /// Which period [default: the one that runs]
    #[arg(value_name = "CLEARING")]
    clearing: Option<u32>,
    /// Only what this one has to do with
    #[arg(long, value_name = "NUMBER")]
    condominium: Option<u32>,
}

/// End the period: what is owed is netted and becomes payments (treasurer)
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  watt clearing close
  watt clearing close --condominium 1 --yes

It ends the period for all condominiums. Whoever owes and is owed steps out of the middle, as far as the limits of those who are owed allow.")]
pub struct Close {
    /// Whose treasurer asks [default: the only one]
    #[arg(long, value_name = "NUMBER")]
    condominium: Option<u32>,
}

impl List {
    pub(super) async fn run(self, context: &Context) -> Result<(), CommandError> {
        let clearings = context.client().clearings().await?;
        context.put_list(
            &clearings,
            || {
                let mut rows = Rows::new(&["CLEARING", "FROM", "TO", "BLOCK"], "No period has ended yet.");
                for view in &clearings {
                    let clearing = view.clearing;
                    let from = clearing.from.map_or_else(|| "the beginning".to_owned(), time);
                    rows.push([view.number.to_string(), from, time(clearing.until), clearing.height.to_string()]);
                }
                rows.text()
            },
            || {
                let mut csv = Csv::new(&["clearing", "from", "until", "height"]);
                for view in &clearings {
                    let clearing = view.clearing;
                    let from = csv::some(clearing.from, csv::at);
                    csv.push([csv::number(view.number), from, csv::at(clearing.until), csv::number(clearing.height.0)]);
                }
                csv
            },
        )
    }
}

impl Show {
    pub(super) async fn run(self, context: &Context) -> Result<(), CommandError> {
        let (currency, names) = (context.status().await?.currency, Names::ask(context).await?);
        let only = self.condominium.map(|number| names.known(number)).transpose()?;
        let mut statement = context.client().statement(self.clearing).await?;
        if let Some(only) = only {
            statement.roaming.retain(|row| row.home == only || row.host == only);
            statement.payments.retain(|row| row.debtor == only || row.creditor == only);
        }
        context.put_list(&statement, || text(&statement, only, &names, &currency), || csv_rows(&statement, &names))
    }
}

/// What was charged away from home, for a spreadsheet; who pays whom is `watt clearing payments`' list.
fn csv_rows(statement: &StatementView, names: &Names) -> Csv {
    let mut csv = Csv::new(&[
        "clearing",
        "from",
        "until",
        "home",
        "home_name",
        "host",
        "host_name",
        "sessions",
        "energy_wh",
        "charged_micro",
        "transfers",
        "transferred_micro",
    ]);
    for row in &statement.roaming {
        let roaming = row.roaming;
        csv.push([
            csv::number(statement.number),
            csv::some(statement.from, csv::at),
            csv::some(statement.until, csv::at),
            csv::number(row.home.0),
            csv::text(names.name(row.home)),
            csv::number(row.host.0),
            csv::text(names.name(row.host)),
            csv::number(roaming.sessions),
            csv::wh(roaming.energy),
            csv::micro(roaming.charged),
            csv::number(roaming.transfers),
            csv::micro(roaming.transferred),
        ]);
    }
    csv
}

fn text(statement: &StatementView, only: Option<CondominiumId>, names: &Names, currency: &str) -> String {
    let money = |amount| tokens(amount, currency);
    let from = statement.from.map_or_else(|| "the beginning".to_owned(), time);
    let until = statement.until.map_or_else(|| "now, still running".to_owned(), time);
    let mut facts = Facts::new().with("clearing", statement.number.to_string()).with("period", format!("from {from} to {until}"));
    if let Some(only) = only {
        let sum = |is_ours: fn(&PaymentView, CondominiumId) -> bool| {
            let ours = statement.payments.iter().filter(|view| is_ours(view, only)).map(|view| view.amount);
            money(Amount::sum(ours).unwrap_or(Amount::MAX))
        };
        facts = facts
            .with("condominium", names.of(only))
            .with("pays", sum(|view, only| view.debtor == only))
            .with("gets", sum(|view, only| view.creditor == only));
    }
    let columns = ["RESIDENTS OF", "CHARGED AT", "SESSIONS", "ENERGY", "PAID", "TRANSFERS", "SENT"];
    let mut rows = Rows::new(&columns, "Nobody charged away from home or sent tokens there.");
    for row in &statement.roaming {
        let roaming = row.roaming;
        rows.push([
            names.of(row.home),
            names.of(row.host),
            roaming.sessions.to_string(),
            kwh(roaming.energy),
            money(roaming.charged),
            roaming.transfers.to_string(),
            money(roaming.transferred),
        ]);
    }
    format!("{}\n{}\n{}", facts.text(), rows.text(), payment::rows(&statement.payments, names, currency))
}

impl Close {
    pub(super) async fn run(self, context: &Context) -> Result<(), CommandError> {
        let status = context.status().await?;
        let condominium = context.condominium(self.condominium).await?;
        let done = context.submit(&status, Call::ClearPositions(ClearPositions { condominium })).await?;
        let names = Names::ask(context).await.unwrap_or_default();
        let events = &done.committed.receipt.events;
        let facts = events.iter().fold(Facts::new(), |facts, event| facts.with("", closed(event, &names, &done.currency)));
        context.put_done(&done, facts)
    }
}

/// What the end of a period did, with names.
fn closed(event: &Event, names: &Names, currency: &str) -> String {
    if let Event::RoamingClosed { clearing: _, home, host, roaming } = event {
        let (charged, sent) = (tokens(roaming.charged, currency), tokens(roaming.transferred, currency));
        let (sessions, energy) = (count(roaming.sessions, "session"), kwh(roaming.energy));
        return format!(
            "residents of {} charged {charged} at {} ({sessions}, {energy}) and sent {sent} there",
            names.of(*home),
            names.of(*host)
        );
    }
    if let Event::PaymentDue { clearing: _, debtor, creditor, amount } = event {
        return format!("{} has to pay {} to {}", names.of(*debtor), tokens(*amount, currency), names.of(*creditor));
    }
    if let Event::PositionsCleared { clearing, condominium, from, until } = event {
        let from = from.map_or_else(|| "the beginning".to_owned(), time);
        return format!("clearing {clearing}, asked for by {}: from {from} to {}", names.of(*condominium), time(*until));
    }
    describe::event(event, currency)
}
