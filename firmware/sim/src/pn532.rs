//! A PN532 on the I²C bus that knows two commands: set up, and wait for a card (NXP, UM0701-02).

use std::collections::VecDeque;

use crate::avr::{BusAnswer, BusEvent};

const ADDRESS: u8 = 0x24;
const ACK: [u8; 6] = [0x00, 0x00, 0xff, 0x00, 0xff, 0x00];

/// The reader.
#[derive(Clone, Debug, Default)]
pub struct Pn532 {
    /// Whether there is one.
    pub connected: bool,
    /// Whether it holds the bus and never lets it go.
    pub hangs: bool,
    /// The card that is held to it.
    pub card: Option<Vec<u8>>,
    selected: bool,
    written: Vec<u8>,
    frames: VecDeque<Vec<u8>>,
    listing: bool,
    read: usize,
}

impl Pn532 {
    /// Takes part in a transfer.
    pub fn bus(&mut self, event: BusEvent) -> BusAnswer {
        if self.hangs {
            return BusAnswer::Hangs;
        }
        if event.stop {
            self.end();
        }
        if event.start {
            self.end();
            self.selected = self.connected && event.address >> 1 == ADDRESS;
            if self.selected {
                return BusAnswer::Acknowledged;
            }
        }
        if !self.selected {
            return BusAnswer::Nothing;
        }
        if event.write {
            self.written.push(event.byte);
            return BusAnswer::Acknowledged;
        }
        if event.read {
            return BusAnswer::Byte(self.next());
        }
        BusAnswer::Nothing
    }

    fn next(&mut self) -> u8 {
        if self.listing
            && self.frames.is_empty()
            && let Some(card) = &self.card
        {
            let mut reply = vec![0x4b, 1, 1, 0x00, 0x04, 0x08, card.len() as u8];
            reply.extend(card);
            self.frames.push_back(frame(&reply));
            self.listing = false;
        }
        let place = self.read;
        self.read += 1;
        match self.frames.front() {
            None => 0,
            Some(_) if place == 0 => 1,
            Some(frame) => frame.get(place - 1).copied().unwrap_or(0),
        }
    }

    /// A transfer is over: a command was written, or a frame was read beyond its status.
    fn end(&mut self) {
        if self.read > 1 {
            self.frames.pop_front();
        }
        self.read = 0;
        self.selected = false;
        let written = std::mem::take(&mut self.written);
        let [0x00, 0x00, 0xff, length, complement, 0xd4, command, ..] = written[..] else { return };
        let body = &written[5..5 + usize::from(length) + 1];
        let sum = body.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
        if length.wrapping_add(complement) != 0 || sum != 0 {
            return;
        }
        self.frames.clear();
        self.listing = false;
        self.frames.push_back(ACK.to_vec());
        match command {
            0x14 => self.frames.push_back(frame(&[0x15])),
            0x4a => self.listing = true,
            _ => {}
        }
    }
}

fn frame(reply: &[u8]) -> Vec<u8> {
    let length = reply.len() as u8 + 1;
    let mut frame = vec![0x00, 0x00, 0xff, length, length.wrapping_neg(), 0xd5];
    frame.extend(reply);
    let sum = reply.iter().fold(0xd5_u8, |sum, byte| sum.wrapping_add(*byte));
    frame.extend([sum.wrapping_neg(), 0x00]);
    frame
}
