//! Which blocks are looked at: of what heights and rounds, how many of one author, and which are kept until their heights and rounds have begun.
//!
//! One liar among the validators may sign as much as he likes, and everything of his that is executed or kept costs everybody. Nothing is judged or verified
//! here. Called by `driver`.

use std::collections::BTreeMap;

use chain::id;

use crate::{context::BlockPart, others::Source};

/// How many rounds ahead of its own the engine looks.
const ROUNDS_AHEAD: u32 = 10;
/// Blocks of one author that are looked at while a round is under way; an honest one sends two at most.
///
/// Of an author, not of all: a liar who proposes in a round could otherwise use up its places with what is no block, and the block that others have locked
/// would never be taken from them. Whatever rounds they belong to: there are more and more that were a liar's turn. In the next round each may send again:
/// what was too old for its own round is judged otherwise then.
const BLOCKS_IN_A_ROUND: usize = 4;
/// How far ahead of the next height blocks are kept; whoever is further behind catches up by synchronisation.
const EARLY_HEIGHTS: u64 = 2;
/// Blocks of one proposer that are kept for such a height.
const EARLY_PARTS: usize = 2;
/// Bytes of blocks that are kept, of all proposers together.
const EARLY_BYTES: usize = 16 << 20;
/// Of these, of one proposer.
const EARLY_BYTES_OF_ONE: usize = 4 << 20;

/// What is known of blocks on their way.
#[derive(Debug)]
pub(super) struct Parts {
    /// The height that is decided next.
    next: id::Height,
    /// Its round that is under way.
    round: u32,
    /// The digests of its blocks that were judged while this round was under way, by author.
    judged: BTreeMap<Source, Vec<[u8; 32]>>,
    early: Vec<(Source, BlockPart)>,
}

impl Parts {
    pub(super) const fn new(next: id::Height) -> Self {
        Self { next, round: 0, judged: BTreeMap::new(), early: Vec::new() }
    }

    /// A round has begun.
    pub(super) fn begin(&mut self, height: id::Height, round: u32) {
        if height == self.next {
            self.round = round;
            self.judged.clear();
        }
    }

    /// A block of this height was committed.
    pub(super) fn committed(&mut self, height: id::Height) {
        self.next = height.next();
        self.round = 0;
        self.judged.clear();
        self.early.retain(|(_, part)| part.height.0 > height.0);
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

    /// Whether a block of the next height is to be judged: few of an author in a round, and each once.
    pub(super) fn takes(&mut self, author: Source, part: &BlockPart) -> bool {
        let digest = *blake3::hash(&part.bytes).as_bytes();
        let blocks = self.judged.entry(author).or_default();
        if blocks.len() >= BLOCKS_IN_A_ROUND || blocks.contains(&digest) {
            return false;
        }
        blocks.push(digest);
        true
    }

    /// Whether a block belongs to a height or a round that has not begun.
    pub(super) const fn is_early(&self, part: &BlockPart) -> bool {
        part.height.0 > self.next.0 || part.round > self.round
    }

    /// Keeps a verified block of a later height or round, if its proposer has not used up his share; gives whether it is kept.
    pub(super) fn keep(&mut self, author: Source, part: BlockPart) -> bool {
        let bytes = |of_all: bool| -> usize {
            let counted = self.early.iter().filter(|(_, kept)| of_all || kept.proposer == part.proposer);
            counted.map(|(_, kept)| kept.bytes.len()).sum::<usize>().saturating_add(part.bytes.len())
        };
        let of_his = |(_, kept): &&(Source, BlockPart)| kept.proposer == part.proposer && kept.height == part.height;
        let has_room = bytes(true) <= EARLY_BYTES && bytes(false) <= EARLY_BYTES_OF_ONE;
        if self.early.iter().any(|(_, kept)| *kept == part) {
            return true;
        }
        let is_kept = has_room && self.early.iter().filter(of_his).count() < EARLY_PARTS;
        if is_kept {
            self.early.push((author, part));
        }
        is_kept
    }

    /// The kept blocks of the height that is next and the round that is under way now, or of one before.
    pub(super) fn due(&mut self) -> Vec<(Source, BlockPart)> {
        let (next, round) = (self.next.0, self.round);
        let is_due = |(_, part): &(Source, BlockPart)| part.height.0 < next || (part.height.0 == next && part.round <= round);
        let (due, later) = std::mem::take(&mut self.early).into_iter().partition(is_due);
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

    fn author(seed: u8) -> Source {
        Some(crate::peer_id(&ed25519_dalek::SigningKey::from_bytes(&[seed; 32])).unwrap().parse().unwrap())
    }

    /// Two junk blocks of anybody took the engine's places for a round, and the proposer's was dropped; then two of a liar in his own round took them from the
    /// block that others had locked there: one validator could halt the chain.
    #[test]
    fn a_liar_has_two_places_in_a_round_and_takes_none_from_those_who_send_a_block_on() {
        let mut parts = Parts::new(id::Height(5));
        let (liar, honest) = (author(1), author(2));
        let taken: Vec<_> = (0..9).filter(|content| parts.takes(liar, &part(5, 1, 1, *content))).collect();
        assert_eq!(taken, [0, 1, 2, 3]);
        assert!(parts.takes(honest, &part(5, 1, 1, 3)), "sent on by another");
        assert!(!parts.takes(honest, &part(5, 1, 1, 3)), "judged once in a round");
        parts.begin(id::Height(5), 2);
        assert!(parts.takes(honest, &part(5, 1, 1, 3)), "it may have been too old in its own round");
        for content in 0..100 {
            assert_eq!(parts.keep(liar, part(6, 0, 1, content)), content < 2, "the rest is his fault");
            parts.keep(liar, part(7, 0, 1, content));
        }
        parts.keep(honest, part(6, 0, 2, 1));
        assert_eq!(parts.early.len(), 5);
        assert!(!parts.keep(honest, part(7, 0, 2, 5_300_000)));
        assert_eq!(parts.early.len(), 5, "more than a full block");
        parts.committed(id::Height(5));
        assert_eq!((parts.due().len(), parts.early.len()), (3, 2));
        assert!(parts.takes(liar, &part(6, 1, 1, 3)), "what was judged of an earlier height is forgotten");
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

    /// A liar proposed a block in round 0 that he had signed for a later turn of his: two nodes locked it while it was young, and the third refused it as too
    /// old in every round up to that one.
    #[test]
    fn a_block_of_a_round_to_come_waits_for_it() {
        let mut parts = Parts::new(id::Height(5));
        let later = part(5, 4, 1, 1);
        assert!(parts.wants(&later) && parts.is_early(&later) && !parts.is_early(&part(5, 0, 2, 1)) && parts.is_early(&part(6, 0, 2, 1)));
        parts.keep(author(1), later);
        for round in 0..4 {
            parts.begin(id::Height(5), round);
            assert!(parts.due().is_empty(), "round {round}");
        }
        parts.begin(id::Height(5), 7);
        assert_eq!(parts.due().len(), 1);
    }
}
