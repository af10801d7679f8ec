//! Lines of a session file: bounded, one at a time, split into fields.
//!
//! It knows the separator and the quotes and nothing of what the fields mean. `rows` calls it.

use std::io::{self, BufRead};

/// The longest line that is read, in bytes without its end; a longer one is malformed.
pub const MAX_LINE_BYTES: usize = 4_096;

/// How a line ended.
pub(super) enum LineEnd {
    /// With its newline, or with the end of the file in place of it.
    OfLine,
    /// It was longer than [`MAX_LINE_BYTES`]: the line holds its beginning, the rest is passed over.
    TooLong,
    /// There is no further line.
    OfFile,
}

/// Puts the next line into `line`, always ended by a single `\n`, whether it ended so, with CRLF or with the file.
pub(super) fn next_line(input: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<LineEnd> {
    line.clear();
    // CR and LF come on top of the line's own bytes.
    let most = MAX_LINE_BYTES + 2;
    let read = io::Read::take(&mut *input, most as u64).read_until(b'\n', line)?;
    if read == 0 {
        return Ok(LineEnd::OfFile);
    }
    let ended = line.pop_if(|last| *last == b'\n').is_some();
    line.pop_if(|last| *last == b'\r');
    if !ended && read == most {
        input.skip_until(b'\n')?;
    }
    let too_long = line.len() > MAX_LINE_BYTES || (!ended && read == most);
    line.truncate(MAX_LINE_BYTES);
    line.push(b'\n');
    Ok(if too_long { LineEnd::TooLong } else { LineEnd::OfLine })
}

/// Splits a line into fields and takes their quotes off.
pub(super) struct Splitter {
    parser: csv_core::Reader,
    text: Vec<u8>,
}

/// A line's fields.
pub(super) struct Columns<'a> {
    pub(super) fields: Vec<&'a [u8]>,
    /// Whether the line ended outside quotes, so that its fields are what its writer meant.
    pub(super) whole: bool,
}

impl Splitter {
    /// One field more than a row has: enough to see that there are too many.
    const MAX_FIELDS: usize = super::COLUMNS.len() + 1;

    pub(super) fn new() -> Self {
        let parser = csv_core::ReaderBuilder::new().delimiter(b';').terminator(csv_core::Terminator::Any(b'\n')).build();
        Self { parser, text: vec![0; MAX_LINE_BYTES + 1] }
    }

    /// The fields of a line that ends with `\n` and is at most [`MAX_LINE_BYTES`] long without it. A byte-order mark
    /// at its start is dropped.
    pub(super) fn split(&mut self, line: &[u8]) -> Columns<'_> {
        // An open quote in the line before must not reach into this one.
        self.parser.reset();
        let mut ends = [0; Self::MAX_FIELDS];
        let (result, _, _, fields) = self.parser.read_record(line, &mut self.text, &mut ends);
        let whole = match result {
            csv_core::ReadRecordResult::Record => true,
            csv_core::ReadRecordResult::InputEmpty
            | csv_core::ReadRecordResult::OutputFull
            | csv_core::ReadRecordResult::OutputEndsFull
            | csv_core::ReadRecordResult::End => false,
        };
        let mut from = 0;
        let fields = ends[..fields].iter().map(|to| &self.text[std::mem::replace(&mut from, *to)..*to]).collect();
        Columns { fields, whole }
    }
}
