//! A machine whose clock and disk the test sets, under a real `wattd`: `machine.c` stands between the process and the C library.
//!
//! Nothing of it is in the program: a clock that could be set from outside would be a way to cheat. Setting the real clock takes root, and every process of the machine would
//! see it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
    time::Duration,
};

use super::Home;

/// No space left on the device.
pub const FULL: i32 = 28;
/// The file system is read-only.
pub const READ_ONLY: i32 = 30;

/// One node's machine.
pub struct Machine {
    folder: tempfile::TempDir,
    disk: PathBuf,
}

impl Machine {
    /// A machine that is well.
    pub fn of(home: &Home) -> Self {
        Self::with_disk(home.data.path())
    }

    /// The same, of whose disk this directory is all.
    pub fn with_disk(directory: &Path) -> Self {
        let machine = Self { folder: tempfile::tempdir().unwrap(), disk: directory.to_owned() };
        machine.set_clock(0);
        machine.set_disk(0);
        machine.set_late(Duration::ZERO);
        machine
    }

    /// From now on the clock shows so many seconds too many.
    pub fn set_clock(&self, offset_s: i64) {
        self.put("clock", &offset_s.to_string());
    }

    /// From now on whatever changes the node's directory fails with this error; 0: it does not.
    pub fn set_disk(&self, error: i32) {
        self.put("errno", &error.to_string());
    }

    /// From now on the disk takes so long to keep what was written.
    pub fn set_late(&self, time: Duration) {
        self.put("late", &time.as_millis().to_string());
    }

    /// In one step: a half-written number is another one.
    fn put(&self, name: &str, number: &str) {
        let new = self.folder.path().join("new");
        fs::write(&new, number).unwrap();
        fs::rename(new, self.folder.path().join(name)).unwrap();
    }

    /// Makes a command run on this machine.
    pub fn carries(&self, command: &mut Command) {
        command
            .env("LD_PRELOAD", library())
            .env("TEST_CLOCK", self.folder.path().join("clock"))
            .env("TEST_ERRNO", self.folder.path().join("errno"))
            .env("TEST_LATE", self.folder.path().join("late"))
            .env("TEST_DISK", &self.disk);
    }
}

/// The compiled library, once for the process.
fn library() -> &'static PathBuf {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        // Tests run in their package's folder; one that the compiler noted would be another clone's where clones share what is built.
        let source = "tests/wattd/machine.c";
        let library = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("machine-{}.so", std::process::id()));
        let done = Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).args([source, "-ldl"]).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        library
    })
}
