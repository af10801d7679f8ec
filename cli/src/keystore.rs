//! Wallets on disk: one encrypted file each.
//!
//! A file `wallets/NAME.json` under `$WATT_HOME`, else `$XDG_DATA_HOME/commonwatt`, else `~/.local/share/commonwatt`, mode 0600 in a folder of mode 0700.
//! The secret (a phrase's entropy, or a bare key) is sealed with XChaCha20-Poly1305 under a key that Argon2id makes from the passphrase; everything else in
//! the file is authenticated with it, so a changed address or parameter is found. Files are written whole or not at all and never overwritten. It asks for
//! nothing: passphrases come from the caller. Called by the commands.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use argon2::{Algorithm, Argon2, Params, Version};
use chacha20poly1305::{
    KeyInit as _, XChaCha20Poly1305,
    aead::{Aead as _, Payload},
};
use chain::{crypto, id::Address};
use ed25519_dalek::SigningKey;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::phrase::Phrase;

/// The version of file that this code writes and reads.
pub const KEYSTORE_VERSION: u32 = 1;

/// The fewest characters of a passphrase.
pub const MIN_PASSPHRASE_CHARS: usize = 8;

/// The longest name of a wallet.
pub const MAX_NAME_BYTES: usize = 64;

/// The most that a wallet file may measure, in bytes.
const MAX_FILE_BYTES: u64 = 16 << 10;

/// Argon2id's cost for new files, the second recommendation of RFC 9106 with one lane: 64 MiB, three passes.
const COST: Cost = Cost { memory_kib: 64 << 10, passes: 3, lanes: 1 };

/// The most cost that a file may ask of this machine: 1 GiB, 16 passes, 16 lanes.
const MAX_COST: Cost = Cost { memory_kib: 1 << 20, passes: 16, lanes: 16 };

/// The folder of wallets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Keystore {
    folder: PathBuf,
}

/// What a wallet's secret is.
#[derive(Clone, Debug)]
pub enum Secret {
    /// Words, and which of their accounts.
    Phrase {
        /// The words.
        phrase: Phrase,
        /// The account, from 0.
        account: u32,
    },
    /// A key without words, such as one that a node made.
    Key(SigningKey),
}

impl Secret {
    /// The key that signs.
    #[must_use]
    pub fn key(&self) -> SigningKey {
        match self {
            Self::Phrase { phrase, account } => phrase.key(*account),
            Self::Key(key) => key.clone(),
        }
    }
}

/// Where a wallet's key comes from, as its file says.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// Words, and which of their accounts.
    Phrase {
        /// The account, from 0.
        account: u32,
    },
    /// A bare key.
    Key,
}

/// What is known of a wallet without its passphrase.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct WalletEntry {
    /// Its name: the file's.
    pub name: String,
    /// Its address.
    pub address: Address,
    /// Where its key comes from.
    pub origin: Origin,
}

/// Why a wallet cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum KeystoreError {
    /// No place for it.
    #[error("no folder for wallets: set WATT_HOME, XDG_DATA_HOME or HOME")]
    NoHome,
    /// A name that is no file name.
    #[error("a wallet's name has 1 to {MAX_NAME_BYTES} letters, digits, '-', '_' or '.', the first a letter or digit; found {0:?}")]
    Name(String),
    /// There is none of this name.
    #[error("there is no wallet {name:?} in {}: `watt wallet list` shows those that are, `watt wallet new` makes one", folder.display())]
    Missing {
        /// The name.
        name: String,
        /// Where it was looked for.
        folder: PathBuf,
    },
    /// There is one of this name, and it stays.
    #[error("there is a wallet {0:?} already: choose another name")]
    Exists(String),
    /// Others may read it.
    #[error("{} may be read by others (mode {mode:03o}, expected 600): change it with `chmod 600`, and think about who may have copied it", path.display())]
    Readable {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// Not a file of this kind and version.
    #[error("{} is no wallet file of version {KEYSTORE_VERSION}: {reason}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A passphrase that is too short.
    #[error("a passphrase has at least {MIN_PASSPHRASE_CHARS} characters, found {0}")]
    Short(usize),
    /// The seal does not open.
    #[error("the passphrase is wrong, or the wallet's file was changed")]
    Sealed,
    /// The machine.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What happened.
        source: io::Error,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Cost {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

/// What is authenticated with the secret.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    version: u32,
    address: Address,
    origin: Origin,
    kdf: String,
    cost: Cost,
    salt: String,
    cipher: String,
    nonce: String,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    header: Header,
    sealed: String,
}

const KDF: &str = "argon2id";
const CIPHER: &str = "xchacha20poly1305";

impl Keystore {
    /// The user's folder of wallets; it need not exist yet.
    ///
    /// # Errors
    /// [`KeystoreError::NoHome`] where the environment names none.
    pub fn of_user() -> Result<Self, KeystoreError> {
        let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let home = variable("WATT_HOME")
            .or_else(|| variable("XDG_DATA_HOME").map(|data| data.join("commonwatt")))
            .or_else(|| variable("HOME").map(|home| home.join(".local/share/commonwatt")))
            .ok_or(KeystoreError::NoHome)?;
        Ok(Self::at(home.join("wallets")))
    }

    /// The wallets in this folder.
    #[must_use]
    pub const fn at(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Seals a wallet under a passphrase and writes its file.
    ///
    /// # Errors
    /// [`KeystoreError`]; a wallet of this name stays as it is.
    pub fn create(&self, name: &str, secret: &Secret, passphrase: &str) -> Result<WalletEntry, KeystoreError> {
        let path = self.path(name)?;
        if path.exists() {
            return Err(KeystoreError::Exists(name.to_owned()));
        }
        let length = passphrase.chars().count();
        if length < MIN_PASSPHRASE_CHARS {
            return Err(KeystoreError::Short(length));
        }
        let (origin, plain) = match secret {
            Secret::Phrase { phrase, account } => (Origin::Phrase { account: *account }, Zeroizing::new(phrase.entropy().to_vec())),
            Secret::Key(key) => (Origin::Key, Zeroizing::new(key.to_bytes().to_vec())),
        };
        let (salt, nonce): ([u8; 16], [u8; 24]) = (rand::random(), rand::random());
        let header = Header {
            version: KEYSTORE_VERSION,
            address: crypto::address_of(&secret.key()),
            origin,
            kdf: KDF.to_owned(),
            cost: COST,
            salt: hex::encode(salt),
            cipher: CIPHER.to_owned(),
            nonce: hex::encode(nonce),
        };
        let bad = |reason: &str| KeystoreError::Format { path: path.clone(), reason: reason.to_owned() };
        let cipher = header.cipher(passphrase).ok_or_else(|| bad("the cost is not allowed"))?;
        let associated = header.associated();
        let sealed =
            cipher.encrypt(&nonce.into(), Payload { msg: &plain, aad: &associated }).map_err(|_| bad("the secret cannot be sealed"))?;
        let entry = WalletEntry { name: name.to_owned(), address: header.address, origin };
        let document = Document { header, sealed: hex::encode(sealed) };
        let mut text = serde_json::to_vec_pretty(&document).map_err(|error| bad(&error.to_string()))?;
        text.push(b'\n');
        make_folder(&self.folder)?;
        write_new(&path, &text).map_err(|source| {
            if source.kind() == io::ErrorKind::AlreadyExists {
                KeystoreError::Exists(name.to_owned())
            } else {
                KeystoreError::Io { path: path.clone(), source }
            }
        })?;
        Ok(entry)
    }

    /// Opens a wallet.
    ///
    /// # Errors
    /// [`KeystoreError`]; whether the passphrase is wrong or the file was changed cannot be told apart.
    pub fn open(&self, name: &str, passphrase: &str) -> Result<Secret, KeystoreError> {
        let (path, document) = self.read(name)?;
        let bad = |reason: &str| KeystoreError::Format { path: path.clone(), reason: reason.to_owned() };
        let header = &document.header;
        let mut nonce = [0; 24];
        hex::decode_to_slice(&header.nonce, &mut nonce).map_err(|_| bad("the nonce is no 24 bytes"))?;
        let sealed = hex::decode(&document.sealed).map_err(|_| bad("the sealed secret is no hexadecimal text"))?;
        let cipher = header.cipher(passphrase).ok_or_else(|| bad("the salt or the cost is not allowed"))?;
        let associated = header.associated();
        let plain = cipher.decrypt(&nonce.into(), Payload { msg: &sealed, aad: &associated }).map_err(|_| KeystoreError::Sealed)?;
        let plain = Zeroizing::new(plain);
        let secret = match header.origin {
            Origin::Phrase { account } => {
                let phrase = Phrase::from_entropy(&plain).ok_or_else(|| bad("the secret is no phrase"))?;
                Secret::Phrase { phrase, account }
            }
            Origin::Key => {
                let key = Zeroizing::new(<[u8; 32]>::try_from(plain.as_slice()).map_err(|_| bad("the secret is no key"))?);
                Secret::Key(SigningKey::from_bytes(&key))
            }
        };
        if crypto::address_of(&secret.key()) != header.address {
            return Err(bad("the key is not the address's"));
        }
        Ok(secret)
    }

    /// What is known of a wallet without its passphrase.
    ///
    /// # Errors
    /// [`KeystoreError`].
    pub fn entry(&self, name: &str) -> Result<WalletEntry, KeystoreError> {
        let (_, document) = self.read(name)?;
        Ok(WalletEntry { name: name.to_owned(), address: document.header.address, origin: document.header.origin })
    }

    /// The names of all wallets, in order.
    ///
    /// # Errors
    /// [`KeystoreError::Io`] where the folder is there and cannot be read.
    pub fn names(&self) -> Result<Vec<String>, KeystoreError> {
        let failed = |source| KeystoreError::Io { path: self.folder.clone(), source };
        let files = match fs::read_dir(&self.folder) {
            Ok(files) => files,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed(error)),
        };
        let mut names = Vec::new();
        for file in files {
            let file = file.map_err(failed)?.file_name();
            if let Some(name) = file.to_str().and_then(|file| file.strip_suffix(".json"))
                && check_name(name).is_ok()
            {
                names.push(name.to_owned());
            }
        }
        names.sort();
        Ok(names)
    }

    fn path(&self, name: &str) -> Result<PathBuf, KeystoreError> {
        check_name(name)?;
        Ok(self.folder.join(format!("{name}.json")))
    }

    fn read(&self, name: &str) -> Result<(PathBuf, Document), KeystoreError> {
        let path = self.path(name)?;
        let text = match read_secret_file(&path) {
            Err(KeystoreError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                return Err(KeystoreError::Missing { name: name.to_owned(), folder: self.folder.clone() });
            }
            outcome => outcome?,
        };
        let bad = |reason: String| KeystoreError::Format { path: path.clone(), reason };
        let document: Document = serde_json::from_slice(&text).map_err(|error| bad(error.to_string()))?;
        let header = &document.header;
        if header.version != KEYSTORE_VERSION || header.kdf != KDF || header.cipher != CIPHER {
            return Err(bad(format!("found version {}, {} and {}", header.version, header.kdf, header.cipher)));
        }
        Ok((path, document))
    }
}

impl Header {
    /// The bytes that the seal covers besides the secret. JSON in the order of the fields; read back, it gives the same bytes.
    fn associated(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// The cipher under the passphrase's key; `None` where salt or cost are not allowed.
    fn cipher(&self, passphrase: &str) -> Option<XChaCha20Poly1305> {
        let Cost { memory_kib, passes, lanes } = self.cost;
        if memory_kib > MAX_COST.memory_kib || passes > MAX_COST.passes || lanes > MAX_COST.lanes {
            return None;
        }
        let salt = hex::decode(&self.salt).ok()?;
        let params = Params::new(memory_kib, passes, lanes, Some(32)).ok()?;
        let mut key = Zeroizing::new([0_u8; 32]);
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(passphrase.as_bytes(), &salt, key.as_mut_slice())
            .ok()?;
        Some(XChaCha20Poly1305::new(key.as_slice().into()))
    }
}

fn check_name(name: &str) -> Result<(), KeystoreError> {
    let first = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    let rest = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    if first && rest && name.len() <= MAX_NAME_BYTES { Ok(()) } else { Err(KeystoreError::Name(name.to_owned())) }
}

/// Reads a small file that nobody but its owner may read.
///
/// # Errors
/// [`KeystoreError::Readable`] where others may, [`KeystoreError::Io`], [`KeystoreError::Format`] above 16 KiB.
pub fn read_secret_file(path: &Path) -> Result<Zeroizing<Vec<u8>>, KeystoreError> {
    let failed = |source| KeystoreError::Io { path: path.to_path_buf(), source };
    let file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    let mode = metadata.mode() & 0o777;
    // A pipe or a terminal has no other reader; a file may.
    if metadata.is_file() && mode & 0o077 != 0 {
        return Err(KeystoreError::Readable { path: path.to_path_buf(), mode });
    }
    let mut bytes = Zeroizing::new(Vec::new());
    file.take(MAX_FILE_BYTES.saturating_add(1)).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(KeystoreError::Format { path: path.to_path_buf(), reason: format!("it exceeds {MAX_FILE_BYTES} bytes") });
    }
    Ok(bytes)
}

fn make_folder(folder: &Path) -> Result<(), KeystoreError> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|source| KeystoreError::Io { path: folder.to_path_buf(), source })
}

/// Writes a new file of mode 0600, whole or not at all; a file that is there stays.
///
/// # Errors
/// The machine's; `AlreadyExists` where there is one.
pub fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let temporary = folder.join(format!(".new-{}", hex::encode(rand::random::<[u8; 8]>())));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    // A link, unlike a renaming, refuses to replace what is there.
    let outcome = file.write_all(bytes).and_then(|()| file.sync_all()).and_then(|()| fs::hard_link(&temporary, path));
    let removed = fs::remove_file(&temporary);
    outcome?;
    removed?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn store() -> (tempfile::TempDir, Keystore) {
        let folder = tempfile::tempdir().unwrap();
        let keystore = Keystore::at(folder.path().join("deep/wallets"));
        (folder, keystore)
    }

    #[test]
    fn a_wallet_comes_back_with_its_passphrase_and_with_no_other() {
        let (_folder, keystore) = store();
        let phrase = Phrase::generate(crate::phrase::Length::TwentyFour);
        let words = phrase.words();
        let entry = keystore.create("ana", &Secret::Phrase { phrase, account: 3 }, "correct horse").unwrap();
        assert_eq!(keystore.entry("ana").unwrap(), entry);
        assert_eq!(keystore.names().unwrap(), ["ana"]);
        let Secret::Phrase { phrase, account: 3 } = keystore.open("ana", "correct horse").unwrap() else { panic!("a phrase was stored") };
        assert_eq!(phrase.words(), words);
        assert_eq!(crypto::address_of(&phrase.key(3)), entry.address);
        assert!(matches!(keystore.open("ana", "correct horsf"), Err(KeystoreError::Sealed)));
        assert!(matches!(keystore.open("rui", "correct horse"), Err(KeystoreError::Missing { .. })));

        let text = fs::read_to_string(keystore.path("ana").unwrap()).unwrap();
        assert!(words.split(' ').all(|word| word.len() < 5 || !text.contains(word)), "the words are sealed");
    }

    #[test]
    fn a_changed_file_is_found_whatever_was_changed() {
        let (_folder, keystore) = store();
        keystore.create("ana", &Secret::Key(SigningKey::from_bytes(&[5; 32])), "correct horse").unwrap();
        let path = keystore.path("ana").unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let other = crypto::address_of(&SigningKey::from_bytes(&[6; 32])).to_string();
        let own = crypto::address_of(&SigningKey::from_bytes(&[5; 32])).to_string();
        let document: Document = serde_json::from_str(&text).unwrap();
        let flip = |digits: &str| format!("{}{}", if digits.starts_with('0') { '1' } else { '0' }, &digits[1..]);
        let changes = [
            text.replace(&own, &other),
            text.replace(&document.sealed, &flip(&document.sealed)),
            text.replace(&document.header.salt, &flip(&document.header.salt)),
            text.replace(&document.header.nonce, &flip(&document.header.nonce)),
            text.replace("\"memory_kib\": 65536", "\"memory_kib\": 65535"),
        ];
        for changed in changes {
            assert_ne!(changed, text);
            fs::write(&path, &changed).unwrap();
            assert!(matches!(keystore.open("ana", "correct horse"), Err(KeystoreError::Sealed)), "{changed}");
        }
        fs::write(&path, text.replace("\"memory_kib\": 65536", "\"memory_kib\": 4194304")).unwrap();
        assert!(matches!(keystore.open("ana", "correct horse"), Err(KeystoreError::Format { .. })), "no file may exhaust the machine");
        fs::write(&path, &text[..40]).unwrap();
        assert!(matches!(keystore.open("ana", "correct horse"), Err(KeystoreError::Format { .. })));
    }

    #[test]
    fn others_cannot_read_a_wallet_and_one_that_they_could_is_refused() {
        let (_folder, keystore) = store();
        keystore.create("ana", &Secret::Key(SigningKey::from_bytes(&[5; 32])), "correct horse").unwrap();
        let path = keystore.path("ana").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(keystore.folder()).unwrap().mode() & 0o777, 0o700);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(keystore.open("ana", "correct horse"), Err(KeystoreError::Readable { mode: 0o640, .. })));
    }

    #[test]
    fn a_wallet_is_never_overwritten_and_a_name_is_never_a_path() {
        let (_folder, keystore) = store();
        let secret = |byte| Secret::Key(SigningKey::from_bytes(&[byte; 32]));
        let first = keystore.create("ana", &secret(1), "correct horse").unwrap();
        assert!(matches!(keystore.create("ana", &secret(2), "correct horse"), Err(KeystoreError::Exists(_))));
        assert_eq!(keystore.entry("ana").unwrap(), first);
        assert_eq!(fs::read_dir(keystore.folder()).unwrap().count(), 1, "nothing is left behind");
        for name in ["../ana", "", ".ana", "a/b", "a b", &"a".repeat(65)] {
            assert!(matches!(keystore.create(name, &secret(1), "correct horse"), Err(KeystoreError::Name(_))), "{name}");
        }
        assert!(matches!(keystore.create("rui", &secret(1), "short"), Err(KeystoreError::Short(5))));
    }
}
