//! Reads recorded charging sessions and says of every row whether it can be replayed, and if not, why.
//!
//! The format is one `;`-separated line per session under the header [`COLUMNS`]: decimal comma, local time of
//! Europe/Oslo without a zone, `NA` for a missing value, fields quoted or not, lines ended by LF or CRLF.
//! A row is one line: a quote left open spoils its own row, never the rows below it.
//!
//! It repairs nothing: a row outside the rules of [`Reason`] is counted and left out. It knows no node, no chain and
//! no car, and it never reads the column `connection_time`. `replay` calls it.

mod line;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone, TimeZoneDatabase};

pub use line::MAX_LINE_BYTES;
use line::{Columns, LineEnd, Splitter, next_line};

/// The columns of a session file, in their order; a file with other columns or another order is refused.
pub const COLUMNS: [&str; 7] = ["location", "user_id", "session_id", "plugin_time", "plugout_time", "connection_time", "energy_session"];

/// The strongest connection of a replay connector, W: three phases of 32 A at 230 V.
pub const STRONGEST_W: u64 = 22_080;

/// The most rows of the chosen sites that one file may hold.
pub const MAX_ROWS: u64 = 1_000_000;

/// The most sites that the error for an unknown site lists.
pub const MAX_SITES_LISTED: usize = 20;

/// What sites are moved by in multiples, ms: 168 h.
pub const WEEK_MS: u64 = 168 * 3_600_000;

/// The text of a value that was not recorded.
const MISSING: &str = "NA";

/// Which rows to take.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// The sites (column `location`, compared byte for byte); empty takes all.
    pub sites: Vec<String>,
    /// How many usable rows to take at most, of all sites together; rows behind the last one taken are not considered, so not counted.
    pub limit: Option<u64>,
    /// Whether sites are moved in time until all begin in the week that begins with the earliest session of all; see [`read_from`].
    pub align: bool,
}

/// A recorded session that can be replayed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceSession {
    /// The condominium (column `location`).
    pub site: String,
    /// Who charged (column `user_id`): any printable text, so nothing to build a file name from.
    pub user: String,
    /// The session's name, any printable text, unique among the rows of a [`Rows`].
    pub session_id: String,
    /// When the plug went in, ms since the Unix epoch.
    pub plug_in_ms: u64,
    /// When the plug came out, ms since the Unix epoch; later than `plug_in_ms`.
    pub plug_out_ms: u64,
    /// The energy of the session, Wh, at least 1: the recorded kWh × 1000, half a Wh rounded up.
    pub energy_wh: u64,
}

/// What a file brought: `rows = usable + Σ skipped`, always.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rows {
    /// The rows of the chosen sites that were considered: all of them, or those up to the last one that the limit took.
    pub rows: u64,
    /// The sessions to replay, by (plug-in, session id).
    pub usable: Vec<SourceSession>,
    /// How many rows each reason left out; every reason is present, with 0 where nothing fell under it.
    pub skipped: BTreeMap<Reason, u64>,
}

/// Why a row is left out; a row counts under the first that applies, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Not seven columns, not UTF-8, a control character, an open quote or too long a line; a site, user or session id
    /// that is empty or `NA`; a time that is not `YYYY-MM-DD hh:mm:ss` or does not exist in Europe/Oslo; a plug-in
    /// before 1970, which a ledger's time cannot say; an energy that is not digits with an optional minus sign and
    /// an optional decimal comma between digits (a point is not one: it might group thousands);
    /// or a session id that an earlier row in sort order has, whatever became of that row.
    Malformed,
    /// The plug-out is `NA` or empty.
    NoPlugout,
    /// The plug-out is not after the plug-in.
    NotAfter,
    /// The energy is `NA`, or rounds to 0 Wh or less.
    NoEnergy,
    /// More energy than [`STRONGEST_W`] brings between plug-in and plug-out.
    TooMuchEnergy,
    /// The plug-in is before the plug-out of this user's last usable row, at whichever chosen site; the same instant is
    /// no overlap.
    Overlap,
}

impl Reason {
    /// Every reason, in the order in which they are tried.
    pub const ALL: [Self; 6] = [Self::Malformed, Self::NoPlugout, Self::NotAfter, Self::NoEnergy, Self::TooMuchEnergy, Self::Overlap];

    /// The name used in reports and on the terminal; it never changes.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::NoPlugout => "no_plugout",
            Self::NotAfter => "not_after",
            Self::NoEnergy => "no_energy",
            Self::TooMuchEnergy => "too_much_energy",
            Self::Overlap => "overlap",
        }
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a file cannot be used at all.
#[derive(Debug, thiserror::Error)]
pub enum RowsError {
    /// There is no such file, or it may not be read.
    #[error("cannot open {}: {source}", path.display())]
    Open { path: PathBuf, source: io::Error },
    /// Reading broke off; `line` counts from 1.
    #[error("cannot read line {line} of the sessions: {source}")]
    Read { line: u64, source: io::Error },
    /// Not even a header.
    #[error("the file of sessions is empty: expected the header {}", COLUMNS.join(";"))]
    Empty,
    /// The first line is not [`COLUMNS`].
    #[error("not a file of charging sessions: expected the header {}, found {found}", COLUMNS.join(";"))]
    Header { found: String },
    /// A chosen site does not occur; `found` lists at most [`MAX_SITES_LISTED`] that do.
    #[error("no row of site {site}; sites in the file: {}", found.join(", "))]
    UnknownSite { site: String, found: Vec<String> },
    /// The chosen sites have more than [`MAX_ROWS`].
    #[error("more than {MAX_ROWS} rows: choose fewer sites or split the file")]
    TooManyRows,
}

/// Reads the file at `path`; see [`read_from`].
///
/// # Errors
/// [`RowsError`]: the file cannot be read, is not of this format, is too long, or has no row of a chosen site.
pub fn read(path: &Path, filter: &Filter) -> Result<Rows, RowsError> {
    let file = File::open(path).map_err(|source| RowsError::Open { path: path.to_owned(), source })?;
    read_from(BufReader::new(file), filter)
}

/// Reads, filters by site, sorts by (plug-in, session id) and classifies every row.
///
/// Session ids compare byte by byte. Two rows that agree in both keep the file's order. A row whose columns or whose
/// plug-in date cannot be read has no place in that order: it comes behind all others and makes none of them a
/// repetition. A plug-in that the clocks skipped still has its place, between the hours around it.
///
/// With [`Filter::align`] every row is judged first, by the times of the file. Then all rows of a site are moved back by the most whole weeks of 168 h (UTC) that
/// leave the site's first usable session at or after the first of all sites, and only then are rows sorted and counted towards the limit. So weekdays and, but
/// for summer time, hours stay what they were.
///
/// # Errors
/// [`RowsError`], as for [`read`] but for opening.
pub fn read_from(mut input: impl BufRead, filter: &Filter) -> Result<Rows, RowsError> {
    let oslo = oslo();
    let mut splitter = Splitter::new();
    let mut line = Vec::new();
    let mut line_no: u64 = 0;
    let mut header_seen = false;
    let mut sites = BTreeSet::new();
    let mut wanted: Vec<(&str, bool)> = filter.sites.iter().map(|s| (s.as_str(), false)).collect();
    let mut placed: Vec<Placed> = Vec::new();
    let mut without_place: u64 = 0;
    loop {
        line_no += 1;
        let end = next_line(&mut input, &mut line).map_err(|source| RowsError::Read { line: line_no, source })?;
        let complete = match end {
            LineEnd::OfFile => break,
            LineEnd::OfLine => true,
            LineEnd::TooLong => false,
        };
        if line == b"\n" {
            continue;
        }
        let mut columns = splitter.split(&line);
        columns.whole &= complete;
        if !header_seen {
            if !columns.whole || columns.fields != COLUMNS.map(str::as_bytes) {
                return Err(RowsError::Header { found: excerpt(&line) });
            }
            header_seen = true;
            continue;
        }
        let site = columns.fields.first().copied().unwrap_or_default();
        if sites.len() < MAX_SITES_LISTED {
            sites.insert(excerpt(site));
        }
        let mut chosen = wanted.is_empty();
        for (name, found) in &mut wanted {
            if name.as_bytes() == site {
                *found = true;
                chosen = true;
            }
        }
        if !chosen {
            continue;
        }
        match place(&columns, &oslo) {
            Some(row) => placed.push(row),
            None => without_place += 1,
        }
        if placed.len() as u64 + without_place > MAX_ROWS {
            return Err(RowsError::TooManyRows);
        }
    }
    if !header_seen {
        return Err(RowsError::Empty);
    }
    if let Some((site, _)) = wanted.iter().find(|(_, found)| !found) {
        return Err(RowsError::UnknownSite { site: (*site).to_owned(), found: sites.into_iter().collect() });
    }
    // The sort is stable: rows that agree in both keep the file's order.
    placed.sort_by(|a, b| (a.plug_in, &a.session_id).cmp(&(b.plug_in, &b.session_id)));
    let mut judged = judge_neighbours(placed);
    if filter.align {
        align(&mut judged);
        judged.sort_by(|a, b| (a.plug_in_ms, &a.session_id).cmp(&(b.plug_in_ms, &b.session_id)));
    }
    Ok(take(judged, without_place, filter.limit))
}

/// A row that has a place in the order, with everything but its neighbours judged.
struct Placed {
    plug_in: DateTime,
    /// The same as an instant; between the hours around it where the clocks skipped it.
    plug_in_ms: i64,
    site: String,
    session_id: String,
    judged: Result<SourceSession, Reason>,
}

/// A row with everything judged.
struct Judged {
    plug_in_ms: i64,
    site: String,
    session_id: String,
    judged: Result<SourceSession, Reason>,
}

/// Goes through the sorted rows and applies the two rules that look at earlier rows.
fn judge_neighbours(placed: Vec<Placed>) -> Vec<Judged> {
    let mut ids: HashSet<String> = HashSet::new();
    let mut last_plug_out_ms: HashMap<String, u64> = HashMap::new();
    let mut all = Vec::with_capacity(placed.len());
    for row in placed {
        let repeated = !ids.insert(row.session_id.clone());
        let judged = if repeated { Err(Reason::Malformed) } else { row.judged };
        let judged = judged.and_then(|session| match last_plug_out_ms.get(&session.user) {
            Some(&out_ms) if session.plug_in_ms < out_ms => Err(Reason::Overlap),
            Some(_) | None => Ok(session),
        });
        if let Ok(session) = &judged {
            last_plug_out_ms.insert(session.user.clone(), session.plug_out_ms);
        }
        all.push(Judged { plug_in_ms: row.plug_in_ms, site: row.site, session_id: row.session_id, judged });
    }
    all
}

/// Moves sites by whole weeks until all begin within the week that begins with the earliest session of all.
fn align(rows: &mut [Judged]) {
    let mut first_ms: BTreeMap<String, u64> = BTreeMap::new();
    for session in rows.iter().filter_map(|row| row.judged.as_ref().ok()) {
        first_ms.entry(session.site.clone()).and_modify(|first| *first = session.plug_in_ms.min(*first)).or_insert(session.plug_in_ms);
    }
    let Some(earliest_ms) = first_ms.values().min().copied() else { return };
    for row in rows {
        // A site without a usable session begins nowhere.
        let Some(first_ms) = first_ms.get(&row.site) else { continue };
        let back_ms = (first_ms - earliest_ms) / WEEK_MS * WEEK_MS;
        row.plug_in_ms = row.plug_in_ms.saturating_sub_unsigned(back_ms);
        if let Ok(session) = &mut row.judged {
            session.plug_in_ms -= back_ms;
            session.plug_out_ms -= back_ms;
        }
    }
}

/// Counts rows in their order, up to the last one that the limit takes.
fn take(judged: Vec<Judged>, without_place: u64, limit: Option<u64>) -> Rows {
    let limit = limit.unwrap_or(u64::MAX);
    let mut rows = Rows { rows: 0, usable: Vec::new(), skipped: Reason::ALL.into_iter().map(|reason| (reason, 0)).collect() };
    for row in judged {
        if rows.usable.len() as u64 >= limit {
            return rows;
        }
        rows.rows += 1;
        match row.judged {
            Ok(session) => rows.usable.push(session),
            Err(reason) => *rows.skipped.entry(reason).or_default() += 1,
        }
    }
    if (rows.usable.len() as u64) < limit {
        rows.rows += without_place;
        *rows.skipped.entry(Reason::Malformed).or_default() += without_place;
    }
    rows
}

/// Reads a row's fields; none if its columns or its plug-in date cannot be read.
fn place(columns: &Columns<'_>, oslo: &TimeZone) -> Option<Placed> {
    if !columns.whole {
        return None;
    }
    let [site, user, session_id, plug_in, plug_out, _connection_time, energy] = columns.fields[..] else {
        return None;
    };
    let text = |field| std::str::from_utf8(field).ok().filter(|text| !text.contains(char::is_control));
    let plug_in = civil(text(plug_in)?)?;
    let session_id = text(session_id)?;
    let site = text(site)?;
    let judged = judge([site, text(user)?, session_id], plug_in, text(plug_out)?, text(energy)?, oslo);
    let plug_in_ms = oslo.to_ambiguous_timestamp(plug_in).compatible().map_or(i64::MAX, |instant| instant.as_millisecond());
    Some(Placed { plug_in, plug_in_ms, site: site.to_owned(), session_id: session_id.to_owned(), judged })
}

/// Judges a row by its own fields alone, in the order of [`Reason`].
fn judge(
    [site, user, session_id]: [&str; 3],
    plug_in: DateTime,
    plug_out: &str,
    energy: &str,
    oslo: &TimeZone,
) -> Result<SourceSession, Reason> {
    if [site, user, session_id].iter().any(|name| name.is_empty() || *name == MISSING) {
        return Err(Reason::Malformed);
    }
    let plug_in_ms = instant_ms(plug_in, oslo).and_then(|ms| u64::try_from(ms).ok()).ok_or(Reason::Malformed)?;
    let plug_out_ms = match plug_out {
        "" | MISSING => None,
        text => Some(civil(text).and_then(|at| instant_ms(at, oslo)).ok_or(Reason::Malformed)?),
    };
    let energy_wh = match energy {
        MISSING => None,
        text => Some(watt_hours(text).ok_or(Reason::Malformed)?),
    };

    let plug_out_ms = plug_out_ms.ok_or(Reason::NoPlugout)?;
    // A plug-out before 1970 is before any plug-in that got this far.
    let plug_out_ms = u64::try_from(plug_out_ms).map_err(|_| Reason::NotAfter)?;
    let connected_ms = plug_out_ms.checked_sub(plug_in_ms).filter(|ms| *ms > 0).ok_or(Reason::NotAfter)?;
    let energy_wh = energy_wh.filter(|wh| *wh > 0).ok_or(Reason::NoEnergy)?;
    if u128::from(energy_wh) * 3_600_000 > u128::from(STRONGEST_W) * u128::from(connected_ms) {
        return Err(Reason::TooMuchEnergy);
    }
    Ok(SourceSession {
        site: site.to_owned(),
        user: user.to_owned(),
        session_id: session_id.to_owned(),
        plug_in_ms,
        plug_out_ms,
        energy_wh,
    })
}

/// The time zone of the files, from the rules compiled into the program: what is installed on a machine must not
/// change which rows are usable.
fn oslo() -> TimeZone {
    TimeZoneDatabase::bundled().get("Europe/Oslo").expect("the time-zone rules are compiled in and hold Europe/Oslo")
}

/// The instant of a local time, ms since the Unix epoch; none if the clocks skipped it. Of two, the earlier.
fn instant_ms(local: DateTime, oslo: &TimeZone) -> Option<i64> {
    let at = oslo.to_ambiguous_timestamp(local);
    match at.offset() {
        AmbiguousOffset::Gap { .. } => None,
        AmbiguousOffset::Unambiguous { .. } | AmbiguousOffset::Fold { .. } => at.earlier().ok().map(|instant| instant.as_millisecond()),
    }
}

/// Reads `YYYY-MM-DD hh:mm:ss`, exactly: nothing shorter, longer or otherwise separated.
fn civil(text: &str) -> Option<DateTime> {
    let b = text.as_bytes();
    if b.len() != 19 || [b[4], b[7], b[10], b[13], b[16]] != *b"-- ::" {
        return None;
    }
    let number = |from: usize, to: usize| {
        b[from..to].iter().try_fold(0i16, |sum, digit| digit.is_ascii_digit().then(|| sum * 10 + i16::from(*digit - b'0')))
    };
    let two = |from: usize| number(from, from + 2).and_then(|n| i8::try_from(n).ok());
    DateTime::new(number(0, 4)?, two(5)?, two(8)?, two(11)?, two(14)?, two(17)?, 0).ok()
}

/// Wh of a decimal text of kWh, half a Wh up; anything below zero is 0, and what no u64 holds is its maximum (no
/// connection brings either, so both are told apart from malformed numbers and left to the rules).
fn watt_hours(kwh: &str) -> Option<u64> {
    let (negative, digits) = match kwh.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, kwh),
    };
    let (whole, fraction) = match digits.split_once(',') {
        Some((_, "")) => return None,
        Some(parts) => parts,
        None => (digits, ""),
    };
    if whole.is_empty() || !whole.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit()) {
        return None;
    }
    if negative {
        return Some(0);
    }
    let thousandths = fraction.bytes().chain(std::iter::repeat(b'0')).take(3);
    let wh = whole.bytes().chain(thousandths).fold(0u64, |wh, digit| wh.saturating_mul(10).saturating_add(u64::from(digit - b'0')));
    let half_or_more = fraction.as_bytes().get(3).is_some_and(|digit| *digit >= b'5');
    Some(wh.saturating_add(u64::from(half_or_more)))
}

/// The beginning of some bytes, fit to be printed.
fn excerpt(bytes: &[u8]) -> String {
    const MAX_CHARS: usize = 160;
    String::from_utf8_lossy(bytes)
        .trim_end()
        .chars()
        .take(MAX_CHARS)
        .map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c })
        .collect()
}
