//! The unit: sets the board up, starts the station, and goes round. All decisions are `firmware_core::Station`'s.
#![no_std]
#![no_main]

use core::cell::UnsafeCell;

use firmware_core::{Dht11, Hardware, Millis as _, Parts, Pn532, Station};
use firmware_uno::{cpu, eeprom::OnChipEeprom, pins, sampling, serial, twi};

/// How many samples wait for the gateway: 16 bytes each.
const SAMPLES: usize = 7;

type Board = Hardware<sampling::Counter, sampling::Sampled, OnChipEeprom, serial::Line, pins::RelayPin>;

/// The station has its place at compile time: it is too large for the stack.
struct Place(UnsafeCell<Station<SAMPLES>>);

// SAFETY: only `main` uses it, once; no interrupt does.
unsafe impl Sync for Place {}

static STATION: Place = Place(UnsafeCell::new(Station::new()));

/// Called by the C runtime's start-up.
#[unsafe(no_mangle)]
pub extern "C" fn main() -> ! {
    pins::set_up();
    cpu::start_watchdog();
    sampling::set_up();
    serial::set_up();
    cpu::enable_interrupts();
    // SAFETY: `main` is called once, so this is the only reference ever.
    let station = unsafe { &mut *STATION.0.get() };
    let mut hardware =
        Hardware { millis: sampling::Counter, adc: sampling::Sampled, eeprom: OnChipEeprom, serial: serial::Line, relay: pins::RelayPin };
    let started = station.start(&mut hardware, pins::switches(), pins::button());
    let mut thermometer = Dht11::new(pins::SensorPin, cpu::Delay);
    let mut reader = Pn532::new(twi::Bus::new());
    loop {
        if started.is_ok() {
            go_round(station, &mut hardware, &mut thermometer, &mut reader);
        } else {
            // Not provisioned, or no memory left: nothing is ever switched on.
            pins::open_relay();
        }
        if sampling::take_alive() {
            cpu::feed_watchdog();
        }
        cpu::sleep_unless(sampling::take_awake);
    }
}

/// Everything once. Not part of `main`, whose variables lie under the whole of the start as well.
#[inline(never)]
fn go_round(
    station: &mut Station<SAMPLES>,
    hardware: &mut Board,
    thermometer: &mut Dht11<pins::SensorPin, cpu::Delay>,
    reader: &mut Pn532<twi::Bus>,
) {
    let now_ms = hardware.millis.now_ms();
    station.contacts(hardware, pins::button(), pins::plug());
    if station.parts().has(Parts::THERMOMETER)
        && let Some(climate) = thermometer.poll(now_ms)
    {
        station.temperature(climate.map(|climate| climate.temperature_dc));
    }
    if station.parts().has(Parts::CARD_READER)
        && let Ok(Some(card)) = reader.poll(now_ms)
    {
        station.card(now_ms, card);
    }
    station.step(hardware);
}
