//! The charge monitor: what is wrong at a connector by what its meter shows, beyond what the unit says of itself; pure, without clock, chain or disk.
//!
//! # What it finds
//! - **over-temperature**: the unit is hotter than the operator wants, whatever the unit's own limit is;
//! - **over-time**: a session has drawn power for longer than the operator wants, breaks not counted;
//! - **silent meter**: power flows and the register stands still;
//! - **leaping meter**: without a session, the register has gone on by more than electricity can have brought since the sample before; in one, its readings are
//!   held against that;
//! - **welded relay**: current flows for a minute although the relay is said to be open.
//!
//! More current than allowed, what the unit flags itself and a unit that is not heard of are found where samples are judged ([`super::meter`]). It opens no relay and
//! reports nothing: the desk feeds it every sample and has what it finds end the session.

use chain::{
    id::SessionId,
    record::{Connector, Control, Fault},
    time::{Duration, Timestamp},
};
use contracts::sessions::most_energy;
use firmware_core::{Flags, Sample};

use super::meter::{draws, over};
use crate::config::GatewayConfig;

/// For how long current must flow past an open relay: a sample may be taken while it opens.
const STRAY: Duration = Duration::from_mins(1);

/// What must have flowed by its own power before a register that stands still is called silent, in Wh.
const SILENT_WH: u64 = 200;

/// Power below which a meter is not expected to count, in W: its error is larger than what it would count.
const COUNTS_FROM_W: u16 = 50;

/// W·ms in a watt-hour.
const WATT_MS_PER_WH: u64 = 3_600_000;

/// No two samples are farther apart than this for what lies between to be known, as power.
const LONGEST_GAP: Duration = Duration::from_mins(15);

/// What has been seen at a connector.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Monitor {
    /// Since when current flows past an open relay.
    stray_since: Option<Timestamp>,
    /// What has flowed since the register last moved, in W·ms.
    uncounted: u64,
    /// How long the session has drawn, and which.
    drawn: Duration,
    session: Option<SessionId>,
    /// The sample before.
    last: Option<Last>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Last {
    at: Timestamp,
    register_wh: u64,
    power_w: u16,
    draws: bool,
}

impl Monitor {
    /// What is to be seen goes on from this sample, which an earlier process has judged.
    pub fn after(sample: &Sample) -> Self {
        let Sample { at_ms, register_wh, power_w, .. } = *sample;
        let last = Last { at: Timestamp::from_ms(at_ms), register_wh, power_w, draws: false };
        Self { last: Some(last), ..Self::default() }
    }

    /// Takes in a sample; gives what is wrong by it. `session`: the one that may draw at the connector.
    pub fn see(&mut self, connector: &Connector, sample: &Sample, session: Option<SessionId>, settings: &GatewayConfig) -> Option<Fault> {
        let now = Last {
            at: Timestamp::from_ms(sample.at_ms),
            register_wh: sample.register_wh,
            power_w: sample.power_w,
            draws: draws(connector, sample, settings),
        };
        let last = self.last.replace(now);
        let leaps = session.is_none() && last.is_some_and(|last| leaps(connector, (last.at, last.register_wh), (now.at, now.register_wh)));
        let before = last.filter(|before| now.at.since(before.at) <= LONGEST_GAP);
        let passed = before.map_or(Duration::ZERO, |before| now.at.since(before.at));

        let is_silent = self.is_silent(before.as_ref(), &now, passed);
        let is_welded = self.is_welded(connector, sample, now.at);
        if self.session != session {
            (self.session, self.drawn) = (session, Duration::ZERO);
        } else if before.is_some_and(|before| before.draws) {
            self.drawn = Duration::from_ms(self.drawn.ms().saturating_add(passed.ms()));
        }
        let longest = Duration::from_hours(settings.over_time_h.into());
        let is_over_time = session.is_some() && !longest.is_zero() && now.draws && self.drawn > longest;
        let hottest_dc = i32::from(settings.over_temperature_c).saturating_mul(10);
        let is_hot = hottest_dc > 0 && sample.temperature_dc.is_some_and(|dc| i32::from(dc) > hottest_dc);
        // What may set something on fire comes first.
        let found = [
            (is_welded, Fault::WeldedRelay),
            (is_hot, Fault::OverTemperature),
            (is_silent || leaps, Fault::MeterFault),
            (is_over_time, Fault::OverTime),
        ];
        found.into_iter().find(|(is, _)| *is).map(|(_, fault)| fault)
    }

    /// Whether the register has stood still for more than its error.
    fn is_silent(&mut self, before: Option<&Last>, now: &Last, passed: Duration) -> bool {
        let power_w = before.map_or(0, |before| before.power_w.min(now.power_w));
        let stands_still = before.is_some_and(|before| before.register_wh == now.register_wh);
        if !stands_still || power_w < COUNTS_FROM_W {
            self.uncounted = 0;
            return false;
        }
        self.uncounted = self.uncounted.saturating_add(u64::from(power_w).saturating_mul(passed.ms()));
        self.uncounted >= SILENT_WH.saturating_mul(WATT_MS_PER_WH)
    }

    /// Whether current has flowed past an open relay for long enough.
    fn is_welded(&mut self, connector: &Connector, sample: &Sample, at: Timestamp) -> bool {
        let is_open = connector.control == Control::Switched && !sample.flags.has(Flags::RELAY_CLOSED) && !sample.flags.has(Flags::END);
        if !is_open || !over(sample.current_ma, [0; 3]) {
            self.stray_since = None;
            return false;
        }
        at.since(*self.stray_since.get_or_insert(at)) >= STRAY
    }
}

/// Whether a register has gone on by more than electricity can have brought in between. Nothing is known where a clock was set back.
fn leaps(connector: &Connector, (before, before_wh): (Timestamp, u64), (at, register_wh): (Timestamp, u64)) -> bool {
    let most = most_energy(connector.rated, at.since(before)).filter(|_| at >= before);
    most.is_some_and(|most| register_wh.saturating_sub(before_wh) > most.get())
}

#[cfg(test)]
mod tests {
    use chain::{
        hash::Hash32,
        quantity::{Currents, WattHours},
        record::{PlugSignal, Service},
    };

    use super::*;

    const SESSION: Option<SessionId> = Some(SessionId(Hash32([1; 32])));

    fn connector(control: Control) -> Connector {
        Connector {
            group: 1,
            control,
            plug_signal: PlugSignal::None,
            rated: Currents::from_ma([16_000, 0, 0]),
            tariff: 1,
            service: Service::InService,
            fault: None,
            session: SESSION,
            last_register: WattHours::ZERO,
            unassigned: WattHours::ZERO,
        }
    }

    /// A sample of 10 A at this minute.
    fn sample(minute: u64, register_wh: u64) -> Sample {
        Sample {
            at_ms: minute * 60_000,
            register_wh,
            power_w: 2_300,
            current_ma: [10_000, 0, 0],
            temperature_dc: Some(200),
            flags: Flags::RELAY_CLOSED,
        }
    }

    /// What is found, minute by minute, and first when.
    fn first(
        samples: impl IntoIterator<Item = (Sample, Option<SessionId>)>,
        settings: &GatewayConfig,
        control: Control,
    ) -> Option<(Fault, u64)> {
        let (mut monitor, connector) = (Monitor::default(), connector(control));
        samples
            .into_iter()
            .find_map(|(sample, session)| Some((monitor.see(&connector, &sample, session, settings)?, sample.at_ms / 60_000)))
    }

    #[test]
    fn a_good_charge_is_left_alone() {
        let day = (0..1_440).map(|minute| (sample(minute, minute * 38), SESSION));
        assert_eq!(first(day, &GatewayConfig::default(), Control::Switched), None);
        // A car that is full trickles: the register moves every half hour only.
        let trickle = (0..1_440).map(|minute| (Sample { power_w: 20, current_ma: [90, 0, 0], ..sample(minute, minute / 30) }, SESSION));
        assert_eq!(first(trickle, &GatewayConfig::default(), Control::Switched), None);
    }

    #[test]
    fn a_register_that_stands_still_while_power_flows_is_silent() {
        // 2.3 kW bring 200 Wh in six minutes.
        let frozen = (0..60).map(|minute| (sample(minute, (minute * 38).min(380)), SESSION));
        assert_eq!(first(frozen, &GatewayConfig::default(), Control::Switched), Some((Fault::MeterFault, 16)));
        // What happened while nobody was heard of is not known.
        let gaps = (0..60).map(|hour| (sample(hour * 60, 380), SESSION));
        assert_eq!(first(gaps, &GatewayConfig::default(), Control::Switched), None);
    }

    /// One message that said "10^19 Wh" at an idle connector was told to the chain as energy that had flowed.
    #[test]
    fn a_register_that_leaps_without_a_session_is_no_meters() {
        let at = |minute, register_wh| (sample(minute, register_wh), None);
        // 16 A at 253 V, a twentieth more, and 50 Wh once: 120 Wh a minute.
        let far = |wh| first([at(0, 1_000), at(1, 1_000 + wh)], &GatewayConfig::default(), Control::MeterOnly);
        assert_eq!((far(120), far(121), far(u64::MAX - 1_000)), (None, Some((Fault::MeterFault, 1)), Some((Fault::MeterFault, 1))));
        let away = first([at(0, 1_000), at(6_000, 400_000)], &GatewayConfig::default(), Control::MeterOnly);
        assert_eq!(away, None, "so much can have flowed while it was not heard of");
        let set_back = first([at(9, 1_000), at(3, 1_300)], &GatewayConfig::default(), Control::MeterOnly);
        assert_eq!(set_back, None);
        let mut monitor = Monitor::after(&sample(0, 1_000));
        let found = monitor.see(&connector(Control::MeterOnly), &sample(1, 2_000), None, &GatewayConfig::default());
        assert_eq!(found, Some(Fault::MeterFault), "over a restart too");
    }

    #[test]
    fn current_past_an_open_relay_for_a_minute_is_a_welded_relay_session_or_not() {
        let open = |minute, flags| Sample { flags, ..sample(minute, minute * 38) };
        for session in [SESSION, None] {
            let flowing = (5..10).map(|minute| (open(minute, Flags::NONE), session));
            assert_eq!(first(flowing, &GatewayConfig::default(), Control::Switched), Some((Fault::WeldedRelay, 6)));
        }
        let opening = [
            (sample(1, 38), SESSION),
            (open(2, Flags::END), SESSION),
            (Sample { current_ma: [0; 3], power_w: 0, ..open(3, Flags::NONE) }, None),
        ];
        assert_eq!(first(opening, &GatewayConfig::default(), Control::Switched), None);
        let without = (5..10).map(|minute| (open(minute, Flags::NONE), None));
        assert_eq!(first(without, &GatewayConfig::default(), Control::MeterOnly), None, "there is no relay to weld");
    }

    #[test]
    fn heat_and_time_have_the_operators_limits_and_zero_is_none() {
        let hot = |dc| [(Sample { temperature_dc: Some(dc), ..sample(1, 38) }, SESSION)];
        let settings = GatewayConfig { over_temperature_c: 60, over_time_h: 2, ..GatewayConfig::default() };
        assert_eq!(first(hot(600), &settings, Control::MeterOnly), None);
        assert_eq!(first(hot(601), &settings, Control::MeterOnly), Some((Fault::OverTemperature, 1)));

        let long = || (0..600).map(|minute| (sample(minute, minute * 38), SESSION));
        assert_eq!(first(long(), &settings, Control::Switched), Some((Fault::OverTime, 121)));
        // Breaks do not count, and each session begins anew.
        let breaks = (0..600).map(|minute| {
            let idle = Sample { power_w: 0, current_ma: [0; 3], ..sample(minute, (minute / 120 + 1) * 60 * 38) };
            (if minute % 120 < 60 { sample(minute, minute / 120 * 60 * 38 + minute % 120 * 38) } else { idle }, SESSION)
        });
        assert_eq!(first(breaks, &settings, Control::Switched), Some((Fault::OverTime, 241)));
        let changes =
            (0..600).map(|minute| (sample(minute, minute * 38), Some(SessionId(Hash32([u8::try_from(minute / 100).unwrap(); 32])))));
        assert_eq!(first(changes, &settings, Control::Switched), None);

        let never = GatewayConfig { over_temperature_c: 0, over_time_h: 0, ..settings };
        assert_eq!(first(hot(i16::MAX), &never, Control::Switched), None);
        assert_eq!(first(long(), &never, Control::Switched), None);
    }
}
