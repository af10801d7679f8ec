//! `wattd`: makes a node's data directory and runs the node.

use std::{
    io::Write as _,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use chain::{crypto::address_of, genesis_kind::NetworkKind, id::ConnectorId, time::Timestamp};
use clap::{Args, CommandFactory as _, Parser, Subcommand};
use consensus::{Ended, LostLog, Voting};
use firmware_core::{DeviceId, SensorId};
use node::{
    ClockConfirmed, NodeError, RunOptions,
    data_dir::DataDir,
    doctor,
    export::{self, Written},
    gateway::{
        MissingDatabase,
        units::{self, Registry},
    },
    init::{
        self, InitOptions,
        federation::{self, GenesisOptions, JoinOptions, Listen, ObserverOptions, PrepareOptions},
    },
    keys::{self, KeyName, KeyRing},
    telemetry::{self, LogFormat},
};
use tokio::signal::unix::{SignalKind, signal};

/// A node of Commonwatt: charging tokens, sessions and receipts of a condominium.
#[derive(Parser)]
#[command(
    version,
    about,
    after_help = "Examples:
  wattd init --data node --name TRO
  wattd run --data node
  wattd doctor --data node

Exit codes: 0 ok, 1 failed, 2 usage, 3 what is stored is damaged or missing: do not start it again blindly, 75 watching (run --rejoin) is over: \
                  start it again, and it votes."
)]
struct Cli {
    /// Log one JSON object a line instead of text.
    #[arg(long, global = true)]
    log_json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
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
    #[command(subcommand)]
    Key(KeyCommand),
}

#[derive(Args)]
struct DoctorArgs {
    /// The node's data directory.
    #[arg(long, env = "WATTD_DATA")]
    data: PathBuf,
    /// The API of another node, to be compared with this one that runs; may be given several times.
    #[arg(long = "other", value_name = "HOST:PORT")]
    others: Vec<String>,
    /// Write JSON for programs.
    #[arg(long)]
    json: bool,
}

#[derive(Subcommand)]
enum KeyCommand {
    /// Make the key that takes over, and print its address: a manager gives it the role (watt admin role rotate).
    ///
    /// A running node finds it and signs with it as soon as the chain gives it the role; until then the key in use goes on.
    Next(KeyArgs),
    /// Show the addresses of the key in use and of the one that takes over.
    Show(KeyArgs),
    /// Put the key that has taken over into the place of the old one, which is kept beside it: do it once the old one has lost the role.
    Adopt(KeyArgs),
}

#[derive(Args)]
struct KeyArgs {
    /// Whose key.
    #[arg(value_enum)]
    role: RoleKey,
    /// The node's data directory.
    #[arg(long, env = "WATTD_DATA")]
    data: PathBuf,
}

/// The keys that a manager can give a role and take it from; a validator's key is the federation's matter, and people's keys are in their wallets.
#[derive(Clone, Copy, clap::ValueEnum)]
enum RoleKey {
    Gateway,
    Scheduler,
}

impl RoleKey {
    const fn name(self) -> KeyName {
        match self {
            Self::Gateway => KeyName::Gateway,
            Self::Scheduler => KeyName::Scheduler,
        }
    }
}

#[derive(Subcommand)]
enum UnitCommand {
    /// Give a connector a unit with a new key, and print the key once: write it into the unit.
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
    Import {
        /// The node's data directory.
        #[arg(long, env = "WATTD_DATA")]
        data: PathBuf,
        /// The file.
        #[arg(long, value_name = "FILE")]
        from: PathBuf,
    },
    /// Show the units, without their keys.
    List {
        /// The node's data directory.
        #[arg(long, env = "WATTD_DATA")]
        data: PathBuf,
    },
}

#[derive(Args)]
struct ExportArgs {
    /// The node's data directory; the node must not run.
    #[arg(long, env = "WATTD_DATA")]
    data: PathBuf,
    /// The file to write, which must not exist yet; - for standard output.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

#[derive(Args)]
struct InitArgs {
    /// An empty or new directory.
    #[arg(long)]
    data: PathBuf,
    /// The condominium's short name, such as TRO; 1 to 32 bytes.
    #[arg(long)]
    name: String,
    /// A test federation: its clock may be stepped and it has no heartbeat.
    #[arg(long)]
    test: bool,
    /// The accounting currency that one token stands for.
    #[arg(long, default_value = "EUR")]
    currency: String,
    /// The time before which no block is made, in ms since the epoch; now where none is given.
    #[arg(long, value_name = "MS")]
    timestamp: Option<u64>,
    /// A JSON object that replaces parameters by name.
    #[arg(long, value_name = "FILE")]
    params: Option<PathBuf>,
    /// A JSON array of {"role", "account"}: further roles from the beginning.
    #[arg(long, value_name = "FILE")]
    roles: Option<PathBuf>,
    /// A JSON array of addresses: accounts that are registered from the beginning.
    #[arg(long, value_name = "FILE")]
    accounts: Option<PathBuf>,
    /// Where the API listens.
    #[arg(long, value_name = "ADDRESS:PORT")]
    api_listen: Option<SocketAddr>,
    /// Where the units' protocol listens.
    #[arg(long, value_name = "ADDRESS:PORT")]
    gateway_listen: Option<SocketAddr>,
    /// The multiaddress of the node in the network.
    #[arg(long, value_name = "MULTIADDRESS")]
    network_listen: Option<String>,
}

#[derive(Args)]
struct PrepareArgs {
    /// An empty or new directory.
    #[arg(long)]
    data: PathBuf,
    /// The condominium's short name, such as TRO; 1 to 32 bytes.
    #[arg(long)]
    name: String,
    /// Where the other nodes reach this one, such as /ip4/192.0.2.7/tcp/8422 or /dns4/node.example/tcp/8422.
    #[arg(long, value_name = "MULTIADDRESS")]
    address: String,
    /// A JSON array of {"role", "account"}: further roles from the beginning.
    #[arg(long, value_name = "FILE")]
    roles: Option<PathBuf>,
    /// A JSON array of addresses: accounts that are registered from the beginning.
    #[arg(long, value_name = "FILE")]
    accounts: Option<PathBuf>,
    #[command(flatten)]
    listen: ListenArgs,
}

#[derive(Args)]
struct ListenArgs {
    /// Where the API listens.
    #[arg(long, value_name = "ADDRESS:PORT")]
    api_listen: Option<SocketAddr>,
    /// Where the units' protocol listens.
    #[arg(long, value_name = "ADDRESS:PORT")]
    gateway_listen: Option<SocketAddr>,
    /// The multiaddress that the node listens on; where none is given, every address of the machine, with the port of --address.
    #[arg(long, value_name = "MULTIADDRESS")]
    network_listen: Option<String>,
}

impl From<ListenArgs> for Listen {
    fn from(args: ListenArgs) -> Self {
        Self { api: args.api_listen, gateway: args.gateway_listen, network: args.network_listen }
    }
}

#[derive(Args)]
struct GenesisArgs {
    /// A condominium's member.json; give one for each. Their order is that of the condominiums' numbers.
    #[arg(long = "member", value_name = "FILE", required = true)]
    members: Vec<PathBuf>,
    /// The federation's name; 1 to 32 bytes.
    #[arg(long)]
    network: String,
    /// An empty or new directory for genesis.json and peers.txt.
    #[arg(long, value_name = "DIRECTORY")]
    out: PathBuf,
    /// A test federation: its clock may be stepped and it has no heartbeat.
    #[arg(long)]
    test: bool,
    /// The accounting currency that one token stands for.
    #[arg(long, default_value = "EUR")]
    currency: String,
    /// The time before which no block is made, in ms since the epoch; now where none is given.
    #[arg(long, value_name = "MS")]
    timestamp: Option<u64>,
    /// A JSON object that replaces parameters by name.
    #[arg(long, value_name = "FILE")]
    params: Option<PathBuf>,
}

#[derive(Args)]
struct JoinArgs {
    /// The directory that wattd prepare filled; with --observer an empty or new one.
    #[arg(long)]
    data: PathBuf,
    /// The directory with genesis.json and peers.txt, as wattd genesis makes it.
    #[arg(long, value_name = "DIRECTORY")]
    from: PathBuf,
    /// Make a node that follows and checks everything without a vote, for an auditor.
    ///
    /// The others speak to it once they know it: the line that this prints belongs into network.peers of at least one of them.
    #[arg(long, requires_all = ["name", "address"])]
    observer: bool,
    /// The observer's name, for people.
    #[arg(long, requires = "observer")]
    name: Option<String>,
    /// Where the other nodes reach the observer.
    #[arg(long, value_name = "MULTIADDRESS", requires = "observer")]
    address: Option<String>,
    #[command(flatten)]
    listen: ListenArgs,
}

#[derive(Args)]
struct RunArgs {
    /// The node's data directory.
    #[arg(long, env = "WATTD_DATA")]
    data: PathBuf,
    /// The Unix socket of whoever moves the clock; test federations only.
    #[arg(long, value_name = "SOCKET")]
    clock: Option<PathBuf>,
    /// The machine's clock is right although more than an hour has passed since the newest block.
    #[arg(long)]
    confirm_clock: bool,
    /// Begin a new log of consensus where the old one is missing or damaged.
    ///
    /// Only after the other validators have decided the height or, alone, after making sure that no copy of this node runs anywhere: what this validator has
    /// voted for is forgotten with the log. A damaged log is kept beside the new one.
    #[arg(long)]
    new_consensus_log: bool,
    /// Vote only after a block has been decided without this validator that began after this start: after its disk was replaced, or restored from an older copy.
    ///
    /// The node fetches what it has missed and follows. It ends with exit code 75 when the others have decided a block that began more than 12 s after its start;
    /// started again, with this option or without, it votes. Until then every start watches, with this option or without: wal/watching says so. A log of consensus
    /// that is missing, damaged or ahead of the database is set aside.
    #[arg(long, conflicts_with = "new_consensus_log")]
    rejoin: bool,
    /// Begin with a new gateway database although the chain shows that there was one: only where it is lost for good.
    ///
    /// Open sessions go on from their last accepted reading. Raw samples from before can no longer be shown, and a unit's message that somebody recorded before
    /// could be accepted once more. It changes nothing where the database is there.
    #[arg(long)]
    new_gateway_database: bool,
}

/// The exit code where what is stored is damaged or missing: a supervisor must not start the node again and again.
const DAMAGED: u8 = 3;

/// The exit code where watching is over: a supervisor starts the node again, and it votes. The usual number for "try again".
const WATCHED: u8 = 75;

fn main() -> ExitCode {
    let cli = Cli::parse();
    telemetry::start(if cli.log_json { LogFormat::Json } else { LogFormat::Text }, consensus::LOG_EXCEPTIONS, consensus::LOG_REPEATING);
    let done = |()| ExitCode::SUCCESS;
    let result = match cli.command {
        Command::Init(args) => found(args).map(done),
        Command::Prepare(args) => prepare(args).map(done),
        Command::Genesis(args) => genesis(args).map(done),
        Command::Join(args) => join(args).map(done),
        Command::Run(args) => run(args),
        Command::Export(args) => export(&args).map(done),
        Command::Unit(command) => unit(command).map(done),
        Command::Doctor(args) => doctor(args),
        Command::Completions { shell } => completions(shell).map(done),
        Command::Man { folder } => pages(&folder).map(done),
        Command::Key(command) => key(&command).map(done),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("wattd: {}", told(&error));
            if error.downcast_ref::<NodeError>().is_some_and(NodeError::is_damage) { ExitCode::from(DAMAGED) } else { ExitCode::FAILURE }
        }
    }
}

/// An error with its causes; a cause that the words before it contain is not told again.
fn told(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |told, cause| {
        if told.is_empty() {
            cause
        } else if told.contains(&cause) {
            told
        } else {
            format!("{told}: {cause}")
        }
    })
}

fn found(args: InitArgs) -> anyhow::Result<()> {
    let options = InitOptions {
        data: DataDir::new(args.data.clone()),
        name: args.name,
        kind: if args.test { NetworkKind::Test } else { NetworkKind::Live },
        currency: args.currency,
        timestamp: args.timestamp.map(Timestamp::from_ms),
        params: args.params,
        roles: args.roles,
        accounts: args.accounts,
        api_listen: args.api_listen,
        gateway_listen: args.gateway_listen,
        network_listen: args.network_listen,
    };
    let founded = init::init(&options)?;
    println!("chain      {}", founded.chain_id);
    for (name, address, file) in &founded.keys {
        println!("{:<10} {address}  {}", name.name(), file.display());
    }
    for warning in &founded.warnings {
        eprintln!("warning: {warning}");
    }
    eprintln!(
        "Keep copies of the key files in a safe place; who has them is the node. Start it with: wattd run --data {}",
        args.data.display()
    );
    Ok(())
}

fn prepare(args: PrepareArgs) -> anyhow::Result<()> {
    let options = PrepareOptions {
        data: DataDir::new(args.data.clone()),
        name: args.name,
        address: args.address,
        roles: args.roles,
        accounts: args.accounts,
        listen: args.listen.into(),
    };
    let prepared = federation::prepare(&options)?;
    for (name, address, file) in &prepared.keys {
        println!("{:<10} {address}  {}", name.name(), file.display());
    }
    println!("member     {}", prepared.member.display());
    eprintln!(
        "Keep copies of the key files in a safe place; who has them is the node. Give {} to whoever makes the genesis document (wattd genesis); nothing in it \
         is secret.",
        prepared.member.display()
    );
    Ok(())
}

fn genesis(args: GenesisArgs) -> anyhow::Result<()> {
    let options = GenesisOptions {
        network: args.network,
        kind: if args.test { NetworkKind::Test } else { NetworkKind::Live },
        currency: args.currency,
        timestamp: args.timestamp.map(Timestamp::from_ms),
        params: args.params,
    };
    let founded = federation::found(&options, &args.members, &DataDir::new(args.out.clone()))?;
    println!("chain      {}", founded.chain_id);
    for (id, name, validator) in &founded.members {
        println!("{id:<10} {name:<10} {validator}");
    }
    for warning in &founded.warnings {
        eprintln!("warning: {warning}");
    }
    eprintln!(
        "Give {} to everybody; nothing in it is secret. Each compares the chain's id and joins with: wattd join --data DIRECTORY --from {}",
        args.out.display(),
        args.out.display()
    );
    Ok(())
}

fn join(args: JoinArgs) -> anyhow::Result<()> {
    let listen: Listen = args.listen.into();
    anyhow::ensure!(args.observer || listen == Listen::default(), "a prepared node listens where its config.toml says: change it there");
    let observer = args.name.zip(args.address).map(|(name, address)| ObserverOptions { name, address, listen });
    let options = JoinOptions { data: DataDir::new(args.data.clone()), from: args.from, observer };
    let joined = federation::join(&options)?;
    println!("chain      {}", joined.chain_id);
    println!("peer       {}", joined.peer);
    for warning in &joined.warnings {
        eprintln!("warning: {warning}");
    }
    let others = joined.peers;
    if args.observer {
        eprintln!("The line beside \"peer\" belongs into network.peers in config.toml of those who shall speak to this node.");
    }
    eprintln!("This node will speak to {others} others. Start it with: wattd run --data {}", args.data.display());
    Ok(())
}

fn run(args: RunArgs) -> anyhow::Result<ExitCode> {
    let options = RunOptions {
        data: DataDir::new(args.data),
        clock_socket: args.clock,
        missing_gateway_database: if args.new_gateway_database { MissingDatabase::BeginAnew } else { MissingDatabase::Refuse },
        clock_confirmed: if args.confirm_clock { ClockConfirmed::ByOperator } else { ClockConfirmed::No },
        lost_log: if args.new_consensus_log { LostLog::BeginNew } else { LostLog::Refuse },
        voting: if args.rejoin { Voting::AfterWatching } else { Voting::AtOnce },
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("starting the runtime")?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("listening for SIGINT")?;
        let shutdown = async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        Ok(match node::run(options, shutdown).await? {
            Ended::Stopped => ExitCode::SUCCESS,
            Ended::Watched(height) => {
                eprintln!(
                    "wattd: block {height} was decided without this validator: watching is over. Start the node again, without --rejoin, and it votes; a \
                     supervisor does so by itself (exit code {WATCHED})"
                );
                ExitCode::from(WATCHED)
            }
        })
    })
}

fn doctor(args: DoctorArgs) -> anyhow::Result<ExitCode> {
    let options = doctor::Options { data: DataDir::new(args.data), others: args.others };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("starting the runtime")?;
    let diagnosis = runtime.block_on(doctor::examine(&options));
    let text = if args.json { serde_json::to_string_pretty(&diagnosis)? + "\n" } else { diagnosis.text() };
    print(text.as_bytes())?;
    Ok(if diagnosis.healthy { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn completions(shell: clap_complete::Shell) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "wattd", &mut script);
    print(&script)
}

fn pages(folder: &Path) -> anyhow::Result<()> {
    let written = std::fs::create_dir_all(folder).and_then(|()| clap_mangen::generate_to(Cli::command(), folder));
    written.with_context(|| folder.display().to_string())
}

/// Writes to stdout; a reader that has gone away is no error.
fn print(bytes: &[u8]) -> anyhow::Result<()> {
    match std::io::stdout().lock().write_all(bytes) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn key(command: &KeyCommand) -> anyhow::Result<()> {
    match command {
        KeyCommand::Next(KeyArgs { role, data }) => {
            let key = keys::make_next(role.name(), data)?;
            let address = address_of(&key);
            println!("{address}");
            let (name, old) = (role.name().name(), address_of(&keys::read(&role.name().file(data))?));
            eprintln!("A manager gives it the role: watt admin role rotate {name} --from {old} --to {address}");
            eprintln!("The node signs with it from then on; afterwards: wattd key adopt {name}");
        }
        KeyCommand::Show(KeyArgs { role, data }) => {
            let ring = KeyRing::open(role.name(), data)?;
            println!("in use  {}", address_of(ring.current()));
            if let Some(next) = ring.next()? {
                println!("next    {}", address_of(next));
            }
        }
        KeyCommand::Adopt(KeyArgs { role, data }) => {
            let retired = keys::adopt_next(role.name(), data)?;
            println!("{}", address_of(&keys::read(&role.name().file(data))?));
            eprintln!("The old key is kept at {}: destroy it once nothing needs it any more.", retired.display());
        }
    }
    Ok(())
}

fn unit(command: UnitCommand) -> anyhow::Result<()> {
    match command {
        UnitCommand::Add { data, connector, device, sensor } => {
            let number = |text: String| {
                anyhow::ensure!(text.len() == 8, "a device number has eight hexadecimal digits, found {text:?}");
                u32::from_str_radix(&text, 16).map(DeviceId).context("a device number has eight hexadecimal digits")
            };
            let device = device.map(number).transpose()?;
            let sensor = SensorId::new(sensor).map_err(|_| anyhow::anyhow!("switches show 0 to 63"))?;
            let entry = units::add(&data, connector, device, sensor)?;
            println!("device     {}", entry.device);
            println!("connector  {}", entry.connector);
            println!("sensor     {}", entry.sensor);
            println!("key        {}", entry.key.reveal());
            eprintln!("Write the key into the unit now: it is not shown again.");
        }
        UnitCommand::Import { data, from } => {
            let count = units::import(&data, &from)?;
            eprintln!("{count} units added");
        }
        UnitCommand::List { data } => {
            for unit in Registry::load(&data)?.iter() {
                println!("{}  connector {}  sensor {}", unit.device, unit.connector, unit.sensor.get());
            }
        }
    }
    Ok(())
}

fn export(args: &ExportArgs) -> anyhow::Result<()> {
    let data = DataDir::new(args.data.clone());
    let Written { end, damaged } = if args.out.as_os_str() == "-" {
        node::export_stopped(&data, &mut std::io::stdout().lock(), show_progress)?
    } else {
        export::into_new_file(&args.out, |out| node::export_stopped(&data, out, show_progress).map_err(anyhow::Error::from))?
    };
    eprintln!(
        "{} blocks with {} transactions, {} records of samples, {} keys of the state",
        end.blocks, end.transactions, end.samples, end.state_keys
    );
    match damaged {
        None => Ok(()),
        Some(error) => Err(anyhow::Error::from(NodeError::from(error)).context("exported as it is stored, but not all of it is sound")),
    }
}

/// A line on a terminal that is written over as the export goes on.
fn show_progress(height: chain::id::Height, last: chain::id::Height) {
    if std::io::IsTerminal::is_terminal(&std::io::stderr()) && (height.0.is_multiple_of(1_000) || height == last) {
        eprint!("\rheight {height} of {last}{}", if height == last { "\n" } else { "" });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_of_commands_is_consistent_and_its_examples_are_taken() {
        Cli::command().debug_assert();
        for command in std::iter::once(&Cli::command()).chain(Cli::command().get_subcommands()) {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let examples: Vec<&str> = help.lines().filter_map(|line| line.strip_prefix("  wattd ")).collect();
            assert!(!examples.is_empty(), "`wattd {} --help` has no example", command.get_name());
            for line in examples {
                // A shell keeps redirections for itself, and what several spaces separate is a remark.
                let bare = line.split(" > ").next().unwrap_or_default().split("  ").next().unwrap_or_default();
                let parsed = Cli::try_parse_from(std::iter::once("wattd").chain(bare.split(' ')));
                if let Err(error) = parsed {
                    panic!("wattd {line}: {error}");
                }
            }
        }
    }

    /// A port that was taken was told as "Address in use (os error 98): Address in use (os error 98)".
    #[test]
    fn what_the_system_said_is_told_once() {
        let system = std::io::Error::from_raw_os_error(98);
        let said = system.to_string();
        let told = told(&anyhow::Error::from(system).context(format!("cannot listen: {said}; choose another")).context("starting"));
        assert_eq!(told, format!("starting: cannot listen: {said}; choose another"));
    }
}
