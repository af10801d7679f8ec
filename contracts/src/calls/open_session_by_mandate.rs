//! `OpenSessionByMandate`: a gateway opens a session for the card that was shown to it, in the name of the card's account and within its mandate.
//!
//! Signed for the gateway's own account, which gains nothing: the escrow is locked at the card's account, and what the session does not cost goes back to it.
//! Checked in this order: no zeros (`ZeroValue`); a gateway of the connector's condominium (`UnknownCondominium`, `NotAllowed`), which is not suspended (`RoleSuspended`); the card (`UnknownCard`), its
//! account's mandate (`NoMandate`), which is not over (`MandateExpired`), is for this connector (`MandateConnector`), for so much in one session and on one day
//! (`MandateSession`, `MandateDay`) and at the highest prices of the version in force (`UnknownConnector`, `UnknownTariff`, `MandatePrice`); then all that
//! every opening needs.

use chain::{
    code::{Code, Rejection},
    id::{CardId, ConnectorId},
    quantity::{Amount, WattHours},
    receipt::Event,
    time::Duration,
};
use serde::{Deserialize, Serialize};

use crate::{call::Action, context::CallContext, failure::Failure, ledger::Ledger, mandates, roles};

/// Opens a session for a card, within the mandate of its account.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct OpenSessionByMandate {
    /// The card that was shown.
    pub card: CardId,
    /// Where.
    pub connector: ConnectorId,
    /// The version in force.
    pub tariff_version: u32,
    /// The most that it may cost: locked now, the rest refunded at the end.
    pub max_spend: Amount,
    /// How long it may take, counted from the first grant.
    pub max_duration: Duration,
    /// The energy that the driver is likely to need; a hint.
    pub energy_target: Option<WattHours>,
}

impl Action for OpenSessionByMandate {
    fn name(&self) -> &'static str {
        "open_session_by_mandate"
    }

    fn check(&self) -> Result<(), Rejection> {
        if self.max_spend.is_zero() || self.max_duration.is_zero() || self.energy_target.is_some_and(WattHours::is_zero) {
            return Err(Code::ZeroValue.into());
        }
        Ok(())
    }

    fn apply(&self, context: &CallContext<'_>, ledger: &mut Ledger<'_>) -> Result<(), Failure> {
        roles::require_trusted_gateway(ledger, context, self.connector.condominium)?;
        let start = mandates::check_start(ledger, context, self)?;
        // The last checks and the first writes: both or neither.
        let session = mandates::open(ledger, context, self, &start)?;
        ledger.emit(Event::SessionMandated { session, card: self.card });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use chain::{
        id::{Address, CondominiumId, SessionId, TariffId},
        record::{Connector, Fault, Hints, Key, Mandate, MandateDay, MandateTerms, MandateUse, SessionState},
        tariff::{PriceComponent, TariffDimension},
        time::Timestamp,
    };

    use super::*;
    use crate::{
        call::{BindCard, CancelSession, GrantMandate, RevokeMandate, SettleSession, StopSession, TopUpSession},
        testing::{
            AWAY, AWAY_STAFF, BALANCE, CARD, CLOSED, Fixture, GATEWAY, HOME, MANAGER, METER_ONLY, NOON, PLAIN, RESIDENT, SCHEDULER,
            THREE_PHASE, VISITOR, bill, connector, mandate, opening, simple_tariff, tap, tokens,
        },
    };

    fn fixture_of(account: Address, grant: &GrantMandate) -> Fixture {
        let mut fixture = Fixture::new();
        fixture.applies(MANAGER, &BindCard { condominium: HOME, card: CARD, account: Some(account) });
        fixture.applies(account, grant);
        fixture
    }

    fn fixture() -> Fixture {
        fixture_of(RESIDENT, &mandate())
    }

    fn with(change: impl FnOnce(&mut MandateTerms)) -> Fixture {
        let mut grant = mandate();
        change(&mut grant.terms);
        fixture_of(RESIDENT, &grant)
    }

    fn used(fixture: &Fixture) -> Amount {
        fixture.get::<MandateDay>(&Key::MandateDay(RESIDENT, HOME)).map_or(Amount::ZERO, |day| day.used)
    }

    fn taps(fixture: &mut Fixture, call: &OpenSessionByMandate) -> SessionId {
        let id = SessionId(fixture.next_tx().0);
        fixture.applies(GATEWAY, call);
        id
    }

    #[test]
    fn opens_in_the_name_of_the_cards_account_and_counts_for_its_day() {
        let mut fixture = fixture();
        let id = SessionId(fixture.next_tx().0);
        let call = OpenSessionByMandate { energy_target: Some(WattHours::new(12_000)), ..tap(connector(1)) };
        let events = fixture.applies(GATEWAY, &call);
        let opened = Event::SessionOpened { session: id, account: RESIDENT, connector: connector(1), escrow: tokens(10) };
        assert_eq!(events, [opened, Event::SessionMandated { session: id, card: CARD }]);
        let session = fixture.session(id);
        assert_eq!((session.account, session.escrow, session.state), (RESIDENT, tokens(10), SessionState::Queued));
        assert_eq!(session.hints, Hints { energy_target: Some(WattHours::new(12_000)), ..Hints::default() });
        assert_eq!(fixture.account(RESIDENT).held, tokens(10));
        assert_eq!(fixture.account(GATEWAY).held, Amount::ZERO);
        assert_eq!(used(&fixture), tokens(10));
        let day = NOON.ms() / 86_400_000;
        assert_eq!(fixture.get(&Key::MandateUse(id)), Some(MandateUse { card: CARD, day, amount: tokens(10) }));
    }

    #[test]
    fn what_a_session_did_not_cost_may_be_used_again_on_the_same_day() {
        let mut fixture = fixture();
        let id = taps(&mut fixture, &tap(connector(1)));
        fixture.grants(id, THREE_PHASE);
        assert_eq!(fixture.reads(id, 1, 1_000), None);
        fixture.wait(Duration::from_hours(1));
        assert_eq!(fixture.reads(id, 2, 9_000), None);
        let second = tap(connector(2));
        assert_eq!(fixture.rejects(GATEWAY, &second), Rejection::of(Code::MandateDay, 15_000_000, 20_000_000));
        fixture.applies(RESIDENT, &StopSession { session: id });
        let settled = bill(&fixture.applies(GATEWAY, &SettleSession { session: id }));
        assert_eq!((settled.paid, settled.refund), (tokens(2), tokens(8)));
        assert_eq!((used(&fixture), fixture.get::<MandateUse>(&Key::MandateUse(id))), (tokens(2), None));
        assert_eq!(fixture.account(RESIDENT).balance, BALANCE.checked_sub(tokens(2)).unwrap());
        let id = taps(&mut fixture, &second);
        assert_eq!(used(&fixture), tokens(12));
        // Given up before its first grant, it cost nothing.
        fixture.applies(RESIDENT, &CancelSession { session: id });
        assert_eq!(used(&fixture), tokens(2));
        // Granting anew is no new day.
        fixture.applies(RESIDENT, &RevokeMandate { condominium: HOME });
        fixture.applies(RESIDENT, &mandate());
        taps(&mut fixture, &second);
        assert_eq!(used(&fixture), tokens(12));
    }

    #[test]
    fn a_day_is_that_of_the_opening_and_a_top_up_is_the_accounts_own() {
        let mut fixture = fixture();
        let id = taps(&mut fixture, &tap(connector(1)));
        fixture.applies(RESIDENT, &TopUpSession { session: id, amount: tokens(5) });
        assert_eq!(used(&fixture), tokens(10));
        // 12 h later it is Tuesday.
        fixture.wait(Duration::from_ms(12 * 3_600_000 - 1));
        assert_eq!(fixture.rejects(GATEWAY, &tap(connector(2))).code, Code::MandateDay);
        fixture.wait(Duration::from_ms(1));
        taps(&mut fixture, &tap(connector(2)));
        assert_eq!(used(&fixture), tokens(10));
        fixture.applies(RESIDENT, &CancelSession { session: id });
        assert_eq!(used(&fixture), tokens(10));
    }

    #[test]
    fn a_session_goes_on_after_its_mandate_is_revoked_and_settles_without_it() {
        let mut fixture = fixture();
        let id = taps(&mut fixture, &tap(connector(1)));
        fixture.applies(RESIDENT, &RevokeMandate { condominium: HOME });
        fixture.applies(MANAGER, &BindCard { condominium: HOME, card: CARD, account: None });
        fixture.grants(id, THREE_PHASE);
        fixture.applies(RESIDENT, &StopSession { session: id });
        assert_eq!(bill(&fixture.applies(GATEWAY, &SettleSession { session: id })).refund, tokens(10));
        assert_eq!(fixture.get::<MandateUse>(&Key::MandateUse(id)), None);
        assert_eq!(fixture.get::<Mandate>(&Key::Mandate(RESIDENT, HOME)), None);
    }

    #[test]
    fn a_point_without_a_switch_charges_at_once() {
        let mut fixture = fixture();
        let id = taps(&mut fixture, &tap(METER_ONLY));
        assert_eq!(fixture.session(id).state, SessionState::Charging);
    }

    #[test]
    fn rejects_zeros_and_who_is_no_gateway_there() {
        let mut fixture = fixture();
        for wrong in [
            OpenSessionByMandate { max_spend: Amount::ZERO, ..tap(connector(1)) },
            OpenSessionByMandate { max_duration: Duration::ZERO, ..tap(connector(1)) },
            OpenSessionByMandate { energy_target: Some(WattHours::ZERO), ..tap(connector(1)) },
        ] {
            assert_eq!(fixture.rejects(GATEWAY, &wrong), Rejection::new(Code::ZeroValue));
        }
        for who in [RESIDENT, MANAGER, SCHEDULER, AWAY_STAFF] {
            assert_eq!(fixture.rejects(who, &tap(connector(1))), Rejection::new(Code::NotAllowed));
        }
        let nowhere = tap(ConnectorId::new(CondominiumId(9), 1));
        assert_eq!(fixture.rejects(GATEWAY, &nowhere), Rejection::new(Code::UnknownCondominium));
    }

    #[test]
    fn rejects_cards_and_mandates_that_are_not_there_or_over() {
        let mut fixture = Fixture::new();
        assert_eq!(fixture.rejects(GATEWAY, &tap(connector(1))), Rejection::new(Code::UnknownCard));
        fixture.applies(MANAGER, &BindCard { condominium: HOME, card: CARD, account: Some(RESIDENT) });
        assert_eq!(fixture.rejects(GATEWAY, &tap(connector(1))), Rejection::new(Code::NoMandate));
        // Neither the card nor the mandate counts in another condominium.
        fixture.applies(RESIDENT, &GrantMandate { condominium: AWAY, ..mandate() });
        assert_eq!(fixture.rejects(GATEWAY, &tap(connector(1))), Rejection::new(Code::NoMandate));
        assert_eq!(fixture.rejects(AWAY_STAFF, &tap(ConnectorId::new(AWAY, 1))), Rejection::new(Code::UnknownCard));
        fixture.applies(RESIDENT, &mandate());
        let expires = mandate().terms.expires;
        fixture.now = Timestamp::from_ms(expires.ms() - 1);
        let id = taps(&mut fixture, &tap(connector(1)));
        fixture.applies(RESIDENT, &CancelSession { session: id });
        fixture.now = expires;
        let refused = fixture.rejects(GATEWAY, &tap(connector(1)));
        assert_eq!(refused, Rejection::of(Code::MandateExpired, expires.ms(), expires.ms()));
    }

    #[test]
    fn rejects_what_is_beyond_the_mandate() {
        let over = OpenSessionByMandate { max_spend: Amount::from_micro(10_000_001), ..tap(connector(1)) };
        assert_eq!(fixture().rejects(GATEWAY, &over), Rejection::of(Code::MandateSession, 10_000_000, 10_000_001));
        let mut small_day = with(|terms| terms.max_per_day = Amount::from_micro(9_999_999));
        assert_eq!(small_day.rejects(GATEWAY, &tap(connector(1))), Rejection::of(Code::MandateDay, 9_999_999, 10_000_000));
        let mut elsewhere = with(|terms| terms.connectors = vec![2, 3]);
        assert_eq!(elsewhere.rejects(GATEWAY, &tap(connector(1))), Rejection::new(Code::MandateConnector));
        taps(&mut elsewhere, &tap(connector(2)));
        let mut cheap = with(|terms| terms.max_price_per_kwh = Amount::from_micro(249_999));
        assert_eq!(cheap.rejects(GATEWAY, &tap(connector(1))), Rejection::of(Code::MandatePrice, 249_999, 250_000));
        let mut exact = with(|terms| terms.max_price_per_kwh = Amount::from_micro(250_000));
        taps(&mut exact, &tap(connector(1)));
    }

    #[test]
    fn every_element_of_the_tariff_counts_and_so_does_every_price_of_time() {
        for dimension in [TariffDimension::Time, TariffDimension::ParkingTime] {
            let mut fixture = with(|terms| terms.max_price_per_hour = tokens(2));
            let mut document = simple_tariff(Amount::from_micro(250_000), tokens(5));
            let mut later = document.elements[0].clone();
            later.price_components = vec![PriceComponent { dimension, price: tokens(2) }];
            document.elements.push(later);
            fixture.put_tariff(PLAIN, 1, Timestamp::from_ms(0), document.clone());
            let id = taps(&mut fixture, &tap(connector(1)));
            fixture.applies(RESIDENT, &CancelSession { session: id });
            document.elements[1].price_components[0].price = Amount::from_micro(2_000_001);
            fixture.put_tariff(PLAIN, 1, Timestamp::from_ms(0), document);
            let refused = fixture.rejects(GATEWAY, &tap(connector(1)));
            assert_eq!(refused, Rejection::of(Code::MandatePrice, 2_000_000, 2_000_001), "{dimension:?}");
        }
    }

    #[test]
    fn rejects_what_every_opening_rejects() {
        let mut fixture = with(|terms| (terms.max_per_session, terms.max_per_day) = (tokens(5_000), tokens(5_000)));
        let refused = |fixture: &mut Fixture, call| fixture.rejects(GATEWAY, &call);
        assert_eq!(refused(&mut fixture, tap(connector(99))), Rejection::new(Code::UnknownConnector));
        assert_eq!(refused(&mut fixture, tap(CLOSED)), Rejection::new(Code::ConnectorOutOfService));
        let stale = OpenSessionByMandate { tariff_version: 2, ..tap(connector(1)) };
        assert_eq!(refused(&mut fixture, stale), Rejection::of(Code::StaleTariff, 1, 2));
        let (most, longest) = (fixture.params.max_spend.micro(), fixture.params.max_duration.ms());
        let dear = OpenSessionByMandate { max_spend: Amount::from_micro(most + 1), ..tap(connector(1)) };
        assert_eq!(refused(&mut fixture, dear), Rejection::of(Code::OverLimit, most, most + 1));
        let long = OpenSessionByMandate { max_duration: Duration::from_ms(longest + 1), ..tap(connector(1)) };
        assert_eq!(refused(&mut fixture, long), Rejection::of(Code::OverLimit, longest, longest + 1));
        let broke = OpenSessionByMandate { max_spend: tokens(101), ..tap(connector(1)) };
        assert_eq!(refused(&mut fixture, broke), Rejection::of(Code::InsufficientFunds, 101_000_000, 100_000_000));
        let later = Connector { tariff: 77, ..fixture.connector(connector(2)) };
        fixture.put(&Key::Connector(connector(2)), &later);
        assert_eq!(fixture.get::<chain::record::TariffHead>(&Key::TariffHead(TariffId::new(HOME, 77))), None);
        assert_eq!(refused(&mut fixture, tap(connector(2))), Rejection::new(Code::UnknownTariff));
        let faulty = Connector { fault: Some(Fault::WeldedRelay), ..fixture.connector(connector(3)) };
        fixture.put(&Key::Connector(connector(3)), &faulty);
        assert_eq!(refused(&mut fixture, tap(connector(3))), Rejection::new(Code::ConnectorOutOfService));
        fixture.opens(RESIDENT, &opening(connector(1)));
        assert_eq!(refused(&mut fixture, tap(connector(1))), Rejection::new(Code::ConnectorBusy));
        assert_eq!(used(&fixture), Amount::ZERO);

        let mut away = fixture_of(
            VISITOR,
            &GrantMandate { terms: MandateTerms { max_per_session: tokens(31), max_per_day: tokens(31), ..mandate().terms }, ..mandate() },
        );
        let call = OpenSessionByMandate { max_spend: tokens(31), ..tap(connector(1)) };
        assert_eq!(away.rejects(GATEWAY, &call), Rejection::of(Code::PositionLimit, 30_000_000, 31_000_000));
    }
}
