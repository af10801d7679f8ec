//! The files of a federation of several condominiums: each operator prepares a node, one of them makes the genesis document of all, and each node joins with it.
//!
//! ```text
//! wattd prepare   at each condominium: keys, config.toml, and member.json, which names its public keys and its address; nothing in it is secret
//! wattd genesis   once, from all member.json: genesis.json and peers.txt
//! wattd join      at each condominium: puts both into place; with --observer a new directory for a node that follows without a vote
//! ```
//! No secret leaves the machine on which it was made. Whether the choices make a chain is judged by the genesis document's own check. Called by `wattd`.

use std::{collections::BTreeSet, fs, net::SocketAddr, path::PathBuf};

use chain::{
    crypto::address_of,
    genesis_kind::NetworkKind,
    hash::Hash32,
    id::{Address, ChainId, CondominiumId},
    quantity::Amount,
    record::Role,
    time::Timestamp,
};
use contracts::genesis::{GENESIS_VERSION, Genesis, GenesisAccount, GenesisCondominium, GenesisRole, GenesisValidator, MAX_CONDOMINIUMS};
use serde::{Deserialize, Serialize};

use super::{InitError, MINT_CAP_PER_DAY, POSITION_LIMIT, files, machine_time, make_dir, params_for, require_empty, warnings, write};
use crate::{
    config::Config,
    data_dir::DataDir,
    keys::{self, KeyName},
};

/// The version of `member.json` that this code writes and reads.
pub const MEMBER_VERSION: u32 = 1;

/// The file that [`prepare`] leaves in the data directory.
pub const MEMBER_FILE: &str = "member.json";

/// The file that [`found`] writes beside the genesis document: a multiaddress a line.
pub const PEERS_FILE: &str = "peers.txt";

/// The most that a file of peers may measure, in bytes.
const MAX_PEERS_BYTES: u64 = 1 << 20;

/// What is shown of a line that is no peer at most, in characters.
const SHOWN_PEER_CHARS: usize = 120;

/// What a condominium tells the others before there is a chain; all of it is public.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// [`MEMBER_VERSION`].
    pub version: u32,
    /// The condominium's short name.
    pub name: String,
    /// Where the others reach its node: a multiaddress without `/p2p/`.
    pub address: String,
    /// The key that votes.
    pub validator: Address,
    /// The public key of the node in the network.
    pub network_key: Hash32,
    /// The account that settlements pay.
    pub revenue: Address,
    /// Roles from the beginning.
    pub roles: Vec<GenesisRole>,
    /// Accounts from the beginning beside those named above.
    pub accounts: Vec<MemberAccount>,
}

/// An account that a member brings.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemberAccount {
    /// Its key.
    pub address: Address,
    /// The most that its debt may reach.
    pub credit_limit: Amount,
}

/// The choices of an operator who prepares a node.
#[derive(Clone, Debug)]
pub struct PrepareOptions {
    /// The directory to fill.
    pub data: DataDir,
    /// The condominium's short name.
    pub name: String,
    /// Where the others reach the node: a multiaddress such as `/ip4/192.0.2.7/tcp/8422`.
    pub address: String,
    /// A JSON array of `{ "role", "account" }` beside the roles of the keys made here.
    pub roles: Option<PathBuf>,
    /// A JSON array of addresses, or of `{ "address", "credit_limit" }`.
    pub accounts: Option<PathBuf>,
    /// Where the node listens.
    pub listen: Listen,
}

/// Where a node listens, as far as it is chosen.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Listen {
    /// The API.
    pub api: Option<SocketAddr>,
    /// The units' protocol.
    pub gateway: Option<SocketAddr>,
    /// The multiaddress in the network; every address of the machine with the port of its public address where none is given.
    pub network: Option<String>,
}

/// What was prepared.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// Each key's address and file.
    pub keys: Vec<(KeyName, Address, PathBuf)>,
    /// The file for whoever makes the genesis document.
    pub member: PathBuf,
}

/// Makes the keys and the configuration of one condominium's node, and the file that tells the others of it.
///
/// # Errors
/// [`InitError`]; where the choices are wrong nothing is written.
pub fn prepare(options: &PrepareOptions) -> Result<Prepared, InitError> {
    let root = options.data.path();
    require_empty(root)?;
    let listen = listen_beside(&options.address, &options.listen)?;
    let made: Vec<_> = KeyName::ALL.into_iter().map(|name| (name, keys::generate())).collect();
    let address = |name: KeyName| {
        let key = made.iter().find(|(other, _)| *other == name);
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
    let accounts = options.accounts.as_deref().map_or(Ok(Vec::new()), |path| files::accounts(path, CondominiumId(1)))?;
    let member = Member {
        version: MEMBER_VERSION,
        name: options.name.clone(),
        address: options.address.clone(),
        validator: address(KeyName::Validator),
        network_key: Hash32(address(KeyName::Network).0),
        revenue: address(KeyName::Revenue),
        roles,
        accounts: accounts.iter().map(|account| MemberAccount { address: account.address, credit_limit: account.credit_limit }).collect(),
    };
    // A member that makes no chain alone makes none with others.
    genesis(&GenesisOptions::of(options.name.clone()), std::slice::from_ref(&member))?.check()?;

    make_dir(root)?;
    make_dir(&options.data.keys())?;
    let mut files = Vec::new();
    for (name, key) in &made {
        let file = name.file(root);
        keys::write(&file, key)?;
        files.push((*name, address_of(key), file));
    }
    write_config(&options.data, &config(&options.name, &options.listen, listen))?;
    let path = root.join(MEMBER_FILE);
    write(&path, &document(&member)?)?;
    Ok(Prepared { keys: files, member: path })
}

/// The choices of whoever makes the genesis document of a federation.
#[derive(Clone, Debug)]
pub struct GenesisOptions {
    /// The network's name.
    pub network: String,
    /// Whether it is played or meant.
    pub kind: NetworkKind,
    /// The accounting currency, ISO 4217.
    pub currency: String,
    /// The time before which no block is made; the machine's present where none is given.
    pub timestamp: Option<Timestamp>,
    /// A JSON object whose members replace parameters of the same name.
    pub params: Option<PathBuf>,
}

impl GenesisOptions {
    fn of(network: String) -> Self {
        Self { network, kind: NetworkKind::Live, currency: "EUR".to_owned(), timestamp: None, params: None }
    }
}

/// What was founded.
#[derive(Clone, Debug)]
pub struct Federation {
    /// The chain.
    pub chain_id: ChainId,
    /// The condominiums with their validators, in the order of their numbers.
    pub members: Vec<(CondominiumId, String, Address)>,
    /// What the founder should know.
    pub warnings: Vec<String>,
}

/// Makes `genesis.json` and `peers.txt` in `out`, an empty or new directory, from the members' files. Condominiums are numbered from 1 in the order given; each
/// has one validator of power 1.
///
/// # Errors
/// [`InitError`]; where the choices are wrong nothing is written.
pub fn found(options: &GenesisOptions, members: &[PathBuf], out: &DataDir) -> Result<Federation, InitError> {
    require_empty(out.path())?;
    let members = members.iter().map(|path| read_member(path)).collect::<Result<Vec<_>, _>>()?;
    let genesis = genesis(options, &members)?;
    genesis.check()?;
    let peers = members.iter().map(peer_of).collect::<Result<Vec<_>, _>>()?;
    make_dir(out.path())?;
    write(&out.path().join(PEERS_FILE), (peers.join("\n") + "\n").as_bytes())?;
    write(&out.genesis_file(), &document(&genesis)?)?;
    let members =
        genesis.condominiums.iter().zip(&members).map(|(condominium, member)| (condominium.id, member.name.clone(), member.validator));
    Ok(Federation { chain_id: genesis.chain_id(), members: members.collect(), warnings: warnings(&genesis) })
}

fn genesis(options: &GenesisOptions, members: &[Member]) -> Result<Genesis, InitError> {
    let (mut condominiums, mut accounts, mut validators) = (Vec::new(), Vec::new(), Vec::new());
    let mut listed = BTreeSet::new();
    for (member, number) in members.iter().zip(1..) {
        let id = CondominiumId(number);
        for account in &member.accounts {
            listed.insert(account.address);
            // An account that two members bring stays twice, for the document's check to refuse.
            accounts.push(GenesisAccount { address: account.address, home: id, credit_limit: account.credit_limit });
        }
        for address in member.roles.iter().map(|grant| grant.account).chain([member.revenue]) {
            if listed.insert(address) {
                accounts.push(GenesisAccount { address, home: id, credit_limit: Amount::ZERO });
            }
        }
        condominiums.push(GenesisCondominium {
            id,
            name: member.name.clone(),
            revenue: member.revenue,
            mint_cap_per_day: MINT_CAP_PER_DAY,
            position_limit: POSITION_LIMIT,
            roles: member.roles.clone(),
        });
        validators.push(GenesisValidator { address: member.validator, power: 1, condominium: id, network_key: member.network_key });
    }
    Ok(Genesis {
        version: GENESIS_VERSION,
        network: options.network.clone(),
        kind: options.kind,
        timestamp: options.timestamp.unwrap_or_else(machine_time),
        currency: options.currency.clone(),
        params: params_for(options.kind, options.params.as_deref())?,
        condominiums,
        accounts,
        validators,
    })
}

fn read_member(path: &std::path::Path) -> Result<Member, InitError> {
    let member: Member = files::read(path, "a member.json as wattd prepare writes it")?;
    if member.version == MEMBER_VERSION {
        return Ok(member);
    }
    Err(files::malformed(
        path,
        format!("member file version {}, expected {MEMBER_VERSION}: use the program that it was made for", member.version),
    ))
}

/// A member's node as the others dial it.
fn peer_of(member: &Member) -> Result<String, InitError> {
    let id = consensus::peer_id_of(&member.network_key.0).map_err(|error| InitError::Peer(error.to_string()))?;
    let peer = format!("{}/p2p/{id}", member.address);
    consensus::peer_id_in(&peer).map_err(|error| InitError::Peer(error.to_string()))?;
    Ok(peer)
}

/// What a node joins with.
#[derive(Clone, Debug)]
pub struct JoinOptions {
    /// The node's directory: prepared before, or for an observer new.
    pub data: DataDir,
    /// The directory with `genesis.json` and `peers.txt`.
    pub from: PathBuf,
    /// The new observer, where this is one.
    pub observer: Option<ObserverOptions>,
}

/// The choices of an operator whose node follows without a vote.
#[derive(Clone, Debug)]
pub struct ObserverOptions {
    /// A name for people.
    pub name: String,
    /// Where the others reach the node: a multiaddress such as `/ip4/192.0.2.9/tcp/8422`.
    pub address: String,
    /// Where the node listens.
    pub listen: Listen,
}

/// What was joined.
#[derive(Clone, Debug)]
pub struct Joined {
    /// The chain.
    pub chain_id: ChainId,
    /// How the others name this node in their peers.
    pub peer: String,
    /// How many others this node will speak to.
    pub peers: usize,
    /// What the operator should know.
    pub warnings: Vec<String>,
}

/// Puts the genesis document and the addresses of the others into a node's directory.
///
/// # Errors
/// [`InitError`]; where something does not fit nothing is written.
pub fn join(options: &JoinOptions) -> Result<Joined, InitError> {
    let data = &options.data;
    if data.genesis_file().exists() {
        return Err(InitError::Joined(data.genesis_file().display().to_string()));
    }
    let source = DataDir::new(options.from.clone());
    let genesis = source.genesis().map_err(|error| InitError::Document(error.to_string()))?;
    let all = read_peers(&options.from.join(PEERS_FILE))?;
    let bad = |error: consensus::StartError| InitError::Peer(error.to_string());
    let strangers = compare_peers(&genesis, &all)?;
    let (network_key, config, address) = match &options.observer {
        None => {
            let config = Config::read(&data.config_file()).map_err(|error| InitError::Document(error.to_string()))?;
            let network = keys::read(&KeyName::Network.file(data.path()))?;
            let validator = address_of(&keys::read(&KeyName::Validator.file(data.path()))?);
            let bound = genesis.validators.iter().find(|member| member.address == validator);
            if bound.is_none_or(|member| member.network_key.0 != address_of(&network).0) {
                return Err(InitError::NotInGenesis(validator.to_string()));
            }
            (network, config, None)
        }
        Some(observer) => {
            require_empty(data.path())?;
            let listen = listen_beside(&observer.address, &observer.listen)?;
            let mut config = config(&observer.name, &observer.listen, listen);
            config.observer = true;
            config.gateway.enabled = false;
            config.scheduler.enabled = false;
            (keys::generate(), config, Some(observer.address.clone()))
        }
    };
    let own = consensus::peer_id(&network_key).map_err(bad)?;
    let (mut peers, mut own_peer) = (Vec::new(), address.map(|address| format!("{address}/p2p/{own}")));
    for peer in all {
        if consensus::peer_id_in(&peer).map_err(bad)? == own {
            own_peer = Some(peer);
        } else {
            peers.push(peer);
        }
    }
    let config = Config { network: crate::config::NetworkConfig { peers, ..config.network }, ..config };
    if options.observer.is_some() {
        make_dir(data.path())?;
        make_dir(&data.keys())?;
        keys::write(&KeyName::Network.file(data.path()), &network_key)?;
    }
    write_config(data, &config)?;
    // Last: a directory with a genesis document is a complete one.
    write(&data.genesis_file(), &document(&genesis)?)?;
    let peer = own_peer.unwrap_or_else(|| format!("/p2p/{own}"));
    let stranger =
        |peer: String| format!("{PEERS_FILE} names {peer}, which is no validator's node of this genesis document: is it an observer?");
    let warnings = warnings(&genesis).into_iter().chain(strangers.into_iter().map(stranger)).collect();
    Ok(Joined { chain_id: genesis.chain_id(), peer, peers: config.network.peers.len(), warnings })
}

/// Gives the peers that are no validator's node; a validator whose node is not among them would never be spoken to.
fn compare_peers(genesis: &Genesis, peers: &[String]) -> Result<Vec<String>, InitError> {
    let bad = |error: consensus::StartError| InitError::Peer(error.to_string());
    let names = peers.iter().map(|peer| consensus::peer_id_in(peer).map_err(bad)).collect::<Result<Vec<_>, _>>()?;
    let mut validators = BTreeSet::new();
    for member in &genesis.validators {
        let name = consensus::peer_id_of(&member.network_key.0).map_err(bad)?;
        if !names.contains(&name) {
            return Err(InitError::PeersOfAnother { condominium: member.condominium.to_string(), name });
        }
        validators.insert(name);
    }
    let strangers = peers.iter().zip(&names).filter(|(_, name)| !validators.contains(*name));
    Ok(strangers.map(|(peer, _)| peer.clone()).collect())
}

fn read_peers(path: &std::path::Path) -> Result<Vec<String>, InitError> {
    let failed = |error| InitError::Io { path: path.display().to_string(), error };
    if fs::metadata(path).map_err(failed)?.len() > MAX_PEERS_BYTES {
        return Err(files::malformed(path, format!("expected at most {MAX_PEERS_BYTES} bytes, found more")));
    }
    peers_in(&fs::read_to_string(path).map_err(failed)?).map_err(|message| files::malformed(path, message))
}

/// The peers of a list: a multiaddress a line, each with the name of its node; empty lines say nothing.
///
/// # Errors
/// In words: the line that is no peer, or that there are more than condominiums may be.
pub fn peers_in(text: &str) -> Result<Vec<String>, String> {
    let lines = text.lines().map(str::trim).zip(1_u32..).filter(|(line, _)| !line.is_empty());
    let peers = lines.map(|(line, number)| match consensus::peer_id_in(line) {
        // A host's name may have any sign in it; these are shown on a terminal.
        Ok(_) if !line.chars().any(char::is_control) => Ok(line.to_owned()),
        Ok(_) | Err(_) => {
            let found: String = line.chars().take(SHOWN_PEER_CHARS).collect();
            Err(format!("line {number}: expected a multiaddress such as /ip4/192.0.2.7/tcp/8422/p2p/12D3KooW…, found {found:?}"))
        }
    });
    let peers = peers.collect::<Result<Vec<_>, _>>()?;
    if peers.len() > MAX_CONDOMINIUMS {
        return Err(format!("expected at most {MAX_CONDOMINIUMS} peers, found {}", peers.len()));
    }
    Ok(peers)
}

/// Where a node listens whose public address this is: there, if it is of this machine alone, else on every address with the same port.
fn listen_beside(address: &str, listen: &Listen) -> Result<String, InitError> {
    let bad = |error: consensus::StartError| InitError::Peer(error.to_string());
    let port = consensus::port_in(address).map_err(bad)?;
    if consensus::listen_address_in(address).is_ok_and(|address| address.ip().is_unspecified()) {
        return Err(InitError::Peer(format!(
            "{address} is every address of a machine and none that others reach: give the one that this node has for them, such as /ip4/192.0.2.7/tcp/{port}"
        )));
    }
    if let Some(listen) = &listen.network {
        return Ok(listen.clone());
    }
    let own_machine = consensus::listen_address_in(address).is_ok_and(|address| address.ip().is_loopback());
    Ok(if own_machine { address.to_owned() } else { format!("/ip4/0.0.0.0/tcp/{port}") })
}

fn config(name: &str, listen: &Listen, network: String) -> Config {
    let mut config = Config { moniker: name.to_owned(), ..Config::default() };
    config.api.listen = listen.api.unwrap_or(config.api.listen);
    config.gateway.listen = listen.gateway.unwrap_or(config.gateway.listen);
    config.network.listen = network;
    config
}

fn write_config(data: &DataDir, config: &Config) -> Result<(), InitError> {
    let text = config.text().map_err(|error| InitError::Encoding(error.to_string()))?;
    write(&data.config_file(), text.as_bytes())
}

fn document(value: &impl Serialize) -> Result<Vec<u8>, InitError> {
    serde_json::to_vec_pretty(value).map_err(|error| InitError::Encoding(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prepared(folder: &std::path::Path, name: &str, address: &str) -> Result<Prepared, InitError> {
        let listen = Listen::default();
        prepare(&PrepareOptions {
            data: DataDir::new(folder.join(name)),
            name: name.to_owned(),
            address: address.to_owned(),
            roles: None,
            accounts: None,
            listen,
        })
    }

    #[test]
    fn an_address_that_is_no_machines_is_refused_before_others_write_it_down() {
        let folder = tempfile::tempdir().unwrap();
        for address in ["/ip4/0.0.0.0/tcp/8422", "/ip6/::/tcp/8422"] {
            let refused = prepared(folder.path(), "ASK", address).unwrap_err().to_string();
            assert!(refused.contains("none that others reach") && refused.contains("8422"), "{refused}");
        }
        assert!(!folder.path().join("ASK").exists());
        assert!(prepared(folder.path(), "ASK", "/ip4/192.0.2.7/tcp/8422").is_ok());
    }

    #[test]
    fn addresses_that_are_not_those_of_the_chains_nodes_are_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let names = ["ASK", "TRO"];
        let members: Vec<_> = (11..)
            .zip(names)
            .map(|(host, name)| prepared(folder.path(), name, &format!("/ip4/192.0.2.{host}/tcp/8422")).unwrap().member)
            .collect();
        let out = folder.path().join("federation");
        found(&GenesisOptions::of("west".to_owned()), &members, &DataDir::new(out.clone())).unwrap();
        let joined = |name: &str| join(&JoinOptions { data: DataDir::new(folder.path().join(name)), from: out.clone(), observer: None });
        let peers = fs::read_to_string(out.join(PEERS_FILE)).unwrap();

        // Another federation's list: one of its lines is of a stranger, and one of ours is missing.
        let stranger = prepared(folder.path(), "BAR", "/ip4/192.0.2.13/tcp/8422").unwrap().member;
        let stranger = peer_of(&read_member(&stranger).unwrap()).unwrap();
        let ours = peers.lines().nth(1).unwrap();
        fs::write(out.join(PEERS_FILE), peers.replace(ours, &stranger)).unwrap();
        let refused = joined("ASK").unwrap_err();
        let InitError::PeersOfAnother { condominium, name } = &refused else { panic!("{refused}") };
        assert!(condominium == "2" && ours.ends_with(name.as_str()), "{refused}");
        assert!(!folder.path().join("ASK").join("genesis.json").exists(), "nothing is written");

        fs::write(out.join(PEERS_FILE), format!("{peers}{stranger}\n")).unwrap();
        let good = joined("ASK").unwrap();
        assert!(good.peers == 2 && good.warnings.iter().any(|warning| warning.contains(&stranger)), "{:?}", good.warnings);
    }
}
