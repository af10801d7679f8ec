//! `wattd`: makes a node's data directory and runs the node.

mod args;

use std::{fmt, io::Write as _, path::Path, process::ExitCode};

use anyhow::Context as _;
use chain::{crypto::address_of, genesis_kind::NetworkKind, time::Timestamp};
use clap::{CommandFactory as _, Parser as _};
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
    keys,
    telemetry::{self, LogFormat},
};
use tokio::signal::unix::{SignalKind, signal};

use crate::args::{
    Cli, Command, DoctorArgs, ExportArgs, GenesisArgs, InitArgs, JoinArgs, KeyArgs, KeyCommand, PrepareArgs, RunArgs, UnitCommand,
};

/// The exit code of every other failure.
const FAILED: u8 = 1;

/// The exit code where what is stored is damaged or missing: a supervisor must not start the node again and again.
const DAMAGED: u8 = 3;

/// The exit code where watching is over: a supervisor starts the node again, and it votes. The usual number for "try again".
const WATCHED: u8 = 75;

/// How long what still reads or writes may take at the end.
const CLOSING_TIME: std::time::Duration = std::time::Duration::from_secs(5);

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
            note(format_args!("wattd: {}", told(&error)));
            end_by(if error.downcast_ref::<NodeError>().is_some_and(NodeError::is_damage) { DAMAGED } else { FAILED })
        }
    }
}

/// Ends with this exit code, whatever the end waits for: as it ends, the database joins its threads, and one of them may wait for a disk that hangs.
fn end_by(code: u8) -> ExitCode {
    let end = move || {
        std::thread::sleep(CLOSING_TIME);
        signal_hook::low_level::exit(i32::from(code));
    };
    // Without the thread the end is as patient as the database.
    let _ = std::thread::Builder::new().spawn(end);
    ExitCode::from(code)
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
    line(format_args!("chain      {}", founded.chain_id))?;
    for (name, address, file) in &founded.keys {
        line(format_args!("{:<10} {address}  {}", name.name(), file.display()))?;
    }
    for warning in &founded.warnings {
        note(format_args!("warning: {warning}"));
    }
    note(format_args!(
        "Keep copies of the key files in a safe place; who has them is the node. Start it with: wattd run --data {}",
        args.data.display()
    ));
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
        line(format_args!("{:<10} {address}  {}", name.name(), file.display()))?;
    }
    line(format_args!("member     {}", prepared.member.display()))?;
    note(format_args!(
        "Keep copies of the key files in a safe place; who has them is the node. Give {} to whoever makes the genesis document (wattd genesis); nothing in it \
         is secret.",
        prepared.member.display()
    ));
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
    line(format_args!("chain      {}", founded.chain_id))?;
    for (id, name, validator) in &founded.members {
        line(format_args!("{id:<10} {name:<10} {validator}"))?;
    }
    for warning in &founded.warnings {
        note(format_args!("warning: {warning}"));
    }
    note(format_args!(
        "Give {} to everybody; nothing in it is secret. Each compares the chain's id and joins with: wattd join --data DIRECTORY --from {}",
        args.out.display(),
        args.out.display()
    ));
    Ok(())
}

fn join(args: JoinArgs) -> anyhow::Result<()> {
    let listen: Listen = args.listen.into();
    anyhow::ensure!(args.observer || listen == Listen::default(), "a prepared node listens where its config.toml says: change it there");
    let observer = args.name.zip(args.address).map(|(name, address)| ObserverOptions { name, address, listen });
    let options = JoinOptions { data: DataDir::new(args.data.clone()), from: args.from, observer };
    let joined = federation::join(&options)?;
    line(format_args!("chain      {}", joined.chain_id))?;
    line(format_args!("peer       {}", joined.peer))?;
    for warning in &joined.warnings {
        note(format_args!("warning: {warning}"));
    }
    let others = joined.peers;
    if args.observer {
        note(format_args!("The line beside \"peer\" belongs into network.peers in config.toml of those who shall speak to this node."));
    }
    note(format_args!("This node will speak to {others} others. Start it with: wattd run --data {}", args.data.display()));
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
    let ended: anyhow::Result<ExitCode> = runtime.block_on(async {
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
                note(format_args!(
                    "wattd: block {height} was decided without this validator: watching is over. Start the node again, without --rejoin, and it votes; a \
                     supervisor does so by itself (exit code {WATCHED})"
                ));
                ExitCode::from(WATCHED)
            }
        })
    });
    // A thread that waits for a disk that hangs must not keep the process from ending.
    runtime.shutdown_timeout(CLOSING_TIME);
    ended
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

/// A line on stdout, as [`print`]: the macro of the standard library panics where `head` has read enough.
fn line(words: fmt::Arguments<'_>) -> anyhow::Result<()> {
    print(format!("{words}\n").as_bytes())
}

/// A line on stderr, for people; where nobody can read it there is nobody to tell.
fn note(words: fmt::Arguments<'_>) {
    let _ = std::io::stderr().lock().write_all(format!("{words}\n").as_bytes());
}

fn key(command: &KeyCommand) -> anyhow::Result<()> {
    match command {
        KeyCommand::Next(KeyArgs { role, data }) => {
            let key = keys::make_next(role.name(), data)?;
            let address = address_of(&key);
            line(format_args!("{address}"))?;
            let (name, old) = (role.name().name(), address_of(&keys::read(&role.name().file(data))?));
            note(format_args!("A manager gives it the role: watt admin role rotate {name} --from {old} --to {address}"));
            note(format_args!("The node signs with it from then on; afterwards: wattd key adopt {name}"));
        }
        KeyCommand::Show(KeyArgs { role, data }) => {
            line(format_args!("in use  {}", address_of(&keys::read(&role.name().file(data))?)))?;
            if let Some(next) = keys::read_next(&role.name().next_file(data))? {
                line(format_args!("next    {}", address_of(&next)))?;
            }
        }
        KeyCommand::Adopt(KeyArgs { role, data }) => {
            doctor::require_granted(&DataDir::new(data.clone()), role.name())?;
            let retired = keys::adopt_next(role.name(), data)?;
            line(format_args!("{}", address_of(&keys::read(&role.name().file(data))?)))?;
            note(format_args!("The old key is kept at {}: destroy it once nothing needs it any more.", retired.display()));
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
            let warning = doctor::warn_of_place(&DataDir::new(data.clone()), connector)?;
            let entry = units::add(&data, connector, device, sensor)?;
            line(format_args!("device     {}", entry.device))?;
            line(format_args!("connector  {}", entry.connector))?;
            line(format_args!("sensor     {}", entry.sensor))?;
            line(format_args!("key        {}", entry.key.reveal()))?;
            note(format_args!("Write the key into the unit now: it is not shown again."));
            if let Some(warning) = warning {
                note(format_args!("warning: {warning}"));
            }
        }
        UnitCommand::Import { data, from } => {
            let count = units::import(&data, &from)?;
            note(format_args!("{count} units added"));
        }
        UnitCommand::List { data } => {
            for unit in Registry::load(&data)?.iter() {
                line(format_args!("{}  connector {}  sensor {}", unit.device, unit.connector, unit.sensor.get()))?;
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
    note(format_args!(
        "{} blocks with {} transactions, {} records of samples, {} keys of the state",
        end.blocks, end.transactions, end.samples, end.state_keys
    ));
    match damaged {
        None => Ok(()),
        Some(error) => Err(anyhow::Error::from(NodeError::from(error)).context("exported as it is stored, but not all of it is sound")),
    }
}

/// A line on a terminal that is written over as the export goes on.
fn show_progress(height: chain::id::Height, last: chain::id::Height) {
    if std::io::IsTerminal::is_terminal(&std::io::stderr()) && (height.0.is_multiple_of(1_000) || height == last) {
        let words = format!("\rheight {height} of {last}{}", if height == last { "\n" } else { "" });
        let _ = std::io::stderr().lock().write_all(words.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A port that was taken was told as "Address in use (os error 98): Address in use (os error 98)".
    #[test]
    fn what_the_system_said_is_told_once() {
        let system = std::io::Error::from_raw_os_error(98);
        let said = system.to_string();
        let told = told(&anyhow::Error::from(system).context(format!("cannot listen: {said}; choose another")).context("starting"));
        assert_eq!(told, format!("starting: cannot listen: {said}; choose another"));
    }
}
