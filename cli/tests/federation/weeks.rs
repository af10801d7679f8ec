//! Weeks at one connector: random tariffs of every kind, and under each a session that is paused, topped up, full, parked, stopped or left as it comes.

use chain::{
    quantity::{Amount, Currents, WattHours, Watts},
    receipt::PauseReason,
    record::Session,
    tariff::{DayOfWeek, PriceComponent, Tariff, TariffDimension, TariffElement, TariffRestrictions},
    time::{Duration, Timestamp},
};
use contracts::{
    call::{PauseCharge, ResumeCharge, StopSession, TopUpSession},
    ledger::Ledger,
    tariff::validate,
};
use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};

use super::*;

const MINUTE: u64 = 60_000;
const SIXTEEN: Currents = Currents::from_ma([16_000, 0, 0]);

/// The chain of `sessions` sessions, as an export.
pub fn weeks(seed: u64, sessions: u32) -> Vec<u8> {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut chain = Federation::new("weeks", 1);
    chain.set_up(tariff(&mut rng), 900);
    let mut weeks = Weeks { chain, rng, now: 1_000, wh: 1_000 };
    for number in 2..sessions + 2 {
        weeks.session(number);
    }
    weeks.chain.finish().0
}

struct Weeks {
    chain: Federation,
    rng: StdRng,
    /// Milliseconds since the beginning.
    now: u64,
    /// What the meter shows.
    wh: u64,
}

impl Weeks {
    /// One block after `minutes` more, of calls that the ledger may refuse.
    fn block(&mut self, minutes: u64, calls: Vec<(bool, Call)>) {
        self.now += minutes * MINUTE + 1;
        let (staff, resident) = (self.chain.staff.clone(), self.chain.resident.clone());
        let signed: Vec<_> =
            calls.into_iter().map(|(by_staff, call)| self.chain.signed(if by_staff { &staff } else { &resident }, call)).collect();
        self.chain.block(self.now, &signed, &[]);
    }

    fn read(&self, id: SessionId) -> Option<Session> {
        Ledger::new(&self.chain.state).session(id).expect("in memory")
    }

    /// The next reading, and the session's settlement where it is the last.
    fn reading(&self, id: SessionId, flags: ReadingFlags) -> Call {
        let sequence = self.read(id).and_then(|session| session.meter).map_or(0, |meter| meter.sequence) + 1;
        Call::Attest(Attest {
            readings: vec![Reading {
                session: id,
                sequence,
                // The block's time.
                at: Timestamp::from_ms(START + self.now),
                register_wh: WattHours::new(self.wh),
                power_w: Watts::new(3_680),
                flags,
                samples_root: Hash32::ZERO,
                sample_count: 0,
            }],
        })
    }

    fn session(&mut self, number: u32) {
        let document = tariff(&mut self.rng);
        let gap = self.rng.random_range(1..700);
        let valid_from = Timestamp::from_ms(START + self.now + gap * MINUTE + 1);
        let put = PutTariff { tariff: TariffId::new(HERE, number), version: 1, valid_from, document };
        self.block(gap, vec![(true, Call::PutTariff(put)), (true, put_connector(number))]);
        let max_spend = Amount::from_micro(self.rng.random_range(50_000..6_000_000));
        let open = Call::OpenSession(OpenSession {
            connector: ConnectorId::new(HERE, 1),
            tariff_version: 1,
            max_spend,
            max_duration: Duration::from_mins(self.rng.random_range(60..900)),
            energy_target: None,
            state_of_charge: None,
            depart_by: None,
            window: None,
            priority: Priority::None,
        });
        self.now += 1;
        let resident = self.chain.resident.clone();
        let open = self.chain.signed(&resident, open);
        let session = SessionId(open.get().id().0);
        self.chain.block(self.now, &[open], &[]);
        let grant = Call::GrantCharge(GrantCharge { session, current: SIXTEEN, skipped: Vec::new() });
        self.block(1, vec![(true, grant)]);
        for _ in 0..self.rng.random_range(3..12) {
            let minutes = self.rng.random_range(0..90);
            let most = if self.read(session).is_some_and(|session| !session.granted.is_zero()) { 60 * minutes } else { 1 };
            self.wh += self.rng.random_range(0..=most);
            let calls = match self.rng.random_range(0..10) {
                0 => vec![(true, Call::PauseCharge(PauseCharge { session, reason: PauseReason::LaterDeparture }))],
                1 | 2 => vec![(true, Call::ResumeCharge(ResumeCharge { session, current: SIXTEEN }))],
                3 => vec![(false, Call::TopUpSession(TopUpSession { session, amount: Amount::from_micro(200_000) }))],
                4 => vec![(true, self.at(minutes, session, ReadingFlags::VEHICLE_FULL))],
                _ => vec![(true, self.at(minutes, session, ReadingFlags::NONE))],
            };
            self.block(minutes, calls);
        }
        if self.rng.random_bool(0.3) {
            self.block(2, vec![(false, Call::StopSession(StopSession { session }))]);
        }
        let last = self.at(1, session, ReadingFlags::VEHICLE_REMOVED);
        self.block(1, vec![(true, last), (true, Call::SettleSession(SettleSession { session }))]);
        // Whatever the gateway could not settle, the chain does within the hour.
        self.block(90, Vec::new());
    }

    /// A reading as of a block that is `minutes` away.
    fn at(&mut self, minutes: u64, session: SessionId, flags: ReadingFlags) -> Call {
        self.now += minutes * MINUTE + 1;
        let call = self.reading(session, flags);
        self.now -= minutes * MINUTE + 1;
        call
    }
}

/// A tariff that the ledger takes.
fn tariff(rng: &mut StdRng) -> Tariff {
    loop {
        let elements = (0..rng.random_range(1..4)).map(|_| element(rng)).collect();
        let price = |rng: &mut StdRng, range| rng.random_bool(0.3).then(|| Amount::from_micro(rng.random_range(range)));
        let tariff = Tariff {
            time_zone: "CET-1CEST,M3.5.0,M10.5.0/3".to_owned(),
            elements,
            min_price: price(rng, 0..1_000_000),
            max_price: price(rng, 200_000..2_500_000),
            vat_basis_points: 2_500,
            parking_grace: Duration::from_mins(rng.random_range(0..20)),
        };
        if validate(&tariff).is_ok() {
            return tariff;
        }
    }
}

fn element(rng: &mut StdRng) -> TariffElement {
    let mut price_components = Vec::new();
    for (dimension, highest) in [
        (TariffDimension::Energy, 400_000),
        (TariffDimension::Time, 300_000),
        (TariffDimension::ParkingTime, 900_000),
        (TariffDimension::Flat, 300_000),
    ] {
        if rng.random_bool(0.6) {
            price_components.push(PriceComponent { dimension, price: Amount::from_micro(rng.random_range(0..highest)) });
        }
    }
    let mut restrictions = TariffRestrictions::default();
    match rng.random_range(0..6) {
        0 => (restrictions.start_time, restrictions.end_time) = (Some(rng.random_range(0..1_440)), Some(rng.random_range(0..1_440))),
        1 => restrictions.day_of_week = vec![*[DayOfWeek::Monday, DayOfWeek::Saturday, DayOfWeek::Sunday].choose(rng).expect("three")],
        2 => restrictions.max_energy = Some(WattHours::new(rng.random_range(1..9_000))),
        3 => restrictions.min_power = Some(Watts::new(rng.random_range(1..3_680))),
        4 => restrictions.min_duration = Some(Duration::from_mins(rng.random_range(1..300))),
        _ => {}
    }
    TariffElement { price_components, restrictions }
}
