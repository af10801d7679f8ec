//! Which facts of a chain make which rows.

use std::collections::BTreeMap;

use chain::{
    block::Header,
    certificate::ValidatorSet,
    codec,
    hash::Hash32,
    id::{Address, CondominiumId, ConnectorId, Height, RedemptionId, SessionId, TxId},
    quantity::{Amount, Cost, WattHours},
    receipt::{Cause, Event, Receipt, SessionReceipt},
    record::{Account, ClearingHead, Key, Payment, Roaming, Role, Session},
    state::{MemoryState, StateRead as _, prefix_end},
    time::Timestamp,
};
use contracts::genesis::Genesis;
use serde::{Serialize, de::DeserializeOwned};

use super::{Cell, Row, Table, Tables};
use crate::csv::word_of;

/// The names of condominiums.
pub type Names = BTreeMap<CondominiumId, String>;

/// Records of one table of the state that are read at once.
const SCAN: u32 = 1_000;

/// The most that a record measures.
const MAX_RECORD_BYTES: usize = 1 << 20;

/// The columns of a table, in order.
pub const fn columns(table: Table) -> &'static [&'static str] {
    match table {
        Table::Sessions => &[
            "session",
            "state",
            "account",
            "home",
            "home_name",
            "connector",
            "host",
            "host_name",
            "tariff",
            "tariff_version",
            "opened_at",
            "first_granted_at",
            "ended_at",
            "settled_at",
            "settled_in_block",
            "reason",
            "settled_by",
            "energy_wh",
            "energy_billed_wh",
            "energy_cost_micro",
            "time_cost_micro",
            "parking_cost_micro",
            "flat_cost_micro",
            "escrow_micro",
            "paid_micro",
            "refund_micro",
            "overdrawn_wh",
            "overdrawn_micro",
            "readings",
            "samples",
        ],
        Table::Sales => {
            &["event", "at", "height", "condominium", "condominium_name", "account", "amount_micro", "to_debt_micro", "sale", "redemption"]
        }
        Table::Roles => &["event", "at", "height", "condominium", "condominium_name", "role", "account", "from_height", "until_height"],
        Table::Validators => &["from_height", "set", "validator", "power", "power_of_all"],
        Table::Positions => &[
            "event",
            "at",
            "height",
            "debtor",
            "debtor_name",
            "creditor",
            "creditor_name",
            "amount_micro",
            "clearing",
            "session",
            "transaction",
        ],
        Table::Limits => &["event", "at", "height", "condominium", "condominium_name", "limit_micro"],
        Table::Statements => &[
            "event",
            "at",
            "height",
            "clearing",
            "home",
            "home_name",
            "host",
            "host_name",
            "sessions",
            "energy_wh",
            "charged_micro",
            "transfers",
            "transferred_micro",
        ],
        Table::Unassigned => &["at", "height", "connector", "condominium", "condominium_name", "energy_wh", "transaction"],
    }
}

fn text(value: impl ToString) -> Cell {
    Cell::Text(value.to_string())
}

const fn number(id: CondominiumId) -> Cell {
    Cell::Small(id.0)
}

fn amount(value: Amount) -> Cell {
    Cell::Number(value.micro())
}

fn cost(value: Cost) -> Cell {
    value.floor().map_or(Cell::Empty, amount)
}

fn some<T>(value: Option<T>, cell: impl FnOnce(T) -> Cell) -> Cell {
    value.map_or(Cell::Empty, cell)
}

/// A name of ours as the API writes it; of one with a part, both: `anomaly over_current`.
fn word<T: Serialize>(value: &T) -> Cell {
    word_of(value).map_or(Cell::Empty, Cell::Text)
}

/// Where and when an event stands.
#[derive(Clone, Copy)]
struct Moment {
    at: Timestamp,
    height: Height,
}

/// What made a position or a payment.
#[derive(Clone, Copy, Default)]
struct Origin {
    clearing: Option<u32>,
    session: Option<SessionId>,
    transaction: Option<TxId>,
}

impl Origin {
    /// Of event number `index` of a receipt. A position is posted where a session is settled, just before its bill, or by the transaction of a transfer.
    fn of(receipt: &Receipt, index: usize) -> Self {
        let transaction = match receipt.cause {
            Cause::Transaction(id) => Some(id),
            Cause::Due(_) => None,
        };
        let after = receipt.events.iter().skip(index.saturating_add(1));
        let bill = after.take_while(|event| !matches!(event, Event::PositionPosted { .. })).find_map(Event::bill);
        Self { clearing: None, session: bill.map(|bill| bill.session), transaction }
    }

    const fn at(self, clearing: u32) -> Self {
        Self { clearing: Some(clearing), session: None, ..self }
    }
}

fn zip(table: Table, cells: Vec<Cell>) -> Row {
    columns(table).iter().copied().zip(cells).collect()
}

impl Tables {
    /// Takes in how the chain begins.
    pub(in crate::audit) fn begin(&mut self, genesis: &Genesis, validators: &ValidatorSet) {
        self.names = genesis.condominiums.iter().map(|condominium| (condominium.id, condominium.name.clone())).collect();
        let moment = Moment { at: genesis.timestamp, height: Height(0) };
        for condominium in &genesis.condominiums {
            for held in &condominium.roles {
                self.role("genesis", moment, condominium.id, held.role, held.account, Some(Height(1)), None);
            }
            self.limit("genesis", moment, condominium.id, condominium.position_limit);
        }
        self.set(Height(1), validators);
    }

    /// Takes in a block that was found true, the state after it, and who decides the next.
    pub(in crate::audit) fn block(&mut self, header: &Header, receipts: &[Receipt], state: &MemoryState, next: &ValidatorSet) {
        let moment = Moment { at: header.timestamp, height: header.height };
        for receipt in receipts {
            for (index, event) in receipt.events.iter().enumerate() {
                self.event(moment, event, Origin::of(receipt, index), state);
            }
        }
        if self.validators.as_ref() != Some(next) {
            self.set(header.height.next(), next);
        }
    }

    fn event(&mut self, moment: Moment, event: &Event, origin: Origin, state: &MemoryState) {
        match event {
            Event::SessionSettled(bill) => self.settled(moment, bill, state),
            Event::TokensSold { condominium, account, amount: sold, to_debt, sale } => {
                let sale = [amount(*to_debt), Cell::Number(*sale), Cell::Empty];
                self.sale("sold", moment, Some(*condominium), *account, *sold, sale);
            }
            Event::RedemptionRequested { redemption, account, amount } => {
                self.redemption("requested", moment, *redemption, (*account, *amount), state);
            }
            Event::RedemptionPaid { redemption, account, amount } => {
                self.redemption("paid", moment, *redemption, (*account, *amount), state);
            }
            Event::RedemptionRefused { redemption, account, amount } => {
                self.redemption("refused", moment, *redemption, (*account, *amount), state);
            }
            Event::RoleGranted { condominium, role, account, from, until } => {
                self.role("granted", moment, *condominium, *role, *account, Some(*from), *until);
            }
            Event::RoleRevoked { condominium, role, account, until } => {
                self.role("revoked", moment, *condominium, *role, *account, None, Some(*until));
            }
            Event::RoleSuspended { condominium, account, .. } => {
                self.role("suspended", moment, *condominium, Role::Gateway, *account, Some(moment.height), None);
            }
            Event::SuspensionLifted { condominium, account } => {
                self.role("suspension lifted", moment, *condominium, Role::Gateway, *account, None, Some(moment.height));
            }
            Event::PositionPosted { debtor, creditor, amount } => self.position("posted", moment, [*debtor, *creditor], *amount, origin),
            Event::PaymentDue { clearing, debtor, creditor, amount } => {
                self.position("payment due", moment, [*debtor, *creditor], *amount, origin.at(*clearing));
            }
            Event::PaymentReported { clearing, debtor, creditor, amount } => {
                self.position("payment reported", moment, [*debtor, *creditor], *amount, origin.at(*clearing));
            }
            Event::PaymentReceived { clearing, debtor, creditor, amount } => {
                self.position("payment received", moment, [*debtor, *creditor], *amount, origin.at(*clearing));
            }
            Event::PaymentMissing { clearing, debtor, creditor, amount } => {
                self.position("payment missing", moment, [*debtor, *creditor], *amount, origin.at(*clearing));
            }
            Event::EnergyUnassigned { connector, energy } => self.unassigned(moment, *connector, *energy, origin),
            Event::PositionLimitSet { condominium, limit } => self.limit("set", moment, *condominium, *limit),
            Event::RoamingClosed { clearing, home, host, roaming } => {
                self.statement("closed", moment, *clearing, [*home, *host], roaming);
            }
            Event::AccountRegistered { .. }
            | Event::Transferred { .. }
            | Event::GroupPut { .. }
            | Event::ConnectorPut { .. }
            | Event::TariffPut { .. }
            | Event::SessionOpened { .. }
            | Event::SessionToppedUp { .. }
            | Event::SessionGranted { .. }
            | Event::SessionSkipped { .. }
            | Event::SessionPaused { .. }
            | Event::SessionIdle { .. }
            | Event::MandateGranted { .. }
            | Event::MandateRevoked { .. }
            | Event::CardBound { .. }
            | Event::CardReleased { .. }
            | Event::SessionMandated { .. }
            | Event::StartAsked { .. }
            | Event::MeterProposed { .. }
            | Event::MeterReplaced { .. }
            | Event::StartConfirmed { .. }
            | Event::ReadingHandled { .. }
            | Event::FaultReported { .. }
            | Event::SessionStopping { .. }
            | Event::PositionsCleared { .. } => {}
        }
    }

    /// Takes in what the last block leaves: sessions that are open, and what is owed.
    pub(in crate::audit) fn end(&mut self, state: &MemoryState, moment: (Timestamp, Height)) {
        let moment = Moment { at: moment.0, height: moment.1 };
        let sessions = Key::Session(SessionId(Hash32::ZERO)).table();
        each(state, sessions, |key, session: Session| {
            if let Ok(id) = <[u8; 32]>::try_from(key) {
                self.open(SessionId(Hash32(id)), &session, state);
            }
        });
        let positions = Key::Position(CondominiumId(0), CondominiumId(0)).table();
        each(state, positions, |key, owed: Amount| {
            if let Some((pair, _)) = pair_in(key) {
                self.position("owed in the end", moment, pair, owed, Origin::default());
            }
        });
        let payments = Key::Payment(CondominiumId(0), CondominiumId(0), 0).table();
        each(state, payments, |key, payment: Payment| {
            if let Some((pair, clearing)) = pair_in(key) {
                self.position("unpaid in the end", moment, pair, payment.amount, Origin { clearing, ..Origin::default() });
            }
        });
        let latest = Key::ClearingHead.bytes();
        let latest = state.get(&latest).ok().flatten().and_then(|value| codec::decode::<ClearingHead>(&value, MAX_RECORD_BYTES).ok());
        let running = latest.map_or(0, |head| head.latest).saturating_add(1);
        let roaming = Key::Roaming(CondominiumId(0), CondominiumId(0)).table();
        each(state, roaming, |key, counted: Roaming| {
            if let Some((pair, _)) = pair_in(key) {
                self.statement("running in the end", moment, running, pair, &counted);
            }
        });
    }

    /// Account, home, connector and host of a session.
    fn places(&self, account: Address, connector: ConnectorId, state: &MemoryState) -> [Cell; 6] {
        let (home, host) = (home(account, state), connector.condominium);
        let home_name = some(home, |home| self.name(home));
        [text(account), some(home, number), home_name, text(connector), number(host), self.name(host)]
    }

    fn settled(&mut self, moment: Moment, bill: &SessionReceipt, state: &MemoryState) {
        let mut cells = vec![text(bill.session), text("settled")];
        cells.extend(self.places(bill.account, bill.connector, state));
        cells.extend([
            text(bill.tariff),
            Cell::Small(bill.tariff_version),
            Cell::Time(bill.opened_at),
            some(bill.first_granted_at, Cell::Time),
            Cell::Time(bill.ended_at),
            Cell::Time(bill.settled_at),
            Cell::Number(moment.height.0),
            word(&bill.reason),
            word(&bill.settled_by),
            Cell::Number(bill.energy.get()),
            Cell::Number(bill.energy_billed.get()),
            cost(bill.cost.energy),
            cost(bill.cost.time),
            cost(bill.cost.parking_time),
            cost(bill.cost.flat),
            amount(bill.escrow),
            amount(bill.paid),
            amount(bill.refund),
            some(bill.overdrawn, |over| Cell::Number(over.energy.get())),
            some(bill.overdrawn, |over| amount(over.amount)),
            Cell::Number(bill.readings),
            Cell::Number(bill.samples),
        ]);
        self.row(Table::Sessions, &zip(Table::Sessions, cells));
    }

    fn open(&mut self, id: SessionId, session: &Session, state: &MemoryState) {
        let energy = session.meter.map(|meter| meter.register.saturating_sub(meter.start));
        let mut cells = vec![text(id), text("open")];
        cells.extend(self.places(session.account, session.connector, state));
        cells.extend([
            text(session.tariff),
            Cell::Small(session.tariff_version),
            Cell::Time(session.opened_at),
            some(session.first_granted_at, Cell::Time),
        ]);
        cells.extend((0..5).map(|_| Cell::Empty));
        cells.extend([
            some(energy, |energy| Cell::Number(energy.get())),
            Cell::Empty,
            cost(session.cost.energy),
            cost(session.cost.time),
            cost(session.cost.parking_time),
            cost(session.cost.flat),
            amount(session.escrow),
        ]);
        cells.extend((0..4).map(|_| Cell::Empty));
        cells.extend([some(session.meter, |meter| Cell::Number(meter.sequence)), some(session.meter, |meter| Cell::Number(meter.samples))]);
        self.row(Table::Sessions, &zip(Table::Sessions, cells));
    }

    fn sale(&mut self, event: &str, moment: Moment, at: Option<CondominiumId>, account: Address, sum: Amount, rest: [Cell; 3]) {
        let mut cells = vec![text(event), Cell::Time(moment.at), Cell::Number(moment.height.0)];
        cells.extend([some(at, number), some(at, |at| self.name(at)), text(account), amount(sum)]);
        cells.extend(rest);
        self.row(Table::Sales, &zip(Table::Sales, cells));
    }

    fn redemption(&mut self, what: &str, moment: Moment, id: RedemptionId, (account, sum): (Address, Amount), state: &MemoryState) {
        let rest = [Cell::Empty, Cell::Empty, text(id)];
        self.sale(&format!("redemption {what}"), moment, home(account, state), account, sum, rest);
    }

    #[expect(clippy::too_many_arguments, reason = "one for each column")]
    fn role(
        &mut self,
        event: &str,
        moment: Moment,
        condominium: CondominiumId,
        role: Role,
        account: Address,
        from: Option<Height>,
        until: Option<Height>,
    ) {
        let cells = vec![
            text(event),
            Cell::Time(moment.at),
            Cell::Number(moment.height.0),
            number(condominium),
            self.name(condominium),
            word(&role),
            text(account),
            some(from, |height| Cell::Number(height.0)),
            some(until, |height| Cell::Number(height.0)),
        ];
        self.row(Table::Roles, &zip(Table::Roles, cells));
    }

    fn set(&mut self, from: Height, set: &ValidatorSet) {
        let (hash, all) = (set.hash(), set.total_power());
        for member in set.members() {
            let cells = vec![Cell::Number(from.0), text(hash), text(member.address), Cell::Number(member.power), Cell::Number(all)];
            self.row(Table::Validators, &zip(Table::Validators, cells));
        }
        self.validators = Some(set.clone());
    }

    fn position(&mut self, event: &str, moment: Moment, pair: [CondominiumId; 2], sum: Amount, origin: Origin) {
        let [debtor, creditor] = pair;
        let cells = vec![
            text(event),
            Cell::Time(moment.at),
            Cell::Number(moment.height.0),
            number(debtor),
            self.name(debtor),
            number(creditor),
            self.name(creditor),
            amount(sum),
            some(origin.clearing, Cell::Small),
            some(origin.session, text),
            some(origin.transaction, text),
        ];
        self.row(Table::Positions, &zip(Table::Positions, cells));
    }

    fn limit(&mut self, event: &str, moment: Moment, of: CondominiumId, limit: Amount) {
        let cells = vec![text(event), Cell::Time(moment.at), Cell::Number(moment.height.0), number(of), self.name(of), amount(limit)];
        self.row(Table::Limits, &zip(Table::Limits, cells));
    }

    fn unassigned(&mut self, moment: Moment, connector: ConnectorId, energy: WattHours, origin: Origin) {
        let site = connector.condominium;
        let cells = vec![
            Cell::Time(moment.at),
            Cell::Number(moment.height.0),
            text(connector),
            number(site),
            self.name(site),
            Cell::Number(energy.get()),
            some(origin.transaction, text),
        ];
        self.row(Table::Unassigned, &zip(Table::Unassigned, cells));
    }

    fn statement(&mut self, event: &str, moment: Moment, clearing: u32, pair: [CondominiumId; 2], counted: &Roaming) {
        let [home, host] = pair;
        let cells = vec![
            text(event),
            Cell::Time(moment.at),
            Cell::Number(moment.height.0),
            Cell::Small(clearing),
            number(home),
            self.name(home),
            number(host),
            self.name(host),
            Cell::Number(counted.sessions),
            Cell::Number(counted.energy.get()),
            amount(counted.charged),
            Cell::Number(counted.transfers),
            amount(counted.transferred),
        ];
        self.row(Table::Statements, &zip(Table::Statements, cells));
    }

    fn name(&self, id: CondominiumId) -> Cell {
        self.names.get(&id).map_or(Cell::Empty, text)
    }
}

/// Where an account is at home.
fn home(account: Address, state: &MemoryState) -> Option<CondominiumId> {
    let record = state.get(&Key::Account(account).bytes()).ok().flatten()?;
    codec::decode::<Account>(&record, MAX_RECORD_BYTES).ok().map(|account| account.home)
}

/// Two condominiums and, where one follows, the number of a clearing: what stands behind the table's byte of a key.
fn pair_in(key: &[u8]) -> Option<([CondominiumId; 2], Option<u32>)> {
    let number = |from: usize| key.get(from..).and_then(|rest| rest.first_chunk()).map(|bytes| u32::from_be_bytes(*bytes));
    Some(([CondominiumId(number(0)?), CondominiumId(number(4)?)], number(8)))
}

/// Every record of a table of the state, with its key behind the table's byte; what does not decode has failed the audit before.
fn each<T: Serialize + DeserializeOwned>(state: &MemoryState, table: u8, mut take: impl FnMut(&[u8], T)) {
    let mut from = vec![table];
    let Some(to) = prefix_end(&[table]) else { return };
    while let Ok(page) = state.scan(&from, &to, SCAN)
        && let Some((last, _)) = page.last()
    {
        from = [last.as_slice(), &[0]].concat();
        for (key, value) in &page {
            if let (Some((_, id)), Ok(record)) = (key.split_first(), codec::decode(value, MAX_RECORD_BYTES)) {
                take(id, record);
            }
        }
    }
}
