//! The bill of a session.
//!
//! Called through [`super`], which has the receipts around them.

use serde::{Deserialize, Serialize};

use crate::{
    id::{Address, ConnectorId, SessionId, TariffId},
    quantity::{Amount, WattHours},
    record::{CostByComponent, EndReason},
    time::Timestamp,
};

/// The bill of a session: `escrow = paid + refund`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SessionReceipt {
    /// Which.
    pub session: SessionId,
    /// Who paid.
    pub account: Address,
    /// Where.
    pub connector: ConnectorId,
    /// The tariff that billed it.
    pub tariff: TariffId,
    /// Its version.
    pub tariff_version: u32,
    /// The block time of the opening.
    pub opened_at: Timestamp,
    /// The block time of the first grant.
    pub first_granted_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Timestamp,
    /// The block time of the settlement.
    pub settled_at: Timestamp,
    /// Why it ended.
    pub reason: EndReason,
    /// Who settled it.
    pub settled_by: Settler,
    /// Metered.
    pub energy: WattHours,
    /// Paid for.
    pub energy_billed: WattHours,
    /// The exact cost by dimension, before the tariff's least and highest price, the cap and the rounding.
    pub cost: CostByComponent,
    /// What was locked.
    pub escrow: Amount,
    /// To the condominium's revenue: the cost within the tariff's least and highest price, rounded down once, at most the escrow.
    pub paid: Amount,
    /// Back to the account.
    pub refund: Amount,
    /// What the condominium bears.
    pub overdrawn: Option<Overdrawn>,
    /// Readings that were accepted.
    #[serde(with = "crate::quantity::decimal")]
    #[cfg_attr(feature = "openapi", schema(value_type = crate::openapi::Decimal))]
    pub readings: u64,
    /// Raw samples behind them.
    #[serde(with = "crate::quantity::decimal")]
    #[cfg_attr(feature = "openapi", schema(value_type = crate::openapi::Decimal))]
    pub samples: u64,
}

/// Who settled a session.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Settler {
    /// The gateway, by a transaction.
    Gateway,
    /// The chain itself: nothing was metered, or the gateway did not in time.
    Chain,
}

/// Energy past what the escrow pays for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Overdrawn {
    /// Metered and not paid for.
    pub energy: WattHours,
    /// Cost above the escrow, rounded down.
    pub amount: Amount,
}
