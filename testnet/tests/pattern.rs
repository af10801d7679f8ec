//! What the measurement of the usage pattern says of sessions whose habits are known.

use testnet::{
    pattern::{Asked, Report, measure},
    rows::{COLUMNS, Filter, read_from},
};

/// `days` days of a resident who comes at this hour, in the order of the file's columns.
fn resident(name: &str, days: u32, hour: u32, kwh: u32) -> String {
    let mut rows = String::new();
    for day in 0..days {
        // Some minutes later on some days, as people are.
        let (month, date, minute) = (1 + day / 28, 1 + day % 28, 10 + (day * 7) % 40);
        let id = format!("{name}{day}");
        rows += &format!(
            "ONE;{name};{id};2019-{month:02}-{date:02} {hour:02}:{minute:02}:00;2019-{month:02}-{date:02} {:02}:{minute:02}:00;3;{kwh},{}\n",
            hour + 3,
            day % 3
        );
    }
    rows
}

fn report(rows: &str) -> anyhow::Result<Report> {
    let file = format!("{}\n{rows}", COLUMNS.join(";"));
    measure(&read_from(file.as_bytes(), &Filter::default()).expect("rows"))
}

#[test]
fn residents_with_habits_of_their_own_are_told_apart() {
    let report = report(&(resident("early", 60, 7, 8) + &resident("late", 60, 18, 20))).expect("enough sessions");
    assert_eq!((report.rows, report.usable, report.residents), (120, 120, 2));
    // The first ten of each, and the eleventh, before which one has no gap.
    assert_eq!(report.too_early, 22);
    for measured in &report.measured {
        assert!(measured.equal_error_rate < 0.1, "{measured:?}");
        // One other session lies between two of one's own.
        assert!(measured.own >= 98 && measured.impostors >= 98, "{measured:?}");
        assert!(measured.thresholds.iter().all(|Asked { own, impostors, .. }| impostors > own), "{measured:?}");
        assert_eq!(measured.equal_error_rate_by_site["ONE"].to_bits(), measured.equal_error_rate.to_bits());
    }
}

#[test]
fn residents_who_live_alike_are_not() {
    // In turns, a day each, at minutes that say nothing.
    let rows = (0..80_u32).map(|day| {
        let date = format!("2019-{:02}-{:02}", 1 + day / 28, 1 + day % 28);
        format!("ONE;u{};s{day};{date} 18:{:02}:00;{date} 20:00:00;2;8\n", day % 2, (day / 2 * 7) % 60)
    });
    let report = report(&rows.collect::<String>()).expect("enough sessions");
    let by_hour = &report.measured[0];
    assert!((0.25..0.75).contains(&by_hour.equal_error_rate), "{by_hour:?}");
}

#[test]
fn too_few_sessions_are_no_measurement() {
    let error = report(&resident("alone", 60, 7, 8)).unwrap_err().to_string();
    assert!(error.contains("another resident"), "{error}");
    assert!(report(&(resident("one", 8, 7, 8) + &resident("other", 8, 18, 8))).is_err());
}
