//! What a condominium offers: connectors, groups, tariffs and their prices; and the sums of its tokens.

use axum::{Json, extract::State, http::StatusCode};
use chain::{
    api::{AmountByComponent, CondominiumView, ConnectorView, GroupView, MAX_QUOTE_ENERGY, Page, QuoteView, TariffView, Unit},
    code::{Code, Rejection},
    id::{ConnectorId, GroupId, TariffId},
    quantity::{Amount, Cost, Currents, WattHours},
    record::{Connector, CostByComponent, Group, Key, Service, TariffHead},
    time::{Duration, Timestamp},
    words::utc,
};
use contracts::{
    audit::conservation,
    ledger::Ledger,
    tariff::{QuoteRequest, in_force, quote as price},
};
use serde::Deserialize;

use super::{
    ApiState,
    problem::ApiProblem,
    query::{Asked, CONNECTOR, Kind, Nothing, PageQuery, Parameter, Parameters, Path, key_local, page_of_keys, parse},
    readers::{Reader, Sight},
};
use crate::app::Snapshot;

const GROUPS: [u8; 1] = [5];
const CONNECTORS: [u8; 1] = [6];
const TARIFF_HEADS: [u8; 1] = [7];

/// `GET /connectors`.
pub async fn connectors(
    State(state): State<ApiState>,
    reader: Reader,
    Asked(query): Asked<PageQuery>,
) -> Result<Json<Page<ConnectorView>>, ApiProblem> {
    let limit = query.limit()?;
    let snapshot = state.app.snapshot()?;
    let sight = reader.sight(&snapshot)?;
    let rows = snapshot.records::<Connector>(&CONNECTORS, query.key(&CONNECTORS)?.as_deref(), limit.saturating_add(1))?;
    let mut views = Vec::with_capacity(rows.len());
    for (key, connector) in rows {
        let Some((condominium, number)) = key_local(&key) else { continue };
        let view = connector_view(&snapshot, ConnectorId::new(condominium, number), connector, &sight)?;
        views.push((key, view));
    }
    Ok(Json(page_of_keys(&CONNECTORS, views, limit, |_, view| Some(view))))
}

/// `GET /connectors/{id}`.
pub async fn connector(
    State(state): State<ApiState>,
    reader: Reader,
    Path(id): Path<String>,
    _: Asked<Nothing>,
) -> Result<Json<ConnectorView>, ApiProblem> {
    let id: ConnectorId = parse(&id, "connector")?;
    let snapshot = state.app.snapshot()?;
    let connector = snapshot.connector(id)?.ok_or_else(|| unknown_connector(id))?;
    Ok(Json(connector_view(&snapshot, id, connector, &reader.sight(&snapshot)?)?))
}

/// Free or busy for everybody; which session keeps it busy for those who may read the condominium's.
fn connector_view(snapshot: &Snapshot<'_>, id: ConnectorId, mut connector: Connector, sight: &Sight) -> Result<ConnectorView, ApiProblem> {
    let free = connector.service == Service::InService && connector.fault.is_none() && connector.session.is_none();
    if !sight.takes_in(id.condominium) {
        connector.session = None;
    }
    let (meter, meter_proposal) = (snapshot.record(&Key::Meter(id))?, snapshot.record(&Key::MeterProposal(id))?);
    Ok(ConnectorView { id, connector, free, meter, meter_proposal })
}

fn unknown_connector(id: ConnectorId) -> ApiProblem {
    ApiProblem::rejected(&Rejection::new(Code::UnknownConnector))
        .with_status_not_found(format!("there is no connector {id}: list the connectors and choose one"))
        .about("connector")
}

/// `GET /groups`.
pub async fn groups(State(state): State<ApiState>, Asked(query): Asked<PageQuery>) -> Result<Json<Page<GroupView>>, ApiProblem> {
    let limit = query.limit()?;
    let rows = state.app.snapshot()?.records::<Group>(&GROUPS, query.key(&GROUPS)?.as_deref(), limit.saturating_add(1))?;
    Ok(Json(page_of_keys(&GROUPS, rows, limit, |key, group| {
        let (condominium, number) = key_local(key)?;
        let used = group.granted.checked_add(group.reserved)?;
        let free = group.limit.checked_sub(used).unwrap_or(Currents::ZERO);
        Some(GroupView { id: GroupId::new(condominium, number), group, free })
    })))
}

/// `GET /tariffs`: the version in force and the latest of each.
pub async fn tariffs(State(state): State<ApiState>, Asked(query): Asked<PageQuery>) -> Result<Json<Page<TariffView>>, ApiProblem> {
    let limit = query.limit()?;
    let snapshot = state.app.snapshot()?;
    let rows = snapshot.records::<TariffHead>(&TARIFF_HEADS, query.key(&TARIFF_HEADS)?.as_deref(), limit.saturating_add(1))?;
    let heads = page_of_keys(&TARIFF_HEADS, rows, limit, |key, head| {
        key_local(key).map(|(condominium, number)| (TariffId::new(condominium, number), head))
    });
    let mut items = Vec::new();
    for (id, head) in heads.items {
        items.extend(
            versions(&snapshot, id, head, state.clock.now())?.into_iter().filter(|view| view.in_force || view.version == head.latest),
        );
    }
    Ok(Json(Page { items, next: heads.next }))
}

/// `GET /tariffs/{id}`: its versions, newest first, the newest thousand of them.
pub async fn tariff(
    State(state): State<ApiState>,
    Path(id): Path<String>,
    Asked(query): Asked<PageQuery>,
) -> Result<Json<Page<TariffView>>, ApiProblem> {
    let id: TariffId = parse(&id, "tariff")?;
    let snapshot = state.app.snapshot()?;
    let head = snapshot
        .tariff_head(id)?
        .ok_or_else(|| ApiProblem::not_found(format!("there is no tariff {id}: list the tariffs")).about("tariff"))?;
    // Newest first, also where another is put between two pages.
    let key = |view: &TariffView| (u32::MAX.saturating_sub(view.version)).to_be_bytes().to_vec();
    Ok(Json(query.of("versions", versions(&snapshot, id, head, state.clock.now())?, key)?))
}

fn versions(snapshot: &Snapshot<'_>, id: TariffId, head: TariffHead, now: Timestamp) -> Result<Vec<TariffView>, ApiProblem> {
    // What a session opened in the next block would be billed by: the block's time is the clock's, but never before the newest block's.
    let at = now.max(snapshot.tip().timestamp);
    let current = in_force(&Ledger::new(snapshot), id, at)?.map(|(version, _)| version);
    let mut views = Vec::new();
    for version in (1..=head.latest).rev().take(MAX_VERSIONS) {
        if let Some(found) = snapshot.tariff_version(id, version)? {
            views.push(TariffView { id, version, valid_from: found.valid_from, in_force: current == Some(version), tariff: found.tariff });
        }
    }
    Ok(views)
}

/// `?connector=1-17&energy_wh=&max_duration_ms=&at=`.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuoteQuery {
    connector: String,
    energy_wh: Option<u64>,
    max_duration_ms: Option<u64>,
    at: Option<u64>,
}

impl Parameters for QuoteQuery {
    const TAKEN: &'static [Parameter] = &[
        Parameter::new("connector", CONNECTOR, "Where.").required(),
        Parameter::new(
            "energy_wh",
            Kind::Number(1, MAX_QUOTE_ENERGY.get()),
            "How much; all that the duration allows where it is left out.",
        ),
        Parameter::new("max_duration_ms", Kind::Number(1, u64::MAX), "How long at most; the chain's own bound where it is left out."),
        Parameter::new("at", Kind::Number(0, u64::MAX), "From when; now where it is left out."),
    ];
}

/// `GET /quote`.
pub async fn quote(State(state): State<ApiState>, Asked(query): Asked<QuoteQuery>) -> Result<Json<QuoteView>, ApiProblem> {
    let id: ConnectorId = parse(&query.connector, "connector")?;
    let snapshot = state.app.snapshot()?;
    let connector = snapshot.connector(id)?.ok_or_else(|| unknown_connector(id))?;
    let params = snapshot.params()?;
    let max_duration = query.max_duration_ms.map_or(params.max_duration, Duration::from_ms);
    if max_duration > params.max_duration {
        let rejection = Rejection::of(Code::OverLimit, params.max_duration.ms(), max_duration.ms());
        return Err(ApiProblem::rejected_parameter("max_duration_ms", Some(Unit::Milliseconds), &rejection));
    }
    let energy = query.energy_wh.map(WattHours::new);
    if let Some(found) = energy.filter(|energy| *energy > MAX_QUOTE_ENERGY) {
        let rejection = Rejection::of(Code::OverLimit, MAX_QUOTE_ENERGY.get(), found.get());
        return Err(ApiProblem::rejected_parameter("energy_wh", Some(Unit::WattHours), &rejection));
    }
    for (field, zero) in [("energy_wh", energy.is_some_and(WattHours::is_zero)), ("max_duration_ms", max_duration.is_zero())] {
        if zero {
            return Err(ApiProblem::rejected_parameter(field, None, &Code::ZeroValue.into()));
        }
    }
    let from = query.at.map_or_else(|| state.clock.now().max(snapshot.tip().timestamp), Timestamp::from_ms);
    let tariff = TariffId::new(id.condominium, connector.tariff);
    let Some((tariff_version, version)) = in_force(&Ledger::new(&snapshot), tariff, from)? else {
        return Err(not_in_force(&snapshot, tariff, from)?.with_status(StatusCode::NOT_FOUND));
    };
    let request = QuoteRequest { from, rated: connector.rated, energy, max_duration };
    // What is left to refuse is a time that the tariff's calendar does not reach.
    let found = price(&version.tariff, &request)
        .map_err(|rejection| ApiProblem::rejected_parameter("at", Some(Unit::UnixMilliseconds), &rejection))?;
    Ok(Json(QuoteView {
        connector: id,
        tariff,
        tariff_version,
        price_per_kwh: found.price_per_kwh,
        price_per_hour: found.price_per_hour,
        price_per_hour_parked: found.price_per_hour_parked,
        parking_grace: version.tariff.parking_grace,
        flat: found.price_per_session,
        min_price: version.tariff.min_price,
        max_price: version.tariff.max_price,
        expected: found.expected,
        expected_parts: parts(&found.expected_cost, Cost::floor)?,
        expected_energy: found.expected_energy,
        expected_duration: found.expected_duration,
        maximum: found.maximum,
        maximum_parts: parts(&found.maximum_cost, Cost::ceil)?,
        maximum_energy: found.maximum_energy,
        max_duration,
        next_change: found.next_change,
    }))
}

/// The problem of a tariff that has no version in force: from when it has one, where that is announced.
pub fn not_in_force(snapshot: &Snapshot<'_>, tariff: TariffId, at: Timestamp) -> Result<ApiProblem, ApiProblem> {
    let latest = snapshot.tariff_head(tariff)?.map_or(0, |head| head.latest);
    let mut first: Option<(Timestamp, u32)> = None;
    // An announced version is among the last few: the chain bounds how many there are at once.
    for version in (1..=latest).rev().take(MAX_VERSIONS) {
        match snapshot.tariff_version(tariff, version)? {
            Some(found) if found.valid_from > at => first = Some((found.valid_from, version)),
            Some(_) | None => break,
        }
    }
    let Some((from, version)) = first else {
        let detail = format!("tariff {tariff} has no version in force, and none is announced: a manager puts one");
        return Ok(ApiProblem::rejected(&Code::UnknownTariff.into()).with_detail(detail).about("tariff"));
    };
    let detail = format!(
        "tariff {tariff} is not in force yet at {}: its version {version} is from {} on; ask again then, or for a later time",
        utc(at),
        utc(from)
    );
    let rejection = Rejection::of(Code::UnknownTariff, from.ms(), at.ms());
    Ok(ApiProblem::rejected_parameter("tariff", Some(Unit::UnixMilliseconds), &rejection).with_detail(detail))
}

/// The most versions of a tariff that are looked at for one answer.
const MAX_VERSIONS: usize = 1_000;

fn parts(cost: &CostByComponent, round: impl Fn(Cost) -> Option<Amount>) -> Result<AmountByComponent, ApiProblem> {
    let amount = |part| round(part).ok_or_else(|| ApiProblem::rejected(&Rejection::new(Code::Overflow)));
    Ok(AmountByComponent {
        energy: amount(cost.energy)?,
        time: amount(cost.time)?,
        parking_time: amount(cost.parking_time)?,
        flat: amount(cost.flat)?,
    })
}

/// `GET /condominiums` and `GET /totals`.
pub async fn condominiums(
    State(state): State<ApiState>,
    Asked(query): Asked<PageQuery>,
) -> Result<Json<Page<CondominiumView>>, ApiProblem> {
    let height = state.app.snapshot()?.tip().height;
    let cached = state.shared.totals.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
    if let Some((_, items)) = cached.filter(|(at, _)| *at == height) {
        return Ok(Json(query.of("condominiums", items, |view| view.id.0.to_be_bytes().to_vec())?));
    }
    // A walk over all accounts: not on the threads that answer everybody else.
    let app = state.app.clone();
    let counted = tokio::task::spawn_blocking(move || -> Result<_, ApiProblem> {
        let snapshot = app.snapshot()?;
        let mut views = Vec::new();
        for totals in conservation(&snapshot)? {
            let Some(condominium) = snapshot.condominium(totals.condominium)? else { continue };
            views.push(CondominiumView {
                id: totals.condominium,
                condominium,
                balance: totals.balance,
                held: totals.held,
                debt: totals.debt,
                owed_to: totals.owed_to,
                owed_by: totals.owed_by,
                conserved: totals.holds(),
            });
        }
        Ok((snapshot.tip().height, views))
    });
    let counted = counted.await.map_err(|error| ApiProblem::internal(&error.to_string()))??;
    let items = counted.1.clone();
    *state.shared.totals.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(counted);
    Ok(Json(query.of("condominiums", items, |view| view.id.0.to_be_bytes().to_vec())?))
}
