//! `watt audit evidence`: gateways that have contradicted themselves, and what proves it.

use std::path::Path;

use ::chain::{
    id::{CondominiumId, TxId},
    record::Role,
    transaction::{MAX_TRANSACTION_BYTES, SignedBytes},
};
use clap::{Args, Subcommand};
use contracts::call::{Call, ProveEquivocation, Transaction, contradiction};
use serde::Serialize;

use crate::{
    command::{CommandError, Context, file},
    csv::{self, Csv},
    named::Named,
    quantity::{kwh, time},
    render::{Facts, Rows},
};

/// Show and submit evidence against gateways
#[derive(Subcommand, Debug)]
#[command(after_help = "Examples:
  watt audit evidence list
  watt audit evidence check 5f0c9a other.hex
  watt audit evidence submit 5f0c9a other.hex --wallet alice")]
pub enum Evidence {
    /// List the gateways that were ever suspended
    List(List),
    /// Say whether two attestations contradict each other; nothing is sent
    Check(Check),
    /// Show the chain two attestations that contradict each other: the gateway is suspended
    Submit(Submit),
}

/// List the gateways that were ever suspended
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  watt audit evidence list\n  watt audit evidence list --condominium 2")]
pub struct List {
    /// Where [default: everywhere]
    #[arg(long, value_name = "NUMBER")]
    condominium: Option<u32>,
}

/// Say whether two attestations contradict each other; nothing is sent
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  watt audit evidence check 5f0c9a 77aa01
  watt audit evidence check 5f0c9a other.hex

Two readings of one session with one number contradict each other where no meter can have shown both: another register at the same time, or a lower one later.
Exit code 3: they do not.")]
pub struct Check {
    #[command(flatten)]
    pair: Pair,
}

/// Two attestations.
#[derive(Args, Debug)]
struct Pair {
    /// One attestation: a transaction's id or its beginning, or a file with its bytes in hexadecimal digits
    #[arg(value_name = "ATTESTATION")]
    first: String,
    /// The other, alike
    #[arg(value_name = "ATTESTATION")]
    second: String,
}

/// Show the chain two attestations that contradict each other: the gateway is suspended
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  watt audit evidence submit 5f0c9a other.hex
  watt audit evidence submit a.hex b.hex --condominium 2

Anyone who has an account may, within 90 days of the later reading. The gateway's key then attests and opens nothing more; it may still stop and settle what
runs. A manager appoints another key (`watt admin role rotate`) or lifts the suspension (`watt admin role lift`).")]
pub struct Submit {
    #[command(flatten)]
    pair: Pair,
    /// Where the gateway's key holds its role [default: the only one]
    #[arg(long, value_name = "NUMBER")]
    condominium: Option<u32>,
}

/// The answer of `check`.
#[derive(Serialize)]
struct Checked {
    contradicts: bool,
    account: Option<::chain::id::Address>,
    session: Option<::chain::id::SessionId>,
    sequence: Option<u64>,
}

impl Evidence {
    pub(super) async fn run(self, context: &Context) -> Result<(), CommandError> {
        match self {
            Self::List(command) => command.run(context).await,
            Self::Check(command) => command.pair.check(context).await,
            Self::Submit(command) => command.run(context).await,
        }
    }
}

impl List {
    async fn run(self, context: &Context) -> Result<(), CommandError> {
        let named = self.condominium.map(CondominiumId);
        let mut found = Vec::new();
        for view in context.client().condominiums().await?.iter().filter(|view| named.is_none_or(|named| named == view.id)) {
            let roles = context.client().roles(view.id).await?;
            found.extend(roles.into_iter().filter(|role| role.role == Role::Gateway && role.suspension.is_some()));
        }
        let text = || {
            let columns = ["CONDOMINIUM", "GATEWAY", "SINCE HEIGHT", "SESSION", "READING", "EVIDENCE", "LIFTED"];
            let mut rows = Rows::new(&columns, "No gateway was ever suspended.");
            for view in &found {
                let Some(suspension) = view.suspension else { continue };
                rows.push([
                    view.condominium.to_string(),
                    view.account.to_string(),
                    suspension.since.to_string(),
                    suspension.session.to_string(),
                    suspension.sequence.to_string(),
                    suspension.evidence.to_string(),
                    suspension.lifted_at.map_or_else(|| "no".to_owned(), time),
                ]);
            }
            rows.text()
        };
        let csv = || {
            let columns = ["condominium", "gateway", "since_height", "session", "reading", "evidence", "lifted_at"];
            let mut csv = Csv::new(&columns);
            for (view, suspension) in found.iter().filter_map(|view| Some((view, view.suspension?))) {
                csv.push([
                    csv::number(view.condominium.0),
                    csv::text(view.account),
                    csv::number(suspension.since.0),
                    csv::text(suspension.session),
                    csv::number(suspension.sequence),
                    csv::text(suspension.evidence),
                    csv::some(suspension.lifted_at, csv::at),
                ]);
            }
            csv
        };
        context.put_list(&found, text, csv)
    }
}

impl Pair {
    async fn statements(&self, context: &Context) -> Result<[Transaction; 2], CommandError> {
        Ok([attestation(context, &self.first).await?, attestation(context, &self.second).await?])
    }

    async fn check(self, context: &Context) -> Result<(), CommandError> {
        let [first, second] = self.statements(context).await?;
        let found = contradiction(&first, &second).ok();
        let checked = Checked {
            contradicts: found.is_some(),
            account: found.map(|found| found.account),
            session: found.map(|found| found.one.session),
            sequence: found.map(|found| found.one.sequence),
        };
        context.put(&checked, || match found {
            None => "They do not contradict each other.".to_owned(),
            Some(found) => {
                let said = |reading: &contracts::call::Reading| format!("{} at {}", kwh(reading.register_wh), time(reading.at));
                Facts::new()
                    .with("contradicts itself", found.account.to_string())
                    .with("session", found.one.session.to_string())
                    .with("reading", found.one.sequence.to_string())
                    .with("says", said(&found.one))
                    .with("and also", said(&found.other))
                    .text()
            }
        })?;
        if found.is_some() {
            Ok(())
        } else {
            Err(CommandError::Verification("the two attestations do not contradict each other".to_owned()))
        }
    }
}

impl Submit {
    async fn run(self, context: &Context) -> Result<(), CommandError> {
        let condominium = context.condominium(self.condominium).await?;
        let status = context.status().await?;
        let [first, second] = self.pair.statements(context).await?;
        let account = first.body().account;
        let bytes = |statement: &Transaction| SignedBytes(statement.bytes().to_vec());
        let call = ProveEquivocation { condominium, first: bytes(&first), second: bytes(&second) };
        let done = context.submit(&status, Call::ProveEquivocation(call)).await?;
        context.put_done(&done, Facts::new().with("suspended", account.to_string()).with("in condominium", condominium.to_string()))
    }
}

/// A signed attestation: from the node where an id, or its beginning, is given, else from a file.
async fn attestation(context: &Context, named: &str) -> Result<Transaction, CommandError> {
    let (path, id) = (Path::new(named), named.parse::<Named>().ok());
    let (text, id) = match id.filter(|_| !path.exists()) {
        Some(id) => {
            let whole = match &id {
                Named::Whole(id) => TxId(*id),
                Named::Beginning(digits) => context.client().transaction_beginning(digits).await?,
            };
            (context.client().transaction(whole).await?.bytes, Some(id))
        }
        None => {
            let bytes = file::read_at_most(path, "an attestation in hexadecimal digits", MAX_FILE_BYTES)?;
            let text = String::from_utf8(bytes).map_err(|_| CommandError::Failed(format!("{named} does not hold hexadecimal digits")))?;
            (text, None)
        }
    };
    let wrong = |why: String| CommandError::Failed(format!("{named} is no signed attestation: {why}"));
    let bytes = hex::decode(text.trim()).map_err(|error| wrong(error.to_string()))?;
    let transaction = Transaction::decode(&bytes).map_err(|error| wrong(error.to_string()))?;
    transaction.verify().map_err(|error| wrong(error.to_string()))?;
    if id.is_some_and(|id| !id.fits(transaction.id().0)) {
        return Err(CommandError::Verification(format!("the node's bytes are of transaction {}, not {named}", transaction.id())));
    }
    Ok(transaction)
}

/// Two digits a byte, and a line's end.
const MAX_FILE_BYTES: u64 = 2 * MAX_TRANSACTION_BYTES as u64 + 2;
