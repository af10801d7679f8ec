//! What the wire format costs: the smallest transaction that is common, the largest call, and a whole block.
//!
//! Run with `cargo bench --profile dev -p contracts --bench codec`. It lies here and not beside the codec, because `chain` does not know the calls. Decoding
//! includes the proof that the bytes are the value's only encoding, which encodes once more. Signatures are not checked here.

use std::{hint::black_box, time::Duration};

use chain::{
    block::{Block, HEADER_VERSION, Header, transactions_root},
    codec,
    crypto::address_of,
    hash::{Context, Hash32},
    id::{Address, ChainId, Height, SessionId},
    quantity::{Amount, WattHours, Watts},
    time::Timestamp,
};
use contracts::call::{Attest, Body, Call, Reading, ReadingFlags, Transaction, Transfer};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ed25519_dalek::SigningKey;

/// The most readings that one call carries.
const READINGS: u64 = 256;

/// Transactions in the block: as many transfers as the default limit of 256 KiB holds, rounded down.
const BLOCK: u64 = 1_000;

/// Monday 2026-01-05, 12:00 UTC.
const NOON: Timestamp = Timestamp::from_ms(1_767_614_400_000);

fn sign(nonce: u64, call: Call) -> Transaction {
    let key = SigningKey::from_bytes(&[7; 32]);
    let account = address_of(&key);
    let chain_id = ChainId(Hash32([9; 32]));
    Transaction::sign(Body { chain_id, account, signer: account, nonce, valid_until: NOON, call }, &key).expect("within the limit")
}

fn transfer(nonce: u64) -> Transaction {
    sign(nonce, Call::Transfer(Transfer { to: Address([2; 32]), amount: Amount::from_micro(1_000_000) }))
}

fn attest() -> Transaction {
    let readings = (0..READINGS).map(|n| Reading {
        session: SessionId(Context::TransactionId.hash(&[&n.to_le_bytes()])),
        sequence: n,
        at: NOON,
        register_wh: WattHours::new(1_000 + n),
        power_w: Watts::new(3_680),
        flags: ReadingFlags::NONE,
        samples_root: Context::SampleLeaf.hash(&[&n.to_le_bytes()]),
        sample_count: 60,
    });
    sign(0, Call::Attest(Attest { readings: readings.collect() }))
}

fn block() -> Block {
    let transactions: Vec<_> = (0..BLOCK).map(|nonce| transfer(nonce).bytes().to_vec()).collect();
    let header = Header {
        version: HEADER_VERSION,
        chain_id: ChainId(Hash32([9; 32])),
        height: Height(1),
        parent: Hash32([9; 32]),
        history_root: Hash32::ZERO,
        timestamp: NOON,
        proposer: Address([1; 32]),
        transactions_root: transactions_root(&transactions),
        receipts_root: Hash32::ZERO,
        state_root: Hash32::ZERO,
        next_validators: Hash32::ZERO,
    };
    Block { header, transactions }
}

fn bytes_of(bytes: &[u8]) -> Throughput {
    Throughput::Bytes(u64::try_from(bytes.len()).expect("a length fits in 64 bits"))
}

fn transactions(c: &mut Criterion) {
    let mut group = c.benchmark_group("codec");
    for (name, transaction) in [("a transfer".to_owned(), transfer(0)), (format!("an attestation of {READINGS} readings"), attest())] {
        let bytes = transaction.bytes();
        println!("{name} has {} bytes", bytes.len());
        group.throughput(bytes_of(bytes));
        group.bench_function(format!("encode {name}"), |b| b.iter(|| codec::encode(black_box(transaction.body()))));
        Transaction::decode(bytes).expect("it was encoded here");
        group.bench_function(format!("decode {name}"), |b| b.iter(|| Transaction::decode(black_box(bytes))));
    }
    group.finish();
}

fn blocks(c: &mut Criterion) {
    let mut group = c.benchmark_group("codec");
    let block = block();
    let bytes = block.encode().expect("a block of ours");
    println!("a block of {BLOCK} transfers has {} bytes", bytes.len());
    group.throughput(bytes_of(&bytes));
    group.bench_function(format!("encode a block of {BLOCK} transfers"), |b| b.iter(|| black_box(&block).encode()));
    group.bench_function(format!("decode a block of {BLOCK} transfers"), |b| b.iter(|| Block::decode(black_box(&bytes))));
    group.bench_function(format!("decode a block of {BLOCK} transfers and each of them"), |b| {
        b.iter(|| {
            let block = Block::decode(black_box(&bytes)).expect("encoded above");
            block.transactions.iter().map(|bytes| Transaction::decode(bytes).expect("signed above")).collect::<Vec<_>>()
        });
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1)).sample_size(20);
    targets = transactions, blocks
}
criterion_main!(benches);
