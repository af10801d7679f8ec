//! Signals to a node's process: which process it is may change, since nodes die and are started again.
//!
//! Only processes of this program that it has not yet waited for, so that a number is never somebody else's. Called by `chaos` and the owner of the process.

use std::{
    process::Stdio,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::process::Command;

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

    /// Sends a signal; gives whether there was a process to send it to.
    pub async fn send(&self, signal: Signal) -> bool {
        let Some(pid) = self.pid() else { return false };
        let name = match signal {
            Signal::Kill => "-KILL",
            Signal::Stop => "-STOP",
            Signal::Continue => "-CONT",
        };
        let sent = Command::new("kill").args([name, &pid.to_string()]).stdin(Stdio::null()).stderr(Stdio::null()).status().await;
        sent.is_ok_and(|status| status.success())
    }
}
