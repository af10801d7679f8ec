//! Federations of four real nodes: recorded sessions at home and away, calm and disturbed, and a short storm.
//!
//! They need `wattd` beside `watt-testnet`: `./dev test` builds it, and `cargo build --workspace --bins` does.

use std::{
    collections::BTreeMap,
    path::Path,
    process::{Command, Output, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
};

use serde_json::Value;
use testnet::{
    federation::{self, FederationError, Node, Plan, Signal, Staff, Time},
    provision::test_params,
    resident::Lines,
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_watt-testnet");

const SITES: [&str; 4] = ["ASK", "BAR", "KRO", "TRO"];

/// Four nodes at once are enough for a small machine.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn run(args: &[&str], json: &Path) -> Value {
    let mut command = Command::new(PROGRAM);
    command.args(args).arg("--json").arg(json).stdin(Stdio::null());
    let Output { status, stdout, stderr } = command.output().unwrap_or_else(|error| panic!("{PROGRAM}: {error}"));
    let (out, err) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{args:?}: {status}\n{out}\n{err}");
    println!("{out}");
    serde_json::from_slice(&std::fs::read(json).expect("a report")).expect("a report in JSON")
}

/// Two users in each of four sites, which begin years apart; five sessions each, of which half an hour may overlap those of others.
fn sessions(file: &Path) {
    let mut text = "location;user_id;session_id;plugin_time;plugout_time;connection_time;energy_session\n".to_owned();
    for (site, name) in SITES.into_iter().enumerate() {
        for user in 0..2 {
            for number in 0..5 {
                let (day, hour) = (3 + number, 8 + 2 * user + site);
                let energy = 3 + (site + user + number) % 5;
                text += &format!(
                    "{name};{name}{user};{name}{user}-{number};{year}-06-{day:02} {hour:02}:00:00;{year}-06-{day:02} {out:02}:20:00;NA;{energy},5\n",
                    year = 2017 + site,
                    out = hour + 3,
                );
            }
        }
    }
    std::fs::write(file, text).expect("a file of sessions");
}

/// What has to be the same in two runs of one file.
fn totals(report: &Value) -> Vec<&Value> {
    [
        "rows",
        "usable",
        "sessions_settled",
        "energy_drawn_wh",
        "energy_settled_wh",
        "micro_tokens",
        "positions",
        "settle_reasons",
        "per_session",
    ]
    .into_iter()
    .map(|name| &report[name])
    .collect()
}

#[test]
fn four_condominiums_come_to_one_state_whoever_charges_where_and_whatever_befalls_their_nodes() {
    let _alone = alone();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("sessions.csv");
    sessions(&file);
    let mut args = vec!["replay", file.to_str().expect("a path")];
    for site in SITES {
        args.extend(["--site", site]);
    }
    args.extend(["--align", "--roaming", "0.5", "--limit", "36"]);
    let calm = run(&args, &folder.path().join("calm.json"));
    assert_eq!((&calm["usable"], &calm["sessions_settled"]), (&36.into(), &36.into()), "{calm:#}");
    assert_eq!((&calm["energy_source_wh"], &calm["energy_drawn_wh"]), (&calm["energy_settled_wh"], &calm["energy_settled_wh"]));
    let nodes = calm["nodes"].as_array().expect("nodes");
    assert_eq!(nodes.iter().map(|node| node["site"].as_str().expect("a name")).collect::<Vec<_>>(), SITES);
    for node in nodes {
        assert_eq!((&node["height"], &node["state_root"]), (&nodes[0]["height"], &nodes[0]["state_root"]));
    }
    let mut positions: BTreeMap<&str, i64> = SITES.into_iter().map(|site| (site, 0)).collect();
    let mut away = 0;
    for line in calm["per_session"].as_array().expect("sessions") {
        let name = |of: &str| SITES.into_iter().find(|site| line[of] == *site).expect("one of the sites");
        let paid = line["paid"].as_i64().expect("an amount");
        away += u32::from(name("home") != name("charged_at"));
        *positions.entry(name("charged_at")).or_default() += paid;
        *positions.entry(name("home")).or_default() -= paid;
    }
    assert!(away >= 5, "{away} sessions away from home");
    assert_eq!(calm["positions"], serde_json::json!(positions));
    assert_eq!(positions.values().sum::<i64>(), 0);

    let seed: u32 = rand::random();
    println!("chaos seed {seed}");
    let seed = seed.to_string();
    args.extend(["--chaos", &seed]);
    let disturbed = run(&args, &folder.path().join("disturbed.json"));
    assert_eq!(totals(&disturbed), totals(&calm), "chaos seed {seed}");
}

/// Without `--align`, which moves sessions to hours with other prices where a clock is changed in between.
#[test]
fn a_federation_charges_and_takes_what_its_sites_would_alone_wherever_their_residents_charge() {
    let _alone = alone();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("sessions.csv");
    sessions(&file);
    let file = file.to_str().expect("a path");
    let alone = SITES.map(|site| run(&["replay", file, "--site", site], &folder.path().join(format!("{site}.json"))));
    let mut args = vec!["replay", file, "--roaming", "0.5"];
    for site in SITES {
        args.extend(["--site", site]);
    }
    let together = run(&args, &folder.path().join("together.json"));

    let sums = ["/sessions_settled", "/energy_drawn_wh", "/energy_settled_wh"];
    let tokens = ["sold", "escrowed", "paid", "refunded", "held_at_end"].map(|name| format!("/micro_tokens/{name}"));
    for name in sums.into_iter().chain(tokens.iter().map(String::as_str)) {
        let number = |report: &Value| report.pointer(name).and_then(Value::as_u64).unwrap_or_else(|| panic!("{name} in {report:#}"));
        assert_eq!(number(&together), alone.iter().map(number).sum::<u64>(), "{name}");
    }
    let bills = |reports: &[Value]| {
        let lines = reports.iter().flat_map(|report| report["per_session"].as_array().expect("sessions"));
        let bill = |line: &Value| {
            let amounts = ["drawn_wh", "settled_wh", "paid", "refunded"].map(|name| line[name].as_u64().expect("an amount"));
            (line["session_id"].as_str().expect("a name").to_owned(), (amounts, line["reason"].clone()))
        };
        lines.map(bill).collect::<BTreeMap<_, _>>()
    };
    assert_eq!(bills(std::slice::from_ref(&together)), bills(&alone));
    let away = together["per_session"].as_array().expect("sessions").iter().filter(|line| line["home"] != line["charged_at"]);
    assert!(away.count() >= 5, "{together:#}");
}

#[test]
fn a_site_without_a_session_is_named_before_anything_is_founded() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("sessions.csv");
    sessions(&file);
    let mut command = Command::new(PROGRAM);
    command.arg("replay").arg(&file).args(["--site", "ASK", "--site", "TRO", "--limit", "1"]).stdin(Stdio::null());
    let Output { status, stderr, .. } = command.output().expect("the program starts");
    let told = String::from_utf8_lossy(&stderr);
    assert!(status.code() == Some(1) && told.contains("no session of TRO is among these") && told.contains("--limit"), "{status}: {told}");
}

/// Two nodes were quiet already when they died, and the other two waited for their votes until the run was given up.
#[test]
fn a_node_that_dies_when_it_has_come_to_rest_is_started_again_for_those_that_have_not() {
    let _alone = alone();
    tokio::runtime::Runtime::new().expect("a runtime").block_on(rest_and_die());
}

async fn rest_and_die() {
    const START_MS: u64 = 1_767_225_600_000;
    let folder = tempfile::tempdir().expect("a folder");
    let hour = chain::time::Duration::from_hours(1);
    let plan = |name: &str| Plan {
        name: name.to_owned(),
        params: test_params(hour, hour),
        time: Time::Stepped { start_ms: START_MS },
        staff: Staff::Ours(Vec::new()),
        units: Vec::new(),
    };
    let wattd = Path::new(PROGRAM).with_file_name("wattd");
    let nodes = federation::found(folder.path(), wattd, &SITES.map(plan), None).await.expect("four nodes");
    let processes: Vec<_> = nodes.iter().map(Node::process).collect();
    let mut lines = Lines::new(nodes).expect("their addresses");
    lines.advance(START_MS).await.expect("quiet nodes");

    assert!(processes[1].send(Signal::Stop).await);
    let disturb = async {
        // The others come to rest at once; on a slow machine one may die before that, which is no news.
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        let before = [processes[0].pid(), processes[3].pid()];
        assert!(processes[0].send(Signal::Kill).await && processes[3].send(Signal::Kill).await);
        let mut is_back = false;
        for _ in 0..600 {
            let now = [processes[0].pid(), processes[3].pid()];
            is_back = is_back || (now.iter().all(Option::is_some) && now[0] != before[0] && now[1] != before[1]);
            if is_back {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        processes[1].send(Signal::Continue).await;
        is_back
    };
    let (quiet, is_back) = tokio::join!(lines.advance(START_MS + 1_000), disturb);
    assert!(is_back, "nobody started them while the second was at work");
    assert_eq!(quiet.expect("quiet nodes").now, START_MS + 1_000);
    lines.stop().await.expect("all end");
}

/// Nodes were started again whatever they had said: a run could pass over damage, and over a key that is used twice.
#[test]
fn a_node_that_says_what_it_stores_is_damaged_is_named_and_not_started_again() {
    let _alone = alone();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    for time in [Time::Real, Time::Stepped { start_ms: 1_767_225_600_000 }] {
        runtime.block_on(damage_and_die(time));
    }
}

async fn damage_and_die(time: Time) {
    let folder = tempfile::tempdir().expect("a folder");
    let hour = chain::time::Duration::from_hours(1);
    let plan = Plan { name: "ASK".to_owned(), params: test_params(hour, hour), time, staff: Staff::Ours(Vec::new()), units: Vec::new() };
    let wattd = Path::new(PROGRAM).with_file_name("wattd");
    let mut nodes = federation::found(folder.path(), wattd, &[plan], None).await.expect("a node");
    let node = nodes.first_mut().expect("one");

    assert!(node.process().send(Signal::Kill).await);
    std::fs::remove_file(node.dir().join("genesis.json")).expect("a genesis document");
    // Killed, it is started again once, and finds that something is missing.
    let mut refused = node.start_again().await;
    for _ in 0..600 {
        if refused.is_err() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        refused = node.start_again().await;
    }
    for refused in [refused, node.start_again().await] {
        match refused {
            Err(FederationError::Ended { node, status, line }) => {
                assert_eq!((node.as_str(), status.code()), ("node-0", Some(3)), "{time:?}");
                assert!(line.contains("genesis"), "{time:?}: {line}");
            }
            other => panic!("{time:?}: {other:?}"),
        }
    }
    assert_eq!(node.restarts(), 1, "{time:?}");
}

#[test]
fn a_storm_over_four_nodes_forks_nothing_and_loses_no_session() {
    let _alone = alone();
    let seed: u32 = rand::random();
    println!("chaos seed {seed}");
    let folder = tempfile::tempdir().expect("a folder");
    let report = run(&["chaos", "--seed", &seed.to_string(), "--minutes", "0.7"], &folder.path().join("chaos.json"));
    assert_eq!(report["failures"], serde_json::json!([]), "{report:#}");
    assert!(report["sessions"].as_u64() >= Some(6), "{report:#}");
    assert_eq!(report["energy_drawn_wh"], report["energy_settled_wh"]);
    for trial in report["trials"].as_array().expect("trials") {
        assert_eq!(trial["one_missing"] == true, trial["went_on_after_s"].is_number(), "{trial:#}");
    }
}

#[test]
fn four_validators_under_load_lose_no_token_and_one_that_lost_its_disk_fetches_their_chain() {
    let _alone = alone();
    let folder = tempfile::tempdir().expect("a folder");
    let kept = folder.path().join("chain");
    let kept = kept.to_str().expect("a path");
    let load = run(&["load", "--validators", "4", "--clients", "6", "--seconds", "2", "--data", kept], &folder.path().join("load.json"));
    assert!(load["sessions"].as_u64() >= Some(1), "{load:#}");
    assert_eq!((&load["conservation_ok"], &load["validators"]), (&true.into(), &4.into()));

    let sync = run(&["sync", kept], &folder.path().join("sync.json"));
    assert_eq!((&sync["nodes"], &sync["same_root"]), (&4.into(), &true.into()), "{sync:#}");
    assert!(sync["blocks"].as_u64() >= Some(1) && sync["blocks_per_second"].as_f64() > Some(0.0), "{sync:#}");
}

/// Only what does not depend on the machine: with the build that tests use, and beside others, nodes may miss what is expected of their processor time and memory.
#[test]
fn nodes_that_are_left_alone_decide_nothing_and_are_woken_for_each_of_twenty_sales() {
    let _alone = alone();
    let folder = tempfile::tempdir().expect("a folder");
    let json = folder.path().join("idle.json");
    let mut command = Command::new(PROGRAM);
    command.args(["idle", "--minutes", "0.1", "--json"]).arg(&json).stdin(Stdio::null());
    let Output { status, stdout, stderr } = command.output().expect("the program starts");
    let (out, err) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    let text = std::fs::read(json).unwrap_or_else(|error| panic!("{error}: {status}\n{out}\n{err}"));
    let report: Value = serde_json::from_slice(&text).expect("a report in JSON");
    assert_eq!((&report["validators"], &report["blocks"], &report["blocks_allowed"]), (&4.into(), &0.into(), &0.into()), "{report:#}");
    let names: Vec<_> = report["nodes"].as_array().expect("nodes").iter().map(|node| node["name"].as_str()).collect();
    assert_eq!(names, ["node-0", "node-1", "node-2", "node-3"].map(Some));
    for number in report["nodes"].as_array().expect("nodes").iter().flat_map(|node| [&node["cpu_percent"], &node["rss_mb"]]) {
        assert!(number.as_f64() >= Some(0.0), "{report:#}");
    }
    let commits: Vec<f64> = report["commits_ms"].as_array().expect("commits").iter().filter_map(Value::as_f64).collect();
    let [first, min, median, max] = ["first_ms", "min_ms", "median_ms", "max_ms"].map(|name| report[name].as_f64().expect("a time"));
    assert_eq!((commits.len(), commits.first()), (20, Some(&first)));
    assert!(0.0 < min && min <= median && median <= max && commits.iter().all(|ms| (min..=max).contains(ms)), "{report:#}");
    let missed = report["missed"].as_array().expect("what was missed");
    assert_eq!(status.code(), Some(i32::from(!missed.is_empty())), "{out}\n{err}");
    assert!(missed.iter().all(|line| line.as_str().is_some_and(|line| err.contains(line))), "{missed:?}: {err}");
}
