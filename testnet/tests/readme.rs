//! A resident who has read README.md and nothing else: from an empty wallet to a charge that a card started, its refund, and a proof that holds without a node; and
//! an auditor who has read it too.
//!
//! Every command is one that the page shows, in its order; what a person would be asked is given by flags. It needs `wattd` and `watt` beside `watt-testnet`:
//! `./dev test` builds them, and `cargo build --workspace --bins` does.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

use std::{
    cell::Cell,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use testnet::federation;

/// Long enough for any machine; nothing is judged by it.
const PATIENCE: Duration = Duration::from_secs(120);

/// What the car draws before it leaves, Wh: less than the page's, which takes half a minute.
const ENOUGH_WH: u64 = 20;

/// The commands of the page, in order, without remarks and needless spaces.
fn commands() -> Vec<String> {
    let page = std::fs::read_to_string("../README.md").unwrap();
    let mut inside = false;
    let mut commands = Vec::new();
    for line in page.lines() {
        if line.starts_with("```") {
            inside = line == "```sh";
        } else if inside && ["watt ", "wattd ", "watt-testnet "].iter().any(|name| line.starts_with(name)) {
            let bare = line.split(" # ").next().unwrap_or_default();
            commands.push(bare.split_whitespace().collect::<Vec<_>>().join(" "));
        }
    }
    commands
}

/// Somebody who types what the page shows.
struct Reader {
    folder: tempfile::TempDir,
    programs: PathBuf,
    /// API, gateway, network.
    ports: [u16; 3],
    page: Vec<String>,
    /// How far down the page he is.
    place: Cell<usize>,
    node: Option<Child>,
}

impl Drop for Reader {
    fn drop(&mut self) {
        if let Some(node) = &mut self.node {
            let _ = node.kill();
            let _ = node.wait();
        }
    }
}

impl Reader {
    fn new() -> Self {
        let ports = federation::free_ports::<3>().unwrap().map(|address| address.port());
        let programs = federation::wattd_beside_us().unwrap().parent().unwrap().to_owned();
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [("passphrase", "correct horse"), ("card", "04:A2:24:6F:11:22:33")] {
            cli::keystore::write_new(&folder.path().join(name), text.as_bytes()).unwrap();
        }
        Self { folder, programs, ports, page: commands(), place: Cell::new(0), node: None }
    }

    fn command(&self, line: &str, more: &[&str]) -> Command {
        let words: Vec<&str> = line.trim_end_matches(" &").split_whitespace().collect();
        let mut command = Command::new(self.programs.join(words[0]));
        command.args(&words[1..]).args(more).current_dir(self.folder.path()).stdin(Stdio::null()).env_remove("WATT_WALLET");
        command.env("WATT_HOME", self.folder.path().join("home")).env("WATT_NODE", format!("http://127.0.0.1:{}", self.ports[0]));
        if words[0] == "watt" {
            command.args(["--passphrase-file", "passphrase", "--yes"]);
        }
        command
    }

    /// Types a line that the page has after the one before; `real` stands for what the page cannot know.
    fn types(&self, line: &str, real: &[(&str, &str)], more: &[&str]) -> String {
        let rest = &self.page[self.place.get()..];
        let found = rest.iter().position(|shown| shown == line);
        self.place.set(self.place.get() + found.unwrap_or_else(|| panic!("README.md does not show `{line}` here: {rest:#?}")) + 1);
        self.again(line, real, more).unwrap_or_else(|told| panic!("`{line}`: {told}"))
    }

    fn again(&self, line: &str, real: &[(&str, &str)], more: &[&str]) -> Result<String, String> {
        let line = real.iter().fold(line.to_owned(), |line, (shown, real)| line.replace(shown, real));
        let output = self.command(&line, more).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.success() { Ok(String::from_utf8(output.stdout).unwrap()) } else { Err(told) }
    }

    /// Types how the node is started, wherever on the page he is.
    fn runs(&mut self) {
        let run = "wattd run --data tro &";
        assert!(self.page.iter().any(|line| line == run), "README.md does not show `{run}`");
        let log = std::fs::File::options().create(true).append(true).open(self.folder.path().join("log")).unwrap();
        self.node = Some(self.command(run, &[]).stdout(Stdio::null()).stderr(log).spawn().unwrap());
    }

    /// Types it until it succeeds.
    fn tries(&self, line: &str, real: &[(&str, &str)], more: &[&str]) -> String {
        let until = Instant::now() + PATIENCE;
        loop {
            match self.again(line, real, more) {
                Ok(said) => return said,
                Err(told) => assert!(Instant::now() < until, "`{line}`: {told}"),
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

/// The value behind a name in what a program said.
fn value<'a>(said: &'a str, name: &str) -> &'a str {
    said.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("no {name}: {said}")).trim()
}

/// Beyond the page, by docs/cli.md: what the node would refuse is refused in a rehearsal too, and a transaction that was signed without the node is taken by it.
fn tries_and_carries(reader: &Reader) {
    let shown = reader.again("watt --wallet treasurer wallet show", &[], &[]).unwrap();
    let treasurer = [("watt1…", value(&shown, "address"))];
    let told = reader.again("watt --wallet ana wallet send watt1… 5000 --dry-run", &treasurer, &[]).unwrap_err();
    assert!(told.contains("insufficient_funds"), "{told}");
    let told = reader.again("watt --wallet ana wallet send watt1… 1 --dry-run", &treasurer, &[]).unwrap();
    assert!(told.contains("effect"), "{told}");
    reader.again("watt --wallet ana chain prepare prepared.json", &[], &[]).unwrap();
    let mut offline = reader
        .command(&format!("watt --wallet ana wallet send {} 1 --offline --prepared prepared.json --out carried.json", treasurer[0].1), &[]);
    let signed = offline.env_remove("WATT_NODE").output().unwrap();
    assert!(signed.status.success(), "{}", String::from_utf8_lossy(&signed.stderr));
    let first = reader.again("watt chain submit carried.json", &[], &["--output", "json"]).unwrap();
    let again = reader.again("watt chain submit carried.json", &[], &["--output", "json"]).unwrap();
    assert_eq!(first, again, "once is all that it does");
    let balance = reader.again("watt --wallet ana wallet balance", &[], &[]).unwrap();
    assert!(balance.contains("49.00 EUR"), "{balance}");
    let doctor = reader.again("watt doctor --wallet ana", &[], &[]).unwrap();
    assert!(doctor.contains("looked at: 0 wrong"), "{doctor}");
    let doctor = reader.again("wattd doctor --data tro", &[], &[]).unwrap();
    assert!(doctor.contains("looked at: 0 wrong"), "{doctor}");
}

#[test]
fn a_resident_goes_from_an_empty_wallet_to_a_proven_bill_by_the_readme_alone() {
    let mut reader = Reader::new();
    let [api, gateway, network] = reader.ports.map(|port| format!("127.0.0.1:{port}"));
    let network = network.replace("127.0.0.1:", "/ip4/127.0.0.1/tcp/");

    // The operator.
    let listen = ["--api-listen", &api, "--gateway-listen", &gateway, "--network-listen", &network];
    let founded = reader.types("wattd init --data tro --name TRO", &[], &listen);
    let chain = value(&founded, "chain").to_owned();
    reader.runs();
    reader.types("watt wallet import --wallet manager --key-file tro/keys/manager.key", &[], &[]);
    reader.types("watt wallet import --wallet treasurer --key-file tro/keys/treasurer.key", &[], &[]);
    reader.tries("watt chain status", &[], &[]);
    reader.types("watt --wallet manager admin group put 1-1 --limit 63", &[], &[]);
    let tariff =
        "watt --wallet manager admin tariff put 1-1 --price 0.25 --night-price 0.15 --night 22:00-07:00 --zone CET-1CEST,M3.5.0,M10.5.0/3";
    // The page waits a minute for the tariff; nobody here has one.
    reader.types(tariff, &[], &["--from", "+2s"]);
    reader.types("watt --wallet manager admin connector put 1-17 --group 1 --rated 32 --tariff 1 --plug", &[], &[]);
    reader.types("wattd unit add --data tro --connector 1-17", &[], &[]);

    // The resident, with nothing.
    reader.types("watt wallet new --wallet ana", &[], &["--phrase-file", "words"]);
    let shown = reader.types("watt --wallet ana wallet receive", &[], &[]);
    let address = value(&shown, "address").to_owned();
    let ana = [("watt1…", address.as_str())];
    assert!(!shown.contains("anyone can send"), "{shown}");
    reader.types("watt --wallet treasurer admin sell watt1… 50", &ana, &["--no-reference"]);
    let quote = "watt --wallet ana charge quote 1-17 --energy 10";
    reader.tries(quote, &[], &[]);
    assert!(reader.types(quote, &[], &[]).contains("10.000 kWh"));
    let grant = "watt --wallet ana mandate grant --session 10 --day 20 --per-kwh 0.30";
    assert!(reader.again(grant, &[], &["--dry-run"]).unwrap().contains("this was a rehearsal"));
    assert!(reader.again("watt --wallet ana mandate list", &[], &[]).unwrap().contains("There is no mandate"), "nothing was submitted");
    reader.types(grant, &[], &[]);
    tries_and_carries(&reader);
    let gateway = format!("http://{gateway}");
    let bind = "watt --wallet manager admin card bind watt1… --uid-file card";
    reader.types(bind, &ana, &["--gateway", &gateway]);

    // The card is held to the reader, and nothing else is done.
    let less = format!("--wh {ENOUGH_WH}");
    let unit = "watt-testnet unit --data tro --connector 1-17 --uid-file card --wh 200";
    let charged = reader.types(unit, &[("--wh 200", &less)], &["--gateway", &gateway]);
    for told in ["the card is accepted", "the relay closed", "the car has what it wanted", "the plug is pulled", "the relay opened"] {
        assert!(charged.contains(told), "no `{told}`: {charged}");
    }

    let until = Instant::now() + PATIENCE;
    let list = "watt --wallet ana session list";
    reader.types(list, &[], &[]);
    let settled: serde_json::Value = loop {
        let said = reader.again(list, &[], &["--state", "settled", "--output", "json"]).unwrap();
        let page: serde_json::Value = serde_json::from_str(&said).unwrap();
        if let Some(found) = page["items"].as_array().and_then(|items| items.first()) {
            break found["settled"].clone();
        }
        assert!(Instant::now() < until, "{said}");
        std::thread::sleep(Duration::from_millis(200));
    };
    let number =
        |name: &str| settled["receipt"][name].as_str().and_then(|text| text.parse::<u64>().ok()).unwrap_or_else(|| panic!("{settled}"));
    assert_eq!(number("energy"), ENOUGH_WH, "what the car drew is what was billed: {settled}");
    let (escrow, paid, refund) = (number("escrow"), number("paid"), number("refund"));
    assert!(paid > 0 && refund > 0 && paid + refund == escrow, "{settled}");

    let session = settled["id"].as_str().unwrap().to_owned();
    let own = [("5f0c9a", &session[..6])];
    reader.types("watt --wallet ana session receipt 5f0c9a --proof receipt.json", &own, &[]);
    // The node is away.
    let mut node = reader.node.take().unwrap();
    node.kill().unwrap();
    node.wait().unwrap();
    let gone = reader.again(unit, &[("--wh 200", &less)], &["--gateway", &gateway]).unwrap_err();
    assert!(gone.contains("gateway_away"), "{gone}");
    let verified = reader.types("watt audit verify receipt.json --genesis CHAIN_ID", &[("CHAIN_ID", &chain)], &[]);
    assert!(verified.contains(&session) && verified.contains("relying on"), "{verified}");

    // The auditor.
    reader.runs();
    reader.types("watt wallet new --wallet auditor", &[], &["--phrase-file", "auditor's words"]);
    let shown = reader.again("watt --wallet auditor wallet show", &[], &[]).unwrap();
    let auditor = [("watt1…", value(&shown, "address"))];
    reader.tries("watt chain status", &[], &[]);
    reader.types("watt --wallet manager admin resident add watt1… --condominium 1", &auditor, &[]);
    reader.types("watt --wallet manager admin role grant auditor watt1… --condominium 1", &auditor, &[]);
    let replay = "watt --wallet auditor audit replay --node http://127.0.0.1:8420";
    let node = [("http://127.0.0.1:8420", format!("http://{api}"))];
    let replayed = reader.types(replay, &[(node[0].0, &node[0].1)], &["--chain-id", &chain]);
    assert!(replayed.contains("everything is as the rules demand"), "{replayed}");
}
