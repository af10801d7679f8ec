//! What an operator can do about a file that cannot be used.
//!
//! Words alone: nothing is read or written. A leaf: whoever reads the files of a data directory calls it.

use std::io::{self, ErrorKind};

/// The step after a failure of the system; `restore` says where the file can be had again.
#[must_use]
pub fn way_on(error: &io::Error, restore: &str) -> String {
    let kind = error.kind();
    let is = |kinds: &[ErrorKind]| kinds.contains(&kind);
    if is(&[ErrorKind::NotFound]) {
        format!("it is missing: {restore}")
    } else if is(&[ErrorKind::ReadOnlyFilesystem]) {
        "make the disk writable and start again; one that has become read-only by itself is failing: look at the system's log and at your backups first".to_owned()
    } else if is(&[ErrorKind::PermissionDenied]) {
        "it belongs to another user than the one that runs this: give it to that user (chown)".to_owned()
    } else if is(&[ErrorKind::StorageFull, ErrorKind::QuotaExceeded, ErrorKind::FileTooLarge]) {
        "make room and try again".to_owned()
    } else if is(&[ErrorKind::AlreadyExists]) {
        "nothing was changed".to_owned()
    } else if is(&[ErrorKind::IsADirectory, ErrorKind::NotADirectory]) {
        format!("move what is there away and {restore}")
    } else {
        restore.to_owned()
    }
}

/// What is said of something that is no file where one must be.
#[must_use]
pub fn not_a_file() -> io::Error {
    io::Error::new(ErrorKind::IsADirectory, "expected a file, found a directory or something else")
}
