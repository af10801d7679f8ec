//! Files that hold secrets: read only where nobody else could, written whole or not at all.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::Path,
};

use zeroize::Zeroizing;

use super::KeystoreError;

/// The most that a wallet file may measure, in bytes.
const MAX_FILE_BYTES: u64 = 16 << 10;

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

pub(super) fn make_folder(folder: &Path) -> Result<(), KeystoreError> {
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

/// Writes a file of mode 0600 in place of the one that is there, whole or not at all; its folder is made where it is missing.
///
/// # Errors
/// The machine's.
pub fn replace_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let temporary = folder.join(format!(".new-{}", hex::encode(rand::random::<[u8; 8]>())));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    let outcome = file.write_all(bytes).and_then(|()| file.sync_all()).and_then(|()| fs::rename(&temporary, path));
    if outcome.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    outcome?;
    File::open(folder)?.sync_all()
}
