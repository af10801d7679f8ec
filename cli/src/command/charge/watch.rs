//! `watt charge watch`.

use std::{
    io::{self, IsTerminal as _, Write as _},
    time::Duration,
};

use ::chain::{
    api::{SessionView, StreamedEvent},
    id::SessionId,
    receipt::Event,
    record::SessionState,
};
use clap::Args;
use indicatif::ProgressBar;
use tokio::time::timeout;

use crate::{
    client::EventFilter,
    command::{
        CommandError, Context,
        context::spinner,
        session::{state_text, unplaced, view_facts},
    },
    describe,
    named::Named,
    quantity::{kwh, time, tokens},
    render::{self, Output},
};

/// Follow a charge to its bill
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  watt charge watch 5f0c9a
  watt charge watch 5f0c9a --output json     one event to a line, then the bill

Energy and cost are those of the gateway's last attestation, whose time stands beside them: between two of them the car draws more than is shown. While the charge
waits, the place in the queue and the reason are shown. Leaving with Ctrl-C ends the watching, not the charge. A lost connection is made again from the last event.")]
pub struct Watch {
    /// The session's id, or its first 6 digits or more
    #[arg(value_name = "SESSION")]
    session: Named,
}

impl Watch {
    pub(super) async fn run(self, context: &Context) -> Result<(), CommandError> {
        follow(context, context.session(&self.session).await?).await
    }
}

/// How often the node is asked anew while nothing happens: why one waits, and when it may start, changes without an event.
const REFRESH: Duration = Duration::from_secs(5);

/// Tells what happens to a session until it is settled, then shows its bill.
pub(super) async fn follow(context: &Context, session: SessionId) -> Result<(), CommandError> {
    check_output(context)?;
    let currency = context.status().await?.currency;
    let mut events = context.client().events(EventFilter { session: Some(session), ..EventFilter::default() }, None);
    // First the stream, then the look: what happens in between is heard of, not missed.
    events.connect().await?;
    let mut view = context.client().session(session).await?;
    let table = context.options().output == Output::Table;
    // On a terminal one line changes in place, and turns; elsewhere a line follows when there is something new.
    let live = io::stderr().is_terminal() && table;
    let bar = if live { spinner("") } else { ProgressBar::hidden() };
    let mut shown = String::new();
    while let SessionView::Open { .. } = view {
        let now = standing(&view, &currency);
        bar.set_message(now.clone());
        if !live && table && now != shown {
            say(&now)?;
        }
        shown = now;
        match timeout(REFRESH, events.next()).await {
            Ok(happened) => {
                let happened = happened?;
                view = context.client().session(session).await?;
                bar.suspend(|| tell(context, &happened.streamed, &currency))?;
                if matches!(happened.streamed.event, Event::SessionSettled(_)) {
                    break;
                }
            }
            Err(_) => match context.client().session(session).await {
                Ok(found) => view = found,
                // The stream of events decides how long a node may be away.
                Err(error) if error.is_transient() => bar.set_message("the node does not answer: trying again"),
                Err(error) => return Err(error.into()),
            },
        }
    }
    bar.finish_and_clear();
    match context.options().output {
        Output::Table => context.put(&view, || view_facts(&view, &currency).text()),
        Output::Json => line(&view),
        Output::Csv => context.put(&view, String::new),
    }
}

/// Refuses what cannot be followed, before anything is signed or shown.
pub(super) fn check_output(context: &Context) -> Result<(), CommandError> {
    match context.options().output {
        Output::Table | Output::Json => Ok(()),
        Output::Csv => Err(CommandError::Usage("what happens is no table: follow it with --output json, or leave out --output".to_owned())),
    }
}

fn tell(context: &Context, streamed: &StreamedEvent, currency: &str) -> Result<(), CommandError> {
    match context.options().output {
        Output::Json | Output::Csv => line(streamed),
        Output::Table => say(&format!("{}  {}", time(streamed.timestamp), describe::event(&streamed.event, currency))),
    }
}

fn say(text: &str) -> Result<(), CommandError> {
    finish(writeln!(io::stdout().lock(), "{}", render::clean(text)))
}

fn line<T: serde::Serialize>(value: &T) -> Result<(), CommandError> {
    let text = serde_json::to_string(value).map_err(|error| CommandError::Failed(error.to_string()))?;
    finish(writeln!(io::stdout().lock(), "{text}"))
}

fn finish(outcome: io::Result<()>) -> Result<(), CommandError> {
    match outcome {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}

/// Where a session stands, in one line.
pub(super) fn standing(view: &SessionView, currency: &str) -> String {
    let (session, cost, energy, queue) = match view {
        SessionView::Settled { receipt, .. } => return format!("{}, {} paid", kwh(receipt.energy), tokens(receipt.paid, currency)),
        SessionView::Open { session, cost_so_far, energy, queue, .. } => (session, *cost_so_far, *energy, queue),
    };
    if session.state == SessionState::Queued {
        let Some(ticket) = queue else { return format!("{}: {}", state_text(session), unplaced(session)) };
        let when = ticket.expected_at.map(|at| format!(", about {}", time(at))).unwrap_or_default();
        return format!("waiting for current, place {}: {}{when}", ticket.position, describe::waiting(ticket));
    }
    let money = format!("{} of {}", tokens(cost, currency), tokens(session.escrow, currency));
    // The ledger knows what was attested and nothing since.
    match session.meter {
        Some(meter) => {
            let power = if session.state == SessionState::Charging { format!("{} W, ", meter.power.get()) } else { String::new() };
            format!("{}; {power}{}, {money}, as attested at {}", state_text(session), kwh(energy), time(meter.at))
        }
        None => format!("{}; nothing attested yet, {} locked", state_text(session), tokens(session.escrow, currency)),
    }
}

#[cfg(test)]
mod tests {
    use ::chain::{
        api::QueueTicket,
        hash::Hash32,
        id::{Address, CondominiumId, ConnectorId, GroupId, Height, TariffId},
        quantity::{Amount, Currents, WattHours, Watts},
        record::{CostByComponent, Hints, MeterState, Session},
        time::{Duration as Span, Timestamp},
    };

    use super::*;

    /// Somebody watched 0 kWh for a quarter of an hour while the car charged: the figures did not say how old they were.
    #[test]
    fn figures_say_when_they_were_attested_and_a_wait_says_why() {
        let at = Timestamp::from_ms(1_795_415_400_000);
        let queued = Session {
            account: Address([1; 32]),
            connector: ConnectorId::new(CondominiumId(1), 1),
            tariff: TariffId::new(CondominiumId(1), 1),
            tariff_version: 1,
            opened_at: at,
            opened_height: Height(1),
            opened_index: 0,
            escrow: Amount::from_micro(3_000_000),
            max_duration: Span::from_hours(1),
            hints: Hints { energy_target: None, state_of_charge: None, depart_by: None },
            state: SessionState::Queued,
            due: at,
            first_granted_at: None,
            granted: Currents::ZERO,
            granted_height: Height(0),
            granted_index: 0,
            meter: None,
            cost: CostByComponent::default(),
            billed_at_limit: None,
        };
        let id = SessionId(Hash32([7; 32]));
        let shown = |session: &Session, queue| {
            let cost_so_far = Amount::from_micro(500_000);
            standing(&SessionView::Open { id, session: session.clone(), cost_so_far, energy: WattHours::new(2_000), queue }, "EUR")
        };
        let ticket = QueueTicket {
            session: id,
            connector: queued.connector,
            group: GroupId::new(CondominiumId(1), 1),
            position: 2,
            since: at,
            reason: "2 of 2 places busy, you are second, about 21:20".to_owned(),
            skipped: None,
            expected_at: Some(at),
        };
        let waits = shown(&queued, Some(ticket));
        assert!(waits.contains("place 2: 2 of 2 places busy, you are second, about 20") && waits.ends_with(&time(at)), "{waits}");
        assert!(shown(&queued, None).contains("waiting for current: the scheduler of condominium 1 has not placed it yet"));
        let charging = Session { state: SessionState::Charging, granted: Currents::from_ma([16_000; 3]), ..queued };
        assert!(shown(&charging, None).contains("nothing attested yet"));
        let (start, register) = (WattHours::new(40_000), WattHours::new(42_000));
        let meter = MeterState { start, sequence: 3, at, register, power: Watts::new(11_040), samples: 60 };
        let read = shown(&Session { meter: Some(meter), ..charging }, None);
        assert!(read.contains("2.000 kWh, 0.50 EUR of 3.00 EUR, as attested at") && read.contains(&time(at)), "{read}");
    }
}
