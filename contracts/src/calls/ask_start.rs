//! `AskStart`: a gateway leaves a start that looks unusual to it to the card's account, which confirms it or lets it lapse.
//!
//! Nothing is locked and no connector is taken meanwhile. How unusual it looked is not on the chain. A later one at the same connector takes its place. Checked in
//! this order: no zeros (`ZeroValue`); a gateway of the connector's condominium (`UnknownCondominium`, `NotAllowed`), which is not suspended (`RoleSuspended`); then card and mandate, as where it opens.

use chain::{
    code::Rejection,
    receipt::Event,
    record::{AskedStart, Key},
};
use serde::{Deserialize, Serialize};

use crate::{
    call::{Action, OpenSessionByMandate},
    context::CallContext,
    failure::Failure,
    ledger::Ledger,
    mandates, roles,
};

/// Has the account of a card confirm what the card would start.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AskStart {
    /// What.
    pub start: OpenSessionByMandate,
}

impl Action for AskStart {
    fn name(&self) -> &'static str {
        "ask_start"
    }

    fn check(&self) -> Result<(), Rejection> {
        self.start.check()
    }

    fn apply(&self, context: &CallContext<'_>, ledger: &mut Ledger<'_>) -> Result<(), Failure> {
        let OpenSessionByMandate { card, connector, tariff_version, max_spend, max_duration, energy_target } = self.start;
        roles::require_trusted_gateway(ledger, context, connector.condominium)?;
        let mandates::Start { account, .. } = mandates::check_start(ledger, context, &self.start)?;
        let until = context.block.timestamp.saturating_add(mandates::CONFIRM_WITHIN);

        // every check is done: from here on only writes
        let asked = AskedStart { account, card, tariff_version, max_spend, max_duration, energy_target, until };
        ledger.put(&Key::AskedStart(connector), &asked)?;
        ledger.emit(Event::StartAsked { account, connector, card, until });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use chain::{
        code::Code,
        quantity::{Amount, WattHours},
        record::MandateDay,
        time::Duration,
    };

    use super::*;
    use crate::{
        call::{BindCard, RevokeMandate},
        testing::{CARD, Fixture, GATEWAY, HOME, MANAGER, NOON, RESIDENT, connector, mandate, tap, tokens},
    };

    fn fixture() -> Fixture {
        let mut fixture = Fixture::new();
        fixture.applies(MANAGER, &BindCard { condominium: HOME, card: CARD, account: Some(RESIDENT) });
        fixture.applies(RESIDENT, &mandate());
        fixture
    }

    #[test]
    fn asks_the_cards_account_and_takes_neither_money_nor_place() {
        let mut fixture = fixture();
        let start = OpenSessionByMandate { energy_target: Some(WattHours::new(8_000)), ..tap(connector(1)) };
        let until = NOON.saturating_add(Duration::from_mins(10));
        let events = fixture.applies(GATEWAY, &AskStart { start });
        assert_eq!(events, [Event::StartAsked { account: RESIDENT, connector: connector(1), card: CARD, until }]);
        let asked = AskedStart {
            account: RESIDENT,
            card: CARD,
            tariff_version: 1,
            max_spend: tokens(10),
            max_duration: Duration::from_hours(10),
            energy_target: Some(WattHours::new(8_000)),
            until,
        };
        assert_eq!(fixture.get(&Key::AskedStart(connector(1))), Some(asked));
        assert_eq!(fixture.account(RESIDENT).held, Amount::ZERO);
        assert_eq!(fixture.get::<MandateDay>(&Key::MandateDay(RESIDENT, HOME)), None);
        // The next one takes its place.
        fixture.wait(Duration::from_mins(1));
        fixture.applies(GATEWAY, &AskStart { start: OpenSessionByMandate { max_spend: tokens(3), ..start } });
        let asked = fixture.get::<AskedStart>(&Key::AskedStart(connector(1))).unwrap();
        assert_eq!((asked.max_spend, asked.until), (tokens(3), until.saturating_add(Duration::from_mins(1))));
    }

    #[test]
    fn rejects_what_its_mandate_does_not_allow_and_who_is_no_gateway() {
        let mut fixture = fixture();
        let asks = |change: fn(&mut OpenSessionByMandate)| {
            let mut start = tap(connector(1));
            change(&mut start);
            AskStart { start }
        };
        assert_eq!(fixture.rejects(GATEWAY, &asks(|start| start.max_spend = Amount::ZERO)), Rejection::new(Code::ZeroValue));
        assert_eq!(fixture.rejects(RESIDENT, &asks(|_| {})), Rejection::new(Code::NotAllowed));
        let over = asks(|start| start.max_spend = Amount::from_micro(10_000_001));
        assert_eq!(fixture.rejects(GATEWAY, &over), Rejection::of(Code::MandateSession, 10_000_000, 10_000_001));
        fixture.applies(RESIDENT, &RevokeMandate { condominium: HOME });
        assert_eq!(fixture.rejects(GATEWAY, &asks(|_| {})), Rejection::new(Code::NoMandate));
    }
}
