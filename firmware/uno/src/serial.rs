//! The line to the modem: 115,200 baud (2.1 % off at 16 MHz, as on every Uno), received by interrupt into a ring, sent by waiting.

use core::cell::UnsafeCell;

use firmware_core::{Serial, Text};

use crate::cpu::{Register, without_interrupts};
use crate::{flash, sampling};

const UCSR0A: Register = Register::new(0xc0);
const UCSR0B: Register = Register::new(0xc1);
const UCSR0C: Register = Register::new(0xc2);
const UBRR0L: Register = Register::new(0xc4);
const UBRR0H: Register = Register::new(0xc5);
const UDR0: Register = Register::new(0xc6);

const CAN_SEND: u8 = 0x20;
/// 5 ms of bytes: longer than the main loop is between two looks while an answer comes.
const RING: usize = 64;

struct Ring {
    bytes: [u8; RING],
    head: u8,
    tail: u8,
}

struct Cell(UnsafeCell<Ring>);

// SAFETY: there is one core; the interrupt handler cannot be interrupted, and everyone else has interrupts off.
unsafe impl Sync for Cell {}

static SHARED: Cell = Cell(UnsafeCell::new(Ring { bytes: [0; RING], head: 0, tail: 0 }));

/// The line on.
pub fn set_up() {
    // Double speed before the divider, which the emulator reckons with once.
    UCSR0A.write(0x02);
    UBRR0H.write(0);
    UBRR0L.write(16);
    // 8N1, receiver and its interrupt and transmitter on.
    UCSR0C.write(0x06);
    UCSR0B.write(0x98);
}

/// A byte was received. One that finds the ring full is lost: its message then fails its check.
///
/// # Safety
/// Only the processor calls this, with interrupts off.
#[unsafe(no_mangle)]
pub unsafe extern "avr-interrupt" fn __vector_18() {
    let byte = UDR0.read();
    // SAFETY: as for the other interrupt.
    let ring = unsafe { &mut *SHARED.0.get() };
    let next = (ring.head + 1) % RING as u8;
    if next != ring.tail {
        if let Some(room) = ring.bytes.get_mut(usize::from(ring.head)) {
            *room = byte;
        }
        ring.head = next;
    }
    sampling::wake_from_interrupt();
}

/// The line.
#[derive(Clone, Copy, Debug)]
pub struct Line;

impl Serial for Line {
    fn receive(&mut self) -> Option<u8> {
        without_interrupts(|| {
            // SAFETY: interrupts are off and nothing here calls anything that comes back.
            let ring = unsafe { &mut *SHARED.0.get() };
            if ring.tail == ring.head {
                return None;
            }
            let byte = ring.bytes.get(usize::from(ring.tail)).copied();
            ring.tail = (ring.tail + 1) % RING as u8;
            byte
        })
    }

    fn send(&mut self, byte: u8) {
        while UCSR0A.read() & CAN_SEND == 0 {}
        UDR0.write(byte);
    }

    fn send_text(&mut self, text: Text) {
        flash::for_each_byte(text, |byte| self.send(byte));
    }

    fn text_length(&self, text: Text) -> u16 {
        flash::length(text)
    }
}
