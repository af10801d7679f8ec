//! `Attest`: reports meter readings of many sessions; each is accepted or refused by itself.

use chain::{
    code::{Code, Rejection},
    hash::Hash32,
    id::SessionId,
    quantity::{WattHours, Watts},
    receipt::Event,
    record::{Key, Role},
    time::Timestamp,
};
use serde::{Deserialize, Serialize};

use crate::{
    call::Action,
    context::CallContext,
    failure::Failure,
    ledger::Ledger,
    roles,
    sessions::{
        self, End,
        meter::{self, Accepted},
    },
};

/// Reports meter readings of many sessions; each is accepted or refused by itself.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Attest {
    /// In order; those of one session in order of sequence.
    pub readings: Vec<Reading>,
}

/// A meter's state at one instant, attested by a gateway.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Reading {
    /// Of which session.
    pub session: SessionId,
    /// The session's readings are numbered from 1; a number is used up by acceptance only.
    pub sequence: u64,
    /// When the meter was read.
    pub at: Timestamp,
    /// The cumulative register.
    pub register_wh: WattHours,
    /// The power then.
    pub power_w: Watts,
    /// What the gateway saw besides.
    pub flags: ReadingFlags,
    /// The root over the raw samples since the previous accepted reading.
    pub samples_root: Hash32,
    /// The number of its leaves; end samples are leaves with a flag and are not counted.
    pub sample_count: u32,
}

/// What a gateway saw beside the numbers; unknown bits are refused.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct ReadingFlags(pub u32);

impl ReadingFlags {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// The vehicle takes no more: no power with the plug in, or tapered.
    pub const VEHICLE_FULL: Self = Self(1);
    /// The vehicle left: the plug is gone, or the power dropped.
    pub const VEHICLE_REMOVED: Self = Self(2);

    /// Whether all bits of `other` are set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether no unknown bit is set.
    #[must_use]
    pub const fn is_known(self) -> bool {
        self.0 & !(Self::VEHICLE_FULL.0 | Self::VEHICLE_REMOVED.0) == 0
    }
}

/// The most readings in one call.
pub const MAX_READINGS: u32 = 256;

impl Action for Attest {
    fn name(&self) -> &'static str {
        "attest"
    }

    fn check(&self) -> Result<(), Rejection> {
        if self.readings.is_empty() {
            return Err(Code::ZeroValue.into());
        }
        let readings_len = u64::try_from(self.readings.len()).unwrap_or(u64::MAX);
        if readings_len > MAX_READINGS.into() {
            return Err(Rejection::of(Code::TooMany, MAX_READINGS.into(), readings_len));
        }
        Ok(())
    }

    /// Never refused as a whole: each reading has an outcome of its own, also where none is the account's to send.
    fn apply(&self, context: &CallContext<'_>, ledger: &mut Ledger<'_>) -> Result<(), Failure> {
        for reading in &self.readings {
            match take(context, ledger, reading) {
                Ok(()) => {}
                Err(Failure::Reject(Rejection { code, .. })) => {
                    ledger.emit(Event::ReadingHandled { session: reading.session, sequence: reading.sequence, refused: Some(code) });
                }
                Err(Failure::Fault(fault)) => return Err(fault.into()),
            }
        }
        Ok(())
    }
}

/// Takes one reading, or refuses it without having written anything.
fn take(context: &CallContext<'_>, ledger: &mut Ledger<'_>, reading: &Reading) -> Result<(), Failure> {
    let id = reading.session;
    let session = sessions::existing(ledger, id)?;
    let connector_id = session.connector;
    if !roles::holds(ledger, context.block.height, connector_id.condominium, Role::Gateway, &context.account)? {
        return Err(Code::ReadingNotYours.into());
    }
    let connector = sessions::connector_of(ledger, &session)?;
    let version = sessions::tariff_of(ledger, &session)?;
    let Accepted { session, connector, unassigned, end } = meter::accept(session, connector, &version.tariff, reading, context.block)?;

    // every check is done: from here on only writes
    ledger.put(&Key::Session(id), &session)?;
    ledger.put(&Key::Connector(connector_id), &connector)?;
    ledger.emit(Event::ReadingHandled { session: id, sequence: reading.sequence, refused: None });
    if !unassigned.is_zero() {
        ledger.emit(Event::EnergyUnassigned { connector: connector_id, energy: unassigned });
    }
    match end {
        Some(reason) => sessions::end(ledger, context.block, id, session, End { reason, at: reading.at }),
        None => Ok(()),
    }
}
