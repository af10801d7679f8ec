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
    let mut fields = Fields(message);
    if fields.u8()? != VERSION {
        return Err(ProtocolError::Version);
    }
    fields.u8()?;
    fields.u32().map(DeviceId)
}

/// Checks length, version, kind and tag, then yields the head and what stands between head and tag.
///
/// `record` is the size of the repeated part, 0 where the length is fixed.
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
    let mut start = Fields(message);
    if start.u8()? != VERSION {
        return Err(ProtocolError::Version);
    }
    if start.u8()? != kind as u8 {
        return Err(ProtocolError::Kind);
    }
    let repeated = message.len().checked_sub(fixed).ok_or(ProtocolError::Length)?;
    if repeated.checked_rem(record).unwrap_or(repeated) != 0 {
        return Err(ProtocolError::Length);
    }
    let (covered, tag) = message.split_last_chunk::<TAG_LEN>().ok_or(ProtocolError::Length)?;
    let mut mac = Mac::new(key);
    mac.update(covered);
    if !same_tag(&mac.tag()?, tag) {
        return Err(ProtocolError::BadTag);
    }
    let mut fields = Fields(covered);
    fields.array::<2>()?;
    let head = Head { device: DeviceId(fields.u32()?), boot: fields.u32()?, counter: fields.u32()? };
    if head.boot == 0 || head.counter == 0 {
        return Err(ProtocolError::OutOfRange);
    }
    Ok((head, fields))
}

/// What is left to read of a message; every read that finds too little is [`ProtocolError::Length`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], ProtocolError> {
        let (taken, rest) = self.0.split_first_chunk::<N>().ok_or(ProtocolError::Length)?;
        self.0 = rest;
        Ok(*taken)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, ProtocolError> {
        self.array().map(u8::from_le_bytes)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, ProtocolError> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, ProtocolError> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, ProtocolError> {
        self.array().map(u64::from_le_bytes)
    }

    /// A time in six bytes.
    pub(crate) fn time(&mut self) -> Result<u64, ProtocolError> {
        let [a, b, c, d, e, f] = self.array()?;
        Ok(u64::from_le_bytes([a, b, c, d, e, f, 0, 0]))
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

/// Writes a message piece by piece into a sink, and its tag at the end: nothing is kept but the hash.
pub(crate) struct Out<'a, S: FnMut(&[u8])> {
    mac: Mac,
    sink: &'a mut S,
}

impl<'a, S: FnMut(&[u8])> Out<'a, S> {
    /// Writes version, kind and head.
    pub(crate) fn start(kind: Kind, head: &Head, key: &[u8; 32], sink: &'a mut S) -> Result<Self, ProtocolError> {
        if head.boot == 0 || head.counter == 0 {
            return Err(ProtocolError::OutOfRange);
        }
        let mut out = Self { mac: Mac::new(key), sink };
        out.put(&[VERSION, kind as u8]);
        out.put(&head.device.0.to_le_bytes());
        out.put(&head.boot.to_le_bytes());
        out.put(&head.counter.to_le_bytes());
        Ok(out)
    }

    pub(crate) fn put(&mut self, bytes: &[u8]) {
        self.mac.update(bytes);
        (self.sink)(bytes);
    }

    /// Writes a time in six bytes; the caller has checked it with [`checked_time`].
    pub(crate) fn put_time(&mut self, time_ms: u64) {
        let [a, b, c, d, e, f, _, _] = time_ms.to_le_bytes();
        self.put(&[a, b, c, d, e, f]);
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
