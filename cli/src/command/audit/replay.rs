//! `watt audit replay`.

use std::path::PathBuf;

use ::chain::{
    api::Unit,
    quantity::{Amount, WattHours, decimal},
    words::in_words,
};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::{
    audit::{AuditError, AuditReport, NodeAuditError, Progress, RowCounts, TableFormat, Tables, replay_into, replay_node},
    command::{
        CommandError, Context,
        file::{failed as unwritten, open},
    },
    quantity::count,
    render::{Facts, io_words},
};

/// Carry out the whole chain again and compare every step
///
/// Checks every signature, certificate, root and receipt, counts the tokens after every block, computes every bill a second time from its tariff and its
/// readings, and holds raw samples against what was attested. All the trust that it needs is the chain's id, the hash of the genesis document: give the one
/// that you know with --chain-id, or compare the one that it prints.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  wattd export --data /var/lib/wattd --out chain.export && watt audit replay chain.export
  watt audit replay --node http://127.0.0.1:8420     the same from a node that runs
  watt audit replay chain.export --chain-id CHAIN_ID    refuses every other chain
  watt audit replay chain.export --output json
  watt audit replay chain.export --export csv --to tables      sessions, sales, roles, validators and positions, for a spreadsheet
  watt audit replay chain.export --export jsonl --to chain.jsonl

An export has the raw samples of the gateway of the node that wrote it, and no others: those behind readings of other condominiums are held against the chain by an
audit of their own nodes. CSV is UTF-8 without a byte order mark: a spreadsheet is told so when it imports the file (docs/verify.md).

Exit codes: 0 everything is true, 3 something is not (height, field and transaction are named), 4 the node cannot be reached.")]
pub struct Replay {
    /// An export; without one the node of --node is asked for its chain
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// The chain that it must be: its id, which is the hash of its genesis document
    #[arg(long, value_name = "HASH", visible_alias = "genesis")]
    chain_id: Option<::chain::id::ChainId>,
    /// Write what was found true as tables: a folder of CSV files, or one file of JSON lines
    #[arg(long, value_enum, value_name = "FORMAT", requires = "to")]
    export: Option<TableFormat>,
    /// The new folder or file for the tables
    #[arg(long, value_name = "PATH", requires = "export")]
    to: Option<PathBuf>,
}

#[derive(Serialize)]
struct Answer {
    verified: bool,
    chain_id: ::chain::id::ChainId,
    network: String,
    #[serde(with = "decimal")]
    blocks: u64,
    #[serde(with = "decimal")]
    transactions: u64,
    #[serde(with = "decimal")]
    rejected: u64,
    #[serde(with = "decimal")]
    signatures: u64,
    #[serde(with = "decimal")]
    samples: u64,
    #[serde(with = "decimal")]
    samples_missing: u64,
    #[serde(with = "decimal")]
    bills: u64,
    #[serde(with = "decimal")]
    open_sessions: u64,
    energy_wh: WattHours,
    /// Micro-tokens, as the next two.
    escrowed: Amount,
    paid: Amount,
    refunded: Amount,
    state_root: ::chain::hash::Hash32,
    seconds: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    exported: Option<Exported>,
}

/// The tables that were written.
#[derive(Serialize)]
struct Exported {
    path: String,
    #[serde(flatten)]
    rows: RowCounts,
}

impl Replay {
    pub(super) async fn run(self, context: &Context) -> Result<(), CommandError> {
        // The node of the environment, or none, is what is meant where nobody typed one.
        if let (Some(file), true) = (&self.file, context.options().node_typed) {
            let file = file.display();
            return Err(CommandError::Usage(format!("{file} is audited without asking a node: leave out either --node or the file")));
        }
        let source = self.file.as_ref().map(|file| open(file)).transpose()?;
        let to = self.export.zip(self.to);
        let mut tables =
            to.as_ref().map(|(format, path)| Tables::create(*format, path).map_err(|error| unwritten(path, &error))).transpose()?;
        let report = match source {
            Some(opened) => {
                let bar = progress_bar(opened.metadata().ok().map(|metadata| metadata.len()));
                let result = replay_into(opened, self.chain_id, tables.as_mut(), |progress| show(&bar, progress));
                bar.finish_and_clear();
                result.map_err(failed)?
            }
            None => {
                let bar = progress_bar(None);
                let shown = bar.clone();
                let result = replay_node(context.client(), self.chain_id, tables.take(), move |progress| show(&shown, progress)).await;
                bar.finish_and_clear();
                let (report, filled) = result.map_err(|error| match error {
                    NodeAuditError::Client(error) => error.into(),
                    NodeAuditError::Audit(error) => failed(error),
                })?;
                tables = filled;
                report
            }
        };
        let mut answer = answer(&report)?;
        if let Some((tables, (_, path))) = tables.zip(to) {
            let rows = tables.finish().map_err(|error| unwritten(&path, &error))?;
            answer.exported = Some(Exported { path: path.display().to_string(), rows });
        }
        let pinned = self.chain_id.is_some();
        context.put(&answer, || table(&answer, pinned))
    }
}

fn failed(error: AuditError) -> CommandError {
    match error {
        AuditError::Failed(failure) => CommandError::Audit(Box::new(failure)),
        AuditError::Read(error) => CommandError::Failed(format!("the export cannot be read: {}", io_words(&error))),
        AuditError::Machine(message) => CommandError::Failed(message),
    }
}

fn progress_bar(bytes: Option<u64>) -> ProgressBar {
    let (bar, template) = match bytes {
        Some(bytes) => (ProgressBar::new(bytes), "{bar:40} {bytes}/{total_bytes} {msg}"),
        None => (ProgressBar::new_spinner(), "{spinner} {bytes} {msg}"),
    };
    // The templates are ours; one that did not parse would only lose the bar's looks.
    bar.with_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn show(bar: &ProgressBar, progress: Progress) {
    bar.set_position(progress.bytes);
    bar.set_message(format!("{}, {}", count(progress.blocks, "block"), count(progress.transactions, "transaction")));
}

fn answer(report: &AuditReport) -> Result<Answer, CommandError> {
    let totals = report.bill_totals().map_err(|error| CommandError::Failed(error.to_string()))?;
    Ok(Answer {
        verified: true,
        chain_id: report.chain_id,
        network: report.network.clone(),
        blocks: report.blocks,
        transactions: report.transactions,
        rejected: report.rejected,
        signatures: report.signatures,
        samples: report.samples,
        samples_missing: report.samples_missing,
        bills: totals.sessions,
        open_sessions: report.open_sessions,
        energy_wh: totals.energy,
        escrowed: totals.escrowed,
        paid: totals.paid,
        refunded: totals.refunded,
        state_root: report.state_root,
        seconds: report.seconds,
        exported: None,
    })
}

fn table(answer: &Answer, pinned: bool) -> String {
    let tokens = |amount: Amount| in_words(Unit::MicroTokens, amount.micro());
    let trust = if pinned { "the one that was asked for" } else { "compare it with the one that you know" };
    Facts::new()
        .with("verdict", "everything is as the rules demand")
        .with("chain", format!("{} ({}): {trust}", answer.chain_id, answer.network))
        .with("blocks", answer.blocks.to_string())
        .with("transactions", format!("{}, of which {} were rejected", answer.transactions, answer.rejected))
        .with("signatures", answer.signatures.to_string())
        .with("bills", format!("{}, each computed again; {} still open", answer.bills, count(answer.open_sessions, "session")))
        .with("energy", in_words(Unit::WattHours, answer.energy_wh.get()))
        .with("escrowed", tokens(answer.escrowed))
        .with("paid", tokens(answer.paid))
        .with("refunded", tokens(answer.refunded))
        .with("raw samples", samples_text(answer))
        .with("state root", answer.state_root.to_string())
        .with("took", format!("{:.1} s ({} per block)", answer.seconds, per_block(answer)))
        .with_some(
            "tables",
            answer.exported.as_ref().map(|Exported { path, rows }| {
                let parts: Vec<String> = rows.named().into_iter().map(|(name, rows)| format!("{name} {rows}")).collect();
                format!("{path}: {}", parts.join(", "))
            }),
        )
        .text()
}

/// What was held against the chain; what is missing may well be kept elsewhere.
fn samples_text(answer: &Answer) -> String {
    let checked = format!("{} checked", count(answer.samples, "record"));
    if answer.samples_missing == 0 {
        return checked;
    }
    let missing = count(answer.samples_missing, "reading");
    format!(
        "{checked}; those of {missing} are not in this export: gateways of other condominiums keep theirs, and none keeps them for ever"
    )
}

fn per_block(answer: &Answer) -> String {
    if answer.blocks == 0 { "no blocks".to_owned() } else { format!("{:.2} ms", answer.seconds * 1_000.0 / answer.blocks as f64) }
}
