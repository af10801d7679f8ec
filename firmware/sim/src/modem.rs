//! An ESP8266 with its AT firmware (Espressif, ESP8266 AT Instruction Set, version 2): joins a network, and opens real TCP connections.
//!
//! A request is sent over a real socket as soon as it is complete; emulated time stands still until the answer is. The scenario may then hold it back, change it
//! or lose it, restart the modem, or take the network away.

use std::{
    collections::VecDeque,
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use crate::CYCLES_PER_MS;

/// Between two bytes at 115,200 baud.
pub const BYTE: u64 = 1_389;
/// How long a real answer may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where requests go.
pub trait Uplink {
    /// Sends a request at an emulated time and waits for the whole answer; an error is a connection that cannot be opened.
    fn exchange(&mut self, now_ms: u64, host: &str, port: u16, request: &[u8]) -> io::Result<Vec<u8>>;
}

/// Sends a request over a connection of its own and reads until the other end closes.
///
/// # Errors
/// The socket's.
pub fn over_tcp(to: SocketAddr, request: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(to)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(request)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer)
}

/// What becomes of an answer on its way to the unit.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The bytes; none: it never comes.
    pub bytes: Option<Vec<u8>>,
    /// How long it takes, ms.
    pub delay_ms: u64,
}

/// What happens to the answers of a scenario: the number of the exchange, from 1, and the answer.
pub type Meddler = Box<dyn FnMut(u32, &[u8]) -> Delivery>;

/// The modem.
pub struct Modem {
    /// The network's name and secret.
    pub network: (String, String),
    /// Whether the network is there.
    pub in_reach: bool,
    /// How many exchanges there were.
    pub exchanges: u32,
    /// Every request that was sent.
    pub requests: Vec<Vec<u8>>,
    /// Lines from the unit, without secrets: for scenarios that ask what was set.
    pub lines: Vec<String>,
    uplink: Box<dyn Uplink>,
    meddler: Meddler,
    joined: bool,
    to_unit: VecDeque<(u64, u8)>,
    line: Vec<u8>,
    server: Option<(String, u16)>,
    expected: usize,
    request: Vec<u8>,
    free_at: u64,
}

impl std::fmt::Debug for Modem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Modem").field("exchanges", &self.exchanges).finish_non_exhaustive()
    }
}

impl Modem {
    /// A modem that has just been switched on, in reach of the network that the unit is provisioned for.
    #[must_use]
    pub fn new(uplink: Box<dyn Uplink>) -> Self {
        Self {
            network: ("garage".to_owned(), "a secret of the garage".to_owned()),
            in_reach: true,
            exchanges: 0,
            requests: Vec::new(),
            lines: Vec::new(),
            uplink,
            meddler: Box::new(|_, answer| Delivery { bytes: Some(answer.to_vec()), delay_ms: 20 }),
            joined: false,
            to_unit: VecDeque::new(),
            line: Vec::new(),
            server: None,
            expected: 0,
            request: Vec::new(),
            free_at: 0,
        }
    }

    /// From now on answers pass through here.
    pub fn meddle(&mut self, meddler: impl FnMut(u32, &[u8]) -> Delivery + 'static) {
        self.meddler = Box::new(meddler);
    }

    /// The network goes away or comes back.
    pub fn set_in_reach(&mut self, in_reach: bool, cycle: u64) {
        self.in_reach = in_reach;
        if !in_reach && self.joined {
            self.joined = false;
            self.server = None;
            self.say(cycle, 1, "WIFI DISCONNECT\r\n");
        }
    }

    /// The modem restarts by itself.
    pub fn restart(&mut self, cycle: u64) {
        self.to_unit.clear();
        self.line.clear();
        self.expected = 0;
        self.request.clear();
        self.server = None;
        self.joined = false;
        self.say(cycle, 300, "\r\n ets Jan  8 2013,rst cause:1, boot mode:(3,7)\r\nready\r\n");
    }

    /// Takes in a byte from the unit.
    pub fn sent(&mut self, byte: u8, cycle: u64) {
        if self.expected > 0 {
            self.request.push(byte);
            self.expected -= 1;
            if self.expected == 0 {
                self.exchange(cycle);
            }
            return;
        }
        self.line.push(byte);
        if self.line.ends_with(b"\r\n") {
            let line = String::from_utf8_lossy(&std::mem::take(&mut self.line)).trim().to_owned();
            self.command(&line, cycle);
        }
    }

    /// The byte that arrives at the unit now, if there is one, and when to look again.
    pub fn next_byte(&mut self, cycle: u64) -> (Option<u8>, u64) {
        let due = self.to_unit.front().is_some_and(|(at, _)| *at <= cycle) && self.free_at <= cycle;
        let byte = if due { self.to_unit.pop_front().map(|(_, byte)| byte) } else { None };
        if byte.is_some() {
            self.free_at = cycle + BYTE;
        }
        (byte, self.to_unit.front().map_or(u64::MAX, |(at, _)| (*at).max(self.free_at)))
    }

    fn say(&mut self, cycle: u64, after_ms: u64, text: &str) {
        self.say_bytes(cycle, after_ms, text.as_bytes());
    }

    fn say_bytes(&mut self, cycle: u64, after_ms: u64, bytes: &[u8]) {
        let last = self.to_unit.back().map_or(0, |(at, _)| *at);
        let at = (cycle + after_ms * CYCLES_PER_MS).max(last);
        self.to_unit.extend(bytes.iter().map(|byte| (at, *byte)));
    }

    fn command(&mut self, line: &str, cycle: u64) {
        let shown = line.split("CWJAP").next().unwrap_or(line);
        self.lines.push(shown.to_owned());
        let (ssid, passphrase) = &self.network;
        let quoted: Vec<&str> = line.split('"').skip(1).step_by(2).collect();
        if line == "ATE0" || line.starts_with("AT+CWMODE_CUR=") || line.starts_with("AT+CWDHCP_CUR=") || line.starts_with("AT+CIPSTA_CUR=")
        {
            self.say(cycle, 2, "\r\nOK\r\n");
        } else if line.starts_with("AT+CWJAP_CUR=") {
            if !self.in_reach || quoted != [ssid, passphrase] {
                return self.say(cycle, 3_000, "+CWJAP:3\r\n\r\nFAIL\r\n");
            }
            self.joined = true;
            self.say(cycle, 1_500, "WIFI CONNECTED\r\n");
            self.say(cycle, 2_000, "WIFI GOT IP\r\n\r\nOK\r\n");
        } else if line.starts_with("AT+CIPSTART=") {
            let port = line.rsplit(',').next().and_then(|port| port.parse().ok());
            match (self.joined, quoted.get(1), port) {
                (true, Some(host), Some(port)) => {
                    self.server = Some(((*host).to_owned(), port));
                    self.say(cycle, 10, "CONNECT\r\n\r\nOK\r\n");
                }
                _ => self.say(cycle, 10, "no ip\r\nERROR\r\n"),
            }
        } else if let Some(length) = line.strip_prefix("AT+CIPSEND=") {
            match (&self.server, length.parse()) {
                (Some(_), Ok(length)) => {
                    self.expected = length;
                    self.say(cycle, 2, "\r\nOK\r\n> ");
                }
                _ => self.say(cycle, 2, "link is not valid\r\n\r\nERROR\r\n"),
            }
        } else if line == "AT+CIPCLOSE" {
            let text = if self.server.take().is_some() { "CLOSED\r\n\r\nOK\r\n" } else { "\r\nERROR\r\n" };
            self.say(cycle, 2, text);
        } else if line == "AT+RST" {
            self.say(cycle, 2, "\r\nOK\r\n");
            self.restart(cycle);
        } else if !line.is_empty() {
            self.say(cycle, 2, "\r\nERROR\r\n");
        }
    }

    fn exchange(&mut self, cycle: u64) {
        let request = std::mem::take(&mut self.request);
        self.say(cycle, 5, &format!("\r\nRecv {} bytes\r\n\r\nSEND OK\r\n", request.len()));
        let Some((host, port)) = self.server.clone() else { return };
        self.exchanges += 1;
        self.requests.push(request.clone());
        let Ok(answer) = self.uplink.exchange(cycle / CYCLES_PER_MS, &host, port, &request) else {
            self.server = None;
            return self.say(cycle, 30, "CLOSED\r\n");
        };
        let Delivery { bytes, delay_ms } = (self.meddler)(self.exchanges, &answer);
        let Some(bytes) = bytes else { return };
        for part in bytes.chunks(1_460) {
            self.say(cycle, 5 + delay_ms, &format!("\r\n+IPD,{}:", part.len()));
            self.say_bytes(cycle, 5 + delay_ms, part);
        }
        self.server = None;
        self.say(cycle, 10 + delay_ms, "CLOSED\r\n");
    }
}
