//! What can go wrong, one thing at a time; each asserts where the relay is and what was counted.

mod common;

use common::{assert_counted, charging, garage};
use firmware_core::{Flags, Grant, Parts, Provision};
use firmware_sim::{
    gateway::{Gateway, START_MS},
    modem::Delivery,
    unit::{Bench, blank, provision},
    wave::Wave,
};

/// 60 s, more charge than that takes, 16 A.
fn lease() -> Grant {
    Grant::new(60, 3_000_000, [16_000, 0, 0]).unwrap()
}

#[test]
fn a_tampered_answer_opens_the_relay_at_once() {
    let (mut unit, gateway) = charging(lease());
    unit.garage().modem.meddle(|_, answer| {
        let mut bytes = answer.to_vec();
        let last = bytes.len() - 20;
        bytes[last] ^= 1;
        Delivery { bytes: Some(bytes), delay_ms: 20 }
    });
    assert!(unit.run_until(11_500, |garage| !garage.is_closed()), "the next answer opens it");
    unit.run_ms(30_000);
    assert!(!unit.garage().is_closed(), "and no forged one closes it again");
    unit.garage().modem.meddle(|_, answer| Delivery { bytes: Some(answer.to_vec()), delay_ms: 20 });
    gateway.state().lease = None;
    unit.run_ms(70_000);
    assert_counted(&mut unit, &gateway);
}

#[test]
fn a_replayed_answer_opens_the_relay_at_once() {
    let (mut unit, gateway) = charging(lease());
    let mut first: Option<Vec<u8>> = None;
    unit.garage().modem.meddle(move |_, answer| {
        let old = first.get_or_insert_with(|| answer.to_vec());
        Delivery { bytes: Some(old.clone()), delay_ms: 20 }
    });
    unit.run_ms(11_000);
    assert!(unit.garage().is_closed(), "the first one is genuine");
    assert!(unit.run_until(11_500, |garage| !garage.is_closed()), "its repetition opens the relay");
    unit.garage().modem.meddle(|_, answer| Delivery { bytes: Some(answer.to_vec()), delay_ms: 20 });
    gateway.state().lease = None;
    unit.run_ms(70_000);
    assert_counted(&mut unit, &gateway);
}

#[test]
fn a_silent_server_leaves_the_relay_closed_until_the_lease_ends_and_nothing_is_lost() {
    let (mut unit, gateway) = charging(lease());
    unit.garage().modem.meddle(|_, _| Delivery { bytes: None, delay_ms: 0 });
    unit.run_ms(40_000);
    assert!(unit.garage().is_closed(), "the lease still runs");
    assert!(unit.run_until(30_000, |garage| !garage.is_closed()), "and ends by itself");
    unit.run_ms(60_000);
    assert!(!unit.garage().is_closed());
    gateway.state().lease = None;
    unit.garage().modem.meddle(|_, answer| Delivery { bytes: Some(answer.to_vec()), delay_ms: 20 });
    unit.run_ms(100_000);
    assert_counted(&mut unit, &gateway);
}

#[test]
fn a_slow_server_is_waited_for_and_its_lease_counts_from_the_request() {
    let (mut unit, gateway) = charging(lease());
    unit.garage().modem.meddle(|_, answer| Delivery { bytes: Some(answer.to_vec()), delay_ms: 7_000 });
    unit.run_ms(60_000);
    assert!(unit.garage().is_closed(), "seven seconds are less than ten");
    gateway.state().lease = Some(Grant::new(7, 3_000_000, [16_000, 0, 0]).unwrap());
    assert!(unit.run_until(25_000, |garage| !garage.is_closed()), "a lease of seven seconds is over when it comes");
    gateway.state().lease = None;
    unit.run_ms(40_000);
    assert_counted(&mut unit, &gateway);
}

#[test]
fn a_modem_that_restarts_is_set_up_again_within_the_lease() {
    let (mut unit, gateway) = charging(lease());
    for wait_ms in [3_000, 9_990, 11_000] {
        unit.run_ms(wait_ms);
        unit.restart_modem();
        let posts = gateway.state().posts;
        assert!(unit.run_until(40_000, |_| gateway.state().posts > posts), "talks again after a restart");
        assert!(unit.garage().is_closed());
    }
    gateway.state().lease = None;
    unit.run_ms(20_000);
    assert_counted(&mut unit, &gateway);
}

/// How long the network is away, in emulated minutes: long enough for the unit's 7 samples, three of its attempts to join, and four of its journal's records.
/// `AWAY_MIN=60` makes it an hour.
fn away_ms() -> u64 {
    let minutes = std::env::var("AWAY_MIN").ok().and_then(|minutes| minutes.parse().ok()).unwrap_or(8);
    println!("AWAY_MIN={minutes}");
    60_000 * minutes
}

#[test]
fn a_long_time_without_network_ends_at_the_lease_and_loses_no_energy() {
    let (mut unit, gateway) = charging(lease());
    unit.set_in_reach(false);
    assert!(unit.run_until(61_000, |garage| !garage.is_closed()), "the lease ends without any network");
    gateway.state().lease = None;
    unit.run_ms(away_ms());
    assert!(!unit.garage().is_closed());
    assert_eq!(unit.garage().starts.len(), 1, "no restart meanwhile");
    unit.set_in_reach(true);
    let posts = gateway.state().posts;
    assert!(unit.run_until(120_000, |_| gateway.state().posts > posts), "it comes back by itself");
    unit.run_ms(15_000);
    assert_counted(&mut unit, &gateway);
}

#[test]
fn the_relay_opens_at_the_paid_amount_without_any_network() {
    let (mut unit, gateway) = charging(lease());
    // 100 As: 10 s of 10 A.
    gateway.state().lease = Some(Grant::new(600, 100_000, [16_000, 0, 0]).unwrap());
    let posts = gateway.state().posts;
    assert!(unit.run_until(15_000, |_| gateway.state().posts > posts));
    let before = unit.garage().truth.joules;
    unit.set_in_reach(false);
    assert!(unit.run_until(20_000, |garage| !garage.is_closed()));
    let let_through = (unit.garage().truth.joules - before) / 230.0;
    assert!((90.0..=106.0).contains(&let_through), "{let_through} As of 100");
    gateway.state().lease = None;
    unit.set_in_reach(true);
    let posts = gateway.state().posts;
    assert!(unit.run_until(60_000, |_| gateway.state().posts > posts), "it comes back by itself");
    unit.run_ms(15_000);
    assert_counted(&mut unit, &gateway);
}

#[test]
fn more_current_than_granted_opens_the_relay_after_the_grace() {
    let (mut unit, gateway) = charging(lease());
    unit.garage().wave = Wave::sine(20.0);
    assert!(unit.run_until(5_000, |garage| !garage.is_closed()));
    gateway.state().lease = None;
    unit.run_ms(15_000);
    assert!(gateway.state().samples.iter().any(|(_, _, sample)| sample.flags.has(Flags::OVER_CURRENT)));
    assert_counted(&mut unit, &gateway);
}

#[test]
fn a_welded_relay_is_an_alarm_and_its_energy_is_counted() {
    let (mut unit, gateway) = charging(lease());
    unit.garage().welded = true;
    gateway.state().lease = None;
    assert!(unit.run_until(15_000, |garage| !garage.is_closed()), "the coil is off");
    unit.run_ms(60_000);
    let alarm = gateway.state().samples.iter().any(|(_, _, sample)| sample.flags.has(Flags::WELDED_RELAY));
    assert!(alarm, "current flows through an open relay");
    gateway.state().lease = Some(lease());
    unit.run_ms(25_000);
    assert!(!unit.garage().is_closed(), "no lease closes a welded relay");
    unit.garage().car_draws = false;
    gateway.state().lease = None;
    unit.run_ms(15_000);
    assert_counted(&mut unit, &gateway);
}

#[test]
fn a_relay_that_has_opened_rests_before_it_closes_again() {
    let (mut unit, gateway) = charging(lease());
    for _ in 0..6 {
        gateway.state().lease = None;
        unit.run_ms(10_500);
        gateway.state().lease = Some(lease());
        unit.run_ms(10_500);
    }
    let relay = unit.garage().relay.clone();
    let rests: Vec<u64> = relay.windows(2).filter(|pair| !pair[0].1).map(|pair| (pair[1].0 - pair[0].0) / 16_000).collect();
    assert!(!rests.is_empty() && rests.iter().all(|ms| *ms >= 10_000), "{rests:?}");
    gateway.state().lease = None;
    unit.run_ms(25_000);
    assert_counted(&mut unit, &gateway);
}

#[test]
fn a_lease_too_short_to_be_worth_it_closes_nothing() {
    let gateway = Gateway::start().unwrap();
    gateway.state().lease = Some(Grant::new(4, 3_000_000, [16_000, 0, 0]).unwrap());
    let mut garage = garage(&gateway, 0);
    garage.wave = Wave::sine(10.0);
    let mut unit = Bench::power(&blank(&provision()), garage);
    unit.run_ms(60_000);
    assert!(unit.garage().relay.is_empty(), "for less than five seconds it does not close");
    assert!(gateway.state().posts >= 4);
    assert_eq!(gateway.state().samples.last().unwrap().2.register_wh, 0);
}

#[test]
fn a_button_held_down_clears_the_configuration_once_and_never_key_or_counter() {
    let (mut unit, gateway) = charging(lease());
    let before = unit.eeprom();
    let configured = gateway.state().configured;
    unit.garage().button = true;
    unit.run_ms(3_000);
    assert!(unit.garage().is_closed(), "a touch is not a press");
    assert!(unit.run_until(4_000, |garage| !garage.is_closed()), "without a configuration nothing may flow");
    unit.run_ms(60_000);
    assert_eq!(gateway.state().configured, configured + 1, "asked for once");
    assert_eq!(before[..200], unit.eeprom()[..200], "the provisioning is untouched");
    assert_eq!(gateway.state().boots.len(), 1, "and so is the boot number");
    gateway.state().lease = None;
    unit.run_ms(15_000);
    assert_counted(&mut unit, &gateway);
}

#[test]
fn a_kept_configuration_is_used_at_the_next_start_unless_the_button_is_held() {
    let (unit, gateway) = charging(lease());
    let eeprom = unit.eeprom();
    drop(unit);
    let configured = gateway.state().configured;
    let mut again = Bench::power(&eeprom, garage(&gateway, 300_000));
    assert!(again.run_until(20_000, |garage| garage.is_closed()), "needs no configuration from the server");
    assert_eq!(gateway.state().configured, configured);
    let mut held = garage(&gateway, 600_000);
    held.button = true;
    let mut cleared = Bench::power(&eeprom, held);
    assert!(cleared.run_until(20_000, |_| gateway.state().configured > configured), "starts blank");
}

#[test]
fn a_number_on_the_switches_that_the_gateway_does_not_know_never_closes() {
    let gateway = Gateway::start().unwrap();
    gateway.state().sensor = 5;
    gateway.state().lease = Some(lease());
    let mut garage = garage(&gateway, 0);
    garage.switches = 6;
    garage.wave = Wave::sine(10.0);
    let mut unit = Bench::power(&blank(&provision()), garage);
    unit.run_ms(400_000);
    assert!(unit.garage().relay.is_empty());
    assert_eq!(unit.garage().truth.joules, 0.0, "nothing has flowed");
    assert!(gateway.state().samples.is_empty(), "and nothing is said to have");
    assert_eq!(gateway.state().configured, 0);
    assert_eq!(gateway.state().refused.len(), 2, "it asks every five minutes and no more");
}

#[test]
fn a_sensor_that_is_disconnected_is_a_fault_that_opens_the_relay_and_counts_nothing() {
    let (mut unit, gateway) = charging(lease());
    unit.garage().sensor_connected = false;
    assert!(unit.run_until(2_000, |garage| !garage.is_closed()));
    unit.run_ms(15_000);
    assert!(gateway.state().samples.iter().any(|(_, _, sample)| sample.flags.has(Flags::METER_FAULT)));
    unit.garage().sensor_connected = true;
    unit.garage().car_draws = false;
    gateway.state().lease = None;
    unit.run_ms(25_000);
    assert_counted(&mut unit, &gateway);
}

#[test]
fn a_sensor_that_is_driven_beyond_its_range_is_a_fault() {
    let (mut unit, gateway) = charging(Grant::new(60, 9_000_000, [65_000, 0, 0]).unwrap());
    unit.run_ms(30_000);
    let before = unit.garage().truth.joules / 3600.0;
    unit.garage().wave = Wave::sine(130.0);
    assert!(unit.run_until(2_000, |garage| !garage.is_closed()));
    gateway.state().lease = None;
    unit.run_ms(15_000);
    // Of a window that left the range nothing is counted, however little of it did.
    let wh = gateway.state().samples.last().unwrap().2.register_wh as f64;
    let truth = unit.garage().truth.joules / 3600.0;
    assert!(wh >= before * 0.99 - 2.0 && wh <= truth, "{wh} Wh; {before:.2} before, {truth:.2} in all");
    assert!(gateway.state().samples.iter().any(|(_, _, sample)| sample.flags.has(Flags::METER_FAULT)));
}

#[test]
fn noise_alone_reads_zero() {
    let gateway = Gateway::start().unwrap();
    let mut unit = Bench::power(&blank(&provision()), garage(&gateway, 0));
    unit.run_ms(180_000);
    assert!(unit.garage().relay.is_empty());
    let state = gateway.state();
    assert!(!state.samples.is_empty());
    for (_, number, sample) in &state.samples {
        assert_eq!((sample.register_wh, sample.power_w, sample.current_ma), (0, 0, [0; 3]), "sample {number}: {sample:?}");
    }
}

#[test]
fn a_point_without_relay_meters_all_the_time() {
    let gateway = Gateway::start().unwrap();
    gateway.state().lease = Some(lease());
    let mut garage = garage(&gateway, 0);
    garage.has_relay = false;
    garage.wave = Wave::sine(10.0);
    let meter = Provision { parts: Parts::METER_ONLY, ..provision() };
    let mut unit = Bench::power(&blank(&meter), garage);
    unit.run_ms(120_000);
    assert!(unit.garage().relay.is_empty(), "there is nothing to switch");
    unit.garage().car_draws = false;
    unit.run_ms(15_000);
    let wh = gateway.state().samples.last().unwrap().2.register_wh as f64;
    let truth = unit.garage().truth.joules / 3600.0;
    // What flowed before the unit had a configuration is in the register as well.
    assert!((wh - truth).abs() <= truth / 100.0 + 1.0, "{wh} of {truth}");
    assert!(gateway.state().samples.len() >= 10);
}

#[test]
fn a_card_is_told_once_and_the_temperature_with_every_sample() {
    let (mut unit, gateway) = charging(lease());
    unit.garage().reader.connected = true;
    unit.run_ms(3_000);
    unit.garage().reader.card = Some(vec![4, 1, 2, 3, 4, 5, 6]);
    assert!(unit.run_until(3_000, |_| !gateway.state().cards.is_empty()), "at once, not with the next period");
    unit.run_ms(10_000);
    unit.garage().reader.card = None;
    assert_eq!(gateway.state().cards.len(), 1, "held, not tapped again");
    assert_eq!(gateway.state().cards[0].card.uid(), [4, 1, 2, 3, 4, 5, 6]);
    unit.run_ms(12_000);
    let sample = gateway.state().samples.last().unwrap().2;
    assert_eq!(sample.temperature_dc, Some(234));
}

#[test]
fn a_card_reader_that_holds_its_bus_stops_nothing() {
    let (mut unit, gateway) = charging(lease());
    unit.garage().reader.connected = true;
    unit.run_ms(2_000);
    unit.garage().reader.hangs = true;
    let (posts, conversions) = (gateway.state().posts, unit.garage().conversions);
    unit.run_ms(30_000);
    assert!(unit.garage().is_closed(), "it charges on");
    assert!(gateway.state().posts >= posts + 2, "and goes on reporting");
    assert!(unit.garage().conversions - conversions >= 119_990, "and loses no sample");
    assert_eq!(unit.garage().starts.len(), 1, "without a restart");
    unit.garage().reader.hangs = false;
    unit.garage().reader.card = Some(vec![4, 1, 2, 3]);
    assert!(unit.run_until(5_000, |_| !gateway.state().cards.is_empty()), "and reads cards again once it can");
    gateway.state().lease = None;
    unit.run_ms(15_000);
    assert_counted(&mut unit, &gateway);
}

#[test]
fn a_counter_of_ms_that_rolls_over_ends_no_lease_and_keeps_the_time() {
    // The counter begins two minutes before its end, so this is what every unit goes through.
    let (mut unit, gateway) = charging(lease());
    let until = 150_000 - unit.now_ms();
    let opened = unit.run_until(until, |garage| !garage.is_closed());
    assert!(!opened, "closed all the way");
    let times: Vec<u64> = gateway.state().samples.iter().map(|(_, _, sample)| sample.at_ms).collect();
    assert!(times.windows(2).all(|pair| pair[0] <= pair[1] && pair[1] - pair[0] <= 11_000), "{times:?}");
    assert!(times.last().unwrap().abs_diff(START_MS + unit.now_ms()) < 15_000, "the time is right after the roll-over");
    gateway.state().lease = None;
    unit.run_ms(25_000);
    assert_counted(&mut unit, &gateway);
}
