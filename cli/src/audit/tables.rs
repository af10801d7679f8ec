//! What an audit has found true, as tables for spreadsheets and programs: sessions, sales and redemptions, roles, validators, positions.
//!
//! Rows are written as the audit goes, beside their place, and get their names only when the whole chain was found true: of a chain that is not, no table is
//! left behind. Amounts are micro-tokens and energy Wh, exact; times are UTC. Written by the auditor, for `watt audit replay --export`.

mod rows;

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufWriter, Write as _},
    path::{Path, PathBuf},
};

use chain::{certificate::ValidatorSet, time::Timestamp};
use serde::Serialize;

/// How tables are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum TableFormat {
    /// A folder with a file for each table, for spreadsheets.
    Csv,
    /// One file of JSON lines, each with the name of its table, for programs.
    Jsonl,
}

/// The tables; the names of the files.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Table {
    Sessions,
    Sales,
    Roles,
    Validators,
    Positions,
}

impl Table {
    const ALL: [Self; 5] = [Self::Sessions, Self::Sales, Self::Roles, Self::Validators, Self::Positions];

    const fn name(self) -> &'static str {
        match self {
            Self::Sessions => "sessions",
            Self::Sales => "sales",
            Self::Roles => "roles",
            Self::Validators => "validators",
            Self::Positions => "positions",
        }
    }
}

/// How many rows each table has.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize)]
pub struct RowCounts {
    /// Sessions, settled and open.
    pub sessions: u64,
    /// Sales and what became of redemptions.
    pub sales: u64,
    /// Grants and revocations.
    pub roles: u64,
    /// Members of each validator set.
    pub validators: u64,
    /// Movements between condominiums, and what is owed in the end.
    pub positions: u64,
}

/// What stands in a cell.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Cell {
    /// Words, names, ids.
    Text(String),
    /// A number, exact.
    Number(u64),
    /// A point in time.
    Time(Timestamp),
    /// Nothing.
    Empty,
}

/// A row: names of columns with what stands in them; a table's rows all have the same names.
pub(super) type Row = Vec<(&'static str, Cell)>;

/// Tables that are being written.
#[derive(Debug)]
pub struct Tables {
    format: TableFormat,
    place: PathBuf,
    partial: Partial,
    /// One for each table, or one for all.
    files: Vec<BufWriter<File>>,
    headed: [bool; Table::ALL.len()],
    counts: [u64; Table::ALL.len()],
    /// The first thing that could not be written; nothing more is, then.
    failed: Option<io::Error>,
    names: rows::Names,
    validators: Option<ValidatorSet>,
}

/// What is removed unless it has got its name.
#[derive(Debug)]
struct Partial(PathBuf);

impl Drop for Partial {
    fn drop(&mut self) {
        // After the renaming there is neither.
        let _ = fs::remove_file(&self.0);
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Tables {
    /// Begins tables that will be at `place`: a new folder for CSV, a new file for JSON lines.
    ///
    /// # Errors
    /// The machine's; `AlreadyExists` where there is something in the place.
    pub fn create(format: TableFormat, place: &Path) -> io::Result<Self> {
        free(place)?;
        let name = place.file_name().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "this names no file"))?;
        let folder = place.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let partial = Partial(folder.join(format!(".{}.{}.part", name.to_string_lossy(), std::process::id())));
        let new = |path: &Path| OpenOptions::new().write(true).create_new(true).open(path).map(BufWriter::new);
        let files = match format {
            TableFormat::Csv => {
                fs::create_dir(&partial.0)?;
                Table::ALL.map(|table| new(&partial.0.join(format!("{}.csv", table.name())))).into_iter().collect::<io::Result<_>>()?
            }
            TableFormat::Jsonl => vec![new(&partial.0)?],
        };
        Ok(Self {
            format,
            place: place.to_path_buf(),
            partial,
            files,
            headed: Default::default(),
            counts: Default::default(),
            failed: None,
            names: rows::Names::default(),
            validators: None,
        })
    }

    /// Gives what was written its name; how many rows there are.
    ///
    /// # Errors
    /// The machine's, also those of earlier rows; then nothing is left behind.
    pub fn finish(mut self) -> io::Result<RowCounts> {
        for table in Table::ALL {
            if self.format == TableFormat::Csv && !self.headed[table as usize] {
                self.line(table, &rows::columns(table).iter().map(|name| (*name).to_owned()).collect::<Vec<_>>().join(","));
            }
        }
        if let Some(error) = self.failed {
            return Err(error);
        }
        for file in self.files {
            file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        }
        free(&self.place)?;
        fs::rename(&self.partial.0, &self.place)?;
        let [sessions, sales, roles, validators, positions] = self.counts;
        Ok(RowCounts { sessions, sales, roles, validators, positions })
    }

    fn row(&mut self, table: Table, row: &Row) {
        debug_assert!(row.iter().map(|(name, _)| *name).eq(rows::columns(table).iter().copied()));
        self.counts[table as usize] += 1;
        match self.format {
            TableFormat::Csv => {
                if !std::mem::replace(&mut self.headed[table as usize], true) {
                    self.line(table, &row.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(","));
                }
                self.line(table, &row.iter().map(|(_, cell)| csv(cell)).collect::<Vec<_>>().join(","));
            }
            TableFormat::Jsonl => {
                let mut line = serde_json::Map::new();
                line.insert("table".to_owned(), table.name().into());
                line.extend(row.iter().map(|(name, cell)| ((*name).to_owned(), json(cell))));
                self.line(table, &serde_json::Value::Object(line).to_string());
            }
        }
    }

    fn line(&mut self, table: Table, text: &str) {
        let place = if self.files.len() == 1 { 0 } else { table as usize };
        if let (None, Some(file)) = (&self.failed, self.files.get_mut(place)) {
            self.failed = writeln!(file, "{text}").err();
        }
    }
}

fn free(place: &Path) -> io::Result<()> {
    match fs::symlink_metadata(place) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(_) => Err(io::Error::new(io::ErrorKind::AlreadyExists, "there is something already: choose another name, or remove it")),
    }
}

/// A cell as RFC 4180 has it; text that a spreadsheet would take for a formula begins with an apostrophe, which it shows as text.
fn csv(cell: &Cell) -> String {
    match cell {
        Cell::Empty => String::new(),
        Cell::Number(number) => number.to_string(),
        Cell::Time(at) => utc(*at),
        Cell::Text(text) => {
            let guard = if text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']) { "'" } else { "" };
            if text.contains([',', '"', '\n', '\r']) {
                format!("\"{guard}{}\"", text.replace('"', "\"\""))
            } else {
                format!("{guard}{text}")
            }
        }
    }
}

fn json(cell: &Cell) -> serde_json::Value {
    match cell {
        Cell::Empty => serde_json::Value::Null,
        Cell::Number(number) => (*number).into(),
        Cell::Time(at) => utc(*at).into(),
        Cell::Text(text) => text.as_str().into(),
    }
}

/// `2026-01-16T17:49:26.250Z`, or plain milliseconds where a calendar has no such day.
fn utc(at: Timestamp) -> String {
    let parsed = i64::try_from(at.ms()).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    parsed.map_or_else(|| at.ms().to_string(), |at| format!("{at:.3}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_cannot_become_a_formula_or_two_cells() {
        for (text, expected) in [
            ("TRO", "TRO"),
            ("=1+1", "'=1+1"),
            ("+31", "'+31"),
            ("-2", "'-2"),
            ("@x", "'@x"),
            ("\t=1", "'\t=1"),
            ("a,b", "\"a,b\""),
            ("=HYPERLINK(\"x\",\"y\")", "\"'=HYPERLINK(\"\"x\"\",\"\"y\"\")\""),
            ("two\nlines", "\"two\nlines\""),
        ] {
            assert_eq!(csv(&Cell::Text(text.to_owned())), expected, "{text}");
        }
        assert_eq!(csv(&Cell::Time(Timestamp::from_ms(1_768_585_766_250))), "2026-01-16T17:49:26.250Z");
        assert_eq!(csv(&Cell::Time(Timestamp::from_ms(u64::MAX))), u64::MAX.to_string());
    }

    #[test]
    fn tables_that_were_not_finished_leave_nothing_and_replace_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        for format in [TableFormat::Csv, TableFormat::Jsonl] {
            let place = folder.path().join("tables");
            drop(Tables::create(format, &place).expect("begins"));
            assert_eq!(fs::read_dir(folder.path()).expect("reads").count(), 0);
            Tables::create(format, &place).expect("begins").finish().expect("ends");
            assert_eq!(Tables::create(format, &place).expect_err("taken").kind(), io::ErrorKind::AlreadyExists);
            if format == TableFormat::Csv {
                assert_eq!(fs::read_dir(&place).expect("reads").count(), Table::ALL.len());
                assert!(fs::read_to_string(place.join("roles.csv")).expect("reads").starts_with("event,at,height,"));
                fs::remove_dir_all(&place).expect("removes");
            }
        }
    }
}
