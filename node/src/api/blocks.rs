//! Blocks, and single values of the state with what proves them.

use axum::{Json, extract::State, http::header, response::IntoResponse};
use chain::{
    api::{BlockReceipts, BlockView, Page, ProvenState},
    hash::Hash32,
    id::{Address, CondominiumId, GroupId, Height, TariffId, TxId},
    record::Key,
    state::StateRead,
};
use contracts::call::Transaction;
use serde::Deserialize;

use super::{
    ApiState,
    problem::ApiProblem,
    query::{Asked, CURSOR, HEIGHT, Kind, LIMIT, Nothing, Parameter, Parameters, Path, cursor_of, limit, location_of, number},
    readers::Reader,
    routes::OCTETS,
};
use crate::app::{Location, Snapshot};

/// The list of blocks.
const LIST: &str = "blocks";

/// The longest key of the state, in bytes, with room for tables to come.
const MAX_KEY_BYTES: usize = 128;

/// `?before=HEIGHT&limit=&cursor=`.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlocksQuery {
    before: Option<u64>,
    limit: Option<u32>,
    cursor: Option<String>,
}

impl Parameters for BlocksQuery {
    const TAKEN: &'static [Parameter] =
        &[Parameter::new("before", HEIGHT, "Those below this height; the newest where it is left out."), LIMIT, CURSOR];
}

/// `GET /blocks`, newest first.
pub async fn list(State(state): State<ApiState>, Asked(query): Asked<BlocksQuery>) -> Result<Json<Page<BlockView>>, ApiProblem> {
    let limit = limit(query.limit)?;
    let snapshot = state.app.snapshot()?;
    let newest = snapshot.tip().height.0;
    let cursor = query.cursor.as_deref().map(|text| location_of(LIST, text)).transpose()?.map(|place| place.height.0);
    let from = cursor.or(query.before).map_or(newest, |before| newest.min(before.saturating_sub(1)));
    let mut items = Vec::new();
    let lowest = from.saturating_sub(u64::from(limit)).saturating_add(1).max(1);
    for height in (lowest..=from).rev() {
        items.push(view(&snapshot, Height(height))?);
    }
    Ok(Json(Page { items, next: (lowest > 1 && from > 0).then(|| cursor_of(LIST, Location { height: Height(lowest), index: 0 })) }))
}

/// `GET /blocks/{height|hash}`.
pub async fn show(State(state): State<ApiState>, Path(name): Path<String>, _: Asked<Nothing>) -> Result<Json<BlockView>, ApiProblem> {
    let snapshot = state.app.snapshot()?;
    let height = height_of(&snapshot, &name)?;
    view(&snapshot, height).map(Json)
}

/// `GET /blocks/{height|hash}/receipts`.
pub async fn receipts(
    State(state): State<ApiState>,
    reader: Reader,
    Path(name): Path<String>,
    _: Asked<Nothing>,
) -> Result<Json<BlockReceipts>, ApiProblem> {
    let snapshot = state.app.snapshot()?;
    reader.sight(&snapshot)?.require_everything("what a whole block did")?;
    let height = height_of(&snapshot, &name)?;
    let receipts = snapshot.receipts(height)?.ok_or_else(|| ApiProblem::internal("the receipts of a block are missing"))?;
    Ok(Json(BlockReceipts { height, receipts }))
}

/// `GET /blocks/{height|hash}/bytes`.
pub async fn bytes(
    State(state): State<ApiState>,
    reader: Reader,
    Path(name): Path<String>,
    _: Asked<Nothing>,
) -> Result<impl IntoResponse, ApiProblem> {
    let snapshot = state.app.snapshot()?;
    reader.sight(&snapshot)?.require_everything("a block's transactions")?;
    let height = height_of(&snapshot, &name)?;
    let bytes = snapshot.block_bytes(height)?.ok_or_else(|| ApiProblem::internal("a block is missing"))?;
    Ok(([(header::CONTENT_TYPE, OCTETS)], bytes))
}

fn height_of(snapshot: &Snapshot<'_>, name: &str) -> Result<Height, ApiProblem> {
    let height = match (Hash32::from_hex(name), number(name)) {
        (Some(hash), _) => snapshot.height_of(&hash)?,
        (None, Some(height)) => Some(Height(height)),
        (None, None) => {
            return Err(
                ApiProblem::bad_request(format!("block {name:?}: expected a height or a hash of 64 hexadecimal digits")).about("block")
            );
        }
    };
    let newest = snapshot.tip().height;
    height
        .filter(|height| (Height(1)..=newest).contains(height))
        .ok_or_else(|| ApiProblem::not_found(format!("there is no block {name}: the first is 1 and the newest {newest}")))
}

fn view(snapshot: &Snapshot<'_>, height: Height) -> Result<BlockView, ApiProblem> {
    let missing = || ApiProblem::internal("a block is missing");
    let block = snapshot.block(height)?.ok_or_else(missing)?;
    let certificate = snapshot.certificate(height)?.ok_or_else(missing)?;
    let transactions: Result<Vec<TxId>, _> =
        block.transactions.iter().map(|bytes| Transaction::decode(bytes).map(|transaction| transaction.id())).collect();
    let transactions = transactions.map_err(|error| ApiProblem::internal(&error.to_string()))?;
    Ok(BlockView { hash: block.header.hash(), header: block.header, transactions, round: certificate.round })
}

/// `?key=HEX`.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StateQuery {
    key: String,
}

impl Parameters for StateQuery {
    const TAKEN: &'static [Parameter] =
        &[Parameter::new("key", Kind::Text("^([0-9a-fA-F]{2}){1,128}$"), "The key: a table's byte and an id, in hexadecimal digits.")
            .required()];
}

/// `GET /state`: a value or its absence, under the newest certified header.
pub async fn state(
    State(state): State<ApiState>,
    reader: Reader,
    Asked(query): Asked<StateQuery>,
) -> Result<Json<ProvenState>, ApiProblem> {
    let bad = || ApiProblem::bad_request(format!("key: expected 1 to {MAX_KEY_BYTES} bytes in hexadecimal digits")).about("key");
    let key = hex::decode(&query.key).map_err(|_| bad())?;
    if key.is_empty() || key.len() > MAX_KEY_BYTES {
        return Err(bad());
    }
    let snapshot = state.app.snapshot()?;
    require_key(&snapshot, reader, &key)?;
    let header = *snapshot.tip_header().ok_or_else(|| ApiProblem::unavailable("no block has been made yet: nothing is certified"))?;
    let missing = || ApiProblem::internal("the newest block's certificate is missing");
    let certificate = snapshot.certificate(header.height)?.ok_or_else(missing)?;
    let validators = snapshot.validators(header.height)?.ok_or_else(missing)?;
    let value = snapshot.get(&key).map_err(|fault| ApiProblem::internal(&fault.to_string()))?;
    let proof = snapshot.prove_bytes(&key);
    Ok(Json(ProvenState { key: hex::encode(&key), value: value.map(hex::encode), proof, header, certificate, validators }))
}

/// The tables whose records name nobody.
const OPEN_TABLES: [u8; 11] = [
    Key::Condominium(CondominiumId(0)).table(),
    Key::Group(GroupId::new(CondominiumId(0), 0)).table(),
    Key::TariffHead(TariffId::new(CondominiumId(0), 0)).table(),
    Key::TariffVersion(TariffId::new(CondominiumId(0), 0), 0).table(),
    Key::Position(CondominiumId(0), CondominiumId(0)).table(),
    Key::PendingPosition(CondominiumId(0), CondominiumId(0)).table(),
    Key::Params.table(),
    Key::Validators.table(),
    Key::Roaming(CondominiumId(0), CondominiumId(0)).table(),
    Key::ClearingHead.table(),
    Key::Clearing(0).table(),
];

/// Requires that a reader may see the value of a key: a record of the open tables, his own account's and his key's, or as an auditor any.
fn require_key(snapshot: &Snapshot<'_>, reader: Reader, key: &[u8]) -> Result<(), ApiProblem> {
    let (table, id) = key.split_first().unwrap_or((&0, &[]));
    if OPEN_TABLES.contains(table) {
        return Ok(());
    }
    reader.required("this value")?;
    let sight = reader.sight(snapshot)?;
    let nobody = Address([0; 32]);
    let of_account = [Key::Account(nobody).table(), Key::Signer(nobody).table()].contains(table);
    match id.try_into() {
        Ok(address) if of_account => sight.require_account(snapshot, &Address(address)),
        Ok(_) | Err(_) => sight.require_everything("a value that names people"),
    }
}
