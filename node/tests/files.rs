//! Each kind of file of a data directory deleted, emptied, cut short and changed: the node names it and what to do, or loses nothing.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

mod wattd;

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use node::keys::KeyName;

use wattd::{Home, Outcome};

/// What is done to a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Harm {
    Delete,
    Empty,
    Halve,
    /// Changes the byte at this share of the file, in hundredths.
    Flip(usize),
}

/// What the node must do.
#[derive(Debug)]
enum Expected {
    /// End with this exit code and all of these words.
    Refuse(i32, Vec<String>),
    /// The same with exit code 3, or go on without a block less: not every byte of the file is needed.
    RefuseOrLoseNothing(Vec<String>),
    /// Go on without a block less.
    LoseNothing,
}

/// What is expected of a file of this name, relative to the data directory.
fn expected(name: &str, harm: Harm) -> Option<Expected> {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let file = name.rsplit('/').next().unwrap();
    let restore = words(&["damaged file", file, "restore or resync"]);
    Some(match name {
        "config.toml" if harm == Harm::Delete => Expected::Refuse(1, words(&["config.toml", "it is missing", "restore it from a backup"])),
        // Without keys it is a good configuration, of the default ports.
        "config.toml" => return None,
        "genesis.json" => match harm {
            Harm::Delete => Expected::Refuse(3, words(&["genesis.json is missing", "restore it"])),
            Harm::Empty | Harm::Halve => {
                Expected::Refuse(3, words(&["genesis.json", "EOF", "restore it", "another node of the federation"]))
            }
            // In the middle is the name of an account or a number: another document, of another chain.
            Harm::Flip(_) => return None,
        },
        "lock" => Expected::LoseNothing,
        "keys/manager.key" | "keys/treasurer.key" | "keys/revenue.key" => Expected::LoseNothing,
        "keys/validator.key" | "keys/network.key" | "keys/gateway.key" | "keys/scheduler.key" => match harm {
            Harm::Delete => Expected::Refuse(1, words(&[file, "it is missing", "from your backup"])),
            Harm::Empty | Harm::Halve => Expected::Refuse(1, words(&[file, "64 hexadecimal digits", "restore it"])),
            Harm::Flip(_) if matches!(file, "validator.key" | "network.key") => Expected::Refuse(1, words(&[file, "restore"])),
            Harm::Flip(_) => return None,
        },
        "wal/wal" => {
            let way_on = words(&["wal/wal", "contradict", "restore", "--new-consensus-log"]);
            match harm {
                Harm::Delete | Harm::Empty => Expected::Refuse(3, way_on),
                // What is left may look like a log in the middle of an entry, as a crash leaves it.
                Harm::Halve => Expected::RefuseOrLoseNothing(way_on),
                Harm::Flip(_) => Expected::Refuse(3, words(&["wal/wal", "restore"])),
            }
        }
        "db/CURRENT" if harm == Harm::Delete => Expected::Refuse(3, words(&["db/CURRENT", "missing", "restore or resync"])),
        // It names the manifest, so that a wrong letter is a manifest that is missing.
        "db/CURRENT" => Expected::Refuse(3, words(&["damaged file", "restore or resync"])),
        "db/IDENTITY" | "db/LOCK" => Expected::LoseNothing,
        // The gateway's own database is tested with the gateway.
        _ if name.starts_with("gateway/") => return None,
        _ if name.starts_with("db/LOG") || name.starts_with("db/OPTIONS-") => Expected::LoseNothing,
        _ if name.starts_with("db/MANIFEST-") && matches!(harm, Harm::Delete | Harm::Empty | Harm::Flip(_)) => Expected::Refuse(3, restore),
        // Cut between two records it is an older state, which the log of consensus contradicts.
        _ if name.starts_with("db/MANIFEST-") => Expected::RefuseOrLoseNothing(words(&["resync"])),
        _ if name.ends_with(".sst") && matches!(harm, Harm::Flip(share) if share > 40) => Expected::RefuseOrLoseNothing(restore),
        _ if name.ends_with(".sst") => Expected::Refuse(3, restore),
        _ if name.ends_with(".log") && matches!(harm, Harm::Flip(_)) => Expected::Refuse(3, restore),
        // RocksDB does not know that there was more; the log of consensus does.
        _ if name.ends_with(".log") => Expected::RefuseOrLoseNothing(words(&["db/*.log", "resync"])),
        _ => panic!("a file of a kind that nobody thought of: {name}"),
    })
}

#[test]
fn every_file_that_is_deleted_cut_or_changed_is_named_with_what_to_do_or_not_needed() {
    let home = Home::found();
    let running = home.start(&[]);
    (1..=3).for_each(|sale| home.sell(sale));
    running.stop();
    // What the first run wrote goes into tables, what the second writes stays in the log.
    let running = home.start(&[]);
    (4..=8).for_each(|sale| home.sell(sale));
    let height = home.height();
    running.kill();

    let whole = home.folder.path().join("whole");
    fs::rename(home.data.path(), &whole).unwrap();
    let files = files_in(&whole, &whole);
    let mut kinds = std::collections::BTreeSet::new();
    for file in &files {
        let name = file.to_str().unwrap();
        for harm in [Harm::Delete, Harm::Empty, Harm::Halve, Harm::Flip(3), Harm::Flip(30), Harm::Flip(80)] {
            let Some(expected) = expected(name, harm) else { continue };
            let length = fs::metadata(whole.join(file)).unwrap().len();
            if length == 0 && harm != Harm::Delete {
                continue;
            }
            let _ = fs::remove_dir_all(home.data.path());
            copy(&whole, home.data.path());
            harm_file(&home.data.path().join(file), harm);
            let outcome = home.outcome(&[]);
            println!("{name} {harm:?}: {}", summary(&outcome));
            check(name, harm, height, &outcome, &expected);
            kinds.insert(file.extension().map_or(name.to_owned(), |kind| kind.to_string_lossy().into_owned()));
        }
    }
    for kind in ["sst", "log", "key", "toml", "json", "db/CURRENT", "wal/wal", "lock"] {
        assert!(kinds.contains(kind), "{kind} was not tried: {kinds:?}");
    }
    let _ = fs::remove_dir_all(home.data.path());
    copy(&whole, home.data.path());
    assert!(matches!(home.outcome(&[]), Outcome::Started { height: found } if found >= height), "whole, it goes on");
}

/// Somebody put a folder where a file was, or a file where a folder was, or a text of another program into a key's file: what was said was the system's words.
#[test]
fn what_is_no_file_no_folder_or_no_text_is_named_with_what_to_do() {
    let home = Home::found();
    let running = home.start(&[]);
    home.sell(1);
    running.stop();
    let whole = home.folder.path().join("whole");
    fs::rename(home.data.path(), &whole).unwrap();
    let file_for_folder = |path: &Path| {
        fs::remove_dir_all(path).unwrap();
        fs::write(path, "x").unwrap();
    };
    let folder_for_file = |path: &Path| {
        let _ = fs::remove_file(path);
        fs::create_dir(path).unwrap();
    };
    let private = |path: &Path, bytes: &[u8]| {
        fs::write(path, bytes).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    };
    let unit = br#"{"units": [{"device": "00000001", "sensor": 1, "connector": "1-1", "key": "5ec7e7"}]}"#;
    type Case<'a> = (&'a str, &'a dyn Fn(&Path), i32, &'a [&'a str]);
    let cases: [Case<'_>; 10] = [
        ("wal", &file_for_folder, 3, &["is a file", "a directory must be there", "restore the directory"]),
        ("db", &file_for_folder, 3, &["is a file", "a directory must be there", "restore the directory"]),
        ("gateway", &file_for_folder, 3, &["is a file", "a directory must be there", "restore the directory"]),
        ("keys", &|path| fs::remove_dir_all(path).unwrap(), 1, &["network.key", "it is missing", "all of keys/"]),
        ("keys/validator.key", &folder_for_file, 1, &["expected a file", "move what is there away", "restore it"]),
        ("keys/network.key", &|path| private(path, &[0xff; 65]), 1, &["64 hexadecimal digits", "restore it"]),
        ("units.json", &folder_for_file, 1, &["expected a file", "move what is there away"]),
        ("units.json", &|path| private(path, unit), 1, &["unit 00000001", "64 hexadecimal digits", "correct it in that file"]),
        ("config.toml", &|path| fs::write(path, "[network]\nlisten = \"/ip4").unwrap(), 1, &["no configuration", "line 2", "correct it"]),
        ("genesis.json", &|path| fs::write(path, "<html>").unwrap(), 3, &["is damaged", "another node of the federation"]),
    ];
    for (name, harm, expected, words) in cases {
        let _ = fs::remove_dir_all(home.data.path());
        copy(&whole, home.data.path());
        harm(&home.data.path().join(name));
        let (code, text) = home.refusal(&[]).unwrap_or_else(|| panic!("{name}: it started"));
        println!("{name}: {code}, {text}");
        assert_eq!(code, expected, "{name}: {text}");
        assert!(text.contains(name) && !text.contains("chmod") && !text.contains("5ec7e7"), "{name}: {text}");
        words.iter().for_each(|word| assert!(text.contains(word), "{name}: {word:?} is not in: {text}"));
    }
}

/// With another federation's document the operator was told to restore the validator's key, which was the right one.
#[test]
fn another_federations_genesis_document_is_told_by_both_chains_ids_before_any_key_is_doubted() {
    let (home, other) = (Home::found(), Home::found());
    let running = home.start(&[]);
    home.sell(1);
    running.stop();
    let id = |home: &Home| home.data.genesis().unwrap().chain_id().to_string();
    let (ours, theirs) = (id(&home), id(&other));
    fs::copy(other.data.genesis_file(), home.data.genesis_file()).unwrap();
    let (code, text) = home.refusal(&[]).expect("refused");
    assert!(code == 1 && text.contains(&ours) && text.contains(&theirs), "{code}: {text}");
    assert!(text.contains("put the federation's genesis.json back") && !text.contains("restore keys"), "{text}");
    // Where there is no database nobody can tell which of the two is wrong.
    fs::remove_dir_all(home.data.database()).unwrap();
    let (code, text) = home.refusal(&[]).expect("refused");
    assert!(code == 1 && text.contains(&theirs) && text.contains("Before a key is touched compare"), "{code}: {text}");
}

/// The log of the gateway's database was deleted after a clean stop, and nobody was told.
#[test]
fn a_gateways_database_that_lost_its_newest_part_or_has_a_changed_block_is_damage() {
    let home = Home::found();
    let running = home.start(&[]);
    home.sell(1);
    running.stop();
    let (whole, gateway) = (home.folder.path().join("whole"), home.data.path().join("gateway"));
    copy(home.data.path(), &whole);
    let logs = files_in(&gateway, &gateway).into_iter().filter(|file| file.extension().is_some_and(|kind| kind == "log"));
    logs.for_each(|log| fs::remove_file(gateway.join(log)).unwrap());
    let (code, text) = home.refusal(&[]).expect("refused");
    assert!(code == 3 && text.contains("is older than it was") && text.contains("--new-gateway-database"), "{code}: {text}");
    fs::remove_dir_all(&gateway).unwrap();
    assert!(home.refusal(&["--new-gateway-database"]).is_none(), "the way on");

    fs::remove_dir_all(home.data.path()).unwrap();
    fs::rename(&whole, home.data.path()).unwrap();
    // What the first run wrote is in tables now.
    home.start(&[]).stop();
    fs::rename(home.data.path(), &whole).unwrap();
    let mut tables = 0;
    for file in files_in(&whole, &whole.join("gateway")).iter().filter(|file| file.extension().is_some_and(|kind| kind == "sst")) {
        let _ = fs::remove_dir_all(home.data.path());
        copy(&whole, home.data.path());
        harm_file(&home.data.path().join(file), Harm::Flip(1));
        let (code, text) = home.refusal(&[]).expect("refused");
        assert!(code == 3 && text.contains("the gateway's database") && text.contains("--new-gateway-database"), "{code}: {text}");
        tables += 1;
    }
    assert!(tables > 0);
    fs::remove_dir_all(home.data.path()).unwrap();
    copy(&whole, home.data.path());
    let running = home.start(&[]);
    running.stop();
    assert!(home.refusal(&[]).is_none(), "whole, it goes on");
}

/// `wattd doctor` alone said that a gateway's or a scheduler's key was another's.
#[test]
fn a_key_of_the_right_form_without_its_role_is_told_in_the_log() {
    let home = Home::found();
    home.start(&[]).stop();
    assert!(!home.logged().contains("does not hold its role"), "{}", home.logged());
    for name in [KeyName::Gateway, KeyName::Scheduler] {
        fs::copy(KeyName::Revenue.file(home.data.path()), name.file(home.data.path())).unwrap();
    }
    let running = home.start(&[]);
    home.logs("gateway.key");
    home.logs("scheduler.key");
    home.logs("the key does not hold its role");
    running.stop();
}

#[test]
fn a_lost_log_of_consensus_is_begun_anew_only_where_the_operator_says_so() {
    let home = Home::found();
    let running = home.start(&[]);
    home.sell(1);
    let before = home.height();
    running.stop();
    let log = home.data.wal().join("wal");
    let damaged = vec![0xff; 100];
    for kept in [None, Some(&damaged)] {
        match kept {
            None => fs::remove_dir_all(home.data.wal()).unwrap(),
            Some(bytes) => fs::write(&log, bytes).unwrap(),
        }
        let (code, text) = home.refusal(&[]).expect("refused");
        assert!(code == 3 && text.contains("--new-consensus-log") && text.contains("no copy of this node runs"), "{code}: {text}");
        let height = home.height_after_start(&["--new-consensus-log"]);
        assert!(height >= before, "{height}");
        assert!(home.refusal(&[]).is_none(), "the new log is one like any other");
    }
    assert_eq!(fs::read(home.data.wal().join("wal.damaged-1")).unwrap(), damaged);
}

fn check(name: &str, harm: Harm, height: u64, outcome: &Outcome, expected: &Expected) {
    // Of a damaged file the name counts that is said first, not those that RocksDB suspects besides.
    let of_file = |text: &str| text.split_once("damaged file ").map(|(_, rest)| rest.split(": ").next().unwrap_or_default().to_owned());
    let file = name.rsplit('/').next().unwrap();
    let says = |text: &str, words: &[String]| {
        let right = words
            .first()
            .is_none_or(|word| word != "damaged file" || name == "db/CURRENT" || of_file(text).is_some_and(|named| named.contains(file)));
        right && words.iter().all(|word| text.contains(word.as_str()))
    };
    let good = match (outcome, expected) {
        (Outcome::Refused { code, text }, Expected::Refuse(expected, words)) => code == expected && says(text, words),
        (Outcome::Refused { code, text }, Expected::RefuseOrLoseNothing(words)) => *code == 3 && says(text, words),
        (Outcome::Started { height: found }, Expected::LoseNothing | Expected::RefuseOrLoseNothing(_)) => *found >= height,
        (Outcome::Started { .. }, Expected::Refuse(..)) | (Outcome::Refused { .. }, Expected::LoseNothing) => false,
    };
    assert!(good, "{name} {harm:?}: expected {expected:?}, height {height}, found {outcome:?}");
}

fn summary(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Refused { code, text } => format!("{code}, {}", text.lines().last().unwrap_or_default()),
        Outcome::Started { height } => format!("goes on from {height}"),
    }
}

fn harm_file(path: &Path, harm: Harm) {
    let bytes = fs::read(path).unwrap();
    match harm {
        Harm::Delete => fs::remove_file(path).unwrap(),
        Harm::Empty => fs::write(path, []).unwrap(),
        Harm::Halve => fs::write(path, &bytes[..bytes.len() / 2]).unwrap(),
        Harm::Flip(share) => {
            let mut changed = bytes;
            let place = changed.len() * share / 100;
            // A digit of a key becomes another digit, a byte of anything else another byte.
            changed[place] ^= 1;
            fs::write(path, changed).unwrap();
        }
    }
}

/// All files, relative to `root`.
fn files_in(root: &Path, folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .flat_map(|entry| {
            let path = entry.unwrap().path();
            if path.is_dir() { files_in(root, &path) } else { vec![path.strip_prefix(root).unwrap().to_owned()] }
        })
        .collect();
    files.sort();
    files
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap();
        }
    }
}
