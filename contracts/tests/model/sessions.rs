//! The model's sessions: their calls, their readings, and what happens when a deadline has come.

use chain::{
    code::Code,
    id::{CondominiumId, ConnectorId, SessionId, TariffId},
    quantity::{Amount, WattHours},
    receipt::{Event, Overdrawn, SessionReceipt, Settler},
    record::{Control, EndReason, Fault, Hints, PlugSignal, Role, Service, SessionState},
    tariff::{Tariff, TariffDimension},
    time::{Duration, Timestamp},
};
use contracts::call::{
    Attest, AttestUnassigned, CancelSession, GrantCharge, OpenSession, PauseCharge, Priority, Reading, ReportFault, ResumeCharge,
    SettleSession, Skipped, StopSession, TopUpSession,
};

use super::{
    ledger::{Charge, Local, Meter, Model, Phases, Ruling, Sender, components, currents, no, not, phases},
    prices::{self, Billed, Costs, Run, Spans},
    trust::MOST,
};

/// The flags that a reading may carry.
const FULL: u32 = 1;
const REMOVED: u32 = 2;

impl Model {
    pub fn open_session(&mut self, sender: &Sender, call: &OpenSession) -> Ruling<Vec<Event>> {
        if call.max_spend.micro() == 0 || call.max_duration.ms() == 0 || call.energy_target.is_some_and(|energy| energy.get() == 0) {
            return no(Code::ZeroValue);
        }
        if let Some(percent) = call.state_of_charge.filter(|percent| *percent > 100) {
            return not(Code::OverLimit, 100, percent.into());
        }
        if call.window.is_some() || call.priority != Priority::None {
            return no(Code::NotActive);
        }
        let hints = Hints { energy_target: call.energy_target, state_of_charge: call.state_of_charge, depart_by: call.depart_by };
        self.open(sender, call.connector, call.tariff_version, (call.max_spend, call.max_duration), hints)
    }

    /// Opens a session that the sender pays, with an escrow and for a time.
    pub fn open(
        &mut self,
        sender: &Sender,
        place: ConnectorId,
        tariff_version: u32,
        (max_spend, max_duration): (Amount, Duration),
        hints: Hints,
    ) -> Ruling<Vec<Event>> {
        let connector = (place.condominium.0, place.number);
        let point = self.points.get(&connector).ok_or(Code::UnknownConnector)?.clone();
        if point.service == Service::OutOfService || point.fault.is_some() {
            return no(Code::ConnectorOutOfService);
        }
        if self.session_on(connector).is_some() {
            return no(Code::ConnectorBusy);
        }
        if max_spend > self.params.max_spend {
            return not(Code::OverLimit, self.params.max_spend.micro(), max_spend.micro());
        }
        if max_duration > self.params.max_duration {
            return not(Code::OverLimit, self.params.max_duration.ms(), max_duration.ms());
        }
        let version = self.in_force((connector.0, point.tariff)).ok_or(Code::UnknownTariff)?;
        if version != tariff_version {
            return not(Code::StaleTariff, version.into(), tariff_version.into());
        }
        self.lock(sender, connector.0, max_spend.micro())?;
        let fixed = point.control == Control::MeterOnly;
        let charge = Charge {
            account: sender.account,
            connector,
            tariff: point.tariff,
            version,
            opened_at: self.now,
            place: self.place(),
            escrow: max_spend.micro(),
            max_duration: max_duration.ms(),
            hints,
            state: if fixed { SessionState::Charging } else { SessionState::Queued },
            due: self.now + if fixed { max_duration.ms() } else { self.params.queue_deadline.ms() },
            granted_at: fixed.then_some(self.now),
            current: [0; 3],
            grant_place: self.place(),
            meter: None,
            costs: Costs::default(),
            granted: if fixed { vec![(self.now, None)] } else { Vec::new() },
            full_at: None,
            billed_at_limit: None,
            start: None,
        };
        let session = SessionId(sender.id.0);
        self.charges.insert(session, charge);
        let mut events = vec![Event::SessionOpened { session, account: sender.account, connector: place, escrow: max_spend }];
        if fixed {
            events.push(Event::SessionGranted { session, current: currents(point.rated) });
        }
        Ok(events)
    }

    /// Takes an escrow from the balance, then from the credit.
    fn lock(&mut self, sender: &Sender, site: u32, amount: u64) -> Ruling {
        let home = self.wallets.get(&sender.account).ok_or(Code::UnknownAccount)?.home;
        let revenue_home = self.wallets[&self.treasuries[&site].revenue].home;
        self.room_between(home, revenue_home, amount)?;
        let wallet = self.wallets.get_mut(&sender.account).expect("registered");
        let own = wallet.balance.min(amount);
        if u128::from(wallet.debt) + u128::from(amount - own) > u128::from(wallet.credit_limit) && amount > own {
            return not(Code::InsufficientFunds, amount, wallet.balance + (wallet.credit_limit - wallet.debt));
        }
        wallet.balance -= own;
        wallet.debt += amount - own;
        Ok(())
    }

    /// What bills a session.
    pub fn tariff_of(&self, charge: &Charge) -> &Tariff {
        &self.tariffs[&(charge.connector.0, charge.tariff)][charge.version as usize - 1].1
    }

    fn charge(&self, session: SessionId) -> Ruling<Charge> {
        self.charges.get(&session).cloned().ok_or(Code::UnknownSession.into())
    }

    pub fn top_up_session(&mut self, sender: &Sender, call: &TopUpSession) -> Ruling<Vec<Event>> {
        let amount = call.amount.micro();
        if amount == 0 {
            return no(Code::ZeroValue);
        }
        let charge = self.charge(call.session)?;
        if charge.account != sender.account {
            return no(Code::NotAllowed);
        }
        if !matches!(charge.state, SessionState::Queued | SessionState::Charging | SessionState::Paused) {
            return no(Code::WrongSessionState);
        }
        if u128::from(charge.escrow) + u128::from(amount) > u128::from(self.params.max_spend.micro()) {
            return not(Code::OverLimit, self.params.max_spend.micro(), charge.escrow.saturating_add(amount));
        }
        self.lock(sender, charge.connector.0, amount)?;
        let escrow = charge.escrow + amount;
        self.charges.get_mut(&call.session).expect("open").escrow = escrow;
        Ok(vec![Event::SessionToppedUp { session: call.session, amount: call.amount, escrow: Amount::from_micro(escrow) }])
    }

    pub fn cancel_session(&mut self, sender: &Sender, call: &CancelSession) -> Ruling<Vec<Event>> {
        let charge = self.charge(call.session)?;
        if charge.account != sender.account {
            return no(Code::NotAllowed);
        }
        if charge.state != SessionState::Queued {
            return no(Code::WrongSessionState);
        }
        Ok(self.end(call.session, EndReason::Cancelled, self.now))
    }

    pub fn stop_session(&mut self, sender: &Sender, call: &StopSession) -> Ruling<Vec<Event>> {
        let charge = self.charge(call.session)?;
        let own = charge.account == sender.account;
        if !own {
            self.only(charge.connector.0, Role::Manager, sender)?;
        }
        if charge.is_over() {
            return no(Code::WrongSessionState);
        }
        let reason = if own { EndReason::StoppedByResident } else { EndReason::StoppedByManager };
        Ok(self.end(call.session, reason, self.now))
    }

    pub fn grant_charge(&mut self, sender: &Sender, call: &GrantCharge) -> Ruling<Vec<Event>> {
        if call.skipped.len() > 64 {
            return not(Code::TooMany, 64, call.skipped.len() as u64);
        }
        let current = phases(call.current);
        if current == [0; 3] {
            return no(Code::ZeroValue);
        }
        let charge = self.charge(call.session)?;
        self.only(charge.connector.0, Role::Scheduler, sender)?;
        self.must_switch(charge.connector)?;
        if !matches!(charge.state, SessionState::Queued | SessionState::Charging) {
            return no(Code::WrongSessionState);
        }
        self.bearable(charge.connector, current)?;
        let ahead = if charge.state == SessionState::Queued { self.ahead_of(call.session) } else { Vec::new() };
        let named: Vec<SessionId> = call.skipped.iter().map(|skipped| skipped.session).collect();
        let twice = (0..named.len()).any(|place| named[..place].contains(&named[place]));
        if twice || named.iter().any(|session| !ahead.contains(session)) {
            return no(Code::InvalidSkip);
        }
        if named.len() < ahead.len() {
            return not(Code::SkipWithoutReason, ahead.len() as u64, named.len() as u64);
        }
        self.fits_above(&charge, current)?;
        let mut events: Vec<Event> =
            call.skipped.iter().map(|Skipped { session, reason }| Event::SessionSkipped { session: *session, reason: *reason }).collect();
        let now = self.now;
        let entry = self.charges.get_mut(&call.session).expect("open");
        if charge.state == SessionState::Queued {
            entry.granted_at = Some(now);
            entry.due = now + charge.max_duration;
        }
        events.push(self.give(call.session, current));
        Ok(events)
    }

    /// Sessions that wait longer in the same group.
    pub fn ahead_of(&self, session: SessionId) -> Vec<SessionId> {
        let own = &self.charges[&session];
        let group = |charge: &Charge| (charge.connector.0, self.points[&charge.connector].group);
        let waiting = self.charges.iter().filter(|(_, charge)| charge.state == SessionState::Queued && group(charge) == group(own));
        waiting.filter(|(_, charge)| charge.place < own.place).map(|(id, _)| *id).collect()
    }

    fn must_switch(&self, connector: Local) -> Ruling {
        if self.points[&connector].control == Control::MeterOnly { no(Code::MeterOnly) } else { Ok(()) }
    }

    fn bearable(&self, connector: Local, current: Phases) -> Ruling {
        let minimum = u64::from(self.params.min_current.get());
        if let Some(least) = current.iter().find(|ma| **ma > 0 && **ma < minimum) {
            return not(Code::BelowMinimumCurrent, minimum, *least);
        }
        let rated = self.points[&connector].rated;
        match (0..3).find(|phase| current[*phase] > rated[*phase]) {
            Some(phase) => not(Code::ConnectorRating, rated[phase], current[phase]),
            None => Ok(()),
        }
    }

    /// Whether a session may have a current instead of the one that it has, in its group and in all above.
    fn fits_above(&self, charge: &Charge, current: Phases) -> Ruling {
        let site = charge.connector.0;
        for group in self.path(site, Some(self.points[&charge.connector].group)) {
            let (granted, reserved) = (self.granted((site, group)), self.reserved((site, group)));
            for phase in 0..3 {
                let sum = granted[phase] + reserved[phase] + current[phase] - charge.current[phase];
                let limit = self.groups[&(site, group)].limit[phase];
                if current[phase] > charge.current[phase] && sum > limit {
                    return not(Code::GroupLimit, limit, sum);
                }
            }
        }
        Ok(())
    }

    fn give(&mut self, session: SessionId, current: Phases) -> Event {
        let place = self.place();
        let now = self.now;
        let charge = self.charges.get_mut(&session).expect("open");
        if charge.state != SessionState::Charging {
            charge.begin_grant(now);
        }
        charge.state = SessionState::Charging;
        charge.current = current;
        charge.grant_place = place;
        Event::SessionGranted { session, current: currents(current) }
    }

    pub fn pause_charge(&mut self, sender: &Sender, call: &PauseCharge) -> Ruling<Vec<Event>> {
        let charge = self.charge(call.session)?;
        self.only(charge.connector.0, Role::Scheduler, sender)?;
        self.must_switch(charge.connector)?;
        if charge.state != SessionState::Charging {
            return no(Code::WrongSessionState);
        }
        self.pause(call.session);
        Ok(vec![Event::SessionPaused { session: call.session, reason: call.reason }])
    }

    /// Takes the current from a charging session.
    pub fn pause(&mut self, session: SessionId) {
        let now = self.now;
        let charge = self.charges.get_mut(&session).expect("open");
        charge.state = SessionState::Paused;
        charge.current = [0; 3];
        charge.end_grant(now);
    }

    pub fn resume_charge(&mut self, sender: &Sender, call: &ResumeCharge) -> Ruling<Vec<Event>> {
        let current = phases(call.current);
        if current == [0; 3] {
            return no(Code::ZeroValue);
        }
        let charge = self.charge(call.session)?;
        self.only(charge.connector.0, Role::Scheduler, sender)?;
        self.must_switch(charge.connector)?;
        if charge.state != SessionState::Paused {
            return no(Code::WrongSessionState);
        }
        self.bearable(charge.connector, current)?;
        self.fits_above(&charge, current)?;
        Ok(vec![self.give(call.session, current)])
    }

    pub fn report_fault(&mut self, sender: &Sender, call: &ReportFault) -> Ruling<Vec<Event>> {
        let connector = (call.connector.condominium.0, call.connector.number);
        if !self.points.contains_key(&connector) {
            return no(Code::UnknownConnector);
        }
        self.gateway(connector.0, sender, self.session_on(connector))?;
        if call.at.ms() > self.now + self.params.drift.ms() {
            return no(Code::ReadingAhead);
        }
        let open = self.session_on(connector);
        if call.session.is_some() && call.session != open {
            return no(Code::SessionMismatch);
        }
        let closes = matches!(call.fault, Fault::MeterFault | Fault::WeldedRelay);
        if closes {
            self.points.get_mut(&connector).expect("there").fault = Some(call.fault);
        }
        let mut events = vec![Event::FaultReported { connector: call.connector, fault: call.fault, at: call.at }];
        if let Some(session) = open {
            let charge = &self.charges[&session];
            if !charge.is_over() && (closes || charge.state != SessionState::Queued) {
                let known = charge.meter.map_or(0, |meter| meter.at).max(charge.granted_at.unwrap_or(charge.opened_at));
                events.extend(self.end(session, EndReason::Anomaly(call.fault), call.at.ms().max(known)));
            }
        }
        Ok(events)
    }

    pub fn attest_unassigned(&mut self, sender: &Sender, call: &AttestUnassigned) -> Ruling<Vec<Event>> {
        let connector = (call.connector.condominium.0, call.connector.number);
        let Some(point) = self.points.get(&connector) else { return no(Code::UnknownConnector) };
        let before = point.register;
        self.gateway(connector.0, sender, None)?;
        if self.session_on(connector).is_some() {
            return no(Code::ConnectorBusy);
        }
        if call.at.ms() > self.now + self.params.drift.ms() {
            return no(Code::ReadingAhead);
        }
        let found = call.register_wh.get();
        if found < before {
            return no(Code::ReadingFalling);
        }
        if !self.is_shown(connector, found) {
            return not(Code::OverLimit, MOST, found);
        }
        if found == before {
            return no(Code::ZeroValue);
        }
        let point = self.points.get_mut(&connector).expect("there");
        point.register = found;
        point.unassigned += found - before;
        Ok(vec![Event::EnergyUnassigned { connector: call.connector, energy: WattHours::new(found - before) }])
    }

    pub fn settle_session(&mut self, sender: &Sender, call: &SettleSession) -> Ruling<Vec<Event>> {
        let charge = self.charge(call.session)?;
        self.gateway(charge.connector.0, sender, Some(call.session))?;
        let SessionState::Stopping { reason, at } = charge.state else { return no(Code::WrongSessionState) };
        Ok(self.settle(call.session, reason, at.ms(), Settler::Gateway))
    }

    /// Ends a session that is not over.
    fn end(&mut self, session: SessionId, reason: EndReason, at: u64) -> Vec<Event> {
        if self.charges[&session].state == SessionState::Queued {
            return self.settle(session, reason, at, Settler::Chain);
        }
        let settle_by = self.now + self.params.settle_grace.ms();
        let charge = self.charges.get_mut(&session).expect("open");
        assert!(!charge.is_over(), "a session ends once");
        charge.state = SessionState::Stopping { reason, at: Timestamp::from_ms(at) };
        charge.current = [0; 3];
        charge.due = settle_by;
        vec![Event::SessionStopping { session, reason, settle_by: Timestamp::from_ms(settle_by) }]
    }

    /// Pays, refunds and forgets a session.
    fn settle(&mut self, session: SessionId, reason: EndReason, ended_at: u64, settled_by: Settler) -> Vec<Event> {
        let charge = self.charges.remove(&session).expect("open");
        let revenue = self.treasuries[&charge.connector.0].revenue;
        let energy = charge.meter.map_or(0, |meter| meter.register - meter.start);
        let whole = prices::due(self.tariff_of(&charge), charge.costs, energy) / prices::PARTS;
        let paid = u64::try_from(whole.min(u128::from(charge.escrow))).expect("at most the escrow");
        let over = u64::try_from(whole - u128::from(paid)).unwrap_or(u64::MAX);
        self.credit(&charge.account, charge.escrow - paid);
        self.wallets.get_mut(&revenue).expect("registered").balance += paid;
        if charge.start.is_some() {
            self.tally_paid(&charge.account, charge.connector.0, session, paid);
        }
        let (debtor, creditor) = (self.wallets[&charge.account].home, self.wallets[&revenue].home);
        let mut events: Vec<Event> = self.post(debtor, creditor, paid).into_iter().collect();
        self.count_abroad(debtor, creditor, [u64::from(energy > 0 || paid > 0), energy, paid, 0, 0]);
        let billed = charge.billed_at_limit.unwrap_or(energy);
        let condominium = CondominiumId(charge.connector.0);
        events.push(Event::SessionSettled(SessionReceipt {
            session,
            account: charge.account,
            connector: ConnectorId::new(condominium, charge.connector.1),
            tariff: TariffId::new(condominium, charge.tariff),
            tariff_version: charge.version,
            opened_at: Timestamp::from_ms(charge.opened_at),
            first_granted_at: charge.granted_at.map(Timestamp::from_ms),
            ended_at: Timestamp::from_ms(ended_at),
            settled_at: Timestamp::from_ms(self.now),
            reason,
            settled_by,
            energy: WattHours::new(energy),
            energy_billed: WattHours::new(billed),
            cost: components(&charge),
            escrow: Amount::from_micro(charge.escrow),
            paid: Amount::from_micro(paid),
            refund: Amount::from_micro(charge.escrow - paid),
            overdrawn: (over > 0).then(|| Overdrawn { energy: WattHours::new(energy - billed), amount: Amount::from_micro(over) }),
            readings: charge.meter.map_or(0, |meter| meter.sequence),
            samples: charge.meter.map_or(0, |meter| meter.samples),
        }));
        events
    }

    /// What the chain does by itself at the end of a block.
    pub fn finish(&mut self) -> Vec<(SessionId, Vec<Event>)> {
        let mut due: Vec<(u64, SessionId)> = self.charges.iter().map(|(id, charge)| (charge.due, *id)).collect();
        due.retain(|(at, _)| *at <= self.now);
        due.sort();
        due.truncate(usize::try_from(self.params.due_per_block).expect("32 bits"));
        let mut done = Vec::new();
        for (_, session) in due {
            let events = match self.charges[&session].state {
                SessionState::Queued => self.end(session, EndReason::NeverStarted, self.now),
                SessionState::Charging | SessionState::Paused | SessionState::Idle => self.end(session, EndReason::Time, self.now),
                SessionState::Stopping { reason, at } => {
                    let reason = if reason == EndReason::Time { EndReason::GatewayLost } else { reason };
                    self.settle(session, reason, at.ms(), Settler::Chain)
                }
            };
            done.push((session, events));
        }
        done
    }

    pub fn attest(&mut self, sender: &Sender, call: &Attest) -> Ruling<Vec<Event>> {
        if call.readings.is_empty() {
            return no(Code::ZeroValue);
        }
        if call.readings.len() > 256 {
            return not(Code::TooMany, 256, call.readings.len() as u64);
        }
        let mut events = Vec::new();
        for reading in &call.readings {
            let (session, sequence) = (reading.session, reading.sequence);
            match self.judge(sender, reading) {
                Ok(()) => {
                    events.push(Event::ReadingHandled { session, sequence, refused: None });
                    events.extend(self.take(reading));
                }
                Err(rejection) => events.push(Event::ReadingHandled { session, sequence, refused: Some(rejection.code) }),
            }
        }
        Ok(events)
    }

    /// Whether a reading can be believed.
    fn judge(&self, sender: &Sender, reading: &Reading) -> Ruling {
        let charge = self.charge(reading.session)?;
        let point = &self.points[&charge.connector];
        let (at, register) = (reading.at.ms(), reading.register_wh.get());
        let drift = self.params.drift.ms();
        if !self.has(charge.connector.0, Role::Gateway, &sender.account) {
            return no(Code::ReadingNotYours);
        }
        if self.is_blamed(charge.connector.0, &sender.account) {
            return no(Code::RoleSuspended);
        }
        if reading.flags.0 > FULL + REMOVED {
            return no(Code::NotActive);
        }
        let Some(granted_at) = charge.granted_at else { return no(Code::ReadingNotMetering) };
        let last = charge.meter.map_or(0, |meter| meter.sequence);
        if reading.sequence <= last {
            return no(Code::ReadingReplay);
        }
        if reading.sequence - last > 1 {
            return no(Code::ReadingGap);
        }
        if charge.meter.is_some_and(|meter| at < meter.at) {
            return no(Code::ReadingBackwards);
        }
        if charge.meter.is_none() && at + drift < granted_at {
            return no(Code::ReadingBeforeGrant);
        }
        if at > self.now + drift {
            return no(Code::ReadingAhead);
        }
        if let SessionState::Stopping { at: stop, .. } = charge.state
            && at > stop.ms() + self.params.lease.ms()
        {
            return no(Code::ReadingAfterStop);
        }
        if register < charge.meter.map_or(point.register, |meter| meter.register) {
            return no(Code::ReadingFalling);
        }
        let energy = register - charge.meter.map_or(register, |meter| meter.start);
        // In mA · V · ms hundredths: 3.6 · 10⁹ of the first three are a watt-hour.
        let rated: u64 = point.rated.iter().sum();
        let most = u128::from(rated) * 253 * u128::from(at.saturating_sub(granted_at)) * 105 + 50 * 360_000_000_000;
        let begins_beyond = charge.meter.is_none() && !self.is_shown(charge.connector, register);
        if begins_beyond || u128::from(energy) * 360_000_000_000 > most { no(Code::ReadingImpossible) } else { Ok(()) }
    }

    /// Bills a reading that is believed.
    fn take(&mut self, reading: &Reading) -> Vec<Event> {
        let mut events = Vec::new();
        let session = reading.session;
        let mut charge = self.charges[&session].clone();
        let (at, register) = (reading.at.ms(), reading.register_wh.get());
        let point = self.points.get_mut(&charge.connector).expect("there");
        if charge.meter.is_none() && register > point.register {
            let energy = register - point.register;
            point.unassigned += energy;
            let connector = ConnectorId::new(CondominiumId(charge.connector.0), charge.connector.1);
            events.push(Event::EnergyUnassigned { connector, energy: WattHours::new(energy) });
        }
        point.register = register;
        let before = charge.meter.unwrap_or(Meter { start: register, sequence: 0, at, register, power: 0, samples: 0 });
        let tariff = self.tariffs[&(charge.connector.0, charge.tariff)][charge.version as usize - 1].1.clone();
        let (metered, wh) = (before.register - before.start, register - before.register);
        let begun = charge.granted_at.expect("it meters");
        if metered == 0 && wh > 0 {
            charge.costs.flat = u128::from(prices::flat(&tariff, begun)) * prices::PARTS;
        }
        let mut over_at = begun + charge.max_duration;
        if let SessionState::Stopping { at, .. } = charge.state {
            over_at = over_at.min(at.ms());
        }
        let spans = Spans { granted: charge.granted.clone(), full_at: charge.full_at, over_at };
        let billed = Billed::new(&tariff, Run { from: before.at, to: at, wh, before: metered, begun }, &spans);
        let (spent, added) = (charge.costs, billed.costs());
        charge.costs.energy += added.energy;
        charge.costs.time += added.time;
        charge.costs.parking += added.parking;
        charge.granted.retain(|(_, until)| until.is_none_or(|until| until > at));
        charge.meter = Some(Meter {
            sequence: reading.sequence,
            at,
            register,
            power: reading.power_w.get(),
            samples: before.samples + u64::from(reading.sample_count),
            ..before
        });
        let due = prices::due(&tariff, charge.costs, metered + wh);
        // The bill is rounded down, so the escrow stretches to one part below the next micro-token.
        let limit = u128::from(charge.escrow) * prices::PARTS + prices::PARTS - 1;
        if due > limit && charge.billed_at_limit.is_none() {
            charge.billed_at_limit = Some(metered + billed.paid_energy(&tariff, spent, limit));
        }
        // What can cost no more than the escrow is never ended by it.
        let covered = tariff.max_price.is_some_and(|most| most.micro() <= charge.escrow);
        let spent = due >= u128::from(charge.escrow) * prices::PARTS && !covered;
        let over = charge.is_over();
        let full = reading.flags.0 & FULL != 0;
        let removed = reading.flags.0 & REMOVED != 0;
        let point = &self.points[&charge.connector];
        let parks = point.plug_signal == PlugSignal::Reported && prices::has(&tariff, TariffDimension::ParkingTime);
        let reason = match (spent, full, removed) {
            (true, _, _) => Some(EndReason::Money),
            (false, _, true) if charge.full_at.is_some() => Some(EndReason::VehicleFull),
            (false, true, true) => Some(EndReason::VehicleFull),
            (false, true, false) if !parks => Some(EndReason::VehicleFull),
            (false, false, true) => Some(EndReason::VehicleRemoved),
            (false, _, false) => None,
        };
        if !over && !spent && full && !removed && parks && charge.full_at.is_none() {
            charge.full_at = Some(at);
            charge.state = SessionState::Idle;
            charge.current = [0; 3];
            events.push(Event::SessionIdle { session, since: reading.at });
        }
        self.charges.insert(session, charge);
        if !over {
            events.extend(reason.into_iter().flat_map(|reason| self.end(session, reason, at)));
        }
        events
    }
}
