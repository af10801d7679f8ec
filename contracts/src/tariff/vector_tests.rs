//! The golden vectors of `contracts/vectors/tariffs.json`: bills under tariffs of every kind, OCPI's published examples and the nights of changed clocks among
//! them, made by an independent program. Ours must agree to the part.

use chain::{
    quantity::{Amount, Cost, WattHours},
    record::{CostByComponent, GrantSpan},
    tariff::Tariff,
    time::Timestamp,
};
use serde::Deserialize;

use crate::tariff::{self, Counted, Interval};

#[derive(Debug, Deserialize)]
struct Reading {
    at: Timestamp,
    register: WattHours,
}

#[derive(Debug, Deserialize)]
struct Bill {
    name: String,
    tariff: Tariff,
    begun: Timestamp,
    until: Timestamp,
    idle_since: Option<Timestamp>,
    granted: Vec<GrantSpan>,
    readings: Vec<Reading>,
    cost: CostByComponent,
    due: Cost,
    total: Amount,
}

#[derive(Debug, Deserialize)]
struct File {
    bills: Vec<Bill>,
}

/// The cost of all readings.
fn cost(bill: &Bill) -> CostByComponent {
    let counted = Counted { granted: &bill.granted, idle_since: bill.idle_since, until: bill.until };
    let mut sum = CostByComponent::default();
    for pair in bill.readings.windows(2) {
        let interval = Interval {
            from: pair[0].at,
            to: pair[1].at,
            energy: pair[1].register.checked_sub(pair[0].register).expect("a register does not fall"),
            energy_before: pair[0].register,
            begun: bill.begun,
        };
        let added = tariff::interval_cost(&bill.tariff, &interval, &counted).expect("a valid tariff");
        let add = |one: Cost, other: Cost| one.checked_add(other).expect("small");
        sum = CostByComponent {
            energy: add(sum.energy, added.energy),
            time: add(sum.time, added.time),
            parking_time: add(sum.parking_time, added.parking_time),
            flat: sum.flat,
        };
        if interval.energy_before.is_zero() && !interval.energy.is_zero() {
            sum.flat = tariff::flat_cost(&bill.tariff, bill.begun).expect("a valid tariff");
        }
    }
    sum
}

#[test]
fn bills_are_those_of_the_vectors() {
    let path = "vectors/tariffs.json";
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let file: File = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"));
    assert!(file.bills.len() >= 50, "{} bills", file.bills.len());
    for bill in &file.bills {
        tariff::validate(&bill.tariff).unwrap_or_else(|rejection| panic!("{}: {rejection}", bill.name));
        let found = cost(bill);
        assert_eq!(found, bill.cost, "{}", bill.name);
        let metered = bill.readings.last().map_or(WattHours::ZERO, |reading| reading.register);
        let due = tariff::due(&bill.tariff, &found, metered).expect("small");
        assert_eq!((due, due.floor()), (bill.due, Some(bill.total)), "{}", bill.name);
    }
}
