//! The protocol's golden vectors on the target, and what the programs cost there.

use std::{cell::RefCell, path::Path, rc::Rc};

use firmware_sim::{
    avr::{Avr, BusAnswer, BusEvent, Devices, Pins},
    modem::BYTE,
    unit::{Bench, blank, program, provision},
};
use serde_json::Value;

/// Flash and RAM that a unit may use, in bytes.
const FLASH: usize = 28 * 1024;
const RAM: usize = 1_740;
/// What one block of the hash may take, in ms.
const MAC_MS: f64 = 3.0;

/// Somebody at the other end of the line.
#[derive(Debug, Default)]
struct Line {
    to_target: Vec<u8>,
    from_target: Vec<u8>,
    marks: Vec<(u64, u8)>,
    relay: Vec<bool>,
    free_at: u64,
}

#[derive(Clone, Debug, Default)]
struct Shared(Rc<RefCell<Line>>);

impl Devices for Shared {
    fn millivolts(&mut self, _cycle: u64) -> u32 {
        2_500
    }
    fn sent(&mut self, byte: u8, _cycle: u64) {
        self.0.borrow_mut().from_target.push(byte);
    }
    fn relay(&mut self, closed: bool, _cycle: u64) {
        self.0.borrow_mut().relay.push(closed);
    }
    fn mark(&mut self, number: u8, cycle: u64) {
        self.0.borrow_mut().marks.push((cycle, number));
    }
    fn started(&mut self, _cause: u8, _cycle: u64) {}
    fn wake(&mut self, pins: &Pins, cycle: u64) -> u64 {
        let mut line = self.0.borrow_mut();
        if cycle >= line.free_at && !line.to_target.is_empty() {
            let byte = line.to_target.remove(0);
            // A little slower than the line: the probe reads while it hashes nothing.
            line.free_at = cycle + 2 * BYTE;
            pins.receive(byte);
        }
        cycle + BYTE
    }
    fn bus(&mut self, _event: BusEvent) -> BusAnswer {
        BusAnswer::Nothing
    }
}

struct Probe {
    avr: Avr<Shared>,
    line: Shared,
}

impl Probe {
    fn start() -> Self {
        let line = Shared::default();
        let mut avr = Avr::new(&program("probe"), line.clone());
        avr.run_until(4_000_000);
        Self { avr, line }
    }

    /// The code and the bytes of an answer.
    fn ask(&mut self, letter: u8, message: &[u8]) -> (u8, Vec<u8>) {
        {
            let mut line = self.line.0.borrow_mut();
            line.from_target.clear();
            line.to_target.push(letter);
            line.to_target.extend(u16::try_from(message.len()).unwrap().to_le_bytes());
            line.to_target.extend(message);
        }
        for _ in 0..4_000 {
            let until = self.avr.cycle() + 16_000;
            self.avr.run_until(until);
            let line = self.line.0.borrow();
            if let [code, low, high, bytes @ ..] = &line.from_target[..]
                && bytes.len() >= usize::from(u16::from_le_bytes([*low, *high]))
            {
                assert!(self.avr.ram_used() < 2_048, "the stack has met the variables");
                return (*code, bytes.to_vec());
            }
        }
        panic!("no answer to {:?}", char::from(letter));
    }

    /// The cycles between the last two marks.
    fn cycles(&self) -> u64 {
        let line = self.line.0.borrow();
        let [.., (from, 1), (to, 2)] = line.marks[..] else { panic!("no marks") };
        to - from
    }
}

fn vectors() -> Value {
    let path = "../core/vectors/unit-protocol.json";
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn bytes(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap()).unwrap()
}

fn letter(kind: &Value) -> u8 {
    match kind.as_str().unwrap() {
        "config_request" => b'1',
        "config_answer" => b'2',
        "readings" => b'3',
        "readings_answer" => b'4',
        other => panic!("unknown kind {other}"),
    }
}

/// What the probe makes of readings, so that every field that it read is in the outcome.
fn digest(fields: &Value) -> Vec<u8> {
    let number = |value: &Value| value.as_u64().unwrap();
    let sum = fields["samples"].as_array().unwrap().iter().fold(0_u64, |sum, sample| {
        let fields = number(&sample["at_ms"]) ^ number(&sample["register_wh"]).rotate_left(17) ^ number(&sample["number"]).rotate_left(40);
        sum.rotate_left(1) ^ fields ^ number(&sample["power_w"]) ^ number(&sample["flags"]) << 32
    });
    sum.to_le_bytes().to_vec()
}

#[test]
fn the_golden_vectors_hold_on_the_target() {
    let vectors = vectors();
    let mut probe = Probe::start();
    let key = bytes(&vectors["device_key"]);
    assert_eq!(probe.ask(b'k', &key), (0, vec![]));
    let mut slowest = 0.0_f64;
    for case in vectors["keyed_hash"].as_array().unwrap() {
        let length = case["length"].as_u64().unwrap();
        let input: Vec<u8> = (0..length).map(|i| (i % 251) as u8).collect();
        if length > 1_024 {
            continue;
        }
        assert_eq!(probe.ask(b'h', &input), (0, bytes(&case["hash"])), "{length} bytes");
        let ms = probe.cycles() as f64 / 16_000.0;
        let blocks = length.div_ceil(64).max(1);
        println!("hash of {length} bytes: {ms:.2} ms, {:.2} ms a block", ms / blocks as f64);
        slowest = slowest.max(ms / blocks as f64);
    }
    let (mut good, mut bad) = (0, 0);
    for case in vectors["good"].as_array().unwrap() {
        let message = bytes(&case["bytes"]);
        let expected = if case["kind"] == "readings" { digest(&case["fields"]) } else { message.clone() };
        assert_eq!(probe.ask(letter(&case["kind"]), &message), (0, expected), "{}", case["name"]);
        if case["kind"] == "readings_answer" {
            println!("an answer of {} bytes is checked and read in {:.2} ms", message.len(), probe.cycles() as f64 / 16_000.0);
        }
        good += 1;
    }
    for case in vectors["bad"].as_array().unwrap() {
        let message = bytes(&case["bytes"]);
        if message.len() > 1_024 {
            continue;
        }
        let code = u8::try_from(case["code"].as_u64().unwrap()).unwrap();
        assert_eq!(probe.ask(letter(&case["kind"]), &message), (code, vec![]), "{} {}", case["kind"], case["name"]);
        bad += 1;
    }
    println!("{good} good and {bad} bad messages");
    assert!(good >= 16 && bad >= 90, "vectors are missing");
    assert!(slowest <= MAC_MS, "{slowest:.2} ms a block");
}

#[test]
fn a_panic_opens_the_relay_and_the_watchdog_starts_again() {
    let mut probe = Probe::start();
    let line = Rc::clone(&probe.line.0);
    line.replace(Line { to_target: vec![b'p', 0, 0], ..Line::default() });
    let until = probe.avr.cycle() + 16_000_000;
    probe.avr.run_until(until);
    assert_eq!(line.borrow().relay, [true, false], "closed, and open by the panic");
    assert!(line.borrow().marks.iter().all(|(_, mark)| *mark == 0xff), "it does nothing more");
    let until = probe.avr.cycle() + 32_000_000;
    probe.avr.run_until(until);
    assert!(line.borrow().marks.iter().any(|(_, mark)| *mark == 3), "started again within three seconds");
    assert_eq!(line.borrow().relay.last(), Some(&false));
}

/// The sections that are flashed, from the ELF file itself: .text and what .data begins with.
fn flash(elf: &Path) -> usize {
    let file = std::fs::read(elf).unwrap();
    let u32_at = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap()) as usize;
    let u16_at = |at: usize| usize::from(u16::from_le_bytes(file[at..at + 2].try_into().unwrap()));
    let (headers, size, count) = (u32_at(0x1c), u16_at(0x2a), u16_at(0x2c));
    // Loadable segments, by what they bring from the file.
    (0..count).map(|index| headers + index * size).filter(|at| u32_at(*at) == 1).map(|at| u32_at(at + 16)).sum()
}

#[test]
fn the_unit_fits_its_flash() {
    let used = flash(&program("unit"));
    println!("flash {used} bytes of {FLASH}");
    assert!(used <= FLASH, "{used} bytes");
}

#[test]
fn the_unit_fits_its_memory_and_misses_no_sample() {
    use firmware_core::Grant;
    use firmware_sim::{garage::Garage, gateway::Gateway, modem::Modem, wave::Wave};
    let gateway = Gateway::start().unwrap();
    gateway.state().lease = Some(Grant::new(60, 3_000_000, [16_000, 0, 0]).unwrap());
    let mut garage = Garage::new(Modem::new(gateway.uplink()));
    garage.wave = Wave::sine(10.0);
    garage.reader.connected = true;
    garage.reader.card = Some(vec![1, 2, 3, 4]);
    let mut unit = Bench::power(&blank(&provision()), garage);
    unit.run_ms(150_000);
    let conversions = unit.garage().conversions;
    let expected = unit.now_ms() * 4;
    println!("RAM {} bytes of {RAM}; {conversions} conversions of {expected}", unit.ram_used());
    // From power-up to the first conversion pass a few ms.
    assert!(expected - conversions <= 40, "{conversions} of {expected}");
    assert!(unit.ram_used() <= RAM, "{} bytes", unit.ram_used());
}
