//! How a node's process ended, and whether that allows to start it again: what a supervisor reads from `wattd`'s exit codes, and what no run may pass over.
//!
//! It looks at a status and at the log, and starts nothing. Called by the owner of the process.

use std::{os::unix::process::ExitStatusExt as _, path::Path, process::ExitStatus};

use super::{FederationError, log_end};

/// The exit codes after which a supervisor starts `wattd` again, as `docs/damage.md` has them: it cannot run there and then, which is also what its watchdog
/// says, or it has watched and may vote.
const RESTARTABLE: [i32; 2] = [1, 75];

const SIGKILL: i32 = 9;
const SIGTERM: i32 = 15;

/// Refuses an end after which the node must not be started again. No `wattd` kills itself: that comes from outside, from us or from whoever has the machine.
///
/// # Errors
/// [`FederationError::Ended`].
pub(super) fn judge(dir: &Path, status: ExitStatus) -> Result<(), FederationError> {
    let killed = status.signal() == Some(SIGKILL);
    if killed || status.code().is_some_and(|code| RESTARTABLE.contains(&code)) {
        return Ok(());
    }
    Err(FederationError::Ended { node: name_of(dir), status, line: last_line(dir) })
}

/// Whether it ended because it was asked to, perhaps before it listened.
pub(super) fn as_asked(status: ExitStatus) -> bool {
    status.success() || status.signal() == Some(SIGTERM)
}

/// Which node, how, and its last word.
pub(super) fn told(dir: &Path, status: ExitStatus) -> String {
    format!("{} ({status}): {}", name_of(dir), last_line(dir))
}

fn last_line(dir: &Path) -> String {
    log_end(dir).lines().next_back().unwrap_or("(it has said nothing)").to_owned()
}

/// The node of a directory.
fn name_of(dir: &Path) -> String {
    dir.file_name().unwrap_or(dir.as_os_str()).to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_node_is_started_again_after_the_codes_that_allow_it_and_after_a_kill_alone() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("node-2");
        fs::create_dir(&dir).unwrap();
        fs::write(dir.join("wattd.log"), "a beginning\nwattd: block 7 is damaged\n").unwrap();
        let code = |code: i32| ExitStatus::from_raw(code << 8);
        for status in [code(1), code(75), ExitStatus::from_raw(SIGKILL)] {
            assert!(judge(&dir, status).is_ok(), "{status}");
        }
        // Damage, usage, a panic, an end that nobody asked for; SIGABRT, SIGSEGV, SIGTERM.
        let signals = [6, 11, SIGTERM].map(ExitStatus::from_raw);
        for status in [3, 2, 101, 0].map(code).into_iter().chain(signals) {
            let told = judge(&dir, status).unwrap_err().to_string();
            let expected = format!(
                "node-2 ended by itself ({status}), and must not be started again; the last line of its log:\nwattd: block 7 is damaged"
            );
            assert_eq!(told, expected);
        }
    }
}
