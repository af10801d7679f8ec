//! How results reach the screen: tables for people, JSON for programs, CSV for spreadsheets; all on stdout.
//!
//! A command says what it found once, as facts and as JSON; this module chooses. Prompts and progress go to stderr and are not made here. Called by
//! the commands.

use std::io::{self, Write as _};

use chain::words::steers;
use comfy_table::{ContentArrangement, Table, presets};
use serde::{Deserialize, Serialize};

use crate::csv::{self, Csv};

/// How results are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Output {
    /// For people.
    #[default]
    Table,
    /// For programs: the API's own JSON.
    Json,
    /// For spreadsheets: RFC 4180, a line for each item of a list, or for each field of what is no list.
    Csv,
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

/// Writes a result to stdout in the form that was asked for; as CSV a line for each field. A reader that has gone away is no error.
///
/// # Errors
/// The machine's.
pub fn put<T: Serialize + ?Sized>(output: Output, json: &T, text: impl FnOnce() -> String) -> io::Result<()> {
    match output {
        Output::Csv => out(csv::facts(&serde_json::to_value(json)?).as_bytes()),
        Output::Table => out(text().as_bytes()),
        Output::Json => {
            let mut bytes = serde_json::to_vec_pretty(json)?;
            bytes.push(b'\n');
            out(&bytes)
        }
    }
}

/// [`put`] of a list, whose rows and columns are its own.
///
/// # Errors
/// The machine's.
pub fn put_list<T: Serialize + ?Sized>(
    output: Output,
    json: &T,
    text: impl FnOnce() -> String,
    csv: impl FnOnce() -> Csv,
) -> io::Result<()> {
    match output {
        Output::Csv => out(csv().text().as_bytes()),
        Output::Table | Output::Json => put(output, json, text),
    }
}

/// Writes bytes to stdout as they are. A reader that has gone away is no error.
///
/// # Errors
/// The machine's.
pub fn out(bytes: &[u8]) -> io::Result<()> {
    match io::stdout().lock().write_all(bytes).and_then(|()| io::stdout().lock().flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        outcome => outcome,
    }
}

/// Text that comes from a node or a file, without what could steer a terminal or make its letters seem others.
#[must_use]
pub fn clean(text: &str) -> String {
    text.chars().map(|character| if steers(character) { '\u{fffd}' } else { character }).collect()
}

/// What a message shows at most of words that somebody else has written, in characters.
const BRIEF_CHARS: usize = 200;

/// The beginning of words that somebody else has written, and [`clean`]: they must not fill a screen or a log.
#[must_use]
pub fn brief(text: &str) -> String {
    let cut: String = text.chars().take(BRIEF_CHARS).collect();
    clean(&if cut.len() < text.len() { format!("{cut}…") } else { cut })
}

/// [`clean`] that leaves the ends of lines.
#[must_use]
pub fn clean_lines(text: &str) -> String {
    text.lines().map(clean).collect::<Vec<_>>().join("\n")
}

/// What the machine says of a file, in words that say what to do; its own words where there are none.
#[must_use]
pub fn io_words(error: &io::Error) -> String {
    let known = [
        (io::ErrorKind::AlreadyExists, "there is something of this name already, and it stays: choose another name, or move it away"),
        (io::ErrorKind::IsADirectory, "it is a folder, not a file"),
        (io::ErrorKind::NotADirectory, "a part of the path before the last is a file, not a folder"),
        (io::ErrorKind::NotFound, "there is no such file or folder"),
        (io::ErrorKind::PermissionDenied, "this user may not do that there"),
    ];
    // An error that this program made says more than its kind does.
    let told = known.iter().find(|(kind, _)| *kind == error.kind() && error.get_ref().is_none());
    told.map_or_else(|| without_number(&error.to_string()), |(_, words)| (*words).to_owned())
}

/// What the machine says of an error, without the number that says it again.
#[must_use]
pub fn without_number(text: &str) -> String {
    text.split(" (os error ").next().unwrap_or_default().to_owned()
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A condominium's name with U+202E turned the rest of its line around.
    #[test]
    fn no_text_turns_a_line_around_or_steers_the_terminal() {
        let shown = Facts::new().with("name", "TRO\u{202e}1 \u{1b}[2J\u{2066}x\u{200b}").text();
        assert!(shown.contains("TRO\u{fffd}1 \u{fffd}[2J\u{fffd}x\u{fffd}"), "{shown:?}");
        assert_eq!(clean("Condomínio «Łódź» 2"), "Condomínio «Łódź» 2");
        assert_eq!(clean_lines("a\nb\u{7}"), "a\nb\u{fffd}");
    }
}
