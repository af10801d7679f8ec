//! `PutTariff`: adds a version of a tariff; versions are never changed.
//!
//! Checked in this order: the document ([`tariff::validate`]); a manager of the condominium (`UnknownCondominium`, `NotAllowed`); the number is the next
//! (`WrongTariffVersion`); `valid_from` is not before the block's time, nor before the latest version's (`InvalidRange`); with a `valid_from` after the
//! block's time, at most [`MAX_ANNOUNCED`] versions are then announced (`TooMany`); with a price for PARKING_TIME, every connector that has the tariff reports
//! its plug (`PlugNotReported`, with the number of the first that does not). Two versions of one instant are allowed: the higher one holds.

use chain::{
    code::{Code, Rejection},
    id::{ConnectorId, TariffId},
    receipt::Event,
    record::{Connector, Key, PlugSignal, Role, TariffHead, TariffVersion},
    tariff::{Tariff, TariffDimension},
    time::Timestamp,
};
use serde::{Deserialize, Serialize};

use crate::{
    call::Action,
    calls::put_connector::MAX_CONNECTORS,
    context::CallContext,
    failure::{Failure, Fault},
    ledger::Ledger,
    roles, tariff,
};

/// The most versions of a tariff that are announced and not yet in force.
pub const MAX_ANNOUNCED: u32 = 8;

/// Adds a version of a tariff; versions are never changed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PutTariff {
    /// Which.
    pub tariff: TariffId,
    /// The latest version plus one; the first is 1.
    pub version: u32,
    /// The block time from which sessions open under it; not before the block's, nor before the latest version's.
    pub valid_from: Timestamp,
    /// The document.
    pub document: Tariff,
}

impl Action for PutTariff {
    fn name(&self) -> &'static str {
        "put_tariff"
    }

    fn check(&self) -> Result<(), Rejection> {
        tariff::validate(&self.document)
    }

    fn apply(&self, context: &CallContext<'_>, ledger: &mut Ledger<'_>) -> Result<(), Failure> {
        roles::require(ledger, context, self.tariff.condominium, Role::Manager)?;
        let latest = ledger.get::<TariffHead>(&Key::TariffHead(self.tariff))?.map_or(0, |head| head.latest);
        let next = latest.checked_add(1).ok_or(Code::Overflow)?;
        if self.version != next {
            return Err(Rejection::of(Code::WrongTariffVersion, next.into(), self.version.into()).into());
        }
        let now = context.block.timestamp;
        if self.valid_from < now {
            return Err(Rejection::of(Code::InvalidRange, now.ms(), self.valid_from.ms()).into());
        }
        let mut announced = 0_u32;
        for number in (1..=latest).rev() {
            let earlier = version(ledger, self.tariff, number)?;
            if number == latest && self.valid_from < earlier.valid_from {
                return Err(Rejection::of(Code::InvalidRange, earlier.valid_from.ms(), self.valid_from.ms()).into());
            }
            // Versions ascend in time: below one that is in force, all have been.
            if earlier.valid_from <= now {
                break;
            }
            announced = announced.saturating_add(1);
        }
        if self.valid_from > now && announced >= MAX_ANNOUNCED {
            return Err(Rejection::of(Code::TooMany, MAX_ANNOUNCED.into(), u64::from(announced).saturating_add(1)).into());
        }
        if tariff::has(&self.document, TariffDimension::ParkingTime)
            && let Some(connector) = without_plug(ledger, self.tariff)?
        {
            return Err(Rejection { code: Code::PlugNotReported, expected: None, found: Some(connector.into()) }.into());
        }
        // Every check is done: from here on only writes.
        let version = TariffVersion { valid_from: self.valid_from, tariff: self.document.clone() };
        ledger.put(&Key::TariffVersion(self.tariff, next), &version)?;
        ledger.put(&Key::TariffHead(self.tariff), &TariffHead { latest: next })?;
        ledger.emit(Event::TariffPut { tariff: self.tariff, version: next, valid_from: self.valid_from });
        Ok(())
    }
}

/// The number of the first connector that has a tariff and does not report its plug.
fn without_plug(ledger: &Ledger<'_>, tariff: TariffId) -> Result<Option<u32>, Fault> {
    let mut prefix = Key::Connector(ConnectorId::new(tariff.condominium, 0)).bytes();
    prefix.truncate(prefix.len().saturating_sub(4));
    let rows = ledger.scan::<Connector>(&prefix, MAX_CONNECTORS)?;
    let found = rows.iter().find(|(_, connector)| connector.tariff == tariff.number && connector.plug_signal == PlugSignal::None);
    let number = found.and_then(|(key, _)| key.last_chunk::<4>()).map(|number| u32::from_be_bytes(*number));
    Ok(number)
}

fn version(ledger: &Ledger<'_>, id: TariffId, number: u32) -> Result<TariffVersion, Fault> {
    tariff::version(ledger, id, number)?.ok_or_else(|| Fault(format!("version {number} of tariff {id} is missing")))
}

#[cfg(test)]
mod tests {
    use chain::{id::CondominiumId, quantity::Amount, time::Duration};

    use super::*;
    use crate::testing::{Fixture, HOME, MANAGER, NOON, PLAIN, SCHEDULER, simple_tariff};

    const NEW: TariffId = TariffId::new(HOME, 9);

    fn put(version: u32, valid_from: Timestamp) -> PutTariff {
        PutTariff { tariff: NEW, version, valid_from, document: simple_tariff(Amount::from_micro(u64::from(version)), Amount::ZERO) }
    }

    fn later(minutes: u64) -> Timestamp {
        NOON.saturating_add(Duration::from_mins(minutes))
    }

    fn in_force(fixture: &Fixture, at: Timestamp) -> Option<u32> {
        tariff::in_force(&Ledger::new(&fixture.state), NEW, at).unwrap().map(|(number, _)| number)
    }

    #[test]
    fn the_highest_version_that_has_begun_is_in_force() {
        let mut fixture = Fixture::new();
        let events = fixture.applies(MANAGER, &put(1, later(10)));
        assert_eq!(events, [Event::TariffPut { tariff: NEW, version: 1, valid_from: later(10) }]);
        fixture.applies(MANAGER, &put(2, later(20)));
        fixture.applies(MANAGER, &put(3, later(20)));
        let at = [9, 10, 19, 20, 9_999].map(|minutes| in_force(&fixture, later(minutes)));
        assert_eq!(at, [None, Some(1), Some(1), Some(3), Some(3)]);
        let stored: TariffVersion = fixture.get(&Key::TariffVersion(NEW, 2)).unwrap();
        assert_eq!((stored.valid_from, stored.tariff), (later(20), put(2, NOON).document));
        assert_eq!(tariff::in_force(&Ledger::new(&fixture.state), TariffId::new(HOME, 77), NOON).unwrap(), None);
    }

    #[test]
    fn rejects_a_version_out_of_turn_or_time() {
        let mut fixture = Fixture::new();
        assert_eq!(fixture.rejects(MANAGER, &put(0, NOON)), Rejection::of(Code::WrongTariffVersion, 1, 0));
        assert_eq!(fixture.rejects(MANAGER, &put(2, NOON)), Rejection::of(Code::WrongTariffVersion, 1, 2));
        let past = Timestamp::from_ms(NOON.ms() - 1);
        assert_eq!(fixture.rejects(MANAGER, &put(1, past)), Rejection::of(Code::InvalidRange, NOON.ms(), past.ms()));
        fixture.applies(MANAGER, &put(1, later(10)));
        assert_eq!(fixture.rejects(MANAGER, &put(1, later(10))), Rejection::of(Code::WrongTariffVersion, 2, 1));
        assert_eq!(fixture.rejects(MANAGER, &put(2, later(9))), Rejection::of(Code::InvalidRange, later(10).ms(), later(9).ms()));
        fixture.applies(MANAGER, &put(2, later(10)));
    }

    #[test]
    fn rejects_a_ninth_announced_version_until_one_has_begun() {
        let mut fixture = Fixture::new();
        fixture.applies(MANAGER, &put(1, NOON));
        for number in 2..=9 {
            fixture.applies(MANAGER, &put(number, later(u64::from(number))));
        }
        assert_eq!(fixture.rejects(MANAGER, &put(10, later(99))), Rejection::of(Code::TooMany, 8, 9));
        fixture.wait(Duration::from_mins(2));
        fixture.applies(MANAGER, &put(10, later(99)));
        assert_eq!(in_force(&fixture, fixture.now), Some(2));
    }

    #[test]
    fn rejects_who_is_no_manager_and_where_there_is_no_condominium() {
        let mut fixture = Fixture::new();
        assert_eq!(fixture.rejects(SCHEDULER, &put(1, NOON)), Rejection::new(Code::NotAllowed));
        let nowhere = PutTariff { tariff: TariffId::new(CondominiumId(9), 1), ..put(1, NOON) };
        assert_eq!(fixture.rejects(MANAGER, &nowhere), Rejection::new(Code::UnknownCondominium));
    }

    #[test]
    fn rejects_a_document_that_cannot_be_billed() {
        let mut call = put(1, NOON);
        call.document.elements.clear();
        assert_eq!(Fixture::new().rejects(MANAGER, &call), Rejection::of(Code::InvalidTariff, 1, 0));
        let mut other = PutTariff { tariff: PLAIN, version: 2, ..put(1, NOON) };
        (other.document.min_price, other.document.max_price) = (Some(Amount::from_micro(2)), Some(Amount::from_micro(1)));
        assert_eq!(Fixture::new().rejects(MANAGER, &other), Rejection::of(Code::InvalidTariff, 2, 1));
    }
}
