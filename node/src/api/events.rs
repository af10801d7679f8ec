//! Committed events as a stream (server-sent events): resumable from the chain itself, so nothing is missed and nothing is kept for slow readers.

use std::{
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
    receipt::{Event, Receipt},
};
use contracts::call::Transaction;
use futures::{Stream, stream};
use serde::Deserialize;

use super::{
    ApiState, MAX_STREAMS, Shared,
    problem::ApiProblem,
    query::{Asked, number, parse},
};
use crate::app::{Committed, Interest, Subscription};

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

struct Filter {
    account: Option<Address>,
    session: Option<SessionId>,
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
    };
    let seen = headers.get("last-event-id").map(|value| place_of(&String::from_utf8_lossy(value.as_bytes()))).transpose()?;
    let seat = Seat::take(&state.shared)
        .ok_or_else(|| ApiProblem::unavailable(format!("all {MAX_STREAMS} event streams are taken: try again later")))?;
    let from = seen.map(|(height, ..)| Height(height)).or(query.from.map(Height));
    let subscription = state.app.subscribe(from, Interest::Watches);
    let follow = Follow { subscription, filter, seen, ready: Vec::new(), _seat: seat };
    let events = stream::unfold(follow, |mut follow| async move {
        let sent = follow.next().await?;
        Some((Ok(sent), follow))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(PING).text("ping")))
}

fn place_of(text: &str) -> Result<Place, ApiProblem> {
    let bad =
        || ApiProblem::bad_request(format!("Last-Event-ID: expected the id of an event of this stream such as 17-0-2, found {text:?}"));
    let mut parts = text.splitn(3, '-');
    let mut next = || parts.next().ok_or_else(bad);
    let (height, index, event) = (next()?, next()?, next()?);
    Ok((number(height).ok_or_else(bad)?, number(index).ok_or_else(bad)?, number(event).ok_or_else(bad)?))
}

struct Follow {
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
            self.ready = self.events_of(&committed);
            self.ready.reverse();
        }
        self.ready.pop()
    }

    fn events_of(&self, committed: &Committed) -> Vec<Sent> {
        let mut events = Vec::new();
        for (location, receipt) in committed.located() {
            let bytes = committed.block.transactions.get(location.index as usize);
            let by_account = self.filter.account.is_some_and(|account| {
                bytes.and_then(|bytes| Transaction::decode(bytes).ok()).is_some_and(|transaction| transaction.body().account == account)
            });
            for (number, event) in (0_u32..).zip(&receipt.events) {
                let place = (location.height.0, location.index, number);
                if self.seen.is_some_and(|seen| place <= seen) || !self.filter.passes(event, receipt, by_account) {
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
        events
    }
}

impl Filter {
    fn passes(&self, event: &Event, receipt: &Receipt, by_account: bool) -> bool {
        let of_session = self.session.is_none_or(|session| session_of(event) == Some(session));
        // A session's later events name the session alone: they concern its account through the receipt that carries them.
        let of_account = self
            .account
            .is_none_or(|account| by_account || accounts_of(event).contains(&Some(account)) || settles(receipt, event, account));
        of_session && of_account
    }
}

/// Whether an event is of a session that the same receipt settles for this account.
fn settles(receipt: &Receipt, event: &Event, account: Address) -> bool {
    let session = session_of(event);
    session.is_some()
        && receipt
            .events
            .iter()
            .any(|other| matches!(other, Event::SessionSettled(bill) if Some(bill.session) == session && bill.account == account))
}

const fn accounts_of(event: &Event) -> [Option<Address>; 2] {
    match event {
        Event::AccountRegistered { account, .. }
        | Event::TokensSold { account, .. }
        | Event::RedemptionRequested { account, .. }
        | Event::RedemptionPaid { account, .. }
        | Event::RedemptionRefused { account, .. }
        | Event::RoleGranted { account, .. }
        | Event::RoleRevoked { account, .. }
        | Event::SessionOpened { account, .. } => [Some(*account), None],
        Event::Transferred { from, to, .. } => [Some(*from), Some(*to)],
        Event::SessionSettled(bill) => [Some(bill.account), None],
        Event::GroupPut { .. }
        | Event::ConnectorPut { .. }
        | Event::TariffPut { .. }
        | Event::SessionToppedUp { .. }
        | Event::SessionGranted { .. }
        | Event::SessionSkipped { .. }
        | Event::SessionPaused { .. }
        | Event::ReadingHandled { .. }
        | Event::EnergyUnassigned { .. }
        | Event::FaultReported { .. }
        | Event::SessionStopping { .. }
        | Event::PositionPosted { .. } => [None, None],
    }
}

const fn session_of(event: &Event) -> Option<SessionId> {
    match event {
        Event::SessionOpened { session, .. }
        | Event::SessionToppedUp { session, .. }
        | Event::SessionGranted { session, .. }
        | Event::SessionSkipped { session, .. }
        | Event::SessionPaused { session, .. }
        | Event::ReadingHandled { session, .. }
        | Event::SessionStopping { session, .. } => Some(*session),
        Event::SessionSettled(bill) => Some(bill.session),
        Event::AccountRegistered { .. }
        | Event::TokensSold { .. }
        | Event::RedemptionRequested { .. }
        | Event::RedemptionPaid { .. }
        | Event::RedemptionRefused { .. }
        | Event::Transferred { .. }
        | Event::RoleGranted { .. }
        | Event::RoleRevoked { .. }
        | Event::GroupPut { .. }
        | Event::ConnectorPut { .. }
        | Event::TariffPut { .. }
        | Event::EnergyUnassigned { .. }
        | Event::FaultReported { .. }
        | Event::PositionPosted { .. } => None,
    }
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
    }
}
