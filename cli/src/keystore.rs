//! Wallets on disk: one encrypted file each.
//!
//! A file `wallets/NAME.json` under `$WATT_HOME`, else `$XDG_DATA_HOME/commonwatt`, else `~/.local/share/commonwatt`, mode 0600 in a folder of mode 0700.
//! The secret (a phrase's entropy, or a bare key) is sealed with XChaCha20-Poly1305 under a key that Argon2id makes from the passphrase; everything else in
//! the file is authenticated with it, so a changed address or parameter is found. Files are written whole or not at all and never overwritten. It asks for
//! nothing: passphrases come from the caller. Called by the commands.

mod error;
mod file;
#[cfg(test)]
mod tests;

use std::{
    fs, io,
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

use self::file::make_folder;
pub use self::{
    error::KeystoreError,
    file::{read_secret_file, replace_file, write_new},
};
use crate::phrase::Phrase;

/// The version of file that this code writes and reads.
pub const KEYSTORE_VERSION: u32 = 1;

/// The fewest characters of a passphrase.
pub const MIN_PASSPHRASE_CHARS: usize = 8;

/// The longest name of a wallet.
pub const MAX_NAME_BYTES: usize = 64;

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

    /// The folder that holds the wallets' folder and what else is kept for their owner.
    #[must_use]
    pub fn home(&self) -> &Path {
        self.folder.parent().unwrap_or(&self.folder)
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
        let payload = Payload { msg: &sealed, aad: &associated };
        let plain = cipher.decrypt(&nonce.into(), payload).map_err(|_| KeystoreError::Sealed(name.to_owned()))?;
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

/// Goes on only for a name that a wallet may have.
///
/// # Errors
/// [`KeystoreError::Name`].
pub fn check_name(name: &str) -> Result<(), KeystoreError> {
    let first = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    let rest = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    if first && rest && name.len() <= MAX_NAME_BYTES { Ok(()) } else { Err(KeystoreError::Name(name.to_owned())) }
}
