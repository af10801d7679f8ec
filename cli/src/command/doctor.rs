//! `watt doctor`: what is wrong with wallets, with the way to the node, and with the node as it can be seen from here.

use std::{io, net::ToSocketAddrs as _, os::unix::fs::MetadataExt as _, path::Path, time::Duration};

use ::chain::{
    api::Status,
    diagnosis::Diagnosis,
    genesis_kind::NetworkKind,
    id::{ChainId, Height},
    time::Timestamp,
};
use clap::Args;

use super::{CommandError, Context, context::spinner, present::machine_time};
use crate::{
    checkpoints::Checkpoints,
    client::{Client, ClientError},
    csv::{self, Csv},
    describe,
    keystore::{Keystore, KeystoreError},
    quantity::time,
    render::{clean_lines, io_words},
};

/// Find what is wrong with wallets, the way to the node, and the node as seen from here
///
/// Each finding says what to do. Nothing is changed, and no passphrase is asked for; with --passphrase-file the wallet's account is looked at too. Files, keys and databases of a node are looked at where the node
/// is: `wattd doctor`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  watt doctor
  watt doctor --output json
  watt doctor --node http://10.0.0.5:8420 --gateway 10.0.0.5:8421
  watt doctor --other http://10.0.0.6:8420 --other http://10.0.0.7:8420    nodes that must follow the same chain

Exit codes: 0 nothing is wrong (there may be warnings), 1 something is.")]
pub struct Doctor {
    /// Another node of the federation, to be compared with this one; may be given several times
    #[arg(long = "other", value_name = "URL")]
    others: Vec<String>,
    /// Where the units' door should listen
    #[arg(long, value_name = "HOST:PORT")]
    gateway: Option<String>,
}

/// How long a door may take to open.
const PATIENCE: Duration = Duration::from_secs(3);

/// How far the node's clock may be from this machine's.
const CLOCK_APART_MS: u64 = 2_000;

/// How many blocks another node may be behind before that is told.
const BLOCKS_BEHIND: u64 = 10;

impl Doctor {
    pub(super) async fn run(self, context: &Context) -> Result<(), CommandError> {
        context.require_neither_dry_nor_offline()?;
        let mut found = Diagnosis::default();
        let seen = wallets(&mut found);
        let spinner = spinner("asking the node");
        let client = context.stranger()?;
        let status = node(&client, seen.as_ref(), &mut found).await;
        if let Some(status) = &status {
            account(context, &client, status, &mut found).await;
            for other in &self.others {
                compare(&client, other, status, &mut found).await;
            }
        }
        if let Some(gateway) = &self.gateway {
            door(gateway, &mut found);
        }
        spinner.finish_and_clear();
        context.put_list(&found, || clean_lines(&found.text()) + "\n", || rows(&found))?;
        let wrong = found.findings.iter().filter(|finding| finding.standing == ::chain::diagnosis::Standing::Wrong).count();
        if found.healthy { Ok(()) } else { Err(CommandError::Unhealthy { wrong }) }
    }
}

fn rows(found: &Diagnosis) -> Csv {
    let mut csv = Csv::new(&["check", "standing", "found", "next"]);
    for finding in &found.findings {
        let next = csv::some(finding.next.as_ref(), csv::text);
        csv.push([csv::text(&finding.check), csv::text(finding.standing.name()), csv::text(&finding.found), next]);
    }
    csv
}

/// The files of this user; gives the blocks that his wallets have seen.
fn wallets(found: &mut Diagnosis) -> Option<Checkpoints> {
    let keystore = match Keystore::of_user() {
        Ok(keystore) => keystore,
        Err(error) => {
            found.wrong("wallets", error.to_string(), "set WATT_HOME to the folder for your wallets");
            return None;
        }
    };
    private(keystore.folder(), 0o700, "wallets_folder", found);
    match keystore.names() {
        Err(error) => found.wrong("wallets", error.to_string(), "let your user read the folder of wallets"),
        Ok(names) if names.is_empty() => {
            found.warning("wallets", "there is none on this machine", "watt wallet new, or watt wallet recover with your words")
        }
        Ok(names) => {
            for name in names {
                match keystore.entry(&name) {
                    Ok(entry) => found.ok("wallet", format!("{name}: {}", entry.address)),
                    Err(error @ KeystoreError::Readable { .. }) => {
                        found.wrong(
                            "wallet",
                            format!("{name}: {error}"),
                            "chmod 600 it; if somebody may have copied it, move the tokens to a new wallet",
                        );
                    }
                    Err(error) => found.wrong("wallet", format!("{name}: {error}"), "make it again from its words: watt wallet recover"),
                }
            }
        }
    }
    private(&keystore.home().join("commitments.jsonl"), 0o600, "commitments", found);
    match Checkpoints::load(keystore.home()) {
        Ok(seen) => Some(seen),
        Err(error) => {
            found.wrong("checkpoints", error.to_string(), "move checkpoints.json away: the next proof begins it anew");
            None
        }
    }
}

/// Whether others may look into a file or a folder that is there.
fn private(path: &Path, mode: u32, check: &str, found: &mut Diagnosis) {
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.mode() & 0o077 != 0 => {
            let text = format!("{} is open to others (mode {:03o})", path.display(), metadata.mode() & 0o777);
            found.wrong(check, text, format!("chmod {mode:o} {}", path.display()));
        }
        Ok(_) => found.ok(check, format!("{}, for its owner alone", path.display())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => found.wrong(check, format!("{}: {}", path.display(), io_words(&error)), "let your user read it"),
    }
}

/// The node and its chain; nothing where it does not answer.
async fn node(client: &Client, seen: Option<&Checkpoints>, found: &mut Diagnosis) -> Option<Status> {
    let status = match client.status().await {
        Ok(status) => status,
        Err(error) => {
            let next = "start wattd there, or name the node with --node or WATT_NODE; on its machine, wattd doctor says more";
            found.wrong("node", error.to_string(), next);
            return None;
        }
    };
    found.ok("node", format!("{}, height {}", client.url(), status.height));
    let own = env!("CARGO_PKG_VERSION");
    // What follows the plus tells builds of nodes apart.
    if status.version.split('+').next() == Some(own) {
        found.ok("version", status.version.clone());
    } else {
        found.warning("version", format!("the node has version {}, this program {own}", status.version), "bring both to the same version");
    }
    match client.health().await {
        Ok(health) if health.ready => found.ok("health", "ready"),
        Ok(health) => found.wrong("health", health.problems.join("; "), "ask the node's operator; its log says more"),
        Err(error) => found.wrong("health", error.to_string(), "ask the node's operator; its log says more"),
    }
    clock(&status, found);
    match client.genesis().await {
        Ok(genesis) if genesis.chain_id() == status.chain_id => found.ok("chain", format!("{} ({})", status.chain_id, status.network)),
        Ok(genesis) => {
            let text = format!("the node names chain {}, its genesis document is of {}", status.chain_id, genesis.chain_id());
            found.wrong("chain", text, "do not use this node: ask another one of the federation");
        }
        Err(error) => found.wrong("chain", error.to_string(), "ask the node's operator"),
    }
    if let Some(seen) = seen {
        history(client, status.chain_id, status.height, seen, found).await;
    }
    let members = status.validators.members().len();
    if status.faults_tolerated == 0 {
        let text = format!("{members}: the chain stands still while one of them is down");
        found.warning("validators", text, "know it; from four on a federation goes on without any one of them");
    } else {
        found.ok("validators", format!("{members}, of which {} may fail", status.faults_tolerated));
    }
    if status.pending > 0 {
        found.warning(
            "pool",
            format!("{} transactions wait for a block", status.pending),
            "look again in a minute: where they still wait, validators are down",
        );
    }
    Some(status)
}

fn clock(status: &Status, found: &mut Diagnosis) {
    let now = machine_time();
    let apart = |one: Timestamp, other: Timestamp| one.since(other).ms().max(other.since(one).ms());
    match status.kind {
        // Its time may be stepped, and its blocks far from today.
        NetworkKind::Test => found.ok("clock", format!("the node's shows {} (a test federation)", time(status.now))),
        NetworkKind::Live if apart(now, status.now) > CLOCK_APART_MS => {
            let text = format!("this machine's clock shows {}, the node's {}", time(now), time(status.now));
            found.wrong("clock", text, "set the one that is wrong (NTP): transactions expire by the chain's time");
        }
        NetworkKind::Live => found.ok("clock", format!("the node's and this machine's agree; newest block {}", time(status.timestamp))),
    }
}

/// Whether the node shows the blocks that this user's wallets have verified before.
async fn history(client: &Client, chain: ChainId, height: Height, seen: &Checkpoints, found: &mut Diagnosis) {
    let Some(newest) = seen.newest(chain) else {
        found.ok("history", "no block of this chain was verified on this machine yet");
        return;
    };
    if newest.height > height {
        let text = format!("this machine has verified block {}, the node is at {height}", newest.height);
        found.warning("history", text, "the node is behind, or was restored from an older copy: look again later, or ask another node");
        return;
    }
    match client.block(newest.height).await {
        Ok(block) if block.hash == newest.hash => found.ok("history", format!("block {} is the one that was verified here", newest.height)),
        Ok(block) => {
            let text = format!("block {} is {}, on this machine {} was verified in its place", newest.height, block.hash, newest.hash);
            found.wrong("history", text, "two histories of one chain: do not use this node, and tell the operators");
        }
        Err(error) => found.unknown("history", error.to_string()),
    }
}

/// The acting wallet's account: as its owner where the passphrase is at hand, else as anybody sees it.
async fn account(context: &Context, anybody: &Client, status: &Status, found: &mut Diagnosis) {
    let entry = match context.entry() {
        Ok(entry) => entry,
        // That there is no wallet, or several, is told elsewhere or no trouble.
        Err(_) => return,
    };
    let options = context.options();
    let is_at_hand = options.passphrase_file.is_some() || options.passphrase_fd.is_some();
    match if is_at_hand { context.client() } else { anybody }.account(entry.address).await {
        Ok(view) => {
            let now = status.height.next();
            let roles: Vec<_> = view.roles.iter().filter(|held| held.grant.holds_at(now)).map(|held| describe::role(held.role)).collect();
            let roles = if roles.is_empty() { "no role".to_owned() } else { roles.join(", ") };
            found.ok("account", format!("wallet {}: registered, home condominium {}, {roles}", entry.name, view.account.home));
        }
        Err(error) if error.is_code("unknown_account") => {
            let next = "buy tokens from your condominium (watt wallet receive shows the address to give), or accept an invite";
            found.warning("account", format!("wallet {} is not registered on this chain", entry.name), next);
        }
        Err(error) if error.problem().is_some_and(|problem| matches!(problem.status, 401 | 403)) => {
            found.unknown("account", format!("wallet {}: shown to its owner alone; add --passphrase-file to look at it", entry.name));
        }
        Err(error) => found.unknown("account", error.to_string()),
    }
}

/// Whether another node follows the same chain.
async fn compare(node: &Client, other: &str, own: &Status, found: &mut Diagnosis) {
    let reached = async {
        let client = Client::new(other)?;
        let status = client.status().await?;
        Ok::<_, ClientError>((client, status))
    };
    let (client, theirs) = match reached.await {
        Ok(answers) => answers,
        Err(error) => return found.wrong("other", error.to_string(), "see that the other node runs and can be reached from here"),
    };
    if theirs.chain_id != own.chain_id {
        let text = format!("{other} follows chain {}, this node {}", theirs.chain_id, own.chain_id);
        return found.wrong("other", text, "compare with a third node: one has another genesis document");
    }
    let common = theirs.height.min(own.height);
    if common > Height(0) {
        match (node.block(common).await, client.block(common).await) {
            (Ok(here), Ok(there)) if here.hash == there.hash => {}
            (Ok(_), Ok(_)) => {
                let next = "do not use either, and tell the operators: two histories of one chain";
                return found.wrong("other", format!("{other} has another block at height {common}"), next);
            }
            (Err(error), _) | (_, Err(error)) => return found.unknown("other", format!("{other}: {error}")),
        }
    }
    let (least, most) = (theirs.height.min(own.height), theirs.height.max(own.height));
    if most.0.saturating_sub(least.0) > BLOCKS_BEHIND {
        let text = format!("{other} is at height {}, this node at {}", theirs.height, own.height);
        found.warning("other", text, "one may be catching up: look again in a minute");
    } else {
        found.ok("other", format!("{other} follows the same chain, height {}", theirs.height));
    }
}

fn door(gateway: &str, found: &mut Diagnosis) {
    let bare = gateway.trim_start_matches("http://").trim_end_matches('/');
    let opened = bare.to_socket_addrs().and_then(|mut addresses| {
        let address = addresses.next().ok_or(io::ErrorKind::NotFound)?;
        std::net::TcpStream::connect_timeout(&address, PATIENCE)
    });
    match opened {
        Ok(_) => found.ok("gateway", format!("{gateway} answers")),
        Err(error) => {
            let next = "see that wattd runs there with its gateway enabled, and that gateway.listen in its config.toml is this address";
            found.wrong("gateway", format!("{gateway}: {}", io_words(&error)), next);
        }
    }
}
