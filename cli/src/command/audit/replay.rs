//! `watt audit replay`.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
};

use ::chain::{api::Unit, words::in_words};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::{
    audit::{AuditError, AuditReport, NodeAuditError, Progress, RowCounts, TableFormat, Tables, replay_into, replay_node},
    command::{CommandError, Context},
    render::Facts,
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

Exit codes: 0 everything is true, 3 something is not (height, field and transaction are named), 4 the node cannot be reached.")]
pub struct Replay {
    /// An export; without one the node is asked for its chain
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
    blocks: u64,
    transactions: u64,
    rejected: u64,
    signatures: u64,
    samples: u64,
    samples_missing: u64,
    bills: u64,
    open_sessions: u64,
    energy_wh: u64,
    escrowed: u64,
    paid: u64,
    refunded: u64,
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
        let unwritten = |path: &Path, error: io::Error| CommandError::Failed(format!("{}: {error}", path.display()));
        let to = self.export.zip(self.to);
        let mut tables =
            to.as_ref().map(|(format, path)| Tables::create(*format, path).map_err(|error| unwritten(path, error))).transpose()?;
        let report = match self.file {
            Some(file) => {
                let opened = File::open(&file).map_err(|error| CommandError::Failed(format!("cannot open {}: {error}", file.display())))?;
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
            let rows = tables.finish().map_err(|error| unwritten(&path, error))?;
            answer.exported = Some(Exported { path: path.display().to_string(), rows });
        }
        let pinned = self.chain_id.is_some();
        context.put(&answer, || table(&answer, pinned))
    }
}

fn failed(error: AuditError) -> CommandError {
    match error {
        AuditError::Failed(failure) => CommandError::Verification(failure.to_string()),
        AuditError::Read(error) => CommandError::Io(error),
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
    bar.set_message(format!("{} blocks, {} transactions", progress.blocks, progress.transactions));
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
        energy_wh: totals.energy.get(),
        escrowed: totals.escrowed.micro(),
        paid: totals.paid.micro(),
        refunded: totals.refunded.micro(),
        state_root: report.state_root,
        seconds: report.seconds,
        exported: None,
    })
}

fn table(answer: &Answer, pinned: bool) -> String {
    let tokens = |micro: u64| in_words(Unit::MicroTokens, micro);
    let trust = if pinned { "the one that was asked for" } else { "compare it with the one that you know" };
    Facts::new()
        .with("verdict", "everything is as the rules demand")
        .with("chain", format!("{} ({}): {trust}", answer.chain_id, answer.network))
        .with("blocks", answer.blocks.to_string())
        .with("transactions", format!("{}, of which {} were rejected", answer.transactions, answer.rejected))
        .with("signatures", answer.signatures.to_string())
        .with("bills", format!("{}, each computed again; {} sessions are open", answer.bills, answer.open_sessions))
        .with("energy", in_words(Unit::WattHours, answer.energy_wh))
        .with("escrowed", tokens(answer.escrowed))
        .with("paid", tokens(answer.paid))
        .with("refunded", tokens(answer.refunded))
        .with("raw samples", format!("{} records checked, {} not kept or erased", answer.samples, answer.samples_missing))
        .with("state root", answer.state_root.to_string())
        .with("took", format!("{:.1} s ({} per block)", answer.seconds, per_block(answer)))
        .with_some("tables", answer.exported.as_ref().map(|Exported { path, rows }| {
            let RowCounts { sessions, sales, roles, validators, positions } = rows;
            format!("{path}: {sessions} sessions, {sales} sales and redemptions, {roles} roles, {validators} validators, {positions} positions")
        }))
        .text()
}

fn per_block(answer: &Answer) -> String {
    if answer.blocks == 0 { "no blocks".to_owned() } else { format!("{:.2} ms", answer.seconds * 1_000.0 / answer.blocks as f64) }
}
