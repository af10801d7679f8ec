//! The gateway's loop: the one task that owns the desk, between units, chain and disk.
//!
//! Messages that wait together are judged together and made durable by one synced write; only then are they answered. What is decided goes out in rounds
//! ([`Sender`]), one at a time, and whatever comes meanwhile goes into the next: so the number of blocks does not grow with the number of sessions. It knows no
//! rule of metering; the desk does. Started by [`super::start`].

use std::{future::Future, pin::Pin, sync::Arc};

use chain::{
    id::{Address, ConnectorId, Height, SessionId, TxId},
    receipt::Event,
    time::{Duration, Timestamp},
};
use contracts::{ledger::Ledger, pattern::CHARGES};
use firmware_core::ProtocolError;
use tokio::sync::{mpsc, oneshot, watch};

use super::{
    GatewayError,
    cards::{Asked, Ordered},
    desk::{Desk, DeskError},
    estimate::Past,
    http::{Ask, Question},
    store::{Store, Write},
};
use crate::{
    app::{AppHandle, Committed, Snapshot, StoreError, Subscription, SubscriptionError},
    clock::{Clock, Sleep, Work},
    sender::{Round, SendError, Sender},
};

/// The most messages that one write covers.
const MESSAGES_PER_WRITE: usize = 64;

/// How long to wait before trying again where the account is not registered or the node is in trouble.
const TROUBLE_PAUSE: Duration = Duration::from_secs(5);

/// The loop's belongings.
pub(super) struct Loop {
    pub app: AppHandle,
    pub clock: Clock,
    pub desk: Desk,
    pub store: Arc<Store>,
    pub sender: Sender,
    pub asks: mpsc::Receiver<Ask>,
    pub orders: mpsc::Receiver<Ordered>,
    pub commits: Subscription,
    /// Keeps a stepped clock still until what was decided before a restart is under way.
    pub starting: Option<Work>,
}

/// A round under way.
type RoundTask = Pin<Box<dyn Future<Output = Result<Round, SendError>> + Send>>;

/// Where the submission of decisions stands.
enum Delivery {
    /// Nothing is under way.
    Idle,
    /// Transactions are on their way into a block.
    Sending(RoundTask, Work),
    /// They are in blocks up to this height, which the loop has not seen yet.
    Seeing(Height, Work),
}

/// What wakes the loop.
enum Wake {
    Ask(Ask),
    Order(Ordered),
    Commit(Result<Arc<Committed>, SubscriptionError>),
    Sent(Result<Round, SendError>),
    Timer(Work),
    Released,
    Stop,
}

impl Loop {
    /// Runs until the node stops.
    ///
    /// # Errors
    /// [`GatewayError`] where its own disk or the node's fails: the node must stop, because units would be answered without memory.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) -> Result<(), GatewayError> {
        self.look_at_all().await?;
        let mut delivery = Delivery::Idle;
        let mut timer: Option<(Timestamp, Sleep)> = None;
        let mut seen = self.app.snapshot().map_err(trouble)?.tip().height;
        // After trouble nothing is sent before this.
        let mut rest_until: Option<Timestamp> = None;
        // Keeps a stepped clock still until what follows from the last thing that happened is under way, with work of its own.
        let mut held: Vec<Work> = vec![self.clock.work()];
        drop(self.starting.take());
        loop {
            let now = self.clock.now();
            if rest_until.is_some_and(|at| at <= now) {
                rest_until = None;
            }
            delivery = match delivery {
                Delivery::Seeing(height, work) if height <= seen => {
                    held.push(work);
                    Delivery::Idle
                }
                other @ (Delivery::Idle | Delivery::Sending(..) | Delivery::Seeing(..)) => other,
            };
            // While blocks are held back more units are to be heard: what all of them bring is one round.
            let holding = self.clock.is_holding();
            if matches!(delivery, Delivery::Idle) && rest_until.is_none() && !holding {
                let calls = self.desk.round(now);
                if !calls.is_empty() {
                    let (sender, work) = (self.sender.clone(), self.clock.work());
                    delivery = Delivery::Sending(Box::pin(async move { sender.send(calls).await }), work);
                }
            }
            let next = [self.desk.next_timer(now), rest_until].into_iter().flatten().min();
            if timer.as_ref().map(|(at, _)| *at) != next {
                timer = next.map(|at| (at, self.clock.sleep_until(at)));
            }
            held.truncate(usize::from(holding));
            let wake = tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => Wake::Stop,
                sent = sent(&mut delivery) => Wake::Sent(sent),
                commit = self.commits.next() => Wake::Commit(commit),
                Some(ask) = self.asks.recv() => Wake::Ask(ask),
                Some(ordered) = self.orders.recv() => Wake::Order(ordered),
                work = woken(&mut timer) => Wake::Timer(work),
                () = self.clock.released(), if holding => Wake::Released,
            };
            match wake {
                Wake::Stop | Wake::Commit(Err(SubscriptionError::Closed)) => return Ok(()),
                Wake::Commit(Err(SubscriptionError::Store(error))) => return Err(trouble(error)),
                Wake::Commit(Ok(commit)) => {
                    seen = commit.height();
                    self.on_commit(&commit).await?;
                }
                // The next turn decides.
                Wake::Released => {}
                Wake::Ask(ask) => self.on_asks(ask, &mut held).await?,
                Wake::Order(ordered) => self.on_order(ordered).await?,
                Wake::Sent(result) => {
                    let Delivery::Sending(_, work) = std::mem::replace(&mut delivery, Delivery::Idle) else { continue };
                    match result {
                        Ok(round) => {
                            if round.left > 0 {
                                tracing::debug!(left = round.left, "calls wait for the next round");
                            }
                            for (call, rejection) in &round.refused {
                                self.desk.on_refused(call, rejection, self.clock.now());
                            }
                            if round.height.is_none() && (round.left > 0 || round.refused.is_empty()) {
                                rest_until = Some(self.clock.now().saturating_add(TROUBLE_PAUSE));
                            }
                            match round.height {
                                Some(height) => delivery = Delivery::Seeing(height, work),
                                None => held.push(work),
                            }
                        }
                        Err(SendError::Closed) => return Ok(()),
                        Err(error @ (SendError::Unregistered(_) | SendError::Fault(_))) => {
                            tracing::warn!(%error, "what the gateway has decided cannot be submitted; trying again");
                            rest_until = Some(self.clock.now().saturating_add(TROUBLE_PAUSE));
                        }
                    }
                }
                Wake::Timer(work) => {
                    timer = None;
                    let mut write = Write::default();
                    self.desk.tick(self.clock.now(), &mut write);
                    self.write(write).await?;
                    held.push(work);
                }
            }
        }
    }

    /// Compares everything with the chain, at the start.
    async fn look_at_all(&mut self) -> Result<(), GatewayError> {
        let mut write = Write::default();
        let ids = self.desk.connectors();
        let stopped = Desk::stopped_sessions(&self.app.snapshot().map_err(trouble)?).map_err(failed)?;
        self.look(&ids, Some(&stopped), &mut write)?;
        self.write(write).await?;
        self.desk.resume_flows(self.clock.now());
        self.decide_starts(self.clock.now())
    }

    /// Asks the newest state what the cards and flows that wait for it start.
    fn decide_starts(&mut self, now: Timestamp) -> Result<(), GatewayError> {
        if !self.desk.asks_for_starts() {
            return Ok(());
        }
        let snapshot = self.app.snapshot().map_err(trouble)?;
        self.desk.decide_starts(&snapshot, &|account| past_of(&snapshot, account), now).map_err(failed)
    }

    /// Takes in what the newest state says of connectors, and of the site where that is asked for, with the sessions there that are over: all of one state.
    fn look(&mut self, ids: &[ConnectorId], site: Option<&[SessionId]>, write: &mut Write) -> Result<(), GatewayError> {
        if ids.is_empty() && site.is_none() {
            return Ok(());
        }
        let now = self.clock.now();
        let snapshot = self.app.snapshot().map_err(trouble)?;
        self.desk.set_params(snapshot.params().map_err(trouble)?);
        self.desk.set_account(self.sender.address());
        for id in ids {
            let sight = self.desk.look(&snapshot, *id).map_err(failed)?;
            self.desk.update(*id, sight, now, write).map_err(failed)?;
        }
        if let Some(stopped) = site {
            self.desk.survey(&snapshot, snapshot.tip().height, stopped).map_err(failed)?;
        }
        Ok(())
    }

    async fn on_commit(&mut self, commit: &Committed) -> Result<(), GatewayError> {
        let news = self.desk.news(&commit.receipts, commit.block.header.timestamp);
        let mut write = Write::default();
        self.look(&news.connectors, news.site.then_some(&news.stopped[..]), &mut write)?;
        self.desk.apply(&news, self.clock.now(), &mut write).map_err(failed)?;
        self.write(write).await
    }

    async fn on_asks(&mut self, first: Ask, held: &mut Vec<Work>) -> Result<(), GatewayError> {
        let now = self.clock.now();
        let mut write = Write::default();
        let mut answers: Vec<(oneshot::Sender<_>, Result<Vec<u8>, ProtocolError>)> = Vec::new();
        let mut next = Some(first);
        while let Some(Ask { unit, question, answer, work }) = next.take() {
            if !self.desk.knows(&unit) {
                self.desk.add_unit(&unit).map_err(failed)?;
                self.look(&[unit.connector], Some(&[]), &mut write)?;
            }
            self.desk.drop_old(unit.connector, now, &mut write).map_err(failed)?;
            let result = match question {
                Question::Config(message) => self.desk.config(&unit, &message, now, &mut write),
                Question::Readings(body) => self.desk.readings(&unit, &body, now, &mut write),
            };
            answers.push((answer, result));
            held.push(work);
            if answers.len() < MESSAGES_PER_WRITE {
                next = self.asks.try_recv().ok();
            }
        }
        self.decide_starts(now)?;
        self.write(write).await?;
        for (answer, result) in answers {
            // A unit that hung up asks again.
            let _ = answer.send(result);
        }
        Ok(())
    }

    /// Follows an order about a card, durably before it is answered.
    async fn on_order(&mut self, ordered: Ordered) -> Result<(), GatewayError> {
        let Ordered { order, answer, work } = ordered;
        let mut write = Write::default();
        let followed = {
            let snapshot = self.app.snapshot().map_err(trouble)?;
            let ledger = Ledger::new(&snapshot);
            let height = snapshot.tip().height;
            let present = Asked { chain_id: self.app.chain_id(), ledger: &ledger, height, now: self.clock.now() };
            self.desk.cards.follow(&order, &present, &mut write).map_err(trouble)?
        };
        match &followed {
            Ok(kept) => tracing::info!(card = %order.card, signer = %order.signer, kept, "an order about a card"),
            Err(refusal) => tracing::warn!(card = %order.card, signer = %order.signer, %refusal, "an order about a card was refused"),
        }
        self.write(write).await?;
        // Who hung up asks again.
        let _ = answer.send(followed);
        drop(work);
        Ok(())
    }

    async fn write(&self, write: Write) -> Result<(), GatewayError> {
        if write.is_empty() {
            return Ok(());
        }
        let store = Arc::clone(&self.store);
        let written = tokio::task::spawn_blocking(move || store.write(write)).await;
        written.map_err(|error| GatewayError::State(error.to_string()))?.map_err(GatewayError::Store)
    }
}

/// The newest charges of an account, as far as the chain has settled them, newest first.
pub(super) fn past_of(snapshot: &Snapshot<'_>, account: Address) -> Result<Vec<Past>, DeskError> {
    // Some of them were cancelled or brought nothing.
    let most = u32::try_from(CHARGES.saturating_mul(2)).unwrap_or(u32::MAX);
    let failed = |error: StoreError| DeskError::State(contracts::failure::Fault(error.to_string()));
    let mut past: Vec<Past> = Vec::new();
    for (_, session) in snapshot.account_sessions(&account, None, most).map_err(failed)?.entries {
        let Some(location) = snapshot.settlement(session).map_err(failed)? else { continue };
        let Some((receipt, _)) = snapshot.receipt(location).map_err(failed)? else { continue };
        let Some(bill) = receipt.bill_of(session) else { continue };
        let from = bill.first_granted_at.unwrap_or(bill.ended_at);
        // Of the newest alone it is asked.
        let is_newest = !bill.energy.is_zero() && past.iter().all(|charge| charge.energy.is_zero());
        past.push(Past {
            energy: bill.energy,
            duration: bill.ended_at.since(from),
            opened_at: bill.opened_at,
            ended_at: bill.ended_at,
            is_unconfirmed: is_newest && is_by_card_alone(snapshot, session).map_err(failed)?,
        });
    }
    Ok(past)
}

/// Whether a card has started a session and nobody has confirmed it.
fn is_by_card_alone(snapshot: &Snapshot<'_>, session: SessionId) -> Result<bool, StoreError> {
    let Some(location) = snapshot.transaction(TxId(session.0))? else { return Ok(false) };
    let receipt = snapshot.receipt(location)?;
    Ok(receipt.is_some_and(|(receipt, _)| receipt.events.iter().any(|event| matches!(event, Event::SessionMandated { .. }))))
}

/// The end of the round under way; never where there is none.
async fn sent(delivery: &mut Delivery) -> Result<Round, SendError> {
    match delivery {
        Delivery::Sending(task, _) => task.await,
        Delivery::Idle | Delivery::Seeing(..) => std::future::pending().await,
    }
}

/// The next timer; never where there is none.
async fn woken(timer: &mut Option<(Timestamp, Sleep)>) -> Work {
    match timer {
        Some((_, sleep)) => sleep.await,
        None => std::future::pending().await,
    }
}

fn trouble(error: impl std::fmt::Display) -> GatewayError {
    GatewayError::State(error.to_string())
}

fn failed(error: DeskError) -> GatewayError {
    match error {
        DeskError::Store(error) => GatewayError::Store(error),
        DeskError::State(fault) => GatewayError::State(fault.to_string()),
    }
}
