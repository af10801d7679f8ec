//! Which blocks are looked at: of what heights and rounds, how many of one round, and which are kept until their parents are committed.
//!
//! One liar among the validators may sign as much as he likes, and everything of his that is executed or kept costs everybody. Nothing is judged or verified
//! here. Called by `driver`.

use std::collections::BTreeMap;

use chain::id;

use crate::context::BlockPart;

/// How many rounds ahead of its own the engine looks.
const ROUNDS_AHEAD: u32 = 10;
/// Different blocks of one round that are looked at: as many as the engine keeps, and enough to prove that somebody proposed two.
const BLOCKS_OF_A_ROUND: usize = 2;
/// How far ahead of the next height blocks are kept; whoever is further behind catches up by synchronisation.
const EARLY_HEIGHTS: u64 = 2;
/// Blocks of one proposer that are kept for such a height.
const EARLY_PARTS: usize = 2;
/// Bytes of blocks that are kept, of all proposers together.
const EARLY_BYTES: usize = 16 << 20;

/// What is known of blocks on their way.
#[derive(Debug)]
pub(super) struct Parts {
    /// The height that is decided next.
    next: id::Height,
    /// Its round that is under way.
    round: u32,
    /// The digests of its blocks that were judged, by round.
    judged: BTreeMap<u32, Vec<[u8; 32]>>,
    early: Vec<BlockPart>,
}

impl Parts {
    pub(super) const fn new(next: id::Height) -> Self {
        Self { next, round: 0, judged: BTreeMap::new(), early: Vec::new() }
    }

    /// A round has begun.
    pub(super) fn begin(&mut self, height: id::Height, round: u32) {
        if height == self.next {
            self.round = round;
        }
    }

    /// A block of this height was committed.
    pub(super) fn committed(&mut self, height: id::Height) {
        self.next = height.next();
        self.round = 0;
        self.judged.clear();
        self.early.retain(|part| part.height.0 > height.0);
    }

    /// The round that is under way; 0 before the first.
    pub(super) const fn round(&self) -> u32 {
        self.round
    }

    /// Whether a block of this height and round can be of use.
    pub(super) const fn wants(&self, part: &BlockPart) -> bool {
        let (next, height) = (self.next.0, part.height.0);
        let ahead = if height == next { self.round } else { 0 };
        height >= next && height <= next.saturating_add(EARLY_HEIGHTS) && part.round <= ahead.saturating_add(ROUNDS_AHEAD)
    }

    /// Whether a block of the next height is to be judged: one that was before, or one of the first two of its round.
    pub(super) fn takes(&mut self, part: &BlockPart) -> bool {
        let digest = *blake3::hash(&part.bytes).as_bytes();
        let blocks = self.judged.entry(part.round).or_default();
        if !blocks.contains(&digest) {
            if blocks.len() >= BLOCKS_OF_A_ROUND {
                return false;
            }
            blocks.push(digest);
        }
        true
    }

    /// Keeps a verified block of a later height, if its proposer has not used up his share.
    pub(super) fn keep(&mut self, part: BlockPart) {
        let of_his = |kept: &&BlockPart| kept.proposer == part.proposer && kept.height == part.height;
        let bytes: usize = self.early.iter().map(|kept| kept.bytes.len()).sum();
        let has_room = bytes.saturating_add(part.bytes.len()) <= EARLY_BYTES;
        if has_room && self.early.iter().filter(of_his).count() < EARLY_PARTS && !self.early.contains(&part) {
            self.early.push(part);
        }
    }

    /// The kept blocks of the height that is next now.
    pub(super) fn due(&mut self) -> Vec<BlockPart> {
        let next = self.next.0;
        let (due, later) = std::mem::take(&mut self.early).into_iter().partition(|part| part.height.0 <= next);
        self.early = later;
        due
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use chain::crypto::Signature;

    use super::*;
    use crate::context::{Address, Height};

    fn part(height: u64, round: u32, proposer: u8, content: usize) -> BlockPart {
        let proposer = Address(id::Address([proposer; 32]));
        let bytes = Bytes::from(content.to_le_bytes().repeat(1 + content / 10));
        BlockPart { height: Height(height), round, proposer, bytes, signature: Signature([0; 64]) }
    }

    /// Two junk blocks of anybody took the engine's places for a round, and the proposer's was dropped: one validator could halt the chain.
    #[test]
    fn a_liar_has_two_places_in_his_own_rounds_and_few_in_heights_to_come() {
        let mut parts = Parts::new(id::Height(5));
        assert!(parts.takes(&part(5, 1, 1, 1)) && parts.takes(&part(5, 1, 1, 2)) && !parts.takes(&part(5, 1, 1, 3)));
        assert!(parts.takes(&part(5, 1, 1, 2)), "one that was judged may be judged again");
        assert!(parts.takes(&part(5, 2, 2, 3)), "another's round");
        for content in 0..100 {
            parts.keep(part(6, 0, 1, content));
            parts.keep(part(7, 0, 1, content));
        }
        parts.keep(part(6, 0, 2, 1));
        assert_eq!(parts.early.len(), 5);
        parts.committed(id::Height(5));
        assert_eq!((parts.due().len(), parts.early.len()), (3, 2));
        assert!(parts.takes(&part(6, 1, 1, 3)), "what was judged of an earlier height is forgotten");
    }

    #[test]
    fn heights_and_rounds_far_away_are_not_looked_at() {
        let mut parts = Parts::new(id::Height(5));
        let wanted = |parts: &Parts, height, round| parts.wants(&part(height, round, 1, 1));
        assert!(wanted(&parts, 5, 0) && wanted(&parts, 5, ROUNDS_AHEAD) && !wanted(&parts, 5, ROUNDS_AHEAD + 1));
        assert!(!wanted(&parts, 4, 0) && wanted(&parts, 7, 0) && !wanted(&parts, 8, 0) && !wanted(&parts, u64::MAX, 0));
        parts.begin(id::Height(5), 30);
        assert!(wanted(&parts, 5, 30 + ROUNDS_AHEAD) && wanted(&parts, 5, 0) && !wanted(&parts, 6, ROUNDS_AHEAD + 1));
        parts.begin(id::Height(4), 90);
        assert_eq!(parts.round(), 30);
    }
}
