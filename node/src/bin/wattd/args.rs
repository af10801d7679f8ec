//! What `wattd` takes: its commands, their arguments, and the words of `--help`, the manual pages and the completions.
//!
//! Nothing is done here. Called by the program's `main`.

use std::{net::SocketAddr, path::PathBuf};

use chain::id::ConnectorId;
use clap::{Args, Parser, Subcommand};
use node::{init::federation::Listen, keys::KeyName};

/// A node of Commonwatt: charging tokens, sessions and receipts of a condominium.
#[derive(Parser, Debug)]
#[command(
    name = "wattd",
    version = node::VERSION,
    about,
    after_help = "Examples:
  wattd init --data node --name TRO
  wattd run --data node
  wattd doctor --data node

Exit codes: 0 ok, 1 failed, 2 usage, 3 what is stored is damaged or missing: do not start it again blindly, 75 watching (run --rejoin) is over: \
                  start it again, and it votes."
)]
pub struct Cli {
    /// Log one JSON object a line instead of text.
    #[arg(long, global = true)]
    pub log_json: bool,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand, Debug)]
pub enum Command {
    /// Make keys, genesis document and configuration of a federation of one condominium.
    #[command(after_help = "Examples:
  wattd init --data node --name TRO
  wattd init --data node --name TRO --test --api-listen 127.0.0.1:9420 --gateway-listen 127.0.0.1:9421")]
    Init(InitArgs),
    /// Make keys and configuration of one condominium's node, for a federation of several.
    ///
    /// Also writes member.json, which holds nothing secret: whoever makes the genesis document (wattd genesis) needs it from every condominium.
    #[command(after_help = "Examples:\n  wattd prepare --data node --name TRO --address /dns4/node.example/tcp/8422")]
    Prepare(PrepareArgs),
    /// Make the genesis document of a federation from the member.json of every condominium.
    ///
    /// Everybody then joins with the directory that this makes. Fewer than four validators tolerate no fault.
    #[command(
        after_help = "Examples:\n  wattd genesis --network COAST --out genesis --member tro.json --member bod.json --member kro.json --member ask.json"
    )]
    Genesis(GenesisArgs),
    /// Put the genesis document and the addresses of the others into a prepared node, or make an observer's node with them.
    #[command(after_help = "Examples:
  wattd join --data node --from genesis
  wattd join --data watcher --from genesis --observer --name auditor --address /ip4/192.0.2.7/tcp/8422")]
    Join(JoinArgs),
    /// Run the node of a data directory until SIGINT or SIGTERM.
    #[command(after_help = "Examples:
  wattd run --data node
  wattd run --data node --log-json
  wattd run --data node --rejoin     after its disk was replaced or restored; docs/damage.md")]
    Run(RunArgs),
    /// Write the whole chain of a stopped node as one stream that `watt audit replay` carries out again.
    ///
    /// A running node gives the same at GET /api/v1/export.
    #[command(after_help = "Examples:\n  wattd export --data node --out chain.export")]
    Export(ExportArgs),
    /// Charging units of this node's gateway and their keys; a running node notices new ones.
    #[command(
        subcommand,
        after_help = "Examples:\n  wattd unit add --data node --connector 1-17\n  wattd unit import --data node --from units.json\n  wattd unit list --data node"
    )]
    Unit(UnitCommand),
    /// Find what is wrong with a node, running or not, and say what to do about it.
    ///
    /// It looks at the configuration, the keys' permissions and roles, the disk, both databases, the log of consensus, ports, clock, peers and units. It changes
    /// nothing but what every start does: an index that does not fit the blocks is made again. Secrets are never shown.
    #[command(after_help = "Examples:
  wattd doctor --data node
  wattd doctor --data node --json
  wattd doctor --data node --other 10.0.0.6:8420 --other 10.0.0.7:8420

Exit codes: 0 nothing is wrong (there may be warnings), 1 something is, 2 usage.")]
    Doctor(DoctorArgs),
    /// Write what a shell needs to complete commands.
    #[command(after_help = "Examples:\n  wattd completions bash > ~/.local/share/bash-completion/completions/wattd")]
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
    /// Write manual pages, one for each command; pages of the same names are replaced.
    #[command(after_help = "Examples:\n  wattd man ~/.local/share/man/man1")]
    Man {
        /// The folder for them; it is made where it is missing.
        folder: PathBuf,
    },
    /// Exchange the key of this node's gateway or scheduler while it runs.
    #[command(
        subcommand,
        after_help = "Examples:\n  wattd key next gateway --data node\n  wattd key show gateway --data node\n  wattd key adopt gateway --data node"
    )]
    Key(KeyCommand),
}

#[derive(Args, Debug)]
pub struct DoctorArgs {
    /// The node's data directory.
    #[arg(long, env = "WATTD_DATA")]
    pub data: PathBuf,
    /// The API of another node, to be compared with this one that runs; may be given several times.
    #[arg(long = "other", value_name = "HOST:PORT")]
    pub others: Vec<String>,
    /// Write JSON for programs.
    #[arg(long)]
    pub json: bool,
}

#[derive(Subcommand, Debug)]
pub enum KeyCommand {
    /// Make the key that takes over, and print its address: a manager gives it the role (watt admin role rotate).
    ///
    /// A running node finds it and signs with it as soon as the chain gives it the role; until then the key in use goes on.
    #[command(after_help = "Examples:\n  wattd key next gateway --data node\n  wattd key next scheduler --data node")]
    Next(KeyArgs),
    /// Show the addresses of the key in use and of the one that takes over.
    #[command(after_help = "Examples:\n  wattd key show gateway --data node")]
    Show(KeyArgs),
    /// Put the key that has taken over into the place of the old one, which is kept beside it: do it once the old one has lost the role.
    ///
    /// Refused while the chain, as far as this node has it, has not given the next key the role.
    #[command(after_help = "Examples:\n  wattd key adopt gateway --data node")]
    Adopt(KeyArgs),
}

#[derive(Args, Debug)]
pub struct KeyArgs {
    /// Whose key.
    #[arg(value_enum)]
    pub role: RoleKey,
    /// The node's data directory.
    #[arg(long, env = "WATTD_DATA")]
    pub data: PathBuf,
}

/// The keys that a manager can give a role and take it from; a validator's key is the federation's matter, and people's keys are in their wallets.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum RoleKey {
    Gateway,
    Scheduler,
}

impl RoleKey {
    pub const fn name(self) -> KeyName {
        match self {
            Self::Gateway => KeyName::Gateway,
            Self::Scheduler => KeyName::Scheduler,
        }
    }
}

#[derive(Subcommand, Debug)]
pub enum UnitCommand {
    /// Give a connector a unit with a new key, and print the key once: write it into the unit.
    ///
    /// A condominium that this chain does not have is refused; a connector that is not there yet, or another condominium's, is taken with a warning.
    #[command(after_help = "Examples:
  wattd unit add --data node --connector 1-17
  wattd unit add --data node --connector 1-17 --device 00c0ffee --sensor 5")]
    Add {
        /// The node's data directory.
        #[arg(long, env = "WATTD_DATA")]
        data: PathBuf,
        /// Which connector, such as 1-17.
        #[arg(long)]
        connector: ConnectorId,
        /// The device number, eight hexadecimal digits; the first free one where none is given.
        #[arg(long, value_name = "HEX")]
        device: Option<String>,
        /// What the unit's switches show, 0 to 63.
        #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=63))]
        sensor: u8,
    },
    /// Add the units of a file like units.json; the file must be readable by its owner alone.
    #[command(after_help = "Examples:\n  wattd unit import --data node --from units.json")]
    Import {
        /// The node's data directory.
        #[arg(long, env = "WATTD_DATA")]
        data: PathBuf,
        /// The file.
        #[arg(long, value_name = "FILE")]
        from: PathBuf,
    },
    /// Show the units, without their keys.
    #[command(after_help = "Examples:\n  wattd unit list --data node")]
    List {
        /// The node's data directory.
        #[arg(long, env = "WATTD_DATA")]
        data: PathBuf,
    },
}

#[derive(Args, Debug)]
pub struct ExportArgs {
    /// The node's data directory; the node must not run.
    #[arg(long, env = "WATTD_DATA")]
    pub data: PathBuf,
    /// The file to write, which must not exist yet; - for standard output.
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
}

#[derive(Args, Debug)]
pub struct InitArgs {
    /// An empty or new directory.
    #[arg(long)]
    pub data: PathBuf,
    /// The condominium's short name, such as TRO; 1 to 32 bytes.
    #[arg(long)]
    pub name: String,
    /// A test federation: its clock may be stepped and it has no heartbeat.
    #[arg(long)]
    pub test: bool,
    /// The accounting currency that one token stands for.
    #[arg(long, default_value = "EUR")]
    pub currency: String,
    /// The time before which no block is made, in ms since the epoch; now where none is given.
    #[arg(long, value_name = "MS")]
    pub timestamp: Option<u64>,
    /// A JSON object that replaces parameters by name.
    #[arg(long, value_name = "FILE")]
    pub params: Option<PathBuf>,
    /// A JSON array of {"role", "account"}: further roles from the beginning.
    #[arg(long, value_name = "FILE")]
    pub roles: Option<PathBuf>,
    /// A JSON array of addresses: accounts that are registered from the beginning.
    #[arg(long, value_name = "FILE")]
    pub accounts: Option<PathBuf>,
    /// Where the API listens.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub api_listen: Option<SocketAddr>,
    /// Where the units' protocol listens.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub gateway_listen: Option<SocketAddr>,
    /// The multiaddress of the node in the network.
    #[arg(long, value_name = "MULTIADDRESS")]
    pub network_listen: Option<String>,
}

#[derive(Args, Debug)]
pub struct PrepareArgs {
    /// An empty or new directory.
    #[arg(long)]
    pub data: PathBuf,
    /// The condominium's short name, such as TRO; 1 to 32 bytes.
    #[arg(long)]
    pub name: String,
    /// Where the other nodes reach this one, such as /ip4/192.0.2.7/tcp/8422 or /dns4/node.example/tcp/8422.
    #[arg(long, value_name = "MULTIADDRESS")]
    pub address: String,
    /// A JSON array of {"role", "account"}: further roles from the beginning.
    #[arg(long, value_name = "FILE")]
    pub roles: Option<PathBuf>,
    /// A JSON array of addresses: accounts that are registered from the beginning.
    #[arg(long, value_name = "FILE")]
    pub accounts: Option<PathBuf>,
    #[command(flatten)]
    pub listen: ListenArgs,
}

#[derive(Args, Debug)]
pub struct ListenArgs {
    /// Where the API listens.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub api_listen: Option<SocketAddr>,
    /// Where the units' protocol listens.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub gateway_listen: Option<SocketAddr>,
    /// The multiaddress that the node listens on; where none is given, every address of the machine, with the port of --address.
    #[arg(long, value_name = "MULTIADDRESS")]
    pub network_listen: Option<String>,
}

impl From<ListenArgs> for Listen {
    fn from(args: ListenArgs) -> Self {
        Self { api: args.api_listen, gateway: args.gateway_listen, network: args.network_listen }
    }
}

#[derive(Args, Debug)]
pub struct GenesisArgs {
    /// A condominium's member.json; give one for each. Their order is that of the condominiums' numbers.
    #[arg(long = "member", value_name = "FILE", required = true)]
    pub members: Vec<PathBuf>,
    /// The federation's name; 1 to 32 bytes.
    #[arg(long)]
    pub network: String,
    /// An empty or new directory for genesis.json and peers.txt.
    #[arg(long, value_name = "DIRECTORY")]
    pub out: PathBuf,
    /// A test federation: its clock may be stepped and it has no heartbeat.
    #[arg(long)]
    pub test: bool,
    /// The accounting currency that one token stands for.
    #[arg(long, default_value = "EUR")]
    pub currency: String,
    /// The time before which no block is made, in ms since the epoch; now where none is given.
    #[arg(long, value_name = "MS")]
    pub timestamp: Option<u64>,
    /// A JSON object that replaces parameters by name.
    #[arg(long, value_name = "FILE")]
    pub params: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub struct JoinArgs {
    /// The directory that wattd prepare filled; with --observer an empty or new one.
    #[arg(long)]
    pub data: PathBuf,
    /// The directory with genesis.json and peers.txt, as wattd genesis makes it.
    #[arg(long, value_name = "DIRECTORY")]
    pub from: PathBuf,
    /// Make a node that follows and checks everything without a vote, for an auditor.
    ///
    /// The others speak to it once they know it: the line that this prints belongs into network.peers of at least one of them.
    #[arg(long, requires_all = ["name", "address"])]
    pub observer: bool,
    /// The observer's name, for people.
    #[arg(long, requires = "observer")]
    pub name: Option<String>,
    /// Where the other nodes reach the observer.
    #[arg(long, value_name = "MULTIADDRESS", requires = "observer")]
    pub address: Option<String>,
    #[command(flatten)]
    pub listen: ListenArgs,
}

#[derive(Args, Debug)]
pub struct RunArgs {
    /// The node's data directory.
    #[arg(long, env = "WATTD_DATA")]
    pub data: PathBuf,
    /// The Unix socket of whoever moves the clock; test federations only.
    #[arg(long, value_name = "SOCKET")]
    pub clock: Option<PathBuf>,
    /// The machine's clock is right although more than an hour has passed since the newest block.
    #[arg(long)]
    pub confirm_clock: bool,
    /// Begin a new log of consensus where the old one is missing or damaged.
    ///
    /// Only after the other validators have decided the height or, alone, after making sure that no copy of this node runs anywhere: what this validator has
    /// voted for is forgotten with the log. A damaged log is kept beside the new one.
    #[arg(long)]
    pub new_consensus_log: bool,
    /// Vote only after a block has been decided without this validator that began after this start: after its disk was replaced, or restored from an older copy.
    ///
    /// The node fetches what it has missed and follows. It ends with exit code 75 when the others have decided a block that began more than 12 s after its start;
    /// started again, with this option or without, it votes. Until then every start watches, with this option or without: wal/watching says so. A log of consensus
    /// that is missing, damaged or ahead of the database is set aside.
    #[arg(long, conflicts_with = "new_consensus_log")]
    pub rejoin: bool,
    /// Begin with a new gateway database although the chain shows that there was one: only where it is lost for good.
    ///
    /// Open sessions go on from their last accepted reading. Raw samples from before can no longer be shown, and a unit's message that somebody recorded before
    /// could be accepted once more. It changes nothing where the database is there.
    #[arg(long)]
    pub new_gateway_database: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_tree_of_commands_is_consistent_and_its_examples_are_taken() {
        Cli::command().debug_assert();
        // The package's name is another: manual pages and --version said `node`.
        assert_eq!(Cli::command().get_name(), "wattd");
        assert!(examples_of(&Cli::command(), "wattd") > 17);
    }

    /// Tries the examples of a command and of all below it; gives how many commands there are. `wattd unit add` and its neighbours had none, because only the first
    /// level was looked at.
    fn examples_of(command: &clap::Command, path: &str) -> usize {
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        let examples: Vec<&str> = help.lines().filter_map(|line| line.strip_prefix("  wattd ")).collect();
        assert!(!examples.is_empty(), "`{path} --help` has no example");
        for line in examples {
            // A shell keeps redirections for itself, and what several spaces separate is a remark.
            let bare = line.split(" > ").next().unwrap_or_default().split("  ").next().unwrap_or_default();
            let shown = format!("wattd {bare}");
            // Of a page for one command the examples are of that command; of a group, of those in it.
            assert!(shown.starts_with(path), "`{path} --help` shows `{shown}`");
            if let Err(error) = Cli::try_parse_from(shown.split(' ')) {
                panic!("`{path} --help` shows `{shown}`, which is refused: {error}");
            }
        }
        1 + command.get_subcommands().map(|below| examples_of(below, &format!("{path} {}", below.get_name()))).sum::<usize>()
    }

    #[test]
    fn what_the_operators_guide_shows_is_taken() {
        let page = std::fs::read_to_string("../docs/operate.md").expect("the guide");
        let (mut inside, mut found) = (false, 0);
        for line in page.lines() {
            if line.starts_with("```") {
                inside = line == "```sh";
            }
            // A shell keeps what follows a bar for itself, and remarks stand behind a hash.
            let bare = line.split(['#', '|']).next().unwrap_or_default().trim();
            let bare = ["sudo -u wattd ", "sudo "].iter().find_map(|before| bare.strip_prefix(before)).unwrap_or(bare);
            if inside && bare.starts_with("wattd ") {
                found += 1;
                if let Err(error) = Cli::try_parse_from(bare.split_whitespace()) {
                    assert!(!error.use_stderr(), "the guide shows `{line}`: {error}");
                }
            }
        }
        assert!(found >= 8, "{found} commands");
    }
}
