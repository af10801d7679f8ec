//! Whole runs of the program: recorded sessions through a real node, with and without its death; a queue; the demo; load.
//!
//! They need `wattd` beside `watt-testnet`: `./dev test` builds it, and `cargo build --workspace --bins` does.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
    time::Duration,
};

use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_watt-testnet");

fn garage() -> PathBuf {
    PathBuf::from("fixtures/garage.csv")
}

fn start(args: &[&str], json: &Path) -> Child {
    let mut command = Command::new(PROGRAM);
    command.args(args).arg("--json").arg(json).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap_or_else(|error| panic!("{PROGRAM}: {error}"))
}

fn finish(child: Child, json: &Path) -> Value {
    let Output { status, stdout, stderr } = child.wait_with_output().expect("a child of ours");
    let (out, err) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{status}\n{out}\n{err}");
    serde_json::from_slice(&std::fs::read(json).expect("a report")).expect("a report in JSON")
}

fn replay(args: &[&str]) -> Value {
    let folder = tempfile::tempdir().expect("a folder");
    let json = folder.path().join("report.json");
    let file = garage();
    let mut all = vec!["replay", file.to_str().expect("a path of this repository")];
    all.extend(args);
    finish(start(&all, &json), &json)
}

/// A report's sessions by name.
fn sessions(report: &Value) -> BTreeMap<&str, &Value> {
    let list = report["per_session"].as_array().expect("a list");
    list.iter().map(|line| (line["session_id"].as_str().expect("a name"), line)).collect()
}

/// What has to be the same in two runs of one file.
fn totals(report: &Value) -> Vec<&Value> {
    [
        "rows",
        "usable",
        "skipped",
        "sessions_settled",
        "energy_drawn_wh",
        "energy_settled_wh",
        "micro_tokens",
        "settle_reasons",
        "per_session",
    ]
    .into_iter()
    .map(|name| &report[name])
    .collect()
}

#[test]
fn recorded_sessions_are_paid_to_the_last_wh_and_a_node_killed_at_random_changes_nothing() {
    let calm = replay(&[]);
    assert_eq!((&calm["rows"], &calm["usable"], &calm["sessions_settled"]), (&15.into(), &12.into(), &12.into()), "{calm:#}");
    assert_eq!(
        calm["skipped"],
        serde_json::json!({ "malformed": 1, "no_plugout": 1, "not_after": 0, "no_energy": 0, "too_much_energy": 0, "overlap": 1 })
    );
    assert_eq!(calm["energy_settled_wh"], calm["energy_source_wh"]);
    assert_eq!((&calm["conservation_ok"], &calm["audit"]["ok"]), (&true.into(), &true.into()));
    assert_eq!(calm["micro_tokens"]["held_at_end"], 0);
    let bills = sessions(&calm);
    // 2 kWh at 0.25; 6 kWh at 0.15.
    assert_eq!((&bills["day"]["paid"], &bills["night"]["paid"]), (&500_000.into(), &900_000.into()));
    // 3,680 W from 21:00: 3,680 Wh until 22:00 at 0.25, the other 3,680 Wh at 0.15.
    assert_eq!(bills["edge"]["paid"], 920_000 + 552_000);
    assert_eq!(bills["sunday"]["paid"], 250);
    for (name, line) in &bills {
        assert_eq!(line["drawn_wh"], line["settled_wh"], "{name}");
    }

    let seed: u64 = rand::random();
    println!("seed {seed}");
    let folder = tempfile::tempdir().expect("a folder");
    let (json, data) = (folder.path().join("report.json"), folder.path().join("chain"));
    let file = garage();
    let args = ["replay", file.to_str().expect("a path of this repository"), "--data", data.to_str().expect("a path")];
    let mut child = start(&args, &json);
    let mut random = StdRng::seed_from_u64(seed);
    let mut kills = 0;
    // On a quiet machine the whole run takes half a second: the first kill must not wait for its turn.
    let mut pause = random.random_range(1..40);
    while child.try_wait().expect("a child of ours").is_none() && kills < 40 {
        let pid = std::fs::read_to_string(data.join("node-0/wattd.pid")).unwrap_or_default();
        if pid.trim().parse::<u32>().is_err() {
            thread::sleep(Duration::from_millis(1));
            continue;
        }
        thread::sleep(Duration::from_millis(pause));
        pause = random.random_range(20..300);
        let killed = Command::new("kill").args(["-9", pid.trim()]).stderr(Stdio::null()).status().expect("kill");
        kills += u32::from(killed.success());
    }
    let killed = finish(child, &json);
    assert!(kills > 0, "the run was over before its node could be killed once");
    assert!(killed["restarts"].as_u64() >= Some(1), "{} restarts", killed["restarts"]);
    assert_eq!(totals(&killed), totals(&calm));
}

#[test]
fn under_a_low_limit_cars_wait_and_whoever_never_gets_a_turn_pays_nothing() {
    // 5 connectors of 32 A: 32 A for all of them.
    let report = replay(&["--group-limit", "0.2"]);
    assert!(report["sessions_queued"].as_u64() >= Some(9), "{report:#}");
    assert!(report["settle_reasons"]["cancelled"].as_u64() >= Some(1), "{report:#}");
    assert!(report["energy_settled_wh"].as_u64() < report["energy_source_wh"].as_u64());
    for (name, line) in sessions(&report) {
        assert_eq!(line["drawn_wh"], line["settled_wh"], "{name}");
        if line["reason"] == "cancelled" {
            assert_eq!((&line["settled_wh"], &line["paid"]), (&0.into(), &0.into()), "{name}");
        }
    }
}

#[test]
fn blocks_of_an_instant_do_not_grow_with_the_sessions_in_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let blocks = |users: u32| {
        let file = folder.path().join(format!("{users}.csv"));
        let mut text = "location;user_id;session_id;plugin_time;plugout_time;connection_time;energy_session\n".to_owned();
        for user in 0..users {
            text += &format!("ONE;u{user};s{user};2019-06-03 10:00:00;2019-06-03 16:00:00;6;{},5\n", 8 + user % 3);
        }
        std::fs::write(&file, text).expect("a file");
        let json = folder.path().join(format!("{users}.json"));
        let report = finish(start(&["replay", file.to_str().expect("a path")], &json), &json);
        assert_eq!(report["sessions_settled"], users);
        report["height"].as_u64().zip(report["founding_blocks"].as_u64()).map(|(height, before)| height - before).expect("numbers")
    };
    let (few, many) = (blocks(3), blocks(48));
    // The scheduler's grants of one instant come one after the other and may take a second block.
    assert!(many <= few + 3, "{few} blocks for 3 sessions, {many} for 48");
}

#[test]
fn the_demo_shows_what_it_promises_and_the_same_evening_twice() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = |name: &str| {
        let json = folder.path().join(name);
        finish(start(&["demo", "--seed", "3"], &json), &json)
    };
    let (first, second) = (run("a.json"), run("b.json"));
    assert_eq!(totals(&first), totals(&second));
    let reasons = &first["settle_reasons"];
    for reason in ["money", "vehicle_removed", "vehicle_full", "stopped_by_resident", "cancelled"] {
        assert!(reasons[reason].as_u64() >= Some(1), "{reason}: {reasons}");
    }
}

#[test]
fn a_short_load_settles_sessions_and_loses_no_token() {
    let folder = tempfile::tempdir().expect("a folder");
    let json = folder.path().join("load.json");
    let report = finish(start(&["load", "--clients", "6", "--seconds", "1"], &json), &json);
    assert!(report["sessions"].as_u64() >= Some(1), "{report:#}");
    assert_eq!(report["conservation_ok"], true);
}

#[test]
fn a_file_that_is_no_list_of_sessions_is_refused_in_words() {
    let output = Command::new(PROGRAM).args(["replay", "Cargo.toml"]).output().expect("the program");
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("not a file of charging sessions"), "{text}");
}

/// A report that could not be written was missed after the long work, and a site that was named twice was taken for one.
#[test]
fn what_cannot_end_well_does_not_begin() {
    let folder = tempfile::tempdir().expect("a folder");
    let nowhere = folder.path().join("none/report.json");
    let file = garage();
    let file = file.to_str().expect("a path of this repository");
    let here = folder.path().join("report.json");
    for (args, json, words) in [
        (vec!["replay", file], nowhere.as_path(), "--json"),
        (vec!["demo"], folder.path(), "a folder, not a file"),
        (vec!["load", "--seconds", "1"], nowhere.as_path(), "--json"),
        (vec!["chaos"], nowhere.as_path(), "--json"),
        (vec!["replay", file, "--site", "TRO", "--site", "TRO"], here.as_path(), "named twice"),
    ] {
        let Output { status, stdout, stderr } = start(&args, json).wait_with_output().expect("a child of ours");
        let told = String::from_utf8_lossy(&stderr);
        assert!(!status.success() && stdout.is_empty() && told.contains(words), "{args:?}: {told}");
    }
    assert!(!here.exists());
}
