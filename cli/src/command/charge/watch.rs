//! `watt charge watch`.

use std::{
    io::{self, IsTerminal as _, Write as _},
    time::Duration,
};

use ::chain::{
    api::{SessionView, StreamedEvent},
    id::SessionId,
    receipt::Event,
};
use clap::Args;
use indicatif::ProgressBar;
use tokio::time::timeout;

use crate::{
    client::EventFilter,
    command::{CommandError, Context, context::spinner, session::view_facts},
    describe,
    quantity::{amperes, kwh, time, tokens},
    render::{self, Output},
};

/// Follow a charge to its bill
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  watt charge watch 5f0c...
  watt charge watch 5f0c... --output json     one event to a line, then the bill

Leaving with Ctrl-C ends the watching, not the charge. A lost connection is made again from the last event.")]
pub struct Watch {
    /// The session's id, 64 hexadecimal digits
    #[arg(value_name = "SESSION")]
    session: SessionId,
}

impl Watch {
    pub(super) async fn run(self, context: &Context) -> Result<(), CommandError> {
        follow(context, self.session).await
    }
}

/// How often a live line is made anew while nothing happens.
const REFRESH: Duration = Duration::from_secs(5);

/// Tells what happens to a session until it is settled, then shows its bill.
pub(super) async fn follow(context: &Context, session: SessionId) -> Result<(), CommandError> {
    let currency = context.status().await?.currency;
    let mut events = context.client().events(EventFilter { session: Some(session), ..EventFilter::default() }, None);
    // First the stream, then the look: what happens in between is heard of, not missed.
    events.connect().await?;
    let mut view = context.client().session(session).await?;
    // On a terminal one line changes in place; elsewhere lines follow one another.
    let live = io::stderr().is_terminal() && context.options().output == Output::Table;
    let bar = if live { spinner("") } else { ProgressBar::hidden() };
    while let SessionView::Open { .. } = view {
        bar.set_message(standing(&view, &currency));
        // Why one waits, and when it may start, changes without an event.
        let heard = if live { timeout(REFRESH, events.next()).await } else { Ok(events.next().await) };
        let happened = match heard {
            Ok(happened) => happened?,
            Err(_) => {
                view = context.client().session(session).await?;
                continue;
            }
        };
        view = context.client().session(session).await?;
        bar.suspend(|| tell(context, &happened.streamed, &view, &currency))?;
        if matches!(happened.streamed.event, Event::SessionSettled(_)) {
            break;
        }
    }
    bar.finish_and_clear();
    match context.options().output {
        Output::Table => context.put(&view, || view_facts(&view, &currency).text()),
        Output::Json => line(&view),
    }
}

fn tell(context: &Context, streamed: &StreamedEvent, view: &SessionView, currency: &str) -> Result<(), CommandError> {
    match context.options().output {
        Output::Json => line(streamed),
        Output::Table => {
            let mut text = format!("{}  {}", time(streamed.timestamp), describe::event(&streamed.event, currency));
            if matches!(streamed.event, Event::ReadingHandled { .. }) {
                text = format!("{text}; {}", standing(view, currency));
            }
            finish(writeln!(io::stdout().lock(), "{}", render::clean(&text)))
        }
    }
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
fn standing(view: &SessionView, currency: &str) -> String {
    match view {
        SessionView::Settled { receipt, .. } => format!("{}, {} paid", kwh(receipt.energy), tokens(receipt.paid, currency)),
        SessionView::Open { session, cost_so_far, energy, queue, .. } => match queue {
            Some(ticket) => {
                let when = ticket.expected_at.map(|at| format!(", about {}", time(at))).unwrap_or_default();
                format!("waiting, place {}: {}{when}", ticket.position, render::clean(&ticket.reason))
            }
            None => {
                let power = session.meter.map_or(0, |meter| meter.power.get());
                let granted = amperes(session.granted);
                format!(
                    "{power} W of {granted}, {}, {} of {}",
                    kwh(*energy),
                    tokens(*cost_so_far, currency),
                    tokens(session.escrow, currency)
                )
            }
        },
    }
}
