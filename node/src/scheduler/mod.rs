//! The scheduler: reads what is, plans, and submits the difference.
//!
//! It keeps nothing: after a restart it reads the state again. What it decides is a [`plan`], pure and by a named policy; it signs with a key that holds the role
//! `Scheduler`, in every condominium where it does, and the chain checks each grant. Who waits and why is published on the [`QueueBoard`]. It acts when a block
//! has changed something that plans depend on. Started by `lib.rs`.

pub mod board;
pub mod plan;

use std::{collections::BTreeMap, sync::Arc};

use chain::{
    api::QueueTicket,
    id::{CondominiumId, ConnectorId, GroupId, Height, SessionId},
    quantity::Currents,
    receipt::{Event, Receipt},
    record::{Condominium, Connector, Control, Group, Key, Role, Session, SessionState, TariffVersion},
    state::StateRead,
    time::{Duration, Timestamp},
};
use contracts::{
    call::{Call, GrantCharge, ResumeCharge, Skipped},
    failure::Fault,
    ledger::Ledger,
    roles,
    tariff::Zone,
};
use tokio::{sync::watch, task::JoinHandle};

use self::{
    board::Known,
    plan::{How, Policy, SetPoint, Site, Standing, Wish, plan},
};
use crate::{
    app::{AppHandle, Committed, Interest, Subscription, SubscriptionError},
    clock::{Clock, Work},
    keys::KeyRing,
    sender::{SendError, Sender},
};

/// Everybody who waits, in order, with the reason: for the API to show.
pub type QueueBoard = watch::Receiver<Vec<QueueTicket>>;

/// The most set-points of one round.
const CALLS_PER_ROUND: usize = 256;

/// The most records of one kind that a plan reads.
const MAX_RECORDS: u32 = 100_000;

/// How long to wait before trying again where the chain refused, or the node is in trouble.
const TROUBLE_PAUSE: Duration = Duration::from_secs(5);

/// Why the scheduler stops.
#[derive(Debug, thiserror::Error)]
pub enum SchedulerError {
    /// The node's state cannot be read.
    #[error("the scheduler cannot go on: {0}")]
    State(String),
}

/// A running scheduler.
#[derive(Debug)]
pub struct Scheduler {
    /// Who waits.
    pub board: QueueBoard,
    /// Ends after `stop`, or with the error for which the node must stop.
    pub task: JoinHandle<Result<(), SchedulerError>>,
}

/// Starts a scheduler that signs with `keys`, until `stop` becomes true; `condominium` is the one whose validator this node is, if it is one.
#[must_use]
pub fn start(
    policy: Policy,
    (keys, condominium): (KeyRing, Option<CondominiumId>),
    app: AppHandle,
    clock: Clock,
    stop: watch::Receiver<bool>,
) -> Scheduler {
    let (publish, board) = watch::channel(Vec::new());
    // Before the state is read, so that no commit is missed between.
    let commits = app.subscribe(None, Interest::Acts);
    // A stepped clock stands still until the first plan is carried out.
    let starting = clock.work();
    let sender = Sender::new(app.clone(), clock.clone(), Role::Scheduler, keys, condominium);
    tracing::info!(account = %sender.address(), ?policy, "scheduler started");
    let task = tokio::spawn(Loop { policy, app, clock, sender, commits, publish, told: BTreeMap::new() }.run(starting, stop));
    Scheduler { board, task }
}

/// What wakes the loop.
enum Wake {
    Commit(Result<Arc<Committed>, SubscriptionError>),
    Timer(Work),
    Stop,
}

struct Loop {
    policy: Policy,
    app: AppHandle,
    clock: Clock,
    sender: Sender,
    commits: Subscription,
    publish: watch::Sender<Vec<QueueTicket>>,
    /// Of which condominiums it was told that the policy serves nobody: once, not with every block.
    told: BTreeMap<CondominiumId, Points>,
}

impl Loop {
    async fn run(mut self, starting: Work, mut stop: watch::Receiver<bool>) -> Result<(), SchedulerError> {
        let Some(mut retry) = self.act_unless(&mut stop).await? else { return Ok(()) };
        drop(starting);
        loop {
            let timer = async {
                match retry {
                    Some(at) => self.clock.sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            let wake = tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => Wake::Stop,
                commit = self.commits.next() => Wake::Commit(commit),
                work = timer => Wake::Timer(work),
            };
            // Kept until what follows is done.
            let _work = match wake {
                Wake::Stop | Wake::Commit(Err(SubscriptionError::Closed)) => return Ok(()),
                Wake::Commit(Err(SubscriptionError::Store(error))) => return Err(SchedulerError::State(error.to_string())),
                Wake::Commit(Ok(commit)) if matters(&commit.receipts) => None,
                Wake::Commit(Ok(_)) => continue,
                Wake::Timer(work) => Some(work),
            };
            let Some(next) = self.act_unless(&mut stop).await? else { return Ok(()) };
            retry = next;
        }
    }

    /// Acts, but does not wait for a block that a stopping node no longer makes; nothing where it stops.
    async fn act_unless(&mut self, stop: &mut watch::Receiver<bool>) -> Result<Option<Option<Timestamp>>, SchedulerError> {
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => Ok(None),
            acted = self.act() => acted.map(Some),
        }
    }

    fn warn(&mut self, view: &View) {
        let Points { unswitched, switched } = view.points;
        let Some(what) = self.policy.starves(unswitched, switched) else {
            self.told.remove(&view.id);
            return;
        };
        if self.told.insert(view.id, view.points) != Some(view.points) {
            tracing::warn!(condominium = %view.id, "{what}; raise scheduler.places in config.toml and start again");
        }
    }

    /// Plans and submits; gives when to try again, if what was planned could not be done.
    async fn act(&mut self) -> Result<Option<Timestamp>, SchedulerError> {
        // A stepped clock stands still meanwhile.
        let _work = self.clock.work();
        let now = self.clock.now();
        let state = |error: Fault| SchedulerError::State(error.to_string());
        let app = self.app.clone();
        let (calls, tickets) = {
            let snapshot = app.snapshot().map_err(|error| SchedulerError::State(error.to_string()))?;
            let mut calls = Vec::new();
            let mut tickets = Vec::new();
            for view in views(&snapshot, snapshot.tip().height, &self.sender).map_err(state)? {
                let wishes: Vec<Wish> = view.known.iter().map(|known| known.wish).collect();
                let plan = plan(&view.site, &wishes, self.policy);
                self.warn(&view);
                tickets.extend(board::tickets(&view.known, &plan, now));
                calls.extend(plan.set_points.iter().map(call_of));
            }
            (calls, tickets)
        };
        self.publish.send_if_modified(|board| {
            let changed = *board != tickets;
            if changed {
                *board = tickets;
            }
            changed
        });
        let later = now.saturating_add(TROUBLE_PAUSE);
        let mut left = false;
        let mut calls = calls.into_iter().peekable();
        while calls.peek().is_some() {
            let part: Vec<Call> = calls.by_ref().take(CALLS_PER_ROUND).collect();
            match self.sender.send(part).await {
                Ok(round) => {
                    for (call, rejection) in &round.refused {
                        tracing::warn!(call = call.action().name(), %rejection, "a set-point was refused; planning again");
                    }
                    left |= round.left > 0 || !round.refused.is_empty();
                }
                Err(SendError::Closed) => return Ok(None),
                Err(error @ (SendError::Unregistered(_) | SendError::Fault(_))) => {
                    tracing::warn!(%error, "set-points cannot be submitted; trying again");
                    return Ok(Some(later));
                }
            }
        }
        Ok(left.then_some(later))
    }
}

fn call_of(point: &SetPoint) -> Call {
    let current = Currents::from_ma(point.current_ma);
    let grant = |skipped: Vec<Skipped>| Call::GrantCharge(GrantCharge { session: point.session, current, skipped });
    match &point.how {
        How::First(skipped) => grant(skipped.iter().map(|(session, reason)| Skipped { session: *session, reason: *reason }).collect()),
        How::Change => grant(Vec::new()),
        How::Resume => Call::ResumeCharge(ResumeCharge { session: point.session, current }),
    }
}

/// Whether a block changed anything that a plan depends on.
fn matters(receipts: &[Receipt]) -> bool {
    receipts.iter().flat_map(|receipt| &receipt.events).any(|event| match event {
        Event::RoleGranted { .. }
        | Event::GroupPut { .. }
        | Event::ConnectorPut { .. }
        | Event::SessionOpened { .. }
        | Event::SessionGranted { .. }
        | Event::SessionPaused { .. }
        | Event::FaultReported { .. }
        | Event::SessionStopping { .. }
        | Event::SessionIdle { .. }
        | Event::SessionSettled(_) => true,
        Event::MandateGranted { .. }
        | Event::MandateRevoked { .. }
        | Event::CardBound { .. }
        | Event::CardReleased { .. }
        | Event::SessionMandated { .. }
        | Event::StartAsked { .. }
        | Event::MeterProposed { .. }
        | Event::MeterReplaced { .. }
        | Event::RoleSuspended { .. }
        | Event::SuspensionLifted { .. }
        | Event::StartConfirmed { .. }
        | Event::AccountRegistered { .. }
        | Event::TokensSold { .. }
        | Event::RedemptionRequested { .. }
        | Event::RedemptionPaid { .. }
        | Event::RedemptionRefused { .. }
        | Event::Transferred { .. }
        | Event::RoleRevoked { .. }
        | Event::TariffPut { .. }
        | Event::SessionToppedUp { .. }
        | Event::SessionSkipped { .. }
        | Event::ReadingHandled { .. }
        | Event::EnergyUnassigned { .. }
        | Event::PositionPosted { .. }
        | Event::PositionsCleared { .. }
        | Event::RoamingClosed { .. }
        | Event::PaymentDue { .. }
        | Event::PaymentReported { .. }
        | Event::PaymentReceived { .. }
        | Event::PaymentMissing { .. }
        | Event::PositionLimitSet { .. } => false,
    })
}

/// A condominium as a plan needs it.
struct View {
    id: CondominiumId,
    points: Points,
    site: Site,
    known: Vec<Known>,
}

/// The condominiums in which the sender is scheduler, as they are.
fn views(state: &dyn StateRead, tip: Height, sender: &Sender) -> Result<Vec<View>, Fault> {
    let ledger = Ledger::new(state);
    let minimum_ma = minimum_current(&ledger)?;
    let account = sender.address();
    let mut ours: BTreeMap<CondominiumId, View> = BTreeMap::new();
    let condominiums: Vec<(Vec<u8>, Condominium)> = ledger.scan(&[Key::Condominium(CondominiumId(0)).table()], MAX_RECORDS)?;
    for (key, _) in condominiums {
        let Some(id) = last_number(&key).map(CondominiumId) else { continue };
        if roles::holds(&ledger, tip.next(), id, Role::Scheduler, &account)? {
            let points = points(&ledger, id)?;
            let site = Site { groups: groups(&ledger, id)?, minimum_ma, unswitched: points.unswitched };
            ours.insert(id, View { id, points, site, known: Vec::new() });
        }
    }
    if ours.is_empty() {
        return Ok(Vec::new());
    }
    let table = [Key::Session(SessionId(chain::hash::Hash32::ZERO)).table()];
    let sessions: Vec<(Vec<u8>, Session)> = ledger.scan(&table, MAX_RECORDS)?;
    let mut zones: BTreeMap<(chain::id::TariffId, u32), Option<Zone>> = BTreeMap::new();
    for (key, session) in sessions {
        let Some(view) = ours.get_mut(&session.connector.condominium) else { continue };
        let Some(id) = key.get(1..).and_then(|id| id.try_into().ok()).map(|id| SessionId(chain::hash::Hash32(id))) else { continue };
        let Some(connector) = ledger.connector(session.connector)? else { continue };
        let Some(wish) = wish(id, &session, &connector) else { continue };
        let zone = match zones.get(&(session.tariff, session.tariff_version)) {
            Some(zone) => *zone,
            None => {
                let version: Option<TariffVersion> = ledger.get(&Key::TariffVersion(session.tariff, session.tariff_version))?;
                let zone = version.and_then(|version| Zone::parse(&version.tariff.time_zone).ok());
                zones.insert((session.tariff, session.tariff_version), zone);
                zone
            }
        };
        view.known.push(Known { wish, session, zone });
    }
    Ok(ours.into_values().collect())
}

/// What a plan has to know of a session; nothing where there is nothing to plan.
fn wish(id: SessionId, session: &Session, connector: &Connector) -> Option<Wish> {
    let standing = match session.state {
        SessionState::Queued => Standing::Queued,
        SessionState::Paused => Standing::Paused,
        SessionState::Charging => Standing::Charging(session.granted.ma()),
        SessionState::Idle | SessionState::Stopping { .. } => return None,
    };
    (connector.control == Control::Switched).then_some(Wish {
        session: id,
        connector: session.connector,
        group: connector.group,
        rated_ma: connector.rated.ma(),
        arrival: (session.opened_height, session.opened_index),
        standing,
        available: connector.fault.is_none(),
    })
}

fn minimum_current(ledger: &Ledger<'_>) -> Result<u32, Fault> {
    let params: chain::params::Params = ledger.get(&Key::Params)?.ok_or_else(|| Fault("the state has no parameters".to_owned()))?;
    Ok(params.min_current.get())
}

fn groups(ledger: &Ledger<'_>, id: CondominiumId) -> Result<BTreeMap<u32, Group>, Fault> {
    let mut prefix = Key::Group(GroupId::new(id, 0)).bytes();
    prefix.truncate(prefix.len().saturating_sub(4));
    let rows: Vec<(Vec<u8>, Group)> = ledger.scan(&prefix, MAX_RECORDS)?;
    Ok(rows.into_iter().filter_map(|(key, group)| Some((last_number(&key)?, group))).collect())
}

/// How many points a condominium has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Points {
    /// Without a switch, in service or not: their current is reserved either way.
    pub(crate) unswitched: u32,
    pub(crate) switched: u32,
}

/// The points of a condominium. `doctor` asks too.
pub(crate) fn points(ledger: &Ledger<'_>, id: CondominiumId) -> Result<Points, Fault> {
    let rows = records(ledger, id)?;
    let count = |control| u32::try_from(rows.iter().filter(|(_, connector)| connector.control == control).count()).unwrap_or(u32::MAX);
    Ok(Points { unswitched: count(Control::MeterOnly), switched: count(Control::Switched) })
}

/// The connectors of a condominium, for `doctor`.
pub(crate) fn connectors(ledger: &Ledger<'_>, id: CondominiumId) -> Result<Vec<ConnectorId>, Fault> {
    Ok(records(ledger, id)?.iter().filter_map(|(key, _)| last_number(key)).map(|number| ConnectorId::new(id, number)).collect())
}

fn records(ledger: &Ledger<'_>, id: CondominiumId) -> Result<Vec<(Vec<u8>, Connector)>, Fault> {
    let mut prefix = Key::Connector(ConnectorId::new(id, 0)).bytes();
    prefix.truncate(prefix.len().saturating_sub(4));
    ledger.scan(&prefix, MAX_RECORDS)
}

/// The number in the last four bytes of a key.
fn last_number(key: &[u8]) -> Option<u32> {
    key.last_chunk::<4>().map(|bytes| u32::from_be_bytes(*bytes))
}
