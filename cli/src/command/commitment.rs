//! Commitments to what must not be on the chain: the reference of a payment, or where money shall go.
//!
//! The chain gets `BLAKE3(key = salt, reference)`; salt and reference go to `commitments.jsonl` beside the wallets (mode 0600) **before** anything is sent,
//! so that who committed can open the commitment later. Destroying that line erases it. What was refused afterwards, or never sent, leaves its line behind: it is
//! the commitment on the chain that says which lines mean something.

use std::{
    fs::{self, OpenOptions},
    io::{BufRead as _, IsTerminal as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::PathBuf,
};

use chain::hash::Hash32;
use clap::Args;
use serde::Serialize;

use super::{
    CommandError, Context,
    secret::{Lines, Source},
};
use crate::keystore::KeystoreError;

/// Where the reference comes from; it may name a person, so it is not an argument.
#[derive(Args, Clone, Debug)]
pub struct Reference {
    /// Read the reference from this file, which only you may read
    #[arg(long, value_name = "FILE")]
    pub reference_file: Option<PathBuf>,
    /// Read the reference from this open file descriptor
    #[arg(long, value_name = "N", conflicts_with = "reference_file")]
    pub reference_fd: Option<u32>,
    /// Commit to nothing but randomness: there is no reference, as with cash
    #[arg(long, conflicts_with_all = ["reference_file", "reference_fd"])]
    pub no_reference: bool,
}

/// A commitment and what opens it.
#[derive(Clone, Debug, Serialize)]
pub struct Commitment {
    /// What the chain gets.
    pub commitment: Hash32,
    /// What it is salted with.
    pub salt: Hash32,
    /// What it hides.
    pub reference: String,
    /// What it is for.
    pub purpose: String,
}

impl Reference {
    /// Reads or asks for the reference and keeps what opens its commitment.
    ///
    /// # Errors
    /// [`CommandError`].
    pub fn commit(&self, context: &Context, what: &str, purpose: String) -> Result<Commitment, CommandError> {
        let flags = "--reference-file FILE, --reference-fd N or --no-reference";
        let reference = if self.no_reference {
            String::new()
        } else {
            match Source::of(self.reference_file.clone(), self.reference_fd) {
                Source::Prompt if std::io::stdin().is_terminal() => {
                    tell_on!("{what}: ");
                    std::io::stderr().flush()?;
                    let mut line = String::new();
                    std::io::stdin().lock().read_line(&mut line)?;
                    line.trim().to_owned()
                }
                Source::Prompt => {
                    return Err(CommandError::Usage(format!("there is no terminal to ask for the {what}: give it with {flags}")));
                }
                source @ (Source::File(_) | Source::Descriptor(_)) => source.read(what, flags, Lines::First)?.trim().to_owned(),
            }
        };
        if reference.is_empty() && !self.no_reference {
            return Err(CommandError::Usage(format!("the {what} is empty: give one, or --no-reference where there is none")));
        }
        let salt: [u8; 32] = rand::random();
        let commitment = Commitment { commitment: open(&salt, &reference), salt: Hash32(salt), reference, purpose };
        // Of what is only tried nothing has to be opened later.
        if !context.options().dry_run {
            keep(context, &commitment)?;
        }
        Ok(commitment)
    }
}

/// The commitment that a salt and a reference make.
pub fn open(salt: &[u8; 32], reference: &str) -> Hash32 {
    Hash32(*blake3::keyed_hash(salt, reference.as_bytes()).as_bytes())
}

fn keep(context: &Context, commitment: &Commitment) -> Result<(), CommandError> {
    let keystore = context.keystore()?;
    let home = keystore.folder().parent().unwrap_or(keystore.folder()).to_path_buf();
    let path = home.join("commitments.jsonl");
    let failed = |source| KeystoreError::Io { path: path.clone(), source };
    fs::create_dir_all(&home).map_err(failed)?;
    let mut line = serde_json::to_vec(commitment).map_err(|error| CommandError::Failed(error.to_string()))?;
    line.push(b'\n');
    let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(&path).map_err(failed)?;
    file.write_all(&line).and_then(|()| file.sync_all()).map_err(failed)?;
    Ok(())
}
