//! Founds the nodes of a chain: each condominium makes its own keys, the documents become one, and every node is told of the others.
//!
//! What `wattd init` founds is a federation of one condominium. Several become one chain by joining their documents: the condominiums, accounts, roles and
//! validators of all, in the order of the plans. Called by `provision` and `load`.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use chain::{id::CondominiumId, quantity::Amount};
use contracts::genesis::Genesis;
use futures::future::try_join_all;
use tempfile::TempDir;

use super::{
    FederationError, Node, Plan, Process, Stepping, Time, failed, free_ports,
    plan::{UnitsFile, config_text, init},
    spawn, write_file,
};
use crate::{clock::ClockSocket, link::Links};

/// Base-58 digits as addresses of the network use them.
const BASE58: &[u8; 58] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";

/// What stands before an ed25519 key in a peer's id: an identity hash of 36 bytes, of a message that says which kind of key, and its 32 bytes.
const PEER_ID_HEAD: [u8; 6] = [0x00, 0x24, 0x08, 0x01, 0x12, 0x20];

/// Founds a node for each plan in `folder/node-<index>`, all of one chain, and starts them. Where links are given, nodes speak to each other through them.
///
/// # Errors
/// [`FederationError`].
pub async fn found(folder: &Path, program: PathBuf, plans: &[Plan], links: Option<&Links>) -> Result<Vec<Node>, FederationError> {
    let mut made = Vec::new();
    for (index, plan) in plans.iter().enumerate() {
        let dir = folder.join(format!("node-{index}"));
        init(&program, &dir, plan).await?;
        made.push((dir, free_ports::<3>()?));
    }
    let documents = made.iter().map(|(dir, _)| read_genesis(dir)).collect::<Result<Vec<_>, _>>()?;
    let peer_ids: Vec<_> = documents
        .iter()
        .map(|document| document.validators.first().map_or_else(String::new, |member| peer_id(&member.network_key.0)))
        .collect();
    if documents.len() > 1 {
        let joined = join(documents);
        let text = serde_json::to_vec_pretty(&joined).map_err(|error| failed("the genesis document", error.into()))?;
        for (dir, _) in &made {
            write_file(&dir.join("genesis.json"), &text)?;
        }
    }
    let network: Vec<_> = made.iter().map(|(_, [_, _, network])| *network).collect();
    if let Some(links) = links {
        links.lead_to(&network);
    }
    let mut nodes = Vec::new();
    for (index, (plan, (dir, [api, gateway, listen]))) in plans.iter().zip(made).enumerate() {
        let peers: Vec<String> = (0..network.len())
            .filter(|other| *other != index)
            .map(|other| {
                let address = links.and_then(|links| links.door(index, other)).unwrap_or(network[other]);
                format!("/ip4/127.0.0.1/tcp/{}/p2p/{}", address.port(), peer_ids[other])
            })
            .collect();
        write_file(&dir.join("config.toml"), config_text(plan, api, gateway, listen, &peers).as_bytes())?;
        let units = serde_json::to_vec(&UnitsFile { units: &plan.units }).map_err(|error| failed("units.json", error.into()))?;
        write_file(&dir.join("units.json"), &units)?;
        let clock = stepping(plan.time)?;
        let signals = Process::default();
        let process = spawn(&program, &dir, clock.as_ref(), &signals)?;
        nodes.push(Node { dir, program: program.clone(), api, gateway, process, signals, clock, restarts: 0 });
    }
    try_join_all(nodes.iter_mut().map(Node::await_call)).await?;
    Ok(nodes)
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

/// One document of several, each of one condominium: they get the numbers from 1 on, and none limits what another may owe it, because a replay locks far more
/// than is paid.
fn join(documents: Vec<Genesis>) -> Genesis {
    let mut joined: Option<Genesis> = None;
    for (id, mut document) in (1..).map(CondominiumId).zip(documents) {
        for condominium in &mut document.condominiums {
            condominium.id = id;
            condominium.position_limit = Amount::MAX;
        }
        document.accounts.iter_mut().for_each(|account| account.home = id);
        document.validators.iter_mut().for_each(|validator| validator.condominium = id);
        match &mut joined {
            None => joined = Some(document),
            Some(joined) => {
                joined.condominiums.append(&mut document.condominiums);
                joined.accounts.append(&mut document.accounts);
                joined.validators.append(&mut document.validators);
            }
        }
    }
    joined.expect("there is at least one plan")
}

/// How a node is named in the network, by its network key.
fn peer_id(key: &[u8; 32]) -> String {
    let mut bytes = PEER_ID_HEAD.to_vec();
    bytes.extend(key);
    base58(&bytes)
}

fn base58(bytes: &[u8]) -> String {
    // The number in base 58, its least digit first.
    let mut digits: Vec<u8> = Vec::new();
    for byte in bytes {
        let mut carry = u32::from(*byte);
        for digit in &mut digits {
            carry += u32::from(*digit) << 8;
            *digit = u8::try_from(carry % 58).expect("a remainder below 58");
            carry /= 58;
        }
        while carry > 0 {
            digits.push(u8::try_from(carry % 58).expect("a remainder below 58"));
            carry /= 58;
        }
    }
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    let ones = std::iter::repeat_n(BASE58[0], zeros);
    ones.chain(digits.iter().rev().map(|digit| BASE58[usize::from(*digit)])).map(char::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_named_as_the_network_names_it() {
        // Any ed25519 key gives the prefix that every such peer has; zeros and ones are the ends of the range.
        assert_eq!(base58(b"hello world"), "StV1DL6CwTryKyV");
        assert_eq!(base58(&[0, 0, 1]), "112");
        for key in [[0; 32], [7; 32], [255; 32]] {
            let id = peer_id(&key);
            assert!(id.starts_with("12D3KooW") && id.len() == 52, "{id}");
        }
    }
}
