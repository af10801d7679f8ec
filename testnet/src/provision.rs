//! Founds garages, one for each condominium: a node, a tariff, a group, a connector and a unit for each resident, and tokens for all of them.
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
    drive::{DriveError, Garage, Person, Place, Start},
    federation::{self, GatewayPlan, Node, Place as Folder, Plan, Policy, Staff, Time, UnitLine, wattd_beside_us},
    link::Links,
    resident::{Lines, Resident, seeded_key},
    unit::{self, Mounting, SimUnit},
    world::Visit,
};

/// The condominium of the first node founded here; the others follow.
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
#[derive(Clone, Debug)]
pub struct Site {
    /// Its short name.
    pub name: String,
    /// Everyone who is at home here, one connector each, with what he buys.
    pub residents: Vec<Buyer>,
    /// The most current of the garage, mA per phase.
    pub limit_ma: u32,
    /// Who charges when.
    pub policy: Policy,
    /// Prices.
    pub tariff: Tariff,
}

/// Garages to be founded, and who will come to them.
#[derive(Clone, Debug)]
pub struct Opening {
    /// The condominiums, one node each. Residents, and connectors likewise, are numbered through all of them in this order.
    pub sites: Vec<Site>,
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

/// Founds the garages and waits until their first car may come. Where links are given, the nodes speak to each other through them.
///
/// # Errors
/// [`DriveError`].
pub async fn found(folder: &Folder, opening: Opening, links: Option<&Links>) -> Result<Garage, DriveError> {
    let Opening { sites, opens_at_ms, max_duration, post_every, visits, seed } = opening;
    let sales: Vec<_> = sites.iter().map(|site| sale_days(&site.residents)).collect();
    let days = sales.iter().filter_map(|sales| sales.last()).map(|(day, _)| *day).max().unwrap_or(0) + 1;
    // On a day's beginning, so that a day's sales stay within the day.
    let start_ms = (opens_at_ms / DAY_MS).saturating_sub(days) * DAY_MS;

    let mountings = mountings(&sites, seed);
    let seconds = u16::try_from(post_every.ms() / 1_000).unwrap_or(u16::MAX);
    let plans: Vec<_> = sites
        .iter()
        .zip(&mountings)
        .map(|(site, mountings)| Plan {
            name: site.name.clone(),
            params: test_params(max_duration, post_every),
            time: Time::Stepped { start_ms },
            staff: Staff::Node {
                policy: site.policy,
                gateway: GatewayPlan { lease_s: seconds, transmit_period_s: seconds, attest_every_s: seconds.into(), sample_period_s: 60 },
            },
            units: mountings.iter().map(unit_line).collect(),
        })
        .collect();
    let nodes = federation::found(folder.path(), wattd_beside_us()?, &plans, links).await?;
    let chain_id = nodes[0].chain_id()?;
    let officers =
        |name| nodes.iter().map(|node| Ok(Resident::with_key(node.key(name)?, chain_id))).collect::<Result<Vec<_>, DriveError>>();
    let (managers, treasurers) = (officers("manager")?, officers("treasurer")?);
    let doors: Vec<_> = nodes.iter().map(Node::gateway_url).collect();
    let mut lines = Lines::new(nodes)?;

    let valid_from = Timestamp::from_ms(start_ms).saturating_add(TARIFF_LEAD);
    let mut now_ms = start_ms;
    let set_ups = sites.iter().zip(&mountings).map(|(site, mountings)| {
        set_up(
            mountings[0].connector.condominium,
            mountings.iter().map(|mounting| mounting.connector),
            site.limit_ma,
            site.tariff.clone(),
            valid_from,
        )
    });
    do_all(&mut lines, &managers, now_ms, set_ups.collect()).await?;
    now_ms = valid_from.ms();
    let http = unit::shared_http();
    let (mut places, mut people) = (Vec::new(), Vec::new());
    let mut first = vec![0; sites.len()];
    for (site, (residents, mountings)) in sites.iter().map(|site| &site.residents).zip(&mountings).enumerate() {
        first[site] = people.len();
        for (buyer, mounting) in residents.iter().zip(mountings) {
            let resident = Resident::new(&seeded_key(seed, "resident", people.len() as u64), chain_id);
            people.push(Person { name: buyer.name.clone(), resident, home: site });
            let unit = SimUnit::new(mounting, http.clone(), doors[site].clone())?;
            places.push(Place { name: buyer.name.clone(), site, connector: mounting.connector, unit, stay: None });
        }
    }
    let mut sold = vec![0; sites.len()];
    for day in 0..days {
        let mut calls = Vec::new();
        for (site, sales) in sales.iter().enumerate() {
            let mut todays = Vec::new();
            for (_, buyer) in sales.iter().filter(|(on, _)| *on == day) {
                sold[site] += 1;
                let condominium = mountings[site][0].connector.condominium;
                let payment = Hash32(seeded_key(seed, "payment", first[site] as u64 + sold[site]));
                let (account, amount) = (people[first[site] + buyer].resident.address(), sites[site].residents[*buyer].amount);
                todays.push(Call::SellTokens(SellTokens { condominium, account, amount, sale: sold[site], payment }));
            }
            calls.push(todays);
        }
        now_ms = now_ms.max(start_ms + day * DAY_MS);
        do_all(&mut lines, &treasurers, now_ms, calls).await?;
    }
    now_ms = now_ms.max(opens_at_ms.saturating_sub(TARIFF_LEAD.ms()));
    let quiet = lines.advance(now_ms).await?;
    for place in &mut places {
        while let Err(error) = place.unit.configure(now_ms).await {
            if !error.is_transient() {
                return Err(error.into());
            }
            lines.recover(place.site).await?;
        }
    }
    let sites = sites.into_iter().map(|site| site.name).collect();
    let start = Start { sites, now_ms, height: quiet.height, max_duration, post_every_ms: post_every.ms() };
    Ok(Garage::new(lines, (places, people), visits, start))
}

/// The units of each condominium.
#[must_use]
pub fn mountings(sites: &[Site], seed: u64) -> Vec<Vec<Mounting>> {
    let mut number = 0;
    let mut of_site = |condominium: CondominiumId, site: &Site| {
        let one = |local: u32| {
            number += 1;
            mounting(seed, number, ConnectorId::new(condominium, local))
        };
        (1..).take(site.residents.len()).map(one).collect()
    };
    (CONDOMINIUM.0..).map(CondominiumId).zip(sites).map(|(condominium, site)| of_site(condominium, site)).collect()
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
#[must_use]
pub fn set_up(
    condominium: CondominiumId,
    connectors: impl Iterator<Item = ConnectorId>,
    limit_ma: u32,
    tariff: Tariff,
    valid_from: Timestamp,
) -> Vec<Call> {
    let tariff_id = TariffId::new(condominium, 1);
    let mut calls = vec![
        Call::PutTariff(PutTariff { tariff: tariff_id, version: 1, valid_from, document: tariff }),
        Call::PutGroup(PutGroup { group: GroupId::new(condominium, 1), parent: None, limit: Currents::from_ma([limit_ma; 3]) }),
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

/// Sends the calls of each condominium's officer to its node and waits until all are in blocks.
pub(crate) async fn do_all(lines: &mut Lines, officers: &[Resident], now_ms: u64, calls: Vec<Vec<Call>>) -> Result<(), DriveError> {
    let mut height = lines.advance(now_ms).await?.height;
    let mut left: Vec<_> = calls.iter().map(|calls| calls.chunks(CALLS_AT_ONCE)).collect();
    loop {
        let mut sent = false;
        for (site, (officer, left)) in officers.iter().zip(&mut left).enumerate() {
            for call in left.next().unwrap_or_default() {
                let transaction = officer.sign(call.clone(), now_ms)?;
                lines.submit(site, &transaction).await?;
                sent = true;
            }
        }
        if !sent {
            return Ok(());
        }
        loop {
            let to = lines.advance(now_ms).await?.height;
            while height < to {
                height = height.next();
                let block = lines.ask(0, "the receipts of a block", async |client| client.block_receipts(height).await).await?;
                crate::drive::note_committed(&mut lines.outstanding, &block)?;
            }
            if lines.outstanding.is_empty() {
                break;
            }
            lines.send_again().await?;
        }
    }
}

/// The unit of a connector, by its number among all units.
fn mounting(seed: u64, number: u32, connector: ConnectorId) -> Mounting {
    Mounting {
        device: DeviceId(number),
        connector,
        sensor: SensorId::new(u8::try_from((number - 1) % 64).unwrap_or(0)).expect("six switches show 0 to 63"),
        key: seeded_key(seed, "unit", number.into()),
    }
}

/// As `units.json` lists it.
#[must_use]
pub fn unit_line(mounting: &Mounting) -> UnitLine {
    UnitLine {
        device: mounting.device.to_string(),
        sensor: mounting.sensor.get(),
        connector: mounting.connector.to_string(),
        key: hex::encode(mounting.key),
    }
}
