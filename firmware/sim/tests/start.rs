//! From blank to configured, and what a unit of each kind does with a lease.

use firmware_core::{Flags, Grant};
use firmware_sim::{
    garage::Garage,
    gateway::Gateway,
    modem::Modem,
    unit::{Bench, blank, provision},
    wave::Wave,
};

fn garage(gateway: &Gateway) -> Garage {
    Garage::new(Modem::new(gateway.uplink()))
}

#[test]
fn a_blank_unit_fetches_its_configuration_by_its_switches_and_meters_what_it_lets_through() {
    let gateway = Gateway::start().unwrap();
    gateway.state().sensor = 37;
    let mut garage = garage(&gateway);
    garage.switches = 37;
    garage.wave = Wave::sine(10.0);
    let mut unit = Bench::power(&blank(&provision()), garage);
    assert!(unit.run_until(15_000, |_| gateway.state().configured == 1), "no configuration after 15 s");
    assert!(unit.run_until(5_000, |_| gateway.state().posts > 0), "no readings");
    assert!(unit.garage().relay.is_empty(), "nothing was granted, nothing is switched on");
    gateway.state().lease = Some(Grant::new(60, 3_000_000, [16_000, 0, 0]).unwrap());
    assert!(unit.run_until(15_000, Garage::is_closed), "a lease closes the relay");
    unit.run_ms(60_000);
    gateway.state().lease = None;
    assert!(unit.run_until(12_000, |garage| !garage.is_closed()), "no lease opens it");
    unit.run_ms(3_000);
    let state = gateway.state();
    let wh = state.samples.last().unwrap().2.register_wh;
    let truth = unit.garage().truth.joules / 3600.0;
    println!("register {wh} Wh, truth {truth:.2} Wh, RAM {} bytes", unit.ram_used());
    assert!(wh as f64 <= truth + 0.5 && wh as f64 >= truth - 1.5, "{wh} Wh of {truth}");
    let closed: Vec<_> = state.samples.iter().filter(|(_, _, sample)| sample.flags.has(Flags::RELAY_CLOSED)).collect();
    assert!(closed.len() >= 5, "{closed:?}");
    assert!(closed.iter().skip(1).all(|(_, _, sample)| (9_900..=10_100).contains(&sample.current_ma[0])), "{closed:?}");
}
