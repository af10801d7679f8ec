//! When a charge is over, by what the vehicle does and by what time says.
//!
//! A vehicle is **full** when it takes no power although it could and its plug is in; it is **removed** when the plug goes before that. Where the plug is not
//! reported, power that falls to nothing from more than half of its peak means removed, from less (a taper) full. Where the tariff counts parking and the
//! plug is reported, a full vehicle stays: its session goes on, without current, until the plug is gone. **Money** is seen where samples become
//! readings: the cost has reached the escrow. **Time** and **stop** come from the chain, **anomalies** from `faults`.
//!
//! A session that the chain has stopped is finished once nothing more can come: its relay is open by the unit's own word, or no lease was ever given, or the
//! last lease is over and the unit had its time for a last word.

use chain::{
    record::{Connector, Control, Fault, PlugSignal, SessionState},
    time::{Duration, Timestamp},
};
use contracts::call::ReadingFlags;
use firmware_core::{Flags, Sample};

use super::{Metering, Present};
use crate::{
    config::GatewayConfig,
    gateway::{
        sample::RawSample,
        store::{DecidedReading, Ending},
    },
};

/// How much longer than a lease the gateway waits for a unit's last word after a stop.
pub(in crate::gateway) const LAST_WORD: Duration = Duration::from_secs(30);

/// Whether a vehicle draws power in a sample. Where there is no switch a charger's own few watts flow always: power counts from a threshold on.
pub(in crate::gateway) fn draws(connector: &Connector, sample: &Sample, settings: &GatewayConfig) -> bool {
    match connector.control {
        Control::Switched => sample.power_w > 0,
        Control::MeterOnly => sample.power_w > settings.charging_above_w,
    }
}

impl Metering {
    /// Whether the vehicle is full or gone, as flags of the reading that says so.
    pub(super) fn vehicle_end(&mut self, connector: &Connector, raw: &RawSample, at: Timestamp, present: &Present<'_>) -> ReadingFlags {
        if self.is_parked() {
            return if raw.sample.flags.has(Flags::PLUG_PRESENT) { ReadingFlags::NONE } else { ReadingFlags::VEHICLE_REMOVED };
        }
        let parks = self.parks(connector);
        let charging = self.session.state == SessionState::Charging;
        if !charging && self.session.state != SessionState::Paused {
            return ReadingFlags::NONE;
        }
        let sample = &raw.sample;
        let could = charging && (connector.control == Control::MeterOnly || sample.flags.has(Flags::RELAY_CLOSED));
        let begun_at = self.session.first_granted_at.unwrap_or(at);
        let plug = sample.flags.has(Flags::PLUG_PRESENT);
        let draws = draws(connector, sample, present.settings);
        let register = self.register_of(raw);
        let vehicle = &mut self.book.vehicle;
        let has_counted = connector.control == Control::Switched && self.book.start.is_some_and(|start| register > start);
        vehicle.charged |= draws || has_counted;
        let (last_w, peak_w) = (vehicle.last_w, vehicle.peak_w.max(sample.power_w));
        vehicle.peak_w = peak_w;
        if draws {
            vehicle.last_w = sample.power_w;
            vehicle.zero_since = None;
        }
        let signalled = connector.plug_signal == PlugSignal::Reported;
        if signalled && !plug {
            if !vehicle.plugged {
                let patience = Duration::from_secs(present.settings.unplugged_after_s.into());
                let never_came = !patience.is_zero() && at.since(begun_at) >= patience;
                return if never_came { ReadingFlags::VEHICLE_REMOVED } else { ReadingFlags::NONE };
            }
            // It took nothing with the plug in and then left: it was full.
            return match vehicle.zero_since {
                Some(_) if parks => ReadingFlags(ReadingFlags::VEHICLE_FULL.0 | ReadingFlags::VEHICLE_REMOVED.0),
                Some(_) => ReadingFlags::VEHICLE_FULL,
                None => ReadingFlags::VEHICLE_REMOVED,
            };
        }
        vehicle.plugged |= plug;
        if draws || !vehicle.charged || !could {
            if !could {
                vehicle.zero_since = None;
            }
            return ReadingFlags::NONE;
        }
        let since = *vehicle.zero_since.get_or_insert(at);
        if at.since(since) < Duration::from_secs(present.settings.full_after_s.into()) {
            return ReadingFlags::NONE;
        }
        let tapered = u32::from(last_w) * 2 <= u32::from(peak_w);
        if signalled || tapered { ReadingFlags::VEHICLE_FULL } else { ReadingFlags::VEHICLE_REMOVED }
    }

    /// Whether the chain takes no reading of this time any more, because the session was stopped long before it.
    pub(super) fn is_too_late(&self, at: Timestamp, present: &Present<'_>) -> bool {
        match self.session.state {
            SessionState::Stopping { at: stopped_at, .. } => at > stopped_at.saturating_add(present.params.lease),
            SessionState::Queued | SessionState::Charging | SessionState::Paused | SessionState::Idle => false,
        }
    }

    /// The last reading of a session that the chain has stopped: what was metered until the relay opened.
    pub(super) fn finish(&mut self, out: &mut Vec<DecidedReading>) {
        if !self.book.finished {
            self.read_rest(out);
            self.book.finished = true;
        }
    }

    /// What time has decided: a unit that is silent, a last word that did not come.
    pub fn tick(&mut self, heard_at: Option<Timestamp>, present: &Present<'_>, out: &mut Vec<DecidedReading>) {
        if self.silent_from(heard_at, present).is_some_and(|at| at <= present.now) {
            self.fail(Fault::UnitLost, present.now);
        }
        if self.last_word_by(present).is_some_and(|at| at <= present.now) {
            self.finish(out);
        }
        if self.wait_until.is_some_and(|at| at <= present.now) {
            self.wait_until = None;
        }
    }

    /// When [`Metering::tick`] has something to do next.
    pub fn next_timer(&self, heard_at: Option<Timestamp>, present: &Present<'_>) -> Option<Timestamp> {
        let timers = [self.silent_from(heard_at, present), self.last_word_by(present), self.wait_until];
        timers.into_iter().flatten().min()
    }

    fn silent_from(&self, heard_at: Option<Timestamp>, present: &Present<'_>) -> Option<Timestamp> {
        let leases = present.settings.lost_after_leases;
        if leases == 0 || self.session.state != SessionState::Charging || self.book.ending != Ending::None || self.book.finished {
            return None;
        }
        let since = heard_at.max(self.session.first_granted_at)?;
        Some(since.saturating_add(Duration::from_ms(present.lease().ms().saturating_mul(leases.into()))))
    }

    fn last_word_by(&self, present: &Present<'_>) -> Option<Timestamp> {
        match self.session.state {
            SessionState::Stopping { at, .. } if !self.book.finished => {
                Some(at.saturating_add(present.params.lease).saturating_add(LAST_WORD))
            }
            SessionState::Stopping { .. } | SessionState::Queued | SessionState::Charging | SessionState::Paused | SessionState::Idle => {
                None
            }
        }
    }
}
