//! Connectors, groups, tariffs and quotes.
//!
//! Called through [`super`], which says what holds for all of them.

use serde::{Deserialize, Serialize};

use crate::{
    id::{ConnectorId, GroupId, TariffId},
    quantity::{Amount, Currents, WattHours},
    record::{Connector, Group, Meter, MeterProposal},
    tariff::Tariff,
    time::{Duration, Timestamp},
};

/// The most energy that a quote may be asked for: more than any vehicle holds.
pub const MAX_QUOTE_ENERGY: WattHours = WattHours::new(1_000_000);

/// `GET /quote?connector=1-17&energy_wh=10000&max_duration_ms=28800000`: before anything is locked.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct QuoteView {
    /// Where.
    pub connector: ConnectorId,
    /// The tariff.
    pub tariff: TariffId,
    /// The version in force, to be named when the session is opened.
    pub tariff_version: u32,
    /// The price of a kWh now, at the connector's rated power.
    pub price_per_kwh: Amount,
    /// The price of an hour of charging now.
    pub price_per_hour: Amount,
    /// The price of an hour in which a full vehicle stays plugged in, at this time of day.
    pub price_per_hour_parked: Amount,
    /// How long it may stay before that price runs.
    pub parking_grace: Duration,
    /// What it costs once, whatever is charged.
    pub flat: Amount,
    /// The least that a session costs, once it has used anything.
    pub min_price: Option<Amount>,
    /// The most that a session costs.
    pub max_price: Option<Amount>,
    /// What the energy asked for costs, starting now at the connector's rated current and 230 V, if the vehicle leaves when it has it.
    pub expected: Amount,
    /// What of it is for what, before the least and the highest price; rounded down.
    pub expected_parts: AmountByComponent,
    /// The energy behind it.
    pub expected_energy: WattHours,
    /// How long it takes.
    pub expected_duration: Duration,
    /// The most that it can cost within the duration: what to escrow so that money does not end it.
    pub maximum: Amount,
    /// What of it is for what, before the least and the highest price; rounded up.
    pub maximum_parts: AmountByComponent,
    /// The energy behind it.
    pub maximum_energy: WattHours,
    /// The longest duration that the quote covers.
    pub max_duration: Duration,
    /// When a price may change next.
    pub next_change: Option<Timestamp>,
}

/// Whole micro-tokens by dimension of the tariff.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AmountByComponent {
    /// ENERGY.
    pub energy: Amount,
    /// TIME.
    pub time: Amount,
    /// PARKING_TIME.
    pub parking_time: Amount,
    /// FLAT.
    pub flat: Amount,
}

/// The items of `GET /tariffs`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TariffView {
    /// Which.
    pub id: TariffId,
    /// Its version.
    pub version: u32,
    /// From when.
    pub valid_from: Timestamp,
    /// Whether it is the one in force.
    pub in_force: bool,
    /// The document.
    pub tariff: Tariff,
}

/// The items of `GET /connectors`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ConnectorView {
    /// Which.
    pub id: ConnectorId,
    /// Its record.
    pub connector: Connector,
    /// Whether a session may open now.
    pub free: bool,
    /// Its meter, where that is not its first: what the meter shows is not the register.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub meter: Option<Meter>,
    /// An exchange of its meter that one side has signed, lapsed or not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub meter_proposal: Option<MeterProposal>,
}

/// The items of `GET /groups`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct GroupView {
    /// Which.
    pub id: GroupId,
    /// Its record.
    pub group: Group,
    /// What can still be granted.
    pub free: Currents,
}
