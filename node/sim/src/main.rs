//! `watt-sim`: runs seeds of the simulator, tells how far it is, and sums up what was done to the nodes. Whatever it finds is named by its seed.

use std::{
    process::ExitCode,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use clap::Parser;
use sim::{Outcome, Plan, Stats};

/// Runs federations of simulated nodes with seeded faults and lying validators.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Examples:\n  watt-sim --seeds 1..1000\n  watt-sim --seeds 77..77 --verbose\n\nExit codes: 0 every seed held, 1 one did not, 2 usage."
)]
struct Options {
    /// The seeds, first and last: FIRST..LAST.
    #[arg(long, value_parser = seeds, default_value = "1..100")]
    seeds: (u64, u64),
    /// Seeds that run at once; 0 takes one for each core.
    #[arg(long, default_value_t = 0)]
    threads: usize,
    /// Go on after a seed that failed.
    #[arg(long)]
    keep_going: bool,
    /// Run every seed twice and compare the traces.
    #[arg(long)]
    twice: bool,
    /// Tell what happens, on standard error; with one seed.
    #[arg(long)]
    verbose: bool,
    /// Tell what a seed means and run nothing.
    #[arg(long)]
    plan: bool,
    /// The engine's and the application's own log, as in RUST_LOG, on standard error.
    #[arg(long, value_name = "FILTER")]
    log: Option<String>,
}

fn seeds(text: &str) -> Result<(u64, u64), String> {
    let (first, last) = text.split_once("..").ok_or("expected FIRST..LAST")?;
    let number = |text: &str| text.trim_start_matches('=').parse::<u64>().map_err(|error| error.to_string());
    let (first, last) = (number(first)?, number(last)?);
    if first > last { Err("the first seed is above the last".to_owned()) } else { Ok((first, last)) }
}

fn main() -> ExitCode {
    let options = Options::parse();
    if let Some(filter) = &options.log {
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    }
    if options.plan {
        for seed in options.seeds.0..=options.seeds.1 {
            println!("{:#?}", Plan::of(seed));
        }
        return ExitCode::SUCCESS;
    }
    if all(&options) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs all seeds; gives whether every one held.
fn all(options: &Options) -> bool {
    let (first, last) = options.seeds;
    let threads = match options.threads {
        0 => thread::available_parallelism().map_or(1, std::num::NonZero::get),
        threads => threads,
    };
    let (next, stop) = (AtomicU64::new(first), AtomicBool::new(false));
    let running = Mutex::new(std::collections::BTreeSet::new());
    let lock = || running.lock().unwrap_or_else(PoisonError::into_inner);
    let begun = Instant::now();
    let (mut total, mut done, mut failed) = (Stats::default(), 0_u64, Vec::new());
    thread::scope(|scope| {
        let (sender, outcomes) = mpsc::sync_channel(threads);
        for _ in 0..threads {
            let sender = sender.clone();
            scope.spawn(|| {
                let sender = sender;
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed > last || stop.load(Ordering::Relaxed) {
                        return;
                    }
                    lock().insert(seed);
                    let outcome = one(seed, options);
                    lock().remove(&seed);
                    if sender.send(outcome).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        let mut told = Instant::now();
        loop {
            match outcomes.recv_timeout(Duration::from_secs(5)) {
                Ok((outcome, same)) => {
                    done += 1;
                    total.add(&outcome.stats);
                    let seed = outcome.seed;
                    if let Some(failure) = outcome.failure {
                        eprintln!("seed {seed}: {failure}");
                        eprintln!("  again, with everything that happens: watt-sim --seeds {seed}..{seed} --verbose");
                        failed.push(seed);
                    } else if !same {
                        eprintln!("seed {seed}: two runs differ");
                        failed.push(seed);
                    }
                    if !failed.is_empty() && !options.keep_going {
                        stop.store(true, Ordering::Relaxed);
                    }
                }
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
            }
            if told.elapsed() >= Duration::from_secs(5) {
                told = Instant::now();
                let rate = done as f64 / begun.elapsed().as_secs_f64();
                eprintln!("{done} of {} seeds, {rate:.1} a second, {} failed; now {:?}", last - first + 1, failed.len(), lock());
            }
        }
    });
    summary(&total, done, &failed, begun.elapsed());
    failed.is_empty()
}

fn one(seed: u64, options: &Options) -> (Outcome, bool) {
    let plan = Plan::of(seed);
    let outcome = sim::run(&plan, options.verbose);
    let same = !options.twice || sim::run(&plan, false).trace == outcome.trace;
    (outcome, same)
}

fn summary(total: &Stats, done: u64, failed: &[u64], took: Duration) {
    let seconds = took.as_secs_f64();
    println!("{done} seeds in {seconds:.1} s ({:.2} a second), {} failed{}", done as f64 / seconds, failed.len(), list(failed));
    println!("{} blocks, {} transactions, {} messages", total.blocks, total.transactions, total.messages);
    println!("at most {:.1} virtual seconds from the last fault to the quiet end", total.settled_after as f64 / sim::SECOND as f64);
    for (what, times) in &total.counts {
        println!("{times:>12}  {what}");
    }
}

fn list(failed: &[u64]) -> String {
    if failed.is_empty() { String::new() } else { format!(": {failed:?}") }
}
