//! Who charges away from home: a seeded share of visits, each at a connector of another condominium that nobody needs meanwhile.
//!
//! Pure. A visit that finds no such connector stays at home, and so does everyone else's plan: nobody loses his own connector to a guest. Called by `replay`.

use std::collections::BTreeMap;

use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

use crate::{replay::Fraction, world::Visit};

/// When a connector is taken: plug-ins with their plug-outs, none overlapping another.
type Taken = BTreeMap<u64, u64>;

/// Moves a share of the visits to connectors of other condominiums; `site_of` says where each connector is. Visits come in order of their plug-in, each at a
/// connector that nobody else uses meanwhile. Gives how many moved.
pub fn roam(visits: &mut [Visit], site_of: &[usize], share: Fraction, seed: u64) -> usize {
    let mut random = StdRng::seed_from_u64(seed);
    let mut taken: Vec<Taken> = vec![Taken::new(); site_of.len()];
    for visit in visits.iter() {
        taken[visit.connector].insert(visit.source.plug_in_ms, visit.source.plug_out_ms);
    }
    let mut moved = 0;
    for visit in visits {
        // Drawn for every visit, so that one that stays changes nothing for the next.
        let (wants, begin) = (share.holds(random.random()), random.random_range(0..site_of.len().max(1)));
        if !wants {
            continue;
        }
        let (from_ms, to_ms) = (visit.source.plug_in_ms, visit.source.plug_out_ms);
        let home = visit.connector;
        let elsewhere = (begin..site_of.len()).chain(0..begin).filter(|connector| site_of[*connector] != site_of[home]);
        let free = elsewhere.into_iter().find(|connector| is_free(&taken[*connector], from_ms, to_ms));
        if let Some(connector) = free {
            taken[home].remove(&from_ms);
            taken[connector].insert(from_ms, to_ms);
            visit.connector = connector;
            moved += 1;
        }
    }
    moved
}

/// Whether nobody is there in a span; who leaves as it begins, or comes as it ends, is not.
fn is_free(taken: &Taken, from_ms: u64, to_ms: u64) -> bool {
    taken.range(..to_ms).next_back().is_none_or(|(_, out_ms)| *out_ms <= from_ms)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{rows::SourceSession, world::Escrow};

    const SITE_OF: [usize; 6] = [0, 0, 0, 1, 1, 2];

    fn visits(seed: u64) -> Vec<Visit> {
        let mut random = StdRng::seed_from_u64(seed);
        let mut visits = Vec::new();
        for (person, site) in SITE_OF.iter().enumerate() {
            let mut at_ms = random.random_range(0..50);
            for number in 0..40 {
                let out_ms = at_ms + random.random_range(1..200);
                let source = SourceSession {
                    site: site.to_string(),
                    user: person.to_string(),
                    session_id: format!("{person}-{number}"),
                    plug_in_ms: at_ms,
                    plug_out_ms: out_ms,
                    energy_wh: 1,
                };
                visits.push(Visit { source, connector: person, person, escrow: Escrow::Maximum, stop_at_ms: None });
                // Sometimes in the very instant of the last one's end.
                at_ms = out_ms + random.random_range(0..300);
            }
        }
        visits.sort_by_key(|visit| visit.source.plug_in_ms);
        visits
    }

    #[test]
    fn guests_charge_elsewhere_and_no_connector_ever_holds_two() {
        let half: Fraction = "0.5".parse().unwrap();
        for seed in 0..50 {
            let mut all = visits(seed);
            let moved = roam(&mut all, &SITE_OF, half, seed);
            let away = all.iter().filter(|visit| SITE_OF[visit.connector] != SITE_OF[visit.person]).count();
            assert_eq!(moved, away, "seed {seed}");
            assert!((30..=150).contains(&moved), "seed {seed}: {moved} of {} moved", all.len());
            for (one, visit) in all.iter().enumerate() {
                let stays = SITE_OF[visit.connector] == SITE_OF[visit.person];
                assert!(!stays || visit.connector == visit.person, "seed {seed}: who stays has his own connector");
                for other in all.iter().skip(one + 1).filter(|other| other.connector == visit.connector) {
                    let apart = other.source.plug_in_ms >= visit.source.plug_out_ms || visit.source.plug_in_ms >= other.source.plug_out_ms;
                    assert!(apart, "seed {seed}: {} and {}", visit.source.session_id, other.source.session_id);
                }
            }
            let mut again = visits(seed);
            roam(&mut again, &SITE_OF, half, seed);
            assert_eq!(all, again, "seed {seed}: the same seed, the same journeys");
        }
    }
}
