//! Founds the nodes of a chain with the commands that an operator would use, and tells each of the others.
//!
//! One node is founded by `wattd init`; several by `wattd prepare` for each, `wattd genesis` once, and `wattd join` for each, so that every condominium makes its
//! own keys. Called by `provision` and `load`.

use std::{
    ffi::OsStr,
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
};

use chain::quantity::Amount;
use contracts::genesis::Genesis;
use futures::future::try_join_all;
use serde::Serialize;
use tempfile::TempDir;
use tokio::process::Command;

use super::{
    FederationError, Node, Plan, Process, Program, Staff, Stepping, Time, failed, free_ports,
    plan::{UnitsFile, config_text},
    spawn, write_file,
};
use crate::{
    clock::ClockSocket,
    link::{Links, Machine},
};

/// Founds a node for each plan in `folder/node-<index>`, all of one chain, and starts them. Where links are given, nodes speak to each other through them.
///
/// # Errors
/// [`FederationError`].
pub async fn found(folder: &Path, program: PathBuf, plans: &[Plan], links: Option<&Links>) -> Result<Vec<Node>, FederationError> {
    let dirs: Vec<_> = (0..plans.len()).map(|index| folder.join(format!("node-{index}"))).collect();
    let machines: Vec<_> = (0..plans.len()).map(|index| links.and_then(|links| links.machine(index))).collect();
    let ports = machines.iter().map(addresses_on).collect::<Result<Vec<_>, _>>()?;
    let network: Vec<_> = ports.iter().map(|[_, _, network]| *network).collect();
    let addresses: Vec<_> = network.iter().map(|address| multiaddress(*address)).collect();
    let peer_ids = match (&dirs[..], plans) {
        ([dir], [plan]) => {
            init(&program, dir, plan).await?;
            Vec::new()
        }
        (_, _) => join(&program, &dirs, plans, &addresses).await?,
    };
    if let Some(links) = links {
        links.lead_to(&network);
    }
    let mut nodes = Vec::new();
    let places = dirs.into_iter().zip(ports).zip(machines);
    for (index, (plan, ((dir, [api, gateway, listen]), machine))) in plans.iter().zip(places).enumerate() {
        let peers: Vec<String> = (0..network.len())
            .filter(|other| *other != index)
            .map(|other| {
                let address = links.and_then(|links| links.door(index, other)).unwrap_or(network[other]);
                format!("{}/p2p/{}", multiaddress(address), peer_ids[other])
            })
            .collect();
        write_file(&dir.join("config.toml"), config_text(plan, api, gateway, listen, &peers).as_bytes())?;
        write_json(&dir.join("units.json"), &UnitsFile { units: &plan.units })?;
        let clock = stepping(plan.time)?;
        let signals = Process::default();
        let program = Program { path: program.clone(), namespace: machine.map(|machine| machine.namespace) };
        let process = spawn(&program, &dir, clock.as_ref(), &signals)?;
        nodes.push(Node { dir, program, api, gateway, process, signals, clock, restarts: 0, ends: Vec::new() });
    }
    try_join_all(nodes.iter_mut().map(Node::await_call)).await?;
    Ok(nodes)
}

/// Where a node listens, for its API, for its units and for other nodes: on loopback, or on a machine of its own.
fn addresses_on(machine: &Option<Machine>) -> Result<[SocketAddr; 3], FederationError> {
    let [mut api, mut gateway, mut network] = free_ports::<3>()?;
    if let Some(machine) = machine {
        api.set_ip(machine.for_people.into());
        gateway.set_ip(machine.for_people.into());
        network.set_ip(machine.between_nodes.into());
    }
    Ok([api, gateway, network])
}

fn multiaddress(address: SocketAddr) -> String {
    format!("/ip4/{}/tcp/{}", address.ip(), address.port())
}

/// Founds a chain of one condominium.
async fn init(program: &Path, dir: &Path, plan: &Plan) -> Result<(), FederationError> {
    let files = TempDir::new().map_err(|error| failed("a temporary folder", error))?;
    let mut command = Command::new(program);
    command.arg("init").arg("--test").arg("--data").arg(dir).args(["--name", &plan.name]);
    with_roles(&mut command, plan, files.path())?;
    with_parameters(&mut command, plan, files.path())?;
    wattd(command).await
}

/// Founds a chain of several condominiums, each with its node; gives how each node is named in the network.
async fn join(program: &Path, dirs: &[PathBuf], plans: &[Plan], addresses: &[String]) -> Result<Vec<String>, FederationError> {
    let files = TempDir::new().map_err(|error| failed("a temporary folder", error))?;
    for ((dir, plan), address) in dirs.iter().zip(plans).zip(addresses) {
        let mut command = Command::new(program);
        command.arg("prepare").arg("--data").arg(dir).args(["--name", &plan.name, "--address", address]);
        with_roles(&mut command, plan, files.path())?;
        wattd(command).await?;
    }
    let shared = files.path().join("shared");
    let mut command = Command::new(program);
    command.args(["genesis", "--test", "--network", &plans[0].name]).arg("--out").arg(&shared);
    for dir in dirs {
        command.arg("--member").arg(dir.join("member.json"));
    }
    with_parameters(&mut command, &plans[0], files.path())?;
    wattd(command).await?;
    lift_position_limits(&shared)?;
    for dir in dirs {
        let mut command = Command::new(program);
        command.arg("join").arg("--data").arg(dir).arg("--from").arg(&shared);
        wattd(command).await?;
    }
    let path = shared.join("peers.txt");
    let peers = fs::read_to_string(&path).map_err(|error| failed(path.display(), error))?;
    let ids: Vec<_> = peers.lines().filter_map(|peer| peer.rsplit_once("/p2p/")).map(|(_, id)| id.to_owned()).collect();
    if ids.len() == dirs.len() {
        return Ok(ids);
    }
    Err(FederationError::Init(format!("expected {} peers in {}, found {}", dirs.len(), path.display(), ids.len())))
}

/// Lets condominiums owe each other any amount: a replay's sessions lock far more than they pay, and what is locked counts.
fn lift_position_limits(shared: &Path) -> Result<(), FederationError> {
    let mut genesis = read_genesis(shared)?;
    genesis.condominiums.iter_mut().for_each(|condominium| condominium.position_limit = Amount::MAX);
    write_json(&shared.join("genesis.json"), &genesis)
}

fn with_parameters(command: &mut Command, plan: &Plan, files: &Path) -> Result<(), FederationError> {
    let path = files.join("params.json");
    write_json(&path, &plan.params)?;
    command.arg("--params").arg(path);
    if let Time::Stepped { start_ms } = plan.time {
        command.args(["--timestamp", &start_ms.to_string()]);
    }
    Ok(())
}

fn with_roles(command: &mut Command, plan: &Plan, files: &Path) -> Result<(), FederationError> {
    let Staff::Ours(roles) = &plan.staff else { return Ok(()) };
    let path = files.join("roles.json");
    write_json(&path, roles)?;
    command.arg("--roles").arg(path);
    Ok(())
}

/// Runs a founder's command.
async fn wattd(mut command: Command) -> Result<(), FederationError> {
    let name = command.as_std().get_args().next().and_then(OsStr::to_str).unwrap_or_default().to_owned();
    let output = command.stdin(Stdio::null()).output().await.map_err(|error| failed(format!("wattd {name}"), error))?;
    if output.status.success() {
        return Ok(());
    }
    Err(FederationError::Init(format!("{name}: {}", String::from_utf8_lossy(&output.stderr).trim())))
}

fn write_json(path: &Path, value: &impl Serialize) -> Result<(), FederationError> {
    let text = serde_json::to_vec_pretty(value).map_err(|error| failed(path.display(), error.into()))?;
    write_file(path, &text)
}

fn stepping(time: Time) -> Result<Option<Stepping>, FederationError> {
    let Time::Stepped { start_ms } = time else { return Ok(None) };
    let folder = TempDir::with_prefix("watt-").map_err(|error| failed("a folder for the clock's socket", error))?;
    let path = folder.path().join("clock");
    let socket = ClockSocket::bind(&path).map_err(|error| failed(path.display(), error))?;
    Ok(Some(Stepping { socket, folder, line: None, now_ms: start_ms }))
}

pub(super) fn read_genesis(dir: &Path) -> Result<Genesis, FederationError> {
    let path = dir.join("genesis.json");
    let text = fs::read(&path).map_err(|error| failed(path.display(), error))?;
    serde_json::from_slice(&text).map_err(|error| failed(path.display(), io::Error::from(error)))
}
