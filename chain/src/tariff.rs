//! The tariff document: an immutable version with the semantics and names of OCPI 2.3 (`mod_tariffs`).
//!
//! Only the document is here; its rules and what a session costs under it are `contracts::tariff`. Called by records, calls, the API and the clients.

use serde::{Deserialize, Serialize};

use crate::{
    quantity::{Amount, WattHours, Watts},
    time::Duration,
};

/// What a session may cost, element by element; the first element whose restrictions hold gives the price of each dimension.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Tariff {
    /// The local time that restrictions speak of, as a POSIX TZ rule such as `CET-1CEST,M3.5.0,M10.5.0/3`; at most 64 bytes.
    pub time_zone: String,
    /// In order of precedence; 1 to 32.
    pub elements: Vec<TariffElement>,
    /// The least that a session costs, tax included.
    pub min_price: Option<Amount>,
    /// The most that a session costs, tax included.
    pub max_price: Option<Amount>,
    /// The tax contained in all prices, in basis points; information only.
    pub vat_basis_points: u32,
    /// How long a full vehicle may stay plugged in before `PARKING_TIME` runs.
    pub parking_grace: Duration,
}

/// Prices that hold together under one set of restrictions.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TariffElement {
    /// At most one of each dimension; 1 to 4.
    pub price_components: Vec<PriceComponent>,
    /// When the element holds.
    pub restrictions: TariffRestrictions,
}

/// The price of one dimension, tax included; the step size is 1.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PriceComponent {
    /// What is counted.
    pub dimension: TariffDimension,
    /// Micro-tokens per kWh (ENERGY), per hour (TIME, PARKING_TIME) or per session (FLAT).
    pub price: Amount,
}

/// What a price counts (OCPI `TariffDimensionType`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum TariffDimension {
    /// Metered energy.
    Energy,
    /// Time in which current flows or may flow.
    Time,
    /// Time in which a full vehicle stays plugged in.
    ParkingTime,
    /// Once per session.
    Flat,
}

/// When an element holds; what is `None` or empty does not restrict.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TariffRestrictions {
    /// Local time of day from which it holds, in minutes after midnight, 0..1440.
    pub start_time: Option<u16>,
    /// Local time of day before which it holds; one at or before the start means the next day.
    pub end_time: Option<u16>,
    /// Local days on which it holds, each once, in order; empty means all.
    pub day_of_week: Vec<DayOfWeek>,
    /// Energy of the session from which it holds.
    pub min_energy: Option<WattHours>,
    /// Energy of the session before which it holds.
    pub max_energy: Option<WattHours>,
    /// Power from which it holds.
    pub min_power: Option<Watts>,
    /// Power below which it holds.
    pub max_power: Option<Watts>,
    /// Duration of the session from which it holds.
    pub min_duration: Option<Duration>,
    /// Duration of the session before which it holds.
    pub max_duration: Option<Duration>,
}

/// A day of the week (OCPI `DayOfWeek`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum DayOfWeek {
    /// ISO 8601 day 1.
    Monday,
    /// ISO 8601 day 2.
    Tuesday,
    /// ISO 8601 day 3.
    Wednesday,
    /// ISO 8601 day 4.
    Thursday,
    /// ISO 8601 day 5.
    Friday,
    /// ISO 8601 day 6.
    Saturday,
    /// ISO 8601 day 7.
    Sunday,
}
