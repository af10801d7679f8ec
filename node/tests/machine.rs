//! Machines that go wrong under a real `wattd`: clocks that jump, disks that are full or read-only, logs that are cut. A word, and nothing lost.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

mod wattd;

use std::{
    fs,
    time::{Duration, Instant},
};

use wattd::{
    Home, Outcome, PATIENCE, Running, federate,
    machine::{FULL, Machine, READ_ONLY},
};

const HOUR_S: i64 = 3_600;

/// Sells as long as the node takes it; gives how many sales were acknowledged, its exit code and its words.
fn sell_until_it_ends(home: &Home, running: &mut Running<'_>, first: u64) -> (u64, i32, String) {
    let mut sale = first;
    let until = Instant::now() + PATIENCE;
    loop {
        let answer = home.http("POST", "/api/v1/transactions?wait=committed&timeout_ms=2000", home.sale(sale).bytes());
        if answer.is_some_and(|(status, _)| status == 200) {
            sale += 1;
        } else {
            // A node that closes its databases refuses connections at once: hundreds of them take it less time than it needs to end.
            std::thread::sleep(Duration::from_millis(10));
        }
        if let Some((code, text)) = running.ended() {
            return (sale - 1, code, text);
        }
        assert!(Instant::now() < until, "it goes on: {}", home.logged());
    }
}

fn assert_says(text: &str, words: &[&str]) {
    let missing: Vec<_> = words.iter().filter(|word| !text.contains(**word)).collect();
    assert!(missing.is_empty() && !text.contains("panicked"), "{missing:?} is not in: {text}");
}

fn refused(outcome: Outcome, expected: i32, words: &[&str]) {
    let Outcome::Refused { code, text } = outcome else { panic!("it starts: {outcome:?}") };
    assert_eq!(code, expected, "{text}");
    assert_says(&text, words);
}

#[test]
fn a_clock_that_jumps_an_hour_stops_a_node_alone_with_a_word_and_nothing_is_lost() {
    let home = Home::found();
    let machine = Machine::of(&home);
    let mut running = home.start_on(&machine, &[]);
    home.sell(1);

    // Back: the newest block is in the future.
    machine.set_clock(-HOUR_S);
    let (sold, code, text) = sell_until_it_ends(&home, &mut running, 2);
    assert_eq!((sold, code), (1, 1), "{text}");
    assert_says(&text, &["before the newest block", "set it right and start again", "wait until"]);
    refused(home.outcome_on(&machine, &[]), 1, &["before the newest block", "set it right and start again", "wait until"]);
    machine.set_clock(0);
    let mut running = home.start_on(&machine, &[]);
    assert_eq!(home.next_sale(), 2);
    home.sell(2);

    // Ahead, and no option helps until somebody says that the clock is right.
    machine.set_clock(HOUR_S + 60);
    let (sold, code, text) = sell_until_it_ends(&home, &mut running, 3);
    assert_eq!((sold, code), (2, 1), "{text}");
    assert_says(&text, &["the clock jumped", "set it right", "--confirm-clock"]);
    refused(home.outcome_on(&machine, &[]), 1, &["more than an hour after the newest block", "--confirm-clock"]);
    machine.set_clock(0);
    let mut running = home.start_on(&machine, &[]);
    assert_eq!(home.next_sale(), 3);

    // Less than an hour ahead is believed, and the way back is told: blocks cannot be made earlier than they are.
    machine.set_clock(HOUR_S - 600);
    home.sell(3);
    machine.set_clock(0);
    let (sold, code, text) = sell_until_it_ends(&home, &mut running, 4);
    assert_eq!((sold, code), (3, 1), "{text}");
    assert_says(&text, &["before the newest block", "wait until"]);
    machine.set_clock(HOUR_S - 600);
    let running = home.start_on(&machine, &[]);
    assert_eq!(home.next_sale(), 4);
    running.stop();
}

#[test]
fn one_of_four_whose_clock_is_an_hour_off_stops_with_a_word_and_the_others_go_on() {
    let homes = federate(4);
    let machine = Machine::of(&homes[3]);
    let others: Vec<Running<'_>> = homes[..3].iter().map(|home| home.start(&[])).collect();
    let mut running = homes[3].start_on(&machine, &[]);
    homes.iter().for_each(|home| home.sell(1));

    let until_it_ends = |running: &mut Running<'_>| {
        loop {
            if let Some((code, text)) = running.ended() {
                assert_eq!(code, 1, "{text}");
                return text;
            }
            let seller = &homes[usize::try_from(homes[0].height() % 3).unwrap()];
            seller.sell(seller.next_sale());
            assert!(homes[0].height() < 400, "it goes on: {}", homes[3].logged());
        }
    };
    let agreed = || {
        let height = homes[0].height();
        homes.iter().for_each(|home| home.reach(height));
        let roots: Vec<String> = homes.iter().map(|home| home.state_root(height)).collect();
        assert!(roots.iter().all(|root| *root == roots[0]), "{height}: {roots:?}");
    };

    // While it runs: just under the jump that it notices by itself, just over it, and back.
    for (offset_s, words) in [
        (HOUR_S - 30, &["set this clock right (NTP)", "start again"][..]),
        (HOUR_S + 30, &["the clock jumped", "set it right"][..]),
        (-HOUR_S, &["before the newest block", "set it right"][..]),
    ] {
        machine.set_clock(offset_s);
        let text = until_it_ends(&mut running);
        assert_says(&text, words);
        machine.set_clock(0);
        running = homes[3].start_on(&machine, &[]);
        homes[3].sell(homes[3].next_sale());
        agreed();
    }
    running.stop();

    // At its start: an hour behind is refused, an hour ahead is shown by the others' blocks.
    machine.set_clock(-HOUR_S);
    refused(homes[3].outcome_on(&machine, &[]), 1, &["before the newest block", "set it right"]);
    machine.set_clock(HOUR_S);
    let mut running = homes[3].start_on(&machine, &[]);
    let text = until_it_ends(&mut running);
    assert_says(&text, &["set this clock right (NTP)", "start again"]);
    machine.set_clock(0);
    let last = homes[3].start_on(&machine, &[]);
    homes[3].sell(homes[3].next_sale());
    agreed();
    drop((others, last));
}

#[test]
fn a_full_and_a_read_only_disk_stop_a_node_with_a_word_and_nothing_is_lost() {
    let home = Home::found();
    let machine = Machine::of(&home);
    let mut sold = 0;
    for (error, words) in [
        (FULL, &["No space left", "make room and start again", "nothing that was committed is lost"][..]),
        (READ_ONLY, &["Read-only", "make it writable and start again", "nothing that was committed is lost"][..]),
    ] {
        let mut running = home.start_on(&machine, &[]);
        // What was decided and not yet stored may be committed at the next start.
        let before = home.next_sale();
        assert!(before > sold, "{before} after {sold}");
        home.sell(before);
        sold = before;
        machine.set_disk(error);
        let (last, code, text) = sell_until_it_ends(&home, &mut running, sold + 1);
        assert_eq!((last, code), (sold, 1), "nothing is acknowledged that is not stored: {text}");
        assert_says(&text, words);
        // Whichever part of the node looks at its files first at the next start.
        refused(home.outcome_on(&machine, &[]), 1, &[words[0]]);
        machine.set_disk(0);
    }
    let running = home.start_on(&machine, &[]);
    assert!(home.next_sale() > sold);
    home.sell(home.next_sale());
    running.stop();
}

#[test]
fn a_log_of_consensus_cut_at_any_place_is_told_and_no_block_is_lost() {
    let home = Home::found();
    let running = home.start(&[]);
    (1..=4).for_each(|sale| home.sell(sale));
    let height = home.height();
    running.kill();
    let log = home.data.wal().join("wal");
    let whole = fs::read(&log).unwrap();
    let (mut told, mut told_cut) = (0, 0);
    for part in 0..12 {
        let length = whole.len() * part / 12;
        fs::write(&log, &whole[..length]).unwrap();
        match home.outcome(&[]) {
            Outcome::Refused { code, text } => {
                assert_eq!(code, 3, "{length} of {}: {text}", whole.len());
                assert_says(&text, &["wal/wal", "--new-consensus-log"]);
                told += 1;
            }
            Outcome::Started { height: found } => {
                assert!(found >= height, "{length} of {}: {found} of {height} blocks", whole.len());
                told_cut += usize::from(home.logged().contains("in the middle of an entry"));
            }
        }
        if part == 11 {
            assert!(told > 0 && told_cut > 0, "{told} refused, {told_cut} told as cut of {} bytes", whole.len());
        }
    }
    let running = home.start(&["--new-consensus-log"]);
    assert!(home.height() >= height && home.next_sale() == 5);
    running.stop();
}
