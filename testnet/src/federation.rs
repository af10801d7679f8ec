//! Real `wattd` processes on loopback, or each on a machine of its own: founded, started, watched, and started again when they die.
//!
//! It knows processes, directories and ports, and gives a node its time; what residents and units do is not its matter. A node that was killed, or ended with an
//! exit code that allows it, is started again, at most [`MAX_RESTARTS`] times, and every request to it is to be repeated after [`Node::recover`]; one that ended
//! otherwise never is. Nothing outlives this process: a node is killed when its handle is dropped. Called by `demo`, `replay`, `load`, `chaos` and `idle`.

mod ended;
mod founding;
mod plan;
mod program;
mod signal;

use std::{
    fs, io,
    net::{SocketAddr, TcpListener},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::atomic::{AtomicU16, Ordering},
    time::{Duration, Instant},
};

use chain::id::ChainId;
use contracts::genesis::Genesis;
use ed25519_dalek::SigningKey;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use self::program::{Program, spawn};
pub use self::{
    founding::found,
    plan::{GatewayPlan, Plan, Policy, Staff, Time, UnitLine},
    program::wattd_beside_us,
    signal::{Process, Signal},
};
use crate::clock::{Blocks, ClockError, ClockLine, ClockSocket, Quiet};

/// How often a `wattd` that died is started again, in one run.
pub const MAX_RESTARTS: u32 = 200;

/// How long a node may take from its start to its first call, real time.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// How many times in a row a node may end by itself before it has called once: it will not come up.
const MAX_FAILED_STARTS: u32 = 3;

/// How long [`Node::recover`] waits for a node that lives but does not answer, between two attempts of a caller.
const PAUSE: Duration = Duration::from_millis(20);

/// Where ports of nodes lie: below 32,768, from where Linux gives them to connections.
const FIRST_PORT: u16 = 12_000;
const PORTS: u16 = 20_000;

/// How many lines of a node's log an error shows.
const LOG_LINES: usize = 12;

/// Why there is no node.
#[derive(Debug, thiserror::Error)]
pub enum FederationError {
    /// The program is not where it should be.
    #[error("there is no wattd at {}: it is built beside watt-testnet (cargo build -p node)", .0.display())]
    NoProgram(PathBuf),
    /// A file or a process.
    #[error("{what}: {error}")]
    Io { what: String, error: io::Error },
    /// The directory is in use.
    #[error("{} is not empty: choose an empty or new folder", .0.display())]
    NotEmpty(PathBuf),
    /// It could not be founded.
    #[error("founding with wattd failed: {0}")]
    Init(String),
    /// All addresses are taken.
    #[error("no port of 127.0.0.1 from {FIRST_PORT} to {} is free: end what listens there", FIRST_PORT + PORTS - 1)]
    NoPort,
    /// It ends as soon as it is started.
    #[error("wattd does not start ({status}); the end of its log:\n{log}")]
    DoesNotStart { status: String, log: String },
    /// It ended by itself, and not so that it may be started again: what it stores is damaged, its key is used twice, or it has a bug.
    #[error("{node} ended by itself ({status}), and must not be started again; the last line of its log:\n{line}")]
    Ended { node: String, status: ExitStatus, line: String },
    /// It died too often.
    #[error("wattd died more than {MAX_RESTARTS} times; the end of its log:\n{log}")]
    DiedTooOften { log: String },
    /// It neither calls nor ends.
    #[error("wattd did not call within {} s; the end of its log:\n{log}", START_TIMEOUT.as_secs())]
    Silent { log: String },
    /// Its clock.
    #[error(transparent)]
    Clock(#[from] ClockError),
    /// Nodes of one chain do not come to the same block.
    #[error("the nodes stay apart: {0}")]
    Apart(String),
}

/// Where the chains of a run are kept.
#[derive(Debug)]
pub enum Place {
    /// Removed at the end.
    Temporary(TempDir),
    /// Chosen by the user, who keeps it.
    Kept(PathBuf),
}

impl Place {
    /// The folder given, which must be empty or new, or else a temporary one.
    ///
    /// # Errors
    /// [`FederationError`].
    pub fn new(data: Option<&Path>) -> Result<Self, FederationError> {
        let Some(data) = data else {
            return TempDir::with_prefix("watt-testnet-").map(Self::Temporary).map_err(|error| failed("a temporary folder", error));
        };
        fs::create_dir_all(data).map_err(|error| failed(data.display(), error))?;
        let mut entries = fs::read_dir(data).map_err(|error| failed(data.display(), error))?;
        if entries.next().is_some() {
            return Err(FederationError::NotEmpty(data.to_owned()));
        }
        Ok(Self::Kept(data.to_owned()))
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        match self {
            Self::Temporary(folder) => folder.path(),
            Self::Kept(path) => path,
        }
    }
}

/// One `wattd`.
#[derive(Debug)]
pub struct Node {
    dir: PathBuf,
    program: Program,
    api: SocketAddr,
    gateway: SocketAddr,
    process: Child,
    /// The process, for whoever sends it signals.
    signals: Process,
    clock: Option<Stepping>,
    restarts: u32,
    ends: Vec<String>,
}

/// The stepped clock of a node.
#[derive(Debug)]
struct Stepping {
    socket: ClockSocket,
    /// Short, because a socket's path may have 107 bytes; the socket goes with it.
    folder: TempDir,
    line: Option<ClockLine>,
    now_ms: u64,
}

impl Stepping {
    fn path(&self) -> PathBuf {
        self.folder.path().join("clock")
    }
}

impl Node {
    /// The base address of its API.
    #[must_use]
    pub fn api_url(&self) -> String {
        format!("http://{}", self.api)
    }

    /// The base address of the units' protocol.
    #[must_use]
    pub fn gateway_url(&self) -> String {
        format!("http://{}", self.gateway)
    }

    /// Its data directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// How often it was started again.
    #[must_use]
    pub const fn restarts(&self) -> u32 {
        self.restarts
    }

    /// How it ended by itself before it was started again: its exit code and the last line of its log.
    #[must_use]
    pub fn ends(&self) -> &[String] {
        &self.ends
    }

    /// The process, while it lives.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.process.id()
    }

    /// Where its process, whichever it is by then, can be sent signals.
    #[must_use]
    pub fn process(&self) -> Process {
        self.signals.clone()
    }

    /// A key that `wattd init` made, such as `manager`.
    ///
    /// # Errors
    /// [`FederationError`].
    pub fn key(&self, name: &str) -> Result<SigningKey, FederationError> {
        let path = self.dir.join("keys").join(format!("{name}.key"));
        let text = fs::read_to_string(&path).map_err(|error| failed(path.display(), error))?;
        let mut secret = [0_u8; 32];
        hex::decode_to_slice(text.trim(), &mut secret)
            .map_err(|error| failed(path.display(), io::Error::new(io::ErrorKind::InvalidData, error)))?;
        Ok(SigningKey::from_bytes(&secret))
    }

    /// Moves its clock and waits until it is quiet; a node that dies meanwhile is started again in the same instant.
    ///
    /// # Errors
    /// [`FederationError`].
    pub async fn advance(&mut self, to_ms: u64) -> Result<Quiet, FederationError> {
        self.move_to(to_ms, Blocks::Free).await
    }

    /// As [`Node::advance`], and then no block is made until it is moved again, so that what is sent now shares one. A node that dies meanwhile comes back
    /// without this: then there are more blocks, nothing else.
    ///
    /// # Errors
    /// [`FederationError`].
    pub async fn hold(&mut self, now_ms: u64) -> Result<Quiet, FederationError> {
        self.move_to(now_ms, Blocks::Held).await
    }

    pub(crate) async fn move_to(&mut self, to_ms: u64, blocks: Blocks) -> Result<Quiet, FederationError> {
        loop {
            let clock = self.clock.as_mut().expect("only nodes with a stepped clock are advanced");
            clock.now_ms = clock.now_ms.max(to_ms);
            let now_ms = clock.now_ms;
            if let Some(line) = &mut clock.line {
                match line.advance(now_ms, blocks).await {
                    Ok(quiet) => return Ok(quiet),
                    Err(ClockError::Gone(_)) => clock.line = None,
                    Err(error @ (ClockError::Malformed { .. } | ClockError::Restless)) => return Err(error.into()),
                }
            }
            self.revive().await?;
        }
    }

    /// Waits until its process is over.
    pub(crate) async fn died(&mut self) {
        if let Err(error) = self.process.wait().await {
            // Whoever moves it next learns the same.
            tracing::debug!(%error, "waiting for wattd");
        }
    }

    /// Gives the present instant to a node that was just started, without waiting until it is quiet: alone it may never be.
    async fn tell_time(&mut self) {
        if let Some(clock) = &mut self.clock
            && let Some(line) = &mut clock.line
            && line.order(clock.now_ms, Blocks::Free).await.is_err()
        {
            clock.line = None;
        }
    }

    /// To be called after a request had no answer: starts the node again if it is dead, otherwise waits a moment. A node that was started again comes to rest
    /// before its next instant, and not before this returns where it needs others for it.
    ///
    /// # Errors
    /// [`FederationError`].
    pub async fn recover(&mut self, peers: Peers) -> Result<Recovered, FederationError> {
        tokio::time::sleep(PAUSE).await;
        if self.exited()?.is_none() {
            return Ok(Recovered::WasAlive);
        }
        self.revive().await?;
        if let Some(now_ms) = self.clock.as_ref().map(|clock| clock.now_ms) {
            match peers {
                Peers::None => drop(self.advance(now_ms).await?),
                Peers::Some => self.tell_time().await,
            }
        }
        Ok(Recovered::Restarted)
    }

    /// Asks it to end and waits for that.
    ///
    /// # Errors
    /// [`FederationError::Io`]; [`FederationError::Ended`] where it had ended by itself, or does so now.
    pub async fn stop(mut self) -> Result<(), FederationError> {
        if let Some(pid) = self.process.id() {
            // The process is ours and not yet waited for, so the number is still its own.
            let asked = Command::new("kill").arg(pid.to_string()).stderr(Stdio::null()).status().await;
            let patience = Duration::from_secs(10);
            if asked.is_err() || tokio::time::timeout(patience, self.process.wait()).await.is_err() {
                self.process.kill().await.map_err(|error| failed("stopping wattd", error))?;
            }
        }
        let status = self.exited()?;
        self.signals.is_gone();
        let _ = fs::remove_file(self.dir.join("wattd.pid"));
        status.filter(|status| !ended::as_asked(*status)).map_or(Ok(()), |status| ended::judge(&self.dir, status))
    }

    /// Starts the process again once it is over.
    async fn revive(&mut self) -> Result<(), FederationError> {
        // The line may break a moment before the process is gone.
        let over = tokio::time::timeout(START_TIMEOUT, self.process.wait()).await;
        if over.is_err() {
            self.process.kill().await.map_err(|error| failed("stopping wattd", error))?;
        }
        let status = self.process.wait().await.map_err(|error| failed("waiting for wattd", error))?;
        self.signals.is_gone();
        self.respawn(status).await
    }

    /// Starts the process again, which has ended so.
    async fn respawn(&mut self, status: ExitStatus) -> Result<(), FederationError> {
        self.note_end(status)?;
        self.restarts += 1;
        if self.restarts > MAX_RESTARTS {
            return Err(FederationError::DiedTooOften { log: self.log_end() });
        }
        tracing::warn!(node = %self.dir.display(), restarts = self.restarts, %status, "wattd is gone and is started again");
        self.process = spawn(&self.program, &self.dir, self.clock.as_ref(), &self.signals)?;
        self.await_call().await
    }

    /// Takes note of how the process ended, if that was by itself.
    fn note_end(&mut self, status: ExitStatus) -> Result<(), FederationError> {
        ended::judge(&self.dir, status)?;
        if status.code().is_some() {
            self.ends.push(ended::told(&self.dir, status));
        }
        Ok(())
    }

    /// Waits until the node has called for its clock; one that is killed before is started again.
    async fn await_call(&mut self) -> Result<(), FederationError> {
        let mut failed_starts = 0;
        let until = Instant::now() + START_TIMEOUT;
        let Some(clock) = &mut self.clock else { return Ok(()) };
        clock.line = None;
        loop {
            let called = tokio::select! {
                called = clock.socket.accept() => Some(called),
                status = self.process.wait() => {
                    self.signals.is_gone();
                    let status = status.map_err(|error| failed("waiting for wattd", error))?;
                    ended::judge(&self.dir, status)?;
                    failed_starts += u32::from(status.code().is_some());
                    if failed_starts >= MAX_FAILED_STARTS {
                        return Err(FederationError::DoesNotStart { status: status.to_string(), log: log_end(&self.dir) });
                    }
                    None
                }
                () = tokio::time::sleep_until(until.into()) => return Err(FederationError::Silent { log: log_end(&self.dir) }),
            };
            match called {
                Some(Ok((line, _chain_id))) => {
                    clock.line = Some(line);
                    return Ok(());
                }
                // It called and died at once.
                Some(Err(_)) => {}
                None => {
                    self.restarts += 1;
                    if self.restarts > MAX_RESTARTS {
                        return Err(FederationError::DiedTooOften { log: log_end(&self.dir) });
                    }
                    self.process = spawn(&self.program, &self.dir, Some(clock), &self.signals)?;
                }
            }
        }
    }

    fn exited(&mut self) -> Result<Option<ExitStatus>, FederationError> {
        let status = self.process.try_wait().map_err(|error| failed("looking at wattd", error))?;
        if status.is_some() {
            self.signals.is_gone();
        }
        Ok(status)
    }

    /// Starts its process again where it is over, in the present instant where its clock is stepped; gives whether it was over.
    ///
    /// # Errors
    /// [`FederationError`]; [`FederationError::Ended`] where it ended so that it must not be started again.
    pub async fn start_again(&mut self) -> Result<bool, FederationError> {
        let Some(status) = self.exited()? else { return Ok(false) };
        self.respawn(status).await?;
        self.tell_time().await;
        Ok(true)
    }

    /// The end of its log.
    #[must_use]
    pub fn log_end(&self) -> String {
        log_end(&self.dir)
    }

    /// The chain that its genesis document makes.
    ///
    /// # Errors
    /// [`FederationError::Io`].
    pub fn chain_id(&self) -> Result<ChainId, FederationError> {
        let path = self.dir.join("genesis.json");
        let text = fs::read(&path).map_err(|error| failed(path.display(), error))?;
        let genesis: Genesis = serde_json::from_slice(&text).map_err(|error| failed(path.display(), error.into()))?;
        Ok(genesis.chain_id())
    }
}

/// Whether a node agrees with others on its blocks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Peers {
    /// It is alone.
    None,
    /// There are others.
    Some,
}

/// What [`Node::recover`] found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Recovered {
    /// It had not died.
    WasAlive,
    /// It had, and has started again: what it had pooled is lost.
    Restarted,
}

/// Addresses on loopback that nobody listens on and no other call of this process was given, below the ports that Linux gives to connections: a node that is
/// started again finds its own still free, whoever has dialled whom in between.
///
/// # Errors
/// [`FederationError::NoPort`].
pub fn free_ports<const N: usize>() -> Result<[SocketAddr; N], FederationError> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Processes that run at the same time begin at different places.
    let begin = std::process::id().wrapping_mul(97) % u32::from(PORTS);
    let mut ports = [SocketAddr::from(([127, 0, 0, 1], 0)); N];
    for port in &mut ports {
        let free = (0..PORTS).find_map(|_| {
            let place = (begin + u32::from(NEXT.fetch_add(1, Ordering::Relaxed))) % u32::from(PORTS);
            let address = SocketAddr::from(([127, 0, 0, 1], FIRST_PORT + u16::try_from(place).ok()?));
            TcpListener::bind(address).ok().map(|_| address)
        });
        *port = free.ok_or(FederationError::NoPort)?;
    }
    Ok(ports)
}

/// Replaces a file in one step; only its owner may read it.
fn write_file(path: &Path, bytes: &[u8]) -> Result<(), FederationError> {
    let new = path.with_extension("new");
    let written = || {
        let mut file = fs::OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&new)?;
        io::Write::write_all(&mut file, bytes)?;
        fs::rename(&new, path)
    };
    written().map_err(|error| failed(path.display(), error))
}

fn log_end(dir: &Path) -> String {
    let text = fs::read(dir.join("wattd.log")).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
}

fn failed(what: impl std::fmt::Display, error: io::Error) -> FederationError {
    FederationError::Io { what: what.to_string(), error }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_address_is_given_twice_nor_one_that_a_connection_may_take() {
        let mut given: Vec<_> = (0..100).flat_map(|_| free_ports::<3>().unwrap()).collect();
        assert!(given.iter().all(|address| (FIRST_PORT..FIRST_PORT + PORTS).contains(&address.port())));
        given.sort_unstable();
        given.dedup();
        assert_eq!(given.len(), 300);
    }
}
