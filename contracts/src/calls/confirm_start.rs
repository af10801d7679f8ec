//! `ConfirmStart`: an account confirms what one of its cards has asked for; the session opens and counts for the mandate like any other.
//!
//! It names all that was asked, so that nothing can be put in its place between the wallet's screen and the block. Checked in this order: no zeros
//! (`ZeroValue`); such a start waits for this account at this connector, and its time is not over (`NothingToConfirm`); then the card and the mandate once more,
//! and all that every opening needs.

use chain::{
    code::{Code, Rejection},
    receipt::Event,
    record::{AskedStart, Key},
};
use serde::{Deserialize, Serialize};

use crate::{
    call::{Action, OpenSessionByMandate},
    context::CallContext,
    failure::Failure,
    ledger::Ledger,
    mandates,
};

/// Confirms what a card of the account has asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ConfirmStart {
    /// What.
    pub start: OpenSessionByMandate,
}

impl Action for ConfirmStart {
    fn name(&self) -> &'static str {
        "confirm_start"
    }

    fn check(&self) -> Result<(), Rejection> {
        self.start.check()
    }

    fn apply(&self, context: &CallContext<'_>, ledger: &mut Ledger<'_>) -> Result<(), Failure> {
        let OpenSessionByMandate { card, connector, tariff_version, max_spend, max_duration, energy_target } = self.start;
        let key = Key::AskedStart(connector);
        let asked: AskedStart = ledger.get(&key)?.ok_or(Code::NothingToConfirm)?;
        let account = context.account;
        if asked != (AskedStart { account, card, tariff_version, max_spend, max_duration, energy_target, until: asked.until }) {
            return Err(Code::NothingToConfirm.into());
        }
        if asked.until <= context.block.timestamp {
            return Err(Code::NothingToConfirm.into());
        }
        let start = mandates::check_start(ledger, context, &self.start)?;
        // Bound anew to somebody else meanwhile.
        if start.account != account {
            return Err(Code::NothingToConfirm.into());
        }
        // The last checks and the first writes: both or neither.
        let session = mandates::open(ledger, context, &self.start, &start)?;
        ledger.delete(&key);
        ledger.emit(Event::StartConfirmed { session, card });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use chain::{
        id::SessionId,
        quantity::Amount,
        record::{MandateDay, MandateUse},
        time::Duration,
    };

    use super::*;
    use crate::{
        call::{AskStart, BindCard, CancelSession, RevokeMandate},
        testing::{CARD, Fixture, GATEWAY, HOME, MANAGER, NOON, RESIDENT, VISITOR, connector, mandate, opening, tap, tokens},
    };

    const START: OpenSessionByMandate = tap(connector(1));

    fn fixture() -> Fixture {
        let mut fixture = Fixture::new();
        fixture.applies(MANAGER, &BindCard { condominium: HOME, card: CARD, account: Some(RESIDENT) });
        fixture.applies(RESIDENT, &mandate());
        fixture.applies(GATEWAY, &AskStart { start: START });
        fixture
    }

    fn confirm(fixture: &mut Fixture) -> Rejection {
        fixture.rejects(RESIDENT, &ConfirmStart { start: START })
    }

    const NOTHING: Rejection = Rejection::new(Code::NothingToConfirm);

    #[test]
    fn opens_what_was_asked_counts_it_and_is_done_once() {
        let mut fixture = fixture();
        let id = SessionId(fixture.next_tx().0);
        let events = fixture.applies(RESIDENT, &ConfirmStart { start: START });
        let opened = Event::SessionOpened { session: id, account: RESIDENT, connector: connector(1), escrow: tokens(10) };
        assert_eq!(events, [opened, Event::StartConfirmed { session: id, card: CARD }]);
        assert_eq!(fixture.account(RESIDENT).held, tokens(10));
        assert_eq!(fixture.get::<MandateUse>(&Key::MandateUse(id)).map(|counted| counted.card), Some(CARD));
        assert_eq!(fixture.get::<MandateDay>(&Key::MandateDay(RESIDENT, HOME)).map(|day| day.used), Some(tokens(10)));
        fixture.applies(RESIDENT, &CancelSession { session: id });
        assert_eq!(confirm(&mut fixture), NOTHING);
        assert_eq!(fixture.get::<MandateDay>(&Key::MandateDay(RESIDENT, HOME)).map(|day| day.used), Some(Amount::ZERO));
    }

    #[test]
    fn rejects_everybody_else_anything_else_and_what_has_lapsed() {
        let mut fixture = fixture();
        for who in [VISITOR, GATEWAY, MANAGER] {
            assert_eq!(fixture.rejects(who, &ConfirmStart { start: START }), NOTHING);
        }
        for other in [
            OpenSessionByMandate { connector: connector(2), ..START },
            OpenSessionByMandate { tariff_version: 2, ..START },
            OpenSessionByMandate { max_spend: tokens(9), ..START },
            OpenSessionByMandate { max_duration: Duration::from_hours(9), ..START },
            OpenSessionByMandate { energy_target: Some(chain::quantity::WattHours::new(1)), ..START },
        ] {
            assert_eq!(fixture.rejects(RESIDENT, &ConfirmStart { start: other }), NOTHING);
        }
        let nothing = OpenSessionByMandate { max_spend: Amount::ZERO, ..START };
        assert_eq!(fixture.rejects(RESIDENT, &ConfirmStart { start: nothing }), Rejection::new(Code::ZeroValue));
        fixture.now = NOON.saturating_add(mandates::CONFIRM_WITHIN);
        assert_eq!(confirm(&mut fixture), NOTHING);
        fixture.now = chain::time::Timestamp::from_ms(fixture.now.ms() - 1);
        fixture.applies(RESIDENT, &ConfirmStart { start: START });
    }

    #[test]
    fn rejects_what_the_mandate_and_the_place_no_longer_allow() {
        let mut fixture = fixture();
        let taken = SessionId(fixture.next_tx().0);
        fixture.applies(VISITOR, &opening(connector(1)));
        assert_eq!(confirm(&mut fixture).code, Code::ConnectorBusy);
        fixture.applies(VISITOR, &CancelSession { session: taken });
        fixture.applies(RESIDENT, &RevokeMandate { condominium: HOME });
        assert_eq!(confirm(&mut fixture), Rejection::new(Code::NoMandate));
        fixture.applies(RESIDENT, &mandate());
        fixture.applies(MANAGER, &BindCard { condominium: HOME, card: CARD, account: None });
        assert_eq!(confirm(&mut fixture), Rejection::new(Code::UnknownCard));
        // Another's card now: neither of them has been asked for this.
        fixture.applies(MANAGER, &BindCard { condominium: HOME, card: CARD, account: Some(VISITOR) });
        fixture.applies(VISITOR, &mandate());
        assert_eq!(confirm(&mut fixture), NOTHING);
    }
}
