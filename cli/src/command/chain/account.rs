//! `watt chain account`.

use ::chain::{api::TransactionView, id::Address, receipt::Outcome};
use clap::Args;
use contracts::call::Transaction;

use crate::{
    command::{CommandError, Context},
    csv::{self, Csv},
    describe,
    quantity::{time, tokens},
    render::{Facts, Output, Rows},
};

/// Show an account, its roles and its transactions
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  watt chain account watt1...\n  watt chain account --transactions --limit 50\n  watt chain account watt1... --output json"
)]
pub struct Account {
    /// Its address [default: the wallet's]
    #[arg(value_name = "ADDRESS")]
    address: Option<Address>,
    /// List its transactions, newest first
    #[arg(long)]
    transactions: bool,
    /// How many to list
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=500))]
    limit: u32,
    /// Go on with the list where an earlier one ended
    #[arg(long, value_name = "CURSOR", requires = "transactions")]
    cursor: Option<String>,
}

impl Account {
    pub(super) async fn run(self, context: &Context) -> Result<(), CommandError> {
        let address = context.account(self.address)?;
        if !self.transactions {
            return put_account(context, address).await;
        }
        let currency = context.status().await?.currency;
        let page = context.client().account_transactions(address, self.limit, self.cursor.as_deref()).await?;
        let what = |view: &TransactionView| {
            let decoded = hex::decode(&view.bytes).ok().and_then(|bytes| Transaction::decode(&bytes).ok());
            decoded.map_or_else(|| "not readable".to_owned(), |transaction| describe::body(transaction.body(), &currency).0)
        };
        if let (Some(next), Output::Table | Output::Csv) = (&page.next, context.options().output) {
            tell!("more: add --cursor {next}");
        }
        context.put_list(
            &page,
            || {
                let mut rows = Rows::new(&["BLOCK", "TIME", "WHAT", "TRANSACTION"], "There is no transaction.");
                for view in &page.items {
                    let (block, at) = view
                        .committed
                        .as_ref()
                        .map_or(("waits".to_owned(), String::new()), |done| (done.height.to_string(), time(done.timestamp)));
                    rows.push([block, at, what(view), view.id.to_string()]);
                }
                rows.text()
            },
            || {
                let mut csv = Csv::new(&["transaction", "height", "time", "outcome", "what"]);
                for view in &page.items {
                    let done = view.committed.as_ref();
                    csv.push([
                        csv::text(view.id),
                        csv::some(done, |done| csv::number(done.height.0)),
                        csv::some(done, |done| csv::at(done.timestamp)),
                        csv::text(match done.map(|done| done.receipt.outcome) {
                            None => "waits",
                            Some(Outcome::Applied) => "applied",
                            Some(Outcome::Rejected(rejection)) => rejection.code.slug(),
                        }),
                        csv::text(what(view)),
                    ]);
                }
                csv
            },
        )
    }
}

/// Writes an account's sums and roles.
pub(in crate::command) async fn put_account(context: &Context, address: Address) -> Result<(), CommandError> {
    let currency = context.status().await?.currency;
    let view = context.client().account(address).await?;
    context.put(&view, || {
        let account = &view.account;
        let money = |amount| tokens(amount, &currency);
        let mut facts = Facts::new()
            .with("account", view.address.to_string())
            .with("home", format!("condominium {}", account.home))
            .with("balance", money(account.balance))
            .with("locked", money(account.held))
            .with("can be spent", money(view.available));
        if !account.debt.is_zero() || !account.credit_limit.is_zero() {
            facts = facts.with("debt", money(account.debt)).with("credit limit", money(account.credit_limit));
        }
        for held in &view.roles {
            let until = held.grant.until.map(|until| format!(", before height {until}")).unwrap_or_default();
            let term = format!("{} of condominium {}, from height {}{until}", describe::role(held.role), held.condominium, held.grant.from);
            facts = facts.with("role", term);
        }
        facts.text()
    })
}
