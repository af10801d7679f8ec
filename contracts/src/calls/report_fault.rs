//! `ReportFault`: says what a gateway found wrong at a connector; an open session there ends.

use chain::code::{Code, Rejection};
use chain::{
    id::{ConnectorId, SessionId},
    record::Fault,
    time::Timestamp,
};
use serde::{Deserialize, Serialize};

use crate::{call::Action, context::CallContext, failure::Failure, ledger::Ledger};

/// Says what a gateway found wrong at a connector; an open session there ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ReportFault {
    /// Where.
    pub connector: ConnectorId,
    /// The session that is open there, if one is.
    pub session: Option<SessionId>,
    /// What.
    pub fault: Fault,
    /// When.
    pub at: Timestamp,
}

impl Action for ReportFault {
    fn name(&self) -> &'static str {
        "report_fault"
    }

    fn check(&self) -> Result<(), Rejection> {
        Ok(())
    }

    fn apply(&self, _context: &CallContext<'_>, _ledger: &mut Ledger<'_>) -> Result<(), Failure> {
        Err(Code::NotActive.into())
    }
}
