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
