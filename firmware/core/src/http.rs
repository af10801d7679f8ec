//! An HTTP answer, read byte by byte: status, length, and a body that fits the longest message of the unit protocol.
//!
//! It takes what every server says about itself in between without keeping it, and refuses whatever it does not understand: chunks, a body without a length, a
//! body longer than a message. It makes no requests. Called by [`crate::Station`].

use crate::config::CONFIG_ANSWER_LEN;
use crate::line::{Sum, digit};

/// The longest body that is kept.
pub(crate) const MAX_BODY: usize = CONFIG_ANSWER_LEN;
const PROTOCOL: Sum = Sum::of(b"http/1.");
const CONTENT_LENGTH: Sum = Sum::of(b"content-length:");
/// The name of a line is over.
const NAMED: u8 = 128;
/// The longest head that is listened to, in bytes.
const MAX_HEAD: u16 = 2_048;

/// Where an answer is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Progress {
    /// More of it is to come.
    More,
    /// It is complete: a status other than 200, or 200 with the whole body.
    Complete,
    /// It is no answer of a gateway.
    Broken,
}

/// An answer in the making.
#[derive(Clone, Debug)]
pub struct Response {
    status: u16,
    length: Option<u16>,
    head: u16,
    in_body: bool,
    /// The line's part that names it, and where in the line the next byte stands.
    line: Sum,
    place: u8,
    number: u16,
    body: [u8; MAX_BODY],
    filled: u8,
}

impl Response {
    /// Nothing has come yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { status: 0, length: None, head: 0, in_body: false, line: Sum::EMPTY, place: 0, number: 0, body: [0; MAX_BODY], filled: 0 }
    }

    /// Forgets everything, for the next answer.
    pub fn clear(&mut self) {
        self.status = 0;
        self.length = None;
        self.head = 0;
        self.in_body = false;
        self.begin_line();
        self.filled = 0;
    }

    /// Takes in a byte.
    pub fn push(&mut self, byte: u8) -> Progress {
        if self.in_body {
            if let Some(room) = self.body.get_mut(usize::from(self.filled)) {
                *room = byte;
                self.filled = self.filled.saturating_add(1);
            }
            return self.body_progress();
        }
        self.head = self.head.saturating_add(1);
        if self.head > MAX_HEAD {
            return Progress::Broken;
        }
        match byte {
            b'\r' => {}
            b'\n' => return self.line_ends(),
            _ => {
                // `HTTP/1.1 200`, or a name up to its colon and a number.
                let is_name = if self.status == 0 { self.place < 7 } else { self.place < NAMED };
                if is_name {
                    self.line.add(byte.to_ascii_lowercase());
                } else if self.status != 0 || matches!(self.place, 9..=11) {
                    digit(&mut self.number, byte);
                }
                self.place = self.place.saturating_add(1);
                if self.status != 0 && byte == b':' && is_name {
                    self.place = NAMED;
                }
            }
        }
        Progress::More
    }

    /// The status; 0 before its line was complete.
    #[must_use]
    pub const fn status(&self) -> u16 {
        self.status
    }

    /// The body, as far as it has come.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        self.body.get(..usize::from(self.filled)).unwrap_or_default()
    }

    fn line_ends(&mut self) -> Progress {
        let (line, number, is_empty) = (self.line, self.number, self.place == 0);
        self.begin_line();
        if self.status == 0 {
            if line != PROTOCOL || number == 0 {
                return Progress::Broken;
            }
            self.status = number;
        } else if is_empty {
            self.in_body = true;
            return self.body_progress();
        } else if line == CONTENT_LENGTH {
            self.length = Some(number);
        }
        Progress::More
    }

    fn begin_line(&mut self) {
        self.line = Sum::EMPTY;
        self.place = 0;
        self.number = 0;
    }

    fn body_progress(&self) -> Progress {
        if self.status != 200 {
            return Progress::Complete;
        }
        match self.length {
            Some(length) if usize::from(length) > MAX_BODY => Progress::Broken,
            Some(length) if u16::from(self.filled) == length => Progress::Complete,
            Some(_) => Progress::More,
            None => Progress::Broken,
        }
    }
}

impl Default for Response {
    fn default() -> Self {
        Self::new()
    }
}
