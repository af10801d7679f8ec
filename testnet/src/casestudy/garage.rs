//! Founds the paper's garage: one node, three sensors of which one has no switch, three drivers with tokens, and a mandate for the point where nobody can wait.
//!
//! What `wattd init` does not do is done as a manager, a treasurer and the drivers would: by signed calls over the API. It knows nothing of who comes when.
//! Called by [`super::world`].

use chain::{
    card_order::{CardAction, CardOrder},
    crypto::address_of,
    hash::Hash32,
    id::{CardId, ConnectorId, GroupId, TariffId},
    quantity::{Amount, Currents},
    record::{Control, MandateTerms, PlugSignal, Service},
    tariff::Tariff,
    time::{Duration, Timestamp},
};
use cli::client::Client;
use contracts::call::{BindCard, Call, GrantMandate, PutConnector, PutGroup, PutTariff, SellTokens};
use firmware_core::{DeviceId, SensorId};

use super::{
    draw::{CARS, UNSWITCHED},
    sensor::{Sensor, Switch},
};
use crate::{
    drive::DriveError,
    federation::{self, GatewayPlan, Place as Folder, Plan, Policy, Staff, Time, wattd_beside_us},
    link::Links,
    provision::{self, CONDOMINIUM, do_all},
    resident::{AskError, Lines, Resident, seeded_key},
    unit::{self, Mounting},
};

/// How many cars may charge at once (Fig. 20).
const PLACES: u32 = 2;

/// What a connector is rated for, on its one phase, and what the group carries, mA.
const RATED_MA: u32 = 16_000;
const LIMIT_MA: u32 = 32_000;

/// The price of a kWh, and what each driver buys.
const PER_KWH: Amount = Amount::from_micro(200_000);
const BUYS: Amount = Amount::from_micro(1_000_000_000);

/// The most that a session at the point without a switch may lock, and all sessions of a day there.
const MANDATE: (Amount, Amount) = (Amount::from_micro(30_000_000), Amount::from_micro(200_000_000));

/// A start there is never asked about: the car draws already.
const NEVER_CONFIRM: u16 = 1_001;

/// What every session asks for.
pub const MAX_DURATION: Duration = Duration::from_hours(12);

/// The longest that the chain allows a session to charge or to wait.
const LONGEST: Duration = Duration::from_hours(24);

/// The period of posts and attestations, ms; a lease lasts as long.
pub const POST_EVERY_MS: u64 = 3_600_000;

/// Founded so long before the first car: a manager needs some minutes.
const LEAD_MS: u64 = 86_400_000;

/// Between the tariff's publication and its coming into force.
const TARIFF_LEAD: Duration = Duration::from_mins(1);

/// Portugal's time, as tariffs write it.
const LISBON: &str = "WET0WEST,M3.5.0/1,M10.5.0";

/// The garage before anybody has come.
#[derive(Debug)]
pub struct Founded {
    /// The node.
    pub lines: Lines,
    /// The sensors, by their number.
    pub sensors: Vec<Sensor>,
    /// Their drivers.
    pub drivers: Vec<Resident>,
    /// The present, ms.
    pub now_ms: u64,
}

/// The connector at which a sensor hangs.
#[must_use]
pub fn connector(sensor: usize) -> ConnectorId {
    ConnectorId::new(CONDOMINIUM, u32::try_from(sensor + 1).unwrap_or(u32::MAX))
}

const fn switch(sensor: usize) -> Switch {
    if sensor == UNSWITCHED { Switch::None } else { Switch::Relay }
}

/// Founds it so that the first sample is one minute after `opens_at_ms`.
///
/// # Errors
/// [`DriveError`].
pub async fn found(folder: &Folder, seed: u64, opens_at_ms: u64, links: Option<&Links>) -> Result<Founded, DriveError> {
    let start_ms = opens_at_ms - LEAD_MS;
    let seconds = u16::try_from(POST_EVERY_MS / 1_000).unwrap_or(u16::MAX);
    let mountings: Vec<Mounting> = (0..CARS).map(|sensor| mounting(seed, sensor)).collect();
    let plan = Plan {
        name: "casestudy".to_owned(),
        params: provision::test_params(LONGEST, Duration::from_ms(POST_EVERY_MS)),
        time: Time::Stepped { start_ms },
        staff: Staff::Node {
            policy: Policy::FcfsSlots { places: PLACES },
            gateway: GatewayPlan { lease_s: seconds, transmit_period_s: seconds, attest_every_s: seconds.into(), sample_period_s: 60 },
        },
        units: mountings.iter().map(provision::unit_line).collect(),
    };
    let mut nodes = federation::found(folder.path(), wattd_beside_us()?, &[plan], links).await?;
    let node = nodes.remove(0);
    let (chain_id, door) = (node.chain_id()?, node.gateway_url());
    let (manager_key, treasurer_key) = (node.key("manager")?, node.key("treasurer")?);
    let managers = [Resident::with_key(manager_key.clone(), chain_id)];
    let treasurers = [Resident::with_key(treasurer_key, chain_id)];
    let drivers: Vec<Resident> = (0..CARS).map(|car| Resident::new(&seeded_key(seed, "driver", car as u64), chain_id)).collect();
    let mut lines = Lines::new(vec![node])?;

    let valid_from = Timestamp::from_ms(start_ms).saturating_add(TARIFF_LEAD);
    do_all(&mut lines, &managers, start_ms, vec![set_up(valid_from)]).await?;
    let now_ms = valid_from.ms();
    let sale = |(number, driver): (u64, &Resident)| {
        let payment = Hash32(seeded_key(seed, "payment", number));
        Call::SellTokens(SellTokens { condominium: CONDOMINIUM, account: driver.address(), amount: BUYS, sale: number, payment })
    };
    do_all(&mut lines, &treasurers, now_ms, vec![(1..).zip(&drivers).map(sale).collect()]).await?;

    // Nobody shows a card at a point that cannot be switched: the point itself is bound, and its driver's mandate pays for whatever flows there.
    let key = Hash32(seeded_key(seed, "binding", 0));
    let card = CardId::commit_point(&key, connector(UNSWITCHED));
    let at = Timestamp::from_ms(now_ms);
    let order = CardOrder { chain_id, signer: address_of(&manager_key), at, condominium: CONDOMINIUM, card, action: CardAction::Keep(key) };
    let order = order.sign(&manager_key).expect("an order always has an encoding");
    let refused = |error| DriveError::Ask(AskError::Refused { what: "the binding of a point".to_owned(), error });
    let gateway = Client::new(&door).map_err(refused)?;
    gateway.card_order(&order).await.map_err(refused)?;
    let owner = drivers[UNSWITCHED].address();
    do_all(&mut lines, &managers, now_ms, vec![vec![Call::BindCard(BindCard { condominium: CONDOMINIUM, card, account: Some(owner) })]])
        .await?;
    let terms = MandateTerms {
        max_per_session: MANDATE.0,
        max_per_day: MANDATE.1,
        max_price_per_kwh: PER_KWH,
        max_price_per_hour: Amount::ZERO,
        expires: at.saturating_add(Duration::from_hours(24 * 200)),
        connectors: vec![connector(UNSWITCHED).number],
        confirm_from: NEVER_CONFIRM,
    };
    let grant = Call::GrantMandate(GrantMandate { condominium: CONDOMINIUM, terms });
    do_all(&mut lines, &drivers[UNSWITCHED..=UNSWITCHED], now_ms, vec![vec![grant]]).await?;

    lines.advance(opens_at_ms).await?;
    let http = unit::shared_http();
    let mut sensors = Vec::new();
    for (sensor, mounting) in mountings.iter().enumerate() {
        let mut sensor = Sensor::new(mounting, switch(sensor), http.clone(), door.clone(), opens_at_ms)?;
        while let Err(error) = sensor.configure(opens_at_ms).await {
            if !error.is_transient() {
                return Err(error.into());
            }
            lines.recover(0).await?;
        }
        sensors.push(sensor);
    }
    Ok(Founded { lines, sensors, drivers, now_ms: opens_at_ms })
}

fn set_up(valid_from: Timestamp) -> Vec<Call> {
    let document = Tariff { time_zone: LISBON.to_owned(), ..provision::one_price(PER_KWH) };
    let mut calls = vec![
        Call::PutTariff(PutTariff { tariff: TariffId::new(CONDOMINIUM, 1), version: 1, valid_from, document }),
        Call::PutGroup(PutGroup { group: GroupId::new(CONDOMINIUM, 1), parent: None, limit: Currents::from_ma([LIMIT_MA, 0, 0]) }),
    ];
    calls.extend((0..CARS).map(|sensor| {
        Call::PutConnector(PutConnector {
            connector: connector(sensor),
            group: 1,
            control: match switch(sensor) {
                Switch::Relay => Control::Switched,
                Switch::None => Control::MeterOnly,
            },
            plug_signal: PlugSignal::None,
            rated: Currents::from_ma([RATED_MA, 0, 0]),
            tariff: 1,
            service: Service::InService,
        })
    }));
    calls
}

fn mounting(seed: u64, sensor: usize) -> Mounting {
    let number = connector(sensor).number;
    Mounting {
        device: DeviceId(number),
        connector: connector(sensor),
        sensor: SensorId::new(u8::try_from(sensor).unwrap_or(0)).expect("six switches show 0 to 63"),
        key: seeded_key(seed, "sensor", number.into()),
    }
}
