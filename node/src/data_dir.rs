//! A node's data directory: where what lies, and that one process at a time uses it.
//!
//! ```text
//! genesis.json  config.toml  keys/*.key  db/ (RocksDB)  wal/ (consensus)  gateway/ (raw samples)  lock
//! ```
//! Called by `wattd`'s commands.

use std::{
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
};

use contracts::genesis::{Genesis, GenesisError};

use crate::files;

/// The longest genesis document, in bytes.
const MAX_GENESIS_BYTES: u64 = 64 << 20;

/// A data directory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DataDir(PathBuf);

/// The directory's lock, held while this lives; the system releases it however the process ends.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "held for its lock")] File);

/// Where what is in a data directory can be had again.
const RESTORE: &str = "restore it from a backup";

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// Another process uses it.
    #[error("{path} is in use by another process: one data directory, one wattd; the same keys twice would sign contradictions")]
    InUse {
        /// Which.
        path: String,
    },
    /// A file is missing or cannot be read.
    #[error("{path}: {error}: {}", files::way_on(error, RESTORE))]
    Io {
        /// Which.
        path: String,
        /// Why.
        error: io::Error,
    },
    /// There is no node here.
    #[error("{path} holds no node: make one with wattd init --data {path} --name NAME")]
    Uninitialised {
        /// Which.
        path: String,
    },
    /// There was a node here, whose genesis document is gone.
    #[error("{path} is missing, but the directory holds a node: restore it from a backup, or from another node of the federation")]
    GenesisMissing {
        /// The document.
        path: String,
    },
    /// A file in a directory's place.
    #[error("{path} is a file, and a directory must be there: move it away and restore the directory from a backup (docs/damage.md)")]
    NotADirectory {
        /// Which.
        path: String,
    },
    /// The genesis document cannot be read.
    #[error(
        "{path} is damaged, or no genesis document ({message}): restore it from a backup, or from another node of the federation; every node has the same"
    )]
    Genesis {
        /// Which.
        path: String,
        /// What is wrong.
        message: String,
    },
    /// The genesis document breaks a rule.
    #[error(
        "{path} is damaged, or was changed ({error}): restore it from a backup, or from another node of the federation; every node has the same"
    )]
    BadGenesis {
        /// Which.
        path: String,
        /// The rule.
        error: GenesisError,
    },
}

impl DataDirError {
    /// Whether what is stored is damaged or missing: starting again changes nothing.
    #[must_use]
    pub const fn is_damage(&self) -> bool {
        match self {
            Self::GenesisMissing { .. } | Self::Genesis { .. } | Self::BadGenesis { .. } | Self::NotADirectory { .. } => true,
            Self::InUse { .. } | Self::Io { .. } | Self::Uninitialised { .. } => false,
        }
    }
}

impl DataDir {
    /// The directory at `path`, which need not exist yet.
    #[must_use]
    pub const fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// The directory itself.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The genesis document.
    #[must_use]
    pub fn genesis_file(&self) -> PathBuf {
        self.0.join("genesis.json")
    }

    /// The configuration.
    #[must_use]
    pub fn config_file(&self) -> PathBuf {
        self.0.join("config.toml")
    }

    /// The keys.
    #[must_use]
    pub fn keys(&self) -> PathBuf {
        self.0.join("keys")
    }

    /// RocksDB's directory.
    #[must_use]
    pub fn database(&self) -> PathBuf {
        self.0.join("db")
    }

    /// The directory of consensus' write-ahead log.
    #[must_use]
    pub fn wal(&self) -> PathBuf {
        self.0.join("wal")
    }

    /// Claims the directory for this process.
    ///
    /// # Errors
    /// [`DataDirError::Uninitialised`], [`DataDirError::GenesisMissing`], [`DataDirError::NotADirectory`], [`DataDirError::InUse`],
    /// [`DataDirError::Io`].
    pub fn lock(&self) -> Result<Lock, DataDirError> {
        if !self.genesis_file().is_file() {
            if self.database().exists() || self.keys().exists() {
                return Err(DataDirError::GenesisMissing { path: self.genesis_file().display().to_string() });
            }
            return Err(DataDirError::Uninitialised { path: self.0.display().to_string() });
        }
        let folders = [self.keys(), self.database(), self.wal(), self.0.join(crate::gateway::FOLDER)];
        if let Some(folder) = folders.iter().find(|folder| folder.exists() && !folder.is_dir()) {
            return Err(DataDirError::NotADirectory { path: folder.display().to_string() });
        }
        let path = self.0.join("lock");
        let failed = |error| DataDirError::Io { path: path.display().to_string(), error };
        let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Lock(file)),
            Err(TryLockError::WouldBlock) => Err(DataDirError::InUse { path: self.0.display().to_string() }),
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }

    /// Reads and checks the genesis document.
    ///
    /// # Errors
    /// [`DataDirError::Io`], [`DataDirError::Genesis`], [`DataDirError::BadGenesis`].
    pub fn genesis(&self) -> Result<Genesis, DataDirError> {
        let file = self.genesis_file();
        let path = file.display().to_string();
        let failed = |error| DataDirError::Io { path: path.clone(), error };
        if fs::metadata(&file).map_err(failed)?.len() > MAX_GENESIS_BYTES {
            return Err(DataDirError::Genesis { path, message: format!("longer than {MAX_GENESIS_BYTES} bytes") });
        }
        let text = fs::read(&file).map_err(failed)?;
        let genesis: Genesis =
            serde_json::from_slice(&text).map_err(|error| DataDirError::Genesis { path: path.clone(), message: error.to_string() })?;
        match genesis.check() {
            Ok(()) => Ok(genesis),
            Err(error) => Err(DataDirError::BadGenesis { path, error }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_claim_on_one_directory_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let data = DataDir::new(directory.path().to_owned());
        assert!(matches!(data.lock(), Err(DataDirError::Uninitialised { .. })));
        fs::write(data.genesis_file(), "{}").unwrap();
        let lock = data.lock().unwrap();
        assert!(matches!(data.lock(), Err(DataDirError::InUse { .. })));
        drop(lock);
        assert!(data.lock().is_ok());
    }
}
