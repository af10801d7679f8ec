//! The demo on a terminal: who charges, who waits and why, and where the money is; elsewhere a line for each event.
//!
//! It only shows: everything comes from a [`Garage`] and its [`Happening`]s. `demo` calls it.

use std::{
    collections::VecDeque,
    io::{self, IsTerminal as _, Stdout, Write as _},
    sync::OnceLock,
};

use chain::quantity::Amount;
use cli::describe::end_reason;
use crossterm::{
    QueueableCommand as _,
    cursor::MoveUp,
    style::Stylize as _,
    terminal::{Clear, ClearType, DisableLineWrap, EnableLineWrap},
};
use jiff::{
    Timestamp,
    tz::{TimeZone, TimeZoneDatabase},
};

use crate::drive::{Garage, Happening, Phase, Place, Stay};

/// Events that stay visible under the table.
const LAST_EVENTS: usize = 6;

/// Names are cut to so many characters.
const NAME_WIDTH: usize = 8;

/// How the demo is shown.
#[derive(Debug)]
pub struct View {
    out: Stdout,
    live: bool,
    drawn: u16,
    events: VecDeque<String>,
    paid: u64,
    refunded: u64,
}

impl Default for View {
    fn default() -> Self {
        Self::new()
    }
}

impl View {
    /// A live view where standard output is a terminal, lines elsewhere.
    #[must_use]
    pub fn new() -> Self {
        let out = io::stdout();
        let live = out.is_terminal();
        Self { out, live, drawn: 0, events: VecDeque::new(), paid: 0, refunded: 0 }
    }

    /// Whether somebody watches as it happens.
    #[must_use]
    pub const fn is_live(&self) -> bool {
        self.live
    }

    /// Shows what happened.
    ///
    /// # Errors
    /// The terminal's.
    pub fn show(&mut self, garage: &Garage, happening: &Happening) -> io::Result<()> {
        if let Happening::Settled { receipt, .. } = happening {
            self.paid += receipt.paid.micro();
            self.refunded += receipt.refund.micro();
        }
        if let Some(text) = event_text(garage, happening) {
            let line = format!("{}  {text}", time(garage.now_ms));
            if !self.live {
                return writeln!(self.out, "{line}");
            }
            self.events.push_back(line);
            while self.events.len() > LAST_EVENTS {
                self.events.pop_front();
            }
        }
        match happening {
            Happening::Moment if self.live => self.draw(garage),
            Happening::Moment
            | Happening::Opened { .. }
            | Happening::Granted { .. }
            | Happening::Paused { .. }
            | Happening::Stopping { .. }
            | Happening::Settled { .. }
            | Happening::Left { .. } => Ok(()),
        }
    }

    fn draw(&mut self, garage: &Garage) -> io::Result<()> {
        let mut lines = vec![self.head(garage), String::new()];
        lines.extend(garage.places.iter().map(|place| row(garage, place)));
        lines.push(String::new());
        lines.extend(self.events.iter().map(|line| line.as_str().dim().to_string()));
        if self.drawn > 0 {
            self.out.queue(MoveUp(self.drawn))?;
        }
        // A line that wrapped would make the picture taller than what the next one goes back over.
        self.out.queue(Clear(ClearType::FromCursorDown))?.queue(DisableLineWrap)?;
        for line in &lines {
            writeln!(self.out, "{line}")?;
        }
        self.out.queue(EnableLineWrap)?;
        self.drawn = u16::try_from(lines.len()).unwrap_or(0);
        self.out.flush()
    }

    fn head(&self, garage: &Garage) -> String {
        let held: u64 = garage.places.iter().filter_map(|place| place.stay).filter(is_open).map(|stay| stay.escrow.micro()).sum();
        let power_w: u32 = garage.places.iter().map(|place| place.unit.power_w(garage.now_ms)).sum();
        format!(
            "{}   {}   block {}   held {}   paid {}   refunded {}",
            time(garage.now_ms).bold(),
            format!("{:.1} kW", f64::from(power_w) / 1_000.0).bold(),
            garage.height,
            tokens(held),
            tokens(self.paid),
            tokens(self.refunded)
        )
    }
}

fn is_open(stay: &Stay) -> bool {
    match stay.phase {
        Phase::Opening | Phase::Queued | Phase::Charging | Phase::Paused | Phase::Stopping => true,
        Phase::Settled => false,
    }
}

fn row(garage: &Garage, place: &Place) -> String {
    let name = format!("{:NAME_WIDTH$}", place.name);
    let connector = format!("{:>5}", place.connector.to_string());
    let Some(stay) = place.stay else { return format!("{connector}  {name}").dim().to_string() };
    let kwh = format!("{:6.2} kWh", wh(place.unit.drawn_wh(garage.now_ms)));
    let locked = tokens(stay.escrow.micro());
    let text = match stay.phase {
        Phase::Opening => "opens".to_owned(),
        Phase::Queued => {
            let ticket = garage.queue.iter().find(|ticket| Some(ticket.session) == stay.session);
            format!("waits            {:10}  {locked:>7} locked  {}", "", ticket.map_or("", |ticket| ticket.reason.as_str()))
                .yellow()
                .to_string()
        }
        Phase::Charging => {
            let kw = f64::from(place.unit.power_w(garage.now_ms)) / 1_000.0;
            format!("charges {kw:4.1} kW  {kwh}  {locked:>7} locked").green().to_string()
        }
        Phase::Paused => format!("paused           {kwh}  {locked:>7} locked"),
        Phase::Stopping => format!("stopping         {kwh}  {locked:>7} locked"),
        Phase::Settled => {
            let bill = garage.fates[stay.visit].receipt.map_or_else(String::new, |receipt| {
                format!(
                    "{:>7} paid, {} back ({})",
                    tokens(receipt.paid.micro()),
                    tokens(receipt.refund.micro()),
                    end_reason(receipt.reason)
                )
            });
            format!("done             {kwh}  {bill}")
        }
    };
    format!("{connector}  {name}  {text}")
}

/// What happened, in words; nothing for what is not worth a line.
fn event_text(garage: &Garage, happening: &Happening) -> Option<String> {
    let who = |visit: usize| garage.people[garage.visits[visit].person].name.as_str();
    Some(match happening {
        Happening::Opened { visit, escrow } => format!("{} plugs in and locks {}", who(*visit), tokens(escrow.micro())),
        Happening::Granted { visit, current_ma, first } => {
            let amperes: Vec<_> = current_ma.iter().map(|ma| (ma / 1_000).to_string()).collect();
            let waited = if *first && garage.visits[*visit].source.plug_in_ms < garage.now_ms { " after waiting" } else { "" };
            format!("{} may draw {} A{waited}", who(*visit), amperes.join("/"))
        }
        Happening::Paused { visit } => format!("{} is paused", who(*visit)),
        Happening::Stopping { visit, reason: why } => format!("{} is over: {}", who(*visit), end_reason(*why)),
        Happening::Settled { visit, receipt } => format!(
            "{} pays {} for {:.2} kWh and gets {} back ({})",
            who(*visit),
            tokens(receipt.paid.micro()),
            wh(receipt.energy.get()),
            tokens(receipt.refund.micro()),
            end_reason(receipt.reason)
        ),
        Happening::Left { visit } => format!("{} drives away", who(*visit)),
        Happening::Moment => return None,
    })
}

/// Tokens with their decimals.
#[must_use]
pub fn tokens(micro: u64) -> String {
    Amount::from_micro(micro).to_string()
}

fn wh(wh: u64) -> f64 {
    let whole = u32::try_from(wh).unwrap_or(u32::MAX);
    f64::from(whole) / 1_000.0
}

/// The time of day in the garage.
#[must_use]
pub fn time(ms: u64) -> String {
    local(ms, "%H:%M:%S")
}

/// Day and time in the garage.
#[must_use]
pub fn date_time(ms: u64) -> String {
    local(ms, "%Y-%m-%d %H:%M")
}

fn local(ms: u64, format: &str) -> String {
    let at = i64::try_from(ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok()).unwrap_or_default();
    at.to_zoned(oslo().clone()).strftime(format).to_string()
}

/// Read once: reading a zone's rules takes longer than anything else that is shown.
fn oslo() -> &'static TimeZone {
    static OSLO: OnceLock<TimeZone> = OnceLock::new();
    OSLO.get_or_init(|| TimeZoneDatabase::bundled().get("Europe/Oslo").expect("the time-zone rules are compiled in and hold Europe/Oslo"))
}
