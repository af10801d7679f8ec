//! `ReplaceMeter`: a connector's meter was exchanged, as gateway and manager both say; its register goes on without a gap.
//!
//! Whoever of the two signs first proposes, for [`STANDS`]; where the other names the same connector and the same two registers, the exchange takes effect.
//! Anything else that is signed meanwhile takes the proposal's place. Neither key can do it alone; but whoever may appoint gateways can appoint a second key of
//! his own, without notice, and sign both sides: the chain does not prevent that and shows who did. Checked in this order: no meter shows more than [`MAX_SHOWN`] (`OverLimit`); the connector is there (`UnknownConnector`); the account is a manager or a gateway of its condominium (`NotAllowed`), and no
//! suspended gateway (`RoleSuspended`); the old meter's last register, carried on as the connector's, is at least the connector's and, while an open session
//! has a reading, exactly that (`MeterRegister`, both as the old meter shows them; `Overflow`).
//!
//! So an open session falls into two segments: the first ends with its last accepted reading, the second goes on from the same register of the connector,
//! and what it costs does not depend on the exchange. What the old meter counted beyond the last reading while no session was metered is nobody's energy.
//! A meter's fault is cleared, because its meter is gone; any other fault stays.

use chain::{
    code::{Code, Rejection},
    id::ConnectorId,
    quantity::WattHours,
    receipt::Event,
    record::{Connector, Fault, Key, Meter, MeterProposal, Role},
    time::Duration,
};
use serde::{Deserialize, Serialize};

use crate::{
    call::Action,
    context::CallContext,
    failure::{Failure, Fault as LedgerFault},
    ledger::Ledger,
    roles,
};

/// How long a proposal can be agreed to.
pub const STANDS: Duration = Duration::from_hours(24);

/// The most that a meter shows: 10^15 Wh, which is more than any country uses in a year.
pub const MAX_SHOWN: WattHours = WattHours::new(1_000_000_000_000_000);

/// Whether a connector's register is one at which its meter can still be exchanged: what that meter then shows is at most [`MAX_SHOWN`].
///
/// # Errors
/// [`LedgerFault`] where this machine cannot say.
pub fn can_be_shown(ledger: &Ledger<'_>, connector: ConnectorId, register: WattHours) -> Result<bool, LedgerFault> {
    let meter: Option<Meter> = ledger.get(&Key::Meter(connector))?;
    Ok(meter.map_or(Some(register), |meter| meter.shown(register)).is_some_and(|shown| shown <= MAX_SHOWN))
}

/// Exchanges a connector's meter, or agrees to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ReplaceMeter {
    /// Where.
    pub connector: ConnectorId,
    /// What the old meter shows at its end.
    pub last: WattHours,
    /// What the new meter shows at its beginning.
    pub first: WattHours,
}

impl Action for ReplaceMeter {
    fn name(&self) -> &'static str {
        "replace_meter"
    }

    fn check(&self) -> Result<(), Rejection> {
        match [self.last, self.first].into_iter().find(|shown| *shown > MAX_SHOWN) {
            Some(shown) => Err(Rejection::of(Code::OverLimit, MAX_SHOWN.get(), shown.get())),
            None => Ok(()),
        }
    }

    fn apply(&self, context: &CallContext<'_>, ledger: &mut Ledger<'_>) -> Result<(), Failure> {
        let connector = ledger.connector(self.connector)?.ok_or(Code::UnknownConnector)?;
        let sides = self.sides(context, ledger)?;
        let old: Option<Meter> = ledger.get(&Key::Meter(self.connector))?;
        let register = self.register(ledger, &connector, old.as_ref())?;
        let unassigned = register.saturating_sub(connector.last_register);
        let total = connector.unassigned.checked_add(unassigned).ok_or(Code::Overflow)?;
        let exchanges = old.map_or(0, |old| old.exchanges).checked_add(1).ok_or(Code::Overflow)?;
        let agreed = self.is_agreed(context, ledger, sides)?;

        // every check is done: from here on only writes
        let Self { connector: id, last, first } = *self;
        if !agreed {
            let role = if sides.manager { Role::Manager } else { Role::Gateway };
            let (account, until) = (context.account, context.block.timestamp.saturating_add(STANDS));
            ledger.put(&Key::MeterProposal(id), &MeterProposal { account, role, last, first, until })?;
            ledger.emit(Event::MeterProposed { connector: id, account, role, last, first, until });
            return Ok(());
        }
        let fault = connector.fault.filter(|fault| *fault != Fault::MeterFault);
        ledger.delete(&Key::MeterProposal(id));
        ledger.put(&Key::Meter(id), &Meter { exchanges, first, base: register, since: context.block.timestamp })?;
        ledger.put(&Key::Connector(id), &Connector { fault, last_register: register, unassigned: total, ..connector })?;
        if !unassigned.is_zero() {
            ledger.emit(Event::EnergyUnassigned { connector: id, energy: unassigned });
        }
        ledger.emit(Event::MeterReplaced { connector: id, exchanges, last, first, register });
        Ok(())
    }
}

/// For which sides an account can sign.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Sides {
    manager: bool,
    gateway: bool,
}

impl ReplaceMeter {
    fn sides(&self, context: &CallContext<'_>, ledger: &Ledger<'_>) -> Result<Sides, Failure> {
        let (site, height) = (self.connector.condominium, context.block.height);
        roles::require_any(ledger, context, site, &[Role::Manager, Role::Gateway])?;
        let manager = roles::holds(ledger, height, site, Role::Manager, &context.account)?;
        let gateway = roles::is_trusted_gateway(ledger, height, site, &context.account)?;
        if manager || gateway { Ok(Sides { manager, gateway }) } else { Err(Code::RoleSuspended.into()) }
    }

    /// The connector's register at the old meter's end.
    fn register(&self, ledger: &Ledger<'_>, connector: &Connector, old: Option<&Meter>) -> Result<WattHours, Failure> {
        let shown = |register| old.map_or(Some(register), |old| old.shown(register));
        let known = shown(connector.last_register).ok_or(Code::Overflow)?;
        let is_metered = match connector.session {
            Some(id) => ledger.session(id)?.is_some_and(|session| session.meter.is_some()),
            None => false,
        };
        if self.last < known || (is_metered && self.last != known) {
            return Err(Rejection::of(Code::MeterRegister, known.get(), self.last.get()).into());
        }
        old.map_or(Some(self.last), |old| old.register(self.last)).ok_or_else(|| Code::Overflow.into())
    }

    /// Whether the other side has said the same before: another account, which can still sign for it.
    fn is_agreed(&self, context: &CallContext<'_>, ledger: &Ledger<'_>, sides: Sides) -> Result<bool, LedgerFault> {
        let Some(proposal) = ledger.get::<MeterProposal>(&Key::MeterProposal(self.connector))? else { return Ok(false) };
        let MeterProposal { account, role, last, first, until } = proposal;
        if (last, first) != (self.last, self.first) || until <= context.block.timestamp || account == context.account {
            return Ok(false);
        }
        let (site, height) = (self.connector.condominium, context.block.height);
        if role == Role::Manager {
            Ok(sides.gateway && roles::holds(ledger, height, site, Role::Manager, &account)?)
        } else {
            Ok(sides.manager && roles::is_trusted_gateway(ledger, height, site, &account)?)
        }
    }
}

#[cfg(test)]
mod tests {
    use chain::{
        hash::Hash32,
        id::{CondominiumId, Height, TxId},
        quantity::Cost,
        record::{RoleGrant, Suspension},
    };

    use super::*;
    use crate::{
        call::{ReportFault, StopSession},
        testing::{AWAY_STAFF, Fixture, GATEWAY, HOME, MANAGER, NEIGHBOUR, NOON, RESIDENT, SCHEDULER, TREASURER, connector, opening},
    };

    fn replace(last: u64, first: u64) -> ReplaceMeter {
        ReplaceMeter { connector: connector(1), last: WattHours::new(last), first: WattHours::new(first) }
    }

    fn meter(chain: &Fixture) -> Option<Meter> {
        chain.get(&Key::Meter(connector(1)))
    }

    fn proposal(chain: &Fixture) -> Option<MeterProposal> {
        chain.get(&Key::MeterProposal(connector(1)))
    }

    #[test]
    fn takes_effect_when_gateway_and_manager_have_said_the_same_whoever_begins() {
        for [one, other] in [[MANAGER, GATEWAY], [GATEWAY, MANAGER]] {
            let mut chain = Fixture::new();
            let role = if one == MANAGER { Role::Manager } else { Role::Gateway };
            let until = NOON.saturating_add(STANDS);
            let (last, first) = (WattHours::new(1_200), WattHours::new(7));
            let proposed = Event::MeterProposed { connector: connector(1), account: one, role, last, first, until };
            assert_eq!(chain.applies(one, &replace(1_200, 7)), std::slice::from_ref(&proposed));
            // Whoever proposed it cannot agree to it; his second word takes the place of the first.
            assert_eq!(chain.applies(one, &replace(1_200, 7)), [proposed]);
            assert_eq!(chain.connector(connector(1)).last_register, WattHours::new(1_000));
            let expected = [
                Event::EnergyUnassigned { connector: connector(1), energy: WattHours::new(200) },
                Event::MeterReplaced { connector: connector(1), exchanges: 1, last, first, register: last },
            ];
            assert_eq!(chain.applies(other, &replace(1_200, 7)), expected);
            let row = chain.connector(connector(1));
            assert_eq!((row.last_register, row.unassigned), (last, WattHours::new(200)));
            assert_eq!(meter(&chain), Some(Meter { exchanges: 1, first, base: last, since: NOON }));
            assert_eq!(proposal(&chain), None);
        }
    }

    #[test]
    fn the_register_goes_on_over_a_second_exchange_and_no_energy_appears_or_vanishes() {
        let mut chain = Fixture::new();
        for (last, first) in [(1_000, 50), (80, 999_999)] {
            chain.applies(MANAGER, &replace(last, first));
            chain.applies(GATEWAY, &replace(last, first));
        }
        // 30 Wh passed through the second meter while nobody charged.
        let row = chain.connector(connector(1));
        assert_eq!((row.last_register, row.unassigned), (WattHours::new(1_030), WattHours::new(30)));
        let third = meter(&chain).unwrap();
        assert_eq!((third.exchanges, third.first, third.base), (2, WattHours::new(999_999), WattHours::new(1_030)));
        assert_eq!(third.register(WattHours::new(1_000_099)), Some(WattHours::new(1_130)));
        assert_eq!(third.shown(WattHours::new(1_130)), Some(WattHours::new(1_000_099)));
        assert_eq!((third.register(WattHours::new(999_998)), third.shown(WattHours::new(1_029))), (None, None));
        let below = Rejection::of(Code::MeterRegister, 999_999, 999_998);
        assert_eq!(chain.rejects(MANAGER, &replace(999_998, 0)), below);
    }

    /// What a session costs is the same with and without an exchange in its middle.
    #[test]
    fn an_open_session_falls_into_two_segments_and_its_bill_does_not_change() {
        let mut costs: Vec<(Cost, WattHours)> = Vec::new();
        for exchanged in [false, true] {
            let mut chain = Fixture::new();
            let id = chain.charges(1);
            chain.reads(id, 1, 1_000);
            chain.wait(Duration::from_hours(1));
            chain.reads(id, 2, 9_000);
            if exchanged {
                let unread = Rejection::of(Code::MeterRegister, 9_000, 9_001);
                assert_eq!(chain.rejects(MANAGER, &replace(9_001, 3)), unread);
                assert_eq!(chain.rejects(MANAGER, &replace(8_999, 3)), Rejection::of(Code::MeterRegister, 9_000, 8_999));
                chain.applies(MANAGER, &replace(9_000, 3));
                chain.applies(GATEWAY, &replace(9_000, 3));
            }
            chain.wait(Duration::from_hours(1));
            // What the new meter shows as 4 503 Wh is the connector's 13 500.
            let register = meter(&chain).map_or(13_500, |meter| meter.register(WattHours::new(4_503)).unwrap().get());
            assert_eq!(chain.reads(id, 3, register), None);
            chain.applies(RESIDENT, &StopSession { session: id });
            let session = chain.session(id);
            let metered = session.meter.unwrap();
            costs.push((session.cost.total().unwrap(), metered.register.saturating_sub(metered.start)));
        }
        assert_eq!(costs[0], costs[1]);
        assert_eq!(costs[0].1, WattHours::new(12_500));
    }

    #[test]
    fn a_session_without_a_reading_begins_behind_the_exchange() {
        let mut chain = Fixture::new();
        let id = chain.opens(RESIDENT, &opening(connector(1)));
        chain.applies(MANAGER, &replace(1_500, 0));
        chain.applies(GATEWAY, &replace(1_500, 0));
        chain.grants(id, crate::testing::SIXTEEN);
        assert_eq!(chain.reads(id, 1, 1_499), Some(Code::ReadingFalling));
        assert_eq!(chain.reads(id, 1, 1_500), None);
        assert_eq!(chain.connector(connector(1)).unassigned, WattHours::new(500));
    }

    #[test]
    fn clears_a_meters_fault_and_no_other() {
        for (fault, left) in [(Fault::MeterFault, None), (Fault::WeldedRelay, Some(Fault::WeldedRelay))] {
            let mut chain = Fixture::new();
            let call = ReportFault { connector: connector(1), session: None, fault, at: chain.now };
            chain.applies(GATEWAY, &call);
            chain.applies(MANAGER, &replace(1_000, 0));
            assert_eq!(chain.connector(connector(1)).fault, Some(fault));
            chain.applies(GATEWAY, &replace(1_000, 0));
            assert_eq!(chain.connector(connector(1)).fault, left);
        }
    }

    #[test]
    fn other_registers_a_lapsed_proposal_or_one_of_a_key_that_lost_its_role_agree_to_nothing() {
        let mut chain = Fixture::new();
        chain.applies(MANAGER, &replace(1_000, 0));
        chain.applies(GATEWAY, &replace(1_000, 1));
        assert_eq!(proposal(&chain).unwrap().account, GATEWAY);
        chain.applies(MANAGER, &replace(1_001, 1));
        assert_eq!(meter(&chain), None);

        chain.wait(STANDS);
        chain.applies(GATEWAY, &replace(1_001, 1));
        assert_eq!((meter(&chain), proposal(&chain).unwrap().role), (None, Role::Gateway));

        chain.put(&Key::Role(HOME, Role::Gateway, GATEWAY), &RoleGrant { from: Height(0), until: Some(Height(1)) });
        chain.applies(MANAGER, &replace(1_001, 1));
        assert_eq!((meter(&chain), proposal(&chain).unwrap().role), (None, Role::Manager));
        // Nor do one account's two roles.
        chain.put(&Key::Role(HOME, Role::Gateway, MANAGER), &RoleGrant { from: Height(0), until: None });
        chain.applies(MANAGER, &replace(1_001, 1));
        assert_eq!(meter(&chain), None);
    }

    /// Whatever was attested and agreed to before, nothing here is a machine's trouble: an exchange that cannot be counted is refused.
    #[test]
    fn what_cannot_be_counted_is_refused() {
        let mut chain = Fixture::new();
        let limit = MAX_SHOWN.get();
        for (last, first, found) in [(limit + 1, 0, limit + 1), (0, u64::MAX, u64::MAX)] {
            assert_eq!(chain.rejects(MANAGER, &replace(last, first)), Rejection::of(Code::OverLimit, limit, found));
        }
        chain.applies(MANAGER, &replace(limit, limit));
        let row = chain.connector(connector(1));
        for (base, register, unassigned, last) in [(u64::MAX - 9, u64::MAX - 9, 0, 10), (0, u64::MAX, 0, limit), (0, 0, u64::MAX - 9, 10)] {
            let first = if base == 0 && unassigned == 0 { MAX_SHOWN } else { WattHours::ZERO };
            chain.put(&Key::Meter(connector(1)), &Meter { exchanges: 1, first, base: WattHours::new(base), since: NOON });
            let (last_register, unassigned) = (WattHours::new(register), WattHours::new(unassigned));
            chain.put(&Key::Connector(connector(1)), &Connector { last_register, unassigned, ..row });
            assert_eq!(chain.rejects(MANAGER, &replace(last, 0)), Code::Overflow.into());
        }
    }

    #[test]
    fn refuses_others_and_a_suspended_gateway() {
        let mut chain = Fixture::new();
        for other in [RESIDENT, NEIGHBOUR, TREASURER, SCHEDULER, AWAY_STAFF] {
            assert_eq!(chain.rejects(other, &replace(1_000, 0)), Code::NotAllowed.into());
        }
        let nowhere = ReplaceMeter { connector: ConnectorId::new(CondominiumId(9), 1), ..replace(1_000, 0) };
        assert_eq!(chain.rejects(MANAGER, &nowhere), Code::UnknownConnector.into());
        chain.applies(GATEWAY, &replace(1_000, 0));
        let (since, session) = (Height(1), chain::id::SessionId(Hash32::ZERO));
        let suspended = Suspension { since, session, sequence: 1, evidence: TxId(Hash32::ZERO), lifted_at: None };
        chain.put(&Key::Suspension(HOME, GATEWAY), &suspended);
        assert_eq!(chain.rejects(GATEWAY, &replace(1_000, 0)), Code::RoleSuspended.into());
        // What it has proposed before counts no more.
        chain.applies(MANAGER, &replace(1_000, 0));
        assert_eq!((meter(&chain), proposal(&chain).unwrap().role), (None, Role::Manager));
    }
}
