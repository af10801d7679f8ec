//! `OpenSession`: locks what a charge may cost and claims a connector.

use chain::code::{Code, Rejection};
use chain::{
    id::ConnectorId,
    quantity::{Amount, WattHours},
    time::{Duration, Timestamp},
};
use serde::{Deserialize, Serialize};

use crate::{call::Action, context::CallContext, failure::Failure, ledger::Ledger};

/// Locks what a charge may cost and claims a connector.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct OpenSession {
    /// Where.
    pub connector: ConnectorId,
    /// The version that the owner was shown.
    pub tariff_version: u32,
    /// The most that it may cost: locked now, the rest refunded at the end.
    pub max_spend: Amount,
    /// How long it may take, counted from the first grant.
    pub max_duration: Duration,
    /// The energy that the driver needs; a hint.
    pub energy_target: Option<WattHours>,
    /// The battery's state of charge in percent; a hint.
    pub state_of_charge: Option<u8>,
    /// When the driver leaves; a hint.
    pub depart_by: Option<Timestamp>,
    /// When it may charge; not active yet.
    pub window: Option<Window>,
    /// Whether it pays to go first; other than none not active yet.
    pub priority: Priority,
}

/// A span of time in which to charge.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Window {
    /// Its beginning.
    pub from: Timestamp,
    /// Its end.
    pub until: Timestamp,
}

/// Whether a session pays to go first.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// It takes its turn.
    None,
    /// It pays a surcharge on its cost.
    Surcharge {
        /// Hundredths of a percent.
        basis_points: u32,
    },
}

impl Action for OpenSession {
    fn name(&self) -> &'static str {
        "open_session"
    }

    fn check(&self) -> Result<(), Rejection> {
        Ok(())
    }

    fn apply(&self, _context: &CallContext<'_>, _ledger: &mut Ledger<'_>) -> Result<(), Failure> {
        Err(Code::NotActive.into())
    }
}
