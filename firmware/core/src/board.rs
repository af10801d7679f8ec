//! What the unit asks of its board where embedded-hal has no trait for it: time, measuring windows, EEPROM and the modem's line.
//!
//! Digital pins and the bus of the card reader are embedded-hal's. Nothing here waits: whatever takes long is started and asked about later, because the relay's
//! lease is judged between two calls. Boards implement these, the emulated one as well as those of the tests; [`crate::Station`] and [`crate::Journal`] call them.

use crate::meter::Window;
use crate::text::Text;

/// A millisecond counter that starts anywhere and rolls over.
pub trait Millis {
    /// Ms, modulo 2³².
    fn now_ms(&mut self) -> u32;
}

/// The current sensor behind its converter.
pub trait Adc {
    /// What was sampled since the last call, once a whole window of it is there; windows that nobody took in time come as one.
    fn window(&mut self) -> Option<Window>;
}

/// Bytes that outlive a loss of power.
pub trait Eeprom {
    /// The byte at this address; an address beyond the end reads as 255. Waits for a write under way, a few ms.
    fn read(&mut self, address: u16) -> u8;

    /// Whether [`Eeprom::start_write`] may be called.
    fn is_ready(&mut self) -> bool;

    /// Begins to write a byte and returns at once; waits first for a write under way.
    fn start_write(&mut self, address: u16, value: u8);
}

/// The line to the modem.
pub trait Serial {
    /// The next byte received, if there is one.
    fn receive(&mut self) -> Option<u8>;

    /// Sends a byte; may wait for the one before, a tenth of a ms.
    fn send(&mut self, byte: u8);

    /// Sends a fixed text; apart from [`Serial::send`] because a small board keeps texts where bytes cannot be borrowed.
    fn send_text(&mut self, text: Text);

    /// How many bytes a fixed text has.
    fn text_length(&self, text: Text) -> u16;
}

/// Everything that a station works with.
#[derive(Debug)]
pub struct Hardware<M, A, E, S, R> {
    /// The counter.
    pub millis: M,
    /// The current sensor.
    pub adc: A,
    /// The memory.
    pub eeprom: E,
    /// The modem.
    pub serial: S,
    /// The relay: high closes it. A pin that nothing is soldered to on a unit that only meters.
    pub relay: R,
}
