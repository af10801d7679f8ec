//! `watt-fuzz`: mutated inputs for the decoders, for as long as somebody likes.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use anyhow::Context as _;
use clap::Parser;
use fuzz::{
    corpus,
    run::{Amount, Failure, judge, run},
    targets::{self, TARGETS, Target},
};

/// Give mutated inputs to every decoder of outside bytes and check what must hold.
#[derive(Parser)]
#[command(
    version,
    after_help = "Examples:
  watt-fuzz --list                                  the targets
  watt-fuzz --minutes 60                            all of them, an hour together
  watt-fuzz transaction --minutes 60                one of them, for an hour
  watt-fuzz transaction --seed 7 --from 41 --inputs 1   one input again
  watt-fuzz proof --input FILE                      a file as it is

Exit codes: 0 everything held, 1 something did not: what, and with which input, is said and the input kept in a file, 2 usage."
)]
struct Cli {
    /// Which targets; all where none is named.
    targets: Vec<String>,
    /// Show the targets and where their bytes come from.
    #[arg(long)]
    list: bool,
    /// How long, for all targets together.
    #[arg(long, value_name = "M", default_value_t = 10, conflicts_with_all = ["inputs", "input"])]
    minutes: u64,
    /// How many inputs for each target, in place of a time.
    #[arg(long, value_name = "N")]
    inputs: Option<u64>,
    /// The run's seed; random where none is given, and said in any case.
    #[arg(long)]
    seed: Option<u64>,
    /// The number of the first input.
    #[arg(long, value_name = "N", default_value_t = 0)]
    from: u64,
    /// Give this file to the target as it is.
    #[arg(long, value_name = "FILE", conflicts_with = "inputs")]
    input: Option<PathBuf>,
    /// Make the inputs that targets begin from anew, after a format has changed.
    #[arg(long)]
    write_corpus: bool,
}

fn main() -> ExitCode {
    match carry_out(&Cli::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("watt-fuzz: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn carry_out(cli: &Cli) -> anyhow::Result<bool> {
    if cli.list {
        TARGETS.iter().for_each(|target| println!("{:<22} {}", target.name, target.from));
        return Ok(true);
    }
    if cli.write_corpus {
        let folder = corpus::folder();
        // testnet/fuzz/corpus.
        let root = folder.ancestors().nth(3).context("a corpus outside the project")?;
        corpus::write(&folder, root)?;
        println!("{}", folder.display());
        return Ok(true);
    }
    let chosen: Vec<&Target> = if cli.targets.is_empty() {
        TARGETS.iter().collect()
    } else {
        let named = |name: &String| targets::named(name).with_context(|| format!("there is no target {name}: see --list"));
        cli.targets.iter().map(named).collect::<anyhow::Result<_>>()?
    };
    // What a target panics with is told with its input; the usual words would come before each.
    std::panic::set_hook(Box::new(|_| {}));
    let mut good = true;
    if let Some(file) = &cli.input {
        let input = std::fs::read(file).with_context(|| file.display().to_string())?;
        for target in chosen {
            match judge(target, &input) {
                Ok(read) => println!("{}: {read:?}", target.name),
                Err(wrong) => {
                    println!("{}: {wrong}", target.name);
                    good = false;
                }
            }
        }
        return Ok(good);
    }
    let seed = cli.seed.unwrap_or_else(rand::random);
    eprintln!("seed {seed}");
    let share = Duration::from_secs(cli.minutes.saturating_mul(60)).div_f64(chosen.len() as f64);
    for target in chosen {
        let items: Vec<Vec<u8>> = corpus::read(target)?.into_iter().map(|(_, input)| input).collect();
        let amount = cli.inputs.map_or(Amount::Time(share), Amount::Inputs);
        match run(target, &items, seed, cli.from, amount) {
            Ok(report) => {
                let refused: Vec<String> = report.refused.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
                let took = report.took.as_secs_f64();
                println!(
                    "{:<22} {:>9} inputs in {took:>6.1} s, {:>8} read; refused: {}",
                    target.name,
                    report.inputs,
                    report.accepted,
                    refused.join(", ")
                );
            }
            Err(failure) => {
                good = false;
                println!("{failure}");
                println!("  kept in {}", keep(&failure)?.display());
            }
        }
    }
    Ok(good)
}

/// Writes the input to where it can be tried again.
fn keep(failure: &Failure) -> anyhow::Result<PathBuf> {
    let (seed, number) = failure.place.unwrap_or_default();
    let path = std::env::temp_dir().join(format!("watt-fuzz-{}-{seed}-{number}", failure.target));
    std::fs::write(&path, &failure.input)?;
    Ok(path)
}
