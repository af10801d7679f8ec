//! `watt wallet show`.

use clap::Args;

use crate::{
    command::{CommandError, Context},
    keystore::{Origin, Secret, WalletEntry},
    phrase::{COIN, PURPOSE},
    render::Facts,
};

/// Show a wallet's address, or its words
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  watt wallet show\n  watt wallet show --wallet holiday --phrase")]
pub struct Show {
    /// Show the words too, after asking for the passphrase; look around first
    #[arg(long)]
    phrase: bool,
}

impl Show {
    pub(super) fn run(self, context: &Context) -> Result<(), CommandError> {
        let entry = context.entry()?;
        if self.phrase {
            match context.unlock(&entry)? {
                Secret::Phrase { phrase, .. } => tell!("{}\n", *phrase.words()),
                Secret::Key(_) => return Err(CommandError::Failed(format!("wallet {} has a bare key and no words", entry.name))),
            }
        }
        put_entry(context, &entry)
    }
}

/// Writes what is known of a wallet without its passphrase.
pub(super) fn put_entry(context: &Context, entry: &WalletEntry) -> Result<(), CommandError> {
    context.put(entry, || {
        Facts::new().with("wallet", entry.name.as_str()).with("address", entry.address.to_string()).with("key", origin(entry.origin)).text()
    })
}

/// Where a key comes from, in words.
pub(super) fn origin(origin: Origin) -> String {
    match origin {
        Origin::Phrase { account } => format!("words, m/{PURPOSE}'/{COIN}'/{account}'"),
        Origin::Key => "bare key".to_owned(),
    }
}
