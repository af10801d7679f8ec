//! Contacts bounce, and a button counts only after it was held.
//!
//! One input each, told its level every few ms; it reads no pin itself. Called by [`crate::Station`].

use crate::clock::has_passed;

/// A contact must rest for so many ms before its new state counts.
const SETTLE_MS: u32 = 40;

/// A contact's settled state.
#[derive(Clone, Copy, Debug, Default)]
pub struct Debounced {
    settled: bool,
    raw: bool,
    raw_since_ms: u32,
    settled_since_ms: u32,
    fired: bool,
}

impl Debounced {
    /// An open contact.
    #[must_use]
    pub const fn new() -> Self {
        Self { settled: false, raw: false, raw_since_ms: 0, settled_since_ms: 0, fired: false }
    }

    /// Takes in the contact's present level; whether it is closed, by what has settled.
    #[cfg_attr(target_arch = "avr", inline(never))]
    pub fn update(&mut self, now_ms: u32, closed: bool) -> bool {
        if closed != self.raw {
            self.raw = closed;
            self.raw_since_ms = now_ms;
        }
        if self.raw != self.settled && has_passed(now_ms, &self.raw_since_ms, SETTLE_MS) {
            self.settled = self.raw;
            self.settled_since_ms = now_ms;
            self.fired = false;
        }
        self.settled
    }

    /// True once for every time that the contact is held closed for `hold_ms`, however long it stays so.
    pub fn held(&mut self, now_ms: u32, hold_ms: u32) -> bool {
        let held = self.settled && !self.fired && has_passed(now_ms, &self.settled_since_ms, hold_ms);
        self.fired |= held;
        held
    }
}
