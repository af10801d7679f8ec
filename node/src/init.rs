//! `wattd init`: the keys, the genesis document and the configuration of a federation of one condominium; [`federation`] does so for several.
//!
//! It fills an empty directory and never touches one that is not empty. Called by `wattd`.

pub mod federation;
mod files;

use std::{
    collections::BTreeSet,
    fs, io,
    net::SocketAddr,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use chain::{
    crypto::address_of,
    genesis_kind::NetworkKind,
    hash::Hash32,
    id::{Address, ChainId, CondominiumId},
    params::Params,
    quantity::Amount,
    record::Role,
    time::{Duration, Timestamp},
};
use contracts::genesis::{GENESIS_VERSION, Genesis, GenesisAccount, GenesisCondominium, GenesisError, GenesisRole, GenesisValidator};
use ed25519_dalek::SigningKey;

use crate::{
    config::Config,
    data_dir::DataDir,
    keys::{self, KeyError, KeyName},
};

/// What may be sold in a day unless somebody decides otherwise: a million tokens.
const MINT_CAP_PER_DAY: Amount = Amount::from_micro(1_000_000_000_000);

/// What another condominium may owe unless somebody decides otherwise: ten thousand tokens.
const POSITION_LIMIT: Amount = Amount::from_micro(10_000_000_000);

/// The choices of whoever founds a federation.
#[derive(Clone, Debug)]
pub struct InitOptions {
    /// The directory to fill.
    pub data: DataDir,
    /// The condominium's short name, which is also the network's.
    pub name: String,
    /// Whether it is played or meant.
    pub kind: NetworkKind,
    /// The accounting currency, ISO 4217.
    pub currency: String,
    /// The time before which no block is made; the machine's present where none is given.
    pub timestamp: Option<Timestamp>,
    /// A JSON object whose members replace parameters of the same name.
    pub params: Option<PathBuf>,
    /// A JSON array of `{ "role", "account" }` beside the roles of the keys made here.
    pub roles: Option<PathBuf>,
    /// A JSON array of addresses, or of `{ "address", "credit_limit" }`, registered from the beginning.
    pub accounts: Option<PathBuf>,
    /// Where the API listens.
    pub api_listen: Option<SocketAddr>,
    /// Where the units' protocol listens.
    pub gateway_listen: Option<SocketAddr>,
    /// The multiaddress of the node in the network.
    pub network_listen: Option<String>,
}

/// What was made.
#[derive(Clone, Debug)]
pub struct Founded {
    /// The chain.
    pub chain_id: ChainId,
    /// Each key's address and file.
    pub keys: Vec<(KeyName, Address, PathBuf)>,
    /// What the founder should know.
    pub warnings: Vec<String>,
}

/// Why nothing was founded.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// There is something in the directory.
    #[error("{0} is not empty: choose an empty or new directory")]
    NotEmpty(String),
    /// A file cannot be read or written.
    #[error("{path}: {error}")]
    Io {
        /// Which.
        path: String,
        /// Why.
        error: io::Error,
    },
    /// A given file is not what it should be.
    #[error("{path}: {message}")]
    Malformed {
        /// Which.
        path: String,
        /// What is wrong.
        message: String,
    },
    /// A key file.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The choices make no chain.
    #[error(transparent)]
    Genesis(#[from] GenesisError),
    /// An address that nobody can be reached at.
    #[error("{0}")]
    Peer(String),
    /// The node has a chain already.
    #[error("{0} is there already: this node belongs to a chain. Prepare another directory for another chain")]
    Joined(String),
    /// The prepared keys are not those that the genesis document names.
    #[error(
        "the genesis document does not name the validator {0} with the network key of this directory: it was made without this node's member.json, or the keys were made again since"
    )]
    NotInGenesis(String),
    /// The addresses are not those of the chain's nodes.
    #[error(
        "{file} has no line for the validator of condominium {condominium} (…/p2p/{name}), whom genesis.json names: the two files are of different federations, or one was \
         changed. Both are made together by wattd genesis",
        file = federation::PEERS_FILE
    )]
    PeersOfAnother {
        /// Which.
        condominium: String,
        /// Its node's name in the network.
        name: String,
    },
    /// A document that cannot be used.
    #[error("{0}")]
    Document(String),
    /// Our own documents do not encode.
    #[error("a document cannot be written: {0}")]
    Encoding(String),
}

/// Fills the directory.
///
/// # Errors
/// [`InitError`]; where the choices are wrong nothing is written.
pub fn init(options: &InitOptions) -> Result<Founded, InitError> {
    let root = options.data.path();
    require_empty(root)?;
    let keys: Vec<(KeyName, SigningKey)> = KeyName::ALL.into_iter().map(|name| (name, keys::generate())).collect();
    let genesis = genesis(options, &keys)?;
    genesis.check()?;

    make_dir(root)?;
    make_dir(&options.data.keys())?;
    let mut made = Vec::new();
    for (name, key) in &keys {
        let file = name.file(root);
        keys::write(&file, key)?;
        made.push((*name, address_of(key), file));
    }
    let config = config_text(options).map_err(|error| InitError::Encoding(error.to_string()))?;
    write(&options.data.config_file(), config.as_bytes())?;
    // Last: a directory with a genesis document is a complete one.
    let document = serde_json::to_vec_pretty(&genesis).map_err(|error| InitError::Encoding(error.to_string()))?;
    write(&options.data.genesis_file(), &document)?;
    Ok(Founded { chain_id: genesis.chain_id(), keys: made, warnings: warnings(&genesis) })
}

fn require_empty(root: &Path) -> Result<(), InitError> {
    match fs::read_dir(root) {
        Ok(mut entries) => match entries.next() {
            None => Ok(()),
            Some(_) => Err(InitError::NotEmpty(root.display().to_string())),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(InitError::Io { path: root.display().to_string(), error }),
    }
}

fn genesis(options: &InitOptions, keys: &[(KeyName, SigningKey)]) -> Result<Genesis, InitError> {
    let id = CondominiumId(1);
    let address = |name: KeyName| {
        let key = keys.iter().find(|(other, _)| *other == name);
        key.map(|(_, key)| address_of(key)).expect("a key was made for every name")
    };
    let mut roles = vec![
        GenesisRole { role: Role::Manager, account: address(KeyName::Manager) },
        GenesisRole { role: Role::Treasurer, account: address(KeyName::Treasurer) },
        GenesisRole { role: Role::Gateway, account: address(KeyName::Gateway) },
        GenesisRole { role: Role::Scheduler, account: address(KeyName::Scheduler) },
    ];
    if let Some(path) = &options.roles {
        roles.extend(files::roles(path)?);
    }
    let mut accounts = options.accounts.as_deref().map_or(Ok(Vec::new()), |path| files::accounts(path, id))?;
    let mut listed: BTreeSet<Address> = accounts.iter().map(|account| account.address).collect();
    for address in roles.iter().map(|grant| grant.account).chain([address(KeyName::Revenue)]) {
        if listed.insert(address) {
            accounts.push(GenesisAccount { address, home: id, credit_limit: Amount::ZERO });
        }
    }
    let revenue = address(KeyName::Revenue);
    let condominium = GenesisCondominium {
        id,
        name: options.name.clone(),
        revenue,
        mint_cap_per_day: MINT_CAP_PER_DAY,
        position_limit: POSITION_LIMIT,
        roles,
    };
    let network_key = Hash32(address(KeyName::Network).0);
    Ok(Genesis {
        version: GENESIS_VERSION,
        network: options.name.clone(),
        kind: options.kind,
        timestamp: options.timestamp.unwrap_or_else(machine_time),
        currency: options.currency.clone(),
        params: params_for(options.kind, options.params.as_deref())?,
        condominiums: vec![condominium],
        accounts,
        validators: vec![GenesisValidator { address: address(KeyName::Validator), power: 1, condominium: id, network_key }],
    })
}

fn params_for(kind: NetworkKind, file: Option<&Path>) -> Result<Params, InitError> {
    let mut params = Params::default();
    match kind {
        NetworkKind::Live => {}
        // Test federations stand still between two steps of their clock.
        NetworkKind::Test => params.heartbeat = Duration::ZERO,
    }
    file.map_or(Ok(params), |path| files::params(path, params))
}

fn warnings(genesis: &Genesis) -> Vec<String> {
    let mut warnings: Vec<_> = genesis
        .shared_roles()
        .into_iter()
        .map(|(condominium, address, roles)| {
            let roles: Vec<_> = roles.iter().map(|role| format!("{role:?}").to_lowercase()).collect();
            format!("in condominium {condominium} one key, {address}, holds {}: who steals it has all of them", roles.join(" and "))
        })
        .collect();
    if genesis.validator_set().is_ok_and(|set| set.faults_tolerated() == 0) {
        warnings.push("with fewer than four validators the chain stands still while any of them is down".to_owned());
    }
    warnings
}

fn config_text(options: &InitOptions) -> Result<String, toml::ser::Error> {
    let mut config = Config { moniker: options.name.clone(), ..Config::default() };
    if let Some(listen) = options.api_listen {
        config.api.listen = listen;
    }
    if let Some(listen) = options.gateway_listen {
        config.gateway.listen = listen;
    }
    if let Some(listen) = &options.network_listen {
        config.network.listen.clone_from(listen);
    }
    config.text()
}

fn machine_time() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_ms(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

fn make_dir(path: &Path) -> Result<(), InitError> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|error| InitError::Io { path: path.display().to_string(), error })
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), InitError> {
    fs::write(path, bytes).map_err(|error| InitError::Io { path: path.display().to_string(), error })
}
