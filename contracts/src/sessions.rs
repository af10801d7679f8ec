//! The life of a session: what all calls that move one have in common, and what block execution does when a deadline has come.
//!
//! Who may do it is each call's own question; what a reading costs is [`meter`]'s. Calls, `PutGroup` (for pauses) and block execution come here.
//!
//! # What always holds
//! - A session has exactly one entry under [`Key::Due`], at [`Session::due`]: the queue's deadline, then the longest duration, then `settle_by`.
//! - A waiting session has exactly one entry under [`Key::Queue`], in its connector's group. A connector names the one session that is open on it.
//! - Only a charging session holds current, and all current that it holds is counted in its groups.
//! - A session has an entry under [`Key::SessionTimes`] if, and only if, its tariff has a price for time.
//! - A session that was started under a mandate has an entry under [`Key::MandateUse`], until it is settled.
//! - A session that is over gives its current back at once; its unit's lease ends within seconds.
//! - Settling asks no limit and no role: money that is locked always comes back.

use chain::{
    code::{Code, Rejection},
    hash::Hash32,
    id::{CondominiumId, GroupId, SessionId, TariffId},
    params::Params,
    quantity::{Amount, Cost, Currents, WattHours},
    receipt::{Cause, Event, Outcome, Overdrawn, PauseReason, Receipt, SessionReceipt, Settler},
    record::{Condominium, Connector, Control, EndReason, Key, Session, SessionState, TariffVersion},
    state::StateRead,
    tariff::Tariff,
    time::Timestamp,
};

use crate::{
    clearing,
    context::{BlockContext, CallContext},
    failure::{Failure, Fault},
    groups,
    ledger::Ledger,
    mandates, money, tariff,
};

pub(crate) mod meter;
pub(crate) mod opening;
#[cfg(test)]
mod tests;
pub(crate) mod times;
#[cfg(test)]
mod walk;

pub use self::{meter::most_energy, times::MAX_SPANS as MAX_GRANT_SPANS};

/// Why and when a session is over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct End {
    /// Why.
    pub reason: EndReason,
    /// When: the time of the reading that showed it, else the block's.
    pub at: Timestamp,
}

/// Takes the current from a charging session; its duration goes on.
///
/// # Errors
/// [`Code::UnknownSession`], [`Code::MeterOnly`], [`Code::WrongSessionState`] unless it is charging.
pub fn pause(ledger: &mut Ledger<'_>, block: &BlockContext, id: SessionId, reason: PauseReason) -> Result<(), Failure> {
    let session = existing(ledger, id)?;
    switched(&connector_of(ledger, &session)?)?;
    if session.state != SessionState::Charging {
        return Err(Code::WrongSessionState.into());
    }

    // every check is done: from here on only writes
    hold_current(ledger, &session, Currents::ZERO)?;
    let paused = Session { state: SessionState::Paused, granted: Currents::ZERO, ..session };
    ledger.put(&Key::Session(id), &paused)?;
    times::paused(ledger, id, block.timestamp)?;
    ledger.emit(Event::SessionPaused { session: id, reason });
    Ok(())
}

/// Works on the sessions whose deadline has come, in order of (due time, session), at most [`Params::due_per_block`]; the rest waits for the next block.
/// A waiting one is refunded; one that charges, or is paused or idle, is over and waits for its last readings; one that is over and was not settled in time
/// is settled from its last accepted reading.
///
/// Called once a block, after its transactions, with no events pending.
///
/// # Errors
/// [`Fault`] only: nothing here may be refused.
pub fn run_due(ledger: &mut Ledger<'_>, block: &BlockContext) -> Result<Vec<Receipt>, Fault> {
    let end = Key::Due(block.timestamp.saturating_add(ONE_MS), SessionId(Hash32::ZERO)).bytes();
    let due = ledger.keys(&DUE_BEGIN, &end, block.params.due_per_block)?;
    let mut receipts = Vec::with_capacity(due.len());
    for key in due {
        let (_, id) = read_due_key(&key)?;
        meet_deadline(ledger, block, id).map_err(|failure| match failure {
            Failure::Fault(fault) => fault,
            Failure::Reject(rejection) => Fault(format!("the deadline of session {id} was refused: {rejection}")),
        })?;
        receipts.push(Receipt { cause: Cause::Due(id), outcome: Outcome::Applied, events: ledger.take_events() });
    }
    Ok(receipts)
}

/// The earliest deadline of all open sessions: when block execution next has work of its own.
///
/// # Errors
/// [`Fault`] where the state cannot be read.
pub fn next_due(state: &dyn StateRead) -> Result<Option<Timestamp>, Fault> {
    match state.scan(&DUE_BEGIN, &DUE_END, 1)?.first() {
        Some((key, _)) => Ok(Some(read_due_key(key)?.0)),
        None => Ok(None),
    }
}

/// An open session.
///
/// # Errors
/// [`Code::UnknownSession`].
pub(crate) fn existing(ledger: &Ledger<'_>, id: SessionId) -> Result<Session, Failure> {
    ledger.session(id)?.ok_or_else(|| Code::UnknownSession.into())
}

/// Goes on only for the session's own account.
///
/// # Errors
/// [`Code::NotAllowed`].
pub(crate) fn require_owner(context: &CallContext<'_>, session: &Session) -> Result<(), Failure> {
    if context.account == session.account { Ok(()) } else { Err(Code::NotAllowed.into()) }
}

/// The connector of an open session.
pub(crate) fn connector_of(ledger: &Ledger<'_>, session: &Session) -> Result<Connector, Fault> {
    let id = session.connector;
    ledger.connector(id)?.ok_or_else(|| Fault(format!("connector {id} of an open session is gone")))
}

/// The version that bills a session.
pub(crate) fn tariff_of(ledger: &Ledger<'_>, session: &Session) -> Result<TariffVersion, Fault> {
    let Session { tariff, tariff_version, .. } = *session;
    let gone = || Fault(format!("version {tariff_version} of tariff {tariff} of an open session is gone"));
    ledger.get(&Key::TariffVersion(tariff, tariff_version))?.ok_or_else(gone)
}

/// The tariff that a connector has now.
pub(crate) const fn tariff_at(condominium: CondominiumId, connector: &Connector) -> TariffId {
    TariffId::new(condominium, connector.tariff)
}

/// A waiting session's place in its group's queue.
pub(crate) const fn queue_key(session: &Session, connector: &Connector) -> Key {
    Key::Queue(GroupId::new(session.connector.condominium, connector.group), session.opened_height, session.opened_index)
}

/// Where a condominium's revenue is at home: the creditor of a session whose payer lives elsewhere.
pub(crate) fn revenue_home(ledger: &Ledger<'_>, id: CondominiumId) -> Result<CondominiumId, Fault> {
    let revenue = condominium(ledger, id)?.revenue;
    Ok(ledger.account(&revenue)?.ok_or_else(|| Fault(format!("the revenue account of condominium {id} is gone")))?.home)
}

/// Goes on only where current can be switched.
///
/// # Errors
/// [`Code::MeterOnly`].
pub(crate) fn switched(connector: &Connector) -> Result<(), Rejection> {
    match connector.control {
        Control::Switched => Ok(()),
        Control::MeterOnly => Err(Code::MeterOnly.into()),
    }
}

/// Whether a connector may be given a current: on every phase none or at least the minimum, and no more than its rating.
///
/// # Errors
/// [`Code::BelowMinimumCurrent`] with the minimum, then [`Code::ConnectorRating`] with the rating, and the current of the first phase that is wrong.
pub(crate) fn check_current(params: &Params, connector: &Connector, current: Currents) -> Result<(), Rejection> {
    let minimum_ma = params.min_current.get();
    for ma in current.ma() {
        if ma != 0 && ma < minimum_ma {
            return Err(Rejection::of(Code::BelowMinimumCurrent, minimum_ma.into(), ma.into()));
        }
    }
    for (rated_ma, ma) in connector.rated.ma().into_iter().zip(current.ma()) {
        if ma > rated_ma {
            return Err(Rejection::of(Code::ConnectorRating, rated_ma.into(), ma.into()));
        }
    }
    Ok(())
}

/// Writes that a session charges with `current`, which its groups hold already ([`hold_current`]), as its newest grant.
pub(crate) fn write_charging(
    ledger: &mut Ledger<'_>,
    context: &CallContext<'_>,
    id: SessionId,
    session: Session,
    current: Currents,
) -> Result<(), Fault> {
    if session.state != SessionState::Charging {
        times::granted(ledger, id, context.block.timestamp)?;
    }
    let charging = Session {
        state: SessionState::Charging,
        granted: current,
        granted_height: context.block.height,
        granted_index: context.index,
        ..session
    };
    ledger.put(&Key::Session(id), &charging)?;
    ledger.emit(Event::SessionGranted { session: id, current });
    Ok(())
}

/// Gives a session another deadline, in the record at hand and in the state's order of deadlines; the caller writes the record.
pub(crate) fn move_due(ledger: &mut Ledger<'_>, id: SessionId, session: &mut Session, due: Timestamp) -> Result<(), Fault> {
    ledger.delete(&Key::Due(session.due, id));
    session.due = due;
    ledger.put(&Key::Due(due, id), &())
}

/// Ends a session. One that waits has used nothing and is settled at once; any other gives back its current, and its last readings and its settlement are
/// awaited until the block's time + [`Params::settle_grace`].
///
/// # Errors
/// [`Code::WrongSessionState`] where it is over already.
pub(crate) fn end(ledger: &mut Ledger<'_>, block: &BlockContext, id: SessionId, session: Session, end: End) -> Result<(), Failure> {
    match session.state {
        SessionState::Queued => settle(ledger, block, id, &session, end, Settler::Chain),
        SessionState::Charging | SessionState::Paused | SessionState::Idle => stop(ledger, block, id, session, end),
        SessionState::Stopping { .. } => Err(Code::WrongSessionState.into()),
    }
}

fn stop(ledger: &mut Ledger<'_>, block: &BlockContext, id: SessionId, session: Session, end: End) -> Result<(), Failure> {
    hold_current(ledger, &session, Currents::ZERO)?;
    let End { reason, at } = end;
    let mut stopping = Session { state: SessionState::Stopping { reason, at }, granted: Currents::ZERO, ..session };
    let settle_by = block.timestamp.saturating_add(block.params.settle_grace);
    move_due(ledger, id, &mut stopping, settle_by)?;
    ledger.put(&Key::Session(id), &stopping)?;
    ledger.emit(Event::SessionStopping { session: id, reason, settle_by });
    Ok(())
}

/// A vehicle is full and stays plugged in where parking is counted: it gives back its current and waits to be unplugged.
///
/// # Errors
/// [`Fault`] only: giving back always succeeds.
pub(crate) fn idle(ledger: &mut Ledger<'_>, id: SessionId, session: Session, since: Timestamp) -> Result<(), Failure> {
    hold_current(ledger, &session, Currents::ZERO)?;
    ledger.put(&Key::Session(id), &Session { state: SessionState::Idle, granted: Currents::ZERO, ..session })?;
    ledger.emit(Event::SessionIdle { session: id, since });
    Ok(())
}

/// Pays what a session cost, at most its escrow, refunds the rest, and takes the session out of the state: from here on its receipt speaks for it.
///
/// # Errors
/// [`Fault`] only.
pub(crate) fn settle(
    ledger: &mut Ledger<'_>,
    block: &BlockContext,
    id: SessionId,
    session: &Session,
    end: End,
    settled_by: Settler,
) -> Result<(), Failure> {
    let connector = connector_of(ledger, session)?;
    let site = session.connector.condominium;
    let payee = condominium(ledger, site)?.revenue;
    let payer_home = money::registered(ledger, &session.account)?.home;
    let revenue_home = revenue_home(ledger, site)?;
    let version = tariff_of(ledger, session)?;
    let bill = Bill::of(session, &version.tariff);
    hold_current(ledger, session, Currents::ZERO)?;

    // every check is done: from here on only writes
    money::release_position(ledger, payer_home, revenue_home, session.escrow)?;
    money::settle(ledger, &money::Settlement { payer: session.account, escrow: session.escrow, paid: bill.paid, payee })?;
    clearing::count_session(ledger, payer_home, revenue_home, bill.energy, bill.paid)?;
    ledger.delete(&Key::Session(id));
    times::forget(ledger, id);
    mandates::settled(ledger, id, session, bill.paid)?;
    ledger.delete(&Key::Due(session.due, id));
    ledger.delete(&queue_key(session, &connector));
    ledger.put(&Key::Connector(session.connector), &Connector { session: None, ..connector })?;
    ledger.emit(Event::SessionSettled(SessionReceipt {
        session: id,
        account: session.account,
        connector: session.connector,
        tariff: session.tariff,
        tariff_version: session.tariff_version,
        opened_at: session.opened_at,
        first_granted_at: session.first_granted_at,
        ended_at: end.at,
        settled_at: block.timestamp,
        reason: end.reason,
        settled_by,
        energy: bill.energy,
        energy_billed: bill.energy_billed,
        cost: session.cost,
        escrow: session.escrow,
        paid: bill.paid,
        refund: session.escrow.saturating_sub(bill.paid),
        overdrawn: bill.overdrawn,
        readings: session.meter.map_or(0, |meter| meter.sequence),
        samples: session.meter.map_or(0, |meter| meter.samples),
    }));
    Ok(())
}

/// What a session comes to.
struct Bill {
    energy: WattHours,
    energy_billed: WattHours,
    paid: Amount,
    overdrawn: Option<Overdrawn>,
}

impl Bill {
    fn of(session: &Session, tariff: &Tariff) -> Self {
        let energy = session.meter.map_or(WattHours::ZERO, |meter| meter.register.saturating_sub(meter.start));
        let energy_billed = session.billed_at_limit.unwrap_or(energy);
        // Rounded down once: the rest of a micro-token is the resident's. A cost beyond all amounts is beyond every escrow.
        let cost = tariff::due(tariff, &session.cost, energy).and_then(Cost::floor).unwrap_or(Amount::MAX);
        let over = cost.saturating_sub(session.escrow);
        let overdrawn = (!over.is_zero()).then(|| Overdrawn { energy: energy.saturating_sub(energy_billed), amount: over });
        Self { energy, energy_billed, paid: cost.min(session.escrow), overdrawn }
    }
}

/// Does what the deadline of one session asks for.
fn meet_deadline(ledger: &mut Ledger<'_>, block: &BlockContext, id: SessionId) -> Result<(), Failure> {
    let session = existing(ledger, id)?;
    let at = block.timestamp;
    match session.state {
        SessionState::Queued => end(ledger, block, id, session, End { reason: EndReason::NeverStarted, at }),
        SessionState::Charging | SessionState::Paused | SessionState::Idle => {
            end(ledger, block, id, session, End { reason: EndReason::Time, at })
        }
        SessionState::Stopping { reason, at } => {
            // A session that ran out of time and that nobody settled was left alone by its gateway; where somebody or something else ended it, that stays
            // the reason.
            let reason = if reason == EndReason::Time { EndReason::GatewayLost } else { reason };
            settle(ledger, block, id, &session, End { reason, at }, Settler::Chain)
        }
    }
}

/// Counts `current` for the session in its groups instead of what it held; giving back always succeeds.
///
/// # Errors
/// [`Code::GroupLimit`] with the limit and what would be granted, in mA; nothing is written then.
pub(crate) fn hold_current(ledger: &mut Ledger<'_>, session: &Session, current: Currents) -> Result<(), Failure> {
    if session.granted == current {
        return Ok(());
    }
    let group = connector_of(ledger, session)?.group;
    groups::occupy(ledger, session.connector.condominium, group, session.granted, current)
}

fn condominium(ledger: &Ledger<'_>, id: CondominiumId) -> Result<Condominium, Fault> {
    ledger.condominium(id)?.ok_or_else(|| Fault(format!("condominium {id} of an open session is gone")))
}

const ONE_MS: chain::time::Duration = chain::time::Duration::from_ms(1);
const DUE_TABLE: u8 = Key::Due(Timestamp::from_ms(0), SessionId(Hash32::ZERO)).table();
const DUE_BEGIN: [u8; 1] = [DUE_TABLE];
const DUE_END: [u8; 1] = [DUE_TABLE.saturating_add(1)];

/// The time and the session in a key of [`Key::Due`]: a table's byte, eight of time, thirty-two of session.
fn read_due_key(key: &[u8]) -> Result<(Timestamp, SessionId), Fault> {
    let parts = || {
        let (time, session) = key.get(1..)?.split_first_chunk::<8>()?;
        Some((Timestamp::from_ms(u64::from_be_bytes(*time)), SessionId(Hash32(session.try_into().ok()?))))
    };
    parts().ok_or_else(|| Fault("a deadline in the state has no such key".to_owned()))
}
