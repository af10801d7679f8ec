//! Founds a garage: a node, a tariff, a group, a connector and a unit for each resident, and tokens for all of them.
//!
//! What `wattd init` does not do is done as a manager and a treasurer would: by signed calls over the API. It ends with a [`Garage`] in which nobody has come
//! yet. It decides nothing about who comes. Called by `demo` and `replay`.

use chain::{
    hash::Hash32,
    id::{CondominiumId, ConnectorId, GroupId, TariffId},
    params::Params,
    quantity::{Amount, Currents},
    record::{Control, PlugSignal, Service},
    tariff::{PriceComponent, Tariff, TariffDimension, TariffElement, TariffRestrictions},
    time::{Duration, Timestamp},
};
use contracts::call::{Call, PutConnector, PutGroup, PutTariff, SellTokens};
use firmware_core::{DeviceId, SensorId};

use crate::{
    drive::{DriveError, Garage, Place, Start},
    federation::{GatewayPlan, Node, Place as Folder, Plan, Policy, Staff, Time, UnitLine, wattd_beside_us},
    resident::{Line, Resident, seeded_key},
    unit::{Mounting, SimUnit},
    world::Visit,
};

/// The condominium of a node founded here.
pub const CONDOMINIUM: CondominiumId = CondominiumId(1);

/// What a phase of a connector is rated for, mA.
pub const RATED_MA: u32 = 32_000;

/// What may be sold in a day, as `wattd init` founds a condominium.
const MINT_CAP_PER_DAY: Amount = Amount::from_micro(1_000_000_000_000);

/// Between the tariff's publication and its coming into force.
const TARIFF_LEAD: Duration = Duration::from_mins(1);

/// Local time of the files and of the demo: the tariff's own rule, not the machine's.
const OSLO: &str = "CET-1CEST,M3.5.0,M10.5.0/3";

/// Local minutes after midnight between which the night's price holds.
const NIGHT: (u16, u16) = (22 * 60, 7 * 60);

const DAY_MS: u64 = 86_400_000;

/// Calls that wait for a block at once; the pool takes more.
const CALLS_AT_ONCE: usize = 500;

/// A garage to be founded.
#[derive(Debug)]
pub struct Site {
    /// Its short name.
    pub name: String,
    /// Everyone who will come, one connector each, with what he buys.
    pub residents: Vec<Buyer>,
    /// The most current of the garage, mA per phase.
    pub limit_ma: u32,
    /// Who charges when.
    pub policy: Policy,
    /// Prices.
    pub tariff: Tariff,
    /// When the first car comes, ms.
    pub opens_at_ms: u64,
    /// What every session asks for.
    pub max_duration: Duration,
    /// The period of posts and attestations.
    pub post_every: Duration,
    /// Who comes.
    pub visits: Vec<Visit>,
    /// What all keys are made from.
    pub seed: u64,
}

/// A resident before he is known to the chain.
#[derive(Clone, Debug)]
pub struct Buyer {
    /// A name for people; it is not on the chain.
    pub name: String,
    /// What he buys.
    pub amount: Amount,
}

/// One price at all times, per kWh.
#[must_use]
pub fn one_price(per_kwh: Amount) -> Tariff {
    Tariff { elements: vec![element(per_kwh, TariffRestrictions::default())], ..day_and_night() }
}

/// 0.25 by day and 0.15 at night, tokens per kWh.
#[must_use]
pub fn day_and_night() -> Tariff {
    let (start, end) = NIGHT;
    let night = TariffRestrictions { start_time: Some(start), end_time: Some(end), ..TariffRestrictions::default() };
    Tariff {
        time_zone: OSLO.to_owned(),
        elements: vec![element(Amount::from_micro(150_000), night), element(Amount::from_micro(250_000), TariffRestrictions::default())],
        min_price: None,
        max_price: None,
        vat_basis_points: 0,
        parking_grace: Duration::ZERO,
    }
}

fn element(price: Amount, restrictions: TariffRestrictions) -> TariffElement {
    TariffElement { price_components: vec![PriceComponent { dimension: TariffDimension::Energy, price }], restrictions }
}

/// The parameters of a test federation: long waits and long charges, leases that last from one post to the next, and room for a manager to set up a garage.
///
/// A lease of an hour is for simulated time only. In a real garage it bounds for how long current flows after the gateway or the network is lost: minutes.
#[must_use]
pub fn test_params(max_duration: Duration, lease: Duration) -> Params {
    Params {
        max_duration,
        queue_deadline: max_duration,
        lease,
        settle_grace: Duration::from_ms(lease.ms().saturating_mul(2)),
        max_spend: MINT_CAP_PER_DAY,
        role_txs_per_block: 4_096,
        max_block_bytes: 1 << 20,
        heartbeat: Duration::ZERO,
        ..Params::default()
    }
}

/// Founds the garage and waits until its first car may come.
///
/// # Errors
/// [`DriveError`].
pub async fn found(folder: &Folder, site: Site) -> Result<Garage, DriveError> {
    let Site { name, residents, limit_ma, policy, tariff, opens_at_ms, max_duration, post_every, visits, seed } = site;
    let sales = sale_days(&residents);
    let days = sales.last().map_or(0, |(day, _)| *day) + 1;
    // On a day's beginning, so that a day's sales stay within the day.
    let start_ms = (opens_at_ms / DAY_MS).saturating_sub(days) * DAY_MS;

    let mountings: Vec<Mounting> = (0_u32..).zip(&residents).map(|(index, _)| mounting(seed, index)).collect();
    let seconds = u16::try_from(post_every.ms() / 1_000).unwrap_or(u16::MAX);
    let plan = Plan {
        name,
        params: test_params(max_duration, post_every),
        time: Time::Stepped { start_ms },
        staff: Staff::Node {
            policy,
            gateway: GatewayPlan { lease_s: seconds, transmit_period_s: seconds, attest_every_s: seconds.into() },
        },
        units: mountings.iter().map(unit_line).collect(),
    };
    let node = Node::found(folder.path(), 0, wattd_beside_us()?, &plan).await?;
    let chain_id = node.chain_id()?;
    let (manager, treasurer) = (node.key("manager")?, node.key("treasurer")?);
    let gateway_url = node.gateway_url();
    let mut line = Line::new(node)?;
    let (manager, treasurer) = (Resident::with_key(manager, chain_id), Resident::with_key(treasurer, chain_id));

    let valid_from = Timestamp::from_ms(start_ms).saturating_add(TARIFF_LEAD);
    let mut now_ms = start_ms;
    do_all(&mut line, &manager, now_ms, set_up(mountings.iter().map(|mounting| mounting.connector), limit_ma, tariff, valid_from)).await?;
    now_ms = valid_from.ms();
    let http = reqwest::Client::builder().no_proxy().build().expect("a client without TLS needs nothing from the system");
    let mut places = Vec::new();
    for ((number, buyer), mounting) in (0_u64..).zip(&residents).zip(&mountings) {
        let resident = Resident::new(&seeded_key(seed, "resident", number), chain_id);
        let unit = SimUnit::new(mounting, http.clone(), gateway_url.clone())?;
        places.push(Place { name: buyer.name.clone(), connector: mounting.connector, resident, unit, stay: None });
    }
    let mut sale = 0;
    for day in 0..days {
        let today = sales.iter().filter(|(on, _)| *on == day).map(|(_, buyer)| *buyer);
        let mut calls = Vec::new();
        for buyer in today {
            sale += 1;
            let payment = Hash32(seeded_key(seed, "payment", sale));
            let (account, amount) = (places[buyer].resident.address(), residents[buyer].amount);
            calls.push(Call::SellTokens(SellTokens { condominium: CONDOMINIUM, account, amount, sale, payment }));
        }
        now_ms = now_ms.max(start_ms + day * DAY_MS);
        do_all(&mut line, &treasurer, now_ms, calls).await?;
    }
    now_ms = now_ms.max(opens_at_ms.saturating_sub(TARIFF_LEAD.ms()));
    let quiet = line.node.advance(now_ms).await?;
    for place in &mut places {
        while let Err(error) = place.unit.configure(now_ms).await {
            if !error.is_transient() {
                return Err(error.into());
            }
            line.recover().await?;
        }
    }
    let start = Start { now_ms, height: quiet.height, max_duration, post_every_ms: post_every.ms() };
    Ok(Garage::new(line, places, visits, start))
}

/// On which day everyone buys, so that no day's sales pass its cap; in order of days.
fn sale_days(residents: &[Buyer]) -> Vec<(u64, usize)> {
    let (mut day, mut sold) = (0, Amount::ZERO);
    let mut days = Vec::new();
    for (number, buyer) in residents.iter().enumerate() {
        sold = match sold.checked_add(buyer.amount).filter(|sold| *sold <= MINT_CAP_PER_DAY) {
            Some(sold) => sold,
            None => {
                day += 1;
                buyer.amount
            }
        };
        days.push((day, number));
    }
    days
}

/// What a manager sets up: a tariff, a group and connectors.
fn set_up(connectors: impl Iterator<Item = ConnectorId>, limit_ma: u32, tariff: Tariff, valid_from: Timestamp) -> Vec<Call> {
    let tariff_id = TariffId::new(CONDOMINIUM, 1);
    let mut calls = vec![
        Call::PutTariff(PutTariff { tariff: tariff_id, version: 1, valid_from, document: tariff }),
        Call::PutGroup(PutGroup { group: GroupId::new(CONDOMINIUM, 1), parent: None, limit: Currents::from_ma([limit_ma; 3]) }),
    ];
    calls.extend(connectors.map(|id| Call::PutConnector(connector(id, 1))));
    calls
}

/// A connector of 3 × 32 A that reports its plug, under the first tariff.
#[must_use]
pub const fn connector(connector: ConnectorId, group: u32) -> PutConnector {
    PutConnector {
        connector,
        group,
        control: Control::Switched,
        plug_signal: PlugSignal::Reported,
        rated: Currents::from_ma([RATED_MA; 3]),
        tariff: 1,
        service: Service::InService,
    }
}

/// Sends calls of one officer and waits until all are in blocks.
async fn do_all(line: &mut Line, officer: &Resident, now_ms: u64, calls: Vec<Call>) -> Result<(), DriveError> {
    let mut height = line.node.advance(now_ms).await?.height;
    for some in calls.chunks(CALLS_AT_ONCE) {
        for call in some {
            let transaction = officer.sign(call.clone(), now_ms)?;
            line.submit(&transaction).await?;
        }
        loop {
            let to = line.node.advance(now_ms).await?.height;
            while height < to {
                height = height.next();
                let block = line.ask("the receipts of a block", async |client| client.block_receipts(height).await).await?;
                crate::drive::note_committed(&mut line.outstanding, &block)?;
            }
            if line.outstanding.is_empty() {
                break;
            }
            line.send_again().await?;
        }
    }
    Ok(())
}

fn mounting(seed: u64, index: u32) -> Mounting {
    let number = index + 1;
    Mounting {
        device: DeviceId(number),
        connector: ConnectorId::new(CONDOMINIUM, number),
        sensor: SensorId::new(u8::try_from(index % 64).unwrap_or(0)).expect("six switches show 0 to 63"),
        key: seeded_key(seed, "unit", number.into()),
    }
}

fn unit_line(mounting: &Mounting) -> UnitLine {
    UnitLine {
        device: mounting.device.to_string(),
        sensor: mounting.sensor.get(),
        connector: mounting.connector.to_string(),
        key: hex::encode(mounting.key),
    }
}
