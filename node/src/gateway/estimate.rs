//! What a driver is likely to need, from what he charged before: pure, without the chain.
//!
//! An escrow comes back, a charge that ends early does not: so the most that he needs is taken from his largest charge, and the middle one only tells the
//! scheduler what is likely. Called by the desk when a card starts a charge, and for whoever looks at the monitor.

use chain::{
    api::EstimateView,
    quantity::WattHours,
    time::{Duration, Timestamp},
};

/// The charges that are looked at, the newest.
pub(super) const CHARGES: usize = 20;

/// Fewer charges than this say nothing.
const ENOUGH: usize = 3;

/// How long a charge may take where nothing is known.
const UNKNOWN_DURATION: Duration = Duration::from_hours(24);

/// No charge is thought to be shorter.
const LEAST_DURATION: Duration = Duration::from_hours(2);

/// A charge that is over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Past {
    /// What was metered.
    pub energy: WattHours,
    /// From the first grant to the end.
    pub duration: Duration,
    /// When its session was opened.
    pub opened_at: Timestamp,
    /// When it ended.
    pub ended_at: Timestamp,
    /// A card has started it and nobody has confirmed that.
    pub is_unconfirmed: bool,
}

#[cfg(test)]
impl Past {
    /// A charge that its owner has started himself, at no time that matters.
    pub fn of(wh: u64, duration: Duration) -> Self {
        let energy = WattHours::new(wh);
        Self { energy, duration, opened_at: Timestamp::from_ms(0), ended_at: Timestamp::from_ms(0), is_unconfirmed: false }
    }
}

/// What the next charge is likely to need.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Need {
    /// The middle of what was charged; nothing where too little is known.
    pub likely: Option<WattHours>,
    /// A quarter more than the largest charge; nothing where too little is known.
    pub most: Option<WattHours>,
    /// Half as long again as the longest charge.
    pub duration: Duration,
}

/// Estimates the next charge from the newest ones.
pub(super) fn need(past: &[Past]) -> Need {
    let newest: Vec<Past> = past.iter().filter(|charge| !charge.energy.is_zero()).take(CHARGES).copied().collect();
    if newest.len() < ENOUGH {
        return Need { likely: None, most: None, duration: UNKNOWN_DURATION };
    }
    let mut energies: Vec<u64> = newest.iter().map(|charge| charge.energy.get()).collect();
    energies.sort_unstable();
    let longest = newest.iter().map(|charge| charge.duration.ms()).max().unwrap_or_default();
    let largest = energies.last().copied().unwrap_or_default();
    Need {
        likely: energies.get(energies.len() / 2).copied().map(WattHours::new),
        most: Some(WattHours::new(largest.saturating_add(largest.div_ceil(4)))),
        duration: Duration::from_ms(longest.saturating_add(longest / 2)).max(LEAST_DURATION),
    }
}

/// How long the driver stays at least, three times out of four: from the opening to the end of his newest charges. Nothing where too little is known.
///
/// It is early rather than late, and is shown to people alone: no order of serving is made with it.
pub(super) fn stay(past: &[Past]) -> Option<(Duration, usize)> {
    let newest = past.iter().filter(|charge| !charge.energy.is_zero()).take(CHARGES);
    let mut stays: Vec<u64> = newest.map(|charge| charge.ended_at.since(charge.opened_at).ms()).collect();
    stays.sort_unstable();
    (stays.len() >= ENOUGH).then(|| stays.get(stays.len() / 4).copied()).flatten().map(|stay| (Duration::from_ms(stay), stays.len()))
}

/// What the charges before say about one that was opened then.
pub(super) fn of_charge(past: &[Past], opened_at: Timestamp, now: Timestamp) -> Option<EstimateView> {
    let (stay, charges) = stay(past)?;
    let leaves_at = Some(opened_at.saturating_add(stay)).filter(|at| *at > now);
    Some(EstimateView { charges: u32::try_from(charges).unwrap_or(u32::MAX), energy: need(past).likely?, leaves_at })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn charge(wh: u64, hours: u64) -> Past {
        Past::of(wh, Duration::from_hours(hours))
    }

    #[test]
    fn two_charges_say_nothing_and_three_give_the_middle_and_more_than_the_largest() {
        let unknown = Need { likely: None, most: None, duration: Duration::from_hours(24) };
        assert_eq!(need(&[]), unknown);
        // What brought no energy is no charge.
        assert_eq!(need(&[charge(8_000, 4), charge(0, 9), charge(12_000, 6)]), unknown);
        let known = need(&[charge(8_000, 4), charge(30_001, 10), charge(12_000, 6)]);
        let expected =
            Need { likely: Some(WattHours::new(12_000)), most: Some(WattHours::new(37_502)), duration: Duration::from_hours(15) };
        assert_eq!(known, expected);
        assert_eq!(need(&[charge(10, 0); 3]).duration, LEAST_DURATION);
    }

    #[test]
    fn only_the_newest_charges_count() {
        let mut past = vec![charge(5_000, 2); CHARGES];
        past.push(charge(90_000, 20));
        assert_eq!(need(&past).most, Some(WattHours::new(6_250)));
        let opened = |hours: u64| Past { ended_at: Timestamp::from_ms(hours * 3_600_000), ..charge(8_000, hours) };
        let past: Vec<Past> = [9, 3, 12, 5, 4, 30, 8, 7].map(opened).into();
        assert_eq!(stay(&past), Some((Duration::from_hours(5), 8)));
        assert_eq!(stay(&past[..2]), None);
        let at = |hours: u64| Timestamp::from_ms(hours * 3_600_000);
        let known = of_charge(&past, at(100), at(104)).unwrap();
        assert_eq!((known.charges, known.energy, known.leaves_at), (8, WattHours::new(8_000), Some(at(105))));
        assert_eq!(of_charge(&past, at(100), at(105)).unwrap().leaves_at, None, "he is not late");
        let huge = need(&[Past::of(u64::MAX, Duration::from_ms(u64::MAX)); 3]);
        assert_eq!((huge.most, huge.duration.ms()), (Some(WattHours::MAX), u64::MAX));
    }
}
