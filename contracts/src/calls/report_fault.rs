//! `ReportFault`: says what a gateway found wrong at a connector; an open session there ends.

use chain::{
    code::{Code, Rejection},
    id::{ConnectorId, SessionId},
    receipt::Event,
    record::{Connector, EndReason, Fault, Key, Role, Session, SessionState},
    time::Timestamp,
};
use serde::{Deserialize, Serialize};

use crate::{
    call::Action,
    context::CallContext,
    failure::Failure,
    ledger::Ledger,
    roles,
    sessions::{self, End},
};

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

    fn apply(&self, context: &CallContext<'_>, ledger: &mut Ledger<'_>) -> Result<(), Failure> {
        let connector = ledger.connector(self.connector)?.ok_or(Code::UnknownConnector)?;
        roles::require(ledger, context, self.connector.condominium, Role::Gateway)?;
        if self.at > context.block.timestamp.saturating_add(context.block.params.drift) {
            return Err(Code::ReadingAhead.into());
        }
        if self.session.is_some() && self.session != connector.session {
            return Err(Code::SessionMismatch.into());
        }

        // every check is done: from here on only writes
        if self.fault.blocks_connector() {
            ledger.put(&Key::Connector(self.connector), &Connector { fault: Some(self.fault), ..connector })?;
        }
        ledger.emit(Event::FaultReported { connector: self.connector, fault: self.fault, at: self.at });
        let Some(id) = connector.session else { return Ok(()) };
        let session = sessions::existing(ledger, id)?;
        if !self.ends(session.state) {
            return Ok(());
        }
        let end = End { reason: EndReason::Anomaly(self.fault), at: not_before_what_is_known(self.at, &session) };
        sessions::end(ledger, context.block, id, session, end)
    }
}

impl ReportFault {
    /// Whether a session ends by this fault, named or not: what is wrong is wrong for whoever is plugged in. One that waits keeps its place where the
    /// connector will serve again, and the scheduler skips it meanwhile.
    const fn ends(&self, state: SessionState) -> bool {
        match state {
            SessionState::Queued => self.fault.blocks_connector(),
            SessionState::Charging | SessionState::Paused | SessionState::Idle => true,
            SessionState::Stopping { .. } => false,
        }
    }
}

/// A session cannot have ended before it was opened or granted, nor before a reading of it that was accepted.
fn not_before_what_is_known(at: Timestamp, session: &Session) -> Timestamp {
    let known = session.meter.map(|meter| meter.at).max(session.first_granted_at).unwrap_or(session.opened_at);
    at.max(known)
}
