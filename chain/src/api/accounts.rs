//! Accounts, their roles, payouts, mandates and cards.
//!
//! Called through [`super`], which says what holds for all of them.

use serde::{Deserialize, Serialize};

use crate::{
    id::{Address, CardId, CondominiumId, ConnectorId, RedemptionId},
    quantity::Amount,
    record::{Account, AskedStart, Card, Mandate, Redemption, Role, RoleGrant, Suspension},
};

/// `GET /accounts/{address}`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AccountView {
    /// Its address.
    pub address: Address,
    /// Its record.
    pub account: Account,
    /// What it can lock: balance and undrawn credit.
    pub available: Amount,
    /// The nonce of its key's next transaction, those that wait for a block counted.
    #[serde(with = "crate::quantity::decimal")]
    #[cfg_attr(feature = "openapi", schema(value_type = crate::openapi::Decimal))]
    pub next_nonce: u64,
    /// Its roles, those that begin or end later too.
    pub roles: Vec<RoleView>,
}

/// A role of an account.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RoleView {
    /// Where.
    pub condominium: CondominiumId,
    /// Which.
    pub role: Role,
    /// Whose.
    pub account: Address,
    /// When.
    pub grant: RoleGrant,
    /// A gateway's suspension, in force or lifted, where there ever was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspension: Option<Suspension>,
}

/// The items of `GET /redemptions`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RedemptionView {
    /// Which.
    pub id: RedemptionId,
    /// Its record.
    pub redemption: Redemption,
}

/// One of `GET /accounts/{address}/mandates`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MandateView {
    /// Whose.
    pub account: Address,
    /// Where cards may start charges in its name.
    pub condominium: CondominiumId,
    /// The mandate.
    pub mandate: Mandate,
    /// What sessions of the present UTC day use of it.
    pub used_today: Amount,
}

/// One of `GET /accounts/{address}/starts`: a start by a card that the account may confirm.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AskedStartView {
    /// Where the card was shown.
    pub connector: ConnectorId,
    /// What it asks for.
    pub start: AskedStart,
}

/// One of `GET /cards`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CardView {
    /// Where it is bound.
    pub condominium: CondominiumId,
    /// The commitment to the card.
    pub id: CardId,
    /// Whose, and since when.
    pub card: Card,
}

/// The answer to an order about a card.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CardOrderDone {
    /// The card's binding.
    pub card: CardId,
    /// Whether the gateway has the key of it now.
    pub kept: bool,
}
