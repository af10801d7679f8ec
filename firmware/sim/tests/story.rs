//! The whole way, with a real node: a blank unit is configured by its switches, a session is opened and granted on the chain, the relay closes, a car charges,
//! readings are attested, the session ends and is settled; the receipt's energy is the integral of the injected waveform.
#![cfg(feature = "federation")]

use chain::{
    quantity::Amount,
    receipt::Event,
    record::{EndReason, PlugSignal},
};
use firmware_core::{Parts, Provision};
use firmware_sim::{
    garage::Garage,
    modem::Modem,
    node::{BOUGHT, Federation, Shared, uplink},
    unit::{Bench, blank, provision},
    wave::Wave,
};

const SWITCHES: u8 = 37;
const CARD: [u8; 7] = [4, 0xa2, 0x24, 0x6f, 0x11, 0x22, 0x33];

fn unit(federation: &Shared, provision: &Provision) -> Bench {
    let mut garage = Garage::new(Modem::new(uplink(federation)));
    garage.switches = SWITCHES;
    garage.wave = Wave::sine(10.0);
    garage.has_relay = provision.parts.has(Parts::RELAY);
    Bench::power(&blank(provision), garage)
}

/// The receipt says what flowed, within 1 %; and the money is right.
fn assert_billed(federation: &Shared, session: chain::id::SessionId, joules: f64, reason: EndReason) {
    let mut federation = federation.borrow_mut();
    let receipt = federation.receipt(session).expect("settled");
    let wh = receipt.energy.get() as f64;
    let truth = joules / 3600.0;
    println!("receipt {wh} Wh, truth {truth:.2} Wh, paid {} of {}, {:?}", receipt.paid.micro(), receipt.escrow.micro(), receipt.reason);
    assert!((wh - truth).abs() <= truth / 100.0, "{wh} Wh on the receipt, {truth:.2} injected");
    assert_eq!(receipt.reason, reason);
    assert_eq!(receipt.paid.micro() + receipt.refund.micro(), receipt.escrow.micro());
    let (free, held) = federation.funds().unwrap();
    assert_eq!((free.micro(), held.micro()), (BOUGHT.micro() - receipt.paid.micro(), 0));
    let attested = federation.events().iter().filter(|event| matches!(event, Event::ReadingHandled { .. })).count();
    assert!(attested >= 2, "{attested} readings were attested");
}

#[test]
fn a_car_charges_until_it_leaves_and_pays_for_what_flowed() {
    let federation = Federation::found(SWITCHES, PlugSignal::Reported).unwrap();
    let with_contact = provision();
    let with_contact = Provision { parts: with_contact.parts.and(Parts::PLUG_CONTACT), ..with_contact };
    let mut unit = unit(&federation, &with_contact);
    unit.run_ms(15_000);
    unit.garage().plug = true;
    unit.run_ms(5_000);
    assert!(unit.garage().relay.is_empty(), "nobody has opened a session");
    let session = federation.borrow_mut().open(Amount::from_micro(5_000_000)).unwrap();
    assert!(unit.run_until(70_000, |garage| garage.is_closed()), "granted on the chain, the relay closes");
    unit.run_ms(8 * 60_000);
    assert!(unit.garage().is_closed());
    unit.garage().plug = false;
    unit.garage().car_draws = false;
    assert!(unit.run_until(10_000, |garage| !garage.is_closed()), "told at once that the vehicle has left");
    assert!(unit.run_until(120_000, |_| federation.borrow().receipt(session).is_some()), "settled");
    let joules = unit.garage().truth.joules;
    assert_billed(&federation, session, joules, EndReason::VehicleRemoved);
    println!("RAM {} bytes", unit.ram_used());
}

#[test]
fn a_car_that_draws_less_and_then_nothing_is_full() {
    let federation = Federation::found(SWITCHES, PlugSignal::None).unwrap();
    let mut unit = unit(&federation, &provision());
    unit.run_ms(15_000);
    let session = federation.borrow_mut().open(Amount::from_micro(5_000_000)).unwrap();
    assert!(unit.run_until(70_000, |garage| garage.is_closed()));
    unit.run_ms(5 * 60_000);
    unit.garage().wave = Wave::sine(4.0);
    unit.run_ms(70_000);
    assert!(unit.garage().is_closed());
    unit.garage().car_draws = false;
    assert!(unit.run_until(150_000, |garage| !garage.is_closed()), "nothing flows any more");
    assert!(unit.run_until(120_000, |_| federation.borrow().receipt(session).is_some()), "settled");
    let joules = unit.garage().truth.joules;
    assert_billed(&federation, session, joules, EndReason::VehicleFull);
}

#[test]
fn a_card_at_the_reader_starts_a_charge_by_its_owners_mandate() {
    let federation = Federation::found(SWITCHES, PlugSignal::None).unwrap();
    let mut unit = unit(&federation, &provision());
    unit.garage().reader.connected = true;
    unit.run_ms(15_000);
    unit.garage().reader.card = Some(CARD.to_vec());
    unit.run_ms(20_000);
    unit.garage().reader.card = None;
    unit.run_ms(5_000);
    assert!(unit.garage().relay.is_empty() && federation.borrow().mandated().is_none(), "nobody knows the card");
    federation.borrow_mut().bind_card(&CARD, Amount::from_micro(3_000_000)).unwrap();
    unit.garage().reader.card = Some(CARD.to_vec());
    assert!(unit.run_until(70_000, |garage| garage.is_closed()), "the card alone starts a charge");
    unit.garage().reader.card = None;
    let session = federation.borrow().mandated().expect("opened by the mandate");
    unit.run_ms(6 * 60_000 + 10_000);
    assert!(unit.garage().is_closed());
    unit.garage().car_draws = false;
    assert!(unit.run_until(150_000, |garage| !garage.is_closed()));
    assert!(unit.run_until(120_000, |_| federation.borrow().receipt(session).is_some()), "settled");
    let joules = unit.garage().truth.joules;
    // No plug tells anything: a car that stops in the midst is judged to have left.
    assert_billed(&federation, session, joules, EndReason::VehicleRemoved);
}

#[test]
fn an_escrow_that_runs_out_opens_the_relay_and_is_all_paid() {
    let federation = Federation::found(SWITCHES, PlugSignal::None).unwrap();
    let mut unit = unit(&federation, &provision());
    unit.run_ms(15_000);
    // 0.25 a kWh: 0.1 buys 400 Wh, ten minutes and a half of 2.3 kW.
    let session = federation.borrow_mut().open(Amount::from_micro(100_000)).unwrap();
    assert!(unit.run_until(70_000, |garage| garage.is_closed()));
    assert!(unit.run_until(15 * 60_000, |garage| !garage.is_closed()), "the money is spent");
    assert!(unit.run_until(180_000, |_| federation.borrow().receipt(session).is_some()), "settled");
    let joules = unit.garage().truth.joules;
    assert_billed(&federation, session, joules, EndReason::Money);
    let receipt = federation.borrow().receipt(session).unwrap();
    assert_eq!((receipt.paid, receipt.refund.micro()), (receipt.escrow, 0));
}

#[test]
fn a_resident_stops_and_the_relay_opens() {
    let federation = Federation::found(SWITCHES, PlugSignal::None).unwrap();
    let mut unit = unit(&federation, &provision());
    unit.run_ms(15_000);
    let session = federation.borrow_mut().open(Amount::from_micro(5_000_000)).unwrap();
    assert!(unit.run_until(70_000, |garage| garage.is_closed()));
    unit.run_ms(6 * 60_000);
    federation.borrow_mut().stop(session).unwrap();
    assert!(unit.run_until(95_000, |garage| !garage.is_closed()), "with the next answer, at the latest with the lease");
    assert!(unit.run_until(180_000, |_| federation.borrow().receipt(session).is_some()), "settled");
    let joules = unit.garage().truth.joules;
    assert_billed(&federation, session, joules, EndReason::StoppedByResident);
}
