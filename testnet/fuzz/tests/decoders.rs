//! Every decoder of outside bytes and 200,000 mutated inputs each.

use std::sync::Mutex;

use fuzz::{
    corpus,
    run::{Amount, judge, run},
    targets::{Read, TARGETS},
};

/// Mutated inputs for each target.
const INPUTS: u64 = 200_000;

/// A good input that is refused is an old one: a format has changed. It is told; where none of a target is good any more, the test would test nothing.
#[test]
fn good_inputs_are_read() {
    for target in TARGETS {
        let items = corpus::read(target).unwrap_or_else(|error| panic!("{error:#}"));
        let mut good = 0;
        for (name, input) in &items {
            match judge(target, input) {
                Ok(Read::Accepted) => good += 1,
                Ok(Read::Refused(kind)) => {
                    println!("{} {name}: refused ({kind})", target.name)
                }
                Err(wrong) => panic!("{} {name}: {wrong}", target.name),
            }
        }
        assert!(good > 0, "none of the {} inputs of {} is read any more: ./dev fuzz --write-corpus", items.len(), target.name);
    }
}

#[test]
fn no_decoder_panics_grows_or_reads_what_it_would_not_write() {
    let seed = match std::env::var("COMMONWATT_SEED") {
        Ok(text) => text.parse().expect("COMMONWATT_SEED is a number"),
        Err(_) => rand::random(),
    };
    println!("seed {seed}");
    let waiting = Mutex::new(TARGETS.iter());
    let failures = Mutex::new(Vec::new());
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                loop {
                    let Some(target) = waiting.lock().expect("nobody panics here").next() else { return };
                    let items: Vec<Vec<u8>> = corpus::read(target).expect("a corpus").into_iter().map(|(_, input)| input).collect();
                    match run(target, &items, seed, 0, Amount::Inputs(INPUTS)) {
                        Ok(report) => {
                            println!(
                                "{:<22} {:>7} read, refused {:?}, {:.1} s",
                                target.name,
                                report.accepted,
                                report.refused,
                                report.took.as_secs_f64()
                            );
                            if report.accepted == 0 || report.accepted == report.inputs {
                                failures
                                    .lock()
                                    .expect("nobody panics here")
                                    .push(format!("{}: {report:?} tests one side alone", target.name));
                            }
                        }
                        Err(failure) => failures.lock().expect("nobody panics here").push(failure.to_string()),
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().expect("nobody panics here");
    assert!(failures.is_empty(), "seed {seed} (COMMONWATT_SEED)\n{}", failures.join("\n"));
}
