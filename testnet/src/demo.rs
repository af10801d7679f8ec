//! `watt-testnet demo`: an evening in a garage with fewer places than cars, on a real node.
//!
//! A dozen residents come home within three hours and share four places, first come first served. One has locked too little, one leaves early, one gives up
//! waiting, one stops by hand; the rest charge until they are full. The same seed gives the same evening. The summary's sums are held against the chain and
//! decide the exit code. Called by the program.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration as RealDuration, Instant},
};

use anyhow::Context as _;
use chain::{quantity::Amount, record::EndReason, time::Duration};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    drive::Garage,
    federation::{Place as Folder, Policy},
    provision::{self, Buyer, Opening, Site},
    report::{self, Report},
    rows::SourceSession,
    view::{View, date_time, tokens},
    world::{Escrow, Visit},
};

/// Places that may charge at once.
const PLACES: u32 = 4;

/// Who lives there, in order of their coming home.
const RESIDENTS: [&str; 12] = ["Ana", "Bruno", "Carla", "Duarte", "Elisa", "Filipe", "Gro", "Henrik", "Inês", "João", "Kari", "Lars"];

/// Friday, 16 January 2026, 17:00 in the garage, ms.
const EVENING_MS: u64 = 1_768_579_200_000;

/// What everyone has bought.
const BOUGHT: Amount = Amount::from_micro(20_000_000);

/// What a cautious resident locks.
const USUAL_ESCROW: Amount = Amount::from_micro(8_000_000);

/// What somebody locks who did not look at the quote: about two and a half kWh.
const SMALL_ESCROW: Amount = Amount::from_micro(600_000);

/// The period of posts and attestations.
const EVERY: Duration = Duration::from_mins(5);

/// What every session asks for.
const MAX_DURATION: Duration = Duration::from_hours(24);

/// How long a moment stays on the screen.
const PACE: RealDuration = RealDuration::from_millis(150);

const MINUTE_MS: u64 = 60_000;

/// How to show the demo.
#[derive(Clone, Debug)]
pub struct Options {
    /// What the evening is drawn from.
    pub seed: u64,
    /// Whether the node goes on afterwards.
    pub stay: bool,
    /// Becomes true once it does: from then on Ctrl-C is the wanted end, and no interruption.
    pub stays: Arc<AtomicBool>,
    /// Where the report goes.
    pub json: Option<PathBuf>,
    /// Where the chain is kept.
    pub data: Option<PathBuf>,
}

/// Shows the demo; gives what is wrong, in words.
///
/// # Errors
/// Where the federation cannot go on.
pub async fn run(options: &Options) -> anyhow::Result<Vec<String>> {
    report::writable(options.json.as_deref())?;
    let started = Instant::now();
    let folder = Folder::new(options.data.as_deref())?;
    println!("A garage with {} residents and {PLACES} places, on {}; seed {}.", RESIDENTS.len(), date_time(EVENING_MS), options.seed);
    println!(
        "Starting wattd, publishing a tariff (0.25 by day, 0.15 at night, per kWh) and selling {} to everyone …",
        tokens(BOUGHT.micro())
    );
    let site = Site {
        name: "demo".to_owned(),
        residents: RESIDENTS.into_iter().map(|name| Buyer { name: name.to_owned(), amount: BOUGHT }).collect(),
        limit_ma: PLACES * provision::RATED_MA,
        policy: Policy::FcfsSlots { places: PLACES },
        tariff: provision::day_and_night(),
    };
    let opening = Opening {
        sites: vec![site],
        opens_at_ms: EVENING_MS,
        max_duration: MAX_DURATION,
        post_every: EVERY,
        visits: evening(options.seed),
        seed: options.seed,
    };
    let mut garage = provision::found(&folder, opening, None).await?;
    garage.follow_queue = true;
    println!("The node's API is at {}.\n", garage.lines.each[0].node.api_url());

    let mut view = View::new();
    loop {
        let mut shown = Ok(());
        let more = garage
            .step(&mut |garage, happening| {
                let result = view.show(garage, happening);
                if shown.is_ok() {
                    shown = result;
                }
            })
            .await?;
        shown.context("writing to the terminal")?;
        if !more {
            break;
        }
        if view.is_live() {
            tokio::time::sleep(PACE).await;
        }
    }

    let findings = report::find(&mut garage.lines, |_| {}).await?;
    let report = report::report(&garage, &findings, started);
    let mut faults = report::faults(&report);
    faults.extend(missing(&garage));
    summary(&report);
    if let Some(path) = &options.json {
        report::write(&report, path).with_context(|| format!("writing {}", path.display()))?;
    }
    if options.stay {
        stay(&garage, &options.stays).await?;
    }
    garage.lines.stop().await?;
    Ok(faults)
}

/// Who comes when, needs how much and does what, from a seed.
fn evening(seed: u64) -> Vec<Visit> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut visits = Vec::new();
    let mut comes_min = 0;
    for (connector, name) in RESIDENTS.into_iter().enumerate() {
        // The first six within half an hour, so that some have to wait; the others through the evening.
        comes_min += if connector < 6 { random.random_range(2..6) } else { random.random_range(8..30) };
        let plug_in_ms = EVENING_MS + comes_min * MINUTE_MS + random.random_range(0..60) * 1_000;
        let mut energy_wh = random.random_range(9_000..16_000);
        let mut stays_min = 13 * 60 + random.random_range(0..90) - comes_min;
        let (mut escrow, mut stop_at_ms) = (Escrow::Fixed(USUAL_ESCROW), None);
        match name {
            "Bruno" => escrow = Escrow::Fixed(SMALL_ESCROW),
            // A dinner: he is called away long before the car is full.
            "Carla" => (energy_wh, stays_min) = (30_000, 40),
            "Duarte" => stop_at_ms = Some(plug_in_ms + 100 * MINUTE_MS),
            // Waits, and takes the bus.
            "Lars" => stays_min = 15,
            _ => {}
        }
        if name == "Duarte" {
            energy_wh = 30_000;
        }
        let source = SourceSession {
            site: "demo".to_owned(),
            user: name.to_owned(),
            session_id: format!("{name}-1"),
            plug_in_ms,
            plug_out_ms: plug_in_ms + stays_min * MINUTE_MS,
            energy_wh,
        };
        visits.push(Visit { source, connector, person: connector, escrow, stop_at_ms });
    }
    visits
}

/// What the evening had to show and did not.
fn missing(garage: &Garage) -> Vec<String> {
    let ended = |wanted: EndReason| garage.fates.iter().filter_map(|fate| fate.receipt).any(|receipt| receipt.reason == wanted);
    let rules = [
        (garage.fates.iter().any(|fate| fate.waited), "nobody had to wait"),
        (ended(EndReason::Money), "nobody was stopped by money"),
        (ended(EndReason::VehicleRemoved), "nobody left early"),
        (ended(EndReason::VehicleFull), "nobody became full"),
    ];
    rules.into_iter().filter(|(shown, _)| !shown).map(|(_, rule)| rule.to_owned()).collect()
}

fn summary(report: &Report) {
    let Report { micro_tokens: money, .. } = report;
    println!();
    println!("{:10} {:>10} {:>12} {:>12}  ended by", "resident", "Wh", "paid", "back");
    for line in &report.per_session {
        let name = line.session_id.trim_end_matches("-1");
        println!("{name:10} {:>10} {:>12} {:>12}  {}", line.settled_wh, tokens(line.paid), tokens(line.refunded), line.reason);
    }
    println!();
    println!(
        "{} sessions, {} of which had to wait; {} Wh drawn, {} Wh settled",
        report.sessions_settled, report.sessions_queued, report.energy_drawn_wh, report.energy_settled_wh
    );
    println!(
        "{} sold; {} locked = {} paid + {} refunded; {} still held",
        tokens(money.sold),
        tokens(money.escrowed),
        tokens(money.paid),
        tokens(money.refunded),
        tokens(money.held_at_end)
    );
    println!(
        "{} blocks and {} transactions audited: {}; tokens conserved: {}; {} s",
        report.audit.blocks,
        report.audit.transactions,
        if report.audit.ok { "everything is true" } else { "NOT TRUE" },
        if report.conservation_ok { "yes" } else { "NO" },
        report.wall_seconds
    );
}

/// Says where to look, and waits to be interrupted.
async fn stay(garage: &Garage, stays: &AtomicBool) -> anyhow::Result<()> {
    let node = &garage.lines.each[0].node;
    let url = node.api_url();
    println!();
    println!("The node stays up, its clock at {}, until you press Ctrl-C. Look at:", date_time(garage.now_ms));
    println!("  watt --node {url} chain status");
    println!("  watt --node {url} session list --everyone");
    println!("  watt --node {url} audit replay --node {url}");
    println!("  {url}/api/v1/status   /blocks   /sessions   /totals; all of it, to be tried: {url}/docs");
    println!("  {}  (data directory)", node.dir().display());
    // It listens before it says so, so that no Ctrl-C is lost.
    let mut interrupts = signal(SignalKind::interrupt()).context("waiting for Ctrl-C")?;
    stays.store(true, Ordering::Relaxed);
    interrupts.recv().await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_evening_and_another_seed_another() {
        assert_eq!(evening(1), evening(1));
        assert_ne!(evening(1), evening(2));
    }

    #[test]
    fn in_every_evening_more_cars_are_there_than_places_and_everyone_comes_within_the_first_hours() {
        for seed in 0..200 {
            let visits = evening(seed);
            let early = visits.iter().filter(|visit| visit.source.plug_in_ms < EVENING_MS + 40 * MINUTE_MS).count();
            assert!(early > PLACES as usize, "seed {seed}");
            for visit in &visits {
                assert!(visit.source.plug_out_ms > visit.source.plug_in_ms, "seed {seed}");
                assert!(visit.source.plug_in_ms < EVENING_MS + 5 * 60 * MINUTE_MS, "seed {seed}");
            }
        }
    }
}
