//! Runs the protocol's golden vectors on the target: what is sent over the line is parsed, sealed again or hashed here, and the outcome goes back.
//!
//! A request is a letter, a length of two bytes, little endian, and so many bytes; the answer has the same form. It is never flashed on a unit in use: it lets whoever
//! holds the line choose the key. The emulator's suite runs it and counts the cycles between the marks.
#![no_std]
#![no_main]

use core::cell::UnsafeCell;

use embedded_hal::digital::OutputPin as _;
use firmware_core::{
    CONFIG_ANSWER_LEN, Config, ConfigRequest, Head, Keys, MAX_MESSAGE_LEN, ProtocolError, READINGS_ANSWER_LEN, Readings, ReadingsAnswer,
    Sample, Serial as _, device_of, keyed_hash,
};
use firmware_uno::{cpu, pins, sampling, serial};

struct Buffer(UnsafeCell<[u8; MAX_MESSAGE_LEN]>);

// SAFETY: only `main` uses it, once.
unsafe impl Sync for Buffer {}

static MESSAGE: Buffer = Buffer(UnsafeCell::new([0; MAX_MESSAGE_LEN]));

/// Called by the C runtime's start-up.
#[unsafe(no_mangle)]
pub extern "C" fn main() -> ! {
    cpu::mark(3);
    pins::set_up();
    sampling::set_up();
    serial::set_up();
    cpu::enable_interrupts();
    // SAFETY: `main` is called once.
    let buffer = unsafe { &mut *MESSAGE.0.get() };
    let mut line = serial::Line;
    let mut key = [0; 32];
    loop {
        let letter = next(&mut line);
        let length = u16::from_le_bytes([next(&mut line), next(&mut line)]);
        let message: &mut [u8] = buffer.get_mut(..usize::from(length)).unwrap_or_default();
        for byte in message.iter_mut() {
            *byte = next(&mut line);
        }
        // One function each: together their variables would be deeper than the memory.
        match letter {
            b'k' => {
                key = message.first_chunk().copied().unwrap_or_default();
                answer(&mut line, 0, &[]);
            }
            b'h' => hash(&mut line, &key, message),
            b'1' => config_request(&mut line, &key, message),
            b'2' => config_answer(&mut line, &key, message),
            b'3' => readings(&mut line, &key, message),
            b'4' => readings_answer(&mut line, &key, message),
            b'd' => {
                let device = device_of(message).map(|device| device.0.to_le_bytes());
                outcome(&mut line, device.as_ref().map(|bytes| bytes.as_slice()));
            }
            b'p' => panic_with_closed_relay(),
            _ => answer(&mut line, 0xff, &[]),
        }
    }
}

/// What the unit does when it finds an error of its own while a car charges.
fn panic_with_closed_relay() -> ! {
    cpu::start_watchdog();
    let Ok(()) = pins::RelayPin.set_high();
    panic!("asked for")
}

#[inline(never)]
fn hash(line: &mut serial::Line, key: &[u8; 32], message: &[u8]) {
    cpu::mark(1);
    let hash = keyed_hash(key, message);
    cpu::mark(2);
    outcome(line, hash.as_ref().map(|hash| hash.as_slice()));
}

#[inline(never)]
fn config_request(line: &mut serial::Line, key: &[u8; 32], message: &[u8]) {
    let keys = Keys::derive(key);
    match &ConfigRequest::parse(message, &keys) {
        Ok(request) => again(line, &request.seal(&keys)),
        Err(error) => answer(line, error.code(), &[]),
    }
}

#[inline(never)]
fn config_answer(line: &mut serial::Line, key: &[u8; 32], message: &[u8]) {
    let keys = Keys::derive(key);
    match &Config::parse(message, &keys) {
        Ok((head, config)) => write_config(line, &keys, head, config),
        Err(error) => answer(line, error.code(), &[]),
    }
}

/// Piece by piece: what was parsed, what is sealed and the hash do not fit the stack together.
#[inline(never)]
fn write_config(line: &mut serial::Line, keys: &Keys, head: &Head, config: &Config) {
    begin_answer(line, 0, CONFIG_ANSWER_LEN);
    // What was parsed is in range, and what is not sent the host waits for in vain.
    let _ = config.write(head, keys, &mut |bytes| bytes.iter().for_each(|byte| line.send(*byte)));
}

#[inline(never)]
fn readings(line: &mut serial::Line, key: &[u8; 32], message: &[u8]) {
    let keys = Keys::derive(key);
    match &Readings::parse(message, &keys) {
        Ok(readings) => answer(line, 0, &digest(readings).to_le_bytes()),
        Err(error) => answer(line, error.code(), &[]),
    }
}

/// Apart from the parsing, at whose depth the samples need no room yet.
#[inline(never)]
fn digest(readings: &Readings<'_>) -> u64 {
    let mut sum = 0;
    readings.samples().for_each(|(number, sample)| add(&mut sum, number, &sample));
    sum
}

/// Takes a sample into a sum that shows whether every field was read rightly.
#[inline(never)]
fn add(sum: &mut u64, number: u32, sample: &Sample) {
    let fields = sample.at_ms ^ sample.register_wh.rotate_left(17) ^ u64::from(number).rotate_left(40);
    *sum = sum.rotate_left(1) ^ fields ^ u64::from(sample.power_w) ^ u64::from(sample.flags.bits()) << 32;
}

#[inline(never)]
fn readings_answer(line: &mut serial::Line, key: &[u8; 32], message: &[u8]) {
    let keys = Keys::derive(key);
    cpu::mark(1);
    let read = ReadingsAnswer::parse(message, &keys);
    cpu::mark(2);
    match &read {
        Ok((head, read)) => write_readings_answer(line, &keys, head, read),
        Err(error) => answer(line, error.code(), &[]),
    }
}

#[inline(never)]
fn write_readings_answer(line: &mut serial::Line, keys: &Keys, head: &Head, read: &ReadingsAnswer) {
    begin_answer(line, 0, READINGS_ANSWER_LEN);
    let _ = read.write(head, keys, &mut |bytes| bytes.iter().for_each(|byte| line.send(*byte)));
}

fn again<const N: usize>(line: &mut serial::Line, sealed: &Result<[u8; N], ProtocolError>) {
    match sealed {
        Ok(bytes) => answer(line, 0, bytes),
        Err(error) => answer(line, error.code(), &[]),
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
    begin_answer(line, code, bytes.len());
    for byte in bytes {
        line.send(*byte);
    }
}

fn begin_answer(line: &mut serial::Line, code: u8, length: usize) {
    line.send(code);
    for byte in (length as u16).to_le_bytes() {
        line.send(byte);
    }
}

fn next(line: &mut serial::Line) -> u8 {
    loop {
        if let Some(byte) = line.receive() {
            return byte;
        }
    }
}
