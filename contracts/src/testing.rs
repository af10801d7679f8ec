//! A small federation for unit tests: two condominiums, their people, groups, connectors and tariffs, and a chain of blocks with one call each.
//!
//! It writes records directly, so that a test of one call depends on no other; what it offers beside is reading the state and checking the sums that must
//! always hold. Compiled for tests alone; called by the tests in `calls/` and beside them.

use std::collections::BTreeMap;

use chain::{
    code::{Code, Rejection},
    codec,
    hash::{Context, Hash32},
    id::{Address, CardId, ChainId, CondominiumId, ConnectorId, GroupId, Height, SessionId, TariffId, TxId},
    params::Params,
    quantity::{Amount, Currents, WattHours, Watts},
    receipt::{Event, Receipt, SessionReceipt},
    record::{
        Account, Condominium, Connector, Control, Group, Key, MandateTerms, Payment, PlugSignal, Redemption, Role, RoleGrant, Service,
        Session, SessionState, Signer, SignerScope, TariffHead, TariffVersion,
    },
    state::{MemoryState, StateRead},
    tariff::{PriceComponent, Tariff, TariffDimension, TariffElement, TariffRestrictions},
    time::{Duration, Timestamp},
};

use crate::{
    call::{Action, Attest, GrantCharge, GrantMandate, OpenSession, OpenSessionByMandate, Priority, Reading, ReadingFlags},
    context::{BlockContext, CallContext},
    failure::Failure,
    ledger::{Ledger, MAX_RECORD_BYTES},
    sessions,
};

/// The condominium where almost everything happens.
pub const HOME: CondominiumId = CondominiumId(1);
/// Another one of the same federation.
pub const AWAY: CondominiumId = CondominiumId(2);

/// Lives in [`HOME`]; has [`BALANCE`].
pub const RESIDENT: Address = Address([1; 32]);
/// Lives in [`HOME`]; has [`BALANCE`].
pub const NEIGHBOUR: Address = Address([2; 32]);
/// Lives in [`AWAY`]; has [`BALANCE`].
pub const VISITOR: Address = Address([3; 32]);
/// Registered nowhere.
pub const STRANGER: Address = Address([4; 32]);
/// Manager of [`HOME`]; no tokens.
pub const MANAGER: Address = Address([10; 32]);
/// Treasurer of [`HOME`]; no tokens.
pub const TREASURER: Address = Address([11; 32]);
/// Gateway of [`HOME`]; no tokens.
pub const GATEWAY: Address = Address([12; 32]);
/// Scheduler of [`HOME`]; no tokens.
pub const SCHEDULER: Address = Address([13; 32]);
/// Receives [`HOME`]'s revenue.
pub const REVENUE: Address = Address([14; 32]);
/// Manager, treasurer, gateway and scheduler of [`AWAY`], and its revenue.
pub const AWAY_STAFF: Address = Address([20; 32]);

/// What residents, neighbours and visitors have at the beginning: 100 tokens.
pub const BALANCE: Amount = Amount::from_micro(100_000_000);
/// What one condominium may owe the other: 30 tokens.
pub const POSITION_LIMIT: Amount = Amount::from_micro(30_000_000);

/// The beginning: Monday 2026-01-05, 12:00 UTC.
pub const NOON: Timestamp = Timestamp::from_ms(1_767_614_400_000);

/// The group above all others of [`HOME`]: 80 A a phase, less what the meter-only connector reserves.
pub const BUILDING: u32 = 1;
/// A group in [`BUILDING`]: 40 A a phase; connectors 1 to 3.
pub const GARAGE: u32 = 2;
/// What a three-phase connector is rated for.
pub const THREE_PHASE: Currents = Currents::from_ma([32_000; 3]);
/// 16 A on L1.
pub const SIXTEEN: Currents = Currents::from_ma([16_000, 0, 0]);

/// Connector 4: no switch, 10 A on L1 reserved in [`BUILDING`].
pub const METER_ONLY: ConnectorId = ConnectorId::new(HOME, 4);
/// Connector 5: out of service.
pub const CLOSED: ConnectorId = ConnectorId::new(HOME, 5);

/// The tariff of most connectors: 0.25 per kWh.
pub const PLAIN: TariffId = TariffId::new(HOME, 1);
/// The tariff of connector 3: 0.30 per kWh and 1 per session.
pub const WITH_FLAT: TariffId = TariffId::new(HOME, 2);

/// The place in its block of every call that [`Fixture::run`] makes, unless a test says otherwise.
pub const INDEX: u32 = 3;

/// So many whole tokens.
pub const fn tokens(whole: u64) -> Amount {
    Amount::from_micro(whole * 1_000_000)
}

/// A connector of [`HOME`]: 1 and 2 are three-phase under [`PLAIN`] in [`GARAGE`], 3 is like them under [`WITH_FLAT`].
pub const fn connector(number: u32) -> ConnectorId {
    ConnectorId::new(HOME, number)
}

/// A tariff without restrictions: per kWh and, where not zero, per session.
pub fn simple_tariff(per_kwh: Amount, per_session: Amount) -> Tariff {
    let mut price_components = vec![PriceComponent { dimension: TariffDimension::Energy, price: per_kwh }];
    if !per_session.is_zero() {
        price_components.push(PriceComponent { dimension: TariffDimension::Flat, price: per_session });
    }
    Tariff {
        time_zone: "UTC0".to_owned(),
        elements: vec![TariffElement { price_components, restrictions: TariffRestrictions::default() }],
        min_price: None,
        max_price: None,
        vat_basis_points: 0,
        parking_grace: Duration::ZERO,
    }
}

/// An opening of `connector` with 10 tokens for 10 hours under version 1.
pub fn opening(connector: ConnectorId) -> OpenSession {
    OpenSession {
        connector,
        tariff_version: 1,
        max_spend: tokens(10),
        max_duration: Duration::from_hours(10),
        energy_target: None,
        state_of_charge: None,
        depart_by: None,
        window: None,
        priority: Priority::None,
    }
}

/// A card's binding.
pub const CARD: CardId = CardId(Hash32([0xca; 32]));

/// A mandate for all of [`HOME`]: 10 tokens a session, 15 a day, 0.30 per kWh, nothing per hour, for thirty days from [`NOON`].
pub fn mandate() -> GrantMandate {
    GrantMandate {
        condominium: HOME,
        terms: MandateTerms {
            max_per_session: tokens(10),
            max_per_day: tokens(15),
            max_price_per_kwh: Amount::from_micro(300_000),
            max_price_per_hour: Amount::ZERO,
            expires: NOON.saturating_add(Duration::from_hours(30 * 24)),
            connectors: Vec::new(),
            confirm_from: 900,
        },
    }
}

/// [`CARD`] was shown at a connector: 10 tokens for 10 hours under version 1.
pub const fn tap(connector: ConnectorId) -> OpenSessionByMandate {
    OpenSessionByMandate {
        card: CARD,
        connector,
        tariff_version: 1,
        max_spend: tokens(10),
        max_duration: Duration::from_hours(10),
        energy_target: None,
    }
}

/// The federation, and the block that its next call will be in.
#[derive(Debug)]
pub struct Fixture {
    /// What is committed.
    pub state: MemoryState,
    /// The parameters of the next block.
    pub params: Params,
    /// Its height.
    pub height: Height,
    /// Its time.
    pub now: Timestamp,
    /// The place of its call.
    pub index: u32,
}

impl Fixture {
    /// The federation as the constants of this module describe it, about to make block 1 at [`NOON`].
    pub fn new() -> Self {
        let mut fixture = Self { state: MemoryState::new(), params: Params::default(), height: Height(1), now: NOON, index: INDEX };
        let minted = Amount::from_micro(2 * BALANCE.micro());
        fixture.put_condominium(HOME, "TRO", REVENUE, minted);
        fixture.put_condominium(AWAY, "BOD", AWAY_STAFF, BALANCE);
        for (address, home, balance) in [
            (RESIDENT, HOME, BALANCE),
            (NEIGHBOUR, HOME, BALANCE),
            (VISITOR, AWAY, BALANCE),
            (MANAGER, HOME, Amount::ZERO),
            (TREASURER, HOME, Amount::ZERO),
            (GATEWAY, HOME, Amount::ZERO),
            (SCHEDULER, HOME, Amount::ZERO),
            (REVENUE, HOME, Amount::ZERO),
            (AWAY_STAFF, AWAY, Amount::ZERO),
        ] {
            let account = Account { home, balance, held: Amount::ZERO, debt: Amount::ZERO, credit_limit: Amount::ZERO };
            fixture.put(&Key::Account(address), &account);
            fixture.put(&Key::Signer(address), &Signer { account: address, scope: SignerScope::Owner, nonce: 0 });
        }
        let held = RoleGrant { from: Height(0), until: None };
        for (role, address) in
            [(Role::Manager, MANAGER), (Role::Treasurer, TREASURER), (Role::Gateway, GATEWAY), (Role::Scheduler, SCHEDULER)]
        {
            fixture.put(&Key::Role(HOME, role, address), &held);
            fixture.put(&Key::Role(AWAY, role, AWAY_STAFF), &held);
        }
        let reserved = Currents::from_ma([10_000, 0, 0]);
        let building = Group { parent: None, limit: Currents::from_ma([80_000; 3]), granted: Currents::ZERO, reserved };
        let garage =
            Group { parent: Some(BUILDING), limit: Currents::from_ma([40_000; 3]), granted: Currents::ZERO, reserved: Currents::ZERO };
        fixture.put(&Key::Group(GroupId::new(HOME, BUILDING)), &building);
        fixture.put(&Key::Group(GroupId::new(HOME, GARAGE)), &garage);
        let away_group = Group { reserved: Currents::ZERO, ..building };
        fixture.put(&Key::Group(GroupId::new(AWAY, BUILDING)), &away_group);
        let plain = Connector {
            group: GARAGE,
            control: Control::Switched,
            plug_signal: PlugSignal::Reported,
            rated: THREE_PHASE,
            tariff: PLAIN.number,
            service: Service::InService,
            fault: None,
            session: None,
            last_register: WattHours::new(1_000),
            unassigned: WattHours::ZERO,
        };
        fixture.put(&Key::Connector(connector(1)), &plain);
        fixture.put(&Key::Connector(connector(2)), &plain);
        fixture.put(&Key::Connector(connector(3)), &Connector { tariff: WITH_FLAT.number, ..plain });
        let meter_only =
            Connector { group: BUILDING, control: Control::MeterOnly, plug_signal: PlugSignal::None, rated: reserved, ..plain };
        fixture.put(&Key::Connector(METER_ONLY), &meter_only);
        fixture.put(&Key::Connector(CLOSED), &Connector { service: Service::OutOfService, ..plain });
        fixture.put(&Key::Connector(ConnectorId::new(AWAY, 1)), &Connector { group: BUILDING, ..plain });
        let price = Amount::from_micro(250_000);
        fixture.put_tariff(PLAIN, 1, Timestamp::from_ms(0), simple_tariff(price, Amount::ZERO));
        fixture.put_tariff(WITH_FLAT, 1, Timestamp::from_ms(0), simple_tariff(Amount::from_micro(300_000), tokens(1)));
        fixture.put_tariff(TariffId::new(AWAY, PLAIN.number), 1, Timestamp::from_ms(0), simple_tariff(price, Amount::ZERO));
        fixture
    }

    fn put_condominium(&mut self, id: CondominiumId, name: &str, revenue: Address, minted: Amount) {
        let condominium = Condominium {
            name: name.to_owned(),
            revenue,
            mint_cap_per_day: tokens(1_000),
            position_limit: POSITION_LIMIT,
            minted,
            redeemed: Amount::ZERO,
            next_sale: 1,
            mint_day: 0,
            minted_today: Amount::ZERO,
        };
        self.put(&Key::Condominium(id), &condominium);
    }

    /// Writes a version and makes it the newest.
    pub fn put_tariff(&mut self, id: TariffId, version: u32, valid_from: Timestamp, tariff: Tariff) {
        self.put(&Key::TariffVersion(id, version), &TariffVersion { valid_from, tariff });
        self.put(&Key::TariffHead(id), &TariffHead { latest: version });
    }

    /// Writes a record.
    pub fn put<T: serde::Serialize>(&mut self, key: &Key, record: &T) {
        self.state.put(key.bytes(), codec::encode(record).expect("a record has an encoding"));
    }

    /// Reads a record.
    pub fn get<T: serde::de::DeserializeOwned + serde::Serialize>(&self, key: &Key) -> Option<T> {
        Ledger::new(&self.state).get(key).expect("memory does not fail")
    }

    /// An account that must be there.
    pub fn account(&self, address: Address) -> Account {
        self.get(&Key::Account(address)).expect("registered")
    }

    /// A connector that must be there.
    pub fn connector(&self, id: ConnectorId) -> Connector {
        self.get(&Key::Connector(id)).expect("a connector")
    }

    /// A group of [`HOME`] that must be there.
    pub fn group(&self, number: u32) -> Group {
        self.get(&Key::Group(GroupId::new(HOME, number))).expect("a group")
    }

    /// A session that must be open.
    pub fn session(&self, id: SessionId) -> Session {
        self.get(&Key::Session(id)).expect("an open session")
    }

    /// Lets time pass before the next block.
    pub fn wait(&mut self, span: Duration) {
        self.now = self.now.saturating_add(span);
    }

    /// The next block.
    pub fn block(&self) -> BlockContext {
        BlockContext { chain_id: ChainId(Hash32::ZERO), height: self.height, timestamp: self.now, params: self.params }
    }

    /// The id of the transaction that the next [`Fixture::run`] carries.
    pub fn next_tx(&self) -> TxId {
        TxId(Context::TransactionId.hash(&[&self.height.0.to_be_bytes(), &self.index.to_be_bytes()]))
    }

    /// Makes a block of one call; where it is refused, only the height moves.
    pub fn run(&mut self, account: Address, call: &impl Action) -> Result<Vec<Event>, Failure> {
        let block = self.block();
        let context = CallContext { block: &block, index: self.index, tx_id: self.next_tx(), account, signer: account };
        self.height = self.height.next();
        call.check()?;
        let mut ledger = Ledger::new(&self.state);
        call.apply(&context, &mut ledger)?;
        let events = ledger.take_events();
        let changes = ledger.into_changes();
        self.state.apply(&changes);
        self.assert_sums();
        Ok(events)
    }

    /// Makes a block of one call that must take effect.
    pub fn applies(&mut self, account: Address, call: &impl Action) -> Vec<Event> {
        self.run(account, call).unwrap_or_else(|failure| panic!("{}: {failure}", call.name()))
    }

    /// Makes a block of one call that must be refused.
    pub fn rejects(&mut self, account: Address, call: &impl Action) -> Rejection {
        match self.run(account, call) {
            Err(Failure::Reject(rejection)) => rejection,
            Err(Failure::Fault(fault)) => panic!("{}: {fault}", call.name()),
            Ok(events) => panic!("{} took effect: {events:?}", call.name()),
        }
    }

    /// Works on what is due, in a block of its own.
    pub fn meets_deadlines(&mut self) -> Vec<Receipt> {
        let block = self.block();
        self.height = self.height.next();
        let mut ledger = Ledger::new(&self.state);
        let receipts = sessions::run_due(&mut ledger, &block).expect("deadlines are met");
        let changes = ledger.into_changes();
        self.state.apply(&changes);
        self.assert_sums();
        receipts
    }

    /// Grants a current, passing over nobody.
    pub fn grants(&mut self, session: SessionId, current: Currents) {
        self.applies(SCHEDULER, &GrantCharge { session, current, skipped: Vec::new() });
    }

    /// Opens a session of [`RESIDENT`] on a connector of [`HOME`] and grants it what the connector is rated for.
    pub fn charges(&mut self, number: u32) -> SessionId {
        let id = self.opens(RESIDENT, &opening(connector(number)));
        self.grants(id, THREE_PHASE);
        id
    }

    /// Attests one reading at the present block's time and says how it was handled.
    pub fn reads(&mut self, session: SessionId, sequence: u64, register_wh: u64) -> Option<Code> {
        let events = self.applies(GATEWAY, &Attest { readings: vec![reading(session, sequence, self.now, register_wh)] });
        outcomes(&events)[0]
    }

    /// Opens a session and gives its id.
    pub fn opens(&mut self, account: Address, call: &OpenSession) -> SessionId {
        let id = SessionId(self.next_tx().0);
        self.applies(account, call);
        id
    }

    /// The sums that hold after every block: conservation in each condominium, holds and their owners, currents and their groups, one deadline and at most
    /// one place in the queue for a session, one session for a connector.
    pub fn assert_sums(&self) {
        let accounts: Vec<(Address, Account)> = self.rows(1, |key| Address(key.try_into().expect("32 bytes")));
        let condominiums: Vec<(CondominiumId, Condominium)> = self.rows(3, |key| CondominiumId(number(key)));
        let connectors: Vec<(ConnectorId, Connector)> = self.rows(6, local);
        let sessions: BTreeMap<SessionId, Session> =
            self.rows(9, |key| SessionId(Hash32(key.try_into().expect("32 bytes")))).into_iter().collect();
        let redemptions: Vec<((), Redemption)> = self.rows(12, |_| ());
        let mut positions: Vec<((u32, u32), Amount)> = self.rows(13, |key| (number(&key[..4]), number(&key[4..])));
        let payments: Vec<((u32, u32), Payment)> = self.rows(22, |key| (number(&key[..4]), number(&key[4..8])));
        positions.extend(payments.into_iter().map(|(pair, payment)| (pair, payment.amount)));

        for (id, condominium) in &condominiums {
            let mut left = 0_i128;
            for (_, account) in accounts.iter().filter(|(_, account)| account.home == *id) {
                left += i128::from(account.balance.micro()) + i128::from(account.held.micro()) - i128::from(account.debt.micro());
            }
            let mut right = i128::from(condominium.minted.micro()) - i128::from(condominium.redeemed.micro());
            for ((debtor, creditor), amount) in &positions {
                right += if *creditor == id.0 { i128::from(amount.micro()) } else { 0 };
                right -= if *debtor == id.0 { i128::from(amount.micro()) } else { 0 };
            }
            assert_eq!(left, right, "conservation in condominium {id}");
        }
        for (address, account) in &accounts {
            let escrows = sessions.values().filter(|session| session.account == *address).map(|session| session.escrow);
            let pending = redemptions.iter().filter(|(_, row)| row.account == *address).map(|(_, row)| row.amount);
            assert_eq!(Some(account.held), Amount::sum(escrows.chain(pending)), "held by {address}");
        }
        for (id, connector) in &connectors {
            let open: Vec<SessionId> = sessions.iter().filter(|(_, session)| session.connector == *id).map(|(open, _)| *open).collect();
            assert_eq!(connector.session.into_iter().collect::<Vec<_>>(), open, "sessions of connector {id}");
        }
        let mut expected: BTreeMap<(u32, u32), Amount> = BTreeMap::new();
        for session in sessions.values() {
            let condominium: Condominium = self.get(&Key::Condominium(session.connector.condominium)).expect("a condominium");
            let (debtor, creditor) = (self.account(session.account).home, self.account(condominium.revenue).home);
            if debtor != creditor {
                let sum = expected.entry((debtor.0, creditor.0)).or_default();
                *sum = sum.checked_add(session.escrow).expect("small");
            }
        }
        let pending: Vec<((u32, u32), Amount)> = self.rows(17, |key| (number(&key[..4]), number(&key[4..])));
        assert_eq!(pending, expected.into_iter().collect::<Vec<_>>(), "escrows across homes");
        let due: Vec<(SessionId, ())> = self.rows(11, |key| SessionId(Hash32(key[8..].try_into().expect("32 bytes"))));
        assert_eq!(due.len(), sessions.len(), "one deadline for each session");
        let queue: Vec<((), SessionId)> = self.rows(10, |_| ());
        let waiting = sessions.values().filter(|session| session.state == SessionState::Queued).count();
        assert_eq!(queue.len(), waiting, "one place in the queue for each waiting session");
        for (id, session) in &sessions {
            assert!(self.get::<()>(&Key::Due(session.due, *id)).is_some(), "deadline of {id}");
            assert!(session.state == SessionState::Charging || session.granted.is_zero(), "current of {id}");
            if session.state == SessionState::Queued {
                let connector = self.connector(session.connector);
                let group = GroupId::new(session.connector.condominium, connector.group);
                assert_eq!(self.get(&Key::Queue(group, session.opened_height, session.opened_index)), Some(*id), "place of {id}");
            }
        }
        let groups: BTreeMap<GroupId, Group> = self.rows(5, local_group).into_iter().collect();
        let mut granted: BTreeMap<GroupId, Currents> = BTreeMap::new();
        for session in sessions.values() {
            let condominium = session.connector.condominium;
            let mut next = Some(self.connector(session.connector).group);
            while let Some(number) = next {
                let id = GroupId::new(condominium, number);
                let sum = granted.entry(id).or_default();
                *sum = sum.checked_add(session.granted).expect("small");
                next = groups[&id].parent;
            }
        }
        for (id, group) in &groups {
            assert_eq!(group.granted, granted.get(id).copied().unwrap_or_default(), "granted in group {id}");
            let used = group.granted.checked_add(group.reserved).expect("small");
            assert!(used.fits(group.limit), "limit of group {id}");
        }
    }

    fn rows<K, T: serde::de::DeserializeOwned + serde::Serialize>(&self, table: u8, key: impl Fn(&[u8]) -> K) -> Vec<(K, T)> {
        let rows = self.state.scan(&[table], &[table + 1], u32::MAX).expect("memory does not fail");
        rows.into_iter().map(|(bytes, value)| (key(&bytes[1..]), codec::decode(&value, MAX_RECORD_BYTES).expect("a record"))).collect()
    }
}

/// A reading without flags.
pub fn reading(session: SessionId, sequence: u64, at: Timestamp, register_wh: u64) -> Reading {
    Reading {
        session,
        sequence,
        at,
        register_wh: WattHours::new(register_wh),
        power_w: Watts::new(7_000),
        flags: ReadingFlags::NONE,
        samples_root: Hash32::ZERO,
        sample_count: 60,
    }
}

/// How the readings of these events were handled, in order: why refused, or `None`.
pub fn outcomes(events: &[Event]) -> Vec<Option<Code>> {
    events.iter().filter_map(|event| if let Event::ReadingHandled { refused, .. } = event { Some(*refused) } else { None }).collect()
}

/// The bill of the session that these events settled.
pub fn bill(events: &[Event]) -> SessionReceipt {
    let bills: Vec<_> = events.iter().filter_map(Event::bill).copied().collect();
    assert_eq!(bills.len(), 1, "one settlement among {events:?}");
    bills[0]
}

fn number(key: &[u8]) -> u32 {
    u32::from_be_bytes(key.try_into().expect("4 bytes"))
}

fn local(key: &[u8]) -> ConnectorId {
    ConnectorId::new(CondominiumId(number(&key[..4])), number(&key[4..]))
}

fn local_group(key: &[u8]) -> GroupId {
    GroupId::new(CondominiumId(number(&key[..4])), number(&key[4..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fixture_keeps_its_own_sums() {
        Fixture::new().assert_sums();
    }
}
