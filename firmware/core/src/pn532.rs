//! The PN532 card reader on I²C: waits for a card of ISO 14443 type A and gives its identifier.
//!
//! Two commands of it are used, `SAMConfiguration` and `InListPassiveTarget` (NXP, UM0701-02, sections 6.2.1.1, 7.2.10 and 7.3.5), without its interrupt line. It reads no
//! memory of a card and checks no secret of one: an identifier can be copied, so a card alone is worth what its owner's mandate allows. Called by boards.

use embedded_hal::i2c::I2c;

use crate::clock::has_passed;
use crate::types::Card;

/// The reader's address.
pub const ADDRESS: u8 = 0x24;
/// How often the reader is asked, in ms.
const EVERY_MS: u32 = 50;
/// After a failure, so long until the reader is set up again, in ms.
const REST_MS: u32 = 1_000;
/// A command that is not acknowledged for so long has failed, in ms.
const ACKNOWLEDGED_MS: u32 = 500;
/// A card seen again within so many ms has not been away.
const AWAY_MS: u32 = 3_000;

/// Normal mode, no timeout, interrupt line in use.
const SETUP: [u8; 12] = frame([0x14, 0x01, 0x00, 0x01], 5);
/// One target, 106 kbit/s type A.
const LIST: [u8; 11] = frame([0x4a, 0x01, 0x00], 4);
const ACK: [u8; 6] = [0x00, 0x00, 0xff, 0x00, 0xff, 0x00];

/// The reader does not answer, or not as a PN532 does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReaderError;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Resting,
    SettingUp,
    IsSetUp,
    Listing,
    /// Acknowledged: the reader answers when a card comes.
    Waiting,
}

/// The reader on its bus.
#[derive(Debug)]
pub struct Pn532<B> {
    bus: B,
    state: State,
    since_ms: u32,
    asked_ms: u32,
    last: Option<(Card, u32)>,
}

impl<B: I2c> Pn532<B> {
    /// A reader that is set up a second after the start.
    pub const fn new(bus: B) -> Self {
        Self { bus, state: State::Resting, since_ms: 0, asked_ms: 0, last: None }
    }

    /// To be called every few ms: a card that has just come.
    ///
    /// # Errors
    /// [`ReaderError`]; the reader is set up again by later calls.
    pub fn poll(&mut self, now_ms: u32) -> Result<Option<Card>, ReaderError> {
        if !has_passed(now_ms, &self.asked_ms, EVERY_MS) {
            return Ok(None);
        }
        self.asked_ms = now_ms;
        let outcome = self.advance(now_ms);
        if outcome.is_err() {
            self.enter(State::Resting, now_ms);
        }
        outcome
    }

    fn advance(&mut self, now_ms: u32) -> Result<Option<Card>, ReaderError> {
        match self.state {
            State::Resting => {
                if has_passed(now_ms, &self.since_ms, REST_MS) {
                    self.command(&SETUP)?;
                    self.enter(State::SettingUp, now_ms);
                }
                Ok(None)
            }
            State::SettingUp | State::Listing => {
                if self.acknowledged()? {
                    let next = if self.state == State::Listing { State::Waiting } else { State::IsSetUp };
                    self.enter(next, now_ms);
                    return Ok(None);
                }
                if has_passed(now_ms, &self.since_ms, ACKNOWLEDGED_MS) { Err(ReaderError) } else { Ok(None) }
            }
            State::IsSetUp => {
                let mut reply = [0; 10];
                if self.reply(&mut reply)? {
                    self.list(now_ms)?;
                } else if has_passed(now_ms, &self.since_ms, ACKNOWLEDGED_MS) {
                    return Err(ReaderError);
                }
                Ok(None)
            }
            State::Waiting => {
                let mut reply = [0; 28];
                if !self.reply(&mut reply)? {
                    return Ok(None);
                }
                self.list(now_ms)?;
                Ok(target(&reply).and_then(|card| self.note(card, now_ms)))
            }
        }
    }

    /// A card that was there a moment ago is no new one.
    fn note(&mut self, card: Card, now_ms: u32) -> Option<Card> {
        let before = self.last.replace((card, now_ms));
        let stayed = before.is_some_and(|(known, seen_ms)| known == card && !has_passed(now_ms, &seen_ms, AWAY_MS));
        (!stayed).then_some(card)
    }

    fn list(&mut self, now_ms: u32) -> Result<(), ReaderError> {
        self.command(&LIST)?;
        self.enter(State::Listing, now_ms);
        Ok(())
    }

    fn enter(&mut self, state: State, now_ms: u32) {
        self.state = state;
        self.since_ms = now_ms;
    }

    fn command(&mut self, frame: &[u8]) -> Result<(), ReaderError> {
        self.bus.write(ADDRESS, frame).map_err(|_| ReaderError)
    }

    fn is_ready(&mut self) -> Result<bool, ReaderError> {
        let mut status = [0];
        self.bus.read(ADDRESS, &mut status).map_err(|_| ReaderError)?;
        Ok(status == [1])
    }

    fn acknowledged(&mut self) -> Result<bool, ReaderError> {
        if !self.is_ready()? {
            return Ok(false);
        }
        let mut answer = [0; 7];
        self.bus.read(ADDRESS, &mut answer).map_err(|_| ReaderError)?;
        let [_, frame @ ..] = answer;
        if frame == ACK { Ok(true) } else { Err(ReaderError) }
    }

    /// Reads a reply's frame, status byte first, if there is one.
    #[cfg_attr(target_arch = "avr", inline(never))]
    fn reply(&mut self, reply: &mut [u8]) -> Result<bool, ReaderError> {
        if !self.is_ready()? {
            return Ok(false);
        }
        self.bus.read(ADDRESS, reply).map_err(|_| ReaderError)?;
        let [_, 0x00, 0x00, 0xff, length, complement, rest @ ..] = &*reply else { return Err(ReaderError) };
        let sum = rest.iter().take(usize::from(*length).saturating_add(1)).fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
        if length.wrapping_add(*complement) != 0 || usize::from(*length) >= rest.len() || sum != 0 {
            return Err(ReaderError);
        }
        Ok(true)
    }
}

/// A command's frame: preamble, length and its complement, direction, the bytes, their complement, postamble.
#[allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "computed by the compiler, which would refuse a mistake"
)]
const fn frame<const N: usize, const M: usize>(command: [u8; N], length: u8) -> [u8; M] {
    let mut frame = [0; M];
    assert!(N + 1 == length as usize, "the direction is counted as well");
    let head = [0x00, 0x00, 0xff, length, length.wrapping_neg(), 0xd4];
    let mut sum = 0xd4_u8;
    let mut at = 0;
    while at < head.len() {
        frame[at] = head[at];
        at += 1;
    }
    at = 0;
    while at < N {
        frame[head.len() + at] = command[at];
        sum = sum.wrapping_add(command[at]);
        at += 1;
    }
    frame[head.len() + N] = sum.wrapping_neg();
    frame
}

/// The card in the reply to [`LIST`]: one target, its number, what it is, the length of its identifier, the identifier.
fn target(reply: &[u8; 28]) -> Option<Card> {
    let [_, _, _, _, _, _, 0xd5, 0x4b, 1, _, _, _, _, length, uid @ ..] = reply else { return None };
    Card::new(uid.get(..usize::from(*length))?).ok()
}
