//! What units and gateways say to each other, what a modem says, and raw samples.

use ::chain::hash::Hash32;
use firmware_core::{
    Action, CONFIG_REQUEST_LEN, Config, ConfigRequest, Keys, MAX_MESSAGE_LEN, Modem, Progress, ProtocolError, Readings, ReadingsAnswer,
    Response, TAG_LEN, decode_hex, device_of, encode_hex, keyed_hash,
};
use node::gateway::sample::RawSample;

use super::{Read, Verdict, never, refused, same};

/// The device key of the golden vectors and of the corpus.
pub(crate) const DEVICE_KEY: [u8; 32] = {
    let mut key = [0; 32];
    let mut place = 0;
    while place < 32 {
        key[place as usize] = 0x40 + place;
        place += 1;
    }
    key
};

fn tag(input: Vec<u8>, number: u64, label: &[u8]) -> Vec<u8> {
    let mut input = input;
    // Some keep a wrong tag, some are too long for one.
    if number.is_multiple_of(9) {
        return input;
    }
    let Some(covered) = input.len().checked_sub(TAG_LEN) else { return input };
    let Ok(key) = keyed_hash(&DEVICE_KEY, label) else { return input };
    if let Ok(hash) = keyed_hash(&key, &input[..covered]) {
        input.truncate(covered);
        input.extend_from_slice(&hash[..TAG_LEN]);
    }
    input
}

pub(super) fn tag_up(input: Vec<u8>, number: u64) -> Vec<u8> {
    tag(input, number, b"commonwatt unit v1 up")
}

pub(super) fn tag_down(input: Vec<u8>, number: u64) -> Vec<u8> {
    tag(input, number, b"commonwatt unit v1 down")
}

fn keys() -> Keys {
    Keys::derive(&DEVICE_KEY)
}

fn failed(error: ProtocolError) -> Verdict {
    if error.name().is_empty() || !(400..600).contains(&error.http_status()) {
        return Err(format!("{error}: no name or no status"));
    }
    refused(error.name(), &error)
}

pub(super) fn config_request(bytes: &[u8]) -> Verdict {
    let device = device_of(bytes);
    match ConfigRequest::parse(bytes, &keys()) {
        Ok(request) => {
            same("the device", &device, &Ok(request.head.device))?;
            same("sealed again", &request.seal(&keys()).map_err(never("not sealed"))?[..], bytes)?;
            let mut digits = [0; 2 * CONFIG_REQUEST_LEN];
            let text = encode_hex(bytes, &mut digits).map_err(never("no digits"))?;
            same("through its digits", &decode_hex::<CONFIG_REQUEST_LEN>(text).map_err(never("its digits are not read"))?[..], bytes)?;
            Ok(Read::Accepted)
        }
        Err(error) => failed(error),
    }
}

pub(super) fn config_answer(bytes: &[u8]) -> Verdict {
    match Config::parse(bytes, &keys()) {
        Ok((head, config)) => {
            same("sealed again", &config.seal(&head, &keys()).map_err(never("not sealed"))?[..], bytes)?;
            Ok(Read::Accepted)
        }
        Err(error) => failed(error),
    }
}

pub(super) fn readings_answer(bytes: &[u8]) -> Verdict {
    match ReadingsAnswer::parse(bytes, &keys()) {
        Ok((head, answer)) => {
            same("sealed again", &answer.seal(&head, &keys()).map_err(never("not sealed"))?[..], bytes)?;
            Ok(Read::Accepted)
        }
        Err(error) => failed(error),
    }
}

/// Readings are written by a unit alone; here they are written a second time from what was read, as `docs/unit-protocol.md` lays them out.
pub(super) fn readings(bytes: &[u8]) -> Verdict {
    let readings = match Readings::parse(bytes, &keys()) {
        Ok(readings) => readings,
        Err(error) => return failed(error),
    };
    let samples: Vec<_> = readings.samples().collect();
    same("how many there are", &samples.len(), &readings.len())?;
    if bytes.len() > MAX_MESSAGE_LEN {
        return Err("a message beyond the limit".to_owned());
    }
    let mut written = vec![1, 3];
    written.extend(readings.head.device.0.to_le_bytes());
    written.extend(readings.head.boot.to_le_bytes());
    written.extend(readings.head.counter.to_le_bytes());
    written.extend([readings.sensor.get(), readings.capabilities.bits()]);
    let (tap, uid) = readings.presented.map_or((0, Vec::new()), |presented| (presented.tap, presented.card.uid().to_vec()));
    written.extend(tap.to_le_bytes());
    written.push(u8::try_from(uid.len()).map_err(never("a long card"))?);
    written.extend(uid.iter().copied().chain(std::iter::repeat(0)).take(10));
    let first = samples.first().copied();
    written.extend(first.map_or(0, |(number, _)| number).to_le_bytes());
    written.push(u8::try_from(samples.len()).map_err(never("too many"))?);
    written.extend_from_slice(&first.map_or(0, |(_, sample)| sample.at_ms).to_le_bytes()[..6]);
    written.extend(first.map_or(0, |(_, sample)| sample.register_wh).to_le_bytes());
    let mut before = first;
    for (number, sample) in samples {
        let Some((number_before, earlier)) = before else { return Err("a sample after none".to_owned()) };
        if number < number_before || sample.at_ms < earlier.at_ms || sample.register_wh < earlier.register_wh {
            return Err(format!("{sample:?} is before {earlier:?}"));
        }
        written.extend_from_slice(&(sample.at_ms - earlier.at_ms).to_le_bytes()[..3]);
        written.extend_from_slice(&(sample.register_wh - earlier.register_wh).to_le_bytes()[..2]);
        written.extend(sample.power_w.to_le_bytes());
        written.extend(sample.current_ma.iter().flat_map(|current| current.to_le_bytes()));
        written.extend(sample.temperature_dc.unwrap_or(i16::MIN).to_le_bytes());
        written.push(sample.flags.bits());
        before = Some((number, sample));
    }
    let covered = bytes.len() - TAG_LEN;
    same("written again", &written[..], &bytes[..covered])?;
    Ok(Read::Accepted)
}

/// An answer that is complete stays so, and never has more of a body than a message of the protocol.
pub(super) fn http(bytes: &[u8]) -> Verdict {
    let mut response = Response::new();
    for byte in bytes {
        match response.push(*byte) {
            Progress::More => {}
            Progress::Complete if response.status() == 0 || response.body().len() > MAX_MESSAGE_LEN => {
                return Err(format!("complete with status {} and {} bytes", response.status(), response.body().len()));
            }
            Progress::Complete => return Ok(Read::Accepted),
            Progress::Broken => return Ok(Read::Refused("broken")),
        }
    }
    response.clear();
    if response.status() == 0 && response.body().is_empty() { Ok(Read::Refused("more")) } else { Err("it forgets nothing".to_owned()) }
}

/// Whatever a modem says, it is asked for something again in the end. Bytes come one every few ms; a tilde is six seconds of silence.
pub(super) fn modem(bytes: &[u8]) -> Verdict {
    let mut modem = Modem::new();
    let mut now_ms = 0_u32;
    let mut payload = 0_usize;
    for byte in bytes {
        now_ms = now_ms.wrapping_add(if *byte == b'~' { 6_000 } else { 1 + u32::from(*byte & 3) });
        let heard = if *byte == b'~' { None } else { modem.receive(now_ms, *byte) };
        if modem.is_idle() {
            modem.open(now_ms);
        }
        for action in [heard, modem.poll(now_ms)].into_iter().flatten() {
            match action {
                Action::Payload(_) => payload += 1,
                Action::WriteRequest => modem.written(now_ms),
                Action::Write(_) | Action::Ended => {}
            }
        }
    }
    if payload > bytes.len() {
        return Err("more payload than bytes".to_owned());
    }
    // Silence: every state but the idle one ends by itself, and it begins again.
    let asks = (0..200).any(|_| {
        now_ms = now_ms.wrapping_add(1_000);
        matches!(modem.poll(now_ms), Some(Action::Write(_))) || modem.is_idle()
    });
    if !asks {
        return Err("it asks for nothing any more".to_owned());
    }
    Ok(if payload > 0 { Read::Accepted } else { Read::Refused("no payload") })
}

pub(super) fn sample(bytes: &[u8]) -> Verdict {
    match RawSample::decode(bytes) {
        Some(sample) => {
            same("encoded again", &sample.encode()[..], bytes)?;
            let _ = sample.leaf(&Hash32([1; 32]));
            Ok(Read::Accepted)
        }
        None if bytes.len() == node::gateway::sample::SAMPLE_BYTES => Err("every 39 bytes are a sample".to_owned()),
        None => Ok(Read::Refused("length")),
    }
}
