//! Tells builds apart that bear the same version: a number made of the sources that decide what a node does.
//!
//! Who builds the same sources gets the same number, on any machine and without a repository beside them. Run by Cargo before this package is compiled.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Seen from this package.
const SOURCES: [&str; 5] = ["../Cargo.lock", "../chain/src", "../contracts/src", "consensus/src", "src"];

fn main() -> io::Result<()> {
    let mut files = Vec::new();
    for source in SOURCES {
        println!("cargo::rerun-if-changed={source}");
        collect(Path::new(source), &mut files)?;
    }
    files.sort();
    let mut hasher = blake3::Hasher::new();
    for file in files {
        // A name or a text that ends elsewhere is another file.
        for part in [file.as_os_str().as_encoded_bytes(), &fs::read(&file)?] {
            hasher.update(&part.len().to_le_bytes()).update(part);
        }
    }
    println!("cargo::rustc-env=COMMONWATT_BUILD={:.8}", hasher.finalize().to_hex());
    Ok(())
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    if path.is_dir() {
        for entry in fs::read_dir(path)? {
            collect(&entry?.path(), files)?;
        }
    } else {
        files.push(path.to_owned());
    }
    Ok(())
}
