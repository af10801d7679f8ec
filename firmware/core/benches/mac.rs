//! What authentication costs the gateway: a tag over the longest message, and a whole exchange of sixty samples.

use std::{hint::black_box, time::Duration};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use firmware_core::{
    Capabilities, CardOutcome, DeviceId, Grant, Identity, Keys, MAX_MESSAGE_LEN, Readings, ReadingsAnswer, Sample, Seen, SensorId, Unit,
    keyed_hash,
};

fn mac(c: &mut Criterion) {
    let mut group = c.benchmark_group("mac");
    let (key, message) = ([7; 32], [3; MAX_MESSAGE_LEN]);
    group.throughput(Throughput::Bytes(1024));
    group.bench_function("keyed_hash/1024", |b| b.iter(|| keyed_hash(black_box(&key), black_box(&message))));
    group.finish();
}

fn exchange(c: &mut Criterion) {
    let identity =
        Identity { device: DeviceId(1), sensor: SensorId::new(1).expect("at most 63"), capabilities: Capabilities::NONE, firmware: 1 };
    let mut unit: Unit = Unit::new(identity, &[7; 32], 1).expect("boot 1");
    for at_ms in 0..60 {
        unit.push(&Sample { at_ms, ..Sample::default() }).expect("room for sixty");
    }
    let mut body = [0; MAX_MESSAGE_LEN];
    let mut group = c.benchmark_group("exchange");
    group.throughput(Throughput::Elements(60));
    group.bench_function("unit/make 60 samples", |b| b.iter(|| unit.readings_request(0, &mut body)));
    let length = unit.readings_request(0, &mut body).expect("1,024 bytes do");
    group.bench_function("gateway/read 60 samples and answer", |b| {
        b.iter(|| {
            let keys = Keys::derive(&[7; 32]);
            let readings = Readings::parse(&body[..length], &keys)?;
            let admission = Seen::default().admit_readings(&readings)?;
            let last = readings.samples().last();
            let answer = ReadingsAnswer {
                server_time_ms: last.map_or(0, |(_, sample)| sample.at_ms),
                stored_sample: admission.seen.sample,
                card: CardOutcome::None,
                reload_config: false,
                lease: Some(Grant::new(150, 1_000_000, [32_000; 3])?),
            };
            answer.seal(&readings.head, &keys)
        });
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1)).sample_size(20);
    targets = mac, exchange
}
criterion_main!(benches);
