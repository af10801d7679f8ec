//! What is wrong: by the unit's own flags, by more current than was allowed, by a register that cannot be believed.
//!
//! A fault ends the session and costs nobody anything: what was metered soundly before it is attested first and billed. After a register that cannot be believed
//! the meter is frozen: nothing that it shows later is attested. Every fault is logged with what was expected. Called where samples are taken in.

use chain::{
    quantity::WattHours,
    record::{Connector, Control, Fault, SessionState},
    time::{Duration, Timestamp},
};
use contracts::sessions::most_energy;
use firmware_core::{Flags, NOISE_MA};

use super::{Metering, Present};
use crate::gateway::{
    held::Held,
    sample::RawSample,
    store::{DecidedReading, Ending},
};

/// How much more than its limit a unit may report before that is an anomaly: a tenth, for meters differ.
const OVER_LIMIT_TENTHS: u64 = 11;

/// Why a register cannot be believed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Doubt {
    /// It is lower than it was.
    Falling {
        /// What it showed before.
        least: WattHours,
    },
    /// It shows more than electricity can have brought since the first grant.
    Impossible {
        /// What it can show at most.
        most: WattHours,
    },
}

impl std::fmt::Display for Doubt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Falling { least } => write!(f, "at least {} Wh, as before", least.get()),
            Self::Impossible { most } => write!(f, "at most {} Wh, by the connector's rating and the time since the grant", most.get()),
        }
    }
}

impl Metering {
    /// Why a register at an instant cannot be believed, if so. Clocks may differ by `slack`, which counts for the unit.
    pub(super) fn doubt(&self, connector: &Connector, register: WattHours, at: Timestamp, slack: Duration) -> Option<Doubt> {
        let known = self.newest.map(|point| point.register).or(self.book.last.map(|(_, register)| register));
        let least = known.unwrap_or(connector.last_register);
        if register < least {
            return Some(Doubt::Falling { least });
        }
        let (start, granted_at) = self.book.start.zip(self.session.first_granted_at)?;
        let since = at.saturating_add(slack).since(granted_at);
        let most = start.checked_add(most_energy(connector.rated, since)?)?;
        (register > most).then_some(Doubt::Impossible { most })
    }

    /// The meter shows what cannot be: what it showed before is attested, and nothing after.
    pub(super) fn disbelieve(&mut self, doubt: Doubt, found: WattHours, present: &Present<'_>, out: &mut Vec<DecidedReading>) {
        tracing::warn!(
            connector = %self.session.connector,
            session = %self.id,
            found_wh = found.get(),
            expected = %doubt,
            "a register cannot be believed: the session ends with what was metered before"
        );
        self.read_rest(out);
        self.book.frozen = true;
        self.fail(Fault::MeterFault, present.now);
    }

    /// Lets no more current flow because something is wrong, and has it reported.
    pub fn fail(&mut self, fault: Fault, at: Timestamp) {
        if matches!(self.book.ending, Ending::Fault(..)) || self.book.finished {
            return;
        }
        tracing::warn!(connector = %self.session.connector, session = %self.id, ?fault, %at, "a fault ends a session");
        self.book.ending = Ending::Fault(fault, at);
    }

    /// What ends it, if something is wrong.
    pub const fn fault(&self) -> Option<(Fault, Timestamp)> {
        match self.book.ending {
            Ending::Fault(fault, at) => Some((fault, at)),
            Ending::None | Ending::Vehicle | Ending::Money => None,
        }
    }

    /// What is to be reported, once the chain does not know that the session is over.
    pub fn fault_to_report(&self) -> Option<(Fault, Timestamp)> {
        match self.book.ending {
            Ending::Fault(fault, at) if !self.is_stopping() && self.session.state != SessionState::Queued => Some((fault, at)),
            Ending::Fault(..) | Ending::None | Ending::Vehicle | Ending::Money => None,
        }
    }
}

/// What is wrong by this sample.
pub(super) fn fault_in(connector: &Connector, raw: &RawSample, held: &Held) -> Option<Fault> {
    let sample = &raw.sample;
    if let Some(fault) = flagged_fault(connector, sample.flags) {
        return Some(fault);
    }
    let obeys = sample.flags.has(Flags::RELAY_CLOSED) && connector.control == Control::Switched;
    let leased = held.limit_ma(Timestamp::from_ms(sample.at_ms)).filter(|_| obeys).unwrap_or([u32::MAX; 3]);
    let rated = connector.rated.ma();
    let limits: [u32; 3] = std::array::from_fn(|phase| leased[phase].min(rated[phase]));
    over(sample.current_ma, limits).then_some(Fault::OverCurrent)
}

/// Whether more flows on a phase than a limit allows, meters' differences apart; all in mA.
pub(in crate::gateway) fn over(flowing_ma: [u16; 3], limit_ma: [u32; 3]) -> bool {
    let over = |(flowing, limit): (u16, u32)| u64::from(flowing) * 10 > u64::from(limit) * OVER_LIMIT_TENTHS + u64::from(NOISE_MA) * 10;
    flowing_ma.into_iter().zip(limit_ma).any(over)
}

/// What a unit says is wrong with it. Where there is no switch current flows without a lease, which a unit that knows of none takes for a welded relay.
pub(in crate::gateway) fn flagged_fault(connector: &Connector, flags: Flags) -> Option<Fault> {
    let flags = match connector.control {
        Control::Switched => flags,
        Control::MeterOnly => flags.without(Flags::WELDED_RELAY),
    };
    [
        (Flags::WELDED_RELAY, Fault::WeldedRelay),
        (Flags::METER_FAULT, Fault::MeterFault),
        (Flags::OVER_TEMPERATURE, Fault::OverTemperature),
        (Flags::OVER_CURRENT, Fault::OverCurrent),
    ]
    .into_iter()
    .find(|(flag, _)| flags.has(*flag))
    .map(|(_, fault)| fault)
}
