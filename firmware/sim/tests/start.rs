//! From blank to configured, and what a unit of each kind does with a lease.

use firmware_core::{Flags, Grant, Host, Network};
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

#[test]
fn a_configurations_address_server_and_periods_are_taken_up() {
    let gateway = Gateway::start().unwrap();
    {
        let config = &mut gateway.state().config;
        config.network = Network::Static { address: [10, 0, 7, 37], prefix: 22, router: [10, 0, 4, 1] };
        config.server = Host::new("cellar:9000").unwrap();
        config.sample_period_s = 5;
        config.transmit_period_s = 20;
    }
    gateway.state().lease = Some(Grant::new(60, 3_000_000, [16_000, 0, 0]).unwrap());
    let mut garage = garage(&gateway);
    garage.wave = Wave::sine(10.0);
    let mut unit = Bench::power(&blank(&provision()), garage);
    assert!(unit.run_until(40_000, Garage::is_closed));
    let lines = unit.garage().modem.lines.clone();
    let place = |line: &str| lines.iter().position(|said| said == line).unwrap_or_else(|| panic!("no {line} in {lines:?}"));
    let (first, dynamic) = (place(r#"AT+CIPSTART="TCP","gateway",8421"#), place("AT+CWDHCP_CUR=1,1"));
    let (second, set) = (place(r#"AT+CIPSTART="TCP","cellar",9000"#), place(r#"AT+CIPSTA_CUR="10.0.7.37","10.0.4.1","255.255.252.0""#));
    assert!(dynamic < first && first < set && set < second, "{lines:?}");
    let posts = gateway.state().posts;
    gateway.state().samples.clear();
    unit.run_ms(60_000);
    assert!((2..=4).contains(&(gateway.state().posts - posts)), "every twenty seconds");
    let times: Vec<u64> = gateway.state().samples.iter().map(|(_, _, sample)| sample.at_ms).collect();
    assert!(times.len() >= 8 && times.windows(2).all(|pair| pair[1] - pair[0] <= 5_600), "a sample every five seconds: {times:?}");
    gateway.state().lease = None;
    unit.run_ms(25_000);
    assert!(!unit.garage().is_closed());
    let wh = gateway.state().samples.last().unwrap().2.register_wh as f64;
    let truth = unit.garage().truth.joules / 3600.0;
    assert!(wh <= truth * 1.01 && wh >= truth * 0.99 - 1.0, "{wh} Wh of {truth:.2}");
}
