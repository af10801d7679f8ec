//! What an audit has found true, as tables for spreadsheets and programs: sessions, sales and redemptions, roles, validators, positions, their limits, statements, energy that is nobody's.
//!
//! Rows are written as the audit goes, beside their place, and get their names only when the whole chain was found true: of a chain that is not, no table is
//! left behind. Amounts are micro-tokens and energy Wh, exact; times are UTC. Written by the auditor, for `watt audit replay --export`.

mod rows;

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufWriter, Write as _},
    path::{Path, PathBuf},
};

use chain::{certificate::ValidatorSet, quantity::decimal, time::Timestamp};
use serde::Serialize;

use crate::csv::{quoted, utc};

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
    Limits,
    Statements,
    Unassigned,
}

impl Table {
    const ALL: [Self; 8] =
        [Self::Sessions, Self::Sales, Self::Roles, Self::Validators, Self::Positions, Self::Limits, Self::Statements, Self::Unassigned];

    const fn name(self) -> &'static str {
        match self {
            Self::Sessions => "sessions",
            Self::Sales => "sales",
            Self::Roles => "roles",
            Self::Validators => "validators",
            Self::Positions => "positions",
            Self::Limits => "limits",
            Self::Statements => "statements",
            Self::Unassigned => "unassigned",
        }
    }
}

/// How many rows each table has.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize)]
pub struct RowCounts {
    /// Sessions, settled and open.
    #[serde(with = "decimal")]
    pub sessions: u64,
    /// Sales and what became of redemptions.
    #[serde(with = "decimal")]
    pub sales: u64,
    /// Grants and revocations.
    #[serde(with = "decimal")]
    pub roles: u64,
    /// Members of each validator set.
    #[serde(with = "decimal")]
    pub validators: u64,
    /// Movements between condominiums, and what is owed in the end.
    #[serde(with = "decimal")]
    pub positions: u64,
    /// How much condominiums let others owe them: of genesis, and as set.
    #[serde(with = "decimal")]
    pub limits: u64,
    /// What was charged where in each period, and in the one that runs.
    #[serde(with = "decimal")]
    pub statements: u64,
    /// Energy that flowed at connectors while no session was open.
    #[serde(with = "decimal")]
    pub unassigned: u64,
}

impl RowCounts {
    /// Each with its table's name.
    #[must_use]
    pub fn named(&self) -> [(&'static str, u64); Table::ALL.len()] {
        let Self { sessions, sales, roles, validators, positions, limits, statements, unassigned } = *self;
        let mut counts = [sessions, sales, roles, validators, positions, limits, statements, unassigned].into_iter();
        Table::ALL.map(|table| (table.name(), counts.next().unwrap_or_default()))
    }
}

/// What stands in a cell.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Cell {
    /// Words, names, ids.
    Text(String),
    /// A number of up to 64 bits, exact: in JSON a decimal string, as in the API.
    Number(u64),
    /// A number of up to 32 bits, such as a condominium's: in JSON a number, as in the API.
    Small(u32),
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
        let [sessions, sales, roles, validators, positions, limits, statements, unassigned] = self.counts;
        Ok(RowCounts { sessions, sales, roles, validators, positions, limits, statements, unassigned })
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

/// A cell as RFC 4180 has it.
fn csv(cell: &Cell) -> String {
    match cell {
        Cell::Empty => String::new(),
        Cell::Number(number) => number.to_string(),
        Cell::Small(number) => number.to_string(),
        Cell::Time(at) => utc(*at),
        Cell::Text(text) => quoted(text),
    }
}

fn json(cell: &Cell) -> serde_json::Value {
    match cell {
        Cell::Empty => serde_json::Value::Null,
        Cell::Number(number) => number.to_string().into(),
        Cell::Small(number) => (*number).into(),
        Cell::Time(at) => utc(*at).into(),
        Cell::Text(text) => text.as_str().into(),
    }
}

#[cfg(test)]
mod tests {
    use chain::{
        block::{HEADER_VERSION, Header},
        certificate::Validator,
        codec,
        genesis_kind::NetworkKind,
        hash::Hash32,
        id::{Address, ChainId, CondominiumId, ConnectorId, Height, SessionId, TariffId, TxId},
        params::Params,
        quantity::{Amount, WattHours},
        receipt::{Cause, Event, Outcome, Receipt, SessionReceipt, Settler},
        record::{Account, CostByComponent, EndReason, Key, Roaming},
        state::MemoryState,
    };
    use contracts::genesis::{GENESIS_VERSION, Genesis, GenesisCondominium};

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

    /// A position said neither which session nor which clearing had made it.
    #[test]
    fn positions_name_what_made_them_and_sessions_say_whose_residents_charged_where() {
        let [tro, bod] = [1, 2].map(CondominiumId);
        let (staff, roamer) = (Address([2; 32]), Address([3; 32]));
        let condominium = |id, name: &str| GenesisCondominium {
            id,
            name: name.to_owned(),
            revenue: staff,
            mint_cap_per_day: Amount::ZERO,
            position_limit: Amount::from_micro(30),
            roles: Vec::new(),
        };
        let genesis = Genesis {
            version: GENESIS_VERSION,
            network: "n".to_owned(),
            kind: NetworkKind::Test,
            timestamp: Timestamp::from_ms(0),
            currency: "EUR".to_owned(),
            params: Params::default(),
            condominiums: vec![condominium(tro, "TRO"), condominium(bod, "BOD")],
            accounts: Vec::new(),
            validators: Vec::new(),
        };
        let member = Validator { address: Address([9; 32]), power: 1 };
        let set = ValidatorSet::new(vec![member]).expect("a set");
        let mut state = MemoryState::new();
        let account = Account { home: tro, balance: Amount::ZERO, held: Amount::ZERO, debt: Amount::ZERO, credit_limit: Amount::ZERO };
        let roaming = Roaming { sessions: 1, energy: WattHours::new(7), charged: Amount::from_micro(3), ..Roaming::default() };
        let put = |key: Key, value: Vec<u8>| (key.bytes(), Some(value));
        state.apply(&[
            put(Key::Account(roamer), codec::encode(&account).expect("encodes")),
            put(Key::Position(tro, bod), codec::encode(&Amount::from_micro(4)).expect("encodes")),
            put(Key::Roaming(tro, bod), codec::encode(&roaming).expect("encodes")),
        ]);
        let at = Timestamp::from_ms(1_000);
        let bill = |session: u8, paid: u64| SessionReceipt {
            session: SessionId(Hash32([session; 32])),
            account: roamer,
            connector: ConnectorId::new(bod, 1),
            tariff: TariffId::new(bod, 1),
            tariff_version: 1,
            opened_at: at,
            first_granted_at: None,
            ended_at: at,
            settled_at: at,
            reason: EndReason::VehicleFull,
            settled_by: Settler::Chain,
            energy: WattHours::new(7),
            energy_billed: WattHours::new(7),
            cost: CostByComponent::default(),
            escrow: Amount::from_micro(5),
            paid: Amount::from_micro(paid),
            refund: Amount::ZERO,
            overdrawn: None,
            readings: 1,
            samples: 0,
        };
        let posted = |amount| Event::PositionPosted { debtor: tro, creditor: bod, amount: Amount::from_micro(amount) };
        let settled = |session, paid| Event::SessionSettled(bill(session, paid));
        let receipt = |cause, events| Receipt { cause, outcome: Outcome::Applied, events };
        let transaction = TxId(Hash32([0xaa; 32]));
        let amount = Amount::from_micro(3);
        let receipts = [
            // Two deadlines of one block; the first session was free.
            receipt(Cause::Due(SessionId(Hash32([4; 32]))), vec![settled(4, 0), posted(3), settled(5, 3)]),
            receipt(Cause::Transaction(transaction), vec![Event::Transferred { from: roamer, to: staff, amount }, posted(1)]),
            receipt(
                Cause::Transaction(transaction),
                vec![
                    Event::RoamingClosed { clearing: 6, home: tro, host: bod, roaming },
                    Event::PaymentDue { clearing: 6, debtor: tro, creditor: bod, amount },
                ],
            ),
            receipt(Cause::Transaction(transaction), vec![Event::PositionLimitSet { condominium: bod, limit: amount }]),
        ];
        let header = Header {
            version: HEADER_VERSION,
            chain_id: ChainId(Hash32::ZERO),
            height: Height(8),
            parent: Hash32::ZERO,
            history_root: Hash32::ZERO,
            timestamp: at,
            proposer: member.address,
            transactions_root: Hash32::ZERO,
            receipts_root: Hash32::ZERO,
            state_root: Hash32::ZERO,
            next_validators: set.hash(),
        };
        let folder = tempfile::tempdir().expect("a folder");
        let place = folder.path().join("tables.jsonl");
        let mut tables = Tables::create(TableFormat::Jsonl, &place).expect("begins");
        tables.begin(&genesis, &set);
        tables.block(&header, &receipts, &state, &set);
        tables.end(&state, (at, header.height));
        let counts = tables.finish().expect("ends");
        assert_eq!((counts.sessions, counts.positions, counts.limits, counts.statements), (2, 4, 3, 2));

        let lines = fs::read_to_string(&place).expect("reads");
        let rows: Vec<serde_json::Value> = lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        let of = |table: &str, columns: &[&str]| -> Vec<String> {
            let rows = rows.iter().filter(|row| row["table"] == table);
            let cell = |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), |text| text.chars().take(8).collect());
            rows.map(|row| columns.iter().map(|column| cell(&row[*column])).collect::<Vec<_>>().join(" ")).collect()
        };
        assert_eq!(
            of("sessions", &["session", "home", "home_name", "host", "host_name"]),
            ["04040404 1 TRO 2 BOD", "05050505 1 TRO 2 BOD"]
        );
        assert_eq!(
            of("positions", &["event", "amount_micro", "clearing", "session", "transaction"]),
            ["posted 3 null 05050505 null", "posted 1 null null aaaaaaaa", "payment  3 6 null aaaaaaaa", "owed in  4 null null null"]
        );
        assert_eq!(of("limits", &["event", "condominium", "limit_micro"]), ["genesis 1 30", "genesis 2 30", "set 2 3"]);
        let statement = ["event", "clearing", "home", "host_name", "sessions", "energy_wh", "charged_micro", "transfers"];
        assert_eq!(of("statements", &statement), ["closed 6 1 BOD 1 7 3 0", "running  1 1 BOD 1 7 3 0"]);
    }
}
