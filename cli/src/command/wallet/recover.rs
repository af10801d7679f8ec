//! `watt wallet recover`.

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
    phrase::{MAX_ACCOUNT, Phrase},
};

/// Make a wallet from its words
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  watt wallet recover
  watt wallet recover --wallet old --phrase-file words.txt")]
pub struct Recover {
    /// Read the words from this file, which only you may read
    #[arg(long, value_name = "FILE")]
    phrase_file: Option<PathBuf>,
    /// Read the words from this open file descriptor
    #[arg(long, value_name = "N", conflicts_with = "phrase_file")]
    phrase_fd: Option<u32>,
    /// Which account of the words
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=i64::from(MAX_ACCOUNT)))]
    account: u32,
}

impl Recover {
    pub(super) fn run(self, context: &Context) -> Result<(), CommandError> {
        context.require_neither_dry_nor_offline()?;
        let name = context.options().wallet.as_deref().unwrap_or(DEFAULT_WALLET);
        let source = Source::of(self.phrase_file, self.phrase_fd);
        let words = source.read("12 or 24 words, separated by spaces", "--phrase-file FILE or --phrase-fd N", Lines::All)?;
        let phrase = Phrase::parse(&words)?;
        let passphrase = context.new_passphrase(name)?;
        let entry = context.keystore()?.create(name, &Secret::Phrase { phrase, account: self.account }, &passphrase)?;
        put_entry(context, &entry)
    }
}
