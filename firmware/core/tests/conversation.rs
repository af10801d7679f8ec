//! A unit and a gateway over a bad line: messages are lost, changed, replayed and answered late, both ends restart, and still every sample that is stored is
//! stored once and exactly, every hole is known, and the relay is closed only under a lease that the gateway gave.
#![allow(clippy::unwrap_used, reason = "helpers of tests panic to fail")]

use std::collections::BTreeMap;

use firmware_core::*;
use rand::{Rng, SeedableRng, rngs::StdRng};

const DEVICE_KEY: [u8; 32] = [0x5a; 32];
const START_MS: u64 = 1_763_821_800_000;
const ROOM: usize = 20;

/// What a gateway keeps of one unit.
#[derive(Default)]
struct Gateway {
    seen: Seen,
    samples: BTreeMap<(u32, u32), Sample>,
    missing: BTreeMap<u32, u32>,
    cards: Vec<(u32, Presented)>,
    /// Until when the relay may be closed at most, by what was answered.
    granted_until_ms: u64,
}

impl Gateway {
    /// Answers a request of either kind, as the router of a real gateway would.
    fn serve(&mut self, request: &Request, now_ms: u64, random: &mut StdRng) -> Result<Vec<u8>, ProtocolError> {
        match request {
            Request::Config(query) => {
                let message = decode_hex::<CONFIG_REQUEST_LEN>(query)?;
                let keys = Self::keys(device_of(&message)?)?;
                let request = ConfigRequest::parse(&message, &keys)?;
                self.seen = self.seen.admit_config(&request)?;
                let config = Config {
                    server_time_ms: now_ms,
                    transmit_period_s: 60,
                    sample_period_s: 60,
                    mains_v: 230,
                    phases: 3,
                    rated_ma: 32_000,
                    over_limit_grace_ms: 5_000,
                    network: Network::Dynamic,
                    server: Host::STAY,
                };
                Ok(config.seal(&request.head, &keys)?.to_vec())
            }
            Request::Readings(body) => {
                let keys = Self::keys(device_of(body)?)?;
                let readings = Readings::parse(body, &keys)?;
                let admission = self.seen.admit_readings(&readings)?;
                for (number, sample) in readings.samples().skip(admission.duplicates) {
                    let twice = self.samples.insert((readings.head.boot, number), sample);
                    assert_eq!(twice, None, "sample {number} is stored twice");
                }
                *self.missing.entry(readings.head.boot).or_default() += admission.missing;
                self.cards.extend(admission.new_card.map(|card| (readings.head.boot, card)));
                self.seen = admission.seen;
                let seconds = random.random_range(1..=150);
                let lease = random.random_bool(0.9).then(|| Grant::new(seconds, u32::MAX, [32_000; 3]).unwrap());
                if lease.is_some() {
                    self.granted_until_ms = self.granted_until_ms.max(now_ms + u64::from(seconds) * 1000);
                }
                let answer = ReadingsAnswer {
                    server_time_ms: now_ms,
                    stored_sample: admission.seen.sample,
                    card: readings.presented.map_or(CardOutcome::None, |_| CardOutcome::Accepted),
                    reload_config: false,
                    lease,
                };
                Ok(answer.seal(&readings.head, &keys)?.to_vec())
            }
        }
    }

    fn keys(device: DeviceId) -> Result<Keys, ProtocolError> {
        if device == DeviceId(77) { Ok(Keys::derive(&DEVICE_KEY)) } else { Err(ProtocolError::UnknownDevice) }
    }
}

#[derive(Clone)]
enum Request {
    Config(String),
    Readings(Vec<u8>),
}

/// A unit's board: moves bytes and keeps the boot number.
struct Board {
    unit: Unit<ROOM>,
    boot: u32,
    pushed: BTreeMap<(u32, u32), Sample>,
    taps: usize,
    register_wh: u64,
}

impl Board {
    fn new() -> Self {
        let identity =
            Identity { device: DeviceId(77), sensor: SensorId::new(63).unwrap(), capabilities: Capabilities::CARD_READER, firmware: 3 };
        let unit = Unit::new(identity, &DEVICE_KEY, 1).unwrap();
        Self { unit, boot: 1, pushed: BTreeMap::new(), taps: 0, register_wh: 1 << 40 }
    }

    fn live(&mut self, now_ms: u64, random: &mut StdRng) {
        for _ in 0..random.random_range(0..4) {
            let Some(stamp) = self.unit.stamp(counter_ms(now_ms)) else { return };
            self.register_wh += random.random_range(0..500);
            let sample = Sample {
                at_ms: stamp.at_ms,
                register_wh: self.register_wh,
                power_w: random.random(),
                current_ma: random.random(),
                temperature_dc: random.random_bool(0.5).then(|| random.random_range(-400..850)),
                flags: Flags::from_bits(random.random::<u8>() & !Flags::PLUG_PRESENT.bits()),
            };
            let number = self.unit.push(&sample).unwrap();
            self.pushed.insert((self.boot, number), sample);
        }
        if random.random_bool(0.05) {
            let uid: [u8; 7] = random.random();
            self.unit.present_card(counter_ms(now_ms), Card::new(&uid).unwrap()).unwrap();
            self.taps += 1;
        }
    }

    fn request(&mut self, now_ms: u64) -> Request {
        if self.unit.config().is_none() || self.unit.stamp(counter_ms(now_ms)).is_none() {
            let mut digits = [0; 2 * CONFIG_REQUEST_LEN];
            let message = self.unit.config_request().unwrap();
            return Request::Config(encode_hex(&message, &mut digits).unwrap().to_owned());
        }
        let mut body = [0; MAX_MESSAGE_LEN];
        let length = self.unit.readings_request(counter_ms(now_ms), &mut body).unwrap();
        Request::Readings(body[..length].to_vec())
    }

    fn answer(&mut self, request: &Request, now_ms: u64, body: &[u8]) -> Result<(), ProtocolError> {
        match request {
            Request::Config(_) => self.unit.config_answer(counter_ms(now_ms), body).map(drop),
            Request::Readings(_) => self.unit.readings_answer(counter_ms(now_ms), body).map(drop),
        }
    }

    fn refused(&mut self, status: Option<u16>) {
        if let Next::NewBoot { .. } = self.unit.refused(status) {
            self.restart();
        }
    }

    fn restart(&mut self) {
        self.boot += 1;
        self.unit.restart(self.boot).unwrap();
    }
}

fn changed(request: &Request, random: &mut StdRng) -> Request {
    match request {
        Request::Config(query) => {
            let mut digits = query.clone().into_bytes();
            let at = random.random_range(0..digits.len());
            digits[at] = if digits[at] == b'0' { b'1' } else { b'0' };
            Request::Config(String::from_utf8(digits).unwrap())
        }
        Request::Readings(body) => {
            let mut body = body.clone();
            let at = random.random_range(0..body.len());
            body[at] ^= 1 << random.random_range(0..8);
            Request::Readings(body)
        }
    }
}

#[test]
fn stores_every_sample_once_and_exactly_over_a_bad_line() {
    let seed = rand::random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let (mut gateway, mut board) = (Gateway::default(), Board::new());
    let (mut requests, mut answers): (Vec<Request>, Vec<Vec<u8>>) = (Vec::new(), Vec::new());
    let (mut now_ms, mut hits) = (START_MS, [0_u32; 8]);
    for _ in 0..20_000 {
        now_ms += random.random_range(1..30_000);
        board.live(now_ms, &mut random);
        let relay = board.unit.tick(counter_ms(now_ms), [0; 3]);
        assert!(relay != Relay::Closed || now_ms < gateway.granted_until_ms, "closed without a lease");
        let request = board.request(now_ms);
        requests.push(request.clone());
        let case = random.random_range(0..16);
        hits[case.min(7)] += 1;
        match case {
            0 => board.refused(None),
            1 => {
                answers.extend(gateway.serve(&request, now_ms, &mut random));
                board.refused(None);
            }
            2 => {
                let before = gateway.samples.len();
                let error = gateway.serve(&changed(&request, &mut random), now_ms, &mut random).unwrap_err();
                assert_eq!(gateway.samples.len(), before);
                board.refused(Some(error.http_status()));
            }
            3 => {
                let mut answer = gateway.serve(&request, now_ms, &mut random).unwrap();
                let at = random.random_range(0..answer.len());
                answer[at] ^= 1 << random.random_range(0..8);
                assert!(board.answer(&request, now_ms, &answer).is_err());
                board.refused(None);
            }
            4 => {
                let replayed = &requests[random.random_range(0..requests.len())];
                let good = gateway.serve(&request, now_ms, &mut random).unwrap();
                let error = gateway.serve(replayed, now_ms, &mut random).unwrap_err();
                assert_eq!(error.http_status(), 409, "{error}");
                board.answer(&request, now_ms, &good).unwrap();
                answers.push(good);
            }
            5 if !answers.is_empty() => {
                let old = &answers[random.random_range(0..answers.len())];
                assert!(board.answer(&request, now_ms, old).is_err());
                if !matches!(request, Request::Config(_)) && old.len() == READINGS_ANSWER_LEN {
                    assert_eq!(board.unit.lease().relay(), Relay::Open(Cause::BadAnswer));
                }
                board.refused(None);
            }
            6 if random.random_bool(0.1) => board.restart(),
            _ => {
                let answer = gateway.serve(&request, now_ms, &mut random).unwrap();
                board.answer(&request, now_ms, &answer).unwrap();
                answers.push(answer);
            }
        }
    }
    println!("cases {hits:?}, {} boots, {} samples of {}", board.boot, gateway.samples.len(), board.pushed.len());
    for (key, sample) in &gateway.samples {
        assert_eq!(board.pushed.get(key), Some(sample), "boot and number {key:?}");
    }
    for boot in 1..=board.boot {
        let stored: Vec<u32> = gateway.samples.range((boot, 0)..=(boot, u32::MAX)).map(|((_, n), _)| *n).collect();
        let last = stored.last().copied().unwrap_or(0);
        let missing = gateway.missing.get(&boot).copied().unwrap_or(0);
        assert_eq!(usize::try_from(last - missing).unwrap(), stored.len(), "the holes of boot {boot}");
    }
    assert!(gateway.samples.len() > 10_000, "{} samples", gateway.samples.len());
    let mut cards = gateway.cards.clone();
    cards.dedup();
    assert_eq!(cards.len(), gateway.cards.len(), "no tap counts twice");
    assert!(!cards.is_empty() && cards.len() <= board.taps);
    assert!(hits.iter().all(|hit| *hit > 0));
}

#[test]
fn a_gateway_knows_duplicates_and_gaps_by_number() {
    let keys = Keys::derive(&DEVICE_KEY);
    let mut board = Board::new();
    let mut random = StdRng::seed_from_u64(1);
    let mut gateway = Gateway::default();
    let request = board.request(START_MS);
    let answer = gateway.serve(&request, START_MS, &mut random).unwrap();
    board.answer(&request, START_MS, &answer).unwrap();
    for at_ms in 0..30 {
        board.unit.push(&Sample { at_ms: START_MS + at_ms, ..Sample::default() }).unwrap();
    }
    let Request::Readings(body) = board.request(START_MS) else { unreachable!() };
    let readings = Readings::parse(&body, &keys).unwrap();
    assert_eq!(readings.numbers(), Some((11, 30)), "room for twenty");
    let seen = gateway.seen;
    for (stored, duplicates, missing) in [(0, 0, 10), (9, 0, 1), (10, 0, 0), (11, 1, 0), (29, 19, 0), (30, 20, 0), (99, 20, 0)] {
        let admission = Seen { sample: stored, ..seen }.admit_readings(&readings).unwrap();
        assert_eq!((admission.duplicates, admission.missing), (duplicates, missing), "{stored} stored");
        assert_eq!(admission.seen.sample, stored.max(30));
    }
}

#[test]
fn a_gateway_takes_rising_boots_and_counters_only() {
    let keys = Keys::derive(&DEVICE_KEY);
    let head = |boot, counter| Head { device: DeviceId(77), boot, counter };
    let seen = Seen { boot: 5, counter: 10, sample: 3, tap: 2 };
    let ask = |boot, counter| {
        let request =
            ConfigRequest { head: head(boot, counter), sensor: SensorId::new(0).unwrap(), capabilities: Capabilities::NONE, firmware: 0 };
        let message = request.seal(&keys).unwrap();
        seen.admit_config(&ConfigRequest::parse(&message, &keys).unwrap())
    };
    assert_eq!(ask(5, 11), Ok(Seen { counter: 11, ..seen }));
    assert_eq!(ask(5, u32::MAX), Ok(Seen { counter: u32::MAX, ..seen }));
    assert_eq!(ask(6, 1), Ok(Seen { boot: 6, counter: 1, sample: 0, tap: 0 }));
    assert_eq!(ask(5, 10), Err(ProtocolError::OldCounter));
    assert_eq!(ask(5, 1), Err(ProtocolError::OldCounter));
    assert_eq!(ask(4, u32::MAX), Err(ProtocolError::OldBoot));
}
