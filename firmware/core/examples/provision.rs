//! Makes the 200 bytes that are written into a unit's EEPROM before its first start, from lines of `name value` on the standard input.
//!
//! Not from arguments, which everybody on the machine can read. docs/firmware.md names the lines. It writes nothing but the record, and to nothing but the
//! standard output.

use std::{
    collections::BTreeMap,
    error::Error,
    io::{self, IsTerminal as _, Read as _, Write as _},
};

use firmware_core::{Calibration, DeviceId, Host, Parts, Provision};

fn main() -> Result<(), Box<dyn Error>> {
    if io::stdout().is_terminal() {
        return Err("the record is binary and holds a key: send it into a file".into());
    }
    let mut lines = String::new();
    io::stdin().read_to_string(&mut lines)?;
    io::stdout().write_all(&record(&lines)?)?;
    Ok(())
}

fn record(lines: &str) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut given = BTreeMap::new();
    for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
        // The rest of the line is the value: a network's name and secret may hold spaces.
        let (name, value) =
            line.split_once(' ').ok_or_else(|| format!("expected a name and a value in the line that begins with {:?}", first(line)))?;
        if !["device", "key", "parts", "sensor", "floor", "network", "secret", "server"].contains(&name) {
            return Err(format!("unknown name {name:?}").into());
        }
        if given.insert(name, value.trim()).is_some() {
            return Err(format!("{name:?} is given twice").into());
        }
    }
    let take = |name: &str| given.get(name).copied().ok_or_else(|| format!("{name:?} is missing"));
    let device = DeviceId(u32::from_str_radix(take("device")?, 16).map_err(|_| "device: expected eight hexadecimal digits")?);
    let mut key = [0; 32];
    hex::decode_to_slice(take("key")?, &mut key).map_err(|_| "key: expected 64 hexadecimal digits")?;
    let mut parts = Parts::METER_ONLY;
    for part in given.get("parts").copied().unwrap_or_default().split_whitespace() {
        parts = parts.and(match part {
            "relay" => Parts::RELAY,
            "card-reader" => Parts::CARD_READER,
            "plug-contact" => Parts::PLUG_CONTACT,
            "thermometer" => Parts::THERMOMETER,
            other => return Err(format!("parts: unknown part {other:?}").into()),
        });
    }
    let usual = match take("sensor")? {
        "sct-013" => Calibration::SCT_013,
        "acs712-20a" => Calibration::ACS712_20A,
        "acs712-30a" => Calibration::ACS712_30A,
        number => Calibration { microamps_per_count: number.parse().map_err(|_| "sensor: expected its name or µA per count")?, floor: 0 },
    };
    let floor = given.get("floor").map_or(Ok(0), |floor| floor.parse()).map_err(|_| "floor: expected a whole number, counts² times 256")?;
    let server = Host::new(take("server")?).map_err(|error| format!("server: {error:?}"))?;
    let provision = Provision { device, key, parts, calibration: Calibration { floor, ..usual } };
    let record = provision.record(take("network")?, given.get("secret").copied().unwrap_or_default(), &server);
    Ok(record.ok_or("network and secret: at most 32 and 64 bytes, without quotes and backslashes")?.to_vec())
}

/// What a refusal may show of a line that may hold a secret.
fn first(line: &str) -> &str {
    line.get(..3).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: &str = "device 00c0ffee\nkey 5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a\nparts relay thermometer\nsensor sct-013\n\
        network the garage\nsecret not a good one\nserver 10.0.0.2:8421\n";

    #[test]
    fn the_record_is_what_a_unit_reads() {
        let provision = Provision {
            device: DeviceId(0x00c0_ffee),
            key: [0x5a; 32],
            parts: Parts::RELAY.and(Parts::THERMOMETER),
            calibration: Calibration::SCT_013,
        };
        let expected = provision.record("the garage", "not a good one", &Host::new("10.0.0.2:8421").unwrap()).unwrap();
        assert_eq!(record(LINES).unwrap(), expected);
    }

    #[test]
    fn a_line_that_is_missing_twice_there_or_unknown_is_refused_without_its_secret() {
        for name in ["device", "key", "sensor", "network", "server"] {
            let without: String = LINES.lines().filter(|line| !line.starts_with(name)).map(|line| format!("{line}\n")).collect();
            assert!(record(&without).unwrap_err().to_string().contains(name));
            let line = LINES.lines().find(|line| line.starts_with(name)).unwrap();
            assert!(record(&format!("{LINES}{line}\n")).is_err());
        }
        for bad in ["colour red", "floor many", "secretive"] {
            let refusal = record(&format!("{LINES}{bad}\n")).unwrap_err().to_string();
            assert!(!refusal.contains("retive"), "{refusal}");
        }
        assert!(record(&LINES.replace("5a\n", "5\n")).is_err());
        assert!(record(&LINES.replace("relay", "horn")).is_err());
    }
}
