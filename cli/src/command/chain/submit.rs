//! `watt chain submit` and `watt chain decode`: transactions that were signed without a node.

use std::path::{Path, PathBuf};

use ::chain::{
    api::Status,
    code::Code,
    id::{Address, TxId},
    time::Timestamp,
};
use clap::Args;
use contracts::call::{Body, Call, Transaction};
use serde::Serialize;

use crate::{
    client::{Client, ClientError},
    command::{CommandError, Context, file::read_at_most},
    describe,
    quantity::time,
    render::Facts,
    transaction_file::{self, MAX_FILE_BYTES},
};

/// Submit a transaction that was signed without a node
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  watt chain submit transfer-3.watt.json
  watt chain submit transfer-3.watt.json --yes --output json
  watt chain submit transfer-3.watt.json --dry-run    only says whether the chain would look at it

It is shown from its bytes, whatever else the file says. Whoever has the file can submit it; submitting it twice changes nothing the second time.")]
pub struct Submit {
    /// What `--offline` wrote
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// Show a transaction that was signed without a node, on this machine alone
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  watt chain decode transfer-3.watt.json\n  watt chain decode transfer-3.watt.json --output json")]
pub struct Decode {
    /// What `--offline` wrote
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

#[derive(Serialize)]
struct Answer<'a> {
    id: TxId,
    /// The first block time at which the chain takes it.
    not_before: Timestamp,
    body: &'a Body,
    /// Whether it was submitted.
    submitted: bool,
}

fn read(path: &Path) -> Result<Transaction, CommandError> {
    let text = read_at_most(path, "a transaction's file", MAX_FILE_BYTES)?;
    transaction_file::read(&text).map_err(|error| CommandError::Verification(format!("{}: {error}", path.display())))
}

fn facts(transaction: &Transaction, currency: &str) -> Facts {
    let (title, lines) = describe::body(transaction.body(), currency);
    let facts = Facts::new().with("transaction", transaction.id().to_string()).with("what", title);
    let facts = lines.iter().fold(facts, |facts, (name, value)| facts.with(name, value.as_str()));
    facts.with("not before", time(transaction_file::not_before(transaction)))
}

impl Decode {
    pub(super) fn run(self, context: &Context) -> Result<(), CommandError> {
        let transaction = read(&self.file)?;
        let not_before = transaction_file::not_before(&transaction);
        let answer = Answer { id: transaction.id(), not_before, body: transaction.body(), submitted: false };
        context.put(&answer, || facts(&transaction, "tokens").with("signature", "the signer's").text())
    }
}

impl Submit {
    pub(super) async fn run(self, context: &Context) -> Result<(), CommandError> {
        if context.is_offline() {
            return Err(CommandError::Usage("submitting needs a node: leave out --offline".to_owned()));
        }
        let transaction = read(&self.file)?;
        // Whoever carries a transaction need not have the key of it, or any.
        let client = context.stranger()?;
        let status = client.status().await?;
        may_enter(&client, &transaction, &status).await?;
        if context.options().dry_run {
            let not_before = transaction_file::not_before(&transaction);
            let answer = Answer { id: transaction.id(), not_before, body: transaction.body(), submitted: false };
            return context.put(&answer, || {
                let facts = facts(&transaction, &status.currency);
                facts.with("the chain", "would look at it now: number, time and signature are right; its rules were not tried").text()
            });
        }
        let (title, lines) = describe::body(transaction.body(), &status.currency);
        context.confirm_with(&title, &lines, "Submit this?")?;
        let done = context.send(&transaction, &status.currency).await?;
        context.put_done(&done, Facts::new().with("did", title))
    }
}

/// Whether the chain would look at it, in words that say what to do where it would not.
async fn may_enter(client: &Client, transaction: &Transaction, status: &Status) -> Result<(), CommandError> {
    let body = transaction.body();
    let refused = |code: Code, text: String| Err(CommandError::Refused { code, text });
    if body.chain_id != status.chain_id {
        let text = format!("it is for chain {}, the node is of {}: name a node of its chain with --node", body.chain_id, status.chain_id);
        return refused(Code::WrongChain, text);
    }
    let (now, not_before) = (status.now.max(status.timestamp), transaction_file::not_before(transaction));
    if body.valid_until < now {
        let text = format!("it was good until {}, and it is {}: sign it anew", time(body.valid_until), time(now));
        return refused(Code::Expired, text);
    }
    if not_before > now {
        return refused(Code::ValidTooLong, format!("the chain takes it from {} on, and it is {}: wait", time(not_before), time(now)));
    }
    let known = next_nonce(client, body.signer, &body.call).await?;
    match known {
        Some(next) if next < body.nonce => refused(
            Code::WrongNonce,
            format!("it is number {} of its account, and the chain waits for number {next}: submit those between first", body.nonce),
        ),
        // One that was submitted before is no mistake, and is answered with its block.
        Some(next) if next > body.nonce && client.transaction(transaction.id()).await.is_err() => refused(
            Code::WrongNonce,
            format!(
                "it is number {} of its account, and another transaction had that number: the next is {next}, sign it anew",
                body.nonce
            ),
        ),
        Some(_) | None => Ok(()),
    }
}

async fn next_nonce(client: &Client, signer: Address, call: &Call) -> Result<Option<u64>, ClientError> {
    match client.account(signer).await {
        Ok(view) => Ok(Some(view.next_nonce)),
        Err(error) if error.is_code("unknown_account") => Ok(matches!(call, Call::RegisterAccount(_)).then_some(0)),
        // Whoever carries the file need not be allowed to see the account: the chain decides.
        Err(error) if error.problem().is_some_and(|problem| matches!(problem.status, 401 | 403)) => Ok(None),
        Err(error) => Err(error),
    }
}
