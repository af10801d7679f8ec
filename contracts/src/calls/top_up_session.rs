//! `TopUpSession`: locks more for a session that is open.

use chain::{
    code::{Code, Rejection},
    id::SessionId,
    quantity::Amount,
    receipt::Event,
    record::{Key, Session, SessionState},
};
use serde::{Deserialize, Serialize};

use crate::{call::Action, context::CallContext, failure::Failure, ledger::Ledger, money, sessions};

/// Locks more for a session that is open.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TopUpSession {
    /// Which.
    pub session: SessionId,
    /// How many tokens more.
    pub amount: Amount,
}

impl Action for TopUpSession {
    fn name(&self) -> &'static str {
        "top_up_session"
    }

    fn check(&self) -> Result<(), Rejection> {
        if self.amount.is_zero() { Err(Code::ZeroValue.into()) } else { Ok(()) }
    }

    fn apply(&self, context: &CallContext<'_>, ledger: &mut Ledger<'_>) -> Result<(), Failure> {
        let session = sessions::existing(ledger, self.session)?;
        sessions::require_owner(context, &session)?;
        match session.state {
            SessionState::Queued | SessionState::Charging | SessionState::Paused => {}
            // What it costs is all but certain: more money would only be locked to come back.
            SessionState::Idle | SessionState::Stopping { .. } => return Err(Code::WrongSessionState.into()),
        }
        let escrow = Amount::from_micro(session.escrow.micro().saturating_add(self.amount.micro()));
        let limit = context.block.params.max_spend;
        if escrow > limit {
            return Err(Rejection::of(Code::OverLimit, limit.micro(), escrow.micro()).into());
        }
        let payer_home = money::registered(ledger, &session.account)?.home;
        let revenue_home = sessions::revenue_home(ledger, session.connector.condominium)?;
        money::check_position(ledger, payer_home, revenue_home, self.amount)?;
        money::lock(ledger, &session.account, self.amount)?;

        // every check is done: from here on only writes
        money::expect_position(ledger, payer_home, revenue_home, self.amount)?;
        ledger.put(&Key::Session(self.session), &Session { escrow, ..session })?;
        ledger.emit(Event::SessionToppedUp { session: self.session, amount: self.amount, escrow });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use chain::{
        code::{Code, Rejection},
        quantity::Amount,
        receipt::Event,
        record::SessionState,
    };

    use super::TopUpSession;
    use crate::{
        call::{OpenSession, PauseCharge, StopSession},
        testing::{BALANCE, Fixture, NEIGHBOUR, RESIDENT, SCHEDULER, THREE_PHASE, VISITOR, connector, opening, tokens},
    };

    #[test]
    fn locks_more_while_a_session_waits_charges_or_is_paused() {
        let mut fixture = Fixture::new();
        let session = fixture.opens(RESIDENT, &opening(connector(1)));
        let call = TopUpSession { session, amount: tokens(5) };
        let event = Event::SessionToppedUp { session, amount: tokens(5), escrow: tokens(15) };
        assert_eq!(fixture.applies(RESIDENT, &call), [event]);
        fixture.grants(session, THREE_PHASE);
        fixture.applies(RESIDENT, &call);
        fixture.applies(SCHEDULER, &PauseCharge { session, reason: chain::receipt::PauseReason::Manual });
        fixture.applies(RESIDENT, &call);
        assert_eq!(fixture.session(session).escrow, tokens(25));
        assert_eq!(fixture.session(session).state, SessionState::Paused);
        assert_eq!(fixture.account(RESIDENT).held, tokens(25));

        fixture.applies(RESIDENT, &StopSession { session });
        assert_eq!(fixture.rejects(RESIDENT, &call), Code::WrongSessionState.into());
    }

    #[test]
    fn refuses_nothing_strangers_and_sums_over_a_limit() {
        let mut fixture = Fixture::new();
        let session = fixture.opens(RESIDENT, &opening(connector(1)));
        let call = |amount| TopUpSession { session, amount };
        assert_eq!(fixture.rejects(RESIDENT, &call(Amount::ZERO)), Code::ZeroValue.into());
        assert_eq!(fixture.rejects(NEIGHBOUR, &call(tokens(1))), Code::NotAllowed.into());
        let unknown = TopUpSession { session: chain::id::SessionId(chain::hash::Hash32::ZERO), amount: tokens(1) };
        assert_eq!(fixture.rejects(RESIDENT, &unknown), Code::UnknownSession.into());
        let refused = fixture.rejects(RESIDENT, &call(Amount::from_micro(90_000_001)));
        assert_eq!(refused, Rejection::of(Code::InsufficientFunds, 90_000_001, BALANCE.micro() - 10_000_000));
        let refused = fixture.rejects(RESIDENT, &call(Amount::MAX));
        assert_eq!(refused, Rejection::of(Code::OverLimit, fixture.params.max_spend.micro(), u64::MAX));
        fixture.params.max_spend = tokens(12);
        assert_eq!(fixture.rejects(RESIDENT, &call(tokens(3))), Rejection::of(Code::OverLimit, 12_000_000, 13_000_000));
        fixture.applies(RESIDENT, &call(tokens(2)));
    }

    #[test]
    fn a_top_up_away_from_home_counts_against_the_position_limit() {
        let mut fixture = Fixture::new();
        let session = fixture.opens(VISITOR, &OpenSession { max_spend: tokens(29), ..opening(connector(1)) });
        let refused = fixture.rejects(VISITOR, &TopUpSession { session, amount: tokens(2) });
        assert_eq!(refused, Rejection::of(Code::PositionLimit, 30_000_000, 31_000_000));
        fixture.applies(VISITOR, &TopUpSession { session, amount: tokens(1) });
    }
}
