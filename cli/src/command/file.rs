//! Reading what a person names: never more than it may be, whatever the name stands for. Called by the commands.

use std::{
    fs::File,
    io::{self, Read as _},
    path::Path,
};

use super::error::CommandError;

/// Reads a file of at most `limit` bytes; `what` it is, for the message. A pipe or a device has no length to ask for, so the bytes are counted while they come.
///
/// # Errors
/// [`CommandError::Failed`] with the file's name.
pub(super) fn read_at_most(path: &Path, what: &str, limit: u64) -> Result<Vec<u8>, CommandError> {
    let failed = |reason: String| CommandError::Failed(format!("{}: {reason}", path.display()));
    let read = || -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        File::open(path)?.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().map_err(|error| failed(error.to_string()))?;
    if bytes.len() as u64 > limit { Err(failed(format!("{what} has at most {limit} bytes, this has more"))) } else { Ok(bytes) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endless_device_is_refused_and_a_file_of_the_greatest_length_is_read() {
        let error = read_at_most(Path::new("/dev/zero"), "a proof file", 1 << 16).unwrap_err().to_string();
        assert!(error.contains("/dev/zero") && error.contains("at most 65536 bytes"), "{error}");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, [7; 64]).unwrap();
        assert_eq!(read_at_most(&path, "it", 64).unwrap(), [7; 64]);
        assert!(read_at_most(&path, "it", 63).is_err());
    }
}
