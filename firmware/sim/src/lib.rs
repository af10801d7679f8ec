//! The unit's firmware in an emulated ATmega328P, with a garage around it: a car, a current sensor, a modem with real TCP behind it, switches, a thermometer, a card reader.
//!
//! The program is the very file that is flashed. Emulated time stands still while an answer is awaited from a socket, so a busy machine changes no result: what
//! happens depends on the program, the scenario and its seed alone. It knows nothing of the firmware's insides but its memory's size.
//!
//! This crate is under the GPL, version 3 or later, because it links libsimavr; nothing else of the project links it. `./dev firmware` runs its tests.

pub mod avr;
pub mod dht11;
pub mod garage;
pub mod gateway;
pub mod modem;
#[cfg(feature = "federation")]
pub mod node;
pub mod pn532;
pub mod unit;
pub mod wave;

/// Cycles of the processor in a ms.
pub const CYCLES_PER_MS: u64 = 16_000;
