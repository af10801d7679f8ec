//! `watt admin meter`: the meters behind connectors, and their exchange, which manager and gateway have to agree on.

use ::chain::{
    id::ConnectorId,
    quantity::WattHours,
    receipt::{Event, Outcome},
};
use clap::{Args, Subcommand};
use contracts::call::{Call, ReplaceMeter};

use crate::{
    command::{CommandError, Context},
    csv::{self, Csv},
    describe,
    quantity::{kwh, time},
    render::{Facts, Rows},
};

/// List meters; exchange one (manager)
#[derive(Subcommand, Debug)]
#[command(after_help = "Examples:
  watt admin meter list
  watt admin meter replace 1-17 --last 8123456 --first 0 --wallet manager")]
pub enum Meter {
    /// List what meters have counted, which were exchanged and what waits for an agreement
    List(List),
    /// Say that a connector's meter was exchanged, or agree to it
    Replace(Replace),
}

/// List what meters have counted, which were exchanged and what waits for an agreement
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  watt admin meter list\n  watt admin meter list --output json")]
pub struct List {}

/// Say that a connector's meter was exchanged, or agree to it
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  watt admin meter replace 1-17 --last 8123456 --first 0
  watt admin meter replace 1-17 --last 8123456 --first 120 --yes

Call it after the exchange, with both meters' registers as they were read off, in Wh. The gateway says the same by itself as soon as its unit reports a meter
that fits; the exchange takes effect then, and lapses after 24 hours without it. While a session is metered, the old meter's last register must be the one
that was attested last: stop the session first where it is not. `watt admin meter list` shows what the old meter last counted.")]
pub struct Replace {
    /// Which connector
    #[arg(value_name = "CONNECTOR")]
    connector: ConnectorId,
    /// What the old meter shows at its end, in Wh
    #[arg(long, value_name = "WH")]
    last: u64,
    /// What the new meter shows at its beginning, in Wh
    #[arg(long, value_name = "WH")]
    first: u64,
}

impl Meter {
    pub(super) async fn run(self, context: &Context) -> Result<(), CommandError> {
        match self {
            Self::List(List {}) => list(context).await,
            Self::Replace(command) => command.run(context).await,
        }
    }
}

async fn list(context: &Context) -> Result<(), CommandError> {
    let connectors = context.client().connectors().await?;
    let text = || {
        let columns = ["CONNECTOR", "REGISTER", "METER SHOWS", "NOBODY'S", "EXCHANGES", "WAITS FOR AN AGREEMENT"];
        let mut rows = Rows::new(&columns, "There is no connector yet: `watt admin connector put` makes one.");
        for view in &connectors {
            let register = view.connector.last_register;
            let shown = view.meter.map_or(Some(register), |meter| meter.shown(register));
            let exchanges =
                view.meter.map_or_else(|| "-".to_owned(), |meter| format!("{}, the last at {}", meter.exchanges, time(meter.since)));
            let waits = view.meter_proposal.map_or_else(
                || "-".to_owned(),
                |proposal| {
                    format!(
                        "{}: from {} to {}, until {}",
                        describe::role(proposal.role),
                        kwh(proposal.last),
                        kwh(proposal.first),
                        time(proposal.until)
                    )
                },
            );
            rows.push([
                view.id.to_string(),
                kwh(register),
                shown.map_or_else(|| "-".to_owned(), kwh),
                kwh(view.connector.unassigned),
                exchanges,
                waits,
            ]);
        }
        rows.text()
    };
    let csv = || {
        let columns = [
            "connector",
            "register_wh",
            "shown_wh",
            "unassigned_wh",
            "exchanges",
            "exchanged_at",
            "proposed_by",
            "last_wh",
            "first_wh",
            "until",
        ];
        let mut csv = Csv::new(&columns);
        for view in &connectors {
            let register = view.connector.last_register;
            let shown = view.meter.map_or(Some(register), |meter| meter.shown(register));
            csv.push([
                csv::text(view.id),
                csv::wh(register),
                csv::some(shown, csv::wh),
                csv::wh(view.connector.unassigned),
                csv::number(view.meter.map_or(0, |meter| meter.exchanges)),
                csv::some(view.meter, |meter| csv::at(meter.since)),
                csv::some(view.meter_proposal, |proposal| csv::text(describe::role(proposal.role))),
                csv::some(view.meter_proposal, |proposal| csv::wh(proposal.last)),
                csv::some(view.meter_proposal, |proposal| csv::wh(proposal.first)),
                csv::some(view.meter_proposal, |proposal| csv::at(proposal.until)),
            ]);
        }
        csv
    };
    context.put_list(&connectors, text, csv)
}

impl Replace {
    async fn run(self, context: &Context) -> Result<(), CommandError> {
        let status = context.status().await?;
        let Self { connector, last, first } = self;
        let call = ReplaceMeter { connector, last: WattHours::new(last), first: WattHours::new(first) };
        let done = context.submit(&status, Call::ReplaceMeter(call)).await?;
        let receipt = &done.committed.receipt;
        let replaced =
            receipt.outcome == Outcome::Applied && receipt.events.iter().any(|event| matches!(event, Event::MeterReplaced { .. }));
        let state = if replaced {
            "exchanged: both have said the same"
        } else {
            "waits for the gateway, which agrees when its unit reports the new meter"
        };
        context.put_done(&done, Facts::new().with("connector", connector.to_string()).with("meter", state))
    }
}
