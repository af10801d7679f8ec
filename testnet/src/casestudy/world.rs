//! Carries drawn visits out on a real node: cars come and are full, sensors post, drivers open their sessions, on the stepped clock.
//!
//! # One instant
//! 1. The node's time is moved; it does what was due and becomes quiet.
//! 2. Every sensor takes the samples of the minutes that have passed. At a whole hour, and where anything happens, all of them post; a car that is full has ended.
//! 3. Cars come. At a switch the driver asks for a quote, signs and opens his session; where there is none the car draws, and the gateway opens it by mandate.
//! 4. Whatever new blocks say is told to the sensors that it concerns, until nothing new comes.
//!
//! When the node dies it is started again in the same instant, sensors repeat what had no answer and drivers what had no block: so it may be killed as often as
//! one likes. It reckons nothing; what happened is for the export to say. Called by [`super`].

use std::collections::HashMap;

use chain::{
    api::BlockReceipts,
    id::{Height, SessionId},
    receipt::Event,
};
use cli::client::QuoteQuery;
use contracts::call::{Call, OpenSession, Priority};

use super::{
    draw::{ENDS_MS, Visit},
    garage::{Founded, MAX_DURATION, POST_EVERY_MS, connector},
    sensor::{Sensor, Switch},
};
use crate::{
    drive::{DriveError, note_committed},
    resident::{Lines, Resident},
    world::next_period_ms,
};

/// How often a sensor posts in one instant before something is wrong.
const MAX_POSTS: u32 = 8;

/// How often the node may come back with something new in one instant before something is wrong.
const MAX_ROUNDS: u32 = 1_000;

/// How often a sensor repeats an exchange that had no answer; a node may be killed that often, and start in between.
const MAX_ATTEMPTS: u32 = 3_000;

/// The garage at work.
#[derive(Debug)]
pub struct World {
    /// The node and what was sent to it.
    pub lines: Lines,
    /// The sensors.
    pub sensors: Vec<Sensor>,
    /// The present, ms.
    pub now_ms: u64,
    /// How many sessions are settled.
    pub settled: u64,
    drivers: Vec<Resident>,
    /// In the order of their coming; the next one last.
    coming: Vec<Visit>,
    /// Open sessions, and at which sensor.
    sessions: HashMap<SessionId, usize>,
    height: Height,
    next_timer_ms: Option<u64>,
}

impl World {
    /// A founded garage to which these will come, who are in the order of their coming.
    #[must_use]
    pub fn new(founded: Founded, visits: &[Visit]) -> Self {
        let Founded { lines, sensors, drivers, now_ms } = founded;
        let coming = visits.iter().rev().copied().collect();
        let (sessions, height) = (HashMap::new(), Height(0));
        Self { lines, sensors, now_ms, settled: 0, drivers, coming, sessions, height, next_timer_ms: None }
    }

    /// Goes on to the next instant and does everything in it; gives whether there was one.
    ///
    /// # Errors
    /// [`DriveError`].
    pub async fn step(&mut self) -> Result<bool, DriveError> {
        let taken = self.sensors.iter().any(Sensor::is_taken);
        if self.now_ms >= ENDS_MS && self.coming.is_empty() && !taken && self.sessions.is_empty() {
            return Ok(false);
        }
        let hour_ms = next_period_ms(self.now_ms, POST_EVERY_MS);
        let comes_ms = self.coming.last().map(|visit| visit.comes_ms);
        let of_sensors = self.sensors.iter().flat_map(|sensor| [sensor.full_ms(), sensor.lease_end_ms()]).flatten();
        // A timer at or before the present is the node's own matter of this instant: it said that it is quiet.
        let timer = self.next_timer_ms.filter(|at_ms| *at_ms > self.now_ms);
        let next_ms = of_sensors.chain(comes_ms).chain(timer).chain([hour_ms]).min().unwrap_or(hour_ms);
        self.now_ms = next_ms.max(self.now_ms);
        self.settle().await?;

        let now_ms = self.now_ms;
        for sensor in &mut self.sensors {
            sensor.advance(now_ms)?;
        }
        let full: Vec<bool> = self.sensors.iter().map(|sensor| sensor.full_ms().is_some_and(|full_ms| full_ms <= now_ms)).collect();
        let comes = comes_ms.is_some_and(|comes_ms| comes_ms <= now_ms);
        if comes
            || full.contains(&true)
            || now_ms.is_multiple_of(POST_EVERY_MS)
            || self.sensors.iter().any(|sensor| sensor.lease_end_ms() == Some(now_ms))
        {
            self.lines.hold(now_ms).await?;
            // Those that go on first: what they have sampled until now is not to be taken for part of what begins.
            for sensor in order(&full) {
                if full[sensor] {
                    self.sensors[sensor].is_full(now_ms)?;
                }
                self.post(sensor).await?;
            }
            self.settle().await?;
        }
        if comes {
            self.lines.hold(now_ms).await?;
            while let Some(visit) = self.coming.pop_if(|visit| visit.comes_ms <= now_ms) {
                self.arrive(&visit).await?;
            }
            self.settle().await?;
        }
        Ok(true)
    }

    /// Lets the node come to rest and sensors hear of what the chain has decided, until nothing new comes.
    async fn settle(&mut self) -> Result<(), DriveError> {
        for _ in 0..MAX_ROUNDS {
            let quiet = self.lines.advance(self.now_ms).await?;
            self.next_timer_ms = quiet.next_timer;
            let concerned = self.read_blocks(quiet.height).await?;
            if concerned.is_empty() {
                if self.lines.outstanding.is_empty() {
                    return Ok(());
                }
                // The node is quiet, so its pool is empty: what is in no block was lost with a process.
                self.lines.send_again().await?;
                continue;
            }
            self.lines.hold(self.now_ms).await?;
            for sensor in concerned {
                self.sensors[sensor].advance(self.now_ms)?;
                self.post(sensor).await?;
            }
        }
        Err(DriveError::Restless { now_ms: self.now_ms, what: "the chain".to_owned() })
    }

    /// Reads new blocks and gives the sensors that should hear of them.
    async fn read_blocks(&mut self, to: Height) -> Result<Vec<usize>, DriveError> {
        let mut concerned = Vec::new();
        while self.height < to {
            let height = self.height.next();
            let block = self.lines.ask(0, "the receipts of a block", async |client| client.block_receipts(height).await).await?;
            note_committed(&mut self.lines.outstanding, &block)?;
            self.take(&block, &mut concerned);
            self.height = height;
        }
        concerned.sort_unstable();
        concerned.dedup();
        Ok(concerned)
    }

    fn take(&mut self, block: &BlockReceipts, concerned: &mut Vec<usize>) {
        for event in block.receipts.iter().flat_map(|receipt| &receipt.events) {
            if let Event::SessionOpened { session, connector: at, .. } = event
                && let Some(sensor) = (0..self.sensors.len()).find(|sensor| connector(*sensor) == *at)
            {
                self.sessions.insert(*session, sensor);
            }
            let Some(sensor) = event.session().and_then(|session| self.sessions.get(&session).copied()) else { continue };
            if matches!(event, Event::SessionGranted { .. } | Event::SessionPaused { .. }) {
                concerned.push(sensor);
            }
            if matches!(event, Event::SessionStopping { .. }) && self.sensors[sensor].is_closed() {
                concerned.push(sensor);
            }
            if let Some(bill) = event.bill() {
                self.sessions.remove(&bill.session);
                self.settled += 1;
            }
        }
    }

    async fn arrive(&mut self, visit: &Visit) -> Result<(), DriveError> {
        let (now_ms, sensor) = (self.now_ms, visit.sensor);
        self.sensors[sensor].plug_in(visit, now_ms)?;
        if self.sensors[sensor].switch() == Switch::None {
            return self.post(sensor).await;
        }
        let query = QuoteQuery { connector: connector(sensor), energy: None, max_duration: Some(MAX_DURATION), at: None };
        let quote = self.lines.ask(0, "a quote", async |client| client.quote(query).await).await?;
        let opening = OpenSession {
            connector: connector(sensor),
            tariff_version: quote.tariff_version,
            max_spend: quote.maximum,
            max_duration: MAX_DURATION,
            energy_target: None,
            state_of_charge: None,
            depart_by: None,
            window: None,
            priority: Priority::None,
        };
        let transaction = self.drivers[sensor].sign(Call::OpenSession(opening), now_ms)?;
        Ok(self.lines.submit(0, &transaction).await?)
    }

    /// Posts until sensor and gateway agree on what may flow.
    async fn post(&mut self, sensor: usize) -> Result<(), DriveError> {
        let now_ms = self.now_ms;
        let mut attempts = 0;
        for _ in 0..MAX_POSTS {
            let changed = loop {
                match self.sensors[sensor].post(now_ms).await {
                    Ok(changed) => break changed,
                    Err(error) if error.is_transient() && attempts < MAX_ATTEMPTS => {
                        attempts += 1;
                        self.lines.recover(0).await?;
                    }
                    Err(error) => return Err(error.into()),
                }
            };
            if !changed {
                return Ok(());
            }
        }
        Err(DriveError::Restless { now_ms, what: format!("sensor {sensor}") })
    }
}

/// Sensors at which a car goes on, then those at which one is full.
fn order(full: &[bool]) -> impl Iterator<Item = usize> {
    let those = move |is_full: bool| full.iter().enumerate().filter(move |(_, full)| **full == is_full).map(|(sensor, _)| sensor);
    those(false).chain(those(true))
}
