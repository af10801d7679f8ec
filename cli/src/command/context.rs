//! What the commands share: the node, the wallet, the confirm screen and the way of a call to its block.

use std::{
    io::{self, BufRead as _, IsTerminal as _, Write as _},
    sync::Arc,
    time::Duration,
};

use chain::{
    api::{CommittedTransaction, Rehearsed, Submitted},
    code::Code,
    codec, crypto,
    id::{Address, CondominiumId, SessionId, TxId},
    quantity::decimal,
    time::Timestamp,
    transaction::MAX_TRANSACTION_BYTES,
};
use contracts::call::{Body, Call, Transaction};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use zeroize::Zeroizing;

pub use super::keys::DEFAULT_WALLET;
use super::{
    CommandError, Options,
    file::Target,
    keys::{Keys, PASSPHRASE_FLAGS},
    present::{Offline, Present, Way},
    secret::{Lines, Source},
};
use crate::{
    client::{Client, ClientError},
    csv::Csv,
    describe,
    keystore::{Keystore, KeystoreError, MIN_PASSPHRASE_CHARS, Secret, WalletEntry},
    named::Named,
    quantity::time,
    render::{self, Facts},
    transaction_file,
    wallet::{VALIDITY, Wallet},
};

/// One run of `watt`.
#[derive(Debug)]
pub struct Context {
    options: Options,
    client: Client,
    way: Way,
    keys: Arc<Keys>,
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
    /// A node's address that is none; options that do not go together.
    pub fn new(options: Options) -> Result<Self, CommandError> {
        let way = Way::of(&options)?;
        let keys = Arc::new(Keys::new(options.clone()));
        let reader = Arc::clone(&keys);
        let client = match way {
            Way::Node => Client::new(&options.node)?.reading_as(move || reader.reader()),
            Way::Offline(_) => Client::offline()?,
        };
        Ok(Self { options, client, way, keys })
    }

    /// The node.
    #[must_use]
    pub const fn client(&self) -> &Client {
        &self.client
    }

    /// A client that is nobody's: it sees what anybody may, and no passphrase is asked for on its behalf.
    ///
    /// # Errors
    /// [`CommandError::Client`].
    pub fn stranger(&self) -> Result<Client, CommandError> {
        Ok(Client::new(&self.options.node)?)
    }

    /// What holds for every command.
    #[must_use]
    pub const fn options(&self) -> &Options {
        &self.options
    }

    /// Whether no node is asked.
    #[must_use]
    pub const fn is_offline(&self) -> bool {
        matches!(self.way, Way::Offline(_))
    }

    /// Refuses `--dry-run` and `--offline` for what changes something and submits nothing.
    ///
    /// # Errors
    /// [`CommandError::Usage`].
    pub fn require_neither_dry_nor_offline(&self) -> Result<(), CommandError> {
        let flag = if self.options.dry_run { "--dry-run" } else { "--offline" };
        if !self.options.dry_run && !self.is_offline() {
            return Ok(());
        }
        Err(CommandError::Usage(format!("{flag} is for commands that submit a transaction, and this one submits none: leave it out")))
    }

    /// The chain at this moment: the node's, or without a node what was given instead.
    ///
    /// # Errors
    /// [`CommandError::Client`].
    pub async fn status(&self) -> Result<Present, CommandError> {
        match &self.way {
            Way::Node => Ok(self.client.status().await?.into()),
            Way::Offline(offline) => offline.present(),
        }
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
        self.keys.entry()
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
        let known = self.condominiums().await?;
        match known.as_slice() {
            [(only, _)] => Ok(*only),
            several => {
                let list: Vec<String> = several.iter().map(|(id, name)| format!("{id} ({name})")).collect();
                Err(CommandError::Usage(format!("name the condominium with --condominium: {}", list.join(", "))))
            }
        }
    }

    /// All condominiums with their names, as the node or the prepared file has them.
    async fn condominiums(&self) -> Result<Vec<(CondominiumId, String)>, CommandError> {
        if let Way::Offline(offline) = &self.way
            && let Some(prepared) = &offline.prepared
        {
            return Ok(prepared.condominiums.iter().map(|named| (named.id, named.name.clone())).collect());
        }
        let known = self.client.condominiums().await?;
        Ok(known.into_iter().map(|view| (view.id, view.condominium.name)).collect())
    }

    /// Adds the names to the numbers of condominiums. They are the node's word: the number is what is signed.
    pub async fn name_condominiums(&self, lines: &mut [describe::Line]) {
        let number = |(name, value): &describe::Line| value.parse().ok().filter(|_| name.ends_with("condominium")).map(CondominiumId);
        if lines.iter().all(|line| number(line).is_none()) {
            return;
        }
        // A screen without names is as good to sign as before: that they cannot be had is no failure.
        let known = self.condominiums().await.unwrap_or_default();
        for line in lines {
            if let Some(id) = number(line)
                && let Some((_, name)) = known.iter().find(|(known, _)| *known == id)
            {
                line.1 = format!("{id} ({name})");
            }
        }
    }

    /// The passphrase of a wallet.
    ///
    /// # Errors
    /// Where it cannot be asked for or read.
    pub fn passphrase(&self, name: &str) -> Result<Zeroizing<String>, CommandError> {
        self.keys.passphrase(name)
    }

    /// The passphrase of a wallet that is being made: asked for twice, and long enough.
    ///
    /// # Errors
    /// As [`Context::passphrase`]; where the two differ or are too short.
    pub fn new_passphrase(&self, name: &str) -> Result<Zeroizing<String>, CommandError> {
        let source = self.keys.passphrase_source();
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

    /// Opens a wallet; one that this run has opened already asks for nothing.
    ///
    /// # Errors
    /// [`CommandError::Keystore`].
    pub fn unlock(&self, entry: &WalletEntry) -> Result<Secret, CommandError> {
        self.keys.unlock(entry)
    }

    /// Shows a call, has it confirmed, signs it with the acting wallet and waits for its block.
    ///
    /// # Errors
    /// [`CommandError`]; [`CommandError::EndsHere`] where it was only tried (`--dry-run`) or written to a file (`--offline`), and that is told already.
    pub async fn submit(&self, present: &Present, call: Call) -> Result<Done, CommandError> {
        let entry = self.entry()?;
        let nonce = self.nonce(&entry, &call).await?;
        let valid_until = self.valid_until(present);
        let meant = Body { chain_id: present.chain_id, account: entry.address, signer: entry.address, nonce, valid_until, call };
        let shown = codec::encode(&meant).map_err(|error| CommandError::Failed(format!("the call cannot be encoded: {error}")))?;
        // What the screen says and what the key signs are both made from these bytes.
        let body: Body = codec::decode(&shown, MAX_TRANSACTION_BYTES)
            .map_err(|error| CommandError::Failed(format!("the call is none that this program can show: {error}")))?;
        let (title, mut lines) = describe::body(&body, &present.currency);
        self.name_condominiums(&mut lines).await;
        if self.options.dry_run {
            return Err(self.rehearse(present, &entry, body, (&title, &lines)).await);
        }
        self.confirm(&title, &lines)?;

        let wallet = Wallet::with_nonce(self.unlock(&entry)?.key(), present.chain_id, nonce);
        let transaction = wallet.sign_body(body).map_err(ClientError::from)?;
        if transaction.body_bytes() != shown || transaction.body().signer != crypto::address_of(wallet.key()) {
            return Err(CommandError::Failed("the bytes to send are not those that were shown: nothing was sent".to_owned()));
        }
        match &self.way {
            Way::Node => self.send(&transaction, &present.currency).await,
            Way::Offline(_) => Err(self.write(&transaction, present).err().unwrap_or(CommandError::EndsHere)),
        }
    }

    /// Submits a signed transaction and waits for its block.
    ///
    /// # Errors
    /// [`CommandError::Client`].
    pub async fn send(&self, transaction: &Transaction, currency: &str) -> Result<Done, CommandError> {
        let spinner = spinner("waiting for the block");
        let outcome = self.client.submit_and_wait(transaction.bytes()).await;
        spinner.finish_and_clear();
        Ok(Done { id: transaction.id(), committed: outcome?, currency: currency.to_owned() })
    }

    /// The number of the acting wallet's next transaction.
    async fn nonce(&self, entry: &WalletEntry, call: &Call) -> Result<u64, CommandError> {
        if let Way::Offline(offline) = &self.way {
            return self.nonce_given(offline, entry);
        }
        match self.client.account(entry.address).await {
            Ok(view) => Ok(view.next_nonce),
            // Only a self-registration can succeed without an account, and its nonce is 0.
            Err(error) if error.is_code("unknown_account") && matches!(call, Call::RegisterAccount(_)) => Ok(0),
            Err(error) if error.is_code("unknown_account") => Err(CommandError::Refused {
                code: Code::UnknownAccount,
                text: format!(
                    "the account of wallet {} is not registered on this chain yet: buy tokens from your condominium (`watt wallet receive` shows the address to give), or use an invite with `watt wallet accept`",
                    entry.name
                ),
            }),
            Err(error) => Err(error.into()),
        }
    }

    fn nonce_given(&self, offline: &Offline, entry: &WalletEntry) -> Result<u64, CommandError> {
        if let Some(prepared) = offline.prepared.as_ref().filter(|prepared| prepared.account != entry.address) {
            return Err(CommandError::Usage(format!(
                "the prepared file is for account {}, wallet {} is {}: choose the wallet with --wallet, or have another file prepared",
                prepared.account, entry.name, entry.address
            )));
        }
        let prepared = offline.prepared.as_ref().map(|prepared| prepared.next_nonce);
        self.options.nonce.or(prepared).ok_or_else(|| {
            CommandError::Usage(
                "without a node the number of the next transaction is not known: give it with --nonce, or a file of `watt chain prepare` with --prepared"
                    .to_owned(),
            )
        })
    }

    /// When a transaction expires: an hour from the node's clock, which in a test federation is not this machine's (the newest block may be ahead of it by a
    /// little); one that must be carried to a node, as late as may be.
    fn valid_until(&self, present: &Present) -> Timestamp {
        match self.options.valid_until {
            Some(at) => at.resolve(present.now),
            None if self.is_offline() => present.latest_expiry(),
            None => present.now.max(present.timestamp).saturating_add(VALIDITY),
        }
    }

    /// Has the node try a call that is not submitted, and tells what it would do.
    async fn rehearse(&self, present: &Present, entry: &WalletEntry, body: Body, words: (&str, &[describe::Line])) -> CommandError {
        let tried = async {
            let key = self.unlock(entry)?.key();
            let signed = Transaction::sign_rehearsal(body.clone(), &key).map_err(ClientError::from)?;
            let rehearsed = self.client.rehearse(signed.bytes()).await?;
            let told = Tried { dry_run: true, submitted: false, body: &body, would: &rehearsed };
            self.put(&told, || {
                let (title, lines) = words;
                let facts = lines.iter().fold(Facts::new().with("would", title), |facts, (name, value)| facts.with(name, value.as_str()));
                let events = rehearsed.receipt.events.iter();
                let facts = events.fold(facts, |facts, event| facts.with("effect", describe::event(event, &present.currency)));
                facts
                    .with("fee", "none")
                    .with("in block", format!("{}, if it were sent now", rehearsed.height))
                    .with("submitted", "no: this was a rehearsal")
                    .text()
            })
        };
        tried.await.err().unwrap_or(CommandError::EndsHere)
    }

    /// Writes a signed transaction to a file, and tells how it goes on from there.
    fn write(&self, transaction: &Transaction, present: &Present) -> Result<(), CommandError> {
        let body = transaction.body();
        let default = || format!("{}-{}.watt.json", body.call.action().name(), body.nonce).into();
        let target = Target::of(self.options.out.clone().unwrap_or_else(default), self.options.output)?;
        let text = transaction_file::written(transaction, &present.currency).map_err(|error| CommandError::Failed(error.to_string()))?;
        target.write(&text)?;
        let (not_before, next) = (transaction_file::not_before(transaction), body.nonce.saturating_add(1));
        let facts = Facts::new()
            .with("transaction", transaction.id().to_string())
            .with("in a block", format!("from {} to {}, or never", time(not_before), time(body.valid_until)))
            .with("submit it with", "watt chain submit FILE, at any machine with a node; once")
            .with("the one after it", format!("--nonce {next}, and the chain takes it after this one"));
        match &target {
            Target::New(path) => {
                let file = path.display().to_string();
                let written = Written {
                    submitted: false,
                    id: transaction.id(),
                    not_before,
                    valid_until: body.valid_until,
                    next_nonce: next,
                    file: &file,
                };
                self.put(&written, || Facts::new().with("written to", file.as_str()).text() + &facts.text())
            }
            // The transaction is on stdout.
            Target::Stdout => {
                tell!("{}", facts.text().trim_end());
                Ok(())
            }
        }
    }

    /// Shows what is about to be signed and asks; `--yes` is a yes.
    ///
    /// # Errors
    /// [`CommandError::Declined`]; [`CommandError::Usage`] where nobody can answer.
    pub fn confirm(&self, title: &str, lines: &[describe::Line]) -> Result<(), CommandError> {
        self.confirm_with(title, lines, "Sign this?")
    }

    /// [`Context::confirm`] with another question.
    ///
    /// # Errors
    /// As [`Context::confirm`].
    pub fn confirm_with(&self, title: &str, lines: &[describe::Line], question: &str) -> Result<(), CommandError> {
        let facts = lines.iter().fold(Facts::new(), |facts, (name, value)| facts.with(name, value.as_str()));
        if self.options.yes {
            return Ok(());
        }
        tell!("{}\n\n{}", render::clean(title), facts.text());
        if !io::stdin().is_terminal() {
            return Err(CommandError::Usage("there is no terminal to confirm at: read what is above and add --yes".to_owned()));
        }
        tell_on!("{question} [y/N] ");
        io::stderr().flush()?;
        let mut answer = String::new();
        io::stdin().lock().read_line(&mut answer)?;
        if matches!(answer.trim(), "y" | "Y" | "yes") { Ok(()) } else { Err(CommandError::Declined) }
    }

    /// Writes a result to stdout; as CSV a line for each field.
    ///
    /// # Errors
    /// The machine's.
    pub fn put<T: Serialize + ?Sized>(&self, json: &T, text: impl FnOnce() -> String) -> Result<(), CommandError> {
        Ok(render::put(self.options.output, json, text)?)
    }

    /// Writes a list to stdout; as CSV a line for each row of its own.
    ///
    /// # Errors
    /// The machine's.
    pub fn put_list<T: Serialize + ?Sized>(
        &self,
        json: &T,
        text: impl FnOnce() -> String,
        csv: impl FnOnce() -> Csv,
    ) -> Result<(), CommandError> {
        Ok(render::put_list(self.options.output, json, text, csv)?)
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

/// What a rehearsal showed, as JSON.
#[derive(Serialize)]
struct Tried<'a> {
    dry_run: bool,
    submitted: bool,
    body: &'a Body,
    would: &'a Rehearsed,
}

/// A transaction that waits in a file, as JSON.
#[derive(Serialize)]
struct Written<'a> {
    submitted: bool,
    id: TxId,
    not_before: Timestamp,
    valid_until: Timestamp,
    #[serde(with = "decimal")]
    next_nonce: u64,
    file: &'a str,
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

/// Something that turns on stderr while one waits; invisible where stderr is no terminal.
pub fn spinner(message: &'static str) -> ProgressBar {
    let bar = ProgressBar::new_spinner().with_message(message);
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}  ({elapsed})") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(120));
    bar
}
