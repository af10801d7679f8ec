//! Messages of units: what they bring is judged and stored, and the answer says what may flow.
//!
//! Called by the loop, which sends the answer only after everything is on the disk.

use chain::{
    api::FoundView,
    record::{Connector, Control, Fault, SessionState},
    time::{Duration, Timestamp},
};
use firmware_core::{CardOutcome, Config, ConfigRequest, Grant, Host, Network, ProtocolError, Readings, ReadingsAnswer};

use super::{Counters, Desk, Place, books};
use crate::gateway::{
    board,
    meter::{Indexed, Metering, Present, draws, flagged_fault, over},
    sample::RawSample,
    store::{UnitMemory, Write},
    units::KnownUnit,
};

impl Desk {
    /// Judges a message with readings; gives the answer to send once everything is written.
    pub fn readings(&mut self, unit: &KnownUnit, body: &[u8], now: Timestamp, write: &mut Write) -> Result<Vec<u8>, ProtocolError> {
        let readings = Readings::parse(body, &unit.keys)?;
        if readings.sensor != unit.sensor {
            return Err(ProtocolError::SensorMismatch);
        }
        let seen = self.units.get(&unit.device).copied().unwrap_or_default();
        let admission = seen.admit_readings(&readings)?;
        let present = Present { now, settings: &self.settings, params: &self.params };
        let place = self.places.get_mut(&unit.connector).ok_or(ProtocolError::Unavailable)?;
        if admission.missing > 0 {
            tracing::warn!(device = %unit.device, missing = admission.missing, "samples of a unit were lost; the register carries the energy on");
        }
        let first = place.next_index();
        let register_before = place.newest.map(|(_, raw)| raw.sample.register_wh);
        let head = readings.head;
        let raw = |(number, sample)| RawSample { device: head.device, boot: head.boot, number, sample };
        let fresh: Vec<RawSample> = readings.samples().skip(admission.duplicates).map(raw).collect();
        let indexed: Vec<Indexed> = (first..).zip(fresh.iter().copied()).collect();
        if !fresh.is_empty() {
            write.samples(unit.connector, first, &fresh);
            place.newest = indexed.last().copied();
        }
        place.heard_at = Some(now);
        self.counters.heard(unit.connector, Some(now));
        self.units.insert(unit.device, admission.seen);

        if let Some(connector) = place.connector {
            place.note_draw(unit, &connector, &present, &self.counters);
            place.note_flow(unit, &connector, (register_before, &indexed), &present, write);
            let found = place.watch(&connector, &indexed, &present);
            // What a new meter shows counts once gateway and manager agree where it began.
            let (known_meter, other_meter) = indexed.split_at(place.exchange.follow(&connector, &indexed));
            match &mut place.open {
                Some(open) => {
                    let before = open.book.clone();
                    let mut out = Vec::new();
                    open.take(&connector, known_meter, &mut place.held, &present, &mut out);
                    open.pass_over(other_meter, &mut out);
                    if let Some((_, newest)) = other_meter.last() {
                        place.held.see(&connector, &newest.sample);
                    }
                    if let Some((fault, at)) = found.filter(|_| other_meter.is_empty()) {
                        open.fail(fault, at);
                    }
                    books::record(unit.connector, open, Some(&before), &out, write);
                }
                None => {
                    if let Some((_, newest)) = indexed.last() {
                        place.held.see(&connector, &newest.sample);
                    }
                    let flagged = indexed.last().and_then(|(_, raw)| flagged_fault(&connector, raw.sample.flags));
                    // A new meter that is spoken of may begin anywhere.
                    let seen = found.filter(|(fault, _)| *fault != Fault::MeterFault || other_meter.is_empty());
                    let found = flagged.map(|fault| (fault, now)).or(seen);
                    if let Some((fault, at)) = found {
                        board::note(&mut place.found, FoundView { fault, at, session: None });
                    }
                    place.fault = found.filter(|(fault, _)| fault.blocks_connector() && connector.fault != Some(*fault));
                }
            }
        }
        self.drawn(unit.connector, now);
        let present = Present { now, settings: &self.settings, params: &self.params };
        if let Some(place) = self.places.get_mut(&unit.connector)
            && let Some(newest) = indexed.last()
        {
            let waits = place.start.as_ref().is_some_and(|start| start.waits(now));
            place.note_idle(unit.connector, newest, waits, &present);
        }
        self.show(unit.connector);
        let lease = self.lease(unit, now);
        let held = self.places.get(&unit.connector).map(|place| place.held.clone()).unwrap_or_default();
        write.unit(unit.device, &UnitMemory { seen: admission.seen, heard_at: now, held });
        let is_new = admission.new_card.is_some();
        let card = readings.presented.map_or(CardOutcome::None, |presented| self.shown(unit, &head, &presented, is_new, now));
        let answer = ReadingsAnswer { server_time_ms: now.ms(), stored_sample: admission.seen.sample, card, reload_config: false, lease };
        Ok(answer.seal(&head, &unit.keys)?.to_vec())
    }

    /// What the unit may let through from now on: what its session may, within what its groups have room for.
    fn lease(&mut self, unit: &KnownUnit, now: Timestamp) -> Option<Grant> {
        let place = self.places.get_mut(&unit.connector)?;
        if !place.open.as_ref().zip(place.connector.as_ref()).is_some_and(|(open, connector)| open.may_flow(connector)) {
            place.is_lowered = false;
            return None;
        }
        let share = self.share(unit.connector, now);
        let present = Present { now, settings: &self.settings, params: &self.params };
        let Place { open: Some(open), connector: Some(connector), held, is_lowered, .. } = self.places.get_mut(&unit.connector)? else {
            return None;
        };
        let lower = share != Some(open.session.granted.ma());
        if lower && !*is_lowered {
            let (granted_ma, share_ma) = (open.session.granted.ma(), share.unwrap_or_default());
            tracing::warn!(
                connector = %unit.connector,
                session = %open.id,
                ?granted_ma,
                ?share_ma,
                "others may still carry what a group needs for this grant: the lease is lower until they do not"
            );
            self.counters.lowered.inc();
        }
        *is_lowered = lower;
        let lease = open.lease(connector, share?, &present)?;
        let until = now.saturating_add(Duration::from_secs(lease.seconds().into()));
        held.give(lease.limit_ma().map(u32::from), now, until);
        Some(lease)
    }

    /// Judges a request for the configuration; gives the answer to send once everything is written.
    pub fn config(&mut self, unit: &KnownUnit, message: &[u8], now: Timestamp, write: &mut Write) -> Result<Vec<u8>, ProtocolError> {
        let request = ConfigRequest::parse(message, &unit.keys)?;
        if request.sensor != unit.sensor {
            return Err(ProtocolError::SensorMismatch);
        }
        let seen = self.units.get(&unit.device).copied().unwrap_or_default().admit_config(&request)?;
        let place = self.places.get_mut(&unit.connector).ok_or(ProtocolError::Unavailable)?;
        // A unit whose connector the chain does not have can do nothing yet.
        let connector = place.connector.ok_or(ProtocolError::Unavailable)?;
        place.heard_at = Some(now);
        self.counters.heard(unit.connector, Some(now));
        write.unit(unit.device, &UnitMemory { seen, heard_at: now, held: place.held.clone() });
        self.units.insert(unit.device, seen);
        let rated = connector.rated.ma();
        let phases = rated.iter().filter(|ma| **ma > 0).count();
        let most = rated.iter().copied().max().unwrap_or_default();
        let config = Config {
            server_time_ms: now.ms(),
            transmit_period_s: self.settings.transmit_period_s,
            sample_period_s: self.settings.sample_period_s,
            mains_v: self.settings.mains_v,
            phases: u8::try_from(phases).unwrap_or(3).max(1),
            rated_ma: u16::try_from(most).unwrap_or(u16::MAX).max(1_000),
            over_limit_grace_ms: self.settings.over_limit_grace_ms,
            network: Network::Dynamic,
            server: Host::new(&self.settings.server)?,
        };
        Ok(config.seal(&request.head, &unit.keys)?.to_vec())
    }
}

impl Place {
    /// Notes what the newest sample shows beyond what may flow here, before the leases learn from it: it counts against the groups, and where no session may
    /// draw at all somebody should look.
    fn note_draw(&mut self, unit: &KnownUnit, connector: &Connector, present: &Present<'_>, counters: &Counters) {
        let Some((_, raw)) = &self.newest else { return };
        let (flowing, at) = (raw.sample.current_ma, Timestamp::from_ms(raw.sample.at_ms).min(present.now));
        let allowed = match connector.control {
            Control::Switched => self.held.limit_ma(at).unwrap_or([0; 3]),
            Control::MeterOnly => connector.rated.ma(),
        };
        self.excess = over(flowing, allowed).then(|| (flowing.map(u32::from), at.saturating_add(present.lease())));
        // Where there is no switch it is how a charge begins.
        if connector.control == Control::MeterOnly {
            return;
        }
        let in_session = self.open.as_ref().is_some_and(|open| open.session.state != SessionState::Queued);
        let unbidden = !in_session && over(flowing, [0; 3]);
        if unbidden && !self.draws_unbidden {
            tracing::warn!(connector = %unit.connector, device = %unit.device, current_ma = ?flowing, "current flows although no session was granted any");
            counters.unbidden.inc();
        }
        self.draws_unbidden = unbidden;
    }
    /// What the samples show to be wrong, and when: the newest of it.
    fn watch(&mut self, connector: &Connector, samples: &[Indexed], present: &Present<'_>) -> Option<(Fault, Timestamp)> {
        let may_draw = |open: &&Metering| open.session.state != SessionState::Queued;
        let session = self.open.as_ref().filter(may_draw).map(|open| open.id);
        let mut found = None;
        for (_, raw) in samples {
            let fault = self.monitor.see(connector, &raw.sample, session, present.settings);
            found = fault.map(|fault| (fault, Timestamp::from_ms(raw.sample.at_ms).min(present.now))).or(found);
        }
        found
    }

    /// Follows what flows at a point without a switch, and remembers what the meter showed first; the disk learns of every change.
    fn note_flow(
        &mut self,
        unit: &KnownUnit,
        connector: &Connector,
        (register_before, samples): (Option<u64>, &[Indexed]),
        present: &Present<'_>,
        write: &mut Write,
    ) {
        let before = self.memory;
        let first = samples.first().map(|(_, raw)| raw.sample.register_wh);
        self.memory.begun_wh = self.memory.begun_wh.or(register_before).or(first);
        if connector.control == Control::MeterOnly {
            let patience = Duration::from_secs(present.settings.full_after_s.into());
            for (_, raw) in samples {
                let at = Timestamp::from_ms(raw.sample.at_ms).min(present.now);
                self.memory.flow.see(draws(connector, &raw.sample, present.settings), at, patience);
            }
        }
        if self.memory != before {
            write.point(unit.connector, &self.memory);
        }
    }
}
