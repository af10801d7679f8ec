//! A whole `wattd` process: its addresses, its keys, its silence, what it says of itself, its exports.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

mod solo;
mod wattd;

use std::{fs, net::TcpListener, os::unix::fs::PermissionsExt as _, path::PathBuf, process::Stdio, time::Duration};

use node::keys::KeyName;
use wattd::{Home, federate, free_addresses};

#[test]
fn a_taken_address_is_refused_before_anything_is_started() {
    let home = Home::found();
    for (setting, address) in [("api.listen", home.api), ("gateway.listen", home.gateway), ("network.listen", home.network)] {
        let other = TcpListener::bind(address).unwrap();
        let (code, text) = home.refusal(&[]).expect("refused");
        assert_eq!(code, 1, "{text}");
        for words in [&address.to_string(), setting, "config.toml", "os error 98", "choose another"] {
            assert!(text.contains(words), "{setting}: {words:?} is not in: {text}");
        }
        assert!(!home.data.database().exists(), "nothing was begun");
        drop(other);
    }
    // The engine itself would share the network's port with another node.
    let running = home.start(&[]);
    let [api, gateway, _] = free_addresses();
    let second = Home::found_at(api, gateway, home.network);
    let (code, text) = second.refusal(&[]).expect("refused");
    assert!(code == 1 && text.contains(&home.network.to_string()) && text.contains("network.listen"), "{code}: {text}");
    running.stop();
    second.start(&[]).stop();
}

#[test]
fn a_killed_node_has_its_addresses_back_at_once_although_connections_were_open() {
    let home = Home::found();
    for _ in 0..3 {
        let running = home.start(&[]);
        let open = [home.api, home.gateway, home.network].map(|address| running.connect(address));
        running.kill();
        home.start(&[]).kill();
        drop(open);
    }
}

#[test]
fn an_idle_node_is_silent_and_commits_at_once_when_somebody_comes() {
    let home = Home::found();
    let mut running = home.start(&[]);
    // A start may decide one height without work.
    running.reach(1);
    std::thread::sleep(Duration::from_millis(200));
    let silent = home.height();
    for sale in 1..=2 {
        std::thread::sleep(Duration::from_secs(3));
        assert_eq!(home.height(), silent + sale - 1, "an idle chain makes no blocks");
        home.sell(sale);
        assert_eq!(home.height(), silent + sale, "one transaction, one block");
    }
    running.stop();
}

#[test]
fn a_key_of_another_or_in_the_wrong_place_or_for_all_to_read_is_refused_with_what_to_do() {
    let homes = federate(2);
    let validator = |home: &Home| KeyName::Validator.file(home.data.path());
    let network = |home: &Home| KeyName::Network.file(home.data.path());
    let put = |from: PathBuf, to: PathBuf| {
        let key = fs::read(from).unwrap();
        fs::write(to, key).unwrap();
    };
    let swap = |home: &Home| {
        let key = fs::read(network(home)).unwrap();
        put(validator(home), network(home));
        fs::write(validator(home), key).unwrap();
    };
    let expose = |file: PathBuf| fs::set_permissions(file, fs::Permissions::from_mode(0o644)).unwrap();
    type Wrong<'a> = (&'a dyn Fn(&Home), &'a [&'a str]);
    let not_a_validator: &[&str] =
        &["validator key of this directory", "not among the validators of its genesis document", "restore keys/validator.key"];
    let not_beside: &[&str] = &["network key of this directory", "beside its validator key", "keys/network.key", "keys/validator.key"];
    let exposed: &[&str] = &["may be read by others (mode 644)", "chmod 600"];
    let cases: [Wrong<'_>; 7] = [
        (&swap, not_a_validator),
        (&|home| put(network(home), validator(home)), not_a_validator),
        (&|home| put(validator(home), network(home)), not_beside),
        (&|home| put(validator(&homes[1]), validator(home)), not_beside),
        (&|home| put(network(&homes[1]), network(home)), not_beside),
        (&|home| expose(validator(home)), exposed),
        (&|home| expose(network(home)), exposed),
    ];
    for (number, (harm, words)) in cases.into_iter().enumerate() {
        let home = homes[0].copy();
        harm(&home);
        let (code, text) = home.ends(&[]);
        assert_eq!(code, 1, "{number}: {text}");
        for word in words {
            assert!(text.contains(word), "{number}: {word:?} is not in: {text}");
        }
        for key in [validator(&home), network(&home)] {
            assert!(!text.contains(fs::read_to_string(key).unwrap().trim()), "{number}: a key is shown");
        }
        assert!(!home.data.database().exists() && !home.data.wal().exists(), "{number}: nothing was begun");
    }
}

#[test]
fn fewer_than_four_validators_are_told_that_no_fault_is_tolerated_and_four_are_not() {
    for count in 1..=4 {
        let homes = federate(count);
        assert!(homes[0].refusal(&[]).is_none());
        let (words, logged) = ("fewer than four validators: no fault is tolerated", homes[0].logged());
        assert_eq!(logged.contains(words), count < 4, "{count}: {logged}");
    }
}

#[test]
fn the_alarm_of_a_log_that_failed_stands_among_the_measurements_and_is_silent() {
    let home = Home::found();
    let running = home.start(&[]);
    home.sell(1);
    let (status, text) = home.http("GET", "/metrics", &[]).unwrap();
    let alarm: Vec<&str> = text.lines().filter(|line| !line.starts_with('#') && line.contains("node_safety_failure")).collect();
    assert!(status == 200 && alarm.len() == 1 && alarm[0].ends_with(" 0"), "{status}: {alarm:?} in {text}");
    running.stop();
}

#[test]
fn an_export_appears_whole_or_not_at_all() {
    let home = Home::found();
    let running = home.start(&[]);
    home.sell(1);
    let out = home.folder.path().join("out");
    fs::create_dir(&out).unwrap();
    let file = out.join("chain.export");
    let name = file.to_str().unwrap();
    let export = || home.wattd(&["export", "--out", name]);
    let text = |output: &std::process::Output| String::from_utf8_lossy(&output.stderr).into_owned();
    let names = || fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect::<Vec<_>>();

    let refused = export();
    assert!(refused.status.code() == Some(1) && text(&refused).contains("in use"), "{}", text(&refused));
    assert!(names().is_empty(), "{:?}", names());
    running.stop();

    let done = export();
    assert!(done.status.success(), "{}", text(&done));
    let whole = fs::read(&file).unwrap();
    let streamed = home.wattd(&["export", "--out", "-"]);
    assert!(streamed.status.success() && streamed.stdout == whole);
    let again = export();
    assert!(again.status.code() == Some(1) && text(&again).contains("there is a file already"), "{}", text(&again));
    assert_eq!((names(), fs::read(&file).unwrap()), (vec!["chain.export".to_owned()], whole.clone()));

    // A damaged value is exported as it is, for an audit to see, and told; a missing one leaves no file.
    let key = 1_u64.to_be_bytes();
    let original = {
        let db = solo::tamper(&home.data.database());
        let family = db.cf_handle("receipts").unwrap();
        let original = db.get_cf(family, key).unwrap().unwrap();
        db.put_cf(family, key, [&original[..], &[0]].concat()).unwrap();
        original
    };
    fs::remove_file(&file).unwrap();
    let damaged = export();
    let words = text(&damaged);
    assert!(damaged.status.code() == Some(3) && words.contains("receipts of height 1") && words.contains("exported as it is"), "{words}");
    assert_eq!(names(), ["chain.export"]);
    fs::remove_file(&file).unwrap();
    {
        let db = solo::tamper(&home.data.database());
        db.delete_cf(db.cf_handle("receipts").unwrap(), key).unwrap();
    }
    let missing = export();
    let words = text(&missing);
    assert!(missing.status.code() == Some(3) && words.contains("receipts of height 1") && words.contains("restore"), "{words}");
    assert!(names().is_empty(), "{:?}", names());
    {
        let db = solo::tamper(&home.data.database());
        db.put_cf(db.cf_handle("receipts").unwrap(), key, original).unwrap();
    }
    assert!(export().status.success());
    assert_eq!(fs::read(&file).unwrap(), whole);
}

/// `wattd key next gateway | head -1` had made the key, and then panicked on the line after the one that was read.
#[test]
fn no_command_panics_where_nobody_reads_what_it_says() {
    let homes = federate(2);
    let folder = homes[0].folder.path();
    let [fresh, single, out, observer] = ["fresh", "single", "out", "observer"].map(|name| folder.join(name).display().to_string());
    let members: Vec<String> = homes.iter().map(|home| home.data.path().join("member.json").display().to_string()).collect();
    let from = folder.join("genesis").display().to_string();
    let data = homes[0].data.path().display().to_string();
    let address = "/ip4/127.0.0.1/tcp/8422";
    let commands: [&[&str]; 12] = [
        &["init", "--data", &single, "--name", "TRO"],
        &["prepare", "--data", &fresh, "--name", "NEW", "--address", address],
        &["genesis", "--network", "FED", "--out", &out, "--member", &members[0], "--member", &members[1]],
        &["join", "--data", &observer, "--observer", "--name", "AUDIT", "--address", address, "--from", &from],
        &["key", "next", "gateway", "--data", &data],
        &["key", "show", "gateway", "--data", &data],
        &["unit", "add", "--connector", "1-17", "--data", &data],
        &["unit", "list", "--data", &data],
        &["doctor", "--data", &data],
        &["completions", "bash"],
        &["--help"],
        &["man", &out],
    ];
    for arguments in commands {
        let command = |stdout: Stdio, stderr: Stdio| {
            let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_wattd"));
            command.args(arguments).stdin(Stdio::null()).stdout(stdout).stderr(stderr).output().unwrap()
        };
        let closed = || {
            let (reader, writer) = std::io::pipe().unwrap();
            drop(reader);
            Stdio::from(writer)
        };
        let once = command(closed(), Stdio::piped());
        let words = String::from_utf8_lossy(&once.stderr).into_owned();
        assert!(once.status.success() && !words.contains("panicked") && !words.contains("os error"), "{arguments:?}: {words}");
        // What cannot be done twice is refused now, and nobody hears it.
        let again = command(closed(), closed());
        assert!(matches!(again.status.code(), Some(0 | 1)), "{arguments:?}: {again:?}");
    }
}
