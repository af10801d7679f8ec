//! `watt clearing positions` and `watt clearing limit`.

use ::chain::quantity::Amount;
use clap::Args;
use contracts::call::{Call, SetPositionLimit};

use super::names::Names;
use crate::{
    command::{CommandError, Context},
    csv::{self, Csv},
    quantity::{parse_tokens, tokens},
    render::{Facts, Rows},
};

/// Show who owes whom now, and how much is allowed
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  watt clearing positions
  watt clearing positions --output json

OWED is net of what the other owes; PENDING is locked by open sessions and may be added; UNPAID became payments in earlier clearings. All three together stay within the limit that
the creditor has set: a session or a transfer beyond it is refused (position_limit).")]
pub struct Positions {}

/// Say how much any other condominium may owe one (treasurer)
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  watt clearing limit 500
  watt clearing limit 500 --condominium 2

What is owed already stays owed; a lower limit only stops more of it.")]
pub struct Limit {
    /// The most that any other condominium may owe
    #[arg(value_name = "TOKENS", value_parser = parse_tokens)]
    limit: Amount,
    /// To whom [default: the only one]
    #[arg(long, value_name = "NUMBER")]
    condominium: Option<u32>,
}

impl Positions {
    pub(super) async fn run(self, context: &Context) -> Result<(), CommandError> {
        let positions = context.client().positions().await?;
        let (currency, names) = (context.status().await?.currency, Names::ask(context).await?);
        context.put_list(
            &positions,
            || {
                let mut rows =
                    Rows::new(&["DEBTOR", "CREDITOR", "OWED", "PENDING", "UNPAID", "LIMIT"], "No condominium owes another anything.");
                for view in &positions {
                    let amounts = [view.owed, view.pending, view.unpaid, view.limit].map(|amount| tokens(amount, &currency));
                    rows.push([names.of(view.debtor), names.of(view.creditor)].into_iter().chain(amounts));
                }
                rows.text()
            },
            || {
                let mut csv = Csv::new(&[
                    "debtor",
                    "debtor_name",
                    "creditor",
                    "creditor_name",
                    "owed_micro",
                    "pending_micro",
                    "unpaid_micro",
                    "limit_micro",
                ]);
                for view in &positions {
                    let both = [view.debtor, view.creditor].into_iter().flat_map(|id| [csv::number(id.0), csv::text(names.name(id))]);
                    csv.push(both.chain([view.owed, view.pending, view.unpaid, view.limit].map(csv::micro)));
                }
                csv
            },
        )
    }
}

impl Limit {
    pub(super) async fn run(self, context: &Context) -> Result<(), CommandError> {
        let status = context.status().await?;
        let condominium = context.condominium(self.condominium).await?;
        let done = context.submit(&status, Call::SetPositionLimit(SetPositionLimit { condominium, limit: self.limit })).await?;
        let facts = Facts::new()
            .with("condominium", Names::ask(context).await.unwrap_or_default().of(condominium))
            .with("others may owe it at most", tokens(self.limit, &done.currency));
        context.put_done(&done, facts)
    }
}
