//! Runs the protocol's golden vectors on the target: what is sent over the line is parsed, sealed again or hashed here, and the outcome goes back.
//!
//! A request is a letter, a length of two bytes, little endian, and so many bytes; the answer has the same form. It is never flashed on a unit in use: it lets whoever
//! holds the line choose the key. An emulator sees the cycles between the marks.
#![no_std]
#![no_main]

use core::cell::UnsafeCell;

use firmware_core::{
    Config, ConfigRequest, Keys, MAX_MESSAGE_LEN, ProtocolError, Readings, ReadingsAnswer, Serial as _, device_of, keyed_hash,
};
use firmware_uno::{cpu, pins, sampling, serial};

struct Buffer(UnsafeCell<[u8; MAX_MESSAGE_LEN]>);

// SAFETY: only `main` uses it, once.
unsafe impl Sync for Buffer {}

static MESSAGE: Buffer = Buffer(UnsafeCell::new([0; MAX_MESSAGE_LEN]));

/// Called by the C runtime's start-up.
#[unsafe(no_mangle)]
pub extern "C" fn main() -> ! {
    pins::set_up();
    sampling::set_up();
    serial::set_up();
    cpu::enable_interrupts();
    // SAFETY: `main` is called once.
    let buffer = unsafe { &mut *MESSAGE.0.get() };
    let mut line = serial::Line;
    let mut key = [0; 32];
    let mut keys = Keys::derive(&key);
    loop {
        let letter = next(&mut line);
        let length = u16::from_le_bytes([next(&mut line), next(&mut line)]);
        let message: &mut [u8] = buffer.get_mut(..usize::from(length)).unwrap_or_default();
        for byte in message.iter_mut() {
            *byte = next(&mut line);
        }
        match letter {
            b'k' => {
                if let Some(new) = message.first_chunk::<32>() {
                    key = *new;
                    keys = Keys::derive(&key);
                }
                answer(&mut line, 0, &[]);
            }
            b'h' => {
                cpu::mark(1);
                let hash = keyed_hash(&key, message);
                cpu::mark(2);
                outcome(&mut line, hash.as_ref().map(|hash| hash.as_slice()));
            }
            b'1' => {
                let again = ConfigRequest::parse(message, &keys).and_then(|request| request.seal(&keys));
                outcome(&mut line, again.as_ref().map(|bytes| bytes.as_slice()));
            }
            b'2' => {
                let again = Config::parse(message, &keys).and_then(|(head, config)| config.seal(&head, &keys));
                outcome(&mut line, again.as_ref().map(|bytes| bytes.as_slice()));
            }
            b'3' => {
                let read = Readings::parse(message, &keys);
                let count = read.map(|readings| {
                    let mut sum = 0_u64;
                    for (number, sample) in readings.samples() {
                        let fields = sample.at_ms ^ sample.register_wh.rotate_left(17) ^ u64::from(number).rotate_left(40);
                        sum = sum.rotate_left(1) ^ fields ^ u64::from(sample.power_w) ^ u64::from(sample.flags.bits()) << 32;
                    }
                    sum.to_le_bytes()
                });
                outcome(&mut line, count.as_ref().map(|sum| sum.as_slice()));
            }
            b'4' => {
                cpu::mark(1);
                let read = ReadingsAnswer::parse(message, &keys);
                cpu::mark(2);
                let again = read.and_then(|(head, answer)| answer.seal(&head, &keys));
                outcome(&mut line, again.as_ref().map(|bytes| bytes.as_slice()));
            }
            b'd' => {
                let device = device_of(message).map(|device| device.0.to_le_bytes());
                outcome(&mut line, device.as_ref().map(|bytes| bytes.as_slice()));
            }
            _ => answer(&mut line, 0xff, &[]),
        }
    }
}

fn outcome(line: &mut serial::Line, result: Result<&[u8], &ProtocolError>) {
    match result {
        Ok(bytes) => answer(line, 0, bytes),
        Err(error) => answer(line, error.code(), &[]),
    }
}

/// The code of the error or 0, the length, the bytes.
fn answer(line: &mut serial::Line, code: u8, bytes: &[u8]) {
    line.send(code);
    for byte in (bytes.len() as u16).to_le_bytes().iter().chain(bytes) {
        line.send(*byte);
    }
}

fn next(line: &mut serial::Line) -> u8 {
    loop {
        if let Some(byte) = line.receive() {
            return byte;
        }
    }
}
