//! Readings: what a gateway might attest, mostly where a rule begins or ends to hold.

use chain::{
    hash::Hash32,
    id::{Address, SessionId},
    quantity::{WattHours, Watts},
    record::{Role, SessionState},
    tariff::TariffDimension,
    time::Timestamp,
};
use contracts::call::{Attest, Call, Reading, ReadingFlags};
use rand::Rng;

use super::{Generator, SITES};
use crate::{
    ledger::{Charge, Model},
    prices::{self, Run},
};

impl Generator {
    pub(super) fn attest(&mut self, model: &Model) -> (Address, Call) {
        let site = self.pick(&SITES);
        let sender = self.staff(model, site, Role::Gateway);
        let mut readings = Vec::new();
        for _ in 0..self.rng.random_range(1..6) {
            let over = self.one_in(3);
            let metering = |charge: &Charge| charge.connector.0 == site && charge.granted_at.is_some();
            let stays = self.one_in(3) && model.charges.values().any(|charge| metering(charge) && charge.state == SessionState::Idle);
            let session = self.session_where(model, |charge| match (stays, over) {
                (true, _) => metering(charge) && charge.state == SessionState::Idle,
                (false, true) => metering(charge) && charge.is_over(),
                (false, false) => metering(charge),
            });
            readings.push(match model.charges.get(&session) {
                Some(charge) => self.reading(model, session, charge),
                None => Reading { session, ..self.strange_reading(model) },
            });
        }
        match self.rng.random_range(0..60) {
            0 => readings.clear(),
            1 => readings = vec![readings[0]; 257],
            _ => {}
        }
        (sender, Call::Attest(Attest { readings }))
    }

    /// What a meter might show next, often enough with something wrong.
    fn reading(&mut self, model: &Model, session: SessionId, charge: &Charge) -> Reading {
        let point = &model.points[&charge.connector];
        let granted_at = charge.granted_at.unwrap_or(model.now);
        let from = charge.meter.map_or(granted_at, |meter| meter.at);
        let mut latest = model.now;
        if let SessionState::Stopping { at, .. } = charge.state {
            latest = latest.min(at.ms() + model.params.lease.ms());
        }
        let latest = latest.max(from);
        let at = if self.one_in(2) { latest } else { self.rng.random_range(from..=latest) };
        // mA · V · ms to watt-hours, at 230 V and at most the rated current.
        let rated: u64 = point.rated.iter().sum();
        let most = u64::try_from(u128::from(rated) * 230 * u128::from(at - from) / 3_600_000_000).expect("small");
        let more = match charge.meter {
            Some(_) => self.rng.random_range(0..=most),
            None => {
                if self.one_in(3) {
                    self.rng.random_range(0..300)
                } else {
                    0
                }
            }
        };
        let register = charge.meter.map_or(point.register, |meter| meter.register);
        let mut reading = Reading {
            session,
            sequence: charge.meter.map_or(1, |meter| meter.sequence + 1),
            at: Timestamp::from_ms(at),
            register_wh: WattHours::new(register + more),
            power_w: Watts::new(self.rng.random_range(0..23_000)),
            flags: ReadingFlags(if self.one_in(8) { self.pick(&[1, 1, 2, 3]) } else { 0 }),
            samples_root: Hash32(self.rng.random()),
            sample_count: self.rng.random_range(0..70),
        };
        if charge.state == SessionState::Charging && prices::has(model.tariff_of(charge), TariffDimension::ParkingTime) && self.one_in(2) {
            reading.flags = ReadingFlags::VEHICLE_FULL;
        }
        if charge.meter.is_some() && self.one_in(6) {
            reading.register_wh = WattHours::new(register + self.energy_to_escrow(model, charge, at));
        }
        // The first and the last instants at which a reading may be taken.
        if charge.meter.is_none() && self.one_in(3) {
            reading.at = Timestamp::from_ms(granted_at - model.params.drift.ms() - self.rng.random_range(0..3));
        } else if charge.is_over() && self.one_in(if latest < model.now { 2 } else { 8 }) {
            reading.at = Timestamp::from_ms(latest + self.rng.random_range(0..2));
        }
        match self.rng.random_range(0..44) {
            0 | 20 => reading.sequence += 1,
            1 | 21 => reading.sequence -= 1,
            2 | 22 => reading.at = Timestamp::from_ms(from - 1),
            3 => reading.at = Timestamp::from_ms(model.now + model.params.drift.ms() + self.rng.random_range(0..2)),
            6 | 23 => reading.register_wh = WattHours::new(register.saturating_sub(1)),
            7 | 8 => {
                // Exactly what electricity can bring, or one watt-hour more.
                let brought = u128::from(rated) * 253 * u128::from(at.saturating_sub(granted_at)) * 105 / 360_000_000_000 + 50;
                let start = charge.meter.map_or(register, |meter| meter.start);
                reading.register_wh = WattHours::new(start + u64::try_from(brought).expect("small") + self.rng.random_range(0..2));
            }
            // A first reading may start anywhere, and nothing could follow this one.
            9 if charge.meter.is_some() => reading.register_wh = WattHours::new(u64::MAX),
            10 => reading.flags = ReadingFlags(4),
            11 => reading.session = self.session_where(model, |other| other.connector != charge.connector),
            12..16 => reading.register_wh = WattHours::new(register + most),
            16..20 => reading.register_wh = WattHours::new(register + self.energy_to_escrow(model, charge, at)),
            _ => {}
        }
        reading
    }

    /// Watt-hours to about where the escrow is spent at the present price.
    fn energy_to_escrow(&mut self, model: &Model, charge: &Charge, at: u64) -> u64 {
        let tariff = &model.tariffs[&(charge.connector.0, charge.tariff)][charge.version as usize - 1].1;
        let run = Run {
            from: at,
            to: at,
            wh: 1,
            before: charge.meter.map_or(0, |meter| meter.register - meter.start),
            begun: charge.granted_at.unwrap_or(at),
        };
        let one = u128::from(prices::cut(tariff, TariffDimension::Energy, run)[0].price) * (prices::PARTS / 1_000);
        let once = if run.before == 0 { prices::flat(tariff, run.begun) } else { 0 };
        let left = (u128::from(charge.escrow.saturating_sub(once)) * prices::PARTS).saturating_sub(charge.costs.energy + charge.costs.time);
        let wh = u64::try_from(left.checked_div(one).unwrap_or(0)).expect("an escrow's worth");
        if self.one_in(2) { wh } else { wh + self.rng.random_range(0..4) }
    }

    pub(super) fn strange_reading(&mut self, model: &Model) -> Reading {
        Reading {
            session: self.session_where(model, |_| true),
            sequence: self.rng.random_range(0..4),
            at: Timestamp::from_ms(model.now),
            register_wh: WattHours::new(self.rng.random_range(0..100_000)),
            power_w: Watts::ZERO,
            flags: ReadingFlags::NONE,
            samples_root: Hash32::ZERO,
            sample_count: 0,
        }
    }
}
