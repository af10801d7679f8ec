//! `watt-testnet`: starts nodes on this machine and lets simulated cars charge on them.

use std::{
    path::PathBuf,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use chain::id::ConnectorId;
use clap::{Args, CommandFactory as _, Parser, Subcommand};
use testnet::{
    car::Rate,
    casestudy, chaos, demo, idle, load, pattern,
    replay::{self, Fraction},
    rows::Filter,
    sync, unit_command,
};
use tracing_subscriber::EnvFilter;

/// Local federations of real nodes: a demo, recorded sessions, load, chaos; and a unit for whoever has none.
#[derive(Parser)]
#[command(version, about, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "Examples:
  watt-testnet demo
  watt-testnet demo --seed 7 --stay
  watt-testnet unit --data tro --connector 1-17 --uid-file card --wh 200
  watt-testnet replay sessions.csv --site TRO --json report.json
  watt-testnet replay sessions.csv --limit 10 --data /tmp/chain
  watt-testnet replay sessions.csv --site TRO --group-limit 0.1
  watt-testnet replay sessions.csv --site ASK --site TRO --site BAR --align --roaming 0.2 --chaos 7
  watt-testnet pattern sessions.csv --json pattern.json
  watt-testnet casestudy --seed 7 --json figures.json --pictures pictures
  watt-testnet load --clients 64 --seconds 20 --json load.json
  watt-testnet idle --minutes 10 --json idle.json
  watt-testnet sync /tmp/chain --json sync.json
  watt-testnet chaos --seed 7 --minutes 3 --json chaos.json
  watt-testnet chaos --seed 7 --minutes 3 --machines

Exit codes: 0 ok, 1 failed or not equal, 2 usage.";

#[derive(Subcommand)]
enum Command {
    /// An evening in a garage: a dozen residents, fewer places than cars.
    #[command(after_help = "Examples:\n  watt-testnet demo\n  watt-testnet demo --seed 7 --stay")]
    Demo(DemoArgs),
    /// A charging unit without hardware, with a car at its plug, for a node that runs.
    Unit(UnitArgs),
    /// Recorded charging sessions, carried out on a node and compared with the record.
    #[command(after_help = "Examples:
  watt-testnet replay sessions.csv --site TRO --json report.json
  watt-testnet replay sessions.csv --limit 10 --data /tmp/chain
  watt-testnet replay sessions.csv --site ASK --site TRO --site BAR --align --roaming 0.2 --chaos 7")]
    Replay(ReplayArgs),
    /// How well the usage pattern tells residents apart, measured on recorded sessions.
    #[command(after_help = "Examples:
  watt-testnet pattern sessions.csv
  watt-testnet pattern sessions.csv --site TRO --json pattern.json")]
    Pattern(PatternArgs),
    /// The paper's three and a half months with three cars, generated, carried out on a node, and set beside its figures.
    #[command(after_help = "Examples:
  watt-testnet casestudy --seed 7 --json figures.json --pictures pictures
  watt-testnet casestudy --seed 2 --chaos 5
  watt-testnet casestudy --score chain.export")]
    Casestudy(CasestudyArgs),
    /// How many whole sessions nodes settle in a second, on the real clock.
    #[command(after_help = "Examples:\n  watt-testnet load\n  watt-testnet load --validators 4 --clients 64 --seconds 20 --json load.json")]
    Load(LoadArgs),
    /// What nodes cost that nobody asks for anything, and how soon they decide when somebody does.
    #[command(after_help = "Examples:
  watt-testnet idle --minutes 10 --json idle.json
  watt-testnet idle --validators 1 --minutes 0.5")]
    Idle(IdleArgs),
    /// Four nodes under charging load that are killed, paused and cut off, on the real clock.
    #[command(after_help = "Examples:\n  watt-testnet chaos\n  watt-testnet chaos --seed 7 --minutes 3 --json chaos.json")]
    Chaos(ChaosArgs),
    /// How fast a node with an empty disk fetches a kept chain of several nodes from the others.
    #[command(after_help = "Examples:\n  watt-testnet sync /tmp/chain --json sync.json")]
    Sync(SyncArgs),
    /// Write what a shell needs to complete commands.
    #[command(after_help = "Examples:\n  watt-testnet completions bash > ~/.local/share/bash-completion/completions/watt-testnet")]
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
}

#[derive(Args)]
struct SyncArgs {
    /// The folder with node-0, node-1 and so on, as --data of the other commands keeps it; it is copied and not changed.
    chain: PathBuf,
    /// Write the numbers to this file.
    #[arg(long, value_name = "OUT")]
    json: Option<PathBuf>,
}

#[derive(Args)]
struct DemoArgs {
    /// What the evening is drawn from: the same seed, the same evening.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Keep the node up afterwards, and print where to look.
    #[arg(long)]
    stay: bool,
    /// Write the numbers to this file.
    #[arg(long, value_name = "OUT")]
    json: Option<PathBuf>,
    /// Keep the chain in this empty or new folder, under node-0; a temporary one is removed.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

#[derive(Args)]
#[command(after_help = UNIT_EXAMPLES)]
struct UnitArgs {
    /// The node's data directory, where `wattd unit add` has written the unit's key; or a folder with such a units.json.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// The connector that the unit serves.
    #[arg(long, value_name = "CONNECTOR")]
    connector: ConnectorId,
    /// Where the gateway listens for units.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8421")]
    gateway: String,
    /// Hold a card to the reader, whose number is the first line of this file that only you may read; without it the charge is started with `watt charge start`.
    #[arg(long, value_name = "FILE")]
    uid_file: Option<PathBuf>,
    /// How much the car wants before it leaves, Wh.
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    wh: u64,
    /// The car's power: 3680, 7360, 11040 or 22080 W, as one or three phases with 16 or 32 A bring.
    #[arg(long, value_name = "W", default_value = "22080", value_parser = rate)]
    power: Rate,
    /// When the plug is pulled at the latest, in minutes.
    #[arg(long, value_name = "M", default_value = "15", value_parser = minutes)]
    minutes: Duration,
}

const UNIT_EXAMPLES: &str = "Examples:
  watt-testnet unit --data tro --connector 1-17
  watt-testnet unit --data tro --connector 1-17 --uid-file card --wh 200
  watt-testnet unit --data tro --connector 1-17 --gateway http://127.0.0.1:9421 --power 11040

It runs on the clock of this machine and as fast as a real car: 200 Wh at 22080 W take 33 seconds. Ctrl-C pulls the plug. Between two runs it keeps its number of
starts and its register in DIR/simulated-unit-DEVICE.json, as a real one does in its memory. Do not run it beside a real unit that has the same key.

Exit code 1 begins with one of these words: unit_unknown, gateway_away, unit_elsewhere, card_refused, not_confirmed, no_power, not_told, bad_file, refused.";

/// One of the rates at which cars charge, by its power.
fn rate(text: &str) -> Result<Rate, String> {
    let found = Rate::ALL.into_iter().find(|rate| rate.power_w().to_string() == text);
    found.ok_or_else(|| format!("expected 3680, 7360, 11040 or 22080, found {text:?}"))
}

#[derive(Args)]
struct ReplayArgs {
    /// The sessions: `;`-separated with the header location;user_id;session_id;plugin_time;plugout_time;connection_time;energy_session.
    file: PathBuf,
    /// Only this site; several, each once, are several condominiums with a node each.
    #[arg(long, value_name = "S")]
    site: Vec<String>,
    /// Move each site by whole weeks until all begin in the same one.
    #[arg(long)]
    align: bool,
    /// This share of the sessions happens away from home, where a connector is free; of several sites.
    #[arg(long, value_name = "FRACTION", value_parser = Fraction::or_none)]
    roaming: Option<Fraction>,
    /// What --roaming draws from: the same seed, the same journeys.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Kill, pause and cut off nodes meanwhile, drawn from this seed.
    #[arg(long, value_name = "SEED")]
    chaos: Option<u64>,
    /// Only the first N usable sessions, of all sites together.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    /// Each garage's limit, as a share of what all its connectors are rated for.
    #[arg(long, value_name = "FRACTION", default_value = "1")]
    group_limit: Fraction,
    /// Write the report to this file.
    #[arg(long, value_name = "OUT")]
    json: Option<PathBuf>,
    /// Keep the chains in this empty or new folder, under node-0, node-1 and so on, in the order of the sites; a temporary one is removed.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

#[derive(Args)]
struct PatternArgs {
    /// The sessions, in the format of `replay`.
    file: PathBuf,
    /// Only this site; may be given several times.
    #[arg(long, value_name = "S")]
    site: Vec<String>,
    /// Write the report to this file.
    #[arg(long, value_name = "OUT")]
    json: Option<PathBuf>,
}

#[derive(Args)]
struct CasestudyArgs {
    /// What the months are drawn from: the same seed, the same charges.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Kill and pause the node meanwhile, drawn from this seed.
    #[arg(long, value_name = "SEED")]
    chaos: Option<u64>,
    /// Run nothing: only score this export of a chain, as --data leaves one.
    #[arg(long, value_name = "EXPORT", conflicts_with_all = ["seed", "chaos", "data"])]
    score: Option<PathBuf>,
    /// Write figures, charges and verdicts to this file.
    #[arg(long, value_name = "OUT")]
    json: Option<PathBuf>,
    /// Draw Figs. 19 to 25 from the chain into this folder, as SVG.
    #[arg(long, value_name = "DIR")]
    pictures: Option<PathBuf>,
    /// Keep the chain in this empty or new folder, under node-0, and its export as casestudy.export; a temporary one is removed.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

#[derive(Args)]
struct LoadArgs {
    /// How many validators decide, each a node of its own on this machine.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10))]
    validators: u32,
    /// How many residents open and settle sessions at once.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=2_000))]
    clients: u32,
    /// For how long.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    seconds: u64,
    /// Write the numbers to this file.
    #[arg(long, value_name = "OUT")]
    json: Option<PathBuf>,
    /// Keep the chains in this empty or new folder, under node-0, node-1 and so on; a temporary one is removed.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

#[derive(Args)]
struct IdleArgs {
    /// How many validators decide, each a node of its own on this machine.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=10))]
    validators: u32,
    /// For how long they are left alone, in minutes; decimals are allowed.
    #[arg(long, value_name = "M", default_value = "10", value_parser = minutes)]
    minutes: Duration,
    /// Write the numbers to this file.
    #[arg(long, value_name = "OUT")]
    json: Option<PathBuf>,
}

#[derive(Args)]
struct ChaosArgs {
    /// What faults and days are drawn from: the same seed, the same faults.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// For how long nodes are disturbed, in minutes; decimals are allowed.
    #[arg(long, value_name = "M", default_value = "3", value_parser = minutes)]
    minutes: Duration,
    /// Write the numbers to this file.
    #[arg(long, value_name = "OUT")]
    json: Option<PathBuf>,
    /// Keep the chains in this empty or new folder, under node-0 to node-3; a temporary one is removed.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Give each node a network namespace, as a machine of its own, and let the kernel fail instead of relays; needs root and iproute2.
    #[arg(long)]
    machines: bool,
}

/// A length of time in minutes, 0.1 to 1,440.
fn minutes(text: &str) -> Result<Duration, String> {
    let found: f64 = text.parse().map_err(|_| format!("expected minutes such as 3 or 0.5, found {text:?}"))?;
    if (0.1..=1_440.0).contains(&found) {
        Ok(Duration::from_secs_f64(found * 60.0))
    } else {
        Err("expected 0.1 to 1440 minutes".to_owned())
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false).init();
    // A demo that stays up is meant to be interrupted.
    let stays = Arc::new(AtomicBool::new(false));
    let faults = tokio::select! {
        faults = run(cli.command, Arc::clone(&stays)) => faults,
        // Dropping the run kills its nodes and removes a temporary folder.
        () = terminated(&stays) => Err(anyhow::anyhow!("interrupted")),
    };
    match faults {
        Ok(faults) if faults.is_empty() => ExitCode::SUCCESS,
        Ok(faults) => {
            for fault in faults {
                eprintln!("watt-testnet: {fault}");
            }
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("watt-testnet: {}", told(&error));
            ExitCode::FAILURE
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

async fn run(command: Command, stays: Arc<AtomicBool>) -> anyhow::Result<Vec<String>> {
    match command {
        Command::Demo(DemoArgs { seed, stay, json, data }) => demo::run(&demo::Options { seed, stay, stays, json, data }).await,
        Command::Unit(UnitArgs { data, connector, gateway, uid_file, wh, power, minutes }) => {
            let options = unit_command::Options { data, connector, gateway, uid_file, energy_wh: wh, rate: power, within: minutes, stays };
            unit_command::run(&options).await
        }
        Command::Replay(ReplayArgs { file, site, align, roaming, seed, chaos, limit, group_limit, json, data }) => {
            let filter = Filter { sites: site, limit, align };
            replay::run(&replay::Options { file, filter, group_limit, roaming, seed, chaos, json, data }).await
        }
        Command::Pattern(PatternArgs { file, site, json }) => {
            let filter = Filter { sites: site, limit: None, align: false };
            pattern::run(&pattern::Options { file, filter, json })
        }
        Command::Casestudy(CasestudyArgs { seed, chaos, score, json, pictures, data }) => {
            casestudy::run(&casestudy::Options { seed, chaos, score, json, pictures, data }).await
        }
        Command::Chaos(ChaosArgs { seed, minutes, json, data, machines }) => {
            chaos::run(&chaos::Options { seed, lasts: minutes, json, data, machines }).await
        }
        Command::Idle(IdleArgs { validators, minutes, json }) => idle::run(&idle::Options { validators, silence: minutes, json }).await,
        Command::Sync(SyncArgs { chain, json }) => sync::run(&sync::Options { chain, json }).await,
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "watt-testnet", &mut script);
            cli::render::out(&script)?;
            Ok(Vec::new())
        }
        Command::Load(LoadArgs { validators, clients, seconds, json, data }) => {
            load::run(&load::Options { validators, clients, seconds, json, data }).await
        }
    }
}

/// SIGTERM, or Ctrl-C unless the demo is over and waits for it itself.
async fn terminated(stays: &AtomicBool) {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return std::future::pending().await };
    loop {
        tokio::select! {
            _ = terminate.recv() => return,
            _ = tokio::signal::ctrl_c() => {}
        }
        if !stays.load(Ordering::Relaxed) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_examples_and_they_are_taken() {
        Cli::command().debug_assert();
        assert!(examples_of(&Cli::command(), "watt-testnet") > 9);
    }

    /// Tries the examples of a command and of all below it; gives how many commands there are.
    fn examples_of(command: &clap::Command, path: &str) -> usize {
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        let examples: Vec<&str> =
            help.lines().filter_map(|line| line.strip_prefix("  ")).filter(|line| line.starts_with("watt-testnet ")).collect();
        assert!(!examples.is_empty(), "`{path} --help` has no example");
        for line in examples {
            // A shell keeps redirections for itself, and what several spaces separate is a remark.
            let shown = line.split(" > ").next().unwrap_or_default().split("  ").next().unwrap_or_default();
            assert!(shown.starts_with(path), "`{path} --help` shows `{shown}`");
            if let Err(error) = Cli::try_parse_from(shown.split(' ')) {
                panic!("`{path} --help` shows `{shown}`, which is refused: {error}");
            }
        }
        1 + command.get_subcommands().map(|below| examples_of(below, &format!("{path} {}", below.get_name()))).sum::<usize>()
    }
}
