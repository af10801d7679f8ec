//! What a node knows of the others: how far they are, what they may send, and when they are told how far this one is.
//!
//! A tip is a certificate, so it is believed from anybody. It wakes an idle node that missed the votes, and it is what the watchdog goes by: a node that does not
//! move although the others verifiably do is better started again. Nothing here is sent or answered; `driver` does that.

use std::{collections::HashSet, time::Duration};

use arc_malachitebft_app_channel::app::types::PeerId;
use chain::id::Height;
use tokio::time::Instant;

use crate::{
    limits::{Limits, Rate},
    wake::Wakes,
};

/// How often the others are told the last committed block while nothing happens.
const TIP_INTERVAL: Duration = Duration::from_secs(2);

/// How long after a commit they are told; commits that follow each other share a tip.
const TIP_DELAY: Duration = Duration::from_millis(50);

/// How long a node may commit nothing although the others are verifiably further.
pub(crate) const STANDSTILL_LIMIT: Duration = Duration::from_secs(60);

/// Bytes of transactions that one node may send: several hundred charging sessions a second.
const TRANSACTION_BYTES: Rate = Rate { burst: 4 << 20, per_minute: 60 * (256 << 10) };

/// Messages of one node that turned out to prove nothing, before its messages are looked at no oftener than these come back.
const BAD_PARTS: Rate = Rate { burst: 100, per_minute: 60 };

/// Who answers for a message: the node that wrote it, which the network has authenticated. All that are not of the configuration count as one, so that no
/// number of them has more than one's share, and nobody answers for what he only passes on.
pub(crate) type Source = Option<PeerId>;

/// What is known of the others.
#[derive(Debug)]
pub(crate) struct Others {
    /// The nodes of the configuration, by name in the network.
    known: HashSet<PeerId>,
    transactions: Limits<Source>,
    bad: Limits<Source>,
    /// Of whom was said that he sends too much.
    said: Limits<Source>,
    pub(crate) wakes: Wakes,
    tip_at: Instant,
    /// The highest block that somebody has proved to be committed.
    highest: Height,
    /// Since when this node is behind and has committed nothing.
    still_since: Option<Instant>,
}

impl Others {
    pub(crate) fn new(known: HashSet<PeerId>, now: Instant) -> Self {
        Self {
            known,
            transactions: Limits::new(TRANSACTION_BYTES),
            bad: Limits::new(BAD_PARTS),
            said: Limits::new(Rate { burst: 1, per_minute: 1 }),
            wakes: Wakes::new(),
            tip_at: now + TIP_INTERVAL,
            highest: Height(0),
            still_since: None,
        }
    }

    /// Whether a node is of the configuration.
    pub(crate) fn knows(&self, neighbour: PeerId) -> bool {
        self.known.contains(&neighbour)
    }

    /// Who answers for a message that a neighbour brought: its author; the neighbour, where none is named.
    pub(crate) fn source(&self, neighbour: PeerId, author: Option<PeerId>) -> Source {
        Some(author.unwrap_or(neighbour)).filter(|author| self.known.contains(author))
    }

    /// Whether a node may still send transactions of so many bytes; each counts for a little more than its bytes, and a message for a kibibyte at least.
    pub(crate) fn takes_transactions(&mut self, from: Source, count: usize, bytes: usize, now: Instant) -> bool {
        let cost = (bytes as u64).saturating_add((count as u64).saturating_mul(64)).max(1024);
        self.transactions.take(from, cost, now)
    }

    /// Whether a message of this node is looked at.
    pub(crate) fn hears(&self, from: Source, now: Instant) -> bool {
        self.bad.holds(&from, now)
    }

    /// A message of this node proved nothing; gives whether that was the one too many, which is worth a word now and then.
    pub(crate) fn blame(&mut self, from: Source, now: Instant) -> bool {
        self.bad.take(from, 1, now) && !self.bad.holds(&from, now) && self.said.take(from, 1, now)
    }

    /// Whether a tip of this height says anything new.
    pub(crate) fn is_news(&self, height: Height, own: Height) -> bool {
        height > own && height > self.highest
    }

    /// A block of this height is proved to be committed.
    pub(crate) fn learn(&mut self, height: Height, now: Instant) {
        self.highest = self.highest.max(height);
        self.still_since.get_or_insert(now);
        self.wakes.soon(now);
    }

    /// This node has committed a block.
    pub(crate) fn committed(&mut self, own: Height, now: Instant) {
        self.still_since = self.is_ahead_of(own).then_some(now);
        self.tip_at = self.tip_at.min(now + TIP_DELAY);
    }

    /// Whether somebody is verifiably further.
    pub(crate) fn is_ahead_of(&self, own: Height) -> bool {
        self.highest > own
    }

    /// The highest block that somebody has proved to be committed.
    pub(crate) const fn highest(&self) -> Height {
        self.highest
    }

    /// When something here is to be done.
    pub(crate) fn next(&self) -> Instant {
        let watchdog = self.still_since.map(|since| since + STANDSTILL_LIMIT);
        [Some(self.tip_at), watchdog, self.wakes.at()].into_iter().flatten().min().unwrap_or(self.tip_at)
    }

    /// Whether the others are to be told the tip now.
    pub(crate) fn tip_is_due(&mut self, now: Instant) -> bool {
        let due = now >= self.tip_at;
        if due {
            self.tip_at = now + TIP_INTERVAL;
        }
        due
    }

    /// Whether this node has stood still too long.
    pub(crate) fn stands_still(&self, now: Instant) -> bool {
        self.still_since.is_some_and(|since| now.saturating_duration_since(since) >= STANDSTILL_LIMIT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_stays_behind_is_told_so_and_one_that_moves_is_not() {
        let begin = Instant::now();
        let mut others = Others::new(HashSet::new(), begin);
        assert!(others.is_news(Height(5), Height(3)) && !others.is_news(Height(3), Height(3)));
        others.learn(Height(5), begin);
        assert!(!others.is_news(Height(5), Height(3)), "verified once");
        assert!(!others.stands_still(begin + STANDSTILL_LIMIT / 2));
        others.committed(Height(4), begin + STANDSTILL_LIMIT / 2);
        assert!(!others.stands_still(begin + STANDSTILL_LIMIT), "it moves");
        assert!(others.stands_still(begin + STANDSTILL_LIMIT * 2));
        others.committed(Height(5), begin + STANDSTILL_LIMIT * 2);
        assert!(!others.stands_still(begin + STANDSTILL_LIMIT * 9) && !others.is_ahead_of(Height(5)));
    }

    /// Nobody was ever muted; and as the limit was meant, an observer's junk would have muted the validators who passed it on.
    #[test]
    fn whoever_writes_what_proves_nothing_is_hardly_heard_any_more_and_who_passes_it_on_is() {
        let begin = Instant::now();
        let key = |seed: u8| ed25519_dalek::SigningKey::from_bytes(&[seed; 32]);
        let peer = |seed: u8| -> PeerId { crate::peer_id(&key(seed)).unwrap().parse().unwrap() };
        let (liar, honest, strangers) = (peer(1), peer(2), [peer(3), peer(4)]);
        let mut others = Others::new([liar, honest].into(), begin);
        assert_eq!(others.source(honest, Some(liar)), Some(liar));
        assert_eq!(others.source(honest, None), Some(honest));
        for author in [liar, strangers[0]] {
            let source = others.source(honest, Some(author));
            let told: Vec<_> = (0..1_000).map(|_| others.hears(source, begin) && others.blame(source, begin)).collect();
            assert_eq!((told.iter().filter(|told| **told).count(), told[99]), (1, true));
            assert!(!others.hears(source, begin) && others.hears(source, begin + Duration::from_secs(2)));
        }
        assert!(!others.hears(others.source(honest, Some(strangers[1])), begin), "all strangers are one");
        assert!(others.hears(others.source(liar, Some(honest)), begin));
    }

    #[test]
    fn commits_share_a_tip_and_silence_has_one_now_and_then() {
        let begin = Instant::now();
        let mut others = Others::new(HashSet::new(), begin);
        others.committed(Height(1), begin);
        others.committed(Height(2), begin + TIP_DELAY / 2);
        assert!(!others.tip_is_due(begin + TIP_DELAY / 2) && others.tip_is_due(begin + TIP_DELAY));
        assert!(!others.tip_is_due(begin + TIP_DELAY * 2) && others.tip_is_due(begin + TIP_INTERVAL * 2));
    }
}
