//! The samples that the gateway has not yet acknowledged, kept as they travel.
//!
//! A record says how much later and how much more than the record before it, so that sixty of them fit one message; the first one's absolute values stand
//! in the message's header. The queue holds the newest samples that fit in one message: what it drops costs detail, never energy, because the register is
//! cumulative, and the gap in the numbers shows it. It does not outlive a restart. Called by [`crate::Unit`]; `readings` reads and writes its records.

use crate::division::{add, is_less};
use crate::error::ProtocolError;
use crate::types::{Flags, Sample};
use crate::wire::checked_time;

/// The most samples in a message.
pub const MAX_SAMPLES: usize = 60;
/// The size of a record in bytes.
pub(crate) const RECORD_LEN: usize = 16;
/// Stands for "no temperature".
const NO_TEMPERATURE: i16 = i16::MIN;

/// Up to `N` samples in order, numbered from 1 within a boot. `N` is at most 60; a small board takes fewer (16 bytes each).
#[derive(Clone, Debug)]
pub struct Queue<const N: usize> {
    records: [[u8; RECORD_LEN]; N],
    length: usize,
    /// How many samples are gone: the number before that of the oldest one held. All zero at the start: a static of zeros costs no flash.
    gone: u32,
    oldest: Base,
    newest: Base,
    dropped: u32,
}

/// The absolute values that records count from.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Base {
    pub(crate) at_ms: u64,
    pub(crate) register_wh: u64,
}

impl<const N: usize> Default for Queue<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const N: usize> Queue<N> {
    /// An empty queue, whose first sample will have number 1.
    #[must_use]
    pub const fn new() -> Self {
        const { assert!(N >= 1 && N <= MAX_SAMPLES, "1 to 60 samples") }
        Self {
            records: [[0; RECORD_LEN]; N],
            length: 0,
            gone: 0,
            oldest: Base { at_ms: 0, register_wh: 0 },
            newest: Base { at_ms: 0, register_wh: 0 },
            dropped: 0,
        }
    }

    /// Adds a sample and returns its number.
    ///
    /// When the queue is full the oldest sample is dropped. When the sample is too far from the one before it for a record (more than 4 h 39 min, more than
    /// 65,535 Wh, or a lower register: another meter), all older ones are. Fails with [`ProtocolError::Order`] if it is older than the last one,
    /// [`ProtocolError::OutOfRange`] if its time is beyond [`crate::MAX_TIME_MS`], [`ProtocolError::Exhausted`] when the numbers are used up.
    pub fn push(&mut self, sample: &Sample) -> Result<u32, ProtocolError> {
        let at_ms = checked_time(sample.at_ms)?;
        let number = self.next_number();
        let base = Base { at_ms, register_wh: sample.register_wh };
        // The last number stays unused, so that `next_number` still has an answer.
        if number == u32::MAX {
            return Err(ProtocolError::Exhausted);
        }
        if is_less(&at_ms, &self.newest.at_ms) {
            return Err(ProtocolError::Order);
        }
        let mut step = (0, 0);
        if self.length > 0 {
            match base.after(&self.newest) {
                Some(both) => {
                    step = both;
                    if self.length == N {
                        self.drop_oldest(1);
                    }
                    // A queue of one has nothing left to count from.
                    if self.length == 0 {
                        step = (0, 0);
                    }
                }
                None => self.drop_oldest(self.length),
            }
        }
        if self.length == 0 {
            self.oldest = base;
        }
        if let Some(room) = self.records.get_mut(self.length) {
            *room = encode(step, sample);
        }
        self.length = self.length.wrapping_add(1);
        self.newest = base;
        Ok(number)
    }

    /// Forgets the samples up to and including this number: the gateway has stored them.
    #[cfg_attr(target_arch = "avr", inline(never))]
    pub fn acknowledge(&mut self, number: u32) {
        let count = usize::try_from(number.saturating_sub(self.gone)).unwrap_or(usize::MAX);
        self.remove(count);
    }

    /// Begins again with number 1, for another boot.
    pub fn restart(&mut self) {
        self.length = 0;
        self.gone = 0;
        self.oldest = Base { at_ms: 0, register_wh: 0 };
        self.newest = self.oldest;
        self.dropped = 0;
    }

    /// Drops every sample; their numbers stay used.
    pub fn clear(&mut self) {
        self.drop_oldest(self.length);
    }

    /// How many samples wait.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.length
    }

    /// Whether no sample waits.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// How many samples were dropped before they could be delivered, since the start; modulo 2³².
    #[must_use]
    pub const fn dropped(&self) -> u32 {
        self.dropped
    }

    /// The number of the newest sample ever pushed; 0 if there was none.
    #[must_use]
    pub fn last_number(&self) -> u32 {
        self.next_number().wrapping_sub(1)
    }

    pub(crate) fn first_number(&self) -> u32 {
        self.gone.wrapping_add(1)
    }

    pub(crate) fn oldest(&self) -> Base {
        self.oldest
    }

    pub(crate) fn records(&self) -> &[[u8; RECORD_LEN]] {
        self.records.get(..self.length).unwrap_or_default()
    }

    /// A queue whose first sample has this number, for tests of large numbers.
    #[cfg(test)]
    pub(crate) fn starting_at(first: u32) -> Self {
        Self { gone: first - 1, ..Self::new() }
    }

    /// Never wraps: `push` leaves the last number unused.
    fn next_number(&self) -> u32 {
        let length = u32::try_from(self.length).unwrap_or(u32::MAX);
        self.gone.wrapping_add(length).wrapping_add(1)
    }

    fn drop_oldest(&mut self, count: usize) {
        let count = count.min(self.length);
        let lost = u32::try_from(count).unwrap_or(u32::MAX);
        self.dropped = self.dropped.wrapping_add(lost);
        self.remove(count);
    }

    #[cfg_attr(target_arch = "avr", inline(never))]
    fn remove(&mut self, count: usize) {
        let count = count.min(self.length);
        if count == 0 {
            return;
        }
        // The new oldest record's step is what turns the old base into the new one. Sixty steps of 24 and of 16 bits fit 32.
        let (mut ms, mut wh) = (0_u32, 0_u32);
        let gone_and_next = count.wrapping_add(1).min(self.length);
        for record in self.records.iter().take(gone_and_next).skip(1) {
            let step = steps(record);
            ms = ms.wrapping_add(step.0);
            wh = wh.wrapping_add(step.1.into());
        }
        // The sums led to samples that were pushed, so they are in range.
        add(ms.into(), &mut self.oldest.at_ms);
        add(wh.into(), &mut self.oldest.register_wh);
        // By hand: `copy_within` brings a panic, and its text, into the unit's flash.
        for from in count..self.length {
            if let Some((before, after)) = self.records.split_at_mut_checked(from)
                && let (Some(room), Some(record)) = (before.get_mut(from.saturating_sub(count)), after.first())
            {
                *room = *record;
            }
        }
        self.length = self.length.wrapping_sub(count);
        // The number after the last one exists, so this one does.
        self.gone = self.gone.wrapping_add(u32::try_from(count).unwrap_or(u32::MAX));
        if let Some([a, b, c, d, e, ..]) = self.records.first_mut() {
            [*a, *b, *c, *d, *e] = [0; 5];
        }
    }
}

impl Base {
    /// The steps from `earlier` to here, or `None` where a record cannot say them.
    fn after(&self, earlier: &Self) -> Option<(u32, u16)> {
        // A value that falls becomes a step far too large for a record.
        let [m0, m1, m2, m_rest @ ..] = self.at_ms.wrapping_sub(earlier.at_ms).to_le_bytes();
        let [w0, w1, w_rest @ ..] = self.register_wh.wrapping_sub(earlier.register_wh).to_le_bytes();
        if m_rest != [0; 5] || w_rest != [0; 6] {
            return None;
        }
        Some((u32::from_le_bytes([m0, m1, m2, 0]), u16::from_le_bytes([w0, w1])))
    }

    /// Where the steps lead, or `None` beyond the largest time or register.
    #[cfg_attr(target_arch = "avr", inline(never))]
    pub(crate) fn advance(&self, (ms, wh): (u32, u16)) -> Option<Self> {
        let at_ms = checked_time(self.at_ms.checked_add(u64::from(ms))?).ok()?;
        let register_wh = self.register_wh.checked_add(u64::from(wh))?;
        Some(Self { at_ms, register_wh })
    }
}

fn encode((ms, wh): (u32, u16), sample: &Sample) -> [u8; RECORD_LEN] {
    let [t0, t1, t2, _] = ms.to_le_bytes();
    let [e0, e1] = wh.to_le_bytes();
    let [p0, p1] = sample.power_w.to_le_bytes();
    let [l1, l2, l3] = sample.current_ma;
    let ([a0, a1], [b0, b1], [c0, c1]) = (l1.to_le_bytes(), l2.to_le_bytes(), l3.to_le_bytes());
    let temperature = sample.temperature_dc.unwrap_or(NO_TEMPERATURE);
    let [d0, d1] = temperature.to_le_bytes();
    let flags = sample.flags.bits();
    [t0, t1, t2, e0, e1, p0, p1, a0, a1, b0, b1, c0, c1, d0, d1, flags]
}

/// The steps that a record says.
pub(crate) fn steps(record: &[u8; RECORD_LEN]) -> (u32, u16) {
    let [t0, t1, t2, e0, e1, ..] = *record;
    (u32::from_le_bytes([t0, t1, t2, 0]), u16::from_le_bytes([e0, e1]))
}

/// The sample of a record whose absolute values are known.
pub(crate) fn decode(at: Base, record: &[u8; RECORD_LEN]) -> Sample {
    let [_, _, _, _, _, p0, p1, a0, a1, b0, b1, c0, c1, d0, d1, flags] = *record;
    let temperature = i16::from_le_bytes([d0, d1]);
    Sample {
        at_ms: at.at_ms,
        register_wh: at.register_wh,
        power_w: u16::from_le_bytes([p0, p1]),
        current_ma: [u16::from_le_bytes([a0, a1]), u16::from_le_bytes([b0, b1]), u16::from_le_bytes([c0, c1])],
        temperature_dc: (temperature != NO_TEMPERATURE).then_some(temperature),
        flags: Flags::from_bits(flags),
    }
}
