//! What can be wrong with a wallet's file, its name or its passphrase, in words that say what to do.

use std::{io, path::PathBuf};

use super::{KEYSTORE_VERSION, MAX_NAME_BYTES, MIN_PASSPHRASE_CHARS};
use crate::render::io_words;

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
    /// There is none at all.
    #[error("there is no wallet in {} yet: `watt wallet new` makes one, `watt wallet recover` brings one back from its words", folder.display())]
    Empty {
        /// Where one was looked for.
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
    #[error(
        "wallet {0}: the passphrase is wrong, or the wallet's file was changed: try again; where it is forgotten, the words bring the wallet back: `watt wallet recover`"
    )]
    Sealed(String),
    /// The machine.
    #[error("{}: {}", path.display(), io_words(source))]
    Io {
        /// The file.
        path: PathBuf,
        /// What happened.
        source: io::Error,
    },
}
