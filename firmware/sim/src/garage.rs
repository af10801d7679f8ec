//! Everything around the processor: car, sensor, relay, switches, button, plug, modem, thermometer, card reader; and what truly happened.

use crate::{
    CYCLES_PER_MS,
    avr::{BusAnswer, BusEvent, Devices, Pins},
    dht11::Dht11,
    modem::Modem,
    pn532::Pn532,
    wave::{Sensor, Wave, millivolts_for},
};

const HERTZ: f64 = 16_000_000.0;
const DDRB: u16 = 0x24;
const PORTB: u16 = 0x25;
const LINE: u8 = 1 << 2;

/// What truly flowed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Truth {
    /// ∫ u·i dt, J.
    pub joules: f64,
    /// ∫ i² dt, A²s, and over how long, s: for an RMS value.
    pub square: f64,
    /// As above.
    pub seconds: f64,
}

/// The garage.
#[derive(Debug)]
pub struct Garage {
    /// What the car draws where it can.
    pub wave: Wave,
    /// The current sensor.
    pub sensor: Sensor,
    /// Whether the sensor is connected: otherwise the converter's input lies at 0 V.
    pub sensor_connected: bool,
    /// Whether a relay is in the way; without one current always flows.
    pub has_relay: bool,
    /// The relay's contacts hold whatever the coil says.
    pub welded: bool,
    /// Whether the car draws.
    pub car_draws: bool,
    /// When the coil was switched, and to what.
    pub relay: Vec<(u64, bool)>,
    /// The six switches.
    pub switches: u8,
    /// Whether the button is pressed.
    pub button: bool,
    /// Whether the plug is in.
    pub plug: bool,
    /// The thermometer.
    pub thermometer: Dht11,
    /// The card reader.
    pub reader: Pn532,
    /// The modem.
    pub modem: Modem,
    /// What truly flowed.
    pub truth: Truth,
    /// When the program started, and the causes as in MCUSR.
    pub starts: Vec<(u64, u8)>,
    /// What the program showed.
    pub marks: Vec<(u64, u8)>,
    /// How many conversions there were.
    pub conversions: u64,
    /// Called when the program shows a number.
    shown: Option<(u8, bool, bool)>,
    converted_at: u64,
    line: bool,
}

impl Garage {
    /// A garage with everything in it and no car drawing.
    #[must_use]
    pub fn new(modem: Modem) -> Self {
        Self {
            wave: Wave::sine(0.0),
            sensor: Sensor::sct_013(),
            sensor_connected: true,
            has_relay: true,
            welded: false,
            car_draws: true,
            relay: Vec::new(),
            switches: 0,
            button: false,
            plug: false,
            thermometer: Dht11::default(),
            reader: Pn532::default(),
            modem,
            truth: Truth::default(),
            starts: Vec::new(),
            marks: Vec::new(),
            conversions: 0,
            shown: None,
            converted_at: 0,
            line: true,
        }
    }

    /// Whether the coil is on.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.relay.last().is_some_and(|(_, closed)| *closed)
    }

    fn flows(&self) -> bool {
        self.car_draws && (!self.has_relay || self.welded || self.is_closed())
    }
}

impl Devices for Garage {
    fn millivolts(&mut self, cycle: u64) -> u32 {
        let seconds = cycle as f64 / HERTZ;
        let step = (cycle - self.converted_at) as f64 / HERTZ;
        self.converted_at = cycle;
        self.conversions += 1;
        let amperes = if self.flows() { self.wave.at(seconds) } else { 0.0 };
        self.truth.joules += amperes * self.wave.voltage_at(seconds) * step;
        self.truth.square += amperes * amperes * step;
        self.truth.seconds += step;
        if !self.sensor_connected {
            return 0;
        }
        millivolts_for(self.sensor.count(amperes))
    }

    fn sent(&mut self, byte: u8, cycle: u64) {
        self.modem.sent(byte, cycle);
    }

    fn relay(&mut self, closed: bool, cycle: u64) {
        if closed != self.is_closed() {
            self.relay.push((cycle, closed));
        }
    }

    fn mark(&mut self, number: u8, cycle: u64) {
        self.marks.push((cycle, number));
    }

    fn started(&mut self, cause: u8, cycle: u64) {
        self.starts.push((cycle, cause));
        // A reset lets go of every pin: the coil is off until the program switches it on again.
        self.relay(false, cycle);
        self.shown = None;
    }

    fn wake(&mut self, pins: &Pins, cycle: u64) -> u64 {
        let (byte, again) = self.modem.next_byte(cycle);
        if let Some(byte) = byte {
            pins.receive(byte);
        }
        let held_low = pins.peek(DDRB) & LINE != 0 && pins.peek(PORTB) & LINE == 0;
        let (level, next) = self.thermometer.step(held_low, cycle);
        if let Some(level) = level {
            self.line = level;
            pins.set(b'B', LINE, if level { LINE } else { 0 });
        }
        let shown = Some((self.switches, self.button, self.plug));
        if self.shown != shown {
            self.shown = shown;
            pins.set(b'D', 0xfc, !self.switches << 2);
            let level = |closed: bool, bit: u8| if closed { 0 } else { bit };
            pins.set(b'B', 0x0e, level(self.button, 2) | level(!self.line, 4) | level(self.plug, 8));
        }
        again.min(next).min(cycle + CYCLES_PER_MS)
    }

    fn bus(&mut self, event: BusEvent) -> BusAnswer {
        self.reader.bus(event)
    }
}
