//! How a session opens, whoever asks for it: the checks of place, price and money, and what is written then.
//!
//! Whether the asker may spend the account's money is each call's own question. `OpenSession` and `OpenSessionByMandate` come here.

use chain::{
    code::{Code, Rejection},
    id::{Address, ConnectorId, SessionId},
    quantity::{Amount, Currents},
    receipt::Event,
    record::{Connector, Control, CostByComponent, Hints, Key, Service, Session, SessionState},
    time::Duration,
};

use super::{queue_key, revenue_home, tariff_at, times};
use crate::{context::CallContext, failure::Failure, ledger::Ledger, money, tariff};

/// What a session opens with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Opening {
    /// Who pays.
    pub account: Address,
    /// Where.
    pub connector: ConnectorId,
    /// The version that must be in force.
    pub tariff_version: u32,
    /// What is locked.
    pub max_spend: Amount,
    /// How long it may take, counted from the first grant.
    pub max_duration: Duration,
    /// For the scheduler.
    pub hints: Hints,
}

/// Opens a session under the id of the transaction at hand; all checks come before the first write.
///
/// # Errors
/// In this order: [`Code::UnknownConnector`], [`Code::ConnectorOutOfService`], [`Code::ConnectorBusy`], [`Code::OverLimit`] of amount and duration,
/// [`Code::UnknownTariff`], [`Code::StaleTariff`], [`Code::UnknownAccount`], [`Code::PositionLimit`], [`Code::InsufficientFunds`].
pub(crate) fn open(ledger: &mut Ledger<'_>, context: &CallContext<'_>, opening: &Opening) -> Result<SessionId, Failure> {
    let params = &context.block.params;
    let now = context.block.timestamp;
    let Opening { account, connector: connector_id, tariff_version, max_spend, max_duration, hints } = *opening;
    let site = connector_id.condominium;
    let connector = ledger.connector(connector_id)?.ok_or(Code::UnknownConnector)?;
    if connector.service != Service::InService || connector.fault.is_some() {
        return Err(Code::ConnectorOutOfService.into());
    }
    if connector.session.is_some() {
        return Err(Code::ConnectorBusy.into());
    }
    if max_spend > params.max_spend {
        return Err(Rejection::of(Code::OverLimit, params.max_spend.micro(), max_spend.micro()).into());
    }
    if max_duration > params.max_duration {
        return Err(Rejection::of(Code::OverLimit, params.max_duration.ms(), max_duration.ms()).into());
    }
    let tariff = tariff_at(site, &connector);
    let (in_force, version) = tariff::in_force(ledger, tariff, now)?.ok_or(Code::UnknownTariff)?;
    if tariff_version != in_force {
        return Err(Rejection::of(Code::StaleTariff, in_force.into(), tariff_version.into()).into());
    }
    let payer_home = money::registered(ledger, &account)?.home;
    let revenue_home = revenue_home(ledger, site)?;
    money::check_position(ledger, payer_home, revenue_home, max_spend)?;
    money::lock(ledger, &account, max_spend)?;

    // every check is done: from here on only writes
    money::expect_position(ledger, payer_home, revenue_home, max_spend)?;
    let id = SessionId(context.tx_id.0);
    // A meter without a switch has its current reserved for good: there is nothing to wait for.
    let (state, first_granted_at, due) = match connector.control {
        Control::Switched => (SessionState::Queued, None, now.saturating_add(params.queue_deadline)),
        Control::MeterOnly => (SessionState::Charging, Some(now), now.saturating_add(max_duration)),
    };
    let session = Session {
        account,
        connector: connector_id,
        tariff,
        tariff_version: in_force,
        opened_at: now,
        opened_height: context.block.height,
        opened_index: context.index,
        escrow: max_spend,
        max_duration,
        hints,
        state,
        due,
        first_granted_at,
        granted: Currents::ZERO,
        granted_height: context.block.height,
        granted_index: context.index,
        meter: None,
        cost: CostByComponent::default(),
        billed_at_limit: None,
    };
    ledger.put(&Key::Session(id), &session)?;
    times::open(ledger, id, &version.tariff)?;
    ledger.put(&Key::Due(due, id), &())?;
    ledger.put(&Key::Connector(connector_id), &Connector { session: Some(id), ..connector })?;
    ledger.emit(Event::SessionOpened { session: id, account, connector: connector_id, escrow: max_spend });
    match connector.control {
        Control::Switched => ledger.put(&queue_key(&session, &connector), &id)?,
        Control::MeterOnly => {
            times::granted(ledger, id, now)?;
            ledger.emit(Event::SessionGranted { session: id, current: connector.rated });
        }
    }
    Ok(id)
}
