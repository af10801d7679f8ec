//! Runs simulated garages on the virtual clock: moves time from event to event, and lets units, cars and residents do what they do in each.
//!
//! There is one garage and one node for each condominium; units post to the node of the condominium in which they hang, wallets speak to that of their owner's
//! home. Where there are several nodes, "the node" below means all of them, quiet at one block.
//!
//! # One instant
//! 1. The node's time is moved; it does what was due and becomes quiet.
//! 2. What ends or goes on: residents whose car leaves the queue cancel, residents stop, units post (a car full or gone, an hour, the end of a lease).
//! 3. Cars come: their units post the plug, their owners ask for a quote, sign and open. All of them before the node is asked to be quiet again. Where there is a
//!    meter alone nobody signs: the node's gateway opens under the mandate that is bound to the connector, and the stay takes the session from the chain.
//! 4. Whatever the chain answers in new blocks (grants, changes, stops) is told to the units it concerns: they post, until nothing new comes.
//!
//! Everything goes over HTTP, as it would in a garage; blocks are read over the API, as anybody may. Nothing here takes virtual time. When the node dies in
//! between, it is started again in the same instant, units repeat what had no answer and residents what had no block. The next instant is the least of the
//! world's next event and the node's earliest timer. `demo` and `replay` call it.

mod told;

use std::collections::HashMap;

use chain::{
    api::QueueTicket,
    code::Rejection,
    id::{ConnectorId, Height, SessionId},
    quantity::Amount,
    receipt::SessionReceipt,
    record::EndReason,
    time::Duration,
};
use cli::client::QuoteQuery;
use contracts::call::{Call, CancelSession, OpenSession, Priority, StopSession};

pub use self::told::note_committed;
use crate::{
    federation::FederationError,
    resident::{AskError, Lines, Resident},
    unit::{Outcome, SimUnit, UnitError},
    world::{Agenda, Escrow, Visit, next_period_ms},
};

/// How often a unit posts in one instant before something is wrong.
const MAX_POSTS: u32 = 8;

/// How often the node may come back with something new in one instant before something is wrong.
const MAX_ROUNDS: u32 = 1_000;

/// How often a unit repeats an exchange that had no answer; a node may be killed that often, and start in between.
const MAX_ATTEMPTS: u32 = 3_000;

/// Why the garage stands still.
#[derive(Debug, thiserror::Error)]
pub enum DriveError {
    /// Residents or staff.
    #[error(transparent)]
    Ask(#[from] AskError),
    /// The node's processes.
    #[error(transparent)]
    Federation(#[from] FederationError),
    /// A unit.
    #[error(transparent)]
    Unit(#[from] UnitError),
    /// A block rejected what had to be accepted.
    #[error("the chain rejected {call} of {who} in block {height}: {rejection}")]
    Rejected { call: &'static str, who: String, height: Height, rejection: Rejection },
    /// Units and gateway keep answering each other.
    #[error("something never comes to rest at {now_ms} ms: {what}")]
    Restless { now_ms: u64, what: String },
    /// Time would pass for nothing.
    #[error("nothing will happen any more, and {0} sessions are not settled")]
    Stuck(usize),
}

/// Somebody who charges.
#[derive(Debug)]
pub struct Person {
    /// A name for people; it is not on the chain.
    pub name: String,
    /// His wallet.
    pub resident: Resident,
    /// Whose node his wallet speaks to: the condominium at which he is at home.
    pub home: usize,
}

/// A connector with its unit.
#[derive(Debug)]
pub struct Place {
    /// A name for people: whose it is.
    pub name: String,
    /// Which condominium it is in.
    pub site: usize,
    /// Which connector.
    pub connector: ConnectorId,
    /// Its unit, and the car at it.
    pub unit: SimUnit,
    /// Who is there.
    pub stay: Option<Stay>,
}

/// A car at its plug.
#[derive(Clone, Copy, Debug)]
pub struct Stay {
    /// Which visit.
    pub visit: usize,
    /// Its session, once it is opened.
    pub session: Option<SessionId>,
    /// Where it is in its life.
    pub phase: Phase,
    /// What is or was locked for it.
    pub escrow: Amount,
    plug_out_ms: u64,
    stop_at_ms: Option<u64>,
}

/// Where a stay is in its life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// The session is being opened.
    Opening,
    /// It waits for current.
    Queued,
    /// It may draw.
    Charging,
    /// It may not draw for now.
    Paused,
    /// It is over and not yet paid.
    Stopping,
    /// It is paid.
    Settled,
}

/// What became of a visit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Fate {
    /// What the car drew, Wh.
    pub drawn_wh: u64,
    /// Its bill.
    pub receipt: Option<SessionReceipt>,
    /// Whether it waited for a first grant beyond the instant of its coming, or never got one.
    pub waited: bool,
}

/// Something that a person might want to see.
#[derive(Clone, Debug)]
pub enum Happening {
    /// A session was opened and its escrow locked.
    Opened { visit: usize, escrow: Amount },
    /// It may draw so much, mA; for the first time if `first`.
    Granted { visit: usize, current_ma: [u32; 3], first: bool },
    /// It may not draw for now.
    Paused { visit: usize },
    /// It is over.
    Stopping { visit: usize, reason: EndReason },
    /// It is paid.
    Settled { visit: usize, receipt: Box<SessionReceipt> },
    /// A car left.
    Left { visit: usize },
    /// Time has moved.
    Moment,
}

/// The garage.
#[derive(Debug)]
pub struct Garage {
    /// The nodes and what was sent to them.
    pub lines: Lines,
    /// The condominiums' names, in the order of their nodes.
    pub sites: Vec<String>,
    /// The connectors.
    pub places: Vec<Place>,
    /// Everyone who charges.
    pub people: Vec<Person>,
    /// All visits, past and to come.
    pub visits: Vec<Visit>,
    /// What became of each.
    pub fates: Vec<Fate>,
    /// The present, ms.
    pub now_ms: u64,
    /// Blocks up to this one were read.
    pub height: Height,
    /// The last block before anybody came.
    pub founded: Height,
    /// Whether the node is asked why anybody waits, for whoever shows it.
    pub follow_queue: bool,
    /// Who waits, and why, as the node says.
    pub queue: Vec<QueueTicket>,
    agenda: Agenda,
    /// Open sessions, with their connectors and visits.
    sessions: HashMap<SessionId, (usize, usize)>,
    /// The earliest time that anybody in the node waits for, ms.
    next_timer_ms: Option<u64>,
    /// What is asked of every session.
    max_duration: Duration,
    /// The longest time between two posts while current may flow, ms.
    post_every_ms: u64,
}

/// Where the happenings of a garage are shown.
pub type Show<'a> = dyn FnMut(&Garage, &Happening) + 'a;

impl Garage {
    /// A garage that nobody has come to yet; blocks up to now do not concern it.
    #[must_use]
    pub fn new(lines: Lines, (places, people): (Vec<Place>, Vec<Person>), visits: Vec<Visit>, start: Start) -> Self {
        let agenda = Agenda::new(&visits, places.len());
        let fates = vec![Fate::default(); visits.len()];
        let Start { sites, now_ms, height, max_duration, post_every_ms } = start;
        let (sessions, next_timer_ms) = (HashMap::new(), None);
        let (follow_queue, queue) = (false, Vec::new());
        Self {
            lines,
            sites,
            places,
            people,
            visits,
            fates,
            now_ms,
            height,
            founded: height,
            follow_queue,
            queue,
            agenda,
            sessions,
            next_timer_ms,
            max_duration,
            post_every_ms,
        }
    }

    /// Runs until every car has left and every session is settled.
    ///
    /// # Errors
    /// [`DriveError`].
    pub async fn run(&mut self, show: &mut Show<'_>) -> Result<(), DriveError> {
        while self.step(show).await? {}
        Ok(())
    }

    /// Goes on to the next instant and does everything in it; gives whether there was one.
    ///
    /// # Errors
    /// [`DriveError`].
    pub async fn step(&mut self, show: &mut Show<'_>) -> Result<bool, DriveError> {
        let world = self.agenda.next_ms();
        let open = self.sessions.len();
        if world.is_none() && open == 0 {
            return Ok(false);
        }
        // A timer at or before the present is the node's own matter of this instant: it said that it is quiet.
        let timer = self.next_timer_ms.filter(|at_ms| *at_ms > self.now_ms);
        let next_ms = world.into_iter().chain(timer).min().ok_or(DriveError::Stuck(open))?;
        self.now_ms = next_ms.max(self.now_ms);
        self.settle(show).await?;

        let due = self.agenda.take_due(self.now_ms);
        if !due.is_empty() {
            self.lines.hold(self.now_ms).await?;
            for connector in &due {
                self.ask_of_resident(*connector).await?;
            }
            for connector in &due {
                self.attend(*connector, show).await?;
            }
        }
        self.settle(show).await?;
        let coming = self.agenda.take_coming(self.now_ms);
        if !coming.is_empty() {
            self.lines.hold(self.now_ms).await?;
            let mut openings = Vec::new();
            for visit in coming {
                openings.extend(self.arrive(visit).await?);
            }
            for (connector, opening) in openings {
                self.open(connector, opening).await?;
            }
            self.settle(show).await?;
        }
        if self.follow_queue {
            let waits = self.places.iter().filter_map(|place| place.stay).any(|stay| stay.phase == Phase::Queued);
            self.queue = if waits { self.lines.ask(0, "the queue", async |client| client.queue().await).await? } else { Vec::new() };
        }
        show(self, &Happening::Moment);
        Ok(true)
    }

    /// Lets the node come to rest and units hear of what the chain has decided, until nothing new comes.
    async fn settle(&mut self, show: &mut Show<'_>) -> Result<(), DriveError> {
        for _ in 0..MAX_ROUNDS {
            let quiet = self.lines.advance(self.now_ms).await?;
            self.next_timer_ms = quiet.next_timer;
            let concerned = self.read_blocks(quiet.height, show).await?;
            if concerned.is_empty() {
                if self.lines.outstanding.is_empty() {
                    return Ok(());
                }
                // The node is quiet, so its pool is empty: what is in no block was lost with a process.
                self.lines.send_again().await?;
            }
            if !concerned.is_empty() {
                self.lines.hold(self.now_ms).await?;
            }
            for connector in concerned {
                self.places[connector].unit.advance(self.now_ms)?;
                self.post(connector).await?;
                self.plan(connector);
            }
        }
        Err(DriveError::Restless { now_ms: self.now_ms, what: "the chain".to_owned() })
    }

    /// Before the units post: residents whose car leaves the queue cancel, and residents stop.
    async fn ask_of_resident(&mut self, connector: usize) -> Result<(), DriveError> {
        let now_ms = self.now_ms;
        let place = &mut self.places[connector];
        let Some(Stay { visit, session: Some(session), phase, plug_out_ms, stop_at_ms, .. }) = place.stay else { return Ok(()) };
        let call = match phase {
            Phase::Queued if plug_out_ms <= now_ms => Call::CancelSession(CancelSession { session }),
            Phase::Queued | Phase::Charging | Phase::Paused if stop_at_ms.is_some_and(|at_ms| at_ms <= now_ms) => {
                Call::StopSession(StopSession { session })
            }
            Phase::Opening | Phase::Queued | Phase::Charging | Phase::Paused | Phase::Stopping | Phase::Settled => return Ok(()),
        };
        if let Some(stay) = &mut place.stay {
            stay.stop_at_ms = None;
        }
        let person = &self.people[self.visits[visit].person];
        let transaction = person.resident.sign(call, now_ms)?;
        Ok(self.lines.submit(person.home, &transaction).await?)
    }

    /// Does what is due at a connector: the car leaves, is full, is metered, or its lease is over.
    async fn attend(&mut self, connector: usize, show: &mut Show<'_>) -> Result<(), DriveError> {
        let now_ms = self.now_ms;
        let place = &mut self.places[connector];
        place.unit.advance(now_ms)?;
        match place.stay {
            Some(stay) if stay.plug_out_ms <= now_ms => {
                let drawn_wh = place.unit.plug_out(now_ms)?;
                place.stay = None;
                self.fates[stay.visit].drawn_wh = drawn_wh;
                self.post(connector).await?;
                show(self, &Happening::Left { visit: stay.visit });
            }
            Some(_) => {
                let over = |place: &Place| place.unit.lease_end_ms().is_some_and(|at_ms| at_ms <= now_ms);
                // Where a reading is due anyway, the lease is renewed in its last moment.
                if !over(place) || now_ms.is_multiple_of(self.post_every_ms) {
                    self.post(connector).await?;
                }
                if over(&self.places[connector]) {
                    self.places[connector].unit.end_lease(now_ms)?;
                    self.post(connector).await?;
                }
            }
            None => {}
        }
        self.plan(connector);
        Ok(())
    }

    /// A car comes: its unit says so, and its owner makes up his mind, where that is asked for.
    async fn arrive(&mut self, visit: usize) -> Result<Option<(usize, OpenSession)>, DriveError> {
        let now_ms = self.now_ms;
        let Visit { source, connector, person, escrow, stop_at_ms } = self.visits[visit].clone();
        let place = &mut self.places[connector];
        place.unit.plug_in(&source, now_ms)?;
        let id = place.connector;
        if place.unit.is_meter_only() {
            let plug_out_ms = source.plug_out_ms;
            place.stay = Some(Stay { visit, session: None, phase: Phase::Opening, escrow: Amount::ZERO, plug_out_ms, stop_at_ms });
            self.post(connector).await?;
            self.plan(connector);
            return Ok(None);
        }
        self.post(connector).await?;
        let query = QuoteQuery { connector: id, energy: None, max_duration: Some(self.max_duration), at: None };
        let home = self.people[person].home;
        let quote = self.lines.ask(home, "a quote", async |client| client.quote(query).await).await?;
        let escrow = match escrow {
            Escrow::Maximum => quote.maximum,
            Escrow::Fixed(amount) => amount,
        };
        self.places[connector].stay =
            Some(Stay { visit, session: None, phase: Phase::Opening, escrow, plug_out_ms: source.plug_out_ms, stop_at_ms });
        self.plan(connector);
        let opening = OpenSession {
            connector: id,
            tariff_version: quote.tariff_version,
            max_spend: escrow,
            max_duration: self.max_duration,
            energy_target: None,
            state_of_charge: None,
            depart_by: None,
            window: None,
            priority: Priority::None,
        };
        Ok(Some((connector, opening)))
    }

    async fn open(&mut self, connector: usize, opening: OpenSession) -> Result<(), DriveError> {
        let Some(stay) = &mut self.places[connector].stay else { return Ok(()) };
        let person = &self.people[self.visits[stay.visit].person];
        let transaction = person.resident.sign(Call::OpenSession(opening), self.now_ms)?;
        let id = SessionId(transaction.id().0);
        stay.session = Some(id);
        self.sessions.insert(id, (connector, stay.visit));
        Ok(self.lines.submit(person.home, &transaction).await?)
    }

    /// Posts until unit and gateway agree on what may flow.
    async fn post(&mut self, connector: usize) -> Result<(), DriveError> {
        let now_ms = self.now_ms;
        let mut attempts = 0;
        for _ in 0..MAX_POSTS {
            let outcome = loop {
                match self.places[connector].unit.post(now_ms).await {
                    Ok(outcome) => break outcome,
                    Err(error) if error.is_transient() && attempts < MAX_ATTEMPTS => {
                        attempts += 1;
                        let site = self.places[connector].site;
                        self.lines.recover(site).await?;
                    }
                    Err(error) => return Err(error.into()),
                }
            };
            if outcome == Outcome::Same {
                return Ok(());
            }
        }
        let what = format!("unit of connector {}", self.places[connector].connector);
        Err(DriveError::Restless { now_ms, what })
    }

    /// Puts a connector on the agenda for whatever comes first there.
    fn plan(&mut self, connector: usize) {
        let now_ms = self.now_ms;
        let place = &self.places[connector];
        let at_ms = place.stay.and_then(|stay| {
            let post_ms = place.unit.is_closed().then(|| next_period_ms(now_ms, self.post_every_ms));
            let stop_ms = match stay.phase {
                Phase::Opening | Phase::Queued | Phase::Charging | Phase::Paused => stay.stop_at_ms,
                Phase::Stopping | Phase::Settled => None,
            };
            let others = [post_ms, stop_ms, place.unit.full_ms(now_ms), place.unit.lease_end_ms()];
            // The present is done with, but for a lease that ended in it.
            others.into_iter().flatten().map(|at_ms| at_ms.max(now_ms + 1)).chain([stay.plug_out_ms]).min()
        });
        self.agenda.set(connector, at_ms);
    }

    /// Sessions that are open.
    #[must_use]
    pub fn open_sessions(&self) -> usize {
        self.sessions.len()
    }

    /// Visits that have not begun.
    #[must_use]
    pub fn coming(&self) -> usize {
        self.agenda.left()
    }
}

/// Where a garage begins.
#[derive(Clone, Debug)]
pub struct Start {
    /// The condominiums' names, in the order of their nodes.
    pub sites: Vec<String>,
    /// The present, ms.
    pub now_ms: u64,
    /// The newest block that does not concern it.
    pub height: Height,
    /// What is asked of every session.
    pub max_duration: Duration,
    /// The longest time between two posts of a unit while current may flow, ms; not longer than a lease.
    pub post_every_ms: u64,
}
