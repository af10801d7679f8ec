//! What units and meters show.
//!
//! Called through [`super`], which says what holds for all of them.

use serde::{Deserialize, Serialize};

use crate::{
    id::{ConnectorId, SessionId},
    quantity::{Currents, WattHours, Watts},
    record::Fault,
    time::Timestamp,
};

/// What a connector's unit and meter show now: one item of `GET /monitor`. A node says it of the units of its own gateway.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MonitorView {
    /// Which.
    pub connector: ConnectorId,
    /// The session that is open there.
    pub session: Option<SessionId>,
    /// When its unit was last heard.
    pub heard_at: Option<Timestamp>,
    /// Its newest sample.
    pub sample: Option<SampleView>,
    /// What was found wrong since the gateway was started, the newest first, the last few.
    pub found: Vec<FoundView>,
    /// What the driver is likely to need, where enough is known of him.
    pub estimate: Option<EstimateView>,
}

/// A sample as it came from a unit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SampleView {
    /// When it was taken.
    pub at: Timestamp,
    /// What flowed, in W.
    pub power_w: Watts,
    /// What flowed on each phase, in mA.
    pub current: Currents,
    /// The cumulative register.
    pub register: WattHours,
    /// Inside the unit, in tenths of a degree Celsius, where it has a sensor.
    pub temperature_dc: Option<i16>,
    /// Whether current can flow.
    pub relay: RelayView,
}

/// A relay as its unit says.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum RelayView {
    /// There is none: a meter alone.
    None,
    /// No current flows.
    Open,
    /// It does, if a vehicle takes it.
    Closed,
}

/// Something that was found wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FoundView {
    /// What.
    pub fault: Fault,
    /// When.
    pub at: Timestamp,
    /// The session that it ended, if one was open.
    pub session: Option<SessionId>,
}

/// What a driver's own charges before say about this one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EstimateView {
    /// How many charges it is made from.
    pub charges: u32,
    /// The middle of what they brought.
    pub energy: WattHours,
    /// When he may leave: a quarter of his charges were over sooner. Nothing once that has passed: he is not late because an estimate was wrong.
    pub leaves_at: Option<Timestamp>,
}
