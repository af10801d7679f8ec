//! Reading and writing what a person names: never more than it may be, whatever the name stands for, and told in words where it fails.
//! Called by the commands.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use super::error::CommandError;
use crate::{
    keystore::write_new,
    render::{self, Output, io_words},
};

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
    let bytes = read().map_err(|error| failed(io_words(&error)))?;
    if bytes.len() as u64 > limit { Err(failed(format!("{what} has at most {limit} bytes, this has more"))) } else { Ok(bytes) }
}

/// What went wrong with a file of this name.
pub(super) fn failed(path: &Path, error: &io::Error) -> CommandError {
    CommandError::Failed(format!("{}: {}", path.display(), io_words(error)))
}

/// Opens a file to be read; a folder is none.
///
/// # Errors
/// [`CommandError::Failed`] with the file's name.
pub(super) fn open(path: &Path) -> Result<File, CommandError> {
    let opened =
        File::open(path).and_then(|file| if file.metadata()?.is_dir() { Err(io::ErrorKind::IsADirectory.into()) } else { Ok(file) });
    opened.map_err(|error| failed(path, &error))
}

/// Where a result goes that is a file of its own.
#[derive(Clone, Debug)]
pub(super) enum Target {
    /// A new file.
    New(PathBuf),
    /// `-`: the standard output.
    Stdout,
}

impl Target {
    /// Takes a name; what cannot be written there is found now, before the work.
    ///
    /// # Errors
    /// [`CommandError::Failed`] where something has this name or its folder is not there; [`CommandError::Usage`] for `-` beside `--output json`, which has the
    /// standard output to itself.
    pub fn of(path: PathBuf, output: Output) -> Result<Self, CommandError> {
        if path.as_os_str() == "-" {
            return match output {
                Output::Table => Ok(Self::Stdout),
                Output::Json | Output::Csv => Err(CommandError::Usage(
                    "\"-\" and --output json or csv both want the standard output: name a file, or leave out one of them".to_owned(),
                )),
            };
        }
        match fs::symlink_metadata(&path) {
            Ok(_) => return Err(failed(&path, &io::ErrorKind::AlreadyExists.into())),
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(&path, &error)),
            Err(_) => {}
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let found = fs::metadata(folder).and_then(|found| if found.is_dir() { Ok(()) } else { Err(io::ErrorKind::NotADirectory.into()) });
        found.map_err(|error| failed(folder, &error))?;
        Ok(Self::New(path))
    }

    /// Writes it, whole or not at all.
    ///
    /// # Errors
    /// [`CommandError::Failed`] with the file's name; the machine's.
    pub fn write(&self, bytes: &[u8]) -> Result<(), CommandError> {
        match self {
            Self::New(path) => write_new(path, bytes).map_err(|error| failed(path, &error)),
            Self::Stdout => Ok(render::out(bytes)?),
        }
    }
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

    /// "File exists (os error 17)" and "Is a directory (os error 21)" were all that was said, the first after the work was done.
    #[test]
    fn a_name_that_cannot_be_read_or_written_is_refused_in_words_before_the_work() {
        let folder = tempfile::tempdir().unwrap();
        let there = folder.path().join("there");
        std::fs::write(&there, "kept").unwrap();
        let target = |path: PathBuf| Target::of(path, Output::Table).map(|_| ());
        let cases = [
            (target(there.clone()), "already"),
            (target(folder.path().to_path_buf()), "already"),
            (target(folder.path().join("none/file")), "no such file or folder"),
            (target(there.join("file")), "not a folder"),
            (open(folder.path()).map(|_| ()), "a folder, not a file"),
            (read_at_most(folder.path(), "it", 64).map(|_| ()), "a folder, not a file"),
            (open(&folder.path().join("none")).map(|_| ()), "no such file"),
            (Target::of("-".into(), Output::Json).map(|_| ()), "--output json"),
        ];
        for (outcome, words) in cases {
            let told = outcome.unwrap_err().to_string();
            assert!(told.contains(words) && !told.contains("os error"), "{words}: {told}");
        }
        let target = Target::of(folder.path().join("new"), Output::Table).unwrap();
        target.write(b"text").unwrap();
        assert!(target.write(b"other").unwrap_err().to_string().contains("already"));
        assert_eq!(std::fs::read(folder.path().join("new")).unwrap(), b"text");
        assert!(matches!(Target::of("-".into(), Output::Table), Ok(Target::Stdout)));
    }
}
