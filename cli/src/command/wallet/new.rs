//! `watt wallet new`.

use std::{io::IsTerminal as _, path::PathBuf};

use clap::Args;

use super::show::put_entry;
use crate::{
    command::{CommandError, Context, context::DEFAULT_WALLET, file::failed},
    keystore::{KeystoreError, Secret, check_name, write_new},
    phrase::{Length, Phrase},
};

/// Make a new wallet and show its words once
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  watt wallet new
  watt wallet new --wallet holiday --words 12
  watt wallet new --wallet robot --phrase-file words.txt --passphrase-fd 3 3<passphrase

The words are the wallet: whoever has them has the tokens, and without them nobody can bring it back.")]
pub struct New {
    /// How many words
    #[arg(long, value_name = "12|24", default_value = "24", value_parser = ["12", "24"])]
    words: String,
    /// Write the words to this new file, which only you may read, instead of the screen
    #[arg(long, value_name = "FILE")]
    phrase_file: Option<PathBuf>,
}

impl New {
    pub(super) fn run(self, context: &Context) -> Result<(), CommandError> {
        context.require_neither_dry_nor_offline()?;
        let name = context.options().wallet.as_deref().unwrap_or(DEFAULT_WALLET);
        if self.phrase_file.is_none() && !std::io::stderr().is_terminal() {
            return Err(CommandError::Usage(
                "there is no terminal to show the words at: name a file for them with --phrase-file".to_owned(),
            ));
        }
        let keystore = context.keystore()?;
        check_name(name)?;
        if keystore.names()?.iter().any(|known| known == name) {
            return Err(KeystoreError::Exists(name.to_owned()).into());
        }
        let passphrase = context.new_passphrase(name)?;
        let phrase = Phrase::generate(if self.words == "12" { Length::Twelve } else { Length::TwentyFour });
        let words = phrase.words();
        // The words are out before the wallet is in: a wallet whose words nobody has seen would be lost with its file.
        match &self.phrase_file {
            Some(path) => write_new(path, format!("{}\n", *words).as_bytes()).map_err(|error| failed(path, &error))?,
            None => {
                tell!("Write these words down on paper, in order, and keep them where only you find them:\n");
                for (index, word) in words.split(' ').enumerate() {
                    tell_on!("{:>3} {word:<10}{}", index + 1, if index % 4 == 3 { "\n" } else { "" });
                }
                tell!();
            }
        }
        let entry = keystore.create(name, &Secret::Phrase { phrase, account: 0 }, &passphrase)?;
        put_entry(context, &entry)
    }
}
