//! A seeded random walk through the calls of sessions: whatever is asked, in whatever order, the sums hold after every block, nothing is a fault, and in the
//! end everybody has his money back but for what was paid.

use std::collections::{BTreeMap, BTreeSet};

use chain::{
    id::{Address, ConnectorId, GroupId, SessionId},
    quantity::{Amount, Currents},
    receipt::{Event, PauseReason, SessionReceipt, SkipReason},
    record::{Fault, Key, Session},
    tariff::{PriceComponent, Tariff, TariffDimension},
    time::{Duration, Timestamp},
};
use rand::{Rng, SeedableRng, rngs::StdRng};

use crate::{
    call::{
        Action, Attest, CancelSession, GrantCharge, OpenSession, PauseCharge, PutGroup, Reading, ReadingFlags, ReportFault, ResumeCharge,
        SettleSession, Skipped, StopSession, TopUpSession,
    },
    failure::Failure,
    testing::{
        AWAY, AWAY_STAFF, BUILDING, Fixture, GARAGE, GATEWAY, HOME, MANAGER, METER_ONLY, NEIGHBOUR, PLAIN, POSITION_LIMIT, RESIDENT,
        SCHEDULER, VISITOR, connector, opening, simple_tariff,
    },
};

const WALKS: u64 = 40;
const STEPS: u32 = 400;

struct Walk {
    fixture: Fixture,
    random: StdRng,
    open: BTreeMap<SessionId, Session>,
    bills: Vec<SessionReceipt>,
    applied: BTreeSet<&'static str>,
}

#[test]
fn whatever_happens_the_sums_hold_and_money_that_is_locked_comes_back() {
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut applied = BTreeSet::new();
    let (mut overdrawn, mut by_chain, mut away) = (0, 0, 0);
    for walk_seed in (0..WALKS).map(|index| seed.wrapping_add(index)) {
        let mut walk = Walk::new(walk_seed);
        for _ in 0..STEPS {
            walk.step();
        }
        walk.finish();
        overdrawn += walk.bills.iter().filter(|bill| bill.overdrawn.is_some()).count();
        by_chain += walk.bills.iter().filter(|bill| bill.reason == chain::record::EndReason::GatewayLost).count();
        away += walk.bills.iter().filter(|bill| bill.account == VISITOR && !bill.paid.is_zero()).count();
        applied.append(&mut walk.applied);
    }
    println!("{overdrawn} overdrawn, {by_chain} left by the gateway, {away} paid across homes; applied: {applied:?}");
    assert_eq!(applied.len(), 11, "every kind of call takes effect in some walk: {applied:?}");
    assert!(overdrawn > 0 && by_chain > 0 && away > 0);
}

impl Walk {
    fn new(seed: u64) -> Self {
        let mut fixture = Fixture::new();
        fixture.params.max_duration = Duration::from_hours(12);
        fixture.params.due_per_block = 2;
        let mut neighbour = fixture.account(NEIGHBOUR);
        neighbour.credit_limit = Amount::from_micro(50_000_000);
        fixture.put(&Key::Account(NEIGHBOUR), &neighbour);
        fixture.put_tariff(PLAIN, 2, fixture.now.saturating_add(Duration::from_hours(6)), timed_tariff());
        Self { fixture, random: StdRng::seed_from_u64(seed), open: BTreeMap::new(), bills: Vec::new(), applied: BTreeSet::new() }
    }

    fn step(&mut self) {
        let ms = *self.pick(&[0, 1, 1_000, 60_000, 600_000, 3_600_000]);
        self.fixture.wait(Duration::from_ms(ms));
        if self.random.random_ratio(1, 3) {
            let receipts = self.fixture.meets_deadlines();
            assert!(receipts.len() <= 2);
            for receipt in receipts {
                self.note(&receipt.events);
            }
        }
        for (debtor, creditor) in [(AWAY, HOME), (HOME, AWAY)] {
            let owed = |key| self.fixture.get::<Amount>(&key).unwrap_or_default().micro();
            let most = owed(Key::Position(debtor, creditor)) + owed(Key::PendingPosition(debtor, creditor));
            let netted = most.saturating_sub(owed(Key::Position(creditor, debtor)));
            assert!(netted <= POSITION_LIMIT.micro(), "{debtor} may come to owe {creditor} {netted}");
        }
        match self.random.random_range(0..14) {
            0..=2 => self.opens(),
            3..=4 => self.grants(),
            5..=8 => self.attests(),
            _ => self.acts(),
        }
    }

    fn opens(&mut self) {
        let connector = *self.pick(&[connector(1), connector(2), connector(3), METER_ONLY, ConnectorId::new(AWAY, 1)]);
        let call = OpenSession {
            tariff_version: self.random.random_range(1..=2),
            max_spend: self.amount(),
            max_duration: Duration::from_mins(self.random.random_range(1..800)),
            ..opening(connector)
        };
        let account = *self.pick(&[RESIDENT, NEIGHBOUR, VISITOR]);
        self.run(account, &call);
    }

    fn grants(&mut self) {
        let Some(session) = self.session() else { return };
        let ahead = self.open.iter().filter(|(id, _)| **id != session && self.waits_ahead(**id, session));
        let skipped: Vec<_> = ahead.map(|(id, _)| Skipped { session: *id, reason: SkipReason::NotEnoughCurrent }).collect();
        let current = self.current();
        let account = self.staff(session, SCHEDULER);
        self.run(account, &GrantCharge { session, current, skipped });
    }

    /// Whether a session waits ahead of another in its group, judged from the records.
    fn waits_ahead(&self, other: SessionId, session: SessionId) -> bool {
        use chain::record::SessionState::Queued;
        let (one, own) = (self.fixture.session(other), self.fixture.session(session));
        let group = |session: &Session| GroupId::new(session.connector.condominium, self.fixture.connector(session.connector).group);
        one.state == Queued && own.state == Queued && group(&one) == group(&own) && one.opened_height < own.opened_height
    }

    fn attests(&mut self) {
        let Some(session) = self.session() else { return };
        let record = self.fixture.session(session);
        let row = self.fixture.connector(record.connector);
        let (mut sequence, mut register) =
            record.meter.map_or((0, row.last_register.get()), |meter| (meter.sequence, meter.register.get()));
        let mut readings = Vec::new();
        for _ in 0..self.random.random_range(1..4) {
            sequence += u64::from(self.random.random_ratio(9, 10));
            register = (register + self.random.random_range(0..6_000)).saturating_sub(u64::from(self.random.random_ratio(1, 20)));
            let flags = ReadingFlags(*self.pick(&[0, 0, 0, 0, 0, 0, 1, 2, 3, 4]));
            let at = Timestamp::from_ms(self.fixture.now.ms() + self.random.random_range(0..11_000) - 5_000);
            readings.push(Reading { flags, ..crate::testing::reading(session, sequence, at, register) });
        }
        let account = self.staff(session, GATEWAY);
        self.run(account, &Attest { readings });
    }

    fn acts(&mut self) {
        let Some(session) = self.session() else { return };
        let record = self.fixture.session(session);
        let owner = record.account;
        let (gateway, scheduler) = (self.staff(session, GATEWAY), self.staff(session, SCHEDULER));
        match self.random.random_range(0..9) {
            0 => {
                let amount = self.amount();
                self.run(owner, &TopUpSession { session, amount });
            }
            1 => self.run(owner, &CancelSession { session }),
            2 => {
                let account = *self.pick(&[owner, MANAGER, NEIGHBOUR]);
                self.run(account, &StopSession { session });
            }
            3 => self.run(scheduler, &PauseCharge { session, reason: PauseReason::Manual }),
            4 => {
                let current = self.current();
                self.run(scheduler, &ResumeCharge { session, current });
            }
            5 if self.random.random_ratio(1, 4) => {
                let fault = *self.pick(&[Fault::OverCurrent, Fault::UnitLost, Fault::MeterFault]);
                let at = self.fixture.now;
                self.run(gateway, &ReportFault { connector: record.connector, session: Some(session), fault, at });
                // A manager has looked at it.
                let repaired = chain::record::Connector { fault: None, ..self.fixture.connector(record.connector) };
                self.fixture.put(&Key::Connector(record.connector), &repaired);
            }
            6 => {
                let ma = self.random.random_range(20_000..80_000);
                let (number, parent) = *self.pick(&[(GARAGE, Some(BUILDING)), (BUILDING, None)]);
                self.run(MANAGER, &PutGroup { group: GroupId::new(HOME, number), parent, limit: Currents::from_ma([ma; 3]) });
            }
            _ => self.run(gateway, &SettleSession { session }),
        }
    }

    /// Lets every deadline pass and asks whether all is as it must be.
    fn finish(&mut self) {
        // A session has two deadlines at most from here on.
        for _ in 0..=2 * self.open.len() {
            let Some(due) = super::next_due(&self.fixture.state).expect("memory does not fail") else { break };
            self.fixture.now = due.max(self.fixture.now);
            for receipt in self.fixture.meets_deadlines() {
                self.note(&receipt.events);
            }
        }
        assert!(self.open.is_empty());
        for account in [RESIDENT, NEIGHBOUR, VISITOR] {
            let record = self.fixture.account(account);
            assert_eq!(record.held, Amount::ZERO);
            let paid: u64 = self.bills.iter().filter(|bill| bill.account == account).map(|bill| bill.paid.micro()).sum();
            assert_eq!(record.balance.micro() + paid, crate::testing::BALANCE.micro() + record.debt.micro());
        }
        assert_eq!(self.fixture.group(BUILDING).granted, Currents::ZERO);
    }

    fn run(&mut self, account: Address, call: &impl Action) {
        match self.fixture.run(account, call) {
            Ok(events) => {
                self.applied.insert(call.name());
                self.note(&events);
            }
            Err(Failure::Reject(_)) => {}
            Err(Failure::Fault(fault)) => panic!("{}: {fault}", call.name()),
        }
    }

    fn note(&mut self, events: &[Event]) {
        for event in events {
            if let Event::SessionOpened { session, .. } = event {
                self.open.insert(*session, self.fixture.session(*session));
            }
            if let Event::SessionSettled(bill) = event {
                let opened = self.open.remove(&bill.session).expect("it was open");
                check_bill(bill, &opened);
                self.bills.push(*bill);
            }
        }
    }

    fn pick<'v, T>(&mut self, values: &'v [T]) -> &'v T {
        &values[self.random.random_range(0..values.len())]
    }

    fn session(&mut self) -> Option<SessionId> {
        let ids: Vec<_> = self.open.keys().copied().collect();
        (!ids.is_empty()).then(|| *self.pick(&ids))
    }

    fn staff(&self, session: SessionId, at_home: Address) -> Address {
        if self.fixture.session(session).connector.condominium == HOME { at_home } else { AWAY_STAFF }
    }

    fn amount(&mut self) -> Amount {
        let most = *self.pick(&[10, 1_000, 1_000_000, 20_000_000]);
        Amount::from_micro(self.random.random_range(1..most))
    }

    fn current(&mut self) -> Currents {
        let ma = self.random.random_range(5_900..20_000);
        *self.pick(&[Currents::from_ma([ma; 3]), Currents::from_ma([ma, 0, 0]), Currents::from_ma([0, ma, 0])])
    }
}

/// A tariff that counts everything.
fn timed_tariff() -> Tariff {
    let mut tariff = simple_tariff(Amount::from_micro(333_333), Amount::from_micro(7));
    let price = |dimension, micro| PriceComponent { dimension, price: Amount::from_micro(micro) };
    tariff.elements[0].price_components.push(price(TariffDimension::Time, 1_000_000));
    tariff.elements[0].price_components.push(price(TariffDimension::ParkingTime, 2_000_000));
    tariff.parking_grace = Duration::from_mins(1);
    tariff
}

/// What a bill says about itself must agree, and with what its owner was shown.
fn check_bill(bill: &SessionReceipt, opened: &Session) {
    assert_eq!(
        (bill.account, bill.connector, bill.tariff, bill.tariff_version),
        (opened.account, opened.connector, opened.tariff, opened.tariff_version)
    );
    assert_eq!(bill.paid.checked_add(bill.refund), Some(bill.escrow));
    assert!(bill.escrow >= opened.escrow);
    let cost = bill.cost.total().and_then(chain::quantity::Cost::floor).expect("small");
    assert_eq!(bill.paid, cost.min(bill.escrow));
    match bill.overdrawn {
        None => assert_eq!((bill.energy, bill.paid), (bill.energy_billed, cost)),
        Some(over) => {
            assert_eq!(over.amount.checked_add(bill.escrow), Some(cost));
            assert_eq!(bill.energy_billed.checked_add(over.energy), Some(bill.energy));
        }
    }
    assert!(bill.energy.is_zero() || bill.first_granted_at.is_some());
}
