//! A simulated charging unit: the protocol's own state machine, a simulated car at its plug, and plain HTTP to the gateway.
//!
//! It speaks only what `docs/unit-protocol.md` says, through `firmware_core::Unit`; nothing else tells it what it may draw. What a board does once a second
//! is done here at the instants at which anything changes: between two of them power is constant, so samples of the past are made when they are asked for.
//! A real unit would also ask for its lease between those instants; the answer would be the lease it has, so the simulated one stays silent. It decides
//! nothing and knows no chain. Called by [`crate::drive`] and, on the machine's clock, by [`crate::unit_command`].

mod line;

use chain::id::ConnectorId;
use firmware_core::{Capabilities, Card, CardOutcome, Cause, Config, DeviceId, Flags, ProtocolError, Relay, Sample, SensorId, counter_ms};

pub(crate) use self::line::Line;
pub use self::line::shared_http;

use crate::{
    car::{Car, Rate},
    rows::SourceSession,
};

/// Temperature inside a simulated unit, in tenths of a degree Celsius.
const TEMPERATURE_DC: i16 = 253;

/// Why an exchange had no good answer.
#[derive(Debug, thiserror::Error)]
pub enum UnitError {
    /// No answer: the node is down or was killed. Sending again repairs it.
    #[error("the gateway does not answer: {0}")]
    NoAnswer(#[source] reqwest::Error),
    /// The gateway refused the message.
    #[error("the gateway refused a message of unit {device}: HTTP {status} {text}")]
    Refused { device: DeviceId, status: u16, text: String },
    /// A message that cannot be made or believed.
    #[error("unit {device}: {error}")]
    Protocol { device: DeviceId, error: ProtocolError },
}

impl UnitError {
    /// Whether the same exchange may succeed once the node is up again.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::NoAnswer(_) => true,
            Self::Refused { status, .. } => *status == 503 || *status == 429,
            Self::Protocol { .. } => false,
        }
    }
}

/// What a unit is told when it is mounted.
#[derive(Clone, Copy, Debug)]
pub struct Mounting {
    /// Its number.
    pub device: DeviceId,
    /// The connector that it serves.
    pub connector: ConnectorId,
    /// The position of its switches.
    pub sensor: SensorId,
    /// Its secret key.
    pub key: [u8; 32],
}

/// What a unit knows after its power was off.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Memory {
    /// How often it was switched on, this time too; never used twice.
    pub boot: u32,
    /// The cumulative register, Wh; it never falls.
    pub register_wh: u64,
}

/// A unit, and the car at its plug if there is one.
#[derive(Debug)]
pub struct SimUnit {
    line: Line,
    /// The register when the present car came, Wh.
    base_wh: u64,
    plugged: Option<Plugged>,
    /// The last instant that the lease was told of, ms.
    ticked_ms: u64,
    samples: u64,
    card: CardOutcome,
    /// What flows between car and mains cannot be switched.
    without_relay: bool,
}

#[derive(Debug)]
struct Plugged {
    car: Car,
    plug_out_ms: u64,
    /// Up to where samples were taken.
    sampled_ms: u64,
    /// What the lease allows, mA; zeros while the relay is open.
    allowed_ma: [u32; 3],
}

/// What an exchange brought.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// The relay and what may flow are as before.
    Same,
    /// The relay closed or opened, or another current may flow: the unit has taken a sample of it and wants to post at once.
    Changed,
}

impl SimUnit {
    /// A unit that has just been switched on, with an empty plug. `http` is shared so that connections are kept.
    ///
    /// # Errors
    /// [`UnitError::Protocol`].
    pub fn new(mounting: &Mounting, http: reqwest::Client, base: String) -> Result<Self, UnitError> {
        Self::switched_on(mounting, Memory { boot: 1, register_wh: 0 }, http, base)
    }

    /// A unit that has just been switched on again, with an empty plug: `memory` is what it knew, its boot number one more than the last.
    ///
    /// # Errors
    /// [`UnitError::Protocol`].
    pub fn switched_on(mounting: &Mounting, memory: Memory, http: reqwest::Client, base: String) -> Result<Self, UnitError> {
        let capabilities = Capabilities::PLUG_SIGNAL | Capabilities::CARD_READER;
        Ok(Self {
            line: Line::new(mounting, memory.boot, capabilities, http, base)?,
            base_wh: memory.register_wh,
            plugged: None,
            ticked_ms: 0,
            samples: 0,
            card: CardOutcome::None,
            without_relay: false,
        })
    }

    /// Takes the relay out: what is left is a meter alone, at which a car draws what it wants as soon as it is plugged in. To be called while no car is.
    pub const fn remove_relay(&mut self) {
        self.without_relay = true;
    }

    /// Whether it is a meter alone.
    #[must_use]
    pub const fn is_meter_only(&self) -> bool {
        self.without_relay
    }

    /// How many posts were answered, and how many samples taken.
    #[must_use]
    pub const fn counts(&self) -> (u64, u64) {
        (self.line.posts(), self.samples)
    }

    /// The cumulative register, Wh.
    #[must_use]
    pub fn register_wh(&self, now_ms: u64) -> u64 {
        self.base_wh + self.plugged.as_ref().map_or(0, |plugged| plugged.car.register_wh(now_ms))
    }

    /// What it has to know after its power was off.
    #[must_use]
    pub fn memory(&self, now_ms: u64) -> Memory {
        Memory { boot: self.line.boot(), register_wh: self.register_wh(now_ms) }
    }

    /// What the gateway says it is, once it was asked.
    #[must_use]
    pub const fn config(&self) -> Option<&Config> {
        self.line.unit.config()
    }

    /// Whether every sample is in the gateway's store.
    #[must_use]
    pub fn is_stored(&self) -> bool {
        self.line.unit.queue().is_empty()
    }

    /// What the car at the plug may draw at most, mA per phase.
    #[must_use]
    pub fn allowed_ma(&self) -> [u32; 3] {
        self.plugged.as_ref().map_or([0; 3], |plugged| plugged.allowed_ma)
    }

    /// What the car at the plug has drawn, Wh.
    #[must_use]
    pub fn drawn_wh(&self, now_ms: u64) -> u64 {
        self.plugged.as_ref().map_or(0, |plugged| plugged.car.register_wh(now_ms))
    }

    /// What flows now, W.
    #[must_use]
    pub fn power_w(&self, now_ms: u64) -> u32 {
        self.plugged.as_ref().map_or(0, |plugged| plugged.car.power_w(now_ms))
    }

    /// Asks for the configuration, as every unit does when it starts.
    ///
    /// # Errors
    /// [`UnitError`].
    pub async fn configure(&mut self, now_ms: u64) -> Result<(), UnitError> {
        self.line.configure(now_ms).await
    }

    /// A card with this identifier is held to the reader; it travels with the next posts until there is an answer.
    ///
    /// # Errors
    /// [`UnitError::Protocol`] for an identifier that no card has.
    pub fn present_card(&mut self, uid: &[u8], now_ms: u64) -> Result<(), UnitError> {
        let card = Card::new(uid).map_err(|error| self.line.protocol(error))?;
        self.line.unit.present_card(counter_ms(now_ms), card).map_err(|error| self.line.protocol(error))
    }

    /// What the last answer said of a card.
    #[must_use]
    pub const fn card_outcome(&self) -> CardOutcome {
        self.card
    }

    /// A car is plugged in: a change, of which a sample is taken.
    ///
    /// # Errors
    /// [`UnitError::Protocol`].
    pub fn plug_in(&mut self, session: &SourceSession, now_ms: u64) -> Result<(), UnitError> {
        self.plug_in_at(session, Rate::of(session), now_ms)
    }

    /// The same with a car of this rate.
    ///
    /// # Errors
    /// [`UnitError::Protocol`].
    pub fn plug_in_at(&mut self, session: &SourceSession, rate: Rate, now_ms: u64) -> Result<(), UnitError> {
        let mut car = Car::with_rate(session, rate);
        let allowed_ma = if self.without_relay { car.wanted_currents() } else { [0; 3] };
        car.set_grant(now_ms, allowed_ma);
        self.plugged = Some(Plugged { car, plug_out_ms: session.plug_out_ms, sampled_ms: now_ms, allowed_ma });
        self.sample(now_ms, Flags::NONE)
    }

    /// The plug is pulled: a sample of it is waiting to be posted, and what the car drew stays on the register. Gives that, in Wh.
    ///
    /// # Errors
    /// [`UnitError::Protocol`].
    pub fn plug_out(&mut self, now_ms: u64) -> Result<u64, UnitError> {
        self.advance(now_ms)?;
        let Some(plugged) = self.plugged.take() else { return Ok(0) };
        let drawn_wh = plugged.car.register_wh(now_ms);
        self.base_wh += drawn_wh;
        // The last moment was sampled with the plug in, if the car was full by then: it stopped drawing before it left.
        self.sample(now_ms, Flags::END)?;
        Ok(drawn_wh)
    }

    /// Takes the samples up to now, and opens the relay if its lease is over.
    ///
    /// # Errors
    /// [`UnitError::Protocol`].
    pub fn advance(&mut self, now_ms: u64) -> Result<(), UnitError> {
        let Some(plugged) = &self.plugged else { return Ok(()) };
        let flowed_ma = plugged.car.currents_ma(now_ms.saturating_sub(1));
        let closed = self.is_closed();
        // One ms short, so that a lease that ends with this very instant can be renewed in it: the request leaves before it is over.
        let tick_ms = now_ms.saturating_sub(1).max(self.ticked_ms);
        // Of the minutes before, while the relay is as it was in them.
        self.sample_until(tick_ms)?;
        self.line.unit.tick(counter_ms(tick_ms), flowed_ma);
        self.ticked_ms = tick_ms;
        self.sample_until(now_ms)?;
        if closed && !self.is_closed() {
            self.allow(now_ms, [0; 3])?;
        }
        Ok(())
    }

    /// Whether the lease is used up or over at this instant, as [`SimUnit::lease_end_ms`] said; opens the relay then.
    ///
    /// # Errors
    /// [`UnitError::Protocol`].
    pub fn end_lease(&mut self, now_ms: u64) -> Result<(), UnitError> {
        let flowed_ma = self.plugged.as_ref().map_or([0; 3], |plugged| plugged.car.currents_ma(now_ms.saturating_sub(1)));
        self.sample_until(now_ms)?;
        if now_ms > self.ticked_ms {
            self.ticked_ms = now_ms;
        }
        if self.line.unit.tick(counter_ms(self.ticked_ms), flowed_ma) != Relay::Closed {
            self.allow(now_ms, [0; 3])?;
        }
        Ok(())
    }

    /// When the relay will open by itself if nobody answers before, while it is closed.
    #[must_use]
    pub fn lease_end_ms(&self) -> Option<u64> {
        let plugged = self.plugged.as_ref()?;
        if !self.line.is_closed() {
            return None;
        }
        let flowing_ma = plugged.car.currents_ma(self.ticked_ms);
        let left_ms = self.line.unit.lease().ends_in_ms(counter_ms(self.ticked_ms), flowing_ma);
        Some(self.ticked_ms + u64::from(left_ms))
    }

    /// When the car will be full, if it goes on like this and is not yet.
    #[must_use]
    pub fn full_ms(&self, now_ms: u64) -> Option<u64> {
        let plugged = self.plugged.as_ref()?;
        if plugged.car.power_w(now_ms) == 0 {
            return None;
        }
        plugged.car.full_at().filter(|at_ms| *at_ms > now_ms)
    }

    /// Whether the relay is closed; where there is none, whether a car is plugged in.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        if self.without_relay {
            return self.plugged.is_some();
        }
        self.line.is_closed()
    }

    /// Sends what waits and takes in the answer; call [`SimUnit::advance`] for the same instant before.
    ///
    /// # Errors
    /// [`UnitError`]; after a transient one the same call may be repeated: what was stored is not stored twice.
    pub async fn post(&mut self, now_ms: u64) -> Result<Outcome, UnitError> {
        let answer = self.line.post(now_ms).await?;
        self.card = answer.card;
        // From the answer on the lease counts from this instant, not from the ms before.
        self.ticked_ms = self.ticked_ms.max(now_ms);
        if answer.reload_config {
            self.configure(now_ms).await?;
        }
        let closed = self.line.is_closed();
        let rated_ma = self.line.unit.config().map_or(0, |config| config.rated_ma);
        let allowed_ma = answer.lease.filter(|_| closed).map_or([0; 3], |grant| grant.capped(rated_ma).limit_ma().map(u32::from));
        self.allow(now_ms, allowed_ma)
    }

    /// Lets the car draw this much from now on, where there is a relay. Where current could flow before, that is a change of which a sample is taken; where none could, the newest
    /// sample says all there is to say, and the next one comes with the next minute.
    fn allow(&mut self, now_ms: u64, allowed_ma: [u32; 3]) -> Result<Outcome, UnitError> {
        let Some(plugged) = self.plugged.as_mut().filter(|_| !self.without_relay) else { return Ok(Outcome::Same) };
        let before_ma = std::mem::replace(&mut plugged.allowed_ma, allowed_ma);
        if before_ma == allowed_ma {
            return Ok(Outcome::Same);
        }
        plugged.car.set_grant(now_ms, allowed_ma);
        if before_ma == [0; 3] {
            return Ok(Outcome::Same);
        }
        self.sample(now_ms, Flags::END.only_if(allowed_ma == [0; 3]))?;
        Ok(Outcome::Changed)
    }

    /// The samples of every whole minute up to now, and the one of the moment in which the car became full.
    fn sample_until(&mut self, now_ms: u64) -> Result<(), UnitError> {
        loop {
            let Some(plugged) = &mut self.plugged else { return Ok(()) };
            if plugged.allowed_ma == [0; 3] {
                // Nothing flows, and nobody asks the unit to post before that changes.
                plugged.sampled_ms = plugged.sampled_ms.max(now_ms);
                return Ok(());
            }
            let Some(at_ms) = plugged.car.next_sample_at(plugged.sampled_ms).filter(|at_ms| *at_ms <= now_ms) else { return Ok(()) };
            plugged.sampled_ms = at_ms;
            let full = plugged.car.is_full(at_ms);
            // A plug-out makes a sample of its own, after the plug is gone.
            if at_ms >= plugged.plug_out_ms && !full {
                return Ok(());
            }
            self.sample(at_ms, Flags::END.only_if(full))?;
        }
    }

    fn sample(&mut self, at_ms: u64, also: Flags) -> Result<(), UnitError> {
        let synchronised = self.line.unit.stamp(counter_ms(at_ms)).is_some_and(|stamp| stamp.synchronised);
        let (power_w, current_ma) = match &self.plugged {
            Some(plugged) => (plugged.car.power_w(at_ms), plugged.car.currents_ma(at_ms)),
            None => (0, [0; 3]),
        };
        let sample = Sample {
            at_ms,
            register_wh: self.register_wh(at_ms),
            power_w: u16::try_from(power_w).unwrap_or(u16::MAX),
            current_ma: current_ma.map(|ma| u16::try_from(ma).unwrap_or(u16::MAX)),
            temperature_dc: Some(TEMPERATURE_DC),
            flags: self.line.unit.lease().flags()
                | Flags::PLUG_PRESENT.only_if(self.plugged.is_some())
                | Flags::TIME_SYNCHRONISED.only_if(synchronised)
                | also,
        };
        self.line.push(&sample)?;
        self.samples += 1;
        Ok(())
    }

    /// Why the relay is open, if it is.
    #[must_use]
    pub fn open_because(&self) -> Option<Cause> {
        match self.line.unit.lease().relay() {
            Relay::Open(cause) => Some(cause),
            Relay::Closed => None,
        }
    }
}
