//! Residents and units on the machine's clock: cars come, charge and leave while nodes die.
//!
//! A unit posts to the node of the condominium in which it hangs, twice a second or so, and goes on under its lease while nobody answers; a resident speaks to
//! the node of his home and repeats what had no answer. Both use only what real ones would. Whatever a session came to is noted with what its car drew, for
//! [`super::verdict`]. Called by `chaos`.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use chain::{
    api::SessionView,
    id::{ConnectorId, SessionId},
    quantity::Amount,
    receipt::SessionReceipt,
    record::SessionState,
    time::Duration as Span,
};
use cli::client::{Client, ClientError, QuoteQuery};
use contracts::call::{Call, CancelSession, OpenSession, Priority, StopSession};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use tokio::sync::{Mutex, MutexGuard, watch};

use super::purse::{Fortune, Purse, machine_ms};
use crate::{
    rows::SourceSession,
    unit::{SimUnit, UnitError},
};

/// What every session asks for.
pub const MAX_DURATION: Span = Span::from_hours(1);

/// How often a unit does something while its plug is in.
const TICK: Duration = Duration::from_millis(400);

/// Between two questions to a node.
const LOOK: Duration = Duration::from_millis(300);

/// How long anything may take once nodes are disturbed: far more than the longest fault, and than the gateway's wait for a unit's last word. Seconds do on a
/// quiet machine; on one with sixteen others for its two processors, and with the least share of them, a session took more than three minutes.
pub const PATIENCE: Duration = Duration::from_secs(600);

/// After how long a resident whose car has left stops a session that goes on.
const LEFT_BEHIND: Duration = Duration::from_secs(5);

/// A connector with its unit, which whoever charges there has to himself.
#[derive(Debug)]
pub struct Spot {
    /// Which condominium it is in.
    pub site: usize,
    /// Which connector.
    pub connector: ConnectorId,
    /// Its unit.
    pub unit: Mutex<SimUnit>,
}

/// What a session came to.
#[derive(Clone, Copy, Debug)]
pub struct Stay {
    /// Its id.
    pub session: SessionId,
    /// Whose, by his number.
    pub person: usize,
    /// Where he is at home, and where he charged.
    pub home: usize,
    pub site: usize,
    /// What was locked.
    pub escrow: Amount,
    /// What its car drew, Wh.
    pub drawn_wh: u64,
    /// Its bill, as its owner's node told him.
    pub receipt: SessionReceipt,
}

/// What everyone counts together.
#[derive(Debug, Default)]
pub struct Tally {
    /// Sessions opened.
    pub opened: AtomicU64,
    /// Sessions settled.
    pub settled: AtomicU64,
    /// Posts of units that were answered.
    pub posts: AtomicU64,
    /// Those that were not.
    pub unanswered: AtomicU64,
    /// Openings that came to nothing: another was quicker.
    pub refused: AtomicU64,
}

/// Somebody who charges.
#[derive(Debug)]
pub struct Resident {
    /// His number, which is that of his own connector.
    pub number: usize,
    /// Where he is at home.
    pub home: usize,
    /// His wallet.
    pub purse: Purse,
    /// What his days are drawn from.
    pub seed: u64,
}

impl Resident {
    /// Charges again and again until it is enough, and gives what came of it.
    ///
    /// # Errors
    /// Where something is lost: a call that comes into no block, a session that is not settled.
    pub async fn live(mut self, spots: &[Spot], enough: watch::Receiver<bool>, tally: &Tally) -> anyhow::Result<Vec<Stay>> {
        let mut random = StdRng::seed_from_u64(self.seed);
        let mut stays = Vec::new();
        while !*enough.borrow() {
            tokio::time::sleep(Duration::from_millis(random.random_range(100..1_500))).await;
            let wish = Wish::draw(&mut random, self.number, spots, self.home);
            // Where somebody charges he looks again later.
            let Ok(unit) = spots[wish.spot].unit.try_lock() else { continue };
            if let Some(stay) = self.charge(&spots[wish.spot], unit, &wish, tally).await? {
                stays.push(stay);
            }
        }
        Ok(stays)
    }

    async fn charge(&mut self, spot: &Spot, mut unit: MutexGuard<'_, SimUnit>, wish: &Wish, tally: &Tally) -> anyhow::Result<Option<Stay>> {
        let now_ms = machine_ms();
        let source = SourceSession {
            site: spot.site.to_string(),
            user: self.number.to_string(),
            session_id: String::new(),
            plug_in_ms: now_ms,
            plug_out_ms: now_ms + wish.stays_ms,
            energy_wh: wish.energy_wh,
        };
        let (over, is_over) = watch::channel(false);
        let (person, home) = (self.number, self.home);
        let charging = async {
            let paid = self.pay(spot.connector, source.plug_out_ms, tally).await;
            over.send_replace(true);
            paid
        };
        let (paid, drawn) = tokio::join!(charging, attend(&mut unit, &source, is_over, tally));
        let drawn_wh = drawn?;
        let Some((session, escrow, receipt)) = paid? else {
            anyhow::ensure!(drawn_wh == 0, "{drawn_wh} Wh were drawn at {} without a session", spot.connector);
            return Ok(None);
        };
        Ok(Some(Stay { session, person, home, site: spot.site, escrow, drawn_wh, receipt }))
    }

    /// Opens a session and sees to it that it ends; nothing where another was quicker.
    async fn pay(
        &mut self,
        connector: ConnectorId,
        plug_out_ms: u64,
        tally: &Tally,
    ) -> anyhow::Result<Option<(SessionId, Amount, SessionReceipt)>> {
        let query = QuoteQuery { connector, energy: None, max_duration: Some(MAX_DURATION), at: None };
        let quote = insist(self.purse.client(), async |client| client.quote(query).await).await?;
        let opening = OpenSession {
            connector,
            tariff_version: quote.tariff_version,
            max_spend: quote.maximum,
            max_duration: MAX_DURATION,
            energy_target: None,
            state_of_charge: None,
            depart_by: None,
            window: None,
            priority: Priority::None,
        };
        let transaction = self.purse.sign(Call::OpenSession(opening))?;
        let session = match self.purse.bring(&transaction, PATIENCE).await? {
            Fortune::Applied(id) => SessionId(id.0),
            Fortune::Rejected(..) | Fortune::Refused(_) => {
                tally.refused.fetch_add(1, Ordering::Relaxed);
                return Ok(None);
            }
        };
        tally.opened.fetch_add(1, Ordering::Relaxed);
        let receipt = self.see_to_end(session, plug_out_ms).await?;
        tally.settled.fetch_add(1, Ordering::Relaxed);
        Ok(Some((session, quote.maximum, receipt)))
    }

    /// Waits until a session is settled; cancels or stops it where the car has left and it goes on.
    async fn see_to_end(&mut self, session: SessionId, plug_out_ms: u64) -> anyhow::Result<SessionReceipt> {
        let left_behind_ms = plug_out_ms + u64::try_from(LEFT_BEHIND.as_millis()).unwrap_or(u64::MAX);
        let until = Instant::now() + PATIENCE;
        loop {
            let view = insist(self.purse.client(), async |client| client.session(session).await).await?;
            let state = match view {
                SessionView::Settled { receipt, .. } => return Ok(receipt),
                SessionView::Open { session, .. } => session.state,
            };
            let call = match state {
                SessionState::Queued if machine_ms() >= plug_out_ms => Some(Call::CancelSession(CancelSession { session })),
                SessionState::Charging | SessionState::Paused | SessionState::Idle if machine_ms() >= left_behind_ms => {
                    Some(Call::StopSession(StopSession { session }))
                }
                SessionState::Queued
                | SessionState::Charging
                | SessionState::Paused
                | SessionState::Idle
                | SessionState::Stopping { .. } => None,
            };
            if let Some(call) = call {
                // Whether it is too late, because the session has gone on meanwhile, is seen at the next look.
                let transaction = self.purse.sign(call)?;
                self.purse.bring(&transaction, PATIENCE).await?;
            }
            anyhow::ensure!(Instant::now() < until, "session {session} is not settled after {} s", PATIENCE.as_secs());
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// What somebody does next.
#[derive(Debug)]
struct Wish {
    spot: usize,
    stays_ms: u64,
    energy_wh: u64,
}

impl Wish {
    /// Mostly at one's own connector, now and then at one of another condominium; sometimes more than the time can bring.
    fn draw(random: &mut StdRng, own: usize, spots: &[Spot], home: usize) -> Self {
        let mut spot = own;
        if random.random_range(0..4) == 0 {
            let elsewhere: Vec<_> = spots.iter().enumerate().filter(|(_, spot)| spot.site != home).map(|(number, _)| number).collect();
            if !elsewhere.is_empty() {
                spot = elsewhere[random.random_range(0..elsewhere.len())];
            }
        }
        let stays_ms = random.random_range(4_000..15_000);
        // 6.1 Wh a second at the most that a connector gives.
        let energy_wh = random.random_range(5..=stays_ms / 130);
        Self { spot, stays_ms, energy_wh }
    }
}

/// What a unit does while a car is there and until its session is over; gives what the car drew, Wh.
async fn attend(unit: &mut SimUnit, source: &SourceSession, is_over: watch::Receiver<bool>, tally: &Tally) -> anyhow::Result<u64> {
    unit.plug_in(source, source.plug_in_ms)?;
    let mut drawn_wh = None;
    loop {
        let now_ms = machine_ms();
        // The relay opens by itself in the very moment, however late we look.
        if let Some(end_ms) = unit.lease_end_ms().filter(|end_ms| *end_ms < now_ms.min(source.plug_out_ms)) {
            unit.advance(end_ms)?;
            unit.end_lease(end_ms)?;
        }
        if drawn_wh.is_none() {
            if now_ms >= source.plug_out_ms {
                drawn_wh = Some(unit.plug_out(now_ms)?);
            } else {
                unit.advance(now_ms)?;
            }
        }
        match unit.post(now_ms).await {
            Ok(_) => tally.posts.fetch_add(1, Ordering::Relaxed),
            Err(UnitError::NoAnswer(_) | UnitError::Refused { .. }) => tally.unanswered.fetch_add(1, Ordering::Relaxed),
            Err(error @ UnitError::Protocol { .. }) => return Err(error.into()),
        };
        if let Some(drawn_wh) = drawn_wh.filter(|_| *is_over.borrow()) {
            return Ok(drawn_wh);
        }
        tokio::time::sleep(TICK).await;
    }
}

/// Asks a node until it answers.
async fn insist<T>(client: &Client, question: impl AsyncFn(&Client) -> Result<T, ClientError>) -> anyhow::Result<T> {
    let until = Instant::now() + PATIENCE;
    loop {
        match question(client).await {
            Ok(answer) => return Ok(answer),
            // A node that is behind knows less.
            Err(error) => anyhow::ensure!(Instant::now() < until, "the node at {} gives no answer: {error}", client.url()),
        }
        tokio::time::sleep(LOOK).await;
    }
}
