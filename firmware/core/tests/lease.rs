//! The relay under its lease, by the millisecond.

use firmware_core::{Cause, Flags, Grant, Lease, MAX_LEASE_S, ProtocolError, Relay};
use rand::{Rng, SeedableRng, rngs::StdRng};

const NONE: [u32; 3] = [0; 3];
const L1_16A: [u32; 3] = [16_000, 0, 0];

fn grant(seconds: u16, milliampere_seconds: u32) -> Grant {
    Grant::new(seconds, milliampere_seconds, [16_000; 3]).expect("within the ranges")
}

#[test]
fn starts_open_and_stays_open_without_a_lease() {
    let mut lease = Lease::new(0);
    assert_eq!(lease.relay(), Relay::Open(Cause::Started));
    for now in [0, 1, 1_000_000, u32::MAX, 5] {
        assert_eq!(lease.tick(now, NONE), Relay::Open(Cause::Started));
    }
}

#[test]
fn opens_at_the_millisecond_at_which_the_time_is_up() {
    let mut lease = Lease::new(0);
    assert_eq!(lease.grant(1_000, grant(150, u32::MAX)), Relay::Closed);
    assert_eq!(lease.tick(150_999, NONE), Relay::Closed);
    assert_eq!(lease.tick(151_000, NONE), Relay::Open(Cause::Expired));
    assert_eq!(lease.tick(151_001, NONE), Relay::Open(Cause::Expired));
}

#[test]
fn opens_when_the_charge_is_used_up_over_all_phases() {
    let mut lease = Lease::new(0);
    lease.tick(0, NONE);
    lease.grant(0, grant(3600, 480));
    assert_eq!(lease.tick(9, [16_000, 16_000, 16_000]), Relay::Closed);
    assert_eq!(lease.tick(10, [16_000, 16_000, 15_999]), Relay::Closed);
    assert_eq!(lease.tick(11, [1, 0, 0]), Relay::Open(Cause::UsedUp));
}

#[test]
fn counts_time_and_charge_from_when_the_request_left() {
    let mut lease = Lease::new(0);
    lease.tick(0, NONE);
    lease.grant(0, grant(100, 1_000_000));
    lease.tick(60_000, L1_16A);
    lease.asked(60_000);
    lease.tick(62_000, L1_16A);
    lease.grant(62_000, grant(10, 64_000));
    assert_eq!(lease.tick(63_999, L1_16A), Relay::Closed);
    assert_eq!(lease.tick(64_000, L1_16A), Relay::Open(Cause::UsedUp));

    lease.asked(66_000);
    lease.tick(68_000, L1_16A);
    assert_eq!(lease.grant(68_000, grant(10, 64)), Relay::Open(Cause::UsedUp));

    lease.asked(70_000);
    assert_eq!(lease.grant(79_999, grant(10, 1)), Relay::Closed);
    assert_eq!(lease.tick(80_000, NONE), Relay::Open(Cause::Expired));
    lease.asked(90_000);
    assert_eq!(lease.grant(100_000, grant(10, 1)), Relay::Open(Cause::Expired));
}

#[test]
fn a_lease_replaces_the_one_before_and_adds_nothing() {
    let mut lease = Lease::new(0);
    lease.tick(0, NONE);
    lease.grant(0, grant(3600, 1_000_000));
    lease.grant(1_000, grant(5, 100));
    assert_eq!(lease.tick(5_999, NONE), Relay::Closed);
    assert_eq!(lease.tick(6_000, NONE), Relay::Open(Cause::Expired));
}

#[test]
fn opens_only_when_a_phase_stays_above_its_limit_for_the_grace() {
    let mut lease = Lease::new(5_000);
    let limits = Grant::new(3600, u32::MAX, [16_000, 6_000, 0]).expect("within the ranges");
    lease.grant(0, limits);
    assert_eq!(lease.tick(0, [16_000, 6_000, 500]), Relay::Closed);
    assert_eq!(lease.tick(1_000, [16_000, 6_001, 0]), Relay::Closed);
    assert_eq!(lease.flags(), Flags::RELAY_CLOSED | Flags::OVER_CURRENT);
    assert_eq!(lease.tick(5_999, [16_000, 6_001, 0]), Relay::Closed);
    assert_eq!(lease.tick(6_000, [16_000, 6_000, 0]), Relay::Closed, "it came back in time");
    assert_eq!(lease.tick(7_000, [16_000, 0, 501]), Relay::Closed);
    lease.grant(11_000, limits);
    assert_eq!(lease.tick(12_000, [0, 0, 501]), Relay::Open(Cause::OverCurrent), "a new lease does not restart the grace");
    assert_eq!(lease.flags(), Flags::OVER_CURRENT);
}

#[test]
fn holds_across_the_roll_over_of_the_counter() {
    for start in [u32::MAX - 150_000, u32::MAX - 75_000, u32::MAX, 0] {
        let mut lease = Lease::new(0);
        lease.tick(start, NONE);
        lease.asked(start);
        lease.grant(start, grant(150, 2_400_000));
        assert_eq!(lease.tick(start.wrapping_add(149_999), L1_16A), Relay::Closed);
        assert_eq!(lease.tick(start.wrapping_add(150_000), L1_16A), Relay::Open(Cause::Expired));
    }
}

#[test]
fn opens_when_the_counter_jumps_back() {
    let mut lease = Lease::new(0);
    lease.grant(10_000, grant(3600, u32::MAX));
    assert_eq!(lease.tick(9_999, NONE), Relay::Open(Cause::Expired));
}

#[test]
fn a_blocked_relay_ignores_leases() {
    let mut lease = Lease::new(0);
    lease.grant(0, grant(100, 100));
    assert_eq!(lease.block(), Relay::Open(Cause::Blocked));
    assert_eq!(lease.grant(1, grant(100, 100)), Relay::Open(Cause::Blocked));
    lease.unblock();
    assert_eq!(lease.tick(2, NONE), Relay::Open(Cause::Blocked));
    assert_eq!(lease.grant(3, grant(100, 100)), Relay::Closed);
}

#[test]
fn notices_current_through_an_open_relay() {
    let mut lease = Lease::new(0);
    lease.tick(0, [0, 501, 0]);
    lease.tick(2_999, [0, 501, 0]);
    assert_eq!(lease.flags(), Flags::NONE);
    lease.tick(3_000, [0, 501, 0]);
    assert_eq!(lease.flags(), Flags::WELDED_RELAY);
    lease.tick(3_001, [500, 500, 500]);
    assert_eq!(lease.flags(), Flags::NONE, "noise is no current");
}

#[test]
fn an_interruption_or_a_lease_begins_the_search_for_a_welded_relay_anew() {
    let leak = [501, 0, 0];
    let mut lease = Lease::new(0);
    lease.tick(0, leak);
    lease.tick(1_000, NONE);
    lease.tick(2_000, leak);
    lease.tick(4_999, leak);
    assert_eq!(lease.flags(), Flags::NONE);
    lease.tick(5_000, leak);
    assert_eq!(lease.flags(), Flags::WELDED_RELAY);
    lease.grant(5_000, grant(10, u32::MAX));
    lease.tick(6_000, leak);
    assert_eq!(lease.flags(), Flags::RELAY_CLOSED);
    lease.open(Cause::NoLease);
    lease.tick(7_000, leak);
    lease.tick(9_999, leak);
    assert_eq!(lease.flags(), Flags::NONE);
    lease.tick(10_000, leak);
    assert_eq!(lease.flags(), Flags::WELDED_RELAY);
}

#[test]
fn says_when_it_ends_to_the_millisecond() {
    let mut lease = Lease::new(0);
    assert_eq!(lease.ends_in_ms(0, L1_16A), 0);
    lease.tick(0, NONE);
    lease.grant(0, grant(150, 16));
    assert_eq!(lease.ends_in_ms(0, NONE), 150_000);
    assert_eq!(lease.ends_in_ms(0, L1_16A), 1);
    assert_eq!(lease.ends_in_ms(0, [16_001, 0, 0]), 1);
    assert_eq!(lease.ends_in_ms(0, [15_999, 0, 0]), 2);
    assert_eq!(lease.ends_in_ms(149_999, [1, 0, 0]), 1);
}

#[test]
fn refuses_leases_that_grant_nothing_or_too_much() {
    for (seconds, amount, limits) in [(0, 1, [1; 3]), (MAX_LEASE_S + 1, 1, [1; 3]), (1, 0, [1; 3]), (1, 1, [0; 3])] {
        assert_eq!(Grant::new(seconds, amount, limits), Err(ProtocolError::OutOfRange));
    }
    assert_eq!(grant(1, 1).capped(6_000).limit_ma(), [6_000; 3]);
}

/// Ten thousand random leases against a model that adds up every millisecond in wide integers.
#[test]
fn agrees_with_a_model_that_counts_every_millisecond() {
    let seed = rand::random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    for _ in 0..10_000 {
        let start: u32 = random.random();
        let (seconds, amount) = (random.random_range(1..=5_u16), random.random_range(1..=200_000_u32));
        let mut lease = Lease::new(0);
        lease.tick(start, NONE);
        lease.asked(start);
        lease.grant(start, grant(seconds, amount));
        let (mut passed, mut flowed) = (0_u32, 0_u128);
        while passed < 6_000 {
            let current = [random.random_range(0..=16_000), random.random_range(0..=16_000), 0];
            let now = start.wrapping_add(passed);
            let open_by_time = passed >= u32::from(seconds) * 1000;
            let open_by_charge = flowed >= u128::from(amount) * 1000;
            assert_eq!(lease.relay() == Relay::Closed, !(open_by_time || open_by_charge));
            if lease.relay() != Relay::Closed {
                assert_eq!(lease.ends_in_ms(now, current), 0);
                break;
            }
            let ends_in = lease.ends_in_ms(now, current);
            let step = random.random_range(1..=1_500).min(ends_in);
            assert!(step > 0);
            passed += step;
            flowed += u128::from(current.iter().sum::<u32>()) * u128::from(step);
            let relay = lease.tick(start.wrapping_add(passed), current);
            assert_eq!(relay == Relay::Closed, step < ends_in, "it ends exactly when it said");
        }
        assert_ne!(lease.relay(), Relay::Closed);
    }
}
