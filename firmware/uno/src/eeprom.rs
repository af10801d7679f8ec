//! The EEPROM: 1,024 bytes, 3.4 ms a write.

use core::arch::asm;

use firmware_core::{Eeprom, MEMORY_LEN};

use crate::cpu::{Register, without_interrupts};

const EECR: Register = Register::new(0x3f);
const EEDR: Register = Register::new(0x40);
const EEARL: Register = Register::new(0x41);
const EEARH: Register = Register::new(0x42);

const READ: u8 = 1;
const WRITING: u8 = 2;

/// The memory.
#[derive(Clone, Copy, Debug)]
pub struct OnChipEeprom;

impl OnChipEeprom {
    fn wait(self) {
        while EECR.read() & WRITING != 0 {}
    }

    fn select(self, address: u16) {
        let [low, high] = address.to_le_bytes();
        EEARH.write(high);
        EEARL.write(low);
    }
}

impl Eeprom for OnChipEeprom {
    fn read(&mut self, address: u16) -> u8 {
        if address >= MEMORY_LEN {
            return 0xff;
        }
        self.wait();
        self.select(address);
        EECR.write(READ);
        EEDR.read()
    }

    fn is_ready(&mut self) -> bool {
        EECR.read() & WRITING == 0
    }

    fn start_write(&mut self, address: u16, value: u8) {
        if address >= MEMORY_LEN {
            return;
        }
        self.wait();
        without_interrupts(|| {
            self.select(address);
            EEDR.write(value);
            // SAFETY: sets two bits of EECR (I/O address 0x1f): the write must follow its permission within four cycles, which only fixed instructions ensure.
            unsafe { asm!("sbi 0x1f, 2", "sbi 0x1f, 1") };
        });
    }
}
