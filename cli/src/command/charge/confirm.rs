//! `watt charge confirm`: what a card has asked for at an unusual time, signed by its owner.

use ::chain::{
    api::AskedStartView,
    id::{ConnectorId, SessionId},
    record::AskedStart,
};
use clap::Args;
use contracts::call::{Call, ConfirmStart, OpenSessionByMandate};

use super::watch::{check_output, follow};
use crate::{
    command::{CommandError, Context},
    csv::{self, Csv},
    quantity::{duration, time, tokens},
    render::{Facts, Rows},
};

/// Confirm a charge that your card has asked for, or show what waits for you
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  watt charge confirm
  watt charge confirm 1-17
  watt charge confirm 1-17 --yes --watch
  watt charge confirm --list

A gateway asks where a start looks unusual for you, from the score on that your mandate names. What is not confirmed within ten minutes lapses; nothing is locked
until then. Somebody else's card? Do nothing, and take the mandate back: watt mandate revoke")]
pub struct Confirm {
    /// Where the card was shown [default: the only place]
    #[arg(value_name = "CONNECTOR")]
    connector: Option<ConnectorId>,
    /// Only show what waits
    #[arg(long, conflicts_with_all = ["connector", "watch"])]
    list: bool,
    /// Follow the charge to its bill
    #[arg(long)]
    watch: bool,
}

impl Confirm {
    pub(super) async fn run(self, context: &Context) -> Result<(), CommandError> {
        if self.watch {
            check_output(context)?;
        }
        if context.is_offline() {
            return Err(CommandError::Usage("what waits for you only a node knows: leave out --offline".to_owned()));
        }
        let status = context.status().await?;
        let mut waiting = context.client().asked_starts(context.account(None)?).await?;
        if self.list {
            return context.put_list(
                &waiting,
                || {
                    let mut rows =
                        Rows::new(&["CONNECTOR", "CARD", "LOCKS", "AT MOST FOR", "UNTIL"], "Nothing waits for your confirmation.");
                    for AskedStartView { connector, start } in &waiting {
                        rows.push([
                            connector.to_string(),
                            start.card.to_string(),
                            tokens(start.max_spend, &status.currency),
                            duration(start.max_duration),
                            time(start.until),
                        ]);
                    }
                    rows.text()
                },
                || {
                    let mut csv = Csv::new(&["connector", "card", "max_spend_micro", "max_duration_ms", "energy_target_wh", "until"]);
                    for AskedStartView { connector, start } in &waiting {
                        csv.push([
                            csv::text(connector),
                            csv::text(start.card),
                            csv::micro(start.max_spend),
                            csv::number(start.max_duration.ms()),
                            csv::some(start.energy_target, csv::wh),
                            csv::at(start.until),
                        ]);
                    }
                    csv
                },
            );
        }
        waiting.retain(|view| self.connector.is_none_or(|connector| connector == view.connector));
        let [AskedStartView { connector, start }] = waiting.as_slice() else {
            return Err(if waiting.is_empty() {
                let text = "nothing waits for your confirmation: show the card again, or start the charge with watt charge start";
                CommandError::Failed(text.to_owned())
            } else {
                let places: Vec<String> = waiting.iter().map(|view| view.connector.to_string()).collect();
                CommandError::Usage(format!("several starts wait for your confirmation: name the connector, one of {}", places.join(", ")))
            });
        };
        let AskedStart { card, tariff_version, max_spend, max_duration, energy_target, .. } = *start;
        let start = OpenSessionByMandate { card, connector: *connector, tariff_version, max_spend, max_duration, energy_target };
        let done = context.submit(&status, Call::ConfirmStart(ConfirmStart { start })).await?;
        let session = SessionId(done.id.0);
        let facts = Facts::new()
            .with("session", session.to_string())
            .with("connector", connector.to_string())
            .with("locked", tokens(max_spend, &status.currency));
        context.put_done(&done, facts)?;
        if self.watch {
            return follow(context, session).await;
        }
        Ok(())
    }
}
