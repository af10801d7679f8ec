//! The paper's case study: what is drawn fits it whatever the seed, what the chain says is what was drawn although the node is killed, and a history that somebody
//! has changed does not pass.
//!
//! The run needs `wattd` beside `watt-testnet`: `./dev test` builds it, and `cargo build --workspace --bins` does.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    thread,
    time::Duration,
};

use chain::{
    codec,
    export::{Framing, MAX_PAYLOAD_BYTES, RecordKind, frame, preamble},
    hash::Hash32,
    id::{Address, CondominiumId, ConnectorId, SessionId, TariffId},
    quantity::{Amount, WattHours},
    receipt::{Event, Receipt, SessionReceipt, Settler},
    record::{Control, CostByComponent, EndReason},
    time::Timestamp,
};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use serde_json::Value;
use testnet::casestudy::{
    draw::{self, UNSWITCHED, Visit},
    export_in,
    score::{
        figures::{self, Row},
        history::{self, Charge, History},
    },
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_watt-testnet");

fn missed(rows: &[Row]) -> Vec<String> {
    rows.iter().filter(|row| row.within == Some(false)).map(|row| format!("{}: {} against {}", row.figure, row.found, row.paper)).collect()
}

fn connector(sensor: usize) -> ConnectorId {
    ConnectorId::new(CondominiumId(1), u32::try_from(sensor).unwrap() + 1)
}

/// The history of a chain on which everything went as it was drawn.
fn as_drawn(visits: &[Visit]) -> History {
    let bill = |(number, visit): (u64, &Visit)| SessionReceipt {
        session: SessionId(Hash32([u8::try_from(number % 251).unwrap(); 32])),
        account: Address([u8::try_from(visit.sensor).unwrap(); 32]),
        connector: connector(visit.sensor),
        tariff: TariffId::new(CondominiumId(1), 1),
        tariff_version: 1,
        opened_at: Timestamp::from_ms(visit.comes_ms),
        first_granted_at: Some(Timestamp::from_ms(visit.starts_ms)),
        ended_at: Timestamp::from_ms(visit.ends_ms()),
        settled_at: Timestamp::from_ms(visit.ends_ms()),
        reason: EndReason::VehicleRemoved,
        settled_by: Settler::Gateway,
        energy: WattHours::new(visit.energy_wh),
        energy_billed: WattHours::new(visit.energy_wh),
        cost: CostByComponent::default(),
        escrow: Amount::ZERO,
        paid: Amount::ZERO,
        refund: Amount::ZERO,
        overdrawn: None,
        readings: 1,
        samples: visit.draws_for_ms() / 60_000 + 1,
    };
    let charge = |(number, visit): (u64, &Visit)| Charge {
        bill: bill((number, visit)),
        drew: vec![(visit.starts_ms, visit.ends_ms())],
        samples_drawing: visit.draws_for_ms() / 60_000 + 1,
        register_wh: visit.energy_wh,
    };
    let mut charges: Vec<Charge> = (0..).zip(visits).map(charge).collect();
    charges.sort_by_key(|charge| (charge.starts_ms(), charge.bill.connector));
    let control = |sensor: usize| if sensor == UNSWITCHED { Control::MeterOnly } else { Control::Switched };
    History { charges, connectors: (0..draw::CARS).map(|sensor| (connector(sensor), control(sensor))).collect() }
}

#[test]
fn whatever_the_seed_what_is_drawn_meets_every_figure_of_the_paper() {
    let random: u64 = rand::random();
    println!("seeds 0 to 199, and 100 from {random}");
    for seed in (0..200).chain((0..100).map(|number| random.wrapping_add(number))) {
        let visits = draw::visits(seed).unwrap();
        assert_eq!(visits, draw::visits(seed).unwrap(), "seed {seed}: the same seed, the same charges");
        let missed = missed(&figures::rows(&as_drawn(&visits), Some(450_000)));
        assert!(missed.is_empty(), "seed {seed}: {missed:?}");
    }
}

#[test]
fn two_seeds_have_next_to_no_charge_in_common() {
    let pairs = |seed| draw::visits(seed).unwrap().iter().map(|visit| (visit.starts_ms, visit.energy_wh)).collect::<BTreeSet<_>>();
    let all: Vec<_> = (0..20).map(pairs).collect();
    for (number, one) in all.iter().enumerate() {
        for other in &all[..number] {
            assert!(one.intersection(other).count() * 20 < one.len());
        }
    }
}

#[test]
fn every_figure_is_about_something() {
    let visits = draw::visits(1).unwrap();
    let whole = as_drawn(&visits);
    let with = |change: &dyn Fn(&mut History)| {
        let mut changed = whole.clone();
        change(&mut changed);
        missed(&figures::rows(&changed, Some(450_000)))
    };
    assert!(with(&|_| {}).is_empty());
    assert!(!with(&|history| drop(history.charges.remove(150))).is_empty());
    assert!(!with(&|history| history.charges[150].bill.energy = WattHours::new(60_000)).is_empty());
    let late = whole.charges.iter().position(|charge| charge.starts_ms() > charge.bill.opened_at.ms()).unwrap();
    let early = with(&|history| {
        let charge = &mut history.charges[late];
        let moved_ms = charge.starts_ms() - charge.bill.opened_at.ms() - 1;
        charge.bill.first_granted_at = Some(Timestamp::from_ms(charge.starts_ms() - moved_ms));
        charge.drew.iter_mut().for_each(|(from_ms, until_ms)| (*from_ms, *until_ms) = (*from_ms - moved_ms, *until_ms - moved_ms));
    });
    assert!(early.iter().any(|row| row.starts_with("charges out of turn")), "{early:?}");
    assert!(missed(&figures::rows(&whole, Some(404_999))).iter().any(|row| row.starts_with("data samples")));
    assert!(missed(&figures::rows(&History::default(), None)).len() > 15, "nothing meets next to nothing");
}

/// Runs the program and kills its node now and then.
fn run_and_kill(data: &Path, json: &Path, seed: u64) -> (Output, u32) {
    let mut random = StdRng::seed_from_u64(seed);
    let mut command = Command::new(PROGRAM);
    command.args(["casestudy", "--seed", &seed.to_string(), "--data"]).arg(data).arg("--json").arg(json);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut kills = 0;
    while child.try_wait().unwrap().is_none() {
        thread::sleep(Duration::from_millis(random.random_range(500..4_000)));
        let pid = std::fs::read_to_string(data.join("node-0/wattd.pid")).unwrap_or_default();
        if kills < 20 && pid.trim().parse::<u32>().is_ok() {
            let killed = Command::new("kill").args(["-9", pid.trim()]).stderr(Stdio::null()).status().unwrap();
            kills += u32::from(killed.success());
        }
    }
    (child.wait_with_output().unwrap(), kills)
}

/// An export in which the events of bills are others.
fn with_bills(export: &Path, to: PathBuf, mut change: impl FnMut(&mut Vec<Event>)) -> PathBuf {
    let mut framing = Framing::new();
    framing.push(&std::fs::read(export).unwrap());
    let mut out = preamble();
    while let Some(record) = framing.next_record().unwrap() {
        let mut payload = record.payload;
        if record.kind == RecordKind::Receipts {
            let mut receipts: Vec<Receipt> = codec::decode(&payload, MAX_PAYLOAD_BYTES).unwrap();
            receipts.iter_mut().for_each(|receipt| change(&mut receipt.events));
            payload = codec::encode(&receipts).unwrap();
        }
        out.extend(frame(record.kind, &payload).unwrap());
    }
    framing.finish().unwrap();
    std::fs::write(&to, out).unwrap();
    to
}

fn score(export: &Path) -> (bool, String) {
    let output = Command::new(PROGRAM).args(["casestudy", "--score"]).arg(export).output().unwrap();
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn the_chain_says_what_was_drawn_though_its_node_is_killed_and_no_changed_export_passes() {
    let seed = rand::random_range(0..1_000_000);
    println!("seed {seed}");
    let folder = tempfile::tempdir().unwrap();
    let (data, json) = (folder.path().join("chain"), folder.path().join("figures.json"));
    let (output, kills) = run_and_kill(&data, &json, seed);
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}\n{err}");
    let report: Value = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
    assert!(kills > 0 && report["run"]["restarts"].as_u64() >= Some(1), "{kills} kills: {}", report["run"]);
    assert_eq!((&report["ok"], &report["run"]["audit"]["ok"]), (&true.into(), &true.into()));

    let export = export_in(&data);
    let found = history::read(&export).unwrap();
    let say = |history: &History| -> BTreeMap<(u64, u32), (u64, u64)> {
        let one = |charge: &Charge| ((charge.starts_ms(), charge.bill.connector.number), (charge.ends_ms(), charge.bill.energy.get()));
        history.charges.iter().map(one).collect()
    };
    assert_eq!(say(&found), say(&as_drawn(&draw::visits(seed).unwrap())), "to the millisecond and the Wh");

    assert!(score(&export).0);
    let victim = found.charges[usize::try_from(seed).unwrap() % 300].bill.session;
    let is_victims = |event: &Event| event.bill().is_some_and(|bill| bill.session == victim);
    let without = with_bills(&export, folder.path().join("without"), |events| events.retain(|event| !is_victims(event)));
    let (passes, told) = score(&without);
    assert!(!passes && told.contains("charging events: 299 against 300"), "{told}");
    let raised = with_bills(&export, folder.path().join("raised"), |events| {
        for event in events {
            if let Event::SessionSettled(bill) = event
                && bill.session == victim
            {
                bill.energy = WattHours::new(bill.energy.get() + 50_000);
                bill.energy_billed = bill.energy;
            }
        }
    });
    let (passes, told) = score(&raised);
    assert!(!passes && told.contains("Table 2, energy: ") && told.contains("differ from their samples"), "{told}");
}
