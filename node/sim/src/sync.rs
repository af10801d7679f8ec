//! Which blocks a simulated node asks whom for: what it wants next, what it has been given and not decided yet.
//!
//! The engine's own choice of peers follows the order of a hash map and cannot be repeated, so this stands in its place. Certificates and blocks are checked
//! by the same code as in a running node: by the engine and the application, not here. Called by `node`.

use std::collections::BTreeMap;

use arc_malachitebft_app_channel::app::types::sync::RawDecidedValue;
use consensus::context::Context;

use crate::rng::Rng;

/// How long an answer may take, in microseconds.
pub(crate) const PATIENCE: u64 = 3_000_000;
/// Blocks that are asked for at once.
const BATCH: u64 = 8;

/// A question that is under way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    pub(crate) number: u64,
    pub(crate) peer: usize,
    pub(crate) from: u64,
    pub(crate) to: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Sync {
    /// The highest block of each peer, as it says.
    tips: BTreeMap<usize, u64>,
    asked: Option<Asked>,
    numbers: u64,
    /// Given and not handed to the engine.
    given: BTreeMap<u64, (usize, RawDecidedValue<Context>)>,
    /// Handed to the engine, from whom.
    in_hand: Option<(u64, usize)>,
}

impl Sync {
    pub(crate) fn learn(&mut self, peer: usize, tip: u64) {
        self.tips.insert(peer, tip);
    }

    /// Whether anybody says to have more than this.
    pub(crate) fn is_behind(&self, tip: u64) -> bool {
        self.tips.values().any(|other| *other > tip) || self.given.keys().next_back().is_some_and(|height| *height > tip)
    }

    /// The next question, if one is due: for the first height after `tip` that is not here yet.
    pub(crate) fn ask(&mut self, tip: u64, rng: &mut Rng) -> Option<Asked> {
        self.given.retain(|height, _| *height > tip);
        if self.in_hand.is_some_and(|(height, _)| height <= tip) {
            self.in_hand = None;
        }
        if self.asked.is_some() {
            return None;
        }
        let mut from = tip + 1;
        while self.given.contains_key(&from) || self.in_hand.is_some_and(|(height, _)| height == from) {
            from += 1;
        }
        let able: Vec<(usize, u64)> = self.tips.iter().filter(|(_, tip)| **tip >= from).map(|(peer, tip)| (*peer, *tip)).collect();
        if able.is_empty() {
            return None;
        }
        let (peer, has) = *rng.pick(&able);
        self.numbers += 1;
        let asked = Asked { number: self.numbers, peer, from, to: has.min(from + BATCH - 1) };
        self.asked = Some(asked);
        self.asked
    }

    /// An answer; one that was not asked for is dropped. Whoever gives nothing is not asked again until it says more.
    pub(crate) fn answered(&mut self, number: u64, peer: usize, start: u64, values: Vec<RawDecidedValue<Context>>) {
        let Some(asked) = self.asked.take_if(|asked| asked.number == number && asked.peer == peer) else { return };
        let mut useful = false;
        for (height, value) in (start..).zip(values) {
            // As the engine's own synchronisation does: a certificate of another height is no answer.
            if (asked.from..=asked.to).contains(&height) && value.certificate.height.0 == height {
                self.given.entry(height).or_insert((peer, value));
                useful = true;
            }
        }
        if !useful {
            self.tips.remove(&peer);
        }
    }

    /// The answer did not come.
    pub(crate) fn timed_out(&mut self, number: u64) {
        if let Some(asked) = self.asked.take_if(|asked| asked.number == number) {
            self.tips.remove(&asked.peer);
        }
    }

    /// What can be handed to the engine at this height.
    pub(crate) fn take(&mut self, height: u64) -> Option<(usize, RawDecidedValue<Context>)> {
        let (peer, value) = self.given.remove(&height)?;
        self.in_hand = Some((height, peer));
        Some((peer, value))
    }

    /// What was handed to the engine for this height was no good.
    pub(crate) fn refused(&mut self, height: u64) {
        if let Some((_, peer)) = self.in_hand.take_if(|(held, _)| *held == height) {
            self.tips.remove(&peer);
            self.given.retain(|_, (from, _)| *from != peer);
        }
    }
}
