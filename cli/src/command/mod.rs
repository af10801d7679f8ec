//! The commands of `watt`: one file each, below the folder of their group.
//!
//! Results go to stdout, everything else to stderr, and the exit code says what kind of end it was. Nothing here knows HTTP, files or ciphers: that is the
//! rest of the library. Called by `src/bin/watt.rs`.

mod admin;
mod audit;
mod chain;
mod charge;
mod clearing;
mod commitment;
mod completions;
mod config;
mod context;
mod doctor;
mod error;
mod file;
mod gateway;
mod keys;
mod man;
mod mandate;
mod node;
mod present;
mod proof;
mod secret;
mod session;
mod token;
mod wallet;

use std::{ffi::OsString, path::PathBuf, process::ExitCode};

use ::chain::id::ChainId;
use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, parser::ValueSource};

pub use self::{
    admin::{InviteText, read_tariff},
    context::Context,
    error::CommandError,
    present::Prepared,
};
use crate::{
    client::DEFAULT_NODE,
    keystore::Keystore,
    profile::{Profile, Profiles},
    quantity::{Instant, parse_instant},
    render::{self, Output},
};

/// Charge an electric car in a shared building: wallet, charges, the chain behind them, and its administration.
#[derive(Parser, Debug)]
#[command(
    name = "watt",
    version,
    propagate_version = true,
    after_help = "Examples:
  watt wallet new                           make a wallet and write down its words
  watt wallet balance                       what can be spent
  watt charge quote 1-17 --energy 10        what 10 kWh cost at connector 1-17
  watt charge start 1-17 --energy 10        lock the price, start, and get back what is not used
  watt --node http://10.0.0.5:8420 chain status

Exit codes: 0 ok, 1 failed, 2 wrong usage, 3 verification failed, 4 node not reachable, 5 rejected by the chain,
6 a proof that does not reach the checkpoint. With --output json a failure is JSON on stdout too: {\"error\": {\"code\", \"exit_code\", \"message\", ...}}."
)]
pub struct Watt {
    /// What holds for every command.
    #[command(flatten)]
    pub options: Options,
    /// Which command.
    #[command(subcommand)]
    pub command: Command,
}

/// What holds for every command; a flag goes before its environment variable. On help pages they stand after what is a command's own, in the order of
/// their `display_order`.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// The node's address
    #[arg(long, global = true, display_order = 900, env = "WATT_NODE", default_value = DEFAULT_NODE, value_name = "URL")]
    pub node: String,
    /// Whether the address was typed, and not taken from the environment or by default.
    #[arg(skip)]
    pub node_typed: bool,
    /// What was neither typed nor in the environment, where a profile may say something.
    #[arg(skip)]
    unsaid: Unsaid,
    /// Take what is not said from this profile (`watt config`) [default: "default"]
    #[arg(long, global = true, display_order = 901, env = "WATT_PROFILE", value_name = "NAME")]
    pub profile: Option<String>,
    /// The gateway that the profile names.
    #[arg(skip)]
    pub gateway: Option<String>,
    /// A table for people, JSON for programs, or CSV for spreadsheets (docs/cli.md names the columns)
    #[arg(long, global = true, display_order = 902, value_enum, default_value_t)]
    pub output: Output,
    /// Have the node try it, say what it would do, and submit nothing
    #[arg(long, global = true, display_order = 903)]
    pub dry_run: bool,
    /// Sign without asking
    #[arg(long, short = 'y', global = true, display_order = 904)]
    pub yes: bool,
    /// The wallet that acts [default: the only one, or the one named "default"]
    #[arg(long, global = true, display_order = 905, env = "WATT_WALLET", value_name = "NAME")]
    pub wallet: Option<String>,
    /// Read the wallet's passphrase from this open file descriptor
    #[arg(long, global = true, display_order = 906, value_name = "N")]
    pub passphrase_fd: Option<u32>,
    /// Read the wallet's passphrase from the first line of this file, which only you may read
    #[arg(long, global = true, display_order = 907, value_name = "FILE", conflicts_with = "passphrase_fd")]
    pub passphrase_file: Option<PathBuf>,
    /// Ask no node: sign, and write the transaction to a file for `watt chain submit`
    #[arg(long, global = true, display_order = 908, help_heading = OFFLINE)]
    pub offline: bool,
    /// What `watt chain prepare` wrote where there is a node
    #[arg(long, global = true, display_order = 909, value_name = "FILE", help_heading = OFFLINE)]
    pub prepared: Option<PathBuf>,
    /// The chain that it is for [default: the prepared file's]
    #[arg(long, global = true, display_order = 910, value_name = "CHAIN_ID", help_heading = OFFLINE)]
    pub on_chain: Option<ChainId>,
    /// The number of the transaction, as its account counts them from 0 [default: the prepared file's]
    #[arg(long, global = true, display_order = 911, value_name = "N", help_heading = OFFLINE)]
    pub nonce: Option<u64>,
    /// Until when it may enter a block, at most 24 h after it does: 07:30, +20h or 2026-11-23T07:30 [default: almost 24 h]
    #[arg(long, global = true, display_order = 912, value_name = "TIME", value_parser = parse_instant, help_heading = OFFLINE)]
    pub valid_until: Option<Instant>,
    /// The new file for the transaction, or "-", stdout [default: KIND-NUMBER.watt.json]
    #[arg(long, global = true, display_order = 913, value_name = "FILE", help_heading = OFFLINE)]
    pub out: Option<PathBuf>,
}

/// Which of the options with a default were left to it.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
struct Unsaid {
    node: bool,
    output: bool,
}

impl Options {
    /// Takes what was not said from the profile.
    ///
    /// # Errors
    /// [`CommandError::Profile`] where it cannot be read, or there is none of the name that was given.
    fn complete(&mut self) -> Result<(), CommandError> {
        // Without a home there are no profiles, and whoever needs one says so.
        let Ok(keystore) = Keystore::of_user() else { return Ok(()) };
        let Profile { node, wallet, output, gateway } = Profiles::load(keystore.home())?.named(self.profile.as_deref())?;
        if let Some(node) = node.filter(|_| self.unsaid.node) {
            self.node = node;
        }
        if let Some(output) = output.filter(|_| self.unsaid.output) {
            self.output = output;
        }
        self.wallet = self.wallet.take().or(wallet);
        self.gateway = gateway;
        Ok(())
    }
}

/// The heading in help pages for what belongs to `--offline`.
const OFFLINE: &str = "Without a node";

/// The groups of commands.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Make, recover and use wallets
    #[command(subcommand)]
    Wallet(wallet::Wallet),
    /// Start, watch and stop charges
    #[command(subcommand)]
    Charge(charge::Charge),
    /// Let cards start charges in your name
    #[command(subcommand)]
    Mandate(mandate::Mandate),
    /// Look at charging sessions and check their receipts
    #[command(subcommand)]
    Session(session::Session),
    /// Look at the chain
    #[command(subcommand)]
    Chain(chain::Chain),
    /// Run a condominium: tokens, groups, connectors, tariffs, roles, residents, cards
    #[command(subcommand)]
    Admin(admin::Admin),
    /// See and settle what condominiums owe one another for charging away from home
    #[command(subcommand)]
    Clearing(clearing::Clearing),
    /// Check a whole chain without trusting whoever keeps it
    #[command(subcommand)]
    Audit(audit::Audit),
    /// Show a node's gateway: which connectors have a unit, and when it was heard
    #[command(subcommand)]
    Gateway(gateway::Gateway),
    /// Show a node: its height, whether it keeps up, its vote and its peers
    #[command(subcommand)]
    Node(node::Node),
    /// Keep what you do not want to type each time
    #[command(subcommand)]
    Config(config::Config),
    /// Find what is wrong with wallets, the way to the node, and the node as seen from here
    Doctor(doctor::Doctor),
    /// Write what a shell needs to complete commands
    Completions(completions::Completions),
    /// Write manual pages, one for each command
    Man(man::Man),
    /// Sign in to the node and print a token, for programs that read its API
    Token(token::Token),
}

/// Runs `watt` with these arguments, the program's name first, and says with which code to leave.
#[must_use]
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let mut watt = match parse(&arguments) {
        Ok(watt) => watt,
        Err(error) => {
            // Help and version are no errors; clap knows, and it prints to the right stream.
            let code = u8::try_from(error.exit_code()).unwrap_or(2);
            let _ = error.print();
            if code != 0 && asks_for_json(&arguments) {
                let _ = render::put(Output::Json, &error::usage_answer(&error.to_string()), String::new);
            }
            return ExitCode::from(code);
        }
    };
    // No profile is needed to set one up.
    let completed = match &watt.command {
        Command::Config(_) | Command::Completions(_) | Command::Man(_) => Ok(()),
        Command::Wallet(_)
        | Command::Charge(_)
        | Command::Mandate(_)
        | Command::Session(_)
        | Command::Chain(_)
        | Command::Admin(_)
        | Command::Clearing(_)
        | Command::Audit(_)
        | Command::Gateway(_)
        | Command::Node(_)
        | Command::Doctor(_)
        | Command::Token(_) => watt.options.complete(),
    };
    let output = watt.options.output;
    let outcome = completed.and_then(|()| carry_out(watt));
    match outcome {
        Ok(()) | Err(CommandError::EndsHere) => ExitCode::SUCCESS,
        // Told on stdout, in full.
        Err(error @ CommandError::Unhealthy { .. }) => ExitCode::from(error.exit_code()),
        Err(error) => {
            tell!("error: {}", render::clean(&error.to_string()));
            if output == Output::Json {
                let _ = render::put(output, &error.answer(), String::new);
            }
            ExitCode::from(error.exit_code())
        }
    }
}

fn carry_out(watt: Watt) -> Result<(), CommandError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(run(watt))
}

fn parse(arguments: &[OsString]) -> Result<Watt, clap::Error> {
    let mut command = taking_numbers(Watt::command());
    let matches = command.try_get_matches_from_mut(arguments)?;
    let mut watt = Watt::from_arg_matches(&matches).map_err(|error| error.format(&mut command))?;
    watt.options.node_typed = matches.value_source("node") == Some(ValueSource::CommandLine);
    let unsaid = |name| matches.value_source(name).is_none_or(|source| source == ValueSource::DefaultValue);
    watt.options.unsaid = Unsaid { node: unsaid("node"), output: unsaid("output") };
    Ok(watt)
}

/// Takes what looks like a number below zero as a value, which the value's own reader refuses in words, and not as an option that nobody knows.
fn taking_numbers(command: clap::Command) -> clap::Command {
    let taking = |arg: clap::Arg| if arg.get_action().takes_values() { arg.allow_negative_numbers(true) } else { arg };
    command.mut_args(taking).mut_subcommands(taking_numbers)
}

/// Whether arguments that were not understood ask for JSON all the same.
fn asks_for_json(arguments: &[OsString]) -> bool {
    let pairs = arguments.iter().zip(arguments.iter().skip(1));
    arguments.iter().any(|argument| argument == "--output=json")
        || pairs.into_iter().any(|(flag, value)| flag == "--output" && value == "json")
}

/// Carries out one command.
///
/// # Errors
/// [`CommandError`].
pub async fn run(watt: Watt) -> Result<(), CommandError> {
    let Watt { options, command } = watt;
    // Not for those that need neither node nor wallet, nor addresses of them that are right.
    let context = || Context::new(options);
    match command {
        Command::Wallet(command) => command.run(&context()?).await,
        Command::Charge(command) => command.run(&context()?).await,
        Command::Mandate(command) => command.run(&context()?).await,
        Command::Session(command) => command.run(&context()?).await,
        Command::Chain(command) => command.run(&context()?).await,
        Command::Admin(command) => command.run(&context()?).await,
        Command::Clearing(command) => command.run(&context()?).await,
        Command::Audit(command) => command.run(&context()?).await,
        Command::Gateway(command) => command.run(&context()?).await,
        Command::Node(command) => command.run(&context()?).await,
        Command::Config(command) => command.run(&context()?),
        Command::Doctor(command) => command.run(&context()?).await,
        Command::Completions(command) => command.run(),
        Command::Man(command) => command.run(),
        Command::Token(command) => command.run(&context()?).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ::chain::{hash::Hash32, id::Address};

    /// The commands that a help page shows, with real values for what stands for one.
    fn examples(help: &str) -> Vec<String> {
        let after = help.split_once("Example").map_or("", |(_, after)| after);
        let lines = after.lines().filter_map(|line| line.strip_prefix("  ")).filter(|line| line.starts_with("watt"));
        let commands = lines.flat_map(|line| line.split(" && ")).filter(|line| line.starts_with("watt "));
        let address = Address([8; 32]).to_string();
        // What two spaces separate is a remark.
        let bare = commands.map(|line| line.split("  ").next().unwrap_or_default());
        let hash = Hash32([7; 32]).to_string();
        let real = |line: &str| {
            ["CHAIN_ID", "BLOCK_HASH", "CARD"].iter().fold(line.replace("watt1...", &address), |line, name| line.replace(name, &hash))
        };
        bare.map(real).collect()
    }

    fn walk(command: &mut clap::Command, path: &str) -> usize {
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        let examples = examples(&help);
        assert!(!examples.is_empty(), "`{path} --help` has no example that can be typed");
        for example in examples {
            // A shell keeps redirections for itself.
            let bare = example.split(" > ").next().unwrap_or_default();
            let words = bare.split(' ').filter(|word| !word.contains(['<', '>']));
            if let Err(error) = Watt::try_parse_from(words) {
                panic!("`{path} --help` shows `{example}`, which is refused: {error}");
            }
        }
        let names: Vec<String> = command.get_subcommands().map(|sub| sub.get_name().to_owned()).filter(|name| name != "help").collect();
        let found: usize =
            names.iter().map(|name| walk(command.find_subcommand_mut(name).expect("listed"), &format!("{path} {name}"))).sum();
        found.saturating_add(1)
    }

    /// Help pages showed ids that no command took.
    #[test]
    fn every_command_explains_itself_by_examples_that_it_takes() {
        let mut command = Watt::command();
        command.build();
        assert!(walk(&mut command, "watt") > 40);
    }

    /// They stood between a command's own, each page in another order; a minus made an unknown option of a number.
    #[test]
    fn common_options_stand_last_on_every_page_and_a_minus_is_answered_in_words() {
        let mut command = Watt::command();
        command.build();
        let quote = command.find_subcommand_mut("charge").and_then(|charge| charge.find_subcommand_mut("quote")).expect("a command");
        let page = quote.render_long_help().to_string();
        let places = ["--energy <", "--duration <", "--at <", "--node <", "--output <", "--yes", "--wallet <", "--offline"];
        let places: Vec<_> = places.iter().map(|option| page.find(option).expect("on the page")).collect();
        assert!(places.is_sorted(), "{page}");
        let send = ["watt", "wallet", "send", &Address([8; 32]).to_string(), "-5"].map(OsString::from);
        let told = parse(&send).expect_err("a minus").to_string();
        assert!(told.contains("amounts are positive"), "{told}");
    }

    #[test]
    fn the_tree_of_commands_is_consistent() {
        Watt::command().debug_assert();
    }
}
