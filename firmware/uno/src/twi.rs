//! The I²C bus as its only master, 100 kHz, by waiting: a card reader's frame takes 3 ms.

use embedded_hal::i2c::{ErrorKind, ErrorType, I2c, NoAcknowledgeSource, Operation};

use crate::cpu::Register;

const TWBR: Register = Register::new(0xb8);
const TWSR: Register = Register::new(0xb9);
const TWDR: Register = Register::new(0xbb);
const TWCR: Register = Register::new(0xbc);

const DONE: u8 = 0x80;
const ACKNOWLEDGE: u8 = 0x40;
const START: u8 = 0x20;
const STOP: u8 = 0x10;
const ON: u8 = 0x04;

const STARTED: u8 = 0x08;
const STARTED_AGAIN: u8 = 0x10;
const ADDRESS_WRITE_ACKNOWLEDGED: u8 = 0x18;
const BYTE_ACKNOWLEDGED: u8 = 0x28;
const ADDRESS_READ_ACKNOWLEDGED: u8 = 0x40;

/// A byte takes 90 µs; a bus that hangs is given up after about ten of them.
const PATIENCE: u16 = 2_000;

/// The bus.
#[derive(Debug)]
pub struct Bus(());

impl Bus {
    /// Sets the bus up.
    pub fn new() -> Self {
        TWSR.write(0);
        TWBR.write(72);
        Self(())
    }

    fn act(&mut self, bits: u8) -> Result<u8, ErrorKind> {
        TWCR.write(DONE | ON | bits);
        // A stop is over when its bit is; everything else when this one comes.
        let over = if bits == STOP { 0 } else { DONE };
        for _ in 0..PATIENCE {
            if TWCR.read() & (DONE | STOP) == over {
                return Ok(TWSR.read() & 0xf8);
            }
        }
        // Off and on again frees the pins.
        TWCR.write(0);
        Err(ErrorKind::Bus)
    }

    fn start(&mut self, address: u8, read: bool) -> Result<(), ErrorKind> {
        let status = self.act(START)?;
        if status != STARTED && status != STARTED_AGAIN {
            return Err(ErrorKind::ArbitrationLoss);
        }
        TWDR.write(address << 1 | u8::from(read));
        let wanted = if read { ADDRESS_READ_ACKNOWLEDGED } else { ADDRESS_WRITE_ACKNOWLEDGED };
        if self.act(0)? == wanted { Ok(()) } else { Err(ErrorKind::NoAcknowledge(NoAcknowledgeSource::Address)) }
    }

    fn run(&mut self, address: u8, operations: &mut [Operation<'_>]) -> Result<(), ErrorKind> {
        for operation in operations {
            match operation {
                Operation::Write(bytes) => {
                    self.start(address, false)?;
                    for byte in *bytes {
                        TWDR.write(*byte);
                        if self.act(0)? != BYTE_ACKNOWLEDGED {
                            return Err(ErrorKind::NoAcknowledge(NoAcknowledgeSource::Data));
                        }
                    }
                }
                Operation::Read(bytes) => {
                    self.start(address, true)?;
                    let mut left = bytes.len();
                    for byte in bytes.iter_mut() {
                        left -= 1;
                        // The last one is not acknowledged: the other side stops.
                        self.act(if left > 0 { ACKNOWLEDGE } else { 0 })?;
                        *byte = TWDR.read();
                    }
                }
            }
        }
        Ok(())
    }
}

impl Default for Bus {
    fn default() -> Self {
        Self::new()
    }
}

impl ErrorType for Bus {
    type Error = ErrorKind;
}

impl I2c for Bus {
    fn transaction(&mut self, address: u8, operations: &mut [Operation<'_>]) -> Result<(), ErrorKind> {
        let result = self.run(address, operations);
        // What follows at once must not begin before it is over; a bus that does not even stop was given up.
        let _ = self.act(STOP);
        result
    }
}
