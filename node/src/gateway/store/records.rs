//! What the gateway's database keeps, record by record; their encodings are the layout that `SCHEMA_VERSION` names.
//!
//! Plain values without rules. Made and changed by metering and desk, stored by the store.

use chain::{
    hash::Hash32,
    id::SessionId,
    quantity::{Cost, WattHours},
    time::Timestamp,
};
use contracts::call::Reading;
use firmware_core::Seen;
use serde::{Deserialize, Serialize};

use crate::gateway::{flow::Flow, held::Held};

/// A session's metering, as far as it is decided.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Book {
    /// Of which session.
    pub session: SessionId,
    /// The salt of its samples' leaves.
    pub salt: Hash32,
    /// The sequence number of the last decided reading; 0 before the first.
    pub decided: u64,
    /// The first decided register.
    pub start: Option<WattHours>,
    /// The time and register of the last decided reading.
    pub last: Option<(Timestamp, WattHours)>,
    /// The exact cost up to it, as the chain will bill it.
    pub cost: Cost,
    /// The index of the first sample that is in no reading yet.
    pub next_leaf: u64,
    /// What is known of the vehicle.
    pub vehicle: Vehicle,
    /// Why no more current may flow, if that is decided.
    pub ending: Ending,
    /// Whether nothing is left to be metered.
    pub finished: bool,
    /// Whether the meter can no longer be believed: nothing more is attested.
    pub frozen: bool,
}

/// What is known of a vehicle since its session began.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct Vehicle {
    /// A plug was seen.
    pub plugged: bool,
    /// It has drawn power.
    pub charged: bool,
    /// The most power that it drew, in W.
    pub peak_w: u16,
    /// The power that it drew last, if it was not zero, in W.
    pub last_w: u16,
    /// Since when it takes nothing although it could.
    pub zero_since: Option<Timestamp>,
}

/// Why the gateway lets no more current flow.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub enum Ending {
    /// It does.
    #[default]
    None,
    /// The vehicle is full or gone; a reading says so.
    Vehicle,
    /// The escrow is spent; a reading shows it.
    Money,
    /// Something is wrong, since then; to be reported.
    Fault(chain::record::Fault, Timestamp),
}

impl Book {
    /// The book of a session of which nothing is metered yet.
    #[must_use]
    pub fn new(session: SessionId, salt: Hash32, next_leaf: u64) -> Self {
        Self {
            session,
            salt,
            decided: 0,
            start: None,
            last: None,
            cost: Cost::ZERO,
            next_leaf,
            vehicle: Vehicle::default(),
            ending: Ending::None,
            finished: false,
            frozen: false,
        }
    }
}

/// A reading that was decided, and what it rests on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DecidedReading {
    /// What is attested.
    pub reading: Reading,
    /// The index of the first sample behind it.
    pub first_leaf: u64,
    /// The index after the last one.
    pub end_leaf: u64,
    /// The session's exact cost with it.
    pub cost: Cost,
}

/// What is remembered of a connector's meter beside its sessions.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct PointMemory {
    /// What flows, where there is no switch.
    pub flow: Flow,
    /// What the meter showed when this gateway first heard of it: that did not flow here.
    pub begun_wh: Option<u64>,
}

/// What is remembered of a unit.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct UnitMemory {
    /// What was seen of it, so that nothing counts twice.
    pub seen: Seen,
    /// When it was last heard.
    pub heard_at: Timestamp,
    /// The leases that it may still hold.
    pub held: Held,
}

/// [`UnitMemory`] on the disk.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct UnitRow {
    boot: u32,
    counter: u32,
    sample: u32,
    tap: u16,
    heard_at: Timestamp,
    held: Held,
}

impl From<&UnitMemory> for UnitRow {
    fn from(memory: &UnitMemory) -> Self {
        let Seen { boot, counter, sample, tap } = memory.seen;
        Self { boot, counter, sample, tap, heard_at: memory.heard_at, held: memory.held.clone() }
    }
}

impl From<UnitRow> for UnitMemory {
    fn from(row: UnitRow) -> Self {
        let UnitRow { boot, counter, sample, tap, heard_at, held } = row;
        Self { seen: Seen { boot, counter, sample, tap }, heard_at, held }
    }
}
