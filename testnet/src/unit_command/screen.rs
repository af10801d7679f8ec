//! What `watt-testnet unit` shows: a line for each event, and how far the charge is, as a bar on a terminal and as a line every few seconds elsewhere.
//!
//! It only shows. Called by [`super`].

use std::{
    io::{self, IsTerminal as _, Stdout, Write as _},
    time::{Duration, Instant},
};

use crossterm::{
    QueueableCommand as _,
    terminal::{Clear, ClearType},
};

/// Where nobody watches, how often a charge is told.
const TOLD_EVERY: Duration = Duration::from_secs(5);

/// The width of a bar.
const BAR_WIDTH: u64 = 24;

/// Standard output.
#[derive(Debug)]
pub struct Screen {
    out: Stdout,
    is_terminal: bool,
    began: Instant,
    /// The line at the cursor is a bar that the next line replaces.
    has_bar: bool,
    told: Option<Instant>,
}

impl Screen {
    /// From now on.
    pub fn new() -> Self {
        let out = io::stdout();
        let is_terminal = out.is_terminal();
        Self { out, is_terminal, began: Instant::now(), has_bar: false, told: None }
    }

    /// Something happened.
    ///
    /// # Errors
    /// The terminal's.
    pub fn say(&mut self, text: &str) -> io::Result<()> {
        self.end_bar()?;
        writeln!(self.out, "{}  {text}", self.time())?;
        self.out.flush()
    }

    /// How far the charge is; the `last` word stays.
    ///
    /// # Errors
    /// The terminal's.
    pub fn charge(&mut self, power_w: u32, drawn_wh: u64, wanted_wh: u64, last: bool) -> io::Result<()> {
        let line = format!("{}  {power_w:>6} W  {drawn_wh:>6} Wh", self.time());
        if self.is_terminal {
            write!(self.out, "\r{line}  {}", bar(drawn_wh, wanted_wh))?;
            self.out.queue(Clear(ClearType::UntilNewLine))?;
            self.has_bar = true;
            self.out.flush()?;
            return if last { self.end_bar() } else { Ok(()) };
        }
        if last || self.told.is_none_or(|told| told.elapsed() >= TOLD_EVERY) {
            self.told = Some(Instant::now());
            writeln!(self.out, "{line}")?;
        }
        self.out.flush()
    }

    fn end_bar(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.has_bar) { writeln!(self.out) } else { Ok(()) }
    }

    /// Seconds since the unit was switched on.
    fn time(&self) -> String {
        format!("{:>4} s", self.began.elapsed().as_secs())
    }
}

fn bar(drawn_wh: u64, wanted_wh: u64) -> String {
    let share = |of: u64| u64::try_from(u128::from(drawn_wh.min(wanted_wh)) * u128::from(of) / u128::from(wanted_wh.max(1))).unwrap_or(of);
    let filled = share(BAR_WIDTH);
    let signs: String = (0..BAR_WIDTH).map(|place| if place < filled { '█' } else { '░' }).collect();
    format!("{signs} {:>3} %", share(100))
}

#[cfg(test)]
mod tests {
    use super::bar;

    #[test]
    fn a_bar_is_as_long_as_its_share_and_never_longer() {
        assert_eq!(bar(0, 500), format!("{}   0 %", "░".repeat(24)));
        assert_eq!(bar(250, 500), format!("{}{}  50 %", "█".repeat(12), "░".repeat(12)));
        assert_eq!(bar(600, 500), format!("{} 100 %", "█".repeat(24)));
        assert_eq!(bar(0, 0), format!("{}   0 %", "░".repeat(24)));
    }
}
