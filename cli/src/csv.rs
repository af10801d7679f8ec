//! Comma-separated values (RFC 4180) that open in a spreadsheet as what they are.
//!
//! Lines end in CR LF, text is UTF-8 without a byte order mark. Money is in micro-tokens, energy in Wh, current in mA, times in UTC: whole numbers, exact. Text
//! that a spreadsheet would take for a formula begins with an apostrophe. Which columns a list has is documented in `docs/cli.md`; new ones come last. Called by
//! the commands and by the auditor's tables.

use std::fmt::Write as _;

use chain::{
    quantity::{Amount, Currents, WattHours},
    time::Timestamp,
};
use serde::Serialize;

use crate::render::clean;

/// The beginnings that make a formula of a cell in one spreadsheet or another.
const FORMULA: [char; 7] = ['=', '+', '-', '@', '\t', '\r', '\n'];

/// The most levels of JSON that [`facts`] goes down.
const MAX_DEPTH: usize = 16;

/// Fields of the JSON that hold a point in time, beside those that end in `_at`. Some of them are heights elsewhere, which [`LEAST_TIME_DIGITS`] tells apart.
const TIMES: [&str; 14] = [
    "at",
    "depart_by",
    "due",
    "expires",
    "from",
    "idle_since",
    "next_change",
    "not_before",
    "now",
    "since",
    "timestamp",
    "until",
    "valid_from",
    "valid_until",
];

/// The digits that milliseconds since 1970 have had since 1973, and that no chain's height gets.
const LEAST_TIME_DIGITS: usize = 12;

/// A cell.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Cell {
    /// Nothing.
    Empty,
    /// A whole number.
    Number(u64),
    /// A point in time, in UTC.
    Time(Timestamp),
    /// Words, or a name.
    Text(String),
}

/// A number, whatever its width.
pub fn number(value: impl Into<u64>) -> Cell {
    Cell::Number(value.into())
}

/// Whatever writes itself.
pub fn text(value: impl ToString) -> Cell {
    Cell::Text(value.to_string())
}

/// Micro-tokens.
#[must_use]
pub const fn micro(amount: Amount) -> Cell {
    Cell::Number(amount.micro())
}

/// Wh.
#[must_use]
pub const fn wh(energy: WattHours) -> Cell {
    Cell::Number(energy.get())
}

/// A point in time.
#[must_use]
pub const fn at(time: Timestamp) -> Cell {
    Cell::Time(time)
}

/// The three phases of a current in mA, a cell each.
#[must_use]
pub fn ma(currents: Currents) -> [Cell; 3] {
    currents.ma().map(|ma| Cell::Number(ma.into()))
}

/// What there may be.
pub fn some<T>(value: Option<T>, cell: impl FnOnce(T) -> Cell) -> Cell {
    value.map_or(Cell::Empty, cell)
}

/// Yes or no.
#[must_use]
pub fn yes(value: bool) -> Cell {
    text(if value { "yes" } else { "no" })
}

/// The word that the JSON has for it, which programs may rely on; of one with a part, both words, such as `anomaly over_current`.
pub fn word<T: Serialize>(value: &T) -> Cell {
    some(word_of(value), Cell::Text)
}

/// The text of [`word`]; nothing where the JSON has none.
pub fn word_of<T: Serialize>(value: &T) -> Option<String> {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => Some(word),
        Ok(serde_json::Value::Object(parts)) => {
            let parts = parts.iter().map(|(name, part)| format!("{name} {}", part.as_str().unwrap_or_default()));
            Some(parts.collect::<Vec<_>>().join(" "))
        }
        _ => None,
    }
}

/// Rows under a head; a list without rows still has its head.
#[derive(Debug)]
pub struct Csv {
    columns: usize,
    text: String,
}

impl Csv {
    /// A list with these columns, named `snake_case` with their unit last.
    #[must_use]
    pub fn new(columns: &[&str]) -> Self {
        Self { columns: columns.len(), text: format!("{}\r\n", columns.join(",")) }
    }

    /// Adds a row; cells beyond the columns are left out, missing ones are empty, so that every line has as many.
    pub fn push(&mut self, cells: impl IntoIterator<Item = Cell>) {
        let cells = cells.into_iter().chain(std::iter::repeat(Cell::Empty)).take(self.columns);
        let line: Vec<String> = cells.map(|cell| written(&cell)).collect();
        self.text.push_str(&line.join(","));
        self.text.push_str("\r\n");
    }

    /// The text.
    #[must_use]
    pub fn text(self) -> String {
        self.text
    }
}

/// A cell as it stands between two commas.
#[must_use]
pub fn written(cell: &Cell) -> String {
    match cell {
        Cell::Empty => String::new(),
        Cell::Number(number) => number.to_string(),
        Cell::Time(at) => utc(*at),
        Cell::Text(text) => quoted(text),
    }
}

/// Text as a cell that is no formula and no two cells.
#[must_use]
pub fn quoted(text: &str) -> String {
    let guard = if text.starts_with(FORMULA) { "'" } else { "" };
    if text.contains([',', '"', '\n', '\r']) { format!("\"{guard}{}\"", text.replace('"', "\"\"")) } else { format!("{guard}{text}") }
}

/// `2026-01-16T17:49:26.250Z`, or plain milliseconds where a calendar has no such day.
#[must_use]
pub fn utc(at: Timestamp) -> String {
    let parsed = i64::try_from(at.ms()).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    parsed.map_or_else(|| at.ms().to_string(), |at| format!("{at:.3}"))
}

/// What is no list, as two columns: the field's name in the JSON of the same answer, levels separated by points, and its value.
#[must_use]
pub fn facts(json: &serde_json::Value) -> String {
    let mut csv = Csv::new(&["field", "value"]);
    walk(json, &mut String::new(), 0, &mut |name, value| csv.push([text(name), text(clean(value))]));
    csv.text()
}

fn walk(json: &serde_json::Value, name: &mut String, depth: usize, put: &mut impl FnMut(&str, &str)) {
    let whole = name.len();
    let mut inside = |name: &mut String, part: &str, value| {
        // Writing to a string cannot fail.
        let _ = write!(name, "{}{part}", if name.is_empty() { "" } else { "." });
        walk(value, name, depth + 1, put);
        name.truncate(whole);
    };
    match json {
        serde_json::Value::Object(fields) if depth < MAX_DEPTH => {
            for (part, value) in fields {
                inside(name, part, value);
            }
        }
        serde_json::Value::Array(items) if depth < MAX_DEPTH => {
            for (number, value) in items.iter().enumerate() {
                inside(name, &number.to_string(), value);
            }
        }
        serde_json::Value::Null => put(name, ""),
        serde_json::Value::String(value) => match time_of(name, value) {
            Some(at) => put(name, &utc(at)),
            None => put(name, value),
        },
        serde_json::Value::Bool(_) | serde_json::Value::Number(_) | serde_json::Value::Object(_) | serde_json::Value::Array(_) => {
            put(name, &json.to_string());
        }
    }
}

/// The point in time that a field holds, where it holds one.
fn time_of(name: &str, value: &str) -> Option<Timestamp> {
    let field = name.rsplit('.').next().unwrap_or(name);
    let is_time = TIMES.contains(&field) || field.ends_with("_at");
    let ms = value.parse().ok().filter(|_| is_time && value.len() >= LEAST_TIME_DIGITS)?;
    Some(Timestamp::from_ms(ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A reader of RFC 4180, apart from the writer.
    fn read(text: &str) -> Vec<Vec<String>> {
        let (mut rows, mut row, mut cell, mut inside) = (Vec::new(), Vec::new(), String::new(), false);
        let mut signs = text.chars().peekable();
        while let Some(sign) = signs.next() {
            match (sign, inside) {
                ('"', true) if signs.peek() == Some(&'"') => cell.push(signs.next().unwrap()),
                ('"', _) => inside = !inside,
                (',', false) => row.push(std::mem::take(&mut cell)),
                ('\r', false) => {
                    assert_eq!(signs.next(), Some('\n'));
                    row.push(std::mem::take(&mut cell));
                    rows.push(std::mem::take(&mut row));
                }
                _ => cell.push(sign),
            }
        }
        assert!(!inside && cell.is_empty() && row.is_empty(), "ends in the middle");
        rows
    }

    #[test]
    fn every_row_has_the_columns_of_the_head_and_no_cell_becomes_a_formula() {
        let mut csv = Csv::new(&["name", "amount_micro", "at"]);
        let names = ["=1+1", "+cmd", "-2", "@x", "\tx", "a,b", "say \"no\"", "two\r\nlines", "Łódź", ""];
        for name in names {
            csv.push([text(name), micro(Amount::from_micro(12)), at(Timestamp::from_ms(1_768_585_766_250)), text("too much")]);
        }
        csv.push([text("short")]);
        let rows = read(&csv.text());
        assert_eq!(rows.len(), names.len() + 2);
        assert!(rows.iter().all(|row| row.len() == 3), "{rows:?}");
        for (name, row) in names.iter().zip(&rows[1..]) {
            let guarded = name.starts_with(FORMULA);
            assert_eq!(row[0], format!("{}{name}", if guarded { "'" } else { "" }));
            assert_eq!(row[1..], ["12", "2026-01-16T17:49:26.250Z"]);
        }
        assert_eq!(rows.last().unwrap(), &["short", "", ""]);
    }

    #[test]
    fn an_answer_that_is_no_list_has_a_row_for_each_field() {
        let json = serde_json::json!({"a": {"b": null, "c": ["=x", 2]}, "d": true});
        assert_eq!(facts(&json), "field,value\r\na.b,\r\na.c.0,'=x\r\na.c.1,2\r\nd,true\r\n");
        // Times were milliseconds here and RFC 3339 in lists; money of as many digits is none.
        let json = serde_json::json!({"balance": "1768585766250", "from": "1200", "opened_at": "1768585766250", "until": "1768585766250"});
        let time = "2026-01-16T17:49:26.250Z";
        assert_eq!(facts(&json), format!("field,value\r\nbalance,1768585766250\r\nfrom,1200\r\nopened_at,{time}\r\nuntil,{time}\r\n"));
    }
}
