//! The real `wattd`, founded, started, asked over HTTP and ended as an operator would: for tests of what only a whole process shows.
#![allow(dead_code, reason = "each test file uses its own part")]

pub mod machine;

use std::{
    cell::Cell,
    fs::{self, File},
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
    sync::atomic::{AtomicU16, Ordering},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use chain::{crypto::address_of, hash::Hash32, id::CondominiumId, quantity::Amount, time::Timestamp};
use contracts::call::{Body, Call, SellTokens, Transaction, Transfer};
use ed25519_dalek::SigningKey;
use node::{
    data_dir::DataDir,
    keys::{self, KeyName},
};

use machine::Machine;

/// Long enough for any machine; nothing is judged by it.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// A founded node: a live chain on the machine's clock.
pub struct Home {
    pub folder: tempfile::TempDir,
    pub data: DataDir,
    pub api: SocketAddr,
    pub gateway: SocketAddr,
    pub network: SocketAddr,
    /// Whose treasurer sells.
    pub condominium: CondominiumId,
    /// By how much the clocks of the federation are ahead of this machine's, for what is signed.
    pub ahead_s: Cell<i64>,
}

/// The nodes of a federation of condominiums, one each, founded and joined on free ports.
pub fn federate(count: u32) -> Vec<Home> {
    federate_with(count, "{}")
}

/// The same with these parameters, as a JSON object.
pub fn federate_with(count: u32, params: &str) -> Vec<Home> {
    let homes: Vec<Home> = (1..=count)
        .map(|number| {
            let [api, gateway, network] = free_addresses();
            let folder = tempfile::tempdir().unwrap();
            let data = DataDir::new(folder.path().join("node"));
            let home = Home { folder, data, api, gateway, network, condominium: CondominiumId(number), ahead_s: Cell::new(0) };
            let (api, gateway, network) = (api.to_string(), gateway.to_string(), multiaddress(network));
            let name = format!("C{number}");
            home.done(&["prepare", "--name", &name, "--address", &network, "--api-listen", &api, "--gateway-listen", &gateway]);
            home
        })
        .collect();
    let out = homes[0].genesis_folder();
    let mut command = Command::new(env!("CARGO_BIN_EXE_wattd"));
    let file = homes[0].folder.path().join("params.json");
    fs::write(&file, params).unwrap();
    command.args(["genesis", "--network", "FED", "--out", &out, "--params"]).arg(file);
    for home in &homes {
        command.arg("--member").arg(home.data.path().join("member.json"));
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for home in &homes {
        home.done(&["join", "--from", &out]);
    }
    homes
}

/// An observer's node of a federation, and how the others name it.
pub fn observe(homes: &[Home], name: &str) -> (Home, String) {
    let [api, gateway, network] = free_addresses();
    let folder = tempfile::tempdir().unwrap();
    let data = DataDir::new(folder.path().join("node"));
    let home = Home { folder, data, api, gateway, network, condominium: CondominiumId(1), ahead_s: Cell::new(0) };
    let (api, address) = (api.to_string(), multiaddress(network));
    let from = homes[0].genesis_folder();
    let said = home.done(&["join", "--observer", "--name", name, "--address", &address, "--api-listen", &api, "--from", &from]);
    let peer = said.lines().find_map(|line| line.strip_prefix("peer")).unwrap().trim().to_owned();
    (home, peer)
}

fn multiaddress(address: SocketAddr) -> String {
    format!("/ip4/{}/tcp/{}", address.ip(), address.port())
}

/// Waits until all have the height of the furthest and gives it, with the state root that all have there.
pub fn agreed(homes: &[&Home]) -> (u64, String) {
    let height = homes.iter().map(|home| home.height()).max().unwrap();
    homes.iter().for_each(|home| home.reach(height));
    let roots: Vec<String> = homes.iter().map(|home| home.state_root(height)).collect();
    assert!(roots.iter().all(|root| *root == roots[0]), "state roots at {height}: {roots:?}");
    (height, roots[0].clone())
}

/// A `wattd` that runs; it does not outlive this.
pub struct Running<'a> {
    home: &'a Home,
    child: Child,
}

/// What became of a start.
#[derive(Debug)]
pub enum Outcome {
    /// It ended by itself, with an exit code and these words on standard error.
    Refused { code: i32, text: String },
    /// It went on from this height.
    Started { height: u64 },
}

impl Home {
    /// Founds a node on free ports.
    pub fn found() -> Self {
        let [api, gateway, network] = free_addresses();
        Self::found_at(api, gateway, network)
    }

    pub fn found_at(api: SocketAddr, gateway: SocketAddr, network: SocketAddr) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = DataDir::new(folder.path().join("node"));
        let home = Self { folder, data, api, gateway, network, condominium: CondominiumId(1), ahead_s: Cell::new(0) };
        let network = multiaddress(network);
        let (api, gateway) = (api.to_string(), gateway.to_string());
        let listen = ["--api-listen", &api, "--gateway-listen", &gateway, "--network-listen", &network];
        let output = home.wattd(&[&["init", "--name", "TRO"][..], &listen].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        home
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wattd"));
        command.args(arguments).arg("--data").arg(self.data.path()).stdin(Stdio::null());
        command
    }

    /// Runs a command of `wattd` to its end.
    pub fn wattd(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs a command that must succeed and gives what it said.
    pub fn done(&self, arguments: &[&str]) -> String {
        let output = self.wattd(arguments);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn genesis_folder(&self) -> String {
        self.folder.path().join("genesis").to_str().unwrap().to_owned()
    }

    /// A copy of a node that does not run, with addresses of its own: the same keys, the same disk.
    pub fn copy(&self) -> Self {
        let [api, gateway, network] = free_addresses();
        let folder = tempfile::tempdir().unwrap();
        let data = DataDir::new(folder.path().join("node"));
        let copied = Command::new("cp").arg("-r").arg(self.data.path()).arg(data.path()).status().unwrap();
        assert!(copied.success());
        let mut config = node::config::Config::read(&data.config_file()).unwrap();
        (config.api.listen, config.gateway.listen, config.network.listen) = (api, gateway, multiaddress(network));
        fs::write(data.config_file(), config.text().unwrap()).unwrap();
        Self { folder, data, api, gateway, network, condominium: self.condominium, ahead_s: self.ahead_s.clone() }
    }

    /// The number of the condominium's next sale, by this node.
    pub fn next_sale(&self) -> u64 {
        let (_, body) = self.http("GET", "/api/v1/condominiums", &[]).unwrap();
        let document: serde_json::Value = serde_json::from_str(&body).unwrap();
        let own = document["items"].as_array().unwrap().iter().find(|one| one["id"] == self.condominium.0);
        own.unwrap_or_else(|| panic!("{body}"))["condominium"]["next_sale"].as_str().unwrap().parse().unwrap()
    }

    /// Puts a peer into the configuration of a node that does not run.
    pub fn add_peer(&self, peer: &str) {
        self.configure(|config| config.network.peers.push(peer.to_owned()));
    }

    /// Changes the configuration of a node that does not run.
    pub fn configure(&self, change: impl FnOnce(&mut node::config::Config)) {
        let mut config = node::config::Config::read(&self.data.config_file()).unwrap();
        change(&mut config);
        fs::write(self.data.config_file(), config.text().unwrap()).unwrap();
    }

    /// What the node has logged.
    pub fn logged(&self) -> String {
        fs::read_to_string(self.log()).unwrap()
    }

    /// Waits until the node has logged this.
    pub fn logs(&self, words: &str) {
        let until = Instant::now() + PATIENCE;
        while !self.logged().contains(words) {
            assert!(Instant::now() < until, "{words:?} is not in {}", self.logged());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    fn spawn(&self, arguments: &[&str], machine: Option<&Machine>) -> Running<'_> {
        let log = File::create(self.log()).unwrap();
        let mut command = self.command(&[&["run"], arguments].concat());
        if let Some(machine) = machine {
            machine.carries(&mut command);
        }
        let child = command.stdout(Stdio::null()).stderr(log).spawn().unwrap();
        Running { home: self, child }
    }

    /// Starts the node and waits until it has decided the height with which every start begins.
    pub fn start(&self, arguments: &[&str]) -> Running<'_> {
        self.ready(self.spawn(arguments, None))
    }

    /// As [`Home::start`], on this machine.
    pub fn start_on(&self, machine: &Machine, arguments: &[&str]) -> Running<'_> {
        self.ready(self.spawn(arguments, Some(machine)))
    }

    /// As [`Home::start`], on a disk on which no file can grow beyond so many blocks of 512 bytes.
    pub fn start_on_a_small_disk(&self, blocks: u32) -> Running<'_> {
        let log = File::create(self.log()).unwrap();
        // An ignored signal stays ignored: writing beyond the limit fails like writing to a full disk, instead of ending the process.
        let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$@\"");
        let mut command = Command::new("sh");
        command.args(["-c", &script, "sh", env!("CARGO_BIN_EXE_wattd"), "run", "--data"]).arg(self.data.path());
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        self.ready(Running { home: self, child })
    }

    fn ready<'a>(&'a self, mut running: Running<'a>) -> Running<'a> {
        let until = Instant::now() + PATIENCE;
        while self.http("GET", "/api/v1/health", &[]).is_none_or(|(status, _)| status != 200) {
            let ended = running.child.try_wait().unwrap();
            assert!(ended.is_none() && Instant::now() < until, "{ended:?}: {}", fs::read_to_string(self.log()).unwrap());
            std::thread::sleep(Duration::from_millis(10));
        }
        running
    }

    /// Starts a node and waits until it ends by itself or is ready to decide.
    pub fn outcome(&self, arguments: &[&str]) -> Outcome {
        Self::outcome_of(self.spawn(arguments, None))
    }

    /// As [`Home::outcome`], on this machine.
    pub fn outcome_on(&self, machine: &Machine, arguments: &[&str]) -> Outcome {
        Self::outcome_of(self.spawn(arguments, Some(machine)))
    }

    fn outcome_of(mut running: Running<'_>) -> Outcome {
        let home = running.home;
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = running.child.try_wait().unwrap() {
                return Outcome::Refused { code: status.code().unwrap_or(-1), text: fs::read_to_string(home.log()).unwrap() };
            }
            let text = fs::read_to_string(home.log()).unwrap();
            assert!(Instant::now() < until, "{text}");
            if text.contains("consensus is ready") {
                return Outcome::Started { height: home.height() };
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Starts a node that must end by itself, and gives its exit code and its last words.
    pub fn ends(&self, arguments: &[&str]) -> (i32, String) {
        self.spawn(arguments, None).until_it_ends()
    }

    /// The exit code and the last words of a node that ends by itself; nothing where it goes on.
    pub fn refusal(&self, arguments: &[&str]) -> Option<(i32, String)> {
        match self.outcome(arguments) {
            Outcome::Refused { code, text } => Some((code, text)),
            Outcome::Started { .. } => None,
        }
    }

    /// Starts a node, waits for the height that every start decides, and ends it.
    pub fn height_after_start(&self, arguments: &[&str]) -> u64 {
        let before = self.start(arguments);
        let height = self.height();
        before.stop();
        height
    }

    /// One request; nothing where nobody answers.
    pub fn http(&self, method: &str, path: &str, body: &[u8]) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect(self.api).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        let length = body.len();
        let kind = "application/octet-stream";
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n",
            self.api
        );
        stream.write_all(head.as_bytes()).ok()?;
        stream.write_all(body).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        Some((head.split_whitespace().nth(1)?.parse().ok()?, body.to_owned()))
    }

    pub fn height(&self) -> u64 {
        let (status, body) = self.http("GET", "/api/v1/status", &[]).unwrap();
        assert_eq!(status, 200, "{body}");
        height_in(&body).unwrap()
    }

    /// Waits until the chain has this height.
    pub fn reach(&self, height: u64) {
        let until = Instant::now() + PATIENCE;
        while self.height() < height {
            assert!(Instant::now() < until, "{}", self.logged());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub fn state_root(&self, height: u64) -> String {
        let document = self.json(&format!("/api/v1/blocks/{height}"));
        document["header"]["state_root"].as_str().unwrap_or_else(|| panic!("{document}")).to_owned()
    }

    /// A block's time in ms, and how many transactions it holds.
    pub fn block(&self, height: u64) -> (u64, usize) {
        let document = self.json(&format!("/api/v1/blocks/{height}"));
        let time = document["header"]["timestamp"].as_str().and_then(|ms| ms.parse().ok());
        (time.unwrap_or_else(|| panic!("{document}")), document["transactions"].as_array().unwrap_or_else(|| panic!("{document}")).len())
    }

    /// What stands there for everybody to read.
    pub fn json(&self, path: &str) -> serde_json::Value {
        let (status, body) = self.http("GET", path, &[]).unwrap();
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).unwrap()
    }

    /// The treasurer's sale with this number, from 1, committed.
    pub fn sell(&self, sale: u64) {
        assert_eq!(self.submit(sale, "?wait=committed&timeout_ms=50000"), 200);
    }

    /// Submits the treasurer's sale with this number and gives the answer's status.
    pub fn submit(&self, sale: u64, query: &str) -> u16 {
        self.submit_for(self, sale, query)
    }

    /// Submits to this node what another's treasurer sells.
    pub fn submit_for(&self, seller: &Home, sale: u64, query: &str) -> u16 {
        let transaction = seller.sale(sale);
        let (status, body) = self.http("POST", &format!("/api/v1/transactions{query}"), transaction.bytes()).unwrap();
        assert!(status < 300, "{body}");
        status
    }

    /// Has the gateway's key sign something: its condominium's first sale is to it, and it gives a token back. Committed, by way of this node.
    pub fn lets_gateway_sign(&self, home: &Home) {
        let account = |name: KeyName| address_of(&keys::read(&name.file(home.data.path())).unwrap());
        let token = Amount::from_micro(1_000_000);
        let sale =
            SellTokens { condominium: home.condominium, account: account(KeyName::Gateway), amount: token, sale: 1, payment: Hash32::ZERO };
        let back = Transfer { to: account(KeyName::Treasurer), amount: token };
        for (by, call) in [(KeyName::Treasurer, Call::SellTokens(sale)), (KeyName::Gateway, Call::Transfer(back))] {
            let path = "/api/v1/transactions?wait=committed&timeout_ms=50000";
            let (status, body) = self.http("POST", path, home.signed(by, 0, call).bytes()).unwrap();
            assert!(status == 200 && body.contains("applied"), "{body}");
        }
    }

    /// What the manager orders, in this order and for the first time, committed.
    pub fn orders(&self, calls: impl IntoIterator<Item = Call>) {
        for (nonce, call) in (0..).zip(calls) {
            self.commits(&self.signed(KeyName::Manager, nonce, call));
        }
    }

    /// What whoever buys in the condominium asks for, committed.
    pub fn buyer_asks(&self, nonce: u64, call: Call) {
        self.commits(&self.signed_with(&self.buyer(), nonce, call));
    }

    fn commits(&self, transaction: &Transaction) {
        let (status, body) = self.http("POST", "/api/v1/transactions?wait=committed&timeout_ms=50000", transaction.bytes()).unwrap();
        assert!(status == 200 && body.contains("applied"), "{body}");
    }

    /// One buyer for each condominium: it is where its first tokens were sold that an account is at home.
    pub fn buyer(&self) -> SigningKey {
        SigningKey::from_bytes(&[6 + u8::try_from(self.condominium.0).unwrap(); 32])
    }

    pub fn sale(&self, sale: u64) -> Transaction {
        let buyer = address_of(&self.buyer());
        let (condominium, amount) = (self.condominium, Amount::from_micro(1_000_000));
        let call = Call::SellTokens(SellTokens { condominium, account: buyer, amount, sale, payment: Hash32::ZERO });
        self.signed(KeyName::Treasurer, sale - 1, call)
    }

    fn signed(&self, by: KeyName, nonce: u64, call: Call) -> Transaction {
        self.signed_with(&keys::read(&by.file(self.data.path())).unwrap(), nonce, call)
    }

    fn signed_with(&self, key: &SigningKey, nonce: u64, call: Call) -> Transaction {
        let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap() + self.ahead_s.get();
        // Long enough for a node whose clock is an hour ahead, and not too long for one an hour behind.
        let valid_until = Timestamp::from_ms(u64::try_from(now + 20 * 3_600).unwrap() * 1_000);
        let account = address_of(key);
        let chain_id = self.data.genesis().unwrap().chain_id();
        let body = Body { chain_id, account, signer: account, nonce, valid_until, call };
        Transaction::sign(body, key).unwrap()
    }
}

impl Running<'_> {
    /// Waits until the chain has this height.
    pub fn reach(&mut self, height: u64) {
        let until = Instant::now() + PATIENCE;
        while self.home.height() < height {
            assert!(Instant::now() < until, "{}", fs::read_to_string(self.home.log()).unwrap());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits until it has logged this.
    pub fn says(&self, words: &str) -> String {
        let until = Instant::now() + PATIENCE;
        loop {
            let logged = self.home.logged();
            if logged.contains(words) {
                return logged;
            }
            assert!(Instant::now() < until, "{words:?} is not in: {logged}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits until it ends by itself, and gives its exit code and its last words.
    pub fn until_it_ends(&mut self) -> (i32, String) {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(ended) = self.ended() {
                return ended;
            }
            assert!(Instant::now() < until, "it goes on: {}", self.home.logged());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Its exit code and its last words, if it has ended by itself.
    pub fn ended(&mut self) -> Option<(i32, String)> {
        let status = self.child.try_wait().unwrap()?;
        Some((status.code().unwrap_or(-1), self.home.logged()))
    }

    /// Opens a connection, once it listens: the network does so a moment after the API answers.
    pub fn connect(&self, address: SocketAddr) -> TcpStream {
        let until = Instant::now() + PATIENCE;
        loop {
            match TcpStream::connect(address) {
                Ok(stream) => return stream,
                Err(error) => assert!(Instant::now() < until, "{address}: {error}: {}", fs::read_to_string(self.home.log()).unwrap()),
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Ends it as a supervisor does.
    pub fn stop(mut self) {
        // A shell knows the word everywhere; the process is ours and not yet waited for, so the number is still its own.
        let asked = Command::new("sh").args(["-c", &format!("kill {}", self.child.id())]).status().unwrap();
        assert!(asked.success());
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status}: {}", fs::read_to_string(self.home.log()).unwrap());
    }

    /// Ends it where it is.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Three addresses on loopback that nobody listens on, below the ports that the system gives to connections: nodes that dial each other would take one in
/// between.
pub fn free_addresses() -> [SocketAddr; 3] {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Test programs that run at the same time begin at different places.
    let begin = std::process::id() * 97;
    [(); 3].map(|()| {
        (0..5_000)
            .find_map(|_| {
                let place = (begin + u32::from(NEXT.fetch_add(1, Ordering::Relaxed))) % 20_000;
                let address = SocketAddr::from(([127, 0, 0, 1], 12_000 + u16::try_from(place).unwrap()));
                TcpListener::bind(address).ok().map(|_| address)
            })
            .unwrap()
    })
}

fn height_in(status: &str) -> Option<u64> {
    let document: serde_json::Value = serde_json::from_str(status).ok()?;
    document["height"].as_str()?.parse().ok()
}
