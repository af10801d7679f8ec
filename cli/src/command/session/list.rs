//! `watt session list`.

use ::chain::{
    api::SessionView,
    id::{Address, ConnectorId},
    record::SessionState,
};
use clap::{Args, ValueEnum};

use super::show::state_text;
use crate::{
    client::{SessionFilter, SessionStateFilter},
    command::{CommandError, Context},
    csv::{self, Csv},
    quantity::{kwh, time, tokens},
    render::{Output, Rows},
};

/// List sessions, newest first
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  watt session list\n  watt session list --state open --everyone\n  watt session list --connector 1-17 --everyone --output json"
)]
pub struct List {
    /// Whose [default: the wallet's]
    #[arg(long, value_name = "ADDRESS")]
    account: Option<Address>,
    /// Everyone's that the node may show
    #[arg(long, conflicts_with = "account")]
    everyone: bool,
    /// Only at this connector
    #[arg(long, value_name = "C-N")]
    connector: Option<ConnectorId>,
    /// Only those in this state
    #[arg(long, value_enum, default_value_t = State::All)]
    state: State,
    /// How many
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=500))]
    limit: u32,
    /// Go on where an earlier list ended
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum State {
    Open,
    Settled,
    All,
}

impl List {
    pub(super) async fn run(self, context: &Context) -> Result<(), CommandError> {
        let account = if self.everyone { None } else { Some(context.account(self.account)?) };
        let state = match self.state {
            State::Open => Some(SessionStateFilter::Open),
            State::Settled => Some(SessionStateFilter::Settled),
            State::All => None,
        };
        let filter = SessionFilter { account, connector: self.connector, state };
        let currency = context.status().await?.currency;
        let page = context.client().sessions(filter, self.limit, self.cursor.as_deref()).await?;
        if let (Some(next), Output::Table | Output::Csv) = (&page.next, context.options().output) {
            tell!("more: add --cursor {next}");
        }
        context.put_list(
            &page,
            || {
                let mut rows = Rows::new(&["OPENED", "CONNECTOR", "STATE", "ENERGY", "COST", "SESSION"], "There is no session.");
                for view in &page.items {
                    rows.push(match view {
                        SessionView::Open { id, session, cost_so_far, energy, .. } => [
                            time(session.opened_at),
                            session.connector.to_string(),
                            state_text(session),
                            kwh(*energy),
                            tokens(*cost_so_far, &currency),
                            id.to_string(),
                        ],
                        SessionView::Settled { id, receipt, .. } => [
                            time(receipt.opened_at),
                            receipt.connector.to_string(),
                            "settled".to_owned(),
                            kwh(receipt.energy),
                            tokens(receipt.paid, &currency),
                            id.to_string(),
                        ],
                    });
                }
                rows.text()
            },
            || csv_rows(&page.items),
        )
    }
}

/// Sessions for a spreadsheet; the columns that both have are those of `watt audit replay --export csv`.
fn csv_rows(views: &[SessionView]) -> Csv {
    let mut csv = Csv::new(&[
        "session",
        "state",
        "account",
        "connector",
        "tariff",
        "tariff_version",
        "opened_at",
        "first_granted_at",
        "ended_at",
        "settled_at",
        "reason",
        "energy_wh",
        "cost_micro",
        "escrow_micro",
        "refund_micro",
    ]);
    for view in views {
        csv.push(match view {
            SessionView::Open { id, session, cost_so_far, energy, .. } => [
                csv::text(id),
                csv::text(state_name(session.state)),
                csv::text(session.account),
                csv::text(session.connector),
                csv::text(session.tariff),
                csv::number(session.tariff_version),
                csv::at(session.opened_at),
                csv::some(session.first_granted_at, csv::at),
                csv::Cell::Empty,
                csv::Cell::Empty,
                csv::Cell::Empty,
                csv::wh(*energy),
                csv::micro(*cost_so_far),
                csv::micro(session.escrow),
                csv::Cell::Empty,
            ],
            SessionView::Settled { id, receipt, .. } => [
                csv::text(id),
                csv::text("settled"),
                csv::text(receipt.account),
                csv::text(receipt.connector),
                csv::text(receipt.tariff),
                csv::number(receipt.tariff_version),
                csv::at(receipt.opened_at),
                csv::some(receipt.first_granted_at, csv::at),
                csv::at(receipt.ended_at),
                csv::at(receipt.settled_at),
                csv::word(&receipt.reason),
                csv::wh(receipt.energy),
                csv::micro(receipt.paid),
                csv::micro(receipt.escrow),
                csv::micro(receipt.refund),
            ],
        });
    }
    csv
}

const fn state_name(state: SessionState) -> &'static str {
    match state {
        SessionState::Queued => "queued",
        SessionState::Charging => "charging",
        SessionState::Paused => "paused",
        SessionState::Idle => "idle",
        SessionState::Stopping { .. } => "stopping",
    }
}
