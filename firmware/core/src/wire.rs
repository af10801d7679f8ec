//! The frame that all four messages share: version, kind, head, fields, tag.
//!
//! [`open`] checks from the outside in (length, version, kind, tag) and only then lets a field be read; [`Out`] writes fields and tags them on the way.
//! It knows no field of any one message: `config` and `readings` call it.

use crate::error::ProtocolError;
use crate::mac::{MAX_MESSAGE_LEN, Mac, TAG_LEN, same_tag};
use crate::types::{DeviceId, Head, MAX_TIME_MS};

/// The version of this protocol: the first byte of every message.
const VERSION: u8 = 1;
/// Version, kind, device, boot, counter.
pub(crate) const HEAD_LEN: usize = 14;

/// The second byte of a message; it gives the direction, and the direction the key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum Kind {
    ConfigRequest = 1,
    ConfigAnswer = 2,
    Readings = 3,
    ReadingsAnswer = 4,
}

/// The device that a request claims to come from, **not yet authenticated**: only good for finding its key.
pub fn device_of(message: &[u8]) -> Result<DeviceId, ProtocolError> {
    if message.len() > MAX_MESSAGE_LEN {
        return Err(ProtocolError::TooLong);
    }
    match *message {
        [] => Err(ProtocolError::Length),
        [version, ..] if version != VERSION => Err(ProtocolError::Version),
        [_, _, a, b, c, d, ..] => Ok(DeviceId(u32::from_le_bytes([a, b, c, d]))),
        _ => Err(ProtocolError::Length),
    }
}

/// Checks length, version, kind and tag, then yields the head and what stands between head and tag.
///
/// `record` is the size of the repeated part, 0 where the length is fixed.
#[cfg_attr(target_arch = "avr", inline(never))]
pub(crate) fn open<'a>(
    message: &'a [u8],
    kind: Kind,
    key: &[u8; 32],
    fixed: usize,
    record: usize,
) -> Result<(Head, Fields<'a>), ProtocolError> {
    if message.len() > MAX_MESSAGE_LEN {
        return Err(ProtocolError::TooLong);
    }
    match *message {
        [] => return Err(ProtocolError::Length),
        [version, ..] if version != VERSION => return Err(ProtocolError::Version),
        [_] => return Err(ProtocolError::Length),
        [_, found, ..] if found != kind as u8 => return Err(ProtocolError::Kind),
        [..] => {}
    }
    let repeated = message.len().checked_sub(fixed).ok_or(ProtocolError::Length)?;
    if (record == 0 && repeated != 0) || (record != 0 && !repeated.is_multiple_of(record)) {
        return Err(ProtocolError::Length);
    }
    let (covered, tag) = message.split_last_chunk::<TAG_LEN>().ok_or(ProtocolError::Length)?;
    if !is_tagged(key, covered, tag)? {
        return Err(ProtocolError::BadTag);
    }
    let mut fields = Fields(covered);
    fields.u16();
    let head = Head { device: DeviceId(fields.u32()), boot: fields.u32(), counter: fields.u32() };
    if head.boot == 0 || head.counter == 0 {
        return Err(ProtocolError::OutOfRange);
    }
    Ok((head, fields))
}

fn is_tagged(key: &[u8; 32], covered: &[u8], tag: &[u8; TAG_LEN]) -> Result<bool, ProtocolError> {
    let mut mac = Mac::new(key);
    mac.update(covered);
    Ok(same_tag(&mac.tag()?, tag))
}

/// What is left to read of a message. [`open`] has compared the length with the kind's, so there is always enough; beyond the end are zeros.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fields<'a>(pub(crate) &'a [u8]);

impl<'a> Fields<'a> {
    #[cfg_attr(target_arch = "avr", inline(never))]
    pub(crate) fn u8(&mut self) -> u8 {
        match self.0 {
            [first, rest @ ..] => {
                self.0 = rest;
                *first
            }
            [] => 0,
        }
    }

    pub(crate) fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        for byte in &mut bytes {
            *byte = self.u8();
        }
        bytes
    }

    #[cfg_attr(target_arch = "avr", inline(never))]
    pub(crate) fn u16(&mut self) -> u16 {
        u16::from_le_bytes(self.array())
    }

    #[cfg_attr(target_arch = "avr", inline(never))]
    pub(crate) fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.array())
    }

    pub(crate) fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.array())
    }

    /// A time in six bytes.
    #[cfg_attr(target_arch = "avr", inline(never))]
    pub(crate) fn time(&mut self) -> u64 {
        let [a, b, c, d, e, f] = self.array();
        u64::from_le_bytes([a, b, c, d, e, f, 0, 0])
    }

    pub(crate) fn rest(self) -> &'a [u8] {
        self.0
    }
}

/// [`ProtocolError::OutOfRange`] unless `low <= value <= high`.
pub(crate) fn within<T: PartialOrd>(value: T, low: T, high: T) -> Result<(), ProtocolError> {
    if value < low || value > high {
        return Err(ProtocolError::OutOfRange);
    }
    Ok(())
}

/// Writes a message piece by piece into a sink, and its tag at the end: nothing is kept but the hash, which is the caller's, so that it does not lie in the
/// frames of those who write.
pub(crate) struct Out<'a> {
    mac: &'a mut Mac,
    // Not generic: the unit has room for one copy of every message's writer.
    sink: &'a mut dyn FnMut(&[u8]),
}

impl<'a> Out<'a> {
    /// Writes version, kind and head; `mac` was begun with the key of the direction.
    #[cfg_attr(target_arch = "avr", inline(never))]
    pub(crate) fn start(kind: Kind, head: &Head, mac: &'a mut Mac, sink: &'a mut dyn FnMut(&[u8])) -> Result<Self, ProtocolError> {
        if head.boot == 0 || head.counter == 0 {
            return Err(ProtocolError::OutOfRange);
        }
        let mut out = Self { mac, sink };
        out.u8(VERSION);
        out.u8(kind as u8);
        out.u32(head.device.0);
        out.u32(head.boot);
        out.u32(head.counter);
        Ok(out)
    }

    #[cfg_attr(target_arch = "avr", inline(never))]
    pub(crate) fn put(&mut self, bytes: &[u8]) {
        self.mac.update(bytes);
        (self.sink)(bytes);
    }

    #[cfg_attr(target_arch = "avr", inline(never))]
    pub(crate) fn u8(&mut self, value: u8) {
        self.put(&[value]);
    }

    #[cfg_attr(target_arch = "avr", inline(never))]
    pub(crate) fn u16(&mut self, value: u16) {
        self.put(&value.to_le_bytes());
    }

    #[cfg_attr(target_arch = "avr", inline(never))]
    pub(crate) fn u32(&mut self, value: u32) {
        self.put(&value.to_le_bytes());
    }

    #[cfg_attr(target_arch = "avr", inline(never))]
    pub(crate) fn u64(&mut self, value: u64) {
        self.put(&value.to_le_bytes());
    }

    /// Writes a time in six bytes; the caller has checked it with [`checked_time`].
    #[cfg_attr(target_arch = "avr", inline(never))]
    pub(crate) fn time(&mut self, time_ms: u64) {
        self.put(time_ms.to_le_bytes().first_chunk::<6>().unwrap_or(&[0; 6]));
    }

    /// Writes the tag.
    pub(crate) fn finish(self) -> Result<(), ProtocolError> {
        let tag = self.mac.tag()?;
        (self.sink)(&tag);
        Ok(())
    }
}

/// The time, if six bytes can carry it, else [`ProtocolError::OutOfRange`].
pub(crate) fn checked_time(time_ms: u64) -> Result<u64, ProtocolError> {
    within(time_ms, 0, MAX_TIME_MS)?;
    Ok(time_ms)
}

/// A caller's buffer as a sink: remembers whether everything fitted.
pub(crate) struct Buffer<'a> {
    rest: &'a mut [u8],
    length: usize,
    full: bool,
}

impl<'a> Buffer<'a> {
    pub(crate) fn new(buffer: &'a mut [u8]) -> Self {
        Self { rest: buffer, length: 0, full: false }
    }

    pub(crate) fn put(&mut self, bytes: &[u8]) {
        match core::mem::take(&mut self.rest).split_at_mut_checked(bytes.len()) {
            Some((room, rest)) => {
                room.copy_from_slice(bytes);
                self.rest = rest;
                self.length = self.length.saturating_add(bytes.len());
            }
            None => self.full = true,
        }
    }

    /// The number of bytes written, or [`ProtocolError::BufferTooSmall`].
    pub(crate) fn finish(self) -> Result<usize, ProtocolError> {
        if self.full {
            return Err(ProtocolError::BufferTooSmall);
        }
        Ok(self.length)
    }
}
