//! The ledger against a model of it: tens of thousands of valid and invalid calls, predicted one by one.
//!
//! [`generator`] thinks of what people might send, [`ledger`] (with [`money`], [`sessions`] and [`prices`]) predicts what becomes of it, `contracts` builds
//! and judges the blocks, and after every block both must agree on every verdict, event and record; [`checks`] holds the state to its sums and its proofs.
//! The model shares calls, ids and records with the code under test, and no rule.
//!
//! The seeds are fixed, so that a run is the same everywhere. Another one: `COMMONWATT_SEED=12345 cargo test -p contracts --test model -- --nocapture`;
//! with that variable one run is made, of that seed. Each run prints its seed and the codes that it has met.

mod checks;
mod generator;
mod ledger;
mod money;
mod prices;
mod run;
mod sessions;

use std::collections::BTreeMap;

use chain::code::Code;

/// Every code is met at least so often.
const AT_LEAST: u32 = 20;

/// What is run where nobody asks for a seed.
const SEEDS: [u64; 2] = [1, 2];

#[test]
#[expect(clippy::disallowed_methods, reason = "a seed from outside chooses the run and nothing else")]
fn the_ledger_does_what_the_model_predicts_and_every_code_is_met() {
    let seeds = match std::env::var("COMMONWATT_SEED") {
        Ok(seed) => vec![seed.parse().expect("COMMONWATT_SEED is a whole number")],
        Err(_) => SEEDS.to_vec(),
    };
    let mut met: BTreeMap<Code, u32> = BTreeMap::new();
    for seed in seeds {
        println!("seed {seed}");
        for (code, count) in run::run(seed) {
            *met.entry(code).or_default() += count;
        }
    }
    for code in Code::ALL {
        println!("{:>3} {:<24} {:>6}", code.number(), code.slug(), met.get(code).copied().unwrap_or(0));
    }
    let rare: Vec<&Code> = Code::ALL.iter().filter(|code| met.get(code).copied().unwrap_or(0) < AT_LEAST).collect();
    assert!(rare.is_empty(), "met fewer than {AT_LEAST} times: {rare:?}");
}
