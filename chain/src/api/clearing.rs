//! Condominiums, and what they owe one another.
//!
//! Called through [`super`], which says what holds for all of them.

use serde::{Deserialize, Serialize};

use crate::{
    id::CondominiumId,
    quantity::Amount,
    record::{Clearing, Condominium, Roaming},
    time::Timestamp,
};

/// The items of `GET /condominiums`, and of `GET /totals`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CondominiumView {
    /// Which.
    pub id: CondominiumId,
    /// Its record.
    pub condominium: Condominium,
    /// Σ balance of accounts at home there.
    pub balance: Amount,
    /// Σ held.
    pub held: Amount,
    /// Σ debt.
    pub debt: Amount,
    /// What other condominiums owe it.
    pub owed_to: Amount,
    /// What it owes others.
    pub owed_by: Amount,
    /// Whether Σ balance + Σ held = minted − redeemed + Σ debt + net position.
    pub conserved: bool,
}

/// The items of `GET /positions`: what one condominium owes another, or may yet come to owe it; of a pair at most one direction is owed.
///
/// Over all condominiums these debts sum to zero by their form: `owed_to` and `owed_by` of [`CondominiumView`] are their sums.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PositionView {
    /// Who owes.
    pub debtor: CondominiumId,
    /// Whom.
    pub creditor: CondominiumId,
    /// What it owes for what its accounts spent there, net of what the creditor owes it.
    pub owed: Amount,
    /// What open sessions may add: the sum of their escrows.
    pub pending: Amount,
    /// What it has to pay after clearings and the creditor's treasurer has not confirmed; not in `owed`.
    pub unpaid: Amount,
    /// The most that the creditor lets the debtor owe, pending and unpaid included.
    pub limit: Amount,
}

/// The items of `GET /clearings`, in order of number.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ClearingView {
    /// Which, from 1.
    pub number: u32,
    /// Its record.
    pub clearing: Clearing,
}

/// `GET /clearings/{number}`: what was charged away from home in a period, and who has to pay whom for it.
///
/// `GET /clearings/next` is the period that runs; its payments are what they would be if it ended now.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StatementView {
    /// Which, from 1.
    pub number: u32,
    /// The period's beginning; `None` where it is the chain's.
    pub from: Option<Timestamp>,
    /// Its end; `None` while it runs.
    pub until: Option<Timestamp>,
    /// What accounts of one home did where another is paid.
    pub roaming: Vec<RoamingView>,
    /// Who has to pay whom.
    pub payments: Vec<PaymentView>,
}

/// What accounts of one home did where another home is paid.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RoamingView {
    /// Whose accounts.
    pub home: CondominiumId,
    /// Who was paid.
    pub host: CondominiumId,
    /// What they did.
    pub roaming: Roaming,
}

/// The items of `GET /payments`: what one condominium has to pay another after a clearing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PaymentView {
    /// After which clearing.
    pub clearing: u32,
    /// Who pays.
    pub debtor: CondominiumId,
    /// Whom.
    pub creditor: CondominiumId,
    /// How much.
    pub amount: Amount,
    /// How far it is.
    pub state: PaymentState,
}

/// How far a payment between condominiums is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum PaymentState {
    /// The period still runs.
    Expected,
    /// To be paid.
    Due,
    /// Sent, as the debtor's treasurer says.
    Reported {
        /// The block time of his word.
        at: Timestamp,
    },
    /// Confirmed by the creditor's treasurer.
    Received,
}
