//! Answers of nodes that the API of the corpus' chain has none of, and files that the client carries: made of our own types. Called by `make`.

use ::chain::{
    api::{
        AskedStartView, CardOrderDone, ClearingView, EstimateView, FoundView, MonitorView, Page, PaymentState, PaymentView, PositionView,
        Rehearsed, RelayView, SampleView, Status,
    },
    crypto::address_of,
    hash::Hash32,
    id::{CardId, CondominiumId, ConnectorId, Height, SessionId},
    quantity::{Amount, Currents, WattHours, Watts},
    receipt::Receipt,
    record::{AskedStart, Clearing, Fault},
    sign_in::{Challenge, Token},
    time::{Duration, Timestamp},
};
use anyhow::Context as _;
use cli::command::Prepared;
use serde::Serialize;

use super::make::Items;
use crate::targets::CONSENSUS_CHAIN;

const NOON: Timestamp = Timestamp::from_ms(1_767_614_400_000);

/// The answers: the name of what each is, then the document.
pub(super) fn answers(session: SessionId, receipt: &Receipt) -> anyhow::Result<Items> {
    fn page<T>(item: T) -> Page<T> {
        Page { items: vec![item], next: None }
    }
    let account = address_of(&crate::solo::resident(1));
    let (here, there) = (CondominiumId(1), CondominiumId(2));
    let connector = ConnectorId::new(here, 17);
    let card = CardId(Hash32([5; 32]));
    let start = AskedStart {
        account,
        card,
        tariff_version: 2,
        max_spend: Amount::from_micro(3_000_000),
        max_duration: Duration::from_hours(4),
        energy_target: Some(WattHours::new(9_000)),
        until: NOON,
    };
    let sample = SampleView {
        at: NOON,
        power_w: Watts::new(3_680),
        current: Currents::from_ma([16_000, 0, 0]),
        register: WattHours::new(123_456),
        temperature_dc: Some(-12),
        relay: RelayView::Closed,
    };
    let monitor = MonitorView {
        connector,
        session: Some(session),
        heard_at: Some(NOON),
        sample: Some(sample),
        found: vec![FoundView { fault: Fault::OverCurrent, at: NOON, session: None }],
        estimate: Some(EstimateView { charges: 5, energy: WattHours::new(9_000), leaves_at: Some(NOON) }),
    };
    let clearing = Clearing { from: None, until: NOON, height: Height(9), index: 0 };
    let amount = Amount::from_micro(4_500_000);
    let position = PositionView { debtor: here, creditor: there, owed: amount, pending: Amount::ZERO, unpaid: amount, limit: Amount::MAX };
    let payment = PaymentView { clearing: 1, debtor: here, creditor: there, amount, state: PaymentState::Due };
    let hash = Hash32([7; 32]);
    let challenge = Challenge { chain_id: CONSENSUS_CHAIN, node: hash, nonce: hash, expires_at: NOON, seal: hash };
    let token = Token { token: "0".repeat(64), account, expires_at: NOON };
    let rehearsed = Rehearsed { height: Height(4), timestamp: NOON, receipt: receipt.clone() };
    Ok(vec![
        answer("starts", &page(AskedStartView { connector, start }))?,
        answer("monitor", &page(monitor))?,
        answer("clearings", &page(ClearingView { number: 1, clearing }))?,
        answer("positions", &page(position))?,
        answer("payments", &page(payment))?,
        answer("rehearsed", &rehearsed)?,
        answer("card-order", &CardOrderDone { card, kept: true })?,
        answer("challenge", &challenge)?,
        answer("token", &token)?,
    ])
}

fn answer(name: &str, value: &impl Serialize) -> anyhow::Result<(String, Vec<u8>)> {
    Ok((name.to_owned(), [name.as_bytes(), b"\n", &serde_json::to_vec(value)?].concat()))
}

/// What `watt chain prepare` writes where the node says this of itself.
pub(super) fn prepared(status: &[u8]) -> anyhow::Result<Vec<u8>> {
    let status: Status = serde_json::from_slice(status).context("no status")?;
    let prepared = Prepared::new(status, address_of(&crate::solo::resident(1)), 3, Vec::new());
    let mut document = serde_json::to_value(prepared)?;
    document["condominiums"] = serde_json::json!([{"id": 1, "name": "TRO"}]);
    Ok(serde_json::to_vec_pretty(&document)?)
}

/// What `wattd genesis` writes for those who join.
pub(super) fn peers() -> anyhow::Result<Vec<u8>> {
    let name = |seed| consensus::peer_id(&crate::solo::resident(seed));
    Ok(format!("/ip4/192.0.2.11/tcp/8422/p2p/{}\n/dns4/node.example/tcp/8422/p2p/{}\n", name(11)?, name(12)?).into_bytes())
}
