//! `watt admin redeem`.

use ::chain::id::{Address, RedemptionId};
use clap::{Args, Subcommand};
use contracts::call::{Call, ConfirmRedeem, RedeemAnswer};

use crate::{
    command::{CommandError, Context, commitment::Reference},
    quantity::{time, tokens},
    render::{Facts, Rows},
};

/// List redemptions; confirm or refuse one (treasurer)
#[derive(Subcommand, Debug)]
#[command(after_help = "Examples:\n  watt admin redeem list\n  watt admin redeem confirm 5f0c...")]
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
#[command(after_help = "Examples:\n  watt admin redeem confirm 5f0c...\n  watt admin redeem confirm 5f0c... --reference-file payment.txt")]
pub struct Confirm {
    /// Its id, 64 hexadecimal digits
    #[arg(value_name = "REDEMPTION")]
    redemption: RedemptionId,
    #[command(flatten)]
    reference: Reference,
}

/// Refuse: the tokens go back
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  watt admin redeem refuse 5f0c...")]
pub struct Refuse {
    /// Its id, 64 hexadecimal digits
    #[arg(value_name = "REDEMPTION")]
    redemption: RedemptionId,
}

impl Redeem {
    pub(super) async fn run(self, context: &Context) -> Result<(), CommandError> {
        match self {
            Self::List(command) => command.run(context).await,
            Self::Confirm(command) => command.run(context).await,
            Self::Refuse(command) => answer(context, command.redemption, RedeemAnswer::Refused, "refused").await,
        }
    }
}

impl List {
    async fn run(self, context: &Context) -> Result<(), CommandError> {
        let currency = context.status().await?.currency;
        let waiting = context.client().redemptions(self.account).await?;
        context.put(&waiting, || {
            let mut rows = Rows::new(&["REQUESTED", "AMOUNT", "ACCOUNT", "REDEMPTION"], "No redemption waits.");
            for view in &waiting {
                let held = &view.redemption;
                rows.push([time(held.requested_at), tokens(held.amount, &currency), held.account.to_string(), view.id.to_string()]);
            }
            rows.text()
        })
    }
}

impl Confirm {
    async fn run(self, context: &Context) -> Result<(), CommandError> {
        let purpose = format!("payment of redemption {}", self.redemption);
        let payment = self.reference.commit(context, "payment's reference", purpose)?;
        answer(context, self.redemption, RedeemAnswer::Paid { payment: payment.commitment }, "paid").await
    }
}

async fn answer(context: &Context, redemption: RedemptionId, answer: RedeemAnswer, word: &str) -> Result<(), CommandError> {
    let status = context.status().await?;
    let done = context.submit(&status, Call::ConfirmRedeem(ConfirmRedeem { redemption, answer })).await?;
    context.put_done(&done, Facts::new().with(word, redemption.to_string()))
}
