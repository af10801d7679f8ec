//! The ESP8266's AT commands as a state machine: joins the network, opens one connection at a time, and hands out what arrives on it.
//!
//! It is given every byte from the modem and asked every few ms what to do next; it writes nothing itself, waits for nothing, and takes every answer in any
//! order, because modems restart and networks go when they like. It knows no HTTP and no secret. (ESP8266 AT Instruction Set, Espressif, version 2: `ATE`,
//! `CWMODE_CUR`, `CWDHCP_CUR`, `CIPSTA_CUR`, `CWJAP_CUR`, `CIPSTART`, `CIPSEND`, `CIPCLOSE`, `RST`, `+IPD`.) Called by [`crate::Station`].

const OK: Sum = Sum::of(b"OK");
const SEND_OK: Sum = Sum::of(b"SEND OK");
const ERROR: Sum = Sum::of(b"ERROR");
const FAIL: Sum = Sum::of(b"FAIL");
const SEND_FAIL: Sum = Sum::of(b"SEND FAIL");
const CLOSED: Sum = Sum::of(b"CLOSED");
const RESTARTED: Sum = Sum::of(b"ready");
const NETWORK_LOST: Sum = Sum::of(b"WIFI DISCONNECT");
const PAYLOAD: Sum = Sum::of(b"+IPD,");
use crate::clock::has_passed;
use crate::line::{Sum, digit};

/// So many attempts of one step that fail in a row restart the modem.
const ATTEMPTS: u8 = 3;

/// A line to be written to the modem.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Command {
    /// `ATE0`
    EchoOff,
    /// `AT+CWMODE_CUR=1`
    StationMode,
    /// `AT+CWDHCP_CUR` or `AT+CIPSTA_CUR`, as the configuration has it.
    Address,
    /// `AT+CWJAP_CUR` with the network's name and secret.
    Join,
    /// `AT+CIPSTART` with the server.
    Connect,
    /// `AT+CIPSEND` with the length of the request.
    Announce,
    /// `AT+CIPCLOSE`
    Close,
    /// `AT+RST`
    Reset,
}

/// What the modem's state asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// Write this line.
    Write(Command),
    /// Write the request, all of it and nothing else.
    WriteRequest,
    /// A byte of the answer.
    Payload(u8),
    /// The other end has closed, or the connection is lost: no more of the answer comes.
    Ended,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// After a restart or a failure; then from the beginning.
    Resting,
    Waking,
    Mode,
    Addressing,
    Joining,
    /// In the network, without a connection.
    Idle,
    Connecting,
    Announcing,
    Sending,
    Answering,
    /// The answer is complete; the other end is about to close.
    Draining,
    Closing,
}

/// The state of the modem and of its one connection.
#[derive(Clone, Debug)]
pub struct Modem {
    state: State,
    since_ms: u32,
    /// The command that this state begins with was not yet written.
    fresh: bool,
    failures: u8,
    /// The line so far, without its digits, and the number that they make.
    line: Sum,
    number: u16,
    /// Bytes of a payload that are still to come.
    payload: u16,
}

impl Modem {
    /// A modem of which nothing is known.
    #[must_use]
    pub const fn new() -> Self {
        Self { state: State::Resting, since_ms: 0, fresh: false, failures: 0, line: Sum::EMPTY, number: 0, payload: 0 }
    }

    /// Whether a connection can be opened.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.state == State::Idle
    }

    /// Opens a connection; only while [`Modem::is_idle`].
    pub fn open(&mut self, now_ms: u32) {
        self.enter(State::Connecting, now_ms);
    }

    /// The request was written.
    pub fn written(&mut self, now_ms: u32) {
        self.enter(State::Sending, now_ms);
    }

    /// The answer is complete, or nobody waits for it any more.
    pub fn close(&mut self, now_ms: u32) {
        match self.state {
            State::Sending | State::Answering => self.enter(State::Draining, now_ms),
            State::Connecting | State::Announcing => self.enter(State::Closing, now_ms),
            State::Resting
            | State::Waking
            | State::Mode
            | State::Addressing
            | State::Joining
            | State::Idle
            | State::Draining
            | State::Closing => {}
        }
    }

    /// Joins again with the address of another configuration.
    pub fn rejoin(&mut self, now_ms: u32) {
        self.enter(State::Waking, now_ms);
    }

    /// What is to be done now; to be called every few ms.
    pub fn poll(&mut self, now_ms: u32) -> Option<Action> {
        if self.fresh {
            self.fresh = false;
            let command = match self.state {
                State::Waking => Command::EchoOff,
                State::Mode => Command::StationMode,
                State::Addressing => Command::Address,
                State::Joining => Command::Join,
                State::Connecting => Command::Connect,
                State::Announcing => Command::Announce,
                State::Closing => Command::Close,
                State::Resting | State::Idle | State::Sending | State::Answering | State::Draining => return None,
            };
            return Some(Action::Write(command));
        }
        let limit_ms: u32 = match self.state {
            State::Idle => return None,
            State::Waking | State::Mode | State::Addressing | State::Draining | State::Closing => 1_000,
            State::Announcing => 3_000,
            State::Resting | State::Sending => 5_000,
            State::Connecting | State::Answering => 10_000,
            State::Joining => 25_000,
        };
        if !has_passed(now_ms, &self.since_ms, limit_ms) {
            return None;
        }
        match self.state {
            State::Resting => {
                self.enter(State::Waking, now_ms);
                None
            }
            State::Draining => {
                self.enter(State::Closing, now_ms);
                None
            }
            State::Waking
            | State::Mode
            | State::Addressing
            | State::Joining
            | State::Idle
            | State::Connecting
            | State::Announcing
            | State::Sending
            | State::Answering
            | State::Closing => self.failed(now_ms),
        }
    }

    /// Takes in a byte from the modem.
    #[cfg_attr(target_arch = "avr", inline(never))]
    pub fn receive(&mut self, now_ms: u32, byte: u8) -> Option<Action> {
        if self.payload > 0 {
            self.payload = self.payload.saturating_sub(1);
            let wanted = matches!(self.state, State::Sending | State::Answering);
            return wanted.then_some(Action::Payload(byte));
        }
        match byte {
            b'\r' => None,
            b'\n' => self.line_ends(now_ms),
            b'>' if self.line == Sum::EMPTY && self.state == State::Announcing => Some(Action::WriteRequest),
            // After the prompt comes a blank, which begins no line.
            b' ' if self.line == Sum::EMPTY => None,
            // `+IPD,123:` announces so many bytes, in the middle of whatever else is said.
            b':' if self.line == PAYLOAD => {
                self.payload = self.number;
                self.begin_line();
                None
            }
            _ => {
                if !digit(&mut self.number, byte) {
                    self.line.add(byte);
                }
                None
            }
        }
    }

    fn begin_line(&mut self) {
        self.line = Sum::EMPTY;
        self.number = 0;
    }

    #[cfg_attr(target_arch = "avr", inline(never))]
    fn line_ends(&mut self, now_ms: u32) -> Option<Action> {
        let line = self.line;
        self.begin_line();
        let state = self.state;
        if line == OK {
            let next = match state {
                State::Waking => State::Mode,
                State::Mode => State::Addressing,
                State::Addressing => State::Joining,
                State::Joining | State::Closing => State::Idle,
                State::Connecting => State::Announcing,
                State::Resting | State::Idle | State::Announcing | State::Sending | State::Answering | State::Draining => return None,
            };
            self.failures = 0;
            self.enter(next, now_ms);
        } else if line == SEND_OK && state == State::Sending {
            self.enter(State::Answering, now_ms);
        } else if line == ERROR || line == FAIL || line == SEND_FAIL {
            match state {
                // Closing a connection that is closed already is an error, and as good.
                State::Closing => self.enter(State::Idle, now_ms),
                // A late word about a command that nobody waits for.
                State::Resting | State::Idle | State::Answering | State::Draining => {}
                State::Waking
                | State::Mode
                | State::Addressing
                | State::Joining
                | State::Connecting
                | State::Announcing
                | State::Sending => return self.failed(now_ms),
            }
        } else if line == CLOSED {
            if self.is_exchanging() {
                return self.begin_again(State::Idle, now_ms);
            }
            if matches!(state, State::Draining | State::Closing) {
                self.enter(State::Idle, now_ms);
            }
        } else if line == RESTARTED {
            return self.begin_again(State::Waking, now_ms);
        } else if line == NETWORK_LOST
            && !matches!(state, State::Resting | State::Waking | State::Mode | State::Addressing | State::Joining)
        {
            // Joining says so as well, when it leaves the network before.
            return self.begin_again(State::Resting, now_ms);
        }
        None
    }

    #[cfg_attr(target_arch = "avr", inline(never))]
    fn failed(&mut self, now_ms: u32) -> Option<Action> {
        self.failures = self.failures.saturating_add(1);
        let ended = self.is_exchanging();
        if self.failures >= ATTEMPTS {
            self.failures = 0;
            self.enter(State::Resting, now_ms);
            return Some(Action::Write(Command::Reset));
        }
        self.enter(if ended { State::Closing } else { State::Resting }, now_ms);
        ended.then_some(Action::Ended)
    }

    fn begin_again(&mut self, state: State, now_ms: u32) -> Option<Action> {
        let ended = self.is_exchanging();
        self.enter(state, now_ms);
        ended.then_some(Action::Ended)
    }

    /// Whether a connection is being opened, or is open.
    #[must_use]
    pub fn is_exchanging(&self) -> bool {
        matches!(self.state, State::Connecting | State::Announcing | State::Sending | State::Answering)
    }

    #[cfg_attr(target_arch = "avr", inline(never))]
    fn enter(&mut self, state: State, now_ms: u32) {
        self.state = state;
        self.since_ms = now_ms;
        self.fresh = true;
    }
}

impl Default for Modem {
    fn default() -> Self {
        Self::new()
    }
}
