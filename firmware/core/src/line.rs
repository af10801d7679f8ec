//! Recognises the few lines that matter among those of a modem and of an HTTP server, without keeping them.
//!
//! A line is compared by two sums of eight bits over it: comparing text would cost the unit's flash a kB, keeping it some memory. Another line with the same sums would
//! be taken for it, which can delay an answer and nothing else: what an answer says is authenticated. Called by `modem` and `http`.

/// The sum of what a line has said so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Sum(u8, u8);

impl Sum {
    /// Of nothing.
    pub(crate) const EMPTY: Self = Self(0, 0);

    /// Of a text.
    pub(crate) const fn of(text: &[u8]) -> Self {
        let mut sum = Self::EMPTY;
        let mut rest = text;
        while let [first, more @ ..] = rest {
            sum.add(*first);
            rest = more;
        }
        sum
    }

    /// Takes a byte in.
    pub(crate) const fn add(&mut self, byte: u8) {
        // The second sum counts each byte as often as there are places behind it, so that order matters.
        self.0 = self.0.wrapping_add(byte);
        self.1 = self.1.wrapping_add(self.0);
    }
}

/// Takes a decimal digit into a number; beyond sixteen bits it is wrong, but never zero by overflow alone, and a wrong length is refused.
pub(crate) const fn digit(number: &mut u16, byte: u8) -> bool {
    let digit = byte.wrapping_sub(b'0');
    if digit > 9 {
        return false;
    }
    *number = number.saturating_mul(10).saturating_add(digit as u16);
    true
}
