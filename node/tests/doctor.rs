//! `wattd doctor` on installations that are broken in one way each: the way is named, with what to do, and no secret is shown.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

mod wattd;

use std::{
    fs,
    net::TcpListener,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use chain::{
    diagnosis::{Diagnosis, Standing},
    id::{ConnectorId, GroupId, TariffId},
    quantity::{Amount, Currents},
    record::{Control, PlugSignal, Service},
    tariff::{PriceComponent, Tariff, TariffDimension, TariffElement, TariffRestrictions},
    time::{Duration, Timestamp},
};
use contracts::call::{Call, PutConnector, PutGroup, PutTariff};
use node::{
    config::Config,
    keys::{self, KeyName},
};
use wattd::{Home, PATIENCE, federate, observe};

/// The exit code and the diagnosis.
fn doctor(home: &Home, more: &[&str]) -> (Option<i32>, Diagnosis) {
    let output = home.wattd(&[&["doctor", "--json"], more].concat());
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let shown = text.clone() + &String::from_utf8_lossy(&output.stderr);
    for name in KeyName::ALL {
        if let Ok(secret) = fs::read_to_string(name.file(home.data.path())) {
            assert!(secret.trim().len() < 8 || !shown.contains(secret.trim()), "the {} key is shown", name.name());
        }
    }
    (output.status.code(), serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {shown}")))
}

#[track_caller]
fn names(found: &Diagnosis, check: &str, standing: Standing, words: &str) {
    let fits = found.of(check).any(|finding| {
        finding.standing == standing && finding.found.contains(words) && (standing != Standing::Wrong || finding.next.is_some())
    });
    assert!(fits, "no {check} {standing:?} with {words:?}: {}", found.text());
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn configure(home: &Home, change: impl FnOnce(&mut Config)) {
    let mut config = Config::read(&home.data.config_file()).unwrap();
    change(&mut config);
    fs::write(home.data.config_file(), config.text().unwrap()).unwrap();
}

/// Replaces a key by another one.
fn exchange(home: &Home, name: KeyName) {
    let file = name.file(home.data.path());
    fs::remove_file(&file).unwrap();
    keys::write(&file, &keys::generate()).unwrap();
}

/// The first file of RocksDB in a folder whose name ends so.
fn database_file(folder: &Path, ending: &str) -> std::path::PathBuf {
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.into_iter().rfind(|path| path.to_str().unwrap().contains(ending)).unwrap()
}

#[test]
fn a_doctor_names_what_is_wrong_with_a_node_that_does_not_run() {
    let base = Home::found();
    let (code, found) = doctor(&base, &[]);
    assert!(code == Some(0) && found.healthy, "a node that never ran: {}", found.text());
    names(&found, "database", Standing::Ok, "none yet");
    let running = base.start(&[]);
    base.sell(1);
    running.stop();
    base.wattd(&["unit", "add", "--connector", "1-17"]);
    let (code, found) = doctor(&base, &[]);
    assert!(code == Some(0) && found.healthy, "{}", found.text());
    names(&found, "process", Standing::Warning, "does not run");
    names(&found, "database", Standing::Ok, "every checksum");
    names(&found, "gateway_database", Standing::Ok, "each with its seal");
    names(&found, "consensus_log", Standing::Ok, "fits");
    names(&found, "role_gateway", Standing::Ok, "Gateway");
    names(&found, "validators", Standing::Warning, "stands still");
    names(&found, "unit", Standing::Warning, "1-17 was never heard");
    names(&found, "ports", Standing::Ok, "free");
    assert!(found.of("disk_space").next().is_some());
    // It was only looked at: it starts, and is as healthy afterwards.
    base.start(&[]).stop();

    // Between the exchange of a role's key on the chain and that of its files, the next key is the one that holds the role.
    let home = base.copy();
    fs::rename(KeyName::Gateway.file(home.data.path()), KeyName::Gateway.next_file(home.data.path())).unwrap();
    keys::write(&KeyName::Gateway.file(home.data.path()), &keys::generate()).unwrap();
    let (code, found) = doctor(&home, &[]);
    assert!(code == Some(0) && found.healthy, "{}", found.text());
    names(&found, "key_gateway", Standing::Ok, "takes over");
    names(&found, "role_gateway", Standing::Warning, "it alone holds the role Gateway");
    home.done(&["key", "adopt", "gateway"]);
    names(&doctor(&home, &[]).1, "role_gateway", Standing::Ok, "Gateway");

    type Break = Box<dyn Fn(&Home)>;
    let key = |name: KeyName| move |home: &Home| name.file(home.data.path());
    let (gateway, scheduler, validator) = (key(KeyName::Gateway), key(KeyName::Scheduler), key(KeyName::Validator));
    let next_gateway = |home: &Home| KeyName::Gateway.next_file(home.data.path());
    let ways: Vec<(&str, &str, Break)> = vec![
        ("key_gateway", "mode 644", Box::new(move |home| chmod(&gateway(home), 0o644))),
        ("key_gateway", "gateway.next.key may be read by others", Box::new(move |home| fs::write(next_gateway(home), "5ec7e7").unwrap())),
        ("key_validator", "is missing", Box::new(move |home| fs::remove_file(validator(home)).unwrap())),
        ("key_scheduler", "holds no key", Box::new(move |home| fs::write(scheduler(home), "5ec7e7 and no key").unwrap())),
        ("membership", "is not among the validators", Box::new(|home| exchange(home, KeyName::Validator))),
        ("membership", "the network's key", Box::new(|home| exchange(home, KeyName::Network))),
        ("role_gateway", "does not hold the role Gateway", Box::new(|home| exchange(home, KeyName::Gateway))),
        ("role_scheduler", "does not hold the role Scheduler", Box::new(|home| exchange(home, KeyName::Scheduler))),
        (
            "config",
            "lissten",
            Box::new(|home| {
                let text = fs::read_to_string(home.data.config_file()).unwrap();
                fs::write(home.data.config_file(), text.replace("[api]", "[api]\nlissten = 1")).unwrap();
            }),
        ),
        ("config", "gateway.lease_s", Box::new(|home| configure(home, |config| config.gateway.lease_s = 0))),
        ("units_file", "mode 644", Box::new(|home| chmod(&home.data.path().join("units.json"), 0o644))),
        ("ports", "names the same address", Box::new(|home| configure(home, |config| config.gateway.listen = config.api.listen))),
        ("genesis", "is missing, but there is a node", Box::new(|home| fs::remove_file(home.data.genesis_file()).unwrap())),
        (
            "database",
            "belongs to chain",
            Box::new(|home| {
                let text = fs::read_to_string(home.data.genesis_file()).unwrap();
                fs::write(home.data.genesis_file(), text.replace("\"EUR\"", "\"CHF\"")).unwrap();
            }),
        ),
        ("database", "MANIFEST", Box::new(|home| fs::write(database_file(&home.data.database(), "MANIFEST-"), "no manifest").unwrap())),
        ("consensus_log", "is missing", Box::new(|home| fs::remove_file(home.data.wal().join("wal")).unwrap())),
        (
            "gateway_database",
            "gateway",
            Box::new(|home| fs::write(database_file(&home.data.path().join("gateway"), "MANIFEST-"), "no manifest").unwrap()),
        ),
        ("peers_named", "is no peer", Box::new(|home| home.add_peer("/ip4/127.0.0.1/tcp/1"))),
        (
            "peer_reachable",
            "nobody listens there",
            Box::new(|home| {
                let id = consensus::peer_id(&keys::generate()).unwrap();
                home.add_peer(&format!("/ip4/127.0.0.1/tcp/1/p2p/{id}"));
            }),
        ),
    ];
    for (check, words, way) in ways {
        let home = base.copy();
        way(&home);
        let (code, found) = doctor(&home, &[]);
        assert!(code == Some(1) && !found.healthy, "{check} {words}: {}", found.text());
        names(&found, check, Standing::Wrong, words);
        assert!(!found.text().contains("5ec7e7"), "{}", found.text());
    }
    let taken = TcpListener::bind(base.api).unwrap();
    let (code, found) = doctor(&base, &[]);
    assert_eq!(code, Some(1));
    names(&found, "ports", Standing::Wrong, "api.listen");
    drop(taken);
    let nowhere = base.folder.path().join("nowhere");
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_wattd")).arg("doctor").arg("--data").arg(&nowhere).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.code() == Some(1) && text.contains("WRONG    directory") && text.contains("-> "), "{text}");
}

fn point(home: &Home, number: u32, control: Control) -> Call {
    Call::PutConnector(PutConnector {
        connector: ConnectorId::new(home.condominium, number),
        group: 1,
        control,
        plug_signal: PlugSignal::None,
        rated: Currents::from_ma([10_000, 0, 0]),
        tariff: 1,
        service: Service::InService,
    })
}

/// Every point without a switch keeps a place, so that a driver at any other one waited for ever, second of two and first in the queue.
#[test]
fn a_doctor_warns_of_places_that_points_without_a_switch_use_up() {
    let home = Home::found();
    configure(&home, |config| (config.scheduler.policy, config.scheduler.places) = ("fcfs-slots".to_owned(), 1));
    let price = PriceComponent { dimension: TariffDimension::Energy, price: Amount::from_micro(250_000) };
    let document = Tariff {
        time_zone: "UTC0".to_owned(),
        elements: vec![TariffElement { price_components: vec![price], restrictions: TariffRestrictions::default() }],
        min_price: None,
        max_price: None,
        vat_basis_points: 0,
        parking_grace: Duration::ZERO,
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    let valid_from = Timestamp::from_ms(u64::try_from(now).unwrap() + 3_600_000);
    let running = home.start(&[]);
    home.orders([
        Call::PutGroup(PutGroup { group: GroupId::new(home.condominium, 1), parent: None, limit: Currents::from_ma([32_000; 3]) }),
        Call::PutTariff(PutTariff { tariff: TariffId::new(home.condominium, 1), version: 1, valid_from, document }),
        point(&home, 1, Control::Switched),
        point(&home, 2, Control::MeterOnly),
    ]);
    let (code, found) = doctor(&home, &[]);
    assert_eq!(code, Some(0), "{}", found.text());
    let words = "scheduler.places is 1, and each point without a switch keeps one of them (1): no car ever charges at the others (1)";
    names(&found, "scheduler_places", Standing::Warning, words);
    home.logs(words);

    // A unit was given to any connector without a word, and nobody learned why it never charged.
    let add = |connector: &str| {
        let output = home.wattd(&["unit", "add", "--connector", connector]);
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, told) = add("1-1");
    assert!(code == Some(0) && !told.contains("warning"), "{told}");
    let (code, told) = add("1-9");
    assert!(code == Some(0) && told.contains("no connector 1-9 yet") && told.contains("has 1-1, 1-2."), "{told}");
    let (code, told) = add("2-1");
    assert!(code == Some(1) && told.contains("of no condominium of this chain, which has 1 ("), "{told}");
    let listed = home.done(&["unit", "list"]);
    assert!(listed.contains("1-9") && !listed.contains("2-1"), "{listed}");
    running.stop();
    let (code, told) = add("1-8");
    assert!(code == Some(0) && told.contains("no connector 1-8 yet") && told.contains("has 1-1, 1-2."), "without the node: {told}");
    names(&doctor(&home, &[]).1, "scheduler_places", Standing::Warning, words);
    configure(&home, |config| config.scheduler.places = 2);
    names(&doctor(&home, &[]).1, "scheduler_places", Standing::Ok, "enough");
    configure(&home, |config| config.scheduler.places = 0);
    names(&doctor(&home, &[]).1, "config", Standing::Wrong, "fcfs-slots needs 1 or more");
}

#[test]
fn a_doctor_asks_a_node_that_runs() {
    let home = Home::found();
    home.wattd(&["unit", "add", "--connector", "1-17"]);
    let running = home.start(&[]);
    home.sell(1);
    let own = home.api.to_string();
    let (code, found) = doctor(&home, &["--other", &own]);
    assert!(code == Some(0) && found.healthy, "{}", found.text());
    names(&found, "process", Standing::Ok, "runs");
    names(&found, "api", Standing::Ok, &own);
    names(&found, "clock", Standing::Ok, "");
    names(&found, "gateway", Standing::Ok, "answers");
    names(&found, "role_gateway", Standing::Ok, "Gateway");
    names(&found, "role_scheduler", Standing::Ok, "Scheduler");
    names(&found, "unit", Standing::Warning, "1-17 was never heard");
    names(&found, "other", Standing::Ok, "follows the same chain");
    names(&found, "database", Standing::Unknown, "it checked all of it at its start");

    let stranger = Home::found();
    let second = stranger.start(&[]);
    let (code, found) = doctor(&home, &["--other", &stranger.api.to_string(), "--other", "127.0.0.1:1"]);
    assert_eq!(code, Some(1));
    names(&found, "other", Standing::Wrong, "follows chain");
    names(&found, "other", Standing::Wrong, "nobody listens there");
    // The directory of one node, the address of another.
    configure(&home, |config| config.api.listen = stranger.api);
    let (code, found) = doctor(&home, &[]);
    assert_eq!(code, Some(1));
    names(&found, "chain", Standing::Wrong, "genesis.json");
    configure(&home, |config| config.api.listen = "127.0.0.1:1".parse().unwrap());
    let (code, found) = doctor(&home, &[]);
    assert_eq!(code, Some(1));
    names(&found, "api", Standing::Wrong, "nobody listens there");
    second.stop();
    running.stop();
}

/// A key without the role was put in the old one's place, and the next start had a gateway that the chain refused.
#[test]
fn a_key_that_the_chain_has_not_given_the_role_takes_nobodys_place() {
    let home = Home::found();
    home.done(&["key", "next", "gateway"]);
    let keys = || {
        let keys = [KeyName::Gateway.file(home.data.path()), KeyName::Gateway.next_file(home.data.path())];
        keys.map(|file| fs::read_to_string(file).unwrap())
    };
    let before = keys();
    let refused = |code: &str| {
        let output = home.wattd(&["key", "adopt", "gateway"]);
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(1) && words.contains(code) && keys() == before, "{words}");
        words
    };
    refused("role_unknown: ");
    let running = home.start(&[]);
    let words = refused("key_without_role: condominium 1 ");
    assert!(words.contains("watt admin role rotate gateway --from watt1"), "{words}");
    running.stop();
    refused("key_without_role: condominium 1 ");
}

/// Four operators called `wattd doctor` before anybody had started, and an auditor on an observer that followed through the two that list it: all were told that
/// something is wrong.
#[test]
fn a_doctor_finds_nothing_wrong_before_the_first_start_and_on_an_observer_that_somebody_lists() {
    let homes = federate(4);
    let (code, found) = doctor(&homes[0], &[]);
    assert!(code == Some(0) && found.healthy, "{}", found.text());
    assert_eq!(found.of("peer_reachable").filter(|finding| finding.standing == Standing::Warning).count(), 3, "{}", found.text());
    let foreign = homes[0].wattd(&["unit", "add", "--connector", "2-1"]);
    let told = String::from_utf8_lossy(&foreign.stderr).into_owned();
    assert!(told.contains("2-1 is of condominium 2 (") && told.contains("and this node of 1 ("), "{told}");

    let (listed, peer) = observe(&homes, "AUDIT");
    homes[0].add_peer(&peer);
    let (stranger, _) = observe(&homes, "STRANGER");
    let running: Vec<_> = homes.iter().chain([&listed, &stranger]).map(|home| home.start(&[])).collect();
    let until = Instant::now() + PATIENCE;
    let found = loop {
        let (code, found) = doctor(&listed, &[]);
        if found.of("peer_connected").any(|finding| finding.standing == Standing::Ok) {
            assert!(code == Some(0) && found.healthy, "{}", found.text());
            break found;
        }
        assert!(Instant::now() < until, "{}", found.text());
    };
    names(&found, "peer_connected", Standing::Warning, "does not list this observer");
    // What `watt node status` says comes from these.
    let says = |home: &Home, words: &str| home.http("GET", "/metrics", &[]).unwrap().1.lines().any(|line| line == words);
    assert!(says(&homes[0], "commonwatt_votes 1") && says(&homes[0], "commonwatt_validators_needed 3"));
    assert!(says(&listed, "commonwatt_votes 0") && says(&stranger, "commonwatt_validators_connected 0"));
    while !says(&homes[0], "commonwatt_validators_connected 4") {
        assert!(Instant::now() < until, "{}", homes[0].logged());
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    let (code, found) = doctor(&stranger, &[]);
    assert_eq!(code, Some(1));
    assert!(found.of("peer_connected").count() == 4 && found.of("peer_connected").all(|finding| finding.standing == Standing::Wrong));
    drop(running);
}
