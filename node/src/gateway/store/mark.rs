//! How far the gateway's database has been written: a number in a file of its own beside RocksDB's.
//!
//! RocksDB cannot tell a log that was deleted or cut short from one that never had more. The number is that of its newest write; it is written over after every
//! synced write and not synced itself, so that it is never ahead of the database, whatever ends the process or the machine. It lies in the database's own directory,
//! so that a directory restored as a whole is whole: that the whole is old, it cannot show. Called by the store.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use crate::seal;

/// The file in the database's directory.
pub const FILE: &str = "newest-write";

/// What the seal is over, in a table's and a key's place.
const TABLE: u8 = u8::MAX;

/// The open file.
#[derive(Debug)]
pub struct Mark(File);

/// Why there is no mark.
#[derive(Debug)]
pub enum MarkError {
    /// What is in the file is no mark.
    Damaged,
    /// The system.
    Io(io::Error),
}

impl From<io::Error> for MarkError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Mark {
    /// Opens the mark of a database, with its number, or makes one at `newest` where there is none: a database of an earlier build has none.
    ///
    /// # Errors
    /// [`MarkError`].
    pub fn open(folder: &Path, newest: u64) -> Result<(Self, u64), MarkError> {
        let path = folder.join(FILE);
        let found = match fs::read(&path) {
            Ok(bytes) => number(bytes).ok_or(MarkError::Damaged)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                make(folder, &path, newest)?;
                newest
            }
            Err(error) => return Err(error.into()),
        };
        Ok((Self(OpenOptions::new().write(true).open(path)?), found))
    }

    /// Everything up to this write is on the disk.
    ///
    /// # Errors
    /// The system's.
    pub fn set(&self, newest: u64) -> io::Result<()> {
        self.0.write_all_at(&bytes(newest), 0)
    }
}

/// Takes away what an earlier database left: a new one begins at its beginning.
///
/// # Errors
/// The system's.
pub fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_file(folder.join(FILE)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn bytes(newest: u64) -> Vec<u8> {
    seal::sealed(TABLE, FILE.as_bytes(), &newest.to_be_bytes())
}

fn number(bytes: Vec<u8>) -> Option<u64> {
    let value = seal::unsealed(TABLE, FILE.as_bytes(), bytes)?;
    value.try_into().ok().map(u64::from_be_bytes)
}

/// In one step, so that a crash leaves none or a whole one.
fn make(folder: &Path, path: &Path, newest: u64) -> io::Result<()> {
    let unfinished: PathBuf = folder.join(format!("{FILE}.new"));
    let mut file = File::create(&unfinished)?;
    file.write_all(&bytes(newest)).and_then(|()| file.sync_all())?;
    fs::rename(&unfinished, path)?;
    File::open(folder)?.sync_all()
}
