//! Readings on their way to the chain, and what to do where it refuses one.
//!
//! A decided reading waits here until the chain has it. Where the chain refuses one, the book goes back to what the chain has; where it refuses what the meter
//! shows, what can still be believed is attested first: energy that was metered soundly is never dropped. Called by the desk.

use chain::{
    code::Code,
    quantity::Cost,
    record::{Connector, Fault},
    time::Duration,
};
use contracts::call::{Reading, ReadingFlags};

use super::{Indexed, MAX_LEAVES, Metering, Point, Present};
use crate::gateway::store::{DecidedReading, Ending};

/// How long a session rests after a refusal that time may heal.
const REST: Duration = Duration::from_mins(1);

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

    /// Whether the session can be settled once all of its readings are delivered.
    pub fn wants_settlement(&self) -> bool {
        let will_stop = !self.outbox.is_empty() && matches!(self.book.ending, Ending::Money | Ending::Vehicle);
        self.book.finished && (self.is_stopping() || will_stop)
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
        if code == Code::RoleSuspended {
            // Nothing can be attested under this key any more: nobody charges unmetered, and what was accepted before is paid.
            self.book.finished = false;
            self.fail(Fault::MeterFault, present.now);
            self.book.frozen = true;
            return Remedy::DecideAnew;
        }
        if code == Code::ReadingNotYours {
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
        self.outbox.clear();
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
