//! `ReportFault`: says what a gateway found wrong at a connector; an open session there ends.

use chain::{
    code::{Code, Rejection},
    id::{ConnectorId, SessionId},
    receipt::Event,
    record::{Connector, EndReason, Fault, Key, Session, SessionState},
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
        let open = connector.session.map(|id| sessions::existing(ledger, id)).transpose()?;
        roles::require_gateway_of(ledger, context, self.connector.condominium, open.as_ref())?;
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
        let Some((id, session)) = connector.session.zip(open) else { return Ok(()) };
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

#[cfg(test)]
mod tests {
    use chain::{
        code::Code,
        hash::Hash32,
        id::SessionId,
        quantity::Currents,
        receipt::{Event, Settler},
        record::{EndReason, Fault, SessionState},
        time::{Duration, Timestamp},
    };

    use super::ReportFault;
    use crate::{
        call::StopSession,
        testing::{AWAY_STAFF, Fixture, GARAGE, GATEWAY, MANAGER, RESIDENT, SCHEDULER, bill, connector, opening, tokens},
    };

    fn report(fixture: &Fixture, session: Option<SessionId>, fault: Fault) -> ReportFault {
        ReportFault { connector: connector(1), session, fault, at: fixture.now }
    }

    #[test]
    fn ends_the_session_that_is_open_there_named_or_not() {
        for named in [true, false] {
            let mut fixture = Fixture::new();
            let session = fixture.charges(1);
            fixture.wait(Duration::from_mins(5));
            let call = report(&fixture, named.then_some(session), Fault::OverCurrent);
            let settle_by = fixture.now.saturating_add(fixture.params.settle_grace);
            let reason = EndReason::Anomaly(Fault::OverCurrent);
            let expected = [
                Event::FaultReported { connector: connector(1), fault: Fault::OverCurrent, at: fixture.now },
                Event::SessionStopping { session, reason, settle_by },
            ];
            assert_eq!(fixture.applies(GATEWAY, &call), expected);
            assert_eq!(fixture.session(session).state, SessionState::Stopping { reason, at: fixture.now });
            assert_eq!(fixture.group(GARAGE).granted, Currents::ZERO);
            assert_eq!(fixture.connector(connector(1)).fault, None);
        }
    }

    #[test]
    fn a_fault_of_meter_or_relay_closes_the_connector() {
        for fault in [Fault::MeterFault, Fault::WeldedRelay] {
            let mut fixture = Fixture::new();
            let call = report(&fixture, None, fault);
            fixture.applies(GATEWAY, &call);
            assert_eq!(fixture.connector(connector(1)).fault, Some(fault));
            assert_eq!(fixture.rejects(RESIDENT, &opening(connector(1))), Code::ConnectorOutOfService.into());
        }
        for fault in [Fault::OverCurrent, Fault::OverTemperature, Fault::OverTime, Fault::UnitLost] {
            let mut fixture = Fixture::new();
            let call = report(&fixture, None, fault);
            assert_eq!(fixture.applies(GATEWAY, &call).len(), 1);
            fixture.opens(RESIDENT, &opening(connector(1)));
        }
    }

    #[test]
    fn a_waiting_session_keeps_its_place_unless_the_connector_is_closed() {
        let mut fixture = Fixture::new();
        let session = fixture.opens(RESIDENT, &opening(connector(1)));
        let call = report(&fixture, Some(session), Fault::UnitLost);
        fixture.applies(GATEWAY, &call);
        assert_eq!(fixture.session(session).state, SessionState::Queued);
        let call = report(&fixture, None, Fault::WeldedRelay);
        let bill = bill(&fixture.applies(GATEWAY, &call));
        assert_eq!((bill.reason, bill.settled_by), (EndReason::Anomaly(Fault::WeldedRelay), Settler::Chain));
        assert_eq!(bill.refund, tokens(10));
        let connector = fixture.connector(connector(1));
        assert_eq!((connector.session, connector.fault), (None, Some(Fault::WeldedRelay)));
    }

    #[test]
    fn a_session_that_is_over_keeps_its_reason() {
        let mut fixture = Fixture::new();
        let session = fixture.charges(1);
        fixture.applies(RESIDENT, &StopSession { session });
        let before = fixture.session(session);
        let call = report(&fixture, Some(session), Fault::MeterFault);
        assert_eq!(fixture.applies(GATEWAY, &call).len(), 1);
        assert_eq!(fixture.session(session), before);
        assert_eq!(fixture.connector(connector(1)).fault, Some(Fault::MeterFault));
    }

    #[test]
    fn a_session_did_not_end_before_what_is_known_of_it() {
        let mut fixture = Fixture::new();
        let unread = fixture.charges(1);
        let granted_at = fixture.now;
        fixture.wait(Duration::from_mins(1));
        let long_ago = |fixture: &Fixture| ReportFault { at: Timestamp::from_ms(0), ..report(fixture, None, Fault::OverTime) };
        let call = long_ago(&fixture);
        fixture.applies(GATEWAY, &call);
        let reason = EndReason::Anomaly(Fault::OverTime);
        assert_eq!(fixture.session(unread).state, SessionState::Stopping { reason, at: granted_at });
        fixture.applies(GATEWAY, &crate::call::SettleSession { session: unread });

        let session = fixture.charges(1);
        fixture.wait(Duration::from_mins(1));
        fixture.reads(session, 1, 1_000);
        let read_at = fixture.now;
        fixture.wait(Duration::from_mins(1));
        let call = long_ago(&fixture);
        fixture.applies(GATEWAY, &call);
        assert_eq!(fixture.session(session).state, SessionState::Stopping { reason, at: read_at });
    }

    #[test]
    fn refuses_others_the_future_and_sessions_of_elsewhere() {
        let mut fixture = Fixture::new();
        let session = fixture.charges(1);
        let call = report(&fixture, Some(session), Fault::OverCurrent);
        for account in [RESIDENT, MANAGER, SCHEDULER, AWAY_STAFF] {
            assert_eq!(fixture.rejects(account, &call), Code::NotAllowed.into());
        }
        let nowhere = ReportFault { connector: connector(99), ..call };
        assert_eq!(fixture.rejects(GATEWAY, &nowhere), Code::UnknownConnector.into());
        let drift = fixture.params.drift;
        let early = ReportFault { at: fixture.now.saturating_add(Duration::from_ms(drift.ms() + 1)), ..call };
        assert_eq!(fixture.rejects(GATEWAY, &early), Code::ReadingAhead.into());
        for (number, named) in [(1, SessionId(Hash32::ZERO)), (2, session)] {
            let wrong = ReportFault { connector: connector(number), session: Some(named), ..call };
            assert_eq!(fixture.rejects(GATEWAY, &wrong), Code::SessionMismatch.into());
        }
        fixture.applies(GATEWAY, &ReportFault { at: fixture.now.saturating_add(drift), ..call });
    }
}
