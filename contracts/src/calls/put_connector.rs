//! `PutConnector`: makes or changes a connector; putting it again clears its fault.
//!
//! Checked in this order: each phase is rated at most [`MAX_RATED`], and one at least is connected (`InvalidConnector`); a manager of the condominium
//! (`UnknownCondominium`, `NotAllowed`); a connected phase is rated at least the minimum current (`InvalidConnector`); the group and a version of the tariff,
//! in force or not, are there (`UnknownGroup`, `UnknownTariff`); where its plug is not reported, no version that is in force or announced has a price for
//! PARKING_TIME (`PlugNotReported`, with that version); while a session is open nothing but `service` differs (`ConnectorBusy`); a new one is at most
//! the [`MAX_CONNECTORS`]th (`TooMany`); without a switch its rated current fits into its groups for good, in service or not (`GroupLimit`).
//! The meter's last register, unassigned energy and the open session stay as they are.

use chain::{
    code::{Code, Rejection},
    id::{ConnectorId, GroupId, TariffId},
    quantity::{Currents, Milliamperes, WattHours},
    receipt::Event,
    record::{Connector, Control, Key, PlugSignal, Role, Service},
    state::prefix_end,
};
use serde::{Deserialize, Serialize};

use crate::{
    call::Action,
    context::CallContext,
    failure::{Failure, Fault},
    groups::{self, Reservation},
    ledger::Ledger,
    roles, tariff,
};

/// The most connectors of a condominium.
pub const MAX_CONNECTORS: u32 = 4_096;

/// The most that a phase may be rated for: 1 000 A. All connectors together stay within the range of a current.
pub const MAX_RATED: Milliamperes = Milliamperes::new(1_000_000);

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
        if self.rated.is_zero() {
            return Err(Code::InvalidConnector.into());
        }
        match self.rated.0.into_iter().find(|phase| *phase > MAX_RATED) {
            Some(phase) => Err(Rejection::of(Code::InvalidConnector, MAX_RATED.get().into(), phase.get().into())),
            None => Ok(()),
        }
    }

    fn apply(&self, context: &CallContext<'_>, ledger: &mut Ledger<'_>) -> Result<(), Failure> {
        let condominium = self.connector.condominium;
        roles::require(ledger, context, condominium, Role::Manager)?;
        let least = context.block.params.min_current;
        if let Some(phase) = self.rated.0.into_iter().find(|phase| !phase.is_zero() && *phase < least) {
            return Err(Rejection::of(Code::InvalidConnector, least.get().into(), phase.get().into()).into());
        }
        if !ledger.has(&Key::Group(GroupId::new(condominium, self.group)))? {
            return Err(Code::UnknownGroup.into());
        }
        if !ledger.has(&Key::TariffHead(TariffId::new(condominium, self.tariff)))? {
            return Err(Code::UnknownTariff.into());
        }
        if self.plug_signal == PlugSignal::None
            && let Some(version) = tariff::parking_version(ledger, TariffId::new(condominium, self.tariff), context.block.timestamp)?
        {
            return Err(Rejection { code: Code::PlugNotReported, expected: None, found: Some(version.into()) }.into());
        }
        let existing = ledger.connector(self.connector)?;
        match &existing {
            Some(connector) if connector.session.is_some() && !self.changes_service_alone(connector) => {
                return Err(Code::ConnectorBusy.into());
            }
            Some(_) => {}
            None => check_count(ledger, self.connector)?,
        }
        let old = existing.and_then(|connector| reservation(connector.control, connector.group, connector.rated));
        let new = reservation(self.control, self.group, self.rated);
        // The last check, of the limits, and the first writes: both or neither.
        groups::reserve(ledger, condominium, old, new)?;
        let connector = Connector {
            group: self.group,
            control: self.control,
            plug_signal: self.plug_signal,
            rated: self.rated,
            tariff: self.tariff,
            service: self.service,
            fault: None,
            session: existing.and_then(|connector| connector.session),
            last_register: existing.map_or(WattHours::ZERO, |connector| connector.last_register),
            unassigned: existing.map_or(WattHours::ZERO, |connector| connector.unassigned),
        };
        ledger.put(&Key::Connector(self.connector), &connector)?;
        ledger.emit(Event::ConnectorPut { connector: self.connector });
        Ok(())
    }
}

impl PutConnector {
    fn changes_service_alone(&self, connector: &Connector) -> bool {
        self.group == connector.group
            && self.control == connector.control
            && self.plug_signal == connector.plug_signal
            && self.rated == connector.rated
            && self.tariff == connector.tariff
    }
}

/// Out of service or not, what has no switch may draw current.
fn reservation(control: Control, group: u32, rated: Currents) -> Option<Reservation> {
    match control {
        Control::MeterOnly => Some(Reservation { group, current: rated }),
        Control::Switched => None,
    }
}

fn check_count(ledger: &Ledger<'_>, connector: ConnectorId) -> Result<(), Failure> {
    let mut prefix = Key::Connector(connector).bytes();
    prefix.truncate(prefix.len().saturating_sub(4));
    let end = prefix_end(&prefix).ok_or_else(|| Fault("the table of connectors has no end".to_owned()))?;
    if ledger.keys(&prefix, &end, MAX_CONNECTORS)?.len() as u64 >= u64::from(MAX_CONNECTORS) {
        return Err(Rejection::of(Code::TooMany, MAX_CONNECTORS.into(), u64::from(MAX_CONNECTORS).saturating_add(1)).into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use chain::{
        hash::Hash32,
        id::{CondominiumId, SessionId},
        record,
    };

    use super::*;
    use crate::testing::{
        BUILDING, Fixture, GARAGE, HOME, MANAGER, METER_ONLY, PLAIN, SCHEDULER, SIXTEEN, THREE_PHASE, WITH_FLAT, connector,
    };

    /// Connector 6, new, like 1 to 3.
    fn put() -> PutConnector {
        PutConnector {
            connector: connector(6),
            group: GARAGE,
            control: Control::Switched,
            plug_signal: PlugSignal::Reported,
            rated: THREE_PHASE,
            tariff: PLAIN.number,
            service: Service::InService,
        }
    }

    fn reserved(fixture: &Fixture) -> [[u32; 3]; 2] {
        [BUILDING, GARAGE].map(|number| fixture.group(number).reserved.ma())
    }

    #[test]
    fn a_new_connector_begins_at_zero() {
        let mut fixture = Fixture::new();
        assert_eq!(fixture.applies(MANAGER, &put()), [Event::ConnectorPut { connector: connector(6) }]);
        let expected = Connector { last_register: WattHours::ZERO, ..fixture.connector(connector(1)) };
        assert_eq!(fixture.connector(connector(6)), expected);
        assert_eq!(reserved(&fixture), [[10_000, 0, 0], [0; 3]]);
    }

    #[test]
    fn putting_it_again_clears_the_fault_and_keeps_what_the_meter_showed() {
        let mut fixture = Fixture::new();
        let faulty =
            Connector { fault: Some(record::Fault::WeldedRelay), unassigned: WattHours::new(7), ..fixture.connector(connector(1)) };
        fixture.put(&Key::Connector(connector(1)), &faulty);
        fixture.applies(MANAGER, &PutConnector { connector: connector(1), tariff: WITH_FLAT.number, ..put() });
        assert_eq!(fixture.connector(connector(1)), Connector { fault: None, tariff: WITH_FLAT.number, ..faulty });
    }

    #[test]
    fn during_a_session_only_the_service_changes() {
        let mut fixture = Fixture::new();
        let session = Some(SessionId(Hash32([9; 32])));
        let busy = Connector { session, ..fixture.connector(connector(1)) };
        let same = PutConnector { connector: connector(1), ..put() };
        for change in [
            PutConnector { group: BUILDING, ..same },
            PutConnector { control: Control::MeterOnly, ..same },
            PutConnector { plug_signal: PlugSignal::None, ..same },
            PutConnector { rated: SIXTEEN, ..same },
            PutConnector { tariff: WITH_FLAT.number, ..same },
        ] {
            fixture.put(&Key::Connector(connector(1)), &busy);
            assert_eq!(fixture.rejects(MANAGER, &change), Rejection::new(Code::ConnectorBusy), "{change:?}");
            fixture.put(&Key::Connector(connector(1)), &Connector { session: None, ..busy });
            // GARAGE has room for it without the session.
            fixture.applies(MANAGER, &change);
        }
        // The session of this test is not in the state, so its sums are not checked: the call is applied by hand.
        fixture.put(&Key::Group(GroupId::new(HOME, GARAGE)), &record::Group { reserved: Currents::ZERO, ..fixture.group(GARAGE) });
        fixture.put(&Key::Connector(connector(1)), &busy);
        let block = fixture.block();
        let context = CallContext { block: &block, index: 0, tx_id: fixture.next_tx(), account: MANAGER, signer: MANAGER };
        let mut ledger = Ledger::new(&fixture.state);
        PutConnector { service: Service::OutOfService, ..same }.apply(&context, &mut ledger).unwrap();
        assert_eq!(ledger.connector(connector(1)).unwrap(), Some(Connector { service: Service::OutOfService, ..busy }));
    }

    #[test]
    fn what_has_no_switch_is_reserved_in_its_groups_and_moves_with_the_connector() {
        let mut fixture = Fixture::new();
        let meter_only = PutConnector { control: Control::MeterOnly, ..put() };
        fixture.applies(MANAGER, &meter_only);
        assert_eq!(reserved(&fixture), [[42_000, 32_000, 32_000], [32_000; 3]]);
        fixture.applies(MANAGER, &PutConnector { rated: SIXTEEN, service: Service::OutOfService, ..meter_only });
        assert_eq!(reserved(&fixture), [[26_000, 0, 0], [16_000, 0, 0]]);
        fixture.applies(MANAGER, &PutConnector { rated: SIXTEEN, group: BUILDING, ..meter_only });
        assert_eq!(reserved(&fixture), [[26_000, 0, 0], [0; 3]]);
        fixture.applies(MANAGER, &PutConnector { rated: SIXTEEN, ..meter_only });
        fixture.applies(MANAGER, &PutConnector { rated: SIXTEEN, ..put() });
        assert_eq!(reserved(&fixture), [[10_000, 0, 0], [0; 3]]);
        fixture.applies(MANAGER, &PutConnector { connector: METER_ONLY, ..put() });
        assert_eq!(reserved(&fixture), [[0; 3]; 2]);
    }

    #[test]
    fn rejects_a_reservation_that_does_not_fit_and_changes_nothing() {
        let mut fixture = Fixture::new();
        let meter_only = PutConnector { control: Control::MeterOnly, ..put() };
        let rated = Currents::from_ma([0, 40_001, 0]);
        assert_eq!(fixture.rejects(MANAGER, &PutConnector { rated, ..meter_only }), Rejection::of(Code::GroupLimit, 40_000, 40_001));
        let rated = Currents::from_ma([70_001, 0, 0]);
        let refused = fixture.rejects(MANAGER, &PutConnector { rated, group: BUILDING, ..meter_only });
        assert_eq!(refused, Rejection::of(Code::GroupLimit, 80_000, 80_001));
        // Moving the whole of BUILDING's reservation into GARAGE is judged there, and by the difference above.
        let moved = PutConnector { connector: METER_ONLY, rated: Currents::from_ma([41_000, 0, 0]), ..meter_only };
        assert_eq!(fixture.rejects(MANAGER, &moved), Rejection::of(Code::GroupLimit, 40_000, 41_000));
        assert_eq!(reserved(&fixture), [[10_000, 0, 0], [0; 3]]);
        assert_eq!(fixture.get::<Connector>(&Key::Connector(connector(6))), None);
        fixture.applies(MANAGER, &PutConnector { rated: Currents::from_ma([70_000, 0, 0]), group: BUILDING, ..meter_only });
    }

    #[test]
    fn rejects_a_rating_that_no_connector_has() {
        let mut fixture = Fixture::new();
        let rated = |ma| PutConnector { rated: Currents::from_ma(ma), ..put() };
        assert_eq!(fixture.rejects(MANAGER, &rated([0; 3])), Rejection::new(Code::InvalidConnector));
        assert_eq!(fixture.rejects(MANAGER, &rated([16_000, 1_000_001, 0])), Rejection::of(Code::InvalidConnector, 1_000_000, 1_000_001));
        assert_eq!(fixture.rejects(MANAGER, &rated([16_000, 0, 5_999])), Rejection::of(Code::InvalidConnector, 6_000, 5_999));
        fixture.applies(MANAGER, &rated([1_000_000, 0, 6_000]));
    }

    #[test]
    fn rejects_an_unknown_group_tariff_or_condominium_and_who_is_no_manager() {
        let mut fixture = Fixture::new();
        assert_eq!(fixture.rejects(MANAGER, &PutConnector { group: 77, ..put() }), Rejection::new(Code::UnknownGroup));
        assert_eq!(fixture.rejects(MANAGER, &PutConnector { tariff: 77, ..put() }), Rejection::new(Code::UnknownTariff));
        assert_eq!(fixture.rejects(SCHEDULER, &put()), Rejection::new(Code::NotAllowed));
        let nowhere = PutConnector { connector: ConnectorId::new(CondominiumId(9), 1), ..put() };
        assert_eq!(fixture.rejects(MANAGER, &nowhere), Rejection::new(Code::UnknownCondominium));
    }

    #[test]
    fn rejects_one_connector_too_many() {
        let mut fixture = Fixture::new();
        let plain = fixture.connector(connector(1));
        for number in 7..=4_096 {
            fixture.put(&Key::Connector(connector(number)), &plain);
        }
        fixture.applies(MANAGER, &put());
        let one_more = PutConnector { connector: connector(5_000), ..put() };
        assert_eq!(fixture.rejects(MANAGER, &one_more), Rejection::of(Code::TooMany, 4_096, 4_097));
        fixture.applies(MANAGER, &put());
    }
}
