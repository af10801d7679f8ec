//! Accounts, their transactions, roles and redemptions.

use axum::{Json, extract::State};
use chain::{
    api::{AccountView, Page, RedemptionView, RoleView, TransactionView},
    code::{Code, Rejection},
    hash::Hash32,
    id::{Address, CondominiumId, RedemptionId},
    receipt::Cause,
    record::{Redemption, Role, RoleGrant},
};
use contracts::roles;
use serde::Deserialize;

use super::{
    ApiState,
    problem::ApiProblem,
    query::{Asked, PageQuery, Path, cursor_of, key_hash, page_of_keys, parse},
    transactions,
};
use crate::app::Snapshot;

/// The first byte of every redemption's key.
const REDEMPTIONS: [u8; 1] = [12];

/// The most redemptions that are looked at for one answer.
const MAX_REDEMPTIONS: u32 = 10_000;

/// `GET /accounts/{address}`.
pub async fn show(State(state): State<ApiState>, Path(address): Path<String>) -> Result<Json<AccountView>, ApiProblem> {
    let address: Address = parse(&address, "account")?;
    let next_nonce = state.app.next_nonce(address).await?;
    let snapshot = state.app.snapshot()?;
    let account = snapshot.account(&address)?.ok_or_else(|| unknown(&address))?;
    let undrawn = account.credit_limit.saturating_sub(account.debt);
    let available = account.balance.checked_add(undrawn).unwrap_or(chain::quantity::Amount::MAX);
    let mut held = Vec::new();
    for condominium in condominium_ids(&snapshot)? {
        for role in Role::ALL {
            let grant = snapshot.record::<RoleGrant>(&chain::record::Key::Role(condominium, role, address))?;
            held.extend(grant.map(|grant| RoleView { condominium, role, account: address, grant }));
        }
    }
    Ok(Json(AccountView { address, account, available, next_nonce: next_nonce.unwrap_or_default(), roles: held }))
}

/// The problem of an address that nobody registered: 404, with the chain's own code.
fn unknown(address: &Address) -> ApiProblem {
    ApiProblem::rejected(&Rejection::new(Code::UnknownAccount)).with_status_not_found(format!(
        "account {address} is not registered: check the address; a manager, an invite or a first sale registers an account"
    ))
}

/// `GET /accounts/{address}/transactions`, newest first.
pub async fn transactions(
    State(state): State<ApiState>,
    Path(address): Path<String>,
    Asked(query): Asked<PageQuery>,
) -> Result<Json<Page<TransactionView>>, ApiProblem> {
    let address: Address = parse(&address, "account")?;
    let snapshot = state.app.snapshot()?;
    let found = snapshot.account_history(&address, query.location()?, query.limit()?)?;
    let mut items = Vec::with_capacity(found.entries.len());
    for (location, ()) in found.entries {
        let Some((receipt, _)) = snapshot.receipt(location)? else { continue };
        if let Cause::Transaction(id) = receipt.cause {
            items.push(transactions::view(&snapshot, id, location)?);
        }
    }
    Ok(Json(Page { items, next: found.next.map(cursor_of) }))
}

/// `?condominium=`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RolesQuery {
    condominium: u32,
}

/// `GET /roles?condominium=1`.
pub async fn roles(State(state): State<ApiState>, Asked(query): Asked<RolesQuery>) -> Result<Json<Page<RoleView>>, ApiProblem> {
    let condominium = CondominiumId(query.condominium);
    let snapshot = state.app.snapshot()?;
    if snapshot.condominium(condominium)?.is_none() {
        return Err(ApiProblem::not_found(format!("there is no condominium {condominium}")));
    }
    let ledger = contracts::ledger::Ledger::new(&snapshot);
    let mut items = Vec::new();
    for role in Role::ALL {
        for (account, grant) in roles::grants(&ledger, condominium, role)? {
            items.push(RoleView { condominium, role, account, grant });
        }
    }
    Ok(Json(Page { items, next: None }))
}

/// `?account=` and a page.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RedemptionsQuery {
    account: Option<String>,
}

/// `GET /redemptions?account=`: those that wait for an answer.
pub async fn redemptions(
    State(state): State<ApiState>,
    Asked(query): Asked<RedemptionsQuery>,
) -> Result<Json<Page<RedemptionView>>, ApiProblem> {
    let account: Option<Address> = query.account.as_deref().map(|text| parse(text, "account")).transpose()?;
    let snapshot = state.app.snapshot()?;
    let rows = snapshot.records::<Redemption>(&REDEMPTIONS, None, MAX_REDEMPTIONS)?;
    let page = page_of_keys(rows, MAX_REDEMPTIONS, |key, redemption| {
        let id = RedemptionId(Hash32(key_hash(key)?));
        account.is_none_or(|account| account == redemption.account).then_some(RedemptionView { id, redemption })
    });
    Ok(Json(page))
}

/// Every condominium's id, in order.
pub fn condominium_ids(snapshot: &Snapshot<'_>) -> Result<Vec<CondominiumId>, ApiProblem> {
    let most = u32::try_from(contracts::genesis::MAX_CONDOMINIUMS).unwrap_or(u32::MAX);
    let rows = snapshot.records::<chain::record::Condominium>(&[3], None, most)?;
    Ok(rows.iter().filter_map(|(key, _)| Some(CondominiumId(u32::from_be_bytes(key.get(1..5)?.try_into().ok()?)))).collect())
}
