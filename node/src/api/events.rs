//! Committed events as a stream (server-sent events): resumable from the chain itself, so nothing is missed and nothing is kept for slow readers.
//! A stream ends with its reader's token; its last event says so, and whoever signs in again goes on after the last one that has an id.

use std::{collections::BTreeMap, convert::Infallible, time::Duration};

use axum::{
    extract::{Request, State},
    response::{
        Sse,
        sse::{Event as Sent, KeepAlive},
    },
};
use chain::{
    api::StreamedEvent,
    id::{Address, CondominiumId, Height, SessionId},
    receipt::Event,
};
use contracts::call::Transaction;
use futures::{Stream, stream};
use serde::Deserialize;
use tokio::time::Instant;

use super::{
    ApiState, MAX_STREAMS, Shared, client_of,
    pace::Client,
    problem::ApiProblem,
    query::{ACCOUNT, Asked, HEIGHT, Kind, Parameter, Parameters, account_named, number, parse},
    readers::{Reader, Sight},
    seats::{Full, Seat},
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
    const TAKEN: &'static [Parameter] = &[
        Parameter::new("account", ACCOUNT, "What names this account, what its transactions did, and what happens to its sessions."),
        Parameter::new("session", Kind::Text(chain::openapi::HASH), "What happens to this session."),
        Parameter::new("from", HEIGHT, "The height to begin with; the next block where it is left out."),
    ];
}

/// The most sessions whose account a stream remembers; it is looked up again where there are more.
const MAX_KNOWN_SESSIONS: usize = 4_096;

/// The name of the event with which a stream ends when its reader's token runs out; its data is the problem of the same code.
const SIGN_IN_NEEDED: &str = "sign_in_needed";

struct Filter {
    reader: Reader,
    /// What the reader may see after the block of `height`; a role that ends, ends here too.
    sight: Sight,
    height: Height,
    account: Option<Address>,
    session: Option<SessionId>,
    /// Whose a session is, and where: most events of a session name the session alone.
    known: BTreeMap<SessionId, Option<(Address, CondominiumId)>>,
}

/// The place of an event: height, receipt, event in the receipt.
type Place = (u64, u32, u32);

/// A place for a stream of this client.
fn take_seat(shared: &Shared, client: Client) -> Result<Seat, ApiProblem> {
    shared.streams.take(client).map_err(|full| match full {
        Full::All => ApiProblem::unavailable(format!("all {MAX_STREAMS} event streams are taken: try again later")),
        Full::Own => {
            let most = shared.streams.per_client();
            let held = format!("this client has {most} event streams open, as many as one may have here (api.streams_per_client): end one");
            ApiProblem::too_many_at_once(&held, PING)
        }
    })
}

/// `GET /events`.
pub async fn stream(
    State(state): State<ApiState>,
    reader: Reader,
    Asked(query): Asked<EventsQuery>,
    request: Request,
) -> Result<Sse<impl Stream<Item = Result<Sent, Infallible>>>, ApiProblem> {
    let sight = reader.sight(&state.app.snapshot()?)?;
    let filter = Filter {
        reader,
        sight,
        height: Height(0),
        account: query.account.as_deref().map(account_named).transpose()?,
        session: query.session.as_deref().map(|text| parse(text, "session")).transpose()?,
        known: BTreeMap::new(),
    };
    let seen = request.headers().get("last-event-id").map(|value| place_of(&String::from_utf8_lossy(value.as_bytes()))).transpose()?;
    let seat = take_seat(&state.shared, client_of(&request))?;
    let from = seen.map(|(height, ..)| Height(height)).or(query.from.map(Height));
    let subscription = state.app.subscribe(from, Interest::Watches);
    // A life beyond what a clock can count to has no end.
    let until = state.shared.readers.life_of(request.headers()).and_then(|life| Instant::now().checked_add(life));
    let follow = Follow { app: state.app.clone(), subscription, filter, seen, until, ready: Vec::new(), _seat: seat };
    let events = stream::unfold(Some(follow), |follow| async move {
        let mut follow = follow?;
        match follow.next().await? {
            Next::Event(sent) => Some((Ok(sent), Some(follow))),
            Next::Last(sent) => Some((Ok(sent), None)),
        }
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

/// What a stream brings.
enum Next {
    Event(Sent),
    /// And nothing after it.
    Last(Sent),
}

struct Follow {
    app: AppHandle,
    subscription: Subscription,
    filter: Filter,
    seen: Option<Place>,
    /// When the reader's token runs out; nothing where none is needed.
    until: Option<Instant>,
    /// Of one block at most, the next one last.
    ready: Vec<Sent>,
    _seat: Seat,
}

impl Follow {
    /// The next event that passes the filter, or that the token has run out; nothing once the node stops.
    async fn next(&mut self) -> Option<Next> {
        while self.ready.is_empty() {
            let until = self.until;
            let over = async {
                match until {
                    Some(until) => tokio::time::sleep_until(until).await,
                    None => std::future::pending().await,
                }
            };
            let committed = tokio::select! {
                // A reader who has much to catch up with must not outlive his token by it.
                biased;
                () = over => return Some(Next::Last(sign_in_again())),
                committed = self.subscription.next() => committed.ok()?,
            };
            match self.events_of(&committed) {
                Ok(events) => self.ready = events,
                Err(error) => {
                    tracing::error!(%error, "a stream of events ended: the database does not answer");
                    return None;
                }
            }
            self.ready.reverse();
        }
        self.ready.pop().map(Next::Event)
    }

    fn events_of(&mut self, committed: &Committed) -> Result<Vec<Sent>, StoreError> {
        let mut events = Vec::new();
        self.filter.look(&self.app, committed)?;
        self.filter.learn(committed);
        for (location, receipt) in committed.located() {
            // Read only where it is asked whose transaction it was.
            let bytes = self.filter.account.and_then(|_| committed.block.transactions.get(location.index as usize));
            let signed_for = bytes.and_then(|bytes| Transaction::decode(bytes).ok()).map(|transaction| transaction.body().account);
            for (number, event) in (0_u32..).zip(&receipt.events) {
                let place = (location.height.0, location.index, number);
                if self.seen.is_some_and(|seen| place <= seen) || !self.filter.passes(&self.app, event, signed_for)? {
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
    /// What the reader may see now. Whoever sees everything by right of the node's setting goes on to.
    fn look(&mut self, app: &AppHandle, committed: &Committed) -> Result<(), StoreError> {
        let height = committed.block.header.height;
        if self.reader != Reader::Everybody && height != self.height {
            self.sight = self.reader.sight(&app.snapshot()?)?;
            self.height = height;
        }
        Ok(())
    }

    fn passes(&mut self, app: &AppHandle, event: &Event, signed_for: Option<Address>) -> Result<bool, StoreError> {
        let session = event.session();
        if self.session.is_some_and(|wanted| session != Some(wanted)) {
            return Ok(false);
        }
        if let Some(account) = self.account {
            let named = signed_for == Some(account) || event.accounts().any(|named| named == account);
            // Grants, pauses and readings are others' acts: they concern whoever opened the session.
            if !named && self.owner(app, session)?.is_none_or(|(owner, _)| owner != account) {
                return Ok(false);
            }
        }
        self.is_shown(app, event, session)
    }

    /// What names nobody is everybody's; what names a session or accounts is theirs who may read one of them.
    fn is_shown(&mut self, app: &AppHandle, event: &Event, session: Option<SessionId>) -> Result<bool, StoreError> {
        if self.sight.is_everything() {
            return Ok(true);
        }
        if let Some((owner, condominium)) = self.owner(app, session)?
            && self.sight.takes_in_session(&owner, condominium)
        {
            return Ok(true);
        }
        let mut named = event.accounts().peekable();
        if session.is_none() && named.peek().is_none() {
            return Ok(true);
        }
        let snapshot = app.snapshot()?;
        for account in named {
            if self.sight.takes_in_account(&snapshot, &account)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Takes from a block whose sessions it opens and settles, so that the database is asked for those alone that were opened before the stream.
    fn learn(&mut self, committed: &Committed) {
        for event in committed.receipts.iter().flat_map(|receipt| &receipt.events) {
            if let Event::SessionOpened { session, account, connector, .. } = event {
                self.know(*session, Some((*account, connector.condominium)));
            }
            if let Some(bill) = event.bill() {
                self.know(bill.session, Some((bill.account, bill.connector.condominium)));
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

    fn know(&mut self, session: SessionId, owner: Option<(Address, CondominiumId)>) {
        if self.known.len() >= MAX_KNOWN_SESSIONS {
            self.known.clear();
        }
        self.known.insert(session, owner);
    }

    fn owner(&mut self, app: &AppHandle, session: Option<SessionId>) -> Result<Option<(Address, CondominiumId)>, StoreError> {
        let Some(session) = session else { return Ok(None) };
        if let Some(known) = self.known.get(&session) {
            return Ok(*known);
        }
        let owner = owner(app, session)?;
        self.know(session, owner);
        Ok(owner)
    }
}

/// Who opened a session and where, whether it is open still or settled.
fn owner(app: &AppHandle, session: SessionId) -> Result<Option<(Address, CondominiumId)>, StoreError> {
    let snapshot = app.snapshot()?;
    if let Some(open) = snapshot.session(session)? {
        return Ok(Some((open.account, open.connector.condominium)));
    }
    let Some(location) = snapshot.settlement(session)? else { return Ok(None) };
    Ok(snapshot.receipt(location)?.and_then(|(receipt, _)| receipt.bill_of(session).map(|bill| (bill.account, bill.connector.condominium))))
}

/// The end of a stream whose reader's token has run out. It has no id, so that a client goes on after the last event that it was given.
fn sign_in_again() -> Sent {
    let sent = Sent::default().event(SIGN_IN_NEEDED);
    // Without its data it is no event to a browser, and the stream ends all the same.
    sent.json_data(ApiProblem::sign_in_needed("the token has run out").document()).unwrap_or_default()
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
        Event::MeterProposed { .. } => "meter_proposed",
        Event::MeterReplaced { .. } => "meter_replaced",
        Event::RoleSuspended { .. } => "role_suspended",
        Event::SuspensionLifted { .. } => "suspension_lifted",
    }
}
