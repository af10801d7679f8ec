//! The ledger against a model of it: tens of thousands of valid and invalid calls, predicted one by one.
//!
//! [`generator`] thinks of what people might send, [`ledger`] (with [`money`], [`sessions`], [`mandates`], [`trust`], [`prices`] and [`records`]) predicts what becomes of it,
//! `contracts` builds and judges the blocks, and after every block both must agree on every verdict, event and record; [`checks`] holds the state to its
//! sums and its proofs.
//! The model shares calls, ids and records with the code under test, and no rule.
//!
//! The seeds are fixed, so that a run is the same everywhere. Another one: `COMMONWATT_SEED=12345 cargo test -p contracts --test model -- --nocapture`;
//! with that variable one run is made, of that seed. Each run prints its seed and the codes that it has met.

mod bills;
mod checks;
mod clearing;
mod generator;
mod ledger;
mod mandates;
mod money;
mod prices;
mod records;
mod run;
mod sessions;
mod trust;

use std::collections::BTreeMap;

use chain::{code::Code, record::EndReason};

/// Every code is met at least so often.
const AT_LEAST: u32 = 20;

/// How many kinds of call there are.
const CALLS: usize = 34;

/// How many reasons there are for a session to end, faults one by one.
const ENDS: usize = 15;

/// What is run where nobody asks for a seed.
const SEEDS: [u64; 3] = [1, 2, 3];

/// How often something happened.
#[derive(Debug, Default)]
struct Met {
    /// Refusals: of transactions, calls and readings.
    codes: BTreeMap<Code, u32>,
    /// Calls that took effect, by name.
    calls: BTreeMap<&'static str, u32>,
    /// Settled sessions, by reason.
    ends: BTreeMap<EndReason, u32>,
    /// Bills past their escrow.
    overdrawn: u32,
    /// Vehicles that were full and stayed.
    idle: u32,
    /// Bills with TIME, with PARKING_TIME, and at a least or highest price.
    timed: u32,
    parked: u32,
    bounded: u32,
}

impl Met {
    fn show(&self) {
        for code in Code::ALL {
            println!("{:>3} {:<24} {:>6}", code.number(), code.slug(), self.codes.get(code).copied().unwrap_or(0));
        }
        println!("took effect: {:?}", self.calls);
        println!("sessions: {:?}, of them overdrawn: {}", self.ends, self.overdrawn);
        println!(
            "{} full and plugged in; bills: {} with time, {} with parking, {} bounded",
            self.idle, self.timed, self.parked, self.bounded
        );
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a seed from outside chooses the run and nothing else")]
fn the_ledger_does_what_the_model_predicts_and_every_code_is_met() {
    let seeds = match std::env::var("COMMONWATT_SEED") {
        Ok(seed) => vec![seed.parse().expect("COMMONWATT_SEED is a whole number")],
        Err(_) => SEEDS.to_vec(),
    };
    let mut met = Met::default();
    for seed in seeds {
        println!("seed {seed}");
        run::run(seed, &mut met);
    }
    met.show();
    let code = |code: &Code| met.codes.get(code).copied().unwrap_or(0);
    let rare: Vec<&Code> = Code::ALL.iter().filter(|asked| code(asked) < AT_LEAST).collect();
    assert!(rare.is_empty(), "codes met fewer than {AT_LEAST} times: {rare:?}");
    assert!(met.calls.len() == CALLS && met.calls.values().all(|count| *count >= AT_LEAST), "calls that took effect: {:?}", met.calls);
    assert!(met.ends.len() == ENDS, "ends of sessions: {:?}", met.ends);
    assert!([met.idle, met.timed, met.parked, met.bounded].iter().all(|count| *count >= AT_LEAST), "tariffs of every kind are met");
}
