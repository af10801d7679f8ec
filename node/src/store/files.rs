//! RocksDB's files, as far as people must know of them: what is in a directory before it is opened, and which file a failure is about.
//!
//! Nothing is read but names, sizes and RocksDB's sentences. Called by `db`.

use std::{fs, io::ErrorKind, path::Path};

use super::db::StoreError;

/// Whether there is nothing of a database in a directory, or no directory.
///
/// # Errors
/// [`StoreError::Corrupt`] where there are files of a database without the one that names the others: RocksDB would begin a new one over them.
pub fn is_empty(path: &Path) -> Result<bool, StoreError> {
    let failed = |error: std::io::Error| StoreError::Database { path: path.display().to_string(), message: error.to_string() };
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(true),
        Err(error) => return Err(failed(error)),
    };
    let (mut current, mut others) = (false, false);
    for entry in entries {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        current |= name == "CURRENT";
        others |= name.starts_with("MANIFEST-") || is_numbered(&name, ".sst") || is_numbered(&name, ".log");
    }
    if !current && others {
        let message = "it is missing, although there are other files of a database".to_owned();
        return Err(StoreError::Corrupt { file: path.join("CURRENT").display().to_string(), message });
    }
    Ok(!current)
}

/// RocksDB's error with the file that it is about.
pub fn explain(path: &Path, error: &rocksdb::Error) -> StoreError {
    let message = error.to_string();
    let corrupt = || StoreError::Corrupt { file: damaged_file(path, &message), message: message.clone() };
    let other = || StoreError::Database { path: path.display().to_string(), message: message.clone() };
    match error.kind() {
        rocksdb::ErrorKind::Corruption => corrupt(),
        rocksdb::ErrorKind::IOError if is_full(&message) => StoreError::Full { path: path.display().to_string(), message: message.clone() },
        rocksdb::ErrorKind::IOError if is_barred(&message) => {
            StoreError::Barred { path: path.display().to_string(), message: message.clone() }
        }
        // A file that is missing or cannot be read is named with its path; a second process is no damage.
        rocksdb::ErrorKind::IOError if named_file(&message).is_some() && !is_passing(&message) => corrupt(),
        // Column families that the manifest does not know any more.
        rocksdb::ErrorKind::InvalidArgument if message.to_lowercase().contains("column famil") => corrupt(),
        rocksdb::ErrorKind::IOError
        | rocksdb::ErrorKind::InvalidArgument
        | rocksdb::ErrorKind::NotFound
        | rocksdb::ErrorKind::NotSupported
        | rocksdb::ErrorKind::MergeInProgress
        | rocksdb::ErrorKind::Incomplete
        | rocksdb::ErrorKind::ShutdownInProgress
        | rocksdb::ErrorKind::TimedOut
        | rocksdb::ErrorKind::Aborted
        | rocksdb::ErrorKind::Busy
        | rocksdb::ErrorKind::Expired
        | rocksdb::ErrorKind::TryAgain
        | rocksdb::ErrorKind::CompactionTooLarge
        | rocksdb::ErrorKind::ColumnFamilyDropped
        | rocksdb::ErrorKind::Unknown => other(),
    }
}

/// Whether the disk, its quota or this process's limit has no room.
fn is_full(message: &str) -> bool {
    ["No space left", "Disk quota", "File too large"].iter().any(|words| message.contains(words))
}

/// Whether it is the disk or its rights that let nothing be read or written, whatever the file holds.
fn is_barred(message: &str) -> bool {
    ["Read-only file system", "Permission denied", "Operation not permitted"].iter().any(|words| message.contains(words))
}

/// Whether an input or output error has nothing to do with what is stored.
fn is_passing(message: &str) -> bool {
    ["lock ", "Too many open files"].iter().any(|words| message.contains(words))
}

/// The file that RocksDB's sentence names, whether it is there or not; where it names none, the one that it must be.
fn damaged_file(path: &Path, message: &str) -> String {
    // Whatever fails while RocksDB reads the manifest and what that names, it suspects the manifest too, in a sentence of its own.
    let (message, suspicion) = message.split_once("  The file ").unwrap_or((message, ""));
    let named = |name: &str| path.join(name).display().to_string();
    if let Some(name) = named_file(message) {
        return named(name);
    }
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    let mut names: Vec<_> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    let lower = message.to_lowercase();
    if ["manifest", "versionedit", "descriptor", "meta-", "column famil", "comparator"].iter().any(|word| lower.contains(word))
        && let Some(name) = names.iter().rfind(|name| name.starts_with("MANIFEST-"))
    {
        return named(name);
    }
    if lower.contains("current") {
        return named("CURRENT");
    }
    // "file number 12" and the like.
    let numbers: Vec<u64> = message.split(|letter: char| !letter.is_ascii_digit()).filter_map(|digits| digits.parse().ok()).collect();
    let number = |name: &str| name.split('.').next().and_then(|stem| stem.parse::<u64>().ok());
    let table = names.iter().find(|name| is_numbered(name, ".sst") && number(name).is_some_and(|own| numbers.contains(&own)));
    if let Some(name) = table {
        return named(name);
    }
    let tables = || names.iter().filter(|name| is_numbered(name, ".sst")).map(|name| named(name)).collect::<Vec<_>>();
    if ["propert", "footer", "magic number", "sst", "block "].iter().any(|word| lower.contains(word)) && !tables().is_empty() {
        return tables().join(" or ");
    }
    if let Some(name) = named_file(suspicion) {
        return named(name);
    }
    // The logs are the only files without a name of their own in RocksDB's words; a damaged one holds something.
    let filled = |name: &&String| is_numbered(name, ".log") && fs::metadata(path.join(name)).is_ok_and(|found| found.len() > 0);
    let logs: Vec<_> = names.iter().filter(filled).map(|name| named(name)).collect();
    if logs.is_empty() { path.display().to_string() } else { logs.join(" or ") }
}

/// The first word of a message that is the name of one of RocksDB's files.
fn named_file(message: &str) -> Option<&str> {
    let words = message.split(|letter: char| !(letter.is_ascii_alphanumeric() || matches!(letter, '.' | '-' | '_')));
    words.map(|word| word.trim_end_matches('.')).find(|word| {
        let manifest =
            word.strip_prefix("MANIFEST-").is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()));
        manifest || *word == "CURRENT" || is_numbered(word, ".sst") || is_numbered(word, ".log")
    })
}

fn is_numbered(name: &str, suffix: &str) -> bool {
    name.strip_suffix(suffix).is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_that_a_sentence_names_is_told_even_where_it_is_missing() {
        let cases = [
            ("Corruption: Can't access /000012.sst: IO error: No such file or directory: while stat a file", Some("000012.sst")),
            ("IO error: No such file or directory: While opening a file: /data/db/MANIFEST-000005: No such file", Some("MANIFEST-000005")),
            ("Corruption: CURRENT file does not end with newline", Some("CURRENT")),
            ("Corruption: checksum mismatch in log", None),
        ];
        for (message, name) in cases {
            assert_eq!(named_file(message), name, "{message}");
        }
    }
}
