//! Energy that flows where no session is open: told to the chain, which counts it for nobody.
//!
//! It happens at points without a switch (no mandate, a start that was refused, an escrow that is spent) and at relays that are welded. Told once it has stopped, and
//! at every period of attestation while it flows; a few watt-hours are left to the next session's first reading, which says the same. What is decided here needs no
//! memory of its own on the disk: the register is absolute, and what was told is not told twice, because the chain has it. The desk calls it with every message.

use chain::{
    id::ConnectorId,
    quantity::WattHours,
    record::{Connector, Fault},
    time::Timestamp,
};
use contracts::call::AttestUnassigned;

use super::Place;
use crate::gateway::meter::{Indexed, Present, draws, periods};

/// Less than this is not worth a transaction of its own.
const LEAST: WattHours = WattHours::new(10);

/// What the chain is to be told of a connector without a session.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Idle {
    /// When it was last told; nothing before the first message after a session.
    told_at: Option<Timestamp>,
    /// What is to be told.
    due: Option<(Timestamp, WattHours)>,
    /// A register that it did not take: more is to flow before it is told again.
    refused: WattHours,
}

impl Idle {
    /// After a start of the gateway, which does not remember when it told: it tells with the first message, or one that is killed at every edge of a period never would.
    pub(super) fn at_start() -> Self {
        Self { told_at: Some(Timestamp::from_ms(0)), ..Self::default() }
    }
}

impl Place {
    /// Takes in the newest sample of a message. `waits`: a session is being opened.
    pub(super) fn note_idle(&mut self, id: ConnectorId, (_, newest): &Indexed, waits: bool, present: &Present<'_>) {
        // A meter that contradicts itself says nothing until somebody has looked at it.
        let believed = |connector: &Connector| connector.session.is_none() && connector.fault != Some(Fault::MeterFault);
        let Some(connector) = self.connector.filter(|connector| believed(connector) && self.open.is_none()) else {
            self.idle = Idle::default();
            return;
        };
        // Of another meter nothing is known before gateway and manager agree where it began.
        let Some(register) = self.exchange.register_of(newest).filter(|_| !self.exchange.is_under_way(&connector, newest)) else { return };
        let told_at = *self.idle.told_at.get_or_insert(present.now);
        // What the meter had counted before it came here did not flow here.
        let begun = WattHours::new(self.memory.begun_wh.unwrap_or(register.get()));
        let known = if connector.last_register.is_zero() && self.exchange.is_first() { begun } else { connector.last_register };
        let known = known.max(self.idle.refused);
        let has_flowed = register.saturating_sub(known) >= LEAST;
        let is_time = !draws(&connector, &newest.sample, present.settings) || periods(present.now, present) > periods(told_at, present);
        if !has_flowed || !is_time || waits {
            return;
        }
        let energy_wh = register.saturating_sub(connector.last_register).get();
        tracing::warn!(connector = %id, energy_wh, "energy flowed although no session was open: it is nobody's to pay");
        let at = Timestamp::from_ms(newest.sample.at_ms).min(present.now);
        self.idle = Idle { told_at: Some(present.now), due: Some((at, register)), ..self.idle };
    }

    /// What the chain is to be told.
    pub(super) fn unassigned(&self, id: ConnectorId) -> Option<AttestUnassigned> {
        let (at, register_wh) = self.idle.due.filter(|_| self.open.is_none())?;
        Some(AttestUnassigned { connector: id, at, register_wh })
    }

    /// The chain says this of the connector now.
    pub(super) fn idle_on_chain(&mut self, connector: Option<&Connector>) {
        match connector.filter(|connector| connector.session.is_none()) {
            Some(connector) => self.idle.due = self.idle.due.filter(|(_, register)| *register > connector.last_register),
            None => self.idle = Idle::default(),
        }
    }

    /// The chain would refuse it.
    pub(super) fn unassigned_refused(&mut self) {
        if let Some((_, register)) = self.idle.due.take() {
            self.idle.refused = register;
        }
    }
}
