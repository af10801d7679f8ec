//! Key files: one secret key each, 64 hexadecimal digits, readable by their owner alone; and the next key of a role, which takes over from the one in use.
//!
//! Making and reading them; what a key may do is decided by genesis and the state. Secrets never reach logs or error messages. A leaf: anyone may import it.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
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

    /// The file of the key that takes over from it, where one is made.
    #[must_use]
    pub fn next_file(self, data: &Path) -> PathBuf {
        data.join("keys").join(format!("{}.next.key", self.name()))
    }

    /// Where it is kept once another has taken its place: the first digits of its address tell it from those before it.
    #[must_use]
    pub fn retired_file(self, data: &Path, key: &SigningKey) -> PathBuf {
        let digits = hex::encode(key.verifying_key().as_bytes()).chars().take(8).collect::<String>();
        data.join("keys").join(format!("{}.retired-{digits}.key", self.name()))
    }
}

/// The keys of one role on this machine: the one in use, and the one that takes over as soon as the chain gives it the role.
///
/// The second may be made while the node runs ([`make_next`]); it is read when it is first asked for, once.
#[derive(Clone)]
pub struct KeyRing {
    current: SigningKey,
    next_file: Option<PathBuf>,
    next: Arc<OnceLock<SigningKey>>,
}

impl std::fmt::Debug for KeyRing {
    /// Without the keys.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyRing").field("next_file", &self.next_file).finish_non_exhaustive()
    }
}

impl KeyRing {
    /// The keys of a data directory.
    ///
    /// # Errors
    /// [`KeyError`] where the key in use cannot be read.
    pub fn open(name: KeyName, data: &Path) -> Result<Self, KeyError> {
        Ok(Self { current: read(&name.file(data))?, next_file: Some(name.next_file(data)), next: Arc::default() })
    }

    /// One key that nothing takes over from.
    #[must_use]
    pub fn only(key: SigningKey) -> Self {
        Self { current: key, next_file: None, next: Arc::default() }
    }

    /// The key in use.
    #[must_use]
    pub const fn current(&self) -> &SigningKey {
        &self.current
    }

    /// The key that takes over, where one is made.
    ///
    /// # Errors
    /// [`KeyError`] where its file is there and cannot be used.
    pub fn next(&self) -> Result<Option<&SigningKey>, KeyError> {
        if self.next.get().is_none()
            && let Some(file) = self.next_file.as_ref().filter(|file| file.exists())
        {
            let key = read(file)?;
            return Ok(Some(self.next.get_or_init(|| key)));
        }
        Ok(self.next.get())
    }
}

/// Makes the key that takes over from the one of this name.
///
/// # Errors
/// [`KeyError`], also where one is made already: a key is never overwritten.
pub fn make_next(name: KeyName, data: &Path) -> Result<SigningKey, KeyError> {
    // A directory without the key in use is no node's.
    read(&name.file(data))?;
    let key = generate();
    write(&name.next_file(data), &key)?;
    Ok(key)
}

/// Puts the key that has taken over into the place of the one before, which is kept beside it; gives the file where that is.
///
/// # Errors
/// [`KeyError`]; where it fails halfway the file in use is still there or already the new one, and calling it again finishes it.
pub fn adopt_next(name: KeyName, data: &Path) -> Result<PathBuf, KeyError> {
    let (file, next) = (name.file(data), name.next_file(data));
    // Both must be readable before anything is moved.
    let (old, _) = (read(&file)?, read(&next)?);
    let retired = name.retired_file(data, &old);
    let failed = |error| KeyError::Io { path: file.display().to_string(), error };
    if !retired.exists() {
        fs::hard_link(&file, &retired).map_err(failed)?;
    }
    fs::rename(&next, &file).map_err(failed)?;
    Ok(retired)
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
    fn a_next_key_is_found_while_the_ring_is_in_use_and_takes_the_place_of_the_old_one() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("keys")).unwrap();
        let name = KeyName::Gateway;
        assert!(make_next(name, directory.path()).is_err(), "no key is in use");
        let old = generate();
        write(&name.file(directory.path()), &old).unwrap();
        let ring = KeyRing::open(name, directory.path()).unwrap();
        assert!(ring.next().unwrap().is_none());
        assert!(adopt_next(name, directory.path()).is_err(), "nothing is to be adopted");
        let next = make_next(name, directory.path()).unwrap();
        assert!(make_next(name, directory.path()).is_err(), "never overwritten");
        assert_eq!(ring.next().unwrap().unwrap().to_bytes(), next.to_bytes());
        let retired = adopt_next(name, directory.path()).unwrap();
        assert_eq!(read(&retired).unwrap().to_bytes(), old.to_bytes());
        assert_eq!(read(&name.file(directory.path())).unwrap().to_bytes(), next.to_bytes());
        assert!(!name.next_file(directory.path()).exists());
        assert_eq!(ring.current().to_bytes(), old.to_bytes(), "a ring in use does not change under its holder");
    }

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
