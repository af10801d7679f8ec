//! The golden messages of `vectors/unit-protocol.json`, which an independent encoder wrote: both ends must make and read exactly these bytes.

use serde_json::{Value, json};

use crate::readings::{Sender, write_readings};
use crate::*;

fn vectors() -> Value {
    let path = "vectors/unit-protocol.json";
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn bytes(value: &Value) -> Vec<u8> {
    ::hex::decode(value.as_str().unwrap()).unwrap()
}

fn key(value: &Value) -> [u8; 32] {
    bytes(value).try_into().unwrap()
}

fn number<T: TryFrom<u64>>(fields: &Value, name: &str) -> T {
    let number = fields[name].as_u64().unwrap_or_else(|| panic!("{name}"));
    T::try_from(number).ok().unwrap()
}

fn phases(value: &Value) -> [u16; 3] {
    serde_json::from_value::<[u16; 3]>(value.clone()).unwrap()
}

fn head(fields: &Value) -> Head {
    Head { device: DeviceId(number(fields, "device")), boot: number(fields, "boot"), counter: number(fields, "counter") }
}

fn sample(fields: &Value) -> Sample {
    Sample {
        at_ms: number(fields, "at_ms"),
        register_wh: number(fields, "register_wh"),
        power_w: number(fields, "power_w"),
        current_ma: phases(&fields["current_ma"]),
        temperature_dc: fields["temperature_dc"].as_i64().map(|t| t.try_into().unwrap()),
        flags: Flags::from_bits(number(fields, "flags")),
    }
}

/// Makes the message that a vector describes.
fn make(kind: &str, fields: &Value, keys: &Keys) -> Vec<u8> {
    let head = head(fields);
    match kind {
        "config_request" => ConfigRequest {
            head,
            sensor: SensorId::new(number(fields, "sensor")).unwrap(),
            capabilities: Capabilities::from_bits(number(fields, "capabilities")).unwrap(),
            firmware: number(fields, "firmware"),
        }
        .seal(keys)
        .unwrap()
        .to_vec(),
        "config_answer" => config(fields).seal(&head, keys).unwrap().to_vec(),
        "readings" => {
            let samples = fields["samples"].as_array().unwrap();
            let first = samples.first().map_or(1, |first| number(first, "number"));
            let mut queue = Queue::<60>::starting_at(first);
            for fields in samples {
                assert_eq!(queue.push(&sample(fields)), Ok(number(fields, "number")));
            }
            let uid = bytes(&fields["uid"]);
            let presented = Card::new(&uid).ok().map(|card| Presented { tap: number(fields, "tap"), card });
            let sender = Sender {
                head,
                sensor: SensorId::new(number(fields, "sensor")).unwrap(),
                capabilities: Capabilities::from_bits(number(fields, "capabilities")).unwrap(),
                presented: presented.as_ref(),
            };
            let mut message = vec![];
            write_readings(&sender, &queue, keys, &mut |bytes| message.extend_from_slice(bytes)).unwrap();
            message
        }
        "readings_answer" => answer(fields).seal(&head, keys).unwrap().to_vec(),
        other => panic!("unknown kind {other}"),
    }
}

fn config(fields: &Value) -> Config {
    let ip = |name: &str| fields[name].as_str().unwrap().parse::<std::net::Ipv4Addr>().unwrap().octets();
    let prefix = number(fields, "prefix");
    Config {
        server_time_ms: number(fields, "server_time_ms"),
        transmit_period_s: number(fields, "transmit_period_s"),
        sample_period_s: number(fields, "sample_period_s"),
        mains_v: number(fields, "mains_v"),
        phases: number(fields, "phases"),
        rated_ma: number(fields, "rated_ma"),
        over_limit_grace_ms: number(fields, "over_limit_grace_ms"),
        network: if prefix == 0 { Network::Dynamic } else { Network::Static { address: ip("address"), prefix, router: ip("router") } },
        server: Host::new(fields["server"].as_str().unwrap()).unwrap(),
    }
}

fn answer(fields: &Value) -> ReadingsAnswer {
    let seconds = number(fields, "seconds");
    ReadingsAnswer {
        server_time_ms: number(fields, "server_time_ms"),
        stored_sample: number(fields, "stored_sample"),
        card: [CardOutcome::None, CardOutcome::Accepted, CardOutcome::Refused, CardOutcome::Pending][number::<usize>(fields, "card")],
        reload_config: fields["reload_config"].as_bool().unwrap(),
        lease: (seconds > 0).then(|| Grant::new(seconds, number(fields, "milliampere_seconds"), phases(&fields["limit_ma"])).unwrap()),
    }
}

/// Parses a message and returns what a vector would say of it.
fn read(kind: &str, message: &[u8], keys: &Keys) -> Result<Value, ProtocolError> {
    let with_head = |head: Head, mut fields: Value| {
        fields["device"] = json!(head.device.0);
        fields["boot"] = json!(head.boot);
        fields["counter"] = json!(head.counter);
        fields
    };
    match kind {
        "config_request" => ConfigRequest::parse(message, keys).map(|request| {
            let fields = json!({
                "sensor": request.sensor.get(), "capabilities": request.capabilities.bits(), "firmware": request.firmware,
            });
            with_head(request.head, fields)
        }),
        "config_answer" => Config::parse(message, keys).map(|(head, config)| {
            let (address, prefix, router) = match config.network {
                Network::Dynamic => ([0; 4], 0, [0; 4]),
                Network::Static { address, prefix, router } => (address, prefix, router),
            };
            let ip = |octets: [u8; 4]| std::net::Ipv4Addr::from(octets).to_string();
            let fields = json!({
                "server_time_ms": config.server_time_ms, "transmit_period_s": config.transmit_period_s,
                "sample_period_s": config.sample_period_s, "mains_v": config.mains_v, "phases": config.phases,
                "rated_ma": config.rated_ma, "over_limit_grace_ms": config.over_limit_grace_ms,
                "address": ip(address), "router": ip(router), "prefix": prefix, "server": config.server.as_str(),
            });
            with_head(head, fields)
        }),
        "readings" => Readings::parse(message, keys).map(|readings| {
            let sample = |(number, sample): (u32, Sample)| {
                json!({
                    "number": number, "at_ms": sample.at_ms, "register_wh": sample.register_wh, "power_w": sample.power_w,
                    "current_ma": sample.current_ma, "temperature_dc": sample.temperature_dc, "flags": sample.flags.bits(),
                })
            };
            let fields = json!({
                "sensor": readings.sensor.get(), "capabilities": readings.capabilities.bits(),
                "tap": readings.presented.map_or(0, |presented| presented.tap),
                "uid": readings.presented.map_or_else(String::new, |presented| ::hex::encode(presented.card.uid())),
                "samples": readings.samples().map(sample).collect::<Vec<_>>(),
            });
            with_head(readings.head, fields)
        }),
        "readings_answer" => ReadingsAnswer::parse(message, keys).map(|(head, answer)| {
            let (seconds, amount, limits) = answer.lease.map_or((0, 0, [0; 3]), |grant| grant.parts());
            let fields = json!({
                "server_time_ms": answer.server_time_ms, "stored_sample": answer.stored_sample, "card": answer.card as u8,
                "reload_config": answer.reload_config, "seconds": seconds, "milliampere_seconds": amount, "limit_ma": limits,
            });
            with_head(head, fields)
        }),
        other => panic!("unknown kind {other}"),
    }
}

#[test]
fn derives_the_keys_of_the_vectors() {
    let vectors = vectors();
    let keys = Keys::derive(&key(&vectors["device_key"]));
    assert_eq!(keys.up, key(&vectors["up_key"]));
    assert_eq!(keys.down, key(&vectors["down_key"]));
    for case in vectors["keyed_hash"].as_array().unwrap() {
        let length: u64 = number(case, "length");
        let input: Vec<u8> = (0..length).map(|i| u8::try_from(i % 251).unwrap()).collect();
        let hash = keyed_hash(&key(&vectors["device_key"]), &input);
        assert_eq!(hash, Ok(key(&case["hash"])), "{length} bytes");
    }
}

#[test]
fn makes_and_reads_every_good_message_byte_for_byte() {
    let vectors = vectors();
    let keys = Keys::derive(&key(&vectors["device_key"]));
    let good = vectors["good"].as_array().unwrap();
    assert!(good.len() >= 16, "{} good messages", good.len());
    for case in good {
        let (name, kind) = (&case["name"], case["kind"].as_str().unwrap());
        let message = bytes(&case["bytes"]);
        assert_eq!(::hex::encode(make(kind, &case["fields"], &keys)), case["bytes"].as_str().unwrap(), "{name}");
        assert_eq!(read(kind, &message, &keys).as_ref(), Ok(&case["fields"]), "{name}");
        assert_eq!(device_of(&message), Ok(head(&case["fields"]).device), "{name}");
    }
}

#[test]
fn refuses_every_bad_message_under_its_own_code() {
    let vectors = vectors();
    let keys = Keys::derive(&key(&vectors["device_key"]));
    let bad = vectors["bad"].as_array().unwrap();
    assert!(bad.len() >= 100, "{} bad messages", bad.len());
    for case in bad {
        let label = format!("{} {}", case["kind"], case["name"]);
        let error = read(case["kind"].as_str().unwrap(), &bytes(&case["bytes"]), &keys).expect_err(&label);
        assert_eq!((error.name(), error.code()), (case["error"].as_str().unwrap(), number(case, "code")), "{label}");
    }
}

#[test]
fn no_bit_of_any_message_can_be_flipped() {
    let vectors = vectors();
    let keys = Keys::derive(&key(&vectors["device_key"]));
    for case in vectors["good"].as_array().unwrap() {
        let kind = case["kind"].as_str().unwrap();
        let mut message = bytes(&case["bytes"]);
        for at in 0..message.len() {
            for bit in 0..8 {
                message[at] ^= 1 << bit;
                assert!(read(kind, &message, &keys).is_err(), "{} byte {at} bit {bit}", case["name"]);
                message[at] ^= 1 << bit;
            }
        }
        for length in 0..message.len() {
            assert!(read(kind, &message[..length], &keys).is_err(), "{} cut to {length}", case["name"]);
        }
    }
}

#[test]
fn no_message_passes_for_another_kind_or_device() {
    let vectors = vectors();
    let keys = Keys::derive(&key(&vectors["device_key"]));
    let stranger = Keys::derive(&[1; 32]);
    for case in vectors["good"].as_array().unwrap() {
        let message = bytes(&case["bytes"]);
        for kind in ["config_request", "config_answer", "readings", "readings_answer"] {
            if case["kind"] == kind {
                assert_eq!(read(kind, &message, &stranger), Err(ProtocolError::BadTag), "{}", case["name"]);
            } else {
                assert_eq!(read(kind, &message, &keys), Err(ProtocolError::Kind), "{}", case["name"]);
            }
        }
    }
}

#[test]
fn the_document_shows_the_vectors_and_every_error() {
    let path = "../../docs/unit-protocol.md";
    let document = std::fs::read_to_string(path).unwrap();
    // The examples are dumps: the first word of a line is bytes, the rest says what they are.
    let first_words = document.lines().filter_map(|line| line.split_whitespace().next());
    let dump: String = first_words.filter(|word| word.bytes().all(|b| b.is_ascii_hexdigit())).collect();
    let vectors = vectors();
    for name in ["device_key", "up_key", "down_key"] {
        assert!(document.contains(vectors[name].as_str().unwrap()), "{name}");
    }
    for name in ["unit asks for its configuration", "gateway configures the unit", "two samples and a card", "a lease of 150 s"] {
        let case = vectors["good"].as_array().unwrap().iter().find(|case| case["name"] == name).unwrap();
        assert!(dump.contains(case["bytes"].as_str().unwrap()), "the example of \"{name}\" is out of date");
    }
    for error in ProtocolError::ALL {
        let row = format!("| {} | `{}` | {} |", error.code(), error.name(), error.http_status());
        assert!(document.contains(&row), "no row {row}");
    }
}

#[test]
fn sample_numbers_run_out_before_they_repeat() {
    let mut queue = Queue::<60>::starting_at(u32::MAX - 1);
    assert_eq!(queue.push(&Sample::default()), Ok(u32::MAX - 1));
    assert_eq!(queue.push(&Sample::default()), Err(ProtocolError::Exhausted));
    queue.acknowledge(u32::MAX - 1);
    assert_eq!((queue.len(), queue.last_number()), (0, u32::MAX - 1));
    assert_eq!(queue.push(&Sample::default()), Err(ProtocolError::Exhausted));
}
