//! How results reach the screen: tables for people, JSON for programs; both on stdout.
//!
//! A command says what it found once, as facts and as JSON; this module chooses. Prompts and progress go to stderr and are not made here. Called by
//! the commands.

use std::io::{self, Write as _};

use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

/// How results are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, clap::ValueEnum)]
pub enum Output {
    /// For people.
    #[default]
    Table,
    /// For programs: the API's own JSON.
    Json,
}

/// Rows under a head.
#[derive(Debug)]
pub struct Rows {
    table: Table,
    empty: &'static str,
}

impl Rows {
    /// A table with these columns; `empty` is said where there is no row.
    #[must_use]
    pub fn new(columns: &[&str], empty: &'static str) -> Self {
        let mut table = plain_table();
        table.set_header(columns);
        Self { table, empty }
    }

    /// Adds a row.
    pub fn push<T: Into<String>>(&mut self, cells: impl IntoIterator<Item = T>) {
        self.table.add_row(cells.into_iter().map(|cell| clean(&cell.into())));
    }

    /// The text, ending in a new line.
    #[must_use]
    pub fn text(&self) -> String {
        if self.table.is_empty() { format!("{}\n", self.empty) } else { lines(&self.table) }
    }
}

/// Named facts, one to a line.
#[derive(Debug)]
pub struct Facts(Table);

impl Default for Facts {
    fn default() -> Self {
        Self::new()
    }
}

impl Facts {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self(plain_table())
    }

    /// Adds a fact.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.0.add_row([name.to_owned(), clean(&value.into())]);
        self
    }

    /// Adds a fact that there may be.
    #[must_use]
    pub fn with_some(self, name: &str, value: Option<impl Into<String>>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// The text, ending in a new line.
    #[must_use]
    pub fn text(&self) -> String {
        lines(&self.0)
    }
}

/// Writes a result to stdout in the form that was asked for. A reader that has gone away is no error.
///
/// # Errors
/// The machine's.
pub fn put<T: Serialize + ?Sized>(output: Output, json: &T, text: impl FnOnce() -> String) -> io::Result<()> {
    let bytes = match output {
        Output::Table => text().into_bytes(),
        Output::Json => {
            let mut bytes = serde_json::to_vec_pretty(json)?;
            bytes.push(b'\n');
            bytes
        }
    };
    match io::stdout().lock().write_all(&bytes).and_then(|()| io::stdout().lock().flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        outcome => outcome,
    }
}

/// Text that comes from a node, without what could steer a terminal.
#[must_use]
pub fn clean(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { '\u{fffd}' } else { character }).collect()
}

fn plain_table() -> Table {
    let mut table = Table::new();
    // Ids and addresses are copied from here: no line is broken for the width of a terminal.
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table
}

fn lines(table: &Table) -> String {
    table.lines().map(|line| format!("{}\n", line.strip_prefix(' ').unwrap_or(&line).trim_end())).collect()
}
