//! `PutConnector`: makes or changes a connector; putting it again clears its fault.

use chain::code::{Code, Rejection};
use chain::{
    id::ConnectorId,
    quantity::Currents,
    record::{Control, PlugSignal, Service},
};
use serde::{Deserialize, Serialize};

use crate::{call::Action, context::CallContext, failure::Failure, ledger::Ledger};

/// Makes or changes a connector; putting it again clears its fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PutConnector {
    /// Which.
    pub connector: ConnectorId,
    /// Its group, by number.
    pub group: u32,
    /// Whether it can switch.
    pub control: Control,
    /// Whether it reports its plug.
    pub plug_signal: PlugSignal,
    /// What each phase is rated for; zero where a phase is not connected.
    pub rated: Currents,
    /// The tariff of its sessions, by number.
    pub tariff: u32,
    /// Whether it may be used.
    pub service: Service,
}

impl Action for PutConnector {
    fn name(&self) -> &'static str {
        "put_connector"
    }

    fn check(&self) -> Result<(), Rejection> {
        Ok(())
    }

    fn apply(&self, _context: &CallContext<'_>, _ledger: &mut Ledger<'_>) -> Result<(), Failure> {
        Err(Code::NotActive.into())
    }
}
