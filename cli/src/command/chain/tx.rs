//! `watt chain tx`.

use ::chain::{
    id::TxId,
    receipt::{Cause, Outcome},
};
use clap::Args;
use contracts::call::Transaction;

use crate::{
    command::{CommandError, Context, session::validators_of},
    describe,
    named::Named,
    quantity::time,
    refusal::{self, Reason},
    render::Facts,
    verify,
};

/// Show a transaction in words, and prove that it is in its block
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  watt chain tx 5f0c9a\n  watt chain tx 5f0c9a --output json")]
pub struct Tx {
    /// Its id, or its first 6 digits or more
    #[arg(value_name = "ID")]
    id: Named,
}

impl Tx {
    pub(super) async fn run(self, context: &Context) -> Result<(), CommandError> {
        let status = context.status().await?;
        let id = match &self.id {
            Named::Whole(id) => TxId(*id),
            Named::Beginning(digits) => context.client().transaction_beginning(digits).await?,
        };
        let view = context.client().transaction(id).await?;
        let failed = |reason: String| CommandError::Verification(reason);
        let bytes = hex::decode(&view.bytes).map_err(|_| failed("the node's bytes are no hexadecimal text".to_owned()))?;
        let transaction = Transaction::decode(&bytes).map_err(|error| failed(error.to_string()))?;
        if transaction.id() != id || !self.id.fits(id.0) {
            return Err(failed(format!("the node's bytes are of transaction {}, not {}", transaction.id(), self.id)));
        }
        transaction.verify().map_err(|error| failed(error.to_string()))?;
        let mut verdict = None;
        if view.committed.is_some() {
            let proven = context.client().receipt(id).await?;
            let trusted = validators_of(&context.client().genesis().await?, status.chain_id)?;
            verdict = Some(verify::receipt(&proven, status.chain_id, &trusted)?);
            if proven.receipt.cause != Cause::Transaction(id) {
                return Err(failed("the receipt is another transaction's".to_owned()));
            }
        }
        context.put(&view, || {
            let (title, lines) = describe::body(transaction.body(), &status.currency);
            let facts = Facts::new().with("transaction", id.to_string()).with("what", title);
            let facts = lines.iter().fold(facts, |facts, (name, value)| facts.with(name, value.as_str()));
            let facts = match &view.committed {
                None => facts.with("state", "waits for a block"),
                Some(committed) => {
                    let outcome = match committed.receipt.outcome {
                        Outcome::Applied => "applied".to_owned(),
                        Outcome::Rejected(why) => {
                            format!("rejected: {}", refusal::rejection(&why, Reason::of(transaction.bytes(), &why)))
                        }
                    };
                    let facts =
                        facts.with("block", committed.height.to_string()).with("at", time(committed.timestamp)).with("outcome", outcome);
                    committed
                        .receipt
                        .events
                        .iter()
                        .fold(facts, |facts, event| facts.with("event", describe::event(event, &status.currency)))
                }
            };
            let facts = verdict.iter().flat_map(|verdict| &verdict.proved).fold(facts, |facts, line| facts.with("proved", line.as_str()));
            verdict.iter().flat_map(|verdict| &verdict.relied_on).fold(facts, |facts, line| facts.with("relying on", line.as_str())).text()
        })
    }
}
