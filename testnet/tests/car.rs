//! What a simulated car draws, to the watt-hour and the millisecond.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use testnet::car::{Car, MIN_CURRENT_MA, Rate};
use testnet::rows::SourceSession;

const FULL_GRANT: [u32; 3] = [32_000; 3];
const HOUR_MS: u64 = 3_600_000;
const START_MS: u64 = 1_556_668_800_000;

fn session(energy_wh: u64, connected_ms: u64) -> SourceSession {
    SourceSession {
        site: "ASK".into(),
        user: "ASK_u1".into(),
        session_id: "s".into(),
        plug_in_ms: START_MS,
        plug_out_ms: START_MS + connected_ms,
        energy_wh,
    }
}

/// A session that 22,080 W can bring, often only just.
fn random_session(random: &mut StdRng) -> SourceSession {
    let longest_s: u64 = random.random_range(1..=200_000);
    let connected_ms = random.random_range(1..=longest_s) * 1_000;
    let most_wh = 22_080 * connected_ms / HOUR_MS;
    let least_wh = if random.random() { most_wh * 85 / 100 } else { 0 };
    session(random.random_range(least_wh..=most_wh).max(1), connected_ms)
}

#[test]
fn a_rate_is_the_weakest_that_needs_at_most_nine_tenths_of_the_time() {
    for (rate, power_w, currents_ma) in [
        (Rate::OnePhase16A, 3_680, [16_000, 0, 0]),
        (Rate::OnePhase32A, 7_360, [32_000, 0, 0]),
        (Rate::ThreePhase16A, 11_040, [16_000; 3]),
        (Rate::ThreePhase32A, 22_080, [32_000; 3]),
    ] {
        assert_eq!((rate.power_w(), rate.currents_ma()), (power_w, currents_ma));
        let energy_wh = u64::from(power_w) * 9;
        assert_eq!(Rate::of(&session(energy_wh, 10 * HOUR_MS)), rate);
        let stronger = Rate::ALL.into_iter().find(|other| *other > rate).unwrap_or(rate);
        assert_eq!(Rate::of(&session(energy_wh + 1, 10 * HOUR_MS)), stronger);
        assert_eq!(Rate::of(&session(energy_wh, 10 * HOUR_MS - 1)), stronger);
    }
    assert_eq!(Rate::of(&session(22_080, HOUR_MS)), Rate::ThreePhase32A);
}

#[test]
fn a_session_granted_in_full_ends_with_exactly_the_energy_of_its_source() {
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    for _ in 0..20_000 {
        let source = random_session(&mut random);
        let mut car = Car::new(&source);
        assert!(source.energy_wh * HOUR_MS > 22_080 * (source.plug_out_ms - START_MS) || car.can_finish());
        car.set_grant(START_MS, FULL_GRANT);
        assert_eq!(car.register_wh(source.plug_out_ms) == source.energy_wh, car.can_finish(), "{source:?}");
        assert_eq!(car.full_at().is_some(), car.can_finish(), "{source:?}");
    }
}

#[test]
fn the_register_is_the_sum_over_the_intervals_divided_once() {
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    for _ in 0..2_000 {
        let source = random_session(&mut random);
        let mut car = Car::new(&source);
        let wanted = car.wanted_currents();
        let mut now_ms = START_MS;
        let mut drawn_watt_ms: u128 = 0;
        while now_ms < source.plug_out_ms {
            let grant = std::array::from_fn(|_| random.random_range(0..=40u32) * 1_000);
            car.set_grant(now_ms, grant);
            let drawn_ma: u32 = wanted.iter().zip(grant).map(|(want, grant)| (*want).min(grant)).filter(|ma| *ma >= MIN_CURRENT_MA).sum();
            let power_w = drawn_ma / 100 * 23;
            let next_ms = (now_ms + random.random_range(1..=HOUR_MS)).min(source.plug_out_ms);
            for at_ms in [now_ms, random.random_range(now_ms..=next_ms), next_ms] {
                let exact = drawn_watt_ms + u128::from(power_w) * u128::from(at_ms - now_ms);
                let register_wh = (exact / 3_600_000).min(u128::from(source.energy_wh));
                assert_eq!(u128::from(car.register_wh(at_ms)), register_wh, "{source:?} at {at_ms}");
                let full = u128::from(source.energy_wh) == register_wh;
                assert_eq!(car.is_full(at_ms), full, "{source:?} at {at_ms}");
                let power_now_w = if full || at_ms == source.plug_out_ms { 0 } else { power_w };
                assert_eq!(car.power_w(at_ms), power_now_w, "{source:?} at {at_ms}");
            }
            drawn_watt_ms += u128::from(power_w) * u128::from(next_ms - now_ms);
            now_ms = next_ms;
        }
        if let Some(full_ms) = car.full_at() {
            assert!(car.is_full(full_ms) && car.register_wh(source.plug_out_ms) == source.energy_wh);
        }
    }
}

#[test]
fn full_is_the_first_millisecond_at_which_the_register_reaches_the_energy() {
    let mut car = Car::new(&session(1_000, 2 * HOUR_MS));
    assert_eq!((car.full_at(), car.next_sample_at(START_MS)), (None, None));
    car.set_grant(START_MS + 5, FULL_GRANT);
    // 1,000 Wh at 3,680 W take 978,260.87 ms.
    let full_ms = START_MS + 5 + 978_261;
    assert_eq!(car.full_at(), Some(full_ms));
    assert_eq!((car.register_wh(full_ms - 1), car.register_wh(full_ms)), (999, 1_000));
    assert_eq!((car.power_w(full_ms - 1), car.power_w(full_ms)), (3_680, 0));
    assert_eq!((car.currents_ma(full_ms - 1), car.currents_ma(full_ms)), ([16_000, 0, 0], [0; 3]));
    // A later grant neither wakes it nor moves the instant.
    car.set_grant(full_ms + 10, FULL_GRANT);
    assert_eq!((car.full_at(), car.power_w(full_ms + 10), car.register_wh(full_ms + 10)), (Some(full_ms), 0, 1_000));
}

#[test]
fn a_car_full_at_the_very_plug_out_is_full_and_one_that_is_late_by_a_millisecond_is_not() {
    let source = session(22_080, HOUR_MS);
    let mut car = Car::new(&source);
    car.set_grant(START_MS, FULL_GRANT);
    assert!(car.can_finish() && car.is_full(source.plug_out_ms) && !car.is_full(source.plug_out_ms - 1));
    let mut car = Car::new(&source);
    car.set_grant(START_MS + 1, FULL_GRANT);
    assert_eq!((car.full_at(), car.register_wh(source.plug_out_ms)), (None, 22_079));
    assert_eq!(car.register_wh(u64::MAX), 22_079, "nothing is drawn once the plug is out");
}

#[test]
fn each_phase_draws_what_is_wanted_and_granted_and_nothing_below_six_amperes() {
    let mut car = Car::new(&session(90_000, 10 * HOUR_MS));
    assert_eq!(car.rate(), Rate::ThreePhase16A);
    for (grant_ma, drawn_ma, power_w) in [
        ([32_000, 32_000, 32_000], [16_000, 16_000, 16_000], 11_040),
        ([10_000, 10_000, 10_000], [10_000, 10_000, 10_000], 6_900),
        ([6_000, 5_999, 16_000], [6_000, 0, 16_000], 5_060),
        ([6_001, 0, 0], [6_001, 0, 0], 1_380),
        ([5_999, 5_999, 5_999], [0, 0, 0], 0),
        ([0, 0, 0], [0, 0, 0], 0),
    ] {
        car.set_grant(START_MS, grant_ma);
        assert_eq!((car.currents_ma(START_MS), car.power_w(START_MS)), (drawn_ma, power_w));
    }
}

#[test]
fn samples_fall_on_whole_minutes_and_on_the_instant_of_full_or_plug_out() {
    let sampled = |source: &SourceSession, granted_ms: u64| {
        let mut car = Car::new(source);
        car.set_grant(granted_ms, FULL_GRANT);
        let mut at = granted_ms;
        std::iter::from_fn(|| {
            at = car.next_sample_at(at)?;
            Some(at - START_MS)
        })
        .collect::<Vec<_>>()
    };
    // 100 Wh at 3,680 W take 97,827 ms.
    assert_eq!(sampled(&session(100, HOUR_MS), START_MS), [60_000, 97_827]);
    assert_eq!(sampled(&session(100, HOUR_MS), START_MS + 59_999), [60_000, 120_000, 157_826]);
    assert_eq!(sampled(&session(1_200, 200_000), START_MS + 20_000), [60_000, 120_000, 180_000, 200_000]);
}
