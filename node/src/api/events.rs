//! Committed events as a stream (server-sent events): resumable from the chain itself, so nothing is missed and nothing is kept for slow readers.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use axum::{
    extract::State,
    http::HeaderMap,
    response::{
        Sse,
        sse::{Event as Sent, KeepAlive},
    },
};
use chain::{
    api::StreamedEvent,
    id::{Address, Height, SessionId},
    receipt::Event,
};
use contracts::call::Transaction;
use futures::{Stream, stream};
use serde::Deserialize;

use super::{
    ApiState, MAX_STREAMS, Shared,
    problem::ApiProblem,
    query::{Asked, Parameters, number, parse},
};
use crate::app::{AppHandle, Committed, Interest, StoreError, Subscription};

/// Silence after which a comment is sent, so that both ends know that the other is there.
const PING: Duration = Duration::from_secs(15);

/// `?account=&session=&from=HEIGHT`.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventsQuery {
    account: Option<String>,
    session: Option<String>,
    from: Option<u64>,
}

impl Parameters for EventsQuery {
    const NAMES: &'static [&'static str] = &["account", "session", "from"];
}

/// The most sessions whose account a stream remembers; it is looked up again where there are more.
const MAX_KNOWN_SESSIONS: usize = 4_096;

struct Filter {
    account: Option<Address>,
    session: Option<SessionId>,
    /// Whether a session is the account's: most events of a session name the session alone.
    known: BTreeMap<SessionId, bool>,
}

/// The place of an event: height, receipt, event in the receipt.
type Place = (u64, u32, u32);

/// One place among [`MAX_STREAMS`].
struct Seat(Arc<Shared>);

impl Seat {
    fn take(shared: &Arc<Shared>) -> Option<Self> {
        let taken = shared.streams.fetch_update(Ordering::AcqRel, Ordering::Acquire, |count| (count < MAX_STREAMS).then(|| count + 1));
        taken.is_ok().then(|| Self(Arc::clone(shared)))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.streams.fetch_sub(1, Ordering::AcqRel);
    }
}

/// `GET /events`.
pub async fn stream(
    State(state): State<ApiState>,
    Asked(query): Asked<EventsQuery>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Sent, Infallible>>>, ApiProblem> {
    let filter = Filter {
        account: query.account.as_deref().map(|text| parse(text, "account")).transpose()?,
        session: query.session.as_deref().map(|text| parse(text, "session")).transpose()?,
        known: BTreeMap::new(),
    };
    let seen = headers.get("last-event-id").map(|value| place_of(&String::from_utf8_lossy(value.as_bytes()))).transpose()?;
    let seat = Seat::take(&state.shared)
        .ok_or_else(|| ApiProblem::unavailable(format!("all {MAX_STREAMS} event streams are taken: try again later")))?;
    let from = seen.map(|(height, ..)| Height(height)).or(query.from.map(Height));
    let subscription = state.app.subscribe(from, Interest::Watches);
    let follow = Follow { app: state.app.clone(), subscription, filter, seen, ready: Vec::new(), _seat: seat };
    let events = stream::unfold(follow, |mut follow| async move {
        let sent = follow.next().await?;
        Some((Ok(sent), follow))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(PING).text("ping")))
}

fn place_of(text: &str) -> Result<Place, ApiProblem> {
    let bad = || {
        ApiProblem::bad_request(format!("Last-Event-ID: expected the id of an event of this stream such as 17-0-2, found {text:?}"))
            .about("Last-Event-ID")
    };
    let mut parts = text.splitn(3, '-');
    let mut next = || parts.next().ok_or_else(bad);
    let (height, index, event) = (next()?, next()?, next()?);
    Ok((number(height).ok_or_else(bad)?, number(index).ok_or_else(bad)?, number(event).ok_or_else(bad)?))
}

struct Follow {
    app: AppHandle,
    subscription: Subscription,
    filter: Filter,
    seen: Option<Place>,
    /// Of one block at most, the next one last.
    ready: Vec<Sent>,
    _seat: Seat,
}

impl Follow {
    /// The next event that passes the filter; nothing once the node stops.
    async fn next(&mut self) -> Option<Sent> {
        while self.ready.is_empty() {
            let committed = self.subscription.next().await.ok()?;
            match self.events_of(&committed) {
                Ok(events) => self.ready = events,
                Err(error) => {
                    tracing::error!(%error, "a stream of events ended: the database does not answer");
                    return None;
                }
            }
            self.ready.reverse();
        }
        self.ready.pop()
    }

    fn events_of(&mut self, committed: &Committed) -> Result<Vec<Sent>, StoreError> {
        let mut events = Vec::new();
        self.filter.learn(committed);
        for (location, receipt) in committed.located() {
            let bytes = committed.block.transactions.get(location.index as usize);
            let by_account = self.filter.account.is_some_and(|account| {
                bytes.and_then(|bytes| Transaction::decode(bytes).ok()).is_some_and(|transaction| transaction.body().account == account)
            });
            for (number, event) in (0_u32..).zip(&receipt.events) {
                let place = (location.height.0, location.index, number);
                if self.seen.is_some_and(|seen| place <= seen) || !self.filter.passes(&self.app, event, by_account)? {
                    continue;
                }
                let data = StreamedEvent {
                    height: location.height,
                    timestamp: committed.block.header.timestamp,
                    index: location.index,
                    event: event.clone(),
                };
                let sent = Sent::default().id(format!("{}-{}-{}", place.0, place.1, place.2)).event(name_of(event));
                // Our own types always serialise; one that did not would be left out rather than end the stream.
                events.extend(sent.json_data(&data).ok());
            }
        }
        self.filter.forget(committed);
        Ok(events)
    }
}

impl Filter {
    fn passes(&mut self, app: &AppHandle, event: &Event, by_account: bool) -> Result<bool, StoreError> {
        let session = event.session();
        if self.session.is_some_and(|wanted| session != Some(wanted)) {
            return Ok(false);
        }
        let Some(account) = self.account else { return Ok(true) };
        if by_account || event.accounts().any(|named| named == account) {
            return Ok(true);
        }
        // Grants, pauses and readings are others' acts: they concern whoever opened the session.
        session.map_or(Ok(false), |session| self.is_of(app, session, account))
    }

    /// Takes from a block whose sessions it opens and settles, so that the database is asked for those alone that were opened before the stream.
    fn learn(&mut self, committed: &Committed) {
        let Some(account) = self.account else { return };
        for event in committed.receipts.iter().flat_map(|receipt| &receipt.events) {
            if let Event::SessionOpened { session, account: opener, .. } = event {
                self.know(*session, *opener == account);
            }
            if let Some(bill) = event.bill() {
                self.know(bill.session, bill.account == account);
            }
        }
    }

    /// Nothing follows a settlement.
    fn forget(&mut self, committed: &Committed) {
        for event in committed.receipts.iter().flat_map(|receipt| &receipt.events) {
            if let Some(bill) = event.bill() {
                self.known.remove(&bill.session);
            }
        }
    }

    fn know(&mut self, session: SessionId, is_of: bool) {
        if self.known.len() >= MAX_KNOWN_SESSIONS {
            self.known.clear();
        }
        self.known.insert(session, is_of);
    }

    fn is_of(&mut self, app: &AppHandle, session: SessionId, account: Address) -> Result<bool, StoreError> {
        if let Some(known) = self.known.get(&session) {
            return Ok(*known);
        }
        let is_of = owner(app, session)? == Some(account);
        self.know(session, is_of);
        Ok(is_of)
    }
}

/// Who opened a session, whether it is open still or settled.
fn owner(app: &AppHandle, session: SessionId) -> Result<Option<Address>, StoreError> {
    let snapshot = app.snapshot()?;
    if let Some(open) = snapshot.session(session)? {
        return Ok(Some(open.account));
    }
    let Some(location) = snapshot.settlement(session)? else { return Ok(None) };
    Ok(snapshot.receipt(location)?.and_then(|(receipt, _)| receipt.bill_of(session).map(|bill| bill.account)))
}

const fn name_of(event: &Event) -> &'static str {
    match event {
        Event::AccountRegistered { .. } => "account_registered",
        Event::TokensSold { .. } => "tokens_sold",
        Event::RedemptionRequested { .. } => "redemption_requested",
        Event::RedemptionPaid { .. } => "redemption_paid",
        Event::RedemptionRefused { .. } => "redemption_refused",
        Event::Transferred { .. } => "transferred",
        Event::RoleGranted { .. } => "role_granted",
        Event::RoleRevoked { .. } => "role_revoked",
        Event::GroupPut { .. } => "group_put",
        Event::ConnectorPut { .. } => "connector_put",
        Event::TariffPut { .. } => "tariff_put",
        Event::SessionOpened { .. } => "session_opened",
        Event::SessionToppedUp { .. } => "session_topped_up",
        Event::SessionGranted { .. } => "session_granted",
        Event::SessionSkipped { .. } => "session_skipped",
        Event::SessionPaused { .. } => "session_paused",
        Event::ReadingHandled { .. } => "reading_handled",
        Event::EnergyUnassigned { .. } => "energy_unassigned",
        Event::FaultReported { .. } => "fault_reported",
        Event::SessionStopping { .. } => "session_stopping",
        Event::SessionSettled(_) => "session_settled",
        Event::PositionPosted { .. } => "position_posted",
        Event::PositionsCleared { .. } => "positions_cleared",
        Event::RoamingClosed { .. } => "roaming_closed",
        Event::PaymentDue { .. } => "payment_due",
        Event::PaymentReported { .. } => "payment_reported",
        Event::PaymentReceived { .. } => "payment_received",
        Event::PaymentMissing { .. } => "payment_missing",
        Event::PositionLimitSet { .. } => "position_limit_set",
        Event::SessionIdle { .. } => "session_idle",
        Event::MandateGranted { .. } => "mandate_granted",
        Event::MandateRevoked { .. } => "mandate_revoked",
        Event::CardBound { .. } => "card_bound",
        Event::CardReleased { .. } => "card_released",
        Event::SessionMandated { .. } => "session_mandated",
        Event::StartAsked { .. } => "start_asked",
        Event::StartConfirmed { .. } => "start_confirmed",
    }
}
