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
    query::{
        ACCOUNT, Asked, CONNECTOR, CURSOR, Kind, LIMIT, Nothing, PageQuery, Parameter, Parameters, Path, account_named, cursor_of,
        cursor_within, key_hash, key_local, key_of, limit, location_of, page_of_keys, parse, place_within,
    },
    readers::{Reader, Sight},
    transactions::{named, proven},
};
use crate::app::{Listed, Location, Snapshot};

/// The first byte of every open session's key.
const SESSIONS: [u8; 1] = [9];

/// The first byte of every connector's key.
const CONNECTORS: [u8; 1] = [6];

/// The lists that go by the place in the chain.
const PLACES: &str = "sessions";
const READINGS: &str = "readings";

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
    const TAKEN: &'static [Parameter] = &[
        Parameter::new("account", ACCOUNT, "Those of this account."),
        Parameter::new("connector", CONNECTOR, "Those at this connector."),
        Parameter::new("state", Kind::OneOf(&["open", "settled", "all"]), "Those in this state."),
        LIMIT,
        CURSOR,
    ];
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StateFilter {
    Open,
    Settled,
    All,
}

/// `GET /sessions`: all that are open, or those of an account, of a connector or of all, newest first.
pub async fn list(
    State(state): State<ApiState>,
    reader: Reader,
    Asked(query): Asked<SessionsQuery>,
) -> Result<Json<Page<SessionView>>, ApiProblem> {
    let limit = limit(query.limit)?;
    let account: Option<Address> = query.account.as_deref().map(account_named).transpose()?;
    let connector: Option<ConnectorId> = query.connector.as_deref().map(|text| parse(text, "connector")).transpose()?;
    let snapshot = state.app.snapshot()?;
    let sight = reader.sight(&snapshot)?;
    if let Some(account) = &account {
        sight.require_account(&snapshot, account)?;
    } else if let Some(connector) = connector {
        sight.require_condominium(connector.condominium, "all sessions at a connector")?;
    }
    let tickets = state.queue.borrow().clone();
    let cursor = |text: &Option<String>| text.as_deref().map(|text| location_of(PLACES, text)).transpose();
    let found = match (account, connector) {
        (Some(account), _) => snapshot.account_sessions(&account, cursor(&query.cursor)?, limit)?,
        (None, Some(connector)) => snapshot.connector_sessions(connector, cursor(&query.cursor)?, limit)?,
        (None, None) if matches!(query.state, None | Some(StateFilter::Open)) => {
            let after = query.cursor.as_deref().map(|text| key_of(text, &SESSIONS)).transpose()?;
            let rows = snapshot.records::<Session>(&SESSIONS, after.as_deref(), limit.saturating_add(1))?;
            let page = page_of_keys(&SESSIONS, rows, limit, |key, session| Some((SessionId(Hash32(key_hash(key)?)), session)));
            let shown =
                page.items.into_iter().filter(|(_, session)| sight.takes_in_session(&session.account, session.connector.condominium));
            let views = shown.map(|(id, session)| open_view(&snapshot, id, session, &tickets));
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
        let (owner, place) = owner_of(&view);
        // Whoever may read an account, but not the place where it charged, finds its sessions all the same.
        let shown = account.is_some() || sight.takes_in_session(&owner, place.condominium);
        if fits && shown && connector.is_none_or(|connector| connector == place) {
            items.push(view);
        }
    }
    Ok(Json(Page { items, next: found.next.map(|place| cursor_of(PLACES, place)) }))
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
pub async fn show(
    State(state): State<ApiState>,
    reader: Reader,
    Path(id): Path<String>,
    _: Asked<Nothing>,
) -> Result<Json<SessionView>, ApiProblem> {
    let snapshot = state.app.snapshot()?;
    let id = session_named(&snapshot, reader, &id)?;
    let tickets = state.queue.borrow().clone();
    view(&snapshot, id, &tickets)?.map(Json).ok_or_else(|| unknown(id))
}

/// `GET /sessions/{id}/receipt`: of its settlement.
pub async fn receipt(
    State(state): State<ApiState>,
    reader: Reader,
    Path(id): Path<String>,
    _: Asked<Nothing>,
) -> Result<Json<ProvenReceipt>, ApiProblem> {
    let snapshot = state.app.snapshot()?;
    let id = session_named(&snapshot, reader, &id)?;
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
    reader: Reader,
    Path(id): Path<String>,
    Asked(query): Asked<PageQuery>,
) -> Result<Json<Page<ReadingView>>, ApiProblem> {
    let snapshot = state.app.snapshot()?;
    let id = session_named(&snapshot, reader, &id)?;
    if snapshot.transaction(TxId(id.0))?.is_none() {
        return Err(unknown(id));
    }
    let limit = query.limit()?;
    let (from, mut given) =
        query.cursor().map(|text| place_within(READINGS, text)).transpose()?.map_or((None, 0), |(from, given)| (Some(from), given));
    let found = snapshot.session_history(id, from, limit)?;
    let mut items = Vec::new();
    for (location, ()) in found.entries {
        // A transaction may attest several readings of one session, and a page may end between them.
        for reading in readings_at(&snapshot, location, id)?.into_iter().rev().skip(given as usize) {
            if items.len() >= limit as usize {
                return Ok(Json(Page { items, next: Some(cursor_within(READINGS, location, given)) }));
            }
            items.push(reading);
            given = given.saturating_add(1);
        }
        given = 0;
    }
    Ok(Json(Page { items, next: found.next.map(|place| cursor_of(READINGS, place)) }))
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
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub struct SamplesView {
    session: SessionId,
    #[serde(with = "chain::quantity::decimal")]
    #[schema(value_type = chain::openapi::Decimal)]
    sequence: u64,
    salt: Hash32,
    root: Hash32,
    samples: Vec<String>,
}

/// `GET /sessions/{id}/readings/{sequence}/samples`.
pub async fn samples(
    State(state): State<ApiState>,
    reader: Reader,
    Path((id, sequence)): Path<(String, String)>,
    _: Asked<Nothing>,
) -> Result<Json<SamplesView>, ApiProblem> {
    let snapshot = state.app.snapshot()?;
    let session = session_named(&snapshot, reader, &id)?;
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

/// `?session=` and a page.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QueueQuery {
    session: Option<String>,
    limit: Option<u32>,
    cursor: Option<String>,
}

impl Parameters for QueueQuery {
    const TAKEN: &'static [Parameter] =
        &[Parameter::new("session", Kind::Text(chain::openapi::HASH), "The ticket of this session alone."), LIMIT, CURSOR];
}

/// `GET /queue`: the ticket of a session for whoever knows its id; otherwise those that the reader may see.
pub async fn queue(
    State(state): State<ApiState>,
    reader: Reader,
    Asked(query): Asked<QueueQuery>,
) -> Result<Json<Page<QueueTicket>>, ApiProblem> {
    let mut tickets = state.queue.borrow().clone();
    if let Some(session) = &query.session {
        let session: SessionId = parse(session, "session")?;
        tickets.retain(|ticket| ticket.session == session);
    } else {
        reader.required("the whole queue")?;
        let snapshot = state.app.snapshot()?;
        let sight = reader.sight(&snapshot)?;
        let mut shown = Vec::with_capacity(tickets.len());
        for ticket in tickets {
            let own = || snapshot.session(ticket.session).map(|found| found.is_some_and(|session| sight.is_own(&session.account)));
            if sight.takes_in(ticket.connector.condominium) || own()? {
                shown.push(ticket);
            }
        }
        tickets = shown;
    }
    // A ticket keeps its place in the list for as long as it waits, whatever its place in the queue becomes.
    let key = |ticket: &QueueTicket| {
        let group = [ticket.group.condominium.0.to_be_bytes(), ticket.group.number.to_be_bytes()].concat();
        [&group, ticket.since.ms().to_be_bytes().as_slice(), ticket.session.0.as_bytes()].concat()
    };
    let page = PageQuery::new(query.limit, query.cursor);
    page.of("queue", tickets, key).map(Json)
}

/// The session that a text names by its id or an unambiguous beginning of it, where the reader may see it: whatever is said of one session begins here.
pub fn session_named(snapshot: &Snapshot<'_>, reader: Reader, text: &str) -> Result<SessionId, ApiProblem> {
    let is_session = |id: TxId| -> Result<bool, ApiProblem> {
        let session = SessionId(id.0);
        Ok(snapshot.session(session)?.is_some() || snapshot.settlement(session)?.is_some())
    };
    let id = SessionId(named(snapshot, "session", text, is_session)?.0);
    require_session(snapshot, &reader.sight(snapshot)?, id)?;
    Ok(id)
}

fn unknown(id: SessionId) -> ApiProblem {
    ApiProblem::not_found(format!("there is no session {id}: its id is that of the transaction that opened it")).about("session")
}

/// Whose a session is, and where.
const fn owner_of(view: &SessionView) -> (Address, ConnectorId) {
    match view {
        SessionView::Open { session, .. } => (session.account, session.connector),
        SessionView::Settled { receipt, .. } => (receipt.account, receipt.connector),
    }
}

/// Requires that a reader may see a session; one that is not there is nobody's secret.
fn require_session(snapshot: &Snapshot<'_>, sight: &Sight, id: SessionId) -> Result<(), ApiProblem> {
    let Some(view) = view(snapshot, id, &[])? else { return Ok(()) };
    let (owner, place) = owner_of(&view);
    if sight.takes_in_session(&owner, place.condominium) || sight.takes_in_account(snapshot, &owner)? {
        return Ok(());
    }
    let detail = format!(
        "session {id} may be read by whoever opened it, and by managers, treasurers and auditors of its place and of the owner's home"
    );
    Err(ApiProblem::may_not_read(detail).about("session"))
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
