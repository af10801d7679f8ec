//! Who comes when, and in which order things happen that happen at once.
//!
//! Pure: no node, no network, no clock of its own. An instant has two parts. First what ends or goes on: cars leave, become full, are metered, residents give
//! up or stop; then cars come. So a car that leaves as its owner's next one comes is settled before the next session opens, and everything that opens at one
//! instant can share a block. Within a part the order is that of the connectors, or of the visits. Called by [`crate::drive`].

use std::collections::BTreeSet;

use chain::quantity::Amount;

use crate::rows::SourceSession;

/// A car's stay, as it is planned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Visit {
    /// When it comes and goes, what it needs.
    pub source: SourceSession,
    /// Where, by the number of the connector among those of all condominiums.
    pub connector: usize,
    /// Who comes, by his number among all people.
    pub person: usize,
    /// What its owner locks.
    pub escrow: Escrow,
    /// When its owner stops it by hand, ms, if he does.
    pub stop_at_ms: Option<u64>,
}

/// What a resident locks for a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Escrow {
    /// The quote's maximum: then money never ends it.
    Maximum,
    /// So much.
    Fixed(Amount),
}

/// The visits to come, in order, and when each connector has something to do next.
#[derive(Debug, Default)]
pub struct Agenda {
    /// In order of their coming; the next one last.
    coming: Vec<(u64, usize)>,
    due: BTreeSet<(u64, usize)>,
    due_at: Vec<Option<u64>>,
}

impl Agenda {
    /// The agenda of these visits, which are taken in the order of (plug-in, place in the list), for so many connectors.
    #[must_use]
    pub fn new(visits: &[Visit], connectors: usize) -> Self {
        let mut coming: Vec<_> = visits.iter().enumerate().map(|(number, visit)| (visit.source.plug_in_ms, number)).collect();
        coming.sort_unstable();
        coming.reverse();
        Self { coming, due: BTreeSet::new(), due_at: vec![None; connectors] }
    }

    /// The next instant at which anything happens, ms.
    #[must_use]
    pub fn next_ms(&self) -> Option<u64> {
        let due = self.due.first().map(|(at_ms, _)| *at_ms);
        let comes = self.coming.last().map(|(at_ms, _)| *at_ms);
        due.into_iter().chain(comes).min()
    }

    /// Says when a connector has something to do next; nothing takes it off the agenda.
    pub fn set(&mut self, connector: usize, at_ms: Option<u64>) {
        let Some(slot) = self.due_at.get_mut(connector) else { return };
        if let Some(before_ms) = std::mem::replace(slot, at_ms) {
            self.due.remove(&(before_ms, connector));
        }
        if let Some(at_ms) = at_ms {
            self.due.insert((at_ms, connector));
        }
    }

    /// The connectors that have something to do by now, in order; they are off the agenda until they are set again.
    pub fn take_due(&mut self, now_ms: u64) -> Vec<usize> {
        let mut taken = Vec::new();
        while let Some((at_ms, connector)) = self.due.first().copied().filter(|(at_ms, _)| *at_ms <= now_ms) {
            self.due.remove(&(at_ms, connector));
            if let Some(slot) = self.due_at.get_mut(connector) {
                *slot = None;
            }
            taken.push(connector);
        }
        taken.sort_unstable();
        taken
    }

    /// The visits that begin by now, in order.
    pub fn take_coming(&mut self, now_ms: u64) -> Vec<usize> {
        let mut taken = Vec::new();
        while let Some((_, visit)) = self.coming.pop_if(|(at_ms, _)| *at_ms <= now_ms) {
            taken.push(visit);
        }
        taken
    }

    /// How many visits have not begun.
    #[must_use]
    pub fn left(&self) -> usize {
        self.coming.len()
    }
}

/// The next whole hour after an instant, ms.
#[must_use]
pub const fn next_period_ms(now_ms: u64, period_ms: u64) -> u64 {
    (now_ms / period_ms + 1) * period_ms
}

#[cfg(test)]
mod tests {
    use super::*;

    fn visit(id: &str, connector: usize, plug_in_ms: u64, plug_out_ms: u64) -> Visit {
        let source = SourceSession {
            site: "A".to_owned(),
            user: connector.to_string(),
            session_id: id.to_owned(),
            plug_in_ms,
            plug_out_ms,
            energy_wh: 1_000,
        };
        Visit { source, connector, person: connector, escrow: Escrow::Maximum, stop_at_ms: None }
    }

    #[test]
    fn the_next_instant_is_the_earliest_of_comings_and_of_connectors() {
        let visits = [visit("b", 1, 50, 90), visit("a", 0, 20, 50)];
        let mut agenda = Agenda::new(&visits, 2);
        assert_eq!(agenda.next_ms(), Some(20));
        assert_eq!(agenda.take_coming(20), [1]);
        agenda.set(0, Some(30));
        assert_eq!(agenda.next_ms(), Some(30));
        agenda.set(0, Some(60));
        assert_eq!(agenda.next_ms(), Some(50), "what was set before no longer counts");
        assert_eq!(agenda.take_coming(50), [0]);
        agenda.set(0, None);
        assert_eq!((agenda.next_ms(), agenda.left()), (None, 0));
    }

    #[test]
    fn connectors_of_one_instant_come_in_their_order_and_once() {
        let mut agenda = Agenda::new(&[], 3);
        agenda.set(2, Some(10));
        agenda.set(0, Some(11));
        agenda.set(1, Some(10));
        agenda.set(1, Some(9));
        assert_eq!(agenda.take_due(8), Vec::<usize>::new());
        assert_eq!(agenda.take_due(11), [0, 1, 2], "by number, whatever was due first");
        assert_eq!(agenda.take_due(11), Vec::<usize>::new());
    }

    #[test]
    fn visits_of_one_instant_come_in_the_order_of_the_list() {
        let visits = [visit("x", 2, 5, 9), visit("y", 0, 5, 9), visit("z", 1, 4, 9)];
        let mut agenda = Agenda::new(&visits, 3);
        assert_eq!(agenda.take_coming(5), [2, 0, 1]);
    }

    #[test]
    fn a_whole_hour_is_never_the_present_one() {
        assert_eq!(next_period_ms(0, 3_600_000), 3_600_000);
        assert_eq!(next_period_ms(3_600_000, 3_600_000), 7_200_000);
        assert_eq!(next_period_ms(3_599_999, 3_600_000), 3_600_000);
    }
}
