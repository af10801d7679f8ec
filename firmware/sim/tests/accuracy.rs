//! RMS values against the injected truth, over the range of both sensors, with harmonics and noise. `./dev accuracy` writes the tables into docs/firmware.md.

mod common;

use common::garage;
use firmware_core::{Calibration, Parts, Provision};
use firmware_sim::{
    gateway::Gateway,
    unit::{Bench, blank, provision},
    wave::{Sensor, VOLTS, Wave},
};

/// The error allowed above 1 A, in percent.
const ALLOWED: f64 = 1.0;

/// The current that a unit without relay reports against the one injected, in percent, for each of some waves: worst of three samples.
fn errors(calibration: Calibration, sensor: &Sensor, waves: &[Wave]) -> Vec<f64> {
    let gateway = Gateway::start().unwrap();
    gateway.state().config.sample_period_s = 1;
    gateway.state().config.transmit_period_s = 3;
    gateway.state().config.rated_ma = u16::MAX;
    // The noise of half a count that the sensor's model has, and what rounding to counts adds: what commissioning would store.
    let floor = ((sensor.noise * 1024.0 / 5.0).powi(2) + 1.0 / 12.0) * 256.0;
    let calibration = Calibration { floor: floor.round() as u16, ..calibration };
    let meter = Provision { parts: Parts::METER_ONLY, calibration, ..provision() };
    let mut around = garage(&gateway, 0);
    around.has_relay = false;
    around.sensor = sensor.clone();
    let mut unit = Bench::power(&blank(&meter), around);
    assert!(unit.run_until(20_000, |_| gateway.state().posts > 0));
    let mut errors = Vec::new();
    for wave in waves {
        unit.garage().wave = wave.clone();
        unit.run_ms(2_500);
        gateway.state().samples.clear();
        assert!(unit.run_until(30_000, |_| gateway.state().samples.len() >= 3));
        let state = gateway.state();
        let newest = state.samples.iter().rev().take(3);
        let worst = newest.map(|(_, _, sample)| {
            // A sample's field for the current ends at 65.5 A; its power does not.
            let read = match sample.current_ma[0] {
                u16::MAX => f64::from(sample.power_w) / VOLTS,
                ma => f64::from(ma) / 1000.0,
            };
            100.0 * (read - wave.amperes) / wave.amperes
        });
        errors.push(worst.fold(0.0, |worst: f64, error| if error.abs() > worst.abs() { error } else { worst }));
    }
    errors
}

/// What a charger's rectifier adds.
fn harmonics() -> Vec<(f64, f64)> {
    vec![(3.0, 0.15), (5.0, 0.10), (7.0, 0.06), (11.0, 0.03)]
}

fn waves(amperes: &[f64]) -> Vec<Wave> {
    let mut waves = Vec::new();
    for amperes in amperes {
        for hertz in [45.0, 50.0, 60.0, 65.0] {
            waves.push(Wave { hertz, ..Wave::sine(*amperes) });
        }
        waves.push(Wave { harmonics: harmonics(), ..Wave::sine(*amperes) });
    }
    waves
}

fn table(name: &str, amperes: &[f64], errors: &[f64]) {
    // The first line of its own: what is before it is the test's name.
    println!("\n| {name}, A | 45 Hz | 50 Hz | 60 Hz | 65 Hz | 50 Hz with harmonics |");
    println!("|---:|---:|---:|---:|---:|---:|");
    for (amperes, row) in amperes.iter().zip(errors.chunks(5)) {
        let cells: Vec<String> = row.iter().map(|error| format!("{error:+.2}")).collect();
        println!("| {amperes} | {} |", cells.join(" | "));
    }
    println!();
}

#[test]
fn the_clamp_is_read_within_one_percent_from_1_to_80_amperes() {
    let amperes = [1.0, 2.0, 6.0, 10.0, 16.0, 32.0, 50.0, 80.0];
    // Peaks with harmonics stay within the converter's range up to here.
    let errors = errors(Calibration::SCT_013, &Sensor::sct_013(), &waves(&amperes));
    table("SCT-013-000", &amperes, &errors);
    assert!(errors.iter().all(|error| error.abs() <= ALLOWED), "{errors:?}");
}

#[test]
fn the_hall_sensor_is_read_within_one_percent_from_1_to_20_amperes() {
    let amperes = [1.0, 2.0, 6.0, 10.0, 14.0, 20.0];
    let errors = errors(Calibration::ACS712_30A, &Sensor::acs712_30a(), &waves(&amperes));
    table("ACS712 30 A", &amperes, &errors);
    assert!(errors.iter().all(|error| error.abs() <= ALLOWED), "{errors:?}");
}

#[test]
fn the_smaller_hall_sensor_is_read_within_one_percent_up_to_its_20_amperes_of_peak() {
    let amperes = [1.0, 6.0, 14.0];
    let errors = errors(Calibration::ACS712_20A, &Sensor::acs712_20a(), &waves(&amperes));
    table("ACS712 20 A", &amperes, &errors);
    assert!(errors.iter().all(|error| error.abs() <= ALLOWED), "{errors:?}");
}
