//! Key files: one secret key each, 64 hexadecimal digits, readable by their owner alone; and the next key of a role, which takes over from the one in use.
//!
//! Making and reading them; what a key may do is decided by genesis and the state. Secrets never reach logs or error messages. Anyone may import it.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use ed25519_dalek::SigningKey;
use zeroize::Zeroizing;

use crate::files;

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

/// The most keys that a ring remembers; beyond it the oldest, which was retired long ago, is forgotten.
const MAX_KEYS: usize = 16;

/// The keys of one role on this machine, in the order in which they were found: every one that is or was in its two files since the ring was opened.
///
/// The files are read at every look, because keys are made and adopted while the node runs ([`make_next`], [`adopt_next`]). A key stays when its file has gone:
/// the chain decides when a key's time is over.
#[derive(Clone)]
pub struct KeyRing {
    file: PathBuf,
    next_file: PathBuf,
    found: Arc<Mutex<Found>>,
}

/// What a ring has read.
#[derive(Default)]
struct Found {
    keys: Vec<SigningKey>,
    /// The trouble that was told last, so that it is told once.
    told: Option<String>,
}

impl std::fmt::Debug for KeyRing {
    /// Without the keys.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyRing").field("file", &self.file).field("next_file", &self.next_file).finish_non_exhaustive()
    }
}

impl KeyRing {
    /// The keys of a data directory.
    ///
    /// # Errors
    /// [`KeyError`] where the key in use cannot be read.
    pub fn open(name: KeyName, data: &Path) -> Result<Self, KeyError> {
        let file = name.file(data);
        let found = Found { keys: vec![read(&file)?], told: None };
        Ok(Self { file, next_file: name.next_file(data), found: Arc::new(Mutex::new(found)) })
    }

    /// The file of the key in use.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// All keys, the newest last; never empty. Where a file cannot be read the others go on, and the log says so once.
    #[must_use]
    pub fn keys(&self) -> Vec<SigningKey> {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        let mut trouble = None;
        // The next one is read first: if it is adopted between the two looks, the second finds it.
        let next = read_next(&self.next_file);
        for in_file in [read(&self.file).map(Some), next] {
            match in_file {
                Ok(Some(key)) if !found.keys.contains(&key) => found.keys.push(key),
                Ok(_) => {}
                Err(error) => trouble = Some(error.to_string()),
            }
        }
        if found.keys.len() > MAX_KEYS {
            found.keys.remove(0);
        }
        if let Some(error) = trouble.as_ref().filter(|_| trouble != found.told) {
            tracing::warn!(%error, "a key of a role cannot be read: the others go on");
        }
        found.told = trouble;
        found.keys.clone()
    }
}

/// The key in the file of a next key, where one is made.
///
/// # Errors
/// [`KeyError`] where the file is there and cannot be used.
pub fn read_next(file: &Path) -> Result<Option<SigningKey>, KeyError> {
    match read(file) {
        Ok(key) => Ok(Some(key)),
        Err(KeyError::Io { error, .. }) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error @ (KeyError::Io { .. } | KeyError::Exposed { .. } | KeyError::Malformed { .. })) => Err(error),
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
    fs::rename(&next, &file).and_then(|()| sync_folder_of(&file)).map_err(failed)?;
    Ok(retired)
}

/// Where a key can be had again.
const RESTORE: &str = "restore it, or all of keys/, from your backup: nobody can make the same key again";

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read or written.
    #[error("key file {path}: {error}: {}", files::way_on(error, RESTORE))]
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

/// Writes a key to a new file of mode 0600. Once it returns neither a crash nor a power cut loses the key; where it fails no file is left.
///
/// # Errors
/// [`KeyError::Io`], also where the file is there already: a key is never overwritten.
pub fn write(path: &Path, key: &SigningKey) -> Result<(), KeyError> {
    let failed = |error| KeyError::Io { path: path.display().to_string(), error };
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(|error| {
        let there = "it is there already, and a key is never overwritten: use it, or name another folder";
        failed(if error.kind() == io::ErrorKind::AlreadyExists { io::Error::new(error.kind(), there) } else { error })
    })?;
    fill(file, path, key).map_err(failed)
}

/// Writes a key into its file, which was just made at this path; where that fails it takes the file away, because half a key would stand in the way of the next
/// attempt.
fn fill(mut file: File, path: &Path, key: &SigningKey) -> io::Result<()> {
    let secret = Zeroizing::new(key.to_bytes());
    let text = Zeroizing::new(format!("{}\n", hex::encode(secret.as_slice())));
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).and_then(|()| sync_folder_of(path));
    written.inspect_err(|_| drop(fs::remove_file(path)))
}

/// Makes the name of a file in its folder as durable as what is in it.
fn sync_folder_of(file: &Path) -> io::Result<()> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    File::open(folder)?.sync_all()
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
    if !metadata.is_file() {
        return Err(failed(files::not_a_file()));
    }
    if mode & 0o077 != 0 {
        return Err(KeyError::Exposed { path: name(), mode });
    }
    if metadata.len() > MAX_FILE_BYTES {
        return Err(KeyError::Malformed { path: name() });
    }
    let text = Zeroizing::new(fs::read(path).map_err(failed)?);
    let mut secret = Zeroizing::new([0_u8; 32]);
    hex::decode_to_slice(text.trim_ascii(), secret.as_mut_slice()).map_err(|_| KeyError::Malformed { path: name() })?;
    Ok(SigningKey::from_bytes(&secret))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(keys: &[SigningKey]) -> Vec<[u8; 32]> {
        keys.iter().map(SigningKey::to_bytes).collect()
    }

    /// A ring that read its key in use once, and its next key once, had no key with the role after a rotation without a look between, and after every second one.
    #[test]
    fn a_ring_in_use_finds_every_key_however_often_they_are_exchanged_and_whether_or_not_it_looked_between() {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path();
        fs::create_dir(data.join("keys")).unwrap();
        let name = KeyName::Gateway;
        assert!(make_next(name, data).is_err(), "no key is in use");
        let first = generate();
        write(&name.file(data), &first).unwrap();
        let ring = KeyRing::open(name, data).unwrap();
        assert_eq!(bytes(&ring.keys()), bytes(std::slice::from_ref(&first)));
        assert!(adopt_next(name, data).is_err(), "nothing is to be adopted");

        let second = make_next(name, data).unwrap();
        assert!(make_next(name, data).is_err(), "never overwritten");
        let retired = adopt_next(name, data).unwrap();
        assert_eq!(read(&retired).unwrap().to_bytes(), first.to_bytes());
        assert_eq!(read(&name.file(data)).unwrap().to_bytes(), second.to_bytes());
        assert!(!name.next_file(data).exists());
        assert_eq!(bytes(&ring.keys()), bytes(&[first.clone(), second.clone()]), "nobody looked between");

        let third = make_next(name, data).unwrap();
        let mut all = vec![first, second, third.clone()];
        assert_eq!(bytes(&ring.clone().keys()), bytes(&all), "a copy of the ring is the same ring");
        adopt_next(name, data).unwrap();
        assert_eq!(bytes(&ring.keys()), bytes(&all));

        all.push(make_next(name, data).unwrap());
        adopt_next(name, data).unwrap();
        all.push(make_next(name, data).unwrap());
        assert_eq!(bytes(&ring.keys()), bytes(&all), "two at once are found in their order");
        fs::remove_file(name.next_file(data)).unwrap();

        fs::set_permissions(name.file(data), fs::Permissions::from_mode(0o644)).unwrap();
        fs::write(name.next_file(data), "abc").unwrap();
        assert_eq!(bytes(&ring.keys()), bytes(&all), "what cannot be read takes nothing away");
        assert!(!format!("{ring:?}").contains(&hex::encode(third.to_bytes())));
    }

    #[test]
    fn a_ring_forgets_the_oldest_of_too_many_keys_and_never_the_newest() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("keys")).unwrap();
        let name = KeyName::Scheduler;
        write(&name.file(directory.path()), &generate()).unwrap();
        let ring = KeyRing::open(name, directory.path()).unwrap();
        for _ in 0..MAX_KEYS {
            make_next(name, directory.path()).unwrap();
            adopt_next(name, directory.path()).unwrap();
            assert!(ring.keys().len() <= MAX_KEYS);
        }
        let (keys, newest) = (ring.keys(), read(&name.file(directory.path())).unwrap());
        assert_eq!((keys.len(), keys.last()), (MAX_KEYS, Some(&newest)));
    }

    /// A full disk left an empty file, and no key could be made any more.
    #[test]
    fn a_key_that_cannot_be_written_leaves_no_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.key");
        // Writing to it fails, as on a full disk.
        fs::write(&path, "").unwrap();
        assert!(fill(File::open(&path).unwrap(), &path, &generate()).is_err());
        assert!(!path.exists());
        write(&path, &generate()).unwrap();
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
