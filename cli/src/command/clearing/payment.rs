//! `watt clearing payments`, `report`, `confirm` and `missing`.

use ::chain::{
    api::{PaymentState, PaymentView},
    id::CondominiumId,
};
use clap::Args;
use contracts::call::{AnswerPayment, Call, PaymentAnswer, ReportPayment};

use super::names::Names;
use crate::{
    command::{CommandError, Context, commitment::Reference},
    csv::{self, Csv},
    quantity::{time, tokens},
    render::{Facts, Rows},
};

/// List the payments that are not confirmed
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  watt clearing payments\n  watt clearing payments --condominium 1 --output json")]
pub struct Payments {
    /// Only those that this one makes or gets
    #[arg(long, value_name = "NUMBER")]
    condominium: Option<u32>,
}

/// Which payment.
#[derive(Args, Clone, Copy, Debug)]
pub struct Which {
    /// The clearing that it is for
    #[arg(value_name = "CLEARING")]
    clearing: u32,
    /// Who pays
    #[arg(long, value_name = "NUMBER")]
    from: u32,
    /// Who is paid
    #[arg(long, value_name = "NUMBER")]
    to: u32,
}

/// Say that a payment was sent (treasurer of who pays)
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  watt clearing report 3 --from 1 --to 2
  watt clearing report 3 --from 1 --to 2 --reference-file payment.txt

Of the payment's reference only a salted commitment goes to the chain. What opens it is kept in commitments.jsonl beside the wallets, before anything is sent: where the
report is refused or declined, its line stays and means nothing. Nothing is paid until the other treasurer confirms it.")]
pub struct Report {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    reference: Reference,
}

/// Confirm that a payment has arrived (treasurer of who is paid)
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  watt clearing confirm 3 --from 1 --to 2\n\nWho reported it cannot confirm it too.")]
pub struct Confirm {
    #[command(flatten)]
    which: Which,
}

/// Say that a payment has not arrived (treasurer of who is paid)
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  watt clearing missing 3 --from 1 --to 2\n\nIt is owed as before, and can be reported again.")]
pub struct Missing {
    #[command(flatten)]
    which: Which,
}

impl Payments {
    pub(super) async fn run(self, context: &Context) -> Result<(), CommandError> {
        let (currency, names) = (context.status().await?.currency, Names::ask(context).await?);
        let only = self.condominium.map(|number| names.known(number)).transpose()?;
        let mut payments = context.client().payments().await?;
        payments.retain(|view| only.is_none_or(|only| only == view.debtor || only == view.creditor));
        context.put_list(&payments, || rows(&payments, &names, &currency), || csv_rows(&payments, &names))
    }
}

/// Payments for a spreadsheet.
fn csv_rows(payments: &[PaymentView], names: &Names) -> Csv {
    let mut csv = Csv::new(&["clearing", "debtor", "debtor_name", "creditor", "creditor_name", "amount_micro", "state", "reported_at"]);
    for view in payments {
        let (state, reported_at) = match view.state {
            PaymentState::Expected => ("expected", None),
            PaymentState::Due => ("due", None),
            PaymentState::Reported { at } => ("reported", Some(at)),
            PaymentState::Received => ("received", None),
        };
        csv.push([
            csv::number(view.clearing),
            csv::number(view.debtor.0),
            csv::text(names.name(view.debtor)),
            csv::number(view.creditor.0),
            csv::text(names.name(view.creditor)),
            csv::micro(view.amount),
            csv::text(state),
            csv::some(reported_at, csv::at),
        ]);
    }
    csv
}

/// Payments as a table.
pub(super) fn rows(payments: &[PaymentView], names: &Names, currency: &str) -> String {
    let mut rows = Rows::new(&["CLEARING", "FROM", "TO", "AMOUNT", "STATE"], "Nobody has to pay anybody.");
    for view in payments {
        let state = match view.state {
            PaymentState::Expected => "would be due".to_owned(),
            PaymentState::Due => "due".to_owned(),
            PaymentState::Reported { at } => format!("sent, reported {}", time(at)),
            PaymentState::Received => "received".to_owned(),
        };
        let amount = tokens(view.amount, currency);
        rows.push([view.clearing.to_string(), names.of(view.debtor), names.of(view.creditor), amount, state]);
    }
    rows.text()
}

impl Which {
    /// What was done, with the names of both.
    async fn facts(self, context: &Context, word: &str) -> Facts {
        // The transaction is in its block: that no names can be had now must not make a failure of it.
        let names = Names::ask(context).await.unwrap_or_default();
        let [from, to] = [self.from, self.to].map(|number| names.of(CondominiumId(number)));
        Facts::new().with(word, format!("payment of clearing {} from {from} to {to}", self.clearing))
    }
}

impl Report {
    pub(super) async fn run(self, context: &Context) -> Result<(), CommandError> {
        let status = context.status().await?;
        let Which { clearing, from, to } = self.which;
        let purpose = format!("payment of clearing {clearing} from condominium {from} to condominium {to}");
        let payment = self.reference.commit(context, "payment's reference", purpose)?;
        let call = ReportPayment { clearing, debtor: CondominiumId(from), creditor: CondominiumId(to), payment: payment.commitment };
        let done = context.submit(&status, Call::ReportPayment(call)).await?;
        context.put_done(&done, self.which.facts(context, "reported").await.with("salt", payment.salt.to_string()))
    }
}

impl Confirm {
    pub(super) async fn run(self, context: &Context) -> Result<(), CommandError> {
        answer(context, self.which, PaymentAnswer::Received, "received").await
    }
}

impl Missing {
    pub(super) async fn run(self, context: &Context) -> Result<(), CommandError> {
        answer(context, self.which, PaymentAnswer::Missing, "missing").await
    }
}

async fn answer(context: &Context, which: Which, answer: PaymentAnswer, word: &str) -> Result<(), CommandError> {
    let status = context.status().await?;
    let Which { clearing, from, to } = which;
    let call = AnswerPayment { clearing, debtor: CondominiumId(from), creditor: CondominiumId(to), answer };
    let done = context.submit(&status, Call::AnswerPayment(call)).await?;
    context.put_done(&done, which.facts(context, word).await)
}
