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
use serde::Deserialize;

use super::{
    ApiState,
    problem::ApiProblem,
    query::{
        ACCOUNT, Asked, CONDOMINIUM, CURSOR, LIMIT, Nothing, PageQuery, Parameter, Parameters, Path, account_named, cursor_of, key_cursor,
        key_hash, key_of, limit, page_of_keys,
    },
    readers::Reader,
    transactions,
};
use crate::app::{Snapshot, StoreError};

/// The first byte of every redemption's key.
const REDEMPTIONS: [u8; 1] = [12];

/// The list of an account's transactions.
const HISTORY: &str = "transactions";

/// The most redemptions that are looked at for one answer: a page of one account's may be short, and another follow.
const MAX_LOOKED_AT: u32 = 10_000;

/// The first byte of every role's key; the condominium, the role's number and the account follow.
const ROLES: u8 = 4;

/// `GET /accounts/{address}`.
pub async fn show(
    State(state): State<ApiState>,
    reader: Reader,
    Path(address): Path<String>,
    _: Asked<Nothing>,
) -> Result<Json<AccountView>, ApiProblem> {
    let address: Address = account_named(&address)?;
    let next_nonce = state.app.next_nonce(address).await?;
    let snapshot = state.app.snapshot()?;
    reader.sight(&snapshot)?.require_account(&snapshot, &address)?;
    let account = snapshot.account(&address)?.ok_or_else(|| unknown(&address))?;
    let undrawn = account.credit_limit.saturating_sub(account.debt);
    let available = account.balance.checked_add(undrawn).unwrap_or(chain::quantity::Amount::MAX);
    let mut held = Vec::new();
    for condominium in condominium_ids(&snapshot)? {
        for role in Role::ALL {
            let grant = snapshot.record::<RoleGrant>(&chain::record::Key::Role(condominium, role, address))?;
            if let Some(grant) = grant {
                held.push(role_view(&snapshot, condominium, role, address, grant)?);
            }
        }
    }
    Ok(Json(AccountView { address, account, available, next_nonce: next_nonce.unwrap_or_default(), roles: held }))
}

/// The problem of an address that nobody registered: 404, with the chain's own code.
pub fn unknown(address: &Address) -> ApiProblem {
    ApiProblem::rejected(&Rejection::new(Code::UnknownAccount))
        .with_status_not_found(format!(
            "account {address} is not registered: check the address; a manager, an invite or a first sale registers an account"
        ))
        .about("account")
}

/// `GET /accounts/{address}/transactions`, newest first.
pub async fn transactions(
    State(state): State<ApiState>,
    reader: Reader,
    Path(address): Path<String>,
    Asked(query): Asked<PageQuery>,
) -> Result<Json<Page<TransactionView>>, ApiProblem> {
    let address: Address = account_named(&address)?;
    let snapshot = state.app.snapshot()?;
    reader.sight(&snapshot)?.require_account(&snapshot, &address)?;
    let found = snapshot.account_history(&address, query.location(HISTORY)?, query.limit()?)?;
    let mut items = Vec::with_capacity(found.entries.len());
    for (location, ()) in found.entries {
        let Some((receipt, _)) = snapshot.receipt(location)? else { continue };
        if let Cause::Transaction(id) = receipt.cause {
            items.push(transactions::view(&snapshot, id, location)?);
        }
    }
    Ok(Json(Page { items, next: found.next.map(|place| cursor_of(HISTORY, place)) }))
}

/// `?condominium=` and a page.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RolesQuery {
    condominium: u32,
    limit: Option<u32>,
    cursor: Option<String>,
}

impl Parameters for RolesQuery {
    const TAKEN: &'static [Parameter] = &[Parameter::new("condominium", CONDOMINIUM, "Where.").required(), LIMIT, CURSOR];
}

/// `GET /roles?condominium=1`.
pub async fn roles(State(state): State<ApiState>, Asked(query): Asked<RolesQuery>) -> Result<Json<Page<RoleView>>, ApiProblem> {
    let condominium = CondominiumId(query.condominium);
    let limit = limit(query.limit)?;
    let snapshot = state.app.snapshot()?;
    if snapshot.condominium(condominium)?.is_none() {
        return Err(ApiProblem::not_found(format!("there is no condominium {condominium}: list the condominiums")).about("condominium"));
    }
    let table = [&[ROLES][..], &condominium.0.to_be_bytes()].concat();
    let after = query.cursor.as_deref().map(|text| key_of(text, &table)).transpose()?;
    let rows = snapshot.records::<RoleGrant>(&table, after.as_deref(), limit.saturating_add(1))?;
    let held = |key: &[u8]| {
        let (number, address) = key.get(table.len()..)?.split_first()?;
        Some((Role::ALL.into_iter().find(|role| role.number() == *number)?, Address(address.try_into().ok()?)))
    };
    let mut views = Vec::with_capacity(rows.len());
    for (key, grant) in rows {
        let Some((role, account)) = held(&key) else { continue };
        let view = role_view(&snapshot, condominium, role, account, grant)?;
        views.push((key, view));
    }
    Ok(Json(page_of_keys(&table, views, limit, |_, view| Some(view))))
}

fn role_view(
    snapshot: &Snapshot<'_>,
    condominium: CondominiumId,
    role: Role,
    account: Address,
    grant: RoleGrant,
) -> Result<RoleView, ApiProblem> {
    let suspension = match role {
        Role::Gateway => snapshot.record(&chain::record::Key::Suspension(condominium, account))?,
        Role::Manager | Role::Treasurer | Role::Scheduler | Role::Auditor => None,
    };
    Ok(RoleView { condominium, role, account, grant, suspension })
}

/// `?account=` and a page.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RedemptionsQuery {
    account: Option<String>,
    limit: Option<u32>,
    cursor: Option<String>,
}

impl Parameters for RedemptionsQuery {
    const TAKEN: &'static [Parameter] = &[Parameter::new("account", ACCOUNT, "Those of this account."), LIMIT, CURSOR];
}

/// `GET /redemptions?account=`: those that wait for an answer.
pub async fn redemptions(
    State(state): State<ApiState>,
    reader: Reader,
    Asked(query): Asked<RedemptionsQuery>,
) -> Result<Json<Page<RedemptionView>>, ApiProblem> {
    let account: Option<Address> = query.account.as_deref().map(account_named).transpose()?;
    let limit = limit(query.limit)?;
    let after = query.cursor.as_deref().map(|text| key_of(text, &REDEMPTIONS)).transpose()?;
    let snapshot = state.app.snapshot()?;
    let sight = reader.sight(&snapshot)?;
    if let Some(account) = &account {
        sight.require_account(&snapshot, account)?;
    }
    let looked_at = if account.is_none() && sight.is_everything() { limit } else { MAX_LOOKED_AT };
    let rows = snapshot.records::<Redemption>(&REDEMPTIONS, after.as_deref(), looked_at.saturating_add(1))?;
    let more = rows.len() > looked_at as usize;
    let mut page = Page { items: Vec::new(), next: None };
    let mut last = None;
    for (key, redemption) in rows.into_iter().take(looked_at as usize) {
        if page.items.len() >= limit as usize {
            page.next = last.map(|key: Vec<u8>| key_cursor(&REDEMPTIONS, &key));
            return Ok(Json(page));
        }
        if account.is_none_or(|account| account == redemption.account)
            && sight.takes_in_account(&snapshot, &redemption.account)?
            && let Some(id) = key_hash(&key)
        {
            page.items.push(RedemptionView { id: RedemptionId(Hash32(id)), redemption });
        }
        last = Some(key);
    }
    page.next = last.filter(|_| more).map(|key| key_cursor(&REDEMPTIONS, &key));
    Ok(Json(page))
}

/// Every condominium's id, in order.
pub fn condominium_ids(snapshot: &Snapshot<'_>) -> Result<Vec<CondominiumId>, StoreError> {
    let most = u32::try_from(contracts::genesis::MAX_CONDOMINIUMS).unwrap_or(u32::MAX);
    let rows = snapshot.records::<chain::record::Condominium>(&[3], None, most)?;
    Ok(rows.iter().filter_map(|(key, _)| Some(CondominiumId(u32::from_be_bytes(key.get(1..5)?.try_into().ok()?)))).collect())
}
