//! Proofs for light clients: a session's life and bill, or an account's record, with all that leads from them to genesis or to a checkpoint.
//!
//! What stands in the database is put together and nothing is judged: `chain::verify` does that at the other end. Every proof hangs on the newest block.

use std::{collections::BTreeSet, sync::PoisonError};

use axum::{Json, extract::State};
use chain::{
    id::{Address, Height},
    receipt::Cause,
    record::{Account, Key, TariffVersion},
    verify::{
        AccountProof, Anchor, EarlierHeader, MAX_CHANGES, MAX_EARLIER, MAX_STEPS, ProvenTariff, ProvenTransaction, SessionProof, SetChange,
        Step,
    },
};
use serde::Deserialize;

use super::{
    ApiState, Shared,
    problem::ApiProblem,
    query::{Asked, HEIGHT, Parameter, Parameters, Path, account_named},
    readers::Reader,
    sessions::{not_settled, session_named},
};
use crate::app::{Location, PAGE_MAX, Snapshot};

/// `?checkpoint=HEIGHT`: a block that the asker knows and wants the proof to reach.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProofQuery {
    checkpoint: Option<u64>,
}

impl Parameters for ProofQuery {
    const TAKEN: &'static [Parameter] = &[Parameter::new("checkpoint", HEIGHT, "A block that the asker knows: the proof reaches it.")];
}

/// `GET /sessions/{id}/proof`: of a settled session.
pub async fn session(
    State(state): State<ApiState>,
    reader: Reader,
    Path(id): Path<String>,
    Asked(query): Asked<ProofQuery>,
) -> Result<Json<SessionProof>, ApiProblem> {
    let snapshot = state.app.snapshot()?;
    let id = session_named(&snapshot, reader, &id)?;
    let missing = || ApiProblem::internal("an indexed receipt is missing");
    let Some(settled) = snapshot.settlement(id)? else { return Err(not_settled(&snapshot, id)?) };
    let bill = snapshot.receipt(settled)?.and_then(|(receipt, _)| receipt.bill_of(id).copied()).ok_or_else(missing)?;
    let mut steps = Vec::new();
    let mut from = None;
    loop {
        let page = snapshot.session_history(id, from, PAGE_MAX)?;
        for (location, ()) in page.entries {
            steps.push(step(&snapshot, location)?.ok_or_else(missing)?);
        }
        from = page.next;
        if from.is_none() {
            break;
        }
        if steps.len() > MAX_STEPS {
            return Err(ApiProblem::internal("a session has more receipts than a proof holds"));
        }
    }
    steps.reverse();
    let key = Key::TariffVersion(bill.tariff, bill.tariff_version);
    let record: TariffVersion = snapshot.record(&key)?.ok_or_else(|| ApiProblem::internal("the tariff of a bill is missing"))?;
    let tariff = ProvenTariff { id: bill.tariff, version: bill.tariff_version, record, proof: snapshot.prove_state(&key) };
    let heights = steps.iter().map(|step| step.height).collect();
    let anchor = anchor(&snapshot, &state.shared, heights, query)?;
    Ok(Json(SessionProof { session: id, steps, tariff, anchor }))
}

/// `GET /accounts/{address}/proof`: of an account's record, or that there is none.
pub async fn account(
    State(state): State<ApiState>,
    reader: Reader,
    Path(address): Path<String>,
    Asked(query): Asked<ProofQuery>,
) -> Result<Json<AccountProof>, ApiProblem> {
    let address: Address = account_named(&address)?;
    let snapshot = state.app.snapshot()?;
    reader.sight(&snapshot)?.require_account(&snapshot, &address)?;
    let account: Option<Account> = snapshot.account(&address)?;
    let proof = snapshot.prove_state(&Key::Account(address));
    Ok(Json(AccountProof { address, account, proof, anchor: anchor(&snapshot, &state.shared, BTreeSet::new(), query)? }))
}

fn step(snapshot: &Snapshot<'_>, location: Location) -> Result<Option<Step>, ApiProblem> {
    let Some((receipt, path)) = snapshot.receipt(location)? else { return Ok(None) };
    let transaction = match receipt.cause {
        Cause::Due(_) => None,
        Cause::Transaction(_) => match snapshot.transaction_at(location)? {
            Some((bytes, path)) => Some(ProvenTransaction { bytes, path }),
            None => return Ok(None),
        },
    };
    Ok(Some(Step { height: location.height, receipt, path, transaction }))
}

/// The newest block, with the headers of these heights and of the asker's checkpoint.
fn anchor(snapshot: &Snapshot<'_>, shared: &Shared, mut heights: BTreeSet<Height>, query: ProofQuery) -> Result<Anchor, ApiProblem> {
    let missing = || ApiProblem::internal("a header, its certificate or its validators are missing");
    let header = *snapshot.tip_header().ok_or_else(|| ApiProblem::unavailable("no block has been made yet: nothing is certified"))?;
    if let Some(checkpoint) = query.checkpoint {
        if !(1..=header.height.0).contains(&checkpoint) {
            let detail = format!("checkpoint: this node has the blocks 1 to {}, block {checkpoint} is not among them", header.height);
            return Err(ApiProblem::not_found(detail).about("checkpoint"));
        }
        heights.insert(Height(checkpoint));
    }
    heights.remove(&header.height);
    let mut earlier = Vec::with_capacity(heights.len());
    for height in heights {
        let path = snapshot.prove_header(height)?.ok_or_else(missing)?;
        earlier.push(EarlierHeader { header: snapshot.header(height)?.ok_or_else(missing)?, path });
    }
    let mut changes = Vec::new();
    for height in set_changes(snapshot, shared)?.into_iter().filter(|height| *height < header.height) {
        changes.push(SetChange {
            header: snapshot.header(height)?.ok_or_else(missing)?,
            certificate: snapshot.certificate(height)?.ok_or_else(missing)?,
            next: snapshot.validators(height.next())?.ok_or_else(missing)?,
        });
    }
    if changes.len() > MAX_CHANGES || earlier.len() > MAX_EARLIER {
        return Err(ApiProblem::internal("a proof has more parts than it may hold"));
    }
    let certificate = snapshot.certificate(header.height)?.ok_or_else(missing)?;
    Ok(Anchor { header, certificate, changes, earlier })
}

/// Every block that changed the validators; those found before are kept.
fn set_changes(snapshot: &Snapshot<'_>, shared: &Shared) -> Result<Vec<Height>, ApiProblem> {
    let mut known = shared.set_changes.lock().unwrap_or_else(PoisonError::into_inner);
    let newest = snapshot.tip().height;
    if newest > known.0 {
        let found = snapshot.validator_changes(known.0)?;
        known.1.extend(found);
        known.0 = newest;
    }
    Ok(known.1.clone())
}
