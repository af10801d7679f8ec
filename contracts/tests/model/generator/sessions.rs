//! Sessions but their readings: what residents, schedulers and gateways might send.

use chain::{
    id::{Address, CondominiumId, ConnectorId, SessionId},
    quantity::{Amount, Currents, WattHours},
    receipt::{PauseReason, SkipReason},
    record::{Fault, Role, Service, SessionState},
    time::{Duration, Timestamp},
};
use contracts::call::{
    AttestUnassigned, Call, CancelSession, GrantCharge, OpenSession, PauseCharge, Priority, ReportFault, ResumeCharge, SettleSession,
    Skipped, StopSession, TopUpSession, Window,
};
use rand::{Rng, seq::IndexedRandom};

use super::{FAR_TARIFF, Generator, HOUR, SITES, TOKEN};
use crate::{
    ledger::{Charge, Local, Model},
    trust::MOST,
};

impl Generator {
    pub(super) fn open(&mut self, model: &Model) -> (Address, Call) {
        let site = self.site();
        let places: Vec<Local> = model.points.keys().filter(|(condominium, _)| *condominium == site).copied().collect();
        let free: Vec<Local> = places.iter().filter(|place| model.session_on(**place).is_none()).copied().collect();
        let usable = |place: &&Local| {
            let point = &model.points[*place];
            point.service == Service::InService && point.fault.is_none() && point.tariff != FAR_TARIFF
        };
        let good: Vec<Local> = free.iter().filter(usable).copied().collect();
        let place = match self.rng.random_range(0..12) {
            0 => places.choose(&mut self.rng),
            1 => free.choose(&mut self.rng),
            _ => good.choose(&mut self.rng),
        };
        let place = place.copied().unwrap_or((site, 55));
        let in_force = model.points.get(&place).and_then(|point| model.in_force((site, point.tariff))).unwrap_or(1);
        let max_spend = match self.rng.random_range(0..24) {
            0 => Amount::ZERO,
            1 => Amount::from_micro(40 * TOKEN + self.rng.random_range(0..2)),
            2..5 => self.amount(TOKEN / 4),
            5..7 => Amount::from_micro(self.rng.random_range(1..400) * 500),
            7..10 => self.amount(30),
            _ => self.amount(6 * TOKEN),
        };
        let max_duration = match self.rng.random_range(0..30) {
            0 => Duration::ZERO,
            1 | 2 => Duration::from_ms(10 * HOUR + self.rng.random_range(0..2)),
            _ => Duration::from_ms(self.rng.random_range(60_000..=10 * HOUR)),
        };
        let window = Window { from: Timestamp::from_ms(model.now), until: Timestamp::from_ms(model.now + HOUR) };
        let call = OpenSession {
            connector: ConnectorId::new(CondominiumId(place.0), place.1),
            tariff_version: if self.one_in(20) { self.rng.random_range(0..in_force + 2) } else { in_force },
            max_spend,
            max_duration,
            energy_target: self.one_in(3).then(|| WattHours::new(self.rng.random_range(0..20))),
            state_of_charge: self.one_in(3).then(|| self.rng.random_range(0..105)),
            depart_by: self.one_in(3).then(|| Timestamp::from_ms(self.rng.random())),
            window: self.one_in(40).then_some(window),
            priority: if self.one_in(40) { Priority::Surcharge { basis_points: 100 } } else { Priority::None },
        };
        (self.resident(model), Call::OpenSession(call))
    }

    /// The owner of a session, or, now and then, somebody else.
    fn owner(&mut self, model: &Model, session: SessionId) -> Address {
        let owner = model.charges.get(&session).map(|charge| charge.account);
        let other = self.one_in(15);
        owner.filter(|_| !other).unwrap_or_else(|| self.anybody())
    }

    /// The site of a session, or any.
    fn site_of(&mut self, model: &Model, session: SessionId) -> u32 {
        match model.charges.get(&session) {
            Some(charge) => charge.connector.0,
            None => self.pick(&SITES),
        }
    }

    pub(super) fn top_up(&mut self, model: &Model) -> (Address, Call) {
        let session = self.session_where(model, |charge| !charge.is_over());
        let amount = match self.rng.random_range(0..15) {
            0 => Amount::ZERO,
            1 | 2 => {
                let escrow = model.charges.get(&session).map_or(0, |charge| charge.escrow);
                Amount::from_micro(40 * TOKEN - escrow + self.rng.random_range(0..2))
            }
            3..9 => self.amount(2 * TOKEN),
            _ => Amount::from_micro(self.rng.random_range(1..400) * 500),
        };
        (self.owner(model, session), Call::TopUpSession(TopUpSession { session, amount }))
    }

    pub(super) fn cancel(&mut self, model: &Model) -> (Address, Call) {
        let session = self.session_where(model, |charge| charge.state == SessionState::Queued);
        (self.owner(model, session), Call::CancelSession(CancelSession { session }))
    }

    pub(super) fn stop(&mut self, model: &Model) -> (Address, Call) {
        let session = self.session_where(model, |charge| !charge.is_over());
        let site = self.site_of(model, session);
        let sender = if self.one_in(3) { self.staff(model, site, Role::Manager) } else { self.owner(model, session) };
        (sender, Call::StopSession(StopSession { session }))
    }

    fn current(&mut self, model: &Model, session: SessionId) -> Currents {
        let rated = model.charges.get(&session).map_or([16_000; 3], |charge| model.points[&charge.connector].rated);
        let rated = rated.map(|ma| u32::try_from(ma).expect("a rating"));
        match self.rng.random_range(0..25) {
            0 => Currents::ZERO,
            1 => Currents::from_ma([5_999, rated[1], 0]),
            2 => Currents::from_ma([rated[0] + 1, rated[1], rated[2]]),
            3..10 => Currents::from_ma(rated),
            10..15 => Currents::from_ma([rated[0], 0, 0].map(|ma| ma.max(6_000) / 6_000 * 6_000)),
            _ => Currents::from_ma(rated.map(|ma| if ma == 0 { 0 } else { self.rng.random_range(6_000..=ma) })),
        }
    }

    pub(super) fn grant(&mut self, model: &Model) -> (Address, Call) {
        let passed_over = |charge: &Charge| {
            let group = |charge: &Charge| (charge.connector.0, model.points[&charge.connector].group);
            let queued = |charge: &Charge| charge.state == SessionState::Queued;
            let ahead = |other: &Charge| queued(other) && group(other) == group(charge) && other.place < charge.place;
            queued(charge) && model.charges.values().any(ahead)
        };
        let session = match self.rng.random_range(0..4) {
            0 => self.session_where(model, |charge| charge.state == SessionState::Charging),
            1 => self.session_where(model, passed_over),
            _ => self.session_where(model, |charge| charge.state == SessionState::Queued),
        };
        let site = self.site_of(model, session);
        let sender = self.staff(model, site, Role::Scheduler);
        let waiting = model.charges.get(&session).is_some_and(|charge| charge.state == SessionState::Queued);
        let mut skipped = if waiting { model.ahead_of(session) } else { Vec::new() };
        match self.rng.random_range(0..12) {
            0 | 4..7 => drop(skipped.pop()),
            1 => skipped.push(session),
            2 => skipped.extend(skipped.first().copied()),
            3 if self.one_in(4) => skipped = vec![session; 65],
            _ => {}
        }
        let reasons = [SkipReason::NotEnoughCurrent, SkipReason::LaterDeparture, SkipReason::LowerPriority, SkipReason::UnitLost];
        let skipped = skipped.into_iter().map(|session| Skipped { session, reason: self.pick(&reasons) }).collect();
        (sender, Call::GrantCharge(GrantCharge { session, current: self.current(model, session), skipped }))
    }

    pub(super) fn pause(&mut self, model: &Model) -> (Address, Call) {
        let session = self.session_where(model, |charge| charge.state == SessionState::Charging);
        let site = self.site_of(model, session);
        let sender = self.staff(model, site, Role::Scheduler);
        let reason = self.pick(&[PauseReason::Manual, PauseReason::CheaperLater, PauseReason::LaterDeparture, PauseReason::GroupLimit]);
        (sender, Call::PauseCharge(PauseCharge { session, reason }))
    }

    pub(super) fn resume(&mut self, model: &Model) -> (Address, Call) {
        let session = self.session_where(model, |charge| charge.state == SessionState::Paused);
        let site = self.site_of(model, session);
        let sender = self.staff(model, site, Role::Scheduler);
        (sender, Call::ResumeCharge(ResumeCharge { session, current: self.current(model, session) }))
    }

    pub(super) fn fault(&mut self, model: &Model) -> (Address, Call) {
        let site = self.site();
        let sender = self.staff(model, site, Role::Gateway);
        let numbers: Vec<u32> =
            model.charges.values().filter(|charge| charge.connector.0 == site).map(|charge| charge.connector.1).collect();
        let number = if self.one_in(3) { self.rng.random_range(1..=9) } else { numbers.choose(&mut self.rng).copied().unwrap_or(1) };
        let open = model.session_on((site, number));
        let session = match self.rng.random_range(0..4) {
            0 => Some(self.session_where(model, |_| true)),
            1 => open,
            _ => None,
        };
        let faults = [Fault::OverCurrent, Fault::OverTemperature, Fault::OverTime, Fault::UnitLost, Fault::MeterFault, Fault::WeldedRelay];
        let at = match self.rng.random_range(0..6) {
            0 => model.now + model.params.drift.ms() + self.rng.random_range(0..2),
            1 => model.now - self.rng.random_range(0..HOUR),
            _ => model.now,
        };
        let connector = ConnectorId::new(CondominiumId(site), number);
        (sender, Call::ReportFault(ReportFault { connector, session, fault: self.pick(&faults), at: Timestamp::from_ms(at) }))
    }

    /// What a meter without a session might show, now and then with something wrong.
    pub(super) fn unassigned(&mut self, model: &Model) -> (Address, Call) {
        let site = self.site();
        let sender = self.staff(model, site, Role::Gateway);
        let free: Vec<u32> =
            (1..=9).filter(|number| model.points.contains_key(&(site, *number)) && model.session_on((site, *number)).is_none()).collect();
        let number = if self.one_in(6) { self.rng.random_range(1..=9) } else { free.choose(&mut self.rng).copied().unwrap_or(1) };
        let register = model.points.get(&(site, number)).map_or(0, |point| point.register);
        let (mut at, mut found) = (model.now, register + self.rng.random_range(1..3_000));
        match self.rng.random_range(0..12) {
            0 => at += model.params.drift.ms() + self.rng.random_range(0..2),
            1 => found = register.saturating_sub(self.rng.random_range(0..2)),
            2 => at -= self.rng.random_range(0..HOUR),
            3 if self.one_in(8) => found = self.pick(&[u64::MAX, MOST + 1]),
            _ => {}
        }
        let connector = ConnectorId::new(CondominiumId(site), number);
        let call = AttestUnassigned { connector, at: Timestamp::from_ms(at), register_wh: WattHours::new(found) };
        (sender, Call::AttestUnassigned(call))
    }

    pub(super) fn settle(&mut self, model: &Model) -> (Address, Call) {
        let session = self.session_where(model, Charge::is_over);
        let site = self.site_of(model, session);
        (self.staff(model, site, Role::Gateway), Call::SettleSession(SettleSession { session }))
    }
}
