//! The program `wattd`: where it is, and how a process of it begins, also in a network namespace.
//!
//! It starts processes and looks after none. Called by the owner of the processes.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
};

use tokio::process::{Child, Command};

use super::{FederationError, Process, Stepping, failed, write_file};

/// What a node is started as.
#[derive(Clone, Debug)]
pub(super) struct Program {
    /// `wattd`.
    pub path: PathBuf,
    /// The network namespace that it lives in, if not in ours.
    pub namespace: Option<String>,
}

impl Program {
    /// `ip netns exec` becomes the program that it is told to start, so that the process is in both cases `wattd` itself.
    fn command(&self) -> Command {
        let Some(namespace) = &self.namespace else { return Command::new(&self.path) };
        let mut command = Command::new("ip");
        command.args(["netns", "exec", namespace]).arg(&self.path);
        command
    }
}

/// Finds `wattd` beside the running program.
///
/// # Errors
/// [`FederationError::NoProgram`].
pub fn wattd_beside_us() -> Result<PathBuf, FederationError> {
    let own = std::env::current_exe().map_err(|error| failed("this program's own path", error))?;
    let folder = own.parent().unwrap_or(Path::new("."));
    // Tests run one folder deeper.
    let candidates = [folder.join("wattd"), folder.join("..").join("wattd")];
    let first = candidates[0].clone();
    candidates.into_iter().find(|path| path.is_file()).ok_or(FederationError::NoProgram(first))
}

/// Starts a node's process, whose output goes to its log.
pub(super) fn spawn(program: &Program, dir: &Path, clock: Option<&Stepping>, signals: &Process) -> Result<Child, FederationError> {
    let log_path = dir.join("wattd.log");
    let log = fs::OpenOptions::new().create(true).append(true).open(&log_path).map_err(|error| failed(log_path.display(), error))?;
    let also = log.try_clone().map_err(|error| failed(log_path.display(), error))?;
    let mut command = program.command();
    command.arg("run").arg("--data").arg(dir).stdin(Stdio::null()).stdout(log).stderr(also).kill_on_drop(true);
    if let Some(clock) = clock {
        command.arg("--clock").arg(clock.path());
    }
    let process = command.spawn().map_err(|error| failed(program.path.display(), error))?;
    if let Some(pid) = process.id() {
        write_file(&dir.join("wattd.pid"), format!("{pid}\n").as_bytes())?;
        signals.is(pid);
    }
    Ok(process)
}
