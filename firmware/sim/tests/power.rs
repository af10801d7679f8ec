//! Power cuts at random instants, worn and corrupt EEPROM: no energy beyond the stated minutes is lost, and no boot number is ever used twice.

mod common;

use std::collections::BTreeSet;

use common::garage;
use firmware_core::Grant;
use firmware_sim::{
    gateway::Gateway,
    unit::{Bench, blank, provision},
    wave::Wave,
};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

/// What a loss of power may cost: the journal is written every two minutes, and while it is written a cut loses the record as well.
const LOST_MS: u64 = 125_000;
/// The journal's place.
const JOURNAL: std::ops::Range<usize> = 288..1024;

fn seed() -> u64 {
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(20_260_116);
    println!("SEED={seed}");
    seed
}

/// The boot number and the energy in µJ of the newest whole record, as a stranger would read it.
fn newest(eeprom: &[u8]) -> (u32, u64) {
    let records = eeprom[JOURNAL].chunks_exact(16).filter_map(|slot| {
        let crc = u32::from_le_bytes(slot[12..].try_into().ok()?);
        let record = (u32::from_le_bytes(slot[..4].try_into().ok()?), u64::from_le_bytes(slot[4..12].try_into().ok()?));
        (crc32(&slot[..12]) == crc).then_some(record)
    });
    records.max().unwrap_or_default()
}

/// Written again here, so that the test does not believe the code that it tests.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 })
    })
}

/// A gateway that grants, and a unit that has just closed its relay for 10 A.
fn charging() -> (Gateway, Bench) {
    let gateway = Gateway::start().unwrap();
    gateway.state().lease = Some(Grant::new(600, 30_000_000, [16_000, 0, 0]).unwrap());
    let mut around = garage(&gateway, 0);
    around.wave = Wave::sine(10.0);
    let mut unit = Bench::power(&blank(&provision()), around);
    assert!(unit.run_until(40_000, |garage| garage.is_closed()));
    (gateway, unit)
}

#[test]
fn hundreds_of_power_cuts_lose_minutes_at_most_and_repeat_no_boot_number() {
    let mut random = StdRng::seed_from_u64(seed());
    let gateway = Gateway::start().unwrap();
    gateway.state().lease = Some(Grant::new(600, 30_000_000, [32_000, 0, 0]).unwrap());
    let mut eeprom = blank(&provision());
    let (mut offset_ms, mut seen, mut kept) = (0, 0, 0);
    let mut starts = BTreeSet::new();
    for cut in 0..300 {
        let mut around = garage(&gateway, offset_ms);
        around.wave = Wave::sine(20.0);
        let posts = gateway.state().posts;
        let mut unit = Bench::power(&eeprom, around);
        if cut % 4 == 3 {
            // Within the journal's writing of the start.
            unit.run_into_write(1_000, &mut random);
        } else if cut % 50 == 1 {
            // Minutes of charging, then within the journal's own writing.
            unit.run_ms(60_000 + random.random_range(0..60_000));
            unit.run_into_write(130_000, &mut random);
        } else {
            unit.run_ms(random.random_range(5..4_000));
        }
        let lived_ms = unit.now_ms();
        let posted = gateway.state().posts > posts;
        assert!(unit.garage().relay.is_empty() || posted, "cut {cut}: closed before this start was granted anything");
        let joules = unit.garage().truth.joules;
        eeprom = unit.cut(&mut random);
        offset_ms += lived_ms + 1_000;
        let (boot, energy_uj) = newest(&eeprom);
        assert!(boot >= seen, "cut {cut}: the newest record fell from {seen} to {boot}");
        seen = boot;
        starts.insert(boot);
        // 20 A at 230 V are 4.6 kW.
        let most_lost = 4_600.0 * LOST_MS as f64 / 1_000.0;
        let lost = joules - (energy_uj - kept) as f64 / 1e6;
        assert!(energy_uj >= kept, "cut {cut}: energy fell");
        assert!(lost <= most_lost * 1.01, "cut {cut}: {lost:.0} J of {joules:.0} lost");
        kept = energy_uj;
    }
    let state = gateway.state();
    let boots = &state.boots;
    println!("{} starts were told to the gateway, {} written; {} Wh kept", boots.len(), starts.len(), kept / 3_600_000_000);
    assert!(boots.windows(2).all(|pair| pair[0] < pair[1]), "a boot number came twice: {boots:?}");
    assert!(state.refused.is_empty(), "the gateway took something for a replay: {:?}", state.refused);
    assert!(kept > 0);
}

#[test]
fn slots_that_no_longer_keep_what_is_written_are_passed_over() {
    // Worn cells: whatever was written there reads as something else after the next start.
    let mut random = StdRng::seed_from_u64(seed());
    let gateway = Gateway::start().unwrap();
    let mut eeprom = blank(&provision());
    let worn: BTreeSet<usize> = (0..12).map(|_| random.random_range(0..46)).collect();
    for start in 0..30_u64 {
        // Three starts on a memory that still keeps everything: who loses his only record begins anew, and so would his numbers.
        for slot in worn.iter().filter(|_| start >= 3) {
            eeprom[JOURNAL.start + 16 * slot + 3] = random.random();
        }
        let mut unit = Bench::power(&eeprom, garage(&gateway, start * 20_000));
        assert!(unit.run_until(15_000, |_| gateway.state().boots.len() as u64 == start + 1), "start {start} with {worn:?}");
        eeprom = unit.eeprom();
    }
    assert!(gateway.state().refused.is_empty(), "{:?}", gateway.state().refused);
}

#[test]
fn a_corrupt_provisioning_or_configuration_never_closes_the_relay_by_itself() {
    let mut random = StdRng::seed_from_u64(seed());
    let gateway = Gateway::start().unwrap();
    gateway.state().lease = Some(Grant::new(60, 3_000_000, [16_000, 0, 0]).unwrap());
    let mut unit = Bench::power(&blank(&provision()), garage(&gateway, 0));
    unit.run_ms(20_000);
    let good = unit.eeprom();
    drop(unit);
    for place in 0..12_u64 {
        let mut eeprom = good.clone();
        let at = random.random_range(0..200);
        eeprom[at] ^= 1 << random.random_range(0..8);
        let posts = gateway.state().posts;
        let mut unit = Bench::power(&eeprom, garage(&gateway, (place + 1) * 30_000));
        unit.run_ms(6_000);
        assert!(unit.garage().relay.is_empty(), "byte {at}");
        assert_eq!(gateway.state().posts, posts, "byte {at}: a unit of doubtful identity says nothing");
    }
    // From start to start, as boot numbers go on.
    let mut eeprom = good;
    for byte in (208..280).step_by(9) {
        eeprom[byte] ^= 0x10;
        let configured = gateway.state().configured;
        let mut unit = Bench::power(&eeprom, garage(&gateway, 2_000_000 + byte as u64 * 30_000));
        assert!(unit.run_until(15_000, |_| gateway.state().configured > configured), "byte {byte}: asks again");
        assert!(unit.garage().relay.is_empty(), "byte {byte}: closed without a configuration");
        unit.run_ms(1_000);
        eeprom = unit.eeprom();
    }
}

#[test]
fn a_sagging_supply_opens_the_relay_and_costs_two_minutes_of_energy_at_most() {
    let (gateway, mut unit) = charging();
    unit.run_ms(150_000);
    unit.brown_out();
    assert_eq!(unit.peek(0x24) & 1, 0, "the pin is let go at once");
    unit.run_ms(1);
    assert!(!unit.garage().is_closed());
    assert_eq!(unit.garage().starts.last().unwrap().1 & 4, 4, "by the brown-out detector");
    let truth = unit.garage().truth.joules;
    gateway.state().lease = None;
    assert!(unit.run_until(40_000, |_| gateway.state().boots.len() == 2), "it talks again, under another boot number");
    unit.run_ms(15_000);
    assert!(!unit.garage().is_closed(), "the lease of before holds no more");
    let kept = gateway.state().samples.last().unwrap().2.register_wh as f64 * 3_600.0;
    // 10 A at 230 V, and a Wh of rounding.
    assert!(kept > 0.0 && kept <= truth * 1.01, "{kept:.0} J of {truth:.0}");
    assert!(truth - kept <= 2_300.0 * LOST_MS as f64 / 1_000.0 + 3_600.0, "{kept:.0} J of {truth:.0}");
}

#[test]
fn a_program_that_hangs_is_started_again_with_an_open_relay() {
    let (gateway, mut unit) = charging();
    // The converter's timer is stopped: the main loop goes round, the interrupt does not, and the watchdog must not be fed.
    unit.stop_timer();
    assert!(unit.run_until(3_000, |garage| garage.starts.len() == 2), "the watchdog's two seconds");
    assert!(!unit.garage().is_closed());
    assert_eq!(unit.garage().starts[1].1 & 8, 8, "by the watchdog");
    assert!(unit.run_until(40_000, |_| gateway.state().boots.len() == 2), "and it talks again, under another boot number");
}
