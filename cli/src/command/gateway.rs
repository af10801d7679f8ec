//! `watt gateway`: the connectors of the chain beside the units that a node's gateway knows. What they measure is shown by `watt admin monitor`.

use ::chain::{api::MonitorView, id::ConnectorId, record::Control, time::Timestamp};
use clap::{Args, Subcommand};
use serde::Serialize;

use super::{CommandError, Context};
use crate::{
    csv::{self, Csv},
    describe,
    quantity::time,
    render::Rows,
};

/// Show a node's gateway: which connectors have a unit, and when it was heard
#[derive(Subcommand, Debug)]
#[command(after_help = "Examples:\n  watt gateway list\n  watt --node http://10.0.0.5:8420 gateway list --output csv")]
pub enum Gateway {
    /// List connectors, whether this node's gateway has a unit there, and when that was last heard
    List(List),
}

/// List connectors, whether this node's gateway has a unit there, and when that was last heard
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  watt gateway list
  watt gateway list --output json

A connector without a unit may be another node's. A unit whose connector is not on the chain is listed too: `watt admin connector put` makes one.
Where reading is by role, units are shown to managers, treasurers and auditors, and to whoever charges there.")]
pub struct List {}

/// A connector, a unit, or both.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
struct Row {
    connector: ConnectorId,
    on_chain: bool,
    control: Option<Control>,
    unit: bool,
    heard_at: Option<Timestamp>,
}

impl Gateway {
    pub(super) async fn run(self, context: &Context) -> Result<(), CommandError> {
        context.require_neither_dry_nor_offline()?;
        match self {
            Self::List(List {}) => list(context).await,
        }
    }
}

async fn list(context: &Context) -> Result<(), CommandError> {
    let connectors = context.client().connectors().await?;
    let seen = context.client().monitor().await?;
    let unit_of = |id| seen.iter().find(|view| view.connector == id);
    let row = |connector, control: Option<Control>, unit: Option<&MonitorView>| Row {
        connector,
        on_chain: control.is_some(),
        control,
        unit: unit.is_some(),
        heard_at: unit.and_then(|view| view.heard_at),
    };
    let mut rows: Vec<Row> = connectors.iter().map(|view| row(view.id, Some(view.connector.control), unit_of(view.id))).collect();
    let alone = seen.iter().filter(|unit| connectors.iter().all(|view| view.id != unit.connector));
    rows.extend(alone.map(|unit| row(unit.connector, None, Some(unit))));
    rows.sort_by_key(|row| row.connector);
    context.put_list(&rows, || table(&rows), || csv_of(&rows))
}

fn control(row: &Row) -> &'static str {
    row.control.map_or("not on the chain", describe::control)
}

fn table(rows: &[Row]) -> String {
    let mut table = Rows::new(&["CONNECTOR", "CONTROL", "UNIT", "HEARD"], "There is no connector and no unit yet.");
    for row in rows {
        let unit = if row.unit { "yes" } else { "no" };
        let heard = match row.heard_at {
            Some(at) => time(at),
            None if row.unit => "never".to_owned(),
            None => "-".to_owned(),
        };
        table.push([row.connector.to_string(), control(row).to_owned(), unit.to_owned(), heard]);
    }
    table.text()
}

fn csv_of(rows: &[Row]) -> Csv {
    let mut csv = Csv::new(&["connector", "on_chain", "control", "unit", "heard_at"]);
    for row in rows {
        let control = csv::some(row.control, |control| csv::word(&control));
        csv.push([csv::text(row.connector), csv::yes(row.on_chain), control, csv::yes(row.unit), csv::some(row.heard_at, csv::at)]);
    }
    csv
}
