//! Which rows of a session file are usable, and what every other row is called.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use testnet::rows::{COLUMNS, Filter, MAX_LINE_BYTES, Reason, Rows, RowsError, read, read_from};

const GOOD: &str = "ASK;u1;s1;2019-05-01 08:00:00;2019-05-01 10:00:00;2;5";

fn fixture(name: &str) -> PathBuf {
    Path::new("fixtures").join(name)
}

fn all(name: &str) -> Rows {
    let rows = read(&fixture(name), &Filter::default()).expect("the fixture is of the format");
    assert_eq!(rows.rows, rows.usable.len() as u64 + rows.skipped.values().sum::<u64>());
    rows
}

/// Reads rows that stand under a good header.
fn under_header(rows: &[u8]) -> Rows {
    let mut file = COLUMNS.join(";").into_bytes();
    file.push(b'\n');
    file.extend_from_slice(rows);
    read_from(file.as_slice(), &Filter::default()).expect("the header is good")
}

fn only(reason: Reason, count: u64) -> BTreeMap<Reason, u64> {
    Reason::ALL.into_iter().map(|each| (each, if each == reason { count } else { 0 })).collect()
}

fn ids(rows: &Rows) -> Vec<&str> {
    rows.usable.iter().map(|session| session.session_id.as_str()).collect()
}

#[test]
fn every_reason_has_a_file_of_rows_that_fall_under_it_alone() {
    for reason in Reason::ALL {
        let rows = all(&format!("{reason}.csv"));
        let usable: &[&str] = match reason {
            Reason::Malformed => &["first"],
            Reason::Overlap => &["ok-a", "ok-c-other-user", "ok-b-equal", "ok-d-only-overlaps-the-left-out"],
            Reason::NoPlugout | Reason::NotAfter | Reason::NoEnergy | Reason::TooMuchEnergy => &[],
        };
        assert_eq!(ids(&rows), usable, "{reason}");
        let lines = std::fs::read_to_string(fixture(&format!("{reason}.csv"))).unwrap().lines().count() as u64;
        assert_eq!(rows.rows, lines - 1, "{reason}");
        assert_eq!(rows.skipped, only(reason, rows.rows - usable.len() as u64), "{reason}");
    }
}

#[test]
fn usable_rows_come_by_plug_in_and_session_id_with_exact_times_and_energies() {
    let rows = all("usable.csv");
    let read: Vec<_> = rows
        .usable
        .iter()
        .map(|s| (s.site.as_str(), s.user.as_str(), s.session_id.as_str(), s.plug_in_ms, s.plug_out_ms, s.energy_wh))
        .collect();
    let (day_1, day_2, day_3) = (1_556_668_800_000, 1_556_755_200_000, 1_556_841_600_000);
    let hour = 3_600_000;
    // Summer time is two hours ahead of UTC.
    let at = |midnight_utc: u64, local_hour: u64| midnight_utc + (local_hour - 2) * hour;
    assert_eq!(
        read,
        [
            // 2019-03-31 01:59:59 +01 to 03:00:00 +02 is one second.
            ("KRO", "KRO_u1", "k-3-hour-skipped-inside", 1_553_993_999_000, 1_553_994_000_000, 1),
            ("TRO", "TRO_u1", "t-8", at(day_1, 7), at(day_1, 8), 22_080),
            ("ASK", "ASK_\"quoted\"; u1", "a-1", at(day_1, 8), at(day_1, 9), 5_000),
            ("BAR", "BAR_u9", "b-1", at(day_1, 8), at(day_1, 10), 1),
            ("TRO", "TRO_u1", "t-10", at(day_2, 8), at(day_2, 10), 22_080),
            ("TRO", "TRO_u2", "t-9", at(day_2, 8), at(day_2, 10), 7_100),
            ("BAR", "BAR_u9", "b-2", at(day_3, 8), at(day_3, 10), 1_001),
            // 2019-10-27: the first 02:30:00 is 00:30 UTC, the first 02:59:59 is 00:59:59 UTC, 03:00:00 is 02:00 UTC.
            ("KRO", "KRO_u1", "k-1-hour-repeated-at-plug-out", 1_572_132_600_000, 1_572_136_200_000, 5_000),
            ("KRO", "KRO_u1", "k-2-hour-repeated-at-plug-in", 1_572_137_999_000, 1_572_141_600_000, 5_000),
        ]
    );
    assert_eq!(rows.skipped, only(Reason::Malformed, 0));
}

#[test]
fn only_the_chosen_sites_are_counted() {
    let filter = |sites: &[&str]| Filter { sites: sites.iter().map(ToString::to_string).collect(), limit: None, align: false };
    let rows = read(&fixture("usable.csv"), &filter(&["TRO"])).unwrap();
    assert_eq!((rows.rows, ids(&rows)), (3, vec!["t-8", "t-10", "t-9"]));
    let rows = read(&fixture("usable.csv"), &filter(&["BAR", "ASK", "BAR"])).unwrap();
    assert_eq!((rows.rows, ids(&rows)), (3, vec!["a-1", "b-1", "b-2"]));
    let error = read(&fixture("usable.csv"), &filter(&["TRO", "tro"])).unwrap_err();
    assert_eq!(error.to_string(), "no row of site tro; sites in the file: ASK, BAR, KRO, TRO");
    assert!(matches!(error, RowsError::UnknownSite { site, found } if site == "tro" && found.len() == 4));
}

#[test]
fn a_limit_takes_the_first_usable_rows_and_counts_no_row_behind_the_last() {
    let limited = |limit| {
        let filter = Filter { sites: Vec::new(), limit: Some(limit), align: false };
        let rows = read(&fixture("overlap.csv"), &filter).unwrap();
        (rows.rows, rows.usable.len(), rows.skipped[&Reason::Overlap])
    };
    assert_eq!([limited(0), limited(1), limited(2)], [(0, 0, 0), (1, 1, 0), (3, 2, 1)]);
    assert_eq!([limited(3), limited(4), limited(5)], [(5, 3, 2), (7, 4, 3), (7, 4, 3)]);
}

#[test]
fn a_session_id_is_spent_by_the_first_row_in_sort_order_whatever_becomes_of_that_row() {
    let rows = under_header(
        b"ASK;u1;s1;2019-05-03 08:00:00;2019-05-03 10:00:00;2;5\n\
          ASK;u2;s1;2019-05-02 08:00:00;NA;2;5\n\
          ASK;u3;s2;2019-05-02 08:00:00;2019-05-02 10:00:00;2;5\n\
          ASK;u4;s2;never;2019-05-02 10:00:00;2;5\n\
          ASK;u5;s2;2019-05-02 08:00:00;2019-05-02 10:00:00;2;6\n",
    );
    assert_eq!((rows.rows, ids(&rows)), (5, vec!["s2"]));
    // Rows alike in plug-in and id keep the file's order, and a row without a plug-in makes no other a repetition.
    assert_eq!(rows.usable[0].user, "u3");
    assert_eq!((rows.skipped[&Reason::Malformed], rows.skipped[&Reason::NoPlugout]), (3, 1));
}

#[test]
fn the_outcome_does_not_depend_on_the_order_of_the_file() {
    let text = std::fs::read_to_string(fixture("overlap.csv")).unwrap();
    let mut lines: Vec<&str> = text.lines().collect();
    lines[1..].reverse();
    let reversed = read_from(lines.join("\n").as_bytes(), &Filter::default()).unwrap();
    assert_eq!(reversed, all("overlap.csv"));
}

#[test]
fn reads_crlf_a_byte_order_mark_blank_lines_and_a_last_line_without_newline() {
    let file = format!("\u{feff}\"{}\"\r\n\r\n{GOOD}\r\n\n{}", COLUMNS.join("\";\""), GOOD.replace("s1", "s2"));
    let rows = read_from(file.as_bytes(), &Filter::default()).unwrap();
    assert_eq!((rows.rows, rows.usable.len()), (2, 1), "the second overlaps the first");
    assert_eq!(rows.skipped, only(Reason::Overlap, 1));
}

#[test]
fn a_spoilt_line_spoils_no_other() {
    let next = GOOD.replace("s1", "s2").replace("u1", "u2");
    let spoilt: [Vec<u8>; 6] = [
        b"ASK;u1;\"s1;2019-05-01 08:00:00;2019-05-01 10:00:00;2;5".to_vec(),
        b"ASK;u1\xff;s1;2019-05-01 08:00:00;2019-05-01 10:00:00;2;5".to_vec(),
        b"ASK;u1\0;s1;2019-05-01 08:00:00;2019-05-01 10:00:00;2;5".to_vec(),
        b"ASK;u1;s1\r;2019-05-01 08:00:00;2019-05-01 10:00:00;2;5".to_vec(),
        b";".repeat(MAX_LINE_BYTES),
        GOOD.replace("u1", &"u".repeat(MAX_LINE_BYTES)).into_bytes(),
    ];
    for line in spoilt {
        for end in ["\n", "\r\n"] {
            let file = [&line, end.as_bytes(), next.as_bytes()].concat();
            let rows = under_header(&file);
            assert_eq!((rows.rows, ids(&rows)), (2, vec!["s2"]), "{}", line.escape_ascii());
            assert_eq!(rows.skipped, only(Reason::Malformed, 1));
        }
    }
}

#[test]
fn the_longest_line_is_read_and_one_byte_more_is_malformed() {
    let padding = MAX_LINE_BYTES - GOOD.len();
    for end in ["", "\n", "\r\n"] {
        let line = |extra| GOOD.replace("u1", &format!("u1{}", "x".repeat(padding + extra))) + end;
        assert_eq!(under_header(line(0).as_bytes()).usable.len(), 1);
        assert_eq!(under_header(line(1).as_bytes()).skipped, only(Reason::Malformed, 1));
        assert_eq!(under_header(line(2).as_bytes()).skipped, only(Reason::Malformed, 1));
    }
}

#[test]
fn a_file_that_is_none_of_sessions_is_refused_with_what_was_expected() {
    let header = COLUMNS.join(";");
    let mut swapped = COLUMNS;
    swapped.swap(0, 1);
    for wrong in [
        header.replace(';', ","),
        header.to_uppercase(),
        header.clone() + ";price",
        header.replace("location;", ""),
        swapped.join(";"),
        format!("\"{header}"),
        GOOD.to_owned(),
        format!("{header}\r{GOOD}\r"),
        header.clone() + &" ".repeat(MAX_LINE_BYTES),
    ] {
        let error = read_from(format!("{wrong}\n{GOOD}\n").as_bytes(), &Filter::default()).unwrap_err();
        assert!(error.to_string().contains(&format!("expected the header {header}, found ")), "{error}");
        assert!(matches!(error, RowsError::Header { found } if found.chars().count() <= 160));
    }
    let utf_16: Vec<u8> = header.encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert!(matches!(read_from(utf_16.as_slice(), &Filter::default()), Err(RowsError::Header { .. })));
    assert!(matches!(read_from(b"\r\n\n".as_slice(), &Filter::default()), Err(RowsError::Empty)));
    assert!(matches!(read(&fixture("nothing-here.csv"), &Filter::default()), Err(RowsError::Open { .. })));
    assert!(matches!(read(&fixture(""), &Filter::default()), Err(RowsError::Read { .. } | RowsError::Open { .. })));
    assert_eq!(under_header(b"").rows, 0);
}

#[test]
fn reasons_keep_their_names_in_reports() {
    let json = serde_json::to_string(&all("usable.csv").skipped).unwrap();
    assert_eq!(json, r#"{"malformed":0,"no_plugout":0,"not_after":0,"no_energy":0,"too_much_energy":0,"overlap":0}"#);
    for reason in Reason::ALL {
        assert_eq!(serde_json::to_value(reason).unwrap(), reason.name());
    }
}

#[test]
fn aligned_sites_begin_in_one_week_and_keep_their_order_weekdays_and_verdicts() {
    const WEEK_MS: u64 = 168 * 3_600_000;
    let text = [
        COLUMNS.join(";").as_str(),
        "ONE;a;one-1;2019-05-01 08:00:00;2019-05-01 10:00:00;2;5",
        "ONE;a;one-2;2019-05-20 08:00:00;2019-05-20 10:00:00;2;5",
        // Left out before the site is moved: it does not begin there.
        "TWO;b;two-0;2020-01-01 08:00:00;NA;2;5",
        "TWO;b;two-1;2021-03-03 07:00:00;2021-03-03 10:00:00;2;5",
        "TWO;b;two-overlap;2021-03-03 09:00:00;2021-03-03 10:00:00;2;5",
        "TWO;b;two-2;2021-03-04 08:00:00;2021-03-04 10:00:00;2;5",
    ]
    .join("\n");
    let read = |align, limit| read_from(text.as_bytes(), &Filter { sites: Vec::new(), limit, align }).expect("a good file");
    let (plain, aligned) = (read(false, None), read(true, None));
    assert_eq!((plain.rows, &plain.skipped), (aligned.rows, &aligned.skipped));
    assert_eq!(ids(&aligned), ["one-1", "two-1", "two-2", "one-2"]);
    for session in &aligned.usable {
        let before = plain.usable.iter().find(|other| other.session_id == session.session_id).expect("the same sessions");
        let back_ms = before.plug_in_ms - session.plug_in_ms;
        assert_eq!(back_ms % WEEK_MS, 0, "{}", session.session_id);
        assert_eq!(before.plug_out_ms - session.plug_out_ms, back_ms, "{}", session.session_id);
    }
    // 2019-05-01 08:00 is 06:00 UTC; 2021-03-03 07:00 is 06:00 UTC, both Wednesdays.
    assert_eq!(aligned.usable[0].plug_in_ms, aligned.usable[1].plug_in_ms);
    // The row without a plug-out and the overlap have their moved places in the order, too.
    let some = read(true, Some(3));
    assert_eq!((ids(&some), some.rows), (vec!["one-1", "two-1", "two-2"], 5));
}
