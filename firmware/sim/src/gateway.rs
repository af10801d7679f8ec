//! A small gateway over real TCP, for scenarios: it speaks the unit protocol with `firmware-core` and grants what the scenario says.
//!
//! The real one, in `wattd`, is in the end-to-end test; here a lease can be one that it would never give.

use std::{
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex, MutexGuard},
    thread,
    time::Duration,
};

use firmware_core::{
    CONFIG_REQUEST_LEN, CardOutcome, Config, ConfigRequest, Grant, Host, Keys, Network, Presented, ProtocolError, Readings, ReadingsAnswer,
    Sample, Seen, decode_hex, device_of,
};

use crate::{
    modem::{Uplink, over_tcp},
    unit::{DEVICE, KEY},
};

/// The time of day at which a unit's power comes, ms.
pub const START_MS: u64 = 1_768_579_200_000;

/// What the gateway knows and does.
#[derive(Debug)]
pub struct State {
    /// The configuration that it gives.
    pub config: Config,
    /// The lease in every answer.
    pub lease: Option<Grant>,
    /// The outcome for cards.
    pub card: CardOutcome,
    /// Whether it asks units to fetch their configuration.
    pub reload: bool,
    /// The number of the switches that it expects.
    pub sensor: u8,
    /// A status in place of every answer.
    pub refuse: Option<u16>,
    /// Every sample, with the boot and its number in it.
    pub samples: Vec<(u32, u32, Sample)>,
    /// Every card.
    pub cards: Vec<Presented>,
    /// How many requests for the configuration were good.
    pub configured: u32,
    /// How many readings were good.
    pub posts: u32,
    /// Every refusal.
    pub refused: Vec<ProtocolError>,
    /// Every boot number that was seen, in order.
    pub boots: Vec<u32>,
    seen: Seen,
    keys: Keys,
    now_ms: u64,
}

/// A gateway.
#[derive(Clone, Debug)]
pub struct Gateway {
    state: Arc<Mutex<State>>,
    address: SocketAddr,
}

impl Gateway {
    /// A gateway that knows one unit and grants nothing.
    ///
    /// # Errors
    /// The socket's.
    pub fn start() -> io::Result<Self> {
        let config = Config {
            server_time_ms: 0,
            transmit_period_s: 10,
            sample_period_s: 10,
            mains_v: 230,
            phases: 1,
            rated_ma: 32_000,
            over_limit_grace_ms: 2_000,
            network: Network::Dynamic,
            server: Host::STAY,
        };
        let state = State {
            config,
            lease: None,
            card: CardOutcome::Refused,
            reload: false,
            sensor: 0,
            refuse: None,
            samples: Vec::new(),
            cards: Vec::new(),
            configured: 0,
            posts: 0,
            refused: Vec::new(),
            boots: Vec::new(),
            seen: Seen::default(),
            keys: Keys::derive(&KEY),
            now_ms: 0,
        };
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let gateway = Self { state: Arc::new(Mutex::new(state)), address: listener.local_addr()? };
        let state = Arc::clone(&gateway.state);
        // Ends with the process: nobody connects any more.
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A unit that hangs up asks again.
                let _ = serve(stream, &state);
            }
        });
        Ok(gateway)
    }

    /// What it knows and does.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread has panicked with it")
    }

    /// The way to it, for a modem.
    #[must_use]
    pub fn uplink(&self) -> Box<dyn Uplink> {
        Box::new(Way { gateway: self.clone(), offset_ms: 0 })
    }

    /// The way to it for a unit whose power comes so much later.
    #[must_use]
    pub fn uplink_at(&self, offset_ms: u64) -> Box<dyn Uplink> {
        Box::new(Way { gateway: self.clone(), offset_ms })
    }
}

struct Way {
    gateway: Gateway,
    offset_ms: u64,
}

impl Uplink for Way {
    fn exchange(&mut self, now_ms: u64, _host: &str, _port: u16, request: &[u8]) -> io::Result<Vec<u8>> {
        self.gateway.state().now_ms = START_MS + self.offset_ms + now_ms;
        over_tcp(self.gateway.address, request)
    }
}

fn serve(mut stream: TcpStream, state: &Mutex<State>) -> io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut request = Vec::new();
    let mut some = [0; 2048];
    let (head, body) = loop {
        let count = stream.read(&mut some)?;
        if count == 0 {
            return Ok(());
        }
        request.extend_from_slice(&some[..count]);
        let Some(end) = request.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&request[..end]).into_owned();
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).map_or(0, |length| length.parse().unwrap_or(0));
        if request.len() >= end + 4 + length {
            break (head, request[end + 4..].to_vec());
        }
    };
    let mut state = state.lock().expect("no thread has panicked with it");
    let answer = state.refuse.map_or_else(|| state.answer(&head, &body), Err);
    drop(state);
    let (status, body) = match answer {
        Ok(body) => ("200 OK".to_owned(), body),
        Err(status) => (format!("{status} Refused"), b"refused".to_vec()),
    };
    let head = format!(
        "HTTP/1.0 {status}\r\ncontent-type: application/octet-stream\r\ncontent-length: {}\r\ndate: Fri, 16 Jan 2026 16:00:00 GMT\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(&body)
}

impl State {
    fn answer(&mut self, head: &str, body: &[u8]) -> Result<Vec<u8>, u16> {
        let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
        let answer = match path.strip_prefix("/unit/v1/config?m=") {
            Some(digits) => self.configure(digits),
            None => self.take(body),
        };
        answer.map_err(|error| {
            self.refused.push(error);
            error.http_status()
        })
    }

    fn configure(&mut self, digits: &str) -> Result<Vec<u8>, ProtocolError> {
        let message = decode_hex::<CONFIG_REQUEST_LEN>(digits)?;
        if device_of(&message)? != DEVICE {
            return Err(ProtocolError::UnknownDevice);
        }
        let request = ConfigRequest::parse(&message, &self.keys)?;
        if request.sensor.get() != self.sensor {
            return Err(ProtocolError::SensorMismatch);
        }
        self.seen = self.seen.admit_config(&request)?;
        self.note_boot(request.head.boot);
        self.configured += 1;
        Ok(Config { server_time_ms: self.now_ms, ..self.config }.seal(&request.head, &self.keys)?.to_vec())
    }

    fn take(&mut self, body: &[u8]) -> Result<Vec<u8>, ProtocolError> {
        if device_of(body)? != DEVICE {
            return Err(ProtocolError::UnknownDevice);
        }
        let readings = Readings::parse(body, &self.keys)?;
        if readings.sensor.get() != self.sensor {
            return Err(ProtocolError::SensorMismatch);
        }
        let admission = self.seen.admit_readings(&readings)?;
        self.seen = admission.seen;
        self.note_boot(readings.head.boot);
        self.posts += 1;
        self.samples.extend(readings.samples().skip(admission.duplicates).map(|(number, sample)| (readings.head.boot, number, sample)));
        self.cards.extend(admission.new_card);
        let answer = ReadingsAnswer {
            server_time_ms: self.now_ms,
            stored_sample: self.seen.sample,
            card: if readings.presented.is_some() { self.card } else { CardOutcome::None },
            reload_config: self.reload,
            lease: self.lease,
        };
        Ok(answer.seal(&readings.head, &self.keys)?.to_vec())
    }

    fn note_boot(&mut self, boot: u32) {
        if self.boots.last() != Some(&boot) {
            self.boots.push(boot);
        }
    }
}
