//! Machines that go wrong under a real `wattd`: clocks that jump, disks that are full, read-only, slow or hang, logs that are cut, a day without power. A word, and
//! nothing lost.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

mod wattd;

use std::{
    fs,
    time::{Duration, Instant},
};

use wattd::{
    Home, Outcome, PATIENCE, Running, agreed, federate,
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
    refused(home.outcome_on(&machine, &[]), 1, &["more than an hour after the newest block", "older copy", "--confirm-clock"]);
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
    let all: Vec<&Home> = homes.iter().collect();

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
        agreed(&all);
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
    agreed(&all);
    drop((others, last));
}

#[test]
fn a_node_that_stood_still_for_a_day_catches_up_and_its_vote_counts_again() {
    let homes = federate(4);
    let all: Vec<&Home> = homes.iter().collect();
    let machines: Vec<Machine> = homes.iter().map(Machine::of).collect();
    let start = |number: usize| Some(homes[number].start_on(&machines[number], &[]));
    let mut running: Vec<_> = (0..4).map(start).collect();
    homes.iter().for_each(|home| home.sell(1));
    let (stood, _) = agreed(&all);
    running[3].take().unwrap().stop();
    let sell = |turn: u64| homes[usize::try_from(turn % 3).unwrap()].sell(2 + turn / 3);
    let sold = 60;
    (0..sold / 2).for_each(sell);

    // A clock that leaps by a day under a process stops it, so the others are started again on the next day, which nobody has to confirm to them.
    let day_s = 24 * HOUR_S;
    running.iter_mut().take(3).for_each(|process| process.take().unwrap().stop());
    machines.iter().for_each(|machine| machine.set_clock(day_s));
    homes.iter().for_each(|home| home.ahead_s.set(day_s));
    for (number, process) in running.iter_mut().enumerate().take(3) {
        *process = start(number);
    }
    (sold / 2..sold).for_each(sell);
    let (height, _) = agreed(&all[..3]);
    let day = homes[0].block(height).0 - homes[0].block(stood).0;
    assert!(day >= 24 * 3_600_000 && height >= stood + sold, "{stood} to {height} in {day} ms");

    running[3] = start(3);
    homes[3].reach(height);
    agreed(&all);
    // Without it nothing is decided now.
    running[2].take().unwrap().kill();
    let left = [&homes[0], &homes[1], &homes[3]];
    left.iter().for_each(|home| home.sell(home.next_sale()));
    agreed(&left);
    drop(running);
}

#[test]
fn a_slow_disk_loses_nothing_and_neither_stops_the_others_nor_its_own_vote() {
    let homes = federate(4);
    let all: Vec<&Home> = homes.iter().collect();
    let machine = Machine::of(&homes[3]);
    let mut running: Vec<_> = homes[..3].iter().map(|home| Some(home.start(&[]))).collect();
    let slow = homes[3].start_on(&machine, &[]);
    homes.iter().for_each(|home| home.sell(1));
    machine.set_late(Duration::from_millis(300));
    for _ in 0..3 {
        homes.iter().for_each(|home| home.sell(home.next_sale()));
    }
    agreed(&all);

    // Nothing is decided without its vote now, late as it is; then it dies in the midst of writing.
    running[2].take().unwrap().kill();
    let left = [&homes[0], &homes[1], &homes[3]];
    left.iter().for_each(|home| home.sell(home.next_sale()));
    let acknowledged = homes[3].next_sale();
    homes[3].submit(acknowledged, "");
    slow.kill();
    machine.set_late(Duration::ZERO);
    let again = homes[3].start_on(&machine, &[]);
    running[2] = Some(homes[2].start(&[]));
    homes[2].sell(homes[2].next_sale());
    agreed(&all);
    assert!(homes[3].next_sale() >= acknowledged);
    drop((again, running));
}

#[test]
fn a_disk_that_hangs_ends_its_node_with_a_word_and_the_others_go_on() {
    let (homes, alone) = (federate(4), Home::found());
    let all: Vec<&Home> = homes.iter().collect();
    // The log hangs under one of four, and the chain's database under a node alone.
    let log = Machine::with_disk(&homes[3].data.wal());
    let database = Machine::with_disk(&alone.data.database());
    let running: Vec<Running<'_>> = homes[..3].iter().map(|home| home.start(&[])).collect();
    let mut hanging = homes[3].start_on(&log, &[]);
    homes.iter().for_each(|home| home.sell(1));
    let mut hanging_alone = alone.start_on(&database, &[]);
    alone.sell(1);

    let for_ever = Duration::from_secs(3_600);
    log.set_late(for_ever);
    database.set_late(for_ever);
    alone.submit(2, "");
    homes[..3].iter().for_each(|home| home.sell(2));
    for process in [&mut hanging, &mut hanging_alone] {
        let (code, text) = process.until_it_ends();
        assert_eq!(code, 1, "{text}");
        assert_says(&text, &["its disk hangs", "its supervisor starts it anew", "Nothing that was committed is lost"]);
    }

    log.set_late(Duration::ZERO);
    database.set_late(Duration::ZERO);
    let again = homes[3].start_on(&log, &[]);
    homes[3].sell(homes[3].next_sale());
    agreed(&all);
    let alone_again = alone.start_on(&database, &[]);
    assert!(alone.next_sale() >= 2);
    alone.sell(alone.next_sale());
    drop((running, again, alone_again));
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
