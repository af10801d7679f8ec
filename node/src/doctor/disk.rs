//! A node that does not run, and the disk under any: room, databases, the log of consensus, ports.

use std::path::Path;

use chain::{
    crypto::address_of,
    diagnosis::Diagnosis,
    id::Height,
    record::{Key, Role, Signer},
    time::{Duration, Timestamp},
};
use contracts::{ledger::Ledger, roles};
use ed25519_dalek::SigningKey;

use super::{Known, shown, tell_places};
use crate::{
    app::{BEHIND, LARGEST_JUMP},
    clock::Clock,
    gateway::{self, GatewayError},
    keys::KeyName,
    listen, scheduler,
    store::{Opened, Store},
};

/// Under this much room a node will soon stop, in bytes.
const LEAST_FREE: u64 = 256 << 20;

/// Under this much somebody should know.
const LITTLE_FREE: u64 = 1 << 30;

/// Room and rights on the disk.
pub(super) fn space(data: &Path, found: &mut Diagnosis) {
    let room = match rustix::fs::statvfs(data) {
        Ok(room) => room,
        Err(error) => {
            found.unknown("disk_space", format!("{}: {}", shown(data), std::io::Error::from(error)));
            return;
        }
    };
    if room.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY) {
        found.wrong(
            "disk_writable",
            "the disk is mounted read-only",
            "look at the system's log for why (a failing disk?), then mount it for writing",
        );
    }
    let free = room.f_bavail.saturating_mul(room.f_frsize);
    let text = format!("{} MiB free", free >> 20);
    let next = "make room, or move the data directory to a larger disk; a full disk stops the node and loses nothing";
    if free < LEAST_FREE {
        found.wrong("disk_space", text, next);
    } else if free < LITTLE_FREE {
        found.warning("disk_space", text, next);
    } else if room.f_files > 0 && room.f_favail < 1_000 {
        found.wrong("disk_space", format!("{text}, but only {} files can be made", room.f_favail), next);
    } else {
        found.ok("disk_space", text);
    }
}

/// Everything that can be looked at only while nobody else has the data.
pub(super) async fn stopped(known: &Known<'_>, found: &mut Diagnosis) {
    ports(known, found);
    if !known.data.database().exists() {
        found.ok("database", "none yet: the first start begins one, and fetches the chain where there are others");
        return;
    }
    let opened = match Store::open(&known.data.database(), known.genesis) {
        Ok(opened) => opened,
        Err(error) => {
            found.wrong("database", error.to_string(), "docs/damage.md says how to restore or resync; keep keys/ above all");
            return;
        }
    };
    let height = opened.parent.height;
    if opened.rebuilt.is_empty() {
        found.ok("database", format!("height {height}; every checksum, header and root is right"));
    } else {
        let again = format!("height {height}; made again from the blocks: {}", opened.rebuilt.join(", "));
        found.warning("database", again, "after anything but a crash somebody has changed the database: see who may write there");
    }
    log(known, height, found).await;
    clock(known, &opened, found);
    let state = &opened.state;
    let role = |name, role| {
        let ledger = Ledger::new(state);
        let holds = |key: &SigningKey| {
            let mut condominiums = known.genesis.condominiums.iter().map(|condominium| condominium.id);
            condominiums.any(|id| roles::holds(&ledger, height.next(), id, role, &address_of(key)).unwrap_or(false))
        };
        Holding::of(known, name, holds)
    };
    tell_role("role_gateway", "Gateway", known.config.gateway.enabled.then(|| role(KeyName::Gateway, Role::Gateway)).flatten(), found);
    tell_role(
        "role_scheduler",
        "Scheduler",
        known.config.scheduler.enabled.then(|| role(KeyName::Scheduler, Role::Scheduler)).flatten(),
        found,
    );
    if let Some(key) = known.key(KeyName::Scheduler).filter(|_| known.config.scheduler.enabled) {
        let ledger = Ledger::new(state);
        for condominium in &known.genesis.condominiums {
            let ours = roles::holds(&ledger, height.next(), condominium.id, Role::Scheduler, &address_of(key)).unwrap_or(false);
            // What cannot be read was told with the database.
            if let Some(points) = ours.then(|| scheduler::points(&ledger, condominium.id).ok()).flatten() {
                tell_places(known, condominium.id, points.unswitched, points.switched, found);
            }
        }
    }
    if known.config.gateway.enabled {
        let nonce = |key| Ledger::new(state).get::<Signer>(&Key::Signer(address_of(key))).ok().flatten().map(|signer| signer.nonce);
        let transactions = known.keys_of(KeyName::Gateway).filter_map(nonce).fold(0, u64::saturating_add);
        gateway_database(known, transactions, opened.parent.timestamp, found);
    }
}

/// Which of a name's keys holds its role.
#[derive(Clone, Copy)]
pub(super) enum Holding {
    /// The one in use.
    InUse,
    /// The next one alone: the chain has exchanged it.
    Next(KeyName),
    /// Neither.
    Neither,
}

impl Holding {
    /// Nothing where there is no key in use.
    pub(super) fn of(known: &Known<'_>, name: KeyName, holds: impl Fn(&SigningKey) -> bool) -> Option<Self> {
        Some(if holds(known.key(name)?) {
            Self::InUse
        } else if known.keys_of(name).any(holds) {
            Self::Next(name)
        } else {
            Self::Neither
        })
    }
}

pub(super) fn tell_role(check: &str, name: &str, holding: Option<Holding>, found: &mut Diagnosis) {
    match holding {
        None => {}
        Some(Holding::InUse) => found.ok(check, format!("the key holds the role {name}")),
        Some(Holding::Next(key)) => found.warning(
            check,
            format!("the next key has taken over: it alone holds the role {name}"),
            format!("put it into the place of the old one: wattd key adopt {}, with the --data of this node", key.name()),
        ),
        Some(Holding::Neither) => found.wrong(
            check,
            format!("the key in keys/ does not hold the role {name}: the chain refuses what it signs"),
            "have a manager grant it (watt admin role grant), or restore the key that holds it",
        ),
    }
}

fn ports(known: &Known<'_>, found: &mut Diagnosis) {
    let config = known.config;
    let network = match consensus::listen_address_in(&config.network.listen) {
        Ok(address) => Some(("network.listen", address)),
        Err(error) => {
            found.wrong("ports", error.to_string(), "correct network.listen in config.toml");
            None
        }
    };
    let api = Some(("api.listen", config.api.listen));
    let gateway = config.gateway.enabled.then_some(("gateway.listen", config.gateway.listen));
    let mut claims = listen::Addresses::default();
    let mut kept = Vec::new();
    let mut free = Vec::new();
    for (setting, address) in [network, api, gateway].into_iter().flatten() {
        match claims.claim(setting, address) {
            Ok(claim) => {
                kept.push(claim);
                free.push(address.to_string());
            }
            Err(error) => found.wrong("ports", error.to_string(), format!("stop the other program, or change {setting} in config.toml")),
        }
    }
    if free.len() == kept.len() && !free.is_empty() {
        found.ok("ports", format!("free: {}", free.join(", ")));
    }
}

async fn log(known: &Known<'_>, height: Height, found: &mut Diagnosis) {
    if known.config.observer {
        return;
    }
    match consensus::look_at_log(&known.data.wal(), height).await {
        Ok(false) => found.ok("consensus_log", "it fits the database"),
        Ok(true) => found.warning(
            "consensus_log",
            "this validator watches before it votes (wal/watching)",
            "nothing: it ends by itself once the others have decided a block",
        ),
        Err(error) => found.wrong("consensus_log", error.to_string(), "docs/damage.md, \"The log of consensus\""),
    }
}

fn clock(known: &Known<'_>, opened: &Opened, found: &mut Diagnosis) {
    let (now, newest) = (Clock::real().now(), opened.parent.timestamp);
    // A test federation's time is stepped.
    if known.genesis.kind == chain::genesis_kind::NetworkKind::Test || opened.parent.height == Height(0) {
        return;
    }
    if now < newest.saturating_sub(BEHIND) {
        found.wrong(
            "clock",
            format!("this machine's clock shows {now}, before the newest block of {newest}"),
            "set the clock right (NTP), then start",
        );
    } else if now > newest.saturating_add(LARGEST_JUMP) && known.genesis.validators.len() == 1 {
        let text = format!("more than an hour has passed since the newest block of {newest}");
        found.warning("clock", text, "where it ran since then, this is an older copy: restore the newest; else see that this machine's clock is right, then start with --confirm-clock");
    } else {
        found.ok("clock", format!("{now}; the newest block is of {newest}"));
    }
}

/// A unit that was not heard for so long before the node's newest block was silent while the node ran.
const SILENT: Duration = Duration::from_hours(1);

fn gateway_database(known: &Known<'_>, transactions: u64, newest: Timestamp, found: &mut Diagnosis) {
    let data = known.data.path();
    if transactions == 0 && !data.join(gateway::FOLDER).exists() {
        found.ok("gateway_database", "none yet: the first start begins one");
        return;
    }
    let examined = match gateway::examine(data) {
        Ok(examined) => examined,
        // Told already.
        Err(GatewayError::Units(_)) => return,
        Err(error) => {
            found.wrong(
                "gateway_database",
                error.to_string(),
                "restore gateway/ from a backup; docs/damage.md says what is lost without one",
            );
            return;
        }
    };
    found.ok("gateway_database", format!("{} records, each with its seal", examined.records));
    for (connector, heard) in examined.heard {
        if heard.is_none_or(|at| at.saturating_add(SILENT) < newest) {
            let since = heard.map_or_else(|| "was never heard".to_owned(), |at| format!("was last heard at {at}"));
            found.warning(
                "unit",
                format!("the unit of {connector} {since}"),
                "see that it has power, reaches the gateway's address, and has its key",
            );
        }
    }
}
