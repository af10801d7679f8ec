//! `watt session show`.

use ::chain::{
    api::SessionView,
    quantity::Cost,
    receipt::{SessionReceipt, Settler},
    record::SessionState,
};
use clap::Args;

use crate::{
    command::{CommandError, Context},
    describe,
    named::Named,
    quantity::{amperes, count, duration, kwh, time, tokens},
    render::Facts,
};

/// Show a session: where it stands, or its bill
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  watt session show 5f0c9a\n  watt session show 5f0c9a --output json")]
pub struct Show {
    /// Its id, or its first 6 digits or more
    #[arg(value_name = "SESSION")]
    id: Named,
}

impl Show {
    pub(super) async fn run(self, context: &Context) -> Result<(), CommandError> {
        let currency = context.status().await?.currency;
        let view = context.client().session(context.session(&self.id).await?).await?;
        context.put(&view, || view_facts(&view, &currency).text())
    }
}

/// A session in words.
pub(in crate::command) fn view_facts(view: &SessionView, currency: &str) -> Facts {
    match view {
        SessionView::Settled { height, receipt, .. } => bill_facts(receipt, currency).with("block", height.to_string()),
        SessionView::Open { id, session, cost_so_far, energy, queue } => {
            let facts = Facts::new()
                .with("session", id.to_string())
                .with("account", session.account.to_string())
                .with("connector", session.connector.to_string())
                .with("state", state_text(session))
                .with("opened", time(session.opened_at))
                .with_some("first granted", session.first_granted_at.map(time))
                .with("tariff", format!("{} version {}", session.tariff, session.tariff_version))
                .with("locked", tokens(session.escrow, currency))
                .with("energy", kwh(*energy))
                .with("cost so far", tokens(*cost_so_far, currency))
                .with_some("power", session.meter.map(|meter| format!("{} W at {}", meter.power.get(), time(meter.at))))
                .with("longest duration", duration(session.max_duration))
                .with(deadline(session), time(session.due));
            match queue {
                None if session.state == SessionState::Queued => facts.with("why it waits", unplaced(session)),
                None => facts,
                Some(ticket) => facts
                    .with("place in the queue", format!("{} of group {}", ticket.position, ticket.group))
                    .with("why it waits", describe::waiting(ticket))
                    .with_some("passed over", ticket.skipped.map(describe::skip_reason))
                    .with_some("about when", ticket.expected_at.map(time)),
            }
        }
    }
}

/// Why a charge without a place in the queue waits.
pub(in crate::command) fn unplaced(session: &::chain::record::Session) -> String {
    let condominium = session.connector.condominium;
    format!("the scheduler of condominium {condominium} has not placed it yet, or does so at another node")
}

/// What happens at a session's next deadline.
const fn deadline(session: &::chain::record::Session) -> &'static str {
    match session.state {
        SessionState::Queued => "gives up waiting",
        SessionState::Charging | SessionState::Paused | SessionState::Idle => "ends at the latest",
        SessionState::Stopping { .. } => "settled at the latest",
    }
}

/// Where an open session is in its life, in words.
pub(in crate::command) fn state_text(session: &::chain::record::Session) -> String {
    match session.state {
        SessionState::Queued => "waiting for current".to_owned(),
        SessionState::Charging => format!("charging, {}", amperes(session.granted)),
        SessionState::Paused => "paused".to_owned(),
        SessionState::Idle => "full, plugged in".to_owned(),
        SessionState::Stopping { reason, .. } => format!("ending: {}", describe::end_reason(reason)),
    }
}

/// A bill in words.
pub(in crate::command) fn bill_facts(bill: &SessionReceipt, currency: &str) -> Facts {
    let money = |amount| tokens(amount, currency);
    let parts = [
        ("of it energy", bill.cost.energy),
        ("of it time", bill.cost.time),
        ("of it parking", bill.cost.parking_time),
        ("of it flat", bill.cost.flat),
    ];
    let facts = Facts::new()
        .with("session", bill.session.to_string())
        .with("account", bill.account.to_string())
        .with("connector", bill.connector.to_string())
        .with("state", "settled")
        .with("ended because", describe::end_reason(bill.reason))
        .with("opened", time(bill.opened_at))
        .with_some("first granted", bill.first_granted_at.map(time))
        .with("ended", time(bill.ended_at))
        .with("settled", time(bill.settled_at))
        .with(
            "settled by",
            match bill.settled_by {
                Settler::Gateway => "the gateway",
                Settler::Chain => "the chain itself",
            },
        )
        .with("tariff", format!("{} version {}", bill.tariff, bill.tariff_version))
        .with("energy", kwh(bill.energy))
        .with("energy paid for", kwh(bill.energy_billed))
        .with("locked", money(bill.escrow))
        .with("paid", money(bill.paid))
        .with("refunded", money(bill.refund));
    let facts =
        parts.iter().filter(|(_, cost)| cost.parts() > 0).fold(facts, |facts, (name, cost)| facts.with_some(name, cost.floor().map(money)));
    let sum = bill.cost.total().and_then(Cost::floor);
    let bound = sum.filter(|sum| bill.overdrawn.is_none() && *sum != bill.paid).map(|sum| {
        let which = if bill.paid > sum { "raised to the tariff's least price" } else { "lowered to the tariff's highest price" };
        format!("{which} from {}", money(sum))
    });
    facts
        .with_some("bounded", bound)
        .with_some(
            "not paid for",
            bill.overdrawn.map(|over| format!("{} worth {}, borne by the condominium", kwh(over.energy), money(over.amount))),
        )
        .with("readings", format!("{} over {}", bill.readings, count(bill.samples, "sample")))
}
