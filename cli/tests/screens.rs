//! What the commands show: lists for spreadsheets, names of condominiums, completions, manual pages, and what a doctor finds.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

mod fake;
mod federation;

use std::{collections::BTreeMap, os::unix::fs::PermissionsExt as _, process::Output};

use chain::{
    api::{BlockView, Health, MonitorView, Page, RoleView, SessionView, Status},
    block::{HEADER_VERSION, Header},
    diagnosis::{Diagnosis, Standing},
    genesis_kind::NetworkKind,
    hash::Hash32,
    id::{CondominiumId, ConnectorId, Height},
    quantity::{Amount, Currents, WattHours},
    record::{Control, PlugSignal, Role, RoleGrant, Service},
    time::Duration,
};

use crate::fake::{Fake, Home, NOW, account, chain_id, genesis, status, validator};

const NOBODY: &str = "http://127.0.0.1:1";

fn told(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}

/// The columns of each list, as docs/cli.md names them.
fn documented() -> BTreeMap<String, String> {
    let page = std::fs::read_to_string("../docs/cli.md").unwrap();
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | "));
    rows.map(|(list, columns)| (list.to_owned(), columns.trim_end_matches(" |").replace(", ", ","))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_list_has_the_columns_that_the_page_documents_even_when_it_is_empty() {
    let home = Home::new();
    let fake = Fake::default();
    let nothing = || Page::<SessionView> { items: Vec::new(), next: None };
    let (own, id) = (home.address(), "5".repeat(64));
    fake.json("/status", &status());
    for path in [
        "/sessions",
        "/blocks",
        "/redemptions",
        "/connectors",
        "/monitor",
        "/groups",
        "/cards",
        "/tariffs",
        "/clearings",
        "/payments",
        "/positions",
    ] {
        fake.json(path, &nothing());
    }
    for path in [
        format!("/sessions/{id}/readings"),
        format!("/accounts/{own}/transactions"),
        format!("/accounts/{own}/mandates"),
        format!("/accounts/{own}/starts"),
    ] {
        fake.json(&path, &nothing());
    }
    let grant = RoleGrant { from: Height(3), until: None };
    let held = RoleView { condominium: CondominiumId(1), role: Role::Auditor, account: own, grant, suspension: None };
    fake.json("/roles", &Page { items: vec![held], next: None });
    fake.answer("/condominiums", 200, "{\"items\":[],\"next\":null}");
    let statement = serde_json::json!({"number": 1, "from": null, "until": null, "roaming": [], "payments": []});
    fake.json("/clearings/next", &statement).answer("/metrics", 200, "");
    let url = fake.listen().await;
    let documented = documented();
    let lists: [(&str, Vec<&str>); 21] = [
        ("session list", vec![]),
        ("session readings", vec![&id]),
        ("chain block", vec![]),
        ("chain account --transactions", vec![]),
        ("wallet list", vec![]),
        ("mandate list", vec![]),
        ("charge confirm --list", vec![]),
        ("admin redeem list", vec![]),
        ("admin connector list", vec![]),
        ("admin monitor", vec![]),
        ("admin meter list", vec![]),
        ("audit evidence list", vec![]),
        ("admin group list", vec![]),
        ("admin card list", vec![]),
        ("admin tariff list`, `show", vec![]),
        ("clearing list", vec![]),
        ("clearing show", vec![]),
        ("clearing payments", vec![]),
        ("clearing positions", vec![]),
        ("gateway list", vec![]),
        ("node peers", vec![]),
    ];
    for (list, more) in lists {
        let words = list.split('`').next().unwrap().split(' ');
        let (code, out, err) = told(&home.watt(&url, &words.chain(more).chain(["--output", "csv"]).collect::<Vec<_>>()));
        assert_eq!(code, 0, "{list}: {err}");
        let mut lines = out.split("\r\n");
        assert_eq!(lines.next(), documented.get(list).map(String::as_str), "{list} is not as docs/cli.md says");
        assert!(lines.all(|line| line.is_empty() || list == "wallet list"), "{list}: {out}");
    }
    // What is no list has a line for each field; what is followed is no table at all.
    let (code, out, _) = told(&home.watt(&url, &["chain", "status", "--output", "csv"]));
    assert!(code == 0 && out.starts_with("field,value\r\n") && out.contains("status.height,7\r\n"), "{out}");
    let (code, _, err) = told(&home.watt(&url, &["charge", "watch", &id, "--output", "csv"]));
    assert_eq!(code, 2, "{err}");
}

/// Roles and profiles have no list that can be empty: the columns are looked at with a row below them.
#[tokio::test(flavor = "multi_thread")]
async fn roles_and_profiles_have_the_documented_columns_and_a_row_for_each() {
    let home = Home::new();
    let fake = Fake::default();
    let grant = RoleGrant { from: Height(3), until: Some(Height(90)) };
    let held = RoleView { condominium: CondominiumId(1), role: Role::Auditor, account: home.address(), grant, suspension: None };
    let open = RoleView { role: Role::Gateway, grant: RoleGrant { from: Height(0), until: None }, ..held };
    fake.json("/status", &status()).json("/roles", &Page { items: vec![held, open], next: None });
    let mut sums = serde_json::json!({"id": 1, "condominium": condominium(), "conserved": true});
    for name in ["balance", "held", "debt", "owed_to", "owed_by"] {
        sums[name] = "0".into();
    }
    fake.answer("/condominiums", 200, serde_json::json!({"items": [sums], "next": null}).to_string());
    let url = fake.listen().await;
    let documented = documented();
    let (code, out, err) = told(&home.watt(&url, &["admin", "role", "list", "--output", "csv"]));
    let own = home.address();
    assert_eq!((code, err.as_str()), (0, ""));
    assert_eq!(out, format!("{}\r\n1,auditor,{own},3,90,,\r\n1,gateway,{own},0,,,\r\n", documented["admin role list"]));

    let set = |arguments: &[&str]| assert_eq!(told(&home.watt(&url, &[&["config", "set"], arguments].concat())).0, 0);
    set(&["node", "http://10.0.0.5:8420"]);
    set(&["wallet", "treasurer", "--profile", "office"]);
    let (code, out, err) = told(&home.watt(&url, &["config", "list", "--output", "csv"]));
    assert_eq!((code, err.as_str()), (0, ""));
    let rows = "default,node,http://10.0.0.5:8420\r\noffice,wallet,treasurer\r\n";
    assert_eq!(out, format!("{}\r\n{rows}", documented["config list"]));
}

fn condominium() -> chain::record::Condominium {
    let none = Amount::ZERO;
    chain::record::Condominium {
        name: "TRO".to_owned(),
        revenue: chain::crypto::address_of(&validator()),
        mint_cap_per_day: none,
        position_limit: none,
        minted: none,
        redeemed: none,
        next_sale: 1,
        mint_day: 0,
        minted_today: none,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_and_its_gateway_are_shown_as_they_say_they_are() {
    let home = Home::new();
    let fake = well(&home);
    fake.json("/challenges", &challenge(genesis().validators[0].network_key)).json("/challenges", &challenge(Hash32([4; 32])));
    let peer = |name: &str, value: u8| format!("commonwatt_peer_connected{{address=\"/dns4/{name}/tcp/8422/p2p/12D3Koo\"}} {value}\n");
    fake.answer("/metrics", 200, format!("# TYPE commonwatt_peer_connected gauge\n{}{}", peer("north", 1), peer("south", 0)));
    let point = |number| chain::api::ConnectorView {
        id: ConnectorId::new(CondominiumId(1), number),
        connector: chain::record::Connector {
            group: 1,
            control: Control::Switched,
            plug_signal: PlugSignal::None,
            rated: Currents::from_ma([10_000, 0, 0]),
            tariff: 1,
            service: Service::InService,
            fault: None,
            session: None,
            last_register: WattHours::new(0),
            unassigned: WattHours::new(0),
        },
        free: true,
        meter: None,
        meter_proposal: None,
    };
    fake.json("/connectors", &Page { items: vec![point(1), point(2)], next: None });
    let unit = |number, heard_at| MonitorView {
        connector: ConnectorId::new(CondominiumId(1), number),
        session: None,
        heard_at,
        sample: None,
        found: Vec::new(),
        estimate: None,
    };
    fake.json("/monitor", &Page { items: vec![unit(9, None), unit(2, Some(NOW))], next: None });
    let url = fake.listen().await;
    let watt = |arguments: &[&str]| {
        let (code, out, err) = told(&home.watt(&url, arguments));
        assert_eq!((code, err.as_str()), (0, ""), "{arguments:?}: {out}");
        out
    };
    let seen = watt(&["node", "status"]);
    for words in ["validator of condominium 1", "1 of 2 nodes", "7"] {
        assert!(seen.contains(words), "{seen}");
    }
    let seen: serde_json::Value = serde_json::from_str(&watt(&["node", "status", "--output", "json"])).unwrap();
    assert!(seen["vote"] == "observer" && seen["peers_connected"] == 1, "{seen}");
    let csv = watt(&["node", "status", "--output", "csv"]);
    assert!(csv.starts_with("field,value\r\n") && csv.contains("height,7\r\n"), "{csv}");
    assert!(csv.contains("now,2020-09-13T12:26:40.000Z\r\n"), "the milliseconds had no unit: {csv}");
    let csv = watt(&["admin", "connector", "list", "--output", "csv"]);
    assert!(csv.contains("1-1,yes,in_service,,,1,1,10000,0,0,switched,none,0,0\r\n"), "sentences are for people: {csv}");
    assert!(watt(&["node", "peers"]).contains("/dns4/south/tcp/8422"));
    let rows = "/dns4/north/tcp/8422/p2p/12D3Koo,yes\r\n/dns4/south/tcp/8422/p2p/12D3Koo,no\r\n";
    assert_eq!(watt(&["node", "peers", "--output", "csv"]), format!("peer,connected\r\n{rows}"));
    let seen: serde_json::Value = serde_json::from_str(&watt(&["node", "peers", "--output", "json"])).unwrap();
    assert_eq!(seen[1]["connected"], false, "{seen}");

    let seen = watt(&["gateway", "list"]);
    assert!(seen.contains("never") && seen.contains("not on the chain"), "{seen}");
    let csv = watt(&["gateway", "list", "--output", "csv"]);
    let rows: Vec<&str> = csv.lines().skip(1).collect();
    assert_eq!(rows.len(), 3, "{csv}");
    assert!(rows[0].starts_with("1-1,yes,") && rows[0].ends_with(",no,"), "{csv}");
    assert!(rows[1].ends_with(",yes,2020-09-13T12:26:40.000Z"), "{csv}");
    assert_eq!(rows[2], "1-9,no,,yes,");
    let seen: serde_json::Value = serde_json::from_str(&watt(&["gateway", "list", "--output", "json"])).unwrap();
    assert!(seen[0]["unit"] == false && seen[2]["on_chain"] == false, "{seen}");
}

#[test]
fn a_flag_goes_before_the_environment_that_before_the_profile_and_that_before_the_default() {
    let home = Home::new();
    // The environment of a test has no node but the one that it names.
    let watt = |node: Option<&str>, arguments: &[&str]| {
        let mut command = home.command(arguments);
        match node {
            Some(node) => command.env("WATT_NODE", node),
            None => command.env_remove("WATT_NODE"),
        };
        told(&command.output().unwrap())
    };
    let asked = |node: Option<&str>, more: &[&str]| {
        let (code, _, err) = watt(node, &[&["chain", "status"], more].concat());
        assert_eq!(code, 4, "{err}");
        err.split("http://").nth(1).unwrap().split(' ').next().unwrap().to_owned()
    };
    assert_eq!(asked(None, &[]), "127.0.0.1:8420");
    let (code, out, err) = watt(None, &["config", "set", "node", "http://127.0.0.1:1"]);
    assert!(code == 0 && out.contains("http://127.0.0.1:1"), "{err}");
    assert_eq!(watt(None, &["config", "set", "node", "http://127.0.0.1:3", "--profile", "other"]).0, 0);
    assert_eq!(asked(None, &[]), "127.0.0.1:1");
    assert_eq!(asked(None, &["--profile", "other"]), "127.0.0.1:3");
    assert_eq!(asked(Some("http://127.0.0.1:2"), &[]), "127.0.0.1:2");
    assert_eq!(asked(Some("http://127.0.0.1:2"), &["--node", "http://127.0.0.1:4"]), "127.0.0.1:4");
    assert_eq!(watt(None, &["config", "set", "output", "json"]).0, 0);
    let (_, out, _) = watt(None, &["chain", "status"]);
    assert!(out.contains("\"unreachable\""), "{out}");
    for (arguments, expected) in [
        (&["config", "set", "node", "ftp://x"][..], 2),
        (&["config", "set", "output", "xml"], 2),
        (&["chain", "status", "--profile", "nobody"], 1),
        (&["config", "unset", "output"], 0),
    ] {
        let (code, _, err) = watt(None, arguments);
        assert_eq!(code, expected, "{arguments:?}: {err}");
    }
}

/// Bars are for eyes: what a program or a file gets must be the result alone.
#[test]
fn nothing_is_drawn_where_no_terminal_is() {
    let home = Home::new();
    let (export, _, _) = federation::evening();
    let file = home.path("chain.export");
    std::fs::write(&file, export).unwrap();
    let (code, out, err) = told(&home.watt(NOBODY, &["audit", "replay", file.to_str().unwrap(), "--output", "json"]));
    assert!(code == 0 && err.is_empty() && serde_json::from_str::<serde_json::Value>(&out).is_ok(), "{err:?} {out}");
}

#[test]
fn completions_and_manual_pages_know_every_command() {
    let home = Home::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let (code, out, err) = told(&home.watt("no address at all", &["completions", shell]));
        assert_eq!(code, 0, "{shell}: {err}");
        for word in ["clearing", "positions", "dry-run", "doctor"] {
            assert!(out.contains(word), "{shell} does not know {word}");
        }
    }
    let pages = home.path("pages/man1");
    let (code, _, err) = told(&home.watt("no address at all", &["man", pages.to_str().unwrap()]));
    assert_eq!(code, 0, "{err}");
    let names: Vec<String> = std::fs::read_dir(&pages).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert!(names.len() > 60, "{names:?}");
    let page = std::fs::read_to_string(pages.join("watt-charge-start.1")).unwrap();
    assert!(page.contains("Examples") && page.contains("max\\-spend"), "{page}");
}

#[test]
fn a_proof_is_checked_without_a_node_and_says_so_where_one_is_named() {
    let home = Home::new();
    let (code, _, err) = told(&home.watt("http://127.0.0.1:1", &["audit", "verify", "receipt.json", "--node", "http://127.0.0.1:2"]));
    assert!(code == 2 && err.contains("on this machine alone"), "{err}");
}

fn block(height: u64) -> BlockView {
    let header = Header {
        version: HEADER_VERSION,
        chain_id: chain_id(),
        height: Height(height),
        parent: Hash32::ZERO,
        history_root: Hash32::ZERO,
        timestamp: NOW,
        proposer: chain::crypto::address_of(&validator()),
        transactions_root: Hash32::ZERO,
        receipts_root: Hash32::ZERO,
        state_root: Hash32::ZERO,
        next_validators: Hash32::ZERO,
    };
    BlockView { hash: header.hash(), header, transactions: Vec::new(), round: 0 }
}

/// The challenge of the node with this key.
fn challenge(node: Hash32) -> chain::sign_in::Challenge {
    chain::sign_in::Challenge {
        chain_id: chain_id(),
        node,
        nonce: Hash32::ZERO,
        expires_at: NOW.saturating_add(Duration::from_mins(1)),
        seal: Hash32::ZERO,
    }
}

/// It said `ready yes` while it watched, while two of four were down, and at height 0 where nobody spoke to it.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_watches_or_waits_for_others_is_not_called_ready() {
    let home = Home::new();
    let (validator, observer) = (genesis().validators[0].network_key, Hash32([4; 32]));
    let cases = [
        (validator, [1, 4, 3], 3, "validator of condominium 1", "yes"),
        (
            validator,
            [1, 2, 3],
            1,
            "validator of condominium 1",
            "no: the chain waits: it needs 3 validators that vote, and this node sees 2",
        ),
        (validator, [0, 3, 3], 3, "watching: the validator of condominium 1", "no: it watches"),
        (validator, [0, 2, 3], 2, "watching: the validator of condominium 1", "no: the chain waits"),
        (observer, [0, 1, 3], 1, "observer: it follows without a vote", "yes"),
        (observer, [0, 0, 3], 0, "observer: it follows without a vote", "no: nobody speaks to it"),
    ];
    for (node, [votes, seen, needed], connected, role, ready) in cases {
        let fake = well(&home);
        let peers = (0..3).map(|peer| format!("commonwatt_peer_connected{{address=\"{peer}\"}} {}\n", u8::from(peer < connected)));
        let gauges = [("votes", votes), ("validators_connected", seen), ("validators_needed", needed)];
        let metrics = gauges.map(|(name, value)| format!("# TYPE commonwatt_{name} gauge\ncommonwatt_{name} {value}\n")).concat();
        fake.json("/challenges", &challenge(node)).answer("/metrics", 200, peers.collect::<String>() + &metrics);
        let (code, out, err) = told(&home.watt(&fake.listen().await, &["node", "status"]));
        let row = |name: &str| out.lines().find_map(|line| line.trim().strip_prefix(name)).unwrap_or_default().trim().to_owned();
        assert_eq!(code, 0, "{err}");
        assert!(row("role").starts_with(role) && row("ready").starts_with(ready), "{role}, {ready}: {out}");
        assert_eq!(row("connected"), format!("{connected} of 3 nodes"), "{out}");
    }
}

/// A node about which there is nothing to say but that it is alone.
fn well(home: &Home) -> Fake {
    let fake = Fake::default();
    let version = concat!(env!("CARGO_PKG_VERSION"), "+0badcafe").to_owned();
    fake.json("/status", &Status { version, ..status() }).json("/genesis", &genesis());
    fake.json("/health", &Health { ready: true, height: Height(7), problems: Vec::new() });
    fake.json("/blocks/7", &block(7)).json("/blocks/5", &block(5));
    fake.json(&format!("/accounts/{}", home.address()), &account(home.address(), 3));
    fake
}

/// The exit code and the diagnosis.
fn diagnosed(home: &Home, node: &str, more: &[&str]) -> (i32, Diagnosis) {
    let (code, out, err) = told(&home.watt(node, &[&["doctor", "--output", "json"], more].concat()));
    (code, serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out} {err}")))
}

#[track_caller]
fn names(found: &Diagnosis, check: &str, standing: Standing, words: &str) {
    let fits = found.of(check).any(|finding| {
        finding.standing == standing && finding.found.contains(words) && (standing != Standing::Wrong || finding.next.is_some())
    });
    assert!(fits, "no {check} {standing:?} with {words:?}: {}", found.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_doctor_finds_nothing_wrong_where_nothing_is() {
    let home = Home::new();
    let url = well(&home).listen().await;
    let (code, found) = diagnosed(&home, &url, &["--other", &url]);
    assert!(code == 0 && found.healthy, "{}", found.text());
    names(&found, "account", Standing::Ok, "registered");
    names(&found, "other", Standing::Ok, "follows the same chain");
    let (code, out, err) = told(&home.watt(&url, &["doctor"]));
    assert!(code == 0 && out.contains("looked at: 0 wrong") && !err.contains("error"), "{out}{err}");
    let (_, csv, _) = told(&home.watt(&url, &["doctor", "--output", "csv"]));
    assert_eq!(csv.split("\r\n").next(), documented().get("doctor").map(String::as_str));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_doctor_names_what_is_broken() {
    let home = Home::new();
    // Nobody answers, and others may read what is secret.
    let mode = |name: &str, mode| std::fs::set_permissions(home.path(name), std::fs::Permissions::from_mode(mode)).unwrap();
    mode("wallets/default.json", 0o644);
    mode("wallets", 0o755);
    std::fs::write(home.path("commitments.jsonl"), "").unwrap();
    mode("commitments.jsonl", 0o644);
    std::fs::write(home.path("checkpoints.json"), "{}").unwrap();
    let (code, found) = diagnosed(&home, NOBODY, &["--gateway", "127.0.0.1:1"]);
    assert_eq!((code, found.healthy), (1, false));
    for (check, words) in [
        ("wallet", "default"),
        ("wallets_folder", "mode 755"),
        ("commitments", "mode 644"),
        ("checkpoints", "checkpoints.json"),
        ("node", "cannot be reached"),
        ("gateway", "127.0.0.1:1"),
    ] {
        names(&found, check, Standing::Wrong, words);
    }
    mode("wallets/default.json", 0o600);
    mode("wallets", 0o700);
    mode("commitments.jsonl", 0o600);
    let own = block(5);
    let seen = |hash: Hash32| {
        let seen = serde_json::json!({"version": 1, "chains": [{"chain_id": chain_id(), "seen": [{"height": "5", "hash": hash}]}]});
        std::fs::write(home.path("checkpoints.json"), seen.to_string()).unwrap();
    };
    seen(own.hash);
    let url = well(&home).listen().await;
    let (code, found) = diagnosed(&home, &url, &[]);
    assert_eq!(code, 0, "{}", found.text());
    names(&found, "history", Standing::Ok, "verified here");
    seen(Hash32([6; 32]));
    let (code, found) = diagnosed(&home, &url, &[]);
    assert_eq!(code, 1);
    names(&found, "history", Standing::Wrong, "verified in its place");
    std::fs::remove_file(home.path("checkpoints.json")).unwrap();

    // Another version, a clock that is wrong, a chain that is none, work that waits, an account that nobody registered.
    let fake = Fake::default();
    let odd = Status {
        version: "0.0.9".to_owned(),
        kind: NetworkKind::Live,
        now: NOW.saturating_add(Duration::from_hours(1)),
        chain_id: chain::id::ChainId(Hash32([9; 32])),
        pending: 3,
        ..status()
    };
    fake.json("/status", &odd).json("/genesis", &genesis());
    fake.json("/health", &Health { ready: false, height: Height(0), problems: vec!["the database does not answer".to_owned()] });
    fake.problem(&format!("/accounts/{}", home.address()), 404, "unknown_account");
    let (code, found) = diagnosed(&home, &fake.listen().await, &["--other", &url]);
    assert_eq!(code, 1);
    names(&found, "version", Standing::Warning, "0.0.9");
    names(&found, "clock", Standing::Wrong, "the node's");
    names(&found, "chain", Standing::Wrong, "its genesis document is of");
    names(&found, "health", Standing::Wrong, "the database does not answer");
    names(&found, "pool", Standing::Warning, "3 transactions");
    names(&found, "account", Standing::Warning, "not registered");
    names(&found, "other", Standing::Wrong, "follows chain");

    // Another history of the same chain.
    let split = Fake::default();
    split.json("/status", &status()).json("/genesis", &genesis()).json("/blocks/7", &block(6));
    let (_, found) = diagnosed(&home, &url, &["--other", &split.listen().await]);
    names(&found, "other", Standing::Wrong, "another block at height 7");
    let (_, found) = diagnosed(&home, &url, &["--other", NOBODY]);
    names(&found, "other", Standing::Wrong, "cannot be reached");
    assert!(!found.text().contains(fake::PASSPHRASE));
}
