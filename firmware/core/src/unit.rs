//! The unit's end of the conversation: what to send, what an answer means, what a refusal means.
//!
//! It holds the queue, the clock and the lease, and one request at a time; the board moves bytes, measures, drives the relay, keeps the boot number in EEPROM
//! and calls [`Unit::tick`] at least once a second. It opens no socket and waits for nothing. Called by boards and by simulated units.

use crate::clock::{Clock, Stamp, has_passed};
use crate::config::{CONFIG_ANSWER_LEN, CONFIG_REQUEST_LEN, Config, ConfigRequest};
use crate::error::ProtocolError;
use crate::lease::{Cause, Lease, Relay};
use crate::mac::Keys;
use crate::queue::{MAX_SAMPLES, Queue, RECORD_LEN};
use crate::readings::{CardOutcome, READINGS_ANSWER_LEN, READINGS_MIN_LEN, ReadingsAnswer, Sender, write_readings};
use crate::types::{Capabilities, Card, DeviceId, Head, Presented, Sample, SensorId};
use crate::wire::{Buffer, Fields, Kind, open};

/// A card that the gateway has not answered for so long, in ms, is forgotten: its owner has walked away.
const CARD_VALID_MS: u32 = 60_000;
/// Pauses after one, two, … failures in a row, in seconds; the last one repeats.
const BACKOFF_S: [u16; 5] = [5, 10, 20, 40, 60];
/// The pause after 401, in seconds: somebody has to provision the key.
const WRONG_KEY_PAUSE_S: u16 = 60;
/// The pause after 404, in seconds: somebody has to register the unit.
const UNKNOWN_PAUSE_S: u16 = 300;
/// The pause after 429 in seconds.
const RATE_PAUSE_S: u16 = 30;
/// So many refusals of the same kind in a row mean that sending the same again is useless.
const GIVE_UP_AFTER: u8 = 3;

/// Who a unit is; all of it comes from the board.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Identity {
    /// The device number, provisioned with the key.
    pub device: DeviceId,
    /// The place, from the switches.
    pub sensor: SensorId,
    /// What the unit is built with.
    pub capabilities: Capabilities,
    /// The version of its firmware.
    pub firmware: u16,
}

/// What the unit does after an exchange without a good answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Next {
    /// Send the readings again, under a new counter, after so many seconds.
    Retry {
        /// The pause in seconds.
        after_s: u16,
    },
    /// Ask for the configuration after so many seconds.
    AskConfig {
        /// The pause in seconds.
        after_s: u16,
    },
    /// Take the next boot number from EEPROM, call [`Unit::restart`] with it, then ask for the configuration.
    NewBoot {
        /// The pause in seconds.
        after_s: u16,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Waiting {
    Nothing,
    Config,
    Readings,
}

/// A unit with room for `N` samples (at most 60).
#[derive(Clone, Debug)]
pub struct Unit<const N: usize = MAX_SAMPLES> {
    identity: Identity,
    keys: Keys,
    boot: u32,
    counter: u32,
    waiting: Waiting,
    /// The newest sample pushed and the tap, 0 for none, when readings were sent last.
    sent_sample: u32,
    sent_tap: u16,
    config: Config,
    configured: bool,
    queue: Queue<N>,
    clock: Clock,
    lease: Lease,
    taps: u16,
    card: Option<(u32, Presented)>,
    failures: u8,
    malformed: u8,
    conflicts: u8,
}

impl<const N: usize> Unit<N> {
    /// A unit that has just started, its relay open. `boot` is at least 1 and higher than ever before, else [`ProtocolError::OutOfRange`].
    pub fn new(identity: Identity, device_key: &[u8; 32], boot: u32) -> Result<Self, ProtocolError> {
        let mut unit = Self::blank();
        unit.begin(identity, device_key, boot)?;
        Ok(unit)
    }

    /// A unit before [`Unit::begin`], which can be made when a program is compiled: a board's unit has its place in memory and is too large to be moved there.
    #[must_use]
    pub const fn blank() -> Self {
        Self {
            identity: Identity { device: DeviceId(0), sensor: SensorId::FIRST, capabilities: Capabilities::NONE, firmware: 0 },
            keys: Keys::NONE,
            boot: 0,
            counter: 0,
            waiting: Waiting::Nothing,
            sent_sample: 0,
            sent_tap: 0,
            config: Config::BLANK,
            configured: false,
            queue: Queue::new(),
            clock: Clock::new(),
            lease: Lease::new(0),
            taps: 0,
            card: None,
            failures: 0,
            malformed: 0,
            conflicts: 0,
        }
    }

    /// Starts a unit made by [`Unit::blank`]; errors as [`Unit::new`].
    pub fn begin(&mut self, identity: Identity, device_key: &[u8; 32], boot: u32) -> Result<(), ProtocolError> {
        if boot == 0 {
            return Err(ProtocolError::OutOfRange);
        }
        self.identity = identity;
        self.keys.set(device_key);
        self.boot = boot;
        Ok(())
    }

    /// Starts again under a new boot number, higher than the present one (else [`ProtocolError::OutOfRange`]): samples and card are gone, the relay opens.
    pub fn restart(&mut self, boot: u32) -> Result<(), ProtocolError> {
        if boot <= self.boot {
            return Err(ProtocolError::OutOfRange);
        }
        self.boot = boot;
        self.counter = 0;
        self.waiting = Waiting::Nothing;
        self.queue.restart();
        self.taps = 0;
        self.card = None;
        self.conflicts = 0;
        self.malformed = 0;
        self.lease.open(Cause::Started);
        Ok(())
    }

    /// The authenticated request for the configuration, to be sent in hexadecimal: `GET /unit/v1/config?m=…`.
    pub fn config_request(&mut self) -> Result<[u8; CONFIG_REQUEST_LEN], ProtocolError> {
        let mut message = [0; CONFIG_REQUEST_LEN];
        let mut buffer = Buffer::new(&mut message);
        self.send_config_request(|bytes| buffer.put(bytes))?;
        buffer.finish()?;
        Ok(message)
    }

    /// The same message piece by piece.
    pub fn send_config_request(&mut self, mut sink: impl FnMut(&[u8])) -> Result<(), ProtocolError> {
        let Identity { sensor, capabilities, firmware, .. } = self.identity;
        let request = ConfigRequest { head: self.next_head()?, sensor, capabilities, firmware };
        self.waiting = Waiting::Config;
        request.write(&self.keys, &mut sink)
    }

    /// Takes in the body of a 200 answer to [`Unit::config_request`]: sets the clock and applies the configuration.
    ///
    /// An authentic answer with a value out of its range leaves the unit without a configuration.
    pub fn config_answer(&mut self, now_ms: u32, body: &[u8]) -> Result<(), ProtocolError> {
        let mut fields = self.open(body, Kind::ConfigAnswer, CONFIG_ANSWER_LEN, Waiting::Config)?;
        // Read in place: a unit has no room for a second one. What is authentic and yet wrong leaves it with none, and with its relay open.
        self.configured = false;
        self.config.server_time_ms = fields.time();
        if let Err(error) = self.config.read(&mut fields) {
            self.forget_config();
            return Err(error);
        }
        self.configured = true;
        self.succeeded();
        self.clock.set(now_ms, self.config.server_time_ms);
        self.lease.set_grace_ms(self.config.over_limit_grace_ms);
        Ok(())
    }

    /// Uses the configuration that a unit keeps in its memory: the fields of an answer after its time. Gives whether they are one.
    pub(crate) fn restore(&mut self, fields: &[u8]) -> bool {
        self.configured = self.config.read(&mut Fields(fields)).is_ok();
        self.lease.set_grace_ms(self.config.over_limit_grace_ms);
        self.configured
    }

    /// Uses a configuration that the board has kept from before; its time is ignored.
    pub fn apply(&mut self, config: Config) {
        self.lease.set_grace_ms(config.over_limit_grace_ms);
        self.config = config;
        self.configured = true;
    }

    /// Forgets the configuration, and opens the relay until there is another one and a lease under it.
    pub fn forget_config(&mut self) {
        self.configured = false;
        self.lease.open(Cause::NoLease);
    }

    /// The configuration in use, if there is one. Without one the relay stays open.
    #[must_use]
    pub const fn config(&self) -> Option<&Config> {
        if self.configured { Some(&self.config) } else { None }
    }

    /// The time for a sample taken now; `None` before the first answer of this start, and then no sample can be stored.
    pub fn stamp(&mut self, now_ms: u32) -> Option<Stamp> {
        self.clock.stamp(now_ms)
    }

    /// Stores a sample for sending and returns its number; see [`Queue::push`] for what is dropped and what fails.
    pub fn push(&mut self, sample: &Sample) -> Result<u32, ProtocolError> {
        self.queue.push(sample)
    }

    /// The samples that wait for an acknowledgement.
    #[must_use]
    pub const fn queue(&self) -> &Queue<N> {
        &self.queue
    }

    /// Notes a card held to the reader; it replaces one still unanswered and travels with the next readings, for at most 60 s.
    pub fn present_card(&mut self, now_ms: u32, card: Card) -> Result<(), ProtocolError> {
        self.taps = self.taps.checked_add(1).ok_or(ProtocolError::Exhausted)?;
        let tap = self.taps;
        self.card = Some((now_ms, Presented { tap, card }));
        Ok(())
    }

    /// The body of `POST /unit/v1/readings` in the caller's buffer (1,024 bytes always do); returns its length.
    ///
    /// Call [`Unit::tick`] just before: what flowed until now is then not counted against the lease in the answer.
    pub fn readings_request(&mut self, now_ms: u32, out: &mut [u8]) -> Result<usize, ProtocolError> {
        let mut buffer = Buffer::new(out);
        self.send_readings(now_ms, |bytes| buffer.put(bytes))?;
        buffer.finish()
    }

    /// The same body piece by piece, for a board without room for a second copy; [`Unit::readings_len`] says its length beforehand.
    pub fn send_readings(&mut self, now_ms: u32, mut sink: impl FnMut(&[u8])) -> Result<(), ProtocolError> {
        if self.card.as_ref().is_some_and(|(since_ms, _)| has_passed(now_ms, since_ms, CARD_VALID_MS)) {
            self.card = None;
        }
        let head = self.next_head()?;
        self.waiting = Waiting::Readings;
        self.sent_sample = self.queue.last_number();
        self.sent_tap = self.card.as_ref().map_or(0, |(_, presented)| presented.tap);
        self.lease.asked(now_ms);
        let sender = Sender {
            head,
            sensor: self.identity.sensor,
            capabilities: self.identity.capabilities,
            presented: self.card.as_ref().map(|(_, presented)| presented),
        };
        write_readings(&sender, &self.queue, &self.keys, &mut sink)
    }

    /// The length in bytes of the next body of readings, for its `Content-Length`.
    #[must_use]
    pub fn readings_len(&self) -> usize {
        self.queue.len().saturating_mul(RECORD_LEN).saturating_add(READINGS_MIN_LEN)
    }

    /// Takes in the body of a 200 answer to readings: sets the clock, forgets what is stored, replaces the lease.
    ///
    /// [`ProtocolError::BadTag`] and [`ProtocolError::NotOurRequest`] open the relay at once; after any error the unit goes on as after
    /// [`Unit::refused`] with `None`.
    #[cfg_attr(target_arch = "avr", inline(never))]
    pub fn readings_answer(&mut self, now_ms: u32, body: &[u8]) -> Result<ReadingsAnswer, ProtocolError> {
        let mut answer = ReadingsAnswer::NOTHING;
        self.take_answer(now_ms, body, &mut answer)?;
        Ok(answer)
    }

    /// As [`Unit::readings_answer`], in place: what it gives is good only without an error.
    #[cfg_attr(target_arch = "avr", inline(never))]
    pub(crate) fn take_answer(&mut self, now_ms: u32, body: &[u8], answer: &mut ReadingsAnswer) -> Result<(), ProtocolError> {
        let mut fields = self.open(body, Kind::ReadingsAnswer, READINGS_ANSWER_LEN, Waiting::Readings)?;
        answer.read(&mut fields)?;
        if answer.stored_sample > self.sent_sample {
            return Err(ProtocolError::OutOfRange);
        }
        self.succeeded();
        self.clock.set(now_ms, answer.server_time_ms);
        self.queue.acknowledge(answer.stored_sample);
        // A card shown since the request left has not been answered.
        if answer.card != CardOutcome::Pending && self.card.as_ref().is_some_and(|(_, presented)| presented.tap == self.sent_tap) {
            self.card = None;
        }
        match (&answer.lease, self.configured) {
            (Some(grant), true) => self.lease.grant_capped(now_ms, grant, self.config.rated_ma),
            // Without a configuration the rated current is unknown: nothing may flow.
            (Some(_), false) | (None, _) => self.lease.open(Cause::NoLease),
        };
        Ok(())
    }

    /// Authenticates an answer to the last request, of which there is only one.
    #[cfg_attr(target_arch = "avr", inline(never))]
    fn open<'a>(&mut self, body: &'a [u8], kind: Kind, length: usize, expected: Waiting) -> Result<Fields<'a>, ProtocolError> {
        let waiting = core::mem::replace(&mut self.waiting, Waiting::Nothing);
        let error = match open(body, kind, &self.keys.down, length, 0) {
            Ok((head, fields)) => {
                if waiting == expected && head == self.head() {
                    return Ok(fields);
                }
                ProtocolError::NotOurRequest
            }
            Err(error) => error,
        };
        // A wrong tag and an answer to something else mean that somebody interferes: the relay opens at once.
        if matches!(error, ProtocolError::BadTag | ProtocolError::NotOurRequest) {
            self.lease.open(Cause::BadAnswer);
        }
        Err(error)
    }

    /// What to do when the answer had another status than 200, or (`None`) did not come, was cut off or did not parse.
    pub fn refused(&mut self, status: Option<u16>) -> Next {
        self.waiting = Waiting::Nothing;
        self.failures = self.failures.saturating_add(1);
        let step = usize::from(self.failures).saturating_sub(1);
        let last = BACKOFF_S.last().copied().unwrap_or_default();
        let after_s = BACKOFF_S.get(step).copied().unwrap_or(last);
        match status {
            Some(401) => {
                self.lease.open(Cause::Refused);
                Next::AskConfig { after_s: WRONG_KEY_PAUSE_S }
            }
            Some(404) => {
                self.lease.open(Cause::Refused);
                Next::AskConfig { after_s: UNKNOWN_PAUSE_S }
            }
            Some(409) => {
                self.conflicts = self.conflicts.saturating_add(1);
                if self.conflicts < GIVE_UP_AFTER {
                    return Next::Retry { after_s };
                }
                Next::NewBoot { after_s }
            }
            Some(400 | 413) => {
                self.malformed = self.malformed.saturating_add(1);
                if self.malformed < GIVE_UP_AFTER {
                    return Next::Retry { after_s };
                }
                self.malformed = 0;
                self.queue.clear();
                self.card = None;
                Next::AskConfig { after_s }
            }
            Some(429) => Next::Retry { after_s: RATE_PAUSE_S },
            Some(_) | None => Next::Retry { after_s },
        }
    }

    /// Accounts for the time since the last tick, in which `current_ma` flowed on average per phase, and says where the relay belongs.
    pub fn tick(&mut self, now_ms: u32, current_ma: [u32; 3]) -> Relay {
        self.lease.tick(now_ms, current_ma)
    }

    /// The lease, to look at.
    #[must_use]
    pub const fn lease(&self) -> &Lease {
        &self.lease
    }

    /// The lease, to block and unblock it when the board has a fault.
    pub const fn lease_mut(&mut self) -> &mut Lease {
        &mut self.lease
    }

    fn head(&self) -> Head {
        Head { device: self.identity.device, boot: self.boot, counter: self.counter }
    }

    fn next_head(&mut self) -> Result<Head, ProtocolError> {
        if self.counter == u32::MAX {
            return Err(ProtocolError::Exhausted);
        }
        self.counter = self.counter.wrapping_add(1);
        Ok(self.head())
    }

    fn succeeded(&mut self) {
        self.failures = 0;
        self.malformed = 0;
        self.conflicts = 0;
    }
}
