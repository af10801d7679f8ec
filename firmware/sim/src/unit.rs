//! A unit on the bench: provisioned EEPROM, program, garage; runs for so long, is cut from power, and is looked at.

use std::path::PathBuf;

use firmware_core::{Calibration, DeviceId, Host, Parts, Provision};
use rand::{Rng as _, rngs::StdRng};

use crate::{
    CYCLES_PER_MS,
    avr::{Avr, EEPROM_LEN},
    garage::Garage,
};

/// The device number of units here.
pub const DEVICE: DeviceId = DeviceId(0x00c0_ffee);
/// Their key.
pub const KEY: [u8; 32] = [0x5a; 32];
/// The server that they are provisioned with.
pub const SERVER: &str = "gateway:8421";
/// The EEPROM writes a byte in so many cycles.
const WRITE_CYCLES: u64 = 54_400;

/// A program that `./dev firmware` has built: `unit` or `probe`. The folder is that of the build, or the one in `FIRMWARE_UNO`.
#[must_use]
pub fn program(name: &str) -> PathBuf {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../uno/target/avr-none/release");
    let folder = std::env::var_os("FIRMWARE_UNO").map_or_else(|| PathBuf::from(default), PathBuf::from);
    folder.join(format!("{name}.elf"))
}

/// A unit with everything but a plug contact.
#[must_use]
pub fn provision() -> Provision {
    let parts = Parts::RELAY.and(Parts::CARD_READER).and(Parts::THERMOMETER);
    Provision { device: DEVICE, key: KEY, parts, calibration: Calibration::SCT_013 }
}

/// The EEPROM of a unit that was provisioned and has never started.
#[must_use]
pub fn blank(provision: &Provision) -> Vec<u8> {
    let server = Host::new(SERVER).expect("a host of plain characters");
    let record = provision.record("garage", "a secret of the garage", &server).expect("names that fit");
    let mut eeprom = vec![0xff; EEPROM_LEN];
    eeprom[..record.len()].copy_from_slice(&record);
    eeprom
}

/// A unit under power.
#[derive(Debug)]
pub struct Bench {
    avr: Avr<Garage>,
}

impl Bench {
    /// Gives power to a unit with this EEPROM in this garage.
    #[must_use]
    pub fn power(eeprom: &[u8], garage: Garage) -> Self {
        let mut avr = Avr::new(&program("unit"), garage);
        avr.load_eeprom(eeprom);
        Self { avr }
    }

    /// The garage.
    pub fn garage(&mut self) -> &mut Garage {
        self.avr.devices()
    }

    /// Ms since power came.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        self.avr.cycle() / CYCLES_PER_MS
    }

    /// Cycles since power came.
    #[must_use]
    pub fn cycle(&self) -> u64 {
        self.avr.cycle()
    }

    /// Runs for so many ms.
    pub fn run_ms(&mut self, ms: u64) {
        let until = self.avr.cycle() + ms * CYCLES_PER_MS;
        self.avr.run_until(until);
    }

    /// Runs until the garage is as wanted, at most `limit_ms`; gives whether it came to that. Looked at every 10 ms.
    pub fn run_until(&mut self, limit_ms: u64, mut wanted: impl FnMut(&Garage) -> bool) -> bool {
        for _ in 0..limit_ms.div_ceil(10) {
            if wanted(self.avr.devices()) {
                return true;
            }
            self.run_ms(10);
        }
        wanted(self.avr.devices())
    }

    /// The modem restarts by itself.
    pub fn restart_modem(&mut self) {
        let cycle = self.avr.cycle();
        self.garage().modem.restart(cycle);
    }

    /// The network goes away or comes back.
    pub fn set_in_reach(&mut self, in_reach: bool) {
        let cycle = self.avr.cycle();
        self.garage().modem.set_in_reach(in_reach, cycle);
    }

    /// The supply sags for a moment.
    pub fn brown_out(&mut self) {
        self.avr.brown_out();
    }

    /// The EEPROM as it is.
    #[must_use]
    pub fn eeprom(&self) -> Vec<u8> {
        self.avr.eeprom()
    }

    /// Power goes: gives the EEPROM, in which a byte that was just being written holds anything.
    #[must_use]
    pub fn cut(self, random: &mut StdRng) -> Vec<u8> {
        let mut eeprom = self.avr.eeprom();
        if let Some(address) = self.avr.eeprom_write_under_way() {
            // First it is erased, then written: what the cells hold in between is anybody's guess.
            eeprom[address] = match random.random_range(0..4) {
                0 => 0xff,
                1 => eeprom[address],
                _ => random.random(),
            };
        }
        eeprom
    }

    /// Whether a byte of the EEPROM is being written.
    #[must_use]
    pub fn is_writing(&self) -> bool {
        self.avr.eeprom_write_under_way().is_some()
    }

    /// Runs until the EEPROM is being written, at most `limit_ms`, and a random part of a few bytes further; gives whether it came to that.
    pub fn run_into_write(&mut self, limit_ms: u64, random: &mut StdRng) -> bool {
        let limit = self.avr.cycle() + limit_ms * CYCLES_PER_MS;
        while !self.is_writing() {
            if self.avr.cycle() >= limit {
                return false;
            }
            let next = self.avr.cycle() + WRITE_CYCLES / 4;
            self.avr.run_until(next);
        }
        let until = self.avr.cycle() + random.random_range(0..20 * WRITE_CYCLES);
        self.avr.run_until(until);
        true
    }

    /// Bytes of RAM ever used: static ones, and the stack at its deepest.
    #[must_use]
    pub fn ram_used(&self) -> usize {
        self.avr.ram_used()
    }

    /// Stops the timer that samples: what a fault of the processor would do.
    pub fn stop_timer(&mut self) {
        self.avr.poke(0x6f, 0);
    }

    /// A byte of the processor's data space.
    #[must_use]
    pub fn peek(&self, address: u16) -> u8 {
        self.avr.pins().peek(address)
    }
}
