//! What several scenarios begin with.
#![allow(dead_code, reason = "every test file uses some of it")]

use firmware_core::Grant;
use firmware_sim::{
    garage::Garage,
    gateway::Gateway,
    modem::Modem,
    unit::{Bench, blank, provision},
    wave::Wave,
};

/// A garage whose modem leads to this gateway; power comes so many ms after the first.
pub fn garage(gateway: &Gateway, offset_ms: u64) -> Garage {
    Garage::new(Modem::new(gateway.uplink_at(offset_ms)))
}

/// A unit that charges with 10 A under this lease.
pub fn charging(lease: Grant) -> (Bench, Gateway) {
    let gateway = Gateway::start().unwrap();
    gateway.state().lease = Some(lease);
    let mut garage = garage(&gateway, 0);
    garage.wave = Wave::sine(10.0);
    let mut unit = Bench::power(&blank(&provision()), garage);
    assert!(unit.run_until(40_000, Garage::is_closed), "the relay closes under a lease");
    unit.run_ms(5_000);
    (unit, gateway)
}

/// The last register that the gateway has is what truly flowed, within 1 % and the Wh that it is rounded down to.
pub fn assert_counted(unit: &mut Bench, gateway: &Gateway) {
    let wh = gateway.state().samples.last().unwrap().2.register_wh as f64;
    let truth = unit.garage().truth.joules / 3600.0;
    assert!(wh <= truth * 1.01 && wh >= truth * 0.99 - 1.0, "{wh} Wh of {truth:.2}");
}
