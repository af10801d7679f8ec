//! `watt wallet import`.

use std::path::PathBuf;

use clap::Args;

use super::show::put_entry;
use crate::{
    command::{
        CommandError, Context,
        context::DEFAULT_WALLET,
        secret::{Lines, Source},
    },
    keystore::Secret,
    phrase::key_from_hex,
};

/// Make a wallet from a bare key, such as one that `wattd init` made
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  watt wallet import --wallet manager --key-file node/keys/manager.key
  watt wallet import --wallet treasurer --key-fd 3 3<treasurer.key

The file holds 64 hexadecimal digits and may be read by its owner only. A bare key has no words: keep a copy of the file in a safe place, and remove it here.")]
pub struct Import {
    /// Read the key from this file, which only you may read
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// Read the key from this open file descriptor
    #[arg(long, value_name = "N", conflicts_with = "key_file")]
    key_fd: Option<u32>,
}

impl Import {
    pub(super) fn run(self, context: &Context) -> Result<(), CommandError> {
        context.require_neither_dry_nor_offline()?;
        let name = context.options().wallet.as_deref().unwrap_or(DEFAULT_WALLET);
        let text =
            Source::of(self.key_file, self.key_fd).read("key, 64 hexadecimal digits", "--key-file FILE or --key-fd N", Lines::First)?;
        // The digits are never repeated in a message.
        let key =
            key_from_hex(&text).ok_or_else(|| CommandError::Failed("the key is not 64 hexadecimal digits on the first line".to_owned()))?;
        let passphrase = context.new_passphrase(name)?;
        let entry = context.keystore()?.create(name, &Secret::Key(key), &passphrase)?;
        put_entry(context, &entry)
    }
}
