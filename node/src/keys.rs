//! Key files: one secret key each, 64 hexadecimal digits, readable by their owner alone.
//!
//! Making and reading them; what a key may do is decided by genesis and the state. Secrets never reach logs or error messages. A leaf: anyone may import it.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use ed25519_dalek::SigningKey;
use zeroize::Zeroizing;

/// The longest key file, in bytes: digits and a line's end.
const MAX_FILE_BYTES: u64 = 70;

/// What a node's keys are for; each has a file of its own in `keys/`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeyName {
    /// Votes in consensus.
    Validator,
    /// Identifies the node in the network.
    Network,
    /// Signs what the gateway sends.
    Gateway,
    /// Signs what the scheduler sends.
    Scheduler,
    /// The first manager's.
    Manager,
    /// The first treasurer's.
    Treasurer,
    /// The account that settlements pay.
    Revenue,
}

impl KeyName {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Validator, Self::Network, Self::Gateway, Self::Scheduler, Self::Manager, Self::Treasurer, Self::Revenue];

    /// As in the file's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Validator => "validator",
            Self::Network => "network",
            Self::Gateway => "gateway",
            Self::Scheduler => "scheduler",
            Self::Manager => "manager",
            Self::Treasurer => "treasurer",
            Self::Revenue => "revenue",
        }
    }

    /// Its file in a data directory.
    #[must_use]
    pub fn file(self, data: &Path) -> PathBuf {
        data.join("keys").join(format!("{}.key", self.name()))
    }
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read or written.
    #[error("key file {path}: {error}")]
    Io {
        /// Which.
        path: String,
        /// Why.
        error: io::Error,
    },
    /// Others may read it.
    #[error("key file {path} may be read by others (mode {mode:03o}): run chmod 600 {path}")]
    Exposed {
        /// Which.
        path: String,
        /// Its permission bits.
        mode: u32,
    },
    /// Its content is no key.
    #[error("key file {path} does not hold 64 hexadecimal digits: restore it from a backup")]
    Malformed {
        /// Which.
        path: String,
    },
}

/// Makes a key from the machine's randomness.
#[must_use]
pub fn generate() -> SigningKey {
    let secret: Zeroizing<[u8; 32]> = Zeroizing::new(rand::random());
    SigningKey::from_bytes(&secret)
}

/// Writes a key to a new file of mode 0600.
///
/// # Errors
/// [`KeyError::Io`], also where the file is there already: a key is never overwritten.
pub fn write(path: &Path, key: &SigningKey) -> Result<(), KeyError> {
    let failed = |error| KeyError::Io { path: path.display().to_string(), error };
    let secret = Zeroizing::new(key.to_bytes());
    let text = Zeroizing::new(format!("{}\n", hex::encode(secret.as_slice())));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(|error| {
        let there = "it is there already, and a key is never overwritten: use it, or name another folder";
        failed(if error.kind() == io::ErrorKind::AlreadyExists { io::Error::new(error.kind(), there) } else { error })
    })?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)
}

/// Reads a key.
///
/// # Errors
/// [`KeyError`]; a file that others may read is refused.
pub fn read(path: &Path) -> Result<SigningKey, KeyError> {
    let name = || path.display().to_string();
    let failed = |error| KeyError::Io { path: name(), error };
    let metadata = fs::metadata(path).map_err(failed)?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(KeyError::Exposed { path: name(), mode });
    }
    if metadata.len() > MAX_FILE_BYTES {
        return Err(KeyError::Malformed { path: name() });
    }
    let text = Zeroizing::new(fs::read_to_string(path).map_err(failed)?);
    let mut secret = Zeroizing::new([0_u8; 32]);
    hex::decode_to_slice(text.trim(), secret.as_mut_slice()).map_err(|_| KeyError::Malformed { path: name() })?;
    Ok(SigningKey::from_bytes(&secret))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_file_is_read_back_and_refused_where_others_may_read_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.key");
        let key = generate();
        write(&path, &key).unwrap();
        assert_eq!(read(&path).unwrap().to_bytes(), key.to_bytes());
        assert!(matches!(write(&path, &key), Err(KeyError::Io { .. })), "never overwritten");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(read(&path), Err(KeyError::Exposed { mode: 0o640, .. })));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, "abc").unwrap();
        assert!(matches!(read(&path), Err(KeyError::Malformed { .. })));
    }
}
