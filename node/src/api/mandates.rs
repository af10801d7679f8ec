//! What accounts let cards start, what waits for their confirmation, and which cards are bound.

use axum::{Json, extract::State};
use chain::{
    api::{AskedStartView, CardView, MandateView, Page},
    hash::Hash32,
    id::{Address, CardId, CondominiumId, ConnectorId},
    record::{AskedStart, Card, Key, Mandate},
};
use contracts::{
    ledger::Ledger,
    mandates::{day_of, used_on},
};
use serde::Deserialize;

use super::{
    ApiState,
    problem::ApiProblem,
    query::{ACCOUNT, Asked, CONDOMINIUM, CURSOR, LIMIT, PageQuery, Parameter, Parameters, Path, account_named, key_cursor, key_of, limit},
    readers::Reader,
};

/// The most cards that are looked at for one answer: a page of one account's may be short, and another follow.
const MAX_LOOKED_AT: u32 = 10_000;

/// `GET /accounts/{address}/mandates`.
pub async fn mandates(
    State(state): State<ApiState>,
    reader: Reader,
    Path(address): Path<String>,
    Asked(query): Asked<PageQuery>,
) -> Result<Json<Page<MandateView>>, ApiProblem> {
    let account: Address = account_named(&address)?;
    let snapshot = state.app.snapshot()?;
    reader.sight(&snapshot)?.require_account(&snapshot, &account)?;
    let today = day_of(state.clock.now());
    let mut prefix = Key::Mandate(account, CondominiumId(0)).bytes();
    let condominium_at = prefix.len().saturating_sub(4);
    prefix.truncate(condominium_at);
    let most = u32::try_from(contracts::genesis::MAX_CONDOMINIUMS).unwrap_or(u32::MAX);
    let mut views = Vec::new();
    for (key, mandate) in snapshot.records::<Mandate>(&prefix, None, most)? {
        let Some(number) = key.get(condominium_at..).and_then(|bytes| bytes.try_into().ok()) else { continue };
        let condominium = CondominiumId(u32::from_be_bytes(number));
        let used = used_on(&Ledger::new(&snapshot), account, condominium, today);
        let used_today = used.map_err(|fault| ApiProblem::internal(&fault.to_string()))?;
        views.push(MandateView { account, condominium, mandate, used_today });
    }
    Ok(Json(query.of("mandates", views, |view| view.condominium.0.to_be_bytes().to_vec())?))
}

/// The most connectors that are looked at for starts that wait; they are asked for one at a time, and each has one at most.
const MAX_ASKED: u32 = 10_000;

/// `GET /accounts/{address}/starts`: what the account's cards have asked for and it may still confirm.
pub async fn starts(
    State(state): State<ApiState>,
    reader: Reader,
    Path(address): Path<String>,
    Asked(query): Asked<PageQuery>,
) -> Result<Json<Page<AskedStartView>>, ApiProblem> {
    let account: Address = account_named(&address)?;
    let snapshot = state.app.snapshot()?;
    reader.sight(&snapshot)?.require_account(&snapshot, &account)?;
    let now = state.clock.now();
    let table = [Key::AskedStart(ConnectorId::new(CondominiumId(0), 0)).table()];
    let mut views = Vec::new();
    for (key, start) in snapshot.records::<AskedStart>(&table, None, MAX_ASKED)? {
        let Some((condominium, number)) = key.get(1..).and_then(|id| id.split_first_chunk::<4>()) else { continue };
        let Ok(number) = <[u8; 4]>::try_from(number) else { continue };
        if start.account == account && start.until > now {
            let connector = ConnectorId::new(CondominiumId(u32::from_be_bytes(*condominium)), u32::from_be_bytes(number));
            views.push(AskedStartView { connector, start });
        }
    }
    Ok(Json(query.of("starts", views, |view| [view.connector.condominium.0.to_be_bytes(), view.connector.number.to_be_bytes()].concat())?))
}

/// `?condominium=&account=` and a page.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CardsQuery {
    condominium: Option<u32>,
    account: Option<String>,
    limit: Option<u32>,
    cursor: Option<String>,
}

impl Parameters for CardsQuery {
    const TAKEN: &'static [Parameter] = &[
        Parameter::new("condominium", CONDOMINIUM, "Those that are bound there."),
        Parameter::new("account", ACCOUNT, "Those of this account."),
        LIMIT,
        CURSOR,
    ];
}

/// `GET /cards?condominium=1&account=`: the cards that are bound.
pub async fn cards(
    State(state): State<ApiState>,
    reader: Reader,
    Asked(query): Asked<CardsQuery>,
) -> Result<Json<Page<CardView>>, ApiProblem> {
    let account: Option<Address> = query.account.as_deref().map(account_named).transpose()?;
    let limit = limit(query.limit)?;
    let mut table = Key::Card(CondominiumId(query.condominium.unwrap_or_default()), CardId(Hash32::ZERO)).bytes();
    table.truncate(if query.condominium.is_some() { 5 } else { 1 });
    let after = query.cursor.as_deref().map(|text| key_of(text, &table)).transpose()?;
    let snapshot = state.app.snapshot()?;
    let sight = reader.sight(&snapshot)?;
    if let Some(account) = &account {
        sight.require_account(&snapshot, account)?;
    }
    let looked_at = if account.is_none() && sight.is_everything() { limit } else { MAX_LOOKED_AT };
    let rows = snapshot.records::<Card>(&table, after.as_deref(), looked_at.saturating_add(1))?;
    let more = rows.len() > looked_at as usize;
    let mut page = Page { items: Vec::new(), next: None };
    let mut last = None;
    for (key, card) in rows.into_iter().take(looked_at as usize) {
        if page.items.len() >= limit as usize {
            page.next = last.map(|key: Vec<u8>| key_cursor(&table, &key));
            return Ok(Json(page));
        }
        if account.is_none_or(|account| account == card.account)
            && let Some((condominium, id)) = ids(&key)
            && (sight.takes_in(condominium) || sight.is_own(&card.account))
        {
            page.items.push(CardView { condominium, id, card });
        }
        last = Some(key);
    }
    page.next = last.filter(|_| more).map(|key| key_cursor(&table, &key));
    Ok(Json(page))
}

/// The condominium and the card in a key.
fn ids(key: &[u8]) -> Option<(CondominiumId, CardId)> {
    let (condominium, card) = key.get(1..)?.split_first_chunk::<4>()?;
    Some((CondominiumId(u32::from_be_bytes(*condominium)), CardId(Hash32(card.try_into().ok()?))))
}
