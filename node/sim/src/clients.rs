//! Those who want something from the chain: treasurers who sell, a manager who furnishes a garage, residents who pay each other and open sessions.
//!
//! A client signs a transaction once, offers it to some node, and offers the same bytes again, here or elsewhere, until they are committed: what a node has
//! accepted must then stand in the chain exactly once. It knows only what any client may know. Called by `world`.

use std::collections::VecDeque;

use bytes::Bytes;
use chain::{
    hash::Hash32,
    id::{Address, ChainId, CondominiumId, ConnectorId, GroupId, TariffId, TxId},
    quantity::{Amount, Currents},
    record::{Control, PlugSignal, Service},
    tariff::{PriceComponent, Tariff, TariffDimension, TariffElement, TariffRestrictions},
    time::{Duration, Timestamp},
};
use contracts::call::{Body, Call, OpenSession, Priority, PutConnector, PutGroup, PutTariff, SellTokens, Transaction, Transfer};
use ed25519_dalek::SigningKey;

use crate::{
    federation::{Holder, NOON, RESIDENTS, SITES},
    node::Node,
    plan::SECOND,
    rng::Rng,
    shared::Shared,
};

/// Transactions of one client that wait at once.
const PIPELINE: usize = 3;
/// From when on sessions can be opened.
const TARIFF_FROM: Timestamp = Timestamp::from_ms(NOON.ms() + 8_000);
/// Refusals after which a transaction that no node has taken is given up for one that cannot fail.
const PATIENCE: u32 = 6;

/// A transaction that is not committed yet.
#[derive(Debug)]
struct Open {
    id: TxId,
    bytes: Bytes,
    accepted: bool,
    refusals: u32,
}

#[derive(Debug)]
pub(crate) struct Client {
    holder: Holder,
    key: SigningKey,
    address: Address,
    chain_id: ChainId,
    rng: Rng,
    left: u64,
    made: u64,
    nonce: u64,
    open: VecDeque<Open>,
    node: usize,
    /// What some node has accepted and must be committed.
    pub(crate) accepted: Vec<TxId>,
}

/// All clients of a run.
pub(crate) fn all(chain_id: ChainId, transactions: u64, rng: &mut Rng) -> Vec<Client> {
    let residents = SITES.into_iter().flat_map(|site| (0..RESIDENTS).map(move |index| Holder::Resident(site, index)));
    let officers = [Holder::Treasurer(SITES[0]), Holder::Treasurer(SITES[1]), Holder::Manager(SITES[0])];
    let furniture = 2 + u64::from(RESIDENTS) * SITES.len() as u64;
    let make = |holder: Holder| {
        let left = if matches!(holder, Holder::Manager(_)) { furniture } else { transactions };
        Client::new(holder, chain_id, left, rng.fork())
    };
    officers.into_iter().chain(residents).map(make).collect()
}

impl Client {
    fn new(holder: Holder, chain_id: ChainId, left: u64, rng: Rng) -> Self {
        let key = holder.key();
        let address = holder.address();
        Self { holder, key, address, chain_id, rng, left, made: 0, nonce: 0, open: VecDeque::new(), node: 0, accepted: Vec::new() }
    }

    /// Whether everything that it wanted is committed.
    pub(crate) fn is_done(&self) -> bool {
        self.left == 0 && self.open.is_empty()
    }

    /// How many of its transactions wait.
    pub(crate) fn waiting(&self) -> usize {
        self.open.len()
    }

    /// Looks what was committed, signs more, offers what is not committed. Gives when it wants to look again, in microseconds from now.
    pub(crate) fn look(&mut self, shared: &mut Shared, nodes: &mut [Node]) -> Option<u64> {
        while self.open.front().is_some_and(|open| shared.oracle.committed.contains_key(&open.id)) {
            self.open.pop_front();
            shared.stats.transactions += 1;
        }
        self.give_up_late_furniture(shared.true_time());
        if self.is_done() {
            return None;
        }
        let others_wait = self.open.front().is_some_and(|open| open.accepted);
        if nodes[self.node].life.is_none() || !others_wait || self.rng.chance(25) {
            // Never to the observer, which has no block to put it in: passing it on is the waiting loop's, which is not simulated.
            self.node = self.rng.index(shared.plan.powers.len());
        }
        while self.open.len() < PIPELINE && self.left > 0 && (self.open.is_empty() || self.rng.chance(40)) {
            let call = self.next_call();
            self.sign(call, shared.true_time());
            self.left -= 1;
        }
        self.offer(shared, &mut nodes[self.node]);
        Some(self.rng.between(SECOND / 10, 2 * SECOND))
    }

    /// A tariff cannot be announced for a time that has passed: a manager whose tariff was lost with a pool has come too late, and nothing is owed to him.
    fn give_up_late_furniture(&mut self, now: Timestamp) {
        if matches!(self.holder, Holder::Manager(_)) && now > TARIFF_FROM.saturating_add(Duration::from_secs(1)) {
            self.left = 0;
            self.open.clear();
        }
    }

    fn offer(&mut self, shared: &mut Shared, node: &mut Node) {
        let mut given_up = false;
        for open in &mut self.open {
            match node.submit(shared, &open.bytes) {
                // The node is down, or died while it answered.
                None => return,
                Some(Ok(_)) => {
                    if !open.accepted {
                        open.accepted = true;
                        if !matches!(self.holder, Holder::Manager(_)) {
                            self.accepted.push(open.id);
                        }
                    }
                }
                Some(Err(error)) => {
                    shared.count("transactions refused at the door");
                    shared.tell(|| format!("node {} refuses a transaction of {:?}: {error}", node.index, self.holder));
                    open.refusals += 1;
                    given_up = !open.accepted && open.refusals > PATIENCE;
                    break;
                }
            }
        }
        if given_up {
            self.replace(shared.true_time());
        }
    }

    /// Signs something else with the nonce of the first transaction that nobody has taken; those after it are signed anew.
    fn replace(&mut self, now: Timestamp) {
        let kept = self.open.iter().take_while(|open| open.accepted).count();
        let dropped = self.open.len() - kept;
        self.open.truncate(kept);
        self.nonce -= dropped as u64;
        self.made -= dropped as u64;
        for _ in 0..dropped {
            let call = self.plain_call();
            self.sign(call, now);
        }
    }

    fn sign(&mut self, call: Call, now: Timestamp) {
        let valid_until = now.saturating_add(Duration::from_hours(12));
        let body = Body { chain_id: self.chain_id, account: self.address, signer: self.address, nonce: self.nonce, valid_until, call };
        let transaction = Transaction::sign(body, &self.key).expect("a client's transactions are small");
        self.nonce += 1;
        self.made += 1;
        let bytes = Bytes::copy_from_slice(transaction.bytes());
        self.open.push_back(Open { id: transaction.id(), bytes, accepted: false, refusals: 0 });
    }

    fn next_call(&mut self) -> Call {
        match self.holder {
            Holder::Manager(site) => furniture(site, self.made),
            Holder::Resident(..) if self.rng.chance(35) => self.session(),
            Holder::Resident(..) | Holder::Treasurer(_) | Holder::Revenue(_) | Holder::Validator(_) | Holder::Accomplice => {
                self.plain_call()
            }
        }
    }

    /// One that no state of the ledger refuses for long.
    fn plain_call(&mut self) -> Call {
        match self.holder {
            Holder::Treasurer(site) => {
                let resident = u8::try_from(self.made % u64::from(RESIDENTS)).unwrap_or(0);
                let account = Holder::Resident(site, resident).address();
                let amount = Amount::from_micro(self.rng.between(20, 60) * 1_000_000);
                Call::SellTokens(SellTokens { condominium: site, account, amount, sale: self.made + 1, payment: Hash32::ZERO })
            }
            Holder::Manager(site) => put_group(site, 1_000 + u32::try_from(self.made).unwrap_or(0)),
            Holder::Resident(site, index) => {
                let others: Vec<Holder> = SITES
                    .into_iter()
                    .flat_map(|site| (0..RESIDENTS).map(move |index| Holder::Resident(site, index)))
                    .filter(|other| *other != Holder::Resident(site, index))
                    .collect();
                let to = self.rng.pick(&others).address();
                Call::Transfer(Transfer { to, amount: Amount::from_micro(self.rng.between(1, 900_000)) })
            }
            Holder::Revenue(site) => put_group(site, 1),
            Holder::Validator(_) | Holder::Accomplice => put_group(SITES[1], 1),
        }
    }

    fn session(&mut self) -> Call {
        Call::OpenSession(OpenSession {
            connector: connector(SITES[0], self.holder),
            tariff_version: 1,
            max_spend: Amount::from_micro(self.rng.between(1, 5) * 1_000_000),
            max_duration: Duration::from_hours(1),
            energy_target: None,
            state_of_charge: None,
            depart_by: None,
            window: None,
            priority: Priority::None,
        })
    }
}

/// Each resident has a connector of his own.
fn connector(site: CondominiumId, holder: Holder) -> ConnectorId {
    let number = match holder {
        Holder::Resident(home, index) => (home.0 - 1) * u32::from(RESIDENTS) + u32::from(index) + 1,
        Holder::Validator(_) | Holder::Manager(_) | Holder::Treasurer(_) | Holder::Revenue(_) | Holder::Accomplice => 0,
    };
    ConnectorId::new(site, number)
}

fn put_group(site: CondominiumId, group: u32) -> Call {
    Call::PutGroup(PutGroup { group: GroupId::new(site, group), parent: None, limit: Currents::from_ma([63_000; 3]) })
}

/// A group, a tariff, then connectors.
fn furniture(site: CondominiumId, step: u64) -> Call {
    match step {
        0 => put_group(site, 1),
        1 => {
            let energy = PriceComponent { dimension: TariffDimension::Energy, price: Amount::from_micro(250_000) };
            let document = Tariff {
                time_zone: "UTC0".to_owned(),
                elements: vec![TariffElement { price_components: vec![energy], restrictions: TariffRestrictions::default() }],
                min_price: None,
                max_price: None,
                vat_basis_points: 0,
                parking_grace: Duration::ZERO,
            };
            Call::PutTariff(PutTariff { tariff: TariffId::new(site, 1), version: 1, valid_from: TARIFF_FROM, document })
        }
        later => Call::PutConnector(PutConnector {
            connector: ConnectorId::new(site, u32::try_from(later - 1).unwrap_or(0)),
            group: 1,
            control: Control::Switched,
            plug_signal: PlugSignal::Reported,
            rated: Currents::from_ma([32_000; 3]),
            tariff: 1,
            service: Service::InService,
        }),
    }
}
