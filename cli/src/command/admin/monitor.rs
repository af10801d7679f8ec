//! `watt admin monitor`.

use ::chain::api::{FoundView, MonitorView, RelayView, SampleView};
use clap::Args;

use crate::{
    command::{CommandError, Context},
    csv::{self, Cell, Csv},
    describe,
    quantity::{kwh, time},
    render::Rows,
};

/// Show what the node's gateway sees at its connectors, and what is wrong
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  watt admin monitor
  watt admin monitor --output json

NEEDS and LEAVES are estimates from the driver's own charges before, where there are three or more: the middle of what they brought, and a time before which a quarter
of them were over. WRONG is the last that was found since the gateway was started; a fault that keeps a connector out of use stands in `watt admin connector list`.")]
pub struct Monitor {}

impl Monitor {
    pub(super) async fn run(self, context: &Context) -> Result<(), CommandError> {
        let seen = context.client().monitor().await?;
        context.put_list(
            &seen,
            || {
                let columns = ["CONNECTOR", "HEARD", "RELAY", "POWER", "TEMPERATURE", "REGISTER", "SESSION", "NEEDS", "LEAVES", "WRONG"];
                let mut rows = Rows::new(&columns, "This node runs no gateway, or its gateway has no units.");
                for view in &seen {
                    rows.push(row(view));
                }
                rows.text()
            },
            || table(&seen),
        )
    }
}

fn table(seen: &[MonitorView]) -> Csv {
    let mut csv = Csv::new(&[
        "connector",
        "heard_at",
        "sampled_at",
        "relay",
        "power_w",
        "current_l1_ma",
        "current_l2_ma",
        "current_l3_ma",
        "temperature_dc",
        "register_wh",
        "session",
        "needs_wh",
        "leaves_at",
        "wrong",
        "wrong_at",
    ]);
    for view in seen {
        let sample = view.sample.as_ref();
        let estimate = view.estimate.as_ref();
        let found = view.found.first();
        let head = [
            csv::text(view.connector),
            csv::some(view.heard_at, csv::at),
            csv::some(sample, |sample| csv::at(sample.at)),
            csv::some(sample, |sample| csv::text(relay(sample.relay))),
            csv::some(sample, |sample| csv::number(sample.power_w.get())),
        ];
        let current = sample.map_or([Cell::Empty, Cell::Empty, Cell::Empty], |sample| csv::ma(sample.current));
        let tail = [
            csv::some(sample.and_then(|sample| sample.temperature_dc), tenths),
            csv::some(sample, |sample| csv::wh(sample.register)),
            csv::some(view.session, csv::text),
            csv::some(estimate, |estimate| csv::wh(estimate.energy)),
            csv::some(estimate.and_then(|estimate| estimate.leaves_at), csv::at),
            csv::some(found, |found| csv::word(&found.fault)),
            csv::some(found, |found| csv::at(found.at)),
        ];
        csv.push(head.into_iter().chain(current).chain(tail));
    }
    csv
}

/// Tenths of a degree; below zero as text, because cells count from zero.
fn tenths(dc: i16) -> Cell {
    u16::try_from(dc).map_or_else(|_| csv::text(dc), csv::number)
}

fn row(view: &MonitorView) -> [String; 10] {
    let nothing = || "-".to_owned();
    let of_sample = |text: fn(&SampleView) -> Option<String>| view.sample.as_ref().and_then(text).unwrap_or_else(nothing);
    let estimate = view.estimate.as_ref();
    [
        view.connector.to_string(),
        view.heard_at.map_or_else(|| "never".to_owned(), time),
        of_sample(|sample| Some(relay(sample.relay).to_owned())),
        of_sample(|sample| Some(format!("{} W", sample.power_w.get()))),
        of_sample(|sample| sample.temperature_dc.map(celsius)),
        of_sample(|sample| Some(kwh(sample.register))),
        view.session.map_or_else(nothing, |session| session.to_string().chars().take(12).collect()),
        estimate.map_or_else(nothing, |estimate| kwh(estimate.energy)),
        estimate.and_then(|estimate| estimate.leaves_at).map_or_else(nothing, time),
        view.found.first().map_or_else(nothing, |FoundView { fault, at, .. }| format!("{}, {}", describe::fault(*fault), time(*at))),
    ]
}

const fn relay(relay: RelayView) -> &'static str {
    match relay {
        RelayView::None => "none",
        RelayView::Open => "open",
        RelayView::Closed => "closed",
    }
}

/// Tenths of a degree.
fn celsius(tenths: i16) -> String {
    let sign = if tenths < 0 { "-" } else { "" };
    format!("{sign}{}.{} C", tenths.unsigned_abs() / 10, tenths.unsigned_abs() % 10)
}

#[cfg(test)]
mod tests {
    use super::celsius;

    #[test]
    fn a_temperature_has_its_sign_also_between_zero_and_one() {
        for (tenths, text) in [(253, "25.3 C"), (-5, "-0.5 C"), (-123, "-12.3 C"), (0, "0.0 C"), (i16::MIN, "-3276.8 C")] {
            assert_eq!(celsius(tenths), text);
        }
    }
}
