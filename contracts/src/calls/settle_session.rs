//! `SettleSession`: pays for a session that is over and refunds the rest, in one step.

use chain::{
    code::{Code, Rejection},
    id::SessionId,
    receipt::Settler,
    record::SessionState,
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

/// Pays for a session that is over and refunds the rest, in one step.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SettleSession {
    /// Which.
    pub session: SessionId,
}

impl Action for SettleSession {
    fn name(&self) -> &'static str {
        "settle_session"
    }

    fn check(&self) -> Result<(), Rejection> {
        Ok(())
    }

    fn apply(&self, context: &CallContext<'_>, ledger: &mut Ledger<'_>) -> Result<(), Failure> {
        let session = sessions::existing(ledger, self.session)?;
        roles::require_gateway_of(ledger, context, session.connector.condominium, Some(&session))?;
        match session.state {
            SessionState::Stopping { reason, at } => {
                sessions::settle(ledger, context.block, self.session, &session, End { reason, at }, Settler::Gateway)
            }
            SessionState::Queued | SessionState::Charging | SessionState::Paused | SessionState::Idle => {
                Err(Code::WrongSessionState.into())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use chain::{
        code::Code,
        hash::Hash32,
        id::SessionId,
        quantity::{Amount, Cost, WattHours},
        receipt::{Event, Settler},
        record::{EndReason, SessionState},
        time::Duration,
    };

    use super::SettleSession;
    use crate::{
        call::{OpenSession, StopSession},
        testing::{
            AWAY, AWAY_STAFF, BALANCE, Fixture, GATEWAY, HOME, MANAGER, NOON, RESIDENT, REVENUE, THREE_PHASE, VISITOR, WITH_FLAT, bill,
            connector, opening, tokens,
        },
    };

    #[test]
    fn pays_the_revenue_and_refunds_the_rest_in_one_step() {
        let mut fixture = Fixture::new();
        let session = fixture.opens(RESIDENT, &opening(connector(3)));
        fixture.wait(Duration::from_mins(1));
        fixture.grants(session, THREE_PHASE);
        let granted_at = fixture.now;
        assert_eq!(fixture.reads(session, 1, 1_000), None);
        fixture.wait(Duration::from_mins(59));
        assert_eq!(fixture.reads(session, 2, 8_001), None);
        fixture.applies(RESIDENT, &StopSession { session });
        let ended_at = fixture.now;
        fixture.wait(Duration::from_mins(1));
        assert_eq!(fixture.reads(session, 3, 8_003), None);
        let bill = bill(&fixture.applies(GATEWAY, &SettleSession { session }));

        // 7.003 kWh at 0.30 and 1 once: 3.1009.
        let paid = Amount::from_micro(3_100_900);
        assert_eq!((bill.session, bill.account, bill.connector), (session, RESIDENT, connector(3)));
        assert_eq!((bill.tariff, bill.tariff_version), (WITH_FLAT, 1));
        assert_eq!((bill.opened_at, bill.first_granted_at), (NOON, Some(granted_at)));
        assert_eq!((bill.ended_at, bill.settled_at), (ended_at, fixture.now));
        assert_eq!((bill.reason, bill.settled_by), (EndReason::StoppedByResident, Settler::Gateway));
        assert_eq!((bill.energy, bill.energy_billed), (WattHours::new(7_003), WattHours::new(7_003)));
        assert_eq!(Some(bill.cost.flat), Cost::from_amount(tokens(1)));
        assert_eq!(Some(bill.cost.energy), Cost::from_amount(Amount::from_micro(2_100_900)));
        assert_eq!((bill.escrow, bill.paid, bill.overdrawn), (tokens(10), paid, None));
        assert_eq!(bill.paid.checked_add(bill.refund), Some(bill.escrow));
        assert_eq!((bill.readings, bill.samples), (3, 180));
        assert_eq!(fixture.account(RESIDENT).balance, BALANCE.saturating_sub(paid));
        assert_eq!(fixture.account(RESIDENT).held, Amount::ZERO);
        assert_eq!(fixture.account(REVENUE).balance, paid);
        let connector = fixture.connector(connector(3));
        assert_eq!((connector.session, connector.last_register), (None, WattHours::new(8_003)));
        assert_eq!(fixture.rejects(GATEWAY, &SettleSession { session }), Code::UnknownSession.into());
    }

    #[test]
    fn a_session_away_from_home_posts_what_was_paid_and_frees_the_rest_of_its_room() {
        let mut fixture = Fixture::new();
        let session = fixture.opens(VISITOR, &OpenSession { max_spend: tokens(30), ..opening(connector(1)) });
        fixture.grants(session, THREE_PHASE);
        fixture.reads(session, 1, 1_000);
        fixture.wait(Duration::from_hours(1));
        fixture.reads(session, 2, 5_000);
        fixture.applies(VISITOR, &StopSession { session });
        let events = fixture.applies(GATEWAY, &SettleSession { session });
        assert_eq!(bill(&events).paid, tokens(1));
        assert_eq!(events[0], Event::PositionPosted { debtor: AWAY, creditor: HOME, amount: tokens(1) });
        let all_of_the_rest = OpenSession { max_spend: tokens(29), ..opening(connector(1)) };
        fixture.opens(VISITOR, &all_of_the_rest);
    }

    #[test]
    fn only_the_gateway_settles_and_only_what_is_over() {
        let mut fixture = Fixture::new();
        let session = fixture.opens(RESIDENT, &opening(connector(1)));
        assert_eq!(fixture.rejects(GATEWAY, &SettleSession { session }), Code::WrongSessionState.into());
        fixture.grants(session, THREE_PHASE);
        assert_eq!(fixture.rejects(GATEWAY, &SettleSession { session }), Code::WrongSessionState.into());
        fixture.applies(RESIDENT, &StopSession { session });
        assert!(matches!(fixture.session(session).state, SessionState::Stopping { .. }));
        for account in [RESIDENT, MANAGER, AWAY_STAFF] {
            assert_eq!(fixture.rejects(account, &SettleSession { session }), Code::NotAllowed.into());
        }
        assert_eq!(fixture.rejects(GATEWAY, &SettleSession { session: SessionId(Hash32::ZERO) }), Code::UnknownSession.into());
        let bill = bill(&fixture.applies(GATEWAY, &SettleSession { session }));
        assert_eq!((bill.paid, bill.refund, bill.readings), (Amount::ZERO, tokens(10), 0));
    }
}
