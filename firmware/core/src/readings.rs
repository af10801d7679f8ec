//! `POST /unit/v1/readings`: samples and a card go up, the lease comes down.
//!
//! A request has a 48-byte header, up to sixty records of 16 bytes and a tag: 1,024 bytes at most. Parsing borrows the caller's bytes and has checked every
//! record when it returns, so reading the samples cannot fail. Whether the counter and the samples are new is for [`crate::Seen`].

use core::fmt;

use crate::error::ProtocolError;
use crate::lease::Grant;
use crate::mac::{Keys, Mac, TAG_LEN};
use crate::queue::{Base, MAX_SAMPLES, Queue, RECORD_LEN, decode, steps};
use crate::types::{Capabilities, Card, Flags, Head, Presented, Sample, SensorId};
use crate::wire::{Buffer, Fields, HEAD_LEN, Kind, Out, checked_time, open};

/// The length in bytes of a request without samples.
pub const READINGS_MIN_LEN: usize = HEAD_LEN + 34 + TAG_LEN;
/// The length of a [`ReadingsAnswer`] in bytes.
pub const READINGS_ANSWER_LEN: usize = HEAD_LEN + 24 + TAG_LEN;

/// What a unit puts into the header of its readings.
pub(crate) struct Sender<'a> {
    pub(crate) head: Head,
    pub(crate) sensor: SensorId,
    pub(crate) capabilities: Capabilities,
    pub(crate) presented: Option<&'a Presented>,
}

/// Writes readings piece by piece (unit).
pub(crate) fn write_readings<const N: usize>(
    sender: &Sender<'_>,
    queue: &Queue<N>,
    keys: &Keys,
    sink: &mut dyn FnMut(&[u8]),
) -> Result<(), ProtocolError> {
    let records = queue.records();
    let count = u8::try_from(records.len()).map_err(|_| ProtocolError::OutOfRange)?;
    let mut mac = Mac::new(&keys.up);
    let mut out = Out::start(Kind::Readings, &sender.head, &mut mac, sink)?;
    out.u8(sender.sensor.get());
    out.u8(sender.capabilities.bits());
    write_card(&mut out, sender.presented);
    let (first, base) = if count == 0 { (0, Base::default()) } else { (queue.first_number(), queue.oldest()) };
    out.u32(first);
    out.u8(count);
    out.time(base.at_ms);
    out.u64(base.register_wh);
    for record in records {
        out.put(record);
    }
    out.finish()
}

fn write_card(out: &mut Out<'_>, presented: Option<&Presented>) {
    let Some(Presented { tap, card }) = presented else {
        return out.put(&[0; 3 + Card::MAX_LEN]);
    };
    out.u16(*tap);
    out.put(card.padded());
}

/// A unit's readings, authenticated and checked (gateway).
#[derive(Clone, Copy)]
pub struct Readings<'a> {
    /// Whose exchange this is.
    pub head: Head,
    /// The place, from the switches.
    pub sensor: SensorId,
    /// What the unit is built with.
    pub capabilities: Capabilities,
    /// A card that was held to the unit and not yet answered.
    pub presented: Option<Presented>,
    first: u32,
    base: Base,
    records: &'a [[u8; RECORD_LEN]],
}

impl<'a> Readings<'a> {
    /// Reads and authenticates a message.
    #[cfg_attr(target_arch = "avr", inline(never))]
    pub fn parse(message: &'a [u8], keys: &Keys) -> Result<Self, ProtocolError> {
        let (kind, key) = (Kind::Readings, &keys.up);
        let (head, mut fields) = open(message, kind, key, READINGS_MIN_LEN, RECORD_LEN)?;
        let sensor = SensorId::new(fields.u8())?;
        let capabilities = Capabilities::from_bits(fields.u8())?;
        let presented = presented(fields.u16(), fields.u8(), &fields.array())?;
        let first = fields.u32();
        let count = usize::from(fields.u8());
        let base = Base { at_ms: fields.time(), register_wh: fields.u64() };
        let (records, rest) = fields.rest().as_chunks::<RECORD_LEN>();
        if count > MAX_SAMPLES {
            return Err(ProtocolError::OutOfRange);
        }
        if records.len() != count || !rest.is_empty() {
            return Err(ProtocolError::Length);
        }
        if presented.is_some() && !capabilities.has(Capabilities::CARD_READER) {
            return Err(ProtocolError::OutOfRange);
        }
        check_numbers(first, records.len(), &base)?;
        check_records(base, records, capabilities)?;
        Ok(Self { head, sensor, capabilities, presented, first, base, records })
    }

    /// The samples, oldest first, each with its number.
    #[must_use]
    pub fn samples(&self) -> Samples<'a> {
        Samples { number: self.first, base: self.base, records: self.records.iter() }
    }

    /// How many samples there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there is no sample: the unit only asks for its lease.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The numbers of the first and the last sample, if there is one.
    #[must_use]
    pub fn numbers(&self) -> Option<(u32, u32)> {
        let later = u32::try_from(self.records.len()).ok()?.checked_sub(1)?;
        Some((self.first, self.first.checked_add(later)?))
    }

    /// Whether a plug was in at a sample; `None` if the unit cannot tell.
    #[must_use]
    pub fn plug(&self, sample: &Sample) -> Option<bool> {
        self.capabilities.has(Capabilities::PLUG_SIGNAL).then_some(sample.flags.has(Flags::PLUG_PRESENT))
    }
}

impl fmt::Debug for Readings<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Readings")
            .field("head", &self.head)
            .field("sensor", &self.sensor)
            .field("presented", &self.presented)
            .field("numbers", &self.numbers())
            .finish_non_exhaustive()
    }
}

/// The samples of [`Readings`], with their numbers.
#[derive(Clone, Debug)]
pub struct Samples<'a> {
    number: u32,
    base: Base,
    records: core::slice::Iter<'a, [u8; RECORD_LEN]>,
}

impl Iterator for Samples<'_> {
    type Item = (u32, Sample);

    fn next(&mut self) -> Option<Self::Item> {
        let record = self.records.next()?;
        // `check_records` has walked the same way without a failure.
        self.base = self.base.advance(steps(record))?;
        let item = (self.number, decode(self.base, record));
        self.number = self.number.saturating_add(1);
        Some(item)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.records.size_hint()
    }
}

impl ExactSizeIterator for Samples<'_> {}

fn presented(tap: u16, length: u8, uid: &[u8; Card::MAX_LEN]) -> Result<Option<Presented>, ProtocolError> {
    let (shown, padding) = uid.split_at_checked(usize::from(length)).ok_or(ProtocolError::OutOfRange)?;
    if padding.iter().any(|byte| *byte != 0) {
        return Err(ProtocolError::Reserved);
    }
    match (tap, length) {
        (0, 0) => Ok(None),
        (0, _) | (_, 0) => Err(ProtocolError::OutOfRange),
        (tap, _) => Ok(Some(Presented { tap, card: Card::new(shown)? })),
    }
}

fn check_numbers(first: u32, count: usize, base: &Base) -> Result<(), ProtocolError> {
    if count == 0 {
        if first != 0 || base.at_ms != 0 || base.register_wh != 0 {
            return Err(ProtocolError::Reserved);
        }
        return Ok(());
    }
    let count = u32::try_from(count).map_err(|_| ProtocolError::OutOfRange)?;
    // The number after the last one must exist as well: the next sample's.
    if first == 0 || first.checked_add(count).is_none() {
        return Err(ProtocolError::OutOfRange);
    }
    Ok(())
}

fn check_records(mut base: Base, records: &[[u8; RECORD_LEN]], capabilities: Capabilities) -> Result<(), ProtocolError> {
    if records.first().is_some_and(|first| steps(first) != (0, 0)) {
        return Err(ProtocolError::Reserved);
    }
    for record in records {
        base = base.advance(steps(record)).ok_or(ProtocolError::OutOfRange)?;
        let plug = decode(base, record).flags.has(Flags::PLUG_PRESENT);
        if plug && !capabilities.has(Capabilities::PLUG_SIGNAL) {
            return Err(ProtocolError::OutOfRange);
        }
    }
    Ok(())
}

/// What the gateway says about the card in a request.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[repr(u8)]
pub enum CardOutcome {
    /// The request had none.
    #[default]
    None = 0,
    /// The card is known and its wish is being carried out.
    Accepted = 1,
    /// The card may not do this here.
    Refused = 2,
    /// The gateway is still asking; the unit keeps the card and sends it again.
    Pending = 3,
}

impl CardOutcome {
    fn from_byte(byte: u8) -> Result<Self, ProtocolError> {
        match byte {
            0 => Ok(Self::None),
            1 => Ok(Self::Accepted),
            2 => Ok(Self::Refused),
            3 => Ok(Self::Pending),
            _ => Err(ProtocolError::OutOfRange),
        }
    }
}

/// The gateway's answer to readings. Ranges are checked when it is sealed and when it is parsed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReadingsAnswer {
    /// The gateway's time at the answer, in ms since the Unix epoch, UTC.
    pub server_time_ms: u64,
    /// The highest sample number of this boot that the gateway has stored durably; 0 for none.
    pub stored_sample: u32,
    /// What became of the card.
    pub card: CardOutcome,
    /// The unit should ask for its configuration again.
    pub reload_config: bool,
    /// How long and how much current may flow from now on; `None`: the relay opens at once. It replaces the lease before, it does not add to it.
    pub lease: Option<Grant>,
}

impl ReadingsAnswer {
    /// Before an answer is read.
    pub(crate) const NOTHING: Self =
        Self { server_time_ms: 0, stored_sample: 0, card: CardOutcome::None, reload_config: false, lease: None };

    /// The authenticated answer to the request with this head (gateway).
    pub fn seal(&self, request: &Head, keys: &Keys) -> Result<[u8; READINGS_ANSWER_LEN], ProtocolError> {
        let mut message = [0; READINGS_ANSWER_LEN];
        let mut buffer = Buffer::new(&mut message);
        self.write(request, keys, &mut |bytes| buffer.put(bytes))?;
        buffer.finish()?;
        Ok(message)
    }

    /// The same piece by piece, for where there is no room for it; nothing is written where a field is out of range.
    pub fn write(&self, request: &Head, keys: &Keys, sink: &mut dyn FnMut(&[u8])) -> Result<(), ProtocolError> {
        checked_time(self.server_time_ms)?;
        let mut mac = Mac::new(&keys.down);
        let mut out = Out::start(Kind::ReadingsAnswer, request, &mut mac, sink)?;
        out.time(self.server_time_ms);
        out.u32(self.stored_sample);
        out.put(&[self.card as u8, u8::from(self.reload_config)]);
        let (seconds, amount, limits) = match &self.lease {
            Some(grant) => grant.parts(),
            None => (0, 0, [0; 3]),
        };
        out.u16(seconds);
        out.u32(amount);
        for limit in limits {
            out.u16(limit);
        }
        out.finish()
    }

    /// Reads and authenticates an answer (unit) and says which request it answers.
    pub fn parse(message: &[u8], keys: &Keys) -> Result<(Head, Self), ProtocolError> {
        let kind = Kind::ReadingsAnswer;
        let (head, mut fields) = open(message, kind, &keys.down, READINGS_ANSWER_LEN, 0)?;
        let mut answer = Self::NOTHING;
        answer.read(&mut fields)?;
        Ok((head, answer))
    }

    /// Takes over the fields of an authentic answer. After an error it is not to be used.
    pub(crate) fn read(&mut self, fields: &mut Fields<'_>) -> Result<(), ProtocolError> {
        self.server_time_ms = fields.time();
        self.stored_sample = fields.u32();
        self.card = CardOutcome::from_byte(fields.u8())?;
        self.reload_config = match fields.u8() {
            0 => false,
            1 => true,
            _ => return Err(ProtocolError::Reserved),
        };
        let (seconds, amount) = (fields.u16(), fields.u32());
        let limits = [fields.u16(), fields.u16(), fields.u16()];
        self.lease = match (seconds, amount, limits) {
            (0, 0, [0, 0, 0]) => None,
            (seconds, amount, limits) => Some(Grant::new(seconds, amount, limits)?),
        };
        Ok(())
    }
}
