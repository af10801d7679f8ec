//! The whole unit: measures, drives the relay, talks to the gateway through the modem, keeps its journal.
//!
//! One loop, [`Station::step`], called whenever something may have happened and at least every 50 ms. It waits for nothing but the bytes of its own requests
//! (about 40 ms) and a new configuration (a quarter of a second), so the lease is judged with every window of the meter, twice a second, whatever the network
//! does. It names no register and no pin: [`Hardware`] does. The board calls it, and feeds its watchdog when both this loop and the interrupt go on.

use core::convert::Infallible;

use embedded_hal::digital::OutputPin;

use crate::board::{Adc, Eeprom, Hardware, Millis, Serial};
use crate::clock::has_passed;
use crate::config::{CONFIG_REQUEST_LEN, Config, Network};
use crate::debounce::Debounced;
use crate::division::{divide, is_less};
use crate::hex;
use crate::http::{Progress, Response};
use crate::journal::{Journal, WornOut};
use crate::lease::Relay;
use crate::memory::{self, Parts, Provision};
use crate::meter::{Measured, Meter};
use crate::modem::{Action, Command, Modem};
use crate::readings::{CardOutcome, ReadingsAnswer};
use crate::text::Text;
use crate::types::{Capabilities, Card, Flags, Sample, SensorId};
use crate::unit::{Identity, Next, Unit};

/// Energy is written to the journal this often while it grows, in ms: what a loss of power costs at most.
pub const JOURNAL_EVERY_MS: u32 = 120_000;

/// The version that this firmware says it is: major, minor.
const FIRMWARE: u16 = 0x0100;
/// A relay that has opened stays open for so long, in ms, and one that would be closed for less than [`MIN_ON_MS`] stays open: contactors and cars dislike both.
const MIN_OFF_MS: u32 = 10_000;
const MIN_ON_MS: u32 = 5_000;
/// How long the button is held, in ms.
const BUTTON_MS: u32 = 5_000;
/// The voltage that is reckoned with before there is a configuration.
const USUAL_V: u16 = 230;
/// So many windows in a row must be good before a meter fault is over.
const GOOD_WINDOWS: u8 = 20;
/// A current from here on, in mA, is a vehicle that charges; the fall of one to nothing is told at once.
const CHARGING_MA: u32 = 1_000;
/// Where the unit opens its relay for heat, and where it is cool again, in 0.1 °C: the thermometer measures up to 50 °C.
const HOT_DC: i16 = 500;
const COOL_DC: i16 = 450;
/// A card that the gateway still thinks about is shown again after so many ms.
const PENDING_MS: u32 = 2_000;
/// The digits of a request for the configuration.
const CONFIG_DIGITS: u16 = 68;
const _: () = assert!(CONFIG_REQUEST_LEN * 2 == 68, "two digits a byte");
/// After so many exchanges without any answer the unit also tries the server that it was provisioned with.
const SILENT_EXCHANGES: u8 = 8;

/// Why a unit does not start: it stays off the network with its relay open.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StartError {
    /// It has no device number and key.
    NotProvisioned,
    /// Its EEPROM keeps no new boot number.
    WornOut,
}

impl From<WornOut> for StartError {
    fn from(_: WornOut) -> Self {
        Self::WornOut
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Task {
    None,
    Config,
    Readings,
}

/// How an exchange has ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Outcome {
    /// It has not.
    None,
    /// With a complete answer.
    Answer,
    /// Without one.
    Silence,
}

/// A change that the gateway hears of with a sample of its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Change {
    None,
    Some,
    /// The relay opened, the plug went or the current ended.
    End,
}

/// A unit at work, with room for `N` samples.
#[derive(Debug)]
pub struct Station<const N: usize> {
    unit: Unit<N>,
    modem: Modem,
    response: Response,
    meter: Meter,
    journal: Journal,
    parts: Parts,
    button: Debounced,
    plug: Debounced,
    plugged: bool,
    closed: bool,
    switched_ms: u32,
    current_ma: u32,
    charging: bool,
    temperature_dc: Option<i16>,
    hot: bool,
    meter_fault: bool,
    worn: bool,
    good_windows: u8,
    change: Change,
    sampled_ms: u32,
    journaled_ms: u32,
    want: Task,
    under_way: Task,
    announced: bool,
    outcome: Outcome,
    paused: bool,
    due_ms: u32,
    asked_ms: u32,
    /// Something has happened that the gateway should hear of at once.
    urgent: bool,
    silent: u8,
}

impl<const N: usize> Station<N> {
    /// A unit before [`Station::start`].
    #[must_use]
    pub const fn new() -> Self {
        Self {
            unit: Unit::blank(),
            modem: Modem::new(),
            response: Response::new(),
            meter: Meter::new(),
            journal: Journal::new(),
            parts: Parts::METER_ONLY,
            button: Debounced::new(),
            plug: Debounced::new(),
            plugged: false,
            closed: false,
            switched_ms: 0,
            current_ma: 0,
            charging: false,
            temperature_dc: None,
            hot: false,
            meter_fault: false,
            worn: false,
            good_windows: 0,
            change: Change::None,
            sampled_ms: 0,
            journaled_ms: 0,
            want: Task::None,
            under_way: Task::None,
            announced: false,
            outcome: Outcome::None,
            paused: false,
            due_ms: 0,
            asked_ms: 0,
            urgent: false,
            silent: 0,
        }
    }

    /// Reads who it is, takes a boot number and its configuration; with `button` held while power comes the configuration is cleared instead.
    ///
    /// # Errors
    /// [`StartError`].
    #[cfg_attr(target_arch = "avr", inline(never))]
    pub fn start<M: Millis, A, E: Eeprom, S, R>(
        &mut self,
        hardware: &mut Hardware<M, A, E, S, R>,
        sensor: SensorId,
        button: bool,
    ) -> Result<(), StartError> {
        let now_ms = hardware.millis.now_ms();
        let eeprom = &mut hardware.eeprom;
        self.identify(eeprom, sensor)?;
        if button {
            memory::clear_config(eeprom);
        }
        self.want = if self.restore(eeprom) { Task::Readings } else { Task::Config };
        self.change = Change::Some;
        self.switched_ms = now_ms;
        self.sampled_ms = now_ms;
        self.journaled_ms = now_ms;
        self.due_ms = now_ms;
        Ok(())
    }

    /// Who the unit is, and which of its starts this is. Apart from [`Station::start`], so that the key is on the stack for no longer than this.
    #[cfg_attr(target_arch = "avr", inline(never))]
    fn identify(&mut self, eeprom: &mut impl Eeprom, sensor: SensorId) -> Result<(), StartError> {
        let Provision { device, key, parts, calibration } = Provision::load(eeprom).ok_or(StartError::NotProvisioned)?;
        let record = self.journal.start(eeprom)?;
        self.meter.start(&calibration, record.energy_uj);
        self.parts = parts;
        let mut capabilities = Capabilities::NONE;
        if parts.has(Parts::PLUG_CONTACT) {
            capabilities = capabilities | Capabilities::PLUG_SIGNAL;
        }
        if parts.has(Parts::CARD_READER) {
            capabilities = capabilities | Capabilities::CARD_READER;
        }
        let identity = Identity { device, sensor, capabilities, firmware: FIRMWARE };
        self.unit.begin(identity, &key, record.boot).map_err(|_| StartError::WornOut)
    }

    /// Takes the configuration that was kept into use, if there is one.
    #[cfg_attr(target_arch = "avr", inline(never))]
    fn restore(&mut self, eeprom: &mut impl Eeprom) -> bool {
        memory::kept_config(eeprom).is_some_and(|fields| self.unit.restore(&fields))
    }

    /// What is on this board.
    #[must_use]
    pub const fn parts(&self) -> Parts {
        self.parts
    }

    /// The cumulative energy in µJ.
    #[must_use]
    pub const fn energy_uj(&self) -> u64 {
        self.meter.energy_uj()
    }

    /// Takes in the levels of button and plug contact: true is closed.
    pub fn contacts<M: Millis, A, E: Eeprom, S, R>(&mut self, hardware: &mut Hardware<M, A, E, S, R>, button: bool, plug: bool) {
        let now_ms = hardware.millis.now_ms();
        self.button.update(now_ms, button);
        if self.button.held(now_ms, BUTTON_MS) {
            memory::clear_config(&mut hardware.eeprom);
            self.unit.forget_config();
            self.ask(Task::Config, now_ms);
        }
        let plugged = self.parts.has(Parts::PLUG_CONTACT) && self.plug.update(now_ms, plug);
        if plugged != self.plugged {
            self.plugged = plugged;
            self.change = if plugged { Change::Some } else { Change::End };
        }
    }

    /// Takes in a card held to the reader.
    pub fn card(&mut self, now_ms: u32, card: Card) {
        // Numbers of taps run out after 65,535 cards of one boot; the next boot has new ones.
        self.urgent |= self.unit.present_card(now_ms, card).is_ok();
    }

    /// Takes in the temperature in 0.1 °C, or that there is none.
    pub fn temperature(&mut self, temperature_dc: Option<i16>) {
        self.temperature_dc = temperature_dc;
        let limit = if self.hot { COOL_DC } else { HOT_DC };
        let hot = temperature_dc.is_some_and(|dc| dc >= limit);
        if hot != self.hot {
            self.hot = hot;
            self.change = Change::Some;
        }
    }

    /// Does everything that is due.
    pub fn step<M, A, E, S, R>(&mut self, hardware: &mut Hardware<M, A, E, S, R>)
    where
        M: Millis,
        A: Adc,
        E: Eeprom,
        S: Serial,
        R: OutputPin<Error = Infallible>,
    {
        let now_ms = hardware.millis.now_ms();
        let measured = self.measure(hardware, now_ms);
        self.converse(hardware, now_ms);
        // After the conversation and not within it: the deepest calls, which authenticate, begin as high on the stack as can be.
        match self.outcome {
            Outcome::None => {}
            Outcome::Answer => self.finish(hardware, now_ms, Some(self.response.status())),
            Outcome::Silence => self.finish(hardware, now_ms, None),
        }
        self.judge_faults();
        self.switch(&mut hardware.relay, now_ms);
        if !self.announced {
            self.sample(now_ms, measured);
        }
        self.keep(&mut hardware.eeprom, now_ms);
    }

    /// Counts a window if there is one, and lets the lease see it.
    #[cfg_attr(target_arch = "avr", inline(never))]
    fn measure<M, A: Adc, E, S, R>(&mut self, hardware: &mut Hardware<M, A, E, S, R>, now_ms: u32) -> bool {
        let Some(window) = hardware.adc.window() else { return false };
        let mains_v = self.unit.config().map_or(USUAL_V, |config| config.mains_v);
        if self.parts.has(Parts::RELAY) && !self.closed {
            self.meter.learn_noise(&window);
        }
        match self.meter.take(&window, mains_v) {
            Measured::Current(current_ma) => {
                self.current_ma = current_ma;
                self.good_windows = self.good_windows.saturating_add(1);
                if self.meter_fault && self.good_windows >= GOOD_WINDOWS {
                    self.meter_fault = false;
                    self.change = Change::Some;
                }
            }
            Measured::Fault => {
                self.good_windows = 0;
                if !self.meter_fault {
                    self.meter_fault = true;
                    self.change = Change::Some;
                }
            }
        }
        if self.charging && self.current_ma == 0 {
            self.charging = false;
            self.change = Change::End;
        }
        if !self.charging && self.current_ma >= CHARGING_MA {
            self.charging = true;
            self.change = Change::Some;
        }
        let before = self.unit.lease().flags();
        // What a faulty sensor said last is reported on, but nothing is known to flow: it must not pass for a welded relay.
        let flowing_ma = if self.meter_fault { 0 } else { self.current_ma };
        self.unit.tick(now_ms, [flowing_ma, 0, 0]);
        let alarms = Flags::WELDED_RELAY | Flags::OVER_CURRENT;
        let cleared = Flags::RELAY_CLOSED;
        if before.without(cleared) != self.unit.lease().flags().without(cleared)
            && (before | self.unit.lease().flags()).bits() & alarms.bits() != 0
        {
            self.change = Change::Some;
        }
        true
    }

    /// Whatever is wrong opens the relay and keeps it open.
    fn judge_faults(&mut self) {
        // One clamp sees one phase: on more, charging would be free.
        let unfit = self.unit.config().is_some_and(|config| config.phases != 1);
        let welded = self.unit.lease().flags().has(Flags::WELDED_RELAY);
        if self.meter_fault || self.hot || self.worn || unfit || welded {
            self.unit.lease_mut().block();
        } else {
            self.unit.lease_mut().unblock();
        }
    }

    fn switch(&mut self, relay: &mut impl OutputPin<Error = Infallible>, now_ms: u32) {
        let lease = self.unit.lease();
        let wanted = lease.relay() == Relay::Closed && self.parts.has(Parts::RELAY);
        let rested = has_passed(now_ms, &self.switched_ms, MIN_OFF_MS) && lease.left_ms(now_ms) >= MIN_ON_MS;
        let closed = wanted && (self.closed || rested);
        // Written every time: a pin that something has disturbed is put right.
        let Ok(()) = if closed { relay.set_high() } else { relay.set_low() };
        if closed != self.closed {
            self.closed = closed;
            self.switched_ms = now_ms;
            self.change = if closed { Change::Some } else { Change::End };
        }
    }

    /// Stores a sample when one is due. One about a change waits for the window in which it fell, so that its register has all of it.
    #[cfg_attr(target_arch = "avr", inline(never))]
    fn sample(&mut self, now_ms: u32, measured: bool) {
        let Some(config) = self.unit.config() else { return };
        let period_ms = u32::from(config.sample_period_s).saturating_mul(1000);
        let (power_w, _) = divide(u64::from(self.current_ma.saturating_mul(config.mains_v.into())), 1000);
        let busy = self.plugged || self.closed || !self.parts.has(Parts::RELAY);
        let due = busy && has_passed(now_ms, &self.sampled_ms, period_ms);
        if !measured || !(due || self.change != Change::None) {
            return;
        }
        let Some(stamp) = self.unit.stamp(now_ms) else { return };
        let lease = self.unit.lease().flags().without(Flags::RELAY_CLOSED);
        let sample = Sample {
            at_ms: stamp.at_ms,
            register_wh: self.meter.register_wh(),
            power_w: u16::try_from(power_w).unwrap_or(u16::MAX),
            current_ma: [u16::try_from(self.current_ma).unwrap_or(u16::MAX), 0, 0],
            temperature_dc: self.temperature_dc,
            flags: lease
                | Flags::RELAY_CLOSED.only_if(self.closed)
                | Flags::PLUG_PRESENT.only_if(self.plugged)
                | Flags::METER_FAULT.only_if(self.meter_fault || self.worn)
                | Flags::OVER_TEMPERATURE.only_if(self.hot)
                | Flags::TIME_SYNCHRONISED.only_if(stamp.synchronised)
                | Flags::END.only_if(self.change == Change::End),
        };
        // Numbers run out after 136 years of one a second; then nothing is sampled until the next start, and the gateway sees a silent meter.
        if self.unit.push(&sample).is_err() {
            return;
        }
        self.sampled_ms = now_ms;
        self.urgent |= self.change != Change::None;
        self.change = Change::None;
    }

    /// Keeps the journal: every two minutes while energy grows, and once more when it stops growing.
    fn keep(&mut self, eeprom: &mut impl Eeprom, now_ms: u32) {
        let waited = has_passed(now_ms, &self.journaled_ms, JOURNAL_EVERY_MS);
        if waited && is_less(&self.journal.newest().energy_uj, &self.meter.energy_uj()) {
            self.journaled_ms = now_ms;
            self.journal.note(self.meter.energy_uj());
        }
        if self.journal.step(eeprom).is_err() && !self.worn {
            self.worn = true;
            self.change = Change::Some;
        }
    }

    fn converse<M, A, E, S, R>(&mut self, hardware: &mut Hardware<M, A, E, S, R>, now_ms: u32)
    where
        M: Millis,
        E: Eeprom,
        S: Serial,
    {
        while let Some(byte) = hardware.serial.receive() {
            if let Some(action) = self.modem.receive(now_ms, byte) {
                self.act(hardware, now_ms, action);
            }
        }
        if let Some(action) = self.modem.poll(now_ms) {
            self.act(hardware, now_ms, action);
        }
        if self.under_way != Task::None && !self.modem.is_exchanging() {
            self.ended(Outcome::Silence);
        }
        let due = has_come(self.due_ms, now_ms);
        if due {
            // Moved along, so that a month without network does not turn the past into the future.
            self.due_ms = now_ms;
        }
        let urgent = self.urgent && !self.paused && self.want == Task::Readings;
        if self.under_way == Task::None && self.outcome == Outcome::None && self.modem.is_idle() && (urgent || due) {
            self.urgent = false;
            self.asked_ms = now_ms;
            self.under_way = self.want;
            self.response.clear();
            self.modem.open(now_ms);
        }
    }

    #[cfg_attr(target_arch = "avr", inline(never))]
    fn act<M, A, E, S, R>(&mut self, hardware: &mut Hardware<M, A, E, S, R>, now_ms: u32, action: Action)
    where
        M: Millis,
        E: Eeprom,
        S: Serial,
    {
        match action {
            Action::Write(command) => self.write_command(hardware, command),
            Action::WriteRequest => {
                self.write_request(hardware, now_ms);
                self.modem.written(now_ms);
            }
            Action::Payload(byte) => match self.response.push(byte) {
                Progress::More => {}
                Progress::Complete => self.ended(Outcome::Answer),
                Progress::Broken => self.ended(Outcome::Silence),
            },
            Action::Ended => self.ended(Outcome::Silence),
        }
    }

    /// Notes how the exchange under way has ended; what comes after that counts no more.
    fn ended(&mut self, outcome: Outcome) {
        if self.under_way != Task::None && self.outcome == Outcome::None {
            self.outcome = outcome;
        }
    }

    /// The exchange is over: with a status, or without an answer.
    #[cfg_attr(target_arch = "avr", inline(never))]
    fn finish<M, A, E: Eeprom, S, R>(&mut self, hardware: &mut Hardware<M, A, E, S, R>, now_ms: u32, status: Option<u16>) {
        let task = core::mem::replace(&mut self.under_way, Task::None);
        if task == Task::None {
            return;
        }
        self.announced = false;
        self.outcome = Outcome::None;
        self.modem.close(now_ms);
        if status.is_some() {
            self.silent = 0;
        } else {
            self.silent = self.silent.wrapping_add(1);
        }
        let good = match (task, status) {
            (Task::Config, Some(200)) => self.configured(hardware, now_ms),
            (Task::Readings, Some(200)) => self.answered(now_ms),
            (Task::None | Task::Config | Task::Readings, _) => false,
        };
        self.paused = !good;
        if good {
            return;
        }
        // A 200 that does not hold is as good as no answer.
        match self.unit.refused(status.filter(|status| *status != 200)) {
            Next::Retry { after_s } => self.ask(task, after(now_ms, after_s)),
            Next::AskConfig { after_s } => self.ask(Task::Config, after(now_ms, after_s)),
            Next::NewBoot { after_s } => {
                self.ask(Task::Config, after(now_ms, after_s));
                let record = self.journal.restart(&mut hardware.eeprom, self.meter.energy_uj());
                self.worn |= record.is_err() || record.is_ok_and(|record| self.unit.restart(record.boot).is_err());
                self.change = Change::Some;
            }
        }
    }

    fn configured<M, A, E: Eeprom, S, R>(&mut self, hardware: &mut Hardware<M, A, E, S, R>, now_ms: u32) -> bool {
        let was_static = self.network() != Network::Dynamic;
        if self.unit.config_answer(now_ms, self.response.body()).is_err() {
            return false;
        }
        memory::store_config(&mut hardware.eeprom, Config::kept(self.response.body()));
        // An address given by the server is set before joining; that it is the same one is not worth the flash to find out.
        if was_static || self.network() != Network::Dynamic {
            self.modem.rejoin(now_ms);
        }
        self.change = Change::Some;
        self.ask(Task::Readings, now_ms);
        true
    }

    fn answered(&mut self, now_ms: u32) -> bool {
        let mut answer = ReadingsAnswer::NOTHING;
        if self.unit.take_answer(now_ms, self.response.body(), &mut answer).is_err() {
            return false;
        }
        let period_s = self.unit.config().map_or(60, |config| config.transmit_period_s);
        // The period is kept from request to request; one that took longer than that is made up for at once.
        let next_ms = after(self.asked_ms, period_s);
        self.ask(Task::Readings, if has_come(next_ms, now_ms) { now_ms } else { next_ms });
        if answer.card == CardOutcome::Pending {
            self.due_ms = now_ms.wrapping_add(PENDING_MS);
        }
        if answer.reload_config || self.unit.config().is_none() {
            self.ask(Task::Config, now_ms);
        }
        true
    }

    fn network(&self) -> Network {
        self.unit.config().map_or(Network::Dynamic, |config| config.network)
    }

    fn ask(&mut self, task: Task, due_ms: u32) {
        self.want = task;
        self.due_ms = due_ms;
    }

    fn write_command<M, A, E: Eeprom, S: Serial, R>(&mut self, hardware: &mut Hardware<M, A, E, S, R>, command: Command) {
        let Hardware { eeprom, serial, .. } = hardware;
        match command {
            Command::EchoOff => serial.send_text(Text::EchoOff),
            Command::StationMode => serial.send_text(Text::StationMode),
            Command::Address => match self.network() {
                Network::Dynamic => serial.send_text(Text::Dhcp),
                Network::Static { address, prefix, router } => {
                    serial.send_text(Text::StaticAddress);
                    dotted(serial, address);
                    serial.send_text(Text::QuoteCommaQuote);
                    dotted(serial, router);
                    serial.send_text(Text::QuoteCommaQuote);
                    let mask = u32::MAX.checked_shl(32_u32.saturating_sub(prefix.into())).unwrap_or(u32::MAX);
                    dotted(serial, mask.to_be_bytes());
                    serial.send_text(Text::QuoteLine);
                }
            },
            Command::Join => {
                serial.send_text(Text::Join);
                memory::ssid(eeprom, &mut |byte| serial.send(byte));
                serial.send_text(Text::QuoteCommaQuote);
                memory::passphrase(eeprom, &mut |byte| serial.send(byte));
                serial.send_text(Text::QuoteLine);
            }
            Command::Connect => {
                serial.send_text(Text::Connect);
                let mut has_port = false;
                self.host(eeprom, &mut |byte| {
                    if byte == b':' {
                        has_port = true;
                        serial.send_text(Text::QuoteComma);
                    } else {
                        serial.send(byte);
                    }
                });
                if !has_port {
                    serial.send_text(Text::QuoteComma);
                    decimal(80, &mut |digit| serial.send(digit));
                }
                serial.send_text(Text::Line);
            }
            Command::Announce => {
                let mut length = 0_u16;
                self.head(eeprom, &mut |part| match part {
                    Part::Text(text) => length = length.wrapping_add(serial.text_length(text)),
                    Part::Byte(_) => length = length.wrapping_add(1),
                });
                self.announced = true;
                serial.send_text(Text::Announce);
                decimal(length.wrapping_add(self.body_length()), &mut |digit| serial.send(digit));
                serial.send_text(Text::Line);
            }
            Command::Close => serial.send_text(Text::Close),
            Command::Reset => serial.send_text(Text::Reset),
        }
    }

    /// The bytes of a request after its head, if they are not in it.
    fn body_length(&self) -> u16 {
        match self.under_way {
            Task::Readings => u16::try_from(self.unit.readings_len()).unwrap_or(u16::MAX),
            // The digits of the query.
            Task::Config => CONFIG_DIGITS,
            Task::None => 0,
        }
    }

    /// The head of the request under way, without the digits of a request for the configuration.
    #[cfg_attr(target_arch = "avr", inline(never))]
    fn head(&self, eeprom: &mut impl Eeprom, sink: &mut dyn FnMut(Part)) {
        let readings = self.under_way == Task::Readings;
        sink(Part::Text(if readings { Text::PostReadings } else { Text::VersionHost }));
        self.host(eeprom, &mut |byte| sink(Part::Byte(byte)));
        if readings {
            sink(Part::Text(Text::BodyLength));
            decimal(self.body_length(), &mut |digit| sink(Part::Byte(digit)));
        } else {
            sink(Part::Text(Text::GetConfig));
        }
        sink(Part::Text(Text::HeadEnd));
    }

    fn write_request<M, A, E: Eeprom, S: Serial, R>(&mut self, hardware: &mut Hardware<M, A, E, S, R>, now_ms: u32) {
        let Hardware { eeprom, serial, .. } = hardware;
        self.announced = false;
        // Numbers are used up after 2³² requests of one boot; what is then not sent is a request without an answer, and a restart away.
        if self.under_way == Task::Config {
            serial.send_text(Text::GetConfig);
            let _ = self.unit.send_config_request(|bytes| {
                for byte in bytes {
                    serial.send(hex::digit(byte >> 4));
                    serial.send(hex::digit(byte & 15));
                }
            });
            serial.send_text(Text::VersionHost);
            self.host(eeprom, &mut |byte| serial.send(byte));
            serial.send_text(Text::HeadEnd);
            return;
        }
        self.head(eeprom, &mut |part| match part {
            Part::Text(text) => serial.send_text(text),
            Part::Byte(byte) => serial.send(byte),
        });
        // What has flowed until now is not counted against the lease in the answer.
        self.unit.tick(now_ms, [self.current_ma, 0, 0]);
        let _ = self.unit.send_readings(now_ms, |bytes| {
            for byte in bytes {
                serial.send(*byte);
            }
        });
    }

    /// Gives the bytes of the server's name and port: the configured one's, or the first one's where there is none or it has long been silent.
    fn host(&self, eeprom: &mut impl Eeprom, sink: &mut dyn FnMut(u8)) {
        let configured = self.unit.config().map(|config| &config.server).filter(|server| !server.is_stay());
        match configured {
            Some(server) if self.silent & SILENT_EXCHANGES == 0 => server.as_bytes().iter().copied().for_each(sink),
            Some(_) | None => memory::first_server(eeprom, sink),
        }
    }
}

impl<const N: usize> Default for Station<N> {
    fn default() -> Self {
        Self::new()
    }
}

enum Part {
    Text(Text),
    Byte(u8),
}

fn has_come(due_ms: u32, now_ms: u32) -> bool {
    now_ms.wrapping_sub(due_ms) < 1 << 31
}

fn after(now_ms: u32, seconds: u16) -> u32 {
    now_ms.wrapping_add(u32::from(seconds).saturating_mul(1000))
}

#[cfg_attr(target_arch = "avr", inline(never))]
fn dotted(serial: &mut impl Serial, address: [u8; 4]) {
    for (place, number) in address.into_iter().enumerate() {
        if place > 0 {
            serial.send(b'.');
        }
        decimal(number.into(), &mut |digit| serial.send(digit));
    }
}

#[cfg_attr(target_arch = "avr", inline(never))]
fn decimal(value: u16, sink: &mut dyn FnMut(u8)) {
    let mut started = false;
    let mut rest = value;
    for unit in [10_000_u16, 1_000, 100, 10, 1] {
        let mut digit = b'0';
        while rest >= unit {
            rest = rest.wrapping_sub(unit);
            digit = digit.wrapping_add(1);
        }
        started |= digit != b'0' || unit == 1;
        if started {
            sink(digit);
        }
    }
}
