//! What one reading does to its session: whether the meter can be believed, what the energy costs, and whether the session is over.
//!
//! It reads records and writes none; who may attest, what a tariff says, and what follows from the end of a session, is not decided here. `Attest` alone calls it.
//!
//! # The limit of the escrow
//! The exact cost is rounded down once, at settlement. So an escrow pays for a cost whose whole micro-tokens do not exceed it, and a session is past its
//! escrow, and overdrawn, as soon as they do; from then on `billed_at_limit` says how much of the energy is paid for. It is computed in the interval in which
//! the limit was passed, from its beginning, and does not depend on how readings cut the time before. A session ends by money already when the exact cost
//! reaches the escrow, unless the tariff's highest price is within the escrow: then nothing that is still to come costs more.

use chain::{
    code::{Code, Rejection},
    params::Params,
    quantity::{Amount, COST_UNIT, Cost, Currents, WattHours},
    record::{Connector, CostByComponent, EndReason, GrantSpan, MeterState, PlugSignal, Session, SessionState, SessionTimes},
    tariff::{Tariff, TariffDimension},
    time::{Duration, Timestamp},
};

use crate::{
    call::{Reading, ReadingFlags},
    context::BlockContext,
    failure::{Failure, Fault},
    sessions::times,
    tariff::{self, Counted, Interval},
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
    /// When it held a grant and since when it is full, where its tariff needs that.
    pub times: Option<SessionTimes>,
    /// What becomes of the session.
    pub outcome: Outcome,
}

/// What becomes of a session by a reading.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Outcome {
    /// Nothing changes.
    GoesOn,
    /// Its vehicle is full and stays plugged in, where parking is counted.
    Idle,
    /// It is over, and was not before.
    Ends(EndReason),
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
    times: Option<SessionTimes>,
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
    let idle_since = times.as_ref().and_then(|times| times.idle_since);
    let granted = times.as_ref().map_or(&[][..], |times| times.granted.as_slice());
    let (cost, billed_at_limit) = Billing { session: &session, tariff, granted_at, granted, idle_since }.bill(&previous, reading)?;
    let due = tariff::due(tariff, &cost, meter.register.saturating_sub(meter.start)).ok_or(Code::Overflow)?;
    let session = Session { meter: Some(meter), cost, billed_at_limit, ..session };
    let parks = connector.plug_signal == PlugSignal::Reported && tariff::has(tariff, TariffDimension::ParkingTime);
    let outcome = outcome_of(&session, tariff::is_spent(tariff, due, session.escrow), parks, reading.flags);
    let times = times.map(|mut times| {
        times::billed(&mut times, reading.at);
        if outcome == Outcome::Idle {
            times.idle_since = Some(reading.at);
        }
        times
    });
    Ok(Accepted { session, connector, times, unassigned, outcome })
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

/// What a reading is billed by.
struct Billing<'a> {
    session: &'a Session,
    tariff: &'a Tariff,
    /// The first grant.
    granted_at: Timestamp,
    granted: &'a [GrantSpan],
    idle_since: Option<Timestamp>,
}

impl Billing<'_> {
    /// The cost after a reading, and how much energy the escrow pays for where the cost is past it.
    fn bill(&self, previous: &MeterState, reading: &Reading) -> Result<(CostByComponent, Option<WattHours>), Rejection> {
        let Self { session, tariff, granted_at, granted, idle_since } = *self;
        let energy = reading.register_wh.checked_sub(previous.register).ok_or(Code::Overflow)?;
        let energy_before = previous.register.checked_sub(previous.start).ok_or(Code::Overflow)?;
        let interval = Interval { from: previous.at, to: reading.at, energy, energy_before, begun: granted_at };
        // The owner agreed to a duration: a block that ends it late makes no time dearer.
        let longest = granted_at.saturating_add(session.max_duration);
        let until = match session.state {
            SessionState::Stopping { at, .. } => at.min(longest),
            SessionState::Queued | SessionState::Charging | SessionState::Paused | SessionState::Idle => longest,
        };
        let counted = Counted { granted, idle_since, until };

        let mut before = session.cost;
        // FLAT is due with the first energy, once: a session that charged nothing pays for the time that it held a grant at most.
        if energy_before.is_zero() && !energy.is_zero() {
            before.flat = before.flat.checked_add(tariff::flat_cost(tariff, granted_at)?).ok_or(Code::Overflow)?;
        }
        let added = tariff::interval_cost(tariff, &interval, &counted)?;
        let cost = CostByComponent {
            energy: before.energy.checked_add(added.energy).ok_or(Code::Overflow)?,
            time: before.time.checked_add(added.time).ok_or(Code::Overflow)?,
            parking_time: before.parking_time.checked_add(added.parking_time).ok_or(Code::Overflow)?,
            flat: before.flat,
        };
        let metered = energy_before.checked_add(energy).ok_or(Code::Overflow)?;
        let due = tariff::due(tariff, &cost, metered).ok_or(Code::Overflow)?;
        let payable = payable(session.escrow)?;
        let billed_at_limit = match session.billed_at_limit {
            Some(billed) => Some(billed),
            None if due > payable => {
                let within = tariff::energy_within(tariff, &interval, &counted, &before, payable)?;
                Some(energy_before.checked_add(within).ok_or(Code::Overflow)?)
            }
            None => None,
        };
        Ok((cost, billed_at_limit))
    }
}

/// The greatest exact cost that an escrow pays for: the next part would make one more whole micro-token.
fn payable(escrow: Amount) -> Result<Cost, Rejection> {
    let parts = Cost::from_amount(escrow).map(Cost::parts);
    let spare = COST_UNIT.checked_sub(1);
    parts.zip(spare).and_then(|(parts, spare)| parts.checked_add(spare)).map(Cost::from_parts).ok_or_else(|| Code::Overflow.into())
}

/// What a reading makes of its session. Money goes before what the vehicle did, because it binds both sides; full before removed, because a vehicle that is full
/// and leaves was not removed early. A session that is over already keeps its reason.
fn outcome_of(session: &Session, is_spent: bool, parks: bool, flags: ReadingFlags) -> Outcome {
    let full = flags.contains(ReadingFlags::VEHICLE_FULL);
    let removed = flags.contains(ReadingFlags::VEHICLE_REMOVED);
    let by_vehicle = match session.state {
        SessionState::Charging | SessionState::Paused => match (full, removed) {
            (true, false) if parks => Outcome::Idle,
            (true, _) => Outcome::Ends(EndReason::VehicleFull),
            (false, true) => Outcome::Ends(EndReason::VehicleRemoved),
            (false, false) => Outcome::GoesOn,
        },
        // It was full before it left.
        SessionState::Idle if removed => Outcome::Ends(EndReason::VehicleFull),
        SessionState::Idle => Outcome::GoesOn,
        SessionState::Queued | SessionState::Stopping { .. } => return Outcome::GoesOn,
    };
    if is_spent { Outcome::Ends(EndReason::Money) } else { by_vehicle }
}
