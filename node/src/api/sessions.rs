//! Sessions: open ones from the state, settled ones from their receipts; who waits and why; readings and the raw samples behind them.

use std::collections::BinaryHeap;

use axum::{Json, extract::State};
use chain::{
    api::{Page, ProvenReceipt, QueueTicket, ReadingView, SessionView},
    export::KeptSamples,
    hash::Hash32,
    id::{Address, ConnectorId, SessionId, TxId},
    quantity::{Amount, Cost, WattHours},
    receipt::{Cause, Event},
    record::{Connector, Session},
};
use contracts::{
    call::{Call, Transaction},
    tariff::due,
};
use serde::Deserialize;

use super::{
    ApiState,
    problem::ApiProblem,
    query::{Asked, Nothing, PageQuery, Parameters, Path, cursor_of, key_hash, key_local, key_of, limit, location_of, page_of_keys, parse},
    transactions::{named, proven},
};
use crate::app::{Listed, Location, Snapshot};

/// The first byte of every open session's key.
const SESSIONS: [u8; 1] = [9];

/// The first byte of every connector's key.
const CONNECTORS: [u8; 1] = [6];

/// The most connectors whose sessions are listed together.
const MAX_CONNECTORS: u32 = 10_000;

/// `?account=&connector=&state=` and a page.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionsQuery {
    account: Option<String>,
    connector: Option<String>,
    state: Option<StateFilter>,
    limit: Option<u32>,
    cursor: Option<String>,
}

impl Parameters for SessionsQuery {
    const NAMES: &'static [&'static str] = &["account", "connector", "state", "limit", "cursor"];
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StateFilter {
    Open,
    Settled,
    All,
}

/// `GET /sessions`: all that are open, or those of an account, of a connector or of all, newest first.
pub async fn list(State(state): State<ApiState>, Asked(query): Asked<SessionsQuery>) -> Result<Json<Page<SessionView>>, ApiProblem> {
    let limit = limit(query.limit)?;
    let account: Option<Address> = query.account.as_deref().map(|text| parse(text, "account")).transpose()?;
    let connector: Option<ConnectorId> = query.connector.as_deref().map(|text| parse(text, "connector")).transpose()?;
    let snapshot = state.app.snapshot()?;
    let tickets = state.queue.borrow().clone();
    let cursor = |text: &Option<String>| text.as_deref().map(location_of).transpose();
    let found = match (account, connector) {
        (Some(account), _) => snapshot.account_sessions(&account, cursor(&query.cursor)?, limit)?,
        (None, Some(connector)) => snapshot.connector_sessions(connector, cursor(&query.cursor)?, limit)?,
        (None, None) if matches!(query.state, None | Some(StateFilter::Open)) => {
            let after = query.cursor.as_deref().map(|text| key_of(text, &SESSIONS)).transpose()?;
            let rows = snapshot.records::<Session>(&SESSIONS, after.as_deref(), limit.saturating_add(1))?;
            let page = page_of_keys(rows, limit, |key, session| Some((SessionId(Hash32(key_hash(key)?)), session)));
            let views = page.items.into_iter().map(|(id, session)| open_view(&snapshot, id, session, &tickets));
            return Ok(Json(Page { items: views.collect::<Result<_, _>>()?, next: page.next }));
        }
        (None, None) => all_sessions(&snapshot, cursor(&query.cursor)?, limit)?,
    };
    let wanted = query.state.unwrap_or(StateFilter::All);
    let mut items = Vec::with_capacity(found.entries.len());
    for (_, id) in found.entries {
        let view = view(&snapshot, id, &tickets)?.ok_or_else(|| ApiProblem::internal("an indexed session is missing"))?;
        let fits = match (&view, wanted) {
            (_, StateFilter::All) | (SessionView::Open { .. }, StateFilter::Open) | (SessionView::Settled { .. }, StateFilter::Settled) => {
                true
            }
            (SessionView::Open { .. }, StateFilter::Settled) | (SessionView::Settled { .. }, StateFilter::Open) => false,
        };
        // An account given beside a connector narrows further.
        if fits && connector.is_none_or(|connector| connector == connector_of(&view)) {
            items.push(view);
        }
    }
    Ok(Json(Page { items, next: found.next.map(cursor_of) }))
}

/// Sessions of all connectors, open and settled, newest first: those of each connector are in order, so the newest of their heads is the next.
fn all_sessions(snapshot: &Snapshot<'_>, from: Option<Location>, limit: u32) -> Result<Listed<SessionId>, ApiProblem> {
    let head = |connector, from| -> Result<Option<Head>, ApiProblem> {
        let found = snapshot.connector_sessions(connector, from, 1)?;
        Ok(found.entries.first().map(|(place, id)| Head { place: *place, id: *id, connector, next: found.next }))
    };
    let mut heads = BinaryHeap::new();
    for (key, _) in snapshot.records::<Connector>(&CONNECTORS, None, MAX_CONNECTORS)? {
        let Some((condominium, number)) = key_local(&key) else { continue };
        heads.extend(head(ConnectorId::new(condominium, number), from)?);
    }
    let mut found = Listed { entries: Vec::new(), next: None };
    while let Some(newest) = heads.pop() {
        if found.entries.len() >= limit as usize {
            found.next = Some(newest.place);
            break;
        }
        found.entries.push((newest.place, newest.id));
        if newest.next.is_some() {
            heads.extend(head(newest.connector, newest.next)?);
        }
    }
    Ok(found)
}

/// The newest session of a connector that is not listed yet; compared by its place in the chain, which no two share.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Head {
    place: Location,
    id: SessionId,
    connector: ConnectorId,
    next: Option<Location>,
}

/// `GET /sessions/{id}`.
pub async fn show(State(state): State<ApiState>, Path(id): Path<String>, _: Asked<Nothing>) -> Result<Json<SessionView>, ApiProblem> {
    let snapshot = state.app.snapshot()?;
    let id = session_named(&snapshot, &id)?;
    let tickets = state.queue.borrow().clone();
    view(&snapshot, id, &tickets)?.map(Json).ok_or_else(|| unknown(id))
}

/// `GET /sessions/{id}/receipt`: of its settlement.
pub async fn receipt(State(state): State<ApiState>, Path(id): Path<String>, _: Asked<Nothing>) -> Result<Json<ProvenReceipt>, ApiProblem> {
    let snapshot = state.app.snapshot()?;
    let id = session_named(&snapshot, &id)?;
    match snapshot.settlement(id)? {
        Some(location) => proven(&snapshot, location).map(Json),
        None => Err(not_settled(&snapshot, id)?),
    }
}

/// The problem of a session that has no receipt yet, or is none.
pub fn not_settled(snapshot: &Snapshot<'_>, id: SessionId) -> Result<ApiProblem, ApiProblem> {
    if snapshot.session(id)?.is_none() {
        return Ok(unknown(id));
    }
    Ok(ApiProblem::not_found(format!("session {id} is still open: its receipt is made when it is settled")).about("session"))
}

/// `GET /sessions/{id}/readings`, newest first.
pub async fn readings(
    State(state): State<ApiState>,
    Path(id): Path<String>,
    Asked(query): Asked<PageQuery>,
) -> Result<Json<Page<ReadingView>>, ApiProblem> {
    let snapshot = state.app.snapshot()?;
    let id = session_named(&snapshot, &id)?;
    if snapshot.transaction(TxId(id.0))?.is_none() {
        return Err(unknown(id));
    }
    let found = snapshot.session_history(id, query.location()?, query.limit()?)?;
    let mut items = Vec::new();
    for (location, ()) in found.entries {
        let mut of_block = readings_at(&snapshot, location, id)?;
        of_block.reverse();
        items.extend(of_block);
    }
    Ok(Json(Page { items, next: found.next.map(cursor_of) }))
}

/// The session's readings in one receipt, in order.
fn readings_at(snapshot: &Snapshot<'_>, location: Location, id: SessionId) -> Result<Vec<ReadingView>, ApiProblem> {
    let Some((receipt, _)) = snapshot.receipt(location)? else { return Ok(Vec::new()) };
    let Cause::Transaction(transaction) = receipt.cause else { return Ok(Vec::new()) };
    let Some((bytes, _)) = snapshot.transaction_at(location)? else { return Ok(Vec::new()) };
    let decoded = Transaction::decode(&bytes).map_err(|error| ApiProblem::internal(&error.to_string()))?;
    let Call::Attest(attest) = &decoded.body().call else { return Ok(Vec::new()) };
    let outcomes =
        receipt.events.iter().filter_map(|event| if let Event::ReadingHandled { refused, .. } = event { Some(*refused) } else { None });
    let views = attest.readings.iter().zip(outcomes).filter(|(reading, _)| reading.session == id).map(|(reading, refused)| ReadingView {
        sequence: reading.sequence,
        at: reading.at,
        register_wh: reading.register_wh,
        power_w: reading.power_w.get(),
        flags: reading.flags.0,
        samples_root: reading.samples_root,
        sample_count: reading.sample_count,
        transaction,
        height: location.height,
        refused,
    });
    Ok(views.collect())
}

/// Raw samples as JSON: the salt, and each sample's bytes in hexadecimal digits.
#[derive(Debug, serde::Serialize)]
pub struct SamplesView {
    session: SessionId,
    #[serde(with = "chain::quantity::decimal")]
    sequence: u64,
    salt: Hash32,
    root: Hash32,
    samples: Vec<String>,
}

/// `GET /sessions/{id}/readings/{sequence}/samples`.
pub async fn samples(
    State(state): State<ApiState>,
    Path((id, sequence)): Path<(String, String)>,
    _: Asked<Nothing>,
) -> Result<Json<SamplesView>, ApiProblem> {
    let session = session_named(&state.app.snapshot()?, &id)?;
    let sequence: u64 = parse(&sequence, "reading")?;
    let found = (state.samples)(session, sequence).map_err(|cause| ApiProblem::internal(&cause))?;
    let samples = match found {
        KeptSamples::Here(samples) => samples,
        KeptSamples::Pruned => {
            return Err(ApiProblem::gone(format!(
                "the raw samples of reading {sequence} of session {session} were dropped by this gateway, whose operator keeps them for a limited time \
                 (gateway.keep_samples_days): the reading itself and its root stay on the chain"
            ))
            .about("reading"));
        }
        KeptSamples::Unknown => {
            let detail =
                format!("no raw samples of reading {sequence} of session {session} are kept here: they may be with another gateway");
            return Err(ApiProblem::not_found(detail).about("reading"));
        }
    };
    let root = samples.root();
    let bytes = samples.samples.iter().map(hex::encode).collect();
    Ok(Json(SamplesView { session, sequence, salt: samples.salt, root, samples: bytes }))
}

/// `GET /queue`.
pub async fn queue(State(state): State<ApiState>, Asked(query): Asked<PageQuery>) -> Result<Json<Page<QueueTicket>>, ApiProblem> {
    let tickets = state.queue.borrow().clone();
    query.of(tickets).map(Json)
}

/// The session that a text names by its id or an unambiguous beginning of it.
pub fn session_named(snapshot: &Snapshot<'_>, text: &str) -> Result<SessionId, ApiProblem> {
    let is_session = |id: TxId| -> Result<bool, ApiProblem> {
        let session = SessionId(id.0);
        Ok(snapshot.session(session)?.is_some() || snapshot.settlement(session)?.is_some())
    };
    named(snapshot, "session", text, is_session).map(|id| SessionId(id.0))
}

fn unknown(id: SessionId) -> ApiProblem {
    ApiProblem::not_found(format!("there is no session {id}: its id is that of the transaction that opened it")).about("session")
}

const fn connector_of(view: &SessionView) -> ConnectorId {
    match view {
        SessionView::Open { session, .. } => session.connector,
        SessionView::Settled { receipt, .. } => receipt.connector,
    }
}

fn view(snapshot: &Snapshot<'_>, id: SessionId, tickets: &[QueueTicket]) -> Result<Option<SessionView>, ApiProblem> {
    if let Some(session) = snapshot.session(id)? {
        return open_view(snapshot, id, session, tickets).map(Some);
    }
    let Some(location) = snapshot.settlement(id)? else { return Ok(None) };
    let Some((receipt, _)) = snapshot.receipt(location)? else { return Ok(None) };
    Ok(receipt.bill_of(id).map(|bill| SessionView::Settled { id, height: location.height, index: location.index, receipt: *bill }))
}

fn open_view(snapshot: &Snapshot<'_>, id: SessionId, session: Session, tickets: &[QueueTicket]) -> Result<SessionView, ApiProblem> {
    let energy = session.meter.map_or(WattHours::ZERO, |meter| meter.register.saturating_sub(meter.start));
    let version = snapshot.tariff_version(session.tariff, session.tariff_version)?;
    let due = version.and_then(|version| due(&version.tariff, &session.cost, energy));
    let cost = due.and_then(Cost::ceil).unwrap_or(Amount::MAX);
    let queue = tickets.iter().find(|ticket| ticket.session == id).cloned();
    Ok(SessionView::Open { id, cost_so_far: cost.min(session.escrow), energy, queue, session })
}
