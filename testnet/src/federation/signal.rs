//! Signals to a node's process: which process it is may change, since nodes die and are started again.
//!
//! Only processes of this program that it has not yet waited for, so that a number is never somebody else's. Called by `chaos` and the owner of the process.

use std::{
    fs,
    process::Stdio,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::process::Command;

/// How often, and after which pauses, it is looked whether a process stands still.
const MAX_LOOKS: u32 = 1_000;
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// A node's process, whichever it is; clones mean the same node.
#[derive(Clone, Debug, Default)]
pub struct Process(Arc<Mutex<Option<u32>>>);

/// What a process is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Signal {
    /// To die at once.
    Kill,
    /// To stand still.
    Stop,
    /// To go on.
    Continue,
}

impl Process {
    /// The process has begun.
    pub(super) fn is(&self, pid: u32) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(pid);
    }

    /// The process has been waited for.
    pub(super) fn is_gone(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Its number, while it is there.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a signal; gives whether there was a process to send it to. One that is told to stop stands still afterwards: the system tells one thread of it, and
    /// the others run on until that one had its turn.
    pub async fn send(&self, signal: Signal) -> bool {
        let Some(pid) = self.pid() else { return false };
        let name = match signal {
            Signal::Kill => "-KILL",
            Signal::Stop => "-STOP",
            Signal::Continue => "-CONT",
        };
        let sent = Command::new("kill").args([name, &pid.to_string()]).stdin(Stdio::null()).stderr(Stdio::null()).status().await;
        let is_sent = sent.is_ok_and(|status| status.success());
        if is_sent && signal == Signal::Stop {
            for _ in 0..MAX_LOOKS {
                if stands_still(pid) {
                    break;
                }
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        }
        is_sent
    }
}

/// Whether no thread of a process runs; so it is too where there is none.
fn stands_still(pid: u32) -> bool {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return true };
    threads.flatten().all(|thread| {
        let stat = fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        // The state follows the name, which may contain anything.
        stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with(['T', 'Z', 'X']))
    })
}
