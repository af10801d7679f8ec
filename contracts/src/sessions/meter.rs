//! What one reading does to its session: whether the meter can be believed, what the energy costs, and whether the session is over.
//!
//! It reads records and writes none; who may attest, and what follows from the end of a session, is not decided here. `Attest` alone calls it.
//!
//! # The limit of the escrow
//! The exact cost is rounded down once, at settlement. So an escrow pays for a cost whose whole micro-tokens do not exceed it, and a session is past its
//! escrow, and overdrawn, as soon as they do; from then on `billed_at_limit` says how much of the energy is paid for. It is computed in the interval in which
//! the limit was passed, from its beginning, and does not depend on how readings cut the time before. A session ends by money already when the exact cost
//! reaches the escrow.

use chain::{
    code::{Code, Rejection},
    params::Params,
    quantity::{Amount, COST_UNIT, Cost, Currents, WattHours},
    record::{Connector, CostByComponent, EndReason, MeterState, Session, SessionState},
    tariff::Tariff,
    time::{Duration, Timestamp},
};

use crate::{
    call::{Reading, ReadingFlags},
    context::BlockContext,
    failure::{Failure, Fault},
    tariff::{self, Interval},
};

/// An accepted reading.
#[derive(Debug)]
pub(crate) struct Accepted {
    /// The session after it, in the state that it had.
    pub session: Session,
    /// The connector after it.
    pub connector: Connector,
    /// Energy that flowed before the session's first reading while no session was open.
    pub unassigned: WattHours,
    /// Why the session is over, if it was not and is now.
    pub end: Option<EndReason>,
}

/// Judges a reading against its session and the connector's meter, and bills what it shows.
///
/// # Errors
/// In this order: [`Code::NotActive`] for unknown flags, [`Code::ReadingNotMetering`], [`Code::ReadingReplay`], [`Code::ReadingGap`],
/// [`Code::ReadingBackwards`], [`Code::ReadingBeforeGrant`], [`Code::ReadingAhead`], [`Code::ReadingAfterStop`], [`Code::ReadingFalling`],
/// [`Code::ReadingImpossible`]; then whatever the tariff refuses, and [`Code::Overflow`].
pub(crate) fn accept(
    session: Session,
    connector: Connector,
    tariff: &Tariff,
    reading: &Reading,
    block: &BlockContext,
) -> Result<Accepted, Failure> {
    if !reading.flags.is_known() {
        return Err(Code::NotActive.into());
    }
    if session.state == SessionState::Queued {
        return Err(Code::ReadingNotMetering.into());
    }
    let granted_at = session.first_granted_at.ok_or_else(|| Fault("a session that meters was never granted current".to_owned()))?;
    check_sequence(session.meter.as_ref(), reading)?;
    check_time(&session, granted_at, reading, block)?;
    check_register(&session, &connector, granted_at, reading)?;

    let first = session.meter.is_none();
    let previous = session.meter.unwrap_or(MeterState {
        start: reading.register_wh,
        sequence: 0,
        at: reading.at,
        register: reading.register_wh,
        power: reading.power_w,
        samples: 0,
    });
    let meter = MeterState {
        start: previous.start,
        sequence: reading.sequence,
        at: reading.at,
        register: reading.register_wh,
        power: reading.power_w,
        samples: previous.samples.checked_add(reading.sample_count.into()).ok_or(Code::Overflow)?,
    };
    let unassigned = if first { reading.register_wh.saturating_sub(connector.last_register) } else { WattHours::ZERO };
    let connector = Connector {
        last_register: reading.register_wh,
        unassigned: connector.unassigned.checked_add(unassigned).ok_or(Code::Overflow)?,
        ..connector
    };
    let (cost, billed_at_limit) = bill(&session, tariff, granted_at, &previous, reading)?;
    let spent = cost.total().ok_or(Code::Overflow)?;
    let session = Session { meter: Some(meter), cost, billed_at_limit, ..session };
    let end = end_of(&session, spent, reading.flags);
    Ok(Accepted { session, connector, unassigned, end })
}

fn check_sequence(meter: Option<&MeterState>, reading: &Reading) -> Result<(), Rejection> {
    let last = meter.map_or(0, |meter| meter.sequence);
    if reading.sequence <= last {
        return Err(Code::ReadingReplay.into());
    }
    if reading.sequence.checked_sub(1) != Some(last) {
        return Err(Code::ReadingGap.into());
    }
    Ok(())
}

fn check_time(session: &Session, granted_at: Timestamp, reading: &Reading, block: &BlockContext) -> Result<(), Rejection> {
    let Params { drift, lease, .. } = block.params;
    if session.meter.is_some_and(|meter| reading.at < meter.at) {
        return Err(Code::ReadingBackwards.into());
    }
    if session.meter.is_none() && reading.at.saturating_add(drift) < granted_at {
        return Err(Code::ReadingBeforeGrant.into());
    }
    if reading.at > block.timestamp.saturating_add(drift) {
        return Err(Code::ReadingAhead.into());
    }
    match session.state {
        SessionState::Stopping { at, .. } if reading.at > at.saturating_add(lease) => Err(Code::ReadingAfterStop.into()),
        SessionState::Stopping { .. } | SessionState::Queued | SessionState::Charging | SessionState::Paused | SessionState::Idle => Ok(()),
    }
}

fn check_register(session: &Session, connector: &Connector, granted_at: Timestamp, reading: &Reading) -> Result<(), Rejection> {
    let least = session.meter.map_or(connector.last_register, |meter| meter.register);
    if reading.register_wh < least {
        return Err(Code::ReadingFalling.into());
    }
    let start = session.meter.map_or(reading.register_wh, |meter| meter.start);
    let energy = reading.register_wh.saturating_sub(start);
    let most = most_energy(connector.rated, reading.at.since(granted_at));
    if most.is_some_and(|most| energy <= most) { Ok(()) } else { Err(Code::ReadingImpossible.into()) }
}

/// Volts that a phase has at most: 230 V and a tenth (EN 50160).
const MAX_VOLTS: u128 = 253;
/// Hundredths by which a meter may be wrong in its favour: 5 %.
const TOLERANCE_HUNDREDTHS: u128 = 105;
/// Watt-hours that a session may show beyond that, once.
const ALLOWANCE_WH: u128 = 50;
/// Microjoules (mA · V · ms) in a hundredth of a watt-hour, times a hundred twice: what one watt-hour is in the unit of the comparison.
const WH_IN_HUNDREDTHS_OF_MICROJOULES: u128 = 3_600_000_000 * 100;

/// The most energy that electricity can bring in so much time: `phases × 253 V × rated × time × 1.05 + 50 Wh`, rounded down; on phases that are rated
/// differently, the sum over them. Nothing where that cannot be counted.
///
/// A register that shows more is no meter's: readings of it are refused, and a gateway sees it before it attests one.
#[must_use]
pub fn most_energy(rated: Currents, time: Duration) -> Option<WattHours> {
    let flow = u128::from(rated.total_ma()).checked_mul(MAX_VOLTS)?.checked_mul(u128::from(time.ms()))?;
    let allowance = ALLOWANCE_WH.checked_mul(WH_IN_HUNDREDTHS_OF_MICROJOULES)?;
    let bound = flow.checked_mul(TOLERANCE_HUNDREDTHS)?.checked_add(allowance)?.checked_div(WH_IN_HUNDREDTHS_OF_MICROJOULES)?;
    // More than any register can show.
    Some(WattHours::new(u64::try_from(bound).unwrap_or(u64::MAX)))
}

/// The cost after a reading, and how much energy the escrow pays for where the cost is past it.
fn bill(
    session: &Session,
    tariff: &Tariff,
    granted_at: Timestamp,
    previous: &MeterState,
    reading: &Reading,
) -> Result<(CostByComponent, Option<WattHours>), Rejection> {
    let interval =
        Interval { from: previous.at, to: reading.at, energy: reading.register_wh.checked_sub(previous.register).ok_or(Code::Overflow)? };
    if interval.energy.is_zero() {
        return Ok((session.cost, session.billed_at_limit));
    }
    let mut cost = session.cost;
    // FLAT is due with the first energy, once: a session that charged nothing costs nothing.
    if previous.register == previous.start {
        cost.flat = cost.flat.checked_add(tariff::flat_cost(tariff, granted_at)?).ok_or(Code::Overflow)?;
    }
    let before = cost.total().ok_or(Code::Overflow)?;
    cost.energy = cost.energy.checked_add(tariff::energy_cost(tariff, &interval)?).ok_or(Code::Overflow)?;
    let after = cost.total().ok_or(Code::Overflow)?;

    let payable = payable(session.escrow)?;
    let billed_at_limit = match session.billed_at_limit {
        Some(billed) => Some(billed),
        None if after > payable => {
            let until_now = previous.register.saturating_sub(previous.start);
            let within = match payable.checked_sub(before) {
                Some(budget) => tariff::energy_within(tariff, &interval, budget)?,
                // FLAT alone is more than the escrow: no energy is paid for, free hours included, or it would matter when the meter was read.
                None => WattHours::ZERO,
            };
            Some(until_now.checked_add(within).ok_or(Code::Overflow)?)
        }
        None => None,
    };
    Ok((cost, billed_at_limit))
}

/// The greatest exact cost that an escrow pays for: the next part would make one more whole micro-token.
fn payable(escrow: Amount) -> Result<Cost, Rejection> {
    let parts = Cost::from_amount(escrow).map(Cost::parts);
    let spare = COST_UNIT.checked_sub(1);
    parts.zip(spare).and_then(|(parts, spare)| parts.checked_add(spare)).map(Cost::from_parts).ok_or_else(|| Code::Overflow.into())
}

/// Why a session is over, if it is: money before what the vehicle did, because it binds both sides; full before removed, because a vehicle that is full and
/// leaves was not removed early. A session that is over already keeps its reason.
fn end_of(session: &Session, spent: Cost, flags: ReadingFlags) -> Option<EndReason> {
    let full = flags.contains(ReadingFlags::VEHICLE_FULL);
    let removed = flags.contains(ReadingFlags::VEHICLE_REMOVED);
    let vehicle = match session.state {
        SessionState::Charging | SessionState::Paused if full => Some(EndReason::VehicleFull),
        SessionState::Charging | SessionState::Paused if removed => Some(EndReason::VehicleRemoved),
        SessionState::Charging | SessionState::Paused => None,
        // It was full before it left.
        SessionState::Idle => removed.then_some(EndReason::VehicleFull),
        SessionState::Queued | SessionState::Stopping { .. } => return None,
    };
    if Cost::from_amount(session.escrow).is_some_and(|escrow| spent >= escrow) { Some(EndReason::Money) } else { vehicle }
}
