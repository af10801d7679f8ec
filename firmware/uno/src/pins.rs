//! The board's pins: relay, switches, button, plug contact, thermometer.
//!
//! | Arduino | ATmega | what |
//! |---|---|---|
//! | D0, D1 | PD0, PD1 | modem |
//! | D2 … D7 | PD2 … PD7 | switches, on = low, D2 the lowest bit |
//! | D8 | PB0 | relay, high closes |
//! | D9 | PB1 | button, pressed = low |
//! | D10 | PB2 | DHT11 |
//! | D11 | PB3 | plug contact, in = low |
//! | A0 | PC0 | current sensor |
//! | A4, A5 | PC4, PC5 | card reader |

use core::convert::Infallible;

use embedded_hal::digital::{ErrorType, InputPin, OutputPin};
use firmware_core::SensorId;

use crate::cpu::Register;

const PINB: Register = Register::new(0x23);
const DDRB: Register = Register::new(0x24);
const PORTB: Register = Register::new(0x25);
const PIND: Register = Register::new(0x29);
const DDRD: Register = Register::new(0x2a);
const PORTD: Register = Register::new(0x2b);

const RELAY: u8 = 1 << 0;
const BUTTON: u8 = 1 << 1;
const SENSOR: u8 = 1 << 2;
const PLUG: u8 = 1 << 3;

/// Directions and pull-ups; the relay is open before its pin becomes an output.
pub fn set_up() {
    PORTB.write(BUTTON | SENSOR | PLUG);
    DDRB.write(RELAY);
    DDRD.write(0);
    PORTD.write(0xfc);
}

/// Opens the relay, whatever else goes on.
pub fn open_relay() {
    PORTB.clear(RELAY);
}

/// What the six switches show.
pub fn switches() -> SensorId {
    // Six bits are always a number of switches.
    SensorId::new(!PIND.read() >> 2).unwrap_or(SensorId::FIRST)
}

/// Whether the button is pressed.
pub fn button() -> bool {
    PINB.read() & BUTTON == 0
}

/// Whether the plug contact is closed.
pub fn plug() -> bool {
    PINB.read() & PLUG == 0
}

/// The relay. No interrupt writes its port, so reading and writing it back is safe.
#[derive(Debug)]
pub struct RelayPin;

impl ErrorType for RelayPin {
    type Error = Infallible;
}

impl OutputPin for RelayPin {
    fn set_high(&mut self) -> Result<(), Infallible> {
        PORTB.set(RELAY);
        Ok(())
    }

    fn set_low(&mut self) -> Result<(), Infallible> {
        open_relay();
        Ok(())
    }
}

/// The thermometer's line, pulled up when it is let go.
#[derive(Debug)]
pub struct SensorPin;

impl ErrorType for SensorPin {
    type Error = Infallible;
}

impl OutputPin for SensorPin {
    fn set_high(&mut self) -> Result<(), Infallible> {
        DDRB.clear(SENSOR);
        PORTB.set(SENSOR);
        Ok(())
    }

    fn set_low(&mut self) -> Result<(), Infallible> {
        PORTB.clear(SENSOR);
        DDRB.set(SENSOR);
        Ok(())
    }
}

impl InputPin for SensorPin {
    fn is_high(&mut self) -> Result<bool, Infallible> {
        Ok(PINB.read() & SENSOR != 0)
    }

    fn is_low(&mut self) -> Result<bool, Infallible> {
        Ok(PINB.read() & SENSOR == 0)
    }
}
