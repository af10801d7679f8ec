//! `watt admin redeem`.

use ::chain::id::{Address, RedemptionId};
use clap::{Args, Subcommand};
use contracts::call::{Call, ConfirmRedeem, RedeemAnswer};

use crate::{
    command::{CommandError, Context, commitment::Reference},
    csv::{self, Csv},
    named::Named,
    quantity::{time, tokens},
    render::{Facts, Rows},
};

/// List redemptions; confirm or refuse one (treasurer)
#[derive(Subcommand, Debug)]
#[command(after_help = "Examples:\n  watt admin redeem list\n  watt admin redeem confirm 5f0c9a")]
pub enum Redeem {
    /// List those that wait
    List(List),
    /// Confirm that the money was paid: the tokens are gone
    Confirm(Confirm),
    /// Refuse: the tokens go back
    Refuse(Refuse),
}

/// List those that wait
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  watt admin redeem list\n  watt admin redeem list --account watt1...")]
pub struct List {
    /// Only this account's
    #[arg(long, value_name = "ADDRESS")]
    account: Option<Address>,
}

/// Confirm that the money was paid: the tokens are gone
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  watt admin redeem confirm 5f0c9a\n  watt admin redeem confirm 5f0c9a --reference-file payment.txt")]
pub struct Confirm {
    /// Its id, or its first 6 digits or more
    #[arg(value_name = "REDEMPTION")]
    redemption: Named,
    #[command(flatten)]
    reference: Reference,
}

/// Refuse: the tokens go back
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  watt admin redeem refuse 5f0c9a")]
pub struct Refuse {
    /// Its id, or its first 6 digits or more
    #[arg(value_name = "REDEMPTION")]
    redemption: Named,
}

impl Redeem {
    pub(super) async fn run(self, context: &Context) -> Result<(), CommandError> {
        match self {
            Self::List(command) => command.run(context).await,
            Self::Confirm(command) => command.run(context).await,
            Self::Refuse(command) => {
                let redemption = waiting(context, &command.redemption).await?;
                answer(context, redemption, RedeemAnswer::Refused, "refused").await
            }
        }
    }
}

impl List {
    async fn run(self, context: &Context) -> Result<(), CommandError> {
        let currency = context.status().await?.currency;
        let waiting = context.client().redemptions(self.account).await?;
        context.put_list(
            &waiting,
            || {
                let mut rows = Rows::new(&["REQUESTED", "AMOUNT", "ACCOUNT", "REDEMPTION"], "No redemption waits.");
                for view in &waiting {
                    let held = &view.redemption;
                    rows.push([time(held.requested_at), tokens(held.amount, &currency), held.account.to_string(), view.id.to_string()]);
                }
                rows.text()
            },
            || {
                let mut csv = Csv::new(&["redemption", "account", "amount_micro", "requested_at"]);
                for view in &waiting {
                    let held = &view.redemption;
                    csv.push([csv::text(view.id), csv::text(held.account), csv::micro(held.amount), csv::at(held.requested_at)]);
                }
                csv
            },
        )
    }
}

impl Confirm {
    async fn run(self, context: &Context) -> Result<(), CommandError> {
        let redemption = waiting(context, &self.redemption).await?;
        let purpose = format!("payment of redemption {redemption}");
        let payment = self.reference.commit(context, "payment's reference", purpose)?;
        answer(context, redemption, RedeemAnswer::Paid { payment: payment.commitment }, "paid").await
    }
}

/// The redemption of this name; a beginning is looked for among those that wait.
async fn waiting(context: &Context, named: &Named) -> Result<RedemptionId, CommandError> {
    if let Named::Whole(id) = named {
        return Ok(RedemptionId(*id));
    }
    let all = context.client().redemptions(None).await?;
    let fitting: Vec<RedemptionId> = all.iter().map(|view| view.id).filter(|id| named.fits(id.0)).collect();
    match fitting.as_slice() {
        [only] => Ok(*only),
        [] => Err(CommandError::Failed(format!("no redemption that waits begins with {named}: see `watt admin redeem list`"))),
        several => {
            let list: Vec<String> = several.iter().map(ToString::to_string).collect();
            Err(CommandError::Usage(format!("{named} may be any of {}: give more digits", list.join(", "))))
        }
    }
}

async fn answer(context: &Context, redemption: RedemptionId, answer: RedeemAnswer, word: &str) -> Result<(), CommandError> {
    let status = context.status().await?;
    let done = context.submit(&status, Call::ConfirmRedeem(ConfirmRedeem { redemption, answer })).await?;
    context.put_done(&done, Facts::new().with(word, redemption.to_string()))
}
