//! An audit believes a true chain and nothing else: each flipped byte of an export is found and named.

mod federation;

use chain::{
    hash::Hash32,
    id::{ChainId, Height},
    quantity::{Cost, WattHours},
    receipt::SessionReceipt,
};
use cli::audit::{AuditError, AuditFailure, AuditReport, RowCounts, TableFormat, Tables, replay, replay_into};
use federation::{evening, weeks::weeks};
use rand::{Rng, SeedableRng, rngs::StdRng};

fn audit(file: &[u8]) -> Result<AuditReport, AuditFailure> {
    replay(file, None, |_| ()).map_err(|error| match error {
        AuditError::Failed(failure) => failure,
        AuditError::Read(error) => panic!("{error}"),
        AuditError::Machine(error) => panic!("{error}"),
    })
}

#[test]
fn a_true_chain_passes_and_every_bill_is_computed_again() {
    let (file, _, session) = evening();
    let report = audit(&file).expect("a true chain");
    assert_eq!((report.blocks, report.transactions, report.rejected, report.samples, report.open_sessions), (5, 10, 0, 1, 0));
    let bills = report.by_session();
    let bill = bills.get(&session).expect("settled");
    assert_eq!(bill.energy, WattHours::new(3_680));
    assert_eq!(bill.paid.checked_add(bill.refund), Some(bill.escrow));
    assert!(report.totals.iter().all(contracts::audit::CondominiumTotals::holds));
}

/// The ledger keeps a running cost with each reading; the audit computes each bill at its end from what was put and signed. Under every kind of price, restriction and
/// bound, and through pauses, top-ups, parking, stops and spent escrows, they agree to the last part of a micro-token, or the chain would not pass.
#[test]
fn bills_under_every_kind_of_tariff_are_computed_again_and_agree() {
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let report = audit(&weeks(seed, 400)).expect("a true chain");
    let bills: Vec<_> = report.by_session().into_values().collect();
    let count = |what: &str, found: usize| assert!(found >= 3, "{what}: {found} of {} bills", bills.len());
    count("settled", bills.len() / 100);
    count("ENERGY", bills.iter().filter(|bill| bill.cost.energy != Cost::ZERO).count());
    count("TIME", bills.iter().filter(|bill| bill.cost.time != Cost::ZERO).count());
    count("PARKING_TIME", bills.iter().filter(|bill| bill.cost.parking_time != Cost::ZERO).count());
    count("FLAT", bills.iter().filter(|bill| bill.cost.flat != Cost::ZERO).count());
    let total = |bill: &SessionReceipt| bill.cost.total().and_then(Cost::floor).expect("in range");
    count("more than what was counted", bills.iter().filter(|bill| bill.paid > total(bill)).count());
    count("less than what was counted", bills.iter().filter(|bill| bill.paid < total(bill) && bill.overdrawn.is_none()).count());
    count("spent", bills.iter().filter(|bill| bill.overdrawn.is_some()).count());
    count("refunded", bills.iter().filter(|bill| !bill.refund.is_zero() && !bill.paid.is_zero()).count());
}

#[test]
fn every_flipped_byte_is_found_and_placed() {
    let (file, places, _) = evening();
    let seed: u64 = 20_261_122;
    println!("seed {seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    for position in 0..file.len() {
        let mut wrong = file.clone();
        wrong[position] ^= 1 << rng.random_range(0..8);
        let failure = audit(&wrong).expect_err("a changed byte");
        let height = places.iter().rposition(|[block, ..]| *block <= position).map(|index| Height(index as u64 + 1));
        assert!(!failure.field.is_empty() && !failure.problem.is_empty(), "byte {position}: {failure}");
        assert!(!["{", "}", "Some(", "None", "\\\""].iter().any(|code| failure.problem.contains(code)), "byte {position}: {failure}");
        match failure.height {
            // A byte of the state's copy lies behind the last block and is told with its height.
            Some(named) => assert_eq!(Some(named), height, "byte {position}: {failure}"),
            None => {
                let begin = places.iter().flatten().copied().filter(|begin| *begin <= position).max().unwrap_or(0) as u64;
                assert!(failure.offset >= begin || failure.field == "framing", "byte {position}: {failure}");
            }
        }
    }
}

#[test]
fn a_flipped_byte_inside_a_transaction_names_the_transaction() {
    let (file, places, _) = evening();
    // The last block: record head (5), header, number of transactions, then length and bytes of the first.
    let header = 4 + 32 + 8 + 32 + 32 + 8 + 32 * 5;
    let first = places[4][0] + 5 + header + 8 + 8;
    for position in [first, first + 63, first + 64, first + 150, first + 250] {
        let mut wrong = file.clone();
        wrong[position] ^= 4;
        let failure = audit(&wrong).expect_err("a changed byte");
        assert_eq!((failure.height, failure.transaction.map(|(index, _)| index)), (Some(Height(5)), Some(0)), "byte {position}: {failure}");
        assert!(failure.transaction.is_some_and(|(_, id)| id.is_some()), "{failure}");
    }
    let fields =
        [("version", 0), ("chain id", 4), ("height", 36), ("parent", 44), ("history root", 76), ("timestamp", 108), ("proposer", 116)];
    let roots = [("transactions root", 148), ("receipts root", 180), ("state root", 212), ("next validators", 244)];
    for (field, offset) in fields.into_iter().chain(roots) {
        let mut wrong = file.clone();
        wrong[places[2][0] + 5 + offset] ^= 1;
        let failure = audit(&wrong).expect_err("a changed byte");
        assert_eq!((failure.height, failure.field.as_str()), (Some(Height(3)), format!("header, {field}").as_str()), "{failure}");
    }
}

#[test]
fn only_the_chain_that_was_asked_for_passes() {
    let (file, _, _) = evening();
    let own = audit(&file).expect("a true chain").chain_id;
    assert!(replay(file.as_slice(), Some(own), |_| ()).is_ok());
    let other = ChainId(Hash32([1; 32]));
    let Err(AuditError::Failed(failure)) = replay(file.as_slice(), Some(other), |_| ()) else { panic!("another chain passed") };
    assert_eq!((failure.height, failure.field.as_str()), (None, "genesis"));
    assert!(failure.problem.contains(&format!("expected {other}, found {own}")), "{failure}");
}

#[test]
fn what_differs_is_told_in_words_with_what_was_expected_and_found() {
    let (file, places, _) = evening();
    // The last block's receipts: the last byte before the record's checksum belongs to the transfer's event, or to what it says.
    let mut words = std::collections::BTreeSet::new();
    for place in places[4][2] + 5..places[4][2] + 400 {
        let mut wrong = file.clone();
        wrong[place] ^= 1;
        let failure = audit(&wrong).expect_err("a changed byte");
        if failure.field.starts_with("receipt ") {
            assert!(failure.problem.contains("expected ") && failure.problem.contains(", found "), "{failure}");
            words.insert(failure.problem.split(": expected").next().unwrap_or_default().to_owned());
        }
    }
    let seen = words.iter().filter(|field| field.contains("events, entry 1, ")).count();
    assert!(seen > 3, "{words:?}");
}

#[test]
fn whole_blocks_cannot_be_left_out_swapped_or_cut_off() {
    let (file, places, _) = evening();
    let record = |height: usize| places[height - 1][0]..places[height][0];
    let without = [&file[..record(3).start], &file[record(3).end..]].concat();
    assert_eq!(audit(&without).expect_err("a gap").field, "header, height");
    let swapped = [&file[..record(2).start], &file[record(3)], &file[record(2)], &file[record(3).end..]].concat();
    assert!(audit(&swapped).is_err());
    let cut = &file[..places[4][0]];
    assert_eq!(audit(cut).expect_err("cut off").field, "framing");
    let longer = [file.as_slice(), &[0]].concat();
    assert!(audit(&longer).is_err());
}

#[test]
fn tables_hold_what_the_chain_holds_and_a_chain_that_is_not_true_leaves_none() {
    let (file, places, session) = evening();
    let folder = tempfile::tempdir().expect("a folder");
    let place = |name: &str| folder.path().join(name);
    let counts = RowCounts { sessions: 1, sales: 1, roles: 4, validators: 1, positions: 0, limits: 1, statements: 0, unassigned: 1 };
    for (format, name) in [(TableFormat::Csv, "csv"), (TableFormat::Jsonl, "jsonl")] {
        let mut tables = Tables::create(format, &place(name)).expect("a new place");
        replay_into(file.as_slice(), None, Some(&mut tables), |_| ()).expect("a true chain");
        assert_eq!(tables.finish().expect("written"), counts);
    }
    let sessions = std::fs::read_to_string(place("csv").join("sessions.csv")).expect("a table");
    let rows: Vec<Vec<&str>> = sessions.lines().map(|line| line.split(',').collect()).collect();
    assert_eq!((rows.len(), rows[0].len()), (2, rows[1].len()));
    let cell = |name: &str| rows[1][rows[0].iter().position(|column| *column == name).expect("a column")];
    assert_eq!(cell("session"), session.to_string());
    assert_eq!(["home", "home_name", "host", "host_name"].map(cell), ["1", "HERE", "1", "HERE"]);
    let shown = ["state", "energy_wh", "escrow_micro", "opened_at", "reason"].map(cell);
    assert_eq!(shown, ["settled", "3680", "5000000", "2023-11-14T22:13:22.000Z", "vehicle_full"]);
    let money = |name: &str| cell(name).parse::<u64>().expect("a number");
    assert_eq!(money("paid_micro") + money("refund_micro"), money("escrow_micro"));

    let lines = std::fs::read_to_string(place("jsonl")).expect("a file");
    let lines: Vec<serde_json::Value> = lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines.len(), 9);
    let sold = lines.iter().find(|line| line["table"] == "sales").expect("a sale");
    assert_eq!(
        (sold["event"].as_str(), sold["amount_micro"].as_str(), sold["condominium"].as_u64(), sold["condominium_name"].as_str()),
        (Some("sold"), Some("50000000"), Some(1), Some("HERE"))
    );

    let mut wrong = file.clone();
    wrong[places[4][2] + 60] ^= 1;
    let mut tables = Tables::create(TableFormat::Csv, &place("wrong")).expect("a new place");
    assert!(replay_into(wrong.as_slice(), None, Some(&mut tables), |_| ()).is_err());
    drop(tables);
    assert_eq!(std::fs::read_dir(folder.path()).expect("reads").count(), 2);
}
