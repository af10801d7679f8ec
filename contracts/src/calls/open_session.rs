//! `OpenSession`: locks what a charge may cost and claims a connector.

use chain::{
    code::{Code, Rejection},
    id::ConnectorId,
    quantity::{Amount, WattHours},
    record::Hints,
    time::{Duration, Timestamp},
};
use serde::{Deserialize, Serialize};

use crate::{
    call::Action,
    context::CallContext,
    failure::Failure,
    ledger::Ledger,
    sessions::opening::{self, Opening},
};

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

/// A full battery, in percent.
const FULL_PERCENT: u8 = 100;

impl Action for OpenSession {
    fn name(&self) -> &'static str {
        "open_session"
    }

    fn check(&self) -> Result<(), Rejection> {
        if self.max_spend.is_zero() || self.max_duration.is_zero() || self.energy_target.is_some_and(WattHours::is_zero) {
            return Err(Code::ZeroValue.into());
        }
        if let Some(percent) = self.state_of_charge.filter(|percent| *percent > FULL_PERCENT) {
            return Err(Rejection::of(Code::OverLimit, FULL_PERCENT.into(), percent.into()));
        }
        if self.window.is_some() || self.priority != Priority::None {
            return Err(Code::NotActive.into());
        }
        Ok(())
    }

    fn apply(&self, context: &CallContext<'_>, ledger: &mut Ledger<'_>) -> Result<(), Failure> {
        let hints = Hints { energy_target: self.energy_target, state_of_charge: self.state_of_charge, depart_by: self.depart_by };
        let Self { connector, tariff_version, max_spend, max_duration, .. } = *self;
        let opening = Opening { account: context.account, connector, tariff_version, max_spend, max_duration, hints };
        opening::open(ledger, context, &opening)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use chain::{
        code::{Code, Rejection},
        id::{ConnectorId, SessionId, TariffId},
        quantity::{Amount, Currents, WattHours},
        receipt::Event,
        record::{Connector, CostByComponent, Fault, Hints, Key, Session, SessionState},
        time::{Duration, Timestamp},
    };

    use super::{OpenSession, Priority, Window};
    use crate::{
        call::CancelSession,
        testing::{
            AWAY, BALANCE, CLOSED, Fixture, INDEX, METER_ONLY, NEIGHBOUR, NOON, PLAIN, POSITION_LIMIT, RESIDENT, STRANGER, VISITOR,
            connector, opening, simple_tariff, tokens,
        },
    };

    #[test]
    fn locks_the_escrow_claims_the_connector_and_waits() {
        let mut fixture = Fixture::new();
        let hints = Hints {
            energy_target: Some(WattHours::new(20_000)),
            state_of_charge: Some(100),
            depart_by: Some(NOON.saturating_add(Duration::from_hours(8))),
        };
        let id = SessionId(fixture.next_tx().0);
        let height = fixture.height;
        let Hints { energy_target, state_of_charge, depart_by } = hints;
        let events = fixture.applies(RESIDENT, &OpenSession { energy_target, state_of_charge, depart_by, ..opening(connector(1)) });
        let opened = Event::SessionOpened { session: id, account: RESIDENT, connector: connector(1), escrow: tokens(10) };
        assert_eq!(events, [opened]);
        let expected = Session {
            account: RESIDENT,
            connector: connector(1),
            tariff: PLAIN,
            tariff_version: 1,
            opened_at: NOON,
            opened_height: height,
            opened_index: INDEX,
            escrow: tokens(10),
            max_duration: Duration::from_hours(10),
            hints,
            state: SessionState::Queued,
            due: NOON.saturating_add(fixture.params.queue_deadline),
            first_granted_at: None,
            granted: Currents::ZERO,
            granted_height: height,
            granted_index: INDEX,
            meter: None,
            cost: CostByComponent::default(),
            billed_at_limit: None,
        };
        assert_eq!(fixture.session(id), expected);
        let account = fixture.account(RESIDENT);
        assert_eq!((account.balance, account.held), (tokens(90), tokens(10)));
    }

    #[test]
    fn a_connector_without_a_switch_charges_at_once_and_holds_no_granted_current() {
        let mut fixture = Fixture::new();
        let id = SessionId(fixture.next_tx().0);
        let events = fixture.applies(RESIDENT, &opening(METER_ONLY));
        let rated = fixture.connector(METER_ONLY).rated;
        assert_eq!(events[1..], [Event::SessionGranted { session: id, current: rated }]);
        let session = fixture.session(id);
        assert_eq!(session.state, SessionState::Charging);
        assert_eq!(session.first_granted_at, Some(NOON));
        assert_eq!(session.due, NOON.saturating_add(Duration::from_hours(10)));
        assert_eq!(session.granted, Currents::ZERO);
    }

    #[test]
    fn refuses_values_that_make_no_sense_by_themselves() {
        let mut fixture = Fixture::new();
        let good = opening(connector(1));
        for zero in [
            OpenSession { max_spend: Amount::ZERO, ..good },
            OpenSession { max_duration: Duration::ZERO, ..good },
            OpenSession { energy_target: Some(WattHours::ZERO), ..good },
        ] {
            assert_eq!(fixture.rejects(RESIDENT, &zero), Code::ZeroValue.into());
        }
        let charged = OpenSession { state_of_charge: Some(101), ..good };
        assert_eq!(fixture.rejects(RESIDENT, &charged), Rejection::of(Code::OverLimit, 100, 101));
        for later in [
            OpenSession { window: Some(Window { from: NOON, until: NOON }), ..good },
            OpenSession { priority: Priority::Surcharge { basis_points: 0 }, ..good },
        ] {
            assert_eq!(fixture.rejects(RESIDENT, &later), Code::NotActive.into());
        }
    }

    #[test]
    fn refuses_a_connector_that_cannot_serve() {
        let mut fixture = Fixture::new();
        assert_eq!(fixture.rejects(RESIDENT, &opening(connector(99))), Code::UnknownConnector.into());
        assert_eq!(fixture.rejects(RESIDENT, &opening(CLOSED)), Code::ConnectorOutOfService.into());
        let faulty = Connector { fault: Some(Fault::MeterFault), ..fixture.connector(connector(1)) };
        fixture.put(&Key::Connector(connector(1)), &faulty);
        assert_eq!(fixture.rejects(RESIDENT, &opening(connector(1))), Code::ConnectorOutOfService.into());
        fixture.opens(NEIGHBOUR, &opening(connector(2)));
        assert_eq!(fixture.rejects(RESIDENT, &opening(connector(2))), Code::ConnectorBusy.into());
        assert_eq!(fixture.rejects(NEIGHBOUR, &opening(connector(2))), Code::ConnectorBusy.into());
    }

    #[test]
    fn refuses_more_than_the_parameters_or_the_funds_allow() {
        let mut fixture = Fixture::new();
        fixture.params.max_spend = tokens(200);
        let good = opening(connector(1));
        let refused = fixture.rejects(RESIDENT, &OpenSession { max_spend: Amount::from_micro(200_000_001), ..good });
        assert_eq!(refused, Rejection::of(Code::OverLimit, 200_000_000, 200_000_001));
        let limit_ms = fixture.params.max_duration.ms();
        let refused = fixture.rejects(RESIDENT, &OpenSession { max_duration: Duration::from_ms(limit_ms + 1), ..good });
        assert_eq!(refused, Rejection::of(Code::OverLimit, limit_ms, limit_ms + 1));
        let refused = fixture.rejects(RESIDENT, &OpenSession { max_spend: tokens(200), ..good });
        assert_eq!(refused, Rejection::of(Code::InsufficientFunds, 200_000_000, BALANCE.micro()));
        assert_eq!(fixture.rejects(STRANGER, &good), Code::UnknownAccount.into());
        fixture.params.max_spend = BALANCE;
        fixture.opens(RESIDENT, &OpenSession { max_spend: BALANCE, max_duration: Duration::from_ms(limit_ms), ..good });
    }

    #[test]
    fn refuses_any_version_but_the_one_in_force() {
        let mut fixture = Fixture::new();
        let later = NOON.saturating_add(Duration::from_hours(1));
        fixture.put_tariff(PLAIN, 2, later, simple_tariff(tokens(1), Amount::ZERO));
        let (first, second) = (opening(connector(1)), OpenSession { tariff_version: 2, ..opening(connector(1)) });
        assert_eq!(fixture.rejects(RESIDENT, &second), Rejection::of(Code::StaleTariff, 1, 2));
        fixture.now = later;
        assert_eq!(fixture.rejects(RESIDENT, &first), Rejection::of(Code::StaleTariff, 2, 1));
        fixture.opens(RESIDENT, &second);

        let without = Connector { tariff: 77, ..fixture.connector(connector(2)) };
        fixture.put(&Key::Connector(connector(2)), &without);
        assert_eq!(fixture.rejects(RESIDENT, &opening(connector(2))), Code::UnknownTariff.into());
        fixture.put_tariff(
            TariffId::new(connector(2).condominium, 77),
            1,
            Timestamp::from_ms(later.ms() + 1),
            simple_tariff(tokens(1), tokens(1)),
        );
        assert_eq!(fixture.rejects(RESIDENT, &opening(connector(2))), Code::UnknownTariff.into());
    }

    #[test]
    fn escrows_across_homes_count_together_against_the_position_limit() {
        let mut fixture = Fixture::new();
        let spend = |number, max_spend| OpenSession { max_spend, ..opening(connector(number)) };
        let first = fixture.opens(VISITOR, &spend(1, tokens(20)));
        let refused = fixture.rejects(VISITOR, &spend(2, Amount::from_micro(10_000_001)));
        assert_eq!(refused, Rejection::of(Code::PositionLimit, POSITION_LIMIT.micro(), 30_000_001));
        fixture.opens(VISITOR, &spend(2, tokens(10)));
        assert_eq!(fixture.rejects(VISITOR, &spend(3, Amount::from_micro(1))).code, Code::PositionLimit);
        // Residents are at home; and the other direction has a limit of its own.
        fixture.opens(RESIDENT, &spend(3, tokens(50)));
        fixture.opens(NEIGHBOUR, &OpenSession { max_spend: tokens(30), ..opening(ConnectorId::new(AWAY, 1)) });
        fixture.applies(VISITOR, &CancelSession { session: first });
        fixture.opens(VISITOR, &spend(1, tokens(20)));
    }
}
