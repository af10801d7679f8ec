//! The keys of card bindings: with them the gateway knows a card by its identifier, and without them nobody does.
//!
//! The chain holds commitments alone, and no identifier is kept anywhere: what a card shows is tried against every key. A key comes with a manager's signed
//! order over `POST /gateway/v1/cards`; another order, of a manager or of the card's owner, destroys it for good, and what is left is that it was erased. It
//! opens nothing: the desk does. Called by the loop, which makes every change durable before it answers.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Json, Router,
    body::{Body, to_bytes},
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::post,
};
use chain::{
    api::{CardOrderDone, Problem},
    card_order::{CardAction, CardOrder, MAX_ORDER_BYTES},
    hash::Hash32,
    id::{CardId, ChainId, ConnectorId, Height},
    record::{Card, Key, Role},
    time::{Duration, Timestamp},
};
use contracts::{failure::Fault as LedgerFault, ledger::Ledger, mandates::MAX_CARDS, roles};
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use super::{
    http::BODY_TIMEOUT,
    store::{Store, StoreError, Write},
};
use crate::clock::{Clock, Work};

/// Orders that may wait for the gateway's loop; more are refused with 503.
pub(super) const ORDER_CAPACITY: usize = 16;

/// The oldest order that is taken, and how far it may be ahead of our clock.
const MAX_AGE: Duration = Duration::from_mins(5);

/// What is kept of a binding.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum CardRow {
    /// Its key.
    Key(Hash32),
    /// Nothing: the key was destroyed. It never comes back, whoever has a copy of the order that brought it.
    Erased,
}

/// The keys that are kept.
#[derive(Default)]
pub(super) struct Cards {
    rows: BTreeMap<CardId, CardRow>,
}

impl std::fmt::Debug for Cards {
    /// Without the keys.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cards").field("known", &self.rows.len()).finish()
    }
}

/// Why an order is not followed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(super) enum Refusal {
    /// The bytes are no signed order.
    #[error("the bytes are no order about a card that its signer has signed")]
    Malformed,
    /// The bytes do not arrive.
    #[error("the order did not arrive whole within {} s: send it again", BODY_TIMEOUT.as_secs())]
    Slow,
    /// It is for another chain.
    #[error("the order is for another chain: ask the node for its chain id and sign again")]
    WrongChain,
    /// It is too old, or from the future.
    #[error("the order is more than five minutes away from the gateway's clock: sign again")]
    Expired,
    /// The signer may not.
    #[error("the signer is no manager of the condominium: a manager binds and erases, and a card's owner erases his own")]
    NotAllowed,
    /// The key was destroyed before.
    #[error("the card's key was erased: bind the card under a new key")]
    Erased,
    /// Another key makes this commitment? It cannot: the order contradicts itself or an earlier one.
    #[error("another key is kept for this card")]
    Contradiction,
    /// No room.
    #[error("{MAX_CARDS} keys are kept: erase some first")]
    TooMany,
    /// Too many orders wait, or the node stops.
    #[error("the gateway takes no order now: try again in a second")]
    Unavailable,
}

impl Refusal {
    const fn answer(self) -> (StatusCode, &'static str) {
        match self {
            Self::Malformed => (StatusCode::BAD_REQUEST, "malformed"),
            Self::Slow => (StatusCode::REQUEST_TIMEOUT, "too_slow"),
            Self::WrongChain => (StatusCode::UNPROCESSABLE_ENTITY, "wrong_chain"),
            Self::Expired => (StatusCode::UNPROCESSABLE_ENTITY, "expired"),
            Self::NotAllowed => (StatusCode::FORBIDDEN, "not_allowed"),
            Self::Erased | Self::Contradiction => (StatusCode::CONFLICT, "card_bound"),
            Self::TooMany => (StatusCode::UNPROCESSABLE_ENTITY, "too_many"),
            Self::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
        }
    }
}

impl Cards {
    /// What the database has kept.
    pub fn of(store: &Store) -> Result<Self, StoreError> {
        Ok(Self { rows: store.cards()? })
    }

    /// The bindings that a card with this identifier may have; one key says one, and more only where somebody bound a card twice.
    pub fn of_uid<'a>(&'a self, uid: &'a [u8]) -> impl Iterator<Item = CardId> + 'a {
        self.under(move |key| CardId::commit(key, uid))
    }

    /// The bindings that stand for a connector itself.
    pub fn of_point(&self, point: ConnectorId) -> impl Iterator<Item = CardId> + '_ {
        self.under(move |key| CardId::commit_point(key, point))
    }

    fn under(&self, binding: impl Fn(&Hash32) -> CardId) -> impl Iterator<Item = CardId> {
        self.rows.iter().filter_map(move |(card, row)| match row {
            CardRow::Key(key) => (binding(key) == *card).then_some(*card),
            CardRow::Erased => None,
        })
    }

    /// Follows an order, whose signer may give it as far as the state at `height` says; tells whether a key is kept then.
    pub fn follow(&mut self, order: &CardOrder, present: &Asked<'_>, write: &mut Write) -> Result<Result<bool, Refusal>, LedgerFault> {
        if order.chain_id != present.chain_id {
            return Ok(Err(Refusal::WrongChain));
        }
        let away = present.now.since(order.at).max(order.at.since(present.now));
        if away > MAX_AGE {
            return Ok(Err(Refusal::Expired));
        }
        if !may(order, present)? {
            return Ok(Err(Refusal::NotAllowed));
        }
        let row = self.rows.get(&order.card).copied();
        Ok(match (order.action, row) {
            (CardAction::Keep(_), Some(CardRow::Erased)) => Err(Refusal::Erased),
            (CardAction::Keep(key), Some(CardRow::Key(kept))) if key != kept => Err(Refusal::Contradiction),
            (CardAction::Keep(_), Some(CardRow::Key(_))) => Ok(true),
            (CardAction::Keep(_), None) if self.kept() >= MAX_CARDS as usize => Err(Refusal::TooMany),
            (CardAction::Keep(key), None) => {
                self.put(order.card, CardRow::Key(key), write);
                Ok(true)
            }
            (CardAction::Erase, Some(CardRow::Key(_))) => {
                self.put(order.card, CardRow::Erased, write);
                Ok(false)
            }
            // What was never here, or is gone, needs no erasing.
            (CardAction::Erase, Some(CardRow::Erased) | None) => Ok(false),
        })
    }

    fn kept(&self) -> usize {
        self.rows.values().filter(|row| matches!(row, CardRow::Key(_))).count()
    }

    fn put(&mut self, card: CardId, row: CardRow, write: &mut Write) {
        write.card(card, &row);
        self.rows.insert(card, row);
    }
}

/// What an order is judged by.
pub(super) struct Asked<'a> {
    /// The chain.
    pub chain_id: ChainId,
    /// The newest state.
    pub ledger: &'a Ledger<'a>,
    /// Its height.
    pub height: Height,
    /// The time.
    pub now: Timestamp,
}

/// A manager may everything; who owns a bound card may have it erased.
fn may(order: &CardOrder, present: &Asked<'_>) -> Result<bool, LedgerFault> {
    if roles::holds(present.ledger, present.height, order.condominium, Role::Manager, &order.signer)? {
        return Ok(true);
    }
    let card: Option<Card> = present.ledger.get(&Key::Card(order.condominium, order.card))?;
    Ok(order.action == CardAction::Erase && card.is_some_and(|card| card.account == order.signer))
}

/// An order for the gateway's loop.
#[derive(Debug)]
pub(super) struct Ordered {
    /// What.
    pub order: CardOrder,
    /// Where the answer goes, once everything is durable.
    pub answer: oneshot::Sender<Result<bool, Refusal>>,
    /// Keeps a stepped clock still until it is followed.
    pub work: Work,
}

/// What the handler needs.
#[derive(Clone, Debug)]
pub(super) struct OrderDoor {
    /// The way to the loop.
    pub orders: mpsc::Sender<Ordered>,
    /// The node's clock.
    pub clock: Clock,
}

/// The route of orders about cards.
pub(super) fn route(door: OrderDoor) -> Router {
    Router::new().route("/gateway/v1/cards", post(order)).with_state(Arc::new(door))
}

async fn order(State(door): State<Arc<OrderDoor>>, body: Body) -> Response {
    match follow(&door, body).await {
        Ok(done) => Json(done).into_response(),
        Err(refusal) => refusal.into_response(),
    }
}

async fn follow(door: &OrderDoor, body: Body) -> Result<CardOrderDone, Refusal> {
    let work = door.clock.work();
    let arriving = tokio::time::timeout(BODY_TIMEOUT, to_bytes(body, MAX_ORDER_BYTES)).await;
    let bytes = arriving.map_err(|_| Refusal::Slow)?.map_err(|_| Refusal::Malformed)?;
    let order = CardOrder::verified(&bytes).map_err(|_| Refusal::Malformed)?;
    let (answer, reply) = oneshot::channel();
    door.orders.try_send(Ordered { order, answer, work }).map_err(|_| Refusal::Unavailable)?;
    let kept = reply.await.map_err(|_| Refusal::Unavailable)??;
    Ok(CardOrderDone { card: order.card, kept })
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, code) = self.answer();
        let problem = Problem::new(status.as_u16(), code, "the gateway does not follow this order", self.to_string());
        (status, [(axum::http::header::CONTENT_TYPE, "application/problem+json")], Json(problem)).into_response()
    }
}
