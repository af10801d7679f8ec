//! A node that runs: what it says of itself over HTTP, and what other nodes say.

use std::{
    io::{Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs as _},
    time::{Duration, Instant},
};

use chain::{
    api::{BlockView, ConnectorView, Health, Page, RoleView, Status},
    crypto::address_of,
    diagnosis::Diagnosis,
    genesis_kind::NetworkKind,
    id::{CondominiumId, ConnectorId, Height},
    record::{Control, Role},
    sign_in::{Challenge, Token},
    time::Timestamp,
};
use serde::de::DeserializeOwned;

use super::{
    Known, PATIENCE,
    disk::{Holding, tell_role},
    reach, tell_places,
};
use crate::{clock::Clock, keys::KeyName};

/// The most of an answer that is read, in bytes.
const MAX_ANSWER_BYTES: u64 = 8 << 20;

/// How far two clocks may be apart before somebody should know, and before blocks are refused.
const CLOCK_APART_MS: u64 = 1_000;
const CLOCK_WRONG_MS: u64 = 2_000;

/// How many blocks another node may be behind before that is told.
const BLOCKS_BEHIND: u64 = 10;

/// Looks at the node of the directory, and at others beside it.
pub(super) fn look(known: &Known<'_>, others: &[String], found: &mut Diagnosis) {
    found.unknown("database", "the node has it open; it checked all of it at its start");
    let api = local(known.config.api.listen);
    let status: Status = match get(api, "/api/v1/status") {
        Ok(status) => status,
        Err(why) => {
            found.wrong(
                "api",
                format!("the node's API at {api} does not answer: {why}"),
                "look at the node's log; it may still be opening its database",
            );
            return;
        }
    };
    found.ok("api", format!("{api}, height {}", status.height));
    let expected = known.genesis.chain_id();
    if status.chain_id != expected {
        let text = format!("the node at {api} is of chain {}, genesis.json of {expected}", status.chain_id);
        found.wrong("chain", text, "another node has this address, or genesis.json was exchanged while it ran: correct one of them");
        return;
    }
    let own = crate::VERSION;
    if status.version == own {
        found.ok("version", own);
    } else {
        let text = format!("the node runs version {}, this program is {own}", status.version);
        found.warning("version", text, "start the node again with the program that is installed, or use the one that runs");
    }
    match get::<Health>(api, "/health") {
        Ok(health) if health.ready => found.ok("health", "ready"),
        Ok(health) => found.wrong("health", health.problems.join("; "), "look at the node's log"),
        Err(why) => found.wrong("health", why, "look at the node's log"),
    }
    clock(known, &status, found);
    let metrics = fetch(api, "/metrics").unwrap_or_default();
    connected(known.config.observer, &metrics, found);
    if known.config.gateway.enabled {
        let door = local(known.config.gateway.listen);
        match reach(door) {
            Ok(()) => found.ok("gateway", format!("the units' door at {door} answers")),
            Err(why) => found.wrong(
                "gateway",
                format!("the units' door at {door}: {why}"),
                "look at the node's log: without it no unit has a lease",
            ),
        }
        units(known, &metrics, status.now, found);
    }
    granted(known, api, &status, found);
    for other in others {
        compare(api, other, &status, found);
    }
}

/// Where this machine reaches what it listens on.
fn local(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => ip,
    };
    SocketAddr::new(ip, address.port())
}

fn clock(known: &Known<'_>, status: &Status, found: &mut Diagnosis) {
    let now = Clock::real().now();
    let apart = now.since(status.now).ms().max(status.now.since(now).ms());
    match known.genesis.kind {
        // Its clock may be stepped.
        NetworkKind::Test if apart > CLOCK_WRONG_MS => found.ok("clock", "stepped: this is a test federation"),
        NetworkKind::Test | NetworkKind::Live if status.timestamp > now.saturating_add(chain::time::Duration::from_ms(CLOCK_WRONG_MS)) => {
            found.wrong(
                "clock",
                format!("the newest block is of {}, this machine's clock shows {now}", status.timestamp),
                "set this machine's clock right (NTP)",
            );
        }
        NetworkKind::Test | NetworkKind::Live => found.ok("clock", format!("{now}; the newest block is of {}", status.timestamp)),
    }
}

/// The lines of a metric: its labels and its value.
fn lines<'a>(metrics: &'a str, name: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
    metrics.lines().filter_map(move |line| line.strip_prefix(name)?.strip_prefix('{')?.rsplit_once("} "))
}

/// The value of a label.
fn label<'a>(labels: &'a str, name: &str) -> Option<&'a str> {
    labels.split_once(&format!("{name}=\""))?.1.split('"').next()
}

/// Whether it is connected to those of its configuration: a validator to all, an observer to those that chose to list it, one at least.
fn connected(observer: bool, metrics: &str, found: &mut Diagnosis) {
    let peers: Vec<_> = lines(metrics, "commonwatt_peer_connected").collect();
    let nobody = peers.iter().all(|(_, value)| *value != "1");
    for (labels, value) in &peers {
        let address = label(labels, "address").unwrap_or(labels);
        if *value == "1" {
            found.ok("peer_connected", address);
        } else if observer && !nobody {
            let next = "nothing, unless its operator has said that he lists this observer: it follows through the others";
            found.warning("peer_connected", format!("not connected to {address}: it does not run, or does not list this observer"), next);
        } else {
            let next = if observer {
                "nobody speaks to this observer: have one operator at least put its line into his network.peers and start again; compare the chain's id"
            } else {
                "see that it runs; compare the chain's id, and whether the other names this node in its network.peers"
            };
            found.wrong("peer_connected", format!("not connected to {address}"), next);
        }
    }
}

fn units(known: &Known<'_>, metrics: &str, now: Timestamp, found: &mut Diagnosis) {
    // Three leases without a word: by then its relay has opened twice over.
    let patience = u64::from(known.config.gateway.lease_s).max(known.config.gateway.transmit_period_s.into()).saturating_mul(3);
    for (labels, value) in lines(metrics, "commonwatt_gateway_unit_heard_timestamp_seconds") {
        let (connector, heard) = (label(labels, "connector").unwrap_or(labels), value.trim().parse::<f64>().unwrap_or(0.0));
        let silent = std::time::Duration::from_millis(now.ms()).as_secs_f64() - heard;
        let next = "see that it has power, reaches the gateway's address, shows its number, and has its key";
        if heard == 0.0 {
            found.warning("unit", format!("the unit of {connector} was never heard"), next);
        } else if silent > Duration::from_secs(patience).as_secs_f64() {
            found.wrong("unit", format!("the unit of {connector} is silent for {silent:.0} s"), next);
        } else {
            found.ok("unit", format!("the unit of {connector} was heard {silent:.0} s ago"));
        }
    }
}

/// Whether the keys of gateway and scheduler hold their roles.
fn granted(known: &Known<'_>, api: SocketAddr, status: &Status, found: &mut Diagnosis) {
    let grants = match grants(known, api) {
        Ok(grants) => grants,
        Err(why) => {
            found.unknown("roles", format!("who holds which role is not told: {why}"));
            return;
        }
    };
    let next = Height(status.height.0.saturating_add(1));
    let holds = |name, role| {
        let standing: Vec<_> =
            grants.iter().filter(|view| view.role == role && view.grant.holds_at(next)).map(|view| view.account).collect();
        Holding::of(known, name, |key| standing.contains(&address_of(key)))
    };
    tell_role("role_gateway", "Gateway", known.config.gateway.enabled.then(|| holds(KeyName::Gateway, Role::Gateway)).flatten(), found);
    tell_role(
        "role_scheduler",
        "Scheduler",
        known.config.scheduler.enabled.then(|| holds(KeyName::Scheduler, Role::Scheduler)).flatten(),
        found,
    );
    let Some(own) = known.key(KeyName::Scheduler).filter(|_| known.config.scheduler.enabled).map(address_of) else { return };
    let ours = |id| {
        let mut of = grants.iter().filter(|view| view.condominium == id && view.account == own && view.role == Role::Scheduler);
        of.any(|view| view.grant.holds_at(next))
    };
    let Ok(connectors) = connectors(api) else { return };
    for condominium in known.genesis.condominiums.iter().filter(|condominium| ours(condominium.id)) {
        let count = |control| {
            let of = connectors.iter().filter(|view| view.id.condominium == condominium.id && view.connector.control == control);
            u32::try_from(of.count()).unwrap_or(u32::MAX)
        };
        tell_places(known, condominium.id, count(Control::MeterOnly), count(Control::Switched), found);
    }
}

/// The most pages of a list that are read: five thousand items.
const MAX_PAGES: usize = 10;

/// Who holds which role in all condominiums, as the node says.
fn grants(known: &Known<'_>, api: SocketAddr) -> Result<Vec<RoleView>, String> {
    let mut all = Vec::new();
    // The list is for accounts of the chain; the gateway's is one.
    let bearer = sign_in(known, api).unwrap_or_default();
    for condominium in &known.genesis.condominiums {
        let mut cursor = String::new();
        for _ in 0..MAX_PAGES {
            let path = format!("/api/v1/roles?condominium={}&limit=500{cursor}", condominium.id);
            let page: Page<RoleView> = ask(api, "GET", &path, &bearer, "")?;
            all.extend(page.items);
            match page.next {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
    }
    Ok(all)
}

/// The height of the node, and who holds which role after it.
pub(super) fn roles(known: &Known<'_>) -> Result<(Height, Vec<RoleView>), String> {
    let api = local(known.config.api.listen);
    let status: Status = get(api, "/api/v1/status").map_err(|why| format!("the node's API at {api} does not answer: {why}"))?;
    if status.chain_id != known.genesis.chain_id() {
        return Err(format!("the node at {api} is of another chain than genesis.json"));
    }
    Ok((status.height, grants(known, api)?))
}

/// The connectors of a condominium, as the node says.
pub(super) fn connectors_of(known: &Known<'_>, condominium: CondominiumId) -> Result<Vec<ConnectorId>, String> {
    let api = local(known.config.api.listen);
    let status: Status = get(api, "/api/v1/status")?;
    if status.chain_id != known.genesis.chain_id() {
        return Err(format!("the node at {api} is of another chain than genesis.json"));
    }
    Ok(connectors(api)?.into_iter().map(|view| view.id).filter(|id| id.condominium == condominium).collect())
}

fn connectors(api: SocketAddr) -> Result<Vec<ConnectorView>, String> {
    let (mut all, mut cursor) = (Vec::new(), String::new());
    for _ in 0..MAX_PAGES {
        let page: Page<ConnectorView> = get(api, &format!("/api/v1/connectors?limit=500{cursor}"))?;
        all.extend(page.items);
        match page.next {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    Ok(all)
}

/// The header of a request as the gateway's or the scheduler's account, at this very node and no other.
fn sign_in(known: &Known<'_>, api: SocketAddr) -> Result<String, String> {
    let key = known.key(KeyName::Gateway).or_else(|| known.key(KeyName::Scheduler)).ok_or("there is no key to sign in with")?;
    let challenge: Challenge = ask(api, "POST", "/api/v1/challenges", "", "")?;
    let own = known.key(KeyName::Network).map(|key| address_of(key).0);
    if challenge.chain_id != known.genesis.chain_id() || Some(challenge.node.0) != own {
        return Err("it asks in the name of another node".to_owned());
    }
    let answer = challenge.answer(key).map_err(|error| error.to_string())?;
    let body = serde_json::to_string(&answer).map_err(|error| error.to_string())?;
    let token: Token = ask(api, "POST", "/api/v1/tokens", "Content-Type: application/json\r\n", &body)?;
    Ok(format!("Authorization: Bearer {}\r\n", token.token))
}

/// Whether another node follows the same chain at the same time.
fn compare(api: SocketAddr, other: &str, own: &Status, found: &mut Diagnosis) {
    let bare = other.trim_start_matches("http://").trim_end_matches('/');
    let address = match bare.to_socket_addrs().ok().and_then(|mut addresses| addresses.next()) {
        Some(address) => address,
        None => return found.wrong("other", format!("{other} is no address of an API"), "give it as host:port"),
    };
    let asked = Clock::real().now();
    let theirs: Status = match get(address, "/api/v1/status") {
        Ok(status) => status,
        Err(why) => {
            return found.wrong(
                "other",
                format!("{other}: {why}"),
                "see that the other node runs and that its API can be reached from here",
            );
        }
    };
    if theirs.chain_id != own.chain_id {
        let next = "one of the two has another genesis document: compare with a third, and put the federation's genesis.json back";
        return found.wrong("other", format!("{other} follows chain {}, this node {}", theirs.chain_id, own.chain_id), next);
    }
    let common = theirs.height.min(own.height);
    let hash = |address| get::<BlockView>(address, &format!("/api/v1/blocks/{common}")).map(|block| block.hash);
    if let (true, Ok(here), Ok(there)) = (common > Height(0), hash(api), hash(address))
        && here != there
    {
        let next = "stop both, and tell the operators: two histories of one chain mean that somebody's keys were used twice";
        return found.wrong("other", format!("{other} has another block at height {common}"), next);
    }
    if theirs.version != own.version {
        found.warning(
            "other",
            format!("{other} runs version {}, this node {}", theirs.version, own.version),
            "bring both to the same version",
        );
    }
    let apart = theirs.now.since(asked).ms().max(asked.since(theirs.now).ms());
    if own.kind == NetworkKind::Live && apart > CLOCK_WRONG_MS {
        let next = "set both clocks by NTP: blocks more than 2 s ahead of a validator's clock are not voted for";
        return found.wrong("other", format!("the clock of {other} is {} s away from this machine's", apart / 1_000), next);
    }
    if own.kind == NetworkKind::Live && apart > CLOCK_APART_MS {
        found.warning("other", format!("the clock of {other} is {apart} ms away from this machine's"), "set both clocks by NTP");
    }
    let (least, most) = (theirs.height.min(own.height), theirs.height.max(own.height));
    if most.0.saturating_sub(least.0) > BLOCKS_BEHIND {
        let behind = if theirs.height < own.height { other } else { "this node" };
        found.warning(
            "other",
            format!("{behind} is at height {least}, the other at {most}"),
            "it may be catching up: look again in a minute",
        );
    } else {
        found.ok("other", format!("{other} follows the same chain, height {}", theirs.height));
    }
}

fn get<T: DeserializeOwned>(address: SocketAddr, path: &str) -> Result<T, String> {
    ask(address, "GET", path, "", "")
}

/// One question; `headers` are whole lines.
fn ask<T: DeserializeOwned>(address: SocketAddr, method: &str, path: &str, headers: &str, body: &str) -> Result<T, String> {
    let answer = exchange(address, method, path, headers, body)?;
    serde_json::from_str(&answer).map_err(|_| "its answer is not understood: is it a node of ours, of this version?".to_owned())
}

fn fetch(address: SocketAddr, path: &str) -> Result<String, String> {
    exchange(address, "GET", path, "", "")
}

/// One request in the oldest form of HTTP, whose answers come in one piece and end with the connection.
fn exchange(address: SocketAddr, method: &str, path: &str, headers: &str, body: &str) -> Result<String, String> {
    let asked = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let length = body.len();
        write!(stream, "{method} {path} HTTP/1.0\r\nHost: {address}\r\nAccept: */*\r\nContent-Length: {length}\r\n{headers}\r\n{body}")?;
        let (mut answer, until) = (Vec::new(), Instant::now() + PATIENCE);
        let mut piece = [0; 8 << 10];
        // A peer that sends a byte now and then must not hold the doctor.
        while (answer.len() as u64) < MAX_ANSWER_BYTES && Instant::now() < until {
            match stream.read(&mut piece)? {
                0 => break,
                length => answer.extend_from_slice(&piece[..length]),
            }
        }
        Ok(String::from_utf8_lossy(&answer).into_owned())
    };
    let answer = asked().map_err(|error| super::why(&error))?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("no answer of HTTP")?;
    match head.split_whitespace().nth(1) {
        // A node that is not ready says so with its problems.
        Some(status) if status.starts_with('2') || status == "503" => Ok(body.to_owned()),
        Some(status) => Err(format!("it answers {status}")),
        None => Err("no answer of HTTP".to_owned()),
    }
}
