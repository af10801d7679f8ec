//! What is wrong with this machine's node: `wattd doctor`.
//!
//! It looks at a data directory and, where its node runs, at what that says over HTTP; a node that does not run is opened as its start would, up to the point at
//! which it would speak to others. It repairs nothing but what every start makes anew from the blocks (indexes), sends no transaction and never shows a secret.
//! Each finding says what to do. `disk` is about files and the databases, `running` about a node that answers; `adoption` asks both, before a key takes another's
//! place, and `place`, before a connector gets a unit. Called by `wattd`.

mod adoption;
mod disk;
mod place;
mod running;

use std::{
    io::ErrorKind,
    net::{SocketAddr, TcpStream, ToSocketAddrs as _},
    path::Path,
    time::Duration,
};

use chain::{crypto::address_of, diagnosis::Diagnosis, genesis_kind::NetworkKind, id::CondominiumId};
use contracts::genesis::Genesis;
use ed25519_dalek::SigningKey;

pub use adoption::{AdoptionError, require_granted};
pub use place::{NoCondominium, warn_of_place};

use crate::{
    config::Config,
    data_dir::{DataDir, DataDirError},
    gateway::units,
    keys::{self, KeyError, KeyName},
    scheduler::plan::Policy,
};

/// How long anybody who is asked may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// What is examined.
#[derive(Clone, Debug)]
pub struct Options {
    /// The node's data directory.
    pub data: DataDir,
    /// The APIs of other nodes, `host:port`, to be compared with this one.
    pub others: Vec<String>,
}

/// What the files say, for the checks after them.
struct Known<'a> {
    data: &'a DataDir,
    genesis: &'a Genesis,
    config: &'a Config,
    /// The keys that could be read; after the one in use the one that takes over, where there is one.
    keys: Vec<(KeyName, SigningKey)>,
}

impl Known<'_> {
    fn key(&self, name: KeyName) -> Option<&SigningKey> {
        self.keys_of(name).next()
    }

    fn keys_of(&self, name: KeyName) -> impl Iterator<Item = &SigningKey> {
        self.keys.iter().filter(move |(known, _)| *known == name).map(|(_, key)| key)
    }
}

/// Looks at everything. It takes as long as the database takes to read, and a few seconds where others do not answer.
pub async fn examine(options: &Options) -> Diagnosis {
    let mut found = Diagnosis::default();
    let data = &options.data;
    if !data.path().is_dir() {
        found.wrong("directory", format!("{} is no directory", data.path().display()), "name the node's data directory with --data");
        return found;
    }
    disk::space(data.path(), &mut found);
    let Some(genesis) = genesis(data, &mut found) else { return found };
    let Some(config) = config(data, &mut found) else { return found };
    let known = Known { data, genesis: &genesis, config: &config, keys: read_keys(data, &config, &mut found) };
    membership(&known, &mut found);
    units_file(&known, &mut found);
    peers(&known, &mut found);
    match data.lock() {
        Ok(lock) => {
            found.warning("process", "the node does not run", start_with(&known));
            disk::stopped(&known, &mut found).await;
            drop(lock);
        }
        Err(DataDirError::InUse { .. }) => {
            found.ok("process", "the node runs");
            running::look(&known, &options.others, &mut found);
        }
        Err(error) => {
            found.wrong("process", error.to_string(), "let the node's user read and write the data directory, and everything in it")
        }
    }
    found
}

fn genesis(data: &DataDir, found: &mut Diagnosis) -> Option<Genesis> {
    let genesis = match data.genesis() {
        Ok(genesis) => genesis,
        Err(DataDirError::Io { error, .. }) if error.kind() == ErrorKind::NotFound => {
            let (missing, next) = if data.database().exists() || data.keys().exists() {
                ("genesis.json is missing, but there is a node", "put the federation's genesis.json back: every other node has the same")
            } else {
                ("there is no node here", "make one with wattd init or wattd prepare, or name another directory with --data")
            };
            found.wrong("genesis", missing, next);
            return None;
        }
        Err(error) => {
            found.wrong("genesis", error.to_string(), "put the federation's genesis.json back: every other node has the same");
            return None;
        }
    };
    let kind = match genesis.kind {
        NetworkKind::Live => "live",
        NetworkKind::Test => "test",
    };
    found.ok("genesis", format!("chain {} ({}, {kind})", genesis.chain_id(), genesis.network));
    let validators = genesis.validators.len();
    if validators < 4 {
        found.warning(
            "validators",
            format!("{validators} at genesis: the chain stands still while one of them is down"),
            "know it; from four on a federation goes on without any one of them",
        );
    } else {
        found.ok("validators", format!("{validators} at genesis"));
    }
    Some(genesis)
}

fn config(data: &DataDir, found: &mut Diagnosis) -> Option<Config> {
    let file = data.config_file();
    let config = match Config::read(&file) {
        Ok(config) => config,
        Err(error) => {
            found.wrong(
                "config",
                error.to_string().trim().replace('\n', " "),
                format!("correct {}; wattd init writes one with every key", file.display()),
            );
            return None;
        }
    };
    let policy = Policy::named(&config.scheduler.policy, config.scheduler.places).map(drop).map_err(|error| error.to_string());
    let gateway = config.gateway.check().map_err(|error| error.to_string());
    let api = &config.api.listen;
    match gateway.and(policy) {
        Err(error) => found.wrong("config", error, format!("correct {}", file.display())),
        Ok(()) if !api.ip().is_loopback() && genesis_is_live(data) => found.warning(
            "config",
            format!("the API listens on {api}, which others can reach, and it speaks plain HTTP"),
            "keep it on loopback behind a tunnel or a proxy with TLS, unless the network is the house's own",
        ),
        Ok(()) => found.ok("config", "config.toml is understood"),
    }
    Some(config)
}

/// What the scheduler's settings mean for the points of a condominium.
fn tell_places(known: &Known<'_>, condominium: CondominiumId, unswitched: u32, switched: u32, found: &mut Diagnosis) {
    let scheduler = &known.config.scheduler;
    let Ok(policy) = Policy::named(&scheduler.policy, scheduler.places) else { return };
    match policy.starves(unswitched, switched) {
        Some(what) => found.warning(
            "scheduler_places",
            format!("condominium {condominium}: {what}"),
            format!("set scheduler.places in config.toml to more than {unswitched}, and start the node again"),
        ),
        None if matches!(policy, Policy::FcfsSlots { .. }) => found.ok("scheduler_places", format!("condominium {condominium}: enough")),
        None => {}
    }
}

fn genesis_is_live(data: &DataDir) -> bool {
    data.genesis().is_ok_and(|genesis| genesis.kind == NetworkKind::Live)
}

/// What this node cannot do without, by name.
fn needed(config: &Config, name: KeyName) -> bool {
    match name {
        KeyName::Validator => !config.observer,
        KeyName::Network => true,
        KeyName::Gateway => config.gateway.enabled,
        KeyName::Scheduler => config.scheduler.enabled,
        KeyName::Manager | KeyName::Treasurer | KeyName::Revenue => false,
    }
}

fn read_keys(data: &DataDir, config: &Config, found: &mut Diagnosis) -> Vec<(KeyName, SigningKey)> {
    let mut keys = Vec::new();
    let in_use_and_next = |name: KeyName| [(name, name.file(data.path()), false), (name, name.next_file(data.path()), true)];
    for (name, file, is_next) in KeyName::ALL.into_iter().flat_map(in_use_and_next) {
        let check = format!("key_{}", name.name());
        match keys::read(&file) {
            Ok(key) => {
                let address = address_of(&key);
                if is_next {
                    found.ok(&check, format!("{address} takes over from it once a manager gives it the role"));
                } else if name == KeyName::Validator && config.observer {
                    found.wrong(
                        &check,
                        "config.toml says observer = true, but there is a validator's key",
                        "take one of them away: an observer has no vote",
                    );
                } else {
                    found.ok(&check, format!("{address}, for its owner alone"));
                }
                keys.push((name, key));
            }
            Err(KeyError::Io { error, .. }) if error.kind() == ErrorKind::NotFound => {
                if !is_next && needed(config, name) {
                    found.wrong(&check, format!("{} is missing", file.display()), "restore it from a backup: nobody can make it again");
                }
            }
            Err(KeyError::Exposed { mode, .. }) => found.wrong(
                &check,
                format!("{} may be read by others (mode {mode:03o})", file.display()),
                format!("chmod 600 {}; if somebody else may have read it, have the role granted to another key", file.display()),
            ),
            Err(KeyError::Malformed { .. }) if is_next => found.wrong(
                &check,
                format!("{} holds no key", file.display()),
                format!(
                    "where no manager was given its address remove it, and make another: wattd key next {}; otherwise restore it from a backup",
                    name.name()
                ),
            ),
            Err(KeyError::Malformed { .. }) => {
                found.wrong(&check, format!("{} holds no key", file.display()), "restore it from a backup: 64 hexadecimal digits");
            }
            Err(error @ KeyError::Io { .. }) => {
                found.wrong(&check, error.to_string(), "let the user that runs the node, and nobody else, read it: chown, then chmod 600");
            }
        }
    }
    keys
}

/// Whether the keys are those that genesis names.
fn membership(known: &Known<'_>, found: &mut Diagnosis) {
    let Some(network) = known.key(KeyName::Network) else { return };
    if known.config.observer {
        found.ok("membership", "an observer: it follows without a vote");
        return;
    }
    let Some(validator) = known.key(KeyName::Validator) else { return };
    let address = address_of(validator);
    match known.genesis.validators.iter().find(|member| member.address == address) {
        None => found.wrong(
            "membership",
            format!("the validator's key, {address}, is not among the validators of genesis.json"),
            "restore keys/validator.key, or the federation's genesis.json",
        ),
        Some(member) if member.network_key.0 != address_of(network).0 => found.wrong(
            "membership",
            "the network's key is not the one that genesis.json names beside the validator's",
            "restore keys/network.key",
        ),
        Some(member) => found.ok("membership", format!("validator of condominium {}", member.condominium)),
    }
}

/// How the node is started: one that may have voted before, on a disk that knows nothing of it, only in the way that watches first.
fn start_with(known: &Known<'_>) -> String {
    let data = known.data.path().display();
    let votes_with_others = !known.config.observer && known.genesis.validators.len() > 1;
    if votes_with_others && !known.data.database().exists() {
        return format!(
            "the first time, start it with: wattd run --data {data}; if it has run before and its disk was lost: wattd run --data {data} --rejoin"
        );
    }
    format!("start it with: wattd run --data {data}")
}

/// How the gateway is given a unit, at a connector of the node's own condominium.
fn add_unit(known: &Known<'_>) -> String {
    let own = known.key(KeyName::Validator).map(address_of);
    let member = known.genesis.validators.iter().find(|member| Some(member.address) == own);
    let condominium = member.map_or_else(|| "CONDOMINIUM".to_owned(), |member| member.condominium.to_string());
    format!("add one with: wattd unit add --data {} --connector {condominium}-1", known.data.path().display())
}

fn units_file(known: &Known<'_>, found: &mut Diagnosis) {
    if !known.config.gateway.enabled {
        return;
    }
    let data = known.data.path();
    match units::Registry::load(data) {
        Err(error @ units::UnitsError::Mode { .. }) => {
            let file = data.join(units::UNITS_FILE);
            found.wrong(
                "units_file",
                error.to_string(),
                format!("chmod 600 {}; give units whose keys others may have read new ones", file.display()),
            );
        }
        Err(error) => {
            found.wrong("units_file", error.to_string(), "correct units.json, or restore it from a backup: it has the units' keys")
        }
        Ok(registry) if registry.iter().count() == 0 => {
            found.warning("units_file", "the gateway has no unit", add_unit(known));
        }
        Ok(registry) => found.ok("units_file", format!("{} units", registry.iter().count())),
    }
}

/// Whether the other nodes are named, and can be reached from here.
fn peers(known: &Known<'_>, found: &mut Diagnosis) {
    let named: Vec<(&String, Option<String>)> =
        known.config.network.peers.iter().map(|peer| (peer, consensus::peer_id_in(peer).ok())).collect();
    if let Some((peer, _)) = named.iter().find(|(_, id)| id.is_none()) {
        let next = "correct network.peers in config.toml: such as /ip4/192.0.2.7/tcp/8422/p2p/12D3KooW…, as wattd join wrote them";
        found.wrong("peers_named", format!("{peer:?} in network.peers is no peer"), next);
        return;
    }
    let own = known.key(KeyName::Network).and_then(|key| consensus::peer_id(key).ok());
    for member in &known.genesis.validators {
        let id = consensus::peer_id_of(&member.network_key.0).ok();
        if id.is_some() && id != own && !named.iter().any(|(_, named)| *named == id) {
            found.wrong(
                "peers_named",
                format!("the validator of condominium {} is not in network.peers: this node refuses to speak to it", member.condominium),
                "add its line of peers.txt (wattd genesis wrote it) to network.peers in config.toml",
            );
        }
    }
    let tried: Vec<_> = named.iter().map(|(peer, _)| (*peer, dial(peer))).collect();
    let nobody = tried.iter().all(|(_, answer)| answer.is_err());
    let never_ran = !known.data.database().exists();
    for (peer, answer) in tried {
        match answer {
            Ok(()) => found.ok("peer_reachable", peer.clone()),
            Err(why) if never_ran => found.warning(
                "peer_reachable",
                format!("{peer}: {why}; this node never ran either"),
                "nothing while that one was not started yet; otherwise see that its address is right, and that firewall and router let this port through",
            ),
            Err(why) if known.config.observer && !nobody => found.warning(
                "peer_reachable",
                format!("{peer}: {why}"),
                "nothing while others answer: an observer needs one of them; otherwise see that it runs, and that its firewall lets this node through",
            ),
            Err(why) => found.wrong(
                "peer_reachable",
                format!("{peer}: {why}"),
                "see that the other node runs, that its address is right, and that its firewall and router let this port through",
            ),
        }
    }
}

/// Opens a connection to a multiaddress and closes it again.
fn dial(peer: &str) -> Result<(), String> {
    let parts: Vec<&str> = peer.split('/').collect();
    let [_, _, host, "tcp", port, ..] = parts.as_slice() else { return Err("no address of a host and a port".to_owned()) };
    let port: u16 = port.parse().map_err(|_| "no port".to_owned())?;
    let address = (*host, port).to_socket_addrs().map_err(|_| "its name is not known".to_owned())?.next();
    reach(address.ok_or("its name has no address")?)
}

fn reach(address: SocketAddr) -> Result<(), String> {
    TcpStream::connect_timeout(&address, PATIENCE).map(drop).map_err(|error| why(&error))
}

/// Why somebody does not answer, without the number that the machine says it with.
fn why(error: &std::io::Error) -> String {
    let kind = error.kind();
    if kind == ErrorKind::ConnectionRefused {
        "nobody listens there".to_owned()
    } else if kind == ErrorKind::TimedOut || kind == ErrorKind::WouldBlock {
        format!("no answer within {} s", PATIENCE.as_secs())
    } else {
        error.to_string().split(" (os error ").next().unwrap_or_default().to_owned()
    }
}

/// A path as it is shown.
fn shown(path: &Path) -> String {
    path.display().to_string()
}
