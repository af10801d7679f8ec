//! Readings on their way to the chain, and what to do where it refuses one.
//!
//! A decided reading waits here until the chain has it. Where the chain refuses one, the book goes back to what the chain has; where it refuses what the meter
//! shows, what can still be believed is attested first: energy that was metered soundly is never dropped. Called by the desk.

use chain::{
    code::Code,
    quantity::Cost,
    record::{Connector, Fault},
    time::{Duration, Timestamp},
};
use contracts::call::{Reading, ReadingFlags};
use std::cmp::Ordering;

use super::{Indexed, MAX_LEAVES, Metering, Point, Present};
use crate::gateway::store::{DecidedReading, Ending};

/// How long a session rests after a refusal that time may heal.
const REST: Duration = Duration::from_mins(1);

/// The most withdrawn readings that are remembered.
const MAX_WITHDRAWN: usize = 1_024;

/// What the desk has to do about a refused reading.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::gateway) enum Remedy {
    /// Nothing: its turn comes again.
    Wait,
    /// The book goes back to what the chain has ([`Metering::rewind`]) and decides anew.
    DecideAnew,
    /// The same, but only with what was metered before the refused reading ([`Metering::salvage`]): the chain does not believe it, or takes nothing so late.
    Salvage,
}

impl Metering {
    /// Readings that are to be sent, at most so many.
    pub fn undelivered(&self, most: usize) -> impl Iterator<Item = &Reading> {
        self.outbox.iter().take(most)
    }

    /// How many readings wait to be sent.
    pub fn undelivered_len(&self) -> usize {
        self.outbox.len()
    }

    /// Whether the session can be settled: the chain has stopped it, and has all of its readings.
    pub fn wants_settlement(&self) -> bool {
        self.book.finished && self.is_stopping() && self.outbox.is_empty()
    }

    /// The number of the last reading that the chain has.
    pub fn accepted(&self) -> u64 {
        self.session.meter.map_or(0, |meter| meter.sequence)
    }

    /// What to do about a reading that the chain refused.
    pub fn on_refused(&mut self, sequence: u64, code: Code, present: &Present<'_>) -> Remedy {
        if sequence <= self.accepted() || self.outbox.front().is_none_or(|reading| sequence < reading.sequence) {
            return Remedy::Wait;
        }
        if code == Code::ReadingReplay || code == Code::ReadingGap {
            // Its turn comes again, in order.
            return Remedy::Wait;
        }
        if code == Code::ReadingAhead {
            self.wait_until = Some(present.now.saturating_add(Duration::from_secs(1)));
            return Remedy::Wait;
        }
        // Of a suspension of the key in use its event tells, and it stops what runs; until then another key of ours may be trusted.
        if code == Code::ReadingNotYours || code == Code::RoleSuspended {
            self.wait_until = Some(present.now.saturating_add(REST));
            return Remedy::Wait;
        }
        if code == Code::ReadingFalling || code == Code::ReadingImpossible {
            // The book is not finished yet, whatever it was about to say.
            self.book.finished = false;
            self.fail(Fault::MeterFault, present.now);
            return Remedy::Salvage;
        }
        if code == Code::ReadingAfterStop {
            return Remedy::Salvage;
        }
        self.wait_until = Some(present.now.saturating_add(REST));
        Remedy::DecideAnew
    }

    /// Nothing can be attested under this key any more: nobody charges unmetered, and what was accepted before is paid.
    pub fn suspend(&mut self, at: Timestamp) {
        self.book.finished = false;
        self.fail(Fault::MeterFault, at);
        self.book.frozen = true;
    }

    /// Whether a suspension of our key still has something to stop here.
    pub fn minds_suspension(&self) -> bool {
        !self.book.frozen || !self.outbox.is_empty()
    }

    /// A point as it can be said under the next number, given what was said under it before and the chain has not taken: another register at the same time, or
    /// a lower one later, would be evidence against an honest gateway. Its time moves as far as it must; nothing where it cannot.
    pub(super) fn without_contradiction(&self, point: Point) -> Option<Point> {
        let sequence = self.book.decided.saturating_add(1);
        let moment = Duration::from_ms(1);
        let mut earliest = self.book.last.map_or(Timestamp::default(), |(at, _)| at);
        let mut latest = None;
        for said in self.withdrawn.iter().filter(|said| said.sequence == sequence) {
            match point.register.cmp(&said.register_wh) {
                Ordering::Less => latest = Some(latest.unwrap_or(said.at).min(said.at.saturating_sub(moment))),
                Ordering::Equal => {}
                Ordering::Greater => earliest = earliest.max(said.at.saturating_add(moment)),
            }
        }
        let at = latest.map_or(point.at, |latest| point.at.min(latest)).max(earliest);
        if latest.is_some_and(|latest| at > latest) {
            tracing::warn!(session = %self.id, sequence, register_wh = point.register.get(), "a reading would contradict one that was refused: it is not signed");
            return None;
        }
        Some(Point { at, ..point })
    }

    /// Goes back to what the chain has accepted. `next_leaf`: the first sample of the first reading that it has not.
    /// The caller gives the samples since by [`Metering::resume`] or [`Metering::salvage`].
    pub fn rewind(&mut self, next_leaf: u64) {
        let meter = self.session.meter;
        let book = &mut self.book;
        book.decided = meter.map_or(0, |meter| meter.sequence);
        book.start = meter.map(|meter| meter.start);
        book.last = meter.map(|meter| (meter.at, meter.register));
        // The chain's sum is within the range, or it would not have accepted the reading.
        book.cost = self.session.cost.total().unwrap_or(Cost::ZERO);
        book.next_leaf = next_leaf;
        // A frozen meter has nothing more to say.
        book.finished = book.frozen;
        if matches!(book.ending, Ending::Vehicle | Ending::Money) {
            book.ending = Ending::None;
        }
        self.edge = None;
        self.full_at = None;
        self.leaves.clear();
        self.counted = 0;
        self.newest = None;
        self.withdrawn.retain(|said| said.sequence > self.book.decided);
        self.withdrawn.extend(self.outbox.drain(..));
        let beyond = self.withdrawn.len().saturating_sub(MAX_WITHDRAWN);
        self.withdrawn.drain(..beyond);
    }

    /// Attests what can be believed of these samples, oldest first, up to the first that cannot, and nothing ever after: the meter is frozen.
    pub fn salvage(&mut self, connector: &Connector, samples: &[Indexed], present: &Present<'_>, out: &mut Vec<DecidedReading>) {
        self.book.frozen = false;
        if let Some((last_at, _)) = self.book.last {
            for (_, raw) in samples {
                let register = self.register_of(raw);
                let at = self.time_of(raw, last_at, present);
                // As strict as the chain: it has refused once.
                if self.is_too_late(at, present) || self.doubt(connector, register, at, Duration::ZERO).is_some() {
                    break;
                }
                self.add_leaf(raw);
                self.newest = Some(Point { at, register, power_w: raw.sample.power_w });
                if self.leaves.len() >= MAX_LEAVES {
                    self.read(ReadingFlags::NONE, out);
                }
            }
            self.read_rest(out);
        }
        self.book.frozen = true;
        self.book.finished = true;
    }
}
