//! A node's application with one validator, and a consensus of a few lines that decides whatever is proposed: for tests that need no engine.
#![allow(dead_code, reason = "each test file uses its own part")]

use std::path::{Path, PathBuf};

use bytes::Bytes;
use chain::{
    certificate::{CommitCertificate, CommitSignature, VoteBody, VoteKind},
    crypto::{self, Domain, address_of},
    genesis_kind::NetworkKind,
    hash::Hash32,
    id::{Address, CondominiumId, ConnectorId, GroupId, Height, TariffId},
    quantity::{Amount, Currents},
    record::{Control, PlugSignal, Role, Service},
    tariff::{PriceComponent, Tariff, TariffDimension, TariffElement, TariffRestrictions},
    time::{Duration, Timestamp},
};
use contracts::{
    call::{Body, Call, OpenSession, Priority, PutConnector, PutGroup, PutTariff, SellTokens, Transaction},
    genesis::{Genesis, GenesisAccount, GenesisCondominium, GenesisRole},
};
use ed25519_dalek::SigningKey;
use node::{
    app::{self, App, AppConfig, Included, Limits, SubmitError, port::ConsensusPort},
    clock::Clock,
    data_dir::DataDir,
    init::{self, InitOptions},
    keys::{self, KeyName},
    store::{Opened, Store, StoreError},
};

/// Monday 2026-01-05, 12:00 UTC.
pub const NOON: Timestamp = Timestamp::from_ms(1_767_614_400_000);
pub const HOME: CondominiumId = CondominiumId(1);
pub const AWAY: CondominiumId = CondominiumId(2);
pub const WAIT: std::time::Duration = std::time::Duration::from_secs(60);

/// A founded chain in a temporary directory.
pub struct Solo {
    pub directory: tempfile::TempDir,
    pub genesis: Genesis,
}

impl Solo {
    /// A test federation that begins at [`NOON`].
    pub fn found() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let data = DataDir::new(directory.path().join("node"));
        let options = InitOptions {
            data: data.clone(),
            name: "TRO".to_owned(),
            kind: NetworkKind::Test,
            currency: "EUR".to_owned(),
            timestamp: Some(NOON),
            params: None,
            roles: None,
            accounts: None,
            api_listen: None,
            gateway_listen: None,
            network_listen: None,
        };
        init::init(&options).unwrap();
        let genesis = data.genesis().unwrap();
        Self { directory, genesis }
    }

    /// The same with a second condominium, [`AWAY`], whose staff and revenue are the key of [`away_staff`].
    pub fn federation() -> Self {
        let mut solo = Self::found();
        let staff = address_of(&away_staff());
        let role = |role| GenesisRole { role, account: staff };
        let limit = Amount::from_micro(30_000_000);
        solo.genesis.condominiums.push(GenesisCondominium {
            id: AWAY,
            name: "BOD".to_owned(),
            revenue: staff,
            mint_cap_per_day: limit,
            position_limit: limit,
            roles: [Role::Manager, Role::Treasurer].map(role).to_vec(),
        });
        solo.genesis.accounts.push(GenesisAccount { address: staff, home: AWAY, credit_limit: Amount::ZERO });
        solo
    }

    pub fn data(&self) -> DataDir {
        DataDir::new(self.directory.path().join("node"))
    }

    pub fn database(&self) -> PathBuf {
        self.data().database()
    }

    pub fn key(&self, name: KeyName) -> SigningKey {
        keys::read(&name.file(self.data().path())).unwrap()
    }

    pub fn open(&self) -> Result<Opened, StoreError> {
        Store::open(&self.database(), &self.genesis)
    }

    /// Starts the application with a clock that stands at [`NOON`].
    pub fn start(&self) -> App {
        self.start_with(Clock::stepped(NOON), Limits::default())
    }

    pub fn start_with(&self, clock: Clock, limits: Limits) -> App {
        let proposer = address_of(&self.key(KeyName::Validator));
        let config = AppConfig { chain_id: self.genesis.chain_id(), proposer: Some(proposer), clock, limits };
        app::start(config, self.open().unwrap()).unwrap()
    }

    /// What one validator's signature on a block makes.
    pub fn certify(&self, height: Height, block: Hash32) -> CommitCertificate {
        let key = self.key(KeyName::Validator);
        let validator = address_of(&key);
        let vote =
            VoteBody { chain_id: self.genesis.chain_id(), kind: VoteKind::Precommit, height, round: 0, block: Some(block), validator };
        let signature = crypto::sign(&key, Domain::Vote, &vote.bytes());
        CommitCertificate { height, round: 0, block, signatures: vec![CommitSignature { validator, signature }] }
    }

    /// Decides the next height at once.
    pub async fn decide(&self, port: &ConsensusPort) -> Height {
        let height = port.tip().await.unwrap().height.next();
        let proposed = port.propose(height, 0).await.unwrap();
        port.commit(self.certify(height, proposed.hash)).await.unwrap().height
    }

    /// Decides heights whenever there is work, until the application ends.
    pub fn decide_on(&self, port: &ConsensusPort) -> tokio::task::JoinHandle<()> {
        let (port, key, chain_id) = (port.clone(), self.key(KeyName::Validator), self.genesis.chain_id());
        let validator = address_of(&key);
        tokio::spawn(async move {
            while port.wait_for_work().await.is_ok() {
                let Ok(tip) = port.tip().await else { return };
                let height = tip.height.next();
                let Ok(proposed) = port.propose(height, 0).await else { return };
                let vote = VoteBody { chain_id, kind: VoteKind::Precommit, height, round: 0, block: Some(proposed.hash), validator };
                let signature = crypto::sign(&key, Domain::Vote, &vote.bytes());
                let signatures = vec![CommitSignature { validator, signature }];
                if port.commit(CommitCertificate { height, round: 0, block: proposed.hash, signatures }).await.is_err() {
                    return;
                }
            }
        })
    }

    /// A signed transaction of the key's own account, good for an hour after [`NOON`].
    pub fn sign(&self, key: &SigningKey, nonce: u64, call: Call) -> Bytes {
        self.sign_until(key, nonce, NOON.saturating_add(Duration::from_hours(1)), call)
    }

    pub fn sign_until(&self, key: &SigningKey, nonce: u64, valid_until: Timestamp, call: Call) -> Bytes {
        let account = address_of(key);
        let body = Body { chain_id: self.genesis.chain_id(), account, signer: account, nonce, valid_until, call };
        Bytes::copy_from_slice(Transaction::sign(body, key).unwrap().bytes())
    }

    /// Sells tokens to an account, which registers it where it is new.
    pub fn sell(&self, nonce: u64, sale: u64, to: Address, tokens: u64) -> Bytes {
        let amount = Amount::from_micro(tokens * 1_000_000);
        let call = SellTokens { condominium: HOME, account: to, amount, sale, payment: Hash32::ZERO };
        self.sign(&self.key(KeyName::Treasurer), nonce, Call::SellTokens(call))
    }

    /// The manager's three transactions that make connector 1-1 usable, with nonces 0 to 2.
    pub fn furnish(&self) -> [Bytes; 3] {
        let manager = self.key(KeyName::Manager);
        let group = PutGroup { group: GroupId::new(HOME, 1), parent: None, limit: Currents::from_ma([32_000; 3]) };
        let energy = PriceComponent { dimension: TariffDimension::Energy, price: Amount::from_micro(250_000) };
        let document = Tariff {
            time_zone: "UTC0".to_owned(),
            elements: vec![TariffElement { price_components: vec![energy], restrictions: TariffRestrictions::default() }],
            min_price: None,
            max_price: None,
            vat_basis_points: 0,
            parking_grace: Duration::ZERO,
        };
        let valid_from = NOON.saturating_add(Duration::from_secs(1));
        let tariff = PutTariff { tariff: TariffId::new(HOME, 1), version: 1, valid_from, document };
        let connector = PutConnector {
            connector: ConnectorId::new(HOME, 1),
            group: 1,
            control: Control::Switched,
            plug_signal: PlugSignal::Reported,
            rated: Currents::from_ma([32_000; 3]),
            tariff: 1,
            service: Service::InService,
        };
        [
            self.sign(&manager, 0, Call::PutGroup(group)),
            self.sign(&manager, 1, Call::PutTariff(tariff)),
            self.sign(&manager, 2, Call::PutConnector(connector)),
        ]
    }

    pub fn open_session(&self, key: &SigningKey, nonce: u64) -> Bytes {
        let call = OpenSession {
            connector: ConnectorId::new(HOME, 1),
            tariff_version: 1,
            max_spend: Amount::from_micro(5_000_000),
            max_duration: Duration::from_hours(2),
            energy_target: None,
            state_of_charge: None,
            depart_by: None,
            window: None,
            priority: Priority::None,
        };
        self.sign(key, nonce, Call::OpenSession(call))
    }
}

pub fn away_staff() -> SigningKey {
    resident(20)
}

pub fn resident(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

/// Ends the application and waits until its database is closed.
pub async fn stop(app: App) {
    let App { handle, port, ended, stop } = app;
    drop((handle, port, stop));
    ended.await.unwrap().unwrap();
}

pub async fn commit(app: &App, bytes: Bytes) -> Result<Included, SubmitError> {
    app.handle.submit_and_wait(bytes, WAIT).await
}

/// Opens the node's database without the node, to change what is in it.
pub fn tamper(path: &Path) -> rocksdb::DB {
    let options = rocksdb::Options::default();
    let names = rocksdb::DB::list_cf(&options, path).unwrap();
    rocksdb::DB::open_cf(&options, path, names).unwrap()
}
