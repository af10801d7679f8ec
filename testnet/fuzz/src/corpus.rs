//! Good inputs to begin from: in `corpus/`, made by our own encoders.
//!
//! A target's inputs are the lines of `corpus/TARGET.hex` (a name and hexadecimal digits) and, where they are text, the files of `corpus/TARGET/`; an input that something was
//! once wrong with is kept there too. `watt-fuzz --write-corpus` makes them anew after a format has changed. [`read`] is called by the program and the test.

mod make;
mod views;

use std::{fs, path::PathBuf};

use anyhow::Context as _;

pub use self::make::write;
use crate::targets::Target;

/// Where the inputs are: beside this crate's source, which Cargo names when it runs us; the compiler's note of it may be another clone's where clones share what is built.
#[must_use]
pub fn folder() -> PathBuf {
    std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from).join("corpus")
}

/// The inputs of a target with their names.
///
/// # Errors
/// Where a file cannot be read, is no list, or there is none.
pub fn read(target: &Target) -> anyhow::Result<Vec<(String, Vec<u8>)>> {
    let mut found = Vec::new();
    let list = folder().join(target.name).with_extension("hex");
    if list.exists() {
        let text = fs::read_to_string(&list).with_context(|| list.display().to_string())?;
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.is_empty()) {
            let (name, digits) = line.rsplit_once(' ').unwrap_or(("", line));
            let bytes = hex::decode(digits).with_context(|| format!("{}, line {}", list.display(), number + 1))?;
            found.push((name.to_owned(), bytes));
        }
    }
    let files = folder().join(target.name);
    if files.is_dir() {
        let mut paths = fs::read_dir(&files)?.map(|entry| Ok(entry?.path())).collect::<anyhow::Result<Vec<_>>>()?;
        paths.sort();
        for path in paths {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            found.push((name, fs::read(&path).with_context(|| path.display().to_string())?));
        }
    }
    anyhow::ensure!(!found.is_empty(), "there is no input to begin from for {}: ./dev fuzz --write-corpus", target.name);
    Ok(found)
}
