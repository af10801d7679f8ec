//! A network of machines made by the kernel: built, disturbed, and removed whatever happens.
//!
//! It runs the commands of [`super::wiring`] and checks what they say; it knows no nodes and no faults. What it made goes when it is dropped; what a run left that
//! was killed goes when the next one begins, with the processes that are still in it. It touches no namespace but those whose name is ours and whose
//! process is gone. Called by [`super::Links`].

use std::{
    io,
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Output, Stdio},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures::future::try_join_all;
use tokio::{io::AsyncWriteExt as _, process::Command};

use super::{
    Cable, LinkError,
    wiring::{MAX_MACHINES, Machine, Run, Slowness, Wiring, free_network, owner_of, slowest},
};

/// Machines and their cables.
#[derive(Debug)]
pub struct Network {
    wiring: Wiring,
    slowness: Slowness,
    /// What each cable is like, by the nodes at its ends.
    cables: Mutex<Vec<Vec<Cable>>>,
    /// Whether connections stood although they had been broken.
    unbroken: AtomicBool,
}

impl Network {
    /// Builds it, all cables sound.
    ///
    /// # Errors
    /// [`LinkError`].
    pub async fn open(nodes: usize) -> Result<Self, LinkError> {
        if nodes > MAX_MACHINES {
            return Err(LinkError::NoMachines(format!("there can be {MAX_MACHINES} of them, not {nodes}")));
        }
        remove_left().await?;
        let routes = run(&Run::new("ip", &["-j", "-4", "route", "show", "table", "all"])).await?;
        let routes: Vec<serde_json::Value> = serde_json::from_str(&routes).unwrap_or_default();
        let routes = routes.iter().filter_map(|route| route.get("dst")?.as_str());
        let pid = std::process::id();
        let network = free_network(pid, routes).ok_or(LinkError::NoNetwork)?;
        let wiring = Wiring { pid, nodes, network };
        // From here on it is removed when it is dropped, however far it came.
        let mut it = Self {
            wiring,
            slowness: Slowness::Late,
            cables: Mutex::new(vec![vec![Cable::Sound; nodes]; nodes]),
            unbroken: AtomicBool::new(false),
        };
        for namespace in it.wiring.namespaces() {
            let added = run(&Run::new("ip", &["netns", "add", &namespace])).await;
            added.map_err(|error| LinkError::NoMachines(error.to_string()))?;
        }
        for step in it.wiring.build() {
            run(&step).await?;
        }
        let sound = vec![Cable::Sound; nodes];
        try_join_all((0..nodes).map(|node| run_owned(it.wiring.lay(node, &sound)))).await?;
        it.slowness = it.possible_slowness().await?;
        Ok(it)
    }

    /// Netem where the kernel has it.
    async fn possible_slowness(&self) -> Result<Slowness, LinkError> {
        let try_out = async |slowness| {
            let tried = run(&self.wiring.slow(0, Some(Duration::from_millis(1)), slowness)).await;
            tried.inspect_err(|error| tracing::debug!(%error, "making a cable slow"))
        };
        let slowness = if try_out(Slowness::Late).await.is_ok() {
            Slowness::Late
        } else {
            try_out(Slowness::Narrow).await.map_err(|_| LinkError::NoSlowness)?;
            Slowness::Narrow
        };
        run(&self.wiring.slow(0, None, slowness)).await?;
        Ok(slowness)
    }

    /// Where a node is at home.
    pub fn machine(&self, node: usize) -> Machine {
        self.wiring.machine(node)
    }

    /// What the kernel cannot do.
    pub fn differences(&self) -> Vec<String> {
        let mut all = Vec::new();
        if self.slowness == Slowness::Narrow {
            all.push(
                "slow_network: the kernel has no netem, which delays; cables are narrow instead (tbf), so that a full frame takes as long as it would be late"
                    .to_owned(),
            );
        }
        if self.unbroken.load(Ordering::Relaxed) {
            all.push("unplug, flicker: the kernel breaks no connections (CONFIG_INET_DIAG_DESTROY); they stood half open".to_owned());
        }
        all
    }

    /// Makes these cables like this; one change at a time.
    ///
    /// # Errors
    /// [`LinkError::Command`].
    pub async fn make(&self, cable: Cable, which: impl Fn(usize, usize) -> bool) -> Result<(), LinkError> {
        let (before, after) = {
            let mut cables = self.cables.lock().unwrap_or_else(PoisonError::into_inner);
            let before = cables.clone();
            for (one, row) in cables.iter_mut().enumerate() {
                for (other, joined) in row.iter_mut().enumerate().filter(|(other, _)| *other != one) {
                    if which(one, other) {
                        *joined = cable;
                    }
                }
            }
            (before, cables.clone())
        };
        let mut laid = Vec::new();
        let mut broken = Vec::new();
        for (node, (was, is)) in before.iter().zip(&after).enumerate().filter(|(_, (was, is))| was != is) {
            laid.push(run_owned(self.wiring.lay(node, is)));
            let delay = slowest(is);
            if slowest(was) != delay {
                laid.push(run_owned(self.wiring.slow(node, delay, self.slowness)));
            }
            let pulled = |other: &usize| is.get(*other) == Some(&Cable::Pulled) && was.get(*other) != Some(&Cable::Pulled);
            let pulled: Vec<_> = (0..self.wiring.nodes).filter(pulled).collect();
            if !pulled.is_empty() {
                broken.push(self.break_off(node, pulled));
            }
        }
        try_join_all(laid).await?;
        // Only where nothing new can be connected any more.
        try_join_all(broken).await.map(drop)
    }

    async fn break_off(&self, node: usize, others: Vec<usize>) -> Result<(), LinkError> {
        let [broken, standing] = self.wiring.break_off(node, &others);
        run(&broken).await?;
        let standing = run(&standing).await?;
        if !standing.trim().is_empty() {
            tracing::warn!(node, %standing, "connections that cannot be broken");
            self.unbroken.store(true, Ordering::Relaxed);
        }
        Ok(())
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let Wiring { pid, nodes, .. } = self.wiring;
        remove(&self.wiring.namespaces(), pid, nodes);
    }
}

/// Removes the networks of processes that are gone.
async fn remove_left() -> Result<(), LinkError> {
    let list = run(&Run::new("ip", &["netns", "list"])).await?;
    for (namespace, pid) in list.lines().filter_map(|line| line.split_whitespace().next()).filter_map(|name| Some((name, owner_of(name)?)))
    {
        if !Path::new("/proc").join(pid.to_string()).exists() {
            eprintln!("removing the namespace {namespace}, which a run left that is gone");
            remove(&[namespace.to_owned()], pid, MAX_MACHINES);
        }
    }
    Ok(())
}

/// Ends what is still in these namespaces and removes them. It goes on where something cannot be removed, and waits for what it does: it is also how a run ends
/// that is broken off.
fn remove(namespaces: &[String], pid: u32, nodes: usize) {
    let go = |program: &'static str, args: &[&str]| {
        let run = Run::new(program, args);
        // A second Ctrl-C is not for these.
        let done = std::process::Command::new(program).args(args).stdin(Stdio::null()).process_group(0).output();
        done.map_err(|error| failed(&run, &error)).and_then(|output| checked(&run, output))
    };
    for namespace in namespaces {
        for process in go("ip", &["netns", "pids", namespace]).unwrap_or_default().split_whitespace() {
            let _ = go("kill", &["-KILL", process]);
        }
    }
    // This side's ends go with the namespaces too, but later than anybody who looks.
    let wiring = Wiring { pid, nodes, network: std::net::Ipv4Addr::UNSPECIFIED };
    for end in (0..nodes).map(|node| wiring.our_end(node)).filter(|end| Path::new("/sys/class/net").join(end).exists()) {
        let _ = go("ip", &["link", "delete", &end]);
    }
    for namespace in namespaces.iter().filter(|namespace| Path::new("/run/netns").join(namespace).exists()) {
        if let Err(error) = go("ip", &["netns", "delete", namespace]) {
            tracing::warn!(%error, "a namespace stays");
        }
    }
}

async fn run_owned(run_this: Run) -> Result<String, LinkError> {
    run(&run_this).await
}

/// Runs a command and gives what it wrote.
async fn run(run: &Run) -> Result<String, LinkError> {
    let mut command = Command::new(run.program);
    command.args(&run.args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let written = async {
        let mut child = command.spawn()?;
        if let Some(mut input) = child.stdin.take() {
            // What does not read ends with a word of its own.
            let _ = input.write_all(run.input.as_bytes()).await;
        }
        child.wait_with_output().await
    };
    written.await.map_err(|error| failed(run, &error)).and_then(|output| checked(run, output))
}

fn checked(run: &Run, output: Output) -> Result<String, LinkError> {
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let told = format!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    Err(LinkError::Command { command: run.to_string(), told })
}

fn failed(run: &Run, error: &io::Error) -> LinkError {
    LinkError::NoMachines(format!("{}: {error}", run.program))
}
