//! Current and energy from windows of counts.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "tests panic to fail, and their numbers are known")]

use std::f64::consts::{SQRT_2, TAU};

use firmware_core::{Calibration, Measured, Meter, WINDOW_SAMPLES, Window};

fn window(amperes: f64, hertz: f64, start: f64, volts_per_ampere: f64) -> Window {
    let mut window = Window::default();
    for sample in 0..WINDOW_SAMPLES {
        let seconds = start + f64::from(sample) / 4000.0;
        let volts = 2.5 + SQRT_2 * amperes * (TAU * hertz * seconds).sin() * volts_per_ampere;
        window.add((volts * 1024.0 / 5.0).floor().clamp(0.0, 1023.0) as i16);
    }
    window
}

fn clamp() -> Meter {
    let mut meter = Meter::new();
    meter.start(&Calibration::SCT_013, 0);
    meter
}

#[test]
fn reads_the_clamp_within_one_percent_from_two_to_eighty_amperes() {
    for amperes in [2.0, 6.0, 10.0, 16.0, 32.0, 63.0, 80.0] {
        for hertz in [45.0, 47.3, 50.0, 60.0, 65.0] {
            let Measured::Current(ma) = clamp().take(&window(amperes, hertz, 0.013, 0.0165), 230) else { panic!("fault at {amperes} A") };
            let error = (f64::from(ma) / 1000.0 - amperes).abs() / amperes;
            assert!(error < 0.01, "{ma} mA of {amperes} A at {hertz} Hz");
        }
    }
}

#[test]
fn energy_is_cumulative_and_windows_that_come_late_lose_nothing() {
    let (mut prompt, mut late) = (clamp(), clamp());
    let mut joined = Window::default();
    for half_seconds in 0..8 {
        let one = window(10.0, 50.0, f64::from(half_seconds) / 2.0, 0.0165);
        prompt.take(&one, 230);
        joined.join(&one);
        if half_seconds % 4 == 3 {
            late.take(&std::mem::take(&mut joined), 230);
        }
    }
    let expected = 4.0 * 2300.0 * 1e6;
    for meter in [&prompt, &late] {
        let error = (meter.energy_uj() as f64 - expected) / expected;
        assert!(error.abs() < 0.005, "{} µJ", meter.energy_uj());
    }
    assert_eq!(prompt.register_wh(), 2, "2.5 Wh, rounded down");
}

#[test]
fn goes_on_from_what_was_kept_and_counts_the_rest_of_a_watt_hour_on() {
    let mut meter = Meter::new();
    meter.start(&Calibration::SCT_013, 3_600_000_000 * 7 - 1);
    assert_eq!(meter.register_wh(), 6);
    meter.take(&window(10.0, 50.0, 0.0, 0.0165), 230);
    assert_eq!(meter.register_wh(), 7);
}

#[test]
fn a_flat_line_is_nothing_and_a_missing_or_overdriven_sensor_is_a_fault() {
    assert_eq!(clamp().take(&window(0.0, 50.0, 0.0, 0.0165), 230), Measured::Current(0));
    assert_eq!(clamp().take(&window(140.0, 50.0, 0.0, 0.0165), 230), Measured::Fault);
    let mut floating = Window::default();
    (0..WINDOW_SAMPLES).for_each(|_| floating.add(3));
    assert_eq!(clamp().take(&floating, 230), Measured::Fault);
    assert_eq!(clamp().take(&Window::default(), 230), Measured::Fault);
}

#[test]
fn learns_the_noise_and_takes_it_off_but_never_learns_a_current() {
    let noisy = |amperes: f64| {
        let mut window = window(amperes, 50.0, 0.0, 0.0165);
        // One count up and down with equal probability adds a mean square of one.
        window.squares += u32::from(window.samples);
        window
    };
    let mut fresh = clamp();
    fresh.learn_noise(&noisy(0.0));
    assert_eq!(fresh.take(&noisy(0.0), 230), Measured::Current(0), "the first window is enough");
    let read = |meter: &mut Meter| match meter.take(&noisy(1.0), 230) {
        Measured::Current(ma) => ma,
        Measured::Fault => panic!("a fault"),
    };
    let mut meter = clamp();
    let before = read(&mut meter);
    (0..100).for_each(|_| meter.learn_noise(&noisy(0.0)));
    let after = read(&mut meter);
    assert!(before > 1_030 && (970..=1_020).contains(&after), "{before} then {after} mA");
    (0..100).for_each(|_| meter.learn_noise(&window(5.0, 50.0, 0.0, 0.0165)));
    assert_eq!(read(&mut meter), after, "5 A are no noise");
}
