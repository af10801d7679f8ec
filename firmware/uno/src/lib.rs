//! The Arduino Uno's hardware behind the traits of `firmware-core` and embedded-hal: registers, interrupts, memories, pins.
//!
//! The one place with `unsafe`: memory-mapped registers, interrupt handlers and the variables they share with the main loop. It decides nothing; the
//! programs in `bin` and `firmware_core::Station` do. Register numbers and bits: ATmega328P data sheet (Microchip DS40002061), section 30.
#![no_std]
#![feature(abi_avr_interrupt, asm_experimental_arch)]

pub mod cpu;
pub mod eeprom;
pub mod flash;
mod memory;
pub mod pins;
pub mod sampling;
pub mod serial;
pub mod twi;
