//! How unusual it is that an account's card is shown now: its own charges before, seen with the clock on the wall.
//!
//! It decides nothing: from which score on the account is to confirm a start is said by its mandate and by the operator. Called by the desk when a card starts a
//! charge; the comparison is [`contracts::pattern`].

use chain::time::Timestamp;
use contracts::{
    pattern::{Brought, CHARGES, Pattern, Signals, Usage},
    tariff::Zone,
};

use super::estimate::Past;

/// The score of a start now, and where a card alone has started the charge before, that one's score with what it brought if it is higher. `None` where too
/// little is known of either.
pub(super) fn score(past: &[Past], zone: &Zone, now: Timestamp) -> Option<u16> {
    // One more than is compared: the gap before the oldest.
    let charges: Vec<&Past> = past.iter().filter(|charge| !charge.energy.is_zero()).take(CHARGES.saturating_add(2)).collect();
    let mut usages = Vec::with_capacity(charges.len());
    for (at, charge) in charges.iter().enumerate() {
        let before = charges.get(at.saturating_add(1)).map(|before| before.ended_at);
        let usage = usage(charge.opened_at, before, zone)?;
        usages.push(Usage { brought: Some(Brought { energy: charge.energy, duration: charge.duration }), ..usage });
    }
    let start = usage(now, charges.first().map(|last| last.ended_at), zone)?;
    let of_start = Pattern::new(&usages, Signals::Start).and_then(|pattern| pattern.score(&start));
    let last = usages.split_first().filter(|_| charges.first().is_some_and(|last| last.is_unconfirmed));
    let of_last = last.and_then(|(last, before)| Pattern::new(before, Signals::Whole)?.score(last));
    of_start.max(of_last)
}

fn usage(at: Timestamp, before: Option<Timestamp>, zone: &Zone) -> Option<Usage> {
    let local = zone.local(at).ok()?;
    Some(Usage::starting(&local, before.map(|before| at.since(before))))
}

#[cfg(test)]
mod tests {
    use chain::{quantity::WattHours, time::Duration};
    use contracts::pattern::HIGHEST;

    use super::*;

    const HOUR: u64 = 3_600_000;
    /// Friday, 2026-01-09, 00:00 in Oslo.
    const MIDNIGHT: u64 = 1_767_913_200_000;

    fn zone() -> Zone {
        Zone::parse("CET-1CEST,M3.5.0,M10.5.0/3").unwrap()
    }

    /// So many evenings before [`MIDNIGHT`] from 18:00 on, the newest first; 10 kWh or a little more, in four hours.
    fn evenings(count: u64) -> Vec<Past> {
        let charge = |day: u64| {
            let opened = MIDNIGHT - day * 24 * HOUR - 6 * HOUR + (day * 7 % 5) * 600_000;
            Past {
                opened_at: Timestamp::from_ms(opened),
                ended_at: Timestamp::from_ms(opened + 4 * HOUR),
                ..Past::of(10_000 + day * 7 % 3 * 500, Duration::from_hours(4))
            }
        };
        (0..count).map(charge).collect()
    }

    fn at(hour: u64) -> Timestamp {
        Timestamp::from_ms(MIDNIGHT + hour * HOUR)
    }

    #[test]
    fn the_usual_hour_is_usual_and_the_night_is_not() {
        let past = evenings(30);
        let usual = score(&past, &zone(), at(18)).unwrap();
        assert!(usual < 600, "{usual}");
        assert_eq!(score(&past, &zone(), at(3)), Some(HIGHEST));
        // Eleven charges have ten gaps.
        assert_eq!(score(&evenings(10), &zone(), at(3)), None);
        assert!(score(&evenings(11), &zone(), at(3)).is_some());
        // What brought nothing is no charge.
        let mut nothing = evenings(11);
        nothing[5].energy = WattHours::ZERO;
        assert_eq!(score(&nothing, &zone(), at(3)), None);
    }

    #[test]
    fn what_a_card_alone_has_brought_speaks_against_the_next_start_unless_it_was_confirmed() {
        let mut past = evenings(30);
        past[0].energy = WattHours::new(70_000);
        let usual = score(&past, &zone(), at(18)).unwrap();
        assert!(usual < 600, "{usual}");
        past[0].is_unconfirmed = true;
        assert_eq!(score(&past, &zone(), at(18)), Some(HIGHEST));
    }
}
