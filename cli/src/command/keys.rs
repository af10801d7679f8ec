//! The wallet that acts, and its key once somebody has opened it: the passphrase is asked for once in a run, whether a node wants to know who reads or a
//! transaction is to be signed, and never before one of them needs it.
//!
//! Called by [`super::Context`], and by the client through what it hands it.

use std::sync::{Mutex, PoisonError};

use ed25519_dalek::SigningKey;
use zeroize::Zeroizing;

use super::{
    CommandError, Options,
    secret::{Lines, Source},
};
use crate::keystore::{Keystore, KeystoreError, Secret, WalletEntry};

/// The wallet's name where none is given and there are several.
pub const DEFAULT_WALLET: &str = "default";

pub(super) const PASSPHRASE_FLAGS: &str = "--passphrase-file FILE or --passphrase-fd N";

/// The wallets of one run.
pub(super) struct Keys {
    options: Options,
    opened: Mutex<Option<(String, Secret)>>,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys").finish_non_exhaustive()
    }
}

impl Keys {
    /// Nothing is opened yet.
    pub(super) fn new(options: Options) -> Self {
        Self { options, opened: Mutex::default() }
    }

    /// The wallet that acts, still sealed: the one named, else the only one, else `default`.
    pub(super) fn entry(&self) -> Result<WalletEntry, CommandError> {
        let keystore = Keystore::of_user()?;
        if let Some(name) = &self.options.wallet {
            return Ok(keystore.entry(name)?);
        }
        let names = keystore.names()?;
        match names.as_slice() {
            [only] => Ok(keystore.entry(only)?),
            [] => Err(KeystoreError::Empty { folder: keystore.folder().to_path_buf() }.into()),
            several if several.iter().any(|name| name == DEFAULT_WALLET) => Ok(keystore.entry(DEFAULT_WALLET)?),
            several => {
                Err(CommandError::Usage(format!("there are {} wallets: choose one of {} with --wallet", several.len(), several.join(", "))))
            }
        }
    }

    /// Where passphrases come from.
    pub(super) fn passphrase_source(&self) -> Source {
        Source::of(self.options.passphrase_file.clone(), self.options.passphrase_fd)
    }

    /// The passphrase of a wallet.
    pub(super) fn passphrase(&self, name: &str) -> Result<Zeroizing<String>, CommandError> {
        self.passphrase_source().read(&format!("passphrase of wallet {name}"), PASSPHRASE_FLAGS, Lines::First)
    }

    /// Opens a wallet, or gives what was opened before.
    pub(super) fn unlock(&self, entry: &WalletEntry) -> Result<Secret, CommandError> {
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((name, secret)) = &*opened
            && *name == entry.name
        {
            return Ok(secret.clone());
        }
        let passphrase = self.passphrase(&entry.name)?;
        let secret = Keystore::of_user()?.open(&entry.name, &passphrase)?;
        *opened = Some((entry.name.clone(), secret.clone()));
        Ok(secret)
    }

    /// The key to read with.
    pub(super) fn reader(&self) -> Result<SigningKey, CommandError> {
        Ok(self.unlock(&self.entry()?)?.key())
    }
}
