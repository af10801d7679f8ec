//! What the commands share: the node, the wallet, the confirm screen and the way of a call to its block.

use std::{
    io::{self, BufRead as _, IsTerminal as _, Write as _},
    time::Duration,
};

use chain::{
    api::{CommittedTransaction, Status, Submitted},
    codec, crypto,
    id::{Address, CondominiumId, SessionId, TxId},
    time::Timestamp,
    transaction::MAX_TRANSACTION_BYTES,
};
use contracts::call::{Body, Call};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use zeroize::Zeroizing;

use super::{
    CommandError, Options,
    secret::{Lines, Source},
};
use crate::{
    client::Client,
    describe,
    keystore::{Keystore, KeystoreError, MIN_PASSPHRASE_CHARS, Secret, WalletEntry},
    named::Named,
    quantity::time,
    render::{self, Facts},
    wallet::{VALIDITY, Wallet},
};

/// The wallet's name where none is given and there are several.
pub const DEFAULT_WALLET: &str = "default";

/// One run of `watt`.
#[derive(Debug)]
pub struct Context {
    options: Options,
    client: Client,
}

/// A transaction in its block, for the screen.
#[derive(Debug)]
pub struct Done {
    /// Its id.
    pub id: TxId,
    /// Where it stands and what it did.
    pub committed: CommittedTransaction,
    /// What a token stands for.
    pub currency: String,
}

impl Context {
    /// Takes the options in; nothing is asked yet.
    ///
    /// # Errors
    /// A node's address that is none.
    pub fn new(options: Options) -> Result<Self, CommandError> {
        let client = Client::new(&options.node)?;
        Ok(Self { options, client })
    }

    /// The node.
    #[must_use]
    pub const fn client(&self) -> &Client {
        &self.client
    }

    /// What holds for every command.
    #[must_use]
    pub const fn options(&self) -> &Options {
        &self.options
    }

    /// The node's state and clock.
    ///
    /// # Errors
    /// [`CommandError::Client`].
    pub async fn status(&self) -> Result<Status, CommandError> {
        Ok(self.client.status().await?)
    }

    /// The user's wallets.
    ///
    /// # Errors
    /// [`CommandError::Keystore`].
    pub fn keystore(&self) -> Result<Keystore, CommandError> {
        Ok(Keystore::of_user()?)
    }

    /// The wallet that acts, still sealed: the one named, else the only one, else `default`.
    ///
    /// # Errors
    /// [`CommandError::Keystore`] where there is none; [`CommandError::Usage`] where there are several.
    pub fn entry(&self) -> Result<WalletEntry, CommandError> {
        let keystore = self.keystore()?;
        if let Some(name) = &self.options.wallet {
            return Ok(keystore.entry(name)?);
        }
        let names = keystore.names()?;
        match names.as_slice() {
            [only] => Ok(keystore.entry(only)?),
            [] => Err(KeystoreError::Empty { folder: keystore.folder().to_path_buf() }.into()),
            several if several.iter().any(|name| name == DEFAULT_WALLET) => Ok(keystore.entry(DEFAULT_WALLET)?),
            several => {
                Err(CommandError::Usage(format!("there are {} wallets: choose one of {} with --wallet", several.len(), several.join(", "))))
            }
        }
    }

    /// An account that is named, else the acting wallet's.
    ///
    /// # Errors
    /// As [`Context::entry`].
    pub fn account(&self, named: Option<Address>) -> Result<Address, CommandError> {
        named.map_or_else(|| self.entry().map(|entry| entry.address), Ok)
    }

    /// The session of this name; a beginning is asked for at the node.
    ///
    /// # Errors
    /// [`CommandError::Client`] where no session begins so, or several do; [`CommandError::Verification`] where the node answers with another.
    pub async fn session(&self, named: &Named) -> Result<SessionId, CommandError> {
        let id = match named {
            Named::Whole(id) => return Ok(SessionId(*id)),
            Named::Beginning(digits) => self.client.session_beginning(digits).await?,
        };
        // What is signed next names this session: the node may complete the id, not replace it.
        if named.fits(id.0) {
            Ok(id)
        } else {
            Err(CommandError::Verification(format!("asked for session {named}, the node answers with {id}")))
        }
    }

    /// The condominium that is named, else the only one of the federation.
    ///
    /// # Errors
    /// [`CommandError::Usage`] where there are several.
    pub async fn condominium(&self, named: Option<u32>) -> Result<CondominiumId, CommandError> {
        if let Some(number) = named {
            return Ok(CondominiumId(number));
        }
        let known = self.client.condominiums().await?;
        match known.as_slice() {
            [only] => Ok(only.id),
            several => {
                let list: Vec<String> = several.iter().map(|view| format!("{} ({})", view.id, view.condominium.name)).collect();
                Err(CommandError::Usage(format!("name the condominium with --condominium: {}", list.join(", "))))
            }
        }
    }

    /// The passphrase of a wallet.
    ///
    /// # Errors
    /// Where it cannot be asked for or read.
    pub fn passphrase(&self, name: &str) -> Result<Zeroizing<String>, CommandError> {
        self.passphrase_source().read(&format!("passphrase of wallet {name}"), PASSPHRASE_FLAGS, Lines::First)
    }

    /// The passphrase of a wallet that is being made: asked for twice, and long enough.
    ///
    /// # Errors
    /// As [`Context::passphrase`]; where the two differ or are too short.
    pub fn new_passphrase(&self, name: &str) -> Result<Zeroizing<String>, CommandError> {
        let source = self.passphrase_source();
        let what = format!("new passphrase of wallet {name}, at least {MIN_PASSPHRASE_CHARS} characters");
        let passphrase = source.read(&what, PASSPHRASE_FLAGS, Lines::First)?;
        // Before it is asked for again.
        let length = passphrase.chars().count();
        if length < MIN_PASSPHRASE_CHARS {
            return Err(KeystoreError::Short(length).into());
        }
        if matches!(source, Source::Prompt) {
            let again = source.read("the same again", PASSPHRASE_FLAGS, Lines::First)?;
            if *again != *passphrase {
                return Err(CommandError::Failed("the two passphrases differ: nothing was written".to_owned()));
            }
        }
        Ok(passphrase)
    }

    fn passphrase_source(&self) -> Source {
        Source::of(self.options.passphrase_file.clone(), self.options.passphrase_fd)
    }

    /// Opens a wallet.
    ///
    /// # Errors
    /// [`CommandError::Keystore`].
    pub fn unlock(&self, entry: &WalletEntry) -> Result<Secret, CommandError> {
        let passphrase = self.passphrase(&entry.name)?;
        self.keystore()?.open(&entry.name, &passphrase).map_err(|error| {
            if !matches!(error, KeystoreError::Sealed) {
                return error.into();
            }
            let advice = "try again; where it is forgotten, the words bring the wallet back: `watt wallet recover`";
            CommandError::Failed(format!("wallet {}: {error}: {advice}", entry.name))
        })
    }

    /// Shows a call, has it confirmed, signs it with the acting wallet and waits for its block.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn submit(&self, status: &Status, call: Call) -> Result<Done, CommandError> {
        let entry = self.entry()?;
        let nonce = match self.client.account(entry.address).await {
            Ok(view) => view.next_nonce,
            // Only a self-registration can succeed without an account, and its nonce is 0.
            Err(error) if error.is_code("unknown_account") && matches!(call, Call::RegisterAccount(_)) => 0,
            Err(error) if error.is_code("unknown_account") => {
                return Err(CommandError::Failed(format!(
                    "the account of wallet {} is not registered on this chain yet: buy tokens from your condominium (`watt wallet receive` shows the address to give), or use an invite with `watt wallet accept`",
                    entry.name
                )));
            }
            Err(error) => return Err(error.into()),
        };
        let valid_until = valid_until(status);
        let meant = Body { chain_id: status.chain_id, account: entry.address, signer: entry.address, nonce, valid_until, call };
        let shown = codec::encode(&meant).map_err(|error| CommandError::Failed(format!("the call cannot be encoded: {error}")))?;
        // What the screen says and what the key signs are both made from these bytes.
        let body: Body = codec::decode(&shown, MAX_TRANSACTION_BYTES)
            .map_err(|error| CommandError::Failed(format!("the call is none that this program can show: {error}")))?;
        let (title, lines) = describe::body(&body, &status.currency);
        self.confirm(&title, &lines)?;

        let wallet = Wallet::with_nonce(self.unlock(&entry)?.key(), status.chain_id, nonce);
        let transaction = wallet.sign_body(body).map_err(crate::client::ClientError::from)?;
        if transaction.body_bytes() != shown || transaction.body().signer != crypto::address_of(wallet.key()) {
            return Err(CommandError::Failed("the bytes to send are not those that were shown: nothing was sent".to_owned()));
        }
        let spinner = spinner("waiting for the block");
        let outcome = self.client.submit_and_wait(transaction.bytes()).await;
        spinner.finish_and_clear();
        Ok(Done { id: transaction.id(), committed: outcome?, currency: status.currency.clone() })
    }

    /// Shows something and asks; `--yes` is a yes.
    ///
    /// # Errors
    /// [`CommandError::Declined`]; [`CommandError::Usage`] where nobody can answer.
    pub fn confirm(&self, title: &str, lines: &[describe::Line]) -> Result<(), CommandError> {
        let facts = lines.iter().fold(Facts::new(), |facts, (name, value)| facts.with(name, value.as_str()));
        if self.options.yes {
            return Ok(());
        }
        eprintln!("{}\n\n{}", render::clean(title), facts.text());
        if !io::stdin().is_terminal() {
            return Err(CommandError::Usage("there is no terminal to confirm at: read what is above and add --yes".to_owned()));
        }
        eprint!("Sign this? [y/N] ");
        io::stderr().flush()?;
        let mut answer = String::new();
        io::stdin().lock().read_line(&mut answer)?;
        if matches!(answer.trim(), "y" | "Y" | "yes") { Ok(()) } else { Err(CommandError::Declined) }
    }

    /// Writes a result to stdout.
    ///
    /// # Errors
    /// The machine's.
    pub fn put<T: Serialize + ?Sized>(&self, json: &T, text: impl FnOnce() -> String) -> Result<(), CommandError> {
        Ok(render::put(self.options.output, json, text)?)
    }

    /// Writes what became of a transaction, with facts of its own before those that all have.
    ///
    /// # Errors
    /// The machine's.
    pub fn put_done(&self, done: &Done, facts: Facts) -> Result<(), CommandError> {
        let json = Submitted { id: done.id, committed: Some(done.committed.clone()) };
        self.put(&json, || done.facts(facts).text())
    }
}

impl Done {
    /// Adds the transaction's own facts.
    #[must_use]
    pub fn facts(&self, facts: Facts) -> Facts {
        facts
            .with("transaction", self.id.to_string())
            .with("block", self.committed.height.to_string())
            .with("at", time(self.committed.timestamp))
    }
}

const PASSPHRASE_FLAGS: &str = "--passphrase-file FILE or --passphrase-fd N";

/// An hour from the node's clock, which in a test federation is not this machine's. The newest block may be ahead of it by a little.
fn valid_until(status: &Status) -> Timestamp {
    status.now.max(status.timestamp).saturating_add(VALIDITY)
}

/// Something that turns on stderr while one waits; invisible where stderr is no terminal.
pub fn spinner(message: &'static str) -> ProgressBar {
    let bar = ProgressBar::new_spinner().with_message(message);
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}  ({elapsed})") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(120));
    bar
}
