//! Thousands of random tariffs and sessions, billed twice: by the code under test and by [`super::prices`].
//!
//! It knows nothing of calls and blocks. Half of the sessions lie around the nights when a clock is changed or a year ends.

use chain::{
    quantity::{Amount, Cost, Currents, WattHours},
    record::{CostByComponent, GrantSpan},
    tariff::{Tariff, TariffDimension},
    time::{Duration, Timestamp},
};
use contracts::tariff::{self, Counted, Interval, QuoteRequest};
use rand::{Rng, rngs::StdRng};

use super::{
    generator::Generator,
    prices::{self, Billed, Costs, PARTS, Run, Spans},
};

const SESSIONS: usize = 10_000;
const HOUR: u64 = 3_600_000;
/// What the sessions' connectors are rated for.
const RATED_MA: [u32; 3] = [32_000; 3];

/// Oslo's and New York's changes of the clock in 2026, and the ends of 2026 and of a leap year.
const NIGHTS: [u64; 6] = [1_774_746_000_000, 1_792_890_000_000, 1_772_953_200_000, 1_793_512_800_000, 1_798_758_000_000, 1_735_689_600_000];

/// A session as its readings show it.
struct Session {
    tariff: Tariff,
    begun: u64,
    max_duration: u64,
    /// Times and registers.
    readings: Vec<(u64, u64)>,
    spans: Spans,
}

#[test]
fn a_bill_is_the_same_however_it_is_reckoned() {
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut generator = Generator::new(seed);
    let (mut split, mut timed, mut parked, mut bounded, mut past) = (0, 0, 0, 0, 0);
    for _ in 0..SESSIONS {
        let session = session(&mut generator);
        let escrow = generator.rng.random_range(0..5_000_000);
        let (costs, pieces, was_past) = follow(&session, escrow);
        split += usize::from(pieces > 3 * (session.readings.len() - 1));
        timed += usize::from(costs.time > 0);
        parked += usize::from(costs.parking > 0);
        past += usize::from(was_past);
        let due = prices::due(&session.tariff, costs, 1);
        bounded += usize::from(due != costs.energy + costs.time + costs.parking + costs.flat);
        no_more_than_quoted(&session, costs, &mut generator.rng);
    }
    println!(
        "{split} sessions with edges, {timed} with time, {parked} with parking, {bounded} at a least or highest price, {past} past their escrow"
    );
    assert!(split > SESSIONS / 10 && timed > SESSIONS / 10 && parked > SESSIONS / 40 && bounded > SESSIONS / 40 && past > SESSIONS / 10);
}

fn session(generator: &mut Generator) -> Session {
    let tariff = generator.document();
    let rng = &mut generator.rng;
    let begun = match rng.random_range(0..2) {
        0 => NIGHTS[rng.random_range(0..NIGHTS.len())] - rng.random_range(0..12 * HOUR),
        _ => rng.random_range(1_600_000_000_000..1_900_000_000_000),
    };
    let max_duration = rng.random_range(1..12 * HOUR);
    let mut at = begun.saturating_sub(rng.random_range(0..10_000)) + rng.random_range(0..60_000);
    let mut register = 0;
    let mut readings = vec![(at, register)];
    for _ in 0..rng.random_range(1..5) {
        at += [0, rng.random_range(0..60_000), rng.random_range(0..2 * HOUR), rng.random_range(0..6 * HOUR)][rng.random_range(0..4)];
        register += [0, 1, rng.random_range(0..300), rng.random_range(0..12_000)][rng.random_range(0..4)];
        readings.push((at, register));
    }
    let mut granted = Vec::new();
    let mut from = begun;
    for _ in 0..rng.random_range(0..4) {
        let until = from + rng.random_range(0..3 * HOUR);
        granted.push((from, Some(until)));
        from = until + rng.random_range(0..HOUR);
    }
    if rng.random() {
        granted.push((from, None));
    }
    let full_at = rng.random::<bool>().then(|| rng.random_range(begun..=at.max(begun)));
    let over_at = if rng.random_ratio(1, 4) { rng.random_range(begun..=at.max(begun)) } else { u64::MAX };
    let over_at = over_at.min(begun + max_duration);
    Session { tariff, begun, max_duration, readings, spans: Spans { granted, full_at, over_at } }
}

/// Bills every reading twice; gives the whole cost, how many pieces there were, and whether it passed the escrow.
fn follow(session: &Session, escrow: u64) -> (Costs, usize, bool) {
    let Session { tariff, begun, readings, spans, .. } = session;
    let grants: Vec<GrantSpan> = spans
        .granted
        .iter()
        .map(|(from, until)| GrantSpan { from: Timestamp::from_ms(*from), until: until.map(Timestamp::from_ms) })
        .collect();
    let counted = Counted { granted: &grants, idle_since: spans.full_at.map(Timestamp::from_ms), until: Timestamp::from_ms(spans.over_at) };
    let limit = u128::from(escrow) * PARTS + PARTS - 1;
    let (mut costs, mut pieces, mut past) = (Costs::default(), 0, false);
    for pair in readings.windows(2) {
        let [(from, before), (to, register)] = [pair[0], pair[1]];
        let run = Run { from, to, wh: register - before, before, begun: *begun };
        let asked = || format!("{run:?} {spans:?} escrow {escrow} under {tariff:?}");
        let billed = Billed::new(tariff, run, spans);
        let added = billed.costs();
        let interval = Interval {
            from: Timestamp::from_ms(from),
            to: Timestamp::from_ms(to),
            energy: WattHours::new(run.wh),
            energy_before: WattHours::new(before),
            begun: Timestamp::from_ms(*begun),
        };
        assert_eq!(tariff::interval_cost(tariff, &interval, &counted), Ok(exact(added)), "{}", asked());
        if before == 0 && run.wh > 0 {
            costs.flat = u128::from(prices::flat(tariff, *begun)) * PARTS;
            assert_eq!(tariff::flat_cost(tariff, interval.begun).map(Cost::parts), Ok(costs.flat), "{}", asked());
        }
        let spent = costs;
        costs =
            Costs { energy: costs.energy + added.energy, time: costs.time + added.time, parking: costs.parking + added.parking, ..costs };
        let due = prices::due(tariff, costs, register);
        assert_eq!(tariff::due(tariff, &exact(costs), WattHours::new(register)).map(Cost::parts), Some(due), "{}", asked());
        if due > limit && !past {
            past = true;
            let paid = billed.paid_energy(tariff, spent, limit);
            let within = tariff::energy_within(tariff, &interval, &counted, &exact(spent), Cost::from_parts(limit));
            assert_eq!(within.map(WattHours::get), Ok(paid), "{}", asked());
        }
        pieces += [TariffDimension::Energy, TariffDimension::Time, TariffDimension::ParkingTime]
            .into_iter()
            .map(|dimension| prices::cut(tariff, dimension, run).len())
            .sum::<usize>();
    }
    (costs, pieces, past)
}

fn exact(costs: Costs) -> CostByComponent {
    CostByComponent {
        energy: Cost::from_parts(costs.energy),
        time: Cost::from_parts(costs.time),
        parking_time: Cost::from_parts(costs.parking),
        flat: Cost::from_parts(costs.flat),
    }
}

/// Whoever locks the quoted maximum is never ended by money, whenever the charge begins and however it goes.
fn no_more_than_quoted(session: &Session, costs: Costs, rng: &mut StdRng) {
    let metered = session.readings.last().expect("two at least").1;
    if metered == 0 {
        return;
    }
    let request = QuoteRequest {
        from: Timestamp::from_ms(session.begun - rng.random_range(0..30 * HOUR)),
        rated: Currents::from_ma(RATED_MA),
        energy: Some(WattHours::new(metered)),
        max_duration: Duration::from_ms(session.max_duration),
    };
    let quote = tariff::quote(&session.tariff, &request).expect("a tariff that is valid");
    if quote.maximum_energy.get() < metered {
        // No meter could have shown this in so short a time.
        return;
    }
    let due = Cost::from_parts(prices::due(&session.tariff, costs, metered));
    let shown = || format!("{costs:?} {quote:?} {request:?} {:?}", session.tariff);
    assert!(due <= Cost::from_amount(quote.maximum).expect("small"), "{}", shown());
    assert!(!tariff::is_spent(&session.tariff, due, quote.maximum), "{}", shown());
    assert!(quote.expected <= quote.maximum, "{}", shown());
    let one_less = quote.maximum.checked_sub(Amount::from_micro(1)).expect("it is not zero");
    let dearest = tariff::due(&session.tariff, &quote.maximum_cost, quote.maximum_energy).expect("small");
    assert!(one_less <= dearest.ceil().expect("small"), "{}", shown());
}
