//! The journal in EEPROM: how much energy was counted, and how often the unit has started, in slots that wear evenly.
//!
//! A slot holds boot number, energy and a CRC-32; neither number ever falls, so the newest record is the greatest, and no order needs to be kept beside them. The
//! next record goes into the slot after the newest, byte by byte, the CRC last, without waiting: a loss of power at any byte leaves the slot damaged and every
//! other one whole. It does not decide how often to write. Called by [`crate::Station`].
//!
//! **A boot number is never used twice**: it is written, and read back, before the first request. Where slots are damaged, what they held may have been the
//! newest, so numbers are skipped: as many as there are slots, doubled for every damaged one. With a slot that stays damaged every start skips, and the doubling
//! keeps the next loss ahead of that: k lost records of steps s are less than one step of s · 2^k. For this every lost number must leave one damaged slot more
//! than its start has found, so a number is written on until a slot has taken it that was not damaged before. What was damaged is written first: a cut then
//! leaves no more damaged slots than there were, and cuts at every start do not use the numbers up. This holds while an older record is left whole; a memory
//! that has lost every one has most likely lost the key as well, and the gateway refuses numbers that it knows.
//!
//! A byte bears 100,000 writes (ATmega328P, section 8.4), a record writes each byte of its slot once at most, so 46 slots bear 4.6 million records.

use crate::board::Eeprom;
use crate::division::is_less;
use crate::memory::{JOURNAL_AT, array, crc32, put};
use crate::wire::Fields;

/// How many slots there are.
pub const SLOTS: u16 = 46;
const SLOT_LEN: u16 = 16;

/// What a record says.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Record {
    /// How often the unit has started.
    pub boot: u32,
    /// The cumulative energy in µJ.
    pub energy_uj: u64,
}

/// No slot keeps what is written into it: the unit must not go on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WornOut;

/// The journal of a unit that has started.
#[derive(Clone, Debug)]
pub struct Journal {
    /// Where the next record goes.
    next: u16,
    newest: Record,
    writing: Option<Writing>,
}

#[derive(Clone, Debug)]
struct Writing {
    record: Record,
    bytes: [u8; 16],
    slot: u16,
    /// The next byte.
    byte: u8,
    /// Slots that did not keep what was written.
    bad: u8,
}

impl Journal {
    /// A journal before [`Journal::start`].
    #[must_use]
    pub const fn new() -> Self {
        Self { next: 0, newest: Record { boot: 0, energy_uj: 0 }, writing: None }
    }

    /// Finds the newest record and writes the one of this start, which it returns once it is safe; waits for the memory, a tenth of a second.
    ///
    /// # Errors
    /// [`WornOut`], also where the numbers are used up.
    #[cfg_attr(target_arch = "avr", inline(never))]
    pub fn start(&mut self, eeprom: &mut impl Eeprom) -> Result<Record, WornOut> {
        let mut damaged = 0_u32;
        for slot in 0..SLOTS {
            match read(eeprom, slot) {
                Slot::Good(record) if !record.is_older(&self.newest) => {
                    self.newest = record;
                    self.next = after(slot);
                }
                Slot::Good(_) | Slot::Blank => {}
                Slot::Damaged => damaged = damaged.wrapping_add(1),
            }
        }
        let mut step = 1_u32;
        if damaged > 0 {
            step = u32::from(SLOTS);
        }
        for _ in 0..damaged {
            step = step.checked_mul(2).ok_or(WornOut)?;
        }
        self.next_boot(eeprom, step)
    }

    /// Takes a further boot number while the unit runs.
    ///
    /// # Errors
    /// As [`Journal::start`].
    pub fn restart(&mut self, eeprom: &mut impl Eeprom, energy_uj: u64) -> Result<Record, WornOut> {
        self.finish(eeprom)?;
        if is_less(&self.newest.energy_uj, &energy_uj) {
            self.newest.energy_uj = energy_uj;
        }
        self.next_boot(eeprom, 1)
    }

    /// Begins to write how much energy there is; [`Journal::step`] goes on with it. While a record is being written a further one is not begun.
    pub fn note(&mut self, energy_uj: u64) {
        if self.writing.is_none() && is_less(&self.newest.energy_uj, &energy_uj) {
            self.begin(Record { energy_uj, ..self.newest });
        }
    }

    /// The newest record that is safe.
    #[must_use]
    pub const fn newest(&self) -> Record {
        self.newest
    }

    /// Whether a record is being written.
    #[must_use]
    pub const fn is_writing(&self) -> bool {
        self.writing.is_some()
    }

    /// Writes the next byte if the memory is ready for it.
    ///
    /// # Errors
    /// [`WornOut`].
    #[cfg_attr(target_arch = "avr", inline(never))]
    pub fn step(&mut self, eeprom: &mut impl Eeprom) -> Result<(), WornOut> {
        let Some(writing) = &mut self.writing else { return Ok(()) };
        if !eeprom.is_ready() {
            return Ok(());
        }
        if u16::from(writing.byte) < SLOT_LEN {
            let value = writing.bytes.get(usize::from(writing.byte)).copied().unwrap_or_default();
            let address = address(writing.slot).wrapping_add(writing.byte.into());
            writing.byte = writing.byte.wrapping_add(1);
            if eeprom.read(address) != value {
                eeprom.start_write(address, value);
            }
            return Ok(());
        }
        if read(eeprom, writing.slot) == Slot::Good(writing.record) {
            self.newest = writing.record;
            self.next = after(writing.slot);
            self.writing = None;
            return Ok(());
        }
        writing.bad = writing.bad.wrapping_add(1);
        writing.byte = 0;
        writing.slot = after(writing.slot);
        if u16::from(writing.bad) >= SLOTS {
            self.writing = None;
            return Err(WornOut);
        }
        Ok(())
    }

    #[cfg_attr(target_arch = "avr", inline(never))]
    fn next_boot(&mut self, eeprom: &mut impl Eeprom, step: u32) -> Result<Record, WornOut> {
        let boot = self.newest.boot.checked_add(step).ok_or(WornOut)?;
        let record = Record { boot, ..self.newest };
        loop {
            let was_damaged = matches!(read(eeprom, self.next), Slot::Damaged);
            self.begin(record);
            self.finish(eeprom)?;
            if !was_damaged {
                return Ok(record);
            }
        }
    }

    fn begin(&mut self, record: Record) {
        self.writing = Some(Writing { record, bytes: record.bytes(), slot: self.next, byte: 0, bad: 0 });
    }

    fn finish(&mut self, eeprom: &mut impl Eeprom) -> Result<(), WornOut> {
        while self.writing.is_some() {
            self.step(eeprom)?;
        }
        Ok(())
    }
}

impl Default for Journal {
    fn default() -> Self {
        Self::new()
    }
}

impl Record {
    #[cfg_attr(target_arch = "avr", inline(never))]
    fn is_older(&self, other: &Self) -> bool {
        self.boot < other.boot || (self.boot == other.boot && is_less(&self.energy_uj, &other.energy_uj))
    }

    #[cfg_attr(target_arch = "avr", inline(never))]
    fn bytes(&self) -> [u8; 16] {
        let mut bytes = [0; 16];
        put(&mut bytes, 0, &self.boot.to_le_bytes());
        put(&mut bytes, 4, &self.energy_uj.to_le_bytes());
        let crc = crc32(bytes.get(..12).unwrap_or_default());
        put(&mut bytes, 12, &crc.to_le_bytes());
        bytes
    }
}

#[derive(PartialEq, Eq)]
enum Slot {
    Good(Record),
    /// Never written.
    Blank,
    Damaged,
}

#[cfg_attr(target_arch = "avr", inline(never))]
fn read(eeprom: &mut impl Eeprom, slot: u16) -> Slot {
    let bytes: [u8; 16] = array(eeprom, address(slot));
    let mut fields = Fields(&bytes);
    let record = Record { boot: fields.u32(), energy_uj: fields.u64() };
    if record.bytes() == bytes {
        return Slot::Good(record);
    }
    if bytes.iter().all(|byte| *byte == 0xff) { Slot::Blank } else { Slot::Damaged }
}

fn after(slot: u16) -> u16 {
    let next = slot.wrapping_add(1);
    if next < SLOTS { next } else { 0 }
}

fn address(slot: u16) -> u16 {
    JOURNAL_AT.wrapping_add(slot.wrapping_mul(SLOT_LEN))
}
