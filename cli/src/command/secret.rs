//! Secrets from where they are safe: a prompt, a file that only its owner may read, or an open descriptor. Never from the arguments of a process,
//! which every user of a machine can read.

use std::{
    fs::File,
    io::{IsTerminal as _, Read as _},
    path::PathBuf,
};

use zeroize::Zeroizing;

use super::CommandError;
use crate::keystore::{self, KeystoreError};

/// The most that a secret may measure, in bytes.
const MAX_SECRET_BYTES: u64 = 4 << 10;

/// Where a secret comes from.
#[derive(Clone, Debug)]
pub enum Source {
    /// The terminal, not echoed.
    Prompt,
    /// A file of mode 0600.
    File(PathBuf),
    /// An open descriptor.
    Descriptor(u32),
}

impl Source {
    /// The source that two flags name; the prompt where neither does.
    pub fn of(file: Option<PathBuf>, descriptor: Option<u32>) -> Self {
        match (file, descriptor) {
            (Some(file), _) => Self::File(file),
            (None, Some(descriptor)) => Self::Descriptor(descriptor),
            (None, None) => Self::Prompt,
        }
    }

    /// Reads it: the first line, or all where `Lines::All`.
    pub fn read(&self, what: &str, flags: &str, lines: Lines) -> Result<Zeroizing<String>, CommandError> {
        let text = match self {
            Self::Prompt => return prompt(what, flags),
            Self::File(path) => utf8(keystore::read_secret_file(path)?.to_vec(), what)?,
            Self::Descriptor(number) => {
                let path = PathBuf::from(format!("/dev/fd/{number}"));
                let failed = |source| KeystoreError::Io { path: path.clone(), source };
                let mut bytes = Vec::new();
                File::open(&path).map_err(failed)?.take(MAX_SECRET_BYTES).read_to_end(&mut bytes).map_err(failed)?;
                utf8(bytes, what)?
            }
        };
        let kept = match lines {
            Lines::First => text.lines().next().unwrap_or_default(),
            Lines::All => text.trim(),
        };
        Ok(Zeroizing::new(kept.to_owned()))
    }
}

/// How much of a file or descriptor is the secret.
#[derive(Clone, Copy, Debug)]
pub enum Lines {
    /// The first line, such as a passphrase.
    First,
    /// Everything, such as words over several lines.
    All,
}

fn prompt(what: &str, flags: &str) -> Result<Zeroizing<String>, CommandError> {
    if !std::io::stderr().is_terminal() {
        return Err(CommandError::Usage(format!("there is no terminal to ask for the {what}: give it with {flags}")));
    }
    rpassword::prompt_password(format!("{what}: "))
        .map(Zeroizing::new)
        .map_err(|error| CommandError::Usage(format!("cannot ask for the {what} ({error}): give it with {flags}")))
}

fn utf8(bytes: Vec<u8>, what: &str) -> Result<Zeroizing<String>, CommandError> {
    String::from_utf8(bytes).map(Zeroizing::new).map_err(|_| CommandError::Failed(format!("the {what} is no UTF-8 text")))
}
