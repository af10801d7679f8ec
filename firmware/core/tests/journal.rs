//! The journal in an EEPROM that loses power at any byte, wears out, and forgets.
#![allow(clippy::unwrap_used, reason = "tests panic to fail")]

use firmware_core::{Eeprom, Journal, Record, SLOTS, WornOut};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

/// Writes so many bytes, then power is gone: the byte under way holds anything, later ones are not written.
struct Memory {
    bytes: Vec<u8>,
    left: u32,
    torn: u8,
    /// Addresses that keep nothing.
    worn: Vec<u16>,
    writes: Vec<u32>,
}

impl Memory {
    fn blank() -> Self {
        Self { bytes: vec![0xff; 1024], left: u32::MAX, torn: 0, worn: Vec::new(), writes: vec![0; 1024] }
    }
}

impl Eeprom for Memory {
    fn read(&mut self, address: u16) -> u8 {
        self.bytes.get(usize::from(address)).copied().unwrap_or(0xff)
    }

    fn is_ready(&mut self) -> bool {
        true
    }

    fn start_write(&mut self, address: u16, value: u8) {
        let place = usize::from(address);
        self.writes[place] += 1;
        match self.left {
            0 => return,
            1 => self.bytes[place] = self.torn,
            _ if self.worn.contains(&address) => {}
            _ => self.bytes[place] = value,
        }
        self.left -= 1;
    }
}

fn finish(journal: &mut Journal, memory: &mut Memory) -> Result<(), WornOut> {
    while journal.is_writing() {
        journal.step(memory)?;
    }
    Ok(())
}

#[test]
fn counts_starts_from_one_and_keeps_energy() {
    let mut memory = Memory::blank();
    let mut journal = Journal::new();
    assert_eq!(journal.start(&mut memory), Ok(Record { boot: 1, energy_uj: 0 }));
    journal.note(5_000_000);
    finish(&mut journal, &mut memory).unwrap();
    assert_eq!(Journal::new().start(&mut memory), Ok(Record { boot: 2, energy_uj: 5_000_000 }));
    journal = Journal::new();
    assert_eq!(journal.start(&mut memory), Ok(Record { boot: 3, energy_uj: 5_000_000 }));
    assert_eq!(journal.restart(&mut memory, 6_000_000), Ok(Record { boot: 4, energy_uj: 6_000_000 }));
}

#[test]
fn a_cut_at_any_byte_keeps_the_record_before_and_repeats_no_number_that_was_used() {
    let seed = 11;
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut memory = Memory::blank();
    let (mut used, mut kept) = (0, 0);
    for round in 0..4_000_u32 {
        memory.left = if round % 3 == 0 { u32::MAX } else { random.random_range(1..40) };
        memory.torn = random.random();
        let mut journal = Journal::new();
        let started = journal.start(&mut memory);
        if memory.left == 0 {
            // Power went before the number was safe: the unit never spoke under it.
            continue;
        }
        let record = started.unwrap();
        assert!(record.boot > used, "round {round}: {} after {used}", record.boot);
        assert!(record.energy_uj >= kept, "round {round}");
        used = record.boot;
        let energy_uj = record.energy_uj + random.random_range(0..1 << 40);
        journal.note(energy_uj);
        let _ = finish(&mut journal, &mut memory);
        kept = if memory.left == 0 { record.energy_uj } else { energy_uj };
    }
}

#[test]
fn losing_the_newest_records_repeats_no_number_even_where_a_slot_stays_damaged() {
    let seed = 12;
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    for _ in 0..200 {
        let mut memory = Memory::blank();
        if random.random() {
            // One slot that never keeps anything, and never reads as blank.
            memory.bytes[288 + 16 * 20] = 0;
            memory.worn = (288 + 16 * 20..288 + 16 * 21).collect();
        }
        let mut used = 0;
        for _ in 0..8 {
            for _ in 0..random.random_range(8..60) {
                let record = Journal::new().start(&mut memory).unwrap();
                assert!(record.boot > used, "{} after {used}", record.boot);
                used = record.boot;
            }
            for _ in 0..random.random_range(0..4) {
                let boot = |slot: &usize| u32::from_le_bytes(memory.bytes[288 + 16 * slot..292 + 16 * slot].try_into().unwrap());
                let newest = (0..usize::from(SLOTS)).filter(|slot| boot(slot) <= used).max_by_key(boot).unwrap();
                memory.bytes[288 + 16 * newest] ^= 0xff;
                memory.bytes[291 + 16 * newest] ^= 0xff;
            }
        }
    }
}

#[test]
fn a_slot_that_keeps_a_record_until_the_next_start_and_then_loses_it_repeats_no_number() {
    // It was damaged, took the number of a start, and was as damaged at the next, which then reckoned as the one before and came to the same number.
    let mut memory = Memory::blank();
    assert_eq!(Journal::new().start(&mut memory).unwrap().boot, 1);
    let slot = 288 + 16;
    memory.bytes[slot] = 0;
    let mut used = 1;
    for start in 0..3 {
        let boot = Journal::new().start(&mut memory).unwrap().boot;
        assert!(boot > used, "start {start}: {boot} after {used}");
        used = boot;
        memory.bytes[slot..slot + 16].fill(0);
    }

    let seed = 13;
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    for _ in 0..200 {
        let mut memory = Memory::blank();
        let worn: Vec<usize> = (0..random.random_range(1..8)).map(|_| random.random_range(0..usize::from(SLOTS))).collect();
        let mut used = Journal::new().start(&mut memory).unwrap().boot;
        for start in 1..200 {
            // Each keeps what it was given over some starts and not over others.
            for slot in worn.iter().filter(|slot| start > 50 || **slot != 0) {
                if random.random() {
                    memory.bytes[288 + 16 * slot + 5] ^= random.random_range(1..=255_u8);
                }
            }
            let record = Journal::new().start(&mut memory).unwrap();
            assert!(record.boot > used, "start {start}: {} after {used} with {worn:?}", record.boot);
            used = record.boot;
        }
    }
}

#[test]
fn power_cuts_at_every_start_do_not_use_the_numbers_up() {
    let seed = 14;
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut memory = Memory::blank();
    Journal::new().start(&mut memory).unwrap();
    for _ in 0..1_000 {
        memory.left = random.random_range(1..16);
        memory.torn = random.random();
        // Whether this one came to its end does not matter here.
        let _ = Journal::new().start(&mut memory);
    }
    memory.left = u32::MAX;
    assert!(Journal::new().start(&mut memory).unwrap().boot < 1_000_000);
}

#[test]
fn wears_all_slots_evenly_and_writes_each_byte_once_a_record() {
    let mut memory = Memory::blank();
    let mut journal = Journal::new();
    journal.start(&mut memory).unwrap();
    for minute in 1..=4_600_u64 {
        journal.note(minute * 276_000_000_123);
        finish(&mut journal, &mut memory).unwrap();
    }
    let most = memory.writes.iter().max().unwrap();
    assert!((100..=101).contains(most), "{most} writes of one byte for 4,601 records in 46 slots");
    assert!(memory.writes[..288].iter().all(|count| *count == 0), "nothing else is touched");
}

#[test]
fn passes_over_worn_slots_and_gives_up_only_when_none_is_left() {
    let mut memory = Memory::blank();
    memory.worn = (288..288 + 16 * 20).collect();
    let mut journal = Journal::new();
    let first = journal.start(&mut memory).unwrap().boot;
    journal.note(77);
    finish(&mut journal, &mut memory).unwrap();
    let again = Journal::new().start(&mut memory).unwrap();
    assert!(again.boot > first && again.energy_uj == 77);
    memory.worn = (288..1024).collect();
    assert_eq!(Journal::new().start(&mut memory), Err(WornOut));
}
