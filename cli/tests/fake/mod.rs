//! A node that says what a test wants, and remembers what it was asked.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::{
    collections::BTreeMap,
    path::PathBuf,
    process::{Command, Output, Stdio},
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::Bytes,
    extract::{Request, State},
    http::{HeaderMap, Method, StatusCode},
    response::{IntoResponse, Response},
};
use chain::{
    api::{AccountView, AmountByComponent, CondominiumView, Problem, QuoteView, Status, Unit},
    certificate::{Validator, ValidatorSet},
    crypto::address_of,
    genesis_kind::NetworkKind,
    hash::Hash32,
    id::{Address, ChainId, CondominiumId, ConnectorId, Height, TariffId},
    params::Params,
    quantity::{Amount, WattHours},
    record::{Account, Condominium},
    time::{Duration, Timestamp},
};
use contracts::genesis::{GENESIS_VERSION, Genesis, GenesisValidator};
use ed25519_dalek::SigningKey;

/// The node's clock: a test federation's, far from the machine's.
pub const NOW: Timestamp = Timestamp::from_ms(1_600_000_000_000);

pub const PASSPHRASE: &str = "correct horse";

/// A request, as it came.
#[derive(Clone, Debug)]
pub struct Asked {
    pub method: Method,
    pub path: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// What to answer, by method and path without its query; in turn, the last for ever.
type Answers = BTreeMap<String, Vec<(StatusCode, Vec<u8>)>>;

/// Answers what it wants to, from what it keeps.
type Live = Box<dyn FnMut(&Asked) -> Option<String> + Send>;

#[derive(Clone, Default)]
pub struct Fake {
    answers: Arc<Mutex<Answers>>,
    asked: Arc<Mutex<Vec<Asked>>>,
    live: Arc<Mutex<Option<Live>>>,
}

impl Fake {
    /// Adds an answer.
    pub fn answer(&self, path: &str, status: u16, body: impl Into<Vec<u8>>) -> &Self {
        let answer = (StatusCode::from_u16(status).unwrap(), body.into());
        self.answers.lock().unwrap().entry(path.to_owned()).or_default().push(answer);
        self
    }

    pub fn json<T: serde::Serialize>(&self, path: &str, value: &T) -> &Self {
        self.answer(path, 200, serde_json::to_string(value).unwrap())
    }

    pub fn problem(&self, path: &str, status: u16, code: &str) -> &Self {
        let problem = Problem::new(status, code, code, format!("{code}: as the test wants"));
        self.answer(path, status, serde_json::to_string(&problem).unwrap())
    }

    /// Adds a refusal with numbers.
    pub fn refusal(&self, path: &str, status: u16, code: &str, unit: Unit, numbers: [u64; 2]) -> &Self {
        let [expected, found] = numbers.map(|number| Some(number.to_string()));
        let problem =
            Problem { expected, found, unit: Some(unit), ..Problem::new(status, code, code, format!("{code}: in the node's words")) };
        self.answer(path, status, serde_json::to_string(&problem).unwrap())
    }

    /// Has this asked first, with the path as in [`Fake::answer`]; what it answers goes out with 200.
    pub fn live(&self, live: impl FnMut(&Asked) -> Option<String> + Send + 'static) -> &Self {
        *self.live.lock().unwrap() = Some(Box::new(live));
        self
    }

    /// What was asked, in order.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// Starts listening; gives the address.
    pub async fn listen(&self) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(respond).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        url
    }
}

async fn respond(State(fake): State<Fake>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let path = parts.uri.path().strip_prefix("/api/v1").unwrap_or(parts.uri.path()).to_owned();
    let full = parts.uri.path_and_query().map(ToString::to_string).unwrap_or_default();
    let asked = Asked { method: parts.method, path: full, headers: parts.headers, body };
    fake.asked.lock().unwrap().push(asked.clone());
    let asked = Asked { path: path.clone(), ..asked };
    if let Some(answer) = fake.live.lock().unwrap().as_mut().and_then(|live| live(&asked)) {
        return answer.into_response();
    }
    let mut answers = fake.answers.lock().unwrap();
    let Some(queue) = answers.get_mut(&path) else {
        return (StatusCode::NOT_FOUND, format!("the test has no answer for {path}")).into_response();
    };
    let answer = if queue.len() > 1 { queue.remove(0) } else { queue[0].clone() };
    answer.into_response()
}

pub fn validator() -> SigningKey {
    SigningKey::from_bytes(&[9; 32])
}

/// A chain of one validator and nobody else: enough for a client.
pub fn genesis() -> Genesis {
    Genesis {
        version: GENESIS_VERSION,
        network: "fake".to_owned(),
        kind: NetworkKind::Test,
        timestamp: NOW,
        currency: "EUR".to_owned(),
        params: Params::default(),
        condominiums: Vec::new(),
        accounts: Vec::new(),
        validators: vec![GenesisValidator {
            address: address_of(&validator()),
            power: 1,
            condominium: CondominiumId(1),
            network_key: Hash32([3; 32]),
        }],
    }
}

pub fn chain_id() -> ChainId {
    genesis().chain_id()
}

pub fn validators() -> ValidatorSet {
    ValidatorSet::new(vec![Validator { address: address_of(&validator()), power: 1 }]).unwrap()
}

pub fn status() -> Status {
    Status {
        version: "0".to_owned(),
        network: "fake".to_owned(),
        kind: NetworkKind::Test,
        chain_id: chain_id(),
        currency: "EUR".to_owned(),
        height: Height(7),
        hash: Hash32::ZERO,
        timestamp: NOW,
        now: NOW,
        state_root: Hash32::ZERO,
        validators: validators(),
        faults_tolerated: 0,
        pending: 0,
    }
}

pub fn account(address: Address, next_nonce: u64) -> AccountView {
    let account = Account {
        home: CondominiumId(1),
        balance: Amount::from_micro(12_500_000),
        held: Amount::ZERO,
        debt: Amount::ZERO,
        credit_limit: Amount::ZERO,
    };
    AccountView { address, account, available: account.balance, next_nonce, roles: Vec::new() }
}

/// A condominium that has sold nothing yet.
pub fn condominium(id: CondominiumId, name: &str) -> CondominiumView {
    let condominium = Condominium {
        name: name.to_owned(),
        revenue: Address([8; 32]),
        mint_cap_per_day: Amount::ZERO,
        position_limit: Amount::ZERO,
        minted: Amount::ZERO,
        redeemed: Amount::ZERO,
        next_sale: 1,
        mint_day: 0,
        minted_today: Amount::ZERO,
    };
    let [balance, held, debt, owed_to, owed_by] = [Amount::ZERO; 5];
    CondominiumView { id, condominium, balance, held, debt, owed_to, owed_by, conserved: true }
}

pub fn quote() -> QuoteView {
    QuoteView {
        connector: ConnectorId::new(CondominiumId(1), 17),
        tariff: TariffId::new(CondominiumId(1), 1),
        tariff_version: 4,
        price_per_kwh: Amount::from_micro(250_000),
        price_per_hour: Amount::ZERO,
        price_per_hour_parked: Amount::ZERO,
        parking_grace: Duration::ZERO,
        flat: Amount::ZERO,
        min_price: None,
        max_price: None,
        expected: Amount::from_micro(2_500_000),
        expected_parts: AmountByComponent { energy: Amount::from_micro(2_500_000), ..AmountByComponent::default() },
        expected_energy: WattHours::new(10_000),
        expected_duration: Duration::from_hours(1),
        maximum: Amount::from_micro(3_000_000),
        maximum_parts: AmountByComponent { energy: Amount::from_micro(3_000_000), ..AmountByComponent::default() },
        maximum_energy: WattHours::new(12_000),
        max_duration: Duration::from_hours(12),
        next_change: None,
    }
}

/// A home with one wallet, made from a bare key through the program itself.
pub struct Home {
    folder: tempfile::TempDir,
    pub key: SigningKey,
}

impl Home {
    pub fn new() -> Self {
        Self::of(SigningKey::from_bytes(&[5; 32]))
    }

    /// The home of whoever has this key.
    pub fn of(key: SigningKey) -> Self {
        let home = Self { folder: tempfile::tempdir().unwrap(), key };
        home.file("passphrase", PASSPHRASE);
        let key = home.file("key", &hex::encode(home.key.to_bytes()));
        let made = home.watt("http://127.0.0.1:1", &["wallet", "import", "--key-file", key.to_str().unwrap()]);
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        home
    }

    pub fn address(&self) -> Address {
        address_of(&self.key)
    }

    /// Where a file of this name is, or would be.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A file that only its owner may read.
    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        cli::keystore::write_new(&path, text.as_bytes()).unwrap();
        path
    }

    /// Runs `watt` without a terminal.
    pub fn watt(&self, node: &str, arguments: &[&str]) -> Output {
        self.command(arguments).env("WATT_NODE", node).output().unwrap()
    }

    /// `watt` without a terminal and, as yet, without a node.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_watt"));
        command.args(arguments).arg("--passphrase-file").arg(self.folder.path().join("passphrase"));
        command.env_clear().env("WATT_HOME", self.folder.path()).env("TZ", "UTC").stdin(Stdio::null());
        command
    }
}
