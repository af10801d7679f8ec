//! What a signature costs: the price of every transaction at submission, and again on every node that judges a block.
//!
//! Run with `cargo bench --profile dev -p chain --bench signature`. The messages are as long as the bodies of a transfer and of an attestation with 256
//! readings; `verify_strict` includes decompressing the signer's key, as everywhere in Commonwatt.

use std::{hint::black_box, time::Duration};

use chain::crypto::{self, Domain, Signature};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ed25519_dalek::SigningKey;

/// The bytes of a transfer's body.
const TRANSFER_BODY_BYTES: usize = 156;

/// The bytes of the body of an attestation with 256 readings.
const ATTEST_BODY_BYTES: usize = 25_724;

fn signature(c: &mut Criterion) {
    let key = SigningKey::from_bytes(&[7; 32]);
    let signer = crypto::address_of(&key);
    let mut group = c.benchmark_group("signature");
    group.throughput(Throughput::Elements(1));
    for bytes in [TRANSFER_BODY_BYTES, ATTEST_BODY_BYTES] {
        let message = vec![3; bytes];
        let good = crypto::sign(&key, Domain::Transaction, &message);
        crypto::verify(&signer, Domain::Transaction, &message, &good).expect("signed just now");
        group.bench_function(format!("sign {bytes} bytes"), |b| b.iter(|| crypto::sign(&key, Domain::Transaction, black_box(&message))));
        group.bench_function(format!("verify_strict {bytes} bytes"), |b| {
            b.iter(|| crypto::verify(black_box(&signer), Domain::Transaction, black_box(&message), &good));
        });
    }
    // What a flood of forgeries costs: the same, as the equation must be computed to be found wrong.
    let message = [3; TRANSFER_BODY_BYTES];
    let Signature(mut forged) = crypto::sign(&key, Domain::Transaction, &message);
    // In the second half: one in the first is mostly no point of the curve, which is found out sooner.
    forged[32] ^= 1;
    let forged = Signature(forged);
    crypto::verify(&signer, Domain::Transaction, &message, &forged).expect_err("changed");
    group.bench_function(format!("refuse {TRANSFER_BODY_BYTES} bytes"), |b| {
        b.iter(|| crypto::verify(black_box(&signer), Domain::Transaction, black_box(&message), &forged));
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1)).sample_size(20);
    targets = signature
}
criterion_main!(benches);
