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
    quantity::time,
    render::Facts,
    verify,
};

/// Show a transaction in words, and prove that it is in its block
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  watt chain tx 5f0c...\n  watt chain tx 5f0c... --output json")]
pub struct Tx {
    /// Its id, 64 hexadecimal digits
    #[arg(value_name = "ID")]
    id: TxId,
}

impl Tx {
    pub(super) async fn run(self, context: &Context) -> Result<(), CommandError> {
        let status = context.status().await?;
        let view = context.client().transaction(self.id).await?;
        let failed = |reason: String| CommandError::Verification(reason);
        let bytes = hex::decode(&view.bytes).map_err(|_| failed("the node's bytes are no hexadecimal text".to_owned()))?;
        let transaction = Transaction::decode(&bytes).map_err(|error| failed(error.to_string()))?;
        if transaction.id() != self.id {
            return Err(failed(format!("the node's bytes are of transaction {}, not {}", transaction.id(), self.id)));
        }
        transaction.verify().map_err(|error| failed(error.to_string()))?;
        let mut verdict = None;
        if view.committed.is_some() {
            let proven = context.client().receipt(self.id).await?;
            let trusted = validators_of(&context.client().genesis().await?, status.chain_id)?;
            verdict = Some(verify::receipt(&proven, status.chain_id, &trusted)?);
            if proven.receipt.cause != Cause::Transaction(self.id) {
                return Err(failed("the receipt is another transaction's".to_owned()));
            }
        }
        context.put(&view, || {
            let (title, lines) = describe::body(transaction.body(), &status.currency);
            let facts = Facts::new().with("transaction", self.id.to_string()).with("what", title);
            let facts = lines.iter().fold(facts, |facts, (name, value)| facts.with(name, value.as_str()));
            let facts = match &view.committed {
                None => facts.with("state", "waits for a block"),
                Some(committed) => {
                    let outcome = match committed.receipt.outcome {
                        Outcome::Applied => "applied".to_owned(),
                        Outcome::Rejected(rejection) => format!("rejected: {rejection}"),
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
