//! A real `wattd` with one connector, whose clock is the unit's: the whole way from the clamp to the receipt.
//!
//! The node's stepped clock follows emulated time: it is moved to the moment of each exchange before, through everything that is due in between, and stands still
//! otherwise. Residents and officers act through the API like everyone.

use std::{cell::RefCell, io, net::SocketAddr, path::PathBuf, rc::Rc};

use anyhow::Context as _;
use chain::{
    card_order::{CardAction, CardOrder},
    hash::Hash32,
    id::{CardId, ChainId, ConnectorId, GroupId, Height, SessionId, TariffId},
    quantity::{Amount, Currents},
    receipt::{Event, SessionReceipt},
    record::{Control, MandateTerms, PlugSignal},
    time::{Duration, Timestamp},
};
use contracts::call::{BindCard, Call, GrantMandate, OpenSession, Priority, PutConnector, PutGroup, PutTariff, SellTokens, StopSession};
use testnet::{
    drive::note_committed,
    federation::{self, GatewayPlan, Place, Plan, Policy, Staff, Time, UnitLine},
    provision::{CONDOMINIUM, connector, one_price, test_params},
    resident::{Lines, Resident},
};
use tokio::runtime::Runtime;

use crate::{
    modem::{Uplink, over_tcp},
    unit::{DEVICE, KEY},
};

/// Friday, 16 January 2026, 16:00 UTC, ms: when the node is founded.
const FOUNDED_MS: u64 = 1_768_579_200_000;
const MINUTE_MS: u64 = 60_000;

/// What the connector may give on its one phase, mA.
const RATED_MA: u32 = 16_000;

/// What is sold to the resident.
pub const BOUGHT: Amount = Amount::from_micro(20_000_000);

/// A price of a kWh.
pub const PRICE: Amount = Amount::from_micro(250_000);

/// The `wattd` to run: in `WATTD`, or where the main workspace builds it.
fn program() -> PathBuf {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/debug/wattd");
    std::env::var_os("WATTD").map_or_else(|| PathBuf::from(default), PathBuf::from)
}

/// The node, its staff and its resident.
#[derive(Debug)]
pub struct Federation {
    runtime: Runtime,
    lines: Lines,
    resident: Resident,
    manager: Resident,
    gateway: SocketAddr,
    /// The chain's time at which the unit's power comes.
    base_ms: u64,
    now_ms: u64,
    height: Height,
    events: Vec<Event>,
    // Last: the node runs in it.
    _folder: Place,
}

/// A federation that its modem and its scenario share.
pub type Shared = Rc<RefCell<Federation>>;

impl Federation {
    /// Founds a node with one connector of 16 A for a unit with this number on its switches, which tells of its plug or not.
    ///
    /// # Errors
    /// Where the node does not start, or refuses its own manager.
    pub fn found(sensor: u8, plug_signal: PlugSignal) -> anyhow::Result<Shared> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let federation = runtime.block_on(async {
            let folder = Place::new(None)?;
            let unit = UnitLine { device: DEVICE.to_string(), sensor, connector: "1-1".to_owned(), key: hex::encode(KEY) };
            let plan = Plan {
                name: "garage".to_owned(),
                params: test_params(Duration::from_hours(2), Duration::from_mins(2)),
                time: Time::Stepped { start_ms: FOUNDED_MS },
                staff: Staff::Node {
                    policy: Policy::Fcfs,
                    gateway: GatewayPlan { lease_s: 90, transmit_period_s: 30, sample_period_s: 30, attest_every_s: 120 },
                },
                units: vec![unit],
            };
            let nodes = federation::found(folder.path(), program(), &[plan], None).await?;
            let node = nodes.first().context("a plan makes a node")?;
            let chain = node.chain_id()?;
            let gateway = node.gateway_url().trim_start_matches("http://").parse().context("the gateway's address")?;
            let (manager, treasurer) = (node.key("manager")?, node.key("treasurer")?);
            let mut lines = Lines::new(nodes)?;
            let (manager, treasurer) = (Resident::with_key(manager, chain), Resident::with_key(treasurer, chain));
            let resident = Resident::new(&[0x11; 32], chain);
            let put = PutConnector {
                control: Control::Switched,
                plug_signal,
                rated: Currents::from_ma([RATED_MA, 0, 0]),
                ..connector(ConnectorId::new(CONDOMINIUM, 1), 1)
            };
            let valid_from = Timestamp::from_ms(FOUNDED_MS + MINUTE_MS);
            let calls = [
                Call::PutTariff(PutTariff { tariff: TariffId::new(CONDOMINIUM, 1), version: 1, valid_from, document: one_price(PRICE) }),
                Call::PutGroup(PutGroup { group: GroupId::new(CONDOMINIUM, 1), parent: None, limit: Currents::from_ma([40_000; 3]) }),
                Call::PutConnector(put),
            ];
            act(&mut lines, &manager, FOUNDED_MS, calls).await?;
            let payment = Hash32([7; 32]);
            let account = resident.address();
            let sale = SellTokens { condominium: CONDOMINIUM, account, amount: BOUGHT, sale: 1, payment };
            let base_ms = FOUNDED_MS + 2 * MINUTE_MS;
            act(&mut lines, &treasurer, base_ms, [Call::SellTokens(sale)]).await?;
            let height = lines.advance(base_ms).await?.height;
            anyhow::Ok((lines, resident, manager, gateway, base_ms, height, folder))
        })?;
        let (lines, resident, manager, gateway, base_ms, height, folder) = federation;
        let federation =
            Self { runtime, lines, resident, manager, gateway, base_ms, now_ms: base_ms, height, events: Vec::new(), _folder: folder };
        Ok(Rc::new(RefCell::new(federation)))
    }

    /// Moves the node's clock to so many ms after power came to the unit, through everything that is due until then.
    ///
    /// # Errors
    /// The node's.
    pub fn step_to(&mut self, unit_ms: u64) -> anyhow::Result<()> {
        let to_ms = (self.base_ms + unit_ms).max(self.now_ms);
        self.runtime.block_on(async {
            loop {
                let quiet = self.lines.advance(self.now_ms).await?;
                while self.height < quiet.height {
                    let height = self.height.next();
                    let block = self.lines.ask(0, "a block's receipts", async |client| client.block_receipts(height).await).await?;
                    note_committed(&mut self.lines.outstanding, &block)?;
                    self.events.extend(block.receipts.into_iter().flat_map(|receipt| receipt.events));
                    self.height = height;
                }
                if self.now_ms >= to_ms {
                    return Ok(());
                }
                let due = quiet.next_timer.filter(|at| *at > self.now_ms).unwrap_or(to_ms);
                self.now_ms = due.min(to_ms);
            }
        })
    }

    /// The resident opens a session of at most `max_spend`.
    ///
    /// # Errors
    /// Where the node refuses it.
    pub fn open(&mut self, max_spend: Amount) -> anyhow::Result<SessionId> {
        let opening = OpenSession {
            connector: ConnectorId::new(CONDOMINIUM, 1),
            tariff_version: 1,
            max_spend,
            max_duration: Duration::from_hours(2),
            energy_target: None,
            state_of_charge: None,
            depart_by: None,
            window: None,
            priority: Priority::None,
        };
        let transaction = self.resident.sign(Call::OpenSession(opening), self.now_ms)?;
        self.runtime.block_on(self.lines.submit(0, &transaction))?;
        let unit_ms = self.now_ms - self.base_ms;
        self.step_to(unit_ms)?;
        Ok(SessionId(transaction.id().0))
    }

    /// The resident stops his session.
    ///
    /// # Errors
    /// Where the node refuses it.
    pub fn stop(&mut self, session: SessionId) -> anyhow::Result<()> {
        let transaction = self.resident.sign(Call::StopSession(StopSession { session }), self.now_ms)?;
        self.runtime.block_on(self.lines.submit(0, &transaction))?;
        let unit_ms = self.now_ms - self.base_ms;
        self.step_to(unit_ms)
    }

    /// The manager binds a card to the resident, and has the gateway keep the key of the binding; the resident lets his cards start sessions of at most
    /// `max_spend`.
    ///
    /// # Errors
    /// Where the node refuses it.
    pub fn bind_card(&mut self, uid: &[u8], max_spend: Amount) -> anyhow::Result<()> {
        let key = Hash32([0x6b; 32]);
        let card = CardId::commit(&key, uid);
        let at = Timestamp::from_ms(self.now_ms);
        let (chain_id, signer) = (self.chain_id()?, self.manager.address());
        let order = CardOrder { chain_id, signer, at, condominium: CONDOMINIUM, card, action: CardAction::Keep(key) };
        let node = &self.lines.each.first().context("there is a node")?.node;
        let order = order.sign(&node.key("manager")?).context("an order can be encoded")?;
        let head =
            format!("POST /gateway/v1/cards HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", order.len());
        let answer = over_tcp(self.gateway, &[head.as_bytes(), &order].concat())?;
        anyhow::ensure!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
        let terms = MandateTerms {
            max_per_session: max_spend,
            max_per_day: max_spend,
            max_price_per_kwh: PRICE,
            max_price_per_hour: Amount::ZERO,
            expires: at.saturating_add(Duration::from_hours(24)),
            connectors: Vec::new(),
            // However unusual it looks, it needs no word of his.
            confirm_from: 1_001,
        };
        let bind = Call::BindCard(BindCard { condominium: CONDOMINIUM, card, account: Some(self.resident.address()) });
        let grant = Call::GrantMandate(GrantMandate { condominium: CONDOMINIUM, terms });
        let transactions = [self.manager.sign(bind, self.now_ms)?, self.resident.sign(grant, self.now_ms)?];
        for transaction in &transactions {
            self.runtime.block_on(self.lines.submit(0, transaction))?;
        }
        let unit_ms = self.now_ms - self.base_ms;
        self.step_to(unit_ms)
    }

    /// The session that a card has started, if one has.
    #[must_use]
    pub fn mandated(&self) -> Option<SessionId> {
        self.events.iter().find_map(|event| if let Event::SessionMandated { session, .. } = event { Some(*session) } else { None })
    }

    /// The receipt of a session, once it is settled.
    #[must_use]
    pub fn receipt(&self, session: SessionId) -> Option<SessionReceipt> {
        self.events.iter().find_map(|event| match event {
            Event::SessionSettled(receipt) if receipt.session == session => Some(*receipt),
            _ => None,
        })
    }

    /// Everything that the chain has done since the unit has power.
    #[must_use]
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// What the resident has: free and held.
    ///
    /// # Errors
    /// The node's.
    pub fn funds(&mut self) -> anyhow::Result<(Amount, Amount)> {
        let address = self.resident.address();
        let view = self.runtime.block_on(self.lines.ask(0, "an account", async |client| client.account(address).await))?;
        Ok((view.account.balance, view.account.held))
    }

    /// The chain's id.
    ///
    /// # Errors
    /// Where the genesis cannot be read.
    pub fn chain_id(&self) -> anyhow::Result<ChainId> {
        Ok(self.lines.each.first().context("there is a node")?.node.chain_id()?)
    }
}

/// Sends calls of one officer and waits for their blocks.
async fn act(lines: &mut Lines, officer: &Resident, now_ms: u64, calls: impl IntoIterator<Item = Call>) -> anyhow::Result<()> {
    let mut height = lines.advance(now_ms).await?.height;
    for call in calls {
        let transaction = officer.sign(call, now_ms)?;
        lines.submit(0, &transaction).await?;
    }
    let to = lines.advance(now_ms).await?.height;
    while height < to {
        height = height.next();
        let block = lines.ask(0, "a block's receipts", async |client| client.block_receipts(height).await).await?;
        note_committed(&mut lines.outstanding, &block)?;
    }
    anyhow::ensure!(lines.outstanding.is_empty(), "a call of the staff is in no block");
    Ok(())
}

/// The way of the unit's requests to the node's gateway.
struct Way(Shared);

/// A way to a federation's gateway, for a modem.
#[must_use]
pub fn uplink(federation: &Shared) -> Box<dyn Uplink> {
    Box::new(Way(Rc::clone(federation)))
}

impl Uplink for Way {
    fn exchange(&mut self, now_ms: u64, _host: &str, _port: u16, request: &[u8]) -> io::Result<Vec<u8>> {
        let mut federation = self.0.borrow_mut();
        federation.step_to(now_ms).map_err(io::Error::other)?;
        let answer = over_tcp(federation.gateway, request)?;
        // What the gateway has decided by it is committed in the same instant.
        federation.step_to(now_ms).map_err(io::Error::other)?;
        Ok(answer)
    }
}
